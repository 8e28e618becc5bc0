/* SPDX-License-Identifier: Apache-2.0 */
/* Datastore entries: what each type holds, names without case, secrets by reference only. */
#include "unit.h"

#include "common/json.h"
#include "dataset/datastore.h"

#include <errno.h>

static int check_named(const char *name, const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	assert_int_equal(slu_json_parse(text, strlen(text), "entry", &j, e), 0);
	return slu_datastore_check(name, j, e);
}

static int check(const char *text, struct slu_err *e)
{
	return check_named("s", text, e);
}

#define BLOB "\"type\": \"azure_blob\", \"account_name\": \"acct1\", \"container_name\": \"c-1\""

static const char *const goods[] = {
	"{\"type\": \"local\", \"path\": \"/data\"}",
	"{\"type\": \"local\", \"path\": \"x\", \"description\": \"d\", \"tags\": {\"a\": \"b\"}}",
	"{" BLOB "}",
	"{" BLOB ", \"credential\": \"env:KEY\"}",
	"{" BLOB ", \"credential\": \"managed_identity\"}",
	"{" BLOB ", \"credential\": \"workload_identity\"}",
	"{" BLOB ", \"credential\": \"az_cli\"}",
	"{" BLOB ", \"account_key\": \"file:/run/secrets/key\"}",
	"{" BLOB ", \"sas_token\": \"cmd:get-sas --for x\"}",
	"{" BLOB ", \"endpoint\": \"http://127.0.0.1:10000/devstoreaccount1\", \"protocol\": "
	"\"http\"}",
	"{" BLOB ", \"credential\": {\"type\": \"service_principal\", \"tenant_id\": \"t\", "
	"\"client_id\": \"c\", \"client_secret\": \"env:S\"}}",
	"{\"type\": \"azure_data_lake_gen2\", \"account_name\": \"acct1\", \"filesystem\": \"fs1\"}",
	"{\"type\": \"hdfs\", \"namenode\": \"nn:8020\"}",
	"{\"type\": \"hdfs\", \"namenode\": \"nn1:9870,nn2:9870\", \"nameservice\": \"ns\"}",
	"{\"type\": \"hdfs\", \"hadoop_conf\": \"/etc/hadoop/conf\", \"nameservice\": \"ns\", "
	"\"http_path\": \"/gateway/default/webhdfs/v1\", \"doas\": \"bob\"}",
	"{\"type\": \"hdfs\"}",
	"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"protocol\": \"https\", \"path\": \"/user\", "
	"\"user\": \"me\", \"kerberos\": {\"principal\": \"me@R\", \"keytab\": \"/k\"}}",
};

static void accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		struct slu_err e = {0};

		if (check(goods[i], &e) < 0)
			fail_msg("%s: %s", goods[i], e.msg);
	}
}

