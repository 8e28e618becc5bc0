/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps over the files of a definition, one file at a time and without memory of those before, so that
 * a million files pass in the room of one.
 */
#include "dataset/steps.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "dataset/definition_impl.h"
#include "dataset/fileexpr.h"
#include "dataset/partition.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

enum step_kind { TAKE, SKIP, SAMPLE, FILTER };

struct step {
	enum step_kind kind;
	uint64_t n, seen; /* TAKE, SKIP: how many, and how many came by */
	double low, high; /* SAMPLE */
	char seed[24];    /* in decimal */
	struct slu_fileexpr *expr;
};

struct slu_steps {
	SLU_VEC(struct step) steps;
	bool ended;
	struct slu_partition *partition; /* NULL: paths give no columns */
	char **values;                   /* of the file at hand, one for each of its columns */
};

void slu_steps_free(struct slu_steps *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->steps.n; i++)
		slu_fileexpr_free(st->steps.p[i].expr);
	slu_partition_free(st->partition);
	free(st->values);
	free(st->steps.p);
	free(st);
}

/* --- columns of paths --- */

static size_t columns(const struct slu_steps *st)
{
	return st->partition ? slu_partition_columns(st->partition) : 0;
}

/* A slu_column_fn. */
static bool is_column(void *user, const char *name, enum slu_value_kind *ret_kind)
{
	const struct slu_steps *st = user;

	for (size_t i = 0; i < columns(st); i++)
		if (slu_streq(slu_partition_name(st->partition, i), name)) {
			*ret_kind = slu_partition_is_time(st->partition, i) ? SLU_VALUE_TIME
									    : SLU_VALUE_TEXT;
			return true;
		}
	return false;
}

/* A slu_cell_fn. */
static void cell(void *user, const char *name, struct slu_value *ret)
{
	const struct slu_steps *st = user;

	for (size_t i = 0; i < columns(st); i++) {
		const char *v = st->values[i];

		if (!v || !slu_streq(slu_partition_name(st->partition, i), name))
			continue;
		if (!slu_partition_is_time(st->partition, i))
			*ret = (struct slu_value){
				.kind = SLU_VALUE_TEXT, .text = v, .len = strlen(v)};
		else if (slu_time_parse(v, &ret->time_ns))
			ret->kind = SLU_VALUE_TIME;
	}
}

static int filtered(struct slu_steps *st, const struct step *p, const char *path, const char *full,
		    const struct slu_attr *a)
{
	bool matched;
	int r = st->partition ? slu_partition_match(st->partition, full, st->values, &matched) : 0;

	if (r < 0)
		return r;
	r = slu_fileexpr_takes(p->expr, path, a, cell, st);
	for (size_t i = 0; i < columns(st); i++)
		free(st->values[i]);
	return r;
}

static int read_partition(struct slu_steps *st, const struct json_t *doc, struct slu_err *e)
{
	const char *format = slu_partition_of(doc);
	int r = format ? slu_partition_parse(format, &st->partition, e) : 0;

	if (r < 0 || !format)
		return r;
	st->values = slu_calloc(columns(st) + 1, sizeof(char *));
	return st->values ? 0 : slu_fail_oom(e);
}

struct slu_steps *slu_steps_all(void)
{
	return slu_new0(struct slu_steps);
}

/* --- reading --- */

static int read_count(const char *name, const struct json_t *v, const char *what, struct step *ret,
		      struct slu_err *e)
{
	const struct json_t *n = slu_json_is_object(v) ? slu_json_get(v, "count") : v;
	int64_t least = ret->kind == TAKE;

	if (!slu_json_is_int(n) || slu_json_integer(n) < least)
		return slu_fail(e, EINVAL, "%s: '%s' wants a number of files, from %d", what, name,
				(int)least);
	ret->n = (uint64_t)slu_json_integer(n);
	return 0;
}

static bool fraction(const struct json_t *v, double *ret)
{
	if (!slu_json_is_int(v) && !slu_json_is_real(v))
		return false;
	*ret = slu_json_number(v);
	return *ret >= 0 && *ret <= 1;
}

static int read_sample(const char *name, const struct json_t *args, const char *what,
		       struct step *ret, struct slu_err *e)
{
	const struct json_t *low = slu_json_get(args, "probability_lower_bound");
	const struct json_t *seed = slu_json_get(args, "seed");
	int64_t n = slu_json_is_int(seed) ? slu_json_integer(seed) : 0;

