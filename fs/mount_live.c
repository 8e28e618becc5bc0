/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live mount's life, and LOOKUP, GETATTR, OPEN (mount_live.h).  A node is a file in one state, so its
 * attributes never change and the kernel may keep its pages; what has a lifetime is the name.  An OPEN
 * looks at the store again when that was not done just now, and answers ESTALE for a file that changed:
 * the kernel then looks its name up and opens the new node.
 */
#include "fs/mount_live.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/mount_guard.h"
#include "fs/mount_rw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define FILE_VALID 3600.0 /* attributes of a state, seconds */
#define WRITTEN_VALID 1.0 /* of a file that is being written */
#define OPEN_NS SLU_SEC   /* an OPEN believes what was asked so long ago */
#define IO_TIMEOUT (60 * SLU_SEC)
#define BLOCK 4096u
#define NSEC 1000000000LL

/* --- replies --- */

double slu_mlive_left(const struct slu_mlive *l, int64_t asked)
{
	int64_t now = slu_now(), age = asked == INT64_MIN || asked > now ? 0 : now - asked;

	if (asked == INT64_MIN || age >= l->ttl)
		return 0;
	return (double)(l->ttl - age) / SLU_SEC;
}

static bool fresh(const struct slu_mlive *l, const struct slu_lnode *n)
{
	return slu_mlive_left(l, n->asked) > 0;
}

static struct timespec time_of(int64_t ns)
{
	int64_t rest = ns % NSEC;

	if (rest < 0)
		rest += NSEC;
	return (struct timespec){.tv_sec = (ns - rest) / NSEC, .tv_nsec = rest};
}

mode_t slu_mlive_mode(const struct slu_mlive *l, bool dir)
{
	mode_t mode = (dir ? S_IFDIR | 0555 : S_IFREG | 0444) & ~(mode_t)(l->m->o->umask & 0777);

	return l->m->rw ? mode | 0200 : mode;
}

static void fill_stat(const struct slu_mlive *l, const struct slu_lnode *n, struct stat *st)
{
	const struct slu_mount_opts *o = l->m->o;

	memset(st, 0, sizeof *st);
	st->st_ino = n->ino;
	st->st_mode = slu_mlive_mode(l, n->dir);
	/* Of a folder: how many are in it is not known.  1 says so to find(1) and others. */
	st->st_nlink = 1;
	st->st_uid = o->uid;
	st->st_gid = o->gid;
	st->st_size = (off_t)n->size;
	st->st_blocks = (blkcnt_t)((n->size + 511) / 512);
	st->st_blksize = BLOCK;
	st->st_mtim = time_of(n->dir && !n->mtime_ns ? l->made : n->mtime_ns);
	st->st_atim = st->st_ctim = st->st_mtim;
}

void slu_mlive_entry(const struct slu_mlive *l, const struct slu_lnode *n,
		     struct fuse_entry_param *p)
{
	double left = slu_mlive_left(l, n->asked);

	*p = (struct fuse_entry_param){
		.ino = n->id, .attr_timeout = n->dir ? left : FILE_VALID, .entry_timeout = left};
	fill_stat(l, n, &p->attr);

	bool staged = slu_mrw_stat(l->m, n, &p->attr);

	if (staged) {
		p->attr_timeout = WRITTEN_VALID;
		p->entry_timeout = 0;
	}
	slu_mrw_show(l->m, n, staged, &p->attr);
}

static void reply_attr(fuse_req_t req, const struct slu_mlive *l, const struct slu_lnode *n)
{
	struct fuse_entry_param p;

	slu_mlive_entry(l, n, &p);
	fuse_reply_attr(req, &p.attr, p.attr_timeout);
}

static struct slu_mlive *live_of(fuse_req_t req)
{
	struct slu_mount *m = fuse_req_userdata(req);

	return m->live;
}

/* --- LOOKUP --- */

static void reply_missing(struct slu_mask *a)
{
	struct fuse_entry_param p = {.entry_timeout = slu_mlive_left(a->l, a->begun)};

	if (p.entry_timeout > 0)
		fuse_reply_entry(a->req, &p);
	else
		fuse_reply_err(a->req, ENOENT);
	slu_mask_replied(a);
}

static void reply_found(struct slu_mask *a, const struct slu_attr *attr)
{
	struct fuse_entry_param p;
	struct slu_lnode n;
	int r = slu_lnodes_enter(a->l->nodes, a->ino, a->name, attr, a->begun, &n);

	if (r) {
		fuse_reply_err(a->req, -r);
	} else {
		slu_mlive_keep_folder(a->l, &n);
		slu_mlive_entry(a->l, &n, &p);
		if (fuse_reply_entry(a->req, &p)) /* the kernel does not know of it after all */
			slu_lnodes_forget(a->l->nodes, n.id, 1);
	}
	slu_mask_replied(a);
}

