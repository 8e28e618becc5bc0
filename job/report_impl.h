/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write a run's report share.  Private to job/report*.c. */
#ifndef SLU_JOB_REPORT_IMPL_H
#define SLU_JOB_REPORT_IMPL_H

#include "common/buf.h"
#include "job/run.h"

#define REP_ALL SIZE_MAX /* of rep_esc: up to the NUL */

struct rep_step {
	char *name; /* in its pipeline; of a job alone its run's id */
	char *id;
	struct json_t *doc;
	const char *status; /* in doc, or a literal */
	int64_t begin, end; /* wall clock, ns; 0: not yet */
};

struct report {
	struct sluice *s;
	struct slu_buf *b; /* the file; fails stickily */
	struct slu_run *root;
	const char *status;
	struct rep_step *steps;
	size_t n;
	int64_t now;
	size_t log_room; /* bytes that one log may take */
};

/* --- report_html.c --- */

void rep_begin(struct report *r, const char *title); /* head, with the style and its policy */
void rep_end(struct report *r);
/* Text as HTML shows it: never markup, control and direction characters made visible. */
void rep_esc(struct slu_buf *b, const char *s, size_t n);
/* The same of a log: colours left out, a carriage return begins a line. */
void rep_log_text(struct slu_buf *b, const char *s, size_t n);
void rep_section(struct report *r, const char *id, const char *title);
/* A row "label: text" of a table; nothing when text is NULL. */
void rep_row(struct report *r, const char *label, const char *text);
/* The same for each value in v, nested ones as "label.key"; names of secrets keep theirs. */
void rep_rows(struct report *r, const char *label, const struct json_t *v, unsigned depth);
void rep_cell(struct report *r, const char *text); /* NULL: an empty one */
void rep_badge(struct report *r, const char *status);
const char *rep_class(const char *status); /* "ok", "bad", "off", "run", "wait": of the style */

#define REP_TEXT 40
void rep_duration(char out[REP_TEXT], int64_t ns); /* "1.204 s" */
void rep_bytes(char out[REP_TEXT], uint64_t bytes);
/* The first characters of s, so that it fits into a box. */
void rep_short(struct slu_buf *b, const char *s, size_t max);

/* --- the pictures --- */

/* 0 or -ENOMEM. */
int rep_graph(struct report *r);
void rep_timeline(struct report *r);

/* --- report_step.c --- */

void rep_step(struct report *r, size_t i);
/* One log of a run, cut in the middle when it is longer than there is room.  Nothing when it is not
 * there or empty. */
void rep_log(struct report *r, struct slu_run *run, const char *path);

/* --- report_data.c --- */

void rep_lineage(struct report *r);
void rep_computes(struct report *r);

#endif
