/* SPDX-License-Identifier: Apache-2.0 */
/* Stream detection for the reader (streams.h).  Knows nothing of blocks, stores or budgets. */
#include "fs/streams.h"

#define SLACK_READS 8u
#define SLACK_MAX (4u << 20)

static uint64_t slack_of(size_t len)
{
	uint64_t slack = (uint64_t)len * SLACK_READS;

	return slack < SLACK_MAX ? slack : SLACK_MAX;
}

/* A read of a stream that is not steady yet: only an exact neighbour, on either side, joins. */
static bool join_new(struct slu_stream *s, uint64_t off, size_t len)
{
	if (off == s->head)
		s->head += len;
	else if (off + len == s->start)
		s->start = off;
	else
		return false;
	s->run += len;
	s->steady = true;
	return true;
}

static bool join_steady(struct slu_stream *s, uint64_t off, size_t len)
{
	uint64_t end = off + len, slack = slack_of(len);

	if (off > s->head + slack || end + slack < s->head)
		return false;
	if (end > s->head) {
		s->run += end - (off > s->head ? off : s->head);
		s->head = end;
	}
	return true;
}

static struct slu_stream *oldest(struct slu_streams *st)
{
	struct slu_stream *o = &st->s[0];

	for (unsigned i = 1; i < SLU_STREAMS; i++)
		if (st->s[i].used < o->used)
			o = &st->s[i];
	return o;
}

struct slu_stream *slu_streams_note(struct slu_streams *st, uint64_t off, size_t len,
				    int *ret_change)
{
	struct slu_stream *s;

	*ret_change = 0;
	st->clock++;
	for (unsigned i = 0; i < SLU_STREAMS; i++) {
		s = &st->s[i];
		if (!s->run)
			continue;
		bool was = s->steady;
		if (was ? !join_steady(s, off, len) : !join_new(s, off, len))
			continue;
		s->used = st->clock;
		if (s->ahead < s->head)
			s->ahead = s->head;
		*ret_change = was ? 0 : 1;
		return s;
	}
	s = oldest(st);
	*ret_change = s->steady ? -1 : 0;
	*s = (struct slu_stream){
		.start = off, .head = off + len, .run = len, .ahead = off + len, .used = st->clock};
	return NULL;
}

uint64_t slu_stream_target(const struct slu_stream *s, uint64_t max, uint64_t size)
{
	uint64_t window = s->run < max ? s->run : max;

	return window < size && s->head < size - window ? s->head + window : size;
}

unsigned slu_streams_steady(const struct slu_streams *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_STREAMS; i++)
		n += st->s[i].steady;
	return n;
}
