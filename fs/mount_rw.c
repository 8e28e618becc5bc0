/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of what a writable mount adds, its jobs, and which node has a stage (mount_rw.h).  A stage pins its
 * node.  It ends when nobody has the node open and the store has what was written, under the lock under which it is
 * opened, so that nobody opens one that is about to go.
 */
#include "fs/mount_rw.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define THREADS 16u
#define RESERVE 150000000u
#define LIMIT_NS                                                                                   \
	(3600 *                                                                                    \
	 SLU_SEC) /* a commit of much data takes its time; a store that is away has its own limits */

struct slu_mrw *slu_mrw_of(fuse_req_t req)
{
	struct slu_mount *m = fuse_req_userdata(req);

	return m->rw;
}

/* --- jobs --- */

struct slu_mjob *slu_mjob_new(struct slu_mrw *rw, fuse_req_t req, uint64_t ino,
			      int (*run)(struct slu_mjob *j))
{
	struct slu_mjob *j = slu_new0(struct slu_mjob);

	if (!j) {
		if (req)
			fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	j->rw = rw;
	j->req = req;
	j->ino = ino;
	j->run = run;
	if (req) {
		j->unique = slu_minit_defer();
		j->again = slu_minit_again();
	}
	return j;
}

static int errno_of(int r)
{
	switch (-r) {
	case EAGAIN:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPROTO:
	case EBADMSG:
		return EIO;
	default:
		return -r;
	}
}

/* A name could not be changed for a reason that a program may not look at. */
static bool is_trouble(int r)
{
	static const int answers[] = {EEXIST, ENOENT, ENOTEMPTY, EXDEV, EISDIR,      ENOTDIR,
				      EINVAL, EPERM,  EACCES,    EBUSY, ENAMETOOLONG};

	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (-r == answers[i])
			return false;
	return true;
}

static void run_job(struct slu_work *w)
{
	struct slu_mjob *j = (struct slu_mjob *)w; /* its first member */
	struct slu_mrw *rw = j->rw;
	int r = j->run(j);

	if (r && j->why.msg[0] && r != -EEXIST && r != -ENOENT && r != -ENOTEMPTY)
		slu_warn("mount", "%s", j->why.msg);
	if (r && !j->s && is_trouble(r))
		slu_stages_lost(rw->stages, "", j->why.msg[0] ? j->why.msg : strerror(-r));
	if (r && j->req)
		fuse_reply_err(j->req, errno_of(r));
	if (j->req)
		slu_minit_answered(rw->m, j->unique);
	slu_stage_put(j->s);
	free(j->data);
	free(j);
	pthread_mutex_lock(&rw->lock);
	if (!--rw->jobs)
		pthread_cond_broadcast(&rw->quiet);
	pthread_mutex_unlock(&rw->lock);
}

void slu_mjob_add(struct slu_mjob *j)
{
	struct slu_mrw *rw = j->rw;

	pthread_mutex_lock(&rw->lock);
	rw->jobs++;
	pthread_mutex_unlock(&rw->lock);
	j->work.fn = run_job;
	slu_pool_add(rw->pool, &j->work);
}

/* --- stages and nodes --- */

bool slu_mrw_staged(const struct slu_mount *m, uint64_t ino)
{
	struct slu_stage *s = m->rw ? slu_stage_get(m->rw->stages, ino) : NULL;

	slu_stage_put(s);
	return s;
}

static void show(struct stat *st, uint64_t size, int64_t mtime_ns)
{
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	st->st_mtim.tv_sec = mtime_ns / SLU_SEC;
	st->st_mtim.tv_nsec = mtime_ns % SLU_SEC;
	st->st_atim = st->st_ctim = st->st_mtim;
}

bool slu_mrw_stat(const struct slu_mount *m, const struct slu_lnode *n, struct stat *st)
{
	struct slu_mrw *rw = m->rw;
	struct slu_stage_info i;
	struct slu_stage *s;
	struct slu_lnode now;
	bool own;

	if (!rw || n->dir)
		return false;
	/* It may be about to end: it is one or the other. */
	pthread_mutex_lock(&rw->lock);
	s = slu_stage_get(rw->stages, n->id);
	own = s || (!slu_lnodes_get(rw->l->nodes, n->id, &now) && now.spoiled);
	pthread_mutex_unlock(&rw->lock);
	if (s) {
		slu_stage_info(s, &i);
		slu_stage_put(s);
		show(st, i.size, i.mtime_ns);
		st->st_nlink = i.removed ? 0 : 1;
		if (i.type) {
			st->st_mode = i.type | (i.type == S_IFLNK ? 0777 : st->st_mode & 07777);
			st->st_rdev = i.type == S_IFCHR || i.type == S_IFBLK ? i.base.size : 0;
		}
	} else if (own) {
		show(st, now.size, now.mtime_ns);
	}
	return own;
}

int slu_mrw_names(const struct slu_mount *m, uint64_t folder, struct slu_list *ret)
{
	uint64_t pos = 0;
	int r = 0;

	while (!r) {
		SLU_AUTO(slu_stage_putp)
		struct slu_stage *s = slu_stages_next(m->rw->stages, &pos);
		struct slu_stage_info i;

		if (!s)
			break;
		slu_stage_info(s, &i);
		if (i.up != folder || i.removed)
			continue;
		SLU_AUTO(slu_freep) char *path = slu_stage_path(s);
		struct slu_attr a = {.kind = SLU_KIND_FILE, .size = i.size, .mtime_ns = i.mtime_ns};

		r = path ? slu_list_add(ret, slu_path_base(path), strlen(slu_path_base(path)), &a)
			 : -ENOMEM;
	}
	return r;
}

/* rw->lock held: a stage of the node that ends now is either there, or the node is spoiled. */
static int stage_of(struct slu_mrw *rw, uint64_t ino, struct slu_stage **ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_attr base = {.kind = SLU_KIND_FILE};
	struct slu_lnode n;
	int64_t t;
	int r;

	*ret = slu_stage_get(rw->stages, ino);
	if (*ret)
		return 0;
	r = slu_lnodes_get(rw->l->nodes, ino, &n);
	if (!r && (n.dir || n.spoiled))
		r = n.dir ? -EISDIR : -ESTALE;
	if (!r)
		r = slu_lnodes_path(rw->l->nodes, ino, "", NULL, &path);
	if (r)
		return slu_fail_sys(e, -r, "cannot write to file %llu", (unsigned long long)ino);
	base.size = n.size;
	base.mtime_ns = n.mtime_ns;
	slu_lnodes_id(rw->l->nodes, ino, base.id);
	r = slu_stage_new(rw->stages, ino, n.folder, path, &base, ret, e);
	if (r)
		return r;
	slu_lnodes_pin(rw->l->nodes, ino);
	if (slu_mmeta_time(rw->metas, path, ino, &t))
		slu_stage_time(*ret, t);
	r = slu_mrw_broken(rw, ino);
	if (r)
		slu_stage_spoil(*ret, r);
	return 0;
}

int slu_mrw_stage(struct slu_mrw *rw, uint64_t ino, bool fill, struct slu_stage **ret,
		  struct slu_err *e)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	int r = 0;

	if (!s) {
		pthread_mutex_lock(&rw->lock);
		r = stage_of(rw, ino, &s, e);
		pthread_mutex_unlock(&rw->lock);
	}
	if (!r && fill)
		r = slu_stage_fill(s, e);
	if (!r)
		*ret = slu_take(s);
	return r;
}

