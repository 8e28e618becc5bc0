/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where references lead: the store and the path of an object, the registry's root, the local folder of
 * run files.  A plain local path gets a store rooted at the folder it names, so that the links in it
 * cannot lead elsewhere.
 */
#include "dataset/context_impl.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_url.h"
#include "dataset/datastore.h"
#include "dataset/folders.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_store(void *user, const char *name)
{
	return slu_context_is_store(user, name);
}

int slu_context_parse(struct sluice *s, const char *text, struct slu_uri **ret, struct slu_err *e)
{
	return slu_uri_parse(text, is_store, s, ret, e);
}

/* --- local paths --- */

/* The longest part of abs that is a folder; *ret_rest, in abs, is what is behind it. */
static char *nearest_folder(const char *abs, const char **ret_rest)
{
	SLU_AUTO(slu_freep) char *at = slu_strdup(abs);
	struct stat st;

	while (at && !slu_streq(at, "/") && (stat(at, &st) < 0 || !S_ISDIR(st.st_mode))) {
		char *up = slu_path_dir(at);

		free(at);
		at = up && !*up ? (free(up), slu_strdup("/")) : up;
	}
	if (at) {
		const char *rest = abs + strlen(at);

		*ret_rest = rest + (*rest == '/');
	}
	return slu_take(at);
}

/* The literal part of a local pattern, absolute, and what of the pattern is behind it. */
static int split_local(const char *pattern, char **ret_abs, const char **ret_rest,
		       struct slu_err *e)
{
	bool glob = slu_glob_is(pattern);
	size_t n = glob ? slu_glob_prefix(pattern) : strlen(pattern);
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(pattern, n);

	if (!plain)
		return slu_fail_oom(e);
	if (!*plain) {
		free(plain);
		plain = slu_strdup(*pattern == '/' ? "/" : ".");
		if (!plain)
			return slu_fail_oom(e);
	}
	pattern += n;
	pattern += *pattern == '/';
	int r = slu_path_absolute(plain, ret_abs, e);

	if (r == 0)
		*ret_rest = pattern;
	return r;
}

