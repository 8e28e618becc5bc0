/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hedge layer.  A read that takes far longer than its like usually do is asked for once more, and the
 * first answer counts ("The Tail at Scale", Dean and Barroso 2013).  What is usual is learnt: a histogram
 * of latencies for each kind of op and size.  At most one op in twenty is hedged, and few at a time, so
 * that a slow service is not made slower.
 *
 * Two ops are under way then: the caller's, which owns its buffer until it has ended, and ours with a
 * buffer of its own.  When ours wins, the caller's is canceled and the caller hears when that has ended.
 */
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/stats.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define COLD_NS (3 * SLU_SEC) /* before enough is known */
#define MIN_NS (50 * SLU_MS)
#define MAX_NS (10 * SLU_SEC) /* before a stall is given up (io/loop.c) */
#define ENOUGH 32             /* samples */
#define FORGET 1024           /* samples after which each counts half */
#define COST 20               /* ops that pay for one hedge */
#define CREDIT_MAX (10 * COST)
#define AT_ONCE 4
#define READ_MAX (32u << 20) /* a longer one is not asked for twice */

#define BUCKETS 160 /* four to each doubling of microseconds */
#define CLASSES 12  /* stat, list, reads by size: 64 KiB and less, 128 KiB, ... */

struct usual {
	uint32_t count[BUCKETS];
	uint32_t n;
	int64_t p99_ns;
};

struct hedge {
	struct slu_store s;
	struct slu_loops *loops;
	int64_t cold_ns, min_ns;
	pthread_mutex_t lock; /* all below, and the state of every pair */
	struct usual usual[CLASSES];
	unsigned credit, at_once, turn;
	struct pair *pairs;
	pthread_cond_t none; /* of them are left */
};

struct pair {
	struct hedge *h;
	struct pair *prev, *next;
	struct slu_op *op;
	struct slu_op second;
	struct slu_list list;
	void *buf;
	char *text[5]; /* what the second names: the caller's may go before it ends */
	struct slu_timer *timer;
	int64_t begun;
	int class, refs;
	bool first_over, second_begun, second_over;
	bool won;     /* the second has the answer */
	bool cancels; /* the first is being canceled: it may not be given back yet */
	bool held;    /* the first failed, the second may still do it */
};

/* --- what is usual --- */

static int class_of(const struct slu_op *op)
{
	int i = 2;

	if (op->type == SLU_OP_STAT)
		return 0;
	if (op->type == SLU_OP_LIST)
		return 1;
	for (size_t n = 64 << 10; n < op->len && i < CLASSES - 1; n *= 2)
		i++;
	return i;
}

static int bucket_of(int64_t ns)
{
	uint64_t us = ns > 4000 ? (uint64_t)ns / 1000 : 4;
	int high = 63 - __builtin_clzll(us);
	int i = (high - 2) * 4 + (int)(us >> (high - 2) & 3);

	return i < BUCKETS ? i : BUCKETS - 1;
}

/* The end of a bucket. */
static int64_t bucket_ns(int i)
{
	return (int64_t)(((uint64_t)(i % 4) + 5) << (i / 4)) * 1000;
}

static void learn(struct usual *u, int64_t ns)
{
	uint32_t above = 0;
	int i = BUCKETS - 1;

	u->count[bucket_of(ns)]++;
	if (++u->n >= FORGET) {
		u->n = 0;
		for (int k = 0; k < BUCKETS; k++)
			u->n += u->count[k] /= 2;
	}
	if (u->n % ENOUGH)
		return;
	while (i > 0 && above + u->count[i] <= u->n / 100)
		above += u->count[i--];
	u->p99_ns = bucket_ns(i);
}

static int64_t patience(const struct hedge *h, const struct usual *u)
{
	int64_t ns = 2 * u->p99_ns;

	if (!u->p99_ns)
		return h->cold_ns;
	return ns < h->min_ns ? h->min_ns : ns > MAX_NS ? MAX_NS : ns;
}

/* --- the pair --- */

