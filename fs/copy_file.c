/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy of one file.  A long one has lanes: each reads a block into its buffer and writes it from
 * there, then takes the next block, all by completions; the worker's thread only waits for the last and
 * commits.  Where the bytes have to be hashed, blocks are hashed in turn (in the pool) while they are
 * written: a lane that is early waits in a list until the blocks before its own were hashed.
 */
#include "fs/copy_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/blocks.h"
#include "fs/budget.h"
#include "fs/summer.h"
#include "io/crypt.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LANES_FILE 12
#define LANES_FIRST                                                                                \
	4 /* with so many a fast service is busy, and their buffers stay in the processor's cache */
#define LANE_RATE (128u << 20) /* bytes a second; where a lane has less, one more begins */
#define READ_MAX (8u << 20)    /* a range that is worth its request */
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
	int64_t begun;     /* its block */
	uint64_t off;
	size_t len;
	uint64_t crc; /* of the block, with l->crc_on */
	char *buf;
};

/* What was computed of all bytes; NULL: was not. */
struct sums {
	const uint8_t *md5;
	const uint64_t *crc64;
};

struct longfile {
	struct slu_copy *c;
	const struct slu_copy_file *f;
	struct slu_resume resume;
	struct slu_hasher *hasher; /* NULL: no MD5 is wanted */
	char want[SLU_ID_MAX];     /* what the source computes of the file, or "" */
	struct slu_summer sum;     /* the same of what arrives */
	bool hash;                 /* any of both */
	bool crc_on;               /* a CRC64, put together from those of the blocks */
	struct lane lane[LANES_FILE];
	unsigned lanes; /* that there may be */
	size_t block;   /* the length of all but the last */

	pthread_mutex_t lock; /* everything below, and `in` of the lanes */
	pthread_cond_t idle;
	uint64_t next, hashed; /* offsets */
	uint64_t crc;          /* of the file but for what is not read yet */
	struct lane *early;
	unsigned begun, running; /* lanes */
	struct slu_err err;      /* the first; code 0: none */
};

/* --- what both kinds do --- */

static const char *pin(const struct slu_copy_file *f)
{
	return f->id[0] ? f->id : NULL;
}

/* Has the source a sum of this kind, which is to be believed? */
static bool stored(const struct slu_copy *c, const struct slu_copy_file *f, const char *kind)
{
	return c->o->check != SLU_CHECK_OFF && slu_starts(f->sum, kind);
}

static bool keeps_sums(const struct slu_copy *c)
{
	return c->o->check != SLU_CHECK_OFF && slu_store_can(c->to, SLU_CAP_PROPS);
}

/* Must the bytes be hashed: to be checked, or to be kept with the file?  In their order: one thread's work. */
static bool wants_md5(const struct slu_copy *c, const struct slu_copy_file *f)
{
	return stored(c, f, "md5:") || (keeps_sums(c) && f->size <= c->to->md5_max);
}

static bool wants_crc64(const struct slu_copy *c, const struct slu_copy_file *f)
{
	return stored(c, f, SLU_CRC64_SUM) || (keeps_sums(c) && !wants_md5(c, f));
}

/* What the source computes of a file whose bytes come without a checksum; "" when it tells none. */
static void ask_sum(const struct slu_copy *c, const struct slu_copy_file *f, char want[SLU_ID_MAX])
{
	struct slu_err e;
	struct slu_op op;

	want[0] = '\0';
	if (c->o->check == SLU_CHECK_OFF || stored(c, f, "md5:") || stored(c, f, SLU_CRC64_SUM) ||
	    f->version || !f->size)
		return;
	slu_op_stat(&op, f->path);
	op.flags = SLU_OPF_SUM;
	op.if_match = pin(f);
	if (slu_store_wait(f->from, &op, &e) < 0)
		slu_debug("copy", "no checksum to compare with: %s", e.msg);
	else if (!pin(f) || slu_streq(op.attr.id, f->id))
		memcpy(want, op.attr.sum, SLU_ID_MAX);
}

