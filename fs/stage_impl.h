/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of stage.h share. */
#ifndef SLU_FS_STAGE_IMPL_H
#define SLU_FS_STAGE_IMPL_H

#include "fs/stage.h"
#include "fs/writer.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLU_STAGE_HASH 256u

struct slu_stage {
	struct slu_stages *t;
	struct slu_stage *chain;       /* same slot */
	struct slu_stage *next, *prev; /* all */
	uint64_t seq;                  /* of its files: never used again in a session */
	unsigned refs;                 /* t->lock; the set has one while it is listed */
	bool listed;

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t idle;
	struct slu_stage_info i;
	char *path;
	int fd;
	bool busy;      /* somebody fills, commits or renames it: others wait */
	bool in_order;  /* began empty: may be sent while it is written */
	bool asked;     /* for slu_stage_stream(), */
	bool streaming; /* which is at it: the writer and `fed` are its own */
	bool suspect;   /* who wrote it was killed: it may be a part only */
	uint64_t fed;   /* bytes given to the writer, or about to be */
	struct slu_writer *writer;
};

struct slu_stages {
	struct slu_store *store;
	char *base, *where;
	int fd; /* the session */
	uint64_t max, reserve;
	int report;       /* -1: none */
	atomic_bool lost; /* something was, perhaps by the process before */

	pthread_mutex_t
		lock; /* what follows; never held with a stage's for long, always inside it */
	struct slu_stage *slots[SLU_STAGE_HASH];
	struct slu_stage *first, *last;
	uint64_t next_seq, used, unseen; /* unseen: bytes since the disk was looked at */
};

/* Only blocking callers: nobody else fills, commits or renames until slu_stage_leave().  Lock taken, given
 * back by leave. */
void slu_stage_enter(struct slu_stage *s);
void slu_stage_leave(struct slu_stage *s);
bool slu_stage_is_left(const struct slu_stage *s); /* lock held: slu_stage_lingers() */
/* Puts a made one into the set.  -EEXIST: ino has one. */
int slu_stage_list(struct slu_stages *t, struct slu_stage *s);
void slu_stage_unlist(struct slu_stage *s);
struct slu_stage *slu_stage_make(struct slu_stages *t, uint64_t seq, const char *path);
/* n more bytes are staged (less: negative).  -ENOSPC */
int slu_stages_charge(struct slu_stages *t, int64_t n);

/* --- stage_record.c: lock held --- */
int slu_stage_record(struct slu_stage *s, bool durable); /* writes it; 0 or -errno */
int slu_stage_open_data(struct slu_stage *s, bool make); /* s->fd */
void slu_stage_erase(struct slu_stage *s);               /* both files */
void slu_stage_forget(struct slu_stage *s);              /* the record: the next process has none */
/* Sticky, also for the process after this one; the first failure counts. */
void slu_stage_fail(struct slu_stage *s, int r);
int slu_stages_begin(struct slu_stages *t, const struct slu_stages_conf *conf, struct slu_err *e);
/* --- stage_report.c --- */
#define SLU_STAGE_REPORT "report"
#define SLU_STAGE_LINE_MAX (32u << 10)
#define SLU_STAGE_PLAIN "/" /* not encoded */
int slu_stages_report_open(struct slu_stages *t, struct slu_err *e);
/* It is in the store after all, or was removed: takes back what was said of it. */
void slu_stages_have(struct slu_stages *t, const char *path);
/* It cannot be committed any more: its bytes go where a person finds them. */
void slu_stage_set_aside(struct slu_stage *s);
/* A record, NUL at its end, is changed.  False: it is none.  *ret_path: in it. */
bool slu_stage_parse(char *text, struct slu_stage_info *ret, char **ret_path);
#define SLU_STAGE_KEPT "kept" /* beside the places: bytes that could not be committed */
#define SLU_STAGE_RECORD_MAX (64u << 10)

#endif
