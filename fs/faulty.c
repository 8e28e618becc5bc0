/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults by rule, between the layers and the driver, so that failures are tested in the real
 * stack.  Of the rules that fit an op the first that fires decides.  What the rules mean is in
 * faulty_rules.c.
 */
#include "fs/faulty.h"

#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/park.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define LOOK_NS (10 * SLU_MS)

struct faulty {
	struct slu_store s;
	struct slu_faulty_rules *rules;
	struct slu_park *park;
};

/* READ short: the bytes came, but not all of them. */
static void cut(struct slu_op *op)
{
	slu_op_pop(op);
	if (op->rc == 0)
		op->rc = slu_fail(&op->err, EIO, "'%s' was cut after %zu of %zu bytes (injected)",
				  op->path, op->len / 2, op->len);
	op->done(op);
}

/* It was done, but the answer never came. */
static void lose(struct slu_op *op)
{
	slu_op_pop(op);
	if (op->rc == 0)
		op->rc = slu_fail(&op->err, ETIMEDOUT, "no answer to %s '%s' (injected)",
				  slu_op_name(op->type), op->path);
	op->done(op);
}

/* As by kill -9: nothing of the program runs any more. */
static void die(struct slu_op *op)
{
	(void)op;
	kill(getpid(), SIGKILL);
}

static void forward(struct slu_op *op, void *arg)
{
	slu_store_submit(arg, op);
}

static void time_out(struct slu_op *op, void *arg)
{
	(void)arg;
	slu_fail(&op->err, ETIMEDOUT, "cannot %s '%s' in time (injected)", slu_op_name(op->type),
		 op->path);
	slu_op_finish(op, -ETIMEDOUT);
}

static void fail(struct slu_op *op, int code)
{
	slu_fail_sys(&op->err, code, "cannot %s '%s' (injected)", slu_op_name(op->type), op->path);
	slu_op_finish(op, -code);
}

/* As long as the file is there, a little later again. */
static void look(struct slu_op *op, void *arg)
{
	struct faulty *f = arg;
	int r = 0;

	if (access(slu_faulty_rules_file(f->rules), F_OK) < 0)
		slu_store_submit(f->s.below, op);
	else
		r = slu_park_op(f->park, op, slu_deadline_in(LOOK_NS), look, f);
	if (r < 0)
		fail(op, -r);
}

static void faulty_submit(struct slu_store *s, struct slu_op *op)
{
	struct faulty *f = (struct faulty *)s;
	struct slu_faulty_action a = slu_faulty_rules_ask(f->rules, op->type);
	int r = 0;

	switch (a.what) {
	case SLU_FAULTY_NONE:
		break;
	case SLU_FAULTY_ERRNO:
		fail(op, a.code);
		return;
	case SLU_FAULTY_SHORT:
		slu_op_push(op, cut, f);
		break;
	case SLU_FAULTY_LOST:
		slu_op_push(op, lose, f);
		break;
	case SLU_FAULTY_KILL:
		die(op);
		break;
	case SLU_FAULTY_KILLED:
		slu_op_push(op, die, f);
		break;
	case SLU_FAULTY_DELAY:
		r = slu_park_op(f->park, op, slu_deadline_in(a.ns), forward, s->below);
		if (r < 0)
			fail(op, -r);
		return;
	case SLU_FAULTY_WHILE:
		look(op, f);
		return;
	case SLU_FAULTY_HANG:
		r = slu_park_op(f->park, op, op->deadline, time_out, NULL);
		if (r < 0)
			fail(op, -r);
		return;
	}
	slu_store_submit(s->below, op);
}

static void faulty_cancel(struct slu_store *s, struct slu_op *op)
{
	if (!slu_park_cancel(((struct faulty *)s)->park, op))
		slu_store_cancel(s->below, op);
}

static void faulty_free(struct slu_store *s)
{
	struct faulty *f = (struct faulty *)s;

	slu_faulty_rules_free(f->rules);
	slu_park_free(f->park);
	free(f);
}

/* Who has a descriptor would read past the faults of reads. */
static int faulty_descriptor(struct slu_store *s, const char *path, const char *id, int *ret_fd)
{
	if (slu_faulty_rules_touch(((struct faulty *)s)->rules, SLU_OP_READ))
		return -ENOTSUP;
	return slu_store_descriptor(s->below, path, id, ret_fd);
}

static const struct slu_store_ops faulty_ops = {.descriptor = faulty_descriptor,
						.name = "faulty",
						.submit = faulty_submit,
						.cancel = faulty_cancel,
						.free = faulty_free};

int slu_faulty_push(struct slu_store **s, const char *rules, struct slu_loops *loops,
		    struct slu_err *e)
{
	struct faulty *f = slu_new0(struct faulty);
	int r = f ? slu_faulty_rules_parse(rules, &f->rules, e) : slu_fail_oom(e);

	if (r == 0 && slu_park_new(loops, &f->park) < 0)
		r = slu_fail_oom(e);
	if (r < 0) {
		if (f)
			faulty_free(&f->s);
		return r;
	}
	f->s = **s;
	f->s.ops = &faulty_ops;
	f->s.below = *s;
	*s = &f->s;
	return 0;
}
