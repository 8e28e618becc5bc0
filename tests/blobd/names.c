/* SPDX-License-Identifier: Apache-2.0 */
/* Containers, names, blobs and their bytes.  Bytes lie in one file without a name, or are served files. */
#include "tests/blobd/blobd.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct container *containers;

/* --- pairs --- */

const char *pairs_get(const struct pairs *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->p[i].name, name))
			return l->p[i].value;
	return NULL;
}

void pairs_add(struct pairs *l, const char *name, const char *value)
{
	l->p = must(realloc(l->p, (l->n + 1) * sizeof(*l->p)));
	l->p[l->n++] = (struct pair){must(strdup(name)), must(strdup(value))};
}

void pairs_copy(struct pairs *to, const struct pairs *from)
{
	for (size_t i = 0; i < from->n; i++)
		pairs_add(to, from->p[i].name, from->p[i].value);
}

void pairs_done(struct pairs *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->p[i].name);
		free(l->p[i].value);
	}
	free(l->p);
	*l = (struct pairs){0};
}

/* --- times --- */

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void time_text(char out[40], int64_t ns)
{
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t n;

	gmtime_r(&sec, &tm);
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%07dZ", (int)(ns % 1000000000 / 100));
}

void http_date(char out[40], int64_t sec)
{
	time_t t = (time_t)sec;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* Never the same twice: ETags, and the ticks of versions and snapshots. */
static uint64_t tick(void)
{
	static uint64_t last;
	uint64_t now = (uint64_t)now_ns() / 100;

	if (now <= last)
		now = last + 1;
	last = now;
	return now;
}

/* --- bytes --- */

static pthread_mutex_t arena_lock = PTHREAD_MUTEX_INITIALIZER;
static int arena = -1;
static uint64_t arena_end;

int arena_fd(void)
{
	pthread_mutex_lock(&arena_lock);
	if (arena < 0) {
		arena = open(arena_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (arena < 0)
			arena = memfd_create("blobd", MFD_CLOEXEC);
		if (arena < 0)
			err(1, "%s", arena_dir());
	}
	pthread_mutex_unlock(&arena_lock);
	return arena;
}

uint64_t arena_take(uint64_t n)
{
	uint64_t at;

	arena_fd();
	pthread_mutex_lock(&arena_lock);
	at = arena_end;
	arena_end += (n + 4095) & ~4095ULL;
	pthread_mutex_unlock(&arena_lock);
	return at;
}

static struct content *content_new(size_t pieces, uint64_t size)
{
	struct content *c = must(calloc(1, sizeof(*c)));

	c->refs = 1;
	c->size = size;
	c->pieces = pieces;
	c->piece = must(calloc(pieces ? pieces : 1, sizeof(*c->piece)));
	return c;
}

struct content *content_arena(uint64_t off, uint64_t n)
{
	struct content *c = content_new(n > 0, n);

	c->piece[0] = (struct piece){.fd = arena_fd(), .off = off, .len = n};
	return c;
}

struct content *content_bytes(const void *p, size_t n)
{
	uint64_t at = arena_take(n);

	if (n && pwrite(arena_fd(), p, n, (off_t)at) != (ssize_t)n)
		err(1, "writing the arena");
	return content_arena(at, n);
}

struct content *content_sparse(uint64_t size)
{
	uint64_t at = arena_take(size);

	if (ftruncate(arena_fd(), (off_t)(at + size)) < 0)
		err(1, "the arena");
	return content_arena(at, size);
}

struct content *content_file(const char *path, uint64_t size)
{
	struct content *c = content_new(size > 0, size);

	c->piece[0] = (struct piece){.fd = -1, .path = must(strdup(path)), .len = size};
	return c;
}

static void piece_copy(struct piece *to, const struct piece *from)
{
	*to = *from;
	if (from->path)
		to->path = must(strdup(from->path));
}

struct content *content_join(struct content *const *v, size_t n)
{
	struct content *c;
	size_t pieces = 0, at = 0;
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++) {
		pieces += v[i]->pieces;
		size += v[i]->size;
	}
	c = content_new(pieces, size);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i]->pieces; k++)
			piece_copy(&c->piece[at++], &v[i]->piece[k]);
	return c;
}

struct content *content_slice(const struct content *c, uint64_t off, uint64_t len)
{
	struct content *s = content_new(c->pieces, len);
	uint64_t at = 0;

	s->pieces = 0;
	for (size_t i = 0; i < c->pieces; i++) {
		const struct piece *p = &c->piece[i];
		uint64_t from = off > at ? off - at : 0, to = off + len > at ? off + len - at : 0;

		if (to > p->len)
			to = p->len;
		if (from < to) {
			struct piece *w = &s->piece[s->pieces++];

			piece_copy(w, p);
			w->off += from;
			w->len = to - from;
		}
		at += p->len;
	}
	return s;
}

struct content *content_ref(struct content *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void content_unref(struct content *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < c->pieces; i++)
		free(c->piece[i].path);
	free(c->piece);
	free(c);
}

