/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MLTable files of others (azureml.md 1.9): read from a folder, paths made canonical (relative ones start from
 * that folder), all else kept.  A top-level key that is not known is refused when it looks mistyped, else kept
 * with a warning.
 */
#include "dataset/definition_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/yaml.h"
#include "fs/store.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define MLTABLE_MAX (1u << 20)

struct table {
	struct sluice *s;
	const struct slu_uri *folder; /* canonical */
	struct slu_yaml *yaml;
	const char *what;
	struct slu_err *e;
};

/* A path as the file writes it, to a canonical one. */
static int canon(struct table *t, const char *text, char **ret, struct slu_uri **ret_uri)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *joined = NULL;

	if (*text == '!')
		return slu_definition_ref(t->s, text, ret, ret_uri, t->e);
	int r = slu_uri_parse(text, NULL, NULL, &u, t->e);

	if (r < 0)
		return r;
	if (u->path &&
	    (u->kind == SLU_URI_WORD || (u->kind == SLU_URI_LOCAL && u->path[0] != '/'))) {
		struct slu_uri below = *t->folder;

		joined = slu_path_join(t->folder->path, u->path);
		if (!joined)
			return slu_fail_oom(t->e);
		below.path = joined;
		SLU_AUTO(slu_freep) char *full = slu_uri_text(&below);

		return full ? slu_definition_ref(t->s, full, ret, ret_uri, t->e)
			    : slu_fail_oom(t->e);
	}
	return slu_definition_ref(t->s, text, ret, ret_uri, t->e);
}

static const char *text_of(const struct json_t *entry)
{
	const char *v = slu_json_str(entry, "file");

	if (!v)
		v = slu_json_str(entry, "folder");
	return v ? v : slu_json_str(entry, "pattern");
}

/* Puts the position of v in front of what *e says. */
static int at(struct table *t, const struct json_t *v)
{
	struct slu_err why = t->e ? *t->e : (struct slu_err){.code = EINVAL};

	slu_yaml_fail(t->yaml, v, NULL, t->e, "%s", why.msg);
	if (t->e)
		t->e->code = why.code;
	return -why.code;
}

static int rewrite_path(struct table *t, const struct json_t *entry, struct json_t *out)
{
	static const char *const keys[] = {"file", "folder", "pattern", NULL};
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
	SLU_AUTO(slu_freep) char *ref = NULL;
	struct json_t *o;
	const char *key, *text = text_of(entry);

	if (!text || slu_json_count(entry) != 1) {
		int r = slu_json_is_object(entry) ? slu_yaml_known_keys(t->yaml, entry, keys, t->e)
						  : 0;

		return r < 0 ? r
			     : slu_yaml_fail(t->yaml, entry, NULL, t->e,
					     "a path has to be one of file, folder, pattern");
	}
	int r = canon(t, text, &ref, &c);

	if (r == 0)
		r = slu_definition_path(t->s, ref, c, &o, &key, t->e);
	if (r < 0)
		return at(t, entry);
	return slu_json_append(out, o) < 0 ? slu_fail_oom(t->e) : 0;
}

static int check_keys(struct table *t, const struct json_t *root)
{
	for (void *it = slu_json_iter(root); it; it = slu_json_next(root, it)) {
		const char *key = slu_json_iter_key(it), *near = NULL;
		bool known = false;

		for (size_t i = 0; slu_mltable_keys[i] && !known; i++) {
			known = slu_streq(slu_mltable_keys[i], key);
			near = slu_nearer(key, near, slu_mltable_keys[i]);
		}
		if (!known && near)
			return slu_yaml_known_keys(t->yaml, root, slu_mltable_keys, t->e);
		if (!known)
			slu_warn("mltable", "%s: '%s' means nothing in an MLTable; it is kept",
				 t->what, key);
	}
	return 0;
}

static int rewrite(struct table *t, struct json_t **ret)
{
	const struct json_t *root = slu_yaml_root(t->yaml);
	const struct json_t *paths = slu_json_get(root, "paths");
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_copy(root);
	SLU_AUTO(slu_json_freep) struct json_t *out = slu_json_array();

	if (!doc || !out)
		return slu_fail_oom(t->e);
	if (!slu_json_is_object(root))
		return slu_yaml_fail(t->yaml, root, NULL, t->e, "an MLTable has to be a mapping");
	int r = check_keys(t, root);

	if (r == 0 && !slu_json_is_array(paths))
		r = slu_yaml_fail(t->yaml, root, "paths", t->e, "'paths' has to be a list");
	for (size_t i = 0; r == 0 && i < slu_json_count(paths); i++)
		r = rewrite_path(t, slu_json_at(paths, i), out);
	if (r < 0)
		return r;
	if (slu_json_set(doc, "paths", slu_json_ref(out)) < 0 ||
	    /* the schema allows to leave it out */
	    (!slu_json_get(doc, "type") && slu_json_set_str(doc, "type", "mltable") < 0))
		return slu_fail_oom(t->e);
	*ret = slu_take(doc);
	return 0;
}

int slu_mltable_read(struct sluice *s, const struct slu_uri *folder, struct json_t **ret,
		     char **ret_text, struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *yaml = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_store *store;
	size_t n;
	int r = slu_context_locate_plain(s, folder, &store, &path, &uri, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *file = slu_path_join(path, "MLTable");
	SLU_AUTO(slu_freep) char *what = slu_asprintf("%s/MLTable", uri);

	if (!file || !what)
		return slu_fail_oom(e);
	r = slu_store_get(store, file, MLTABLE_MAX, &text, &n, e);
	if (r == -ENOENT)
		return slu_fail(e, ENOENT,
				"the folder '%s' holds no file 'MLTable'; say 'delimited' for text "
				"files, or type uri_folder",
				uri);
	if (r == 0)
		r = slu_yaml_parse(text, n, what, &yaml, e);
	if (r < 0)
		return r;

	struct table t = {.s = s, .folder = folder, .yaml = yaml, .what = what, .e = e};

	r = rewrite(&t, ret);
	if (r == 0 && slu_mltable_patch(yaml, text, n, *ret, ret_text) < 0)
		r = slu_fail_oom(e);
	return r;
}
