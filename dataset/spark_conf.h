/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Hadoop and Spark have to be told to reach what a view names: Hadoop's properties, and secrets, which
 * are looked up here and go into private files only.
 */
#ifndef SLU_DATASET_SPARK_CONF_H
#define SLU_DATASET_SPARK_CONF_H

#include "common/jprops.h"

#include <stdbool.h>

struct json_t;
struct slu_buf;

#define SLU_SPARK_CONF_MAX (1u << 20) /* bytes of a file of settings */

/* What the installation says in folder/spark-defaults.conf, which Spark leaves out when it is given a file; no
 * such file: nothing. */
int slu_spark_site(struct slu_jprops *p, const char *folder, struct slu_err *e);
/* Of slu_view.props or slu_output.props (NULL: nothing) of what is at `uri`.  Lists of names are joined to
 * those that are there.  Secrets are added by slu_spark_secrets(). */
int slu_spark_view(struct slu_jprops *p, const struct json_t *props, const char *uri,
		   struct slu_err *e);
/* The secrets of the same, and that Spark shows them nowhere (spark.redaction.regex).  -ENOENT: a reference
 * leads to nothing.  What is set already says how Spark will be started (spark.master,
 * spark.submit.deployMode): where it would show settings to others, -EPERM with what to do instead, unless
 * ("livy": it goes through such a server) there is a credential provider, which then is taken to have them. */
int slu_spark_secrets(struct slu_jprops *p, const struct json_t *props, struct slu_err *e);
/* A core-site.xml of the same, secrets included. */
int slu_hadoop_site(const struct json_t *props, struct slu_buf *b, struct slu_err *e);

#endif
