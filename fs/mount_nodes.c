/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node table of a live mount (mount_nodes.h): two maps over the same nodes, by number and by folder
 * and name.  A node knows its folder, which therefore stays as long as anything in it is known; files
 * that the kernel knows but nobody has open are kept up to a number, the least recently used go first.
 * Folders go when the kernel forgets them: a process may stand in one.
 */
#include "fs/mount_nodes_impl.h"

#include "common/buf.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "io/crypt.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FIRST_SLOTS 256u

/* Of the folder's number and the text: the same in every process. */
uint64_t slu_node_number(uint64_t of, const char *name, size_t n, const char *id)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);
	uint8_t sum[SLU_DIGEST_MAX];
	uint64_t v = 0;

	slu_buf_add(&b, &of, sizeof of);
	slu_buf_add(&b, name, n);
	slu_buf_ch(&b, '\0');
	slu_buf_str(&b, id);
	if (slu_buf_err(&b) || slu_digest(SLU_SHA256, b.p, b.len, sum))
		return 0;
	memcpy(&v, sum, sizeof v);
	v &= INT64_MAX;
	return v > SLU_LNODE_ROOT ? v : v + 2;
}

/* --- maps: lock held --- */

static size_t id_slot(const struct slu_lnodes *t, uint64_t id)
{
	return (id ^ id >> 32) & (t->slots - 1);
}

static size_t name_slot(const struct slu_lnodes *t, const struct slu_node *parent, const char *name,
			size_t n)
{
	return (slu_hash_bytes(name, n) ^ parent->id * 0x9e3779b97f4a7c15ull) & (t->slots - 1);
}

struct slu_node *slu_node_find(const struct slu_lnodes *t, uint64_t id)
{
	struct slu_node *d = t->ids[id_slot(t, id)];

	while (d && d->id != id)
		d = d->by_id;
	return d;
}

struct slu_node *slu_node_child(const struct slu_lnodes *t, const struct slu_node *parent,
				const char *name, size_t n)
{
	struct slu_node *d = t->names[name_slot(t, parent, name, n)];

	while (d && (d->parent != parent || d->name_len != n || memcmp(d->text, name, n) != 0))
		d = d->by_name;
	return d;
}

void slu_node_link(struct slu_lnodes *t, struct slu_node *d)
{
	size_t i = name_slot(t, d->parent, d->text, d->name_len);

	d->by_name = t->names[i];
	t->names[i] = d;
	d->named = true;
}

void slu_node_unlink(struct slu_lnodes *t, struct slu_node *d)
{
	struct slu_node **pp;

	if (!d->named)
		return;
	pp = &t->names[name_slot(t, d->parent, d->text, d->name_len)];
	while (*pp != d)
		pp = &(*pp)->by_name;
	*pp = d->by_name;
	d->named = false;
}

static void id_link(struct slu_lnodes *t, struct slu_node *d)
{
	size_t i = id_slot(t, d->id);

	d->by_id = t->ids[i];
	t->ids[i] = d;
}

/* Twice the slots when they are full; without memory chains get longer. */
static void grow(struct slu_lnodes *t)
{
	size_t old = t->slots;
	struct slu_node **ids = t->ids, **more;

	if (t->n < old)
		return;
	more = slu_calloc(4 * old, sizeof *more);
	if (!more)
		return;
	t->slots = 2 * old;
	t->ids = more;
	t->names = more + t->slots;
	for (size_t i = 0; i < old; i++) {
		for (struct slu_node *d = ids[i], *next; d; d = next) {
			next = d->by_id;
			id_link(t, d);
			if (d->named)
				slu_node_link(t, d);
		}
	}
	free(ids);
}

static void use_unlink(struct slu_lnodes *t, struct slu_node *d)
{
	*(d->older ? &d->older->newer : &t->oldest) = d->newer;
	*(d->newer ? &d->newer->older : &t->newest) = d->older;
}

