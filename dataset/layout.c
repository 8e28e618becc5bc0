/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names as Azure ML's engine lays them out.  Of one path they are ours, but for a mount of some files of a pattern.
 *
 *                      download                                    mount
 *   several paths      <datastore>/<full path>                     without the folder that all files have in common
 *   of raw URLs        https%3A/%2F<host>/<full path>              the same
 *   of several stores  as above                                    <account>/<container>/<full path>
 *   some of a pattern  without the folder before the wildcard      without the folder that those files have in common
 *
 * It is made from a tree that was resolved, so versions keep the manifest that they have.
 */
#include "dataset/layout.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

struct place {
	struct slu_uri *u;
	char *dir;  /* its folder in the store, plain */
	char *head; /* what stands before the full path; "": nothing, and the common folder goes */
	char *common; /* folder of its files, of full paths; NULL: no file yet */
};

struct laying {
	struct sluice *s;
	const struct slu_tree *t;
	struct place *at; /* as the manifest's sources */
	size_t n;
	struct slu_err *e;
};

static void laying_done(struct laying *l)
{
	for (size_t i = 0; l->at && i < l->n; i++) {
		slu_uri_free(l->at[i].u);
		free(l->at[i].dir);
		free(l->at[i].head);
		free(l->at[i].common);
	}
	free(l->at);
}

/* --- heads --- */

/* container@account.dfs.suffix of what Hadoop calls the store: "account/container"; of others the datastore, else
 * the host. */
static char *account_head(const struct slu_tree *t, const struct slu_uri *u, size_t k)
{
	struct slu_hadoop h = {0};
	char *head = NULL;

	if (slu_store_hadoop(t->sources[k].store, t->sources[k].base, &h, NULL) < 0)
		return slu_strdup("store");
	const char *name = strstr(h.uri, "://");

	name = name ? name + 3 : "";
	size_t n = strcspn(name, "/");
	const char *host = memchr(name, '@', n);

	if (host)
		head = slu_asprintf("%.*s/%.*s", (int)strcspn(host + 1, "./"), host + 1,
				    (int)(host - name), name);
	else if (u->kind == SLU_URI_DATASTORE)
		head = slu_strdup(u->name);
	else
		head = n ? slu_strndup(name, n) : slu_strdup("local");
	slu_hadoop_done(&h);
	return head;
}

static char *url_head(const struct slu_uri *u)
{
	if (u->kind == SLU_URI_DATASTORE)
		return slu_strdup(u->name);
	if (u->kind == SLU_URI_LOCAL)
		return slu_strdup("file%3A/%2F");
	return slu_asprintf("%s%%3A/%%2F%s", u->scheme, u->name);
}

/* --- full paths --- */

static char *plain_dir(const struct slu_uri *u)
{
	const char *p = u->path ? u->path : "";

	p += *p == '/';
	return slu_glob_unescape(p, strlen(p));
}

static int read_sources(struct laying *l, char view)
{
	const struct slu_manifest *m = l->t->manifest;

	l->n = slu_manifest_sources(m);
	l->at = slu_calloc(l->n + 1, sizeof *l->at);
	if (!l->at)
		return slu_fail_oom(l->e);
	for (size_t i = 0; i < l->n; i++) {
		struct place *p = &l->at[i];
		int r = slu_context_parse(l->s, slu_manifest_source(m, i)->uri, &p->u, l->e);

		if (r < 0)
			return r;
		p->dir = plain_dir(p->u);
		p->head = view == 'd' ? url_head(p->u)
			  : l->n == 1 ? slu_strdup("")
				      : account_head(l->t, p->u, i);
		if (!p->dir || !p->head)
			return slu_fail_oom(l->e);
	}
	return 0;
}

/* Of file i: *ret its full path in the store of *ret_at. */
static int full_path(struct laying *l, size_t i, struct place **ret_at, char **ret)
{
	const char *rel;
	struct place *p = &l->at[slu_manifest_locate(l->t->manifest, i, &rel)];

	*ret_at = p;
	*ret = slu_path_join(p->dir, rel);
	return *ret ? 0 : slu_fail_oom(l->e);
}

