/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API of downloads: download, plan, verify.
 */
#include "dataset/api_view.h"
#include "dataset/compare.h"
#include "dataset/layout.h"

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/download.h"
#include "fs/download_plan.h"
#include "fs/download_record.h"
#include "fs/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#define FOUND_MAX 10000

/* --- download --- */

struct bridge {
	const struct sluice_view_options *o;
};

static int on_progress(void *user, const struct slu_progress *p)
{
	const struct bridge *b = user;
	struct sluice_progress pub = {p->files, p->files_total, p->bytes, p->bytes_total};

	return b->o->progress(b->o->user, &pub);
}

static void on_failed(void *user, const char *path, const struct slu_err *why)
{
	const struct bridge *b = user;
	struct sluice_error e;

	slu_api_error(&e, why, -why->code);
	b->o->file(b->o->user, path, NULL, 0, &e);
}

static int download_options(struct sluice *s, const struct sluice_view_options *o,
			    struct slu_settings *set, struct slu_download_opts *ret,
			    struct slu_err *e)
{
	int r = slu_api_settle(s, 'd', o->settings, set, e);

	if (r < 0)
		return r;
	if (o->policy < SLUICE_POLICY_FAIL || o->policy > SLUICE_POLICY_REPLACE)
		return slu_fail(e, EINVAL, "sluice_view_options.policy is %d: there is none such",
				o->policy);
	if (o->flags & SLUICE_OVERWRITE && o->policy != SLUICE_POLICY_FAIL &&
	    o->policy != SLUICE_POLICY_MERGE)
		return slu_fail(e, EINVAL, "to overwrite is a policy of its own: give one of both");
	*ret = (struct slu_download_opts){
		.policy =
			o->flags & SLUICE_OVERWRITE ? SLU_POLICY_MERGE : (enum slu_policy)o->policy,
		.nosync = o->flags & SLUICE_NO_SYNC,
		.rehash = o->flags & SLUICE_REHASH,
		.no_record = o->flags & SLUICE_NO_RECORD,
		.ignore_not_found = o->flags & SLUICE_IGNORE_NOT_FOUND,
		.jobs = o->jobs ? o->jobs : set->jobs,
		.set = set,
		.check = (enum slu_check)o->check,
	};
	return 0;
}

static void give_totals(const struct slu_download_totals *t, struct sluice_download_totals *ret)
{
	if (ret)
		*ret = (struct sluice_download_totals){t->files, t->bytes,   t->resumed, t->there,
						       t->kept,  t->missing, t->failed,  t->cloned};
}

int sluice_download(struct sluice *s, const char *ref, const char *target,
		    const struct sluice_view_options *o, struct sluice_view **ret,
		    struct sluice_error *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	struct slu_download_totals totals = {0};
	struct sluice_view *v = NULL;
	struct slu_download_opts d;
	struct slu_settings set;
	struct slu_err er = {0};
	int r = slu_api_view_options(&o, &er);

	if (r == 0)
		r = download_options(s, o, &set, &d, &er);
	if (r == 0)
		r = slu_context_use_cache(s, &set, &er);
	if (r == 0)
		r = slu_path_absolute(target, &abs, &er);
	if (r == 0)
		r = slu_api_view_new(s, ref, o, &v, &er);
	if (r == 0)
		r = slu_layout_apply(s, &set, 'd', v->dataset, &er);
	if (r == 0) {
		struct bridge b = {o};

		d.progress = o->progress ? on_progress : NULL;
		d.failed = o->file ? on_failed : NULL;
		d.user = &b;
		d.totals = &totals;
		r = slu_download_open(v->dataset->tree, abs, &d, slu_context_pool(s), &v->view,
				      &er);
		give_totals(&totals, o->totals);
	}
	if (r < 0)
		sluice_view_free(v);
	else
		*ret = v;
	return slu_api_error(e, &er, r);
}

/* --- plan --- */

