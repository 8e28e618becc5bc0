/* SPDX-License-Identifier: Apache-2.0 */
/* What `sluice doctor` finds out about a remote store. */
#ifndef SLU_DATASET_DOCTOR_STORE_H
#define SLU_DATASET_DOCTOR_STORE_H

#include "common/buf.h"
#include "fs/store.h"

/* Asks the store, changing nothing in it.  facts: an object, gets what it says of itself and "may_list",
 * "may_read", "may_write", "may_delete" (absent: not found out); said: gets the same for people.  True: it can be
 * listed and read. */
bool slu_doctor_store(struct slu_store *s, struct json_t *facts, struct slu_buf *said);

#endif
