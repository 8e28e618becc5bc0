/* SPDX-License-Identifier: Apache-2.0 */
/* Which compute a step runs on.  How it runs there is in compute_local.c and compute_spark.c. */
#include "job/compute.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const keys[] = {"type", "python",      "slots",     "master", "spark_home",
				   "conf", "description", "max_nodes", NULL};

void slu_compute_done(struct slu_compute *c)
{
	free(c->name);
	free(c->python);
	free(c->master);
	free(c->spark_home);
	slu_json_free(c->conf);
	*c = (struct slu_compute){0};
}

static const struct json_t *computes(struct sluice *s)
{
	const struct slu_workspace *w = slu_context_workspace(s);

	return w ? slu_json_get(w->config, "computes") : NULL;
}

static bool is_spark(const struct json_t *entry)
{
	const char *type = slu_json_str(entry, "type");

	return type && slu_streq(type, "spark");
}

/* The entry for a kind when none is named: the default compute if it fits, else the first that does. */
static const char *default_name(struct sluice *s, bool spark)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	const struct json_t *all = computes(s);
	const char *name = w ? slu_json_str(w->config, "default_compute") : NULL;

	if (name && slu_json_get(all, name) && is_spark(slu_json_get(all, name)) == spark)
		return name;
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		if (is_spark(slu_json_iter_value(it)) == spark)
			return slu_json_iter_key(it);
	return NULL;
}

static int check_entry(const char *name, const struct json_t *o, struct slu_err *e)
{
	const char *type = slu_json_str(o, "type");

	if (!slu_json_is_object(o) || !type ||
	    (!slu_streq(type, "local") && !slu_streq(type, "spark")))
		return slu_fail(e, EINVAL,
				"compute '%s' in config.json has no type that this build runs: use "
				"\"local\" or \"spark\"",
				name);
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		size_t i = 0;

		while (keys[i] && !slu_streq(keys[i], slu_json_iter_key(it)))
			i++;
		if (!keys[i])
			return slu_fail(e, EINVAL,
					"compute '%s' in config.json has an unknown key '%s'", name,
					slu_json_iter_key(it));
	}
	return 0;
}

static int copy(const struct json_t *o, const char *key, char **ret)
{
	const char *text = slu_json_str(o, key);

	if (!text)
		return 0;
	*ret = slu_strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* A python named by a path is taken from the folder of config.json when it is relative. */
static int absolute_python(struct sluice *s, struct slu_compute *c, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;

	if (!c->python || c->python[0] == '/' || !strchr(c->python, '/'))
		return 0;
	path = slu_asprintf("%s/%s", slu_context_workspace(s)->dir, c->python);
	if (!path)
		return slu_fail_oom(e);
	free(c->python);
	c->python = slu_take(path);
	return 0;
}

static int read_entry(struct sluice *s, const char *name, const struct json_t *o,
		      struct slu_compute *c, struct slu_err *e)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t slots = slu_json_int(o, "slots", slu_json_int(o, "max_nodes", 0));
	int r = o ? check_entry(name, o, e) : 0;

	if (r < 0)
		return r;
	c->spark = is_spark(o) || (!o && c->spark);
	c->slots = slots > 0 && slots < 1000 ? (unsigned)slots : cores > 1 ? (unsigned)cores : 1;
	c->name = slu_strdup(name);
	if (!c->name || copy(o, "python", &c->python) < 0 || copy(o, "master", &c->master) < 0 ||
	    copy(o, "spark_home", &c->spark_home) < 0)
		return slu_fail_oom(e);
	if (slu_json_is_object(slu_json_get(o, "conf")))
		c->conf = slu_json_ref(slu_json_get(o, "conf"));
	if (!c->master && !(c->master = slu_strdup("local[*]")))
		return slu_fail_oom(e);
	return absolute_python(s, c, e);
}

int slu_compute_find(struct sluice *s, const char *name, enum slu_job_kind kind,
		     struct slu_compute *ret, struct slu_err *e)
{
	struct slu_compute c = {.spark = kind == SLU_JOB_SPARK};
	const struct json_t *entry = name ? slu_json_get(computes(s), name) : NULL;

	/* "local" and "spark" need no entry. */
	bool builtin = name && slu_streq(name, c.spark ? "spark" : "local");
	if (entry && is_spark(entry) != c.spark) {
		if (!c.spark || !slu_streq(slu_json_str(entry, "type"), "local"))
			return slu_fail(e, EINVAL, "compute '%s' runs Spark steps, not commands",
					name);
		entry = NULL;
	}
	c.fallback = name && !entry && !builtin;
	if (!entry) {
		name = default_name(s, c.spark);
		entry = name ? slu_json_get(computes(s), name) : NULL;
	}
	int r = read_entry(s, name ? name : c.spark ? "spark" : "local", entry, &c, e);
	if (r < 0)
		slu_compute_done(&c);
	else
		*ret = c;
	return r;
}

int slu_compute_prepare(struct slu_task *t, struct slu_err *e)
{
	return t->compute.spark ? slu_compute_spark(t, e) : slu_compute_local(t, e);
}

char *slu_compute_program(const struct slu_task *t, const char *name)
{
	const char *p = slu_env_get(t->env, "PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? slu_strdup(name) : NULL;
	while (p && *p) {
		size_t n = strcspn(p, ":");
		SLU_AUTO(slu_freep) char *path = slu_asprintf("%.*s/%s", (int)n, p, name);

		if (path && path[0] == '/' && access(path, X_OK) == 0)
			return slu_take(path);
		p += n + (p[n] == ':');
	}
	return NULL;
}
