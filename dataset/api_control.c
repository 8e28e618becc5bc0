/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part six: asking mounts that are there, over their control sockets.  No workspace is
 * needed, and the mounted tree is never touched: its server may be stopped.
 */
#include "dataset/api_view.h"

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/control.h"
#include "fs/mount_point.h"
#include "fs/stage.h"
#include "fs/stats.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE (5 * SLU_SEC) /* for the numbers of each of all mounts */
#define SETTLING                                                                                   \
	(30 * SLU_SEC)    /* for the one that is named: a worker may have to be replaced first */
#define CHUNK (32u << 10) /* bytes of names in one request */
#define NAMES_TOLD 10

/* --- what is asked --- */

static int request_new(const char *what, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_int(o, "v", SLU_CONTROL_VERSION) || slu_json_set_str(o, "do", what))
		return -ENOMEM;
	*ret = slu_take(o);
	return 0;
}

static int connect_to(const char *where, const struct slu_mpoint *mp, struct slu_err *e)
{
	int r = slu_control_connect(mp->major, mp->minor,
				    mp->uid == UINT32_MAX ? geteuid() : mp->uid, e);

	return r >= 0 ? r : slu_fail_more(e, "'%s'", where);
}

/* The mount at a path that a user names. */
static int mount_at(const char *mountpoint, char **ret_where, struct slu_mpoint *ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = NULL;
	int r = slu_mpoint_canon(mountpoint, &where, e);

	if (r)
		return r;
	r = slu_mpoint_find(where, ret);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read /proc/self/mountinfo");
	if (!r)
		return slu_fail(e, EINVAL,
				"nothing is mounted at '%s': sluice stats without a name lists the "
				"mounts",
				where);
	if (!slu_streq(ret->type, SLU_MPOINT_TYPE))
		return slu_fail(e, EINVAL, "'%s' is no mount of sluice (%s, type %s)", where,
				ret->source, ret->type);
	*ret_where = slu_take(where);
	return 0;
}

/* --- stats --- */

struct all {
	struct json_t *list;
	const struct json_t *before;
	int64_t patience; /* for each */
};

static const struct json_t *earlier(const struct json_t *list, const char *where)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const struct json_t *one = slu_json_at(list, i);
		const char *other = slu_json_str(slu_json_get(one, "mount"), "where");

		if (other && slu_streq(other, where))
			return slu_json_get(one, "stats") ? one : NULL;
	}
	return NULL;
}

static int ask_once(const char *where, const struct slu_mpoint *mp, int64_t patience,
		    struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *request = NULL;
	SLU_AUTO(slu_closep) int fd = connect_to(where, mp, e);

	if (fd < 0)
		return fd;
	if (request_new("stats", &request))
		return slu_fail_oom(e);
	return slu_control_ask(fd, request, patience, ret, e);
}

/* When the worker ends that was asked, the next one answers. */
static int ask_stats(const char *where, const struct slu_mpoint *mp, int64_t patience,
		     struct json_t **ret, struct slu_err *e)
{
	const int64_t end = slu_deadline_in(patience);
	int r;

	while ((r = ask_once(where, mp, patience, ret, e)) == -ECONNRESET && !slu_expired(end))
		poll(NULL, 0, 10);
	return r;
}

/* A mount that does not answer is told as one. */
static int set_silent(const char *where, const struct slu_mpoint *mp, const struct slu_err *why,
		      struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct json_t *m = slu_json_object();

	if (slu_json_set(o, "mount", m) || slu_json_set_str(m, "where", where) ||
	    slu_json_set_str(m, "source", mp->source) || slu_json_set_str(o, "error", why->msg))
		return -ENOMEM;
	*ret = slu_take(o);
	return 0;
}

static int add_mount(void *user, const char *where, const struct slu_mpoint *mp)
{
	struct all *a = user;
	struct json_t *one = NULL;
	struct slu_err e = {0};
	char verdict[SLU_VERDICT];

	if (geteuid() != 0 && mp->uid != UINT32_MAX && mp->uid != geteuid())
		return 0;
	if (ask_stats(where, mp, a->patience, &one, &e)) {
		if (set_silent(where, mp, &e, &one))
			return -ENOMEM;
	} else {
		slu_stats_verdict(one, earlier(a->before, where), verdict);
		slu_json_del(one, "v");
		slu_json_del(one, "ok");
		if (slu_json_set_str(one, "verdict", verdict)) {
			slu_json_free(one);
			return -ENOMEM;
		}
	}
	return slu_json_append(a->list, one);
}

