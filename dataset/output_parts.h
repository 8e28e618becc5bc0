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
bool slu_output_same(const struct slu_file *a, const struct slu_file *b); /* size and identity */
struct slu_attr slu_output_attr(const struct slu_file *f);

/* What committers leave (output_spark.c).  all: everything at the place; m: what is this run's. */
bool slu_output_is_mark(const char *path); /* `_SUCCESS` */
bool slu_output_is_side(const struct slu_manifest *all,
			const char *path); /* a checksum of Hadoop's */
/* -EBADMSG with the list: work that was not committed. */
int slu_output_check_left(const struct slu_output *o, const struct slu_manifest *m,
			  struct slu_err *e);
/* -EBADMSG with the list: files of Spark's that no commit of this run vouches for. */
int slu_output_check_commits(const struct slu_output *o, const struct slu_manifest *m,
			     struct slu_err *e);
/* Replaces *m by itself without the marks that are no data to anybody (`_SUCCESS` stays). */
int slu_output_without_marks(struct slu_manifest **m, struct slu_err *e);

/* --- output_table.c, of o->table --- */
/* Replaces *m by those of its files that are of the table; -ENODATA: none. */
int slu_output_table_files(const struct slu_output *o, struct slu_manifest **m, struct slu_err *e);
int slu_output_table_definition(struct sluice *s, const struct slu_output *o,
				struct slu_definition **ret, struct slu_err *e);

/* Copies what the program left at o->value to the destination.  *ret: what was copied, with the
 * identities that the store gave. */
int slu_output_upload(struct sluice *s, struct slu_output *o, struct slu_manifest **ret,
		      struct slu_err *e);

/* --- output_link.c, of LINK --- */
int slu_output_link(struct slu_output *o, const char *place, struct slu_err *e); /* sets value */
/* Sets dataset to what the program has linked; leaves it NULL when that is nothing and may be. */
int slu_output_follow(struct sluice *s, struct slu_output *o, struct slu_err *e);

/* --- output_mount.c, of RW_MOUNT --- */
/* Mounts the destination at <place>/<name>; sets value. */
int slu_output_mount(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		     struct slu_err *e);
void slu_output_unstage(struct slu_output *o); /* unmounted: the stage goes */

#endif
