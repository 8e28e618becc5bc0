/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML reader: libyaml's events become a JSON tree, and the position of every key and value is
 * kept beside it.  What a plain scalar means is in yaml_scalar.c, the writer in yaml_text.c,
 * finding and reporting positions in yaml_where.c.  Aliases are copied, so a tree is a tree; what
 * they may expand to is limited in nodes and in bytes.
 */
#include "common/yaml.h"
#include "common/buf.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/yaml_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <yaml.h>

enum {
	DEPTH_MAX = 64,
	ANCHORS_MAX = 1000,
	COPIED_NODES_MAX = 100000,
	COPIED_BYTES_MAX = 16 << 20,
};

struct anchor {
	char *name;
	struct json_t *value; /* borrowed from the tree; NULL until it is complete */
};

struct reader {
	yaml_parser_t parser;
	struct slu_yaml *y;
	SLU_VEC(struct anchor) anchors;
	size_t copied_nodes, copied_bytes;
	struct slu_err *e;
};

static int read_node(struct reader *r, yaml_event_t *ev, int depth, struct json_t **ret);

static int __attribute__((format(printf, 3, 4)))
fail_at(struct reader *r, const yaml_mark_t *m, const char *fmt, ...)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = slu_vasprintf(fmt, ap);
	va_end(ap);
	if (!text)
		return slu_fail_oom(r->e);
	return slu_fail(r->e, EBADMSG, "'%s:%zu:%zu': %s", r->y->what, m->line + 1, m->column + 1,
			text);
}

/* libyaml's own complaint.  Its reader (bad bytes) gives an offset, not a line. */
static int fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	yaml_mark_t m = p->problem_mark;
	const char *problem = p->problem ? p->problem : "cannot be read";

	if (p->error == YAML_MEMORY_ERROR)
		return slu_fail_oom(r->e);
	if (p->error == YAML_READER_ERROR) {
		m = (yaml_mark_t){0};
		for (size_t i = 0; i < p->problem_offset && i < r->y->size; i++) {
			m.column = r->y->text[i] == '\n' ? 0 : m.column + 1;
			m.line += r->y->text[i] == '\n';
		}
	}
	if (p->context && p->context_mark.line != m.line)
		return fail_at(r, &m, "%s (%s from line %zu)", problem, p->context,
			       p->context_mark.line + 1);
	if (p->context)
		return fail_at(r, &m, "%s (%s)", problem, p->context);
	return fail_at(r, &m, "%s", problem);
}

static int next_event(struct reader *r, yaml_event_t *ev)
{
	return yaml_parser_parse(&r->parser, ev) ? 0 : fail_parser(r);
}

static int remember(struct reader *r, const void *v, const char *key, const yaml_mark_t *m)
{
	struct slu_yaml_pos pos = {
		.v = v,
		.key = key ? slu_yaml_key_hash(key) : 0,
		.line = (int)m->line + 1,
		.col = (int)m->column + 1,
	};

	/* these three are the same value everywhere; their keys tell where they are */
	if (!key && (slu_json_is_null(v) || slu_json_is_bool(v)))
		return 0;
	return slu_vec_push(&r->y->pos, pos) ? 0 : slu_fail_oom(r->e);
}

/* Opens an anchor: from here its name is known, but not yet usable.  *ret: its number + 1, or 0. */
static int open_anchor(struct reader *r, const yaml_char_t *name, const yaml_mark_t *m, size_t *ret)
{
	struct anchor a = {0};

	*ret = 0;
	if (!name)
		return 0;
	if (r->anchors.n == ANCHORS_MAX)
		return fail_at(r, m, "more than %d anchors", ANCHORS_MAX);
	a.name = slu_strdup((const char *)name);
	if (!a.name || !slu_vec_push(&r->anchors, a)) {
		free(a.name);
		return slu_fail_oom(r->e);
	}
	*ret = r->anchors.n;
	return 0;
}

static void close_anchor(struct reader *r, size_t number, struct json_t *v)
{
	if (number)
		r->anchors.p[number - 1].value = v;
}

static int copy_node(struct reader *r, struct json_t *v, const yaml_mark_t *m, struct json_t **ret);

static int copy_array(struct reader *r, struct json_t *v, const yaml_mark_t *m, struct json_t *to)
{
	struct json_t *sub;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < slu_json_count(v); i++) {
		rc = copy_node(r, slu_json_at(v, i), m, &sub);
		if (rc == 0 && slu_json_append(to, sub) < 0)
			rc = slu_fail_oom(r->e);
	}
	return rc;
}

static int copy_object(struct reader *r, struct json_t *v, const yaml_mark_t *m, struct json_t *to)
{
	struct json_t *sub;
	int rc = 0;

	for (void *it = slu_json_iter(v); rc == 0 && it; it = slu_json_next(v, it)) {
		const char *key = slu_json_iter_key(it);

		rc = copy_node(r, slu_json_iter_value(it), m, &sub);
		if (rc == 0 && slu_json_set(to, key, sub) < 0)
			rc = slu_fail_oom(r->e);
		if (rc == 0)
			rc = remember(r, to, key, m);
	}
	return rc;
}

