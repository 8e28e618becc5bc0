/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in a writable mount: MKDIR, RMDIR, UNLINK, RENAME (mount_rw.h).  All of them are jobs: the store has the new
 * name before the program goes on.  A file that is open keeps its bytes in a stage whatever becomes of its
 * name.
 */
#include "fs/mount_rw.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>

static char *store_path(struct slu_mrw *rw, const char *path)
{
	return slu_path_join(rw->l->base, path);
}

/* A request for a name in a folder, run as a job; it is refused when the name is none of ours. */
static struct slu_mjob *named(fuse_req_t req, uint64_t up, const char *name,
			      int (*run)(struct slu_mjob *j))
{
	struct slu_mrw *rw = slu_mrw_of(req);
	struct slu_mjob *j;

	if (strlen(name) > SLU_MNAME_MAX || slu_starts(name, ".sluice-")) {
		fuse_reply_err(req, strlen(name) > SLU_MNAME_MAX ? ENAMETOOLONG : EPERM);
		return NULL;
	}
	j = slu_mjob_new(rw, req, up, run);
	if (j)
		memcpy(j->name, name, strlen(name) + 1);
	return j;
}

/* A name as it is now: path below the root, path in the store, node and stage if there are. */
struct entry {
	uint64_t up;
	const char *name;
	char *path, *store;
	bool known;
	struct slu_lnode n;
	struct slu_stage *s;
};

static void entry_done(struct entry *t)
{
	slu_stage_put(t->s);
	free(t->path);
	free(t->store);
}

/* What the name stands for now.  A stage and its node end together, under that lock. */
static void entry_look(struct slu_mrw *rw, struct entry *t)
{
	slu_stage_put(t->s);
	pthread_mutex_lock(&rw->lock);
	t->known = !slu_lnodes_child(rw->l->nodes, t->up, t->name, false, &t->n);
	t->s = t->known ? slu_stage_get(rw->stages, t->n.id) : NULL;
	pthread_mutex_unlock(&rw->lock);
}

/* A file that is open gets a stage; if it has one, that is seized. */
static int entry_seize(struct slu_mrw *rw, struct entry *t, struct slu_err *e)
{
	for (;;) {
		int r = t->known ? slu_mrw_hold(rw, t->n.id, e) : 0;

		if (r)
			return r;
		entry_look(rw, t);
		if (!t->s || slu_stage_seize(t->s))
			return 0;
	}
}

static void entry_release(struct entry *t)
{
	if (t->s)
		slu_stage_release(t->s);
}

/* ask: the store, if the name is not known.  -ENOENT only then. */
static int entry_find(struct slu_mrw *rw, uint64_t up, const char *name, bool ask, struct entry *t,
		      struct slu_err *e)
{
	struct slu_attr a;
	int64_t now = slu_now();
	int r = slu_lnodes_path(rw->l->nodes, up, "", name, &t->path);

	t->up = up;
	t->name = name;
	if (r)
		return r;
	t->store = store_path(rw, t->path);
	if (!t->store)
		return -ENOMEM;
	entry_look(rw, t);
	if (!t->known && ask) {
		r = slu_store_stat(rw->l->store, t->store, &a, e);
		if (!r)
			r = slu_lnodes_learn(rw->l->nodes, up, name, &a, now);
		if (!r)
			entry_look(rw, t);
		if (!r && !t->known)
			r = -ENOENT;
	}
	return r;
}

/* --- MKDIR --- */

static int run_mkdir(struct slu_mjob *j)
{
	SLU_AUTO(entry_done) struct entry t = {0};
	struct slu_mrw *rw = j->rw;
	struct slu_attr dir = {.kind = SLU_KIND_DIR, .mtime_ns = slu_wall()};
	struct fuse_entry_param p;
	struct slu_lnode n;
	struct slu_op op;
	int r = entry_find(rw, j->ino, j->name, false, &t, &j->why);

	if (!r && t.s && !j->again)
		r = -EEXIST;
	if (!r) {
		slu_op_mkdir(&op, t.store);
		r = slu_store_wait(rw->l->store, &op, &j->why);
	}
	if (!r)
		r = slu_lnodes_enter(rw->l->nodes, j->ino, j->name, &dir, slu_now(), &n);
	if (r)
		return r;
	slu_mlive_keep_folder(rw->l, &n);
	slu_mrw_made(rw, fuse_req_ctx(j->req), &n, j->flags);
	slu_mlive_entry(rw->l, &n, &p);
	if (fuse_reply_entry(j->req, &p))
		slu_lnodes_forget(rw->l->nodes, n.id, 1);
	return 0;
}

