/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry layer.  An op that failed in a way that may pass, and that may be repeated without
 * changing more than it was asked to, waits a random time and goes down again.  Its hook stays on
 * the op between tries, so that every end, also a cancel while it waits, passes through it.
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/park.h"
#include "fs/stats.h"
#include "io/backoff.h"

#include <errno.h>
#include <stdatomic.h>

#define TRIES 6
/* A store of which much fails is not asked ever more often: one op in ten may be repeated, a hundred to begin
 * with.  What the service refused because it is busy does not count: fs/limit.c slows that down. */
#define COST 10
#define CREDIT_MAX (100 * COST)
#define DEFAULT_NS (60 * SLU_SEC)
#define RATE (32u << 10) /* bytes a second that are waited for beyond that, as in fs/blocks.c */
#define PROGRESS (1u << 20)

struct retry {
	struct slu_store s;
	struct slu_backoff backoff;
	unsigned tries;
	int64_t default_ns;
	struct slu_park *park;
	atomic_int credit;
};

/* May op be repeated when nobody knows whether the last try had an effect? */
static bool repeatable(const struct slu_op *op)
{
	switch (op->type) {
	case SLU_OP_STAT:
	case SLU_OP_LIST:
	case SLU_OP_READ:
	case SLU_OP_PUT_BLOCK:
	case SLU_OP_BLOCKS:
	case SLU_OP_ABORT:
	case SLU_OP_MKDIR:
	case SLU_OP_DELETE:
		return true;
	case SLU_OP_PUT:
	case SLU_OP_COPY:
		return !(op->flags & SLU_OPF_ABSENT) && !op->if_match;
	default:
		return false;
	}
}

static bool may_pass(const struct slu_op *op)
{
	switch (-op->rc) {
	case EIO:
		return op->type == SLU_OP_READ || op->type == SLU_OP_STAT ||
		       op->type == SLU_OP_LIST;
	case ETIMEDOUT:
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTUNREACH:
		return true;
	default:
		return false;
	}
}

static bool writes(const struct slu_op *op)
{
	return op->type == SLU_OP_PUT || op->type == SLU_OP_PUT_BLOCK;
}

/* The tries that count: one that brought much of what is read is progress. */
static unsigned vain_tries(const struct slu_op *op)
{
	size_t good = op->kept / PROGRESS;

	return good < op->tries ? op->tries - (unsigned)good : 1;
}

static bool worth_it(const struct retry *r, const struct slu_op *op)
{
	if (op->rc == 0 || vain_tries(op) >= r->tries || op->tries == UINT8_MAX ||
	    op->type == SLU_OP_PREFETCH || slu_op_canceled(op))
		return false;
	/* refused before any effect, or what arrived damaged is gone again */
	return op->rc == -EAGAIN || (op->rc == -EBADMSG && writes(op)) ||
	       (repeatable(op) && may_pass(op));
}

static void earn(struct retry *r)
{
	int had = atomic_load(&r->credit);

	while (had < CREDIT_MAX && !atomic_compare_exchange_weak(&r->credit, &had, had + 1))
		;
}

static bool pay(struct retry *r, const struct slu_op *op)
{
	int had = atomic_load(&r->credit);

	if (op->rc == -EAGAIN)
		return true;
	while (had >= COST)
		if (atomic_compare_exchange_weak(&r->credit, &had, had - COST))
			return true;
	return false;
}

static void try_again(struct slu_op *op, void *arg)
{
	struct retry *r = arg;

	if (op->type == SLU_OP_LIST)
		slu_list_done(op->list);
	op->retry_after = 0;
	op->tries++;
	slu_stat_add(SLU_STAT_RETRIES, 1);
	slu_store_submit(r->s.below, op);
}

/* True: the op waits for another try.  A wait beyond the deadline is not begun: the error that is
 * there says more than a timeout would. */
