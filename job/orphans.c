/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what is left: processes by the variable that only a step's processes have, mounts by their
 * place.  Nothing here decides that a supervisor is dead.
 */
#include "job/orphans.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "fs/view.h"
#include "job/guard.h"

#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KILL_TIME (2 * SLU_SEC)
#define UNMOUNT_TIME (2 * SLU_SEC)

/* --- processes --- */

/* How many were killed.  *ret_more: so many, or some that may be others, are still there. */
static unsigned kill_marked(const char *mark, bool *ret_more)
{
	SLU_AUTO(slu_closedirp) DIR *d = opendir("/proc");
	const struct dirent *ent;
	unsigned n = 0;
	uint64_t pid;

	*ret_more = false;
	while (d && (ent = readdir(d))) {
		if (!slu_u64(ent->d_name, &pid) || pid < 2 || (pid_t)pid == getpid())
			continue;
		enum slu_marked is = slu_guard_marked((pid_t)pid, mark);

		*ret_more |= is != SLU_UNMARKED;
		n += is == SLU_MARKED && kill((pid_t)pid, SIGKILL) == 0;
	}
	return n;
}

void slu_orphans_kill(const struct slu_run *r)
{
	SLU_AUTO(slu_freep) char *mark = slu_asprintf("AZUREML_RUN_ID=%s", r->id);
	int64_t deadline = slu_deadline_in(KILL_TIME);
	bool more = false;
	unsigned n = mark ? kill_marked(mark, &more) : 0;

	/* A process that was killed has an environment until it is gone. */
	while (more && !slu_expired(deadline)) {
		poll(NULL, 0, 10);
		unsigned now = kill_marked(mark, &more);

		n = n ? n : now;
	}
	if (n)
		slu_log(SLU_LOG_INFO, "job", "run '%s': %u processes that it left were killed",
			r->id, n);
}

/* --- mounts --- */

typedef SLU_VEC(char *) paths_t;

static void find_mounts(const char *dir, paths_t *ret)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent ent;
	char text[8192];

	while (f && getmntent_r(f, &ent, text, sizeof(text))) {
		const char *below = slu_after(ent.mnt_dir, dir);
		char *path = below && *below == '/' ? slu_strdup(ent.mnt_dir) : NULL;

		if (path && !slu_vec_push(ret, path))
			free(path);
	}
	if (f)
		endmntent(f);
}

/* Folders that path_on_compute names are elsewhere; a mount there that nobody serves any more is what was left. */
static void find_named(const struct json_t *list, paths_t *ret)
{
	for (size_t i = 0; i < slu_json_count(list); i++) {
		const char *at = slu_json_str(slu_json_at(list, i), "path_on_compute");
		struct stat st;
		char *path = at && at[0] == '/' && stat(at, &st) < 0 && errno == ENOTCONN
				     ? slu_strdup(at)
				     : NULL;

		if (path && !slu_vec_push(ret, path))
			free(path);
	}
}

void slu_orphans_unmount(const struct slu_run *r)
{
	const struct json_t *spec = slu_json_get(r->doc, "spec");
	paths_t paths = {0};

	find_mounts(r->dir, &paths);
	find_named(slu_json_get(spec, "inputs"), &paths);
	find_named(slu_json_get(spec, "outputs"), &paths);
	while (paths.n) { /* the newest first: it may be in another */
		SLU_AUTO(slu_freep) char *path = paths.p[--paths.n];
		struct slu_err why = {0};

		if (slu_unmount(path, UNMOUNT_TIME, &why) < 0 && why.code != EINVAL &&
		    why.code != ENOENT)
			slu_warn("job", "run '%s': %s", r->id, why.msg);
	}
	free(paths.p);
}
