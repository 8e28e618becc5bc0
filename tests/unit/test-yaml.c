/* SPDX-License-Identifier: Apache-2.0 */
/* YAML: what values mean, positions, limits, and the writer. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/str.h"
#include "common/yaml.h"

#include <errno.h>
#include <sys/wait.h>

static struct slu_yaml *parse(const char *text)
{
	struct slu_yaml *y = NULL;
	struct slu_err e = {0};

	if (slu_yaml_parse(text, strlen(text), "job.yml", &y, &e) < 0)
		fail_msg("%s", e.msg);
	return y;
}

static void reads_as(const char *text, const char *want)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = parse(text);
	SLU_AUTO(slu_freep) char *s = slu_json_text(slu_yaml_root(y), SLU_JSON_COMPACT);

	assert_string_equal(s, want);
}

static void refused_n(const char *text, size_t n, const char *says)
{
	struct slu_yaml *y = NULL;
	struct slu_err e = {0};

	assert_failed(slu_yaml_parse(text, n, "job.yml", &y, &e), e, EBADMSG, says);
	assert_contains(e.msg, "'job.yml:");
	assert_null(y);
}

static void refused(const char *text, const char *says)
{
	refused_n(text, strlen(text), says);
}

static const struct {
	const char *yaml, *json;
} plain_cases[] = {
	{"", "null"},
	{"~", "null"},
	{"null", "null"},
	{"Null", "null"},
	{"nULL", "\"nULL\""},
	{"true", "true"},
	{"False", "false"},
	{"TRUE", "true"},
	{"tRUE", "\"tRUE\""},
	{"yes", "\"yes\""},
	{"no", "\"no\""},
	{"on", "\"on\""},
	{"Off", "\"Off\""},
	{"y", "\"y\""},
	{"0", "0"},
	{"-5", "-5"},
	{"+5", "5"},
	{"007", "7"},
	{"0o17", "15"},
	{"0x1F", "31"},
	{"0o8", "\"0o8\""},
	{"0x", "\"0x\""},
	{"-0x1", "\"-0x1\""},
	{"1_000", "\"1_000\""},
	{"0b1", "\"0b1\""},
	{"1:30", "\"1:30\""},
	{"2026-01-31", "\"2026-01-31\""},
	{"9223372036854775807", "9223372036854775807"},
	{"9223372036854775808", "\"9223372036854775808\""},
	{"-9223372036854775808", "-9223372036854775808"},
	{"0x7fffffffffffffff", "9223372036854775807"},
	{"0x8000000000000000", "\"0x8000000000000000\""},
	{"1.5", "1.5"},
	{"-.5", "-0.5"},
	{"+1.", "1.0"},
	{"1e3", "1000.0"},
	{"1.5E-1", "0.15"},
	{"00.5", "0.5"},
	{".", "\".\""},
	{"1.2.3", "\"1.2.3\""},
	{"1e", "\"1e\""},
	{"e1", "\"e1\""},
	{".e1", "\".e1\""},
	{"+", "\"+\""},
	{"+-1", "\"+-1\""},
	{".inf", "\".inf\""},
	{".nan", "\".nan\""},
	{"1e999", "\"1e999\""},
	{"0.1", "0.1"},
	{"'1'", "\"1\""},
	{"\"true\"", "\"true\""},
	{"''", "\"\""},
	{"|\n  1\n", "\"1\\n\""},
	{">\n  null", "\"null\""},
	{"az ml: x", "{\"az ml\":\"x\"}"},
	{"${{inputs.a}}", "\"${{inputs.a}}\""},
};

static void plain_scalars_follow_the_core_schema(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plain_cases) / sizeof(plain_cases[0]); i++)
		reads_as(plain_cases[i].yaml, plain_cases[i].json);
}

static void documents_are_trees(void **state)
{
	(void)state;
	reads_as("# nothing\n", "null");
	reads_as("---\n...\n", "null");
	reads_as("a: 1\nb: [x, {c: ~}]\nd:\n- 1\n-\n  e: f\n",
		 "{\"a\":1,\"b\":[\"x\",{\"c\":null}],\"d\":[1,{\"e\":\"f\"}]}");
	reads_as("1: a\ntrue: b\n? c\n: d\n", "{\"1\":\"a\",\"true\":\"b\",\"c\":\"d\"}");
	reads_as("%YAML 1.2\n---\na: b\n", "{\"a\":\"b\"}");
	reads_as("\xef\xbb\xbf{\"json\": [\"too\", 1.0]}", "{\"json\":[\"too\",1.0]}");
	reads_as("a: \xc3\xa4\r\nb: c\r\n", "{\"a\":\"\xc3\xa4\",\"b\":\"c\"}");
}

static void aliases_are_copies(void **state)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	struct json_t *a, *b;
	int line, col;

	(void)state;
	reads_as("a: &x {k: [1]}\nb: *x\nc: &x 5\nd: [*x, *x]\n",
		 "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":5,\"d\":[5,5]}");
	y = parse("a: &x {k: [1]}\nb: *x\n");
	a = slu_json_get(slu_yaml_root(y), "a");
	b = slu_json_get(slu_yaml_root(y), "b");
	assert_true(slu_yaml_where(y, b, &line, &col));
	assert_int_equal(line, 2);
	assert_int_equal(col, 4);
	assert_int_equal(slu_json_set_int(b, "k", 2), 0);
	assert_true(slu_json_is_array(slu_json_get(a, "k")));
}

static void what_is_not_supported_is_said(void **state)
{
	(void)state;
	refused("a: 1\na: 2\n", "'job.yml:2:1': key 'a' stands here twice");
	refused("a: 1\n\"a\": 2\n", "twice");
	refused("a: !!str 5\n", "'job.yml:1:4': tags are not supported: remove 'tag:yaml.org");
	refused("a: ! 5\n", "tags");
	refused("a: !x [1]\n", "tags");
	refused("a: !x {b: 1}\n", "tags");
	refused("!!str a: 1\n", "tags");
	refused("a: &x {k: 1}\nb:\n  <<: *x\n", "'job.yml:3:3': merge keys");
	refused("? [1]\n: 2\n", "a key must be");
	refused("&k a: 1\n", "anchors on keys");
	refused("x: &k a\n*k : 1\n", "a key must be");
	refused("a: *x\n", "'job.yml:1:4': alias '*x' has no anchor");
	refused("a: &x [*x]\n", "inside its own anchor");
	refused("a: 1\n---\nb: 2\n", "only one document");
	refused("a: \"x\\0y\"\n", "NUL");
	refused("\"x\\0y\": 1\n", "NUL");
}

static void bad_syntax_has_its_place(void **state)
{
	(void)state;
	refused("a: [1\nb: 2\n", "'job.yml:2:2'");
	refused("a:\n\t- 1\n", "'job.yml:2:1'");
	refused("a: b: c\n", "'job.yml:1:5'");
	refused("a: 1\n b: 2\n", "'job.yml:2:3'");
	refused("a: \"x\n", "'job.yml:2:1'");
	refused("a: @x\n", "'job.yml:1:4'");
	refused("a: 1\nb: \xff\n", "'job.yml:2:4'");
	refused("a: 1\nb: \x01\n", "'job.yml:2:4'");
	refused("%YAML 9.9\n---\na\n", "'job.yml:1:1'");
	refused_n("a: \0", 4, "'job.yml:1:4'");
	refused("*", "'job.yml:1:");
	refused("}", "'job.yml:1:1'");
	refused("- 1\na: 2\n", "'job.yml:2:1'");
}

static void depth_is_limited(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);

	(void)state;
	for (int levels = 64; levels <= 65; levels++) {
		slu_buf_clear(&b);
		for (int i = 0; i < levels; i++)
			slu_buf_ch(&b, '[');
		for (int i = 0; i < levels; i++)
			slu_buf_ch(&b, ']');
		if (levels == 64)
			slu_yaml_free(parse(b.p));
		else
			refused(b.p, "'job.yml:1:65': nested deeper than 64 levels");
	}
}

static void aliases_have_a_budget(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 22);

	(void)state;
	slu_buf_str(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++)
		slu_buf_fmt(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
			    i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	refused_n(b.p, b.len, "expand to too much");
	/* few nodes, many bytes */
	slu_buf_clear(&b);
	slu_buf_str(&b, "s: &s '");
	for (int i = 0; i < 100000; i++)
		slu_buf_ch(&b, 'x');
	slu_buf_str(&b, "'\nl:\n");
	for (int i = 0; i < 1000; i++)
		slu_buf_str(&b, "- *s\n");
	refused_n(b.p, b.len, "expand to too much");
	slu_buf_clear(&b);
	for (int i = 0; i < 1001; i++)
		slu_buf_fmt(&b, "- &a%d x\n", i);
	refused_n(b.p, b.len, "more than 1000 anchors");
}

