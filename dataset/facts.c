/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and reading the facts of versions.  Numbers are dense from 1, because each writer puts the
 * one after the newest that it read; so one listing tells which is the newest, and only that one is
 * read.  Making one is in facts_put.c.
 */
#include "dataset/facts.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/facts_impl.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

struct slu_facts_map {
	struct slu_hash *newest; /* "name/version" -> number, "name" -> 1 */
	size_t strip;            /* of a listed path: what stands before the name */
};

void slu_facts_map_free(struct slu_facts_map *m)
{
	if (!m)
		return;
	if (m->newest)
		slu_hash_free(m->newest, NULL);
	free(m);
}

static uint64_t number(const struct slu_facts_map *m, const char *key)
{
	return m ? (uint64_t)(uintptr_t)slu_hash_get(m->newest, key) : 0;
}

uint64_t slu_facts_newest(const struct slu_facts_map *m, const char *name, const char *version)
{
	SLU_AUTO(slu_freep) char *key = slu_asprintf("%s/%s", name, version);

	return key ? number(m, key) : 0;
}

bool slu_facts_any(const struct slu_facts_map *m, const char *name)
{
	return number(m, name) > 0;
}

/* <name>/<version>/<n>.json below the folder; what else lies there is not ours. */
static int add(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct slu_facts_map *m = user;
	SLU_AUTO(slu_freep) char *key = slu_strdup(path + m->strip);
	char *slash = key ? strrchr(key, '/') : NULL;
	char *dot = slash ? strstr(slash, ".json") : NULL;
	char *name_end = key ? strchr(key, '/') : NULL;

	(void)attr;
	if (!key)
		return slu_fail_oom(e);
	if (!dot || dot[5] || name_end == slash)
		return 0;
	*dot = *slash = '\0';
	uint64_t n = slu_record_number(slash + 1);

	if (n > number(m, key) && !slu_hash_put(m->newest, key, (void *)(uintptr_t)n))
		return slu_fail_oom(e);
	*name_end = '\0';
	if (n && !slu_hash_put(m->newest, key, (void *)(uintptr_t)1))
		return slu_fail_oom(e);
	return 0;
}

static int add_page(struct slu_facts_map *m, const char *folder, const struct slu_list *l,
		    struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		SLU_AUTO(slu_freep) char *path = slu_path_join(folder, l->p[i].name);

		r = path ? add(m, path, &l->p[i].attr, e) : slu_fail_oom(e);
	}
	return r;
}

/* Where names can be asked for by how they begin, it is one request that finds nothing or all. */
static int list_from(const struct slu_registry *g, const char *folder, const char *start,
		     struct slu_facts_map *m, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *marker = NULL;
	int r;

	do {
		SLU_AUTO(slu_list_done) struct slu_list l = {0};
		struct slu_op op = {0};

		slu_op_list(&op, folder, marker, &l);
		op.flags |= SLU_OPF_RECURSIVE | SLU_OPF_NO_SUMS;
		op.start = start;
		r = slu_store_wait(g->store, &op, e);
		if (r == 0)
			r = add_page(m, folder, &l, e);
		free(marker);
		marker = slu_take(l.next);
	} while (r == 0 && marker);
	return r;
}

static int list_all(const struct slu_registry *g, const char *folder, const char *path,
		    struct slu_facts_map *m, struct slu_err *e)
{
	if (!slu_store_can(g->store, SLU_CAP_FLAT_LIST | SLU_CAP_START_LIST) ||
	    slu_streq(folder, path))
		return slu_walk_with(g->store, path,
				     SLU_WALK_ANY_ORDER | SLU_WALK_NO_SUMS | SLU_WALK_QUIET, add, m,
				     e);
	SLU_AUTO(slu_freep) char *start = slu_asprintf("%s/", path + m->strip);

	return start ? list_from(g, folder, start, m, e) : slu_fail_oom(e);
}

int slu_facts_list(const struct slu_registry *g, const char *name, const char *version,
		   struct slu_facts_map **ret, struct slu_err *e)
{
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *m = slu_new0(struct slu_facts_map);
	SLU_AUTO(slu_freep) char *all = slu_registry_path(g, "facts");
	SLU_AUTO(slu_freep)
	char *path = version ? slu_registry_path(g, "facts/%s/%s", name, version)
		     : name  ? slu_registry_path(g, "facts/%s", name)
			     : slu_registry_path(g, "facts");

	if (!m || !all || !path || !(m->newest = slu_hash_new()))
		return slu_fail_oom(e);
	m->strip = strlen(all) + 1;
	int r = list_all(g, all, path, m, e);

	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	*ret = slu_take(m);
	return 0;
}

int slu_facts_get(const struct slu_registry *g, const char *name, const char *version, uint64_t n,
		  struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *path =
		slu_registry_path(g, "facts/%s/%s/%llu.json", name, version, (unsigned long long)n);
	SLU_AUTO(slu_freep)
	char *what = slu_asprintf("fact %llu about '%s@%s'", (unsigned long long)n, name, version);
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	int r = slu_registry_about(g, path, what, name, version, &j, e);

	if (r < 0)
		return r;
	if (slu_json_int(j, "fact", 0) != (int64_t)n ||
	    !slu_json_is_object(slu_json_get(j, "state")))
		return slu_fail(e, EBADMSG, "%s is damaged: '%s' is about something else", what,
				path);
	*ret = slu_take(j);
	return 0;
}

static int put_or_del(struct json_t *record, const char *key, const struct json_t *v)
{
	if (!v) {
		slu_json_del(record, key);
		return 0;
	}
	return slu_json_set(record, key, slu_json_copy(v));
}

int slu_facts_apply(struct json_t *record, const struct json_t *fact, struct slu_err *e)
{
	static const char *const keys[] = {"description",  "tags",   "archived",
					   "unregistered", "frozen", "overwritten"};
	const struct json_t *state = slu_json_get(fact, "state");

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (put_or_del(record, keys[i], slu_json_get(state, keys[i])) < 0)
			return slu_fail_oom(e);
	if (slu_json_set_int(record, "facts", slu_json_int(fact, "fact", 0)) < 0 ||
	    slu_json_set_str(record, "changed", slu_json_str(fact, "time")) < 0)
		return slu_fail_oom(e);
	return 0;
}

int slu_facts_overlay(const struct slu_registry *g, const struct slu_facts_map *m,
		      struct json_t *record, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *fact = NULL;
	const char *name = slu_json_str(record, "name");
	const char *version = slu_json_str(record, "version");
	uint64_t n = slu_facts_newest(m, name, version);

	if (n == 0)
		return 0;
	int r = slu_facts_get(g, name, version, n, &fact, e);

	return r < 0 ? r : slu_facts_apply(record, fact, e);
}

int slu_facts_history(const struct slu_registry *g, const char *name, const char *version,
		      struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_facts_map_freep) struct slu_facts_map *m = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	int r = slu_facts_list(g, name, version, &m, e);

	if (!all)
		return slu_fail_oom(e);
	for (uint64_t n = 1; r == 0 && n <= slu_facts_newest(m, name, version); n++) {
		struct json_t *fact = NULL;

		r = slu_facts_get(g, name, version, n, &fact, e);
		if (r == 0 && slu_json_append(all, fact) < 0)
			r = slu_fail_oom(e);
	}
	if (r == 0)
		*ret = slu_take(all);
	return r;
}
