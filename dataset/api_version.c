/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: what is said about versions after they were made, and finding them by it.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api_version.h"
#include "dataset/context_impl.h"
#include "dataset/facts.h"
#include "dataset/gang.h"

#include <errno.h>
#include <string.h>

int slu_api_version(struct sluice *s, const char *ref, char **ret_name, char **ret_version,
		    struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_context_parse(s, ref, &u, e);
	if (r < 0)
		return r;
	bool word = u->kind == SLU_URI_WORD && slu_is_name(ref);

	if (!word && (u->kind != SLU_URI_DATA || u->registry || (u->path && *u->path)))
		return slu_fail(e, EINVAL,
				"'%s' names no registered dataset: say NAME@VERSION, or NAME", ref);
	SLU_AUTO(slu_freep) char *name = slu_strdup(word ? ref : u->name);

	/* The parser takes "@latest" for no version; here it is one that was said. */
	if (!word && !u->version && slu_ends(ref, "latest"))
		u->version = slu_strdup("latest");
	if (!name)
		return slu_fail_oom(e);
	*ret_version = slu_take(u->version);
	*ret_name = slu_take(name);
	return 0;
}

/* --- changing --- */

struct changing {
	struct slu_registry g;
	const struct json_t *change;
	struct json_t *all; /* records */
};

static int change_one(void *user, size_t i, struct slu_err *e)
{
	struct changing *c = user;
	struct json_t *record = slu_json_at(c->all, i);
	int r = slu_facts_change(&c->g, record, c->change, e);

	/* Of all versions, one that is unregistered already is none of them. */
	return r == -ENOENT && slu_json_bool(record, "unregistered", false) ? 0 : r;
}

static int change_all(struct sluice *s, const char *name, const struct json_t *change,
		      struct json_t **ret, struct slu_err *e)
{
	struct changing c = {.change = change};
	int r = slu_registry_open(s, &c.g, e);

	if (r == 0)
		r = slu_registry_versions(s, name, &c.all, e);
	if (r == 0)
		r = slu_gang(slu_json_count(c.all), 16, change_one, &c, e);
	if (r == 0)
		*ret = slu_take(c.all);
	slu_json_free(c.all);
	return r;
}

static int change_named(struct sluice *s, const char *name, const char *version,
			const struct json_t *change, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	struct slu_registry g;
	int r = slu_registry_open(s, &g, e);

	if (r == 0)
		r = slu_registry_record(s, name, version, &record, e);
	if (r == 0)
		r = slu_facts_change(&g, record, change, e);
	if (r == 0)
		*ret = slu_take(record);
	return r;
}

/* What hides versions has to say which ones. */
static int check_which(const char *ref, const char *version, bool all, const struct json_t *change,
		       struct slu_err *e)
{
	bool hides = slu_json_get(change, "archived") || slu_json_get(change, "unregistered");

	if (all && version)
		return slu_fail(e, EINVAL,
				"'%s' is one version and all were asked for: give the name alone",
				ref);
	if (!all && !version && hides)
		return slu_fail(e, EINVAL,
				"'%s' does not say which version: give %s@VERSION, %s@latest, or "
				"say that all are meant (--all)",
				ref, ref, ref);
	return 0;
}

static int update(struct sluice *s, const char *ref, const char *change_json, struct json_t **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *change = NULL;
	SLU_AUTO(slu_freep) char *name = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	int r = slu_json_parse(change_json, strlen(change_json), "the change", &change, e);

	if (r < 0)
		return r;
	bool all = slu_json_bool(change, "all", false);

	if (slu_json_get(change, "all"))
		slu_json_del(change, "all");
	if (slu_json_get(change, "frozen"))
		return slu_fail(e, EINVAL, "'frozen' is set by freezing the version");
	if (slu_json_get(change, "overwritten"))
		return slu_fail(e, EINVAL, "'overwritten' is set by the run that does it");
	r = slu_facts_check(change, e);
	if (r == 0)
		r = slu_api_version(s, ref, &name, &version, e);
	if (r == 0)
		r = check_which(ref, version, all, change, e);
	if (r < 0)
		return r;
	return all ? change_all(s, name, change, ret, e)
		   : change_named(s, name, version, change, ret, e);
}

int sluice_data_update(struct sluice *s, const char *ref, const char *change_json, char **ret_json,
		       struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = update(s, ref, change_json, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* --- asking --- */

static int history(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	SLU_AUTO(slu_freep) char *name = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	struct slu_registry g;
	int r = slu_api_version(s, ref, &name, &version, e);

	if (r == 0)
		r = slu_registry_open(s, &g, e);
	/* An unregistered version has a history, too. */
	if (r == 0)
		r = version && !slu_streq(version, "latest")
			    ? slu_registry_record_any(s, name, version, &record, e)
			    : slu_registry_record(s, name, NULL, &record, e);
	return r < 0 ? r : slu_facts_history(&g, name, slu_json_str(record, "version"), ret, e);
}

int sluice_data_history(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = history(s, ref, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

static int check_search(const struct json_t *q, struct slu_err *e)
{
	static const char *const known[] = {"name",     "tags",          "all_versions",
					    "archived", "archived_only", NULL};
	const struct json_t *tags = slu_json_get(q, "tags");

	if (!slu_json_is_object(q))
		return slu_fail(e, EINVAL, "a search has to be an object");
	const char *odd = slu_json_unknown_key(q, known);

	if (odd)
		return slu_fail(e, EINVAL, "a search has no '%s'", odd);
	if (tags && !slu_json_is_object(tags))
		return slu_fail(e, EINVAL, "'tags' of a search has to be an object");
	return 0;
}

int sluice_data_search(struct sluice *s, const char *search_json, char **ret_json,
		       struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *q = NULL;
	struct slu_err er = {0};

	if (slu_api_brokered(s))
		return slu_api_ask("data_search", search_json, ret_json, e);
	int r = slu_json_parse(search_json, strlen(search_json), "the search", &q, &er);

	if (r == 0)
		r = check_search(q, &er);
	if (r == 0)
		r = slu_context_need_workspace(s, &er);
	if (r == 0) {
		struct slu_search search = {
			.name = slu_json_str(q, "name"),
			.tags = slu_json_get(q, "tags"),
			.all_versions = slu_json_bool(q, "all_versions", false),
			.archived = slu_json_bool(q, "archived", false),
			.archived_only = slu_json_bool(q, "archived_only", false),
		};

		r = slu_registry_search_text(s, &search, ret_json, &er);
	}
	return slu_api_error(e, &er, r);
}
