/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gc.h.  Things are listed first, each with the state that it is in; references are looked for afterwards (every
 * digest and id that stands in a record, a fact, an outcome or a run's record counts as one); and a thing goes only in
 * the state that it was listed in.  A writer makes what it will point to young, which changes that state; so does it
 * afterwards, should it have taken long.  What is old and in its old state was therefore not about to be pointed to.
 * Ages are told by the store's clock alone.  If one record cannot be read, what it may point to is unknown, and no
 * manifest or dataset goes.
 */
#include "dataset/gc.h"

#include "common/buf.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "dataset/index.h"
#include "dataset/index_impl.h"
#include "dataset/outcome.h"
#include "fs/op.h"
#include "fs/walk.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define GUID_LEN 36
#define SHA_LEN 64

/* A manifest or dataset that is old. */
struct old {
	const char *what;
	char *path, *id;
	struct slu_attr attr;
};

struct gc {
	struct sluice *s;
	struct slu_registry g;
	int64_t before; /* by the store's clock: what was changed later stays */
	int64_t running; /* when the first of those runs began that have not ended; INT64_MAX: there are none */
	SLU_VEC(struct old) old;
	bool dry_run;
	bool blind; /* some references are unknown */
	struct slu_hash *used;
	struct slu_index *x;
	struct json_t *out;
	struct slu_err *e;
};

/* --- references --- */

static bool is_id_char(char c)
{
	return isxdigit((unsigned char)c) || c == '-';
}

/* Everything in text that has the form of a digest or an id. */
static int note_used(struct gc *c, const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = 0;

		while (is_id_char(p[n]))
			n++;
		if (n == GUID_LEN || n == SHA_LEN) {
			SLU_AUTO(slu_freep) char *id = slu_strndup(p, n);

			if (!id || !slu_hash_put(c->used, id, c))
				return slu_fail_oom(c->e);
		}
		p += n ? n : 1;
	}
	return 0;
}

static int note_object(struct gc *c, const char *path)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	size_t n;
	int r = slu_store_get(c->g.store, path, SLU_RECORD_MAX, &text, &n, c->e);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? r : note_used(c, text);
}

/* Each entry of a folder: its path in the store, its attributes. */
typedef int each_fn(struct gc *c, const char *path, const struct slu_attr *attr);

static int each_page(struct gc *c, const char *folder, const struct slu_list *l, each_fn *fn)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		SLU_AUTO(slu_freep) char *path = slu_path_join(folder, l->p[i].name);

		r = path ? fn(c, path, &l->p[i].attr) : slu_fail_oom(c->e);
	}
	return r;
}

/* As the store lists it: with the temporary names that walks leave out. */
static int each(struct gc *c, const char *folder, each_fn *fn)
{
	SLU_AUTO(slu_freep) char *marker = NULL;
	int r = 0;

	do {
		struct slu_list l = {0};
		struct slu_op op = {0};

		slu_op_list(&op, folder, marker, &l);
		op.flags |= SLU_OPF_LENIENT | SLU_OPF_TEMPS;
		r = slu_store_wait(c->g.store, &op, c->e);
		if (r == 0)
			r = each_page(c, folder, &l, fn);
		free(marker);
		marker = r == 0 ? slu_take(l.next) : NULL;
		slu_list_done(&l);
	} while (r == 0 && marker);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static int each_of(struct gc *c, const char *folder, each_fn *fn)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(&c->g, "%s", folder);

	return path ? each(c, path, fn) : slu_fail_oom(c->e);
}

/* What a run will point to when it ends it has made since it began. */
static int note_running(struct gc *c, const char *record)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	int64_t began = 0;
	int r = slu_registry_json(&c->g, record, "the record of a run", &o, c->e);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	const char *created = slu_json_str(o, "created");

	if (!created || !slu_time_parse(created, &began))
		began = 0;
	if (began < c->running)
		c->running = began;
	return 0;
}

