/* SPDX-License-Identifier: Apache-2.0 */
/* The HDFS driver with several NameNodes, of which one is a small WebHDFS that fails on demand and the others are
 * not there; and by way of a gateway. */
#include "tests/unit/unit.h"

#include "common/json.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/hdfs_place.h"
#include "hdfs/hdfs.h"
#include "tests/unit/hdfs.h"

#include <errno.h>

static char both[64], gone[64];

static void open_with(const struct slu_hdfs_conf *c)
{
	slu_store_free(s);
	s = NULL;
	if (slu_hdfs_new(c, loops, NULL, &s, &e) < 0)
		fail_msg("%s", e.msg);
	e = (struct slu_err){0};
}

static int setup(void **state)
{
	struct slu_loops_conf conf = {.threads = 2};
	struct slu_hdfs_conf c = {
		.web = both, .name = "ns", .root = "/r", .user = "ann", .protocol = SLU_HDFS_WEB};

	(void)state;
	fake_start();
	snprintf(both, sizeof(both), "127.0.0.1:1,127.0.0.1:%u", fake.srv.port);
	snprintf(gone, sizeof(gone), "127.0.0.1:1,127.0.0.1:2");
	assert_int_equal(slu_loops_new(&conf, &loops, NULL), 0);
	open_with(&c);
	return 0;
}

static void the_one_that_answers_is_used(void **state)
{
	(void)state;
	assert_int_equal(put("x", "hello", 0), 0);
	assert_holds("x", "hello");
	assert_failed(put("x", "other", SLU_OPF_ABSENT), e, EEXIST, "in 'hdfs://ns/r'");
}

static void a_standby_is_passed_over(void **state)
{
	(void)state;
	assert_int_equal(put("x", "hello", 0), 0);
	fake_forget();
	fake_fails("GETFILESTATUS", 0, FAKE_STANDBY);
	struct slu_attr a;

	if (slu_store_stat(s, "x", &a, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(a.size, 5);
	assert_int_equal(fake_count("GETFILESTATUS"), 2);
}

static void a_question_is_asked_again_when_its_answer_is_lost(void **state)
{
	struct slu_attr a;

	(void)state;
	assert_int_equal(put("x", "hello", 0), 0);
	fake_fails("GETFILESTATUS", 0, FAKE_LOST_BEFORE);
	assert_int_equal(slu_store_stat(s, "x", &a, &e), 0);
	fake_fails("CREATE", 0, FAKE_LOST_BEFORE);
	assert_int_equal(put("y", "other", 0), 0);
	assert_holds("y", "other");
}

static void a_rename_takes_place_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		fake_fails("RENAME", 0, i ? FAKE_LOST_AFTER : FAKE_LOST_BEFORE);
		if (put(i ? "after" : "before", "hello", SLU_OPF_ABSENT) < 0)
			fail_msg("%s", e.msg);
		assert_holds(i ? "after" : "before", "hello");
	}
	assert_false(fake_any(".sluice-"));
}

static const enum fake_fault lost[] = {FAKE_LOST_BEFORE, FAKE_LOST_AFTER};

static void what_is_deleted_is_deleted_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(put("x", "hello", 0), 0);
		fake_fails("DELETE", 0, lost[i]);
		if (slu_store_delete(s, "x", 0, &e) < 0)
			fail_msg("%s", e.msg);
		assert_false(fake_has("/r/x"));
	}
	assert_failed(slu_store_delete(s, "x", 0, &e), e, ENOENT, "x");
	assert_int_equal(slu_store_delete(s, "x", SLU_OPF_TREE, &e), 0);
}

static void blocks_are_joined_once(void **state)
{
	static const char txn[] = "0123456789abcdef";
	struct slu_op op;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < 3; k++) {
			slu_op_put_block(&op, "x", txn, 4 * k, "abcdefghijkl" + 4 * k, 4);
			assert_int_equal(slu_store_wait(s, &op, &e), 0);
		}
		fake_fails("CONCAT", 0, lost[i]);
		slu_op_commit(&op, "x", txn, 12, 0);
		if (slu_store_wait(s, &op, &e) < 0)
			fail_msg("%s", e.msg);
		assert_holds("x", "abcdefghijkl");
		assert_false(fake_any(".sluice-"));
	}
}

static void nobody_answers(void **state)
{
	struct slu_hdfs_conf c = {
		.web = gone, .name = "ns", .root = "/r", .protocol = SLU_HDFS_WEB};
	struct slu_attr a;

	(void)state;
	open_with(&c);
	assert_failed(slu_store_stat(s, "x", &a, &e), e, ECONNREFUSED, "cannot stat 'x'");
	assert_contains(e.msg, "'hdfs://ns/r'");
}

static void several_need_a_name(void **state)
{
	struct slu_hdfs_conf c = {.web = gone, .protocol = SLU_HDFS_WEB};
	struct slu_store *t;

	(void)state;
	assert_failed(slu_hdfs_new(&c, loops, NULL, &t, &e), e, EINVAL, "nameservice");
	c = (struct slu_hdfs_conf){.web = "a,b,c,d,e,f,g,h,i", .name = "ns"};
	assert_failed(slu_hdfs_new(&c, loops, NULL, &t, &e), e, EINVAL, "more than 8");
}

