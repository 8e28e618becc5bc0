/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node table of a live mount (mount_nodes.h): two maps over the same nodes, by number and by folder
 * and name.  A node knows its folder, which therefore stays as long as anything in it is known; files
 * that the kernel knows but nobody has open are kept up to a number, the least recently used go first.
 * Folders go when the kernel forgets them: a process may stand in one.
 */
#include "fs/mount_nodes.h"

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
#define DEPTH_MAX 4096

struct node {
	uint64_t id, ino;
	struct node *parent;          /* NULL: the root */
	struct node *by_id, *by_name; /* chains */
	struct node *older, *newer;   /* files: by use */
	uint64_t lookups, size;
	int64_t mtime_ns, asked;
	uint32_t children, opens;
	bool dir, named; /* named: it is what its name stands for now */
	uint16_t name_len;
	char text[]; /* name NUL identity NUL */
};

struct slu_lnodes {
	pthread_mutex_t lock;
	struct node *root;
	struct node **ids, **names;
	size_t slots, n, files, keep;
	uint64_t bytes;
	struct node *oldest, *newest;
};

static const char *identity(const struct node *d)
{
	return d->text + d->name_len + 1;
}

/* Of the folder's number and the text: the same in every process. */
static uint64_t number(uint64_t of, const char *name, size_t n, const char *id)
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

static size_t name_slot(const struct slu_lnodes *t, const struct node *parent, const char *name,
			size_t n)
{
	return (slu_hash_bytes(name, n) ^ parent->id * 0x9e3779b97f4a7c15ull) & (t->slots - 1);
}

static struct node *find(const struct slu_lnodes *t, uint64_t id)
{
	struct node *d = t->ids[id_slot(t, id)];

	while (d && d->id != id)
		d = d->by_id;
	return d;
}

static struct node *find_child(const struct slu_lnodes *t, const struct node *parent,
			       const char *name, size_t n)
{
	struct node *d = t->names[name_slot(t, parent, name, n)];

	while (d && (d->parent != parent || d->name_len != n || memcmp(d->text, name, n) != 0))
		d = d->by_name;
	return d;
}

static void name_link(struct slu_lnodes *t, struct node *d)
{
	size_t i = name_slot(t, d->parent, d->text, d->name_len);

	d->by_name = t->names[i];
	t->names[i] = d;
	d->named = true;
}

static void name_unlink(struct slu_lnodes *t, struct node *d)
{
	struct node **pp;

	if (!d->named)
		return;
	pp = &t->names[name_slot(t, d->parent, d->text, d->name_len)];
	while (*pp != d)
		pp = &(*pp)->by_name;
	*pp = d->by_name;
	d->named = false;
}

static void id_link(struct slu_lnodes *t, struct node *d)
{
	size_t i = id_slot(t, d->id);

	d->by_id = t->ids[i];
	t->ids[i] = d;
}

/* Twice the slots when they are full; without memory chains get longer. */
static void grow(struct slu_lnodes *t)
{
	size_t old = t->slots;
	struct node **ids = t->ids, **more;

	if (t->n < old)
		return;
	more = slu_calloc(4 * old, sizeof *more);
	if (!more)
		return;
	t->slots = 2 * old;
	t->ids = more;
	t->names = more + t->slots;
	for (size_t i = 0; i < old; i++) {
		for (struct node *d = ids[i], *next; d; d = next) {
			next = d->by_id;
			id_link(t, d);
			if (d->named)
				name_link(t, d);
		}
	}
	free(ids);
}

static void use_unlink(struct slu_lnodes *t, struct node *d)
{
	*(d->older ? &d->older->newer : &t->oldest) = d->newer;
	*(d->newer ? &d->newer->older : &t->newest) = d->older;
}

static void use_link(struct slu_lnodes *t, struct node *d)
{
	d->older = t->newest;
	d->newer = NULL;
	*(t->newest ? &t->newest->newer : &t->oldest) = d;
	t->newest = d;
}

static void used(struct slu_lnodes *t, struct node *d)
{
	if (d->dir || d == t->newest)
		return;
	use_unlink(t, d);
	use_link(t, d);
}

