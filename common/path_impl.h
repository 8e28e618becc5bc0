/* SPDX-License-Identifier: Apache-2.0 */
/* What path_open.c shows to its neighbours and its tests. */
#ifndef SLU_COMMON_PATH_IMPL_H
#define SLU_COMMON_PATH_IMPL_H

#include <stdbool.h>

/* Walk part by part even where the kernel has openat2 (also: SLUICE_NO_OPENAT2 in the
 * environment).  For tests; not while other threads open paths. */
void slu_path_no_openat2(bool on);

#endif
