/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HDFS driver: the store itself, its configuration checked, the way to the other files of this
 * folder by kind of op, cancel, and the URI by which Hadoop reaches a path.
 */
#include "hdfs/hdfs.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/native.h"
#include "hdfs/request.h"
#include "hdfs/token.h"
#include "io/crypt.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* A CREATE or an OPEN costs the DataNode milliseconds: few large ones. */
#define BLOCK (8u << 20)
/* What is put by WebHDFS costs servers 70 ms of processor for each file, half of it for the checksum: as long as three
 * of them may be within 64 MiB of memory. */
#define BLOCK_LONG (15u << 20)
#define AHEAD (16u << 20) /* DataNodes are near, and pause now and then */
#define PUT_MAX (1u << 30)
#define LANES 5   /* each is a pipeline of DataNodes: more only cost memory */
#define PIECES 10 /* of WebHDFS: a DataNode sends each slowly */
#define WEBHDFS "/webhdfs/v1"

static slu_hdfs_step *const steps[_SLU_OP_MAX] = {
	[SLU_OP_STAT] = slu_hdfs_stat,           [SLU_OP_LIST] = slu_hdfs_list,
	[SLU_OP_READ] = slu_hdfs_read,           [SLU_OP_PUT] = slu_hdfs_put,
	[SLU_OP_PUT_BLOCK] = slu_hdfs_put_block, [SLU_OP_COMMIT] = slu_hdfs_commit,
	[SLU_OP_BLOCKS] = slu_hdfs_blocks,       [SLU_OP_ABORT] = slu_hdfs_abort,
	[SLU_OP_DELETE] = slu_hdfs_delete,       [SLU_OP_RENAME] = slu_hdfs_rename,
	[SLU_OP_MKDIR] = slu_hdfs_mkdir,
};

static void web_submit(void *hdfs, struct slu_op *op)
{
	struct slu_hdfs *h = hdfs;
	struct slu_hdfs_req *q;

	if (!steps[op->type]) {
		slu_op_finish(op, slu_fail(&op->err, ENOTSUP, "'%s': HDFS cannot %s", op->path,
					   slu_op_name(op->type)));
		return;
	}
	q = slu_hdfs_begin(h, op);
	if (!q)
		return;
	if (slu_expired(op->deadline))
		slu_hdfs_end_fail(q, ETIMEDOUT, "its time was over before it was sent");
	else
		steps[op->type](q);
}

/* HDFS takes other bytes, and makes another name of them. */
static int check_name(struct slu_op *op, const char *name)
{
	size_t left = name ? strlen(name) : 0, len;

	for (const char *p = name; left; p += len, left -= len) {
		len = slu_utf8_len(p, left);
		if (!len)
			return slu_fail(&op->err, EINVAL,
					"'%s' is no UTF-8, as every name in HDFS is: use another",
					name);
	}
	return 0;
}

static void hdfs_submit(struct slu_store *s, struct slu_op *op)
{
	struct slu_hdfs *h = (struct slu_hdfs *)s;

	if (check_name(op, op->path) < 0 || check_name(op, op->to) < 0)
		slu_op_finish(op, -EINVAL);
	else if (!h->native || !slu_native_submit(h->native, op))
		web_submit(h, op);
}

static void hdfs_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_hdfs *h = (struct slu_hdfs *)s;
	struct slu_hdfs_req *q;

	if (h->native && slu_native_cancel(h->native, op))
		return;
	pthread_mutex_lock(&h->lock); /* q lives while op->drv points to it */
	q = op->drv;
	if (q && q->x.loop && !q->cleaning)
		slu_xfer_cancel(&q->x);
	pthread_mutex_unlock(&h->lock);
}

/* Hadoop's Path takes the text of a URI as it is: nothing is percent-encoded. */
static int hdfs_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		       struct slu_err *e)
{
	const struct slu_hdfs *h = (const struct slu_hdfs *)s;
	const char *scheme = h->rpc ? "hdfs" : h->tls ? "swebhdfs" : "webhdfs";

	if (!h->rpc && h->gateway)
		return slu_fail(e, ENOTSUP,
				"Hadoop's own clients cannot go by '%s%s': give the datastore the "
				"\"rpc_address\" of the NameNodes as well",
				h->web, h->prefix);
	struct slu_hadoop d = {
		.uri = slu_asprintf("%s://%s%s%s%s", scheme, h->rpc ? h->rpc : h->web, h->root,
				    *path || !*h->root ? "/" : "", path),
		.conf = h->properties ? slu_json_copy(h->properties) : slu_json_object(),
		.secret_refs = slu_json_object(),
		.env = h->env ? slu_json_copy(h->env) : slu_json_object(),
	};

	if (!d.uri || !d.conf || !d.secret_refs || !d.env) {
		slu_hadoop_done(&d);
		return slu_fail_oom(e);
	}
	*ret = d;
	return 0;
}

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void hdfs_free(struct slu_store *s)
{
	struct slu_hdfs *h = (struct slu_hdfs *)s;

	slu_native_free(h->native);
	if (h->places)
		slu_hash_free(h->places, free);
	for (unsigned i = 0; i < h->nodes; i++)
		free(h->node[i]);
	free(h->prefix);
	free(h->csrf);
	slu_json_free(h->properties);
	slu_json_free(h->env);
	slu_signin_free(h->signin);
	free((char *)h->who.token_name);
	wipe((char *)h->who.token_password);
	slu_gss_free(h->gss);
	free(h->doas);
	free(h->web);
	free(h->rpc);
	free(h->root);
	free(h->ca_file);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int hdfs_inspect(struct slu_store *s, struct json_t *ret, struct slu_err *e)
{
	return slu_signin_inspect(((struct slu_hdfs *)s)->signin, ret, e);
}

static const struct slu_store_ops hdfs_ops = {
	.name = "hdfs",
	.submit = hdfs_submit,
	.cancel = hdfs_cancel,
	.hadoop = hdfs_hadoop,
	.inspect = hdfs_inspect,
	.free = hdfs_free,
};

/* What the server takes for a user: ^[A-Za-z_][A-Za-z0-9._-]*[$]?$ */
static bool is_user(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)*s) || (*s && strchr("._-", *s)))
		s++;
	return *s == '\0' || (*s == '$' && !s[1]);
}