/* Takes it out, and the folders above that nothing holds any more. */
static void drop(struct slu_lnodes *t, struct node *d)
{
	while (d != t->root) {
		struct node *parent = d->parent, **pp = &t->ids[id_slot(t, d->id)];

		while (*pp != d)
			pp = &(*pp)->by_id;
		*pp = d->by_id;
		name_unlink(t, d);
		if (!d->dir) {
			use_unlink(t, d);
			t->files--;
			t->bytes -= d->size;
		}
		t->n--;
		free(d);
		d = parent;
		if (--d->children || d->lookups || d->opens)
			return;
	}
}

static void drop_unused(struct slu_lnodes *t)
{
	struct node *next;

	for (struct node *d = t->oldest; d && t->files > t->keep; d = next) {
		next = d->newer;
		if (!d->opens)
			drop(t, d);
	}
}

static bool same(const struct node *d, const struct slu_attr *a)
{
	bool dir = a->kind == SLU_KIND_DIR;

	return d->dir == dir && (dir || (d->size == a->size && slu_streq(identity(d), a->id)));
}

/* The node of this number, or the next that is free: *ret_d is the one that is the same already. */
static uint64_t place(const struct slu_lnodes *t, const struct node *parent, const char *name,
		      size_t n, const struct slu_attr *a, struct node **ret_d)
{
	/* A folder is its path; a file its path and state. */
	const char *id = a->kind == SLU_KIND_DIR ? "" : a->id;
	uint64_t v = number(parent->ino, name, n, id);
	struct node *d;

	*ret_d = NULL;
	while ((d = find(t, v))) {
		if (d->parent == parent && d->name_len == n && !memcmp(d->text, name, n) &&
		    same(d, a)) {
			*ret_d = d;
			break;
		}
		v = v < INT64_MAX ? v + 1 : 2;
	}
	return v;
}

