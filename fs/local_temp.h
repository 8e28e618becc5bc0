/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hidden files that blocks are written to: `.sluice-<txn>` beside the target, each held open and
 * locked (flock) by its writer until commit or abort.  So whoever can lock one knows that its writer is
 * dead: the first writer of a process to come to a folder removes such leftovers there.  Any thread.
 */
#ifndef SLU_FS_LOCAL_TEMP_H
#define SLU_FS_LOCAL_TEMP_H

struct slu_local_temps;

int slu_local_temps_new(struct slu_local_temps **ret); /* 0 or -ENOMEM */
/* Closes what is still open; those files are then anybody's leftovers. */
void slu_local_temps_free(struct slu_local_temps *ts);
/* The descriptor of the file `name` in the folder `dir`, whose store path is `where`; made and locked by
 * the first call, the table's until dropped.  Returns it, or -errno. */
int slu_local_temps_get(struct slu_local_temps *ts, int dir, const char *where, const char *name);
/* The same, only if it is there: -ENOENT else. */
int slu_local_temps_find(struct slu_local_temps *ts, const char *where, const char *name);
/* Committed or aborted: closes it, and forgets it. */
void slu_local_temps_drop(struct slu_local_temps *ts, const char *where, const char *name);

#endif
