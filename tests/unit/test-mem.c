/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation, the fault counter, the vector. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/mem.h"
#include "common/vec.h"

#include <errno.h>
#include <limits.h>
#include <sys/wait.h>

static void nothing_is_something(void **state)
{
	SLU_AUTO(slu_freep) void *a = slu_malloc(0);
	SLU_AUTO(slu_freep) void *b = slu_calloc(0, 8);
	SLU_AUTO(slu_freep) void *c = slu_realloc(NULL, 0);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
}

static void products_that_overflow_fail(void **state)
{
	(void)state;
	assert_null(slu_reallocarray(NULL, SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
}

static void strings_are_copied(void **state)
{
	SLU_AUTO(slu_freep) char *a = slu_strdup("abc");
	SLU_AUTO(slu_freep) char *b = slu_strndup("abcdef", 3);
	SLU_AUTO(slu_freep) char *c = slu_strndup("ab", 10);
	SLU_AUTO(slu_freep) char *d = slu_asprintf("%s-%d", "x", 7);

	(void)state;
	assert_string_equal(a, "abc");
	assert_string_equal(b, "abc");
	assert_string_equal(c, "ab");
	assert_string_equal(d, "x-7");
	assert_null(slu_strdup(NULL));
}

static void the_nth_allocation_fails_once(void **state)
{
	(void)state;
	slu_fault_arm(SLU_FAULT_MALLOC, 3, false);
	for (int i = 1; i <= 5; i++) {
		void *p = slu_malloc(1);

		if (i == 3)
			assert_null(p);
		else
			assert_non_null(p);
		free(p);
	}
	assert_int_equal(slu_fault_count(SLU_FAULT_MALLOC), 5);
	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	assert_false(slu_fault_on);
}

static void persistent_faults_stay(void **state)
{
	(void)state;
	slu_fault_arm(SLU_FAULT_IO, 2, true);
	assert_false(slu_fault(SLU_FAULT_IO));
	assert_true(slu_fault(SLU_FAULT_IO));
	assert_true(slu_fault(SLU_FAULT_IO));
	assert_false(slu_fault(SLU_FAULT_MALLOC));
	errno = 0;
	assert_int_equal(SLU_IO(close(-1)), -1);
	assert_int_equal(errno, EIO);
	slu_fault_arm(SLU_FAULT_IO, 0, false);
	assert_int_equal(SLU_IO(close(-1)), -1);
	assert_int_equal(errno, EBADF);
}

static void a_failed_realloc_keeps_the_old(void **state)
{
	char *p = slu_strdup("kept");

	(void)state;
	slu_fault_arm(SLU_FAULT_MALLOC, 1, true);
	assert_null(slu_realloc(p, 100));
	assert_null(slu_strdup("x"));
	assert_null(slu_asprintf("x"));
	assert_null(slu_calloc(1, 1));
	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	assert_string_equal(p, "kept");
	free(p);
}

static void vectors_grow(void **state)
{
	SLU_VEC(int) v = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(slu_vec_push(&v, i));
	assert_int_equal(v.n, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(v.p[i], i);
	slu_fault_arm(SLU_FAULT_MALLOC, 1, true);
	while (v.n < v.cap)
		assert_true(slu_vec_push(&v, 0));
	assert_false(slu_vec_push(&v, 0));
	assert_int_equal(v.n, v.cap);
	slu_fault_arm(SLU_FAULT_MALLOC, 0, false);
	free(v.p);
}

/* SLUICE_FAIL is read before main(), so the check runs this program again. */
static int child_main(void)
{
	void *a = slu_malloc(1), *b = slu_malloc(1), *c = slu_malloc(1);
	int r = SLU_IO(close(-1)) == -1 && errno == EIO;

	r = r && a && !b && !c;
	free(a);
	return r ? 42 : 1;
}

static void the_environment_arms(void **state)
{
	char *argv[] = {(char *)"test-mem", (char *)"child", NULL};
	char *envp[] = {(char *)"SLUICE_FAIL=malloc:2+,io:1", NULL};
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void large_memory_is_memory(void **state)
{
	(void)state;
	slu_mem_large(NULL, 8 << 20);
	for (size_t n = 1; n < 16 << 20; n = 3 * n + 1) {
		unsigned char *p = slu_malloc(n);

		assert_non_null(p);
		p[0] = p[n - 1] = 7;
		slu_mem_large(p, n);
		assert_int_equal(p[0], 7);
		assert_int_equal(p[n - 1], 7);
		memset(p, 9, n);
		free(p);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_memory_is_memory),
		cmocka_unit_test(nothing_is_something),
		cmocka_unit_test(products_that_overflow_fail),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(the_nth_allocation_fails_once),
		cmocka_unit_test(persistent_faults_stay),
		cmocka_unit_test(a_failed_realloc_keeps_the_old),
		cmocka_unit_test(vectors_grow),
		cmocka_unit_test(the_environment_arms),
	};

	if (argc == 2 && strcmp(argv[1], "child") == 0)
		return child_main();
	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
