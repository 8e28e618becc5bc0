/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness of supervisors: the lock, the beat and the verdict over both.  It changes no run record. */
#include "job/alive.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEXT_MAX = 4096 };
#define DIED "supervisor died"

/* --- settings --- */

int64_t slu_alive_dead_after(void)
{
	const char *text = getenv("SLUICE_DEAD_AFTER");
	int64_t ns;

	return text && slu_duration(text, &ns) && ns >= 10 * SLU_MS ? ns : 60 * SLU_SEC;
}

int64_t slu_alive_beat_every(void)
{
	return slu_alive_dead_after() / 12;
}

static int64_t late_after(void)
{
	return slu_alive_dead_after() / 4;
}

/* --- who we are --- */

static int read_text(const char *path, struct slu_buf *b)
{
	int r = slu_buf_read_at(b, AT_FDCWD, path);

	while (r == 0 && b->len && strchr(" \n", b->p[b->len - 1]))
		b->p[--b->len] = '\0';
	return r;
}

static char *boot_id(void)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);

	return read_text("/proc/sys/kernel/random/boot_id", &b) == 0 ? slu_buf_take(&b) : NULL;
}

static char *host_name(void)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	return slu_strdup(name);
}

/* Which set of process numbers this process lives in. */
static char *pid_space(void)
{
	char text[64];
	ssize_t n = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);

	return slu_strndup(text, n > 0 ? (size_t)n : 0);
}

int slu_proc_start(pid_t pid, uint64_t *ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	char path[48];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (slu_buf_read_at(&b, AT_FDCWD, path) < 0 || !b.p)
		return -ESRCH;
	/* Field 22; the second one, the name in parentheses, may hold anything.  The third is the
	 * state: a process that only waits to be reaped is gone. */
	p = strrchr(b.p, ')');
	if (p && (slu_starts(p, ") Z") || slu_starts(p, ") X")))
		return -ESRCH;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -ESRCH;
	size_t n = strspn(p + 1, "0123456789");
	SLU_AUTO(slu_freep) char *digits = slu_strndup(p + 1, n);
	return digits && slu_u64(digits, ret) ? 0 : -ESRCH;
}

