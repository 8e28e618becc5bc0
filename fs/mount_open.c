/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How files of a mount are opened (mount_open.h): the decision, and the descriptors that the kernel keeps
 * for files that it reads by itself.  Only what the disk cache has checked is passed through: a file of a
 * local store could be changed in place behind the kernel's back, where a read through us gives ESTALE.
 */
#include "fs/mount_open.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/cache.h"

#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

/* linux/fuse.h of older systems does not have these. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* Measured (docs/mount.md): an OPEN and its RELEASE cost 30 us; a byte that we relay from the cache's
 * disk costs 0.5 ns of CPU more than one that is passed through. */
#define WORTH (64u << 10) /* bytes in large files for each file */

struct slu_mopens {
	struct slu_tree *t;
	const struct slu_settings *set;
	pthread_mutex_t lock;
	struct slu_mopened *opened; /* in the memory of the mount; lock */
	int fuse_fd;
	enum slu_mmode mode;
	unsigned depth;
	atomic_bool pass; /* the kernel takes backing files */
};

static const struct slu_cache *any_cache(const struct slu_tree *t)
{
	const struct slu_cache *c = NULL;

	for (size_t i = 0; !c && i < slu_manifest_sources(t->manifest); i++)
		c = slu_cache_of(t->sources[i].store);
	return c;
}

enum slu_mmode slu_mopens_suggest(const struct slu_tree *t, const struct slu_settings *set,
				  bool cached)
{
	const char *want = set->open_mode;
	uint64_t large = 0;
	size_t n = slu_manifest_count(t->manifest);

	if (set->live)
		return SLU_MMODE_ASKED; /* each open is a look at the store */
	if (slu_streq(want, "direct"))
		return SLU_MMODE_DIRECT;
	if (slu_streq(want, "passthrough"))
		return SLU_MMODE_PASS;
	if (slu_streq(want, "none") || !cached)
		return SLU_MMODE_KERNEL;
	for (size_t i = 0; i < n; i++) {
		uint64_t size = slu_manifest_at(t->manifest, i)->size;

		if (size >= SLU_CACHE_SMALL)
			large += size;
	}
	return large / WORTH >= n ? SLU_MMODE_PASS : SLU_MMODE_KERNEL;
}

/* Backing files may lie on no deeper stack of file systems than the mount then counts as itself. */
static unsigned depth_of(const struct slu_cache *c)
{
	struct statfs s;

	return !statfs(slu_cache_where(c), &s) && s.f_type == OVERLAYFS_SUPER_MAGIC ? 2 : 1;
}

int slu_mopens_new(struct slu_tree *t, const struct slu_settings *set, struct slu_mshare *share,
		   struct slu_mopens **ret)
{
	struct slu_mopens *os = slu_new0(struct slu_mopens);
	const struct slu_cache *c = any_cache(t);

	if (!os)
		return -ENOMEM;
	os->t = t;
	os->set = set;
	os->fuse_fd = -1;
	os->opened = slu_mshare_area(share, SLU_MAREA_FLOOR, SLU_MOPENED_LAYOUT, NULL);
	os->mode = os->opened->mode ? os->opened->mode : slu_mopens_suggest(t, set, c);
	if (os->mode == SLU_MMODE_PASS && c)
		os->depth = depth_of(c);
	pthread_mutex_init(&os->lock, NULL);
	*ret = os;
	return 0;
}

void slu_mopens_free(struct slu_mopens *os)
{
	if (!os)
		return;
	pthread_mutex_destroy(&os->lock);
	free(os);
}

unsigned slu_mopens_depth(const struct slu_mopens *os)
{
	return os->depth;
}

enum slu_mmode slu_mopens_mode(const struct slu_mopens *os)
{
	return os->mode;
}

/* --- backing files --- */

/* The id by which the kernel knows fd from now on, or -errno. */
static int backing_open(int fuse_fd, int fd)
{
	struct backing_map map = {.fd = fd};
	int id = ioctl(fuse_fd, BACKING_OPEN, &map);

	return id > 0 ? id : id < 0 ? -errno : -EIO;
}

static void backing_close(int fuse_fd, int32_t id)
{
	uint32_t arg = (uint32_t)id;

	if (ioctl(fuse_fd, BACKING_CLOSE, &arg))
		slu_debug("mount", "backing file %d: %s", (int)id, strerror(errno));
}