int slu_mrw_hold(struct slu_mrw *rw, uint64_t ino, struct slu_err *e)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	struct slu_lnode n;
	int r;

	if (slu_lnodes_get(rw->l->nodes, ino, &n) || n.dir || !n.opens)
		return 0;
	r = slu_mrw_stage(rw, ino, true, &s, e);
	/* It was closed, and has ended, at this very moment. */
	return r == -ESTALE && !slu_lnodes_get(rw->l->nodes, ino, &n) && n.spoiled ? 0 : r;
}

bool slu_mrw_use(struct slu_mrw *rw, uint64_t ino)
{
	bool staged;

	pthread_mutex_lock(&rw->lock);
	staged = slu_mrw_staged(rw->m, ino) && !slu_lnodes_open(rw->l->nodes, ino);
	pthread_mutex_unlock(&rw->lock);
	return staged;
}

void slu_mrw_unuse(struct slu_mrw *rw, uint64_t ino)
{
	slu_lnodes_close(rw->l->nodes, ino);
	slu_mrw_settle(rw, ino);
}

bool slu_mrw_open(struct slu_mrw *rw, uint64_t ino)
{
	bool staged = slu_mrw_use(rw, ino);

	if (staged)
		slu_mlive_keep_note(rw->l, ino, true);
	return staged;
}