static void positions_are_known(void **state)
{
	SLU_AUTO(slu_yaml_freep)
	struct slu_yaml *y =
		parse("jobs:\n  prep:\n    type: spark\n    on: true\n    list: [1, 1]\n");
	const struct json_t *prep = slu_json_get(slu_json_get(slu_yaml_root(y), "jobs"), "prep");
	struct slu_err e = {0};
	int line = 0, col = 0;

	(void)state;
	assert_true(slu_yaml_where(y, slu_json_get(prep, "type"), &line, &col));
	assert_int_equal(line, 3);
	assert_int_equal(col, 11);
	assert_true(slu_yaml_where(y, slu_json_at(slu_json_get(prep, "list"), 1), &line, &col));
	assert_int_equal(line, 5);
	assert_int_equal(col, 15);
	assert_false(slu_yaml_where(y, slu_json_get(prep, "on"), &line, &col));
	assert_false(slu_yaml_where(y, NULL, &line, &col));
	assert_failed(slu_yaml_fail(y, prep, "on", &e, "is %d", 1), e, EINVAL,
		      "'job.yml:4:5': is 1");
	assert_failed(slu_yaml_fail(y, prep, NULL, &e, "x"), e, EINVAL, "'job.yml:3:5': x");
	assert_failed(slu_yaml_fail(y, prep, "absent", &e, "x"), e, EINVAL, "'job.yml:3:5': x");
	assert_failed(slu_yaml_fail(y, NULL, NULL, &e, "x"), e, EINVAL, "'job.yml': x");
	assert_int_equal(slu_yaml_fail(y, prep, "on", NULL, "x"), -EINVAL);
}

