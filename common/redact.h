/* SPDX-License-Identifier: Apache-2.0 */
/* What err.c and log.c share: finding secrets in text, and making one safe line of any text,
 * without allocating.  Any thread. */
#ifndef SLU_COMMON_REDACT_H
#define SLU_COMMON_REDACT_H

#include <stdbool.h>
#include <stddef.h>

/* The next secret at or after `from` in text[0, n): true and its bytes [*ret_start, *ret_end). */
bool slu_secret_next(const char *text, size_t n, size_t from, size_t *ret_start, size_t *ret_end);

/* text[0, n) with secrets as "***" and control bytes as \xNN, into out (size >= 8 bytes with the
 * NUL).  What does not fit, or `cut`, ends it in "..." at a character's boundary.  Gives the
 * length. */
size_t slu_safe_line(char *out, size_t size, const char *text, size_t n, bool cut);

#endif
