/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing down which datasets were used, for lineage downward (lineage_down.c).
 */
#include "dataset/uses.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/gang.h"

#include <errno.h>
#include <string.h>

struct noting {
	const struct slu_registry *g;
	const struct json_t *inputs;
	const char *what; /* "data/<name>/<version>", "runs/<run>" */
};

bool slu_uses_has(const struct json_t *inputs, const char *id)
{
	for (size_t i = 0; i < slu_json_count(inputs); i++) {
		const char *is = slu_json_str(slu_json_at(inputs, i), "id");

		if (is && slu_streq(is, id))
			return true;
	}
	return false;
}

static int note(void *user, size_t i, struct slu_err *e)
{
	const struct noting *n = user;
	const char *id = slu_json_str(slu_json_at(n->inputs, i), "id");
	struct slu_attr a;

	if (!id || !slu_is_name(id))
		return 0;
	SLU_AUTO(slu_freep) char *path = slu_registry_path(n->g, "uses/%s/%s", id, n->what);

	if (!path)
		return slu_fail_oom(e);
	int r = slu_store_put(n->g->store, path, "", 0, SLU_OPF_ABSENT, NULL, e);

	/* There already, or a reply was lost: what counts is that it is there. */
	return r < 0 && slu_store_stat(n->g->store, path, &a, NULL) == 0 ? 0 : r;
}

static int note_all(const struct slu_registry *g, const struct json_t *inputs, const char *what,
		    struct slu_err *e)
{
	struct noting n = {.g = g, .inputs = inputs, .what = what};

	return slu_gang(slu_json_count(inputs), 8, note, &n, e);
}

int slu_uses_version(const struct slu_registry *g, const struct json_t *inputs, const char *name,
		     const char *version, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *what = slu_asprintf("data/%s/%s", name, version);

	return what ? note_all(g, inputs, what, e) : slu_fail_oom(e);
}

int slu_uses_run(const struct slu_registry *g, const struct json_t *inputs, const char *run,
		 struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *what = slu_asprintf("runs/%s", run);

	return what ? note_all(g, inputs, what, e) : slu_fail_oom(e);
}
