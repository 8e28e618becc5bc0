/* SPDX-License-Identifier: Apache-2.0 */
/* What the walks share: walk.c goes folder by folder, walk_flat.c reads flat listings. */
#ifndef SLU_FS_WALK_PARTS_H
#define SLU_FS_WALK_PARTS_H

#include "common/buf.h"
#include "fs/glob.h"
#include "fs/walk.h"

#define SLU_WALK_TEMP ".sluice-"
#define SLU_WALK_EMPTY 10000 /* pages in a row, before a listing counts as endless */

/* Names that a store has and no path can say ("a//b", "../x"): left out, and told once a walk. */
struct slu_odd {
	size_t n;
	char first[200]; /* one of them */
	bool refuse;     /* the first one ends the walk */
	size_t links;    /* that lead nowhere (SLU_WALK_LENIENT) */
	char link[200];  /* one of them */
};
int slu_odd_add(struct slu_odd *o, const char *folder, const char *name, struct slu_err *e);
void slu_odd_tell(const struct slu_odd *o, const char *path);

/* The markers of one listing: finds out when they go in a circle, of whatever length. */
struct slu_marks {
	char *kept;
	size_t seen, keep_at, empty;
};
/* Of a page that was got with marker `at` (NULL: the first) and names `next` (NULL: the last). */
int slu_marks_check(struct slu_marks *m, const char *path, const char *at, const char *next,
		    size_t entries, struct slu_err *e);
void slu_marks_done(struct slu_marks *m);

/* Memory of a walk on the budget (walk_room.c).  Start with zero; no lock held. */
#define SLU_WALK_NAME 64 /* bytes of a name, about */
struct slu_walk_room {
	uint64_t held;
};
/* It holds so many bytes now, about.  False: others have the memory; do without more if you can. */
bool slu_walk_room(struct slu_walk_room *room, uint64_t bytes);
bool slu_walk_room_of(struct slu_walk_room *room, const struct slu_list *list);
void slu_walk_room_done(struct slu_walk_room *room);

struct slu_walker {
	struct slu_store *s;
	slu_walk_fn *fn;
	void *user;
	const struct slu_glob *glob; /* NULL: everything */
	struct slu_buf path;         /* of what is looked at */
	char *start; /* what names in the first folder begin with, as far as the store asks so; or NULL */
	bool any_order;
	unsigned list_flags; /* of every LIST */
	size_t found;
	struct slu_odd odd;
};
const char *slu_walker_path(const struct slu_walker *w);
/* Appends "/name" to the path: 0, then slu_walker_cut to *ret_len; -errno. */
int slu_walker_push(struct slu_walker *w, const char *name, size_t *ret_len, struct slu_err *e);
void slu_walker_cut(struct slu_walker *w, size_t len);

/* Of qsort, of struct slu_dirent: in the order of the paths below them, "name/" of folders. */
int slu_walk_by_path(const void *a, const void *b);
/* Everything below w->path of a store with flat listings.  w->path is changed. */
int slu_walk_flat(struct slu_walker *w, struct slu_err *e);
/* The same of one with SLU_CAP_TREE_ORDER. */
int slu_walk_sorted(struct slu_walker *w, struct slu_err *e);

#endif
