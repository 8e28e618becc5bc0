/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a report (stage_written.h; stage_report.c has its lines).  Lines are sorted by name, kind and place in
 * the file, so whatever is asked of a name is a few binary searches, however long the report is.
 */
#include "fs/stage_written.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/stage_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define READ_MAX (1u << 30)
#define NAMES_MAX 5u

/* Whose lines are looked at together. */
enum group { FATE, STATE, MOVE };

struct line {
	const char *key, *more; /* in the text, not ended by NUL */
	uint32_t key_len, more_len;
	enum group group;
	bool bad; /* lost; of STATE: gone */
	size_t at;
};

struct slu_written {
	struct slu_buf text;
	SLU_VEC(struct line) lines;
	SLU_VEC(struct line) sources; /* MOVE alone: key is the old name */
	bool ended;
};

void slu_written_free(struct slu_written *w)
{
	if (!w)
		return;
	slu_buf_done(&w->text);
	free(w->lines.p);
	free(w->sources.p);
	free(w);
}

/* --- parsing --- */

static int compare_bytes(const char *a, size_t n, const char *b, size_t k)
{
	int c = memcmp(a, b, n < k ? n : k);

	return c ? c : (n > k) - (n < k);
}

static int compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int c = compare_bytes(x->key, x->key_len, y->key, y->key_len);

	if (!c)
		c = (x->group > y->group) - (x->group < y->group);
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

static bool parse(const char *p, size_t n, size_t at, struct line *ret)
{
	static const struct {
		const char *word;
		enum group group;
		bool bad;
	} words[] = {{"lost ", FATE, true},
		     {"have ", FATE, false},
		     {"wrote ", STATE, false},
		     {"gone ", STATE, true},
		     {"moved ", MOVE, false}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t k = strlen(words[i].word);
		const char *space;

		if (n < k || memcmp(p, words[i].word, k) != 0)
			continue;
		space = memchr(p + k, ' ', n - k);
		*ret = (struct line){.key = p + k,
				     .key_len = (uint32_t)(space ? space - p - (ptrdiff_t)k
								 : (ptrdiff_t)(n - k)),
				     .group = words[i].group,
				     .bad = words[i].bad,
				     .at = at};
		ret->more = space ? space + 1 : p + n;
		ret->more_len = (uint32_t)(p + n - ret->more);
		return true;
	}
	return false;
}

static int add(struct slu_written *w, const struct line *l)
{
	struct line from = {.key = l->more, .key_len = l->more_len, .group = MOVE, .at = l->at};

	if (l->group == MOVE && !slu_vec_push(&w->sources, from))
		return -ENOMEM;
	return slu_vec_push(&w->lines, *l) ? 0 : -ENOMEM;
}

static int parse_all(struct slu_written *w)
{
	const char *p = w->text.p ? w->text.p : "", *end = p + w->text.len;
	struct line l;
	int r = 0;

	for (const char *nl; !r && (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1) {
		if (nl - p == 3 && memcmp(p, "end", 3) == 0)
			w->ended = true;
		else if (parse(p, (size_t)(nl - p), (size_t)(p - w->text.p), &l))
			r = add(w, &l);
	}
	if (w->lines.n)
		qsort(w->lines.p, w->lines.n, sizeof *w->lines.p, compare);
	if (w->sources.n)
		qsort(w->sources.p, w->sources.n, sizeof *w->sources.p, compare);
	return r;
}

/* --- what was lost --- */

static bool same_key(const struct line *a, const struct line *b)
{
	return compare_bytes(a->key, a->key_len, b->key, b->key_len) == 0;
}

/* Of lines of one file: the first that says so and was not taken back since.  Without a name nothing is. */
static const struct line *first_lost(const struct line *p, size_t n)
{
	const struct line *lost = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!p[i].bad && p->key_len)
			lost = NULL;
		else if (p[i].bad && !lost)
			lost = &p[i];
	}
	return lost;
}

