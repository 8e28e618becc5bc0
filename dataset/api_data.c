/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part three: datasets.  Making one is: definition, resolve, save, register; asking
 * about one reads records only, never the data.
 */
#include "dataset/api.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/api_version.h"
#include "dataset/broker_client.h"
#include "dataset/context_url.h"
#include "dataset/derive.h"
#include "dataset/gang.h"
#include "dataset/gc.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

#define MANIFEST_MAX (4ull << 30)

static int check_spec(const struct json_t *spec, const char **ret_name, struct slu_err *e)
{
	static const char *const known[] = {"name",
					    "type",
					    "path",
					    "paths",
					    "version",
					    "tags",
					    "description",
					    "delimited",
					    "$schema",
					    "from",
					    "json_lines",
					    "parquet",
					    "delta_lake",
					    "transformations",
					    "create_new_version",
					    "partition_format",
					    NULL};
	static const char *const texts[] = {"type", "path", "version", "description", "from"};
	const char *version = slu_json_str(spec, "version");
	int r = slu_json_need_str(spec, "name", "the dataset", ret_name, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_json_get(spec, texts[i]) && !slu_json_str(spec, texts[i]))
			return slu_fail(e, EINVAL,
					"the dataset's %s is no string: put it in quotes",
					texts[i]);
	const char *odd = slu_json_unknown_key(spec, known);

	if (odd)
		return slu_fail(e, EINVAL, "the dataset has an unknown key '%s'", odd);
	if (!slu_is_name(*ret_name))
		return slu_fail(
			e, EINVAL,
			"'%s' is no dataset name: letters, digits, '_', '-' and '.', at most 255",
			*ret_name);
	if (version && (!slu_is_name(version) || slu_streq(version, "latest")))
		return slu_fail(e, EINVAL, "'%s' is no version: letters, digits, '_', '-' and '.'",
				version);
	return 0;
}

/* Does the record say what the spec asks for?  What the spec leaves out it does not ask for. */
static bool says_the_same(const struct json_t *record, const struct json_t *spec, const char *id)
{
	static const char *const said[] = {"description", "tags"};
	const char *theirs = slu_json_str(record, "dataset");

	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		const struct json_t *mine = slu_json_get(spec, said[i]);

		if (mine && !slu_json_equal(mine, slu_json_get(record, said[i])))
			return false;
	}
	return theirs && slu_streq(theirs, id);
}

struct finding {
	struct sluice *s;
	const char *name;
	struct slu_dataset *d;
	struct json_t *newest;
	uint64_t seen;
};

static int save_or_look(void *user, size_t i, struct slu_err *e)
{
	struct finding *f = user;

	return i == 0 ? slu_registry_save(f->s, f->d, e)
		      : slu_registry_newest(f->s, f->name, &f->newest, &f->seen, e);
}

int slu_api_save(struct sluice *s, const struct json_t *spec, struct slu_dataset *d,
		 uint64_t *ret_seen, struct json_t **ret, struct slu_err *e)
{
	struct finding f = {.s = s, .name = slu_json_str(spec, "name"), .d = d};
	int r = slu_gang(slu_json_str(spec, "version") ? 1 : 2, 2, save_or_look, &f, e);

	*ret_seen = f.seen;
	if (r == 0 && f.newest && says_the_same(f.newest, spec, d->id))
		*ret = slu_take(f.newest);
	slu_json_free(f.newest);
	return r;
}

int slu_api_register(struct sluice *s, const struct json_t *spec, struct slu_dataset *d,
		     const struct json_t *inputs, uint64_t seen, struct json_t **ret,
		     struct slu_err *e)
{
	const char *name = slu_json_str(spec, "name");
	SLU_AUTO(slu_freep) char *version = NULL;
	char now[SLU_TIME_LEN];
	struct slu_registration reg = {
		.name = name,
		.version = slu_json_str(spec, "version"),
		.dataset_id = d->id,
		.saved = d,
		.seen = seen,
		.looked = true,
		.mltable = d->record ? slu_json_str(d->record, "mltable") : d->def->text,
		.description = slu_json_str(spec, "description"),
		.tags = slu_json_get(spec, "tags"),
		.inputs = inputs,
		.created = now,
		.ret_record = ret,
	};