/* What stands before a file's path in a URL. */
static bool is_prefix(const char *s)
{
	size_t n = strlen(s);

	if (*s != '/' || n < 2 || n > 1024 || s[n - 1] == '/' || strstr(s, "//"))
		return false;
	while (isalnum((unsigned char)*s) || (*s && strchr("/._~-", *s)))
		s++;
	return *s == '\0';
}

static bool is_header(const char *s)
{
	while (isalnum((unsigned char)*s) || *s == '-')
		s++;
	return *s == '\0';
}

/* What goes into every request. */
static int check_names(const struct slu_hdfs_conf *c, struct slu_err *e)
{
	const char *users[] = {c->user, c->doas};

	for (size_t i = 0; i < 2; i++)
		if (users[i] && !is_user(users[i]))
			return slu_fail(
				e, EINVAL,
				"'%s' is no user name for HDFS: letters, digits, '.', '_', '-'",
				users[i]);
	if (c->path && !is_prefix(c->path))
		return slu_fail(e, EINVAL,
				"'%s' is no path of WebHDFS at a gateway: such as "
				"/gateway/default/webhdfs/v1",
				c->path);
	if (c->csrf && (!*c->csrf || !is_header(c->csrf)))
		return slu_fail(e, EINVAL, "'%s' is no name of a header", c->csrf);
	return 0;
}

static int check_conf(const struct slu_hdfs_conf *c, char **ret_root, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *clean = NULL;
	int r = check_names(c, e);

	if (r < 0)
		return r;
	if (c->root && *c->root != '/')
		return slu_fail(e, EINVAL, "'%s' is not an absolute path of HDFS", c->root);
	r = slu_path_clean(c->root ? c->root : "/", &clean, e);
	if (r < 0)
		return r;
	/* CONCAT takes a list of names joined by commas */
	if (strpbrk(clean, ":,"))
		return slu_fail(e, EINVAL,
				"'%s': a datastore's folder cannot have ':' or ',' in it", c->root);
	*ret_root = *clean ? slu_asprintf("/%s", clean) : slu_strdup("");
	return *ret_root ? 0 : slu_fail_oom(e);
}

static int sign_in_new(struct slu_hdfs *h, const struct slu_hdfs_conf *c, struct slu_pool *pool,
		       struct slu_err *e)
{
	struct slu_signin_conf conf = {
		.user = c->user,
		.csrf = h->csrf,
		.gate = c->gate,
		.token = c->token,
		.token_file = c->token_file,
		.services = c->services,
		.loops = h->loops,
		.pool = pool,
		.ca_file = c->ca_file,
		.plain_ok = c->plain_ok,
	};
	int r = c->kerberos ? slu_gss_new(c->kerberos, &h->gss, e) : 0;

	if (r < 0)
		return r;
	conf.gss = h->gss;
	if (conf.gss)
		conf.token = conf.token_file = NULL;
	if (c->token || c->gate)
		conf.user = NULL;
	return slu_signin_new(&conf, &h->signin, e);
}

static int fill_nodes(struct slu_hdfs *h, const char *list, struct slu_err *e)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ",");

		if (h->nodes == SLU_HDFS_NODES)
			return slu_fail(e, EINVAL, "more than %d NameNodes are named",
					SLU_HDFS_NODES);
		h->node[h->nodes] = slu_strndup(p, n);
		if (!h->node[h->nodes++])
			return slu_fail_oom(e);
		p += n + (p[n] == ',');
	}
	return 0;
}

static char *copy(const char *s, bool *oom)
{
	char *p = slu_strdup(s);

	*oom |= s && !p;
	return p;
}

static bool is_several(const struct slu_hdfs *h, const struct slu_hdfs_conf *c)
{
	return h->nodes > 1 || (c->rpc && strchr(c->rpc, ','));
}

