/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: computes and linked services, entries of config.json.  All is read from the file as it is now; a
 * change is made to what it holds when it is written.
 */
#include "dataset/api.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/workspace_edit.h"
#include "job/compute.h"
#include "job/compute_yaml.h"
#include "job/livy.h"
#include "job/session.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>

enum { WAIT_MS = 2000 };

#define COMPUTES "computes"
#define LINKS "linked_services"

struct change {
	const char *section, *what; /* "computes", "compute" */
	const char *name;
	struct json_t *entry; /* NULL: it goes */
	bool replace, detach;
};

/* --- names --- */

/* Azure ML's rule: a letter, then letters, digits and '-', none at the end; 2 to 16. */
static bool pool_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 2 || n > 16 || !isalpha((unsigned char)name[0]) || name[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-')
			return false;
	return true;
}

static int check_name(const char *what, const char *name, const struct json_t *entry,
		      struct slu_err *e)
{
	const char *type = slu_json_str(entry, "type");
	bool azure = type &&
		     (strcasecmp(type, "synapsespark") == 0 || strcasecmp(type, "amlcompute") == 0);

	if (azure && !pool_name_ok(name))
		return slu_fail(e, EINVAL,
				"'%s' cannot be the name of a %s of type '%s': 2 to 16 letters, "
				"digits and '-', a letter first and no '-' last",
				name, what, type);
	return slu_is_name(name)
		       ? 0
		       : slu_fail(e, EINVAL,
				  "'%s' cannot be the name of a %s: letters, digits, '_', "
				  "'.' and '-'",
				  name, what);
}

/* These run steps without an entry in config.json. */
static bool is_builtin(const struct slu_workspace *w, const char *section, const char *name)
{
	return slu_streq(section, COMPUTES) &&
	       (slu_streq(name, "local") || slu_streq(name, "spark")) &&
	       !slu_json_get(slu_json_get(w->config, section), name);
}

static int not_there(const struct slu_workspace *w, const struct change *c, struct slu_err *e)
{
	const struct json_t *all = slu_json_get(w->config, c->section);
	const char *near = NULL;

	if (is_builtin(w, c->section, c->name))
		return slu_fail(e, ENOENT,
				"compute '%s' is built in: it has no entry in '%s', until "
				"`sluice compute create` makes one",
				c->name, w->config_path);
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		near = slu_nearer(c->name, near, slu_json_iter_key(it));
	return slu_fail(e, ENOENT, "%s '%s' is not in '%s'%s%s%s; `sluice %s list` shows them",
			c->what, c->name, w->config_path, near ? " (is '" : "", near ? near : "",
			near ? "' meant?)" : "",
			slu_streq(c->what, "compute") ? "compute" : "linked-service");
}

/* --- changes --- */

static int put(struct slu_workspace *w, const struct change *c, struct slu_err *e)
{
	struct json_t *all = slu_json_get(w->config, c->section);

	if (!all) {
		if (slu_json_set(w->config, c->section, slu_json_object()) < 0)
			return slu_fail_oom(e);
		all = slu_json_get(w->config, c->section);
	}
	if (slu_json_get(all, c->name) && !c->replace)
		return slu_fail(e, EEXIST, "%s '%s' exists already; give --replace to change it",
				c->what, c->name);
	return slu_json_set(all, c->name, slu_json_ref(c->entry)) < 0 ? slu_fail_oom(e) : 0;
}

/* A pool belongs to its workspace: it is let go, not deleted. */
static int check_removal(const struct slu_workspace *w, const struct change *c, struct slu_err *e)
{
	const struct json_t *entry = slu_json_get(slu_json_get(w->config, c->section), c->name);
	const char *type = slu_json_str(entry, "type"), *dflt;
	const struct json_t *all = slu_json_get(w->config, COMPUTES);

	if (slu_streq(c->section, COMPUTES)) {
		dflt = slu_json_str(w->config, "default_compute");
		if (type && strcasecmp(type, "synapsespark") == 0 && !c->detach)
			return slu_fail(e, EPERM,
					"compute '%s' is attached: `sluice compute detach` lets it "
					"go; what it leads to is not deleted here",
					c->name);
		if (dflt && slu_streq(dflt, c->name))
			return slu_fail(e, EBUSY,
					"compute '%s' is \"default_compute\" in '%s': name another "
					"there first",
					c->name, w->config_path);
		return 0;
	}
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it)) {
		const char *link = slu_json_str(slu_json_iter_value(it), "linked_service");

		if (link && slu_streq(link, c->name))
			return slu_fail(e, EBUSY,
					"linked service '%s' is used by compute '%s': detach that "
					"first",
					c->name, slu_json_iter_key(it));
	}
	return 0;
}

