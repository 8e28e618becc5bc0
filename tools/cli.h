/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the command share.  One table (verbs.c) holds every verb with its options; parsing,
 * help and the checks of the documents all read it.  The command sees include/sluice.h and common/ only.
 */
#ifndef SLU_TOOLS_CLI_H
#define SLU_TOOLS_CLI_H

#include "common/json.h"
#include "include/sluice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLI_FOUND 1 /* exit status of what was looked for and is there */
#define CLI_USAGE 2 /* exit status of wrong usage */

struct cli_option {
	const char *name; /* long; NULL ends the list */
	char letter;      /* 0: none */
	const char *arg;  /* "FILE"; NULL: a switch */
	const char *help; /* NULL: for the program itself, not shown */
};

struct cli;

struct cli_verb {
	const char *name; /* "data create" */
	const char *args; /* "REF TARGET" */
	const char *help; /* one line */
	int min, max;     /* positional arguments; max -1: any number */
	bool hidden;
	int (*run)(struct cli *c); /* the exit status */
	const struct cli_option *options;
};

extern const struct cli_verb cli_verbs[]; /* name NULL ends it */
extern const struct cli_option cli_common[];

struct cli_value {
	const struct cli_option *option;
	const char *text; /* "" for a switch */
};

#define CLI_VALUES 256

struct cli {
	const struct cli_verb *verb;
	bool json;
	char **args; /* positional */
	int nargs;
	struct cli_value values[CLI_VALUES];
	size_t nvalues;
	struct sluice *s; /* open after cli_open */
};

/* The last value of an option, NULL when absent; the i-th of a repeated one. */
const char *cli_get(const struct cli *c, const char *name);
const char *cli_nth(const struct cli *c, const char *name, size_t i);
/* All values of a repeated option, NULL at the end; the caller frees the array.  NULL: no memory. */
const char **cli_all(const struct cli *c, const char *name);
bool cli_has(const struct cli *c, const char *name);

/* The number of an option, *ret as it was when it is absent; false after telling what is wrong. */
bool cli_int(struct cli *c, const char *name, int64_t min, int64_t max, int64_t *ret);
bool cli_check(struct cli *c, int *ret); /* the same for --check-md5: SLUICE_CHECK_... */
/* Puts KEY=VALUE into an object: -EINVAL when it is not of that form, -ENOMEM. */
int cli_pair(struct json_t *o, const char *pair);
/* Opens the workspace (flags as sluice_open).  0, or the exit status after telling why. */
int cli_open(struct cli *c, unsigned flags);
/* Prints the error ("sluice: ...", or a JSON object with --output json) and returns the exit status. */
int cli_fail(const struct cli *c, int rc, const struct sluice_error *e);
/* 0, or CLI_USAGE after telling that `path`, which is to be a folder here, is a place in a datastore. */
int cli_local(const struct cli *c, const char *path);
/* Wrong usage: a line and how to get help; returns CLI_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Verbs that are one call of the library, each with the exit status.  The workspace is opened unless it is; what comes
 * is rendered with these columns. */
typedef int cli_show_fn(struct sluice *s, const char *name, char **ret_json,
			struct sluice_error *e);
typedef int cli_list_fn(struct sluice *s, char **ret_json, struct sluice_error *e);
typedef int cli_change_fn(struct sluice *s, const char *name, struct sluice_error *e);
int cli_show(struct cli *c, cli_show_fn *call, const char *name, const char *columns);
int cli_list(struct cli *c, cli_list_fn *call, const char *columns);
int cli_change(struct cli *c, cli_change_fn *call); /* the first argument; nothing is to be told */
/* Closes stdout; a full disk behind it is an error too. */
int cli_end(const struct cli *c, int status);
void cli_help(FILE *f, const struct cli_verb *verb); /* NULL: all verbs */

/* --- mount_helper.c: as mount(8) calls it --- */

bool cli_is_mount_helper(int argc, char **argv); /* by the name it was started by */
bool cli_is_mount_call(int argc, char **argv);   /* REF DIR -o OPTIONS, and no verb */
/* run: the command, with the arguments of `sluice mount`.  The exit status as mount(8) has them. */
int cli_mount_helper(int argc, char **argv, int (*run)(int argc, char **argv));

/* --- render.c --- */

/* text: JSON.  With --output json it is printed as it is (and freed in any case); else as a table of the
 * given columns ("name,version,created:time,bytes:size") when it is an array, as lines when an object. */
int render(const struct cli *c, char *text, const char *columns);
void render_size(char out[16], uint64_t bytes);
void render_time(char out[24], int64_t wall_ns); /* 2026-01-31 08:00:00 UTC */
void render_name(FILE *f, const char *s);        /* control bytes escaped */

/* --- progress.c --- */

struct progress {
	const char *what;
	bool bar, lines; /* a bar on a terminal; JSON lines on stderr with --output json */
	bool drawn;      /* the bar is drawn over; else a line a second */
	int64_t begun, told;
	bool verbose;
	size_t failures; /* of files */
	int told_causes; /* bits: of those that are told once */
};

