/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks: listings in one order on every store.  A store with folders is walked folder by folder,
 * each sorted as "name/" for folders and "name" for files, which gives the byte order of the full
 * paths; a pattern prunes the folders that nothing in it can match.  A store with flat listings is
 * streamed page by page, and has to keep that order itself.
 */
#include "fs/walk.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/glob.h"

#include <errno.h>
#include <string.h>

#define TEMP ".sluice-"
#define DEPTH_MAX 1000 /* folders in folders */
#define WALK_PATH_MAX (1u << 16)
#define EMPTY_PAGES 10000 /* in a row, before a listing counts as endless */

struct walk {
	struct slu_store *s;
	slu_walk_fn *fn;
	void *user;
	const struct slu_glob *glob; /* NULL: everything */
	struct slu_buf path;         /* of what is looked at */
	size_t found;
};

/* The folder being walked and those above it. */
struct frame {
	const struct frame *up;
	const char *id;
	unsigned depth;
};

/* Positions in the alternatives of a pattern that names in a folder are matched against. */
struct state {
	size_t alt, part;
};

struct states {
	struct state *p;
	size_t n, cap;
};

static void states_done(struct states *s)
{
	free(s->p);
}

/* Adds a position; after `**`, which may match no part at all, also the one that follows. */
static bool add_state(const struct slu_glob *g, struct states *s, struct state x)
{
	for (;; x.part++) {
		const struct slu_glob_alt *alt = &g->alt[x.alt];
		size_t i = 0;

		while (i < s->n && (s->p[i].alt != x.alt || s->p[i].part != x.part))
			i++;
		if (i < s->n)
			return true;
		if (!slu_vec_push(s, x))
			return false;
		if (!alt->part[x.part].deep || x.part + 1 == alt->n)
			return true;
	}
}

/* Does a file of that name in the folder match?  A folder: the positions below it go to *below. */
static int match_name(const struct slu_glob *g, const struct states *in, const char *name,
		      struct states *below)
{
	size_t n = strlen(name);
	bool hit = false;

	for (size_t i = 0; i < in->n; i++) {
		struct state x = in->p[i];
		const struct slu_glob_alt *alt = &g->alt[x.alt];
		const struct slu_glob_part *part = &alt->part[x.part];
		bool last = x.part + 1 == alt->n;

		if (!part->deep && !slu_glob_part_match(part, name, n))
			continue;
		hit |= last;
		x.part += !part->deep;
		if (below && (part->deep || !last) && !add_state(g, below, x))
			return -ENOMEM;
	}
	return hit;
}

static int list_page(struct slu_store *s, const char *path, const char *marker, unsigned flags,
		     struct slu_list *ret, struct slu_err *e)
{
	struct slu_op op;
	int r;

	slu_op_list(&op, path, marker, ret);
	op.flags = flags;
	r = slu_store_wait(s, &op, e);
	if (r < 0)
		return r;
	if (ret->next && (!*ret->next || (marker && slu_streq(ret->next, marker))))
		return slu_fail(e, EPROTO, "the listing of '%s' does not advance", path);
	return 0;
}

/* All pages of one folder in *ret (also on failure; slu_list_done). */
static int list_folder(struct slu_store *s, const char *path, struct slu_list *ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *marker = NULL;
	size_t empty = 0;

	for (;;) {
		SLU_AUTO(slu_list_done) struct slu_list page = {0};
		int r = list_page(s, path, marker, 0, &page, e);

		if (r < 0)
			return r;
		empty = page.n ? 0 : empty + 1;
		if (empty > EMPTY_PAGES)
			return slu_fail(e, EPROTO, "the listing of '%s' does not end", path);
		for (size_t i = 0; i < page.n; i++) {
			const char *name = page.p[i].name;

			if (!*name || !slu_path_ok(name) || strchr(name, '/'))
				return slu_fail(e, EPROTO,
						"the folder '%s' lists '%s', which is no file name",
						path, name);
			if (!slu_vec_push(ret, page.p[i]))
				return slu_fail_oom(e);
			page.p[i].name = NULL; /* moved */
		}
		free(marker);
		marker = slu_take(page.next);
		if (!marker)
			return 0;
	}
}

static int by_path(const void *a, const void *b)
{
	const struct slu_dirent *x = a, *y = b;
	const unsigned char *s = (const unsigned char *)x->name,
			    *t = (const unsigned char *)y->name;
	int c, d;

	while (*s && *s == *t) {
		s++;
		t++;
	}
	c = *s ? *s : x->attr.kind == SLU_KIND_DIR ? '/' : 0;
	d = *t ? *t : y->attr.kind == SLU_KIND_DIR ? '/' : 0;
	return c - d;
}

/* A flat store may tell a folder twice, as a marker and as what its files share, on two pages. */
static bool told_twice(const struct slu_list *list, size_t i)
{
	const struct slu_dirent *a = &list->p[i], *b = i ? a - 1 : NULL;

	return b && a->attr.kind == SLU_KIND_DIR && b->attr.kind == SLU_KIND_DIR &&
	       slu_streq(a->name, b->name);
}

