/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of stages: counts of a session, and what sessions that ended have left on the disk (stage.h). */
#include "fs/stage_impl.h"

#include "common/buf.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/cache.h"
#include "fs/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STEP_MS 20

void slu_stages_count(struct slu_stages *t, struct slu_stages_counts *ret)
{
	uint64_t pos = 0;

	*ret = (struct slu_stages_counts){0};
	for (;;) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(t, &pos);
		struct slu_stage_info i;

		if (!s)
			break;
		slu_stage_info(s, &i);
		if (i.type) {
			ret->links += !i.removed;
			continue;
		}
		ret->files++;
		ret->dirty += i.dirty && !i.removed;
		ret->failed += i.failed && !i.removed;
	}
}

int slu_stages_dir(const struct slu_settings *set, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *cache = NULL;
	int r;

	if (!set->chosen[SLU_SET_stage_dir] && set->stage_dir[0])
		return slu_path_absolute(set->stage_dir, ret, e);
	r = slu_cache_default_dir(&cache, e);
	if (r)
		return r;
	*ret = slu_path_join(cache, "stage");
	return *ret ? 0 : slu_fail_oom(e);
}

static DIR *open_list(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static void add_name(struct slu_stages_left *ret, const char *name)
{
	size_t n = strlen(ret->names);

	if (n + strlen(name) + 5 < sizeof ret->names)
		snprintf(ret->names + n, sizeof ret->names - n, "%s'%s'", n ? ", " : "", name);
}

static uint64_t size_of(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (uint64_t)st.st_size;
}

static void add_session(DIR *d, struct slu_stages_left *ret)
{
	const struct dirent *e;

	while ((e = readdir(d))) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_STAGE_RECORD_MAX);
		struct slu_stage_info i = {0};
		char data[NAME_MAX + 1], *path = NULL;

		if (!slu_ends(e->d_name, ".rec") || slu_buf_read_at(&b, dirfd(d), e->d_name) < 0 ||
		    !b.len || b.p[b.len - 1] || !slu_stage_parse(b.p, &i, &path) || i.type ||
		    i.removed || !i.dirty || !i.synced)
			continue;
		snprintf(data, sizeof data, "%.*sdata", (int)strlen(e->d_name) - 3, e->d_name);
		ret->files++;
		ret->bytes += size_of(dirfd(d), data);
		add_name(ret, path);
	}
}

static void add_kept(int root, struct slu_stages_left *ret)
{
	SLU_AUTO(slu_closedirp) DIR *d = open_list(root, SLU_STAGE_KEPT);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		ret->kept++;
		ret->kept_bytes += size_of(dirfd(d), e->d_name);
	}
}

int slu_stages_left(const char *session, int64_t deadline, struct slu_stages_left *ret)
{
	SLU_AUTO(slu_closedirp) DIR *d = open_list(AT_FDCWD, session);

	*ret = (struct slu_stages_left){0};
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (flock(dirfd(d), LOCK_SH | LOCK_NB)) {
		if (errno != EWOULDBLOCK || slu_expired(deadline))
			return -EBUSY;
		poll(NULL, 0, STEP_MS);
	}
	add_session(d, ret);
	return 0;
}

void slu_stages_left_in(const char *dir, struct slu_stages_left *ret)
{
	SLU_AUTO(slu_closedirp) DIR *root = open_list(AT_FDCWD, dir);
	const struct dirent *p, *e;

	*ret = (struct slu_stages_left){0};
	while (root && (p = readdir(root))) {
		if (p->d_name[0] == '.' || slu_streq(p->d_name, SLU_STAGE_KEPT))
			continue;
		SLU_AUTO(slu_closedirp) DIR *place = open_list(dirfd(root), p->d_name);

		while (place && (e = readdir(place))) {
			SLU_AUTO(slu_closedirp)
			DIR *d = e->d_name[0] == '.' ? NULL : open_list(dirfd(place), e->d_name);

			if (d && !flock(dirfd(d), LOCK_SH | LOCK_NB))
				add_session(d, ret);
		}
	}
	if (root)
		add_kept(dirfd(root), ret);
}
