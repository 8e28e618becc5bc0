/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault counter behind the torture tests.  SLUICE_FAIL=malloc:N or io:N (or a test calling
 * slu_fault_arm) makes the Nth allocation or the Nth guarded system call fail, once; "malloc:N+"
 * makes the Nth and all later ones fail.  Off, it costs one predictable branch.  Any thread.
 */
#ifndef SLU_COMMON_FAULT_H
#define SLU_COMMON_FAULT_H

#include <errno.h>
#include <stdbool.h>

enum slu_fault_kind { SLU_FAULT_MALLOC, SLU_FAULT_IO, _SLU_FAULT_MAX };

extern bool slu_fault_on; /* read through slu_fault() only */

void slu_fault_arm(enum slu_fault_kind kind, long nth, bool persistent); /* nth from 1; 0 disarms */
long slu_fault_count(enum slu_fault_kind kind); /* calls counted since it was last armed */
bool slu_fault_hit(enum slu_fault_kind kind);   /* counts one call; true: make it fail */

/* True when this call has to fail.  For I/O the caller then sets errno = EIO. */
static inline bool slu_fault(enum slu_fault_kind kind)
{
	return __builtin_expect(__atomic_load_n(&slu_fault_on, __ATOMIC_RELAXED), 0) &&
	       slu_fault_hit(kind);
}

/* A guarded system call that gives -1 and errno: SLU_IO(read(fd, p, n)). */
#define SLU_IO(call) (slu_fault(SLU_FAULT_IO) ? (errno = EIO, -1) : (call))

#endif
