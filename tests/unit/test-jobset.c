/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a job that do not stand where they are used: set beside the file, or handed down by a pipeline. */
#include "tests/unit/job.h"

/* A job with {"set": {key: text}}: its error, "" when it is right. */
static void set_one(const struct unit_dir *d, const char *key, const char *text,
		    struct slu_job **ret, struct slu_err *e)
{
	static const char job[] =
		"type: command\ncommand: x\ninputs: {a: 1, d: {path: azureml:t}}\n"
		"display_name: old\nlimits: {timeout: 5}\n";
	SLU_AUTO(slu_json_freep) struct json_t *over = slu_json_object(), *set = slu_json_object();

	*e = (struct slu_err){0};
	assert_int_equal(slu_json_set_str(set, key, text), 0);
	assert_int_equal(slu_json_set(over, "set", slu_json_ref(set)), 0);
	*ret = NULL;
	job_read(d, job, over, ret, e);
}

static void test_any_key_is_set(void **state)
{
	static const struct {
		const char *key, *text, *why;
	} bad[] = {{"computee", "x", "'compute'"},   {"limits.timeout", "soon", "timeout"},
		   {"command.x", "1", "is no map"},  {"command.x.y", "1", "is no map"},
		   {"tags.", "1", "ends in a dot"},  {"type", "spark", "no key of type spark"},
		   {"inputs.d.moode", "x", "'mode'"}};
	struct slu_job *j;
	struct unit_dir d;
	struct slu_err e;

	(void)state;
	unit_dir_make(&d);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		set_one(&d, bad[i].key, bad[i].text, &j, &e);
		assert_null(j);
		assert_contains(e.msg, bad[i].why);
	}
	set_one(&d, "display_name", "2026", &j, &e); /* text stays text */
	assert_string_equal(j->display_name, "2026");
	slu_job_free(j);
	set_one(&d, "limits.timeout", "7", &j, &e);
	assert_int_equal(j->steps[0].timeout, 7);
	slu_job_free(j);
	set_one(&d, "environment_variables.a.b", "1", &j, &e); /* a name with a dot in it */
	assert_string_equal(slu_json_str(j->steps[0].env, "a.b"), "1");
	slu_job_free(j);
	set_one(&d, "inputs.d.mode", "download", &j, &e);
	assert_int_equal(j->steps[0].in[1].mode, SLU_MODE_DOWNLOAD);
	slu_job_free(j);
	unit_dir_done(&d);
}

static void fails(const struct unit_dir *d, const char *text, const char *line)
{
	struct slu_job *j = NULL;
	struct slu_err e;

	assert_true(job_read(d, text, NULL, &j, &e) < 0);
	assert_contains(e.msg, line);
	assert_contains(e.msg, "the pipeline's input 'x' has none");
}

static void test_nothing_is_handed_down(void **state)
{
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	fails(&d,
	      "type: pipeline\ninputs: {x: {type: uri_folder}}\njobs:\n  a:\n    type: command\n"
	      "    command: x\n    inputs: {d: '${{parent.inputs.x}}'}\n",
	      ":7:");
	job_write(&d, "c.yml", "type: command\ncommand: x\ninputs: {d: {type: uri_folder}}\n");
	fails(&d,
	      "type: pipeline\ninputs: {x: {type: uri_folder}}\njobs:\n  a:\n    component: ./c.yml\n"
	      "    inputs: {d: '${{parent.inputs.x}}'}\n",
	      ":6:");
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_key_is_set),
					   cmocka_unit_test(test_nothing_is_handed_down)};

	return cmocka_run_group_tests_name("jobset", tests, NULL, NULL);
}
