/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: OPEN -> write* -> COMMITTED | ABORTED.  Nothing is visible before commit, what was
 * there stays until then; freeing without commit aborts; a failed write is sticky: such a file can
 * never be committed.  Blocks of store->block bytes, a bounded number in flight.  One thread a writer.
 */
#ifndef SLU_FS_WRITER_H
#define SLU_FS_WRITER_H

#include "fs/store.h"

struct slu_writer;

/* flags: SLU_OPF_ABSENT, SLU_OPF_DURABLE.  if_match: NULL or the identity to replace (copied). */
int slu_writer_new(struct slu_store *s, const char *path, unsigned flags, const char *if_match,
		   struct slu_writer **ret, struct slu_err *e);
int slu_writer_write(struct slu_writer *w, const void *p, size_t n, struct slu_err *e);
/* The same without a copy: *ret_n > 0 bytes at *ret may be filled, of which so many were.  Nothing else is done with
 * the writer between the two. */
int slu_writer_room(struct slu_writer *w, void **ret, size_t *ret_n, struct slu_err *e);
void slu_writer_added(struct slu_writer *w, size_t n);
int slu_writer_commit(struct slu_writer *w, struct slu_attr *ret, struct slu_err *e);
void slu_writer_free(struct slu_writer *w);
SLU_DEFINE_CLEANUP(struct slu_writer *, slu_writer_free, slu_writer_freep)

#endif
