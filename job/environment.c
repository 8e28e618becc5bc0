/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of environments, read into one form.  Every file that one names is taken in here: a run that begins
 * later, or on another day, has what was written when it was made.  Nothing is installed here.
 */
#include "job/environment.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/context.h"
#include "job/environment_requirements.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_MAX = 1 << 20 };

static const char *const map_keys[] = {
	"$schema", "name",    "version",          "description",      "tags", "properties", "image",
	"build",   "os_type", "inference_config", "creation_context", "id",   "conda_file", NULL};
static const char *const conda_keys[] = {"name",      "channels", "dependencies",
					 "variables", "prefix",   NULL};

/* --- conda --- */

/* "https://HOST/t/TOKEN/..." is how conda writes a token. */
static int check_conda(const char *text, struct slu_err *e)
{
	const char *host = slu_after(text, "https://");

	if (strpbrk(text, "\r\n"))
		return slu_fail(e, EINVAL, "a channel or dependency of conda is one line of text");
	if (slu_requirements_has_user(text) ||
	    (host && slu_starts(host + strcspn(host, "/"), "/t/")))
		return slu_fail(
			e, EINVAL,
			"a channel or dependency of conda has a user or a token in its URL, "
			"which would be kept with the run: put it into .condarc instead");
	return 0;
}

static int check_channels(const struct json_t *channels, struct slu_err *e)
{
	if (channels && !slu_json_is_null(channels) && !slu_json_is_array(channels))
		return slu_fail(e, EINVAL, "'channels' of a conda file is a list");
	int r = 0;

	for (size_t i = 0; i < slu_json_count(channels) && r == 0; i++) {
		const char *text = slu_json_string(slu_json_at(channels, i));

		r = text ? check_conda(text, e)
			 : slu_fail(e, EINVAL, "a channel of conda is one line of text");
	}
	return r;
}

static int add_dependency(struct json_t *deps, const struct json_t *one, const char *dir,
			  struct slu_requirements *q, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *map = NULL;
	int r = slu_json_string(one) ? check_conda(slu_json_string(one), e) : 0;

	if (r < 0)
		return r;
	if (slu_json_string(one))
		return slu_json_append(deps, slu_json_new_str(slu_json_string(one))) < 0
			       ? slu_fail_oom(e)
			       : 0;
	if (!slu_json_is_array(slu_json_get(one, "pip")) || slu_json_count(one) != 1)
		return slu_fail(e, EINVAL, "a dependency of conda is text, or a map {pip: [...]}");
	map = slu_json_object();
	r = slu_requirements_list(q, slu_json_get(one, "pip"), dir, e);
	if (r == 0 && (slu_json_set(map, "pip", slu_json_ref(q->lines)) < 0 ||
		       slu_json_append(deps, slu_json_ref(map)) < 0))
		r = slu_fail_oom(e);
	return r;
}

static int add_dependencies(struct json_t *o, const struct json_t *all, const char *dir,
			    struct slu_err *e)
{
	SLU_AUTO(slu_requirements_done) struct slu_requirements q;
	SLU_AUTO(slu_json_freep) struct json_t *deps = slu_json_array();
	int r = slu_requirements_new(&q, e);
	bool pip = false;

	for (size_t i = 0; i < slu_json_count(all) && r == 0; i++) {
		const struct json_t *one = slu_json_at(all, i);

		if (pip && slu_json_get(one, "pip"))
			return slu_fail(e, EINVAL, "a conda file has one list of 'pip'");
		pip |= slu_json_get(one, "pip") != NULL;
		r = add_dependency(deps, one, dir, &q, e);
	}
	if (r == 0 && slu_json_set(o, "dependencies", slu_json_ref(deps)) < 0)
		r = slu_fail_oom(e);
	return r < 0 ? r : slu_requirements_put(&q, o, e);
}

