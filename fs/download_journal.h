/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a download: what of which file is on disk, so that a download that was killed goes on.
 * Records of one length, each with a CRC32C of its own; reading ends at the first that is torn or
 * flipped.  A record claims no more than "these bytes were written, and this was their CRC32C": who goes
 * on reads them again before they count, so nothing has to be synced for it.
 *
 * A file is named by a key, the hash of where it is in which store and of its identity there: what
 * changed in the store has another key, and begins anew.
 */
#ifndef SLU_FS_DOWNLOAD_JOURNAL_H
#define SLU_FS_DOWNLOAD_JOURNAL_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_DJ_KEY 16
#define SLU_DJ_RECORD 40 /* bytes of a record, and of the head before the first */
#define SLU_DJ_NAME "journal"

enum slu_dj_kind {
	SLU_DJ_CHUNK =
		1,   /* chunk n of `unit` bytes (the last may be shorter) is in the part file */
	SLU_DJ_WHOLE /* all n bytes are, or under the file's name already */
};

struct slu_dj_entry {
	uint64_t n;
	uint32_t unit;
	uint32_t crc; /* CRC32C of the chunk or file */
	uint8_t key[SLU_DJ_KEY];
	uint8_t kind;
	bool live; /* the reader's own mark; not in the file */
};

struct slu_dj;

/* What a journal holds, sorted by key, kind and n; the caller frees.  None there: no entries. */
int slu_dj_read(int dirfd, struct slu_dj_entry **ret, size_t *ret_n, struct slu_err *e);
/* The entries of a key in such an array: the first, and how many. */
size_t slu_dj_find(const struct slu_dj_entry *p, size_t n, const uint8_t key[SLU_DJ_KEY],
		   size_t *ret_n);

/* An empty journal, which counts (takes the place of one that is there) from slu_dj_start on. */
int slu_dj_new(int dirfd, struct slu_dj **ret, struct slu_err *e);
int slu_dj_start(struct slu_dj *j, struct slu_err *e);
/* Any thread.  It is kept back until some of them, or of the bytes they stand for, are together. */
int slu_dj_add(struct slu_dj *j, const struct slu_dj_entry *d, uint64_t bytes, struct slu_err *e);
int slu_dj_flush(struct slu_dj *j, struct slu_err *e); /* any thread */
uint64_t slu_dj_count(struct slu_dj *j);               /* entries added */
void slu_dj_free(struct slu_dj *j);                    /* without a flush; NULL fine */

#endif
