/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native driver (native.h): ops spread over the loops, what each loop has, cancels, and the way back
 * to WebHDFS.  What is asked of NameNodes and DataNodes is in native_names.c and native_read.c.
 */
#include "hdfs/native_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/native_write.h"
#include "io/crypt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define DEADLINE_NS (60 * SLU_SEC)
#define CLOSED_NS (60 * SLU_SEC)
#define SILENT_NS (5 * SLU_SEC)
#define CLEANING_NS (10 * SLU_SEC)
#define RENEW_NS (30 * SLU_SEC) /* half of the soft limit of a lease */
#define SLU_NATIVE_OP 1         /* op->drv_n: op->drv is a struct slu_nreq */

char *slu_native_path(const struct slu_native *n, const char *path)
{
	return slu_asprintf("%s%s%s", n->root, *path || !*n->root ? "/" : "", path);
}

/* --- the end of an op --- */

static void nreq_unref(struct slu_nreq *q)
{
	struct slu_native *n = q->n;
	bool last;

	pthread_mutex_lock(&n->lock);
	last = !--q->refs;
	pthread_mutex_unlock(&n->lock);
	if (last)
		free(q);
}

static struct slu_op *detach(struct slu_nreq *q)
{
	struct slu_op *op = q->op;

	pthread_mutex_lock(&q->n->lock); /* a cancel may be looking */
	op->drv = NULL;
	op->drv_n = 0;
	q->over = true;
	q->s->ops--;
	pthread_mutex_unlock(&q->n->lock);
	slu_native_read_done(q);
	slu_native_write_done(q);
	slu_native_sum_done(q);
	nreq_unref(q);
	return op;
}

void slu_nreq_end(struct slu_nreq *q, int rc)
{
	slu_op_finish(detach(q), rc);
}

void slu_nreq_explain(struct slu_nreq *q)
{
	const struct slu_op *op = q->op;

	slu_fail_more(&q->op->err, "cannot %s '%s' in '%s'", slu_op_verb(op->type),
		      *op->path ? op->path : ".", q->n->where);
}

static void hand_back(struct slu_nreq *q)
{
	struct slu_native *n = q->n;

	if (q->canceled)
		slu_nreq_end(q, slu_fail(&q->op->err, ECANCELED, "canceled"));
	else
		n->conf.hand_back(n->conf.user_data, detach(q));
}

void slu_nreq_hand_back(struct slu_nreq *q, const char *why)
{
	if (!q->canceled && !atomic_exchange(&q->n->told, true))
		slu_log(SLU_LOG_INFO, "hdfs", "'%s' is reached by WebHDFS: %s", q->n->where, why);
	hand_back(q);
}

void slu_nreq_hand_back_file(struct slu_nreq *q, const char *why)
{
	if (!q->canceled && !atomic_exchange(&q->n->told_file, true))
		slu_warn("hdfs", "'%s' in '%s', and others like it, go by WebHDFS: %s", q->op->path,
			 q->n->where, why);
	hand_back(q);
}

int slu_native_stale(const struct slu_nreq *q, const char *now, struct slu_err *e)
{
	return slu_fail(
		e, ESTALE,
		"'%s' in '%s' has changed since it was resolved (was %s, now %s): " SLU_STALE_REMEDY,
		q->op->path, q->n->where, q->op->if_match, now);
}

/* Is it the way that is closed, not the file? */
static bool is_closed(const struct slu_nreq *q, const struct slu_nn_call *c)
{
	const struct slu_rpc_call *r = &c->rpc;

	if (q->n->conf.only || atomic_load(&q->n->set.heard))
		return false;
	return (r->rc == -ECONNREFUSED || r->rc == -EHOSTUNREACH || r->rc == -ENETUNREACH ||
		r->rc == -ETIMEDOUT || r->rc == -EPROTO || r->rc == -ECONNRESET ||
		r->rc == -EHOSTDOWN) &&
	       !r->err.svc[0];
}

