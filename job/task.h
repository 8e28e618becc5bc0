/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one step needs to run, put together before it starts: its views and claims, environment,
 * arguments.  Shared by the files that prepare a step (stage.c, env.c, compute*.c) and step.c.
 */
#ifndef SLU_JOB_TASK_H
#define SLU_JOB_TASK_H

#include "dataset/output.h"
#include "job/compute.h"
#include "job/run.h"
#include "job/spec.h"
#include "job/subst.h"

struct slu_env;

struct slu_task {
	struct sluice *s;
	struct slu_run *run;
	struct slu_spec_step spec;
	struct slu_input **in;   /* as spec.in; NULL where an input is a literal or unset */
	struct slu_output **out; /* as spec.out */
	struct slu_compute compute;
	struct slu_env *env;
	char *cwd;   /* the code folder */
	char **argv; /* argv[0]: absolute path of a program */
};

/* From the run's record.  t is zeroed before; on failure slu_task_done is still to be called. */
int slu_task_load(struct slu_task *t, struct slu_run *run, struct slu_err *e);
void slu_task_done(struct slu_task *t); /* frees; views and claims were closed before */

/* --- stage.c --- */

/* edge: the reference of an output of another step ("azureml://jobs/RUN/outputs/NAME"), caller frees. */
typedef char *slu_edge_fn(void *user, const char *step, const char *output);

/* Resolves and opens the inputs (in parallel), claims the outputs, makes environment and arguments, and
 * notes inputs and outputs in the run's record.  user is for edge. */
int slu_stage_open(struct slu_task *t, slu_edge_fn *edge, void *user, struct slu_err *e);
/* Unmounts, removes what was staged.  Idempotent; the first error is told. */
int slu_stage_close_inputs(struct slu_task *t, struct slu_err *e);
int slu_stage_collect(struct slu_task *t, struct slu_err *e); /* outputs, after exit 0 */
/* Gives the claims back.  discard: removes the local folders of outputs. */
void slu_stage_close_outputs(struct slu_task *t, bool discard);
/* "inputs" and "outputs" of the outcome. */
int slu_stage_outcome(struct slu_task *t, struct json_t *outcome, struct slu_err *e);

/* --- values in commands --- */

struct slu_subst slu_task_subst(struct slu_task *t);

/* --- env.c: the step's environment (azureml.md 2.3) --- */

/* This process's environment without credentials. */
int slu_env_new(struct sluice *s, struct slu_env **ret, struct slu_err *e);
void slu_env_free(struct slu_env *v);
SLU_DEFINE_CLEANUP(struct slu_env *, slu_env_free, slu_env_freep)
int slu_env_set(struct slu_env *v, const char *name, const char *value); /* 0 or -ENOMEM */
const char *slu_env_get(const struct slu_env *v, const char *name);
char *const *slu_env_list(const struct slu_env *v); /* as execve wants it; until the next set */
/* All variables of a run: names, inputs, outputs, environment_variables of the job. */
int slu_env_fill(struct slu_task *t, struct slu_err *e);

#endif
