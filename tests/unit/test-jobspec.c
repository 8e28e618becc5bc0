/* SPDX-License-Identifier: Apache-2.0 */
/* Job files: what is understood, and every mistake with its line. */
#include "tests/unit/corpus.h"
#include "tests/unit/job.h"

#define LLVMFuzzerTestOneInput fuzz_jobspec
#include "tests/fuzz/fuzz-jobspec.c"
#undef LLVMFuzzerTestOneInput
#include "job/graph.h"

#include "dataset/workspace.h"

#include <locale.h>

static void free_job(struct slu_job **j)
{
	slu_job_free(*j);
}

static struct slu_job *good(const struct unit_dir *d, const char *text)
{
	struct slu_job *j = NULL;
	struct slu_err e;

	if (job_read(d, text, NULL, &j, &e) < 0)
		fail_msg("%s", e.msg);
	return j;
}

static void bad(const struct unit_dir *d, const char *text, const char *where, const char *why)
{
	struct slu_job *j = NULL;
	struct slu_err e;
	int r = job_read(d, text, NULL, &j, &e);

	if (r != -EINVAL && r != -EBADMSG)
		fail_msg("%d %s: %s", r, e.msg, text);
	assert_null(j);
	assert_contains(e.msg, "job.yml:");
	assert_contains(e.msg, where);
	assert_contains(e.msg, why);
}

/* As run.json keeps a step, and back. */
static void check_json(const struct slu_spec_step *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_spec_step_json(s), *again = NULL;
	struct slu_spec_step copy;
	struct slu_err e = {0};

	assert_int_equal(slu_spec_step_from_json(o, &copy, &e), 0);
	again = slu_spec_step_json(&copy);
	assert_true(slu_json_equal(o, again));
	slu_spec_step_done(&copy);
}

static void check_command(const struct slu_job *j)
{
	const struct slu_spec_step *s = &j->steps[0];

	assert_int_equal(j->kind, SLU_JOB_COMMAND);
	assert_string_equal(j->name, "my_job_");
	assert_string_equal(j->experiment, "exp");
	assert_int_equal(j->nsteps, 1);
	assert_true(slu_ends(s->code, "/src") && s->code[0] == '/');
	assert_string_equal(s->compute, "cpu");
	assert_int_equal(s->timeout, 60);
	assert_string_equal(slu_json_str(s->env, "A"), "1");
	assert_int_equal(s->nin, 8);
	assert_int_equal(s->in[0].mode, SLU_MODE_DOWNLOAD);
	assert_true(s->in[0].ref[0] == '/' && slu_ends(s->in[0].ref, "/data"));
	assert_contains(s->in[0].where, "job.yml:14:3");
	assert_int_equal(s->in[1].mode, SLU_MODE_MOUNT);
	assert_true(s->in[1].ref[0] == '/');
	assert_string_equal(s->in[2].ref, "azureml:t:1");
	assert_int_equal(s->in[2].mode, SLU_MODE_DIRECT);
	assert_string_equal(s->in[3].literal, "5");
	assert_string_equal(s->in[4].literal, "True");
	assert_string_equal(s->in[5].literal, "0.1");
	assert_string_equal(s->in[6].literal, "1.0");
	assert_null(s->in[7].literal);
	assert_null(s->in[7].ref);
	assert_int_equal(s->out[0].mode, SLU_MODE_UPLOAD);
	assert_string_equal(s->out[0].register_as, "made");
	assert_string_equal(s->out[1].type, "uri_folder");
	/* Only what has no effect is noted, once each. */
	assert_int_equal(slu_json_count(j->notes), 0);
	assert_string_equal(slu_json_str(s->environment, "ref"), "env");
}

