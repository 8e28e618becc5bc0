/* SPDX-License-Identifier: Apache-2.0 */
/* The store itself: opened from an entry of the config, ops handed to those who carry them out. */
#include "blob/blob.h"

#include "blob/call.h"
#include "blob/dfs.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>

#define PROBE_MAX (10 * SLU_SEC)

static void run_op(struct slu_blob *b, struct slu_op *op, void (*const run[])(struct slu_call *))
{
	struct slu_call *c;

	if (!run[op->type]) {
		slu_op_finish(op, slu_fail(&op->err, ENOTSUP, "'%s': Blob storage cannot %s",
					   op->path, slu_op_name(op->type)));
		return;
	}
	if (slu_blob_check_name(op) < 0) {
		slu_op_finish(op, -EINVAL);
		return;
	}
	c = slu_call_new(b, op);
	if (c)
		run[op->type](c);
}

static void blob_submit(struct slu_store *s, struct slu_op *op)
{
	static void (*const run[_SLU_OP_MAX])(struct slu_call *) = {
		[SLU_OP_STAT] = slu_blob_stat,           [SLU_OP_LIST] = slu_blob_list,
		[SLU_OP_READ] = slu_blob_read,           [SLU_OP_PUT] = slu_blob_put,
		[SLU_OP_PUT_BLOCK] = slu_blob_put_block, [SLU_OP_COMMIT] = slu_blob_commit,
		[SLU_OP_ABORT] = slu_blob_abort,         [SLU_OP_DELETE] = slu_blob_delete,
		[SLU_OP_MKDIR] = slu_blob_mkdir,         [SLU_OP_COPY] = slu_blob_copy,
		[SLU_OP_BLOCKS] = slu_blob_blocks,
	};

	run_op((struct slu_blob *)s, op, run);
}

/* Bytes go by the Blob endpoint, names by the other. */
static void dfs_submit(struct slu_store *s, struct slu_op *op)
{
	static void (*const run[_SLU_OP_MAX])(struct slu_call *) = {
		[SLU_OP_LIST] = slu_dfs_list,
		[SLU_OP_DELETE] = slu_dfs_delete,
		[SLU_OP_RENAME] = slu_dfs_rename,
		[SLU_OP_MKDIR] = slu_dfs_mkdir,
	};

	if (run[op->type])
		run_op((struct slu_blob *)s, op, run);
	else
		blob_submit(s, op);
}

static void probe_submit(struct slu_store *s, struct slu_op *op)
{
	static void (*const run[_SLU_OP_MAX])(struct slu_call *) = {[SLU_OP_STAT] = slu_dfs_probe};

	run_op((struct slu_blob *)s, op, run);
}

static void blob_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_blob *b = (struct slu_blob *)s;

	pthread_mutex_lock(&b->lock);
	for (struct slu_call *c = b->calls; c; c = c->next)
		if (c->op == op)
			slu_xfer_cancel(&c->x);
	pthread_mutex_unlock(&b->lock);
}

