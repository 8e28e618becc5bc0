/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings resolved and shown (settings.h).  A value is a text wherever it comes from, so there is one
 * parser, and what is wrong is told in one form.  Nothing here knows what a setting does.
 */
#include "fs/settings.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#define NAME_MAX_LEN 64

extern char **environ;

enum type {
	TYPE_bytes,
	TYPE_room,
	TYPE_time,
	TYPE_count,
	TYPE_flag,
	TYPE_share,
	TYPE_mode,
	TYPE_text
};
enum unit { UNIT_plain, UNIT_ms, UNIT_some };

struct row {
	const char *name;
	enum type type;
	const char *dflt;
	int64_t min, max;
	const char *views, *help;
	size_t at;
};

struct foreign {
	const char *env;
	int id; /* -1: means nothing here */
	enum unit unit;
	const char *why;
};

#define A(...)
#define I(...)
#define S(name_, type_, dflt_, min_, max_, views_, help_)                                          \
	{#name_, TYPE_##type_, dflt_, min_,                                                        \
	 max_,   views_,       help_, offsetof(struct slu_settings, name_)},
static const struct row rows[] = {
#include "fs/settings_table.h"
};
#undef S
#undef A
#undef I

#define S(...)
#define A(env_, name_, unit_) {env_, SLU_SET_##name_, UNIT_##unit_, NULL},
#define I(env_, why_) {env_, -1, UNIT_plain, why_},
static const struct foreign foreigns[] = {
#include "fs/settings_table.h"
};
#undef S
#undef A
#undef I

#define NFOREIGN (sizeof foreigns / sizeof foreigns[0])
_Static_assert(NFOREIGN < 256, "struct slu_settings keeps the number in a byte");

static const char *const wanted[] = {
	[TYPE_bytes] = "a number of bytes such as 512MB or 2GiB",
	[TYPE_room] = "a number of bytes such as 20GB, or -20GB for as much to be left free",
	[TYPE_time] = "a time such as 30s or 500ms",
	[TYPE_count] = "a whole number",
	[TYPE_flag] = "true or false",
	[TYPE_share] = "a share from 0 to 1",
	[TYPE_mode] = "an octal number such as 022",
	[TYPE_text] = "a text",
};

/* --- names --- */

#define OWN_PREFIX "SLUICE_"

static void env_name(const char *name, char out[NAME_MAX_LEN])
{
	size_t n = (size_t)snprintf(out, NAME_MAX_LEN, OWN_PREFIX "%s", name);

	for (size_t i = 0; i < n && i < NAME_MAX_LEN; i++)
		out[i] = (char)toupper((unsigned char)out[i]);
}

/* name[0..n) with '-' for '_', too. */
static const struct row *find_row(const char *name, size_t n)
{
	for (size_t i = 0; i < SLU_SETTINGS; i++) {
		const char *own = rows[i].name;
		size_t k = 0;

		while (k < n && own[k] && (name[k] == own[k] || (name[k] == '-' && own[k] == '_')))
			k++;
		if (k == n && !own[k])
			return &rows[i];
	}
	return NULL;
}

/* --- values --- */

static bool get_flag(const char *text, bool *ret)
{
	static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		const char *rest = slu_iafter(text, words[i]);

		if (rest && !*rest) {
			*ret = i & 1;
			return true;
		}
	}
	return false;
}

/* "1", "0.75", ".5" */
static bool get_share(const char *text, double *ret)
{
	size_t whole = strspn(text, "0123456789"), frac = 0;
	double v = 0, unit = 1;

	if (text[whole] == '.')
		frac = strspn(text + whole + 1, "0123456789");
	if (whole + frac == 0 || whole + frac > 15 ||
	    text[whole + frac + (text[whole] == '.' ? 1 : 0)])
		return false;
	for (const char *p = text; *p; p++) {
		if (*p == '.')
			continue;
		v = v * 10 + (*p - '0');
		if (p > text + whole)
			unit *= 10;
	}
	*ret = v / unit;
	return *ret <= 1;
}

static bool get_mode(const char *text, uint32_t *ret)
{
	uint32_t v = 0;

	if (!*text || strspn(text, "01234567") != strlen(text) || strlen(text) > 5)
		return false;
	for (; *text; text++)
		v = v << 3 | (uint32_t)(*text - '0');
	*ret = v;
	return true;
}

