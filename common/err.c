/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the error value, and its translation to an exit code.  Nothing here allocates, so that
 * "out of memory" can be said.  Arguments may point into the error that is being filled.
 */
#include "common/err.h"
#include "common/redact.h"
#include "common/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	RAW_MAX = 12288,
	WORD_MAX = 120, /* bytes of a name in a line that is too long */
	WORD_HEAD = 60,
	WORD_TAIL = 40,
};

static bool is_inside(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80; /* a character of UTF-8 */
}

/* Takes the middle out of overlong words, so that the cause behind them stays. */
static size_t shorten(char *s, size_t n)
{
	size_t out = 0, word, head, tail;

	for (size_t i = 0; i < n; i += word) {
		for (word = 0; i + word < n && s[i + word] != ' '; word++)
			;
		word += i + word < n;
		if (word <= WORD_MAX) {
			memmove(s + out, s + i, word);
			out += word;
			continue;
		}
		head = WORD_HEAD;
		tail = WORD_TAIL;
		while (head && is_inside(s[i + head]))
			head--;
		while (tail && is_inside(s[i + word - tail]))
			tail--;
		memmove(s + out, s + i, head);
		memmove(s + out + head + 3, s + i + word - tail, tail);
		memcpy(s + out + head, "...", 3);
		out += head + 3 + tail;
	}
	return out;
}

static int vfail(struct slu_err *e, int code, const char *tail, const char *fmt, va_list ap)
{
	char raw[RAW_MAX], safe[RAW_MAX];
	size_t room, len;
	int n;

	if (code <= 0)
		code = EIO;
	if (!e)
		return -code;
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	if (n < 0)
		n = 0, raw[0] = '\0';
	/* the tail is the cause: it stays whole when the text before it has to be cut */
	room = sizeof(e->msg) - strlen(tail);
	len = strnlen(raw, sizeof(raw));
	if (len < room) {
		len = slu_safe_line(e->msg, room, raw, len, false);
	} else { /* first without secrets, of which a part alone would not be known */
		len = slu_safe_line(safe, sizeof(safe), raw, len, n >= RAW_MAX);
		len = slu_safe_line(e->msg, room, safe, shorten(safe, len), false);
	}
	memcpy(e->msg + len, tail, strlen(tail) + 1);
	e->code = code;
	return -code;
}

static void forget(struct slu_err *e)
{
	if (!e)
		return;
	e->http = 0;
	e->svc[0] = '\0';
}

int slu_fail(struct slu_err *e, int code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vfail(e, code, "", fmt, ap);
	va_end(ap);
	forget(e);
	return r;
}

int slu_fail_sys(struct slu_err *e, int code, const char *fmt, ...)
{
	char tail[128];
	va_list ap;
	int r;

	snprintf(tail, sizeof(tail), ": %s", strerror(code > 0 ? code : EIO));
	va_start(ap, fmt);
	r = vfail(e, code, tail, fmt, ap);
	va_end(ap);
	forget(e);
	return r;
}

int slu_fail_more(struct slu_err *e, const char *fmt, ...)
{
	char text[RAW_MAX - SLU_ERR_MSG];
	int n, code;
	va_list ap;

	if (!e)
		return -EIO;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = '\0';
	struct slu_err old = *e;

	code = slu_fail(e, old.code, "%s%s: %s", text, n >= (int)sizeof(text) ? "..." : "",
			old.msg);
	e->http = old.http;
	memcpy(e->svc, old.svc, sizeof(e->svc));
	return code;
}

int slu_fail_oom(struct slu_err *e)
{
	return slu_fail(e, ENOMEM, "out of memory");
}

static const struct {
	int code, exit;
} exits[] = {
	{ENOENT, 3},       {EACCES, 4},        {EKEYREJECTED, 4}, {EKEYEXPIRED, 4},
	{EPERM, 4},        {EROFS, 4},         {EEXIST, 5},       {ENOTEMPTY, 5},
	{EBUSY, 5},        {EINVAL, 6},        {EBADMSG, 6},      {ENAMETOOLONG, 6},
	{EILSEQ, 6},       {ELOOP, 6},         {EXDEV, 6},        {E2BIG, 6},
	{EISDIR, 6},       {ENOTDIR, 6},       {ESTALE, 7},       {EIO, 8},
	{ETIMEDOUT, 8},    {EAGAIN, 8},        {ENOTCONN, 8},     {ECONNREFUSED, 8},
	{ECONNRESET, 8},   {ECONNABORTED, 8},  {EPIPE, 8},        {EPROTO, 8},
	{EHOSTUNREACH, 8}, {EHOSTDOWN, 8},     {ENETUNREACH, 8},  {ENETDOWN, 8},
	{ENETRESET, 8},    {EADDRNOTAVAIL, 8}, {ESHUTDOWN, 8},    {ENONET, 8},
	{EREMOTEIO, 8},    {ENOSPC, 9},        {EDQUOT, 9},       {ENOMEM, 9},
	{EMFILE, 9},       {ENFILE, 9},        {EFBIG, 9},        {ECHILD, 10},
	{ECANCELED, 11},   {ENOSYS, 12},       {EOPNOTSUPP, 12},
};

int slu_exit_code(int rc)
{
	if (rc == 0)
		return 0;
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		if (-exits[i].code == rc)
			return exits[i].exit;
	}
	return 1;
}
