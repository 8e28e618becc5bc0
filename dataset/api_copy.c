/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: copies between any two places.  Here is found what goes where; fs/copy.c moves it.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/filter.h"
#include "fs/copy.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

static const struct sluice_copy_options no_options = SLUICE_COPY_OPTIONS_INIT;

struct source {
	struct slu_place place; /* keeps a dataset alive */
	char *base;             /* slu_api_shown_base */
	bool whole;             /* it is one file, and base all of its name */
};

struct copy {
	const struct sluice_copy_options *o;
	struct source *src;
	size_t sources;
	struct slu_place dst;
	SLU_VEC(struct slu_copy_file) files;
	struct source *from;   /* whose files are being found */
	struct slu_place *now; /* its place */
	struct slu_filter filter;
	char *to_base; /* of the destination, as base is of a source */
	size_t strip;
	bool folder; /* they go into dst */
	struct slu_props props;
	struct json_t *json; /* of props */
	const char *partial; /* a source with names that no path can say; NULL: none */
};

static void source_done(struct source *s)
{
	slu_place_done(&s->place);
	free(s->base);
}

static void copy_done(struct copy *c)
{
	for (size_t i = 0; i < c->files.n; i++)
		slu_copy_file_done(&c->files.p[i]);
	free(c->files.p);
	for (size_t i = 0; i < c->sources; i++)
		source_done(&c->src[i]);
	free(c->src);
	free(c->to_base);
	slu_place_done(&c->dst);
	slu_json_free(c->json);
}

static int add(struct copy *c, struct slu_store *store, const char *path, const char *rel,
	       const struct slu_attr *a, struct slu_err *e)
{
	struct slu_copy_file f = {.from = store,
				  .size = a->size,
				  .mtime_ns = a->mtime_ns,
				  .tag = c->from,
				  .version = c->now->version};

	if (!slu_filter_takes(&c->filter, rel))
		return 0;
	f.path = slu_strdup(path);
	f.to = c->folder ? slu_path_join(c->dst.path, rel) : slu_strdup(c->dst.path);
	memcpy(f.id, a->id, sizeof f.id);
	memcpy(f.sum, a->sum, sizeof f.sum);
	if (!f.path || !f.to || !slu_vec_push(&c->files, f)) {
		slu_copy_file_done(&f);
		return slu_fail_oom(e);
	}
	return 0;
}

static int add_walked(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct copy *c = user;
	const char *rel = path + c->strip;

	while (*rel == '/')
		rel++;
	return add(c, c->now->store, path, rel, a, e);
}