/* Absolute, with the links on the way as they are. */
static int canon_local(const struct slu_uri *u, struct slu_uri *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	const char *rest = NULL;
	int r = split_local(u->path, &abs, &rest, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *escaped = slu_uri_escape(abs);

	ret->path = escaped ? slu_path_join(escaped, rest) : NULL;
	return ret->path ? 0 : slu_fail_oom(e);
}

/* "WORD:..." that is no local path either was meant as STORE:path. */
static int check_word(struct sluice *s, const struct slu_uri *u, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *name = slu_strndup(u->path, strcspn(u->path, ":"));
	struct stat st;

	if (!name)
		return slu_fail_oom(e);
	if (!u->path[strlen(name)] || !slu_is_name(name) || lstat(u->path, &st) == 0)
		return 0;
	return slu_context_unknown_store(s, name, e);
}

/* c: canonical. */
static int open_local(struct sluice *s, const struct slu_uri *c, struct slu_store **ret,
		      char **ret_path, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	const char *rest = NULL, *missing = NULL;
	int r = split_local(c->path, &abs, &rest, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *root = nearest_folder(abs, &missing);
	SLU_AUTO(slu_freep) char *behind = root ? slu_uri_escape(missing) : NULL;
	SLU_AUTO(slu_freep) char *path = behind ? slu_path_join(behind, rest) : NULL;

	if (!path)
		return slu_fail_oom(e);
	r = slu_context_local(s, root, ret, e);
	if (r == 0)
		*ret_path = slu_take(path);
	return r;
}

/* --- datastores --- */

static bool same(const char *a, const char *b)
{
	return !a || strcasecmp(a, b) == 0;
}

/* A long URI names its workspace: another one's data must not be taken from here. */
static int check_scope(struct sluice *s, const struct slu_uri *u, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	if (u->registry)
		return slu_fail(e, ENOTSUP, "registry '%s': registries cannot be read yet",
				u->registry);
	if (u->location || /* there the workspace is an id, which we have none of */
	    (same(u->workspace, s->ws->name) && same(u->resource_group, s->ws->resource_group) &&
	     same(u->subscription, s->ws->subscription_id)))
		return 0;
	return slu_fail(
		e, ENOENT,
		"the URI of datastore '%s' is of workspace '%s', and '%s' is workspace '%s'; "
		"the short form azureml://datastores/%s/paths/... means the one in use",
		u->name, u->workspace, s->ws->config_path, s->ws->name, u->name);
}

static int canon_store(struct sluice *s, const struct slu_uri *u, struct slu_uri *ret,
		       struct slu_err *e)
{
	int r = check_scope(s, u, e);

	if (r < 0)
		return r;
	const char *key = slu_datastore_find(slu_json_get(s->ws->config, "datastores"), u->name);

	if (!key)
		return slu_context_unknown_store(s, u->name, e);
	ret->name = slu_strdup(key);
	ret->path = slu_strdup(u->path);
	return ret->name && ret->path ? 0 : slu_fail_oom(e);
}

/* A storage URL is a place in a datastore; one of a plain web server stays what it is. */
static int canon_url(struct sluice *s, const struct slu_uri *u, struct slu_uri *ret,
		     struct slu_err *e)
{
	int r = slu_context_url(s, u, &ret->name, &ret->path, e);

	if (r < 0)
		return r;
	if (r == 0) {
		ret->kind = SLU_URI_DATASTORE;
		return 0;
	}
	if (strstr(u->name, ".file.core."))
		return slu_fail(e, ENOTSUP,
				"'%s://%s' is an Azure Files share, which is not opened yet: mount "
				"it (SMB or NFS) and name the folder",
				u->scheme, u->name);
	ret->scheme = slu_strdup(u->scheme);
	ret->name = slu_strdup(u->name);
	ret->path = slu_strdup(u->path);
	return ret->scheme && ret->name && ret->path ? 0 : slu_fail_oom(e);
}

int slu_context_canon(struct sluice *s, const struct slu_uri *u, struct slu_uri **ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = slu_new0(struct slu_uri);
	int r = 0;

	if (u->state)
		return slu_fail(
			e, EINVAL,
			"'%s?%s' is one state of one file: it can be read (cat, cp, ls, stat), "
			"not be data of its own; copy it to a place of its own",
			u->path, u->state);
	if (!c)
		return slu_fail_oom(e);
	c->kind = u->kind;
	switch (u->kind) {
	case SLU_URI_DATASTORE:
		r = canon_store(s, u, c, e);
		break;
	case SLU_URI_WORD:
		c->kind = SLU_URI_LOCAL;
		r = check_word(s, u, e);
		if (r == 0)
			r = canon_local(u, c, e);
		break;
	case SLU_URI_LOCAL:
		r = canon_local(u, c, e);
		break;
	case SLU_URI_DATA:
	case SLU_URI_DATA_ID:
	case SLU_URI_JOB:
		return slu_fail(e, EINVAL,
				"'%s' names a dataset; a path is needed here: STORE:PATH, an "
				"azureml://datastores/ URI or a local path",
				u->name);
	default:
		r = canon_url(s, u, c, e);
		break;
	}
	if (r == 0)
		*ret = slu_take(c);
	return r;
}

int slu_context_locate(struct sluice *s, const struct slu_uri *u, struct slu_store **ret,
		       char **ret_path, char **ret_uri, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	struct slu_store *store = NULL;
	int r = slu_context_canon(s, u, &c, e);

	if (r < 0)
		return r;
	if (c->kind == SLU_URI_LOCAL) {
		r = open_local(s, c, &store, &path, e);
	} else {
		r = slu_context_open(s, c, &store, e);
		path = slu_strdup(c->path);
	}
	if (r < 0)
		return r;
	uri = slu_uri_text(c);
	if (!path || !uri)
		return slu_fail_oom(e);
	*ret = store;
	*ret_path = slu_take(path);
	if (ret_uri)
		*ret_uri = slu_take(uri);
	return 0;
}

/* A local path is asked of the kernel: to open a store for each of a thousand folders, only to learn
 * that they are folders, would take a thousand descriptors. */
static int local_kind(const struct slu_uri *c, enum slu_kind *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_glob_unescape(c->path, strlen(c->path));
	struct stat st;

	if (!path)
		return slu_fail_oom(e);
	if (stat(path, &st) < 0)
		return slu_fail_sys(e, errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return slu_fail(e, EINVAL, "'%s' is neither a file nor a folder", path);
	*ret = S_ISDIR(st.st_mode) ? SLU_KIND_DIR : SLU_KIND_FILE;
	return 0;
}

int slu_context_kind(struct sluice *s, const struct slu_uri *c, enum slu_kind *ret,
		     struct slu_err *e)
{
	struct slu_store *store = NULL;
	struct slu_attr attr;

	if (c->kind == SLU_URI_LOCAL)
		return local_kind(c, ret, e);
	SLU_AUTO(slu_freep) char *path = slu_glob_unescape(c->path, strlen(c->path));
	int r = path ? slu_context_open(s, c, &store, e) : slu_fail_oom(e);

	if (r == 0)
		r = slu_store_stat(store, path, &attr, e);
	if (r == 0)
		*ret = attr.kind;
	return r;
}

int slu_context_locate_plain(struct sluice *s, const struct slu_uri *u, struct slu_store **ret,
			     char **ret_path, char **ret_uri, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *pattern = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	struct slu_store *store;

	if (u->path && slu_glob_is(u->path))
		return slu_fail(e, EINVAL,
				"'%s' is a pattern and one place is needed; write a '\\' before "
				"characters that are meant literally",
				u->path);
	int r = slu_context_locate(s, u, &store, &pattern, &uri, e);

	if (r < 0)
		return r;
	char *path = slu_glob_unescape(pattern, strlen(pattern));

	if (!path)
		return slu_fail_oom(e);
	*ret = store;
	*ret_path = path;
	if (ret_uri)
		*ret_uri = slu_take(uri);
	return 0;
}

/* --- the root --- */

/* "root" of the config: a local folder in *ret_folder, else a datastore's path in *ret_uri. */
static int root_place(struct sluice *s, char **ret_folder, struct slu_uri **ret_uri,
		      struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	const char *text = slu_json_str(s->ws->config, "root");

	r = slu_context_parse(s, text && *text ? text : ".sluice/root", &u, e);
	if (r < 0)
		return slu_fail_more(e, "\"root\" in '%s'", s->ws->config_path);
	bool local = u->kind == SLU_URI_LOCAL || u->kind == SLU_URI_WORD;

	if ((!local && u->kind != SLU_URI_DATASTORE) || slu_glob_is(u->path))
		return slu_fail(e, EINVAL,
				"\"root\" in '%s' has to be a local folder or a datastore path",
				s->ws->config_path);
	if (!local) {
		*ret_uri = slu_take(u);
		return 0;
	}
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(u->path, strlen(u->path));
	SLU_AUTO(slu_freep)
	char *full = !plain          ? NULL
		     : *plain == '/' ? slu_strdup(plain)
				     : slu_path_join(s->ws->dir, plain);

	return full ? slu_path_absolute(full, ret_folder, e) : slu_fail_oom(e);
}

static int open_root(struct sluice *s, struct slu_store **ret, char **ret_path, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *folder = NULL;
	int r = root_place(s, &folder, &u, e);

	if (r < 0)
		return r;
	if (u)
		return slu_context_locate_plain(s, u, ret, ret_path, NULL, e);
	r = slu_folders_make(folder, 0755, e);
	if (r == 0)
		r = slu_context_local(s, folder, ret, e);
	if (r < 0)
		return r;
	*ret_path = slu_strdup("");
	return *ret_path ? 0 : slu_fail_oom(e);
}

int slu_context_root(struct sluice *s, struct slu_store **ret, const char **ret_path,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;

	pthread_mutex_lock(&s->lock);
	bool known = s->root != NULL;

	pthread_mutex_unlock(&s->lock);
	if (!known) {
		int r = open_root(s, &store, &path, e);

		if (r < 0)
			return r;
		/* Another thread may have been here first: both found the same. */
		pthread_mutex_lock(&s->lock);
		if (!s->root) {
			s->root_path = slu_take(path);
			s->root = store;
		}
		pthread_mutex_unlock(&s->lock);
	}
	*ret = s->root;
	*ret_path = s->root_path;
	return 0;
}

/* --- the local root --- */

/* A folder of the user's own for a workspace whose root is not local. */
static int state_folder(struct sluice *s, char **ret, struct slu_err *e)
{
	const char *state = getenv("XDG_STATE_HOME");
	SLU_AUTO(slu_freep) char *home = slu_path_home();
	uint8_t sum[SLU_DIGEST_MAX];
	char hex[2 * 8 + 1];
	bool own = state && *state == '/';

	if (!own && !home)
		return slu_fail(e, ENOENT, "no home folder for run files: set XDG_STATE_HOME");
	int r = slu_digest(SLU_SHA256, s->ws->config_path, strlen(s->ws->config_path), sum);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot hash '%s'", s->ws->config_path);
	slu_hex(hex, sum, 8);

	char *path = own ? slu_asprintf("%s/sluice/%s", state, hex)
			 : slu_asprintf("%s/.local/state/sluice/%s", home, hex);

	if (!path)
		return slu_fail_oom(e);
	*ret = path;
	return 0;
}

static int find_local_root(struct sluice *s, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *folder = NULL;
	mode_t mode = 0755;
	int r = root_place(s, &folder, &u, e);

	if (r == 0 && u) {
		SLU_AUTO(slu_freep) char *base = NULL;
		SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(u->path, strlen(u->path));

		r = slu_context_store_folder(s, u->name, &base, e);
		if (r == 0 && base) {
			folder = plain ? slu_path_join(base, plain) : NULL;
			r = folder ? 0 : slu_fail_oom(e);
		} else if (r == 0) {
			mode = 0700;
			r = state_folder(s, &folder, e);
		}
	}
	if (r == 0)
		r = slu_folders_make(folder, mode, e);
	if (r == 0)
		*ret = slu_take(folder);
	return r;
}

int slu_context_local_root(struct sluice *s, const char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *folder = NULL;
	int r = find_local_root(s, &folder, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	if (!s->local_root)
		s->local_root = slu_take(folder);
	*ret = s->local_root;
	pthread_mutex_unlock(&s->lock);
	return 0;
}
