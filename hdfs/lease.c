/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of all files that are being written under our name.  After a minute without renewal somebody else
 * may take a file over, after twenty the NameNode closes it.  Every loop has a timer while it writes; the
 * first that finds half a minute over renews for all.  (LeaseRenewer.java)
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "hdfs/native_write.h"

#include <errno.h>

struct slu_lease {
	struct slu_shard *s;
	unsigned open;
	struct slu_timer *timer;
	struct slu_nn_call call;
	bool busy;
};

static void arm(struct slu_lease *l)
{
	if (l->open)
		slu_timer_set(l->timer, slu_deadline_in(l->s->n->renew_ns));
}

static void renewed(struct slu_nn_call *c)
{
	struct slu_lease *l = c->user;

	l->busy = false;
	if (c->rpc.rc)
		slu_warn("hdfs", "the lease of '%s' was not renewed: %s", l->s->n->client,
			 c->rpc.err.msg);
}

static void on_timer(void *arg)
{
	struct slu_lease *l = arg;
	struct slu_native *n = l->s->n;
	Slu__Pb__RenewLeaseRequest m = SLU__PB__RENEW_LEASE_REQUEST__INIT;
	long long last = atomic_load(&n->renewed), now = slu_now();

	arm(l);
	if (!l->open || l->busy || now - last < n->renew_ns / 2 ||
	    !atomic_compare_exchange_strong(&n->renewed, &last, now))
		return;
	m.client_name = n->client;
	l->busy = true;
	l->call.done = renewed;
	l->call.user = l;
	slu_nn_send(l->s->nn, &l->call, "renewLease", &m.base, slu_deadline_in(l->s->n->renew_ns));
}

void slu_lease_add(struct slu_lease *l)
{
	if (!l->open++)
		arm(l);
}

void slu_lease_del(struct slu_lease *l)
{
	l->open--;
}

int slu_lease_new(struct slu_shard *s, struct slu_lease **ret)
{
	struct slu_lease *l = slu_new0(struct slu_lease);
	int r;

	if (!l)
		return -ENOMEM;
	l->s = s;
	r = slu_timer_new(s->loop, on_timer, l, &l->timer);
	if (r) {
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void slu_lease_free(struct slu_lease *l)
{
	if (!l)
		return;
	if (l->busy)
		slu_nn_cancel(&l->call);
	slu_timer_free(l->timer);
	free(l);
}
