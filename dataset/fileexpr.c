/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing the expression of a filter into nodes, with all types checked, so that working it out for a
 * file cannot fail.
 */
#include "dataset/fileexpr_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPR_MAX 4096 /* bytes of the text: bounds the depth of chains as well */
#define DEPTH_MAX 64

struct parser {
	const char *text, *p;
	struct slu_fileexpr *x;
	slu_column_fn *column;
	void *user;
	int depth;
	struct slu_err *e;
};

void slu_fileexpr_free(struct slu_fileexpr *x)
{
	for (size_t i = 0; x && i < x->nodes.n; i++) {
		free(x->nodes.p[i].name);
		free(x->nodes.p[i].text);
	}
	if (x)
		free(x->nodes.p);
	free(x);
}

static int wrong(struct parser *q, const char *what)
{
	return slu_fail(q->e, EINVAL, "filter '%s': %s, at character %zu", q->text, what,
			(size_t)(q->p - q->text) + 1);
}

static int add(struct parser *q, struct slu_node n, size_t *ret)
{
	if (!slu_vec_push(&q->x->nodes, n)) {
		free(n.name);
		free(n.text);
		return slu_fail_oom(q->e);
	}
	*ret = q->x->nodes.n - 1;
	return 0;
}

static struct slu_node *node(struct parser *q, size_t i)
{
	return &q->x->nodes.p[i];
}

/* --- words --- */

static void blanks(struct parser *q)
{
	while (*q->p && strchr(" \t\r\n", *q->p))
		q->p++;
}

static bool sign(struct parser *q, const char *s)
{
	blanks(q);
	if (!slu_starts(q->p, s))
		return false;
	q->p += strlen(s);
	return true;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool word(struct parser *q, const char *s)
{
	size_t n = strlen(s);

	blanks(q);
	if (!slu_starts(q->p, s) || word_char(q->p[n]))
		return false;
	q->p += n;
	return true;
}

/* 'text' or "text"; a backslash takes the next character as it is. */
static int quoted(struct parser *q, char **ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(EXPR_MAX);
	char end;

	blanks(q);
	if (*q->p != '\'' && *q->p != '"')
		return wrong(q, "a text in quotes is wanted");
	end = *q->p++;
	for (; *q->p && *q->p != end; q->p++) {
		if (*q->p == '\\' && q->p[1])
			q->p++;
		slu_buf_ch(&b, *q->p);
	}
	if (!*q->p)
		return wrong(q, "the text has no closing quote");
	q->p++;
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(q->e);
}

static int expect(struct parser *q, const char *s)
{
	if (sign(q, s))
		return 0;
	SLU_AUTO(slu_freep) char *what = slu_asprintf("'%s' is missing", s);

	return what ? wrong(q, what) : slu_fail_oom(q->e);
}

/* --- operands --- */

static int parse_or(struct parser *q, size_t *ret);

static int text_literal(struct parser *q, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_LITERAL, .type = SLU_VALUE_TEXT};
	int r = quoted(q, &n.text);

	return r < 0 ? r : add(q, n, ret);
}

static int number(struct parser *q, double *ret)
{
	size_t n = strspn(q->p, "0123456789.");
	SLU_AUTO(slu_freep) char *digits = slu_strndup(q->p, n);
	char *dot = digits ? strchr(digits, '.') : NULL;
	uint64_t whole, part = 0;

	if (!digits)
		return slu_fail_oom(q->e);
	if (dot)
		*dot = '\0';
	if (!slu_u64(digits, &whole) ||
	    (dot && (strlen(dot + 1) > 15 || !slu_u64(dot + 1, &part))) || word_char(q->p[n]))
		return wrong(q, "this is no number");
	q->p += n;
	double below = (double)part;

	for (size_t i = dot ? strlen(dot + 1) : 0; i > 0; i--)
		below /= 10;
	*ret = (double)whole + below;
	return 0;
}

