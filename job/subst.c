/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Substitution of `${{...}}`.  The text is copied through a small tracker of the shell's quoting state,
 * so that a path with a space or a quote stays one word and can never become shell code.  What the
 * tracker cannot follow (here-documents, backquotes) is an error for such values, not a guess.
 */
#include "job/subst.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum { TEXT_MAX = 4 << 20, NEST_MAX = 32, EXPR_MAX = 600 };

/* --- where a character of a shell command stands --- */

enum place { BARE = 'n', SINGLE = 's', DOUBLE = 'd', PAREN = 'p', BACK = 'b', COMMENT = '#' };

struct shell {
	char stack[NEST_MAX];
	int depth; /* stack[depth] is where we are */
	bool escaped;
	bool lost; /* beyond what is tracked */
	char prev;
};

static void shell_push(struct shell *sh, enum place p)
{
	if (sh->depth + 1 >= NEST_MAX)
		sh->lost = true;
	else
		sh->stack[++sh->depth] = (char)p;
}

static void shell_pop(struct shell *sh)
{
	if (sh->depth > 0)
		sh->depth--;
}

static void shell_back(struct shell *sh)
{
	if (sh->stack[sh->depth] == BACK)
		shell_pop(sh);
	else if (memchr(sh->stack, BACK, (size_t)sh->depth + 1))
		sh->lost = true;
	else
		shell_push(sh, BACK);
}

static void feed_double(struct shell *sh, char c)
{
	if (c == '\\')
		sh->escaped = true;
	else if (c == '"')
		shell_pop(sh);
	else if (c == '`')
		shell_back(sh);
	else if (c == '(' && sh->prev == '$')
		shell_push(sh, PAREN);
}

static void feed_bare(struct shell *sh, char c)
{
	switch (c) {
	case '\\':
		sh->escaped = true;
		break;
	case '\'':
		shell_push(sh, SINGLE);
		break;
	case '"':
		shell_push(sh, DOUBLE);
		break;
	case '`':
		shell_back(sh);
		break;
	case '(':
		shell_push(sh, PAREN);
		break;
	case ')':
		if (sh->stack[sh->depth] == PAREN)
			shell_pop(sh);
		break;
	case '#':
		if (!sh->prev || strchr(" \t\n;&|(", sh->prev))
			shell_push(sh, COMMENT);
		break;
	case '<':
		if (sh->prev == '<')
			sh->lost = true;
		break;
	default:
		break;
	}
}

static void feed_place(struct shell *sh, char c)
{
	switch (sh->stack[sh->depth]) {
	case SINGLE:
		if (c == '\'')
			shell_pop(sh);
		break;
	case COMMENT:
		if (c == '\n')
			shell_pop(sh);
		break;
	case DOUBLE:
		feed_double(sh, c);
		break;
	default:
		feed_bare(sh, c);
	}
}

static void shell_feed(struct shell *sh, char c)
{
	if (sh->escaped)
		sh->escaped = false;
	else
		feed_place(sh, c);
	sh->prev = c;
}

static bool is_plain(const char *s)
{
	return *s &&
	       strspn(s,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,") ==
		       strlen(s);
}

static void add_single(struct slu_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\'')
			slu_buf_str(b, "'\\''");
		else
			slu_buf_ch(b, *s);
	}
}

/* Adds a data value as (part of) one word.  False: this place is beyond the tracker. */
static bool shell_quote(struct slu_buf *b, const struct shell *sh, const char *s)
{
	if (is_plain(s)) {
		slu_buf_str(b, s);
		return true;
	}
	if (sh->lost || sh->escaped || memchr(sh->stack, BACK, (size_t)sh->depth + 1))
		return false;
	switch (sh->stack[sh->depth]) {
	case SINGLE:
		add_single(b, s);
		break;
	case DOUBLE:
		for (; *s; s++) {
			if (strchr("$`\"\\", *s))
				slu_buf_ch(b, '\\');
			slu_buf_ch(b, *s);
		}
		break;
	case COMMENT:
		for (; *s; s++)
			slu_buf_ch(b, *s == '\n' ? ' ' : *s);
		break;
	default:
		slu_buf_ch(b, '\'');
		add_single(b, s);
		slu_buf_ch(b, '\'');
	}
	return true;
}

/* --- expressions --- */

static int fail(const struct slu_subst *v, struct slu_err *e, const char *text)
{
	return v->where ? slu_fail(e, EINVAL, "%s: %s", v->where, text)
			: slu_fail(e, EINVAL, "%s", text);
}

