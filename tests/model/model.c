/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model test of a mount: processes and threads do random operations on files whose every byte is known, and
 * compare.  Who runs it (tests/scenario/model.py) changes and removes objects behind the mount's back, breaks the
 * network, kills its worker.
 *
 *   model make SEED VERSION FOLDER TABLE ID...     writes the content of files into FOLDER/ID
 *   model run SEED PROCESSES THREADS SECONDS OPS MOUNT TABLE STATE
 *
 * TABLE has a line "ID SIZE PATH" for each file, STATE a byte for each and one more, mapped while it runs: 1, the object
 * was changed or removed; the last byte 1, errors are in order now.  The mount was made when all were of version 1.
 *
 * The oracle: bytes are those of version 1, or the call fails: with ESTALE where the object was changed, with EIO,
 * ETIMEDOUT or EAGAIN where errors are in order.  A file ends nowhere but at its size.  Names, sizes, times and inode
 * numbers never change.  The first thing that is otherwise is printed with the seed, and the status is 1; else
 * "OPS BYTES STALE FAILED".  The same seed gives the same operations to each thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONGEST (1u << 20)
#define MAX_FILES 4096
#define LEAST 4 /* operations of a thread, also when the time was over before it came to run */

struct file {
	unsigned id;
	uint64_t size;
	char *path;
	atomic_ullong ino, mtime; /* as first seen */
};

struct totals {
	atomic_ullong ops, bytes, stale, failed;
	atomic_bool wrong;
};

struct worker {
	uint64_t random;
	unsigned process, thread;
	uint64_t op;
	unsigned char *buf;
};

static struct file *files;
static unsigned nfiles;
static uint64_t seed, max_ops;
static const char *top;
static const volatile unsigned char *state;
static struct totals *totals;
static double ends;
static __thread sigjmp_buf on_bus;
static __thread volatile sig_atomic_t guarded;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint64_t word(unsigned id, unsigned version, uint64_t nr)
{
	return mix(mix(seed ^ (uint64_t)id << 32 ^ version) ^ nr);
}

static uint64_t draw(struct worker *w, uint64_t below)
{
	w->random += 0x9e3779b97f4a7c15ull;
	return below ? mix(w->random) % below : 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((format(printf, 3, 4))) static void wrong(const struct worker *w,
							const struct file *f, const char *format,
							...)
{
	char text[400];
	va_list va;

	va_start(va, format);
	vsnprintf(text, sizeof text, format, va);
	va_end(va);
	if (!atomic_exchange(&totals->wrong, true))
		printf("WRONG seed %llu process %u thread %u operation %llu: '%s': %s\n",
		       (unsigned long long)seed, w->process, w->thread, (unsigned long long)w->op,
		       f ? f->path : "", text);
	fflush(stdout);
}

/* Is it an error that may be?  Counts it. */
static bool excused(const struct worker *w, const struct file *f, const char *what)
{
	int code = errno;

	if (code == ESTALE && state[f->id]) {
		totals->stale++;
		return true;
	}
	if (state[nfiles] && (code == EIO || code == ETIMEDOUT || code == EAGAIN)) {
		totals->failed++;
		return true;
	}
	wrong(w, f, "%s: %s, although the object is %s and errors are %s order", what,
	      strerror(code), state[f->id] ? "changed" : "unchanged",
	      state[nfiles] ? "in" : "not in");
	return false;
}

static bool same(struct worker *w, const struct file *f, const unsigned char *p, uint64_t off,
		 size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t at = off + i, want = word(f->id, 1, at / 8);
		size_t in = at % 8, k = 8 - in < n - i ? 8 - in : n - i;

		if (memcmp(p + i, (unsigned char *)&want + in, k) != 0) {
			uint64_t next = word(f->id, 2, at / 8);
			bool newer = memcmp(p + i, (unsigned char *)&next + in, k) == 0;

			wrong(w, f,
			      "byte %llu of a read of %zu at %llu is not that of the version%s",
			      (unsigned long long)at, n, (unsigned long long)off,
			      newer ? ", it is the new one's" : "");
			return false;
		}
		i += k;
	}
	totals->bytes += n;
	return true;
}

