/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation with a fault counter in front.  A request for nothing gets one byte, so that NULL
 * always means failure.  There is no accounting here: budgets belong to who needs one.
 */
#include "common/mem.h"
#include "common/fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool refused(void)
{
	if (!slu_fault(SLU_FAULT_MALLOC))
		return false;
	errno = ENOMEM;
	return true;
}

void *slu_malloc(size_t n)
{
	return refused() ? NULL : malloc(n ? n : 1);
}

void *slu_calloc(size_t n, size_t size)
{
	if (refused())
		return NULL;
	return n && size ? calloc(n, size) : calloc(1, 1);
}

void *slu_realloc(void *p, size_t n)
{
	return refused() ? NULL : realloc(p, n ? n : 1);
}

void *slu_reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return slu_realloc(p, bytes);
}

char *slu_strdup(const char *s)
{
	return s ? slu_strndup(s, strlen(s)) : NULL;
}

char *slu_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = slu_malloc(len + 1);

	if (!p)
		return NULL;
	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *slu_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = slu_vasprintf(fmt, ap);
	va_end(ap);
	return s;
}

char *slu_vasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (refused() || vasprintf(&s, fmt, ap) < 0)
		return NULL;
	return s;
}

void slu_mem_large(void *p, size_t n)
{
	uintptr_t page = (uintptr_t)2 << 20, at = (uintptr_t)p;
	size_t skip = (size_t)(-at & (page - 1));

	if (!p || n < skip + page)
		return;
	n -= skip;
	(void)madvise((char *)p + skip, n - n % page, MADV_HUGEPAGE);
}
