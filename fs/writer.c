/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer.  States: OPEN (blocks may be under way), FAILED (sticky: no commit any more), DONE.
 * A file that fits into one block is one PUT at commit; a longer one is blocks, which grow, and a
 * COMMIT.  The owner's thread fills one block while up to IN_FLIGHT others are under way, fewer when
 * memory is short, and a thread of the writer's sums them up; a block comes back when both are done with it.  Only
 * the counters and the first error are shared with them.
 */
#include "fs/writer.h"

#include "common/mem.h"
#include "common/time.h"
#include "common/vec.h"
#include "fs/blocks.h"
#include "fs/budget.h"
#include "io/crypt.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define IN_FLIGHT 8
#define IN_FLIGHT_FIRST 4       /* until one takes long: a fast service is busy with so many */
#define BLOCK_RATE (128u << 20) /* bytes a second; less is long */
#define BLOCK_MIN (64u << 10)   /* when a store names no size */

struct block {
	struct slu_work work; /* first: its sum */
	struct slu_op op;
	unsigned users; /* w->lock: the store, the sum */
	struct slu_writer *w;
	struct block *next; /* in the free list */
	size_t len, room;
	bool charged;  /* to the budget: all but a writer's first, which it cannot do without */
	uint64_t crc;  /* of the data, with w->sums */
	int64_t begun; /* when it was sent */
	char data[];
};

struct slu_writer {
	struct slu_store *s;
	char *path, *if_match;
	unsigned flags;
	char txn[SLU_TXN_MAX];
	uint64_t sent; /* bytes given to PUT_BLOCK */
	struct block *cur;
	bool done;                 /* committed */
	bool sums;                 /* the store keeps a sum of the file */
	uint64_t crc;              /* CRC64 of what was sent, with sums */
	struct slu_hasher *hasher; /* MD5 of the same as long as it is short */
	struct slu_pool *summing; /* one thread, so that blocks come to the hasher in their order */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t idle;  /* one came back */
	struct block *free;
	unsigned in_flight, blocks;
	bool slow;          /* a block took long */
	struct slu_err err; /* the first one; code 0: none */
};

/* One of its users is done with the block.  rc: 0, or -errno with why. */
static void block_left(struct block *b, int rc, const struct slu_err *why)
{
	struct slu_writer *w = b->w;

	pthread_mutex_lock(&w->lock);
	if (rc < 0 && !w->err.code)
		w->err = *why;
	if (!--b->users) {
		b->next = w->free;
		w->free = b;
		w->in_flight--;
		pthread_cond_signal(&w->idle);
	}
	pthread_mutex_unlock(&w->lock);
}

static void block_done(struct slu_op *op)
{
	struct block *b = op->user;

	if (slu_now() - b->begun > (int64_t)(b->len * SLU_SEC / BLOCK_RATE)) {
		pthread_mutex_lock(&b->w->lock);
		b->w->slow = true;
		pthread_mutex_unlock(&b->w->lock);
	}
	block_left(b, op->rc, &op->err);
}

static void block_sum(struct slu_work *work)
{
	struct block *b = (struct block *)work;
	struct slu_err e = {0};
	int r = slu_hasher_add(b->w->hasher, b->data, b->len);

	if (r < 0)
		slu_fail_sys(&e, -r, "cannot compute the checksum of '%s'", b->w->path);
	block_left(b, r, &e);
}

int slu_writer_new(struct slu_store *s, const char *path, unsigned flags, const char *if_match,
		   struct slu_writer **ret, struct slu_err *e)
{
	struct slu_writer *w;
	int r;

	if ((flags & SLU_OPF_ABSENT) && if_match)
		return slu_fail(e, EINVAL, "'%s': cannot be both absent and unchanged", path);
	w = slu_new0(struct slu_writer);
	if (!w)
		return slu_fail_oom(e);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->idle, NULL);
	w->s = s;
	w->sums = slu_store_can(s, SLU_CAP_PROPS);
	w->flags = flags & (SLU_OPF_ABSENT | SLU_OPF_DURABLE);
	w->path = slu_strdup(path);
	w->if_match = slu_strdup(if_match);
	if (!w->path || (if_match && !w->if_match)) {
		slu_writer_free(w);
		return slu_fail_oom(e);
	}
	r = slu_random_id(w->txn, (SLU_TXN_MAX - 1) / 2);
	if (r < 0) {
		slu_writer_free(w);
		return slu_fail_sys(e, -r, "cannot begin to write '%s'", path);
	}
	*ret = w;
	return 0;
}

