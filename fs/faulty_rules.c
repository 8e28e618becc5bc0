/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of the fault layer: "op:rate:what", several with commas, and "seed=N".  Chance is a
 * counter put through a mixer (splitmix64; Steele, Lea and Flood, 2014), so that the same seed
 * gives the same faults to the same sequence of ops.
 */
#include "fs/faulty.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define ONE 1000000000u /* a rate of 1 */

struct rule {
	int op;        /* enum slu_op_type, -1: any */
	uint32_t rate; /* of ONE; 0 with nth */
	uint64_t nth;  /* 0: by rate */
	bool on;       /* and all after that */
	uint64_t seen; /* ops it fits, atomic */
	struct slu_faulty_action action;
};

struct slu_faulty_rules {
	SLU_VEC(struct rule) rules;
	uint64_t chance;  /* atomic */
	char *text;       /* cut into its fields */
	const char *file; /* in it; NULL: none */
};

static const struct {
	const char *name;
	int code;
} codes[] = {
	{"EACCES", EACCES},         {"EAGAIN", EAGAIN},
	{"EBUSY", EBUSY},           {"ECONNREFUSED", ECONNREFUSED},
	{"ECONNRESET", ECONNRESET}, {"EDQUOT", EDQUOT},
	{"EEXIST", EEXIST},         {"EHOSTUNREACH", EHOSTUNREACH},
	{"EINVAL", EINVAL},         {"EIO", EIO},
	{"EMFILE", EMFILE},         {"ENETUNREACH", ENETUNREACH},
	{"ENOENT", ENOENT},         {"ENOMEM", ENOMEM},
	{"ENOSPC", ENOSPC},         {"EPERM", EPERM},
	{"EROFS", EROFS},           {"ESTALE", ESTALE},
	{"ETIMEDOUT", ETIMEDOUT},
};

static bool parse_op(const char *s, int *ret)
{
	*ret = -1;
	for (int i = 0; i < _SLU_OP_MAX; i++)
		if (slu_streq(s, slu_op_name(i)))
			*ret = i;
	return *ret >= 0 || slu_streq(s, "any");
}

/* "#n", "#n+", or a decimal number from 0 to 1. */
static bool parse_rate(char *s, struct rule *r)
{
	uint32_t v = 0, unit = ONE;

	if (*s == '#') {
		r->on = s[strlen(s) - 1] == '+';
		if (r->on)
			s[strlen(s) - 1] = '\0';
		return slu_u64(s + 1, &r->nth) && r->nth > 0;
	}
	if (*s != '0' && *s != '1')
		return false;
	v = *s++ == '1' ? ONE : 0;
	if (*s == '.' && s[1])
		for (s++; *s >= '0' && *s <= '9'; s++)
			v += (uint32_t)(*s - '0') * (unit /= 10);
	r->rate = v;
	return *s == '\0' && v <= ONE;
}

/* One file, by its absolute path. */
static bool parse_while(struct slu_faulty_rules *all, const char *file, struct slu_faulty_action *a)
{
	if (*file != '/' || (all->file && !slu_streq(all->file, file)))
		return false;
	all->file = file;
	a->what = SLU_FAULTY_WHILE;
	return true;
}

static bool parse_what(struct slu_faulty_rules *all, const char *s, struct slu_faulty_action *a)
{
	const char *rest = slu_after(s, "delay="), *file = slu_after(s, "while=");

	if (file)
		return parse_while(all, file, a);

	if (rest) {
		a->what = SLU_FAULTY_DELAY;
		return slu_duration(rest, &a->ns);
	}
	if (slu_streq(s, "short"))
		a->what = SLU_FAULTY_SHORT;
	else if (slu_streq(s, "lost"))
		a->what = SLU_FAULTY_LOST;
	else if (slu_streq(s, "hang"))
		a->what = SLU_FAULTY_HANG;
	else if (slu_streq(s, "kill"))
		a->what = SLU_FAULTY_KILL;
	else if (slu_streq(s, "killed"))
		a->what = SLU_FAULTY_KILLED;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (slu_streq(s, codes[i].name)) {
			a->what = SLU_FAULTY_ERRNO;
			a->code = codes[i].code;
		}
	}
	return a->what != SLU_FAULTY_NONE;
}

