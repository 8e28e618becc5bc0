/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a definition to a tree: the paths are sorted into groups, one for each store and one for all
 * local paths; each group becomes a source of the manifest, rooted at the common folder of its given
 * paths (not of the files found, so that the layout does not depend on them).  Whole references are
 * in resolve_ref.c, the message for what is not there in resolve_missing.c.
 */
#include "dataset/resolve.h"

#include "common/buf.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/definition_impl.h"
#include "dataset/resolve_impl.h"
#include "dataset/steps.h"
#include "dataset/unclosed.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

/* One path to take in.  Local paths are written like those of a store rooted at "/". */
struct item {
	const char *ref;   /* in the definition */
	struct slu_uri *c; /* canonical */
	char *full;        /* pattern form, without a leading '/' */
	char *anchor;      /* plain: the folder that its files are relative to */
	bool glob;
	enum slu_kind kind; /* not of a glob */
	size_t group;
	size_t found, excluded;
};

/* One pattern to leave out. */
struct except {
	struct slu_uri *c; /* NULL: relative to each source */
	char *pattern;
	char *below; /* what is below it: a folder leaves that out too */
};

struct group {
	const char *store_name; /* datastore or host of a URL; NULL: local */
	size_t first;           /* its first item, for messages */
	char *base;             /* plain: common folder of the anchors */
	char *prefix;
	struct slu_store *store;
};

struct job {
	struct sluice *s;
	struct slu_err *e;
	SLU_VEC(struct item) items;
	SLU_VEC(struct except) excepts;
	SLU_VEC(struct group) groups;
	struct slu_manifest *m;
	struct slu_hash *seen;       /* view paths, when two items may give the same */
	struct slu_steps *steps;     /* NULL: all files are in */
	size_t came;                 /* by the steps */
	struct item *item;           /* being walked */
	struct slu_unclosed *unsure; /* files that may be open for writing */
};

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->items.n; i++) {
		slu_uri_free(j->items.p[i].c);
		free(j->items.p[i].full);
		free(j->items.p[i].anchor);
	}
	for (size_t i = 0; i < j->excepts.n; i++) {
		slu_uri_free(j->excepts.p[i].c);
		free(j->excepts.p[i].pattern);
		free(j->excepts.p[i].below);
	}
	for (size_t i = 0; i < j->groups.n; i++) {
		free(j->groups.p[i].base);
		free(j->groups.p[i].prefix);
	}
	free(j->items.p);
	free(j->excepts.p);
	free(j->groups.p);
	slu_manifest_free(j->m);
	slu_unclosed_free(j->unsure);
	if (j->seen)
		slu_hash_free(j->seen, NULL);
	slu_steps_free(j->steps);
}

/* --- reading the definition --- */

static int canon(struct job *j, const char *text, struct slu_uri **ret)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_context_parse(j->s, text, &u, j->e);

	return r < 0 ? r : slu_context_canon(j->s, u, ret, j->e);
}

/* The path of a canonical URI without the '/' before local ones. */
static const char *full_of(const struct slu_uri *c)
{
	return c->path + (c->kind == SLU_URI_LOCAL);
}

static int add_except(struct job *j, const char *text)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	struct except x = {0};
	int r = slu_context_parse(j->s, text, &u, j->e);

	if (r < 0)
		return r;
	const char *relative = slu_definition_relative(u, text);

	if (!relative)
		r = slu_context_canon(j->s, u, &x.c, j->e);
	if (r < 0)
		return r;
	x.pattern = slu_strdup(relative ? relative : full_of(x.c));
	x.below = x.pattern ? slu_asprintf("%s/**", x.pattern) : NULL;
	r = x.below ? slu_glob_check(x.below, j->e) : slu_fail_oom(j->e);
	if (r == 0 && !slu_vec_push(&j->excepts, x))
		r = slu_fail_oom(j->e);
	if (r < 0) {
		slu_uri_free(x.c);
		free(x.pattern);
		free(x.below);
	}
	return r;
}

static char *anchor_of(const struct item *it)
{
	if (it->glob)
		return slu_glob_unescape(it->full, slu_glob_prefix(it->full));
	char *plain = slu_glob_unescape(it->full, strlen(it->full));

	if (plain && it->kind == SLU_KIND_FILE) {
		char *dir = slu_path_dir(plain);

		free(plain);
		return dir;
	}
	return plain;
}

