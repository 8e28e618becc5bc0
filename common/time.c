/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks and RFC 3339.  Dates are computed in integers (proleptic Gregorian calendar), so neither
 * the time zone nor the C library's range matters.  int64 nanoseconds reach from 1677 to 2262.
 */
#include "common/time.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * SLU_SEC + ts.tv_nsec;
}

int64_t slu_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t slu_boot(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t slu_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t slu_deadline_in(int64_t ns)
{
	int64_t at;

	if (__builtin_add_overflow(slu_now(), ns, &at))
		return INT64_MAX;
	return at > 0 ? at : 1; /* 0 would mean no deadline */
}

bool slu_expired(int64_t deadline)
{
	return deadline && slu_now() >= deadline;
}

/* Days from 1970-01-01 to a date.  Years are counted from March, so a leap day is the last day. */
static int64_t days_of(int64_t y, int m, int d)
{
	int64_t era, in_era, day;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	in_era = y - era * 400;
	day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day - 719468;
}

static void date_of(int64_t days, int *ret_y, int *ret_m, int *ret_d)
{
	int64_t era, day, year, doy, mp;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day = days - era * 146097;
	year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	doy = day - (365 * year + year / 4 - year / 100);
	mp = (5 * doy + 2) / 153;
	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_y = (int)(year + era * 400 + (*ret_m <= 2));
}

void slu_time_fmt(char out[SLU_TIME_LEN], int64_t wall_ns)
{
	int64_t secs = wall_ns / SLU_SEC, ns = wall_ns % SLU_SEC, days, sod;
	int y, m, d;

	if (ns < 0) {
		ns += SLU_SEC;
		secs--;
	}
	days = secs / 86400;
	sod = secs % 86400;
	if (sod < 0) {
		sod += 86400;
		days--;
	}
	date_of(days, &y, &m, &d);
	snprintf(out, SLU_TIME_LEN, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)y % 10000,
		 (unsigned)m % 100, (unsigned)d % 100, (unsigned)(sod / 3600) % 100,
		 (unsigned)(sod / 60 % 60), (unsigned)(sod % 60), (unsigned)(ns / 1000) % 1000000);
}

/* n digits at *s, within [min, max], followed by `then` (0: by anything); moves *s past both. */
static bool field(const char **s, int n, int min, int max, char then, int *ret)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	if (v < min || v > max)
		return false;
	if (then) {
		if (**s != then)
			return false;
		(*s)++;
	}
	*ret = v;
	return true;
}

static int month_days(int y, int m)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

/* ".123", to nanoseconds; digits beyond the ninth are dropped. */
static bool fraction(const char **s, int64_t *ret)
{
	int64_t unit = SLU_SEC, v = 0;
	const char *p = *s;

	if (*p != '.') {
		*ret = 0;
		return true;
	}
	for (p++; *p >= '0' && *p <= '9'; p++) {
		unit /= 10;
		v += unit * (*p - '0');
	}
	if (p == *s + 1)
		return false;
	*s = p;
	*ret = v;
	return true;
}

/* "Z" or "+hh:mm", to seconds east, and the end of the string. */
static bool zone(const char *s, int64_t *ret)
{
	int h, m, sign = *s == '-' ? -1 : 1;

	if (*s == 'Z' || *s == 'z') {
		*ret = 0;
		return s[1] == '\0';
	}
	if (*s != '+' && *s != '-')
		return false;
	s++;
	if (!field(&s, 2, 0, 23, ':', &h) || !field(&s, 2, 0, 59, 0, &m) || *s)
		return false;
	*ret = sign * (h * 3600 + m * 60);
	return true;
}

bool slu_time_parse(const char *s, int64_t *ret_wall_ns)
{
	int y, mo, d, h, mi, sec;
	int64_t ns, east, secs, v;

	if (!field(&s, 4, 0, 9999, '-', &y) || !field(&s, 2, 1, 12, '-', &mo) ||
	    !field(&s, 2, 1, 31, 0, &d) || d > month_days(y, mo))
		return false;
	if (*s != 'T' && *s != 't' && *s != ' ')
		return false;
	s++;
	if (!field(&s, 2, 0, 23, ':', &h) || !field(&s, 2, 0, 59, ':', &mi) ||
	    !field(&s, 2, 0, 60, 0, &sec) || !fraction(&s, &ns) || !zone(s, &east))
		return false;
	secs = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - east;
	if (__builtin_mul_overflow(secs, SLU_SEC, &v) || __builtin_add_overflow(v, ns, &v))
		return false;
	*ret_wall_ns = v;
	return true;
}