static int by_name(const void *a, const void *b)
{
	const struct slu_dirent *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : (int)x->attr.kind - (int)y->attr.kind;
}

/* Appends "/name"; returns the length to cut back to. */
static size_t path_push(struct slu_buf *path, const char *name)
{
	size_t len = path->len;

	if (len)
		slu_buf_ch(path, '/');
	slu_buf_str(path, name);
	return len;
}

static void path_cut(struct slu_buf *path, size_t len)
{
	path->len = len;
	if (path->p)
		path->p[len] = '\0';
}

static const char *path_text(const struct slu_buf *path)
{
	return path->p ? path->p : "";
}

static int check_frame(const struct walk *w, const struct frame *f, struct slu_err *e)
{
	const char *path = path_text(&w->path);

	if (f->depth > DEPTH_MAX)
		return slu_fail(e, ELOOP, "'%s' is more than %d folders deep", path, DEPTH_MAX);
	for (const struct frame *up = f->up; up && *f->id; up = up->up)
		if (slu_streq(up->id, f->id))
			return slu_fail(
				e, ELOOP,
				"the folder '%s' contains itself by a link: remove the link", path);
	return 0;
}

static int walk_folder(struct walk *w, const struct frame *up, const char *id,
		       const struct states *in, struct slu_err *e);

/* One entry, whose path is in w->path. */
static int visit(struct walk *w, const struct frame *f, const struct slu_dirent *d,
		 const struct states *in, struct slu_err *e)
{
	SLU_AUTO(states_done) struct states below = {0};
	bool dir = d->attr.kind == SLU_KIND_DIR;
	int hit = 1;

	if (w->glob) {
		hit = match_name(w->glob, in, d->name, dir ? &below : NULL);
		if (hit < 0)
			return slu_fail_oom(e);
	}
	if (dir)
		return w->glob && !below.n ? 0 : walk_folder(w, f, d->attr.id, &below, e);
	if (!hit)
		return 0;
	w->found++;
	return w->fn(w->user, w->path.p, &d->attr, e);
}

/* A listing below the start says -ENOENT: has the folder itself gone while we walked? */
static bool vanished(struct walk *w)
{
	struct slu_attr a;

	return slu_store_stat(w->s, path_text(&w->path), &a, NULL) == -ENOENT;
}

/* Everything below the folder w->path, whose id is `id`. */
static int walk_folder(struct walk *w, const struct frame *up, const char *id,
		       const struct states *in, struct slu_err *e)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct frame f = {up, id, up ? up->depth + 1 : 0};
	int r = check_frame(w, &f, e);

	if (r == 0)
		r = list_folder(w->s, path_text(&w->path), &list, e);
	if (r == -ENOENT && up && vanished(w))
		return 0;
	if (r < 0)
		return r;
	if (list.n)
		qsort(list.p, list.n, sizeof(*list.p), by_path);
	for (size_t i = 0; i < list.n && r == 0; i++) {
		size_t len;

		if (slu_starts(list.p[i].name, TEMP) || told_twice(&list, i))
			continue;
		len = path_push(&w->path, list.p[i].name);
		r = slu_buf_err(&w->path);
		if (r < 0)
			return slu_fail(e, -r, "a path below '%s' is too long",
					path_text(&w->path));
		r = visit(w, &f, &list.p[i], in, e);
		path_cut(&w->path, len);
	}
	return r;
}

static bool has_temp_part(const char *name)
{
	for (const char *p = name; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (slu_starts(p, TEMP))
			return true;
	}
	return false;
}

static bool glob_matches(const struct slu_glob *g, const char *path)
{
	for (size_t i = 0; i < g->n; i++)
		if (slu_glob_match(g->alt[i].text, path))
			return true;
	return false;
}

static int visit_flat(struct walk *w, const char *base, const struct slu_dirent *d, char **prev,
		      struct slu_err *e)
{
	size_t len;
	int r;

	if (d->attr.kind == SLU_KIND_DIR)
		return 0; /* a folder marker */
	if (!slu_path_ok(d->name) || !*d->name)
		return slu_fail(e, EPROTO, "'%s' lists '%s', which is no file name", base, d->name);
	if (*prev && strcmp(*prev, d->name) >= 0)
		return slu_fail(e, EPROTO,
				"the listing of '%s' is not sorted: '%s' comes after '%s'", base,
				d->name, *prev);
	free(*prev);
	*prev = slu_strdup(d->name);
	if (!*prev)
		return slu_fail_oom(e);
	if (has_temp_part(d->name))
		return 0;
	len = path_push(&w->path, d->name);
	r = slu_buf_err(&w->path);
	if (r < 0)
		return slu_fail(e, -r, "a path below '%s' is too long", base);
	if (!w->glob || glob_matches(w->glob, w->path.p)) {
		w->found++;
		r = w->fn(w->user, w->path.p, &d->attr, e);
	}
	path_cut(&w->path, len);
	return r;
}

