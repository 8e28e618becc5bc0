/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dfs endpoint of an account with a hierarchical namespace ("Path" operations of the REST
 * reference): list, create, rename, delete, status, access control.  Folders are blobs of the same table,
 * `folder` set.  Long deletions and renames go in steps of STEP paths, with a continuation, as the service
 * may do.
 */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 100

static void dfs_error(struct request *q, int status, const char *code, const char *message)
{
	char body[512];
	int n = snprintf(body, sizeof(body), "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}",
			 code, message);

	out_header(q, "x-ms-error-code", "%s", code);
	answer(q, status, body, strcmp(q->method, "HEAD") ? (size_t)n : 0, "application/json");
}

static bool flag(const struct request *q, const char *name)
{
	const char *v = query(q, name);

	return v && !strcasecmp(v, "true");
}

static bool below(const char *name, const char *folder)
{
	size_t n = strlen(folder);

	return !n || (!strncmp(name, folder, n) && name[n] == '/');
}

void dfs_parents(struct container *c, const char *path)
{
	char *copy = must(strdup(path));

	for (char *p = strchr(copy, '/'); p; p = strchr(p + 1, '/')) {
		struct name *n;

		*p = '\0';
		n = name_make(c, copy);
		if (!n->now) {
			n->now = blob_new(content_bytes("", 0));
			n->now->folder = true;
			snprintf(n->now->mode, sizeof(n->now->mode), "rwxr-x---");
		}
		*p = '/';
	}
	free(copy);
}

bool dfs_is_file_above(const struct container *c, const char *path)
{
	char *copy = must(strdup(path));
	bool found = false;

	for (char *p = strchr(copy, '/'); p && !found; p = strchr(p + 1, '/')) {
		struct name *n;

		*p = '\0';
		n = name_find(c, copy);
		found = n && n->now && !n->now->folder;
		*p = '/';
	}
	free(copy);
	return found;
}

bool dfs_has_children(const struct container *c, const char *folder)
{
	char *prefix;
	size_t at;
	bool any;

	if (asprintf(&prefix, "%s/", folder) < 0)
		must(NULL);
	at = name_lower(c, prefix);
	any = at < c->n && slu_starts(c->v[at]->text, prefix);
	free(prefix);
	return any;
}

/* --- list --- */