static int add_item(struct job *j, const char *ref)
{
	struct item it = {.ref = ref};
	int r = canon(j, ref, &it.c);

	if (r < 0)
		return r;
	it.full = slu_strdup(full_of(it.c));
	it.glob = slu_glob_is(it.c->path);
	if (!it.glob)
		r = slu_context_kind(j->s, it.c, &it.kind, j->e);
	if (r == -ENOENT || r == -ENOTDIR)
		r = slu_resolve_missing(j->s, it.c, j->e);
	else if (r < 0)
		slu_fail_more(j->e, "'%s'", ref);
	if (r == 0 && it.full)
		it.anchor = anchor_of(&it);
	if (r == 0 && (!it.anchor || !slu_vec_push(&j->items, it)))
		r = slu_fail_oom(j->e);
	if (r < 0) {
		slu_uri_free(it.c);
		free(it.full);
		free(it.anchor);
	}
	return r;
}

/* --- groups --- */

/* A host may have the name of a datastore. */
static bool same_store(const struct slu_uri *a, const struct slu_uri *b)
{
	return a->kind == b->kind && (a->kind != SLU_URI_HTTP || slu_streq(a->scheme, b->scheme));
}

static int join_group(struct job *j, struct item *it)
{
	const char *name = it->c->kind == SLU_URI_LOCAL ? NULL : it->c->name;
	size_t i = 0;

	for (; i < j->groups.n; i++) {
		const char *has = j->groups.p[i].store_name;

		if (has == name || (has && name && slu_streq(has, name) &&
				    same_store(j->items.p[j->groups.p[i].first].c, it->c)))
			break;
	}
	it->group = i;
	if (i < j->groups.n) {
		slu_path_common(j->groups.p[i].base, it->anchor);
		return 0;
	}
	struct group g = {.store_name = name,
			  .first = (size_t)(it - j->items.p),
			  .base = slu_strdup(it->anchor)};

	if (!g.base || !slu_vec_push(&j->groups, g)) {
		free(g.base);
		return slu_fail_oom(j->e);
	}
	return 0;
}

static bool is_prefix(const struct job *j, const char *name)
{
	for (size_t i = 0; i < j->groups.n; i++)
		if (j->groups.p[i].store_name && slu_streq(j->groups.p[i].store_name, name))
			return true;
	return false;
}

/* With several groups each is a folder: the store's name, "local" or the like, and the full path in the
 * store (azureml.md 2.4); of local paths, which have no store, what is below their common folder. */
static int name_groups(struct job *j)
{
	for (size_t i = 0; i < j->groups.n; i++) {
		struct group *g = &j->groups.p[i];
		const char *name = g->store_name;

		if (j->groups.n == 1)
			name = "";
		else if (!name)
			name = !is_prefix(j, "local") ? "local" : "local-files";
		g->prefix = slu_strdup(name);
		if (!g->prefix)
			return slu_fail_oom(j->e);
		if (j->groups.n > 1 && g->store_name)
			g->base[0] = '\0';
	}
	return 0;
}

/* The folder `base` of the store that c is in. */
static char *source_uri(const struct slu_uri *c, const char *base)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_uri u = *c;

	if (c->kind != SLU_URI_HTTP)
		return slu_uri_datastore(c->name, base);
	path = u.path = slu_uri_escape(base);
	return path ? slu_uri_text(&u) : NULL;
}

static int open_group(struct job *j, size_t i)
{
	struct group *g = &j->groups.p[i];
	SLU_AUTO(slu_freep) char *uri = NULL;
	int r;

	if (g->store_name) {
		const struct slu_uri *c = j->items.p[g->first].c;

		uri = source_uri(c, g->base);
		r = slu_context_open(j->s, c, &g->store, j->e);
	} else {
		SLU_AUTO(slu_freep) char *abs = slu_asprintf("/%s", g->base);

		if (!abs)
			return slu_fail_oom(j->e);
		uri = slu_uri_file(abs);
		r = slu_context_local(j->s, abs, &g->store, j->e);
		if (r == -ENOENT || r == -ENOTDIR)
			return slu_resolve_missing(j->s, j->items.p[g->first].c, j->e);
	}
	if (r < 0)
		return r;
	r = uri ? slu_manifest_add_source(j->m, g->prefix, uri) : -ENOMEM;
	return r < 0 ? slu_fail_sys(j->e, -r, "cannot note the source '%s'", uri ? uri : "") : 0;
}

