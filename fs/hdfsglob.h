/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pattern that a dataset was made with, as a Hadoop pattern (hdfsglob.c), and how names are written in one.
 */
#ifndef SLU_FS_HDFSGLOB_H
#define SLU_FS_HDFSGLOB_H

#include "fs/glob.h"
#include "fs/manifest.h"

struct slu_buf;

/* s[0, n) with its special characters escaped: Hadoop takes one level of escapes away when it matches, and one
 * more when it expands a group that has a '/' in it. */
void slu_hdfs_escape(struct slu_buf *b, const char *s, size_t n, unsigned levels);

struct slu_hglob {
	const char *pattern; /* borrowed */
	struct slu_glob alts;
	uint64_t depths; /* bit n: files are n folders deep */
};

/* pattern: relative to the folder that the manifest's paths are relative to; both outlive *ret.  1: Hadoop can
 * say it and it matches each of these files once and none of their folders; 0: not so; -ENOMEM. */
int slu_hglob_new(struct slu_hglob *ret, const char *pattern, const struct slu_manifest *m);
void slu_hglob_done(struct slu_hglob *g); /* a zeroed one is fine */
/* Would a reader come to this file by the pattern, or by a folder of it? */
bool slu_hglob_reaches(const struct slu_hglob *g, const char *path);
/* What follows the folder in the URI. */
void slu_hglob_write(const struct slu_hglob *g, struct slu_buf *b);

#endif
