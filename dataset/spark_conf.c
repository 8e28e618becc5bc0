/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of Hadoop and Spark (spark_conf.h).  What Spark does with them, looked up in its sources, 3.5 to
 * 4.1: a driver that runs here reads the file, and executors ask it; on YARN they travel in a private archive.
 * But a standalone cluster starts a driver with all of them as arguments, and Kubernetes keeps those of a
 * driver of its own in a ConfigMap.
 */
#include "dataset/spark_conf.h"

#include "blob/cred_run.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/datastore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PREFIX "spark.hadoop."
#define PROVIDER PREFIX "hadoop.security.credential.provider.path"
#define REDACT "spark.redaction.regex"
/* Spark's own default; and what it does not know: account keys and SAS. */
#define REDACT_SPARK "(?i)secret|password|token|access[.]?key"
#define REDACT_OURS "(?i:fs[.]azure[.](account[.](key|oauth2[.]client[.]secret)|sas)[.])"

int slu_spark_site(struct slu_jprops *p, const char *folder, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_SPARK_CONF_MAX);
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/spark-defaults.conf", folder);

	if (!path)
		return slu_fail_oom(e);
	int r = slu_buf_read_at(&b, AT_FDCWD, path);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read '%s'", path);
	r = slu_jprops_parse(p, b.len ? b.p : "", b.len, path, e);
	if (b.p)
		explicit_bzero(b.p, b.len);
	return r;
}

/* --- what is no secret --- */

/* "hdfs://ns/x" -> "hdfs://ns"; a pattern's escapes are behind it. */
static char *file_system(const char *uri)
{
	const char *authority = strstr(uri, "://");

	return authority ? slu_strndup(uri,
				       (size_t)(authority + 3 - uri) + strcspn(authority + 3, "/"))
			 : slu_strdup("");
}

static int add_property(struct slu_jprops *p, const char *name, const char *value)
{
	SLU_AUTO(slu_freep)
	char *key = slu_asprintf("%s%s", slu_starts(name, "spark.") ? "" : PREFIX, name);

	if (!key)
		return -ENOMEM;
	/* Stores of two clusters each name their own file systems: all have to be known. */
	return slu_streq(name, "dfs.nameservices") ? slu_jprops_join(p, key, value)
						   : slu_jprops_set(p, key, value);
}

int slu_spark_view(struct slu_jprops *p, const struct json_t *props, const char *uri,
		   struct slu_err *e)
{
	const struct json_t *conf = slu_json_get(props, "conf");
	const char *who = slu_json_str(conf, "hadoop.security.authentication");
	int r = 0;

	for (void *it = slu_json_iter(conf); it && r == 0; it = slu_json_next(conf, it)) {
		const char *value = slu_json_string(slu_json_iter_value(it));

		r = add_property(p, slu_json_iter_key(it), value ? value : "");
	}
	/* Or executors on a cluster have tokens for its own file system only. */
	if (r == 0 && who && slu_streq(who, "kerberos")) {
		SLU_AUTO(slu_freep) char *fs = file_system(uri);

		r = fs ? slu_jprops_join(p, "spark.kerberos.access.hadoopFileSystems", fs)
		       : -ENOMEM;
	}
	return r < 0 ? slu_fail_oom(e) : 0;
}

/* --- secrets --- */

static int no_secret(const char *property, const char *ref, const char *why, struct slu_err *e)
{
	return slu_fail(e, ENOENT, "the credential '%s' for Hadoop's '%s' %s",
			slu_starts(ref, "cmd:") ? "cmd:..." : ref, property, why);
}

/* What the reference leads to, as Hadoop wants it: without blanks around, a SAS without its '?'. */
static int read_secret(const char *property, const char *ref, struct slu_buf *b, struct slu_err *e)
{
	struct slu_cred c;
	int r = slu_cred_parse(ref, property, &c, e);
	const char *value;

	if (r < 0)
		return r;
	switch (c.kind) {
	case SLU_CRED_ENV:
		value = getenv(c.arg);
		if (!value)
			return no_secret(property, ref, "is not in the environment", e);
		slu_buf_str(b, value);
		break;
	case SLU_CRED_FILE:
		r = slu_buf_read_at(b, AT_FDCWD, c.arg);
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot read the credential '%s'", c.arg);
		break;
	case SLU_CRED_CMD:
		r = slu_cred_run(c.arg, property, b, e);
		break;
	default:
		return no_secret(property, ref, "is no secret", e);
	}
	return r < 0 || !slu_buf_err(b) ? r : slu_fail_oom(e);
}

/* The secret in b without what is around it. */
static const char *trimmed(const char *property, struct slu_buf *b)
{
	static const char blanks[] = " \t\r\n";
	const char *s = b->len ? b->p : "";

	while (b->len && strchr(blanks, b->p[b->len - 1]))
		b->p[--b->len] = '\0';
	s += strspn(s, blanks);
	return s + (*s == '?' && slu_starts(property, "fs.azure.sas."));
}

