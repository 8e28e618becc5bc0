/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header values, read strictly: what is not exactly of the form that the RFC gives is refused,
 * because a server that sends nonsense here cannot be trusted with the body either.  Only UTC.
 */
#include "io/http.h"

#include "common/str.h"
#include "common/time.h"

#include <string.h>
#include <time.h>

#define RETRY_AFTER_MAX (3600 * SLU_SEC)

/* Decimal digits from *s on, at least one; false also on overflow.  Moves *s behind them. */
static bool digits(const char **s, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = *s;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (p == *s)
		return false;
	*s = p;
	*ret = v;
	return true;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

bool slu_http_length(const char *v, uint64_t *ret)
{
	uint64_t n;
	if (!digits(&v, &n) || *v)
		return false;
	*ret = n;
	return true;
}

bool slu_http_content_range(const char *v, uint64_t *ret_first, uint64_t *ret_last,
			    uint64_t *ret_total)
{
	uint64_t a, b, n = UINT64_MAX;
	v = slu_iafter(v, "bytes ");
	if (!v || !digits(&v, &a) || !skip(&v, '-') || !digits(&v, &b) || !skip(&v, '/'))
		return false;
	if (*v == '*')
		v++;
	else if (!digits(&v, &n) || n == UINT64_MAX)
		return false;
	if (*v || a > b || b >= n)
		return false;
	*ret_first = a;
	*ret_last = b;
	*ret_total = n;
	return true;
}

/* Exactly n digits, between lo and hi. */
static bool field(const char **s, int n, int lo, int hi, int *ret)
{
	int v = 0;
	for (int i = 0; i < n; i++, ++*s) {
		if (**s < '0' || **s > '9')
			return false;
		v = 10 * v + (**s - '0');
	}
	if (v < lo || v > hi)
		return false;
	*ret = v;
	return true;
}

/* One of n three-letter names packed into `names`; its index. */
static bool name3(const char **s, const char *names, int n, int *ret)
{
	for (int i = 0; i < n; i++) {
		if (strncmp(*s, names + (size_t)3 * i, 3) != 0)
			continue;
		*s += 3;
		*ret = i;
		return true;
	}
	return false;
}

static bool clock_time(const char **s, struct tm *t)
{
	return field(s, 2, 0, 23, &t->tm_hour) && skip(s, ':') && field(s, 2, 0, 59, &t->tm_min) &&
	       skip(s, ':') && field(s, 2, 0, 60, &t->tm_sec);
}

static int month_days(int year, int mon)
{
	static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[mon] + (mon == 1 && leap);
}

bool slu_http_date(const char *v, int64_t *ret_wall_ns)
{
	struct tm t = {0};
	int wday, year;
	if (!name3(&v, "SunMonTueWedThuFriSat", 7, &wday) || !skip(&v, ',') || !skip(&v, ' ') ||
	    !field(&v, 2, 1, 31, &t.tm_mday) || !skip(&v, ' ') ||
	    !name3(&v, "JanFebMarAprMayJunJulAugSepOctNovDec", 12, &t.tm_mon) || !skip(&v, ' ') ||
	    !field(&v, 4, 1970, 2261, &year) || !skip(&v, ' ') || !clock_time(&v, &t) ||
	    !slu_streq(v, " GMT"))
		return false;
	t.tm_year = year - 1900;
	if (t.tm_mday > month_days(year, t.tm_mon))
		return false;
	*ret_wall_ns = (int64_t)timegm(&t) * SLU_SEC;
	return true;
}

bool slu_http_retry_after(const char *v, int64_t wall_now, int64_t *ret_ns)
{
	int64_t at, ns;
	uint64_t s;
	if (*v && strspn(v, "0123456789") == strlen(v)) {
		/* Too many digits for a number is a long wait too. */
		ns = slu_http_length(v, &s) && s < 3600 ? (int64_t)s * SLU_SEC : RETRY_AFTER_MAX;
	} else {
		if (!slu_http_date(v, &at) || __builtin_sub_overflow(at, wall_now, &ns))
			return false;
	}
	if (ns < 0)
		ns = 0;
	*ret_ns = ns < RETRY_AFTER_MAX ? ns : RETRY_AFTER_MAX;
	return true;
}
