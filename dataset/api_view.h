/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that implement the views of include/sluice.h share (api_view.c, api_download.c). */
#ifndef SLU_DATASET_API_VIEW_H
#define SLU_DATASET_API_VIEW_H

#include "dataset/api.h"
#include "fs/settings.h"

struct sluice_view {
	struct slu_dataset *dataset;
	struct slu_view *view;
	char *props;
	bool mounted; /* by a process that outlives us: close has to unmount */
};

/* Options that are NULL become the defaults; -EINVAL when they are of another version of the header. */
int slu_api_view_options(const struct sluice_view_options **o, struct slu_err *e);
/* view: 'm' or 'd'; settings: as in struct sluice_view_options. */
int slu_api_settle(struct sluice *s, char view, const char *const *settings,
		   struct slu_settings *ret, struct slu_err *e);
/* What a mount has written and the store has not: looked at before it is unmounted, told after that.  patience: ns
 * for its process to answer; else nothing is told. */
struct slu_api_stage {
	char *session, *root;
	uint64_t aside, kept;
};
void slu_api_stage_look(const char *mountpoint, int64_t patience, struct slu_api_stage *ret);
/* Waits until its processes are gone, at most until the deadline. */
void slu_api_stage_tell(const char *mountpoint, const struct slu_api_stage *s, int64_t deadline);
void slu_api_stage_done(struct slu_api_stage *s);
/* ref resolved, or the manifest of that digest (not NULL) instead: a job's inputs are resolved once. */
int slu_api_dataset(struct sluice *s, const char *ref, const char *digest, struct slu_dataset **ret,
		    struct slu_err *e);
/* With its dataset; sluice_view_free. */
int slu_api_view_new(struct sluice *s, const char *ref, const struct sluice_view_options *o,
		     struct sluice_view **ret, struct slu_err *e);

#endif
