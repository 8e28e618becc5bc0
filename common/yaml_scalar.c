/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain scalars by the core schema of YAML 1.2: null, true and false in three spellings each,
 * decimal, 0o and 0x integers, floats.  Everything else is a string, also yes, no, on, off, dates
 * and 1:30, which YAML 1.1 took for something else.
 */
#include "common/buf.h"
#include "common/str.h"
#include "common/yaml_impl.h"

#include <errno.h>

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++) {
		if (slu_streq(s, *list))
			return true;
	}
	return false;
}

static bool based_int(const char *s, unsigned base, int64_t *ret)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s; s++) {
		unsigned d = 99;

		if (*s >= '0' && *s <= '9')
			d = (unsigned)(*s - '0');
		else if ((*s | 32) >= 'a' && (*s | 32) <= 'f')
			d = (unsigned)((*s | 32) - 'a') + 10;
		if (d >= base || v > (uint64_t)INT64_MAX / base)
			return false;
		v = v * base + d;
	}
	if (v > INT64_MAX)
		return false;
	*ret = (int64_t)v;
	return true;
}

static bool plain_int(const char *s, int64_t *ret)
{
	if (slu_starts(s, "0o"))
		return based_int(s + 2, 8, ret);
	if (slu_starts(s, "0x"))
		return based_int(s + 2, 16, ret);
	if (s[0] == '+' && s[1] != '-')
		s++;
	return slu_i64(s, INT64_MIN, INT64_MAX, ret);
}

static size_t span_digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) at s, written as JSON into b; gives what follows or NULL. */
static const char *float_digits(const char *s, struct slu_buf *b)
{
	size_t whole = span_digits(s), part = 0;
	const char *end = s + whole;

	/* JSON has no leading zeros */
	for (; whole > 1 && *s == '0'; whole--)
		s++;
	slu_buf_add(b, whole ? s : "0", whole ? whole : 1);
	if (*end == '.')
		part = span_digits(++end);
	slu_buf_ch(b, '.');
	slu_buf_add(b, part ? end : "0", part ? part : 1);
	return whole + part ? end + part : NULL;
}

/* [-+]? digits ( [eE] [-+]? [0-9]+ )?  written as JSON into b. */
static bool plain_float(const char *s, struct slu_buf *b)
{
	size_t n;

	if (*s == '-')
		slu_buf_ch(b, '-');
	s = float_digits(s + (*s == '-' || *s == '+'), b);
	if (!s)
		return false;
	if (*s == 'e' || *s == 'E') {
		slu_buf_ch(b, *s++);
		if (*s == '-' || *s == '+')
			slu_buf_ch(b, *s++);
		n = span_digits(s);
		if (n == 0)
			return false;
		slu_buf_add(b, s, n);
		s += n;
	}
	return *s == '\0';
}

/* JSON's reader does the arithmetic: it does not depend on the locale.  A float out of range is
 * refused there. */
static int read_float(const char *s, struct json_t **ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);

	if (!plain_float(s, &b) || b.err)
		return b.err == ENOMEM ? -ENOMEM : -EINVAL;
	return slu_json_parse(b.p, b.len, "number", ret, NULL);
}

struct json_t *slu_yaml_plain(const char *s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	struct json_t *v = NULL;
	int64_t i;
	int r;

	if (one_of(s, nulls))
		return slu_json_new_null();
	if (one_of(s, trues))
		return slu_json_new_bool(true);
	if (one_of(s, falses))
		return slu_json_new_bool(false);
	if (plain_int(s, &i))
		return slu_json_new_int(i);
	/* an integer that does not fit must not lose digits as a float: it stays a string */
	if (strpbrk(s, "0123456789") && strpbrk(s, ".eE")) {
		r = read_float(s, &v);
		if (r == 0 || r == -ENOMEM)
			return v;
	}
	return slu_json_new_str(s);
}
