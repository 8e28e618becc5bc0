/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hdfs view: one URI that a Hadoop reader opens, and what Spark then reads is the tree, no more
 * and no less.  A reader lists by itself, later, so the store is compared with the manifest here.
 *
 * What Hadoop makes of the text (GlobExpander, GlobPattern; checked against Hadoop 3.4):
 *   - a URI with any of {}[]*?\ is a pattern, so these are escaped by `\` in names;
 *   - a brace group with a '/' in it is expanded before matching, and loses one level of escapes
 *     then, so in the group names are escaped twice; each alternative begins with '/', so every one
 *     is looked up by name and no folder is listed;
 *   - ':' in a name cannot be asked for, nor listed by Spark.
 * Where the dataset was made with a pattern that says the same to Hadoop (hdfsglob.h), the URI has it.
 * Percent signs, blanks and '#' are literal: these are Hadoop paths, not RFC 3986 URIs.
 */
#include "fs/view.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/hdfsglob.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define GLOB_MAX (64u << 10) /* it has to fit into an argument of a command line */

/* The store's listing against the manifest. */
struct compare {
	const struct slu_manifest *m;
	const char *base;
	size_t seen;           /* entries of the manifest found so far */
	size_t next;           /* the one expected next: both are sorted alike */
	size_t extra;          /* other files that a reader of the folder would take */
	size_t common;         /* extra files below the folder that all entries share */
	size_t share;          /* length of that folder's path in a view path */
	struct slu_hglob glob; /* no alternatives: none */
	size_t reached;        /* other files that a reader comes to by it */
};

/* Spark leaves these out of any folder, and their folders too. */
static bool is_skipped(const char *path)
{
	for (const char *s = path; *s; s += *s == '/') {
		size_t n = strcspn(s, "/");

		if (*s == '.' || (*s == '_' && !memchr(s, '=', n)))
			return true;
		if (n >= 10 && !strncmp(s + n - 10, "._COPYING_", 10))
			return true;
		s += n;
	}
	return false;
}

/* Length of the folder, with its '/', that all entries lie in; 0: the top. */
static size_t shared_folder(const struct slu_manifest *m)
{
	const char *a = slu_manifest_at(m, 0)->path;
	const char *z = slu_manifest_at(m, slu_manifest_count(m) - 1)->path;
	size_t n = 0, end = 0;

	for (; a[n] && a[n] == z[n]; n++)
		if (a[n] == '/')
			end = n + 1;
	return end;
}

static int differs(const char *path, const struct slu_file *f, const char *what, struct slu_err *e)
{
	return slu_fail(e, ESTALE,
			"'%s' %s after the dataset was resolved (it was %s): resolve it "
			"again",
			path, what, f->id[0] ? f->id : "there");
}

static int on_file(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct compare *c = user;
	const char *rel = *c->base ? path + strlen(c->base) + 1 : path;
	size_t i = slu_manifest_find(c->m, rel);

	if (i == SIZE_MAX) {
		/* Of what a pattern finds Spark looks at the name only, not at its folders. */
		c->reached += c->glob.alts.n && !is_skipped(slu_path_base(rel)) &&
			      slu_hglob_reaches(&c->glob, rel);
		if (is_skipped(rel))
			return 0;
		c->extra++;
		c->common += !strncmp(rel, slu_manifest_at(c->m, 0)->path, c->share);
		return 0;
	}
	const struct slu_file *f = slu_manifest_at(c->m, i);

	if (f->size != a->size || !slu_streq(f->id, a->id))
		return differs(path, f, "changed", e);
	if (i > c->next)
		return differs(slu_manifest_at(c->m, c->next)->path, slu_manifest_at(c->m, c->next),
			       "vanished", e);
	c->next = i + 1;
	c->seen++;
	return 0;
}

/* One file of its own: the folder it lies in may hold a million others. */
static int compare_one(const struct slu_tree *t, struct slu_err *e)
{
	const struct slu_file *f = slu_manifest_at(t->manifest, 0);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *s;
	struct slu_attr a;
	int r = slu_tree_locate(t, 0, &s, &path);

	if (r)
		return slu_fail_oom(e);
	r = slu_store_stat(s, path, &a, e);
	if (r == -ENOENT)
		return differs(path, f, "vanished", e);
	if (!r && (a.kind != SLU_KIND_FILE || a.size != f->size || !slu_streq(a.id, f->id)))
		return differs(path, f, "changed", e);
	return r;
}

static bool is_one(const struct slu_tree *t)
{
	return t->single_file && slu_manifest_count(t->manifest) == 1;
}

static int compare(const struct slu_tree *t, struct compare *c, struct slu_err *e)
{
	size_t n = slu_manifest_count(t->manifest);
	int r;

	*c = (struct compare){.m = t->manifest, .base = t->sources[0].base};
	if (slu_manifest_pinned(t->manifest))
		return slu_fail(
			e, ENOTSUP,
			"'%s' is frozen by versions of its store, which Hadoop cannot ask "
			"for: freeze it again by a copy, or read it as a mount or a download",
			slu_manifest_at(t->manifest, 0)->path);
	if (is_one(t))
		return compare_one(t, e);
	c->share = shared_folder(t->manifest);
	if (t->glob && slu_hglob_new(&c->glob, t->glob, t->manifest) < 0)
		return slu_fail_oom(e);
	r = slu_walk_with(t->sources[0].store, c->base, SLU_WALK_NO_SUMS, on_file, c, e);
	if (r == -ENOENT)
		return slu_fail(e, ESTALE,
				"'%s' vanished after the dataset was resolved: resolve it "
				"again",
				c->base);
	if (!r && c->seen < n)
		r = differs(slu_manifest_at(t->manifest, c->next)->path,
			    slu_manifest_at(t->manifest, c->next), "vanished", e);
	return r;
}

static int check_colon(const char *path, struct slu_err *e)
{
	if (!strchr(path, ':'))
		return 0;
	return slu_fail(e, EINVAL,
			"'%s' has a ':' in its name, which Hadoop cannot ask for: rename "
			"it, or read the dataset as a mount or a download",
			path);
}

/* base{/a,/b/c}: the entries one by one. */
static int add_group(struct slu_buf *b, const struct slu_manifest *m, size_t skip,
		     struct slu_err *e)
{
	size_t n = slu_manifest_count(m);

	slu_buf_ch(b, '{');
	for (size_t i = 0; i < n && !slu_buf_err(b); i++) {
		slu_buf_str(b, i ? ",/" : "/");
		const char *name = slu_manifest_at(m, i)->path + skip;

		slu_hdfs_escape(b, name, strlen(name), 2);
	}
	slu_buf_ch(b, '}');
	if (slu_buf_err(b) == -EMSGSIZE)
		return slu_fail(e, E2BIG,
				"the dataset is %zu files of a folder that holds others, and "
				"their names do not fit into one Hadoop pattern: make a folder of "
				"them, or read the dataset as a mount or a download",
				n);
	return slu_buf_err(b) ? slu_fail_oom(e) : 0;
}

/* Files in plain folders below one that is read as a whole: a reader has to be told to go there. */
static bool is_nested(const struct slu_manifest *m, size_t skip)
{
	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *s = slu_manifest_at(m, i)->path + skip, *slash;

		for (; (slash = strchr(s, '/')); s = slash + 1)
			if (!memchr(s, '=', (size_t)(slash - s)))
				return true;
	}
	return false;
}

/* Says once what Spark will not read whatever the URI is. */
static void warn_skipped(const struct slu_manifest *m)
{
	const char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path = slu_manifest_at(m, i)->path;

		if (!is_skipped(path))
			continue;
		n++;
		if (!first)
			first = path;
	}
	if (n)
		slu_warn("hdfs",
			 "Spark skips names that begin with '_' or '.': it will not read %zu of "
			 "%zu files, such as '%s'",
			 n, slu_manifest_count(m), first);
}

static void view_free(struct slu_view *v)
{
	slu_json_free(v->props);
	free(v->where);
	free(v);
}

static const struct slu_view_ops view_ops = {.kind = SLU_VIEW_HDFS, .free = view_free};

/* --- the URI --- */

enum form { WHOLE, LIST, PATTERN };

/* What the URI is made of: the place that it begins with, then the files or the pattern. */
struct target {
	enum form form;
	char *path;  /* in the store */
	bool below;  /* it is not the folder that the entries are relative to, but one in it */
	bool nested; /* files are in plain folders in it */
};

static void target_done(struct target *g)
{
	free(g->path);
}

static int choose(const struct slu_tree *t, const struct compare *c, struct target *ret)
{
	const struct slu_manifest *m = t->manifest;
	SLU_AUTO(slu_freep) char *shared = NULL;
	const char *rel;

	ret->form = WHOLE;
	if (is_one(t)) {
		(void)slu_manifest_locate(m, 0, &rel);
		ret->path = slu_path_join(c->base, rel);
	} else if (c->glob.alts.n && !c->reached) {
		ret->form = PATTERN;
		ret->path = slu_strdup(c->base);
	} else if (!c->extra || !c->share) {
		ret->form = c->extra ? LIST : WHOLE;
		ret->path = slu_strdup(c->base);
	} else {
		ret->form = c->common ? LIST : WHOLE;
		ret->below = true;
		shared = slu_strndup(slu_manifest_at(m, 0)->path, c->share - 1);
		ret->path = shared ? slu_path_join(c->base, shared) : NULL;
	}
	ret->nested = ret->form == WHOLE && !is_one(t) && is_nested(m, ret->below ? c->share : 0);
	return ret->path ? 0 : -ENOMEM;
}

/* h: of the target's path. */
static int make_uri(const struct slu_tree *t, const struct compare *c, const struct target *g,
		    struct slu_hadoop *h, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(GLOB_MAX);
	int r = check_colon(g->path, e);

	if (r)
		return r;
	if (g->form != WHOLE && slu_ends(h->uri, "/"))
		h->uri[strlen(h->uri) - 1] = '\0';
	slu_hdfs_escape(&b, h->uri, strlen(h->uri), 1);
	if (g->nested)
		slu_warn("hdfs",
			 "'%s' has folders in it: Spark reads those only with the option "
			 "recursiveFileLookup=true",
			 h->uri);
	if (g->form == LIST)
		r = add_group(&b, t->manifest, g->below ? c->share : 0, e);
	else if (g->form == PATTERN)
		slu_hglob_write(&c->glob, &b);
	if (r)
		return r;
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

/* --- options of spark.read --- */

/* The columns that folders such as "y=1/m=2" give: where their names end; 0: there are none. */
static size_t columns(const char *path, const char *part[], size_t max)
{
	size_t n = 0;

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		const char *eq = memchr(path, '=', (size_t)(slash - path));

		if (!eq || n == max)
			return 0;
		part[n++] = path;
	}
	return n;
}

/* Are all files in folders of the same columns?  Then Spark has to know where those begin, since it is given
 * the files, or a folder of them. */
static bool has_columns(const struct slu_manifest *m)
{
	enum { COLUMNS = 32 };
	const char *first[COLUMNS], *part[COLUMNS];
	size_t n = columns(slu_manifest_at(m, 0)->path, first, COLUMNS);

	for (size_t i = 1; n && i < slu_manifest_count(m); i++) {
		if (columns(slu_manifest_at(m, i)->path, part, COLUMNS) != n)
			return false;
		for (size_t k = 0; k < n; k++) {
			size_t len = strcspn(first[k], "=") + 1;

			if (strncmp(first[k], part[k], len) != 0)
				return false;
		}
	}
	return n > 0;
}

/* The folder that the entries are relative to, as Spark wants it: no pattern, so nothing is escaped. */
static int add_base(const struct slu_tree *t, const char *base, struct json_t *options,
		    struct slu_err *e)
{
	struct slu_hadoop h = {0};
	int r = slu_store_hadoop(t->sources[0].store, base, &h, e);

	if (r == 0 && slu_json_set_str(options, "basePath", h.uri) < 0)
		r = slu_fail_oom(e);
	slu_hadoop_done(&h);
	return r;
}

static int make_props(const struct slu_tree *t, const struct compare *c, const struct target *g,
		      const struct slu_hadoop *h, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *props = slu_hadoop_json(h);
	SLU_AUTO(slu_json_freep) struct json_t *options = slu_json_object();
	int r = 0;

	if (!props || !options || slu_json_set(props, "options", slu_json_ref(options)) < 0)
		return slu_fail_oom(e);
	if (g->nested && slu_json_set_str(options, "recursiveFileLookup", "true") < 0)
		return slu_fail_oom(e);
	if (!is_one(t) && (g->form != WHOLE || g->below) && has_columns(t->manifest))
		r = add_base(t, c->base, options, e);
	if (r == 0)
		*ret = slu_take(props);
	return r;
}

static int check_tree(const struct slu_tree *t, struct slu_err *e)
{
	int r = 0;

	if (!slu_manifest_count(t->manifest))
		return slu_fail(e, ENOENT, "the dataset has no files: there is nothing to read");
	if (slu_manifest_sources(t->manifest) != 1)
		return slu_fail(
			e, EINVAL,
			"the dataset lies in %zu places, and Hadoop gets one URI: "
			"read it as a mount or a download, or make one dataset of each place",
			slu_manifest_sources(t->manifest));
	for (size_t i = 0; i < slu_manifest_count(t->manifest) && !r; i++)
		r = check_colon(slu_manifest_at(t->manifest, i)->path, e);
	return r;
}

static int fill_view(struct slu_tree *t, const struct compare *c, struct slu_view *v,
		     struct slu_err *e)
{
	SLU_AUTO(target_done) struct target g = {0};
	struct slu_hadoop h = {0};
	int r = choose(t, c, &g) < 0 ? slu_fail_oom(e) : 0;

	if (r == 0)
		r = slu_store_hadoop(t->sources[0].store, g.path, &h, e);
	if (r == 0)
		r = make_uri(t, c, &g, &h, &v->where, e);
	if (r == 0)
		r = make_props(t, c, &g, &h, &v->props, e);
	slu_hadoop_done(&h);
	return r;
}

int slu_hdfs_open(struct slu_tree *t, struct slu_view **ret, struct slu_err *e)
{
	struct slu_view *v = NULL;
	struct compare c = {0};
	int r = check_tree(t, e);

	if (!r)
		r = compare(t, &c, e);
	if (!r) {
		v = slu_new0(struct slu_view);
		r = v ? 0 : slu_fail_oom(e);
	}
	if (!r) {
		v->ops = &view_ops;
		r = fill_view(t, &c, v, e);
	}
	slu_hglob_done(&c.glob);
	if (r) {
		if (v)
			view_free(v);
		return r;
	}
	warn_skipped(t->manifest);
	*ret = v;
	return 0;
}