static void json_text(struct slu_buf *b, const char *s)
{
	slu_buf_ch(b, '"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			slu_buf_fmt(b, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			slu_buf_fmt(b, "\\u%04x", (unsigned char)*s);
		else
			slu_buf_ch(b, *s);
	slu_buf_ch(b, '"');
}

static void path_json(struct slu_buf *b, const struct name *n)
{
	const struct blob *x = n->now;
	char date[40];

	http_date(date, x->modified / 1000000000);
	slu_buf_str(b, b->p[b->len - 1] == '[' ? "{\"name\":" : ",{\"name\":");
	json_text(b, n->text);
	if (x->folder)
		slu_buf_str(b, ",\"isDirectory\":\"true\"");
	slu_buf_fmt(b,
		    ",\"contentLength\":\"%" PRIu64
		    "\",\"etag\":\"0x%llX\",\"lastModified\":\"%s\","
		    "\"creationTime\":\"%" PRId64 "\",\"owner\":\"%s\",\"group\":\"%s\","
		    "\"permissions\":\"%s%s\"}",
		    x->c->size, (unsigned long long)x->etag, date,
		    x->created / 100 + 116444736000000000, x->owner, x->group, x->mode,
		    x->acl ? "+" : "");
}

static bool listed(const char *text, const char *dir, bool recursive)
{
	return below(text, dir) && (recursive || !strchr(text + strlen(dir) + (*dir != 0), '/'));
}

static void list(struct request *q, struct container *c)
{
	const char *dir = query(q, "directory"), *from = query(q, "continuation");
	const char *most = query(q, "maxresults");
	size_t max = most ? strtoul(most, NULL, 10) : opt.page, n = 0;
	struct slu_buf b = {.max = 64 << 20};
	bool recursive = flag(q, "recursive");
	struct name *d;

	max = max < opt.page ? max : opt.page;
	dir = dir ? dir + (*dir == '/') : "";
	pthread_mutex_lock(&lock);
	d = *dir ? name_find(c, dir) : NULL;
	if (*dir && (!d || !d->now || !d->now->folder)) {
		pthread_mutex_unlock(&lock);
		return dfs_error(q, 404, "PathNotFound", "The specified path does not exist.");
	}
	slu_buf_str(&b, "{\"paths\":[");
	for (size_t i = from && *from ? strtoul(from, NULL, 16) : 0; i < c->n; i++) {
		const char *text = c->v[i]->text;

		if (!c->v[i]->now || !listed(text, dir, recursive))
			continue;
		if (n++ == max) {
			out_header(q, "x-ms-continuation", "%zx", i);
			break;
		}
		path_json(&b, c->v[i]);
	}
	pthread_mutex_unlock(&lock);
	slu_buf_str(&b, "]}");
	answer(q, 200, b.p, b.len, "application/json;charset=utf-8");
	slu_buf_done(&b);
}

/* --- create, rename --- */

static void create(struct request *q, struct container *c, bool folder)
{
	struct name *n;
	struct blob *b;

	pthread_mutex_lock(&lock);
	n = name_find(c, q->name);
	b = n ? n->now : NULL;
	if (b && header(q, "if-none-match")) {
		pthread_mutex_unlock(&lock);
		return dfs_error(q, 409, "PathAlreadyExists", "The specified path already exists.");
	}
	if ((b && b->folder != folder) || dfs_is_file_above(c, q->name)) {
		pthread_mutex_unlock(&lock);
		return dfs_error(q, 409, "PathConflict", "A file and a folder have one name.");
	}
	if (!b || !folder) {
		dfs_parents(c, q->name);
		n = name_make(c, q->name);
		b = blob_new(content_bytes("", 0));
		b->folder = folder;
		if (folder)
			snprintf(b->mode, sizeof(b->mode), "rwxr-x---");
		blob_publish(n, b);
	}
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
	pthread_mutex_unlock(&lock);
	answer_empty(q, 201);
}

/* Moves one name with what it has; false: nothing of it is there any more. */
static void move(struct container *c, const char *from, const char *to)
{
	struct name *n = name_find(c, from), *t;

	if (!n || !n->now)
		return;
	t = name_make(c, to);
	n = name_find(c, from);
	blob_free(t->now);
	t->now = n->now;
	n->now = NULL;
	name_drop(c, n);
}

static void move_tree(struct container *c, const char *from, const char *to)
{
	char *prefix;
	size_t at;

	if (asprintf(&prefix, "%s/", from) < 0)
		must(NULL);
	while ((at = name_lower(c, prefix)) < c->n && slu_starts(c->v[at]->text, prefix)) {
		char *old = must(strdup(c->v[at]->text)), *new;

		if (asprintf(&new, "%s%s", to, old + strlen(from)) < 0)
			must(NULL);
		move(c, old, new);
		free(old);
		free(new);
	}
	free(prefix);
	move(c, from, to);
}

static bool parent_missing(const struct container *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = must(strndup(path, slash ? (size_t)(slash - path) : 0));
	const struct name *n = slash ? name_find(c, parent) : NULL;

	free(parent);
	return slash && !(n && n->now && n->now->folder);
}

static const char *target_refused(const struct request *q, const struct container *c,
				  const struct name *s, const struct name *t)
{
	if (!t || !t->now)
		return parent_missing(c, q->name) ? "RenameDestinationParentPathNotFound" : NULL;
	if (header(q, "if-none-match"))
		return "PathAlreadyExists";
	if (t->now->folder && dfs_has_children(c, q->name))
		return "DirectoryNotEmpty";
	return t->now->folder != s->now->folder ? "PathConflict" : NULL;
}

/* NULL: it may be done; otherwise the code of the refusal, *ret_status with it. */
static const char *rename_refused(struct request *q, struct container *c, const char *from,
				  int *ret_status)
{
	struct name *s = name_find(c, from), *t = name_find(c, q->name);
	const char *match = header(q, "x-ms-source-if-match");
	char etag[40];

	*ret_status = 404;
	if (!s || !s->now)
		return "SourcePathNotFound";
	snprintf(etag, sizeof(etag), "\"0x%llX\"", (unsigned long long)s->now->etag);
	*ret_status = 412;
	if (match && strcmp(match, etag) != 0)
		return "SourceConditionNotMet";
	*ret_status = parent_missing(c, q->name) ? 404 : 409;
	if (s->now->folder && below(q->name, from))
		return "InvalidRenameSourcePath";
	if (dfs_is_file_above(c, q->name))
		return "PathConflict";
	return target_refused(q, c, s, t);
}

static void rename_path(struct request *q, struct container *c, const char *source)
{
	struct slu_buf b = {.max = 1 << 16};
	const char *refused, *slash, *from;
	int status;
	char *text;

	source += *source == '/';
	slash = strchr(source, '/');
	if (!slash)
		return dfs_error(q, 400, "InvalidSourceUri", "The source has no path.");
	slu_url_decode(&b, slash + 1, strcspn(slash + 1, "?"));
	text = must(slu_buf_take(&b));
	from = text;
	pthread_mutex_lock(&lock);
	refused = rename_refused(q, c, from, &status);
	if (!refused) {
		dfs_parents(c, q->name);
		if (strcmp(from, q->name) != 0)
			move_tree(c, from, q->name);
	}
	pthread_mutex_unlock(&lock);
	free(text);
	if (refused)
		return dfs_error(q, status, refused, "The path cannot be renamed.");
	answer_empty(q, 201);
}

/* --- delete --- */

static void drop_path(struct container *c, const char *text)
{
	struct name *n = name_find(c, text);

	if (!n)
		return;
	blob_free(n->now);
	n->now = NULL;
	name_blocks_drop(n);
	name_drop(c, n);
}

static void delete_path(struct request *q, struct container *c)
{
	size_t at, gone = 0;
	struct name *n;
	char *prefix;
	bool more;

	if (asprintf(&prefix, "%s/", q->name) < 0)
		must(NULL);
	pthread_mutex_lock(&lock);
	n = name_find(c, q->name);
	if ((!n || !n->now) ||
	    (n->now->folder && !flag(q, "recursive") && dfs_has_children(c, q->name))) {
		pthread_mutex_unlock(&lock);
		free(prefix);
		return n && n->now ? dfs_error(q, 409, "DirectoryNotEmpty", "It is not empty.")
				   : dfs_error(q, 404, "PathNotFound", "There is no such path.");
	}
	if (!conditions_ok(q, n->now, "", false)) {
		pthread_mutex_unlock(&lock);
		free(prefix);
		return;
	}
	while (gone++ < STEP && (at = name_lower(c, prefix)) < c->n &&
	       slu_starts(c->v[at]->text, prefix)) {
		char *text = must(strdup(c->v[at]->text));

		drop_path(c, text);
		free(text);
	}
	more = dfs_has_children(c, q->name);
	if (more)
		out_header(q, "x-ms-continuation", "%s", "more+to/come=");
	else
		drop_path(c, q->name);
	pthread_mutex_unlock(&lock);
	free(prefix);
	answer_empty(q, 200);
}

/* --- status, access control --- */

static void status(struct request *q, struct container *c)
{
	const char *action = query(q, "action");
	struct name *n = NULL;
	struct blob *b = NULL;

	pthread_mutex_lock(&lock);
	if (*q->name) {
		n = name_find(c, q->name);
		b = n ? n->now : NULL;
		b = b ? blob_clone(b) : NULL;
	} else {
		b = blob_new(content_bytes("", 0));
		b->folder = true;
		snprintf(b->mode, sizeof(b->mode), "rwxr-x---");
	}
	pthread_mutex_unlock(&lock);
	if (!b)
		return dfs_error(q, 404, "PathNotFound", "There is no such path.");
	if (action && !strcmp(action, "getAccessControl")) {
		out_header(q, "x-ms-owner", "%s", b->owner);
		out_header(q, "x-ms-group", "%s", b->group);
		out_header(q, "x-ms-permissions", "%s", b->mode);
		out_header(q, "x-ms-acl", "%s",
			   b->acl ? b->acl : "user::rw-,group::r--,other::---");
		out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)b->etag);
		answer_empty(q, 200);
	} else {
		blob_headers(q, b, true);
		answer_content(q, 200, b->c, 0, b->c->size);
	}
	blob_free(b);
}

