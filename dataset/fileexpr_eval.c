/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Working out a filter for one file.
 */
#include "dataset/fileexpr_impl.h"

#include "common/path.h"
#include "common/str.h"

#include <string.h>

struct eval {
	const struct slu_fileexpr *x;
	const char *path;
	const struct slu_attr *a;
	slu_cell_fn *cell;
	void *user;
};

static struct slu_value of_text(const char *s)
{
	return (struct slu_value){.kind = SLU_VALUE_TEXT, .text = s, .len = strlen(s)};
}

/* ".csv" of "a/b.csv"; "" of "a/b" and "a/.b". */
static const char *extension(const char *path)
{
	const char *base = slu_path_base(path), *dot = strrchr(base, '.');

	return dot && dot > base ? dot : "";
}

static struct slu_value column(const struct eval *v, const char *name)
{
	struct slu_value is = {.kind = SLU_VALUE_NULL};

	if (slu_streq(name, "Size"))
		return (struct slu_value){.kind = SLU_VALUE_NUMBER, .number = (double)v->a->size};
	if (slu_streq(name, "LastModifiedTime"))
		return (struct slu_value){.kind = SLU_VALUE_TIME, .time_ns = v->a->mtime_ns};
	if (slu_streq(name, "Extension"))
		return of_text(extension(v->path));
	if (slu_streq(name, "Path"))
		return of_text(v->path);
	if (slu_streq(name, "CanSeek"))
		return (struct slu_value){.kind = SLU_VALUE_BOOL, .truth = true};
	if (v->cell)
		v->cell(v->user, name, &is);
	return is;
}

/* Below 0, 0, above 0; both of one kind. */
static int order(const struct slu_value *a, const struct slu_value *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int c;

	switch (a->kind) {
	case SLU_VALUE_NUMBER:
		return (a->number > b->number) - (a->number < b->number);
	case SLU_VALUE_TIME:
		return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
	case SLU_VALUE_TEXT:
		c = memcmp(a->text, b->text, n);
		return c ? c : (a->len > b->len) - (a->len < b->len);
	default:
		return a->truth - b->truth;
	}
}

static bool compare(enum slu_compare_op op, const struct slu_value *a, const struct slu_value *b)
{
	if (a->kind == SLU_VALUE_NULL || b->kind == SLU_VALUE_NULL || a->kind != b->kind)
		return op == SLU_NE;
	int c = order(a, b);

	switch (op) {
	case SLU_EQ:
		return c == 0;
	case SLU_NE:
		return c != 0;
	case SLU_LT:
		return c < 0;
	case SLU_LE:
		return c <= 0;
	case SLU_GT:
		return c > 0;
	case SLU_GE:
		return c >= 0;
	}
	return false;
}

static bool search(enum slu_node_kind kind, const struct slu_value *in,
		   const struct slu_value *what)
{
	if (in->kind != SLU_VALUE_TEXT || what->len > in->len)
		return false;
	if (kind == SLU_NODE_STARTS)
		return memcmp(in->text, what->text, what->len) == 0;
	if (kind == SLU_NODE_ENDS)
		return memcmp(in->text + in->len - what->len, what->text, what->len) == 0;
	return memmem(in->text, in->len, what->text, what->len) != NULL;
}

/* Depth is bounded by the parser, but for long chains of `and`, which go down on the left only. */
static struct slu_value eval(const struct eval *v, size_t i)
{
	const struct slu_node *n = &v->x->nodes.p[i];
	struct slu_value a, b, is = {.kind = SLU_VALUE_BOOL};

	switch (n->kind) {
	case SLU_NODE_LITERAL:
		return n->value;
	case SLU_NODE_COLUMN:
		return column(v, n->name);
	case SLU_NODE_AND:
	case SLU_NODE_OR:
		a = eval(v, n->a);
		if (a.truth == (n->kind == SLU_NODE_OR))
			is.truth = a.truth;
		else
			is.truth = eval(v, n->b).truth;
		return is;
	case SLU_NODE_NOT:
		is.truth = !eval(v, n->a).truth;
		return is;
	default:
		a = eval(v, n->a);
		b = eval(v, n->b);
		is.truth = n->kind == SLU_NODE_COMPARE ? compare(n->op, &a, &b)
						       : search(n->kind, &a, &b);
		return is;
	}
}

bool slu_fileexpr_takes(const struct slu_fileexpr *x, const char *path, const struct slu_attr *a,
			slu_cell_fn *cell, void *user)
{
	const struct eval v = {.x = x, .path = path, .a = a, .cell = cell, .user = user};

	return eval(&v, x->root).truth;
}
