/* SPDX-License-Identifier: Apache-2.0 */
/* Hadoop's configuration: what is read from it, what is refused, and the NameNodes that it leads to. */
#include "tests/unit/corpus.h"
#include "tests/unit/unit.h"

#include "common/mem.h"
#include "common/str.h"
#include "tests/fuzz/fuzz-hadoopconf.c"

#include <errno.h>
#include <sys/stat.h>

static struct slu_err e;

#define P(name, value) "<property><name>" name "</name><value>" value "</value></property>"
#define DOC(x) "<?xml version=\"1.0\"?><configuration>" x "</configuration>"
#define XI "xmlns:xi=\"http://www.w3.org/2001/XInclude\""

#define HA                                                                                         \
	P("dfs.nameservices", "other, ns")                                                         \
	P("dfs.ha.namenodes.ns", " nn1 ,nn2")                                                      \
	P("dfs.namenode.rpc-address.ns.nn1", "h1:9000")                                            \
	P("dfs.namenode.rpc-address.ns.nn2", "h2")                                                 \
	P("dfs.namenode.http-address.ns.nn1", "0.0.0.0:50070")                                     \
	P("dfs.namenode.https-address.ns.nn2", "h2:50470")

static struct slu_hconf *load(const char *text)
{
	struct slu_hconf *c;

	assert_int_equal(slu_hconf_new(&c), 0);
	if (slu_hconf_load_text(c, text, strlen(text), "core-site.xml", NULL, &e) < 0)
		fail_msg("%s", e.msg);
	return c;
}

static int load_fails(const char *text)
{
	struct slu_hconf *c;
	int r;

	assert_int_equal(slu_hconf_new(&c), 0);
	r = slu_hconf_load_text(c, text, strlen(text), "core-site.xml", NULL, &e);
	slu_hconf_free(c);
	return r;
}

static void assert_value(const struct slu_hconf *c, const char *name, const char *want)
{
	char *v = NULL;

	if (slu_hconf_get(c, name, &v, &e) < 0)
		fail_msg("%s", e.msg);
	if (want)
		assert_string_equal(v ? v : "(none)", want);
	else
		assert_null(v);
	free(v);
}

static void properties(void **state)
{
	(void)state;
	SLU_AUTO(slu_hconf_freep)
	struct slu_hconf *c = load(DOC(P("a", " 1 \n") P("b", "old") P(
		"b",
		"new") "<property><name>c</name><final>true"
		       "</final><value>first</value>"
		       "</property>" P("c", "second") P(
			       "empty",
			       "  ") "<property name='d' value='4'/>"
				     "<property><name>e</name><value><![CDATA[<5>]]></value>"
				     "<source>x</source><description>y</description></property>"
				     "<!-- nothing --><junk><property><name>f</name>"
				     "<value>6</value></property></junk>"
				     "<configuration>" P("g", "7") "</configuration>" P(
					     "fs.default.name", "hdfs://old:1")));

	assert_value(c, "a", "1");
	assert_value(c, "b", "new");
	assert_value(c, "c", "first");
	assert_value(c, "empty", NULL);
	assert_value(c, "d", "4");
	assert_value(c, "e", "<5>");
	assert_value(c, "f", NULL);
	assert_value(c, "g", "7");
	assert_value(c, "fs.defaultFS", "hdfs://old:1");
	assert_int_equal(slu_hconf_set(c, "c", "third"), 0);
	assert_value(c, "c", "third");
}

static void variables(void **state)
{
	(void)state;
	setenv("SLU_TEST_HOST", "h9", 1);
	unsetenv("SLU_TEST_NONE");
	SLU_AUTO(slu_hconf_freep)
	struct slu_hconf *c = load(DOC(
		P("a", "${b}/${c}") P("b", "x${d}") P("c", "3") P("d", "y") P("e", "${nothing}z")
			P("f", "${env.SLU_TEST_HOST}:1") P("g", "${env.SLU_TEST_NONE-dflt}")
				P("h", "${${i}}") P("i", "c") P("j", "${j}") P("k", "$ {c}${}")
					P("l", "${user.name}")));
	char *v;

	assert_value(c, "a", "xy/3");
	assert_value(c, "e", "${nothing}z");
	assert_value(c, "f", "h9:1");
	assert_value(c, "g", "dflt");
	assert_value(c, "h", "3");
	assert_value(c, "k", "$ {c}${}");
	assert_failed(slu_hconf_get(c, "j", &v, &e), e, EINVAL, "'j'");
	assert_int_equal(slu_hconf_get(c, "l", &v, &e), 0);
	assert_non_null(v);
	assert_null(strchr(v, '$'));
	free(v);
}