static void set_access(struct request *q, struct container *c)
{
	const char *v;
	struct name *n;

	pthread_mutex_lock(&lock);
	n = name_find(c, q->name);
	if (!n || !n->now) {
		pthread_mutex_unlock(&lock);
		return dfs_error(q, 404, "PathNotFound", "There is no such path.");
	}
	if ((v = header(q, "x-ms-owner")))
		snprintf(n->now->owner, sizeof(n->now->owner), "%s", v);
	if ((v = header(q, "x-ms-group")))
		snprintf(n->now->group, sizeof(n->now->group), "%s", v);
	if ((v = header(q, "x-ms-permissions")))
		snprintf(n->now->mode, sizeof(n->now->mode), "%s", v);
	if ((v = header(q, "x-ms-acl"))) {
		free(n->now->acl);
		n->now->acl = must(strdup(v));
	}
	pthread_mutex_unlock(&lock);
	answer_empty(q, 200);
}

void do_dfs(struct request *q, struct container *c)
{
	const char *resource = query(q, "resource"), *source = header(q, "x-ms-rename-source");

	if (!opt.hns)
		return dfs_error(q, 400, "HierarchicalNamespaceNotEnabled",
				 "The namespace is flat.");
	if (!c)
		return dfs_error(q, 404, "FilesystemNotFound", "There is no such filesystem.");
	if (strlen(q->name) && q->name[strlen(q->name) - 1] == '/')
		q->name[strlen(q->name) - 1] = '\0';
	if (!strcmp(q->method, "GET") && resource && !*q->name)
		list(q, c);
	else if (!strcmp(q->method, "PUT") && source)
		rename_path(q, c, source);
	else if (!strcmp(q->method, "PUT") && resource)
		create(q, c, !strcmp(resource, "directory"));
	else if (!strcmp(q->method, "DELETE"))
		delete_path(q, c);
	else if (!strcmp(q->method, "HEAD"))
		status(q, c);
	else if (!strcmp(q->method, "PATCH"))
		set_access(q, c);
	else
		dfs_error(q, 400, "UnsupportedRestVersion", "Not known here.");
}
