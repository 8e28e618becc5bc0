/* SPDX-License-Identifier: Apache-2.0 */
/* The node table from inside: mount_nodes.c is the table, mount_nodes_held.c what moves and what outlives a
 * process.  The lock of the table is held in all of these. */
#ifndef SLU_FS_MOUNT_NODES_IMPL_H
#define SLU_FS_MOUNT_NODES_IMPL_H

#include "fs/mount_nodes.h"

#include "common/buf.h"

#include <pthread.h>

#define SLU_LNODE_DEPTH 4096

struct slu_node {
	uint64_t id, ino;
	struct slu_node *parent;          /* NULL: the root */
	struct slu_node *by_id, *by_name; /* chains */
	struct slu_node *older, *newer;   /* files: by use */
	uint64_t lookups, size;
	int64_t mtime_ns, asked;
	uint32_t children, opens;
	bool dir, named; /* named: it is what its name stands for now */
	bool pinned;     /* it is being written: its name is its own, whatever the store says */
	bool spoiled;    /* it was: its bytes are not those of its identity */
	uint16_t name_len;
	char *text; /* name NUL identity NUL; in room, unless it has moved */
	char room[];
};

struct slu_lnodes {
	pthread_mutex_t lock;
	struct slu_node *root;
	struct slu_node **ids, **names;
	size_t slots, n, files, keep;
	uint64_t bytes;
	struct slu_node *oldest, *newest;
};

static inline const char *slu_node_identity(const struct slu_node *d)
{
	return d->text + d->name_len + 1;
}

struct slu_node *slu_node_find(const struct slu_lnodes *t, uint64_t id);
struct slu_node *slu_node_child(const struct slu_lnodes *t, const struct slu_node *parent,
				const char *name, size_t n);
/* The number of a name, and the state it is in, in the folder that is shown with the number `of`. */
uint64_t slu_node_number(uint64_t of, const char *name, size_t n, const char *id);
void slu_node_link(struct slu_lnodes *t, struct slu_node *d); /* it has its name */
void slu_node_unlink(struct slu_lnodes *t, struct slu_node *d);
void slu_node_drop(struct slu_lnodes *t,
		   struct slu_node *d); /* and the folders above that nothing holds */
void slu_node_let_go(struct slu_lnodes *t, struct slu_node *d); /* if nothing holds it */
void slu_node_tell(const struct slu_node *d, struct slu_lnode *ret);
int slu_node_path(const struct slu_lnodes *t, const struct slu_node *d, const char *base,
		  const char *name, struct slu_buf *b);
/* Without the lock: slu_lnodes_enter(), told `lookups` times, under the number `as` if it is free (0: any). */
int slu_node_enter(struct slu_lnodes *t, uint64_t parent, const char *name,
		   const struct slu_attr *a, int64_t asked, unsigned lookups, uint64_t as,
		   struct slu_lnode *ret);

#endif
