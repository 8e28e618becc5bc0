/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount answers on its control socket (control.h): its numbers, its settings, and the order of
 * files that it is to fetch ahead.  Runs on the socket's own thread, takes no lock of a request for
 * longer than a look, and never touches the mounted tree.
 *
 * The socket outlives a worker: the supervisor keeps the listening end, so that clients of a mount
 * whose worker died only wait for the next one.  A mount whose socket cannot be made works without.
 */
#include "fs/mount_impl.h"

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/ahead.h"
#include "fs/cache.h"
#include "fs/control.h"
#include "fs/manifest.h"
#include "fs/mount_rw.h"

#include <errno.h>
#include <fcntl.h>

#define UNKNOWN_TOLD 10
#define STATS_LAYOUT 2u

struct slu_mcontrol {
	struct slu_mount *m;
	struct slu_control *server;
	int fd;
	uint64_t order_of; /* the connection whose order is followed */
	uint32_t unknown;  /* names of it that are no files here */
};

static int set_child(struct json_t *o, const char *key, struct json_t **ret)
{
	*ret = slu_json_object();
	return slu_json_set(o, key, *ret);
}

/* A chain of sets ends at the first that fails. */
static int set_count(int r, struct json_t *o, const char *key, uint64_t n)
{
	return r ? r : slu_json_set_int(o, key, (int64_t)n);
}

/* --- stats --- */

static int tell_mount(struct slu_mount *m, struct json_t *answer)
{
	struct json_t *o;
	int r = set_child(answer, "mount", &o);

	if (!r)
		r = slu_json_set_str(o, "where", m->where);
	if (!r)
		r = slu_json_set_str(o, "source", m->o->source ? m->o->source : "");
	if (!r)
		r = slu_json_set_bool(o, "live", m->set->live);
	if (!r)
		r = slu_json_set_bool(o, "io_uring", atomic_load(&m->by_ring));
	r = set_count(r, o, "major", m->id.major);
	r = set_count(r, o, "minor", m->id.minor);
	r = set_count(r, o, "files", slu_manifest_count(m->t->manifest));
	r = set_count(r, o, "bytes", slu_manifest_bytes(m->t->manifest));
	return set_count(r, o, "workers", atomic_load(&m->link.share->generation));
}

static int tell_reader(struct slu_mount *m, struct json_t *answer)
{
	struct slu_reader_stats s;
	struct json_t *o;
	int r = set_child(answer, "reader", &o);

	slu_mreads_stats(m->reads, &s);
	r = set_count(r, o, "reads", s.reads);
	r = set_count(r, o, "asked", s.asked);
	r = set_count(r, o, "hits", s.hits);
	r = set_count(r, o, "joined", s.joined);
	r = set_count(r, o, "fetched", s.fetched);
	r = set_count(r, o, "ahead", s.ahead);
	r = set_count(r, o, "prefetched", s.prefetched);
	r = set_count(r, o, "waste", s.waste);
	return set_count(r, o, "requests", s.requests);
}

static int tell_order(struct slu_mcontrol *c, struct json_t *answer)
{
	struct slu_ahead_state s = {0};
	struct json_t *o;
	int r = set_child(answer, "ahead", &o);

	if (c->m->ahead)
		slu_ahead_get(c->m->ahead, &s);
	r = set_count(r, o, "order", s.order);
	r = set_count(r, o, "order_read", s.order_read);
	r = set_count(r, o, "order_fetched", s.order_fetched);
	r = set_count(r, o, "order_unknown", c->unknown);
	r = set_count(r, o, "learned", s.learned);
	r = set_count(r, o, "window", s.window);
	r = set_count(r, o, "files", s.fetched);
	r = set_count(r, o, "hits", s.hits);
	r = set_count(r, o, "lost", s.lost);
	return set_count(r, o, "stops", s.stops);
}

static int tell_cache(struct slu_mount *m, struct json_t *answer)
{
	struct slu_cache *cache = NULL;
	struct slu_cache_counts s;
	struct json_t *o;
	int r;

	for (size_t i = 0; !cache && i < slu_manifest_sources(m->t->manifest); i++)
		cache = slu_cache_of(m->t->sources[i].store);
	if (!cache)
		return 0;
	slu_cache_counted(cache, &s);
	r = set_child(answer, "cache", &o);
	if (!r)
		r = slu_json_set_str(o, "where", slu_cache_where(cache));
	r = set_count(r, o, "hits", s.hits);
	r = set_count(r, o, "hit_bytes", s.hit_bytes);
	r = set_count(r, o, "misses", s.misses);
	r = set_count(r, o, "miss_bytes", s.miss_bytes);
	r = set_count(r, o, "written", s.written);
	r = set_count(r, o, "bad", s.bad);
	r = set_count(r, o, "evicted", s.evicted);
	r = set_count(r, o, "refused", s.refused);
	return set_count(r, o, "queued", s.queued);
}

