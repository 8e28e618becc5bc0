/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings of a live mount.  An open directory holds one page of the store's listing and where each page
 * before it began, so that a directory of any size costs one page, and a reader may go back.  Position
 * 2 + i is the i-th entry that can be shown.  An unknown handle (of a process before this one) begins a
 * listing of its own: positions mean the same as long as the store tells the same.
 */
#include "fs/mount_live.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "fs/mount_guard.h"
#include "fs/mount_rw.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>

#define BUF_MAX (64u << 10)
#define IDLE_NS (10 * SLU_SEC)
#define EMPTY_MAX 1000 /* pages in a row with nothing in them */

struct mark {
	uint64_t at;  /* index of the first entry of a page */
	char *marker; /* NULL: the first page */
};

struct slu_mlist {
	struct slu_mlist *next;
	uint64_t fh, ino;
	unsigned refs;            /* the kernel's handle, and the ask that uses it */
	bool busy;                /* an ask has it */
	struct slu_mask *waiting; /* for that: an interrupted one has it until the store answers */
	struct slu_list page;
	bool loaded, told;
	uint64_t at;   /* index of the page's first entry: marks.p[k].at */
	int64_t begun; /* when the page was asked for */
	int64_t used;
	unsigned empty;
	size_t k;                   /* which page it is */
	SLU_VEC(struct mark) marks; /* of the pages known */
	struct slu_hash *
		staged; /* names of the first page, of a writable mount: files that are being written */
	struct slu_hash *behind; /* folders that a later page may tell again, with their page + 1 */
};

/* --- handles --- */

static void list_free(struct slu_mlist *d)
{
	slu_list_done(&d->page);
	for (size_t i = 0; i < d->marks.n; i++)
		free(d->marks.p[i].marker);
	free(d->marks.p);
	if (d->staged)
		slu_hash_free(d->staged, NULL);
	if (d->behind)
		slu_hash_free(d->behind, NULL);
	free(d);
}

/* Lock held. */
static struct slu_mlist *list_new(struct slu_mlive *l, uint64_t fh, uint64_t ino)
{
	struct slu_mlist *d = slu_new0(struct slu_mlist);
	struct mark first = {0};

	if (!d || !slu_vec_push(&d->marks, first)) {
		free(d);
		return NULL;
	}
	d->fh = fh;
	d->ino = ino;
	d->refs = 1;
	d->used = slu_now();
	d->next = l->lists;
	l->lists = d;
	return d;
}

static struct slu_mlist *list_find(struct slu_mlive *l, uint64_t fh, uint64_t ino)
{
	struct slu_mlist *d = l->lists;

	while (d && (d->fh != fh || d->ino != ino))
		d = d->next;
	return d;
}

/* Lock held. */
static void list_unref(struct slu_mlive *l, struct slu_mlist *d)
{
	struct slu_mlist **pp = &l->lists;

	if (--d->refs)
		return;
	while (*pp != d)
		pp = &(*pp)->next;
	*pp = d->next;
	list_free(d);
}

void slu_mlive_list_put(struct slu_mlive *l, struct slu_mlist *d)
{
	struct slu_mask *a = d->waiting;

	d->busy = a;
	d->used = slu_now();
	if (a) {
		d->waiting = a->behind;
		a->behind = l->turns;
		l->turns = a;
	}
	list_unref(l, d);
}

static struct slu_mlive *live_of(fuse_req_t req)
{
	struct slu_mount *m = fuse_req_userdata(req);

	return m->live;
}

void slu_mlive_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mlive *l = live_of(req);
	struct slu_mlist *d;
	if (slu_lnodes_open(l->nodes, ino)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	slu_mlive_keep_note(l, ino, true);
	pthread_mutex_lock(&l->lock);
	d = list_new(l, ++l->next_list, ino);
	if (d)
		fi->fh = d->fh;
	pthread_mutex_unlock(&l->lock);
	if (d) {
		fuse_reply_open(req, fi);
		return;
	}
	slu_mlive_keep_note(l, ino, false);
	slu_lnodes_close(l->nodes, ino);
	fuse_reply_err(req, ENOMEM);
}

