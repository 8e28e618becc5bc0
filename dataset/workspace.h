/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workspace: one config.json, found as Azure ML's Workspace.from_config finds it (each of six
 * folder/file pairs is tried all the way up before the next), with the same three keys and ours:
 *
 *   {"subscription_id": "...", "resource_group": "...", "workspace_name": "...",
 *    "root": ".sluice/root",                      registry and runs; any datastore path
 *    "default_datastore": "workspaceblobstore",
 *    "datastores": {"workspaceblobstore": {"type": "local", "path": ".sluice/workspaceblobstore"}},
 *    "default_compute": "local", "computes": {...}}
 *
 * Relative local paths are relative to the folder that the config belongs to.
 */
#ifndef SLU_DATASET_WORKSPACE_H
#define SLU_DATASET_WORKSPACE_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

struct slu_workspace {
	char *config_path; /* absolute */
	char *dir;         /* absolute: the folder that relative paths start from */
	struct json_t *config;
	const char *subscription_id, *resource_group, *name; /* in config */
	char *text; /* the file as it was read, for slu_workspace_save() */
};

/* path: see sluice_open().  None: -ENOENT naming the folder searched and `sluice init`. */
int slu_workspace_find(const char *path, struct slu_workspace **ret, struct slu_err *e);
void slu_workspace_free(struct slu_workspace *w);
SLU_DEFINE_CLEANUP(struct slu_workspace *, slu_workspace_free, slu_workspace_freep)
/* Makes dir/config.json (0644: no secrets live there) and the folders it names; dir is made when absent.
 * name NULL: that of the folder.  A config there already, here or in .azureml: -EEXIST. */
int slu_workspace_init(const char *dir, const char *name, char **ret_config_path,
		       struct slu_err *e);
/* Writes w->config back, atomically, under a lock on the file; fails with -ESTALE when the file is
 * no longer what was read.  Its mode stays. */
int slu_workspace_save(struct slu_workspace *w, struct slu_err *e);

#endif
