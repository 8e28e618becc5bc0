/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `data create` that say which files, and how they are read. */
#ifndef SLU_TOOLS_CMD_DEFINE_H
#define SLU_TOOLS_CMD_DEFINE_H

#include "tools/cli.h"

/* --take, --skip, --take-sample, --split, --filter into "transformations" of the spec, in the order in
 * which they were given.  0, -ENOMEM, or CLI_USAGE after telling what is wrong. */
int define_steps(struct cli *c, struct json_t *spec);
/* --read, --option, --delimiter, --header, --encoding into "delimited" or the like. */
int define_reading(struct cli *c, struct json_t *spec);

#endif
