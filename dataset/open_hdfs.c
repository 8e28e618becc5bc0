/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an "hdfs" entry to the driver: as whom, with what secret; where is hdfs_place.c's to find.
 */
#include "dataset/open_hdfs.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/datastore.h"
#include "dataset/hdfs_place.h"
#include "hdfs/hdfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>

#define TOKEN_MAX 16384

struct parts {
	struct slu_hdfs_place place;
	char *user, *token, *ca_file;
};

static void parts_done(struct parts *p)
{
	if (p->token)
		explicit_bzero(p->token, strlen(p->token));
	slu_hdfs_place_done(&p->place);
	free(p->user);
	free(p->token);
	free(p->ca_file);
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

static int read_file(const char *path, struct slu_buf *b, struct slu_err *e)
{
	int r = slu_buf_read_at(b, AT_FDCWD, path);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read the delegation token in '%s'", path);
	return 0;
}

static int read_token(const struct json_t *entry, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TOKEN_MAX);
	const char *text = slu_json_str(entry, "credential");
	struct slu_cred c;
	int r;

	if (!slu_json_get(entry, "credential"))
		return 0;
	r = text ? slu_cred_parse(text, "'credential'", &c, e) : -ENOTSUP;
	if (r == -EINVAL)
		return r;
	if (r == 0 && c.kind == SLU_CRED_ENV) {
		const char *value = getenv(c.arg);

		if (!value || !*value)
			return slu_fail(e, ENOENT,
					"the environment variable '%s', which should hold the "
					"delegation token, is not set",
					c.arg);
		slu_buf_str(&b, value);
	} else if (r == 0 && c.kind == SLU_CRED_FILE) {
		r = read_file(c.arg, &b, e);
		if (r < 0)
			return r;
	} else {
		return slu_fail(e, ENOTSUP,
				"the credential of an hdfs datastore is a delegation token, given "
				"as env:NAME or file:PATH");
	}
	while (b.len && isspace((unsigned char)b.p[b.len - 1]))
		b.p[--b.len] = '\0';
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
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
	/* A token over plain http only when somebody wrote so. */
	c->plain_ok = !c->tls && (protocol || !p->token);
	c->root = slu_json_str(entry, "path");
	return 0;
}

static int fill(const struct json_t *entry, const char *dir, struct slu_hdfs_conf *c,
		struct parts *p, struct slu_err *e)
{
	const char *user = slu_json_str(entry, "user");
	const char *ca = slu_json_str(entry, "ca_file");
	int r;

	if (slu_json_get(entry, "kerberos"))
		return slu_fail(e, ENOTSUP,
				"this build of sluice has no Kerberos: give a delegation token as "
				"the \"credential\"");
	r = read_token(entry, &p->token, e);
	if (r == 0)
		r = fill_address(entry, dir, c, p, e);
	if (r < 0)
		return r;
	p->user = user ? slu_strdup(user) : default_user();
	if (ca)
		p->ca_file = *ca == '/' ? slu_strdup(ca) : slu_path_join(dir, ca);
	if (!p->user || (ca && !p->ca_file))
		return slu_fail_oom(e);
	c->user = p->user;
	c->token = p->token;
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
