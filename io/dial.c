/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening TCP connections (dial.h).  An address in digits is connected to at once; a name goes through the
 * pool, since getaddrinfo(3) blocks.  Each address gets a part of the time, so that a dead one does not
 * use up what the others need.  No retries: callers know better.
 */
#include "io/dial.h"

#include "common/mem.h"
#include "common/time.h"
#include "io/core.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ONE_NS (5 * SLU_SEC) /* for one of several addresses */

static void try_next(struct slu_dial *d);

static void finish(struct slu_dial *d, int rc)
{
	slu_watch_free(d->watch);
	d->watch = NULL;
	slu_timer_free(d->timer);
	d->timer = NULL;
	if (d->found)
		freeaddrinfo(d->found);
	d->found = NULL;
	if (rc && d->fd >= 0) {
		close(d->fd);
		d->fd = -1;
	}
	d->rc = rc;
	d->done(d);
}

static void fail(struct slu_dial *d, int code)
{
	finish(d, slu_fail_sys(&d->err, code, "cannot reach '%s:%u'", d->host, d->port));
}

/* This address did not answer: the next, or the end with what this one said. */
static void give_up_one(struct slu_dial *d, int code)
{
	slu_watch_free(d->watch);
	d->watch = NULL;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	if (d->next && !slu_expired(d->deadline))
		try_next(d);
	else
		fail(d, code);
}

static void connected(struct slu_dial *d)
{
	int one = 1;

	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(d->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	finish(d, 0);
}

static void on_ready(void *arg, short revents)
{
	struct slu_dial *d = arg;
	socklen_t n = sizeof(int);
	int code = 0;

	(void)revents;
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &code, &n))
		code = errno;
	if (code)
		give_up_one(d, code);
	else
		connected(d);
}

static void on_late(void *arg)
{
	give_up_one(arg, ETIMEDOUT);
}

static void try_next(struct slu_dial *d)
{
	const struct addrinfo *a = d->next;
	int64_t end = slu_deadline_in(ONE_NS);
	int r;

	d->next = a->ai_next;
	d->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) {
		give_up_one(d, errno);
		return;
	}
	if (!connect(d->fd, a->ai_addr, a->ai_addrlen)) {
		connected(d);
		return;
	}
	if (errno != EINPROGRESS) {
		give_up_one(d, errno);
		return;
	}
	r = slu_watch_new(d->loop, d->fd, POLLOUT, on_ready, d, &d->watch);
	if (!r && !d->timer)
		r = slu_timer_new(d->loop, on_late, d, &d->timer);
	if (r) {
		fail(d, -r);
		return;
	}
	slu_timer_set(d->timer, d->next && end < d->deadline ? end : d->deadline);
}

static void looked_up(void *arg)
{
	struct slu_dial *d = arg;

	d->looking = false;
	if (d->canceled) {
		fail(d, ECANCELED);
	} else if (d->lookup == EAI_MEMORY) {
		fail(d, ENOMEM);
	} else if (d->lookup) {
		finish(d, slu_fail(&d->err, EHOSTUNREACH, "the address of '%s' cannot be found: %s",
				   d->host, gai_strerror(d->lookup)));
	} else {
		d->next = d->found;
		try_next(d);
	}
}

static int look_up(struct slu_dial *d, int flags)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	char port[8];

	snprintf(port, sizeof(port), "%u", d->port);
	return getaddrinfo(d->host, port, &hints, &d->found);
}

static void look_up_work(struct slu_work *w)
{
	struct slu_dial *d = (struct slu_dial *)((char *)w - offsetof(struct slu_dial, work));

	d->lookup = look_up(d, AI_NUMERICSERV | AI_ADDRCONFIG);
	/* No memory for a post: the loop cannot be reached in any other way, so keep asking. */
	while (slu_loop_post(d->loop, looked_up, d))
		poll(NULL, 0, 1);
}

void slu_dial_start(struct slu_dial *d)
{
	d->fd = -1;
	d->lookup = look_up(d, AI_NUMERICSERV | AI_NUMERICHOST);
	if (d->lookup == EAI_NONAME) {
		d->looking = true;
		d->work.fn = look_up_work;
		slu_pool_add(d->pool, &d->work);
	} else {
		looked_up(d);
	}
}

void slu_dial_cancel(struct slu_dial *d)
{
	d->canceled = true;
	if (!d->looking)
		fail(d, ECANCELED);
}
