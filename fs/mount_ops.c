/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata requests of a mount, all answered from the inode table in the thread that read them.
 * What has no function here is refused by libfuse with ENOSYS, after which the kernel does not ask
 * again: FLUSH, extended attributes, locks, ioctl.  Nothing that changes anything arrives: the mount
 * is read-only.
 */
#include "common/mem.h"
#include "fs/mount_guard.h"
#include "fs/mount_impl.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define VALID 3600.0        /* content is pinned: seconds that names and attributes stay */
#define VALID_MISSING 600.0 /* and the absence of a name */
#define BLOCK 4096u
#define DIR_BUF (64u << 10)
#define NSEC 1000000000LL
/* linux/fuse.h of older systems does not have these. */
#define OPEN_PASSTHROUGH (1u << 7)

static struct timespec time_of(int64_t ns)
{
	int64_t rest = ns % NSEC;

	if (rest < 0)
		rest += NSEC;
	return (struct timespec){.tv_sec = (ns - rest) / NSEC, .tv_nsec = rest};
}

static void fill_stat(const struct slu_mount *m, const struct slu_mnode *n, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = n->ino;
	st->st_mode = (n->dir ? S_IFDIR | 0555 : S_IFREG | 0444) & ~(mode_t)(m->o->umask & 0777);
	st->st_nlink = n->dir ? 2 + n->subdirs : 1;
	st->st_uid = m->o->uid;
	st->st_gid = m->o->gid;
	st->st_size = (off_t)n->size;
	st->st_blocks = (blkcnt_t)((n->size + 511) / 512);
	st->st_blksize = BLOCK;
	st->st_mtim = time_of(n->mtime_ns);
	st->st_atim = st->st_ctim = st->st_mtim;
}

static double valid(const struct slu_mount *m)
{
	int64_t set = m->set->attr_timeout;

	return set < 0 ? VALID : (double)set / NSEC;
}

static void fill_entry(const struct slu_mount *m, const struct slu_mnode *n,
		       struct fuse_entry_param *p)
{
	*p = (struct fuse_entry_param){
		.ino = n->ino, .attr_timeout = valid(m), .entry_timeout = valid(m)};
	fill_stat(m, n, &p->attr);
}

static void op_init(void *mount, struct fuse_conn_info *c)
{
	struct slu_mount *m = mount;

	c->want = c->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS |
				FUSE_CAP_PARALLEL_DIROPS);
	m->can_skip_open = c->capable & FUSE_CAP_NO_OPEN_SUPPORT;
	m->no_opendir = c->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	c->max_write = SLU_MREQUEST_MAX;
	c->max_read = SLU_MREAD_MAX;
	c->max_background = 64;
	c->congestion_threshold = 48;
	if (m->uring)
		slu_muring_want(m, c);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct slu_mount *m = fuse_req_userdata(req);
	struct fuse_entry_param p;
	struct slu_mnode n;
	int r = strlen(name) > SLU_MNAME_MAX ? -ENAMETOOLONG
					     : slu_mtree_lookup(m->nodes, parent, name, &n);

	if (r == -ENOENT) {
		p = (struct fuse_entry_param){.entry_timeout = VALID_MISSING};
		fuse_reply_entry(req, &p);
	} else if (r) {
		fuse_reply_err(req, -r);
	} else {
		fill_entry(m, &n, &p);
		fuse_reply_entry(req, &p);
	}
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mount *m = fuse_req_userdata(req);
	struct slu_mnode n;
	struct stat st;

	(void)fi;
	if (slu_mtree_get(m->nodes, ino, &n)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill_stat(m, &n, &st);
	fuse_reply_attr(req, &st, valid(m));
}

