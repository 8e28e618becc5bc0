/* SPDX-License-Identifier: Apache-2.0 */
/* The layers.  Each push puts one on top of *s and owns what was there; on failure *s is as before.
 * Each is one small file: trace.c, retry.c, limit.c, hedge.c, faulty.c. */
#ifndef SLU_FS_LAYERS_H
#define SLU_FS_LAYERS_H

#include "fs/store.h"

/* One debug line an op: id, name, op, path, range, rc, microseconds (SLUICE_DEBUG=store).  Counts
 * always: slu_trace_stats() gives {"read": {"ops":..,"errors":..,"bytes":..,"us":..}, ...}. */
int slu_trace_push(struct slu_store **s, const char *name);
struct json_t *slu_trace_stats(struct slu_store *s); /* NULL when s has no trace layer */

struct slu_retry_conf {
	unsigned tries;     /* 0: 6 */
	int64_t base_ns;    /* 0: 100 ms */
	int64_t cap_ns;     /* 0: 20 s */
	int64_t default_ns; /* deadline of an op that has none, and 1 s more for each
			     * 32 KiB that it moves; 0: 60 s */
};
/* Tries again, with full jitter, what may succeed next time (EAGAIN, EIO of reads, ETIMEDOUT, ECONN*,
 * ENETUNREACH, EHOSTUNREACH) and is safe to repeat: reads, listings, blocks, deletions (another try that
 * finds nothing is a success); PUT ABSENT and RENAME ABSENT only after -EAGAIN (refused before any effect).
 * A deadline or cancel ends the waiting at once. */
int slu_retry_push(struct slu_store **s, const struct slu_retry_conf *conf,
		   struct slu_loops *loops);

struct slu_limit_conf {
	unsigned start, max; /* ops in flight: 0: 32, 256 */
};
/* What all stores of one service share: at most w ops are at it, by priority then order; when w is in use, it grows
 * by 1 a success before the first -EAGAIN, by 1/w after; it halves on -EAGAIN, at most once a round trip (slow start
 * and AIMD; Jacobson 1988).  When the service asks
 * to wait (op->retry_after), nothing is sent until then, or for half a minute at most.  loops: for the
 * time to come; NULL: none is kept, and ops leave the queue only when it moves. */
struct slu_window;
int slu_window_new(const struct slu_limit_conf *conf, struct slu_loops *loops,
		   struct slu_window **ret); /* 0 or -ENOMEM */
void slu_window_free(struct slu_window *w);  /* after the stores; NULL fine */
SLU_DEFINE_CLEANUP(struct slu_window *, slu_window_free, slu_window_freep)
/* The layer; w stays the caller's. */
int slu_limit_push(struct slu_store **s, struct slu_window *w);

struct slu_hedge_conf {
	int64_t cold_ns; /* patience before enough is known; 0: 3 s */
	int64_t min_ns;  /* the least patience; 0: 50 ms */
};
/* Asks once more for a STAT, LIST or READ that takes twice as long as 99 of 100 of its kind and size; the
 * first answer counts.  At most one in twenty. */
int slu_hedge_push(struct slu_store **s, const struct slu_hedge_conf *conf,
		   struct slu_loops *loops);

/* Fault injection by rule, "op:rate:what[,...]": op a name or "any"; rate 0..1, "#n" (only the nth) or "#n+"
 * (and all after it); what: an errno name, "delay=5ms", "while=/file" (as long as it is there), "short" (READ
 * fails as if cut), "lost" (done, but answered with -ETIMEDOUT), "hang" (until cancel or deadline), "kill",
 * "killed" (the process, before or after; "#n" counts the ops of all its stores).  The first rule that fires
 * decides.  Parsed from SLUICE_FAULT.  Seeded: "seed=7".  loops may be NULL when no rule delays or hangs. */
int slu_faulty_push(struct slu_store **s, const char *rules, struct slu_loops *loops,
		    struct slu_err *e);

#endif
