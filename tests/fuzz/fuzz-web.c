/* SPDX-License-Identifier: Apache-2.0 */
/* ETags, times, identities and redirects of web servers.  The first byte chooses what the text is.  What an
 * identity was made of matches it; no redirect leads from https to anything else. */
#include "common/mem.h"
#include "common/str.h"
#include "io/url_join.h"
#include "web/answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_state(const char *etag, const char *modified)
{
	char id[SLU_ID_MAX];
	struct slu_web_id back;

	if (!slu_web_id_make(1234567, etag, modified, id)) {
		if (id[0])
			abort();
		return;
	}
	for (const char *s = id; *s; s++)
		if (*s <= ' ' || *s > '~')
			abort();
	if (!slu_web_id_parse(id, &back) || slu_web_id_check(&back, etag, modified) != 0)
		abort();
	if (back.size != 1234567 && !(back.size == UINT64_MAX && back.etag[0]))
		abort();
}

static void fuzz_redirect(const char *to)
{
	static const char *const bases[] = {"https://h:1/a/b?c", "http://h/"};

	for (size_t i = 0; i < 2; i++) {
		SLU_AUTO(slu_freep) char *url = NULL;
		struct slu_err e = {0};

		if (slu_url_join(bases[i], to, &url, &e) < 0) {
			if (!e.msg[0] || url)
				abort();
		} else if (!slu_starts(url, "https://") &&
			   (i == 0 || !slu_starts(url, "http://"))) {
			abort();
		}
	}
}

static void fuzz_identity(const char *text)
{
	char date[SLU_WEB_DATE];
	struct slu_web_id id;

	if (!slu_web_id_parse(text, &id))
		return;
	slu_web_date(id.time_s, date);
	if (strlen(id.etag) >= SLU_ID_MAX || strpbrk(date, "\r\n"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!size)
		return 0;
	text = slu_strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_state(text, "Tue, 15 Nov 1994 08:12:31 GMT");
		break;
	case 1:
		fuzz_state("W/\"x\"", text);
		break;
	case 2:
		fuzz_redirect(text);
		break;
	default:
		fuzz_identity(text);
	}
	return 0;
}