static void gateways(void **state)
{
	struct slu_hdfs_conf c = {.web = "gw:8443",
				  .path = "/gateway/default/webhdfs/v1",
				  .doas = "bob",
				  .csrf = "X-MINE"};
	static const char *const bad[] = {"x", "/", "/a/", "/a//b", "/a?b", "/a b"};
	struct slu_hadoop d;

	(void)state;
	open_with(&c);
	assert_failed(slu_store_hadoop(s, "x", &d, &e), e, ENOTSUP, "rpc_address");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_store *t;

		c.path = bad[i];
		assert_failed(slu_hdfs_new(&c, loops, NULL, &t, &e), e, EINVAL, "gateway");
	}
}

/* --- from an entry --- */

static int place(const char *entry, struct slu_hdfs_place *p)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	assert_int_equal(slu_json_parse(entry, strlen(entry), "entry", &j, &e), 0);
	return slu_hdfs_place_find(j, "/workspace", p, &e);
}

static void entries(void **state)
{
	SLU_AUTO(slu_hdfs_place_done) struct slu_hdfs_place p = {0};
	SLU_AUTO(slu_hdfs_place_done) struct slu_hdfs_place q = {0};

	(void)state;
	unsetenv("HADOOP_CONF_DIR");
	assert_int_equal(place("{\"namenode\": \"a,b:1\", \"protocol\": \"native\", "
			       "\"nameservice\": \"ns\"}",
			       &p),
			 0);
	assert_string_equal(p.at.web, "a:9870,b:9870");
	assert_string_equal(p.at.rpc, "a,b:1");
	assert_string_equal(slu_json_str(p.properties, "dfs.nameservices"), "ns");
	assert_int_equal(place("{\"namenode\": \"a\", \"protocol\": \"https\"}", &q), 0);
	assert_string_equal(q.at.web, "a:9871");
	assert_null(q.properties);
	assert_failed(place("{}", &q), e, EINVAL, "HADOOP_CONF_DIR");
	assert_failed(place("{\"hadoop_conf\": \"conf\"}", &q), e, ENOENT, "'/workspace/conf'");
}

static void hadoops_configuration(void **state)
{
	static const char text[] =
		"<configuration><property><name>fs.defaultFS</name><value>hdfs://ns</value>"
		"</property><property><name>dfs.nameservices</name><value>ns,far</value></property>"
		"<property><name>dfs.namenode.rpc-address.ns</name><value>h:1</value></property>"
		"<property><name>dfs.webhdfs.rest-csrf.custom-header</name><value>X-C</value>"
		"</property><property><name>hadoop.rpc.protection</name><value>privacy</value>"
		"</property></configuration>";
	SLU_AUTO(slu_hdfs_place_done) struct slu_hdfs_place p = {0};
	SLU_AUTO(slu_hdfs_place_done) struct slu_hdfs_place q = {0};
	struct unit_dir d;

	(void)state;
	unit_dir_make(&d);
	int fd = openat(d.fd, "hdfs-site.xml", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	setenv("HADOOP_CONF_DIR", d.path, 1);
	assert_int_equal(place("{}", &p), 0);
	assert_string_equal(p.at.name, "ns");
	assert_string_equal(p.at.rpc, "h:1");
	assert_string_equal(p.at.web, "h:9870");
	assert_string_equal(p.csrf, "X-C");
	assert_string_equal(slu_json_str(p.properties, "dfs.nameservices"), "ns,far");
	assert_string_equal(slu_json_str(p.properties, "hadoop.rpc.protection"), "privacy");
	assert_int_equal(place("{\"nameservice\": \"ns\", \"protocol\": \"https\", "
			       "\"http_address\": \"gw\", \"rpc_address\": \"k\"}",
			       &q),
			 0);
	assert_true(q.at.tls);
	assert_string_equal(q.at.web, "gw:9871");
	assert_string_equal(q.at.rpc, "k:8020");
	setenv("HADOOP_CONF_DIR", "/nowhere", 1);
	assert_failed(place("{}", &q), e, ENOENT, "HADOOP_CONF_DIR");
	slu_hdfs_place_done(&q);
	assert_int_equal(place("{\"namenode\": \"a\"}", &q), 0);
	unsetenv("HADOOP_CONF_DIR");
	unit_dir_done(&d);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_one_that_answers_is_used),
		T(a_standby_is_passed_over),
		T(a_question_is_asked_again_when_its_answer_is_lost),
		T(a_rename_takes_place_once),
		T(what_is_deleted_is_deleted_once),
		T(blocks_are_joined_once),
		T(nobody_answers),
		T(several_need_a_name),
		T(gateways),
		cmocka_unit_test(entries),
		cmocka_unit_test(hadoops_configuration),
	};

	return cmocka_run_group_tests_name("hdfs-ha", tests, NULL, NULL);
}