static bool get_room(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t v;

	if (!slu_size(text + negative, &v) || v > INT64_MAX)
		return false;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool within(const struct row *row, int64_t v)
{
	return v >= row->min && v <= row->max;
}

/* A bare number of a variable that counts in milliseconds. */
static bool get_time(const struct row *row, const char *text, enum unit unit, int64_t *ret)
{
	int64_t v;

	if (unit == UNIT_ms && slu_i64(text, 0, row->max, &v))
		v *= SLU_MS;
	else if (!slu_duration(text, &v))
		return false;
	*ret = v;
	return within(row, v / SLU_MS) && (row->min == 0 || v > 0);
}

/* Sets the field from the text; false: it makes no sense. */
static bool set_value(struct slu_settings *s, const struct row *row, const char *text,
		      enum unit unit)
{
	char *to = (char *)s + row->at;
	union {
		uint64_t bytes;
		int64_t i;
		uint32_t count;
		bool flag;
		double share;
	} v = {0};
	int64_t whole = 0;
	size_t n = sizeof v.i;
	bool ok;

	switch (row->type) {
	case TYPE_bytes:
		ok = slu_size(text, &v.bytes) && v.bytes <= INT64_MAX && within(row, v.i);
		break;
	case TYPE_room:
		ok = get_room(text, &v.i) && within(row, v.i);
		break;
	case TYPE_time:
		ok = get_time(row, text, unit, &v.i);
		break;
	case TYPE_count:
		ok = slu_i64(text, row->min, row->max, &whole);
		v.count = (uint32_t)whole;
		n = sizeof v.count;
		break;
	case TYPE_flag:
		ok = get_flag(text, &v.flag);
		n = sizeof v.flag;
		break;
	case TYPE_mode:
		ok = get_mode(text, &v.count) && within(row, v.count);
		n = sizeof v.count;
		break;
	case TYPE_share:
		ok = get_share(text, &v.share);
		n = sizeof v.share;
		break;
	default:
		n = strlen(text) + 1;
		ok = n <= SLU_SETTING_TEXT;
	}
	if (ok)
		memcpy(to, row->type == TYPE_text ? (const void *)text : &v, n);
	return ok;
}

static void set_auto(struct slu_settings *s, const struct row *row)
{
	char *to = (char *)s + row->at;
	const int64_t never = -1, zero = 0;

	switch (row->type) {
	case TYPE_time:
		memcpy(to, &never, sizeof never);
		break;
	case TYPE_count:
	case TYPE_mode:
		memcpy(to, &zero, sizeof(uint32_t));
		break;
	case TYPE_flag:
		memcpy(to, &zero, sizeof(bool));
		break;
	case TYPE_text:
		*to = '\0';
		break;
	default:
		memcpy(to, &zero, sizeof zero);
	}
}

static bool take(struct slu_settings *s, const struct row *row, const char *text, enum unit unit,
		 enum slu_setting_from from)
{
	size_t id = (size_t)(row - rows);
	bool chosen = slu_streq(row->dflt, "auto") && slu_streq(text, "auto");

	if (chosen)
		set_auto(s, row);
	else if (!set_value(s, row, text, unit))
		return false;
	s->chosen[id] = chosen;
	s->from[id] = (uint8_t)from;
	return true;
}

/* As a user would write it: "64MiB", "60s", "250ms". */
static void put_bytes(struct slu_buf *b, int64_t v)
{
	static const struct {
		int64_t scale;
		const char *unit;
	} units[] = {{1ll << 40, "TiB"}, {1ll << 30, "GiB"}, {1000000000, "GB"}, {1 << 20, "MiB"},
		     {1000000, "MB"},    {1 << 10, "KiB"},   {1000, "KB"}};

	for (size_t i = 0; v && i < sizeof units / sizeof units[0]; i++) {
		if (v % units[i].scale)
			continue;
		slu_buf_fmt(b, "%lld%s", (long long)(v / units[i].scale), units[i].unit);
		return;
	}
	slu_buf_fmt(b, "%lld", (long long)v);
}

static void put_time(struct slu_buf *b, int64_t v)
{
	slu_buf_fmt(b, v % SLU_SEC ? "%lldms" : "%llds",
		    (long long)(v % SLU_SEC ? v / SLU_MS : v / SLU_SEC));
}

static void put_limit(struct slu_buf *b, const struct row *row, int64_t v)
{
	if (row->type == TYPE_time)
		put_time(b, v * SLU_MS);
	else if (row->type == TYPE_mode)
		slu_buf_fmt(b, "%#llo", (long long)v);
	else if (row->type == TYPE_count)
		slu_buf_fmt(b, "%lld", (long long)v);
	else
		put_bytes(b, v);
}

/* where: the place that the value came from, with the name that it has there. */
static int nonsense(const struct row *row, const char *where, const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf range = SLU_BUF(256);

	slu_buf_str(&range, wanted[row->type]);
	if (row->type != TYPE_flag && row->type != TYPE_share && row->type != TYPE_room &&
	    row->max) {
		slu_buf_str(&range, ", from ");
		put_limit(&range, row, row->min);
		slu_buf_str(&range, " to ");
		put_limit(&range, row, row->max);
	}
	if (slu_streq(row->dflt, "auto"))
		slu_buf_str(&range, ", or auto");
	if (slu_buf_err(&range) < 0)
		return slu_fail_oom(e);
	return slu_fail(e, EINVAL, "%s is '%s': it wants %s", where, text, range.p);
}

/* --- the places --- */

static void defaults(struct slu_settings *s)
{
	*s = (struct slu_settings){0};
	for (size_t i = 0; i < SLU_SETTINGS; i++)
		(void)take(s, &rows[i], rows[i].dflt, UNIT_plain, SLU_FROM_DEFAULT);
}

static int from_config(struct slu_settings *s, char view, const struct json_t *config,
		       struct slu_err *e)
{
	const struct json_t *all = slu_json_get(config, "settings");

	if (all && !slu_json_is_object(all))
		return slu_fail(e, EINVAL, "\"settings\" of config.json has to be an object");
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *key = slu_json_iter_key(it);
		const struct json_t *v = slu_json_iter_value(it);
		const struct row *row = find_row(key, strlen(key));
		char where[128];
		SLU_AUTO(slu_freep) char *text = NULL;

		if (!row)
			return slu_fail(e, EINVAL,
					"config.json: there is no setting '%s'; `sluice mount "
					"--show-settings` lists them",
					key);
		if (!strchr(row->views, view))
			continue;
		text = slu_json_is_string(v) ? slu_strdup(slu_json_string(v))
					     : slu_json_text(v, SLU_JSON_COMPACT);
		if (!text)
			return slu_fail_oom(e);
		snprintf(where, sizeof where, "'settings.%s' of config.json", row->name);
		if (!take(s, row, text, UNIT_plain, SLU_FROM_CONFIG))
			return nonsense(row, where, text, e);
	}
	return 0;
}