/* Reads until the range or the file ends, as programs do; an error after some bytes ends it. */
static void check_read(struct worker *w, const struct file *f, int fd, uint64_t off, size_t n)
{
	uint64_t left = off < f->size ? f->size - off : 0;
	size_t want = n < left ? n : (size_t)left, got = 0;
	ssize_t r = 1;

	while (got < n && (r = pread(fd, w->buf + got, n - got, (off_t)(off + got))) > 0)
		got += (size_t)r;
	if (r < 0)
		excused(w, f, "read");
	else if (got != want)
		wrong(w, f, "a read of %zu at %llu gives %zu, not %zu", n, (unsigned long long)off,
		      got, want);
	if (got > want)
		return;
	same(w, f, w->buf, off, got);
}

static uint64_t some_offset(struct worker *w, const struct file *f)
{
	switch (draw(w, 8)) {
	case 0:
		return f->size > 64 ? f->size - draw(w, 64) : 0; /* around the end */
	case 1:
		return f->size + draw(w, 10000);
	case 2:
		return draw(w, f->size / 65536 + 1) * 65536;
	default:
		return draw(w, f->size + 1);
	}
}

static size_t some_length(struct worker *w)
{
	return 1 + draw(w, 1ull << draw(w, 21)) % LONGEST;
}

static int open_it(struct worker *w, const struct file *f, int flags)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof path, "%s/%s", top, f->path);
	fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0)
		excused(w, f, "open");
	return fd;
}

static void op_random(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);

	for (unsigned i = 0, n = 1 + (unsigned)draw(w, 16); fd >= 0 && i < n; i++) {
		uint64_t off = some_offset(w, f);

		check_read(w, f, fd, off, some_length(w));
	}
	if (fd >= 0)
		close(fd);
}

static void op_sequential(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);
	size_t step = some_length(w);

	if (fd < 0)
		return;
	if (step < 4096)
		step += 4096;
	for (uint64_t off = draw(w, 4) ? 0 : draw(w, f->size + 1); off < f->size && !totals->wrong;
	     off += step)
		check_read(w, f, fd, off, step);
	close(fd);
}

static void op_backward(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);
	uint64_t off = f->size, step = 1 + draw(w, 200000);

	for (unsigned i = 0; fd >= 0 && i < 20 && off > 0; i++) {
		size_t n = off < step ? (size_t)off : (size_t)step;

		off -= n;
		check_read(w, f, fd, off, n < LONGEST ? n : LONGEST);
	}
	if (fd >= 0)
		close(fd);
}

static void op_direct(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, O_DIRECT);

	if (fd < 0)
		return;
	check_read(w, f, fd, draw(w, f->size / 4096 + 1) * 4096, (1 + draw(w, 64)) * 4096);
	close(fd);
}

/* What the kernel moves by itself, from fd to the descriptor `to`. */
static void check_sent(struct worker *w, const struct file *f, int fd, int to)
{
	uint64_t off = some_offset(w, f), left = off < f->size ? f->size - off : 0;
	size_t n = some_length(w), got = 0;
	off_t at = (off_t)off;
	ssize_t r = 1;

	while (got < n && (r = sendfile(to, fd, &at, n - got)) > 0)
		got += (size_t)r;
	if (r < 0)
		excused(w, f, "sendfile");
	else if (got != (n < left ? n : left))
		wrong(w, f, "%zu of %zu bytes sent from %llu", got, n, (unsigned long long)off);
	else if (got && pread(to, w->buf, got, 0) == (ssize_t)got)
		same(w, f, w->buf, off, got);
}

static void op_sent(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0), to;

	if (fd < 0)
		return;
	to = memfd_create("sent", MFD_CLOEXEC);
	if (to >= 0) {
		check_sent(w, f, fd, to);
		close(to);
	}
	close(fd);
}