void slu_mlive_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mlive *l = live_of(req);
	struct slu_mlist *d;

	slu_mlive_keep_note(l, ino, false);
	slu_lnodes_close(l->nodes, ino);
	pthread_mutex_lock(&l->lock);
	d = list_find(l, fi->fh, ino);
	if (d)
		list_unref(l, d);
	pthread_mutex_unlock(&l->lock);
	fuse_reply_err(req, 0);
}

void slu_mlive_lists_trim(struct slu_mlive *l, bool all)
{
	int64_t now = slu_now();

	pthread_mutex_lock(&l->lock);
	for (struct slu_mlist *d = l->lists, *next; d; d = next) {
		next = d->next;
		if (!d->busy && d->loaded && now - d->used > IDLE_NS) {
			slu_list_done(&d->page);
			d->page = (struct slu_list){0};
			d->loaded = false;
		}
		if (all) {
			l->lists = next;
			list_free(d);
		}
	}
	pthread_mutex_unlock(&l->lock);
}

/* --- a page --- */

static bool shown(const struct slu_dirent *e)
{
	return *e->name && strlen(e->name) <= SLU_MNAME_MAX && !strchr(e->name, '/') &&
	       slu_path_ok(e->name);
}

/* The names of the folders in the page, on a store where a file may have the same; of one that is told
 * twice, as a marker and as what its files share, the first. */
static struct slu_hash *folders_of(const struct slu_mask *a)
{
	struct slu_hash *h = NULL;

	if (slu_store_can(a->l->store, SLU_CAP_REAL_DIRS))
		return NULL;
	for (size_t i = 0; i < a->list.n; i++) {
		char *name = a->list.p[i].name;

		if (a->list.p[i].attr.kind != SLU_KIND_DIR)
			continue;
		if (!h)
			h = slu_hash_new();
		if (h && !slu_hash_get(h, name))
			(void)slu_hash_put(h, name, name);
	}
	return h;
}

/* Between the marker 'd' and what begins with 'd/' others fit, such as 'd-1', and so does the end of the
 * page: then 'd' is how the last name begins. */
static void note_behind(struct slu_mlist *d, const struct slu_list *page)
{
	const char *last = NULL;

	for (size_t i = 0; i < page->n; i++)
		if (!last || strcmp(page->p[i].name, last) > 0)
			last = page->p[i].name;
	for (size_t i = 0; last && page->next && i < page->n; i++) {
		const char *name = page->p[i].name;

		if (page->p[i].attr.kind != SLU_KIND_DIR || !slu_starts(last, name))
			continue;
		if (!d->behind)
			d->behind = slu_hash_new();
		if (d->behind && !slu_hash_get(d->behind, name))
			(void)slu_hash_put(d->behind, name, (void *)(uintptr_t)(d->k + 1));
	}
}

/* What was taken out of a page. */
struct left {
	const char *refused, *both; /* the last of each */
	size_t n;                   /* refused */
};

static bool told_before(const struct slu_dirent *e, const struct slu_hash *folders,
			const struct slu_mlist *d)
{
	const char *first = folders ? slu_hash_get(folders, e->name) : NULL;
	uintptr_t page = d->behind ? (uintptr_t)slu_hash_get(d->behind, e->name) : 0;

	return (first && first != e->name) || (page && page - 1 < d->k);
}

/* Names that the kernel refuses, files that are folders too, folders again.  False: not to be shown. */
static bool judge(const struct slu_dirent *e, const struct slu_hash *folders,
		  const struct slu_mlist *d, struct left *left)
{
	if (slu_starts(e->name, ".sluice-")) /* unfinished writes */
		return false;
	if (!shown(e)) {
		left->refused = e->name;
		left->n++;
		return false;
	}
	if (e->attr.kind == SLU_KIND_DIR)
		return !told_before(e, folders, d);
	if (!folders || !slu_hash_get(folders, e->name))
		return true;
	left->both = e->name;
	return false;
}

