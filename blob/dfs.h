/* SPDX-License-Identifier: Apache-2.0 */
/* The ops of a hierarchical namespace, by the dfs endpoint.  Private to blob/. */
#ifndef SLU_BLOB_DFS_H
#define SLU_BLOB_DFS_H

#include "blob/call.h"

#include <stdbool.h>
#include <stddef.h>

/* Each finishes the call in the end. */
void slu_dfs_list(struct slu_call *c);
void slu_dfs_mkdir(struct slu_call *c);
void slu_dfs_rename(struct slu_call *c); /* of files and folders, atomic; parents are made */
void slu_dfs_delete(struct slu_call *c);
void slu_dfs_access(struct slu_call *c); /* adds owner, group, permissions, acl to op->detail */
/* Has the account such a namespace?  op->attr.kind is DIR when it has; never fails. */
void slu_dfs_probe(struct slu_call *c);

/* Adds a page's entries, names relative to folder; recursive: without folders.  -EPROTO: a name that is
 * not below it, or too far, a file without size, time or ETag, no JSON.  Any thread. */
int slu_dfs_list_parse(const char *text, size_t n, const char *folder, bool recursive,
		       struct slu_list *ret, struct slu_err *e);

#endif
