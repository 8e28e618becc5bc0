/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that read, for the bench of mounts: JOBS processes do one pattern at once.  Prints one line
 * "SECONDS CPU BYTES COUNT P50_US P99_US"; a latency is that of one read, file or call.
 *
 *   access seq JOBS FILE...            each job reads its file (the Nth) whole in 1 MiB reads
 *   access random JOBS FILE COUNT LEN  COUNT aligned reads of LEN bytes in all, no place twice
 *   access touch JOBS FILE COUNT       COUNT pages of a shared mapping
 *   access list JOBS DIR LIST          open, fstat, read, close for each name in the file LIST; job j takes
 *                                      every JOBSth name, as samplers share an epoch
 *   access drop JOBS DIR LIST          the kernel forgets what it has of them
 *   access first JOBS FILE...          open and the first byte of each file; told as a page, the least there is
 *   access stat JOBS PATH COUNT        lstat of one path; it may be missing
 *   access walk JOBS DIR               readdir and lstat of every entry
 *   access find JOBS DIR               readdir of every folder below, by the entries' types
 */
#include "tests/bench/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CHUNK (1u << 20)
#define MAX_JOBS 256
#define SAMPLES (1u << 16) /* latencies that are kept of a job */

struct job {
	uint64_t bytes, count;
	double cpu;
	size_t samples;
	float us[SAMPLES];
};

static struct job *jobs;
static struct job *me;
static unsigned njobs, mine;
static char **arg;
static int nargs;
static volatile unsigned char sink;

static void done_one(double began, uint64_t bytes)
{
	me->count++;
	me->bytes += bytes;
	if (me->samples < SAMPLES)
		me->us[me->samples++] = (float)((now() - began) * 1e6);
}

static char *buffer(size_t n)
{
	char *p = aligned_alloc(4096, (n + 4095) & ~4095ul);

	if (!p)
		fail("memory");
	memset(p, 1, n); /* touched before the clock runs */
	return p;
}

static void do_seq(void)
{
	char *buf = buffer(CHUNK);
	int fd = open(arg[mine % (unsigned)nargs], O_RDONLY | O_CLOEXEC);
	double t = now();
	ssize_t n;

	if (fd < 0)
		fail(arg[0]);
	while ((n = read(fd, buf, CHUNK)) > 0) {
		done_one(t, (uint64_t)n);
		t = now();
	}
	if (n < 0)
		fail(arg[0]);
	close(fd);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		fail("fstat");
	return (uint64_t)st.st_size;
}

/* The Nth of COUNT places: each in a part of the file of its own, not in order. */
static uint64_t place(uint64_t n, uint64_t count, uint64_t size, uint64_t len)
{
	uint64_t part = size / count, at = n * 2654435761u % count; /* a prime: each comes once */

	return (at * part + mix(n) % (part > len ? part - len : 1)) / len * len;
}

static void do_random(void)
{
	uint64_t count = strtoull(arg[1], NULL, 10), len = strtoull(arg[2], NULL, 10);
	int fd = open(arg[0], O_RDONLY | O_CLOEXEC);
	char *buf = buffer(len);

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) != 0)
		fail(arg[0]);
	for (uint64_t i = mine, size = size_of(fd); i < count; i += njobs) {
		double t = now();

		if (pread(fd, buf, len, (off_t)place(i, count, size, len)) != (ssize_t)len)
			fail("pread");
		done_one(t, len);
	}
	close(fd);
}

static void do_touch(void)
{
	uint64_t count = strtoull(arg[1], NULL, 10), size;
	int fd = open(arg[0], O_RDONLY | O_CLOEXEC);
	unsigned char *p;

	if (fd < 0)
		fail(arg[0]);
	size = size_of(fd);
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail("mmap");
	for (uint64_t i = mine; i < count; i += njobs) {
		double t = now();

		sink = p[place(i, count, size, 4096)];
		done_one(t, 4096);
	}
	munmap(p, size);
	close(fd);
}

