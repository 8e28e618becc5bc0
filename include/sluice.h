/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsluice: data lakes opened onto compute nodes.
 *
 * An open workspace (struct sluice) resolves a reference into a view: files staged on disk, a FUSE
 * mount, or a URI that Hadoop and Spark read.  It registers datasets as versions and runs jobs.
 *
 * References (`ref`): azureml:// URIs short and long, azureml:NAME:VERSION, azureml:NAME@latest,
 * NAME@VERSION, NAME (its latest version), STORE:path (a datastore of the workspace), file://, plain
 * paths (absolute, or starting with a dot); paths may hold globs.  See sluice-uri(7).
 *
 * Results: 0 or a negative errno value; *e (when not NULL) then holds one line that names the object
 * and the remedy.  Strings and JSON texts returned through `char **ret` belong to the caller:
 * sluice_free().  Outputs are set only on success.  All calls block, and may be made from any thread
 * unless a call says otherwise; one struct sluice may be used by many threads at once.  Call
 * sluice_open() after a fork, not before: threads do not survive one.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

/* --- basics --- */

struct sluice;        /* an open workspace */
struct sluice_view;   /* an open view */
struct sluice_file;   /* an object open for reading */
struct sluice_writer; /* an object that is being written */

struct sluice_error {
	int code;          /* positive errno value, 0 = none */
	char service[40];  /* the service's own error code, or "" */
	char message[640]; /* one line, no newline, no secrets */
};

SLUICE_API const char *sluice_version(void); /* "0.1.0" */
SLUICE_API void sluice_free(void *p);        /* memory that this library returned; NULL is fine */
/* The exit status that the command uses for a result (sluice(1), EXIT STATUS). */
SLUICE_API int sluice_exit_code(int rc);

/* level: 0 error, 1 warning, 2 info, 3 debug.  fn NULL: stderr.  Secrets are redacted before. */
typedef void sluice_log_fn(void *user, int level, const char *module, const char *line);
SLUICE_API void sluice_set_log(sluice_log_fn *fn, void *user, int max_level);

/* --- the workspace --- */

/* Makes dir/config.json with an embedded local datastore "workspaceblobstore".  One that is there
 * already: -EEXIST. */
SLUICE_API int sluice_init(const char *dir, const char *name, char **ret_config_path,
			   struct sluice_error *e);

#define SLUICE_OPTIONAL 1u /* no workspace found is no error: URIs and paths still work */
#define SLUICE_OF_STEP 2u  /* in a step of a job none is looked for: its run's broker answers */

/* path: a config file, a folder to search from upward as Workspace.from_config does, or NULL for
 * the current folder. */
SLUICE_API int sluice_open(const char *path, unsigned flags, struct sluice **ret,
			   struct sluice_error *e);
SLUICE_API void sluice_close(struct sluice *s);
SLUICE_API int sluice_workspace(struct sluice *s, char **ret_json, struct sluice_error *e);
/* Checks of the machine and the workspace: [{"check","ok","level","detail","remedy","facts"?}].  level: "ok", "note"
 * (only some uses need it) or "wrong".  s may be NULL. */
SLUICE_API int sluice_doctor(struct sluice *s, char **ret_json, struct sluice_error *e);

/* --- datastores --- */

/* entry_json: {"type": "local", "path": ...}, ...; credentials by reference only (-EINVAL else).
 * Listed, read and written to as a trial, which leaves nothing, unless flags has SLUICE_NO_PROBE; what cannot be
 * listed or read is refused.  A name in use: -EEXIST unless flags has SLUICE_OVERWRITE. */
SLUICE_API int sluice_datastore_create(struct sluice *s, const char *name, const char *entry_json,
				       unsigned flags, struct sluice_error *e);
/* changes_json: an object of the keys to set; those that are null are removed.  The type stays. */
SLUICE_API int sluice_datastore_update(struct sluice *s, const char *name, const char *changes_json,
				       unsigned flags, struct sluice_error *e);
SLUICE_API int sluice_datastore_set_default(struct sluice *s, const char *name,
					    struct sluice_error *e);
/* Forgets it and touches no data.  -EBUSY: it is the default one, or the registry is in it. */
SLUICE_API int sluice_datastore_unregister(struct sluice *s, const char *name,
					   struct sluice_error *e);
/* [{"right": "list|read|write|delete", "allowed": "yes|no|unknown", "detail"}], by trying; nothing is left behind.
 * name NULL: the default one. */
SLUICE_API int sluice_datastore_test(struct sluice *s, const char *name, char **ret_json,
				     struct sluice_error *e);
/* A datastore YAML file of Azure ML, or a list as `az ml datastore list` prints it, as entries for
 * sluice_datastore_create: [{"name", "entry", "notes"}], in a list also {"name", "type", "skipped": why}.
 * name: of the one that is in it; NULL: the file's.  "-": standard input. */
SLUICE_API int sluice_datastore_read(const char *path, const char *name, char **ret_json,
				     struct sluice_error *e);
