/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs have open in a live mount, and which folders they may stand in, written down for the next
 * worker, with the numbers that the kernel has for them.  A log in a memory
 * file that the supervisor keeps: "o|c|d SIZE TIME IDENTITY PATH NUL", opened, opened and nameless since, closed, or a folder that the
 * kernel got to know of (of a folder SIZE is "-"); when it has grown, what holds is written into a new one.  A record without its end was being written at the death: not counted.
 */
#include "fs/mount_live.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LOG_FIRST (1u << 20)
#define LOG_MAX (64u << 20)
#define FOLDERS_MAX (16u << 20) /* of those that nobody has open; then they are left out */

static void put(struct slu_buf *b, char what, const char *path, const struct slu_attr *a,
		uint64_t number)
{
	slu_buf_fmt(b, "%c %llu ", what, (unsigned long long)number);
	if (a->kind == SLU_KIND_DIR)
		slu_buf_fmt(b, "- 0 - %s", path);
	else
		slu_buf_fmt(b, "%llu %lld %s %s", (unsigned long long)a->size,
			    (long long)a->mtime_ns, a->id, path);
	slu_buf_ch(b, '\0');
}

/* --- reading --- */

/* The next word of a record, cut off; NULL: there is none. */
static char *word(char **p)
{
	char *at = *p, *end = at ? strchr(at, ' ') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*p = end + 1;
	return at;
}

static void restore(struct slu_mlive *l, char *record)
{
	char *what = word(&record), *number = word(&record), *size = word(&record),
	     *when = word(&record), *id = word(&record);
	uint64_t had;
	struct slu_attr a = {.kind = SLU_KIND_FILE};
	struct slu_lnode n;

	if (!id || !record || strlen(id) >= sizeof a.id || !slu_u64(number, &had))
		return;
	if (slu_streq(size, "-"))
		a.kind = SLU_KIND_DIR;
	else if (!slu_u64(size, &a.size) || !slu_i64(when, INT64_MIN, INT64_MAX, &a.mtime_ns))
		return;
	else
		memcpy(a.id, id, strlen(id) + 1);
	if (slu_lnodes_restore(l->nodes, record, &a, *what != 'd', had, &n))
		return;
	if (*what == 'u')
		slu_lnodes_expire(l->nodes, n.id);
	if (*what == 'c') { /* the opener of the record before, and what restore added */
		slu_lnodes_close(l->nodes, n.id);
		slu_lnodes_close(l->nodes, n.id);
	}
}

static void read_log(struct slu_mlive *l, int fd)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LOG_MAX);

	if (lseek(fd, 0, SEEK_SET) < 0 || slu_buf_read_fd(&b, fd) < 0)
		return;
	for (char *p = b.p, *end; p && (end = memchr(p, '\0', (size_t)(b.p + b.len - p)));
	     p = end + 1)
		restore(l, p);
}

/* --- writing: keep_lock held --- */

static void put_held(void *buf, const char *path, const struct slu_attr *a, uint64_t number,
		     char how)
{
	const struct slu_buf *b = buf;

	if (how != 'd' || b->len < FOLDERS_MAX)
		put(buf, how, path, a, number);
}

/* A file with what is open now, in place of the one that there is. */
static void begin_anew(struct slu_mlive *l)
{
	SLU_AUTO(slu_closep) int fd = memfd_create("sluice-live", MFD_CLOEXEC);
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(LOG_MAX);

	slu_lnodes_each_held(l->nodes, put_held, &b);
	if (fd < 0 || slu_buf_err(&b) || !slu_buf_write_fd(&b, fd) ||
	    slu_mlink_keep(&l->m->link, SLU_KEEP_LIVE, fd)) {
		slu_debug("mount", "what is open cannot be written down");
		return;
	}
	slu_closep(&l->keep_fd);
	l->keep_fd = slu_take_fd(fd);
	l->keep_len = b.len;
	l->keep_max = 4 * b.len > LOG_FIRST ? 4 * b.len : LOG_FIRST;
}

void slu_mlive_keep_begin(struct slu_mlive *l)
{
	int before = slu_mlink_kept(&l->m->link, SLU_KEEP_LIVE);

	if (slu_mlink_alone(&l->m->link))
		return;
	if (before >= 0)
		read_log(l, before);
	pthread_mutex_lock(&l->keep_lock);
	begin_anew(l);
	pthread_mutex_unlock(&l->keep_lock);
}

static void note(struct slu_mlive *l, uint64_t ino, char what)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_attr a = {.kind = SLU_KIND_FILE};
	struct slu_lnode n;

	if (l->keep_fd < 0 || ino == SLU_LNODE_ROOT || slu_lnodes_get(l->nodes, ino, &n) ||
	    slu_lnodes_path(l->nodes, ino, "", NULL, &path))
		return;
	a.kind = n.dir ? SLU_KIND_DIR : SLU_KIND_FILE;
	a.size = n.size;
	a.mtime_ns = n.mtime_ns;
	slu_lnodes_id(l->nodes, ino, a.id);
	put(&b, what, path, &a, ino);
	if (slu_buf_err(&b))
		return;
	pthread_mutex_lock(&l->keep_lock);
	if ((what != 'd' || l->keep_len < LOG_MAX / 2) && slu_buf_write_fd(&b, l->keep_fd))
		l->keep_len += b.len;
	if (l->keep_len > l->keep_max)
		begin_anew(l);
	pthread_mutex_unlock(&l->keep_lock);
}

void slu_mlive_keep_folder(struct slu_mlive *l, const struct slu_lnode *n)
{
	if (n->dir && n->first)
		note(l, n->id, 'd');
}

void slu_mlive_keep_note(struct slu_mlive *l, uint64_t ino, bool opened)
{
	note(l, ino, opened ? 'o' : 'c');
}

void slu_mlive_keep_anew(struct slu_mlive *l)
{
	pthread_mutex_lock(&l->keep_lock);
	if (l->keep_fd >= 0)
		begin_anew(l);
	pthread_mutex_unlock(&l->keep_lock);
}