static struct node *make(struct slu_lnodes *t, struct node *parent, const char *name, size_t n,
			 const struct slu_attr *a)
{
	bool dir = a->kind == SLU_KIND_DIR;
	const char *id = dir ? "" : a->id;
	size_t m = strlen(id);
	struct node *d;
	uint64_t v = place(t, parent, name, n, a, &d);

	if (d)
		return d;
	d = slu_calloc(1, offsetof(struct node, text) + n + m + 2);
	if (!d)
		return NULL;
	memcpy(d->text, name, n);
	d->name_len = (uint16_t)n;
	memcpy(d->text + n + 1, id, m);
	d->dir = dir;
	d->parent = parent;
	d->size = dir ? 0 : a->size;
	d->ino = number(parent->ino, name, n, "");
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

static void tell(const struct node *d, struct slu_lnode *ret)
{
	*ret = (struct slu_lnode){.id = d->id,
				  .ino = d->ino,
				  .up = d->parent ? d->parent->ino : d->ino,
				  .size = d->size,
				  .mtime_ns = d->mtime_ns,
				  .asked = d->asked,
				  .dir = d->dir};
}

/* --- the table --- */

int slu_lnodes_new(size_t keep, struct slu_lnodes **ret)
{
	struct slu_lnodes *t = slu_new0(struct slu_lnodes);
	struct node *root = slu_calloc(1, offsetof(struct node, text) + 2);
	struct node **slots = slu_calloc(2 * FIRST_SLOTS, sizeof *slots);

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
		for (struct node *d = t->ids[i], *next; d; d = next) {
			next = d->by_id;
			free(d);
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

/* lookups: how often the kernel is told of it. */
static int enter(struct slu_lnodes *t, uint64_t parent, const char *name, const struct slu_attr *a,
		 int64_t asked, unsigned lookups, struct slu_lnode *ret)
{
	size_t n = strlen(name);
	struct node *up, *d;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	up = find(t, parent);
	d = up && up->dir ? find_child(t, up, name, n) : NULL;
	if (!up || !up->dir) {
		r = -ESTALE;
	} else if (!d || !same(d, a)) {
		/* The old state is nameless from now on, and lives as long as the kernel knows it. */
		struct node *old = d;

		d = make(t, up, name, n, a);
		if (d) {
			if (old)
				name_unlink(t, old);
			if (!d->named)
				name_link(t, d);
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
		tell(d, ret);
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
	return enter(t, parent, name, a, asked, 1, ret);
}

void slu_lnodes_touch(struct slu_lnodes *t, uint64_t id, const struct slu_attr *a, int64_t asked)
{
	pthread_mutex_lock(&t->lock);
	struct node *d = find(t, id);

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
	struct node *d = find(t, id);

	if (d && d != t->root) {
		d->asked = INT64_MIN;
		name_unlink(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

uint64_t slu_lnodes_ino(struct slu_lnodes *t, uint64_t parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	const struct node *up = find(t, parent);
	uint64_t v = up ? number(up->ino, name, strlen(name), "") : 0;

	pthread_mutex_unlock(&t->lock);
	return v;
}

int slu_lnodes_get(struct slu_lnodes *t, uint64_t id, struct slu_lnode *ret)
{
	pthread_mutex_lock(&t->lock);
	struct node *d = find(t, id);

	if (d) {
		used(t, d);
		tell(d, ret);
	}
	pthread_mutex_unlock(&t->lock);
	return d ? 0 : -ESTALE;
}

int slu_lnodes_child(struct slu_lnodes *t, uint64_t parent, const char *name, bool lookup,
		     struct slu_lnode *ret)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	struct node *up = find(t, parent);
	struct node *d = up ? find_child(t, up, name, strlen(name)) : NULL;

	if (!d) {
		r = up ? -ENOENT : -ESTALE;
	} else {
		used(t, d);
		tell(d, ret);
		ret->first = lookup && !d->lookups;
		d->lookups += lookup;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* Lock held. */
static int put_path(const struct slu_lnodes *t, const struct node *d, const char *base,
		    const char *name, struct slu_buf *b)
{
	const struct node *way[DEPTH_MAX];
	size_t n = 0;

	for (; d != t->root; d = d->parent) {
		if (n == DEPTH_MAX)
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
	const struct node *d = find(t, id);

	if (d)
		r = put_path(t, d, base, name, &b);
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
	const struct node *d = find(t, id);

	snprintf(out, SLU_ID_MAX, "%s", d ? identity(d) : "");
	pthread_mutex_unlock(&t->lock);
}

static void let_go(struct slu_lnodes *t, struct node *d)
{
	if (!d->lookups && !d->opens && !d->children)
		drop(t, d);
}

void slu_lnodes_forget(struct slu_lnodes *t, uint64_t id, uint64_t n)
{
	pthread_mutex_lock(&t->lock);
	struct node *d = find(t, id);

	if (d) {
		d->lookups -= n < d->lookups ? n : d->lookups;
		let_go(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

int slu_lnodes_open(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *d = find(t, id);

	if (d)
		d->opens++;
	pthread_mutex_unlock(&t->lock);
	return d ? 0 : -ESTALE;
}

void slu_lnodes_close(struct slu_lnodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *d = find(t, id);

	if (d && d->opens) {
		d->opens--;
		let_go(t, d);
	}
	pthread_mutex_unlock(&t->lock);
}

int slu_lnodes_restore(struct slu_lnodes *t, const char *path, const struct slu_attr *a, bool open,
		       struct slu_lnode *ret)
{
	const struct slu_attr folder = {.kind = SLU_KIND_DIR};
	struct slu_lnode n = {.id = SLU_LNODE_ROOT};

	if (!*path || !slu_path_ok(path))
		return -EINVAL;
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
			r = enter(t, n.id, name, last ? a : &folder, INT64_MIN, last && !open, &n);
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

void slu_lnodes_each_held(struct slu_lnodes *t,
			  void (*fn)(void *user, const char *path, const struct slu_attr *a,
				     bool open),
			  void *user)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->slots; i++) {
		for (const struct node *d = t->ids[i]; d; d = d->by_id) {
			SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
			struct slu_attr a = {.kind = d->dir ? SLU_KIND_DIR : SLU_KIND_FILE,
					     .size = d->size,
					     .mtime_ns = d->mtime_ns};

			bool known = d->dir && d->lookups;

			if ((!d->opens && !known) || d == t->root || put_path(t, d, "", NULL, &b))
				continue;
			snprintf(a.id, sizeof a.id, "%s", identity(d));
			for (uint32_t k = 0; k < d->opens; k++)
				fn(user, b.p, &a, true);
			if (known)
				fn(user, b.p, &a, false);
		}
	}
	pthread_mutex_unlock(&t->lock);
}
