/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output before and after the program: where it goes, the claim on that place, what lay there
 * before.  What becomes of the data is in output_collect.c and output_upload.c.
 */
#include "dataset/output_parts.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/claim.h"
#include "dataset/record.h"
#include "dataset/target.h"
#include "fs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define URI_MAX 16384

static bool is_store(void *user, const char *name)
{
	return slu_context_is_store(user, name);
}

bool slu_output_is_file(const struct slu_output *o)
{
	return o->type && slu_streq(o->type, "uri_file");
}

char *slu_output_default(struct sluice *s, const char *run, const char *name)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("azureml/%s/%s", run, name);
	SLU_AUTO(slu_freep)
	char *uri = path ? slu_uri_datastore(slu_context_default_store(s), path) : NULL;

	return uri ? slu_asprintf("%s/", uri) : NULL;
}

/* --- placeholders --- */

static int fill(const struct slu_output *o, const char *run, char **ret, struct slu_err *e)
{
	const struct {
		const char *mark, *text;
	} marks[] = {{"{run-id}", run},
		     {"{output-name}", o->name},
		     {"${{name}}", run},
		     {"${{output_name}}", o->name}};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(URI_MAX);
	const char *p = o->destination;

	while (*p) {
		const char *rest = NULL;

		for (size_t i = 0; i < sizeof marks / sizeof *marks && !rest; i++) {
			rest = slu_after(p, marks[i].mark);
			if (rest)
				slu_buf_str(&b, marks[i].text);
		}
		if (!rest && (*p == '{' || *p == '}'))
			return slu_fail(e, EINVAL,
					"destination '%s': only {run-id}, {output-name}, ${{name}} "
					"and ${{output_name}} may stand in braces",
					o->destination);
		if (!rest)
			slu_buf_ch(&b, *p);
		p = rest ? rest : p + 1;
	}
	if (slu_buf_err(&b) < 0)
		return slu_fail_sys(e, -slu_buf_err(&b), "destination of output '%s'", o->name);
	char *text = slu_buf_take(&b);

	if (!text)
		return slu_fail_oom(e);
	*ret = text;
	return 0;
}

/* --- the place --- */

static int parse_place(struct sluice *s, const char *text, struct slu_uri **ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_uri_parse(text, is_store, s, &u, e);

	if (r < 0)
		return r;
	if (u->kind != SLU_URI_DATASTORE && u->kind != SLU_URI_LOCAL && u->kind < SLU_URI_ABFS)
		return slu_fail(e, EINVAL,
				"destination '%s' is no place to write to: use "
				"azureml://datastores/NAME/paths/PATH or an absolute path",
				text);
	*ret = slu_take(u);
	return 0;
}

int slu_output_check_place(struct sluice *s, const char *destination, const char *name,
			   const char *run, struct slu_err *e)
{
	const struct slu_output o = {.name = (char *)name, .destination = (char *)destination};
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_store *store;
	int r = fill(&o, run, &text, e);

	if (r == 0)
		r = parse_place(s, text, &u, e);
	if (r == 0 && u->kind == SLU_URI_DATASTORE)
		r = slu_context_store(s, u->name, &store, e);
	if (r == 0 && u->path && slu_glob_is(u->path))
		r = slu_fail(e, EINVAL, "destination '%s' is a pattern: escape the wildcard", text);
	return r;
}

static int find_place(struct sluice *s, struct slu_output *o, const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	int r = parse_place(s, text, &u, e);

	if (r < 0)
		return r;
	r = slu_context_locate(s, u, &o->store, &path, &o->uri, e);
	if (r < 0)
		return r;
	if (slu_glob_is(path))
		return slu_fail(e, EINVAL, "destination '%s' is a pattern: escape the wildcard",
				text);
	o->path = slu_glob_unescape(path, strlen(path));
	if (!o->path)
		return slu_fail_oom(e);
	if (!o->path[0] && u->kind != SLU_URI_LOCAL)
		return slu_fail(e, EINVAL,
				"destination '%s' is the whole datastore: name a folder in it",
				text);
	if (slu_store_can(o->store, SLU_CAP_READ_ONLY))
		return slu_fail(e, EROFS, "destination '%s' lies in a read-only store", text);
	return 0;
}

/* One name of a place, whatever datastore it was reached through.  Caller frees; NULL: no memory. */
static char *place_name(struct slu_store *store, const char *path, const char *uri)
{
	struct slu_hadoop h = {0};
	const char *place = slu_store_hadoop(store, path, &h, NULL) == 0 ? h.uri : uri;
	size_t n = strlen(place);

	while (n > 1 && place[n - 1] == '/')
		n--;
	char *plain = slu_strndup(place, n);

	slu_hadoop_done(&h);
	return plain;
}

