/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run folders and run.json.  Who may write a record, and when a run is over, is decided elsewhere
 * (alive.h, settle.h, dataset/outcome.h).
 */
#include "job/run.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/record.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Folders of runs that are being made. */
#define HIDDEN ".new-"
enum { ID_MAX = 80, RANDOM_LEN = 10, HIDDEN_AGE = 3600 /* s */ };

bool slu_run_id_ok(const char *id)
{
	return slu_is_name(id) && strlen(id) <= ID_MAX;
}

char *slu_run_new_id(const char *base)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t raw[RANDOM_LEN];
	char tail[RANDOM_LEN + 1];

	if (slu_random_bytes(raw, sizeof(raw)) < 0)
		return NULL;
	for (size_t i = 0; i < RANDOM_LEN; i++)
		tail[i] = digits[raw[i] % 36];
	tail[RANDOM_LEN] = '\0';
	return slu_asprintf("%s_%s", base, tail);
}

/* --- where it lies --- */

/* The store that gets a copy of run.json: none when the root is a local folder. */
static int find_store(struct slu_run *r, struct slu_err *e)
{
	struct slu_registry g;
	struct slu_hadoop h = {0};
	struct slu_err why = {0};
	int rc = slu_registry_open(r->s, &g, e);

	if (rc < 0)
		return rc;
	rc = slu_store_hadoop(g.store, g.root, &h, &why);
	if (rc < 0 && rc != -ENOTSUP) /* Hadoop cannot be who we are: no local folder either */
		return slu_fail(e, -rc, "%s", why.msg);
	if (rc < 0 || !slu_starts(h.uri, "file:"))
		r->store = g.store;
	slu_hadoop_done(&h);
	r->store_dir = slu_registry_path(&g, "runs/%s", r->id);
	return r->store_dir ? 0 : slu_fail_oom(e);
}

static int new_run(struct sluice *s, const char *id, struct slu_run **ret, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	const char *root;
	int rc;

	if (!slu_run_id_ok(id))
		return slu_fail(e, EINVAL,
				"'%s' is no run id: letters, digits, '_', '.' and '-', at most %d",
				id, ID_MAX);
	rc = slu_context_need_workspace(s, e);
	if (rc == 0)
		rc = slu_context_local_root(s, &root, e);
	if (rc < 0)
		return rc;
	r = slu_new0(struct slu_run);
	if (!r)
		return slu_fail_oom(e);
	r->s = s;
	r->fd = -1;
	pthread_mutex_init(&r->lock, NULL);
	r->id = slu_strdup(id);
	r->dir = slu_asprintf("%s/runs/%s", root, id);
	if (!r->id || !r->dir)
		return slu_fail_oom(e);
	rc = find_store(r, e);
	if (rc < 0)
		return rc;
	*ret = slu_take(r);
	return 0;
}

void slu_run_free(struct slu_run *r)
{
	if (!r)
		return;
	slu_closep(&r->fd);
	slu_json_free(r->doc);
	pthread_mutex_destroy(&r->lock);
	free(r->id);
	free(r->dir);
	free(r->store_dir);
	free(r->hidden);
	free(r);
}

