/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth of the typed vector: by half, from 8 elements.  The pointer is read and written with
 * memcpy because the caller's is a T *, not a void *, and the compiler may rely on that.
 */
#include "common/vec.h"

#include <string.h>

bool slu_vec_room(void **p, size_t *cap, size_t n, size_t size)
{
	size_t want;
	void *q;

	if (n < *cap)
		return true;
	want = *cap < 8 ? 8 : *cap + *cap / 2;
	memcpy(&q, p, sizeof(q));
	q = slu_reallocarray(q, want, size);
	if (!q)
		return false;
	memcpy(p, &q, sizeof(q));
	*cap = want;
	return true;
}