void slu_mrw_mkdir(fuse_req_t req, fuse_ino_t up, const char *name, mode_t mode)
{
	struct slu_mjob *j = named(req, up, name, run_mkdir);

	if (!j)
		return;
	j->flags = mode;
	slu_mjob_add(j);
}

/* --- UNLINK, RMDIR --- */

/* The kernel, the node table and open listings do not have it any more. */
static void forget_name(struct slu_mrw *rw, const struct entry *t)
{
	if (t->known && !t->s)
		slu_lnodes_expire(rw->l->nodes, t->n.id);
	slu_mlive_list_changed(rw->l, t->up, t->name, NULL);
	slu_mmeta_drop(rw->metas, t->path);
	slu_mrw_changed(rw, t->up);
}

static int delete_it(struct slu_mrw *rw, const struct entry *t, struct slu_err *e)
{
	struct slu_op op;

	slu_op_delete(&op, t->store, 0);
	return slu_store_wait(rw->l->store, &op, e);
}

/* The stage of a file whose name goes has none from now on; seized. */
static void remove_stage(struct slu_mrw *rw, struct entry *t)
{
	slu_stage_remove(t->s);
	slu_lnodes_expire(rw->l->nodes, t->n.id);
}

static int run_unlink(struct slu_mjob *j)
{
	SLU_AUTO(entry_done) struct entry t = {0};
	struct slu_mrw *rw = j->rw;
	struct slu_stage_info i = {0};
	int r = entry_find(rw, j->ino, j->name, false, &t, &j->why);

	if (!r)
		r = entry_seize(rw, &t, &j->why);
	if (r)
		return r;
	if (t.s)
		slu_stage_info(t.s, &i);
	/* What was never committed is not there. */
	r = i.fresh ? 0 : delete_it(rw, &t, &j->why);
	if (r == -ENOENT && (t.s || j->again))
		r = 0;
	if (!r && t.s)
		remove_stage(rw, &t);
	entry_release(&t);
	if (r)
		return r;
	slu_stages_gone(rw->stages, t.path);
	forget_name(rw, &t);
	if (t.known && t.n.opens)
		slu_mlive_keep_anew(rw->l);
	fuse_reply_err(j->req, 0);
	if (t.s)
		slu_mrw_settle(rw, t.n.id);
	return 0;
}

void slu_mrw_unlink(fuse_req_t req, fuse_ino_t up, const char *name)
{
	struct slu_mjob *j = named(req, up, name, run_unlink);

	if (j)
		slu_mjob_add(j);
}

/* -ENOTEMPTY: the store has something in it. */
static int check_empty(struct slu_mrw *rw, const struct entry *t, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *marker = NULL;
	int r = slu_stages_any_in(rw->stages, t->path) ? -ENOTEMPTY : 0;

	for (bool more = true; more && !r;) {
		struct slu_list list = {0};
		struct slu_op op;

		slu_op_list(&op, t->store, marker, &list);
		op.flags |= SLU_OPF_NO_SUMS | SLU_OPF_LENIENT;
		r = slu_store_wait(rw->l->store, &op, e);
		for (size_t k = 0; !r && k < list.n; k++)
			if (*list.p[k].name && !slu_starts(list.p[k].name, ".sluice-"))
				r = -ENOTEMPTY;
		free(marker);
		marker = slu_take(list.next);
		more = marker;
		slu_list_done(&list);
	}
	return r;
}

static int run_rmdir(struct slu_mjob *j)
{
	SLU_AUTO(entry_done) struct entry t = {0};
	struct slu_mrw *rw = j->rw;
	int r = entry_find(rw, j->ino, j->name, true, &t, &j->why);

	if (r == -ENOENT && j->again) {
		fuse_reply_err(j->req, 0);
		return 0;
	}
	if (!r && !t.n.dir)
		r = -ENOTDIR;
	if (!r)
		r = check_empty(rw, &t, &j->why);
	/* On a flat store a folder is there as long as something is in it, unless it was made. */
	if (!r || r == -ENOENT)
		r = delete_it(rw, &t, &j->why);
	if (r && r != -ENOENT)
		return r;
	forget_name(rw, &t);
	fuse_reply_err(j->req, 0);
	return 0;
}

