/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages on disk: <dir>/<place>/<session>/N.data and N.rec, the session locked by flock(2) on its folder,
 * which the descriptor that a supervisor keeps holds as well.  A record is one line and is replaced whole:
 *
 *   sluice-stage 1 INO UP SIZE MTIME IDENTITY FLAGS PATH NUL
 *
 * SIZE, MTIME, IDENTITY: what it replaces ("-": nothing); FLAGS: f filled, d dirty, s synced, r removed, x its writer was killed, o loose, n born; what is no file
 * has one of l (link), p (pipe), k (socket), c, b (devices; SIZE is the number), and is taken over as it is.
 * The length of the file is that of its data.  Where a write failed there may be no room for a record that says so:
 * the data file has the sticky bit then.
 */
#include "fs/stage_impl.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/stats.h"
#include "fs/view.h"
#include "io/crypt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define MAGIC "sluice-stage 1 "
#define NAME 32
#define LOOK_TIME (200 * SLU_MS)
#define LOOK_STEP_MS 5
#define RECORD_MAX SLU_STAGE_RECORD_MAX
#define KEPT SLU_STAGE_KEPT

static void name_of(char out[NAME], uint64_t seq, const char *kind)
{
	snprintf(out, NAME, "%llu.%s", (unsigned long long)seq, kind);
}

static int replace(int dir, const char *name, const struct slu_buf *b)
{
	char temp[NAME + 4];
	int fd, r = 0;

	snprintf(temp, sizeof temp, "%s.new", name);
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, b->p, b->len) != (ssize_t)b->len)
		r = -EIO;
	close(fd);
	if (!r && renameat(dir, temp, dir, name))
		r = -errno;
	return r;
}

static const struct {
	uint32_t type;
	char letter[2];
} types[] = {{S_IFLNK, "l"}, {S_IFIFO, "p"}, {S_IFSOCK, "k"}, {S_IFCHR, "c"}, {S_IFBLK, "b"}};

static const char *letter_of(uint32_t type)
{
	for (size_t k = 0; k < sizeof types / sizeof *types; k++)
		if (types[k].type == type)
			return types[k].letter;
	return "";
}

static uint32_t type_of(const char *flags)
{
	for (size_t k = 0; k < sizeof types / sizeof *types; k++)
		if (strchr(flags, *types[k].letter))
			return types[k].type;
	return 0;
}

int slu_stage_record(struct slu_stage *s, bool durable)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(RECORD_MAX);
	const struct slu_stage_info *i = &s->i;
	char name[NAME];

	slu_buf_fmt(&b, MAGIC "%llu %llu %llu %lld %s %s%s%s%s%s%s%s%s- %s",
		    (unsigned long long)i->ino, (unsigned long long)i->up,
		    (unsigned long long)i->base.size, (long long)i->base.mtime_ns,
		    i->fresh ? "-" : i->base.id, i->filled ? "f" : "", i->dirty ? "d" : "",
		    i->synced ? "s" : "", i->removed ? "r" : "", i->killed ? "x" : "",
		    i->loose ? "o" : "", i->born ? "n" : "", letter_of(i->type), s->path);
	slu_buf_ch(&b, '\0');
	if (slu_buf_err(&b))
		return slu_buf_err(&b);
	name_of(name, s->seq, "rec");
	return durable ? slu_path_write_atomic(s->t->fd, name, b.p, b.len)
		       : replace(s->t->fd, name, &b);
}

int slu_stage_open_data(struct slu_stage *s, bool make)
{
	char name[NAME];

	name_of(name, s->seq, "data");
	s->fd = openat(s->t->fd, name,
		       O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT | O_EXCL : 0), 0600);
	return s->fd < 0 ? -errno : 0;
}

void slu_stage_forget(struct slu_stage *s)
{
	char name[NAME];

	name_of(name, s->seq, "rec");
	(void)unlinkat(s->t->fd, name, 0);
}