static const struct {
	const char *entry, *says;
} wrongs[] = {
	{"[]", "object"},
	{"{}", "needs a \"type\""},
	{"{\"type\": \"blob\"}", "unknown type 'blob'"},
	{"{\"type\": 3}", "needs a \"type\""},
	{"{\"type\": \"local\"}", "needs the key 'path'"},
	{"{\"type\": \"local\", \"path\": \"\"}", "'path'"},
	{"{\"type\": \"local\", \"path\": 3}", "has to be a text"},
	{"{\"type\": \"local\", \"path\": \"/x\", \"pfad\": 1}", "unknown key 'pfad'"},
	{"{\"type\": \"azure_blob\", \"account_name\": \"acct1\"}", "container_name"},
	{"{\"type\": \"azure_blob\", \"account_name\": \"Acct\", \"container_name\": \"c-1\"}",
	 "lower-case"},
	{"{\"type\": \"azure_blob\", \"account_name\": \"acct1\", \"container_name\": \"c--1\"}",
	 "container_name"},
	{"{" BLOB ", \"protocol\": \"ftp\"}", "https or http"},
	{"{" BLOB ", \"endpoint\": \"https://h/x?sig=hunter2\"}", "endpoint"},
	{"{" BLOB ", \"endpoint\": \"https://u:hunter2@h/\"}", "endpoint"},
	{"{" BLOB ", \"credential\": \"hunter2\"}", "env:NAME"},
	{"{" BLOB ", \"credential\": 3}", "env:NAME"},
	{"{" BLOB ", \"account_key\": \"hunter2==\"}", "holds a secret itself"},
	{"{" BLOB ", \"sas_token\": \"?sv=1&sig=hunter2\"}", "holds a secret itself"},
	{"{" BLOB ", \"sas\": \"?sv=1&sig=hunter2\"}", "may hold a secret"},
	{"{" BLOB ", \"client_secret\": \"hunter2\"}", "may hold a secret"},
	{"{" BLOB ", \"account_key\": \"managed_identity\"}", "given as \"credential\""},
	{"{" BLOB ", \"account_key\": \"env:A\", \"credential\": \"env:B\"}", "more than one"},
	{"{" BLOB ", \"account_key\": \"env:A B\"}", "environment variable"},
	{"{" BLOB ", \"account_key\": \"file:\"}", "nothing stands after"},
	{"{" BLOB ", \"credential\": {\"type\": \"x\"}}", "service_principal"},
	{"{" BLOB ", \"credential\": {\"type\": \"service_principal\", \"tenant_id\": \"t\", "
	 "\"client_id\": \"c\"}}",
	 "client_secret"},
	{"{" BLOB ", \"credential\": {\"type\": \"service_principal\", \"tenant_id\": \"t\", "
	 "\"client_id\": \"c\", \"client_secret\": \"hunter2\"}}",
	 "holds a secret itself"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn:x\"}", "host name"},
	{"{\"type\": \"hdfs\", \"namenode\": \"a:1,\"}", "host name"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"password\": \"hunter2\"}",
	 "may hold a secret"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"kerberos\": {\"keytab\": \"/k\", "
	 "\"ccache\": \"c\"}}",
	 "at most one"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"kerberos\": {\"kdc\": \"k\"}}", "krb5.conf"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"kerberos\": {\"password\": \"env:P\"}}",
	 "principal"},
	{"{\"type\": \"hdfs\", \"namenode\": \"nn\", \"kerberos\": {\"principal\": \"p\", "
	 "\"password\": \"hunter2\"}}",
	 "holds a secret itself"},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct slu_err e = {0};

		if (check(wrongs[i].entry, &e) != -EINVAL)
			fail_msg("%s was accepted", wrongs[i].entry);
		assert_contains(e.msg, wrongs[i].says);
		assert_contains(e.msg, "'s'");
		assert_lacks(e.msg, "hunter2");
	}
}

static void names(void **state)
{
	static const char *const bad[] = {"", "a b", "../x", "a/b", ".", "a:b", "file", "AzureML"};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(check_named(bad[i], goods[0], &e), -EINVAL);
	assert_int_equal(check_named("Work_space-1.x", goods[0], &e), 0);
}

static void find(void **state)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_object();

	(void)state;
	slu_json_set(all, "BlobStore", slu_json_object());
	assert_string_equal(slu_datastore_find(all, "blobstore"), "BlobStore");
	assert_string_equal(slu_datastore_find(all, "BLOBSTORE"), "BlobStore");
	assert_null(slu_datastore_find(all, "blob"));
	assert_null(slu_datastore_find(NULL, "blob"));
}

static void references(void **state)
{
	struct slu_cred c;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_cred_parse("env:A_1", "x", &c, &e), 0);
	assert_int_equal(c.kind, SLU_CRED_ENV);
	assert_string_equal(c.arg, "A_1");
	assert_int_equal(slu_cred_parse("cmd:pass show x", "x", &c, &e), 0);
	assert_int_equal(c.kind, SLU_CRED_CMD);
	assert_string_equal(c.arg, "pass show x");
	assert_int_equal(slu_cred_parse("az_cli", "x", &c, &e), 0);
	assert_null(c.arg);
	assert_failed(slu_cred_parse("hunter2", "'k' of y", &c, &e), e, EINVAL, "'k' of y");
	assert_lacks(e.msg, "hunter2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted), cmocka_unit_test(refused),    cmocka_unit_test(names),
		cmocka_unit_test(find),     cmocka_unit_test(references),
	};

	return cmocka_run_group_tests_name("datastore", tests, NULL, NULL);
}
