/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Azure Blob driver: a container as a store.  Identity is the ETag.
 *
 * Folders are not there by themselves: a path is a folder when blobs lie below it, when a marker
 * "path/" does, or when the blob `path` says hdi_isfolder (what Hadoop and accounts with a
 * hierarchical namespace do); MKDIR makes the last kind.  DELETE of a tree is not atomic.
 *
 * A file of at most one block is one Put Blob with its MD5, a longer one is blocks (8 MiB, each with
 * its CRC64, named by transaction and index) and one Put Block List; blocks that nobody commits
 * vanish after a week by themselves, so ABORT does nothing.  When the answer to a commit is lost the
 * driver looks whether the blocks that are there are its own.
 *
 * COPY is carried out by the service within one account, streamed by the caller else.  Content type,
 * tier, metadata, tags and the MD5 of the whole are kept with a blob (struct slu_props).
 */
#ifndef SLU_BLOB_BLOB_H
#define SLU_BLOB_BLOB_H

#include "fs/store.h"

struct json_t;
struct slu_loops;
struct slu_pool;

/*
 * entry: of the config, checked (dataset/datastore.h: azure_blob, azure_data_lake_gen2); dir: what
 * relative file: references are relative to.  Reads the credential, contacts nobody.  loops and pool
 * stay the caller's.  Messages do not name the datastore: the caller does.
 */
int slu_blob_new(const struct json_t *entry, const char *dir, struct slu_loops *loops,
		 struct slu_pool *pool, struct slu_store **ret, struct slu_err *e);

#endif
