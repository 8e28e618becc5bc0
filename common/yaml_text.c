/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML writer: block style, keys in their order, and quotes around every string that a reader
 * of YAML 1.1 or 1.2 could take for something else.  Plain is the exception that has to be proven,
 * so this is a list of what is safe, not of what is dangerous.
 */
#include "common/buf.h"
#include "common/json_text.h"
#include "common/str.h"
#include "common/yaml_impl.h"

#include <errno.h>

enum { DEPTH_MAX = 1024, SIMPLE_KEY_MAX = 120 };

static void put_value(struct slu_buf *b, const struct json_t *j, int indent);

/* Words that some reader takes for null or a boolean, in any case. */
static bool reserved_word(const char *s)
{
	static const char *const words[] = {"null", "true", "false", "yes", "no",
					    "on",   "off",  "y",     "n",   NULL};

	for (const char *const *w = words; *w; w++) {
		const char *end = slu_iafter(s, *w);

		if (end && *end == '\0')
			return true;
	}
	return false;
}

static bool plain_first(const char *s)
{
	char c = *s;

	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == '$')
		return true;
	return slu_starts(s, "./") || slu_starts(s, "../");
}

static bool is_plain(const char *s)
{
	if (!plain_first(s) || reserved_word(s))
		return false;
	for (const char *p = s; *p; p++) {
		if (*p < ' ' || *p > '~' || *p == '"' || *p == '\'' || *p == '\\')
			return false;
		if (*p == ':' && (p[1] == '\0' || p[1] == ' '))
			return false;
		if (*p == ' ' && (p[1] == '\0' || p[1] == '#'))
			return false;
	}
	return true;
}

static void put_string(struct slu_buf *b, const char *s)
{
	if (is_plain(s))
		slu_buf_str(b, s);
	else
		slu_json_put_string(b, s, strlen(s));
}

static void put_indent(struct slu_buf *b, int indent)
{
	for (int i = 0; i < indent; i++)
		slu_buf_str(b, "  ");
}

static bool is_block(const struct json_t *j)
{
	return (slu_json_is_object(j) || slu_json_is_array(j)) && slu_json_count(j);
}

static void put_scalar(struct slu_buf *b, const struct json_t *j)
{
	const char *s = slu_json_string(j);

	if (s)
		put_string(b, s);
	else if (slu_json_is_object(j))
		slu_buf_str(b, "{}");
	else if (slu_json_is_array(j))
		slu_buf_str(b, "[]");
	else
		slu_json_put_simple(b, j);
}

/* Readers want a key that ends within 1024 characters, unless it is marked by '?'. */
static void put_key(struct slu_buf *b, const char *key, int indent)
{
	bool simple = strlen(key) <= SIMPLE_KEY_MAX;

	if (!simple)
		slu_buf_str(b, "? ");
	put_string(b, key);
	if (!simple) {
		slu_buf_ch(b, '\n');
		put_indent(b, indent);
	}
	slu_buf_ch(b, ':');
}

/* Both begin at the indent already written, and end every line with a newline. */
static void put_mapping(struct slu_buf *b, const struct json_t *j, int indent)
{
	bool first = true;

	for (void *it = slu_json_iter(j); it; it = slu_json_next(j, it)) {
		struct json_t *v = slu_json_iter_value(it);

		if (!first)
			put_indent(b, indent);
		first = false;
		put_key(b, slu_json_iter_key(it), indent);
		if (is_block(v)) {
			slu_buf_ch(b, '\n');
			put_indent(b, indent + 1);
			put_value(b, v, indent + 1);
		} else {
			slu_buf_ch(b, ' ');
			put_scalar(b, v);
			slu_buf_ch(b, '\n');
		}
	}
}

static void put_sequence(struct slu_buf *b, const struct json_t *j, int indent)
{
	for (size_t i = 0; i < slu_json_count(j); i++) {
		struct json_t *v = slu_json_at(j, i);

		if (i)
			put_indent(b, indent);
		slu_buf_str(b, "- ");
		if (is_block(v)) {
			put_value(b, v, indent + 1);
		} else {
			put_scalar(b, v);
			slu_buf_ch(b, '\n');
		}
	}
}

static void put_value(struct slu_buf *b, const struct json_t *j, int indent)
{
	if (indent > DEPTH_MAX)
		b->err = b->err ? b->err : EMSGSIZE;
	else if (slu_json_is_object(j))
		put_mapping(b, j, indent);
	else
		put_sequence(b, j, indent);
}

char *slu_yaml_text(const struct json_t *j)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SIZE_MAX);

	if (!j)
		return NULL;
	if (is_block(j)) {
		put_value(&b, j, 0);
	} else {
		put_scalar(&b, j);
		slu_buf_ch(&b, '\n');
	}
	return slu_buf_take(&b);
}
