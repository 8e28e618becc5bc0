/* SPDX-License-Identifier: Apache-2.0 */
/* A named input: a dataset and the mode in which a program sees it (azureml.md 2.1-2.5). */
#ifndef SLU_DATASET_INPUT_H
#define SLU_DATASET_INPUT_H

#include "dataset/resolve.h"
#include "fs/view.h"

enum slu_mode {
	SLU_MODE_DIRECT,
	SLU_MODE_DOWNLOAD,
	SLU_MODE_MOUNT,
	SLU_MODE_HDFS,
	SLU_MODE_EVAL_MOUNT,    /* of a table: the files that it yields; MOUNT shows its folder */
	SLU_MODE_EVAL_DOWNLOAD, /* the same, downloaded */
	/* outputs only */
	SLU_MODE_UPLOAD,
	SLU_MODE_RW_MOUNT,
	SLU_MODE_LINK
};

/* "direct", "download", "ro_mount" or "mount", "hdfs", "eval_mount", "eval_download"; of outputs "upload",
 * "rw_mount", "link".  -EINVAL. */
int slu_mode_parse(const char *text, enum slu_mode *ret, struct slu_err *e);
const char *slu_mode_name(enum slu_mode m); /* "ro_mount" */
bool slu_mode_is_input(enum slu_mode m);

struct slu_input {
	char *name; /* an identifier (common/str.h) that is no reserved variable name */
	enum slu_mode mode;
	struct slu_dataset *dataset;
	char *ref;             /* what was asked for */
	char *at;              /* absolute folder for what is local; NULL: <place>/<name> */
	bool made;             /* `at` was not there before */
	struct slu_view *view; /* open: for direct NULL */
	char *value;           /* what the program gets: path, URI or id */
};

/* Checks the name (azureml.md 2.2: collisions with PATH, HOME, ... are errors here). */
int slu_input_name_check(const char *name, struct slu_err *e);
/* Makes the absolute folder `place`; *ret: <place>/<name>, not made.  Caller frees. */
int slu_input_place(const char *place, const char *name, char **ret, struct slu_err *e);
/* What in->ref is now, into in->dataset.  eval_mount and eval_download of a folder with an MLTable file: what
 * that yields; of such a folder every other mode takes the folder. */
int slu_input_resolve(struct sluice *s, struct slu_input *in, struct slu_err *e);
/* Opens the view under folder `place` (absolute; made).  direct: value is the URI of the reference, or
 * the dataset id when direct_id; so hdfs.  Lifeline: mounts end with this process. */
int slu_input_open(struct sluice *s, struct slu_input *in, const char *place, bool direct_id,
		   const char *log_path, struct slu_err *e);
/* Unmounts; what is at `at` is removed, what is in `place` stays. */
int slu_input_close(struct slu_input *in, struct slu_err *e);
/* in, all it holds and the dataset: made with slu_new0 and slu_strdup.  A view still open is closed. */
void slu_input_free(struct slu_input *in);

#endif
