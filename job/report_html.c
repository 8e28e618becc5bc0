/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a report: escaping, tables, numbers, and the head with its style.  All text from outside
 * goes through rep_esc or rep_log_text; no attribute holds any but a title's.
 */
#include "job/report_impl.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "include/sluice.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 6, TEXT_MAX = 16 << 10 };

static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;"
	"--box:#f6f8fa;--ok:#1a7f37;--bad:#cf222e;--off:#8250df;--run:#0969da;--wait:#6e7781;"
	"--data:#9a6700}"
	"@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9198a1;"
	"--line:#30363d;--box:#161b22;--ok:#3fb950;--bad:#f85149;--off:#a371f7;--run:#58a6ff;"
	"--wait:#8b949e;--data:#d29922}}"
	"*{box-sizing:border-box}"
	"body{background:var(--bg);color:var(--fg);font:14px/1.5 system-ui,sans-serif;margin:0 auto;"
	"padding:1.5rem;max-width:76rem;overflow-wrap:anywhere}"
	"h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .6rem;"
	"border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.6rem 0 .4rem}"
	"h4{font-size:.9rem;margin:.8rem 0 .3rem;color:var(--soft)}a{color:var(--run)}"
	"table{border-collapse:collapse;margin:.3rem 0}th,td{border:1px solid var(--line);"
	"padding:.2rem .55rem;text-align:left;vertical-align:top}th{background:var(--box);"
	"font-weight:600;white-space:nowrap}td{unicode-bidi:plaintext}"
	".wide{overflow-x:auto}.soft{color:var(--soft)}"
	".badge{border:1px solid;border-radius:1em;padding:.05em .7em;font-size:.8rem;"
	"font-weight:600;white-space:nowrap}"
	".t-ok{color:var(--ok)}.t-bad{color:var(--bad)}.t-off{color:var(--off)}"
	".t-run{color:var(--run)}.t-wait{color:var(--wait)}"
	".why{border-left:4px solid var(--bad);background:var(--box);padding:.5rem .8rem;"
	"margin:.6rem 0;white-space:pre-wrap}"
	"pre{background:var(--box);border:1px solid var(--line);border-radius:4px;padding:.6rem;"
	"margin:.4rem 0;max-height:32rem;overflow:auto;font:12px/1.45 ui-monospace,monospace;"
	"white-space:pre-wrap}.cut{color:var(--bad);font-weight:600}"
	"summary{cursor:pointer}code{font:12px ui-monospace,monospace}"
	"svg{display:block;font:12px system-ui,sans-serif}svg text{fill:var(--fg)}"
	".fit{width:100%;height:auto}"
	"svg .soft{fill:var(--soft);font-size:11px}svg .box{fill:var(--box);stroke-width:1.6}"
	".b-ok{stroke:var(--ok)}.b-bad{stroke:var(--bad)}.b-off{stroke:var(--off)}"
	".b-run{stroke:var(--run)}.b-wait{stroke:var(--wait)}.b-data{stroke:var(--data)}"
	".edge{fill:none;stroke:var(--soft);stroke-width:1.3}.tip{fill:var(--soft)}"
	".grid{stroke:var(--line)}.f-ok{fill:var(--ok)}.f-bad{fill:var(--bad)}"
	".f-off{fill:var(--off)}.f-run{fill:var(--run)}.f-wait{fill:var(--wait)}"
	".f-prep{fill:var(--data)}.f-fin{fill:var(--off)}"
	"@media print{details>*{display:block}pre{max-height:none}}";

/* --- text --- */

static void put_markup(struct slu_buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '&')
			slu_buf_str(b, "&amp;");
		else if (s[i] == '<')
			slu_buf_str(b, "&lt;");
		else if (s[i] == '>')
			slu_buf_str(b, "&gt;");
		else if (s[i] == '"')
			slu_buf_str(b, "&quot;");
		else if (s[i] == '\'')
			slu_buf_str(b, "&#39;");
		else
			slu_buf_ch(b, s[i]);
	}
}

/* One character, made visible where it is none; gives the bytes it had. */
static size_t put_char(struct slu_buf *b, const char *s, size_t n)
{
	char out[SLU_SHOW_UNIT];
	size_t len, used;

	if (*s == '\n' || *s == '\t') {
		slu_buf_ch(b, *s);
		return 1;
	}
	used = slu_show_unit(s, n, out, &len);
	put_markup(b, out, len);
	return used;
}

void rep_esc(struct slu_buf *b, const char *s, size_t n)
{
	if (n == REP_ALL)
		n = strlen(s);
	for (size_t i = 0; i < n;)
		i += put_char(b, s + i, n - i);
}

/* Bytes of the terminal's control sequence at s, 0: none. */
static size_t sequence(const char *s, size_t n)
{
	size_t i = 2;

	if (n < 3 || s[0] != '\x1b' || s[1] != '[')
		return 0;
	while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x40)
		i++;
	return i < n && (unsigned char)s[i] >= 0x40 && (unsigned char)s[i] < 0x7f ? i + 1 : 0;
}

void rep_log_text(struct slu_buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t skip = sequence(s + i, n - i);

		if (skip) {
			i += skip;
		} else if (s[i] == '\r') {
			if (i + 1 == n || s[i + 1] != '\n')
				slu_buf_ch(b, '\n');
			i++;
		} else {
			i += put_char(b, s + i, n - i);
		}
	}
}

