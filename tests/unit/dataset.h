/* SPDX-License-Identifier: Apache-2.0 */
/* What unit tests of the registry, inputs and outputs share: a workspace of their own with its
 * embedded store, files in it, and datasets made of them. */
#ifndef SLU_TESTS_DATASET_H
#define SLU_TESTS_DATASET_H

#include "tests/unit/unit.h"

#include "common/mem.h"
#include "dataset/outcome.h"
#include "dataset/registry.h"

#include <errno.h>
#include <sys/stat.h>

#define ROOT ".sluice/root"
#define STORE ".sluice/workspaceblobstore"

struct space {
	struct unit_dir dir;
	struct sluice *s;
};

static inline struct sluice *space_context(const char *path)
{
	struct slu_workspace *ws = NULL;
	struct sluice *s = NULL;
	struct slu_err e = {0};

	if (slu_workspace_find(path, &ws, &e) < 0 || slu_context_new(ws, &s, &e) < 0) {
		fprintf(stderr, "workspace: %s\n", e.msg);
		abort();
	}
	return s;
}

static inline void space_make(struct space *w)
{
	char *config = NULL;
	struct slu_err e = {0};

	unit_dir_make(&w->dir);
	assert_int_equal(slu_workspace_init(w->dir.path, "unit", &config, &e), 0);
	free(config);
	w->s = space_context(w->dir.path);
}

static inline void space_done(struct space *w)
{
	slu_context_free(w->s);
	unit_dir_done(&w->dir);
}

/* A file below the workspace's folder; folders are made.  Plain calls: no fault hits them. */
static inline void space_write(const struct space *w, const char *path, const char *text)
{
	char part[256];

	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
		assert_true(mkdirat(w->dir.fd, part, 0755) == 0 || errno == EEXIST);
	}
	int fd = openat(w->dir.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline char *space_read(const struct space *w, const char *path)
{
	int fd = openat(w->dir.fd, path, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 65536);

	assert_true(fd >= 0);
	assert_true(read(fd, text, 65535) >= 0);
	close(fd);
	return text;
}

static inline bool space_has(const struct space *w, const char *path)
{
	struct stat st;

	return fstatat(w->dir.fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline struct slu_definition *space_definition(const char *type, const char *key,
						      const char *uri)
{
	struct json_t *doc = slu_json_object(), *path = slu_json_object();
	struct json_t *paths = slu_json_array();
	struct slu_definition *def = NULL;
	struct slu_err e = {0};

	slu_json_set_str(path, key, uri);
	slu_json_append(paths, path);
	slu_json_set_str(doc, "type", "mltable");
	slu_json_set(doc, "paths", paths);
	if (slu_definition_from_doc(type, doc, "test", &def, &e) < 0) {
		fprintf(stderr, "definition: %s\n", e.msg);
		abort();
	}
	slu_json_free(doc);
	return def;
}

/* A dataset of one folder of the embedded store, with one file that need not exist: the registry
 * never looks at the data.  Not saved. */
static inline struct slu_dataset *space_dataset(struct sluice *s, const char *folder)
{
	SLU_AUTO(slu_freep) char *uri = slu_uri_datastore("workspaceblobstore", folder);
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = 7, .mtime_ns = 1, .id = "1-7"};
	struct slu_dataset *d = slu_new0(struct slu_dataset);
	struct slu_manifest *m = NULL;
	struct slu_err e = {0};

	d->def = space_definition("uri_folder", "folder", uri);
	if (slu_manifest_new(&m) < 0 || slu_manifest_add_source(m, "", uri) < 0 ||
	    slu_manifest_add(m, "part-0.csv", &a) < 0 || slu_manifest_finish(m, &e) < 0 ||
	    slu_resolve_manifest(s, m, &d->tree, &e) < 0) {
		fprintf(stderr, "dataset: %s\n", e.msg);
		abort();
	}
	return d;
}

/* Saved; its id is returned, the caller frees it. */
static inline char *space_saved(struct sluice *s, const char *folder)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = space_dataset(s, folder);
	struct slu_err e = {0};

	if (slu_registry_save(s, d, &e) < 0) {
		fprintf(stderr, "save: %s\n", e.msg);
		abort();
	}
	return strdup(d->id);
}

static inline void free_id(char **id)
{
	free(*id);
}

/* An outcome with one output "out" that registers `name`. */
static inline struct json_t *space_outcome(const char *run, const char *status, const char *id,
					   const char *name, uint64_t seen)
{
	struct json_t *o = slu_json_object(), *outs = slu_json_object(), *out = slu_json_object();
	struct json_t *reg = slu_json_object();

	slu_json_set_str(reg, "name", name);
	slu_json_set_str(out, "dataset", id);
	slu_json_set(out, "register", reg);
	slu_json_set_int(out, "seen", (int64_t)seen);
	slu_json_set(outs, "out", out);
	slu_json_set_int(o, "format", 1);
	slu_json_set_str(o, "run", run);
	slu_json_set_str(o, "status", status);
	slu_json_set_str(o, "time", "2026-01-31T08:00:00.000000Z");
	slu_json_set(o, "outputs", outs);
	slu_json_set(o, "inputs", slu_json_array());
	return o;
}

#endif
