/* SPDX-License-Identifier: Apache-2.0 */
/* Writing all of it: short writes and signals are no end. */
#ifndef SLU_COMMON_WRITE_H
#define SLU_COMMON_WRITE_H

#include <stddef.h>
#include <stdint.h>

/* 0 or -errno (-EIO: the descriptor takes no more and says no reason).  At most 1 GiB goes into one system call. */
int slu_write_all(int fd, const void *p, size_t n);
int slu_pwrite_all(int fd, const void *p, size_t n, uint64_t off);

#endif
