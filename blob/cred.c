/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials by reference.  Reading a file again costs one stat a request, which is below a
 * thousandth of the request; a variable does not change; a command is run again when what it gave has an
 * end.
 */
#include "blob/cred.h"

#include "blob/cred_run.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define LIFE_PAST (5 * 60 * SLU_SEC) /* of what has ended by our clock */

struct slu_blob_cred {
	char *where, *path, *var, *command;
	pthread_mutex_t lock; /* guards what follows */
	struct stat seen;     /* of the file when it was read */
	struct slu_blob_secret now;
	struct slu_tokens *tokens; /* when the command is run again; NULL: never */
};

/* --- the text --- */

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void buf_wipe(struct slu_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	slu_buf_done(b);
}

void slu_blob_secret_done(struct slu_blob_secret *s)
{
	wipe(s->sas);
	wipe(s->token);
	free(s->account);
	free(s->endpoint);
	free(s->suffix);
	free(s->protocol);
	explicit_bzero(s, sizeof(*s));
}

static int set_key(const char *text, const char *where, struct slu_blob_secret *s,
		   struct slu_err *e)
{
	if (!slu_base64_decode(text, s->key, sizeof(s->key), &s->key_len) || s->key_len < 16)
		return slu_fail(e, EINVAL,
				"%s leads to neither an account key (base64) nor a SAS (a "
				"query with a signature): correct what it holds",
				where);
	s->kind = SLU_BLOB_KEY;
	return 0;
}

static int set_sas(const char *text, const char *where, struct slu_blob_secret *s,
		   struct slu_err *e)
{
	text += *text == '?';
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return slu_fail(e, EINVAL,
					"%s leads to a SAS with a character that no query has",
					where);
	s->sas = slu_strdup(text);
	s->kind = SLU_BLOB_SAS;
	return s->sas ? 0 : slu_fail_oom(e);
}

static const char *part(const char *item, const char *name)
{
	const char *v = slu_iafter(item, name);

	return v && *v == '=' ? v + 1 : NULL;
}

/* The emulator's published account. */
static int set_emulator(const char *v, const char *where, struct slu_blob_secret *s,
			struct slu_err *e)
{
	static const char key[] = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
				  "K1SZFPTOtr/KBHBeksoGMGw==";

	if (strcasecmp(v, "true") != 0)
		return slu_fail(e, EINVAL,
				"%s leads to a connection string whose UseDevelopmentStorage is "
				"not true",
				where);
	free(s->account);
	s->account = slu_strdup("devstoreaccount1");
	if (!s->endpoint)
		s->endpoint = slu_strdup("http://127.0.0.1:10000/devstoreaccount1");
	if (!s->account || !s->endpoint)
		return slu_fail_oom(e);
	return set_key(key, where, s, e);
}

/* "http://host", where the emulator is instead; its port stays what it always is. */
static int set_emulator_host(const char *v, struct slu_blob_secret *s, struct slu_err *e)
{
	const char *host = strstr(v, "://");
	size_t n;

	host = host ? host + 3 : v;
	n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	if (n > strlen(host))
		n = strlen(host);
	free(s->endpoint);
	s->endpoint = slu_asprintf("%s://%.*s:10000/devstoreaccount1",
				   slu_starts(v, "https:") ? "https" : "http", (int)n, host);
	return s->endpoint ? 0 : slu_fail_oom(e);
}

static int set_part(const char *item, const char *where, struct slu_blob_secret *s,
		    struct slu_err *e)
{
	const struct {
		const char *name;
		char **to;
	} plain[] = {{"AccountName", &s->account},
		     {"BlobEndpoint", &s->endpoint},
		     {"EndpointSuffix", &s->suffix},
		     {"DefaultEndpointsProtocol", &s->protocol}};
	const char *v;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		v = part(item, plain[i].name);
		if (!v || !*v)
			continue;
		free(*plain[i].to);
		*plain[i].to = slu_strdup(v);
		return *plain[i].to ? 0 : slu_fail_oom(e);
	}
	v = part(item, "UseDevelopmentStorage");
	if (v)
		return set_emulator(v, where, s, e);
	v = part(item, "DevelopmentStorageProxyUri");
	if (v)
		return set_emulator_host(v, s, e);
	v = part(item, "AccountKey");
	if (v)
		return set_key(v, where, s, e);
	v = part(item, "SharedAccessSignature");
	return v && s->kind == SLU_BLOB_ANONYMOUS ? set_sas(v, where, s, e) : 0;
}

/* "Name=value;Name=value": names that are not ours are of other services. */
static int set_parts(const char *text, const char *where, struct slu_blob_secret *s,
		     struct slu_err *e)
{
	int r = 0;