/* Not fuse_reply_open(): libfuse before 3.17 knows no backing ids. */
static void reply_open(fuse_req_t req, enum slu_mway way, int32_t id)
{
	struct {
		uint64_t fh; /* comes back with RELEASE */
		uint32_t flags;
		int32_t backing_id;
	} out = {.fh = way, .flags = FOPEN_NOFLUSH, .backing_id = id};

	if (way == SLU_MWAY_PASSED)
		out.flags |= OPEN_PASSTHROUGH; /* and nothing else: the kernel would refuse it */
	else
		out.flags |= way == SLU_MWAY_DIRECT ? FOPEN_DIRECT_IO : FOPEN_KEEP_CACHE;
	fuse_reply_buf(req, (const char *)&out, sizeof out);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mount *m = fuse_req_userdata(req);
	struct slu_mnode n;
	int32_t id;

	(void)fi;
	if (slu_mopens_mode(m->opens) == SLU_MMODE_KERNEL) {
		fuse_reply_err(req, ENOSYS); /* the kernel opens by itself, and keeps pages */
	} else if (slu_mtree_get(m->nodes, ino, &n) || n.dir) {
		fuse_reply_err(req, ENOENT);
	} else {
		enum slu_mway way = slu_mopens_open(m->opens, ino, n.at, &id);

		reply_open(req, way, id);
	}
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mount *m = fuse_req_userdata(req);

	slu_mopens_release(m->opens, ino, (enum slu_mway)fi->fh, slu_minit_again());
	fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mount *m = fuse_req_userdata(req);

	(void)ino;
	if (m->no_opendir) {
		fuse_reply_err(req, ENOSYS); /* as above; it caches the listing too */
		return;
	}
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

/* One directory listing in the making. */
struct listing {
	struct slu_mount *m;
	fuse_req_t req;
	char *p;
	size_t n, max;
	bool plus;
};

/* False: no room for it. */
static bool add_entry(struct listing *l, const char *name, const struct slu_mnode *n, uint64_t next)
{
	struct fuse_entry_param p;
	size_t need;

	fill_entry(l->m, n, &p);
	if (l->plus) {
		if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
			p.ino = 0; /* the kernel looks these two up by itself */
		need = fuse_add_direntry_plus(l->req, l->p + l->n, l->max - l->n, name, &p,
					      (off_t)next);
	} else {
		need = fuse_add_direntry(l->req, l->p + l->n, l->max - l->n, name, &p.attr,
					 (off_t)next);
	}
	if (need > l->max - l->n)
		return false;
	l->n += need;
	return true;
}

/* "." and "..", positions 1 and 2; children follow. */
static bool add_dots(struct listing *l, const struct slu_mdir *d, uint64_t off)
{
	struct slu_mnode n;

	if (off < 1 && (slu_mtree_get(l->m->nodes, d->ino, &n) || !add_entry(l, ".", &n, 1)))
		return false;
	if (off < 2 && (slu_mtree_get(l->m->nodes, d->parent, &n) || !add_entry(l, "..", &n, 2)))
		return false;
	return true;
}

static void add_children(struct listing *l, struct slu_mdir *d)
{
	char name[SLU_MNAME_MAX + 1];
	struct slu_mnode n;
	const char *s;
	size_t len;
	uint64_t next;

	while (slu_mdir_next(d, &n, &s, &len, &next)) {
		memcpy(name, s, len);
		name[len] = '\0';
		if (!add_entry(l, name, &n, 2 + next))
			return;
	}
}

static void list_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	char buf[DIR_BUF / 4];
	struct listing l = {
		.m = fuse_req_userdata(req), .req = req, .p = buf, .max = sizeof buf, .plus = plus};
	struct slu_mdir d;
	uint64_t at = (uint64_t)off;

	if (!off && slu_mguard_refuses(l.m, req)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	int r = slu_mdir_open(l.m->nodes, ino, at > 2 ? at - 2 : 0, &d);

	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	if (size > DIR_BUF)
		size = DIR_BUF;
	if (size > sizeof buf) {
		l.p = slu_malloc(size);
		if (!l.p) {
			fuse_reply_err(req, ENOMEM);
			return;
		}
	}
	l.max = size;
	if (add_dots(&l, &d, at))
		add_children(&l, &d);
	fuse_reply_buf(req, l.p, l.n);
	if (l.p != buf)
		free(l.p);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list_dir(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list_dir(req, ino, size, off, true);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	slu_mread(fuse_req_userdata(req), req, ino, size, (uint64_t)off, fi);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct slu_mount *m = fuse_req_userdata(req);
	struct statvfs s = {.f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = SLU_MNAME_MAX};

	(void)ino;
	s.f_blocks = (slu_manifest_bytes(m->t->manifest) + BLOCK - 1) / BLOCK;
	s.f_files = slu_mtree_nodes(m->nodes);
	fuse_reply_statfs(req, &s);
}

const struct fuse_lowlevel_ops slu_mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
};
