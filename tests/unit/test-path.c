/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: as text, beneath a folder (both with openat2 and without), trees, atomic files. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/mem.h"
#include "common/path_impl.h"
#include "common/str.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void which_paths_are_store_paths(void **state)
{
	static const char *const good[] = {"",      "a", "a/b", "...",  ".a",  "a..",
					   "..a/b", " ", "\n",  "a\\b", "\xff"};
	static const char *const bad[] = {"/",   "/a",  "a/",     "a//b", ".",   "..",
					  "a/.", "./a", "a/../b", "../a", "a/.."};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(slu_path_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slu_path_ok(bad[i]));
}

static void cleaning(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},         {"/", ""},
		{".", ""},        {"/a//b/./c/", "a/b/c"},
		{"a/../b", "b"},  {"a/b/../../c", "c"},
		{"a/..", ""},     {"...", "..."},
		{"./././a", "a"},
	};
	static const char *const bad[] = {"..", "a/../..", "/../a", "a/b/../../../c"};
	struct slu_err e = {0};
	char *out = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(slu_path_clean(cases[i].in, &out, NULL), 0);
		assert_string_equal(out, cases[i].out);
		assert_true(slu_path_ok(out));
		free(out);
	}
	out = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_failed(slu_path_clean(bad[i], &out, &e), e, EINVAL, bad[i]);
		assert_null(out);
	}
}

static void joining_and_taking_apart(void **state)
{
	static const struct {
		const char *a, *b, *join;
	} joins[] = {{"a", "b", "a/b"}, {"", "b", "b"},         {"a", "", "a"},
		     {"/", "b", "/b"},  {"a/b/", "c", "a/b/c"}, {"", "", ""}};
	static const struct {
		const char *path, *dir, *base;
	} parts[] = {{"a/b/c", "a/b", "c"}, {"a", "", "a"}, {"", "", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++) {
		SLU_AUTO(slu_freep) char *s = slu_path_join(joins[i].a, joins[i].b);

		assert_string_equal(s, joins[i].join);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		SLU_AUTO(slu_freep) char *s = slu_path_dir(parts[i].path);

		assert_string_equal(s, parts[i].dir);
		assert_string_equal(slu_path_base(parts[i].path), parts[i].base);
	}
}

static void absolute_paths(void **state)
{
	char cwd[PATH_MAX], want[PATH_MAX + 16], in[PATH_MAX];
	struct unit_dir d;
	char *s = NULL;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(slu_path_absolute("x/./y//z/", &s, NULL), 0);
	snprintf(want, sizeof(want), "%s/x/y/z", cwd);
	assert_string_equal(s, want);
	free(s);
	assert_int_equal(slu_path_absolute("/nowhere/at/../all/..", &s, NULL), 0);
	assert_string_equal(s, "/nowhere");
	free(s);
	assert_int_equal(slu_path_absolute("/../..", &s, NULL), 0);
	assert_string_equal(s, "/");
	free(s);
	assert_int_equal(slu_path_absolute("", &s, NULL), -EINVAL);
	/* a symlink's ".." is its target's parent; the link itself keeps its name */
	unit_dir_make(&d);
	assert_int_equal(slu_path_mkdirs(d.fd, "deep/er", 0700), 0);
	assert_int_equal(symlinkat("deep/er", d.fd, "link"), 0);
	snprintf(in, sizeof(in), "%s/link/../x", d.path);
	assert_int_equal(slu_path_absolute(in, &s, NULL), 0);
	snprintf(want, sizeof(want), "%s/deep/x", d.path);
	assert_string_equal(s, want);
	free(s);
	snprintf(in, sizeof(in), "%s/link/x", d.path);
	assert_int_equal(slu_path_absolute(in, &s, NULL), 0);
	assert_string_equal(s, in);
	free(s);
	unit_dir_done(&d);
}

/* A store with links of every sort, and a folder beside it that must stay out of reach. */
struct tree {
	struct unit_dir d;
	int root;
};

static void put(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void put_link(struct tree *t, const char *name, const char *fmt)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(PATH_MAX);

	/* '@' stands for the folder of the test */
	for (; *fmt; fmt++) {
		if (*fmt == '@')
			slu_buf_str(&b, t->d.path);
		else
			slu_buf_ch(&b, *fmt);
	}
	assert_int_equal(symlinkat(b.p, t->root, name), 0);
}

static int make_tree(void **state)
{
	static struct tree t;

	unit_dir_make(&t.d);
	assert_int_equal(slu_path_mkdirs(t.d.fd, "root/a/b", 0700), 0);
	assert_int_equal(slu_path_mkdirs(t.d.fd, "root-beside", 0700), 0);
	assert_int_equal(slu_path_mkdirs(t.d.fd, "out", 0700), 0);
	assert_int_equal(symlinkat("root", t.d.fd, "alias"), 0);
	put(t.d.fd, "out/secret", "secret");
	put(t.d.fd, "root-beside/secret", "secret");
	put(t.d.fd, "root/a/b/f", "inside");
	t.root = openat(t.d.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.root >= 0);
	put_link(&t, "rel", "a/b/f");
	put_link(&t, "dir", "a/b");
	put_link(&t, "a/up", "../a/b/f");
	put_link(&t, "abs", "@/root/a/b/f");
	put_link(&t, "absdir", "@/root/a");
	put_link(&t, "absalias", "@/alias/a/b/f");
	put_link(&t, "absroot", "@/root");
	put_link(&t, "comeback", "../root/a/b/f");
	put_link(&t, "chain", "absdir/b/../../abs");
	put_link(&t, "esc", "../out/secret");
	put_link(&t, "escabs", "@/out/secret");
	put_link(&t, "escdir", "@/out");
	put_link(&t, "escbeside", "@/root-beside/secret");
	put_link(&t, "escdots", "a/../../out/secret");
	put_link(&t, "escgone", "@/out/gone");
	put_link(&t, "dangling", "a/none");
	put_link(&t, "absdangling", "@/root/a/none");
	put_link(&t, "loop", "loop");
	put_link(&t, "absloop", "@/root/absloop");
	put_link(&t, "proc", "/proc/self/cwd");
	*state = &t;
	return 0;
}

static int drop_tree(void **state)
{
	struct tree *t = *state;

	slu_path_no_openat2(false);
	close(t->root);
	unit_dir_done(&t->d);
	return 0;
}

static int open_in(struct tree *t, const char *rel, enum slu_links links)
{
	return slu_path_open(t->root, rel, O_RDONLY, 0, links);
}

static void opens(struct tree *t, const char *rel, enum slu_links links)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);
	int fd = open_in(t, rel, links);

	if (fd < 0)
		fail_msg("'%s': %s", rel, strerror(-fd));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(slu_buf_read_fd(&b, fd), 0);
	assert_string_equal(b.p, "inside");
	close(fd);
}