static void test_command(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/main.py", "");
	job_write(&d, "data/x.csv", "");
	SLU_AUTO(free_job)
	struct slu_job *j =
		good(&d, "$schema: x\n"
			 "type: command\n"
			 "name: My Job!\n"
			 "display_name: shown\n"
			 "experiment_name: exp\n"
			 "tags: {a: b}\n"
			 "code: ./src\n"
			 "command: python main.py ${{inputs.d}} ${{inputs.n}} ${{outputs.o}}\n"
			 "environment: azureml:env@latest\n"
			 "environment_variables: {A: 1, B: '${{inputs.n}}'}\n"
			 "compute: azureml:cpu\n"
			 "limits: {timeout: 60}\n"
			 "inputs:\n"
			 "  d: {type: uri_folder, path: ./data, mode: download}\n"
			 "  e: {path: data/x.csv}\n"
			 "  f: {type: uri_file, path: 'azureml:t:1', mode: direct}\n"
			 "  n: 5\n"
			 "  yes: true\n"
			 "  r: 0.1\n"
			 "  s: 1.0\n"
			 "  opt: {type: uri_file, optional: true}\n"
			 "outputs:\n"
			 "  o: {type: uri_folder, name: made, description: t, tags: {k: v}}\n"
			 "  p:\n");

	check_command(j);
	check_json(&j->steps[0]);
	unit_dir_done(&d);
}

#define SPARK                                                                                      \
	"type: spark\ncode: ./src\nentry: {file: main.py}\n"                                       \
	"driver_cores: 1\ndriver_memory: 2g\nexecutor_cores: 2\nexecutor_memory: 2g\n"             \
	"executor_instances: 1\n"

static void test_spark(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "src/main.py", "");
	job_write(&d, "src/lib.zip", "");
	SLU_AUTO(free_job)
	struct slu_job *j =
		good(&d, SPARK "py_files: [lib.zip]\n"
			       "conf: {spark.x: true, spark.driver.cores: 1}\n"
			       "args: --in ${{inputs.i}} --out ${{outputs.o}}\n"
			       "inputs: {i: {type: uri_file, mode: direct, path: 's:x'}}\n"
			       "outputs: {o: {type: uri_folder, mode: direct}}\n"
			       "resources: {instance_type: x, runtime_version: '3.4'}\n"
			       "identity: {type: managed}\n");
	const struct slu_spec_step *s = &j->steps[0];

	assert_int_equal(s->kind, SLU_JOB_SPARK);
	assert_int_equal(s->in[0].mode, SLU_MODE_HDFS);
	assert_int_equal(s->out[0].mode, SLU_MODE_HDFS);
	assert_string_equal(s->spark.entry, "main.py");
	assert_string_equal(slu_json_str(s->spark.conf, "spark.executor.memory"), "2g");
	assert_string_equal(slu_json_str(s->spark.conf, "spark.x"), "true");
	assert_int_equal(slu_json_count(j->notes), 1);
	assert_string_equal(slu_json_str(j->identity, "type"), "managed_identity");

	check_json(s);

	bad(&d, SPARK "inputs: {i: {type: uri_file, mode: download, path: 's:x'}}\n",
	    ":9:", "direct");
	bad(&d, SPARK "outputs: {i: {mode: upload}}\n", ":9:", "direct");
	bad(&d, SPARK "conf: {spark.driver.cores: 4}\n", ":4:", "given twice");
	bad(&d, SPARK "conf: {cores: 4}\n", ":9:", "begin with 'spark.'");
	bad(&d, SPARK "dynamic_allocation_min_executors: 1\n", ":1:", "enabled");
	bad(&d, SPARK "dynamic_allocation_enabled: true\n", ":1:", "both minimum and maximum");
	bad(&d,
	    SPARK "dynamic_allocation_enabled: true\ndynamic_allocation_min_executors: 2\n"
		  "dynamic_allocation_max_executors: 4\n",
	    ":1:", "between minimum and maximum");
	bad(&d, SPARK "jars: [no.jar]\n", ":9:", "not in the code folder");
	bad(&d, "type: spark\ncode: ./src\nentry: {file: no.py}\n",
	    ":3:", "not in the code folder");
	bad(&d, "type: spark\ncode: ./src\nentry: {file: ../x.py}\n",
	    ":3:", "inside the code folder");
	bad(&d, "type: spark\ncode: ./src\n", ":1:", "no 'entry'");
	unit_dir_done(&d);
}

