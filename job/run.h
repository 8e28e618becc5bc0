/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run records: runs/<id>/ below the root, with run.json (what was asked for, states with their times,
 * inputs, outputs, exit code, child runs), logs and the step's code.  One process writes a record: its
 * supervisor, or after its death whoever finds it dead (settle.h).  On a root that is no local folder
 * the folder is a local one while the run goes, and run.json is put to the store at every change.
 */
#ifndef SLU_JOB_RUN_H
#define SLU_JOB_RUN_H

#include "common/cleanup.h"
#include "common/json.h"
#include "dataset/context.h"

#include <pthread.h>

#define SLU_RUN_STDOUT "logs/azureml/driver/stdout"
#define SLU_RUN_STDERR "logs/azureml/driver/stderr"
#define SLU_RUN_STDLOG "user_logs/std_log.txt"
#define SLU_RUN_SUPERVISOR_LOG "system_logs/supervisor.log"
#define SLU_RUN_DATA_LOG "system_logs/data_capability/data-capability.log"
#define SLU_RUN_JSON_MAX (8u << 20)

struct slu_run {
	struct sluice *s;
	char *id;
	char *dir;               /* absolute */
	int fd;                  /* of dir; -1: it is on another machine */
	struct slu_store *store; /* where run.json goes as well; NULL: the root is a local folder */
	char *store_dir;         /* runs/<id> in it */
	pthread_mutex_t lock;    /* guards doc */
	struct json_t *doc;
	char *hidden; /* name of the folder until slu_run_commit, then NULL */
};

/* [A-Za-z0-9_][A-Za-z0-9_.-]*, at most 80 bytes: safe in paths and shells. */
bool slu_run_id_ok(const char *id);
/* base + "_" + 10 random characters; caller frees; NULL: no memory or no randomness. */
char *slu_run_new_id(const char *base);
/* Makes the folder and its log folders under a name that no reader sees, for doc (taken), which is not
 * saved yet.  slu_run_commit saves it and gives the folder its name: from then on the run is there.  A
 * run of that id: -EEXIST. */
int slu_run_make(struct sluice *s, const char *id, struct json_t *doc, struct slu_run **ret,
		 struct slu_err *e);
int slu_run_commit(struct slu_run *r, struct slu_err *e);
int slu_run_open(struct sluice *s, const char *id, struct slu_run **ret, struct slu_err *e);
int slu_run_reload(struct slu_run *r, struct slu_err *e); /* doc from run.json again */
void slu_run_free(struct slu_run *r);
SLU_DEFINE_CLEANUP(struct slu_run *, slu_run_free, slu_run_freep)
/* Removes what makers of runs that were killed left: no reader sees it, but it takes room. */
void slu_run_sweep(struct sluice *s);
/* Removes the folder of a run that was never started. */
void slu_run_discard(struct slu_run *r);

/* Writes run.json.  The lock is held by the caller or not needed yet. */
int slu_run_save(struct slu_run *r, struct slu_err *e);
/* Appends a state with the time now and saves; the same state twice is one, and a run that has ended
 * stays so.  Takes the lock. */
int slu_run_status(struct slu_run *r, const char *status, struct slu_err *e);
/* doc[key] = v (taken), saved when `save`.  Takes the lock. */
int slu_run_set(struct slu_run *r, const char *key, struct json_t *v, bool save, struct slu_err *e);
const char *slu_run_get(const struct slu_run *r, const char *key); /* a string of doc or NULL */
bool slu_run_is_end(const char *status);                           /* Completed, Failed, Canceled */
/* Adds the state to doc without saving.  The lock is held or not needed. */
int slu_run_add_state(struct json_t *doc, const char *status, const char *time);

/* Copies the run's logs to its store (nothing to do on a local root). */
int slu_run_publish(struct slu_run *r, struct slu_err *e);
/* The same to any place: every file below `folder` of the run, at most SLU_RUN_LOG_MAX bytes each. */
#define SLU_RUN_LOG_MAX (64u << 20)
int slu_run_upload(struct slu_run *r, const char *folder, struct slu_store *store, const char *to,
		   struct slu_err *e);

/* Ids of all runs, newest names in no order; array of strings. */
int slu_run_ids(struct sluice *s, struct json_t **ret, struct slu_err *e);

#endif
