/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that move, that are being written, and that a process after this one has to know (mount_nodes.h).
 */
#include "fs/mount_nodes_impl.h"

#include "common/mem.h"
#include "common/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of a node that moved the folder it left may go. */
static void set_parent(struct slu_lnodes *t, struct slu_node *d, struct slu_node *up)
{
	struct slu_node *left = d->parent;

	if (left == up)
		return;
	d->parent = up;
	up->children++;
	if (!--left->children && !left->lookups && !left->opens && left != t->root)
		slu_node_drop(t, left);
}

static bool is_below(const struct slu_node *d, const struct slu_node *folder)
{
	while (d && d != folder)
		d = d->parent;
	return d;
}

/* The numbers shown of all that is in a folder that moved: those of their paths. */
static void renumber(struct slu_lnodes *t, struct slu_node *folder)
{
	for (size_t i = 0; i < t->slots; i++) {
		for (struct slu_node *d = t->ids[i]; d; d = d->by_id) {
			uint64_t v = folder->ino;
			const struct slu_node *way[SLU_LNODE_DEPTH];
			size_t n = 0;

			if (d == folder || !is_below(d, folder))
				continue;
			for (const struct slu_node *k = d; k != folder && n < SLU_LNODE_DEPTH;
			     k = k->parent)
				way[n++] = k;
			while (n-- > 0)
				v = slu_node_number(v, way[n]->text, way[n]->name_len, "");
			d->ino = v;
		}
	}
}

int slu_lnodes_move(struct slu_lnodes *t, uint64_t id, uint64_t parent, const char *name)
{
	size_t n = strlen(name), m;
	struct slu_node *d, *up, *old;
	char *text = NULL;
	int r = -ESTALE;

	pthread_mutex_lock(&t->lock);
	d = slu_node_find(t, id);
	up = slu_node_find(t, parent);
	if (d && d != t->root && up && up->dir && !is_below(up, d)) {
		m = strlen(slu_node_identity(d));
		text = slu_calloc(1, n + m + 2);
		r = text ? 0 : -ENOMEM;
	}
	if (!r) {
		memcpy(text, name, n);
		memcpy(text + n + 1, slu_node_identity(d), m);
		old = slu_node_child(t, up, name, n);
		if (old && old != d) {
			slu_node_unlink(t, old);
			old->asked = INT64_MIN;
		}
		slu_node_unlink(t, d);
		if (d->text != d->room)
			free(d->text);
		d->text = text;
		d->name_len = (uint16_t)n;
		set_parent(t, d, up);
		d->ino = slu_node_number(up->ino, name, n, "");
		slu_node_link(t, d);
		if (d->dir)
			renumber(t, d);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void slu_lnodes_pin(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d)
		d->pinned = true;
	pthread_mutex_unlock(&t->lock);
}

void slu_lnodes_spoil(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d && !d->dir) {
		d->spoiled = true;
		d->asked = INT64_MIN;
		slu_node_unlink(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

void slu_lnodes_unpin(struct slu_lnodes *t, uint64_t id, uint64_t size, int64_t mtime_ns)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d && !d->dir) {
		t->bytes += size - d->size;
		d->size = size;
		d->mtime_ns = mtime_ns;
		d->pinned = false;
		d->spoiled = true;
		d->asked = INT64_MIN;
		slu_node_unlink(t, d);
		slu_node_let_go(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

/* A number that is known is that node, whatever has its path by now. */
static bool known(struct slu_lnodes *t, uint64_t id, const struct slu_attr *a, bool open,
		  struct slu_lnode *ret)
{
	struct slu_node *d;
	bool there;

	pthread_mutex_lock(&t->lock);
	d = slu_node_find(t, id);
	there = d && d->dir == (a->kind == SLU_KIND_DIR);
	if (there) {
		d->opens += open;
		slu_node_tell(d, ret);
	}
	pthread_mutex_unlock(&t->lock);
	return there;
}

int slu_lnodes_restore(struct slu_lnodes *t, const char *path, const struct slu_attr *a, bool open,
		       uint64_t id, struct slu_lnode *ret)
{
	const struct slu_attr folder = {.kind = SLU_KIND_DIR};
	struct slu_lnode n = {.id = SLU_LNODE_ROOT};

	if (!*path || !slu_path_ok(path))
		return -EINVAL;
	if (id && known(t, id, a, open, ret))
		return 0;
	for (bool last = false; !last;) {
		size_t len = strcspn(path, "/");
		char name[256];
		struct slu_lnode up = n;
		int r = len < sizeof name ? 0 : -EINVAL;

		if (!r) {
			memcpy(name, path, len);
			name[len] = '\0';
			last = !path[len];
			/* How often the kernel was told of it nobody knows any more: so it stays as long as
			 * it is open, or until it is forgotten, and a number that is gone is looked up again. */
			r = slu_node_enter(t, n.id, name, last ? a : &folder, INT64_MIN,
					   last && !open, last ? id : 0, &n);
		}
		if (r) {
			slu_lnodes_forget(t, up.id, 0);
			return r == -ESTALE ? -EINVAL : r;
		}
		path += len + 1;
	}
	*ret = n;
	return open ? slu_lnodes_open(t, n.id) : 0;
}

static size_t depth_of(const struct slu_lnodes *t, const struct slu_node *d)
{
	size_t n = 0;

	for (; d != t->root; d = d->parent)
		n++;
	return n;
}

enum pass { NAMELESS, NAMED, FOLDERS };

/* at: how deep a folder that the kernel knows lies, else 0. */
static bool is_wanted(const struct slu_lnodes *t, const struct slu_node *d, enum pass pass,
		      size_t depth, size_t at)
{
	if (d == t->root)
		return false;
	return pass == FOLDERS ? at && at == depth : d->opens && d->named == (pass == NAMED);
}

/* Of folders those that lie so deep.  The greatest depth there is. */
static size_t each_held(const struct slu_lnodes *t, enum pass pass, size_t depth,
			slu_lnodes_held_fn *fn, void *user)
{
	size_t most = 0;

	for (size_t i = 0; i < t->slots; i++) {
		for (const struct slu_node *d = t->ids[i]; d; d = d->by_id) {
			SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
			struct slu_attr a = {.kind = d->dir ? SLU_KIND_DIR : SLU_KIND_FILE,
					     .size = d->size,
					     .mtime_ns = d->mtime_ns};
			bool is_known = d->dir && d->lookups;
			size_t at = is_known ? depth_of(t, d) : 0;

			most = at > most ? at : most;
			if (!is_wanted(t, d, pass, depth, at) || slu_node_path(t, d, "", NULL, &b))
				continue;
			snprintf(a.id, sizeof a.id, "%s", slu_node_identity(d));
			for (uint32_t k = 0; k < (pass == FOLDERS ? 1 : d->opens); k++)
				fn(user, b.p, &a, d->id,
				   pass == FOLDERS ? 'd'
				   : pass == NAMED ? 'o'
						   : 'u');
		}
	}
	return most;
}

void slu_lnodes_each_held(struct slu_lnodes *t, slu_lnodes_held_fn *fn, void *user)
{
	pthread_mutex_lock(&t->lock);
	size_t most = each_held(t, FOLDERS, SIZE_MAX, fn, user);

	for (size_t depth = 1; depth <= most; depth++)
		(void)each_held(t, FOLDERS, depth, fn, user);
	(void)each_held(t, NAMELESS, 0, fn, user);
	(void)each_held(t, NAMED, 0, fn, user);
	pthread_mutex_unlock(&t->lock);
}