#define PIPE                                                                                       \
	"type: pipeline\n"                                                                         \
	"settings: {default_compute: azureml:big, default_datastore: azureml:other,\n"             \
	"           continue_on_step_failure: true}\n"                                             \
	"inputs:\n"                                                                                \
	"  n: 7\n"                                                                                 \
	"  d: {type: uri_folder, path: 's:dir', mode: download}\n"                                 \
	"outputs:\n"                                                                               \
	"  all: {type: uri_folder, name: final, path: 's:out'}\n"                                  \
	"jobs:\n"                                                                                  \
	"  b:\n"                                                                                   \
	"    type: command\n"                                                                      \
	"    command: x ${{inputs.got}} ${{inputs.k}} ${{outputs.o}}\n"                            \
	"    compute: azureml:own\n"                                                               \
	"    inputs:\n"                                                                            \
	"      got: {path: '${{parent.jobs.a.outputs.o}}', mode: download, type: uri_folder}\n"    \
	"      k: ${{parent.inputs.n}}\n"                                                          \
	"    outputs: {o: '${{parent.outputs.all}}'}\n"                                            \
	"  a:\n"                                                                                   \
	"    type: command\n"                                                                      \
	"    command: y ${{inputs.d}} ${{outputs.o}}\n"                                            \
	"    inputs: {d: '${{parent.inputs.d}}'}\n"                                                \
	"    outputs: {o: {type: uri_folder}}\n"

/* Order without data. */
static void test_after(void **state)
{
#define TWO(a, b)                                                                                  \
	"type: pipeline\njobs:\n  b: {command: 'true'" b "}\n  a: {command: 'true'" a "}\n"
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	struct slu_err e = {0};
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	{
		SLU_AUTO(free_job) struct slu_job *j = good(&d, TWO("", ", depends_on: [a]"));

		assert_int_equal(slu_graph_new(j->steps, j->nsteps, &g, &e), 0);
		assert_string_equal(j->steps[g->order[0]].name, "a");
		assert_int_equal(g->nneeds[g->order[1]], 1);
		check_json(&j->steps[0]);
	}
	bad(&d, TWO("", ", depends_on: [c]"), ":3:", "there is no step 'c'");
	bad(&d, TWO(", depends_on: [b]", ", depends_on: [a]"), ":", "steps wait for one another");
	bad(&d, TWO("", ", depends_on: a"), ":3:", "a list of other steps");
	bad(&d, TWO("", ", depends_on: [1]"), ":3:", "names of steps");
	bad(&d, "command: 'true'\ndepends_on: [a]\n", ":2:", "of a pipeline");
	unit_dir_done(&d);
#undef TWO
}

/* What the program gets is the dataset's id; a Spark step has the settings of the URI beside. */
static void test_id(void **state)
{
	static const char *const heads[] = {
		"command: echo ${{inputs.i}}\n",
		"type: spark\ncode: .\nentry: {file: e.py}\nargs: ${{inputs.i}}\n"};
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "e.py", "");
	for (int spark = 0; spark < 2; spark++) {
		char text[300];

		snprintf(text, sizeof text, "%sinputs: {i: {path: 's:x', mode: id}}\n",
			 heads[spark]);
		SLU_AUTO(free_job) struct slu_job *j = good(&d, text);

		assert_int_equal(j->steps[0].in[0].mode, spark ? SLU_MODE_HDFS : SLU_MODE_DIRECT);
		assert_true(j->steps[0].in[0].id);
		check_json(&j->steps[0]);
	}
	unit_dir_done(&d);
}

static void test_pipeline(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	SLU_AUTO(free_job) struct slu_job *j = good(&d, PIPE);

	assert_int_equal(j->kind, SLU_JOB_PIPELINE);
	assert_string_equal(j->name, "job");
	assert_true(j->continue_on_failure);
	assert_int_equal(j->nsteps, 2);
	const struct slu_spec_step *b = &j->steps[0], *a = &j->steps[1];

	assert_string_equal(b->compute, "own");
	assert_string_equal(a->compute, "big");
	assert_string_equal(a->datastore, "other");
	assert_string_equal(b->in[0].step, "a");
	assert_string_equal(b->in[0].output, "o");
	assert_int_equal(b->in[0].mode, SLU_MODE_DOWNLOAD);
	assert_string_equal(b->in[1].literal, "7");
	assert_string_equal(b->out[0].register_as, "final");
	assert_string_equal(b->out[0].path, "s:out");
	assert_string_equal(a->in[0].ref, "s:dir");
	assert_int_equal(a->in[0].mode, SLU_MODE_DOWNLOAD);
	unit_dir_done(&d);
}

