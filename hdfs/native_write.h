/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the native driver, what writes: native_file.c (a file from a buffer), native_write.c (PUT, PUT_BLOCK,
 * COMMIT, ABORT), native_change.c (DELETE, RENAME, MKDIR), lease.c.  All on the loop's thread.
 */
#ifndef SLU_HDFS_NATIVE_WRITE_H
#define SLU_HDFS_NATIVE_WRITE_H

#include "common/vec.h"
#include "hdfs/native_impl.h"
#include "hdfs/pipeline.h"

/* What an op that changes something holds beside its slu_nreq. */
struct slu_nwrite {
	/* absolute paths, owned */
	char *temp;   /* the file that becomes the target */
	char *folder; /* of the blocks; NULL: none */
	char *target;
	struct slu_list list; /* COMMIT: its blocks */
	size_t joined;
	struct slu_attr attr;  /* of what was written or is renamed */
	struct slu_hdfs_id id; /* the same */
	bool again;            /* RENAME: the folder of its target was made */
	bool cleaning;         /* ends also when canceled or late */
	int rc;                /* the result, while cleaning */
	struct slu_err err;
	const char *back; /* why it is to be handed back, after cleaning */

	/* --- native_file.c --- */
	const char *path; /* what is written now */
	uint64_t file_id;
	size_t pos, block_len; /* of the data: what is in whole blocks, what is in the one begun */
	struct slu_pipe pipe;
	bool piping, open, wrote; /* open: the lease counts it */
	unsigned tries, waits;
	Slu__Pb__AddBlockResponse *block; /* the one begun */
	Slu__Pb__ExtendedBlock last;      /* the one before; pool_id is pool's */
	char *pool;
	bool has_last;
	SLU_VEC(Slu__Pb__DatanodeInfo *) exclude;
	int64_t forgiven; /* when those excluded were asked for again, since there are no others; 0: never */
	int64_t no_place; /* until when it is waited for another one; 0: there is no need */
	struct slu_timer *timer;
	void (*then)(struct slu_nreq *q, int rc);
	void (*resume)(struct slu_nreq *q); /* after a pause */
};

/* --- native_file.c --- */
/* Writes the op's data to path (absolute, q->w's), with its folders, in place of what is there.  Then `then`,
 * with 0 or -errno and op->err.  w->back: nothing can be written this way, and why. */
void slu_native_file(struct slu_nreq *q, const char *path,
		     void (*then)(struct slu_nreq *q, int rc));
void slu_native_file_cancel(struct slu_nreq *q);
void slu_native_file_done(struct slu_nreq *q);
void slu_native_shun_free(struct slu_shun *s); /* NULL fine */

/* --- native_write.c --- */
void slu_native_write_cancel(struct slu_nreq *q);
void slu_native_write_done(struct slu_nreq *q); /* frees q->w */
void slu_native_put(struct slu_nreq *q);
void slu_native_put_block(struct slu_nreq *q);
void slu_native_commit(struct slu_nreq *q);
void slu_native_blocks(struct slu_nreq *q);
void slu_native_abort(struct slu_nreq *q);
/* Sends a call of a path that takes one, or two of them. */
void slu_native_info(struct slu_nreq *q, const char *path, void (*done)(struct slu_nn_call *c));
void slu_native_rename2(struct slu_nreq *q, const char *from, const char *to,
			void (*done)(struct slu_nn_call *c));
void slu_native_remove(struct slu_nreq *q, const char *path, bool tree,
		       void (*done)(struct slu_nn_call *c));
void slu_native_make_dir(struct slu_nreq *q, const char *path, void (*done)(struct slu_nn_call *c));
/* What came of it: 0 or -errno, with op->err. */
int slu_native_dir_made(struct slu_nreq *q, const struct slu_nn_call *c);
/* What getFileInfo answered: 0 with attr and id, -ENOENT, -EPROTO or what the call says, with *e. */
int slu_native_info_read(const struct slu_nn_call *c, struct slu_attr *ret,
			 struct slu_hdfs_id *ret_id, struct slu_err *e);
/* The result of complete, delete, mkdirs: 0, 1 or -EPROTO. */
int slu_native_yes(const struct slu_nn_call *c);
/* Is a call over without that anybody knows whether it was executed? */
bool slu_native_lost(const struct slu_nn_call *c);

/* --- native_change.c --- */
void slu_native_delete(struct slu_nreq *q);
void slu_native_rename(struct slu_nreq *q);
void slu_native_mkdir(struct slu_nreq *q);

/* --- lease.c --- */
/* Files that are being written belong to who renews that: once half a minute, as long as there are some. */
struct slu_lease;
int slu_lease_new(struct slu_shard *s, struct slu_lease **ret);
void slu_lease_free(struct slu_lease *l); /* no file is open; NULL fine */
void slu_lease_add(struct slu_lease *l);
void slu_lease_del(struct slu_lease *l);

#endif
