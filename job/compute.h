/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compute targets: entries of "computes" in config.json, by type:
 *
 *   local           processes of this machine: python, slots; amlcompute, computeinstance, virtualmachine and
 *                   kubernetes are taken for one, as wide as their max_nodes or max_instances
 *   spark           spark-submit: master, spark_home, python, conf
 *   livy            a Livy server: url, auth, ... (livy.h)
 *   synapsespark    a Spark pool: linked_service, pool; the same client, at the path that Synapse has
 *
 * Without any there is a local one and, for Spark steps, a local Spark.  What a cluster has at most (cores, memory,
 * node_cores, node_memory, or node_size and node_count) may be said; what cannot fit is refused before it waits.
 */
#ifndef SLU_JOB_COMPUTE_H
#define SLU_JOB_COMPUTE_H

#include "dataset/context.h"
#include "job/spec.h"

struct slu_task;

enum slu_compute_kind { SLU_COMPUTE_LOCAL, SLU_COMPUTE_SPARK, SLU_COMPUTE_LIVY };

/* 0: not said. */
struct slu_compute_room {
	uint64_t cores, node_cores;
	uint64_t memory, node_memory; /* bytes */
};

struct slu_compute {
	char *name;
	enum slu_compute_kind kind;
	char *python;        /* absolute path or a name on PATH; NULL: not said */
	char *master;        /* Spark: "local[*]" when not said */
	char *spark_home;    /* NULL: not said */
	struct json_t *conf; /* Spark properties of every step there; NULL: none */
	struct json_t *livy; /* LIVY: what slu_livy_open() takes */
	struct slu_compute_room room;
	unsigned slots; /* steps at a time */
	bool fallback;  /* the name asked for is not known: this is the default instead */
};

/* name NULL: the default of the workspace for that kind.  An entry of the wrong type or with unknown
 * keys: -EINVAL naming it. */
int slu_compute_find(struct sluice *s, const char *name, enum slu_job_kind kind,
		     struct slu_compute *ret, struct slu_err *e);
void slu_compute_done(struct slu_compute *c);
/* Type and keys of an entry, before it is written to config.json. */
int slu_compute_check(const struct slu_workspace *w, const char *name, const struct json_t *entry,
		      struct slu_err *e);
/* What an entry of this type is here; false: no such type. */
bool slu_compute_type(const char *type, enum slu_compute_kind *ret);
/* {"linked_service": ...} as what livy.h takes: a copy with "url". -ENOENT: no such linked service. */
int slu_compute_livy(const struct slu_workspace *w, const char *name, const struct json_t *entry,
		     struct json_t **ret, struct slu_err *e);

/* Does it run its steps on other machines, or as if? */
bool slu_compute_is_remote(const struct slu_compute *c);

/* Sets argv and the compute's variables.  Values of inputs and outputs are known by now. */
int slu_compute_prepare(struct slu_task *t, struct slu_err *e);
int slu_compute_local(struct slu_task *t, struct slu_err *e);
int slu_compute_spark(struct slu_task *t, struct slu_err *e);
int slu_compute_batch(struct slu_task *t, struct slu_err *e); /* LIVY */

/* compute_size.c: what a Spark step asks for, in words ("6 executors x 4 cores x 28 GB = 24 cores, 168 GB; ..."),
 * caller frees; NULL: it says no sizes, or it is none.  -EINVAL: no sizes, -ENOSPC: they can never fit. */
int slu_compute_sizes(const struct slu_compute *c, const struct slu_spec_step *st, char **ret,
		      struct slu_err *e);
/* "28g" as Spark reads it, bytes.  unit: of a number alone. */
bool slu_compute_memory(const char *text, uint64_t unit, uint64_t *ret);

/* The absolute path of a program on the PATH of the step's environment; NULL: none.  Caller frees. */
char *slu_compute_program(const struct slu_task *t, const char *name);

#endif
