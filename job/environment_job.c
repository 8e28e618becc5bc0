/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Environments of a job's steps: looked up and planned when the job is made, so that what cannot be had is said then;
 * made, or found in the cache, when a step prepares.
 */
#include "job/task.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/environment_run.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BUILD_LOG "logs/azureml/20_image_build_log.txt"
#define CACHE_KEY "spark.hadoop.aml.enable_cache"

/* --- when the job is made --- */

static int add_note(struct slu_job *job, const char *text)
{
	for (size_t i = 0; i < slu_json_count(job->notes); i++)
		if (slu_streq(slu_json_string(slu_json_at(job->notes, i)), text))
			return 0;
	return slu_json_append(job->notes, slu_json_new_str(text));
}

/* An environment that would be another one here, and what to write so that it is what is said. */
static int refuse(const struct slu_spec_step *st, const struct json_t *def, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *title = slu_environment_title(def ? def : st->environment);

	if (!title)
		return slu_fail_oom(e);
	if (!def)
		return slu_fail(e, EINVAL,
				"environment '%s' is not in config.json: put \"environments\": "
				"{\"%s\": {\"conda_file\": \"FILE.yml\"}} there",
				title, title);
	return slu_fail(e, EINVAL,
			"environment '%s' is an image that does not run here as it is: install "
			"docker or podman, or write 'environment: {conda_file: FILE.yml}'",
			title);
}

static int settle_step(struct sluice *s, struct slu_job *job, struct slu_spec_step *st,
		       const struct slu_env *env, bool strict, struct slu_err *e)
{
	SLU_AUTO(slu_environment_plan_done) struct slu_environment_plan p = {0};
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	SLU_AUTO(slu_freep) char *lost = NULL;
	bool spark = st->kind == SLU_JOB_SPARK;
	int r = slu_environment_resolve(s, st->environment, &def, e);

	if (r < 0)
		return r;
	if (strict && (!def || slu_environment_image_is_lost(def, spark, env)))
		return refuse(st, def, e);
	if (!def) {
		lost = slu_asprintf("environment '%s' is not in config.json: steps run with the "
				    "Python of their compute",
				    slu_json_str(st->environment, "ref"));
		if (!lost || add_note(job, lost) < 0)
			return slu_fail_oom(e);
	}
	slu_json_free(st->environment);
	st->environment = slu_take(def);
	r = slu_environment_plan(st->environment, spark, env, &p, e);
	for (size_t i = 0; i < slu_json_count(p.notes) && r == 0; i++)
		if (add_note(job, slu_json_string(slu_json_at(p.notes, i))) < 0)
			r = slu_fail_oom(e);
	return r;
}

int slu_environment_settle(struct sluice *s, struct slu_job *job, bool strict, struct slu_err *e)
{
	SLU_AUTO(slu_env_freep) struct slu_env *env = NULL;
	int r = 0;

	for (size_t i = 0; i < job->nsteps && r == 0; i++) {
		if (!job->steps[i].environment)
			continue;
		if (!env)
			r = slu_env_new(s, &env, e);
		if (r == 0)
			r = settle_step(s, job, &job->steps[i], env, strict, e);
		if (r < 0)
			slu_fail_more(e, "%s",
				      job->steps[i].environment_where
					      ? job->steps[i].environment_where
					      : job->steps[i].where);
	}
	return r;
}

/* --- when a step prepares --- */

/* The interpreter that a venv is made of: the compute's, else one of the version that is asked for, else any. */
static int find_base(struct slu_task *t, const struct slu_environment_plan *p, char **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *versioned = p->python ? slu_asprintf("python%s", p->python) : NULL;
	const char *const names[] = {t->compute.python, versioned, "python3", "python"};
	const char *dots = p->python ? strchr(p->python, '.') : NULL;

	/* python3.10.4 is no name of a program, python3.10 is. */
	if (versioned && dots && strchr(dots + 1, '.'))
		*strrchr(versioned, '.') = '\0';
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		*ret = names[i] ? slu_environment_python(slu_env_get(t->env, "PATH"), names[i],
							 slu_env_list(t->env))
				: NULL;
		if (*ret && p->python && i != 1)
			slu_log(SLU_LOG_INFO, "job",
				"run '%s': python %s is asked for, '%s' is had", t->run->id,
				p->python, *ret);
		if (*ret)
			return 0;
	}
	return slu_fail(
		e, ENOENT,
		"there is no python3 on PATH that runs, of which environment '%s' would be "
		"made: install one, or name one as \"python\" of the compute in config.json",
		p->title);
}