	while (r == 0 && *text) {
		size_t n = strcspn(text, ";");
		char *item = slu_strndup(text, n);

		r = item ? set_part(item, where, s, e) : slu_fail_oom(e);
		wipe(item);
		text += n + (text[n] == ';');
	}
	if (r == 0 && !s->account && !s->endpoint)
		r = slu_fail(e, EINVAL, "%s leads to a connection string without an account",
			     where);
	return r;
}

static bool is_connection_string(const char *s)
{
	return strcasestr(s, "UseDevelopmentStorage=") || strcasestr(s, "AccountName=") ||
	       strcasestr(s, "BlobEndpoint=");
}

int slu_blob_secret_parse(const char *text, const char *where, struct slu_blob_secret *ret,
			  struct slu_err *e)
{
	struct slu_blob_secret s = {0};
	size_t n;
	char *t;
	int r;

	text += strspn(text, " \t\r\n");
	n = strlen(text);
	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	t = slu_strndup(text, n);
	if (!t)
		return slu_fail_oom(e);
	if (!n)
		r = slu_fail(e, EINVAL, "%s leads to nothing: it is empty", where);
	else if (is_connection_string(t))
		r = set_parts(t, where, &s, e);
	else if (strstr(t, "sig="))
		r = set_sas(t, where, &s, e);
	else
		r = set_key(t, where, &s, e);
	wipe(t);
	if (r < 0)
		slu_blob_secret_done(&s);
	else
		*ret = s;
	return r;
}

/* --- where it comes from --- */

static int read_env(struct slu_blob_cred *c, struct slu_err *e)
{
	const char *v = getenv(c->var);

	if (!v)
		return slu_fail(e, ENOENT,
				"%s names the environment variable '%s', which is not set",
				c->where, c->var);
	return slu_blob_secret_parse(v, c->where, &c->now, e);
}