/* Of the checksum that was asked for; what is stored with the file is judged as MD5. */
static int judge(const struct slu_copy *c, const struct slu_copy_file *f, struct slu_summer *s,
		 const char *want, struct slu_err *e)
{
	char got[SLU_ID_MAX];
	struct slu_attr now;
	int r = slu_summer_end(s, got);

	if (r < 0)
		return slu_fail(e, EIO, "cannot compute the checksum of '%s'", f->path);
	r = slu_check_sum(c->o->check, f->path, want, got, e);
	if (r == -EBADMSG && pin(f) && slu_store_stat(f->from, f->path, &now, NULL) == 0 &&
	    !slu_streq(now.id, f->id))
		return slu_fail(e, ESTALE, "'%s' changed while it was copied", f->path);
	return r;
}

/* The stored sum against the same of what came. */
static int check_stored(const struct slu_copy *c, const struct slu_copy_file *f,
			const struct sums *sums, struct slu_err *e)
{
	bool md5 = stored(c, f, "md5:"), crc64 = stored(c, f, SLU_CRC64_SUM);
	char got[SLU_ID_MAX] = "";

	if (md5 && sums->md5)
		slu_md5_text(sums->md5, got);
	else if (crc64 && sums->crc64)
		slu_crc64_text(*sums->crc64, got);
	return slu_check_kept(c->o->check, f->from, f->path, f->version, pin(f), f->path,
			      md5 || crc64 ? f->sum : "", got, e);
}

/* What of it all is known to be right. */
static int check(const struct slu_copy *c, const struct slu_copy_file *f, const struct sums *sums,
		 struct slu_summer *s, const char *want, struct slu_err *e)
{
	return *want ? judge(c, f, s, want, e) : check_stored(c, f, sums, e);
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

static unsigned bare(const struct slu_copy *c)
{
	return c->o->check == SLU_CHECK_OFF ? SLU_OPF_BARE : 0;
}

/* props with the sums, where the destination keeps such things: short files and those that have an MD5 already that,
 * others the CRC64. */
static void set_props(const struct slu_copy *c, struct slu_op *op, const struct sums *sums,
		      struct slu_props *room)
{
	bool kept = slu_store_can(c->to, SLU_CAP_PROPS) && (sums->md5 || sums->crc64);

	*room = c->o->props ? *c->o->props : (struct slu_props){0};
	room->md5 = sums->md5;
	room->crc64 = sums->md5 ? NULL : sums->crc64;
	if (c->o->props || kept)
		op->props = room;
}

static int canceled(const struct slu_copy_file *f, struct slu_err *e)
{
	return slu_fail(e, ECANCELED, "copy of '%s' canceled", f->path);
}

/* --- short files --- */

/* Is what was read whole right?  bare: it came without a checksum. */
static int check_short(const struct slu_copy *c, const struct slu_copy_file *f, const char *buf,
		       bool bare, const struct sums *sums, struct slu_err *e)
{
	SLU_AUTO(slu_summer_done) struct slu_summer sum = {0};
	char want[SLU_ID_MAX] = "";

	if (bare)
		ask_sum(c, f, want);
	if (*want &&
	    (slu_summer_begin(&sum, want) < 0 || slu_summer_add(&sum, buf, (size_t)f->size) < 0))
		return slu_fail_oom(e);
	return check(c, f, sums, &sum, want, e);
}

static int copy_short(struct slu_copy *c, const struct slu_copy_file *f, char *buf,
		      struct slu_err *e)
{
	uint8_t md5[SLU_DIGEST_MAX];
	uint64_t crc = 0;
	struct sums sums = {.md5 = wants_md5(c, f) ? md5 : NULL,
			    .crc64 = wants_crc64(c, f) ? &crc : NULL};
	struct slu_props room;
	struct slu_op op = {0};
	int r = 0;

