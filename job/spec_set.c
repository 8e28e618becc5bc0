/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sets beside a job file: values of inputs, and any other key by its path.  It is put into the tree before
 * that is read, so it is checked as what stands in the file.
 */
#include "job/spec_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* --- inputs --- */

/* What a person typed stands for a path of the current folder, not of the file's. */
static int override_ref(const char *text, char **ret, struct slu_err *e)
{
	struct stat st;

	if (text[0] == '.' || (!strchr(text, ':') && text[0] != '/' && lstat(text, &st) == 0))
		return slu_path_absolute(text, ret, e);
	*ret = slu_strdup(text);
	return *ret ? 0 : slu_fail_oom(e);
}

static int override_one(struct json_t *inputs, const char *name, const struct json_t *v,
			struct slu_err *e)
{
	const struct json_t *old = slu_json_get(inputs, name);
	SLU_AUTO(slu_json_freep) struct json_t *obj = NULL;
	SLU_AUTO(slu_freep) char *text = NULL, *type = NULL;
	int r;

	if (!slu_json_is_string(v) || !slu_json_is_object(old))
		return slu_json_set(inputs, name, slu_json_copy(v)) < 0 ? slu_fail_oom(e) : 0;
	type = slu_strdup(slu_json_str(old, "type"));
	if (type && !slu_starts(type, "uri_") && !slu_streq(type, "mltable"))
		text = slu_strdup(slu_json_string(v));
	else if ((r = override_ref(slu_json_string(v), &text, e)) < 0)
		return r;
	obj = slu_json_copy(old);
	if (!obj || !text)
		return slu_fail_oom(e);
	bool data = !type || slu_starts(type, "uri_") || slu_streq(type, "mltable");
	if (slu_json_set_str(obj, data ? "path" : "value", text) < 0 ||
	    slu_json_set(inputs, name, slu_json_ref(obj)) < 0)
		return slu_fail_oom(e);
	return 0;
}

static int set_inputs(const struct spec_file *f, const struct json_t *over, struct slu_err *e)
{
	struct json_t *inputs = slu_json_get(slu_yaml_root(f->yaml), "inputs");
	int r = 0;

	for (void *it = slu_json_iter(over); it && r == 0; it = slu_json_next(over, it)) {
		const char *name = slu_json_iter_key(it);

		if (!slu_json_get(inputs, name)) {
			SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(512);

			for (void *k = slu_json_iter(inputs); k; k = slu_json_next(inputs, k))
				slu_buf_fmt(&b, "%s'%s'", b.len ? ", " : "", slu_json_iter_key(k));
			return slu_fail(e, EINVAL, "the job has no input '%s' to set; it has %s",
					name, b.len ? b.p : "none");
		}
		r = override_one(inputs, name, slu_json_iter_value(it), e);
	}
	return r;
}

/* --- any key --- */

/* Its keys have dots themselves. */
static bool is_flat(const char *key)
{
	static const char *const keys[] = {"conf", "tags", "properties", "environment_variables",
					   NULL};

	return spec_in_list(keys, key);
}

/* As the CLI of Azure ML takes it: what is JSON is that, unless text stood there; else it is text. */
static struct json_t *value_of(const struct json_t *old, const char *text)
{
	struct json_t *v = NULL;

	if (!slu_json_is_string(old) && slu_json_parse(text, strlen(text), "", &v, NULL) == 0)
		return v;
	return slu_json_new_str(text);
}

/* The map of that name in o; made when there is none.  -ENOTDIR: something else is. */
static int enter(struct json_t *o, const char *key, struct json_t **ret)
{
	struct json_t *in = slu_json_get(o, key);

	if (!in || slu_json_is_null(in)) {
		in = slu_json_object();
		if (slu_json_set(o, key, in) < 0) /* takes it */
			return -ENOMEM;
	}
	if (!slu_json_is_object(in))
		return -ENOTDIR;
	*ret = in;
	return 0;
}

static int set_key(struct json_t *o, const char *path, const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *copy = slu_strdup(path);
	bool flat = false;
	char *key = copy, *dot;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && !flat && (dot = strchr(key, '.'))) {
		*dot = '\0';
		flat = is_flat(key);
		r = enter(o, key, &o);
		if (r == 0)
			key = dot + 1;
	}
	if (r == -ENOTDIR)
		return slu_fail(e, EINVAL, "'%s' cannot be set: '%s' is no map", path, key);
	if (r == 0 && !*key)
		return slu_fail(e, EINVAL, "'%s' names no key: it ends in a dot", path);
	if (r == 0)
		r = slu_json_set(o, key, value_of(slu_json_get(o, key), text));
	return r < 0 ? slu_fail_oom(e) : 0;
}

int spec_override(const struct spec_file *f, const struct json_t *overrides, struct slu_err *e)
{
	const struct json_t *set = slu_json_get(overrides, "set");
	int r = 0;

	for (void *it = slu_json_iter(set); it && r == 0; it = slu_json_next(set, it)) {
		const char *text = slu_json_string(slu_json_iter_value(it));

		r = text ? set_key(slu_yaml_root(f->yaml), slu_json_iter_key(it), text, e)
			 : slu_fail(e, EINVAL, "what '%s' is set to is text",
				    slu_json_iter_key(it));
	}
	return r < 0 ? r : set_inputs(f, slu_json_get(overrides, "inputs"), e);
}
