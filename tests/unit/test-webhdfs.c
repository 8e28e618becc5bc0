/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of WebHDFS: recorded from a real server, and spoilt. */
#include "tests/unit/corpus.h"

#include "common/str.h"
#include "tests/fuzz/fuzz-webhdfs.c"

#include <errno.h>

/* The recorded answer of that name. */
static char *recorded(const char *name, size_t *n)
{
	struct slu_buf b = SLU_BUF(1 << 20);
	char path[1024];
	const char *slash = strrchr(__FILE__, '/');

	snprintf(path, sizeof(path), "%.*s/../corpus/webhdfs/%s", (int)(slash - __FILE__), __FILE__,
		 name);
	assert_int_equal(slu_buf_read_at(&b, AT_FDCWD, path), 0);
	*n = b.len;
	return slu_buf_take(&b);
}

static void statuses(void **state)
{
	struct slu_hdfs_id id;
	struct slu_err e = {0};
	struct slu_attr a;
	size_t n;
	char *p = recorded("status-file", &n);

	(void)state;
	assert_int_equal(slu_hdfs_status(p, n, &a, &id, &e), 0);
	assert_int_equal(a.kind, SLU_KIND_FILE);
	assert_int_equal(a.size, 6);
	assert_int_equal(id.inode, 16428);
	assert_true(a.mtime_ns == 1795220996651 * 1000000);
	assert_string_equal(a.id, "402c-1a1fb82822b-6");
	free(p);

	p = recorded("status-folder", &n);
	assert_int_equal(slu_hdfs_status(p, n, &a, &id, &e), 0);
	assert_int_equal(a.kind, SLU_KIND_DIR);
	assert_string_equal(a.id, "4012");
	free(p);
}

static void broken_statuses(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"<html>",
		"{\"FileStatus\":{}}",
		"{\"FileStatus\":{\"type\":\"FILE\",\"length\":-1,\"modificationTime\":1}}",
		"{\"FileStatus\":{\"type\":\"FILE\",\"length\":1}}",
		"{\"FileStatus\":{\"type\":\"PIPE\",\"length\":1,\"modificationTime\":1}}",
		"{\"FileStatus\":{\"type\":\"FILE\",\"length\":1,\"modificationTime\":1,"
		"\"fileId\":-4}}",
		"{\"FileStatus\":{\"type\":\"FILE\",\"length\":1,"
		"\"modificationTime\":9223372036854775807}}",
	};
	struct slu_hdfs_id id;
	struct slu_attr a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_err e = {0};

		assert_failed(slu_hdfs_status(bad[i], strlen(bad[i]), &a, &id, &e), e, EPROTO,
			      "not one of WebHDFS");
	}
	const char *link =
		"{\"FileStatus\":{\"type\":\"SYMLINK\",\"length\":0,\"modificationTime\":1}}";
	struct slu_err e = {0};

	assert_failed(slu_hdfs_status(link, strlen(link), &a, &id, &e), e, EINVAL, "symbolic link");
}

static void listings(void **state)
{
	struct slu_list l = {0};
	struct slu_err e = {0};
	size_t n;
	char *p = recorded("listing", &n);

	(void)state;
	assert_int_equal(slu_hdfs_listing(p, n, false, &l, &e), 0);
	assert_int_equal(l.n, 8);
	assert_string_equal(l.p[0].name, "\x1b[31mred");
	assert_string_equal(l.p[5].name, "new\nline");
	assert_int_equal(l.p[5].attr.size, 1);
	assert_null(l.next);
	slu_list_done(&l);
	free(p);

	p = recorded("listing-empty", &n);
	assert_int_equal(slu_hdfs_listing(p, n, false, &l, &e), 0);
	assert_int_equal(l.n, 0);
	free(p);

	p = recorded("listing-file", &n);
	assert_failed(slu_hdfs_listing(p, n, false, &l, &e), e, ENOTDIR, "not a folder");
	free(p);
}

#define ENTRY(name)                                                                                \
	"{\"pathSuffix\":\"" name "\",\"type\":\"FILE\",\"length\":1,\"modificationTime\":5,"      \
	"\"fileId\":9}"
#define PAGE(entries, left)                                                                        \
	"{\"DirectoryListing\":{\"partialListing\":{\"FileStatuses\":{\"FileStatus\":[" entries    \
	"]}},\"remainingEntries\":" left "}}"

static int list_text(const char *text, bool temps, struct slu_list *l, struct slu_err *e)
{
	return slu_hdfs_listing(text, strlen(text), temps, l, e);
}

static void pages(void **state)
{
	const char *page = PAGE(ENTRY("a") "," ENTRY(".sluice-1"), "3");
	struct slu_list l = {0};
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(list_text(page, false, &l, &e), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.next,
			    ".sluice-1"); /* the next page is behind what was left out too */
	slu_list_done(&l);
	assert_int_equal(list_text(page, true, &l, &e), 0);
	assert_int_equal(l.n, 2);
	slu_list_done(&l);
	assert_failed(list_text(PAGE("", "3"), false, &l, &e), e, EPROTO, "empty");
	assert_failed(list_text("{\"DirectoryListing\":{}}", false, &l, &e), e, EPROTO, "entries");
}

