/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two tellings of a step, in lines for people.  Data is compared by its manifests,
 * file by file; no store is asked but the registry's.
 */
#include "job/reuse.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/registry.h"

#include <errno.h>
#include <string.h>

/* Files that are named of one input, and bytes of a value that are shown. */
enum { FILES_SHOWN = 3, SHOWN = 120 };

static int add(struct json_t *lines, char *line)
{
	SLU_AUTO(slu_freep) char *own = line;

	return own ? slu_json_append(lines, slu_json_new_str(own)) : -ENOMEM;
}

/* A value as one short text. */
static char *shown(const struct json_t *v)
{
	SLU_AUTO(slu_freep)
	char *text = !v                      ? slu_strdup("(none)")
		     : slu_json_is_string(v) ? slu_asprintf("'%s'", slu_json_string(v))
					     : slu_json_text(v, SLU_JSON_CANONICAL);
	size_t n = text ? strlen(text) : 0;

	if (!text || n <= SHOWN)
		return slu_take(text);
	for (n = SHOWN; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
		;
	text[n] = '\0';
	return slu_asprintf("%s...", text);
}

static int add_change(struct json_t *lines, const char *what, const struct json_t *before,
		      const struct json_t *now)
{
	SLU_AUTO(slu_freep) char *a = shown(before), *b = shown(now);

	return a && b ? add(lines, slu_asprintf("%s differs: %s, was %s", what, b, a)) : -ENOMEM;
}

/* Calls for each key that is in one of two objects with another value than in the other. */
static int each_difference(const struct json_t *before, const struct json_t *now,
			   int (*fn)(void *user, const char *key, const struct json_t *before,
				     const struct json_t *now),
			   void *user)
{
	int r = 0;

	for (void *it = slu_json_iter(now); it && r == 0; it = slu_json_next(now, it)) {
		const struct json_t *was = slu_json_get(before, slu_json_iter_key(it));

		if (!was || !slu_json_equal(was, slu_json_iter_value(it)))
			r = fn(user, slu_json_iter_key(it), was, slu_json_iter_value(it));
	}
	for (void *it = slu_json_iter(before); it && r == 0; it = slu_json_next(before, it))
		if (!slu_json_get(now, slu_json_iter_key(it)))
			r = fn(user, slu_json_iter_key(it), slu_json_iter_value(it), NULL);
	return r;
}

/* --- data --- */

struct files {
	struct json_t *lines;
	const char *input;
	size_t told, more;
};

static int tell_file(struct files *f, const char *path, const char *what)
{
	if (f->told == FILES_SHOWN) {
		f->more++;
		return 0;
	}
	f->told++;
	return add(f->lines,
		   slu_asprintf("input '%s' differs: file '%s' %s", f->input, path, what));
}

static int tell_pair(struct files *f, const struct slu_file *a, const struct slu_file *b)
{
	char what[96];

	if (a->size != b->size)
		snprintf(what, sizeof(what), "has %llu bytes, had %llu",
			 (unsigned long long)b->size, (unsigned long long)a->size);
	else
		snprintf(what, sizeof(what), "was written anew");
	if (a->size == b->size && a->mtime_ns == b->mtime_ns && slu_streq(a->id, b->id) &&
	    slu_streq(a->sum, b->sum))
		return 0;
	return tell_file(f, b->path, what);
}

/* Both are sorted by path. */
static int tell_files(struct files *f, const struct slu_manifest *a, const struct slu_manifest *b)
{
	size_t i = 0, k = 0, na = slu_manifest_count(a), nb = slu_manifest_count(b);
	int r = 0;

	while (r == 0 && (i < na || k < nb)) {
		const struct slu_file *x = i < na ? slu_manifest_at(a, i) : NULL;
		const struct slu_file *y = k < nb ? slu_manifest_at(b, k) : NULL;
		int order = !x ? 1 : !y ? -1 : strcmp(x->path, y->path);

		r = order < 0   ? tell_file(f, x->path, "is gone")
		    : order > 0 ? tell_file(f, y->path, "is new")
				: tell_pair(f, x, y);
		i += order <= 0;
		k += order >= 0;
	}
	if (r == 0 && f->more)
		r = add(f->lines,
			slu_asprintf("input '%s' differs: %zu more files", f->input, f->more));
	return r;
}

static int tell_data(struct sluice *s, const char *name, const struct json_t *before,
		     const struct json_t *now, struct json_t *lines)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *a = NULL;
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *b = NULL;
	const char *was = slu_json_str(before, "manifest"), *is = slu_json_str(now, "manifest");
	struct files f = {.lines = lines, .input = name};
	size_t had = slu_json_count(lines);
	int r = 0;

	if (was && is && !slu_streq(was, is) && slu_registry_manifest(s, was, &a, NULL) == 0 &&
	    slu_registry_manifest(s, is, &b, NULL) == 0)
		r = tell_files(&f, a, b);
	if (r < 0 || slu_json_count(lines) > had)
		return r;
	/* The same files elsewhere, or read in another way. */
	return add(lines, slu_asprintf("input '%s' differs: it is other data", name));
}

