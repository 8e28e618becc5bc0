/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of the views: one table (settings_table.h), resolved once at the start.  Of several places
 * the first counts: option (--set, or one of its name), SLUICE_<NAME>, another engine's variable of that
 * meaning, "settings" of config.json, default.  What makes no sense is refused with name, value, place
 * and what is wanted.  To add one: a line in the table; then it is in struct slu_settings and in sluice(1).
 */
#ifndef SLU_FS_SETTINGS_H
#define SLU_FS_SETTINGS_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct json_t;

#define SLU_SETTING_TEXT 256

#define SLU_SETTING_bytes(name) uint64_t name
#define SLU_SETTING_room(name) int64_t name
#define SLU_SETTING_time(name) int64_t name /* ns */
#define SLU_SETTING_count(name) uint32_t name
#define SLU_SETTING_flag(name) bool name
#define SLU_SETTING_share(name) double name
#define SLU_SETTING_mode(name) uint32_t name
#define SLU_SETTING_text(name) char name[SLU_SETTING_TEXT]

enum slu_setting_id {
#define S(name, type, ...) SLU_SET_##name,
#define A(...)
#define I(...)
#include "fs/settings_table.h"
#undef S
	SLU_SETTINGS
};

enum slu_setting_from {
	SLU_FROM_DEFAULT,
	SLU_FROM_CONFIG,
	SLU_FROM_ALIAS,
	SLU_FROM_ENV,
	SLU_FROM_OPTION
};

/* Plain values: copy it as you like. */
struct slu_settings {
#define S(name, type, ...) SLU_SETTING_##type(name);
#include "fs/settings_table.h"
#undef S
#undef A
#undef I
	uint8_t from[SLU_SETTINGS];  /* enum slu_setting_from */
	uint8_t alias[SLU_SETTINGS]; /* with SLU_FROM_ALIAS: which */
	bool chosen[SLU_SETTINGS];   /* the value is "auto" */
};

/* What holds where nothing was said: for callers that have no settings.  Any thread. */
const struct slu_settings *slu_settings_default(void);

/* config: config.json, or NULL.  options: "name=value" texts with NULL at the end, or NULL; '-' and '_' are
 * the same in names.  view: 'm', 'd' or 'u'; variables of other views are not looked at, options of
 * others refused.  -EINVAL; logs (once a process) variables that mean nothing here. */
int slu_settings_resolve(char view, const struct json_t *config, const char *const *options,
			 struct slu_settings *ret, struct slu_err *e);
/* [{"name","value","origin","default","variable","aliases","help"}], the settings of the view, in the
 * order of the table; "origin" is "default", "option --set", "SLUICE_X", "config.json: settings.x", ...
 * NULL: no memory. */
struct json_t *slu_settings_json(char view, const struct slu_settings *s);

#endif
