/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities made of headers, read back, and compared with an answer's (RFC 9110 sections 8.8 and 13.1);
 * statuses as errors.  A header that cannot be read counts as absent: the other one may do.
 */
#include "web/answer.h"

#include "common/str.h"
#include "common/time.h"
#include "io/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Strong, and printable without spaces: that is what an identity is made of. */
static bool is_strong(const char *etag)
{
	size_t n = etag ? strlen(etag) : 0;

	if (n < 2 || n >= SLU_ID_MAX || etag[0] != '"' || etag[n - 1] != '"')
		return false;
	for (size_t i = 1; i + 1 < n; i++)
		if (etag[i] <= ' ' || etag[i] > '~' || etag[i] == '"')
			return false;
	return true;
}

static bool seconds(const char *modified, int64_t *ret)
{
	int64_t ns;

	if (!modified || !slu_http_date(modified, &ns) || ns < 0)
		return false;
	*ret = ns / SLU_SEC;
	return true;
}

bool slu_web_id_make(uint64_t size, const char *etag, const char *modified, char ret[SLU_ID_MAX])
{
	int64_t s;

	ret[0] = '\0';
	if (is_strong(etag)) {
		int n = snprintf(ret, SLU_ID_MAX, "%" PRIx64 "%s", size, etag);

		if (n >= SLU_ID_MAX)
			snprintf(ret, SLU_ID_MAX, "%s", etag);
		return true;
	}
	if (!seconds(modified, &s))
		return false;
	snprintf(ret, SLU_ID_MAX, "%" PRIx64 "-%" PRIx64, size, (uint64_t)s);
	return true;
}

/* Up to 16 digits of hex, as they are written above; the end, or NULL. */
static const char *hex(const char *s, uint64_t *ret)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = strspn(s, digits);

	if (n == 0 || n > 16 || (s[0] == '0' && n > 1))
		return NULL;
	*ret = 0;
	for (size_t i = 0; i < n; i++)
		*ret = *ret << 4 | (uint64_t)(strchr(digits, s[i]) - digits);
	return s + n;
}

bool slu_web_id_parse(const char *text, struct slu_web_id *ret)
{
	uint64_t s;

	*ret = (struct slu_web_id){.size = UINT64_MAX};
	if (*text != '"')
		text = hex(text, &ret->size);
	if (text && is_strong(text)) {
		memcpy(ret->etag, text, strlen(text) + 1);
		return true;
	}
	text = text && *text == '-' ? hex(text + 1, &s) : NULL;
	if (!text || *text || s > INT64_MAX / SLU_SEC)
		return false;
	ret->time_s = (int64_t)s;
	return true;
}

int slu_web_id_check(const struct slu_web_id *id, const char *etag, const char *modified)
{
	int64_t s;

	if (id->etag[0]) {
		if (!etag)
			return -EPROTO;
		return slu_streq(etag, id->etag) ? 0 : -ESTALE;
	}
	if (!seconds(modified, &s))
		return -EPROTO;
	return s == id->time_s ? 0 : -ESTALE;
}

void slu_web_date(int64_t wall_s, char ret[SLU_WEB_DATE])
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t t = (time_t)wall_s;
	struct tm tm;

	ret[0] = '\0';
	if (gmtime_r(&t, &tm)) /* not strftime: names by locale */
		snprintf(ret, SLU_WEB_DATE, "%s, %02u %s %04d %02u:%02u:%02u GMT", days[tm.tm_wday],
			 (unsigned)tm.tm_mday % 100, months[tm.tm_mon], (tm.tm_year + 1900) % 10000,
			 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
			 (unsigned)tm.tm_sec % 100);
}

int slu_web_status(int status, struct slu_err *e)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return slu_fail(e, EACCES,
				"the server refuses it (%d), and no credential is sent to a plain "
				"URL; make a datastore with a credential reference",
				status);
	case 404:
	case 410:
		return slu_fail(e, ENOENT, "the server has no such file (%d)", status);
	case 412:
		return slu_fail(e, ESTALE,
				"it has changed since it was resolved: " SLU_STALE_REMEDY);
	case 416:
		return slu_fail(e, EIO, "the file ends before the bytes that are wanted");
	case 408:
	case 425:
	case 429:
	case 502:
	case 503:
	case 504:
		return slu_fail(e, EAGAIN, "the server is busy (%d)", status);
	default:
		return slu_fail(e, status >= 500 ? EIO : EPROTO,
				"the server answered with status %d", status);
	}
}
