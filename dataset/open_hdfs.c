/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an "hdfs" entry to the driver: as whom, with what secret; where is hdfs_place.c's to find.
 */
#include "dataset/open_hdfs.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/hdfs_place.h"
#include "dataset/hdfs_secret.h"
#include "hdfs/hdfs.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parts {
	struct slu_hdfs_place place;
	struct slu_hdfs_secret secret;
	char *user, *ca_file, *socket;
	struct json_t *env;
};

static void parts_done(struct parts *p)
{
	slu_hdfs_place_done(&p->place);
	slu_hdfs_secret_done(&p->secret);
	free(p->user);
	free(p->ca_file);
	free(p->socket);
	slu_json_free(p->env);
}

/* Without one HDFS takes everybody for its guest: so who runs this, as Hadoop's own client says. */
static char *default_user(void)
{
	const char *name = getenv("HADOOP_USER_NAME");
	struct passwd pw, *found = NULL;
	char text[4096];

	if (name && *name)
		return slu_strdup(name);
	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found)
		return slu_strdup(found->pw_name);
	return NULL;
}

/* Where the servers are, and how they are spoken to. */
static int fill_address(const struct json_t *entry, const char *dir, struct slu_hdfs_conf *c,
			struct parts *p, struct slu_err *e)
{
	const char *protocol = slu_json_str(entry, "protocol");
	int r = slu_hdfs_place_find(entry, dir, &p->place, e);

	if (r < 0)
		return r;
	if (protocol && slu_streq(protocol, "native"))
		c->protocol = SLU_HDFS_NATIVE;
	else if (protocol && slu_streq(protocol, "webhdfs"))
		c->protocol = SLU_HDFS_WEB;
	c->tls = p->place.at.tls;
	c->web = p->place.at.web;
	c->rpc = p->place.at.rpc;
	c->name = p->place.at.logical ? p->place.at.name : NULL;
	c->csrf = slu_json_str(entry, "csrf_header");
	if (!c->csrf)
		c->csrf = p->place.csrf;
	c->path = slu_json_str(entry, "http_path");
	c->doas = slu_json_str(entry, "doas");
	c->root = slu_json_str(entry, "path");
	return 0;
}

/* A token, or a cookie that is as good, goes over plain http only when somebody wrote so. */
static void plain(const struct json_t *entry, struct slu_hdfs_conf *c, const struct parts *p)
{
	bool secret = p->secret.token || p->secret.kerberos || p->secret.gate.secret;

	c->plain_ok = !c->tls && (slu_json_str(entry, "protocol") || !secret);
}

/* The socket by which DataNodes on this machine hand out their files; NULL: they are not asked. */
static int find_socket(const struct json_t *entry, const struct slu_hconf *conf, char **ret,
		       struct slu_err *e)
{
	const char *own = slu_json_str(entry, "domain_socket");

	if (own && *own != '/')
		return slu_fail(e, EINVAL, "the domain_socket '%s' is not an absolute path", own);
	if (own) {
		*ret = slu_strdup(own);
		return *ret ? 0 : slu_fail_oom(e);
	}
	if (!conf || !slu_hconf_bool(conf, "dfs.client.read.shortcircuit", false))
		return 0;
	return slu_hconf_get(conf, "dfs.domain.socket.path", ret, e);
}

/* Do the site's own clients read from observers? */
static int find_observers(const struct slu_hdfs_place *p, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *provider = NULL;
	int r = 0;

	if (p->conf && p->at.logical)
		r = slu_hconf_get_of(p->conf, "dfs.client.failover.proxy.provider", p->at.name,
				     &provider, e);
	if (r == 0)
		*ret = provider && strstr(provider, ".ObserverReadProxyProvider");
	return r;
}

/* As whom Hadoop's programs are to ask, by their environment: the same as we, where they can be told. */
static int tell_env(const char *user, const char *doas, const struct slu_hdfs_secret *s,
		    struct json_t *env)
{
	int r = 0;