static int number_literal(struct parser *q, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_LITERAL, .type = SLU_VALUE_NUMBER};
	bool minus = sign(q, "-");
	int r = number(q, &n.value.number);

	if (minus)
		n.value.number = -n.value.number;
	n.value.kind = SLU_VALUE_NUMBER;
	return r < 0 ? r : add(q, n, ret);
}

static int truth_literal(struct parser *q, bool v, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_LITERAL,
			     .type = SLU_VALUE_BOOL,
			     .value = {.kind = SLU_VALUE_BOOL, .truth = v}};

	return add(q, n, ret);
}

/* "2024-01-31", "2024-01-31T08:00:00Z", also with a space instead of the T; UTC where no zone is said. */
static bool parse_time(const char *s, int64_t *ret)
{
	char full[64];
	size_t n = strlen(s);

	if (n >= 40)
		return false;
	snprintf(full, sizeof full, "%s%s", s, n == 10 ? "T00:00:00Z" : "");
	if (n > 10 && full[10] == ' ')
		full[10] = 'T';
	if (slu_time_parse(full, ret))
		return true;
	snprintf(full + n, sizeof full - n, "Z");
	return n > 10 && slu_time_parse(full, ret);
}

/* 2024, 1, 31[, hour, minute, second, microsecond] as a text */
static int time_parts(struct parser *q, char **ret)
{
	double part[7] = {0};
	size_t parts = 0;
	int r;

	do {
		blanks(q);
		r = number(q, &part[parts++]);
	} while (r == 0 && parts < 7 && sign(q, ","));
	if (r < 0)
		return r;
	if (parts < 3)
		return wrong(q, "datetime wants year, month, day");
	if (part[6] > 999999)
		return wrong(q, "a second has 1000000 microseconds");
	*ret = slu_asprintf("%04.0f-%02.0f-%02.0fT%02.0f:%02.0f:%02.0f.%06.0fZ", part[0], part[1],
			    part[2], part[3], part[4], part[5], part[6]);
	return 0;
}

/* datetime(2024, 1, 31, ...) or datetime('...') */
static int time_literal(struct parser *q, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_LITERAL, .type = SLU_VALUE_TIME};
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = expect(q, "(");

	blanks(q);
	if (r == 0)
		r = *q->p == '\'' || *q->p == '"' ? quoted(q, &text) : time_parts(q, &text);
	if (r == 0)
		r = expect(q, ")");
	if (r < 0)
		return r;
	if (!text)
		return slu_fail_oom(q->e);
	n.value.kind = SLU_VALUE_TIME;
	if (!parse_time(text, &n.value.time_ns))
		return wrong(q, "this is no time");
	return add(q, n, ret);
}

static int add_column(struct parser *q, char *name, size_t *ret)
{
	static const struct {
		const char *name;
		enum slu_value_kind type;
	} own[] = {{"Size", SLU_VALUE_NUMBER},
		   {"LastModifiedTime", SLU_VALUE_TIME},
		   {"Extension", SLU_VALUE_TEXT},
		   {"Path", SLU_VALUE_TEXT},
		   {"CanSeek", SLU_VALUE_BOOL}};
	struct slu_node n = {.kind = SLU_NODE_COLUMN, .name = name};

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (slu_streq(own[i].name, name)) {
			n.type = own[i].type;
			return add(q, n, ret);
		}
	if (q->column && q->column(q->user, name, &n.type))
		return add(q, n, ret);
	int r = slu_streq(name, "CreationTime")
			? slu_fail(q->e, ENOTSUP,
				   "filter '%s': not every store keeps a CreationTime; use "
				   "LastModifiedTime",
				   q->text)
			: slu_fail(q->e, EINVAL,
				   "filter '%s': there is no column '%s'; files have Size, "
				   "LastModifiedTime, Extension, Path, CanSeek and what "
				   "partition_format gives",
				   q->text, name);
	free(name);
	return r;
}

