/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file from a buffer: create, for each of its blocks addBlock and a pipeline, complete.  What a pipeline had
 * taken when it broke is not mended but given up (abandonBlock) and written again without the DataNode that
 * failed: all of it is still there, and nobody sees the file yet.  (DataStreamer.java, ClientProtocol.java)
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/native_write.h"

#include <errno.h>
#include <string.h>

#define CREATE_OR_REPLACE 3
#define FILE_MODE 0644
#define DEFAULTS_NS (3600 * SLU_SEC)
#define TRIES_MAX 6 /* pipelines of one block */
#define PAUSE_MIN_NS (4 * SLU_MS)
#define PAUSE_MAX_NS (500 * SLU_MS)
#define SHUN_NS (60 * SLU_SEC)
#define SHUN_MAX 16
/* A DataNode that was held up, or that the NameNode took for dead, comes back: so long a block waits for one, and so often
 * those left out are asked for again. */
#define NO_PLACE_NS (20 * SLU_SEC)
#define FORGIVE_NS (5 * SLU_SEC)
#define UNWRITABLE_NS (60 * SLU_SEC)

static void next_block(struct slu_nreq *q);
static void complete(struct slu_nreq *q);

/* --- DataNodes that failed, for the files that come next --- */

struct slu_shun {
	struct {
		int64_t until;
		uint8_t *msg; /* the packed DatanodeInfo */
		size_t len;
	} at[SHUN_MAX];
	unsigned next;
	int64_t troubled; /* until then it is remembered that one failed, also when it was forgiven */
};

static void shun_clear(struct slu_shun *s)
{
	for (unsigned i = 0; i < SHUN_MAX; i++)
		free(slu_take(s->at[i].msg));
}

void slu_native_shun_free(struct slu_shun *s)
{
	if (s)
		shun_clear(s);
	free(s);
}

/* Best effort: without memory it is only asked in vain. */
static void shun(struct slu_shard *s, const Slu__Pb__DatanodeInfo *node)
{
	size_t n = slu__pb__datanode_info__get_packed_size(node);
	uint8_t *msg = slu_malloc(n);
	struct slu_shun *all = s->shun ? s->shun : (s->shun = slu_new0(struct slu_shun));

	if (!msg || !all) {
		free(msg);
		return;
	}
	unsigned i = all->next++ % SHUN_MAX;

	free(all->at[i].msg);
	all->at[i].msg = msg;
	all->at[i].len = slu__pb__datanode_info__pack(node, msg);
	all->at[i].until = all->troubled = slu_deadline_in(SHUN_NS);
}

static void exclude(struct slu_nwrite *w, const uint8_t *msg, size_t n)
{
	Slu__Pb__DatanodeInfo *d = slu__pb__datanode_info__unpack(NULL, n, msg);

	if (d && !slu_vec_push(&w->exclude, d))
		slu__pb__datanode_info__free_unpacked(d, NULL);
}

static void exclude_shunned(struct slu_nreq *q)
{
	const struct slu_shun *s = q->s->shun;

	for (unsigned i = 0; s && i < SHUN_MAX; i++)
		if (s->at[i].msg && s->at[i].until > slu_now())
			exclude(q->w, s->at[i].msg, s->at[i].len);
}

static void forget_excluded(struct slu_nwrite *w)
{
	for (size_t i = 0; i < w->exclude.n; i++)
		slu__pb__datanode_info__free_unpacked(w->exclude.p[i], NULL);
	w->exclude.n = 0;
}

/* --- the end --- */

static void drop_block(struct slu_nwrite *w)
{
	if (w->block)
		slu__pb__add_block_response__free_unpacked(w->block, NULL);
	w->block = NULL;
}

static void closed(struct slu_nreq *q)
{
	if (q->w->open)
		slu_lease_del(q->s->lease);
	q->w->open = false;
}

void slu_native_file_done(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;

	closed(q);
	drop_block(w);
	forget_excluded(w);
	free(slu_take(w->exclude.p));
	free(slu_take(w->pool));
	slu_timer_free(w->timer);
	w->timer = NULL;
}

static void finish(struct slu_nreq *q, int rc)
{
	closed(q);
	drop_block(q->w);
	q->w->then(q, rc);
}

