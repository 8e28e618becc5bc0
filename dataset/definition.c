/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataset is made of: from the words of a user to an MLTable document in which every reference is
 * canonical and every option written out, so that equal definitions are equal texts.  Files are listed
 * in resolve.c; here a path is only asked whether it is a file or a folder.
 */
#include "dataset/definition_impl.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/partition.h"
#include "dataset/reading.h"
#include "dataset/resolve.h"
#include "dataset/resolve_impl.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define PATHS_MAX 100000

void slu_definition_free(struct slu_definition *d)
{
	if (!d)
		return;
	for (size_t i = 0; d->paths && i < d->npaths; i++)
		free(d->paths[i]);
	free(d->paths);
	free(d->type);
	slu_json_free(d->doc);
	free(d->text);
	free(d);
}

/* --- references --- */

const char *slu_definition_relative(const struct slu_uri *u, const char *text)
{
	if (u->scheme || u->kind == SLU_URI_DATASTORE || *text == '/' || *text == '.')
		return NULL;
	return u->path ? u->path : text; /* of a NAME@VERSION or GUID the text */
}

static int relative_exclusion(const char *pattern, char **ret, struct slu_err *e)
{
	int r = slu_glob_check(pattern, e);

	if (r < 0)
		return r;
	if (!slu_path_ok(pattern) || !*pattern)
		return slu_fail(e, EINVAL, "exclusion '!%s' is no pattern of files below the path",
				pattern);
	*ret = slu_asprintf("!%s", pattern);
	return *ret ? 0 : slu_fail_oom(e);
}

int slu_definition_ref(struct sluice *s, const char *text, char **ret, struct slu_uri **ret_uri,
		       struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
	bool negated = *text == '!';
	int r = slu_context_parse(s, text + negated, &u, e);

	if (r < 0)
		return r;
	const char *relative = negated ? slu_definition_relative(u, text + 1) : NULL;

	if (relative) {
		if (ret_uri)
			*ret_uri = NULL;
		return relative_exclusion(relative, ret, e);
	}
	r = slu_context_canon(s, u, &c, e);
	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *canon = slu_uri_text(c);
	char *full = canon ? slu_asprintf("%s%s", negated ? "!" : "", canon) : NULL;

	if (!full)
		return slu_fail_oom(e);
	*ret = full;
	if (ret_uri)
		*ret_uri = slu_take(c);
	return 0;
}

int slu_definition_path(struct sluice *s, const char *ref, const struct slu_uri *c,
			struct json_t **ret, const char **ret_key, struct slu_err *e)
{
	const char *key = "pattern";

	if (*ref != '!' && !slu_glob_is(c->path)) {
		enum slu_kind kind;
		int r = slu_context_kind(s, c, &kind, e);

		if (r == -ENOENT || r == -ENOTDIR)
			return slu_resolve_missing(s, c, e);
		if (r < 0)
			return slu_fail_more(e, "'%s'", ref);
		key = kind == SLU_KIND_DIR ? "folder" : "file";
	}
	struct json_t *o = slu_json_object();

	if (!o || slu_json_set_str(o, key, ref) < 0) {
		slu_json_free(o);
		return slu_fail_oom(e);
	}
	*ret = o;
	*ret_key = key;
	return 0;
}

/* --- the document, checked --- */

const char *const slu_mltable_keys[] = {"$schema", "type",     "paths", "transformations",
					"traits",  "metadata", NULL};

static int check_top(const struct json_t *doc, const char *what, struct slu_err *e)
{
	if (!slu_json_is_object(doc))
		return slu_fail(e, EINVAL, "%s has to be an MLTable document", what);
	const char *type = slu_json_str(doc, "type");

	if (!type || !slu_streq(type, "mltable"))
		return slu_fail(e, EINVAL, "%s: its type has to be 'mltable'", what);
	return 0;
}