/* The node of a stage that has gone, and the name that it had. */
static void after_end(struct slu_mrw *rw, uint64_t ino, const struct slu_stage_info *i,
		      const char *path)
{
	const struct stat st = {
		.st_mtim = {.tv_sec = i->mtime_ns / SLU_SEC, .tv_nsec = i->mtime_ns % SLU_SEC}};
	const char *name = slu_path_base(path);
	struct slu_lnode n;

	slu_lnodes_unpin(rw->l->nodes, ino, i->size, i->mtime_ns);
	if (i->removed || i->failed || i->dirty || i->fresh)
		return;
	(void)slu_lnodes_learn(rw->l->nodes, i->up, name, &i->base, slu_now());
	if (i->own_time && !slu_lnodes_child(rw->l->nodes, i->up, name, false, &n))
		slu_mmeta_set(rw->metas, path, &st, SLU_MMETA_MTIME, n.id);
}

/* True: it is dirty and nobody has it open. */
static bool try_end(struct slu_mrw *rw, struct slu_stage *s, uint64_t ino, bool give_up)
{
	SLU_AUTO(slu_freep) char *path = slu_stage_path(s);
	struct slu_stage_info i = {0};
	struct slu_lnode n;
	bool open, left = false;

	pthread_mutex_lock(&rw->lock);
	open = !slu_lnodes_get(rw->l->nodes, ino, &n) && n.opens;
	if (!open && path) {
		if (slu_stage_end(s, give_up, &i))
			after_end(rw, ino, &i, path);
		else
			left = i.dirty || i.failed;
	}
	pthread_mutex_unlock(&rw->lock);
	return left;
}

/* Nobody who could be told has it open any more. */
static int commit_left(struct slu_mjob *j)
{
	struct slu_stage_info i;
	struct slu_err e = {0};
	int r = 0;

	slu_stage_take_back(j->s);
	if (!try_end(j->rw, j->s, j->ino, false))
		return 0;
	slu_stage_info(j->s, &i);
	/* Its program knows that it is not there, or was killed in the middle of it. */
	if (i.failed || ((i.told || i.killed) && !i.synced)) {
		(void)try_end(j->rw, j->s, j->ino, true);
		return 0;
	}
	/* Closing it was a success: it outlives us from now on. */
	if (!i.told)
		r = slu_stage_sync(j->s, &e);
	if (!r)
		r = slu_stage_commit(j->s, &e);
	if (r)
		slu_warn("mount", "a file that was written and closed is not in the store: %s",
			 e.msg);
	(void)try_end(j->rw, j->s, j->ino, r);
	return 0;
}

void slu_mrw_settle(struct slu_mrw *rw, uint64_t ino)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_mjob *j;

	if (!s || !try_end(rw, s, ino, false))
		return;
	j = slu_mjob_new(rw, NULL, ino, commit_left);
	if (!j)
		return;
	j->s = slu_take(s);
	slu_mjob_add(j);
}

static int let_go(struct slu_mjob *j)
{
	slu_stage_take_back(j->s);
	if (slu_stage_seize(j->s)) {
		slu_stage_let_go(j->s);
		slu_lnodes_spoil(j->rw->l->nodes, j->ino);
		slu_stage_release(j->s);
	}
	slu_mrw_settle(j->rw, j->ino);
	return -ESTALE; /* the kernel looks the name up again */
}

bool slu_mrw_let_go(struct slu_mrw *rw, fuse_req_t req, uint64_t ino)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stage_get(rw->stages, ino);
	struct slu_stage_info i;
	struct slu_mjob *j;

	if (!s)
		return false;
	slu_stage_info(s, &i);
	/* What was synced of it is set aside when it ends, with its name. */
	if (!i.failed || !i.told || i.removed || i.synced)
		return false;
	j = slu_mjob_new(rw, req, ino, let_go);
	if (j) {
		j->s = slu_take(s);
		slu_mjob_add(j);
	}
	return true;
}

static int stream(struct slu_mjob *j)
{
	slu_stage_stream(j->s);
	slu_mrw_settle(j->rw, j->ino);
	return 0;
}

void slu_mrw_stream(struct slu_mrw *rw, struct slu_stage *s)
{
	struct slu_stage_info i;
	struct slu_mjob *j;

	if (!slu_stage_wants_stream(s))
		return;
	slu_stage_info(s, &i);
	j = slu_mjob_new(rw, NULL, i.ino, stream);
	if (!j)
		return;
	j->s = slu_stage_get(rw->stages, i.ino);
	if (j->s)
		slu_mjob_add(j);
	else
		free(j);
}