SLUICE_API int sluice_datastore_list(struct sluice *s, char **ret_json, struct sluice_error *e);
SLUICE_API int sluice_datastore_show(struct sluice *s, const char *name, char **ret_json,
				     struct sluice_error *e);

/* --- objects --- */

struct sluice_entry {
	const char *path; /* as listed: relative to the listed folder; valid during the callback */
	int is_dir;
	uint64_t size;    /* bytes */
	int64_t mtime_ns; /* wall clock, ns since 1970 */
	const char
		*identity; /* what reads are pinned to, "" for folders; valid during the callback */
	/* Of a stat: a JSON object of what the store keeps beside, such as owner, permissions, tier, metadata;
	 * NULL: nothing, and in listings; valid during the callback */
	const char *detail;
};
/* Non-zero ends the listing and is returned. */
typedef int sluice_entry_fn(void *user, const struct sluice_entry *entry);

#define SLUICE_RECURSIVE 1u
#define SLUICE_OVERWRITE 2u
#define SLUICE_NO_SYNC 4u
#define SLUICE_DRY_RUN 8u
#define SLUICE_UPDATE 16u            /* copy what is not there, or differs */
#define SLUICE_SKIP 32u              /* copy what is not there; what is, is no failure */
#define SLUICE_NO_SUPERVISOR 64u     /* mount: gone with the process that serves it */
#define SLUICE_REHASH 128u           /* download: what is there is read again before it is kept */
#define SLUICE_NO_RECORD 256u        /* download: leave no .sluice-complete */
#define SLUICE_IGNORE_NOT_FOUND 512u /* download: files that vanished are warned of */
#define SLUICE_NO_PROBE 1024u        /* plan: read no data; datastores: try nothing */

SLUICE_API int sluice_list(struct sluice *s, const char *ref, unsigned flags, sluice_entry_fn *fn,
			   void *user, struct sluice_error *e);
/* fn once; of a pattern once for each file that matches, in the order of the paths. */
SLUICE_API int sluice_stat(struct sluice *s, const char *ref, sluice_entry_fn *fn, void *user,
			   struct sluice_error *e);
/* Pinned: later reads of an object that changed give -ESTALE. */
SLUICE_API int sluice_file_open(struct sluice *s, const char *ref, struct sluice_file **ret,
				uint64_t *ret_size, struct sluice_error *e);
/* Fills buf unless the end comes first; *ret_got < n only there. */
SLUICE_API int sluice_file_pread(struct sluice_file *f, void *buf, size_t n, uint64_t off,
				 size_t *ret_got, struct sluice_error *e);
/* What it is pinned to, as sluice_stat() tells it; "" where the store tells nothing.  Valid until the close. */
SLUICE_API const char *sluice_file_identity(const struct sluice_file *f);
SLUICE_API void sluice_file_close(struct sluice_file *f);
/* Non-zero ends it and is returned.  f is open during the call, and not to be closed by it. */
typedef int sluice_opened_fn(void *user, const char *path, struct sluice_file *f, uint64_t size);
/* Opens one file, or one after the other all that a pattern matches, in the order of the paths, each
 * pinned to what it was when it was listed. */
SLUICE_API int sluice_file_each(struct sluice *s, const char *ref, sluice_opened_fn *fn, void *user,
				struct sluice_error *e);

/* Begins to write a file of a length that nobody knows yet, with bounded memory.  ref: a path of a store,
 * no folder (-EISDIR).  flags: SLUICE_OVERWRITE, else what is there is -EEXIST, now and again at the
 * commit; SLUICE_NO_SYNC.  One thread at a time uses a writer; the workspace stays open until it is freed. */
SLUICE_API int sluice_writer_open(struct sluice *s, const char *ref, unsigned flags,
				  struct sluice_writer **ret, struct sluice_error *e);
/* After a failure nothing but sluice_writer_free() is left to do. */
SLUICE_API int sluice_writer_write(struct sluice_writer *w, const void *p, size_t n,
				   struct sluice_error *e);
/* The file appears, whole.  Once. */
SLUICE_API int sluice_writer_commit(struct sluice_writer *w, struct sluice_error *e);
/* Without a commit nothing was written, and what was there before stays.  NULL is fine. */
SLUICE_API void sluice_writer_free(struct sluice_writer *w);

struct sluice_progress {
	uint64_t files, files_total, bytes, bytes_total;
};
typedef int sluice_progress_fn(void *user, const struct sluice_progress *p); /* non-zero cancels */

/* What becomes of bytes whose stored MD5 says otherwise. */
#define SLUICE_CHECK_DIFFERENT 0 /* an error; none stored is fine */
#define SLUICE_CHECK_MISSING 1   /* none stored is an error too */
#define SLUICE_CHECK_LOG 2       /* a warning */
#define SLUICE_CHECK_OFF 3

/* A file that failed (error), or, with SLUICE_DRY_RUN, that would be copied or removed (error NULL, to
 * NULL when it would be removed).  Paths begin with
 * the operands as they were given.  Valid during the callback; the thread of the call. */