static int open_runs(struct sluice *s, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int root = -1;
	const char *path;
	int fd, rc = slu_context_local_root(s, &path, e);

	if (rc < 0)
		return rc;
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return slu_fail_sys(e, errno, "cannot open the root '%s'", path);
	if (mkdirat(root, "runs", 0700) < 0 && errno != EEXIST)
		return slu_fail_sys(e, errno, "cannot make '%s/runs'", path);
	fd = openat(root, "runs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : slu_fail_sys(e, errno, "cannot open '%s/runs'", path);
}

static int make_dirs(struct slu_run *r, struct slu_err *e)
{
	static const char *const dirs[] = {"logs/azureml/driver", "user_logs",
					   "system_logs/data_capability"};
	SLU_AUTO(slu_closep) int runs = open_runs(r->s, e);
	struct stat st;

	if (runs < 0)
		return runs;
	if (fstatat(runs, r->id, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return slu_fail(e, EEXIST, "there is a run '%s' already", r->id);
	if (mkdirat(runs, r->hidden, 0700) < 0)
		return slu_fail_sys(e, errno, "cannot make the folder of run '%s'", r->id);
	r->fd = openat(runs, r->hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->fd < 0)
		return slu_fail_sys(e, errno, "cannot open the folder of run '%s'", r->id);
	flock(r->fd,
	      LOCK_EX | LOCK_NB); /* for slu_run_sweep; where it cannot be had, age decides */
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		int rc = slu_path_mkdirs(r->fd, dirs[i], 0700);

		if (rc < 0)
			return slu_fail_sys(e, -rc, "cannot make '%s' of run '%s'", dirs[i], r->id);
	}
	return 0;
}

/* Its maker holds a lock on each folder, as long as it lives.  The age is for file systems whose locks other
 * machines do not see, and for the moment between making and locking. */
static void sweep_one(int runs, const char *name)
{
	SLU_AUTO(slu_closep)
	int fd = openat(runs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 &&
	    slu_wall() / SLU_SEC - st.st_mtim.tv_sec > HIDDEN_AGE &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		slu_path_rmtree_mine(runs, name);
}

void slu_run_sweep(struct sluice *s)
{
	int runs = open_runs(s, NULL), again = runs < 0 ? -1 : fcntl(runs, F_DUPFD_CLOEXEC, 0);
	SLU_AUTO(slu_closedirp) DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *ent;

	if (!d && again >= 0)
		close(again);
	while (d && (ent = readdir(d)))
		if (slu_starts(ent->d_name, HIDDEN))
			sweep_one(runs, ent->d_name);
	slu_closep(&runs);
}

int slu_run_make(struct sluice *s, const char *id, struct json_t *doc, struct slu_run **ret,
		 struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *own = doc;
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	char random[17];
	int rc = doc ? new_run(s, id, &r, e) : slu_fail_oom(e);

	if (rc < 0)
		return rc;
	if (slu_random_id(random, sizeof(random) / 2) < 0 ||
	    !(r->hidden = slu_asprintf(HIDDEN "%s", random)))
		return slu_fail_oom(e);
	rc = make_dirs(r, e);
	if (rc < 0) {
		slu_run_discard(r);
		return rc;
	}
	r->doc = slu_take(own);
	*ret = slu_take(r);
	return 0;
}

int slu_run_commit(struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int runs = open_runs(r->s, e);
	int rc = runs < 0 ? runs : slu_run_save(r, e);

	if (rc < 0)
		return rc;
	/* A folder that is there and not empty, as every run's is, is not replaced. */
	if (renameat(runs, r->hidden, runs, r->id) < 0) {
		if (errno == EEXIST || errno == ENOTEMPTY)
			return slu_fail(e, EEXIST, "there is a run '%s' already", r->id);
		return slu_fail_sys(e, errno, "cannot make '%s'", r->dir);
	}
	free(slu_take(r->hidden));
	return 0;
}

void slu_run_discard(struct slu_run *r)
{
	SLU_AUTO(slu_closep) int runs = open_runs(r->s, NULL);

	if (runs >= 0)
		slu_path_rmtree_mine(runs, r->hidden ? r->hidden : r->id);
	if (r->store)
		slu_store_delete(r->store, r->store_dir, SLU_OPF_TREE, NULL);
}

/* --- run.json --- */

static int fail_missing(const struct slu_run *r, struct slu_err *e)
{
	return slu_fail(e, ENOENT, "there is no run '%s'; `sluice job list` shows the runs", r->id);
}

static int read_local(struct slu_run *r, struct slu_buf *b)
{
	if (r->fd < 0)
		r->fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	return slu_buf_read_at(b, r->fd, "run.json");
}

static int read_store(struct slu_run *r, struct slu_buf *b, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(r->store_dir, "run.json"), *text = NULL;
	size_t n;
	int rc = path ? slu_store_get(r->store, path, SLU_RUN_JSON_MAX, &text, &n, e)
		      : slu_fail_oom(e);

	if (rc == 0)
		slu_buf_add(b, text, n);
	return rc;
}

static int check_doc(const struct slu_run *r, const struct json_t *doc, struct slu_err *e)
{
	int64_t format = slu_json_is_object(doc) ? slu_json_int(doc, "format", 0) : 0;
	const char *run = slu_json_is_object(doc) ? slu_json_str(doc, "run") : NULL;

	if (format > SLU_REGISTRY_FORMAT)
		return slu_fail(e, ENOTSUP,
				"run '%s' was written by a newer sluice (format %lld): install "
				"that one",
				r->id, (long long)format);
	if (format != SLU_REGISTRY_FORMAT || !run || !slu_streq(run, r->id))
		return slu_fail(e, EBADMSG, "'%s/run.json' is damaged: it is no record of this run",
				r->dir);
	return 0;
}

int slu_run_reload(struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_RUN_JSON_MAX);
	SLU_AUTO(slu_freep) char *what = slu_asprintf("%s/run.json", r->dir);
	SLU_AUTO(slu_json_freep) struct json_t *doc = NULL;
	int rc = read_local(r, &b);

	if ((rc == -ENOENT || rc == -ENOTDIR) && r->store)
		rc = read_store(r, &b, e);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return fail_missing(r, e);
	if (rc < 0)
		return slu_fail_sys(e, -rc, "cannot read '%s'", what ? what : r->id);
	rc = slu_json_parse(b.p ? b.p : "", b.len, what ? what : r->id, &doc, e);
	if (rc == 0)
		rc = check_doc(r, doc, e);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&r->lock);
	slu_json_free(r->doc);
	r->doc = slu_take(doc);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

int slu_run_open(struct sluice *s, const char *id, struct slu_run **ret, struct slu_err *e)
{
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	int rc = new_run(s, id, &r, e);

	if (rc == 0)
		rc = slu_run_reload(r, e);
	if (rc == 0)
		*ret = slu_take(r);
	return rc;
}

int slu_run_save(struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = slu_json_text(r->doc, SLU_JSON_PRETTY), *path = NULL;
	int rc = text ? 0 : -ENOMEM;

	if (rc == 0 && r->fd >= 0)
		rc = slu_path_write_atomic(r->fd, "run.json", text, strlen(text));
	if (rc < 0)
		return slu_fail_sys(e, -rc, "cannot write '%s/run.json'", r->dir);
	if (!r->store)
		return 0;
	path = slu_path_join(r->store_dir, "run.json");
	return path ? slu_store_put(r->store, path, text, strlen(text), 0, NULL, e)
		    : slu_fail_oom(e);
}

int slu_run_add_state(struct json_t *doc, const char *status, const char *time)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct json_t *states = slu_json_get(doc, "states");

	if (!states) {
		if (slu_json_set(doc, "states", slu_json_array()) < 0)
			return -ENOMEM;
		states = slu_json_get(doc, "states");
	}
	if (!o || slu_json_set_str(o, "status", status) < 0 ||
	    slu_json_set_str(o, "time", time) < 0 || slu_json_append(states, slu_take(o)) < 0)
		return -ENOMEM;
	return slu_json_set_str(doc, "status", status);
}

int slu_run_status(struct slu_run *r, const char *status, struct slu_err *e)
{
	char now[SLU_TIME_LEN];
	const char *old;
	int rc = 0;

	slu_time_fmt(now, slu_wall());
	pthread_mutex_lock(&r->lock);
	old = slu_json_str(r->doc, "status");
	if (!slu_run_is_end(old) && !(old && slu_streq(old, status))) {
		rc = slu_run_add_state(r->doc, status, now) < 0 ? slu_fail_oom(e) : 0;
		if (rc == 0)
			rc = slu_run_save(r, e);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int slu_run_set(struct slu_run *r, const char *key, struct json_t *v, bool save, struct slu_err *e)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = slu_json_set(r->doc, key, v) < 0 ? slu_fail_oom(e) : 0;
	if (rc == 0 && save)
		rc = slu_run_save(r, e);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

const char *slu_run_get(const struct slu_run *r, const char *key)
{
	return slu_json_str(r->doc, key);
}

bool slu_run_is_end(const char *status)
{
	return status && (slu_streq(status, "Completed") || slu_streq(status, "Failed") ||
			  slu_streq(status, "Canceled"));
}

/* --- all of them --- */

static int add_id(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	const char *id = slu_path_base(path);

	if (attr->kind != SLU_KIND_DIR || !slu_run_id_ok(id))
		return 0;
	return slu_json_append(user, slu_json_new_str(id)) < 0 ? slu_fail_oom(e) : 0;
}

int slu_run_ids(struct sluice *s, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *ids = slu_json_array();
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_registry g;
	int rc = slu_registry_open(s, &g, e);

	if (rc < 0)
		return rc;
	path = slu_registry_path(&g, "runs");
	if (!ids || !path)
		return slu_fail_oom(e);
	rc = slu_walk_dir(g.store, path, add_id, ids, e);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	*ret = slu_take(ids);
	return 0;
}