static int check_file(const struct slu_blob_cred *c, const struct stat *st, struct slu_err *e)
{
	if (!S_ISREG(st->st_mode))
		return slu_fail(e, EINVAL, "%s: '%s' is no regular file", c->where, c->path);
	if (st->st_mode & 077)
		return slu_fail(e, EACCES,
				"%s: others may read '%s': make it private with `chmod 600`",
				c->where, c->path);
	return 0;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Locked. */
static int read_file(struct slu_blob_cred *c, struct slu_err *e)
{
	SLU_AUTO(buf_wipe) struct slu_buf b = SLU_BUF(SLU_CRED_TEXT_MAX);
	SLU_AUTO(slu_closep) int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct slu_blob_secret s = {0};
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return slu_fail_sys(e, errno, "%s: cannot read '%s'", c->where, c->path);
	r = check_file(c, &st, e);
	if (r < 0)
		return r;
	r = slu_buf_read_fd(&b, fd);
	if (r < 0)
		return slu_fail_sys(e, -r, "%s: cannot read '%s'", c->where, c->path);
	r = slu_blob_secret_parse(b.p ? b.p : "", c->where, &s, e);
	if (r < 0)
		return r;
	slu_blob_secret_done(&c->now);
	c->now = s;
	c->seen = st;
	return 0;
}

static int read_command(struct slu_blob_cred *c, struct slu_blob_secret *ret, struct slu_err *e)
{
	SLU_AUTO(buf_wipe) struct slu_buf b = SLU_BUF(SLU_CRED_TEXT_MAX);
	int r = slu_cred_run(c->command, c->where, &b, e);

	return r < 0 ? r : slu_blob_secret_parse(b.p ? b.p : "", c->where, ret, e);
}

/* "2026-11-21T08%3A00%3A00Z", or with less behind the day. */
int64_t slu_blob_sas_ends(const char *sas)
{
	char text[40];
	size_t n = 0;
	int64_t at;

	while (sas && !slu_starts(sas, "se=")) {
		sas = strchr(sas, '&');
		sas = sas ? sas + 1 : NULL;
	}
	if (!sas)
		return 0;
	for (sas += 3; *sas && *sas != '&' && n < sizeof(text) - 12; sas++) {
		bool colon = slu_iafter(sas, "%3a");

		text[n++] = colon ? ':' : *sas;
		sas += colon ? 2 : 0;
	}
	text[n] = '\0';
	if (n == 10)
		memcpy(text + n, "T00:00:00Z", 11);
	else if (n == 17 && text[16] == 'Z')
		memcpy(text + 16, ":00Z", 5);
	return slu_time_parse(text, &at) ? at : 0;
}

/* What has ended by our clock may not have by that of the service, which decides. */
static int when(const struct slu_blob_secret *s, struct slu_token *ret)
{
	int64_t at = s->sas ? slu_blob_sas_ends(s->sas) : 0;

	ret->ends = !at ? INT64_MAX : at > slu_wall() ? at : slu_wall() + LIFE_PAST;
	ret->text = slu_strdup("held"); /* the secret itself stays here */
	return ret->text ? 0 : -ENOMEM;
}

static int run_again(void *arg, struct slu_token *ret, struct slu_err *e)
{
	struct slu_blob_cred *c = arg;
	struct slu_blob_secret s = {0};
	int r = read_command(c, &s, e);

	if (r < 0)
		return r;
	r = when(&s, ret);
	if (r < 0) {
		slu_blob_secret_done(&s);
		return slu_fail_oom(e);
	}
	pthread_mutex_lock(&c->lock);
	slu_blob_secret_done(&c->now);
	c->now = s;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int slu_blob_cred_renew(struct slu_blob_cred *c, struct slu_pool *pool)
{
	struct slu_token first = {0};
	int r;

	if (!c->command || !c->now.sas || !slu_blob_sas_ends(c->now.sas))
		return 0;
	r = when(&c->now, &first);
	first.ends = slu_blob_sas_ends(c->now.sas); /* has it ended, so it is run again at once */
	if (r == 0)
		r = slu_tokens_new(pool, run_again, c, &c->tokens);
	if (r == 0)
		slu_tokens_put(c->tokens, &first);
	else
		slu_token_done(&first);
	return r;
}

int slu_blob_cred_ask(struct slu_blob_cred *c, struct slu_token_wait *w,
		      struct slu_blob_secret *ret, struct slu_err *e)
{
	char *held = NULL;
	int r = c->tokens ? slu_tokens_get(c->tokens, w, &held, e) : 0;

	free(held);
	return r < 0 ? r : slu_blob_cred_get(c, ret, e);
}

static int set_source(struct slu_blob_cred *c, const char *ref, struct slu_err *e)
{
	const char *arg;

	arg = slu_after(ref, "env:");
	if (arg) {
		c->var = slu_strdup(arg);
		return c->var ? read_env(c, e) : slu_fail_oom(e);
	}
	arg = slu_after(ref, "cmd:");
	if (arg) {
		c->command = slu_strdup(arg);
		return c->command ? read_command(c, &c->now, e) : slu_fail_oom(e);
	}
	arg = slu_after(ref, "file:");
	if (arg) {
		c->path = slu_strdup(arg);
		return c->path ? read_file(c, e) : slu_fail_oom(e);
	}
	return slu_fail(
		e, ENOTSUP,
		"%s: this build of sluice signs in with an account key, a SAS or a connection "
		"string only; give one as env:NAME, file:PATH or cmd:COMMAND",
		c->where);
}

int slu_blob_cred_new(const char *ref, const char *where, struct slu_blob_cred **ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_blob_cred_freep) struct slu_blob_cred *c = slu_new0(struct slu_blob_cred);
	int r = 0;

	if (!c)
		return slu_fail_oom(e);
	pthread_mutex_init(&c->lock, NULL);
	c->where = slu_strdup(where);
	if (!c->where)
		return slu_fail_oom(e);
	if (ref)
		r = set_source(c, ref, e);
	if (r == 0)
		*ret = slu_take(c);
	return r;
}

static char *copy_of(const char *s, bool *oom)
{
	char *copy = slu_strdup(s);

	*oom |= s && !copy;
	return copy;
}

/* A file that is being replaced may be unreadable for a moment: what was read still holds then. */
int slu_blob_cred_get(struct slu_blob_cred *c, struct slu_blob_secret *ret, struct slu_err *e)
{
	bool oom = false;
	struct stat st;

	pthread_mutex_lock(&c->lock);
	if (c->path && stat(c->path, &st) == 0 && !same(&st, &c->seen) && read_file(c, NULL) < 0)
		c->seen = st;
	*ret = c->now;
	ret->sas = copy_of(c->now.sas, &oom);
	ret->account = copy_of(c->now.account, &oom);
	ret->endpoint = copy_of(c->now.endpoint, &oom);
	ret->suffix = copy_of(c->now.suffix, &oom);
	ret->protocol = copy_of(c->now.protocol, &oom);
	pthread_mutex_unlock(&c->lock);
	if (!oom)
		return 0;
	slu_blob_secret_done(ret);
	return slu_fail_oom(e);
}

void slu_blob_cred_free(struct slu_blob_cred *c)
{
	if (!c)
		return;
	slu_tokens_free(c->tokens);
	slu_blob_secret_done(&c->now);
	pthread_mutex_destroy(&c->lock);
	free(c->where);
	free(c->path);
	free(c->var);
	free(c->command);
	free(c);
}
