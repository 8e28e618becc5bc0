/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops: the typed constructors, the stack of hooks that layers push, and the one way in which an
 * op ends.  Nothing here knows a store.
 */
#include "fs/op.h"

#include "common/mem.h"
#include "common/vec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const names[_SLU_OP_MAX] = {
	[SLU_OP_STAT] = "stat",     [SLU_OP_LIST] = "list",
	[SLU_OP_READ] = "read",     [SLU_OP_PREFETCH] = "prefetch",
	[SLU_OP_PUT] = "put",       [SLU_OP_PUT_BLOCK] = "put_block",
	[SLU_OP_COMMIT] = "commit", [SLU_OP_BLOCKS] = "blocks",
	[SLU_OP_ABORT] = "abort",   [SLU_OP_DELETE] = "delete",
	[SLU_OP_RENAME] = "rename", [SLU_OP_MKDIR] = "mkdir",
	[SLU_OP_COPY] = "copy",
};

void slu_list_done(struct slu_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->p[i].name);
		free(l->p[i].version);
	}
	free(l->p);
	free(l->next);
	free(l->left_one);
	*l = (struct slu_list){0};
}

int slu_list_add(struct slu_list *l, const char *name, size_t n, const struct slu_attr *a)
{
	char *copy;

	if (!slu_vec_room((void **)&l->p, &l->cap, l->n, sizeof(*l->p)))
		return -ENOMEM;
	copy = slu_strndup(name, n);
	if (!copy)
		return -ENOMEM;
	l->p[l->n++] = (struct slu_dirent){.name = copy, .attr = *a};
	return 0;
}

static void init(struct slu_op *op, enum slu_op_type type, const char *path)
{
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->path = path;
}

void slu_op_stat(struct slu_op *op, const char *path)
{
	init(op, SLU_OP_STAT, path);
}

void slu_op_list(struct slu_op *op, const char *path, const char *marker, struct slu_list *list)
{
	init(op, SLU_OP_LIST, path);
	op->marker = marker;
	op->list = list;
}

void slu_op_read(struct slu_op *op, const char *path, uint64_t off, size_t len, void *buf,
		 const char *if_match)
{
	init(op, SLU_OP_READ, path);
	op->off = off;
	op->len = len;
	op->buf = buf;
	op->if_match = if_match;
}

void slu_op_prefetch(struct slu_op *op, const char *path, uint64_t off, size_t len,
		     const char *if_match)
{
	init(op, SLU_OP_PREFETCH, path);
	op->off = off;
	op->len = len;
	op->if_match = if_match;
	op->prio = 9;
}

void slu_op_put(struct slu_op *op, const char *path, const void *data, size_t len, unsigned flags)
{
	init(op, SLU_OP_PUT, path);
	op->data = data;
	op->len = len;
	op->flags = flags;
}

void slu_op_put_block(struct slu_op *op, const char *path, const char *txn, uint64_t off,
		      const void *data, size_t len)
{
	init(op, SLU_OP_PUT_BLOCK, path);
	op->txn = txn;
	op->off = off;
	op->data = data;
	op->len = len;
}

void slu_op_commit(struct slu_op *op, const char *path, const char *txn, uint64_t size,
		   unsigned flags)
{
	init(op, SLU_OP_COMMIT, path);
	op->txn = txn;
	op->size = size;
	op->flags = flags;
}

void slu_op_blocks(struct slu_op *op, const char *path, const char *txn, struct slu_list *list)
{
	init(op, SLU_OP_BLOCKS, path);
	op->txn = txn;
	op->list = list;
}

void slu_op_abort(struct slu_op *op, const char *path, const char *txn)
{
	init(op, SLU_OP_ABORT, path);
	op->txn = txn;
}

void slu_op_delete(struct slu_op *op, const char *path, unsigned flags)
{
	init(op, SLU_OP_DELETE, path);
	op->flags = flags;
}

void slu_op_rename(struct slu_op *op, const char *path, const char *to, unsigned flags)
{
	init(op, SLU_OP_RENAME, path);
	op->to = to;
	op->flags = flags;
}

void slu_op_mkdir(struct slu_op *op, const char *path)
{
	init(op, SLU_OP_MKDIR, path);
}

void slu_op_copy(struct slu_op *op, const char *path, const struct slu_source *from, unsigned flags)
{
	init(op, SLU_OP_COPY, path);
	op->from = from;
	op->flags = flags;
}

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void slu_source_done(struct slu_source *s)
{
	wipe(s->url);
	wipe(s->authorization);
	*s = (struct slu_source){0};
}

const char *slu_op_name(enum slu_op_type type)
{
	return (unsigned)type < _SLU_OP_MAX ? names[type] : "?";
}

const char *slu_op_verb(enum slu_op_type type)
{
	return type == SLU_OP_PUT || type == SLU_OP_PUT_BLOCK ? "write" : slu_op_name(type);
}

void slu_op_push(struct slu_op *op, void (*done)(struct slu_op *), void *user)
{
	assert(op->depth < SLU_OP_DEPTH);
	op->save[op->depth].done = op->done;
	op->save[op->depth].user = op->user;
	op->save[op->depth].at = 0;
	op->depth++;
	op->done = done;
	op->user = user;
}

void *slu_op_pop(struct slu_op *op)
{
	void *user = op->user;

	assert(op->depth > 0);
	op->depth--;
	op->done = op->save[op->depth].done;
	op->user = op->save[op->depth].user;
	return user;
}

bool slu_op_canceled(const struct slu_op *op)
{
	return __atomic_load_n(&op->canceled, __ATOMIC_ACQUIRE);
}

static void run_done(void *arg)
{
	struct slu_op *op = arg;

	op->done(op);
}

void slu_op_finish(struct slu_op *op, int rc)
{
	assert(rc <= 0);
	op->rc = rc;
	if (rc == 0 && op->err.code)
		op->err = (struct slu_err){0};
	else if (rc < 0 && op->err.code != -rc)
		slu_fail_sys(&op->err, -rc, "cannot %s '%s'", slu_op_name(op->type), op->path);
	/* who waits in this thread is let go at once, even when it is inside somebody's done() */
	if (slu_op_waited(op))
		run_done(op);
	else
		slu_bounce(&op->bounce, run_done, op);
}
