/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of a pipeline (pipeline.h): first whether it stands, then a PipelineAckProto a packet, in
 * order.  Both are messages behind their lengths.  No I/O.
 */
#include "hdfs/pipeline.h"

#include "common/str.h"
#include "hdfs/rpc.h"

#include <errno.h>
#include <string.h>

#define TOKEN_REFUSED 5 /* ERROR_ACCESS_TOKEN of datatransfer.proto */
#define IN_PROGRESS 12  /* the DataNode is busy, and says so that nobody gives up */
#define OUT_OF_BAND (-2)

static int refused(struct slu_acks *a, const Slu__Pb__BlockOpResponse *m)
{
	const char *text = m->message && *m->message ? m->message : "no reason given";
	const char *link = m->first_bad_link;
	int code = m->status == TOKEN_REFUSED ? EKEYEXPIRED : EREMOTEIO;

	a->bad = 0;
	for (unsigned i = 0; link && i < a->nodes; i++)
		if (slu_streq(link, a->names[i]))
			a->bad = i;
	return slu_fail(a->err, code, "the DataNode '%s' does not take the block: %.*s",
			a->names[a->bad], (int)strcspn(text, "\r\n"), text);
}

static int take_setup(struct slu_acks *a, const uint8_t *p, size_t n)
{
	Slu__Pb__BlockOpResponse *m = slu__pb__block_op_response__unpack(NULL, n, p);
	int r = 0;

	if (!m)
		return -EPROTO;
	if (m->status == IN_PROGRESS)
		r = 0;
	else if (m->status)
		r = refused(a, m);
	else
		a->ready = true;
	slu__pb__block_op_response__free_unpacked(m, NULL);
	return r;
}

static int judge(struct slu_acks *a, const Slu__Pb__PipelineAck *m)
{
	for (size_t i = 0; i < m->n_reply; i++) {
		if (m->reply[i] == 0 || i >= a->nodes)
			continue;
		a->bad = (unsigned)i;
		return slu_fail(a->err, EREMOTEIO,
				"the DataNode '%s' failed while it wrote (status %u)", a->names[i],
				m->reply[i]);
	}
	if (m->seqno == OUT_OF_BAND) {
		a->bad = 0;
		return slu_fail(a->err, EREMOTEIO, "the DataNode '%s' is going to restart", a->who);
	}
	/* They come in the order in which packets were sent; -1 is a heartbeat's. */
	if (m->seqno == -1)
		return 0;
	if (m->seqno != a->acked + 1 || m->seqno > a->last || m->n_reply < a->nodes)
		return -EPROTO;
	a->acked = m->seqno;
	return a->acked == a->last ? SLU_ACKS_END : 0;
}

static int take_ack(struct slu_acks *a, const uint8_t *p, size_t n)
{
	Slu__Pb__PipelineAck *m = slu__pb__pipeline_ack__unpack(NULL, n, p);
	int r;

	if (!m)
		return -EPROTO;
	r = judge(a, m);
	slu__pb__pipeline_ack__free_unpacked(m, NULL);
	return r;
}

int slu_acks_got(struct slu_acks *a, size_t n)
{
	size_t at = 0;
	int r = 0;

	a->n += n;
	while (r == 0) {
		uint32_t len;
		int used = slu_pb_varint(a->buf + at, a->n - at, &len);

		if (used < 0 || (used > 0 && len > sizeof(a->buf) - 5))
			return -EPROTO;
		if (used == 0 || a->n - at - (size_t)used < len)
			break;
		at += (size_t)used;
		r = a->ready ? take_ack(a, a->buf + at, len) : take_setup(a, a->buf + at, len);
		at += len;
	}
	memmove(a->buf, a->buf + at, a->n - at);
	a->n -= at;
	return r;
}