/* The last in the table does not win over the first. */
static int from_aliases(struct slu_settings *s, char view, struct slu_err *e)
{
	for (size_t i = NFOREIGN; i-- > 0;) {
		const struct foreign *f = &foreigns[i];
		const struct row *row = f->id >= 0 ? &rows[f->id] : NULL;
		const char *text = row && strchr(row->views, view) ? getenv(f->env) : NULL;

		if (!text || !*text || (f->unit == UNIT_some && slu_streq(text, "0")))
			continue;
		if (!take(s, row, text, f->unit, SLU_FROM_ALIAS))
			return nonsense(row, f->env, text, e);
		s->alias[f->id] = (uint8_t)i;
	}
	return 0;
}

static int from_env(struct slu_settings *s, char view, struct slu_err *e)
{
	for (size_t i = 0; i < SLU_SETTINGS; i++) {
		char name[NAME_MAX_LEN];
		const char *text;

		env_name(rows[i].name, name);
		text = strchr(rows[i].views, view) ? getenv(name) : NULL;
		if (text && *text && !take(s, &rows[i], text, UNIT_plain, SLU_FROM_ENV))
			return nonsense(&rows[i], name, text, e);
	}
	return 0;
}

/* A name of the view that may have been meant, in brackets; "" when there is none. */
static void near_name(char view, const char *name, size_t n, char out[NAME_MAX_LEN + 32])
{
	SLU_AUTO(slu_freep) char *typed = slu_strndup(name, n);
	const char *near = NULL;

	for (size_t i = 0; typed && i < SLU_SETTINGS; i++)
		if (strchr(rows[i].views, view))
			near = slu_nearer(typed, near, rows[i].name);
	snprintf(out, NAME_MAX_LEN + 32, near ? " (is '%s' meant?)" : "%s", near ? near : "");
}

static int from_options(struct slu_settings *s, char view, const char *const *options,
			struct slu_err *e)
{
	for (; options && *options; options++) {
		const char *eq = strchr(*options, '=');
		size_t n = eq ? (size_t)(eq - *options) : strlen(*options);
		const struct row *row = find_row(*options, n);
		char where[128], near[NAME_MAX_LEN + 32];

		if (!row || !strchr(row->views, view)) {
			near_name(view, *options, n, near);
			return slu_fail(e, EINVAL,
					"there is no setting '%.*s' here%s; `sluice %s "
					"--show-settings` lists them",
					(int)n, *options, near, view == 'd' ? "download" : "mount");
		}
		snprintf(where, sizeof where, "the command line's '%s'", row->name);
		if (!eq)
			return slu_fail(e, EINVAL, "%s has no value: write %s=VALUE", where,
					*options);
		if (!take(s, row, eq + 1, UNIT_plain, SLU_FROM_OPTION))
			return nonsense(row, where, eq + 1, e);
	}
	return 0;
}

