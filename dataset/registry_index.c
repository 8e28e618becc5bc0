/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding versions.  The newest is the last of the numbers that are there without a gap from 1; a
 * version with a name of its own choosing is the newest only where there are no numbers.  The hint
 * says where to begin to look; what exists is told by records alone.  Lists come from one listing of
 * the name's folder, not from probing.
 */
#include "dataset/record.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/gang.h"
#include "dataset/names.h"
#include "fs/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBES_MAX 64u
#define READERS 16u

/* Numbers first and by value, then the others by bytes. */
static int by_version(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	uint64_t n = slu_record_number(*x), m = slu_record_number(*y);

	if (n && m)
		return n < m ? -1 : n > m;
	if (n || m)
		return n ? -1 : 1;
	return strcmp(*x, *y);
}

static int list_versions(const struct slu_registry *g, const char *name, struct slu_names *l,
			 struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "data/%s", name);

	if (!path)
		return slu_fail_oom(e);
	int r = slu_names_list(g, path, l, e);

	if (r == 0 && l->n > 1)
		qsort(l->p, l->n, sizeof *l->p, by_version);
	return r;
}

/* --- the newest number --- */

struct probe {
	const struct slu_registry *g;
	const char *name;
	uint64_t from;
	bool there[PROBES_MAX];
};

static int probe_one(void *user, size_t i, struct slu_err *e)
{
	struct probe *p = user;
	char version[24];

	snprintf(version, sizeof version, "%llu", (unsigned long long)(p->from + i));
	int r = slu_record_there(p->g, p->name, version, e);

	p->there[i] = r == 0;
	return r == -ENOENT ? 0 : r;
}

/* From a number that may exist: the last one before the first absent record, 0 when `from` itself is
 * absent.  The number of probes at a time doubles, so a hint that is far behind costs little. */
static int probe_up(const struct slu_registry *g, const char *name, uint64_t from, uint64_t *ret,
		    struct slu_err *e)
{
	struct probe p = {.g = g, .name = name, .from = from};
	uint64_t last = 0;

	for (unsigned n = 2;; n = n < PROBES_MAX ? n * 2 : n) {
		int r = slu_gang(n, n > READERS ? READERS : n, probe_one, &p, e);

		if (r < 0)
			return r;
		for (unsigned i = 0; i < n; i++) {
			if (!p.there[i]) {
				*ret = last;
				return 0;
			}
			last = p.from + i;
		}
		p.from += n;
	}
}

static int latest_by_listing(const struct slu_registry *g, const char *name, uint64_t *ret,
			     struct slu_err *e)
{
	SLU_AUTO(slu_names_done) struct slu_names l = {0};
	uint64_t last = 0;
	int r = list_versions(g, name, &l, e);

	for (size_t i = 0; r == 0 && i < l.n && slu_record_number(l.p[i]) == last + 1; i++)
		last++;
	/* A folder is made before its record: the top ones may still be without. */
	while (r == 0 && last > 0) {
		uint64_t up = 0;

		r = probe_up(g, name, last, &up, e);
		if (up) {
			last = up;
			break;
		}
		last--;
	}
	if (r == 0)
		*ret = last;
	return r;
}

static int latest_from(const struct slu_registry *g, const char *name, uint64_t hint, uint64_t *ret,
		       struct slu_err *e)
{
	uint64_t n = 0;
	/* Where there is no first one there is none, and nothing has to be listed to know it. */
	int r = hint ? probe_up(g, name, hint, &n, e) : slu_record_there(g, name, "1", e);

	if (r == -ENOENT) {
		*ret = 0;
		return 0;
	}
	if (r == 0 && n == 0) {
		r = latest_by_listing(g, name, &n, e);
		hint = 0;
	}
	if (r < 0)
		return r;
	if (n && (!hint || n - hint >= PROBES_MAX))
		slu_record_hint(g, name, n, 0);
	*ret = n;
	return 0;
}

static int latest(const struct slu_registry *g, const char *name, uint64_t *ret, struct slu_err *e)
{
	size_t bytes;

	return latest_from(g, name, slu_record_hint_read(g, name, &bytes), ret, e);
}

int slu_registry_latest(struct sluice *s, const char *name, uint64_t *ret, struct slu_err *e)
{
	struct slu_registry g;
	int r = slu_record_name_check(name, e);

	if (r == 0)
		r = slu_registry_open(s, &g, e);
	return r < 0 ? r : latest(&g, name, ret, e);
}

/* --- many records --- */

struct reading {
	const struct slu_registry *g;
	const char *name; /* NULL: p holds dataset names, the newest of each is wanted */
	char **p;
	struct json_t **records;
};

static int newest(const struct slu_registry *g, const char *name, uint64_t hint,
		  struct json_t **ret, struct slu_err *e);

