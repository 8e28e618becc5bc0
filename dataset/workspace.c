/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workspace found and read: the search of Workspace.from_config (azureml.md 1.1), the three keys or
 * the legacy "Scope".  What datastore entries hold is checked when one is used (datastore.c).  Making
 * and writing config.json is in workspace_save.c.
 */
#include "dataset/workspace.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_MAX (1u << 20)

/* Each pair is looked for all the way up to the root before the next one is. */
static const char *const pairs[] = {
	".azureml/config.json",    ".azureml/project.json", "aml_config/config.json",
	"aml_config/project.json", "config.json",           "project.json",
};

void slu_workspace_free(struct slu_workspace *w)
{
	if (!w)
		return;
	free(w->config_path);
	free(w->dir);
	free(w->text);
	slu_json_free(w->config);
	free(w);
}

/* The folder that a config file belongs to: ".azureml" and "aml_config" are only where it is kept. */
static char *home_of(const char *config_path)
{
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(config_path);

	if (!dir)
		return NULL;
	const char *base = slu_path_base(dir);

	if (slu_streq(base, ".azureml") || slu_streq(base, "aml_config")) {
		char *up = slu_path_dir(dir);

		free(dir);
		dir = up;
	}
	return dir && !*dir ? slu_strdup("/") : slu_take(dir);
}

/* Legacy: {"Scope": "/subscriptions/S/resourceGroups/R/providers/P/workspaces/W"}, pieces 2, 4, 8. */
static int from_scope(struct slu_workspace *w, const char *scope, struct slu_err *e)
{
	static const char *const keys[] = {
		[2] = "subscription_id", [4] = "resource_group", [8] = "workspace_name"};
	const char *s = scope;
	unsigned piece = 0, found = 0;

	for (;; piece++) {
		size_t n = strcspn(s, "/");
		const char *key = piece < sizeof(keys) / sizeof(keys[0]) ? keys[piece] : NULL;

		if (key && n) {
			SLU_AUTO(slu_freep) char *v = slu_strndup(s, n);

			if (!v || slu_json_set_str(w->config, key, v) < 0)
				return slu_fail_oom(e);
			found++;
		}
		if (!s[n])
			break;
		s += n + 1;
	}
	if (found != 3)
		return slu_fail(e, EINVAL,
				"'%s': \"Scope\" is not of the form /subscriptions/S/"
				"resourceGroups/R/providers/P/workspaces/W",
				w->config_path);
	return 0;
}

static int need_key(const struct slu_workspace *w, const char *key, const char **ret,
		    struct slu_err *e)
{
	const char *v = slu_json_str(w->config, key);

	if (!v || !*v)
		return slu_fail(e, EINVAL,
				"'%s': \"%s\" is missing or no text; it needs \"subscription_id\", "
				"\"resource_group\" and \"workspace_name\" (any text without an "
				"account)",
				w->config_path, key);
	*ret = v;
	return 0;
}

static int check_types(const struct slu_workspace *w, struct slu_err *e)
{
	static const struct {
		const char *key;
		bool object;
	} known[] = {{"datastores", true},         {"computes", true},        {"components", true},
		     {"environments", true},       {"linked_services", true}, {"root", false},
		     {"default_datastore", false}, {"default_compute", false}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct json_t *v = slu_json_get(w->config, known[i].key);

		if (v && !(known[i].object ? slu_json_is_object(v) : slu_json_is_string(v)))
			return slu_fail(e, EINVAL, "'%s': \"%s\" has to be %s", w->config_path,
					known[i].key, known[i].object ? "an object" : "a text");
	}
	return 0;
}

static int read_config(struct slu_workspace *w, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(CONFIG_MAX);
	int r = slu_buf_read_at(&b, AT_FDCWD, w->config_path);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read the workspace's '%s'", w->config_path);
	r = slu_json_parse(b.p ? b.p : "", b.len, w->config_path, &w->config, e);
	if (r < 0)
		return r;
	if (!slu_json_is_object(w->config))
		return slu_fail(e, EINVAL, "'%s' has to hold a JSON object", w->config_path);
	w->text = slu_buf_take(&b);
	if (!w->text)
		return slu_fail_oom(e);

	const char *scope = slu_json_str(w->config, "Scope");

	if (scope && !slu_json_get(w->config, "workspace_name")) {
		r = from_scope(w, scope, e);
		if (r < 0)
			return r;
	}
	r = need_key(w, "subscription_id", &w->subscription_id, e);
	if (r == 0)
		r = need_key(w, "resource_group", &w->resource_group, e);
	if (r == 0)
		r = need_key(w, "workspace_name", &w->name, e);
	return r < 0 ? r : check_types(w, e);
}

/* Takes config_path (absolute). */
static int load(char *config_path, struct slu_workspace **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = slu_new0(struct slu_workspace);

	if (!w) {
		free(config_path);
		return slu_fail_oom(e);
	}
	w->config_path = config_path;
	w->dir = home_of(config_path);
	if (!w->dir)
		return slu_fail_oom(e);
	int r = read_config(w, e);

	if (r == 0)
		*ret = slu_take(w);
	return r;
}

/* The path of `pair` in dir or the nearest folder above it; NULL in *ret: nowhere. */
static int search_up(const char *dir, const char *pair, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *at = slu_strdup(dir);

	*ret = NULL;
	for (;;) {
		SLU_AUTO(slu_freep) char *path = at ? slu_path_join(at, pair) : NULL;
		struct stat st;

		if (!path)
			return slu_fail_oom(e);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			*ret = slu_take(path);
			return 0;
		}
		if (slu_streq(at, "/"))
			return 0;
		char *up = slu_path_dir(at);

		free(at);
		at = up && !*up ? (free(up), slu_strdup("/")) : up;
	}
}

int slu_workspace_find(const char *path, struct slu_workspace **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	struct stat st;
	int r = slu_path_absolute(path ? path : ".", &abs, e);

	if (r < 0)
		return r;
	if (stat(abs, &st) < 0)
		return slu_fail_sys(e, errno, "cannot open the workspace '%s'", abs);
	if (!S_ISDIR(st.st_mode))
		return load(slu_take(abs), ret, e);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *found;

		r = search_up(abs, pairs[i], &found, e);
		if (r < 0)
			return r;
		if (found)
			return load(found, ret, e);
	}
	return slu_fail(
		e, ENOENT,
		"no workspace: there is no config.json in '%s' or a folder above it; make one "
		"with `sluice init`, or give the path of one",
		abs);
}
