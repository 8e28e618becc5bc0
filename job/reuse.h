/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reuse: a step that was run before with the same code, command, settings and data is not run again; it
 * gets what the earlier run wrote.  What a step is, is told in parts:
 *
 *   {"format", "step", "command", "environment_variables", "compute", "code", "inputs", "outputs"}
 *
 * with, of each input that is data, its dataset id and the digest of its manifest, which is the list of its
 * files with sizes, times and identities.  The key is the SHA-256 over them.  Run ids, places in files and
 * descriptions are in no part.  In the registry:
 *
 *   reuse/keys/<key>/<run>    one for each Completed run of it, {"format": 1, "run": ID}
 *   reuse/steps/<digest>      a hint: the newest run of a step of that name, to compare with
 */
#ifndef SLU_JOB_REUSE_H
#define SLU_JOB_REUSE_H

#include "job/task.h"

struct slu_reuse {
	char key[SLU_DIGEST_HEX];
	struct json_t *parts;
	char *from;             /* the run whose outputs are taken; NULL: the step runs */
	struct json_t *outcome; /* of that run */
	struct json_t *outputs; /* of its record */
	struct json_t *explain; /* array of lines: why it runs, or what it takes */
	char *compared;         /* the run that explain tells of; NULL: none */
};

/* What a task is whose inputs are resolved and whose compute is known; the key of that. */
int slu_reuse_parts(const struct slu_task *t, struct json_t **ret_parts,
		    char ret_key[SLU_DIGEST_HEX], struct slu_err *e);
/* Fills ret: looks for a run to take, and for why there is none.  only: that run or none (NULL: the
 * newest with this key); look: false to note the key alone.  Not finding one is no error; ret is to be
 * freed by slu_reuse_done in any case. */
int slu_reuse_find(const struct slu_task *t, bool look, const char *only, struct slu_reuse *ret,
		   struct slu_err *e);
void slu_reuse_done(struct slu_reuse *u);
/* {"key", "from"?, "compared_with"?, "explain", "parts"}, for the run's record; NULL: no memory. */
struct json_t *slu_reuse_record(const struct slu_reuse *u);
/* From now on others may take this run, which Completed.  Best effort: what fails goes to the log. */
void slu_reuse_offer(const struct slu_task *t, const struct slu_reuse *u);
/* A run that is deleted is offered no more. */
void slu_reuse_forget(struct sluice *s, const struct json_t *doc);

/* --- reuse_explain.c --- */

/* Adds to the array of lines what differs between two tellings of a step. */
int slu_reuse_differences(struct sluice *s, const struct json_t *before, const struct json_t *now,
			  struct json_t *lines, struct slu_err *e);

#endif