static int add_dataset(struct copy *c, struct slu_err *e)
{
	const struct slu_tree *t = c->now->dataset->tree;

	for (size_t i = 0; i < slu_manifest_count(t->manifest); i++) {
		const struct slu_file *f = slu_manifest_at(t->manifest, i);
		struct slu_attr a = {
			.kind = SLU_KIND_FILE, .size = f->size, .mtime_ns = f->mtime_ns};
		SLU_AUTO(slu_freep) char *path = NULL;
		struct slu_store *store;

		snprintf(a.id, sizeof a.id, "%s", f->id);
		snprintf(a.sum, sizeof a.sum, "%s", f->sum);
		if (slu_tree_locate(t, i, &store, &path) < 0)
			return slu_fail_oom(e);
		int r = add(c, store, path, f->path, &a, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Is the destination a folder that things go into?  many: there will be more than one file. */
static int into_folder(struct copy *c, bool many, struct slu_err *e)
{
	struct slu_attr a;

	c->folder = many || c->dst.folder || c->dst.path[0] == '\0';
	if (c->folder)
		return 0;
	int r = slu_store_stat(c->dst.store, c->dst.path, &a, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	c->folder = a.kind == SLU_KIND_DIR;
	return 0;
}

static int find_in_store(struct copy *c, const char *src, struct slu_err *e)
{
	struct slu_place *p = c->now;
	struct slu_attr a;
	int r = slu_place_stat(p, &a, NULL, e);

	if (r < 0)
		return r;
	if (a.kind == SLU_KIND_DIR && !(c->o->flags & SLUICE_RECURSIVE))
		return slu_fail(e, EISDIR, "'%s' is a folder; give --recursive to copy it", src);
	r = into_folder(c, a.kind == SLU_KIND_DIR || c->sources > 1, e);
	if (r < 0)
		return r;
	c->from->whole = a.kind == SLU_KIND_FILE;
	if (a.kind == SLU_KIND_FILE)
		return add(c, p->store, p->path, slu_path_base(p->path), &a, e);
	c->strip = strlen(p->path);
	r = slu_walk_with(p->store, p->path, SLU_WALK_SAY, add_walked, c, e);
	if (r == 1 && !c->partial)
		c->partial = src;
	return r == 1 ? 0 : r;
}

/* What of one source is copied. */
static int find(struct copy *c, const char *src, struct slu_err *e)
{
	struct slu_place *p = c->now;
	int r;

	if (!p->dataset && !p->glob)
		return find_in_store(c, src, e);
	r = into_folder(c, p->glob || !p->dataset->tree->single_file || c->sources > 1, e);
	if (r < 0)
		return r;
	c->from->whole = p->dataset && p->dataset->tree->single_file;
	if (p->dataset)
		return add_dataset(c, e);
	c->strip = slu_glob_prefix(p->path);
	return slu_walk_glob(p->store, p->path, add_walked, c, e);
}

/* Two sources must not end in one file: one would be lost. */
static int by_target(const void *a, const void *b)
{
	return strcmp((*(struct slu_copy_file *const *)a)->to,
		      (*(struct slu_copy_file *const *)b)->to);
}

static int check_targets(const struct copy *c, struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	struct slu_copy_file **f = slu_calloc(c->files.n + 1, sizeof(struct slu_copy_file *));

	if (!f)
		return slu_fail_oom(e);
	for (size_t i = 0; i < c->files.n; i++) {
		f[i] = &c->files.p[i];
		if (f[i]->from == c->dst.store && !f[i]->version && slu_streq(f[i]->path, f[i]->to))
			return slu_fail(e, EINVAL, "'%s' would be copied onto itself", f[i]->path);
	}
	qsort(f, c->files.n, sizeof(struct slu_copy_file *), by_target);
	for (size_t i = 1; i < c->files.n; i++)
		if (slu_streq(f[i - 1]->to, f[i]->to))
			return slu_fail(e, EINVAL,
					"'%s' and '%s' would both be copied to '%s': copy them one "
					"by one",
					f[i - 1]->path, f[i]->path, f[i]->to);
	return 0;
}

static int set_props(struct copy *c, struct slu_err *e)
{
	const char *text = c->o->properties_json;
	int r = text ? slu_json_parse(text, strlen(text), "properties", &c->json, e) : 0;

	if (r < 0 || !text)
		return r;
	c->props.content_type = slu_json_str(c->json, "content_type");
	c->props.tier = slu_json_str(c->json, "tier");
	c->props.metadata = slu_json_get(c->json, "metadata");
	c->props.tags = slu_json_get(c->json, "tags");
	if (!slu_store_can(c->dst.store, SLU_CAP_PROPS))
		return slu_fail(
			e, ENOTSUP,
			"'%s': this kind of datastore keeps no content type, tier, metadata or "
			"tags",
			c->dst.path);
	return 0;
}

static int find_source(struct copy *c, struct sluice *s, struct source *from, const char *ref,
		       struct slu_err *e)
{
	c->from = from;
	c->now = &from->place;
	int r = slu_place_find(s, ref, c->now, e);

	if (r == 0)
		r = find(c, ref, e);
	if (r < 0)
		return slu_resolve_hint(s, ref, r, e);
	from->base = slu_api_shown_base(ref, from->whole, c->now->glob);
	return from->base ? 0 : slu_fail_oom(e);
}

static int find_all(struct copy *c, struct sluice *s, const char *const *src, size_t n,
		    const char *dst, struct slu_err *e)
{
	int r = slu_api_check_place(s, dst, e);

	if (r == 0)
		r = slu_place_find(s, dst, &c->dst, e);
	if (r < 0)
		return r;
	if (c->dst.version)
		return slu_fail(e, EINVAL, "'%s' is an earlier state, which nobody can write", dst);
	if (!c->dst.store || c->dst.glob)
		return slu_fail(e, EINVAL, "'%s' is no place to copy to; name a path of a store",
				dst);
	r = slu_api_check_shown(c->dst.path, e);
	if (r == 0)
		r = set_props(c, e);
	c->src = slu_calloc(n, sizeof(*c->src));
	if (!c->src)
		return slu_fail_oom(e);
	c->sources = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = find_source(c, s, &c->src[i], src[i], e);
	if (r == 0 && !(c->to_base = slu_api_shown_base(dst, !c->folder, false)))
		r = slu_fail_oom(e);
	return r == 0 ? check_targets(c, e) : r;
}

/* Tells of a file by the names that the caller gave to what it belongs to. */
static void tell(const struct copy *c, const struct slu_copy_file *f,
		 const struct sluice_error *error)
{
	const struct source *from = f->tag;
	const char *rel = c->folder ? f->to + strlen(c->dst.path) : "";

	while (*rel == '/')
		rel++;
	SLU_AUTO(slu_freep)
	char *path = slu_asprintf("%s%s", from->base, from->whole ? "" : rel);
	SLU_AUTO(slu_freep) char *to = slu_asprintf("%s%s", c->to_base, rel);

	c->o->file(c->o->user, path ? path : f->path, to ? to : f->to, f->size, error);
}

static void failed(void *user, const struct slu_copy_file *f, const struct slu_err *why)
{
	const struct copy *c = user;
	struct sluice_error e;

	if (!c->o->file)
		return;
	slu_api_error(&e, why, -why->code);
	tell(c, f, &e);
}

static int progress(void *user, const struct slu_progress *p)
{
	const struct copy *c = user;
	struct sluice_progress n = {p->files, p->files_total, p->bytes, p->bytes_total};

	return c->o->progress ? c->o->progress(c->o->user, &n) : 0;
}

static int show(const struct copy *c, enum slu_copy_skip skip, struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->files.n; i++) {
		r = slu_copy_needed(c->dst.store, &c->files.p[i], skip, e);
		if (r == 1 && c->o->file)
			tell(c, &c->files.p[i], NULL);
	}
	return r < 0 ? r : 0;
}

static int run(struct copy *c, struct sluice *s, struct slu_err *e)
{
	unsigned flags = c->o->flags;
	struct slu_copy_totals totals = {0};
	struct slu_copy_opts o = {
		.flags = (flags & (SLUICE_OVERWRITE | SLUICE_UPDATE) ? 0 : SLU_OPF_ABSENT) |
			 (flags & SLUICE_NO_SYNC ? 0 : SLU_OPF_DURABLE),
		.skip = flags & SLUICE_UPDATE ? SLU_COPY_CHANGED
			: flags & SLUICE_SKIP ? SLU_COPY_NEW
					      : SLU_COPY_ALL,
		.totals = &totals,
		.jobs = c->o->jobs,
		.check = (enum slu_check)c->o->check,
		.props = c->json ? &c->props : NULL,
		.progress = progress,
		.failed = failed,
		.user = c,
	};
	struct slu_pool *pool;

	if (flags & SLUICE_DRY_RUN)
		return show(c, o.skip, e);
	pool = slu_context_pool(s);
	int r = pool ? slu_copy(c->files.p, c->files.n, c->dst.store, pool, &o, e)
		     : slu_fail_oom(e);

	if (c->o->totals)
		*c->o->totals = (struct sluice_copy_totals){totals.files, totals.bytes,
							    totals.skipped, totals.failed};
	return r;
}

int sluice_copy(struct sluice *s, const char *const *src, size_t n, const char *dst,
		const struct sluice_copy_options *o, struct sluice_error *e)
{
	struct copy c = {.o = o ? o : &no_options};
	struct slu_err er = {0};
	int r = 0;

	if (c.o->size != sizeof no_options)
		r = slu_fail(&er, EINVAL, "sluice_copy_options.size is %zu, not %zu", c.o->size,
			     sizeof no_options);
	if (r == 0 && c.o->totals)
		*c.o->totals = (struct sluice_copy_totals){0};
	if (r == 0) {
		c.filter = (struct slu_filter){c.o->include, c.o->exclude};
		r = slu_filter_check(&c.filter, &er);
	}
	if (r == 0)
		r = find_all(&c, s, src, n, dst, &er);
	if (r == 0)
		r = run(&c, s, &er);
	if (r == 0 && c.partial)
		r = slu_fail(
			&er, EPROTO,
			"'%s' was not copied whole: some of its names are left out, because no "
			"path can say them",
			c.partial);
	copy_done(&c);
	return slu_api_error(e, &er, r);
}