	if (!fraction(slu_json_get(args, "probability"), &ret->high))
		return slu_fail(e, EINVAL, "%s: '%s' wants a 'probability' from 0 to 1", what,
				name);
	if (low && !slu_json_is_null(low) && !fraction(low, &ret->low))
		return slu_fail(e, EINVAL, "%s: '%s' wants a 'probability_lower_bound' from 0 to 1",
				what, name);
	if (ret->low >= ret->high)
		return slu_fail(e, EINVAL, "%s: '%s' would take no file at all", what, name);
	if (seed && !slu_json_is_null(seed) && !slu_json_is_int(seed))
		return slu_fail(e, EINVAL, "%s: 'seed' of '%s' has to be a whole number", what,
				name);
	snprintf(ret->seed, sizeof ret->seed, "%lld", (long long)n);
	return 0;
}

static int read_sampler(const char *name, const struct json_t *args, const char *what,
			struct step *ret, struct slu_err *e)
{
	const char *sampler = slu_json_str(args, "sampler");

	if (!sampler || !slu_streq(sampler, "random_percent"))
		return slu_fail(e, ENOTSUP,
				"%s: 'sample' with the sampler '%s': known is random_percent", what,
				sampler ? sampler : "");
	return read_sample(name, slu_json_get(args, "sampler_arguments"), what, ret, e);
}

static int read_filter(struct slu_steps *st, const struct json_t *args, const char *what,
		       struct step *ret, struct slu_err *e)
{
	const char *text = slu_json_string(args);

	if (!text)
		text = slu_json_str(args, "expression");
	if (!text)
		return slu_fail(e, EINVAL, "%s: 'filter' wants an expression, a text", what);
	int r = slu_fileexpr_new(text, is_column, st, &ret->expr, e);

	return r < 0 ? slu_fail_more(e, "%s", what) : 0;
}

/* 1: a step over files; 0: one that leaves the files alone. */
static int read_step(struct slu_steps *st, const char *name, const struct json_t *args,
		     const char *what, struct step *ret, struct slu_err *e)
{
	static const char *const others[] = {"keep_columns", "drop_columns", "convert_column_types",
					     "extract_columns_from_partition_format", NULL};
	int r;

	*ret = (struct step){.kind = SAMPLE};
	if (slu_streq(name, "take") || slu_streq(name, "skip")) {
		ret->kind = *name == 't' ? TAKE : SKIP;
		r = read_count(name, args, what, ret, e);
	} else if (slu_streq(name, "take_random_sample")) {
		r = read_sample(name, args, what, ret, e);
	} else if (slu_streq(name, "sample")) {
		r = read_sampler(name, args, what, ret, e);
	} else if (slu_streq(name, "filter")) {
		ret->kind = FILTER;
		r = read_filter(st, args, what, ret, e);
	} else {
		for (size_t i = 0; others[i]; i++)
			if (slu_streq(others[i], name))
				return 0;
		r = slu_fail(e, ENOTSUP,
			     "%s: transformation '%s' over files is not known: known are take, "
			     "skip, take_random_sample, sample, filter",
			     what, name);
	}
	return r < 0 ? r : 1;
}

/* The name of a transformation and its arguments (NULL: none). */
static const char *name_of(const struct json_t *step, const struct json_t **ret_args)
{
	void *it = slu_json_is_object(step) ? slu_json_iter(step) : NULL;

	*ret_args = it ? slu_json_iter_value(it) : NULL;
	return it ? slu_json_iter_key(it) : slu_json_string(step);
}

int slu_steps_new(const struct json_t *doc, const char *what, struct slu_steps **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_steps_freep) struct slu_steps *st = slu_new0(struct slu_steps);
	const struct json_t *all = slu_json_get(doc, "transformations");

	if (!st)
		return slu_fail_oom(e);
	int r = read_partition(st, doc, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < slu_json_count(all); i++) {
		const struct json_t *args;
		const char *name = name_of(slu_json_at(all, i), &args);
		struct step step;

		if (name && slu_starts(name, "read_"))
			break; /* what follows is about rows */
		r = name ? read_step(st, name, args, what, &step, e) : 0;

		if (r < 0)
			return r;
		if (r > 0 && !slu_vec_push(&st->steps, step)) {
			slu_fileexpr_free(step.expr);
			return slu_fail_oom(e);
		}
	}
	*ret = st->steps.n ? slu_take(st) : NULL;
	return 0;
}

/* --- running --- */

static int sampled(const struct step *p, const char *path)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	size_t n = strlen(p->seed) + 1, len = strlen(path);
	uint8_t md[SLU_DIGEST_MAX];
	uint64_t bits = 0;

	text = slu_malloc(n + len);
	if (!text)
		return -ENOMEM;
	memcpy(text, p->seed, n);
	memcpy(text + n, path, len);
	int r = slu_digest(SLU_SHA256, text, n + len, md);

	if (r < 0)
		return r;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | md[i];
	double at = (double)(bits >> 11) / 9007199254740992.0; /* 2^53 */

	return at >= p->low && at < p->high;
}

