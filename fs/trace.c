/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace layer: counts every op, and writes a line for each when asked (SLUICE_DEBUG=store).
 * It changes nothing.
 */
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "fs/layers.h"
#include "fs/stats.h"

#include <errno.h>
#include <stdatomic.h>

struct counts {
	atomic_uint_least64_t ops, errors, bytes, us;
};

struct trace {
	struct slu_store s;
	char *name;
	struct counts counts[_SLU_OP_MAX];
};

static atomic_uint_least64_t last_id;

static void add(atomic_uint_least64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static bool moves_bytes(enum slu_op_type type)
{
	return type == SLU_OP_READ || type == SLU_OP_PUT || type == SLU_OP_PUT_BLOCK;
}

static void count_bytes(struct counts *c, const struct slu_op *op)
{
	add(&c->bytes, op->len);
	slu_stat_add(op->type == SLU_OP_READ ? SLU_STAT_FETCHED : SLU_STAT_SENT, op->len);
}

static void traced(struct slu_op *op)
{
	int64_t ns = slu_now() - *slu_op_at(op), us = ns / 1000;
	struct trace *t = slu_op_pop(op);
	struct counts *c = &t->counts[op->type];

	add(&c->ops, 1);
	add(&c->us, (uint64_t)us);
	slu_stat_took(SLU_STAT_STORE + op->type, ns, op->rc);
	if (op->rc < 0)
		add(&c->errors, 1);
	else if (moves_bytes(op->type))
		count_bytes(c, op);
	slu_debug("store", "#%llu %s %s '%s' %llu+%zu rc %d, %lld us", (unsigned long long)op->id,
		  t->name, slu_op_name(op->type), op->path, (unsigned long long)op->off, op->len,
		  op->rc, (long long)us);
	op->done(op);
}

static void trace_submit(struct slu_store *s, struct slu_op *op)
{
	if (!op->id)
		op->id = 1 + atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed);
	slu_op_push(op, traced, s);
	*slu_op_at(op) = slu_now();
	slu_store_submit(s->below, op);
}

static void trace_free(struct slu_store *s)
{
	struct trace *t = (struct trace *)s;

	free(t->name);
	free(t);
}

static const struct slu_store_ops trace_ops = {
	.name = "trace", .submit = trace_submit, .free = trace_free};

int slu_trace_push(struct slu_store **s, const char *name)
{
	struct trace *t = slu_new0(struct trace);

	if (!t)
		return -ENOMEM;
	t->name = slu_strdup(name);
	if (!t->name) {
		free(t);
		return -ENOMEM;
	}
	t->s = **s;
	t->s.ops = &trace_ops;
	t->s.below = *s;
	*s = &t->s;
	return 0;
}

static int add_counts(struct json_t *all, enum slu_op_type type, struct counts *c)
{
	struct json_t *one = slu_json_object();

	if (!one)
		return -ENOMEM;
	if (slu_json_set_int(one, "ops", (int64_t)atomic_load(&c->ops)) < 0 ||
	    slu_json_set_int(one, "errors", (int64_t)atomic_load(&c->errors)) < 0 ||
	    slu_json_set_int(one, "bytes", (int64_t)atomic_load(&c->bytes)) < 0 ||
	    slu_json_set_int(one, "us", (int64_t)atomic_load(&c->us)) < 0) {
		slu_json_free(one);
		return -ENOMEM;
	}
	return slu_json_set(all, slu_op_name(type), one);
}

struct json_t *slu_trace_stats(struct slu_store *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;

	while (s && s->ops != &trace_ops)
		s = s->below;
	if (!s)
		return NULL;
	all = slu_json_object();
	for (int i = 0; all && i < _SLU_OP_MAX; i++) {
		struct counts *c = &((struct trace *)s)->counts[i];

		if (atomic_load(&c->ops) && add_counts(all, i, c) < 0)
			return NULL;
	}
	return slu_take(all);
}
