/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys jobs, steps and components have, as in the published schemas of the CLI v2, and what
 * becomes of those that mean nothing here: noted once where that is harmless, else refused.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <strings.h>

/* clang-format off */
#define COMMON_KEYS                                                                                \
	"$schema", "type", "name", "version", "display_name", "description", "experiment_name", "tags", \
	"properties", "code", "environment", "environment_variables", "inputs", "outputs", "compute", \
	"component", "depends_on", "resources", "limits", "identity", "services", "is_deterministic",           \
	"queue_settings", "job_tier", "comment", "id", "status", "creation_context", "log_files",  \
	"parameters", "parent_job_name", "auto_delete_setting", "intellectual_property"
#define COMMAND_KEYS "command", "distribution", "additional_includes", "retry_settings"
#define SPARK_KEYS                                                                                 \
	"entry", "py_files", "jars", "files", "archives", "conf", "args", "driver_cores",          \
	"driver_memory", "executor_cores", "executor_memory", "executor_instances", "num_executors", \
	"dynamic_allocation_enabled", "dynamic_allocation_min_executors",                         \
	"dynamic_allocation_max_executors", "additional_includes", "retry_settings"
/* clang-format on */

static const char *const command_keys[] = {COMMON_KEYS, COMMAND_KEYS, NULL};
static const char *const spark_keys[] = {COMMON_KEYS, SPARK_KEYS, NULL};
static const char *const all_keys[] = {COMMON_KEYS, COMMAND_KEYS, SPARK_KEYS,
				       "jobs",      "settings",   NULL};

/* Keys of the public schemas that say nothing that runs here differently. */
static const struct {
	const char *key, *why;
} idle_keys[] = {
	{"resources", "a step takes what its compute has"},
	{"services", "no service is started beside a step"},
	{"queue_settings", "there is no queue of jobs"},
	{"job_tier", "there is no queue of jobs"},
	{"properties", "nothing reads them"},
	{"auto_delete_setting", "nothing is deleted by itself"},
	{"intellectual_property", "nothing is published"},
	{"id", "it was written by Azure ML"},
	{"status", "it was written by Azure ML"},
	{"creation_context", "it was written by Azure ML"},
	{"log_files", "it was written by Azure ML"},
	{"parameters", "it was written by Azure ML"},
	{"parent_job_name", "it was written by Azure ML"},
};

bool spec_in_list(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (slu_streq(*list, s))
			return true;
	return false;
}

int spec_note_idle(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		   struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < sizeof idle_keys / sizeof *idle_keys && r == 0; i++)
		if (slu_json_get(o, idle_keys[i].key))
			r = spec_note(c, f, o, idle_keys[i].key, idle_keys[i].why, e);
	return r;
}

int spec_step_keys(const struct spec_file *f, const struct json_t *o, enum slu_job_kind kind,
		   struct slu_err *e)
{
	const char *const *own = kind == SLU_JOB_SPARK ? spark_keys : command_keys;
	int r = slu_yaml_known_keys(f->yaml, o, all_keys, e);

	for (void *it = slu_json_iter(o); it && r == 0; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it);

		if (!spec_in_list(own, key))
			r = slu_yaml_fail(f->yaml, o, key, e,
					  "'%s' is no key of type %s; a job that has it says "
					  "'type: %s'",
					  key, slu_job_kind_name(kind),
					  spec_in_list(command_keys, key) ? "command"
					  : spec_in_list(spark_keys, key) ? "spark"
									  : "pipeline");
	}
	if (r == 0 && slu_json_count(slu_json_get(o, "additional_includes")))
		r = slu_yaml_fail(f->yaml, o, "additional_includes", e,
				  "'additional_includes' is not supported: put the files into the "
				  "code folder, or name the folder above it all as 'code'");
	return r;
}

int spec_override_keys(const struct spec_file *f, const struct json_t *o, enum slu_job_kind kind,
		       struct slu_err *e)
{
	static const char *const replaced[] = {"code",  "command",  "entry", "py_files", "jars",
					       "files", "archives", "args",  "jobs",     NULL};
	int r = slu_yaml_known_keys(f->yaml, o, all_keys, e);

	for (void *it = slu_json_iter(o); it && r == 0; it = slu_json_next(o, it)) {
		const char *key = slu_json_iter_key(it);

		if (spec_in_list(replaced, key))
			r = slu_yaml_fail(f->yaml, o, key, e,
					  "'%s' stands in the component, not beside it", key);
		else if (!spec_in_list(kind == SLU_JOB_SPARK ? spark_keys : command_keys, key))
			r = slu_yaml_fail(f->yaml, o, key, e,
					  "'%s' is no key of a step whose component is of type %s",
					  key, slu_job_kind_name(kind));
	}
	return r;
}

