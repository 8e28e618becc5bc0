/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deriving a dataset: the steps run over the manifest of the source and not over a new listing, so that
 * the halves of a split are those of this very version, whatever came to its folder since.
 */
#include "dataset/derive.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/reading.h"
#include "dataset/steps.h"

#include <errno.h>
#include <string.h>

static bool reads(const struct json_t *step)
{
	void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;
	const char *name = it ? slu_json_iter_key(it) : slu_json_string(step);

	return name && slu_starts(name, "read_");
}

static int append_all(struct json_t *to, const struct json_t *from)
{
	for (size_t i = 0; i < slu_json_count(from); i++)
		if (slu_json_append(to, slu_json_copy(slu_json_at(from, i))) < 0)
			return -ENOMEM;
	return 0;
}

static struct json_t *derived_doc(const struct json_t *doc, const struct json_t *steps)
{
	SLU_AUTO(slu_json_freep) struct json_t *copy = slu_json_copy(doc);
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	const struct json_t *old = slu_json_get(doc, "transformations");
	bool put = false;

	if (!copy || !all)
		return NULL;
	for (size_t i = 0; i < slu_json_count(old); i++) {
		if (!put && reads(slu_json_at(old, i))) {
			if (append_all(all, steps) < 0)
				return NULL;
			put = true;
		}
		if (slu_json_append(all, slu_json_copy(slu_json_at(old, i))) < 0)
			return NULL;
	}
	if ((!put && append_all(all, steps) < 0) ||
	    (slu_json_count(all) > 0 &&
	     slu_json_set(copy, "transformations", slu_json_ref(all)) < 0))
		return NULL;
	return slu_take(copy);
}

static int check_steps(const struct json_t *steps, struct slu_err *e)
{
	if (steps && !slu_json_is_array(steps))
		return slu_fail(e, EINVAL, "'transformations' of the dataset has to be a list");
	for (size_t i = 0; i < slu_json_count(steps); i++)
		if (reads(slu_json_at(steps, i)))
			return slu_fail(e, EINVAL,
					"what is made from another dataset is read as that is: "
					"leave the read_ transformation out");
	return 0;
}

/* The new steps, and the columns that the source has for them. */
static int set_steps(struct json_t *doc, const struct slu_dataset *from, const struct json_t *steps)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();
	const struct json_t *old = slu_json_get(from->def->doc, "transformations");

	for (size_t i = 0; i < slu_json_count(old); i++)
		if (slu_json_get(slu_json_at(old, i), "extract_columns_from_partition_format") &&
		    slu_json_append(all, slu_json_copy(slu_json_at(old, i))) < 0)
			return -ENOMEM;
	if (append_all(all, steps) < 0)
		return -ENOMEM;
	return slu_json_set(doc, "transformations", slu_json_ref(all));
}

/* Those of the source's files that the new steps leave. */
static int choose(struct sluice *s, const struct slu_dataset *from, const struct json_t *steps,
		  const char *ref, struct slu_tree **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *only = slu_json_object();
	SLU_AUTO(slu_steps_freep) struct slu_steps *run = NULL;
	struct slu_manifest *m = NULL;

	if (!only || set_steps(only, from, steps) < 0)
		return slu_fail_oom(e);
	int r = slu_steps_new(only, "the dataset", &run, e);

	if (r < 0)
		return r;
	if (!run) {
		run = slu_steps_all();
		if (!run)
			return slu_fail_oom(e);
	}
	r = slu_steps_manifest(run, from->tree->manifest, &m, e);
	if (r < 0)
		return r;
	if (slu_manifest_count(m) == 0) {
		slu_manifest_free(m);
		return slu_fail(e, ENOENT,
				"'%s': the steps (take, skip, sample, filter) leave none of its "
				"%zu files",
				ref, slu_manifest_count(from->tree->manifest));
	}
	return slu_resolve_manifest(s, m, ret, e);
}

int slu_derive(struct sluice *s, const char *ref, const struct json_t *steps,
	       struct slu_dataset **ret, struct slu_dataset **ret_source, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *from = NULL;
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);
	SLU_AUTO(slu_json_freep) struct json_t *doc = NULL;
	int r = check_steps(steps, e);

	if (r == 0)
		r = slu_resolve_ref(s, ref, &from, e);
	if (r < 0)
		return r;
	doc = derived_doc(from->def->doc, steps);
	if (!doc || !d)
		return slu_fail_oom(e);
	r = slu_definition_from_doc(from->def->type, doc, "the dataset", &d->def, e);
	if (r == 0)
		r = choose(s, from, steps, ref, &d->tree, e);
	if (r < 0)
		return r;
	d->tree->single_file = from->tree->single_file;
	*ret = slu_take(d);
	*ret_source = slu_take(from);
	return 0;
}
