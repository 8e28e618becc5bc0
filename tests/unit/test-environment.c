/* SPDX-License-Identifier: Apache-2.0 */
/* Environments: what a definition may be, what pip gets of a conda file, and what is refused. */
#include "tests/unit/job.h"

#include "common/yaml.h"
#include "job/environment.h"
#include "job/task.h"

static void conda(const char *dependency, const char *want, const char *want_python)
{
	SLU_AUTO(slu_freep) char *line = NULL, *python = NULL;
	struct slu_err e = {0};

	if (slu_conda_to_pip(dependency, &line, &python, &e) < 0)
		fail_msg("%s: %s", dependency, e.msg);
	if (want)
		assert_string_equal(line, want);
	else
		assert_null(line);
	if (want_python)
		assert_string_equal(python, want_python);
	else
		assert_null(python);
}

static void no_conda(const char *dependency)
{
	SLU_AUTO(slu_freep) char *line = NULL, *python = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_conda_to_pip(dependency, &line, &python, &e), -ENOTSUP);
	assert_null(line);
	assert_contains(e.msg, "'");
}

static void test_conda_to_pip(void **state)
{
	(void)state;
	conda("numpy", "numpy", NULL);
	conda("numpy=1.21", "numpy==1.21.*", NULL);
	conda("numpy=1.21.*", "numpy==1.21.*", NULL);
	conda("numpy==1.21.0", "numpy==1.21.0", NULL);
	conda("numpy=1.21.2=py39h20f2e39_0", "numpy==1.21.2", NULL);
	conda("numpy 1.21", "numpy==1.21", NULL);
	conda("numpy 1.21.2 py39_0", "numpy==1.21.2", NULL);
	conda("Pandas >=1.0,<2", "pandas>=1.0,<2", NULL);
	conda("conda-forge::pytorch>=2", "torch>=2", NULL);
	conda("python=3.8", NULL, "3.8");
	conda("python==3.10.4", NULL, "3.10.4");
	conda("python=3.9.*", NULL, "3.9");
	conda("python>=3.8", NULL, NULL);
	conda("pip=23", NULL, NULL);
	no_conda("cudatoolkit=11.3");
	no_conda("r-base");
	no_conda("_libgcc_mutex=0.1");
	no_conda("numpy[version='>=1']");
	no_conda("numpy=1.1|1.2");
}

/* `environment:` with this text behind it. */
static int read_env(const struct unit_dir *d, const char *text, struct json_t **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_freep) char *all = slu_asprintf("environment:%s\n", text);

	*e = (struct slu_err){0};
	assert_int_equal(slu_yaml_parse(all, strlen(all), "job.yml", &y, e), 0);
	return slu_environment_read(y, slu_yaml_root(y), "environment", d->path, ret, e);
}

static void reads(const struct unit_dir *d, const char *text, const char *want)
{
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	SLU_AUTO(slu_freep) char *got = NULL;
	struct slu_err e;

	if (read_env(d, text, &def, &e) < 0)
		fail_msg("%s", e.msg);
	got = slu_json_text(def, SLU_JSON_CANONICAL);
	assert_string_equal(got, want);
}

static void refuses(const struct unit_dir *d, const char *text, const char *why)
{
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	struct slu_err e;

	assert_true(read_env(d, text, &def, &e) < 0);
	assert_null(def);
	assert_contains(e.msg, "job.yml:");
	assert_contains(e.msg, why);
}