static void test_overrides(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *over = NULL;
	struct slu_job *j = NULL;
	struct unit_dir d;
	struct slu_err e = {0};

	(void)state;
	unit_dir_make(&d);
	static const char text[] = "{\"inputs\": {\"n\": \"8\", \"d\": \"azureml:t:2\"}}";
	assert_int_equal(slu_json_parse(text, sizeof text - 1, "x", &over, &e), 0);
	assert_int_equal(job_read(&d, PIPE, over, &j, &e), 0);
	assert_string_equal(j->steps[0].in[1].literal, "8");
	assert_string_equal(j->steps[1].in[0].ref, "azureml:t:2");
	assert_int_equal(j->steps[1].in[0].mode, SLU_MODE_DOWNLOAD);
	slu_job_free(j);
	j = NULL;
	assert_failed(job_read(&d, "type: command\ncommand: x\ninputs: {a: 1}\n", over, &j, &e), e,
		      EINVAL, "no input 'n' to set; it has 'a'");
	unit_dir_done(&d);
}

static void test_component(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "comp/src/x.sh", "");
	job_write(
		&d, "comp/c.yml",
		"$schema: x\ntype: command\nname: c\nversion: 1\nis_deterministic: true\n"
		"code: ./src\n"
		"command: sh x.sh ${{inputs.d}} --n ${{inputs.n}} $[[--m ${{inputs.m}}]] ${{outputs.o}}\n"
		"environment_variables: {A: 1, B: 2}\n"
		"inputs:\n"
		"  d: {type: uri_folder, mode: download}\n"
		"  n: {type: integer, default: 3}\n"
		"  m: {type: number, optional: true}\n"
		"outputs: {o: {type: uri_folder}, q: {type: uri_folder}}\n");
	SLU_AUTO(free_job)
	struct slu_job *j = good(&d, "type: pipeline\n"
				     "jobs:\n"
				     "  s:\n"
				     "    component: ./comp/c.yml\n"
				     "    environment_variables: {B: 3}\n"
				     "    inputs: {d: {type: uri_folder, path: 's:x'}}\n"
				     "    outputs: {o: {name: reg}}\n"
				     "  t:\n"
				     "    type: command\n"
				     "    component: file:comp/c.yml\n"
				     "    inputs: {d: 'azureml:x:1', n: 4, m: 0.5}\n");
	const struct slu_spec_step *s = &j->steps[0], *t = &j->steps[1];

	assert_true(slu_ends(s->code, "/comp/src"));
	assert_string_equal(slu_json_str(s->env, "A"), "1");
	assert_string_equal(slu_json_str(s->env, "B"), "3");
	assert_int_equal(s->in[0].mode, SLU_MODE_DOWNLOAD);
	assert_string_equal(s->in[1].literal, "3");
	assert_null(s->in[2].literal);
	assert_string_equal(s->out[0].register_as, "reg");
	assert_string_equal(t->in[0].ref, "azureml:x:1");
	assert_string_equal(t->in[1].literal, "4");
	assert_int_equal(t->nout, 2);

	bad(&d, "type: pipeline\njobs:\n  s:\n    component: ./comp/c.yml\n",
	    ":4:", "'d' gets no value");
	bad(&d,
	    "type: pipeline\njobs:\n  s:\n    component: ./comp/c.yml\n    inputs: {d: 's:x', z: 1}\n",
	    ":5:", "no input 'z'");
	bad(&d,
	    "type: pipeline\njobs:\n  s:\n    component: ./comp/c.yml\n    inputs: {d: 's:x', n: x}\n",
	    ":5:", "no integer");
	bad(&d, "type: pipeline\njobs:\n  s:\n    component: ./none.yml\n", ":4:", "none.yml");
	bad(&d, "type: pipeline\njobs:\n  s:\n    component: azureml:c:1\n",
	    ":4:", "\"components\"");
	unit_dir_done(&d);
}

