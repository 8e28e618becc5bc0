/* SPDX-License-Identifier: Apache-2.0 */
/* What JSON reads, it writes so that it reads the same; canonical text is a fixed point. */
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *rewrite(const struct json_t *j, enum slu_json_style style)
{
	SLU_AUTO(slu_json_freep) struct json_t *back = NULL;
	char *text = slu_json_text(j, style);

	if (!text || slu_json_parse(text, strlen(text), "rewritten", &back, NULL) < 0)
		abort();
	if (!slu_json_equal(j, back))
		abort();
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *back = NULL;
	SLU_AUTO(slu_freep) char *once = NULL;
	SLU_AUTO(slu_freep) char *twice = NULL;
	struct slu_err e = {0};

	if (slu_json_parse((const char *)data, size, "fuzz", &j, &e) < 0) {
		if (!e.code || !e.msg[0] || strlen(e.msg) >= sizeof(e.msg))
			abort();
		return 0;
	}
	free(rewrite(j, SLU_JSON_COMPACT));
	free(rewrite(j, SLU_JSON_PRETTY));
	once = rewrite(j, SLU_JSON_CANONICAL);
	if (slu_json_parse(once, strlen(once), "canonical", &back, NULL) < 0)
		abort();
	twice = slu_json_text(back, SLU_JSON_CANONICAL);
	if (!twice || strcmp(once, twice) != 0)
		abort();
	return 0;
}
