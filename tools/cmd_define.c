/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data create: the options that say which files, and how they are read.
 */
#include "tools/cmd_define.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* {"name": args}, args taken. */
static int add_step(struct json_t *steps, const char *name, struct json_t *args)
{
	struct json_t *step = slu_json_object();

	if (slu_json_set(step, name, args) < 0) {
		slu_json_free(step);
		return -ENOMEM;
	}
	return slu_json_append(steps, step);
}

/* "0.25" without the help of the locale. */
static bool fraction(const char *s, double *ret)
{
	size_t whole = strcspn(s, ".");
	const char *part = s[whole] ? s + whole + 1 : "";
	double scale = 1, v = 0;

	if (whole > 1 || strlen(part) > 15 || strlen(s) != whole + (s[whole] == '.') + strlen(part))
		return false;
	for (const char *p = s; *p; p++) {
		if (*p == '.' && p == s + whole)
			continue;
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (*p - '0');
		scale *= p > s + whole ? 10 : 1;
	}
	*ret = v / scale;
	return *s && *ret <= 1;
}

static int add_count(struct cli *c, struct json_t *steps, const char *name, const char *text)
{
	int64_t n;

	if (!slu_i64(text, *name == 't', INT64_MAX, &n))
		return cli_usage(c, "--%s wants a number of files, not '%s'", name, text);
	return add_step(steps, name, slu_json_new_int(n)) < 0 ? -ENOMEM : 0;
}

static int add_sample(struct cli *c, struct json_t *steps, const char *text, int64_t seed)
{
	struct json_t *args = slu_json_object();
	double p;

	if (!fraction(text, &p)) {
		slu_json_free(args);
		return cli_usage(c, "--take-sample wants a number from 0 to 1, not '%s'", text);
	}
	if (slu_json_set(args, "probability", slu_json_new_real(p)) < 0 ||
	    slu_json_set_int(args, "seed", seed) < 0) {
		slu_json_free(args);
		return -ENOMEM;
	}
	return add_step(steps, "take_random_sample", args);
}

/* As random_split() of Azure ML writes its two halves. */
static int add_half(struct cli *c, struct json_t *steps, const char *text, int64_t seed)
{
	const char *half = cli_get(c, "half");
	bool second = half && slu_streq(half, "second");
	struct json_t *args, *top;
	double p;

	if (half && !second && !slu_streq(half, "first"))
		return cli_usage(c, "--half is first or second, not '%s'", half);
	if (!fraction(text, &p) || p <= 0 || p >= 1)
		return cli_usage(c, "--split wants a number between 0 and 1, not '%s'", text);
	args = slu_json_object();
	top = slu_json_object();
	if (slu_json_set(args, "probability", slu_json_new_real(second ? 1.0 : p)) < 0 ||
	    slu_json_set(args, "probability_lower_bound", slu_json_new_real(second ? p : 0.0)) <
		    0 ||
	    slu_json_set_int(args, "seed", seed) < 0 ||
	    slu_json_set_str(top, "sampler", "random_percent") < 0 ||
	    slu_json_set(top, "sampler_arguments", slu_json_ref(args)) < 0) {
		slu_json_free(args);
		slu_json_free(top);
		return -ENOMEM;
	}
	slu_json_free(args);
	return add_step(steps, "sample", top);
}

static int add_option(struct cli *c, struct json_t *steps, const struct cli_value *v, int64_t seed)
{
	const char *name = v->option->name;

	if (slu_streq(name, "take") || slu_streq(name, "skip"))
		return add_count(c, steps, name, v->text);
	if (slu_streq(name, "take-sample"))
		return add_sample(c, steps, v->text, seed);
	if (slu_streq(name, "split"))
		return add_half(c, steps, v->text, seed);
	if (slu_streq(name, "filter"))
		return add_step(steps, "filter", slu_json_new_str(v->text));
	return 0;
}

int define_steps(struct cli *c, struct json_t *spec)
{
	SLU_AUTO(slu_json_freep) struct json_t *steps = slu_json_array();
	int64_t seed = 0;
	int r = 0;

	if (!cli_int(c, "seed", INT64_MIN, INT64_MAX, &seed))
		return CLI_USAGE;
	if (cli_has(c, "half") && !cli_has(c, "split"))
		return cli_usage(c, "--half belongs to --split");
	if (cli_has(c, "seed") && !cli_has(c, "split") && !cli_has(c, "take-sample"))
		return cli_usage(c, "--seed belongs to --split or --take-sample");
	/* In the order in which they were given: that is the order in which they work. */
	for (size_t i = 0; r == 0 && i < c->nvalues; i++)
		r = add_option(c, steps, &c->values[i], seed);
	if (r == 0 && slu_json_count(steps))
		r = slu_json_set(spec, "transformations", slu_json_ref(steps));
	return r;
}

/* --- reading --- */

/* true, false, a whole number, JSON in brackets; else a text. */
static struct json_t *option_value(const char *text)
{
	struct json_t *j = NULL;
	int64_t n;

	if (slu_streq(text, "true") || slu_streq(text, "false"))
		return slu_json_new_bool(*text == 't');
	if (slu_i64(text, INT64_MIN, INT64_MAX, &n))
		return slu_json_new_int(n);
	if ((*text == '{' || *text == '[') &&
	    slu_json_parse(text, strlen(text), "--option", &j, NULL) == 0)
		return j;
	return slu_json_new_str(text);
}

static int read_options(struct cli *c, struct json_t *o)
{
	const char *pair;

	for (size_t i = 0; (pair = cli_nth(c, "option", i)); i++) {
		const char *eq = strchr(pair, '=');
		SLU_AUTO(slu_freep)
		char *key = eq ? slu_strndup(pair, (size_t)(eq - pair)) : NULL;

		if (!eq || eq == pair)
			return cli_usage(c, "--option wants KEY=VALUE, not '%s'", pair);
		if (!key || slu_json_set(o, key, option_value(eq + 1)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int define_reading(struct cli *c, struct json_t *spec)
{
	static const char *const plain[] = {"delimiter", "header", "encoding"};
	static const char *const kinds[] = {"delimited", "json_lines", "parquet", "delta_lake"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *kind = cli_get(c, "read");
	bool any = kind || cli_has(c, "option"), known = !kind;
	int r = 0;

	for (size_t i = 0; i < 3; i++) {
		any |= cli_has(c, plain[i]);
		if (slu_json_set_str(o, plain[i], cli_get(c, plain[i])) < 0)
			return -ENOMEM;
	}
	if (!any)
		return 0;
	for (size_t i = 0; i < 4; i++)
		known |= kind && slu_streq(kinds[i], kind);
	if (!known)
		return cli_usage(c,
				 "--read is delimited, json_lines, parquet or delta_lake, not '%s'",
				 kind);
	r = read_options(c, o);
	return r ? r : slu_json_set(spec, kind ? kind : "delimited", slu_json_ref(o));
}
