/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logical names and their NameNodes (nameservice.h).  Nothing is asked of any server.  ViewFs, Azure and S3 as
 * the default file system are refused: their data is reached by a datastore of its own.
 */
#include "hdfs/nameservice.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define RPC_PORT 8020
#define HTTP_PORT 9870
#define HTTPS_PORT 9871
#define NAMES_MAX 8192
#define PROVIDER "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"

void slu_nameservice_done(struct slu_nameservice *s)
{
	free(s->name);
	free(s->rpc);
	free(s->web);
	*s = (struct slu_nameservice){0};
}

/* The next of a list joined by commas, blanks left out; caller frees. *p moves on; NULL: no more, or no memory
 * (then *oom). */
static char *next_name(const char **p, bool *oom)
{
	const char *s = *p + strspn(*p, ", \t\r\n");
	size_t n = strcspn(s, ", \t\r\n");
	char *name;

	*p = s + n;
	if (!n)
		return NULL;
	name = slu_strndup(s, n);
	*oom |= !name;
	return name;
}

static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *s = list; s && *s;) {
		size_t n;

		s += strspn(s, ", \t\r\n");
		n = strcspn(s, ", \t\r\n");
		if (n == len && n && strncmp(s, name, n) == 0)
			return true;
		s += n;
	}
	return false;
}

/* --- one NameNode --- */

static size_t host_len(const char *address)
{
	size_t n = strcspn(address, address[0] == '[' ? "]" : ":");

	return address[n] == ']' ? n + 1 : n;
}

/* It becomes part of URLs: host:port and nothing else. */
static bool is_address(const char *s)
{
	size_t n = host_len(s);
	int64_t port;

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(s[0] == '[' ? "[:.]" : "._-", s[i]))
			return false;
	return n && s[n] == ':' && slu_i64(s + n + 1, 1, 65535, &port);
}

/* A server that listens on all addresses is on the host of its other door. */
static bool is_wildcard(const char *address)
{
	size_t n = host_len(address);

	return n == 0 || (n == 7 && strncmp(address, "0.0.0.0", n) == 0) ||
	       (n == 4 && strncmp(address, "[::]", n) == 0);
}

/* address, with the host of `host` where it has none and with a port. */
static char *complete(const char *address, const char *host, unsigned port)
{
	const char *from = address && !is_wildcard(address) ? address : host;
	const char *colon = address ? address + host_len(address) : "";

	if (!from)
		return NULL;
	if (*colon == ':' && colon[1])
		return slu_asprintf("%.*s%s", (int)host_len(from), from, colon);
	return slu_asprintf("%.*s:%u", (int)host_len(from), from, port);
}

struct node {
	char *rpc, *web;
};

static void node_done(struct node *n)
{
	free(n->rpc);
	free(n->web);
}

static int no_address(const char *suffix, const char *door, struct slu_err *e)
{
	if (!suffix)
		return slu_fail(e, EINVAL, "Hadoop's configuration names no NameNode");
	return slu_fail(
		e, EINVAL,
		"Hadoop's configuration says of '%s' neither dfs.namenode.rpc-address.%s nor "
		"%s.%s",
		suffix, suffix, door, suffix);
}

static int complete_node(const char *rpc, const char *web, const char *host, bool tls,
			 struct node *ret, struct slu_err *e)
{
	ret->web = complete(web, host, tls ? HTTPS_PORT : HTTP_PORT);
	ret->rpc = rpc ? complete(rpc, host, RPC_PORT) : NULL;
	if (!ret->web || (rpc && !ret->rpc))
		return slu_fail_oom(e);
	if (is_address(ret->web) && (!rpc || is_address(ret->rpc)))
		return 0;
	return slu_fail(e, EINVAL, "'%s' in Hadoop's configuration is no address: host:port",
			is_address(ret->web) ? ret->rpc : ret->web);
}

/* Of a logical name; suffix: "ns.nn1" or "ns". */
static int find_node(const struct slu_hconf *c, const char *suffix, bool tls, struct node *ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *rpc = NULL;
	SLU_AUTO(slu_freep) char *web = NULL;
	const char *door = tls ? "dfs.namenode.https-address" : "dfs.namenode.http-address";
	int r = slu_hconf_get_of(c, "dfs.namenode.rpc-address", suffix, &rpc, e);

	if (r == 0)
		r = slu_hconf_get_of(c, door, suffix, &web, e);
	if (r < 0)
		return r;
	const char *host = rpc ? rpc : web;

	if (!host || is_wildcard(host))
		return no_address(suffix, door, e);
	return complete_node(rpc, web, host, tls, ret, e);
}

/* --- all of a logical name --- */

static int add_node(const struct slu_hconf *c, const char *suffix, struct slu_nameservice *s,
		    struct slu_buf *rpc, struct slu_buf *web, struct slu_err *e)
{
	SLU_AUTO(node_done) struct node n = {0};
	bool first = !web->len;
	int r = find_node(c, suffix, s->tls, &n, e);

