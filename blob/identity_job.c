/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity that a job asks for takes the place of the chain "default", in the supervisor of the job and in all that
 * it starts.  Entries that name another identity, or a key or SAS, keep theirs.
 */
#include "blob/identity.h"
#include "common/json.h"
#include "common/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *type_of(const struct json_t *credential)
{
	const char *name = slu_json_string(credential);

	return name ? name : slu_json_str(credential, "type");
}

const char *slu_identity_of_job(const struct json_t *credential)
{
	const char *type = type_of(credential), *text = getenv(SLU_IDENTITY_OF_JOB);

	return type && slu_streq(type, "default") && text && *text ? text : NULL;
}

int slu_identity_replace(const struct json_t *credential, struct json_t **ret, struct slu_err *e)
{
	static const char *const kept[] = {"audience", "authority_url"};
	const char *text = slu_identity_of_job(credential);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int r = text ? slu_json_parse(text, strlen(text), SLU_IDENTITY_OF_JOB, &o, e) : 0;

	if (r < 0 || !text)
		return r;
	if (!slu_json_is_object(o) || !slu_identity_is(o) || slu_streq(type_of(o), "default"))
		return slu_fail(e, EINVAL, "'" SLU_IDENTITY_OF_JOB "' names no identity: unset it");
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (slu_json_str(credential, kept[i]) &&
		    slu_json_set_str(o, kept[i], slu_json_str(credential, kept[i])) < 0)
			return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}
