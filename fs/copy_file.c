/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy of one file.  A long one has lanes: each reads a block into its buffer and writes it from
 * there, then takes the next block, all by completions; the worker's thread only waits for the last and
 * commits.  Where the bytes have to be hashed, blocks are hashed in turn (in the pool) while they are
 * written: a lane that is early waits in a list until the blocks before its own were hashed.
 */
#include "fs/copy_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/blocks.h"
#include "fs/budget.h"
#include "io/crypt.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LANES_FILE 12
#define READ_MAX (8u << 20) /* a range that is worth its request */
/* What a copy by the services may take: so long, and longer by its bytes per second. */
#define SERVED_NS (60 * SLU_SEC)
#define SERVED_RATE (10u << 20)

struct lane {
	struct slu_op op;
	struct slu_store *in; /* where op is; NULL: nowhere */
	struct slu_work work;
	struct longfile *l;
	struct lane *next; /* of those that wait for their turn */
	unsigned halves;   /* of its block, to be written and to be hashed; locked */
	uint64_t off;
	size_t len;
	char *buf;
};

struct longfile {
	struct slu_copy *c;
	const struct slu_copy_file *f;
	char txn[SLU_TXN_MAX];
	struct slu_hasher *hasher; /* NULL: nothing to hash */
	struct lane lane[LANES_FILE];
	unsigned lanes;
	size_t block; /* the length of all but the last */

	pthread_mutex_t lock; /* everything below, and `in` of the lanes */
	pthread_cond_t idle;
	uint64_t next, hashed; /* offsets */
	struct lane *early;
	unsigned running;
	struct slu_err err; /* the first; code 0: none */
};

/* --- what both kinds do --- */

static const char *pin(const struct slu_copy_file *f)
{
	return f->id[0] ? f->id : NULL;
}

static const char *stored_md5(const struct slu_copy *c, const struct slu_copy_file *f)
{
	return c->o->check == SLU_CHECK_OFF ? NULL : slu_after(f->sum, "md5:");
}

/* Must the bytes be hashed: to be checked, or to be kept with the file? */
static bool wants_md5(const struct slu_copy *c, const struct slu_copy_file *f)
{
	return stored_md5(c, f) ||
	       (c->o->check != SLU_CHECK_OFF && slu_store_can(c->to, SLU_CAP_PROPS));
}

static int ended(const struct slu_copy_file *f, const struct slu_op *op, int r, struct slu_err *e)
{
	if (r == -EEXIST)
		return slu_fail(e, EEXIST,
				"'%s' exists already; give --overwrite, --update or --no-clobber",
				f->to);
	if (r == 0 && op->attr.size != f->size)
		return slu_fail(e, EIO, "'%s' has %llu bytes after %llu were written", f->to,
				(unsigned long long)op->attr.size, (unsigned long long)f->size);
	return r;
}

/* props with the sum, where the destination keeps such things. */
static void set_props(const struct slu_copy *c, struct slu_op *op, const uint8_t *md5,
		      struct slu_props *room)
{
	*room = c->o->props ? *c->o->props : (struct slu_props){0};
	room->md5 = md5;
	if (c->o->props || (md5 && slu_store_can(c->to, SLU_CAP_PROPS)))
		op->props = room;
}

static int canceled(const struct slu_copy_file *f, struct slu_err *e)
{
	return slu_fail(e, ECANCELED, "copy of '%s' canceled", f->path);
}

/* --- short files --- */

static int copy_short(struct slu_copy *c, const struct slu_copy_file *f, char *buf,
		      struct slu_err *e)
{
	uint8_t md5[SLU_DIGEST_MAX];
	bool hash = wants_md5(c, f);
	struct slu_props room;
	struct slu_op op;
	int r = 0;

	if (f->size) {
		slu_op_read(&op, f->path, 0, (size_t)f->size, buf, pin(f));
		op.version = f->version;
		r = slu_store_wait(f->from, &op, e);
	}
	if (r == 0 && hash && slu_digest(SLU_MD5, buf, (size_t)f->size, md5) < 0)
		r = slu_fail(e, EIO, "cannot compute the checksum of '%s'", f->path);
	if (r == 0)
		r = slu_check_md5(c->o->check, f->path, f->sum, hash ? md5 : NULL, e);
	if (r < 0)
		return r;
	slu_op_put(&op, f->to, buf, (size_t)f->size, c->o->flags);
	set_props(c, &op, hash ? md5 : NULL, &room);
	r = ended(f, &op, slu_store_wait(c->to, &op, e), e);
	if (r == 0)
		atomic_fetch_add(&c->bytes, f->size);
	return r;
}

