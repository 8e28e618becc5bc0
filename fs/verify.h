/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what is in a folder what a manifest says?  Every file is read again, from the disk where the kernel
 * lets go of what it holds in memory, and its checksum compared; in parallel, changing nothing.
 */
#ifndef SLU_FS_VERIFY_H
#define SLU_FS_VERIFY_H

#include "fs/manifest.h"
#include "fs/view.h"

enum slu_verify_what {
	SLU_VERIFY_MISSING,
	SLU_VERIFY_DIFFERENT,
	SLU_VERIFY_EXTRA,
	SLU_VERIFY_UNREADABLE
};

struct slu_verify_counts {
	uint64_t files, bytes; /* that are there and of the right length */
	uint64_t unchecked;    /* of these files, those of which nobody knows a checksum */
	uint64_t missing, different, extra, unreadable;
};

struct slu_verify_opts {
	unsigned jobs; /* files at once; 0: the cores */
	bool extra;    /* tell of what is there and not in the manifest, too */
	/* NULL: all files.  Any thread. */
	bool (*wanted)(void *user, size_t at);
	/* What checksum, "md5:<hex>", "crc32c:<hex>" or as in hadoopsum.h, file `at` has to have, "" when nobody knows; NULL: the
	 * manifest's.  False: what is there is known to be of another state.  Any thread. */
	bool (*sum)(void *user, size_t at, char ret[SLU_ID_MAX]);
	/* Something is not as it should be; at SIZE_MAX: not in the manifest.  One thread at a time.
	 * Non-zero ends it all with that. */
	int (*found)(void *user, enum slu_verify_what what, size_t at, const char *path,
		     const char *why);
	slu_progress_fn *progress;
	void *user; /* of all */
};

/* target: for messages; names of ours at its top (".sluice-") are passed over.  0 also when something was
 * found.  Blocks. */
int slu_verify(const struct slu_manifest *m, int dirfd, const char *target,
	       const struct slu_verify_opts *o, struct slu_pool *pool,
	       struct slu_verify_counts *ret, struct slu_err *e);

#endif
