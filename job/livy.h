/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Livy's REST, as Apache Livy and Synapse speak it: the same requests below another path.  An entry of "computes":
 *
 *   {"url": "https://host:8998", "auth": "none" | "basic" | "kerberos" | "token" | "credential",
 *    "user", "password": REF,           basic
 *    "principal", "keytab"              kerberos; neither: the ticket cache
 *    "token": REF                       a bearer token
 *    "credential": IDENTITY, "audience" an identity of Microsoft Entra (blob/identity.h)
 *    "log": false                       the server keeps no log (Synapse)
 *    "ca_file": PATH}
 *
 * REF is env:NAME, file:PATH or cmd:COMMAND.  Without "auth" it is what its keys say.
 */
#ifndef SLU_JOB_LIVY_H
#define SLU_JOB_LIVY_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

struct sluice;
struct slu_livy;

/* Reads credentials, asks nobody.  name: of the compute, for messages.  One thread at a time. */
int slu_livy_open(struct sluice *s, const char *name, const struct json_t *entry,
		  struct slu_livy **ret, struct slu_err *e);
void slu_livy_free(struct slu_livy *l);
SLU_DEFINE_CLEANUP(struct slu_livy *, slu_livy_free, slu_livy_freep)
const char *slu_livy_url(const struct slu_livy *l);
bool slu_livy_has_log(const struct slu_livy *l);
/* From now on all requests together end within so many ns: -ETIMEDOUT. */
void slu_livy_hurry(struct slu_livy *l, int64_t ns);
/* Worth asking again: nobody answered, or not now. */
bool slu_livy_passes(int r);

/* -EINVAL when "password" or "token" of an entry is the secret itself, which the message does not show.  what: "compute",
 * "linked service". */
int slu_livy_check_secrets(const char *what, const char *name, const struct json_t *entry,
			   struct slu_err *e);

/* One request.  path: "/batches/3"; body: NULL: none; *ret may be NULL.  A GET or DELETE is tried again for a while when
 * nobody answers or the service is busy.  -ENOENT: 404, -EACCES: 401 and 403, -EINVAL: the server refused the request,
 * with its words; -ECONNRESET of a POST: nobody knows whether it was heard. */
int slu_livy_call(struct slu_livy *l, const char *method, const char *path,
		  const struct json_t *body, struct json_t **ret, struct slu_err *e);

/* All that GET path ("/batches", "/sessions") lists, page by page: an array. */
int slu_livy_list(struct slu_livy *l, const char *path, struct json_t **ret, struct slu_err *e);

/* A server that was started anew counts from 0 again: a number may then be somebody else's.  o: what the server says of
 * it; name: what we called ours.  A server that tells no names is believed. */
bool slu_livy_is_other(const struct json_t *o, const char *name);

/* What a state of Livy's means. */
enum slu_livy_state { SLU_LIVY_WAITS, SLU_LIVY_RUNS, SLU_LIVY_DONE, SLU_LIVY_FAILED };
/* o: a batch or a session as the server tells it; *ret_state: its own word, in o. */
enum slu_livy_state slu_livy_judge(const struct json_t *o, const char **ret_state);

/* --- livy_log.c: lines of a log that is a window on the last ones --- */

struct slu_livy_log {
	struct json_t *seen[2]; /* stdout, stderr: the lines of the last answer */
};
typedef void slu_livy_line_fn(void *user, int stream, const char *line);
/* lines: an answer's "log".  fn for each line that was not in the last answer, by stream (0: stdout). */
int slu_livy_log_add(struct slu_livy_log *l, const struct json_t *lines, slu_livy_line_fn *fn,
		     void *user);
void slu_livy_log_done(struct slu_livy_log *l);

/* --- livy_batch.c: one batch from beginning to end --- */

/* In the run's folder, 0600: {"compute", "body"}, or {"compute", "session"} (session.h). */
#define SLU_LIVY_REQUEST "livy.json"
/* What runs: {"compute", "name", "id"} of a batch, without the id as long as the server has not told it; {"compute",
 * "session", "name", "id"} of a statement, where the name is the session's.  Gone when it has ended. */
#define SLU_LIVY_BATCH "livy-batch.json"

/* The program of a step on Livy: sends the request of a run's folder, its states (as stream 1)
 * and its log go to fn.  0: success; -ECHILD: it failed.  Of SIGTERM the process ends here, when the batch is deleted. */
int slu_livy_run(struct sluice *s, const char *folder, slu_livy_line_fn *fn, void *user,
		 struct slu_err *e);
/* One look at several runs: a server that is away, or slow, is waited for once. */
struct slu_livy_look {
	struct json_t *asked; /* {COMPUTE: did it answer} */
	int64_t until;        /* from then on none is asked a second time */
};
void slu_livy_look_done(struct slu_livy_look *k);
/* Deletes what a run whose program was killed left running; takes a few seconds at most.  Nothing there: 0.  What a
 * server that is away, or has not told of it yet, keeps is an error, and is looked for again by the next call.  k: NULL:
 * this run alone. */
int slu_livy_forget(struct sluice *s, const char *folder, struct slu_livy_look *k,
		    struct slu_err *e);

/* livy_session.c: ends a statement; one that is gone is fine.  name: of the session, NULL: not known. */
int slu_livy_cancel_statement(struct slu_livy *l, int64_t session, const char *name, int64_t id,
			      struct slu_err *e);

#endif
