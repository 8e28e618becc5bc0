/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step's process tree.  Between supervisor and step stands a guard, a small forked process that is
 * the subreaper of the tree: it dies with the supervisor (and kills the whole tree first), it kills what
 * the step leaves running, and it reports how the step ended through a pipe.  The step is the leader of
 * a process group of its own and dies with the guard.
 */
#ifndef SLU_JOB_GUARD_H
#define SLU_JOB_GUARD_H

#include "common/err.h"
#include "job/usage.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct slu_guard {
	pid_t guard;           /* to be reaped by slu_guard_end */
	pid_t step;            /* leader of the step's group; 0 before it is known */
	int report;            /* readable when there is news; -1: none */
	int status;            /* of waitpid, once ended */
	bool ended;            /* status is known */
	int error;             /* errno of a program that could not be started */
	struct slu_usage used; /* once ended: what the kernel added up */
	const char *mark;      /* of envp: what tells the step's processes from others */
};

struct slu_guard_opts {
	const char *const *argv; /* argv[0]: absolute path of the program */
	char *const *envp;       /* lives until slu_guard_end; with AZUREML_RUN_ID */
	const char *cwd;
	int out, err;              /* the step's stdout and stderr; stay the caller's */
	const struct rlimit *core; /* the step's RLIMIT_CORE; NULL: as here */
};

/* Starts guard and step.  The calling thread must live until slu_guard_end: the guard dies with it. */
int slu_guard_start(const struct slu_guard_opts *o, struct slu_guard *ret, struct slu_err *e);
/* Reads news when report is readable; closes report (-1) when there will be none. */
void slu_guard_news(struct slu_guard *g);
/* A signal to the step's group. */
void slu_guard_signal(const struct slu_guard *g, int sig);
/* Has the process this variable ("NAME=value") in its environment, as far as this one may see?  Unknown: it has just begun
 * another program; a moment later it is known. */
enum slu_marked { SLU_UNMARKED, SLU_MARKED, SLU_MARK_UNKNOWN };
enum slu_marked slu_guard_marked(pid_t pid, const char *mark);
/* Kills the tree at once; bounded (5 s).  Reaps the guard.  Idempotent. */
void slu_guard_end(struct slu_guard *g);

#endif
