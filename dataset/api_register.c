/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: giving a name to a dataset that is there already, by the rules of register() of Azure
 * ML: a name that is taken is a conflict unless a new version is asked for.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api_version.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

struct json_t *slu_api_inputs(const char *ref, const struct slu_dataset *d)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	SLU_AUTO(slu_json_freep) struct json_t *in = slu_json_object();
	SLU_AUTO(slu_freep)
	char *exact = d->name && d->version ? slu_asprintf("azureml:%s:%s", d->name, d->version)
					    : slu_strdup(ref);

	if (!exact || slu_json_set_str(in, "name", "from") < 0 ||
	    slu_json_set_str(in, "ref", exact) < 0 || slu_json_set_str(in, "id", d->id) < 0 ||
	    slu_json_set_str(in, "digest", d->digest) < 0 ||
	    slu_json_append(list, slu_json_ref(in)) < 0)
		return NULL;
	return slu_take(list);
}

static int check(const struct json_t *spec, struct slu_err *e)
{
	static const char *const known[] = {
		"name", "ref", "version", "description", "tags", "create_new_version", NULL};
	const char *text;

	if (!slu_json_is_object(spec))
		return slu_fail(e, EINVAL, "what to register has to be an object");
	const char *odd = slu_json_unknown_key(spec, known);

	if (odd)
		return slu_fail(e, EINVAL, "registering has no '%s'", odd);
	int r = slu_json_need_str(spec, "name", "what to register", &text, e);

	return r < 0 ? r : slu_json_need_str(spec, "ref", "what to register", &text, e);
}

int slu_api_check_taken(struct sluice *s, const struct json_t *spec, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	const char *name = slu_json_str(spec, "name");

	if (slu_json_bool(spec, "create_new_version", false) || slu_json_str(spec, "version"))
		return 0;
	int r = slu_registry_record(s, name, NULL, &is, e);

	if (r == 0)
		return slu_fail(
			e, EEXIST,
			"the name '%s' is taken: version '%s' is other data, or says "
			"something else; choose another name, or let it be a new version (data "
			"create without --no-new-version, data register with "
			"--create-new-version)",
			name, slu_json_str(is, "version"));
	return r == -ENOENT ? 0 : r;
}

static int register_ref(struct sluice *s, const char *spec_json, struct json_t **ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = NULL, *inputs = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	uint64_t seen = 0;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_json_parse(spec_json, strlen(spec_json), "what to register", &spec, e);
	if (r == 0)
		r = check(spec, e);
	const char *ref = slu_json_str(spec, "ref");

	if (r == 0)
		r = slu_resolve_ref(s, ref, &d, e);
	if (r == 0)
		r = slu_api_save(s, spec, d, &seen, ret, e);
	if (r < 0 || *ret)
		return r;
	r = slu_api_check_taken(s, spec, e);
	if (r < 0)
		return r;
	if (d->record) { /* an output says by itself what it was made from, a path of nothing */
		inputs = slu_api_inputs(ref, d);
		if (!inputs)
			return slu_fail_oom(e);
	}
	return slu_api_register(s, spec, d, inputs, seen, ret, e);
}

int sluice_data_register(struct sluice *s, const char *spec_json, char **ret_json,
			 struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;

	if (slu_api_brokered(s))
		return slu_api_ask("data_register", spec_json, ret_json, e);
	int r = register_ref(s, spec_json, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