/* A program that has the library in it may have set one. */
static void test_comma_locale(void **state)
{
	static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
	SLU_AUTO(free_job) struct slu_job *j = NULL;
	bool found = false;
	struct unit_dir d;

	(void)state;
	for (size_t i = 0; i < sizeof(commas) / sizeof(commas[0]) && !found; i++)
		found = setlocale(LC_ALL, commas[i]) != NULL;
	if (!found)
		skip();
	unit_dir_make(&d);
	j = good(
		&d,
		"command: run ${{inputs.x}}\ninputs:\n  x: {type: number, value: 0.5, max: 0.7}\n");
	setlocale(LC_ALL, "C");
	assert_string_equal(j->steps[0].in[0].literal, "0.5");
	unit_dir_done(&d);
}

static void test_mistakes(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	bad(&d, "type: command\ncommnd: x\n", ":2:1", "command");
	bad(&d, "type: nosuch\n", ":1:", "not supported");
	bad(&d, "- a\n", ":1:1", "map");
	bad(&d, "type: command\n", ":1:1", "no 'command'");
	bad(&d, "type: command\ncommand: x\ncode: ./none\n", ":3:", "cannot be read");
	bad(&d, "type: command\ncommand: x\ncode: azureml:c:1\n", ":3:", "not a local folder");
	bad(&d, "type: command\ncommand: x\ndistribution: {type: ray}\n", ":3:", "one process");
	bad(&d, "type: command\ncommand: x\nlimits: {timeout: -1}\n", ":3:", "seconds");
	bad(&d, "type: command\ncommand: echo ${{inputs.a}}\n", ":2:", "names no input");
	bad(&d, "type: command\ncommand: x\nenvironment_variables: {A: '${{inputs.a}}'}\n",
	    ":3:", "names no input");
	bad(&d, "type: command\ncommand: x\nenvironment_variables: {A: [1]}\n", ":3:", "no text");
	bad(&d, "type: command\ncommand: x\ninputs: {PATH: 1}\n", ":3:", "PATH");
	bad(&d, "type: command\ncommand: x\ninputs: {'a b': 1}\n", ":3:", "a b");
	bad(&d, "type: command\ncommand: x\ninputs: {a: [1]}\n", ":3:", "list");
	bad(&d, "type: command\ncommand: x\ninputs: {a: {type: uri_file}}\n", ":3:", "no value");
	bad(&d, "type: command\ncommand: x\ninputs: {a: {path: x, mode: eval_mount}}\n",
	    ":3:", "ro_mount");
	bad(&d, "type: command\ncommand: x\ninputs: {a: {path: x, modes: y}}\n", ":3:", "mode");
	bad(&d, "type: command\ncommand: x\ninputs: {a: {path: x, type: vector}}\n",
	    ":3:", "not supported");
	bad(&d, "type: command\ncommand: x\ninputs: {a: '${{parent.inputs.x}}'}\n",
	    ":3:", "outside a pipeline");
	bad(&d, "type: command\ncommand: x\noutputs: {a: {mode: ro_mount}}\n",
	    ":3:", "use rw_mount");
	bad(&d, "type: command\ncommand: x\noutputs: {a: {type: boolean}}\n", ":3:", "uri_folder");
	bad(&d, "type: command\ncommand: x\noutputs: {a: {name: 'a/b'}}\n",
	    ":3:", "no dataset name");
	bad(&d, "type: command\ncommand: x\noutputs: {a: {version: 3}}\n", ":3:", "'name'");
	bad(&d, "type: command\ncommand: x\nname: [1]\n", ":3:", "not text");
	unit_dir_done(&d);
}

#define STEP_A "  a: {type: command, command: x, outputs: {o: {}}"