/* Copies what an alias at m stands for.  The alias is where the copies stand. */
static int copy_node(struct reader *r, struct json_t *v, const yaml_mark_t *m, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *copy = NULL;
	const char *s = slu_json_string(v);
	bool array = slu_json_is_array(v);
	int rc;

	r->copied_bytes += s ? strlen(s) : 0;
	if (++r->copied_nodes > COPIED_NODES_MAX || r->copied_bytes > COPIED_BYTES_MAX)
		return fail_at(r, m, "the aliases expand to too much: write the values out");
	if (!array && !slu_json_is_object(v)) {
		*ret = slu_json_ref(v);
		return 0;
	}
	copy = array ? slu_json_array() : slu_json_object();
	if (!copy)
		return slu_fail_oom(r->e);
	rc = remember(r, copy, NULL, m);
	if (rc == 0)
		rc = array ? copy_array(r, v, m, copy) : copy_object(r, v, m, copy);
	if (rc == 0)
		*ret = slu_take(copy);
	return rc;
}

static int read_alias(struct reader *r, const yaml_event_t *ev, struct json_t **ret)
{
	const char *name = (const char *)ev->data.alias.anchor;

	for (size_t i = r->anchors.n; i-- > 0;) {
		if (!slu_streq(r->anchors.p[i].name, name))
			continue;
		if (!r->anchors.p[i].value)
			return fail_at(r, &ev->start_mark,
				       "alias '*%s' stands inside its own anchor", name);
		return copy_node(r, r->anchors.p[i].value, &ev->start_mark, ret);
	}
	return fail_at(r, &ev->start_mark, "alias '*%s' has no anchor '&%s' before it", name, name);
}

static int check_scalar(struct reader *r, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (ev->data.scalar.tag)
		return fail_at(r, &ev->start_mark, "tags are not supported: remove '%s'",
			       (const char *)ev->data.scalar.tag);
	if (strlen(s) != ev->data.scalar.length)
		return fail_at(r, &ev->start_mark, "a string holds a NUL character: remove it");
	return 0;
}

static int read_scalar(struct reader *r, const yaml_event_t *ev, struct json_t **ret)
{
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	const char *s = (const char *)ev->data.scalar.value;
	SLU_AUTO(slu_json_freep) struct json_t *v = NULL;
	size_t anchor;
	int rc = check_scalar(r, ev);

	if (rc < 0)
		return rc;
	v = plain ? slu_yaml_plain(s) : slu_json_new_str(s);
	if (!v)
		return slu_fail_oom(r->e);
	rc = open_anchor(r, ev->data.scalar.anchor, &ev->start_mark, &anchor);
	if (rc == 0)
		rc = remember(r, v, NULL, &ev->start_mark);
	if (rc < 0)
		return rc;
	close_anchor(r, anchor, v);
	*ret = slu_take(v);
	return 0;
}

static int read_sequence(struct reader *r, const yaml_event_t *start, int depth,
			 struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *a = slu_json_array();
	size_t anchor;
	int rc;

	if (!a)
		return slu_fail_oom(r->e);
	if (start->data.sequence_start.tag)
		return fail_at(r, &start->start_mark, "tags are not supported: remove '%s'",
			       (const char *)start->data.sequence_start.tag);
	rc = open_anchor(r, start->data.sequence_start.anchor, &start->start_mark, &anchor);
	if (rc == 0)
		rc = remember(r, a, NULL, &start->start_mark);
	while (rc == 0) {
		SLU_AUTO(yaml_event_delete) yaml_event_t ev = {0};
		struct json_t *v;

		rc = next_event(r, &ev);
		if (rc == 0 && ev.type == YAML_SEQUENCE_END_EVENT) {
			close_anchor(r, anchor, a);
			*ret = slu_take(a);
			return 0;
		}
		if (rc == 0)
			rc = read_node(r, &ev, depth + 1, &v);
		if (rc == 0 && slu_json_append(a, v) < 0)
			rc = slu_fail_oom(r->e);
	}
	return rc;
}

