/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question (pipe_probe.h) is for the checksum of the block that is being written: whatever a DataNode says to that,
 * it is alive.
 */
#include "hdfs/pipe_probe.h"

#include "common/mem.h"
#include "common/time.h"
#include "hdfs/dnask.h"

#include <errno.h>

#define OP_CHECKSUM 85
#define REQUEST_MAX (64u << 10)

struct ask {
	struct slu_dn_ask a;
	struct slu_pipe_probe *b;
	bool busy;
};

struct slu_pipe_probe {
	void (*done)(void *user, uint64_t still);
	void *user;
	struct slu_buf request;
	struct slu_timer *timer; /* done() is called by it, from nobody's middle */
	uint64_t still;
	unsigned busy, n;
	bool freed;
	struct ask ask[];
};

static void destroy(struct slu_pipe_probe *b)
{
	slu_timer_free(b->timer);
	slu_buf_done(&b->request);
	free(b);
}

static void answered(struct slu_dn_ask *a)
{
	struct ask *k = a->user;
	struct slu_pipe_probe *b = k->b;

	k->busy = false;
	if (!a->rc)
		slu__pb__block_op_response__free_unpacked(a->answer, NULL);
	else if (a->rc != -EREMOTEIO && a->rc != -EKEYEXPIRED && a->rc != -ENOMEM)
		b->still |= 1ull << (k - b->ask);
	if (--b->busy)
		return;
	if (b->freed)
		destroy(b);
	else
		slu_timer_set(b->timer, slu_now());
}

static void over(void *arg)
{
	struct slu_pipe_probe *b = arg;

	b->done(b->user, b->still);
}

static int make_request(struct slu_pipe_probe *b, const struct slu_pipe *p)
{
	Slu__Pb__BaseHeader base = SLU__PB__BASE_HEADER__INIT;
	Slu__Pb__OpBlockChecksum op = SLU__PB__OP_BLOCK_CHECKSUM__INIT;

	base.block = p->block->b;
	base.token = p->block->token;
	op.header = &base;
	b->request = SLU_BUF(REQUEST_MAX);
	slu_dn_request(&b->request, OP_CHECKSUM, &op.base);
	return slu_buf_err(&b->request);
}

int slu_pipe_probe_new(const struct slu_pipe *p, int64_t wait,
		       void (*done)(void *user, uint64_t still), void *user,
		       struct slu_pipe_probe **ret)
{
	unsigned n = p->block->n_locs < 64 ? (unsigned)p->block->n_locs : 64;
	struct slu_pipe_probe *b = slu_calloc(1, sizeof(*b) + n * sizeof(b->ask[0]));

	if (!b)
		return -ENOMEM;
	b->done = done;
	b->user = user;
	b->n = b->busy = n;
	if (make_request(b, p) || slu_timer_new(p->loop, over, b, &b->timer)) {
		destroy(b);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < n; i++) {
		b->ask[i] = (struct ask){.b = b, .busy = true};
		b->ask[i].a = (struct slu_dn_ask){.loop = p->loop,
						  .pool = p->pool,
						  .trust = p->trust,
						  .token = p->block->token,
						  .node = p->block->locs[i],
						  .request = b->request.p,
						  .request_len = b->request.len,
						  .deadline = slu_deadline_in(wait),
						  .done = answered,
						  .user = &b->ask[i]};
		slu_dn_ask(&b->ask[i].a);
	}
	*ret = b;
	return 0;
}

void slu_pipe_probe_free(struct slu_pipe_probe *b)
{
	if (!b)
		return;
	b->freed = true;
	if (!b->busy) {
		destroy(b);
		return;
	}
	b->busy++;
	for (unsigned i = 0; i < b->n; i++)
		if (b->ask[i].busy)
			slu_dn_ask_cancel(&b->ask[i].a);
	if (!--b->busy)
		destroy(b);
}
