/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a definition that its files share: definition.c, delimited.c, mltable.c. */
#ifndef SLU_DATASET_DEFINITION_IMPL_H
#define SLU_DATASET_DEFINITION_IMPL_H

#include "dataset/context_impl.h"
#include "dataset/definition.h"

/* The arguments of read_delimited, checked, with every default written out.  in: an object, or NULL for all
 * defaults.  what: how messages name it. */
int slu_delimited_check(const struct json_t *in, const char *what, struct json_t **ret,
			struct slu_err *e);
/* What iconv and Java call an encoding of Azure ML ("utf8" -> "UTF-8"); NULL: there is no such. */
const char *slu_delimited_charset(const char *encoding);
/* The partition_format of a document, borrowed; NULL: none. */
const char *slu_partition_of(const struct json_t *doc);
/* One reference of a definition, "!" before an exclusion kept, in canonical text; an exclusion that is a
 * relative pattern stays one.  *ret_uri (may be NULL): it parsed; NULL for a relative exclusion. */
int slu_definition_ref(struct sluice *s, const char *text, char **ret, struct slu_uri **ret_uri,
		       struct slu_err *e);
/* The pattern of an exclusion that names no place ("!tmp/x": below each source), in u or text; NULL: it
 * names one.  text: behind the "!", u: it parsed. */
const char *slu_definition_relative(const struct slu_uri *u, const char *text);
/* {"file"|"folder"|"pattern": ref}, by the text and what is there.  c: its canonical URI or NULL. */
int slu_definition_path(struct sluice *s, const char *ref, const struct slu_uri *c,
			struct json_t **ret, const char **ret_key, struct slu_err *e);
/* The MLTable document of a folder (canonical URI), its paths canonical, and the text of the file with such
 * paths (NULL: it cannot be kept); the caller frees both. */
int slu_mltable_read(struct sluice *s, const struct slu_uri *folder, struct json_t **ret,
		     char **ret_text, struct slu_err *e);
struct slu_yaml;
/* The text that y was parsed from with the paths of doc in the place of its own; *ret NULL: that is not to be
 * done.  -ENOMEM. */
int slu_mltable_patch(const struct slu_yaml *y, const char *text, size_t n,
		      const struct json_t *doc, char **ret);
extern const char *const slu_mltable_keys[]; /* the known top-level keys, NULL-ended */

#endif
