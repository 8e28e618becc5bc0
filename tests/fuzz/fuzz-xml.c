/* SPDX-License-Identifier: Apache-2.0 */
/* Elements open and close in pairs, at depths that fit, until the end or the first error. */
#include "common/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	struct slu_err e = {0};
	int depth = 0, r;

	r = slu_xml_new((const char *)data, size, "fuzz", &x, &e);
	while (r >= 0) {
		r = slu_xml_next(x, &e);
		if (r <= 0)
			break;
		depth += r == SLU_XML_OPEN;
		if (slu_xml_depth(x) != depth || depth > 32)
			abort();
		if (r == SLU_XML_OPEN)
			slu_xml_attr(x, "Name");
		if (r == SLU_XML_TEXT && slu_xml_text(x)[0] == '\0')
			abort();
		depth -= r == SLU_XML_CLOSE;
	}
	if (r == SLU_XML_END ? depth != 0 : (!e.code || !e.msg[0]))
		abort();
	return 0;
}