static void blob_free(struct slu_store *s)
{
	struct slu_blob *b = (struct slu_blob *)s;

	slu_blob_odd_free(b);
	slu_blob_place_done(&b->at);
	slu_blob_cred_free(b->cred);
	slu_identity_free(b->identity);
	slu_json_free(b->entry);
	free(b->ca_file);
	free(b->proxy);
	free(b->cred_key);
	free(b->cred_ref);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static const struct slu_store_ops probe_ops = {
	.name = "blob",
	.submit = probe_submit,
	.cancel = blob_cancel,
};

static const struct slu_store_ops dfs_ops = {
	.name = "dfs",
	.submit = dfs_submit,
	.cancel = blob_cancel,
	.hadoop = slu_blob_hadoop,
	.source = slu_blob_source,
	.inspect = slu_blob_inspect,
	.free = blob_free,
};

static const struct slu_store_ops blob_ops = {
	.name = "blob",
	.submit = blob_submit,
	.cancel = blob_cancel,
	.hadoop = slu_blob_hadoop,
	.source = slu_blob_source,
	.inspect = slu_blob_inspect,
	.free = blob_free,
};

/* Hadoop gets the reference, and is somewhere else. */
static char *absolute_ref(const char *ref, const char *dir)
{
	const char *path = slu_after(ref, "file:");

	return path && *path != '/' ? slu_asprintf("file:%s/%s", dir, path) : slu_strdup(ref);
}

/* The reference of the credential: under which key it stands, and what it is; both NULL: none. */
static int find_cred(struct slu_blob *b, const struct json_t *entry, const char *dir,
		     struct slu_err *e)
{
	static const char *const keys[] = {"account_key", "sas_token", "credential"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!slu_json_get(entry, keys[i]) || slu_identity_is(slu_json_get(entry, keys[i])))
			continue;
		b->cred_key = slu_strdup(keys[i]);
		b->cred_ref = absolute_ref(slu_json_str(entry, keys[i]), dir);
		if (!b->cred_key || !b->cred_ref)
			return slu_fail_oom(e);
	}
	return 0;
}

static int open_cred(struct slu_blob *b, struct slu_blob_secret *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *where = NULL;
	int r;

	where = slu_asprintf("'%s'", b->cred_key ? b->cred_key : "credential");
	if (!where)
		return slu_fail_oom(e);
	r = slu_blob_cred_new(b->cred_ref, where, &b->cred, e);
	if (r < 0)
		return r;
	return slu_blob_cred_renew(b->cred, b->pool) < 0 ? slu_fail_oom(e)
							 : slu_blob_cred_get(b->cred, ret, e);
}

/* "direct": none, whatever the environment says. */
static int set_proxy(struct slu_blob *b, const char *proxy, struct slu_err *e)
{
	if (!proxy)
		return 0;
	b->proxy = slu_strdup(slu_streq(proxy, "direct") ? "" : proxy);
	return b->proxy ? 0 : slu_fail_oom(e);
}

static int open_identity(struct slu_blob *b, const struct json_t *entry, const char *dir,
			 struct slu_err *e)
{
	const struct json_t *who = slu_json_get(entry, "credential");
	const char *ca = slu_json_str(entry, "ca_file");
	int r;

	if (ca) {
		b->ca_file = *ca == '/' ? slu_strdup(ca) : slu_asprintf("%s/%s", dir, ca);
		if (!b->ca_file)
			return slu_fail_oom(e);
	}
	r = set_proxy(b, slu_json_str(entry, "proxy"), e);
	if (r < 0 || !who || !slu_identity_is(who))
		return r;
	if ((r = slu_identity_replace(who, &b->entry, e)) < 0)
		return r;
	if (!b->entry && !(b->entry = slu_json_copy(who)))
		return slu_fail_oom(e);
	return slu_identity_new(b->entry, dir, b->at.suffix, b->loops, b->pool, &b->identity, e);
}

/* The entry wins over what a connection string says. */
static int open_place(struct slu_blob *b, const struct json_t *entry,
		      const struct slu_blob_secret *s, struct slu_err *e)
{
	const char *account = slu_json_str(entry, "account_name");
	const char *container = slu_json_str(entry, "container_name");
	const char *endpoint = slu_json_str(entry, "endpoint");
	const char *protocol = slu_json_str(entry, "protocol");
	bool gen2 = !container;
	int r;

	if (gen2)
		container = slu_json_str(entry, "filesystem");
	if (s->account && !slu_streq(s->account, account))
		return slu_fail(e, EINVAL,
				"the account is '%s', that of the connection string '%s': correct "
				"one of them",
				account, s->account);
	if (!endpoint)
		endpoint = s->endpoint ? s->endpoint : s->suffix;
	r = slu_blob_place_init(&b->at, account, container, endpoint,
				protocol ? protocol : s->protocol,
				slu_json_bool(entry, "allow_plain_http", false), e);
	b->at.gen2 = gen2;
	return r;
}

