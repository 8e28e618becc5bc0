/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run as one HTML file: graph, time, steps with their data and logs, lineage, computes.  Nothing in it
 * is loaded from anywhere and nothing in it runs: no script, a policy that forbids both.
 */
#ifndef SLU_JOB_REPORT_H
#define SLU_JOB_REPORT_H

#include "dataset/context.h"

#define SLU_REPORT_MAX (64u << 20) /* bytes of a report */

/* Caller frees *ret. */
int slu_report(struct sluice *s, const char *run_id, char **ret, struct slu_err *e);

#endif
