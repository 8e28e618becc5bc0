/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index written: a new segment of what has no one yet, and of the small ones at the end, so that a line is
 * written a few times only however many there get to be; then the next generation, by one put-if-absent.  Who loses
 * that changes nothing.  Segments are named by their content.
 */
#include "dataset/index.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/facts.h"
#include "dataset/gang.h"
#include "dataset/index_impl.h"
#include "dataset/names.h"
#include "dataset/once.h"
#include "fs/walk.h"
#include "fs/writer.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX (2ull << 30)

/* --- everything there is --- */

static int list(const struct slu_registry *g, const char *name, struct slu_names *l,
		struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *path = name ? slu_registry_path(g, "data/%s", name) : slu_registry_path(g, "data");

	return path ? slu_names_list(g, path, l, e) : slu_fail_oom(e);
}

struct scanning {
	struct slu_index *x;
	struct slu_names names;
	struct slu_facts_map *facts;
	struct json_t **of_name; /* array of records each */
};

static int scan_version(struct scanning *sc, const char *name, const char *version,
			struct json_t *to, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	int r = slu_record_read(sc->x->g, name, version, &record, e);

	if (r == 0)
		r = slu_facts_overlay(sc->x->g, sc->facts, record, e);
	if (r == 0)
		return slu_json_append(to, slu_take(record)) < 0 ? slu_fail_oom(e) : 0;
	if (r == -EBADMSG) {
		slu_warn("registry", "%s", e->msg);
		__atomic_add_fetch(&sc->x->skipped, 1, __ATOMIC_RELAXED);
	}
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}

static int scan_name(void *user, size_t i, struct slu_err *e)
{
	struct scanning *sc = user;
	SLU_AUTO(slu_names_done) struct slu_names versions = {0};
	const char *name = sc->names.p[i];
	int r = list(sc->x->g, name, &versions, e);

	sc->of_name[i] = slu_json_array();
	if (!sc->of_name[i])
		return slu_fail_oom(e);
	for (size_t k = 0; r == 0 && k < versions.n; k++)
		r = scan_version(sc, name, versions.p[k], sc->of_name[i], e);
	return r;
}

static int scan(struct scanning *sc, struct slu_err *e)
{
	int r = list(sc->x->g, NULL, &sc->names, e);

	if (r == 0)
		r = slu_facts_list(sc->x->g, NULL, NULL, &sc->facts, e);
	if (r < 0)
		return r;
	sc->of_name = slu_calloc(sc->names.n + 1, sizeof(struct json_t *));
	if (!sc->of_name)
		return slu_fail_oom(e);
	r = slu_gang(sc->names.n, SLU_INDEX_AT_ONCE, scan_name, sc, e);
	for (size_t i = 0; i < sc->names.n; i++) {
		for (size_t k = 0; r == 0 && k < slu_json_count(sc->of_name[i]); k++)
			r = slu_index_add(sc->x, slu_json_at(sc->of_name[i], k), e);
		slu_json_free(sc->of_name[i]);
	}
	return r;
}

int slu_index_scan(struct slu_index *x, struct slu_err *e)
{
	struct scanning sc = {.x = x};

	/* Lines of segments go, and with them what they point into. */
	x->lines.n = 0;
	for (size_t i = 0; i < x->segments.n; i++)
		free(x->segments.p[i].text);
	x->segments.n = 0;
	int r = scan(&sc, e);

	free(sc.of_name);
	slu_names_done(&sc.names);
	slu_facts_map_free(sc.facts);
	if (r == 0)
		slu_index_sort(x);
	return r;
}

/* --- a segment --- */

static int put_segment(const struct slu_registry *g, const char *name, const struct slu_buf *b,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "index/seg/%s", name);
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	struct slu_attr a;
	int r = path ? 0 : slu_fail_oom(e);

	/* One that is there already may be damaged: this is the same, whole. */
	if (r == 0)
		r = slu_writer_new(g->store, path, SLU_OPF_DURABLE, NULL, &w, e);
	if (r == 0)
		r = slu_writer_write(w, b->p, b->len, e);
	return r < 0 ? r : slu_writer_commit(w, &a, e);
}

/* Lines from segment `first` on and those of none. */
static int make_segment(const struct slu_index *x, size_t first, struct slu_index_segment *ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	uint8_t sum[SLU_DIGEST_MAX];

	slu_buf_str(&b, SLU_INDEX_HEAD);
	ret->entries = 0;
	for (size_t i = 0; i < x->lines.n; i++) {
		const struct slu_index_entry *l = &x->lines.p[i].is;

		if (x->lines.p[i].segment < first)
			continue;
		slu_buf_fmt(&b, "%s %s %llu %c ", l->name, l->version, (unsigned long long)l->facts,
			    l->unregistered ? 'u'
			    : l->archived   ? 'a'
					    : '-');
		slu_buf_str(&b, l->json);
		slu_buf_ch(&b, '\n');
		ret->entries++;
	}
	if (slu_buf_err(&b) < 0)
		return slu_fail_oom(e);
	int r = slu_digest(SLU_SHA256, b.p, b.len, sum);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot hash a part of the index");
	slu_hex(ret->name, sum, 32);
	return put_segment(x->g, ret->name, &b, e);
}

