/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegation tokens of Hadoop: as text (Token.encodeToUrlString) and in token files (Credentials.java: what
 * HADOOP_TOKEN_FILE_LOCATION names), in both of their formats.  Any thread; no I/O.
 */
#ifndef SLU_HDFS_TOKEN_H
#define SLU_HDFS_TOKEN_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_TOKEN_FILE_MAX (1u << 20)

struct slu_hdfs_token {
	uint8_t *id, *password; /* owned */
	size_t id_len, password_len;
	char *kind, *service; /* owned */
};

void slu_hdfs_token_done(struct slu_hdfs_token *t); /* wipes it; a zeroed one is fine */
/* -EINVAL: it is none.  Messages never show the text. */
int slu_hdfs_token_parse(const char *text, struct slu_hdfs_token *ret, struct slu_err *e);
/* As text; the caller wipes and frees it.  NULL: no memory. */
char *slu_hdfs_token_text(const struct slu_hdfs_token *t);

/* Does a file begin as those do? */
bool slu_hdfs_token_is_file(const void *p, size_t n);
/* The token for a file system, of those in a file.  services, NULL-ended: what its servers are called ("host:port",
 * "ip:port", "ha-hdfs:NAME").  Else, unless `strict`, the only one for HDFS that there is.  -ENOENT with what there is;
 * -EINVAL: the file is damaged. */
int slu_hdfs_token_pick(const void *p, size_t n, const char *const *services, bool strict,
			struct slu_hdfs_token *ret, struct slu_err *e);

#endif
