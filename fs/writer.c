/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer.  States: OPEN (blocks may be under way), FAILED (sticky: no commit any more), DONE.
 * A file that fits into one block is one PUT at commit; a longer one is blocks, which grow, and a
 * COMMIT.  The owner's thread fills one block while up to IN_FLIGHT others are under way, fewer when
 * memory is short; only the counters and the first error are shared with completions.
 */
#include "fs/writer.h"

#include "common/mem.h"
#include "common/vec.h"
#include "fs/blocks.h"
#include "fs/budget.h"
#include "io/crypt.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define IN_FLIGHT 4
#define BLOCK_MIN (64u << 10) /* when a store names no size */

struct block {
	struct slu_op op;
	struct slu_writer *w;
	struct block *next; /* in the free list */
	size_t len, room;
	bool charged; /* to the budget: all but a writer's first, which it cannot do without */
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
	struct slu_hasher *hasher; /* of what was sent, for stores that keep an MD5 of it */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t idle;  /* one came back */
	struct block *free;
	unsigned in_flight, blocks;
	struct slu_err err; /* the first one; code 0: none */
};

static void block_done(struct slu_op *op)
{
	struct block *b = op->user;
	struct slu_writer *w = b->w;

	pthread_mutex_lock(&w->lock);
	if (op->rc < 0 && !w->err.code)
		w->err = op->err;
	b->next = w->free;
	w->free = b;
	w->in_flight--;
	pthread_cond_signal(&w->idle);
	pthread_mutex_unlock(&w->lock);
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

/* A block that came back; NULL: none is there.  wait: for the first, when some are under way. */
static struct block *block_back(struct slu_writer *w, bool wait)
{
	struct block *b;

	pthread_mutex_lock(&w->lock);
	while (!w->free && w->in_flight && (wait || w->in_flight >= IN_FLIGHT))
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
	w->cur = b;
	return 0;
}

/* A long file has no checksum but that which its writer gives. */
static int hash(struct slu_writer *w, const struct block *b)
{
	int r = 0;

	if (!slu_store_can(w->s, SLU_CAP_PROPS))
		return 0;
	if (!w->hasher)
		r = slu_hasher_new(SLU_MD5, &w->hasher);
	return r < 0 ? r : slu_hasher_add(w->hasher, b->data, b->len);
}

static int send_block(struct slu_writer *w, struct slu_err *e)
{
	struct block *b = w->cur;
	int r = hash(w, b);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot compute the checksum of '%s'", w->path);
	w->cur = NULL;
	slu_op_put_block(&b->op, w->path, w->txn, w->sent, b->data, b->len);
	b->op.deadline = slu_blocks_deadline(b->len);
	b->op.done = block_done;
	b->op.user = b;
	w->sent += b->len;
	pthread_mutex_lock(&w->lock);
	w->in_flight++;
	pthread_mutex_unlock(&w->lock);
	slu_store_submit(w->s, &b->op);
	return 0;
}

int slu_writer_write(struct slu_writer *w, const void *p, size_t n, struct slu_err *e)
{
	const char *from = p;
	struct slu_err why = {0};
	int r = sticky(w, e);

	if (w->done)
		return slu_fail(e, EINVAL, "'%s' is committed already", w->path);
	while (r == 0 && n) {
		size_t k;

		/* a full block waits for more data: it may be all there is */
		if (w->cur && w->cur->len == w->cur->room)
			r = send_block(w, &why);
		if (r == 0 && !w->cur)
			r = next_block(w, &why);
		if (r < 0)
			return stick(w, &why, e);
		k = w->cur->room - w->cur->len;
		k = n < k ? n : k;
		memcpy(w->cur->data + w->cur->len, from, k);
		w->cur->len += k;
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
	struct slu_props props = {.md5 = md5};
	const struct block *b = w->cur;

	if (w->sent)
		slu_op_commit(op, w->path, w->txn, size, w->flags);
	else
		slu_op_put(op, w->path, b ? b->data : NULL, b ? b->len : 0, w->flags);
	op->if_match = w->if_match;
	if (w->hasher) {
		if (slu_hasher_end(w->hasher, md5) < 0)
			return slu_fail(e, EIO, "cannot compute the checksum of '%s'", w->path);
		op->props = &props;
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
	slu_hasher_free(w->hasher);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w->if_match);
	free(w);
}
