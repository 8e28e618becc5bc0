/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly once: runs/<id>/outcome.json, one put-if-absent, alone decides how a run ended.  It holds
 * what each output is, the name to register it under and the newest version seen, so that
 * registration can be replayed by anyone after any crash, and a supervisor that was declared dead and
 * then continues finds that it lost.
 *
 *   {"format": 1, "run": ID, "status": "Completed|Failed|Canceled", "reason": ..., "exit_code": N,
 *    "time": ..., "by": "supervisor|watcher|cancel",
 *    "outputs": {NAME: {"dataset": ID, "manifest": SHA, "register": {"name","description","tags"},
 *                       "seen": N}},
 *    "inputs": [...], "reused_from": RUN}     the last: its outputs are what that run wrote
 */
#ifndef SLU_DATASET_OUTCOME_H
#define SLU_DATASET_OUTCOME_H

#include "dataset/context.h"

/* Puts it; *ret_won false when one is there already, with *ret_current (may be NULL) what it says.
 * Being there with equal content (a lost reply) counts as won. */
int slu_outcome_put(struct sluice *s, const char *run, const struct json_t *outcome, bool *ret_won,
		    struct json_t **ret_current, struct slu_err *e);
int slu_outcome_get(struct sluice *s, const char *run, struct json_t **ret,
		    struct slu_err *e); /* -ENOENT */
/* Registers every output that the outcome of a Completed run names; idempotent.  *ret: {"OUTPUT":
 * {"name","version"}}. */
int slu_outcome_replay(struct sluice *s, const char *run, struct json_t **ret, struct slu_err *e);

#endif
