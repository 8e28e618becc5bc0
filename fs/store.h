/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store: a driver, or a layer over one.  Code asks for a capability, never for a driver's name.
 * The stack (dataset/context.c builds it): trace -> retry -> limit -> hedge -> [fault] -> driver.
 */
#ifndef SLU_FS_STORE_H
#define SLU_FS_STORE_H

#include "common/cleanup.h"
#include "common/err.h"
#include "fs/op.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;
struct slu_loops;
struct slu_pool;
struct slu_store;

enum {
	SLU_CAP_RANGE_READ = 1u << 0,
	SLU_CAP_COND_READ = 1u << 1,   /* READ honours if_match */
	SLU_CAP_PUT_ABSENT = 1u << 2,  /* PUT/COMMIT/RENAME honour ABSENT, atomically */
	SLU_CAP_PUT_MATCH = 1u << 3,   /* PUT/COMMIT honour if_match atomically, not just nearly */
	SLU_CAP_RENAME = 1u << 4,      /* of files, atomic */
	SLU_CAP_RENAME_DIR = 1u << 5,  /* of directories, atomic */
	SLU_CAP_REAL_DIRS = 1u << 6,   /* directories exist by themselves */
	SLU_CAP_FLAT_LIST = 1u << 7,   /* LIST with RECURSIVE */
	SLU_CAP_PREFETCH = 1u << 8,    /* PREFETCH reads ahead without memory of ours */
	SLU_CAP_INLINE_READ = 1u << 9, /* READ often completes inside submit, without waiting */
	SLU_CAP_READ_ONLY = 1u << 10,
	SLU_CAP_COPY = 1u << 11,       /* COPY, from any slu_store_source */
	SLU_CAP_PROPS = 1u << 12,      /* PUT, COMMIT, COPY keep props */
	SLU_CAP_VERSIONS = 1u << 13,   /* STAT, READ, LIST of earlier states */
	SLU_CAP_START_LIST = 1u << 14, /* LIST honours start */
	SLU_CAP_TREE_ORDER = 1u << 15, /* LIST with RECURSIVE: '/' is before all other characters */
	SLU_CAP_BLOCKS = 1u << 16,     /* BLOCKS: what a process left that is gone can be found */
	/* READ brings bytes that nothing was compared with: who keeps them asks by STAT with SUM for what they have to
	 * sum up to.  A store without this may still have to read so now and then: op->unchecked */
	SLU_CAP_BARE_READ = 1u << 17,
	SLU_CAP_LOOSE = 1u << 18,   /* PUT, COMMIT without DURABLE may be lost with the power */
	SLU_CAP_NO_COLON = 1u << 19 /* no name has one */
};

/* How Hadoop and Spark reach a path of this store. */
struct slu_hadoop {
	char *uri;                  /* "file:///data/x", caller frees */
	struct json_t *conf;        /* object: Hadoop property -> value; secrets never here */
	struct json_t *secret_refs; /* object: Hadoop property -> credential reference */
	/* Object: variable -> value, of the environment that Hadoop's programs want, no secret; NULL: nothing.
	 * Properties that begin with "spark." are for Spark alone. */
	struct json_t *env;
};
void slu_hadoop_done(struct slu_hadoop *h);
/* {"conf", "secret_refs", "env"}, as slu_view.props has them; caller frees; NULL: no memory. */
struct json_t *slu_hadoop_json(const struct slu_hadoop *h);

struct slu_store_ops {
	const char *name; /* "local", "retry", ... : for traces and messages only */
	/* Takes the op on.  Never fails: the result arrives by done(), exactly once. */
	void (*submit)(struct slu_store *s, struct slu_op *op);
	/* Best effort; done() still runs exactly once.  Who holds the op itself ends it with -ECANCELED,
	 * else passes the cancel below.  NULL: passed below. */
	void (*cancel)(struct slu_store *s, struct slu_op *op);
	/* Somebody waits for the op now: if it is in a queue of this layer, it goes to the end of those that
	 * programs wait for.  NULL: passed below. */
	void (*hurry)(struct slu_store *s, struct slu_op *op);
	/* NULL: passed below. */
	int (*hadoop)(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		      struct slu_err *e);
	/* NULL: passed below; -ENOTSUP at a driver without. */
	int (*source)(struct slu_store *s, const char *path, const struct slu_attr *attr,
		      struct slu_source *ret, struct slu_err *e);
	/* NULL: passed below; -ENOTSUP at a driver without. */
	int (*descriptor)(struct slu_store *s, const char *path, const char *id, int *ret_fd);
	/* NULL: passed below; nothing to do at a driver without. */
	void (*trim)(struct slu_store *s);
	/* NULL: passed below; nothing is known at a driver without. */
	int (*inspect)(struct slu_store *s, struct json_t *ret, struct slu_err *e);
	void (*free)(struct slu_store *s); /* this layer only; no op in flight */
};

