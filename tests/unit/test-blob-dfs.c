/* SPDX-License-Identifier: Apache-2.0 */
/* A hierarchical namespace, against a server that plays a script. */
#include "tests/unit/blob-play.h"

#include "blob/dfs.h"
#include "tests/fuzz/fuzz-dfslist.c"
#include "tests/unit/corpus.h"

#define MISSING NONE("404 Not Found", "PathNotFound")
#define FOLDER HEAD("0", "x-ms-resource-type: directory\r\n")
#define OTHER                                                                                      \
	OK "ETag: \"0x2\"\r\nLast-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: "     \
	   "3\r\n\r\n"
#define FILE_JSON(name)                                                                            \
	"{\"name\":\"" name "\",\"contentLength\":\"3\",\"etag\":\"0x1\",\"lastModified\":\"Sat, " \
	"21 Nov 2026 00:00:00 GMT\"}"
#define FOLDER_JSON(name) "{\"name\":\"" name "\",\"isDirectory\":\"true\"}"
#define PATHS(all) "{\"paths\":[" all "]}"

static struct slu_store *hns(const char *more)
{
	char text[200];

	snprintf(text, sizeof(text),
		 ", \"namespace\": \"hierarchical\", \"dfs_endpoint\": "
		 "\"http://127.0.0.1:%u/acct.dfs\"%s",
		 srv.port, more);
	return open_store(text);
}

static int list(struct slu_store *s, const char *path, unsigned flags, const char *marker,
		struct slu_list *ret, struct slu_err *e)
{
	struct slu_op op;

	slu_op_list(&op, path, marker, ret);
	op.flags = flags | SLU_OPF_NO_SUMS;
	return slu_store_wait(s, &op, e);
}

static void folders_are_listed_by_the_other_endpoint(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list l = {0}, all = {0};
	struct slu_store *s = hns("");

	(void)state;
	PLAY({"GET "
	      "/acct.dfs/data?directory=in%2Fa%20b&maxResults=5000&recursive=false&resource="
	      "filesystem ",
	      "x-ms-version: 2023-08-03", OK "x-ms-continuation: a+/=b\r\n",
	      PATHS(FILE_JSON("in/a b/\\u00fc%41\\\"+") "," FOLDER_JSON("in/a b/d"))},
	     {"GET "
	      "/acct.dfs/data?continuation=a%2B%2F%3Db&maxResults=5000&recursive=true&resource="
	      "filesystem ",
	      NULL, OK, PATHS(FOLDER_JSON("d") "," FILE_JSON("d/f"))});
	assert_int_equal(list(s, "in/a b", 0, NULL, &l, NULL), 0);
	assert_int_equal(l.n, 2);
	assert_string_equal(l.p[0].name, "\xc3\xbc%41\"+");
	assert_string_equal(l.p[0].attr.id, "0x1");
	assert_int_equal(l.p[0].attr.size, 3);
	assert_int_equal(l.p[1].attr.kind, SLU_KIND_DIR);
	assert_string_equal(l.next, "a+/=b");
	assert_int_equal(list(s, "", SLU_OPF_RECURSIVE, l.next, &all, NULL), 0);
	assert_int_equal(all.n, 1);
	assert_string_equal(all.p[0].name, "d/f");
	assert_null(all.next);
	slu_store_free(s);
	played();
}

static void files_and_nothing_are_told_apart(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list l = {0};
	struct slu_store *s = hns("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"GET", NULL, MISSING, NULL}, {"HEAD /acct/data/f ", NULL, HEAD("1", ""), NULL},
	     {"GET", NULL, MISSING, NULL}, {"HEAD /acct/data/f ", NULL, MISSING, NULL},
	     {"GET", NULL, NONE("404 Not Found", "FilesystemNotFound"), NULL},
	     {"HEAD", NULL, MISSING, NULL});
	assert_failed(list(s, "f", 0, NULL, &l, &e), e, ENOTDIR, "'f'");
	assert_failed(list(s, "f", 0, NULL, &l, &e), e, ENOENT, "'f'");
	assert_failed(list(s, "f", 0, NULL, &l, &e), e, ENOENT, "container does not exist");
	assert_int_equal(slu_store_stat(s, "f", &(struct slu_attr){0}, &e), -ENOENT);
	slu_store_free(s);
	played();
}

