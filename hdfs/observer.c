/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading from observers (namenode.h), where the site's clients do: with the number of the last transaction that we have seen, so
 * that what this process wrote or read is known there.  What others wrote since is seen within a second: for whoever has not
 * heard of the active one for that long asks it again, which does what msync does.  (ObserverReadProxyProvider.java,
 * ClientGSIContext.java, GlobalStateIdContext.java.)  Without a number no observer answers: one that is met on the way to the
 * active one does no harm.
 */
#include "hdfs/namenode.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>

#define SYNC_NS SLU_SEC
#define ROLE_NS (60 * SLU_SEC) /* what a NameNode is, is asked for anew after that */
#define ASK_NS (5 * SLU_SEC)
#define WAIT_NS (2 * SLU_SEC) /* for one that lags behind */
#define OBSERVER 3

/* --- which they are --- */

struct question {
	struct slu_rpc_call rpc;
	struct slu_nn_set *set;
	unsigned i;
};

static void note(struct slu_nn_set *set, unsigned i, bool observer)
{
	if (observer)
		atomic_fetch_or(&set->observers.which, 1u << i);
	else
		atomic_fetch_and(&set->observers.which, ~(1u << i));
}

static void told(struct slu_rpc_call *rpc)
{
	struct question *k = rpc->user;
	Slu__Pb__HaServiceStateResponse *m = NULL;

	if (!rpc->rc)
		m = slu__pb__ha_service_state_response__unpack(NULL, rpc->resp_len, rpc->resp);
	if (rpc->rc != -ECANCELED)
		note(k->set, k->i, m && m->state == OBSERVER);
	if (m)
		slu__pb__ha_service_state_response__free_unpacked(m, NULL);
	free(k);
}

static void ask_each(struct slu_nn *nn, struct slu_nn_set *set)
{
	for (unsigned i = 0; i < set->n; i++) {
		struct question *k = slu_new0(struct question);
		struct slu_rpc *rpc = k ? slu_nn_rpc(nn, i) : NULL;

		if (!rpc) {
			free(k);
			return;
		}
		k->set = set;
		k->i = i;
		k->rpc.method = "getHAServiceState";
		k->rpc.msg = "";
		k->rpc.id = atomic_fetch_add(&set->next_id, 1) & INT32_MAX;
		k->rpc.deadline = slu_deadline_in(ASK_NS);
		k->rpc.done = told;
		k->rpc.user = k;
		slu_rpc_send(rpc, &k->rpc);
	}
}

/* --- calls --- */

static bool only_reads(const char *method)
{
	static const char *const all[] = {"getFileInfo", "getListing", "getBlockLocations",
					  "getAclStatus", "getServerDefaults"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (slu_streq(method, all[i]))
			return true;
	return false;
}

static bool is_synced(const struct slu_nn_observers *o)
{
	return atomic_load(&o->state) > 0 && slu_now() - atomic_load(&o->synced) < SYNC_NS;
}

bool slu_nn_observe(struct slu_nn_set *set, struct slu_nn_call *c)
{
	struct slu_nn_observers *o = &set->observers;
	int64_t now = slu_now(), end = slu_deadline_in(o->wait_ns ? o->wait_ns : WAIT_NS);
	long long asked = atomic_load(&o->asked);
	unsigned which, i;

	if (!o->wanted || set->n < 2 || !only_reads(c->rpc.method))
		return false;
	if ((!asked || now - asked > ROLE_NS) &&
	    atomic_compare_exchange_strong(&o->asked, &asked, now))
		ask_each(c->nn, set);
	which = atomic_load(&o->which);
	if (!which || !is_synced(o))
		return false;
	do
		i = atomic_fetch_add(&o->turn, 1) % set->n;
	while (!(which >> i & 1));
	c->at = i;
	c->deadline = c->rpc.deadline;
	if (end < c->rpc.deadline)
		c->rpc.deadline = end;
	c->rpc.state = atomic_load(&o->state);
	return true;
}

static void saw(struct slu_nn_observers *o, int64_t state)
{
	long long old = atomic_load(&o->state);

	while (state > old && !atomic_compare_exchange_weak(&o->state, &old, state))
		;
}

bool slu_nn_observed(struct slu_nn_set *set, struct slu_nn_call *c)
{
	const struct slu_rpc_call *rpc = &c->rpc;
	bool lags = slu_streq(rpc->err.svc, "ObserverRetryOnActiveException") ||
		    slu_streq(rpc->err.svc, "RetriableException");

	if (!rpc->rc)
		saw(&set->observers, rpc->seen);
	if (!rpc->rc || rpc->rc == -ECANCELED || rpc->rc == -ENOMEM)
		return false;
	/* Any other refusal is about the file, and true of what we have seen. */
	if (!lags && rpc->err.svc[0] && !slu_streq(rpc->err.svc, "StandbyException"))
		return false;
	if (!lags)
		note(set, c->at, false);
	c->observing = false;
	c->rpc.state = 0;
	c->rpc.deadline = c->deadline;
	return true;
}

void slu_nn_synced(struct slu_nn_set *set, struct slu_nn_call *c)
{
	struct slu_nn_observers *o = &set->observers;

	if (!o->wanted || c->rpc.seen <= 0)
		return;
	saw(o, c->rpc.seen);
	atomic_store(&o->synced, slu_now());
}
