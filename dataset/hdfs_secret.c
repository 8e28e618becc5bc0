/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of HDFS (hdfs_secret.h), read where the entry says.  Services of tokens are addresses unless Hadoop's
 * hadoop.security.token.service.use_ip is off, so names are looked up where a token has to be found among others.
 */
#include "dataset/hdfs_secret.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/datastore.h"
#include "hdfs/signin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>

#define SECRET_MAX 16384

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(slu_take(*s));
}

void slu_hdfs_secret_done(struct slu_hdfs_secret *s)
{
	wipe(&s->token);
	wipe(&s->password);
	free(s->token_file);
	free(s->principal);
	free(s->keytab);
	free(s->ccache);
	free(s->gate_user);
	wipe(&s->gate_secret);
	free(s->gate_file);
	for (size_t i = 0; i < SLU_HDFS_SERVICES; i++)
		free((char *)s->services[i]);
	*s = (struct slu_hdfs_secret){0};
}

/* --- what a token may be for --- */

static void add_service(struct slu_hdfs_secret *s, char *name)
{
	size_t i = 0;

	while (i < SLU_HDFS_SERVICES && s->services[i])
		i++;
	if (i < SLU_HDFS_SERVICES)
		s->services[i] = name;
	else
		free(name);
}

/* "host:port", and the same with each address that the host has. */
static void add_address(struct slu_hdfs_secret *s, const char *address)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(address, ':');
	SLU_AUTO(slu_freep) char *host = NULL;
	struct addrinfo *found = NULL;

	add_service(s, slu_strdup(address));
	if (!colon || !(host = slu_strndup(address, (size_t)(colon - address))))
		return;
	if (getaddrinfo(host, NULL, &hints, &found))
		return;
	for (const struct addrinfo *a = found; a; a = a->ai_next) {
		char ip[64];

		if (getnameinfo(a->ai_addr, a->ai_addrlen, ip, sizeof(ip), NULL, 0,
				NI_NUMERICHOST) == 0)
			add_service(s, slu_asprintf("%s%s", ip, colon));
	}
	freeaddrinfo(found);
}

static void add_services(struct slu_hdfs_secret *s, const char *list)
{
	while (list && *list) {
		size_t n = strcspn(list, ",");
		SLU_AUTO(slu_freep) char *one = slu_strndup(list, n);

		if (one)
			add_address(s, one);
		list += n + (list[n] == ',');
	}
}

/* --- reading --- */

static int not_set(const char *name, const char *what, struct slu_err *e)
{
	return slu_fail(e, ENOENT,
			"the environment variable '%s', which should hold the %s, is not set", name,
			what);
}

/* What a reference leads to, as text; blanks around it are no part of it. */
static int read_secret(const struct slu_cred *c, const char *what, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SECRET_MAX);
	const char *value = c->kind == SLU_CRED_ENV ? getenv(c->arg) : NULL;
	int r;

	if (c->kind == SLU_CRED_ENV && (!value || !*value))
		return not_set(c->arg, what, e);
	if (c->kind == SLU_CRED_ENV) {
		slu_buf_str(&b, value);
	} else if (c->kind == SLU_CRED_FILE) {
		r = slu_buf_read_at(&b, AT_FDCWD, c->arg);
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot read the %s in '%s'", what, c->arg);
	} else {
		return slu_fail(e, ENOTSUP,
				"the %s of an hdfs datastore is given as env:NAME or "
				"file:PATH",
				what);
	}
	while (b.len && isspace((unsigned char)b.p[b.len - 1]))
		b.p[--b.len] = '\0';
	*ret = slu_strdup(b.p ? b.p : "");
	if (b.p)
		explicit_bzero(b.p, b.len);
	return *ret ? 0 : slu_fail_oom(e);
}

static int read_token(const struct json_t *entry, struct slu_hdfs_secret *s, struct slu_err *e)
{
	const char *text = slu_json_str(entry, "credential");
	struct slu_cred c = {0};
	int r = text ? slu_cred_parse(text, "'credential'", &c, e) : 0;

	if (r < 0)
		return r;
	if (!text || (c.kind != SLU_CRED_ENV && c.kind != SLU_CRED_FILE))
		return slu_fail(e, ENOTSUP,
				"the credential of an hdfs datastore is a delegation token, given "
				"as env:NAME or file:PATH");
	if (c.kind == SLU_CRED_ENV)
		return read_secret(&c, "delegation token", &s->token, e);
	s->token_file = slu_strdup(c.arg);
	if (!s->token_file)
		return slu_fail_oom(e);
	return slu_signin_read_token(c.arg, s->services, false, &s->token, e);
}