static void refuses(struct tree *t, const char *rel, enum slu_links links, int want)
{
	int fd = open_in(t, rel, links);

	if (fd >= 0)
		close(fd);
	if (fd != -want)
		fail_msg("'%s': %d instead of %d", rel, fd, -want);
}

static void check_opening(struct tree *t)
{
	static const char *const inside[] = {
		"rel",      "dir/f",         "a/up",     "abs",   "absdir/b/f",
		"absalias", "absroot/a/b/f", "comeback", "chain", "absroot/absroot/abs",
	};
	static const char *const outside[] = {
		"esc",     "escabs", "escdir/secret",  "escbeside", "escdots",
		"escgone", "proc",   "absroot/escabs", "escdir",
	};

	opens(t, "a/b/f", SLU_LINKS_NONE);
	opens(t, "a/b/f", SLU_LINKS_BENEATH);
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		opens(t, inside[i], SLU_LINKS_BENEATH);
		refuses(t, inside[i], SLU_LINKS_NONE, ELOOP);
	}
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		refuses(t, outside[i], SLU_LINKS_BENEATH, EXDEV);
		refuses(t, outside[i], SLU_LINKS_NONE, ELOOP);
	}
	for (int links = SLU_LINKS_NONE; links <= SLU_LINKS_BENEATH; links++) {
		refuses(t, "a/none", links, ENOENT);
		refuses(t, "a/none/x", links, ENOENT);
		refuses(t, "a/b/f/x", links, ENOTDIR);
		refuses(t, "loop", links, ELOOP);
		refuses(t, "absloop", links, ELOOP);
		refuses(t, "../out/secret", links, EINVAL);
		refuses(t, "/etc/passwd", links, EINVAL);
	}
	refuses(t, "dangling", SLU_LINKS_BENEATH, ENOENT);
	refuses(t, "absdangling", SLU_LINKS_BENEATH, ENOENT);
}