int64_t slu_nreq_patience(const struct slu_nreq *q)
{
	int64_t half = (q->deadline - slu_now()) / 2;

	if (q->n->conf.only || atomic_load(&q->n->set.heard))
		return q->deadline;
	return slu_deadline_in(half < SILENT_NS ? half : SILENT_NS);
}

void slu_nreq_ask(struct slu_nreq *q, const char *method, const ProtobufCMessage *m,
		  void (*done)(struct slu_nn_call *c))
{
	bool cleaning = q->w && q->w->cleaning;

	q->info.done = done;
	q->info.user = q;
	q->info_busy = true;
	slu_nn_send(q->s->nn, &q->info, method, m,
		    cleaning ? slu_deadline_in(CLEANING_NS) : slu_nreq_patience(q));
}

/* WebHDFS signs in another way, and knows of a newer token. */
static bool is_unsigned(const struct slu_rpc_call *c)
{
	return slu_streq(c->err.svc, "SaslException") || slu_streq(c->err.svc, "InvalidToken");
}

static const char *closed(struct slu_nreq *q, int64_t until, const char *why)
{
	atomic_store(&q->n->closed, why);
	atomic_store(&q->n->closed_until, until);
	return why;
}

const char *slu_native_closed(const struct slu_native *n)
{
	return slu_now() < atomic_load(&n->closed_until) ? atomic_load(&n->closed) : NULL;
}

const char *slu_nreq_closed(struct slu_nreq *q, const struct slu_nn_call *c)
{
	/* Said to whom comes without Kerberos, before anything was looked at. */
	if (!q->n->conf.only && slu_streq(c->rpc.err.svc, "AccessControlException") &&
	    strstr(c->rpc.err.msg, "authentication is not enabled"))
		return closed(q, INT64_MAX, "its NameNode wants Kerberos");
	if (!q->n->conf.only && q->n->conf.who && is_unsigned(&c->rpc)) {
		slu_debug("hdfs", "RPC: %s", c->rpc.err.msg);
		return closed(q, slu_deadline_in(CLOSED_NS),
			      "its NameNode does not let us in by RPC");
	}
	return is_closed(q, c) ? closed(q, slu_deadline_in(CLOSED_NS),
					"the RPC port of its NameNode does not answer")
			       : NULL;
}

/* --- what a loop has --- */

static void shard_free(struct slu_shard *s)
{
	slu_lease_free(s->lease);
	slu_native_shun_free(s->shun);
	slu_dn_asker_free(s->asker);
	slu_nn_free(s->nn);
	slu_dn_free(s->dn);
	slu_dn_trust_close(&s->n->trust, s->loop);
	if (s->places)
		slu_hash_free(s->places, slu_place_free);
	if (s->dead)
		slu_hash_free(s->dead, free);
	free(s);
}

static struct slu_shard *shard_new(struct slu_native *n, struct slu_loop *loop)
{
	struct slu_shard *s = slu_new0(struct slu_shard);

	if (!s)
		return NULL;
	s->n = n;
	s->loop = loop;
	s->places = slu_hash_new();
	s->dead = slu_hash_new();
	if (!s->places || !s->dead || slu_lease_new(s, &s->lease) ||
	    slu_nn_new(&n->set, loop, &s->nn) ||
	    slu_dn_asker_new(&n->trust.keys, loop, s->nn, &s->asker) ||
	    slu_dn_new(loop, n->conf.pool, &n->trust, n->client, &s->dn)) {
		shard_free(s);
		return NULL;
	}
	return s;
}

static struct slu_shard *shard_of(struct slu_native *n, struct slu_loop *loop)
{
	struct slu_shard *s = NULL;

	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < n->nshards && !s; i++)
		if (n->shard[i]->loop == loop)
			s = n->shard[i];
	if (!s && n->nshards < SLU_NATIVE_SHARDS && (s = shard_new(n, loop)))
		n->shard[n->nshards++] = s;
	pthread_mutex_unlock(&n->lock);
	return s;
}

