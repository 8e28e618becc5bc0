/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part four: the three views of a reference.
 */
#include "dataset/api_view.h"
#include "dataset/layout.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/context_impl.h"
#include "dataset/registry.h"
#include "fs/budget.h"
#include "fs/mount_link.h"
#include "fs/mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CLOSE_NS (10 * SLU_SEC)

static const struct sluice_view_options no_options = SLUICE_VIEW_OPTIONS_INIT;

static int view_kind(const char *view, char *ret, struct slu_err *e)
{
	if (!slu_streq(view, "mount") && !slu_streq(view, "download"))
		return slu_fail(e, EINVAL, "'%s' has no settings: mount and download have", view);
	*ret = view[0];
	return 0;
}

int slu_api_settle(struct sluice *s, char view, const char *const *settings,
		   struct slu_settings *ret, struct slu_err *e)
{
	const struct slu_workspace *w = s ? slu_context_workspace(s) : NULL;
	int r = slu_settings_resolve(view, w ? w->config : NULL, settings, ret, e);

	if (r == 0 && s && view != 'u')
		slu_context_requests(s, ret->read_threads, ret->retries + 1);
	if (r == 0 && ret->memory && slu_budget_process())
		slu_budget_set_limit(slu_budget_process(), ret->memory);
	return r;
}

int sluice_settings(struct sluice *s, const char *view, const char *const *settings,
		    char **ret_json, struct sluice_error *e)
{
	struct slu_settings set;
	struct slu_err er = {0};
	char kind = 'm';
	int r = view_kind(view, &kind, &er);

	if (r == 0)
		r = slu_api_settle(s, kind, settings, &set, &er);
	if (r == 0)
		r = slu_api_json(slu_settings_json(kind, &set), ret_json, &er);
	return slu_api_error(e, &er, r);
}

int slu_api_view_options(const struct sluice_view_options **o, struct slu_err *e)
{
	if (!*o)
		*o = &no_options;
	if ((*o)->size != sizeof no_options)
		return slu_fail(e, EINVAL, "sluice_view_options.size is %zu, not %zu", (*o)->size,
				sizeof no_options);
	return 0;
}

/* A view may be given a manifest instead of resolving: a job's inputs are resolved once. */
int slu_api_dataset(struct sluice *s, const char *ref, const char *digest, struct slu_dataset **ret,
		    struct slu_err *e)
{
	struct slu_manifest *m = NULL;

