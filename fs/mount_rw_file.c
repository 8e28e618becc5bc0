/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a writable mount: CREATE, WRITE, READ, SETATTR, FLUSH, FSYNC (mount_rw.h). */
#include "fs/mount_rw.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define BLOCK 4096u

/* --- CREATE --- */

static void reply_created(struct slu_mrw *rw, fuse_req_t req, const struct slu_lnode *n,
			  struct fuse_file_info *fi)
{
	struct fuse_entry_param p;

	slu_mlive_entry(rw->l, n, &p);
	fi->fh = slu_mrw_opener(req);
	fi->keep_cache = 1;
	fuse_reply_create(req, &p, fi);
}

/* The kernel asks a second time for what a worker before this one has made. */
static bool created_before(struct slu_mrw *rw, fuse_req_t req, uint64_t up, const char *name,
			   struct fuse_file_info *fi)
{
	struct slu_lnode n;

	if (!slu_minit_again() || slu_lnodes_child(rw->l->nodes, up, name, true, &n) ||
	    !slu_mrw_staged(rw->m, n.id))
		return false;
	if (!n.opens && !slu_mrw_open(rw, n.id))
		return false;
	reply_created(rw, req, &n, fi);
	return true;
}

int slu_mrw_create(struct slu_mrw *rw, uint64_t up, const char *name, struct slu_lnode *ret)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	struct slu_attr a = {.kind = SLU_KIND_FILE};
	struct slu_err e = {0};
	struct slu_lnode n;
	int r = slu_lnodes_path(rw->l->nodes, up, "", name, &path);

	if (r)
		return r;
	memcpy(a.id, "new-", 5);
	r = slu_random_id(a.id + 4, 8);
	if (!r)
		r = slu_lnodes_enter(rw->l->nodes, up, name, &a, slu_now(), &n);
	if (r)
		return r;
	slu_lnodes_pin(rw->l->nodes, n.id);
	r = slu_stage_new(rw->stages, n.id, up, path, NULL, &s, &e);
	if (!r && !slu_mrw_open(rw, n.id))
		r = -EIO;
	if (r) {
		slu_warn("mount", "%s", e.msg);
		slu_stages_lost(rw->stages, path, e.msg[0] ? e.msg : strerror(-r));
		slu_lnodes_unpin(rw->l->nodes, n.id, 0, 0);
		slu_lnodes_forget(rw->l->nodes, n.id, 1);
		return r;
	}
	*ret = n;
	return 0;
}

static void op_create(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	struct slu_lnode n;
	int r;

	if (strlen(name) > SLU_MNAME_MAX || slu_starts(name, ".sluice-")) {
		fuse_reply_err(req, strlen(name) > SLU_MNAME_MAX ? ENAMETOOLONG : EPERM);
		return;
	}
	if (created_before(rw, req, up, name, fi))
		return;
	if (strchr(name, ':') && slu_store_can(rw->l->store, SLU_CAP_NO_COLON)) {
		fuse_reply_err(req, EINVAL); /* now, not at close */
		return;
	}
	r = slu_mrw_create(rw, up, name, &n);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	slu_mrw_made(rw, fuse_req_ctx(req), &n, mode);
	reply_created(rw, req, &n, fi);
}

/* --- READ --- */

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	SLU_AUTO(slu_freep) char *buf = NULL;
	ssize_t n;

	if (size > SLU_MREAD_MAX)
		size = SLU_MREAD_MAX;
	buf = s ? slu_malloc(size) : NULL;
	n = buf ? slu_stage_read(s, (uint64_t)off, buf, size, false) : s ? -ENOMEM : -EAGAIN;
	if (n == -EAGAIN) /* the bytes are those of the store */
		slu_mread(rw->m, req, ino, size, (uint64_t)off, fi);
	else if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

/* --- WRITE --- */

static void suspect(struct slu_stage *s, int sig)
{
	char why[80];

	snprintf(why, sizeof why, "the program that wrote it was killed by signal %d", sig);
	slu_stage_suspect(s, why);
}

/* What comes out of a mapping comes from the kernel, perhaps long after its file was closed: last of all when the
 * program ends, and that may be by a signal in the middle of writing there.  mapper: who opened it, 0: not mapped. */
static void suspect_mapper(struct slu_stage *s, uint64_t mapper)
{
	int sig = mapper && mapper <= INT32_MAX ? slu_mkilled_by((pid_t)mapper) : 0;

	if (!sig)
		return;
	slu_stage_killed(s, true);
	suspect(s, sig);
}

