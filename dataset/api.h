/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that implement include/sluice.h share (api*.c here and in job/). */
#ifndef SLU_DATASET_API_H
#define SLU_DATASET_API_H

#include "dataset/context.h"
#include "dataset/resolve.h"
#include "fs/view.h"
#include "include/sluice.h"

/* Copies *in to *out (may be NULL) when rc < 0; returns rc. */
int slu_api_error(struct sluice_error *out, const struct slu_err *in, int rc);
/* Gives a JSON value (taken) back as text. */
int slu_api_json(struct json_t *j, char **ret, struct slu_err *e);

/* Where a reference of the object verbs leads: a place in a store, or the files of a dataset. */
struct slu_place {
	struct slu_store *store; /* NULL: a dataset */
	char *path;
	char *version; /* of struct slu_op; NULL: what is current */
	bool glob;
	bool folder; /* the text ended in '/' */
	struct slu_dataset *dataset;
};

int slu_place_find(struct sluice *s, const char *ref, struct slu_place *ret, struct slu_err *e);
/* -EACCES for a reference that names a dataset, or something in it: nobody can write there. */
int slu_api_check_place(struct sluice *s, const char *ref, struct slu_err *e);
/* Of a place in a store without wildcards, in the state that the reference names. */
/* ret_detail: an object, the caller's, or NULL when the store tells nothing; NULL: it is not asked. */
int slu_place_stat(const struct slu_place *p, struct slu_attr *ret, struct json_t **ret_detail,
		   struct slu_err *e);
void slu_place_done(struct slu_place *p);
/* How the files of an operand are shown, in the words of who gave it: what stands before the path of
 * each below it.  file: the operand is that one file.  The caller frees; NULL: no memory. */
char *slu_api_shown_base(const char *ref, bool file, bool glob);
/* -EINVAL for a path that no listing would show, so that nothing is written there. */
int slu_api_check_shown(const char *to, struct slu_err *e);

/* Is this in a step that has no workspace around it?  Then its broker is asked. */
bool slu_api_brokered(struct sluice *s);
/* A call of this API by its name (job/broker.c has the list), with its text. */
int slu_api_ask(const char *name, const char *arg, char **ret_json, struct sluice_error *e);
int slu_api_ask_text(const char *name, const char *arg, char **ret, struct sluice_error *e);
/* There, data is read through a view of the broker's: *ref becomes its path, which *ret_own (NULL before)
 * holds; the caller frees that.  Elsewhere nothing happens. */
int slu_api_local(struct sluice *s, const char **ref, char **ret_own, struct slu_err *e);

#endif
