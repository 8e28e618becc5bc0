/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of the disk cache: where it is, whether it may be used, what is in it.  Only this user may have
 * any right to it, so that nobody can put a file there; and it has to be on a disk of this machine, since
 * locks, unlinked files and speed are not what they are here on others, and a cache on a mount of ours would
 * wait for itself.
 */
#include "fs/cache_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/budget.h"
#include "io/crypt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define RESERVE 150000000     /* 150 MB, as Azure ML has it */
#define WRITE_QUEUE 512000000 /* beside the budget of the process, which is less */
#define MAX_LEAST (1u << 20)

/* Not in linux/magic.h. */
#define CIFS_MAGIC 0xff534d42L
#define LUSTRE_MAGIC 0x0bd00bd0L
#define GPFS_MAGIC 0x47504653L

int slu_cache_default_dir(char **ret, struct slu_err *e)
{
	const char *own = getenv("SLUICE_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME");
	SLU_AUTO(slu_freep) char *home = slu_path_home();
	char *dir = NULL;

	if (own && *own)
		return slu_path_absolute(own, ret, e);
	if (xdg && *xdg == '/')
		dir = slu_path_join(xdg, "sluice");
	else if (home)
		dir = slu_path_join(home, ".cache/sluice");
	else
		return slu_fail(e, ENOENT, "no home folder for the disk cache: set cache_dir");
	if (!dir)
		return slu_fail_oom(e);
	*ret = dir;
	return 0;
}

static int check_conf(struct slu_cache_conf *f, struct slu_err *e)
{
	if (!f->reserve)
		f->reserve = RESERVE;
	if (f->prune_at == 0)
		f->prune_at = 1.0;
	if (f->prune_to == 0)
		f->prune_to = f->prune_at < 0.7 ? f->prune_at : 0.7;
	if (!f->write_queue)
		f->write_queue = WRITE_QUEUE;
	if (f->max && f->max < MAX_LEAST)
		return slu_fail(
			e, EINVAL,
			"the disk cache has to have 1 MiB at least, not %llu bytes: give it "
			"more with --cache-size",
			(unsigned long long)f->max);
	if (!(f->prune_at > 0 && f->prune_at <= 1) ||
	    !(f->prune_to > 0 && f->prune_to <= f->prune_at))
		return slu_fail(
			e, EINVAL,
			"the disk cache is pruned at %g of its size, to %g: both have to be shares from 0 "
			"to 1, the second not above the first",
			f->prune_at, f->prune_to);
	return 0;
}