static int find_common(struct laying *l)
{
	for (size_t i = 0; i < slu_manifest_count(l->t->manifest); i++) {
		SLU_AUTO(slu_freep) char *full = NULL, *dir = NULL;
		struct place *p;
		int r = full_path(l, i, &p, &full);

		if (r < 0)
			return r;
		dir = slu_path_dir(full);
		if (!dir)
			return slu_fail_oom(l->e);
		if (p->common)
			slu_path_common(p->common, dir);
		else
			p->common = slu_take(dir);
	}
	return 0;
}

/* --- the new tree --- */

static char *folder_uri(const struct place *p)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_uri u = *p->u;

	if (u.kind == SLU_URI_DATASTORE)
		return slu_uri_datastore(u.name, p->common);
	if (u.kind == SLU_URI_LOCAL) {
		path = slu_asprintf("/%s", p->common);
		return path ? slu_uri_file(path) : NULL;
	}
	path = u.path = slu_uri_escape(p->common);
	return path ? slu_uri_text(&u) : NULL;
}

/* The folder of the view that p->common is. */
static char *folder_of(const struct place *p)
{
	return *p->head ? slu_path_join(p->head, p->common) : slu_strdup("");
}

static int add_sources(struct laying *l, struct slu_manifest *m)
{
	for (size_t i = 0; i < l->n; i++) {
		SLU_AUTO(slu_freep) char *uri = NULL, *folder = NULL;

		if (!l->at[i].common)
			continue;
		uri = folder_uri(&l->at[i]);
		folder = folder_of(&l->at[i]);
		if (!uri || !folder || slu_manifest_add_source(m, folder, uri) < 0)
			return slu_fail_oom(l->e);
	}
	return 0;
}

static int add_files(struct laying *l, struct slu_manifest *m)
{
	for (size_t i = 0; i < slu_manifest_count(l->t->manifest); i++) {
		const struct slu_file *f = slu_manifest_at(l->t->manifest, i);
		SLU_AUTO(slu_freep) char *full = NULL, *folder = NULL, *path = NULL;
		struct place *p;
		int r = full_path(l, i, &p, &full);

		if (r < 0)
			return r;
		size_t n = strlen(p->common);

		folder = folder_of(p);
		path = folder ? slu_path_join(folder, full + n + (n > 0)) : NULL;
		if (!path || slu_manifest_add_file(m, path, f, NULL) < 0)
			return slu_fail_oom(l->e);
	}
	return 0;
}

static int lay_out(struct laying *l, char view, struct slu_tree **ret)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	int r = read_sources(l, view);

	if (r == 0)
		r = find_common(l);
	if (r == 0 && slu_manifest_new(&m) < 0)
		r = slu_fail_oom(l->e);
	if (r == 0)
		r = add_sources(l, m);
	if (r == 0)
		r = add_files(l, m);
	if (r == 0)
		r = slu_manifest_finish(m, l->e);
	return r < 0 ? r : slu_resolve_manifest(l->s, slu_take(m), ret, l->e);
}

/* Is a name of it another one there? */
static bool differs(const struct slu_definition *def, char view)
{
	const char *only = NULL;
	size_t n = 0;

	for (size_t i = 0; i < def->npaths; i++)
		if (def->paths[i][0] != '!') {
			only = def->paths[i];
			n++;
		}
	return n > 1 || (n == 1 && view == 'm' && slu_glob_is(only) && slu_definition_chooses(def));
}

bool slu_layout_is_compat(const struct slu_settings *set)
{
	return slu_streq(set->layout, "compat");
}

int slu_layout_apply(struct sluice *s, const struct slu_settings *set, char view,
		     struct slu_dataset *d, struct slu_err *e)
{
	struct laying l = {.s = s, .t = d->tree, .e = e};
	struct slu_tree *t = NULL;
	int r;

	if (!slu_layout_is_compat(set) || !d->def || !slu_manifest_count(d->tree->manifest) ||
	    !differs(d->def, view))
		return 0;
	r = lay_out(&l, view, &t);
	laying_done(&l);
	if (r < 0)
		return slu_fail_more(e, "layout=compat");
	slu_tree_free(d->tree);
	d->tree = t;
	return 0;
}
