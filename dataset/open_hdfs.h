/* SPDX-License-Identifier: Apache-2.0 */
/* An "hdfs" entry of config.json opened. */
#ifndef SLU_DATASET_OPEN_HDFS_H
#define SLU_DATASET_OPEN_HDFS_H

#include "fs/store.h"

/* The driver for an entry that was checked.  dir: the workspace's folder, which a relative ca_file
 * starts from.  Reads the secret that the entry refers to; makes no request. */
int slu_open_hdfs(const struct json_t *entry, const char *dir, struct slu_loops *loops,
		  struct slu_pool *pool, struct slu_store **ret, struct slu_err *e);

#endif
