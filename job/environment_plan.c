/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an environment is had on this machine.  The first that can give it: conda or mamba when they are installed and a
 * dependency of conda asks for one; else a venv with what pip has; an image alone runs in docker or podman, else its
 * step runs in the Python of the compute, which is noted.
 */
#include "job/environment.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "job/environment_run.h"
#include "job/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20, ANSWER_SECONDS = 30 };

void slu_environment_plan_done(struct slu_environment_plan *p)
{
	free(p->title);
	free(p->tool);
	free(p->image);
	free(p->python);
	free(p->text);
	free(p->constraints);
	slu_json_free(p->notes);
	*p = (struct slu_environment_plan){0};
}

/* --- programs --- */

static char *on_path(const struct slu_env *env, const char *name)
{
	return slu_environment_program(slu_env_get(env, "PATH"), name);
}

char *slu_environment_container_tool(const struct slu_env *env)
{
	static const char *const names[] = {"docker", "podman"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		SLU_AUTO(slu_freep) char *tool = on_path(env, names[i]);
		const char *argv[] = {tool, "info", NULL};

		/* The client may be there without anybody who answers it. */
		if (tool && slu_environment_answers(argv, slu_env_list(env), ANSWER_SECONDS))
			return slu_take(tool);
	}
	return NULL;
}

static char *conda_tool(const struct slu_env *env)
{
	static const char *const names[] = {"mamba", "micromamba", "conda"};
	char *tool = NULL;

	for (size_t i = 0; i < sizeof names / sizeof *names && !tool; i++)
		tool = on_path(env, names[i]);
	return tool;
}

/* --- notes --- */

static int note(struct slu_environment_plan *p, const char *what, const char *why)
{
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("environment '%s': %s%s", p->title, what, why);

	return text ? slu_json_append(p->notes, slu_json_new_str(text)) : -ENOMEM;
}

/* --- a venv --- */

/* What sluice.azureml stands in for: the original would talk to a service that is not there. */
static bool own_package(const char *line)
{
	static const char *const names[] = {
		"azureml-core",           "azureml-defaults", "azureml-dataset-runtime",
		"azureml-dataprep",       "azureml-pipeline", "azureml-pipeline-core",
		"azureml-pipeline-steps", "azureml-sdk",      "azureml-train-core",
		"azureml-mlflow",         "azureml-synapse",  "azureml-fsspec"};
	size_t n = strcspn(line, "=<>!~[ ;@");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == n && strncmp(names[i], line, n) == 0)
			return true;
	return false;
}

struct lists {
	struct slu_buf lines, ours, from_conda, refused;
	struct slu_environment_plan *plan;
};

static void say(struct slu_buf *b, const char *text)
{
	slu_buf_fmt(b, "%s%s", b->len ? ", " : "", text);
}

static void take_pip(struct lists *l, const struct json_t *pip)
{
	for (size_t i = 0; i < slu_json_count(pip); i++) {
		const char *line = slu_json_string(slu_json_at(pip, i));

		if (own_package(line))
			say(&l->ours, line);
		else
			slu_buf_fmt(&l->lines, "%s\n", line);
	}
}

static int take_conda(struct lists *l, const struct json_t *conda, struct slu_err *e)
{
	const struct json_t *deps = slu_json_get(conda, "dependencies");

	for (size_t i = 0; i < slu_json_count(deps); i++) {
		const char *text = slu_json_string(slu_json_at(deps, i));
		SLU_AUTO(slu_freep) char *line = NULL;
		struct slu_err why = {0};
		int r;

		if (!text) {
			take_pip(l, slu_json_get(slu_json_at(deps, i), "pip"));
			continue;
		}
		r = slu_conda_to_pip(text, &line, &l->plan->python, &why);
		if (r == -ENOTSUP)
			say(&l->refused, text);
		else if (r < 0)
			return slu_fail_oom(e);
		if (!line)
			continue;
		slu_buf_fmt(&l->lines, "%s\n", line);
		say(&l->from_conda, line);
	}
	return 0;
}

static void lists_done(struct lists *l)
{
	slu_buf_done(&l->lines);
	slu_buf_done(&l->ours);
	slu_buf_done(&l->from_conda);
	slu_buf_done(&l->refused);
}

static int finish_venv(struct lists *l, struct slu_err *e)
{
	struct slu_environment_plan *p = l->plan;

	if (slu_buf_err(&l->lines) || slu_buf_err(&l->ours) || slu_buf_err(&l->from_conda) ||
	    slu_buf_err(&l->refused))
		return slu_fail(e, EMSGSIZE, "environment '%s' has too many packages", p->title);
	if (l->refused.len)
		return slu_fail(e, ENOTSUP,
				"environment '%s' needs conda for %s: install conda, mamba or "
				"micromamba, or take them out",
				p->title, l->refused.p);
	if (l->from_conda.len &&
	    note(p, "there is no conda here, so pip installs ", l->from_conda.p) < 0)
		return slu_fail_oom(e);
	if (l->ours.len && note(p, "what is installed with sluice stands in for ", l->ours.p) < 0)
		return slu_fail_oom(e);
	p->kind = SLU_ENVIRONMENT_VENV;
	p->text = slu_buf_take(&l->lines);
	return p->text ? 0 : slu_fail_oom(e);
}

