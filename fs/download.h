/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a download: preflight (download_check.c, download_place.c, download_fold.c), what an earlier one left
 * (download_state.c, download_journal.c, download_record.c), lanes (download_copy.c), one file
 * (download_file.c, download_hash.c), making visible (download_commit.c); download.c ties them.
 *
 *   target/.sluice-part-1/         locked while a download lives; part files and journal
 *   target/.sluice-part-1/<key>    of a file that is not complete; the key is the journal's
 *   target/<path>                  appears by rename, complete
 *   target/.sluice-complete        last: the manifest of what is there (download_record.c)
 *
 * A folder of parts whose lock is free is left over from a download that was killed or failed: the next
 * one goes on with it.
 */
#ifndef SLU_FS_DOWNLOAD_H
#define SLU_FS_DOWNLOAD_H

#include "fs/download_journal.h"
#include "fs/few.h"
#include "fs/summer.h"
#include "fs/view.h"
#include "io/crypt.h"
#include "io/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SLU_DL_PREFIX ".sluice-part-"
#define SLU_DL_PARTS SLU_DL_PREFIX "1"
#define SLU_DL_PART_NAME (2 * SLU_DJ_KEY + 1)

/* What is known of a file of the manifest. */
enum slu_dstate {
	SLU_DS_FETCH, /* nothing */
	SLU_DS_PART,  /* the journal knows bytes of it */
	SLU_DS_THERE, /* complete, under its name */
	SLU_DS_KEPT,  /* something else is there and stays */
	SLU_DS_GONE   /* vanished from the store */
};

struct slu_dknown {
	uint32_t crc; /* CRC32C of the file */
	uint8_t state;
	bool has_crc;
	bool taken; /* something else has its name, and is to be replaced */
};

enum { SLU_DC_ABSENT, SLU_DC_WRITTEN, SLU_DC_CLAIMED /* by the journal */ };

/* A file that is being copied, or was and waits for its batch. */
struct slu_dfile {
	struct slu_dfile *next; /* of a batch */
	size_t at;              /* in the manifest */
	struct slu_store *store;
	char *path; /* in the store */
	int fd;
	uint8_t key[SLU_DJ_KEY];
	uint64_t given, left;                 /* bytes handed out to lanes; bytes not written yet */
	unsigned lanes;                       /* working on it */
	unsigned writing;                     /* of these */
	struct slu_lane *queue, **queue_tail; /* that wait for their turn to write */
	size_t chunk;
	uint64_t nchunks;
	bool failed;       /* nothing more is to be done for it */
	bool fresh;        /* nothing was in the part file */
	bool room;         /* it was preallocated */
	bool cloned;       /* it is there by a reflink, unread */
	atomic_bool holes; /* zeros were left out */
	uint8_t *done;     /* of each chunk: SLU_DC_ */
	uint32_t *crcs;    /* of each chunk that is written or claimed */
	uint8_t done1;     /* both, of one chunk */
	uint32_t crcs1;

	/* download_hash.c, download_sum.c */
	char want[SLU_ID_MAX]; /* the checksum that it has to have; "": none is known */
	struct slu_summer sum; /* computes it; not where the chunks' own say it */
	struct slu_download *d;
	bool asked;             /* the store, for it */
	struct slu_dask *ask;   /* lock; no answer yet */
	struct slu_lane *waits; /* lock; for it, to finish the file */
	uint64_t hashed;        /* bytes */
	bool crc64_on;          /* it has a CRC64 to be compared with */
	uint64_t crc64;         /* lock; of it but for the chunks to come */
	bool hashing;           /* a lane is at it */
};

/* A failure that the caller was not told yet. */
struct slu_dbad {
	struct slu_dbad *next;
	size_t at;
	struct slu_err err;
};

struct slu_lane;

struct slu_download {
	struct slu_tree *t;
	const char *target;
	const struct slu_download_opts *o;
	struct slu_pool *pool;
	int dirfd, partfd; /* the target; its folder of parts, locked */
	bool part_made;    /* by this download */
	bool begun;        /* slu_download_begin */
	bool planning;     /* nothing may be changed (download_plan.c) */
	uint64_t removals; /* planning: files and folders that would be removed */

