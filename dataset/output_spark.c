/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Hadoop's committers and Spark leave beside the data: folders of work that is not committed, marks that
 * say what is, checksums.  FileOutputCommitter and the manifest committer write `_SUCCESS` into the folder that
 * was saved to, last and only there; Databricks' protocol writes `_started_ID` and `_committed_ID` into each
 * folder that tasks wrote to; tables have a log of their own.
 */
#include "dataset/output_parts.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#define MARK "_SUCCESS"
#define NAMES_MAX 5 /* told of a list */
#define TEXT_MAX 4096

bool slu_output_is_mark(const char *path)
{
	return slu_streq(slu_path_base(path), MARK);
}

/* `.NAME.crc` beside NAME: what Hadoop's local file system keeps. */
bool slu_output_is_side(const struct slu_manifest *all, const char *path)
{
	const char *base = slu_path_base(path);
	size_t n = strlen(base), folder = (size_t)(base - path);

	if (base[0] != '.' || n < 6 || !slu_ends(base, ".crc"))
		return false;

	SLU_AUTO(slu_freep)
	char *file = slu_asprintf("%.*s%.*s", (int)folder, path, (int)n - 5, base + 1);

	return file && slu_manifest_find(all, file) != SIZE_MAX;
}

/* --- lists of names --- */

struct names {
	struct slu_buf text;
	size_t n;
};

static void add_name(struct names *l, const char *path)
{
	if (l->n++ < NAMES_MAX)
		slu_buf_fmt(&l->text, "%s'%s'", l->text.len ? ", " : "", path);
}

static void end_names(struct names *l)
{
	if (l->n > NAMES_MAX)
		slu_buf_fmt(&l->text, " and %zu more", l->n - NAMES_MAX);
}

/* --- what is not committed --- */

/* Does any folder on the path begin with this? */
static bool is_in(const char *path, const char *begin)
{
	for (const char *p = path; strchr(p, '/'); p = strchr(p, '/') + 1)
		if (slu_starts(p, begin))
			return true;
	return false;
}

/* A committer moves tasks' files out of here and removes it when it is done. */
static bool is_unfinished(const char *path)
{
	return is_in(path, "_temporary/") || is_in(path, ".spark-staging-") ||
	       is_in(path, ".hive-staging_") || is_in(path, "__magic");
}

static char *sibling(const char *path, const char *name, const char *rest)
{
	return slu_asprintf("%.*s%s%s", (int)(slu_path_base(path) - path), path, name, rest);
}

/* A task began, and what it wrote was never committed. */
static bool is_started(const struct slu_manifest *m, const char *path)
{
	const char *id = slu_after(slu_path_base(path), "_started_");
	SLU_AUTO(slu_freep) char *end = id ? sibling(path, "_committed_", id) : NULL;

	return end && slu_manifest_find(m, end) == SIZE_MAX;
}

int slu_output_check_left(const struct slu_output *o, const struct slu_manifest *m,
			  struct slu_err *e)
{
	struct names left = {.text = SLU_BUF(TEXT_MAX)};
	int r = 0;

	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path = slu_manifest_at(m, i)->path;

		if (is_unfinished(path) || is_started(m, path))
			add_name(&left, path);
	}
	end_names(&left);
	if (left.n)
		r = slu_fail(e, EBADMSG,
			     "%s %s left at '%s': the program ended before its commit was done",
			     left.text.p ? left.text.p : "files", left.n > 1 ? "are" : "is",
			     o->uri);
	slu_buf_done(&left.text);
	return r;
}

/* --- what is --- */

static bool has_first(const struct slu_manifest *m, const char *begin)
{
	size_t i = slu_manifest_lower(m, begin);

	return i < slu_manifest_count(m) && slu_starts(slu_manifest_at(m, i)->path, begin);
}

/* Is there a mark, or the log of a table, in the folder path[0, n)? */
static bool is_marked(const struct slu_manifest *m, const char *path, size_t n)
{
	static const char *const begins[] = {"_delta_log/", "_committed_"};
	const char *slash = n ? "/" : "";
	SLU_AUTO(slu_freep) char *mark = slu_asprintf("%.*s%s" MARK, (int)n, path, slash);
	bool found = mark && slu_manifest_find(m, mark) != SIZE_MAX;

	for (size_t i = 0; i < sizeof begins / sizeof *begins && !found; i++) {
		SLU_AUTO(slu_freep)
		char *begin = slu_asprintf("%.*s%s%s", (int)n, path, slash, begins[i]);

		found = begin && has_first(m, begin);
	}
	return found;
}

/* In its folder or above: partitions lie below the folder that was saved to. */
static bool is_committed(const struct slu_manifest *m, const char *path, size_t n)
{
	for (size_t k = n;; k--) {
		if ((k == n || k == 0 || path[k] == '/') && is_marked(m, path, k))
			return true;
		if (k == 0)
			return false;
	}
}

int slu_output_check_commits(const struct slu_output *o, const struct slu_manifest *m,
			     struct slu_err *e)
{
	struct names missing = {.text = SLU_BUF(TEXT_MAX)};
	const char *folder = NULL; /* the one found good last */
	size_t len = 0;
	int r = 0;

	for (size_t i = 0; i < slu_manifest_count(m); i++) {
		const char *path = slu_manifest_at(m, i)->path, *base = slu_path_base(path);
		size_t n = base > path ? (size_t)(base - path) - 1 : 0;

		if (!slu_starts(base, "part-"))
			continue;
		if (folder && n == len && memcmp(folder, path, n) == 0)
			continue;
		if (!is_committed(m, path, n)) {
			add_name(&missing, path);
			continue;
		}
		folder = path;
		len = n;
	}
	end_names(&missing);
	if (missing.n)
		r = slu_fail(e, EBADMSG,
			     "%s at '%s' %s no " MARK
			     " of this run: the Spark job did not commit it (or says "
			     "mapreduce.fileoutputcommitter.marksuccessfuljobs=false where sluice "
			     "does not see it: put that into the conf of the job)",
			     missing.text.p ? missing.text.p : "files", o->uri,
			     missing.n > 1 ? "have" : "has");
	slu_buf_done(&missing.text);
	return r;
}

/* --- what is no data --- */

static bool is_data(void *user, const struct slu_file *f)
{
	const char *base = slu_path_base(f->path);

	(void)user;
	return !slu_starts(base, "_started_") && !slu_starts(base, "_committed_");
}

int slu_output_without_marks(struct slu_manifest **m, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *rest = NULL;
	int r = slu_manifest_choose(*m, is_data, NULL, &rest, e);

	if (r == 0) {
		slu_manifest_free(*m);
		*m = slu_take(rest);
	}
	return r;
}