/* The reference in {"file"|"folder"|"pattern": REF}, or NULL. */
static const char *path_text(const struct json_t *entry)
{
	static const char *const keys[] = {"file", "folder", "pattern"};

	for (size_t i = 0; slu_json_count(entry) == 1 && i < 3; i++)
		if (slu_json_str(entry, keys[i]))
			return slu_json_str(entry, keys[i]);
	return NULL;
}

static int read_paths(struct slu_definition *d, const char *what, struct slu_err *e)
{
	const struct json_t *paths = slu_json_get(d->doc, "paths");
	size_t n = slu_json_is_array(paths) ? slu_json_count(paths) : 0;
	bool any = false;

	if (n == 0 || n > PATHS_MAX)
		return slu_fail(e, EINVAL, "%s: 'paths' has to be a list of 1 to %d paths", what,
				PATHS_MAX);
	d->paths = slu_calloc(n, sizeof(*d->paths));
	if (!d->paths)
		return slu_fail_oom(e);
	for (size_t i = 0; i < n; i++) {
		const char *text = path_text(slu_json_at(paths, i));

		if (!text || !*text)
			return slu_fail(e, EINVAL,
					"%s: path %zu has to be {\"file\"|\"folder\"|\"pattern\": "
					"\"...\"}",
					what, i + 1);
		d->paths[d->npaths] = slu_strdup(text);
		if (!d->paths[d->npaths++])
			return slu_fail_oom(e);
		any |= *text != '!';
	}
	return any ? 0 : slu_fail(e, EINVAL, "%s: all of its paths are exclusions", what);
}

#define EXTRACT "extract_columns_from_partition_format"

/* A text, or {"partition_format": text}. */
static const char *partition_of(const struct json_t *step)
{
	const struct json_t *args = slu_json_get(step, EXTRACT);

	return slu_json_is_string(args) ? slu_json_string(args)
					: slu_json_str(args, "partition_format");
}

const char *slu_partition_of(const struct json_t *doc)
{
	const struct json_t *steps = slu_json_get(doc, "transformations");
	const char *format = NULL;

	for (size_t i = 0; !format && i < slu_json_count(steps); i++)
		format = partition_of(slu_json_at(steps, i));
	return format;
}

const char *slu_definition_partition(const struct slu_definition *d)
{
	return slu_partition_of(d->doc);
}

static int check_partition(const struct json_t *step, const char *what, struct slu_err *e)
{
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = NULL;
	const char *format = partition_of(step);

	if (!format)
		return slu_fail(e, EINVAL, "%s: " EXTRACT " needs a 'partition_format'", what);
	return slu_partition_parse(format, &p, e) < 0 ? slu_fail_more(e, "%s", what) : 0;
}

/* The options of a reading are completed; one that is not known stays as it is. */
static int complete(struct json_t *step, const char *name, const struct json_t *args,
		    const char *what, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = slu_asprintf("%s: %s", what, name);
	struct json_t *full = NULL;

	if (!where)
		return slu_fail_oom(e);
	int r = slu_reading_check(name, slu_json_is_null(args) ? NULL : args, where, &full, e);

	if (r < 0 || !full)
		return r;
	return slu_json_set(step, name, full) < 0 ? slu_fail_oom(e) : 0;
}

/* One transformation: {"name": arguments} or "name". */
static int read_step(struct slu_definition *d, struct json_t *step, const char *what,
		     struct slu_err *e)
{
	void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;
	bool one = it && slu_json_count(step) == 1;
	const char *name = one ? slu_json_iter_key(it) : slu_json_string(step);

	if (!name)
		return slu_fail(e, EINVAL,
				"%s: a transformation has to be a name or {\"name\": arguments}",
				what);
	const struct json_t *args = it ? slu_json_iter_value(it) : NULL;

