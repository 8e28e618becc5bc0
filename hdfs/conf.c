/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hadoop's configuration files (conf.h).  Only what says where a file system is, and how it is spoken to, is of
 * interest later; all properties are kept, since any may be named by another.  Files that are included are read by
 * path: whoever may write the configuration may name any file, but of one that is not XML nothing is shown.
 */
#include "hdfs/conf.h"

#include "common/buf.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/xml.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (8u << 20)
#define FILES_MAX 64 /* with all that are included */
#define DEPTH_MAX 8  /* of includes */
#define PROPERTIES_MAX 20000
#define NAME_MAX_LEN 1024
#define VALUE_MAX (64u << 10)
#define SUBST_MAX 20 /* as in Configuration.java */

struct property {
	char *value;
	bool final;
};

struct slu_hconf {
	struct slu_hash *all;
	unsigned files;
};

/* A document being read. */
struct document {
	struct slu_hconf *c;
	struct slu_xml *x;
	const char *what, *dir;
	unsigned depth;
};

static void property_free(void *p)
{
	struct property *q = p;

	if (q)
		free(q->value);
	free(q);
}

int slu_hconf_new(struct slu_hconf **ret)
{
	struct slu_hconf *c = slu_new0(struct slu_hconf);

	if (!c || !(c->all = slu_hash_new())) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void slu_hconf_free(struct slu_hconf *c)
{
	if (!c)
		return;
	slu_hash_free(c->all, property_free);
	free(c);
}

/* --- one property --- */

static char *trimmed(const char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		n--;
	return slu_strndup(s, n);
}

static const struct {
	const char *old, *now;
} renamed[] = {
	{"fs.default.name", "fs.defaultFS"},
	{"dfs.federation.nameservices", "dfs.nameservices"},
	{"dfs.http.address", "dfs.namenode.http-address"},
	{"dfs.https.address", "dfs.namenode.https-address"},
};

static const char *name_now(const char *name)
{
	for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
		if (slu_streq(renamed[i].old, name))
			return renamed[i].now;
	return name;
}

static int put(struct slu_hconf *c, const char *name, const char *value, bool final,
	       struct slu_err *e)
{
	struct property *p = slu_hash_get(c->all, name_now(name));
	char *copy;

	if (p && p->final)
		return 0;
	if (strlen(name) > NAME_MAX_LEN || strlen(value) > VALUE_MAX)
		return slu_fail(e, EBADMSG, "a property is longer than %u bytes", VALUE_MAX);
	if (!p && slu_hash_count(c->all) >= PROPERTIES_MAX)
		return slu_fail(e, EBADMSG, "more than %d properties", PROPERTIES_MAX);
	copy = slu_strdup(value);
	if (!copy)
		return slu_fail_oom(e);
	if (!p) {
		p = slu_new0(struct property);
		if (!p || !slu_hash_put(c->all, name_now(name), p)) {
			free(p);
			free(copy);
			return slu_fail_oom(e);
		}
	}
	free(p->value);
	p->value = copy;
	p->final = final;
	return 0;
}

int slu_hconf_set(struct slu_hconf *c, const char *name, const char *value)
{
	struct property *p = slu_hash_get(c->all, name_now(name));

	if (p)
		p->final = false;
	return put(c, name, value, true, NULL);
}

/* --- documents --- */

struct fields {
	char *name, *value, *final;
};

static void fields_done(struct fields *f)
{
	free(f->name);
	free(f->value);
	free(f->final);
}

/* Skips an element that was opened; its text goes into *ret when that is wanted. */
static int element_text(struct document *d, char **ret, struct slu_err *e)
{
	int depth = slu_xml_depth(d->x), r;

	for (;;) {
		r = slu_xml_next(d->x, e);
		if (r < 0)
			return r;
		if (r == SLU_XML_TEXT && ret && slu_xml_depth(d->x) == depth) {
			free(*ret);
			*ret = slu_strdup(slu_xml_text(d->x));
			if (!*ret)
				return slu_fail_oom(e);
		}
		if (r == SLU_XML_END || (r == SLU_XML_CLOSE && slu_xml_depth(d->x) == depth))
			break;
	}
	if (ret && !*ret && !(*ret = slu_strdup("")))
		return slu_fail_oom(e);
	return 0;
}

static int take_attr(struct document *d, const char *name, char **ret, struct slu_err *e)
{
	const char *v = slu_xml_attr(d->x, name);

	if (v && !(*ret = slu_strdup(v)))
		return slu_fail_oom(e);
	return 0;
}

static int store_fields(struct document *d, const struct fields *f, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *name = f->name ? trimmed(f->name) : NULL;
	SLU_AUTO(slu_freep) char *final = trimmed(f->final ? f->final : "");
	int r;

	if ((f->name && !name) || !final)
		return slu_fail_oom(e);
	if (!name || !*name || !f->value)
		return 0; /* as Hadoop has it */
	r = put(d->c, name, f->value, slu_streq(final, "true"), e);
	return r < 0 && r != -ENOMEM ? slu_fail_more(e, "'%s'", d->what) : r;
}

static int read_property(struct document *d, struct slu_err *e)
{
	SLU_AUTO(fields_done) struct fields f = {0};
	int depth = slu_xml_depth(d->x), r = take_attr(d, "name", &f.name, e);

	if (r == 0)
		r = take_attr(d, "value", &f.value, e);
	if (r == 0)
		r = take_attr(d, "final", &f.final, e);
	while (r == 0) {
		const char *name;
		char **into = NULL;

		r = slu_xml_next(d->x, e);
		if (r < 0)
			return r;
		if (r == SLU_XML_END || (r == SLU_XML_CLOSE && slu_xml_depth(d->x) == depth))
			return store_fields(d, &f, e);
		if (r != SLU_XML_OPEN) {
			r = 0;
			continue;
		}
		name = slu_xml_name(d->x);
		if (slu_streq(name, "name"))
			into = &f.name;
		else if (slu_streq(name, "value"))
			into = &f.value;
		else if (slu_streq(name, "final"))
			into = &f.final;
		r = element_text(d, into, e);
	}
	return r;
}

static int load_file(struct slu_hconf *c, const char *path, unsigned depth, struct slu_err *e);
static int read_inside(struct document *d, struct slu_err *e);

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* The file that an include names: 0, -ENOENT when there is none. */
static int load_included(struct document *d, const char *href, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	const char *local = slu_after(href, "file://");

	if (!local)
		local = slu_after(href, "file:");
	if (!local && strstr(href, "://"))
		return slu_fail(e, EBADMSG, "'%s' includes '%s': only files can be included",
				d->what, href);
	local = local ? local : href;
	if (!d->dir || !*local)
		return -ENOENT;
	path = *local == '/' ? slu_strdup(local) : slu_asprintf("%s/%s", d->dir, local);
	if (!path)
		return slu_fail_oom(e);
	if (!is_there(path))
		return -ENOENT;
	if (d->depth + 1 >= DEPTH_MAX)
		return slu_fail(e, EBADMSG,
				"'%s' includes '%s': that is more than %d files deep, or a circle",
				d->what, href, DEPTH_MAX);
	return load_file(d->c, path, d->depth + 1, e);
}

/* 1: an element was opened; 0: that of this depth is closed. */
static int next_inside(struct document *d, int depth, struct slu_err *e)
{
	int r;

	do {
		r = slu_xml_next(d->x, e);
		if (r == SLU_XML_END || (r == SLU_XML_CLOSE && slu_xml_depth(d->x) == depth))
			return 0;
	} while (r >= 0 && r != SLU_XML_OPEN);
	return r < 0 ? r : 1;
}

/* The rest of an include; what stands in a fallback counts when the file is missing. */
static int read_fallback(struct document *d, int depth, bool missing, bool *ret_found,
			 struct slu_err *e)
{
	for (;;) {
		int r = next_inside(d, depth, e);
		bool use;

		if (r <= 0)
			return r;
		use = missing && slu_streq(slu_xml_name(d->x), "fallback");
		*ret_found |= use;
		r = use ? read_inside(d, e) : element_text(d, NULL, e);
		if (r < 0)
			return r;
	}
}

/* <xi:include href="..."><xi:fallback>...</xi:fallback></xi:include> */
static int read_include(struct document *d, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *href = NULL;
	int depth = slu_xml_depth(d->x), r = take_attr(d, "href", &href, e);
	bool missing = false, fallback = false;

	if (r == 0 && !href)
		return slu_fail(e, EBADMSG, "'%s' has an include without href", d->what);
	if (r == 0)
		r = load_included(d, href, e);
	if (r == -ENOENT) {
		missing = true;
		r = 0;
	}
	if (r == 0)
		r = read_fallback(d, depth, missing, &fallback, e);
	if (r == 0 && missing && !fallback)
		return slu_fail(e, EBADMSG, "'%s' includes '%s', which does not exist", d->what,
				href);
	return r;
}

/* What stands in an element that was opened: properties, includes, and what Hadoop passes over. */
static int read_inside(struct document *d, struct slu_err *e)
{
	int depth = slu_xml_depth(d->x);

	for (;;) {
		int r = next_inside(d, depth, e);

		if (r <= 0)
			return r;
		if (slu_streq(slu_xml_name(d->x), "property"))
			r = read_property(d, e);
		else if (slu_streq(slu_xml_name(d->x), "include"))
			r = read_include(d, e);
		else if (slu_streq(slu_xml_name(d->x), "configuration"))
			r = read_inside(d, e);
		else
			r = element_text(d, NULL, e);
		if (r < 0)
			return r;
	}
}

static int read_document(struct slu_hconf *c, const char *text, size_t n, const char *what,
			 const char *dir, unsigned depth, struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	struct document d = {.c = c, .what = what, .dir = dir, .depth = depth};
	int r;

	if (++c->files > FILES_MAX)
		return slu_fail(e, EBADMSG, "'%s': more than %d files are included", what,
				FILES_MAX);
	r = slu_xml_new(text, n, what, &x, e);
	if (r < 0)
		return r;
	d.x = x;
	do
		r = slu_xml_next(x, e);
	while (r == SLU_XML_TEXT);
	if (r < 0)
		return r;
	if (r != SLU_XML_OPEN || !slu_streq(slu_xml_name(x), "configuration"))
		return slu_fail(e, EBADMSG,
				"'%s' is no configuration of Hadoop: its first element is not "
				"<configuration>",
				what);
	r = read_inside(&d, e);
	while (r == 0 && (r = slu_xml_next(x, e)) > 0)
		r = 0; /* whatever stands behind it has to be well-formed, too */
	return r;
}

static int load_file(struct slu_hconf *c, const char *path, unsigned depth, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(FILE_MAX);
	SLU_AUTO(slu_freep) char *dir = NULL;
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a pipe might never end */
		return slu_fail(e, EBADMSG, "'%s' is no regular file", path);
	r = slu_buf_read_file(&b, path, e);
	if (r < 0)
		return r;
	dir = slu_path_dir(path);
	if (!dir)
		return slu_fail_oom(e);
	return read_document(c, b.p ? b.p : "", b.len, path, dir, depth, e);
}

int slu_hconf_load_text(struct slu_hconf *c, const char *text, size_t n, const char *what,
			const char *dir, struct slu_err *e)
{
	return read_document(c, text, n, what, dir, 0, e);
}

int slu_hconf_load_dir(struct slu_hconf *c, const char *dir, struct slu_err *e)
{
	static const char *const names[] = {"core-site.xml", "hdfs-site.xml"};
	size_t found = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", dir, names[i]);
		int r;

		if (!path)
			return slu_fail_oom(e);
		if (!is_there(path))
			continue;
		r = load_file(c, path, 0, e);
		if (r < 0)
			return r;
		found++;
	}
	if (!found)
		return slu_fail(
			e, ENOENT,
			"'%s' has neither core-site.xml nor hdfs-site.xml: give the folder of "
			"Hadoop's configuration",
			dir);
	return 0;
}