uint64_t slu_mrw_opener(fuse_req_t req)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(8192);
	char name[32];
	const char *at;
	uint64_t pid = 0;

	if (fuse_req_ctx(req)->pid <= 0)
		return 0;
	snprintf(name, sizeof name, "/proc/%d/status", (int)fuse_req_ctx(req)->pid);
	if (slu_buf_read_at(&b, AT_FDCWD, name) < 0 || !b.p || !(at = strstr(b.p, "\nTgid:\t")))
		return 0;
	at += sizeof "\nTgid:\t" - 1;
	for (; *at >= '0' && *at <= '9'; at++)
		pid = pid * 10 + (uint64_t)(*at - '0');
	return pid;
}

void slu_mrw_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct slu_mrw *rw = slu_mrw_of(req);

	(void)fi;
	slu_mlive_keep_note(rw->l, ino, false);
	slu_lnodes_close(rw->l->nodes, ino);
	slu_mrw_mend(rw, ino);
	slu_mrw_settle(rw, ino);
	fuse_reply_err(req, 0);
}

/* --- life --- */

/* The node has the name that its stage has, whoever had it in the worker before. */
static int give_name(struct slu_mrw *rw, struct slu_lnode *n, const char *path)
{
	const struct slu_attr folder = {.kind = SLU_KIND_DIR};
	SLU_AUTO(slu_freep) char *dir = slu_path_dir(path);
	struct slu_lnode up = {.id = SLU_LNODE_ROOT};
	int r = dir ? 0 : -ENOMEM;

	if (!r && *dir)
		r = slu_lnodes_restore(rw->l->nodes, dir, &folder, false, 0, &up);
	if (!r)
		r = slu_lnodes_move(rw->l->nodes, n->id, up.id, slu_path_base(path));
	n->folder = up.id;
	return r;
}

/* The nodes of what the worker before, or another mount, had staged. */
static int restore(struct slu_mrw *rw)
{
	uint64_t pos = 0;
	int r = 0;

	while (!r) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(rw->stages, &pos);
		struct slu_stage_info i;
		struct slu_lnode n;

		if (!s)
			break;
		SLU_AUTO(slu_freep) char *path = slu_stage_path(s);

		slu_stage_info(s, &i);
		if (i.fresh)
			snprintf(i.base.id, sizeof i.base.id, "new-%llu", (unsigned long long)pos);
		i.base.kind = SLU_KIND_FILE;
		i.base.size = i.size;
		r = path ? 0 : -ENOMEM;
		/* What is open under that number is there already. */
		if (!r && (!i.ino || slu_lnodes_get(rw->l->nodes, i.ino, &n)))
			r = slu_lnodes_restore(rw->l->nodes, path, &i.base, false, i.ino, &n);
		if (r)
			break;
		slu_lnodes_pin(rw->l->nodes, n.id);
		if (i.removed)
			slu_lnodes_expire(rw->l->nodes, n.id);
		else
			r = give_name(rw, &n, path);
		slu_stage_number(s, n.id, n.folder);
	}
	return r;
}

static int open_stages(struct slu_mrw *rw, struct slu_err *e)
{
	struct slu_mount *m = rw->m;
	int kept = slu_mlink_kept(&m->link, SLU_KEEP_STAGE), r = 0;
	SLU_AUTO(slu_freep) char *dir = NULL;
	char link[32], where[PATH_MAX];
	struct slu_stages_conf c = {.store = rw->l->store,
				    .base = rw->l->base,
				    .session = -1,
				    .max = m->set->stage_size,
				    .report = m->set->report,
				    .reserve = RESERVE};

	if (kept >= 0) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", kept);
		ssize_t n = readlink(link, where, sizeof where - 1);

		where[n > 0 ? n : 0] = '\0';
		dir = slu_strdup(where);
		c.session = fcntl(kept, F_DUPFD_CLOEXEC, 3);
	} else {
		r = slu_stages_dir(m->set, &dir, e);
	}
	if (r)
		return r;
	c.dir = dir;
	r = dir ? slu_stages_open(&c, &rw->stages, e) : slu_fail_oom(e);
	if (!r)
		r = slu_mlink_keep(&m->link, SLU_KEEP_STAGE, slu_stages_fd(rw->stages));
	return r;
}

