/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See partition.h.  A format becomes a list of parts, matched by going back to the last choice when a part does
 * not fit; formats come from other people, so the number of tries is bounded, and what takes more does not match.
 */
#include "dataset/partition.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define FORMAT_MAX 4096
#define STEPS_MAX 2000000u

enum part_kind { LITERAL, KEY, ANY, DIGITS };

struct part {
	enum part_kind kind;
	char c;        /* LITERAL: this one */
	size_t column; /* KEY; SIZE_MAX: it is had already */
	size_t field;  /* DIGITS: of `fields` */
};

/* The parts of a time. */
static const struct {
	const char *text;
	size_t n;
} fields[] = {{"yyyy", 4}, {"MM", 2}, {"dd", 2}, {"HH", 2}, {"mm", 2}, {"ss", 2}};

#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

struct slu_partition {
	SLU_VEC(struct part) parts;
	SLU_VEC(char *) names; /* of the texts, then of the time */
	bool time;
};

void slu_partition_free(struct slu_partition *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->names.n; i++)
		free(p->names.p[i]);
	free(p->names.p);
	free(p->parts.p);
	free(p);
}

size_t slu_partition_columns(const struct slu_partition *p)
{
	return p->names.n;
}

const char *slu_partition_name(const struct slu_partition *p, size_t column)
{
	return p->names.p[column];
}

bool slu_partition_is_time(const struct slu_partition *p, size_t column)
{
	return p->time && column + 1 == p->names.n;
}

/* --- reading a format --- */

struct parser {
	struct slu_partition *p;
	const char *format;
	char *time; /* name of its column */
	struct slu_err *e;
};

static int bad(const struct parser *ps, const char *why)
{
	return slu_fail(ps->e, EINVAL, "partition_format '%.200s': %s", ps->format, why);
}

static int push(const struct parser *ps, struct part part)
{
	return slu_vec_push(&ps->p->parts, part) ? 0 : slu_fail_oom(ps->e);
}

static bool is_reserved(const char *name)
{
	const char *rest = slu_after(name, "_sys_");

	for (size_t i = 0; rest && i < NFIELDS; i++)
		if (slu_streq(rest, fields[i].text))
			return true;
	return false;
}

/* {name}, without the braces */
static int add_key(struct parser *ps, const char *s, size_t n)
{
	SLU_AUTO(slu_freep) char *name = slu_strndup(s, n);
	struct part part = {.kind = KEY, .column = SIZE_MAX};
	size_t i = 0;

	if (!name)
		return slu_fail_oom(ps->e);
	if (is_reserved(name))
		return bad(ps, "names like '_sys_yyyy' are reserved");
	if (ps->time && slu_streq(ps->time, name))
		return bad(ps, "the column of the time cannot be a text as well");
	while (i < ps->p->names.n && !slu_streq(ps->p->names.p[i], name))
		i++;
	if (i == ps->p->names.n) {
		part.column = i;
		if (!slu_vec_push(&ps->p->names, name))
			return slu_fail_oom(ps->e);
		slu_take(name);
	}
	return push(ps, part);
}

/* The field that s begins with; NFIELDS: none. */
static size_t field_at(const char *s, size_t n)
{
	for (size_t i = 0; i < NFIELDS; i++)
		if (n >= fields[i].n && memcmp(s, fields[i].text, fields[i].n) == 0)
			return i;
	return NFIELDS;
}

/* {name:yyyy/MM}; the name is s[0, n), the format f[0, m) */
static int add_time(struct parser *ps, const char *s, size_t n, const char *f, size_t m)
{
	bool had[NFIELDS] = {false};

	if (ps->time)
		return bad(ps, "only one column can be a time");
	ps->time = slu_strndup(s, n);
	if (!ps->time)
		return slu_fail_oom(ps->e);
	if (is_reserved(ps->time))
		return bad(ps, "names like '_sys_yyyy' are reserved");
	for (size_t i = 0; i < ps->p->names.n; i++)
		if (slu_streq(ps->p->names.p[i], ps->time))
			return bad(ps, "the column of the time cannot be a text as well");
	if (m == 0)
		return bad(ps, "after ':' the parts of a time are missing, such as yyyy/MM/dd");
	for (size_t i = 0; i < m;) {
		size_t k = field_at(f + i, m - i);
		struct part part = {.kind = LITERAL, .c = f[i]};

		if (k == NFIELDS && isalpha((unsigned char)f[i]))
			return bad(ps, "a time is made of yyyy, MM, dd, HH, mm and ss");
		if (k < NFIELDS) {
			if (had[k])
				return bad(ps, "a part of the time is there twice");
			had[k] = true;
			part = (struct part){.kind = DIGITS, .field = k};
		}
		int r = push(ps, part);

		if (r < 0)
			return r;
		i += k < NFIELDS ? fields[k].n : 1;
	}
	return had[0] ? 0 : bad(ps, "a time needs its year, yyyy");
}

/* s: behind a '{'.  *ret: behind its '}'. */
static int read_braces(struct parser *ps, const char *s, const char **ret)
{
	size_t n = strcspn(s, "{}");
	const char *colon = memchr(s, ':', n);
	size_t name = colon ? (size_t)(colon - s) : n;

	if (s[n] != '}')
		return bad(ps, s[n] ? "braces cannot stand in braces" : "a '{' is not closed");
	if (name == 0)
		return bad(ps, "the name between '{' and '}' is missing");
	*ret = s + n + 1;
	return colon ? add_time(ps, s, name, colon + 1, n - name - 1) : add_key(ps, s, n);
}