void slu_mrw_rmdir(fuse_req_t req, fuse_ino_t up, const char *name)
{
	struct slu_mjob *j = named(req, up, name, run_rmdir);

	if (j)
		slu_mjob_add(j);
}

/* --- RENAME --- */

/* By a copy from service to service, where the store cannot rename. */
static int move_by_copy(struct slu_mrw *rw, const struct entry *from, const struct entry *to,
			unsigned flags, struct slu_err *e)
{
	struct slu_source src = {0};
	struct slu_attr a;
	struct slu_op op;
	int r = slu_store_stat(rw->l->store, from->store, &a, e);

	if (!r && a.kind == SLU_KIND_DIR)
		return -EXDEV;
	if (!r)
		r = slu_store_source(rw->l->store, from->store, &a, &src, e);
	if (r)
		return r == -ENOTSUP ? -EXDEV : r;
	slu_op_copy(&op, to->store, &src, flags);
	r = slu_store_wait(rw->l->store, &op, e);
	slu_source_done(&src);
	return r ? r : delete_it(rw, from, e);
}

static int move_in_store(struct slu_mjob *j, const struct entry *from, const struct entry *to,
			 unsigned flags)
{
	struct slu_store *store = j->rw->l->store;
	struct slu_op op;
	int r = -EXDEV;

	if (slu_store_can(store, SLU_CAP_RENAME)) {
		slu_op_rename(&op, from->store, to->store, flags);
		r = slu_store_wait(store, &op, &j->why);
	} else if (slu_store_can(store, SLU_CAP_COPY)) {
		r = move_by_copy(j->rw, from, to, flags, &j->why);
	}
	/* A worker before this one has done it, and died before it said so. */
	return r == -ENOENT && j->again ? 0 : r;
}

/* now: what the store has under the new name; NULL: not known, or nothing, when a node of our own took it. */
static void report_rename(struct slu_mrw *rw, const struct entry *from, const struct entry *to,
			  const struct slu_attr *now)
{
	struct slu_stage_info i = {0};

	if (from->s)
		slu_stage_info(from->s, &i);
	slu_stages_gone(rw->stages, from->path);
	if (i.type)
		slu_stages_gone(rw->stages, to->path);
	else
		slu_stages_wrote(rw->stages, to->path, now ? now->id : "");
}

/* The kernel has the file under its new name, with the node that it had. */
static void renamed(struct slu_mrw *rw, struct entry *from, struct entry *to)
{
	struct slu_attr now;
	bool there = !slu_store_stat(rw->l->store, to->store, &now, NULL);
	struct slu_lnode n;

	report_rename(rw, from, to, there ? &now : NULL);
	if (to->s) {
		remove_stage(rw, to);
	} else if (to->known) {
		slu_lnodes_expire(rw->l->nodes, to->n.id);
	}
	if (from->s) {
		slu_stage_rename(from->s, to->up, to->path, there ? &now : NULL);
		(void)slu_lnodes_move(rw->l->nodes, from->n.id, to->up, to->name);
	} else {
		slu_lnodes_expire(rw->l->nodes, from->n.id);
		if (there)
			(void)slu_lnodes_learn(rw->l->nodes, to->up, to->name, &now, slu_now());
	}
	slu_mmeta_move(rw->metas, from->path, to->path, from->n.id,
		       slu_lnodes_child(rw->l->nodes, to->up, to->name, false, &n) ? 0 : n.id);
	slu_mmeta_touch(rw->metas, to->path, false);
	slu_mrw_changed(rw, from->up);
	slu_mrw_changed(rw, to->up);
	slu_mlive_list_changed(rw->l, from->up, from->name, NULL);
	slu_mlive_list_changed(rw->l, to->up, to->name, there ? &now : NULL);
	if (from->n.opens || to->n.opens)
		slu_mlive_keep_anew(rw->l);
}

/* Both stages, or neither: never one while another rename waits for it with the other. */
static int seize_both(struct slu_mrw *rw, struct entry *from, struct entry *to, struct slu_err *e)
{
	int r;

	pthread_mutex_lock(&rw->seizing);
	r = entry_seize(rw, from, e);
	if (!r) {
		r = entry_seize(rw, to, e);
		if (r)
			entry_release(from);
	}
	pthread_mutex_unlock(&rw->seizing);
	return r;
}

