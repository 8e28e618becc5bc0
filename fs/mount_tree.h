/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inode table of a mount, over a manifest: the directories that its paths imply, and numbers.
 * Node 1 is the root; the rest are numbered from 2 in the order of the manifest, a directory just
 * before the first file below it, so the same manifest gives the same numbers again.  Files cost no
 * memory here: a file's number is its place plus the directories before it.  Immutable: any thread.
 */
#ifndef SLU_FS_MOUNT_TREE_H
#define SLU_FS_MOUNT_TREE_H

#include "common/cleanup.h"
#include "common/err.h"
#include "fs/manifest.h"

#include <stdbool.h>
#include <stdint.h>

#define SLU_MNODE_ROOT 1u
#define SLU_MNAME_MAX 255 /* longer names cannot be shown: left out */

struct slu_mtree;

struct slu_mnode {
	uint64_t ino;
	bool dir;
	uint32_t at;      /* index: of the file in the manifest, or of the directory */
	uint64_t size;    /* files */
	uint32_t subdirs; /* directories */
	int64_t mtime_ns; /* of a directory: the newest below */
};

/* m is borrowed.  -EFBIG: more files than 32 bits number. */
int slu_mtree_new(const struct slu_manifest *m, struct slu_mtree **ret, struct slu_err *e);
void slu_mtree_free(struct slu_mtree *t);
SLU_DEFINE_CLEANUP(struct slu_mtree *, slu_mtree_free, slu_mtree_freep)

uint64_t slu_mtree_nodes(const struct slu_mtree *t); /* files and directories, the root too */
/* How many entries have a name too long to show; *ret_first: a path of one of them (or NULL). */
size_t slu_mtree_left_out(const struct slu_mtree *t, const char **ret_first);

/* 0, or -ENOENT: no such number. */
int slu_mtree_get(const struct slu_mtree *t, uint64_t ino, struct slu_mnode *ret);
/* 0, -ENOENT, -ENOTDIR. */
int slu_mtree_lookup(const struct slu_mtree *t, uint64_t parent, const char *name,
		     struct slu_mnode *ret);

/* Walks a directory.  Positions are plain numbers, good at any later time: 0 is the first child. */
struct slu_mdir {
	const struct slu_mtree *t;
	uint64_t ino, parent;
	uint32_t dir;  /* index */
	uint32_t pos;  /* file index of the next child */
	uint32_t hint; /* directory index at pos, when the child is one */
};
int slu_mdir_open(const struct slu_mtree *t, uint64_t ino, uint64_t pos, struct slu_mdir *ret);
/* The next child: false at the end.  Its name is name[0..len), not terminated; *ret_pos is the
 * position after it. */
bool slu_mdir_next(struct slu_mdir *d, struct slu_mnode *ret, const char **ret_name,
		   size_t *ret_len, uint64_t *ret_pos);

#endif