static int plan_json(const struct slu_plan *p, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct {
		const char *key;
		uint64_t n;
	} numbers[] = {
		{"files", p->files},
		{"bytes", p->bytes},
		{"there_files", p->there_files},
		{"there_bytes", p->there_bytes},
		{"kept_files", p->kept_files},
		{"removals", p->removals},
		{"resumed_bytes", p->resumed_bytes},
		{"fetch_files", p->fetch_files},
		{"fetch_bytes", p->fetch_bytes},
		{"requests", p->requests},
	};
	int r = o ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && r == 0; i++)
		r = slu_json_set_int(o, numbers[i].key, (int64_t)numbers[i].n);
	if (r == 0 && p->probe_requests) {
		r = slu_json_set_int(o, "estimate_ms", p->estimate_ns / SLU_MS);
		if (r == 0)
			r = slu_json_set_int(o, "probe_requests", (int64_t)p->probe_requests);
		if (r == 0)
			r = slu_json_set_int(o, "probe_bytes", (int64_t)p->probe_bytes);
		if (r == 0)
			r = slu_json_set_int(o, "probe_ms", p->probe_ns / SLU_MS);
	}
	if (r == 0 && p->refused.code)
		r = slu_json_set_str(o, "refused", p->refused.msg);
	return r < 0 ? slu_fail_oom(e) : slu_api_json(slu_take(o), ret, e);
}

int sluice_plan(struct sluice *s, const char *ref, const char *target,
		const struct sluice_view_options *o, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	struct slu_dataset *dataset = NULL;
	struct slu_download_opts d;
	struct slu_settings set;
	struct slu_err er = {0};
	struct slu_plan plan;
	int r = slu_api_view_options(&o, &er);

	if (r == 0)
		r = download_options(s, o, &set, &d, &er);
	if (r == 0 && target)
		r = slu_path_absolute(target, &abs, &er);
	if (r == 0)
		r = slu_api_dataset(s, ref, o->manifest, &dataset, &er);
	if (r == 0)
		r = slu_layout_apply(s, &set, 'd', dataset, &er);
	if (r == 0)
		r = slu_download_plan(dataset->tree, abs, &d, !(o->flags & SLUICE_NO_PROBE),
				      slu_context_pool(s), &plan, &er);
	if (r == 0)
		r = plan_json(&plan, ret_json, &er);
	slu_dataset_free(dataset);
	return slu_api_error(e, &er, r);
}

/* --- verify --- */

struct verify {
	const struct sluice_view_options *o;
	const struct slu_tree *tree;           /* NULL: against the record */
	const struct slu_manifest *m, *record; /* m: what should be there; record: NULL, none */
	struct json_t *found;
	atomic_bool told; /* that the store does not tell a checksum */
};

/* What the store computes of its file, as long as that is the one that is meant. */
static bool ask_store(struct verify *v, size_t at, char ret[SLU_ID_MAX])
{
	const struct slu_file *f = slu_manifest_at(v->m, at);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;
	struct slu_err e;
	struct slu_op op;

	if (slu_tree_locate(v->tree, at, &store, &path) < 0)
		return false;
	slu_op_stat(&op, path);
	op.flags = SLU_OPF_SUM;
	op.if_match = f->id[0] ? f->id : NULL;
	if (slu_store_wait(store, &op, &e) < 0) {
		if (!atomic_exchange(&v->told, true))
			slu_warn("verify", "the store's own checksum is not known: %s", e.msg);
		return false;
	}
	if (!op.attr.sum[0] || (f->id[0] && !slu_streq(op.attr.id, f->id)))
		return false;
	memcpy(ret, op.attr.sum, SLU_ID_MAX);
	return true;
}

/* The sum in the manifest, unless it is of other bytes than those beside which it was kept. */
static const char *listed_sum(const struct verify *v, size_t at)
{
	const char *sum = slu_manifest_at(v->m, at)->sum;

	return v->tree && !slu_tree_sum_stands(v->tree, at) ? "" : sum;
}

/* Of a file for which the store keeps no checksum, what it computes or what its download noted.  Without one, a file that came
 * from another state of the same object is not taken for this one. */
static bool sum_of(void *user, size_t at, char ret[SLU_ID_MAX])
{
	struct verify *v = user;
	const char *sum = listed_sum(v, at);
	size_t i = SIZE_MAX;

	if (v->tree && !*sum && ask_store(v, at, ret))
		return true;
	if (v->record && v->record != v->m && !*sum)
		i = slu_manifest_find(v->record, slu_manifest_at(v->m, at)->path);
	if (i != SIZE_MAX && slu_download_alike(v->m, at, v->record, i))
		sum = slu_manifest_at(v->record, i)->sum;
	else if (i != SIZE_MAX && slu_download_outdated(v->m, at, v->record, i))
		return false;
	snprintf(ret, SLU_ID_MAX, "%s", sum);
	return true;
}

