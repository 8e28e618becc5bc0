/* SPDX-License-Identifier: Apache-2.0 */
/* What `sluice doctor` finds out about a remote store. */
#ifndef SLU_DATASET_DOCTOR_STORE_H
#define SLU_DATASET_DOCTOR_STORE_H

#include "common/buf.h"
#include "fs/store.h"

enum slu_right_is { SLU_RIGHT_UNKNOWN, SLU_RIGHT_YES, SLU_RIGHT_NO };

/* What a store lets us do, found out by trying it. */
struct slu_right {
	const char *fact, *verb; /* "may_list", "list" */
	const char *role;        /* in Azure, that would give it */
	enum slu_right_is is;
	int rc; /* of the trial; -ENOTSUP: there is no way to try */
	struct slu_err e;
};

#define SLU_RIGHTS 4 /* list, read, write, delete */

/* make: where writing cannot be tried without doing it, an empty file is made at the root of the store and removed
 * again.  Blocks. */
void slu_doctor_rights(struct slu_store *s, bool make, struct slu_right ret[SLU_RIGHTS]);
/* Asks the store, changing nothing in it.  *ret_remedy: what to do when it cannot be listed or read.  facts: an object, gets what it says of itself and "may_list",
 * "may_read", "may_write", "may_delete" (absent: not found out); said: gets the same for people.  True: it can be
 * listed and read. */
bool slu_doctor_store(struct slu_store *s, struct json_t *facts, struct slu_buf *said,
		      const char **ret_remedy);

#endif
