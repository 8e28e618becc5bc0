/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java's .properties files, as java.util.Properties reads them from UTF-8: comments, lines that go on,
 * escapes; the last value of a key holds.  Values are wiped before their memory is freed.  One thread at a
 * time.
 */
#ifndef SLU_COMMON_JPROPS_H
#define SLU_COMMON_JPROPS_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/vec.h"

struct slu_buf;

struct slu_jprop {
	char *key, *value;
};

struct slu_jprops {
	SLU_VEC(struct slu_jprop) all; /* in the order in which the keys came first */
};

void slu_jprops_done(struct slu_jprops *p); /* for SLU_AUTO too; a zeroed one is fine */
/* Adds what the text says.  what: how messages name it.  -EBADMSG "'what:3': ...": a \u that is none, a NUL;
 * -ENOMEM.  No value is in a message. */
int slu_jprops_parse(struct slu_jprops *p, const char *text, size_t n, const char *what,
		     struct slu_err *e);
const char *slu_jprops_get(const struct slu_jprops *p, const char *key); /* NULL: not there */
/* Replaces; 0 or -ENOMEM. */
int slu_jprops_set(struct slu_jprops *p, const char *key, const char *value);
/* Adds to a list joined by commas what it does not have yet; 0 or -ENOMEM. */
int slu_jprops_join(struct slu_jprops *p, const char *key, const char *list);
void slu_jprops_write(const struct slu_jprops *p, struct slu_buf *b);

#endif