static int change(struct slu_workspace *w, void *user, struct slu_err *e)
{
	const struct change *c = user;
	struct json_t *all = slu_json_get(w->config, c->section);
	int r;

	if (c->entry) {
		r = slu_streq(c->section, COMPUTES) ? slu_compute_check(w, c->name, c->entry, e)
						    : 0;
		return r < 0 ? r : put(w, c, e);
	}
	if (!slu_json_get(all, c->name))
		return not_there(w, c, e);
	r = check_removal(w, c, e);
	if (r == 0)
		slu_json_del(all, c->name);
	return r;
}

static int parse(const char *text, const char *what, struct json_t **ret, struct slu_err *e)
{
	int r = slu_json_parse(text, strlen(text), what, ret, e);

	return r == 0 && !slu_json_is_object(*ret) ? slu_fail(e, EINVAL, "%s is no object", what)
						   : r;
}

/* --- questions --- */

static struct json_t *row(const char *name, const struct json_t *entry)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (slu_json_set_str(o, "name", name) < 0)
		return NULL;
	for (void *it = slu_json_iter(entry); it; it = slu_json_next(entry, it))
		if (slu_json_set(o, slu_json_iter_key(it), slu_json_copy(slu_json_iter_value(it))) <
		    0)
			return NULL;
	return slu_take(o);
}

/* What Azure calls the workspace that a link leads to. */
static int add_link_id(struct json_t *o)
{
	const char *sub = slu_json_str(o, "subscription_id");
	const char *group = slu_json_str(o, "resource_group"), *ws = slu_json_str(o, "workspace");
	SLU_AUTO(slu_freep) char *id = NULL;

	if (!sub || !group || !ws || slu_json_get(o, "resource_id"))
		return 0;
	id = slu_asprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Synapse/"
			  "workspaces/%s",
			  sub, group, ws);
	return id ? slu_json_set_str(o, "resource_id", id) : -ENOMEM;
}

static int add_pool_id(const struct slu_workspace *w, struct json_t *o)
{
	const char *link = slu_json_str(o, "linked_service"), *pool = slu_json_str(o, "pool");
	const struct json_t *service =
		link ? slu_json_get(slu_json_get(w->config, LINKS), link) : NULL;
	SLU_AUTO(slu_json_freep) struct json_t *s = service ? row(link, service) : NULL;
	SLU_AUTO(slu_freep) char *id = NULL;

	if (!s || !pool || slu_json_get(o, "resource_id"))
		return 0;
	if (add_link_id(s) < 0)
		return -ENOMEM;
	if (!slu_json_str(s, "resource_id"))
		return 0;
	id = slu_asprintf("%s/bigDataPools/%s", slu_json_str(s, "resource_id"), pool);
	return id ? slu_json_set_str(o, "resource_id", id) : -ENOMEM;
}

static struct json_t *shown(const struct slu_workspace *w, const char *section, const char *name,
			    const struct json_t *entry)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = row(name, entry);
	const char *dflt = slu_json_str(w->config, "default_compute");
	bool computes = slu_streq(section, COMPUTES);

	if (!o || (computes ? add_pool_id(w, o) : add_link_id(o)) < 0 ||
	    (computes && slu_json_set_bool(o, "default", dflt && slu_streq(dflt, name)) < 0))
		return NULL;
	return slu_take(o);
}

/* A built-in one; its name is its type. */
static struct json_t *shown_builtin(const struct slu_workspace *w, const char *name)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = slu_json_object();

	if (slu_json_set_str(entry, "type", name) < 0 ||
	    slu_json_set_bool(entry, "built_in", true) < 0)
		return NULL;
	return shown(w, COMPUTES, name, entry);
}

static int add_builtin(const struct slu_workspace *w, const char *section, struct json_t *rows)
{
	static const char *const names[] = {"local", "spark"};
	int r = 0;

	for (size_t i = 0; i < sizeof names / sizeof *names && r == 0; i++)
		if (is_builtin(w, section, names[i]))
			r = slu_json_append(rows, shown_builtin(w, names[i]));
	return r;
}

static int list(struct sluice *s, const char *section, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *rows = slu_json_array();
	int r = slu_workspace_fresh(s, &w, e);
	const struct json_t *all = r == 0 ? slu_json_get(w->config, section) : NULL;

	if (r < 0)
		return r;
	for (void *it = slu_json_iter(all); it; it = slu_json_next(all, it))
		if (slu_json_append(rows, shown(w, section, slu_json_iter_key(it),
						slu_json_iter_value(it))) < 0)
			return slu_fail_oom(e);
	if (add_builtin(w, section, rows) < 0)
		return slu_fail_oom(e);
	return slu_api_json(slu_take(rows), ret, e);
}

