/* SPDX-License-Identifier: Apache-2.0 */
/* The local driver: looking, listing and reading. */
#include "tests/unit/fs.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/time.h"
#include "fs/local_parts.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A path in the test's folder, for plain system calls. */
static const char *at(const struct fs_env *v, const char *rel)
{
	static char buf[4096];

	snprintf(buf, sizeof(buf), "%s/%s", v->dir.path, rel);
	return buf;
}

static int list(struct slu_store *s, const char *path, struct slu_list *l, struct slu_err *e)
{
	struct slu_op op;

	slu_op_list(&op, path, NULL, l);
	return slu_store_wait(s, &op, e);
}

static bool listed(const struct slu_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (slu_streq(l->p[i].name, name))
			return true;
	return false;
}

static void stat_tells_files_from_folders(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a, d;
	struct slu_err e = {0};
	struct stat st;
	char id[SLU_ID_MAX];

	fs_put(v->s, "d/f", "12345");
	a = fs_stat(v->s, "d/f");
	assert_int_equal(a.kind, SLU_KIND_FILE);
	assert_int_equal(a.size, 5);
	assert_int_equal(stat(at(v, "d/f"), &st), 0);
	assert_int_equal(a.mtime_ns, st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	snprintf(id, sizeof(id), "%llx-5", (unsigned long long)a.mtime_ns);
	assert_string_equal(a.id, id);
	assert_string_equal(a.sum, "");
	d = fs_stat(v->s, "d");
	assert_int_equal(d.kind, SLU_KIND_DIR);
	assert_int_equal(d.size, 0);
	a = fs_stat(v->s, "");
	assert_int_equal(a.kind, SLU_KIND_DIR);
	assert_string_not_equal(a.id, d.id);
	assert_failed(slu_store_stat(v->s, "d/g", &a, &e), e, ENOENT, "'d/g'");
	assert_contains(e.msg, v->dir.path);
	assert_failed(slu_store_stat(v->s, "d/f/x", &a, &e), e, ENOTDIR, "'d/f/x'");
}

static void hostile_names_are_just_names(void **state)
{
	static const char *const names[] = {"new\nline",
					    "a#?%b",
					    "sp ace",
					    "\xc3\xa9t\xc3\xa9",
					    "\xff\xfe bad utf-8",
					    "-rf",
					    "*?[x]{y}",
					    "back\\slash",
					    "~",
					    "...",
					    "a:b",
					    "\x1b[31m"};
	struct fs_env *v = *state;
	struct slu_list l = {0};
	char long_name[256];
	struct slu_attr a;
	struct slu_err e = {0};

	memset(long_name, 'n', 255);
	long_name[255] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fs_put(v->s, names[i], names[i]);
		fs_expect(v->s, names[i], names[i]);
	}
	fs_put(v->s, long_name, "x");
	assert_int_equal(list(v->s, "", &l, NULL), 0);
	assert_int_equal(l.n, sizeof(names) / sizeof(names[0]) + 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(listed(&l, names[i]));
	assert_true(listed(&l, long_name));
	slu_list_done(&l);
	/* one byte more is an error, and one line */
	char longer[258] = "";

	memset(longer, 'n', 256);
	assert_failed(slu_store_put(v->s, longer, "x", 1, 0, &a, &e), e, ENAMETOOLONG, "nnn");
	assert_failed(slu_store_stat(v->s, "no\nsuch", &a, &e), e, ENOENT, "such");
	assert_null(strchr(e.msg, '\n'));
}

static void listings(void **state)
{
	struct fs_env *v = *state;
	struct slu_list l = {0};
	struct slu_err e = {0};

	assert_int_equal(list(v->s, "", &l, &e), 0);
	assert_int_equal(l.n, 0);
	fs_put(v->s, "a/x", "1");
	fs_put(v->s, "a/y", "22");
	fs_put(v->s, "a/z/deep", "");
	fs_put(v->s, "a/.sluice-0123", "temp");
	fs_put(v->s, "a/.sluicex", "not temp");
	assert_int_equal(list(v->s, "a", &l, &e), 0);
	assert_int_equal(l.n, 4);
	assert_true(listed(&l, "x") && listed(&l, "y") && listed(&l, "z") &&
		    listed(&l, ".sluicex"));
	assert_null(l.next);
	for (size_t i = 0; i < l.n; i++) {
		if (slu_streq(l.p[i].name, "y")) {
			assert_int_equal(l.p[i].attr.size, 2);
			assert_string_equal(l.p[i].attr.id, fs_stat(v->s, "a/y").id);
		}
		if (slu_streq(l.p[i].name, "z"))
			assert_int_equal(l.p[i].attr.kind, SLU_KIND_DIR);
	}
	slu_list_done(&l);
	assert_failed(list(v->s, "a/x", &l, &e), e, ENOTDIR, "'a/x'");
	assert_failed(list(v->s, "b", &l, &e), e, ENOENT, "'b'");
	slu_list_done(&l);
}

static void special_files_are_left_out(void **state)
{
	struct fs_env *v = *state;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct slu_list l = {0};
	struct slu_attr a;
	struct slu_err e = {0};
	struct slu_op op;
	char c;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/sock", v->dir.path);
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(s);
	assert_int_equal(mkfifo(at(v, "fifo"), 0600), 0);
	assert_int_equal(symlinkat("fifo", v->dir.fd, "link-to-fifo"), 0);
	fs_put(v->s, "file", "x");
	assert_int_equal(list(v->s, "", &l, NULL), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.p[0].name, "file");
	slu_list_done(&l);
	/* named, they are refused; a fifo must not make anyone wait */
	assert_failed(slu_store_stat(v->s, "fifo", &a, &e), e, EINVAL, "'fifo'");
	slu_op_read(&op, "fifo", 0, 1, &c, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EINVAL, "'fifo'");
	slu_op_read(&op, "sock", 0, 1, &c, NULL);
	assert_int_equal(slu_store_wait(v->s, &op, &e) < 0, 1);
}

static void links_inside_resolve(void **state)
{
	struct fs_env *v = *state;
	struct slu_list l = {0};
	struct slu_attr a;

	fs_put(v->s, "real/f", "data");
	assert_int_equal(symlinkat("real/f", v->dir.fd, "rel"), 0);
	assert_int_equal(symlinkat(at(v, "real/f"), v->dir.fd, "abs"), 0);
	assert_int_equal(symlinkat("real", v->dir.fd, "dir"), 0);
	assert_int_equal(symlinkat("../real/../real/f", v->dir.fd, "real/back"), 0);
	fs_expect(v->s, "rel", "data");
	fs_expect(v->s, "abs", "data");
	fs_expect(v->s, "dir/f", "data");
	fs_expect(v->s, "real/back", "data");
	assert_int_equal(list(v->s, "", &l, NULL), 0);
	assert_int_equal(l.n, 4);
	slu_list_done(&l);
	a = fs_stat(v->s, "rel");
	assert_int_equal(a.kind, SLU_KIND_FILE);
	assert_int_equal(a.size, 4);
	assert_string_equal(fs_stat(v->s, "dir").id, fs_stat(v->s, "real").id);
	/* writing beneath a linked folder, and over a link, which is replaced */
	fs_put(v->s, "dir/g", "new");
	fs_expect(v->s, "real/g", "new");
	fs_put(v->s, "rel", "mine");
	fs_expect(v->s, "real/f", "data");
}

static void links_outside_are_refused(void **state)
{
	struct fs_env *v = *state;
	struct slu_list l = {0};
	struct slu_attr a;
	struct slu_err e = {0};
	struct slu_op op;
	char c;

	assert_int_equal(mkdirat(v->dir.fd, "d", 0755), 0);
	assert_int_equal(symlinkat("/etc/passwd", v->dir.fd, "d/abs"), 0);
	assert_failed(slu_store_stat(v->s, "d/abs", &a, &e), e, EXDEV, "'d/abs'");
	slu_op_read(&op, "d/abs", 0, 1, &c, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EXDEV, "define a datastore");
	assert_failed(list(v->s, "d", &l, &e), e, EXDEV, "'d/abs'");
	slu_list_done(&l);
	assert_int_equal(unlinkat(v->dir.fd, "d/abs", 0), 0);
	assert_int_equal(symlinkat("../../..", v->dir.fd, "d/up"), 0);
	assert_failed(list(v->s, "d", &l, &e), e, EXDEV, "'d/up'");
	slu_list_done(&l);
	assert_failed(slu_store_put(v->s, "d/up/f", "x", 1, 0, NULL, &e), e, EXDEV, "'d/up/f'");
	assert_int_equal(unlinkat(v->dir.fd, "d/up", 0), 0);
	assert_int_equal(symlinkat("nowhere", v->dir.fd, "d/dangling"), 0);
	assert_failed(list(v->s, "d", &l, &e), e, ENOENT, "'d/dangling'");
	assert_contains(e.msg, "'nowhere'");
	slu_list_done(&l);
	assert_failed(slu_store_stat(v->s, "d/dangling", &a, &e), e, ENOENT, "'nowhere'");
	assert_int_equal(unlinkat(v->dir.fd, "d/dangling", 0), 0);
	assert_int_equal(symlinkat("loop", v->dir.fd, "d/loop"), 0);
	assert_failed(list(v->s, "d", &l, &e), e, ELOOP, "'d/loop'");
	slu_list_done(&l);
}

static void reads_give_exactly_what_was_asked(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_op op;
	char buf[16];

	fs_put(v->s, "f", "0123456789");
	memset(buf, '#', sizeof(buf));
	slu_op_read(&op, "f", 3, 4, buf, NULL);
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	assert_memory_equal(buf, "3456#", 5);
	slu_op_read(&op, "f", 8, 4, buf, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EIO, "ended at byte 10");
	slu_op_read(&op, "f", 100, 1, buf, fs_stat(v->s, "f").id);
	assert_int_equal(slu_store_wait(v->s, &op, &e), -EIO);
	slu_op_read(&op, "f", 10, 0, NULL, NULL);
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	slu_op_read(&op, "", 0, 1, buf, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EISDIR, "'.'");
	assert_int_equal(mkdirat(v->dir.fd, "d", 0755), 0);
	slu_op_read(&op, "d", 0, 1, buf, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EISDIR, "'d'");
	slu_op_read(&op, "no", 0, 1, buf, NULL);
	assert_failed(slu_store_wait(v->s, &op, &e), e, ENOENT, "'no'");
}

static int read4(struct fs_env *v, const char *path, const char *id, char buf[4], struct slu_err *e)
{
	struct slu_op op;

	slu_op_read(&op, path, 0, 4, buf, id);
	return slu_store_wait(v->s, &op, e);
}

/* The bytes that a reader is pinned to, or -ESTALE. */
static void a_read_is_pinned(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr old, new;
	struct slu_err e = {0};
	char buf[4];
	int fd;

	fs_put(v->s, "f", "old!");
	old = fs_stat(v->s, "f");
	assert_int_equal(read4(v, "f", old.id, buf, &e), 0);
	assert_memory_equal(buf, "old!", 4);
	/* replaced: who had it open keeps it, who wants the new gets it */
	do {
		fs_put(v->s, "f", "new!");
		new = fs_stat(v->s, "f");
	} while (slu_streq(new.id, old.id));
	assert_int_equal(read4(v, "f", old.id, buf, &e), 0);
	assert_memory_equal(buf, "old!", 4);
	assert_int_equal(read4(v, "f", new.id, buf, &e), 0);
	assert_memory_equal(buf, "new!", 4);
	assert_int_equal(read4(v, "f", NULL, buf, &e), 0);
	assert_memory_equal(buf, "new!", 4);
	/* never opened: nothing but what is there */
	assert_failed(read4(v, "f", "123-4", buf, &e), e, ESTALE, "123-4");
	assert_contains(e.msg, new.id);
	/* written to in place, also when the size stays */
	fd = openat(v->dir.fd, "f", O_WRONLY | O_CLOEXEC);
	do {
		assert_int_equal(pwrite(fd, "bad!", 4, 0), 4);
	} while (slu_streq(fs_stat(v->s, "f").id, new.id));
	assert_failed(read4(v, "f", new.id, buf, &e), e, ESTALE, "'f'");
	assert_int_equal(ftruncate(fd, 2), 0);
	assert_int_equal(read4(v, "f", new.id, buf, &e), -ESTALE);
	/* and back again: mtime and size are what counts */
	assert_int_equal(pwrite(fd, "new!", 4, 0), 4);
	assert_int_equal(futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT},
							   {new.mtime_ns / 1000000000,
							    new.mtime_ns % 1000000000}}),
			 0);
	close(fd);
	assert_int_equal(read4(v, "f", new.id, buf, &e), 0);
	/* gone is changed, for who is pinned */
	assert_int_equal(slu_store_delete(v->s, "f", 0, &e), 0);
	assert_int_equal(read4(v, "f", new.id, buf, &e), 0);
	assert_failed(read4(v, "f", "1-4", buf, &e), e, ESTALE, "gone");
	/* and so is a folder, or what cannot be read at all, in its place */
	assert_int_equal(mkdir(at(v, "f"), 0777), 0);
	assert_failed(read4(v, "f", "1-4", buf, &e), e, ESTALE, "now a folder");
	assert_int_equal(rmdir(at(v, "f")), 0);
	assert_int_equal(mkfifo(at(v, "f"), 0666), 0);
	assert_failed(read4(v, "f", "1-4", buf, &e), e, ESTALE, "now no file");
}