	/* what an earlier one left; fixed once the lanes run, but for known[], whose file's lane or batch
	 * writes it */
	struct slu_manifest *record; /* NULL: none */
	struct slu_dj_entry *old;
	size_t old_n;
	struct slu_dknown *known; /* of each file of the manifest */
	size_t todo;              /* files to be fetched */
	uint64_t todo_bytes;

	struct slu_dj *journal; /* NULL: none is kept */
	atomic_bool no_clone;   /* there are no reflinks into the target */

	pthread_mutex_t lock;  /* everything below */
	pthread_cond_t cond;   /* something ended */
	size_t next;           /* file to open */
	unsigned opening;      /* files that are being opened */
	pthread_cond_t opened; /* none is any more */
	struct slu_dfile *cur;
	struct slu_dfile *batch, **batch_tail;
	size_t batch_n;
	uint64_t batch_bytes;
	bool committing;
	unsigned nlanes, running; /* lanes not at their end */
	size_t lane_size;         /* of a lane's buffer */
	struct slu_lane *lanes;
	struct slu_dask *asks; /* all there are, idle and busy; a busy one counts in running */
	struct slu_few few;    /* lanes with small files, and those that begin one */
	struct slu_progress progress;
	struct slu_download_totals totals;
	struct slu_dbad *bad, **bad_tail;
	unsigned bad_row; /* failures since the last file that came */
	struct slu_err bad_first;
	int rc; /* of what ends all lanes */
	struct slu_err err;
};

static inline const struct slu_file *slu_download_file(const struct slu_download *d, size_t at)
{
	return slu_manifest_at(d->t->manifest, at);
}

/* --- download_check.c, download_place.c --- */

/* Everything that can be known before a byte is copied; opens the target (made when absent), takes its
 * folder of parts, learns what is there, begins the journal. */
int slu_download_check(struct slu_download *d, struct slu_err *e);
/* Could files be made there?  The target, or the folder that it will be in. */
int slu_download_writable(const struct slu_download *d, struct slu_err *e);
/* Names that the file system cannot hold, or that are ours. */
int slu_download_names(const struct slu_download *d, struct slu_err *e);
/* Adds up what known[] says: todo, totals, progress. */
void slu_download_count(struct slu_download *d);
/* Is there room for it? */
int slu_download_room(const struct slu_download *d, uint64_t back, struct slu_err *e);
/* What is at the places of the files: sets known[].  *ret_back: the bytes that replacing gives back. */
int slu_download_places(struct slu_download *d, uint64_t *ret_back, struct slu_err *e);
/* What else is in the target: is refused, or removed, or stays, as the policy says. */
int slu_download_others(struct slu_download *d, struct slu_err *e);
/* -EINVAL: by its policy it would empty a folder that never is. */
int slu_download_may_empty(const struct slu_download *d, struct slu_err *e);
/* Is this what a download of f would leave there? */
bool slu_download_same(const struct stat *st, const struct slu_file *f);

/* --- download_fold.c --- */

/* Does the target take names for one that differ by case only? */
bool slu_download_folds(const struct slu_download *d);
/* Two files of the dataset that such a target has one place for: -EEXIST, naming both. */
int slu_download_fold(const struct slu_manifest *m, const char *target, struct slu_err *e);

/* --- download_state.c --- */

/* The folder of parts, locked by us: -EBUSY when another download has it. */
int slu_download_lock(struct slu_download *d, struct slu_err *e);
/* Record and journal of an earlier download. */
int slu_download_recall(struct slu_download *d, struct slu_err *e);
/* What they say of file `at`: SLU_DS_FETCH, _PART or _THERE, of which nobody has looked at the disk. */
int slu_download_recalled(const struct slu_download *d, size_t at, struct slu_dknown *ret,
			  struct slu_err *e);
/* A new journal with what counts of the old one; parts that are of no use go. */
int slu_download_begin(struct slu_download *d, struct slu_err *e);
/* The end: record, journal and parts are left as the result asks.  Lets go of the lock. */
int slu_download_leave(struct slu_download *d, bool complete, struct slu_err *e);
/* Is there something that the next download can go on with? */
bool slu_download_keeps(const struct slu_download *d);
/* Frees what was recalled, closes the folders. */
void slu_download_forget(struct slu_download *d);
int slu_download_key(const struct slu_manifest *m, size_t at, uint8_t ret[SLU_DJ_KEY]);
void slu_download_part_name(const uint8_t key[SLU_DJ_KEY], char out[SLU_DL_PART_NAME]);
/* Is file b of m the same state of the same object as file a of n? */
bool slu_download_alike(const struct slu_manifest *m, size_t a, const struct slu_manifest *n,
			size_t b);