/* text is cut into its fields. */
static int parse_rule(struct slu_faulty_rules *all, char *text, struct slu_err *e)
{
	const char *seed = slu_after(text, "seed=");
	struct rule r = {0};
	char *rate, *what;

	if (seed)
		return slu_u64(seed, &all->chance)
			       ? 0
			       : slu_fail(e, EINVAL, "fault rule '%s': not a number", text);
	rate = strchr(text, ':');
	what = rate ? strchr(rate + 1, ':') : NULL;
	if (!what)
		return slu_fail(e, EINVAL, "fault rule '%s' is not 'op:rate:what'", text);
	*rate++ = '\0';
	*what++ = '\0';
	if (!parse_op(text, &r.op))
		return slu_fail(e, EINVAL, "fault rule: unknown op '%s'", text);
	if (!parse_rate(rate, &r))
		return slu_fail(e, EINVAL,
				"fault rule: '%s' is neither a rate from 0 to 1 nor '#n'", rate);
	if (!parse_what(all, what, &r.action))
		return slu_fail(
			e, EINVAL,
			"fault rule: '%s' is no error name, 'delay=<time>', 'while=/<file>', "
			"'short', 'lost', 'hang', 'kill' or 'killed'",
			what);
	return slu_vec_push(&all->rules, r) ? 0 : slu_fail_oom(e);
}

int slu_faulty_rules_parse(const char *text, struct slu_faulty_rules **ret, struct slu_err *e)
{
	struct slu_faulty_rules *all = slu_new0(struct slu_faulty_rules);
	int r = all && (all->text = slu_strdup(text)) ? 0 : slu_fail_oom(e);

	for (char *p = all ? all->text : NULL; r == 0 && p && *p;) {
		char *comma = strchr(p, ',');

		if (comma)
			*comma = '\0';
		r = parse_rule(all, p, e);
		p = comma ? comma + 1 : NULL;
	}
	if (r < 0) {
		slu_faulty_rules_free(all);
		return r;
	}
	*ret = all;
	return 0;
}

void slu_faulty_rules_free(struct slu_faulty_rules *r)
{
	if (!r)
		return;
	free(r->rules.p);
	free(r->text);
	free(r);
}

const char *slu_faulty_rules_file(const struct slu_faulty_rules *r)
{
	return r->file;
}

static uint32_t chance(struct slu_faulty_rules *all)
{
	uint64_t x = __atomic_add_fetch(&all->chance, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((x ^ x >> 31) % ONE);
}

/* A process dies once, whichever of its stores that is at. */
static uint64_t seen_by_all;

static bool kills(const struct rule *r)
{
	return r->action.what == SLU_FAULTY_KILL || r->action.what == SLU_FAULTY_KILLED;
}

bool slu_faulty_rules_touch(const struct slu_faulty_rules *all, enum slu_op_type type)
{
	for (size_t i = 0; i < all->rules.n; i++)
		if (all->rules.p[i].op < 0 || all->rules.p[i].op == (int)type)
			return true;
	return false;
}

struct slu_faulty_action slu_faulty_rules_ask(struct slu_faulty_rules *all, enum slu_op_type type)
{
	for (size_t i = 0; i < all->rules.n; i++) {
		struct rule *r = &all->rules.p[i];
		uint64_t n;

		if (r->op >= 0 && r->op != (int)type)
			continue;
		if (r->action.what == SLU_FAULTY_SHORT && type != SLU_OP_READ)
			continue;
		n = __atomic_add_fetch(kills(r) ? &seen_by_all : &r->seen, 1, __ATOMIC_RELAXED);
		if (r->nth ? n == r->nth || (r->on && n > r->nth) : chance(all) < r->rate)
			return r->action;
	}
	return (struct slu_faulty_action){.what = SLU_FAULTY_NONE};
}
