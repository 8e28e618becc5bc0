/* SPDX-License-Identifier: Apache-2.0 */
/* Who wins an outcome, and what follows from it. */
#include "tests/unit/dataset.h"

#include <errno.h>

static void test_put(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *cur = NULL;
	struct space w;
	struct slu_err e = {0};
	bool won = false;

	(void)state;
	space_make(&w);
	SLU_AUTO(slu_json_freep) struct json_t *a = space_outcome("r", "Completed", "id", "t", 0);
	SLU_AUTO(slu_json_freep) struct json_t *b = space_outcome("r", "Failed", "id", "t", 0);

	assert_failed(slu_outcome_get(w.s, "r", &cur, &e), e, ENOENT, "no outcome yet");
	assert_int_equal(slu_outcome_put(w.s, "r", a, &won, &cur, &e), 0);
	assert_true(won);
	assert_true(slu_json_equal(cur, a));
	slu_json_free(slu_take(cur));

	/* A lost reply: put again. */
	won = false;
	assert_int_equal(slu_outcome_put(w.s, "r", a, &won, NULL, &e), 0);
	assert_true(won);

	/* A supervisor that comes too late. */
	assert_int_equal(slu_outcome_put(w.s, "r", b, &won, &cur, &e), 0);
	assert_false(won);
	assert_string_equal(slu_json_str(cur, "status"), "Completed");
	slu_json_free(slu_take(cur));
	assert_int_equal(slu_outcome_put(w.s, "r", b, &won, NULL, &e), 0);
	assert_false(won);
	assert_int_equal(slu_outcome_get(w.s, "r", &cur, &e), 0);
	assert_true(slu_json_equal(cur, a));

	/* Equal, but written in another order of keys. */
	space_write(&w, ROOT "/runs/q/outcome.json",
		    "{\"status\": \"Failed\", \"run\": \"q\", \"format\": 1}");
	SLU_AUTO(slu_json_freep) struct json_t *q = slu_json_object();

	slu_json_set_int(q, "format", 1);
	slu_json_set_str(q, "run", "q");
	slu_json_set_str(q, "status", "Failed");
	assert_int_equal(slu_outcome_put(w.s, "q", q, &won, NULL, &e), 0);
	assert_true(won);
	space_done(&w);
}

static void test_bad(void **state)
{
	struct space w;
	struct slu_err e = {0};
	struct json_t *none = NULL;
	bool won;

	(void)state;
	space_make(&w);
	SLU_AUTO(slu_json_freep) struct json_t *a = space_outcome("r", "Completed", "id", "t", 0);
	SLU_AUTO(slu_json_freep) struct json_t *b = space_outcome("r", "Running", "id", "t", 0);

	assert_failed(slu_outcome_put(w.s, "s", a, &won, NULL, &e), e, EINVAL,
		      "no outcome of run 's'");
	assert_failed(slu_outcome_put(w.s, "r", b, &won, NULL, &e), e, EINVAL, "'Running'");
	assert_failed(slu_outcome_put(w.s, "../r", a, &won, NULL, &e), e, EINVAL, "no run id");
	assert_failed(slu_outcome_get(w.s, "", &none, &e), e, EINVAL, "no run id");

	space_write(&w, ROOT "/runs/r/outcome.json", "{\"format\": 1,");
	assert_failed(slu_outcome_get(w.s, "r", &none, &e), e, EBADMSG, "run 'r'");
	assert_failed(slu_outcome_put(w.s, "r", a, &won, &none, &e), e, EBADMSG, "damaged");
	assert_failed(slu_outcome_replay(w.s, "r", &none, &e), e, EBADMSG, "damaged");
	space_write(&w, ROOT "/runs/r/outcome.json", "{\"format\": 1}");
	assert_failed(slu_outcome_replay(w.s, "r", &none, &e), e, EBADMSG, "damaged");
	assert_null(none);
	space_done(&w);
}

static void put(struct sluice *s, const char *run, struct json_t *o)
{
	struct slu_err e = {0};
	bool won = false;

	assert_int_equal(slu_outcome_put(s, run, o, &won, NULL, &e), 0);
	assert_true(won);
	slu_json_free(o);
}

