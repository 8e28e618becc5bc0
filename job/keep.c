/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists, archive and delete.  A run that is over has no supervisor, so whoever archives it writes its
 * record.
 */
#include "job/keep.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/record.h"
#include "fs/walk.h"
#include "job/alive.h"
#include "job/livy.h"
#include "job/reuse.h"
#include "job/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUPERVISOR_TIME (30 * SLU_SEC)

/* --- searching --- */

struct query {
	const char *status, *experiment, *parent;
	bool plain, archived; /* runs that are not archived; those that are */
	int64_t before;       /* wall ns: ended earlier; 0: any */
	size_t limit;         /* 0: none */
};

static int read_archived(const struct json_t *q, struct query *ret, struct slu_err *e)
{
	const char *which = slu_json_str(q, "archived");

	ret->plain = !which || !slu_streq(which, "only");
	ret->archived = which && !slu_streq(which, "no");
	if (which && !slu_streq(which, "no") && !slu_streq(which, "yes") &&
	    !slu_streq(which, "only"))
		return slu_fail(e, EINVAL, "'%s' is none of no, yes, only", which);
	return 0;
}

static bool is_status(const char *text)
{
	static const char *const all[] = {"NotStarted", "Queued",          "Preparing", "Running",
					  "Finalizing", "CancelRequested", "Completed", "Failed",
					  "Canceled",   "NotResponding"};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (slu_streq(all[i], text))
			return true;
	return false;
}

static int read_query(const struct json_t *q, struct query *ret, struct slu_err *e)
{
	const char *age = slu_json_str(q, "older_than");
	int64_t limit = slu_json_int(q, "limit", 0), ns = 0;
	int r = read_archived(q, ret, e);

	if (r < 0)
		return r;
	ret->status = slu_json_str(q, "status");
	ret->experiment = slu_json_str(q, "experiment");
	ret->parent = slu_json_str(q, "parent");
	if (ret->status && !is_status(ret->status))
		return slu_fail(e, EINVAL,
				"'%s' is no status of a run: Completed, Failed, Canceled, Running "
				"and the like",
				ret->status);
	if (age && (!slu_duration(age, &ns) || ns < 0))
		return slu_fail(e, EINVAL, "'%s' is no time, such as 30d or 12h", age);
	if (limit < 0)
		return slu_fail(e, EINVAL, "a limit is not negative");
	ret->before = age ? slu_wall() - ns : 0;
	ret->limit = (size_t)limit;
	return 0;
}

static bool same(const struct slu_run *r, const char *key, const char *want)
{
	const char *is = slu_run_get(r, key);

	return !want || (is && slu_streq(is, want));
}

static bool old_enough(const struct slu_run *r, const struct query *q)
{
	const char *ended = slu_run_get(r, "ended");
	int64_t t;

	if (!q->before)
		return true;
	return slu_run_is_end(slu_run_get(r, "status")) && ended && slu_time_parse(ended, &t) &&
	       t <= q->before;
}

/* What needs no look at whether its supervisor lives. */
static bool matches(const struct slu_run *r, const struct query *q)
{
	bool archived = slu_run_get(r, "archived") != NULL;

	return (archived ? q->archived : q->plain) && same(r, "experiment", q->experiment);
}

static int describe(const struct slu_run *r, const char *status, struct json_t **ret)
{
	static const char *const keys[] = {"run",        "type",     "status", "created",
					   "ended",      "reason",   "step",   "display_name",
					   "experiment", "archived", "parent", "reused_from"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json_t *v = slu_json_get(r->doc, keys[i]);

		if (!o || (v && slu_json_set(o, keys[i], slu_json_copy(v)) < 0))
			return -ENOMEM;
	}
	if (slu_json_set_str(o, "status", status) < 0)
		return -ENOMEM;
	*ret = slu_take(o);
	return 0;
}

/* *ret stays NULL when it is not one of those that are asked for. */
static int look_at(struct slu_run *r, const struct query *q, struct json_t **ret, struct slu_err *e)
{
	struct slu_alive a = {.life = SLU_LIFE_ALIVE};
	const char *status;
	int rc;

	if (!matches(r, q))
		return 0;
	rc = slu_run_get(r, "parent") ? 0 : slu_run_settle(r, &a, e);
	if (rc < 0)
		return rc;
	status = slu_run_get(r, "status");
	if (a.life == SLU_LIFE_LATE && !slu_run_is_end(status))
		status = slu_run_late_status(r);
	if ((q->status && !slu_streq(status, q->status)) || !old_enough(r, q))
		return 0;
	return describe(r, status, ret) < 0 ? slu_fail_oom(e) : 0;
}