static void test_forms(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "req/more.txt", "six # comment\n\n# none\n-r deep.txt\r\n");
	job_write(&d, "req/deep.txt", "attrs>=1\n");
	job_write(&d, "req/loop.txt", "-r loop.txt\n");
	job_write(&d, "conda.yml",
		  "name: c\nchannels: [conda-forge]\ndependencies:\n- numpy\n"
		  "- pip:\n  - -r req/more.txt\n  - x==1\n");
	job_write(&d, "env.yml", "name: e\nversion: 3\nimage: i:1\nconda_file: conda.yml\n");
	reads(&d, " [a, -r req/more.txt]", "{\"pip\":[\"a\",\"six\",\"attrs>=1\"]}");
	reads(&d, " req/deep.txt", "{\"pip\":[\"attrs>=1\"]}");
	reads(&d, " conda.yml",
	      "{\"conda\":{\"channels\":[\"conda-forge\"],\"dependencies\":[\"numpy\",{\"pip\":[\"six\","
	      "\"attrs>=1\",\"x==1\"]}]},\"name\":\"c\"}");
	reads(&d, " file:./env.yml",
	      "{\"conda\":{\"channels\":[\"conda-forge\"],\"dependencies\":[\"numpy\",{\"pip\":[\"six\","
	      "\"attrs>=1\",\"x==1\"]}]},\"image\":\"i:1\",\"name\":\"e\",\"version\":\"3\"}");
	reads(&d, "\n  conda_file:\n    dependencies: [a]",
	      "{\"conda\":{\"dependencies\":[\"a\"]}}");
	reads(&d, " azureml:AzureML-sklearn-1.0@latest", "{\"ref\":\"AzureML-sklearn-1.0\"}");
	reads(&d, " azureml://registries/azureml/environments/sk/versions/1", "{\"ref\":\"sk\"}");
	reads(&d, " docker.io/library/python:3.8", "{\"image\":\"docker.io/library/python:3.8\"}");
	refuses(&d, " nothing", "azureml:nothing");
	refuses(&d, " gone.yml", "gone.yml");
	refuses(&d, "\n  imagee: x", "image");
	refuses(&d, "\n  image: --privileged", "no image");
	refuses(&d, " -v:/x", "no image");
	refuses(&d, "\n  name: x", "conda_file");
	refuses(&d, " req/loop.txt", "names itself");
	refuses(&d, " [./mine]", "local folder");
	refuses(&d, " [--index-url https://me:secret@host/simple]", "pip.conf");
	refuses(&d, "\n  conda_file: {dependencies: [{a: b}]}", "pip");
	refuses(&d, "\n  conda_file: {dependencies: [a], channels: [\"https://me:secret@host/c\"]}",
		".condarc");
	refuses(&d, "\n  conda_file: {dependencies: [a], channels: [\"https://host/t/secret/c\"]}",
		".condarc");
	refuses(&d, "\n  conda_file: {dependencies: [\"a\\n--index-url x\"]}", "one line");
	refuses(&d, "\n  conda_file: {dependencies: [a], channels: c}", "list");
	unit_dir_done(&d);
}

static void test_secrets_are_not_told(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	struct unit_dir d;
	struct slu_err e;

	(void)state;
	unit_dir_make(&d);
	assert_true(read_env(&d, " [p @ https://me:secret@host/p.whl]", &def, &e) < 0);
	assert_lacks(e.msg, "secret");
	unit_dir_done(&d);
}