static void clean(struct slu_mask *a, struct slu_mlist *d)
{
	struct slu_list *p = &a->list;
	struct slu_hash *folders = folders_of(a);
	struct left left = {0};
	size_t n = 0;

	if (folders)
		note_behind(d, p);
	for (size_t i = 0; i < p->n; i++) {
		struct slu_dirent e = p->p[i];

		if (!judge(&e, folders, d, &left))
			continue;
		p->p[i] = p->p[n];
		p->p[n++] = e;
	}
	if (!d->told && left.refused)
		slu_warn("mount", "'%s': %zu names are left out, such as '%.300s'", a->path, left.n,
			 left.refused);
	if (!d->told && left.both)
		slu_warn("mount", "'%s': '%s' is a file and a folder: the folder is shown", a->path,
			 left.both);
	d->told |= left.refused || left.both;
	for (size_t i = n; i < p->n; i++)
		free(p->p[i].name);
	p->n = n;
	if (folders)
		slu_hash_free(folders, NULL);
}

/* --- a reply --- */

static bool add(struct slu_mask *a, const char *name, const struct fuse_entry_param *p,
		uint64_t next)
{
	char *to = a->buf + a->used;
	size_t room = a->size - a->used, need;

	if (a->plus)
		need = fuse_add_direntry_plus(a->req, to, room, name, p, (off_t)next);
	else
		need = fuse_add_direntry(a->req, to, room, name, &p->attr, (off_t)next);
	if (need > room)
		return false;
	a->used += need;
	return true;
}

static bool add_dots(struct slu_mask *a)
{
	struct fuse_entry_param p = {.attr.st_mode = S_IFDIR};
	struct slu_lnode n;

	if (a->off >= 2 || slu_lnodes_get(a->l->nodes, a->ino, &n))
		return true;
	p.attr.st_ino = n.ino; /* p.ino stays 0: the kernel looks these two up by itself */
	if (a->off < 1 && !add(a, ".", &p, 1))
		return false;
	p.attr.st_ino = n.up;
	return add(a, "..", &p, 2);
}

/* 0, 1: no room, -errno. */
static int add_child(struct slu_mask *a, const struct slu_mlist *d, const struct slu_dirent *e,
		     uint64_t next)
{
	struct fuse_entry_param p = {0};
	struct slu_lnode n;

	if (!e->attr.kind || (d->k && d->staged && slu_hash_get(d->staged, e->name)))
		return 0; /* it went, or was told already */
	if (!a->plus) {
		p.attr.st_ino = slu_lnodes_ino(a->l->nodes, a->ino, e->name);
		p.attr.st_mode = e->attr.kind == SLU_KIND_DIR ? S_IFDIR
				 : d->k || !a->l->m->rw       ? S_IFREG
							: slu_mrw_type(a->l->m, a->ino, e->name);
		return add(a, e->name, &p, next) ? 0 : 1;
	}
	if (fuse_add_direntry_plus(a->req, NULL, 0, e->name, NULL, 0) > a->size - a->used)
		return 1; /* before the kernel is said to know of it */
	int r = slu_lnodes_enter(a->l->nodes, a->ino, e->name, &e->attr, d->begun, &n);

	if (r)
		return r;
	slu_mlive_keep_folder(a->l, &n);
	slu_mlive_entry(a->l, &n, &p);
	return add(a, e->name, &p, next) ? 0 : 1;
}

/* Adds what the page has for the reader.  1: that was all there is, or all there is room for; 0: the page
 * is not the right one. */
static int add_page(struct slu_mask *a, struct slu_mlist *d)
{
	uint64_t i = a->off < 2 ? 0 : a->off - 2;
	int r = 0;

	if (!d->loaded || i < d->at || (i >= d->at + d->page.n && d->page.next))
		return 0;
	for (; i < d->at + d->page.n && !r; i++)
		r = add_child(a, d, &d->page.p[i - d->at], 2 + i + 1);
	return r < 0 ? r : 1;
}