static void who_needs_checksums_asks_the_blob_endpoint(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list l = {0};
	struct slu_store *s = hns(""), *ignoring = hns(", \"content_md5\": \"ignore\"");
	struct slu_op op;

	(void)state;
	PLAY({"GET /acct/data?comp=list&", NULL, OK,
	      "<EnumerationResults><Blobs/></EnumerationResults>"},
	     {"GET /acct.dfs/data?", NULL, OK, PATHS("")});
	slu_op_list(&op, "", NULL, &l);
	assert_int_equal(slu_store_wait(s, &op, NULL), 0);
	slu_op_list(&op, "", NULL, &l);
	assert_int_equal(slu_store_wait(ignoring, &op, NULL), 0);
	slu_store_free(s);
	slu_store_free(ignoring);
	played();
}

static void what_is_no_listing_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
		int error;
	} bad[] = {
		{"", "the listing of 'in'", EPROTO},
		{"{}", "no paths", EPROTO},
		{PATHS(FILE_JSON("elsewhere/f")), "'elsewhere/f'", EPROTO},
		{PATHS(FILE_JSON("in")), "'in'", EPROTO},
		{PATHS(FILE_JSON("in/a/b")), "'in/a/b'", EPROTO},
		{PATHS("{\"name\":\"in/f\"}"), "'in/f' without", EPROTO},
		{PATHS("{\"name\":\"in/f\",\"contentLength\":\"-1\",\"etag\":\"x\","
		       "\"lastModified\":\"Sat, 21 Nov 2026 00:00:00 GMT\"}"),
		 "'in/f' without", EPROTO},
		{PATHS("{\"name\":\"in/f\",\"contentLength\":\"1\",\"etag\":\"\","
		       "\"lastModified\":\"Sat, 21 Nov 2026 00:00:00 GMT\"}"),
		 "'in/f' without", EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SLU_AUTO(slu_list_done) struct slu_list l = {0};
		struct slu_err e = {0};

		assert_failed(
			slu_dfs_list_parse(bad[i].text, strlen(bad[i].text), "in", false, &l, &e),
			e, bad[i].error, bad[i].why);
	}
}

static int make(struct slu_store *s, const char *path, struct slu_err *e)
{
	struct slu_op op;

	slu_op_mkdir(&op, path);
	return slu_store_wait(s, &op, e);
}

static void a_folder_is_not_made_over_a_file(void **state)
{
#define THERE NONE("409 Conflict", "PathAlreadyExists")
	struct slu_store *s = hns("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"PUT /acct/data?restype=container ", NULL, CREATED, NULL},
	     {"PUT", NULL, NONE("409 Conflict", "ContainerAlreadyExists"), NULL},
	     {"PUT", NULL, NONE("409 Conflict", "ContainerBeingDeleted"), NULL},
	     {"PUT /acct.dfs/data/d?resource=directory ", "if-none-match: *", CREATED, NULL},
	     {"PUT", NULL, THERE, NULL}, {"HEAD", NULL, FOLDER, NULL}, {"PUT", NULL, THERE, NULL},
	     {"HEAD", NULL, HEAD("1", ""), NULL});
	assert_int_equal(make(s, "", NULL), 0);
	assert_int_equal(make(s, "", NULL), 0);
	assert_failed(make(s, "", &e), e, EBUSY, "being deleted");
	assert_int_equal(make(s, "d", NULL), 0);
	assert_int_equal(make(s, "d", NULL), 0);
	assert_failed(make(s, "d", &e), e, ENOTDIR, "'d'");
	slu_store_free(s);
	played();
}

static int renamed(struct slu_store *s, const char *from, const char *to, unsigned flags,
		   const char *if_match, struct slu_err *e)
{
	struct slu_op op;

	slu_op_rename(&op, from, to, flags);
	op.if_match = if_match;
	return slu_store_wait(s, &op, e);
}

static void renames_send_their_conditions_and_the_sas_of_the_source(void **state)
{
	struct slu_store *s = hns(""), *signed_;
	struct slu_err e = {0};

	(void)state;
	setenv("SLU_TEST_SAS", "sv=1&sig=CANARY", 1);
	signed_ = hns(", \"sas_token\": \"env:SLU_TEST_SAS\"");
	PLAY({"HEAD /acct/data/a%20%25b ", NULL, HEAD("1", ""), NULL},
	     {"PUT /acct.dfs/data/b ", "x-ms-rename-source: /data/a%20%25b\r\n", CREATED, NULL},
	     {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT /acct.dfs/data/b?sv=1&sig=CANARY ",
	      "x-ms-rename-source: /data/a?sv=1&sig=CANARY", CREATED, NULL},
	     {"HEAD", NULL, HEAD("1", ""), NULL}, {"PUT", "if-none-match: *", THERE, NULL},
	     {"HEAD /acct/data/a ", NULL, HEAD("1", ""), NULL}, {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT", "x-ms-source-if-match: \"0x9\"",
	      NONE("412 Precondition Failed", "SourceConditionNotMet"), NULL},
	     {"HEAD", NULL, HEAD("1", ""), NULL});
	assert_int_equal(renamed(s, "a %b", "b", 0, NULL, NULL), 0);
	assert_int_equal(renamed(signed_, "a", "b", 0, NULL, NULL), 0);
	assert_failed(renamed(s, "a", "b", SLU_OPF_ABSENT, NULL, &e), e, EEXIST, "exists");
	assert_failed(renamed(s, "a", "b", SLU_OPF_ABSENT, "0x9", &e), e, ESTALE, "0x9");
	assert_lacks(e.msg, "CANARY");
	slu_store_free(s);
	slu_store_free(signed_);
	played();
}

