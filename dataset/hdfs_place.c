/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an "hdfs" entry to NameNodes (hdfs_place.h).  "namenode" is the address of what "protocol" names: http (the
 * default) and https the NameNode's web server, hdfs and native its RPC server.  The other one of the two is
 * "rpc_address" or "http_address".  Without "namenode" both come from "hadoop_conf", else from
 * HADOOP_CONF_DIR: those of "nameservice", else of fs.defaultFS; what the entry says counts more.
 */
#include "dataset/hdfs_place.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RPC_PORT 8020
#define HTTP_PORT 9870
#define HTTPS_PORT 9871
#define LIST_MAX 8192

void slu_hdfs_place_done(struct slu_hdfs_place *p)
{
	slu_nameservice_done(&p->at);
	slu_hconf_free(p->conf);
	free(p->csrf);
	slu_json_free(p->properties);
	*p = (struct slu_hdfs_place){0};
}

static size_t host_len(const char *address)
{
	size_t n = strcspn(address, address[0] == '[' ? "]" : ":,");

	return address[n] == ']' ? n + 1 : n;
}

/* Each of a list with a port; `replace`: with this one, since theirs is of another server. */
static char *with_ports(const char *list, unsigned port, bool replace)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LIST_MAX);

	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ","), host = host_len(p);

		if (host < n && !replace)
			slu_buf_fmt(&b, "%s%.*s", b.len ? "," : "", (int)n, p);
		else
			slu_buf_fmt(&b, "%s%.*s:%u", b.len ? "," : "", (int)host, p, port);
		p += n + (p[n] == ',');
	}
	return slu_buf_take(&b);
}

static bool is_one_of(const char *v, const char *a, const char *b)
{
	return v && (slu_streq(v, a) || slu_streq(v, b));
}

/* --- Hadoop's configuration --- */

static int load(const char *folder, struct slu_hconf **ret, struct slu_err *e)
{
	SLU_AUTO(slu_hconf_freep) struct slu_hconf *c = NULL;
	int r = slu_hconf_new(&c) < 0 ? slu_fail_oom(e) : slu_hconf_load_dir(c, folder, e);

	if (r == 0)
		*ret = slu_take(c);
	return r;
}

/* That of the entry has to be there; that of the environment only when nothing else says where the NameNodes are. */
static int load_conf(const struct json_t *entry, const char *dir, struct slu_hconf **ret,
		     struct slu_err *e)
{
	const char *given = slu_json_str(entry, "hadoop_conf");
	const char *env = getenv("HADOOP_CONF_DIR");
	bool needed = !slu_json_str(entry, "namenode");
	SLU_AUTO(slu_freep) char *folder = NULL;
	struct slu_err why;
	int r;

	if (given) {
		folder = *given == '/' ? slu_strdup(given) : slu_path_join(dir, given);
		return folder ? load(folder, ret, e) : slu_fail_oom(e);
	}
	if (!env || !*env)
		return !needed ? 0
			       : slu_fail(e, EINVAL,
					  "it names no NameNode: give it a \"namenode\" or a "
					  "\"hadoop_conf\", or set HADOOP_CONF_DIR");
	r = load(env, ret, &why);
	if (r < 0 && needed) {
		if (e)
			*e = why;
		return slu_fail_more(e, "HADOOP_CONF_DIR");
	}
	if (r < 0)
		slu_debug("hdfs", "HADOOP_CONF_DIR is not used: %s", why.msg);
	return 0;
}

/* --- where it is --- */

static int from_entry(const struct json_t *entry, const char *namenode, struct slu_nameservice *s,
		      struct slu_err *e)
{
	const char *protocol = slu_json_str(entry, "protocol");
	const char *web = slu_json_str(entry, "http_address");
	const char *rpc = slu_json_str(entry, "rpc_address");
	const char *name = slu_json_str(entry, "nameservice");
	bool native = is_one_of(protocol, "hdfs", "native");

	s->tls = protocol && slu_streq(protocol, "https");
	s->web = with_ports(web ? web : namenode, s->tls ? HTTPS_PORT : HTTP_PORT, native && !web);
	rpc = native ? namenode : rpc;
	s->rpc = slu_strdup(rpc);
	s->name = slu_strdup(name);
	s->logical = name;
	if (!s->web || (rpc && !s->rpc) || (name && !s->name))
		return slu_fail_oom(e);
	return 0;
}