/* The layer is not freed while a pair is in its list. */
static void unref(struct pair *x)
{
	struct hedge *h = x->h;
	int left;

	pthread_mutex_lock(&h->lock);
	left = --x->refs;
	pthread_mutex_unlock(&h->lock);
	if (left)
		return;
	slu_timer_free(x->timer);
	pthread_mutex_lock(&h->lock);
	*(x->prev ? &x->prev->next : &h->pairs) = x->next;
	if (x->next)
		x->next->prev = x->prev;
	if (!h->pairs)
		pthread_cond_broadcast(&h->none);
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < sizeof(x->text) / sizeof(x->text[0]); i++)
		free(x->text[i]);
	slu_list_done(&x->list);
	slu_json_free(x->second.detail);
	free(x->buf);
	free(x);
}

static void take_second(struct pair *x)
{
	struct slu_op *op = x->op;

	if (op->type == SLU_OP_READ)
		memcpy(op->buf, x->buf, op->len);
	if (op->type == SLU_OP_LIST) {
		slu_list_done(op->list);
		*op->list = x->list;
		x->list = (struct slu_list){0};
	}
	op->unchecked = x->second.unchecked;
	op->attr = x->second.attr;
	slu_json_free(op->detail);
	op->detail = slu_take(x->second.detail);
	op->err = (struct slu_err){0};
	op->retry_after = 0;
	op->rc = 0;
}

/* To the caller, with the better answer of the two. */
static void give(struct pair *x)
{
	struct hedge *h = x->h;
	struct slu_op *op = x->op;

	slu_timer_cancel(x->timer);
	if (x->won) {
		take_second(x);
		slu_stat_add(SLU_STAT_HEDGES_WON, 1);
	}
	pthread_mutex_lock(&h->lock);
	if (op->rc == 0)
		learn(&h->usual[x->class], slu_now() - x->begun);
	pthread_mutex_unlock(&h->lock);
	slu_op_pop(op);
	unref(x);
	op->done(op); /* the store may be gone when this returns */
}

/* Could the same question have another answer? */
static bool may_differ(int rc)
{
	return rc == -EIO || rc == -ETIMEDOUT || rc == -EAGAIN || rc == -ECONNRESET ||
	       rc == -ECONNREFUSED || rc == -ECONNABORTED || rc == -EPIPE || rc == -EPROTO;
}

static void first_done(struct slu_op *op)
{
	struct pair *x = op->user;
	struct hedge *h = x->h;
	bool cancel;

	pthread_mutex_lock(&h->lock);
	x->first_over = true;
	x->held = !x->won && x->second_begun && !x->second_over && may_differ(op->rc) &&
		  !slu_op_canceled(op);
	if (x->held || (x->won && x->cancels)) {
		pthread_mutex_unlock(&h->lock);
		return;
	}
	cancel = x->second_begun && !x->second_over;
	pthread_mutex_unlock(&h->lock);
	if (cancel)
		slu_store_cancel(h->s.below, &x->second);
	give(x);
}

static void second_done(struct slu_op *second)
{
	struct pair *x = second->user;
	struct hedge *h = x->h;
	bool over;

	pthread_mutex_lock(&h->lock);
	h->at_once--;
	x->second_over = true;
	x->won = second->rc == 0 && (!x->first_over || x->held);
	x->cancels = x->won && !x->first_over;
	over = x->held;
	pthread_mutex_unlock(&h->lock);
	if (x->cancels) {
		slu_store_cancel(h->s.below, x->op);
		pthread_mutex_lock(&h->lock);
		x->cancels = false;
		over = x->first_over;
		pthread_mutex_unlock(&h->lock);
	}
	if (over)
		give(x);
	unref(x);
}

static const char *copy(struct pair *x, int i, const char *s, bool *ret_oom)
{
	x->text[i] = slu_strdup(s);
	*ret_oom |= s && !x->text[i];
	return x->text[i];
}

static int make_second(struct pair *x)
{
	const struct slu_op *op = x->op;
	bool oom = false;

	x->second = (struct slu_op){.type = op->type,
				    .flags = op->flags | SLU_OPF_BESIDE,
				    .path = copy(x, 0, op->path, &oom),
				    .off = op->off,
				    .len = op->len,
				    .if_match = copy(x, 1, op->if_match, &oom),
				    .marker = copy(x, 2, op->marker, &oom),
				    .start = copy(x, 3, op->start, &oom),
				    .version = copy(x, 4, op->version, &oom),
				    .deadline = op->deadline,
				    .prio = op->prio,
				    .list = &x->list,
				    .done = second_done,
				    .user = x};
	if (oom || op->type != SLU_OP_READ)
		return oom ? -ENOMEM : 0;
	x->buf = slu_malloc(op->len ? op->len : 1);
	x->second.buf = x->buf;
	return x->buf ? 0 : -ENOMEM;
}