static void names_that_climb(void **state)
{
	static const char *const bad[] = {
		PAGE(ENTRY("..") "," ENTRY("a"), "0"),  PAGE(ENTRY(".") "," ENTRY("a"), "0"),
		PAGE(ENTRY("a/b") "," ENTRY("a"), "0"), PAGE(ENTRY("/x"), "0"),
		PAGE(ENTRY("") "," ENTRY("a"), "0"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_list l = {0};
		struct slu_err e = {0};

		assert_failed(list_text(bad[i], false, &l, &e), e, EPROTO, "name");
		slu_list_done(&l);
	}
}

static void errors(void **state)
{
	static const struct {
		const char *file;
		int http, code;
		const char *text, *svc;
	} all[] = {
		{"error-missing", 404, ENOENT, "/ws1/nope", "FileNotFoundException"},
		{"error-inode", 404, ENOENT, "inode", "FileNotFoundException"},
		{"error-exists", 403, EEXIST, "already exists", "FileAlreadyExistsException"},
		{"error-parent", 403, ENOTDIR, "/d/sync", "ParentNotDirectoryException"},
		{"error-name", 403, EINVAL, "no ':'", "InvalidPathException"},
		{"error-permission", 403, EACCES, "user=bob", "AccessControlException"},
		{"error-op", 400, EINVAL, "NOSUCH", "IllegalArgumentException"},
		{"error-datanode", 404, EISDIR, "Path is not a file: /d", "FileNotFoundException"},
		{"error-range", 403, EIO, "Offset=99", "IOException"},
		{"error-kinds", 403, EIO, "must both be", "IOException"},
		{"error-notempty", 403, ENOTEMPTY, "not empty", "PathIsNotEmptyDirectoryException"},
		{"error-standby", 403, EAGAIN, "name the active one", "StandbyException"},
		{"error-token", 403, EKEYEXPIRED, "get a new one", "SecurityException"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct slu_err e = {0};
		size_t n;
		char *p = recorded(all[i].file, &n);

		assert_failed(slu_hdfs_error(p, n, all[i].http, &e), e, all[i].code, all[i].text);
		assert_string_equal(e.svc, all[i].svc);
		assert_int_equal(e.http, all[i].http);
		assert_lacks(e.msg, "\tat org.apache"); /* no stack trace */
		assert_lacks(e.msg, "\\x09at");
		free(p);
	}
}

static void errors_without_a_reason(void **state)
{
	static const struct {
		const char *body;
		int http, code;
	} all[] = {
		{"", 401, EACCES},
		{"<html>", 403, EACCES},
		{"<html>", 404, EPROTO},
		{"", 503, EAGAIN},
		{"", 429, EAGAIN},
		{"{}", 500, EIO},
		{"{\"RemoteException\":1}", 500, EIO},
		{"", 307, EPROTO},
		{"{\"RemoteException\":{\"exception\":\"Whatever\"}}", 403, EIO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct slu_err e = {0};

		assert_failed(slu_hdfs_error(all[i].body, strlen(all[i].body), all[i].http, &e), e,
			      all[i].code, "");
	}
}

static void locations(void **state)
{
	struct slu_err e = {0};
	char *url = NULL, *host = NULL, *ranged;
	size_t n;
	char *p = recorded("location", &n);

	(void)state;
	assert_int_equal(slu_hdfs_location(p, n, &url, &e), 0);
	assert_int_equal(slu_hdfs_check_location(url, false, &host, &e), 0);
	assert_string_equal(host, "127.0.0.1:9864");
	ranged = slu_hdfs_ranged(url, 4096, 77);
	assert_string_equal(ranged,
			    "http://127.0.0.1:9864/webhdfs/v1/ws1/a/f?op=OPEN&user.name=root"
			    "&namenoderpcaddress=127.0.0.1:8020&offset=4096&length=77");
	free(ranged);
	free(url);
	free(host);
	free(p);
	ranged = slu_hdfs_ranged("http://h/x?length=5&OP=OPEN", 0, 1);
	assert_string_equal(ranged, "http://h/x?OP=OPEN&offset=0&length=1");
	free(ranged);
	/* what a gateway encrypted is for the one range */
	static const char *const closed[] = {"http://h/x?_=AAAACop=OPEN", "http://h/x",
					     "http://h/x?"};

	for (size_t i = 0; i < 3; i++) {
		ranged = slu_hdfs_ranged(closed[i], 0, 1);
		assert_string_equal(ranged, closed[i]);
		free(ranged);
		assert_false(slu_hdfs_is_open(closed[i]));
	}
	/* https stays https, and nothing but a plain address is followed */
	static const char *const bad[] = {
		"https://h:1/x", "file:///etc/passwd", "http:///x", "http://u@h/x",
		"http://h/a b",  "http://h\n/x",       ""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_failed(slu_hdfs_check_location(bad[i], false, &host, &e), e, EPROTO,
			      "DataNode");
	assert_failed(slu_hdfs_check_location("http://h/x", true, &host, &e), e, EPROTO, "https");
}

static void identities(void **state)
{
	static const char *const bad[] = {"",
					  "1-2",
					  "1-2-",
					  "1-2-3-4",
					  "x-1-2",
					  "1-2-3 ",
					  "-1-2-3",
					  "12345678901234567-1-1",
					  "1-2-ffffffffffffffff",
					  "A-1-1"};
	struct slu_hdfs_id id;

	(void)state;
	assert_true(slu_hdfs_id_parse("402c-1a-6", &id));
	assert_true(id.inode == 0x402c && id.mtime == 0x1a && id.size == 6);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (slu_hdfs_id_parse(bad[i], &id))
			fail_msg("'%s' is an identity", bad[i]);
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "webhdfs", LLVMFuzzerTestOneInput) > 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses),   cmocka_unit_test(broken_statuses),
		cmocka_unit_test(listings),   cmocka_unit_test(pages),
		cmocka_unit_test(errors),     cmocka_unit_test(errors_without_a_reason),
		cmocka_unit_test(locations),  cmocka_unit_test(names_that_climb),
		cmocka_unit_test(identities), cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests_name("webhdfs", tests, NULL, NULL);
}
