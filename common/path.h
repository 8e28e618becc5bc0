/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths that cannot escape.  A *relative store path* is UTF-8 or any bytes without NUL, parts
 * joined by single '/', no leading or trailing '/', no "." or ".." part; "" is the root.
 * Everything below a folder is opened through openat2(RESOLVE_BENEATH); on kernels without it a
 * walk with O_NOFOLLOW does the same.  Any thread.
 */
#ifndef SLU_COMMON_PATH_H
#define SLU_COMMON_PATH_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Is s a relative store path as above?  (parts <= 255 bytes is the local file system's own rule.) */
bool slu_path_ok(const char *s);
/* Brings user input ("/a//b/./c/", "a/../b") into that form; leaving the root: -EINVAL. */
int slu_path_clean(const char *s, char **ret, struct slu_err *e);
char *slu_path_join(const char *a, const char *b); /* "" parts vanish; NULL: no memory */
/* Cuts base to the folder that it has in common with other. */
void slu_path_common(char *base, const char *other);
const char *slu_path_base(const char *s); /* last part, in s */
char *slu_path_dir(const char *s);        /* all but the last part, "" at the top; caller frees */

enum slu_links {
	SLU_LINKS_NONE,   /* any symlink on the way or at the end: -ELOOP (targets we write) */
	SLU_LINKS_BENEATH /* symlinks resolve while they stay beneath root, else -EXDEV (stores) */
};

/* open(2) beneath dirfd; flags get O_CLOEXEC.  Returns the descriptor or -errno.  rel "" is dirfd's
 * folder itself; one that is no store path gives -EINVAL.  With SLU_LINKS_BENEATH absolute symlinks
 * that point back beneath dirfd resolve too; O_NOFOLLOW and O_EXCL leave a last symlink alone. */
int slu_path_open(int dirfd, const char *rel, int flags, mode_t mode, enum slu_links links);
/* mkdir -p beneath dirfd without following links; 0 or -errno.  "" is fine. */
int slu_path_mkdirs(int dirfd, const char *rel, mode_t mode);
/* Opens the folder that holds rel's last part (made when `make`, mode 0777 less the umask):
 * descriptor or -errno; *ret_name points into rel. */
int slu_path_parent(int dirfd, const char *rel, bool make, enum slu_links links,
		    const char **ret_name);
/* rm -r of rel beneath dirfd, never across a symlink nor into what is mounted there (-EBUSY); 0 when absent. */
int slu_path_rmtree(int dirfd, const char *rel);
/* The same of what programs of this user wrote: folders of his that are read-only do not stay in the way. */
int slu_path_rmtree_mine(int dirfd, const char *rel);
/* Is something mounted there?  name "": at dirfd itself.  What cannot be asked for is none. */
bool slu_path_is_mount(int dirfd, const char *name);
/* Writes text to dir/name (one part) atomically (temp, fsync, rename, fsync dir), mode 0600.  On an
 * error of the last step the new content is there, but may not survive a power failure. */
#define SLU_TMP_PREFIX ".sluice-tmp-" /* of the temp names; a crash can leave one behind */
int slu_path_write_atomic(int dirfd, const char *name, const void *p, size_t n);
/* The absolute form of a user's path: cwd prefixed, "." and ".." removed by the kernel where it
 * exists, lexically where it does not yet. */
int slu_path_absolute(const char *s, char **ret, struct slu_err *e);
/* The user's home folder: HOME, else, since a service manager may set none, the one of the user database.  NULL: neither,
 * or no memory.  Caller frees. */
char *slu_path_home(void);

#endif
