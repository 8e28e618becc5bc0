/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers, sizes and durations from text (declared in str.h).  The whole string must be the
 * number; signs, blanks and exponents are refused where not asked for.  Fractions are computed in
 * integers, so "0.1s" is exactly 100 ms; what is below one byte or nanosecond is cut off.
 */
#include "common/str.h"

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", 1ull << 10},
	{"KiB", 1ull << 10},
	{"KB", 1000},
	{"M", 1ull << 20},
	{"MiB", 1ull << 20},
	{"MB", 1000000},
	{"G", 1ull << 30},
	{"GiB", 1ull << 30},
	{"GB", 1000000000},
	{"T", 1ull << 40},
	{"TiB", 1ull << 40},
	{"TB", 1000000000000},
	{"P", 1ull << 50},
	{"PiB", 1ull << 50},
	{"PB", 1000000000000000},
	{NULL, 0},
};

static const struct unit time_units[] = {
	{"", 1000000000},  {"ns", 1},          {"us", 1000},         {"ms", 1000000},
	{"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000},
	{NULL, 0},
};

/* Digits at *s into *ret; moves *s past them.  False: none there, or too many. */
static bool digits(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	if (p == *s)
		return false;
	*s = p;
	*ret = v;
	return true;
}

bool slu_u64(const char *s, uint64_t *ret)
{
	uint64_t v;

	if (!digits(&s, &v) || *s)
		return false;
	*ret = v;
	return true;
}

bool slu_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t u;
	int64_t v;

	s += negative;
	if (!slu_u64(s, &u) || u > (uint64_t)INT64_MAX + negative)
		return false;
	v = negative ? (int64_t)(0 - u) : (int64_t)u;
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++) {
		const char *end = slu_iafter(name, units->name);

		if (end && *end == '\0')
			return units;
	}
	return NULL;
}

/*
 * floor(0.d1d2...dn * scale), exactly, from the last digit to the first: cutting off after every
 * division by ten cuts off no more than cutting off once.
 */
static uint64_t fraction(const char *p, size_t n, uint64_t scale)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = ((uint64_t)(p[n] - '0') * scale + v) / 10;
	return v;
}

/* "<digits>[.<digits>]<unit>" times the unit. */
static bool scaled(const char *s, const struct unit *units, uint64_t *ret)
{
	const char *point = NULL;
	const struct unit *u;
	uint64_t whole, v;
	size_t n = 0;

	if (!digits(&s, &whole))
		return false;
	if (*s == '.') {
		point = s + 1;
		n = strspn(point, "0123456789");
		s = point + n;
	}
	u = find_unit(units, s);
	if (!u || (point && n == 0) || __builtin_mul_overflow(whole, u->scale, &v))
		return false;
	if (point && u->scale == 1 && strspn(point, "0") < n)
		return false; /* there is no half byte */
	if (point && __builtin_add_overflow(v, fraction(point, n, u->scale), &v))
		return false;
	*ret = v;
	return true;
}

bool slu_size(const char *s, uint64_t *ret)
{
	return scaled(s, size_units, ret);
}

bool slu_duration(const char *s, int64_t *ret_ns)
{
	uint64_t v;

	if (!scaled(s, time_units, &v) || v > INT64_MAX)
		return false;
	*ret_ns = (int64_t)v;
	return true;
}
