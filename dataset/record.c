/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry's places, and reading its small JSON objects.  Everything read is checked: the format
 * number, the kind, and that a record lies where it says it lies, so that a folder copied by hand is
 * an error and not a wrong version.
 */
#include "dataset/record.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/yaml.h"
#include "fs/op.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int slu_registry_open(struct sluice *s, struct slu_registry *ret, struct slu_err *e)
{
	struct slu_registry g;
	int r = slu_context_need_workspace(s, e);

	if (r == 0)
		r = slu_context_root(s, &g.store, &g.root, e);
	if (r == 0)
		*ret = g;
	return r;
}

char *slu_registry_path(const struct slu_registry *g, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	SLU_AUTO(slu_freep) char *rel = slu_vasprintf(fmt, ap);
	va_end(ap);
	return rel ? slu_path_join(g->root, rel) : NULL;
}

int slu_registry_json(const struct slu_registry *g, const char *path, const char *what,
		      struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	size_t n;
	int r = slu_store_get(g->store, path, SLU_RECORD_MAX, &text, &n, e);

	if (r < 0)
		return r == -ENOTDIR ? -ENOENT : r;
	r = slu_json_parse(text, n, path, &j, e);
	if (r < 0) {
		slu_fail_more(e, "%s is damaged", what);
		return r;
	}
	if (!slu_json_is_object(j))
		return slu_fail(e, EBADMSG, "%s is damaged: '%s' is no JSON object", what, path);
	int64_t format = slu_json_int(j, "format", 0);

	if (format > SLU_REGISTRY_FORMAT)
		return slu_fail(e, ENOTSUP,
				"%s was written by a newer sluice (format %lld): install that one",
				what, (long long)format);
	if (format != SLU_REGISTRY_FORMAT)
		return slu_fail(e, EBADMSG, "%s is damaged: '%s' has no format number", what, path);
	*ret = slu_take(j);
	return 0;
}

int slu_registry_dataset_json(const struct slu_registry *g, const char *id, struct json_t **ret,
			      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "datasets/%s.json", id);
	SLU_AUTO(slu_freep) char *what = slu_asprintf("dataset '%s'", id);

	if (!path || !what)
		return slu_fail_oom(e);
	int r = slu_registry_json(g, path, what, ret, e);

	if (r == -ENOENT)
		return slu_fail(e, ENOENT, "there is no dataset with the id '%s'", id);
	return r;
}

char *slu_record_path(const struct slu_registry *g, const char *name, const char *version,
		      const char *file)
{
	return slu_registry_path(g, "data/%s/%s/%s", name, version, file);
}

bool slu_record_is_of(const struct json_t *j, const char *name, const char *version)
{
	const char *n = slu_json_str(j, "name"), *v = slu_json_str(j, "version");

	return n && v && slu_streq(n, name) && slu_streq(v, version);
}

int slu_registry_about(const struct slu_registry *g, const char *path, const char *what,
		       const char *name, const char *version, struct json_t **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (!path || !what)
		return slu_fail_oom(e);
	int r = slu_registry_json(g, path, what, &j, e);

	if (r == -ENOENT)
		return slu_fail(e, ENOENT, "%s does not exist", what);
	if (r < 0)
		return r;
	if (!slu_record_is_of(j, name, version))
		return slu_fail(e, EBADMSG, "%s is damaged: '%s' is about another version", what,
				path);
	*ret = slu_take(j);
	return 0;
}

int slu_record_read(const struct slu_registry *g, const char *name, const char *version,
		    struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_record_path(g, name, version, "record.json");
	SLU_AUTO(slu_freep)
	char *what = slu_asprintf("version '%s' of dataset '%s'", version, name);

	return slu_registry_about(g, path, what, name, version, ret, e);
}

uint64_t slu_record_number(const char *version)
{
	uint64_t n;

	return version[0] >= '1' && version[0] <= '9' && slu_u64(version, &n) && n < INT64_MAX ? n
											       : 0;
}

int slu_record_name_check(const char *name, struct slu_err *e)
{
	if (name && slu_is_name(name))
		return 0;
	return slu_fail(
		e, EINVAL,
		"'%s' is no dataset name: use letters, digits, '_', '-' and '.', at most 255",
		name ? name : "");
}

int slu_record_version_check(const char *version, struct slu_err *e)
{
	if (slu_is_name(version) && !slu_streq(version, "latest"))
		return 0;
	return slu_fail(e, EINVAL,
			"'%s' is no version: use letters, digits, '_', '-' and '.', at most 255, "
			"and not 'latest'",
			version);
}