/* --- listing --- */

/* Does x leave out the file at `full` (as in struct item)? */
static bool leaves_out(const struct job *j, const struct except *x, const char *full)
{
	const struct item *it = j->item;

	if (x->c &&
	    (x->c->kind != it->c->kind || (x->c->name && !slu_streq(x->c->name, it->c->name))))
		return false;
	if (!x->c) {
		size_t n = strlen(it->anchor);

		full += n + (n && full[n] == '/');
	}
	return slu_glob_match(x->pattern, full) || slu_glob_match(x->below, full);
}

/* Result of a walk that needs not go on. */
#define ENDED 1

/* Do the steps see the files while they are listed?  The files of one path come in the order that the
 * steps want; of several they are put in order first, if that matters. */
static bool one_by_one(const struct job *j)
{
	return j->steps && (j->items.n == 1 || !slu_steps_ordered(j->steps));
}

/* 1: an item before had it. */
static int had_before(struct job *j, const char *path)
{
	const struct item *had = slu_hash_get(j->seen, path);

	/* Of one store it is the same file, which was named twice. */
	if (had && had->group != j->item->group)
		return slu_fail(j->e, EINVAL,
				"'%s' and '%s' both have a file '%s': make them two datasets",
				had->ref, j->item->ref, path);
	if (had)
		return 1;
	return slu_hash_put(j->seen, path, j->item) ? 0 : slu_fail_oom(j->e);
}

static int note(struct job *j, const char *full, const char *path, const struct slu_attr *attr)
{
	struct slu_store *store = j->groups.p[j->item->group].store;
	int r = attr->unsure ? slu_unclosed_add(&j->unsure, store, full, path) : 0;

	if (r == 0)
		r = slu_manifest_add(j->m, path, attr);
	return r < 0 ? slu_fail_sys(j->e, -r, "cannot note the file '%s'", path) : 0;
}

static int take_file(struct job *j, const char *full, const struct slu_attr *attr)
{
	const struct group *g = &j->groups.p[j->item->group];
	size_t n = strlen(g->base);
	const char *rel = full + n + (n && full[n] == '/');
	SLU_AUTO(slu_freep) char *path = slu_path_join(g->prefix, rel);

	if (!path)
		return slu_fail_oom(j->e);
	int had = j->seen ? had_before(j, path) : 0;

	if (had)
		return had < 0 ? had : 0;
	if (one_by_one(j)) {
		SLU_AUTO(slu_freep)
		char *rooted = slu_asprintf("%s%s", g->store_name ? "" : "/", full);

		if (!rooted)
			return slu_fail_oom(j->e);
		int in = slu_steps_takes(j->steps, path, rooted, attr, j->e);

		j->came++;
		if (in <= 0)
			return in;
	}
	int r = note(j, full, path, attr);

	if (r < 0)
		return r;
	return one_by_one(j) && slu_steps_end(j->steps) ? ENDED : 0;
}

static int on_file(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct job *j = user;
	const struct group *g = &j->groups.p[j->item->group];
	SLU_AUTO(slu_freep) char *local = NULL;

	(void)e; /* the same as j->e */
	if (!g->store_name) {
		/* the store is rooted at the group's folder */
		local = slu_path_join(g->base, path);
		if (!local)
			return slu_fail_oom(j->e);
		path = local;
	}
	j->item->found++;
	for (size_t i = 0; i < j->excepts.n; i++)
		if (leaves_out(j, &j->excepts.p[i], path)) {
			j->item->excluded++;
			return 0;
		}
	return take_file(j, path, attr);
}