typedef void sluice_file_fn(void *user, const char *path, const char *to, uint64_t size,
			    const struct sluice_error *error);

struct sluice_copy_totals {
	uint64_t files, bytes, skipped, failed; /* bytes: of what was copied, or begun */
};

struct sluice_copy_options {
	size_t size;    /* sizeof(struct sluice_copy_options) */
	unsigned flags; /* SLUICE_RECURSIVE, SLUICE_OVERWRITE, SLUICE_NO_SYNC, SLUICE_DRY_RUN,
			 * SLUICE_UPDATE, SLUICE_SKIP */
	unsigned jobs;  /* files at once, 0 = chosen */
	int check;      /* SLUICE_CHECK_... */
	/* {"content_type", "tier", "metadata": {}, "tags": {}} of what is written, where the store
	 * keeps such things (-ENOTSUP else); NULL: none. */
	const char *properties_json;
	sluice_progress_fn *progress;
	sluice_file_fn *file;
	void *user; /* of both */
	/* Patterns, NULL ends them; NULL: all.  One without '/' is matched against the file's name, one
	 * with it against its path below the source.  exclude wins. */
	const char *const *include, *const *exclude;
	struct sluice_copy_totals *totals; /* what was done, also of a failure; NULL */
};
#define SLUICE_COPY_OPTIONS_INIT                                                                   \
	{                                                                                          \
		sizeof(struct sluice_copy_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                   \
	}

/* Copies files, patterns, and with SLUICE_RECURSIVE folders, between any two places.  dst ending in '/',
 * being a folder, or several sources: into it.  Nothing is replaced without SLUICE_OVERWRITE (-EEXIST).
 * With SLUICE_UPDATE a file is skipped that is there with the same length and, where both places keep an
 * MD5, the same one; else one that is not older than its source.
 * Each file appears whole; when one fails the others go on and the first failure is the result. */
SLUICE_API int sluice_copy(struct sluice *s, const char *const *src, size_t n, const char *dst,
			   const struct sluice_copy_options *o, struct sluice_error *e);
/* Renames a file or folder within one datastore, in one atomic step: -ENOTSUP where the store has none (flat
 * Blob containers) and between datastores.  dst ending in '/' or being a folder: into it.  What is there is
 * replaced with SLUICE_OVERWRITE only (-EEXIST), a folder only when it is empty. */
SLUICE_API int sluice_move(struct sluice *s, const char *src, const char *dst, unsigned flags,
			   struct sluice_error *e);
/* Makes a folder and those above it; one that is there is fine, a file is -EEXIST.  In a flat Blob container, where
 * folders are only parts of names, it is an empty blob that Hadoop takes for one, too.  The root of a Blob datastore is
 * its container, which is made if the credential may. */
SLUICE_API int sluice_mkdir(struct sluice *s, const char *ref, struct sluice_error *e);
struct sluice_remove_options {
	size_t size;                                 /* sizeof(struct sluice_remove_options) */
	unsigned flags;                              /* SLUICE_RECURSIVE, SLUICE_DRY_RUN */
	const char *const *include, *const *exclude; /* as in struct sluice_copy_options */
	sluice_file_fn *file;                        /* NULL: not told */
	void *user;
};
#define SLUICE_REMOVE_OPTIONS_INIT                                                                 \
	{                                                                                          \
		sizeof(struct sluice_remove_options), 0, 0, 0, 0, 0                                \
	}

/* Deletes a file, what a pattern matches, or with SLUICE_RECURSIVE a folder and all in it.  Datasets and
 * the root of a datastore are refused (-EINVAL).  o may be NULL. */
SLUICE_API int sluice_remove(struct sluice *s, const char *ref,
			     const struct sluice_remove_options *o, struct sluice_error *e);

/* --- datasets --- */

/* spec_json: {"name", "type": "uri_file|uri_folder|mltable", "path" or "paths", "version"?,
 * "description"?, "tags"?, "delimited"? {read_delimited options}}.  Returns the record. */
SLUICE_API int sluice_data_create(struct sluice *s, const char *spec_json, char **ret_json,
				  struct sluice_error *e);
SLUICE_API int sluice_data_show(struct sluice *s, const char *ref, char **ret_json,
				struct sluice_error *e);
/* A dataset without a name, which is found by its id: spec_json as for sluice_data_create() without
 * "name", and "rows": steps over the rows of a table.  Saving the same twice gives the same id.  Returns
 * what sluice_data_show() says. */
SLUICE_API int sluice_data_save(struct sluice *s, const char *spec_json, char **ret_json,
				struct sluice_error *e);
/* name NULL: the newest version of each name; else all versions of it.  Without archived ones. */
SLUICE_API int sluice_data_list(struct sluice *s, const char *name, char **ret_json,
				struct sluice_error *e);
/* The same by {"name", "tags": {KEY: VALUE, or null for any}, "all_versions", "archived": these too,
 * "archived_only"}, all of them optional.  Records with what holds now. */
SLUICE_API int sluice_data_search(struct sluice *s, const char *search_json, char **ret_json,
				  struct sluice_error *e);
/* Changes what is said about a version: {"tags": {set}, "remove_tags": [...], "description",
 * "archived": bool, "unregistered": true, "all": every version of the name}.  Each change is a record
 * beside the version, which itself never changes; what changes nothing writes nothing.  An archived
 * version is not listed and not the latest; an unregistered one is not found any more (-ENOENT), its
 * number never used again and no data touched.  Returns the record, with "all" an array. */
SLUICE_API int sluice_data_update(struct sluice *s, const char *ref, const char *change_json,
				  char **ret_json, struct sluice_error *e);
/* All such changes of a version, the oldest first: [{"fact", "time", "change", "state"}]. */
SLUICE_API int sluice_data_history(struct sluice *s, const char *ref, char **ret_json,
				   struct sluice_error *e);
/* The files of a dataset with the columns that a partition_format makes of their paths; format NULL: the dataset's
 * own.  where: conditions that a file has to meet, "COLUMN=VALUE", also != < <= > >=, NULL at the end; NULL: none.
 * Texts that are numbers are compared as such; of a time its beginning will do ("2026-01").  fn gets
 * {"path", "size", "columns": {NAME: TEXT or null}}, valid during the call; non-zero ends it and is returned. */
typedef int sluice_row_fn(void *user, const char *json);
SLUICE_API int sluice_data_partitions(struct sluice *s, const char *ref, const char *format,
				      const char *const *where, sluice_row_fn *fn, void *user,
				      struct sluice_error *e);
/* Clears away what crashed writers left in the registry, only what is provably sluice's own and pointed to by nothing;
 * what is younger than grace (s) stays, but for claims of runs that are over.  flags: SLUICE_DRY_RUN.  Returns
 * [{"what": "claim|note|generation|segment|temporary|dataset|manifest", "path", "bytes", "removed"}]. */
SLUICE_API int sluice_gc(struct sluice *s, double grace, unsigned flags, char **ret_json,
			 struct sluice_error *e);
SLUICE_API int sluice_data_manifest(struct sluice *s, const char *ref, char **ret_text,
				    struct sluice_error *e);
/* Who made it from what: {"run", "output", "inputs": [{..., "inputs": [...]}]}. */
SLUICE_API int sluice_data_lineage(struct sluice *s, const char *ref, char **ret_json,
				   struct sluice_error *e);
/* What was made from it: {"ref", "dataset", "used_by": [{"registered", "version", "run", ..., "used_by"},
 * {"run", "status", "output", ...}]}. */
SLUICE_API int sluice_data_used_by(struct sluice *s, const char *ref, char **ret_json,
				   struct sluice_error *e);

#define SLUICE_SAME 0
#define SLUICE_ADDED 1
#define SLUICE_REMOVED 2
#define SLUICE_CHANGED 3

struct sluice_difference {
	int what; /* SLUICE_SAME ... */
	const char *path;
	uint64_t before, after; /* sizes, 0 where the file is not there */
};
typedef int sluice_difference_fn(void *user, const struct sluice_difference *d);

struct sluice_difference_totals {
	uint64_t same, added, removed, changed;
};

/* From dataset a to b (any references), file by file in the order of the paths; a path is looked at as it
 * is now.  fn may be NULL.  Bytes are read only where neither place nor checksum tells. */
SLUICE_API int sluice_data_diff(struct sluice *s, const char *a, const char *b,
				sluice_difference_fn *fn, void *user,
				struct sluice_difference_totals *totals, struct sluice_error *e);
/* Does the store still hold what the version pins?  Removed and changed files: no.  Added ones are what
 * its definition would take beside, now; the version does not have them. */
SLUICE_API int sluice_data_verify(struct sluice *s, const char *ref, sluice_difference_fn *fn,
				  void *user, struct sluice_difference_totals *totals,
				  struct sluice_error *e);
/* Copies the bytes of a version to a place of their own, and has it read from there from now on: what
 * becomes of its source does not matter any more.  to: a folder; NULL: sluice-frozen/<manifest> in the
 * datastore that it is in; in a folder .snapshot of HDFS: the very files, which are not copied.  Begun again it goes on; one that is frozen stays as it is.  Returns the
 * record. */
SLUICE_API int sluice_data_freeze(struct sluice *s, const char *ref, const char *to,
				  sluice_progress_fn *fn, void *user, char **ret_json,
				  struct sluice_error *e);
/* The same by versions that the store keeps of each file (Blob with versioning): nothing is copied, and what was
 * overwritten or removed since is found as long as it is kept.  Views other than Hadoop's read it, until somebody
 * removes a version from the store.  sluice_data_freeze may follow, to have a copy after all.  -ENOTSUP: the store
 * keeps no versions; -ESTALE: not those. */
SLUICE_API int sluice_data_pin(struct sluice *s, const char *ref, char **ret_json,
			       struct sluice_error *e);
/* The first rows (0: 10) of delimited text or JSON lines, as the definition or else the file's name says:
 * {"format", "columns", "rows": [[text, null or JSON value]], "files", "bytes_read", "notes"}.  No more is
 * read than they need; text is shown as UTF-8.  -ENOTSUP: it is no text. */
SLUICE_API int sluice_data_preview(struct sluice *s, const char *ref, uint64_t rows,
				   char **ret_json, struct sluice_error *e);
/* The columns, by the first 200 rows: [{"name", "type": boolean|int|float|datetime|string|object,
 * "nulls"}]. */
SLUICE_API int sluice_data_schema(struct sluice *s, const char *ref, char **ret_json,
				  struct sluice_error *e);
/* Registers what a reference leads to (an id, an output of a job, a version, a path): {"name", "ref",
 * "version"?, "description"?, "tags"?, "create_new_version"?}.  A name that is taken by something else
 * is -EEXIST unless create_new_version.  Returns the record. */
SLUICE_API int sluice_data_register(struct sluice *s, const char *spec_json, char **ret_json,
				    struct sluice_error *e);

/* --- views --- */

/* What a download does about what is in its target: Azure ML's copy policies.  What an earlier download put
 * there, as the dataset has it still, is never in the way, and not fetched again. */
#define SLUICE_POLICY_FAIL 0     /* anything else there: -ENOTEMPTY */
#define SLUICE_POLICY_CONFLICT 1 /* a file's name that is taken: -EEXIST; others stay */
#define SLUICE_POLICY_MERGE 2    /* files are replaced; others stay.  As SLUICE_OVERWRITE */
#define SLUICE_POLICY_APPEND 3   /* what is there stays as it is */
#define SLUICE_POLICY_REPLACE 4  /* all else in the target is removed first */

struct sluice_download_totals {
	uint64_t files, bytes; /* fetched; bytes also of what was begun */
	uint64_t resumed;      /* bytes that an unfinished download had left */
	uint64_t there, kept; /* files that were there as they should be; that POLICY_APPEND left */
	uint64_t missing, failed; /* files: vanished (SLUICE_IGNORE_NOT_FOUND); not to be had */
	uint64_t cloned; /* bytes had by reflinks, from the disk cache or a local datastore */
};

struct sluice_view_options {
	size_t size;           /* sizeof(struct sluice_view_options) */
	unsigned flags;        /* SLUICE_OVERWRITE, SLUICE_NO_SYNC, SLUICE_REHASH, SLUICE_NO_RECORD,
		       * SLUICE_IGNORE_NOT_FOUND (download); SLUICE_NO_SUPERVISOR (mount) */
	unsigned jobs;         /* download: files in flight, 0 = chosen */
	int allow_other;       /* mount: other users may read */
	int64_t io_timeout_ns; /* mount: every request is answered by then; 0 = 60 s */
	const char *
		manifest; /* digest of a manifest in the registry to use instead of resolving; NULL */
	sluice_progress_fn *progress;
	void *user;
	const char *log; /* mount: file for the log of the serving process, NULL = none */
	int check;       /* download: SLUICE_CHECK_... */
	const char *const
		*settings; /* "name=value" of sluice_settings(), NULL at the end; NULL: none */
	int policy;        /* download: SLUICE_POLICY_... */
	sluice_file_fn
		*file; /* download: of files that failed; the others go on.  NULL: not told */
	struct sluice_download_totals
		*totals; /* download: what was done, also of a failure; NULL */
};
#define SLUICE_VIEW_OPTIONS_INIT                                                                   \
	{                                                                                          \
		sizeof(struct sluice_view_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0          \
	}

/* The settings of a view ("mount" or "download") as they would hold now, and where each comes from:
 * [{"name", "value", "origin", "default", "variable", "aliases", "help"}].  settings: as in struct
 * sluice_view_options.  -EINVAL: one makes no sense. */
SLUICE_API int sluice_settings(struct sluice *s, const char *view, const char *const *settings,
			       char **ret_json, struct sluice_error *e);
/* Options may be NULL.  download: returns when all files are there.  What was fetched survives a failure
 * and a kill: the same call again goes on from there. */
SLUICE_API int sluice_download(struct sluice *s, const char *ref, const char *target,
			       const struct sluice_view_options *o, struct sluice_view **ret,
			       struct sluice_error *e);
/* What that call would do; target NULL: into an empty folder.  Nothing in the target changes.
 * {"files", "bytes", "there_files", "there_bytes", "kept_files", "fetch_files", "fetch_bytes", "requests",
 * "estimate_ms", "probe_requests", "probe_bytes", "probe_ms", "refused"}: estimate_ms is reckoned from the
 * probe_requests that were made and measured, refused says why it would not begin; both only when there is one.
 * Uses manifest, jobs, settings, policy and flags of the options; flags may have SLUICE_NO_PROBE. */
SLUICE_API int sluice_plan(struct sluice *s, const char *ref, const char *target,
			   const struct sluice_view_options *o, char **ret_json,
			   struct sluice_error *e);
/* Is what is in the folder dir what the dataset ref has, or, ref NULL, what its last download put there?
 * Every file is read again and its checksum compared.  {"same": bool, "files", "bytes", "unchecked",
 * "missing", "different", "extra", "unreadable", "found": [{"path", "what", "why"}, ...]}: files and bytes
 * are there and right, unchecked of them have no checksum that anybody knows; of found at most 10,000.
 * Uses manifest, jobs, progress and user of the options. */
SLUICE_API int sluice_verify(struct sluice *s, const char *dir, const char *ref,
			     const struct sluice_view_options *o, char **ret_json,
			     struct sluice_error *e);
/* Returns when the mount is usable.  It is served by a process of its own, which outlives this one:
 * sluice_view_close() unmounts, sluice_view_free() without close leaves it. */
SLUICE_API int sluice_mount(struct sluice *s, const char *ref, const char *mountpoint,
			    const struct sluice_view_options *o, struct sluice_view **ret,
			    struct sluice_error *e);
SLUICE_API int sluice_hdfs(struct sluice *s, const char *ref, struct sluice_view **ret,
			   struct sluice_error *e);
/* The settings by which programs reach what the view names, secrets among them, in a file of mode 0600 (one
 * that is there is replaced).  form "spark": properties for spark-submit --properties-file, those of
 * SPARK_CONF_DIR, else SPARK_HOME/conf, included; "hadoop": a core-site.xml for hadoop fs -conf.  -EPERM: the
 * driver would run where others see its settings. */
SLUICE_API int sluice_view_save(const struct sluice_view *v, const char *form, const char *path,
				struct sluice_error *e);
SLUICE_API const char *sluice_view_where(
	const struct sluice_view *v); /* folder, mount point, URI */
SLUICE_API const char *sluice_view_properties(
	const struct sluice_view *v); /* hdfs: JSON, else NULL */
SLUICE_API int sluice_view_wait(struct sluice_view *v, struct sluice_error *e);
SLUICE_API int sluice_view_close(struct sluice_view *v, struct sluice_error *e); /* idempotent */
SLUICE_API void sluice_view_free(struct sluice_view *v);

/* Serves a mount in this process until it ends.  For the command; one a process.  -ETIMEDOUT: the store
 * has not given back all requests in time; end the process then, without sluice_close(). */
SLUICE_API int sluice_mount_serve(struct sluice *s, const char *ref, const char *mountpoint,
				  const struct sluice_view_options *o, int ready_fd,
				  int lifeline_fd, struct sluice_error *e);
/* The same as the worker of a mount that another process supervises; worker_fd: its socket. */
SLUICE_API int sluice_mount_work(struct sluice *s, const char *ref, const char *mountpoint,
				 const struct sluice_view_options *o, int worker_fd,
				 struct sluice_error *e);
/* Keeps a mount through the deaths of the process that serves it, until the mount ends.  For the command,
 * before it opens anything: this program is started as argv[0] argv[1] --worker-fd=N argv[2]..., which
 * has to call sluice_mount_work(). */
SLUICE_API int sluice_mount_supervise(const char *const *argv, int ready_fd, int lifeline_fd,
				      struct sluice_error *e);
/* timeout_ns < 0: as SLUICE_UNMOUNT_TIMEOUT says, 10 s. */
/* Hands a mount over to the program that is installed now; open files stay good.  -ENOTSUP: it has no
 * supervisor; -ENOEXEC: that program cannot, and the one from before goes on. */
SLUICE_API int sluice_mount_upgrade(const char *mountpoint, struct sluice_error *e);
SLUICE_API int sluice_unmount(const char *mountpoint, int64_t timeout_ns, struct sluice_error *e);

/* What mounts of this user did since they began, NULL: all of them: [{"mount": {"where", ...}, "stats",
 * "reader", "ahead", "cache", "verdict": a sentence that names what reading waits for}]; one that does not
 * answer within seconds has "error" instead.  before: an earlier answer, for a sentence about the time
 * since then, or NULL. */
SLUICE_API int sluice_mount_stats(const char *mountpoint, const char *before, char **ret_json,
				  struct sluice_error *e);
/* The next name of an order, valid until the next call; NULL: that was all. */
typedef const char *sluice_path_fn(void *user);
/* Tells a mount in which order its files will be read, such as the shuffled one of an epoch: they are fetched
 * before they are read, while next() still tells.  Names are relative to the mount point, or whole.  The
 * order takes the place of the one before; next NULL: there is none any more.  ret_json (may be NULL):
 * {"known", "unknown", "twice", "unknown_names": the first few}.  -ENOENT, -ECONNREFUSED: no process
 * serves the mount; -ECANCELED: another order came meanwhile. */
SLUICE_API int sluice_mount_prefetch(const char *mountpoint, sluice_path_fn *next, void *user,
				     char **ret_json, struct sluice_error *e);

/* --- the disk cache --- */

/* One for each user and node, shared by mounts, downloads and sluice_file_pread() when it is wanted:
 * settings "cache", "cache_dir", "cache_size" and the like.  s may be NULL for the first three; settings as in
 * struct sluice_view_options, may be NULL.
 *
 * {"files", "complete", "bytes", "dir", "max_bytes", "reserve_bytes", "free_bytes", "stores"} */
SLUICE_API int sluice_cache_stat(struct sluice *s, const char *const *settings, char **ret_json,
				 struct sluice_error *e);
/* Checks every block and drops what is wrong: {"files", "blocks", "bytes", "bad_blocks",
 * "dropped_files", "leftover_files"}; leftovers are of processes that were killed, and no harm. */
SLUICE_API int sluice_cache_verify(struct sluice *s, const char *const *settings, char **ret_json,
				   struct sluice_error *e);
/* Empties it, also while it is used: {"files", "bytes"}. */
SLUICE_API int sluice_cache_clear(struct sluice *s, const char *const *settings, char **ret_json,
				  struct sluice_error *e);
/* Reads all files of ref that are not whole in it: {"files", "bytes", "fetched_bytes"}.  -ENOSPC: not all of it
 * fits; -ENOTSUP: ref is local. */
SLUICE_API int sluice_cache_warm(struct sluice *s, const char *ref, const char *const *settings,
				 sluice_progress_fn *fn, void *user, char **ret_json,
				 struct sluice_error *e);

/* --- computes and linked services --- */

/* Adds an entry to "computes" of config.json: {"type": "local" | "spark" | "livy" | "synapsespark" | ..., ...} (docs/compute.md).
 * flags: SLUICE_OVERWRITE.  -EEXIST; -EINVAL: a name, type or key that cannot be; -ENOENT: its linked service. */
SLUICE_API int sluice_compute_create(struct sluice *s, const char *name, const char *entry_json,
				     unsigned flags, struct sluice_error *e);
/* A compute file of Azure ML (CLI v2): {"name", "entry", "notes": [TEXT]}. */
SLUICE_API int sluice_compute_read(const char *path, char **ret_json, struct sluice_error *e);
SLUICE_API int sluice_compute_list(struct sluice *s, char **ret_json, struct sluice_error *e);
SLUICE_API int sluice_compute_show(struct sluice *s, const char *name, char **ret_json,
				   struct sluice_error *e);
/* Lets it go.  delete refuses one that is attached (-EPERM); both the default one (-EBUSY). */
SLUICE_API int sluice_compute_detach(struct sluice *s, const char *name, struct sluice_error *e);
SLUICE_API int sluice_compute_delete(struct sluice *s, const char *name, struct sluice_error *e);
/* Sessions that this workspace keeps on Livy servers, of one compute or all (NULL): [{"compute", "session" (-1: not
 * known yet), "state", "idle" (seconds), "ends", "run" (that uses it), "steps", "cold_start"}].  Those whose time is
 * over are deleted on the way; "unreachable" is a state. */
SLUICE_API int sluice_compute_sessions(struct sluice *s, const char *name, char **ret_json,
				       struct sluice_error *e);
/* Deletes them (session: one, -1: all of the compute).  -EBUSY: a run uses one; -ENOENT: no such session. */
SLUICE_API int sluice_compute_stop(struct sluice *s, const char *name, int64_t session,
				   struct sluice_error *e);

/* {"name", "type", "subscription_id", "resource_group", "workspace", "endpoint", "resource_id", ...} */
SLUICE_API int sluice_linked_service_create(struct sluice *s, const char *name,
					    const char *entry_json, unsigned flags,
					    struct sluice_error *e);
SLUICE_API int sluice_linked_service_list(struct sluice *s, char **ret_json,
					  struct sluice_error *e);
SLUICE_API int sluice_linked_service_show(struct sluice *s, const char *name, char **ret_json,
					  struct sluice_error *e);
/* -EBUSY: a compute uses it. */
SLUICE_API int sluice_linked_service_unregister(struct sluice *s, const char *name,
						struct sluice_error *e);

/* --- environments --- */

/* Those that are kept in the user's cache: [{"key", "name", "kind", "python", "packages", "created", "seconds",
 * "path"}], and one of them: by its key, the beginning of one, or a name. */
SLUICE_API int sluice_environment_list(struct sluice *s, char **ret_json, struct sluice_error *e);
SLUICE_API int sluice_environment_show(struct sluice *s, const char *key, char **ret_json,
				       struct sluice_error *e);
/* Makes what an environment, conda or requirements file says, or finds it: {"key", "name", "path", "cached",
 * "seconds", "notes"}.  python: the interpreter, NULL: python3.  Blocks; SLUICE_ENVIRONMENT_TIMEOUT bounds it. */
SLUICE_API int sluice_environment_build(struct sluice *s, const char *path, const char *python,
					char **ret_json, struct sluice_error *e);
/* -EBUSY: a step uses it. */
SLUICE_API int sluice_environment_delete(struct sluice *s, const char *key, struct sluice_error *e);

/* --- jobs --- */

/* Checks the job file, snapshots its code, makes the run and starts its supervisor, a process of its
 * own.  settings_json: {"inputs": {name: ref}, "set": {"settings.default_compute": text, ...}, "name": run id,
 * "force_rerun": true, "strict": true} to override, or NULL.  force_rerun: no step takes what an earlier run of it wrote.  strict: what would be
 * replaced by something else here is refused. */
SLUICE_API int sluice_job_create(struct sluice *s, const char *yaml_path, const char *settings_json,
				 char **ret_run_id, struct sluice_error *e);
/* Checks only, and makes nothing: {"type", "steps": [{"name", "type", "compute"}], "notes": [TEXT]}. */
SLUICE_API int sluice_job_validate(struct sluice *s, const char *yaml_path,
				   const char *settings_json, char **ret_json,
				   struct sluice_error *e);
/* Makes a run again from the record of one that is over.  settings_json: {"steps": [NAMES], "name": run id} or NULL.  Of a
 * pipeline these steps run, and those that need them (NULL: those that did not complete); the others take
 * what they wrote.  Code is taken from where it was. */
SLUICE_API int sluice_job_rerun(struct sluice *s, const char *run_id, const char *settings_json,
				char **ret_run_id, struct sluice_error *e);
SLUICE_API int sluice_job_show(struct sluice *s, const char *run_id, char **ret_json,
			       struct sluice_error *e);
/* Runs, newest first.  query_json, or NULL: {"archived": "no" (default), "yes" (too) or "only", "status": STATUS,
 * "experiment": NAME, "parent": RUN (its steps), "older_than": "30d" (ended so long ago), "limit": N}. */
SLUICE_API int sluice_job_search(struct sluice *s, const char *query_json, char **ret_json,
				 struct sluice_error *e);
SLUICE_API int sluice_job_list(struct sluice *s, char **ret_json,
			       struct sluice_error *e); /* search with NULL */
/* {"run", "step", "status", "time", ...} as states change, children included; the text is valid during
 * the call.  Non-zero stops watching and is returned. */
typedef int sluice_event_fn(void *user, const char *event_json);
/* Until a compute lets us in, at most so many seconds: {"compute", "status": "Creating" | "Succeeded" | "Failed",
 * "reason"} as it goes on.  -EACCES: what it takes is in the message. */
SLUICE_API int sluice_compute_wait(struct sluice *s, const char *name, uint64_t seconds,
				   sluice_event_fn *fn, void *user, struct sluice_error *e);
/* Until the run has ended: 0 Completed, -ECHILD Failed, -ECANCELED Canceled.  fn may be NULL. */
SLUICE_API int sluice_job_watch(struct sluice *s, const char *run_id, sluice_event_fn *fn,
				void *user, struct sluice_error *e);
/* The run as one HTML file that needs nothing else: graph, time, steps, data, logs (long ones cut in the
 * middle), lineage, computes.  A run that goes on is shown as it is now. */
SLUICE_API int sluice_job_report(struct sluice *s, const char *run_id, char **ret_html,
				 struct sluice_error *e);
/* The same, and what the programs print, as {"run", "step", "output": TEXT}. */
SLUICE_API int sluice_job_stream(struct sluice *s, const char *run_id, sluice_event_fn *fn,
				 void *user, struct sluice_error *e);
SLUICE_API int sluice_job_cancel(struct sluice *s, const char *run_id, struct sluice_error *e);
/* Of runs that are over (else -EBUSY) and no steps (-EINVAL).  Archived ones are not listed.  Deleting removes record, code
 * and logs of the run and its steps; data that it wrote stays, registered or not. */
SLUICE_API int sluice_job_archive(struct sluice *s, const char *run_id, struct sluice_error *e);
SLUICE_API int sluice_job_restore(struct sluice *s, const char *run_id, struct sluice_error *e);
SLUICE_API int sluice_job_delete(struct sluice *s, const char *run_id, struct sluice_error *e);
/* Into directory (NULL: "."): artifacts/ (logs, and `outputs` of the folder that the program ran in), or with settings_json
 * {"output": NAME} named-outputs/NAME, or with {"all": true} both; of a pipeline's steps below their names.
 * {"run", "directory", "files", "bytes"}. */
SLUICE_API int sluice_job_download(struct sluice *s, const char *run_id, const char *directory,
				   const char *settings_json, char **ret_json,
				   struct sluice_error *e);
/* The supervisor itself: runs the job to its end in this process.  For the command. */
SLUICE_API int sluice_job_supervise(struct sluice *s, const char *run_id, struct sluice_error *e);
typedef void sluice_line_fn(void *user, int stream, const char *line);
/* The program of a step on a Livy server: sends its batch and follows it; states (stream 1) and the log (0: stdout, 1:
 * stderr) go to fn, on any thread.  Blocks SIGTERM, on which it deletes the batch and exits.  For the command. */
SLUICE_API int sluice_job_batch(struct sluice *s, const char *run_id, sluice_line_fn *fn,
				void *user, struct sluice_error *e);

#ifdef __cplusplus
}
#endif
#endif
