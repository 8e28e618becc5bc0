/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a writable mount that is over, read by another process (stage_report.c writes it): did all
 * that was written to it reach the store, and which files, in which state, did this mount write.
 */
#ifndef SLU_FS_STAGE_WRITTEN_H
#define SLU_FS_STAGE_WRITTEN_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>

struct slu_written; /* immutable; any thread */

/* dir: the stage folder of the mount.  0: it ended, and all that was written to it is in the store; else -errno with
 * the list.  ret may be NULL. */
int slu_written_read(const char *dir, struct slu_written **ret, struct slu_err *e);
void slu_written_free(struct slu_written *w);
SLU_DEFINE_CLEANUP(struct slu_written *, slu_written_free, slu_written_freep)

enum slu_whose {
	SLU_WHOSE_OURS,    /* the mount wrote, or renamed, this state of it */
	SLU_WHOSE_CHANGED, /* the mount wrote it, and somebody else this state of it */
	SLU_WHOSE_OTHERS,  /* the mount did not write it */
	SLU_WHOSE_MOVED,   /* nor that, but it renamed a folder that has it now */
	SLU_WHOSE_UNKNOWN, /* no memory */
};

/* path: in the mount; id: of the state that the store has.  MOVED sets *ret_was to the name that it had at first; the
 * caller frees. */
enum slu_whose slu_written_whose(const struct slu_written *w, const char *path, const char *id,
				 char **ret_was);
/* Each file that the mount wrote and that nothing was told of since, once, in the order of names: fn gives 0 to go on. Files
 * below a folder that was renamed are left out.  0, what fn gave, or -ENOMEM. */
int slu_written_each(const struct slu_written *w, int (*fn)(void *user, const char *path),
		     void *user);

#endif