static bool wait_for_try(struct retry *r, struct slu_op *op)
{
	/* a busy service needs more time than a connection that broke: from four times the base on */
	unsigned step = vain_tries(op) - 1 + (op->rc == -EAGAIN ? 2 : 0);
	int64_t delay = slu_backoff_delay(&r->backoff, step, op->retry_after);
	int64_t at = slu_deadline_in(delay);

	if (op->deadline && at >= op->deadline)
		return false;
	slu_debug("retry", "%s '%s' failed (try %u of %u), again in %lld ms: %s",
		  slu_op_name(op->type), op->path, (unsigned)op->tries, r->tries,
		  (long long)(delay / SLU_MS), op->err.msg);
	return slu_park_op(r->park, op, at, try_again, r) == 0;
}

/* What an earlier try deleted, its answer lost, is not missing. */
static void settle_delete(struct slu_op *op)
{
	if (op->type != SLU_OP_DELETE || op->tries < 2 || op->rc != -ENOENT)
		return;
	op->rc = 0;
	op->err = (struct slu_err){0};
}

static void tried(struct slu_op *op)
{
	struct retry *r = op->user;

	settle_delete(op);
	if (worth_it(r, op)) {
		if (!pay(r, op))
			slu_fail_more(&op->err, "not tried again, since too much fails here");
		else if (wait_for_try(r, op))
			return;
	}
	if (op->rc < 0 && op->tries > 1 && op->rc != -ECANCELED)
		slu_fail_more(&op->err, "after %u tries", (unsigned)op->tries);
	op->deadline = *slu_op_at(op);
	slu_op_pop(op);
	op->done(op);
}

static int64_t default_deadline(const struct retry *r, const struct slu_op *op)
{
	bool moves =
		op->type == SLU_OP_READ || op->type == SLU_OP_PUT || op->type == SLU_OP_PUT_BLOCK;
	int64_t more = moves ? (int64_t)(op->len / RATE) * SLU_SEC : 0;

	return slu_deadline_in(r->default_ns + more);
}

static void retry_submit(struct slu_store *s, struct slu_op *op)
{
	struct retry *r = (struct retry *)s;

	earn(r);
	slu_op_push(op, tried, r);
	*slu_op_at(op) = op->deadline; /* as the caller gave it: it gets it back */
	if (!op->deadline)
		op->deadline = default_deadline(r, op);
	op->kept = 0;
	op->tries = 1;
	slu_store_submit(s->below, op);
}

static void retry_cancel(struct slu_store *s, struct slu_op *op)
{
	if (!slu_park_cancel(((struct retry *)s)->park, op))
		slu_store_cancel(s->below, op);
}

static void retry_free(struct slu_store *s)
{
	slu_park_free(((struct retry *)s)->park);
	free(s);
}

static const struct slu_store_ops retry_ops = {
	.name = "retry", .submit = retry_submit, .cancel = retry_cancel, .free = retry_free};

int slu_retry_push(struct slu_store **s, const struct slu_retry_conf *conf, struct slu_loops *loops)
{
	struct retry *r = slu_new0(struct retry);

	if (!r)
		return -ENOMEM;
	if (slu_park_new(loops, &r->park) < 0) {
		free(r);
		return -ENOMEM;
	}
	r->backoff = SLU_BACKOFF_DEFAULT;
	if (conf && conf->base_ns)
		r->backoff.base_ns = conf->base_ns;
	if (conf && conf->cap_ns)
		r->backoff.cap_ns = conf->cap_ns;
	r->tries = conf && conf->tries ? conf->tries : TRIES;
	if (r->tries > UINT8_MAX)
		r->tries = UINT8_MAX;
	r->default_ns = conf && conf->default_ns ? conf->default_ns : DEFAULT_NS;
	atomic_init(&r->credit, CREDIT_MAX);
	r->s = **s;
	r->s.ops = &retry_ops;
	r->s.below = *s;
	*s = &r->s;
	return 0;
}
