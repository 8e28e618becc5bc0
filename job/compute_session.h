/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps in sessions of a Livy server.  An entry of "computes" with "mode": "session" has "session_timeout" (minutes
 * without a step after which a session ends) and "on_demand" (it is ours alone: ten minutes more, in which a step that
 * comes still finds it warm).
 */
#ifndef SLU_JOB_COMPUTE_SESSION_H
#define SLU_JOB_COMPUTE_SESSION_H

#include "job/compute.h"

bool slu_compute_in_session(const struct slu_compute *c);
/* The keys above, of an entry; -EINVAL. */
int slu_compute_session_check(const char *name, const struct json_t *entry, struct slu_err *e);
/* Can the step run as a statement?  -EINVAL. */
int slu_compute_session_step(const struct slu_compute *c, const struct slu_spec_step *st,
			     struct slu_err *e);
/* batch: the body that a batch would have.  *ret: {"key", "timeout", "grace" (seconds), "body" of the session,
 * "step": {"file", "code" (base64), "args", "env"}}. */
int slu_compute_session(const struct slu_task *t, const struct json_t *batch, struct json_t **ret,
			struct slu_err *e);

#endif
