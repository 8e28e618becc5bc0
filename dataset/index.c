/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index read.  Order matters: notes are listed before generations, and whoever compacts takes notes away only
 * after the generation that has what they announce is there; so what is in neither was never registered.
 */
#include "dataset/index.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/facts.h"
#include "dataset/gang.h"
#include "dataset/index_impl.h"
#include "dataset/once.h"
#include "fs/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_MAX (2ull << 30)
#define COMPACT_AT 64 /* notes */
#define READS 4       /* tries, when others compact meanwhile */
#define NAME_ROOM 240 /* bytes of a file name that any store takes */

static void reset(struct slu_index *x)
{
	for (size_t i = 0; i < x->segments.n; i++)
		free(x->segments.p[i].text);
	for (size_t i = 0; i < x->notes.n; i++) {
		free(x->notes.p[i].path);
		free(x->notes.p[i].name);
		free(x->notes.p[i].version);
	}
	for (size_t i = 0; i < x->owned.n; i++)
		free(x->owned.p[i]);
	x->segments.n = x->notes.n = x->owned.n = x->lines.n = x->generations.n = 0;
	x->generation = 0;
}

void slu_index_free(struct slu_index *x)
{
	if (!x)
		return;
	reset(x);
	free(x->segments.p);
	free(x->notes.p);
	free(x->owned.p);
	free(x->lines.p);
	free(x->generations.p);
	free(x);
}

size_t slu_index_count(const struct slu_index *x)
{
	return x->lines.n;
}

const struct slu_index_entry *slu_index_at(const struct slu_index *x, size_t i)
{
	return &x->lines.p[i].is;
}

/* --- lines --- */

/* Of two of one version the one with more facts comes first. */
static int by_place(const void *a, const void *b)
{
	const struct slu_index_entry *x = a, *y = b; /* first member of a line */
	int r = strcmp(x->name, y->name);

	if (r == 0 && x->number != y->number) {
		if (!x->number || !y->number)
			return x->number ? -1 : 1;
		return x->number < y->number ? -1 : 1;
	}
	return r ? r : strcmp(x->version, y->version);
}

static int by_facts(const void *a, const void *b)
{
	const struct slu_index_entry *x = a, *y = b;
	int r = by_place(a, b);

	return r ? r : x->facts > y->facts ? -1 : x->facts < y->facts;
}

void slu_index_sort(struct slu_index *x)
{
	size_t n = 0;

	if (x->lines.n < 2)
		return;
	qsort(x->lines.p, x->lines.n, sizeof(*x->lines.p), by_facts);
	for (size_t i = 0; i < x->lines.n; i++)
		if (n == 0 || by_place(&x->lines.p[n - 1], &x->lines.p[i]) != 0)
			x->lines.p[n++] = x->lines.p[i];
	x->lines.n = n;
}

const struct slu_index_line *slu_index_line(const struct slu_index *x, const char *name,
					    const char *version)
{
	const struct slu_index_line key = {
		.is = {.name = name, .version = version, .number = slu_record_number(version)}};

	return x->lines.n ? bsearch(&key, x->lines.p, x->lines.n, sizeof(key), by_place) : NULL;
}

size_t slu_index_find(const struct slu_index *x, const char *name, size_t *ret_n)
{
	size_t low = 0, high = x->lines.n, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(x->lines.p[mid].is.name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < x->lines.n && slu_streq(x->lines.p[low + n].is.name, name))
		n++;
	*ret_n = n;
	return low;
}

bool slu_index_parse(char *line, struct slu_index_entry *ret)
{
	char *p = line;
	const char *name = strsep(&p, " "), *version = strsep(&p, " "), *facts = strsep(&p, " ");
	const char *flag = strsep(&p, " ");
	uint64_t n;

	if (!p || *p != '{' || !slu_is_name(name) || !slu_is_name(version) || !slu_u64(facts, &n) ||
	    strlen(flag) != 1 || !strchr("-au", *flag))
		return false;
	*ret = (struct slu_index_entry){.name = name,
					.version = version,
					.number = slu_record_number(version),
					.facts = n,
					.archived = *flag == 'a',
					.unregistered = *flag == 'u',
					.json = p};
	return true;
}