static int verify_progress(void *user, const struct slu_progress *p)
{
	struct bridge b = {((const struct verify *)user)->o};

	return on_progress(&b, p);
}

static int on_found(void *user, enum slu_verify_what what, size_t at, const char *path,
		    const char *why)
{
	static const char *const names[] = {"missing", "different", "extra", "unreadable"};
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct verify *v = user;

	(void)at;
	if (slu_json_count(v->found) >= FOUND_MAX)
		return 0;
	o = slu_json_object();
	if (!o || slu_json_set_str(o, "path", path) < 0 ||
	    slu_json_set_str(o, "what", names[what]) < 0 || slu_json_set_str(o, "why", why) < 0)
		return -ENOMEM;
	return slu_json_append(v->found, slu_take(o));
}

static int verify_json(struct verify *v, const struct slu_verify_counts *n, char **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	uint64_t bad = n->missing + n->different + n->extra + n->unreadable;

	if (!o || slu_json_set_bool(o, "same", bad == 0) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)n->files) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)n->bytes) < 0 ||
	    slu_json_set_int(o, "unchecked", (int64_t)n->unchecked) < 0 ||
	    slu_json_set_int(o, "missing", (int64_t)n->missing) < 0 ||
	    slu_json_set_int(o, "different", (int64_t)n->different) < 0 ||
	    slu_json_set_int(o, "extra", (int64_t)n->extra) < 0 ||
	    slu_json_set_int(o, "unreadable", (int64_t)n->unreadable) < 0 ||
	    slu_json_set(o, "found", slu_take(v->found)) < 0)
		return slu_fail_oom(e);
	return slu_api_json(slu_take(o), ret, e);
}

static int verify_dir(struct sluice *s, int dirfd, const char *dir, struct verify *v, char **ret,
		      struct slu_err *e)
{
	const struct slu_verify_opts o = {.jobs = v->o->jobs,
					  .extra = true,
					  .sum = sum_of,
					  .found = on_found,
					  .progress = v->o->progress ? verify_progress : NULL,
					  .user = v};
	struct slu_verify_counts n;
	int r;

	v->m = v->tree ? v->tree->manifest : v->record;
	v->found = slu_json_array();
	r = v->found ? slu_verify(v->m, dirfd, dir, &o, slu_context_pool(s), &n, e)
		     : slu_fail_oom(e);
	if (r == 0)
		r = verify_json(v, &n, ret, e);
	slu_json_free(v->found);
	return r;
}

/* As a download of it has the names. */
static int laid_out(struct sluice *s, const char *ref, const struct sluice_view_options *o,
		    struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct slu_settings set;
	int r = slu_api_settle(s, 'd', o->settings, &set, e);

	if (r == 0)
		r = slu_api_dataset(s, ref, o->manifest, &d, e);
	if (r == 0)
		r = slu_layout_apply(s, &set, 'd', d, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

int sluice_verify(struct sluice *s, const char *dir, const char *ref,
		  const struct sluice_view_options *o, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *record = NULL;
	SLU_AUTO(slu_closep)
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct slu_dataset *dataset = NULL;
	struct slu_err er = {0};
	int r = slu_api_view_options(&o, &er);

	if (r == 0 && fd < 0)
		r = slu_fail_sys(&er, errno, "cannot open the folder '%s'", dir);
	if (r == 0)
		r = slu_dlrecord_read(fd, dir, &record, &er);
	if (r == -ENOENT && fd >= 0 && !ref)
		r = slu_fail(
			&er, ENOENT,
			"'%s' has no " SLU_DL_RECORD
			" of a download that came to its end: name what it should hold, as `sluice "
			"verify DIR REF`",
			dir);
	if (ref && (r == -ENOENT || r == -EBADMSG) && fd >= 0)
		r = 0;
	if (r == 0 && ref)
		r = laid_out(s, ref, o, &dataset, &er);
	if (r == 0) {
		struct verify v = {
			.o = o, .tree = dataset ? dataset->tree : NULL, .record = record};

		r = verify_dir(s, fd, dir, &v, ret_json, &er);
	}
	slu_dataset_free(dataset);
	return slu_api_error(e, &er, r);
}