static int column(struct parser *q, size_t *ret)
{
	bool call = word(q, "col") || word(q, "file_metadata");
	char *name = NULL;
	int r;

	if (call) {
		r = expect(q, "(");
		if (r == 0)
			r = quoted(q, &name);
		if (r == 0)
			r = expect(q, ")");
		if (r < 0) {
			free(name);
			return r;
		}
		return add_column(q, name, ret);
	}
	blanks(q);
	size_t n = 0;

	while (word_char(q->p[n]))
		n++;
	if (n == 0)
		return wrong(q, "a column, a text or a number is wanted");
	name = slu_strndup(q->p, n);
	q->p += n;
	return name ? add_column(q, name, ret) : slu_fail_oom(q->e);
}

/* .startswith('x') and the like behind a column */
static int method(struct parser *q, size_t *at)
{
	static const struct {
		const char *name;
		enum slu_node_kind kind;
	} known[] = {{"startswith", SLU_NODE_STARTS},
		     {"endswith", SLU_NODE_ENDS},
		     {"contains", SLU_NODE_CONTAINS}};
	struct slu_node n = {.type = SLU_VALUE_BOOL, .a = *at};
	size_t i = 0;

	if (!sign(q, "."))
		return 0;
	while (i < 3 && !word(q, known[i].name))
		i++;
	if (i == 3)
		return wrong(q, "known are startswith, endswith and contains");
	if (node(q, *at)->type != SLU_VALUE_TEXT)
		return wrong(q, "that is asked of texts only");
	n.kind = known[i].kind;
	int r = expect(q, "(");

	if (r == 0)
		r = text_literal(q, &n.b);
	if (r == 0)
		r = expect(q, ")");
	return r < 0 ? r : add(q, n, at);
}

static int operand(struct parser *q, size_t *ret)
{
	blanks(q);
	if (sign(q, "(")) {
		int r = parse_or(q, ret);

		return r < 0 ? r : expect(q, ")");
	}
	if (*q->p == '\'' || *q->p == '"')
		return text_literal(q, ret);
	if (isdigit((unsigned char)*q->p) || *q->p == '-')
		return number_literal(q, ret);
	if (word(q, "True") || word(q, "true"))
		return truth_literal(q, true, ret);
	if (word(q, "False") || word(q, "false"))
		return truth_literal(q, false, ret);
	if (word(q, "datetime"))
		return time_literal(q, ret);
	int r = column(q, ret);

	return r < 0 ? r : method(q, ret);
}

/* --- comparisons --- */

static bool find_op(struct parser *q, enum slu_compare_op *ret)
{
	static const struct {
		const char *sign;
		enum slu_compare_op op;
	} ops[] = {{"==", SLU_EQ}, {"!=", SLU_NE}, {"<=", SLU_LE}, {">=", SLU_GE},
		   {"<", SLU_LT},  {">", SLU_GT},  {"=", SLU_EQ}};

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (sign(q, ops[i].sign)) {
			*ret = ops[i].op;
			return true;
		}
	return false;
}

/* A text that is compared with a time or a number becomes one. */
static int convert(struct parser *q, size_t literal, enum slu_value_kind to)
{
	struct slu_node *n = node(q, literal);
	uint64_t size;

	if (n->kind != SLU_NODE_LITERAL || n->type != SLU_VALUE_TEXT || to == SLU_VALUE_TEXT)
		return 0;
	n->value.kind = to;
	if (to == SLU_VALUE_TIME && parse_time(n->text, &n->value.time_ns)) {
		n->type = to;
	} else if (to == SLU_VALUE_NUMBER && slu_size(n->text, &size)) {
		n->value.number = (double)size;
		n->type = to;
	}
	return 0;
}

