/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message for a path that is not there: the exact path, the store, and what was listed in the nearest
 * folder that exists, since the reason is nearly always a name next to the right one.
 */
#include "dataset/resolve_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

#define SHOWN 5

struct listing {
	struct slu_buf names;
	size_t n;
	const char *rest; /* of a pattern: its last part, when that is in the folder; NULL */
	bool folder;      /* that part matches a folder */
};

static int on_entry(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct listing *l = user;
	SLU_AUTO(slu_buf_done) struct slu_buf name = SLU_BUF(1024);

	(void)e;
	if (l->rest && attr->kind == SLU_KIND_DIR)
		l->folder |= slu_glob_match(l->rest, slu_path_base(path));
	slu_show(&name, slu_path_base(path));
	if (l->n++ < SHOWN)
		slu_buf_fmt(&l->names, "%s'%.40s%s'", l->n > 1 ? ", " : "", name.p ? name.p : "",
			    attr->kind == SLU_KIND_DIR ? "/" : "");
	return 0;
}

/* Cuts u->path to the folder above; false at the top. */
static bool go_up(struct slu_uri *u)
{
	char *slash = strrchr(u->path, '/');
	bool local = u->kind == SLU_URI_LOCAL;

	if (!*u->path || slu_streq(u->path, "/"))
		return false;
	if (!slash)
		*u->path = '\0';
	else
		slash[local && slash == u->path] = '\0';
	return true;
}

/* The nearest folder at or above what u names. */
static int nearest(struct sluice *s, struct slu_uri *u, bool *ret_itself)
{
	enum slu_kind kind;

	*ret_itself = true;
	if (slu_glob_is(u->path)) {
		size_t n = slu_glob_prefix(u->path);

		u->path[n ? n : u->kind == SLU_URI_LOCAL] = '\0';
		*ret_itself = false;
	}
	for (;;) {
		int r = slu_context_kind(s, u, &kind, NULL);

		if (r == 0 && kind == SLU_KIND_DIR)
			return 0;
		if (r < 0 && r != -ENOENT && r != -ENOTDIR)
			return r;
		*ret_itself = false;
		if (!go_up(u))
			return -ENOENT;
	}
}

static void list(struct sluice *s, const struct slu_uri *folder, struct listing *l)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_store *store;

	if (slu_context_locate_plain(s, folder, &store, &path, NULL, NULL) < 0 ||
	    slu_walk_dir(store, path, on_entry, l, NULL) < 0)
		l->n = 0;
}

static struct slu_uri *copy_place(const struct slu_uri *c)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = slu_new0(struct slu_uri);

	if (!u)
		return NULL;
	u->kind = c->kind;
	u->name = slu_strdup(c->name);
	u->path = slu_strdup(c->path);
	return u->path && (u->name || !c->name) ? slu_take(u) : NULL;
}

/* What stands behind the folder part of a pattern, if that is one name. */
static const char *last_part(const char *pattern)
{
	size_t n = slu_glob_prefix(pattern);
	const char *rest = pattern + n + (n > 0 || *pattern == '/');

	return *rest && !strchr(rest, '/') ? rest : NULL;
}

/* folder: the nearest that exists. */
static int say(struct sluice *s, const struct slu_uri *folder, const char *where, const char *uri,
	       bool glob, const char *path, struct slu_err *e)
{
	struct listing l = {.names = SLU_BUF(512), .rest = glob ? last_part(path) : NULL};
	const char *what = glob ? "no file matches" : "nothing is at";

	/* a name with such characters in it is a pattern to us, and nothing to whoever typed it */
	const char *hint = glob && strpbrk(path, "[]{}")
				   ? "; in a name, put a backslash before each of [ ] { } * ?"
				   : "";

	list(s, folder, &l);
	if (l.folder)
		hint = "; it matches folders: put '/**' behind it for the files in them";
	if (l.n == 0)
		slu_fail(e, ENOENT, "%s '%s': the folder '%s' is empty%s", what, uri, where, hint);
	else if (l.n <= SHOWN)
		slu_fail(e, ENOENT, "%s '%s': the folder '%s' holds %s%s", what, uri, where,
			 l.names.p ? l.names.p : "", hint);
	else
		slu_fail(e, ENOENT, "%s '%s': the folder '%s' holds %s and %zu more%s", what, uri,
			 where, l.names.p ? l.names.p : "", l.n - SHOWN, hint);
	slu_buf_done(&l.names);
	return -ENOENT;
}

int slu_resolve_missing(struct sluice *s, const struct slu_uri *c, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *folder = copy_place(c);
	SLU_AUTO(slu_freep) char *uri = slu_uri_text(c);
	SLU_AUTO(slu_freep) char *where = NULL;
	bool itself = false;

	if (c->kind == SLU_URI_HTTP && !slu_glob_is(c->path))
		return -ENOENT; /* as the server said it: there is nothing to list */
	if (!folder || !uri)
		return slu_fail_oom(e);
	int r = nearest(s, folder, &itself);

	where = slu_uri_text(folder);
	if (!where)
		return slu_fail_oom(e);
	if (r < 0)
		return slu_fail(e, ENOENT, "nothing is at '%s'", uri);
	if (itself)
		return slu_fail(e, ENOENT, "the folder '%s' holds no files", uri);
	return say(s, folder, where, uri, slu_glob_is(c->path), c->path, e);
}
