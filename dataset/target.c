/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an input or output of a step is on this machine: a folder below the run's own, or the one that its
 * path_on_compute says, which has to be empty and is empty again afterwards.
 */
#include "dataset/target.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int check_empty(const char *at, bool *ret_there, struct slu_err *e)
{
	SLU_AUTO(slu_closedirp) DIR *d = opendir(at);
	const struct dirent *n;

	if (!d && errno != ENOENT)
		return slu_fail_sys(e, errno, "path_on_compute '%s'", at);
	*ret_there = d;
	while (d && (n = readdir(d)))
		if (!slu_streq(n->d_name, ".") && !slu_streq(n->d_name, ".."))
			return slu_fail(
				e, ENOTEMPTY,
				"path_on_compute '%s' is not empty, it has '%s': name another folder",
				at, n->d_name);
	return 0;
}

int slu_target_make(const char *place, const char *name, const char *at, bool *ret_made, char **ret,
		    struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *up = NULL, *made = NULL;
	bool there = false;
	int r;

	if (!at)
		return slu_input_place(place, name, ret, e);
	up = slu_path_dir(at);
	if (!up)
		return slu_fail_oom(e);
	r = check_empty(at, &there, e);
	if (r == 0)
		r = slu_input_place(*up ? up : "/", slu_path_base(at), &made, e);
	if (r < 0)
		return r;
	*ret = slu_strdup(at);
	*ret_made = !there;
	return *ret ? 0 : slu_fail_oom(e);
}

/* A mount that would not go: what is in it is in the store. */
static bool is_served(int fd)
{
	struct statfs fs;

	return slu_path_is_mount(fd, "") &&
	       (fstatfs(fd, &fs) < 0 || (long)fs.f_type == FUSE_SUPER_MAGIC);
}

void slu_target_clear(const char *at, bool made)
{
	/* A program may have put a link there, to what is not ours. */
	int fd = open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *n;

	if (!d && fd >= 0)
		close(fd);
	if (d && is_served(dirfd(d)))
		r = -EBUSY;
	while (d && r == 0 && (n = readdir(d)))
		if (!slu_streq(n->d_name, ".") && !slu_streq(n->d_name, ".."))
			r = slu_path_rmtree(dirfd(d), n->d_name);
	if (r < 0)
		slu_warn("input", "'%s' is not empty again: %s", at, strerror(-r));
	else if (made)
		(void)rmdir(at);
}
