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
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/glob.h"
#include "fs/walk_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 1000 /* folders in folders */
#define WALK_PATH_MAX (1u << 16)
#define FIRST_CHECK 65536 /* entries of a folder, before it is looked whether they repeat */

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

/* --- what walks share --- */

int slu_odd_add(struct slu_odd *o, const char *folder, const char *name, struct slu_err *e)
{
	if (o->refuse)
		return slu_fail(e, EPROTO,
				"the folder '%s' has '%s' in it, which no path can say: rename or "
				"remove it with another program",
				folder, name);
	if (!o->n++)
		snprintf(o->first, sizeof(o->first), "%s%s%s", folder, *folder ? "/" : "", name);
	return 0;
}

void slu_odd_tell(const struct slu_odd *o, const char *path)
{
	if (o->n)
		slu_warn(
			"walk",
			"'%s' is not shown whole: %zu of its names are left out, because no path "
			"can say them (a part between slashes is empty, '.' or '..'), such as '%s'",
			path, o->n, o->first);
	if (o->links)
		slu_warn(
			"walk",
			"%zu of the symbolic links in '%s' lead out of it, nowhere or in a circle and are "
			"left out, such as '%s'",
			o->links, path, o->link);
}

static void add_links(struct slu_odd *o, size_t n, const char *one)
{
	if (n && !o->links)
		snprintf(o->link, sizeof(o->link), "%s", one ? one : "");
	o->links += n;
}

/* The kept marker moves on after 1, 2, 4, ... pages: a circle meets it again wherever it begins. */
int slu_marks_check(struct slu_marks *m, const char *path, const char *at, const char *next,
		    size_t entries, struct slu_err *e)
{
	m->empty = entries ? 0 : m->empty + 1;
	if (!next)
		return 0;
	if (!*next || (at && slu_streq(next, at)))
		return slu_fail(e, EPROTO, "the listing of '%s' does not advance", path);
	if ((m->kept && slu_streq(next, m->kept)) || m->empty > SLU_WALK_EMPTY)
		return slu_fail(e, EPROTO, "the listing of '%s' does not end: %s", path,
				m->empty > SLU_WALK_EMPTY ? "its pages are empty"
							  : "its pages go in a circle");
	if (m->seen++ != m->keep_at)
		return 0;
	m->keep_at = 2 * m->keep_at + 1;
	free(m->kept);
	m->kept = slu_strdup(next);
	return m->kept ? 0 : slu_fail_oom(e);
}

void slu_marks_done(struct slu_marks *m)
{
	free(m->kept);
}

const char *slu_walker_path(const struct slu_walker *w)
{
	return w->path.p ? w->path.p : "";
}

int slu_walker_push(struct slu_walker *w, const char *name, size_t *ret_len, struct slu_err *e)
{
	size_t len = w->path.len;
	int r;

	if (len)
		slu_buf_ch(&w->path, '/');
	slu_buf_str(&w->path, name);
	r = slu_buf_err(&w->path);
	if (r < 0)
		return slu_fail(e, -r, "a path below '%s' is too long", slu_walker_path(w));
	*ret_len = len;
	return 0;
}

void slu_walker_cut(struct slu_walker *w, size_t len)
{
	w->path.len = len;
	if (w->path.p)
		w->path.p[len] = '\0';
}

/* --- folder by folder --- */

int slu_walk_by_path(const void *a, const void *b)
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

/* One file told again and again by pages that never end would fill the memory. */
static int check_repeats(struct slu_list *list, const char *path, struct slu_err *e)
{
	if (list->n)
		qsort(list->p, list->n, sizeof(*list->p), slu_walk_by_path);
	for (size_t i = 1; i < list->n; i++)
		if (list->p[i].attr.kind == SLU_KIND_FILE &&
		    list->p[i - 1].attr.kind == SLU_KIND_FILE &&
		    slu_streq(list->p[i].name, list->p[i - 1].name))
			return slu_fail(e, EPROTO, "the listing of '%s' has '%s' in it twice", path,
					list->p[i].name);
	return 0;
}

