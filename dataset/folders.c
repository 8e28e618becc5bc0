/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the folders that a workspace needs for itself: its own, its embedded datastores, its root.
 * What is written below a folder that is open goes through common/path.h instead.
 */
#include "dataset/folders.h"

#include "common/cleanup.h"
#include "common/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int slu_folders_make(const char *abs, mode_t mode, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_strdup(abs);
	struct stat st;

	if (!path)
		return slu_fail_oom(e);
	for (char *s = path + 1;; s++) {
		s += strcspn(s, "/");
		char c = *s;

		*s = '\0';
		/* mkdir first would fail on a read-only file system for folders that exist. */
		if (stat(path, &st) == 0) {
			if (!S_ISDIR(st.st_mode))
				return slu_fail(e, ENOTDIR, "'%s' is no folder", path);
		} else if (mkdir(path, mode) < 0 && errno != EEXIST) {
			return slu_fail_sys(e, errno, "cannot make the folder '%s'", path);
		}
		if (!c)
			return 0;
		*s = c;
	}
}