/* URIs and messages name what is one file system, though it has several NameNodes. */
static int fill_texts(struct slu_hdfs *h, const struct slu_hdfs_conf *c, struct slu_err *e)
{
	bool oom = false;

	h->web = copy(c->name ? c->name : c->web, &oom);
	h->rpc = copy(c->rpc && c->name ? c->name : c->rpc, &oom);
	h->ca_file = copy(c->ca_file, &oom);
	h->prefix = copy(c->path ? c->path : WEBHDFS, &oom);
	h->gateway = h->prefix && !slu_streq(h->prefix, WEBHDFS);
	h->csrf = slu_asprintf("%s: sluice", c->csrf ? c->csrf : "X-XSRF-HEADER");
	h->doas = c->doas ? slu_hdfs_query("&doas=", c->doas) : slu_strdup("");
	h->s.host = h->rpc ? h->rpc : h->web;
	return oom || !h->csrf || !h->doas ? slu_fail_oom(e) : 0;
}

static int fill(struct slu_hdfs *h, const struct slu_hdfs_conf *c, struct slu_err *e)
{
	int r = fill_texts(h, c, e);

	h->tls = c->tls;
	h->plain_ok = c->plain_ok;
	h->properties = c->properties ? slu_json_copy(c->properties) : NULL;
	h->env = c->env ? slu_json_copy(c->env) : NULL;
	h->places = slu_hash_new();
	if ((c->properties && !h->properties) || (c->env && !h->env) || !h->places)
		r = slu_fail_oom(e);
	if (r == 0)
		r = fill_nodes(h, c->web, e);
	if (r == 0 && !c->name && is_several(h, c))
		r = slu_fail(e, EINVAL,
			     "'%s' are several NameNodes: their file system needs a name, the "
			     "\"nameservice\"",
			     c->rpc ? c->rpc : c->web);
	return r;
}

/* On behalf of others goes by WebHDFS, and what a gateway speaks for. */
static bool wants_native(const struct slu_hdfs_conf *c)
{
	return c->rpc && !c->doas && !c->gate && c->protocol != SLU_HDFS_WEB;
}

/* Whom RPC has to be convinced of: name and password are the parts of a token. */
static int who_new(struct slu_hdfs *h, const struct slu_hdfs_conf *c, struct slu_err *e)
{
	struct slu_hdfs_token t = {0};
	int r;

	h->who.gss = h->gss;
	if (h->gss || !c->token)
		return 0;
	r = slu_hdfs_token_parse(c->token, &t, e);
	if (r < 0)
		return r;
	h->who.token_name = slu_base64(t.id, t.id_len);
	h->who.token_password = slu_base64(t.password, t.password_len);
	slu_hdfs_token_done(&t);
	return h->who.token_name && h->who.token_password ? 0 : slu_fail_oom(e);
}

static int native_new(struct slu_hdfs *h, const struct slu_hdfs_conf *c, struct slu_pool *pool,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = slu_asprintf("hdfs://%s%s", h->rpc, h->root);
	struct slu_native_conf conf = {
		.namenodes = c->rpc,
		.root = h->root,
		.user = c->user,
		.who = h->who.gss || h->who.token_name ? &h->who : NULL,
		.where = where,
		.hostnames = c->hostnames,
		.observers = c->observers,
		.domain_socket = c->domain_socket,
		.only = c->protocol == SLU_HDFS_NATIVE,
		.loops = h->loops,
		.pool = pool,
		.hand_back = web_submit,
		.user_data = h,
	};

	return where ? slu_native_new(&conf, &h->native, e) : slu_fail_oom(e);
}

int slu_hdfs_new(const struct slu_hdfs_conf *conf, struct slu_loops *loops, struct slu_pool *pool,
		 struct slu_store **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *root = NULL;
	int r = check_conf(conf, &root, e);

	if (r < 0)
		return r;
	struct slu_hdfs *h = slu_new0(struct slu_hdfs);

	if (!h)
		return slu_fail_oom(e);
	pthread_mutex_init(&h->lock, NULL);
	h->s = (struct slu_store){
		.ops = &hdfs_ops,
		.caps = SLU_CAP_RANGE_READ | SLU_CAP_COND_READ | SLU_CAP_PUT_ABSENT |
			SLU_CAP_RENAME | SLU_CAP_RENAME_DIR | SLU_CAP_REAL_DIRS | SLU_CAP_BLOCKS |
			SLU_CAP_LOOSE | SLU_CAP_NO_COLON,
		.block = BLOCK,
		.max_put = PUT_MAX,
		.lanes = LANES,
		.ahead = AHEAD,
	};
	if (!wants_native(conf)) {
		h->s.caps |= SLU_CAP_BARE_READ;
		h->s.pieces = PIECES;
		h->s.block_long = BLOCK_LONG;
	}
	h->loops = loops;
	h->root = slu_take(root);
	r = fill(h, conf, e);
	if (r == 0)
		r = sign_in_new(h, conf, pool, e);
	if (r == 0)
		r = who_new(h, conf, e);
	if (r == 0 && wants_native(conf))
		r = native_new(h, conf, pool, e);
	if (r < 0) {
		hdfs_free(&h->s);
		return r;
	}
	*ret = &h->s;
	return 0;
}