/* With what was written in the store, under the old name: else it cannot be renamed there. */
static int seize_committed(struct slu_mrw *rw, struct entry *from, struct entry *to,
			   struct slu_err *e)
{
	for (;;) {
		struct slu_stage_info i = {0};
		int r = from->s ? slu_stage_commit(from->s, e) : 0;

		if (!r)
			r = seize_both(rw, from, to, e);
		if (r)
			return r;
		if (from->s)
			slu_stage_info(from->s, &i);
		/* Written to since: that is committed under the new name. */
		if (!i.fresh)
			return 0;
		entry_release(from);
		entry_release(to);
	}
}

/* What only this mount has.  The file whose name it takes goes from the store. */
static int rename_node(struct slu_mjob *j, struct entry *from, struct entry *to)
{
	struct slu_mrw *rw = j->rw;
	struct slu_stage_info i = {0};
	int r = to->known && (j->flags & RENAME_NOREPLACE) ? -EEXIST : 0;

	if (!r && to->known)
		r = slu_mrw_hold(rw, to->n.id, &j->why);
	if (!r)
		r = seize_both(rw, from, to, &j->why);
	if (r)
		return r;
	if (to->s)
		slu_stage_info(to->s, &i);
	if (!from->s)
		r = -ENOENT; /* removed meanwhile */
	else if (!i.fresh)
		r = delete_it(rw, to, &j->why);
	if (!r || (r == -ENOENT && from->s)) {
		renamed(rw, from, to);
		r = 0;
	}
	entry_release(from);
	entry_release(to);
	if (r)
		return r;
	fuse_reply_err(j->req, 0);
	if (to->s)
		slu_mrw_settle(rw, to->n.id);
	return 0;
}

static int rename_file(struct slu_mjob *j, struct entry *from, struct entry *to)
{
	struct slu_mrw *rw = j->rw;
	unsigned flags = j->flags & RENAME_NOREPLACE ? SLU_OPF_ABSENT : 0;
	struct slu_stage_info i = {0};
	int r = slu_mrw_hold(rw, from->n.id, &j->why);

	if (from->s)
		slu_stage_info(from->s, &i);
	if (i.type)
		return rename_node(j, from, to);
	if (!r && to->known)
		r = slu_mrw_hold(rw, to->n.id, &j->why);
	entry_look(rw, from);
	if (!r)
		r = seize_committed(rw, from, to, &j->why);
	if (r)
		return r;
	r = move_in_store(j, from, to, flags);
	if (!r)
		renamed(rw, from, to);
	entry_release(from);
	entry_release(to);
	if (r)
		return r;
	fuse_reply_err(j->req, 0);
	if (from->s)
		slu_mrw_settle(rw, from->n.id);
	if (to->s)
		slu_mrw_settle(rw, to->n.id);
	return 0;
}

struct below {
	struct slu_stage **p;
	size_t n, cap;
};

