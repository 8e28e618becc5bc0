/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a step: what this process has, less everything that is or may be a credential of
 * sluice's, plus the variables that programs written for Azure ML read.
 */
#include "job/task.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

extern char **environ;

struct slu_env {
	SLU_VEC(char *) v; /* NAME=VALUE, no NULL at the end until slu_env_list */
};

/* --- the list --- */

void slu_env_free(struct slu_env *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->v.n; i++)
		free(v->v.p[i]);
	free(v->v.p);
	free(v);
}

static size_t find(const struct slu_env *v, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < v->v.n; i++)
		if (strncmp(v->v.p[i], name, n) == 0 && v->v.p[i][n] == '=')
			return i;
	return SIZE_MAX;
}

const char *slu_env_get(const struct slu_env *v, const char *name)
{
	size_t i = find(v, name);

	return i == SIZE_MAX ? NULL : v->v.p[i] + strlen(name) + 1;
}

static int add(struct slu_env *v, char *line)
{
	/* Room for the NULL at the end is always there. */
	if (!line || !slu_vec_push(&v->v, line)) {
		free(line);
		return -ENOMEM;
	}
	if (!slu_vec_room((void **)&v->v.p, &v->v.cap, v->v.n, sizeof(*v->v.p)))
		return -ENOMEM;
	return 0;
}

int slu_env_set(struct slu_env *v, const char *name, const char *value)
{
	SLU_AUTO(slu_freep) char *line = slu_asprintf("%s=%s", name, value);
	size_t i = find(v, name);

	if (!line)
		return -ENOMEM;
	if (i == SIZE_MAX)
		return add(v, slu_take(line));
	free(v->v.p[i]);
	v->v.p[i] = slu_take(line);
	return 0;
}

char *const *slu_env_list(const struct slu_env *v)
{
	v->v.p[v->v.n] = NULL;
	return v->v.p;
}

/* --- what is left out --- */

/* Credentials that Azure's tools and sluice itself read from the environment. */
static const char *const secret_names[] = {"AZURE_CLIENT_SECRET",
					   "AZURE_CLIENT_CERTIFICATE_PATH",
					   "AZURE_CLIENT_CERTIFICATE_PASSWORD",
					   "AZURE_PASSWORD",
					   "AZURE_USERNAME",
					   "AZURE_FEDERATED_TOKEN_FILE",
					   "AZURE_STORAGE_KEY",
					   "AZURE_STORAGE_ACCOUNT_KEY",
					   "AZURE_STORAGE_SAS_TOKEN",
					   "AZURE_STORAGE_CONNECTION_STRING",
					   "MSI_SECRET",
					   "IDENTITY_HEADER",
					   "AZUREML_RUN_TOKEN",
					   "HADOOP_TOKEN_FILE_LOCATION",
					   NULL};
/* Of our own variables only these say nothing but how to run. */
static const char *const own_names[] = {"SLUICE_LOG",
					"SLUICE_DEBUG",
					"SLUICE_PROGRAM",
					"SLUICE_DEAD_AFTER",
					"SLUICE_ENVIRONMENT_TIMEOUT",
					NULL};

static bool in_list(const char *const *list, const char *name, size_t n)
{
	for (; *list; list++)
		if (strlen(*list) == n && strncmp(*list, name, n) == 0)
			return true;
	return false;
}

/* Is the variable named by a credential reference, `env:NAME`, anywhere in the configuration? */
static bool referenced(const struct json_t *j, const char *name, size_t n)
{
	const char *ref = slu_json_is_string(j) ? slu_after(slu_json_string(j), "env:") : NULL;

	if (ref)
		return strlen(ref) == n && strncmp(ref, name, n) == 0;
	if (slu_json_is_object(j))
		for (void *it = slu_json_iter(j); it; it = slu_json_next(j, it))
			if (referenced(slu_json_iter_value(it), name, n))
				return true;
	if (slu_json_is_array(j))
		for (size_t i = 0; i < slu_json_count(j); i++)
			if (referenced(slu_json_at(j, i), name, n))
				return true;
	return false;
}

static bool is_secret(const struct json_t *config, const char *line)
{
	size_t n = strcspn(line, "=");

	if (slu_starts(line, "SLUICE_"))
		return !in_list(own_names, line, n);
	return in_list(secret_names, line, n) || referenced(config, line, n);
}

int slu_env_new(struct sluice *s, struct slu_env **ret, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	SLU_AUTO(slu_env_freep) struct slu_env *v = slu_new0(struct slu_env);

	if (!v || !slu_vec_room((void **)&v->v.p, &v->v.cap, 0, sizeof(*v->v.p)))
		return slu_fail_oom(e);
	for (char **p = environ; p && *p; p++) {
		if (!strchr(*p, '=') || is_secret(w ? w->config : NULL, *p))
			continue;
		if (add(v, slu_strdup(*p)) < 0)
			return slu_fail_oom(e);
	}
	*ret = slu_take(v);
	return 0;
}

/* --- a run's variables --- */