/* --- values --- */

static char *java_property(const char *name)
{
	struct passwd pw, *found = NULL;
	char text[4096];

	if (slu_streq(name, "java.io.tmpdir"))
		return slu_strdup("/tmp");
	if (!slu_streq(name, "user.name") && !slu_streq(name, "user.home"))
		return NULL;
	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) || !found)
		return NULL;
	return slu_strdup(slu_streq(name, "user.name") ? pw.pw_name : pw.pw_dir);
}

/* NAME, NAME-default (when it is not set), NAME:-default (or empty) */
static char *env_value(const char *text)
{
	SLU_AUTO(slu_freep) char *name = slu_strdup(text);
	char *dash = name ? strchr(name, '-') : NULL;
	bool empty_too = dash && dash > name && dash[-1] == ':';
	const char *v;

	if (!name)
		return NULL;
	if (dash)
		dash[empty_too ? -1 : 0] = '\0';
	v = getenv(name);
	if (dash && (!v || (empty_too && !*v)))
		v = dash + 1;
	return slu_strdup(v);
}

static char *variable(const struct slu_hconf *c, const char *name)
{
	const char *env = slu_after(name, "env.");
	const struct property *p = slu_hash_get(c->all, name_now(name));
	char *v = env ? env_value(env) : java_property(name);

	return v || !p ? v : slu_strdup(p->value);
}

