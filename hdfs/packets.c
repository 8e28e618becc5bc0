/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of a block (packets.h).  The data goes straight to where the caller wants it; only what lies before
 * and behind the range, in its first and last chunk, has a buffer of its own, and what is not data comes
 * into `pre`.
 *
 *   answer:   message, then packets, the last one empty
 *   packet:   u32 length of what follows but the header, u16 length of the header, header, checksums, data
 */
#include "hdfs/packets.h"

#include "common/mem.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define PACKET_MAX (16u << 20)
#define HEADER_MAX 256
#define CHUNK_MAX (64u << 10) /* bytes under one checksum */
#define TOKEN_REFUSED 5       /* ERROR_ACCESS_TOKEN of datatransfer.proto */

enum phase { ANSWER, HEAD, SUMS, DATA };

void slu_packets_begin(struct slu_packets *c, uint64_t off, size_t len, char *buf)
{
	uint8_t *sums = c->sums;
	size_t cap = c->sums_cap;

	slu_packets_done(&(struct slu_packets){.edge = c->edge});
	*c = (struct slu_packets){.off = off,
				  .len = len,
				  .buf = buf,
				  .who = c->who,
				  .block = c->block,
				  .err = c->err,
				  .sums = sums,
				  .sums_cap = cap};
}

void slu_packets_done(struct slu_packets *c)
{
	free(c->sums);
	free(c->edge);
	c->sums = c->edge = NULL;
	c->sums_cap = 0;
}

/* --- the answer --- */

static size_t have(const struct slu_packets *c)
{
	return c->pre_len - c->pre_off;
}

static const uint8_t *here(const struct slu_packets *c)
{
	return c->pre + c->pre_off;
}

static int refused(struct slu_packets *c, const Slu__Pb__BlockOpResponse *m)
{
	struct slu_err *e = c->err;
	const char *text = m->message ? m->message : "no reason given";
	int code = m->status == TOKEN_REFUSED ? EKEYEXPIRED : ENOENT;

	return slu_fail(e, code, "the DataNode '%s' refused: %.*s", c->who,
			(int)strcspn(text, "\r\n"), text);
}

static int take_checksum(struct slu_packets *c, const Slu__Pb__BlockOpResponse *m)
{
	const Slu__Pb__ReadOpChecksumInfo *info = m->read_op_checksum_info;

	if (!info || info->checksum->type > 2)
		return -EPROTO;
	c->type = (int)info->checksum->type;
	c->chunk = c->type ? info->checksum->bytes_per_checksum : 0;
	c->at = info->chunk_offset;
	if (c->type && (!c->chunk || c->chunk > CHUNK_MAX || c->at % c->chunk))
		return -EPROTO;
	if (c->at > c->off || c->off - c->at >= (c->chunk ? c->chunk : 1))
		return -EPROTO;
	free(c->edge);
	c->edge = c->chunk ? slu_malloc(2 * c->chunk) : NULL;
	return c->chunk && !c->edge ? -ENOMEM : 0;
}

/* 1: the answer is there; 0: more has to come. */
static int take_answer(struct slu_packets *c)
{
	Slu__Pb__BlockOpResponse *m;
	uint32_t n;
	int used = slu_pb_varint(here(c), have(c), &n), rc;

	if (used <= 0)
		return used;
	if (n > SLU_PACKETS_PRE - 5)
		return -EPROTO;
	if (have(c) - (size_t)used < n)
		return 0;
	m = slu__pb__block_op_response__unpack(NULL, n, here(c) + used);
	if (!m)
		return -EPROTO;
	c->pre_off += (size_t)used + n;
	rc = m->status ? refused(c, m) : take_checksum(c, m);
	slu__pb__block_op_response__free_unpacked(m, NULL);
	c->answered = true;
	c->phase = HEAD;
	return rc ? rc : 1;
}

/* --- packets --- */

static uint64_t le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

struct header {
	int64_t offset, seqno;
	bool last;
	int32_t len;
};