static uint64_t latest(struct sluice *s, const char *name)
{
	struct slu_err e = {0};
	uint64_t n = 99;

	assert_int_equal(slu_registry_latest(s, name, &n, &e), 0);
	return n;
}

static void test_replay(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *done = NULL;
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");

	assert_int_equal(slu_outcome_replay(w.s, "r1", &done, &e), -ENOENT);
	put(w.s, "r1", space_outcome("r1", "Completed", a, "t", 0));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(slu_outcome_replay(w.s, "r1", &done, &e), 0);
		assert_string_equal(slu_json_str(slu_json_get(done, "out"), "name"), "t");
		assert_string_equal(slu_json_str(slu_json_get(done, "out"), "version"), "1");
		slu_json_free(slu_take(done));
	}
	assert_int_equal(latest(w.s, "t"), 1);
	assert_int_equal(slu_outcome_replay(w.s, "r1", NULL, &e), 0);

	/* Nothing comes of a run that did not complete. */
	put(w.s, "r2", space_outcome("r2", "Failed", a, "t", 1));
	put(w.s, "r3", space_outcome("r3", "Canceled", a, "t", 1));
	assert_int_equal(slu_outcome_replay(w.s, "r2", &done, &e), 0);
	assert_int_equal(slu_json_count(done), 0);
	slu_json_free(slu_take(done));
	assert_int_equal(slu_outcome_replay(w.s, "r3", NULL, &e), 0);
	assert_int_equal(latest(w.s, "t"), 1);
	space_done(&w);
}

static void test_outputs(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *done = NULL, *rec = NULL;
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a"), *b = space_saved(w.s, "b");
	struct json_t *o = space_outcome("r", "Completed", a, "t", 0), *out, *reg;
	struct json_t *outs = slu_json_get(o, "outputs");

	/* A second into the same name, one with a version of its own, one that is not registered. */
	slu_json_set(outs, "two", slu_json_copy(slu_json_get(outs, "out")));
	slu_json_set_str(slu_json_get(outs, "two"), "dataset", b);
	slu_json_set(outs, "named", slu_json_copy(slu_json_get(outs, "out")));
	reg = slu_json_get(slu_json_get(outs, "named"), "register");
	slu_json_set_str(reg, "version", "v1");
	slu_json_set_str(reg, "description", "words");
	out = slu_json_object();
	slu_json_set_str(out, "dataset", a);
	slu_json_set(outs, "loose", out);
	put(w.s, "r", o);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(slu_outcome_replay(w.s, "r", &done, &e), 0);
		assert_int_equal(slu_json_count(done), 3);
		assert_string_equal(slu_json_str(slu_json_get(done, "out"), "version"), "1");
		assert_string_equal(slu_json_str(slu_json_get(done, "two"), "version"), "2");
		assert_string_equal(slu_json_str(slu_json_get(done, "named"), "version"), "v1");
		slu_json_free(slu_take(done));
	}
	assert_int_equal(slu_registry_record(w.s, "t", "v1", &rec, &e), 0);
	assert_string_equal(slu_json_str(rec, "description"), "words");
	assert_string_equal(slu_json_str(rec, "created"), "2026-01-31T08:00:00.000000Z");
	assert_string_equal(slu_json_str(rec, "run"), "r");

	/* The first error ends it and names the output. */
	o = space_outcome("bad", "Completed", "00000000-0000-8000-8000-000000000000", "t", 0);
	put(w.s, "bad", o);
	assert_failed(slu_outcome_replay(w.s, "bad", &done, &e), e, ENOENT,
		      "output 'out' of run 'bad'");
	o = space_outcome("bad2", "Completed", a, "t", 0);
	slu_json_del(o, "time");
	put(w.s, "bad2", o);
	assert_failed(slu_outcome_replay(w.s, "bad2", &done, &e), e, EBADMSG, "lacks");
	assert_int_equal(slu_outcome_replay(w.s, "bad2", &done, NULL), -EBADMSG);
	assert_int_equal(latest(w.s, "t"), 2);
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_outputs),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