/* May we at all?  It takes CAP_SYS_ADMIN, and a kernel that does it. */
static int try_backing(int fuse_fd)
{
	SLU_AUTO(slu_closep) int fd = memfd_create("sluice-try", MFD_CLOEXEC);
	int id = fd < 0 ? -errno : backing_open(fuse_fd, fd);

	if (id < 0)
		return id;
	backing_close(fuse_fd, id);
	return 0;
}

void slu_mopens_decide(struct slu_mopens *os, int fuse_fd, bool can_skip, bool can_pass)
{
	static const char *const words[] = {[SLU_MMODE_KERNEL] = "opened by the kernel",
					    [SLU_MMODE_PASS] = "passed through when whole",
					    [SLU_MMODE_DIRECT] = "read past the page cache",
					    [SLU_MMODE_ASKED] = "opened by us"};
	bool heir = os->opened->mode;
	int r = 0;

	os->fuse_fd = fuse_fd;
	if (os->mode == SLU_MMODE_PASS) {
		if (!os->depth)
			r = -ENODATA;
		else
			r = can_pass ? try_backing(fuse_fd) : -EOPNOTSUPP;
		atomic_store(&os->pass, !r);
	}
	if (r)
		slu_debug("mount", "files are not passed through: %s",
			  r == -ENODATA ? "there is no disk cache" : strerror(-r));
	if (!heir && r)
		os->mode = SLU_MMODE_KERNEL;
	if (!heir && os->mode == SLU_MMODE_KERNEL && !can_skip)
		os->mode = SLU_MMODE_ASKED;
	os->opened->mode = os->mode;
	slu_debug("mount", "files are %s", words[os->mode]);
}

/* A descriptor of the file whole in the disk cache, known to the kernel; its id or -errno. */
static int pass_through(struct slu_mopens *os, uint32_t at)
{
	const struct slu_file *f = slu_manifest_at(os->t->manifest, at);
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_closep) int fd = -1;
	struct slu_store *store;
	int r;

	if (f->size < SLU_CACHE_SMALL)
		return -ENODATA;
	r = slu_tree_locate(os->t, at, &store, &path);
	if (!r)
		r = slu_cache_whole(store, path, f->id, f->size, SLU_CACHE_NOWAIT, &fd);
	if (r)
		return r;
	r = backing_open(os->fuse_fd, fd);
	slu_debug("mount", "'%s' %s passed through%s%s", f->path, r < 0 ? "cannot be" : "is",
		  r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
	if (r == -EPERM || r == -EOPNOTSUPP || r == -ELOOP)
		atomic_store(&os->pass, false);
	return r;
}

/* --- requests --- */

enum slu_mway slu_mopens_open(struct slu_mopens *os, uint64_t ino, uint32_t at, int32_t *ret_id)
{
	bool may_pass;
	enum slu_mway way;
	int32_t id = 0;
	int mine = 0;

	*ret_id = 0;
	if (os->mode == SLU_MMODE_DIRECT)
		return SLU_MWAY_DIRECT;
	pthread_mutex_lock(&os->lock);
	way = slu_mopened_again(os->opened, ino, &id);
	may_pass = !way && slu_mopened_may_pass(os->opened, ino);
	pthread_mutex_unlock(&os->lock);
	if (may_pass && atomic_load(&os->pass))
		mine = pass_through(os, at);
	if (mine < 0)
		mine = 0;
	if (!way) {
		pthread_mutex_lock(&os->lock);
		/* Somebody else may have opened it meanwhile, and then it is as they have it. */
		way = slu_mopened_again(os->opened, ino, &id);
		if (!way) {
			way = slu_mopened_first(os->opened, ino, mine);
			id = way == SLU_MWAY_PASSED ? mine : 0;
		}
		pthread_mutex_unlock(&os->lock);
	}
	if (mine && id != mine)
		backing_close(os->fuse_fd, mine);
	*ret_id = id;
	return way;
}

void slu_mopens_release(struct slu_mopens *os, uint64_t ino, enum slu_mway way, bool again)
{
	int32_t id;

	if (again)
		return; /* better counted too high than too low: mount_opened.h */
	pthread_mutex_lock(&os->lock);
	id = slu_mopened_release(os->opened, ino, way);
	/* Under the lock: the next open of the file gets an id of its own only after this one is closed. */
	if (id)
		backing_close(os->fuse_fd, id);
	pthread_mutex_unlock(&os->lock);
}