/* Files that requirements name are in the definition, whatever way they are named. */
static void test_constraints(void **state)
{
	struct unit_dir d;
	SLU_AUTO(slu_freep) char *links = NULL;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "c.txt", "six<2 # why\n-r d.txt\n");
	job_write(&d, "d.txt", "attrs<24\n");
	job_write(&d, "more.txt", "-c c.txt\nattrs\n");
	job_write(&d, "loop.txt", "-c loop.txt\n");
	job_write(&d, "e.txt", "six==1.16\n");
	reads(&d, " [-c c.txt, six]",
	      "{\"constraints\":[\"six<2\",\"attrs<24\"],\"pip\":[\"-c constraints.txt\",\"six\"]}");
	reads(&d, " [--constraint=c.txt, six, '--constraint  \"e.txt\"']",
	      "{\"constraints\":[\"six<2\",\"attrs<24\",\"six==1.16\"],"
	      "\"pip\":[\"-c constraints.txt\",\"six\"]}");
	reads(&d, " [--requirement=more.txt, -re.txt, -cd.txt]",
	      "{\"constraints\":[\"six<2\",\"attrs<24\",\"attrs<24\"],"
	      "\"pip\":[\"-c constraints.txt\",\"attrs\",\"six==1.16\"]}");
	reads(&d, " {conda_file: {dependencies: [python, {pip: [-r more.txt]}]}}",
	      "{\"conda\":{\"constraints\":[\"six<2\",\"attrs<24\"],\"dependencies\":[\"python\","
	      "{\"pip\":[\"-c constraints.txt\",\"attrs\"]}]}}");
	refuses(&d, " [-c nosuch.txt]", "nosuch.txt");
	refuses(&d, " [-c loop.txt]", "names itself");
	refuses(&d, " ['-c https://host/c.txt']", "save it beside this file");
	refuses(&d, " [--requirement=https://me:pw@host/r.txt]", "what is named");
	refuses(&d, " ['--editable=.']", "local folder");
	assert_int_equal(mkdirat(d.fd, "wheels", 0700), 0);
	links = slu_asprintf("{\"pip\":[\"--find-links %s/wheels\",\"-f https://host/x\"]}",
			     d.path);
	reads(&d, " [--find-links=wheels, -f https://host/x]", links);
	unit_dir_done(&d);
}

/* As `sluice environment build FILE` names it: what it names is beside it. */
static void test_relative_file(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *def = NULL;
	SLU_AUTO(slu_freep) char *got = NULL;
	SLU_AUTO(slu_closep) int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unit_dir d;
	struct slu_err e = {0};

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "all.txt", "six\n-r more.txt\n");
	job_write(&d, "more.txt", "attrs\n");
	assert_int_equal(fchdir(d.fd), 0);
	int r = slu_environment_read_file("all.txt", &def, &e);

	assert_int_equal(fchdir(before), 0);
	if (r < 0)
		fail_msg("%s", e.msg);
	got = slu_json_text(def, SLU_JSON_CANONICAL);
	assert_string_equal(got, "{\"pip\":[\"six\",\"attrs\"]}");
	unit_dir_done(&d);
}

/* A folder that is PATH, with these programs that do nothing, well. */
static struct slu_env *machine(const struct unit_dir *d, const char *const *programs)
{
	struct sluice *s = NULL;
	struct slu_env *env = NULL;
	struct slu_err e = {0};

	for (; *programs; programs++) {
		job_write(d, *programs, "#!/bin/sh\nexit 0\n");
		assert_int_equal(fchmodat(d->fd, *programs, 0755, 0), 0);
	}
	assert_int_equal(slu_context_new(NULL, &s, &e), 0);
	assert_int_equal(slu_env_new(s, &env, &e), 0);
	assert_int_equal(slu_env_set(env, "PATH", d->path), 0);
	assert_int_equal(slu_env_set(env, "AZUREML_RUN_ID", "x"), 0);
	slu_context_free(s);
	return env;
}

static void plan(const char *def, bool spark, const struct slu_env *env,
		 struct slu_environment_plan *ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_err e = {0};

	assert_int_equal(slu_json_parse(def, strlen(def), "def", &o, &e), 0);
	if (slu_environment_plan(o, spark, env, ret, &e) < 0)
		fail_msg("%s", e.msg);
}

static const char *note(const struct slu_environment_plan *p, size_t i)
{
	return slu_json_string(slu_json_at(p->notes, i));
}

#define CONDA                                                                                      \
	"{\"name\":\"n\",\"conda\":{\"dependencies\":[\"python=3.9\",\"numpy=1.2\",{\"pip\":["     \
	"\"azureml-core>=1.20.0\",\"six\"]}]}}"

