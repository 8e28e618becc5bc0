/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output that its program writes through a writable mount of the destination (docs/write.md).  The mount keeps a
 * report, and only one that says that everything is in the store lets the output be collected: a worker
 * that was killed, a disk that was full, a store that did not answer, a program that was killed while it wrote, all
 * leave a line in it or no end of it.  The stage is a folder of this output's own, so that nothing which another run
 * left is committed here.
 */
#include "dataset/output_parts.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/target.h"
#include "fs/stage_written.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Beside the mount points: `.x` is no name of an output. */
#define STAGES ".stages"

/* stage_dir of config.json may be the only disk that can hold stages; else beside the mount. */
static char *stage_of(struct sluice *s, const struct slu_output *o, const char *run,
		      const char *place)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	const struct json_t *set = w ? slu_json_get(w->config, "settings") : NULL;
	const char *dir = set ? slu_json_str(set, "stage_dir") : NULL;

	if (dir && dir[0] == '/')
		return slu_asprintf("%s/%s-%s", dir, run, o->name);
	return slu_asprintf("%s/" STAGES "/%s", place, o->name);
}

/* The folder that is mounted: of a file the one that it is in. */
static char *mounted_uri(const struct slu_output *o)
{
	const char *slash = slu_output_is_file(o) ? strrchr(o->uri, '/') : NULL;

	return slu_strndup(o->uri, slash ? (size_t)(slash - o->uri) : strlen(o->uri));
}

static int start(struct sluice *s, struct slu_output *o, const char *target, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	SLU_AUTO(slu_freep) char *program = NULL, *config = NULL, *stage = NULL, *uri = NULL;
	int r = slu_context_program(&program, e);

	if (r < 0)
		return r;
	config = slu_asprintf("--workspace=%s", w->config_path);
	stage = slu_asprintf("--set=stage_dir=%s", o->stage);
	uri = mounted_uri(o);
	if (!config || !stage || !uri)
		return slu_fail_oom(e);
	const char *const argv[] = {program,
				    "mount",
				    "--foreground",
				    "--ready-fd=3",
				    "--lifeline-fd=4",
				    "--writable",
				    "--set=report=true",
				    stage,
				    config,
				    "--",
				    uri,
				    target,
				    NULL};

	return slu_mount_open(argv, target, false, o->log, &o->view, e);
}

int slu_output_mount(struct sluice *s, struct slu_output *o, const char *run, const char *place,
		     struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *target = NULL;
	int r = slu_target_make(place, o->name, o->at, &o->made, &target, e);

	if (r < 0)
		return r;
	free(o->stage);
	o->stage = stage_of(s, o, run, place);
	r = o->stage ? start(s, o, target, e) : slu_fail_oom(e);
	if (r < 0)
		return r;
	o->value = slu_output_is_file(o) ? slu_asprintf("%s/%s", target, slu_path_base(o->path))
					 : slu_strdup(target);
	return o->value ? 0 : slu_fail_oom(e);
}

/* What is in the folder below the mount point was written when nothing was mounted there. */
static int check_below(const char *where, struct slu_err *e)
{
	SLU_AUTO(slu_closedirp) DIR *d = opendir(where);
	const struct dirent *n;

	while (d && (n = readdir(d)))
		if (!slu_streq(n->d_name, ".") && !slu_streq(n->d_name, ".."))
			return slu_fail(
				e, EIO,
				"'%s' was written to '%s' when the mount was gone, so it is not in "
				"the store",
				n->d_name, where);
	return 0;
}

int slu_output_unmount(struct slu_output *o, struct slu_err *e)
{
	struct slu_err why = {0};
	int r;

	if (!o->view)
		return 0;
	r = slu_view_close(o->view, &why);
	if (r < 0)
		return slu_fail(e, -r, "%s", why.msg);
	r = slu_written_read(o->stage, NULL, e);
	return r < 0 ? r : check_below(o->view->where, e);
}

/* Bytes that somebody was promised (fsync) and that could not be committed are for a person to look at. */
static bool has_kept(const char *stage)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/kept", stage);
	SLU_AUTO(slu_closedirp) DIR *d = path ? opendir(path) : NULL;
	const struct dirent *n;

	while (d && (n = readdir(d)))
		if (n->d_name[0] != '.')
			return true;
	return false;
}

static void remove_tree(const char *path)
{
	SLU_AUTO(slu_freep) char *up = slu_path_dir(path);
	SLU_AUTO(slu_closep)
	int dir = up ? open(up, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (dir >= 0)
		slu_path_rmtree(dir, slu_path_base(path));
}

/* The next try begins with what the last one left of files that were there: they are not what it wrote. */
static int begin_again(struct slu_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *now = NULL;
	size_t n;
	int r = slu_output_discard(o, &n, e);

	if (r == 0)
		r = slu_output_list(o->store, o->path, slu_output_is_file(o), o->uri, o->uri, &now,
				    e);
	if (r < 0)
		return r;
	if (o->first)
		slu_manifest_free(o->before);
	else
		o->first = o->before;
	o->before = slu_take(now);
	return 0;
}

int slu_output_again(struct sluice *s, struct slu_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *target = NULL;
	int r;

	if (o->mode == SLU_MODE_LINK)
		return unlink(o->value) < 0 && errno != ENOENT
			       ? slu_fail_sys(e, errno, "cannot remove '%s'", o->value)
			       : 0;
	if (o->mode == SLU_MODE_UPLOAD && o->at)
		slu_target_clear(o->at, false);
	if (o->mode == SLU_MODE_UPLOAD)
		return 0;
	if (o->mode != SLU_MODE_RW_MOUNT)
		return begin_again(o, e);
	/* A new mount and a new report: this try has nothing to do with what the last one lost. */
	target = o->view ? slu_strdup(o->view->where) : NULL;
	if (!target)
		return slu_fail(e, EINVAL, "output '%s' is not open", o->name);
	r = slu_view_close(o->view, e);
	if (r < 0)
		return r;
	slu_view_free(slu_take(o->view));
	remove_tree(o->stage);
	r = begin_again(o, e);
	return r < 0 ? r : start(s, o, target, e);
}

void slu_output_unstage(struct slu_output *o)
{
	if (!o->stage)
		return;
	if (has_kept(o->stage))
		slu_warn("output",
			 "output '%s': what was synced and is not in the store is in '%s/kept'",
			 o->name, o->stage);
	else
		remove_tree(o->stage);
}