static void what_is_refused(void **state)
{
	(void)state;
	assert_failed(load_fails("<!DOCTYPE x><configuration/>"), e, EBADMSG, "DOCTYPE");
	assert_failed(load_fails("<!-- --><!DOCTYPE c [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>"
				 "<configuration/>"),
		      e, EBADMSG, "DOCTYPE");
	assert_failed(load_fails(DOC(P("a", "&b;"))), e, EBADMSG, "core-site.xml");
	assert_failed(load_fails("<settings/>"), e, EBADMSG, "<configuration>");
	assert_failed(load_fails("<configuration>"), e, EBADMSG, "core-site.xml");
	assert_failed(load_fails(""), e, EBADMSG, "empty");
	assert_failed(load_fails("<configuration><include href='gone.xml'/></configuration>"), e,
		      EBADMSG, "'gone.xml', which does not exist");
	assert_failed(load_fails("<configuration><include/></configuration>"), e, EBADMSG, "href");
	assert_failed(load_fails("<configuration><include href='http://h/a.xml'/></configuration>"),
		      e, EBADMSG, "only files");
}

static void too_much_of_it(void **state)
{
	struct slu_buf b = SLU_BUF(8 << 20);

	(void)state;
	slu_buf_str(&b, "<configuration>");
	for (int i = 0; i < 20001; i++)
		slu_buf_fmt(&b, P("n%d", "v"), i);
	slu_buf_str(&b, "</configuration>");
	assert_failed(load_fails(b.p), e, EBADMSG, "more than 20000 properties");
	slu_buf_clear(&b);
	slu_buf_str(&b, "<configuration><property><name>a</name><value>");
	for (int i = 0; i < 70000; i++)
		slu_buf_ch(&b, 'v');
	slu_buf_str(&b, "</value></property></configuration>");
	assert_failed(load_fails(b.p), e, EBADMSG, "longer than");
	slu_buf_done(&b);

	/* 20 values that name the next one ten times would be 10^20 bytes */
	SLU_AUTO(slu_hconf_freep)
	struct slu_hconf *c = load(DOC(P("a", "${b}${b}${b}${b}${b}${b}${b}${b}${b}${b}") P(
		"b", "${c}${c}${c}${c}${c}${c}${c}${c}${c}${c}") P("c", "x")));
	char *v;

	assert_failed(slu_hconf_get(c, "a", &v, &e), e, EINVAL, "'a'");
}

/* --- files --- */

static void write_file(const char *dir, const char *name, const char *text)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int load_dir(const char *dir, struct slu_hconf **ret)
{
	int r;

	assert_int_equal(slu_hconf_new(ret), 0);
	r = slu_hconf_load_dir(*ret, dir, &e);
	if (r < 0) {
		slu_hconf_free(*ret);
		*ret = NULL;
	}
	return r;
}

static void folders(void **state)
{
	struct unit_dir d;

	unit_dir_make(&d);
	const char *dir = d.path;
	SLU_AUTO(slu_freep) char *sub = slu_asprintf("%s/sub", dir);
	SLU_AUTO(slu_freep) char *pipe = slu_asprintf("%s/hdfs-site.xml", dir);
	struct slu_hconf *c;

	(void)state;
	assert_failed(load_dir(dir, &c), e, ENOENT, "neither core-site.xml");
	assert_int_equal(mkdir(sub, 0700), 0);
	write_file(dir, "core-site.xml",
		   "<configuration " XI "><xi:include href='sub/more.xml'/>" P("a", "core")
			   P("b", "core") "</configuration>");
	write_file(sub, "more.xml",
		   "<configuration " XI "><xi:include href='most.xml'/>"
		   "<property><name>a</name><value>more</value><final>true</final></property>"
		   "</configuration>");
	write_file(sub, "most.xml", DOC(P("c", "most")));
	write_file(dir, "hdfs-site.xml", DOC(P("b", "hdfs")));
	assert_int_equal(load_dir(dir, &c), 0);
	assert_value(c, "a", "more");
	assert_value(c, "b", "hdfs");
	assert_value(c, "c", "most");
	slu_hconf_free(c);

	write_file(sub, "most.xml",
		   "<configuration " XI "><xi:include href='../core-site.xml'/></configuration>");
	assert_failed(load_dir(dir, &c), e, EBADMSG, "circle");
	write_file(sub, "most.xml", "root:x:0:0");
	assert_failed(load_dir(dir, &c), e, EBADMSG, "most.xml");
	assert_lacks(e.msg, "root:x");
	write_file(sub, "most.xml", DOC(P("c", "most")));
	unlink(pipe);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_failed(load_dir(dir, &c), e, EBADMSG, "no regular file");
	unit_dir_done(&d);
}

/* --- NameNodes --- */

