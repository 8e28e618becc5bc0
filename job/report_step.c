/* SPDX-License-Identifier: Apache-2.0 */
/* A step's part of a report: what it ran, its data, its figures, its logs. */
#include "job/report_impl.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIGEST = 12, HEAD_PART = 4 }; /* a quarter of a log that is cut is its beginning */

/* --- logs --- */

struct log {
	int fd; /* -1: in the store */
	struct slu_store *store;
	char *path; /* in the store */
	uint64_t size;
};

static void log_done(struct log *l)
{
	slu_closep(&l->fd);
	free(l->path);
}

/* False: there is none.  A link or a pipe that the step put there is none either. */
static bool log_open(const struct slu_run *run, const char *path, struct log *l)
{
	struct slu_attr attr;
	struct stat st;

	if (run->fd >= 0)
		l->fd = slu_path_open(run->fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
				      SLU_LINKS_NONE);
	if (l->fd >= 0) {
		l->size = fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
		return l->size > 0;
	}
	l->store = run->store;
	l->path = l->store ? slu_path_join(run->store_dir, path) : NULL;
	if (!l->path || slu_store_stat(l->store, l->path, &attr, NULL) < 0)
		return false;
	l->size = attr.kind == SLU_KIND_FILE ? attr.size : 0;
	return l->size > 0;
}

/* Reads [off, off + n); fewer bytes where it is shorter by now. */
static size_t log_read(const struct log *l, uint64_t off, size_t n, char *buf)
{
	size_t got = 0;

	if (l->fd < 0) {
		struct slu_op op;

		slu_op_read(&op, l->path, off, n, buf, NULL);
		return slu_store_wait(l->store, &op, NULL) < 0 ? 0 : n;
	}
	while (got < n) {
		ssize_t k = pread(l->fd, buf + got, n - got, (off_t)(off + got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		got += (size_t)k;
	}
	return got;
}

static void put_log(struct report *r, const struct slu_run *run, const struct log *l,
		    const char *path, char *buf)
{
	size_t head = r->log_room / HEAD_PART, tail = r->log_room - head;
	char size[REP_TEXT];

	rep_bytes(size, l->size);
	slu_buf_str(r->b, "<details><summary>");
	rep_esc(r->b, path, REP_ALL);
	slu_buf_fmt(r->b, " <span class=\"soft\">(%s)</span></summary><pre>", size);
	if (l->size <= r->log_room) {
		rep_log_text(r->b, buf, log_read(l, 0, (size_t)l->size, buf));
	} else {
		rep_log_text(r->b, buf, log_read(l, 0, head, buf));
		rep_bytes(size, l->size - r->log_room);
		slu_buf_fmt(r->b,
			    "\n<span class=\"cut\">[... %s are left out here; all of it is in ",
			    size);
		rep_esc(r->b, l->fd < 0 ? run->store_dir : run->dir, REP_ALL);
		slu_buf_ch(r->b, '/');
		rep_esc(r->b, path, REP_ALL);
		slu_buf_str(r->b, " ...]</span>\n");
		rep_log_text(r->b, buf, log_read(l, l->size - tail, tail, buf));
	}
	slu_buf_str(r->b, "</pre></details>\n");
}

void rep_log(struct report *r, struct slu_run *run, const char *path)
{
	SLU_AUTO(slu_freep) char *buf = slu_malloc(r->log_room);
	struct log l = {.fd = -1};

	if (!buf)
		r->b->err = ENOMEM;
	else if (log_open(run, path, &l))
		put_log(r, run, &l, path, buf);
	log_done(&l);
}

static void put_logs(struct report *r, const struct rep_step *st)
{
	SLU_AUTO(slu_run_freep) struct slu_run *run = NULL;

	/* Read again: no more than one run's folder is open at a time. */
	if (slu_run_open(r->s, st->id, &run, NULL) < 0)
		return;
	size_t before = r->b->len;
	slu_buf_str(r->b, "<h4>Logs</h4>\n");
	size_t begun = r->b->len;
	rep_log(r, run, SLU_RUN_STDLOG);
	if (r->b->len == begun) {
		rep_log(r, run, SLU_RUN_STDOUT);
		rep_log(r, run, SLU_RUN_STDERR);
	}
	rep_log(r, run, SLU_RUN_DATA_LOG);
	if (r->b->len == begun && !slu_buf_err(r->b)) {
		r->b->len = before;
		r->b->p[before] = '\0';
	}
}

/* --- data --- */

static void put_count(struct report *r, const struct json_t *o, const char *key, bool bytes)
{
	char text[REP_TEXT] = "";

	if (slu_json_is_int(slu_json_get(o, key))) {
		int64_t n = slu_json_int(o, key, 0);

		if (bytes)
			rep_bytes(text, n < 0 ? 0 : (uint64_t)n);
		else
			snprintf(text, sizeof text, "%lld", (long long)n);
	}
	rep_cell(r, text);
}

static const struct json_t *find_input(const struct json_t *list, const char *name)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *is = slu_json_str(slu_json_at(list, i), "name");

		if (is && slu_streq(is, name))
			return slu_json_at(list, i);
	}
	return NULL;
}