/* One that has nothing to do: the first, whose connections and caches are warm; else the one with the least. */
static struct slu_shard *calm_shard(struct slu_native *n)
{
	struct slu_shard *best = NULL, *s = NULL;

	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < n->nshards; i++)
		if (!best || n->shard[i]->ops < best->ops)
			best = n->shard[i];
	bool busy = !best || best->ops;

	pthread_mutex_unlock(&n->lock);
	if (busy)
		s = shard_of(
			n, slu_loops_pick(n->conf.loops, n->where, atomic_fetch_add(&n->turn, 1)));
	if (!s || !best)
		return s ? s : best;
	pthread_mutex_lock(&n->lock);
	if (s->ops < best->ops)
		best = s;
	pthread_mutex_unlock(&n->lock);
	return best;
}

/* --- ops --- */

static void (*const steps[_SLU_OP_MAX])(struct slu_nreq *q) = {
	[SLU_OP_STAT] = slu_native_stat,           [SLU_OP_LIST] = slu_native_list,
	[SLU_OP_READ] = slu_native_read,           [SLU_OP_PUT] = slu_native_put,
	[SLU_OP_PUT_BLOCK] = slu_native_put_block, [SLU_OP_COMMIT] = slu_native_commit,
	[SLU_OP_BLOCKS] = slu_native_blocks,       [SLU_OP_ABORT] = slu_native_abort,
	[SLU_OP_DELETE] = slu_native_delete,       [SLU_OP_RENAME] = slu_native_rename,
	[SLU_OP_MKDIR] = slu_native_mkdir,
};

static bool reads(const struct slu_op *op)
{
	return op->type == SLU_OP_STAT || op->type == SLU_OP_LIST || op->type == SLU_OP_READ;
}

static bool has_data(const struct slu_op *op)
{
	return op->type == SLU_OP_PUT || op->type == SLU_OP_PUT_BLOCK;
}

static void begin(void *arg)
{
	struct slu_nreq *q = arg;

	if (q->canceled)
		slu_nreq_end(q, slu_fail(&q->op->err, ECANCELED, "canceled"));
	else if (!reads(q->op) && !(q->w = slu_new0(struct slu_nwrite)))
		slu_nreq_end(q, slu_fail_oom(&q->op->err));
	else
		steps[q->op->type](q);
}

bool slu_native_locked_out(const struct slu_native *n)
{
	return !n->conf.only && atomic_load(&n->trust.way) == SLU_DN_CANNOT;
}

static bool can(struct slu_native *n, const struct slu_op *op)
{
	int64_t now = slu_now();

	if ((op->type == SLU_OP_READ || has_data(op)) && slu_native_locked_out(n))
		return false;
	return steps[op->type] && now >= atomic_load(&n->closed_until) &&
	       (!has_data(op) || now >= atomic_load(&n->unwritable_until));
}

bool slu_native_submit(struct slu_native *n, struct slu_op *op)
{
	struct slu_nreq *q;

	if (!can(n, op))
		return false;
	q = slu_new0(struct slu_nreq);
	if (!q)
		return false;
	q->n = n;
	q->op = op;
	q->refs = 1;
	q->deadline = op->deadline ? op->deadline : slu_deadline_in(DEADLINE_NS);
	/* Data is worth a change of thread, since each loop checks and copies what it receives. */
	struct slu_loop *loop = op->type == SLU_OP_READ || has_data(op) ? NULL : slu_loop_self();

	q->s = loop ? shard_of(n, loop) : calm_shard(n);
	if (!q->s) {
		free(q);
		return false;
	}
	pthread_mutex_lock(&n->lock);
	op->drv = q;
	op->drv_n = SLU_NATIVE_OP;
	q->s->ops++;
	pthread_mutex_unlock(&n->lock);
	if (slu_loop_post(q->s->loop, begin, q)) {
		pthread_mutex_lock(&n->lock);
		op->drv = NULL;
		op->drv_n = 0;
		q->s->ops--;
		pthread_mutex_unlock(&n->lock);
		free(q);
		return false;
	}
	return true;
}

