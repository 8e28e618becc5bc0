/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the reference of an object verb (ls, stat, cat, cp) leads: a place in a store, or the files of
 * a registered dataset.  A bare word is a registered dataset when there is one, else a local path.
 */
#include "dataset/api.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/registry.h"
#include "fs/walk.h"

#include <errno.h>
#include <string.h>

static bool is_store(void *user, const char *name)
{
	return slu_context_is_store(user, name);
}

static bool is_registered(struct sluice *s, const char *word)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;

	return slu_is_name(word) && slu_context_workspace(s) &&
	       slu_registry_record(s, word, NULL, &record, NULL) == 0;
}

int slu_place_find(struct sluice *s, const char *ref, struct slu_place *ret, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	SLU_AUTO(slu_freep) char *own = NULL;
	struct slu_place p = {0};
	int r = slu_api_local(s, &ref, &own, e);

	if (r == 0)
		r = slu_uri_parse(ref, is_store, s, &u, e);
	if (r < 0)
		return r;
	if (u->kind == SLU_URI_DATA || u->kind == SLU_URI_DATA_ID || u->kind == SLU_URI_JOB ||
	    (u->kind == SLU_URI_WORD && is_registered(s, ref)))
		r = slu_resolve_ref(s, ref, &p.dataset, e);
	p.version = slu_take(u->state);
	if (r == 0 && !p.dataset)
		r = slu_context_locate(s, u, &p.store, &p.path, NULL, e);
	if (r < 0) {
		slu_place_done(&p);
		return r;
	}
	if (p.store) {
		p.glob = slu_glob_is(p.path);
		p.folder = slu_ends(ref, "/");
		if (!p.glob) {
			char *plain = slu_glob_unescape(p.path, strlen(p.path));

			if (!plain) {
				slu_place_done(&p);
				return slu_fail_oom(e);
			}
			free(p.path);
			p.path = plain;
		}
	}
	*ret = p;
	return 0;
}

int slu_api_check_place(struct sluice *s, const char *ref, struct slu_err *e)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
	int r = slu_uri_parse(ref, is_store, s, &u, e);

	if (r < 0 ||
	    (u->kind != SLU_URI_DATA && u->kind != SLU_URI_DATA_ID && u->kind != SLU_URI_JOB))
		return r;
	return slu_fail(e, EACCES,
			"'%s' is of a dataset, which is read-only: write to a path of a datastore, "
			"such as azureml://datastores/%s/paths/NEW, and register that as a new "
			"version",
			ref, slu_context_workspace(s) ? slu_context_default_store(s) : "STORE");
}

int slu_place_stat(const struct slu_place *p, struct slu_attr *ret, struct json_t **ret_detail,
		   struct slu_err *e)
{
	struct slu_op op;
	int r;

	slu_op_stat(&op, p->path);
	op.version = p->version;
	if (ret_detail)
		op.flags |= SLU_OPF_DETAIL;
	r = slu_store_wait(p->store, &op, e);
	if (r < 0) {
		slu_json_free(op.detail);
		return r;
	}
	*ret = op.attr;
	if (ret_detail)
		*ret_detail = op.detail;
	return 0;
}

void slu_place_done(struct slu_place *p)
{
	free(p->path);
	free(p->version);
	slu_dataset_free(p->dataset);
	*p = (struct slu_place){0};
}

/* Stores keep unfinished writes under such names and list none of them: data there would be lost. */
int slu_api_check_shown(const char *to, struct slu_err *e)
{
	for (const char *s = to; s; s = strchr(s, '/')) {
		s += *s == '/';
		if (slu_starts(s, ".sluice-"))
			return slu_fail(
				e, EINVAL,
				"'%s': names that begin with '.sluice-' are those of unfinished "
				"writes and never listed; choose another name",
				to);
	}
	return 0;
}

char *slu_api_shown_base(const char *ref, bool file, bool glob)
{
	size_t n = strlen(ref);

	if (file)
		return slu_strdup(ref);
	if (glob) {
		for (n = 0; ref[n] && !strchr("*?[{", ref[n]); n++)
			if (ref[n] == '\\' && ref[n + 1])
				n++;
		while (n > 0 && ref[n - 1] != '/' && ref[n - 1] != ':')
			n--;
		return slu_strndup(ref, n);
	}
	while (n > 0 && ref[n - 1] == '/')
		n--;
	return n > 0 && ref[n - 1] == ':' ? slu_strndup(ref, n)
					  : slu_asprintf("%.*s/", (int)n, ref);
}
