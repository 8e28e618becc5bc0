/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching what a run left: its artifacts, which are files of its folder, and its outputs, which are
 * datasets.
 */
#include "job/keep.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/outcome.h"
#include "dataset/resolve.h"
#include "fs/copy.h"
#include "fs/view.h"
#include "fs/walk.h"
#include "job/settle.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct fetch {
	struct sluice *s;
	const char *output;
	bool all;
	uint64_t files, bytes, outputs;
};

/* --- artifacts --- */

struct artifacts {
	const char *run;
	struct slu_store *from;
	const char *base, *to; /* what paths lose, and get */
	SLU_VEC(struct slu_copy_file) v;
};

/* Not tied to its state: what writes a log may be at it, also for a moment after the run is over, and what was there
 * when it was looked at stays as it is. */
static int add_file(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct artifacts *a = user;
	const char *rel = slu_after(path, a->base);
	struct slu_copy_file f = {.from = a->from, .size = attr->size, .mtime_ns = attr->mtime_ns};

	while (rel && *rel == '/')
		rel++;
	f.path = slu_strdup(path);
	f.to = rel && *rel ? slu_path_join(a->to, rel) : NULL;
	memcpy(f.sum, attr->sum, sizeof(f.sum));
	if (f.path && f.to && slu_vec_push(&a->v, f))
		return 0;
	slu_copy_file_done(&f);
	return slu_fail_oom(e);
}

/* Files below `folder` of the run, as `to`/... of the destination. */
static int add_folder(struct artifacts *a, const char *run_dir, const char *folder, const char *to,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *base = slu_path_join(run_dir, folder);
	int r;

	if (!base)
		return slu_fail_oom(e);
	a->base = base;
	a->to = to;
	r = slu_walk_with(a->from, base, SLU_WALK_LENIENT, add_file, a, e);
	if (r == -EXDEV || r == -EINVAL) { /* the folder itself is a link, or no folder */
		slu_warn("job", "'%s' of run '%s' is left out: %s", folder, a->run, e->msg);
		return 0;
	}
	return r == -ENOENT ? 0 : r;
}

static int copy_artifacts(struct fetch *f, struct artifacts *a, const char *dir, struct slu_err *e)
{
	struct slu_copy_totals totals = {0};
	const struct slu_copy_opts o = {.skip = SLU_COPY_CHANGED, .totals = &totals};
	struct slu_store *to;
	int r = slu_context_local(f->s, dir, &to, e);

	if (r == 0)
		r = slu_copy(a->v.p, a->v.n, to, slu_context_pool(f->s), &o, e);
	f->files += totals.files;
	f->bytes += totals.bytes;
	return r;
}

static int fetch_artifacts(struct fetch *f, struct slu_run *r, const char *dir, struct slu_err *e)
{
	static const struct {
		const char *from, *to;
	} folders[] = {{"logs", "artifacts/logs"},
		       {"user_logs", "artifacts/user_logs"},
		       {"system_logs", "artifacts/system_logs"},
		       {"code/outputs", "artifacts/outputs"}};
	struct artifacts a = {.run = r->id};
	const char *base = r->fd >= 0 ? "" : r->store_dir;
	int rc = 0;

	if (r->fd >= 0)
		rc = slu_context_local(f->s, r->dir, &a.from, e);
	else
		a.from = r->store;
	for (size_t i = 0; i < sizeof folders / sizeof *folders && rc == 0; i++)
		rc = add_folder(&a, base, folders[i].from, folders[i].to, e);
	if (rc == 0 && a.v.n)
		rc = copy_artifacts(f, &a, dir, e);
	for (size_t i = 0; i < a.v.n; i++)
		slu_copy_file_done(&a.v.p[i]);
	free(a.v.p);
	return rc;
}

/* The folder and those above it.  Links on the way are the caller's own. */
static int make_folder(const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *part = slu_strdup(path);

	if (!part)
		return slu_fail_oom(e);
	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(part, 0777);
		*p = '/';
	}
	if (mkdir(part, 0777) < 0 && errno != EEXIST)
		return slu_fail_sys(e, errno, "cannot make '%s'", path);
	return 0;
}