	if (r < 0)
		return r;
	if (first != !rpc->len && n.rpc)
		return slu_fail(
			e, EINVAL,
			"Hadoop's configuration has dfs.namenode.rpc-address of some NameNodes "
			"of '%s' only",
			s->name);
	slu_buf_fmt(web, "%s%s", first ? "" : ",", n.web);
	if (n.rpc)
		slu_buf_fmt(rpc, "%s%s", first ? "" : ",", n.rpc);
	if (slu_buf_err(rpc) || slu_buf_err(web))
		return slu_fail(e, EINVAL, "the addresses of the NameNodes of '%s' are too long",
				s->name);
	return 0;
}

/* nodes: nn1,nn2 */
static int add_nodes(const struct slu_hconf *c, const char *nodes, struct slu_nameservice *s,
		     struct slu_buf *rpc, struct slu_buf *web, struct slu_err *e)
{
	bool oom = false;
	unsigned n = 0;
	int r = 0;

	for (const char *p = nodes; r == 0 && *p;) {
		SLU_AUTO(slu_freep) char *node = next_name(&p, &oom);
		SLU_AUTO(slu_freep)
		char *suffix = node ? slu_asprintf("%s.%s", s->name, node) : NULL;

		if (!node)
			break;
		if (++n > SLU_NAMESERVICE_NODES)
			return slu_fail(e, EINVAL, "'%s' has more than %d NameNodes", s->name,
					SLU_NAMESERVICE_NODES);
		r = suffix ? add_node(c, suffix, s, rpc, web, e) : slu_fail_oom(e);
	}
	if (oom)
		return slu_fail_oom(e);
	if (r == 0 && !n)
		r = slu_fail(e, EINVAL, "dfs.ha.namenodes.%s names no NameNode", s->name);
	return r;
}

static int find_logical(const struct slu_hconf *c, struct slu_nameservice *s, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf rpc = SLU_BUF(NAMES_MAX);
	SLU_AUTO(slu_buf_done) struct slu_buf web = SLU_BUF(NAMES_MAX);
	SLU_AUTO(slu_freep) char *nodes = NULL;
	int r = slu_hconf_get_of(c, "dfs.ha.namenodes", s->name, &nodes, e);

	if (r == 0) /* of a federation there may be but one */
		r = nodes ? add_nodes(c, nodes, s, &rpc, &web, e)
			  : add_node(c, s->name, s, &rpc, &web, e);
	if (r < 0)
		return r;
	s->logical = true;
	s->web = slu_buf_take(&web);
	if (rpc.len)
		s->rpc = slu_buf_take(&rpc);
	return s->web && (s->rpc || !rpc.len) ? 0 : slu_fail_oom(e);
}

/* By its address. */
static int find_single(const struct slu_hconf *c, struct slu_nameservice *s, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *web = NULL;
	SLU_AUTO(node_done) struct node n = {0};
	int r = slu_hconf_get(
		c, s->tls ? "dfs.namenode.https-address" : "dfs.namenode.http-address", &web, e);

	if (r == 0)
		r = complete_node(s->name, web, s->name, s->tls, &n, e);
	if (r < 0)
		return r;
	free(s->name);
	s->name = slu_strdup(n.rpc);
	s->rpc = slu_take(n.rpc);
	s->web = slu_take(n.web);
	return s->name ? 0 : slu_fail_oom(e);
}

/* --- which one --- */

static int refuse(const char *uri, const char *from, struct slu_err *e)
{
	if (slu_starts(uri, "viewfs:") || slu_starts(uri, "viewfs-overload-scheme:"))
		return slu_fail(
			e, EINVAL,
			"%s is '%s', a table of mounts of several file systems: name the one that "
			"holds the data as the \"nameservice\" of the datastore",
			from, uri);
	if (slu_starts(uri, "file:"))
		return slu_fail(
			e, EINVAL,
			"%s names no HDFS ('%s'): give the datastore a \"nameservice\" or a "
			"\"namenode\"",
			from, uri);
	return slu_fail(e, EINVAL, "%s is '%s': an hdfs datastore needs one of hdfs://", from, uri);
}

struct authority {
	char *text;
	bool web; /* of a webhdfs:// URI: its port is that of the web server */
	bool tls;
};

static int split(const char *which, const char *from, struct authority *ret, struct slu_err *e)
{
	static const struct {
		const char *scheme;
		bool web, tls;
	} known[] = {{"hdfs://", false, false},
		     {"webhdfs://", true, false},
		     {"swebhdfs://", true, true}};
	const char *rest = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !rest; i++) {
		rest = slu_iafter(which, known[i].scheme);
		ret->web = known[i].web;
		ret->tls = known[i].tls;
	}
	if (!rest && (strstr(which, ":/") || slu_starts(which, "viewfs:")))
		return refuse(which, from, e);
	if (!rest) {
		ret->web = ret->tls = false;
		rest = which;
	}
	if (rest[0] == '/' || !*rest || strpbrk(rest, "@?#\\ "))
		return slu_fail(e, EINVAL, "%s is '%s', which names no host", from, which);
	ret->text = slu_strndup(rest, strcspn(rest, "/"));
	return ret->text ? 0 : slu_fail_oom(e);
}