	if (slu_streq(name, EXTRACT))
		return check_partition(step, what, e);
	if (!slu_starts(name, "read_"))
		return d->tabular ? slu_reading_check_rows(name, args, what, e) : 0;
	if (d->tabular)
		return slu_fail(e, EINVAL, "%s: more than one read_ transformation", what);
	d->tabular = true;
	return it ? complete(step, name, args, what, e) : 0;
}

static int read_steps(struct slu_definition *d, const char *what, struct slu_err *e)
{
	const struct json_t *steps = slu_json_get(d->doc, "transformations");
	int r = 0;

	if (steps && !slu_json_is_array(steps))
		return slu_fail(e, EINVAL, "%s: 'transformations' has to be a list", what);
	for (size_t i = 0; r == 0 && i < slu_json_count(steps); i++)
		r = read_step(d, slu_json_at(steps, i), what, e);
	return r;
}

static int check_type(const struct slu_definition *d, const char *what, struct slu_err *e)
{
	if (slu_streq(d->type, "uri_folder") || slu_streq(d->type, "mltable"))
		return 0;
	if (!slu_streq(d->type, "uri_file"))
		return slu_fail(e, EINVAL,
				"%s is of the unknown type '%s'; known are uri_file, uri_folder, "
				"mltable",
				what, d->type);
	if (d->npaths != 1 || slu_glob_is(d->paths[0]))
		return slu_fail(e, EINVAL, "%s: a uri_file has one path without wildcards", what);
	return 0;
}

int slu_definition_from_doc(const char *type, struct json_t *doc, const char *what,
			    struct slu_definition **ret, struct slu_err *e)
{
	SLU_AUTO(slu_definition_freep) struct slu_definition *d = slu_new0(struct slu_definition);
	int r = check_top(doc, what, e);

	if (r < 0)
		return r;
	if (!d)
		return slu_fail_oom(e);
	d->doc = slu_json_copy(doc);
	d->type = slu_strdup(type ? type : "mltable");
	if (!d->doc || !d->type)
		return slu_fail_oom(e);
	r = read_paths(d, what, e);
	if (r == 0)
		r = read_steps(d, what, e);
	if (r == 0)
		r = check_type(d, what, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* --- from a spec --- */

struct build {
	struct sluice *s;
	struct json_t *paths; /* of the document */
	size_t n;             /* that are no exclusions */
	const char *key;      /* of the last of those: "file", "folder", "pattern" */
	struct slu_uri *last; /* its canonical URI */
	char *text;           /* of an MLTable file */
	struct slu_err *e;
};

static int add_canon(struct build *b, const char *ref, struct slu_uri *c)
{
	struct json_t *o;
	const char *key = NULL;
	int r = slu_definition_path(b->s, ref, c, &o, &key, b->e);

	if (r == 0 && *ref != '!') {
		b->n++;
		b->key = key;
		slu_uri_free(b->last);
		b->last = c;
	} else {
		slu_uri_free(c);
	}
	if (r == 0 && slu_json_append(b->paths, o) < 0)
		r = slu_fail_oom(b->e);
	return r;
}

/* An output of a job, as a path, is where it was written. */
static int add_job(struct build *b, const struct slu_uri *u)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_resolve_job(b->s, u, &d, b->e);

	for (size_t i = 0; r == 0 && i < d->def->npaths; i++) {
		SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
		SLU_AUTO(slu_freep) char *ref = NULL;

		r = slu_context_parse(b->s, d->def->paths[i], &c, b->e);
		if (r == 0 && u->path && *u->path) {
			char *below = slu_path_join(c->path, u->path);

			if (!below)
				return slu_fail_oom(b->e);
			free(c->path);
			c->path = below;
		}
		ref = r == 0 ? slu_uri_text(c) : NULL;
		if (r == 0)
			r = ref ? add_canon(b, ref, slu_take(c)) : slu_fail_oom(b->e);
	}
	return r;
}

static int add_ref(struct build *b, const char *text)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *ref = NULL;
	struct slu_uri *c = NULL;
	int r = *text == '!' ? 0 : slu_context_parse(b->s, text, &u, b->e);

