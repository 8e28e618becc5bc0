/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a store, of whatever kind.  One struct and one submit() instead of a method per
 * operation, so that retry, limit, trace and fault are each written once for all operations.
 * Memory is the caller's until done() runs.  Fill it with the typed constructors below.
 */
#ifndef SLU_FS_OP_H
#define SLU_FS_OP_H

#include "common/err.h"
#include "io/loop.h"
#include "io/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

/* What -ESTALE of a read says to do, whatever store says it. */
#define SLU_STALE_REMEDY "resolve the data again, or register a new version"

enum slu_op_type {
	SLU_OP_STAT,      /* path -> attr */
	SLU_OP_LIST,      /* path, marker, flags RECURSIVE -> one page in *list, empty before */
	SLU_OP_READ,      /* path, off, len, buf, if_match -> exactly len bytes, or an error */
	SLU_OP_PREFETCH,  /* path, off, len: a hint; only with SLU_CAP_PREFETCH */
	SLU_OP_PUT,       /* path, data, len, flags ABSENT or if_match -> attr; whole and atomic */
	SLU_OP_PUT_BLOCK, /* path, txn, off, data, len: invisible until COMMIT */
	SLU_OP_COMMIT,    /* path, txn, size, len, flags ABSENT or if_match -> attr */
	SLU_OP_BLOCKS, /* path, txn -> *list: "%016x" of off, and the size, of what PUT_BLOCK stored;
			* -EEXIST: where it can be told, when p is made of them already */
	SLU_OP_ABORT,  /* path, txn: forget the blocks; absent is fine */
	SLU_OP_DELETE, /* path: absent is -ENOENT; flags TREE: absent is fine.  if_match: of a file, only in that
			* state, else -ESTALE; atomic, on a local store towards who replaces it DURABLE */
	SLU_OP_RENAME, /* path, to, flags ABSENT, if_match of path; parents of `to` are made */
	SLU_OP_MKDIR,  /* path and its parents; there already is fine */
	SLU_OP_COPY,   /* path <- from, flags ABSENT or if_match -> attr: the bytes go from service
			   * to service; whole and atomic (SLU_CAP_COPY) */
	_SLU_OP_MAX
};

enum {
	SLU_OPF_ABSENT = 1u << 0,    /* only if nothing is there: else -EEXIST */
	SLU_OPF_RECURSIVE = 1u << 1, /* LIST everything below, files only (SLU_CAP_FLAT_LIST) */
	SLU_OPF_TREE = 1u << 2,      /* DELETE a directory and all below */
	SLU_OPF_DURABLE = 1u << 3,   /* PUT, COMMIT: survive power loss (fsync) before done() */
	SLU_OPF_DETAIL = 1u << 4,    /* STAT: *detail too */
	SLU_OPF_NO_SUMS = 1u << 5,   /* LIST: attr.sum may be missing, if that is simpler */
	/* LIST: an entry that leads nowhere is left out (a debug line) instead of failing it all */
	SLU_OPF_LENIENT = 1u << 6,
	/* STAT of a file: attr.sum too, also where that is work for the store; "" where there is none, or only one that
	 * was kept while others wrote the bytes.  With if_match: of that state, else -ESTALE, where the store can tell */
	SLU_OPF_SUM = 1u << 7,
	/* READ: one like it is under way and takes long, so by another way, if there is one */
	SLU_OPF_BESIDE = 1u << 8,
	SLU_OPF_TEMPS = 1u << 9, /* LIST: names of unfinished writes, too */
	/* STAT of a file: attr.open too.  DETAIL says it where it is unsure */
	SLU_OPF_OPEN = 1u << 10,
	/* PUT, PUT_BLOCK: what arrived need not be compared, if that takes requests of its own.  Else, what arrived
	 * damaged is gone again and -EBADMSG */
	SLU_OPF_BARE = 1u << 11,
	/* STAT: what is no file is absent, where to look for a folder of that name is a request of its own */
	SLU_OPF_FILE = 1u << 12,
	/* LIST with RECURSIVE: also files that were overwritten or removed, one entry for each state that is kept
	 * (SLU_CAP_VERSIONS); slu_dirent.version says which */
	SLU_OPF_VERSIONS = 1u << 13
};

