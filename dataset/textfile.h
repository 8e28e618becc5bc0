/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of a text file of a dataset, read piece by piece, pinned, and turned into UTF-8.  One
 * thread at a time.
 */
#ifndef SLU_DATASET_TEXTFILE_H
#define SLU_DATASET_TEXTFILE_H

#include "common/buf.h"
#include "fs/tree.h"

#include <iconv.h>

/* A record that is longer is no record of a text that people keep in lines. */
#define SLU_TEXT_RECORD_MAX (16u << 20)

struct slu_textfile {
	const char *name;    /* its path in the view */
	struct slu_buf text; /* decoded and not yet consumed: from `at` on */
	size_t at;
	uint64_t line;    /* of text.p[at], from 1 */
	bool end;         /* all of the file is in text */
	uint64_t fetched; /* bytes of it that were read */

	struct slu_store *store;
	char *path;
	const struct slu_file *file;
	const char *encoding; /* as a definition names it */
	iconv_t cd;           /* (iconv_t)-1: not open */
	char *raw;            /* read and not yet decoded */
	size_t nraw;
	bool begun; /* a byte order mark is behind us */
};

/* File i of the tree, which has to live as long.  encoding: "utf8", "latin1", ...; -ENOTSUP where this
 * machine cannot decode it. */
int slu_textfile_open(struct slu_textfile *t, const struct slu_tree *tree, size_t i,
		      const char *encoding, struct slu_err *e);
/* One piece more.  Bytes that are no text in that encoding: -EILSEQ with line and remedy; a record
 * beyond SLU_TEXT_RECORD_MAX: -EBADMSG. */
int slu_textfile_more(struct slu_textfile *t, struct slu_err *e);
void slu_textfile_consume(struct slu_textfile *t, size_t n); /* counts lines */
void slu_textfile_close(struct slu_textfile *t);             /* a zeroed one is fine */

#endif