static void opening_stays_beneath(void **state)
{
	check_opening(*state);
}

static void opening_stays_beneath_without_openat2(void **state)
{
	slu_path_no_openat2(true);
	check_opening(*state);
}

static void check_creating(struct tree *t)
{
	int excl = O_WRONLY | O_CREAT | O_EXCL, creat = O_WRONLY | O_CREAT;
	struct stat st;
	int fd;

	fd = slu_path_open(t->root, "a/new", excl, 0640, SLU_LINKS_NONE);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0700, 0600);
	close(fd);
	assert_int_equal(slu_path_open(t->root, "a/new", excl, 0600, SLU_LINKS_NONE), -EEXIST);
	fd = slu_path_open(t->root, "absdir/new2", excl, 0600, SLU_LINKS_BENEATH);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(faccessat(t->root, "a/new2", F_OK, 0), 0);
	/* through a link that points to nothing inside */
	fd = slu_path_open(t->root, "absdangling", creat, 0600, SLU_LINKS_BENEATH);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(faccessat(t->root, "a/none", F_OK, 0), 0);
	/* and outside: nothing appears */
	assert_int_equal(slu_path_open(t->root, "escgone", creat, 0600, SLU_LINKS_BENEATH), -EXDEV);
	assert_int_equal(slu_path_open(t->root, "escdir/new", creat, 0600, SLU_LINKS_BENEATH),
			 -EXDEV);
	assert_int_equal(slu_path_open(t->root, "escgone", excl, 0600, SLU_LINKS_BENEATH), -EEXIST);
	assert_int_equal(slu_path_open(t->root, "escgone", creat, 0600, SLU_LINKS_NONE), -ELOOP);
	assert_int_equal(faccessat(t->d.fd, "out/gone", F_OK, 0), -1);
	assert_int_equal(faccessat(t->d.fd, "out/new", F_OK, 0), -1);
	unlinkat(t->root, "a/new", 0);
	unlinkat(t->root, "a/new2", 0);
	unlinkat(t->root, "a/none", 0);
}

static void creating_stays_beneath(void **state)
{
	check_creating(*state);
	slu_path_no_openat2(true);
	check_creating(*state);
}

static void links_themselves_can_be_opened(void **state)
{
	struct tree *t = *state;
	struct stat st;

	for (int round = 0; round < 2; round++) {
		int fd = slu_path_open(t->root, "absdir/b", O_PATH | O_NOFOLLOW, 0,
				       SLU_LINKS_BENEATH);

		assert_true(fd >= 0);
		close(fd);
		fd = slu_path_open(t->root, "esc", O_PATH | O_NOFOLLOW, 0, SLU_LINKS_BENEATH);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(S_ISLNK(st.st_mode));
		close(fd);
		assert_int_equal(slu_path_open(t->root, "esc", O_PATH, 0, SLU_LINKS_NONE), -ELOOP);
		slu_path_no_openat2(true);
	}
}

static void the_root_itself(void **state)
{
	struct tree *t = *state;
	int fd = slu_path_open(t->root, "", O_RDONLY | O_DIRECTORY, 0, SLU_LINKS_NONE);

	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "a/b/f", F_OK, 0), 0);
	close(fd);
	fd = open_in(t, "absroot", SLU_LINKS_BENEATH);
	assert_true(fd >= 0);
	close(fd);
}

static void names_of_any_bytes(void **state)
{
	struct tree *t = *state;
	char longest[NAME_MAX + 2];
	int fd;

	memset(longest, 'n', sizeof(longest));
	longest[NAME_MAX] = '\0';
	for (int round = 0; round < 2; round++) {
		put(t->root, "new\nline #?% \xff\xc3\xa4", "inside");
		opens(t, "new\nline #?% \xff\xc3\xa4", SLU_LINKS_BENEATH);
		put(t->root, longest, "inside");
		opens(t, longest, SLU_LINKS_NONE);
		longest[NAME_MAX] = 'n';
		longest[NAME_MAX + 1] = '\0';
		fd = open_in(t, longest, SLU_LINKS_BENEATH);
		assert_int_equal(fd, -ENAMETOOLONG);
		assert_int_equal(slu_path_mkdirs(t->root, longest, 0700), -ENAMETOOLONG);
		longest[NAME_MAX] = '\0';
		slu_path_no_openat2(true);
	}
}

