/* SPDX-License-Identifier: Apache-2.0 */
/* A typed vector without accessors: `SLU_VEC(int) v = {0}; if (!slu_vec_push(&v, 3)) oom;
 * use v.p[i], i < v.n; free(v.p)`.  Elements are moved by realloc. */
#ifndef SLU_COMMON_VEC_H
#define SLU_COMMON_VEC_H

#include "common/mem.h"

#include <stdbool.h>
#include <stddef.h>

#define SLU_VEC(T)                                                                                 \
	struct {                                                                                   \
		T *p;                                                                              \
		size_t n, cap;                                                                     \
	}

bool slu_vec_room(void **p, size_t *cap, size_t n, size_t size); /* room for element n */

#define slu_vec_push(v, x)                                                                         \
	(slu_vec_room((void **)&(v)->p, &(v)->cap, (v)->n, sizeof *(v)->p) &&                      \
	 ((v)->p[(v)->n++] = (x), true))

#endif