static bool is_below(const char *path, const char *above)
{
	const char *rest = slu_after(path, above);

	return rest && (*rest == '/' || *rest == '\0');
}

/* What programs write there would be taken for records; and of a place around them, retries and on_failure would
 * delete the records that others put meanwhile. */
static int keep_out_of_registry(struct sluice *s, const struct slu_output *o, const char *place,
				struct slu_err *e)
{
	static const char *const folders[] = {"manifests", "datasets", "data", "runs",  "claims",
					      "facts",     "index",    "uses", "reuse", "gc"};
	struct slu_registry g;
	int r = slu_registry_open(s, &g, e);

	for (size_t i = 0; i < sizeof folders / sizeof *folders && r == 0; i++) {
		SLU_AUTO(slu_freep) char *path = slu_registry_path(&g, "%s", folders[i]);
		SLU_AUTO(slu_freep) char *own = path ? place_name(g.store, path, path) : NULL;

		if (!own)
			return slu_fail_oom(e);
		if (is_below(place, own))
			r = slu_fail(
				e, EINVAL,
				"destination '%s' lies in '%s' of the registry: choose a place "
				"outside",
				o->uri, folders[i]);
		else if (is_below(own, place))
			r = slu_fail(
				e, EINVAL,
				"destination '%s' has the registry in it: name a folder beside it",
				o->uri);
	}
	return r;
}

static int take_claim(struct sluice *s, struct slu_output *o, const char *run, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *place = place_name(o->store, o->path, o->uri);
	int r = place ? keep_out_of_registry(s, o, place, e) : slu_fail_oom(e);

	return r < 0 ? r : slu_claim_take(s, run, o->name, place, o->uri, &o->claim, e);
}

/* --- listing --- */

struct listing {
	struct slu_manifest *m;
	const char *base, *what;
	bool file;
};

static int add_file(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct listing *l = user;
	size_t n = strlen(l->base);
	bool itself = path[n] == '\0' && n > 0;
	const char *rel = itself ? slu_path_base(path) : n ? path + n + 1 : path;

	if (attr->kind != SLU_KIND_FILE)
		return 0;
	if (itself != l->file)
		return slu_fail(e, itself ? ENOTDIR : EISDIR,
				itself ? "'%s' is a file: its type says folder, use uri_file"
				       : "'%s' is a folder: its type says file, use uri_folder",
				l->what);
	int r = slu_manifest_add(l->m, rel, attr);

	return r < 0 ? slu_fail_sys(e, -r, "cannot list '%s'", path) : 0;
}

/* The URI of the folder that a manifest's paths are relative to. */
static char *source_uri(const char *uri, bool file)
{
	const char *slash = file ? strrchr(uri, '/') : NULL;

	return slu_strndup(uri, slash ? (size_t)(slash - uri) : strlen(uri));
}

int slu_output_list(struct slu_store *st, const char *path, bool file, const char *uri,
		    const char *what, struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	SLU_AUTO(slu_freep) char *source = source_uri(uri, file);
	struct listing l = {.base = path, .what = what, .file = file};

	if (!source || slu_manifest_new(&m) < 0 || slu_manifest_add_source(m, "", source) < 0)
		return slu_fail_oom(e);
	l.m = m;
	int r = slu_walk_with(st, path, SLU_WALK_WHOLE | SLU_WALK_ANY_ORDER, add_file, &l, e);

	if (r == -ENOENT || r == 0)
		r = slu_manifest_finish(m, e);
	if (r == 0)
		*ret = slu_take(m);
	return r;
}

struct slu_attr slu_output_attr(const struct slu_file *f)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = f->size, .mtime_ns = f->mtime_ns};

	/* Both came out of such an attribute: they fit. */
	memcpy(a.id, f->id, strnlen(f->id, sizeof a.id - 1));
	memcpy(a.sum, f->sum, strnlen(f->sum, sizeof a.sum - 1));
	return a;
}

/* --- what the program gets --- */

static int make_folder(const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return slu_fail_sys(e, errno, "cannot open '/'");
	int r = slu_path_mkdirs(root, path + 1, 0700);

	return r < 0 ? slu_fail_sys(e, -r, "cannot make the folder '%s'", path) : 0;
}

