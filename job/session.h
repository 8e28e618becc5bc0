/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of Livy servers that this workspace keeps between steps.  Each has a record in the folder "sessions" beside
 * the runs: NAME.json, and NAME.lock, held with flock(2) by the program that uses it.  So a record whose lock is free
 * belongs to nobody, whatever became of who made it: the next one to look reuses the session or deletes it.  No process
 * of ours stays: a session ends by the server's own heartbeat, and by us whenever somebody looks.
 */
#ifndef SLU_JOB_SESSION_H
#define SLU_JOB_SESSION_H

#include "common/cleanup.h"
#include "job/livy.h"

#include <stddef.h>

#define SLU_SESSION_MINUTES 30    /* "session_timeout" when nobody says */
#define SLU_SESSION_TEAR_DOWN 600 /* seconds more for an on-demand one */
#define SLU_SESSION_MOST_MINUTES 10080

struct slu_session {
	struct slu_livy *livy; /* borrowed */
	int dir, lock;
	char *name; /* of the record, and on the server */
	struct json_t *
		doc; /* compute, key, name, id, timeout, grace, created, used, cold_start, steps, run */
};

/* The server's number, -1: not known yet. */
int64_t slu_session_id(const struct slu_session *v);

/* 1: one of that compute and key that nobody uses and that the server has, in *ret, locked.  0: there is none.
 * What is over is deleted on the way. */
int slu_session_find(struct sluice *s, struct slu_livy *l, const char *compute, const char *key,
		     struct slu_session *ret, struct slu_err *e);
/* A record for a new one, locked, before the server is asked.  timeout, grace: seconds. */
int slu_session_add(struct sluice *s, struct slu_livy *l, const char *compute, const char *key,
		    int64_t timeout, int64_t grace, struct slu_session *ret, struct slu_err *e);
/* Writes the record; used: it is used now. */
int slu_session_save(struct slu_session *v, bool used, struct slu_err *e);
/* Finds the number of one that was asked for and not heard of, by its name.  -ENOENT: it is not there. */
int slu_session_recover(struct slu_session *v, struct slu_err *e);
/* Deletes it on the server, unless its number is another's by now, and then its record. */
int slu_session_drop(struct slu_session *v, struct slu_err *e);
/* Has it a record, or was it dropped? */
bool slu_session_alive(const struct slu_session *v);
/* Gives the lock back. */
void slu_session_done(struct slu_session *v);

/* compute NULL: all.  [{"compute", "session", "state", "idle", "ends", "run", "steps", "cold_start"}]; those
 * whose time is over are deleted, and told as "ended".  A server that does not answer is a state, not an error. */
int slu_sessions_list(struct sluice *s, const char *compute, struct json_t **ret,
		      struct slu_err *e);
/* Deletes those of a compute; id: only that one, -1: all.  -EBUSY: a run uses it; -ENOENT: there is no such. */
int slu_sessions_stop(struct sluice *s, const char *compute, int64_t id, struct slu_err *e);

/* --- livy_session.c --- */

struct slu_session_step {
	struct sluice *s;
	struct slu_livy *livy;
	const char *folder, *compute; /* of the run */
	const struct json_t *session; /* compute_session.c */
	int signals;                  /* readable: SIGTERM came */
	slu_livy_line_fn *fn;
	void *user;
};

/* Runs a step's entry in a session, as slu_livy_run() does it in a batch. */
int slu_session_run(const struct slu_session_step *st, struct slu_err *e);

#endif