/* The error that this writer has, if any; later calls say the same. */
static int sticky(struct slu_writer *w, struct slu_err *e)
{
	int r;

	pthread_mutex_lock(&w->lock);
	r = -w->err.code;
	if (r < 0 && e)
		*e = w->err;
	pthread_mutex_unlock(&w->lock);
	return r;
}

static int stick(struct slu_writer *w, const struct slu_err *why, struct slu_err *e)
{
	pthread_mutex_lock(&w->lock);
	if (!w->err.code)
		w->err = *why;
	pthread_mutex_unlock(&w->lock);
	return sticky(w, e);
}

static size_t block_len(const struct slu_writer *w)
{
	return w->s->block ? slu_blocks_len(w->s, 0, w->sent) : BLOCK_MIN;
}

static void block_free(struct slu_writer *w, struct block *b)
{
	if (!b)
		return;
	if (b->charged)
		slu_budget_give(slu_budget_process(), SLU_BUDGET_COPY, b->room);
	w->blocks--;
	free(b);
}

/* One more block of len bytes; NULL: no memory, or (*ret_poor) too little of the budget. */
static struct block *block_new(struct slu_writer *w, size_t len, bool *ret_poor)
{
	struct slu_budget *budget = slu_budget_process();
	bool charged = w->blocks > 0;
	struct block *b;

	*ret_poor = charged && (!budget || !slu_budget_try(budget, SLU_BUDGET_COPY, len));
	if (*ret_poor)
		return NULL;
	b = slu_malloc(sizeof(*b) + len);
	if (!b) {
		if (charged)
			slu_budget_give(budget, SLU_BUDGET_COPY, len);
		return NULL;
	}
	b->w = w;
	b->len = 0;
	b->room = len;
	b->charged = charged;
	w->blocks++;
	return b;
}

/* Locked.  More under way than the store has use for would only be memory. */
static unsigned flights(const struct slu_writer *w)
{
	unsigned most = w->slow ? IN_FLIGHT : IN_FLIGHT_FIRST;

	return w->s->lanes && w->s->lanes < most ? w->s->lanes : most;
}

/* A block that came back; NULL: none is there.  wait: for the first, when some are under way. */
static struct block *block_back(struct slu_writer *w, bool wait)
{
	struct block *b;

	pthread_mutex_lock(&w->lock);
	while (!w->free && w->in_flight && (wait || w->in_flight >= flights(w)))
		pthread_cond_wait(&w->idle, &w->lock);
	b = w->free;
	if (b)
		w->free = b->next;
	pthread_mutex_unlock(&w->lock);
	return b;
}

/* A new block, one that came back, or one that comes back; NULL: no memory. */
static struct block *block_get(struct slu_writer *w, size_t len)
{
	bool poor = false;

	for (;;) {
		struct block *b = block_back(w, poor);

		if (b && b->room >= len)
			return b;
		/* Blocks grow: this one is too small by now. */
		poor = false;
		if (b) {
			block_free(w, b);
			continue;
		}
		b = block_new(w, len, &poor);
		if (b || !poor)
			return b;
	}
}

/* An empty block as w->cur. */
static int next_block(struct slu_writer *w, struct slu_err *e)
{
	size_t len = block_len(w);
	struct block *b;

	if (!len)
		return slu_fail(e, EFBIG,
				"'%s' is too long: the store takes at most %llu bytes when the "
				"length is not known beforehand; write it to a file and copy that",
				w->path, (unsigned long long)slu_blocks_reach(w->s));
	b = block_get(w, len);
	if (!b)
		return slu_fail_oom(e);
	b->len = 0;
	b->crc = 0;
	w->cur = b;
	return 0;
}

/* A file in blocks has no checksum but that which its writer gives. */
static int begin_summing(struct slu_writer *w, struct slu_err *e)
{
	int r;

	if (!w->sums || w->hasher || !w->s->md5_max || w->sent > w->s->md5_max)
		return 0;
	r = slu_pool_new(1, &w->summing, e);
	if (r < 0)
		return r;
	r = slu_hasher_new(SLU_MD5, &w->hasher);
	return r < 0 ? slu_fail_sys(e, -r, "cannot compute the checksum of '%s'", w->path) : 0;
}

static int send_block(struct slu_writer *w, struct slu_err *e)
{
	struct block *b = w->cur;
	int r = begin_summing(w, e);
	bool md5;

	if (r < 0)
		return r;
	w->cur = NULL;
	slu_op_put_block(&b->op, w->path, w->txn, w->sent, b->data, b->len);
	b->op.deadline = slu_blocks_deadline(b->len);
	b->op.done = block_done;
	b->op.user = b;
	b->begun = slu_now();
	b->work = (struct slu_work){.fn = block_sum};
	w->sent += b->len;
	if (w->sums) {
		b->op.crc64 = &b->crc;
		w->crc = slu_crc64_join(w->crc, b->crc, b->len);
	}
	md5 = w->hasher && w->sent <= w->s->md5_max;
	b->users = md5 ? 2 : 1;
	pthread_mutex_lock(&w->lock);
	w->in_flight++;
	pthread_mutex_unlock(&w->lock);
	if (md5)
		slu_pool_add(w->summing, &b->work);
	slu_store_submit(w->s, &b->op);
	return 0;
}

