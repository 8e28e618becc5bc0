/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a pipeline of DataNodes answers (nodes, packets and piece come first): it ends well only after
 * every packet was acknowledged, and what it says of a bad node is one of them. */
#include "common/err.h"
#include "hdfs/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 3

static void check(int r, const struct slu_acks *a)
{
	if (r > 0 && (r != SLU_ACKS_END || !a->ready || a->acked != a->last))
		abort();
	if (r < 0 && r != -EPROTO && (a->err->code != -r || !a->err->msg[0]))
		abort();
	if (a->bad >= a->nodes || a->acked > a->last || a->acked < -1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *names[] = {(char *)"127.0.0.1:1", (char *)"127.0.0.1:2", (char *)"127.0.0.1:3",
			 (char *)"127.0.0.1:4"};
	struct slu_err e = {0};
	struct slu_acks a = {.who = names[0], .names = names, .err = &e, .acked = -1};
	size_t step;
	int r = 0;

	if (size < HEAD)
		return 0;
	a.nodes = 1 + data[0] % 4;
	a.last = data[1];
	step = 1 + data[2];
	data += HEAD;
	for (size -= HEAD; size && !r;) {
		size_t room, n = size < step ? size : step;
		uint8_t *to = slu_acks_room(&a, &room);

		if (!room)
			abort(); /* there is always room for more */
		if (n > room)
			n = room;
		memcpy(to, data, n);
		data += n;
		size -= n;
		r = slu_acks_got(&a, n);
	}
	check(r, &a);
	return 0;
}