static int read_format(struct parser *ps)
{
	for (const char *s = ps->format; *s;) {
		bool twice = (*s == '{' || *s == '}') && s[1] == *s;
		struct part part = {.kind = *s == '*' ? ANY : LITERAL, .c = *s};
		int r;

		if (*s == '{' && !twice) {
			r = read_braces(ps, s + 1, &s);
		} else if (*s == '}' && !twice) {
			r = bad(ps, "a '}' without its '{': '}}' stands for a brace");
		} else {
			r = push(ps, part);
			s += twice ? 2 : 1;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int slu_partition_parse(const char *format, struct slu_partition **ret, struct slu_err *e)
{
	SLU_AUTO(slu_partition_freep) struct slu_partition *p = slu_new0(struct slu_partition);
	struct parser ps = {.p = p, .format = format, .e = e};
	int r;

	if (!p)
		return slu_fail_oom(e);
	if (strlen(format) > FORMAT_MAX)
		return bad(&ps, "it is too long");
	r = read_format(&ps);
	if (r == 0 && p->names.n == 0 && !ps.time)
		r = bad(&ps, "it has no {name}");
	if (r == 0 && ps.time) {
		p->time = true;
		r = slu_vec_push(&p->names, ps.time) ? 0 : slu_fail_oom(e);
		if (r == 0)
			ps.time = NULL;
	}
	free(ps.time);
	if (r == 0)
		*ret = slu_take(p);
	return r;
}

/* --- matching --- */

struct match {
	const struct slu_partition *p;
	const char *path;
	size_t n, steps;
	struct {
		size_t from, len;
	} * at; /* what each part takes now */
};

static bool is_key_char(char c)
{
	return c != '.' && c != '/' && c != '\\';
}

/* How much part i can take at most, at `pos`; SIZE_MAX: it does not fit there. */
static size_t most(const struct match *m, const struct part *part, size_t pos)
{
	size_t n = 0, left = m->n - pos;

	switch (part->kind) {
	case LITERAL:
		return left && m->path[pos] == part->c ? 1 : SIZE_MAX;
	case ANY:
		return left;
	case DIGITS:
		if (left < fields[part->field].n)
			return SIZE_MAX;
		while (n < fields[part->field].n && isdigit((unsigned char)m->path[pos + n]))
			n++;
		return n == fields[part->field].n ? n : SIZE_MAX;
	default:
		while (n < left && is_key_char(m->path[pos + n]))
			n++;
		return n ? n : SIZE_MAX;
	}
}

/* The next choice of part i, where it began; false: there is none left. */
static bool retake(struct match *m, size_t i)
{
	const struct part *part = &m->p->parts.p[i];

	if (part->kind == KEY && m->at[i].len > 1) {
		m->at[i].len--;
		return true;
	}
	if (part->kind == ANY && m->at[i].from + m->at[i].len < m->n) {
		m->at[i].len++;
		return true;
	}
	return false;
}

/* Do the parts fit from `start` to the end of the path? */
static bool fits(struct match *m, size_t start)
{
	size_t i = 0, pos = start, parts = m->p->parts.n;

	for (;;) {
		bool ok = i < parts;

		if (++m->steps > STEPS_MAX)
			return false;
		if (ok) {
			size_t len = most(m, &m->p->parts.p[i], pos);

			ok = len != SIZE_MAX;
			m->at[i].from = pos;
			m->at[i].len = m->p->parts.p[i].kind == ANY ? 0 : len;
		} else if (pos == m->n) {
			return true;
		}
		if (!ok) { /* another choice of a part before */
			while (i > 0 && !retake(m, i - 1))
				i--;
			if (i == 0)
				return false;
			i--;
		}
		pos = m->at[i].from + m->at[i].len;
		i++;
	}
}

static unsigned number(const char *s, size_t n)
{
	unsigned v = 0;

	while (n--)
		v = v * 10 + (unsigned)(*s++ - '0');
	return v;
}

/* NULL in *ret: none of the calendar. */
static int time_value(const struct match *m, char **ret)
{
	unsigned v[NFIELDS] = {0, 1, 1, 0, 0, 0};
	char text[SLU_TIME_LEN + 1];
	int64_t ns;

	for (size_t i = 0; i < m->p->parts.n; i++)
		if (m->p->parts.p[i].kind == DIGITS)
			v[m->p->parts.p[i].field] = number(m->path + m->at[i].from, m->at[i].len);
	snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02uZ", v[0] % 10000, v[1] % 100,
		 v[2] % 100, v[3] % 100, v[4] % 100, v[5] % 100);
	if (!slu_time_parse(text, &ns))
		return 0;
	*ret = slu_strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int take_values(const struct match *m, char **values)
{
	for (size_t i = 0; i < m->p->parts.n; i++) {
		const struct part *part = &m->p->parts.p[i];

		if (part->kind != KEY || part->column == SIZE_MAX)
			continue;
		values[part->column] = slu_strndup(m->path + m->at[i].from, m->at[i].len);
		if (!values[part->column])
			return -ENOMEM;
	}
	return m->p->time ? time_value(m, &values[m->p->names.n - 1]) : 0;
}

int slu_partition_match(const struct slu_partition *p, const char *path, char **values,
			bool *ret_matched)
{
	struct match m = {.p = p, .path = path, .n = strlen(path)};
	bool found = false;
	int r = 0;

	for (size_t i = 0; i < p->names.n; i++)
		values[i] = NULL;
	m.at = slu_calloc(p->parts.n, sizeof(*m.at));
	if (!m.at)
		return -ENOMEM;
	for (size_t start = 0; !found && start < m.n && m.steps <= STEPS_MAX; start++)
		found = fits(&m, start);
	if (found)
		r = take_values(&m, values);
	for (size_t i = 0; r < 0 && i < p->names.n; i++) {
		free(values[i]);
		values[i] = NULL;
	}
	free(m.at);
	*ret_matched = found;
	return r;
}