static int is_logical(const struct slu_hconf *c, const char *name, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *all = NULL;
	SLU_AUTO(slu_freep) char *nodes = NULL;
	int r = slu_hconf_get(c, "dfs.nameservices", &all, e);

	if (r == 0)
		r = slu_hconf_get_of(c, "dfs.ha.namenodes", name, &nodes, e);
	*ret = r == 0 && !strchr(name, ':') && (nodes || in_list(all, name));
	return r;
}

static int find_tls(const struct slu_hconf *c, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *policy = NULL;
	int r = slu_hconf_get(c, "dfs.http.policy", &policy, e);

	if (r == 0 && policy)
		*ret = slu_streq(policy, "HTTPS_ONLY");
	return r;
}

static int find_authority(const struct slu_hconf *c, const char *which, struct authority *ret,
			  struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *dflt = NULL;
	int r;

	if (which)
		return split(which, "the nameservice", ret, e);
	r = slu_hconf_get(c, "fs.defaultFS", &dflt, e);
	return r < 0 ? r : split(dflt ? dflt : "file:///", "fs.defaultFS", ret, e);
}

int slu_nameservice_find(const struct slu_hconf *c, const char *which, struct slu_nameservice *ret,
			 struct slu_err *e)
{
	SLU_AUTO(slu_nameservice_done) struct slu_nameservice s = {0};
	struct authority a = {0};
	bool logical = false;
	int r = find_authority(c, which, &a, e);

	s.name = a.text;
	if (r == 0)
		r = find_tls(c, &s.tls, e);
	s.tls |= a.tls;
	if (r == 0)
		r = is_logical(c, s.name, &logical, e);
	if (r == 0 && a.web && !logical) {
		s.web = complete(s.name, s.name, a.tls ? HTTPS_PORT : HTTP_PORT);
		r = s.web ? 0 : slu_fail_oom(e);
		if (r == 0 && !is_address(s.web))
			r = slu_fail(e, EINVAL, "'%s' is no address: host:port", s.web);
	} else if (r == 0) {
		r = logical ? find_logical(c, &s, e) : find_single(c, &s, e);
	}
	if (r < 0)
		return r;
	*ret = s;
	s = (struct slu_nameservice){0};
	return 0;
}

/* --- for Hadoop's programs --- */

static int set_of(struct json_t *conf, const char *key, const char *name, const char *node,
		  const char *value)
{
	SLU_AUTO(slu_freep)
	char *full = slu_asprintf("%s.%s%s%s", key, name, node ? "." : "", node ? node : "");

	return full ? slu_json_set_str(conf, full, value) : -ENOMEM;
}

/* nn1, nn2, ... have these addresses: how many there were, or -ENOMEM. */
static int set_addresses(struct json_t *conf, const char *key, const char *name, const char *list)
{
	bool oom = false;
	int n = 0;

	for (const char *p = list; p && *p;) {
		SLU_AUTO(slu_freep) char *address = next_name(&p, &oom);
		SLU_AUTO(slu_freep) char *node = address ? slu_asprintf("nn%d", ++n) : NULL;

		if (!address)
			break;
		if (!node || set_of(conf, key, name, node, address) < 0)
			return -ENOMEM;
	}
	return oom ? -ENOMEM : n;
}

/* dfs.nameservices */
static int set_names(struct json_t *conf, const char *name, const char *others)
{
	SLU_AUTO(slu_buf_done) struct slu_buf names = SLU_BUF(NAMES_MAX);
	bool oom = false;

	slu_buf_str(&names, name);
	for (const char *p = others; p && *p && !slu_buf_err(&names);) {
		SLU_AUTO(slu_freep) char *other = next_name(&p, &oom);

		if (!other)
			break;
		if (!in_list(names.p, other))
			slu_buf_fmt(&names, ",%s", other);
	}
	if (oom || slu_buf_err(&names))
		return -ENOMEM;
	return slu_json_set_str(conf, "dfs.nameservices", names.p);
}

int slu_nameservice_properties(const struct slu_nameservice *s, const char *others,
			       struct json_t *conf)
{
	SLU_AUTO(slu_buf_done) struct slu_buf nodes = SLU_BUF(NAMES_MAX);
	const char *door = s->tls ? "dfs.namenode.https-address" : "dfs.namenode.http-address";
	int n = set_addresses(conf, "dfs.namenode.rpc-address", s->name, s->rpc);
	int m = set_addresses(conf, door, s->name, s->web);

	if (n < 0 || m < 0)
		return -ENOMEM;
	for (int i = 1; i <= (n > m ? n : m); i++)
		slu_buf_fmt(&nodes, "%snn%d", i > 1 ? "," : "", i);
	if (slu_buf_err(&nodes) || set_names(conf, s->name, others) < 0 ||
	    set_of(conf, "dfs.ha.namenodes", s->name, NULL, nodes.p ? nodes.p : "") < 0)
		return -ENOMEM;
	return set_of(conf, "dfs.client.failover.proxy.provider", s->name, NULL, PROVIDER);
}