static int piece_read(const struct piece *p, uint64_t off, char *to, size_t n)
{
	int fd = p->path ? open(p->path, O_RDONLY | O_CLOEXEC) : p->fd;

	while (n) {
		ssize_t got = pread(fd, to, n, (off_t)(p->off + off));

		if (got <= 0)
			break;
		to += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	if (p->path && fd >= 0)
		close(fd);
	return n ? -EIO : 0;
}

int content_read(const struct content *c, uint64_t off, void *to, size_t n)
{
	char *at = to;

	for (size_t i = 0; i < c->pieces && n; i++) {
		const struct piece *p = &c->piece[i];
		size_t part;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		part = n < p->len - off ? n : (size_t)(p->len - off);
		if (piece_read(p, off, at, part) < 0)
			return -EIO;
		at += part;
		n -= part;
		off = 0;
	}
	return n ? -EIO : 0;
}

/* --- blobs --- */

struct blob *blob_new(struct content *c)
{
	struct blob *b = must(calloc(1, sizeof(*b)));

	b->c = c;
	b->kind = 'B';
	b->etag = tick();
	b->created = b->modified = now_ns();
	snprintf(b->owner, sizeof(b->owner), "$superuser");
	snprintf(b->group, sizeof(b->group), "$superuser");
	snprintf(b->mode, sizeof(b->mode), "rw-r-----");
	return b;
}

struct blob *blob_clone(const struct blob *b)
{
	struct blob *n = must(malloc(sizeof(*n)));

	*n = *b;
	n->next = NULL;
	content_ref(n->c);
	n->headers = n->meta = n->tags = (struct pairs){0};
	pairs_copy(&n->headers, &b->headers);
	pairs_copy(&n->meta, &b->meta);
	pairs_copy(&n->tags, &b->tags);
	n->blocks = must(calloc(b->nblocks + 1, sizeof(*n->blocks)));
	for (size_t i = 0; i < b->nblocks; i++) {
		n->blocks[i] = b->blocks[i];
		n->blocks[i].id = must(strdup(b->blocks[i].id));
		content_ref(n->blocks[i].c);
	}
	n->acl = b->acl ? must(strdup(b->acl)) : NULL;
	return n;
}

void blob_free(struct blob *b)
{
	if (!b)
		return;
	content_unref(b->c);
	pairs_done(&b->headers);
	pairs_done(&b->meta);
	pairs_done(&b->tags);
	for (size_t i = 0; i < b->nblocks; i++) {
		free(b->blocks[i].id);
		content_unref(b->blocks[i].c);
	}
	free(b->blocks);
	free(b->acl);
	free(b);
}

void blob_touch(struct blob *b)
{
	b->etag = tick();
	b->modified = now_ns();
}

void blob_publish(struct name *n, struct blob *b)
{
	struct blob *was = n->now;

	if (opt.versions)
		time_text(b->version, (int64_t)tick() * 100);
	if (was)
		b->created = was->created;
	n->now = b;
	if (was && opt.versions) {
		was->next = n->old;
		n->old = was;
	} else {
		blob_free(was);
	}
}

/* --- names --- */

struct container *container_find(const char *name)
{
	struct container *c = containers;

	while (c && strcmp(c->name, name))
		c = c->next;
	return c;
}

struct container *container_make(const char *name)
{
	struct container *c = must(calloc(1, sizeof(*c)));

	c->name = must(strdup(name));
	c->etag = tick();
	c->next = containers;
	containers = c;
	return c;
}

static void blocks_free(struct name *n)
{
	for (size_t i = 0; i < n->nblock; i++) {
		free(n->block[i].id);
		content_unref(n->block[i].c);
	}
	free(n->block);
	n->block = NULL;
	n->nblock = 0;
}

static void name_free(struct name *n)
{
	blob_free(n->now);
	while (n->old) {
		struct blob *next = n->old->next;

		blob_free(n->old);
		n->old = next;
	}
	blocks_free(n);
	free(n->text);
	free(n);
}

void container_drop(struct container *c)
{
	struct container **at = &containers;

	pthread_mutex_lock(&lock);
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	/* Others may be in the middle of a request on it: its names stay. */
	pthread_mutex_unlock(&lock);
}

static const char *synthetic_name(uint64_t at, char room[32])
{
	snprintf(room, 32, "d%06u/f%09u", (unsigned)(at / 1000), (unsigned)at);
	return room;
}

struct blob *synthetic_blob(uint64_t at)
{
	struct blob *b = blob_new(content_sparse(0));

	b->etag = 0x8D0000000000000ULL + at;
	b->created = b->modified = 1700000000000000000;
	b->c->size = at % 65536;
	return b;
}

const char *name_at(const struct container *c, size_t at, char room[32])
{
	return c->synthetic ? synthetic_name(at, room) : c->v[at]->text;
}

size_t name_count(const struct container *c)
{
	return c->synthetic ? (size_t)c->synthetic : c->n;
}

/* In the order of listings: a hierarchical namespace has '/' before all other characters. */
static int name_cmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	if (opt.hns && *a != *b && *a && *b && (*a == '/' || *b == '/'))
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a - (unsigned char)*b;
}

size_t name_lower(const struct container *c, const char *text)
{
	size_t lo = 0, hi = name_count(c);
	char room[32];

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (name_cmp(name_at(c, mid, room), text) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct name *name_find(const struct container *c, const char *text)
{
	size_t at = c->synthetic ? c->n : name_lower(c, text);

	return at < c->n && !strcmp(c->v[at]->text, text) ? c->v[at] : NULL;
}

struct name *name_make(struct container *c, const char *text)
{
	size_t at = name_lower(c, text);

	if (at < c->n && !strcmp(c->v[at]->text, text))
		return c->v[at];
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 64;
		c->v = must(realloc(c->v, c->cap * sizeof(struct name *)));
	}
	memmove(c->v + at + 1, c->v + at, (c->n - at) * sizeof(struct name *));
	c->v[at] = must(calloc(1, sizeof(struct name)));
	c->v[at]->text = must(strdup(text));
	c->n++;
	return c->v[at];
}

void name_drop(struct container *c, struct name *n)
{
	size_t at = name_lower(c, n->text);

	if (n->now || n->old || n->nblock)
		return;
	memmove(c->v + at, c->v + at + 1, (c->n - at - 1) * sizeof(struct name *));
	c->n--;
	name_free(n);
}

void name_blocks_drop(struct name *n)
{
	blocks_free(n);
}
