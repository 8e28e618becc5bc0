/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that uses the library as others use theirs, for tests/bench/hdfs: does the pattern once unmeasured,
 * then once more, and prints one line "SECONDS CPU BYTES COUNT P50_US P99_US PEAK-RSS-KIB".
 *
 *   client seq REF             the whole file, in reads of 1 MiB
 *   client random REF COUNT LEN
 *                              COUNT aligned reads of LEN bytes
 *   client stat REF COUNT      COUNT times the same name
 *   client list REF            a folder
 *   client write REF SIZE      a new file in place of what is there, in writes of 1 MiB
 */
#include "sluice.h"

#include "tests/bench/program.h"

#include <err.h>
#include <stdint.h>
#include <stdlib.h>

#define CHUNK (1u << 20)
#define SAMPLES (1u << 16)

static struct sluice *s;
static const char *ref;
static uint64_t amount, len, bytes, count;
static float us[SAMPLES];
static size_t samples;
static char buf[CHUNK];

static void check(int r, const struct sluice_error *e)
{
	if (r < 0)
		errx(1, "%s", e->message);
}

static void done_one(double began, uint64_t n)
{
	if (samples < SAMPLES)
		us[samples++] = (float)((now() - began) * 1e6);
	bytes += n;
	count++;
}

static struct sluice_file *open_file(uint64_t *ret_size)
{
	struct sluice_file *f;
	struct sluice_error e;

	check(sluice_file_open(s, ref, &f, ret_size, &e), &e);
	return f;
}

static size_t read_at(struct sluice_file *f, size_t n, uint64_t off)
{
	struct sluice_error e;
	double began = now();
	size_t got;

	check(sluice_file_pread(f, buf, n, off, &got, &e), &e);
	done_one(began, got);
	return got;
}

static void seq(void)
{
	uint64_t size, off = 0;
	struct sluice_file *f = open_file(&size);

	while (off < size)
		off += read_at(f, CHUNK, off);
	sluice_file_close(f);
}

static void random_reads(void)
{
	uint64_t size;
	struct sluice_file *f = open_file(&size);
	uint64_t places = size / len;

	for (uint64_t i = 0; i < amount; i++)
		if (read_at(f, len, i * 7919 % places * len) != len)
			errx(1, "a short read");
	sluice_file_close(f);
}

static int seen(void *user, const struct sluice_entry *entry)
{
	(void)user;
	(void)entry;
	count++;
	return 0;
}

static int ignored(void *user, const struct sluice_entry *entry)
{
	(void)user;
	(void)entry;
	return 0;
}

static void stats(void)
{
	struct sluice_error e;

	for (uint64_t i = 0; i < amount; i++) {
		double began = now();

		check(sluice_stat(s, ref, ignored, NULL, &e), &e);
		done_one(began, 0);
	}
}

static void list(void)
{
	struct sluice_error e;

	check(sluice_list(s, ref, 0, seen, NULL, &e), &e);
}

static void write_file(void)
{
	struct sluice_writer *w;
	struct sluice_error e;

	check(sluice_writer_open(s, ref, SLUICE_OVERWRITE | SLUICE_NO_SYNC, &w, &e), &e);
	for (uint64_t off = 0; off < amount; off += CHUNK) {
		size_t n = amount - off < CHUNK ? (size_t)(amount - off) : CHUNK;

		check(sluice_writer_write(w, buf, n, &e), &e);
		bytes += n;
	}
	check(sluice_writer_commit(w, &e), &e);
	sluice_writer_free(w);
	count = 1;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static float at(double part)
{
	return samples ? us[(size_t)((double)(samples - 1) * part)] : 0;
}

static const struct {
	const char *name;
	int args;
	void (*run)(void);
} patterns[] = {{"seq", 3, seq},
		{"random", 5, random_reads},
		{"stat", 4, stats},
		{"list", 3, list},
		{"write", 4, write_file}};

static size_t find(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (argc == patterns[i].args && strcmp(argv[1], patterns[i].name) == 0)
			return i;
	errx(1, "usage: client seq|random|stat|list|write REF [COUNT|SIZE [LEN]]");
}

int main(int argc, char **argv)
{
	size_t pattern = find(argc, argv);
	struct sluice_error e;
	double began, cpu_began, took, worked;

	ref = argv[2];
	amount = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	len = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	if (len > CHUNK || (argc > 4 && !len))
		errx(1, "reads are of 1 MiB at most");
	memset(buf, 'x', sizeof(buf));
	check(sluice_open(NULL, 0, &s, &e), &e);
	patterns[pattern].run();
	bytes = count = samples = 0;
	began = now();
	cpu_began = cpu();
	patterns[pattern].run();
	took = now() - began;
	worked = cpu() - cpu_began;
	qsort(us, samples, sizeof(us[0]), by_size);
	printf("%.6f %.6f %llu %llu %.1f %.1f %ld\n", took, worked, (unsigned long long)bytes,
	       (unsigned long long)count, (double)at(0.5), (double)at(0.99), peak());
	sluice_close(s);
	return 0;
}
