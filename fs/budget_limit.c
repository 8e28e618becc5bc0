/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory the budget shares out: what the machine has, or the tightest control group above
 * this process, of version 1 or 2.  Seen from within a container the path of /proc/self/cgroup may
 * name a group that is not mounted here: then what is mounted is the container's own.
 */
#include "fs/budget.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"

#include <fcntl.h>

#define TEXT_MAX (4u << 20)
#define MOUNT_FIELDS 10

/* One hierarchy of control groups as it is mounted here. */
struct hierarchy {
	const char *where; /* mount point */
	const char *top;   /* which group is mounted there */
	bool v2;
};

static int read_text(const char *root, const char *path, struct slu_buf *b)
{
	SLU_AUTO(slu_freep) char *full = slu_asprintf("%s%s", root, path);

	return full ? slu_buf_read_at(b, AT_FDCWD, full) : -1;
}

/* A number of bytes on a line of its own; "max", and what is no number, is no limit. */
static uint64_t read_limit(const char *root, const char *dir, const char *name)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(256);
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", dir, name);
	uint64_t n;

	if (!path || read_text(root, path, &b) < 0 || !b.p)
		return UINT64_MAX;
	b.p[strcspn(b.p, "\n")] = '\0';
	return slu_u64(b.p, &n) ? n : UINT64_MAX;
}

static uint64_t mem_total(const char *root)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	char *rest, *line;
	const char *v;
	uint64_t kib;

	if (read_text(root, "/proc/meminfo", &b) < 0)
		return UINT64_MAX;
	for (rest = b.p; (line = strsep(&rest, "\n"));) {
		v = slu_after(line, "MemTotal:");
		if (!v)
			continue;
		line += v - line + (ptrdiff_t)strspn(v, " \t");
		line[strspn(line, "0123456789")] = '\0';
		return slu_u64(line, &kib) && kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
	}
	return UINT64_MAX;
}

/* One of the words of a list with commas. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

/* A line of mountinfo that mounts the memory controller. */
static bool parse_mount(char *line, struct hierarchy *ret)
{
	char *field[MOUNT_FIELDS] = {0}, *dash = strstr(line, " - "), *word, *rest;
	unsigned n = 0;

	if (!dash)
		return false;
	*dash = '\0';
	for (rest = line; n < 5 && (word = strsep(&rest, " "));)
		field[n++] = word;
	rest = dash + 3;
	for (unsigned k = 5; k < 8 && (word = strsep(&rest, " ")); k++)
		field[k] = word;
	if (n < 5 || !field[7])
		return false;
	ret->top = field[3];
	ret->where = field[4];
	ret->v2 = slu_streq(field[5], "cgroup2");
	return ret->v2 || (slu_streq(field[5], "cgroup") && has_word(field[7], "memory"));
}

/* This process's group in that hierarchy, in the text of /proc/self/cgroup, which is cut up. */
static const char *own_group(char *text, bool v2)
{
	char *line, *ctl;

	while ((line = strsep(&text, "\n"))) {
		ctl = strchr(line, ':');
		if (!ctl)
			continue;
		char *path = strchr(++ctl, ':');

		if (!path)
			continue;
		*path++ = '\0';
		if (v2 ? !*ctl : has_word(ctl, "memory"))
			return path;
	}
	return NULL;
}

/* The least limit from the group's folder up to the mount point. */
static uint64_t tightest(const char *root, const struct hierarchy *h, const char *group)
{
	const char *name = h->v2 ? "memory.max" : "memory.limit_in_bytes";
	const char *below = slu_streq(h->top, "/") ? group : slu_after(group, h->top);
	size_t base = strlen(h->where);
	uint64_t least = UINT64_MAX;
	SLU_AUTO(slu_freep) char *dir = NULL;

	if (!below || (*below && *below != '/') || strstr(below, "/.."))
		below = "";
	dir = slu_asprintf("%s%s", h->where, below);
	if (!dir)
		return least;
	for (;;) {
		uint64_t n = read_limit(root, dir, name);
		char *slash = strrchr(dir, '/');

		if (n < least)
			least = n;
		if (strlen(dir) <= base || !slash || (size_t)(slash - dir) < base)
			return least;
		*slash = '\0';
	}
}

static uint64_t group_limit(const char *root)
{
	SLU_AUTO(slu_buf_done) struct slu_buf mounts = SLU_BUF(TEXT_MAX);
	SLU_AUTO(slu_buf_done) struct slu_buf groups = SLU_BUF(TEXT_MAX);
	uint64_t least = UINT64_MAX;
	char *rest, *line;

	if (read_text(root, "/proc/self/mountinfo", &mounts) < 0 ||
	    read_text(root, "/proc/self/cgroup", &groups) < 0 || !groups.p)
		return least;
	for (rest = mounts.p; (line = strsep(&rest, "\n"));) {
		struct hierarchy h;
		SLU_AUTO(slu_freep) char *text = NULL;

		if (!parse_mount(line, &h))
			continue;
		text = slu_strdup(groups.p);
		const char *group = text ? own_group(text, h.v2) : NULL;
		uint64_t n = group ? tightest(root, &h, group) : UINT64_MAX;

		if (n < least)
			least = n;
	}
	return least;
}

uint64_t slu_budget_machine(const char *root)
{
	uint64_t total = mem_total(root), group = group_limit(root);

	if (group < total)
		total = group;
	return total == UINT64_MAX ? 0 : total;
}

uint64_t slu_budget_default(uint64_t machine)
{
	uint64_t n = machine / 8;

	if (!machine || n > SLU_BUDGET_MAX)
		return SLU_BUDGET_MAX;
	return n < SLU_BUDGET_MIN ? SLU_BUDGET_MIN : n;
}