/* First member of every driver's and layer's struct. */
struct slu_store {
	const struct slu_store_ops *ops;
	struct slu_store *below; /* NULL: a driver */
	unsigned caps;           /* of the whole stack from here down */
	size_t block;            /* best size of a PUT_BLOCK and of a streamed read, bytes */
	size_t block_long; /* of a PUT_BLOCK of a file that is known to be long (fs/blocks.h); 0: block */
	size_t max_put;      /* largest PUT */
	uint64_t blocks_max; /* PUT_BLOCKs of one file; 0: any number (fs/blocks.h) */
	size_t block_max;    /* with blocks_max: the largest PUT_BLOCK, bytes */
	uint64_t md5_max;    /* with PROPS: longer files are kept with their CRC64, not their MD5 */
	unsigned
		lanes; /* blocks of one file at a time beyond which nothing is gained; 0: not known */
	unsigned pieces;  /* of a stream that are on their way at most (fs/forward.h); 0: 6 */
	size_t ahead;     /* what a stream has on its way at least, bytes; 0: as fs/pace.h says */
	const char *host; /* the service behind it, whose limits its stores share; NULL: its own */
};

/* All of these: any thread.  submit checks the op: a malformed path is -EINVAL, a capability that
 * the store lacks -ENOTSUP, a change of a read-only store -EROFS. */
void slu_store_submit(struct slu_store *s, struct slu_op *op);
/* The op's memory must stay until this returns, also when done() has run meanwhile. */
void slu_store_cancel(struct slu_store *s, struct slu_op *op);
/* What was fetched ahead is waited for now.  Best effort; its memory must stay as for cancel. */
void slu_store_hurry(struct slu_store *s, struct slu_op *op);
/* Some seconds have passed in which little was read: what is kept open of files that were deleted or replaced may go.
 * Does not wait. */
void slu_store_trim(struct slu_store *s);
void slu_store_free(struct slu_store *s); /* the whole stack; NULL fine */
SLU_DEFINE_CLEANUP(struct slu_store *, slu_store_free, slu_store_freep)
int slu_store_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		     struct slu_err *e);
/* Where another service can fetch the file `path`, which is as attr says, for the next hour or so.
 * -ENOTSUP: nowhere; the bytes have to pass through us.  May wait for a credential. */
int slu_store_source(struct slu_store *s, const char *path, const struct slu_attr *attr,
		     struct slu_source *ret, struct slu_err *e);
/* A descriptor (the caller's) for reading of the file `path` in its state id, where it is a local file.  Others
 * may write to it at any time: whoever took bytes from it has to ask for another one afterwards, which then
 * says whether it was still in that state.  -ENOTSUP: it is no local file; -ESTALE; -errno.  Blocks. */
int slu_store_descriptor(struct slu_store *s, const char *path, const char *id, int *ret_fd);
/* Adds to the object what a person who looks for a mistake wants to know: as whom the store signs in, by what
 * right and until when.  No secret.  May ask the service and wait. */
int slu_store_inspect(struct slu_store *s, struct json_t *ret, struct slu_err *e);
static inline bool slu_store_can(const struct slu_store *s, unsigned caps)
{
	return (s->caps & caps) == caps;
}

/* Blocking forms, for threads that may wait (not loop threads: asserted).  0 or -errno with *e. */
int slu_store_wait(struct slu_store *s, struct slu_op *op, struct slu_err *e);
int slu_store_stat(struct slu_store *s, const char *path, struct slu_attr *ret, struct slu_err *e);
/* The whole object, at most max bytes (else -EFBIG), NUL added; caller frees *ret. */
int slu_store_get(struct slu_store *s, const char *path, size_t max, char **ret, size_t *ret_len,
		  struct slu_err *e);
int slu_store_put(struct slu_store *s, const char *path, const void *data, size_t len,
		  unsigned flags, struct slu_attr *ret, struct slu_err *e); /* ret may be NULL */
int slu_store_delete(struct slu_store *s, const char *path, unsigned flags, struct slu_err *e);

#endif