/* The time set back hides a write from who opens the file later, not from who has it open. */
static void a_time_set_back_is_seen(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_err e = {0};
	struct stat before, now;
	char buf[4];
	int fd;

	fs_put(v->s, "f", "old!");
	a = fs_stat(v->s, "f");
	assert_int_equal(stat(at(v, "f"), &before), 0);
	assert_int_equal(read4(v, "f", a.id, buf, &e), 0);
	fd = openat(v->dir.fd, "f", O_WRONLY | O_CLOEXEC);
	do {
		assert_int_equal(pwrite(fd, "bad!", 4, 0), 4);
		assert_int_equal(
			futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, before.st_mtim}),
			0);
		assert_int_equal(fstat(fd, &now), 0);
	} while (now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
		 now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
	close(fd);
	assert_string_equal(fs_stat(v->s, "f").id, a.id);
	assert_failed(read4(v, "f", a.id, buf, &e), e, ESTALE, "set back");
	assert_failed(read4(v, "f", a.id, buf, &e), e, ESTALE, "set back");
	/* what else moves the ctime is no change of the bytes */
	fs_put(v->s, "g", "good");
	a = fs_stat(v->s, "g");
	assert_int_equal(read4(v, "g", a.id, buf, &e), 0);
	assert_int_equal(fchmodat(v->dir.fd, "g", 0600, 0), 0);
	assert_int_equal(linkat(v->dir.fd, "g", v->dir.fd, "h", 0), 0);
	assert_int_equal(read4(v, "g", a.id, buf, &e), 0);
}

