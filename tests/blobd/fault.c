/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules, one a line; the first that fits decides, and counts what it matched:
 *
 *   OP PATTERN WHEN ACTION [N] [TEXT] [retry-after=SECONDS]
 *
 * OP is what main.c calls the request (get, head, list, put, putblock, putlist, delete ...) or *.
 * PATTERN is fnmatch(3) of CONTAINER/NAME, of a listing CONTAINER/PREFIX.  WHEN is which of those that
 * fit: 3, 2-4, 2- or *.  ACTIONs and what N is to them:
 *
 *   status CODE [ERRORCODE]   html [STATUS]   redirect 0 URL   refuse-body
 *   cut BYTES, reset BYTES    the connection ends after so much of the body
 *   stall BYTES               nothing more comes until the client leaves or /-/release, which comes after the
 *                             rule is taken away; -1: not even a head
 *   lost                      carried out, never answered
 *   delay MS, drip MS         before it is looked at; between any two bytes
 *   flip BYTE, shorten BYTES, extra, empty-range, no-range, other-range, total
 *   no-length, two-lengths, gzip, date SECONDS, big-header BYTES
 *   etag                      another one in the answer; change: the blob has another from now on
 *   marker-same, marker-cycle, marker-endless, unordered, twice, hostile, wrong-size   of listings
 *
 * The log has a line for each request: number, op, method, CONTAINER/NAME, status, bytes of the body,
 * the range asked for or -, the action or -.
 */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const kinds[FAULT_KINDS] = {
	[FAULT_NONE] = "-",
	[FAULT_STATUS] = "status",
	[FAULT_CUT] = "cut",
	[FAULT_RESET] = "reset",
	[FAULT_STALL] = "stall",
	[FAULT_DELAY] = "delay",
	[FAULT_DRIP] = "drip",
	[FAULT_FLIP] = "flip",
	[FAULT_ETAG] = "etag",
	[FAULT_CHANGE] = "change",
	[FAULT_LOST] = "lost",
	[FAULT_EXTRA] = "extra",
	[FAULT_NO_LENGTH] = "no-length",
	[FAULT_TWO_LENGTHS] = "two-lengths",
	[FAULT_NO_RANGE] = "no-range",
	[FAULT_OTHER_RANGE] = "other-range",
	[FAULT_TOTAL] = "total",
	[FAULT_EMPTY_RANGE] = "empty-range",
	[FAULT_SHORTEN] = "shorten",
	[FAULT_MARKER_SAME] = "marker-same",
	[FAULT_MARKER_CYCLE] = "marker-cycle",
	[FAULT_MARKER_ENDLESS] = "marker-endless",
	[FAULT_HTML] = "html",
	[FAULT_GZIP] = "gzip",
	[FAULT_DATE] = "date",
	[FAULT_REDIRECT] = "redirect",
	[FAULT_BIG_HEADER] = "big-header",
	[FAULT_UNORDERED] = "unordered",
	[FAULT_TWICE] = "twice",
	[FAULT_HOSTILE] = "hostile",
	[FAULT_WRONG_SIZE] = "wrong-size",
	[FAULT_REFUSE_BODY] = "refuse-body",
};

struct rule {
	char op[16], pattern[1200];
	uint64_t from, to, seen;
	struct fault fault;
};

static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule *rules;
static size_t nrules;
static unsigned released;

static bool read_when(struct rule *r, const char *text)
{
	char *dash = strchr(text, '-');

	r->from = 1;
	r->to = UINT64_MAX;
	if (!strcmp(text, "*"))
		return true;
	if (dash)
		*dash = '\0';
	if (!slu_u64(text, &r->from))
		return false;
	if (!dash)
		r->to = r->from;
	else if (dash[1])
		return slu_u64(dash + 1, &r->to);
	return true;
}

static bool read_kind(struct rule *r, const char *text)
{
	for (size_t i = 1; i < FAULT_KINDS; i++)
		if (!strcmp(kinds[i], text)) {
			r->fault.kind = (enum fault_kind)i;
			return true;
		}
	return false;
}