/* {channels, dependencies: [text, {pip: [...]}], constraints}, with the requirements taken in. */
static int read_conda(const struct slu_yaml *y, const struct json_t *v, const char *dir,
		      struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct json_t *all = slu_json_get(v, "dependencies");
	const struct json_t *channels = slu_json_get(v, "channels");
	int r = slu_yaml_known_keys(y, v, conda_keys, e);

	if (r == 0 && !slu_json_is_array(all))
		r = slu_fail(e, EINVAL, "a conda file has a list of 'dependencies'");
	if (r == 0)
		r = check_channels(channels, e);
	if (r < 0)
		return r;
	if (!o || slu_json_set_str(o, "name", slu_json_str(v, "name")) < 0 ||
	    (channels && slu_json_set(o, "channels", slu_json_copy(channels)) < 0))
		return slu_fail_oom(e);
	r = add_dependencies(o, all, dir, e);
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

/* --- files and maps --- */

/* It becomes an argument of docker or podman, which would take it for an option.  NULL fine. */
static int check_image(const char *image, struct slu_err *e)
{
	return !image || *image != '-' ? 0
				       : slu_fail(e, EINVAL,
						  "'%s' is no image: its name begins with a letter "
						  "or a digit",
						  image);
}

static int read_map(const struct slu_yaml *y, const struct json_t *v, const char *dir,
		    struct json_t **ret, struct slu_err *e);

static int from_yaml(const char *path, bool conda_only, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object(), *conda = NULL;
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(path);
	int r = slu_yaml_read_file(path, TEXT_MAX, &y, e);
	const struct json_t *root = r == 0 ? slu_yaml_root(y) : NULL;

	if (r < 0)
		return r;
	if (!o || !dir)
		return slu_fail_oom(e);
	if (!conda_only && !slu_json_get(root, "dependencies"))
		return read_map(y, root, dir, ret, e);
	r = read_conda(y, root, dir, &conda, e);
	if (r < 0)
		return slu_fail_more(e, "'%s'", path);
	if (conda_only) {
		*ret = slu_take(conda);
		return 0;
	}
	if (slu_json_set_str(o, "name", slu_json_str(root, "name")) < 0 ||
	    slu_json_set(o, "conda", slu_json_ref(conda)) < 0)
		return slu_fail_oom(e);
	slu_json_del(conda, "name");
	*ret = slu_take(o);
	return 0;
}

/* {pip, constraints} */
static int put_requirements(const struct slu_requirements *q, struct json_t **ret,
			    struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = slu_json_set(o, "pip", slu_json_ref(q->lines)) < 0 ? slu_fail_oom(e)
								   : slu_requirements_put(q, o, e);

	if (r == 0)
		*ret = slu_take(o);
	return r;
}

static int from_requirements(const char *path, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_requirements_done) struct slu_requirements q;
	int r = slu_requirements_new(&q, e);

	if (r == 0)
		r = slu_requirements_file(&q, path, e);
	return r < 0 ? slu_fail_more(e, "'%s'", path) : put_requirements(&q, ret, e);
}

int slu_environment_read_file(const char *path, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	int r = 0;

	/* Files that it names are beside it, not beside the root. */
	if (path[0] != '/')
		r = slu_path_absolute(path, &abs, e);
	if (r < 0)
		return r;
	path = abs ? abs : path;
	return slu_ends(path, ".txt") || slu_ends(path, ".in") ? from_requirements(path, ret, e)
							       : from_yaml(path, false, ret, e);
}

static int put_conda(const struct slu_yaml *y, const struct json_t *v, const char *dir,
		     struct json_t *o, struct slu_err *e)
{
	const struct json_t *c = slu_json_get(v, "conda_file");
	const char *text = slu_json_string(c);
	SLU_AUTO(slu_json_freep) struct json_t *conda = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	int r;

	if (!c || slu_json_is_null(c))
		return 0;
	if (text) {
		const char *plain = slu_after(text, "file:");

		text = plain ? plain : text;
		path = text[0] == '/' ? slu_strdup(text) : slu_asprintf("%s/%s", dir, text);
		r = path ? from_yaml(path, true, &conda, e) : slu_fail_oom(e);
	} else if (slu_json_is_object(c)) {
		r = read_conda(y, c, dir, &conda, e);
	} else {
		r = slu_fail(e, EINVAL, "'conda_file' is a file, or what one holds");
	}
	if (r == 0 && (slu_json_set(o, "conda", slu_json_ref(conda)) < 0 ||
		       (!slu_json_str(o, "name") &&
			slu_json_set_str(o, "name", slu_json_str(conda, "name")) < 0)))
		r = slu_fail_oom(e);
	slu_json_del(conda, "name");
	return r;
}