static void finish_as(struct slu_nreq *q, int code, const char *why)
{
	finish(q, slu_fail(&q->op->err, code, "%s", why));
}

/* Not by these protocols: the caller removes what there is and hands the op back. */
static void finish_back(struct slu_nreq *q, int rc, const char *why)
{
	q->w->back = why;
	finish(q, rc);
}

/* --- pauses --- */

static void on_pause(void *arg)
{
	struct slu_nreq *q = arg;

	q->w->resume(q);
}

/* Calls resume after a pause that grows from time to time. */
static void later(struct slu_nreq *q, void (*resume)(struct slu_nreq *q), const char *why)
{
	struct slu_nwrite *w = q->w;
	int64_t pause = PAUSE_MIN_NS << (w->waits < 8 ? w->waits : 8);
	int64_t at = slu_deadline_in(pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS);

	w->waits++;
	w->resume = resume;
	if (at >= q->deadline)
		finish_as(q, ETIMEDOUT, why);
	else if (!w->timer && slu_timer_new(q->s->loop, on_pause, q, &w->timer))
		finish(q, slu_fail_oom(&q->op->err));
	else
		slu_timer_set(w->timer, at);
}

void slu_native_file_cancel(struct slu_nreq *q)
{
	if (q->w->piping)
		slu_pipe_cancel(&q->w->pipe);
	else if (q->w->timer && slu_timer_cancel(q->w->timer))
		finish(q, slu_fail(&q->op->err, ECANCELED, "canceled"));
}

/* --- blocks --- */

static void got_abandoned(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	drop_block(q->w);
	if (c->rpc.rc) {
		q->op->err = c->rpc.err;
		finish(q, c->rpc.rc);
	} else {
		next_block(q);
	}
}

static void abandon(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	Slu__Pb__AbandonBlockRequest m = SLU__PB__ABANDON_BLOCK_REQUEST__INIT;

	m.b = w->block->block->b;
	m.src = (char *)w->path;
	m.holder = q->n->client;
	m.has_file_id = 1;
	m.file_id = w->file_id;
	slu_nreq_ask(q, "abandonBlock", &m.base, got_abandoned);
}

static void leave_out(struct slu_nreq *q, const Slu__Pb__DatanodeInfo *node)
{
	struct slu_nwrite *w = q->w;
	uint8_t msg[1024];

	shun(q->s, node);
	if (slu__pb__datanode_info__get_packed_size(node) <= sizeof(msg))
		exclude(w, msg, slu__pb__datanode_info__pack(node, msg));
}

static void leave_out_failed(struct slu_nreq *q)
{
	const struct slu_pipe *p = &q->w->pipe;

	for (unsigned i = 0; i < p->block->n_locs; i++)
		if (i == p->bad || p->still >> i & 1)
			leave_out(q, p->block->locs[i]);
}

static void block_failed(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	int rc = w->pipe.rc;

	q->op->err = w->pipe.err;
	if (rc == -ECANCELED || rc == -ENOMEM || slu_expired(q->deadline)) {
		finish(q, rc);
	} else if (++w->tries >= TRIES_MAX) {
		if (!w->wrote)
			atomic_store(&q->n->unwritable_until, slu_deadline_in(UNWRITABLE_NS));
		q->op->err.code = EAGAIN;
		finish_back(q, -EAGAIN, w->wrote ? NULL : "its DataNodes take no data");
	} else {
		slu_debug("hdfs", "a block of '%s' is written again: %s", w->path, w->pipe.err.msg);
		if (rc != -EKEYEXPIRED)
			leave_out_failed(q);
		abandon(q);
	}
}

static void pipe_done(struct slu_pipe *p)
{
	struct slu_nreq *q = p->user;
	struct slu_nwrite *w = q->w;

	w->piping = false;
	if (p->rc) {
		block_failed(q);
		return;
	}
	free(w->pool);
	w->pool = slu_strdup(w->block->block->b->pool_id);
	if (!w->pool) {
		finish(q, slu_fail_oom(&q->op->err));
		return;
	}
	w->last = *w->block->block->b;
	w->last.pool_id = w->pool;
	w->last.has_num_bytes = 1;
	w->last.num_bytes = w->block_len;
	w->has_last = w->wrote = true;
	w->pos += w->block_len;
	w->tries = w->waits = 0;
	w->no_place = w->forgiven = 0;
	drop_block(w);
	if (w->pos < q->op->len)
		next_block(q);
	else
		complete(q);
}

