/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: the datastores of a workspace.  All is read from config.json as it is now, so that what was
 * made a moment ago shows; a change is made to what the file holds when it is written, so that two that
 * change different entries at once both stay.  What a YAML file of Azure ML says is read in datastore_yaml.c.
 */
#include "dataset/api.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "dataset/datastore.h"
#include "dataset/datastore_yaml.h"
#include "dataset/doctor_store.h"
#include "dataset/workspace_edit.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEFAULT_STORE "workspaceblobstore"

static const char *default_of(const struct slu_workspace *w)
{
	const char *name = slu_json_str(w->config, "default_datastore");

	return name && *name ? name : DEFAULT_STORE;
}

static int not_there(const struct slu_workspace *w, const char *name, struct slu_err *e)
{
	const struct json_t *all = slu_json_get(w->config, "datastores");
	const char *near = NULL;

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		near = slu_nearer(name, near, slu_json_iter_key(it));
	return slu_fail(e, ENOENT,
			"datastore '%s' is not in '%s'%s%s%s; `sluice datastore list` shows them",
			name, w->config_path, near ? " (is '" : "", near ? near : "",
			near ? "' meant?)" : "");
}

/* --- changes --- */

struct change {
	int (*make)(const struct change *c, struct slu_workspace *w, struct slu_err *e);
	const char *name;
	struct json_t *entry; /* or what changes in one; NULL: none */
	bool replace;
};

static int make_change(struct slu_workspace *w, void *user, struct slu_err *e)
{
	const struct change *c = user;

	return c->make(c, w, e);
}

static int apply(struct sluice *s, const struct change *c, struct slu_err *e)
{
	return slu_workspace_edit(s, make_change, (void *)c, e);
}

/* A local folder must be there: opening the store would make a relative one, typing errors too. */
static int need_folder(const struct slu_workspace *w, const struct json_t *entry, struct slu_err *e)
{
	const char *type = slu_json_str(entry, "type"), *path = slu_json_str(entry, "path");

	if (!type || !slu_streq(type, "local") || !path)
		return 0;
	SLU_AUTO(slu_freep)
	char *full = path[0] == '/' ? slu_strdup(path) : slu_asprintf("%s/%s", w->dir, path);

	if (!full)
		return slu_fail_oom(e);
	return access(full, F_OK) == 0
		       ? 0
		       : slu_fail(e, ENOENT,
				  "the folder '%s' does not exist: make it first, or "
				  "correct the path",
				  full);
}

/* What list and read say has to be yes; what may only be read is fine, and told. */
static int try_store(const char *name, struct slu_store *store, struct slu_err *e)
{
	struct slu_right right[SLU_RIGHTS];
	struct slu_attr attr;
	int r = slu_store_stat(store, "", &attr, e);

	if (r < 0)
		return slu_fail_more(e, "datastore '%s'", name);
	slu_doctor_rights(store, true, right);
	for (size_t i = 0; i < SLU_RIGHTS; i++) {
		if (right[i].is == SLU_RIGHT_YES)
			continue;
		if (i < 2) {
			if (e)
				*e = right[i].e;
			return slu_fail_more(e, "datastore '%s' cannot %s", name, right[i].verb);
		}
		if (right[i].is == SLU_RIGHT_NO)
			slu_warn("datastore", "'%s' may not %s: %s", name, right[i].verb,
				 right[i].e.msg);
	}
	return 0;
}

/* The validation is the operations that would fail.  Takes w, in which the entry is. */
static int try_entry(struct slu_workspace *w, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *own = w;
	SLU_AUTO(slu_context_freep) struct sluice *s = NULL;
	struct json_t *all = slu_json_get(w->config, "datastores");
	const char *key = slu_datastore_find(all, name);
	struct slu_store *store;
	int r = need_folder(w, slu_json_get(all, key), e);

	if (r == 0)
		r = slu_context_new(slu_take(own), &s, e);
	if (r == 0)
		r = slu_context_store(s, name, &store, e);
	/* A kind that this build cannot open is kept: another build can. */
	if (r == -ENOTSUP)
		return 0;
	return r < 0 ? r : try_store(name, store, e);
}

static int check_and_apply(struct sluice *s, const struct change *c, unsigned flags,
			   struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	int r = slu_workspace_fresh(s, &w, e);

	if (r == 0)
		r = c->make(c, w, e);
	if (r == 0 && !(flags & SLUICE_NO_PROBE))
		r = try_entry(slu_take(w), c->name, e);
	return r < 0 ? r : apply(s, c, e);
}