static int take_page(struct slu_list *page, const char *path, struct slu_list *ret,
		     struct slu_odd *odd, struct slu_err *e)
{
	add_links(odd, page->left, page->left_one);
	for (size_t i = 0; i < page->n; i++) {
		const char *name = page->p[i].name;

		if (!*name || !slu_path_ok(name) || strchr(name, '/')) {
			int r = slu_odd_add(odd, path, name, e);

			if (r < 0)
				return r;
			continue;
		}
		if (!slu_vec_push(ret, page->p[i]))
			return slu_fail_oom(e);
		page->p[i].name = NULL; /* moved */
	}
	return 0;
}

/* All pages of one folder in *ret, sorted by path (also on failure; slu_list_done). */
static int list_folder(struct slu_store *s, const char *path, const char *start, unsigned flags,
		       struct slu_list *ret, struct slu_walk_room *room, struct slu_odd *odd,
		       struct slu_err *e)
{
	SLU_AUTO(slu_marks_done) struct slu_marks marks = {0};
	SLU_AUTO(slu_freep) char *marker = NULL;
	size_t check_at = FIRST_CHECK;

	for (;;) {
		SLU_AUTO(slu_list_done) struct slu_list page = {0};
		struct slu_op op;
		int r;

		slu_op_list(&op, path, marker, &page);
		op.start = start;
		op.flags = flags;
		r = slu_store_wait(s, &op, e);
		if (r == 0)
			r = slu_marks_check(&marks, path, marker, page.next, page.n, e);
		if (r == 0)
			r = take_page(&page, path, ret, odd, e);
		(void)slu_walk_room_of(room, ret);
		if (r == 0 && (!page.next || ret->n >= check_at)) {
			check_at = 2 * ret->n;
			r = check_repeats(ret, path, e);
		}
		if (r < 0 || !page.next)
			return r;
		free(marker);
		marker = slu_take(page.next);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct slu_dirent *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : (int)x->attr.kind - (int)y->attr.kind;
}

static int check_frame(const struct slu_walker *w, const struct frame *f, struct slu_err *e)
{
	const char *path = slu_walker_path(w);

	if (f->depth > DEPTH_MAX)
		return slu_fail(e, ELOOP, "'%s' is more than %d folders deep", path, DEPTH_MAX);
	for (const struct frame *up = f->up; up && *f->id; up = up->up)
		if (slu_streq(up->id, f->id))
			return slu_fail(
				e, ELOOP,
				"the folder '%s' contains itself by a link: remove the link", path);
	return 0;
}

static int walk_folder(struct slu_walker *w, const struct frame *up, const char *id,
		       const struct states *in, struct slu_err *e);

/* One entry, whose path is in w->path. */
static int visit(struct slu_walker *w, const struct frame *f, const struct slu_dirent *d,
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
static bool vanished(struct slu_walker *w)
{
	struct slu_attr a;

	return slu_store_stat(w->s, slu_walker_path(w), &a, NULL) == -ENOENT;
}

/* Everything below the folder w->path, whose id is `id`. */
static int walk_folder(struct slu_walker *w, const struct frame *up, const char *id,
		       const struct states *in, struct slu_err *e)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	SLU_AUTO(slu_walk_room_done) struct slu_walk_room room = {0};
	struct frame f = {up, id, up ? up->depth + 1 : 0};
	int r = check_frame(w, &f, e);

	if (r == -ELOOP && w->list_flags & SLU_OPF_LENIENT) {
		add_links(&w->odd, 1, slu_walker_path(w));
		return 0;
	}
	if (r == 0)
		r = list_folder(w->s, slu_walker_path(w), up ? NULL : w->start, w->list_flags,
				&list, &room, &w->odd, e);
	if (r == -ENOENT && up && vanished(w))
		return 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n && r == 0; i++) {
		size_t len;

		if (slu_starts(list.p[i].name, SLU_WALK_TEMP) || told_twice(&list, i))
			continue;
		r = slu_walker_push(w, list.p[i].name, &len, e);
		if (r < 0)
			return r;
		r = visit(w, &f, &list.p[i], in, e);
		slu_walker_cut(w, len);
	}
	return r;
}