/* The beginning of a digest says which. */
static void put_digest(struct report *r, const char *digest)
{
	slu_buf_str(r->b, "<td><code>");
	if (digest)
		rep_short(r->b, digest, DIGEST);
	slu_buf_str(r->b, "</code></td>");
}

static void put_version(struct report *r, const char *name, const char *version)
{
	slu_buf_str(r->b, "<td>");
	if (name)
		rep_esc(r->b, name, REP_ALL);
	if (name && version) {
		slu_buf_ch(r->b, ':');
		rep_esc(r->b, version, REP_ALL);
	}
	slu_buf_str(r->b, "</td>");
}

/* What it is: a value, a registered version, a reference, or another step's output. */
static void put_origin(struct report *r, const struct json_t *spec, const struct json_t *got)
{
	const char *step = slu_json_str(spec, "step"), *output = slu_json_str(spec, "output");
	const char *name = slu_json_str(got, "dataset"), *version = slu_json_str(got, "version");
	const char *text = slu_json_str(got, "ref");

	if (step && output) {
		slu_buf_str(r->b, "<td>");
		rep_esc(r->b, step, REP_ALL);
		slu_buf_str(r->b, " · ");
		rep_esc(r->b, output, REP_ALL);
		slu_buf_str(r->b, "</td>");
		return;
	}
	if (name && version) {
		put_version(r, name, version);
		return;
	}
	if (!text)
		text = slu_json_str(spec, "path");
	rep_cell(r, text ? text : slu_json_str(spec, "value"));
}

static void put_inputs(struct report *r, const struct rep_step *st)
{
	const struct json_t *specs = slu_json_get(slu_json_get(st->doc, "spec"), "inputs");
	const struct json_t *gots = slu_json_get(st->doc, "inputs");

	if (slu_json_count(specs) == 0)
		return;
	slu_buf_str(r->b, "<h4>Inputs</h4>\n<div class=\"wide\"><table>\n<tr><th>name</th>"
			  "<th>mode</th><th>from</th><th>dataset</th><th>manifest</th>"
			  "<th>files</th><th>size</th></tr>\n");
	for (size_t i = 0; i < slu_json_count(specs); i++) {
		const struct json_t *spec = slu_json_at(specs, i), *got;
		const char *name = slu_json_str(spec, "name");

		got = name ? find_input(gots, name) : NULL;
		slu_buf_str(r->b, "<tr>");
		rep_cell(r, name);
		rep_cell(r, slu_json_get(spec, "value") ? "value" : slu_json_str(spec, "mode"));
		put_origin(r, spec, got);
		rep_cell(r, slu_json_str(got, "id"));
		put_digest(r, slu_json_str(got, "manifest"));
		put_count(r, got, "files", false);
		put_count(r, got, "bytes", true);
		slu_buf_str(r->b, "</tr>\n");
	}
	slu_buf_str(r->b, "</table></div>\n");
}

static void put_outputs(struct report *r, const struct rep_step *st)
{
	const struct json_t *outs = slu_json_get(st->doc, "outputs");

	if (slu_json_count(outs) == 0)
		return;
	slu_buf_str(r->b, "<h4>Outputs</h4>\n<div class=\"wide\"><table>\n<tr><th>name</th>"
			  "<th>mode</th><th>where</th><th>registered</th><th>dataset</th>"
			  "<th>manifest</th><th>files</th><th>size</th></tr>\n");
	for (void *it = slu_json_iter(outs); it; it = slu_json_next(outs, it)) {
		const struct json_t *o = slu_json_iter_value(it);
		const struct json_t *reg = slu_json_get(o, "registered");

		slu_buf_str(r->b, "<tr>");
		rep_cell(r, slu_json_iter_key(it));
		rep_cell(r, slu_json_str(o, "mode"));
		rep_cell(r, slu_json_str(o, "uri"));
		put_version(r, slu_json_str(reg, "name"), slu_json_str(reg, "version"));
		rep_cell(r, slu_json_str(o, "dataset"));
		put_digest(r, slu_json_str(o, "manifest"));
		put_count(r, o, "files", false);
		put_count(r, o, "bytes", true);
		slu_buf_str(r->b, "</tr>\n");
	}
	slu_buf_str(r->b, "</table></div>\n");
}

