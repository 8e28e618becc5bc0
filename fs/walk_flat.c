/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of stores with flat listings.  The pages of a listing come one after the other, since only the
 * service can read its markers; so a large listing is cut where its folders are: when a page of it has
 * reached few folders, those behind are asked for by their names and listed at the same time, and
 * cut again in the same way.  A piece is all that begins with the name of its folder, or the files that
 * the listing of the folders told: pieces are apart from each other and leave nothing between them.
 * What a page has seen is never asked for again, but for the rest of the page that ends a piece.
 *
 * Only the thread that walks looks at pieces; ops end anywhere and say so under the lock.
 */
#include "fs/walk_parts.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define AT_ONCE 8 /* listings */
#define PAGES 24  /* held and under way, beyond those of the first piece, if there is memory */
#define PAGE (2ull << 20) /* bytes of a page, about */
#define WORTH 500 /* names in each folder that a page reaches: those behind are worth a request */

struct page {
	struct page *next;
	struct slu_list list;
};

struct piece {
	struct piece *next;
	char *path;  /* of the folder that is listed */
	char *scope; /* the piece is what begins so in it: "" or "a/b/" */
	char *start; /* with scope "": what names are asked to begin with; NULL: anything */
	char *marker, *last, *prev; /* of the next page; last name read and last name told */
	struct slu_marks marks;
	struct page *page, **end; /* read and not told yet */
	bool below;               /* its folder was there a moment ago */
	bool few, whole;          /* the last page reached few folders; not to be cut */
	bool cutting;             /* the op lists folders */
	bool asked, ended;
	bool done; /* under the lock */
	char *folder;
	struct slu_list got;
	struct slu_op op;
	struct flat *f;
};

/* A walk. */
struct flat {
	struct slu_walker *w;
	struct piece *first; /* in the order of the names */
	size_t under_way, pages;
	struct slu_walk_room room; /* of both */
	bool tree_order;           /* not that of bytes: nothing is cut or checked by it */

	pthread_mutex_t lock;
	pthread_cond_t some; /* done of a piece was set */
	size_t done;
};

static void drop_page(struct piece *p)
{
	struct page *x = p->page;

	p->page = x->next;
	if (!p->page)
		p->end = &p->page;
	p->f->pages--;
	slu_list_done(&x->list);
	free(x);
}

static void piece_free(struct piece *p)
{
	while (p->page)
		drop_page(p);
	slu_list_done(&p->got);
	slu_marks_done(&p->marks);
	free(p->path);
	free(p->scope);
	free(p->start);
	free(p->marker);
	free(p->last);
	free(p->prev);
	free(p->folder);
	free(p);
}

/* Behind *at; NULL: no memory. */
static struct piece *piece_add(struct flat *f, struct piece **at, char *path, const char *start)
{
	struct piece *p = slu_new0(struct piece);

	if (!p || !path) {
		free(p);
		free(path);
		return NULL;
	}
	p->f = f;
	p->path = path;
	p->end = &p->page;
	p->next = *at;
	*at = p;
	p->scope = slu_strdup("");
	p->start = start ? slu_strdup(start) : NULL;
	return p->scope && (p->start || !start) ? p : NULL;
}

/* --- asking --- */

static void on_done(struct slu_op *op)
{
	struct piece *p = op->user;
	struct flat *f = p->f;

	pthread_mutex_lock(&f->lock);
	p->done = true;
	f->done++;
	pthread_cond_signal(&f->some);
	pthread_mutex_unlock(&f->lock);
}

static int ask(struct piece *p, struct slu_err *e)
{
	const char *path = p->path;

	p->cutting = p->few && !p->whole;
	if (p->cutting && *p->scope) {
		free(p->folder);
		p->folder = slu_asprintf("%s%s%.*s", p->path, *p->path ? "/" : "",
					 (int)strlen(p->scope) - 1, p->scope);
		if (!p->folder)
			return slu_fail_oom(e);
		path = p->folder;
	}
	slu_op_list(&p->op, path, p->cutting ? NULL : p->marker, &p->got);
	p->op.flags = p->f->w->list_flags | (p->cutting ? 0 : SLU_OPF_RECURSIVE);
	p->op.start = *p->scope && p->cutting ? NULL : p->start;
	p->op.done = on_done;
	p->op.user = p;
	p->asked = true;
	p->f->under_way++;
	slu_store_submit(p->f->w->s, &p->op);
	return 0;
}

