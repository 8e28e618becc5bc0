/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: registering datasets and asking about them.
 */
#include "tools/cmd_define.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/yaml.h"

#include <errno.h>
#include <string.h>

#define DATA_FILE_MAX (1u << 20)

static const char *const data_keys[] = {"$schema",
					"name",
					"version",
					"type",
					"path",
					"description",
					"tags",
					"paths",
					"delimited",
					"json_lines",
					"parquet",
					"delta_lake",
					"from",
					"transformations",
					"partition_format",
					"properties",
					"id",
					"creation_context",
					"auto_delete_setting",
					"intellectual_property",
					"stage",
					"datastore",
					NULL};

/* Those of Azure ML's schema that nothing here reads. */
static const char *const idle[] = {"properties",
				   "id",
				   "creation_context",
				   "auto_delete_setting",
				   "intellectual_property",
				   "stage",
				   "datastore"};

/* What can be seen to be wrong in the file itself is told at its place. */
static int check_file(const struct slu_yaml *y, struct slu_err *e)
{
	static const char *const texts[] = {"name", "type", "path", "description"};
	const struct json_t *o = slu_yaml_root(y), *tags = slu_json_get(o, "tags");
	const char *type = slu_json_str(o, "type");

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (slu_json_get(o, texts[i]) && !slu_json_str(o, texts[i]))
			return slu_yaml_fail(y, o, texts[i], e, "'%s' is not text", texts[i]);
	if (type && !slu_streq(type, "uri_file") && !slu_streq(type, "uri_folder") &&
	    !slu_streq(type, "mltable"))
		return slu_yaml_fail(y, o, "type", e,
				     "data of type '%s' is not known: use uri_file, uri_folder or "
				     "mltable",
				     type);
	if (tags && !slu_json_is_object(tags))
		return slu_yaml_fail(y, o, "tags", e, "'tags' is not a map of names and texts");
	return 0;
}

