/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one step needs to run, put together before it starts: its views and claims, environment,
 * arguments.  Shared by the files that prepare a step (stage.c, env.c, compute*.c) and step.c.
 */
#ifndef SLU_JOB_TASK_H
#define SLU_JOB_TASK_H

#include "dataset/output.h"
#include "job/compute.h"
#include "job/environment.h"
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
	bool unmarked;  /* Spark's committer was told to leave no _SUCCESS */
	char *cwd;      /* the code folder */
	char *data_log; /* where mounts log */
	char **argv;    /* argv[0]: absolute path of a program */
	struct slu_environment environment;
	char *base_python;        /* what the environment was made of; NULL: there is none */
	char *image, *image_tool; /* the step runs in a container; NULL: it does not */
	int cancel_fd;            /* readable: the step is to end; borrowed */
};

/* From the run's record.  t is zeroed before; on failure slu_task_done is still to be called. */
int slu_task_load(struct slu_task *t, struct slu_run *run, struct slu_err *e);
void slu_task_done(struct slu_task *t); /* frees; views and claims were closed before */

/* --- stage.c --- */

/* edge: the reference of an output of another step ("azureml://jobs/RUN/outputs/NAME"), caller frees. */
typedef char *slu_edge_fn(void *user, const char *step, const char *output);

/* Resolves the inputs, in parallel: what the step's data is.  user is for edge. */
int slu_stage_resolve(struct slu_task *t, slu_edge_fn *edge, void *user, struct slu_err *e);
/* After it: opens the inputs, claims and opens the outputs (some at a time), makes environment and arguments, and
 * notes inputs and outputs in the run's record. */
int slu_stage_open(struct slu_task *t, struct slu_err *e);
/* Where an output of the step goes in this run, `${{default_datastore}}` named; *ret stays NULL where the workspace
 * decides.  Caller frees. */
int slu_stage_destination(struct sluice *s, const struct slu_spec_step *step,
			  const struct slu_spec_output *spec, const char *run, char **ret,
			  struct slu_err *e);
/* Notes the inputs alone: of a step that is not run. */
int slu_stage_note_inputs(struct slu_task *t, struct slu_err *e);
/* Notes in the record what was read and written through views, before they are closed. */
void slu_stage_note_io(struct slu_task *t);
/* The program failed, e says how: adds which file of its mounts changed, when they told of one. */
void slu_stage_note_changed(const struct slu_task *t, struct slu_err *e);
/* The program says that all went well: -ESTALE when a mount refused it a file that changed.  After the mounts' end. */
int slu_stage_check_changed(const struct slu_task *t, struct slu_err *e);
/* Unmounts, removes what was staged.  Idempotent; the first error is told. */
int slu_stage_close_inputs(struct slu_task *t, struct slu_err *e);
/* The program has ended: unmounts outputs.  -errno: what was written is not all in the store; with the list. */
int slu_stage_unmount_outputs(struct slu_task *t, struct slu_err *e);
int slu_stage_collect(struct slu_task *t, struct slu_err *e); /* outputs, after exit 0 */
/* Tells in log and record which files of others, or of earlier runs, its outputs replaced. */
void slu_stage_note_overwritten(struct slu_task *t);
/* Into the log that the user looks at, and the supervisor's. */
void slu_stage_tell(const struct slu_task *t, const char *text);
/* Deletes what a run that failed wrote to outputs that say so, before anything is decided. */
void slu_stage_discard(struct slu_task *t);
/* Gives the claims back.  discard: removes the local folders of outputs. */
void slu_stage_close_outputs(struct slu_task *t, bool discard);
/* "inputs" and "outputs" of the outcome. */
int slu_stage_outcome(struct slu_task *t, struct json_t *outcome, struct slu_err *e);

/* --- values in commands --- */

struct slu_subst slu_task_subst(struct slu_task *t);

/* --- environment_job.c --- */

/* Looks up and plans the environments of all steps; notes go to the job's. */
int slu_environment_settle(struct sluice *s, struct slu_job *job, bool strict, struct slu_err *e);
/* Makes or finds the step's environment and sets PATH and the compute's python to it. */
int slu_environment_open(struct slu_task *t, struct slu_err *e);

/* --- container.c --- */

/* Makes argv one that runs the same in a container of the step's image. */
int slu_container_wrap(struct slu_task *t, struct slu_err *e);
/* Ends what a client that was killed left running.  Nothing there: nothing. */
void slu_container_remove(struct slu_task *t);
/* The same for a run whose supervisor was killed. */
void slu_container_forget(const struct slu_run *r);

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