static int list_one(struct sluice *s, const char *id, const struct query *q, struct json_t **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	int rc = slu_run_open(s, id, &r, e);

	return rc < 0 || slu_run_get(r, "parent") ? rc : look_at(r, q, ret, e);
}

static int newest_first(const void *a, const void *b)
{
	const char *x = slu_json_str(*(struct json_t *const *)a, "created");
	const char *y = slu_json_str(*(struct json_t *const *)b, "created");

	return strcmp(y ? y : "", x ? x : "");
}

/* Takes what `all` holds. */
static int give(struct json_t **all, size_t n, const struct query *q, struct json_t **ret,
		struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	int r = list ? 0 : -ENOMEM;

	if (n)
		qsort(all, n, sizeof(struct json_t *), newest_first);
	for (size_t i = 0; i < n; i++) {
		if (r < 0 || (q->limit && i >= q->limit))
			slu_json_free(all[i]);
		else
			r = slu_json_append(list, all[i]);
	}
	if (r < 0)
		return slu_fail_oom(e);
	*ret = slu_take(list);
	return 0;
}

static int list_all(struct sluice *s, const struct query *q, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *ids = NULL;
	SLU_AUTO(slu_freep) struct json_t **all = NULL;
	size_t n = 0;
	int r = slu_run_ids(s, &ids, e);

	if (r < 0)
		return r;
	all = slu_calloc(slu_json_count(ids) + 1, sizeof(struct json_t *));
	if (!all)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_json_count(ids) && r == 0; i++) {
		const char *id = slu_json_string(slu_json_at(ids, i));
		struct slu_err why = {0};

		/* A folder that is no run, or one that is damaged, hides no other. */
		if (list_one(s, id, q, &all[n], &why) == 0 && all[n])
			n++;
		else if (why.code == ENOMEM)
			r = slu_fail_oom(e);
	}
	if (r == 0)
		return give(all, n, q, ret, e);
	while (n)
		slu_json_free(all[--n]);
	return r;
}

struct steps {
	const struct query *q;
	struct json_t *list;
};

static int add_step(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	const struct steps *st = user;
	struct json_t *o = NULL;
	int r = look_at(child, st->q, &o, e);

	(void)step;
	if (r < 0 || !o || (st->q->limit && slu_json_count(st->list) >= st->q->limit)) {
		slu_json_free(o);
		return r;
	}
	return slu_json_append(st->list, o) < 0 ? slu_fail_oom(e) : 0;
}

/* In the order of the pipeline's file. */
static int list_steps(struct sluice *s, const struct query *q, struct json_t **ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	struct steps st = {q, list};
	const char *status;
	int rc = list ? slu_run_look(s, q->parent, &r, &status, e) : slu_fail_oom(e);

	if (rc == 0)
		rc = slu_run_children(r, add_step, &st, e);
	if (rc == 0)
		*ret = slu_take(list);
	return rc;
}

int slu_run_search(struct sluice *s, const struct json_t *query, struct json_t **ret,
		   struct slu_err *e)
{
	struct query q = {0};
	int r = read_query(query, &q, e);

	if (r < 0)
		return r;
	return q.parent ? list_steps(s, &q, ret, e) : list_all(s, &q, ret, e);
}

/* --- runs that are over --- */

static int open_over(struct sluice *s, const char *id, const char *what, struct slu_run **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	const char *status;
	int rc = slu_run_look(s, id, &r, &status, e);

	if (rc < 0)
		return rc;
	if (slu_run_get(r, "parent"))
		return slu_fail(e, EINVAL, "run '%s' is a step: %s its pipeline, '%s'", id, what,
				slu_run_get(r, "parent"));
	/* Its record says so, too: from then on nobody else writes it. */
	if (!slu_run_is_end(slu_run_get(r, "status")))
		return slu_fail(e, EBUSY,
				"run '%s' is %s: wait for its end or `sluice job cancel %s`", id,
				status, id);
	/* It is said to be over a moment before its supervisor has ended, which may copy records and logs to the store
	 * until then. */
	if (!slu_alive_await_end(r, slu_deadline_in(SUPERVISOR_TIME)))
		return slu_fail(e, EBUSY,
				"run '%s' is %s, but its supervisor has not ended yet: try again",
				id, status);
	*ret = slu_take(r);
	return 0;
}