static void use_link(struct slu_lnodes *t, struct slu_node *d)
{
	d->older = t->newest;
	d->newer = NULL;
	*(t->newest ? &t->newest->newer : &t->oldest) = d;
	t->newest = d;
}

static void used(struct slu_lnodes *t, struct slu_node *d)
{
	if (d->dir || d == t->newest)
		return;
	use_unlink(t, d);
	use_link(t, d);
}

static void node_free(struct slu_node *d)
{
	if (d->text != d->room)
		free(d->text);
	free(d);
}

/* Takes it out, and the folders above that nothing holds any more. */
void slu_node_drop(struct slu_lnodes *t, struct slu_node *d)
{
	while (d != t->root) {
		struct slu_node *parent = d->parent, **pp = &t->ids[id_slot(t, d->id)];

		while (*pp != d)
			pp = &(*pp)->by_id;
		*pp = d->by_id;
		slu_node_unlink(t, d);
		if (!d->dir) {
			use_unlink(t, d);
			t->files--;
			t->bytes -= d->size;
		}
		t->n--;
		node_free(d);
		d = parent;
		if (--d->children || d->lookups || d->opens)
			return;
	}
}

static void drop_unused(struct slu_lnodes *t)
{
	struct slu_node *next;

	for (struct slu_node *d = t->oldest; d && t->files > t->keep; d = next) {
		next = d->newer;
		if (!d->opens && !d->pinned)
			slu_node_drop(t, d);
	}
}

static bool same(const struct slu_node *d, const struct slu_attr *a)
{
	bool dir = a->kind == SLU_KIND_DIR;

	return d->dir == dir && !d->spoiled &&
	       (dir || (d->size == a->size && slu_streq(slu_node_identity(d), a->id)));
}

/* The node of this number, or the next that is free: *ret_d is the one that is the same already. */
static uint64_t place(const struct slu_lnodes *t, const struct slu_node *parent, const char *name,
		      size_t n, const struct slu_attr *a, struct slu_node **ret_d)
{
	/* A folder is its path; a file its path and state. */
	const char *id = a->kind == SLU_KIND_DIR ? "" : a->id;
	uint64_t v = slu_node_number(parent->ino, name, n, id);
	struct slu_node *d;

	*ret_d = NULL;
	while ((d = slu_node_find(t, v))) {
		if (d->parent == parent && d->name_len == n && !memcmp(d->text, name, n) &&
		    same(d, a)) {
			*ret_d = d;
			break;
		}
		v = v < INT64_MAX ? v + 1 : 2;
	}
	return v;
}

/* as: the number that it has, unless that is taken; 0: any. */
static struct slu_node *make(struct slu_lnodes *t, struct slu_node *parent, const char *name,
			     size_t n, const struct slu_attr *a, uint64_t as)
{
	bool dir = a->kind == SLU_KIND_DIR;
	const char *id = dir ? "" : a->id;
	size_t m = strlen(id);
	struct slu_node *d;
	uint64_t v = place(t, parent, name, n, a, &d);

	if (d)
		return d;
	if (as > SLU_LNODE_ROOT && !slu_node_find(t, as))
		v = as;
	d = slu_calloc(1, offsetof(struct slu_node, room) + n + m + 2);
	if (!d)
		return NULL;
	d->text = d->room;
	memcpy(d->text, name, n);
	d->name_len = (uint16_t)n;
	memcpy(d->text + n + 1, id, m);
	d->dir = dir;
	d->parent = parent;
	d->size = dir ? 0 : a->size;
	d->ino = slu_node_number(parent->ino, name, n, "");
	d->id = v;
	d->asked = INT64_MIN;
	parent->children++;
	grow(t);
	id_link(t, d);
	t->n++;
	if (!dir) {
		use_link(t, d);
		t->files++;
		t->bytes += d->size;
	}
	return d;
}

