/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composition root: the only file that names all drivers and stacks the layers over them.  A
 * context is an open workspace with its loops, its pool and the stores opened so far (kept until it
 * is freed).  `struct sluice` of the public header is this.  Any thread.
 */
#ifndef SLU_DATASET_CONTEXT_H
#define SLU_DATASET_CONTEXT_H

#include "dataset/uri.h"
#include "dataset/workspace.h"
#include "fs/store.h"

struct slu_pool;
struct slu_loops;

struct sluice;

int slu_context_new(struct slu_workspace *ws, struct sluice **ret,
		    struct slu_err *e); /* takes ws; NULL ws: none */
void slu_context_free(struct sluice *s);
SLU_DEFINE_CLEANUP(struct sluice *, slu_context_free, slu_context_freep)
struct slu_workspace *slu_context_workspace(struct sluice *s); /* NULL: none */
/* -ENOENT with `sluice init` as the remedy when there is no workspace. */
int slu_context_need_workspace(struct sluice *s, struct slu_err *e);
/* How many requests to one service may be under way at once (0: as many as it bears), and how often one is
 * sent in all (0: as the layer thinks best), for stores that are opened after it. */
void slu_context_requests(struct sluice *s, unsigned n, unsigned tries);
/* Made when first asked for; NULL: no memory (or no threads). */
struct slu_pool *slu_context_pool(struct sluice *s);
struct slu_loops *slu_context_loops(struct sluice *s);

/* The store of a datastore by name (NULL: the default one).  Unknown: -ENOENT listing the known. */
int slu_context_store(struct sluice *s, const char *name, struct slu_store **ret,
		      struct slu_err *e);
const char *slu_context_default_store(struct sluice *s);
bool slu_context_is_store(struct sluice *s, const char *name);
/* The store and path of any reference to an object (datastore, local path); not datasets.  *ret_path is in
 * pattern form as in struct slu_uri: slu_glob_is() says whether it is a pattern, slu_glob_unescape()
 * makes it plain.  *ret_uri (may be NULL): its canonical form for manifests, an azureml://datastores/ or
 * file:// URI of the path.  A plain local path gets a store of its own, rooted at the folder it names
 * (of a file its parent, of a pattern the literal part, of what is absent the nearest that exists), so
 * that links cannot lead out of what was named. */
int slu_context_locate(struct sluice *s, const struct slu_uri *u, struct slu_store **ret,
		       char **ret_path, char **ret_uri, struct slu_err *e);
/* The same with a plain path; a pattern is -EINVAL. */
int slu_context_locate_plain(struct sluice *s, const struct slu_uri *u, struct slu_store **ret,
			     char **ret_path, char **ret_uri, struct slu_err *e);
/* The store rooted at an absolute local folder, opened once. */
int slu_context_local(struct sluice *s, const char *abs, struct slu_store **ret, struct slu_err *e);
/* The registry's root: its store, and the folder in it. */
int slu_context_root(struct sluice *s, struct slu_store **ret, const char **ret_path,
		     struct slu_err *e);
/* An absolute local folder for run files that processes need as files (logs, code, work): the root
 * itself when it is local, else a folder in the user's state directory. */
int slu_context_local_root(struct sluice *s, const char **ret, struct slu_err *e);
struct slu_settings;
struct slu_cache;
/* Opens the disk cache when the settings want one: from then on all remote stores of this context have it.
 * Those that were opened before get it when they are asked for again. */
int slu_context_use_cache(struct sluice *s, const struct slu_settings *set, struct slu_err *e);
/* The same by environment and config.json alone: for files that the library opens. */
int slu_context_default_cache(struct sluice *s, struct slu_err *e);
/* The cache itself, whether it is wanted or not.  existing: -ENOENT when there is none. */
int slu_context_cache_conf(const struct slu_settings *set, bool existing, struct slu_cache **ret,
			   struct slu_err *e);
/* The sluice program, for mounts and supervisors: $SLUICE_PROGRAM, this very program, or bindir. */
int slu_context_program(char **ret, struct slu_err *e);

#endif