static void test_plans(void **state)
{
	static const char *const none[] = {NULL}, *const mamba[] = {"mamba", NULL},
				 *const docker[] = {"docker", NULL};
	SLU_AUTO(slu_json_freep) struct json_t *image = NULL;
	SLU_AUTO(slu_env_freep) struct slu_env *bare = NULL, *conda_env = NULL, *boxes = NULL;
	struct slu_environment_plan p;
	struct unit_dir d[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		unit_dir_make(&d[i]);
	bare = machine(&d[0], none);
	conda_env = machine(&d[1], mamba);
	boxes = machine(&d[2], docker);
	plan(CONDA, false, bare, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_VENV);
	assert_string_equal(p.text, "numpy==1.2.*\nsix\n");
	assert_string_equal(p.python, "3.9");
	assert_int_equal(slu_json_count(p.notes), 2);
	assert_contains(note(&p, 0), "numpy==1.2.*");
	assert_contains(note(&p, 1), "azureml-core");
	slu_environment_plan_done(&p);
	plan(CONDA, false, conda_env, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_CONDA);
	assert_contains(p.text, "numpy=1.2");
	slu_environment_plan_done(&p);
	plan("{\"image\":\"i:1\"}", false, bare, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_NONE);
	assert_contains(note(&p, 0), "i:1");
	slu_environment_plan_done(&p);
	plan("{\"image\":\"i:1\"}", false, boxes, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_CONTAINER);
	assert_string_equal(p.image, "i:1");
	assert_int_equal(slu_json_count(p.notes), 0);
	slu_environment_plan_done(&p);
	plan("{\"image\":\"i:1\"}", true, boxes, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_NONE);
	slu_environment_plan_done(&p);
	assert_int_equal(slu_json_parse("{\"image\":\"i\"}", 13, "", &image, NULL), 0);
	assert_true(slu_environment_image_is_lost(image, false, bare));
	assert_false(slu_environment_image_is_lost(image, false, boxes));
	for (size_t i = 0; i < 3; i++)
		unit_dir_done(&d[i]);
}

static void test_planned_constraints(void **state)
{
	static const char *const none[] = {NULL}, *const mamba[] = {"mamba", NULL};
	struct slu_environment_plan p;
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	struct slu_env *env = machine(&d, none);
	plan("{\"pip\":[\"-c constraints.txt\",\"six\"],\"constraints\":[\"six<2\",\"a<1\"]}",
	     false, env, &p);
	assert_string_equal(p.text, "-c constraints.txt\nsix\n");
	assert_string_equal(p.constraints, "six<2\na<1\n");
	slu_environment_plan_done(&p);
	slu_env_free(env);
	env = machine(&d, mamba);
	plan("{\"conda\":{\"constraints\":[\"six<2\"],\"dependencies\":[\"numpy\",{\"pip\":[\"six\"]}]}}",
	     false, env, &p);
	assert_int_equal(p.kind, SLU_ENVIRONMENT_CONDA);
	assert_lacks(p.text, "constraints");
	assert_string_equal(p.constraints, "six<2\n");
	slu_environment_plan_done(&p);
	slu_env_free(env);
	unit_dir_done(&d);
}

static void test_what_only_conda_has(void **state)
{
	static const char def[] = "{\"name\":\"n\",\"conda\":{\"dependencies\":[\"cudatoolkit=11\","
				  "\"numpy\",\"r-base\"]}}";
	static const char *const none[] = {NULL};
	SLU_AUTO(slu_env_freep) struct slu_env *bare = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	struct slu_environment_plan p;
	struct slu_err e = {0};
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	bare = machine(&d, none);
	assert_int_equal(slu_json_parse(def, strlen(def), "def", &o, &e), 0);
	assert_failed(slu_environment_plan(o, false, bare, &p, &e), e, ENOTSUP,
		      "cudatoolkit=11, r-base");
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conda_to_pip),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_secrets_are_not_told),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_planned_constraints),
		cmocka_unit_test(test_what_only_conda_has),
		cmocka_unit_test(test_constraints),
		cmocka_unit_test(test_relative_file),
	};

	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