/* A service that does not answer is asked again soon, and says then what is wrong. */
static bool probe(struct slu_blob *b)
{
	struct slu_op op;
	int r;

	slu_op_stat(&op, "");
	op.deadline = slu_now() + PROBE_MAX;
	b->s.ops = &probe_ops;
	r = slu_store_wait(&b->s, &op, NULL);
	b->s.ops = &blob_ops;
	return r == 0 && op.attr.kind == SLU_KIND_DIR;
}

/* An entry of the Gen2 kind is asked once, unless it says; nobody else is. */
static int open_namespace(struct slu_blob *b, const struct json_t *entry, struct slu_err *e)
{
	const char *endpoint = slu_json_str(entry, "dfs_endpoint");
	const char *says = slu_json_str(entry, "namespace");
	int r = slu_blob_place_dfs(&b->at, endpoint, e);

	if (r < 0)
		return r;
	b->hierarchical = says && slu_streq(says, "hierarchical");
	if (b->hierarchical && !b->at.dfs)
		return slu_fail(e, EINVAL,
				"the dfs endpoint of '%s' is not known: say it as \"dfs_endpoint\"",
				b->at.base);
	if (!says && b->at.gen2 && b->at.dfs)
		b->hierarchical = probe(b);
	if (b->hierarchical) {
		b->s.ops = &dfs_ops;
		b->s.caps |= SLU_CAP_RENAME | SLU_CAP_RENAME_DIR | SLU_CAP_REAL_DIRS |
			     SLU_CAP_TREE_ORDER;
		b->s.caps &= ~(unsigned)SLU_CAP_START_LIST;
	}
	return 0;
}

int slu_blob_new(const struct json_t *entry, const char *dir, struct slu_loops *loops,
		 struct slu_pool *pool, struct slu_store **ret, struct slu_err *e)
{
	const char *md5 = slu_json_str(entry, "content_md5");
	const char *check = slu_json_str(entry, "check_ranges");
	const char *sum = slu_json_str(entry, "checksum");
	const char *driver = slu_json_str(entry, "hadoop_driver");
	struct slu_blob *b = slu_new0(struct slu_blob);
	struct slu_blob_secret s = {0};
	int r = 0;

	if (!b)
		return slu_fail_oom(e);
	pthread_mutex_init(&b->lock, NULL);
	b->no_md5 = md5 && slu_streq(md5, "ignore");
	b->wasbs = driver && slu_streq(driver, "wasb");
	b->check = SLU_CHECK_OFF;
	if (check && slu_blob_check_mode(check, &b->check) < 0)
		r = slu_fail(e, EINVAL, "'check_ranges': there is no mode '%s'", check);
	b->loops = loops;
	b->pool = pool;
	b->s = (struct slu_store){
		.ops = &blob_ops,
		.caps = SLU_CAP_RANGE_READ | SLU_CAP_COND_READ | SLU_CAP_PUT_ABSENT |
			SLU_CAP_PUT_MATCH | SLU_CAP_FLAT_LIST | SLU_CAP_COPY | SLU_CAP_PROPS |
			SLU_CAP_VERSIONS | SLU_CAP_START_LIST | SLU_CAP_BLOCKS,
		.block = SLU_BLOB_BLOCK,
		.max_put = SLU_BLOB_PUT_MAX,
		.blocks_max = SLU_BLOB_BLOCKS_MAX,
		.block_max = SLU_BLOB_BLOCK_MAX,
		.md5_max = sum && slu_streq(sum, "md5") ? UINT64_MAX : SLU_BLOB_MD5_MAX,
	};
	if (r == 0)
		r = find_cred(b, entry, dir, e);
	if (r == 0)
		r = open_cred(b, &s, e);
	if (r == 0)
		r = open_place(b, entry, &s, e);
	if (r == 0)
		r = open_identity(b, entry, dir, e);
	if (r == 0)
		r = open_namespace(b, entry, e);
	slu_blob_secret_done(&s);
	b->s.host = b->at.base;
	if (r < 0) {
		blob_free(&b->s);
		return r;
	}
	*ret = &b->s;
	return 0;
}