/* The item's pattern or plain path, as its group's store is asked for it. */
static char *asked(const struct job *j, const struct item *it)
{
	const struct group *g = &j->groups.p[it->group];
	const char *p = it->full;

	if (!g->store_name && *g->base) {
		/* as many parts off as the root has: escapes are inside of parts */
		for (const char *b = g->base; b; b = strchr(b, '/') ? strchr(b, '/') + 1 : NULL) {
			p += strcspn(p, "/");
			p += *p == '/';
		}
	}
	return it->glob ? slu_strdup(p) : slu_glob_unescape(p, strlen(p));
}

static int list_item(struct job *j, struct item *it)
{
	struct slu_store *store = j->groups.p[it->group].store;
	SLU_AUTO(slu_freep) char *path = asked(j, it);

	if (!path)
		return slu_fail_oom(j->e);
	j->item = it;
	unsigned flags = one_by_one(j) && slu_steps_ordered(j->steps) ? 0 : SLU_WALK_ANY_ORDER;
	int r = it->glob ? slu_walk_glob(store, path, on_file, j, j->e)
			 : slu_walk_with(store, path, flags, on_file, j, j->e);

	if (r == ENDED)
		return 0;
	if (r == -ENOENT || (r == 0 && it->found == 0))
		return slu_resolve_missing(j->s, it->c, j->e);
	if (r < 0)
		return slu_fail_more(j->e, "'%s'", it->ref);
	return 0;
}

static int build_tree(struct job *j, struct slu_tree **ret)
{
	SLU_AUTO(slu_tree_freep) struct slu_tree *t = slu_new0(struct slu_tree);

	if (!t)
		return slu_fail_oom(j->e);
	t->sources = slu_calloc(j->groups.n, sizeof(*t->sources));
	t->manifest = slu_take(j->m);
	if (!t->sources)
		return slu_fail_oom(j->e);
	for (size_t i = 0; i < j->groups.n; i++) {
		const struct group *g = &j->groups.p[i];

		t->sources[i].store = g->store;
		t->sources[i].base = slu_strdup(g->store_name ? g->base : "");
		if (!t->sources[i].base)
			return slu_fail_oom(j->e);
	}
	t->single_file =
		j->items.n == 1 && !j->items.p[0].glob && j->items.p[0].kind == SLU_KIND_FILE;
	*ret = slu_take(t);
	return 0;
}

static int check_type(const struct job *j, const struct slu_definition *d)
{
	if (slu_streq(d->type, "uri_file") && j->items.n == 1 && !j->items.p[0].glob &&
	    j->items.p[0].kind == SLU_KIND_DIR)
		return slu_fail(j->e, EINVAL,
				"'%s' is a folder now and the dataset is of type uri_file",
				j->items.p[0].ref);
	return 0;
}

static int read_definition(struct job *j, const struct slu_definition *d)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->npaths; i++)
		r = d->paths[i][0] == '!' ? add_except(j, d->paths[i] + 1)
					  : add_item(j, d->paths[i]);
	if (r == 0 && j->items.n == 0)
		return slu_fail(j->e, EINVAL, "the dataset has no path that is no exclusion");
	return r < 0 ? r : check_type(j, d);
}

static int make_groups(struct job *j)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < j->items.n; i++)
		r = join_group(j, &j->items.p[i]);
	if (r == 0)
		r = name_groups(j);
	for (size_t i = 0; r == 0 && i < j->groups.n; i++)
		r = open_group(j, i);
	return r;
}

/* Of several paths: over the list of all, which is in order now. */
static int apply_steps(struct job *j)
{
	struct slu_manifest *chosen = NULL;
	int r = slu_steps_manifest(j->steps, j->m, &chosen, j->e);

	j->came = slu_manifest_count(j->m);
	if (r < 0)
		return r;
	slu_manifest_free(j->m);
	j->m = chosen;
	return 0;
}

static int list_items(struct job *j)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < j->items.n; i++)
		r = list_item(j, &j->items.p[i]);
	if (r == 0)
		r = slu_manifest_finish(j->m, j->e);
	if (r == 0 && j->steps && !one_by_one(j))
		r = apply_steps(j);
	if (r == 0 && slu_manifest_count(j->m) == 0 && j->came > 0)
		return slu_fail(j->e, ENOENT,
				"'%s': its steps (take, skip, sample, filter) leave none of the "
				"%zu files there",
				j->items.p[0].ref, j->came);
	if (r == 0 && slu_manifest_count(j->m) == 0)
		return slu_fail(j->e, ENOENT,
				"'%s': its exclusions leave out all of the %zu files there",
				j->items.p[0].ref, j->items.p[0].excluded);
	return r < 0 ? r : slu_unclosed_check(j->unsure, j->m, j->e);
}