enum slu_kind { SLU_KIND_FILE = 1, SLU_KIND_DIR };

#define SLU_ID_MAX 72  /* identity text with NUL */
#define SLU_TXN_MAX 33 /* transaction id with NUL: [A-Za-z0-9] */

struct slu_attr {
	enum slu_kind kind;
	bool unsure;      /* of a file: somebody may still be writing it.  STAT with OPEN knows */
	bool open;        /* with OPEN: somebody is */
	uint64_t size;    /* bytes; 0 for directories */
	int64_t mtime_ns; /* wall clock */
	/* What a read is pinned to: Blob ETag, HDFS fileId and mtime, local mtime and size.  Printable
	 * without spaces.  Of a directory: whatever tells it from its ancestors, or "". */
	char id[SLU_ID_MAX];
	/* Content checksum the store knows, "md5:<hex>", "crc64:<hex>" (kept with the bytes, by whoever wrote them or
	 * what is beside them last: slu_sum_stands()), or "" */
	char sum[SLU_ID_MAX];
};

struct slu_dirent {
	char *name; /* relative to the listed path; has '/' only in a RECURSIVE listing */
	struct slu_attr attr;
	char *version; /* LIST with VERSIONS: as of struct slu_op; NULL: it has none */
};

/* What a file carries beside its bytes, where the store keeps such things (SLU_CAP_PROPS; else what is
 * set is -ENOTSUP).  The pointers are the caller's until done(). */
struct slu_props {
	const char *content_type; /* NULL: application/octet-stream */
	const char *tier;         /* "Hot", "Cool", "Cold", "Archive"; NULL: the account's */
	const struct json_t *metadata, *tags; /* objects of strings; NULL: none */
	const uint8_t *md5; /* 16 bytes, of the whole file, kept with it; NULL: not known */
	const uint64_t *
		crc64; /* COMMIT, COPY: CRC-64/NVME of the whole file, kept with it; NULL: not known */
};

/* Where another service fetches a file of a store from (slu_store_source).  url and authorization are
 * secrets. */
struct slu_source {
	char *url;
	char *authorization; /* header value "Bearer ..."; NULL: the url says all */
	char id[SLU_ID_MAX]; /* that must still hold there */
	uint64_t size;
};
void slu_source_done(struct slu_source *s); /* frees the contents, wiped */

/* A page of a listing.  Not sorted (walk.h sorts). */
struct slu_list {
	struct slu_dirent *p;
	size_t n, cap;
	char *next;     /* marker of the next page, NULL at the end */
	size_t left;    /* entries that lead nowhere and were left out (SLU_OPF_LENIENT) */
	char *left_one; /* the path of one of them, or NULL */
};

void slu_list_done(struct slu_list *l); /* frees the contents */
int slu_list_add(struct slu_list *l, const char *name, size_t n, const struct slu_attr *a);

#define SLU_OP_DEPTH 8

struct slu_op {
	enum slu_op_type type;
	unsigned flags;
	const char *path; /* relative store path (common/path.h), "" = root */
	const char *to;
	uint64_t off;
	size_t len;            /* COMMIT: the unit of its blocks, 0: they grew (fs/blocks.h) */
	void *buf;             /* READ */
	const void *data;      /* PUT, PUT_BLOCK */
	const uint64_t *crc64; /* PUT_BLOCK: CRC-64/NVME of data, where it is known; NULL */
	uint64_t size; /* COMMIT: the whole length; READ: that of the file when it is known, for the
			* disk cache (fs/cache.h), else 0 */
	const char *if_match; /* identity that must still hold, else -ESTALE; NULL: none */
	const char *txn;
	const char *marker;  /* LIST: NULL = from the start */
	const char *start;   /* LIST: only names that begin so (SLU_CAP_START_LIST); NULL: all */
	const char *version; /* STAT, READ: "versionid=..." or "snapshot=..." as the service
					  * names it (SLU_CAP_VERSIONS); NULL: what is current */
	const struct slu_props *props; /* PUT, COMMIT, COPY; NULL: none */
	const struct slu_source *from; /* COPY */
	struct slu_list *list;
	int64_t deadline; /* slu_now ns, 0 = the store's default */
	uint8_t prio;     /* 0 a program waits .. 9 prefetch */
	bool canceled;    /* set by slu_store_cancel; read it by slu_op_canceled */

