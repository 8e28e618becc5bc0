/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of config.json by whoever comes through: slu_workspace_save() refuses what was made of an older file. */
#include "dataset/workspace_edit.h"

#include <errno.h>

#define EDITS_MAX 200 /* of every round one writer comes through */

int slu_workspace_fresh(struct sluice *s, struct slu_workspace **ret, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	return r < 0 ? r : slu_workspace_find(slu_context_workspace(s)->config_path, ret, e);
}

int slu_workspace_edit(struct sluice *s, slu_workspace_edit_fn *fn, void *user, struct slu_err *e)
{
	int r = -ESTALE;

	for (int i = 0; i < EDITS_MAX && r == -ESTALE; i++) {
		SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;

		r = slu_workspace_fresh(s, &w, e);
		if (r == 0)
			r = fn(w, user, e);
		if (r == 0)
			r = slu_workspace_save(w, e);
	}
	return r;
}
