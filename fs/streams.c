/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern detection for the reader (streams.h).  Knows nothing of blocks, stores or budgets. */
#include "fs/streams.h"

#define SLACK_READS 8u
#define SLACK_MAX (4u << 20)
#define BACKWARD_JOINS 2 /* before it is believed */
#define STRIDES 3
#define SURE (1u << 20) /* read in a row: a scan, most likely */
#define SURE_GAIN 3
#define WHOLE_GAIN 8 /* of one that began with the file: it is read whole, most likely */
#define BIG                                                                                        \
	(512u                                                                                      \
	 << 10) /* so much at once from the start on: of a program that reads on, most likely */

static uint64_t slack_of(size_t len)
{
	uint64_t slack = (uint64_t)len * SLACK_READS;

	return slack < SLACK_MAX ? slack : SLACK_MAX;
}

/* A read of a stream that is not steady yet: only an exact neighbour, on either side, joins. */
static bool join_new(struct slu_stream *s, uint64_t off, size_t len)
{
	if (off == s->head) {
		s->head += len;
		s->way = SLU_FORWARD;
		s->steady = true;
	} else if (off + len == s->start) {
		s->start = off;
		s->way = SLU_BACKWARD;
		s->steady = ++s->joins >= BACKWARD_JOINS;
	} else {
		return false;
	}
	s->run += len;
	if (s->steady)
		s->ahead = s->way == SLU_FORWARD ? s->head : s->start;
	return true;
}

static bool join_forward(struct slu_stream *s, uint64_t off, size_t len)
{
	uint64_t end = off + len, slack = slack_of(len);

	if (off > s->head + slack || end + slack < s->head)
		return false;
	if (end > s->head) {
		s->run += end - (off > s->head ? off : s->head);
		s->head = end;
	}
	if (s->ahead < s->head)
		s->ahead = s->head;
	return true;
}

static bool join_backward(struct slu_stream *s, uint64_t off, size_t len)
{
	uint64_t end = off + len, slack = slack_of(len);

	if (end + slack < s->start || off > s->start + slack)
		return false;
	if (off < s->start) {
		s->run += (end < s->start ? end : s->start) - off;
		s->start = off;
	}
	if (s->ahead > s->start)
		s->ahead = s->start;
	return true;
}

static bool join(struct slu_stream *s, uint64_t off, size_t len)
{
	if (!s->steady)
		return join_new(s, off, len);
	return s->way == SLU_FORWARD ? join_forward(s, off, len) : join_backward(s, off, len);
}

static unsigned oldest(const struct slu_streams *st)
{
	unsigned o = 0;

	for (unsigned i = 1; i < SLU_STREAMS; i++)
		if (st->s[i].used < st->s[o].used)
			o = i;
	return o;
}

/* A read that joins nothing: the first of something new, or the next of equal distances. */
static struct slu_stream *begin(struct slu_streams *st, uint64_t off, size_t len, int *ret_change)
{
	struct slu_stream before = st->s[st->last], *s;
	int64_t stride = before.run ? (int64_t)(off - before.start) : 0;
	unsigned at = oldest(st);

	s = &st->s[at];
	*ret_change = s->steady ? -1 : 0;
	*s = (struct slu_stream){.start = off, .head = off + len, .run = len, .used = st->clock};
	s->stride = stride;
	s->segment = before.run;
	if (stride && stride == before.stride) {
		s->strides = before.strides + 1;
		s->laid = before.laid ? before.laid - 1 : 0;
		s->pace = before.pace;
	} else {
		s->strides = stride != 0;
	}
	st->last = at;
	return s;
}

/* The stream is at its end: its slot is free. */
static bool ended(const struct slu_stream *s, uint64_t size)
{
	return s->way == SLU_FORWARD ? s->head >= size : !s->start;
}

enum slu_pattern slu_streams_note(struct slu_streams *st, uint64_t off, size_t len, uint64_t size,
				  struct slu_stream **ret, int *ret_change)
{
	struct slu_stream *s;

	*ret_change = 0;
	*ret = NULL;
	st->clock++;
	for (unsigned i = 0; i < SLU_STREAMS; i++) {
		s = &st->s[i];
		bool was = s->steady;

		if (!s->run || !join(s, off, len))
			continue;
		s->used = st->clock;
		st->last = i;
		*ret_change = s->steady - was;
		if (s->steady && ended(s, size)) {
			s->steady = false;
			s->run = 0;
			*ret_change = -was;
			return SLU_RANDOM;
		}
		*ret = s;
		if (s->strides >= STRIDES && s->run <= s->segment)
			return SLU_STRIDED;
		return s->steady ? s->way : SLU_RANDOM;
	}
	s = begin(st, off, len, ret_change);
	*ret = s;
	if (!off && len >= BIG && len < size) {
		s->way = SLU_FORWARD;
		s->steady = true;
		s->ahead = s->head;
		++*ret_change;
		return SLU_FORWARD;
	}
	return s->strides >= STRIDES ? SLU_STRIDED : SLU_RANDOM;
}

uint64_t slu_stream_window(const struct slu_stream *s, uint64_t max, bool trust)
{
	uint64_t read = s->run;

	if (s->strides >= STRIDES)
		read = s->segment * s->strides;
	else if (s->run >= SURE)
		read = s->run * (trust && !s->start ? WHOLE_GAIN : SURE_GAIN);
	return read < max ? read : max;
}

unsigned slu_streams_steady(const struct slu_streams *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_STREAMS; i++)
		n += st->s[i].steady;
	return n;
}