/* --- all of it --- */

static void put_lines(struct report *r, const char *label, const struct json_t *list)
{
	for (size_t i = 0; i < slu_json_count(list); i++)
		rep_row(r, label, slu_json_string(slu_json_at(list, i)));
}

static void put_facts(struct report *r, const struct rep_step *st)
{
	static const char *const rest[] = {"snapshot", "environment", "reused_from",
					   "attempts", "spark",       "session"};
	const struct json_t *spec = slu_json_get(st->doc, "spec");
	const struct json_t *spark = slu_json_get(spec, "spark");
	char took[REP_TEXT];

	slu_buf_str(r->b, "<div class=\"wide\"><table>\n");
	rep_row(r, "run", st->id);
	rep_row(r, "type", slu_json_str(st->doc, "type"));
	rep_row(r, "written in", slu_json_str(spec, "where"));
	rep_row(r, "command", slu_json_str(spec, "command"));
	rep_row(r, "entry", slu_json_str(spark, "entry"));
	rep_row(r, "args", slu_json_str(spark, "args"));
	rep_rows(r, "conf", slu_json_get(spark, "conf"), 0);
	rep_rows(r, "variable", slu_json_get(spec, "environment_variables"), 0);
	rep_row(r, "compute", slu_json_str(st->doc, "compute"));
	rep_rows(r, "exit code", slu_json_get(st->doc, "exit_code"), 0);
	if (st->begin) {
		rep_duration(took, (st->end ? st->end : r->now) - st->begin);
		rep_row(r, "took", took);
	}
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		rep_rows(r, rest[i], slu_json_get(st->doc, rest[i]), 0);
	put_lines(r, "why it ran", slu_json_get(slu_json_get(st->doc, "reuse"), "explain"));
	slu_buf_str(r->b, "</table></div>\n");
}

/* A figure as people say it, by the end of its name. */
static void put_figure(struct report *r, const char *label, const struct json_t *v)
{
	char text[REP_TEXT];

	if (slu_ends(label, "bytes") && slu_json_is_int(v) && slu_json_integer(v) >= 0) {
		rep_bytes(text, (uint64_t)slu_json_integer(v));
		rep_row(r, label, text);
		return;
	}
	rep_rows(r, label, v, 0);
}

static void put_io(struct report *r, const char *what, const struct json_t *all)
{
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const struct json_t *one = slu_json_iter_value(it);

		for (void *k = slu_json_iter(one); k; k = slu_json_next(one, k)) {
			SLU_AUTO(slu_freep)
			char *label = slu_asprintf("%s %s %s", what, slu_json_iter_key(it),
						   slu_json_iter_key(k));

			if (label)
				put_figure(r, label, slu_json_iter_value(k));
		}
	}
}

static void put_figures(struct report *r, const struct rep_step *st)
{
	const struct json_t *usage = slu_json_get(st->doc, "usage");
	const struct json_t *io = slu_json_get(st->doc, "io");

	if (slu_json_count(usage) + slu_json_count(io) == 0)
		return;
	slu_buf_str(r->b, "<h4>Figures</h4>\n<div class=\"wide\"><table>\n");
	for (void *it = slu_json_iter(usage); it; it = slu_json_next(usage, it))
		put_figure(r, slu_json_iter_key(it), slu_json_iter_value(it));
	put_io(r, "input", slu_json_get(io, "inputs"));
	put_io(r, "output", slu_json_get(io, "outputs"));
	slu_buf_str(r->b, "</table></div>\n");
}

void rep_step(struct report *r, size_t i)
{
	const struct rep_step *st = &r->steps[i];
	const char *reason = slu_json_str(st->doc, "reason");

	slu_buf_fmt(r->b, "<h3 id=\"s%zu\">", i);
	rep_esc(r->b, st->name, REP_ALL);
	slu_buf_ch(r->b, ' ');
	rep_badge(r, st->status);
	slu_buf_str(r->b, "</h3>\n");
	if (reason) {
		slu_buf_str(r->b, "<div class=\"why\">");
		rep_esc(r->b, reason, REP_ALL);
		slu_buf_str(r->b, "</div>\n");
	}
	put_facts(r, st);
	put_inputs(r, st);
	put_outputs(r, st);
	put_figures(r, st);
	put_logs(r, st);
}