static int put_entry(const struct change *c, struct slu_workspace *w, struct slu_err *e)
{
	struct json_t *all = slu_json_get(w->config, "datastores");

	if (!all) {
		if (slu_json_set(w->config, "datastores", slu_json_object()) < 0)
			return slu_fail_oom(e);
		all = slu_json_get(w->config, "datastores");
	}
	const char *taken = slu_datastore_find(all, c->name);

	if (taken && !c->replace)
		return slu_fail(e, EEXIST,
				"datastore '%s' exists already; give --replace to change it",
				taken);
	return slu_json_set(all, taken ? taken : c->name, slu_json_ref(c->entry)) < 0
		       ? slu_fail_oom(e)
		       : 0;
}

int sluice_datastore_create(struct sluice *s, const char *name, const char *entry_json,
			    unsigned flags, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	struct slu_err er = {0};
	int r = slu_json_parse(entry_json, strlen(entry_json), "the datastore entry", &entry, &er);
	const struct change c = {.make = put_entry,
				 .name = name,
				 .entry = entry,
				 .replace = flags & SLUICE_OVERWRITE};

	if (r == 0)
		r = slu_datastore_check(name, entry, &er);
	if (r == 0)
		r = check_and_apply(s, &c, flags, &er);
	return slu_api_error(e, &er, r);
}

/* Keys that are null go, the others are set. */
static int change_entry(const struct change *c, struct slu_workspace *w, struct slu_err *e)
{
	struct json_t *all = slu_json_get(w->config, "datastores");
	const char *key = slu_datastore_find(all, c->name);
	struct json_t *entry = key ? slu_json_get(all, key) : NULL;
	const char *type = slu_json_str(entry, "type"), *other = slu_json_str(c->entry, "type");

	if (!entry)
		return not_there(w, c->name, e);
	if (other && !slu_streq(other, type ? type : ""))
		return slu_fail(e, EINVAL,
				"datastore '%s' is of type '%s', which stays: `sluice datastore "
				"create --replace` makes it another",
				key, type ? type : "");
	for (void *it = slu_json_iter(c->entry); it; it = slu_json_next(c->entry, it)) {
		const char *k = slu_json_iter_key(it);

		if (slu_json_is_null(slu_json_iter_value(it)))
			slu_json_del(entry, k);
		else if (slu_json_set(entry, k, slu_json_copy(slu_json_iter_value(it))) < 0)
			return slu_fail_oom(e);
	}
	return slu_datastore_check(key, entry, e);
}

int sluice_datastore_update(struct sluice *s, const char *name, const char *changes_json,
			    unsigned flags, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *changes = NULL;
	struct slu_err er = {0};
	int r = slu_json_parse(changes_json, strlen(changes_json), "the changes", &changes, &er);
	const struct change c = {.make = change_entry, .name = name, .entry = changes};

	if (r == 0 && !slu_json_is_object(changes))
		r = slu_fail(&er, EINVAL, "the changes of datastore '%s' are no object", name);
	if (r == 0)
		r = check_and_apply(s, &c, flags, &er);
	return slu_api_error(e, &er, r);
}

static int set_default(const struct change *c, struct slu_workspace *w, struct slu_err *e)
{
	const char *key = slu_datastore_find(slu_json_get(w->config, "datastores"), c->name);

	if (!key)
		return not_there(w, c->name, e);
	return slu_json_set_str(w->config, "default_datastore", key) < 0 ? slu_fail_oom(e) : 0;
}

int sluice_datastore_set_default(struct sluice *s, const char *name, struct sluice_error *e)
{
	const struct change c = {.make = set_default, .name = name};
	struct slu_err er = {0};

	return slu_api_error(e, &er, apply(s, &c, &er));
}

static bool is_key(void *user, const char *name)
{
	return slu_datastore_find(user, name) != NULL;
}

/* Is the registry in the datastore `key`? */
static bool holds_root(const struct slu_workspace *w, const char *key)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	const char *root = slu_json_str(w->config, "root");

	return root && *root &&
	       slu_uri_parse(root, is_key, slu_json_get(w->config, "datastores"), &u, NULL) == 0 &&
	       u->kind == SLU_URI_DATASTORE && strcasecmp(u->name, key) == 0;
}

static int remove_entry(const struct change *c, struct slu_workspace *w, struct slu_err *e)
{
	struct json_t *all = slu_json_get(w->config, "datastores");
	const char *key = slu_datastore_find(all, c->name);

	if (!key)
		return not_there(w, c->name, e);
	if (strcasecmp(default_of(w), key) == 0)
		return slu_fail(e, EBUSY,
				"datastore '%s' is the default one: make another the default with "
				"`sluice datastore set-default` first",
				key);
	if (holds_root(w, key))
		return slu_fail(
			e, EBUSY,
			"datastore '%s' holds the registry (\"root\" in '%s'): it cannot go "
			"while it does",
			key, w->config_path);
	slu_json_del(all, key);
	return 0;
}