static int fail_unknown(const struct slu_subst *v, const char *expr, bool output, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *known = v->known ? v->known(v->user, output) : NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	slu_buf_fmt(&b, "'${{%s}}' names no %s of this step", expr, output ? "output" : "input");
	if (known && *known)
		slu_buf_fmt(&b, "; it has %s", known);
	else
		slu_buf_fmt(&b, "; it has none, add it under '%s:'", output ? "outputs" : "inputs");
	return fail(v, e, b.p ? b.p : "out of memory");
}

/* The text between `${{` and `}}`, trimmed, into out; *ret_end is past the braces. */
static int expr_text(const char *p, char out[EXPR_MAX], const char **ret_end,
		     const struct slu_subst *v, struct slu_err *e)
{
	const char *end = strstr(p, "}}");
	size_t n;

	if (!end)
		return fail(
			v, e,
			"'${{' is not closed by '}}'; write '$${{' for the characters themselves");
	*ret_end = end + 2;
	while (p < end && isspace((unsigned char)*p))
		p++;
	while (end > p && isspace((unsigned char)end[-1]))
		end--;
	n = (size_t)(end - p);
	if (n >= EXPR_MAX)
		return fail(v, e, "an expression in '${{' and '}}' is too long");
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

static int expr_value(char *expr, const struct slu_subst *v, struct slu_subst_value *ret,
		      struct slu_err *e)
{
	const char *in = slu_after(expr, "inputs."), *out = slu_after(expr, "outputs.");
	SLU_AUTO(slu_freep) char *name = slu_strdup(in ? in : out ? out : "");

	if (!name)
		return slu_fail_oom(e);
	if (slu_ends(name, ".path"))
		name[strlen(name) - strlen(".path")] = '\0';
	if ((!in && !out) || !slu_is_ident(name)) {
		SLU_AUTO(slu_freep)
		char *text = slu_asprintf(
			"'${{%s}}' cannot stand here; what can: ${{inputs.NAME}} and ${{outputs.NAME}}",
			expr);

		return fail(v, e, text ? text : "out of memory");
	}
	if (!v->get(v->user, out != NULL, name, ret))
		return fail_unknown(v, expr, out != NULL, e);
	return 0;
}

/* Does any input in text[0, n) lack a value? */
static int block_lacks(const char *text, size_t n, const struct slu_subst *v, bool *ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *part = slu_strndup(text, n);
	const char *p = part;
	char expr[EXPR_MAX];

	if (!part)
		return slu_fail_oom(e);
	*ret = false;
	while ((p = strstr(p, "${{"))) {
		struct slu_subst_value val;
		int r = expr_text(p + 3, expr, &p, v, e);

		if (r == 0)
			r = expr_value(expr, v, &val, e);
		if (r < 0)
			return r;
		*ret |= !val.text;
	}
	return 0;
}

/* Resolves `$[[ ... ]]`. */
static int optional_blocks(const char *text, const struct slu_subst *v, char **ret,
			   struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	const char *p = text, *open;

	while ((open = strstr(p, "$[["))) {
		const char *end = strstr(open, "]]");
		bool lacks;

		if (!end)
			return fail(v, e, "'$[[' is not closed by ']]'");
		int r = block_lacks(open + 3, (size_t)(end - open - 3), v, &lacks, e);
		if (r < 0)
			return r;
		slu_buf_add(&b, p, (size_t)(open - p));
		if (!lacks)
			slu_buf_add(&b, open + 3, (size_t)(end - open - 3));
		p = end + 2;
	}
	slu_buf_str(&b, p);
	if (slu_buf_err(&b))
		return slu_fail(e, -slu_buf_err(&b), "a command is too long");
	*ret = slu_buf_take(&b);
	return 0;
}

static int add_value(struct slu_buf *b, struct shell *sh, enum slu_subst_how how, const char *expr,
		     const struct slu_subst_value *val, const struct slu_subst *v,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!val->text) {
		text = slu_asprintf(
			"input '%s' has no value; give it one, or write the argument as "
			"$[[ ... ${{%s}} ]]",
			expr, expr);
		return fail(v, e, text ? text : "out of memory");
	}
	if (how == SLU_SUBST_SHELL && val->data) {
		if (shell_quote(b, sh, val->text))
			return 0;
		text = slu_asprintf("the value of '${{%s}}' has characters that cannot be quoted "
				    "where it stands; use its environment variable instead",
				    expr);
		return fail(v, e, text ? text : "out of memory");
	}
	for (const char *s = val->text; *s; s++)
		shell_feed(sh, *s);
	slu_buf_str(b, val->text);
	return 0;
}