int slu_writer_room(struct slu_writer *w, void **ret, size_t *ret_n, struct slu_err *e)
{
	struct slu_err why = {0};
	int r = sticky(w, e);

	if (w->done)
		return slu_fail(e, EINVAL, "'%s' is committed already", w->path);
	if (r < 0)
		return r;
	/* a full block waits for more data: it may be all there is */
	if (w->cur && w->cur->len == w->cur->room)
		r = send_block(w, &why);
	if (r == 0 && !w->cur)
		r = next_block(w, &why);
	if (r < 0)
		return stick(w, &why, e);
	*ret = w->cur->data + w->cur->len;
	*ret_n = w->cur->room - w->cur->len;
	return 0;
}

void slu_writer_added(struct slu_writer *w, size_t n)
{
	struct block *b = w->cur;

	/* now, while they are in the processor's cache */
	if (w->sums)
		b->crc = slu_crc64(b->crc, b->data + b->len, n);
	b->len += n;
}

int slu_writer_write(struct slu_writer *w, const void *p, size_t n, struct slu_err *e)
{
	const char *from = p;
	int r = sticky(w, e);

	while (r == 0 && n) {
		size_t k;
		void *to;

		r = slu_writer_room(w, &to, &k, e);
		if (r < 0)
			break;
		k = n < k ? n : k;
		memcpy(to, from, k);
		slu_writer_added(w, k);
		from += k;
		n -= k;
		r = sticky(w, e);
	}
	return r;
}

static void wait_all(struct slu_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->in_flight)
		pthread_cond_wait(&w->idle, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static int commit(struct slu_writer *w, uint64_t size, struct slu_op *op, struct slu_err *e)
{
	uint8_t md5[SLU_DIGEST_MAX];
	struct slu_props props = {0};
	const struct block *b = w->cur;

	if (w->sent)
		slu_op_commit(op, w->path, w->txn, size, w->flags);
	else
		slu_op_put(op, w->path, b ? b->data : NULL, b ? b->len : 0, w->flags);
	op->if_match = w->if_match;
	if (w->sums && w->sent)
		op->props = &props;
	if (w->sums && w->sent && size > w->s->md5_max) {
		props.crc64 = &w->crc;
	} else if (w->hasher) {
		if (slu_hasher_end(w->hasher, md5) < 0)
			return slu_fail(e, EIO, "cannot compute the checksum of '%s'", w->path);
		props.md5 = md5;
	}
	return slu_store_wait(w->s, op, e);
}

int slu_writer_commit(struct slu_writer *w, struct slu_attr *ret, struct slu_err *e)
{
	struct slu_err why = {0};
	uint64_t size = w->sent + (w->cur ? w->cur->len : 0);
	struct slu_op op;
	int r = 0;

	if (w->done)
		return slu_fail(e, EINVAL, "'%s' is committed already", w->path);
	if (w->sent && w->cur && w->cur->len)
		r = send_block(w, &why);
	if (r < 0)
		return stick(w, &why, e);
	wait_all(w);
	r = sticky(w, e);
	if (r < 0)
		return r;
	r = commit(w, size, &op, &why);
	if (r == 0 && op.attr.size != size)
		r = slu_fail(&why, EIO, "'%s' has %llu bytes after %llu were written", w->path,
			     (unsigned long long)op.attr.size, (unsigned long long)size);
	if (r < 0)
		return stick(w, &why, e);
	w->done = true;
	if (ret)
		*ret = op.attr;
	return 0;
}

void slu_writer_free(struct slu_writer *w)
{
	if (!w)
		return;
	wait_all(w);
	if (!w->done && w->sent) {
		struct slu_op op;

		/* a failure leaves blocks that nobody sees; the sweep of old ones gets them */
		slu_op_abort(&op, w->path, w->txn);
		(void)slu_store_wait(w->s, &op, NULL);
	}
	while (w->free) {
		struct block *b = w->free;

		w->free = b->next;
		block_free(w, b);
	}
	block_free(w, w->cur);
	slu_pool_free(w->summing);
	slu_hasher_free(w->hasher);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w->if_match);
	free(w);
}