/* Are they known to be two states of one object? */
bool slu_download_outdated(const struct slu_manifest *m, size_t a, const struct slu_manifest *n,
			   size_t b);

/* --- download_copy.c --- */

/* How many lanes there are to be; sets lane_size. */
unsigned slu_download_shape(struct slu_download *d);
/* Starts the lanes; each ends when nothing is left to hand out, or after a failure. */
int slu_download_start(struct slu_download *d, struct slu_err *e);
void slu_download_cancel(struct slu_download *d); /* after rc was set: what is in flight */
void slu_download_lanes_free(struct slu_download *d);
/* Any thread, no lock held.  Notes the first failure that ends all. */
void slu_download_fail(struct slu_download *d, int rc, const struct slu_err *e);

/* --- download_file.c.  All in a lane, no lock held; what they fail with ends all --- */

/* The bytes that are asked for at once. */
size_t slu_dfile_chunk(const struct slu_download *d, const struct slu_store *store);
/* Opens the store's side and the part file of entry `at`. */
int slu_dfile_open(struct slu_download *d, size_t at, struct slu_dfile **ret, struct slu_err *e);
/* Writes a chunk and notes it. */
int slu_dfile_write(struct slu_download *d, struct slu_dfile *f, const char *buf, uint64_t off,
		    size_t len, struct slu_err *e);
/* Does the part file hold the claimed chunk?  Then it is in buf. */
bool slu_dfile_have(const struct slu_dfile *f, char *buf, uint64_t off, size_t len);
/* All bytes are there: checks, times, the journal.  Closes it.  -EBADMSG is a matter of this file alone. */
int slu_dfile_finish(struct slu_download *d, struct slu_dfile *f, struct slu_err *e);
void slu_dfile_free(struct slu_dfile *f); /* closes it; NULL fine */
/* The same of one that did not come to its end; a part with nothing in it goes. */
void slu_dfile_drop(const struct slu_download *d, struct slu_dfile *f);

/* --- download_clone.c --- */

/* Of an empty part file: has its bytes by a reflink, if that can be; sets cloned. */
void slu_dfile_clone(struct slu_download *d, struct slu_dfile *f);
/* Reads what was cloned, for its checksums.  buf: f->chunk bytes. */
int slu_dfile_read_clone(struct slu_download *d, struct slu_dfile *f, char *buf, struct slu_err *e);

/* --- download_hash.c --- */

/* When it is opened: prepares what the file needs to be checked, if it has to be. */
int slu_download_hash_begin(struct slu_download *d, struct slu_dfile *f, struct slu_err *e);
/* A chunk was written, of which buf (f->chunk bytes long) still holds the bytes; buf is rubbish afterwards.
 * Hashes what follows on what is hashed already, in the calling lane, no lock held. */
int slu_download_hash(struct slu_download *d, struct slu_dfile *f, char *buf, uint64_t off,
		      size_t len, struct slu_err *e);
/* All is written: the judgement.  crc: CRC32C of the file. */
int slu_download_hash_end(const struct slu_download *d, struct slu_dfile *f, uint32_t crc,
			  struct slu_err *e);

/* --- download_sum.c: no lock held, but where it is said --- */

/* Asks the store, once, for the checksum of a file whose bytes come without. */
int slu_download_ask(struct slu_download *d, struct slu_dfile *f, struct slu_err *e);
/* Is the answer still to come?  Then the lane is put into the pool when it is there. */
bool slu_download_ask_wait(struct slu_dfile *f, struct slu_lane *l);
void slu_download_ask_drop(struct slu_dfile *f); /* nobody wants the answer */
void slu_download_ask_cancel(struct slu_download *d);
void slu_download_asks_free(struct slu_download *d);
struct slu_work *slu_download_work(struct slu_lane *l);

/* --- download_commit.c: no lock held; blocks --- */

/* Renames the files of a batch to their names, after one sync for all; frees the list. */
int slu_download_commit(struct slu_download *d, struct slu_dfile *batch, struct slu_err *e);

#endif
