/* SPDX-License-Identifier: Apache-2.0 */
/* Hadoop's XML: what is taken for a configuration gives values within their bounds, and NameNodes or a reason. */
#include "hdfs/nameservice.h"

#include "common/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_failed(int r, const struct slu_err *e)
{
	if (r < 0 && (e->code != -r || !e->msg[0] || strchr(e->msg, '\n')))
		abort();
}

static void look_up(const struct slu_hconf *c, const char *which)
{
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice s = {0};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct slu_err e = {0};
	int r = slu_nameservice_find(c, which, &s, &e);

	check_failed(r, &e);
	if (r < 0)
		return;
	if (!s.name || !*s.name || !s.web || !*s.web || (s.logical && strchr(s.name, ':')))
		abort();
	if (s.logical && slu_nameservice_properties(&s, "a,b", o) == 0 &&
	    !slu_json_str(o, "dfs.nameservices"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_hconf_freep) struct slu_hconf *c = NULL;
	char *v = NULL;
	struct slu_err e = {0};
	int r;

	if (slu_hconf_new(&c) < 0)
		return 0;
	r = slu_hconf_load_text(c, (const char *)data, size, "fuzz", NULL, &e);
	check_failed(r, &e);
	if (r < 0)
		return 0;
	r = slu_hconf_get(c, "fs.defaultFS", &v, &e);
	check_failed(r, &e);
	if (r == 0 && v && (!*v || strlen(v) > 64 << 10))
		abort();
	free(v);
	look_up(c, NULL);
	look_up(c, "ns");
	return 0;
}
