/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages behind their lengths (rpc.h): what the frames of RPC and the requests of data transfer are made of.
 * Not here: the fixed head of a packet (packets.c).
 */
#include "common/mem.h"
#include "hdfs/rpc.h"

#include <errno.h>

void slu_pb_add(struct slu_buf *b, const void *msg, size_t n)
{
	size_t v = n;

	for (; v >= 0x80; v >>= 7)
		slu_buf_ch(b, (char)(v | 0x80));
	slu_buf_ch(b, (char)v);
	slu_buf_add(b, msg, n);
}

int slu_pb_varint(const uint8_t *p, size_t n, uint32_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 5; i++) {
		if (i == n)
			return 0;
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] & 0x80)
			continue;
		if (v > UINT32_MAX)
			return -EPROTO;
		*ret = (uint32_t)v;
		return (int)i + 1;
	}
	return -EPROTO;
}

void slu_pb_message(struct slu_buf *b, const ProtobufCMessage *m)
{
	uint8_t small[512];
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *p = n <= sizeof(small) ? small : slu_malloc(n);

	if (!p) {
		b->err = ENOMEM;
		return;
	}
	protobuf_c_message_pack(m, p);
	slu_pb_add(b, p, n);
	if (p != small)
		free(p);
}
