/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of "datastores" in config.json: what it must hold, and its name (case does not matter).
 * Credentials stand there by reference only: env:NAME, file:PATH, cmd:COMMAND, managed_identity,
 * workload_identity, az_cli, or a service principal object. */
#ifndef SLU_DATASET_DATASTORE_H
#define SLU_DATASET_DATASTORE_H

#include "common/err.h"

struct json_t;

/* -EINVAL with what is wrong: unknown type, missing or unknown key, an inline secret, a bad name. */
int slu_datastore_check(const char *name, const struct json_t *entry, struct slu_err *e);
/* The key of `all` (the "datastores" object, may be NULL) that equals name, case ignored; NULL: none. */
const char *slu_datastore_find(const struct json_t *all, const char *name);

#endif