	if (!digest) {
		SLU_AUTO(slu_freep) char *own = NULL;
		int rc = slu_api_local(s, &ref, &own, e);

		return rc < 0 ? rc : slu_resolve_ref(s, ref, ret, e);
	}

	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);

	if (!d)
		return slu_fail_oom(e);
	int r = slu_registry_manifest(s, digest, &m, e);
	if (r == 0)
		r = slu_resolve_manifest(s, m, &d->tree, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* What a worker of a mount serves: that of the worker before it, else what it leaves to the next. */
static int worker_dataset(struct sluice *s, const char *ref, const char *digest,
			  const struct slu_settings *set, const struct slu_mlink *l,
			  struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct slu_manifest *m = NULL;
	int r;

	if (slu_mlink_heir(l)) {
		d = slu_new0(struct slu_dataset);
		r = d ? slu_mlink_manifest(l, &m, e) : slu_fail_oom(e);
		if (r == 0)
			r = slu_resolve_manifest(s, m, &d->tree, e);
	} else {
		s->keep_texts = !slu_mlink_alone(l);
		r = slu_api_dataset(s, ref, digest, &d, e);
		s->keep_texts = false;
		if (r == 0)
			r = slu_layout_apply(s, set, 'm', d, e);
		if (r == 0)
			r = slu_mlink_leave(l, d->tree->manifest, e);
		if (r == 0)
			slu_manifest_keep_text(d->tree->manifest, NULL, 0);
	}
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

/* A folder as it is whenever it is looked at: a tree without files. */
static int live_tree(const char *ref, struct slu_place *p, struct slu_tree **ret, struct slu_err *e)
{
	SLU_AUTO(slu_tree_freep) struct slu_tree *t = slu_new0(struct slu_tree);

	if (!t || slu_manifest_new(&t->manifest) < 0 ||
	    slu_manifest_add_source(t->manifest, "", ref) < 0)
		return slu_fail_oom(e);
	int r = slu_manifest_finish(t->manifest, e);

	if (r < 0)
		return r;
	t->sources = slu_calloc(1, sizeof *t->sources);
	if (!t->sources)
		return slu_fail_oom(e);
	t->sources[0].store = p->store;
	t->sources[0].base = slu_take(p->path);
	*ret = slu_take(t);
	return 0;
}

/* What is to be written to need not be there yet. */
static int make_folder(const struct slu_place *p, struct slu_err *e)
{
	struct slu_op op;

	slu_op_mkdir(&op, p->path);
	return slu_store_wait(p->store, &op, e);
}

static int check_live(const char *ref, const struct slu_place *p, bool writable, struct slu_err *e)
{
	struct slu_attr a;
	int r = slu_place_stat(p, &a, NULL, e);

	if (r == -ENOENT && writable && *p->path) /* a container is made by `sluice mkdir` only */
		return make_folder(p, e);
	if (r == 0 && a.kind != SLU_KIND_DIR)
		return slu_fail(
			e, ENOTDIR,
			"'%s' is a file: a folder can be mounted live, such as the one that "
			"it is in",
			ref);
	return r;
}

/* heir: a mount that has served so far goes on also while its store does not answer. */
static int find_live(struct sluice *s, const char *ref, const struct slu_settings *set,
		     const char *digest, bool heir, struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);
	SLU_AUTO(slu_place_done) struct slu_place p = {0};
	int r = d ? slu_place_find(s, ref, &p, e) : slu_fail_oom(e);

	if (r < 0)
		return r;
	if (digest || p.dataset || p.glob || p.version)
		return slu_fail(e, EINVAL,
				"'%s' is not a folder, which alone can be mounted %s: give the "
				"path of one, or leave out --%s",
				ref, set->writable ? "writable" : "live",
				set->writable ? "writable" : "live");
	if (!heir)
		r = check_live(ref, &p, set->writable, e);
	if (r == 0)
		r = live_tree(ref, &p, &d->tree, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

int slu_api_view_new(struct sluice *s, const char *ref, const struct sluice_view_options *o,
		     struct sluice_view **ret, struct slu_err *e)
{
	struct sluice_view *v = slu_new0(struct sluice_view);

	if (!v)
		return slu_fail_oom(e);
	int r = slu_api_dataset(s, ref, o->manifest, &v->dataset, e);
	if (r < 0) {
		sluice_view_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

/* --- mount --- */

/* argv of the process that serves the mount; strings that are made are in `made`. */
struct mount_argv {
	const char *argv[17 + SLU_SETTINGS];
	size_t n;
	char *made[4 + SLU_SETTINGS];
	size_t nmade;
	bool oom;
};

static void arg(struct mount_argv *a, const char *s)
{
	a->argv[a->n++] = s;
}

static void arg_made(struct mount_argv *a, char *s)
{
	if (!s)
		a->oom = true;
	else
		arg(a, a->made[a->nmade++] = s);
}

static void mount_argv_done(struct mount_argv *a)
{
	for (size_t i = 0; i < a->nmade; i++)
		free(a->made[i]);
}

static int mount_argv(struct sluice *s, const char *ref, const char *mountpoint,
		      const struct sluice_view_options *o, struct mount_argv *a, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	char *program;
	int r = slu_context_program(&program, e);

	if (r < 0)
		return r;
	arg_made(a, program);
	arg(a, "mount");
	arg(a, "--foreground");
	arg(a, "--ready-fd=3");
	if (w)
		arg_made(a, slu_asprintf("--workspace=%s", w->config_path));
	if (o->allow_other)
		arg(a, "--allow-other");
	if (o->io_timeout_ns)
		arg_made(a, slu_asprintf("--io-timeout=%lldms",
					 (long long)(o->io_timeout_ns / 1000000)));
	for (size_t i = 0; o->settings && o->settings[i]; i++) {
		if (i == SLU_SETTINGS)
			return slu_fail(e, EINVAL, "more than %d settings", SLU_SETTINGS);
		arg_made(a, slu_asprintf("--set=%s", o->settings[i]));
	}
	if (o->flags & SLUICE_NO_SUPERVISOR)
		arg(a, "--no-supervisor");
	if (o->manifest)
		arg_made(a, slu_asprintf("--manifest=%s", o->manifest));
	arg(a, "--");
	arg(a, ref);
	arg(a, mountpoint);
	a->argv[a->n] = NULL;
	return a->oom ? slu_fail_oom(e) : 0;
}

int sluice_mount(struct sluice *s, const char *ref, const char *mountpoint,
		 const struct sluice_view_options *o, struct sluice_view **ret,
		 struct sluice_error *e)
{
	SLU_AUTO(mount_argv_done) struct mount_argv a = {0};
	SLU_AUTO(slu_freep) char *abs = NULL, *own = NULL;
	struct slu_settings set;
	struct slu_err er = {0};
	struct sluice_view *v = slu_new0(struct sluice_view);
	int r = v ? slu_api_view_options(&o, &er) : slu_fail_oom(&er), made = 0;

	if (r == 0)
		r = slu_api_settle(s, 'm', o->settings, &set, &er);
	if (r == 0)
		r = slu_path_absolute(mountpoint, &abs, &er);
	if (r == 0)
		r = made = slu_mount_check(abs, &er);
	if (r >= 0)
		r = slu_api_local(s, &ref, &own, &er);
	if (r >= 0)
		r = mount_argv(s, ref, abs, o, &a, &er);
	if (r == 0)
		r = slu_mount_open(a.argv, abs, true, o->log, &v->view, &er);
	if (r < 0) {
		slu_mount_uncheck(abs, made);
		sluice_view_free(v);
	} else {
		v->mounted = true;
		*ret = v;
	}
	return slu_api_error(e, &er, r);
}

/* A mount that has served so far goes on without it. */
static int serve_cache(struct sluice *s, const struct slu_settings *set,
		       const struct slu_mlink *link, struct slu_err *e)
{
	int r = slu_context_use_cache(s, set, e);

	if (r == 0 || !slu_mlink_heir(link))
		return r;
	slu_warn("cache", "the mount goes on without its disk cache: %s", e->msg);
	return 0;
}

/* As fstab has it, so that `mount -a` knows what is mounted; but no path, which umount(8) could take for
 * a mount point. */
static char *mount_source(const char *ref)
{
	return strchr("./~", ref[0]) ? slu_asprintf("sluice:%s", ref) : slu_strdup(ref);
}

/* link: of a worker (taken), or to no supervisor. */
static int mount_serve(struct sluice *s, const char *ref, const char *mountpoint,
		       const struct sluice_view_options *o, int ready_fd, int lifeline_fd,
		       struct slu_mlink *link, struct sluice_error *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL, *source = mount_source(ref);
	struct slu_dataset *d = NULL;
	struct slu_settings set;
	struct slu_err er = {0};
	int r = source ? slu_api_view_options(&o, &er) : slu_fail_oom(&er);
	int given = slu_mpoint_given(mountpoint);

	if (given >= 0)
		(void)fcntl(given, F_SETFD, FD_CLOEXEC); /* not for commands that tell a secret */
	if (r == 0)
		r = slu_api_settle(s, 'm', o->settings, &set, &er);
	if (r == 0)
		r = slu_path_absolute(mountpoint, &abs, &er);
	if (r == 0)
		r = serve_cache(s, &set, link, &er);
	if (r == 0)
		r = set.live ? find_live(s, ref, &set, o->manifest, slu_mlink_heir(link), &d, &er)
			     : worker_dataset(s, ref, o->manifest, &set, link, &d, &er);
	if (r == 0) {
		struct slu_mount_opts m = {
			.allow_other = o->allow_other || set.allow_other,
			.uid = set.chosen[SLU_SET_uid] ? geteuid() : set.uid,
			.gid = set.chosen[SLU_SET_gid] ? getegid() : set.gid,
			.umask = set.umask,
			.source = source,
			.io_timeout = o->io_timeout_ns ? o->io_timeout_ns : set.io_timeout,
			.set = &set,
			.ready_fd = ready_fd,
			.lifeline_fd = lifeline_fd,
			.link = link,
		};

		r = slu_mount_serve(d->tree, abs, &m, &er);
	} else {
		slu_mount_say_failed(ready_fd, &er);
		slu_mlink_close(link);
	}
	if (r != -ETIMEDOUT) /* else the store still holds requests that look at it */
		slu_dataset_free(d);
	return slu_api_error(e, &er, r);
}

int sluice_mount_serve(struct sluice *s, const char *ref, const char *mountpoint,
		       const struct sluice_view_options *o, int ready_fd, int lifeline_fd,
		       struct sluice_error *e)
{
	struct slu_mlink link;
	struct slu_err er = {0};
	int r = slu_mlink_open(&link, -1, &er);

	if (r < 0) {
		slu_mount_say_failed(ready_fd, &er);
		return slu_api_error(e, &er, r);
	}
	return mount_serve(s, ref, mountpoint, o, ready_fd, lifeline_fd, &link, e);
}

int sluice_mount_work(struct sluice *s, const char *ref, const char *mountpoint,
		      const struct sluice_view_options *o, int worker_fd, struct sluice_error *e)
{
	int ready = fcntl(worker_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	struct slu_mlink link;
	struct slu_err er = {0};
	int r = slu_mlink_open(&link, worker_fd, &er);

	if (r < 0) {
		slu_mount_say_failed(ready, &er);
		return slu_api_error(e, &er, r);
	}
	(void)fcntl(worker_fd, F_SETFD, FD_CLOEXEC);
	if (!slu_mlink_tie(&link))
		return -EPIPE;
	return mount_serve(s, ref, mountpoint, o, ready, slu_mlink_kept(&link, SLU_KEEP_LIFELINE),
			   &link, e);
}

int sluice_mount_supervise(const char *const *argv, int ready_fd, int lifeline_fd,
			   struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_mount_supervise(argv, ready_fd, lifeline_fd, &er));
}

int sluice_unmount(const char *mountpoint, int64_t timeout_ns, struct sluice_error *e)
{
	SLU_AUTO(slu_api_stage_done) struct slu_api_stage stage = {0};
	SLU_AUTO(slu_freep) char *abs = NULL;
	struct slu_settings set = *slu_settings_default();
	struct slu_err er = {0};
	int64_t end = 0;
	int r = slu_path_absolute(mountpoint, &abs, &er);

	if (r == 0 && timeout_ns < 0) {
		r = slu_api_settle(NULL, 'u', NULL, &set, &er);
		timeout_ns = set.unmount_timeout;
	}
	if (r == 0) {
		/* A mount that does not answer is unmounted all the same. */
		slu_api_stage_look(abs, timeout_ns / 2, &stage);
		end = slu_deadline_in(
			timeout_ns); /* of all: who is detached only is not waited for */
		r = slu_unmount(abs, timeout_ns, &er);
	}
	if (r == 0)
		slu_api_stage_tell(abs, &stage, end);
	return slu_api_error(e, &er, r);
}

/* --- what they have in common --- */

const char *sluice_view_where(const struct sluice_view *v)
{
	return v->view->where;
}

const char *sluice_view_properties(const struct sluice_view *v)
{
	return v->props;
}

int sluice_view_wait(struct sluice_view *v, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_view_wait(v->view, &er));
}

int sluice_view_close(struct sluice_view *v, struct sluice_error *e)
{
	struct slu_err er = {0};
	int r = v->mounted ? slu_unmount(v->view->where, CLOSE_NS, &er) : 0;

	if (r == 0) {
		v->mounted = false;
		r = slu_view_close(v->view, &er);
	}
	return slu_api_error(e, &er, r);
}

void sluice_view_free(struct sluice_view *v)
{
	if (!v)
		return;
	slu_view_free(v->view);
	slu_dataset_free(v->dataset);
	free(v->props);
	free(v);
}