int sluice_datastore_unregister(struct sluice *s, const char *name, struct sluice_error *e)
{
	const struct change c = {.make = remove_entry, .name = name};
	struct slu_err er = {0};

	return slu_api_error(e, &er, apply(s, &c, &er));
}

/* --- questions --- */

/* {"name", "default", ...entry} */
static struct json_t *datastore_json(const struct slu_workspace *w, const char *name,
				     const struct json_t *entry)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_str(o, "name", name) < 0 ||
	    slu_json_set_bool(o, "default", strcasecmp(name, default_of(w)) == 0) < 0)
		return NULL;
	for (void *it = slu_json_iter(entry); it; it = slu_json_next(entry, it))
		if (slu_json_set(o, slu_json_iter_key(it), slu_json_ref(slu_json_iter_value(it))) <
		    0)
			return NULL;
	return slu_take(o);
}

/* What a person looks for first: the container or the folder. */
static int set_place(struct json_t *o)
{
	static const char *const keys[] = {"path",       "container_name", "filesystem",
					   "namenode",   "nameservice",    "url",
					   "hadoop_conf"};
	const char *account = slu_json_str(o, "account_name"), *v = NULL;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !v; i++)
		v = slu_json_str(o, keys[i]);
	SLU_AUTO(slu_freep)
	char *place =
		slu_asprintf("%s%s%s", account ? account : "", account ? "/" : "", v ? v : "");

	return place ? slu_json_set_str(o, "place", place) : -ENOMEM;
}

static int datastore_list(struct sluice *s, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	int r = slu_workspace_fresh(s, &w, e);

	if (r < 0)
		return r;
	struct json_t *all = slu_json_get(w->config, "datastores");

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		struct json_t *o =
			datastore_json(w, slu_json_iter_key(it), slu_json_iter_value(it));

		if (!o || set_place(o) < 0 || slu_json_append(list, o) < 0)
			return slu_fail_oom(e);
	}
	return slu_api_json(slu_take(list), ret, e);
}

int sluice_datastore_list(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, datastore_list(s, ret_json, &er));
}

static int datastore_show(struct sluice *s, const char *name, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	int r = slu_workspace_fresh(s, &w, e);

	if (r < 0)
		return r;
	struct json_t *all = slu_json_get(w->config, "datastores");
	const char *known = slu_datastore_find(all, name ? name : default_of(w));

	if (!known)
		return not_there(w, name ? name : default_of(w), e);
	return slu_api_json(datastore_json(w, known, slu_json_get(all, known)), ret, e);
}

int sluice_datastore_show(struct sluice *s, const char *name, char **ret_json,
			  struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, datastore_show(s, name, ret_json, &er));
}

static int add_right(struct json_t *list, const char *verb, const char *is, const char *detail)
{
	struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "right", verb) < 0 || slu_json_set_str(o, "allowed", is) < 0 ||
	    slu_json_set_str(o, "detail", detail) < 0) {
		slu_json_free(o);
		return -ENOMEM;
	}
	return slu_json_append(list, o);
}

static int datastore_test(struct sluice *s, const char *name, struct json_t **ret,
			  struct slu_err *e)
{
	static const char *const words[] = {
		[SLU_RIGHT_YES] = "yes", [SLU_RIGHT_NO] = "no", [SLU_RIGHT_UNKNOWN] = "unknown"};
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_context_freep) struct sluice *own = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	struct slu_right right[SLU_RIGHTS];
	struct slu_store *store;
	struct slu_attr attr;
	int r = slu_workspace_fresh(s, &w, e);

	if (r == 0 && name && !slu_datastore_find(slu_json_get(w->config, "datastores"), name))
		r = not_there(w, name, e);
	if (r == 0)
		r = slu_context_new(slu_take(w), &own, e);
	if (r == 0)
		r = slu_context_store(own, name, &store, e);
	if (r == 0)
		r = slu_store_stat(store, "", &attr, e);
	if (r < 0)
		return r;
	slu_doctor_rights(store, true, right);
	for (size_t i = 0; i < SLU_RIGHTS; i++)
		if (add_right(list, right[i].verb, words[right[i].is],
			      right[i].is == SLU_RIGHT_YES ? "" : right[i].e.msg) < 0)
			return slu_fail_oom(e);
	*ret = slu_take(list);
	return 0;
}

int sluice_datastore_test(struct sluice *s, const char *name, char **ret_json,
			  struct sluice_error *e)
{
	struct json_t *list = NULL;
	struct slu_err er = {0};
	int r = datastore_test(s, name, &list, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(list, ret_json, &er));
}

int sluice_datastore_read(const char *path, const char *name, char **ret_json,
			  struct sluice_error *e)
{
	struct json_t *list = NULL;
	struct slu_err er = {0};
	int r = slu_datastore_yaml(path, name, &list, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(list, ret_json, &er));
}
