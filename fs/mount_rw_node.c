/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a writable mount has and no store: symbolic links, pipes, sockets and devices, each a stage that stays; modes,
 * owners and times, in a table (mount_rw_meta.h).  Who is not in this mount does not see them.
 */
#include "fs/mount_rw.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* --- modes and times --- */

void slu_mrw_show(const struct slu_mount *m, const struct slu_lnode *n, bool staged,
		  struct stat *st)
{
	SLU_AUTO(slu_freep) char *path = NULL;

	/* The name of what was removed may be another's by now. */
	if (!m->rw || !st->st_nlink || slu_lnodes_path(m->live->nodes, n->id, "", NULL, &path))
		return;
	slu_mmeta_show(m->rw->metas, path, staged ? 0 : n->id, st);
}

bool slu_mrw_past(const struct slu_mount *m, const struct slu_lnode *n)
{
	return m->rw && !n->dir && n->asked == INT64_MIN && !n->opens && !slu_mrw_staged(m, n->id);
}

uint32_t slu_mrw_type(const struct slu_mount *m, uint64_t folder, const char *name)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	struct slu_stage_info i = {0};
	struct slu_lnode n;

	if (!slu_lnodes_child(m->live->nodes, folder, name, false, &n))
		s = slu_stage_get(m->rw->stages, n.id);
	if (s)
		slu_stage_info(s, &i);
	return i.type ? i.type : S_IFREG;
}

void slu_mrw_changed(struct slu_mrw *rw, uint64_t folder)
{
	SLU_AUTO(slu_freep) char *path = NULL;

	if (!slu_lnodes_path(rw->l->nodes, folder, "", NULL, &path))
		slu_mmeta_touch(rw->metas, path, true);
}

void slu_mrw_made(struct slu_mrw *rw, const struct fuse_ctx *ctx, const struct slu_lnode *n,
		  mode_t mode)
{
	const struct slu_mount_opts *o = rw->m->o;
	const struct stat st = {.st_mode = mode, .st_uid = ctx->uid, .st_gid = ctx->gid};
	SLU_AUTO(slu_freep) char *path = NULL;
	unsigned what = 0;

	if (slu_lnodes_path(rw->l->nodes, n->id, "", NULL, &path))
		return;
	slu_mmeta_drop(rw->metas, path);
	if ((mode & 07777) != (slu_mlive_mode(rw->l, n->dir) & 07777) && !S_ISLNK(mode))
		what |= SLU_MMETA_MODE;
	if (ctx->uid != o->uid)
		what |= SLU_MMETA_UID;
	if (ctx->gid != o->gid)
		what |= SLU_MMETA_GID;
	if (what)
		slu_mmeta_set(rw->metas, path, &st, what, 0);
	slu_mrw_changed(rw, n->folder);
}

static int64_t chosen_time(const struct timespec *t, bool now)
{
	return now ? slu_wall() : t->tv_sec * SLU_SEC + t->tv_nsec;
}

/* Its name may be another's by now, whose mode and owner these are not. */
static bool is_removed(struct slu_mrw *rw, uint64_t ino)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_stage_info i = {0};

	if (s)
		slu_stage_info(s, &i);
	return i.removed;
}

int slu_mrw_set(struct slu_mrw *rw, uint64_t ino, const struct stat *st, int what)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	unsigned fields = 0;
	struct slu_lnode n;
	struct stat v = *st;
	int64_t t;
	int r = slu_lnodes_get(rw->l->nodes, ino, &n);

	if (!r && slu_mrw_past(rw->m, &n))
		r = -ESTALE;
	if (!r)
		r = slu_lnodes_path(rw->l->nodes, ino, "", NULL, &path);
	if (r || is_removed(rw, ino))
		return r;
	fields |= what & FUSE_SET_ATTR_MODE ? SLU_MMETA_MODE : 0;
	fields |= what & FUSE_SET_ATTR_UID ? SLU_MMETA_UID : 0;
	fields |= what & FUSE_SET_ATTR_GID ? SLU_MMETA_GID : 0;
	if (what & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
		fields |= SLU_MMETA_ATIME;
		t = chosen_time(&v.st_atim, what & FUSE_SET_ATTR_ATIME_NOW);
		v.st_atim = (struct timespec){.tv_sec = t / SLU_SEC, .tv_nsec = t % SLU_SEC};
	}
	/* A stage is about to end, or has: the time is its own, or that of the name. */
	pthread_mutex_lock(&rw->lock);
	if (what & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		t = chosen_time(&v.st_mtim, what & FUSE_SET_ATTR_MTIME_NOW);
		v.st_mtim = (struct timespec){.tv_sec = t / SLU_SEC, .tv_nsec = t % SLU_SEC};
		s = slu_stage_get(rw->stages, ino);
		if (s)
			slu_stage_time(s, t);
		else
			fields |= SLU_MMETA_MTIME;
	}
	if (fields)
		slu_mmeta_set(rw->metas, path, &v, fields, n.id);
	pthread_mutex_unlock(&rw->lock);
	if (fields || s)
		slu_mmeta_touch(rw->metas, path, false);
	return 0;
}