int slu_index_add(struct slu_index *x, const struct json_t *record, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *json = slu_json_text(record, SLU_JSON_COMPACT);
	const char *flag = slu_json_bool(record, "unregistered", false) ? "u"
			   : slu_json_bool(record, "archived", false)   ? "a"
									: "-";
	struct slu_index_line line = {.segment = SIZE_MAX};
	SLU_AUTO(slu_freep)
	char *text = json ? slu_asprintf("%s %s %lld %s %s", slu_json_str(record, "name"),
					 slu_json_str(record, "version"),
					 (long long)slu_json_int(record, "facts", 0), flag, json)
			  : NULL;

	if (!text)
		return slu_fail_oom(e);
	if (!slu_index_parse(text, &line.is))
		return slu_fail(e, EBADMSG, "a record has a name that is none");
	if (!slu_vec_push(&x->owned, text))
		return slu_fail_oom(e);
	slu_take(text);
	return slu_vec_push(&x->lines, line) ? 0 : slu_fail_oom(e);
}

/* --- notes --- */

static char *note_path(const struct slu_registry *g, const char *name, const char *version,
		       uint64_t fact, const char *text)
{
	SLU_AUTO(slu_freep)
	char *base = fact ? slu_asprintf("%s@%s@%llu", name, version, (unsigned long long)fact)
			  : slu_asprintf("%s@%s", name, version);
	uint8_t sum[SLU_DIGEST_MAX];
	char hex[33];

	if (!base)
		return NULL;
	if (strlen(base) <= NAME_ROOM)
		return slu_registry_path(g, "index/new/%s", base);
	if (slu_digest(SLU_SHA256, text, strlen(text), sum) < 0)
		return NULL;
	slu_hex(hex, sum, 16);
	return slu_registry_path(g, "index/new/@%s", hex);
}

/* Without asking whether it is there: one that a dead writer left is on its way to be cleared away, this one is
 * young.  *ret_ns: by the store's clock. */
static int put_note(const struct slu_registry *g, const char *name, const char *version,
		    uint64_t fact, int64_t *ret_ns, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_attr a = {0};

	if (slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "name", name) < 0 || slu_json_set_str(o, "version", version) < 0 ||
	    slu_json_set_int(o, "fact", (int64_t)fact) < 0)
		return slu_fail_oom(e);
	text = slu_json_text(o, SLU_JSON_CANONICAL);
	path = text ? note_path(g, name, version, fact, text) : NULL;
	if (!path)
		return slu_fail_oom(e);
	int r = slu_store_put(g->store, path, text, strlen(text), SLU_OPF_DURABLE, &a, e);

	*ret_ns = a.mtime_ns;
	return r;
}

int slu_index_put(const struct slu_registry *g, const char *name, const char *version,
		  uint64_t fact, const char *path, const char *text, int64_t *ret_ns,
		  struct slu_err *e)
{
	int64_t noted = 0, put = 0, begun = slu_boot();
	int r = put_note(g, name, version, fact, &noted, e);

	if (r == 0)
		r = slu_once_put_at(g->store, path, text, strlen(text), &put, e);
	if (r != 0)
		return r;
	/* After a long stop the note may have been cleared away as that of a dead writer. */
	if (put - noted + (slu_boot() - begun) > slu_registry_young)
		r = put_note(g, name, version, fact, &noted, e);
	if (r == 0 && ret_ns)
		*ret_ns = put;
	return r;
}

/* Of a note with a long name its content says what it is about. */
static int read_note(const struct slu_index *x, struct slu_index_note *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int r = slu_registry_json(x->g, n->path, "a note of the index", &o, NULL);
	const char *name = slu_json_str(o, "name"), *version = slu_json_str(o, "version");

	if (r < 0)
		return r;
	if (!name || !version)
		return -EBADMSG;
	n->name = slu_strdup(name);
	n->version = slu_strdup(version);
	n->fact = (uint64_t)slu_json_int(o, "fact", 0);
	return n->name && n->version ? 0 : -ENOMEM;
}

