/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json made and written back.  A writer locks the file, sees that it still is what was read, and
 * replaces it by a rename; so two writers at once never lose what the first one wrote.
 */
#include "dataset/workspace.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/folders.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CONFIG_MAX (1u << 20)
#define LOCK_WAIT (60 * SLU_SEC)

/* A complete file beside config.json, under a name of its own; *ret_tmp is that name. */
static int write_beside(int dirfd, const char *text, mode_t mode, char **ret_tmp)
{
	char id[17];
	int r = slu_random_id(id, 8);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *tmp = slu_asprintf(".config.json.%s", id);

	if (!tmp)
		return -ENOMEM;
	r = slu_path_write_atomic(dirfd, tmp, text, strlen(text));
	if (r == 0 && fchmodat(dirfd, tmp, mode, 0) < 0) {
		r = -errno;
		unlinkat(dirfd, tmp, 0);
	}
	if (r == 0)
		*ret_tmp = slu_take(tmp);
	return r;
}

/* Gives tmp the name, or takes it away again.  Not there before: no hard links is no reason to fail. */
static int put_new(int dirfd, const char *tmp, const char *name)
{
	int r = linkat(dirfd, tmp, dirfd, name, 0) < 0 ? -errno : 0;

	if ((r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS) &&
	    renameat2(dirfd, tmp, dirfd, name, RENAME_NOREPLACE) == 0)
		return fsync(dirfd) < 0 ? -errno : 0;
	unlinkat(dirfd, tmp, 0);
	if (r == 0 && fsync(dirfd) < 0)
		r = -errno;
	return r;
}

static char *first_config(const char *name)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *stores = slu_json_object();
	struct json_t *blob = slu_json_object();
	bool ok = slu_json_set_str(blob, "type", "local") == 0 &&
		  slu_json_set_str(blob, "path", ".sluice/workspaceblobstore") == 0;

	if (!ok)
		slu_json_free(slu_take(blob));
	if (slu_json_set(stores, "workspaceblobstore", blob) < 0 ||
	    slu_json_set_str(o, "subscription_id", "local") < 0 ||
	    slu_json_set_str(o, "resource_group", "local") < 0 ||
	    slu_json_set_str(o, "workspace_name", name) < 0 ||
	    slu_json_set_str(o, "root", ".sluice/root") < 0 ||
	    slu_json_set_str(o, "default_compute", "local") < 0 ||
	    slu_json_set_str(o, "default_datastore", "workspaceblobstore") < 0 ||
	    slu_json_set(o, "datastores", slu_json_ref(stores)) < 0)
		return NULL;

	SLU_AUTO(slu_freep) char *text = slu_json_text(o, SLU_JSON_PRETTY);

	return text ? slu_asprintf("%s\n", text) : NULL;
}

static int check_name(const char *name, struct slu_err *e)
{
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '/')
			return slu_fail(e, EINVAL,
					"workspace name '%s' holds a control character or '/'",
					name);
	return *name ? 0 : slu_fail(e, EINVAL, "the workspace name is empty");
}

static int make_config(const char *dir, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = first_config(name);
	SLU_AUTO(slu_freep) char *tmp = NULL;
	SLU_AUTO(slu_closep) int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (!text)
		return slu_fail_oom(e);
	if (dirfd < 0)
		return slu_fail_sys(e, errno, "cannot open the folder '%s'", dir);
	/* It would be found before ours. */
	if (fstatat(dirfd, ".azureml/config.json", &st, 0) == 0)
		return slu_fail(e, EEXIST, "'%s/.azureml/config.json' is a workspace already", dir);
	if (fstatat(dirfd, "config.json", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return slu_fail(e, EEXIST, "'%s/config.json' exists already", dir);
	r = slu_path_mkdirs(dirfd, ".sluice/root", 0755);
	if (r == 0)
		r = slu_path_mkdirs(dirfd, ".sluice/workspaceblobstore", 0755);
	if (r == 0)
		r = write_beside(dirfd, text, 0644, &tmp);
	if (r == 0)
		r = put_new(dirfd, tmp, "config.json");
	if (r == -EEXIST)
		return slu_fail(e, EEXIST, "'%s/config.json' exists already", dir);
	return r < 0 ? slu_fail_sys(e, -r, "cannot make a workspace in '%s'", dir) : 0;
}

int slu_workspace_init(const char *dir, const char *name, char **ret_config_path, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	int r = slu_path_absolute(dir, &abs, e);

	if (r < 0)
		return r;
	if (!name)
		name = *slu_path_base(abs) ? slu_path_base(abs) : "workspace";
	r = check_name(name, e);
	if (r == 0)
		r = slu_folders_make(abs, 0755, e);
	if (r < 0)
		return r;
	path = slu_path_join(abs, "config.json");
	if (!path)
		return slu_fail_oom(e);
	r = make_config(abs, name, e);
	if (r == 0 && ret_config_path)
		*ret_config_path = slu_take(path);
	return r;
}

/* --- saving --- */

static int lock_fd(int fd)
{
	int64_t deadline = slu_deadline_in(LOCK_WAIT);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (slu_expired(deadline))
			return -ETIMEDOUT;
		poll(NULL, 0, 5);
	}
	return 0;
}

/* Opens and locks the file that has this name now: a rename may have given the name to another one
 * while we waited for the lock. */
static int open_locked(const char *path, int *ret_fd, mode_t *ret_mode)
{
	for (;;) {
		SLU_AUTO(slu_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
		struct stat held, named;

		if (fd < 0)
			return -errno;
		int r = lock_fd(fd);

		if (r < 0)
			return r;
		if (fstat(fd, &held) < 0 || stat(path, &named) < 0)
			return -errno;
		if (held.st_dev == named.st_dev && held.st_ino == named.st_ino) {
			*ret_mode = held.st_mode & 07777;
			*ret_fd = slu_take_fd(fd);
			return 0;
		}
	}
}

static int replace(const char *path, const char *text, mode_t mode)
{
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(path);
	SLU_AUTO(slu_freep) char *tmp = NULL;

	if (!dir)
		return -ENOMEM;
	SLU_AUTO(slu_closep) int dirfd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return -errno;
	int r = write_beside(dirfd, text, mode, &tmp);

	if (r < 0)
		return r;
	if (renameat(dirfd, tmp, dirfd, slu_path_base(path)) < 0) {
		r = -errno;
		unlinkat(dirfd, tmp, 0);
		return r;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}

int slu_workspace_save(struct slu_workspace *w, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf now = SLU_BUF(CONFIG_MAX);
	SLU_AUTO(slu_closep) int fd = -1;
	SLU_AUTO(slu_freep) char *json = slu_json_text(w->config, SLU_JSON_PRETTY);
	SLU_AUTO(slu_freep) char *text = json ? slu_asprintf("%s\n", json) : NULL;
	mode_t mode = 0644;

	if (!text)
		return slu_fail_oom(e);
	/* A link stays one: what it leads to is replaced. */
	SLU_AUTO(slu_freep) char *path = realpath(w->config_path, NULL);
	int r = path ? open_locked(path, &fd, &mode) : -errno;

	if (r == 0)
		r = slu_buf_read_fd(&now, fd);
	if (r == 0 && (!w->text || !slu_streq(now.p ? now.p : "", w->text)))
		return slu_fail(
			e, ESTALE,
			"'%s' was changed by someone else meanwhile; try again with what it "
			"holds now",
			w->config_path);
	if (r == 0)
		r = replace(path, text, mode);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot write '%s'", w->config_path);
	free(w->text);
	w->text = slu_take(text);
	return 0;
}
