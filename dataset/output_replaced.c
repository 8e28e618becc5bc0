/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run did to files that lay at its destination before it: a version that pins one which was replaced or
 * removed cannot be read any more, and its users should hear that from the run that did it, and from the version.
 * Versions of other names are not looked for; `data verify` finds out about any.
 */
#include "dataset/output_parts.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "dataset/facts.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

#define NAMES_MAX 5u
#define VERSIONS_MAX 64u /* the newest, that are looked at */

struct hunt {
	struct sluice *s;
	const struct slu_manifest *before;
	size_t *gone, n; /* indexes into it: changed, or not there any more */
};

static int find_gone(struct hunt *h, const struct slu_manifest *now, struct slu_err *e)
{
	size_t count = slu_manifest_count(h->before);

	h->gone = slu_calloc(count, sizeof *h->gone);
	if (!h->gone)
		return slu_fail_oom(e);
	for (size_t i = 0; i < count; i++) {
		const struct slu_file *was = slu_manifest_at(h->before, i);
		size_t at = slu_manifest_find(now, was->path);

		if (at == SIZE_MAX || !slu_output_same(slu_manifest_at(now, at), was))
			h->gone[h->n++] = i;
	}
	return 0;
}

/* The folder of `uri` that lies in the folder of a source, as a prefix of paths; NULL: it lies elsewhere. */
static char *below(const char *uri, const struct slu_msource *source)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
	size_t n = strlen(source->uri);

	while (n && source->uri[n - 1] == '/')
		n--;
	if (strncmp(uri, source->uri, n) != 0 || (uri[n] && uri[n] != '/'))
		return NULL;
	slu_buf_str(&b, source->prefix);
	slu_buf_str(&b, source->prefix[0] ? "/" : "");
	if (uri[n] && uri[n + 1]) {
		if (!slu_url_decode(&b, uri + n + 1, strlen(uri + n + 1)))
			return NULL;
		if (b.p && b.p[b.len - 1] != '/')
			slu_buf_ch(&b, '/');
	}
	return slu_buf_take(&b);
}

/* Does a version with that manifest read one of them, as it was? */
static bool pins(const struct hunt *h, const struct slu_manifest *m)
{
	const char *uri = slu_manifest_source(h->before, 0)->uri;
	bool yes = false;

	for (size_t k = 0; k < slu_manifest_sources(m) && !yes; k++) {
		SLU_AUTO(slu_freep) char *prefix = below(uri, slu_manifest_source(m, k));

		for (size_t i = 0; prefix && i < h->n && !yes; i++) {
			const struct slu_file *was = slu_manifest_at(h->before, h->gone[i]);
			SLU_AUTO(slu_freep) char *path = slu_asprintf("%s%s", prefix, was->path);
			size_t at = path ? slu_manifest_find(m, path) : SIZE_MAX;
			const struct slu_file *f = at == SIZE_MAX ? NULL : slu_manifest_at(m, at);

			yes = f && !f->version[0] && slu_output_same(f, was);
		}
	}
	return yes;
}

/* Says of one version that this run overwrote it, if it did.  1, 0.  -ENOENT, -EBADMSG: that version, or its list of
 * files, is not there any more or damaged. */
static int mark(const struct hunt *h, struct json_t *record, const char *run, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *change = NULL;
	const char *digest = slu_json_str(record, "manifest");
	struct slu_registry g;
	int r;

	if (!digest || slu_json_get(record, "frozen") || slu_json_get(record, "overwritten"))
		return 0;
	r = slu_registry_manifest(h->s, digest, &m, e);
	if (r < 0 || !pins(h, m))
		return r;
	change = slu_json_object();
	if (slu_json_set_str(change, "overwritten", run) < 0)
		return slu_fail_oom(e);
	r = slu_registry_open(h->s, &g, e);
	if (r == 0)
		r = slu_facts_change(&g, record, change, e);
	return r < 0 ? r : 1;
}

static int mark_all(const struct hunt *h, const char *name, const char *run,
		    struct json_t *versions, struct slu_err *e)
{
	const struct slu_search q = {.name = name, .archived = true};
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	int r = slu_registry_search(h->s, &q, &all, e);
	size_t n = slu_json_count(all);

	for (size_t i = n; i-- > 0 && n - i <= VERSIONS_MAX && r >= 0;) {
		struct json_t *record = slu_json_at(all, i);

		r = mark(h, record, run, e);
		if (r == -ENOENT || r == -EBADMSG) { /* nobody reads that one, overwritten or not */
			slu_debug("output", "'%s:%s' is passed over: %s", name,
				  slu_json_str(record, "version"), e->msg);
			r = 0;
		}
		if (r <= 0)
			continue;
		SLU_AUTO(slu_freep)
		char *ref = slu_asprintf("%s:%s", name, slu_json_str(record, "version"));

		if (!ref || slu_json_append(versions, slu_json_new_str(ref)) < 0)
			return slu_fail_oom(e);
	}
	return r == -ENOENT || r > 0 ? 0 : r; /* no such name yet */
}

static struct json_t *describe(const struct slu_output *o, const struct hunt *h,
			       struct json_t *versions)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_json_object();
	struct json_t *names = slu_json_array();
	int r = 0;

	for (size_t i = 0; i < h->n && i < NAMES_MAX && r == 0; i++)
		r = slu_json_append(names,
				    slu_json_new_str(slu_manifest_at(h->before, h->gone[i])->path));
	if (slu_json_set(j, "names", names) < 0 || r < 0 ||
	    slu_json_set_str(j, "output", o->name) < 0 || slu_json_set_str(j, "uri", o->uri) < 0 ||
	    slu_json_set_int(j, "files", (int64_t)h->n) < 0 ||
	    slu_json_set(j, "versions", slu_json_ref(versions)) < 0)
		return NULL;
	return slu_take(j);
}

int slu_output_replaced(struct sluice *s, const struct slu_output *o, const char *run,
			struct json_t **ret, struct slu_err *e)
{
	struct hunt h = {.s = s, .before = o->first ? o->first : o->before};
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *versions = slu_json_array();
	int r;

	if (!o->claim || !h.before || !slu_manifest_count(h.before))
		return 0;
	r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri, &now, e);
	if (r == 0)
		r = find_gone(&h, now, e);
	if (r == 0 && h.n && o->register_name)
		r = mark_all(&h, o->register_name, run, versions, e);
	/* The files are told also where not all versions could be asked. */
	if (h.n) {
		*ret = describe(o, &h, versions);
		r = *ret ? r : slu_fail_oom(e);
	}
	free(h.gone);
	return r < 0 ? slu_fail_more(e, "output '%s'", o->name) : r;
}
