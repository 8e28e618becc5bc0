/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What downloads leave for one another in a target: the lock, the journal and the parts while one is
 * under way, the record when one is complete.  Taking it over, and leaving it.
 */
#include "fs/download.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/download_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define LOCK_TRIES 100
#define KEY_TEXT_MAX (1u << 20)
#define TEMP_RECORD "complete"

void slu_download_part_name(const uint8_t key[SLU_DJ_KEY], char out[SLU_DL_PART_NAME])
{
	slu_hex(out, key, SLU_DJ_KEY);
}

/* A file without an identity has no key that says which bytes it has: it gets one, and nothing counts
 * on it (slu_download_recalled). */
int slu_download_key(const struct slu_manifest *m, size_t at, uint8_t ret[SLU_DJ_KEY])
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(KEY_TEXT_MAX);
	const struct slu_file *f = slu_manifest_at(m, at);
	uint8_t digest[SLU_DIGEST_MAX];
	const char *path;
	size_t source = slu_manifest_locate(m, at, &path);
	int r;

	slu_buf_str(&b, slu_manifest_source(m, source)->uri);
	slu_buf_ch(&b, '\n');
	slu_buf_str(&b, path);
	slu_buf_fmt(&b, "\n%s %llu %lld", f->id, (unsigned long long)f->size,
		    (long long)f->mtime_ns);
	r = slu_buf_err(&b);
	if (r == 0)
		r = slu_digest(SLU_SHA256, b.p, b.len, digest);
	if (r == 0)
		memcpy(ret, digest, SLU_DJ_KEY);
	return r;
}

static bool same_object(const struct slu_manifest *m, size_t a, const struct slu_manifest *n,
			size_t b)
{
	const char *xpath, *ypath;
	size_t xs = slu_manifest_locate(m, a, &xpath), ys = slu_manifest_locate(n, b, &ypath);

	return slu_streq(xpath, ypath) &&
	       slu_streq(slu_manifest_source(m, xs)->uri, slu_manifest_source(n, ys)->uri);
}

bool slu_download_outdated(const struct slu_manifest *m, size_t a, const struct slu_manifest *n,
			   size_t b)
{
	const struct slu_file *x = slu_manifest_at(m, a), *y = slu_manifest_at(n, b);

	return x->id[0] && y->id[0] && !slu_streq(x->id, y->id) && same_object(m, a, n, b);
}

bool slu_download_alike(const struct slu_manifest *m, size_t a, const struct slu_manifest *n,
			size_t b)
{
	const struct slu_file *x = slu_manifest_at(m, a), *y = slu_manifest_at(n, b);

	return x->size == y->size && x->mtime_ns == y->mtime_ns && x->id[0] &&
	       slu_streq(x->id, y->id) && same_object(m, a, n, b);
}

/* --- the lock --- */

