/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: the sorted file list of one resolved dataset.  What a mount serves its metadata
 * from, what a version pins, what an output's run wrote.  Text, one line a file:
 *
 *   sluice-manifest 1
 *   source <prefix> <uri>              one or more; prefix "." = none
 *   <size> <mtime ns> <identity> <checksum or -> <path>
 *   end <files> <bytes>                without it the text is cut: -EBADMSG
 *
 * One whose files are pinned to earlier states that the store keeps begins with "sluice-manifest 2", and
 * each line has, before the path, "versionid=..." as the service names it, or "-".
 *
 * Paths, URIs and identities have %, control bytes and space percent-encoded.  Paths are view
 * paths: unique, sorted by bytes, valid relative store paths.  A file lies at
 * <uri>/<path without its source's prefix>; of several sources each has a prefix, none in another.
 */
#ifndef SLU_FS_MANIFEST_H
#define SLU_FS_MANIFEST_H

#include "common/cleanup.h"
#include "fs/op.h"

struct slu_buf;
struct slu_manifest; /* immutable once finished; any thread */

struct slu_file {
	const char *path; /* all strings live as long as the manifest */
	const char *id;
	const char *sum;     /* "" = unknown */
	const char *version; /* "" = what is current; else as of struct slu_op */
	uint64_t size;
	int64_t mtime_ns;
};

struct slu_msource {
	const char *prefix; /* "" or a folder */
	const char *uri;    /* folder the paths are relative to */
};

int slu_manifest_new(struct slu_manifest **ret); /* empty, open for adding */
int slu_manifest_add_source(struct slu_manifest *m, const char *prefix, const char *uri);
int slu_manifest_add(struct slu_manifest *m, const char *path, const struct slu_attr *a);
/* All that is known of a file of another manifest, under the path; version: another one than it has, NULL: its own. */
int slu_manifest_add_file(struct slu_manifest *m, const char *path, const struct slu_file *f,
			  const char *version);
/* Sorts and checks.  The same path twice, or a file where another path has a folder ("a" and "a/b"):
 * -EINVAL naming both.  After it the manifest is immutable. */
int slu_manifest_finish(struct slu_manifest *m, struct slu_err *e);
void slu_manifest_free(struct slu_manifest *m);
SLU_DEFINE_CLEANUP(struct slu_manifest *, slu_manifest_free, slu_manifest_freep)

/* A new one with the same sources, of the files that takes() says.  -ENOMEM only. */
int slu_manifest_choose(const struct slu_manifest *m,
			bool (*takes)(void *user, const struct slu_file *f), void *user,
			struct slu_manifest **ret, struct slu_err *e);
bool slu_manifest_pinned(const struct slu_manifest *m); /* does a file of it have a version? */
/* The most that a version may have, with the NUL; and is it one, of characters that a URI may have? */
#define SLU_STATE_MAX 128
bool slu_manifest_version_ok(const char *version);

size_t slu_manifest_count(const struct slu_manifest *m);
uint64_t slu_manifest_bytes(const struct slu_manifest *m); /* sum of sizes */
const struct slu_file *slu_manifest_at(const struct slu_manifest *m, size_t i);
size_t slu_manifest_find(const struct slu_manifest *m, const char *path); /* SIZE_MAX: absent */
/* First entry whose path is >= path. */
size_t slu_manifest_lower(const struct slu_manifest *m, const char *path);
size_t slu_manifest_sources(const struct slu_manifest *m);
const struct slu_msource *slu_manifest_source(const struct slu_manifest *m, size_t i);
/* Which source file i belongs to, and its path there (inside f->path). */
size_t slu_manifest_locate(const struct slu_manifest *m, size_t i, const char **ret_path);

int slu_manifest_write(const struct slu_manifest *m, struct slu_buf *out); /* 0 or -errno */
int slu_manifest_save(const struct slu_manifest *m,
		      int fd); /* the same to a file, piece by piece */
/* The same, piece by piece, to a function; its error, or -ENOMEM, -EINVAL. */
int slu_manifest_stream(const struct slu_manifest *m,
			int (*put)(void *user, const void *p, size_t n), void *user);
/* Strict; the text may go away afterwards.  -EBADMSG, "'<what>:<line>': ...". */
int slu_manifest_parse(const char *text, size_t n, const char *what, struct slu_manifest **ret,
		       struct slu_err *e);
/* Takes the text that it was parsed from, so that saving need not write it anew, or lets go of the
 * one that it has (NULL, 0). */
void slu_manifest_keep_text(struct slu_manifest *m, char *text, size_t n);
#define SLU_DIGEST_HEX 65
int slu_manifest_digest(const struct slu_manifest *m,
			char out[SLU_DIGEST_HEX]); /* SHA-256 of the text */

#endif
