/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run wrote: everything at the destination that was not there, or not so, when the run began.
 * That set is pinned in a manifest, so versions of one destination that is appended to stay apart.
 * Names that Hadoop committers and Spark leave: spec'd at each test below.
 */
#include "dataset/output_parts.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

#define MARK "_SUCCESS"

/* Does any folder or file name on the path begin with this? */
static bool has_part(const char *path, const char *begin)
{
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (slu_starts(p, begin))
			return true;
	}
	return false;
}

/* Hadoop's local file system keeps checksums beside its files, as `.NAME.crc`. */
static bool is_side_file(const char *path)
{
	const char *base = slu_path_base(path);

	return base[0] == '.' && slu_ends(base, ".crc");
}

/* A committer moves tasks' files out of here and removes it when it is done. */
static bool is_unfinished(const char *path)
{
	return has_part(path, "_temporary/") || has_part(path, ".spark-staging-");
}

static bool is_mark(const char *path)
{
	return slu_streq(slu_path_base(path), MARK);
}

static bool unchanged(const struct slu_manifest *before, const struct slu_file *f)
{
	size_t i = before ? slu_manifest_find(before, f->path) : SIZE_MAX;

	if (i == SIZE_MAX)
		return false;
	const struct slu_file *b = slu_manifest_at(before, i);

	return b->size == f->size && slu_streq(b->id, f->id);
}

static int written(struct slu_output *o, struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL, *m = NULL;
	int r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri, &now, e);

	if (r < 0)
		return r;
	if (slu_manifest_new(&m) < 0 ||
	    slu_manifest_add_source(m, "", slu_manifest_source(now, 0)->uri) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_manifest_count(now); i++) {
		const struct slu_file *f = slu_manifest_at(now, i);
		struct slu_attr a = slu_output_attr(f);

		if (is_side_file(f->path) || unchanged(o->before, f))
			continue;
		if (is_unfinished(f->path))
			return slu_fail(e, EBADMSG,
					"'%s' is left at '%s': the program ended before its commit "
					"was done",
					f->path, o->uri);
		if (slu_manifest_add(m, f->path, &a) < 0)
			return slu_fail_oom(e);
	}
	r = slu_manifest_finish(m, e);
	if (r == 0)
		*ret = slu_take(m);
	return r;
}

/* --- Spark --- */

static bool has_mark(const struct slu_manifest *m, const char *folder, size_t n)
{
	SLU_AUTO(slu_freep)
	char *mark = n ? slu_asprintf("%.*s/" MARK, (int)n, folder) : slu_strdup(MARK);
	SLU_AUTO(slu_freep)
	char *log =
		n ? slu_asprintf("%.*s/_delta_log/", (int)n, folder) : slu_strdup("_delta_log/");

	if (!mark || !log)
		return false;
	if (slu_manifest_find(m, mark) != SIZE_MAX)
		return true;
	/* A Delta table commits by its log instead. */
	size_t i = slu_manifest_lower(m, log);

	return i < slu_manifest_count(m) && slu_starts(slu_manifest_at(m, i)->path, log);
}

/* Each `part-` file of this run has a mark of this run in its folder or above: `_SUCCESS` is written
 * into the folder that was saved to, last, and only there; partitions lie below it. */
static int check_commits(const struct slu_output *o, const struct slu_manifest *m,
			 struct slu_err *e)
{
	const char *folder = NULL; /* the one found good last */
	size_t len = 0;

	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path = slu_manifest_at(m, i)->path, *base = slu_path_base(path);
		size_t n = base > path ? (size_t)(base - path) - 1 : 0;
		bool good = false;

		if (!slu_starts(base, "part-"))
			continue;
		if (folder && n == len && memcmp(folder, path, n) == 0)
			continue;
		for (size_t k = n;; k--) {
			if (k == n || k == 0 || path[k] == '/')
				good = has_mark(m, path, k);
			if (good || k == 0)
				break;
		}
		if (!good)
			return slu_fail(e, EBADMSG,
					"'%s' at '%s' has no " MARK
					" of this run: the Spark job did not "
					"commit it (do not switch "
					"mapreduce.fileoutputcommitter.marksuccessfuljobs off)",
					path, o->uri);
		folder = path;
		len = n;
	}
	return 0;
}

/* --- the end --- */

static int check_not_empty(const struct slu_output *o, const struct slu_manifest *m,
			   struct slu_err *e)
{
	size_t n = slu_manifest_count(m), files = 0;

	for (size_t i = 0; i < n; i++)
		files += !is_mark(slu_manifest_at(m, i)->path);
	if (files || o->allow_empty)
		return 0;
	if (o->mode == SLU_MODE_UPLOAD)
		return slu_fail(e, ENODATA,
				"nothing was written to '%s' (allow_empty lets it pass)", o->value);
	return slu_fail(e, ENODATA,
			"this run wrote no file to '%s', where %zu lay before "
			"(allow_empty lets it pass)",
			o->uri, o->before ? slu_manifest_count(o->before) : 0);
}

/* Asks the store again: every file is there as it was committed or listed. */
static int verify(const struct slu_output *o, const struct slu_manifest *m, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL;
	int r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri, &now, e);

	for (size_t i = 0; r == 0 && i < slu_manifest_count(m); i++) {
		const struct slu_file *f = slu_manifest_at(m, i);

		if (slu_manifest_find(now, f->path) == SIZE_MAX)
			r = slu_fail(e, ESTALE,
				     "'%s' was written to '%s' and is not there any more", f->path,
				     o->uri);
		else if (!unchanged(now, f))
			r = slu_fail(e, ESTALE,
				     "'%s' at '%s' changes while it is collected: something still "
				     "writes there",
				     f->path, o->uri);
	}
	return r;
}

static int make_definition(const struct slu_output *o, struct slu_definition **ret,
			   struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_object();
	struct json_t *path = slu_json_object(), *paths = slu_json_array();
	bool file = slu_output_is_file(o);
	int r = 0;

	if (slu_json_set_str(path, file ? "file" : "folder", o->uri) < 0)
		r = -ENOMEM;
	if (slu_json_append(paths, path) < 0)
		r = -ENOMEM;
	if (slu_json_set_str(doc, "type", "mltable") < 0)
		r = -ENOMEM;
	if (slu_json_set(doc, "paths", paths) < 0 || r < 0)
		return slu_fail_oom(e);
	return slu_definition_from_doc(file ? "uri_file" : "uri_folder", doc, o->uri, ret, e);
}

static int save(struct sluice *s, struct slu_output *o, struct slu_manifest **m, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);
	int r = d ? make_definition(o, &d->def, e) : slu_fail_oom(e);

	if (r == 0)
		r = slu_resolve_manifest(s, slu_take(*m), &d->tree, e);
	if (r < 0)
		return r;
	d->tree->single_file = slu_output_is_file(o) && slu_manifest_count(d->tree->manifest) == 1;
	r = slu_registry_save(s, d, e);
	if (r == 0)
		o->dataset = slu_take(d);
	return r;
}

int slu_output_collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	int r = o->mode == SLU_MODE_UPLOAD ? slu_output_upload(s, o, &m, e) : written(o, &m, e);

	if (o->dataset)
		slu_dataset_free(slu_take(o->dataset));
	if (r == 0 && spark)
		r = check_commits(o, m, e);
	if (r == 0)
		r = check_not_empty(o, m, e);
	if (r == 0)
		r = verify(o, m, e);
	if (r == 0)
		r = save(s, o, &m, e);
	if (r < 0)
		slu_fail_more(e, "output '%s'", o->name);
	return r;
}