/* The first ${...} without another one in it: *ret_at and its length, 0: none. */
static size_t find_variable(const char *s, size_t *ret_at)
{
	const char *open = NULL;

	for (const char *p = s; *p; p++) {
		if (p[0] == '$' && p[1] == '{') {
			open = p++;
		} else if (*p == '$' || *p == ' ') {
			open = NULL;
		} else if (*p == '}' && open && p > open + 2) {
			*ret_at = (size_t)(open - s);
			return (size_t)(p + 1 - open);
		}
	}
	return 0;
}

/* Takes text over; NULL stays NULL. */
static int expand(const struct slu_hconf *c, const char *name, char *text, char **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *s = text;

	for (unsigned i = 0; s; i++) {
		size_t at = 0, n = find_variable(s, &at);
		SLU_AUTO(slu_freep) char *var = n ? slu_strndup(s + at + 2, n - 3) : NULL;
		SLU_AUTO(slu_freep) char *value = var ? variable(c, var) : NULL;
		char *more;

		if (n && !var)
			return slu_fail_oom(e);
		if (!value)
			break;
		if (i >= SUBST_MAX)
			return slu_fail(
				e, EINVAL,
				"the property '%s' of Hadoop's configuration needs more than "
				"%d replacements of variables, or they go round in a circle",
				name, SUBST_MAX);
		if (strlen(s) + strlen(value) > VALUE_MAX)
			return slu_fail(
				e, EINVAL,
				"the property '%s' of Hadoop's configuration is longer than "
				"%u bytes",
				name, VALUE_MAX);
		more = slu_asprintf("%.*s%s%s", (int)at, s, value, s + at + n);
		if (!more)
			return slu_fail_oom(e);
		free(s);
		s = more;
	}
	*ret = s ? trimmed(s) : NULL;
	if (s && !*ret)
		return slu_fail_oom(e);
	if (*ret && !**ret) {
		free(*ret);
		*ret = NULL;
	}
	return 0;
}

int slu_hconf_get(const struct slu_hconf *c, const char *name, char **ret, struct slu_err *e)
{
	const struct property *p = slu_hash_get(c->all, name_now(name));
	char *copy = p ? slu_strdup(p->value) : NULL;

	if (p && !copy)
		return slu_fail_oom(e);
	return expand(c, name, copy, ret, e);
}

int slu_hconf_get_of(const struct slu_hconf *c, const char *name, const char *suffix, char **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *full = NULL;

	if (!suffix || !*suffix)
		return slu_hconf_get(c, name, ret, e);
	full = slu_asprintf("%s.%s", name, suffix);
	return full ? slu_hconf_get(c, full, ret, e) : slu_fail_oom(e);
}

bool slu_hconf_bool(const struct slu_hconf *c, const char *name, bool dflt)
{
	SLU_AUTO(slu_freep) char *v = NULL;

	if (slu_hconf_get(c, name, &v, NULL) < 0 || !v)
		return dflt;
	if (slu_streq(v, "true") || slu_streq(v, "false"))
		return slu_streq(v, "true");
	return dflt;
}
