/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzer for what a server may send us as header values and as the head of an answer.  The first
 * byte chooses: 0 the value parsers, else a head, line by line.  Beside memory errors it checks
 * what the parsers promise.
 */
#include "common/time.h"
#include "io/http.h"
#include "io/reply.h"
#include "io/xfer.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool what)
{
	if (!what)
		abort();
}

static void fuzz_values(const char *s)
{
	uint64_t a, b, total;
	int64_t t;
	if (slu_http_content_range(s, &a, &b, &total))
		must(a <= b && b < total);
	slu_http_length(s, &a);
	if (slu_http_date(s, &t))
		must(t >= 0);
	if (slu_http_retry_after(s, 1700000000 * SLU_SEC, &t))
		must(t >= 0 && t <= 3600 * SLU_SEC);
	struct slu_buf shown = SLU_BUF(1 << 20);
	slu_url_show(&shown, s);
	must(!shown.p || !strpbrk(shown.p, "?#\n"));
	slu_buf_done(&shown);
}

static void fuzz_head(const char *p, size_t n)
{
	struct slu_reply r = {0};
	struct slu_want w = {.off = 10, .len = 10, .total = 100};
	const char *end = p + n;
	int rc = 0;
	while (p < end && rc == 0) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t k = nl ? (size_t)(nl + 1 - p) : (size_t)(end - p);
		rc = slu_reply_line(&r, p, k, "fuzz", NULL);
		p += k;
	}
	must(r.bytes <= SLU_XFER_HEADERS || rc < 0);
	must(rc < 0 || r.lines <= SLU_REPLY_LINES);
	if (rc == 0 && r.complete && slu_reply_check_range(&r, &w, "fuzz", NULL) == 0)
		must(r.status == 206 && r.first == 10 && r.last == 19);
	slu_reply_get(&r, "etag");
	slu_reply_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	char *s = malloc(n);
	if (!s)
		return 0;
	memcpy(s, data + 1, n - 1);
	s[n - 1] = '\0';
	if (data[0] == 0)
		fuzz_values(s);
	else
		fuzz_head(s, n - 1);
	free(s);
	return 0;
}