static int walk_flat(struct walk *w, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *marker = NULL, *prev = NULL, *base = NULL;
	size_t empty = 0;

	base = slu_strdup(path_text(&w->path));
	if (!base)
		return slu_fail_oom(e);
	for (;;) {
		SLU_AUTO(slu_list_done) struct slu_list page = {0};
		int r = list_page(w->s, base, marker, SLU_OPF_RECURSIVE, &page, e);

		for (size_t i = 0; i < page.n && r == 0; i++)
			r = visit_flat(w, base, &page.p[i], &prev, e);
		if (r)
			return r;
		empty = page.n ? 0 : empty + 1;
		if (empty > EMPTY_PAGES)
			return slu_fail(e, EPROTO, "the listing of '%s' does not end", base);
		free(marker);
		marker = slu_take(page.next);
		if (!marker)
			return 0;
	}
}

static int walk_init(struct walk *w, struct slu_store *s, const char *path, slu_walk_fn *fn,
		     void *user, struct slu_err *e)
{
	*w = (struct walk){.s = s, .fn = fn, .user = user, .path = SLU_BUF(WALK_PATH_MAX)};
	slu_buf_str(&w->path, path);
	return slu_buf_err(&w->path) < 0 ? slu_fail_oom(e) : 0;
}

static void walk_done(struct walk *w)
{
	slu_buf_done(&w->path);
}

int slu_walk(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user, struct slu_err *e)
{
	SLU_AUTO(walk_done) struct walk w;
	struct slu_attr a = {0};
	int r = walk_init(&w, s, path, fn, user, e);

	if (r == 0)
		r = slu_store_stat(s, path, &a, e);
	if (r < 0)
		return r;
	if (a.kind == SLU_KIND_FILE)
		return fn(user, path, &a, e);
	if (slu_store_can(s, SLU_CAP_FLAT_LIST))
		return walk_flat(&w, e);
	return walk_folder(&w, NULL, a.id, NULL, e);
}

int slu_walk_dir(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user,
		 struct slu_err *e)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	int r = list_folder(s, path, &list, e);

	if (r == 0 && list.n)
		qsort(list.p, list.n, sizeof(*list.p), by_name);
	for (size_t i = 0; i < list.n && r == 0; i++) {
		SLU_AUTO(slu_freep) char *full = NULL;

		if (slu_starts(list.p[i].name, TEMP) || told_twice(&list, i))
			continue;
		full = slu_path_join(path, list.p[i].name);
		r = full ? fn(user, full, &list.p[i].attr, e) : slu_fail_oom(e);
	}
	return r;
}

/* The folder that every alternative begins with, and how many parts it has. */
static char *glob_base(const char *pattern, size_t *ret_parts)
{
	char *base = slu_glob_unescape(pattern, slu_glob_prefix(pattern));

	*ret_parts = base && *base;
	for (const char *p = base; p && *p; p++)
		*ret_parts += *p == '/';
	return base;
}

static int no_match(const char *pattern, struct slu_err *e)
{
	return slu_fail(e, ENOENT, "no file matches '%s'", pattern);
}

/* Where the walk begins: each alternative, past the parts of the base. */
static int first_states(const struct slu_glob *g, size_t parts, struct states *ret, bool *ret_deep)
{
	*ret_deep = false;
	for (size_t i = 0; i < g->n; i++) {
		for (size_t k = parts; k < g->alt[i].n; k++)
			*ret_deep |= g->alt[i].part[k].deep;
		if (!add_state(g, ret, (struct state){i, parts}))
			return -ENOMEM;
	}
	return 0;
}

/* Is there a folder to begin at?  In a flat store a file may have the name of a folder: there only the
 * listing can say. */
static int stat_base(struct slu_store *s, const char *base, const char *pattern,
		     struct slu_attr *ret, struct slu_err *e)
{
	int r;

	*ret = (struct slu_attr){.kind = SLU_KIND_DIR};
	if (slu_store_can(s, SLU_CAP_FLAT_LIST))
		return 0;
	r = slu_store_stat(s, base, ret, e);
	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && ret->kind == SLU_KIND_FILE))
		return no_match(pattern, e);
	return r;
}

int slu_walk_glob(struct slu_store *s, const char *pattern, slu_walk_fn *fn, void *user,
		  struct slu_err *e)
{
	SLU_AUTO(slu_glob_done) struct slu_glob g = {0};
	SLU_AUTO(states_done) struct states first = {0};
	SLU_AUTO(slu_freep) char *base = NULL;
	SLU_AUTO(walk_done) struct walk w = {0};
	bool flat = slu_store_can(s, SLU_CAP_FLAT_LIST), deep;
	struct slu_attr a;
	size_t parts;
	int r = slu_glob_parse(pattern, &g, e);

	if (r < 0)
		return r;
	base = glob_base(pattern, &parts);
	if (!base || first_states(&g, parts, &first, &deep) < 0)
		return slu_fail_oom(e);
	r = walk_init(&w, s, base, fn, user, e);
	if (r == 0)
		r = stat_base(s, base, pattern, &a, e);
	if (r < 0)
		return r;
	w.glob = &g;
	r = deep && flat ? walk_flat(&w, e) : walk_folder(&w, NULL, a.id, &first, e);
	if (flat && r == -ENOENT && !w.found)
		r = 0;
	return r == 0 && !w.found ? no_match(pattern, e) : r;
}
