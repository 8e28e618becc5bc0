/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part one: basics, the workspace, its datastores.  Thin: each call turns C strings
 * into the structs of the layers below and their answers into text.
 */
#include "dataset/api.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "dataset/broker_client.h"
#include "dataset/datastore.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *sluice_version(void)
{
	return PACKAGE_VERSION;
}

void sluice_free(void *p)
{
	free(p);
}

int sluice_exit_code(int rc)
{
	return slu_exit_code(rc);
}

static struct {
	sluice_log_fn *fn;
	void *user;
} log_sink;

static void log_line(void *user, enum slu_log_level level, const char *module, const char *line)
{
	(void)user;
	log_sink.fn(log_sink.user, (int)level, module, line);
}

void sluice_set_log(sluice_log_fn *fn, void *user, int max_level)
{
	log_sink.fn = fn;
	log_sink.user = user;
	slu_log_set(fn ? log_line : NULL, NULL);
	if (max_level >= SLU_LOG_ERROR && max_level <= SLU_LOG_DEBUG)
		slu_log_level((enum slu_log_level)max_level);
}

int slu_api_error(struct sluice_error *out, const struct slu_err *in, int rc)
{
	if (rc >= 0 || !out)
		return rc;
	*out = (struct sluice_error){.code = -rc};
	snprintf(out->service, sizeof out->service, "%s", in->svc);
	snprintf(out->message, sizeof out->message, "%s", in->msg[0] ? in->msg : strerror(-rc));
	return rc;
}

int slu_api_json(struct json_t *j, char **ret, struct slu_err *e)
{
	char *text = j ? slu_json_text(j, SLU_JSON_PRETTY) : NULL;

	slu_json_free(j);
	if (!text)
		return slu_fail_oom(e);
	*ret = text;
	return 0;
}

int sluice_init(const char *dir, const char *name, char **ret_config_path, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er,
			     slu_workspace_init(dir ? dir : ".", name, ret_config_path, &er));
}

static int open_context(const char *path, unsigned flags, struct sluice **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *ws = NULL;
	int r = slu_workspace_find(path, &ws, e);

	/* A path that was named must be there; without one, "none found" may be fine: also in a step,
	 * whose broker answers for its workspace. */
	if (r < 0 && !(r == -ENOENT && !path && ((flags & SLUICE_OPTIONAL) || slu_broker_here())))
		return r;
	return slu_context_new(slu_take(ws), ret, e);
}

int sluice_open(const char *path, unsigned flags, struct sluice **ret, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, open_context(path, flags, ret, &er));
}

void sluice_close(struct sluice *s)
{
	slu_context_free(s);
}

static int workspace_json(struct sluice *s, struct json_t **ret, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	const struct slu_workspace *w = slu_context_workspace(s);
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_json_copy(w->config);

	if (!j || slu_json_set_str(j, "config", w->config_path) < 0 ||
	    slu_json_set_str(j, "directory", w->dir) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(j);
	return 0;
}

int sluice_workspace(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = workspace_json(s, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* --- datastores: always from the file as it is now, so that one made a moment ago shows --- */

static int fresh_workspace(struct sluice *s, struct slu_workspace **ret, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	return r < 0 ? r : slu_workspace_find(slu_context_workspace(s)->config_path, ret, e);
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

/* The validation is the operation that would fail: list the place. */
static int try_datastore(struct slu_workspace *w, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *copy = NULL;
	SLU_AUTO(slu_context_freep) struct sluice *s = NULL;
	struct slu_store *store;
	struct slu_attr attr;

	copy = slu_new0(struct slu_workspace);
	if (!copy)
		return slu_fail_oom(e);
	copy->config = slu_json_copy(w->config);
	copy->dir = slu_strdup(w->dir);
	copy->config_path = slu_strdup(w->config_path);
	if (!copy->config || !copy->dir || !copy->config_path)
		return slu_fail_oom(e);
	int r = need_folder(w, slu_json_get(slu_json_get(w->config, "datastores"), name), e);

	if (r == 0)
		r = slu_context_new(slu_take(copy), &s, e);
	if (r < 0)
		return r;
	r = slu_context_store(s, name, &store, e);
	/* A kind that this build cannot open is kept: another build, or Azure ML, can. */
	if (r == -ENOTSUP)
		return 0;
	return r < 0 ? r : slu_store_stat(store, "", &attr, e);
}

static int datastore_create(struct sluice *s, const char *name, const char *entry_json, int replace,
			    struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	int r = slu_json_parse(entry_json, strlen(entry_json), "the datastore entry", &entry, e);

	if (r == 0)
		r = slu_datastore_check(name, entry, e);
	if (r == 0)
		r = fresh_workspace(s, &w, e);
	if (r < 0)
		return r;
	struct json_t *all = slu_json_get(w->config, "datastores");

	if (!all) {
		if (slu_json_set(w->config, "datastores", slu_json_object()) < 0)
			return slu_fail_oom(e);
		all = slu_json_get(w->config, "datastores");
	}
	const char *taken = slu_datastore_find(all, name);

	if (taken && !replace)
		return slu_fail(e, EEXIST,
				"datastore '%s' exists already; give --replace to change it",
				taken);
	if (slu_json_set(all, taken ? taken : name, slu_json_ref(entry)) < 0)
		return slu_fail_oom(e);
	r = try_datastore(w, name, e);
	return r < 0 ? r : slu_workspace_save(w, e);
}

int sluice_datastore_create(struct sluice *s, const char *name, const char *entry_json, int replace,
			    struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, datastore_create(s, name, entry_json, replace, &er));
}

/* {"name", "default", ...entry} */
static struct json_t *datastore_json(struct slu_workspace *w, const char *name,
				     const struct json_t *entry)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *dflt = slu_json_str(w->config, "default_datastore");

	if (!o || slu_json_set_str(o, "name", name) < 0 ||
	    slu_json_set_bool(o, "default",
			      strcasecmp(name, dflt ? dflt : "workspaceblobstore") == 0) < 0)
		return NULL;
	for (void *it = slu_json_iter(entry); it; it = slu_json_next(entry, it))
		if (slu_json_set(o, slu_json_iter_key(it), slu_json_ref(slu_json_iter_value(it))) <
		    0)
			return NULL;
	return slu_take(o);
}

static int datastore_list(struct sluice *s, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	int r = fresh_workspace(s, &w, e);

	if (r < 0)
		return r;
	struct json_t *all = slu_json_get(w->config, "datastores");

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		if (slu_json_append(list, datastore_json(w, slu_json_iter_key(it),
							 slu_json_iter_value(it))) < 0)
			return slu_fail_oom(e);
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
	int r = fresh_workspace(s, &w, e);

	if (r < 0)
		return r;
	struct json_t *all = slu_json_get(w->config, "datastores");
	const char *known = slu_datastore_find(all, name);

	if (!known)
		return slu_fail(e, ENOENT,
				"datastore '%s' is not in '%s'; `sluice datastore list` shows them",
				name, w->config_path);
	return slu_api_json(datastore_json(w, known, slu_json_get(all, known)), ret, e);
}

int sluice_datastore_show(struct sluice *s, const char *name, char **ret_json,
			  struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, datastore_show(s, name, ret_json, &er));
}