static int used_by_run(struct gc *c, const char *path, const struct slu_attr *attr)
{
	SLU_AUTO(slu_freep) char *outcome = slu_path_join(path, "outcome.json");
	SLU_AUTO(slu_freep) char *record = slu_path_join(path, "run.json");
	struct slu_attr a;
	int r;

	if (attr->kind != SLU_KIND_DIR)
		return 0;
	if (!outcome || !record)
		return slu_fail_oom(c->e);
	r = note_object(c, record);
	if (r == 0)
		r = slu_registry_stat(&c->g, outcome, &a, c->e);
	if (r == -ENOENT)
		return note_running(c, record);
	return r < 0 ? r : note_object(c, outcome);
}

/* A dataset that is used uses its manifest. */
static int used_by_dataset(struct gc *c, const char *path, const struct slu_attr *attr)
{
	SLU_AUTO(slu_freep) char *id = slu_strdup(slu_path_base(path));

	(void)attr;
	if (!id)
		return slu_fail_oom(c->e);
	id[strcspn(id, ".")] = '\0';
	return slu_hash_get(c->used, id) ? note_object(c, path) : 0;
}

static int find_used(struct gc *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < slu_index_count(c->x); i++)
		r = note_used(c, slu_index_at(c->x, i)->json);
	if (r == 0)
		r = each_of(c, "runs", used_by_run);
	return r < 0 ? r : each_of(c, "datasets", used_by_dataset);
}

/* --- things --- */

static int tell(struct gc *c, const char *what, const char *path, uint64_t bytes, bool removed)
{
	struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "what", what) < 0 || slu_json_set_str(o, "path", path) < 0 ||
	    slu_json_set_int(o, "bytes", (int64_t)bytes) < 0 ||
	    slu_json_set_bool(o, "removed", removed) < 0) {
		slu_json_free(o);
		return slu_fail_oom(c->e);
	}
	return slu_json_append(c->out, o) < 0 ? slu_fail_oom(c->e) : 0;
}

static int remove_it(struct gc *c, const char *what, const char *path, const struct slu_attr *a)
{
	int r = 0;

	if (!c->dry_run) {
		struct slu_op op = {0};

		slu_op_delete(&op, path, a->kind == SLU_KIND_DIR ? SLU_OPF_TREE : 0);
		op.if_match = a->kind == SLU_KIND_FILE ? a->id : NULL;
		r = slu_store_wait(c->g.store, &op, c->e);
		/* Gone, or made young since it was listed. */
		if (r == -ENOENT || r == -ESTALE)
			return 0;
	}
	return r < 0 ? r : tell(c, what, path, a->size, !c->dry_run);
}

static bool is_old(const struct gc *c, const struct slu_attr *a)
{
	return a->mtime_ns <= c->before;
}

static int claim(struct gc *c, const char *path, const struct slu_attr *attr)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL, *end = NULL;

	if (attr->kind != SLU_KIND_FILE || !slu_ends(path, ".json"))
		return 0;
	int r = slu_registry_json(&c->g, path, "a claim", &o, c->e);
	const char *run = slu_json_str(o, "run");

	if (r < 0 || !run) /* gone meanwhile, or not to be understood: then it stays */
		return 0;
	r = slu_outcome_get(c->s, run, &end, c->e);
	if (r == 0)
		return remove_it(c, "claim", path, attr);
	return r == -ENOENT ? 0 : r;
}

/* The form that names of ours have: so many hex digits in each part. */
static bool has_form(const char *name, const char *form)
{
	for (; *form; name++, form++)
		if (*form == 'x' ? !isxdigit((unsigned char)*name) : *name != *form)
			return false;
	return *name == '\0';
}

#define HEX16 "xxxxxxxxxxxxxxxx"
#define HEX64 HEX16 HEX16 HEX16 HEX16

static int add_old(struct gc *c, const char *what, const char *path, const struct slu_attr *attr,
		   size_t id_len)
{
	struct old o = {.what = what, .attr = *attr};

	if (!is_old(c, attr))
		return 0;
	o.path = slu_strdup(path);
	o.id = slu_strndup(slu_path_base(path), id_len);
	if (o.path && o.id && slu_vec_push(&c->old, o))
		return 0;
	free(o.path);
	free(o.id);
	return slu_fail_oom(c->e);
}

static int manifest(struct gc *c, const char *path, const struct slu_attr *attr)
{
	if (attr->kind != SLU_KIND_FILE || !has_form(slu_path_base(path), HEX64))
		return 0;
	return add_old(c, "manifest", path, attr, SHA_LEN);
}