static bool is_foreign(const char *name, size_t n)
{
	static const char *const prefixes[] = {"DATASET_MOUNT_", "DATASET_FUSE_", "RSLEX_",
					       "AZUREML_DATASET_HTTP_"};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (slu_starts(name, prefixes[i]))
			return true;
	for (size_t i = 0; i < NFOREIGN; i++)
		if (strlen(foreigns[i].env) == n && !memcmp(foreigns[i].env, name, n))
			return true;
	return false;
}

/* A variable of ours that is nothing, but nearly a setting.  Others may be somebody's own. */
static void tell_mistyped(const char *name, size_t n)
{
	const char *best = NULL;
	char own[NAME_MAX_LEN], typed[NAME_MAX_LEN] = "";

	for (size_t i = 0; i < n && i < sizeof typed - 1; i++)
		typed[i] = (char)tolower((unsigned char)name[i]);
	for (size_t i = 0; i < SLU_SETTINGS; i++)
		best = slu_nearer(typed, best, rows[i].name);
	/* two letters make another word of a short one, unless they only changed places */
	if (!best || slu_streq(typed, best) ||
	    (slu_distance(typed, best) > 1 && n < 8 && strlen(best) != n))
		return;
	env_name(best, own);
	slu_warn("settings", "SLUICE_%.*s is ignored: did you mean %s?", (int)n, name, own);
}

/* Names that look like settings but do nothing: a user who set one wants to know. */
static void tell_ignored(void)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (atomic_flag_test_and_set(&told))
		return;
	for (char **p = environ; p && *p; p++) {
		size_t n = strcspn(*p, "="), i = 0;

		if (slu_starts(*p, OWN_PREFIX))
			tell_mistyped(*p + sizeof OWN_PREFIX - 1, n - (sizeof OWN_PREFIX - 1));
		if (!is_foreign(*p, n))
			continue;
		while (i < NFOREIGN &&
		       (strlen(foreigns[i].env) != n || memcmp(foreigns[i].env, *p, n) != 0))
			i++;
		if (i == NFOREIGN)
			slu_warn("settings", "%.*s is ignored: it is not known here", (int)n, *p);
		else if (foreigns[i].id < 0)
			slu_warn("settings", "%.*s is ignored: %s", (int)n, *p, foreigns[i].why);
	}
}

static struct slu_settings standard;

static void make_standard(void)
{
	defaults(&standard);
}

const struct slu_settings *slu_settings_default(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_standard);
	return &standard;
}

static int check_word(const char *name, const char *value, const char *a, const char *b,
		      const char *c, struct slu_err *e)
{
	const struct row *row = find_row(name, strlen(name));

	if (slu_streq(value, a) || slu_streq(value, b) || (c && slu_streq(value, c)))
		return 0;
	return slu_fail(e, EINVAL, "the setting '%s' is '%s': it wants %s%s%s%s or %s", name, value,
			row && slu_streq(row->dflt, "auto") ? "auto, " : "", a, c ? ", " : "",
			c ? b : "", c ? c : b);
}

/* What no single row can tell. */
static int check_together(const struct slu_settings *s, struct slu_err *e)
{
	int r = check_word("scanners", s->scanners, "warn", "refuse", "allow", e);

	if (r == 0 && !s->chosen[SLU_SET_open_mode])
		r = check_word("open_mode", s->open_mode, "none", "passthrough", "direct", e);
	if (r == 0)
		r = check_word("io_uring", s->io_uring, "on", "auto", "off", e);
	if (r == 0)
		r = check_word("layout", s->layout, "sluice", "compat", NULL, e);
	if (r == 0)
		r = check_word("fsync", s->fsync, "stage", "store", NULL, e);
	if (r == 0 && s->cache_size == 0 && !s->chosen[SLU_SET_cache_size])
		r = slu_fail(e, EINVAL,
			     "the setting 'cache_size' is 0: it wants the bytes of the disk cache, "
			     "negative for what it leaves free, or auto; cache=false for none");
	if (r == 0 && s->cache_prune_to > s->cache_prune_at)
		r = slu_fail(e, EINVAL,
			     "the setting 'cache_prune_to' is %g: it has to be at most "
			     "'cache_prune_at', which is %g",
			     s->cache_prune_to, s->cache_prune_at);
	return r;
}

