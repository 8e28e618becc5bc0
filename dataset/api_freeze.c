/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: freezing a version.  Its bytes are copied, pinned to what the version says, into a
 * folder named by the version's manifest; that folder becomes a dataset, and a fact beside the version
 * says that it is read from there.  Every step may be done again: a copy that broke off goes on.  A place in a
 * snapshot (of HDFS, or a file system that shows them as .snapshot) has the very files already: nothing is copied.
 * Nor is it where the store keeps versions: the dataset is then the same, with a manifest that names them.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/api_version.h"
#include "dataset/compare.h"
#include "dataset/context_impl.h"
#include "dataset/facts.h"
#include "dataset/pin.h"

#include <errno.h>
#include <string.h>

struct freezing {
	struct sluice *s;
	const struct slu_dataset *d;
	struct json_t *record;
	char *place;   /* URI of the folder of the copy */
	bool snapshot; /* it has the very files already, and keeps them */
	bool pin;      /* by versions: there is no place */
	struct slu_err *e;
};

/* The datastore that the first file is in, if it can be written to; else the default one. */
static const char *near(struct freezing *z, struct slu_uri **own)
{
	const struct slu_manifest *m = z->d->tree->manifest;
	const char *uri = slu_manifest_source(m, 0)->uri;
	bool locked = slu_store_can(z->d->tree->sources[0].store, SLU_CAP_READ_ONLY);

	if (!locked && slu_uri_parse(uri, NULL, NULL, own, NULL) == 0 &&
	    (*own)->kind == SLU_URI_DATASTORE)
		return (*own)->name;
	return slu_context_default_store(z->s);
}

static int find_place(struct freezing *z, const char *to)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_uri_freep) struct slu_uri *c = NULL;
	SLU_AUTO(slu_freep) char *base = NULL;
	int r = 0;

	if (to) {
		r = slu_context_parse(z->s, to, &u, z->e);
		if (r == 0)
			r = slu_context_canon(z->s, u, &c, z->e);
		if (r < 0)
			return r;
		base = slu_uri_text(c);
		z->snapshot = base && strstr(base, "/.snapshot/");
	} else {
		const char *store = near(z, &u);

		base = slu_uri_datastore(store, "sluice-frozen");
	}
	if (z->snapshot)
		z->place = slu_take(base);
	else
		z->place = base ? slu_asprintf("%s%s%s", base, slu_ends(base, "/") ? "" : "/",
					       slu_json_str(z->record, "manifest"))
				: NULL;
	return z->place ? 0 : slu_fail_oom(z->e);
}

/* What the store has lost is found before anything is copied.  Versions that the store keeps are not
 * listed: copying them tells. */
static int check_source(struct freezing *z, const char *ref)
{
	struct sluice_difference_totals n;
	struct sluice_error why;

	if (slu_manifest_pinned(z->d->tree->manifest))
		return 0;
	int r = sluice_data_verify(z->s, ref, NULL, NULL, &n, &why);

	if (r < 0)
		return slu_fail(z->e, -r, "'%s' is not frozen: %s", ref, why.message);
	return n.removed || n.changed
		       ? slu_fail(z->e, ESTALE,
				  "'%s' is not frozen, and nothing was copied: %llu of its files "
				  "are gone from the store and %llu changed (sluice data verify "
				  "names them)",
				  ref, (unsigned long long)n.removed, (unsigned long long)n.changed)
		       : 0;
}

static int copy(struct freezing *z, sluice_progress_fn *fn, void *user)
{
	struct sluice_copy_options o = SLUICE_COPY_OPTIONS_INIT;
	SLU_AUTO(slu_freep) char *ref = NULL;
	SLU_AUTO(slu_freep) char *to = slu_asprintf("%s/", z->place);
	struct sluice_error why;

	ref = slu_asprintf("azureml:%s:%s", z->d->name, z->d->version);
	if (!ref || !to)
		return slu_fail_oom(z->e);
	o.flags = SLUICE_RECURSIVE | SLUICE_UPDATE;
	o.progress = fn;
	o.user = user;
	int r = check_source(z, ref);

	if (r < 0)
		return r;
	r = sluice_copy(z->s, (const char *const[]){ref}, 1, to, &o, &why);
	return r < 0 ? slu_fail(z->e, -r,
				"'%s' is not frozen: %s (what was copied is in '%s'; freezing "
				"again goes on there)",
				ref, why.message, z->place)
		     : 0;
}