	if (f->size) {
		slu_op_read(&op, f->path, 0, (size_t)f->size, buf, pin(f));
		op.version = f->version;
		r = slu_store_wait(f->from, &op, e);
	}
	if (r == 0 && sums.md5 && slu_digest(SLU_MD5, buf, (size_t)f->size, md5) < 0)
		r = slu_fail(e, EIO, "cannot compute the checksum of '%s'", f->path);
	if (r == 0 && sums.crc64)
		crc = slu_crc64(0, buf, (size_t)f->size);
	if (r == 0)
		r = check_short(c, f, buf, op.unchecked, &sums, e);
	if (r < 0)
		return r;
	slu_op_put(&op, f->to, buf, (size_t)f->size, c->o->flags | bare(c));
	set_props(c, &op, &sums, &room);
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

/* The lane took long for its block: one more, if there is something to do for it.  a is still running. */
static void more_lanes(const struct lane *a)
{
	struct longfile *l = a->l;
	struct lane *b = NULL;

	if (slu_now() - a->begun < (int64_t)(a->len * SLU_SEC / LANE_RATE))
		return;
	pthread_mutex_lock(&l->lock);
	if (l->begun < l->lanes && l->next < l->f->size && !l->err.code) {
		b = &l->lane[l->begun++];
		l->running++;
	}
	pthread_mutex_unlock(&l->lock);
	if (!b)
		return;
	b->work = (struct slu_work){.fn = go_on};
	slu_pool_add(l->c->pool, &b->work);
}

static void written(struct slu_op *op)
{
	struct lane *a = op->user;

	came_back(a);
	if (op->rc == 0) {
		atomic_fetch_add(&a->l->c->bytes, a->len);
		more_lanes(a);
	}
	half_done(a, op->rc < 0 ? &op->err : NULL);
}

static void write_block(struct lane *a)
{
	slu_op_put_block(&a->op, a->l->f->to, a->l->resume.txn, a->off, a->buf, a->len);
	a->op.flags = bare(a->l->c);
	a->op.crc64 = a->l->crc_on ? &a->crc : NULL;
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
		int r = l->hasher ? slu_hasher_add(l->hasher, a->buf, a->len) : 0;

		if (r == 0)
			r = slu_summer_add(&l->sum, a->buf, a->len);
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
	bool now, over, there = slu_resume_has(&l->resume, a->off);
	uint64_t share = 0;

	came_back(a);
	if (op->rc < 0) {
		end_lane(l, &op->err);
		return;
	}
	if (l->crc_on) {
		a->crc = slu_crc64(0, a->buf, a->len);
		share = slu_crc64_join(a->crc, 0, l->f->size - a->off - a->len);
	}
	pthread_mutex_lock(&l->lock);
	l->crc ^= share;
	over = l->err.code;
	now = l->hash && a->off == l->hashed;
	a->halves = l->hash + !there; /* nobody reads what is there for nothing */
	if (l->hash && !now && !over) {
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
	if (!there) {
		write_block(a);
		return;
	}
	atomic_fetch_add(&l->c->bytes, a->len);
	if (!l->hash) {
		a->work = (struct slu_work){.fn = go_on};
		slu_pool_add(l->c->pool, &a->work);
	}
}

/* Locked.  What is there is read only to be hashed. */
static void pass_over(struct longfile *l)
{
	uint64_t left;

	while (!l->hash && !l->crc_on && (left = l->f->size - l->next) &&
	       slu_resume_has(&l->resume, l->next)) {
		if (left > l->block)
			left = l->block;
		l->next += left;
		atomic_fetch_add(&l->c->bytes, left);
	}
}

static void begin_block(struct lane *a)
{
	struct longfile *l = a->l;
	uint64_t left;
	bool over;

	pthread_mutex_lock(&l->lock);
	pass_over(l);
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
	a->begun = slu_now();
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
	unsigned useful = slu_blocks_lanes(l->c->to, l->block), n = 1;
	unsigned lanes = useful && useful < LANES_FILE ? useful : LANES_FILE;
	unsigned most = blocks < lanes ? (unsigned)blocks : lanes;

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

/* The blocks; 0 when all are written and the stored checksum, if any, is that of the bytes.  md5: to be filled. */
static int copy_blocks(struct longfile *l, uint8_t *md5, const struct sums *sums, struct slu_err *e)
{
	if (!l->lanes)
		return slu_fail_oom(e);
	for (unsigned i = 0; i < l->lanes; i++) {
		l->lane[i].l = l;
		l->lane[i].buf = slu_malloc(l->block);
		if (!l->lane[i].buf)
			return slu_fail_oom(e);
	}
	l->begun = l->running = l->lanes < LANES_FIRST ? l->lanes : LANES_FIRST;
	for (unsigned i = 0; i < LANES_FIRST && i < l->lanes; i++)
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
	return check(l->c, l->f, sums, &l->sum, l->want, e);
}

static int commit(struct longfile *l, const struct sums *sums, struct slu_err *e)
{
	struct slu_props room;
	struct slu_op op;

	slu_op_commit(&op, l->f->to, l->resume.txn, l->f->size, l->c->o->flags);
	op.len = l->block;
	set_props(l->c, &op, sums, &room);
	return ended(l->f, &op, slu_store_wait(l->c->to, &op, e), e);
}

/* What it has to be given back is in *l from the start. */
static int begin_long(struct longfile *l, struct slu_err *e)
{
	struct slu_copy *c = l->c;
	const struct slu_copy_file *f = l->f;
	int r;

	l->block = slu_blocks_unit(c->to, f->size);
	if (!l->block)
		return slu_fail(e, EFBIG, "'%s' is too long for '%s': it has %llu bytes", f->path,
				f->to, (unsigned long long)f->size);
	if (!c->to->blocks_max && l->block < READ_MAX && f->from->block > l->block)
		l->block = f->from->block < READ_MAX ? f->from->block : READ_MAX;
	if (slu_store_can(f->from, SLU_CAP_BARE_READ))
		ask_sum(c, f, l->want);
	if ((wants_md5(c, f) && slu_hasher_new(SLU_MD5, &l->hasher) < 0) ||
	    slu_summer_begin(&l->sum, l->want) < 0)
		return slu_fail_oom(e);
	l->hash = l->hasher || slu_summer_on(&l->sum);
	l->crc_on = wants_crc64(c, f);
	r = slu_resume_begin(&l->resume, c, f, l->block);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot begin to write '%s'", f->to);
	l->lanes = take_lanes(l);
	return 0;
}

static int write_long(struct longfile *l, struct slu_err *e)
{
	uint8_t md5[SLU_DIGEST_MAX];
	struct sums sums = {.md5 = l->hasher ? md5 : NULL, .crc64 = l->crc_on ? &l->crc : NULL};
	struct slu_op op;
	int r = copy_blocks(l, md5, &sums, e);

	if (r == 0)
		r = commit(l, &sums, e);
	if (r < 0 && !slu_resume_keeps(&l->resume, r)) {
		slu_op_abort(&op, l->f->to, l->resume.txn);
		(void)slu_store_wait(l->c->to, &op, NULL);
	}
	return r;
}

static int copy_long(struct slu_copy *c, const struct slu_copy_file *f, struct slu_err *e)
{
	struct longfile l = {.c = c, .f = f, .resume.fd = -1};
	pthread_condattr_t attr;
	int r = check_absent(c, f, e);

	if (r < 0)
		return r;
	pthread_mutex_init(&l.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l.idle, &attr);
	pthread_condattr_destroy(&attr);
	r = begin_long(&l, e);
	if (r == 0)
		r = write_long(&l, e);
	give_lanes(&l);
	for (unsigned i = 0; i < l.lanes; i++)
		free(l.lane[i].buf);
	pthread_cond_destroy(&l.idle);
	pthread_mutex_destroy(&l.lock);
	slu_hasher_free(l.hasher);
	slu_resume_end(&l.resume);
	slu_summer_done(&l.sum);
	return r;
}

/* --- without us --- */

/* The services among themselves.  -ENOTSUP: not these two. */
static int copy_served(struct slu_copy *c, const struct slu_copy_file *f, struct slu_err *e)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = f->size};
	struct slu_source source = {0};
	struct slu_props room;
	uint64_t crc = 0;
	struct sums sums = {0};
	struct slu_op op;
	int r;

	memcpy(a.id, f->id, sizeof(a.id));
	memcpy(a.sum, f->sum, sizeof(a.sum));
	r = slu_store_source(f->from, f->path, &a, &source, e);
	if (r < 0)
		return r;
	slu_op_copy(&op, f->to, &source, c->o->flags);
	/* what the service takes along of it is of the source's own blocks */
	if (stored(c, f, SLU_CRC64_SUM) && slu_crc64_read(f->sum, &crc) &&
	    slu_sum_stands(f->from, f->path, NULL, pin(f), f->sum))
		sums.crc64 = &crc;
	set_props(c, &op, &sums, &room);
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
