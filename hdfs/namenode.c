/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NameNodes (namenode.h).  A standby, a refused or a broken connection leads to the next one: at once the
 * first time, then after pauses that grow.  With one NameNode only, what could not be sent is the caller's
 * to try again, since the layers above do that for every store.
 */
#include "hdfs/namenode.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/backoff.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define PORT 8020
#define MOVES_MAX 15 /* dfs.client.failover.max.attempts */
#define AGAIN_MAX 3  /* to the only NameNode, after a connection was lost */

/* A failover by ZooKeeper takes its session timeout (10 s) and the reading of the edits. */
#define PATIENCE_NS (30 * SLU_SEC)
#define UNHEARD_NS SLU_SEC /* while none has ever answered */

/* dfs.client.failover.sleep.base.millis and .max.millis */
static const struct slu_backoff pause_of = {.base_ns = 500 * SLU_MS, .cap_ns = 15 * SLU_SEC};

struct slu_nn {
	struct slu_nn_set *set;
	struct slu_loop *loop;
	struct slu_rpc *rpc[SLU_NN_MAX]; /* made when they are needed */
	struct slu_pulse *pulse;
};

static int add_address(struct slu_nn_set *s, const char *text, size_t n, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *one = slu_strndup(text, n);
	uint64_t port = PORT;
	char *colon;

	if (!one)
		return slu_fail_oom(e);
	if (s->n == SLU_NN_MAX)
		return slu_fail(e, EINVAL, "more than %d NameNodes are named", SLU_NN_MAX);
	colon = strrchr(one, ':');
	if (one[0] == '[' && colon && colon[-1] != ']')
		colon = NULL;
	if (colon && (!slu_u64(colon + 1, &port) || !port || port > UINT16_MAX))
		return slu_fail(e, EINVAL, "'%s' is no address of a NameNode: host:port", one);
	if (colon)
		*colon = '\0';
	if (one[0] == '[') { /* getaddrinfo wants no brackets */
		size_t len = strlen(one);

		memmove(one, one + 1, len);
		one[strcspn(one, "]")] = '\0';
	}
	if (!*one)
		return slu_fail(e, EINVAL, "the address of a NameNode has no host");
	s->at[s->n].host = slu_take(one);
	s->at[s->n++].port = (uint16_t)port;
	return 0;
}

int slu_nn_set_init(struct slu_nn_set *s, const char *addresses, const char *user,
		    struct slu_pool *pool, struct slu_err *e)
{
	int r = 0;

	*s = (struct slu_nn_set){.pool = pool};
	for (const char *p = addresses; r == 0 && *p;) {
		size_t n = strcspn(p, ",");

		r = add_address(s, p, n, e);
		p += n + (p[n] == ',');
	}
	if (r == 0 && !s->n)
		r = slu_fail(e, EINVAL, "no NameNode is named");
	if (r == 0 && !(s->user = slu_strdup(user ? user : "")))
		r = slu_fail_oom(e);
	if (r == 0 && slu_random_bytes(s->client_id, sizeof(s->client_id)))
		r = slu_fail(e, EIO, "the kernel gives no random bytes");
	if (r)
		slu_nn_set_done(s);
	return r;
}

void slu_nn_set_done(struct slu_nn_set *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->at[i].host);
	s->n = 0;
	free(slu_take(s->user));
}

/* --- calls --- */

static void end(struct slu_nn_call *c)
{
	slu_timer_free(c->timer);
	c->timer = NULL;
	free(slu_take(c->msg));
	c->done(c);
}

static void end_with(struct slu_nn_call *c, int rc)
{
	c->rpc.rc = rc;
	end(c);
}

struct slu_rpc *slu_nn_rpc(struct slu_nn *nn, unsigned i)
{
	struct slu_rpc_conf conf = {
		.loop = nn->loop,
		.pool = nn->set->pool,
		.host = nn->set->at[i].host,
		.port = nn->set->at[i].port,
		.user = nn->set->user,
		.who = nn->set->who,
		.client_id = nn->set->client_id,
	};

	if (!nn->rpc[i] && slu_rpc_new(&conf, &nn->rpc[i]))
		return NULL;
	return nn->rpc[i];
}

static void send_it(struct slu_nn_call *c)
{
	struct slu_rpc *rpc = slu_nn_rpc(c->nn, c->at);

	if (!rpc) {
		end_with(c, slu_fail_oom(&c->rpc.err));
		return;
	}
	slu_pulse_feel(c->nn->pulse);
	slu_rpc_send(rpc, &c->rpc);
}

static void on_pause(void *arg)
{
	send_it(arg);
}

static bool is_standby(const struct slu_rpc_call *c)
{
	return slu_streq(c->err.svc, "StandbyException") ||
	       slu_streq(c->err.svc, "ObserverRetryOnActiveException");
}

static bool is_broken(const struct slu_rpc_call *c)
{
	if (c->rc == -ETIMEDOUT) /* of the connection, which is given less time than the call */
		return !c->sent && !slu_expired(c->deadline);
	return c->rc && !c->err.svc[0] && c->rc != -ECANCELED && c->rc != -ENOMEM &&
	       c->rc != -EPROTO;
}

