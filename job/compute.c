/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which compute a step runs on, and what its entry in config.json may say.  How it runs there is in compute_local.c,
 * compute_spark.c and compute_livy.c.
 */
#include "job/compute.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "job/task.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { SLOTS_MAX = 999 };

static const char *const common_keys[] = {
	"type",      "description", "slots",    "max_nodes", "max_instances", "tags",
	"location",  "conf",        "cores",    "memory",    "node_cores",    "node_memory",
	"node_size", "node_count",  "identity", NULL};
static const char *const local_keys[] = {"python",
					 "min_nodes",
					 "min_instances",
					 "size",
					 "vm_size",
					 "tier",
					 "vm_priority",
					 "idle_time_before_scale_down",
					 "idle_seconds_before_scaledown",
					 "resource_id",
					 NULL};
static const char *const spark_keys[] = {"python", "master", "spark_home", NULL};
static const char *const livy_keys[] = {"url",       "auth",        "user",
					"password",  "token",       "credential",
					"log",       "proxy_user",  "queue",
					"staging",   "ca_file",     "send_secrets",
					"principal", "keytab",      "linked_service",
					"pool",      "resource_id", "audience",
					"attached",  "mode",        "session_timeout",
					"on_demand", NULL};

static const struct type {
	const char *name;
	enum slu_compute_kind kind;
	const char *const *keys;
} types[] = {
	{"local", SLU_COMPUTE_LOCAL, local_keys},
	{"amlcompute", SLU_COMPUTE_LOCAL, local_keys},
	{"computeinstance", SLU_COMPUTE_LOCAL, local_keys},
	{"virtualmachine", SLU_COMPUTE_LOCAL, local_keys},
	{"kubernetes", SLU_COMPUTE_LOCAL, local_keys},
	{"spark", SLU_COMPUTE_SPARK, spark_keys},
	{"livy", SLU_COMPUTE_LIVY, livy_keys},
	{"synapsespark", SLU_COMPUTE_LIVY, livy_keys},
};

/* Nodes of a pool as Synapse sells them: cores, GB. */
static const struct {
	const char *name;
	uint64_t cores, gb;
} node_sizes[] = {
	{"Small", 4, 32},    {"Medium", 8, 64},    {"Large", 16, 128},
	{"XLarge", 32, 256}, {"XXLarge", 64, 432}, {"XXXLarge", 80, 504},
};

void slu_compute_done(struct slu_compute *c)
{
	free(c->name);
	free(c->python);
	free(c->master);
	free(c->spark_home);
	slu_json_free(c->conf);
	slu_json_free(c->livy);
	*c = (struct slu_compute){0};
}