/* Every file with a stage in the folder, seized. */
static int seize_below(struct slu_mrw *rw, const char *folder, struct below *ret)
{
	uint64_t pos = 0;
	int r = 0;

	pthread_mutex_lock(&rw->seizing);
	while (!r) {
		struct slu_stage *s = slu_stages_next(rw->stages, &pos);

		if (!s)
			break;
		SLU_AUTO(slu_freep) char *path = slu_stage_path(s);
		const char *rest = path ? slu_after(path, folder) : NULL;

		if (!path)
			r = -ENOMEM;
		if (!rest || *rest != '/' || !slu_stage_seize(s)) {
			slu_stage_put(s);
		} else if (!slu_vec_push(ret, s)) {
			slu_stage_release(s);
			slu_stage_put(s);
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&rw->seizing);
	return r;
}

/* An empty folder may be replaced, and stores refuse that. */
static int clear_way(struct slu_mjob *j, struct entry *to, unsigned flags)
{
	int r = 0;

	if (to->known && to->n.dir && !flags) {
		r = check_empty(j->rw, to, &j->why);
		if (!r)
			r = delete_it(j->rw, to, &j->why);
	}
	return r == -ENOENT ? 0 : r;
}

/* A worker before this one has renamed it, and died before it said so: what lies there is what it moved. */
static bool moved_before(const struct slu_mjob *j, const struct entry *from)
{
	struct slu_attr a;

	return j->again && slu_store_stat(j->rw->l->store, from->store, &a, NULL) == -ENOENT;
}

static int rename_folder(struct slu_mjob *j, struct entry *from, struct entry *to)
{
	struct slu_mrw *rw = j->rw;
	struct below in = {0};
	unsigned flags = j->flags & RENAME_NOREPLACE ? SLU_OPF_ABSENT : 0;
	bool there;
	int r = 0;

	if (!slu_store_can(rw->l->store, SLU_CAP_RENAME_DIR))
		return -EXDEV;
	there = moved_before(j, from);
	r = there ? 0 : clear_way(j, to, flags);
	if (!r)
		r = seize_below(rw, from->path, &in);
	if (!r && !there)
		r = move_in_store(j, from, to, flags);
	if (!r) {
		slu_stages_moved(rw->stages, to->path, from->path);
		(void)slu_lnodes_move(rw->l->nodes, from->n.id, to->up, to->name);
	}
	for (size_t k = 0; k < in.n; k++) {
		SLU_AUTO(slu_freep) char *path = slu_stage_path(in.p[k]);
		SLU_AUTO(slu_freep)
		char *now = path ? slu_asprintf("%s%s", to->path, path + strlen(from->path)) : NULL;
		struct slu_stage_info i;

		slu_stage_info(in.p[k], &i);
		if (!r && now)
			slu_stage_rename(in.p[k], i.up, now, NULL);
		slu_stage_release(in.p[k]);
		slu_stage_put(in.p[k]);
	}
	free(in.p);
	if (r)
		return r;
	slu_mmeta_move(rw->metas, from->path, to->path, 0, 0);
	slu_mmeta_touch(rw->metas, to->path, false);
	slu_mrw_changed(rw, from->up);
	slu_mrw_changed(rw, to->up);
	slu_mlive_list_changed(rw->l, from->up, from->name, NULL);
	slu_mlive_keep_anew(rw->l);
	fuse_reply_err(j->req, 0);
	return 0;
}

/* A worker before this one has renamed it, and may have died before it said so. */
static int renamed_before(struct slu_mjob *j, const struct entry *from)
{
	SLU_AUTO(entry_done) struct entry to = {0};
	struct slu_mrw *rw = j->rw;
	struct slu_attr a;
	int r = entry_find(rw, j->to_ino, j->to, false, &to, &j->why);

	if (r)
		return r;
	if (!slu_store_stat(rw->l->store, to.store, &a, NULL)) {
		if (a.kind == SLU_KIND_DIR)
			slu_stages_moved(rw->stages, to.path, from->path);
		else
			report_rename(rw, from, &to, &a);
	}
	fuse_reply_err(j->req, 0);
	return 0;
}

static int run_rename(struct slu_mjob *j)
{
	SLU_AUTO(entry_done) struct entry from = {0}, to = {0};
	struct slu_mrw *rw = j->rw;
	int r = entry_find(rw, j->ino, j->name, true, &from, &j->why);

	if (r == -ENOENT && j->again)
		return renamed_before(j, &from);
	if (!r)
		r = entry_find(rw, j->to_ino, j->to, false, &to, &j->why);
	if (!r && (j->flags & RENAME_NOREPLACE) && to.s)
		r = -EEXIST;
	if (r)
		return r;
	return from.n.dir ? rename_folder(j, &from, &to) : rename_file(j, &from, &to);
}

void slu_mrw_rename(fuse_req_t req, fuse_ino_t up, const char *name, fuse_ino_t to_up,
		    const char *to, unsigned flags)
{
	struct slu_mjob *j;

	if (flags & ~(unsigned)RENAME_NOREPLACE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (strlen(to) > SLU_MNAME_MAX || slu_starts(to, ".sluice-")) {
		fuse_reply_err(req, strlen(to) > SLU_MNAME_MAX ? ENAMETOOLONG : EPERM);
		return;
	}
	j = named(req, up, name, run_rename);
	if (!j)
		return;
	memcpy(j->to, to, strlen(to) + 1);
	j->to_ino = to_up;
	j->flags = flags;
	slu_mjob_add(j);
}