/* Sends it again after a pause: false when there is no time or memory for that. */
static bool later(struct slu_nn_call *c, int64_t pause)
{
	int64_t at = slu_deadline_in(pause);

	if (at >= c->rpc.deadline || (c->moves && at >= c->until))
		return false;
	if (!c->timer && slu_timer_new(c->nn->loop, on_pause, c, &c->timer))
		return false;
	slu_timer_set(c->timer, at);
	return true;
}

/* True: it was sent again, or will be. */
static bool try_again(struct slu_nn_call *c)
{
	struct slu_nn_set *set = c->nn->set;
	bool standby = is_standby(&c->rpc), broken = is_broken(&c->rpc);

	if (!standby && !broken)
		return false;
	if (standby)
		atomic_store(&set->heard, true);
	if (c->rpc.sent)
		c->rpc.retry++;
	if (set->n > 1) {
		unsigned now = c->at, next = (c->at + 1) % set->n;

		if (!c->moves)
			c->until = slu_deadline_in(atomic_load(&set->heard) ? PATIENCE_NS
									    : UNHEARD_NS);
		if (c->moves >= MOVES_MAX)
			return false;
		/* Where it leads who comes next; somebody else may have found the active one meanwhile. */
		c->at = atomic_compare_exchange_strong(&set->active, &now, next) ? next : now;
		return later(c, c->moves++ ? slu_backoff_delay(&pause_of, c->moves - 2, 0) : 0);
	}
	/* For one that stands still was waited long enough. */
	return broken && c->rpc.rc != -EHOSTDOWN && c->rpc.sent && c->again++ < AGAIN_MAX &&
	       later(c, 0);
}

/* What it means to who asked. */
static void explain(struct slu_rpc_call *rpc, struct slu_nn_set *set)
{
	unsigned n = set->n;
	char silent[SLU_NN_ADDRESS];

	static const char remedy[] = "check \"namenode\" or \"rpc_address\" of the datastore, and "
				     "whether HDFS runs";

	if (is_standby(rpc) && n > 1 && slu_pulse_silent(set, silent, sizeof(silent)))
		slu_fail_more(&rpc->err,
			      "none of the %u NameNodes is active, and '%s' stands still (let its "
			      "process go on, or make another one active)",
			      n, silent);
	else if (is_standby(rpc) && n > 1)
		slu_fail_more(&rpc->err, "none of the %u NameNodes is active", n);
	else if (is_broken(rpc) && !rpc->sent && n > 1)
		slu_fail_more(&rpc->err, "none of the %u NameNodes answers (%s)", n, remedy);
	else if (is_broken(rpc) && !rpc->sent)
		slu_fail_more(&rpc->err, "the NameNode does not answer (%s)", remedy);
}

static void on_rpc(struct slu_rpc_call *rpc)
{
	struct slu_nn_call *c = rpc->user;
	struct slu_nn_set *set = c->nn->set;

	if ((!rpc->rc || rpc->err.svc[0]) && atomic_load(&set->silent[c->at]))
		atomic_store(&set->silent[c->at], 0);
	if (c->observing && slu_nn_observed(set, c)) {
		c->at = atomic_load(&set->active);
		send_it(c);
		return;
	}
	if (!c->observing && try_again(c))
		return;
	explain(rpc, set);
	if (!rpc->rc || rpc->err.svc[0])
		atomic_store(&set->heard, true);
	if (!rpc->rc && !c->observing) {
		atomic_store(&set->active, c->at);
		slu_nn_synced(set, c);
	}
	end(c);
}

void slu_nn_send(struct slu_nn *nn, struct slu_nn_call *c, const char *method,
		 const ProtobufCMessage *request, int64_t deadline)
{
	size_t n = protobuf_c_message_get_packed_size(request);

	c->nn = nn;
	c->at = atomic_load(&nn->set->active);
	c->moves = c->again = 0;
	c->timer = NULL;
	c->rpc = (struct slu_rpc_call){
		.method = method,
		.msg_len = n,
		.id = atomic_fetch_add(&nn->set->next_id, 1) & INT32_MAX,
		.deadline = deadline,
		.done = on_rpc,
		.user = c,
	};
	c->msg = slu_malloc(n ? n : 1);
	if (!c->msg) {
		end_with(c, slu_fail_oom(&c->rpc.err));
		return;
	}
	protobuf_c_message_pack(request, c->msg);
	c->rpc.msg = c->msg;
	c->observing = slu_nn_observe(c->nn->set, c);
	send_it(c);
}

void slu_nn_cancel(struct slu_nn_call *c)
{
	if (c->timer && slu_timer_cancel(c->timer))
		end_with(c, slu_fail(&c->rpc.err, ECANCELED, "canceled"));
	else
		slu_rpc_cancel(c->nn->rpc[c->at], &c->rpc);
}

int slu_nn_new(struct slu_nn_set *set, struct slu_loop *loop, struct slu_nn **ret)
{
	struct slu_nn *nn = slu_new0(struct slu_nn);

	if (!nn)
		return -ENOMEM;
	nn->set = set;
	nn->loop = loop;
	if (slu_pulse_new(nn, set, loop, &nn->pulse)) {
		free(nn);
		return -ENOMEM;
	}
	*ret = nn;
	return 0;
}

void slu_nn_free(struct slu_nn *nn)
{
	if (!nn)
		return;
	for (unsigned i = 0; i < nn->set->n; i++)
		slu_rpc_free(nn->rpc[i]);
	slu_pulse_free(nn->pulse);
	free(nn);
}
