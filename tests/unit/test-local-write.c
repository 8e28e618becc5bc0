/* SPDX-License-Identifier: Apache-2.0 */
/* The local driver: everything that changes something. */
#include "tests/unit/fs.h"

#include "fs/local_parts.h"

#include <dirent.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

static const char *at(const struct fs_env *v, const char *rel)
{
	static char buf[4096];

	snprintf(buf, sizeof(buf), "%s/%s", v->dir.path, rel);
	return buf;
}

/* Names in a folder as they are on disk, temporary ones too. */
static int count_names(const struct fs_env *v, const char *rel, const char *prefix)
{
	DIR *d = opendir(at(v, rel));
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += !slu_streq(e->d_name, ".") && !slu_streq(e->d_name, "..") &&
		     slu_starts(e->d_name, prefix);
	closedir(d);
	return n;
}

static int put(struct fs_env *v, const char *path, const char *text, unsigned flags,
	       const char *if_match, struct slu_err *e)
{
	struct slu_op op;

	slu_op_put(&op, path, text, strlen(text), flags);
	op.if_match = if_match;
	return slu_store_wait(v->s, &op, e);
}

static int commit(struct fs_env *v, const char *path, const char *txn, uint64_t size,
		  unsigned flags, struct slu_err *e)
{
	struct slu_op op;

	slu_op_commit(&op, path, txn, size, flags);
	return slu_store_wait(v->s, &op, e);
}

static int put_block(struct fs_env *v, const char *path, const char *txn, uint64_t off,
		     const char *text)
{
	struct slu_op op;

	slu_op_put_block(&op, path, txn, off, text, strlen(text));
	return slu_store_wait(v->s, &op, NULL);
}

static void puts_make_parents_and_replace(void **state)
{
	struct fs_env *v = *state;
	struct slu_attr a;
	struct slu_err e = {0};

	assert_int_equal(slu_store_put(v->s, "a/b/c", "one", 3, 0, &a, &e), 0);
	assert_string_equal(a.id, fs_stat(v->s, "a/b/c").id);
	assert_int_equal(put(v, "a/b/c", "two!", SLU_OPF_DURABLE, NULL, &e), 0);
	fs_expect(v->s, "a/b/c", "two!");
	assert_int_equal(put(v, "x/y/z", "durable", SLU_OPF_DURABLE | SLU_OPF_ABSENT, NULL, &e), 0);
	fs_expect(v->s, "x/y/z", "durable");
	assert_failed(put(v, "a/b", "x", 0, NULL, &e), e, EISDIR, "'a/b'");
	assert_failed(put(v, "a/b/c/d", "x", 0, NULL, &e), e, ENOTDIR, "'a/b/c/d'");
	assert_int_equal(count_names(v, "a/b", ""), 1);
	assert_int_equal(count_names(v, "", LOCAL_TEMP), 0);
}

static void absent_means_absent(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};

	for (int i = 0; i < 2; i++) {
		((struct slu_local *)v->s)->no_tmpfile = i; /* both ways */
		assert_int_equal(put(v, i ? "n1" : "n0", "one", SLU_OPF_ABSENT, NULL, &e), 0);
		assert_failed(put(v, i ? "n1" : "n0", "two", SLU_OPF_ABSENT, NULL, &e), e, EEXIST,
			      "exists already");
		fs_expect(v->s, i ? "n1" : "n0", "one");
		assert_int_equal(put(v, i ? "n1" : "n0", "three", 0, NULL, &e), 0);
		fs_expect(v->s, i ? "n1" : "n0", "three");
	}
	assert_int_equal(mkdirat(v->dir.fd, "dir", 0755), 0);
	assert_failed(put(v, "dir", "x", SLU_OPF_ABSENT, NULL, &e), e, EEXIST, "'dir'");
	assert_int_equal(symlinkat("nowhere", v->dir.fd, "dangling"), 0);
	assert_failed(put(v, "dangling", "x", SLU_OPF_ABSENT, NULL, &e), e, EEXIST, "'dangling'");
	assert_int_equal(count_names(v, "", LOCAL_TEMP), 0);
}

