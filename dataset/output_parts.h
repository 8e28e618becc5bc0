/* SPDX-License-Identifier: Apache-2.0 */
/* What the output*.c files share. */
#ifndef SLU_DATASET_OUTPUT_PARTS_H
#define SLU_DATASET_OUTPUT_PARTS_H

#include "dataset/output.h"

bool slu_output_is_file(const struct slu_output *o); /* uri_file */
/* The files at a place of a store as a manifest with one source, paths relative to the place (of a
 * file: its name).  Nothing there: an empty manifest.  A file where a folder is wanted, or the other way
 * round: -ENOTDIR or -EISDIR.  what: how messages name the place. */
int slu_output_list(struct slu_store *st, const char *path, bool file, const char *uri,
		    const char *what, struct slu_manifest **ret, struct slu_err *e);
struct slu_attr slu_output_attr(const struct slu_file *f);

/* Copies what the program left at o->value to the destination.  *ret: what was copied, with the
 * identities that the store gave. */
int slu_output_upload(struct sluice *s, struct slu_output *o, struct slu_manifest **ret,
		      struct slu_err *e);

#endif
