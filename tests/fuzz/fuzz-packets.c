/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a DataNode sends for a range (offset, length and piece come first): it ends well only with
 * all of the range there, and nothing is written beside it. */
#include "common/err.h"
#include "hdfs/packets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 5
#define GUARD 16

static void check(int r, const struct slu_packets *c, const struct slu_err *e, size_t len)
{
	if (c->good > len || (r == SLU_PACKETS_END && c->good != len))
		abort();
	if (r > 0 && r != SLU_PACKETS_END)
		abort();
	if (r < 0 && r != -EPROTO && r != -ENOMEM && (e->code != -r || !e->msg[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slu_packets c = {.who = "a:1", .block = 1};
	struct slu_err e = {0};
	uint64_t off;
	size_t len, step;
	char *buf;
	int r = 0;

	if (size < HEAD)
		return 0;
	off = data[0] | (uint64_t)data[1] << 8;
	len = 1 + (data[2] | (size_t)data[3] << 8);
	step = 1 + (size_t)data[4] * 16;
	buf = malloc(len + GUARD);
	if (!buf)
		return 0;
	memset(buf, 0x5a, len + GUARD);
	c.err = &e;
	slu_packets_begin(&c, off, len, buf);
	data += HEAD;
	for (size -= HEAD; size && !r;) {
		struct iovec iov[SLU_PACKETS_IOV];
		int k = slu_packets_room(&c, iov);
		size_t done = 0;

		for (int i = 0; i < k && done < step && size; i++) {
			size_t n = iov[i].iov_len < size ? iov[i].iov_len : size;

			if (n > step - done)
				n = step - done;
			memcpy(iov[i].iov_base, data, n);
			data += n;
			size -= n;
			done += n;
		}
		if (!done)
			abort(); /* there is always room for more */
		r = slu_packets_got(&c, done);
	}
	check(r, &c, &e, len);
	for (size_t i = 0; i < GUARD; i++)
		if (buf[len + i] != 0x5a)
			abort();
	slu_packets_done(&c);
	free(buf);
	return 0;
}
