/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op under way: a chain of requests to the service, each of which ends in a step that starts the
 * next or finishes the op.  Private to blob/.
 *
 * Threads: steps run on the call's loop (a listing's page is read in the pool); nobody but the step
 * that runs touches a call, except that cancel looks at `op` and flags `x` under the store's lock.
 */
#ifndef SLU_BLOB_CALL_H
#define SLU_BLOB_CALL_H

#include "blob/cred.h"
#include "blob/endpoint.h"
#include "blob/identity.h"
#include "blob/sign.h"
#include "fs/store.h"
#include "fs/view.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/xfer.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_BLOB_BLOCK (8u << 20)
#define SLU_BLOB_BLOCK_MAX (4000u << 20)
#define SLU_BLOB_BLOCKS_MAX 50000 /* of one blob */
#define SLU_BLOB_SIZE_MAX ((uint64_t)SLU_BLOB_BLOCKS_MAX * SLU_BLOB_BLOCK_MAX)
#define SLU_BLOB_PUT_MAX (256u << 20)
#define SLU_BLOB_MD5_MAX                                                                           \
	(64u << 20) /* longer ones are summed up in another way, unless MD5 is asked for */
#define SLU_BLOB_LIST_MAX (64u << 20) /* bytes of one page */

#define SLU_CALL_HEADERS 56
#define SLU_CALL_PARAMS 8
#define SLU_BLOB_TYPE "application/octet-stream"

struct slu_blob {
	struct slu_store s;
	struct slu_blob_place at;
	struct slu_blob_cred *cred;
	struct slu_identity *identity; /* NULL: cred */
	struct json_t *entry;          /* of the identity, for Hadoop */
	char *ca_file;                 /* NULL: the system's */
	char *proxy;                   /* NULL: the environment's, "": none */
	char *cred_key, *cred_ref;     /* "account_key", "env:NAME"; NULL: none */
	bool hierarchical;             /* the namespace is: folders exist, blob/dfs.c */
	bool wasbs;                    /* Hadoop is to use its older driver */
	bool no_md5;                   /* what other writers store as MD5 is not believed */
	enum slu_check check;          /* of ranges that are read */
	_Atomic uint64_t refused; /* hash of a host that the service cannot fetch from; 0: none */
	atomic_bool no_crc64;     /* this service gives none of ranges */
	struct slu_loops *loops;
	struct slu_pool *pool;
	atomic_uint turn;
	pthread_mutex_t lock; /* guards calls and what cancel touches of them */
	struct slu_call *calls;
	struct slu_blob_odd *odd; /* block.c */
};

struct slu_blob_fetch; /* fetch.c: a copy from another account */

struct slu_call {
	struct slu_blob *b;
	struct slu_op *op;
	struct slu_call *prev, *next;
	struct slu_loop *loop;
	struct slu_xfer x;
	void (*step)(struct slu_call *c);

	struct slu_token_wait wait;
	bool renewed; /* the request was sent again with another token */

	/* the request */
	char *path; /* encoded, from the first '/' on, as signed */
	struct slu_blob_pair param[SLU_CALL_PARAMS], header[SLU_CALL_HEADERS];
	size_t params, headers;
	size_t own_headers; /* those before it is signed */
	bool oom, dfs;
	char *url, *line[SLU_CALL_HEADERS + 1];
	char *body; /* made for this request */
	struct slu_blob_secret secret;

	/* what the steps of one op keep */
	struct slu_work work;
	struct slu_err err; /* the error that a look-up may clear */
	int rc;
	char md5[25];   /* base64 of what is put */
	char crc64[80]; /* sum.c: the metadata */
	bool again;     /* a second try of its own */
	/* of a commit: what it makes of which blocks */
	const char *txn;
	size_t unit;
	uint64_t total;
	unsigned id_len, tries;
	struct slu_blob_fetch *fetch;
	size_t part_off, part_len; /* of a READ: what is asked for now */
	bool part_md5;
	struct slu_attr from; /* of a RENAME: the source */
	struct slu_list tree;
	size_t tree_next, tree_gone;             /* of the page */
	size_t tree_all, tree_left, tree_failed; /* gone and left in this round; failed at all */
	bool tree_stop;
	unsigned kids;
	struct slu_timer *timer; /* of a copy that is looked at again */
	int64_t poll_ns;
	char copy_id[64];
	struct slu_call *parent;
};

/* Takes op on: NULL when there is no memory (the op is finished then). */
struct slu_call *slu_call_new(struct slu_blob *b, struct slu_op *op);
/* Another call for the same op, on the same loop; NULL: no memory. */
struct slu_call *slu_call_kid(struct slu_call *parent);
void slu_call_free(struct slu_call *c); /* a kid's end */
/* The op's result; frees c. */
void slu_call_finish(struct slu_call *c, int rc);
/* As above, with what the exchange that just ended says. */
void slu_call_fail(struct slu_call *c);

