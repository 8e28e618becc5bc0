/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs part of the public API for runs that are over: search, archive, delete, download.
 */
#include "job/keep.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/api.h"

#include <errno.h>
#include <string.h>

/* An object, or NULL for no text. */
static int parse(const char *text, const char *what, struct json_t **ret, struct slu_err *e)
{
	int r = text ? slu_json_parse(text, strlen(text), what, ret, e) : 0;

	if (r == 0 && *ret && !slu_json_is_object(*ret))
		return slu_fail(e, EINVAL, "%s: an object is wanted", what);
	return r;
}

int sluice_job_search(struct sluice *s, const char *query_json, char **ret_json,
		      struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *q = NULL;
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = parse(query_json, "query", &q, &er);

	if (r == 0)
		r = slu_run_search(s, q, &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}

int sluice_job_list(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	return sluice_job_search(s, NULL, ret_json, e);
}

int sluice_job_archive(struct sluice *s, const char *run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_run_archive(s, run_id, true, &er));
}

int sluice_job_restore(struct sluice *s, const char *run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_run_archive(s, run_id, false, &er));
}

int sluice_job_delete(struct sluice *s, const char *run_id, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_run_delete(s, run_id, &er));
}

int sluice_job_download(struct sluice *s, const char *run_id, const char *directory,
			const char *settings_json, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *set = NULL;
	SLU_AUTO(slu_freep) char *abs = NULL;
	struct slu_err er = {0};
	struct json_t *j = NULL;
	int r = parse(settings_json, "settings", &set, &er);

	if (r == 0)
		r = slu_path_absolute(directory ? directory : ".", &abs, &er);
	if (r == 0)
		r = slu_run_fetch(s, run_id, abs, slu_json_str(set, "output"),
				  slu_json_bool(set, "all", false), &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
