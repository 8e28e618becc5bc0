/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all stores have in common: the check of an op at the door, cancel and free through the
 * stack, and the blocking forms.  Which drivers and layers exist is unknown here.
 */
#include "fs/store.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>

/* The file was replaced between STAT and READ: how often slu_store_get looks again. */
#define GET_TRIES 5

static _Thread_local const struct slu_op *waited;

bool slu_op_waited(const struct slu_op *op)
{
	return waited == op;
}

void slu_hadoop_done(struct slu_hadoop *h)
{
	free(h->uri);
	slu_json_free(h->conf);
	slu_json_free(h->secret_refs);
	slu_json_free(h->env);
	*h = (struct slu_hadoop){0};
}

static struct json_t *copy_or_empty(const struct json_t *o)
{
	return o ? slu_json_copy(o) : slu_json_object();
}

struct json_t *slu_hadoop_json(const struct slu_hadoop *h)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set(o, "conf", copy_or_empty(h->conf)) < 0 ||
	    slu_json_set(o, "secret_refs", copy_or_empty(h->secret_refs)) < 0 ||
	    slu_json_set(o, "env", copy_or_empty(h->env)) < 0)
		return NULL;
	return slu_take(o);
}

static bool is_txn(const char *s)
{
	size_t n =
		s ? strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;

	return n > 0 && n < SLU_TXN_MAX && s[n] == '\0';
}

static unsigned caps_needed(const struct slu_op *op)
{
	unsigned put = (op->flags & SLU_OPF_ABSENT ? SLU_CAP_PUT_ABSENT : 0) |
		       (op->props ? SLU_CAP_PROPS : 0);

	switch (op->type) {
	case SLU_OP_LIST:
		return (op->flags & SLU_OPF_RECURSIVE ? SLU_CAP_FLAT_LIST : 0) |
		       (op->start ? SLU_CAP_START_LIST : 0) |
		       (op->flags & SLU_OPF_VERSIONS ? SLU_CAP_VERSIONS : 0);
	case SLU_OP_STAT:
		return op->version ? SLU_CAP_VERSIONS : 0;
	case SLU_OP_READ:
		return (op->if_match ? SLU_CAP_COND_READ : 0) |
		       (op->version ? SLU_CAP_VERSIONS : 0);
	case SLU_OP_PREFETCH:
		return SLU_CAP_PREFETCH;
	case SLU_OP_BLOCKS:
		return SLU_CAP_BLOCKS;
	case SLU_OP_PUT:
	case SLU_OP_COMMIT:
		return put;
	case SLU_OP_COPY:
		return put | SLU_CAP_COPY;
	case SLU_OP_RENAME:
		return SLU_CAP_RENAME | put;
	default:
		return 0;
	}
}

static bool in_range(const struct slu_op *op)
{
	uint64_t end;

	return !__builtin_add_overflow(op->off, op->len, &end) && end <= INT64_MAX;
}

/* What this kind of op needs to be filled in: a mistake of the caller, not of a user. */
static bool complete(const struct slu_op *op)
{
	if ((unsigned)op->type >= _SLU_OP_MAX || !op->done)
		return false;
	switch (op->type) {
	case SLU_OP_LIST:
		return op->list && op->list->n == 0;
	case SLU_OP_BLOCKS:
		return is_txn(op->txn) && op->list && op->list->n == 0;
	case SLU_OP_READ:
		return (op->buf || !op->len) && in_range(op);
	case SLU_OP_PUT:
		return op->data || !op->len;
	case SLU_OP_PUT_BLOCK:
		return is_txn(op->txn) && (op->data || !op->len) && in_range(op);
	case SLU_OP_COMMIT:
	case SLU_OP_ABORT:
		return is_txn(op->txn);
	case SLU_OP_RENAME:
		return op->to && *op->to;
	case SLU_OP_COPY:
		return op->from && op->from->url;
	default:
		return true;
	}
}

static bool changes(enum slu_op_type type)
{
	return type != SLU_OP_STAT && type != SLU_OP_LIST && type != SLU_OP_READ &&
	       type != SLU_OP_PREFETCH && type != SLU_OP_BLOCKS;
}

static int check(const struct slu_store *s, struct slu_op *op)
{
	const char *name = slu_op_name(op->type);

	if (!complete(op))
		return slu_fail(&op->err, EINVAL, "cannot %s '%s': the request is incomplete", name,
				op->path ? op->path : "");
	if (!op->path || !slu_path_ok(op->path) || (op->to && !slu_path_ok(op->to)))
		return slu_fail(&op->err, EINVAL,
				"cannot %s '%s': not a relative path without '.' and '..'", name,
				op->path && !slu_path_ok(op->path) ? op->path : op->to);
	if (!changes(op->type))
		; /* the root may be looked at */
	else if (s->caps & SLU_CAP_READ_ONLY)
		return slu_fail(&op->err, EROFS, "cannot %s '%s': the datastore is read-only", name,
				op->path);
	else if (*op->path == '\0' && op->type != SLU_OP_MKDIR)
		return slu_fail(&op->err, EINVAL,
				"cannot %s the root of a datastore: name a path in it", name);
	if (!slu_store_can(s, caps_needed(op)))
		return slu_fail(&op->err, ENOTSUP,
				"cannot %s '%s': this kind of datastore does not support it", name,
				op->path);
	return 0;
}

void slu_store_submit(struct slu_store *s, struct slu_op *op)
{
	/* once, at the top of the stack: layers below get it with hooks on */
	int r = op->depth ? 0 : check(s, op);

	assert(op->done);
	if (r < 0)
		slu_op_finish(op, r);
	else
		s->ops->submit(s, op);
}

