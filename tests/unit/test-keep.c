/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that are over: lists, archive, delete; what differs between two steps; what a tree uses. */
#include "tests/unit/dataset.h"

#include "common/str.h"
#include "job/keep.h"
#include "job/reuse.h"
#include "job/settle.h"
#include "job/usage.h"

#include <sys/mman.h>
#include <sys/wait.h>

static struct json_t *parse(const char *text)
{
	struct json_t *j = NULL;
	struct slu_err e = {0};

	if (slu_json_parse(text, strlen(text), "test", &j, &e) < 0)
		fail_msg("%s", e.msg);
	return j;
}

/* A run that is there, with more members; over when `status` is an end. */
static void make(struct space *w, const char *id, const char *status, const char *more)
{
	SLU_AUTO(slu_json_freep) struct json_t *extra = parse(more), *is = NULL;
	SLU_AUTO(slu_run_freep) struct slu_run *r = NULL;
	struct json_t *doc = parse("{\"format\": 1}");
	struct slu_err e = {0};
	bool won;

	slu_json_set_str(doc, "run", id);
	slu_json_set_str(doc, "root", id);
	slu_json_set_str(doc, "created", "2026-01-31T08:00:00.000000Z");
	slu_run_add_state(doc, "Running", "2026-01-31T08:00:00.000000Z");
	for (void *it = slu_json_iter(extra); it; it = slu_json_next(extra, it))
		slu_json_set(doc, slu_json_iter_key(it), slu_json_copy(slu_json_iter_value(it)));
	if (slu_run_make(w->s, id, doc, &r, &e) < 0 || slu_run_commit(r, &e) < 0)
		fail_msg("%s", e.msg);
	if (!slu_run_is_end(status))
		return;
	if (slu_outcome_decide(w->s, id, slu_outcome_new(id, status, NULL, 0, "supervisor"), &won,
			       &is, &e) < 0 ||
	    slu_run_finish(r, is, NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

/* The ids that a query finds, with spaces between. */
static const char *found(struct space *w, const char *query)
{
	static char ids[256];
	SLU_AUTO(slu_json_freep) struct json_t *q = query ? parse(query) : NULL, *list = NULL;
	struct slu_err e = {0};

	if (slu_run_search(w->s, q, &list, &e) < 0)
		fail_msg("%s", e.msg);
	ids[0] = '\0';
	for (size_t i = 0; i < slu_json_count(list); i++)
		snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%s", i ? " " : "",
			 slu_json_str(slu_json_at(list, i), "run"));
	return ids;
}

static void refused(struct space *w, const char *query, const char *word)
{
	SLU_AUTO(slu_json_freep) struct json_t *q = parse(query);
	struct json_t *list = NULL;
	struct slu_err e = {0};

	assert_failed(slu_run_search(w->s, q, &list, &e), e, EINVAL, word);
}

static void test_search(void **state)
{
	struct space w;

	(void)state;
	space_make(&w);
	make(&w, "a", "Completed", "{\"experiment\": \"x\"}");
	make(&w, "b", "Failed", "{\"created\": \"2026-01-31T09:00:00.000000Z\"}");
	make(&w, "c", "Completed",
	     "{\"created\": \"2026-01-31T07:00:00.000000Z\", \"children\": [{\"run\": \"c1\", "
	     "\"step\": \"one\"}, {\"run\": \"gone\", \"step\": \"two\"}]}");
	make(&w, "c1", "Completed", "{\"parent\": \"c\", \"root\": \"c\", \"step\": \"one\"}");
	assert_string_equal(found(&w, NULL), "b a c");
	assert_string_equal(found(&w, "{\"limit\": 2}"), "b a");
	assert_string_equal(found(&w, "{\"status\": \"Completed\"}"), "a c");
	assert_string_equal(found(&w, "{\"experiment\": \"x\"}"), "a");
	assert_string_equal(found(&w, "{\"parent\": \"c\"}"), "c1");
	assert_string_equal(found(&w, "{\"older_than\": \"0s\"}"), "b a c");
	assert_string_equal(found(&w, "{\"older_than\": \"1h\"}"), "");
	refused(&w, "{\"status\": \"Done\"}", "'Done'");
	refused(&w, "{\"older_than\": \"soon\"}", "'soon'");
	refused(&w, "{\"archived\": \"maybe\"}", "'maybe'");
	space_done(&w);
}

static void test_archive(void **state)
{
	struct slu_err e = {0};
	struct space w;

	(void)state;
	space_make(&w);
	make(&w, "a", "Completed", "{}");
	make(&w, "b", "Completed", "{}");
	make(&w, "s", "Completed", "{\"parent\": \"a\", \"root\": \"a\"}");
	assert_int_equal(slu_run_archive(w.s, "a", true, &e), 0);
	assert_int_equal(slu_run_archive(w.s, "a", true, &e), 0);
	assert_string_equal(found(&w, NULL), "b");
	assert_string_equal(found(&w, "{\"archived\": \"only\"}"), "a");
	assert_string_equal(found(&w, "{\"archived\": \"yes\", \"limit\": 5}"), "a b");
	assert_int_equal(slu_run_archive(w.s, "a", false, &e), 0);
	assert_int_equal(slu_run_archive(w.s, "a", false, &e), 0);
	assert_string_equal(found(&w, NULL), "a b");
	assert_failed(slu_run_archive(w.s, "s", true, &e), e, EINVAL, "'a'");
	assert_failed(slu_run_archive(w.s, "none", true, &e), e, ENOENT, "'none'");
	space_done(&w);
}

static void test_delete(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *outcome = NULL;
	struct slu_run *r = NULL;
	struct slu_err e = {0};
	struct space w;

	(void)state;
	space_make(&w);
	make(&w, "p", "Completed",
	     "{\"children\": [{\"run\": \"s\", \"step\": \"one\"}, {\"run\": \"t\", \"step\": \"two\"},"
	     " {\"run\": \"other\", \"step\": \"three\"}]}");
	make(&w, "other", "Completed", "{}");
	make(&w, "s", "Completed", "{\"parent\": \"p\", \"root\": \"p\"}");
	make(&w, "t", "Completed", "{\"parent\": \"p\", \"root\": \"p\"}");
	space_write(&w, ROOT "/runs/s/code/deep/file", "x");
	assert_failed(slu_run_delete(w.s, "s", &e), e, EINVAL, "'p'");
	/* One that was killed when a step was gone already goes on. */
	unlinkat(w.dir.fd, ROOT "/runs/t/run.json", 0);
	assert_int_equal(slu_run_delete(w.s, "p", &e), 0);
	assert_failed(slu_run_open(w.s, "p", &r, &e), e, ENOENT, "'p'");
	assert_failed(slu_run_open(w.s, "s", &r, &e), e, ENOENT, "'s'");
	assert_int_equal(faccessat(w.dir.fd, ROOT "/runs/s/code", F_OK, 0), -1);
	assert_int_equal(slu_outcome_get(w.s, "s", &outcome, &e), 0);
	assert_string_equal(found(&w, NULL), "other");
	space_done(&w);
}

/* The lines of two tellings, with | between. */
static const char *differences(struct space *w, const char *before, const char *now)
{
	static char text[1024];
	SLU_AUTO(slu_json_freep)
	struct json_t *a = parse(before), *b = parse(now), *lines = slu_json_array();
	struct slu_err e = {0};

	assert_int_equal(slu_reuse_differences(w->s, a, b, lines, &e), 0);
	text[0] = '\0';
	for (size_t i = 0; i < slu_json_count(lines); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "|" : "",
			 slu_json_string(slu_json_at(lines, i)));
	return text;
}

static void test_differences(void **state)
{
	struct space w;

	(void)state;
	space_make(&w);
	assert_string_equal(differences(&w, "{\"a\": 1}", "{\"a\": 1}"), "");
	assert_string_equal(differences(&w, "{\"command\": \"a\"}", "{\"command\": \"b\"}"),
			    "command differs: 'b', was 'a'");
	assert_string_equal(
		differences(&w, "{\"environment_variables\": {\"A\": \"1\"}}",
			    "{\"environment_variables\": {\"B\": \"1\"}}"),
		"variable 'B' differs: '1', was (none)|variable 'A' differs: (none), was '1'");
	assert_string_equal(
		differences(&w, "{\"inputs\": {\"n\": {\"value\": \"1\"}, \"o\": {}}}",
			    "{\"inputs\": {\"n\": {\"value\": \"2\"}, \"p\": {}}}"),
		"input 'n': value differs: '2', was '1'|input 'p' is new|input 'o' is gone");
	assert_string_equal(
		differences(&w,
			    "{\"inputs\": {\"d\": {\"mode\": \"download\", \"manifest\": \"1\"}}}",
			    "{\"inputs\": {\"d\": {\"mode\": \"ro_mount\", \"manifest\": \"2\"}}}"),
		"input 'd': mode differs: 'ro_mount', was 'download'");
	/* Manifests that are not there any more tell no files. */
	assert_string_equal(differences(&w, "{\"inputs\": {\"d\": {\"manifest\": \"1\"}}}",
					"{\"inputs\": {\"d\": {\"manifest\": \"2\"}}}"),
			    "input 'd' differs: it is other data");
	assert_non_null(strstr(differences(&w, "{\"code\": \"1\"}", "{\"code\": \"2\"}"), "code"));
	space_done(&w);
}

enum { MIB = 1 << 20, BLOCK = 48 };

/* Has memory, says so and goes on until the pipe's other end is closed. */
static void have_memory(int say, int wait_for)
{
	char *p = mmap(NULL, BLOCK * (size_t)MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char c;

	if (p == MAP_FAILED)
		_exit(1);
	memset(p, 1, BLOCK * (size_t)MIB);
	_exit(write(say, "x", 1) == 1 && read(wait_for, &c, 1) == 0 ? 0 : 1);
}

/* Memory of a child and of its child, at one time. */
static void test_usage(void **state)
{
	struct slu_usage u = {0}, none = {0}, sum = {.memory = 7, .user_us = 1};
	int ready[2], go[2];
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();

	if (pid == 0) {
		close(go[1]);
		close(ready[0]);
		fork();
		have_memory(ready[1], go[0]);
	}
	close(ready[1]); /* so that a child that failed is seen */
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(ready[0], &c, 1), 1);
	slu_usage_sample(&u, getpid());
	close(go[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_in_range(u.memory, 2 * (uint64_t)BLOCK * MIB, 100 * (uint64_t)BLOCK * MIB);
	u.user_us = 2;
	slu_usage_add(&sum, &u);
	assert_int_equal(sum.user_us, 3);
	assert_true(sum.memory == u.memory);
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_usage_json(&sum);

	assert_true(slu_json_int(j, "peak_memory_bytes", 0) == (int64_t)u.memory);
	slu_usage_sample(&none, 1 << 30); /* no such process */
	assert_true(none.memory == 0);
	close(ready[0]);
	close(go[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_search), cmocka_unit_test(test_archive),
		cmocka_unit_test(test_delete), cmocka_unit_test(test_differences),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
