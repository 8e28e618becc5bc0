/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run wrote: everything at the destination that was not there, or not so, when the run began, and of a mount only
 * what came through it.  That set is pinned in a manifest, so versions of one destination that is appended to stay apart.
 * Names that Hadoop committers and Spark leave are output_spark.c's part.
 */
#include "dataset/output_parts.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/registry.h"
#include "fs/stage_written.h"

#include <errno.h>
#include <string.h>

#define NAMES_MAX 5u

bool slu_output_same(const struct slu_file *a, const struct slu_file *b)
{
	return a->size == b->size && slu_streq(a->id, b->id);
}

static bool unchanged(const struct slu_manifest *before, const struct slu_file *f)
{
	size_t i = before ? slu_manifest_find(before, f->path) : SIZE_MAX;

	return i != SIZE_MAX && slu_output_same(slu_manifest_at(before, i), f);
}

/* --- whose files: of a mount it is known --- */

struct foreign {
	struct slu_buf names; /* some, quoted */
	size_t n;
};

/* A file that lay in a folder which the program renamed is its doing under the new name. */
static bool was_there(const struct slu_output *o, const char *was, const struct slu_file *now)
{
	size_t i = o->before ? slu_manifest_find(o->before, was) : SIZE_MAX;

	return i != SIZE_MAX && slu_manifest_at(o->before, i)->size == now->size;
}

/* 1: this run wrote that; 0: somebody else did, as it was there before or is new. */
static int is_ours(const struct slu_output *o, const struct slu_written *w, struct foreign *f,
		   const struct slu_file *file, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *was = NULL;

	if (unchanged(o->before, file))
		return 0;
	switch (w ? slu_written_whose(w, file->path, file->id, &was) : SLU_WHOSE_OURS) {
	case SLU_WHOSE_OURS:
		return 1;
	case SLU_WHOSE_MOVED:
		if (was_there(o, was, file))
			return 1;
		/* fall through */
	case SLU_WHOSE_OTHERS:
		if (f->n++ < NAMES_MAX)
			slu_buf_fmt(&f->names, "%s'%s'", f->n > 1 ? ", " : "", file->path);
		return 0;
	case SLU_WHOSE_CHANGED:
		return slu_fail(e, ESTALE,
				"'%s' at '%s' was written by somebody else after this run had "
				"written it",
				file->path, o->uri);
	default:
		return slu_fail_oom(e);
	}
}

struct search {
	const struct slu_output *o;
	const struct slu_manifest *now;
	const char *only; /* of a file: the name that counts, else NULL */
	struct slu_err *e;
};

static int is_there(void *user, const char *path)
{
	const struct search *s = user;

	if ((s->only && !slu_streq(path, s->only)) || slu_manifest_find(s->now, path) != SIZE_MAX)
		return 0;
	return slu_fail(s->e, ESTALE,
			"'%s' was written to '%s' by this run and is not there any more: somebody "
			"else removed it",
			path, s->o->uri);
}

static int note_foreign(struct slu_output *o, const struct foreign *f, struct slu_err *e)
{
	if (!f->n)
		return 0;
	free(o->note);
	o->note = slu_asprintf("%zu file%s in '%s' did not come through the mount of this run, and "
			       "the version has not got %s: %s%s",
			       f->n, f->n > 1 ? "s" : "", o->uri, f->n > 1 ? "them" : "it",
			       f->names.p ? f->names.p : "", f->n > NAMES_MAX ? " and others" : "");
	return o->note ? 0 : slu_fail_oom(e);
}

static int choose(struct slu_output *o, const struct slu_manifest *now, const struct slu_written *w,
		  struct slu_manifest *m, struct slu_err *e)
{
	struct foreign f = {.names = SLU_BUF(64u << 10)};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < slu_manifest_count(now); i++) {
		const struct slu_file *file = slu_manifest_at(now, i);
		struct slu_attr a = slu_output_attr(file);

		if (slu_output_is_side(now, file->path))
			continue;
		r = is_ours(o, w, &f, file, e);
		if (r > 0 && slu_manifest_add(m, file->path, &a) < 0)
			r = slu_fail_oom(e);
	}
	if (r >= 0)
		r = note_foreign(o, &f, e);
	slu_buf_done(&f.names);
	return r;
}