static int expand(const char *p, enum slu_subst_how how, const struct slu_subst *v, char **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	struct shell sh = {.stack = {BARE}};
	struct slu_subst_value val;
	char expr[EXPR_MAX];

	while (*p) {
		if (slu_starts(p, "$${{")) {
			slu_buf_str(&b, "${{");
			p += 4;
			continue;
		}
		if (!slu_starts(p, "${{")) {
			shell_feed(&sh, *p);
			slu_buf_ch(&b, *p++);
			continue;
		}
		int r = expr_text(p + 3, expr, &p, v, e);
		if (r == 0)
			r = expr_value(expr, v, &val, e);
		if (r == 0)
			r = add_value(&b, &sh, how, expr, &val, v, e);
		if (r < 0)
			return r;
	}
	if (slu_buf_err(&b))
		return slu_fail(e, -slu_buf_err(&b), "a command is too long");
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

int slu_subst(const char *text, enum slu_subst_how how, const struct slu_subst *vars, char **ret,
	      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *kept = NULL;
	int r = optional_blocks(text, vars, &kept, e);

	return r < 0 ? r : expand(kept, how, vars, ret, e);
}

/* --- words --- */

/* One character of a word, with what quotes it, from s; returns what is past it. */
static const char *word_char(const char *s, char *quote, struct slu_buf *b)
{
	const char *end = slu_starts(s, "${{") ? strstr(s, "}}") : NULL;

	if (end) {
		slu_buf_add(b, s, (size_t)(end + 2 - s));
		return end + 2;
	}
	if (*quote != '\'' && *s == '\\' && s[1] && (!*quote || strchr("\"\\$`", s[1]))) {
		slu_buf_ch(b, s[1]);
		return s + 2;
	}
	if (*s == *quote)
		*quote = 0;
	else if (!*quote && (*s == '\'' || *s == '"'))
		*quote = *s;
	else
		slu_buf_ch(b, *s);
	return s + 1;
}

/* One word from *p, its quotes removed, into b.  False: no word is left. */
static bool next_word(const char **p, struct slu_buf *b, bool *ret_open)
{
	char quote = 0;
	const char *s = *p + strspn(*p, " \t\r\n");

	slu_buf_clear(b);
	*ret_open = false;
	if (!*s)
		return false;
	slu_buf_str(b, "");
	while (*s && (quote || !strchr(" \t\r\n", *s)))
		s = word_char(s, &quote, b);
	*ret_open = quote != 0;
	*p = s;
	return true;
}

void slu_words_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

SLU_DEFINE_CLEANUP(char **, slu_words_free, words_freep)

int slu_subst_words(const char *text, const struct slu_subst *vars, char ***ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *kept = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	SLU_AUTO(words_freep) char **words = slu_calloc(strlen(text) / 2 + 2, sizeof(*words));
	const char *p;
	size_t n = 0;
	bool open;
	int r = words ? optional_blocks(text, vars, &kept, e) : slu_fail_oom(e);

	if (r < 0)
		return r;
	for (p = kept; next_word(&p, &b, &open); n++) {
		if (open)
			return fail(vars, e, "a quotation mark in the arguments is not closed");
		if (slu_buf_err(&b))
			return slu_fail_oom(e);
		r = expand(b.p ? b.p : "", SLU_SUBST_PLAIN, vars, &words[n], e);
		if (r < 0)
			return r;
	}
	*ret = slu_take(words);
	return 0;
}

/* --- bindings --- */

bool slu_binding_is(const char *text)
{
	return slu_starts(text + strspn(text, " \t"), "${{");
}

/* [A-Za-z0-9_-]+ up to stop (or the end) into out. */
static const char *binding_part(const char *p, char stop, char out[256])
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '-')
		n++;
	if (n == 0 || n > 255 || p[n] != stop)
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	return p + n + (stop ? 1 : 0);
}

bool slu_binding_parse(const char *text, struct slu_binding *ret)
{
	char expr[EXPR_MAX];
	const struct slu_subst none = {0};
	const char *p, *end, *io;
	struct slu_binding b = {.output = false};

	text += strspn(text, " \t");
	if (!slu_starts(text, "${{") || expr_text(text + 3, expr, &end, &none, NULL) < 0 ||
	    end[strspn(end, " \t\r\n")] || !(p = slu_after(expr, "parent.")))
		return false;
	io = slu_after(p, "jobs.");
	if (io && !(io = binding_part(io, '.', b.step)))
		return false;
	p = io ? io : p;
	b.output = slu_starts(p, "outputs.");
	p = b.output ? slu_after(p, "outputs.") : slu_after(p, "inputs.");
	if (!p || !binding_part(p, '\0', b.name))
		return false;
	*ret = b;
	return true;
}