static int comparison(struct parser *q, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_COMPARE, .type = SLU_VALUE_BOOL};
	int r = operand(q, &n.a);

	if (r < 0)
		return r;
	if (!find_op(q, &n.op)) {
		*ret = n.a;
		return 0;
	}
	r = operand(q, &n.b);
	if (r == 0)
		r = convert(q, n.b, node(q, n.a)->type);
	if (r == 0)
		r = convert(q, n.a, node(q, n.b)->type);
	if (r < 0)
		return r;
	enum slu_value_kind a = node(q, n.a)->type, b = node(q, n.b)->type;

	if (a != b)
		return wrong(q, "the two sides are of different kinds (text, number, time, truth)");
	if (a == SLU_VALUE_BOOL && n.op != SLU_EQ && n.op != SLU_NE)
		return wrong(q, "truths have no order");
	return add(q, n, ret);
}

static int parse_not(struct parser *q, size_t *ret)
{
	struct slu_node n = {.kind = SLU_NODE_NOT, .type = SLU_VALUE_BOOL};
	int r;

	if (++q->depth > DEPTH_MAX)
		return wrong(q, "it is nested too deeply");
	blanks(q);
	if (!word(q, "not") && !sign(q, "~") && !(*q->p == '!' && q->p[1] != '=' && sign(q, "!"))) {
		r = comparison(q, ret);
	} else {
		r = parse_not(q, &n.a);
		if (r == 0 && node(q, n.a)->type != SLU_VALUE_BOOL)
			r = wrong(q, "not wants a comparison");
		if (r == 0)
			r = add(q, n, ret);
	}
	q->depth--;
	return r;
}

static bool joins(struct parser *q, enum slu_node_kind kind)
{
	return kind == SLU_NODE_AND ? word(q, "and") || sign(q, "&&") || sign(q, "&")
				    : word(q, "or") || sign(q, "||") || sign(q, "|");
}

static int chain(struct parser *q, enum slu_node_kind kind, int (*below)(struct parser *, size_t *),
		 size_t *ret)
{
	size_t left;
	int r = below(q, &left);

	while (r == 0 && joins(q, kind)) {
		struct slu_node n = {.kind = kind, .type = SLU_VALUE_BOOL, .a = left};

		r = below(q, &n.b);
		if (r == 0 &&
		    (node(q, n.a)->type != SLU_VALUE_BOOL || node(q, n.b)->type != SLU_VALUE_BOOL))
			r = wrong(q, "and, or want comparisons on both sides; put brackets around");
		if (r == 0)
			r = add(q, n, &left);
	}
	if (r == 0)
		*ret = left;
	return r;
}

static int parse_and(struct parser *q, size_t *ret)
{
	return chain(q, SLU_NODE_AND, parse_not, ret);
}

static int parse_or(struct parser *q, size_t *ret)
{
	return chain(q, SLU_NODE_OR, parse_and, ret);
}

/* The nodes stay where they are now: literals can point at their texts. */
static void settle(struct slu_fileexpr *x)
{
	for (size_t i = 0; i < x->nodes.n; i++) {
		struct slu_node *n = &x->nodes.p[i];

		if (n->kind != SLU_NODE_LITERAL || n->type != SLU_VALUE_TEXT)
			continue;
		n->value.kind = SLU_VALUE_TEXT;
		n->value.text = n->text;
		n->value.len = strlen(n->text);
	}
}

int slu_fileexpr_new(const char *text, slu_column_fn *column_fn, void *user,
		     struct slu_fileexpr **ret, struct slu_err *e)
{
	SLU_AUTO(slu_fileexpr_freep) struct slu_fileexpr *x = slu_new0(struct slu_fileexpr);
	struct parser q = {
		.text = text, .p = text, .x = x, .column = column_fn, .user = user, .e = e};

	if (!x)
		return slu_fail_oom(e);
	if (strlen(text) > EXPR_MAX)
		return slu_fail(e, EINVAL, "a filter has more than %d bytes", EXPR_MAX);
	int r = parse_or(&q, &x->root);

	blanks(&q);
	if (r == 0 && *q.p)
		r = wrong(&q, "this does not belong here");
	if (r == 0 && node(&q, x->root)->type != SLU_VALUE_BOOL)
		r = wrong(&q, "a comparison is wanted");
	if (r < 0)
		return r;
	settle(x);
	*ret = slu_take(x);
	return 0;
}
