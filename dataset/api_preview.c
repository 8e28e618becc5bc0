/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: the first rows of a table and its columns.
 */
#include "dataset/api.h"
#include "dataset/broker_client.h"

#include "common/json.h"
#include "dataset/preview.h"

#include <errno.h>
#include <string.h>

static int preview(struct sluice *s, const char *ref, uint64_t rows, bool schema,
		   struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *found = NULL;

	if (rows > SLU_PREVIEW_ROWS_MAX)
		return slu_fail(e, EINVAL, "a preview has at most %d rows", SLU_PREVIEW_ROWS_MAX);
	int r = slu_resolve_ref(s, ref, &d, e);

	if (r == 0)
		r = slu_preview(s, d, rows, schema, &found, e);
	if (r == 0 && schema)
		return slu_schema(d, found, ret, e);
	if (r == 0)
		*ret = slu_take(found);
	return r;
}

int sluice_data_preview(struct sluice *s, const char *ref, uint64_t rows, char **ret_json,
			struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = preview(s, ref, rows ? rows : SLU_PREVIEW_ROWS, false, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

int sluice_data_schema(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;

	if (slu_api_brokered(s) && slu_broker_for(ref))
		return slu_api_ask("data_schema", ref, ret_json, e);
	int r = preview(s, ref, SLU_SCHEMA_ROWS, true, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
