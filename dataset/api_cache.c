/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, the disk cache: look at it, check it, empty it, fill it.  What uses it is in api_view.c.
 */
#include "dataset/api_view.h"

#include "common/json.h"
#include "fs/cache.h"

/* One of the calls that need the folder alone. */
static int manage(struct sluice *s, const char *const *settings,
		  int (*fn)(struct slu_cache *, struct json_t **, struct slu_err *),
		  char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_cache_freep) struct slu_cache *c = NULL;
	struct json_t *o = NULL;
	struct slu_settings set;
	struct slu_err er = {0};
	int r = slu_api_settle(s, 'd', settings, &set, &er);

	if (r == 0)
		r = slu_context_cache_conf(&set, true, &c, &er);
	if (r == 0)
		r = fn(c, &o, &er);
	if (r == 0)
		r = slu_api_json(o, ret_json, &er);
	return slu_api_error(e, &er, r);
}

int sluice_cache_stat(struct sluice *s, const char *const *settings, char **ret_json,
		      struct sluice_error *e)
{
	return manage(s, settings, slu_cache_stat, ret_json, e);
}

int sluice_cache_verify(struct sluice *s, const char *const *settings, char **ret_json,
			struct sluice_error *e)
{
	return manage(s, settings, slu_cache_verify, ret_json, e);
}

int sluice_cache_clear(struct sluice *s, const char *const *settings, char **ret_json,
		       struct sluice_error *e)
{
	return manage(s, settings, slu_cache_clear, ret_json, e);
}

struct telling {
	sluice_progress_fn *fn;
	void *user;
	const struct slu_manifest *m;
};

static int tell(void *user, uint64_t files, uint64_t bytes)
{
	const struct telling *t = user;
	struct sluice_progress p = {files, slu_manifest_count(t->m), bytes,
				    slu_manifest_bytes(t->m)};

	return t->fn(t->user, &p);
}

int sluice_cache_warm(struct sluice *s, const char *ref, const char *const *settings,
		      sluice_progress_fn *fn, void *user, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct telling t = {fn, user, NULL};
	struct json_t *o = NULL;
	struct slu_settings set;
	struct slu_err er = {0};
	int r = slu_api_settle(s, 'd', settings, &set, &er);

	if (r == 0) {
		set.chosen[SLU_SET_cache] = false; /* asked for by asking for this */
		set.cache = true;
		r = slu_context_use_cache(s, &set, &er);
	}
	if (r == 0)
		r = slu_resolve_ref(s, ref, &d, &er);
	if (r == 0) {
		t.m = d->tree->manifest;
		r = slu_cache_warm(d->tree, fn ? tell : NULL, &t, &o, &er);
	}
	if (r == 0)
		r = slu_api_json(o, ret_json, &er);
	return slu_api_error(e, &er, r);
}