static void op_mapped(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);
	unsigned char *p = MAP_FAILED;

	if (fd >= 0 && f->size)
		p = mmap(NULL, f->size, PROT_READ, draw(w, 2) ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd); /* the mapping stays */
	if (p == MAP_FAILED)
		return;
	for (unsigned i = 0; i < 12; i++) {
		uint64_t off = draw(w, f->size);
		size_t n = 1 + draw(w, 9000);

		if (n > f->size - off)
			n = f->size - off;
		if (sigsetjmp(on_bus, 1) == 0) {
			guarded = 1;
			memcpy(w->buf, p + off, n);
			guarded = 0;
			same(w, f, w->buf, off, n);
		} else {
			errno = state[f->id] ? ESTALE : EIO; /* a fault says nothing more */
			excused(w, f, "mapped page");
		}
	}
	munmap(p, f->size);
}

static void op_stat(struct worker *w, struct file *f)
{
	unsigned long long none = 0, mtime;
	char path[4200];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", top, f->path);
	if (stat(path, &st) < 0) {
		excused(w, f, "stat");
		return;
	}
	mtime = (unsigned long long)st.st_mtim.tv_sec * 1000000000u +
		(unsigned long long)st.st_mtim.tv_nsec;
	if (!atomic_compare_exchange_strong(&f->ino, &none, st.st_ino) && none != st.st_ino)
		wrong(w, f, "inode number %llu, was %llu", (unsigned long long)st.st_ino, none);
	none = 0;
	if (!atomic_compare_exchange_strong(&f->mtime, &none, mtime) && none != mtime)
		wrong(w, f, "mtime %llu, was %llu", mtime, none);
	if ((uint64_t)st.st_size != f->size)
		wrong(w, f, "size %llu", (unsigned long long)st.st_size);
}

static void op_missing(struct worker *w, struct file *f)
{
	char path[4300];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s.%llu", top, f->path, (unsigned long long)draw(w, 50));
	if (stat(path, &st) == 0 || errno != ENOENT) {
		if (errno != ENOENT && state[nfiles])
			return;
		wrong(w, f, "a name that is not there: %s", strerror(errno));
	}
}

static size_t folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static void op_names(struct worker *w, struct file *f)
{
	size_t n = folder_of(f->path), expected = 0, seen = 0;
	char path[4200];
	struct dirent *e;
	DIR *d;

	for (unsigned i = 0; i < nfiles; i++)
		expected += folder_of(files[i].path) == n && !strncmp(files[i].path, f->path, n);
	snprintf(path, sizeof path, "%s/%.*s", top, (int)n, f->path);
	d = opendir(path);
	if (!d) {
		excused(w, f, "opendir");
		return;
	}
	errno = 0;
	while ((e = readdir(d))) {
		seen += e->d_type == DT_REG;
		if (draw(w, 500) == 0) {
			rewinddir(d);
			seen = 0;
		}
	}
	if (errno)
		excused(w, f, "readdir");
	else if (seen != expected)
		wrong(w, f, "its folder shows %zu files, not %zu", seen, expected);
	closedir(d);
}

static void op_forget(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (draw(w, 2))
		check_read(w, f, fd, some_offset(w, f), some_length(w));
	close(fd);
}

static void op_ahead(struct worker *w, struct file *f)
{
	int fd = open_it(w, f, 0);
	uint64_t off = draw(w, f->size + 1);

	if (fd < 0)
		return;
	posix_fadvise(fd, (off_t)off, 1 << 20, POSIX_FADV_WILLNEED);
	if (draw(w, 2))
		check_read(w, f, fd, off, some_length(w));
	close(fd);
}

static void on_sigbus(int sig)
{
	if (!guarded)
		abort();
	guarded = 0;
	siglongjmp(on_bus, sig);
}

