/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A local folder to its destination, some files at a time.  The folder is read as a store of its own,
 * so symlinks that leave it are errors and a file that changes under the copy is noticed.  Names that
 * exist at the destination are found before anything is copied.
 */
#include "dataset/output_parts.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "dataset/gang.h"
#include "fs/local.h"
#include "fs/walk.h"
#include "fs/writer.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_AT_A_TIME 8u
#define CHUNK (1u << 20)

struct upload {
	struct slu_output *o;
	struct slu_store *src;
	const struct slu_manifest *files; /* in src */
	struct slu_attr *attrs;           /* as committed */
};

static char *target_of(const struct slu_output *o, const struct slu_file *f)
{
	return slu_output_is_file(o) ? slu_strdup(o->path) : slu_path_join(o->path, f->path);
}

static int copy_bytes(struct slu_store *src, const struct slu_file *f, struct slu_writer *w,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *buf = slu_malloc(f->size < CHUNK ? f->size + 1 : CHUNK);
	int r = 0;

	if (!buf)
		return slu_fail_oom(e);
	for (uint64_t off = 0; r == 0 && off < f->size;) {
		size_t n = f->size - off < CHUNK ? (size_t)(f->size - off) : CHUNK;
		struct slu_op op;

		slu_op_read(&op, f->path, off, n, buf, f->id);
		r = slu_store_wait(src, &op, e);
		if (r == 0)
			r = slu_writer_write(w, buf, n, e);
		off += n;
	}
	return r;
}

static int upload_one(void *user, size_t i, struct slu_err *e)
{
	struct upload *u = user;
	const struct slu_file *f = slu_manifest_at(u->files, i);
	SLU_AUTO(slu_freep) char *path = target_of(u->o, f);
	SLU_AUTO(slu_writer_freep) struct slu_writer *w = NULL;
	unsigned flags = SLU_OPF_DURABLE | (u->o->overwrite ? 0 : SLU_OPF_ABSENT);

	if (!path)
		return slu_fail_oom(e);
	int r = slu_writer_new(u->o->store, path, flags, NULL, &w, e);

	if (r == 0)
		r = copy_bytes(u->src, f, w, e);
	if (r == 0)
		r = slu_writer_commit(w, &u->attrs[i], e);
	if (r == 0 && u->attrs[i].size != f->size)
		r = slu_fail(e, EIO, "the store has %llu bytes of %llu",
			     (unsigned long long)u->attrs[i].size, (unsigned long long)f->size);
	if (r < 0)
		slu_fail_more(e, "cannot upload '%s' to '%s'", f->path, u->o->uri);
	return r;
}

static int check_names(const struct slu_output *o, const struct slu_manifest *files,
		       struct slu_err *e)
{
	for (size_t i = 0; i < slu_manifest_count(files) && o->before; i++) {
		const char *path = slu_manifest_at(files, i)->path;

		if (slu_manifest_find(o->before, path) != SIZE_MAX)
			return slu_fail(e, EEXIST,
					"'%s' exists at '%s' already: use {run-id} in the "
					"destination, or overwrite",
					path, o->uri);
	}
	return 0;
}

static int uploaded(const struct upload *u, struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	const struct slu_msource *source = slu_manifest_source(u->o->before, 0);

	if (slu_manifest_new(&m) < 0 || slu_manifest_add_source(m, "", source->uri) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_manifest_count(u->files); i++) {
		const char *path = slu_manifest_at(u->files, i)->path;

		if (slu_manifest_add(m, path, &u->attrs[i]) < 0)
			return slu_fail_oom(e);
	}
	int r = slu_manifest_finish(m, e);

	if (r == 0)
		*ret = slu_take(m);
	return r;
}

/* A folder that the program replaced by a link would be read wherever that leads. */
static int check_folder(const struct slu_output *o, struct slu_err *e)
{
	struct stat st;

	if (slu_output_is_file(o) || lstat(o->value, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	return slu_fail(e, EXDEV,
			"'%s' was replaced by a symbolic link: write into the folder, or copy what "
			"the link points to",
			o->value);
}

/* Is the file among those that the user named?  Patterns are relative to the folder. */
static bool is_wanted(const struct slu_output *o, const char *path)
{
	size_t n = slu_json_count(o->source_globs);

	for (size_t i = 0; i < n; i++) {
		const char *glob = slu_json_string(slu_json_at(o->source_globs, i));

		if (glob && slu_glob_match(glob, path))
			return true;
	}
	return n == 0;
}

/* Those of the files that are data, and wanted. */
static int choose(const struct slu_output *o, struct slu_manifest **files, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL, *all = slu_take(*files);

	if (slu_manifest_new(&m) < 0 ||
	    slu_manifest_add_source(m, "", slu_manifest_source(all, 0)->uri) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < slu_manifest_count(all); i++) {
		const struct slu_file *f = slu_manifest_at(all, i);
		struct slu_attr a = slu_output_attr(f);

		if (!slu_output_is_side(all, f->path) && is_wanted(o, f->path) &&
		    slu_manifest_add(m, f->path, &a) < 0)
			return slu_fail_oom(e);
	}
	int r = slu_manifest_finish(m, e);

	if (r == 0)
		r = slu_output_check_left(o, m, e);
	if (r == 0)
		*files = slu_take(m);
	return r;
}

int slu_output_upload(struct sluice *s, struct slu_output *o, struct slu_manifest **ret,
		      struct slu_err *e)
{
	bool file = slu_output_is_file(o);
	SLU_AUTO(slu_freep) char *above = NULL, *uri = NULL;
	SLU_AUTO(slu_store_freep) struct slu_store *src = NULL;
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *files = NULL;
	struct upload u = {.o = o};

	above = file ? slu_path_dir(o->value) : slu_strdup(o->value);
	uri = slu_asprintf("file://%s", o->value);
	if (!above || !uri)
		return slu_fail_oom(e);
	int r = check_folder(o, e);

	if (r == 0)
		r = slu_local_new(above, false, slu_context_pool(s), &src, e);
	if (r == 0)
		r = slu_output_list(src, file ? slu_path_base(o->value) : "", file, uri, o->value,
				    &files, e);
	if (r == 0)
		r = choose(o, &files, e);
	if (r == 0 && !o->overwrite)
		r = check_names(o, files, e);
	if (r < 0)
		return r;
	u.src = src;
	u.files = files;
	u.attrs = slu_calloc(slu_manifest_count(files) + 1, sizeof *u.attrs);
	if (!u.attrs)
		return slu_fail_oom(e);
	r = slu_gang(slu_manifest_count(files), FILES_AT_A_TIME, upload_one, &u, e);
	if (r == 0)
		r = uploaded(&u, ret, e);
	free(u.attrs);
	return r;
}