static int tell_stage(struct slu_mount *m, struct json_t *answer)
{
	struct slu_stages_counts n;
	struct json_t *o;
	int r;

	if (!m->rw)
		return 0;
	slu_stages_count(m->rw->stages, &n);
	r = set_child(answer, "stage", &o);
	if (!r)
		r = slu_json_set_str(o, "where", slu_stages_where(m->rw->stages));
	r = set_count(r, o, "files", n.files);
	r = set_count(r, o, "bytes", slu_stages_used(m->rw->stages));
	r = set_count(r, o, "dirty", n.dirty);
	r = set_count(r, o, "failed", n.failed);
	return set_count(r, o, "links", n.links);
}

static int do_stats(struct slu_mcontrol *c, struct json_t *answer, struct slu_err *e)
{
	struct slu_mount *m = c->m;

	if (tell_mount(m, answer) || tell_reader(m, answer) || tell_order(c, answer) ||
	    tell_cache(m, answer) || tell_stage(m, answer) ||
	    slu_json_set(answer, "stats", slu_stats_json()))
		return slu_fail_oom(e);
	return 0;
}

/* --- the order --- */

/* SIZE_MAX: no file here has that name, below the mount point or whole. */
static size_t find(const struct slu_mount *m, const char *path)
{
	const char *rest = path[0] == '/' ? slu_after(path, m->where) : path;

	if (!rest || (path[0] == '/' && *rest != '/'))
		return SIZE_MAX;
	while (*rest == '/')
		rest++;
	while (slu_starts(rest, "./"))
		rest += 2;
	return slu_manifest_find(m->t->manifest, rest);
}

/* The same, and then behind `below`, where the user writes the mount point so. */
static size_t find_either(const struct slu_mount *m, const char *path, const char *below)
{
	size_t at = find(m, path);
	const char *rest = at == SIZE_MAX && below && *below ? slu_after(path, below) : NULL;

	return rest && *rest == '/' ? find(m, rest + strspn(rest, "/")) : at;
}

/* Adds the paths of one request; names that are unknown are told, the first few of them.  `below` may stand
 * before the names, as before those that find(1) prints. */
static int add_paths(struct slu_mcontrol *c, const struct json_t *request, struct json_t *answer,
		     struct slu_err *e)
{
	const struct json_t *paths = slu_json_get(request, "paths");
	const char *below = slu_json_str(request, "below");
	size_t n = slu_json_count(paths), known = 0, unknown = 0;
	SLU_AUTO(slu_freep) uint32_t *at = slu_calloc(n ? n : 1, sizeof *at);
	struct json_t *names = slu_json_array();
	uint32_t twice = 0;
	int r = at ? slu_json_set(answer, "unknown_names", names) : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		const char *path = slu_json_string(slu_json_at(paths, i));
		size_t place = path ? find_either(c->m, path, below) : SIZE_MAX;
		if (place != SIZE_MAX)
			at[known++] = (uint32_t)place;
		else if (unknown++ < UNKNOWN_TOLD)
			r = slu_json_append(names, slu_json_new_str(path ? path : ""));
	}
	if (!r)
		r = slu_ahead_order_add(c->m->ahead, at, (uint32_t)known, &twice);
	if (!r)
		slu_morder_add(c->m, at, (uint32_t)known);
	c->unknown += (uint32_t)unknown;
	r = set_count(r, answer, "known", known);
	r = set_count(r, answer, "unknown", unknown);
	r = set_count(r, answer, "twice", twice);
	return r ? slu_fail_oom(e) : 0;
}

static int do_order(struct slu_mcontrol *c, uint64_t conn, const struct json_t *request,
		    struct json_t *answer, struct slu_err *e)
{
	if (!c->m->ahead)
		return slu_fail(e, ENOTSUP,
				"'%s' is a live mount: an order needs one that shows one state",
				c->m->where);
	if (!slu_json_is_array(slu_json_get(request, "paths")))
		return slu_fail(e, EINVAL, "an order needs 'paths', an array of names");
	if (slu_json_bool(request, "begin", false)) {
		slu_ahead_order_drop(c->m->ahead);
		slu_morder_drop(c->m);
		c->order_of = conn;
		c->unknown = 0;
	} else if (c->order_of != conn) {
		return slu_fail(e, ECANCELED, "another order has taken the place of this one");
	}
	return add_paths(c, request, answer, e);
}