/* NULL, or what is wrong with the line. */
static const char *read_rule(struct rule *r, char *line)
{
	char *save = NULL, *word[8];
	const char *got;
	size_t n = 0;

	*r = (struct rule){.fault.retry_after = -1};
	for (char *w = strtok_r(line, " ", &save); w && n < 8; w = strtok_r(NULL, " ", &save))
		word[n++] = w;
	if (n < 4)
		return "a rule is OP PATTERN WHEN ACTION";
	snprintf(r->op, sizeof(r->op), "%s", word[0]);
	snprintf(r->pattern, sizeof(r->pattern), "%s", word[1]);
	if (!read_when(r, word[2]))
		return "WHEN is 3, 2-4, 2- or *";
	if (!read_kind(r, word[3]))
		return "no such action";
	for (size_t i = 4; i < n; i++) {
		int64_t v;

		if ((got = slu_after(word[i], "retry-after=")))
			slu_i64(got, 0, 1 << 30, &r->fault.retry_after);
		else if (i == 4 && slu_i64(word[i], -(1LL << 40), 1LL << 40, &v))
			r->fault.n = v;
		else
			snprintf(r->fault.text, sizeof(r->fault.text), "%s", word[i]);
	}
	return NULL;
}

int rules_set(const char *text, const char **why)
{
	char *copy = must(strdup(text)), *save = NULL;
	struct rule *v = NULL;
	size_t n = 0;

	*why = NULL;
	for (char *l = strtok_r(copy, "\n", &save); l && !*why; l = strtok_r(NULL, "\n", &save)) {
		v = must(realloc(v, (n + 1) * sizeof(*v)));
		*why = read_rule(&v[n++], l);
	}
	free(copy);
	if (*why) {
		free(v);
		return -EINVAL;
	}
	pthread_mutex_lock(&rules_lock);
	free(rules);
	rules = v;
	nrules = n;
	pthread_mutex_unlock(&rules_lock);
	*why = "";
	return 0;
}

static void object(const struct request *q, char *out, size_t n)
{
	const char *prefix = query(q, "prefix");

	snprintf(out, n, "%s/%s", q->container, *q->name ? q->name : prefix ? prefix : "");
}

void rules_match(struct request *q)
{
	char what[2400];

	object(q, what, sizeof(what));
	pthread_mutex_lock(&rules_lock);
	q->released = __atomic_load_n(&released, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < nrules; i++) {
		struct rule *r = &rules[i];

		if ((strcmp(r->op, "*") && strcmp(r->op, q->op)) || fnmatch(r->pattern, what, 0))
			continue;
		r->seen++;
		if (r->seen < r->from || r->seen > r->to)
			continue;
		q->fault = r->fault;
		break;
	}
	pthread_mutex_unlock(&rules_lock);
	if (q->fault.kind != FAULT_DELAY)
		log_expect(q);
}

void rules_release(void)
{
	__atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
}

/* Until the client closes its end, or the tests say so: from when the rule was found on. */
void stall(struct request *q)
{
	struct pollfd p = {.fd = conn_fd(q->conn), .events = POLLRDHUP};

	log_request(q); /* who left it may look at once */
	while (__atomic_load_n(&released, __ATOMIC_SEQ_CST) == q->released)
		if (poll(&p, 1, 50) > 0)
			return;
}

/* --- the log --- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slu_buf lines = {.max = 256 << 20};
static unsigned long long nr;

/* Requests that are about to be in the log.  Who has an answer and asks for the log wants to see what was answered, and the
 * thread that answered may still be on its way, for long on a busy machine.  What is slow on purpose is in the log before
 * (stall, drip) or expected after (delay) its time. */
#define PATIENCE_S 20
static pthread_cond_t log_done = PTHREAD_COND_INITIALIZER;
static unsigned expected;

void log_expect(struct request *q)
{
	pthread_mutex_lock(&log_lock);
	q->expected = true;
	expected++;
	pthread_mutex_unlock(&log_lock);
}

/* With the lock. */
static void log_wait(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	while (expected && !pthread_cond_timedwait(&log_done, &log_lock, &until))
		;
}

void log_request(struct request *q)
{
	char what[2400];
	const char *range = header(q, "x-ms-range") ?: header(q, "range");

	if (q->logged || slu_starts(q->raw_path, "/-/"))
		return;
	q->logged = true;
	object(q, what, sizeof(what));
	pthread_mutex_lock(&log_lock);
	if (q->expected && !--expected)
		pthread_cond_broadcast(&log_done);
	slu_buf_fmt(&lines, "%llu %s %s ", ++nr, q->op, q->method);
	slu_url_encode(&lines, what, strlen(what), "/");
	slu_buf_fmt(&lines, " %d %llu %s %s\n", q->status, (unsigned long long)q->sent,
		    range ?: "-", kinds[q->fault.kind]);
	pthread_mutex_unlock(&log_lock);
}

void log_text(struct slu_buf *b)
{
	pthread_mutex_lock(&log_lock);
	log_wait();
	slu_buf_add(b, lines.p, lines.len);
	pthread_mutex_unlock(&log_lock);
}

void log_clear(void)
{
	pthread_mutex_lock(&log_lock);
	log_wait();
	slu_buf_clear(&lines);
	pthread_mutex_unlock(&log_lock);
}