static void unknown_keys_are_named(void **state)
{
	static const char *const known[] = {"command", "code",        "inputs",
					    "outputs", "environment", NULL};
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"comand: x\n", "'job.yml:1:1': unknown key 'comand': did you mean 'command'?"},
		{"code: .\nimputs: x\n",
		 "'job.yml:2:1': unknown key 'imputs': did you mean 'inputs'?"},
		{"ocde: x\n", "did you mean 'code'?"},
		{"Outputs: x\n", "did you mean 'outputs'?"},
		{"zzz: 1\n",
		 "unknown key 'zzz': known are command, code, inputs, outputs, environment"},
		{"[1]\n", "'job.yml:1:1': a mapping"},
		{"\"\": 1\n", "unknown key ''"},
	};
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *fine = parse("code: .\ninputs: {}\n");

	(void)state;
	assert_int_equal(slu_yaml_known_keys(fine, slu_yaml_root(fine), known, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = parse(cases[i].text);
		struct slu_err e = {0};

		assert_failed(slu_yaml_known_keys(y, slu_yaml_root(y), known, &e), e, EINVAL,
			      cases[i].says);
	}
}

static void files_are_read_with_a_limit(void **state)
{
	struct slu_yaml *y = NULL;
	struct slu_err e = {0};
	struct unit_dir d;
	char path[128];

	(void)state;
	unit_dir_make(&d);
	snprintf(path, sizeof(path), "%s/j.yml", d.path);
	assert_failed(slu_yaml_read_file(path, 100, &y, &e), e, ENOENT, "j.yml");
	assert_int_equal(slu_path_write_atomic(d.fd, "j.yml", "a: b", 4), 0);
	assert_failed(slu_yaml_read_file(path, 3, &y, &e), e, EBADMSG, "j.yml");
	assert_int_equal(slu_yaml_read_file(path, 4, &y, &e), 0);
	slu_yaml_free(y);
	slu_yaml_free(NULL);
	unit_dir_done(&d);
}