/* --- a generation --- */

static int add_segment(struct json_t *list_, const struct slu_index_segment *s)
{
	struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "name", s->name) < 0 ||
	    slu_json_set_int(o, "entries", (int64_t)s->entries) < 0) {
		slu_json_free(o);
		return -ENOMEM;
	}
	return slu_json_append(list_, o);
}

/* 1: somebody else has made it. */
static int put_generation(const struct slu_index *x, size_t first,
			  const struct slu_index_segment *last, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep)
	char *path = slu_registry_path(x->g, "index/gen/%010llu.json",
				       (unsigned long long)x->generation + 1);
	struct json_t *list_ = slu_json_array();
	char token[33];
	int r = slu_random_id(token, 16);

	for (size_t i = 0; r == 0 && i < first; i++)
		r = add_segment(list_, &x->segments.p[i]);
	if (r == 0)
		r = add_segment(list_, last);
	/* Ours is told from another's by the token, should the answer be lost. */
	if (r < 0 || !path || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "token", token) < 0) {
		slu_json_free(list_);
		return slu_fail_oom(e);
	}
	if (slu_json_set(o, "segments", list_) < 0)
		return slu_fail_oom(e);
	SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_PRETTY);

	return text ? slu_once_put(x->g->store, path, text, strlen(text), NULL, NULL, e)
		    : slu_fail_oom(e);
}

/* --- what it replaces --- */

struct removing {
	const struct slu_registry *g;
	SLU_VEC(char *) paths;
};

static int remove_one(void *user, size_t i, struct slu_err *e)
{
	struct removing *rm = user;

	(void)e; /* what stays is taken away by the next one */
	slu_store_delete(rm->g->store, rm->paths.p[i], 0, NULL);
	return 0;
}

static void also(struct removing *rm, char *path)
{
	if (path && !slu_vec_push(&rm->paths, path))
		free(path);
}

static int newest(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	uint64_t *n = user;
	const char *base = slu_path_base(path);
	int64_t is;
	SLU_AUTO(slu_freep) char *digits = slu_strndup(base, strcspn(base, "."));

	(void)attr;
	if (!digits)
		return slu_fail_oom(e);
	if (slu_i64(digits + strspn(digits, "0"), 1, INT64_MAX, &is) && (uint64_t)is > *n)
		*n = (uint64_t)is;
	return 0;
}

/* Who was stopped for long may have put a generation below one that there was already: it counts for nothing, and
 * then the notes must stay. */
static bool is_newest(const struct slu_index *x)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(x->g, "index/gen");
	uint64_t n = 0;

	return path && slu_walk_dir(x->g->store, path, newest, &n, NULL) == 0 &&
	       n == x->generation + 1;
}

static void clean(const struct slu_index *x, size_t first, const char *kept)
{
	struct removing rm = {.g = x->g};

	for (size_t i = 0; i < x->notes.n; i++)
		if (x->notes.p[i].covered)
			also(&rm, slu_strdup(x->notes.p[i].path));
	for (size_t i = 0; i < x->generations.n; i++)
		if (x->generations.p[i] <= x->generation)
			also(&rm, slu_registry_path(x->g, "index/gen/%010llu.json",
						    (unsigned long long)x->generations.p[i]));
	for (size_t i = first; i < x->segments.n; i++)
		if (!slu_streq(x->segments.p[i].name, kept))
			also(&rm, slu_registry_path(x->g, "index/seg/%s", x->segments.p[i].name));
	slu_gang(rm.paths.n, SLU_INDEX_AT_ONCE, remove_one, &rm, NULL);
	for (size_t i = 0; i < rm.paths.n; i++)
		free(rm.paths.p[i]);
	free(rm.paths.p);
}

int slu_index_compact(struct slu_index *x, struct slu_err *e)
{
	struct slu_index_segment made = {0};
	size_t fresh = 0, first;

	for (size_t i = 0; i < x->lines.n; i++)
		fresh += x->lines.p[i].segment == SIZE_MAX;
	/* Of those that are not loaded nothing can be taken. */
	first = slu_index_merge_from(x, fresh);
	while (first < x->segments.n && !x->segments.p[first].text)
		first++;
	int r = make_segment(x, first, &made, e);

	if (r == 0)
		r = put_generation(x, first, &made, e);
	if (r == 0 && is_newest(x))
		clean(x, first, made.name);
	return r < 0 ? r : 0;
}