static int stats_of(const char *mountpoint, struct all *a, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = NULL;
	struct slu_mpoint mp;
	int r;

	if (mountpoint) {
		r = mount_at(mountpoint, &where, &mp, e);
		if (r)
			return r;
		r = add_mount(a, where, &mp);
	} else {
		r = slu_mpoint_each(add_mount, a);
	}
	return r ? slu_fail_sys(e, -r, "cannot tell the numbers of mounts") : 0;
}

int sluice_mount_stats(const char *mountpoint, const char *before, char **ret_json,
		       struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array(), *old = NULL;
	struct slu_err er = {0};
	int r = list ? 0 : slu_fail_oom(&er);

	if (r == 0 && before)
		r = slu_json_parse(before, strlen(before), "earlier numbers", &old, &er);
	if (r == 0)
		r = stats_of(mountpoint,
			     &(struct all){.list = list,
					   .before = old,
					   .patience = mountpoint ? SETTLING : PATIENCE},
			     &er);
	if (r == 0)
		r = slu_api_json(slu_take(list), ret_json, &er);
	return slu_api_error(e, &er, r);
}

/* --- the order --- */

struct order {
	int fd;
	bool begun;
	const char *below; /* the mount point as the user writes it */
	struct json_t *paths;
	size_t bytes;
	int64_t known, unknown, twice;
	struct json_t *names; /* the first that are unknown */
};

static void order_done(struct order *o)
{
	slu_closep(&o->fd);
	slu_json_free(o->paths);
	slu_json_free(o->names);
}

/* What the mount said of one part. */
static int count_part(struct order *o, const struct json_t *answer)
{
	const struct json_t *names = slu_json_get(answer, "unknown_names");

	o->known += slu_json_int(answer, "known", 0);
	o->unknown += slu_json_int(answer, "unknown", 0);
	o->twice += slu_json_int(answer, "twice", 0);
	for (size_t i = 0; i < slu_json_count(names) && slu_json_count(o->names) < NAMES_TOLD; i++)
		if (slu_json_append(o->names,
				    slu_json_new_str(slu_json_string(slu_json_at(names, i)))))
			return -ENOMEM;
	return 0;
}

static int send_part(struct order *o, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *request = NULL, *answer = NULL;
	int r = request_new("order", &request);

	if (r || slu_json_set(request, "paths", slu_take(o->paths)) ||
	    slu_json_set_bool(request, "begin", !o->begun) ||
	    (o->below && slu_json_set_str(request, "below", o->below)))
		return slu_fail_oom(e);
	r = slu_control_ask(o->fd, request, SETTLING, &answer, e);
	if (r)
		return r;
	o->begun = true;
	o->bytes = 0;
	o->paths = slu_json_array();
	return !o->paths || count_part(o, answer) ? slu_fail_oom(e) : 0;
}

static int add_path(struct order *o, const char *path, struct slu_err *e)
{
	size_t n = strlen(path);

	if (n > CHUNK / 4) { /* longer than any path may be */
		o->unknown++;
		return 0;
	}
	if (o->bytes + n > CHUNK) {
		int r = send_part(o, e);

		if (r)
			return r;
	}
	o->bytes += n;
	return slu_json_append(o->paths, slu_json_new_str(path)) ? slu_fail_oom(e) : 0;
}

static int drop_order(int fd, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *request = NULL, *answer = NULL;

	if (request_new("drop-order", &request))
		return slu_fail_oom(e);
	return slu_control_ask(fd, request, SETTLING, &answer, e);
}

static int give_order(struct order *o, sluice_path_fn *next, void *user, struct slu_err *e)
{
	const char *path;
	int r = 0;

	o->paths = slu_json_array();
	o->names = slu_json_array();
	if (!o->paths || !o->names)
		return slu_fail_oom(e);
	while (r == 0 && (path = next(user)))
		r = add_path(o, path, e);
	return r ? r : send_part(o, e);
}

static int order_json(struct order *o, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_json_object();

	if (!j || slu_json_set_int(j, "known", o->known) ||
	    slu_json_set_int(j, "unknown", o->unknown) || slu_json_set_int(j, "twice", o->twice) ||
	    (o->names && slu_json_set(j, "unknown_names", slu_take(o->names))))
		return slu_fail_oom(e);
	return slu_api_json(slu_take(j), ret, e);
}

int sluice_mount_prefetch(const char *mountpoint, sluice_path_fn *next, void *user, char **ret_json,
			  struct sluice_error *e)
{
	SLU_AUTO(order_done) struct order o = {.fd = -1};
	SLU_AUTO(slu_freep) char *where = NULL;
	struct slu_mpoint mp;
	struct slu_err er = {0};
	int r = mount_at(mountpoint, &where, &mp, &er);

	if (r == 0) {
		r = o.fd = connect_to(where, &mp, &er);
		r = r < 0 ? r : 0;
	}
	/* "mnt/" and "mnt" stand before "mnt/a"; a whole name is told from others anyway. */
	SLU_AUTO(slu_freep) char *below = slu_strndup(mountpoint, strlen(mountpoint));