/* A key and its value into o. */
static int read_member(struct reader *r, const yaml_event_t *key_ev, int depth, struct json_t *o)
{
	const char *key = (const char *)key_ev->data.scalar.value;
	SLU_AUTO(yaml_event_delete) yaml_event_t ev = {0};
	struct json_t *v;
	int rc;

	if (key_ev->type != YAML_SCALAR_EVENT)
		return fail_at(r, &key_ev->start_mark, "a key must be a plain word or a string");
	rc = check_scalar(r, key_ev);
	if (rc < 0)
		return rc;
	if (key_ev->data.scalar.anchor)
		return fail_at(r, &key_ev->start_mark, "anchors on keys are not supported");
	if (slu_streq(key, "<<") && key_ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail_at(r, &key_ev->start_mark,
			       "merge keys ('<<') are not supported: write the keys out");
	if (slu_json_get(o, key))
		return fail_at(r, &key_ev->start_mark, "key '%s' stands here twice", key);
	rc = remember(r, o, key, &key_ev->start_mark);
	if (rc == 0)
		rc = next_event(r, &ev);
	if (rc == 0)
		rc = read_node(r, &ev, depth + 1, &v);
	if (rc == 0 && slu_json_set(o, key, v) < 0)
		rc = slu_fail_oom(r->e);
	return rc;
}

static int read_mapping(struct reader *r, const yaml_event_t *start, int depth, struct json_t **ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	size_t anchor;
	int rc;

	if (!o)
		return slu_fail_oom(r->e);
	if (start->data.mapping_start.tag)
		return fail_at(r, &start->start_mark, "tags are not supported: remove '%s'",
			       (const char *)start->data.mapping_start.tag);
	rc = open_anchor(r, start->data.mapping_start.anchor, &start->start_mark, &anchor);
	if (rc == 0)
		rc = remember(r, o, NULL, &start->start_mark);
	while (rc == 0) {
		SLU_AUTO(yaml_event_delete) yaml_event_t ev = {0};

		rc = next_event(r, &ev);
		if (rc == 0 && ev.type == YAML_MAPPING_END_EVENT) {
			close_anchor(r, anchor, o);
			*ret = slu_take(o);
			return 0;
		}
		if (rc == 0)
			rc = read_member(r, &ev, depth, o);
	}
	return rc;
}

static int read_node(struct reader *r, yaml_event_t *ev, int depth, struct json_t **ret)
{
	if (depth > DEPTH_MAX)
		return fail_at(r, &ev->start_mark, "nested deeper than %d levels", DEPTH_MAX);
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(r, ev, ret);
	case YAML_SEQUENCE_START_EVENT:
		return read_sequence(r, ev, depth, ret);
	case YAML_MAPPING_START_EVENT:
		return read_mapping(r, ev, depth, ret);
	case YAML_ALIAS_EVENT:
		return read_alias(r, ev, ret);
	default:
		return fail_at(r, &ev->start_mark, "a value was expected here");
	}
}

static int expect(struct reader *r, yaml_event_type_t type)
{
	SLU_AUTO(yaml_event_delete) yaml_event_t ev = {0};
	int rc = next_event(r, &ev);

	if (rc < 0 || ev.type == type)
		return rc;
	return fail_at(r, &ev.start_mark, "only one document may be in this file");
}

static int read_document(struct reader *r)
{
	SLU_AUTO(yaml_event_delete) yaml_event_t first = {0};
	SLU_AUTO(yaml_event_delete) yaml_event_t ev = {0};
	int rc = expect(r, YAML_STREAM_START_EVENT);

	if (rc == 0)
		rc = next_event(r, &first);
	if (rc < 0)
		return rc;
	if (first.type == YAML_STREAM_END_EVENT) {
		r->y->root = slu_json_new_null();
		return 0;
	}
	rc = next_event(r, &ev);
	if (rc == 0)
		rc = read_node(r, &ev, 1, &r->y->root);
	if (rc == 0)
		rc = expect(r, YAML_DOCUMENT_END_EVENT);
	if (rc == 0)
		rc = expect(r, YAML_STREAM_END_EVENT);
	return rc;
}

int slu_yaml_parse(const char *text, size_t n, const char *what, struct slu_yaml **ret,
		   struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = slu_new0(struct slu_yaml);
	struct reader r = {.y = y, .e = e};
	int rc;

	if (!y || !(y->what = slu_strdup(what)) || !yaml_parser_initialize(&r.parser))
		return slu_fail_oom(e);
	y->text = text;
	y->size = n;
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	rc = read_document(&r);
	yaml_parser_delete(&r.parser);
	for (size_t i = 0; i < r.anchors.n; i++)
		free(r.anchors.p[i].name);
	free(r.anchors.p);
	y->text = NULL;
	if (rc < 0)
		return rc;
	slu_yaml_pos_sort(y);
	*ret = slu_take(y);
	return 0;
}

int slu_yaml_read_file(const char *path, size_t max, struct slu_yaml **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(max);
	int r = slu_buf_read_file(&b, path, e);

	if (r == -EFBIG)
		return slu_fail(e, EBADMSG, "'%s' is too large: such a file has at most %zu bytes",
				path, max);
	return r < 0 ? r : slu_yaml_parse(b.p ? b.p : "", b.len, path, ret, e);
}

void slu_yaml_free(struct slu_yaml *y)
{
	if (!y)
		return;
	slu_json_free(y->root);
	free(y->pos.p);
	free(y->what);
	free(y);
}

struct json_t *slu_yaml_root(const struct slu_yaml *y)
{
	return y->root;
}
