/* SPDX-License-Identifier: Apache-2.0 */
/* What a download would do, said before anything moves. */
#ifndef SLU_FS_DOWNLOAD_PLAN_H
#define SLU_FS_DOWNLOAD_PLAN_H

#include "fs/view.h"

struct slu_plan {
	uint64_t files, bytes;             /* of the dataset */
	uint64_t there_files, there_bytes; /* that are in the target as they should be */
	uint64_t removals;                 /* files and folders that SLU_POLICY_REPLACE removes */
	uint64_t kept_files;               /* that SLU_POLICY_APPEND leaves as they are */
	uint64_t resumed_bytes;            /* that a download which did not end has left */
	uint64_t fetch_files, fetch_bytes; /* the rest */
	uint64_t requests;                 /* for data */
	/* Some of these requests were made, twice, and the second time was measured; all of them at that
	 * rate take this long.  0: nothing was measured. */
	int64_t estimate_ns;
	uint64_t probe_requests, probe_bytes;
	int64_t probe_ns;
	struct slu_err refused; /* why the download would not begin; code 0: it would */
};

/* target NULL: an empty one.  It is looked at and nothing there changes, nor is it made.  probe: read from
 * the stores, at most 1 MiB a request and as many requests as the download makes at once. */
int slu_download_plan(struct slu_tree *t, const char *target, const struct slu_download_opts *o,
		      bool probe, struct slu_pool *pool, struct slu_plan *ret, struct slu_err *e);

#endif