void slu_store_cancel(struct slu_store *s, struct slu_op *op)
{
	__atomic_store_n(&op->canceled, true, __ATOMIC_RELEASE);
	while (s && !s->ops->cancel)
		s = s->below;
	if (s)
		s->ops->cancel(s, op);
}

void slu_store_hurry(struct slu_store *s, struct slu_op *op)
{
	while (s && !s->ops->hurry)
		s = s->below;
	if (s)
		s->ops->hurry(s, op);
}

void slu_store_trim(struct slu_store *s)
{
	while (s && !s->ops->trim)
		s = s->below;
	if (s)
		s->ops->trim(s);
}

void slu_store_free(struct slu_store *s)
{
	while (s) {
		struct slu_store *below = s->below;

		s->ops->free(s);
		s = below;
	}
}

int slu_store_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		     struct slu_err *e)
{
	while (s && !s->ops->hadoop)
		s = s->below;
	if (!s)
		return slu_fail(e, ENOTSUP, "Hadoop cannot reach '%s': use a mount or a download",
				path);
	return s->ops->hadoop(s, path, ret, e);
}

int slu_store_inspect(struct slu_store *s, struct json_t *ret, struct slu_err *e)
{
	while (s && !s->ops->inspect)
		s = s->below;
	return s ? s->ops->inspect(s, ret, e) : 0;
}

int slu_store_source(struct slu_store *s, const char *path, const struct slu_attr *attr,
		     struct slu_source *ret, struct slu_err *e)
{
	while (s && !s->ops->source)
		s = s->below;
	if (!s)
		return slu_fail(e, ENOTSUP, "no service can fetch '%s' by itself", path);
	return s->ops->source(s, path, attr, ret, e);
}

int slu_store_descriptor(struct slu_store *s, const char *path, const char *id, int *ret_fd)
{
	while (s && !s->ops->descriptor)
		s = s->below;
	return s ? s->ops->descriptor(s, path, id, ret_fd) : -ENOTSUP;
}

/* A semaphore, since the waiter, whose stack it is on, may leave as soon as it counts; and who waits for it is not woken
 * only to find a lock taken. */
static void waiter_done(struct slu_op *op)
{
	sem_post(op->user);
}

int slu_store_wait(struct slu_store *s, struct slu_op *op, struct slu_err *e)
{
	const struct slu_op *outer = waited;
	sem_t over;

	assert(!slu_loop_self());
	sem_init(&over, 0, 0);
	op->done = waiter_done;
	op->user = &over;
	waited = op;
	slu_store_submit(s, op);
	waited = outer;

	while (sem_wait(&over) < 0)
		; /* a signal */
	sem_destroy(&over);
	if (op->rc < 0 && e)
		*e = op->err;
	return op->rc;
}

int slu_store_stat(struct slu_store *s, const char *path, struct slu_attr *ret, struct slu_err *e)
{
	struct slu_op op;
	int r;

	slu_op_stat(&op, path);
	r = slu_store_wait(s, &op, e);
	if (r == 0)
		*ret = op.attr;
	return r;
}

static int get_once(struct slu_store *s, const char *path, size_t max, char **ret, size_t *ret_len,
		    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *buf = NULL;
	struct slu_attr a;
	struct slu_op op;
	int r = slu_store_stat(s, path, &a, e);

	if (r < 0)
		return r;
	if (a.kind != SLU_KIND_FILE)
		return slu_fail(e, EISDIR, "'%s' is a folder, a file is wanted", path);
	if (a.size > max || a.size >= SIZE_MAX)
		return slu_fail(e, EFBIG, "'%s' has %llu bytes, at most %zu are read", path,
				(unsigned long long)a.size, max);
	buf = slu_malloc((size_t)a.size + 1);
	if (!buf)
		return slu_fail_oom(e);
	slu_mem_large(buf, (size_t)a.size + 1);
	if (a.size) {
		slu_op_read(&op, path, 0, (size_t)a.size, buf,
			    slu_store_can(s, SLU_CAP_COND_READ) ? a.id : NULL);
		r = slu_store_wait(s, &op, e);
		if (r < 0)
			return r;
	}
	buf[a.size] = '\0';
	*ret = slu_take(buf);
	if (ret_len)
		*ret_len = (size_t)a.size;
	return 0;
}

int slu_store_get(struct slu_store *s, const char *path, size_t max, char **ret, size_t *ret_len,
		  struct slu_err *e)
{
	int r;

	for (int i = 0; i < GET_TRIES; i++) {
		r = get_once(s, path, max, ret, ret_len, e);
		if (r != -ESTALE)
			break;
	}
	return r;
}

int slu_store_put(struct slu_store *s, const char *path, const void *data, size_t len,
		  unsigned flags, struct slu_attr *ret, struct slu_err *e)
{
	struct slu_op op;
	int r;

	if (len > s->max_put)
		return slu_fail(e, EFBIG, "'%s': %zu bytes, one request takes at most %zu", path,
				len, s->max_put);
	slu_op_put(&op, path, data, len, flags);
	r = slu_store_wait(s, &op, e);
	if (r == 0 && ret)
		*ret = op.attr;
	return r;
}

int slu_store_delete(struct slu_store *s, const char *path, unsigned flags, struct slu_err *e)
{
	struct slu_op op;

	slu_op_delete(&op, path, flags);
	return slu_store_wait(s, &op, e);
}