static int written(struct slu_output *o, struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL, *m = NULL;
	SLU_AUTO(slu_written_freep) struct slu_written *w = NULL;
	bool file = slu_output_is_file(o);
	int r = slu_output_list(o->store, o->path, file, o->uri, o->uri, &now, e);

	if (r == 0 && o->mode == SLU_MODE_RW_MOUNT)
		r = slu_written_read(o->stage, &w, e);
	if (r < 0)
		return r;
	if (slu_manifest_new(&m) < 0 ||
	    slu_manifest_add_source(m, "", slu_manifest_source(now, 0)->uri) < 0)
		return slu_fail_oom(e);
	r = choose(o, now, w, m, e);
	if (r == 0 && w) {
		struct search all = {
			.o = o, .now = now, .only = file ? slu_path_base(o->path) : NULL, .e = e};

		r = slu_written_each(w, is_there, &all);
		if (r == -ENOMEM)
			r = slu_fail_oom(e);
	}
	if (r == 0)
		r = slu_manifest_finish(m, e);
	if (r == 0)
		*ret = slu_take(m);
	return r;
}

/* --- the end --- */

static int check_not_empty(const struct slu_output *o, const struct slu_manifest *m,
			   struct slu_err *e)
{
	size_t n = slu_manifest_count(m), files = 0;

	for (size_t i = 0; i < n; i++)
		files += !slu_output_is_mark(slu_manifest_at(m, i)->path);
	if (files || o->allow_empty)
		return 0;
	if (o->mode == SLU_MODE_UPLOAD)
		return slu_fail(e, ENODATA,
				"nothing was written to '%s' (allow_empty lets it pass)", o->value);
	if (!o->before || !slu_manifest_count(o->before))
		return slu_fail(e, ENODATA,
				"this run wrote no file to '%s'%s (allow_empty lets it pass)",
				o->uri,
				o->mode == SLU_MODE_DIRECT
					? ", which its program gets as a URI and not as a folder"
					: "");
	return slu_fail(e, ENODATA,
			"this run wrote no file to '%s', where %zu lay before "
			"(allow_empty lets it pass)",
			o->uri, slu_manifest_count(o->before));
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

static int make_definition(struct sluice *s, const struct slu_output *o,
			   struct slu_definition **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_object();
	struct json_t *path = slu_json_object(), *paths = slu_json_array();
	bool file = slu_output_is_file(o);
	int r = 0;

	if (o->table) {
		slu_json_free(path);
		slu_json_free(paths);
		return slu_output_table_definition(s, o, ret, e);
	}
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
	int r = d ? make_definition(s, o, &d->def, e) : slu_fail_oom(e);

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

static int collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	int r = slu_output_unmount(o, e);

	if (r == 0)
		r = o->mode == SLU_MODE_UPLOAD ? slu_output_upload(s, o, &m, e) : written(o, &m, e);
	if (r == 0)
		r = slu_output_check_left(o, m, e);
	if (r == 0 && spark)
		r = slu_output_check_commits(o, m, e);
	if (r == 0)
		r = slu_output_without_marks(&m, e);
	if (r == 0)
		r = check_not_empty(o, m, e);
	if (r == 0 && o->table)
		r = slu_output_table_files(o, &m, e);
	if (r == 0)
		r = verify(o, m, e);
	return r < 0 ? r : save(s, o, &m, e);
}

int slu_output_collect(struct sluice *s, struct slu_output *o, bool spark, struct slu_err *e)
{
	int r;

	if (o->dataset)
		slu_dataset_free(slu_take(o->dataset));
	r = o->mode == SLU_MODE_LINK ? slu_output_follow(s, o, e) : collect(s, o, spark, e);
	if (r < 0)
		slu_fail_more(e, "output '%s'", o->name);
	return r;
}