static void send_block(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	const struct slu_defaults *d = &q->s->defaults;
	size_t rest = q->op->len - w->pos;

	w->block_len = rest < d->block_size ? rest : (size_t)d->block_size;
	w->pipe = (struct slu_pipe){
		.loop = q->s->loop,
		.pool = q->n->conf.pool,
		.trust = &q->n->trust,
		.client = q->n->client,
		.block = w->block->block,
		.data = (const char *)q->op->data + w->pos,
		.len = w->block_len,
		.sum_type = d->sum_type,
		.chunk = d->chunk,
		.sync = q->op->flags & SLU_OPF_DURABLE,
		.deadline = q->deadline,
		.done = pipe_done,
		.user = q,
	};
	w->piping = true;
	slu_pipe_start(&w->pipe);
}

static void forgive(struct slu_nreq *q)
{
	q->w->forgiven = slu_now();
	q->w->tries = 0; /* time is what ends it */
	forget_excluded(q->w);
	if (q->s->shun)
		shun_clear(q->s->shun);
	next_block(q);
}

/* DataNodes failed a moment ago, and the NameNode has no place for a block: is another one worth waiting for? */
static bool may_come(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;

	if (!w->exclude.n && (!q->s->shun || q->s->shun->troubled < slu_now()))
		return false;
	if (!w->no_place)
		w->no_place = slu_deadline_in(NO_PLACE_NS);
	return !slu_expired(w->no_place) && slu_deadline_in(PAUSE_MAX_NS) < q->deadline;
}

/* The NameNode has no place for a block: perhaps only since some were left out. */
static void no_block(struct slu_nreq *q, const struct slu_nn_call *c)
{
	struct slu_nwrite *w = q->w;

	q->op->err = c->rpc.err;
	if (slu_streq(c->rpc.err.svc, "NotReplicatedYetException"))
		later(q, next_block, "the block before did not get the copies it needs in time");
	else if (c->rpc.rc != -EAGAIN || !may_come(q))
		finish(q, c->rpc.rc != -EAGAIN || !w->pipe.err.code
				  ? c->rpc.rc
				  : slu_fail(&q->op->err, EAGAIN,
					     "no DataNode is left that takes data: %s",
					     w->pipe.err.msg));
	else if (!w->forgiven || slu_now() - w->forgiven >= FORGIVE_NS)
		forgive(q);
	else
		later(q, next_block, "the NameNode had no place for a block in time");
}

static void got_block(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;

	q->info_busy = false;
	if (c->rpc.rc) {
		no_block(q, c);
		return;
	}
	q->w->block = slu__pb__add_block_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	if (!q->w->block)
		finish_as(q, EPROTO, SLU_NATIVE_NONSENSE);
	else if (!q->w->block->block->n_locs)
		finish_as(q, EAGAIN, "the NameNode knows no DataNode that takes data");
	else
		send_block(q);
}

static void next_block(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	Slu__Pb__AddBlockRequest m = SLU__PB__ADD_BLOCK_REQUEST__INIT;

	m.src = (char *)w->path;
	m.client_name = q->n->client;
	m.previous = w->has_last ? &w->last : NULL;
	m.has_file_id = 1;
	m.file_id = w->file_id;
	m.n_exclude_nodes = w->exclude.n;
	m.exclude_nodes = w->exclude.p;
	slu_nreq_ask(q, "addBlock", &m.base, got_block);
}

/* --- the end of the file --- */

static void got_complete(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	int yes;

	q->info_busy = false;
	if (c->rpc.rc) {
		q->op->err = c->rpc.err;
		finish(q, c->rpc.rc);
		return;
	}
	yes = slu_native_yes(c);
	if (yes < 0)
		finish_as(q, EPROTO, SLU_NATIVE_NONSENSE);
	else if (!yes)
		later(q, complete, "its last block did not get the copies it needs in time");
	else
		finish(q, 0);
}

