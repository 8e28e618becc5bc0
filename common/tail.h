/* SPDX-License-Identifier: Apache-2.0 */
/* The last line of what a program has printed. */
#ifndef SLU_COMMON_TAIL_H
#define SLU_COMMON_TAIL_H

#include <stddef.h>

/* The last line that is not blank of the last size - 1 bytes behind fd, without its end: a place in text, which has size
 * bytes; "" when there is none or fd cannot be read. */
char *slu_tail(int fd, char *text, size_t size);
/* The same of text[0, n), which has room for a NUL behind it. */
char *slu_last_line(char *text, size_t n);

#endif
