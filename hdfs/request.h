/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the driver share: hdfs.c (the store), request.c (an op as a chain of exchanges),
 * read.c (stat, list, read), write.c (put, blocks, commit), names.c (delete, rename, mkdir).
 *
 * A request belongs to one op.  Each step sends one exchange and names the function that looks at
 * its result; that one sends the next or ends the request.  One thread at a time is in a chain.
 */
#ifndef SLU_HDFS_REQUEST_H
#define SLU_HDFS_REQUEST_H

#include "common/buf.h"
#include "common/hash.h"
#include "fs/store.h"
#include "hdfs/answer.h"
#include "hdfs/rpc_sign.h"
#include "hdfs/signin.h"
#include "io/xfer.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_HDFS_NODES 8

struct slu_hdfs {
	struct slu_store s;
	struct slu_loops *loops;   /* borrowed */
	struct slu_native *native; /* NULL: all goes by WebHDFS */
	char *web, *rpc, *root;    /* root: "" or "/a/b" */
	/* The NameNodes' web servers; web is what URIs call them. */
	char *node[SLU_HDFS_NODES];
	unsigned nodes;
	atomic_uint active;       /* the one that answered last */
	atomic_bool heard;        /* one has answered some time */
	char *prefix;             /* "/webhdfs/v1" */
	char *csrf;               /* a header */
	atomic_int rename;        /* legacy.c: what kind of one it has */
	atomic_bool told;         /* sum.c: that something cannot be checked */
	atomic_bool told_written; /* written.c: the same of what was sent */
	atomic_bool no_sums;      /* written.c: never any to compare with */
	bool gateway;             /* prefix is another one: Hadoop's own clients cannot come here */
	struct json_t *properties; /* for Hadoop's programs; NULL: none */
	struct json_t *env;        /* theirs too */
	char *doas;                /* "&doas=x" or "" */
	struct slu_gss *gss;       /* NULL: no Kerberos */
	struct slu_rpc_who who;    /* for RPC */
	struct slu_signin *signin; /* as whom */
	char *ca_file;
	bool tls, plain_ok;
	atomic_uint turn;        /* spreads requests over the loops */
	pthread_mutex_t lock;    /* guards op->drv of all ops, and places */
	struct slu_hash *places; /* inode and part of it -> address of a DataNode */
	atomic_ullong cut;       /* the inode whose body broke off last */
};

struct slu_hdfs_req;
typedef void slu_hdfs_step(struct slu_hdfs_req *q);

struct slu_hdfs_req {
	struct slu_xfer x;
	struct slu_hdfs *h;
	struct slu_op *op;
	slu_hdfs_step *next; /* looks at the result of x */
	char *url, *host;    /* of the exchange under way; host: of a DataNode */
	const char *headers[5];
	struct slu_signin_wait sign; /* as whom the NameNode is asked */
	const char *method;          /* that question, with */
	char *base, *plain;          /* its URL without who asks, and the first part of that */
	bool resigned;               /* signed in a second time for it */
	bool cleaning;               /* also when canceled or late */
	unsigned tries;              /* DataNodes tried */
	struct slu_buf exclude;      /* those that failed: "host:port,host" */
	struct slu_hdfs_id id;       /* READ: the pinned one; PUT: of what was written */
	bool placed;                 /* READ: by a remembered address */
	bool moved;                  /* what a legacy rename answered */
	bool acl;                    /* STAT: has to be asked for */

	/* failover.c: the question to a NameNode that is under way */
	bool asking;
	bool again;         /* it may be asked twice */
	bool soon;          /* it is answered soon, or not at all */
	bool lost;          /* an answer was: nobody knows whether it had an effect */
	unsigned at, moves; /* which NameNode; how often that was another one */
	int64_t until;      /* how long others are tried */
	struct slu_timer *pause;

	/* writing: paths in the store, owned */
	char *temp;   /* the file that becomes op->path */
	char *folder; /* of the blocks; NULL: none */
	struct slu_list list;
	size_t joined;       /* blocks already joined */
	unsigned looks;      /* at what became of that */
	slu_hdfs_step *sent; /* after the data of a CREATE is there, or what legacy.c looked for */
	slu_hdfs_step *replaced; /* legacy.c, after that */
	slu_hdfs_step *summed;   /* sum.c: looks at the checksum */
	const char *sent_path;
	struct slu_attr attr;
	int rc; /* the result, while cleaning */
	struct slu_err err;
};

