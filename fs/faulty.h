/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the fault layer: text, and what happens to the next op. */
#ifndef SLU_FS_FAULTY_H
#define SLU_FS_FAULTY_H

#include "common/err.h"
#include "fs/op.h"

enum slu_faulty_what {
	SLU_FAULTY_NONE,
	SLU_FAULTY_ERRNO,  /* fails at once, without effect */
	SLU_FAULTY_SHORT,  /* READ: done, then fails as if cut */
	SLU_FAULTY_LOST,   /* done, then fails as if the answer were lost */
	SLU_FAULTY_DELAY,  /* done later */
	SLU_FAULTY_WHILE,  /* done once a file is not there any more */
	SLU_FAULTY_KILL,   /* the process is killed before */
	SLU_FAULTY_KILLED, /* ... after it */
	SLU_FAULTY_HANG    /* never answered: ends by deadline or cancel */
};

struct slu_faulty_action {
	enum slu_faulty_what what;
	int code;   /* ERRNO */
	int64_t ns; /* DELAY */
};

struct slu_faulty_rules;

/* Grammar: layers.h.  -EINVAL naming the rule. */
int slu_faulty_rules_parse(const char *text, struct slu_faulty_rules **ret, struct slu_err *e);
void slu_faulty_rules_free(struct slu_faulty_rules *r); /* NULL fine */
/* Can anything happen to an op of this type? */
bool slu_faulty_rules_touch(const struct slu_faulty_rules *r, enum slu_op_type type);
/* That of WHILE; all such rules name one. */
const char *slu_faulty_rules_file(const struct slu_faulty_rules *r);
/* Counts the op; what is to happen to it.  Any thread. */
struct slu_faulty_action slu_faulty_rules_ask(struct slu_faulty_rules *r, enum slu_op_type type);

#endif