void rep_short(struct slu_buf *b, const char *s, size_t max)
{
	size_t n = strlen(s), at = 0;

	for (size_t chars = 0; at < n && chars < max; chars++) {
		size_t len = slu_utf8_len(s + at, n - at);

		at += len ? len : 1;
	}
	rep_esc(b, s, at);
	if (at < n)
		slu_buf_str(b, "…");
}

/* --- numbers --- */

void rep_duration(char out[REP_TEXT], int64_t ns)
{
	int64_t ms = ns < 0 ? 0 : ns / SLU_MS, s = ms / 1000;

	if (s >= 3600)
		snprintf(out, REP_TEXT, "%" PRId64 " h %02d min", s / 3600, (int)(s / 60 % 60));
	else if (s >= 60)
		snprintf(out, REP_TEXT, "%d min %02d s", (int)(s / 60), (int)(s % 60));
	else
		snprintf(out, REP_TEXT, "%d.%03d s", (int)s, (int)(ms % 1000));
}

void rep_bytes(char out[REP_TEXT], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t tenths = bytes;
	size_t u = 0;

	if (bytes < 1024) {
		snprintf(out, REP_TEXT, "%d bytes", (int)bytes);
		return;
	}
	while (tenths / 1024 >= 1024) {
		tenths /= 1024;
		u++;
	}
	snprintf(out, REP_TEXT, "%d.%d %s", (int)(tenths / 1024), (int)(tenths % 1024 * 10 / 1024),
		 units[u]);
}

/* --- parts --- */

const char *rep_class(const char *status)
{
	static const struct {
		const char *status, *class;
	} classes[] = {{"Completed", "ok"},        {"Failed", "bad"},      {"Canceled", "off"},
		       {"CancelRequested", "off"}, {"NotStarted", "wait"}, {"Queued", "wait"},
		       {"NotResponding", "bad"}};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (slu_streq(status, classes[i].status))
			return classes[i].class;
	return "run";
}

void rep_badge(struct report *r, const char *status)
{
	slu_buf_fmt(r->b, "<span class=\"badge t-%s\">", rep_class(status));
	rep_esc(r->b, status, REP_ALL);
	slu_buf_str(r->b, "</span>");
}

void rep_section(struct report *r, const char *id, const char *title)
{
	slu_buf_fmt(r->b, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

void rep_cell(struct report *r, const char *text)
{
	slu_buf_str(r->b, "<td>");
	if (text)
		rep_esc(r->b, text, REP_ALL);
	slu_buf_str(r->b, "</td>");
}

void rep_row(struct report *r, const char *label, const char *text)
{
	if (!text)
		return;
	slu_buf_str(r->b, "<tr><th>");
	rep_esc(r->b, label, REP_ALL);
	slu_buf_str(r->b, "</th>");
	rep_cell(r, text);
	slu_buf_str(r->b, "</tr>\n");
}

/* A configuration holds references to secrets, never these; one that broke the rule stays in it. */
static bool is_secret(const char *key)
{
	static const char *const words[] = {"secret",      "password", "token", "credential",
					    "account_key", "sas",      "auth"};
	SLU_AUTO(slu_freep) char *low = slu_strdup(key);

	for (char *p = low; p && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!low || strstr(low, words[i]))
			return true;
	return false;
}

static void scalar_row(struct report *r, const char *label, const struct json_t *v)
{
	SLU_AUTO(slu_freep) char *text = NULL;

	if (slu_json_is_string(v)) {
		rep_row(r, label, slu_json_string(v));
		return;
	}
	text = slu_json_text(v, SLU_JSON_COMPACT);
	if (text && strlen(text) > TEXT_MAX)
		text[TEXT_MAX] = '\0';
	rep_row(r, label, text);
}

void rep_rows(struct report *r, const char *label, const struct json_t *v, unsigned depth)
{
	if (!v || slu_json_is_null(v))
		return;
	if (!slu_json_is_object(v) || depth >= DEPTH_MAX) {
		scalar_row(r, label, v);
		return;
	}
	for (void *it = slu_json_iter(v); it; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);
		SLU_AUTO(slu_freep)
		char *name = *label ? slu_asprintf("%s.%s", label, key) : slu_strdup(key);

		if (name && is_secret(key))
			rep_row(r, name, "(not shown)");
		else if (name)
			rep_rows(r, name, slu_json_iter_value(it), depth + 1);
	}
}

/* --- the file --- */

void rep_begin(struct report *r, const char *title)
{
	uint8_t digest[SLU_DIGEST_MAX];
	SLU_AUTO(slu_freep) char *hash = NULL;

	/* Only this very style is let in, so markup that got past the escaping could not even colour. */
	if (slu_digest(SLU_SHA256, style, sizeof style - 1, digest) == 0)
		hash = slu_base64(digest, slu_digest_len(SLU_SHA256));
	if (!hash) {
		r->b->err = ENOMEM;
		return;
	}
	slu_buf_fmt(r->b,
		    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		    "style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		    "<meta name=\"referrer\" content=\"no-referrer\">\n<title>",
		    hash);
	rep_esc(r->b, title, REP_ALL);
	slu_buf_fmt(r->b, "</title>\n<style>%s</style>\n</head>\n<body>\n", style);
}

void rep_end(struct report *r)
{
	char now[SLU_TIME_LEN];

	slu_time_fmt(now, r->now);
	slu_buf_fmt(r->b, "<p class=\"soft\">Written by sluice %s at %s.</p>\n</body>\n</html>\n",
		    sluice_version(), now);
}
