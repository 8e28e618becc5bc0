/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions as they are now: the records of registry_index.c with the facts of facts.c laid over them.
 * An unregistered version is not found any more, though its record stays and keeps its number; an
 * archived one is found by its version, but is not the latest and is listed only when asked for.
 */
#include "dataset/facts.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/gang.h"

#include <errno.h>
#include <string.h>

static bool hidden(const struct json_t *record)
{
	return slu_json_bool(record, "archived", false) ||
	       slu_json_bool(record, "unregistered", false);
}

static int gone(const struct json_t *record, struct slu_err *e)
{
	return slu_fail(e, ENOENT, "version '%s' of dataset '%s' was unregistered on %.10s",
			slu_json_str(record, "version"), slu_json_str(record, "name"),
			slu_json_str(record, "changed"));
}

/* Facts and record are asked for at once. */
struct asking {
	struct sluice *s;
	struct slu_registry g;
	const char *name, *version; /* NULL: the newest */
	struct json_t *record;
	struct slu_facts_map *facts;
	uint64_t number; /* of the newest, when that was asked for */
};

static int ask(void *user, size_t i, struct slu_err *e)
{
	struct asking *a = user;

	if (i == 0)
		return slu_registry_record_any(a->s, a->name, a->version, &a->record, e);
	return slu_facts_list(&a->g, a->name, a->version, &a->facts, e);
}

/* The last of an array of records that is the newest by the rule of registry_index.c and not hidden:
 * the highest number, without numbers the one created last. */
static struct json_t *newest_shown(const struct json_t *all)
{
	struct json_t *best = NULL;
	uint64_t best_n = 0;
	const char *when = "";

	for (size_t i = 0; i < slu_json_count(all); i++) {
		struct json_t *j = slu_json_at(all, i);
		const char *created = slu_json_str(j, "created");
		uint64_t n = slu_record_number(slu_json_str(j, "version"));
		bool later = created && strcmp(created, when) >= 0;

		if (hidden(j))
			continue;
		if (!best || (n > 0 && n > best_n) || (n == 0 && best_n == 0 && later)) {
			best = j;
			best_n = n;
			when = created ? created : "";
		}
	}
	return best;
}

struct laying {
	const struct asking *a;
	const struct json_t *all;
};

static int lay_one(void *user, size_t i, struct slu_err *e)
{
	struct laying *l = user;

	return slu_facts_overlay(&l->a->g, l->a->facts, slu_json_at(l->all, i), e);
}

/* What holds now over each of an array. */
static int lay(const struct asking *a, const struct json_t *all, struct slu_err *e)
{
	struct laying l = {.a = a, .all = all};

	return slu_gang(slu_json_count(all), 16, lay_one, &l, e);
}

int slu_facts_versions(struct sluice *s, const struct slu_registry *g, const char *name,
		       struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *facts = NULL;
	int r = slu_facts_list(g, name, NULL, &facts, e);

	if (r == 0)
		r = slu_registry_versions(s, name, &all, e);
	if (r == 0)
		r = lay(&(struct asking){.s = s, .g = *g, .facts = facts}, all, e);
	if (r == 0)
		*ret = slu_take(all);
	return r;
}

/* The newest number is hidden. */
static int step_down(struct asking *a, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	int r = slu_registry_versions(a->s, a->name, &all, e);

	if (r == 0)
		r = lay(a, all, e);
	if (r < 0)
		return r;
	struct json_t *best = newest_shown(all);

	if (!best)
		return slu_fail(e, ENOENT,
				"all versions of dataset '%s' are archived or unregistered: see "
				"`sluice data list %s --include-archived`",
				a->name, a->name);
	slu_json_free(a->record);
	a->record = slu_json_ref(best);
	return 0;
}

static int ask_newest(void *user, size_t i, struct slu_err *e)
{
	struct asking *a = user;

	if (i == 0)
		return slu_record_newest(&a->g, a->name, &a->record, &a->number, e);
	return slu_facts_list(&a->g, a->name, NULL, &a->facts, e);
}

int slu_registry_newest(struct sluice *s, const char *name, struct json_t **ret,
			uint64_t *ret_number, struct slu_err *e)
{
	struct asking a = {.s = s, .name = name};
	int r = slu_record_name_check(name, e);

	if (r == 0)
		r = slu_registry_open(s, &a.g, e);
	if (r == 0)
		r = slu_gang(2, 2, ask_newest, &a, e);
	if (r == 0 && a.record)
		r = slu_facts_overlay(&a.g, a.facts, a.record, e);
	if (r == 0 && a.record && hidden(a.record))
		r = step_down(&a, e);
	if (r == -ENOENT) {
		slu_json_free(a.record);
		a.record = NULL;
		r = 0;
	}
	if (r == 0) {
		*ret = slu_take(a.record);
		*ret_number = a.number;
	}
	slu_json_free(a.record);
	slu_facts_map_free(a.facts);
	return r;
}

int slu_registry_record(struct sluice *s, const char *name, const char *version,
			struct json_t **ret, struct slu_err *e)
{
	struct asking a = {.s = s, .name = name};
	int r = slu_record_name_check(name, e);

	if (version && !slu_streq(version, "latest"))
		a.version = version;
	if (r == 0 && a.version)
		r = slu_record_version_check(version, e);
	if (r == 0)
		r = slu_registry_open(s, &a.g, e);
	if (r == 0)
		r = slu_gang(2, 2, ask, &a, e);
	if (r == 0)
		r = slu_facts_overlay(&a.g, a.facts, a.record, e);
	if (r == 0 && !a.version && hidden(a.record))
		r = step_down(&a, e);
	if (r == 0 && slu_json_bool(a.record, "unregistered", false))
		r = gone(a.record, e);
	if (r == 0)
		*ret = slu_take(a.record);
	slu_json_free(a.record);
	slu_facts_map_free(a.facts);
	return r;
}