static void *work(void *arg)
{
	static void (*const ops[])(struct worker * w, struct file * f) = {
		op_random, op_random,  op_sequential, op_backward, op_direct, op_mapped, op_stat,
		op_stat,   op_missing, op_names,      op_forget,   op_ahead,  op_sent};
	struct worker *w = arg;

	for (w->op = 0;
	     !totals->wrong && (!max_ops || w->op < max_ops) && (w->op < LEAST || now() < ends);
	     w->op++) {
		struct file *f = &files[draw(w, nfiles)];

		ops[draw(w, sizeof ops / sizeof *ops)](w, f);
		totals->ops++;
	}
	return NULL;
}

static void read_table(const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL, *at;
	size_t room = 0;
	ssize_t n;

	files = mmap(NULL, MAX_FILES * sizeof *files, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!f || files == MAP_FAILED) {
		perror(path);
		exit(2);
	}
	while ((n = getline(&line, &room, f)) > 0 && nfiles < MAX_FILES) {
		struct file *x = &files[nfiles++];

		line[strcspn(line, "\n")] = '\0';
		x->id = (unsigned)strtoul(line, &at, 10);
		x->size = strtoull(at, &at, 10);
		x->path = strdup(at + 1);
	}
	free(line);
	fclose(f);
}

static int make(char **id, unsigned version, const char *folder)
{
	for (; *id; id++) {
		unsigned nr = (unsigned)strtoul(*id, NULL, 10);
		char path[4200];
		FILE *f;

		snprintf(path, sizeof path, "%s/%u", folder, nr);
		f = fopen(path, "we");
		if (!f || nr >= nfiles)
			return 2;
		for (uint64_t at = 0; at < files[nr].size; at += 8) {
			uint64_t v = word(nr, version, at / 8);
			size_t n = files[nr].size - at < 8 ? (size_t)(files[nr].size - at) : 8;

			if (fwrite(&v, 1, n, f) != n)
				return 2;
		}
		if (fclose(f) != 0)
			return 2;
	}
	return 0;
}

static int threads_of(unsigned process, unsigned n)
{
	struct worker *w = calloc(n, sizeof *w);
	pthread_t *t = calloc(n, sizeof *t);

	if (!w || !t)
		return 2;
	for (unsigned i = 0; i < n; i++) {
		w[i] = (struct worker){.random = mix(seed ^ (process * 1000 + i)),
				       .process = process,
				       .thread = i};
		w[i].buf = aligned_alloc(4096, LONGEST);
		if (!w[i].buf || pthread_create(&t[i], NULL, work, &w[i]) != 0)
			return 2;
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < n; i++)
		free(w[i].buf);
	free(w);
	free(t);
	return totals->wrong;
}

static int run(unsigned processes, unsigned threads, const char *state_path)
{
	int fd = open(state_path, O_RDONLY | O_CLOEXEC), status, bad = 0;
	struct sigaction sa = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &sa, NULL);
	totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	state = mmap(NULL, nfiles + 1, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || totals == MAP_FAILED || state == MAP_FAILED)
		return 2;
	for (unsigned i = 0; i < processes; i++)
		if (fork() == 0)
			_exit(threads_of(i, threads));
	while (wait(&status) > 0)
		bad |= status;
	printf("%llu %llu %llu %llu\n", (unsigned long long)totals->ops,
	       (unsigned long long)totals->bytes, (unsigned long long)totals->stale,
	       (unsigned long long)totals->failed);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc < 6)
		return 2;
	seed = strtoull(argv[2], NULL, 10);
	if (!strcmp(argv[1], "make")) {
		read_table(argv[5]);
		return make(argv + 6, (unsigned)strtoul(argv[3], NULL, 10), argv[4]);
	}
	if (argc != 10)
		return 2;
	ends = now() + strtod(argv[5], NULL);
	max_ops = strtoull(argv[6], NULL, 10);
	top = argv[7];
	read_table(argv[8]);
	return run((unsigned)strtoul(argv[3], NULL, 10), (unsigned)strtoul(argv[4], NULL, 10),
		   argv[9]);
}