static void writing_is_readable(void **state)
{
	static const char json[] = "{\"a\":\"x\",\"b\":[1,[2,[]],{\"c\":{}}],\"d\":{\"e\":null}}";
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_freep) char *s = NULL;

	(void)state;
	assert_int_equal(slu_json_parse(json, strlen(json), "t", &j, NULL), 0);
	s = slu_yaml_text(j);
	assert_string_equal(s, "a: x\nb:\n  - 1\n  - - 2\n    - []\n  - c: {}\nd:\n  e: null\n");
	assert_null(slu_yaml_text(NULL));
}

/* Strings that one reader or another takes for something else, or that break lines or quotes. */
static const char *const tricky[] = {
	"",
	" ",
	"~",
	"null",
	"Null",
	"true",
	"False",
	"yes",
	"NO",
	"on",
	"Off",
	"y",
	"N",
	"1",
	"-1",
	"+1",
	"0x1f",
	"0o7",
	"1_000",
	"1.5",
	"1e3",
	".5",
	".inf",
	"-.INF",
	".nan",
	"1:30",
	"190:20:30",
	"2026-01-31",
	"2026-01-31T08:00:00Z",
	"2026-01-31 08:00:00",
	"=",
	"<<",
	"-",
	"- a",
	"?",
	"? a",
	":",
	"a:",
	"a: b",
	"a:b",
	"a #b",
	"a#b",
	"#a",
	"&a",
	"*a",
	"!a",
	"!!str a",
	"|",
	">",
	"'",
	"\"",
	"a'b",
	"a\"b",
	"%a",
	"@a",
	"`a`",
	"[a]",
	"{a}",
	"a]",
	"a, b",
	"a ",
	" a",
	"a\n",
	"\n",
	"a\nb",
	"a\tb",
	"\t",
	"a\\b",
	"\\",
	"\x01",
	"\x7f",
	"\xc2\x85",
	"\xc3\xa4",
	"\xe2\x80\xa8",
	"\xef\xbb\xbf",
	"\xf0\x9f\x98\x80",
	"---",
	"...",
	"--- a",
	"./a",
	"../a",
	"/a/b",
	"${{inputs.x}}",
	"$a",
	"azureml://datastores/x/paths/y",
	"azureml:titanic:1",
	"azureml:titanic@latest",
	"~/x",
	"0",
	"00",
	"0.0.0",
	"1.2.3",
	"e1",
	"_",
	"_1",
	"null ",
	"a: ",
	"a:\n",
	"python train.py --data x: y",
	"\r",
	"a\r\nb",
	"\xef\xbf\xbe",
	"\xee\x80\x80",
	"None",
	"NaN",
	"Infinity",
	"0b1",
	"1e+3",
	"12e03",
	"a very long text with many words that a writer could be tempted to fold at eighty columns or so",
};

static struct json_t *tricky_tree(void)
{
	struct json_t *o = slu_json_object(), *list = slu_json_array();
	char name[300];

