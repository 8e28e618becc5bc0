/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver: the store itself and the choice of the thread.  What blocks runs in the
 * submitting thread when that one is in slu_store_wait for the op (it would only wait), else in
 * the pool; a pinned READ is first tried from the page cache, in any thread.
 */
#include "fs/local.h"

#include "common/cleanup.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/local_parts.h"
#include "fs/local_temp.h"
#include "io/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define BLOCK (1u << 20)
#define IDLE_NS (5 * SLU_SEC) /* unread, a deleted file is let go */
#define LOW_PRIO 5            /* and below: behind what a program waits for */

static int run(struct slu_local *l, struct slu_op *op)
{
	switch (op->type) {
	case SLU_OP_STAT:
		return slu_local_stat(l, op);
	case SLU_OP_LIST:
		return slu_local_list(l, op);
	case SLU_OP_READ:
		return slu_local_read(l, op);
	case SLU_OP_PREFETCH:
		return slu_local_prefetch(l, op);
	case SLU_OP_PUT:
		return slu_local_put(l, op);
	case SLU_OP_PUT_BLOCK:
		return slu_local_put_block(l, op);
	case SLU_OP_COMMIT:
		return slu_local_commit(l, op);
	case SLU_OP_ABORT:
		return slu_local_abort(l, op);
	case SLU_OP_DELETE:
		return slu_local_delete(l, op);
	case SLU_OP_RENAME:
		return slu_local_rename(l, op);
	case SLU_OP_MKDIR:
		return slu_local_mkdir(l, op);
	default:
		return slu_fail(&op->err, ENOTSUP, "'%s': unknown request", op->path);
	}
}

static int run_in_time(struct slu_local *l, struct slu_op *op)
{
	if (slu_op_canceled(op))
		return slu_fail(&op->err, ECANCELED, "cannot %s '%s': canceled",
				slu_op_name(op->type), op->path);
	if (slu_expired(op->deadline))
		return slu_fail(&op->err, ETIMEDOUT,
				"cannot %s '%s' in time: the local disk is busy",
				slu_op_name(op->type), op->path);
	return run(l, op);
}

static void work(struct slu_work *w)
{
	struct slu_op *op = (struct slu_op *)((char *)w - offsetof(struct slu_op, work));

	slu_op_finish(op, run_in_time(op->drv, op));
}

static void local_submit(struct slu_store *s, struct slu_op *op)
{
	struct slu_local *l = (struct slu_local *)s;

	op->drv = l;
	if (slu_op_waited(op)) {
		slu_op_finish(op, run_in_time(l, op));
	} else if (op->type == SLU_OP_READ && slu_local_read_now(l, op)) {
		slu_op_finish(op, 0);
	} else {
		op->work = (struct slu_work){.fn = work, .low = op->prio >= LOW_PRIO};
		slu_pool_add(l->pool, &op->work);
	}
}

static void local_cancel(struct slu_store *s, struct slu_op *op)
{
	struct slu_local *l = (struct slu_local *)s;

	if (slu_pool_cancel(l->pool, &op->work))
		slu_op_finish(op, run_in_time(l, op));
}

/* Hadoop's Path takes the text of a URI as it is: nothing is percent-encoded. */
static int local_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
			struct slu_err *e)
{
	const struct slu_local *l = (const struct slu_local *)s;
	const char *root = slu_streq(l->root, "/") ? "" : l->root;
	struct slu_hadoop h = {
		.uri = slu_asprintf("file://%s%s%s", root, *path || !*root ? "/" : "", path),
		.conf = slu_json_object(),
		.secret_refs = slu_json_object(),
	};

	if (!h.uri || !h.conf || !h.secret_refs) {
		slu_hadoop_done(&h);
		return slu_fail_oom(e);
	}
	*ret = h;
	return 0;
}

static void local_trim(struct slu_store *s)
{
	struct slu_local *l = (struct slu_local *)s;

	slu_local_files_trim(l->files, l->pool, IDLE_NS);
}

static void local_free(struct slu_store *s)
{
	struct slu_local *l = (struct slu_local *)s;

	slu_local_files_free(l->files);
	slu_local_temps_free(l->temps);
	slu_closep(&l->root_fd);
	free(l->root);
	free(l);
}

static const struct slu_store_ops local_ops = {
	.name = "local",
	.submit = local_submit,
	.cancel = local_cancel,
	.hadoop = local_hadoop,
	.descriptor = slu_local_descriptor,
	.trim = local_trim,
	.free = local_free,
};

static int open_root(const char *root, bool make, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int top = -1;
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0 && errno == ENOENT && make) {
		const char *rel = root + strspn(root, "/");

		top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = top < 0 ? -errno : slu_path_mkdirs(top, rel, 0777);
		if (r == -ELOOP) /* a link on the way: make only the last part */
			r = mkdir(root, 0777) < 0 && errno != EEXIST ? -errno : 0;
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot make the folder '%s'", root);
		fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return slu_fail(
			e, ENOENT,
			"the datastore's folder '%s' does not exist: create it, or correct the path",
			root);
	return slu_fail_sys(e, errno, "cannot open the datastore's folder '%s'", root);
}

int slu_local_new(const char *root, bool make, struct slu_pool *pool, struct slu_store **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *clean = NULL;
	SLU_AUTO(slu_closep) int fd = -1;
	struct slu_local *l;
	int r;

	if (root[0] != '/')
		return slu_fail(e, EINVAL, "'%s' is not an absolute path", root);
	r = slu_path_absolute(root, &clean, e);
	if (r < 0)
		return r;
	fd = open_root(clean, make, e);
	if (fd < 0)
		return fd;
	l = slu_new0(struct slu_local);
	if (!l || slu_local_files_new(&l->files) < 0 || slu_local_temps_new(&l->temps) < 0) {
		if (l)
			slu_local_files_free(l->files);
		free(l);
		return slu_fail_oom(e);
	}
	l->s = (struct slu_store){
		.ops = &local_ops,
		.caps = SLU_CAP_RANGE_READ | SLU_CAP_COND_READ | SLU_CAP_PUT_ABSENT |
			SLU_CAP_RENAME | SLU_CAP_RENAME_DIR | SLU_CAP_REAL_DIRS | SLU_CAP_PREFETCH |
			SLU_CAP_INLINE_READ | SLU_CAP_LOOSE,
		.block = BLOCK,
		.max_put = SSIZE_MAX,
	};
	l->pool = pool;
	l->root = slu_take(clean);
	l->root_fd = slu_take_fd(fd);
	*ret = &l->s;
	return 0;
}
