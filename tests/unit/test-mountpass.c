/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the kernel reads by itself: what is whole in the disk cache is passed through, one way a file,
 * and never other bytes or EIO. */
#include "tests/unit/mount.h"

#include "common/json.h"

#include <sched.h>

#define BIG 3000000

struct pass {
	struct env v; /* first: mount.h's */
	char cachedir[96];
};

static int pass_setup(void **state)
{
	struct pass *p;

	setup(state);
	p = calloc(1, sizeof *p);
	p->v = *(struct env *)*state;
	free(*state);
	snprintf(p->cachedir, sizeof p->cachedir, "%.*s/cache", (int)strlen(p->v.src) - 4,
		 p->v.src);
	*state = p;
	return 0;
}

/* The cache as another process of the node has it. */
struct other {
	struct slu_pool *pool;
	struct slu_cache *cache;
	struct slu_store *store;
	struct slu_tree *tree;
};

static void other_open(struct other *o, const struct pass *p)
{
	struct slu_cache_conf conf = {.dir = p->cachedir};
	struct slu_err e = {0};

	if (slu_pool_new(2, &o->pool, &e) ||
	    slu_local_new(p->v.src, false, o->pool, &o->store, &e) ||
	    slu_cache_open(&conf, &o->cache, &e) ||
	    slu_cache_push(&o->store, o->cache, "file://test", ""))
		_exit(10);
	o->tree = views_tree(o->store);
}

static void other_close(struct other *o)
{
	slu_tree_free(o->tree);
	slu_store_free(o->store);
	slu_cache_free(o->cache);
	slu_pool_free(o->pool);
}

/* All files whole in the cache, and checked. */
static void other_fill(struct other *o)
{
	const struct slu_manifest *m = o->tree->manifest;
	const struct slu_file *f = slu_manifest_at(m, slu_manifest_find(m, "big"));
	struct json_t *done = NULL;
	int fd;

	if (slu_cache_warm(o->tree, NULL, NULL, &done, NULL))
		_exit(11);
	slu_json_free(done);
	slu_cache_flush(o->cache);
	if (slu_cache_whole(o->store, "big", f->id, f->size, 0, &fd))
		_exit(12);
	close(fd);
}

static void other_empty(struct other *o)
{
	struct json_t *done = NULL;

	if (slu_cache_clear(o->cache, &done, NULL))
		_exit(13);
	slu_json_free(done);
}

/* A process, because the one that forks servers has no threads.  It waits for a byte of go (-1: not), then
 * does: 'f' fill, 'e' empty, each of the text. */
static pid_t other_start(const struct pass *p, const char *what, int go)
{
	struct other o = {0};
	char byte;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	other_open(&o, p);
	if (go >= 0 && read(go, &byte, 1) < 0)
		_exit(14);
	for (; *what; what++) {
		if (*what == 'f')
			other_fill(&o);
		else
			other_empty(&o);
	}
	other_close(&o);
	exit(0);
}

static void other_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void fill(const struct pass *p)
{
	other_wait(other_start(p, "f", -1));
}

static void empty(const struct pass *p)
{
	other_wait(other_start(p, "e", -1));
}

static struct how how(struct pass *p)
{
	slu_log_level(SLU_LOG_DEBUG);
	return (struct how){.cache = p->cachedir, .open_mode = "passthrough"};
}

static unsigned passed(const struct pass *p)
{
	static char text[1 << 20];
	unsigned n = 0;

	log_text(&p->v, text, sizeof text);
	for (const char *s = text; (s = strstr(s, "'big' is passed through")); s++)
		n++;
	return n;
}

/* A mount, where the kernel passes files through and we may ask for it; else the test is over. */
static void start_passing(struct pass *p)
{
	static char text[1 << 16];

	start_ok(&p->v, how(p));
	log_text(&p->v, text, sizeof text);
	if (strstr(text, "files are passed through when whole"))
		return;
	stop(&p->v);
	skip();
}

static void check_fd(int fd)
{
	static char buf[BIG];
	size_t got = 0;
	ssize_t r;

	while (got < BIG && (r = pread(fd, buf + got, BIG - got, (off_t)got)) > 0)
		got += (size_t)r;
	assert_int_equal(got, BIG);
	views_check(buf, 0, BIG);
}

/* Nobody serves, and it can be read all the same. */
static void check_without_server(struct pass *p, int fd)
{
	assert_int_equal(kill(p->v.pid, SIGSTOP), 0);
	check_fd(fd);
	char *map = mmap(NULL, BIG, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED);
	views_check(map, 0, BIG);
	munmap(map, BIG);
	assert_int_equal(kill(p->v.pid, SIGCONT), 0);
}

static void what_is_whole_is_passed_through(void **state)
{
	struct pass *p = *state;

	fill(p);
	start_passing(p);
	int a = open_at(&p->v, "big"), b = open_at(&p->v, "big");

	assert_int_equal(passed(p), 1); /* one backing file for both */
	check_without_server(p, a);
	close(a);
	check_without_server(p, b);
	close(b);
	check_content(&p->v);
	stop(&p->v);
}

/* The entry goes, what is open stays. */
static void an_eviction_does_not_take_what_is_open(void **state)
{
	struct pass *p = *state;

	fill(p);
	start_passing(p);
	int a = open_at(&p->v, "big");

	empty(p);
	int b = open_at(&p->v, "big");

	assert_true(a >= 0 && b >= 0);
	check_without_server(p, a);
	check_without_server(p, b);
	close(a);
	close(b);
	check_content(&p->v);
	stop(&p->v);
}

