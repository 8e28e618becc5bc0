/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and other short texts: cleaning, percent-encoding, what is shown, redaction, numbers. */
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_path(const char *s)
{
	SLU_AUTO(slu_freep) char *once = NULL;
	SLU_AUTO(slu_freep) char *twice = NULL;
	SLU_AUTO(slu_freep) char *joined = NULL;
	SLU_AUTO(slu_freep) char *dir = NULL;

	if (slu_path_clean(s, &once, NULL) < 0) {
		require(strstr(s, "..") != NULL);
		return;
	}
	require(slu_path_ok(once));
	require(slu_path_clean(once, &twice, NULL) == 0 && slu_streq(once, twice));
	dir = slu_path_dir(once);
	joined = slu_path_join(dir, slu_path_base(once));
	require(slu_streq(joined, once));
}

static void check_encoding(const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 22);
	SLU_AUTO(slu_buf_done) struct slu_buf back = SLU_BUF(1 << 22);

	slu_url_encode(&b, s, strlen(s), "/");
	slu_buf_str(&b, "");
	slu_buf_str(&back, "");
	require(slu_url_decode(&back, b.p, b.len) && slu_streq(back.p, s));
	slu_buf_clear(&back);
	slu_url_decode(&back, s, strlen(s));
}

static void check_shown(const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 22);
	struct slu_err e = {0};
	size_t n;

	slu_show(&b, s);
	for (size_t i = 0; i < b.len; i += n) {
		n = slu_utf8_len(b.p + i, b.len - i);
		require(n > 0 && (unsigned char)b.p[i] >= 0x20);
	}
	slu_fail(&e, 1, "%s", s);
	require(strlen(e.msg) < sizeof(e.msg));
	for (size_t i = 0; e.msg[i]; i += n) {
		n = slu_utf8_len(e.msg + i, strlen(e.msg + i));
		require(n > 0 && (unsigned char)e.msg[i] >= 0x20);
	}
}

static void check_redaction(const char *s)
{
	SLU_AUTO(slu_buf_done) struct slu_buf once = SLU_BUF(1 << 24);
	SLU_AUTO(slu_buf_done) struct slu_buf hidden = SLU_BUF(1 << 24);

	slu_redact(&once, s);
	slu_buf_str(&hidden, s);
	slu_buf_str(&hidden, " sig=Th1sSecret");
	slu_buf_clear(&once);
	slu_redact(&once, hidden.p);
	/* in quotes that were opened before, it may be part of another secret: gone it is anyhow */
	require(!strstr(once.p, "Th1sSecret") || strstr(s, "Th1sSecret"));
}

static void check_numbers(const char *s)
{
	char out[SLU_TIME_LEN];
	uint64_t u;
	int64_t i;

	slu_u64(s, &u);
	slu_i64(s, -5, 5, &i);
	slu_size(s, &u);
	if (slu_duration(s, &i))
		require(i >= 0);
	if (slu_time_parse(s, &i)) {
		slu_time_fmt(out, i);
		require(slu_time_parse(out, &i));
	}
	require(!slu_is_ident(s) || slu_is_name(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_freep) char *s = malloc(size + 1);

	require(s != NULL);
	memcpy(s, data, size);
	s[size] = '\0';
	check_path(s);
	check_encoding(s);
	check_shown(s);
	check_redaction(s);
	check_numbers(s);
	return 0;
}
