/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the YAML reader share. */
#ifndef SLU_COMMON_YAML_IMPL_H
#define SLU_COMMON_YAML_IMPL_H

#include "common/vec.h"
#include "common/yaml.h"

/* Where a value stands, or (key != 0) where a key of the mapping v stands. */
struct slu_yaml_pos {
	const void *v;
	uint64_t key; /* slu_yaml_key_hash, so that nothing of the tree is pointed to but v */
	int line, col;
};

struct slu_yaml {
	char *what;
	struct json_t *root;
	SLU_VEC(struct slu_yaml_pos)
	pos;              /* in order of reading; sorted when the tree is complete */
	const char *text; /* while it is read */
	size_t size;
};

/* What a plain scalar means in the core schema; NULL: no memory.  Numbers that do not fit int64,
 * infinities and NaN stay strings. */
struct json_t *slu_yaml_plain(const char *s);

uint64_t slu_yaml_key_hash(const char *key); /* never 0 */
void slu_yaml_pos_sort(struct slu_yaml *y);

#endif
