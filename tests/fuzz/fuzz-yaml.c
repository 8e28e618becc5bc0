/* SPDX-License-Identifier: Apache-2.0 */
/* What YAML reads, it writes so that it reads the same, and its messages stay within their size. */
#include "common/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const known[] = {"type", "command", "inputs", NULL};
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *back = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_err e = {0};

	if (slu_yaml_parse((const char *)data, size, "fuzz.yml", &y, &e) < 0) {
		if (!e.code || !e.msg[0] || strlen(e.msg) >= sizeof(e.msg))
			abort();
		return 0;
	}
	slu_yaml_known_keys(y, slu_yaml_root(y), known, &e);
	text = slu_yaml_text(slu_yaml_root(y));
	if (!text || slu_yaml_parse(text, strlen(text), "rewritten.yml", &back, &e) < 0)
		abort();
	if (!slu_json_equal(slu_yaml_root(y), slu_yaml_root(back)))
		abort();
	return 0;
}