static int split_note(struct slu_index_note *n)
{
	const char *base = slu_path_base(n->path), *at = strchr(base, '@');
	const char *second = at ? strchr(at + 1, '@') : NULL;

	if (!at)
		return -EBADMSG;
	n->name = slu_strndup(base, (size_t)(at - base));
	n->version = second ? slu_strndup(at + 1, (size_t)(second - at - 1)) : slu_strdup(at + 1);
	if (!n->name || !n->version)
		return -ENOMEM;
	return (!second || slu_u64(second + 1, &n->fact)) && slu_is_name(n->name) &&
			       slu_is_name(n->version)
		       ? 0
		       : -EBADMSG;
}

static int on_note(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct slu_index *x = user;
	struct slu_index_note n = {.path = slu_strdup(path), .attr = *attr};

	if (attr->kind != SLU_KIND_FILE) {
		free(n.path);
		return 0;
	}
	int r = !n.path                         ? -ENOMEM
		: slu_path_base(path)[0] == '@' ? read_note(x, &n)
						: split_note(&n);

	if (r == 0 && slu_vec_push(&x->notes, n))
		return 0;
	free(n.path);
	free(n.name);
	free(n.version);
	/* What is none of ours stays where it is. */
	return r == -EBADMSG || r == -ENOENT ? 0 : r < 0 && r != -ENOMEM ? r : slu_fail_oom(e);
}

/* --- generations and segments --- */

static int on_generation(void *user, const char *path, const struct slu_attr *attr,
			 struct slu_err *e)
{
	struct slu_index *x = user;
	const char *base = slu_path_base(path);
	SLU_AUTO(slu_freep) char *digits = slu_strndup(base, strcspn(base, "."));
	int64_t n;

	if (!digits)
		return slu_fail_oom(e);
	if (attr->kind != SLU_KIND_FILE || strlen(digits) != 10 ||
	    !slu_i64(digits + strspn(digits, "0"), 1, INT64_MAX, &n))
		return 0;
	if ((uint64_t)n > x->generation)
		x->generation = (uint64_t)n;
	return slu_vec_push(&x->generations, (uint64_t)n) ? 0 : slu_fail_oom(e);
}

static int list(struct slu_index *x, const char *folder, slu_walk_fn *fn, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(x->g, "%s", folder);
	int r = path ? slu_walk_dir(x->g->store, path, fn, x, e) : slu_fail_oom(e);

	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int read_generation(struct slu_index *x, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep)
	char *path = slu_registry_path(x->g, "index/gen/%010llu.json",
				       (unsigned long long)x->generation);
	int r = path ? slu_registry_json(x->g, path, "the index", &o, e) : slu_fail_oom(e);
	const struct json_t *list_ = slu_json_get(o, "segments");

	if (r < 0)
		return r;
	for (size_t i = 0; i < slu_json_count(list_); i++) {
		const struct json_t *one = slu_json_at(list_, i);
		const char *name = slu_json_str(one, "name");
		struct slu_index_segment s = {.entries = (size_t)slu_json_int(one, "entries", 0)};

		if (!name || strlen(name) + 1 != sizeof(s.name))
			return slu_fail(e, EBADMSG, "the index '%s' is damaged", path);
		memcpy(s.name, name, sizeof(s.name));
		if (!slu_vec_push(&x->segments, s))
			return slu_fail_oom(e);
	}
	return 0;
}

struct loading {
	struct slu_index *x;
	size_t first;
};

static int load_segment(void *user, size_t i, struct slu_err *e)
{
	struct loading *l = user;
	struct slu_index_segment *s = &l->x->segments.p[l->first + i];
	SLU_AUTO(slu_freep) char *path = slu_registry_path(l->x->g, "index/seg/%s", s->name);
	uint8_t sum[SLU_DIGEST_MAX];
	char hex[SLU_DIGEST_HEX];
	size_t n;
	int r = path ? slu_store_get(l->x->g->store, path, SEGMENT_MAX, &s->text, &n, e)
		     : slu_fail_oom(e);

	if (r < 0)
		return r;
	r = slu_digest(SLU_SHA256, s->text, n, sum);
	slu_hex(hex, sum, 32);
	if (r < 0 || !slu_streq(hex, s->name) || !slu_starts(s->text, SLU_INDEX_HEAD))
		return slu_fail(e, EBADMSG, "'%s' is damaged", path);
	return 0;
}