/* Names and versions may be written as numbers. */
static int put_scalar(struct json_t *o, const char *key, const struct json_t *v)
{
	SLU_AUTO(slu_freep)
	char *text = slu_json_is_int(v)   ? slu_asprintf("%lld", (long long)slu_json_integer(v))
		     : slu_json_string(v) ? slu_strdup(slu_json_string(v))
					  : NULL;

	return slu_json_set_str(o, key, text);
}

#define PIP                                                                                        \
	"packages of pip are a list, 'environment: [PACKAGE, ...]', or a file, 'environment: "     \
	"./requirements.txt'"
#define CONDA                                                                                      \
	"packages of conda stand in 'conda_file: FILE.yml' or 'conda_file: {dependencies: [...]}'"

/* Where packages go is what people look for, not the key that is spelt most alike. */
static int check_keys(const struct slu_yaml *y, const struct json_t *v, struct slu_err *e)
{
	static const struct {
		const char *key, *instead;
	} others[] = {{"pip", PIP},
		      {"packages", PIP},
		      {"requirements", PIP},
		      {"pip_packages", PIP},
		      {"dependencies", CONDA},
		      {"channels", CONDA},
		      {"conda_packages", CONDA}};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (slu_json_get(v, others[i].key))
			return slu_yaml_fail(y, v, others[i].key, e, "unknown key '%s': %s",
					     others[i].key, others[i].instead);
	return slu_yaml_known_keys(y, v, map_keys, e);
}

static int read_map(const struct slu_yaml *y, const struct json_t *v, const char *dir,
		    struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = slu_json_is_object(v) ? check_keys(y, v, e)
				      : slu_fail(e, EINVAL, "an environment is a map");

	if (r < 0)
		return r;
	if (!o || put_scalar(o, "name", slu_json_get(v, "name")) < 0 ||
	    put_scalar(o, "version", slu_json_get(v, "version")) < 0 ||
	    slu_json_set_str(o, "image", slu_json_str(v, "image")) < 0 ||
	    (slu_json_get(v, "build") && slu_json_set_bool(o, "build", true) < 0))
		return slu_fail_oom(e);
	r = check_image(slu_json_str(o, "image"), e);
	if (r == 0)
		r = put_conda(y, v, dir, o, e);
	if (r == 0 && !slu_json_get(o, "image") && !slu_json_get(o, "build") &&
	    !slu_json_get(o, "conda"))
		r = slu_fail(e, EINVAL,
			     "an environment has an 'image', a 'conda_file' or a 'build'");
	if (r == 0)
		*ret = slu_take(o);
	return r;
}

/* --- references --- */