static void folders_are_made(void **state)
{
	struct tree *t = *state;

	for (int round = 0; round < 2; round++) {
		assert_int_equal(slu_path_mkdirs(t->root, "", 0700), 0);
		assert_int_equal(slu_path_mkdirs(t->root, "m/n/o", 0700), 0);
		assert_int_equal(slu_path_mkdirs(t->root, "m/n/o", 0700), 0);
		assert_int_equal(slu_path_mkdirs(t->root, "a/b/f/x", 0700), -ENOTDIR);
		assert_int_equal(slu_path_mkdirs(t->root, "a/b/f", 0700), -ENOTDIR);
		assert_int_equal(slu_path_mkdirs(t->root, "escdir/x", 0700), -ELOOP);
		assert_int_equal(slu_path_mkdirs(t->root, "dir/x", 0700), -ELOOP);
		assert_int_equal(slu_path_mkdirs(t->root, "../x", 0700), -EINVAL);
		assert_int_equal(faccessat(t->d.fd, "out/x", F_OK, 0), -1);
		slu_path_no_openat2(true);
	}
}

static void parents(void **state)
{
	struct tree *t = *state;
	const char *name = NULL, *rel = "p/q/file";
	int fd;

	for (int round = 0; round < 2; round++) {
		assert_int_equal(slu_path_parent(t->root, rel, false, SLU_LINKS_NONE, &name),
				 -ENOENT);
		fd = slu_path_parent(t->root, rel, true, SLU_LINKS_NONE, &name);
		assert_true(fd >= 0);
		assert_ptr_equal(name, rel + 4);
		assert_int_equal(faccessat(t->root, "p/q", F_OK, 0), 0);
		assert_int_equal(fsync(fd), 0);
		close(fd);
		fd = slu_path_parent(t->root, "top", true, SLU_LINKS_NONE, &name);
		assert_true(fd >= 0);
		assert_string_equal(name, "top");
		close(fd);
		/* new folders below one that is reached through a link */
		fd = slu_path_parent(t->root, "absdir/x/y/f", true, SLU_LINKS_BENEATH, &name);
		assert_true(fd >= 0);
		assert_int_equal(faccessat(t->root, "a/x/y", F_OK, 0), 0);
		close(fd);
		assert_int_equal(
			slu_path_parent(t->root, "escdir/x/f", true, SLU_LINKS_BENEATH, &name),
			-EXDEV);
		assert_int_equal(slu_path_parent(t->root, "dir/x/f", true, SLU_LINKS_NONE, &name),
				 -ELOOP);
		assert_int_equal(slu_path_parent(t->root, "", true, SLU_LINKS_NONE, &name),
				 -EINVAL);
		assert_int_equal(slu_path_parent(t->root, "a/b/f/x", true, SLU_LINKS_NONE, &name),
				 -ENOTDIR);
		assert_int_equal(faccessat(t->d.fd, "out/x", F_OK, 0), -1);
		assert_int_equal(slu_path_rmtree(t->root, "p"), 0);
		assert_int_equal(slu_path_rmtree(t->root, "a/x"), 0);
		slu_path_no_openat2(true);
	}
}

static void a_moved_root_is_still_the_root(void **state)
{
	struct tree *t = *state;

	assert_int_equal(renameat(t->d.fd, "root", t->d.fd, "elsewhere"), 0);
	opens(t, "rel", SLU_LINKS_BENEATH);
	/* the absolute links point to where the root was */
	refuses(t, "abs", SLU_LINKS_BENEATH, EXDEV);
	assert_int_equal(renameat(t->d.fd, "elsewhere", t->d.fd, "root"), 0);
	opens(t, "abs", SLU_LINKS_BENEATH);
}

struct swapper {
	int root;
	atomic_bool stop;
	atomic_long swaps;
};