static atomic_int done_count;

static void count_done(struct slu_op *op)
{
	if (op->rc == 0)
		atomic_fetch_add(&done_count, 1);
}

/* What is in the page cache is read inside submit, by whoever submits. */
static void hot_reads_complete_inside_submit(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_op op;
	char buf[4];
	int inside = 0;

	fs_put(v->s, "f", "hot!");
	a = fs_stat(v->s, "f");
	for (int i = 0; i < 100; i++) {
		int before = atomic_load(&done_count);

		slu_op_read(&op, "f", 0, 4, buf, a.id);
		op.done = count_done;
		slu_store_submit(v->s, &op);
		inside += atomic_load(&done_count) > before;
		while (atomic_load(&done_count) == before)
			sched_yield();
	}
	if (!((struct slu_local *)v->s)->no_nowait)
		assert_true(inside >= 90); /* memory pressure may take a page away */
	assert_memory_equal(buf, "hot!", 4);
}

static void more_files_than_descriptors(void **state)
{
	struct fs_env *v = *state;
	char name[16], buf[4];
	struct slu_attr a[300];
	struct slu_err e = {0};
	long fds = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%03d", i);
		fs_put(v->s, name, name);
		a[i] = fs_stat(v->s, name);
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++) {
			snprintf(name, sizeof(name), "f%03d", i);
			assert_int_equal(read4(v, name, a[i].id, buf, &e), 0);
			assert_memory_equal(buf, name, 4);
		}
	}
	for (int fd = 0; fd < 1000; fd++)
		fds += fcntl(fd, F_GETFD) >= 0;
	assert_in_range(fds, 128, 160);
}

