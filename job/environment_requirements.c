/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requirements of pip, line by line.  What they say is pip's to understand; only what names another file is read here,
 * so that all of it is kept with the run: `-r` becomes its lines, `-c` a list of its own, a folder of `--find-links`
 * absolute.
 */
#include "job/environment_requirements.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20, NESTED_MAX = 8 };

int slu_requirements_new(struct slu_requirements *q, struct slu_err *e)
{
	*q = (struct slu_requirements){slu_json_array(), slu_json_array()};
	return q->lines && q->constraints ? 0 : slu_fail_oom(e);
}

void slu_requirements_done(struct slu_requirements *q)
{
	slu_json_free(q->lines);
	slu_json_free(q->constraints);
}

int slu_requirements_put(const struct slu_requirements *q, struct json_t *o, struct slu_err *e)
{
	if (!slu_json_count(q->constraints))
		return 0;
	return slu_json_set(o, "constraints", slu_json_ref(q->constraints)) < 0 ? slu_fail_oom(e)
										: 0;
}

bool slu_requirements_has_user(const char *text)
{
	for (const char *p = strstr(text, "://"); p; p = strstr(p + 3, "://"))
		if (memchr(p + 3, '@', strcspn(p + 3, "/ \t'\"")))
			return true;
	return false;
}

static int check_line(const char *line, struct slu_err *e)
{
	if (slu_requirements_has_user(line))
		return slu_fail(
			e, EINVAL,
			"a requirement has a user in its URL, which would be kept with the run: "
			"put the index into pip.conf instead");
	if (slu_starts(line, "-e") || slu_starts(line, "--editable") || line[0] == '.' ||
	    line[0] == '/' || slu_starts(line, "file:"))
		return slu_fail(e, EINVAL,
				"requirement '%s' is a local folder: put its package into the code "
				"folder, or name a package of an index",
				line);
	return 0;
}

/* --- lines that name a file --- */

/* What follows the option in a line, "-r FILE", "-rFILE", "--requirement FILE" or "--requirement=FILE"; NULL: another line.
 * Quotes around it are taken off, in place. */
static char *value_of(char *line, const char *brief, const char *full)
{
	char *p = line + strlen(slu_starts(line, "--") ? full : brief), quote;
	size_t n;

	if (slu_starts(line, "--") ? !slu_starts(line, full) || !*p || !strchr("= \t", *p)
				   : !slu_starts(line, brief) || !*p)
		return NULL;
	p += *p == '=' && slu_starts(line, "--");
	p += strspn(p, " \t");
	quote = *p;
	n = strlen(p);
	if ((quote != '"' && quote != '\'') || n < 2 || p[n - 1] != quote)
		return p;
	p[n - 1] = '\0';
	return p + 1;
}

static bool is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

static char *beside(const char *dir, const char *path)
{
	const char *plain = slu_after(path, "file://");

	path = plain ? plain : path;
	return path[0] == '/' ? slu_strdup(path) : slu_asprintf("%s/%s", dir, path);
}

static int add_file(struct slu_requirements *q, struct json_t *into, const char *path, int depth,
		    struct slu_err *e);

static int add_named(struct slu_requirements *q, struct json_t *into, const char *name,
		     const char *dir, int depth, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;

	if (is_url(name) && !slu_starts(name, "file://"))
		return slu_fail(e, EINVAL,
				"'%s' is at a URL, where it may change: save it beside this file, "
				"and name that one",
				slu_requirements_has_user(name) ? "what is named" : name);
	path = beside(dir, name);
	return path ? add_file(q, into, path, depth + 1, e) : slu_fail_oom(e);
}

/* The line that has pip read them comes with the first of them. */
static int add_constraints(struct slu_requirements *q, const char *name, const char *dir, int depth,
			   struct slu_err *e)
{
	bool first = !slu_json_count(q->constraints);
	int r = add_named(q, q->constraints, name, dir, depth, e);

	if (r == 0 && first && slu_json_count(q->constraints) &&
	    slu_json_append(q->lines, slu_json_new_str("-c " SLU_CONSTRAINTS)) < 0)
		r = slu_fail_oom(e);
	return r;
}

/* pip looks beside the file; the list is read elsewhere. */
static char *links_line(const char *value, const char *dir)
{
	SLU_AUTO(slu_freep) char *path = is_url(value) ? NULL : beside(dir, value);

	if (!path || value[0] == '/' || access(path, F_OK) < 0 || strpbrk(path, " \t'\"\\"))
		return NULL;
	return slu_asprintf("--find-links %s", path);
}

/* p: without comment, and without blanks at its ends. */
static int add_plain(struct slu_requirements *q, struct json_t *into, char *p, const char *dir,
		     int depth, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *line = NULL;
	const char *value;
	int r;

	if ((value = value_of(p, "-r", "--requirement")))
		return add_named(q, into, value, dir, depth, e);
	if ((value = value_of(p, "-c", "--constraint")))
		return add_constraints(q, value, dir, depth, e);
	r = check_line(p, e);
	if (r < 0)
		return r;
	if ((value = value_of(p, "-f", "--find-links")))
		line = links_line(value, dir);
	return slu_json_append(into, slu_json_new_str(line ? line : p)) < 0 ? slu_fail_oom(e) : 0;
}

/* A line as pip reads it: comments and blanks off. */
static int add_line(struct slu_requirements *q, struct json_t *into, const char *text,
		    const char *dir, int depth, struct slu_err *e)
{
	const char *end = text[0] == '#' ? text : strstr(text, " #");
	SLU_AUTO(slu_freep)
	char *line = slu_strndup(text, end ? (size_t)(end - text) : strlen(text));
	char *p = line;

	if (!line)
		return slu_fail_oom(e);
	p += strspn(p, " \t");
	for (size_t n = strlen(p); n && strchr(" \t\r", p[n - 1]); n--)
		p[n - 1] = '\0';
	return *p ? add_plain(q, into, p, dir, depth, e) : 0;
}

static int add_file(struct slu_requirements *q, struct json_t *into, const char *path, int depth,
		    struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(path);
	int r = depth > NESTED_MAX
			? slu_fail(e, ELOOP, "'%s' names itself by -r or -c, or too many files",
				   path)
			: slu_buf_read_file(&b, path, e);
	char *p = b.p, *line;

	if (!dir)
		return slu_fail_oom(e);
	while (r == 0 && p && (line = strsep(&p, "\n")))
		r = add_line(q, into, line, dir, depth, e);
	return r;
}

int slu_requirements_file(struct slu_requirements *q, const char *path, struct slu_err *e)
{
	return add_file(q, q->lines, path, 0, e);
}

int slu_requirements_list(struct slu_requirements *q, const struct json_t *list, const char *dir,
			  struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < slu_json_count(list) && r == 0; i++) {
		const char *text = slu_json_string(slu_json_at(list, i));

		r = text && !strpbrk(text, "\r\n")
			    ? add_line(q, q->lines, text, dir, 0, e)
			    : slu_fail(e, EINVAL, "a requirement of pip is one line of text");
	}
	return r;
}