	/* results */
	int rc;         /* 0 or -errno */
	bool unchecked; /* READ: the bytes came with no checksum of the store's (SLU_CAP_BARE_READ) */
	struct slu_err err;
	struct slu_attr attr;
	struct json_t
		*detail; /* STAT with DETAIL: object of what the store knows beside, such as owner,
				* permissions, tier, metadata; the caller frees it */
	int64_t retry_after; /* ns that the service asks to wait before another try, 0 = it did not say */

	void (*done)(struct slu_op
			     *op); /* any thread, also inside submit; must not block; may free op */
	void *user;

	/* layers and drivers only */
	struct {
		void (*done)(struct slu_op *op);
		void *user;
		int64_t at; /* of the layer that pushed: for a time */
	} save[SLU_OP_DEPTH];
	uint8_t depth, tries;
	/* READ: so much of buf is right already, from a try that broke off; the driver may go on from there
	 * if what it reads is pinned.  0 when the op comes in. */
	size_t kept;
	uint64_t id; /* in the trace */
	/* Of the one layer or driver that holds the op now. */
	void *drv;
	size_t drv_n;
	struct slu_op *next;
	struct slu_work work;
	struct slu_bounce bounce; /* slu_op_finish */
};

void slu_op_stat(struct slu_op *op, const char *path);
void slu_op_list(struct slu_op *op, const char *path, const char *marker, struct slu_list *list);
void slu_op_read(struct slu_op *op, const char *path, uint64_t off, size_t len, void *buf,
		 const char *if_match);
void slu_op_prefetch(struct slu_op *op, const char *path, uint64_t off, size_t len,
		     const char *if_match);
void slu_op_put(struct slu_op *op, const char *path, const void *data, size_t len, unsigned flags);
void slu_op_put_block(struct slu_op *op, const char *path, const char *txn, uint64_t off,
		      const void *data, size_t len);
void slu_op_commit(struct slu_op *op, const char *path, const char *txn, uint64_t size,
		   unsigned flags);
void slu_op_blocks(struct slu_op *op, const char *path, const char *txn, struct slu_list *list);
void slu_op_abort(struct slu_op *op, const char *path, const char *txn);
void slu_op_delete(struct slu_op *op, const char *path, unsigned flags);
void slu_op_rename(struct slu_op *op, const char *path, const char *to, unsigned flags);
void slu_op_mkdir(struct slu_op *op, const char *path);
void slu_op_copy(struct slu_op *op, const char *path, const struct slu_source *from,
		 unsigned flags);

const char *slu_op_name(enum slu_op_type type); /* "read", "put_block" */
const char *slu_op_verb(enum slu_op_type type); /* as people say it: "read", "write" */

/* A layer hooks the way back up before it forwards, and unhooks first thing in its hook. */
void slu_op_push(struct slu_op *op, void (*done)(struct slu_op *), void *user);
void *slu_op_pop(struct slu_op *op); /* returns the hook's user, restores done and user below */
/* The number kept with the hook on top, for a layer that just pushed or is about to pop. */
static inline int64_t *slu_op_at(struct slu_op *op)
{
	return &op->save[op->depth - 1].at;
}
/* True while this thread is inside slu_store_wait for this very op: the driver may block here, since
 * the caller would do nothing but wait.  Otherwise what blocks goes to the pool. */
bool slu_op_waited(const struct slu_op *op);
bool slu_op_canceled(const struct slu_op *op);
/* Drivers: sets the result and calls done() (by the trampoline, so that chains do not recurse). */
void slu_op_finish(struct slu_op *op, int rc);

#endif