struct hammer {
	struct fs_env *v;
	struct slu_attr a[8];
	atomic_int bad;
};

static void *hammer_reads(void *arg)
{
	struct hammer *h = arg;
	unsigned x = (unsigned)(uintptr_t)pthread_self();
	char name[16], buf[64];
	struct slu_op op;

	for (int i = 0; i < 2000; i++) {
		int k = (int)((x = x * 1664525 + 1013904223) >> 29);
		size_t off = x >> 8 & 31;

		snprintf(name, sizeof(name), "h%d", k);
		slu_op_read(&op, name, off, 32, buf, h->a[k].id);
		if (slu_store_wait(h->v->s, &op, NULL) < 0)
			atomic_fetch_add(&h->bad, 1);
		for (int j = 0; j < 32; j++)
			if (buf[j] != 'a' + k)
				atomic_fetch_add(&h->bad, 1);
	}
	return NULL;
}

static void many_threads_read(void **state)
{
	struct hammer h = {.v = *state};
	pthread_t t[6];

	for (int k = 0; k < 8; k++) {
		char name[16], text[65] = "";

		snprintf(name, sizeof(name), "h%d", k);
		memset(text, 'a' + k, 64);
		fs_put(h.v->s, name, text);
		h.a[k] = fs_stat(h.v->s, name);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer_reads, &h), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(h.bad, 0);
}