static void test_pipeline_mistakes(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	bad(&d, "type: pipeline\n", ":1:", "jobs");
	bad(&d, "type: pipeline\njobs: {}\n", ":2:", "at least one");
	bad(&d, "type: pipeline\njobs:\n  1a: {type: command, command: x}\n", ":3:", "step name");
	bad(&d, "type: pipeline\njobs:\n  a: {type: parallel}\n", ":3:", "not supported");
	bad(&d, "type: pipeline\njobs:\n  a: x\n", ":3:", "not a map");
	bad(&d, "type: pipeline\njob: {}\n", ":2:", "jobs");
	bad(&d,
	    "type: pipeline\njobs:\n" STEP_A "}\n  b: {type: command, command: x, inputs: "
	    "{i: {path: '${{parent.jobs.z.outputs.o}}'}}}\n",
	    ":4:", "no step 'z'");
	bad(&d,
	    "type: pipeline\njobs:\n" STEP_A "}\n  b: {type: command, command: x, inputs: "
	    "{i: {path: '${{parent.jobs.a.outputs.z}}'}}}\n",
	    ":4:", "no output 'z'");
	bad(&d, "type: pipeline\njobs:\n" STEP_A ", inputs: {i: '${{parent.jobs.a.outputs.o}}'}}\n",
	    ":3:", "wait for one another");
	bad(&d, "type: pipeline\njobs:\n" STEP_A ", inputs: {i: '${{parent.inputs.z}}'}}\n",
	    ":3:", "no input 'z'");
	bad(&d, "type: pipeline\njobs:\n" STEP_A ", inputs: {i: '${{jobs.a.outputs.o}}'}}\n",
	    ":3:", "no binding");
	bad(&d, "type: pipeline\noutputs: {p: {}}\njobs:\n" STEP_A "}\n", ":2:", "no step writes");
	bad(&d,
	    "type: pipeline\noutputs: {p: {}}\njobs:\n"
	    "  a: {type: command, command: x, outputs: {o: '${{parent.outputs.p}}', "
	    "q: '${{parent.outputs.p}}'}}\n",
	    ":4:", "bound to two");
	unit_dir_done(&d);
}

#define INNER                                                                                      \
	"type: pipeline\n"                                                                         \
	"name: inner\n"                                                                            \
	"inputs:\n"                                                                                \
	"  data: {type: uri_folder}\n"                                                             \
	"  rounds: {type: integer, default: 3, min: 1, max: 10}\n"                                 \
	"  how: {type: string, enum: [fast, slow], optional: true}\n"                              \
	"outputs:\n"                                                                               \
	"  model: {type: uri_folder}\n"                                                            \
	"jobs:\n"                                                                                  \
	"  fit:\n"                                                                                 \
	"    type: command\n"                                                                      \
	"    command: fit ${{inputs.d}} ${{inputs.n}} $[[--how ${{inputs.how}}]]\n"                \
	"    inputs:\n"                                                                            \
	"      d: ${{parent.inputs.data}}\n"                                                       \
	"      n: ${{parent.inputs.rounds}}\n"                                                     \
	"      how: {type: string, optional: true, value: '${{parent.inputs.how}}'}\n"             \
	"    outputs: {m: {type: uri_folder}}\n"                                                   \
	"  pack:\n"                                                                                \
	"    type: command\n"                                                                      \
	"    command: pack ${{inputs.m}} ${{outputs.o}}\n"                                         \
	"    inputs: {m: '${{parent.jobs.fit.outputs.m}}'}\n"                                      \
	"    outputs: {o: '${{parent.outputs.model}}'}\n"

#define OUTER(values)                                                                              \
	"type: pipeline\n"                                                                         \
	"inputs: {target: cluster}\n"                                                              \
	"outputs: {best: {name: best_model}}\n"                                                    \
	"settings: {default_compute: '${{parent.inputs.target}}'}\n"                               \
	"jobs:\n"                                                                                  \
	"  prep:\n"                                                                                \
	"    command: prep ${{outputs.o}}\n"                                                       \
	"    outputs: {o: }\n"                                                                     \
	"  train:\n"                                                                               \
	"    type: pipeline\n"                                                                     \
	"    component: ./inner.yml\n"                                                             \
	"    inputs: {data: '${{parent.jobs.prep.outputs.o}}'" values "}\n"                        \
	"    outputs: {model: '${{parent.outputs.best}}'}\n"                                       \
	"  use:\n"                                                                                 \
	"    command: use ${{inputs.m}}\n"                                                         \
	"    inputs: {m: '${{parent.jobs.train.outputs.model}}'}\n"