/* The piece that is told next is read whether there is memory or not: without it nothing goes on. */
static int ask_some(struct flat *f, struct slu_err *e)
{
	for (struct piece *p = f->first; p && f->under_way < AT_ONCE; p = p->next) {
		int r;

		if (p->asked || p->ended)
			continue;
		bool room = slu_walk_room(&f->room, (f->pages + f->under_way + 1) * PAGE);

		if (p != f->first && (!room || f->pages + f->under_way >= PAGES))
			break;
		r = ask(p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- pages --- */

/* How many names of the folder `scope` the page reaches. */
static size_t reached(const struct slu_list *l, size_t scope)
{
	const char *before = NULL;
	size_t n = 0, len = 0;

	for (size_t i = 0; i < l->n && n * WORTH <= l->n; i++) {
		const char *name = l->p[i].name + scope;

		if (before && strncmp(before, name, len) == 0 && (name[len] == '/' || !name[len]))
			continue;
		before = name;
		len = strcspn(name, "/");
		n++;
	}
	return n;
}

static int keep_page(struct piece *p, struct slu_err *e)
{
	struct page *x = slu_new0(struct page);

	if (!x)
		return slu_fail_oom(e);
	free(p->last);
	p->last = slu_strdup(p->got.p[p->got.n - 1].name);
	x->list = p->got;
	p->got = (struct slu_list){0};
	*p->end = x;
	p->end = &x->next;
	p->f->pages++;
	return p->last ? 0 : slu_fail_oom(e);
}

/* Keeps those of the page that are in the piece; false: it went on behind the piece. */
static bool keep_scope(struct piece *p, struct slu_err *e, int *ret)
{
	struct slu_list *l = &p->got;
	size_t n = 0, i = 0;

	for (*ret = 0; i < l->n && *ret == 0; i++) {
		char *name = l->p[i].name;

		if (slu_starts(name, p->scope)) {
			l->p[n++] = l->p[i];
			continue;
		}
		if (slu_path_ok(name))
			break;
		*ret = slu_odd_add(&p->f->w->odd, p->path, name, e);
		free(name);
	}
	for (size_t k = i; k < l->n; k++)
		free(l->p[k].name);
	i = l->n - i;
	l->n = n;
	return i == 0;
}

/* Takes over a page of the piece. */
static int take_page(struct piece *p, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *next = slu_take(p->got.next);
	struct slu_list *l = &p->got;
	int r = slu_marks_check(&p->marks, p->path, p->marker, next, l->n, e);

	if (r < 0)
		return r;
	p->ended = !keep_scope(p, e, &r) || !next;
	if (r < 0)
		return r;
	free(p->marker);
	p->marker = slu_take(next);
	p->few = l->n && !p->f->tree_order && reached(l, strlen(p->scope)) * WORTH <= l->n;
	if (l->n)
		return keep_page(p, e);
	slu_list_done(l);
	return 0;
}

/* --- cutting --- */

/* Is the last name that was read before the entry (< 0), in it (0: a folder), or it or behind it (> 0)? */
static int place(const char *last, const struct slu_dirent *d)
{
	size_t n = strlen(d->name);
	int c = strncmp(last, d->name, n);

	if (c)
		return c;
	if (d->attr.kind == SLU_KIND_DIR)
		return last[n] == '/' ? 0 : (unsigned char)last[n] - '/';
	return 1;
}

/* A folder behind what was read is a piece. */
static struct piece **cut_folder(struct piece *p, struct piece **at, const char *folder,
				 const char *name)
{
	struct piece *x = piece_add(p->f, at, slu_path_join(folder, name), NULL);

	if (!x)
		return NULL;
	x->below = true;
	return &x->next;
}

/* So are files in a row; they are known, so there is nothing to ask. */
static struct piece **cut_file(struct piece *p, struct piece **at, struct piece **row,
			       const char *folder, struct slu_dirent *d)
{
	struct slu_list *l;

	if (!*row) {
		struct piece *x = piece_add(p->f, at, slu_strdup(folder), NULL);

		if (!x || !(x->page = slu_new0(struct page)))
			return NULL;
		x->ended = true;
		x->end = &x->page->next;
		p->f->pages++;
		*row = x;
		at = &x->next;
	}
	l = &(*row)->page->list;
	if (!slu_vec_room((void **)&l->p, &l->cap, l->n, sizeof(*l->p)))
		return NULL;
	l->p[l->n++] = *d;
	d->name = NULL; /* moved */
	return at;
}

/* The piece is now the folder that was being read; what is behind it, pieces of their own. */
static int cut_behind(struct piece *p, const char *folder, struct slu_err *e)
{
	const char *last = p->last + strlen(p->scope);
	struct piece **at = &p->next, *row = NULL;
	char *scope = NULL;

	for (size_t i = 0; i < p->got.n; i++) {
		struct slu_dirent *d = &p->got.p[i];
		int c = place(last, d);

		if (c > 0 || slu_starts(d->name, SLU_WALK_TEMP) ||
		    (i && d[-1].name && slu_walk_by_path(d - 1, d) == 0))
			continue;
		if (!*d->name || !slu_path_ok(d->name)) {
			int r = slu_odd_add(&p->f->w->odd, folder, d->name, e);

			if (r < 0)
				return r;
		} else if (c == 0) {
			free(scope);
			scope = slu_asprintf("%s%s/", p->scope, d->name);
			if (!scope)
				return slu_fail_oom(e);
		} else if (d->attr.kind == SLU_KIND_DIR) {
			at = cut_folder(p, at, folder, d->name);
			row = NULL;
		} else {
			at = cut_file(p, at, &row, folder, d);
		}
		if (!at) {
			free(scope);
			return slu_fail_oom(e);
		}
	}
	p->ended = !scope;
	if (scope) {
		free(p->scope);
		p->scope = scope;
	}
	return 0;
}

/* Of a folder with more in it than a page, the files alone are much: it stays whole. */
static int cut(struct piece *p, struct slu_err *e)
{
	int r = 0;

	p->few = false;
	p->whole = p->got.next;
	if (p->got.n && !p->got.next) {
		qsort(p->got.p, p->got.n, sizeof(*p->got.p), slu_walk_by_path);
		r = cut_behind(p, p->folder && *p->scope ? p->folder : p->path, e);
	}
	slu_list_done(&p->got);
	return r;
}

/* --- telling --- */

static bool is_temp(const char *name)
{
	const char *at = name;

	while ((at = strstr(at, SLU_WALK_TEMP))) {
		if (at == name || at[-1] == '/')
			return true;
		at++;
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

static int tell(struct piece *p, const struct slu_dirent *d, const char **prev, struct slu_err *e)
{
	struct slu_walker *w = p->f->w;
	size_t len;
	int r;

	if (d->attr.kind == SLU_KIND_DIR)
		return 0; /* a folder marker */
	if (!*d->name || !slu_path_ok(d->name))
		return slu_odd_add(&w->odd, p->path, d->name, e);
	if (*prev && !p->f->tree_order && strcmp(*prev, d->name) >= 0)
		return slu_fail(e, EPROTO,
				"the listing of '%s' is not sorted: '%s' comes after '%s' (an "
				"account with a hierarchical namespace lists so: its datastore "
				"needs \"namespace\": \"hierarchical\")",
				p->path, d->name, *prev);
	*prev = d->name;
	if (is_temp(d->name))
		return 0;
	r = slu_walker_push(w, d->name, &len, e);
	if (r < 0)
		return r;
	if (!w->glob || glob_matches(w->glob, w->path.p)) {
		w->found++;
		r = w->fn(w->user, w->path.p, &d->attr, e);
	}
	slu_walker_cut(w, len);
	return r;
}

static int tell_page(struct piece *p, struct slu_err *e)
{
	struct slu_walker *w = p->f->w;
	const struct slu_list *l = &p->page->list;
	const char *prev = p->prev;
	size_t len;
	int r;

	slu_walker_cut(w, 0);
	r = slu_walker_push(w, p->path, &len, e);
	for (size_t i = 0; i < l->n && r == 0; i++)
		r = tell(p, &l->p[i], &prev, e);
	if (prev && prev != p->prev) {
		free(p->prev);
		p->prev = slu_strdup(prev);
		if (!p->prev && r == 0)
			r = slu_fail_oom(e);
	}
	drop_page(p);
	return r;
}

/* The piece whose page is told next. */
static struct piece *telling(const struct flat *f)
{
	struct piece *p = f->first;

	while (p && !p->page && f->w->any_order)
		p = p->next;
	return p && p->page ? p : NULL;
}

/* --- the walk --- */

static bool finished(struct piece *p)
{
	struct flat *f = p->f;
	bool done;

	pthread_mutex_lock(&f->lock);
	done = p->done;
	p->done = false;
	f->done -= done;
	pthread_mutex_unlock(&f->lock);
	f->under_way -= done;
	return done;
}

static int take(struct piece *p, struct slu_err *e)
{
	int r = p->op.rc;

	p->asked = false;
	if (r == -ENOENT && (p->below || p->cutting)) {
		p->ended = true; /* it has gone meanwhile */
		slu_list_done(&p->got);
		return 0;
	}
	if (r < 0) {
		if (e)
			*e = p->op.err;
		return r;
	}
	return p->cutting ? cut(p, e) : take_page(p, e);
}

static int take_some(struct flat *f, struct slu_err *e)
{
	for (struct piece *p = f->first; p; p = p->next)
		if (p->asked && finished(p)) {
			int r = take(p, e);

			if (r < 0)
				return r;
		}
	return 0;
}

static void wait_some(struct flat *f, size_t n)
{
	pthread_mutex_lock(&f->lock);
	while (f->done < n)
		pthread_cond_wait(&f->some, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void sweep(struct flat *f)
{
	struct piece **at = &f->first;

	while (*at) {
		struct piece *p = *at;

		if (p->ended && !p->asked && !p->page) {
			*at = p->next;
			piece_free(p);
		} else {
			at = &p->next;
		}
	}
}

static int walk_pieces(struct flat *f, struct slu_err *e)
{
	while (f->first) {
		struct piece *p;
		int r = ask_some(f, e);

		if (r == 0)
			r = take_some(f, e);
		if (r < 0)
			return r;
		p = telling(f);
		if (p)
			r = tell_page(p, e);
		else if (f->under_way)
			wait_some(f, 1);
		if (r)
			return r;
		sweep(f);
		(void)slu_walk_room(&f->room, (f->pages + f->under_way) * PAGE);
	}
	return 0;
}

int slu_walk_flat(struct slu_walker *w, struct slu_err *e)
{
	struct flat f = {.w = w,
			 .lock = PTHREAD_MUTEX_INITIALIZER,
			 .some = PTHREAD_COND_INITIALIZER,
			 .tree_order = slu_store_can(w->s, SLU_CAP_TREE_ORDER)};
	char *base;
	int r;

	if (f.tree_order && !w->any_order)
		return slu_walk_sorted(w, e);
	base = slu_strdup(slu_walker_path(w));
	r = piece_add(&f, &f.first, base, w->start) ? walk_pieces(&f, e) : slu_fail_oom(e);

	for (struct piece *p = f.first; p; p = p->next)
		if (p->asked)
			slu_store_cancel(w->s, &p->op);
	wait_some(&f, f.under_way);
	while (f.first) {
		struct piece *p = f.first;

		f.first = p->next;
		piece_free(p);
	}
	slu_walk_room_done(&f.room);
	return r;
}