static void folders_that_the_target_needs_are_made(void **state)
{
	struct slu_store *s = hns("");

	(void)state;
	PLAY({"HEAD", NULL, FOLDER, NULL},
	     {"PUT /acct.dfs/data/x/y/b ", NULL,
	      NONE("404 Not Found", "RenameDestinationParentPathNotFound"), NULL},
	     {"PUT /acct.dfs/data/x/y?resource=directory ", NULL, CREATED, NULL},
	     {"PUT /acct.dfs/data/x/y/b ", NULL,
	      "HTTP/1.1 201 Created\r\nx-ms-request-id: 1\r\nx-ms-continuation: n+1\r\nContent-Length: 0\r\n\r\n",
	      NULL},
	     {"PUT /acct.dfs/data/x/y/b?continuation=n%2B1 ", "x-ms-rename-source: /data/a\r\n",
	      CREATED, NULL});
	assert_int_equal(renamed(s, "a", "x/y/b", 0, NULL, NULL), 0);
	slu_store_free(s);
	played();
}

static void after_a_lost_answer_only_the_same_file_counts(void **state)
{
	struct slu_store *s = hns("");
	struct slu_err e = {0};

	(void)state;
	/* done; somebody else's; not done; done, and asked for once more below us */
	PLAY({"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT", NULL, NONE("500 Error", "InternalError"), NULL}, {"HEAD", NULL, MISSING, NULL},
	     {"HEAD /acct/data/b ", NULL, HEAD("1", ""), NULL}, {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT", NULL, NONE("500 Error", "InternalError"), NULL}, {"HEAD", NULL, MISSING, NULL},
	     {"HEAD /acct/data/b ", NULL, OTHER, NULL}, {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT", NULL, NONE("500 Error", "InternalError"), NULL},
	     {"HEAD /acct/data/a ", NULL, HEAD("1", ""), NULL}, {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"PUT", NULL, NONE("404 Not Found", "SourcePathNotFound"), NULL},
	     {"HEAD", NULL, MISSING, NULL}, {"HEAD /acct/data/b ", NULL, HEAD("1", ""), NULL},
	     {"HEAD", NULL, MISSING, NULL});
	assert_int_equal(renamed(s, "a", "b", 0, NULL, NULL), 0);
	assert_failed(renamed(s, "a", "b", 0, NULL, &e), e, ECONNABORTED, "InternalError");
	assert_int_equal(renamed(s, "a", "b", 0, NULL, NULL), -EAGAIN);
	assert_int_equal(renamed(s, "a", "b", 0, NULL, NULL), 0);
	assert_failed(renamed(s, "a", "b", 0, NULL, &e), e, ENOENT, "'a'");
	slu_store_free(s);
	played();
}

static void deletions_go_on_until_nothing_continues(void **state)
{
	struct slu_store *s = hns("");
	struct slu_err e = {0};

	(void)state;
	PLAY({"DELETE /acct.dfs/data/d?recursive=true ", NULL,
	      OK "x-ms-continuation: a/b=\r\nContent-Length: 0\r\n\r\n", NULL},
	     {"DELETE /acct.dfs/data/d?continuation=a%2Fb%3D&recursive=true ", NULL,
	      OK "Content-Length: 0\r\n\r\n", NULL},
	     {"DELETE", NULL, MISSING, NULL},
	     {"DELETE", NULL, NONE("404 Not Found", "FilesystemNotFound"), NULL},
	     {"DELETE /acct.dfs/data/d?recursive=false ", NULL, MISSING, NULL},
	     {"DELETE", NULL, "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n",
	      "{\"error\":{\"code\":\"DirectoryNotEmpty\",\"message\":\"Not empty.\"}}"});
	assert_int_equal(slu_store_delete(s, "d", SLU_OPF_TREE, NULL), 0);
	assert_int_equal(slu_store_delete(s, "d", SLU_OPF_TREE, NULL), 0);
	assert_failed(slu_store_delete(s, "d", SLU_OPF_TREE, &e), e, ENOENT, "container");
	assert_failed(slu_store_delete(s, "d", 0, &e), e, ENOENT, "'d'");
	assert_failed(slu_store_delete(s, "d", 0, &e), e, ENOTEMPTY, "DirectoryNotEmpty");
	slu_store_free(s);
	played();
}

static void detail_has_headers_tags_and_rights(void **state)
{
	struct slu_store *s = hns("");
	struct slu_op op;

	(void)state;
	PLAY({"HEAD /acct/data/f ", NULL,
	      HEAD("1", "x-ms-tag-count: 1\r\nx-ms-access-tier: Cool\r\nx-ms-meta-Who: me\r\n"),
	      NULL},
	     {"GET /acct/data/f?comp=tags ", NULL, OK,
	      "<Tags><TagSet><Tag><Key>a b</Key><Value>c&amp;d</Value></Tag></TagSet></Tags>"},
	     {"HEAD /acct.dfs/data/f?action=getAccessControl ", NULL,
	      OK "x-ms-owner: $superuser\r\nx-ms-acl: "
		 "user::rw-,group::r--\r\nContent-Length: 0\r\n\r\n",
	      NULL});
	slu_op_stat(&op, "f");
	op.flags = SLU_OPF_DETAIL;
	assert_int_equal(slu_store_wait(s, &op, NULL), 0);
	assert_string_equal(slu_json_str(op.detail, "tier"), "Cool");
	assert_string_equal(slu_json_str(op.detail, "owner"), "$superuser");
	assert_string_equal(slu_json_str(op.detail, "acl"), "user::rw-,group::r--");
	assert_string_equal(slu_json_str(slu_json_get(op.detail, "tags"), "a b"), "c&d");
	assert_string_equal(slu_json_str(slu_json_get(op.detail, "metadata"), "who"), "me");
	slu_json_free(op.detail);
	slu_store_free(s);
	played();
}

#define HNS "fs.azure.account.hns.enabled.acct.dfs.core.windows.net"
#define SERVICE "fs.azure.fns.account.service.type.acct.dfs.core.windows.net"

static void hadoop_is_told_of_the_namespace(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	static const char text[] =
		"{\"type\": \"azure_blob\", \"account_name\": \"acct\", \"container_name\": "
		"\"data\", \"endpoint\": \"https://lake.example\", \"namespace\": "
		"\"hierarchical\", \"dfs_endpoint\": \"https://dfs.lake.example\"}";
	struct slu_store *s = hns(""), *own;
	struct slu_hadoop h;

	(void)state;
	assert_int_equal(slu_json_parse(text, strlen(text), "entry", &entry, NULL), 0);
	assert_int_equal(slu_blob_new(entry, "/", loops, pool, &own, NULL), 0);
	assert_int_equal(slu_store_hadoop(own, "in", &h, NULL), 0);
	assert_string_equal(h.uri, "abfss://data@acct.dfs.core.windows.net/in");
	assert_string_equal(slu_json_str(h.conf, HNS), "true");
	assert_null(slu_json_get(h.conf, SERVICE));
	slu_hadoop_done(&h);
	assert_int_equal(slu_store_hadoop(s, "in", &h, NULL), 0);
	assert_string_equal(slu_json_str(h.conf, SERVICE), "BLOB");
	slu_hadoop_done(&h);
	slu_store_free(own);
	slu_store_free(s);
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "dfslist", LLVMFuzzerTestOneInput) >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders_are_listed_by_the_other_endpoint),
		cmocka_unit_test(files_and_nothing_are_told_apart),
		cmocka_unit_test(who_needs_checksums_asks_the_blob_endpoint),
		cmocka_unit_test(what_is_no_listing_is_refused),
		cmocka_unit_test(a_folder_is_not_made_over_a_file),
		cmocka_unit_test(renames_send_their_conditions_and_the_sas_of_the_source),
		cmocka_unit_test(folders_that_the_target_needs_are_made),
		cmocka_unit_test(after_a_lost_answer_only_the_same_file_counts),
		cmocka_unit_test(deletions_go_on_until_nothing_continues),
		cmocka_unit_test(detail_has_headers_tags_and_rights),
		cmocka_unit_test(hadoop_is_told_of_the_namespace),
		cmocka_unit_test(corpus),
	};
	return cmocka_run_group_tests_name("blob-dfs", tests, setup, teardown);
}
