/* SPDX-License-Identifier: Apache-2.0 */
/* Deletion of many files, several at once. */
#ifndef SLU_FS_REMOVE_H
#define SLU_FS_REMOVE_H

#include "fs/store.h"

struct slu_remove_opts {
	/* A file could not be deleted; the others go on.  One thread at a time; may be NULL. */
	void (*failed)(void *user, const char *path, const struct slu_err *why);
	void *user;
};

/* Blocks until each path (a file) is deleted or failed.  One that is gone already is fine.  The first
 * failure is the result. */
int slu_remove(struct slu_store *s, const char *const *path, size_t n,
	       const struct slu_remove_opts *o, struct slu_err *e);
/* A folder and all below.  Where a store deletes folders by itself it is asked to; else the files go as
 * by slu_remove while they are listed, and then what else there is (markers of folders).  Who calls again
 * after a failure goes on with what is left. */
int slu_remove_tree(struct slu_store *s, const char *path, const struct slu_remove_opts *o,
		    struct slu_err *e);

#endif
