/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to name data (azureml.md 1.3), parsed and written.  Pure text: nothing is looked up. */
#ifndef SLU_DATASET_URI_H
#define SLU_DATASET_URI_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>

enum slu_uri_kind {
	SLU_URI_DATASTORE, /* azureml://.../datastores/NAME/paths/PATH, STORE:path */
	SLU_URI_DATA, /* azureml:NAME:VERSION, azureml://.../data/NAME/versions/V[/paths/P], NAME@VERSION[/P] */
	SLU_URI_DATA_ID, /* a dataset id (GUID) */
	SLU_URI_JOB,     /* azureml://jobs/JOB/outputs/OUT/paths/P */
	SLU_URI_LOCAL, /* file://, plain absolute or dotted paths; relative: to the current folder */
	SLU_URI_WORD,  /* a bare word or relative path: the caller decides (resolve.c) */
	SLU_URI_ABFS, /* abfs[s]://, wasb[s]://, adl://, http[s]://, hdfs://, [s]webhdfs://: only parsed here */
	SLU_URI_WASB,
	SLU_URI_ADL,
	SLU_URI_HTTP,
	SLU_URI_HDFS
};

struct slu_uri {
	enum slu_uri_kind kind;
	/* workspace scope of a long azureml:// form, NULL when short */
	char *subscription, *resource_group, *workspace, *registry, *location;
	char *name;    /* datastore, data asset, id, job; container@host[:port]; host[:port] */
	char *version; /* NULL: latest */
	char *output;  /* SLU_URI_JOB */
	/* Pattern form: decoded, cleaned; globs kept, a literal glob character escaped with '\'.  Test it
	 * with slu_glob_is(); the plain path is slu_glob_unescape() of it.  "" = the root; of data NULL: all of it. */
	char *path;
	/* "versionid=V" or "snapshot=TIME": an earlier state of the file; only of SLU_URI_DATASTORE; NULL:
	 * what is current.  At the end of the text after a '?' that is not escaped. */
	char *state;
	char *scheme; /* as written, lower case; NULL: none */
};

/* stores: is `X` in "X:path" the name of a datastore?  NULL: never.  -EINVAL names the text and what is
 * wrong with it. */
int slu_uri_parse(const char *text, bool (*is_store)(void *user, const char *name), void *user,
		  struct slu_uri **ret, struct slu_err *e);
void slu_uri_free(struct slu_uri *u);
SLU_DEFINE_CLEANUP(struct slu_uri *, slu_uri_free, slu_uri_freep)
/* The canonical text: parsing it gives an equal URI.  In percent-encoded forms %2A is a literal `*`, a bare
 * one is a wildcard; in plain paths `\*` and `*`.  Caller frees; NULL: no memory. */
char *slu_uri_text(const struct slu_uri *u);
/* The pattern form of a plain path (the inverse of slu_glob_unescape()).  Caller frees. */
char *slu_uri_escape(const char *plain);
/* "file:///abs/path" of a plain absolute path, percent-encoded.  Caller frees. */
char *slu_uri_file(const char *abs);
/* azureml://datastores/NAME/paths/PATH with PATH, a plain path, percent-encoded (not '/').  Caller frees.
 * The root is azureml://datastores/NAME/paths, so that "<uri>/<path>" names what is below. */
char *slu_uri_datastore(const char *name, const char *path);
/* The form with subscription, group and workspace. */
char *slu_uri_datastore_long(const char *subscription, const char *group, const char *workspace,
			     const char *name, const char *path);

#endif
