/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of verbs and options: the one place that knows them all.
 */
#include "tools/cli.h"

#define POLICY_HELP "fail (default), fail_on_file_conflict, merge_with_overwrite, append or replace"
#define CHECK_HELP                                                                                  \
	"when the MD5 that the store keeps is not that of the bytes: fail-if-different (default), " \
	"fail-if-different-or-missing, log-only or no-check"
#define SET_OPTIONS                                                                                \
	{"set", 0, "NAME=VALUE", "a setting; may be repeated"},                                    \
		{"show-settings", 0, NULL, "print them, and where each comes from"},               \
		{"memory", 0, "BYTES", "most memory for data (default: by the cgroup)"},           \
		{"cache", 0, NULL, "keep what is read on disk, in the user's cache folder"},       \
		{"no-cache", 0, NULL, "neither keep it nor look there"},                           \
		{"cache-dir", 0, "DIR", "keep what was read there"},                               \
	{                                                                                          \
		"cache-size", 0, "BYTES", "most bytes there; negative: leave so much free"         \
	}
#define CACHE_OPTIONS                                                                              \
	{"set", 0, "NAME=VALUE", "a setting; may be repeated"},                                    \
		{"cache-dir", 0, "DIR", "the cache there (default: the user's)"},                  \
	{                                                                                          \
		"cache-size", 0, "BYTES", "most bytes there; negative: leave so much free"         \
	}
#define OPTIONS(...) ((const struct cli_option[]){__VA_ARGS__{NULL, 0, NULL, NULL}})

const struct cli_option cli_common[] = {
	{"output", 'o', "FORMAT", "table (default) or json"},
	{"workspace", 'w', "PATH", "config.json, or the folder to search from upward"},
	{"verbose", 'v', NULL, "tell more (twice: debug)"},
	{"help", 'h', NULL, "this text"},
	{NULL, 0, NULL, NULL},
};