/* The URI of the one file that the version is. */
static char *frozen_file(const struct freezing *z)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep)
	char *name = slu_uri_escape(slu_manifest_at(z->d->tree->manifest, 0)->path);

	if (!name || slu_uri_parse(z->place, NULL, NULL, &u, NULL) < 0)
		return NULL;
	char *joined = slu_path_join(u->path, name);

	free(u->path);
	u->path = joined;
	return joined ? slu_uri_text(u) : NULL;
}

static struct json_t *frozen_path(const struct freezing *z)
{
	SLU_AUTO(slu_json_freep) struct json_t *path = slu_json_object();
	SLU_AUTO(slu_freep) char *file = NULL;
	bool single = z->d->tree->single_file && slu_manifest_count(z->d->tree->manifest) == 1;

	if (single) {
		file = frozen_file(z);
		if (!file)
			return NULL;
	}
	return slu_json_set_str(path, single ? "file" : "folder", single ? file : z->place) < 0
		       ? NULL
		       : slu_take(path);
}

/* The document with the copy for its paths, and without the steps that chose the files. */
static struct json_t *frozen_doc(const struct freezing *z)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_copy(z->d->def->doc);
	SLU_AUTO(slu_json_freep) struct json_t *paths = slu_json_array();

	if (!doc || slu_json_append(paths, frozen_path(z)) < 0 ||
	    slu_json_set(doc, "paths", slu_json_ref(paths)) < 0 ||
	    slu_definition_drop_steps(doc) < 0)
		return NULL;
	return slu_take(doc);
}

/* As far as their sums tell, and these are of the bytes. */
static bool same_sum(const struct freezing *z, size_t i, const struct slu_tree *copy, size_t k)
{
	const char *x = slu_manifest_at(z->d->tree->manifest, i)->sum;
	const char *y = slu_manifest_at(copy->manifest, k)->sum;

	return slu_streq(x, y) || !slu_sums_compare(x, y) || !slu_tree_sum_stands(z->d->tree, i) ||
	       !slu_tree_sum_stands(copy, k);
}

static int differs(const struct freezing *z, const char *path)
{
	if (z->snapshot)
		return slu_fail(z->e, ESTALE,
				"'%s' in the snapshot '%s' is not what the version has: name a "
				"snapshot that has it, or leave the place out to copy it",
				path, z->place);
	return slu_fail(z->e, EIO,
			"the copy of '%s' in '%s' is not as it should be: remove that folder and "
			"freeze again",
			path, z->place);
}

static int on_difference(void *user, enum slu_difference what, const struct slu_file *before,
			 const struct slu_file *after)
{
	const char **path = user;

	if (what == SLU_SAME)
		return 0;
	*path = before ? before->path : after->path;
	return 1;
}

/* What lay in the folder before was not copied: it has the right length, and may be anything.  Bytes are read where the
 * stores tell no checksums. */
static int check_bytes(const struct freezing *z, const struct slu_tree *copy)
{
	const char *path = NULL;
	int r = slu_compare(z->s, z->d->tree, copy, on_difference, &path, z->e);

	return r < 0 ? r : path ? differs(z, path) : 0;
}

/* Is the copy, as it is listed, the version file by file? */
static int check(const struct freezing *z, const struct slu_tree *copy)
{
	const struct slu_manifest *a = z->d->tree->manifest, *b = copy->manifest;

	for (size_t i = 0; i < slu_manifest_count(a); i++) {
		const struct slu_file *x = slu_manifest_at(a, i);
		size_t at = slu_manifest_find(b, x->path);
		const struct slu_file *y = at == SIZE_MAX ? NULL : slu_manifest_at(b, at);

		if (!y || x->size != y->size || !same_sum(z, i, copy, at) ||
		    (z->snapshot && !slu_streq(x->id, y->id)))
			return differs(z, x->path);
	}
	if (slu_manifest_count(a) != slu_manifest_count(b))
		return slu_fail(z->e, EEXIST,
				"'%s' holds other files beside those of the version: %s", z->place,
				z->snapshot ? "leave the place out to copy it"
					    : "remove them and freeze again");
	return z->snapshot ? 0 : check_bytes(z, copy);
}