/* 1: the folder that was locked is no more the one with that name. */
static int try_lock(struct slu_download *d)
{
	struct stat a, b;

	if (mkdirat(d->dirfd, SLU_DL_PARTS, 0700) == 0)
		d->part_made = true;
	else if (errno != EEXIST)
		return -errno;
	d->partfd = openat(d->dirfd, SLU_DL_PARTS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->partfd < 0)
		return errno == ENOENT ? 1 : -errno;
	if (flock(d->partfd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(d->partfd, &a))
		return -errno;
	if (fstatat(d->dirfd, SLU_DL_PARTS, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
	    a.st_dev == b.st_dev)
		return 0;
	close(d->partfd);
	d->partfd = -1;
	return 1;
}

int slu_download_lock(struct slu_download *d, struct slu_err *e)
{
	int r = 1;

	for (int i = 0; r == 1 && i < LOCK_TRIES; i++)
		r = try_lock(d);
	if (r == 0)
		return 0;
	slu_closep(&d->partfd);
	d->partfd = -1;
	if (r == 1 || r == -EBUSY)
		return slu_fail(e, EBUSY, "another download is writing to '%s': wait for its end",
				d->target);
	if (r == -ENOTDIR || r == -ELOOP)
		return slu_fail(e, -r,
				"'%s/" SLU_DL_PARTS
				"' is no folder, and is where unfinished files are "
				"kept: remove it, or rename it",
				d->target);
	return slu_fail_sys(e, -r, "cannot make and lock '%s/" SLU_DL_PARTS "'", d->target);
}

/* --- what is left of an earlier download --- */

int slu_download_recall(struct slu_download *d, struct slu_err *e)
{
	struct slu_err why = {0};
	int r;

	if (!d->known)
		d->known = slu_calloc(slu_manifest_count(d->t->manifest) + 1, sizeof *d->known);
	if (!d->known)
		return slu_fail_oom(e);
	if (d->o->once)
		return 0;
	r = slu_dlrecord_read(d->dirfd, d->target, &d->record, &why);
	if (r == -ENOMEM)
		return slu_fail_oom(e);
	if (r == -EISDIR || r == -ELOOP) { /* it would be in the way at the end */
		if (e)
			*e = why;
		return r;
	}
	if (r && r != -ENOENT)
		slu_warn("download", "%s", why.msg);
	return d->part_made ? 0 : slu_dj_read(d->partfd, &d->old, &d->old_n, e);
}

/* Eight hex digits. */
static bool get_crc(const char *s, uint32_t *ret)
{
	uint32_t v = 0;
	size_t n = 0;

	for (; s[n]; n++) {
		const char *at = strchr("0123456789abcdef", s[n]);

		if (!at || n == 8)
			return false;
		v = v << 4 | (uint32_t)(at - "0123456789abcdef");
	}
	*ret = v;
	return n == 8;
}

static bool by_record(const struct slu_download *d, size_t at, struct slu_dknown *ret)
{
	size_t i =
		d->record ? slu_manifest_find(d->record, slu_download_file(d, at)->path) : SIZE_MAX;
	const char *sum;

	if (i == SIZE_MAX || !slu_download_alike(d->t->manifest, at, d->record, i))
		return false;
	sum = slu_after(slu_manifest_at(d->record, i)->sum, SLU_DL_SUM);
	ret->state = SLU_DS_THERE;
	ret->has_crc = sum && get_crc(sum, &ret->crc);
	return true;
}

int slu_download_recalled(const struct slu_download *d, size_t at, struct slu_dknown *ret,
			  struct slu_err *e)
{
	uint8_t key[SLU_DJ_KEY];
	size_t i, n;

	*ret = (struct slu_dknown){.state = SLU_DS_FETCH};
	if (!slu_download_file(d, at)->id[0] || by_record(d, at, ret) || !d->old_n)
		return 0;
	if (slu_download_key(d->t->manifest, at, key) < 0)
		return slu_fail_oom(e);
	i = slu_dj_find(d->old, d->old_n, key, &n);
	if (!n)
		return 0;
	ret->state = SLU_DS_PART;
	if (d->old[i + n - 1].kind == SLU_DJ_WHOLE) {
		ret->state = SLU_DS_THERE;
		ret->crc = d->old[i + n - 1].crc;
		ret->has_crc = d->old[i + n - 1].unit == 0;
	}
	return 0;
}

/* --- beginning --- */

/* What is known of a file goes into the new journal. */
static int carry(struct slu_download *d, size_t at, struct slu_err *e)
{
	const struct slu_dknown *k = &d->known[at];
	struct slu_dj_entry one = {.kind = SLU_DJ_WHOLE,
				   .n = slu_download_file(d, at)->size,
				   .unit = !k->has_crc,
				   .crc = k->crc};
	size_t i, n;
	int r = 0;

	if (k->state != SLU_DS_PART && k->state != SLU_DS_THERE)
		return 0;
	if (slu_download_key(d->t->manifest, at, one.key) < 0)
		return slu_fail_oom(e);
	if (k->state == SLU_DS_THERE)
		return slu_dj_add(d->journal, &one, 0, e);
	for (i = slu_dj_find(d->old, d->old_n, one.key, &n); n && !r; i++, n--)
		r = slu_dj_add(d->journal, &d->old[i], 0, e);
	return r;
}

/* The part file of this one is gone on with. */
static int mark_live(const struct slu_download *d, size_t at, struct slu_err *e)
{
	uint8_t key[SLU_DJ_KEY];
	size_t i, n;

	if (d->known[at].state != SLU_DS_PART)
		return 0;
	if (slu_download_key(d->t->manifest, at, key) < 0)
		return slu_fail_oom(e);
	i = slu_dj_find(d->old, d->old_n, key, &n);
	if (n)
		d->old[i].live = true;
	return 0;
}

/* Is the file of this name one that is gone on with? */
static bool part_lives(const struct slu_download *d, const char *name)
{
	char hex[SLU_DL_PART_NAME];
	uint8_t key[SLU_DJ_KEY];
	size_t i, n;

	if (strlen(name) != SLU_DL_PART_NAME - 1)
		return false;
	for (i = 0; i < SLU_DJ_KEY; i++) {
		uint32_t byte = 0;
		char text[9] = "000000";

		memcpy(text + 6, name + 2 * i, 2);
		text[8] = '\0';
		if (!get_crc(text, &byte))
			return false;
		key[i] = (uint8_t)byte;
	}
	slu_download_part_name(key, hex);
	i = slu_dj_find(d->old, d->old_n, key, &n);
	return n && d->old[i].live && slu_streq(hex, name);
}

/* Part files that nobody goes on with. */
static int clear_parts(const struct slu_download *d, struct slu_err *e)
{
	int fd = openat(d->partfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	SLU_AUTO(slu_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;

	if (!dir) {
		slu_closep(&fd);
		return slu_fail_sys(e, errno, "cannot read '%s/" SLU_DL_PARTS "'", d->target);
	}
	while (!r && (de = readdir(dir)))
		if (!slu_streq(de->d_name, ".") && !slu_streq(de->d_name, "..") &&
		    !slu_streq(de->d_name, SLU_DJ_NAME) && !part_lives(d, de->d_name))
			r = slu_path_rmtree(d->partfd, de->d_name);
	return r ? slu_fail_sys(e, -r, "cannot clear '%s/" SLU_DL_PARTS "'", d->target) : 0;
}

int slu_download_begin(struct slu_download *d, struct slu_err *e)
{
	size_t n = slu_manifest_count(d->t->manifest);
	int r = 0;

	d->begun = true;
	if (d->o->once)
		return clear_parts(d, e);
	if (!d->todo)
		return 0;
	/* The new journal is made behind the clearing, which takes all that it does not know. */
	for (size_t i = 0; i < n && !r && d->old_n; i++)
		r = mark_live(d, i, e);
	if (!r)
		r = clear_parts(d, e);
	if (!r)
		r = slu_dj_new(d->partfd, &d->journal, e);
	for (size_t i = 0; i < n && !r; i++)
		r = carry(d, i, e);
	if (!r)
		r = slu_dj_start(d->journal, e);
	if (!r && unlinkat(d->dirfd, SLU_DL_RECORD, 0) && errno != ENOENT)
		r = slu_fail_sys(e, errno, "cannot remove '%s/" SLU_DL_RECORD "'", d->target);
	return r;
}

/* --- leaving --- */

static int add_known(const struct slu_download *d, size_t at, struct slu_manifest *m)
{
	const struct slu_file *f = slu_download_file(d, at);
	const struct slu_dknown *k = &d->known[at];
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = f->size, .mtime_ns = f->mtime_ns};

	snprintf(a.id, sizeof a.id, "%s", f->id);
	if (k->has_crc)
		snprintf(a.sum, sizeof a.sum, SLU_DL_SUM "%08x", k->crc);
	else
		snprintf(a.sum, sizeof a.sum, "%s", f->sum);
	return slu_manifest_add(m, f->path, &a);
}

static int write_record(const struct slu_download *d, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	const struct slu_manifest *all = d->t->manifest;
	int r = slu_manifest_new(&m);

	for (size_t i = 0; i < slu_manifest_sources(all) && !r; i++) {
		const struct slu_msource *s = slu_manifest_source(all, i);

		r = slu_manifest_add_source(m, s->prefix, s->uri);
	}
	for (size_t i = 0; i < slu_manifest_count(all) && !r; i++)
		if (d->known[i].state == SLU_DS_THERE)
			r = add_known(d, i, m);
	if (r)
		return slu_fail_sys(e, -r, "cannot make '%s/" SLU_DL_RECORD "'", d->target);
	r = slu_manifest_finish(m, e);
	return r ? r : slu_dlrecord_write(d->partfd, TEMP_RECORD, d->dirfd, m, !d->o->nosync, e);
}

/* Says the record that is there just what we would write? */
static bool record_holds(const struct slu_download *d)
{
	return d->record && !d->todo && !d->old_n &&
	       slu_manifest_count(d->record) == slu_manifest_count(d->t->manifest);
}

static int record(const struct slu_download *d, struct slu_err *e)
{
	if (d->o->no_record || d->o->once || d->totals.kept) {
		if (!d->o->once && unlinkat(d->dirfd, SLU_DL_RECORD, 0) && errno != ENOENT)
			return slu_fail_sys(e, errno, "cannot remove '%s/" SLU_DL_RECORD "'",
					    d->target);
		return 0;
	}
	return record_holds(d) ? 0 : write_record(d, e);
}

/* Is there a part file? */
static bool has_parts(const struct slu_download *d)
{
	int fd = openat(d->partfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SLU_AUTO(slu_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	bool found = false;

	if (!dir)
		slu_closep(&fd);
	while (dir && !found && (de = readdir(dir)))
		found = strlen(de->d_name) == SLU_DL_PART_NAME - 1;
	return found || !dir;
}

bool slu_download_keeps(const struct slu_download *d)
{
	if (!d->begun)
		return !d->part_made;
	if (d->o->once)
		return false;
	if (!d->journal)
		return d->old_n > 0;
	for (size_t i = 0; i < slu_manifest_count(d->t->manifest); i++)
		if (d->known[i].state == SLU_DS_THERE)
			return true;
	return has_parts(d);
}

void slu_download_forget(struct slu_download *d)
{
	slu_dj_free(d->journal);
	d->journal = NULL;
	slu_manifest_free(d->record);
	free(d->old);
	free(d->known);
	slu_closep(&d->partfd);
	slu_closep(&d->dirfd);
}

int slu_download_leave(struct slu_download *d, bool complete, struct slu_err *e)
{
	int r = complete ? record(d, e) : 0, r2 = 0;

	if (d->partfd >= 0) {
		if (d->journal && (!complete || r) && slu_dj_flush(d->journal, NULL))
			slu_warn("download", "the journal in '%s' could not be written", d->target);
		if ((complete && !r) || !slu_download_keeps(d))
			r2 = slu_path_rmtree(d->dirfd, SLU_DL_PARTS);
		if (r2)
			slu_warn("download", "'%s/" SLU_DL_PARTS "' could not be removed",
				 d->target);
	}
	slu_download_forget(d);
	return r;
}