static void wrote(struct slu_mrw *rw, fuse_req_t req, struct slu_stage *s, ssize_t n,
		  uint64_t mapper)
{
	if (n > 0)
		suspect_mapper(s, mapper);
	if (n < 0)
		fuse_reply_err(req, n == -EAGAIN ? EIO : (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
	if (n > 0)
		slu_mrw_stream(rw, s);
}

static int run_write(struct slu_mjob *j)
{
	ssize_t n = slu_stage_fill(j->s, &j->why);

	if (n) {
		slu_stage_spoil(j->s, (int)n);
		return (int)n;
	}
	n = slu_stage_write(j->s, j->off, j->data, j->n, true);
	wrote(j->rw, j->req, j->s, n, j->to_ino);
	slu_mrw_settle(j->rw, j->ino);
	return 0;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	struct slu_err e = {0};
	const uint64_t mapper = fi->writepage ? fi->fh : 0;
	struct slu_mjob *j;
	ssize_t n = slu_mrw_stage(rw, ino, false, &s, &e);

	if (n) {
		slu_warn("mount", "%s", e.msg);
		slu_stages_lost(rw->stages, "", e.msg);
		if (n == -ENOENT) /* of the stage folder: no answer to a write */
			n = -EIO;
		slu_mrw_break(rw, ino, (int)n);
		fuse_reply_err(req, (int)-n);
		return;
	}
	n = slu_stage_write(s, (uint64_t)off, buf, size, false);
	if (n != -EAGAIN) {
		wrote(rw, req, s, n, mapper);
		return;
	}
	j = slu_mjob_new(rw, req, ino, run_write);
	if (!j)
		return;
	j->data = slu_malloc(size);
	if (!j->data) {
		free(j);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(j->data, buf, size);
	j->n = size;
	j->off = (uint64_t)off;
	j->to_ino = mapper;
	j->s = slu_take(s);
	slu_mjob_add(j);
}

/* --- SETATTR --- */

static int reply_attr(struct slu_mrw *rw, fuse_req_t req, uint64_t ino)
{
	struct fuse_entry_param p;
	struct slu_lnode n;
	int r = slu_lnodes_get(rw->l->nodes, ino, &n);

	if (r)
		return r;
	slu_mlive_entry(rw->l, &n, &p);
	fuse_reply_attr(req, &p.attr, p.attr_timeout);
	return 0;
}

/* j->n: it was truncate(2), so no close follows.  Who is in the middle of writing will close, and so commit;
 * who has it open without that may have closed it, as the kernel tells of the last close later.  To no bytes
 * it may as well be open(O_TRUNC), which the kernel tells in the same words: that waits for the close. */
static int run_truncate(struct slu_mjob *j)
{
	struct slu_stage_info i;
	struct slu_lnode n;
	int r;

	slu_stage_info(j->s, &i);
	r = slu_stage_truncate(j->s, j->off, true);
	if (!r && !slu_lnodes_get(j->rw->l->nodes, j->ino, &n) &&
	    (n.opens < 2 || (j->n && !i.dirty)))
		r = slu_stage_commit(j->s, &j->why);
	if (!r)
		r = reply_attr(j->rw, j->req, j->ino);
	slu_mrw_unuse(j->rw, j->ino);
	return r;
}

/* named: by its name, certainly not by an open file.  0, -errno; 1: a job answers. */
static int truncate_to(struct slu_mrw *rw, fuse_req_t req, uint64_t ino, uint64_t size, bool named)
{
	struct slu_stage_info i = {0};
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	struct slu_err e = {0};
	struct slu_mjob *j;
	struct slu_lnode n;
	int r = slu_mrw_stage(rw, ino, false, &s, &e);

	if (!r && !slu_mrw_use(rw, ino))
		r = -ESTALE; /* it ended; the kernel looks the name up again */
	if (r)
		return r;
	r = slu_lnodes_get(rw->l->nodes, ino, &n);
	if (!r) {
		slu_stage_info(s, &i);
		r = n.opens > 1 && (!named || i.dirty) ? slu_stage_truncate(s, size, false)
						       : -EAGAIN;
	}
	j = r == -EAGAIN ? slu_mjob_new(rw, req, ino, run_truncate) : NULL;
	if (!j) {
		slu_mrw_unuse(rw, ino);
		return r == -EAGAIN ? 1 : r;
	}
	j->off = size;
	j->n = named;
	j->s = slu_take(s);
	slu_mjob_add(j);
	return 1;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what,
		       struct fuse_file_info *fi)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	int r = slu_mrw_set(rw, ino, st, what);

	if (!r && (what & FUSE_SET_ATTR_SIZE))
		r = truncate_to(rw, req, ino, (uint64_t)st->st_size, !fi && st->st_size);
	if (!r)
		r = reply_attr(rw, req, ino);
	if (r < 0)
		fuse_reply_err(req, -r);
}

/* --- FLUSH, FSYNC --- */

static int run_flush(struct slu_mjob *j)
{
	int r = slu_stage_commit(j->s, &j->why);

	if (!r)
		fuse_reply_err(j->req, 0);
	slu_mrw_settle(j->rw, j->ino);
	return r;
}

/* It has failed: what an earlier close left of it goes before this one tells. */
static int run_failed(struct slu_mjob *j)
{
	struct slu_stage_info i;

	slu_stage_take_back(j->s);
	slu_stage_info(j->s, &i);
	slu_mrw_settle(j->rw, j->ino);
	return i.failed;
}

static int run_fsync(struct slu_mjob *j)
{
	int r = slu_stage_sync(j->s, &j->why);

	if (!r && j->rw->sync_store)
		r = slu_stage_commit(j->s, &j->why);
	if (!r)
		fuse_reply_err(j->req, 0);
	slu_mrw_settle(j->rw, j->ino);
	return r;
}

static void for_stage(fuse_req_t req, fuse_ino_t ino, int (*run)(struct slu_mjob *j), bool mine)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_stage_info i = {0};
	struct slu_mjob *j;

	if (s)
		slu_stage_info(s, &i);
	else
		i.failed = slu_mrw_broken(rw, ino);
	if (i.failed || i.removed || !mine || !(i.dirty || (i.loose && run == run_fsync))) {
		fuse_reply_err(req, -i.failed);
		return;
	}
	j = slu_mjob_new(rw, req, ino, run);
	if (!j)
		return;
	j->s = slu_take(s);
	slu_mjob_add(j);
}

/* A killed program closes its files like any other, however far it had come with them: of those it opened, and of
 * what it got from others with something in it that is not committed, nobody knows whether they are whole.  Who
 * opened a file and closes it knows.  True: this close commits nothing. */
static bool judge(fuse_req_t req, fuse_ino_t ino, bool mine)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_stage_info i;
	int sig;

	if (!s)
		return false;
	slu_stage_info(s, &i);
	if (!i.dirty && !rw->m->set->report)
		return false;
	sig = slu_mkilled_by(fuse_req_ctx(req)->pid);
	if (!sig && mine)
		slu_stage_trust(s);
	slu_stage_killed(s, sig && i.dirty);
	if (!sig || i.removed || (!mine && !i.dirty))
		return false;
	suspect(s, sig);
	return i.dirty && !i.synced && !i.failed;
}

