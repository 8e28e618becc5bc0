/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of a filter: fileexpr.c makes it, fileexpr_eval.c works it out. */
#ifndef SLU_DATASET_FILEEXPR_IMPL_H
#define SLU_DATASET_FILEEXPR_IMPL_H

#include "common/vec.h"
#include "dataset/fileexpr.h"

enum slu_node_kind {
	SLU_NODE_LITERAL,
	SLU_NODE_COLUMN,
	SLU_NODE_OR,
	SLU_NODE_AND,
	SLU_NODE_NOT, /* a */
	SLU_NODE_COMPARE,
	SLU_NODE_STARTS, /* a: text, b: literal */
	SLU_NODE_ENDS,
	SLU_NODE_CONTAINS
};

enum slu_compare_op { SLU_EQ, SLU_NE, SLU_LT, SLU_LE, SLU_GT, SLU_GE };

struct slu_node {
	enum slu_node_kind kind;
	enum slu_compare_op op;
	enum slu_value_kind type; /* of what it gives */
	size_t a, b;              /* nodes */
	char *name;               /* of a column */
	char *text;               /* of a literal */
	struct slu_value value;
};

struct slu_fileexpr {
	SLU_VEC(struct slu_node) nodes;
	size_t root;
};

#endif