static void test_nested(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	job_write(&d, "inner.yml", INNER);
	SLU_AUTO(free_job) struct slu_job *j = good(&d, OUTER(""));

	assert_int_equal(j->nsteps, 4);
	assert_string_equal(j->steps[1].name, "train.fit");
	assert_string_equal(j->steps[1].in[0].step, "prep");
	assert_string_equal(j->steps[1].in[0].output, "o");
	assert_string_equal(j->steps[1].in[1].literal, "3");
	assert_null(j->steps[1].in[2].literal);
	assert_string_equal(j->steps[2].in[0].step, "train.fit");
	/* What the outermost one says of its output, the step that writes it has. */
	assert_string_equal(j->steps[2].out[0].register_as, "best_model");
	/* The edge to the nested one leads to the step in it. */
	assert_string_equal(j->steps[3].in[0].step, "train.pack");
	assert_string_equal(j->steps[3].in[0].output, "o");
	for (size_t i = 0; i < j->nsteps; i++)
		check_json(&j->steps[i]);
	slu_job_free(slu_take(j));
	j = good(&d, OUTER("") "    depends_on: [train]\n");
	assert_int_equal(slu_json_count(j->steps[3].after), 2);
	assert_string_equal(slu_json_string(slu_json_at(j->steps[3].after, 1)), "train.pack");
	slu_job_free(slu_take(j));
	j = good(&d, "type: pipeline\njobs:\n  a: {command: x, outputs: {o: }}\n"
		     "  b: {type: pipeline, component: ./inner.yml, depends_on: [a],\n"
		     "      inputs: {data: '${{parent.jobs.a.outputs.o}}'}}\n");
	assert_string_equal(slu_json_string(slu_json_at(j->steps[2].after, 0)), "a");
	bad(&d, OUTER(", rounds: 11"), ":12:", "above 10, its maximum");
	bad(&d, OUTER(", rounds: 0"), ":12:", "below 1, its minimum");
	bad(&d, OUTER(", rounds: 2.5"), ":12:", "no integer");
	bad(&d, OUTER(", how: slower"), ":12:", "'fast', 'slow'");
	bad(&d, OUTER(", speed: 2"), ":12:", "no input 'speed'");
	job_write(&d, "inner.yml",
		  "type: pipeline\njobs:\n  again:\n    type: pipeline\n"
		  "    component: ./inner.yml\n");
	struct slu_job *none = NULL;
	struct slu_err e;

	assert_int_equal(
		job_read(&d,
			 "type: pipeline\njobs:\n  a: {type: pipeline, component: ./inner.yml}\n",
			 NULL, &none, &e),
		-EINVAL);
	assert_contains(e.msg, "/inner.yml:5:5': pipelines stand in pipelines more than");
	unit_dir_done(&d);
}

/* A component within the step, and one that config.json knows by name. */
static void test_component_kinds(void **state)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *config = slu_json_object(), *known = slu_json_object();
	struct slu_workspace w = {.config = config};
	struct slu_err e = {0};
	char path[128];
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	w.dir = (char *)d.path;
	snprintf(path, sizeof path, "%s/job.yml", d.path);
	slu_json_set_str(known, "fit", "c/fit.yml");
	slu_json_set(config, "components", slu_json_ref(known));
	job_write(&d, "c/fit.yml",
		  "type: command\ninputs: {n: {type: number}}\n"
		  "command: fit ${{inputs.n}}\n");
	job_write(&d, "job.yml",
		  "type: pipeline\njobs:\n"
		  "  a: {component: 'azureml:fit@latest', inputs: {n: 1.5}}\n"
		  "  b: {component: 'azureml:fit:3', inputs: {n: 2}}\n"
		  "  c:\n"
		  "    component:\n"
		  "      type: command\n"
		  "      inputs: {b: {type: boolean, default: true}}\n"
		  "      command: echo ${{inputs.b}}\n");
	SLU_AUTO(free_job) struct slu_job *j = NULL;

	assert_int_equal(slu_job_read_in(&w, path, NULL, &j, &e), 0);
	assert_int_equal(j->nsteps, 3);
	assert_string_equal(j->steps[1].in[0].literal, "2");
	assert_string_equal(j->steps[2].in[0].literal, "True");
	bad(&d, "type: pipeline\njobs:\n  a: {component: 'azureml:fit'}\n",
	    ":3:", "\"components\"");
	bad(&d,
	    "type: pipeline\njobs:\n  a: {component: {type: command, command: x, "
	    "inputs: {b: {type: boolean}}}, inputs: {b: maybe}}\n",
	    ":3:", "true or false");
	bad(&d,
	    "type: pipeline\njobs:\n  a: {type: spark, component: {type: command, command: x}}\n",
	    ":3:", "of type 'command'");
	bad(&d,
	    "type: pipeline\njobs:\n  a: {command: y, component: {type: command, command: x}}\n",
	    ":3:", "stands in the component");
	bad(&d,
	    "type: pipeline\njobs:\n  a: {component: {type: command, command: x, inputs: "
	    "{n: {type: integer}}}, inputs: {n: {path: ./x}}}\n",
	    ":3:", "a value (integer), not data");
	unit_dir_done(&d);
}