static void prefetch_is_a_hint(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_op op;

	fs_put(v->s, "f", "x");
	a = fs_stat(v->s, "f");
	slu_op_prefetch(&op, "f", 0, 1 << 20, a.id);
	assert_int_equal(slu_store_wait(v->s, &op, NULL), 0);
	slu_op_prefetch(&op, "f", 0, 1 << 20, NULL);
	assert_int_equal(slu_store_wait(v->s, &op, NULL), 0);
	slu_op_prefetch(&op, "no", 0, 1, "1-1");
	assert_int_equal(slu_store_wait(v->s, &op, NULL), -ESTALE);
}

/* As a user who may not read it.  Root may read everything, so another one asks. */
static void unreadable_files_say_so(void **state)
{
	struct fs_env *v = *state;
	int status;
	pid_t pid;

	fs_put(v->s, "secret", "x");
	assert_int_equal(chmod(at(v, "secret"), 0600), 0);
	assert_int_equal(mkdirat(v->dir.fd, "closed", 0700), 0);
	assert_int_equal(chmod(v->dir.path, 0755), 0);
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		struct slu_list l = {0};
		struct slu_err e = {0};
		struct slu_op op;
		char c;
		int bad = 0;

		if (setresuid(65534, 65534, 65534) < 0)
			_exit(99);
		slu_op_read(&op, "secret", 0, 1, &c, NULL);
		bad |= slu_store_wait(v->s, &op, &e) != -EACCES || !strstr(e.msg, "'secret'");
		bad |= (list(v->s, "closed", &l, &e) != -EACCES || !strstr(e.msg, "'closed'")) << 1;
		bad |= (slu_store_put(v->s, "closed/f", "", 0, 0, NULL, &e) != -EACCES) << 2;
		bad |= (slu_store_put(v->s, "f", "", 0, 0, NULL, &e) != -EACCES) << 3;
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void deadlines_and_cancels(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_attr a;
	struct slu_op op;

	fs_put(v->s, "f", "x");
	slu_op_stat(&op, "f");
	op.deadline = slu_now() - 1;
	assert_failed(slu_store_wait(v->s, &op, &e), e, ETIMEDOUT, "'f'");
	slu_op_stat(&op, "f");
	op.canceled = true;
	assert_failed(slu_store_wait(v->s, &op, &e), e, ECANCELED, "'f'");
	assert_int_equal(slu_store_stat(v->s, "f", &a, &e), 0);
}

static void the_root_is_checked(void **state)
{
	struct fs_env *v = *state;
	struct slu_store *s = NULL;
	struct slu_err e = {0};
	char path[200];

	snprintf(path, sizeof(path), "%s/x/y", v->dir.path);
	assert_failed(slu_local_new("rel", false, v->pool, &s, &e), e, EINVAL, "'rel'");
	assert_failed(slu_local_new(path, false, v->pool, &s, &e), e, ENOENT, "x/y'");
	assert_int_equal(slu_local_new(path, true, v->pool, &s, &e), 0);
	fs_put(s, "f", "1");
	slu_store_free(s);
	fs_expect(v->s, "x/y/f", "1");
	snprintf(path, sizeof(path), "%s/x/y/f", v->dir.path);
	s = NULL;
	assert_failed(slu_local_new(path, true, v->pool, &s, &e), e, ENOTDIR, "y/f'");
	assert_null(s);
}

static void hadoop_reads_it_as_a_file(void **state)
{
	struct fs_env *v = *state;
	struct slu_hadoop h;
	struct slu_store *s;
	char want[200];

	snprintf(want, sizeof(want), "file://%s/a b/100%%", v->dir.path);
	assert_int_equal(slu_store_hadoop(v->s, "a b/100%", &h, NULL), 0);
	assert_string_equal(h.uri, want);
	assert_int_equal(slu_json_count(h.conf), 0);
	slu_hadoop_done(&h);
	snprintf(want, sizeof(want), "file://%s", v->dir.path);
	assert_int_equal(slu_store_hadoop(v->s, "", &h, NULL), 0);
	assert_string_equal(h.uri, want);
	slu_hadoop_done(&h);
	assert_int_equal(slu_local_new("/", false, v->pool, &s, NULL), 0);
	assert_int_equal(slu_store_hadoop(s, "", &h, NULL), 0);
	assert_string_equal(h.uri, "file:///");
	slu_hadoop_done(&h);
	assert_int_equal(slu_store_hadoop(s, "x", &h, NULL), 0);
	assert_string_equal(h.uri, "file:///x");
	slu_hadoop_done(&h);
	slu_store_free(s);
}

static void keep(const struct fs_env *v, struct slu_local_files *fs, const char *name)
{
	int fd = open(at(v, name), O_RDONLY | O_CLOEXEC);
	struct slu_local_file *f;

	assert_true(fd >= 0);
	f = slu_local_files_add(fs, name, fd);
	assert_non_null(f);
	slu_local_files_put(fs, f);
}

/* A descriptor of a deleted file holds its room on the disk. */
static void deleted_files_are_let_go(void **state)
{
	struct fs_env *v = *state;
	struct slu_local_files *fs;
	struct slu_local_file *f;
	struct slu_pool *pool;
	struct slu_err e = {0};

	fs_put(v->s, "stays", "1");
	fs_put(v->s, "goes", "2");
	fs_put(v->s, "used", "3");
	assert_int_equal(slu_local_files_new(&fs), 0);
	assert_int_equal(slu_pool_new(1, &pool, &e), 0);
	keep(v, fs, "stays");
	keep(v, fs, "goes");
	keep(v, fs, "used");
	f = slu_local_files_get(fs, "used");
	assert_int_equal(unlink(at(v, "goes")), 0);
	assert_int_equal(unlink(at(v, "used")), 0);
	slu_local_files_trim(fs, pool, 0);
	slu_local_files_trim(fs, pool, 0);
	slu_pool_free(pool);
	assert_null(slu_local_files_get(fs, "goes"));
	slu_local_files_put(fs, f);
	f = slu_local_files_get(fs, "used");
	assert_non_null(f);
	slu_local_files_put(fs, f);
	f = slu_local_files_get(fs, "stays");
	assert_non_null(f);
	slu_local_files_put(fs, f);
	slu_local_files_free(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(stat_tells_files_from_folders),
		FS_TEST(hostile_names_are_just_names),
		FS_TEST(listings),
		FS_TEST(special_files_are_left_out),
		FS_TEST(links_inside_resolve),
		FS_TEST(links_outside_are_refused),
		FS_TEST(reads_give_exactly_what_was_asked),
		FS_TEST(a_read_is_pinned),
		FS_TEST(a_time_set_back_is_seen),
		FS_TEST(hot_reads_complete_inside_submit),
		FS_TEST(more_files_than_descriptors),
		FS_TEST(many_threads_read),
		FS_TEST(deleted_files_are_let_go),
		FS_TEST(prefetch_is_a_hint),
		FS_TEST(unreadable_files_say_so),
		FS_TEST(deadlines_and_cancels),
		FS_TEST(the_root_is_checked),
		FS_TEST(hadoop_reads_it_as_a_file),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