static int set_upper(struct slu_env *v, const char *prefix, const char *name, const char *value,
		     bool only_new)
{
	SLU_AUTO(slu_freep) char *key = slu_asprintf("%s%s", prefix, name);

	if (!key)
		return -ENOMEM;
	for (char *p = key; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	if (only_new && slu_env_get(v, key))
		return 0;
	return slu_env_set(v, key, value);
}

static int set_prefixed(struct slu_env *v, const char *prefix, const char *name, const char *value)
{
	SLU_AUTO(slu_freep) char *key = slu_asprintf("%s%s", prefix, name);

	return key ? slu_env_set(v, key, value) : -ENOMEM;
}

/* v1's name of a mode, as AZUREML_DATASET_ENVIRONMENT_VARS has it. */
static const char *v1_mode(enum slu_mode m)
{
	return m == SLU_MODE_MOUNT ? "mount" : slu_mode_name(m);
}

static int fill_inputs(struct slu_task *t)
{
	SLU_AUTO(slu_buf_done) struct slu_buf list = SLU_BUF(1 << 20);
	struct slu_env *v = t->env;

	for (size_t i = 0; i < t->spec.nin; i++) {
		const struct slu_input *in = t->in[i];

		if (!in)
			continue;
		slu_buf_fmt(&list, "%s%s:%s", list.len ? "," : "", in->name,
			    t->spec.in[i].id ? "direct" : v1_mode(in->mode));
		if (slu_env_set(v, in->name, in->value) < 0 ||
		    set_upper(v, "", in->name, in->value, true) < 0 ||
		    set_prefixed(v, "AZURE_ML_INPUT_", in->name, in->value) < 0 ||
		    set_upper(v, "AZURE_ML_INPUT_", in->name, in->value, false) < 0 ||
		    set_prefixed(v, "AZUREML_DATAREFERENCE_", in->name, in->value) < 0)
			return -ENOMEM;
	}
	if (slu_buf_err(&list))
		return -ENOMEM;
	return list.len ? slu_env_set(v, "AZUREML_DATASET_ENVIRONMENT_VARS", list.p) : 0;
}

static int fill_outputs(struct slu_task *t)
{
	SLU_AUTO(slu_buf_done) struct slu_buf files = SLU_BUF(1 << 20), links = SLU_BUF(1 << 20);
	struct slu_env *v = t->env;

	for (size_t i = 0; i < t->spec.nout; i++) {
		const struct slu_output *o = t->out[i];
		struct slu_buf *list = o->mode == SLU_MODE_LINK ? &links : &files;

		slu_buf_fmt(list, "%s%s", list->len ? ";" : "", o->name);
		if (slu_env_set(v, o->name, o->value) < 0 ||
		    set_upper(v, "", o->name, o->value, true) < 0 ||
		    set_prefixed(v, "AZURE_ML_OUTPUT_", o->name, o->value) < 0 ||
		    set_upper(v, "AZURE_ML_OUTPUT_", o->name, o->value, false) < 0 ||
		    set_prefixed(v, "AZUREML_DATAREFERENCE_", o->name, o->value) < 0)
			return -ENOMEM;
	}
	if (slu_buf_err(&files) || slu_buf_err(&links) ||
	    (files.len && slu_env_set(v, "AZUREML_DATASET_FILE_OUTPUTS", files.p) < 0) ||
	    (links.len && slu_env_set(v, "AZUREML_LINK_DATASET_OUTPUTS", links.p) < 0))
		return -ENOMEM;
	return 0;
}

static int fill_run(struct slu_task *t)
{
	const struct slu_workspace *w = slu_context_workspace(t->s);
	const char *experiment = slu_run_get(t->run, "experiment");
	const char *root = slu_run_get(t->run, "root");
	struct slu_env *v = t->env;

	if (slu_env_set(v, "AZUREML_RUN_ID", t->run->id) < 0 ||
	    slu_env_set(v, "AZUREML_ROOT_RUN_ID", root ? root : t->run->id) < 0 ||
	    slu_env_set(v, "AZUREML_ARM_SUBSCRIPTION", w->subscription_id) < 0 ||
	    slu_env_set(v, "AZUREML_ARM_RESOURCEGROUP", w->resource_group) < 0 ||
	    slu_env_set(v, "AZUREML_ARM_WORKSPACE_NAME", w->name) < 0 ||
	    slu_env_set(v, "AZUREML_ARM_PROJECT_NAME", experiment ? experiment : "Default") < 0 ||
	    slu_env_set(v, "AZUREML_EXPERIMENT_NAME", experiment ? experiment : "Default") < 0 ||
	    slu_env_set(v, "AZUREML_WORKSPACE_ID", w->name) < 0)
		return -ENOMEM;
	/* Lines of a program appear in the log when it writes them. */
	return slu_env_get(v, "PYTHONUNBUFFERED") ? 0 : slu_env_set(v, "PYTHONUNBUFFERED", "1");
}

static int fill_own(struct slu_task *t, struct slu_err *e)
{
	const struct slu_subst vars = slu_task_subst(t);

	for (void *it = slu_json_iter(t->spec.env); it; it = slu_json_next(t->spec.env, it)) {
		const char *text = slu_json_string(slu_json_iter_value(it));
		SLU_AUTO(slu_freep) char *value = NULL;
		int r = slu_subst(text ? text : "", SLU_SUBST_PLAIN, &vars, &value, e);

		if (r == 0 && slu_env_set(t->env, slu_json_iter_key(it), value) < 0)
			r = slu_fail_oom(e);
		if (r < 0)
			return r;
	}
	return 0;
}

int slu_env_fill(struct slu_task *t, struct slu_err *e)
{
	int r = slu_env_new(t->s, &t->env, e);

	if (r < 0)
		return r;
	if (fill_inputs(t) < 0 || fill_outputs(t) < 0 || fill_run(t) < 0)
		return slu_fail_oom(e);
	return fill_own(t, e);
}