static int mltable_put(const struct slu_registry *g, const char *path, const char *id,
		       const char *text, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *d = NULL;

	if (text)
		return slu_store_put(g->store, path, text, strlen(text), SLU_OPF_ABSENT, NULL, e);
	int r = slu_registry_dataset_json(g, id, &d, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *yaml = slu_yaml_text(slu_json_get(d, "definition"));

	if (!yaml)
		return slu_fail_oom(e);
	return slu_store_put(g->store, path, yaml, strlen(yaml), SLU_OPF_ABSENT, NULL, e);
}

int slu_record_mltable(const struct slu_registry *g, const struct json_t *record,
		       const struct json_t *dataset)
{
	const char *given = slu_json_str(record, "mltable");
	SLU_AUTO(slu_freep)
	char *yaml = given ? slu_strdup(given) : slu_yaml_text(slu_json_get(dataset, "definition"));
	SLU_AUTO(slu_freep)
	char *path = slu_record_path(g, slu_json_str(record, "name"),
				     slu_json_str(record, "version"), "MLTable");

	if (!path || !yaml)
		return -ENOMEM;
	int r = slu_store_put(g->store, path, yaml, strlen(yaml), SLU_OPF_ABSENT, NULL, NULL);

	return r == -EEXIST ? 0 : r;
}

void slu_record_repair(const struct slu_registry *g, const struct json_t *record)
{
	const char *name = slu_json_str(record, "name"), *id = slu_json_str(record, "dataset");
	const char *version = slu_json_str(record, "version");
	struct slu_err err = {0};
	struct slu_attr a;

	if (!name || !version || !id || slu_store_can(g->store, SLU_CAP_READ_ONLY))
		return;
	SLU_AUTO(slu_freep) char *path = slu_record_path(g, name, version, "MLTable");

	if (!path || slu_registry_stat(g, path, &a, NULL) != -ENOENT)
		return;
	int r = mltable_put(g, path, id, slu_json_str(record, "mltable"), &err);

	if (r < 0 && r != -EEXIST)
		slu_debug("registry", "'%s' not written: %s", path, err.msg);
}

int slu_registry_stat(const struct slu_registry *g, const char *path, struct slu_attr *ret,
		      struct slu_err *e)
{
	struct slu_op op = {0};

	slu_op_stat(&op, path);
	op.flags |= SLU_OPF_FILE;
	int r = slu_store_wait(g->store, &op, e);

	if (r == 0)
		*ret = op.attr;
	return r == -ENOTDIR ? -ENOENT : r;
}

int slu_record_there(const struct slu_registry *g, const char *name, const char *version,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_record_path(g, name, version, "record.json");
	struct slu_attr a;

	return path ? slu_registry_stat(g, path, &a, e) : slu_fail_oom(e);
}

/* Of a length that is known beforehand, so that reading it is one request. */
#define HINT_LEN 41

void slu_record_hint(const struct slu_registry *g, const char *name, uint64_t version, size_t bytes)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "data/%s/latest", name);
	struct slu_err err = {0};
	char number[HINT_LEN], text[HINT_LEN + 1];

	if (!path || slu_store_can(g->store, SLU_CAP_READ_ONLY))
		return;
	snprintf(number, sizeof number, "%llu %zu", (unsigned long long)version, bytes);
	snprintf(text, sizeof text, "%-*s\n", HINT_LEN - 1, number);
	if (slu_store_put(g->store, path, text, HINT_LEN, 0, NULL, &err) < 0)
		slu_debug("registry", "'%s' not written: %s", path, err.msg);
}

uint64_t slu_record_hint_read(const struct slu_registry *g, const char *name, size_t *ret_bytes)
{
	SLU_AUTO(slu_freep) char *path = slu_registry_path(g, "data/%s/latest", name);
	char text[HINT_LEN + 1] = "";
	struct slu_op op = {0};
	uint64_t bytes;
	char *rest = text;

	if (!path)
		return 0;
	slu_op_read(&op, path, 0, HINT_LEN, text, NULL);
	if (slu_store_wait(g->store, &op, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';

	const char *number = strsep(&rest, " "), *size = rest ? strsep(&rest, " ") : NULL;

	*ret_bytes = size && slu_u64(size, &bytes) && bytes <= SLU_RECORD_MAX ? (size_t)bytes : 0;
	return slu_record_number(number);
}

int slu_record_read_sized(const struct slu_registry *g, const char *name, const char *version,
			  size_t bytes, struct json_t **ret)
{
	SLU_AUTO(slu_freep) char *path = slu_record_path(g, name, version, "record.json");
	SLU_AUTO(slu_freep) char *text = slu_calloc(bytes + 1, 1);
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct slu_op op = {0};

	if (!path || !text || !bytes)
		return -ENODATA;
	slu_op_read(&op, path, 0, bytes, text, NULL);
	int r = slu_store_wait(g->store, &op, NULL);

	if (r == 0)
		r = slu_json_parse(text, bytes, path, &j, NULL);
	/* Whatever is strange about it, the usual way finds words for. */
	if (r < 0 || slu_json_int(j, "format", 0) != SLU_REGISTRY_FORMAT ||
	    !slu_record_is_of(j, name, version))
		return -ENODATA;
	*ret = slu_take(j);
	return 0;
}