void progress_begin(struct progress *p, const struct cli *c, const char *what);
/* A sluice_progress_fn; user is the struct.  Ends the work after SIGINT or SIGTERM. */
int progress_show(void *user, const struct sluice_progress *now);
void progress_clear(const struct progress *p); /* before another line goes to stderr */
void progress_end(struct progress *p);
/* Tells of a file that failed while the rest goes on: not of the first, which is the result, nor of more than ten; and
 * with --verbose alone of others that failed because the same server cannot be reached, since their number is told. */
void progress_failed(struct progress *p, const struct sluice_error *error);

/* --- cmd_download.c --- */

/* The options that download and plan share, into o; false after telling what is wrong. */
bool cli_download(struct cli *c, struct sluice_view_options *o);
void cli_download_totals(const struct cli *c, const struct sluice_download_totals *n);
/* A sluice_file_fn; user: struct progress * in front of what else is there. */
void cli_download_failed(void *user, const char *path, const char *to, uint64_t size,
			 const struct sluice_error *error);

/* --- the verbs --- */

int cmd_init(struct cli *c);
int cmd_workspace_show(struct cli *c);
int cmd_doctor(struct cli *c);
int cmd_gc(struct cli *c);
int cmd_datastore_create(struct cli *c);
int cmd_datastore_list(struct cli *c);
int cmd_datastore_show(struct cli *c);
int cmd_datastore_update(struct cli *c);
int cmd_datastore_set_default(struct cli *c);
int cmd_datastore_unregister(struct cli *c);
int cmd_datastore_test(struct cli *c);
int cmd_datastore_import(struct cli *c);
int cmd_data_create(struct cli *c);
int cmd_data_list(struct cli *c);
int cmd_data_show(struct cli *c);
int cmd_data_manifest(struct cli *c);
int cmd_data_lineage(struct cli *c);
int cmd_data_partitions(struct cli *c);
int cmd_data_update(struct cli *c);
int cmd_data_archive(struct cli *c);
int cmd_data_restore(struct cli *c);
int cmd_data_unregister(struct cli *c);
int cmd_data_history(struct cli *c);
int cmd_data_preview(struct cli *c);
int cmd_data_schema(struct cli *c);
int cmd_data_diff(struct cli *c);
int cmd_data_verify(struct cli *c);
int cmd_data_freeze(struct cli *c);
int cmd_data_register(struct cli *c);
int cmd_ls(struct cli *c);
int cmd_stat(struct cli *c);
int cmd_cat(struct cli *c);
int cmd_cp(struct cli *c);
bool cmd_cp_streams(const struct cli *c); /* is one of the places "-"? */
int cmd_cp_stream(struct cli *c);         /* cp then */
int cmd_mv(struct cli *c);
int cmd_rm(struct cli *c);
int cmd_mkdir(struct cli *c);
int cmd_download(struct cli *c);
int cmd_mount(struct cli *c);
int cmd_unmount(struct cli *c);
int cmd_hdfs(struct cli *c);
int cmd_stats(struct cli *c);
int cmd_prefetch(struct cli *c);
int cmd_plan(struct cli *c);
int cmd_verify(struct cli *c);
int cmd_cache_stat(struct cli *c);
int cmd_cache_verify(struct cli *c);
int cmd_cache_clear(struct cli *c);
int cmd_cache_warm(struct cli *c);
int cmd_compute_create(struct cli *c);
int cmd_compute_attach(struct cli *c);
int cmd_compute_list(struct cli *c);
int cmd_compute_show(struct cli *c);
int cmd_compute_sessions(struct cli *c);
int cmd_compute_stop(struct cli *c);
int cmd_compute_wait(struct cli *c);
int cmd_compute_detach(struct cli *c);
int cmd_compute_delete(struct cli *c);
int cmd_linked_service_create(struct cli *c);
int cmd_linked_service_list(struct cli *c);
int cmd_linked_service_show(struct cli *c);
int cmd_linked_service_unregister(struct cli *c);
int cmd_environment_list(struct cli *c);
int cmd_environment_show(struct cli *c);
int cmd_environment_build(struct cli *c);
int cmd_environment_delete(struct cli *c);
int cmd_job_create(struct cli *c);
int cmd_job_rerun(struct cli *c);
int cmd_job_list(struct cli *c);
int cmd_job_archive(struct cli *c);
int cmd_job_restore(struct cli *c);
int cmd_job_delete(struct cli *c);
int cmd_job_download(struct cli *c);
int cmd_job_report(struct cli *c);
int cmd_job_validate(struct cli *c);
int cmd_job_show(struct cli *c);
int cmd_job_stream(struct cli *c);
int cmd_job_cancel(struct cli *c);
int cmd_job_batch(struct cli *c);
int cmd_job_supervise(struct cli *c);

#endif
