/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of stores that list everything below a folder, but folder by folder: a hierarchical namespace
 * tells "a/x" before "a-b", since there '/' comes before all other characters.  What waits for its turn
 * could be nearly everything, so all of it is read first and then sorted, unless any order will do.
 */
#include "fs/walk_parts.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHECK 100000

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct slu_dirent *)a)->name, ((const struct slu_dirent *)b)->name);
}

static bool is_temp(const char *name)
{
	for (const char *p = name; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (slu_starts(p, SLU_WALK_TEMP))
			return true;
	}
	return false;
}

static int take_page(struct slu_walker *w, const char *base, struct slu_list *page,
		     struct slu_list *ret, struct slu_err *e)
{
	for (size_t i = 0; i < page->n; i++) {
		struct slu_dirent *d = &page->p[i];
		int r = 0;

		if (d->attr.kind == SLU_KIND_DIR)
			continue;
		if (!*d->name || !slu_path_ok(d->name))
			r = slu_odd_add(&w->odd, base, d->name, e);
		else if (!is_temp(d->name) && !slu_vec_push(ret, *d))
			r = slu_fail_oom(e);
		else if (!is_temp(d->name))
			d->name = NULL; /* moved */
		if (r < 0)
			return r;
	}
	return 0;
}

/* One file told again and again by pages that never end would fill the memory. */
static int sort(struct slu_list *list, const char *path, struct slu_err *e)
{
	if (list->n)
		qsort(list->p, list->n, sizeof(*list->p), by_name);
	for (size_t i = 1; i < list->n; i++)
		if (slu_streq(list->p[i].name, list->p[i - 1].name))
			return slu_fail(e, EPROTO, "the listing of '%s' has '%s' in it twice", path,
					list->p[i].name);
	return 0;
}

static bool matches(const struct slu_walker *w)
{
	for (size_t i = 0; w->glob && i < w->glob->n; i++)
		if (slu_glob_match(w->glob->alt[i].text, w->path.p))
			return true;
	return !w->glob;
}

/* Tells the files of the list, which is empty then. */
static int tell(struct slu_walker *w, struct slu_list *list, struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++) {
		size_t len;

		r = slu_walker_push(w, list->p[i].name, &len, e);
		if (r < 0)
			break;
		if (matches(w)) {
			w->found++;
			r = w->fn(w->user, w->path.p, &list->p[i].attr, e);
		}
		slu_walker_cut(w, len);
	}
	slu_list_done(list);
	*list = (struct slu_list){0};
	return r;
}

static int read_all(struct slu_walker *w, const char *base, struct slu_list *ret,
		    struct slu_walk_room *room, struct slu_err *e)
{
	SLU_AUTO(slu_marks_done) struct slu_marks marks = {0};
	SLU_AUTO(slu_freep) char *marker = NULL;
	size_t check_at = FIRST_CHECK;

	for (;;) {
		SLU_AUTO(slu_list_done) struct slu_list page = {0};
		struct slu_op op;
		int r;

		slu_op_list(&op, base, marker, &page);
		op.flags = SLU_OPF_RECURSIVE | w->list_flags;
		r = slu_store_wait(w->s, &op, e);
		if (r == 0)
			r = slu_marks_check(&marks, base, marker, page.next, page.n, e);
		if (r == 0)
			r = take_page(w, base, &page, ret, e);
		(void)slu_walk_room_of(room, ret);
		if (r == 0 && w->any_order)
			r = tell(w, ret, e);
		if (r == 0 && (!page.next || ret->n >= check_at)) {
			check_at = 2 * ret->n;
			r = sort(ret, base, e);
		}
		if (r || !page.next)
			return r;
		free(marker);
		marker = slu_take(page.next);
	}
}

int slu_walk_sorted(struct slu_walker *w, struct slu_err *e)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	SLU_AUTO(slu_walk_room_done) struct slu_walk_room room = {0};
	SLU_AUTO(slu_freep) char *base = slu_strdup(slu_walker_path(w));
	int r = base ? read_all(w, base, &list, &room, e) : slu_fail_oom(e);

	return r ? r : tell(w, &list, e);
}
