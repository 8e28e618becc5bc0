/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a maximum and sticky failure: a chain of appends needs one check at
 * its end (slu_buf_err).  Always NUL-terminated once anything was appended.  One thread at a time.
 */
#ifndef SLU_COMMON_BUF_H
#define SLU_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slu_err;

struct slu_buf {
	char *p;    /* NULL until the first append */
	size_t len; /* bytes used, without the NUL */
	size_t cap;
	size_t max; /* appends beyond it fail with EMSGSIZE */
	int err;    /* 0, ENOMEM or EMSGSIZE; later appends do nothing */
};

#define SLU_BUF(maxlen) ((struct slu_buf){.max = (maxlen)})

void slu_buf_add(struct slu_buf *b, const void *p, size_t n);
void slu_buf_str(struct slu_buf *b, const char *s);
void slu_buf_ch(struct slu_buf *b, char c);
void slu_buf_fmt(struct slu_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int slu_buf_err(const struct slu_buf *b); /* 0 or -errno */
char *slu_buf_take(struct slu_buf *b); /* the text ("" when empty), caller frees; NULL on error */
void slu_buf_clear(struct slu_buf *b); /* empty, memory kept, error forgotten */
void slu_buf_done(struct slu_buf *b);  /* for SLU_AUTO(slu_buf_done) too */

/* Reads a whole descriptor or file into b (appends), at most b->max bytes: else -EFBIG. */
int slu_buf_read_fd(struct slu_buf *b, int fd);
bool slu_buf_write_fd(const struct slu_buf *b, int fd); /* all of it; false: errno says why */
int slu_buf_read_at(struct slu_buf *b, int dirfd, const char *path);
/* The same of a file that a user named: the failure says which and why. */
int slu_buf_read_file(struct slu_buf *b, const char *path, struct slu_err *e);

#endif
