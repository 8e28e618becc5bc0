/* SPDX-License-Identifier: Apache-2.0 */
/* Time.  Intervals and deadlines: monotonic nanoseconds.  What people read: wall clock, RFC 3339
 * UTC.  A deadline of 0 means none. */
#ifndef SLU_COMMON_TIME_H
#define SLU_COMMON_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define SLU_MS 1000000LL
#define SLU_SEC 1000000000LL

int64_t slu_now(void);               /* monotonic ns */
int64_t slu_boot(void);              /* the same, with what the machine slept */
int64_t slu_wall(void);              /* ns since 1970, wall clock */
int64_t slu_deadline_in(int64_t ns); /* now + ns, saturating */
bool slu_expired(int64_t deadline);  /* false for 0 */
#define SLU_TIME_LEN 31
void slu_time_fmt(char out[SLU_TIME_LEN], int64_t wall_ns); /* 2026-01-31T08:00:00.123456Z */
bool slu_time_parse(const char *s, int64_t *ret_wall_ns);   /* RFC 3339 */

#endif
