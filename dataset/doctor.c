/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor`: what this machine and this workspace can do, each finding with its remedy.  The first
 * thing to ask for in a bug report, so it never stops at a failure and shows no secret.  What only some uses need is a
 * note; what keeps the workspace or mounts from working, or is left to be done, is wrong.
 */
#include "dataset/api.h"
#include "dataset/api_view.h"
#include "dataset/datastore.h"
#include "dataset/doctor_store.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "fs/settings.h"
#include "fs/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOW_SPACE (1ull << 30)

struct report {
	struct json_t *list;
	bool oom;
};

enum level { OK, NOTE, WRONG };

/* facts, may be NULL: what programs want to know beside; taken over. */
static void __attribute__((format(printf, 6, 7)))
add_facts(struct report *r, const char *check, enum level level, const char *remedy,
	  struct json_t *facts, const char *fmt, ...)
{
	static const char *const levels[] = {"ok", "note", "wrong"};
	va_list ap;

	va_start(ap, fmt);
	SLU_AUTO(slu_freep) char *detail = slu_vasprintf(fmt, ap);
	va_end(ap);
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || !detail || slu_json_set_str(o, "check", check) < 0 ||
	    slu_json_set_bool(o, "ok", level == OK) < 0 ||
	    slu_json_set_str(o, "level", levels[level]) < 0 ||
	    slu_json_set_str(o, "detail", detail) < 0 ||
	    slu_json_set_str(o, "remedy", level == OK ? "" : remedy) < 0 ||
	    (facts && slu_json_set(o, "facts", slu_json_ref(facts)) < 0) ||
	    slu_json_append(r->list, slu_json_ref(o)) < 0)
		r->oom = true;
	slu_json_free(facts);
}

#define add(r, check, ok, remedy, ...)                                                             \
	add_facts(r, check, (ok) ? OK : WRONG, remedy, NULL, __VA_ARGS__)
#define add_note(r, check, ok, remedy, ...)                                                        \
	add_facts(r, check, (ok) ? OK : NOTE, remedy, NULL, __VA_ARGS__)

/* The absolute path of a program on PATH; NULL: none.  Caller frees. */
static char *on_path(const char *program)
{
	const char *p = getenv("PATH");

	while (p && *p) {
		size_t n = strcspn(p, ":");
		char *full = slu_asprintf("%.*s/%s", (int)n, p, program);

		if (full && access(full, X_OK) == 0)
			return full;
		free(full);
		p += n + (p[n] == ':');
	}
	return NULL;
}

/* level: of one that is not there. */
static void check_program(struct report *r, const char *check, const char *program,
			  enum level level, const char *remedy)
{
	SLU_AUTO(slu_freep) char *full = on_path(program);

	add_facts(r, check, full ? OK : level, remedy, NULL, "%s", full ? full : "not on PATH");
}

static void check_fuse(struct report *r)
{
	struct utsname u;
	SLU_AUTO(slu_closep) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int err = errno;

	add(r, "fuse", fd >= 0,
	    err == ENOENT ? "load the fuse module, or give the container --device /dev/fuse"
			  : "become root, or get read and write access to /dev/fuse",
	    "/dev/fuse: %s", fd >= 0 ? "opens" : strerror(err));
	if (geteuid() != 0)
		check_program(r, "fusermount3", "fusermount3", WRONG,
			      "install the package fuse3: mounts without root need it");
	if (uname(&u) == 0)
		add(r, "kernel", true, "", "%s %s", u.sysname, u.release);
}

static bool is_remote(const struct json_t *entry)
{
	return slu_datastore_type(entry) != SLU_DATASTORE_LOCAL;
}

/* What the store says of itself and lets us do. */
static void check_remote(struct report *r, const char *check, struct slu_store *store)
{
	SLU_AUTO(slu_buf_done) struct slu_buf said = SLU_BUF(8192);
	struct json_t *facts = slu_json_object();
	const char *remedy = "";
	bool ok = facts && slu_doctor_store(store, facts, &said, &remedy);

	add_facts(r, check, ok ? OK : WRONG, remedy, facts, "%s%s", ok ? "answers: " : "",
		  said.p ? said.p : "");
}

static void check_stores(struct report *r, struct sluice *s)
{
	struct json_t *all = slu_json_get(slu_context_workspace(s)->config, "datastores");

	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *name = slu_json_iter_key(it);
		SLU_AUTO(slu_freep) char *check = slu_asprintf("datastore %s", name);
		struct slu_err e = {0};
		struct slu_store *store;
		struct slu_attr a;
		int rc = slu_context_store(s, name, &store, &e);

		if (rc == 0 && is_remote(slu_json_iter_value(it))) {
			check_remote(r, check ? check : "datastore", store);
			continue;
		}
		if (rc == 0)
			rc = slu_store_stat(store, "", &a, &e);
		add(r, check ? check : "datastore", rc == 0,
		    "mend the entry in config.json, or the place it names", "%s",
		    rc == 0 ? "answers" : e.msg);
	}
}

static void check_root(struct report *r, struct sluice *s)
{
	const char *local;
	struct slu_err e = {0};
	struct slu_store *store;
	struct statvfs v;
	const char *path;
	int rc = slu_context_root(s, &store, &path, &e);

	add(r, "registry", rc == 0, "mend \"root\" in config.json", "%s",
	    rc == 0 ? (path[0] ? path : "at the root of its store") : e.msg);
	if (slu_context_local_root(s, &local, &e) < 0 || statvfs(local, &v) < 0)
		return;
	unsigned long long room = (unsigned long long)v.f_bavail * v.f_frsize;

	add(r, "disk", room > LOW_SPACE && access(local, W_OK) == 0,
	    "free some space: runs and their logs are written there", "%s: %llu MiB free", local,
	    room >> 20);
}

/* What writable mounts could not bring to the store. */
static void check_stage(struct report *r, struct sluice *s)
{
	SLU_AUTO(slu_freep) char *dir = NULL;
	struct slu_settings set = *slu_settings_default();
	struct slu_stages_left left;

	if (slu_api_settle(s, 'm', NULL, &set, NULL) || slu_stages_dir(&set, &dir, NULL))
		return;
	slu_stages_left_in(dir, &left);
	if (left.files)
		add(r, "written files", false,
		    "mount their folder --writable once more: that commits them",
		    "%llu with %llu bytes are not in the store: %s, in '%s'",
		    (unsigned long long)left.files, (unsigned long long)left.bytes, left.names,
		    dir);
	if (left.kept)
		add_note(
			r, "kept files", false, "take what you want of them, and remove the rest",
			"%llu with %llu bytes could not be committed, as their writer was killed or another "
			"one was first: in '%s/kept'",
			(unsigned long long)left.kept, (unsigned long long)left.kept_bytes, dir);
}

static int doctor(struct sluice *s, char **ret, struct slu_err *e)
{
	struct report r = {.list = slu_json_array()};
	bool spark_home = getenv("SPARK_HOME") != NULL;

	if (!r.list)
		return slu_fail_oom(e);
	add(&r, "sluice", true, "", "version %s", sluice_version());
	check_fuse(&r);
	check_program(&r, "java", "java", NOTE,
		      "install a Java runtime (17 or newer): Spark needs it");
	if (spark_home)
		add(&r, "spark", true, "", "SPARK_HOME=%s", getenv("SPARK_HOME"));
	else
		check_program(&r, "spark", "spark-submit", NOTE,
			      "install pyspark, or set SPARK_HOME: Spark steps need it");
	check_stage(&r, s);
	if (!s) {
		add_note(&r, "workspace", false, "correct what its error names", "none was opened");
	} else if (!slu_context_workspace(s)) {
		add_note(&r, "workspace", false, "make one with `sluice init`",
			 "no config.json from here up");
	} else {
		add(&r, "workspace", true, "", "%s", slu_context_workspace(s)->config_path);
		check_root(&r, s);
		check_stores(&r, s);
	}
	if (r.oom) {
		slu_json_free(r.list);
		return slu_fail_oom(e);
	}
	return slu_api_json(r.list, ret, e);
}

int sluice_doctor(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, doctor(s, ret_json, &er));
}
