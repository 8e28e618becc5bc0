/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any reference to a dataset: a registered version gives its recorded manifest without listing, a job's
 * output what the job wrote, a path is resolved now.
 */
#include "dataset/resolve.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "dataset/outcome.h"
#include "dataset/registry.h"
#include "dataset/resolve_impl.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void slu_dataset_free(struct slu_dataset *d)
{
	if (!d)
		return;
	free(d->name);
	free(d->version);
	slu_definition_free(d->def);
	slu_tree_free(d->tree);
	slu_json_free(d->record);
	free(d);
}

/* Digest and id of what was resolved now. */
static int seal(struct slu_dataset *d, struct slu_err *e)
{
	int r = slu_manifest_digest(d->tree->manifest, d->digest);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot hash a manifest");
	return slu_dataset_id(d->def, d->digest, d->id, e);
}

static int from_path(struct sluice *s, const char *ref, struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);
	SLU_AUTO(slu_json_freep) struct json_t *spec = slu_json_object();

	if (!d || slu_json_set(spec, "path", slu_json_new_str(ref)) < 0)
		return slu_fail_oom(e);
	int r = slu_definition_from_spec(s, spec, &d->def, e);

	if (r == 0)
		r = slu_resolve_definition(s, d->def, &d->tree, e);
	if (r == 0)
		r = seal(d, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* By its canonical text: bytes that JSON cannot hold are percent-encoded there. */
static int from_uri(struct sluice *s, const struct slu_uri *u, struct slu_dataset **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
	int r = slu_context_canon(s, u, &c, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *text = slu_uri_text(c);

	return text ? from_path(s, text, ret, e) : slu_fail_oom(e);
}

/* Takes record. */
static int from_record(struct sluice *s, const char *name, struct json_t *record,
		       struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *own = record;
	const char *frozen = slu_json_str(record, "frozen");
	const char *id = frozen ? frozen : slu_json_str(record, "dataset");
	const char *is = slu_json_str(record, "version");

	if (!id || !is)
		return slu_fail(e, EBADMSG, "the record of dataset '%s' is damaged", name);
	int r = slu_registry_by_id(s, id, &d, e);

	if (r < 0)
		return slu_fail_more(e, "version %s of dataset '%s'", is, name);
	d->name = slu_strdup(name);
	d->version = slu_strdup(is);
	if (!d->name || !d->version)
		return slu_fail_oom(e);
	d->record = slu_take(own);
	*ret = slu_take(d);
	return 0;
}

static int from_data(struct sluice *s, const struct slu_uri *u, struct slu_dataset **ret,
		     struct slu_err *e)
{
	struct slu_workspace *w = slu_context_workspace(s);
	struct json_t *record = NULL;

	if (u->registry)
		return slu_fail(e, ENOTSUP,
				"'%s' is in registry '%s': registries cannot be read yet", u->name,
				u->registry);
	if (w && u->workspace && !u->location && strcasecmp(u->workspace, w->name) != 0)
		return slu_fail(e, ENOENT,
				"dataset '%s' is of workspace '%s', and '%s' is workspace '%s'",
				u->name, u->workspace, w->config_path, w->name);
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_registry_record(s, u->name, u->version, &record, e);
	return r < 0 ? r : from_record(s, u->name, record, ret, e);
}

/* --- outputs of jobs --- */

int slu_resolve_job(struct sluice *s, const struct slu_uri *u, struct slu_dataset **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	r = slu_outcome_get(s, u->name, &outcome, e);
	if (r == -ENOENT)
		return slu_fail(e, ENOENT,
				"job '%s' has no outcome: it is not over yet, or `sluice job list` "
				"does not know it",
				u->name);
	if (r < 0)
		return r;
	const struct json_t *out = slu_json_get(slu_json_get(outcome, "outputs"), u->output);
	const char *id = slu_json_str(out, "dataset");

	if (!id)
		return slu_fail(e, ENOENT, "job '%s' (%s) has no output '%s'", u->name,
				slu_json_str(outcome, "status") ? slu_json_str(outcome, "status")
								: "no status",
				u->output);
	return slu_registry_by_id(s, id, ret, e);
}

struct part {
	const struct slu_manifest *from;
	struct slu_manifest *to;
	const char *path; /* pattern form */
	char *folder;     /* plain: what the part's files are relative to */
	bool single;
};

/* The files of one source that are at, below or matched by p->path. */
static int take_part(struct part *p)
{
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(p->path, strlen(p->path));
	bool glob = slu_glob_is(p->path);
	size_t n = plain ? strlen(plain) : 0;

	if (!plain)
		return -ENOMEM;
	p->single = !glob && slu_manifest_find(p->from, plain) != SIZE_MAX;
	p->folder = glob        ? slu_glob_unescape(p->path, slu_glob_prefix(p->path))
		    : p->single ? slu_path_dir(plain)
				: slu_strdup(plain);
	if (!p->folder)
		return -ENOMEM;
	size_t skip = strlen(p->folder);

	skip += skip > 0;
	for (size_t i = 0; i < slu_manifest_count(p->from); i++) {
		const struct slu_file *f = slu_manifest_at(p->from, i);
		bool in = glob        ? slu_glob_match(p->path, f->path)
			  : p->single ? slu_streq(f->path, plain)
				      : n == 0 || (slu_starts(f->path, plain) && f->path[n] == '/');
		int r = in ? slu_manifest_add_file(p->to, f->path + skip, f, NULL) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* The folder `rel` below a source, as a URI. */
static char *below(const char *uri, const char *rel)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *escaped = slu_uri_escape(rel);

	if (!escaped || slu_uri_parse(uri, NULL, NULL, &u, NULL) < 0)
		return NULL;
	char *joined = slu_path_join(u->path, escaped);

	if (!joined)
		return NULL;
	free(u->path);
	u->path = joined;
	return slu_uri_text(u);
}

static int cut(struct part *p, struct slu_manifest **ret, const char *what, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *uri = NULL;
	int r = take_part(p);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot take a part of '%s'", what);
	uri = below(slu_manifest_source(p->from, 0)->uri, p->folder);
	if (!uri || slu_manifest_add_source(p->to, "", uri) < 0)
		return slu_fail_oom(e);
	r = slu_manifest_finish(p->to, e);
	if (r == 0 && slu_manifest_count(p->to) == 0)
		return slu_fail(e, ENOENT, "'%s' holds no file '%s'", what, p->path);
	if (r == 0)
		*ret = slu_take(p->to);
	return r;
}

/* The definition of one file or folder. */
static int define(const char *uri, bool file, const char *what, struct slu_definition **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *paths = slu_json_array();
	SLU_AUTO(slu_json_freep) struct json_t *entry = slu_json_object();

	if (slu_json_set_str(entry, file ? "file" : "folder", uri) < 0 ||
	    slu_json_append(paths, slu_json_ref(entry)) < 0 ||
	    slu_json_set_str(doc, "type", "mltable") < 0 ||
	    slu_json_set(doc, "paths", slu_json_ref(paths)) < 0)
		return slu_fail_oom(e);
	return slu_definition_from_doc(file ? "uri_file" : "uri_folder", doc, what, ret, e);
}

/* Replaces d by the part of it that `path` names: still what the job wrote, not what is there now. */
static int narrow(struct sluice *s, struct slu_dataset *d, const char *path, const char *what,
		  struct slu_err *e)
{
	struct part p = {.from = d->tree->manifest, .path = path};
	SLU_AUTO(slu_definition_freep) struct slu_definition *def = NULL;
	SLU_AUTO(slu_freep) char *uri = NULL;
	struct slu_manifest *m = NULL;
	struct slu_tree *t = NULL;

	if (slu_manifest_sources(p.from) != 1)
		return slu_fail(e, EINVAL, "'%s' is of several stores: no path can stand behind it",
				what);
	if (slu_manifest_new(&p.to) < 0)
		return slu_fail_oom(e);
	int r = cut(&p, &m, what, e);

	slu_manifest_free(p.to);
	free(p.folder);
	if (r < 0)
		return r;
	uri = below(slu_manifest_source(m, 0)->uri, p.single ? slu_manifest_at(m, 0)->path : "");
	r = slu_resolve_manifest(s, m, &t, e);
	if (r < 0)
		return r;
	t->single_file = p.single;
	slu_tree_free(d->tree);
	d->tree = t;
	r = uri ? define(uri, p.single, what, &def, e) : slu_fail_oom(e);
	if (r < 0)
		return r;
	slu_definition_free(d->def);
	d->def = slu_take(def);
	return seal(d, e);
}

static int from_job(struct sluice *s, const struct slu_uri *u, const char *ref,
		    struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_resolve_job(s, u, &d, e);

	if (r == 0 && u->path && *u->path)
		r = narrow(s, d, u->path, ref, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* A part of a version is no version: it has no record. */
static int from_version(struct sluice *s, const struct slu_uri *u, const char *ref,
			struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = from_data(s, u, &d, e);

	if (r == 0 && u->path && *u->path) {
		r = narrow(s, d, u->path, ref, e);
		free(slu_take(d->name));
		free(slu_take(d->version));
		slu_json_free(slu_take(d->record));
	}
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* --- words --- */

/* A registered dataset, else a local path. */
static int from_word(struct sluice *s, const struct slu_uri *u, struct slu_dataset **ret,
		     struct slu_err *e)
{
	struct json_t *record = NULL;
	struct stat st;

	if (!slu_is_name(u->path) || !slu_context_workspace(s))
		return from_uri(s, u, ret, e);
	int r = slu_registry_record(s, u->path, NULL, &record, e);

	if (r == -ENOENT && lstat(u->path, &st) == 0)
		return from_uri(s, u, ret, e);
	return r < 0 ? r : from_record(s, u->path, record, ret, e);
}

/* A word that is no datastore's and no URI: else the message is right as it is, and asking costs requests. */
static bool is_word(struct sluice *s, const char *ref)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;

	return slu_context_parse(s, ref, &u, NULL) == 0 && u->kind == SLU_URI_WORD;
}

/* The first part of ref, when a registered dataset has that name: then the caller frees it. */
static char *dataset_of(struct sluice *s, const char *ref)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	SLU_AUTO(slu_freep) char *name = slu_strndup(ref, strcspn(ref, "/:"));

	if (!name || !slu_is_name(name) || slu_registry_record(s, name, NULL, &record, NULL) < 0)
		return NULL;
	return slu_take(name);
}

/* Was the colon forgotten, or a '/' written for it? */
static int hint_store(struct sluice *s, const char *ref, struct slu_err *e)
{
	size_t n = strcspn(ref, "/:");
	SLU_AUTO(slu_freep) char *name = slu_strndup(ref, n);

	if (!name || ref[n] == ':' || !slu_is_name(name) || !slu_context_is_store(s, name))
		return -ENOENT;
	SLU_AUTO(slu_freep) char *dataset = dataset_of(s, ref);

	return dataset ? -ENOENT
		       : slu_fail(
				 e, ENOENT,
				 "'%s' is neither a local path nor a dataset; did you mean '%s:%s'?",
				 ref, name, ref + n + (ref[n] == '/'));
}

int slu_resolve_hint(struct sluice *s, const char *ref, int r, struct slu_err *e)
{
	size_t n = strcspn(ref, "/:");

	if (r != -ENOENT || !slu_context_workspace(s))
		return r;
	SLU_AUTO(slu_freep)
	char *name = ref[n] && ref[n + 1] && is_word(s, ref) ? dataset_of(s, ref) : NULL;

	if (!name)
		return hint_store(s, ref, e);
	return slu_fail(e, ENOENT,
			"'%s' is neither a local path nor in a datastore; there is a dataset of "
			"that name, whose file is '%s@latest/%s'",
			ref, name, ref + n + 1);
}

static int from_ref(struct sluice *s, const char *ref, struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_context_parse(s, ref, &u, e);

	if (r < 0)
		return r;
	switch (u->kind) {
	case SLU_URI_DATA:
		return from_version(s, u, ref, ret, e);
	case SLU_URI_DATA_ID:
		r = slu_context_need_workspace(s, e);
		return r < 0 ? r : slu_registry_by_id(s, u->name, ret, e);
	case SLU_URI_JOB:
		return from_job(s, u, ref, ret, e);
	case SLU_URI_WORD:
		return from_word(s, u, ret, e);
	default:
		return from_uri(s, u, ret, e);
	}
}

int slu_resolve_ref(struct sluice *s, const char *ref, struct slu_dataset **ret, struct slu_err *e)
{
	return slu_resolve_hint(s, ref, from_ref(s, ref, ret, e), e);
}