/* A logical name that is mistyped would be taken for that of a host. */
static int check_name(const struct slu_hconf *c, const char *name, const struct slu_nameservice *s,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *known = NULL;
	int r = 0;

	if (name && !s->logical && !strpbrk(name, ":."))
		r = slu_hconf_get(c, "dfs.nameservices", &known, e);
	if (r == 0 && known)
		r = slu_fail(e, EINVAL,
			     "'%s' is no nameservice of Hadoop's configuration, which has '%s': "
			     "correct \"nameservice\"",
			     name, known);
	return r;
}

static int from_conf(const struct json_t *entry, struct slu_hconf *c, struct slu_nameservice *s,
		     struct slu_err *e)
{
	const char *protocol = slu_json_str(entry, "protocol");
	const char *web = slu_json_str(entry, "http_address");
	const char *rpc = slu_json_str(entry, "rpc_address");
	const char *name = slu_json_str(entry, "nameservice");
	int r = 0;

	if (is_one_of(protocol, "https", "http"))
		r = slu_hconf_set(c, "dfs.http.policy",
				  slu_streq(protocol, "https") ? "HTTPS_ONLY" : "HTTP_ONLY");
	if (r < 0)
		return slu_fail_oom(e);
	r = slu_nameservice_find(c, name, s, e);
	if (r == 0)
		r = check_name(c, name, s, e);
	if (r == 0 && web) {
		free(s->web);
		s->web = with_ports(web, s->tls ? HTTPS_PORT : HTTP_PORT, false);
		r = s->web ? 0 : slu_fail_oom(e);
	}
	if (r == 0 && rpc) {
		free(s->rpc);
		s->rpc = with_ports(rpc, RPC_PORT, false);
		r = s->rpc ? 0 : slu_fail_oom(e);
	}
	return r;
}

/* What a client has to have as the cluster does, or they do not understand each other. */
static int add_common(const struct slu_hconf *c, struct json_t **o, struct slu_err *e)
{
	static const char *const names[] = {
		"hadoop.security.authentication",  "hadoop.rpc.protection",
		"dfs.namenode.kerberos.principal", "dfs.namenode.kerberos.principal.pattern",
		"dfs.data.transfer.protection",    "dfs.encrypt.data.transfer",
		"dfs.client.use.datanode.hostname"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		SLU_AUTO(slu_freep) char *value = NULL;
		int r = slu_hconf_get(c, names[i], &value, e);

		if (r < 0)
			return r;
		if (!value)
			continue;
		if (!*o && !(*o = slu_json_object()))
			return slu_fail_oom(e);
		if (slu_json_set_str(*o, names[i], value) < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

int slu_hdfs_place_find(const struct json_t *entry, const char *dir, struct slu_hdfs_place *ret,
			struct slu_err *e)
{
	SLU_AUTO(slu_hdfs_place_done) struct slu_hdfs_place p = {0};
	SLU_AUTO(slu_freep) char *others = NULL;
	const char *namenode = slu_json_str(entry, "namenode");
	int r = load_conf(entry, dir, &p.conf, e);

	if (r == 0)
		r = namenode ? from_entry(entry, namenode, &p.at, e)
			     : from_conf(entry, p.conf, &p.at, e);
	if (r == 0 && p.conf)
		r = slu_hconf_get(p.conf, "dfs.webhdfs.rest-csrf.custom-header", &p.csrf, e);
	if (r == 0 && p.conf)
		r = slu_hconf_get(p.conf, "dfs.nameservices", &others, e);
	if (r < 0)
		return r;
	if (p.at.logical) {
		p.properties = slu_json_object();
		if (!p.properties || slu_nameservice_properties(&p.at, others, p.properties) < 0)
			return slu_fail_oom(e);
	}
	if (p.conf && (r = add_common(p.conf, &p.properties, e)) < 0)
		return r;
	*ret = p;
	p = (struct slu_hdfs_place){0};
	return 0;
}