const struct cli_verb cli_verbs[] = {
	{"init", "[DIR]", "make a workspace with an embedded local datastore", 0, 1, false,
	 cmd_init,
	 OPTIONS({"name", 'n', "NAME", "name of the workspace (default: the folder's)"}, )},
	{"workspace show", "", "show the workspace found from here", 0, 0, false,
	 cmd_workspace_show, OPTIONS()},
	{"doctor", "", "check this machine and the workspace", 0, 0, false, cmd_doctor, OPTIONS()},

	{"datastore create", "NAME", "add a datastore to the workspace", 1, 1, false,
	 cmd_datastore_create,
	 OPTIONS({"type", 't', "TYPE", "local, azure_blob, azure_data_lake_gen2 or hdfs"},
		 {"path", 'p', "DIR", "folder of a local datastore"},
		 {"set", 's', "KEY=VALUE", "any other key of the entry; may be repeated"},
		 {"replace", 0, NULL, "change one that exists"}, )},
	{"datastore list", "", "list the datastores", 0, 0, false, cmd_datastore_list, OPTIONS()},
	{"datastore show", "NAME", "show a datastore", 1, 1, false, cmd_datastore_show, OPTIONS()},

	{"data create", "", "register a dataset version", 0, 0, false, cmd_data_create,
	 OPTIONS({"file", 'f', "FILE", "a data asset file (YAML)"},
		 {"name", 'n', "NAME", "name of the dataset"},
		 {"path", 'p', "REF", "file, folder or pattern; may be repeated"},
		 {"type", 't', "TYPE",
		  "uri_file, uri_folder or mltable (default: what the path is)"},
		 {"version", 0, "VERSION", "an explicit version (default: the next number)"},
		 {"description", 'd', "TEXT", "what it is"},
		 {"tag", 0, "KEY=VALUE", "a tag; may be repeated"},
		 {"delimiter", 0, "CHAR", "make it tabular: text separated by CHAR"},
		 {"header", 0, "KIND",
		  "of tabular text: all_files_same_headers, no_header, from_first_file, "
		  "all_files_different_headers"},
		 {"encoding", 0, "NAME", "of tabular text (default utf8)"}, )},
	{"data list", "[NAME]", "list datasets, or the versions of one", 0, 1, false, cmd_data_list,
	 OPTIONS()},
	{"data show", "REF", "show a dataset version", 1, 1, false, cmd_data_show, OPTIONS()},
	{"data manifest", "REF", "print the files that a version pins", 1, 1, false,
	 cmd_data_manifest, OPTIONS()},
	{"data lineage", "REF", "show what a version was made from", 1, 1, false, cmd_data_lineage,
	 OPTIONS()},

	{"ls", "[REF]", "list objects", 0, 1, false, cmd_ls,
	 OPTIONS({"long", 'l', NULL, "with size and time"},
		 {"recursive", 'R', NULL, "everything below"},
		 {"human", 0, NULL, "sizes of --long as 1.5M"},
		 {"sort", 0, "KEY", "name (default), size (largest first) or time (newest first)"},
		 {"reverse", 0, NULL, "the other way round"},
		 {"summary", 0, NULL, "a last line: how many files, folders and bytes"}, )},
	{"stat", "REF...", "show objects", 1, -1, false, cmd_stat, OPTIONS()},
	{"cat", "REF...", "print objects", 1, -1, false, cmd_cat,
	 OPTIONS({"offset", 0, "BYTES", "begin there; negative: that much before the end"},
		 {"length", 0, "BYTES", "print at most that much of each"}, )},
	{"cp", "SRC... DST", "copy between any two places; - is standard input or output", 2, -1,
	 false, cmd_cp,
	 OPTIONS({"recursive", 'R', NULL, "copy folders"},
		 {"overwrite", 0, NULL, "replace what is there"},
		 {"update", 'u', NULL, "what is not there or differs, replacing that"},
		 {"no-clobber", 0, NULL, "what is not there; skip the rest"},
		 {"include", 0, "PATTERN", "only files that match; may be repeated"},
		 {"exclude", 0, "PATTERN", "no files that match; may be repeated"},
		 {"dry-run", 'n', NULL, "only show what would be copied where"},
		 {"jobs", 'j', "N", "files at once (default 32)"},
		 {"check-md5", 0, "MODE", CHECK_HELP},
		 {"content-type", 0, "TYPE", "of what is written"},
		 {"tier", 0, "TIER", "of what is written: Hot, Cool, Cold or Archive"},
		 {"metadata", 0, "KEY=VALUE", "of what is written; may be repeated"},
		 {"tag", 0, "KEY=VALUE", "an index tag of what is written; may be repeated"},
		 {"progress", 0, NULL, "a line a second, also where no terminal is"},
		 {"no-sync", 0, NULL, "do not wait for the disk"}, )},
	{"mv", "SRC DST", "rename within a datastore", 2, 2, false, cmd_mv,
	 OPTIONS({"overwrite", 0, NULL, "replace what is there"}, )},
	{"rm", "REF...", "remove objects", 1, -1, false, cmd_rm,
	 OPTIONS({"recursive", 'R', NULL, "folders with all in them"},
		 {"force", 'f', NULL, "what is not there is no error"},
		 {"include", 0, "PATTERN", "only files that match; may be repeated"},
		 {"exclude", 0, "PATTERN", "no files that match; may be repeated"},
		 {"dry-run", 'n', NULL, "only show what would be removed"}, )},

	{"download", "REF TARGET", "stage files on disk", 2, 2, false, cmd_download,
	 OPTIONS({"overwrite", 0, NULL, "into a folder that is not empty, replacing files"},
		 {"policy", 0, "POLICY", POLICY_HELP},
		 {"rehash", 0, NULL, "read again what is there before it is kept"},
		 {"ignore-not-found", 0, NULL, "files that vanished are warned of"},
		 {"no-record", 0, NULL, "leave no .sluice-complete in TARGET"}, SET_OPTIONS,
		 {"progress", 0, NULL, "a line a second, also where no terminal is"},
		 {"jobs", 'j', "N", "files in flight (default: by the cores)"},
		 {"check-md5", 0, "MODE", CHECK_HELP},
		 {"no-sync", 0, NULL, "do not wait for the disk"}, )},
	{"plan", "REF [TARGET]", "print what a download would do, and how long it takes", 1, 2,
	 false, cmd_plan,
	 OPTIONS({"overwrite", 0, NULL, "as of download"}, {"policy", 0, "POLICY", POLICY_HELP},
		 {"rehash", 0, NULL, "as of download"},
		 {"jobs", 'j', "N", "files in flight (default: by the cores)"},
		 {"no-probe", 0, NULL, "read no data to estimate the time"}, )},
	{"verify", "DIR [REF]", "prove that a folder holds what was downloaded, or what REF has", 1,
	 2, false, cmd_verify,
	 OPTIONS({"jobs", 'j', "N", "files at once (default: the cores)"},
		 {"progress", 0, NULL, "a line a second, also where no terminal is"}, )},
	{"mount", "REF MOUNTPOINT", "mount read-only; returns when usable", 1, 2, false, cmd_mount,
	 OPTIONS({"foreground", 'f', NULL, "serve in this process until unmounted"},
		 {"allow-other", 0, NULL, "let other users read"},
		 {"uid", 0, "ID", "the owner that is shown"},
		 {"gid", 0, "ID", "the group that is shown"},
		 {"umask", 0, "OCTAL", "rights that are not shown"}, SET_OPTIONS,
		 {"live", 0, NULL, "show what the store has now, not one state"},
		 {"attr-timeout", 0, "TIME",
		  "believe names and attributes so long (1h; live: 10s)"},
		 {"io-timeout", 0, "TIME", "every request is answered by then (default 60s)"},
		 {"open-mode", 0, "MODE", "who opens files: auto, none, passthrough or direct"},
		 {"log", 0, "FILE", "log of the serving process"},
		 {"manifest", 0, "DIGEST",
		  "show this manifest of the registry instead of resolving"},
		 {"upgrade", 0, NULL, "hand MOUNTPOINT over to the program that is installed now"},
		 {"no-supervisor", 0, NULL, "let the mount die with the process that serves it"},
		 {"ready-fd", 0, "FD", NULL}, {"lifeline-fd", 0, "FD", NULL},
		 {"worker-fd", 0, "FD", NULL}, )},
	{"unmount", "MOUNTPOINT", "unmount; returns when it is gone", 1, 1, false, cmd_unmount,
	 OPTIONS({"timeout", 0, "TIME", "detach it when it is still busy then (default 10s)"}, )},
	{"stats", "[MOUNT]", "what a mount does, and what it waits for (default: all of them)", 0,
	 1, false, cmd_stats,
	 OPTIONS({"watch", 0, NULL, "again and again"},
		 {"interval", 0, "TIME", "between two looks (default 1s)"},
		 {"json", 0, NULL, "as --output json"},
		 {"prometheus", 0, NULL, "as text for Prometheus"}, )},
	{"prefetch", "MOUNT", "tell a mount what will be read next", 1, 1, false, cmd_prefetch,
	 OPTIONS({"order", 0, "FILE",
		  "names in the order of reading, one a line; - is standard input"},
		 {"drop", 0, NULL, "forget the order"}, )},
	{"hdfs", "REF", "print the URI that Hadoop and Spark read", 1, 1, false, cmd_hdfs,
	 OPTIONS()},

	{"cache stat", "", "show what is in the disk cache", 0, 0, false, cmd_cache_stat,
	 OPTIONS(CACHE_OPTIONS, )},
	{"cache verify", "", "check every block in it; drop what is wrong", 0, 0, false,
	 cmd_cache_verify, OPTIONS(CACHE_OPTIONS, )},
	{"cache clear", "", "empty it", 0, 0, false, cmd_cache_clear, OPTIONS(CACHE_OPTIONS, )},
	{"cache warm", "REF", "read all files of REF into it", 1, 1, false, cmd_cache_warm,
	 OPTIONS(CACHE_OPTIONS,
		 {"progress", 0, NULL, "a line a second, also where no terminal is"}, )},

	{"job create", "", "run a job or pipeline file", 0, 0, false, cmd_job_create,
	 OPTIONS({"file", 'f', "FILE", "the job (Azure ML CLI v2 YAML)"},
		 {"set", 's', "inputs.NAME=VALUE", "override an input; may be repeated"},
		 {"name", 'n', "NAME", "id of the run (default: made)"},
		 {"stream", 0, NULL, "follow it to its end; exit status by how it ended"}, )},
	{"job list", "", "list runs", 0, 0, false, cmd_job_list, OPTIONS()},
	{"job show", "RUN", "show a run", 1, 1, false, cmd_job_show, OPTIONS()},
	{"job stream", "RUN", "follow a run to its end", 1, 1, false, cmd_job_stream, OPTIONS()},
	{"job cancel", "RUN", "cancel a run", 1, 1, false, cmd_job_cancel, OPTIONS()},
	{"job supervise", "RUN", "run a job's supervisor", 1, 1, true, cmd_job_supervise,
	 OPTIONS()},
	{NULL, NULL, NULL, 0, 0, false, NULL, NULL},
};