/* PacketHeaderProto: every field has a fixed width, but a later one may follow. */
static bool parse_header(const uint8_t *p, size_t n, struct header *h)
{
	unsigned seen = 0;

	for (size_t i = 0; i < n;) {
		uint8_t tag = p[i++];
		size_t width = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : (tag & 7) == 0 ? 1 : 0;

		if (!width || n - i < width || (width == 1 && p[i] & 0x80))
			return false;
		if (tag == (1 << 3 | 1))
			h->offset = (int64_t)le(p + i, 8);
		else if (tag == (2 << 3 | 1))
			h->seqno = (int64_t)le(p + i, 8);
		else if (tag == (3 << 3 | 0))
			h->last = p[i];
		else if (tag == (4 << 3 | 5))
			h->len = (int32_t)le(p + i, 4);
		if (tag >> 3 <= 4)
			seen |= 1u << (tag >> 3);
		i += width;
	}
	return seen == 0x1e;
}

static uint64_t range_begin(const struct slu_packets *c)
{
	return c->off;
}

static uint64_t range_end(const struct slu_packets *c)
{
	return c->off + c->len;
}

/* Are the lengths of a packet what the protocol and our question make them? */
static int check_packet(struct slu_packets *c, const struct header *h, size_t rest)
{
	size_t chunks = c->chunk ? ((size_t)h->len + c->chunk - 1) / c->chunk : 0;
	uint64_t end = (uint64_t)h->offset + (uint64_t)h->len;

	if (h->len < 0 || (size_t)h->len > rest || h->last != !h->len)
		return -EPROTO;
	c->data = (size_t)h->len;
	c->nsums = rest - c->data;
	if (!c->data)
		return c->nsums ? -EPROTO : 0;
	if ((uint64_t)h->offset != c->at || c->nsums != 4 * chunks)
		return -EPROTO;
	/* Only the chunk in which the range ends may go beyond it. */
	return end > range_end(c) && end - range_end(c) >= (c->chunk ? c->chunk : 1) ? -EPROTO : 0;
}

static int take_head(struct slu_packets *c)
{
	const uint8_t *p = here(c);
	struct header h = {0};
	size_t plen, hlen;
	int rc;

	if (have(c) < 6)
		return 0;
	plen = slu_be32(p);
	hlen = (size_t)p[4] << 8 | p[5];
	if (plen < 4 || plen - 4 > PACKET_MAX || hlen > HEADER_MAX)
		return -EPROTO;
	if (have(c) < 6 + hlen)
		return 0;
	if (!parse_header(p + 6, hlen, &h))
		return -EPROTO;
	rc = check_packet(c, &h, plen - 4);
	if (rc)
		return rc;
	c->pre_off += 6 + hlen;
	c->last = h.last;
	c->pos = c->at;
	c->sums_n = 0;
	c->phase = SUMS;
	if (c->nsums > c->sums_cap) {
		uint8_t *s = slu_reallocarray(c->sums, c->nsums, 1);

		if (!s)
			return -ENOMEM;
		c->sums = s;
		c->sums_cap = c->nsums;
	}
	return 1;
}

/* Where the byte at pos of the block goes, and how many may follow it there. */
static uint8_t *place(struct slu_packets *c, uint64_t pos, size_t *ret_room)
{
	uint64_t begin = range_begin(c), end = range_end(c), stop = c->at + c->data;
	uint64_t limit = pos < begin ? begin : pos < end ? end : stop;
	uint8_t *p;

	if (limit > stop)
		limit = stop;
	*ret_room = (size_t)(limit - pos);
	if (pos < begin)
		p = c->edge + (c->chunk - (size_t)(begin - pos));
	else if (pos < end)
		p = (uint8_t *)c->buf + (pos - begin);
	else
		p = c->edge + c->chunk + (pos - end);
	return p;
}

static uint32_t crc_more(const struct slu_packets *c, uint32_t crc, const void *p, size_t n)
{
	return c->type == 1 ? slu_crc32(crc, p, n) : slu_crc32c(crc, p, n);
}