static void on_late(void *arg)
{
	struct pair *x = arg;
	struct hedge *h = x->h;

	pthread_mutex_lock(&h->lock);
	if (x->first_over || slu_op_canceled(x->op) || h->credit < COST || h->at_once == AT_ONCE ||
	    make_second(x) < 0) {
		pthread_mutex_unlock(&h->lock);
		return;
	}
	h->credit -= COST;
	h->at_once++;
	x->second_begun = true;
	x->refs++;
	pthread_mutex_unlock(&h->lock);
	slu_stat_add(SLU_STAT_HEDGES, 1);
	slu_debug("hedge", "%s '%s' takes long: asked for once more", slu_op_name(x->second.type),
		  x->second.path);
	slu_store_submit(h->s.below, &x->second);
}

/* --- the layer --- */

static bool is_hedged(const struct slu_op *op)
{
	return op->type == SLU_OP_STAT || op->type == SLU_OP_LIST ||
	       (op->type == SLU_OP_READ && op->len <= READ_MAX);
}

static struct pair *pair_new(struct hedge *h, struct slu_op *op)
{
	struct pair *x = slu_new0(struct pair);
	unsigned turn;

	if (!x)
		return NULL;
	pthread_mutex_lock(&h->lock);
	turn = h->turn++;
	if (h->credit < CREDIT_MAX)
		h->credit++;
	pthread_mutex_unlock(&h->lock);
	x->h = h;
	x->op = op;
	x->refs = 1;
	x->class = class_of(op);
	if (slu_timer_new(slu_loops_pick(h->loops, "", turn), on_late, x, &x->timer) < 0) {
		free(x);
		return NULL;
	}
	return x;
}

static void hedge_submit(struct slu_store *s, struct slu_op *op)
{
	struct hedge *h = (struct hedge *)s;
	struct pair *x = is_hedged(op) ? pair_new(h, op) : NULL;
	int64_t wait;

	if (!x) {
		slu_store_submit(s->below, op);
		return;
	}
	pthread_mutex_lock(&h->lock);
	wait = patience(h, &h->usual[x->class]);
	x->next = h->pairs;
	if (x->next)
		x->next->prev = x;
	h->pairs = x;
	pthread_mutex_unlock(&h->lock);
	x->begun = slu_now();
	slu_op_push(op, first_done, x);
	slu_timer_set(x->timer, x->begun + wait);
	slu_store_submit(s->below, op);
}

/* An op that has failed and waits for its second is no longer below. */
static void hedge_cancel(struct slu_store *s, struct slu_op *op)
{
	struct hedge *h = (struct hedge *)s;
	struct pair *x;

	pthread_mutex_lock(&h->lock);
	for (x = h->pairs; x && x->op != op; x = x->next)
		;
	x = x && x->held ? x : NULL;
	if (x)
		x->refs++;
	pthread_mutex_unlock(&h->lock);
	if (!x) {
		slu_store_cancel(s->below, op);
		return;
	}
	slu_store_cancel(s->below, &x->second);
	unref(x);
}

static void hedge_free(struct slu_store *s)
{
	struct hedge *h = (struct hedge *)s;

	/* seconds that lost may still be on their way */
	pthread_mutex_lock(&h->lock);
	while (h->pairs)
		pthread_cond_wait(&h->none, &h->lock);
	pthread_mutex_unlock(&h->lock);
	pthread_cond_destroy(&h->none);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static const struct slu_store_ops hedge_ops = {
	.name = "hedge", .submit = hedge_submit, .cancel = hedge_cancel, .free = hedge_free};

int slu_hedge_push(struct slu_store **s, const struct slu_hedge_conf *conf, struct slu_loops *loops)
{
	struct hedge *h = slu_new0(struct hedge);

	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->none, NULL);
	h->loops = loops;
	h->cold_ns = conf && conf->cold_ns ? conf->cold_ns : COLD_NS;
	h->min_ns = conf && conf->min_ns ? conf->min_ns : MIN_NS;
	h->credit = 2 * COST;
	h->s = **s;
	h->s.ops = &hedge_ops;
	h->s.below = *s;
	*s = &h->s;
	return 0;
}