static void find(const struct slu_hconf *c, const char *which, struct slu_nameservice *s)
{
	if (slu_nameservice_find(c, which, s, &e) < 0)
		fail_msg("%s", e.msg);
}

static void logical_names(void **state)
{
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice s = {0};
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice t = {0};

	(void)state;
	SLU_AUTO(slu_hconf_freep)
	struct slu_hconf *c = load(DOC(P("fs.defaultFS", "hdfs://ns/") HA));
	find(c, NULL, &s);
	assert_true(s.logical);
	assert_false(s.tls);
	assert_string_equal(s.name, "ns");
	assert_string_equal(s.rpc, "h1:9000,h2:8020");
	assert_string_equal(s.web, "h1:50070,h2:9870");
	assert_int_equal(slu_hconf_set(c, "dfs.http.policy", "HTTPS_ONLY"), 0);
	find(c, "ns", &t);
	assert_true(t.tls);
	assert_string_equal(t.web, "h1:9871,h2:50470");
	/* that one has no NameNodes here */
	assert_failed(slu_nameservice_find(c, "hdfs://other", &s, &e), e, EINVAL,
		      "dfs.namenode.rpc-address.other");
}

static void single_namenodes(void **state)
{
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice s = {0};
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice t = {0};
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice u = {0};

	(void)state;
	SLU_AUTO(slu_hconf_freep)
	struct slu_hconf *c = load(DOC(P("fs.defaultFS", "hdfs://h1:9000")
					       P("dfs.namenode.http-address", "0.0.0.0:50070")));
	find(c, NULL, &s);
	assert_false(s.logical);
	assert_string_equal(s.name, "h1:9000");
	assert_string_equal(s.rpc, "h1:9000");
	assert_string_equal(s.web, "h1:50070");
	find(c, "swebhdfs://gw", &t);
	assert_true(t.tls);
	assert_null(t.rpc);
	assert_string_equal(t.web, "gw:9871");
	static const char *const bad[] = {"hdfs://[::1", "hdfs://h:x",        "hdfs://h:1:2",
					  "hdfs://h%41", "webhdfs://h:70000", "hdfs://h;x"};
	struct slu_nameservice none;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_failed(slu_nameservice_find(c, bad[i], &none, &e), e, EINVAL, "address");
	find(c, "hdfs://[::1]", &u);
	assert_string_equal(u.rpc, "[::1]:8020");
}

static void other_file_systems(void **state)
{
	static const struct {
		const char *fs, *why;
	} bad[] = {{"viewfs://cluster", "table of mounts"},
		   {"file:///", "names no HDFS"},
		   {"abfss://c@a.dfs.core.windows.net", "needs one of hdfs://"},
		   {"hdfs:///", "needs one of hdfs"},
		   {"hdfs://u@h", "names no host"}};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_nameservice s;
		SLU_AUTO(slu_hconf_freep) struct slu_hconf *c = load(DOC(""));

		assert_int_equal(slu_hconf_set(c, "fs.defaultFS", bad[i].fs), 0);
		assert_failed(slu_nameservice_find(c, NULL, &s, &e), e, EINVAL,
			      i == 3 ? "names no host" : bad[i].why);
	}
	struct slu_nameservice s;
	SLU_AUTO(slu_hconf_freep) struct slu_hconf *c = load(DOC(""));

	assert_failed(slu_nameservice_find(c, NULL, &s, &e), e, EINVAL, "names no HDFS");
}

static void for_hadoop(void **state)
{
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice s = {0};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	(void)state;
	SLU_AUTO(slu_hconf_freep) struct slu_hconf *c = load(DOC(HA));
	find(c, "ns", &s);
	assert_int_equal(slu_nameservice_properties(&s, "other, ns", o), 0);
	assert_string_equal(slu_json_str(o, "dfs.nameservices"), "ns,other");
	assert_string_equal(slu_json_str(o, "dfs.ha.namenodes.ns"), "nn1,nn2");
	assert_string_equal(slu_json_str(o, "dfs.namenode.rpc-address.ns.nn2"), "h2:8020");
	assert_string_equal(slu_json_str(o, "dfs.namenode.http-address.ns.nn1"), "h1:50070");
	assert_non_null(strstr(slu_json_str(o, "dfs.client.failover.proxy.provider.ns"),
			       "ConfiguredFailover"));
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "hadoopconf", LLVMFuzzerTestOneInput) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(properties),       cmocka_unit_test(variables),
		cmocka_unit_test(what_is_refused),  cmocka_unit_test(too_much_of_it),
		cmocka_unit_test(folders),          cmocka_unit_test(logical_names),
		cmocka_unit_test(single_namenodes), cmocka_unit_test(other_file_systems),
		cmocka_unit_test(for_hadoop),       cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests_name("hadoopconf", tests, NULL, NULL);
}