static int by_place(const void *a, const void *b)
{
	const struct line *const *x = a, *const *y = b;

	return ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

/* One lost file, "'a/b' (why)"; without a name the reason alone. */
static void tell(struct slu_buf *out, const struct line *l)
{
	SLU_AUTO(slu_buf_done) struct slu_buf name = SLU_BUF(SLU_STAGE_LINE_MAX);

	slu_buf_str(out, out->len ? ", " : "");
	if (l->key_len && slu_url_decode(&name, l->key, l->key_len) && !slu_buf_err(&name))
		slu_buf_fmt(out, "'%s' (%.*s)", name.p, (int)l->more_len, l->more);
	else
		slu_buf_fmt(out, "%.*s", (int)l->more_len, l->more);
}

/* Some by name; *ret: how many. */
static int list_lost(const struct slu_written *w, struct slu_buf *out, size_t *ret)
{
	SLU_VEC(const struct line *) lost = {0};
	int r = 0;

	for (size_t i = 0, n; i < w->lines.n && !r; i += n) {
		const struct line *p = &w->lines.p[i], *l;
		size_t fates = 0;

		for (n = 1; i + n < w->lines.n && same_key(p, p + n);)
			n++;
		while (fates < n && p[fates].group == FATE)
			fates++;
		l = first_lost(p, fates);
		if (l && !slu_vec_push(&lost, l))
			r = -ENOMEM;
	}
	if (lost.n)
		qsort(lost.p, lost.n, sizeof *lost.p, by_place);
	for (size_t i = 0; i < lost.n && i < NAMES_MAX; i++)
		tell(out, lost.p[i]);
	*ret = lost.n;
	free(lost.p);
	return r;
}

static int judge(const struct slu_written *w, const char *dir, bool no_room, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf out = SLU_BUF(256u << 10);
	size_t lost;

	if (list_lost(w, &out, &lost) < 0)
		return slu_fail_oom(e);
	if (lost > NAMES_MAX)
		slu_buf_fmt(&out, " and %zu more", lost - NAMES_MAX);
	if (lost)
		return slu_fail(e, EIO, "what was written did not all reach the store: %s",
				slu_buf_err(&out) ? "too much to list" : out.p);
	if (no_room)
		return slu_fail(
			e, ENOSPC,
			"what was written did not all reach the store, and there was no room "
			"to note which files: make room for '%s'",
			dir);
	if (!w->ended)
		return slu_fail(e, EIO,
				"the mount ended without notice: what was written to it may not be "
				"whole in the store");
	return 0;
}

int slu_written_read(const char *dir, struct slu_written **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_STAGE_REPORT, dir);
	SLU_AUTO(slu_written_freep) struct slu_written *w = slu_new0(struct slu_written);
	struct stat st;
	int r;

	if (!path || !w)
		return slu_fail_oom(e);
	if (stat(path, &st))
		return slu_fail_sys(e, errno, "cannot read the report of the mount, '%s'", path);
	w->text = (struct slu_buf)SLU_BUF(READ_MAX);
	r = slu_buf_read_file(&w->text, path, e);
	if (r == 0 && parse_all(w) < 0)
		r = slu_fail_oom(e);
	if (r == 0)
		r = judge(w, dir, st.st_mode & S_ISVTX, e);
	if (r == 0 && ret)
		*ret = slu_take(w);
	return r;
}

/* --- what was written --- */