/* --- links, pipes and others --- */

static void reply_entry(struct slu_mrw *rw, fuse_req_t req, const struct slu_lnode *n)
{
	struct fuse_entry_param p;

	slu_mlive_entry(rw->l, n, &p);
	if (fuse_reply_entry(req, &p))
		slu_lnodes_forget(rw->l->nodes, n->id, 1);
}

static int make(struct slu_mrw *rw, uint64_t up, const char *name, mode_t type, dev_t dev,
		const char *text, struct slu_lnode *n)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = strlen(text)};
	struct slu_err e = {0};
	int r = slu_lnodes_path(rw->l->nodes, up, "", name, &path);

	if (r)
		return r;
	memcpy(a.id, "new-", 5);
	r = slu_random_id(a.id + 4, 8);
	if (!r)
		r = slu_lnodes_enter(rw->l->nodes, up, name, &a, slu_now(), n);
	if (r)
		return r;
	slu_lnodes_pin(rw->l->nodes, n->id);
	r = slu_stage_node(rw->stages, n->id, up, path, type, dev, text, &s, &e);
	if (r) {
		slu_warn("mount", "%s", e.msg);
		slu_lnodes_unpin(rw->l->nodes, n->id, 0, 0);
		slu_lnodes_forget(rw->l->nodes, n->id, 1);
	}
	return r;
}

/* The kernel asks a second time for what a worker before this one has made. */
static bool made_before(struct slu_mrw *rw, fuse_req_t req, uint64_t up, const char *name)
{
	struct slu_lnode n;

	if (!slu_minit_again() || slu_lnodes_child(rw->l->nodes, up, name, true, &n))
		return false;
	if (!slu_mrw_staged(rw->m, n.id)) {
		slu_lnodes_forget(rw->l->nodes, n.id, 1);
		return false;
	}
	reply_entry(rw, req, &n);
	return true;
}

static bool refused(fuse_req_t req, const char *name)
{
	int r = strlen(name) > SLU_MNAME_MAX   ? ENAMETOOLONG
		: slu_starts(name, ".sluice-") ? EPERM
					       : 0;

	if (r)
		fuse_reply_err(req, r);
	return r;
}

static void make_and_reply(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode, dev_t dev,
			   const char *text)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	struct slu_lnode n;
	int r;

	if (refused(req, name) || made_before(rw, req, up, name))
		return;
	r = make(rw, up, name, mode & S_IFMT, dev, text, &n);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	slu_mrw_made(rw, fuse_req_ctx(req), &n, mode);
	reply_entry(rw, req, &n);
}

void slu_mrw_symlink(fuse_req_t req, const char *to, fuse_ino_t up, const char *name)
{
	make_and_reply(req, up, name, S_IFLNK, 0, to);
}

void slu_mrw_readlink(fuse_req_t req, fuse_ino_t ino)
{
	SLU_AUTO(slu_stage_putp)
	struct slu_stage *s = slu_stage_get(slu_mrw_of(req)->stages, ino);
	struct slu_stage_info i = {0};
	char text[PATH_MAX];
	ssize_t n = -ESTALE;

	if (s)
		slu_stage_info(s, &i);
	if (s)
		n = i.type == S_IFLNK ? slu_stage_read(s, 0, text, sizeof text - 1, false)
				      : -EINVAL;
	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return;
	}
	text[n] = '\0';
	fuse_reply_readlink(req, text);
}

/* A file made without being opened: nobody will close it. */
static int run_mknod(struct slu_mjob *j)
{
	struct slu_lnode n;
	struct slu_stage *s;
	int r = slu_mrw_create(j->rw, j->ino, j->name, &n);

	if (r)
		return r;
	s = slu_stage_get(j->rw->stages, n.id);
	r = s ? slu_stage_commit(s, &j->why) : -EIO;
	slu_stage_put(s);
	if (!r) {
		slu_mrw_made(j->rw, fuse_req_ctx(j->req), &n, j->flags);
		reply_entry(j->rw, j->req, &n);
	} else {
		slu_lnodes_forget(j->rw->l->nodes, n.id, 1);
	}
	slu_mlive_keep_note(j->rw->l, n.id, false);
	slu_mrw_unuse(j->rw, n.id);
	return r;
}

void slu_mrw_mknod(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode, dev_t dev)
{
	struct slu_mrw *rw = slu_mrw_of(req);
	struct slu_mjob *j;

	if (!S_ISREG(mode)) {
		make_and_reply(req, up, name, mode, dev, "");
		return;
	}
	if (refused(req, name) || made_before(rw, req, up, name))
		return;
	j = slu_mjob_new(rw, req, up, run_mknod);
	if (!j)
		return;
	memcpy(j->name, name, strlen(name) + 1);
	j->flags = mode;
	slu_mjob_add(j);
}

/* No store has two names of one file. */
void slu_mrw_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t up, const char *name)
{
	(void)ino;
	(void)up;
	(void)name;
	fuse_reply_err(req, EPERM);
}