	if (s->token_file)
		r = slu_json_set_str(env, "HADOOP_TOKEN_FILE_LOCATION", s->token_file);
	else if (user && !s->kerberos && !s->token)
		r = slu_json_set_str(env, "HADOOP_USER_NAME", user);
	if (r == 0 && doas)
		r = slu_json_set_str(env, "HADOOP_PROXY_USER", doas);
	if (r == 0 && s->ccache)
		r = slu_json_set_str(env, "KRB5CCNAME", s->ccache);
	return r;
}

/* How the servers are reached natively: what only Hadoop's configuration says, but for the socket. */
static int find_ways(const struct json_t *entry, struct parts *p, struct slu_hdfs_conf *c,
		     struct slu_err *e)
{
	const struct slu_hconf *conf = p->place.conf;
	int r = find_socket(entry, conf, &p->socket, e);

	if (r == 0)
		r = find_observers(&p->place, &c->observers, e);
	c->domain_socket = p->socket && *p->socket ? p->socket : NULL;
	c->hostnames = conf && slu_hconf_bool(conf, "dfs.client.use.datanode.hostname", false);
	return r;
}

/* The same by their settings. */
static int tell_conf(const struct slu_hdfs_secret *s, struct json_t *conf)
{
	if (!s->kerberos)
		return 0;
	if (slu_json_set_str(conf, "hadoop.security.authentication", "kerberos") < 0)
		return -ENOMEM;
	if (!s->keytab || !s->principal)
		return 0;
	if (slu_json_set_str(conf, "spark.kerberos.keytab", s->keytab) < 0)
		return -ENOMEM;
	return slu_json_set_str(conf, "spark.kerberos.principal", s->principal);
}

static int tell_who(const struct json_t *entry, struct parts *p, struct slu_err *e)
{
	const char *user = slu_json_str(entry, "user"), *doas = slu_json_str(entry, "doas");

	p->env = slu_json_object();
	if (!p->place.properties)
		p->place.properties = slu_json_object();
	if (!p->env || !p->place.properties || tell_env(user, doas, &p->secret, p->env) < 0 ||
	    tell_conf(&p->secret, p->place.properties) < 0)
		return slu_fail_oom(e);
	return 0;
}

static int read_parts(const struct json_t *entry, const char *dir, struct slu_hdfs_conf *c,
		      struct parts *p, struct slu_err *e)
{
	int r = fill_address(entry, dir, c, p, e);

	if (r == 0)
		r = slu_hdfs_secret_read(entry, dir, c->web, c->rpc, c->name, &p->secret, e);
	if (r == 0)
		r = find_ways(entry, p, c, e);
	if (r == 0)
		r = tell_who(entry, p, e);
	if (r == 0)
		plain(entry, c, p);
	return r;
}

static int fill(const struct json_t *entry, const char *dir, struct slu_hdfs_conf *c,
		struct parts *p, struct slu_err *e)
{
	const char *user = slu_json_str(entry, "user");
	const char *ca = slu_json_str(entry, "ca_file");
	int r = read_parts(entry, dir, c, p, e);

	if (r < 0)
		return r;
	p->user = user ? slu_strdup(user) : default_user();
	if (ca)
		p->ca_file = *ca == '/' ? slu_strdup(ca) : slu_path_join(dir, ca);
	if (!p->user || (ca && !p->ca_file))
		return slu_fail_oom(e);
	c->properties = p->place.properties;
	c->env = p->env;
	c->user = p->user;
	c->token = p->secret.token;
	c->token_file = p->secret.token_file;
	c->services = p->secret.services;
	c->gate = p->secret.gate.secret ? &p->secret.gate : NULL;
	c->kerberos = p->secret.kerberos ? &p->secret.gss : NULL;
	c->ca_file = p->ca_file;
	return 0;
}

int slu_open_hdfs(const struct json_t *entry, const char *dir, struct slu_loops *loops,
		  struct slu_pool *pool, struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(parts_done) struct parts p = {0};
	struct slu_hdfs_conf c = {0};
	int r = fill(entry, dir, &c, &p, e);

	return r < 0 ? r : slu_hdfs_new(&c, loops, pool, ret, e);
}
