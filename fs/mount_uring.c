/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE over io_uring, where libfuse (3.18 and later) and the host have it: the kernel hands a request to
 * the thread of the CPU that it was made on.  libfuse keeps the rings, and they die with the process that made
 * them, requests in flight included; so only a mount without a supervisor can have it.  The session is
 * then libfuse's own: nothing is added to its INIT, and its loop takes what does not come by a ring
 * (FORGET, INTERRUPT).  Here: the choice, and handlers that count as mount.c does for other sessions.
 */
#include "common/log.h"
#include "common/str.h"
#include "fs/mount_live.h"
#include "fs/mount_rw.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define SWITCH "/sys/module/fuse/parameters/enable_uring"

#ifdef FUSE_CAP_OVER_IO_URING

static bool host_allows(void)
{
	SLU_AUTO(slu_closep) int fd = open(SWITCH, O_RDONLY | O_CLOEXEC);
	char c = 'N';

	return fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y';
}

static const char *missing(const struct slu_mount *m)
{
	if (!slu_mlink_alone(&m->link))
		return "a mount with a supervisor cannot have it: add --no-supervisor";
	if (m->init.hide)
		return "SLUICE_FUSE_MASK is set: unset it";
	return host_allows() ? NULL : "the host does not allow it: as root, echo 1 > " SWITCH;
}

#define OPS(m) ((m)->live ? &slu_mlive_ops : &slu_mount_ops)

/* libfuse cancels the threads of its rings in the end, after it woke them: waking is enough, and they may
 * hold a lock. */
static int64_t enter(struct slu_mount *m, fuse_req_t req)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (!atomic_load_explicit(&m->by_ring, memory_order_relaxed) && fuse_req_is_uring(req))
		atomic_store(&m->by_ring, true);
	return slu_now();
}

#define COUNTED(kind, name, params, ...)                                                           \
	static void counted_##name params                                                          \
	{                                                                                          \
		struct slu_mount *m = fuse_req_userdata(req);                                      \
		int64_t begun = enter(m, req);                                                     \
                                                                                                   \
		OPS(m)->name(__VA_ARGS__);                                                         \
		slu_stat_since(SLU_STAT_FUSE_##kind, begun, 0);                                    \
	}
COUNTED(LOOKUP, lookup, (fuse_req_t req, fuse_ino_t up, const char *name), req, up, name)
COUNTED(GETATTR, getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
COUNTED(OPEN, open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
COUNTED(OPEN, opendir, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
COUNTED(READDIR, readdir,
	(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req,
	ino, size, off, fi)
COUNTED(READDIR, readdirplus,
	(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req,
	ino, size, off, fi)

/* Counted where it is answered. */
static void read_bytes(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct slu_mount *m = fuse_req_userdata(req);

	(void)enter(m, req);
	OPS(m)->read(req, ino, size, off, fi);
}

void slu_muring_ops(const struct slu_mount *m, struct fuse_lowlevel_ops *ret)
{
	*ret = *OPS(m);
	if (m->rw)
		slu_mrw_ops_of(ret);
	if (!m->uring)
		return;
	ret->lookup = counted_lookup;
	ret->getattr = counted_getattr;
	ret->open = counted_open;
	ret->opendir = counted_opendir;
	ret->readdir = counted_readdir;
	ret->readdirplus = counted_readdirplus;
	ret->read = read_bytes;
}

void slu_muring_want(struct slu_mount *m, struct fuse_conn_info *c)
{
	unsigned depth = slu_mopens_depth(m->opens);

	c->want |= c->capable & (FUSE_CAP_OVER_IO_URING | FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	if (depth && (c->capable & FUSE_CAP_PASSTHROUGH)) {
		c->want |= FUSE_CAP_PASSTHROUGH;
		c->max_backing_stack_depth = depth;
		m->init.agreed |= SLU_MINIT_PASSTHROUGH;
	}
	c->max_write = SLU_MREAD_MAX; /* the size of a ring's buffers, and so of a read */
	m->init.answered = true;
}

void slu_muring_loop(struct slu_mount *m)
{
	(void)fuse_session_loop(m->se); /* and ends the rings */
}

#else

static const char *missing(const struct slu_mount *m)
{
	(void)m;
	return "this program was built with a libfuse before 3.18: build it with a later one";
}

void slu_muring_ops(const struct slu_mount *m, struct fuse_lowlevel_ops *ret)
{
	*ret = m->live ? slu_mlive_ops : slu_mount_ops;
	if (m->rw)
		slu_mrw_ops_of(ret);
}

void slu_muring_want(struct slu_mount *m, struct fuse_conn_info *c)
{
	(void)m;
	(void)c;
}

void slu_muring_loop(struct slu_mount *m)
{
	(void)m;
}

#endif

int slu_muring_choose(struct slu_mount *m, struct slu_err *e)
{
	const char *set = m->set->io_uring, *why;

	if (slu_streq(set, "off"))
		return 0;
	why = m->rw ? "it takes writes" : missing(m);
	m->uring = !why;
	if (why && slu_streq(set, "on"))
		return slu_fail(e, ENOTSUP, "'%s' cannot use io_uring: %s", m->where, why);
	slu_debug("mount", "'%s': io_uring is %s%s%s", m->where, why ? "not used" : "asked for",
		  why ? ": " : "", why ? why : "");
	return 0;
}
