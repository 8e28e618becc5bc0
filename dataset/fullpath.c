/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset/fullpath.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/context_impl.h"
#include "fs/walk.h"

#include <string.h>

int slu_full_paths_init(struct sluice *s, const struct slu_manifest *m, struct slu_full_paths *ret,
			struct slu_err *e)
{
	ret->manifest = m;
	for (size_t i = 0; i < slu_manifest_sources(m); i++) {
		SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;
		int r = slu_context_parse(s, slu_manifest_source(m, i)->uri, &u, e);

		if (r < 0)
			return r;
		char *plain =
			slu_glob_unescape(u->path ? u->path : "", u->path ? strlen(u->path) : 0);

		if (!plain || !slu_vec_push(&ret->roots, plain)) {
			free(plain);
			return slu_fail_oom(e);
		}
	}
	return 0;
}

void slu_full_paths_done(struct slu_full_paths *p)
{
	for (size_t i = 0; i < p->roots.n; i++)
		free(p->roots.p[i]);
	free(p->roots.p);
	*p = (struct slu_full_paths){0};
}

char *slu_full_path(const struct slu_full_paths *p, const char *path)
{
	/* the prefix of a source is only there in the view */
	for (size_t i = 0; i < p->roots.n; i++) {
		const char *prefix = slu_manifest_source(p->manifest, i)->prefix;
		size_t k = prefix ? strlen(prefix) : 0;

		if (k == 0 || (slu_starts(path, prefix) && path[k] == '/'))
			return slu_path_join(p->roots.p[i], path + k + (k > 0));
	}
	return slu_strdup(path);
}