int slu_steps_takes(struct slu_steps *st, const char *path, const char *full,
		    const struct slu_attr *a, struct slu_err *e)
{
	for (size_t i = 0; i < st->steps.n; i++) {
		struct step *p = &st->steps.p[i];
		int r = 1;

		switch (p->kind) {
		case TAKE:
			r = p->seen < p->n;
			p->seen += (uint64_t)r;
			st->ended |= p->seen == p->n;
			break;
		case SKIP:
			r = p->seen == p->n;
			p->seen += (uint64_t)!r;
			break;
		case SAMPLE:
			r = sampled(p, path);
			break;
		case FILTER:
			r = filtered(st, p, path, full, a);
			break;
		}
		if (r < 0)
			return slu_fail_sys(e, -r, "cannot choose '%s'", path);
		if (r == 0)
			return 0;
	}
	return 1;
}

bool slu_steps_end(const struct slu_steps *st)
{
	return st->ended;
}

bool slu_steps_ordered(const struct slu_steps *st)
{
	for (size_t i = 0; i < st->steps.n; i++)
		if (st->steps.p[i].kind == TAKE || st->steps.p[i].kind == SKIP)
			return true;
	return false;
}

/* The plain path of a source's folder in its store. */
static char *root_of(const struct slu_manifest *m, size_t i)
{
	SLU_AUTO(slu_uri_freep) struct slu_uri *u = NULL;

	if (slu_uri_parse(slu_manifest_source(m, i)->uri, NULL, NULL, &u, NULL) < 0 || !u->path)
		return slu_strdup("");
	return slu_glob_unescape(u->path, strlen(u->path));
}

static char *full_path(const struct slu_manifest *m, size_t i)
{
	const char *rel;
	SLU_AUTO(slu_freep) char *root = root_of(m, slu_manifest_locate(m, i, &rel));

	return root ? slu_path_join(root, rel) : NULL;
}

int slu_steps_manifest(struct slu_steps *st, const struct slu_manifest *m,
		       struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *to = NULL;
	int r = slu_manifest_new(&to);

	for (size_t i = 0; r == 0 && i < slu_manifest_sources(m); i++)
		r = slu_manifest_add_source(to, slu_manifest_source(m, i)->prefix,
					    slu_manifest_source(m, i)->uri);
	if (r < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_manifest_count(m) && !st->ended; i++) {
		const struct slu_file *f = slu_manifest_at(m, i);
		struct slu_attr a = {
			.kind = SLU_KIND_FILE, .size = f->size, .mtime_ns = f->mtime_ns};

		snprintf(a.id, sizeof a.id, "%s", f->id);
		snprintf(a.sum, sizeof a.sum, "%s", f->sum);
		SLU_AUTO(slu_freep) char *full = st->partition ? full_path(m, i) : NULL;

		if (st->partition && !full)
			return slu_fail_oom(e);
		r = slu_steps_takes(st, f->path, full, &a, e);
		if (r < 0)
			return r;
		if (r > 0 && slu_manifest_add_file(to, f->path, f, NULL) < 0)
			return slu_fail_oom(e);
	}
	r = slu_manifest_finish(to, e);
	if (r == 0)
		*ret = slu_take(to);
	return r;
}

/* --- of definitions --- */

bool slu_definition_chooses(const struct slu_definition *d)
{
	SLU_AUTO(slu_steps_freep) struct slu_steps *st = NULL;

	return slu_steps_new(d->doc, "", &st, NULL) == 0 && st;
}

static bool is_choice(const char *name)
{
	static const char *const names[] = {"take", "skip", "filter", "sample",
					    "take_random_sample"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slu_streq(names[i], name))
			return true;
	return false;
}

int slu_definition_drop_steps(struct json_t *doc)
{
	SLU_AUTO(slu_json_freep) struct json_t *kept = slu_json_array();
	const struct json_t *all = slu_json_get(doc, "transformations");
	bool rows = false;

	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < slu_json_count(all); i++) {
		struct json_t *step = slu_json_at(all, i);
		const struct json_t *args;
		const char *name = name_of(step, &args);

		rows |= name && slu_starts(name, "read_");
		if (!rows && name && is_choice(name))
			continue;
		if (slu_json_append(kept, slu_json_ref(step)) < 0)
			return -ENOMEM;
	}
	if (slu_json_count(kept))
		return slu_json_set(doc, "transformations", slu_json_ref(kept));
	if (all)
		slu_json_del(doc, "transformations");
	return 0;
}
