/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compute targets: entries of "computes" in config.json.
 *
 *   {"local": {"type": "local", "python": "/usr/bin/python3", "slots": 4},
 *    "spark": {"type": "spark", "master": "local[*]", "spark_home": DIR, "python": ..., "conf": {...}}}
 *
 * Without any there is a local one and, for Spark steps, a local Spark.
 */
#ifndef SLU_JOB_COMPUTE_H
#define SLU_JOB_COMPUTE_H

#include "dataset/context.h"
#include "job/spec.h"

struct slu_task;

struct slu_compute {
	char *name;
	bool spark;
	char *python;        /* absolute path or a name on PATH; NULL: not said */
	char *master;        /* Spark: "local[*]" when not said */
	char *spark_home;    /* NULL: not said */
	struct json_t *conf; /* Spark properties of every step there; NULL: none */
	unsigned slots;      /* steps at a time */
	bool fallback;       /* the name asked for is not known: this is the default instead */
};

/* name NULL: the default of the workspace for that kind.  An entry of the wrong type or with unknown
 * keys: -EINVAL naming it. */
int slu_compute_find(struct sluice *s, const char *name, enum slu_job_kind kind,
		     struct slu_compute *ret, struct slu_err *e);
void slu_compute_done(struct slu_compute *c);

/* Sets argv and the compute's variables.  Values of inputs and outputs are known by now. */
int slu_compute_prepare(struct slu_task *t, struct slu_err *e);
int slu_compute_local(struct slu_task *t, struct slu_err *e);
int slu_compute_spark(struct slu_task *t, struct slu_err *e);

/* The absolute path of a program on the PATH of the step's environment; NULL: none.  Caller frees. */
char *slu_compute_program(const struct slu_task *t, const char *name);

#endif