static int walk_init(struct slu_walker *w, struct slu_store *s, const char *path, slu_walk_fn *fn,
		     void *user, struct slu_err *e)
{
	*w = (struct slu_walker){.s = s, .fn = fn, .user = user, .path = SLU_BUF(WALK_PATH_MAX)};
	slu_buf_str(&w->path, path);
	return slu_buf_err(&w->path) < 0 ? slu_fail_oom(e) : 0;
}

static void walk_done(struct slu_walker *w)
{
	slu_buf_done(&w->path);
	free(w->start);
}

int slu_walk_with(struct slu_store *s, const char *path, unsigned flags, slu_walk_fn *fn,
		  void *user, struct slu_err *e)
{
	SLU_AUTO(walk_done) struct slu_walker w;
	struct slu_attr a = {0};
	int r = walk_init(&w, s, path, fn, user, e);

	if (r == 0)
		r = slu_store_stat(s, path, &a, e);
	if (r < 0)
		return r;
	if (a.kind == SLU_KIND_FILE)
		return fn(user, path, &a, e);
	w.odd.refuse = flags & SLU_WALK_WHOLE;
	w.any_order = flags & SLU_WALK_ANY_ORDER;
	w.list_flags = (flags & SLU_WALK_NO_SUMS ? SLU_OPF_NO_SUMS : 0) |
		       (flags & SLU_WALK_LENIENT ? SLU_OPF_LENIENT : 0);
	r = slu_store_can(s, SLU_CAP_FLAT_LIST) ? slu_walk_flat(&w, e)
						: walk_folder(&w, NULL, a.id, NULL, e);
	if (r == 0 && !(flags & SLU_WALK_QUIET))
		slu_odd_tell(&w.odd, path);
	return r == 0 && w.odd.n && flags & SLU_WALK_SAY ? 1 : r;
}

int slu_walk(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user, struct slu_err *e)
{
	return slu_walk_with(s, path, 0, fn, user, e);
}

int slu_walk_dir(struct slu_store *s, const char *path, slu_walk_fn *fn, void *user,
		 struct slu_err *e)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	SLU_AUTO(slu_walk_room_done) struct slu_walk_room room = {0};
	struct slu_odd odd = {0};
	int r = list_folder(s, path, NULL, SLU_OPF_NO_SUMS, &list, &room, &odd, e);

	if (r == 0)
		slu_odd_tell(&odd, path);
	if (r == 0 && list.n)
		qsort(list.p, list.n, sizeof(*list.p), by_name);
	for (size_t i = 0; i < list.n && r == 0; i++) {
		SLU_AUTO(slu_freep) char *full = NULL;

		if (slu_starts(list.p[i].name, SLU_WALK_TEMP) || told_twice(&list, i))
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

/* What the names in that folder have to begin with, where the store can be asked so: else NULL. */
static int glob_start(const struct slu_store *s, const char *pattern, char **ret)
{
	const char *rest = pattern + slu_glob_prefix(pattern);
	size_t n;

	rest += *rest == '/';
	n = strcspn(rest, "*?[{\\/");
	if (!n || !slu_store_can(s, SLU_CAP_START_LIST))
		return 0;
	*ret = slu_strndup(rest, n);
	return *ret ? 0 : -ENOMEM;
}

static int no_match(const char *pattern, struct slu_err *e)
{
	return slu_fail(
		e, ENOENT,
		"no file matches '%s': patterns match files, of folders what '**' stands for%s",
		pattern,
		strpbrk(pattern, "[]{}") ? "; in a name, put a backslash before each of [ ] { } * ?"
					 : "");
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
	SLU_AUTO(walk_done) struct slu_walker w = {0};
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
	if (glob_start(s, pattern, &w.start) < 0)
		return slu_fail_oom(e);
	r = deep && flat ? slu_walk_flat(&w, e) : walk_folder(&w, NULL, a.id, &first, e);
	if (flat && r == -ENOENT && !w.found)
		r = 0;
	if (r == 0)
		slu_odd_tell(&w.odd, base);
	return r == 0 && !w.found ? no_match(pattern, e) : r;
}