void slu_node_tell(const struct slu_node *d, struct slu_lnode *ret)
{
	*ret = (struct slu_lnode){.id = d->id,
				  .ino = d->ino,
				  .up = d->parent ? d->parent->ino : d->ino,
				  .folder = d->parent ? d->parent->id : d->id,
				  .opens = d->opens,
				  .size = d->size,
				  .mtime_ns = d->mtime_ns,
				  .asked = d->asked,
				  .dir = d->dir,
				  .spoiled = d->spoiled};
}

/* --- the table --- */

int slu_lnodes_new(size_t keep, struct slu_lnodes **ret)
{
	struct slu_lnodes *t = slu_new0(struct slu_lnodes);
	struct slu_node *root = slu_calloc(1, offsetof(struct slu_node, room) + 2);
	struct slu_node **slots = slu_calloc(2 * FIRST_SLOTS, sizeof *slots);

	if (!t || !root || !slots) {
		free(t);
		free(root);
		free(slots);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->keep = keep ? keep : SLU_LNODE_FILES;
	t->slots = FIRST_SLOTS;
	t->ids = slots;
	t->names = slots + FIRST_SLOTS;
	root->text = root->room;
	root->id = root->ino = SLU_LNODE_ROOT;
	root->dir = true;
	root->asked = INT64_MIN;
	t->root = root;
	id_link(t, root);
	t->n = 1;
	*ret = t;
	return 0;
}

void slu_lnodes_free(struct slu_lnodes *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->slots; i++) {
		for (struct slu_node *d = t->ids[i], *next; d; d = next) {
			next = d->by_id;
			node_free(d);
		}
	}
	free(t->ids);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

size_t slu_lnodes_count(struct slu_lnodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->n;

	pthread_mutex_unlock(&t->lock);
	return n;
}

uint64_t slu_lnodes_bytes(struct slu_lnodes *t)
{
	pthread_mutex_lock(&t->lock);
	uint64_t n = t->bytes;

	pthread_mutex_unlock(&t->lock);
	return n;
}

/* What is known of the name is not to be replaced by what was asked for then. */
static bool is_newer(const struct slu_node *d, int64_t asked)
{
	return d && (d->pinned || (!d->spoiled && d->asked > asked));
}

/* lookups: how often the kernel is told of it. */
int slu_node_enter(struct slu_lnodes *t, uint64_t parent, const char *name,
		   const struct slu_attr *a, int64_t asked, unsigned lookups, uint64_t as,
		   struct slu_lnode *ret)
{
	size_t n = strlen(name);
	struct slu_node *up, *d;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	up = slu_node_find(t, parent);
	d = up && up->dir ? slu_node_child(t, up, name, n) : NULL;
	if (!up || !up->dir) {
		r = -ESTALE;
	} else if (is_newer(d, asked)) {
		; /* What is known is newer: of our own doing, or told since that was asked. */
	} else if (!d || !same(d, a)) {
		/* The old state is nameless from now on, and lives as long as the kernel knows it. */
		struct slu_node *old = d;

		d = make(t, up, name, n, a, as);
		if (d) {
			if (old)
				slu_node_unlink(t, old);
			if (!d->named)
				slu_node_link(t, d);
		} else {
			r = -ENOMEM;
		}
	}
	if (!r) {
		if (d->asked <= asked || d->asked == INT64_MIN) {
			d->asked = asked;
			d->mtime_ns = a->mtime_ns;
		}
		used(t, d);
		slu_node_tell(d, ret);
		ret->first = lookups && !d->lookups;
		d->lookups += lookups;
		drop_unused(t);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

int slu_lnodes_enter(struct slu_lnodes *t, uint64_t parent, const char *name,
		     const struct slu_attr *a, int64_t asked, struct slu_lnode *ret)
{
	return slu_node_enter(t, parent, name, a, asked, 1, 0, ret);
}

int slu_lnodes_learn(struct slu_lnodes *t, uint64_t parent, const char *name,
		     const struct slu_attr *a, int64_t asked)
{
	struct slu_lnode n;

	return slu_node_enter(t, parent, name, a, asked, 0, 0, &n);
}

void slu_lnodes_touch(struct slu_lnodes *t, uint64_t id, const struct slu_attr *a, int64_t asked)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d && same(d, a)) {
		d->asked = asked;
		if (d->dir)
			d->mtime_ns = a->mtime_ns;
	}
	pthread_mutex_unlock(&t->lock);
}

void slu_lnodes_expire(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d && d != t->root) {
		d->asked = INT64_MIN;
		slu_node_unlink(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

uint64_t slu_lnodes_ino(struct slu_lnodes *t, uint64_t parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	const struct slu_node *up = slu_node_find(t, parent);
	uint64_t v = up ? slu_node_number(up->ino, name, strlen(name), "") : 0;

	pthread_mutex_unlock(&t->lock);
	return v;
}

int slu_lnodes_get(struct slu_lnodes *t, uint64_t id, struct slu_lnode *ret)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d) {
		used(t, d);
		slu_node_tell(d, ret);
	}
	pthread_mutex_unlock(&t->lock);
	return d ? 0 : -ESTALE;
}

int slu_lnodes_child(struct slu_lnodes *t, uint64_t parent, const char *name, bool lookup,
		     struct slu_lnode *ret)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	struct slu_node *up = slu_node_find(t, parent);
	struct slu_node *d = up ? slu_node_child(t, up, name, strlen(name)) : NULL;

	if (!d) {
		r = up ? -ENOENT : -ESTALE;
	} else {
		used(t, d);
		slu_node_tell(d, ret);
		ret->first = lookup && !d->lookups;
		d->lookups += lookup;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* Lock held. */
int slu_node_path(const struct slu_lnodes *t, const struct slu_node *d, const char *base,
		  const char *name, struct slu_buf *b)
{
	const struct slu_node *way[SLU_LNODE_DEPTH];
	size_t n = 0;

	for (; d != t->root; d = d->parent) {
		if (n == SLU_LNODE_DEPTH)
			return -ENOENT;
		way[n++] = d;
	}
	slu_buf_str(b, base);
	while (n-- > 0) {
		if (b->len)
			slu_buf_ch(b, '/');
		slu_buf_add(b, way[n]->text, way[n]->name_len);
	}
	if (name) {
		if (b->len)
			slu_buf_ch(b, '/');
		slu_buf_str(b, name);
	}
	return slu_buf_err(b) == -EMSGSIZE ? -ENOENT : slu_buf_err(b);
}

int slu_lnodes_path(struct slu_lnodes *t, uint64_t id, const char *base, const char *name,
		    char **ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
	int r = -ESTALE;

	pthread_mutex_lock(&t->lock);
	const struct slu_node *d = slu_node_find(t, id);

	if (d)
		r = slu_node_path(t, d, base, name, &b);
	pthread_mutex_unlock(&t->lock);
	if (r)
		return r;
	if (b.p && !slu_path_ok(b.p))
		return -ENOENT;
	*ret = slu_buf_take(&b);
	return *ret ? 0 : -ENOMEM;
}

void slu_lnodes_id(struct slu_lnodes *t, uint64_t id, char out[SLU_ID_MAX])
{
	pthread_mutex_lock(&t->lock);
	const struct slu_node *d = slu_node_find(t, id);

	snprintf(out, SLU_ID_MAX, "%s", d ? slu_node_identity(d) : "");
	pthread_mutex_unlock(&t->lock);
}

void slu_node_let_go(struct slu_lnodes *t, struct slu_node *d)
{
	if (!d->lookups && !d->opens && !d->children && !d->pinned)
		slu_node_drop(t, d);
}

void slu_lnodes_forget(struct slu_lnodes *t, uint64_t id, uint64_t n)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d) {
		d->lookups -= n < d->lookups ? n : d->lookups;
		slu_node_let_go(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

int slu_lnodes_open(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d)
		d->opens++;
	pthread_mutex_unlock(&t->lock);
	return d ? 0 : -ESTALE;
}

void slu_lnodes_close(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct slu_node *d = slu_node_find(t, id);

	if (d && d->opens) {
		d->opens--;
		slu_node_let_go(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}
