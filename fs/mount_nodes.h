/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a live mount: what the kernel knows by number.  A number is made of the path and, for a
 * file, of its identity: the same file in the same state has the same number in every process, and a
 * file that changed is another node.  So no node ever changes its bytes, and a process that starts
 * anew, or that forgot a node to bound its memory, answers ESTALE for a number that it does not know,
 * upon which the kernel looks the name up again and gets the same number.  Any thread.
 */
#ifndef SLU_FS_MOUNT_NODES_H
#define SLU_FS_MOUNT_NODES_H

#include "common/cleanup.h"
#include "fs/op.h"

#define SLU_LNODE_ROOT 1u
#define SLU_LNODE_FILES 200000u /* files that nobody has open, kept at most: about 50 MiB */

struct slu_lnodes;

struct slu_lnode {
	uint64_t id;     /* node number */
	uint64_t ino;    /* shown: of the path alone, so that it stays when the bytes change */
	uint64_t up;     /* number shown of its folder */
	uint64_t folder; /* node number of its folder */
	uint32_t opens;
	uint64_t size;
	int64_t mtime_ns;
	int64_t asked; /* slu_now when the store told of it; INT64_MIN: to be asked again */
	bool dir;
	bool spoiled; /* it was written under this number; the name leads to another one now */
	bool first;   /* of what was entered or looked up: the kernel did not know of it before */
};

/* keep: files without opener that are kept; 0: SLU_LNODE_FILES. */
int slu_lnodes_new(size_t keep, struct slu_lnodes **ret); /* 0 or -ENOMEM */
void slu_lnodes_free(struct slu_lnodes *t);
SLU_DEFINE_CLEANUP(struct slu_lnodes *, slu_lnodes_free, slu_lnodes_freep)
size_t slu_lnodes_count(struct slu_lnodes *t);
uint64_t slu_lnodes_bytes(struct slu_lnodes *t); /* of the files known */

/* What the store told at `asked` of `name` in the folder `parent`; the kernel gets to know of it, which
 * counts.  0, -ESTALE: no such parent, -ENOMEM. */
int slu_lnodes_enter(struct slu_lnodes *t, uint64_t parent, const char *name,
		     const struct slu_attr *a, int64_t asked, struct slu_lnode *ret);
/* The same, where the kernel does not get to know of it. */
int slu_lnodes_learn(struct slu_lnodes *t, uint64_t parent, const char *name,
		     const struct slu_attr *a, int64_t asked);
/* It has another name, or is in another folder, with all that is in it; whatever had that name has none.  0,
 * -ESTALE: one of them is not known, or the folder is in it, -ENOMEM. */
int slu_lnodes_move(struct slu_lnodes *t, uint64_t id, uint64_t parent, const char *name);
/* A file that is being written stays, and keeps its name. */
void slu_lnodes_pin(struct slu_lnodes *t, uint64_t id);
/* That is over: it has these bytes for who has it open, but is no state of the file that any name stands for. */
void slu_lnodes_unpin(struct slu_lnodes *t, uint64_t id, uint64_t size, int64_t mtime_ns);
/* The name leads to another node from now on, even to one of the state that this one began with. */
void slu_lnodes_spoil(struct slu_lnodes *t, uint64_t id);
/* The number shown of a name in a folder, which need not be known.  0: none. */
uint64_t slu_lnodes_ino(struct slu_lnodes *t, uint64_t parent, const char *name);
/* A folder was looked at again. */
void slu_lnodes_touch(struct slu_lnodes *t, uint64_t id, const struct slu_attr *a, int64_t asked);
/* The node was found to be no longer what the store has: the next opener is told to look again. */
void slu_lnodes_expire(struct slu_lnodes *t, uint64_t id);
int slu_lnodes_get(struct slu_lnodes *t, uint64_t id, struct slu_lnode *ret); /* 0, -ESTALE */
/* The node that was last entered under this name; lookup: the kernel is told of it.  0, -ENOENT: none is known, -ESTALE: no such parent. */
int slu_lnodes_child(struct slu_lnodes *t, uint64_t parent, const char *name, bool lookup,
		     struct slu_lnode *ret);
/* The store path of a node, or of a name in it (NULL: its own), below base.  The caller frees.  0, -ESTALE,
 * -ENOMEM, -ENOENT: no path of a store. */
int slu_lnodes_path(struct slu_lnodes *t, uint64_t id, const char *base, const char *name,
		    char **ret);
void slu_lnodes_id(struct slu_lnodes *t, uint64_t id, char out[SLU_ID_MAX]); /* "" when unknown */
void slu_lnodes_forget(struct slu_lnodes *t, uint64_t id, uint64_t n);
int slu_lnodes_open(struct slu_lnodes *t, uint64_t id); /* one opener more: 0, -ESTALE */
/* As it was told to a process before this one, under the number that it had then (0: any): the folders on the way,
 * then the node, open once; not open: only known to the kernel.  path: below the root.  0, -EINVAL, -ENOMEM. */
int slu_lnodes_restore(struct slu_lnodes *t, const char *path, const struct slu_attr *a, bool open,
		       uint64_t id, struct slu_lnode *ret);
/* Every folder that the kernel knows, once, those above first ('d'); then every node that somebody has open, as often
 * as that is: first those whose name stands for something else by now ('u'), then the others ('o').  fn must not call
 * the table. */
typedef void slu_lnodes_held_fn(void *user, const char *path, const struct slu_attr *a, uint64_t id,
				char how);
void slu_lnodes_each_held(struct slu_lnodes *t, slu_lnodes_held_fn *fn, void *user);
void slu_lnodes_close(struct slu_lnodes *t, uint64_t id);

#endif