int slu_mrw_new(struct slu_mount *m, struct slu_mrw **ret, struct slu_err *e)
{
	struct slu_mrw *rw;
	int r;

	if (slu_store_can(m->live->store, SLU_CAP_READ_ONLY))
		return slu_fail(e, EROFS,
				"'%s' cannot be mounted writable: what is there can only be read; "
				"leave out --writable",
				m->o->source ? m->o->source : "");
	rw = slu_new0(struct slu_mrw);
	if (!rw)
		return slu_fail_oom(e);
	rw->m = m;
	rw->l = m->live;
	rw->sync_store = slu_streq(m->set->fsync, "store");
	pthread_mutex_init(&rw->lock, NULL);
	pthread_mutex_init(&rw->seizing, NULL);
	pthread_mutex_init(&rw->breaking, NULL);
	pthread_cond_init(&rw->quiet, NULL);
	r = slu_pool_new(THREADS, &rw->pool, e);
	if (!r)
		r = slu_mmetas_new(&m->link, &rw->metas, e);
	if (!r)
		r = open_stages(rw, e);
	if (!r) {
		r = restore(rw);
		if (r)
			slu_fail_sys(e, -r, "cannot go on with what is staged in '%s'",
				     slu_stages_where(rw->stages));
	}
	if (r) {
		slu_mrw_free(rw);
		return r;
	}
	if (atomic_load(&m->link.share->refused))
		slu_stages_lost(rw->stages, "",
				"the process that served the mount was killed, and requests that "
				"were under way failed");
	if (atomic_load(&m->link.share->limit) < LIMIT_NS)
		atomic_store(&m->link.share->limit, LIMIT_NS);
	*ret = rw;
	return 0;
}

void slu_mrw_start(struct slu_mrw *rw)
{
	uint64_t pos = 0;

	while (rw) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(rw->stages, &pos);
		struct slu_stage_info i;

		if (!s)
			break;
		slu_stage_info(s, &i);
		slu_mrw_settle(rw, i.ino);
	}
}

static void tell_rest(struct slu_mrw *rw, const char *path, const struct slu_stage_info *i)
{
	if (i->dirty && !i->removed && !i->failed)
		slu_warn("mount", "'%s' is not in the store: %s", path,
			 i->synced ? "the next writable mount of this folder commits it"
				   : "it was neither closed nor synced");
	/* Somebody is in the mount who will not come to the end of what he writes. */
	if (!i->removed && (i->dirty || rw->m->left))
		slu_stages_lost(rw->stages, path, "a program had it open when the mount ended");
}

/* The mount is over: what is still staged was open when it was detached, or is thought to be so because a request
 * was answered twice as a worker died. */
static void end_rest(struct slu_mrw *rw)
{
	uint64_t pos = 0;

	for (;;) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(rw->stages, &pos);
		SLU_AUTO(slu_freep) char *path = s ? slu_stage_path(s) : NULL;
		struct slu_stage_info i;
		struct slu_err e = {0};

		if (!s)
			break;
		if (!rw->m->hurry)
			slu_stage_take_back(s);
		slu_stage_info(s, &i);
		if (!rw->m->hurry && (!i.killed || i.synced) && slu_stage_commit(s, &e))
			slu_warn("mount", "%s", e.msg);
		slu_stage_info(s, &i);
		tell_rest(rw, path ? path : "", &i);
		(void)slu_stage_end(s, !i.synced, &i);
	}
}

int slu_mrw_stop(struct slu_mrw *rw, bool over, int64_t deadline)
{
	struct timespec at = {.tv_sec = 0};
	int r = 0;

	if (!rw)
		return 0;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += (deadline - slu_now()) / SLU_SEC + 1;
	pthread_mutex_lock(&rw->lock);
	while (rw->jobs && !r)
		r = pthread_cond_timedwait(&rw->quiet, &rw->lock, &at);
	pthread_mutex_unlock(&rw->lock);
	if (over && !r)
		end_rest(rw);
	if (over)
		slu_stages_report_end(rw->stages);
	if (over && !r)
		slu_stages_finish(rw->stages);
	return r ? -ETIMEDOUT : 0;
}

void slu_mrw_free(struct slu_mrw *rw)
{
	if (!rw)
		return;
	slu_pool_free(rw->pool);
	slu_mrw_broken_free(rw);
	slu_stages_free(rw->stages);
	slu_mmetas_free(rw->metas);
	pthread_cond_destroy(&rw->quiet);
	pthread_mutex_destroy(&rw->seizing);
	pthread_mutex_destroy(&rw->breaking);
	pthread_mutex_destroy(&rw->lock);
	free(rw);
}