	for (size_t i = 0; i < sizeof(tricky) / sizeof(tricky[0]); i++) {
		assert_int_equal(slu_json_append(list, slu_json_new_str(tricky[i])), 0);
		assert_int_equal(slu_json_set_str(o, tricky[i], tricky[i]), 0);
	}
	memset(name, 'k', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	slu_json_set(o, name, slu_json_copy(list));
	name[200] = '\n';
	slu_json_set(o, name, slu_json_new_real(1e300));
	slu_json_append(list, slu_json_new_real(0.1));
	slu_json_append(list, slu_json_new_real(1e20));
	slu_json_append(list, slu_json_new_real(-1.5e-9));
	slu_json_append(list, slu_json_new_int(INT64_MIN));
	slu_json_append(list, slu_json_new_bool(true));
	slu_json_append(list, slu_json_new_null());
	slu_json_set(o, "the list", list);
	return o;
}

static void what_is_written_is_read_back(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = tricky_tree();
	SLU_AUTO(slu_freep) char *s = slu_yaml_text(j);
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = parse(s);
	SLU_AUTO(slu_freep) char *a = slu_json_text(j, SLU_JSON_PRETTY);
	SLU_AUTO(slu_freep) char *b = slu_json_text(slu_yaml_root(y), SLU_JSON_PRETTY);

	(void)state;
	assert_string_equal(a, b);
	for (size_t i = 0; i < sizeof(tricky) / sizeof(tricky[0]); i++) {
		SLU_AUTO(slu_json_freep) struct json_t *v = slu_json_new_str(tricky[i]);
		SLU_AUTO(slu_freep) char *text = slu_yaml_text(v);
		SLU_AUTO(slu_yaml_freep) struct slu_yaml *back = parse(text);

		assert_string_equal(slu_json_string(slu_yaml_root(back)), tricky[i]);
	}
}

/* The reader that everybody else uses: YAML 1.1, so it is the stricter judge of quotes. */
static void pyyaml_reads_the_same(void **state)
{
	static const char program[] =
		"import sys, json\n"
		"try:\n    import yaml\nexcept ImportError:\n    sys.exit(77)\n"
		"y = yaml.safe_load(open(sys.argv[1], encoding='utf-8', newline=''))\n"
		"j = json.load(open(sys.argv[2], encoding='utf-8'))\n"
		"sys.exit(0 if y == j and json.dumps(y) == json.dumps(j) else 1)\n";
	SLU_AUTO(slu_json_freep) struct json_t *j = tricky_tree();
	SLU_AUTO(slu_freep) char *yaml = slu_yaml_text(j);
	SLU_AUTO(slu_freep) char *json = slu_json_text(j, SLU_JSON_COMPACT);
	char ypath[128], jpath[128];
	char *argv[] = {(char *)"python3", (char *)"-c", (char *)program, ypath, jpath, NULL};
	struct unit_dir d;
	int status = -1;
	pid_t pid;

	(void)state;
	unit_dir_make(&d);
	snprintf(ypath, sizeof(ypath), "%s/t.yml", d.path);
	snprintf(jpath, sizeof(jpath), "%s/t.json", d.path);
	assert_int_equal(slu_path_write_atomic(d.fd, "t.yml", yaml, strlen(yaml)), 0);
	assert_int_equal(slu_path_write_atomic(d.fd, "t.json", json, strlen(json)), 0);
	pid = fork();
	if (pid == 0) {
		execvp("python3", argv);
		_exit(77);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unit_dir_done(&d);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void every_failed_allocation_is_out_of_memory(void **state)
{
	static const char text[] = "a: &x {k: [1, 2.5, text]}\nb: *x\n";
	long nth;

	(void)state;
	for (nth = 1;; nth++) {
		struct slu_yaml *y = NULL;
		struct slu_err e = {0};
		int r;

		slu_fault_arm(SLU_FAULT_MALLOC, nth, false);
		r = slu_yaml_parse(text, strlen(text), "t", &y, &e);
		slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
		if (r == 0) {
			slu_yaml_free(y);
			break;
		}
		assert_failed(r, e, ENOMEM, "out of memory");
	}
	assert_true(nth > 20);
	assert_int_equal(slu_fault_count(SLU_FAULT_MALLOC), nth - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_scalars_follow_the_core_schema),
		cmocka_unit_test(documents_are_trees),
		cmocka_unit_test(aliases_are_copies),
		cmocka_unit_test(what_is_not_supported_is_said),
		cmocka_unit_test(bad_syntax_has_its_place),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(aliases_have_a_budget),
		cmocka_unit_test(positions_are_known),
		cmocka_unit_test(unknown_keys_are_named),
		cmocka_unit_test(files_are_read_with_a_limit),
		cmocka_unit_test(writing_is_readable),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(pyyaml_reads_the_same),
		cmocka_unit_test(every_failed_allocation_is_out_of_memory),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
