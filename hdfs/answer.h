/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON answers of WebHDFS, read.  Any thread; *ret is set only on success; failures are -EPROTO
 * (the server sent what it should not have) or -ENOMEM. */
#ifndef SLU_HDFS_ANSWER_H
#define SLU_HDFS_ANSWER_H

#include "fs/op.h"

#define SLU_HDFS_TEMP ".sluice-" /* names that begin so are our unfinished work */

struct slu_hdfs_id {
	uint64_t inode; /* 0: the server told none */
	int64_t mtime;  /* ms */
	uint64_t size;
};

/* Files are written block by block, and their length is that of the whole blocks until they are closed. */
static inline bool slu_hdfs_unsure(uint64_t size, uint64_t block)
{
	return block && size % block == 0;
}

/* {"LocatedBlocks": {...}}: is it being written? */
bool slu_hdfs_is_being_written(const char *p, size_t n);

/* The identity as text, and back (false: not one of ours). */
void slu_hdfs_id_text(const struct slu_hdfs_id *id, char out[SLU_ID_MAX]);
bool slu_hdfs_id_parse(const char *s, struct slu_hdfs_id *ret);

/* Does it lie in a snapshot, so that it never changes?  Its inode may be that of a file that does. */
bool slu_hdfs_frozen(const char *root, const char *path);

/* Owner, group, permissions, replication and so on of a FileStatus: the caller's.  *ret_acl: it has more
 * of an access control list than its permissions say. */
int slu_hdfs_detail(const char *p, size_t n, struct json_t **ret, bool *ret_acl, struct slu_err *e);
/* Sets "permissions" to "rwxr-x--T" of the bits of a mode. */
int slu_hdfs_set_mode(struct json_t *o, unsigned mode);
/* {"AclStatus": ...}: sets "acl" in detail. */
int slu_hdfs_acl(const char *p, size_t n, struct json_t *detail, struct slu_err *e);
/* {"FileStatus": {...}}; a symbolic link is -EINVAL. */
int slu_hdfs_status(const char *p, size_t n, struct slu_attr *ret, struct slu_hdfs_id *ret_id,
		    struct slu_err *e);
/* {"FileStatus": {...}} of a file whose checksum is not that of the bytes which are read: "erasure-coded" or
 * "encrypted"; else NULL. */
const char *slu_hdfs_coded(const char *p, size_t n);
/* {"DirectoryListing": ...}: adds the entries to l, without our unfinished work unless `temps`, and
 * sets l->next.  -ENOTDIR: it is the listing of a file. */
int slu_hdfs_listing(const char *p, size_t n, bool temps, struct slu_list *l, struct slu_err *e);
/* {"boolean": ...} */
int slu_hdfs_boolean(const char *p, size_t n, bool *ret, struct slu_err *e);
/* {"Location": "..."}; caller frees *ret. */
int slu_hdfs_location(const char *p, size_t n, char **ret, struct slu_err *e);

/* The address of a DataNode, with offset and length as given instead of those in it, where it has any; caller frees.
 * NULL: no memory. */
char *slu_hdfs_ranged(const char *location, uint64_t off, size_t len);
/* Does it say itself what is asked for?  A gateway may have encrypted that: then there is no other range to be had by it. */
bool slu_hdfs_is_open(const char *location);
/* May a redirect of a server that is asked by http (tls: https) lead to url?  *ret_host: its
 * "host:port", to be freed. */
int slu_hdfs_check_location(const char *url, bool tls, char **ret_host, struct slu_err *e);

#endif