/* What Azure ML has and sluice has not: noted where that is harmless, else refused with what to do. */
static void test_foreign(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	SLU_AUTO(free_job)
	struct slu_job *j =
		good(&d, "type: Command\n"
			 "command: python train.py ${{inputs.m}}\n"
			 "resources: {instance_type: Standard_NC6, instance_count: 1}\n"
			 "distribution: {type: PyTorch, process_count_per_instance: 1}\n"
			 "services: {tb: {type: tensor_board}}\n"
			 "identity: {type: user_identity}\n"
			 "queue_settings: {job_tier: Spot}\n"
			 "inputs: {m: {type: mlflow_model, path: 'azureml:m:1'}}\n"
			 "outputs: {o: {type: custom_model}, t: {type: mltable}}\n");
	SLU_AUTO(free_job)
	struct slu_job *spark = good(&d, "type: spark\ncode: .\nentry: {file: ./job.yml}\n"
					 "conf:\n"
					 "  spark.synapse.library.python.env: |\n"
					 "    dependencies:\n"
					 "    - python=3.10\n"
					 "    - pip: [pandas]\n");
	SLU_AUTO(free_job)
	struct slu_job *rw = good(&d, "command: x\ninputs: {a: {path: /x, mode: rw_mount}}\n");

	assert_string_equal(slu_json_str(j->steps[0].env, "WORLD_SIZE"), "1");
	assert_string_equal(j->steps[0].in[0].type, "uri_folder");
	assert_string_equal(j->steps[0].out[0].type, "uri_folder");
	assert_string_equal(j->steps[0].out[1].type, "uri_folder");
	assert_string_equal(spark->steps[0].spark.entry, "job.yml");
	assert_non_null(slu_json_get(spark->steps[0].environment, "conda"));
	assert_int_equal(rw->steps[0].in[0].mode, SLU_MODE_MOUNT);
	assert_int_equal(slu_json_count(rw->notes), 1);
	assert_int_equal(slu_json_count(j->notes), 5);
	assert_string_equal(slu_json_str(j->identity, "type"), "az_cli");
	bad(&d, "command: x\ndistribution: {type: pytorch, process_count_per_instance: 4}\n",
	    ":2:", "process_count_per_instance: 1");
	bad(&d, "command: x\nresources: {instance_count: 2}\ndistribution: {type: mpi}\n",
	    ":2:", "instance_count: 1");
	bad(&d, "command: x\nadditional_includes: [../lib]\n", ":2:", "code folder");
	bad(&d, "command: x\nentry: {file: a.py}\n", ":2:", "'type: spark'");
	bad(&d, "type: sweep\ntrial: {command: x}\n", ":1:", "'sweep' is not supported");
	bad(&d, "type: uri_folder\npath: ./x\n", ":1:", "sluice data create");
	bad(&d, "command: x\ncomputte: azureml:e@latest\n", ":2:1", "'compute'");
	unit_dir_done(&d);
}

static void test_whatever_is_in_it(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "jobspec", fuzz_jobspec) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_command),
					   cmocka_unit_test(test_spark),
					   cmocka_unit_test(test_pipeline),
					   cmocka_unit_test(test_overrides),
					   cmocka_unit_test(test_component),
					   cmocka_unit_test(test_mistakes),
					   cmocka_unit_test(test_comma_locale),
					   cmocka_unit_test(test_nested),
					   cmocka_unit_test(test_whatever_is_in_it),
					   cmocka_unit_test(test_component_kinds),
					   cmocka_unit_test(test_foreign),
					   cmocka_unit_test(test_pipeline_mistakes),
					   cmocka_unit_test(test_id),
					   cmocka_unit_test(test_after)};

	return cmocka_run_group_tests_name("jobspec", tests, NULL, NULL);
}