/* Where it is made when it is not to be kept; NULL: in the cache. */
static int find_place(struct slu_task *t, char **ret, struct slu_err *e)
{
	const char *cache = slu_json_str(t->spec.spark.conf, CACHE_KEY);
	int r;

	if (!cache || strcasecmp(cache, "false") != 0)
		return 0;
	*ret = slu_asprintf("%s/tmp/environment", t->run->dir);
	r = slu_path_mkdirs(t->run->fd, "tmp/environment", 0700);
	if (!*ret)
		return slu_fail_oom(e);
	return r < 0 ? slu_fail_sys(e, -r, "cannot make '%s'", *ret) : 0;
}

uint64_t slu_environment_limit(void)
{
	const char *text = getenv("SLUICE_ENVIRONMENT_TIMEOUT");
	uint64_t n = 0;

	return text && slu_u64(text, &n) && n < 1000000 ? n : 0;
}

static int tell_record(struct slu_task *t, const struct slu_environment_plan *p, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct slu_environment *v = &t->environment;

	if (!o || slu_json_set_str(o, "name", p->title) < 0 ||
	    slu_json_set_str(o, "key", v->key) < 0 || slu_json_set_str(o, "path", v->prefix) < 0 ||
	    slu_json_set_str(o, "image", p->image) < 0 ||
	    slu_json_set_str(o, "tool", t->image_tool) < 0 ||
	    (v->key && slu_json_set_bool(o, "cached", v->seconds <= 0) < 0) ||
	    (v->seconds > 0 && slu_json_set(o, "seconds", slu_json_new_real(v->seconds)) < 0))
		return slu_fail_oom(e);
	return slu_run_set(t->run, "environment", slu_take(o), true, e);
}

/* The step finds the environment's programs before others. */
static int use(struct slu_task *t, const struct slu_environment_plan *p, struct slu_err *e)
{
	const char *old = slu_env_get(t->env, "PATH");
	const char *var = p->kind == SLU_ENVIRONMENT_CONDA ? "CONDA_PREFIX" : "VIRTUAL_ENV";
	SLU_AUTO(slu_freep)
	char *path = slu_asprintf("%s/bin:%s", t->environment.prefix, old ? old : "/usr/bin:/bin");

	if (!path || slu_env_set(t->env, "PATH", path) < 0 ||
	    slu_env_set(t->env, var, t->environment.prefix) < 0)
		return slu_fail_oom(e);
	free(t->compute.python);
	t->compute.python = slu_strdup(t->environment.python);
	return t->compute.python ? 0 : slu_fail_oom(e);
}

static int build(struct slu_task *t, const struct slu_environment_plan *p, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *place = NULL, *log = slu_asprintf("%s/" BUILD_LOG, t->run->dir);
	struct slu_environment_job j = {.s = t->s,
					.plan = p,
					.log_path = log,
					.cancel = t->cancel_fd,
					.limit = slu_environment_limit(),
					.archive = slu_compute_is_remote(&t->compute)};
	int r = log ? find_base(t, p, &t->base_python, e) : slu_fail_oom(e);

	if (r == 0)
		r = find_place(t, &place, e);
	if (r < 0)
		return r;
	j.base = t->base_python;
	j.place = place;
	r = slu_environment_get(&j, &t->environment, e);
	if (r == 0)
		r = tell_record(t, p, e);
	return r < 0 ? r : use(t, p, e);
}

int slu_environment_open(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_environment_plan_done) struct slu_environment_plan p = {0};
	bool spark = t->spec.kind == SLU_JOB_SPARK;
	int r;

	if (!t->spec.environment)
		return 0;
	r = slu_environment_plan(t->spec.environment, spark, t->env, &p, e);
	if (r < 0 || p.kind == SLU_ENVIRONMENT_NONE)
		return r;
	if (p.kind != SLU_ENVIRONMENT_CONTAINER)
		return build(t, &p, e);
	t->image = slu_take(p.image);
	t->image_tool = slu_take(p.tool);
	p.image = slu_strdup(t->image);
	return tell_record(t, &p, e);
}
