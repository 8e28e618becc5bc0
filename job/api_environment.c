/* SPDX-License-Identifier: Apache-2.0 */
/* The environments part of the public API: what is kept in the cache, and making one before a job wants it. */
#include "job/task.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api.h"
#include "job/environment_run.h"

#include <errno.h>
#include <string.h>

int sluice_environment_list(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct json_t *list = NULL;
	struct slu_err er = {0};
	int r = slu_environment_list(&list, &er);

	(void)s;
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(list, ret_json, &er));
}

int sluice_environment_show(struct sluice *s, const char *key, char **ret_json,
			    struct sluice_error *e)
{
	struct json_t *one = NULL;
	struct slu_err er = {0};
	int r = slu_environment_find(key, &one, &er);

	(void)s;
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(one, ret_json, &er));
}

int sluice_environment_delete(struct sluice *s, const char *key, struct sluice_error *e)
{
	struct slu_err er = {0};

	(void)s;
	return slu_api_error(e, &er, slu_environment_delete(key, &er));
}

/* {"key", "name", "path", "cached", "seconds", "notes"} */
static struct json_t *built(const struct slu_environment *v, const struct slu_environment_plan *p)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "key", v->key) < 0 || slu_json_set_str(o, "name", p->title) < 0 ||
	    slu_json_set_str(o, "path", v->prefix) < 0 ||
	    slu_json_set_bool(o, "cached", v->seconds <= 0) < 0 ||
	    slu_json_set(o, "seconds", slu_json_new_real(v->seconds)) < 0 ||
	    slu_json_set(o, "notes", slu_json_ref(p->notes)) < 0)
		return NULL;
	return slu_take(o);
}

static int build_plan(struct sluice *s, const struct slu_environment_plan *p,
		      const struct slu_env *env, const char *python, struct json_t **ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *base = slu_environment_python(slu_env_get(env, "PATH"), python ? python : "python3",
					    slu_env_list(env));
	struct slu_environment_job j = {
		.s = s, .plan = p, .base = base, .cancel = -1, .limit = slu_environment_limit()};
	struct slu_environment v = {.lock = -1};
	int r;

	if (p->kind != SLU_ENVIRONMENT_VENV && p->kind != SLU_ENVIRONMENT_CONDA)
		return slu_fail(e, ENOTSUP, "environment '%s' has no packages to install",
				p->title);
	if (!base)
		return slu_fail(e, ENOENT,
				"there is no '%s' on PATH that runs, of which environment '%s' "
				"would be made: install it, or name another one by --python",
				python ? python : "python3", p->title);
	r = slu_environment_get(&j, &v, e);
	if (r == 0 && !(*ret = built(&v, p)))
		r = slu_fail_oom(e);
	slu_environment_done(&v);
	return r;
}

static int build(struct sluice *s, const char *path, const char *python, struct json_t **ret,
		 struct slu_err *e)
{
	SLU_AUTO(slu_environment_plan_done) struct slu_environment_plan p = {0};
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	SLU_AUTO(slu_env_freep) struct slu_env *env = NULL;
	int r = slu_environment_read_file(path, &def, e);

	if (r == 0)
		r = slu_env_new(s, &env, e);
	if (r == 0)
		r = slu_environment_plan(def, false, env, &p, e);
	return r < 0 ? r : build_plan(s, &p, env, python, ret, e);
}

int sluice_environment_build(struct sluice *s, const char *path, const char *python,
			     char **ret_json, struct sluice_error *e)
{
	struct json_t *o = NULL;
	struct slu_err er = {0};
	int r = build(s, path, python, &o, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(o, ret_json, &er));
}
