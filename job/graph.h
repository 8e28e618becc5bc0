/* SPDX-License-Identifier: Apache-2.0 */
/* The execution graph of a pipeline: edges are data references, and what depends_on adds. */
#ifndef SLU_JOB_GRAPH_H
#define SLU_JOB_GRAPH_H

#include "job/spec.h"

struct slu_graph {
	size_t n;
	size_t *order;  /* step numbers, each after all that it needs; ties by place in the file */
	size_t **needs; /* needs[i]: step numbers without repeats */
	size_t *nneeds;
};

/* -EINVAL: an edge from a step that is not there (with its position), or a cycle, naming its steps. */
int slu_graph_new(const struct slu_spec_step *steps, size_t n, struct slu_graph **ret,
		  struct slu_err *e);
void slu_graph_free(struct slu_graph *g);
SLU_DEFINE_CLEANUP(struct slu_graph *, slu_graph_free, slu_graph_freep)

#endif