/* azureml:NAME:VERSION, azureml:NAME@LABEL, azureml://registries/R/environments/NAME/...: {"ref": NAME}. */
static int from_ref(const char *text, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const char *in = strstr(text, "/environments/");
	const char *p = in ? in + strlen("/environments/") : slu_after(text, "azureml:");
	SLU_AUTO(slu_freep) char *name = slu_strndup(p, strcspn(p, ":@/"));

	if (!name || !o || slu_json_set_str(o, "ref", name) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

static int from_text(const char *text, const char *dir, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	const char *plain = slu_after(text, "file:");
	struct stat st;

	if (slu_starts(text, "azureml:"))
		return from_ref(text, ret, e);
	text = plain ? plain : text;
	path = text[0] == '/' ? slu_strdup(text) : slu_asprintf("%s/%s", dir, text);
	if (!path)
		return slu_fail_oom(e);
	if (plain || slu_ends(text, ".yml") || slu_ends(text, ".yaml") || slu_ends(text, ".txt") ||
	    stat(path, &st) == 0)
		return slu_environment_read_file(path, ret, e);
	if (!strpbrk(text, ":/"))
		return slu_fail(
			e, EINVAL,
			"environment '%s' is no file beside this one; one of config.json is "
			"azureml:%s",
			text, text);
	int r = check_image(text, e);

	if (r < 0)
		return r;
	o = slu_json_object(); /* what is left is an image */
	if (!o || slu_json_set_str(o, "image", text) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

static int read_value(const struct slu_yaml *y, const struct json_t *v, const char *dir,
		      struct json_t **ret, struct slu_err *e)
{
	if (slu_json_string(v))
		return from_text(slu_json_string(v), dir, ret, e);
	if (!slu_json_is_array(v))
		return read_map(y, v, dir, ret, e);

	SLU_AUTO(slu_requirements_done) struct slu_requirements q;
	int r = slu_requirements_new(&q, e);

	if (r == 0)
		r = slu_requirements_list(&q, v, dir, e);
	return r < 0 ? r : put_requirements(&q, ret, e);
}

/* Does a message name a place in this very file? */
static bool is_placed(const struct slu_yaml *y, const struct json_t *o, const char *msg)
{
	struct slu_err here = {0};
	char *end;

	slu_yaml_fail(y, o, NULL, &here, "@");
	end = strstr(here.msg, "': @");
	/* "'FILE:LINE:COLUMN" */
	for (int colons = 0; end && end > here.msg && colons < 2; colons += *end == ':')
		end--;
	return end && end > here.msg && strncmp(msg, here.msg, (size_t)(end - here.msg) + 1) == 0;
}

int slu_environment_read(const struct slu_yaml *y, const struct json_t *o, const char *key,
			 const char *dir, struct json_t **ret, struct slu_err *e)
{
	const struct json_t *v = slu_json_get(o, key);
	struct slu_err why = {0};
	int r;

	*ret = NULL;
	if (!v || slu_json_is_null(v))
		return 0;
	r = read_value(y, v, dir, ret, &why);
	if (r == 0 || r == -ENOMEM)
		return r < 0 ? slu_fail_oom(e) : 0;
	return is_placed(y, o, why.msg) ? slu_fail(e, -r, "%s", why.msg)
					: slu_yaml_fail(y, o, key, e, "%s", why.msg);
}

/* An entry has the form that YAML has; its files are beside config.json. */
static int from_entry(const struct slu_workspace *w, const char *name, const struct json_t *entry,
		      struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *wrap = slu_json_object();
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;

	if (slu_json_set(wrap, "environment", slu_json_copy(entry)) < 0 ||
	    !(text = slu_json_text(wrap, SLU_JSON_COMPACT)))
		return slu_fail_oom(e);
	/* JSON is YAML: positions would be those of this line, so only the text is kept. */
	int r = slu_yaml_parse(text, strlen(text), "environments", &y, e);

	if (r == 0)
		r = read_value(y, slu_json_get(slu_yaml_root(y), "environment"), w->dir, ret, e);
	if (r == 0 && slu_json_str(*ret, "ref"))
		r = slu_fail(e, EINVAL, "it names another one");
	if (r == 0 && !slu_json_str(*ret, "name") && slu_json_set_str(*ret, "name", name) < 0)
		r = slu_fail_oom(e);
	return r < 0 ? slu_fail_more(e, "environment '%s' of config.json", name) : 0;
}

int slu_environment_resolve(struct sluice *s, const struct json_t *def, struct json_t **ret,
			    struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	const char *name = slu_json_str(def, "ref");
	const struct json_t *all = w ? slu_json_get(w->config, "environments") : NULL;

	*ret = NULL;
	if (!def)
		return 0;
	if (!name) {
		*ret = slu_json_copy(def);
		return *ret ? 0 : slu_fail_oom(e);
	}
	return slu_json_get(all, name) ? from_entry(w, name, slu_json_get(all, name), ret, e) : 0;
}

char *slu_environment_title(const struct json_t *def)
{
	const char *name = slu_json_str(def, "name");

	name = name ? name : slu_json_str(def, "ref");
	if (!name)
		name = slu_json_get(def, "conda") ? "conda dependencies"
		       : slu_json_get(def, "pip") ? "requirements"
						  : slu_json_str(def, "image");
	return slu_strdup(name ? name : "build");
}
