/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding versions.  One listing of what lies below the folder that the files of a source have in common tells them
 * all, 5,000 a request, also of files that are gone.  Nothing is read and nothing is changed.
 */
#include "dataset/pin.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

struct finding {
	const struct slu_tree *t;
	size_t first, end;    /* the files of one source */
	char *folder, *start; /* below its base: where to look */
	char **version;       /* of each file of the manifest; NULL: not found yet */
	bool *there;          /* that state is there, perhaps without a version */
	bool any;             /* something has a version */
	struct slu_err *e;
};

static const char *rel_of(const struct finding *f, size_t i)
{
	const char *rel;

	(void)slu_manifest_locate(f->t->manifest, i, &rel);
	return rel;
}

/* What all names of sorted files begin with, the first and the last have in common. */
static int find_common(struct finding *f)
{
	const char *a = rel_of(f, f->first), *b = rel_of(f, f->end - 1);
	size_t n = 0, cut;

	while (a[n] && a[n] == b[n])
		n++;
	cut = n;
	while (cut && a[cut - 1] != '/')
		cut--;
	f->folder = slu_strndup(a, cut ? cut - 1 : 0);
	f->start = slu_strndup(a + cut, n - cut);
	return f->folder && f->start ? 0 : slu_fail_oom(f->e);
}

static int take(struct finding *f, size_t source, struct slu_dirent *d)
{
	const struct slu_manifest *m = f->t->manifest;
	SLU_AUTO(slu_freep) char *rel = slu_path_join(f->folder, d->name);
	SLU_AUTO(slu_freep)
	char *path = rel ? slu_path_join(slu_manifest_source(m, source)->prefix, rel) : NULL;

	if (!path)
		return slu_fail_oom(f->e);
	f->any |= d->version != NULL;

	size_t i = slu_manifest_find(m, path);
	const struct slu_file *file = i == SIZE_MAX ? NULL : slu_manifest_at(m, i);

	if (!file || file->size != d->attr.size || !slu_streq(file->id, d->attr.id))
		return 0;
	f->there[i] = true;
	if (!f->version[i])
		f->version[i] = slu_take(d->version);
	return 0;
}

/* One page into l. */
static int list_page(struct finding *f, size_t source, const char *path, const char *marker,
		     struct slu_list *l)
{
	struct slu_store *store = f->t->sources[source].store;
	struct slu_op op;

	slu_op_list(&op, path, marker, l);
	op.flags = SLU_OPF_RECURSIVE | SLU_OPF_VERSIONS | SLU_OPF_NO_SUMS;
	if (*f->start && slu_store_can(store, SLU_CAP_START_LIST))
		op.start = f->start;
	int r = slu_store_wait(store, &op, f->e);

	for (size_t i = 0; r == 0 && i < l->n; i++)
		if (slu_path_ok(l->p[i].name) && *l->p[i].name)
			r = take(f, source, &l->p[i]);
	return r;
}

static int list(struct finding *f, size_t source)
{
	SLU_AUTO(slu_freep)
	char *path = slu_path_join(f->t->sources[source].base, f->folder);
	SLU_AUTO(slu_freep) char *marker = NULL;
	int r = path ? 0 : slu_fail_oom(f->e);

	while (r == 0) {
		SLU_AUTO(slu_list_done) struct slu_list l = {0};

		r = list_page(f, source, path, marker, &l);
		if (r < 0 || !l.next || !*l.next)
			break;
		if (marker && slu_streq(marker, l.next))
			return slu_fail(f->e, EPROTO, "the listing of '%s' does not end", path);
		free(marker);
		marker = slu_take(l.next);
	}
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int missing(const struct finding *f, size_t i)
{
	const char *path = slu_manifest_at(f->t->manifest, i)->path;

	if (!f->there[i])
		return slu_fail(f->e, ESTALE,
				"'%s' was overwritten or removed, and the store keeps no version "
				"of it that is the one meant: register the data again",
				path);
	if (!f->any)
		return slu_fail(f->e, ENOTSUP,
				"the store keeps no versions of '%s': turn versioning on there "
				"and write the data again, or freeze it by a copy",
				path);
	return slu_fail(
		f->e, ENOTSUP,
		"'%s' has no version: it was written before versioning was turned on; write "
		"it again, or freeze it by a copy",
		path);
}

static int find_source(struct finding *f, size_t source)
{
	const struct slu_manifest *m = f->t->manifest;
	const char *rel;
	int r;

	if (!slu_store_can(f->t->sources[source].store, SLU_CAP_VERSIONS))
		return slu_fail(f->e, ENOTSUP,
				"the store of '%s' has no versions to freeze it by: freeze it by "
				"a copy",
				slu_manifest_source(m, source)->uri);
	f->end = f->first;
	while (f->end < slu_manifest_count(m) && slu_manifest_locate(m, f->end, &rel) == source)
		f->end++;
	r = find_common(f);
	if (r == 0)
		r = list(f, source);
	for (size_t i = f->first; r == 0 && i < f->end; i++)
		if (!f->version[i])
			r = missing(f, i);
	free(slu_take(f->folder));
	free(slu_take(f->start));
	f->first = f->end;
	f->any = false;
	return r;
}

/* Sources in the order in which their files are in the manifest. */
static int find(struct finding *f)
{
	const struct slu_manifest *m = f->t->manifest;
	const char *rel;
	int r = 0;

	if (!slu_manifest_count(m))
		return slu_fail(f->e, ENODATA, "'%s' has no files, so it has no versions",
				slu_manifest_source(m, 0)->uri);
	while (r == 0 && f->first < slu_manifest_count(m))
		r = find_source(f, slu_manifest_locate(m, f->first, &rel));
	return r;
}

static int with_versions(const struct finding *f, struct slu_manifest **ret)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *to = NULL;
	const struct slu_manifest *m = f->t->manifest;

	if (slu_manifest_new(&to) < 0)
		return slu_fail_oom(f->e);
	for (size_t i = 0; i < slu_manifest_sources(m); i++) {
		const struct slu_msource *s = slu_manifest_source(m, i);

		if (slu_manifest_add_source(to, s->prefix, s->uri) < 0)
			return slu_fail_oom(f->e);
	}
	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const struct slu_file *x = slu_manifest_at(m, i);

		if (slu_manifest_add_file(to, x->path, x, f->version[i]) < 0)
			return slu_fail_oom(f->e);
	}
	int r = slu_manifest_finish(to, f->e);

	if (r == 0)
		*ret = slu_take(to);
	return r;
}

int slu_pin_manifest(const struct slu_tree *t, struct slu_manifest **ret, struct slu_err *e)
{
	size_t n = slu_manifest_count(t->manifest);
	SLU_AUTO(slu_freep) char **version = slu_calloc(n ? n : 1, sizeof(*version));
	SLU_AUTO(slu_freep) bool *there = slu_calloc(n ? n : 1, sizeof(*there));
	struct finding f = {.t = t, .version = version, .there = there, .e = e};
	int r = version && there ? find(&f) : slu_fail_oom(e);

	if (r == 0)
		r = with_versions(&f, ret);
	for (size_t i = 0; version && i < n; i++)
		free(version[i]);
	return r;
}