static int read_one(void *user, size_t i, struct slu_err *e)
{
	struct reading *rd = user;
	size_t bytes;
	int r = rd->name ? slu_record_read(rd->g, rd->name, rd->p[i], &rd->records[i], e)
			 : newest(rd->g, rd->p[i], slu_record_hint_read(rd->g, rd->p[i], &bytes),
				  &rd->records[i], e);

	if (r == -EBADMSG) { /* one damaged record does not hide the others */
		slu_warn("registry", "%s", e->msg);
		return 0;
	}
	return r == -ENOENT ? 0 : r; /* a folder whose record never came */
}

static int read_all(struct reading *rd, size_t n, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = slu_json_array();

	rd->records = slu_calloc(n + 1, sizeof(struct json_t *));
	if (!a || !rd->records) {
		free(rd->records);
		return slu_fail_oom(e);
	}
	int r = slu_gang(n, READERS, read_one, rd, e);

	for (size_t i = 0; i < n; i++) {
		if (r == 0 && rd->records[i] && slu_json_append(a, slu_take(rd->records[i])) < 0)
			r = slu_fail_oom(e);
		slu_json_free(rd->records[i]);
	}
	free(rd->records);
	if (r == 0)
		*ret = slu_take(a);
	return r;
}

static int versions(const struct slu_registry *g, const char *name, struct json_t **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_names_done) struct slu_names l = {0};
	int r = list_versions(g, name, &l, e);
	struct reading rd = {.g = g, .name = name, .p = l.p};

	return r < 0 ? r : read_all(&rd, l.n, ret, e);
}

/* Of versions without numbers: the one created last. */
static int newest_named(const struct slu_registry *g, const char *name, struct json_t **ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	struct json_t *best = NULL;
	const char *when = "";
	int r = versions(g, name, &all, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < slu_json_count(all); i++) {
		struct json_t *j = slu_json_at(all, i);
		const char *created = slu_json_str(j, "created");

		if (!best || (created && strcmp(created, when) >= 0)) {
			best = j;
			when = created ? created : "";
		}
	}
	if (!best)
		return slu_fail(e, ENOENT, "there is no dataset '%s'", name);
	*ret = slu_json_ref(best);
	return 0;
}

/* What is asked of the version that the hint names, all at once. */
struct quick {
	const struct slu_registry *g;
	const char *name, *version, *next;
	size_t bytes; /* of the record; 0: not known */
	struct json_t *record;
	bool last, whole; /* no record behind it; its MLTable is there */
	uint64_t hint;    /* 0: there is none */
};

static int ask_quick(void *user, size_t i, struct slu_err *e)
{
	struct quick *q = user;
	struct slu_attr a;
	int r;

	if (i == 1) {
		r = slu_record_there(q->g, q->name, q->next, e);
		q->last = r == -ENOENT;
		return q->last ? 0 : r;
	}
	if (i == 0) {
		if (slu_record_read_sized(q->g, q->name, q->version, q->bytes, &q->record) == 0)
			return 0;
		r = slu_record_read(q->g, q->name, q->version, &q->record, e);
		return r == -ENOENT ? 0 : r;
	}
	SLU_AUTO(slu_freep) char *path = slu_record_path(q->g, q->name, q->version, "MLTable");

	r = path ? slu_store_stat(q->g->store, path, &a, e) : slu_fail_oom(e);
	q->whole = r == 0;
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

/* As a rule the hint is right: then the newest is had in two round trips.  q->record NULL: it was not.  whole: it is asked
 * whether anything of what is derived of it is missing. */
static int newest_quick(struct quick *q, bool whole, struct slu_err *e)
{
	q->hint = slu_record_hint_read(q->g, q->name, &q->bytes);
	SLU_AUTO(slu_freep) char *version = slu_asprintf("%llu", (unsigned long long)q->hint);
	SLU_AUTO(slu_freep) char *next = slu_asprintf("%llu", (unsigned long long)q->hint + 1);

	if (!q->hint)
		return 0;
	if (!version || !next)
		return slu_fail_oom(e);
	q->version = version;
	q->next = next;
	int r = slu_gang(whole ? 3 : 2, 3, ask_quick, q, e);

	if (r == 0 && q->last)
		return 0;
	/* Others register at this moment: where to look on. */
	if (r == 0 && q->record)
		q->hint++;
	slu_json_free(q->record);
	q->record = NULL;
	return r;
}

/* Numbered: the highest; *ret NULL: there is none. */
static int newest_from(const struct slu_registry *g, const char *name, uint64_t hint,
		       struct json_t **ret, uint64_t *ret_number, struct slu_err *e)
{
	uint64_t n;
	int r = latest_from(g, name, hint, &n, e);

	if (r < 0)
		return r;
	*ret_number = n;
	if (n == 0)
		return 0;
	SLU_AUTO(slu_freep) char *version = slu_asprintf("%llu", (unsigned long long)n);

	return version ? slu_record_read(g, name, version, ret, e) : slu_fail_oom(e);
}

int slu_record_newest(const struct slu_registry *g, const char *name, struct json_t **ret,
		      uint64_t *ret_number, struct slu_err *e)
{
	struct quick q = {.g = g, .name = name};
	int r = newest_quick(&q, false, e);

	if (r < 0 || !q.record)
		return r < 0 ? r : newest_from(g, name, q.hint, ret, ret_number, e);
	*ret = q.record;
	*ret_number = q.hint;
	return 0;
}

static int newest(const struct slu_registry *g, const char *name, uint64_t hint,
		  struct json_t **ret, struct slu_err *e)
{
	uint64_t n = 0;
	int r = newest_from(g, name, hint, ret, &n, e);

	return r == 0 && n == 0 ? newest_named(g, name, ret, e) : r;
}

/* --- what a user is told who asked for what is not there --- */

static void name_some(struct slu_buf *b, const struct slu_names *l)
{
	size_t show = l->n > 8 ? 8 : l->n;

	for (size_t i = 0; i < show; i++)
		slu_buf_fmt(b, "%s'%s'", i ? ", " : "", l->p[i]);
	if (show < l->n)
		slu_buf_fmt(b, " and %zu more", l->n - show);
}

static int no_such_name(const struct slu_registry *g, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_names_done) struct slu_names l = {0};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "data");

	if (path && slu_names_list(g, path, &l, NULL) == 0 && l.n > 0)
		name_some(&b, &l);
	if (b.len == 0 || slu_buf_err(&b) < 0)
		return slu_fail(e, ENOENT,
				"there is no dataset '%s': none is registered yet, see "
				"`sluice data create`",
				name);
	return slu_fail(e, ENOENT, "there is no dataset '%s': registered are %s", name, b.p);
}