	slu_time_fmt(now, slu_wall());
	return slu_registry_register(s, &reg, &version, e);
}

/* From another dataset; what it was made from goes into *ret_inputs. */
static int derive(struct sluice *s, const struct json_t *spec, struct slu_dataset **ret,
		  struct json_t **ret_inputs, struct slu_err *e)
{
	static const char *const others[] = {"path",       "paths",   "type",      "delimited",
					     "json_lines", "parquet", "delta_lake"};
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL, *from = NULL;
	const char *ref = slu_json_str(spec, "from");

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (slu_json_get(spec, others[i]))
			return slu_fail(e, EINVAL, "the dataset has both 'from' and '%s': keep one",
					others[i]);
	int r = slu_derive(s, ref, slu_json_get(spec, "transformations"), &d, &from, e);

	if (r < 0)
		return r;
	if (from->record) {
		*ret_inputs = slu_api_inputs(ref, from);
		if (!*ret_inputs)
			return slu_fail_oom(e);
	}
	*ret = slu_take(d);
	return 0;
}

static int define(struct sluice *s, const struct json_t *spec, struct slu_dataset **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);

	if (!d)
		return slu_fail_oom(e);
	int r = slu_definition_from_spec(s, spec, &d->def, e);

	if (r == 0)
		r = slu_resolve_definition(s, d->def, &d->tree, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

int slu_api_define(struct sluice *s, const struct json_t *spec, struct slu_dataset **ret,
		   struct json_t **ret_inputs, struct slu_err *e)
{
	return slu_json_str(spec, "from") ? derive(s, spec, ret, ret_inputs, e)
					  : define(s, spec, ret, e);
}

/* The version that was asked for is there, and is just that: a file that is applied again changes nothing. */
static bool there_already(struct sluice *s, const struct json_t *spec, const struct slu_dataset *d,
			  struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	const char *version = slu_json_str(spec, "version");

	if (!version ||
	    slu_registry_record(s, slu_json_str(spec, "name"), version, &is, NULL) < 0 ||
	    !says_the_same(is, spec, d->id))
		return false;
	*ret = slu_take(is);
	return true;
}

static int data_create(struct sluice *s, const char *spec_json, struct json_t **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = NULL, *inputs = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	const char *name;
	uint64_t seen = 0;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_json_parse(spec_json, strlen(spec_json), "the dataset", &spec, e);
	if (r == 0)
		r = check_spec(spec, &name, e);
	if (r == 0)
		r = slu_api_define(s, spec, &d, &inputs, e);
	if (r == 0)
		r = slu_api_save(s, spec, d, &seen, ret, e);
	if (r < 0 || *ret)
		return r;
	if (slu_json_get(spec, "create_new_version"))
		r = slu_api_check_taken(s, spec, e);
	if (r == 0)
		r = slu_api_register(s, spec, d, inputs, seen, ret, e);
	return r == -EEXIST && there_already(s, spec, d, ret) ? 0 : r;
}

int sluice_data_create(struct sluice *s, const char *spec_json, char **ret_json,
		       struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = data_create(s, spec_json, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* Asked of the broker of the step that this process is part of. */
static int broker_show(const char *ref, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	int r = slu_broker_call(slu_broker_request("show", ref, NULL), &answer, e);

	if (r < 0)
		return r;
	if (!slu_json_is_object(slu_json_get(answer, "data")))
		return slu_fail(e, EBADMSG, "the broker of this run says nothing about '%s'", ref);
	*ret = slu_json_ref(slu_json_get(answer, "data"));
	return 0;
}

/* azureml:NAME:VERSION and the long form. */
static int set_asset(struct sluice *s, const struct slu_dataset *d, struct json_t *o)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	struct slu_uri u = {.kind = SLU_URI_DATA, .name = d->name, .version = d->version};
	SLU_AUTO(slu_freep) char *text = slu_uri_text(&u);
	SLU_AUTO(slu_freep) char *full = NULL;

	u.subscription = (char *)w->subscription_id;
	u.resource_group = (char *)w->resource_group;
	u.workspace = (char *)w->name;
	full = slu_uri_text(&u);
	return text && full && slu_json_set_str(o, "asset", text) == 0 &&
			       slu_json_set_str(o, "asset_long", full) == 0
		       ? 0
		       : -ENOMEM;
}

#define URIS_MAX 100

/* The places of its files, each in every form that there is; of one file that file's. */
static int set_uris(struct sluice *s, const struct slu_dataset *d, struct json_t *o,
		    struct slu_err *e)
{
	const struct slu_manifest *m = d->tree->manifest;
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	size_t n = slu_manifest_sources(m);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n && i < URIS_MAX; i++) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 18);
		struct json_t *one = NULL;

		slu_buf_str(&b, slu_manifest_source(m, i)->uri);
		if (d->tree->single_file && n == 1 && slu_manifest_count(m) == 1) {
			const char *path = slu_manifest_at(m, 0)->path;

			slu_buf_ch(&b, '/');
			slu_url_encode(&b, path, strlen(path), "/");
		}
		r = slu_buf_err(&b) ? slu_fail_oom(e) : slu_context_forms(s, b.p, &one, e);
		if (r == 0 && slu_json_append(list, one) < 0)
			r = slu_fail_oom(e);
	}
	if (r == 0 && ((d->name && d->version && set_asset(s, d, o) < 0) ||
		       slu_json_set(o, "uris", slu_take(list)) < 0))
		r = slu_fail_oom(e);
	return r;
}

