/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum that Hadoop's file systems tell of a file: the MD5 of the MD5s of the CRC32Cs of its chunks, block by
 * block.  As text "hadoop:<bytes of a chunk>:<bytes of a block, 0: there is one>:<md5>".
 */
#ifndef SLU_FS_HADOOPSUM_H
#define SLU_FS_HADOOPSUM_H

#include "common/cleanup.h"
#include "fs/op.h"

#include <stddef.h>
#include <stdint.h>

#define SLU_HADOOP_SUM "hadoop:"

struct slu_hadoopsum;

/* False: it is no such text. */
bool slu_hadoopsum_parse(const char *text, uint64_t *ret_chunk, uint64_t *ret_block);
/* Computes what compares with `like`.  -EINVAL: it is no such text. */
int slu_hadoopsum_new(const char *like, struct slu_hadoopsum **ret);
int slu_hadoopsum_add(struct slu_hadoopsum *h, const void *p, size_t n); /* 0 or -errno */
int slu_hadoopsum_end(struct slu_hadoopsum *h, char ret[SLU_ID_MAX]);
void slu_hadoopsum_free(struct slu_hadoopsum *h);
SLU_DEFINE_CLEANUP(struct slu_hadoopsum *, slu_hadoopsum_free, slu_hadoopsum_freep)

#endif