static const struct type *find_type(const char *name)
{
	for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
		if (strcasecmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

bool slu_compute_type(const char *type, enum slu_compute_kind *ret)
{
	const struct type *t = find_type(type);

	if (t)
		*ret = t->kind;
	return t != NULL;
}

static const struct json_t *computes(struct sluice *s)
{
	const struct slu_workspace *w = slu_context_workspace(s);

	return w ? slu_json_get(w->config, "computes") : NULL;
}

static bool is_spark(const struct json_t *entry)
{
	const struct type *t = find_type(slu_json_str(entry, "type"));

	return t && t->kind != SLU_COMPUTE_LOCAL;
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

/* --- entries --- */

static bool in_list(const char *const *list, const char *key, const char **near)
{
	for (; *list; list++) {
		if (slu_streq(*list, key))
			return true;
		*near = slu_nearer(key, *near, *list);
	}
	return false;
}

/* A value of another kind would be taken for none. */
static int check_values(const char *name, const struct json_t *o, struct slu_err *e)
{
	static const char *const counts[] = {"slots", "max_nodes", "max_instances"};
	static const char *const texts[] = {"python", "master", "spark_home", "url"};
	const struct json_t *conf = slu_json_get(o, "conf");

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_json_get(o, texts[i]) && !slu_json_str(o, texts[i]))
			return slu_fail(e, EINVAL, "compute '%s': \"%s\" is a text", name,
					texts[i]);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		const struct json_t *v = slu_json_get(o, counts[i]);

		if (v && (!slu_json_is_int(v) || slu_json_integer(v) < 1 ||
			  slu_json_integer(v) > SLOTS_MAX))
			return slu_fail(e, EINVAL, "compute '%s': \"%s\" is a number from 1 to %d",
					name, counts[i], SLOTS_MAX);
	}
	if (conf && !slu_json_is_object(conf))
		return slu_fail(e, EINVAL,
				"compute '%s': \"conf\" holds settings of Spark by name; on the "
				"command line --set conf.NAME=VALUE",
				name);
	return 0;
}

static int check_entry(const char *name, const struct json_t *o, struct slu_err *e)
{
	const struct type *t = find_type(slu_json_str(o, "type"));

	if (!slu_json_is_object(o) || !t)
		return slu_fail(e, EINVAL,
				"compute '%s' in config.json has no type that this build runs: use "
				"\"local\", \"spark\", \"livy\" or \"synapsespark\"",
				name);
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it), *near = NULL;

		if (!in_list(common_keys, key, &near) && !in_list(t->keys, key, &near))
			return slu_fail(e, EINVAL,
					"compute '%s' in config.json has an unknown key '%s'%s%s%s",
					name, key, near ? " (is '" : "", near ? near : "",
					near ? "' meant?)" : "");
	}
	return check_values(name, o, e);
}

static int read_node(const char *name, const char *size, struct slu_compute_room *r,
		     struct slu_err *e)
{
	for (size_t i = 0; i < sizeof node_sizes / sizeof *node_sizes; i++)
		if (strcasecmp(size, node_sizes[i].name) == 0) {
			r->node_cores = node_sizes[i].cores;
			r->node_memory = node_sizes[i].gb << 30;
			return 0;
		}
	return slu_fail(e, EINVAL,
			"compute '%s': \"node_size\" is Small, Medium, Large, XLarge, XXLarge or "
			"XXXLarge, not '%s'",
			name, size);
}

/* Numbers of cores, and memory as Spark writes it or in GB. */
static int read_room(const char *name, const struct json_t *o, struct slu_compute_room *r,
		     struct slu_err *e)
{
	const char *size = slu_json_str(o, "node_size");
	const char *const keys[] = {"memory", "node_memory"};
	uint64_t *const to[] = {&r->memory, &r->node_memory};
	int64_t count = slu_json_int(o, "node_count", 0);

	r->cores = (uint64_t)slu_json_int(o, "cores", 0);
	r->node_cores = (uint64_t)slu_json_int(o, "node_cores", 0);
	for (size_t i = 0; i < 2; i++) {
		const struct json_t *v = slu_json_get(o, keys[i]);

		if (slu_json_is_int(v) && slu_json_integer(v) > 0)
			*to[i] = (uint64_t)slu_json_integer(v) << 30;
		else if (v && !slu_compute_memory(slu_json_string(v), 1 << 30, to[i]))
			return slu_fail(e, EINVAL,
					"compute '%s': \"%s\" is memory, such as \"28g\"", name,
					keys[i]);
	}
	int rc = size ? read_node(name, size, r, e) : 0;
	if (rc < 0 || count <= 0 || count >= 100000)
		return rc;
	r->cores = r->cores ? r->cores : r->node_cores * (uint64_t)count;
	r->memory = r->memory ? r->memory : r->node_memory * (uint64_t)count;
	return 0;
}

int slu_compute_check(const struct slu_workspace *w, const char *name, const struct json_t *entry,
		      struct slu_err *e)
{
	const struct type *t = find_type(slu_json_str(entry, "type"));
	SLU_AUTO(slu_json_freep) struct json_t *livy = NULL;
	struct slu_compute_room room = {0};
	int r = check_entry(name, entry, e);

