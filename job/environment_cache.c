/* SPDX-License-Identifier: Apache-2.0 */
/* The environments that are kept: where, which, and how one goes.  How they are laid out: environment_build.c. */
#include "job/environment.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { RECORD_MAX = 2 << 20, KEY_LEN = 32 };

int slu_environment_folder(char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *cache = NULL;
	int r = slu_cache_default_dir(&cache, e);

	if (r < 0)
		return r;
	*ret = slu_path_join(cache, "environments");
	return *ret ? 0 : slu_fail_oom(e);
}

static bool is_key(const char *name)
{
	return strlen(name) == KEY_LEN && strspn(name, "0123456789abcdef") == KEY_LEN;
}

/* What has no record is not whole, or just going. */
static struct json_t *read_record(const char *folder, const char *key)
{
	SLU_AUTO(slu_freep)
	char *path = slu_asprintf("%s/%s/environment.json", folder, key);
	SLU_AUTO(slu_freep) char *prefix = slu_asprintf("%s/%s/env", folder, key);
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

	if (!path || !prefix || slu_json_read_file(path, RECORD_MAX, &o, NULL) < 0 ||
	    slu_json_set_str(o, "path", prefix) < 0)
		return NULL;
	return slu_take(o);
}

int slu_environment_list(struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = slu_json_array();
	SLU_AUTO(slu_freep) char *folder = NULL;
	int r = slu_environment_folder(&folder, e);
	SLU_AUTO(slu_closedirp) DIR *dir = r == 0 ? opendir(folder) : NULL;

	if (r < 0 || !list)
		return r < 0 ? r : slu_fail_oom(e);
	if (!dir && errno != ENOENT)
		return slu_fail_sys(e, errno, "cannot read '%s'", folder);
	for (struct dirent *d; dir && (d = readdir(dir));) {
		struct json_t *o = is_key(d->d_name) ? read_record(folder, d->d_name) : NULL;

		if (o && slu_json_append(list, o) < 0)
			return slu_fail_oom(e);
	}
	*ret = slu_take(list);
	return 0;
}

int slu_environment_find(const char *key, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL;
	struct json_t *found = NULL;
	int r = slu_environment_list(&list, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < slu_json_count(list); i++) {
		struct json_t *o = slu_json_at(list, i);
		const char *k = slu_json_str(o, "key"), *name = slu_json_str(o, "name");

		if (!k || !((*key && slu_starts(k, key)) || (name && slu_streq(name, key))))
			continue;
		if (found)
			return slu_fail(e, EINVAL,
					"'%s' is more than one environment: give more of its key",
					key);
		found = o;
	}
	if (!found)
		return slu_fail(e, ENOENT,
				"there is no environment '%s'; `sluice environment list` shows "
				"those that are kept",
				key);
	*ret = slu_json_ref(found);
	return 0;
}

/* The record goes first: from then on it is not there, whatever happens to the rest.  The lock's file stays: who
 * waits for it must not hold another one than who comes later. */
static int remove_folder(int dirfd, const char *key)
{
	SLU_AUTO(slu_freep) char *record = slu_asprintf("%s/environment.json", key);
	SLU_AUTO(slu_freep) char *log = slu_asprintf("%s.log", key);

	if (!record || !log)
		return -ENOMEM;
	if (unlinkat(dirfd, record, 0) < 0 && errno != ENOENT)
		return -errno;
	unlinkat(dirfd, log, 0);
	return slu_path_rmtree_mine(dirfd, key);
}

int slu_environment_delete(const char *key, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	SLU_AUTO(slu_freep) char *folder = NULL, *lock = NULL;
	SLU_AUTO(slu_closep) int dirfd = -1, fd = -1;
	int r = slu_environment_find(key, &o, e);
	const char *whole = r == 0 ? slu_json_str(o, "key") : NULL;

	if (r < 0 || (r = slu_environment_folder(&folder, e)) < 0)
		return r;
	lock = slu_asprintf("%s.lock", whole);
	if (!lock)
		return slu_fail_oom(e);
	dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dirfd < 0 ? -1 : openat(dirfd, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot open '%s/%s'", folder, lock);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return slu_fail(e, EBUSY, "environment '%s' is used or made just now: try later",
				slu_json_str(o, "name"));
	r = remove_folder(dirfd, whole);
	return r < 0 ? slu_fail_sys(e, -r, "cannot remove '%s/%s'", folder, whole) : 0;
}