static int dataset(struct gc *c, const char *path, const struct slu_attr *attr)
{
	if (attr->kind != SLU_KIND_FILE ||
	    !has_form(slu_path_base(path), "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.json"))
		return 0;
	return add_old(c, "dataset", path, attr, GUID_LEN);
}

/* What is not pointed to, and is older than what a run that goes on could point to one day. */
static int remove_old(struct gc *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->old.n; i++) {
		const struct old *o = &c->old.p[i];

		if (!slu_hash_get(c->used, o->id) &&
		    (c->running == INT64_MAX ||
		     o->attr.mtime_ns < c->running - 2 * slu_registry_young))
			r = remove_it(c, o->what, o->path, &o->attr);
	}
	return r;
}

static int segment(struct gc *c, const char *path, const struct slu_attr *attr)
{
	const char *base = slu_path_base(path);

	if (attr->kind != SLU_KIND_FILE || !has_form(base, HEX64) || !is_old(c, attr))
		return 0;
	for (size_t i = 0; i < c->x->segments.n; i++)
		if (slu_streq(c->x->segments.p[i].name, base))
			return 0;
	return remove_it(c, "segment", path, attr);
}

static int generation(struct gc *c, const char *path, const struct slu_attr *attr)
{
	char newest[32];

	snprintf(newest, sizeof(newest), "%010llu.json", (unsigned long long)c->x->generation);
	if (attr->kind != SLU_KIND_FILE || !is_old(c, attr) ||
	    strcmp(slu_path_base(path), newest) >= 0)
		return 0;
	return remove_it(c, "generation", path, attr);
}

/* A note that nothing came after. */
static int notes(struct gc *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->x->notes.n; i++) {
		const struct slu_index_note *n = &c->x->notes.p[i];

		if (!n->covered && is_old(c, &n->attr))
			r = remove_it(c, "note", n->path, &n->attr);
	}
	return r;
}

static int temporary(struct gc *c, const char *path, const struct slu_attr *attr)
{
	const char *rest = slu_after(slu_path_base(path), ".sluice-");

	if (!rest || strspn(rest, "0123456789abcdef") != strlen(rest) ||
	    strlen(rest) != SLU_TXN_MAX - 1 || !is_old(c, attr))
		return 0;
	return remove_it(c, "temporary", path, attr);
}

static int temporary_below(struct gc *c, const char *path, const struct slu_attr *attr)
{
	if (attr->kind == SLU_KIND_DIR && slu_path_base(path)[0] != '.')
		return each(c, path, temporary);
	return temporary(c, path, attr);
}

static int temporary_two_below(struct gc *c, const char *path, const struct slu_attr *attr)
{
	if (attr->kind == SLU_KIND_DIR && slu_path_base(path)[0] != '.')
		return each(c, path, temporary_below);
	return temporary(c, path, attr);
}

/* Where writes have names of their own until they are whole.  Below a run's folder lies what programs wrote. */
static int temporaries(struct gc *c)
{
	static const struct {
		const char *folder;
		each_fn *fn;
	} all[] = {{"data", temporary_two_below}, {"facts", temporary_two_below},
		   {"runs", temporary_below},     {"index", temporary_below},
		   {"manifests", temporary},      {"datasets", temporary},
		   {"claims", temporary}};
	int r = 0;

	if (!slu_store_can(c->g.store, SLU_CAP_REAL_DIRS))
		return 0;
	for (size_t i = 0; r == 0 && i < sizeof(all) / sizeof(all[0]); i++)
		r = each_of(c, all[i].folder, all[i].fn);
	return r;
}

/* --- all of it --- */

/* The index as the records have it now; in a dry run it is only read. */
static int read_index(struct gc *c)
{
	int r = slu_index_read(c->x, false, c->e);

	if (r == -ENODATA)
		r = 0;
	if (r == 0)
		r = slu_index_scan(c->x, c->e);
	if (r == 0)
		r = slu_index_resolve(c->x, c->e);
	c->blind = c->x->skipped > 0;
	if (r == 0 && !c->dry_run && c->x->lines.n)
		r = slu_index_compact(c->x, c->e);
	return r;
}

