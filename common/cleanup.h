/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound cleanup.  `SLU_AUTO(slu_bufp_done) struct slu_buf b = ...;` runs slu_bufp_done(&b)
 * when b leaves its scope; slu_take(p) gives p away and leaves NULL behind, so that a function
 * that succeeds returns `slu_take(x)` and one that fails frees x by leaving.
 */
#ifndef SLU_COMMON_CLEANUP_H
#define SLU_COMMON_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLU_AUTO(fn) __attribute__((cleanup(fn)))

#define slu_take(p)                                                                                \
	({                                                                                         \
		__typeof__(p) slu_taken_ = (p);                                                    \
		(p) = NULL;                                                                        \
		slu_taken_;                                                                        \
	})

#define slu_take_fd(fd)                                                                            \
	({                                                                                         \
		int slu_taken_ = (fd);                                                             \
		(fd) = -1;                                                                         \
		slu_taken_;                                                                        \
	})

/* Defines name(T *p), which calls fn(*p): the form the cleanup attribute wants. */
#define SLU_DEFINE_CLEANUP(T, fn, name)                                                            \
	static inline void name(T *p)                                                              \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

static inline void slu_freep(void *p)
{
	free(*(void **)p);
}

static inline void slu_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

SLU_DEFINE_CLEANUP(FILE *, fclose, slu_fclosep)
SLU_DEFINE_CLEANUP(DIR *, closedir, slu_closedirp)

#endif
