/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings: prefixes, percent-encoding, names, and text made safe to show.  ASCII only where case
 * or classes matter; the locale is never asked.  Numbers are in number.c.
 */
#include "common/str.h"
#include "common/buf.h"

enum { NAME_MAX_LEN = 255 };

static const char hex_digits[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slu_starts(const char *s, const char *prefix)
{
	return slu_after(s, prefix) != NULL;
}

bool slu_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

const char *slu_after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

const char *slu_iafter(const char *s, const char *prefix)
{
	for (; *prefix; s++, prefix++) {
		if (lower(*s) != lower(*prefix))
			return NULL;
	}
	return s;
}

static bool is_unreserved(char c)
{
	return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

void slu_url_encode(struct slu_buf *b, const char *s, size_t n, const char *keep)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_unreserved(s[i]) || (c && keep && strchr(keep, c))) {
			slu_buf_ch(b, s[i]);
		} else {
			char esc[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};

			slu_buf_add(b, esc, sizeof(esc));
		}
	}
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool slu_url_decode(struct slu_buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi, lo;

		if (s[i] != '%') {
			slu_buf_ch(b, s[i]);
			continue;
		}
		if (n - i < 3)
			return false;
		hi = hex_value(s[i + 1]);
		lo = hex_value(s[i + 2]);
		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
			return false;
		slu_buf_ch(b, (char)(hi << 4 | lo));
		i += 2;
	}
	return true;
}

bool slu_is_ident(const char *s)
{
	size_t n = 0;

	if (!is_alpha(s[0]) && s[0] != '_')
		return false;
	for (; s[n]; n++) {
		if (n >= NAME_MAX_LEN || (!is_alpha(s[n]) && !is_digit(s[n]) && s[n] != '_'))
			return false;
	}
	return true;
}

bool slu_is_name(const char *s)
{
	size_t n = 0;

	if (!is_alpha(s[0]) && !is_digit(s[0]) && s[0] != '_')
		return false;
	for (; s[n]; n++) {
		if (n >= NAME_MAX_LEN || !is_unreserved(s[n]) || s[n] == '~')
			return false;
	}
	return true;
}

/* Length by the lead byte, and the range that the second byte must be in (this is where overlong
 * forms, surrogates and values beyond U+10FFFF are refused). */
static size_t utf8_lead(unsigned char c, unsigned char *ret_min, unsigned char *ret_max)
{
	*ret_min = 0x80;
	*ret_max = 0xbf;
	if (c < 0xc2)
		return 0;
	if (c < 0xe0)
		return 2;
	if (c < 0xf0) {
		if (c == 0xe0)
			*ret_min = 0xa0;
		if (c == 0xed)
			*ret_max = 0x9f;
		return 3;
	}
	if (c > 0xf4)
		return 0;
	if (c == 0xf0)
		*ret_min = 0x90;
	if (c == 0xf4)
		*ret_max = 0x8f;
	return 4;
}

size_t slu_utf8_len(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned char min, max;
	size_t len;

	if (n == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	len = utf8_lead(u[0], &min, &max);
	if (len == 0 || len > n || u[1] < min || u[1] > max)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

/* Control characters: C0, DEL, C1, line and paragraph separator, and the marks that reorder text,
 * with which a name could show as another one. */
static bool is_control(const unsigned char *u, size_t len)
{
	if (len == 1)
		return u[0] < 0x20 || u[0] == 0x7f;
	if (len == 2)
		return (u[0] == 0xc2 && u[1] < 0xa0) || (u[0] == 0xd8 && u[1] == 0x9c);
	if (len != 3 || u[0] != 0xe2)
		return false;
	if (u[1] == 0x80)
		return (u[2] >= 0xa8 && u[2] <= 0xae) || u[2] == 0x8e || u[2] == 0x8f;
	return u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9;
}

size_t slu_show_unit(const char *s, size_t n, char out[SLU_SHOW_UNIT], size_t *ret_len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = slu_utf8_len(s, n), k = 0;

	if (len && !is_control(u, len)) {
		memcpy(out, s, len);
		*ret_len = len;
		return len;
	}
	if (len == 0)
		len = 1;
	for (size_t i = 0; i < len; i++) {
		out[k++] = '\\';
		out[k++] = 'x';
		out[k++] = hex_digits[u[i] >> 4];
		out[k++] = hex_digits[u[i] & 15];
	}
	*ret_len = k;
	return len;
}

void slu_show(struct slu_buf *b, const char *s)
{
	size_t n = strlen(s), len;
	char unit[SLU_SHOW_UNIT];

	while (n) {
		size_t used = 0;

		/* what is plain, which is mostly all, at once */
		while (used < n && s[used] >= 0x20 && s[used] < 0x7f)
			used++;
		if (used) {
			slu_buf_add(b, s, used);
		} else {
			used = slu_show_unit(s, n, unit, &len);
			slu_buf_add(b, unit, len);
		}
		s += used;
		n -= used;
	}
}

#define WORD_MAX 64

size_t slu_distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], n = strlen(b);

	if (strlen(a) > WORD_MAX || n > WORD_MAX)
		return SIZE_MAX;
	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 0; a[i]; i++) {
		size_t before = row[0]++; /* of one byte less of both */

		for (size_t k = 0; k < n; k++) {
			size_t least = before + (a[i] != b[k]);

			before = row[k + 1];
			if (least > before + 1)
				least = before + 1;
			if (least > row[k] + 1)
				least = row[k] + 1;
			row[k + 1] = least;
		}
	}
	return row[n];
}

const char *slu_nearer(const char *typed, const char *best, const char *name)
{
	size_t d = slu_distance(typed, name);

	if (d > 2 || 3 * d > strlen(typed) + 1 || (best && slu_distance(typed, best) < d))
		return best;
	return name;
}

void slu_hex(char *out, const void *p, size_t n)
{
	const unsigned char *u = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex_digits[u[i] >> 4];
		out[2 * i + 1] = hex_digits[u[i] & 15];
	}
	out[2 * n] = '\0';
}