static int parse_segment(struct slu_index *x, size_t i, struct slu_err *e)
{
	char *p = x->segments.p[i].text + strlen(SLU_INDEX_HEAD);

	while (p && *p) {
		struct slu_index_line line = {.segment = i};
		char *text = strsep(&p, "\n");

		if (!slu_index_parse(text, &line.is))
			return slu_fail(e, EBADMSG, "segment '%s' of the index is damaged",
					x->segments.p[i].name);
		if (!slu_vec_push(&x->lines, line))
			return slu_fail_oom(e);
	}
	return 0;
}

size_t slu_index_merge_from(const struct slu_index *x, size_t n)
{
	size_t i = x->segments.n;

	while (i > 0 && x->segments.p[i - 1].entries <= 2 * n)
		n += x->segments.p[--i].entries;
	return i;
}

static int read_once(struct slu_index *x, bool all, struct slu_err *e)
{
	struct loading l = {.x = x};
	int r;

	reset(x);
	r = list(x, "index/new", on_note, e);
	if (r == 0)
		r = list(x, "index/gen", on_generation, e);
	if (r < 0)
		return r;
	if (!x->generation)
		return -ENODATA;
	r = read_generation(x, e);
	if (r < 0)
		return r;
	l.first = all ? 0 : slu_index_merge_from(x, x->notes.n);
	r = slu_gang(x->segments.n - l.first, SLU_INDEX_AT_ONCE, load_segment, &l, e);
	for (size_t i = l.first; r == 0 && i < x->segments.n; i++)
		r = parse_segment(x, i, e);
	if (r == 0)
		slu_index_sort(x);
	return r;
}

int slu_index_read(struct slu_index *x, bool all, struct slu_err *e)
{
	int r = 0;

	for (int i = 0; i < READS; i++) {
		r = read_once(x, all, e);
		/* Somebody compacts, and took away what we were about to read. */
		if (r != -ENOENT)
			break;
	}
	/* Damaged, or half removed by hand: it is made again. */
	if (r == -ENOENT || r == -EBADMSG) {
		slu_warn("registry", "the index is made again: %s", e ? e->msg : "damaged");
		return -ENODATA;
	}
	return r;
}

/* --- what is new --- */

struct resolving {
	struct slu_index *x;
	SLU_VEC(size_t) notes; /* one of each version */
	struct json_t **records;
};

static bool has(const struct slu_index *x, const struct slu_index_note *n)
{
	const struct slu_index_line *l = slu_index_line(x, n->name, n->version);

	return l && l->is.facts >= n->fact;
}

static int by_note(const void *a, const void *b)
{
	const struct slu_index_note *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	if (r == 0)
		r = strcmp(x->version, y->version);
	return r ? r : x->fact > y->fact ? -1 : x->fact < y->fact;
}

static int resolve_one(void *user, size_t i, struct slu_err *e)
{
	struct resolving *rs = user;
	const struct slu_index_note *n = &rs->x->notes.p[rs->notes.p[i]];
	const struct slu_registry *g = rs->x->g;
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *facts = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	int r = slu_record_read(g, n->name, n->version, &record, e);

	if (r == 0 && n->fact)
		r = slu_facts_list(g, n->name, n->version, &facts, e);
	if (r == 0 && facts)
		r = slu_facts_overlay(g, facts, record, e);
	if (r == 0)
		rs->records[i] = slu_take(record);
	if (r == -EBADMSG) { /* one damaged record does not hide the others */
		slu_warn("registry", "%s", e->msg);
		return 0;
	}
	/* Not there yet, or never: its writer died. */
	return r == -ENOENT ? 0 : r;
}