int slu_run_archive(struct sluice *s, const char *id, bool archived, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	char now[SLU_TIME_LEN];
	int rc = open_over(s, id, archived ? "archive" : "restore", &r, e);

	if (rc < 0 || archived == (slu_run_get(r, "archived") != NULL))
		return rc;
	if (archived) {
		slu_time_fmt(now, slu_wall());
		return slu_run_set(r, "archived", slu_json_new_str(now), true, e);
	}
	slu_json_del(r->doc, "archived");
	return slu_run_save(r, e);
}

/* --- deleting --- */

#define RECORD "run.json"
#define STAYS "outcome.json"
enum { NOTE_MAX = 1 << 20 };

static bool is_last(const char *name)
{
	return slu_streq(name, RECORD) || slu_streq(name, STAYS) || slu_streq(name, ".") ||
	       slu_streq(name, "..");
}

/* The record last, so that a crash leaves a run that can be deleted again. */
static int empty_folder(const struct slu_run *r, struct slu_err *e)
{
	int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		rc = slu_fail_sys(e, errno, "cannot list '%s'", r->dir);
		slu_closep(&fd);
		return rc;
	}
	while (rc == 0 && (ent = readdir(d)))
		if (!is_last(ent->d_name))
			rc = slu_path_rmtree_mine(r->fd, ent->d_name);
	if (rc == 0 && unlinkat(r->fd, RECORD, 0) < 0 && errno != ENOENT)
		rc = -errno;
	return rc < 0 ? slu_fail_sys(e, -rc, "cannot delete what is in '%s'", r->dir) : 0;
}

static int remove_object(void *user, const char *path, const struct slu_attr *attr,
			 struct slu_err *e)
{
	const struct slu_run *r = user;
	bool dir = attr->kind == SLU_KIND_DIR;
	int rc;

	if (!dir && is_last(slu_path_base(path)))
		return 0;
	rc = slu_store_delete(r->store, path, dir ? SLU_OPF_TREE : 0, e);
	return rc == -ENOENT ? 0 : rc;
}

static int empty_store(struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *record = slu_path_join(r->store_dir, RECORD);
	int rc = record ? slu_walk_dir(r->store, r->store_dir, remove_object, r, e)
			: slu_fail_oom(e);

	if (rc == 0)
		rc = slu_store_delete(r->store, record, 0, e);
	return rc == -ENOENT ? 0 : rc;
}

static int delete_one(struct slu_run *r, struct slu_err *e)
{
	int rc = 0;

	slu_reuse_forget(r->s, r->doc);
	if (r->store)
		rc = empty_store(r, e);
	if (rc == 0 && r->fd >= 0)
		rc = empty_folder(r, e);
	return rc;
}

/* Its note is all that is known of a batch that may still run.  The run was just looked at, so that was tried. */
static int check_batch(const struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_LIVY_BATCH, r->dir);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *compute;

	if (r->fd < 0)
		return 0;
	if (!path)
		return slu_fail_oom(e);
	if (access(path, F_OK) < 0)
		return 0;
	slu_json_read_file(path, NOTE_MAX, &o, NULL);
	compute = slu_json_str(o, "compute");
	return slu_fail(
		e, EBUSY,
		"run '%s' has a batch on compute '%s' that may still run: try again when its "
		"server answers, or end the batch there and remove '%s'",
		r->id, compute ? compute : "", path);
}

static int check_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	const struct slu_run *r = user;
	const char *parent = slu_run_get(child, "parent");

	(void)step;
	return parent && slu_streq(parent, r->id) ? check_batch(child, e) : 0;
}

static int delete_child(void *user, struct slu_run *child, const char *step, struct slu_err *e)
{
	const struct slu_run *r = user;
	const char *parent = slu_run_get(child, "parent");

	(void)step;
	/* A record names its children; only what says the same is one of them. */
	return parent && slu_streq(parent, r->id) ? delete_one(child, e) : 0;
}

int slu_run_delete(struct sluice *s, const char *id, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	int rc = open_over(s, id, "delete", &r, e);

	if (rc == 0)
		rc = check_batch(r, e);
	if (rc == 0)
		rc = slu_run_children(r, check_child, r, e);
	if (rc == 0)
		rc = slu_run_children(r, delete_child, r, e);
	return rc < 0 ? rc : delete_one(r, e);
}
