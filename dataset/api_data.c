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
#include "dataset/broker_client.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

#define MANIFEST_MAX (4ull << 30)

static int check_spec(const struct json_t *spec, const char **ret_name, struct slu_err *e)
{
	static const char *const known[] = {"name",    "type", "path",        "paths",
					    "version", "tags", "description", "delimited",
					    "$schema", NULL};
	static const char *const texts[] = {"type", "path", "version", "description"};
	const char *version = slu_json_str(spec, "version");
	int r = slu_json_need_str(spec, "name", "the dataset", ret_name, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_json_get(spec, texts[i]) && !slu_json_str(spec, texts[i]))
			return slu_fail(e, EINVAL,
					"the dataset's %s is no string: put it in quotes",
					texts[i]);
	for (void *it = slu_json_iter(spec); it; it = slu_json_next(spec, it)) {
		size_t i = 0;

		while (known[i] && !slu_streq(known[i], slu_json_iter_key(it)))
			i++;
		if (!known[i])
			return slu_fail(e, EINVAL, "the dataset has an unknown key '%s'",
					slu_json_iter_key(it));
	}
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

/* The newest version when it is this very dataset: making it again changes nothing. */
static int same_as_latest(struct sluice *s, const char *name, const struct json_t *spec,
			  const char *id, struct json_t **ret, struct slu_err *e)
{
	struct json_t *record = NULL;
	uint64_t latest;
	int r = slu_registry_latest(s, name, &latest, e);

	if (r < 0 || latest == 0)
		return r;
	r = slu_registry_record(s, name, NULL, &record, e);
	if (r < 0)
		return r;
	if (says_the_same(record, spec, id))
		*ret = record;
	else
		slu_json_free(record);
	return 0;
}

static int register_spec(struct sluice *s, const struct json_t *spec, const char *name,
			 const char *id, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *version = NULL;
	char now[SLU_TIME_LEN];
	struct slu_registration reg = {
		.name = name,
		.version = slu_json_str(spec, "version"),
		.dataset_id = id,
		.description = slu_json_str(spec, "description"),
		.tags = slu_json_get(spec, "tags"),
		.created = now,
	};
	int r = slu_registry_latest(s, name, &reg.seen, e);

	slu_time_fmt(now, slu_wall());
	if (r == 0)
		r = slu_registry_register(s, &reg, &version, e);
	return r < 0 ? r : slu_registry_record(s, name, version, ret, e);
}

static int data_create(struct sluice *s, const char *spec_json, struct json_t **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	const char *name;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_json_parse(spec_json, strlen(spec_json), "the dataset", &spec, e);
	if (r == 0)
		r = check_spec(spec, &name, e);
	if (r < 0)
		return r;
	d = slu_new0(struct slu_dataset);
	if (!d)
		return slu_fail_oom(e);
	r = slu_definition_from_spec(s, spec, &d->def, e);
	if (r == 0)
		r = slu_resolve_definition(s, d->def, &d->tree, e);
	if (r == 0)
		r = slu_registry_save(s, d, e);
	if (r == 0 && !slu_json_str(spec, "version"))
		r = same_as_latest(s, name, spec, d->id, ret, e);
	if (r == 0 && !*ret)
		r = register_spec(s, spec, name, d->id, ret, e);
	return r;
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

static int data_show(struct sluice *s, const char *ref, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int r = slu_resolve_ref(s, ref, &d, e);

	if (r < 0)
		return r;
	o = d->record ? slu_json_copy(d->record) : slu_json_object();
	if (!o || slu_json_set_str(o, "dataset", d->id) < 0 ||
	    slu_json_set_str(o, "type", d->def->type) < 0 ||
	    slu_json_set_str(o, "manifest", d->digest) < 0 ||
	    slu_json_set_int(o, "files", (int64_t)slu_manifest_count(d->tree->manifest)) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)slu_manifest_bytes(d->tree->manifest)) < 0 ||
	    slu_json_set(o, "definition", slu_json_copy(d->def->doc)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
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
	struct json_t *j = NULL;
	int r = slu_context_need_workspace(s, &er);

	if (r == 0)
		r = name ? slu_registry_versions(s, name, &j, &er) : slu_registry_names(s, &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

int sluice_data_manifest(struct sluice *s, const char *ref, char **ret_text, struct sluice_error *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(MANIFEST_MAX);
	struct slu_err er = {0};
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
