/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the file system of an "hdfs" entry is: what the entry says, else what Hadoop's configuration does.
 */
#ifndef SLU_DATASET_HDFS_PLACE_H
#define SLU_DATASET_HDFS_PLACE_H

#include "hdfs/nameservice.h"

struct slu_hdfs_place {
	struct slu_nameservice at;
	struct slu_hconf *conf; /* NULL: none was needed */
	char *csrf;             /* NULL: Hadoop's default */
	struct json_t
		*properties; /* for programs on Hadoop to find at.name; NULL: they need none */
};

void slu_hdfs_place_done(struct slu_hdfs_place *p); /* for SLU_AUTO too */

/* dir: the workspace's folder, which a relative "hadoop_conf" starts from.  -EINVAL, -ENOENT, -EBADMSG: no file
 * system is named, or the configuration that names it is not usable. */
int slu_hdfs_place_find(const struct json_t *entry, const char *dir, struct slu_hdfs_place *ret,
			struct slu_err *e);

#endif
