/* SPDX-License-Identifier: Apache-2.0 */
/* The program of a step, with its attempts, time limit and figures. */
#ifndef SLU_JOB_PROGRAM_H
#define SLU_JOB_PROGRAM_H

#include "job/step.h"

/* Runs the task's argv until it ended well, was canceled, or was tried as often as the step says.  Notes "process",
 * "usage" and, when it was tried more than once, "attempts" in the record.  *ret_code: of the last try, 128 + signal, or
 * -1 when it is not known.  The thread must live until it returns. */
int slu_program_run(struct slu_step *st, int *ret_code, struct slu_err *e);

#endif
