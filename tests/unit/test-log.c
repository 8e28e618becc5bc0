/* SPDX-License-Identifier: Apache-2.0 */
/* The log and the redactor. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void check(const char *text, const char *want)
{
	struct slu_buf b = SLU_BUF(10000), again = SLU_BUF(10000);

	slu_redact(&b, text);
	assert_string_equal(b.p, want);
	slu_redact(&again, b.p);
	assert_string_equal(again.p, want);
	slu_buf_done(&b);
	slu_buf_done(&again);
}

static void query_strings(void **state)
{
	(void)state;
	check("?sv=2021&sig=a%2Fb%3D&se=3", "?sv=2021&sig=***&se=3");
	check("?sig=x", "?sig=***");
	check("?SIG=x&delegation=JAAH&op=OPEN", "?SIG=***&delegation=***&op=OPEN");
	check("&token=t&access_token=a&x=1", "&token=***&access_token=***&x=1");
	check("u=https%3A%2F%2Fa%2Fb%3Fsig%3Dabc%26se%3D1",
	      "u=https%3A%2F%2Fa%2Fb%3Fsig%3D***%26se%3D1");
	check("https://user:pa:ss@host/p:1?x@y", "https://user:***@host/p:1?x@y");
	check("wasbs://box@user:pa@ss:w@host:1/x@y", "wasbs://box@user:***@host:1/x@y");
	check("abfss://box@acc.dfs.core.windows.net:443/p",
	      "abfss://box@acc.dfs.core.windows.net:443/p");
	check("http://host:80/a@b", "http://host:80/a@b");
}

static void connection_strings(void **state)
{
	(void)state;
	check("AccountName=a;AccountKey=Zm9v+/8==;EndpointSuffix=x",
	      "AccountName=a;AccountKey=***;EndpointSuffix=x");
	check("BlobEndpoint=https://a/;SharedAccessSignature=sv=1&sig=x&se=2;X=1",
	      "BlobEndpoint=https://a/;SharedAccessSignature=***;X=1");
	check("password='my pass word' next", "password='***' next");
	check("client_secret=abc, tenant=t", "client_secret=***, tenant=t");
	check("--conf spark.hadoop.fs.azure.account.key.acc.blob.core.windows.net=K3y== x",
	      "--conf spark.hadoop.fs.azure.account.key.acc.blob.core.windows.net=*** x");
	check("X-Amz-Signature=0ab&X-Amz-Date=1", "X-Amz-Signature=***&X-Amz-Date=1");
}

static void headers(void **state)
{
	(void)state;
	check("Authorization: Bearer abc.def-ghi", "Authorization: ***");
	check("authorization:SharedKey acc:abc=\r\nHost: x", "authorization:***\r\nHost: x");
	check("-H 'Authorization: Digest username=\"u\"' rest", "-H 'Authorization: ***' rest");
	check("\"Authorization\": \"Bearer x\", \"Host\": 1",
	      "\"Authorization\": \"***\", \"Host\": 1");
	check("x-ms-encryption-key: AAA=", "x-ms-encryption-key: ***");
	check("x-ms-copy-source-authorization: Bearer x", "x-ms-copy-source-authorization: ***");
	check("x-ms-version: 2021", "x-ms-version: 2021");
	check("Cookie: hadoop.auth=x", "Cookie: ***");
	check("got Bearer eyJ0 from it", "got Bearer *** from it");
	check("SharedKey acc:Zm9v= x", "SharedKey acc:*** x");
	check("Negotiate YIIJvwYGKwYBBQUCoIIJszCC", "Negotiate ***");
}

static void json_and_yaml(void **state)
{
	(void)state;
	check("{\"access_token\":\"eyJ\",\"expires_in\":1}",
	      "{\"access_token\":\"***\",\"expires_in\":1}");
	check("{\"token\" : \"t\"}", "{\"token\" : \"***\"}");
	check("{'password': 'p', \"pwd\": 12345}", "{'password': '***', \"pwd\": ***}");
	check("client_secret: abc", "client_secret: ***");
	check("account_key: \"a b\"", "account_key: \"***\"");
}

static void harmless_text_stays(void **state)
{
	static const char *const same[] = {
		"",
		"cannot refresh the token: connection refused",
		"wrong password: try again",
		"se=2026&sp=r",
		"design=nice assign=1",
		"cannot read '/run/token': No such file",
		"unknown key 'client_secret': did you mean 'x'?",
		"header 'x-ms-encryption-key': not understood",

		"no sig here",
		"sig=",
		"sig=&x=1",
		"a basic authentication failed",
		"negotiate a price",
		"key=value monkey=3",
		"the option --token",
		"password",
		"%",
		"%zz",
		"a%26",
		"://",
		"://:@",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct slu_buf b = SLU_BUF(10000);

		slu_buf_str(&b, "");
		slu_redact(&b, same[i]);
		assert_string_equal(b.p, same[i]);
		slu_buf_done(&b);
	}
}

struct seen {
	int n;
	enum slu_log_level level;
	char module[32], line[8192];
};

static void keep(void *user, enum slu_log_level level, const char *module, const char *line)
{
	struct seen *s = user;

	s->n++;
	s->level = level;
	snprintf(s->module, sizeof(s->module), "%s", module);
	snprintf(s->line, sizeof(s->line), "%s", line);
}

static void levels_choose_and_lines_are_clean(void **state)
{
	struct seen s = {0};

	(void)state;
	slu_log_set(keep, &s);
	slu_log_level(SLU_LOG_WARNING);
	slu_log(SLU_LOG_INFO, "fs", "not this");
	slu_debug("fs", "nor this");
	assert_int_equal(s.n, 0);
	errno = 7;
	slu_warn("fs", "object '%s' with sig=%s", "a\nb", "secret");
	assert_int_equal(errno, 7);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.level, SLU_LOG_WARNING);
	assert_string_equal(s.module, "fs");
	assert_string_equal(s.line, "object 'a\\x0ab' with sig=***");
	slu_log_level(SLU_LOG_DEBUG);
	slu_debug("fs", "now");
	assert_int_equal(s.n, 2);
	slu_log_level(SLU_LOG_WARNING);
	slu_log_set(NULL, NULL);
}

static void long_lines_are_cut(void **state)
{
	static char text[20000];
	struct seen s = {0};

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	slu_log_set(keep, &s);
	slu_warn("fs", "%s", text);
	assert_true(slu_ends(s.line, "xx..."));
	assert_true(strlen(s.line) < 4096);
	slu_log_set(NULL, NULL);
}

static void a_file_gets_lines_with_time_and_level(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10000);
	struct unit_dir d;
	struct stat st;
	char path[128], when[28];
	int64_t ns;

	(void)state;
	unit_dir_make(&d);
	snprintf(path, sizeof(path), "%s/log", d.path);
	assert_int_equal(slu_log_to_file(path), 0);
	slu_warn("io", "one");
	slu_log(SLU_LOG_ERROR, "fs", "two");
	assert_int_equal(slu_buf_read_at(&b, d.fd, "log"), 0);
	assert_int_equal(fstatat(d.fd, "log", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(when, sizeof(when), "%.27s", b.p);
	assert_true(slu_time_parse(when, &ns));
	assert_true(slu_wall() - ns < 60 * SLU_SEC);
	assert_contains(b.p, "Z warning io: one\n20");
	assert_true(slu_ends(b.p, "Z error fs: two\n"));
	/* another file takes over, then stderr again */
	snprintf(path, sizeof(path), "%s/log2", d.path);
	assert_int_equal(slu_log_to_file(path), 0);
	slu_warn("io", "three");
	slu_log_set(NULL, NULL);
	slu_buf_clear(&b);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "log2"), 0);
	assert_true(slu_ends(b.p, "Z warning io: three\n"));
	snprintf(path, sizeof(path), "%s/absent/log", d.path);
	assert_int_equal(slu_log_to_file(path), -ENOENT);
	unit_dir_done(&d);
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < 500; i++)
		slu_warn("io", "thread %s of four writes a whole line %d", (const char *)arg, i);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static const char *const names[] = {"A", "B", "C", "D"};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10 << 20);
	struct unit_dir d;
	pthread_t t[4];
	char path[128];
	int lines = 0;

	(void)state;
	unit_dir_make(&d);
	snprintf(path, sizeof(path), "%s/log", d.path);
	assert_int_equal(slu_log_to_file(path), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_lines, (void *)names[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	slu_log_set(NULL, NULL);
	assert_int_equal(slu_buf_read_at(&b, d.fd, "log"), 0);
	for (char *p = b.p, *end; (end = strchr(p, '\n')); p = end + 1, lines++) {
		*end = '\0';
		assert_contains(p, "Z warning io: thread ");
		assert_contains(p, " of four writes a whole line ");
		assert_in_range(strlen(p), 78, 80);
	}
	assert_int_equal(lines, 2000);
	unit_dir_done(&d);
}

/* The environment is read before main(): this program again, its stderr in a pipe. */
static void the_environment_chooses(void **state)
{
	char *argv[] = {(char *)"test-log", (char *)"child", NULL};
	char *envp[] = {(char *)"SLUICE_LOG=error", (char *)"SLUICE_DEBUG=io,fs=2,blob=0", NULL};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(10000);
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(slu_buf_read_fd(&b, fds[0]), 0);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_contains(b.p, "Z debug io: io\n");
	assert_contains(b.p, "Z debug fs: fs\n");
	assert_contains(b.p, "Z error x: error\n");
	assert_lacks(b.p, "blob");
	assert_lacks(b.p, "warning");
}

static int child_main(void)
{
	slu_debug("io", "io");
	slu_debug("fs", "fs");
	slu_debug("blob", "blob");
	slu_warn("x", "a warning");
	slu_log(SLU_LOG_ERROR, "x", "error");
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_strings),
		cmocka_unit_test(connection_strings),
		cmocka_unit_test(headers),
		cmocka_unit_test(json_and_yaml),
		cmocka_unit_test(harmless_text_stays),
		cmocka_unit_test(levels_choose_and_lines_are_clean),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(a_file_gets_lines_with_time_and_level),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(the_environment_chooses),
	};

	if (argc == 2 && strcmp(argv[1], "child") == 0)
		return child_main();
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