int spec_nested_keys(const struct spec_file *f, const struct json_t *o, struct slu_err *e)
{
	static const char *const more[] = {COMMON_KEYS, "jobs", "settings", NULL};

	return slu_yaml_known_keys(f->yaml, o, more, e);
}

/* --- distribution --- */

static int small_int(const struct spec_file *f, const struct json_t *o, const char *key,
		     int64_t dflt, int64_t *ret, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, key);

	if (!v || slu_json_is_null(v)) {
		*ret = dflt;
		return 0;
	}
	if (!slu_json_is_int(v) || slu_json_integer(v) < 0)
		return slu_yaml_fail(f->yaml, o, key, e, "'%s' is a whole number", key);
	*ret = slu_json_integer(v);
	return 0;
}

static int only_one(const struct spec_file *f, const struct json_t *o, const char *key,
		    struct slu_err *e)
{
	int64_t n;
	int r = small_int(f, o, key, 1, &n, e);

	if (r == 0 && n != 1)
		r = slu_yaml_fail(f->yaml, o, key, e,
				  "a command runs here as one process, not %lld: say '%s: 1'",
				  (long long)n, key);
	return r;
}

/* What a launcher of one process would tell it. */
static int alone(struct slu_spec_step *s, struct slu_err *e)
{
	static const struct {
		const char *name, *value;
	} vars[] = {{"RANK", "0"},       {"LOCAL_RANK", "0"},       {"NODE_RANK", "0"},
		    {"WORLD_SIZE", "1"}, {"LOCAL_WORLD_SIZE", "1"}, {"MASTER_ADDR", "127.0.0.1"},
		    {"MASTER_PORT", "0"}};

	if (!s->env && !(s->env = slu_json_object()))
		return slu_fail_oom(e);
	for (size_t i = 0; i < sizeof vars / sizeof *vars; i++)
		if (!slu_json_get(s->env, vars[i].name) &&
		    slu_json_set_str(s->env, vars[i].name, vars[i].value) < 0)
			return slu_fail_oom(e);
	return 0;
}

static int instances(const struct spec_file *f, const struct json_t *o, struct slu_err *e)
{
	const struct json_t *res = slu_json_get(o, "resources");

	return slu_json_is_object(res) ? only_one(f, res, "instance_count", e) : 0;
}

static int one_process(const struct spec_file *f, const struct json_t *o, const struct json_t *v,
		       struct slu_err *e)
{
	static const char *const keys[] = {"type", "process_count_per_instance",
					   "parameter_server_count", "worker_count", NULL};
	int64_t servers = 0;
	int r;

	if ((r = slu_yaml_known_keys(f->yaml, v, keys, e)) < 0 ||
	    (r = only_one(f, v, "process_count_per_instance", e)) < 0 ||
	    (r = only_one(f, v, "worker_count", e)) < 0 || (r = instances(f, o, e)) < 0 ||
	    (r = small_int(f, v, "parameter_server_count", 0, &servers, e)) < 0)
		return r;
	return servers ? slu_yaml_fail(f->yaml, v, "parameter_server_count", e,
				       "there are no parameter servers here: say "
				       "'parameter_server_count: 0'")
		       : 0;
}

int spec_distribution(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      struct slu_spec_step *s, struct slu_err *e)
{
	static const char *const types[] = {"pytorch", "mpi", "tensorflow", NULL};
	const struct json_t *v = slu_json_get(o, "distribution");
	SLU_AUTO(slu_freep) char *type = NULL;
	int r;

	if (!v || slu_json_is_null(v))
		return 0;
	if (!slu_json_is_object(v))
		return slu_yaml_fail(f->yaml, o, "distribution", e, "'distribution' is a map");
	if ((r = spec_word(f, v, "type", &type, e)) < 0)
		return r;
	if (!type || !spec_in_list(types, type))
		return slu_yaml_fail(f->yaml, v, type ? "type" : NULL, e,
				     "a distribution of type '%s' is not supported: pytorch, mpi "
				     "or tensorflow with one process are",
				     type ? type : "");
	r = one_process(f, o, v, e);
	if (r == 0 && slu_streq(type, "pytorch"))
		r = alone(s, e);
	return r < 0 ? r : spec_note(c, f, o, "distribution", "the command is one process", e);
}