/* A new request: of the blob `path`, NULL: of the container. */
void slu_call_begin(struct slu_call *c, const char *method, const char *path);
/* The same at the dfs endpoint; "": the root folder. */
void slu_call_begin_dfs(struct slu_call *c, const char *method, const char *path);
/* Parameters in the order of their names.  value is copied. */
void slu_call_param(struct slu_call *c, const char *name, const char *value);
void slu_call_header(struct slu_call *c, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* x-ms-meta-NAME, the case of the name kept. */
void slu_call_meta(struct slu_call *c, const char *name, const char *value);
/* If-None-Match or If-Match, as the op wants it. */
void slu_call_conditions(struct slu_call *c);
/* Signs and sends; step runs when it ended, whatever came of it. */
void slu_call_send(struct slu_call *c, void (*step)(struct slu_call *c));
/* The same to any URL, not signed; authorization: NULL or "Bearer ...". */
void slu_call_send_url(struct slu_call *c, const char *url, const char *authorization,
		       void (*step)(struct slu_call *c));
/* Did the answer have this status and, unless NULL, this code? */
bool slu_call_is(const struct slu_call *c, int status, const char *code);
/* May the request have been carried out though it failed? */
bool slu_call_unknown(const struct slu_call *c);
/* Fills an attr from the headers of an answer: HEAD, PUT. */
int slu_call_attr(struct slu_call *c, struct slu_attr *ret);

/* The ops: each finishes the call in the end. */
void slu_blob_stat(struct slu_call *c);
void slu_blob_detail(struct slu_call *c); /* op->detail from the answer of a HEAD */
void slu_blob_list(struct slu_call *c);
/* The step after a HEAD of the op's path: 0, -ENOTDIR or -ENOENT. */
void slu_blob_folder_there(struct slu_call *c);
void slu_blob_read(struct slu_call *c);
void slu_blob_put(struct slu_call *c);
void slu_blob_put_block(struct slu_call *c);
void slu_blob_commit(struct slu_call *c);
void slu_blob_abort(struct slu_call *c);
void slu_blob_blocks(struct slu_call *c);
void slu_blob_mkdir(struct slu_call *c);
void slu_blob_copy(struct slu_call *c);
void slu_blob_fetch(struct slu_call *c); /* COPY from anywhere else */
void slu_blob_delete(struct slu_call *c);
/* The op's version as a parameter, if it has one. */
void slu_blob_version(struct slu_call *c);
/* "no-check", ...: 0 or -EINVAL. */
int slu_blob_check_mode(const char *text, enum slu_check *ret);
/* What a page of a listing below the op's path is asked for with. */
struct slu_blob_ask {
	bool flat;     /* no delimiter */
	bool metadata; /* of each blob */
	bool versions; /* all that are kept, instead of the metadata */
	const char *max;
	const char *start;  /* only names that begin so; NULL: all */
	const char *marker; /* NULL: the first page */
};
/* Asks for it; the answer is in c->x.resp ... */
void slu_blob_ask_list(struct slu_call *c, const struct slu_blob_ask *ask,
		       void (*step)(struct slu_call *c));
struct slu_blob_page;
/* ... and read into *ret here, with all of list.h's checks; page needs flat and all only. */
int slu_blob_take_list(struct slu_call *c, struct slu_blob_page *page, struct slu_list *ret,
		       struct slu_err *e);
/* path with a '/' behind, "" for "": caller frees; NULL: no memory. */
char *slu_blob_prefix(const char *path);

/* Get Block List: which is "committed" or "uncommitted"; the answer is in c->x.resp. */
void slu_blob_ask_blocks(struct slu_call *c, const char *which, void (*step)(struct slu_call *c));
void slu_blob_set_crc64(struct slu_call *c, uint64_t crc); /* x-ms-content-crc64 */
/* Put Block List of c->txn, with what is kept of the source of a copy; finishes it. */
void slu_blob_commit_list(struct slu_call *c);
void slu_blob_fetch_headers(struct slu_call *c); /* what a commit keeps of the source */
void slu_blob_fetch_free(struct slu_blob_fetch *f);
void slu_blob_odd_free(struct slu_blob *b);

/* Of a request that may have been carried out though it failed: keeps the error while it is looked. */
void slu_blob_remember(struct slu_call *c);
/* The kept error stands, except that what surely did not happen may be tried again. */
void slu_blob_give_up(struct slu_call *c, bool absent);
/* The op's attributes from the answer; finishes it. */
void slu_blob_put_done(struct slu_call *c);

/* The op's tier, metadata and tags into the request: -EINVAL for what the service would refuse. */
int slu_blob_props(struct slu_call *c);
void slu_blob_type(struct slu_call *c);     /* x-ms-blob-content-type */
void slu_blob_keep_md5(struct slu_call *c); /* the op's MD5, to be kept with the blob */

int slu_blob_source(struct slu_store *s, const char *path, const struct slu_attr *attr,
		    struct slu_source *ret, struct slu_err *e);
/* The secret that holds now, or the identity's token into *token (caller frees and wipes); waits while it is
 * fetched. */
int slu_blob_wait_secret(struct slu_blob *b, struct slu_blob_secret *ret, char **token,
			 struct slu_err *e);
/* inspect.c: struct slu_store_ops. */
int slu_blob_inspect(struct slu_store *s, struct json_t *ret, struct slu_err *e);
/* The query with which anybody may read the blob until end_ns (wall clock); caller frees and wipes. */
char *slu_blob_read_sas(const struct slu_blob *b, const char *path, const struct slu_blob_secret *s,
			int64_t end_ns);

int slu_blob_hadoop(struct slu_store *s, const char *path, struct slu_hadoop *ret,
		    struct slu_err *e);

/* names.c: -EINVAL with op->err when the service takes no such path for what op wants. */
int slu_blob_check_name(struct slu_op *op);

#endif