static int no_such_version(const struct slu_registry *g, const char *name, const char *version,
			   struct slu_err *e)
{
	SLU_AUTO(slu_names_done) struct slu_names l = {0};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	uint64_t n = 0;

	if (list_versions(g, name, &l, NULL) < 0 || l.n == 0)
		return no_such_name(g, name, e);
	if (latest(g, name, &n, NULL) == 0 && n == l.n && n > 2)
		slu_buf_fmt(&b, "'1' to '%llu'", (unsigned long long)n);
	else
		name_some(&b, &l);
	return slu_fail(e, ENOENT, "dataset '%s' has no version '%s': it has %s", name, version,
			b.p ? b.p : "none");
}

int slu_registry_record_any(struct sluice *s, const char *name, const char *version,
			    struct json_t **ret, struct slu_err *e)
{
	struct slu_registry g;
	struct quick q = {.g = &g, .name = name};
	bool want_newest = !version || slu_streq(version, "latest");
	int r = slu_record_name_check(name, e);

	if (r == 0 && !want_newest)
		r = slu_record_version_check(version, e);
	if (r == 0)
		r = slu_registry_open(s, &g, e);
	if (r < 0)
		return r;
	if (!want_newest) {
		r = slu_record_read(&g, name, version, ret, e);
	} else {
		r = newest_quick(&q, true, e);
		if (r == 0 && q.record)
			*ret = q.record;
		else if (r == 0)
			r = newest(&g, name, q.hint, ret, e);
	}
	if (r == 0 && !q.whole)
		slu_record_repair(&g, *ret);
	if (r == -ENOENT)
		return want_newest ? no_such_name(&g, name, e)
				   : no_such_version(&g, name, version, e);
	return r;
}

int slu_registry_names(struct sluice *s, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_names_done) struct slu_names l = {0};
	struct slu_registry g;
	int r = slu_registry_open(s, &g, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *path = slu_registry_path(&g, "data");

	if (!path)
		return slu_fail_oom(e);
	r = slu_names_list(&g, path, &l, e);
	struct reading rd = {.g = &g, .p = l.p};

	return r < 0 ? r : read_all(&rd, l.n, ret, e);
}

int slu_registry_versions(struct sluice *s, const char *name, struct json_t **ret,
			  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = NULL;
	struct slu_registry g;
	int r = slu_record_name_check(name, e);

	if (r == 0)
		r = slu_registry_open(s, &g, e);
	if (r == 0)
		r = versions(&g, name, &a, e);
	if (r < 0)
		return r;
	if (slu_json_count(a) == 0)
		return no_such_name(&g, name, e);
	*ret = slu_take(a);
	return 0;
}
