/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of stores with flat listings: streamed page by page, in the order that the store keeps. */
#include "fs/walk_parts.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

static bool has_temp_part(const char *name)
{
	for (const char *p = name; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (slu_starts(p, SLU_WALK_TEMP))
			return true;
	}
	return false;
}

static bool glob_matches(const struct slu_glob *g, const char *path)
{
	for (size_t i = 0; i < g->n; i++)
		if (slu_glob_match(g->alt[i].text, path))
			return true;
	return false;
}

static int visit_flat(struct slu_walker *w, const char *base, const struct slu_dirent *d,
		      char **prev, struct slu_err *e)
{
	size_t len;
	int r;

	if (d->attr.kind == SLU_KIND_DIR)
		return 0; /* a folder marker */
	if (!slu_path_ok(d->name) || !*d->name)
		return slu_odd_add(&w->odd, base, d->name, e);
	if (*prev && strcmp(*prev, d->name) >= 0)
		return slu_fail(e, EPROTO,
				"the listing of '%s' is not sorted: '%s' comes after '%s'", base,
				d->name, *prev);
	free(*prev);
	*prev = slu_strdup(d->name);
	if (!*prev)
		return slu_fail_oom(e);
	if (has_temp_part(d->name))
		return 0;
	r = slu_walker_push(w, d->name, &len, e);
	if (r < 0)
		return r;
	if (!w->glob || glob_matches(w->glob, w->path.p)) {
		w->found++;
		r = w->fn(w->user, w->path.p, &d->attr, e);
	}
	slu_walker_cut(w, len);
	return r;
}

int slu_walk_flat(struct slu_walker *w, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *marker = NULL, *prev = NULL, *base = NULL;
	SLU_AUTO(slu_marks_done) struct slu_marks marks = {0};

	base = slu_strdup(slu_walker_path(w));
	if (!base)
		return slu_fail_oom(e);
	for (;;) {
		SLU_AUTO(slu_list_done) struct slu_list page = {0};
		struct slu_op op;
		int r;

		slu_op_list(&op, base, marker, &page);
		op.flags = SLU_OPF_RECURSIVE;
		r = slu_store_wait(w->s, &op, e);
		if (r == 0)
			r = slu_marks_check(&marks, base, marker, page.next, page.n, e);
		for (size_t i = 0; i < page.n && r == 0; i++)
			r = visit_flat(w, base, &page.p[i], &prev, e);
		if (r || !page.next)
			return r;
		free(marker);
		marker = slu_take(page.next);
	}
}
