/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of sessions: found, made, told, ended.  What runs in a session is livy_session.c's business.  A record is
 * written before its session is asked for, so one whose maker died meanwhile is found by its name on the server.
 */
#include "job/session.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/context.h"
#include "io/crypt.h"
#include "job/compute.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "sessions"
enum { RECORD_MAX = 1 << 20 };
/* Counted, not timed: a machine that stands still meanwhile takes none away. */
enum { LOOKS = 3000, LOOK_MS = 10 }; /* a record that somebody only looks at is waited for */
enum {
	SETTLES = 100,
	SETTLE_MS = 100
}; /* a session whose statement is over is busy for a moment still */

int64_t slu_session_id(const struct slu_session *v)
{
	return slu_json_int(v->doc, "id", -1);
}

void slu_session_done(struct slu_session *v)
{
	slu_closep(&v->lock);
	slu_closep(&v->dir);
	free(v->name);
	slu_json_free(v->doc);
	*v = (struct slu_session){.dir = -1, .lock = -1};
}

/* --- one record --- */

static char *file_name(const struct slu_session *v, const char *ext)
{
	return slu_asprintf("%s.%s", v->name, ext);
}

static int open_folder(struct sluice *s, bool make, int *ret, struct slu_err *e)
{
	const char *root;
	int r = slu_context_local_root(s, &root, e);
	SLU_AUTO(slu_freep) char *path = r == 0 ? slu_asprintf("%s/" FOLDER, root) : NULL;

	if (r < 0)
		return r;
	if (!path)
		return slu_fail_oom(e);
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return slu_fail_sys(e, errno, "cannot make '%s'", path);
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0)
		return errno == ENOENT ? -ENOENT : slu_fail_sys(e, errno, "cannot open '%s'", path);
	return 0;
}

/* Who uses a record has it for itself; who only looks shares it with others who look, and is waited for. */
static int take_lock(int fd, bool look)
{
	if (look)
		return flock(fd, LOCK_SH | LOCK_NB) < 0 ? -errno : 0;
	for (int i = 0; i < LOOKS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK || flock(fd, LOCK_SH | LOCK_NB) < 0)
			return -errno;
		flock(fd, LOCK_UN);
		poll(NULL, 0, LOOK_MS);
	}
	return -EWOULDBLOCK;
}

static int lock_record(struct slu_session *v, bool look)
{
	SLU_AUTO(slu_freep) char *file = file_name(v, "lock");
	int r;

	if (!file)
		return -ENOMEM;
	v->lock = openat(v->dir, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (v->lock < 0)
		return -errno;
	r = take_lock(v->lock, look);
	if (r < 0)
		slu_closep(&v->lock);
	return r == -EWOULDBLOCK ? -EBUSY : r;
}

static int read_record(struct slu_session *v)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(RECORD_MAX);
	SLU_AUTO(slu_freep) char *file = file_name(v, "json");
	int r = file ? slu_buf_read_at(&b, v->dir, file) : -ENOMEM;

	return r < 0 ? r : slu_json_parse(b.p ? b.p : "", b.len, file, &v->doc, NULL);
}

/* name: of a record.  *ret_locked: it is ours now, or with look nobody's; else somebody uses it. */
static int open_record(int dir, const char *name, bool look, struct slu_session *v,
		       bool *ret_locked)
{
	int r;

	*v = (struct slu_session){.dir = fcntl(dir, F_DUPFD_CLOEXEC, 3), .lock = -1};
	v->name = slu_strdup(name);
	r = !v->name || v->dir < 0 ? -ENOMEM : lock_record(v, look);
	*ret_locked = r == 0;
	if (r == 0 || r == -EBUSY)
		r = read_record(v);
	if (r == -ENOENT && *ret_locked) { /* it was deleted while we looked */
		SLU_AUTO(slu_freep) char *file = file_name(v, "lock");

		if (file)
			unlinkat(v->dir, file, 0);
	}
	if (r < 0)
		slu_session_done(v);
	return r;
}

