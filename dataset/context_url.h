/* SPDX-License-Identifier: Apache-2.0 */
/* Storage URLs and the datastores that they lead into, both ways. */
#ifndef SLU_DATASET_CONTEXT_URL_H
#define SLU_DATASET_CONTEXT_URL_H

#include "dataset/context.h"

/* The datastore that a storage URL leads into, and the path in it (pattern form); the caller frees both.  1: a URL of
 * a plain web server.  -ENOENT says how to make the datastore. */
int slu_context_url(struct sluice *s, const struct slu_uri *u, char **ret_name, char **ret_path,
		    struct slu_err *e);
/* The ways to write a place (a canonical URI without wildcards): {"short", "long": azureml://..., "storage": as Hadoop
 * and Spark name it, "https"}, those that there are. */
int slu_context_forms(struct sluice *s, const char *uri, struct json_t **ret, struct slu_err *e);

#endif