static int plan_venv(const struct json_t *def, struct slu_environment_plan *p, struct slu_err *e)
{
	struct lists l = {.lines = SLU_BUF(TEXT_MAX),
			  .ours = SLU_BUF(TEXT_MAX),
			  .from_conda = SLU_BUF(TEXT_MAX),
			  .refused = SLU_BUF(TEXT_MAX),
			  .plan = p};
	int r;

	take_pip(&l, slu_json_get(def, "pip"));
	r = take_conda(&l, slu_json_get(def, "conda"), e);
	if (r == 0)
		r = finish_venv(&l, e);
	lists_done(&l);
	return r;
}

/* --- conda --- */

/* Anything but Python, pip and what pip installs. */
static bool wants_conda(const struct json_t *conda)
{
	const struct json_t *deps = slu_json_get(conda, "dependencies");

	for (size_t i = 0; i < slu_json_count(deps); i++) {
		const char *text = slu_json_string(slu_json_at(deps, i));
		size_t n = text ? strcspn(text, " =<>!~") : 0;

		if (text && !(n == 3 && slu_starts(text, "pip")) &&
		    !(n == 6 && slu_starts(text, "python")))
			return true;
	}
	return false;
}

static int plan_conda(const struct json_t *def, struct slu_environment_plan *p, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *conda = slu_json_copy(slu_json_get(def, "conda"));

	p->kind = SLU_ENVIRONMENT_CONDA;
	slu_json_del(conda, "constraints");
	p->text = conda ? slu_yaml_text(conda) : NULL;
	return p->text ? 0 : slu_fail_oom(e);
}

static int plan_constraints(const struct json_t *def, struct slu_environment_plan *p,
			    struct slu_err *e)
{
	const struct json_t *conda = slu_json_get(def, "conda");
	const struct json_t *all = slu_json_get(conda ? conda : def, "constraints");
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);

	for (size_t i = 0; i < slu_json_count(all); i++)
		slu_buf_fmt(&b, "%s\n", slu_json_string(slu_json_at(all, i)));
	if (slu_buf_err(&b))
		return slu_fail(e, EMSGSIZE, "environment '%s' has too many constraints", p->title);
	p->constraints = b.len ? slu_buf_take(&b) : NULL;
	return 0;
}

/* --- images --- */

static int plan_image(const struct json_t *def, bool spark, const struct slu_env *env,
		      struct slu_environment_plan *p, struct slu_err *e)
{
	const char *image = slu_json_str(def, "image");
	int r = 0;

	if (spark)
		r = note(p, "a Spark step takes only packages from it, not its image", "");
	else if (!image)
		r = note(p, "images are not built here: the step runs in the Python of its compute",
			 "");
	else if (!(p->tool = slu_environment_container_tool(env)))
		r = note(p,
			 "neither docker nor podman answers here, so the step runs without the "
			 "image ",
			 image);
	else
		p->kind = SLU_ENVIRONMENT_CONTAINER;
	if (r == 0 && p->tool)
		p->image = slu_strdup(image);
	return r < 0 || (p->tool && !p->image) ? slu_fail_oom(e) : 0;
}

bool slu_environment_image_is_lost(const struct json_t *def, bool spark, const struct slu_env *env)
{
	SLU_AUTO(slu_freep) char *tool = NULL;

	if (spark || (!slu_json_str(def, "image") && !slu_json_get(def, "build")))
		return false;
	if (slu_json_get(def, "build") || slu_json_get(def, "conda"))
		return true;
	tool = slu_environment_container_tool(env);
	return !tool;
}

/* --- all of it --- */

static int plan(const struct json_t *def, bool spark, const struct slu_env *env,
		struct slu_environment_plan *p, struct slu_err *e)
{
	const struct json_t *conda = slu_json_get(def, "conda");

	p->title = slu_environment_title(def);
	p->notes = slu_json_array();
	if (!p->title || !p->notes)
		return slu_fail_oom(e);
	if (!conda && !slu_json_get(def, "pip"))
		return plan_image(def, spark, env, p, e);
	if (slu_json_str(def, "image") && !spark &&
	    note(p, "its packages are installed here, without the image ",
		 slu_json_str(def, "image")) < 0)
		return slu_fail_oom(e);
	if (conda && wants_conda(conda))
		p->tool = conda_tool(env);

	int r = plan_constraints(def, p, e);

	if (r < 0)
		return r;
	return p->tool ? plan_conda(def, p, e) : plan_venv(def, p, e);
}

int slu_environment_plan(const struct json_t *def, bool spark, const struct slu_env *env,
			 struct slu_environment_plan *ret, struct slu_err *e)
{
	struct slu_environment_plan p = {0};
	int r = def ? plan(def, spark, env, &p, e) : 0;

	if (r < 0)
		slu_environment_plan_done(&p);
	else
		*ret = p;
	return r;
}