void slu_stage_erase(struct slu_stage *s)
{
	char name[NAME];

	slu_stage_forget(s);
	name_of(name, s->seq, "data");
	(void)unlinkat(s->t->fd, name, 0);
}

/* Where a write failed for want of room there is none for a record that says why: the mode of the data file does. */
static const struct {
	int error;
	mode_t bits;
} causes[] = {{EIO, S_ISVTX},
	      {ENOSPC, S_ISVTX | S_ISUID},
	      {ESTALE, S_ISVTX | S_ISGID},
	      {EDQUOT, S_ISVTX | S_ISUID | S_ISGID}};
#define CAUSES (sizeof causes / sizeof *causes)

static mode_t bits_of(int error)
{
	for (size_t k = 0; k < CAUSES; k++)
		if (causes[k].error == error)
			return causes[k].bits;
	return S_ISVTX;
}

static int cause_of(mode_t mode)
{
	for (size_t k = 0; k < CAUSES; k++)
		if (causes[k].bits == (mode & (S_ISVTX | S_ISUID | S_ISGID)))
			return causes[k].error;
	return EIO;
}

void slu_stage_fail(struct slu_stage *s, int r)
{
	if (s->i.failed)
		return;
	s->i.failed = r;
	(void)fchmod(s->fd, 0600 | bits_of(-r));
	if (!s->i.removed)
		slu_stages_lost(s->t, s->path, strerror(-r));
	if (s->i.synced)
		(void)fsync(s->fd);
}

