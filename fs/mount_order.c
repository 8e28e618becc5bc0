/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of files that a mount follows (ahead.h), kept for the worker after this one: a memory file that
 * the supervisor has too, with the order that was handed over, how far it was read, and the one that was
 * learned.  Files are places in the manifest, which workers share.  Entries are written before their number
 * is, so a worker may be killed at any moment.  Without a supervisor nothing is kept.
 */
#include "fs/mount_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "fs/ahead.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LAYOUT 1u
#define TWICE 2u /* a list may name files more than once; beyond that it is not kept */

struct kept {
	uint32_t layout, files;
	_Atomic uint32_t n, front, read; /* of the order that was handed over */
	_Atomic uint32_t learned;
	alignas(64) uint32_t seq[]; /* TWICE * files, then files of the learned order */
};

struct slu_morder {
	struct kept *k;
	size_t size;
	uint32_t version; /* of the learned order */
	bool full;
};

static size_t size_of(uint32_t files)
{
	return sizeof(struct kept) + ((size_t)TWICE + 1) * files * sizeof(uint32_t);
}

static uint32_t *learned_of(struct kept *k)
{
	return k->seq + (size_t)TWICE * k->files;
}

static struct kept *map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The memory of the worker before; NULL: there is none that can be used. */
static struct kept *inherit(const struct slu_mount *m, uint32_t files)
{
	int fd = slu_mlink_kept(&m->link, SLU_KEEP_ORDER);
	struct kept *k;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || st.st_size != (off_t)size_of(files))
		return NULL;
	k = map(fd, size_of(files));
	if (k && (k->layout != LAYOUT || k->files != files)) {
		munmap(k, size_of(files));
		k = NULL;
	}
	return k;
}

/* Pages are taken when they are written to. */
static struct kept *make(const struct slu_mount *m, uint32_t files)
{
	SLU_AUTO(slu_closep) int fd = memfd_create("sluice-order", MFD_CLOEXEC);
	struct kept *k = NULL;

	if (fd >= 0 && !ftruncate(fd, (off_t)size_of(files)))
		k = map(fd, size_of(files));
	if (!k)
		return NULL;
	k->layout = LAYOUT;
	k->files = files;
	if (slu_mlink_keep(&m->link, SLU_KEEP_ORDER, fd)) {
		munmap(k, size_of(files));
		return NULL;
	}
	return k;
}

void slu_morder_start(struct slu_mount *m)
{
	uint32_t files = (uint32_t)slu_manifest_count(m->t->manifest);
	struct slu_morder *o;

	if (!m->ahead || !files || slu_mlink_alone(&m->link))
		return;
	o = slu_new0(struct slu_morder);
	if (!o)
		return;
	o->size = size_of(files);
	o->k = inherit(m, files);
	if (o->k) {
		uint32_t n = atomic_load(&o->k->n), learned = atomic_load(&o->k->learned);
		const struct slu_ahead_legacy legacy = {.order = o->k->seq,
							.n = n <= TWICE * files ? n : 0,
							.front = atomic_load(&o->k->front),
							.read = atomic_load(&o->k->read),
							.learned = learned_of(o->k),
							.nlearned = learned <= files ? learned : 0};

		if (slu_ahead_inherit(m->ahead, &legacy))
			slu_debug("mount", "'%s': the order ahead is lost", m->where);
	} else {
		o->k = make(m, files);
	}
	if (!o->k) {
		free(o);
		return;
	}
	m->order = o;
}

void slu_morder_free(struct slu_mount *m)
{
	if (m->order)
		munmap(m->order->k, m->order->size);
	free(m->order);
	m->order = NULL;
}

void slu_morder_drop(struct slu_mount *m)
{
	if (!m->order)
		return;
	atomic_store(&m->order->k->n, 0);
	atomic_store(&m->order->k->front, 0);
	atomic_store(&m->order->k->read, 0);
	m->order->full = false;
}

void slu_morder_add(struct slu_mount *m, const uint32_t *at, uint32_t n)
{
	struct kept *k = m->order ? m->order->k : NULL;
	uint32_t have = k ? atomic_load(&k->n) : 0;

	if (!k || m->order->full)
		return;
	if (n > TWICE * k->files - have) {
		m->order->full = true;
		return;
	}
	memcpy(k->seq + have, at, n * sizeof *at);
	atomic_store(&k->n, have + n);
}

void slu_morder_note(struct slu_mount *m)
{
	struct slu_ahead_state s;
	struct kept *k = m->order ? m->order->k : NULL;
	uint32_t n;

	if (!k)
		return;
	slu_ahead_get(m->ahead, &s);
	atomic_store(&k->front, s.order_front);
	atomic_store(&k->read, s.order_read);
	if (s.learnings == m->order->version)
		return;
	atomic_store(&k->learned, 0);
	n = slu_ahead_learned(m->ahead, learned_of(k), k->files, &m->order->version);
	atomic_store(&k->learned, n);
}
