/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job files: how an output is written, what becomes of it when the run fails, and how its files are read when
 * it is a table.  Where it goes and as what it is registered is in spec_io.c.
 */
#include "job/spec_impl.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/output.h"
#include "fs/walk.h"
#include "job/subst.h"

static int output_globs(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
			struct slu_spec_output *o, struct slu_err *e)
{
	const struct json_t *globs = slu_json_get(v, "source_globs");

	if (!globs || slu_json_is_null(globs))
		return 0;
	bool uploaded = o->mode_given ? o->mode == SLU_MODE_UPLOAD : kind == SLU_JOB_COMMAND;

	if (!uploaded || !slu_json_is_array(globs) || !slu_json_count(globs))
		return slu_yaml_fail(
			f->yaml, v, "source_globs", e,
			"'source_globs' is a list of patterns, relative to the folder, "
			"of an output that is uploaded");
	for (size_t i = 0; i < slu_json_count(globs); i++) {
		const char *glob = slu_json_string(slu_json_at(globs, i));
		struct slu_err why = {0};

		if (!glob || slu_glob_check(glob, &why) < 0)
			return slu_yaml_fail(f->yaml, v, "source_globs", e, "%s",
					     glob ? why.msg : "a pattern is text");
	}
	slu_json_free(o->source_globs);
	o->source_globs = slu_json_copy(globs);
	return o->source_globs ? 0 : slu_fail_oom(e);
}

/* How a table is read stays as it is written: what it means is the dataset's matter. */
static int output_table(const struct spec_file *f, const struct json_t *v,
			struct slu_spec_output *o, struct slu_err *e)
{
	static const char *const keys[] = {"delimited",      "json_lines",       "parquet",
					   "delta_lake",     "partition_format", "path_glob",
					   "transformations"};
	SLU_AUTO(slu_json_freep) struct json_t *table = slu_json_object();
	struct slu_err why = {0};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct json_t *has = slu_json_get(v, keys[i]);

		if (has && !slu_json_is_null(has) &&
		    slu_json_set(table, keys[i], slu_json_copy(has)) < 0)
			return slu_fail_oom(e);
	}
	if (!table)
		return slu_fail_oom(e);
	if (!slu_json_count(table))
		return 0;
	if (slu_output_check_table(table, &why) < 0)
		return slu_yaml_fail(f->yaml, v, slu_json_iter_key(slu_json_iter(table)), e, "%s",
				     why.msg);
	slu_json_free(o->table);
	o->table = slu_take(table);
	return 0;
}

int spec_at(const struct spec_file *f, const struct json_t *v, bool no_folder, char **ret,
	    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL, *clean = NULL;
	int r = spec_text(f, v, "path_on_compute", &text, e);

	if (r < 0 || !text)
		return r;
	if (no_folder)
		return slu_yaml_fail(
			f->yaml, v, "path_on_compute", e,
			"'path_on_compute' is of what is mounted, downloaded or uploaded");
	r = slu_path_clean(text, &clean, NULL);
	if (r < 0 || !*clean)
		return slu_yaml_fail(
			f->yaml, v, "path_on_compute", e,
			"'%s' is no folder: give one in the code folder, or an absolute path",
			text);
	free(*ret);
	*ret = text[0] == '/' ? slu_asprintf("/%s", clean) : slu_take(clean);
	return *ret ? 0 : slu_fail_oom(e);
}

/* Where it is on the machine; that of a link is no place. */
static int output_place(const struct spec_file *f, const struct json_t *v,
			struct slu_spec_output *o, struct slu_err *e)
{
	const char *path = slu_json_str(v, "path");
	bool local = !o->mode_given || o->mode == SLU_MODE_UPLOAD || o->mode == SLU_MODE_RW_MOUNT;

	if (path && !slu_binding_is(path) && o->mode_given && o->mode == SLU_MODE_LINK)
		return slu_yaml_fail(
			f->yaml, v, "path", e,
			"output '%s' is a link: its data stays where it is, so it has no "
			"'path'",
			o->name);
	return spec_at(f, v, !local, &o->at, e);
}

int spec_output_policy(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
		       struct slu_spec_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *policy = NULL;
	int r = spec_text(f, v, "on_failure", &policy, e);

	if (r == 0)
		r = output_place(f, v, o, e);
	if (r == 0)
		r = output_globs(f, v, kind, o, e);
	if (r == 0)
		r = output_table(f, v, o, e);
	if (r < 0)
		return r;
	if (policy && !slu_streq(policy, "keep") && !slu_streq(policy, "discard"))
		return slu_yaml_fail(f->yaml, v, "on_failure", e,
				     "'%s': what a failed run wrote is to 'keep' or to 'discard'",
				     policy);
	o->discard |= policy && slu_streq(policy, "discard");
	return spec_flag(f, v, "overwrite", &o->overwrite, e);
}