static void if_match_guards_a_replacement(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_attr a;

	fs_put(v->s, "f", "one");
	a = fs_stat(v->s, "f");
	assert_int_equal(put(v, "f", "longer", 0, a.id, &e), 0);
	assert_failed(put(v, "f", "x", 0, a.id, &e), e, ESTALE, "'f'");
	fs_expect(v->s, "f", "longer");
	assert_failed(put(v, "gone", "x", 0, a.id, &e), e, ESTALE, "gone");
}

static void blocks_show_at_commit(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_attr a;
	struct slu_op op;

	assert_int_equal(put_block(v, "d/f", "T1", 5, "world"), 0);
	assert_failed(slu_store_stat(v->s, "d/f", &a, &e), e, ENOENT, "'d/f'");
	assert_failed(commit(v, "d/f", "T1", 11, 0, &e), e, EIO, "10 of 11");
	assert_int_equal(put_block(v, "d/f", "T1", 0, "hello"), 0);
	assert_int_equal(commit(v, "d/f", "T1", 10, SLU_OPF_DURABLE | SLU_OPF_ABSENT, &e), 0);
	fs_expect(v->s, "d/f", "helloworld");
	assert_failed(commit(v, "d/f", "T1", 10, 0, &e), e, ENOENT, "gone");
	/* a second transaction loses against ABSENT, and may be aborted; twice is fine */
	assert_int_equal(put_block(v, "d/f", "T2", 0, "other"), 0);
	assert_failed(commit(v, "d/f", "T2", 5, SLU_OPF_ABSENT, &e), e, EEXIST, "'d/f'");
	assert_int_equal(count_names(v, "d", LOCAL_TEMP), 1);
	for (int i = 0; i < 2; i++) {
		slu_op_abort(&op, "d/f", "T2");
		assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
		assert_int_equal(count_names(v, "d", LOCAL_TEMP), 0);
	}
	slu_op_abort(&op, "no/such/folder", "T9");
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	fs_expect(v->s, "d/f", "helloworld");
	/* a planted link is not written through */
	fs_put(v->s, "victim", "safe");
	assert_int_equal(symlinkat("victim", v->dir.fd, LOCAL_TEMP "T3"), 0);
	assert_int_equal(put_block(v, "g", "T3", 0, "evil"), -ELOOP);
	fs_expect(v->s, "victim", "safe");
}

/* What a killed writer left goes when the next one comes; what is being written stays, and what only
 * looks alike is somebody's own. */
static void leftovers_are_swept(void **state)
{
	struct fs_env *v = *state;
	static const char dead[] = "d/.sluice-0123456789abcdef0123456789abcdef";
	static const char live[] = "d/.sluice-00000000000000000000000000000000";
	static const char alike[] = "d/.sluice-notes";
	struct slu_err e = {0};

	assert_int_equal(mkdir(at(v, "d"), 0777), 0);
	for (int i = 0; i < 3; i++)
		close(open(at(v, i == 0 ? dead : i == 1 ? live : alike), O_CREAT | O_WRONLY, 0666));
	int fd = open(at(v, live), O_RDONLY);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(put_block(v, "d/x", "t1", 0, "data"), 0);
	assert_int_equal(access(at(v, dead), F_OK), -1);
	assert_int_equal(access(at(v, live), F_OK), 0);
	assert_int_equal(access(at(v, alike), F_OK), 0);
	assert_int_equal(commit(v, "d/x", "t1", 4, 0, &e), 0);
	fs_expect(v->s, "d/x", "data");
	close(fd);
}

static void renames(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_op op;

	fs_put(v->s, "a", "A");
	fs_put(v->s, "b", "B");
	slu_op_rename(&op, "a", "b", SLU_OPF_ABSENT);
	assert_failed(slu_store_wait(v->s, &op, &e), e, EEXIST, "'b'");
	slu_op_rename(&op, "a", "new/dir/c", SLU_OPF_ABSENT);
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	fs_expect(v->s, "new/dir/c", "A");
	slu_op_rename(&op, "new/dir/c", "b", 0);
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	fs_expect(v->s, "b", "A");
	slu_op_rename(&op, "new", "moved", 0);
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	assert_int_equal(fs_stat(v->s, "moved/dir").kind, SLU_KIND_DIR);
	slu_op_rename(&op, "a", "z", 0);
	assert_failed(slu_store_wait(v->s, &op, &e), e, ENOENT, "'a'");
}

