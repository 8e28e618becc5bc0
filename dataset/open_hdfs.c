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
};

static void parts_done(struct parts *p)
{
	slu_hdfs_place_done(&p->place);
	slu_hdfs_secret_done(&p->secret);
	free(p->user);
	free(p->ca_file);
	free(p->socket);
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
	c->properties = p->place.properties;
	c->csrf = p->place.csrf;
	c->path = slu_json_str(entry, "http_path");
	c->doas = slu_json_str(entry, "doas");
	c->root = slu_json_str(entry, "path");
	return 0;
}

/* A token, or a cookie that is as good, goes over plain http only when somebody wrote so. */
static void plain(const struct json_t *entry, struct slu_hdfs_conf *c, const struct parts *p)
{
	bool secret = p->secret.token || p->secret.kerberos;

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

static int fill(const struct json_t *entry, const char *dir, struct slu_hdfs_conf *c,
		struct parts *p, struct slu_err *e)
{
	const char *user = slu_json_str(entry, "user");
	const char *ca = slu_json_str(entry, "ca_file");
	int r;

	r = fill_address(entry, dir, c, p, e);
	if (r == 0)
		r = slu_hdfs_secret_read(entry, dir, c->web, c->rpc, c->name, &p->secret, e);
	if (r == 0)
		r = find_socket(entry, p->place.conf, &p->socket, e);
	if (r == 0)
		plain(entry, c, p);
	if (r < 0)
		return r;
	p->user = user ? slu_strdup(user) : default_user();
	if (ca)
		p->ca_file = *ca == '/' ? slu_strdup(ca) : slu_path_join(dir, ca);
	if (!p->user || (ca && !p->ca_file))
		return slu_fail_oom(e);
	c->user = p->user;
	c->token = p->secret.token;
	c->token_file = p->secret.token_file;
	c->services = p->secret.services;
	c->kerberos = p->secret.kerberos ? &p->secret.gss : NULL;
	c->ca_file = p->ca_file;
	c->domain_socket = p->socket && *p->socket ? p->socket : NULL;
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