static void end_lookup(struct slu_mask *a, const struct slu_attr *found, int rc)
{
	if (slu_mask_claim(a)) {
		if (found)
			reply_found(a, found);
		else if (rc == -ENOENT || rc == -ENOTDIR || rc == -EINVAL)
			reply_missing(a);
		else
			slu_mask_fail(a, rc);
	}
	slu_mask_end(a);
}

/* Of `a` and `a/b` the folder wins. */
static void judge_both(struct slu_mask *a)
{
	struct slu_attr dir = {.kind = SLU_KIND_DIR};

	end_lookup(a, !a->op.rc && a->list.n ? &dir : &a->attr, 0);
}

static void looked_up(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;
	struct slu_lnode n;
	int rc = a->op.rc;

	a->attr = a->op.attr;
	/* On a flat store a listing may have told of a folder of this name. */
	if (!rc && a->attr.kind == SLU_KIND_FILE && !slu_store_can(l->store, SLU_CAP_REAL_DIRS) &&
	    !slu_lnodes_child(l->nodes, a->ino, a->name, false, &n) && n.dir) {
		a->answer = judge_both;
		slu_op_list(&a->op, a->path, NULL, &a->list);
		slu_mask_send(a);
		return;
	}
	end_lookup(a, rc ? NULL : &a->attr, rc);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct slu_mlive *l = live_of(req);
	struct fuse_entry_param p;
	struct slu_lnode n;
	struct slu_mask *a;
	int r;

	if (strlen(name) > SLU_MNAME_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (slu_starts(name, ".sluice-")) { /* names of unfinished writes are never shown */
		fuse_reply_err(req, ENOENT);
		return;
	}
	/* What a listing told just now need not be asked again. */
	if (!slu_lnodes_child(l->nodes, parent, name, false, &n) &&
	    (fresh(l, &n) || slu_mrw_staged(l->m, n.id)) &&
	    !slu_lnodes_child(l->nodes, parent, name, true, &n)) {
		slu_mlive_keep_folder(l, &n);
		slu_mlive_entry(l, &n, &p);
		if (fuse_reply_entry(req, &p))
			slu_lnodes_forget(l->nodes, n.id, 1);
		return;
	}
	a = slu_mask_new(l, req, parent, looked_up);
	if (!a)
		return;
	memcpy(a->name, name, strlen(name) + 1);
	r = slu_lnodes_path(l->nodes, parent, l->base, name, &a->path);
	if (r) {
		end_lookup(a, NULL, r);
		return;
	}
	slu_op_stat(&a->op, a->path);
	slu_mask_send(a);
}

/* --- GETATTR --- */

static void got_attr(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;
	struct slu_lnode n;
	int r = a->op.rc;

	if (!r && a->op.attr.kind != SLU_KIND_DIR)
		r = -ESTALE;
	if (!r)
		slu_lnodes_touch(l->nodes, a->ino, &a->op.attr, a->begun);
	if (slu_mask_claim(a)) {
		if (!r)
			r = slu_lnodes_get(l->nodes, a->ino, &n);
		if (!r)
			reply_attr(a->req, l, &n);
		else
			slu_mask_fail(a, r);
		slu_mask_replied(a);
	}
	slu_mask_end(a);
}

/* Asks the store what `ino` is now; the request is answered in any case. */
static void ask_attr(struct slu_mlive *l, fuse_ino_t ino, struct slu_mask *a)
{
	int r = slu_lnodes_path(l->nodes, ino, l->base, NULL, &a->path);

	if (r) {
		if (slu_mask_claim(a))
			slu_mask_fail(a, r);
		slu_mask_end(a);
		return;
	}
	slu_op_stat(&a->op, a->path);
	slu_mask_send(a);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mlive *l = live_of(req);
	struct slu_lnode n;
	struct slu_mask *a;

	(void)fi;
	if (slu_lnodes_get(l->nodes, ino, &n) || slu_mrw_past(l->m, &n)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (!n.dir || fresh(l, &n)) {
		reply_attr(req, l, &n);
		return;
	}
	a = slu_mask_new(l, req, ino, got_attr);
	if (a)
		ask_attr(l, ino, a);
}

/* --- OPEN, RELEASE, FORGET --- */

/* noted: as an opener. */
static void reply_open(fuse_req_t req, struct slu_mlive *l, uint64_t ino, struct fuse_file_info *fi,
		       bool noted)
{
	bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;

	if (!noted && slu_lnodes_open(l->nodes, ino)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (!noted)
		slu_mlive_keep_note(l, ino, true);
	fi->keep_cache = 1; /* pages of a node are those of its one state */
	fi->noflush = !writes;
	if (writes)
		fi->fh = slu_mrw_opener(req);
	fuse_reply_open(req, fi);
}

static void opened(struct slu_mask *a)
{
	struct slu_mlive *l = a->l;
	char id[SLU_ID_MAX];
	int r = a->op.rc;

	slu_lnodes_id(l->nodes, a->ino, id);
	if (!r && (a->op.attr.kind != SLU_KIND_FILE || !slu_streq(a->op.attr.id, id)))
		r = -ESTALE;
	if (!r)
		slu_lnodes_touch(l->nodes, a->ino, &a->op.attr, a->begun);
	else if (r == -ESTALE || r == -ENOENT)
		slu_lnodes_expire(l->nodes, a->ino);
	if (slu_mask_claim(a)) {
		if (r)
			slu_mask_fail(a, r);
		else
			reply_open(a->req, l, a->ino, &a->fi, false);
		slu_mask_replied(a);
	}
	slu_mask_end(a);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mlive *l = live_of(req);
	int64_t trust = l->ttl < OPEN_NS ? l->ttl : OPEN_NS;
	struct slu_lnode n;
	struct slu_mask *a;

	if (l->m->rw && slu_mrw_let_go(l->m->rw, req, ino))
		return;
	if (l->m->rw && slu_mrw_open(l->m->rw, ino)) {
		reply_open(req, l, ino, fi, true);
		return;
	}
	if (slu_lnodes_get(l->nodes, ino, &n) || n.asked == INT64_MIN) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (slu_now() - n.asked < trust) {
		reply_open(req, l, ino, fi, false);
		return;
	}
	a = slu_mask_new(l, req, ino, opened);
	if (!a)
		return;
	a->fi = *fi;
	ask_attr(l, ino, a);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mlive *l = live_of(req);

	(void)fi;
	slu_mlive_keep_note(l, ino, false);
	slu_lnodes_close(l->nodes, ino);
	fuse_reply_err(req, 0);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	slu_lnodes_forget(live_of(req)->nodes, ino, n);
	fuse_reply_none(req);
}

/* --- the rest --- */

static void op_init(void *mount, struct fuse_conn_info *c)
{
	c->want = c->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS |
				FUSE_CAP_PARALLEL_DIROPS);
	c->max_write = (unsigned)slu_minit_write_max(mount);
	c->max_read = SLU_MREAD_MAX;
	c->max_background = 64;
	c->congestion_threshold = 48;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	slu_mlive_list(req, ino, size, (uint64_t)off, fi->fh, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	slu_mlive_list(req, ino, size, (uint64_t)off, fi->fh, true);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	slu_mread(fuse_req_userdata(req), req, ino, size, (uint64_t)off, fi);
}

/* What is known so far: no store tells how much there is. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct slu_mlive *l = live_of(req);
	struct statvfs s = {.f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = SLU_MNAME_MAX};

	(void)ino;
	s.f_blocks = (slu_lnodes_bytes(l->nodes) + BLOCK - 1) / BLOCK;
	s.f_files = slu_lnodes_count(l->nodes);
	fuse_reply_statfs(req, &s);
}

const struct fuse_lowlevel_ops slu_mlive_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.opendir = slu_mlive_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = slu_mlive_releasedir,
	.statfs = op_statfs,
};

/* --- for mount_read.c --- */

int slu_mlive_file(struct slu_mlive *l, uint64_t ino, uint64_t *ret_size)
{
	struct slu_lnode n;
	int r = slu_lnodes_get(l->nodes, ino, &n);

	if (r || n.dir)
		return r ? r : -EISDIR;
	*ret_size = n.size;
	return 0;
}

int slu_mlive_locate(struct slu_mlive *l, uint64_t ino, char **ret_path, char id[SLU_ID_MAX])
{
	slu_lnodes_id(l->nodes, ino, id);
	return slu_lnodes_path(l->nodes, ino, l->base, NULL, ret_path);
}

void slu_mlive_changed(struct slu_mlive *l, uint64_t ino)
{
	slu_lnodes_expire(l->nodes, ino);
}

/* --- life --- */

int slu_mlive_new(struct slu_mount *m, struct slu_mlive **ret, struct slu_err *e)
{
	struct slu_mlive *l = slu_new0(struct slu_mlive);
	pthread_condattr_t attr;

	if (!l || slu_lnodes_new(0, &l->nodes) < 0) {
		free(l);
		return slu_fail_oom(e);
	}
	l->m = m;
	l->store = m->t->sources[0].store;
	l->base = m->t->sources[0].base;
	l->ttl = m->set->attr_timeout >= 0 ? m->set->attr_timeout : SLU_MLIVE_TIMEOUT;
	l->timeout = m->o->io_timeout > 0 ? m->o->io_timeout : IO_TIMEOUT;
	l->made = slu_wall();
	l->next_list = (uint64_t)l->made; /* not the numbers of a process before */
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->keep_lock, NULL);
	l->keep_fd = -1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->quiet, &attr);
	pthread_condattr_destroy(&attr);
	slu_mlive_keep_begin(l);
	*ret = l;
	return 0;
}

void slu_mlive_free(struct slu_mlive *l)
{
	if (!l)
		return;
	slu_mlive_lists_trim(l, true);
	while (l->free) {
		struct slu_mask *a = l->free;

		l->free = a->next;
		free(a);
	}
	slu_lnodes_free(l->nodes);
	slu_closep(&l->keep_fd);
	pthread_mutex_destroy(&l->keep_lock);
	pthread_cond_destroy(&l->quiet);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
