/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `${{inputs.x}}`, `${{outputs.x}}` (also `.path` after them) in commands, arguments and environment
 * values; `$${{` stands for `${{`; `$[[ ... ]]` keeps its contents only when all inputs in it have a
 * value.  Literals are inserted as they are.  Data values (paths, URIs) are one shell word wherever
 * they stand: a value with characters that mean something to sh is quoted for the place it stands in.
 */
#ifndef SLU_JOB_SUBST_H
#define SLU_JOB_SUBST_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct slu_subst_value {
	const char *text; /* NULL: an input that has no value (optional) */
	bool data;        /* a path or URI */
};

struct slu_subst {
	/* false: there is no such name.  output: `outputs.`, else `inputs.` */
	bool (*get)(void *user, bool output, const char *name, struct slu_subst_value *ret);
	/* Names for the message about an unknown one, "a, b"; caller frees; NULL fine. */
	char *(*known)(void *user, bool output);
	void *user;
	const char *where; /* "job.yml:3:7", put before messages; NULL: none */
};

enum slu_subst_how { SLU_SUBST_PLAIN, SLU_SUBST_SHELL };

/* -EINVAL with where and what is wrong.  *ret: caller frees. */
int slu_subst(const char *text, enum slu_subst_how how, const struct slu_subst *vars, char **ret,
	      struct slu_err *e);
/* Splits arguments as a shell would (quotes, backslash; no expansion), substitutes in each word.
 * A NULL-ended array, freed by slu_words_free. */
int slu_subst_words(const char *text, const struct slu_subst *vars, char ***ret, struct slu_err *e);
void slu_words_free(char **words);

/* Parses `parent.jobs.STEP.outputs.NAME`, `parent.inputs.NAME` or `parent.outputs.NAME` out of a value
 * that is one whole `${{...}}`.  false: it is not such a value. */
struct slu_binding {
	char step[256]; /* "" : of the pipeline itself */
	bool output;
	char name[256];
};
bool slu_binding_parse(const char *text, struct slu_binding *ret);
bool slu_binding_is(const char *text); /* begins with ${{ */

#endif