typedef int secret_fn(void *to, const char *property, const char *secret);

static int each_secret(const struct json_t *props, secret_fn *fn, void *to, struct slu_err *e)
{
	const struct json_t *refs = slu_json_get(props, "secret_refs");
	int r = 0;

	for (void *it = slu_json_iter(refs); it && r == 0; it = slu_json_next(refs, it)) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_CRED_TEXT_MAX);
		const char *property = slu_json_iter_key(it);
		const char *ref = slu_json_string(slu_json_iter_value(it));

		r = read_secret(property, ref ? ref : "", &b, e);
		if (r == 0 && fn(to, property, trimmed(property, &b)) < 0)
			r = slu_fail_oom(e);
		if (b.p)
			explicit_bzero(b.p, b.len);
	}
	return r;
}

static int add_secret(void *to, const char *property, const char *secret)
{
	return add_property(to, property, secret);
}

/* Who would see the settings of a program that is started like this; NULL: nobody else. */
static const char *shown_in(const struct slu_jprops *p)
{
	const char *master = slu_jprops_get(p, "spark.master");
	const char *mode = slu_jprops_get(p, "spark.submit.deployMode");

	if (master && slu_streq(master, "livy"))
		return "in the arguments of a process of the Livy server";
	if (!master || !mode || !slu_streq(mode, "cluster"))
		return NULL;
	if (slu_starts(master, "k8s://"))
		return "in a ConfigMap";
	return slu_starts(master, "spark://") ? "in the arguments of a process" : NULL;
}

/* Where Hadoop asks its own store of secrets. */
static int leave_out(const struct slu_jprops *p, const struct json_t *refs, const char *where,
		     struct slu_err *e)
{
	const char *first = slu_json_iter_key(slu_json_iter(refs));
	const char *provider = slu_jprops_get(p, PROVIDER);

	if (!provider)
		return slu_fail(
			e, EPERM,
			"Spark would show the secret '%s' %s: run the driver here "
			"(spark.submit.deployMode=client), or put it into a credential provider "
			"(hadoop credential create %s -provider jceks://...) and name that in " PROVIDER,
			first, where, first);
	for (void *it = slu_json_iter(refs); it; it = slu_json_next(refs, it))
		slu_warn("spark", "'%s' is left to the credential provider '%s'",
			 slu_json_iter_key(it), provider);
	return 0;
}

static int hide(struct slu_jprops *p, struct slu_err *e)
{
	const char *old = slu_jprops_get(p, REDACT);
	SLU_AUTO(slu_freep) char *all = NULL;

	if (old && strstr(old, REDACT_OURS))
		return 0;
	all = slu_asprintf("(?:%s)|" REDACT_OURS, old && *old ? old : REDACT_SPARK);
	return all && slu_jprops_set(p, REDACT, all) == 0 ? 0 : slu_fail_oom(e);
}

int slu_spark_secrets(struct slu_jprops *p, const struct json_t *props, struct slu_err *e)
{
	const struct json_t *refs = slu_json_get(props, "secret_refs");
	const char *where = shown_in(p);

	if (!slu_json_count(refs))
		return 0;
	if (where)
		return leave_out(p, refs, where, e);
	int r = each_secret(props, add_secret, p, e);

	return r < 0 ? r : hide(p, e);
}

/* --- Hadoop's own file --- */

static void add_xml(struct slu_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			slu_buf_str(b, "&amp;");
		else if (*s == '<')
			slu_buf_str(b, "&lt;");
		else
			slu_buf_ch(b, *s);
	}
}

static int add_xml_property(void *to, const char *name, const char *value)
{
	struct slu_buf *b = to;

	slu_buf_str(b, "  <property><name>");
	add_xml(b, name);
	slu_buf_str(b, "</name><value>");
	add_xml(b, value);
	slu_buf_str(b, "</value></property>\n");
	return slu_buf_err(b);
}

int slu_hadoop_site(const struct json_t *props, struct slu_buf *b, struct slu_err *e)
{
	const struct json_t *conf = slu_json_get(props, "conf");
	int r;

	slu_buf_str(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<configuration>\n");
	for (void *it = slu_json_iter(conf); it; it = slu_json_next(conf, it)) {
		const char *value = slu_json_string(slu_json_iter_value(it));

		if (value && !slu_starts(slu_json_iter_key(it), "spark."))
			add_xml_property(b, slu_json_iter_key(it), value);
	}
	r = each_secret(props, add_xml_property, b, e);
	slu_buf_str(b, "</configuration>\n");
	return r < 0 || !slu_buf_err(b) ? r : slu_fail_oom(e);
}