static void deletes_and_folders(void **state)
{
	struct fs_env *v = *state;
	struct slu_err e = {0};
	struct slu_op op;

	for (int i = 0; i < 2; i++) {
		slu_op_mkdir(&op, "m/n/o");
		assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	}
	fs_put(v->s, "m/n/f", "x");
	slu_op_mkdir(&op, "m/n/f");
	assert_failed(slu_store_wait(v->s, &op, &e), e, ENOTDIR, "'m/n/f'");
	slu_op_mkdir(&op, "");
	assert_int_equal(slu_store_wait(v->s, &op, &e), 0);
	assert_int_equal(slu_store_delete(v->s, "m", 0, &e), -ENOTEMPTY);
	assert_int_equal(slu_store_delete(v->s, "m/n/o", 0, &e), 0);
	/* a tree goes, what its links point to stays */
	fs_put(v->s, "keep/f", "kept");
	assert_int_equal(symlinkat("../keep", v->dir.fd, "m/link"), 0);
	assert_int_equal(slu_store_delete(v->s, "m", SLU_OPF_TREE, &e), 0);
	assert_int_equal(slu_store_delete(v->s, "m", SLU_OPF_TREE, &e), 0);
	fs_expect(v->s, "keep/f", "kept");
	assert_failed(slu_store_delete(v->s, "m", 0, &e), e, ENOENT, "'m'");
}

struct race {
	struct fs_env *v;
	int id, round;
	atomic_int *won;
	pthread_barrier_t *start;
	bool blocks;
};

static void *racer(void *arg)
{
	struct race *r = arg;
	char path[32], text[16], txn[8];
	int rc;

	for (int i = 0; i < r->round; i++) {
		snprintf(path, sizeof(path), "race/%d/f", i);
		snprintf(text, sizeof(text), "by %d", r->id);
		snprintf(txn, sizeof(txn), "T%d", r->id);
		if (r->blocks)
			put_block(r->v, path, txn, 0, text);
		pthread_barrier_wait(r->start);
		rc = r->blocks ? commit(r->v, path, txn, strlen(text), SLU_OPF_ABSENT, NULL)
			       : put(r->v, path, text, SLU_OPF_ABSENT, NULL, NULL);
		if (rc == 0)
			atomic_fetch_add(&r->won[i], 1 + 100 * r->id);
		else if (rc != -EEXIST)
			atomic_fetch_add(&r->won[i], 1000000);
	}
	return NULL;
}

static void race_with(struct fs_env *v, bool blocks)
{
	enum { N = 4, ROUNDS = 100 };
	atomic_int won[ROUNDS] = {0};
	pthread_barrier_t start;
	struct race r[N];
	pthread_t t[N];
	char path[32], text[16];

	pthread_barrier_init(&start, NULL, N);
	for (int i = 0; i < N; i++) {
		r[i] = (struct race){v, i, ROUNDS, won, &start, blocks};
		assert_int_equal(pthread_create(&t[i], NULL, racer, &r[i]), 0);
	}
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&start);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(won[i] % 100, 1);
		assert_true(won[i] < 1000000);
		snprintf(path, sizeof(path), "race/%d/f", i);
		snprintf(text, sizeof(text), "by %d", won[i] / 100);
		fs_expect(v->s, path, text);
	}
	assert_int_equal(slu_store_delete(v->s, "race", SLU_OPF_TREE, NULL), 0);
}

static void exactly_one_creator_wins(void **state)
{
	struct fs_env *v = *state;

	race_with(v, false);
	race_with(v, true);
	((struct slu_local *)v->s)->no_tmpfile = true;
	race_with(v, false);
}

