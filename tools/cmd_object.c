/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ls, stat: what there is, wherever it is.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/vec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct json_t *entry_json(const struct sluice_entry *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	char t[24];

	render_time(t, n->mtime_ns);
	if (!o || slu_json_set_str(o, "path", n->path) < 0 ||
	    slu_json_set_str(o, "kind", n->is_dir ? "folder" : "file") < 0 ||
	    slu_json_set_int(o, "size", (int64_t)n->size) < 0 ||
	    slu_json_set_str(o, "modified", n->mtime_ns ? t : NULL) < 0 ||
	    slu_json_set_int(o, "mtime_ns", n->mtime_ns) < 0 ||
	    slu_json_set_str(o, "identity", n->identity[0] ? n->identity : NULL) < 0)
		return NULL;
	if (n->detail) {
		struct json_t *detail = NULL;

		if (slu_json_parse(n->detail, strlen(n->detail), "detail", &detail, NULL) < 0 ||
		    slu_json_set(o, "detail", detail) < 0)
			return NULL;
	}
	return slu_take(o);
}

/* --output json: one object a line, so that a million entries need no memory. */
static int print_json(const struct sluice_entry *n)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = entry_json(n);
	SLU_AUTO(slu_freep) char *text = o ? slu_json_text(o, SLU_JSON_COMPACT) : NULL;

	if (!text)
		return -ENOMEM;
	return puts(text) < 0 ? -EPIPE : 0;
}

struct kept {
	struct sluice_entry n; /* its texts are ours */
};

struct listing {
	const struct cli *c;
	uint64_t files, folders, bytes;
	SLU_VEC(struct kept) kept; /* to be sorted */
};

static int print_entry(const struct cli *c, const struct sluice_entry *n)
{
	if (c->json)
		return print_json(n);
	if (cli_has(c, "long")) {
		char t[24], size[24];

		render_time(t, n->mtime_ns);
		if (cli_has(c, "human"))
			render_size(size, n->size);
		else
			snprintf(size, sizeof size, "%llu", (unsigned long long)n->size);
		printf("%14s  %s  ", size, n->mtime_ns ? t : "-                  ");
	}
	render_name(stdout, n->path);
	puts(n->is_dir ? "/" : "");
	return ferror(stdout) ? -EPIPE : 0;
}

static int keep_entry(struct listing *l, const struct sluice_entry *n)
{
	struct kept k = {.n = *n};
	char *path = slu_strdup(n->path), *identity = slu_strdup(n->identity);

	k.n.path = path;
	k.n.identity = identity;
	k.n.detail = NULL;
	if (path && identity && slu_vec_push(&l->kept, k))
		return 0;
	free(path);
	free(identity);
	return -ENOMEM;
}

static int on_entry(void *user, const struct sluice_entry *n)
{
	struct listing *l = user;

	l->files += !n->is_dir;
	l->folders += !!n->is_dir;
	l->bytes += n->size;
	return cli_has(l->c, "sort") || cli_has(l->c, "reverse") ? keep_entry(l, n)
								 : print_entry(l->c, n);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->n.path, ((const struct kept *)b)->n.path);
}

/* The largest first. */
static int by_size(const void *a, const void *b)
{
	uint64_t x = ((const struct kept *)a)->n.size, y = ((const struct kept *)b)->n.size;

	return x == y ? by_name(a, b) : x < y ? 1 : -1;
}

/* The newest first. */
static int by_time(const void *a, const void *b)
{
	int64_t x = ((const struct kept *)a)->n.mtime_ns, y = ((const struct kept *)b)->n.mtime_ns;

	return x == y ? by_name(a, b) : x < y ? 1 : -1;
}

typedef int order_fn(const void *a, const void *b);

/* Of --sort; NULL when it names none. */
static order_fn *order_of(const struct cli *c)
{
	const char *by = cli_get(c, "sort");

	if (!by || strcmp(by, "name") == 0)
		return by_name;
	if (strcmp(by, "size") == 0)
		return by_size;
	return strcmp(by, "time") == 0 ? by_time : NULL;
}