/* --- long files --- */

static void begin_block(struct lane *a);

/* Locked.  Notes the first failure; whoever waits for a turn to be hashed will not get one. */
static void fail(struct longfile *l, const struct slu_err *why)
{
	if (why && !l->err.code)
		l->err = *why;
	if (!l->err.code)
		return;
	for (; l->early; l->early = l->early->next)
		if (!--l->early->halves)
			l->running--;
}

/* The lane goes no further; the last one lets the worker go. */
static void end_lane(struct longfile *l, const struct slu_err *why)
{
	pthread_mutex_lock(&l->lock);
	l->running--;
	fail(l, why);
	pthread_cond_signal(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

static void go_on(struct slu_work *w)
{
	begin_block((struct lane *)((char *)w - offsetof(struct lane, work)));
}

/* Its block is written, or hashed: with both the lane goes on, in another thread, since a read may be done
 * where it is begun, and neither the hash nor an I/O thread is to wait for that. */
static void half_done(struct lane *a, const struct slu_err *why)
{
	struct longfile *l = a->l;
	bool last;

	pthread_mutex_lock(&l->lock);
	last = !--a->halves;
	if (why)
		fail(l, why);
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	a->work = (struct slu_work){.fn = go_on};
	slu_pool_add(l->c->pool, &a->work);
}

static void submit(struct lane *a, struct slu_store *s, void (*done)(struct slu_op *op))
{
	a->op.done = done;
	a->op.user = a;
	pthread_mutex_lock(&a->l->lock);
	a->in = s;
	pthread_mutex_unlock(&a->l->lock);
	slu_store_submit(s, &a->op);
}

static void came_back(struct lane *a)
{
	pthread_mutex_lock(&a->l->lock);
	a->in = NULL;
	pthread_mutex_unlock(&a->l->lock);
}

static void written(struct slu_op *op)
{
	struct lane *a = op->user;

	came_back(a);
	if (op->rc == 0)
		atomic_fetch_add(&a->l->c->bytes, a->len);
	half_done(a, op->rc < 0 ? &op->err : NULL);
}

static void write_block(struct lane *a)
{
	slu_op_put_block(&a->op, a->l->f->to, a->l->txn, a->off, a->buf, a->len);
	a->op.deadline = slu_blocks_deadline(a->len);
	submit(a, a->l->c->to, written);
}

/* The lane whose block is the next to be hashed, taken out of the list; locked. */
static struct lane *next_turn(struct longfile *l)
{
	for (struct lane **p = &l->early; *p; p = &(*p)->next) {
		struct lane *a = *p;

		if (a->off != l->hashed)
			continue;
		*p = a->next;
		return a;
	}
	return NULL;
}

static void hash(struct slu_work *w)
{
	struct lane *a = (struct lane *)((char *)w - offsetof(struct lane, work));
	struct longfile *l = a->l;

	while (a) {
		struct slu_err e = {0};
		struct lane *next;
		int r = slu_hasher_add(l->hasher, a->buf, a->len);

		if (r < 0)
			slu_fail(&e, EIO, "cannot compute the checksum of '%s'", l->f->path);
		pthread_mutex_lock(&l->lock);
		l->hashed += a->len;
		next = r < 0 ? NULL : next_turn(l);
		pthread_mutex_unlock(&l->lock);
		half_done(a, r < 0 ? &e : NULL); /* l may be over when next is NULL */
		a = next;
	}
}

static void was_read(struct slu_op *op)
{
	struct lane *a = op->user;
	struct longfile *l = a->l;
	bool now, over;

	came_back(a);
	if (op->rc < 0) {
		end_lane(l, &op->err);
		return;
	}
	pthread_mutex_lock(&l->lock);
	over = l->err.code;
	now = l->hasher && a->off == l->hashed;
	a->halves = l->hasher ? 2 : 1;
	if (l->hasher && !now && !over) {
		a->next = l->early;
		l->early = a;
	}
	pthread_mutex_unlock(&l->lock);
	if (over) {
		end_lane(l, NULL);
		return;
	}
	if (now) {
		a->work = (struct slu_work){.fn = hash};
		slu_pool_add(l->c->pool, &a->work);
	}
	write_block(a);
}

static void begin_block(struct lane *a)
{
	struct longfile *l = a->l;
	uint64_t left;
	bool over;

	pthread_mutex_lock(&l->lock);
	left = l->f->size - l->next;
	over = !left || l->err.code || atomic_load(&l->c->stop);
	if (!over) {
		a->off = l->next;
		a->len = left < l->block ? (size_t)left : l->block;
		l->next += a->len;
	}
	pthread_mutex_unlock(&l->lock);
	if (over) {
		end_lane(l, NULL);
		return;
	}
	slu_op_read(&a->op, l->f->path, a->off, a->len, a->buf, pin(l->f));
	a->op.version = l->f->version;
	a->op.deadline = slu_blocks_deadline(a->len);
	submit(a, l->f->from, was_read);
}

/* Of what is in flight.  A lane may be just about to submit, so this is done again until none runs. */
static void cancel_lanes(struct longfile *l)
{
	for (unsigned i = 0; i < l->lanes; i++) {
		struct slu_store *s;

		pthread_mutex_lock(&l->lock);
		s = l->lane[i].in;
		pthread_mutex_unlock(&l->lock);
		if (s)
			slu_store_cancel(s, &l->lane[i].op);
	}
}

static void wait_lanes(struct longfile *l)
{
	pthread_mutex_lock(&l->lock);
	while (l->running) {
		int64_t tick = slu_deadline_in(100 * SLU_MS);
		struct timespec at = {.tv_sec = tick / SLU_SEC, .tv_nsec = tick % SLU_SEC};

		pthread_cond_timedwait(&l->idle, &l->lock, &at);
		if (!l->running || (!l->err.code && !atomic_load(&l->c->stop)))
			continue;
		pthread_mutex_unlock(&l->lock);
		cancel_lanes(l);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}

/* Better known before the bytes are sent than after; the commit decides all the same. */
static int check_absent(struct slu_copy *c, const struct slu_copy_file *f, struct slu_err *e)
{
	struct slu_attr a;

	if (!(c->o->flags & SLU_OPF_ABSENT) || slu_store_stat(c->to, f->to, &a, NULL) < 0)
		return 0;
	return ended(f, NULL, -EEXIST, e);
}

/* At least one lane, waited for; more when the budget has memory for them.  0: no memory at all. */
static unsigned take_lanes(const struct longfile *l)
{
	struct slu_budget *budget = slu_budget_process();
	uint64_t blocks = l->f->size / l->block + !!(l->f->size % l->block);
	unsigned most = blocks < LANES_FILE ? (unsigned)blocks : LANES_FILE, n = 1;

	if (!budget)
		return 0;
	slu_budget_take(budget, SLU_BUDGET_COPY, l->block);
	while (n < most && slu_budget_try(budget, SLU_BUDGET_COPY, l->block))
		n++;
	return n;
}

static void give_lanes(const struct longfile *l)
{
	if (l->lanes)
		slu_budget_give(slu_budget_process(), SLU_BUDGET_COPY,
				(uint64_t)l->lanes * l->block);
}

/* The blocks; 0 when all are written and the stored checksum, if any, is that of the bytes. */
static int copy_blocks(struct longfile *l, uint8_t *md5, struct slu_err *e)
{
	if (!l->lanes)
		return slu_fail_oom(e);
	for (unsigned i = 0; i < l->lanes; i++) {
		l->lane[i].l = l;
		l->lane[i].buf = slu_malloc(l->block);
		if (!l->lane[i].buf)
			return slu_fail_oom(e);
	}
	l->running = l->lanes;
	for (unsigned i = 0; i < l->lanes; i++)
		begin_block(&l->lane[i]);
	wait_lanes(l);
	if (atomic_load(&l->c->stop))
		return canceled(l->f, e);
	if (l->err.code) {
		if (e)
			*e = l->err;
		return -l->err.code;
	}
	if (l->hasher && slu_hasher_end(l->hasher, md5) < 0)
		return slu_fail(e, EIO, "cannot compute the checksum of '%s'", l->f->path);
	return slu_check_md5(l->c->o->check, l->f->path, l->f->sum, l->hasher ? md5 : NULL, e);
}

static int commit(struct longfile *l, const uint8_t *md5, struct slu_err *e)
{
	struct slu_props room;
	struct slu_op op;

	slu_op_commit(&op, l->f->to, l->txn, l->f->size, l->c->o->flags);
	op.len = l->block;
	set_props(l->c, &op, l->hasher ? md5 : NULL, &room);
	return ended(l->f, &op, slu_store_wait(l->c->to, &op, e), e);
}

static int copy_long(struct slu_copy *c, const struct slu_copy_file *f, struct slu_err *e)
{
	struct longfile l = {.c = c, .f = f};
	uint8_t md5[SLU_DIGEST_MAX];
	pthread_condattr_t attr;
	int r = check_absent(c, f, e);

	if (r < 0)
		return r;
	l.block = slu_blocks_unit(c->to, f->size);
	if (!l.block)
		return slu_fail(e, EFBIG, "'%s' is too long for '%s': it has %llu bytes", f->path,
				f->to, (unsigned long long)f->size);
	if (!c->to->blocks_max && l.block < READ_MAX && f->from->block > l.block)
		l.block = f->from->block < READ_MAX ? f->from->block : READ_MAX;
	r = slu_random_id(l.txn, (SLU_TXN_MAX - 1) / 2);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot begin to write '%s'", f->to);
	if (wants_md5(c, f) && slu_hasher_new(SLU_MD5, &l.hasher) < 0)
		return slu_fail_oom(e);
	pthread_mutex_init(&l.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l.idle, &attr);
	pthread_condattr_destroy(&attr);
	l.lanes = take_lanes(&l);
	r = copy_blocks(&l, md5, e);
	if (r == 0)
		r = commit(&l, md5, e);
	if (r < 0) {
		struct slu_op op;

		/* a failure leaves blocks that nobody sees; the sweep of old ones gets them */
		slu_op_abort(&op, f->to, l.txn);
		(void)slu_store_wait(c->to, &op, NULL);
	}
	give_lanes(&l);
	for (unsigned i = 0; i < l.lanes; i++)
		free(l.lane[i].buf);
	pthread_cond_destroy(&l.idle);
	pthread_mutex_destroy(&l.lock);
	slu_hasher_free(l.hasher);
	return r;
}

/* --- without us --- */

/* The services among themselves.  -ENOTSUP: not these two. */
static int copy_served(struct slu_copy *c, const struct slu_copy_file *f, struct slu_err *e)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = f->size};
	struct slu_source source = {0};
	struct slu_op op;
	int r;

	memcpy(a.id, f->id, sizeof(a.id));
	memcpy(a.sum, f->sum, sizeof(a.sum));
	r = slu_store_source(f->from, f->path, &a, &source, e);
	if (r < 0)
		return r;
	slu_op_copy(&op, f->to, &source, c->o->flags);
	op.props = c->o->props;
	op.deadline = slu_deadline_in(SERVED_NS + (int64_t)(f->size / SERVED_RATE) * SLU_SEC);
	r = ended(f, &op, slu_store_wait(c->to, &op, e), e);
	slu_source_done(&source);
	if (r == 0)
		atomic_fetch_add(&c->bytes, f->size);
	return r;
}

int slu_copy_one(struct slu_copy *c, const struct slu_copy_file *f, char *buf, struct slu_err *e)
{
	int r = -ENOTSUP;

	if (slu_store_can(c->to, SLU_CAP_COPY) && !f->version)
		r = copy_served(c, f, e);
	if (r != -ENOTSUP)
		return r;
	if (e)
		*e = (struct slu_err){0};
	if (f->size <= SLU_COPY_SMALL && f->size <= c->to->max_put)
		return copy_short(c, f, buf, e);
	return copy_long(c, f, e);
}