static void forget(struct slu_session *v)
{
	static const char *const ext[] = {"json", "lock"};

	for (size_t i = 0; i < 2; i++) {
		SLU_AUTO(slu_freep) char *file = file_name(v, ext[i]);

		if (file)
			unlinkat(v->dir, file, 0);
	}
}

bool slu_session_alive(const struct slu_session *v)
{
	SLU_AUTO(slu_freep) char *file = file_name(v, "json");

	return file && faccessat(v->dir, file, F_OK, 0) == 0;
}

int slu_session_save(struct slu_session *v, bool used, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL, *file = file_name(v, "json");
	int r;

	if (used && slu_json_set_int(v->doc, "used", slu_wall() / SLU_SEC) < 0)
		return slu_fail_oom(e);
	text = slu_json_text(v->doc, SLU_JSON_PRETTY);
	if (!text || !file)
		return slu_fail_oom(e);
	r = slu_path_write_atomic(v->dir, file, text, strlen(text));
	return r < 0 ? slu_fail_sys(e, -r, "cannot write the record of session '%s'", v->name) : 0;
}

/* --- the server's side --- */

/* All sessions of a server.  A question for the list is no sign of life of any of them. */
static int ask_all(struct slu_livy *l, struct json_t **ret, struct slu_err *e)
{
	return slu_livy_list(l, "/sessions", ret, e);
}

static const struct json_t *pick(const struct json_t *all, const struct slu_session *v)
{
	for (size_t i = 0; i < slu_json_count(all); i++) {
		const struct json_t *o = slu_json_at(all, i);
		const char *name = slu_json_str(o, "name");

		if (slu_session_id(v) >= 0 ? slu_json_int(o, "id", -1) == slu_session_id(v) &&
						     !slu_livy_is_other(o, v->name)
					   : name && slu_streq(name, v->name))
			return o;
	}
	return NULL;
}

int slu_session_recover(struct slu_session *v, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	const struct json_t *o;
	int r = ask_all(v->livy, &all, e);

	if (r < 0)
		return r;
	o = pick(all, v);
	if (!o)
		return -ENOENT;
	return slu_json_set_int(v->doc, "id", slu_json_int(o, "id", -1)) < 0 ? slu_fail_oom(e) : 0;
}

