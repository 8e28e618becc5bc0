/* SPDX-License-Identifier: Apache-2.0 */
/* What the API calls about registered versions share. */
#ifndef SLU_DATASET_API_VERSION_H
#define SLU_DATASET_API_VERSION_H

#include "common/err.h"

#include <stdint.h>

struct json_t;
struct slu_dataset;
struct sluice;

/* The name and version of a reference to a registered dataset; *ret_version NULL: it says none.  The
 * caller frees both.  -EINVAL: it is another kind of reference. */
int slu_api_version(struct sluice *s, const char *ref, char **ret_name, char **ret_version,
		    struct slu_err *e);
/* Saves d, and looks which version of the spec's "name" is the newest.  When that is d and says what the spec does,
 * making it again changes nothing: it is *ret, which else stays as it is.  *ret_seen: its number, 0: there is none. */
int slu_api_save(struct sluice *s, const struct json_t *spec, struct slu_dataset *d,
		 uint64_t *ret_seen, struct json_t **ret, struct slu_err *e);
/* Registers d, which is saved, by "name", "version", "description", "tags" of the spec.  inputs:
 * what it was made from, or NULL; seen: what slu_api_save() saw. */
int slu_api_register(struct sluice *s, const struct json_t *spec, struct slu_dataset *d,
		     const struct json_t *inputs, uint64_t seen, struct json_t **ret,
		     struct slu_err *e);
/* -EEXIST when the spec's "name" is taken, and neither "create_new_version" nor "version" allow another
 * one. */
int slu_api_check_taken(struct sluice *s, const struct json_t *spec, struct slu_err *e);
/* [{"name": "from", "ref", "id", "digest"}]: lineage to d, which ref led to.  NULL: no memory. */
struct json_t *slu_api_inputs(const char *ref, const struct slu_dataset *d);

/* The dataset that a spec says, resolved and not yet saved; what it was made from into *ret_inputs. */
int slu_api_define(struct sluice *s, const struct json_t *spec, struct slu_dataset **ret,
		   struct json_t **ret_inputs, struct slu_err *e);
/* What sluice_data_show() says of it. */
int slu_api_describe(struct sluice *s, const struct slu_dataset *d, struct json_t **ret,
		     struct slu_err *e);

#endif