/* Who runs jobs for others leaves their tokens there, those for other servers as well. */
static int read_environment(struct slu_hdfs_secret *s, struct slu_err *e)
{
	const char *path = getenv("HADOOP_TOKEN_FILE_LOCATION");
	int r;

	if (!path || !*path)
		return 0;
	r = slu_signin_read_token(path, s->services, true, &s->token, e);
	if (r == -ENOENT) /* no file, or no token for these servers */
		return 0;
	if (r < 0)
		return r;
	s->token_file = slu_strdup(path);
	return s->token_file ? 0 : slu_fail_oom(e);
}

/* --- Kerberos --- */

static int read_password(const struct json_t *k, struct slu_hdfs_secret *s, struct slu_err *e)
{
	const char *text = slu_json_str(k, "password");
	struct slu_cred c;
	int r;

	if (!text)
		return 0;
	r = slu_cred_parse(text, "'password' of 'kerberos'", &c, e);
	return r < 0 ? r : read_secret(&c, "Kerberos password", &s->password, e);
}

static int read_kerberos(const struct json_t *k, const char *dir, struct slu_hdfs_secret *s,
			 struct slu_err *e)
{
	const char *principal = slu_json_str(k, "principal"), *realm = slu_json_str(k, "realm");
	const char *keytab = slu_json_str(k, "keytab"), *ccache = slu_json_str(k, "ccache");
	bool plain = principal && realm && !strchr(principal, '@');
	int r = read_password(k, s, e);

	if (r < 0)
		return r;
	if (principal)
		s->principal =
			slu_asprintf("%s%s%s", principal, plain ? "@" : "", plain ? realm : "");
	if (keytab)
		s->keytab = *keytab == '/' ? slu_strdup(keytab) : slu_path_join(dir, keytab);
	s->ccache = slu_strdup(ccache);
	if ((principal && !s->principal) || (keytab && !s->keytab) || (ccache && !s->ccache))
		return slu_fail_oom(e);
	s->kerberos = true;
	s->gss = (struct slu_gss_conf){.principal = s->principal,
				       .keytab = s->keytab,
				       .password = s->password,
				       .ccache = s->ccache};
	return 0;
}

/* --- a gateway --- */

static int read_gate(const struct json_t *g, struct slu_hdfs_secret *s, struct slu_err *e)
{
	const char *password = slu_json_str(g, "password"), *user = slu_json_str(g, "user");
	const char *text = password ? password : slu_json_str(g, "token");
	struct slu_cred c;
	int r = slu_cred_parse(text, password ? "'password' of 'gateway'" : "'token' of 'gateway'",
			       &c, e);

	if (r == 0)
		r = read_secret(&c, password ? "gateway's password" : "gateway's token",
				&s->gate_secret, e);
	if (r < 0)
		return r;
	s->gate_user = slu_strdup(user);
	s->gate_file = c.kind == SLU_CRED_FILE ? slu_strdup(c.arg) : NULL;
	if ((user && !s->gate_user) || (c.kind == SLU_CRED_FILE && !s->gate_file))
		return slu_fail_oom(e);
	s->gate = (struct slu_signin_gate){s->gate_user, s->gate_secret, s->gate_file};
	return 0;
}

int slu_hdfs_secret_read(const struct json_t *entry, const char *dir, const char *web,
			 const char *rpc, const char *name, struct slu_hdfs_secret *ret,
			 struct slu_err *e)
{
	const struct json_t *kerberos = slu_json_get(entry, "kerberos");
	const struct json_t *gate = slu_json_get(entry, "gateway");
	const char *location = getenv("HADOOP_TOKEN_FILE_LOCATION");
	bool given = slu_json_get(entry, "credential");
	struct slu_hdfs_secret s = {0};
	int r = 0;

	if (!!gate + !!kerberos + given > 1)
		return slu_fail(
			e, EINVAL,
			"it has more than one of \"gateway\", \"kerberos\" and \"credential\": "
			"give one");
	if (given || (!gate && !kerberos && location && *location)) {
		if (name)
			add_service(&s, slu_asprintf("ha-hdfs:%s", name));
		add_services(&s, rpc);
		add_services(&s, web);
	}
	if (given)
		r = read_token(entry, &s, e);
	else if (gate)
		r = read_gate(gate, &s, e);
	else if (kerberos)
		r = read_kerberos(kerberos, dir, &s, e);
	else
		r = read_environment(&s, e);
	if (r < 0) {
		slu_hdfs_secret_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}
