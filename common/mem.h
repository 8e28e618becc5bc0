/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation, the only way to it outside common/: so that the fault counter (fault.h) can make the
 * Nth one fail.  All return NULL on failure; free with free().  Any thread.
 */
#ifndef SLU_COMMON_MEM_H
#define SLU_COMMON_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *slu_malloc(size_t n);
void *slu_calloc(size_t n, size_t size);                /* zeroed, overflow-checked */
void *slu_realloc(void *p, size_t n);                   /* on failure p stays valid */
void *slu_reallocarray(void *p, size_t n, size_t size); /* overflow-checked */
char *slu_strdup(const char *s);                        /* s NULL: NULL */
char *slu_strndup(const char *s, size_t n);
char *slu_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *slu_vasprintf(const char *fmt, va_list ap);
/* n bytes at p will be filled one after the other: where the system has larger pages, many of them
 * then cost one page fault.  Nothing beyond them is touched.  p NULL: nothing. */
void slu_mem_large(void *p, size_t n);
#define slu_new0(T) ((T *)slu_calloc(1, sizeof(T)))

#endif
