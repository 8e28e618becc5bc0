/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a job: as whom data without a credential of its own is opened.  All steps share the stores of their
 * job, so it has one.
 */
#include "job/spec_impl.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

/* The words of the schemas, as credentials of a datastore. */
static const struct {
	const char *type, *credential;
} types[] = {
	{"user_identity", "az_cli"},
	{"user", "az_cli"},
	{"managed", "managed_identity"},
	{"managed_identity", "managed_identity"},
};
static const char *const of_managed[] = {"client_id", "object_id", "resource_id"};

static int to_credential(const struct spec_file *f, const struct json_t *o, const char *type,
			 struct json_t **ret, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "identity");
	SLU_AUTO(slu_json_freep) struct json_t *c = slu_json_object();
	const char *credential = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slu_streq(types[i].type, type))
			credential = types[i].credential;
	if (!credential)
		return slu_yaml_fail(
			f->yaml, o, "identity", e,
			slu_streq(type, "aml_token")
				? "identity '%s' is not supported: nobody gives such a "
				  "token here; use user_identity or managed, or leave "
				  "it out"
				: "identity '%s' is none: it is user_identity or managed",
			type);
	if (slu_json_set_str(c, "type", credential) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < sizeof of_managed / sizeof *of_managed; i++) {
		const char *text = slu_json_str(v, of_managed[i]);

		if (!text)
			continue;
		if (n++ || !slu_streq(credential, "managed_identity"))
			return slu_yaml_fail(f->yaml, v, of_managed[i], e,
					     "'%s' has no place here: an identity of type managed "
					     "is named by one of client_id, object_id and "
					     "resource_id",
					     of_managed[i]);
		if (slu_json_set_str(c, of_managed[i], text) < 0)
			return slu_fail_oom(e);
	}
	*ret = slu_take(c);
	return 0;
}

static int read_type(const struct spec_file *f, const struct json_t *o, char **ret,
		     struct slu_err *e)
{
	static const char *const keys[] = {"type", "client_id", "object_id", "resource_id", NULL};
	const struct json_t *v = slu_json_get(o, "identity");
	int r;

	if (slu_json_is_string(v))
		return spec_word(f, o, "identity", ret, e);
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "identity", e,
				     "'identity' is a map with a 'type'");
	r = slu_yaml_known_keys(f->yaml, v, keys, e);
	if (r == 0)
		r = spec_word(f, v, "type", ret, e);
	return r == 0 && !*ret ? slu_yaml_fail(f->yaml, v, NULL, e, "'identity' has no 'type'") : r;
}

int spec_identity(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		  bool *ret_said, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, "identity");
	SLU_AUTO(slu_json_freep) struct json_t *credential = NULL;
	SLU_AUTO(slu_freep) char *type = NULL;
	int r;

	if (!v || slu_json_is_null(v))
		return 0;
	if ((r = read_type(f, o, &type, e)) < 0 ||
	    (r = to_credential(f, o, type, &credential, e)) < 0)
		return r;
	if (c->job->identity && !slu_json_equal(c->job->identity, credential))
		return slu_yaml_fail(f->yaml, o, "identity", e,
				     "'identity' is not the one that was said before: all steps of "
				     "a job have the same here");
	if (!c->job->identity)
		c->job->identity = slu_take(credential);
	*ret_said = true;
	return 0;
}

int spec_identity_check(const struct slu_job *j, struct slu_err *e)
{
	for (size_t i = 0; j->identity && !j->identity_of_all && i < j->nsteps; i++)
		if (!j->steps[i].identity)
			return slu_fail(e, EINVAL,
					"%s: step '%s' has no 'identity' and others have one: all "
					"steps of a job have the same here; say it at the pipeline",
					j->steps[i].where, j->steps[i].name);
	return 0;
}