	if (r < 0)
		return r;
	if (u && u->kind == SLU_URI_JOB)
		return add_job(b, u);
	if (u && (u->kind == SLU_URI_DATA || u->kind == SLU_URI_DATA_ID))
		return slu_fail(b->e, EINVAL,
				"'%s' is a dataset itself; a dataset is made of paths: STORE:PATH, "
				"an azureml://datastores/ URI or a local path",
				text);
	r = slu_definition_ref(b->s, text, &ref, &c, b->e);
	return r < 0 ? r : add_canon(b, ref, c);
}

static int add_refs(struct build *b, const struct json_t *spec)
{
	const struct json_t *one = slu_json_get(spec, "path"), *many = slu_json_get(spec, "paths");
	int r = 0;

	if (one && many)
		return slu_fail(b->e, EINVAL, "the dataset has both 'path' and 'paths': keep one");
	if (slu_json_is_string(one))
		return add_ref(b, slu_json_string(one));
	if (one || !slu_json_is_array(many) || slu_json_count(many) == 0)
		return slu_fail(b->e, EINVAL,
				"the dataset needs a 'path', or 'paths', a list that is not empty");
	if (slu_json_count(many) > PATHS_MAX)
		return slu_fail(b->e, EINVAL, "the dataset has more than %d paths", PATHS_MAX);
	for (size_t i = 0; r == 0 && i < slu_json_count(many); i++) {
		const struct json_t *v = slu_json_at(many, i);
		const char *text = slu_json_is_string(v) ? slu_json_string(v) : path_text(v);

		r = text ? add_ref(b, text)
			 : slu_fail(b->e, EINVAL, "path %zu of the dataset has to be a text",
				    i + 1);
	}
	return r;
}

/* Adds {name: args} (taken) to the transformations; first: before those that are there. */
static int add_step(struct json_t *doc, const char *name, struct json_t *args, bool first)
{
	const struct json_t *old = slu_json_get(doc, "transformations");
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array(), *step = slu_json_object();
	int r = slu_json_set(step, name, args);

	if (r == 0 && first)
		r = slu_json_append(all, slu_json_ref(step));
	for (size_t i = 0; r == 0 && i < slu_json_count(old); i++)
		r = slu_json_append(all, slu_json_ref(slu_json_at(old, i)));
	if (r == 0 && !first)
		r = slu_json_append(all, slu_json_ref(step));
	return r < 0 ? r : slu_json_set(doc, "transformations", slu_json_ref(all));
}

static int add_partition(struct json_t *doc, const struct json_t *spec, struct slu_err *e)
{
	const struct json_t *format = slu_json_get(spec, "partition_format");
	struct json_t *args;

	if (!format || slu_json_is_null(format))
		return 0;
	if (!slu_json_is_string(format))
		return slu_fail(e, EINVAL, "the dataset's partition_format is no string");
	args = slu_json_object();
	if (slu_json_set_str(args, "partition_format", slu_json_string(format)) < 0) {
		slu_json_free(args);
		return slu_fail_oom(e);
	}
	/* Steps over files may ask for its columns. */
	bool first = slu_json_get(spec, "transformations");

	return add_step(doc, EXTRACT, args, first) < 0 ? slu_fail_oom(e) : 0;
}

/* The steps of the spec, and behind them how it is read. */
static int make_steps(struct build *b, const struct json_t *spec, struct json_t *reading,
		      struct json_t **ret)
{
	const struct json_t *steps = slu_json_get(spec, "transformations");
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;

	if (steps && !slu_json_is_array(steps))
		return slu_fail(b->e, EINVAL, "'transformations' of the dataset has to be a list");
	all = steps ? slu_json_copy(steps) : slu_json_array();
	if (!all || (reading && slu_json_append(all, slu_json_ref(reading)) < 0))
		return slu_fail_oom(b->e);
	*ret = slu_json_count(all) ? slu_take(all) : NULL;
	return 0;
}