/* The last line of a group about a name, before a place in the report.  NULL: none. */
static const struct line *last_of(const struct line *p, size_t n, enum group group, const char *key,
				  size_t len, size_t before)
{
	const struct line want = {
		.key = key, .key_len = (uint32_t)len, .group = group, .at = before};
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&p[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && p[lo - 1].group == group && same_key(&p[lo - 1], &want) ? &p[lo - 1] : NULL;
}

/* The last of the lines about the folders above a name. */
static const struct line *last_above(const struct line *p, size_t n, const char *key, size_t len,
				     size_t before)
{
	const struct line *last = NULL;

	for (size_t k = len; n && k--;) {
		const struct line *l = key[k] == '/' ? last_of(p, n, MOVE, key, k, before) : NULL;

		if (l && (!last || l->at > last->at))
			last = l;
	}
	return last;
}

static bool same_state(const struct line *l, const char *id)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_STAGE_LINE_MAX);

	if (l->more_len == 1 && *l->more == '-')
		return true;
	slu_url_encode(&b, id, strlen(id), SLU_STAGE_PLAIN);
	return !slu_buf_err(&b) && b.p && compare_bytes(l->more, l->more_len, b.p, b.len) == 0;
}

/* Nothing is told of the name; key: as it was before the folders above it were renamed. */
static enum slu_whose nobodys(const struct slu_buf *key, bool moved, char **ret_was)
{
	SLU_AUTO(slu_buf_done) struct slu_buf name = SLU_BUF(SLU_STAGE_LINE_MAX);

	if (!moved)
		return SLU_WHOSE_OTHERS;
	if (!slu_url_decode(&name, key->p, key->len))
		return SLU_WHOSE_UNKNOWN;
	*ret_was = slu_buf_take(&name);
	return *ret_was ? SLU_WHOSE_MOVED : SLU_WHOSE_UNKNOWN;
}

/* Who gave the name its state: a commit or a rename of the file, or of a folder that it is in, before which it had
 * another name. */
enum slu_whose slu_written_whose(const struct slu_written *w, const char *path, const char *id,
				 char **ret_was)
{
	SLU_AUTO(slu_buf_done) struct slu_buf now = SLU_BUF(SLU_STAGE_LINE_MAX);
	bool moved = false;

	slu_url_encode(&now, path, strlen(path), SLU_STAGE_PLAIN);
	for (size_t before = SIZE_MAX;;) {
		SLU_AUTO(slu_buf_done) struct slu_buf was = SLU_BUF(SLU_STAGE_LINE_MAX);
		const struct line *l, *up;

		if (slu_buf_err(&now) || !now.len)
			return SLU_WHOSE_UNKNOWN;
		l = last_of(w->lines.p, w->lines.n, STATE, now.p, now.len, before);
		up = last_above(w->lines.p, w->lines.n, now.p, now.len, before);
		if (!up || (l && l->at > up->at)) {
			if (!l)
				return nobodys(&now, moved, ret_was);
			if (l->bad)
				return SLU_WHOSE_OTHERS;
			return moved || same_state(l, id) ? SLU_WHOSE_OURS : SLU_WHOSE_CHANGED;
		}
		moved = true;
		before = up->at;
		slu_buf_add(&was, up->more, up->more_len);
		slu_buf_add(&was, now.p + up->key_len, now.len - up->key_len);
		slu_buf_clear(&now);
		slu_buf_add(&now, was.p, slu_buf_err(&was) ? 0 : was.len);
	}
}

/* It was written last, and no folder above it went away. */
static bool stays(const struct slu_written *w, const struct line *l)
{
	return !l->bad && !last_above(w->sources.p, w->sources.n, l->key, l->key_len, SIZE_MAX);
}

int slu_written_each(const struct slu_written *w, int (*fn)(void *user, const char *path),
		     void *user)
{
	int r = 0;

	for (size_t i = 0; i < w->lines.n && !r; i++) {
		SLU_AUTO(slu_buf_done) struct slu_buf name = SLU_BUF(SLU_STAGE_LINE_MAX);
		const struct line *l = &w->lines.p[i];
		bool last = i + 1 == w->lines.n || l[1].group != STATE || !same_key(l, l + 1);

		if (l->group != STATE || !last || !stays(w, l))
			continue;
		if (!slu_url_decode(&name, l->key, l->key_len) || slu_buf_err(&name))
			return -ENOMEM;
		r = fn(user, name.p);
	}
	return r;
}