int slu_proc_open(pid_t pid, uint64_t start)
{
	SLU_AUTO(slu_closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t now;

	if (fd < 0)
		return -ESRCH;
	/* Compared after the open: now the number cannot pass to another process unseen. */
	if (slu_proc_start(pid, &now) < 0 || now != start)
		return -ESRCH;
	return slu_take_fd(fd);
}

/* --- the lock --- */

int slu_alive_lock(const struct slu_run *r, struct slu_err *e)
{
	SLU_AUTO(slu_closep)
	int fd = openat(r->fd, "alive.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return slu_fail_sys(e, errno, "cannot open '%s/alive.lock'", r->dir);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return slu_take_fd(fd);
	if (errno == EWOULDBLOCK)
		return slu_fail(e, EBUSY, "run '%s' has a supervisor already", r->id);
	return slu_fail_sys(e, errno, "cannot lock '%s/alive.lock'", r->dir);
}

bool slu_alive_adopt(const struct slu_run *r, int fd)
{
	struct stat have, want;

	if (fstat(fd, &have) < 0 || fstatat(r->fd, "alive.lock", &want, AT_SYMLINK_NOFOLLOW) < 0 ||
	    have.st_dev != want.st_dev || have.st_ino != want.st_ino)
		return false;
	/* A lock belongs to the open file: taking it again is a no-op when it was handed down. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* --- alive.json --- */

int slu_alive_write(struct slu_run *r, pid_t pid, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *host = host_name(), *boot = boot_id(), *ns = pid_space();
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL, *path = NULL;
	uint64_t start = 0;

	if (pid)
		slu_proc_start(pid, &start);
	if (!o || slu_json_set_str(o, "host", host) < 0 ||
	    (boot && slu_json_set_str(o, "boot", boot) < 0) || slu_json_set_str(o, "ns", ns) < 0 ||
	    slu_json_set_int(o, "pid", pid) < 0 || slu_json_set_int(o, "start", (int64_t)start) < 0)
		return slu_fail_oom(e);
	text = slu_json_text(o, SLU_JSON_PRETTY);
	path = slu_path_join(r->store_dir, "alive.json");
	if (!text || !path)
		return slu_fail_oom(e);
	int rc = slu_path_write_atomic(r->fd, "alive.json", text, strlen(text));
	if (rc < 0)
		return slu_fail_sys(e, -rc, "cannot write '%s/alive.json'", r->dir);
	return r->store ? slu_store_put(r->store, path, text, strlen(text), 0, NULL, e) : 0;
}

int slu_alive_beat(struct slu_run *r, struct slu_err *e)
{
	if (r->store)
		return slu_alive_write(r, getpid(), e);
	if (utimensat(r->fd, "alive.json", NULL, AT_SYMLINK_NOFOLLOW) < 0)
		return slu_fail_sys(e, errno, "cannot renew '%s/alive.json'", r->dir);
	return 0;
}

/* --- the verdict --- */

struct mark {
	struct json_t *doc;
	int64_t beat; /* wall ns */
};

static int read_mark_store(struct slu_run *r, struct mark *m, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_path_join(r->store_dir, "alive.json"), *text = NULL;
	struct slu_attr attr;
	size_t n;
	int rc = path ? slu_store_stat(r->store, path, &attr, e) : slu_fail_oom(e);

	if (rc == 0)
		rc = slu_store_get(r->store, path, TEXT_MAX, &text, &n, e);
	if (rc < 0)
		return rc;
	m->beat = attr.mtime_ns;
	return slu_json_parse(text, n, "alive.json", &m->doc, e);
}

static int read_mark(struct slu_run *r, struct mark *m, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	struct stat st;
	int rc;

	if (r->store)
		return read_mark_store(r, m, e);
	if (fstatat(r->fd, "alive.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return slu_fail_sys(e, errno, "cannot read '%s/alive.json'", r->dir);
	rc = slu_buf_read_at(&b, r->fd, "alive.json");
	if (rc < 0)
		return slu_fail_sys(e, -rc, "cannot read '%s/alive.json'", r->dir);
	m->beat = (int64_t)st.st_mtim.tv_sec * SLU_SEC + st.st_mtim.tv_nsec;
	return slu_json_parse(b.p ? b.p : "", b.len, "alive.json", &m->doc, e);
}

static bool same(const struct json_t *doc, const char *key, const char *mine)
{
	const char *theirs = slu_json_str(doc, key);

	return theirs && mine && slu_streq(theirs, mine);
}

/* Does anybody hold the lock?  A shared one is enough to know. */
static bool lock_held(const struct slu_run *r)
{
	SLU_AUTO(slu_closep)
	int fd = openat(r->fd, "alive.lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool slu_alive_await_end(const struct slu_run *r, int64_t deadline)
{
	bool held;

	while ((held = lock_held(r)) && !slu_expired(deadline))
		poll(NULL, 0, 10);
	return !held;
}

static bool process_gone(const struct slu_alive *a)
{
	uint64_t start;

	return a->same_host && a->pid > 0 &&
	       (slu_proc_start(a->pid, &start) < 0 || start != a->start);
}

static void tell_why(struct slu_alive *a, const struct json_t *mark, bool restarted, int64_t age)
{
	const char *host = slu_json_str(mark, "host");

	if (a->here)
		snprintf(a->why, sizeof(a->why), DIED);
	else if (restarted)
		snprintf(a->why, sizeof(a->why), DIED ": the machine was started anew");
	else
		snprintf(a->why, sizeof(a->why), DIED ": no sign of life from '%.100s' for %lld s",
			 host ? host : "another machine", (long long)(age / SLU_SEC));
}

int slu_alive_judge(struct slu_run *r, struct slu_alive *ret, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *host = host_name(), *boot = boot_id(), *ns = pid_space();
	struct slu_alive a = {.life = SLU_LIFE_ALIVE};
	struct mark m = {0};
	int rc = read_mark(r, &m, e);

	if (rc == -ENOENT && r->fd >= 0) { /* its maker is at work, or died over it */
		*ret = (struct slu_alive){.life = lock_held(r) ? SLU_LIFE_ALIVE : SLU_LIFE_DEAD,
					  .why = DIED};
		return 0;
	}
	if (rc < 0)
		return rc;
	bool here = r->fd >= 0 && same(m.doc, "boot", boot) && same(m.doc, "host", host);
	int64_t age = slu_wall() - m.beat;

	a.same_host = here && same(m.doc, "ns", ns);
	a.pid = (pid_t)slu_json_int(m.doc, "pid", 0);
	a.start = (uint64_t)slu_json_int(m.doc, "start", 0);
	a.here = here;
	tell_why(&a, m.doc, same(m.doc, "host", host) && !same(m.doc, "boot", boot), age);
	slu_json_free(m.doc);
	if (here && (!lock_held(r) || process_gone(&a)))
		a.life = SLU_LIFE_DEAD;
	else if (!here && age > slu_alive_dead_after())
		a.life = SLU_LIFE_DEAD;
	else if (age > late_after())
		a.life = SLU_LIFE_LATE;
	*ret = a;
	return 0;
}
