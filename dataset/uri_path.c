/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pattern form of a path: wildcards bare, the same characters meant literally behind a '\', and no
 * other escapes, so that equal paths are equal texts.  Two steps: decode (percent escapes of wildcard
 * characters become literals), then normalise and clean.
 */
#include "dataset/uri_path.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/uri.h"
#include "fs/walk.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PATH_BYTES (1u << 16)
#define GLOB_CHARS "*?[]{}\\"
#define CLASS_CHARS "*?[]{}\\,!^-" /* that may mean something inside [...] */
/* Left as they are in URIs beside letters, digits and -._~ : common in the names of data folders. */
#define KEEP "/,!=@:"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "%41" at s; 0 or -EINVAL. */
static int decode_one(const char *s, struct slu_buf *b)
{
	int hi = hex_digit(s[1]);
	int lo = hi < 0 ? -1 : hex_digit(s[2]);

	if (lo < 0 || (hi == 0 && lo == 0))
		return -EINVAL;
	char c = (char)(hi * 16 + lo);

	if (ispunct((unsigned char)c) && c != '/')
		slu_buf_ch(b, '\\'); /* normalise() drops it where it means nothing */
	slu_buf_ch(b, c);
	return 0;
}

/* Percent escapes away; 0 or -EINVAL. */
static int decode(const char *s, struct slu_buf *b)
{
	while (*s) {
		if (*s == '%') {
			int r = decode_one(s, b);

			if (r < 0)
				return r;
			s += 3;
		} else if (*s == '\\' && s[1] == '%') {
			s++; /* what is encoded stands for itself anyway */
		} else {
			if (*s == '\\' && s[1])
				slu_buf_ch(b, *s++);
			slu_buf_ch(b, *s++);
		}
	}
	return 0;
}

struct scan {
	struct slu_buf *out;
	unsigned braces; /* open ones */
	bool class;      /* inside [...] */
	size_t class_at; /* where it began in out */
};

static void literal(struct scan *sc, char c)
{
	if (strchr(GLOB_CHARS, c) || (c == ',' && sc->braces))
		slu_buf_ch(sc->out, '\\');
	slu_buf_ch(sc->out, c);
}

static void in_class(struct scan *sc, bool escaped, char c)
{
	if (escaped && strchr(CLASS_CHARS, c))
		slu_buf_ch(sc->out, '\\');
	slu_buf_ch(sc->out, c);
	if (!escaped && c == ']') {
		const char *from = sc->out->p ? sc->out->p + sc->class_at : "[]";
		size_t n = sc->out->p ? sc->out->len - sc->class_at : 2;

		/* "[]" and "[!]": the bracket is the first member, the class goes on */
		sc->class = n == 2 || (n == 3 && (from[1] == '!' || from[1] == '^'));
	}
}

static void wildcard(struct scan *sc, char c)
{
	if (c == '[') {
		sc->class = true;
		sc->class_at = sc->out->len;
	} else if (c == '{') {
		sc->braces++;
	} else if (c == '}' && sc->braces) {
		sc->braces--;
	} else if (c == '}' || c == ']') {
		slu_buf_ch(sc->out, '\\'); /* alone it stands for itself */
	}
	slu_buf_ch(sc->out, c);
}

/* Escapes only where they are needed; 0 or -EINVAL for a '\' at the end. */
static int normalise(const char *s, struct slu_buf *b)
{
	struct scan sc = {.out = b};

	for (; *s; s++) {
		bool escaped = *s == '\\';

		if (escaped && !*++s)
			return -EINVAL;
		if (sc.class)
			in_class(&sc, escaped, *s);
		else if (escaped)
			literal(&sc, *s);
		else if (strchr("[]{}", *s))
			wildcard(&sc, *s);
		else
			slu_buf_ch(b, *s);
	}
	return 0;
}

/* A local path: "//" and "." parts away, ".." left to the kernel, which knows the links. */
static char *tidy_local(const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(PATH_BYTES);
	bool absolute = *s == '/';

	for (;;) {
		s += strspn(s, "/");
		size_t n = strcspn(s, "/");

		if (n == 0)
			break;
		if (!(n == 1 && *s == '.')) {
			if (b.len || absolute)
				slu_buf_ch(&b, '/');
			slu_buf_add(&b, s, n);
		}
		s += n;
	}
	if (b.len == 0)
		slu_buf_ch(&b, absolute ? '/' : '.');
	return slu_buf_take(&b);
}