/* What READDIRPLUS would have told the kernel of, had it been answered with that. */
static void untell(struct slu_mask *a)
{
	size_t at = 0;

	while (a->plus && at + FUSE_NAME_OFFSET_DIRENTPLUS <= a->used) {
		struct fuse_direntplus e;

		memcpy(&e, a->buf + at, FUSE_NAME_OFFSET_DIRENTPLUS);
		if (e.entry_out.nodeid)
			slu_lnodes_forget(a->l->nodes, e.entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(&e);
	}
}

/* The handle is free before the reply: the next request for it may come at once. */
static void list_end(struct slu_mask *a, int rc)
{
	struct slu_mlive *l = a->l;
	struct slu_mlist *d = a->dir;

	pthread_mutex_lock(&l->lock);
	a->dir = NULL;
	slu_mlive_list_put(l, d);
	pthread_mutex_unlock(&l->lock);
	slu_mlive_list_turn(l);
	if (!slu_mask_claim(a)) {
		untell(a);
	} else {
		if (rc < 0 && !a->used)
			slu_mask_fail(a, rc);
		else if (fuse_reply_buf(a->req, a->buf, a->used))
			untell(a);
		slu_mask_replied(a);
	}
	slu_mask_end(a);
}

/* Where the page after this one begins.  -EIO: the listing does not get on. */
static int note_next(struct slu_mlist *d)
{
	const struct mark *me = &d->marks.p[d->k];
	struct mark m = {.at = d->at + d->page.n};

	if (!d->page.next)
		return 0;
	d->empty = d->page.n ? 0 : d->empty + 1;
	if (d->empty > EMPTY_MAX || (me->marker && slu_streq(me->marker, d->page.next)))
		return -EIO;
	if (d->marks.n > d->k + 1)
		return 0;
	m.marker = slu_strdup(d->page.next);
	if (!m.marker || !slu_vec_push(&d->marks, m)) {
		free(m.marker);
		return -ENOMEM;
	}
	return 0;
}

/* The page to be asked for: behind the one that is there the next one, else the last that is known to
 * begin at the reader's place or before. */
static void choose(struct slu_mask *a, struct slu_mlist *d)
{
	uint64_t i = a->off < 2 ? 0 : a->off - 2;

	if (d->loaded && i >= d->at + d->page.n) {
		d->k++;
		/* A listing that became shorter: entries are missing, but it gets on. */
		if (d->marks.p[d->k].at > i)
			a->off = 2 + d->marks.p[d->k].at;
	} else {
		d->k = d->marks.n - 1;
		while (d->k && d->marks.p[d->k].at > i)
			d->k--;
	}
	d->at = d->marks.p[d->k].at;
}

static void page_came(struct slu_mask *a);

/* The first page of a writable mount: the files that are being written. */
static int staged_page(struct slu_mask *a, struct slu_mlist *d)
{
	int r = slu_mrw_names(a->l->m, a->ino, &d->page);

	if (!d->staged && d->page.n)
		d->staged = slu_hash_new();
	for (size_t i = 0; !r && d->staged && i < d->page.n; i++)
		r = slu_hash_put(d->staged, d->page.p[i].name, d);
	d->page.next = r < 0 ? NULL : slu_strdup("");
	if (r >= 0 && !d->page.next)
		r = -ENOMEM;
	d->loaded = true;
	return r < 0 ? r : note_next(d);
}

/* "": the store's first page, which comes after that of ours. */
static const char *marker_of(const struct slu_mlist *d)
{
	const char *m = d->marks.p[d->k].marker;

	return m && *m ? m : NULL;
}

void slu_mlive_list_changed(struct slu_mlive *l, uint64_t folder, const char *name,
			    const struct slu_attr *now)
{
	pthread_mutex_lock(&l->lock);
	for (struct slu_mlist *d = l->lists; d; d = d->next) {
		for (size_t i = 0; d->ino == folder && d->loaded && i < d->page.n; i++) {
			if (!slu_streq(d->page.p[i].name, name))
				continue;
			d->page.p[i].attr = now ? *now : (struct slu_attr){0};
		}
	}
	pthread_mutex_unlock(&l->lock);
}

/* Replies, or asks for the page that is needed. */
static void go_on(struct slu_mask *a)
{
	struct slu_mlist *d = a->dir;
	int r = add_page(a, d);

	if (r || a->used) {
		list_end(a, r);
		return;
	}
	choose(a, d);
	d->loaded = false;
	d->begun = slu_now();
	slu_list_done(&d->page);
	d->page = (struct slu_list){0};
	if (a->l->m->rw && !d->k) {
		r = staged_page(a, d);
		if (!r)
			r = add_page(a, d);
		if (r || a->used) {
			list_end(a, r);
			return;
		}
		choose(a, d);
		d->loaded = false;
		slu_list_done(&d->page);
		d->page = (struct slu_list){0};
	}
	a->answer = page_came;
	slu_op_list(&a->op, a->path, marker_of(d), &a->list);
	a->op.flags |= SLU_OPF_NO_SUMS | SLU_OPF_LENIENT;
	slu_mask_send(a);
}

static void page_came(struct slu_mask *a)
{
	struct slu_mlist *d = a->dir;
	int r = a->op.rc;

	if (!r) {
		clean(a, d);
		d->page = a->list;
		a->list = (struct slu_list){0};
		d->loaded = true;
		r = note_next(d);
	}
	if (r || slu_mask_over(a))
		list_end(a, r);
	else
		go_on(a);
}

static void begin(struct slu_mask *a)
{
	int r = 0;

	if (!slu_mask_over(a)) {
		a->buf = slu_malloc(a->size);
		r = a->buf ? slu_lnodes_path(a->l->nodes, a->ino, a->l->base, NULL, &a->path)
			   : -ENOMEM;
		if (!r && add_dots(a)) {
			go_on(a);
			return;
		}
	}
	list_end(a, r);
}

void slu_mlive_list_turn(struct slu_mlive *l)
{
	struct slu_mask *a;

	pthread_mutex_lock(&l->lock);
	a = l->turns;
	if (a)
		l->turns = a->behind;
	pthread_mutex_unlock(&l->lock);
	if (a)
		begin(a);
}

/* Lock held.  Takes out of the queue those that were interrupted while they waited. */
static struct slu_mask *give_up(struct slu_mlist *d)
{
	struct slu_mask **pp = &d->waiting, *gone = NULL, *a;

	while ((a = *pp)) {
		if (!a->claimed) {
			pp = &a->behind;
			continue;
		}
		*pp = a->behind;
		a->behind = gone;
		gone = a;
		a->dir = NULL;
		d->refs--; /* the caller has one */
	}
	return gone;
}

/* The handle is for one reader at a time.  *ret_now: a has it; else it has its turn later. */
static int list_take(struct slu_mask *a, uint64_t fh, bool *ret_now)
{
	struct slu_mlive *l = a->l;
	struct slu_mask *gone = NULL, **pp;
	struct slu_mlist *d;

	pthread_mutex_lock(&l->lock);
	d = list_find(l, fh, a->ino);
	if (!d)
		d = list_new(l, fh, a->ino);
	if (d) {
		a->dir = d;
		d->refs++;
		*ret_now = !d->busy;
		gone = give_up(d);
		for (pp = &d->waiting; *pp; pp = &(*pp)->behind)
			;
		if (d->busy)
			*pp = a;
		d->busy = true;
	}
	pthread_mutex_unlock(&l->lock);
	while (gone) {
		struct slu_mask *next = gone->behind;

		slu_mask_end(gone);
		gone = next;
	}
	return d ? 0 : -ENOMEM;
}

void slu_mlive_list(fuse_req_t req, uint64_t ino, size_t size, uint64_t off, uint64_t fh, bool plus)
{
	struct slu_mlive *l = live_of(req);
	struct slu_mask *a;
	bool now;

	if (!off && slu_mguard_refuses(l->m, req)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	a = slu_mask_new(l, req, ino, page_came);
	if (!a)
		return;
	a->size = size < BUF_MAX ? size : BUF_MAX;
	a->off = off;
	a->plus = plus;
	if (list_take(a, fh, &now)) {
		if (slu_mask_claim(a))
			slu_mask_fail(a, -ENOMEM);
		slu_mask_end(a);
	} else if (now) {
		begin(a);
	}
}
