/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a pipeline's steps, and cycles by name. */
#include "tests/unit/unit.h"

#include "job/graph.h"

#include <errno.h>

/* Steps named a, b, ...; needs[i] lists the names that step i reads from. */
struct steps {
	struct slu_spec_step step[8];
	struct slu_spec_input in[8][8];
	char names[8][2];
	char from[8][8][2];
};

static void make(struct steps *s, size_t n, const char *const *needs)
{
	memset(s, 0, sizeof *s);
	for (size_t i = 0; i < n; i++) {
		s->names[i][0] = (char)('a' + (int)i);
		s->step[i].name = s->names[i];
		s->step[i].where = (char *)"p.yml:1:1";
		s->step[i].in = s->in[i];
		for (const char *p = needs[i]; *p; p++) {
			struct slu_spec_input *in = &s->in[i][s->step[i].nin];

			s->from[i][s->step[i].nin][0] = *p;
			in->step = s->from[i][s->step[i].nin++];
			in->where = (char *)"p.yml:9:9";
		}
	}
}

static void check_order(size_t n, const char *const *needs, const char *want)
{
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	struct slu_err e = {0};
	struct steps s;
	char got[9] = "";

	make(&s, n, needs);
	if (slu_graph_new(s.step, n, &g, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < n; i++)
		got[i] = (char)('a' + (int)g->order[i]);
	assert_string_equal(got, want);
}

static void test_order(void **state)
{
	(void)state;
	check_order(0, NULL, "");
	check_order(3, (const char *const[]){"", "", ""}, "abc");
	check_order(3, (const char *const[]){"b", "c", ""}, "cba");
	check_order(4, (const char *const[]){"", "a", "a", "bc"}, "abcd");
	check_order(4, (const char *const[]){"d", "", "", "bb"}, "bcda");
}

static void test_needs(void **state)
{
	SLU_AUTO(slu_graph_freep) struct slu_graph *g = NULL;
	struct slu_err e = {0};
	struct steps s;

	(void)state;
	make(&s, 3, (const char *const[]){"", "", "aba"});
	assert_int_equal(slu_graph_new(s.step, 3, &g, &e), 0);
	assert_int_equal(g->nneeds[2], 2);
	assert_int_equal(g->needs[2][0], 0);
	assert_int_equal(g->needs[2][1], 1);
}

static void check_cycle(size_t n, const char *const *needs, const char *const *names)
{
	struct slu_graph *g = NULL;
	struct slu_err e = {0};
	struct steps s;

	make(&s, n, needs);
	assert_failed(slu_graph_new(s.step, n, &g, &e), e, EINVAL, "wait for one another");
	assert_null(g);
	for (; *names; names++)
		assert_contains(e.msg, *names);
}

static void test_cycle(void **state)
{
	(void)state;
	check_cycle(1, (const char *const[]){"a"}, (const char *const[]){"'a' needs 'a'", NULL});
	check_cycle(2, (const char *const[]){"b", "a"},
		    (const char *const[]){"'a' needs 'b'", "'b' needs 'a'", NULL});
	/* Only the steps of the cycle are named, not those before or behind it. */
	check_cycle(5, (const char *const[]){"", "ad", "b", "c", "d"},
		    (const char *const[]){"'b' needs 'd'", "'d' needs 'c'", "'c' needs 'b'", NULL});
}

static void test_missing(void **state)
{
	struct slu_graph *g = NULL;
	struct slu_err e = {0};
	struct steps s;

	(void)state;
	make(&s, 1, (const char *const[]){"x"});
	assert_failed(slu_graph_new(s.step, 1, &g, &e), e, EINVAL,
		      "p.yml:9:9: there is no step 'x'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order), cmocka_unit_test(test_needs),
		cmocka_unit_test(test_cycle), cmocka_unit_test(test_missing)};

	return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