/* Calls fn with each file of the job. */
static void each_listed(uint64_t (*fn)(int fd, const char *name))
{
	int at = open(arg[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FILE *list = fopen(arg[1], "re");
	char name[512];

	if (at < 0 || !list)
		fail(arg[0]);
	for (unsigned i = 0; fgets(name, sizeof name, list); i++) {
		double t = now();
		uint64_t got;
		int fd;

		if (i % njobs != mine)
			continue;
		name[strcspn(name, "\n")] = '\0';
		fd = openat(at, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fail(name);
		got = fn(fd, name);
		close(fd);
		done_one(t, got);
	}
	fclose(list);
	close(at);
}

static char *chunk;

static uint64_t read_all(int fd, const char *name)
{
	uint64_t got = 0;
	ssize_t n;

	size_of(fd); /* as most languages' open() does */
	while ((n = read(fd, chunk, CHUNK)) > 0)
		got += (uint64_t)n;
	if (n < 0)
		fail(name);
	return got;
}

static void do_list(void)
{
	chunk = buffer(CHUNK);
	each_listed(read_all);
}

static uint64_t forget(int fd, const char *name)
{
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		fail(name);
	return 0;
}

static void do_drop(void)
{
	each_listed(forget);
}

static void do_first(void)
{
	for (int i = (int)mine; i < nargs; i += (int)njobs) {
		double t = now();
		int fd = open(arg[i], O_RDONLY | O_CLOEXEC);
		char c;

		if (fd < 0 || read(fd, &c, 1) != 1)
			fail(arg[i]);
		done_one(t, 4096);
		close(fd);
	}
}

static void do_stat(void)
{
	uint64_t count = strtoull(arg[1], NULL, 10);
	struct stat st;

	for (uint64_t i = 0; i < count; i++) {
		double t = now();

		if (lstat(arg[0], &st) < 0 && errno != ENOENT)
			fail(arg[0]);
		done_one(t, 0);
	}
}

static void walk(const char *dir, int stats)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;

	if (!d)
		fail(dir);
	while ((e = readdir(d))) {
		char *path;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (stats && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			fail(e->d_name);
		me->count++;
		if (stats || e->d_type != DT_DIR)
			continue;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0)
			fail("memory");
		walk(path, stats);
		free(path);
	}
	closedir(d);
}

static void do_walk(void)
{
	walk(arg[0], 1);
}

static void do_find(void)
{
	walk(arg[0], 0);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static void report(double seconds)
{
	static float all[SAMPLES * 4];
	uint64_t bytes = 0, count = 0;
	double used = 0;
	size_t n = 0;

	for (unsigned i = 0; i < njobs; i++) {
		struct job *j = &jobs[i];

		bytes += j->bytes;
		count += j->count;
		used += j->cpu;
		for (size_t k = 0; k < j->samples && n < SAMPLES * 4; k++)
			all[n++] = j->us[k];
	}
	qsort(all, n, sizeof *all, by_value);
	printf("%.6f %.6f %llu %llu %.1f %.1f\n", seconds, used, (unsigned long long)bytes,
	       (unsigned long long)count, n ? (double)all[n / 2] : 0.0,
	       n ? (double)all[n * 99 / 100] : 0.0);
}

static void run_job(void (*fn)(void), const int *gate)
{
	char c;
	double used;

	me = &jobs[mine];
	if (read(gate[0], &c, 1) < 0)
		fail("gate");
	used = cpu();
	fn();
	me->cpu = cpu() - used;
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		void (*fn)(void);
	} all[] = {{"seq", 1, do_seq},   {"random", 3, do_random}, {"touch", 2, do_touch},
		   {"list", 2, do_list}, {"first", 1, do_first},   {"stat", 2, do_stat},
		   {"drop", 2, do_drop}, {"walk", 1, do_walk},     {"find", 1, do_find}};
	int gate[2], status, bad = 0;
	double t;
	size_t k = 0;

	while (argc > 3 && k < sizeof all / sizeof *all && strcmp(all[k].name, argv[1]) != 0)
		k++;
	if (argc < 4 || k == sizeof all / sizeof *all || argc - 3 < all[k].args)
		return 2;
	njobs = (unsigned)strtoul(argv[2], NULL, 10);
	if (njobs < 1 || njobs > MAX_JOBS || pipe(gate) < 0)
		return 2;
	arg = argv + 3;
	nargs = argc - 3;
	jobs = mmap(NULL, njobs * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	if (jobs == MAP_FAILED)
		return 1;
	for (mine = 0; mine < njobs; mine++)
		if (fork() == 0) {
			close(gate[1]);
			run_job(all[k].fn, gate);
		}
	t = now();
	close(gate[1]); /* all start */
	while (wait(&status) > 0)
		bad |= status;
	if (bad)
		return 1;
	report(now() - t);
	return 0;
}
