/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the index, for index*.c. */
#ifndef SLU_DATASET_INDEX_IMPL_H
#define SLU_DATASET_INDEX_IMPL_H

#include "common/vec.h"
#include "dataset/index.h"
#include "io/crypt.h"

#define SLU_INDEX_AT_ONCE 16u
#define SLU_INDEX_HEAD "sluice-index 1\n"

struct slu_index_note {
	char *path, *name, *version;
	uint64_t fact;
	bool covered;         /* what it announced is in the index */
	struct slu_attr attr; /* as it was listed */
};

struct slu_index_segment {
	char name[SLU_DIGEST_HEX];
	size_t entries;
	char *text; /* NULL: not loaded */
};

struct slu_index_line {
	struct slu_index_entry is;
	size_t segment; /* SIZE_MAX: of none yet */
};

struct slu_index {
	const struct slu_registry *g;
	uint64_t generation; /* 0: there is none */
	SLU_VEC(uint64_t) generations;
	SLU_VEC(struct slu_index_segment) segments;
	SLU_VEC(struct slu_index_note) notes;
	SLU_VEC(struct slu_index_line) lines;
	size_t skipped;        /* records of a scan that are damaged; by several threads */
	SLU_VEC(char *) owned; /* texts that lines point into, beside the segments' */
};

/* Sorts the lines and keeps the newest of each version. */
void slu_index_sort(struct slu_index *x);
/* The line of a version, NULL: none. */
const struct slu_index_line *slu_index_line(const struct slu_index *x, const char *name,
					    const char *version);
/* Cuts "<name> <version> <facts> <-|a|u> <json>" (changed in place); false: it is none. */
bool slu_index_parse(char *line, struct slu_index_entry *ret);
/* A line of its own made of a record with its facts laid over. */
int slu_index_add(struct slu_index *x, const struct json_t *record, struct slu_err *e);
/* Notes, the newest generation and its segments, from `first` on loaded.  -ENODATA: there is none that is whole. */
int slu_index_read(struct slu_index *x, bool all, struct slu_err *e);
/* What notes announce and no line has is read from the records. */
int slu_index_resolve(struct slu_index *x, struct slu_err *e);
/* All records there are, in place of the segments. */
int slu_index_scan(struct slu_index *x, struct slu_err *e);
/* Writes what is in no segment, with the small segments at the end that are as small, as a new one; then takes the
 * notes away that are covered.  Somebody else may be faster: then nothing is done. */
int slu_index_compact(struct slu_index *x, struct slu_err *e);
/* The first segment that is taken into one that has n lines beside. */
size_t slu_index_merge_from(const struct slu_index *x, size_t n);

#endif