static bool packet_right(struct slu_packets *c)
{
	uint64_t pos = c->at, stop = c->at + c->data;

	for (size_t i = 0; i < c->nsums; i += 4) {
		uint64_t next = pos + c->chunk < stop ? pos + c->chunk : stop;
		uint32_t crc = 0;

		while (pos < next) {
			size_t n;
			const uint8_t *p = place(c, pos, &n);

			if (n > next - pos)
				n = (size_t)(next - pos);
			crc = crc_more(c, crc, p, n);
			pos += n;
		}
		if (crc != slu_be32(c->sums + i))
			return false;
	}
	return true;
}

/* A whole packet of data is there. */
static int packet_done(struct slu_packets *c)
{
	uint64_t end = c->at + c->data;

	if (!packet_right(c)) {
		return slu_fail(c->err, EBADMSG,
				"the replica on the DataNode '%s' is damaged: a checksum of block "
				"%llu does not fit its bytes",
				c->who, (unsigned long long)c->block);
	}
	if (end > range_end(c))
		end = range_end(c);
	if (end > range_begin(c))
		c->good = (size_t)(end - range_begin(c));
	c->at += c->data;
	c->phase = HEAD;
	return 1;
}

/* The empty packet at the end. */
static int finish(struct slu_packets *c)
{
	if (c->good != c->len)
		return slu_fail(c->err, ENOENT,
				"the DataNode '%s' has %zu of the %zu bytes that are wanted of "
				"block %llu",
				c->who, c->good, c->len, (unsigned long long)c->block);
	return SLU_PACKETS_END;
}

static int take_sums(struct slu_packets *c)
{
	size_t n = c->nsums - c->sums_n;

	if (n > have(c))
		n = have(c);
	if (n)
		memcpy(c->sums + c->sums_n, here(c), n);
	c->sums_n += n;
	c->pre_off += n;
	if (c->sums_n < c->nsums)
		return 0;
	if (c->last)
		return finish(c);
	c->phase = DATA;
	return 1;
}

/* What of the data was read ahead. */
static int take_data(struct slu_packets *c)
{
	while (have(c) && c->pos < c->at + c->data) {
		size_t n;
		uint8_t *p = place(c, c->pos, &n);

		if (n > have(c))
			n = have(c);
		memcpy(p, here(c), n);
		c->pos += n;
		c->pre_off += n;
	}
	return c->pos == c->at + c->data ? packet_done(c) : 0;
}

/* As far as it goes with what is there. */
static int advance(struct slu_packets *c)
{
	int r = 1;

	while (r == 1) {
		switch (c->phase) {
		case ANSWER:
			r = take_answer(c);
			break;
		case HEAD:
			r = take_head(c);
			break;
		case SUMS:
			r = take_sums(c);
			break;
		default:
			r = take_data(c);
			break;
		}
	}
	return r;
}

int slu_packets_room(struct slu_packets *c, struct iovec iov[SLU_PACKETS_IOV])
{
	uint64_t pos = c->pos;
	int n = 0;

	if (c->pre_off) {
		memmove(c->pre, here(c), have(c));
		c->pre_len -= c->pre_off;
		c->pre_off = 0;
	}
	c->want = 0;
	while (c->phase == DATA && pos < c->at + c->data) {
		size_t len;
		uint8_t *p = place(c, pos, &len);

		iov[n++] = (struct iovec){p, len};
		pos += len;
		c->want += len;
	}
	iov[n++] = (struct iovec){c->pre + c->pre_len, SLU_PACKETS_PRE - c->pre_len};
	return n;
}

int slu_packets_got(struct slu_packets *c, size_t n)
{
	size_t data = n < c->want ? n : c->want;

	c->pos += data;
	c->pre_len += n - data;
	return advance(c);
}

bool slu_packets_left(const struct slu_packets *c)
{
	return c->pre_off < c->pre_len;
}