/* The error of a file that failed is told by for_stage(); true: what was committed of it goes before. */
static bool flush_failed(fuse_req_t req, fuse_ino_t ino, bool mine)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_stage_info i = {0};
	struct slu_mjob *j;

	if (s)
		slu_stage_info(s, &i);
	if (!i.failed)
		return false;
	if (mine)
		slu_stage_heard(s);
	if (!slu_stage_lingers(s))
		return false;
	j = slu_mjob_new(rw, req, ino, run_failed);
	if (j) {
		j->s = slu_take(s);
		slu_mjob_add(j);
	}
	return true;
}

/* Comes at every close of every copy of a descriptor that may write: it is the opener's that counts. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	uint64_t me = fi->fh ? slu_mrw_opener(req) : 0;
	bool mine = !me || me == fi->fh;

	if (judge(req, ino, mine))
		fuse_reply_err(req, 0); /* nobody hears it */
	else if (!flush_failed(req, ino, mine))
		for_stage(req, ino, run_flush, mine);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	for_stage(req, ino, run_fsync, true);
}

/* Names are in the store when they are changed. */
static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* --- the rest --- */

/* The room there is to write: that of the stage. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	struct statvfs disk, s = {.f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = SLU_MNAME_MAX};

	(void)ino;
	if (!fstatvfs(slu_stages_fd(rw->stages), &disk))
		s.f_bfree = s.f_bavail = disk.f_bavail * disk.f_frsize / BLOCK;
	s.f_blocks = s.f_bfree + (slu_lnodes_bytes(rw->l->nodes) + BLOCK - 1) / BLOCK;
	s.f_files = slu_lnodes_count(rw->l->nodes) + INT32_MAX;
	s.f_ffree = s.f_favail = INT32_MAX;
	fuse_reply_statfs(req, &s);
}

void slu_mrw_ops_of(struct fuse_lowlevel_ops *ret)
{
	*ret = slu_mlive_ops;
	ret->create = op_create;
	ret->read = op_read;
	ret->write = op_write;
	ret->setattr = op_setattr;
	ret->flush = op_flush;
	ret->fsync = op_fsync;
	ret->fsyncdir = op_fsyncdir;
	ret->release = slu_mrw_release;
	ret->mkdir = slu_mrw_mkdir;
	ret->unlink = slu_mrw_unlink;
	ret->rmdir = slu_mrw_rmdir;
	ret->rename = slu_mrw_rename;
	ret->symlink = slu_mrw_symlink;
	ret->link = slu_mrw_link;
	ret->mknod = slu_mrw_mknod;
	ret->readlink = slu_mrw_readlink;
	ret->statfs = op_statfs;
}