static int do_drop(struct slu_mcontrol *c, struct slu_err *e)
{
	if (!c->m->ahead)
		return slu_fail(e, ENOTSUP, "'%s' is a live mount: it has no order", c->m->where);
	slu_ahead_order_drop(c->m->ahead);
	slu_morder_drop(c->m);
	c->order_of = 0;
	c->unknown = 0;
	return 0;
}

/* --- upgrade --- */

static int tell_worker(struct slu_mcontrol *c, struct json_t *answer, struct slu_err *e)
{
	const struct slu_mshare *h = c->m->link.share;
	int r = set_count(0, answer, "workers", atomic_load(&h->generation));

	r = set_count(r, answer, "fell_back", atomic_load(&h->fell_back));
	return r ? slu_fail_oom(e) : 0;
}

static int do_upgrade(struct slu_mcontrol *c, struct json_t *answer, struct slu_err *e)
{
	int r = tell_worker(c, answer, e);

	if (!r && slu_mlink_upgrade(&c->m->link))
		r = slu_fail(e, ENOTSUP,
			     "'%s' has no supervisor that could start another program: unmount it "
			     "and mount it again",
			     c->m->where);
	return r;
}

/* --- all of them --- */

static int handle(void *user, uint64_t conn, const struct json_t *request, struct json_t *answer,
		  struct slu_err *e)
{
	struct slu_mcontrol *c = user;
	const char *what = slu_json_str(request, "do");

	if (slu_streq(what, "stats"))
		return do_stats(c, answer, e);
	if (slu_streq(what, "order"))
		return do_order(c, conn, request, answer, e);
	if (slu_streq(what, "drop-order"))
		return do_drop(c, e);
	if (slu_streq(what, "worker"))
		return tell_worker(c, answer, e);
	if (slu_streq(what, "upgrade"))
		return do_upgrade(c, answer, e);
	if (slu_streq(what, "settings"))
		return slu_json_set(answer, "settings", slu_settings_json('m', c->m->set))
			       ? slu_fail_oom(e)
			       : 0;
	return slu_fail(e, EINVAL, "this mount does not know how to do '%s'", what);
}

static int open_socket(struct slu_mcontrol *c, struct slu_err *e)
{
	char name[SLU_CONTROL_NAME];
	int kept = slu_mlink_kept(&c->m->link, SLU_KEEP_CONTROL), r;

	if (kept >= 0) {
		c->fd = fcntl(kept, F_DUPFD_CLOEXEC, 3);
		return c->fd < 0 ? slu_fail_sys(e, errno, "cannot use the control socket") : 0;
	}
	if (!c->m->id.minor)
		return slu_fail(e, ENODEV, "its device number is not known");
	slu_control_name(c->m->id.major, c->m->id.minor, name);
	r = slu_control_listen(name, &c->fd, e);
	if (r)
		return r;
	r = slu_mlink_keep(&c->m->link, SLU_KEEP_CONTROL, c->fd);
	return r ? slu_fail_sys(e, -r, "cannot keep the control socket") : 0;
}

void slu_mcontrol_start(struct slu_mount *m)
{
	struct slu_mcontrol *c = slu_new0(struct slu_mcontrol);
	struct slu_control_conf conf = {.handle = handle, .user = c, .uid = geteuid()};
	struct slu_err e = {0};

	if (!c)
		return;
	c->m = m;
	c->fd = -1;
	if (open_socket(c, &e) || slu_control_start(&conf, c->fd, &c->server, &e)) {
		slu_log(SLU_LOG_INFO, "mount", "'%s' has no control socket: %s", m->where, e.msg);
		slu_closep(&c->fd);
		free(c);
		return;
	}
	m->control = c;
}

void slu_mcontrol_stop(struct slu_mount *m, bool hand_over)
{
	struct slu_mcontrol *c = m->control;
	char name[SLU_CONTROL_NAME];

	if (!c)
		return;
	m->control = NULL;
	slu_control_stop(c->server);
	if (!hand_over) {
		slu_control_name(c->m->id.major, c->m->id.minor, name);
		slu_control_forget(name, c->fd);
	}
	close(c->fd);
	free(c);
}

void slu_mcontrol_numbers(struct slu_mount *m)
{
	slu_stats_home(slu_mshare_area(m->link.share, SLU_MAREA_STATS, STATS_LAYOUT, NULL));
}