/* Exchanges a folder and a symlink that leaves, over and over. */
static void *swap(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->stop)) {
		if (renameat2(s->root, "swap", s->root, "swap2", RENAME_EXCHANGE) == 0)
			atomic_fetch_add(&s->swaps, 1);
	}
	return NULL;
}

/* Whatever is opened, made and removed while that goes on, the outside is not touched. */
static void race(struct tree *t, enum slu_links links, long *opened)
{
	for (int i = 0; i < 1500; i++) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);
		int fd = slu_path_open(t->root, "swap/f", O_RDONLY, 0, links);

		if (fd >= 0) {
			assert_int_equal(slu_buf_read_fd(&b, fd), 0);
			assert_string_equal(b.p, "inside");
			close(fd);
			++*opened;
		} else {
			assert_true(fd == -ELOOP || fd == -EXDEV || fd == -ENOENT || fd == -EAGAIN);
		}
		slu_path_mkdirs(t->root, "swap/made", 0700);
		fd = slu_path_open(t->root, "swap/new", O_WRONLY | O_CREAT, 0600, links);
		if (fd >= 0)
			close(fd);
		slu_path_rmtree(t->root, "swap/victim");
	}
}

static void a_folder_swapped_for_a_link_is_no_way_out(void **state)
{
	struct tree *t = *state;
	struct swapper s = {.root = t->root};
	long opened = 0;
	pthread_t thread;

	put(t->d.fd, "out/f", "secret");
	assert_int_equal(slu_path_mkdirs(t->d.fd, "out/victim/x", 0700), 0);
	assert_int_equal(slu_path_mkdirs(t->root, "swap", 0700), 0);
	put(t->root, "swap/f", "inside");
	put_link(t, "swap2", "@/out");
	assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
	while (!atomic_load(&s.swaps))
		sched_yield();
	/* Until it was the folder at least once: the one who swaps may stand still, too. */
	for (int walk = 0; walk < 2 || !opened; walk++) {
		slu_path_no_openat2(walk % 2);
		race(t, SLU_LINKS_NONE, &opened);
		race(t, SLU_LINKS_BENEATH, &opened);
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(faccessat(t->d.fd, "out/victim/x", F_OK, 0), 0);
	assert_int_equal(faccessat(t->d.fd, "out/made", F_OK, 0), -1);
	assert_int_equal(faccessat(t->d.fd, "out/new", F_OK, 0), -1);
}

static void trees_are_removed_without_following(void **state)
{
	struct tree *t = *state;

	assert_int_equal(slu_path_rmtree(t->root, "absent"), 0);
	assert_int_equal(slu_path_rmtree(t->root, "absent/too"), 0);
	assert_int_equal(slu_path_rmtree(t->root, ""), -EINVAL);
	assert_int_equal(slu_path_rmtree(t->root, "escdir"), 0);
	assert_int_equal(faccessat(t->d.fd, "out/secret", F_OK, 0), 0);
	assert_int_equal(slu_path_rmtree(t->root, "absdir/b"), -ELOOP);
	assert_int_equal(slu_path_rmtree(t->d.fd, "root"), 0);
	assert_int_equal(faccessat(t->d.fd, "root", F_OK, 0), -1);
	assert_int_equal(faccessat(t->d.fd, "out/secret", F_OK, 0), 0);
	assert_int_equal(faccessat(t->d.fd, "root-beside/secret", F_OK, 0), 0);
}

/* Deeper than any path and than the descriptors that may be open. */
static void very_deep_trees_are_removed(void **state)
{
	enum { DEPTH = 3000 };
	struct tree *t = *state;
	int cur = openat(t->root, ".", O_PATH | O_CLOEXEC), next;

	for (int i = 0; i < DEPTH; i++) {
		assert_int_equal(mkdirat(cur, "deep", 0700), 0);
		next = openat(cur, "deep", O_PATH | O_CLOEXEC);
		assert_true(next >= 0);
		close(cur);
		cur = next;
		if (i % 100 == 0)
			put(cur, "file", "x");
	}
	close(cur);
	assert_int_equal(slu_path_rmtree(t->root, "deep"), 0);
	assert_int_equal(faccessat(t->root, "deep", F_OK, 0), -1);
}

static void big_folders_are_removed(void **state)
{
	struct tree *t = *state;
	char name[32];

	assert_int_equal(slu_path_mkdirs(t->root, "big", 0700), 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "big/%d", i);
		assert_int_equal(mknodat(t->root, name, S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(slu_path_rmtree(t->root, "big"), 0);
}

static size_t count_entries(int dirfd)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void files_are_replaced_whole(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);
	struct tree *t = *state;
	struct stat st;
	size_t before;

	assert_int_equal(slu_path_write_atomic(t->root, "w", "one", 3), 0);
	before = count_entries(t->root);
	assert_int_equal(slu_path_write_atomic(t->root, "w", "two!", 4), 0);
	assert_int_equal(slu_buf_read_at(&b, t->root, "w"), 0);
	assert_string_equal(b.p, "two!");
	assert_int_equal(fstatat(t->root, "w", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(count_entries(t->root), before);
	assert_int_equal(slu_path_write_atomic(t->root, "e", "", 0), 0);
	assert_int_equal(slu_path_write_atomic(t->root, "a/x", "", 0), -EINVAL);
	assert_int_equal(slu_path_write_atomic(t->root, "", "", 0), -EINVAL);
	assert_int_equal(slu_path_write_atomic(t->root, "..", "", 0), -EINVAL);
	/* a symlink is replaced, not written through */
	assert_int_equal(slu_path_write_atomic(t->root, "escgone", "x", 1), 0);
	assert_int_equal(faccessat(t->d.fd, "out/gone", F_OK, 0), -1);
	assert_int_equal(slu_path_write_atomic(t->root, "a", "x", 1), -EISDIR);
}

static void a_failed_write_leaves_the_old(void **state)
{
	struct tree *t = *state;
	size_t before;

	assert_int_equal(slu_path_write_atomic(t->root, "w", "old", 3), 0);
	before = count_entries(t->root);
	/* open, write, fsync, rename */
	for (long nth = 1; nth <= 4; nth++) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);
		int r;

		slu_fault_arm(SLU_FAULT_IO, nth, false);
		r = slu_path_write_atomic(t->root, "w", "new", 3);
		slu_fault_arm(SLU_FAULT_IO, 0, false);
		assert_int_equal(r, -EIO);
		assert_int_equal(slu_buf_read_at(&b, t->root, "w"), 0);
		assert_string_equal(b.p, "old");
		assert_int_equal(count_entries(t->root), before);
	}
}

static void home_is_known_without_its_variable(void **state)
{
	const struct passwd *pw = getpwuid(geteuid());
	const char *old = getenv("HOME");
	SLU_AUTO(slu_freep) char *kept = old ? slu_strdup(old) : NULL;

	(void)state;
	setenv("HOME", "/some/where", 1);
	for (int i = 0; i < 3; i++) {
		SLU_AUTO(slu_freep) char *home = slu_path_home();
		const char *want = i == 0 ? "/some/where" : pw ? pw->pw_dir : NULL;

		assert_int_equal(home != NULL, want != NULL);
		if (want)
			assert_string_equal(home, want);
		if (i == 0)
			setenv("HOME", "not/whole", 1);
		else
			unsetenv("HOME");
	}
	if (kept)
		setenv("HOME", kept, 1);
}

#define WITH_TREE(f) cmocka_unit_test_setup_teardown(f, make_tree, drop_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_paths_are_store_paths),
		cmocka_unit_test(cleaning),
		cmocka_unit_test(joining_and_taking_apart),
		cmocka_unit_test(absolute_paths),
		cmocka_unit_test(home_is_known_without_its_variable),
		WITH_TREE(opening_stays_beneath),
		WITH_TREE(opening_stays_beneath_without_openat2),
		WITH_TREE(creating_stays_beneath),
		WITH_TREE(links_themselves_can_be_opened),
		WITH_TREE(the_root_itself),
		WITH_TREE(names_of_any_bytes),
		WITH_TREE(folders_are_made),
		WITH_TREE(parents),
		WITH_TREE(a_moved_root_is_still_the_root),
		WITH_TREE(a_folder_swapped_for_a_link_is_no_way_out),
		WITH_TREE(trees_are_removed_without_following),
		WITH_TREE(very_deep_trees_are_removed),
		WITH_TREE(big_folders_are_removed),
		WITH_TREE(files_are_replaced_whole),
		WITH_TREE(a_failed_write_leaves_the_old),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