static int show(struct sluice *s, const char *section, const char *what, const char *name,
		char **ret, struct slu_err *e)
{
	const struct change c = {.section = section, .what = what, .name = name};
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	int r = slu_workspace_fresh(s, &w, e);
	const struct json_t *entry =
		r == 0 ? slu_json_get(slu_json_get(w->config, section), name) : NULL;

	if (r < 0)
		return r;
	if (is_builtin(w, section, name))
		return slu_api_json(shown_builtin(w, name), ret, e);
	return entry ? slu_api_json(shown(w, section, name, entry), ret, e) : not_there(w, &c, e);
}

/* --- computes --- */

int sluice_compute_create(struct sluice *s, const char *name, const char *entry_json,
			  unsigned flags, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	struct slu_err er = {0};
	int r = parse(entry_json, "the compute entry", &entry, &er);
	struct change c = {.section = COMPUTES,
			   .what = "compute",
			   .name = name,
			   .entry = entry,
			   .replace = flags & SLUICE_OVERWRITE};

	if (r == 0)
		r = check_name(c.what, name, entry, &er);
	if (r == 0)
		r = slu_workspace_edit(s, change, &c, &er);
	return slu_api_error(e, &er, r);
}

static int remove_compute(struct sluice *s, const char *name, bool detach, struct sluice_error *e)
{
	struct change c = {.section = COMPUTES, .what = "compute", .name = name, .detach = detach};
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_workspace_edit(s, change, &c, &er));
}

int sluice_compute_detach(struct sluice *s, const char *name, struct sluice_error *e)
{
	return remove_compute(s, name, true, e);
}

int sluice_compute_delete(struct sluice *s, const char *name, struct sluice_error *e)
{
	return remove_compute(s, name, false, e);
}

int sluice_compute_list(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, list(s, COMPUTES, ret_json, &er));
}

int sluice_compute_show(struct sluice *s, const char *name, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, show(s, COMPUTES, "compute", name, ret_json, &er));
}

int sluice_compute_read(const char *path, char **ret_json, struct sluice_error *e)
{
	struct json_t *o = NULL;
	struct slu_err er = {0};
	int r = slu_compute_yaml(path, &o, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(o, ret_json, &er));
}

/* --- sessions --- */

/* A compute of the file as it is now; NULL: any. */
static int with_compute(struct sluice *s, const char *name, struct sluice **ret, struct slu_err *e)
{
	const struct change c = {.section = COMPUTES, .what = "compute", .name = name};
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	int r = slu_workspace_fresh(s, &w, e);

	if (r < 0)
		return r;
	if (name && !slu_json_get(slu_json_get(w->config, COMPUTES), name))
		return not_there(w, &c, e);
	return slu_context_new(slu_take(w), ret, e);
}

int sluice_compute_sessions(struct sluice *s, const char *name, char **ret_json,
			    struct sluice_error *e)
{
	SLU_AUTO(slu_context_freep) struct sluice *own = NULL;
	struct json_t *rows = NULL;
	struct slu_err er = {0};
	int r = with_compute(s, name, &own, &er);

	if (r == 0)
		r = slu_sessions_list(own, name, &rows, &er);
	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(rows, ret_json, &er));
}

int sluice_compute_stop(struct sluice *s, const char *name, int64_t session, struct sluice_error *e)
{
	SLU_AUTO(slu_context_freep) struct sluice *own = NULL;
	struct slu_err er = {0};
	int r = with_compute(s, name, &own, &er);

	if (r == 0)
		r = slu_sessions_stop(own, name, session, &er);
	return slu_api_error(e, &er, r);
}

/* --- waiting --- */

/* Does the server let us in?  What it takes there is said when it does not. */
static int try_livy(struct sluice *s, const struct slu_compute *c, struct slu_err *e)
{
	SLU_AUTO(slu_livy_freep) struct slu_livy *l = NULL;
	int r = slu_livy_open(s, c->name, c->livy, &l, e);

	if (r == 0)
		r = slu_livy_call(l, "GET", "/batches?from=0&size=1", NULL, NULL, e);
	if (r == -EACCES)
		slu_fail_more(e, "who asks needs to be let in (Synapse: the role Synapse Apache "
				 "Spark Administrator, and access to the workspace)");
	return r;
}

static int try_compute(struct sluice *s, const char *name, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *w = NULL;
	SLU_AUTO(slu_context_freep) struct sluice *own = NULL;
	const struct change c = {.section = COMPUTES, .what = "compute", .name = name};
	struct slu_compute found = {0};
	enum slu_compute_kind kind;
	int r = slu_workspace_fresh(s, &w, e);
	const struct json_t *entry =
		r == 0 ? slu_json_get(slu_json_get(w->config, COMPUTES), name) : NULL;

	if (r < 0)
		return r;
	if (is_builtin(w, COMPUTES, name))
		return 0;
	if (!entry)
		return not_there(w, &c, e);
	if (!slu_compute_type(slu_json_str(entry, "type"), &kind))
		kind = SLU_COMPUTE_LOCAL;
	r = slu_context_new(slu_take(w), &own, e);
	if (r == 0)
		r = slu_compute_find(own, name,
				     kind == SLU_COMPUTE_LOCAL ? SLU_JOB_COMMAND : SLU_JOB_SPARK,
				     &found, e);
	if (r == 0 && found.kind == SLU_COMPUTE_LIVY)
		r = try_livy(own, &found, e);
	slu_compute_done(&found);
	return r;
}

