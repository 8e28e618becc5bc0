/* SPDX-License-Identifier: Apache-2.0 */
/* Delegation tokens: files made by Hadoop's own tool in both formats, the same as text, and spoilt ones. */
#include "tests/unit/corpus.h"

#include "common/mem.h"
#include "tests/fuzz/fuzz-token.c"

#include <fcntl.h>

static char *recorded(const char *name, size_t *n)
{
	struct slu_buf b = SLU_BUF(1 << 20);
	char path[1024];
	const char *slash = strrchr(__FILE__, '/');

	snprintf(path, sizeof(path), "%.*s/../corpus/token/%s", (int)(slash - __FILE__), __FILE__,
		 name);
	assert_int_equal(slu_buf_read_at(&b, AT_FDCWD, path), 0);
	*n = b.len;
	return slu_buf_take(&b);
}

static void is_alice(const struct slu_hdfs_token *t)
{
	assert_string_equal(t->kind, "HDFS_DELEGATION_TOKEN");
	assert_string_equal(t->service, "127.0.0.1:35381");
	assert_int_equal(t->id_len, 42);
	assert_int_equal(t->password_len, 20);
	assert_memory_equal(t->id + 2, "alice@SLUICE.TEST", 17);
}

static void files_of_both_formats(void **state)
{
	static const char *const names[] = {"writable", "protobuf"};
	static const char *const services[] = {"nn:8020", "127.0.0.1:35381", NULL};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct slu_hdfs_token t = {0};
		struct slu_err e = {0};
		size_t n;
		char *p = recorded(names[i], &n);

		assert_true(slu_hdfs_token_is_file(p, n));
		assert_int_equal(slu_hdfs_token_pick(p, n, services, true, &t, &e), 0);
		is_alice(&t);
		slu_hdfs_token_done(&t);
		free(p);
	}
}

static void the_same_as_text(void **state)
{
	struct slu_hdfs_token t = {0};
	struct slu_err e = {0};
	size_t n;
	char *p = recorded("text", &n), *again;

	(void)state;
	assert_int_equal(slu_hdfs_token_parse(p, &t, &e), 0);
	is_alice(&t);
	again = slu_hdfs_token_text(&t);
	assert_string_equal(again, p);
	slu_hdfs_token_done(&t);
	free(again);
	free(p);
}

/* A token for another server is taken only where somebody named this file, and it is the only one. */
static void another_service(void **state)
{
	static const char *const services[] = {"nn:8020", NULL};
	struct slu_hdfs_token t = {0};
	struct slu_err e = {0};
	size_t n;
	char *p = recorded("writable", &n);

	(void)state;
	assert_failed(slu_hdfs_token_pick(p, n, services, true, &t, &e), e, ENOENT,
		      "127.0.0.1:35381");
	assert_int_equal(slu_hdfs_token_pick(p, n, services, false, &t, &e), 0);
	is_alice(&t);
	slu_hdfs_token_done(&t);
	free(p);
}

/* count tokens of that kind and these services. */
static size_t make_file(char *out, const char *kind, const char *const *services, size_t count)
{
	size_t n = 0;

	memcpy(out, "HDTS\0", 5);
	n = 5;
	out[n++] = (char)count;
	for (size_t i = 0; i < count; i++)
		n += (size_t)sprintf(out + n, "%cA%cid%cpw%c%s%c%s", 1, 2, 2, (int)strlen(kind),
				     kind, (int)strlen(services[i]), services[i]);
	out[n++] = 0; /* no secret keys */
	return n;
}

static void several_tokens(void **state)
{
	static const char *const in_file[] = {"a:1", "b:2"};
	static const char *const wanted[] = {"b:2", NULL};
	static const char *const other[] = {"c:3", NULL};
	struct slu_hdfs_token t = {0};
	struct slu_err e = {0};
	char file[400];
	size_t n = make_file(file, "HDFS_DELEGATION_TOKEN", in_file, 2);

	(void)state;
	assert_int_equal(slu_hdfs_token_pick(file, n, wanted, false, &t, &e), 0);
	assert_string_equal(t.service, "b:2");
	slu_hdfs_token_done(&t);
	assert_failed(slu_hdfs_token_pick(file, n, other, false, &t, &e), e, ENOENT,
		      "'a:1', 'b:2'");
	n = make_file(file, "YARN_AM_RM_TOKEN", in_file, 2);
	assert_failed(slu_hdfs_token_pick(file, n, wanted, false, &t, &e), e, ENOENT,
		      "no delegation token");
}

static void cut_and_spoilt(void **state)
{
	static const char *const names[] = {"writable", "protobuf"};
	static const char *const bad[] = {"", "AAAA", "AAAAAA", "x", "!!!!", "----", "_w"};
	struct slu_hdfs_token t = {0};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_failed(slu_hdfs_token_parse(bad[i], &t, &e), e, EINVAL, "no delegation");
	for (size_t k = 0; k < 2; k++) {
		size_t n;
		char *p = recorded(names[k], &n);

		for (size_t cut = 0; cut + 1 < n; cut++)
			assert_true(slu_hdfs_token_pick(p, cut, NULL, false, &t, &e) < 0);
		p[4] = 2; /* a version that nobody knows */
		assert_failed(slu_hdfs_token_pick(p, n, NULL, false, &t, &e), e, EINVAL, "damaged");
		free(p);
	}
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "token", LLVMFuzzerTestOneInput) >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_both_formats), cmocka_unit_test(the_same_as_text),
		cmocka_unit_test(another_service),       cmocka_unit_test(several_tokens),
		cmocka_unit_test(cut_and_spoilt),        cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests_name("hdfstoken", tests, NULL, NULL);
}