static int value_upload(struct slu_output *o, const char *place, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *folder = NULL;
	int r = slu_target_make(place, o->name, o->at, &o->made, &folder, e);

	if (r == 0)
		r = make_folder(folder, e);
	if (r < 0)
		return r;
	o->value = slu_output_is_file(o) ? slu_asprintf("%s/%s", folder, slu_path_base(o->path))
					 : slu_take(folder);
	return o->value ? 0 : slu_fail_oom(e);
}

static int value_hdfs(struct slu_output *o, struct slu_err *e)
{
	struct slu_hadoop h = {0};
	int r = slu_store_hadoop(o->store, o->path, &h, e);

	if (r < 0)
		return r;
	o->props = slu_hadoop_json(&h);
	if (!o->props)
		r = slu_fail_oom(e);
	else
		o->value = slu_take(h.uri);
	slu_hadoop_done(&h);
	return r;
}

static int make_value(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		      struct slu_err *e)
{
	switch (o->mode) {
	case SLU_MODE_RW_MOUNT:
		return slu_output_mount(s, o, run, place, e);
	case SLU_MODE_UPLOAD:
		return value_upload(o, place, e);
	case SLU_MODE_HDFS:
		return value_hdfs(o, e);
	case SLU_MODE_DIRECT:
		o->value = slu_strdup(o->uri);
		return o->value ? 0 : slu_fail_oom(e);
	default:
		return slu_fail(
			e, ENOTSUP,
			"mode '%s' is none of an output: use 'upload', 'rw_mount', 'direct' "
			"or 'hdfs'",
			slu_mode_name(o->mode));
	}
}

static int check(const struct slu_output *o, const char *run, struct slu_err *e)
{
	if (!slu_is_name(run))
		return slu_fail(e, EINVAL, "'%s' is no run id", run);
	if (o->type && !slu_streq(o->type, "uri_folder") && !slu_streq(o->type, "uri_file") &&
	    !(o->table && slu_streq(o->type, "mltable")))
		return slu_fail(e, EINVAL,
				"type '%s' is none of an output: use uri_folder or uri_file",
				o->type);
	int r = o->table ? slu_output_check_table(o->table, e) : 0;

	return r < 0 ? r : slu_input_name_check(o->name, e);
}

static int open_output(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = check(o, run, e);

	if (r == 0 && o->mode == SLU_MODE_LINK)
		return slu_output_link(o, place, e);
	if (r == 0 && !o->destination) {
		o->destination = slu_output_default(s, run, o->name);
		r = o->destination ? 0 : slu_fail_oom(e);
	}
	if (r == 0)
		r = fill(o, run, &text, e);
	if (r == 0)
		r = find_place(s, o, text, e);
	if (r == 0)
		r = take_claim(s, o, run, e);
	if (r == 0)
		r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri,
				    &o->before, e);
	return r < 0 ? r : make_value(s, o, run, place, e);
}

/* What open made, so that it can be opened again. */
static void forget(struct slu_output *o)
{
	if (o->view)
		slu_view_free(slu_take(o->view));
	free(slu_take(o->stage));
	free(slu_take(o->note));
	free(slu_take(o->value));
	slu_json_free(slu_take(o->props));
	free(slu_take(o->uri));
	free(slu_take(o->path));
	if (o->before)
		slu_manifest_free(slu_take(o->before));
	if (o->first)
		slu_manifest_free(slu_take(o->first));
	if (o->dataset)
		slu_dataset_free(slu_take(o->dataset));
}

int slu_output_open(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		    struct slu_err *e)
{
	forget(o);
	int r = open_output(s, o, run, place, e);

	if (r < 0) {
		slu_fail_more(e, "output '%s'", o->name);
		slu_output_close(s, o, NULL);
		forget(o);
	}
	return r;
}

int slu_output_close(struct sluice *s, struct slu_output *o, struct slu_err *e)
{
	if (o->view)
		(void)slu_view_close(o->view, NULL);
	slu_output_unstage(o);
	if (o->at && o->value && (o->mode == SLU_MODE_RW_MOUNT || o->dataset))
		slu_target_clear(o->at, o->made);
	if (!o->claim)
		return 0;
	int r = slu_claim_drop(s, o->claim, e);

	if (r == 0)
		free(slu_take(o->claim));
	return r;
}

void slu_output_free(struct slu_output *o)
{
	if (!o)
		return;
	forget(o);
	free(o->claim);
	free(o->name);
	free(o->type);
	free(o->destination);
	free(o->register_name);
	free(o->description);
	free(o->at);
	slu_json_free(o->tags);
	slu_json_free(o->source_globs);
	slu_json_free(o->table);
	free(o);
}
