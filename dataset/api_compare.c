/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: what differs between two datasets, whether a version still holds, and what was made
 * from it.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api_version.h"
#include "dataset/compare.h"
#include "dataset/lineage.h"

#include <errno.h>
#include <string.h>

struct telling {
	sluice_difference_fn *fn;
	void *user;
	struct sluice_difference_totals totals;
};

static int tell(void *user, enum slu_difference what, const struct slu_file *before,
		const struct slu_file *after)
{
	struct telling *t = user;
	uint64_t *const count[] = {&t->totals.same, &t->totals.added, &t->totals.removed,
				   &t->totals.changed};
	struct sluice_difference d = {
		.what = (int)what,
		.path = before ? before->path : after->path,
		.before = before ? before->size : 0,
		.after = after ? after->size : 0,
	};

	(*count[what])++;
	return t->fn ? t->fn(t->user, &d) : 0;
}

static int end(const struct telling *t, struct sluice_difference_totals *totals,
	       const struct slu_err *er, int r, struct sluice_error *e)
{
	if (r == 0 && totals)
		*totals = t->totals;
	return slu_api_error(e, er, r);
}

int sluice_data_diff(struct sluice *s, const char *a, const char *b, sluice_difference_fn *fn,
		     void *user, struct sluice_difference_totals *totals, struct sluice_error *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *x = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *y = NULL;
	struct telling t = {.fn = fn, .user = user};
	struct slu_err er = {0};
	int r = slu_resolve_ref(s, a, &x, &er);

	if (r == 0)
		r = slu_resolve_ref(s, b, &y, &er);
	if (r == 0)
		r = slu_compare(s, x->tree, y->tree, tell, &t, &er);
	return end(&t, totals, &er, r, e);
}

int sluice_data_verify(struct sluice *s, const char *ref, sluice_difference_fn *fn, void *user,
		       struct sluice_difference_totals *totals, struct sluice_error *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct telling t = {.fn = fn, .user = user};
	struct slu_err er = {0};
	int r = slu_resolve_ref(s, ref, &d, &er);

	if (r == 0)
		r = slu_compare_now(s, d, tell, &t, &er);
	return end(&t, totals, &er, r, e);
}

/* The id that a reference had when it was made, and that of its frozen copy (NULL: none). */
static int ids_of(struct sluice *s, const char *ref, char ret[37], char **ret_frozen,
		  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	SLU_AUTO(slu_freep) char *name = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	int r = slu_api_version(s, ref, &name, &version, NULL);

	if (r < 0) { /* an id, an output, a path */
		r = slu_resolve_ref(s, ref, &d, e);
		if (r == 0)
			memcpy(ret, d->id, sizeof d->id);
		return r;
	}
	r = slu_registry_record(s, name, version, &record, e);
	/* Of a version that is unregistered people want to know, too. */
	if (r == -ENOENT && version)
		r = slu_registry_record_any(s, name, version, &record, e);
	if (r < 0)
		return r;
	const char *id = slu_json_str(record, "dataset");
	const char *frozen = slu_json_str(record, "frozen");

	if (!id || strlen(id) != 36)
		return slu_fail(e, EBADMSG, "the record of dataset '%s' is damaged", name);
	memcpy(ret, id, 37);
	*ret_frozen = slu_strdup(frozen);
	return frozen && !*ret_frozen ? slu_fail_oom(e) : 0;
}

int sluice_data_used_by(struct sluice *s, const char *ref, char **ret_json, struct sluice_error *e)
{
	SLU_AUTO(slu_freep) char *frozen = NULL;
	struct slu_err er = {0};
	struct json_t *j = NULL;
	char id[37];
	int r = slu_context_need_workspace(s, &er);

	if (r == 0)
		r = ids_of(s, ref, id, &frozen, &er);
	if (r == 0)
		r = slu_lineage_down(s, ref, id, frozen, &j, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