/* What the server says of it.  -ENOENT: it has none of that number, or another's. */
static int ask_one(struct slu_session *v, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/sessions/%" PRId64, slu_session_id(v));
	r = slu_livy_call(v->livy, "GET", path, NULL, &o, e);
	if (r == 0 && slu_livy_is_other(o, v->name))
		return -ENOENT;
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

int slu_session_drop(struct slu_session *v, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	char path[64];
	int r = slu_session_id(v) < 0 ? slu_session_recover(v, e) : 0;

	/* What cannot be asked whose it is may be another's. */
	if (r == 0)
		r = ask_one(v, &o, e);
	if (r == 0) {
		snprintf(path, sizeof(path), "/sessions/%" PRId64, slu_session_id(v));
		r = slu_livy_call(v->livy, "DELETE", path, NULL, NULL, e);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	forget(v);
	return 0;
}

/* --- times --- */

static int64_t idle_seconds(const struct slu_session *v)
{
	int64_t n = slu_wall() / SLU_SEC - slu_json_int(v->doc, "used", 0);

	return n < 0 ? 0 : n;
}

static int64_t life(const struct slu_session *v)
{
	return slu_json_int(v->doc, "timeout", 0) + slu_json_int(v->doc, "grace", 0);
}

static bool is_over(const struct slu_session *v)
{
	return idle_seconds(v) >= life(v);
}

/* --- all records --- */

typedef int each_fn(void *user, struct slu_session *v, bool locked, struct slu_err *e);

/* fn for each record, of one compute or all; non-zero ends it.  fn may take *v, and zeroes it then.  look: it is not to be
 * ours, only nobody's. */
static int each(struct sluice *s, const char *compute, bool look, each_fn *fn, void *user,
		struct slu_err *e)
{
	SLU_AUTO(slu_closedirp) DIR *d = NULL;
	const struct dirent *ent;
	int dir = -1, r = open_folder(s, false, &dir, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	d = fdopendir(dir);
	if (!d) {
		slu_closep(&dir);
		return slu_fail_oom(e);
	}
	while (r == 0 && (ent = readdir(d))) {
		struct slu_session v;
		bool locked;
		SLU_AUTO(slu_freep) char *name = NULL;

		if (ent->d_name[0] == '.' || !slu_ends(ent->d_name, ".json"))
			continue;
		name = slu_strndup(ent->d_name, strlen(ent->d_name) - strlen(".json"));
		if (!name)
			return slu_fail_oom(e);
		if (open_record(dirfd(d), name, look, &v, &locked) < 0)
			continue;
		const char *of = slu_json_str(v.doc, "compute");
		if (of && (!compute || slu_streq(of, compute)))
			r = fn(user, &v, locked, e);
		slu_session_done(&v);
	}
	return r;
}

/* --- finding and making --- */

struct search {
	struct slu_livy *livy;
	const char *key;
	struct slu_session *ret;
};

/* May a step begin in it?  No step is in it: what is busy has just ended one. */
static bool is_ready(struct slu_session *v, bool *ret_gone)
{
	for (int i = 0; i < SETTLES; i++) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
		const char *state;
		int r = ask_one(v, &o, NULL);

		*ret_gone = r == -ENOENT;
		if (r < 0)
			return false;
		switch (slu_livy_judge(o, &state)) {
		case SLU_LIVY_WAITS:
			return true;
		case SLU_LIVY_RUNS:
			if (!slu_streq(state, "busy"))
				return slu_streq(state, "idle");
			poll(NULL, 0, SETTLE_MS);
			break;
		default:
			*ret_gone = true;
			return false;
		}
	}
	return false;
}

static int try_one(void *user, struct slu_session *v, bool locked, struct slu_err *e)
{
	const struct search *q = user;
	const char *key = slu_json_str(v->doc, "key");
	bool gone = false;

	(void)e;
	if (!locked)
		return 0;
	v->livy = q->livy;
	if (is_over(v) || slu_session_id(v) < 0)
		gone = true;
	else if (!key || !slu_streq(key, q->key))
		return 0;
	else if (is_ready(v, &gone)) {
		*q->ret = *v;
		*v = (struct slu_session){.dir = -1, .lock = -1};
		return 1;
	}
	if (gone && slu_session_drop(v, NULL) < 0)
		slu_warn("job", "session '%s' is over, and could not be deleted", v->name);
	return 0;
}

int slu_session_find(struct sluice *s, struct slu_livy *l, const char *compute, const char *key,
		     struct slu_session *ret, struct slu_err *e)
{
	struct search q = {.livy = l, .key = key, .ret = ret};

	return each(s, compute, false, try_one, &q, e);
}

static int fill(struct slu_session *v, const char *compute, const char *key, int64_t timeout,
		int64_t grace)
{
	const int64_t now = slu_wall() / SLU_SEC;

	v->doc = slu_json_object();
	if (slu_json_set_str(v->doc, "compute", compute) < 0 ||
	    slu_json_set_str(v->doc, "key", key) < 0 ||
	    slu_json_set_str(v->doc, "name", v->name) < 0 ||
	    slu_json_set_int(v->doc, "timeout", timeout) < 0 ||
	    slu_json_set_int(v->doc, "grace", grace) < 0 ||
	    slu_json_set_int(v->doc, "created", now) < 0)
		return -ENOMEM;
	return slu_json_set_int(v->doc, "steps", 0);
}

int slu_session_add(struct sluice *s, struct slu_livy *l, const char *compute, const char *key,
		    int64_t timeout, int64_t grace, struct slu_session *ret, struct slu_err *e)
{
	struct slu_session v = {.livy = l, .dir = -1, .lock = -1};
	char id[13];
	int r = open_folder(s, true, &v.dir, e);

	if (r < 0)
		return r;
	if (slu_random_id(id, 6) < 0)
		r = slu_fail(e, EIO, "there is no randomness");
	else if (!(v.name = slu_asprintf("sluice-%s-%s", compute, id)) ||
		 fill(&v, compute, key, timeout, grace) < 0)
		r = slu_fail_oom(e);
	else if ((r = lock_record(&v, false)) < 0)
		slu_fail_sys(e, -r, "cannot lock the record of a session");
	else
		r = slu_session_save(&v, true, e);
	if (r < 0)
		slu_session_done(&v);
	else
		*ret = v;
	return r;
}

/* --- for people --- */

struct look {
	struct sluice *s;
	struct json_t *rows;
	char *compute; /* whose server was asked last */
	struct slu_livy *livy;
	struct json_t *all; /* its sessions; NULL: it does not answer */
	struct json_t *one; /* asked for by itself */
	int64_t id;         /* stop: only that one; -1: all */
	unsigned stopped;
};

static void look_done(struct look *k)
{
	slu_json_free(k->rows);
	slu_json_free(k->all);
	slu_json_free(k->one);
	slu_livy_free(k->livy);
	free(k->compute);
}

static int open_livy(struct sluice *s, const char *compute, struct slu_livy **ret,
		     struct slu_err *e)
{
	struct slu_compute c = {0};
	int r = slu_compute_find(s, compute, SLU_JOB_SPARK, &c, e);

	if (r == 0 && (c.fallback || !c.livy))
		r = slu_fail(e, ENOENT, "compute '%s' is no Livy server of config.json", compute);
	if (r == 0)
		r = slu_livy_open(s, compute, c.livy, ret, e);
	slu_compute_done(&c);
	return r;
}

/* The server of a record's compute, asked once. */
static int ask_server(struct look *k, const char *compute, struct slu_err *e)
{
	if (k->compute && slu_streq(k->compute, compute))
		return 0;
	slu_json_free(slu_take(k->all));
	slu_livy_free(slu_take(k->livy));
	free(slu_take(k->compute));
	if (!(k->compute = slu_strdup(compute)))
		return slu_fail_oom(e);
	if (open_livy(k->s, compute, &k->livy, NULL) == 0)
		ask_all(k->livy, &k->all, NULL);
	return 0;
}

/* It was nobody's: is it still, and as it was?  Then it is ours alone from here on. */
static bool take_over(struct slu_session *v)
{
	SLU_AUTO(slu_json_freep) struct json_t *before = slu_take(v->doc);
	const int64_t used = slu_json_int(before, "used", 0);

	if (flock(v->lock, LOCK_EX | LOCK_NB) == 0 && read_record(v) == 0 &&
	    slu_json_int(v->doc, "used", 0) == used)
		return true;
	if (!v->doc)
		v->doc = slu_take(before);
	return false;
}

/* What the server says of a session, NULL: nothing.  One that it did not tell of may have been made since. */
static const struct json_t *look_up(struct look *k, struct slu_session *v, bool locked,
				    bool *ret_gone)
{
	const struct json_t *o = k->all ? pick(k->all, v) : NULL;

	*ret_gone = k->all && !o;
	if (!*ret_gone || !locked || slu_session_id(v) < 0)
		return o;
	slu_json_free(slu_take(k->one));
	*ret_gone = ask_one(v, &k->one, NULL) == -ENOENT;
	return k->one;
}

/* Of one that nobody uses: ends it when its time is over; NULL: it is not. */
static const char *end_over(const struct look *k, struct slu_session *v, bool gone)
{
	if (!is_over(v) && !(k->livy && gone))
		return NULL;
	if (!take_over(v))
		return "busy"; /* by now */
	if (k->livy)
		return slu_session_drop(v, NULL) == 0 ? "ended" : "unreachable";
	forget(v); /* its compute is no more, and its server ended it */
	return "ended";
}

/* In a person's words. */
static const char *state_of(struct look *k, struct slu_session *v, bool locked)
{
	bool gone;
	const struct json_t *o = look_up(k, v, locked, &gone);
	const char *state = locked ? end_over(k, v, gone) : NULL;

	if (state)
		return state;
	if (!k->all)
		return "unreachable";
	if (!o)
		return "starting";
	slu_livy_judge(o, &state);
	if (!locked && slu_streq(state, "idle"))
		return "busy"; /* between two of its requests */
	if (locked && slu_streq(state, "idle") &&
	    idle_seconds(v) >= slu_json_int(v->doc, "timeout", 0))
		return "tear-down";
	return state;
}

static int add_row(void *user, struct slu_session *v, bool locked, struct slu_err *e)
{
	struct look *k = user;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	/* as it was listed, also when it is read again (take_over) */
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_ref(v->doc);
	const char *compute = slu_json_str(doc, "compute"), *cold = slu_json_str(doc, "cold_start");
	const char *run = locked ? NULL : slu_json_str(doc, "run"), *state;
	const int64_t idle = locked ? idle_seconds(v) : 0;
	char ends[SLU_TIME_LEN];
	int r = ask_server(k, compute, e);

	if (r < 0)
		return r;
	v->livy = k->livy;
	state = state_of(k, v, locked);
	slu_time_fmt(ends, (slu_json_int(v->doc, "used", 0) + life(v)) * SLU_SEC);
	if (locked && !slu_streq(state, "ended"))
		r = slu_json_set_str(o, "ends", ends);
	if (r < 0 || slu_json_set_str(o, "compute", compute) < 0 ||
	    slu_json_set_int(o, "session", slu_session_id(v)) < 0 ||
	    slu_json_set_str(o, "state", state) < 0 || slu_json_set_int(o, "idle", idle) < 0 ||
	    slu_json_set_str(o, "run", run) < 0 ||
	    slu_json_set_int(o, "steps", slu_json_int(v->doc, "steps", 0)) < 0 ||
	    slu_json_set_str(o, "cold_start", cold) < 0)
		return slu_fail_oom(e);
	return slu_json_append(k->rows, slu_json_ref(o)) < 0 ? slu_fail_oom(e) : 0;
}

int slu_sessions_list(struct sluice *s, const char *compute, struct json_t **ret, struct slu_err *e)
{
	struct look k = {.s = s, .rows = slu_json_array()};
	int r = k.rows ? each(s, compute, true, add_row, &k, e) : slu_fail_oom(e);

	if (r == 0)
		*ret = slu_take(k.rows);
	look_done(&k);
	return r;
}

static int stop_one(void *user, struct slu_session *v, bool locked, struct slu_err *e)
{
	struct look *k = user;
	int r;

	if (k->id >= 0 && slu_session_id(v) != k->id)
		return 0;
	if (!locked)
		return slu_fail(e, EBUSY,
				"session %" PRId64 " of compute '%s' is used by run '%s': "
				"`sluice job cancel` ends that first",
				slu_session_id(v), k->compute, slu_json_str(v->doc, "run"));
	v->livy = k->livy;
	r = slu_session_drop(v, e);
	k->stopped += r == 0;
	return r;
}

int slu_sessions_stop(struct sluice *s, const char *compute, int64_t id, struct slu_err *e)
{
	struct look k = {.s = s, .id = id, .compute = slu_strdup(compute)};
	int r = k.compute ? open_livy(s, compute, &k.livy, e) : slu_fail_oom(e);

	if (r == 0)
		r = each(s, compute, false, stop_one, &k, e);
	if (r == 0 && id >= 0 && !k.stopped)
		r = slu_fail(e, ENOENT,
			     "compute '%s' has no session %" PRId64 " of this workspace; "
			     "`sluice compute sessions %s` lists them",
			     compute, id, compute);
	look_done(&k);
	return r;
}
