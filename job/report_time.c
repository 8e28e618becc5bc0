/* SPDX-License-Identifier: Apache-2.0 */
/* The time of a run: a row a step, a piece of bar for each state that it was in. */
#include "job/report_impl.h"

#include "common/str.h"
#include "common/time.h"

#include <stdio.h>

enum { LABEL = 200, BARS = 860, ROW = 24, HEAD = 24, TICKS = 8, NAME = 26 };

struct span {
	int64_t from, to;
};

static const char *state_class(const char *status)
{
	if (slu_streq(status, "Preparing"))
		return "prep";
	if (slu_streq(status, "Finalizing"))
		return "fin";
	return rep_class(status);
}

static struct span whole(const struct report *r)
{
	struct span s = {0, 0};

	for (size_t i = 0; i < r->n; i++) {
		const struct rep_step *st = &r->steps[i];
		int64_t end = st->end ? st->end : r->now;

		if (!st->begin)
			continue;
		s.from = s.from && s.from < st->begin ? s.from : st->begin;
		s.to = s.to > end ? s.to : end;
	}
	if (s.to <= s.from)
		s.to = s.from + SLU_MS;
	return s;
}

static int place(const struct span *s, int64_t t)
{
	double part = (double)(t - s->from) / (double)(s->to - s->from);

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return LABEL + (int)(part * BARS);
}

/* A distance of lines that people count in. */
static int64_t tick(int64_t span)
{
	static const int64_t ms[] = {
		1,      2,       5,       10,      20,       50,       100,      200,      500,
		1000,   2000,    5000,    10000,   15000,    30000,    60000,    120000,   300000,
		600000, 1800000, 3600000, 7200000, 21600000, 43200000, 86400000, 604800000};
	int64_t step = SLU_MS;

	for (size_t i = 0; span / step > TICKS && i < sizeof ms / sizeof *ms; i++)
		step = ms[i] * SLU_MS;
	while (span / step > TICKS)
		step *= 2;
	return step;
}

static void put_grid(struct report *r, const struct span *s, int height)
{
	int64_t step = tick(s->to - s->from);
	char text[REP_TEXT];

	for (int64_t t = s->from; t <= s->to; t += step) {
		int x = place(s, t);

		rep_duration(text, t - s->from);
		slu_buf_fmt(r->b,
			    "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>"
			    "<text class=\"soft\" x=\"%d\" y=\"14\">%s</text>\n",
			    x, x, HEAD - 6, height, x + 3, text);
	}
}

static void put_piece(struct report *r, const struct span *s, int y, const char *status,
		      struct span at)
{
	int x = place(s, at.from), w = place(s, at.to) - x;
	char took[REP_TEXT];

	rep_duration(took, at.to - at.from);
	slu_buf_fmt(r->b,
		    "<rect class=\"f-%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\">"
		    "<title>",
		    state_class(status), x, y + 4, w > 0 ? w : 1, ROW - 8);
	rep_esc(r->b, status, REP_ALL);
	slu_buf_fmt(r->b, " %s</title></rect>\n", took);
}

/* From one state to the next; the last one of a run that goes on, up to now. */
static void put_bars(struct report *r, const struct span *s, const struct rep_step *st, int y)
{
	const struct json_t *states = slu_json_get(st->doc, "states");
	size_t n = slu_json_count(states);

	for (size_t i = 0; i < n; i++) {
		const struct json_t *o = slu_json_at(states, i), *next = slu_json_at(states, i + 1);
		const char *status = slu_json_str(o, "status"), *time = slu_json_str(o, "time");
		const char *until = slu_json_str(next, "time");
		struct span at = {0, r->now};

		if (!status || !time || slu_run_is_end(status) || !slu_time_parse(time, &at.from) ||
		    (until && !slu_time_parse(until, &at.to)) || at.from < st->begin)
			continue;
		put_piece(r, s, y, status, at);
	}
}

void rep_timeline(struct report *r)
{
	struct span s = whole(r);
	int height = HEAD + (int)r->n * ROW + 6;

	if (!s.from) {
		slu_buf_str(r->b, "<p class=\"soft\">No step has begun.</p>\n");
		return;
	}
	slu_buf_fmt(r->b,
		    "<div class=\"wide\"><svg role=\"img\" aria-label=\"Time\" width=\"%d\" "
		    "height=\"%d\" viewBox=\"0 0 %d %d\">\n",
		    LABEL + BARS + 70, height, LABEL + BARS + 70, height);
	put_grid(r, &s, height);
	for (size_t i = 0; i < r->n; i++) {
		int y = HEAD + (int)i * ROW;

		slu_buf_fmt(r->b, "<a href=\"#s%zu\"><text x=\"4\" y=\"%d\">", i, y + 16);
		rep_short(r->b, r->steps[i].name, NAME);
		slu_buf_str(r->b, "<title>");
		rep_esc(r->b, r->steps[i].name, REP_ALL);
		slu_buf_str(r->b, "</title></text></a>\n");
		put_bars(r, &s, &r->steps[i], y);
	}
	slu_buf_str(r->b,
		    "</svg></div>\n<p class=\"soft\">Yellow: data is prepared. Blue: it runs. "
		    "Violet: outputs are collected.</p>\n");
}
