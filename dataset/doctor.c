/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor`: what this machine and this workspace can do, each finding with its remedy.  The first
 * thing to ask for in a bug report, so it never stops at a failure and shows no secret.
 */
#include "dataset/api.h"
#include "dataset/datastore.h"
#include "dataset/doctor_store.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"

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

/* facts, may be NULL: what programs want to know beside; taken over. */
static void __attribute__((format(printf, 6, 7)))
add_facts(struct report *r, const char *check, bool ok, const char *remedy, struct json_t *facts,
	  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	SLU_AUTO(slu_freep) char *detail = slu_vasprintf(fmt, ap);
	va_end(ap);
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || !detail || slu_json_set_str(o, "check", check) < 0 ||
	    slu_json_set_bool(o, "ok", ok) < 0 || slu_json_set_str(o, "detail", detail) < 0 ||
	    slu_json_set_str(o, "remedy", ok ? "" : remedy) < 0 ||
	    (facts && slu_json_set(o, "facts", slu_json_ref(facts)) < 0) ||
	    slu_json_append(r->list, slu_json_ref(o)) < 0)
		r->oom = true;
	slu_json_free(facts);
}

#define add(r, check, ok, remedy, ...) add_facts(r, check, ok, remedy, NULL, __VA_ARGS__)

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

static void check_program(struct report *r, const char *check, const char *program,
			  const char *remedy)
{
	SLU_AUTO(slu_freep) char *full = on_path(program);

	add(r, check, full != NULL, remedy, "%s", full ? full : "not on PATH");
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
		check_program(r, "fusermount3", "fusermount3",
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
	bool ok = facts && slu_doctor_store(store, facts, &said);

	add_facts(r, check, ok,
		  "mend the credential of the entry in config.json, or have the rights given",
		  facts, "%s%s", ok ? "answers: " : "", said.p ? said.p : "");
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

static int doctor(struct sluice *s, char **ret, struct slu_err *e)
{
	struct report r = {.list = slu_json_array()};
	bool spark_home = getenv("SPARK_HOME") != NULL;

	if (!r.list)
		return slu_fail_oom(e);
	add(&r, "sluice", true, "", "version %s", sluice_version());
	check_fuse(&r);
	check_program(&r, "java", "java", "install a Java runtime (17 or newer): Spark needs it");
	if (spark_home)
		add(&r, "spark", true, "", "SPARK_HOME=%s", getenv("SPARK_HOME"));
	else
		check_program(&r, "spark", "spark-submit",
			      "install pyspark, or set SPARK_HOME: Spark steps need it");
	if (!s || !slu_context_workspace(s)) {
		add(&r, "workspace", false, "make one with `sluice init`",
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
