/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: datasets without a name, which have an id all the same; and what a step that has no
 * workspace around it leaves to its broker.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api_version.h"
#include "dataset/broker_client.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

/* --- saving --- */

static int append_all(struct json_t *to, const struct json_t *from)
{
	for (size_t i = 0; i < slu_json_count(from); i++)
		if (slu_json_append(to, slu_json_copy(slu_json_at(from, i))) < 0)
			return -ENOMEM;
	return 0;
}

/* The same files, and behind the reading steps over its rows. */
static int add_rows(struct slu_dataset *d, const struct json_t *rows, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_copy(d->def->doc);
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	struct slu_definition *def = NULL;

	if (!slu_json_is_array(rows))
		return slu_fail(e, EINVAL, "'rows' of the dataset has to be a list of steps");
	if (!d->def->tabular)
		return slu_fail(e, EINVAL,
				"steps over rows need a table: say how its files are read");
	if (!doc || append_all(all, slu_json_get(doc, "transformations")) < 0 ||
	    append_all(all, rows) < 0 ||
	    slu_json_set(doc, "transformations", slu_json_ref(all)) < 0)
		return slu_fail_oom(e);
	int r = slu_definition_from_doc(d->def->type, doc, "the dataset", &def, e);

	if (r < 0)
		return r;
	slu_definition_free(d->def);
	d->def = def;
	return 0;
}

/* Takes 'rows' out of the spec, which the rest does not know. */
static int take_rows(struct json_t *spec, struct json_t **ret, struct slu_err *e)
{
	const struct json_t *rows = slu_json_get(spec, "rows");

	if (!slu_json_is_object(spec))
		return slu_fail(e, EINVAL, "the dataset has to be an object");
	if (slu_json_get(spec, "name") || slu_json_get(spec, "version"))
		return slu_fail(e, EINVAL,
				"a dataset that is only saved has no name: register it instead");
	*ret = rows && !slu_json_is_null(rows) ? slu_json_ref((struct json_t *)rows) : NULL;
	slu_json_del(spec, "rows");
	return 0;
}

static int data_save(struct sluice *s, const char *spec_json, struct json_t **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = NULL, *rows = NULL, *inputs = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_json_parse(spec_json, strlen(spec_json), "the dataset", &spec, e);
	if (r == 0)
		r = take_rows(spec, &rows, e);
	if (r == 0)
		r = slu_api_define(s, spec, &d, &inputs, e);
	if (r == 0 && rows)
		r = add_rows(d, rows, e);
	if (r == 0)
		r = slu_registry_save(s, d, e);
	return r < 0 ? r : slu_api_describe(s, d, ret, e);
}

int sluice_data_save(struct sluice *s, const char *spec_json, char **ret_json,
		     struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;

	if (slu_api_brokered(s))
		return slu_api_ask("data_save", spec_json, ret_json, e);
	int r = data_save(s, spec_json, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

/* --- in a step --- */

bool slu_api_brokered(struct sluice *s)
{
	return !slu_context_workspace(s) && slu_broker_here();
}

/* *ret: the answer, whose "data" it is. */
static int ask(const char *name, const char *arg, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *req = slu_json_object();

	if (!req || slu_json_set_str(req, "op", "call") < 0 ||
	    slu_json_set_str(req, "name", name) < 0 ||
	    (arg && slu_json_set_str(req, "arg", arg) < 0))
		return slu_fail_oom(e);
	return slu_broker_call(slu_take(req), ret, e);
}

int slu_api_ask(const char *name, const char *arg, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	struct slu_err er = {0};
	int r = ask(name, arg, &answer, &er);

	if (r == 0)
		r = slu_api_json(slu_json_copy(slu_json_get(answer, "data")), ret_json, &er);
	return slu_api_error(e, &er, r);
}

int slu_api_ask_text(const char *name, const char *arg, char **ret, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	struct slu_err er = {0};
	int r = ask(name, arg, &answer, &er);
	const char *text = slu_json_str(slu_json_get(answer, "data"), "text");

	if (r == 0 && !(text && (*ret = slu_strdup(text))))
		r = slu_fail(&er, EBADMSG, "the broker of this run gave no text");
	return slu_api_error(e, &er, r);
}

int slu_api_local(struct sluice *s, const char **ref, char **ret_own, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	const char *path;
	int r;

	if (!slu_api_brokered(s) || !slu_broker_for(*ref))
		return 0;
	r = slu_broker_call(slu_broker_request("open", *ref, "ro_mount"), &answer, e);
	if (r < 0) /* where nothing can be mounted */
		r = slu_broker_call(slu_broker_request("open", *ref, "download"), &answer, e);
	if (r < 0)
		return r;
	path = slu_json_str(answer, "value");
	*ret_own = path ? slu_strdup(path) : NULL;
	if (!*ret_own)
		return slu_fail(e, EBADMSG, "the broker of this run gave no path for '%s'", *ref);
	*ref = *ret_own;
	return 0;
}