/* Prints what was kept, if it came to that, and frees it. */
static int flush_kept(struct listing *l, int r)
{
	size_t n = l->kept.n;

	if (n)
		qsort(l->kept.p, n, sizeof *l->kept.p, order_of(l->c));
	for (size_t i = 0; r == 0 && i < n; i++)
		r = print_entry(l->c, &l->kept.p[cli_has(l->c, "reverse") ? n - 1 - i : i].n);
	for (size_t i = 0; i < n; i++) {
		free((char *)l->kept.p[i].n.path);
		free((char *)l->kept.p[i].n.identity);
	}
	free(l->kept.p);
	return r;
}

static void print_summary(const struct listing *l)
{
	char size[16];

	render_size(size, l->bytes);
	if (l->c->json)
		printf("{\"summary\": {\"files\": %llu, \"folders\": %llu, \"bytes\": %llu}}\n",
		       (unsigned long long)l->files, (unsigned long long)l->folders,
		       (unsigned long long)l->bytes);
	else
		printf("%llu files, %llu folders, %llu bytes (%s)\n", (unsigned long long)l->files,
		       (unsigned long long)l->folders, (unsigned long long)l->bytes, size);
}

int cmd_ls(struct cli *c)
{
	struct listing l = {.c = c};
	struct sluice_error e = {0};

	if (!order_of(c))
		return cli_usage(c, "--sort is name, size or time, not '%s'", cli_get(c, "sort"));
	int status = cli_open(c, SLUICE_OPTIONAL);

	if (status)
		return status;
	int r = sluice_list(c->s, c->nargs ? c->args[0] : ".",
			    cli_has(c, "recursive") ? SLUICE_RECURSIVE : 0, on_entry, &l, &e);

	r = flush_kept(&l, r);
	if (r == 0 && cli_has(c, "summary"))
		print_summary(&l);
	return r < 0 && r != -EPIPE ? cli_fail(c, r, &e) : 0;
}

/* One line of each; an object within it has a line of its own for each member. */
static void print_detail(const struct json_t *o, const char *prefix)
{
	for (void *it = slu_json_iter(o); it; it = slu_json_next(o, it)) {
		const struct json_t *v = slu_json_iter_value(it);

		if (slu_json_is_object(v)) {
			SLU_AUTO(slu_freep)
			char *within = slu_asprintf("%s ", slu_json_iter_key(it));

			print_detail(v, within ? within : "");
			continue;
		}
		fputs(prefix, stdout);
		render_name(stdout, slu_json_iter_key(it));
		fputs(": ", stdout);
		if (slu_json_is_string(v))
			render_name(stdout, slu_json_string(v));
		else
			printf("%lld", (long long)slu_json_integer(v));
		putchar('\n');
	}
}

static int print_stat(void *user, const struct sluice_entry *n)
{
	const struct cli *c = user;
	char t[24], size[16];

	if (c->json)
		return print_json(n);
	render_time(t, n->mtime_ns);
	render_size(size, n->size);
	fputs("path:     ", stdout);
	render_name(stdout, n->path);
	printf("\nkind:     %s\nsize:     %llu (%s)\nmodified: %s UTC\nidentity: %s\n",
	       n->is_dir ? "folder" : "file", (unsigned long long)n->size, size, t,
	       n->identity[0] ? n->identity : "-");
	if (n->detail) {
		SLU_AUTO(slu_json_freep) struct json_t *o = NULL;

		if (slu_json_parse(n->detail, strlen(n->detail), "detail", &o, NULL) < 0)
			return -ENOMEM;
		print_detail(o, "");
	}
	return 0;
}

/* All are looked at; the status is that of the first that failed. */
int cmd_stat(struct cli *c)
{
	int status = cli_open(c, SLUICE_OPTIONAL), failed = 0;

	for (int i = 0; status == 0 && i < c->nargs; i++) {
		struct sluice_error e = {0};
		int r;

		if (i > 0 && !c->json)
			putchar('\n');
		r = sluice_stat(c->s, c->args[i], print_stat, c, &e);
		if (r < 0 && (r = cli_fail(c, r, &e)) && !failed)
			failed = r;
	}
	return status ? status : failed;
}
