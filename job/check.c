/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job refers to, checked against the workspace before a run is made.  A path in a store is not
 * looked up: it may be made until the step begins.
 */
#include "job/launch.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/registry.h"
#include "fs/walk.h"
#include "job/compute.h"
#include "job/task.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define ANY_RUN "run" /* stands for the id that the run will get */

static bool is_store(void *user, const char *name)
{
	return slu_context_is_store(user, name);
}

static int check_local(const struct slu_uri *u, const char *ref, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct stat st;

	if (slu_glob_is(u->path))
		return 0;
	SLU_AUTO(slu_freep) char *plain = slu_glob_unescape(u->path, strlen(u->path));
	path = plain ? slu_asprintf("%s%s", plain[0] == '/' ? "" : "/", plain) : NULL;
	if (!path)
		return slu_fail_oom(e);
	return stat(path, &st) < 0 ? slu_fail_sys(e, errno, "cannot read '%s'", ref) : 0;
}

static int check_data(struct sluice *s, const char *name, const char *version, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;

	return slu_registry_record(s, name, version, &record, e);
}

static int check_ref(struct sluice *s, const char *ref, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	struct slu_store *store;
	int r = slu_uri_parse(ref, is_store, s, &u, e);

	if (r < 0)
		return r;
	switch (u->kind) {
	case SLU_URI_DATASTORE:
		return slu_context_store(s, u->name, &store, e);
	case SLU_URI_DATA:
		return u->registry ? 0 : check_data(s, u->name, u->version, e);
	case SLU_URI_LOCAL:
		return check_local(u, ref, e);
	case SLU_URI_WORD:
		if (slu_is_name(ref))
			return check_data(s, ref, NULL, e);
		return slu_fail(
			e, ENOENT,
			"'%s' is neither a file beside the job file nor a registered dataset", ref);
	default:
		return 0;
	}
}

static int check_output(struct sluice *s, const struct slu_spec_step *st,
			const struct slu_spec_output *out, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = out->path ? slu_stage_destination(s, st, out, ANY_RUN, &text, e) : 0;

	return text ? slu_output_check_place(s, text, out->name, ANY_RUN, e) : r;
}

static int fail_at(const char *at, const char *where, const char *what, const char *name,
		   struct slu_err *e)
{
	return slu_fail_more(e, "%s: %s '%s'", at ? at : where, what, name);
}

static int check_step(struct sluice *s, const struct slu_spec_step *st, struct slu_err *e)
{
	struct slu_compute c = {0};
	struct slu_store *store;
	int r = slu_compute_find(s, st->compute, st->kind, &c, e);

	slu_compute_done(&c);
	if (r == 0 && st->datastore)
		r = slu_context_store(s, st->datastore, &store, e);
	if (r < 0) {
		slu_fail_more(e, "%s", st->where);
		return r;
	}
	for (size_t i = 0; i < st->nin; i++) {
		r = st->in[i].ref ? check_ref(s, st->in[i].ref, e) : 0;
		if (r < 0)
			return fail_at(st->in[i].ref_where, st->in[i].where, "input",
				       st->in[i].name, e);
	}
	for (size_t i = 0; i < st->nout; i++) {
		r = check_output(s, st, &st->out[i], e);
		if (r < 0)
			return fail_at(st->out[i].path_where, st->out[i].where, "output",
				       st->out[i].name, e);
	}
	return 0;
}

int slu_launch_check(struct sluice *s, const struct slu_job *job, struct slu_err *e)
{
	int r = 0;

	for (size_t i = 0; i < job->nsteps && r == 0; i++)
		r = check_step(s, &job->steps[i], e);
	return r;
}