static int save(struct freezing *z, struct slu_dataset *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = frozen_doc(z);

	if (!doc)
		return slu_fail_oom(z->e);
	int r = slu_definition_from_doc(z->d->def->type, doc, z->place, &n->def, z->e);

	if (r == 0)
		r = slu_resolve_definition(z->s, n->def, &n->tree, z->e);
	if (r == 0)
		r = check(z, n->tree);
	return r < 0 ? r : slu_registry_save(z->s, n, z->e);
}

/* The same dataset, of the same files: only what is asked of the store is another thing. */
static int save_pinned(struct freezing *z, struct slu_dataset *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *doc = slu_json_copy(z->d->def->doc);
	struct slu_manifest *m = NULL;

	if (!doc)
		return slu_fail_oom(z->e);
	int r = slu_pin_manifest(z->d->tree, &m, z->e);

	if (r < 0)
		return slu_fail_more(z->e, "'azureml:%s:%s' is not frozen", z->d->name,
				     z->d->version);
	r = slu_resolve_manifest(z->s, m, &n->tree, z->e);
	if (r == 0)
		r = slu_definition_from_doc(z->d->def->type, doc, z->d->name, &n->def, z->e);
	return r < 0 ? r : slu_registry_save(z->s, n, z->e);
}

static int set_fact(struct freezing *z, struct slu_dataset *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *change = slu_json_object();
	struct slu_registry g;
	struct slu_attr a;
	int r = slu_registry_open(z->s, &g, z->e);

	if (r < 0)
		return r;
	if (slu_json_set_str(change, "frozen", n->id) < 0)
		return slu_fail_oom(z->e);
	r = slu_facts_change(&g, z->record, change, z->e);
	if (r < 0)
		return r;
	SLU_AUTO(slu_freep)
	char *fact = slu_registry_path(&g, "facts/%s/%s/%lld.json", z->d->name, z->d->version,
				       (long long)slu_json_int(z->record, "facts", 0));

	r = fact ? slu_registry_stat(&g, fact, &a, z->e) : slu_fail_oom(z->e);
	return r < 0 ? r : slu_registry_save_again(z->s, n, a.mtime_ns, z->e);
}

/* The copy or what is pinned, as a dataset of its own, is what the version is read from. */
static int save_and_point(struct freezing *z)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *n = slu_new0(struct slu_dataset);
	int r = !n ? slu_fail_oom(z->e) : z->pin ? save_pinned(z, n) : save(z, n);

	return r < 0 ? r : set_fact(z, n);
}

static int freeze(struct freezing *z, const char *ref, const char *to, sluice_progress_fn *fn,
		  void *user)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_freep) char *name = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	int r = slu_api_version(z->s, ref, &name, &version, z->e);

	if (r == 0)
		r = slu_registry_record(z->s, name, version, &z->record, z->e);
	if (r < 0)
		return r;
	SLU_AUTO(slu_freep)
	char *exact = slu_asprintf("azureml:%s:%s", name, slu_json_str(z->record, "version"));

	r = exact ? slu_resolve_ref(z->s, exact, &d, z->e) : slu_fail_oom(z->e);
	z->d = d;
	/* What is frozen stays as it is, but for versions of the store that are to become a copy. */
	if (r < 0 || (slu_json_str(z->record, "frozen") &&
		      (z->pin || !slu_manifest_pinned(d->tree->manifest))))
		return r;
	if (!z->pin)
		r = find_place(z, to);
	if (r == 0 && !z->snapshot && !z->pin)
		r = copy(z, fn, user);
	return r < 0 ? r : save_and_point(z);
}

static int finish(struct freezing *z, int r, char **ret_json, struct sluice_error *e)
{
	/* beside the record: where the copy is, and what it holds */
	if (r == 0 && z->place && slu_json_set_str(z->record, "place", z->place) < 0)
		r = slu_fail_oom(z->e);
	free(z->place);
	if (r == 0)
		r = slu_api_json(slu_take(z->record), ret_json, z->e);
	slu_json_free(z->record);
	return slu_api_error(e, z->e, r);
}

int sluice_data_freeze(struct sluice *s, const char *ref, const char *to, sluice_progress_fn *fn,
		       void *user, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct freezing z = {.s = s, .e = &er};

	return finish(&z, freeze(&z, ref, to, fn, user), ret_json, e);
}

int sluice_data_pin(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct freezing z = {.s = s, .pin = true, .e = &er};

	return finish(&z, freeze(&z, ref, NULL, NULL, NULL), ret_json, e);
}