/* --- request.c --- */

/* Takes the op on: the request, or NULL after the op was ended for want of memory. */
struct slu_hdfs_req *slu_hdfs_begin(struct slu_hdfs *h, struct slu_op *op);
/* Ends it: frees q and calls the op's done(). */
void slu_hdfs_end(struct slu_hdfs_req *q, int rc);
/* Ends it with "cannot VERB 'path' in 'store': why". */
void slu_hdfs_end_fail(struct slu_hdfs_req *q, int code, const char *why);
/* op->err becomes "cannot VERB 'path' in 'store': <what it was>"; returns -op->err.code. */
int slu_hdfs_explain(struct slu_hdfs_req *q);
/* The result of q->x: 0 or -errno with op->err filled, which stands without the path. */
int slu_hdfs_result(struct slu_hdfs_req *q);

/* Sends METHOD to the NameNode for path (in the store; NULL: q->id.inode).  query: "op=...&...",
 * NULL: there was no memory.  Small answers go to x.resp. */
void slu_hdfs_ask(struct slu_hdfs_req *q, const char *method, const char *path, const char *query,
		  slu_hdfs_step *next);
/* Sends METHOD to the DataNode at url (taken over; NULL: no memory).  len bytes of the op's buffer
 * are read (GET), or body is sent. */
void slu_hdfs_data(struct slu_hdfs_req *q, const char *method, char *url, const void *body,
		   size_t len, slu_hdfs_step *next);
/* Sends what was asked once more, to q->at.  With the answer that came, or in its place, still in q->x. */
void slu_hdfs_resend(struct slu_hdfs_req *q);
/* Of a query that leads to a DataNode: "&noredirect=true", so that the answer says where, or "", since gateways know how
 * to rewrite the header of a redirect. */
const char *slu_hdfs_two_steps(const struct slu_hdfs *h);
/* Does q->host belong to the server that was asked, so that our credential may go there too? */
bool slu_hdfs_is_home(const struct slu_hdfs_req *q);
/* The DataNode that the answer of the NameNode in q->x names: 0 with *ret, or -errno, op->err. */
int slu_hdfs_redirect(struct slu_hdfs_req *q, char **ret);
/* "&excludedatanodes=..." or "" into b. */
void slu_hdfs_add_exclude(struct slu_hdfs_req *q, struct slu_buf *b);
/* After a DataNode failed with rc: true when another one should be asked for. */
bool slu_hdfs_try_other(struct slu_hdfs_req *q, int rc);
/* After a NameNode refused with rc: true when that was for what it was told to leave out, so that it
 * should be asked again; nothing is left out any more then. */
bool slu_hdfs_ask_again(struct slu_hdfs_req *q, int rc);
/* Did the exchange fail on the way, so that nobody knows whether it had an effect? */
bool slu_hdfs_is_transport(int rc);
/* root and path as in a URL, appended. */
void slu_hdfs_add_path(const struct slu_hdfs *h, struct slu_buf *b, const char *path);

/* --- failover.c: which of several NameNodes --- */

/* A question to a NameNode begins; query as of slu_hdfs_ask. */
void slu_hdfs_ask_active(struct slu_hdfs_req *q, const char *method, const char *query);
/* How long it may take until an answer begins; 0: as long as there is time. */
int64_t slu_hdfs_answer_ns(const struct slu_hdfs_req *q);
/* After its answer: true when another NameNode is asked instead, now or soon.  Else the result is in q->x. */
bool slu_hdfs_fail_over(struct slu_hdfs_req *q);

/* --- legacy.c: the rename of HttpFS --- */

/* After a RENAME: was it done without its options?  Then it has to be looked at what came of it. */
bool slu_hdfs_was_legacy(struct slu_hdfs_req *q);

