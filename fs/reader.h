/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader: one per node, not per open (a mount may see no opens).  It tells forward, backward and
 * strided streams and random reads apart by offset (streams.h), fetches ahead of a stream as far as
 * the measured rate and latency make it pay (pace.h) and the budget allows, and 64 KiB units for a
 * random one.  Read-ahead is a PREFETCH hint where the store can (SLU_CAP_PREFETCH), else blocks,
 * charged to the process's memory budget (budget.h); blocks on their way are shared by all who want
 * them, and are dropped once read: the kernel's page cache is the memory cache.  Any thread.
 */
#ifndef SLU_FS_READER_H
#define SLU_FS_READER_H

#include "fs/store.h"

#include <sys/uio.h>

struct slu_budget;
struct slu_readers; /* all blocks */
struct slu_reader;

struct slu_readers_conf {
	struct slu_budget *budget; /* NULL: the process's */
	size_t block;              /* units of 64 KiB; 0: 1 MiB, which is the most */
	uint64_t window_max;       /* read-ahead of one stream; 0: what pays, within the budget */
};

int slu_readers_new(const struct slu_readers_conf *conf, struct slu_readers **ret);
/* Waits until every reader is gone and nothing is in flight.  0, or -ETIMEDOUT: then neither the
 * readers nor their stores may be freed. */
int slu_readers_drain(struct slu_readers *r, int64_t deadline);
void slu_readers_free(struct slu_readers *r);     /* drained; NULL fine */
uint64_t slu_readers_used(struct slu_readers *r); /* bytes of blocks held now */
/* Frees what was read ahead and not touched for idle_ns, what was prefetched 20 s later (0: at once), and
 * all spare memory. */
void slu_readers_trim(struct slu_readers *r, int64_t idle_ns);

/* path, id: copied.  One reference for the caller. */
int slu_reader_new(struct slu_readers *rs, struct slu_store *store, const char *path,
		   const char *id, uint64_t size, struct slu_reader **ret);
void slu_reader_ref(struct slu_reader *r);
/* Waits for nothing.  The last one drops what was read ahead, cancels what is on its way unasked,
 * and lets reads in flight finish; the memory goes with them. */
void slu_reader_unref(struct slu_reader *r);
/* Ends what is in flight: reads finish with -ECANCELED unless their data is there already. */
void slu_reader_cancel(struct slu_reader *r);

#define SLU_READ_IOV 20 /* 1 MiB in units, and its ends */

struct slu_read {
	uint64_t off;
	size_t len; /* <= 1 MiB; cut at the end of the file */
	int64_t deadline;

	int rc; /* 0 or -errno; -ESTALE: the object changed */
	struct slu_err err;
	/* The data: valid only inside done(). */
	struct iovec iov[SLU_READ_IOV];
	int niov;

	void (*done)(
		struct slu_read *rd); /* any thread, also inside slu_reader_read; must not block */
	void *user;
	struct slu_read *next; /* reader only */
	void *state;           /* reader only */
};

void slu_reader_read(struct slu_reader *r, struct slu_read *rd);

/* Fetches [off, off + len) before somebody asks, at the lowest priority and in memory that is the first
 * to go (SLU_BUDGET_PREFETCH).  Waits for nothing.  Returns how many bytes from off on are there or on
 * their way now: less than asked when the budget gives no more (try again once some was read, or wait by
 * slu_budget_wait with that class), len cut at the end of the file.  What is not read within some
 * seconds after its arrival may be dropped; the last slu_reader_unref drops all. */
uint64_t slu_reader_prefetch(struct slu_reader *r, uint64_t off, uint64_t len);

/* Counted since the reader, or all readers, began. */
struct slu_reader_stats {
	uint64_t reads;      /* asked of the reader */
	uint64_t asked;      /* bytes of them */
	uint64_t hits;       /* of those, bytes that were there already */
	uint64_t joined;     /* of those, bytes that were on their way already */
	uint64_t fetched;    /* bytes that came from the store, for whatever reason */
	uint64_t ahead;      /* of those, by read-ahead */
	uint64_t prefetched; /* of those, by slu_reader_prefetch */
	uint64_t waste;      /* fetched ahead or prefetched, and dropped before anybody read them */
	uint64_t requests;   /* READs sent to the store */
};
void slu_reader_get_stats(struct slu_reader *r, struct slu_reader_stats *ret);
void slu_readers_get_stats(struct slu_readers *rs, struct slu_reader_stats *ret);

#endif