/* Which segments count now. */
static int read_newest(struct gc *c)
{
	SLU_AUTO(slu_index_freep) struct slu_index *x = slu_new0(struct slu_index);
	int r;

	if (!x)
		return slu_fail_oom(c->e);
	x->g = &c->g;
	r = slu_index_read(x, true, c->e);
	if (r < 0)
		return r == -ENODATA ? 0 : r;
	r = slu_index_resolve(x, c->e);
	slu_index_free(c->x);
	c->x = slu_take(x);
	return r;
}

static int clear_content(struct gc *c)
{
	if (c->blind) {
		slu_warn("registry", "a record is damaged: no manifest or dataset is removed");
		return 0;
	}
	int r = find_used(c);

	return r < 0 ? r : remove_old(c);
}

static int clear_index(struct gc *c)
{
	int r = read_newest(c);

	if (r == 0)
		r = notes(c);
	if (r < 0 || !c->x->generation)
		return r;
	r = each_of(c, "index/seg", segment);
	return r < 0 ? r : each_of(c, "index/gen", generation);
}

static int clear(struct gc *c)
{
	int r = each_of(c, "claims", claim);

	if (r == 0)
		r = temporaries(c);
	if (r == 0)
		r = each_of(c, "datasets", dataset);
	if (r == 0)
		r = each_of(c, "manifests", manifest);
	if (r == 0)
		r = read_index(c);
	if (r == 0)
		r = clear_content(c);
	return r < 0 ? r : clear_index(c);
}

/* What an earlier one put to ask for the time. */
static int question(struct gc *c, const char *path, const struct slu_attr *attr)
{
	if (attr->kind != SLU_KIND_FILE || !has_form(slu_path_base(path), HEX16 HEX16) ||
	    !is_old(c, attr))
		return 0;
	return remove_it(c, "question", path, attr);
}

/* The time by the clock that the ages of objects are told by. */
static int ask_time(struct gc *c, int64_t *ret)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_attr a = {0};
	char id[33];
	int r;

	*ret = slu_wall();
	if (c->dry_run)
		return 0;
	r = slu_random_id(id, 16);
	if (r < 0)
		return slu_fail_sys(c->e, -r, "cannot make an id");
	path = slu_registry_path(&c->g, "gc/%s", id);
	if (!path)
		return slu_fail_oom(c->e);
	r = slu_store_put(c->g.store, path, "", 0, SLU_OPF_ABSENT, &a, c->e);
	if (r == 0 && !a.mtime_ns)
		r = slu_store_stat(c->g.store, path, &a, c->e);
	if (r == 0)
		r = slu_store_delete(c->g.store, path, 0, c->e);
	if (r == 0)
		*ret = a.mtime_ns;
	return r;
}

static int clear_by_time(struct gc *c, int64_t grace)
{
	int64_t now;
	int r = ask_time(c, &now);

	c->before = now - grace;
	if (r == 0)
		r = each_of(c, "gc", question);
	return r < 0 ? r : clear(c);
}

static void done(struct gc *c)
{
	for (size_t i = 0; i < c->old.n; i++) {
		free(c->old.p[i].path);
		free(c->old.p[i].id);
	}
	free(c->old.p);
	slu_json_free(c->out);
	slu_index_free(c->x);
	if (c->used)
		slu_hash_free(c->used, NULL);
}

int slu_gc(struct sluice *s, int64_t grace, bool dry_run, struct json_t **ret, struct slu_err *e)
{
	struct slu_err own = {0};
	struct gc c = {.s = s, .dry_run = dry_run, .running = INT64_MAX, .e = e ? e : &own};
	int r = slu_registry_open(s, &c.g, c.e);

	if (r < 0)
		return r;
	if (!dry_run && slu_store_can(c.g.store, SLU_CAP_READ_ONLY))
		return slu_fail(e, EROFS, "the registry lies in a read-only store");
	c.used = slu_hash_new();
	c.out = slu_json_array();
	c.x = slu_new0(struct slu_index);
	if (c.used && c.out && c.x) {
		c.x->g = &c.g;
		r = clear_by_time(&c, grace);
	} else {
		r = slu_fail_oom(c.e);
	}
	if (r == 0)
		*ret = slu_take(c.out);
	done(&c);
	return r;
}
