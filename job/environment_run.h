/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that make environments, each below a guard: it and all it starts end with this process. */
#ifndef SLU_JOB_ENVIRONMENT_RUN_H
#define SLU_JOB_ENVIRONMENT_RUN_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct slu_environment_run {
	char *const *envp; /* with AZUREML_RUN_ID */
	const char *cwd;
	int out;          /* stdout of it, and stderr; stays the caller's */
	int err;          /* stderr, when it is to be apart; 0: in out */
	int cancel;       /* readable: it is ended; -1: never */
	int64_t deadline; /* slu_now ns; 0: none */
};

/* 0: it ended with status 0.  -ECHILD: it did not; -ETIMEDOUT, -ECANCELED; -errno when it could not be started.
 * argv[0] is absolute.  On the calling thread, which must live until then. */
int slu_environment_run(const char *const *argv, const struct slu_environment_run *how,
			struct slu_err *e);
/* The same, with all it says lost. */
bool slu_environment_answers(const char *const *argv, char *const *envp, unsigned seconds);
/* name looked up in a list of folders; absolute, caller frees; NULL: not there. */
char *slu_environment_program(const char *path, const char *name);
/* The same of an interpreter of Python that runs: others are passed over.  name may be a path.  Runs it. */
char *slu_environment_python(const char *path, const char *name, char *const *envp);

#endif
