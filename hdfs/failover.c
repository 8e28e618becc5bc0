/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebHDFS with several NameNodes, of which one is active.  A standby says so at once; one that does not answer is
 * passed over.  Each of them is asked once without a pause, then with pauses that grow, for as long as a failover
 * takes.  An answer that was lost is asked for again only where that changes nothing: looking, MKDIRS,
 * CREATE (which only names a DataNode), and RENAME, whose callers know by the inode what became of it.  After a lost DELETE
 * or CONCAT the caller looks, which finds the NameNode that is active now, and goes on from there.
 */
#include "common/log.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/errors.h"
#include "hdfs/request.h"
#include "io/backoff.h"
#include "io/loop.h"

#include <errno.h>
#include <string.h>

/* A failover by ZooKeeper takes its session timeout (10 s) and the reading of the edits. */
#define PATIENCE_NS (30 * SLU_SEC)
#define UNHEARD_NS SLU_SEC /* while none has ever answered */
#define CLEAN_NS (10 * SLU_SEC)
/* For an answer to begin: as long as Java's memory may pause, where there is no other one to be asked. */
#define ONLY_NS (30 * SLU_SEC)
#define MOVE_NS (20 * SLU_SEC) /* where there is one, or while none has ever answered */

/* A cancel is noticed after a pause: the cap is less than dfs.client.failover.sleep.max.millis. */
static const struct slu_backoff pause_of = {.base_ns = 500 * SLU_MS, .cap_ns = SLU_SEC};

void slu_hdfs_ask_active(struct slu_hdfs_req *q, const char *method, const char *query)
{
	q->asking = true;
	q->lost = false;
	q->moves = 0;
	q->at = atomic_load(&q->h->active);
	q->again = slu_streq(method, "GET") ||
		   (query && (slu_starts(query, "op=MKDIRS") || slu_starts(query, "op=CREATE&") ||
			      slu_starts(query, "op=RENAME&")));
	/* A large tree takes its time to be deleted, and a gateway to read what it sums. */
	q->soon = q->again && !(query && slu_starts(query, "op=GETFILECHECKSUM"));
}

int64_t slu_hdfs_answer_ns(const struct slu_hdfs_req *q)
{
	if (!q->soon)
		return 0;
	return q->h->nodes == 1 && atomic_load(&q->h->heard) ? ONLY_NS : MOVE_NS;
}

/* Says it that another NameNode would know more?  Messages of other classes may end with one of these. */
static bool is_standby(const struct slu_xfer *x)
{
	static const char *const names[] = {"StandbyException", "ObserverRetryOnActiveException",
					    "RetriableException"};
	struct slu_err e;

	if (x->rc != -EREMOTEIO || !x->errbody.len ||
	    slu_hdfs_error(x->errbody.p, x->errbody.len, x->status, &e) != -EAGAIN)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (memmem(x->errbody.p, x->errbody.len, names[i], strlen(names[i])))
			return true;
	return false;
}

/* Is there no answer, and may it be asked elsewhere? */
static bool is_dead(struct slu_hdfs_req *q)
{
	switch (-q->x.rc) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
		return true;
	case ETIMEDOUT:
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		q->lost = true;
		return q->again;
	default:
		return false;
	}
}

static int64_t give_up_at(const struct slu_hdfs_req *q)
{
	int64_t at = slu_deadline_in(q->cleaning                 ? CLEAN_NS
				     : atomic_load(&q->h->heard) ? PATIENCE_NS
								 : UNHEARD_NS);

	return !q->cleaning && q->op->deadline && q->op->deadline < at ? q->op->deadline : at;
}

static void on_pause(void *arg)
{
	slu_hdfs_resend(arg);
}

/* False: there is no time or memory for it. */
static bool ask_later(struct slu_hdfs_req *q, int64_t pause)
{
	int64_t at = slu_deadline_in(pause);
	struct slu_loop *loop = slu_loop_self();

	if (!loop) /* it could not be signed in there, which a thread of the pool found out */
		loop = slu_loops_pick(q->h->loops, q->h->web, q->h->turn++);
	if (at >= q->until || (!q->pause && slu_timer_new(loop, on_pause, q, &q->pause)))
		return false;
	/* A cancel must not find the exchange, which is over. */
	pthread_mutex_lock(&q->h->lock);
	q->x.loop = NULL;
	pthread_mutex_unlock(&q->h->lock);
	slu_timer_set(q->pause, at);
	return true;
}

static void explain(struct slu_hdfs_req *q, bool standby)
{
	struct slu_xfer *x = &q->x;

	if (standby)
		x->rc = slu_fail(
			&x->err, EAGAIN,
			"none of the %u NameNodes of '%s' is active: make one of them active",
			q->h->nodes, q->h->web);
	else if (!q->lost &&
		 atomic_load(&q->h->heard)) /* nothing was done: it can be tried again */
		x->rc = slu_fail(&x->err, EAGAIN, "no NameNode of '%s' answers: %s", q->h->web,
				 x->err.msg);
}

/* The only one took the question and says nothing: that was waited for, and is not asked for again. */
static void stands_still(struct slu_hdfs_req *q)
{
	struct slu_xfer *x = &q->x;

	if (x->rc != -ETIMEDOUT || x->status || q->cleaning || slu_expired(q->op->deadline))
		return;
	x->rc = slu_fail_more(&x->err,
			      "'%s' does not answer (see whether its process stands still, and "
			      "what its log says)",
			      q->h->node[q->at]);
	x->rc = -EHOSTDOWN;
	x->err.code = EHOSTDOWN;
}

/* Another one is asked from now on, by whoever comes next too. */
static void move_on(struct slu_hdfs_req *q)
{
	struct slu_hdfs *h = q->h;
	unsigned was = q->at;

	if (!q->moves)
		q->until = give_up_at(q);
	/* Another op may have found the active one meanwhile. */
	atomic_compare_exchange_strong(&h->active, &was, (q->at + 1) % h->nodes);
	slu_debug("hdfs", "'%s' is asked no more: %s", h->node[q->at],
		  q->x.rc == -EREMOTEIO ? "a standby" : q->x.err.msg);
	q->at = atomic_load(&h->active);
}

bool slu_hdfs_fail_over(struct slu_hdfs_req *q)
{
	struct slu_hdfs *h = q->h;
	bool answered = q->x.rc == 0 || q->x.rc == -EREMOTEIO;
	bool standby = h->nodes > 1 && is_standby(&q->x);

	if (answered)
		atomic_store(&h->heard, true);
	if (h->nodes < 2 || (!standby && !is_dead(q))) {
		if (answered)
			atomic_store(&h->active, q->at);
		else if (h->nodes < 2)
			stands_still(q);
		return false;
	}
	move_on(q);
	if (slu_op_canceled(q->op) && !q->cleaning)
		return false;
	if (++q->moves < h->nodes) {
		slu_hdfs_resend(q);
		return true;
	}
	if (ask_later(q, slu_backoff_delay(&pause_of, q->moves - h->nodes, 0)))
		return true;
	explain(q, standby);
	return false;
}
