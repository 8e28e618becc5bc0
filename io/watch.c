/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw descriptors that a loop watches: HDFS sockets, control sockets, /dev/fuse.  The arrays grow
 * when a watch is made, so polling needs no memory.  A watch may be freed by its own fn or by that
 * of another one in the same round: its place stays empty until the round is over.
 */
#include "common/mem.h"
#include "io/core.h"

#include <assert.h>
#include <errno.h>

static int room(struct slu_loop *l)
{
	if (l->pfd && l->n_watch < l->cap_watch)
		return 0;
	size_t cap = l->cap_watch ? 2 * l->cap_watch : 4;
	struct pollfd *p = slu_reallocarray(l->pfd, cap + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	l->pfd = p;
	struct slu_watch **w = slu_reallocarray(l->watch, cap, sizeof(struct slu_watch *));
	if (!w)
		return -ENOMEM;
	l->watch = w;
	l->cap_watch = cap;
	return 0;
}

int slu_watch_setup(struct slu_loop *l)
{
	return room(l);
}

int slu_watch_new(struct slu_loop *l, int fd, short events, void (*fn)(void *, short revents),
		  void *arg, struct slu_watch **ret)
{
	assert(slu_loop_self() == l);
	int r = room(l);
	if (r < 0)
		return r;
	struct slu_watch *w = slu_new0(struct slu_watch);
	if (!w)
		return -ENOMEM;
	*w = (struct slu_watch){.loop = l, .fd = fd, .events = events, .fn = fn, .arg = arg};
	w->idx = l->n_watch;
	l->watch[l->n_watch++] = w;
	*ret = w;
	return 0;
}

void slu_watch_set(struct slu_watch *w, short events)
{
	assert(slu_loop_self() == w->loop);
	w->events = events;
}

void slu_watch_free(struct slu_watch *w)
{
	if (!w)
		return;
	assert(slu_loop_self() == w->loop);
	w->loop->watch[w->idx] = NULL;
	free(w);
}

size_t slu_watch_fill(struct slu_loop *l)
{
	size_t n = 0;
	l->pfd[0] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
	for (size_t i = 0; i < l->n_watch; i++) {
		struct slu_watch *w = l->watch[i];
		if (!w)
			continue;
		l->watch[n] = w;
		w->idx = n++;
		/* Without events a hang-up would still be reported, for ever: leave it out. */
		l->pfd[n] = (struct pollfd){.fd = w->events ? w->fd : -1, .events = w->events};
	}
	l->n_watch = n;
	return n + 1;
}

void slu_watch_fire(struct slu_loop *l, size_t n)
{
	/* fn may make watches, which moves l->pfd: read it anew each time. */
	for (size_t i = 0; i + 1 < n; i++) {
		struct slu_watch *w = l->watch[i];
		short got = l->pfd[i + 1].revents;
		if (!w || !got)
			continue;
		got &= (short)(w->events | POLLERR | POLLHUP | POLLNVAL);
		if (got && w->events)
			w->fn(w->arg, got);
	}
}
