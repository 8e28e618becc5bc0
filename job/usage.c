/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring a process tree by /proc.  A process that ends between two looks is missed; what it read and wrote is not,
 * because the kernel adds it to its parent.
 */
#include "job/usage.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "common/time.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Processes of one tree, and bytes of a file of /proc. */
enum { TREE_MAX = 512, TEXT_MAX = 64 << 10 };

struct tree {
	pid_t pid[TREE_MAX];
	size_t n;
};

/* The next number in the text; false: there is none. */
static bool next_number(char **p, uint64_t *ret)
{
	char *digits = *p + strcspn(*p, "0123456789");
	size_t n = strspn(digits, "0123456789");
	bool last = digits[n] == '\0';

	if (!n)
		return false;
	digits[n] = '\0';
	*p = digits + n + !last;
	return slu_u64(digits, ret);
}

static void add_children(struct tree *t, pid_t pid, const char *thread)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	char path[96];
	uint64_t child;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int)pid, thread);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0 || !b.p)
		return;
	for (p = b.p; t->n < TREE_MAX && next_number(&p, &child);)
		t->pid[t->n++] = (pid_t)child;
}

/* Children belong to the thread that forked them. */
static void add_below(struct tree *t, pid_t pid)
{
	char path[48];
	struct dirent *ent;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	SLU_AUTO(slu_closedirp) DIR *d = opendir(path);

	while (d && (ent = readdir(d)))
		if (ent->d_name[0] != '.')
			add_children(t, pid, ent->d_name);
}

/* Pages that are in memory: the second number of statm. */
static uint64_t memory_of(pid_t pid)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	char path[48], *p;
	uint64_t size, pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0 || !b.p)
		return 0;
	p = b.p;
	return next_number(&p, &size) && next_number(&p, &pages)
		       ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
		       : 0;
}

/* rchar and wchar: the first two numbers. */
static void traffic_of(pid_t pid, uint64_t *read_bytes, uint64_t *written)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	char path[48], *p;
	uint64_t r, w;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0 || !b.p)
		return;
	p = b.p;
	if (next_number(&p, &r) && next_number(&p, &w)) {
		*read_bytes += r;
		*written += w;
	}
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void slu_usage_sample(struct slu_usage *u, pid_t pid)
{
	struct tree t = {.n = 0};
	uint64_t memory = 0, got = 0, written = 0;

	add_below(&t, pid);
	for (size_t i = 0; i < t.n; i++) {
		add_below(&t, t.pid[i]);
		memory += memory_of(t.pid[i]);
		traffic_of(t.pid[i], &got, &written);
	}
	u->memory = larger(u->memory, memory);
	u->read = larger(u->read, got);
	u->written = larger(u->written, written);
}

void slu_usage_add(struct slu_usage *to, const struct slu_usage *u)
{
	to->user_us += u->user_us;
	to->system_us += u->system_us;
	to->largest = larger(to->largest, u->largest);
	to->disk_read += u->disk_read;
	to->disk_written += u->disk_written;
	to->memory = larger(to->memory, u->memory);
	to->read += u->read;
	to->written += u->written;
	to->wall += u->wall;
}

/* Milliseconds are as much as anybody reads. */
static int put_seconds(struct json_t *o, const char *key, int64_t us)
{
	return slu_json_set(o, key, slu_json_new_real((double)(us / 1000) / 1e3));
}

struct json_t *slu_usage_json(const struct slu_usage *u)
{
	struct json_t *o = slu_json_object();
	int r = o ? put_seconds(o, "wall_seconds", u->wall / 1000) : -1;

	if (r == 0) {
		r |= put_seconds(o, "user_seconds", u->user_us);
		r |= put_seconds(o, "system_seconds", u->system_us);
		r |= slu_json_set_int(o, "peak_memory_bytes",
				      (int64_t)larger(u->memory, u->largest));
		r |= slu_json_set_int(o, "read_bytes", (int64_t)u->read);
		r |= slu_json_set_int(o, "written_bytes", (int64_t)u->written);
		r |= slu_json_set_int(o, "disk_read_bytes", (int64_t)u->disk_read);
		r |= slu_json_set_int(o, "disk_written_bytes", (int64_t)u->disk_written);
	}
	if (r == 0)
		return o;
	slu_json_free(o);
	return NULL;
}