struct member {
	const char *input;
	struct json_t *lines;
};

/* What the data is, is told file by file. */
static int on_input_member(void *user, const char *key, const struct json_t *before,
			   const struct json_t *now)
{
	const struct member *m = user;
	SLU_AUTO(slu_freep) char *what = slu_asprintf("input '%s': %s", m->input, key);

	if (slu_streq(key, "dataset") || slu_streq(key, "manifest"))
		return 0;
	return what ? add_change(m->lines, what, before, now) : -ENOMEM;
}

static int tell_input(struct sluice *s, const char *name, const struct json_t *before,
		      const struct json_t *now, struct json_t *lines)
{
	size_t had = slu_json_count(lines);

	if (!before || !now)
		return add(lines, slu_asprintf("input '%s' is %s", name, now ? "new" : "gone"));
	struct member m = {name, lines};

	if (each_difference(before, now, on_input_member, &m) < 0)
		return -ENOMEM;
	return slu_json_count(lines) > had ? 0 : tell_data(s, name, before, now, lines);
}

/* --- parts --- */

struct telling {
	struct sluice *s;
	struct json_t *lines;
	const char *what; /* of the parts that are objects */
};

static int on_input(void *user, const char *key, const struct json_t *before,
		    const struct json_t *now)
{
	const struct telling *t = user;

	return tell_input(t->s, key, before, now, t->lines);
}

static int on_member(void *user, const char *key, const struct json_t *before,
		     const struct json_t *now)
{
	const struct telling *t = user;
	SLU_AUTO(slu_freep) char *what = slu_asprintf("%s '%s'", t->what, key);

	return what ? add_change(t->lines, what, before, now) : -ENOMEM;
}

static int on_part(void *user, const char *key, const struct json_t *before,
		   const struct json_t *now)
{
	static const struct {
		const char *part, *what;
	} names[] = {{"environment_variables", "variable"},
		     {"compute", "compute:"},
		     {"outputs", "output"},
		     {"step", "setting"}};
	struct telling *t = user;

	if (slu_streq(key, "inputs"))
		return each_difference(before, now, on_input, t);
	if (slu_streq(key, "code"))
		return add(t->lines, slu_strdup("the code differs: a file of its folder was "
						"added, changed or removed"));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slu_streq(names[i].part, key)) {
			t->what = names[i].what;
			return each_difference(before, now, on_member, t);
		}
	return add_change(t->lines, key, before, now);
}

int slu_reuse_differences(struct sluice *s, const struct json_t *before, const struct json_t *now,
			  struct json_t *lines, struct slu_err *e)
{
	struct telling t = {.s = s, .lines = lines};

	return each_difference(before, now, on_part, &t) < 0 ? slu_fail_oom(e) : 0;
}
