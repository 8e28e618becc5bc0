/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NameNodes that stand still (namenode.h): a process that was stopped, a long pause of its memory, a machine without
 * power.  The kernel there still accepts connections and data, so only the silence tells.  Silence alone does
 * not: a call may take long.  So one that has said nothing for a while is asked what it is, which a live one
 * answers beside whatever else it does, and so are the others.  When one of those is the active one by now,
 * the silent one has lost its office, and its calls go there, each under its old number.  Else it is waited for a
 * while, and what it was to do fails; whoever comes next waits for less.
 * Everything is on the thread of the loop, but silent[], which is of all.
 */
#include "hdfs/namenode.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>

#define TICK_NS (SLU_SEC / 2)
#define ASK_NS (4 * SLU_SEC)    /* silence, after which is asked */
#define ASK_SOON_NS SLU_SEC     /* the same of one that has never answered, or stood still lately */
#define ANSWER_NS (2 * SLU_SEC) /* for an answer to that */
#define LIMIT_NS                                                                                   \
	(30 * SLU_SEC) /* for the only NameNode: long pauses of Java's memory are over by then */
#define FIRST_NS (20 * SLU_SEC)   /* for it while it has never answered */
#define MOVE_NS (10 * SLU_SEC)    /* where there are others to ask */
#define KNOWN_NS (5 * SLU_SEC)    /* for one that stood still lately */
#define SILENT_NS (120 * SLU_SEC) /* how long that counts, unless it answers */
#define ACTIVE 1                  /* HAServiceStateProto */

/* The question to one NameNode, what it is. */
struct probe {
	struct slu_rpc_call rpc;
	struct slu_pulse *p;
	unsigned i;
	bool busy;
};

struct slu_pulse {
	struct slu_nn *nn;
	struct slu_nn_set *set;
	struct slu_timer *timer;
	bool ticking;
	struct probe probe[SLU_NN_MAX];
};

static bool stood_still(struct slu_nn_set *set, unsigned i)
{
	return atomic_load(&set->silent[i]) > slu_now();
}

static int64_t ask_after(struct slu_nn_set *set, unsigned i)
{
	return stood_still(set, i) || !atomic_load(&set->heard) ? ASK_SOON_NS : ASK_NS;
}

static int64_t limit(struct slu_nn_set *set, unsigned i)
{
	if (stood_still(set, i))
		return KNOWN_NS;
	if (set->n > 1)
		return MOVE_NS;
	return atomic_load(&set->heard) ? LIMIT_NS : FIRST_NS;
}

/* How long NameNode i has said nothing to calls that wait; -1: none waits. */
static int64_t silence(struct slu_pulse *p, unsigned i)
{
	struct slu_rpc *rpc = slu_nn_rpc(p->nn, i);
	int64_t since = rpc ? slu_rpc_quiet(rpc) : 0;

	return since ? slu_now() - since : -1;
}

static void give_up(struct slu_pulse *p, unsigned i, int64_t ns)
{
	struct slu_nn_set *set = p->set;
	struct slu_err e;

	slu_fail(&e, EHOSTDOWN,
		 "the NameNode '%s:%u' has said nothing for %lld s (see whether its process stands "
		 "still, and what its log says)",
		 set->at[i].host, set->at[i].port, (long long)(ns / SLU_SEC));
	if (set->n > 1 && !stood_still(set, i)) /* else it is what the caller is told */
		slu_warn("hdfs", "%s", e.msg);
	atomic_store(&set->silent[i], slu_now() + SILENT_NS);
	slu_rpc_give_up(slu_nn_rpc(p->nn, i), &e);
}

/* NameNode i is the active one: what a silent one was to do is done by it. */
static void is_active(struct slu_pulse *p, unsigned active)
{
	for (unsigned i = 0; i < p->set->n; i++) {
		int64_t ns = i == active ? -1 : silence(p, i);

		if (ns < ask_after(p->set, i))
			continue;
		atomic_store(&p->set->active, active);
		give_up(p, i, ns);
	}
}

static void on_probe(struct slu_rpc_call *rpc)
{
	struct probe *k = rpc->user;
	Slu__Pb__HaServiceStateResponse *m = NULL;
	bool active;

	k->busy = false;
	if (!rpc->rc || rpc->err.svc[0])
		atomic_store(&k->p->set->silent[k->i], 0);
	if (!rpc->rc)
		m = slu__pb__ha_service_state_response__unpack(NULL, rpc->resp_len, rpc->resp);
	active = m && m->state == ACTIVE;
	if (m)
		slu__pb__ha_service_state_response__free_unpacked(m, NULL);
	if (active)
		is_active(k->p, k->i);
}

static void ask_all(struct slu_pulse *p)
{
	for (unsigned i = 0; i < p->set->n; i++) {
		struct probe *k = &p->probe[i];
		struct slu_rpc *rpc = k->busy ? NULL : slu_nn_rpc(p->nn, i);

		if (!rpc)
			continue;
		k->p = p;
		k->i = i;
		k->busy = true;
		k->rpc = (struct slu_rpc_call){
			.method = "getHAServiceState",
			.msg = "",
			.id = atomic_fetch_add(&p->set->next_id, 1) & INT32_MAX,
			.deadline = slu_deadline_in(ANSWER_NS),
			.done = on_probe,
			.user = k,
		};
		slu_rpc_send(rpc, &k->rpc);
	}
}

static void on_timer(void *arg)
{
	struct slu_pulse *p = arg;
	bool waits = false, ask = false;

	p->ticking = false;
	for (unsigned i = 0; i < p->set->n; i++) {
		int64_t ns = silence(p, i);

		waits = waits || ns >= 0;
		if (ns >= limit(p->set, i))
			give_up(p, i, ns);
		else
			ask = ask || ns >= ask_after(p->set, i);
	}
	if (ask)
		ask_all(p);
	if (waits)
		slu_pulse_feel(p);
}

void slu_pulse_feel(struct slu_pulse *p)
{
	if (p->ticking)
		return;
	p->ticking = true;
	slu_timer_set(p->timer, slu_deadline_in(TICK_NS));
}

bool slu_pulse_silent(struct slu_nn_set *set, char *buf, size_t n)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (!stood_still(set, i))
			continue;
		snprintf(buf, n, "%s:%u", set->at[i].host, set->at[i].port);
		return true;
	}
	return false;
}

int slu_pulse_new(struct slu_nn *nn, struct slu_nn_set *set, struct slu_loop *loop,
		  struct slu_pulse **ret)
{
	struct slu_pulse *p = slu_new0(struct slu_pulse);
	int r;

	if (!p)
		return -ENOMEM;
	p->nn = nn;
	p->set = set;
	r = slu_timer_new(loop, on_timer, p, &p->timer);
	if (r) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void slu_pulse_free(struct slu_pulse *p)
{
	if (!p)
		return;
	slu_timer_free(p->timer);
	free(p);
}