static bool is_elsewhere(long type)
{
	switch (type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_MAGIC:
	case CEPH_SUPER_MAGIC:
	case AFS_SUPER_MAGIC:
	case CODA_SUPER_MAGIC:
	case V9FS_MAGIC:
	case FUSE_SUPER_MAGIC:
	case LUSTRE_MAGIC:
	case GPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* others: what they may not do there. */
static int check_dir(const char *dir, int fd, mode_t others, struct slu_err *e)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return slu_fail_sys(e, errno, "cannot look at the cache folder '%s'", dir);
	if (st.st_uid != geteuid() || (st.st_mode & others))
		return slu_fail(e, EPERM,
				"the cache folder '%s' has to be yours alone: %s another one with "
				"SLUICE_CACHE_DIR",
				dir,
				st.st_uid != geteuid() ? "it belongs to another user: name"
				: st.st_mode & S_ISVTX ? "it is everybody's: name"
						       : "`chmod 700` it, or name");
	if (is_elsewhere((long)fs.f_type))
		return slu_fail(
			e, EXDEV,
			"the cache folder '%s' is on a network or FUSE file system: name one on a disk of "
			"this machine with SLUICE_CACHE_DIR",
			dir);
	return 0;
}

/* mkdir -p; only what is made is 0700. */
static int make_dir(const char *dir, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r = 0;

	if (stat(dir, &st) == 0)
		return 0;
	while (*dir == '/')
		dir++;
	if (root < 0)
		return slu_fail_sys(e, errno, "cannot open '/'");
	r = slu_path_mkdirs(root, dir, 0700);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make the cache folder '/%s'", dir);
	return 0;
}

static int open_dir(struct slu_cache *c, struct slu_err *e)
{
	int r = c->conf.existing ? 0 : make_dir(c->dir, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_closep) int top = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (c->conf.existing &&
	    (top < 0 ? errno == ENOENT : faccessat(top, "v1", F_OK, 0) && errno == ENOENT))
		return slu_fail(
			e, ENOENT,
			"there is no disk cache in '%s': mounts and downloads make one with "
			"--cache, `sluice cache warm` does",
			c->dir);
	if (top < 0)
		return slu_fail_sys(e, errno, "cannot open the cache folder '%s'", c->dir);
	r = check_dir(c->dir, top, 022, e);
	if (r < 0)
		return r;
	if (mkdirat(top, "v1", 0700) < 0 && errno != EEXIST)
		return slu_fail_sys(e, errno, "cannot write to the cache folder '%s'", c->dir);
	c->fd = openat(top, "v1", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->fd < 0)
		return slu_fail_sys(e, errno, "cannot open the cache folder '%s/v1'", c->dir);
	SLU_AUTO(slu_freep) char *in = slu_path_join(c->dir, "v1");

	return in ? check_dir(in, c->fd, 077, e) : slu_fail_oom(e);
}

static int read_boot(struct slu_cache *c, struct slu_err *e)
{
	char id[64] = "";
	SLU_AUTO(slu_closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof(id) - 1);

	/* Without it nothing is taken for checked: each process has its own boot then. */
	if (n <= 0 && slu_random_bytes(id, sizeof(id)) < 0)
		return slu_fail(e, EIO, "cannot read random numbers");
	return slu_digest(SLU_SHA256, id, sizeof(id), c->boot) < 0 ? slu_fail_oom(e) : 0;
}

int slu_cache_open(const struct slu_cache_conf *conf, struct slu_cache **ret, struct slu_err *e)
{
	struct slu_cache *c = slu_new0(struct slu_cache);

	if (!c)
		return slu_fail_oom(e);
	c->fd = c->use_fd = -1;
	c->conf = *conf;
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->space, NULL);
	pthread_cond_init(&c->idle, NULL);
	c->dir = slu_strdup(conf->dir);
	c->conf.dir = c->dir;
	c->entries = slu_hash_new();
	int r = c->dir && c->entries ? check_conf(&c->conf, e) : slu_fail_oom(e);

	if (r == 0)
		r = open_dir(c, e);
	if (r == 0)
		r = read_boot(c, e);
	if (r == 0)
		r = slu_cspace_open(c, e);
	if (r == 0 && !c->conf.budget && !(c->conf.budget = slu_budget_process()))
		r = slu_fail_oom(e);
	if (r == 0)
		r = slu_pool_new(c->conf.threads, &c->pool, e);
	if (r < 0) {
		slu_cache_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

const char *slu_cache_where(const struct slu_cache *c)
{
	return c->dir;
}

/* --- the scan --- */

void slu_cdir_name(unsigned i, char out[3])
{
	uint8_t b = (uint8_t)i;

	slu_hex(out, &b, 1);
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* The other file of a long entry: out gets its name. */
static bool sibling(const char *name, char suffix, char out[SLU_CNAME])
{
	size_t n = strlen(name);

	if (n < 3 || n >= SLU_CNAME)
		return false;
	memcpy(out, name, n + 1);
	out[n - 1] = suffix;
	return true;
}

/* 1: nothing to tell. */
static int look(int dirfd, const char *name, struct slu_cfile *f)
{
	size_t n = strlen(name);
	char kind = n > 2 && name[n - 2] == '.' ? name[n - 1] : '\0';
	char other[SLU_CNAME];
	struct stat st, also;

	if (name[0] == '.' || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 1;
	if (kind == 'd' && sibling(name, 'm', other) &&
	    fstatat(dirfd, other, &also, AT_SYMLINK_NOFOLLOW) == 0)
		return 1; /* told with its map */
	*f = (struct slu_cfile){.dirfd = dirfd, .name = name, .used_ns = mtime_of(&st)};
	f->bytes = (uint64_t)st.st_blocks * 512;
	if (kind == 'm' && sibling(name, 'd', other) &&
	    fstatat(dirfd, other, &also, AT_SYMLINK_NOFOLLOW) == 0)
		f->bytes += (uint64_t)also.st_blocks * 512;
	return 0;
}

int slu_cache_scan(struct slu_cache *c, int (*fn)(void *user, const struct slu_cfile *f),
		   void *user)
{
	int r = 0;

	for (unsigned i = 0; i < SLU_CDIRS && r == 0; i++) {
		char name[3];

		slu_cdir_name(i, name);
		int fd = openat(c->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		SLU_AUTO(slu_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
		const struct dirent *at;

		if (!d && fd >= 0)
			close(fd);
		while (d && r == 0 && (at = readdir(d))) {
			struct slu_cfile f;

			if (look(dirfd(d), at->d_name, &f) == 0)
				r = fn(user, &f);
		}
	}
	return r;
}

void slu_cfile_remove(const struct slu_cfile *f)
{
	char other[SLU_CNAME];

	if (unlinkat(f->dirfd, f->name, 0) < 0 && errno != ENOENT)
		slu_debug("cache", "cannot remove '%s': %s", f->name, strerror(errno));
	if (slu_ends(f->name, ".m") && sibling(f->name, 'd', other))
		unlinkat(f->dirfd, other, 0);
}
