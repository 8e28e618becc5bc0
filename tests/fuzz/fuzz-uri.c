/* SPDX-License-Identifier: Apache-2.0 */
/* What a reference parses to, its canonical text parses to again; a plain path survives being written as a
 * datastore URI; a store path never leaves its root. */
#include "dataset/uri.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/walk.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_is_store(void *user, const char *name)
{
	(void)user;
	return slu_streq(name, "blob") || slu_streq(name, "store-2");
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && slu_streq(a, b));
}

static void check_text(const struct slu_uri *u)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *back = NULL;
	SLU_AUTO(slu_freep) char *text = slu_uri_text(u);
	SLU_AUTO(slu_freep) char *again = NULL;

	if (!text || slu_uri_parse(text, fuzz_is_store, NULL, &back, NULL) < 0)
		abort();
	if (back->kind != u->kind || !same(back->path, u->path) || !same(back->name, u->name) ||
	    !same(back->version, u->version) || !same(back->output, u->output) ||
	    !same(back->workspace, u->workspace) || !same(back->subscription, u->subscription) ||
	    !same(back->resource_group, u->resource_group) || !same(back->registry, u->registry) ||
	    !same(back->location, u->location))
		abort();
	again = slu_uri_text(back);
	if (!same(text, again))
		abort();
}

static void check_path(const struct slu_uri *u)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *back = NULL;
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(u->path, strlen(u->path));
	SLU_AUTO(slu_freep) char *escaped = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;

	if (!plain)
		abort();
	if (u->kind != SLU_URI_LOCAL && u->kind != SLU_URI_WORD && !slu_path_ok(u->path))
		abort();
	if (slu_glob_is(u->path))
		return;
	if (u->kind == SLU_URI_DATASTORE && !slu_path_ok(plain))
		abort();
	escaped = slu_uri_escape(plain);
	if (!same(escaped, u->path))
		abort();
	if (u->kind != SLU_URI_DATASTORE)
		return;
	uri = slu_uri_datastore("blob", plain);
	if (!uri || slu_uri_parse(uri, NULL, NULL, &back, NULL) < 0 || !same(back->path, u->path))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *text = slu_strndup((const char *)data, size);
	struct slu_err e = {0};

	if (!text)
		return 0;
	if (slu_uri_parse(text, fuzz_is_store, NULL, &u, &e) < 0) {
		if (e.code != EINVAL || !e.msg[0] || u)
			abort();
		return 0;
	}
	check_text(u);
	if (u->path)
		check_path(u);
	return 0;
}