static int make_doc(struct build *b, const struct json_t *spec, struct json_t *reading,
		    struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *steps = NULL;
	int r = make_steps(b, spec, reading, &steps);

	if (r < 0)
		return r;
	if (slu_json_set_str(doc, "type", "mltable") < 0 ||
	    slu_json_set(doc, "paths", slu_json_ref(b->paths)) < 0 ||
	    (steps && slu_json_set(doc, "transformations", slu_json_ref(steps)) < 0))
		return slu_fail_oom(b->e);
	*ret = slu_take(doc);
	return 0;
}

static int check_spec_type(const char *type, const struct build *b, const struct json_t *reading,
			   struct slu_err *e)
{
	if (!type)
		return 0;
	if (reading && !slu_streq(type, "mltable"))
		return slu_fail(e, EINVAL, "a dataset with '%s' is of type mltable, not '%s'",
				slu_json_iter_key(slu_json_iter(reading)) + strlen("read_"), type);
	if (slu_streq(type, "uri_file") && slu_streq(b->key, "folder"))
		return slu_fail(e, EINVAL,
				"the path of the dataset is a folder; its type is uri_folder, not "
				"uri_file");
	if (slu_streq(type, "uri_folder") && b->n == 1 && slu_streq(b->key, "file"))
		return slu_fail(e, EINVAL,
				"the path of the dataset is a file; its type is uri_file, not "
				"uri_folder");
	return 0;
}

static int find_doc(struct build *b, const struct json_t *spec, struct json_t *reading,
		    struct json_t **ret)
{
	const char *type = slu_json_str(spec, "type");
	const struct json_t *args;

	if (!type || !slu_streq(type, "mltable") || reading || slu_reading_of(spec, &args))
		return make_doc(b, spec, reading, ret);
	if (slu_json_count(b->paths) != 1 || !slu_streq(b->key, "folder"))
		return slu_fail(
			b->e, EINVAL,
			"a dataset of type mltable is one folder with an MLTable file, or says "
			"'delimited', 'json_lines' or 'parquet'");
	if (slu_json_get(spec, "transformations"))
		return slu_fail(b->e, EINVAL,
				"'transformations' stand in the MLTable file of the folder; "
				"register it, and make another dataset from that ('from')");
	return slu_mltable_read(b->s, b->last, ret, &b->text, b->e);
}

static int from_build(struct build *b, const struct json_t *spec, struct slu_definition **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = NULL, *reading = NULL;
	const char *type = slu_json_str(spec, "type");
	const struct json_t *args;
	int r = add_refs(b, spec);

	if (r == 0 && b->n == 0)
		return slu_fail(b->e, EINVAL, "all paths of the dataset are exclusions");
	if (r == 0)
		r = slu_reading_of_spec(spec, &reading, b->e);
	if (r == 0)
		r = check_spec_type(type, b, reading, b->e);
	if (r == 0)
		r = find_doc(b, spec, reading, &doc);
	if (r == 0)
		r = add_partition(doc, spec, b->e);
	if (r < 0)
		return r;
	bool file = slu_json_count(b->paths) == 1 && slu_streq(b->key, "file");
	bool table = reading || slu_reading_of(doc, &args);

	if (!type)
		type = table ? "mltable" : file ? "uri_file" : "uri_folder";
	r = slu_definition_from_doc(type, doc, "the dataset", ret, b->e);
	if (r == 0)
		(*ret)->text = slu_take(b->text);
	return r;
}

int slu_definition_from_spec(struct sluice *s, const struct json_t *spec,
			     struct slu_definition **ret, struct slu_err *e)
{
	struct build b = {.s = s, .e = e, .paths = slu_json_array()};
	int r = b.paths ? from_build(&b, spec, ret) : slu_fail_oom(e);

	slu_json_free(b.paths);
	slu_uri_free(b.last);
	free(b.text);
	return r;
}
