/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that reads, for the bench: prints one line "SECONDS CPU_SECONDS BYTES COUNT".
 *   reader seq FILE [cold]     the whole file in 1 MiB reads; cold: the page cache forgets it first
 *   reader small DIR N         open, read to the end, close, for DIR/f000000 ..
 *   reader stat FILE N         stat by name, N times
 *   reader missing DIR N       stat of a hundred names that are not there, N in all
 *   reader fstat DIR N         as small, with an fstat after each open (what Python's open does)
 *   reader walk DIR            readdir and lstat of every entry (what `ls -l` does)
 */
#include "tests/bench/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CHUNK (1u << 20)

static char buf[CHUNK] __attribute__((aligned(4096)));
static unsigned long long bytes, count;

static bool look; /* fstat what was opened */

static void read_file(int at, const char *path)
{
	struct stat st;
	int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		fail(path);
	if (look && fstat(fd, &st) < 0)
		fail(path);
	while ((n = read(fd, buf, CHUNK)) > 0)
		bytes += (unsigned long long)n;
	if (n < 0)
		fail(path);
	close(fd);
	count++;
}

static void forget(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		fail(path);
	close(fd);
}

static void small(const char *dir, long n)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		fail(dir);
	for (long i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof name, "f%06ld", i);
		read_file(at, name);
	}
	close(at);
}

static void stats(const char *path, long n)
{
	struct stat st;

	for (long i = 0; i < n; i++)
		if (stat(path, &st) < 0)
			fail(path);
	count = (unsigned long long)n;
}

static void missing(const char *dir, long n)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[100][16];
	struct stat st;

	if (at < 0)
		fail(dir);
	for (int i = 0; i < 100; i++)
		snprintf(name[i], sizeof name[i], "none%d", i);
	for (long i = 0; i < n; i++)
		if (fstatat(at, name[i % 100], &st, 0) == 0)
			fail(dir);
	count = (unsigned long long)n;
	close(at);
}

static void walk(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;

	if (!d)
		fail(dir);
	while ((e = readdir(d))) {
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			fail(e->d_name);
		count++;
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	look = strcmp(argv[1], "fstat") == 0;
	memset(buf, 1, sizeof buf); /* touch the pages before the clock runs */
	if (strcmp(argv[1], "seq") == 0 && argc > 3)
		forget(argv[2]);
	double t = now(), c = cpu();

	if (strcmp(argv[1], "seq") == 0)
		read_file(AT_FDCWD, argv[2]);
	else if (strcmp(argv[1], "stat") == 0 && argc > 3)
		stats(argv[2], strtol(argv[3], NULL, 10));
	else if (strcmp(argv[1], "missing") == 0 && argc > 3)
		missing(argv[2], strtol(argv[3], NULL, 10));
	else if ((strcmp(argv[1], "small") == 0 || look) && argc > 3)
		small(argv[2], strtol(argv[3], NULL, 10));
	else if (strcmp(argv[1], "walk") == 0)
		walk(argv[2]);
	else
		return 2;
	printf("%.6f %.6f %llu %llu\n", now() - t, cpu() - c, bytes, count);
	return 0;
}