static int tell(sluice_event_fn *fn, void *user, const char *name, const char *status,
		const char *reason)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;

	if (!fn)
		return 0;
	if (slu_json_set_str(o, "compute", name) < 0 || slu_json_set_str(o, "status", status) < 0 ||
	    slu_json_set_str(o, "reason", reason) < 0 ||
	    !(text = slu_json_text(o, SLU_JSON_COMPACT)))
		return -ENOMEM;
	return fn(user, text);
}

int sluice_compute_wait(struct sluice *s, const char *name, uint64_t seconds, sluice_event_fn *fn,
			void *user, struct sluice_error *e)
{
	int64_t deadline = slu_deadline_in((int64_t)(seconds < 86400 ? seconds : 86400) * SLU_SEC);
	struct slu_err er = {0};
	int r = try_compute(s, name, &er);

	while (slu_livy_passes(r) && !slu_expired(deadline)) {
		int stop = tell(fn, user, name, "Creating", er.msg);

		if (stop)
			return stop;
		poll(NULL, 0, WAIT_MS);
		r = try_compute(s, name, &er);
	}
	int stop = tell(fn, user, name, r < 0 ? "Failed" : "Succeeded", r < 0 ? er.msg : NULL);

	return stop ? stop : slu_api_error(e, &er, r);
}

/* --- linked services --- */

static int check_link(const char *name, struct json_t *entry, struct slu_err *e)
{
	static const char *const keys[] = {"type",           "subscription_id",
					   "resource_group", "workspace",
					   "endpoint",       "api",
					   "auth",           "user",
					   "password",       "token",
					   "credential",     "audience",
					   "principal",      "keytab",
					   "ca_file",        "log",
					   "description",    NULL};
	const char *type = slu_json_str(entry, "type");
	int r = check_name("linked service", name, NULL, e);

	if (r < 0)
		return r;
	if (type && strcasecmp(type, "Synapse") != 0)
		return slu_fail(e, EINVAL, "linked service '%s' is of type '%s': it is Synapse",
				name, type);
	if (!slu_json_str(entry, "workspace") && !slu_json_str(entry, "endpoint"))
		return slu_fail(e, EINVAL,
				"linked service '%s' names no \"workspace\" and no \"endpoint\"",
				name);
	for (void *it = slu_json_iter(entry); it; it = slu_json_next(entry, it)) {
		const char *near = NULL;
		size_t i = 0;

		for (; keys[i] && !slu_streq(keys[i], slu_json_iter_key(it)); i++)
			near = slu_nearer(slu_json_iter_key(it), near, keys[i]);
		if (!keys[i])
			return slu_fail(e, EINVAL,
					"linked service '%s' has an unknown key '%s'%s%s%s", name,
					slu_json_iter_key(it), near ? " (is '" : "",
					near ? near : "", near ? "' meant?)" : "");
	}
	r = slu_livy_check_secrets("linked service", name, entry, e);
	return r == 0 && slu_json_set_str(entry, "type", "Synapse") < 0 ? slu_fail_oom(e) : r;
}

int sluice_linked_service_create(struct sluice *s, const char *name, const char *entry_json,
				 unsigned flags, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	struct slu_err er = {0};
	int r = parse(entry_json, "the linked service", &entry, &er);
	struct change c = {.section = LINKS,
			   .what = "linked service",
			   .name = name,
			   .entry = entry,
			   .replace = flags & SLUICE_OVERWRITE};

	if (r == 0)
		r = check_link(name, entry, &er);
	if (r == 0)
		r = slu_workspace_edit(s, change, &c, &er);
	return slu_api_error(e, &er, r);
}

int sluice_linked_service_unregister(struct sluice *s, const char *name, struct sluice_error *e)
{
	struct change c = {.section = LINKS, .what = "linked service", .name = name};
	struct slu_err er = {0};

	return slu_api_error(e, &er, slu_workspace_edit(s, change, &c, &er));
}

int sluice_linked_service_list(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, list(s, LINKS, ret_json, &er));
}

int sluice_linked_service_show(struct sluice *s, const char *name, char **ret_json,
			       struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, show(s, LINKS, "linked service", name, ret_json, &er));
}