static int set_spark(const struct slu_dataset *d, struct json_t *o)
{
	struct json_t *spark;
	int r = slu_definition_spark(d->def, &spark);

	return r == 0 && spark ? slu_json_set(o, "spark", spark) : r;
}

/* A record says what the version was made as, also when it is read from a frozen copy. */
static int set_content(const struct slu_dataset *d, struct json_t *o)
{
	const struct slu_manifest *m = d->tree->manifest;

	if (!d->record && (slu_json_set_str(o, "dataset", d->id) < 0 ||
			   slu_json_set_str(o, "manifest", d->digest) < 0))
		return -ENOMEM;
	if (slu_json_set_str(o, "type", d->def->type) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)slu_manifest_count(m)) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)slu_manifest_bytes(m)) < 0)
		return -ENOMEM;
	struct json_t *doc = slu_json_copy(d->def->doc);

	/* The document's own type says what kind of document it is, beside another one of the data. */
	if (doc && !slu_streq(d->def->type, "mltable"))
		slu_json_del(doc, "type");
	return slu_json_set(o, "definition", doc);
}

int slu_api_describe(struct sluice *s, const struct slu_dataset *d, struct json_t **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *o = d->record ? slu_json_copy(d->record) : slu_json_object();

	if (!o || set_content(d, o) < 0 || set_spark(d, o) < 0)
		return slu_fail_oom(e);
	int r = set_uris(s, d, o, e);
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

static int data_show(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_resolve_ref(s, ref, &d, e);

	return r < 0 ? r : slu_api_describe(s, d, ret, e);
}

int sluice_data_show(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = !slu_context_workspace(s) && slu_broker_for(ref) ? broker_show(ref, &j, &er)
								 : data_show(s, ref, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

int sluice_data_list(struct sluice *s, const char *name, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	int r = slu_context_need_workspace(s, &er);

	if (r == 0)
		r = slu_registry_search_text(s, &(struct slu_search){.name = name}, ret_json, &er);
	return slu_api_error(e, &er, r);
}

int sluice_data_manifest(struct sluice *s, const char *ref, char **ret_text, struct sluice_error *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MANIFEST_MAX);
	struct slu_err er = {0};

	if (slu_api_brokered(s) && slu_broker_for(ref))
		return slu_api_ask_text("data_manifest", ref, ret_text, e);
	int r = slu_resolve_ref(s, ref, &d, &er);

	if (r == 0) {
		r = slu_manifest_write(d->tree->manifest, &b);
		if (r == 0)
			r = slu_buf_err(&b);
		char *text = r == 0 ? slu_buf_take(&b) : NULL;

		if (text)
			*ret_text = text;
		else
			r = slu_fail_oom(&er);
	}
	return slu_api_error(e, &er, r);
}

int sluice_data_lineage(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = slu_context_need_workspace(s, &er);

	if (r == 0)
		r = slu_registry_lineage(s, ref, &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

int sluice_gc(struct sluice *s, double grace, unsigned flags, char **ret_json,
	      struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = slu_gc(s, (int64_t)(grace * SLU_SEC), flags & SLUICE_DRY_RUN, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
