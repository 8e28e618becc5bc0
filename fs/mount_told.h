/* SPDX-License-Identifier: Apache-2.0 */
/* The line by which a mount tells that a file changed below it, and finding that again in its log. */
#ifndef SLU_FS_MOUNT_TOLD_H
#define SLU_FS_MOUNT_TOLD_H

/* Logs that file `path` of a pinned mount is no longer the one with identity `id`; why: the store's
 * words.  Any thread. */
void slu_mtold_changed(const char *path, const char *id, const char *why);
/* `why` of the first such line in the log open as fd (read from its beginning, offset left as it
 * is).  NULL: there is none, or it cannot be read.  Caller frees. */
char *slu_mtold_find(int fd);

#endif