/* Leaves out what has no effect, with a note; a number as version is text (3.10 would not stay what it is). */
static int settle_file(struct cli *c, const char *path, struct json_t *spec)
{
	const struct json_t *version = slu_json_get(spec, "version");
	SLU_AUTO(slu_freep) char *text = NULL;

	for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
		if (slu_json_get(spec, idle[i]) && !c->json)
			fprintf(stderr, "note: '%s': '%s' has no effect here\n", path, idle[i]);
		slu_json_del(spec, idle[i]);
	}
	if (slu_json_is_int(version)) { /* `version: 3` */
		text = slu_json_text(version, SLU_JSON_COMPACT);
		if (!text || slu_json_set_str(spec, "version", text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A data asset file (az ml data create -f): the spec itself, its relative path relative to the file. */
static int spec_from_file(struct cli *c, const char *path, struct json_t **ret)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	struct sluice_error e = {0};
	struct slu_err er = {0};
	int r = slu_yaml_read_file(path, DATA_FILE_MAX, &y, &er);

	if (r == 0)
		r = slu_yaml_known_keys(y, slu_yaml_root(y), data_keys, &er);
	if (r == 0)
		r = check_file(y, &er);
	if (r < 0) {
		snprintf(e.message, sizeof e.message, "%s", er.msg);
		return cli_fail(c, r, &e);
	}
	struct json_t *spec = slu_json_copy(slu_yaml_root(y));
	const char *ref = slu_json_str(spec, "path");

	if (!spec || settle_file(c, path, spec) < 0) {
		slu_json_free(spec);
		return sluice_exit_code(-ENOMEM);
	}
	if (ref && (slu_starts(ref, "./") || slu_starts(ref, "../"))) {
		SLU_AUTO(slu_freep)
		char *dir = slu_strndup(path, (size_t)(slu_path_base(path) - path));
		SLU_AUTO(slu_freep) char *abs = NULL;
		SLU_AUTO(slu_freep) char *joined = dir ? slu_asprintf("%s%s", dir, ref) : NULL;

		r = joined ? slu_path_absolute(joined, &abs, &er) : -ENOMEM;
		if (r == 0)
			r = slu_json_set_str(spec, "path", abs);
		if (r < 0) {
			snprintf(e.message, sizeof e.message, "%s", er.msg);
			slu_json_free(spec);
			return cli_fail(c, r, &e);
		}
	}
	*ret = spec;
	return 0;
}

static int add_tags(struct cli *c, struct json_t *spec)
{
	const char *pair;
	struct json_t *tags = slu_json_get(spec, "tags");

	for (size_t i = 0; (pair = cli_nth(c, "tag", i)); i++) {
		if (!tags && slu_json_set(spec, "tags", slu_json_object()) == 0)
			tags = slu_json_get(spec, "tags");
		int r = cli_pair(tags, pair);

		if (r == -EINVAL)
			return cli_usage(c, "--tag wants KEY=VALUE, not '%s'", pair);
		if (r < 0)
			return sluice_exit_code(r);
	}
	return 0;
}

static int add_paths(struct cli *c, struct json_t *spec)
{
	const char *path = cli_get(c, "path");

	if (!path)
		return 0;
	if (!cli_nth(c, "path", 1))
		return slu_json_set_str(spec, "path", path);
	struct json_t *list = slu_json_array();

	for (size_t i = 0; (path = cli_nth(c, "path", i)); i++)
		if (slu_json_append(list, slu_json_new_str(path)) < 0) {
			slu_json_free(list);
			return -ENOMEM;
		}
	return slu_json_set(spec, "paths", list);
}

static int add_plain(struct cli *c, struct json_t *spec)
{
	static const char *const plain[] = {"name", "type", "version", "description", "from"};
	int r = slu_json_set_str(spec, "partition_format", cli_get(c, "partition-format"));

	for (size_t i = 0; r == 0 && i < sizeof plain / sizeof *plain; i++)
		r = slu_json_set_str(spec, plain[i], cli_get(c, plain[i]));
	if (r == 0 && cli_has(c, "no-new-version"))
		r = slu_json_set_bool(spec, "create_new_version", false);
	return r;
}

/* What is still missing; NULL: nothing. */
static const char *lacking(const struct json_t *spec)
{
	if (!slu_json_str(spec, "name"))
		return "--name is missing";
	if (slu_json_get(spec, "path") || slu_json_get(spec, "paths") || slu_json_get(spec, "from"))
		return NULL;
	return "--path is missing, or --from";
}

int cmd_data_create(struct cli *c)
{
	SLU_AUTO(slu_json_freep) struct json_t *spec = NULL;
	const char *file = cli_get(c, "file");
	struct sluice_error e;
	char *text;
	int r = file ? spec_from_file(c, file, &spec) : 0;

	if (r)
		return r;
	if (!spec)
		spec = slu_json_object();
	r = add_plain(c, spec);
	r = r ? r : add_paths(c, spec);
	r = r ? r : define_steps(c, spec);
	r = r ? r : define_reading(c, spec);
	r = r ? r : add_tags(c, spec);
	if (r)
		return r < 0 ? sluice_exit_code(r) : r;
	const char *lacks = lacking(spec);

	if (lacks)
		return cli_usage(c, "%s", lacks);
	SLU_AUTO(slu_freep) char *json = slu_json_text(spec, SLU_JSON_COMPACT);

	r = cli_open(c, 0);
	if (r)
		return r;
	r = sluice_data_create(c->s, json, &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

/* The verbs that ask one thing about one reference. */
static int ask(struct cli *c,
	       int (*call)(struct sluice *, const char *, char **, struct sluice_error *))
{
	struct sluice_error e;
	char *text;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = call(c->s, c->args[0], &text, &e);
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, NULL);
}

int cmd_data_show(struct cli *c)
{
	return ask(c, sluice_data_show);
}

int cmd_data_lineage(struct cli *c)
{
	return ask(c, cli_has(c, "down") ? sluice_data_used_by : sluice_data_lineage);
}

/* A field of a manifest line, decoded, as a member.  Moves *p past it. */
static int add_field(struct json_t *o, const char *key, char **p)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	const char *field = strsep(p, " ");
	int64_t n;

	if (!field)
		return -EBADMSG;
	if (slu_streq(key, "size") || slu_streq(key, "mtime_ns"))
		return slu_i64(field, INT64_MIN, INT64_MAX, &n) ? slu_json_set_int(o, key, n)
								: -EBADMSG;
	if (slu_streq(key, "checksum") && slu_streq(field, "-"))
		return 0;
	if (!slu_url_decode(&b, field, strlen(field)) || slu_buf_err(&b) < 0)
		return -EBADMSG;
	return slu_json_set_str(o, key, b.p ? b.p : "");
}

/* One object a line, as `ls` does: {"path", "size", ...} of a file, {"prefix", "source"} of a source. */
static int manifest_line(char *line)
{
	static const char *const of_file[] = {"size", "mtime_ns", "identity", "checksum", "path"};
	static const char *const of_source[] = {"prefix", "source"};
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	bool source = slu_starts(line, "source ");
	const char *const *keys = source ? of_source : of_file;
	size_t n = source ? 2 : 5;

	if (!source && (line[0] < '0' || line[0] > '9'))
		return 0; /* the first line and the last */
	line += source ? strlen("source ") : 0;
	for (size_t i = 0; i < n; i++) {
		int r = add_field(o, keys[i], &line);

		if (r < 0)
			return r;
	}
	SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_COMPACT);

	return text && puts(text) >= 0 ? 0 : -ENOMEM;
}

int cmd_data_manifest(struct cli *c)
{
	struct sluice_error e = {0};
	char *text, *rest, *line;
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_data_manifest(c->s, c->args[0], &text, &e);

	if (r < 0)
		return cli_fail(c, r, &e);
	if (!c->json)
		fputs(text, stdout);
	rest = c->json ? text : NULL;
	while (r == 0 && (line = strsep(&rest, "\n")))
		r = manifest_line(line);
	sluice_free(text);
	return r < 0 ? cli_fail(c, r, &e) : 0;
}