static int resolve(struct job *j, const struct slu_definition *d, struct slu_tree **ret)
{
	int r = read_definition(j, d);

	if (r == 0)
		r = slu_steps_new(d->doc, "the dataset", &j->steps, j->e);
	if (r < 0)
		return r;
	if (j->items.n > 1)
		j->seen = slu_hash_new();
	if (slu_manifest_new(&j->m) < 0 || (j->items.n > 1 && !j->seen))
		return slu_fail_oom(j->e);
	r = make_groups(j);
	if (r == 0)
		r = list_items(j);
	return r < 0 ? r : build_tree(j, ret);
}

int slu_resolve_definition(struct sluice *s, const struct slu_definition *d, struct slu_tree **ret,
			   struct slu_err *e)
{
	struct slu_err own = {0};
	struct job j = {.s = s, .e = e ? e : &own};
	int r = resolve(&j, d, ret);

	job_done(&j);
	return r;
}

int slu_resolve_manifest(struct sluice *s, struct slu_manifest *m, struct slu_tree **ret,
			 struct slu_err *e)
{
	SLU_AUTO(slu_tree_freep) struct slu_tree *t = slu_new0(struct slu_tree);
	size_t n = slu_manifest_sources(m);

	if (!t) {
		slu_manifest_free(m);
		return slu_fail_oom(e);
	}
	t->manifest = m;
	t->sources = slu_calloc(n ? n : 1, sizeof(*t->sources));
	if (!t->sources)
		return slu_fail_oom(e);
	for (size_t i = 0; i < n; i++) {
		SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
		const char *uri = slu_manifest_source(m, i)->uri;
		int r = slu_context_parse(s, uri, &u, e);

		if (r == 0)
			r = slu_context_locate_plain(s, u, &t->sources[i].store,
						     &t->sources[i].base, NULL, e);
		if (r < 0)
			return slu_fail_more(e, "source '%s' of a manifest", uri);
	}
	int r = slu_tree_pin(t, e);

	if (r == 0)
		*ret = slu_take(t);
	return r;
}

int slu_resolve_pattern(struct sluice *s, struct slu_dataset *d, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL, *c = NULL;
	const struct slu_definition *def = d->def;
	const char *only = NULL;
	int r;

	for (size_t i = 0; def && i < def->npaths; i++) {
		if (def->paths[i][0] == '!')
			continue;
		if (only)
			return 0;
		only = def->paths[i];
	}
	if (!only || d->tree->glob)
		return 0;
	r = slu_context_parse(s, only, &u, e);
	if (r == 0)
		r = slu_context_canon(s, u, &c, e);
	if (r < 0 || !c->path || !slu_glob_is(c->path))
		return r;
	const char *full = full_of(c);
	size_t n = slu_glob_prefix(full);

	d->tree->glob = slu_strdup(full + n + (n > 0));
	return d->tree->glob ? 0 : slu_fail_oom(e);
}

int slu_dataset_id(const struct slu_definition *d, const char *digest, char ret[37],
		   struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *doc = slu_json_text(d->doc, SLU_JSON_CANONICAL);
	SLU_AUTO(slu_freep)
	char *text = doc ? slu_asprintf("%s\n%s\n%s", d->type, doc, digest) : NULL;
	uint8_t b[SLU_DIGEST_MAX];
	char hex[33];

	if (!text)
		return slu_fail_oom(e);
	int r = slu_digest(SLU_SHA256, text, strlen(text), b);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot hash a definition");
	b[6] = (b[6] & 0x0f) | 0x80; /* RFC 9562: version 8, variant 10 */
	b[8] = (b[8] & 0x3f) | 0x80;
	slu_hex(hex, b, 16);

	char *out = ret;

	for (int i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*out++ = '-';
		*out++ = hex[i];
	}
	*out = '\0';
	return 0;
}
