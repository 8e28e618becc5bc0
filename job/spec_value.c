/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of inputs: numbers, texts and choices, checked against what a component declares (type, min,
 * max, enum) at the place where they stand.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

const char *const spec_data_types[] = {"uri_file",     "uri_folder",   "mltable", "custom_model",
				       "mlflow_model", "triton_model", "path",    NULL};
const char *const spec_value_types[] = {"string", "number", "integer", "boolean",
					"enum",   "float",  NULL};

/* Where a value stands, for messages. */
struct spot {
	const struct spec_file *f;
	const struct json_t *o;
	const char *key;
};

/* Whoever loaded the library may have a locale whose numbers have a comma. */
locale_t spec_numbers_begin(locale_t *ret_own)
{
	*ret_own = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	return *ret_own ? uselocale(*ret_own) : (locale_t)0;
}

void spec_numbers_end(locale_t before, locale_t own)
{
	if (!own)
		return;
	uselocale(before);
	freelocale(own);
}

static bool to_number(const char *text, double *ret)
{
	locale_t own, before;
	char *end;

	if (!*text || strspn(text, "+-.0123456789eE") != strlen(text))
		return false;
	before = spec_numbers_begin(&own);
	*ret = strtod(text, &end);
	spec_numbers_end(before, own);
	return !*end && isfinite(*ret);
}

static int bad_type(const struct spot *at, const char *type, const char *text, struct slu_err *e)
{
	return slu_yaml_fail(at->f->yaml, at->o, at->key, e, "input '%s': '%s' is no %s", at->key,
			     text, type);
}

static int check_type(const struct spot *at, const char *type, const char *text, struct slu_err *e)
{
	double d;
	int64_t n;

	if (slu_streq(type, "integer") && !slu_i64(text, INT64_MIN, INT64_MAX, &n))
		return bad_type(at, type, text, e);
	if ((slu_streq(type, "number") || slu_streq(type, "float")) && !to_number(text, &d))
		return bad_type(at, "number", text, e);
	if (slu_streq(type, "boolean") && strcasecmp(text, "true") != 0 &&
	    strcasecmp(text, "false") != 0)
		return slu_yaml_fail(at->f->yaml, at->o, at->key, e,
				     "input '%s': '%s' is no boolean: it is true or false", at->key,
				     text);
	return 0;
}

static int check_bound(const struct spot *at, const struct spec_file *cf, const struct json_t *decl,
		       const char *which, const char *text, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(decl, which);
	SLU_AUTO(slu_freep) char *bound = v ? spec_scalar(v) : NULL;
	double limit, d;

	if (!v || slu_json_is_null(v))
		return 0;
	if (!bound || !to_number(bound, &limit))
		return slu_yaml_fail(cf->yaml, decl, which, e, "'%s' is no number", which);
	if (!to_number(text, &d) || (which[1] == 'i' ? d >= limit : d <= limit))
		return 0;
	return slu_yaml_fail(at->f->yaml, at->o, at->key, e, "input '%s': %s is %s %s, its %simum",
			     at->key, text, which[1] == 'i' ? "below" : "above", bound, which);
}

static int check_enum(const struct spot *at, const struct spec_file *cf, const struct json_t *decl,
		      const char *text, struct slu_err *e)
{
	const struct json_t *list = slu_json_get(decl, "enum");
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);

	if (!list || slu_json_is_null(list))
		return 0;
	if (!slu_json_is_array(list))
		return slu_yaml_fail(cf->yaml, decl, "enum", e, "'enum' is no list of values");
	for (size_t i = 0; i < slu_json_count(list); i++) {
		SLU_AUTO(slu_freep) char *one = spec_scalar(slu_json_at(list, i));

		if (one && slu_streq(one, text))
			return 0;
		slu_buf_fmt(&b, "%s'%s'", i ? ", " : "", one ? one : "?");
	}
	return slu_yaml_fail(at->f->yaml, at->o, at->key, e,
			     "input '%s': '%s' is none of its values: %s", at->key, text,
			     b.p ? b.p : "there are none");
}

/* Data where data is wanted, and a value where one is declared. */
static int check_sort(const struct spot *at, bool declared, const struct slu_spec_input *in,
		      struct slu_err *e)
{
	bool data = in->type && spec_in_list(spec_data_types, in->type);

	if (data && in->literal)
		return slu_yaml_fail(at->f->yaml, at->o, at->key, e,
				     "input '%s' is data (%s): give it a path", at->key, in->type);
	if (!data && in->type && declared && !in->literal && (in->ref || in->step))
		return slu_yaml_fail(at->f->yaml, at->o, at->key, e,
				     "input '%s' is a value (%s), not data: give it without 'path'",
				     at->key, in->type);
	return 0;
}

int spec_check_value(const struct spec_file *f, const struct json_t *values, const char *key,
		     const struct spec_file *cf, const struct json_t *decl,
		     const struct slu_spec_input *in, struct slu_err *e)
{
	const struct spot at = {f, values, key};
	int r = check_sort(&at, cf != NULL, in, e);

	if (r < 0 || !in->literal)
		return r;
	if (in->type)
		r = check_type(&at, in->type, in->literal, e);
	if (r == 0 && decl)
		r = check_bound(&at, cf, decl, "min", in->literal, e);
	if (r == 0 && decl)
		r = check_bound(&at, cf, decl, "max", in->literal, e);
	if (r == 0 && decl)
		r = check_enum(&at, cf, decl, in->literal, e);
	return r;
}