/* The child puts without end until it is killed; what is visible is whole. */
static void killed_writers_show_nothing_half_done(void **state)
{
	static char text[2][200001];
	struct fs_env *v = *state;
	char *got;
	size_t n;

	memset(text[0], 'a', 200000);
	memset(text[1], 'b', 200000);
	for (int round = 0; round < 60; round++) {
		int ready[2], status;
		char c;
		pid_t pid;

		assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
		((struct slu_local *)v->s)->no_tmpfile = round % 3 == 1;
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			for (int i = 0;; i++) {
				put(v, "f", text[i & 1], 0, NULL, NULL);
				put(v, "new", text[0], SLU_OPF_ABSENT, NULL, NULL);
				slu_store_delete(v->s, "new", 0, NULL);
				if (i == 1)
					(void)!write(ready[1], "x", 1);
			}
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		close(ready[0]);
		nanosleep(&(struct timespec){0, round * 20011}, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_int_equal(slu_store_get(v->s, "f", 1 << 20, &got, &n, NULL), 0);
		assert_int_equal(n, 200000);
		assert_true(slu_streq(got, text[0]) || slu_streq(got, text[1]));
		free(got);
		if (slu_store_get(v->s, "new", 1 << 20, &got, &n, NULL) == 0) {
			assert_int_equal(n, 200000);
			free(got);
			slu_store_delete(v->s, "new", 0, NULL);
		}
	}
}

static void a_full_disk_loses_nothing(void **state)
{
	struct fs_env *v = *state;
	struct slu_store *s;
	struct slu_err e = {0};
	char *big = calloc(1, 4 << 20);
	struct slu_op op;
	char path[200];

	assert_int_equal(mkdirat(v->dir.fd, "small", 0755), 0);
	snprintf(path, sizeof(path), "%s/small", v->dir.path);
	if (geteuid() != 0 || mount("none", path, "tmpfs", 0, "size=1m") < 0) {
		free(big);
		skip();
	}
	assert_int_equal(slu_local_new(path, false, v->pool, &s, NULL), 0);
	fs_put(s, "f", "precious");
	assert_failed(slu_store_put(s, "f", big, 4 << 20, 0, NULL, &e), e, ENOSPC, "'f'");
	assert_failed(slu_store_put(s, "g", big, 4 << 20, SLU_OPF_ABSENT, NULL, &e), e, ENOSPC,
		      "'g'");
	fs_expect(s, "f", "precious");
	slu_op_put_block(&op, "f", "T1", 0, big, 4 << 20);
	assert_int_equal(slu_store_wait(s, &op, &e), -ENOSPC);
	slu_op_abort(&op, "f", "T1");
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	/* all room is given back */
	assert_int_equal(slu_store_put(s, "g", big, 900 << 10, 0, NULL, &e), 0);
	assert_int_equal(count_names(v, "small", LOCAL_TEMP), 0);
	fs_expect(s, "f", "precious");
	slu_store_free(s);
	assert_int_equal(umount2(path, 0), 0);
	free(big);
}

static void modes_follow_the_umask(void **state)
{
	struct fs_env *v = *state;
	struct stat st;
	mode_t old = umask(027);

	for (int i = 0; i < 2; i++) {
		((struct slu_local *)v->s)->no_tmpfile = i;
		fs_put(v->s, "d/f", "x");
		assert_int_equal(stat(at(v, "d/f"), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0640);
		assert_int_equal(slu_store_delete(v->s, "d/f", 0, NULL), 0);
	}
	assert_int_equal(stat(at(v, "d"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	umask(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(puts_make_parents_and_replace),
		FS_TEST(absent_means_absent),
		FS_TEST(if_match_guards_a_replacement),
		FS_TEST(blocks_show_at_commit),
		FS_TEST(leftovers_are_swept),
		FS_TEST(renames),
		FS_TEST(deletes_and_folders),
		FS_TEST(exactly_one_creator_wins),
		FS_TEST(killed_writers_show_nothing_half_done),
		FS_TEST(a_full_disk_loses_nothing),
		FS_TEST(modes_follow_the_umask),
	};

	return cmocka_run_group_tests_name("local-write", tests, NULL, NULL);
}