/* A file that became whole while it was open stays as it was opened: the other way would be EIO. */
static void one_way_until_the_last_release(void **state)
{
	struct pass *p = *state;

	start_passing(p);
	int a = open_at(&p->v, "big"), b;
	char c;

	assert_int_equal(pread(a, &c, 1, 0), 1);
	fill(p);
	b = open_at(&p->v, "big");
	assert_true(b >= 0);
	check_fd(b);
	assert_int_equal(passed(p), 0);
	close(a);
	close(b);
	/* The releases come when they come; an open after them is passed through. */
	int64_t end = slu_deadline_in(20 * SLU_SEC);

	while (!passed(p) && !slu_expired(end)) {
		b = open_at(&p->v, "big");
		assert_true(b >= 0);
		check_fd(b);
		close(b);
	}
	assert_true(passed(p) > 0);
	stop(&p->v);
}

struct storm {
	struct pass *p;
	atomic_bool *over;
	unsigned seed;
	atomic_int bad;
};

static void *opens_and_reads(void *arg)
{
	struct storm *s = arg;
	char buf[5000];

	while (!atomic_load(s->over) && !s->bad) {
		size_t off = (size_t)rand_r(&s->seed) % (BIG - sizeof buf);
		int fd = open_at(&s->p->v, "big");
		ssize_t r = fd < 0 ? -1 : pread(fd, buf, sizeof buf, (off_t)off);

		if (r != (ssize_t)sizeof buf)
			s->bad = errno ? errno : EIO;
		for (ssize_t k = 0; k < r; k++)
			if ((unsigned char)buf[k] != views_byte(off + (uint64_t)k))
				s->bad = EILSEQ;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* Opened and closed while the cache fills and empties: always the bytes, never EIO. */
static void a_storm_of_opens_over_a_changing_cache(void **state)
{
	struct pass *p = *state;
	atomic_bool over = false;
	int go[2];
	pid_t other;
	struct storm s[2];
	pthread_t t[2];

	fill(p);
	start_passing(p);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	other = other_start(p, "efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef",
			    go[0]);
	for (unsigned i = 0; i < 2; i++) {
		s[i] = (struct storm){.p = p, .over = &over, .seed = i};
		assert_int_equal(pthread_create(&t[i], NULL, opens_and_reads, &s[i]), 0);
	}
	while (!passed(p) && !s[0].bad && !s[1].bad)
		sched_yield();
	assert_int_equal(write(go[1], "g", 1), 1);
	other_wait(other);
	close(go[0]);
	close(go[1]);
	atomic_store(&over, true);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(s[i].bad, 0);
	}
	assert_true(passed(p) > 0);
	stop(&p->v);
}

/* Where the kernel does not pass files through, or was not asked, the mount is the same. */
static void without_passthrough_all_is_the_same(void **state)
{
	struct pass *p = *state;
	const char *masks[] = {"2000000000", "40000000", "2000020000", "ffffffffffffffff"};
	const char *modes[] = {"passthrough", "none", "direct", "auto"};

	fill(p);
	for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		struct how h = how(p);

		h.mask = masks[i];
		start_ok(&p->v, h);
		check_content(&p->v);
		assert_int_equal(passed(p), 0);
		stop(&p->v);
	}
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		struct how h = how(p);

		h.open_mode = i == 3 ? NULL : modes[i];
		start_ok(&p->v, h);
		check_content(&p->v);
		stop(&p->v);
	}
}

/* direct: programs may map a file shared, where the kernel can do that. */
static void direct_files_are_mapped(void **state)
{
	struct pass *p = *state;

	start_ok(&p->v, (struct how){.open_mode = "direct"});
	int fd = open_at(&p->v, "big");
	char *map = mmap(NULL, BIG, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED || errno == ENODEV);
	if (map != MAP_FAILED) {
		views_check(map, 0, BIG);
		munmap(map, BIG);
	}
	check_fd(fd);
	close(fd);
	stop(&p->v);
}

static void over_path(const struct pass *p, const char *name, char out[128])
{
	snprintf(out, 128, "%.*s/%s", (int)strlen(p->v.src) - 4, p->v.src, name);
}

static int over_teardown(void **state)
{
	char at[128];

	over_path(*state, "over", at);
	(void)umount2(at, MNT_DETACH);
	return teardown(state);
}

/* A container's own disk: one more file system on the stack. */
static void a_cache_on_an_overlay(void **state)
{
	static const char *const dirs[] = {"low", "up", "work", "over"};
	struct pass *p = *state;
	char at[4][128], options[450];

	for (int i = 0; i < 4; i++) {
		over_path(p, dirs[i], at[i]);
		assert_int_equal(mkdir(at[i], 0755), 0);
	}
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", at[0], at[1],
		 at[2]);
	if (mount("overlay", at[3], "overlay", 0, options))
		skip();
	snprintf(p->cachedir, sizeof p->cachedir, "%.80s/cache", at[3]);
	fill(p);
	start_passing(p);
	int a = open_at(&p->v, "big");

	assert_int_equal(passed(p), 1);
	check_without_server(p, a);
	close(a);
	stop(&p->v);
}

#define P(f) cmocka_unit_test_setup_teardown(f, pass_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		P(what_is_whole_is_passed_through),
		P(an_eviction_does_not_take_what_is_open),
		P(one_way_until_the_last_release),
		P(a_storm_of_opens_over_a_changing_cache),
		P(without_passthrough_all_is_the_same),
		P(direct_files_are_mapped),
		cmocka_unit_test_setup_teardown(a_cache_on_an_overlay, pass_setup, over_teardown),
	};

	if (no_fuse())
		return 0;
	alarm(120);
	return cmocka_run_group_tests_name("mountpass", tests, NULL, NULL);
}
