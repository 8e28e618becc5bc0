/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The setting `layout`: `sluice`, the one rule of resolve.h for mount and download, or `compat`, names as Azure ML's
 * engine lays them out (azureml.md 2.4), which for datasets of several paths is not the same in both.
 */
#ifndef SLU_DATASET_LAYOUT_H
#define SLU_DATASET_LAYOUT_H

#include "dataset/resolve.h"
#include "fs/settings.h"

/* Changes the names in d->tree to what `layout` says; view: 'm' or 'd'.  d->digest stays that of what was resolved,
 * so save the dataset before.  Two files of one name: -EINVAL naming both. */
int slu_layout_apply(struct sluice *s, const struct slu_settings *set, char view,
		     struct slu_dataset *d, struct slu_err *e);
bool slu_layout_is_compat(const struct slu_settings *set);

#endif
