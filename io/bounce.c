/* SPDX-License-Identifier: Apache-2.0 */
/* The trampoline: turns submit -> done -> submit recursion into a loop, one queue a thread. */
#include "io/loop.h"

static _Thread_local struct {
	struct slu_bounce *head, *tail;
	bool running;
} queue;

void slu_bounce(struct slu_bounce *node, void (*fn)(void *arg), void *arg)
{
	*node = (struct slu_bounce){.fn = fn, .arg = arg};
	if (queue.head)
		queue.tail->next = node;
	else
		queue.head = node;
	queue.tail = node;
	if (queue.running)
		return;

	queue.running = true;
	while (queue.head) {
		struct slu_bounce *b = queue.head;
		queue.head = b->next;
		b->fn(b->arg); /* b is the owner's again from here */
	}
	queue.running = false;
}