int slu_settings_resolve(char view, const struct json_t *config, const char *const *options,
			 struct slu_settings *ret, struct slu_err *e)
{
	struct slu_settings s;
	int r;

	defaults(&s);
	r = from_config(&s, view, config, e);
	if (r == 0)
		r = from_aliases(&s, view, e);
	if (r == 0)
		r = from_env(&s, view, e);
	if (r == 0)
		r = from_options(&s, view, options, e);
	if (r == 0)
		r = check_together(&s, e);
	if (r < 0)
		return r;
	tell_ignored();
	s.live |= s.writable; /* what is written is no state that was resolved before */
	*ret = s;
	return 0;
}

/* --- showing --- */

static void put_value(struct slu_buf *b, const struct slu_settings *s, const struct row *row)
{
	const char *from = (const char *)s + row->at;
	union {
		int64_t i;
		uint32_t count;
		bool flag;
		double share;
	} v = {0};

	if (s->chosen[row - rows]) {
		slu_buf_str(b, "auto");
		return;
	}
	switch (row->type) {
	case TYPE_count:
		memcpy(&v.count, from, sizeof v.count);
		slu_buf_fmt(b, "%u", v.count);
		break;
	case TYPE_mode:
		memcpy(&v.count, from, sizeof v.count);
		slu_buf_fmt(b, "%#o", v.count);
		break;
	case TYPE_flag:
		memcpy(&v.flag, from, sizeof v.flag);
		slu_buf_str(b, v.flag ? "true" : "false");
		break;
	case TYPE_share:
		memcpy(&v.share, from, sizeof v.share);
		slu_buf_fmt(b, "%g", v.share);
		break;
	case TYPE_text:
		slu_buf_str(b, from);
		break;
	case TYPE_time:
		memcpy(&v.i, from, sizeof v.i);
		put_time(b, v.i);
		break;
	default:
		memcpy(&v.i, from, sizeof v.i);
		put_bytes(b, v.i);
	}
}

static void put_origin(struct slu_buf *b, const struct slu_settings *s, const struct row *row)
{
	char name[NAME_MAX_LEN];
	size_t id = (size_t)(row - rows);

	switch ((enum slu_setting_from)s->from[id]) {
	case SLU_FROM_OPTION:
		slu_buf_str(b, "option");
		break;
	case SLU_FROM_ENV:
		env_name(row->name, name);
		slu_buf_str(b, name);
		break;
	case SLU_FROM_ALIAS:
		slu_buf_str(b, foreigns[s->alias[id]].env);
		break;
	case SLU_FROM_CONFIG:
		slu_buf_fmt(b, "config.json: settings.%s", row->name);
		break;
	default:
		slu_buf_str(b, "default");
	}
}

/* The names that other engines have for it. */
static struct json_t *others_of(const struct row *row)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();

	for (size_t i = 0; all && i < NFOREIGN; i++)
		if (foreigns[i].id == row - rows &&
		    slu_json_append(all, slu_json_new_str(foreigns[i].env)) < 0)
			return NULL;
	return slu_take(all);
}

static struct json_t *row_json(const struct slu_settings *s, const struct row *row)
{
	SLU_AUTO(slu_buf_done) struct slu_buf value = SLU_BUF(1024), origin = SLU_BUF(1024);
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	char name[NAME_MAX_LEN];

	env_name(row->name, name);
	slu_buf_str(&value, "");
	put_value(&value, s, row);
	put_origin(&origin, s, row);
	if (!o || slu_buf_err(&value) || slu_buf_err(&origin))
		return NULL;
	if (slu_json_set_str(o, "name", row->name) < 0 ||
	    slu_json_set_str(o, "value", value.p ? value.p : "") < 0 ||
	    slu_json_set_str(o, "origin", origin.p) < 0 ||
	    slu_json_set_str(o, "default", row->dflt) < 0 ||
	    slu_json_set_str(o, "variable", name) < 0 ||
	    slu_json_set(o, "aliases", others_of(row)) < 0 ||
	    slu_json_set_str(o, "help", row->help) < 0)
		return NULL;
	return slu_take(o);
}

struct json_t *slu_settings_json(char view, const struct slu_settings *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();

	for (size_t i = 0; all && i < SLU_SETTINGS; i++)
		if (strchr(rows[i].views, view) && slu_json_append(all, row_json(s, &rows[i])) < 0)
			return NULL;
	return slu_take(all);
}
