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
};

static int on_entry(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct listing *l = user;
	SLU_AUTO(slu_buf_done) struct slu_buf name = SLU_BUF(1024);

	(void)e;
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

int slu_resolve_missing(struct sluice *s, const struct slu_uri *c, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = slu_new0(struct slu_uri);
	SLU_AUTO(slu_freep) char *uri = slu_uri_text(c);
	SLU_AUTO(slu_freep) char *folder = NULL;
	struct listing l = {.names = SLU_BUF(512)};
	bool itself = false, glob = slu_glob_is(c->path);

	if (!u || !uri)
		return slu_fail_oom(e);
	u->kind = c->kind;
	u->name = slu_strdup(c->name);
	u->path = slu_strdup(c->path);
	if (!u->path || (c->name && !u->name))
		return slu_fail_oom(e);

	int r = nearest(s, u, &itself);

	if (r == 0)
		list(s, u, &l);
	folder = slu_uri_text(u);
	if (r < 0 || !folder) {
		slu_fail(e, ENOENT, "nothing is at '%s'", uri);
	} else if (itself) {
		slu_fail(e, ENOENT, "the folder '%s' holds no files", uri);
	} else if (l.n == 0) {
		slu_fail(e, ENOENT, "%s '%s': the folder '%s' is empty",
			 glob ? "no file matches" : "nothing is at", uri, folder);
	} else {
		SLU_AUTO(slu_freep)
		char *more = l.n > SHOWN ? slu_asprintf(" and %zu more", l.n - SHOWN) : NULL;

		slu_fail(e, ENOENT, "%s '%s': the folder '%s' holds %s%s",
			 glob ? "no file matches" : "nothing is at", uri, folder,
			 l.names.p ? l.names.p : "", more ? more : "");
	}
	slu_buf_done(&l.names);
	return -ENOENT;
}