/* What "x*" and then ".." would be depends on what is there; braces may even span the two. */
static bool climbs_behind_wildcard(const char *path)
{
	if (!slu_glob_is(path))
		return false;
	for (const char *s = path + slu_glob_prefix(path); *s;) {
		s += *s == '/';
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return true;
		s += n;
	}
	return false;
}

/* Decoded and normalised into b. */
static int pattern_form(const char *what, const char *raw, bool encoded_form, struct slu_buf *b,
			struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf plain = SLU_BUF(PATH_BYTES);

	if (encoded_form) {
		if (decode(raw, &plain) < 0)
			return slu_fail(e, EINVAL,
					"reference '%.200s': a percent escape in it is malformed; "
					"write '%%' as '%%25'",
					what);
		if (plain.err)
			return slu_fail_oom(e);
		raw = plain.p ? plain.p : "";
	}
	if (normalise(raw, b) < 0)
		return slu_fail(e, EINVAL,
				"reference '%.200s': the '\\' at its end escapes nothing; write "
				"'\\\\' for a backslash",
				what);
	slu_buf_add(b, "", 0); /* so that there is a text */
	return b->err ? slu_fail_oom(e) : 0;
}

int slu_uri_path(const char *what, const char *raw, unsigned flags, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(PATH_BYTES);
	SLU_AUTO(slu_freep) char *path = NULL;
	int r = pattern_form(what, raw, flags & SLU_URI_PATH_ENCODED, &b, e);

	if (r < 0)
		return r;
	if (climbs_behind_wildcard(b.p))
		return slu_fail(e, EINVAL,
				"reference '%.200s': '..' cannot stand behind a wildcard", what);
	if (flags & SLU_URI_PATH_ROOTED) {
		r = slu_path_clean(b.p, &path, e);
	} else {
		path = tidy_local(b.p);
		r = path ? 0 : slu_fail_oom(e);
	}
	if (r == 0 && slu_glob_is(path))
		r = slu_glob_check(path, e);
	if (r == 0)
		*ret = slu_take(path);
	return r;
}

void slu_uri_path_encode(struct slu_buf *b, const char *pattern)
{
	for (const char *s = pattern; *s; s++) {
		if (*s == '\\' && s[1])
			slu_buf_fmt(b, "%%%02X", (unsigned char)*++s);
		else
			slu_url_encode(b, s, 1, KEEP GLOB_CHARS "^");
	}
}

static char *encoded(const char *head, const char *plain)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4 * PATH_BYTES);

	slu_buf_str(&b, head);
	slu_url_encode(&b, plain, strlen(plain), KEEP);
	return slu_buf_take(&b);
}

char *slu_uri_file(const char *abs)
{
	return encoded("file://", abs);
}

static char *datastore(const char *scope, const char *name, const char *path)
{
	SLU_AUTO(slu_freep)
	char *head =
		slu_asprintf("azureml://%sdatastores/%s/paths%s", scope, name, *path ? "/" : "");

	return head ? encoded(head, path) : NULL;
}

char *slu_uri_datastore(const char *name, const char *path)
{
	return datastore("", name, path);
}

char *slu_uri_datastore_long(const char *subscription, const char *group, const char *workspace,
			     const char *name, const char *path)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(PATH_BYTES);

	slu_buf_str(&b, "subscriptions/");
	slu_url_encode(&b, subscription, strlen(subscription), "");
	slu_buf_str(&b, "/resourcegroups/");
	slu_url_encode(&b, group, strlen(group), "");
	slu_buf_str(&b, "/workspaces/");
	slu_url_encode(&b, workspace, strlen(workspace), "");
	slu_buf_ch(&b, '/');
	return slu_buf_err(&b) < 0 ? NULL : datastore(b.p, name, path);
}

char *slu_uri_escape(const char *plain)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4 * PATH_BYTES);

	for (; *plain; plain++) {
		if (strchr(GLOB_CHARS, *plain))
			slu_buf_ch(&b, '\\');
		slu_buf_ch(&b, *plain);
	}
	return slu_buf_take(&b);
}