void slu_stage_set_aside(struct slu_stage *s)
{
	char name[NAME], to[NAME + 64];
	const char *base = slu_path_base(s->path);
	struct stat st = {0};

	name_of(name, s->seq, "data");
	/* Sessions number their files alike, and may end in the same second: the inode is nobody else's. */
	(void)fstat(s->fd, &st);
	snprintf(to, sizeof to, "%.48s-%lld-%llu", base, (long long)(slu_wall() / SLU_SEC),
		 (unsigned long long)st.st_ino);
	SLU_AUTO(slu_closep)
	int kept = openat(s->t->fd, "../../" KEPT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (kept < 0 || renameat(s->t->fd, name, kept, to)) {
		slu_warn("stage", "'%s' could not be committed; its bytes are in '%s/%s'", s->path,
			 s->t->where, name);
		return;
	}
	char at[PATH_MAX] = "", fd[32];

	(void)fchmod(s->fd, 0600);
	snprintf(fd, sizeof fd, "/proc/self/fd/%d", kept);
	if (readlink(fd, at, sizeof at - 1) < 0)
		at[0] = '\0';
	slu_warn("stage", "'%s' was not written: %s; what was to be written is in '%s/%s'", s->path,
		 s->i.killed              ? "the program that wrote it was killed"
		 : s->i.failed == -ESTALE ? "another writer was there first"
					  : "a write to it had failed",
		 at, to);
	slu_stat_add(SLU_STAT_SET_ASIDE, 1);
	name_of(name, s->seq, "rec");
	(void)unlinkat(s->t->fd, name, 0);
}

/* --- reading --- */

static char *word(char **p)
{
	char *at = *p, *end = at ? strchr(at, ' ') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*p = end + 1;
	return at;
}

bool slu_stage_parse(char *text, struct slu_stage_info *i, char **ret_path)
{
	char *p = text + sizeof MAGIC - 1;

	if (!slu_starts(text, MAGIC))
		return false;
	char *ino = word(&p), *up = word(&p), *size = word(&p), *mtime = word(&p), *id = word(&p),
	     *flags = word(&p);

	if (!flags || !slu_path_ok(p) || strlen(id) >= sizeof i->base.id ||
	    !slu_u64(ino, &i->ino) || !slu_u64(up, &i->up) || !slu_u64(size, &i->base.size) ||
	    !slu_i64(mtime, INT64_MIN, INT64_MAX, &i->base.mtime_ns))
		return false;
	i->base.kind = SLU_KIND_FILE;
	i->fresh = slu_streq(id, "-");
	memcpy(i->base.id, id, strlen(id) + 1);
	i->filled = strchr(flags, 'f');
	i->dirty = strchr(flags, 'd');
	i->synced = strchr(flags, 's');
	i->removed = strchr(flags, 'r');
	i->killed = strchr(flags, 'x');
	i->loose = strchr(flags, 'o');
	i->born = strchr(flags, 'n');
	i->type = type_of(flags);
	*ret_path = p;
	return true;
}

/* The stage of N.rec in the session; one that is not whole goes. */
static int load(struct slu_stages *t, uint64_t seq, bool adopted)
{
	SLU_AUTO(slu_stage_putp) struct slu_stage *s = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(RECORD_MAX);
	struct slu_stage_info i = {0};
	struct stat st;
	char name[NAME], *path = NULL;
	bool whole;

	name_of(name, seq, "rec");
	whole = slu_buf_read_at(&b, t->fd, name) >= 0 && b.len && !b.p[b.len - 1] &&
		slu_stage_parse(b.p, &i, &path);
	s = slu_stage_make(t, seq, whole ? path : "");
	if (!s)
		return -ENOMEM;
	if (!whole || slu_stage_open_data(s, false) || fstat(s->fd, &st)) {
		slu_stage_erase(s);
		return 0;
	}
	s->i = i;
	s->i.size = i.filled ? (uint64_t)st.st_size : i.base.size;
	s->i.mtime_ns = st.st_mtim.tv_sec * SLU_SEC + st.st_mtim.tv_nsec;
	if (st.st_mode & S_ISVTX) {
		s->i.failed = -cause_of(st.st_mode);
		if (!i.removed)
			slu_stages_lost(t, path, "a write to it had failed");
	}
	if (adopted) {
		s->i.adopted = true;
		s->i.ino = s->i.up = 0;
	}
	if (s->i.filled)
		t->used += s->i.size;
	return slu_stage_list(t, s) == -ENOMEM ? -ENOMEM : 0;
}

/* The N of "N.rec"; false: it is another file. */
static bool number_of(const char *name, const char *kind, uint64_t *ret)
{
	char text[NAME];
	size_t n = strcspn(name, ".");

	if (n >= sizeof text || !slu_streq(name + n, kind))
		return false;
	memcpy(text, name, n);
	text[n] = '\0';
	return slu_u64(text, ret) && *ret > 0;
}

static DIR *list_of(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* What a process that died in the middle of something has left: no record names it. */
static void sweep(struct slu_stages *t)
{
	SLU_AUTO(slu_closedirp) DIR *d = list_of(t->fd);
	const struct dirent *e;
	char rec[NAME];
	uint64_t seq;

	while (d && (e = readdir(d))) {
		if (number_of(e->d_name, ".rec", &seq) || slu_streq(e->d_name, ".") ||
		    slu_streq(e->d_name, ".."))
			continue;
		if (number_of(e->d_name, ".data", &seq)) {
			name_of(rec, seq, "rec");
			if (!faccessat(t->fd, rec, F_OK, 0))
				continue;
		}
		(void)unlinkat(t->fd, e->d_name, 0);
	}
}

/* What the process before this one had. */
static int load_all(struct slu_stages *t)
{
	SLU_AUTO(slu_closedirp) DIR *d = list_of(t->fd);
	const struct dirent *e;
	uint64_t seq;
	int r = 0;

	while (!r && d && (e = readdir(d))) {
		if (!number_of(e->d_name, ".rec", &seq) && !number_of(e->d_name, ".data", &seq))
			continue;
		if (seq >= t->next_seq)
			t->next_seq = seq + 1;
		if (slu_ends(e->d_name, ".rec"))
			r = load(t, seq, false);
	}
	sweep(t);
	return r;
}

/* --- what dead sessions left --- */

/* Another name for it; where a file can have one only, that instead. */
static int give(int from, const char *name, int to_dir, const char *to)
{
	if (!linkat(from, name, to_dir, to, 0))
		return 0;
	return renameat(from, name, to_dir, to);
}

/* Of a record of another session.  False: it could not be. */
static bool take_over(struct slu_stages *t, int from, const char *rec, const char *data)
{
	uint64_t seq = t->next_seq++;
	char to[NAME];

	/* Data without a record is a leftover: at any moment one of the two folders has both. */
	name_of(to, seq, "data");
	if (give(from, data, t->fd, to))
		return false;
	name_of(to, seq, "rec");
	if (renameat(from, rec, t->fd, to) || load(t, seq, true))
		return false;
	(void)unlinkat(from, data, 0);
	return true;
}

/* Of a record of another session: takes it over, or drops it. */
static void adopt(struct slu_stages *t, int from, uint64_t old)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(RECORD_MAX);
	struct slu_stage_info i = {0};
	char rec[NAME], data[NAME], *path = NULL;
	bool mine = false;

	name_of(rec, old, "rec");
	name_of(data, old, "data");
	if (slu_buf_read_at(&b, from, rec) >= 0 && b.len && !b.p[b.len - 1] &&
	    slu_stage_parse(b.p, &i, &path) && i.filled && !i.removed &&
	    (i.type || (i.dirty && i.synced)))
		mine = take_over(t, from, rec, data);
	if (path && i.dirty && !i.removed)
		slu_warn("stage",
			 "'%s' was being written when the mount before ended without notice%s",
			 path,
			 mine ? ": what was synced of it is taken over"
			      : ", and neither closed nor synced: it is as it was before");
	if (mine)
		return;
	(void)unlinkat(from, rec, 0);
	(void)unlinkat(from, data, 0);
}

/* Who serves a mount has it alone; who only looks what is left (stage_left.c), shared and for a moment. */
static bool lock_dead(int session)
{
	int64_t deadline = slu_deadline_in(LOOK_TIME);

	while (flock(session, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK || slu_expired(deadline) ||
		    flock(session, LOCK_SH | LOCK_NB))
			return false;
		(void)flock(session, LOCK_UN);
		poll(NULL, 0, LOOK_STEP_MS);
	}
	return true;
}

static void adopt_all(struct slu_stages *t, int place, const char *name)
{
	SLU_AUTO(slu_closep)
	int from = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat a, b;
	const struct dirent *e;
	uint64_t seq;

	if (from < 0 || fstat(from, &a) || fstat(t->fd, &b) || a.st_ino == b.st_ino ||
	    !lock_dead(from))
		return;
	SLU_AUTO(slu_closedirp) DIR *d = list_of(from);

	while (d && (e = readdir(d)))
		if (number_of(e->d_name, ".rec", &seq))
			adopt(t, from, seq);
	if (d)
		rewinddir(d);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' || slu_starts(e->d_name, SLU_TMP_PREFIX))
			(void)unlinkat(from, e->d_name, 0);
	(void)unlinkat(place, name, AT_REMOVEDIR);
}

/* --- the session --- */

static int make_in(int dir, const char *name)
{
	int fd;

	if (mkdirat(dir, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whose stages these are: two mounts of one folder, however it was named, have the same place. */
static int place_name(struct slu_stages *t, char out[33], struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(RECORD_MAX);
	struct slu_hadoop h = {0};
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_store_hadoop(t->store, t->base, &h, NULL);

	slu_buf_str(&b, r ? t->base : h.uri);
	if (!r)
		slu_hadoop_done(&h);
	r = slu_buf_err(&b) ? slu_buf_err(&b) : slu_digest(SLU_SHA256, b.p, b.len, sum);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot name the stage of '%s'", t->base);
	slu_hex(out, sum, 16);
	return 0;
}

/* The folder of all stages, made when it is not there: ours alone, and on a disk. */
static int open_root(const char *dir, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	const char *rel = dir + strspn(dir, "/");
	struct statfs fs;
	struct stat st;
	int r = top < 0 ? -errno : stat(dir, &st) ? slu_path_mkdirs(top, rel, 0700) : 0;

	if (r)
		return slu_fail_sys(e, -r, "cannot make the stage folder '%s'", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || fstatfs(fd, &fs))
		return slu_fail_sys(e, errno, "cannot open the stage folder '%s'", dir);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return slu_fail(
			e, EPERM,
			"the stage folder '%s' has to be yours alone: `chmod 700` it, or set "
			"stage_dir to another one",
			dir);
	if ((long)fs.f_type == FUSE_SUPER_MAGIC || (long)fs.f_type == NFS_SUPER_MAGIC)
		return slu_fail(e, EXDEV,
				"the stage folder '%s' is on a network or FUSE file system: set "
				"stage_dir to a folder on a disk of this machine",
				dir);
	return slu_take_fd(fd);
}

/* Locked.  Another mount may take it for one that has died, before it is, and remove it. */
static int make_session(int place, const char *id)
{
	struct stat st;

	for (;;) {
		SLU_AUTO(slu_closep) int fd = make_in(place, id);

		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX) || fstat(fd, &st))
			return -errno;
		if (st.st_nlink)
			return slu_take_fd(fd);
	}
}

/* t->fd: <dir>/<place>/<session>, locked; *ret_place: the folder above. */
static int begin_new(struct slu_stages *t, const struct slu_stages_conf *conf, int *ret_place,
		     struct slu_err *e)
{
	SLU_AUTO(slu_closep) int root = -1;
	char place[33], id[17];
	int r = place_name(t, place, e);

	if (r)
		return r;
	r = slu_random_id(id, 8);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot name a session in '%s'", conf->dir);
	r = root = open_root(conf->dir, e);
	if (r < 0)
		return r;
	(void)mkdirat(root, KEPT, 0700);
	*ret_place = make_in(root, place);
	if (*ret_place >= 0)
		t->fd = make_session(*ret_place, id);
	if (*ret_place < 0 || t->fd < 0)
		return slu_fail_sys(e, *ret_place < 0 ? -*ret_place : -t->fd,
				    "cannot make a session in '%s': set stage_dir to a folder of "
				    "yours on a local disk",
				    conf->dir);
	(void)fsync(*ret_place);
	(void)fsync(root);
	t->where = slu_asprintf("%s/%s/%s", conf->dir, place, id);
	return t->where ? 0 : slu_fail_oom(e);
}

int slu_stages_begin(struct slu_stages *t, const struct slu_stages_conf *conf, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int place = -1;
	int r;

	if (conf->session >= 0) {
		t->fd = conf->session;
		t->where = slu_strdup(conf->dir);
		if (conf->report && t->where && (r = slu_stages_report_open(t, e)))
			return r;
		r = t->where ? load_all(t) : -ENOMEM;
		return r ? slu_fail_sys(e, -r, "cannot go on with what is staged in '%s'",
					conf->dir)
			 : 0;
	}
	r = begin_new(t, conf, &place, e);
	if (!r && conf->report)
		r = slu_stages_report_open(t, e);
	if (r)
		return r;
	SLU_AUTO(slu_closedirp) DIR *d = list_of(place);
	const struct dirent *n;

	while (d && (n = readdir(d)))
		if (n->d_name[0] != '.')
			adopt_all(t, place, n->d_name);
	return 0;
}

void slu_stages_finish(struct slu_stages *t)
{
	SLU_AUTO(slu_closedirp) DIR *d = t->fd >= 0 ? list_of(t->fd) : NULL;
	const struct dirent *n;
	bool any = !d;

	while (d && (n = readdir(d)))
		any |= n->d_name[0] != '.';
	if (!any && t->where)
		(void)rmdir(t->where);
}