	for (size_t n = below ? strlen(below) : 0; n > 1 && below[n - 1] == '/'; n--)
		below[n - 1] = '\0';
	o.below = below && below[0] != '/' ? below : NULL;
	if (r == 0)
		r = next ? give_order(&o, next, user, &er) : drop_order(o.fd, &er);
	if (r == 0 && ret_json)
		r = order_json(&o, ret_json, &er);
	return slu_api_error(e, &er, r);
}

/* --- upgrade --- */

/* Asks on a connection of its own: the process at the other end of the last one is to end. */
static int ask_worker(const char *where, const struct slu_mpoint *mp, const char *what,
		      int64_t patience, int64_t *ret_workers, int64_t *ret_fell_back,
		      struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *request = NULL, *answer = NULL;
	SLU_AUTO(slu_closep) int fd = connect_to(where, mp, e);
	int r = fd;

	if (fd >= 0)
		r = request_new(what, &request)
			    ? slu_fail_oom(e)
			    : slu_control_ask(fd, request, patience, &answer, e);
	if (r)
		return r;
	*ret_workers = slu_json_int(answer, "workers", 0);
	*ret_fell_back = slu_json_int(answer, "fell_back", 0);
	return 0;
}

static int upgrade(const char *where, const struct slu_mpoint *mp, struct slu_err *e)
{
	int64_t end = slu_deadline_in(SETTLING), workers, fell_back, now, falls;
	int r = ask_worker(where, mp, "upgrade", SETTLING, &workers, &fell_back, e);

	if (r)
		return r;
	/* One that does not answer is about to be replaced. */
	while (ask_worker(where, mp, "worker", PATIENCE, &now, &falls, e) || now == workers) {
		if (slu_expired(end))
			return slu_fail(e, ETIMEDOUT,
					"'%s' was not handed over within %lld s: see its log",
					where, SETTLING / SLU_SEC);
		poll(NULL, 0, 10);
	}
	if (falls == fell_back)
		return 0;
	return slu_fail(e, ENOEXEC,
			"the program that is installed now cannot take over '%s', which goes on "
			"with the one from before: its log says why",
			where);
}

int sluice_mount_upgrade(const char *mountpoint, struct sluice_error *e)
{
	SLU_AUTO(slu_freep) char *where = NULL;
	struct slu_mpoint mp;
	struct slu_err er = {0};
	int r = mount_at(mountpoint, &where, &mp, &er);

	if (r == 0)
		r = upgrade(where, &mp, &er);
	return slu_api_error(e, &er, r);
}

/* --- what an unmount leaves --- */

void slu_api_stage_look(const char *mountpoint, int64_t patience, struct slu_api_stage *ret)
{
	SLU_AUTO(slu_freep) char *where = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	struct slu_stages_left left;
	struct slu_mpoint mp;
	const char *session;

	*ret = (struct slu_api_stage){.session = NULL};
	if (mount_at(mountpoint, &where, &mp, NULL) || !mp.writable ||
	    ask_stats(where, &mp, patience, &answer, NULL))
		return;
	session = slu_json_str(slu_json_get(answer, "stage"), "where");
	if (!session)
		return;
	ret->session = slu_strdup(session);
	ret->aside = (uint64_t)slu_json_int(slu_json_get(slu_json_get(answer, "stats"), "counters"),
					    "set_aside", 0);
	SLU_AUTO(slu_freep) char *place = slu_path_dir(session);

	ret->root = place ? slu_path_dir(place) : NULL;
	if (ret->root) {
		slu_stages_left_in(ret->root, &left);
		ret->kept = left.kept;
	}
}

void slu_api_stage_tell(const char *mountpoint, const struct slu_api_stage *s, int64_t deadline)
{
	struct slu_stages_left left, all;

	if (!s->session || !s->root || slu_stages_left(s->session, deadline, &left))
		return;
	slu_stages_left_in(s->root, &all);
	if (left.files)
		slu_warn(
			"mount",
			"'%s': %llu written files are not in the store, with %llu bytes: %s; they "
			"are staged in '%s', and the next writable mount of the folder commits them",
			mountpoint, (unsigned long long)left.files, (unsigned long long)left.bytes,
			left.names, s->session);
	if (s->aside + all.kept > s->kept)
		slu_warn(
			"mount",
			"'%s': what was to be written to %llu files is not in the store, and lies in "
			"'%s/kept'",
			mountpoint, (unsigned long long)(s->aside + all.kept - s->kept), s->root);
}

void slu_api_stage_done(struct slu_api_stage *s)
{
	free(s->session);
	free(s->root);
}
