/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live mount: names and attributes are the store's, believed for a stated time.  Promise 1 holds for
 * each open file: it keeps the state that it was opened in.  No thread waits for the store: a request
 * that needs it is an *ask*, answered by the completion, by its deadline, or by an interrupt, whichever
 * claims it first (as READs are, mount_read.c).
 *
 *   mount_live.c      life, LOOKUP, GETATTR, OPEN      mount_live_dir.c  listings, page by page
 *   mount_nodes.c     the node table                   mount_live_ask.c  asks
 *   mount_live_keep.c what is open, for the next worker
 */
#ifndef SLU_FS_MOUNT_LIVE_H
#define SLU_FS_MOUNT_LIVE_H

#include "fs/mount_impl.h"
#include "fs/mount_nodes.h"

#define SLU_MLIVE_TIMEOUT (10 * SLU_SEC) /* names and attributes are believed, unless set */

struct slu_mlist; /* a listing in the making */

struct slu_mask {
	struct slu_op op;
	struct slu_mlive *l;
	struct slu_mask *every;       /* all that were made */
	struct slu_mask *next;        /* free, or late */
	struct slu_mask *prev, *succ; /* due, oldest first */
	fuse_req_t req;
	uint64_t unique;                    /* its number */
	void (*answer)(struct slu_mask *a); /* claimed, the op is done; no lock held */
	int64_t begun, due;
	unsigned refs;
	bool claimed, sent; /* sent: the store has the op */

	uint64_t ino; /* LOOKUP: the folder */
	char name[SLU_MNAME_MAX + 1];
	char *path; /* of op; owned */
	struct fuse_file_info fi;
	struct slu_attr attr; /* LOOKUP: of a file that may be a folder too */
	struct slu_list list;
	struct slu_mlist *dir;
	struct slu_mask *behind; /* that waits for the same listing, or for its turn */
	char *buf;               /* of a listing; owned */
	size_t used, size;
	uint64_t off;
	bool plus;
};

struct slu_mlive {
	struct slu_mount *m;
	struct slu_store *store; /* borrowed */
	const char *base;        /* the folder in it */
	struct slu_lnodes *nodes;
	int64_t ttl, timeout, made; /* made: wall clock, for folders without a time */
	pthread_mutex_t lock;       /* all below */
	pthread_cond_t quiet;
	struct slu_mask *every, *free, *due, *due_last;
	unsigned busy, sending; /* asks; calls of submit */
	bool ticking, stopping;
	struct slu_mlist *lists;
	struct slu_mask *turns; /* asks that have their listing now */
	uint64_t next_list;
	int64_t told; /* when a failure was logged last */

	pthread_mutex_t keep_lock; /* mount_live_keep.c */
	int keep_fd;               /* -1: nobody keeps it */
	size_t keep_len, keep_max;
};

extern const struct fuse_lowlevel_ops slu_mlive_ops;

int slu_mlive_new(struct slu_mount *m, struct slu_mlive **ret, struct slu_err *e);
int64_t slu_mlive_tick(struct slu_mlive *l);               /* as slu_mreads_tick */
int slu_mlive_stop(struct slu_mlive *l, int64_t deadline); /* as slu_mreads_stop */
void slu_mlive_free(struct slu_mlive *l);                  /* stopped; NULL fine */

/* --- for mount_read.c: the file behind a node --- */
int slu_mlive_file(struct slu_mlive *l, uint64_t ino, uint64_t *ret_size); /* 0, -ESTALE, -EISDIR */
/* 0, -ESTALE, -ENOMEM; the caller frees *ret_path. */
int slu_mlive_locate(struct slu_mlive *l, uint64_t ino, char **ret_path, char id[SLU_ID_MAX]);
void slu_mlive_changed(struct slu_mlive *l, uint64_t ino); /* a read found it so */

/* --- mount_live_ask.c --- */

/* An ask for the request, in the due list; NULL: no memory, and the request was answered so. */
struct slu_mask *slu_mask_new(struct slu_mlive *l, fuse_req_t req, uint64_t ino,
			      void (*answer)(struct slu_mask *a));
/* Sends a->op, made ready by a constructor; answer() runs when it is done, unless somebody claimed the ask
 * meanwhile.  answer() claims and replies, and then ends the ask, or sends another op. */
void slu_mask_send(struct slu_mask *a);
void slu_mask_end(struct slu_mask *a);
/* True: the caller replies, and nobody else. */
bool slu_mask_claim(struct slu_mask *a);
bool slu_mask_over(struct slu_mask *a);    /* somebody has replied, or is about to */
void slu_mask_replied(struct slu_mask *a); /* after the reply, unless that was slu_mask_fail() */
void slu_mask_fail(struct slu_mask *a,
		   int rc); /* claimed: replies with what a program expects, logs */

/* --- mount_live.c, for mount_live_dir.c --- */
double slu_mlive_left(const struct slu_mlive *l, int64_t asked); /* seconds it may be believed */
mode_t slu_mlive_mode(const struct slu_mlive *l, bool dir);      /* unless something else was set */
void slu_mlive_entry(const struct slu_mlive *l, const struct slu_lnode *n,
		     struct fuse_entry_param *p);

/* --- mount_live_keep.c: what is open, for the worker after this one --- */
void slu_mlive_keep_begin(struct slu_mlive *l);
/* One opener more, or one less: noted before the opener hears of it, and before it is forgotten. */
void slu_mlive_keep_note(struct slu_mlive *l, uint64_t ino, bool opened);
/* The kernel is about to get to know of n: if it is a folder, a program may come to stand in it. */
void slu_mlive_keep_folder(struct slu_mlive *l, const struct slu_lnode *n);

/* Nodes have moved: what is open is written down under the names that it has now. */
void slu_mlive_keep_anew(struct slu_mlive *l);

/* --- mount_live_dir.c --- */
void slu_mlive_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* READDIR, READDIRPLUS */
void slu_mlive_list(fuse_req_t req, uint64_t ino, size_t size, uint64_t off, uint64_t fh,
		    bool plus);
void slu_mlive_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void slu_mlive_list_put(struct slu_mlive *l, struct slu_mlist *d); /* an ask's; lock held */
void slu_mlive_list_turn(
	struct slu_mlive *l); /* after that, without the lock: who waited goes on */
/* A name in a folder is gone (now NULL), or stands for another file: in pages that are here already, too. */
void slu_mlive_list_changed(struct slu_mlive *l, uint64_t folder, const char *name,
			    const struct slu_attr *now);
void slu_mlive_lists_trim(struct slu_mlive *l,
			  bool all); /* pages that nobody reads; all: everything */

#endif