enum slu_hdfs_moved {
	SLU_MOVED,        /* it is the target now */
	SLU_MOVED_NOT,    /* no target is there */
	SLU_MOVED_INTO,   /* the target is a folder; when q->moved, it is in there */
	SLU_MOVED_TAKEN,  /* the target is another file */
	SLU_MOVED_UNKNOWN /* op->err */
};
/* What the answer to GETFILESTATUS of the target says; q->id: of what was renamed. */
enum slu_hdfs_moved slu_hdfs_where_moved(struct slu_hdfs_req *q);
int slu_hdfs_cannot_replace(struct slu_hdfs_req *q); /* -ENOTSUP, op->err */
/* Goes on with next when it is known what kind of rename there is. */
void slu_hdfs_probe(struct slu_hdfs_req *q, slu_hdfs_step *next);
bool slu_hdfs_is_legacy(const struct slu_hdfs *h);
/* Goes on with next unless op->path is there and can never be replaced; no byte has been sent yet. */
void slu_hdfs_may_replace(struct slu_hdfs_req *q, slu_hdfs_step *next);
/* Explains what failed with rc before it had an effect, so that it may be tried again. */
int slu_hdfs_harmless(struct slu_hdfs_req *q, int rc);

/* --- one for each kind of op; all end the request some time --- */

void slu_hdfs_stat(struct slu_hdfs_req *q);
/* Of a STAT that has op->attr and wants the checksum; path as of slu_hdfs_ask. */
void slu_hdfs_sum(struct slu_hdfs_req *q, const char *path);
/* Asks for it; next, with slu_hdfs_sum_text: as in fs/hadoopsum.h, 0 (there is one block), 1 or -errno, op->err. */
void slu_hdfs_ask_sum(struct slu_hdfs_req *q, const char *path, slu_hdfs_step *next);
int slu_hdfs_sum_text(struct slu_hdfs_req *q, char ret[SLU_ID_MAX]);
void slu_hdfs_no_sum(struct slu_hdfs_req *q, const char *why); /* ends the STAT without it */
void slu_hdfs_list(struct slu_hdfs_req *q);
void slu_hdfs_read(struct slu_hdfs_req *q);
void slu_hdfs_put(struct slu_hdfs_req *q);
void slu_hdfs_put_block(struct slu_hdfs_req *q);
void slu_hdfs_blocks(struct slu_hdfs_req *q);
void slu_hdfs_commit(struct slu_hdfs_req *q);
void slu_hdfs_abort(struct slu_hdfs_req *q);
void slu_hdfs_delete(struct slu_hdfs_req *q);
void slu_hdfs_rename(struct slu_hdfs_req *q);
void slu_hdfs_mkdir(struct slu_hdfs_req *q);

/* The end of PUT and COMMIT: q->temp, with q->attr, becomes op->path; then q->folder is removed. */
void slu_hdfs_publish(struct slu_hdfs_req *q);
/* --- write.c: names and checks that every way of writing shares --- */

/* A new name for a temporary file beside the target, in the store; to be freed.  0 or -errno. */
int slu_hdfs_temp_of(const struct slu_op *op, char **ret);
/* Where the blocks of the transaction lie, and one of them, to be freed; NULL: no memory.  Beside the target, but above
 * any folder with a comma in its name, since CONCAT takes a list of names joined by commas. */
/* head ("op=RENEW...&token=") and value as in a URL, to be freed; NULL: no memory, or 64 KiB are not enough. */
char *slu_hdfs_query(const char *head, const char *value);
char *slu_hdfs_folder_of(const struct slu_op *op);
char *slu_hdfs_block_path(const char *folder, uint64_t off);
/* Sorts the blocks: do they follow one another from 0 to the whole length?  -EIO. */
int slu_hdfs_check_blocks(struct slu_list *l, uint64_t size, struct slu_err *e);

/* --- written.c --- */

/* Goes on with q->sent when HDFS has of q->sent_path the very bytes of the op, or nobody can tell. */
void slu_hdfs_check_written(struct slu_hdfs_req *q);

/* Removes q->folder or q->temp, then ends with rc and the op->err that is there now. */
void slu_hdfs_clean(struct slu_hdfs_req *q, int rc);

#endif