static int resolve(struct resolving *rs, struct slu_err *e)
{
	struct slu_index *x = rs->x;
	int r = 0;

	for (size_t i = 0; i < x->notes.n; i++) {
		const struct slu_index_note *n = &x->notes.p[i], *last = i ? n - 1 : NULL;
		bool again = last && slu_streq(last->name, n->name) &&
			     slu_streq(last->version, n->version);

		if (!again && !has(x, n) && !slu_vec_push(&rs->notes, i))
			return slu_fail_oom(e);
	}
	rs->records = slu_calloc(rs->notes.n + 1, sizeof(struct json_t *));
	if (!rs->records)
		return slu_fail_oom(e);
	r = slu_gang(rs->notes.n, SLU_INDEX_AT_ONCE, resolve_one, rs, e);
	for (size_t i = 0; i < rs->notes.n; i++) {
		if (r == 0 && rs->records[i])
			r = slu_index_add(x, rs->records[i], e);
		slu_json_free(rs->records[i]);
	}
	return r;
}

int slu_index_resolve(struct slu_index *x, struct slu_err *e)
{
	struct resolving rs = {.x = x};

	if (x->notes.n > 1)
		qsort(x->notes.p, x->notes.n, sizeof(*x->notes.p), by_note);
	int r = resolve(&rs, e);

	free(rs.records);
	free(rs.notes.p);
	if (r < 0)
		return r;
	slu_index_sort(x);
	for (size_t i = 0; i < x->notes.n; i++)
		x->notes.p[i].covered = has(x, &x->notes.p[i]);
	return 0;
}

/* --- all of it --- */

static size_t covered(const struct slu_index *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->notes.n; i++)
		n += x->notes.p[i].covered;
	return n;
}

static int load(struct slu_index *x, struct slu_err *e)
{
	struct slu_err why = {0};
	int r = slu_index_read(x, true, e);
	bool none = r == -ENODATA;

	if (none)
		r = slu_index_scan(x, e);
	if (r == 0)
		r = slu_index_resolve(x, e);
	if (r < 0 || slu_store_can(x->g->store, SLU_CAP_READ_ONLY))
		return r;
	if ((none && x->lines.n) || covered(x) >= COMPACT_AT)
		if (slu_index_compact(x, &why) < 0)
			slu_debug("registry", "the index was not written: %s", why.msg);
	return 0;
}

int slu_index_load(const struct slu_registry *g, struct slu_index **ret, struct slu_err *e)
{
	SLU_AUTO(slu_index_freep) struct slu_index *x = slu_new0(struct slu_index);
	struct slu_err own = {0};

	if (!x)
		return slu_fail_oom(e);
	x->g = g;
	int r = load(x, e ? e : &own);

	if (r == 0)
		*ret = slu_take(x);
	return r;
}

void slu_index_tidy(const struct slu_registry *g)
{
	SLU_AUTO(slu_index_freep) struct slu_index *x = slu_new0(struct slu_index);
	struct slu_err e = {0};

	if (!x || slu_store_can(g->store, SLU_CAP_READ_ONLY))
		return;
	x->g = g;
	int r = list(x, "index/new", on_note, &e);

	if (r == 0 && x->notes.n < 2 * COMPACT_AT)
		return;
	if (r == 0)
		r = slu_index_read(x, false, &e);
	/* Who lists makes one where there is none. */
	if (r == 0)
		r = slu_index_resolve(x, &e);
	if (r == 0 && covered(x) >= COMPACT_AT)
		r = slu_index_compact(x, &e);
	if (r < 0 && r != -ENODATA)
		slu_debug("registry", "the index was not tidied: %s", e.msg);
}

int slu_index_rebuild(const struct slu_registry *g, struct slu_err *e)
{
	SLU_AUTO(slu_index_freep) struct slu_index *x = slu_new0(struct slu_index);
	struct slu_err own = {0};
	int r = x ? 0 : slu_fail_oom(e);

	if (r < 0)
		return r;
	e = e ? e : &own;
	x->g = g;
	r = slu_index_read(x, false, e);
	if (r == 0 || r == -ENODATA)
		r = slu_index_scan(x, e);
	if (r == 0)
		r = slu_index_resolve(x, e);
	return r < 0 ? r : slu_index_compact(x, e);
}