static void cancel_calls(struct slu_nreq *q)
{
	if (q->w) {
		slu_native_write_cancel(q);
		return;
	}
	if (q->info_busy)
		slu_nn_cancel(&q->info);
	else if (q->sum)
		slu_native_sum_cancel(q);
	if (!q->over && q->blocks_busy)
		slu_nn_cancel(&q->blocks);
	if (!q->over && !q->sum)
		slu_native_read_cancel(q);
}

static void on_cancel(void *arg)
{
	struct slu_nreq *q = arg;

	q->canceled = true;
	if (!q->over)
		cancel_calls(q);
	nreq_unref(q);
}

bool slu_native_cancel(struct slu_native *n, struct slu_op *op)
{
	bool mine;

	pthread_mutex_lock(&n->lock);
	mine = op->drv_n == SLU_NATIVE_OP;
	if (mine) {
		struct slu_nreq *q = op->drv;

		if (!slu_loop_post(q->s->loop, on_cancel, q))
			q->refs++;
	}
	pthread_mutex_unlock(&n->lock);
	return mine;
}

/* --- life --- */

int slu_native_new(const struct slu_native_conf *conf, struct slu_native **ret, struct slu_err *e)
{
	struct slu_native *n = slu_new0(struct slu_native);
	char id[17];
	int r;

	if (!n)
		return slu_fail_oom(e);
	n->conf = *conf;
	n->renew_ns = RENEW_NS;
	pthread_mutex_init(&n->lock, NULL);
	r = slu_nn_set_init(&n->set, conf->namenodes, conf->user, conf->pool, e);
	n->set.who = conf->who;
	n->set.observers.wanted = conf->observers;
	slu_dn_trust_init(&n->trust, conf->who);
	n->trust.hostnames = conf->hostnames;
	if (r == 0 && conf->domain_socket && slu_sc_new(conf->domain_socket, conf->pool, &n->sc))
		r = slu_fail_oom(e);
	if (r == 0 && slu_random_id(id, 8))
		r = slu_fail(e, EIO, "the kernel gives no random bytes");
	if (r == 0) {
		n->root = slu_strdup(conf->root);
		n->where = slu_strdup(conf->where);
		n->client = slu_asprintf("sluice_%s", id);
		if (!n->root || !n->where || !n->client)
			r = slu_fail_oom(e);
	}
	if (r < 0) {
		slu_native_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

struct closing {
	struct slu_shard *s;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

/* A NameNode does not execute what it is told by a connection that is closed. */
static void close_shard(void *arg)
{
	struct closing *c = arg;

	if (c->s->reports) {
		c->s->closing = c;
		return;
	}
	shard_free(c->s);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

void slu_native_close(void *closing)
{
	struct closing *c = closing;

	while (slu_loop_post(c->s->loop, close_shard, c))
		poll(NULL, 0, 1);
}

/* Watches and timers belong to their loop's thread: they are freed there. */
static void close_on_loop(struct slu_shard *s)
{
	struct closing c = {.s = s};

	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.cond, NULL);
	slu_native_close(&c);
	pthread_mutex_lock(&c.lock);
	while (!c.done)
		pthread_cond_wait(&c.cond, &c.lock);
	pthread_mutex_unlock(&c.lock);
	pthread_cond_destroy(&c.cond);
	pthread_mutex_destroy(&c.lock);
}

void slu_native_free(struct slu_native *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < n->nshards; i++)
		close_on_loop(n->shard[i]);
	slu_nn_set_done(&n->set);
	slu_dn_trust_done(&n->trust);
	slu_sc_free(n->sc);
	pthread_mutex_destroy(&n->lock);
	free(n->root);
	free(n->where);
	free(n->client);
	free(n);
}