	if (r == 0)
		r = read_room(name, entry, &room, e);
	return r < 0 || t->kind != SLU_COMPUTE_LIVY ? r
						    : slu_compute_livy(w, name, entry, &livy, e);
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

/* Steps at a time: a cluster has them in its own queue, this machine as many as cores. */
static unsigned read_slots(const struct json_t *o, const struct slu_compute *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t slots = slu_json_int(
		o, "slots", slu_json_int(o, "max_nodes", slu_json_int(o, "max_instances", 0)));

	if (slots > 0 && slots <= SLOTS_MAX)
		return (unsigned)slots;
	return c->kind == SLU_COMPUTE_LIVY ? 64 : cores > 1 ? (unsigned)cores : 1;
}

static int read_entry(struct sluice *s, const char *name, const struct json_t *o,
		      struct slu_compute *c, struct slu_err *e)
{
	int r = o ? check_entry(name, o, e) : 0;

	if (r < 0 || (r = read_room(name, o, &c->room, e)) < 0)
		return r;
	if (o)
		c->kind = find_type(slu_json_str(o, "type"))->kind;
	c->slots = read_slots(o, c);
	c->name = slu_strdup(name);
	if (!c->name || copy(o, "python", &c->python) < 0 || copy(o, "master", &c->master) < 0 ||
	    copy(o, "spark_home", &c->spark_home) < 0)
		return slu_fail_oom(e);
	if (slu_json_is_object(slu_json_get(o, "conf")))
		c->conf = slu_json_ref(slu_json_get(o, "conf"));
	if (c->kind == SLU_COMPUTE_LIVY)
		return slu_compute_livy(slu_context_workspace(s), name, o, &c->livy, e);
	if (!c->master && !(c->master = slu_strdup("local[*]")))
		return slu_fail_oom(e);
	return absolute_python(s, c, e);
}

/* A Spark step on a compute for commands falls back; a command cannot run where only Spark does. */
static int check_kind(const char *name, bool spark, const struct json_t **entry, struct slu_err *e)
{
	if (!*entry || is_spark(*entry) == spark)
		return 0;
	if (!spark || !find_type(slu_json_str(*entry, "type")))
		return slu_fail(e, EINVAL, "compute '%s' runs Spark steps, not commands", name);
	*entry = NULL;
	return 0;
}

int slu_compute_find(struct sluice *s, const char *name, enum slu_job_kind kind,
		     struct slu_compute *ret, struct slu_err *e)
{
	bool spark = kind == SLU_JOB_SPARK;
	struct slu_compute c = {.kind = spark ? SLU_COMPUTE_SPARK : SLU_COMPUTE_LOCAL};
	const struct json_t *entry = name ? slu_json_get(computes(s), name) : NULL;

	const char *plain = spark ? "spark" : "local";
	bool builtin = name && slu_streq(name, plain); /* these need no entry */
	int r = check_kind(name, spark, &entry, e);

	if (r < 0)
		return r;
	c.fallback = name && !entry && !builtin;
	if (!entry) {
		name = default_name(s, spark);
		entry = name ? slu_json_get(computes(s), name) : NULL;
	}
	r = read_entry(s, name ? name : plain, entry, &c, e);
	if (r < 0)
		slu_compute_done(&c);
	else
		*ret = c;
	return r;
}

bool slu_compute_is_remote(const struct slu_compute *c)
{
	return c->kind == SLU_COMPUTE_LIVY ||
	       (c->kind == SLU_COMPUTE_SPARK && !slu_starts(c->master, "local"));
}

int slu_compute_prepare(struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *sizes = NULL;
	int r = slu_compute_sizes(&t->compute, &t->spec, &sizes, e);

	if (r < 0)
		return r;
	if (t->compute.kind == SLU_COMPUTE_LOCAL)
		return slu_compute_local(t, e);
	return t->compute.kind == SLU_COMPUTE_LIVY ? slu_compute_batch(t, e)
						   : slu_compute_spark(t, e);
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