/* A name becomes a folder here.  Records lie where others may write, too: none leads out of the destination. */
static int check_part(const struct slu_run *r, const char *name, struct slu_err *e)
{
	if (*name && !strchr(name, '/') && slu_path_ok(name))
		return 0;
	return slu_fail(e, EBADMSG, "the record of run '%s' is damaged: '%s' is no name", r->id,
			name);
}

/* --- outputs --- */

static int fetch_output(struct fetch *f, const struct slu_run *r, const char *name, const char *dir,
			struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *ref = slu_asprintf("azureml://jobs/%s/outputs/%s", r->id, name);
	SLU_AUTO(slu_freep) char *target = slu_asprintf("%s/named-outputs/%s", dir, name);
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_view_freep) struct slu_view *v = NULL;
	struct slu_download_totals totals = {0};
	const struct slu_download_opts o = {
		.policy = SLU_POLICY_MERGE, .no_record = true, .totals = &totals};
	int rc = ref && target ? check_part(r, name, e) : slu_fail_oom(e);

	if (rc == 0)
		rc = slu_resolve_ref(f->s, ref, &d, e);
	if (rc == 0)
		rc = make_folder(target, e);
	if (rc < 0)
		return rc;
	rc = slu_download_open(d->tree, target, &o, slu_context_pool(f->s), &v, e);
	f->files += totals.files;
	f->bytes += totals.bytes;
	f->outputs++;
	return rc;
}

static int fetch_outputs(struct fetch *f, const struct slu_run *r, const char *dir,
			 struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	int rc = slu_outcome_get(f->s, r->id, &outcome, e);

	if (rc < 0)
		return rc;
	const struct json_t *outputs = slu_json_get(outcome, "outputs");

	for (void *it = slu_json_iter(outputs); it && rc == 0; it = slu_json_next(outputs, it))
		if (!f->output || slu_streq(slu_json_iter_key(it), f->output))
			rc = fetch_output(f, r, slu_json_iter_key(it), dir, e);
	return rc;
}

/* --- runs --- */

static int fetch_run(struct fetch *f, struct slu_run *r, const char *dir, struct slu_err *e)
{
	int rc = 0;

	if (!f->output && (rc = make_folder(dir, e)) == 0)
		rc = fetch_artifacts(f, r, dir, e);
	if (rc == 0 && (f->all || f->output))
		rc = fetch_outputs(f, r, dir, e);
	return rc;
}

struct below {
	struct fetch *f;
	const char *dir;
};

static int fetch_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	const struct below *b = user;
	SLU_AUTO(slu_freep) char *dir = slu_path_join(b->dir, step);
	int rc = dir ? check_part(child, step, e) : slu_fail_oom(e);

	return rc < 0 ? rc : fetch_run(b->f, child, dir, e);
}

static int report(const struct fetch *f, const char *id, const char *dir, struct json_t **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_str(o, "run", id) < 0 || slu_json_set_str(o, "directory", dir) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)f->files) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)f->bytes) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

int slu_run_fetch(struct sluice *s, const char *id, const char *dir, const char *output, bool all,
		  struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	struct fetch f = {.s = s, .output = output, .all = all};
	struct below b = {&f, dir};
	const char *status;
	int rc = slu_run_look(s, id, &r, &status, e);

	if (rc < 0)
		return rc;
	if ((output || all) && !slu_run_is_end(status))
		return slu_fail(e, EBUSY, "run '%s' is %s: its outputs are there when it is over",
				id, status);
	rc = fetch_run(&f, r, dir, e);
	if (rc == 0)
		rc = slu_run_children(r, fetch_child, &b, e);
	if (rc == 0 && output && !f.outputs)
		rc = slu_fail(e, ENOENT,
			      "run '%s' (%s) has no output '%s'; `sluice job show %s` lists them",
			      id, status, output, id);
	return rc < 0 ? rc : report(&f, id, dir, ret, e);
}