static void complete(struct slu_nreq *q)
{
	struct slu_nwrite *w = q->w;
	Slu__Pb__CompleteRequest m = SLU__PB__COMPLETE_REQUEST__INIT;

	m.src = (char *)w->path;
	m.client_name = q->n->client;
	m.last = w->has_last ? &w->last : NULL;
	m.has_file_id = 1;
	m.file_id = w->file_id;
	slu_nreq_ask(q, "complete", &m.base, got_complete);
}

/* --- the beginning --- */

/* True: the file cannot be begun, and that has been dealt with. */
static bool refused(struct slu_nreq *q, const struct slu_nn_call *c)
{
	const char *why = slu_nreq_closed(q, c);

	if (!c->rpc.rc)
		return false;
	q->op->err = c->rpc.err;
	if (slu_streq(c->rpc.err.svc, "UnknownCryptoProtocolVersionException")) {
		why = "files there are encrypted";
		q->op->err.code = ENOTSUP;
	}
	finish_back(q, -q->op->err.code, why);
	return true;
}

static void got_created(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	struct slu_nwrite *w = q->w;
	Slu__Pb__CreateResponse *m;
	const Slu__Pb__FileStatus *fs;
	const char *back = NULL;

	q->info_busy = false;
	if (refused(q, c))
		return;
	m = slu__pb__create_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	fs = m ? m->fs : NULL;
	if (fs) {
		w->file_id = fs->file_id;
		w->open = true;
		slu_lease_add(q->s->lease);
		back = fs->encryption  ? "files there are encrypted"
		       : fs->ec_policy ? "files there are erasure-coded"
				       : NULL;
	}
	if (m)
		slu__pb__create_response__free_unpacked(m, NULL);
	if (!fs)
		finish_as(q, EPROTO, SLU_NATIVE_NONSENSE);
	else if (back)
		finish_back(q, slu_fail(&q->op->err, ENOTSUP, "%s", back), back);
	else if (q->op->len)
		next_block(q);
	else
		complete(q);
}

static void create(struct slu_nreq *q)
{
	const struct slu_defaults *d = &q->s->defaults;
	Slu__Pb__Permission mode = SLU__PB__PERMISSION__INIT;
	Slu__Pb__CreateRequest m = SLU__PB__CREATE_REQUEST__INIT;

	mode.perm = FILE_MODE;
	m.src = (char *)q->w->path;
	m.masked = &mode;
	m.client_name = q->n->client;
	m.create_flag = CREATE_OR_REPLACE;
	m.create_parent = 1;
	m.replication = d->replication;
	m.block_size = d->block_size;
	slu_nreq_ask(q, "create", &m.base, got_created);
}

static bool take_defaults(struct slu_shard *s, const Slu__Pb__GetServerDefaultsResponse *m)
{
	const Slu__Pb__FsServerDefaults *f = m ? m->defaults : NULL;

	if (!f || !f->block_size || f->bytes_per_checksum < 64 ||
	    f->bytes_per_checksum > (64u << 10) || f->block_size % f->bytes_per_checksum)
		return false;
	s->defaults = (struct slu_defaults){
		.until = slu_deadline_in(DEFAULTS_NS),
		.block_size = f->block_size,
		.replication = f->replication,
		.sum_type = f->has_checksum_type && f->checksum_type == 1 ? 1 : 2,
		.chunk = f->bytes_per_checksum,
	};
	return true;
}

static void got_defaults(struct slu_nn_call *c)
{
	struct slu_nreq *q = c->user;
	Slu__Pb__GetServerDefaultsResponse *m;
	bool fine;

	q->info_busy = false;
	if (refused(q, c))
		return;
	m = slu__pb__get_server_defaults_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	fine = take_defaults(q->s, m);
	if (m)
		slu__pb__get_server_defaults_response__free_unpacked(m, NULL);
	if (fine)
		create(q);
	else
		finish_as(q, EPROTO, SLU_NATIVE_NONSENSE);
}

void slu_native_file(struct slu_nreq *q, const char *path, void (*then)(struct slu_nreq *q, int rc))
{
	struct slu_nwrite *w = q->w;
	Slu__Pb__GetServerDefaultsRequest m = SLU__PB__GET_SERVER_DEFAULTS_REQUEST__INIT;

	w->path = path;
	w->then = then;
	exclude_shunned(q);
	if (q->s->defaults.until > slu_now())
		create(q);
	else
		slu_nreq_ask(q, "getServerDefaults", &m.base, got_defaults);
}
