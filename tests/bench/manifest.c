/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest of N entries (default 1,000,000) with checksums: CPU seconds to load it, CPU seconds of the
 * mount's inode table over it, bytes of memory an entry.  "NAME VALUE" a line; best of five.
 * usage: manifest [N]
 */
#include "common/buf.h"
#include "fs/mount_tree.h"
#include "tests/bench/program.h"

#include <malloc.h>
#include <stdlib.h>

#define TRIALS 5

/* Bytes of ours that are in memory. */
static double resident(void)
{
	char text[128] = "";
	FILE *f = fopen("/proc/self/statm", "re");
	char *p;

	malloc_trim(0);
	if (!f || !fgets(text, sizeof text, f))
		exit(1);
	fclose(f);
	p = strchr(text, ' ');
	return p ? strtod(p, NULL) * 4096 : 0;
}

static void make_text(struct slu_buf *b, unsigned n)
{
	unsigned long long total = 0;

	slu_buf_str(b, "sluice-manifest 1\nsource . azureml://datastores/lake/paths/train\n");
	for (unsigned i = 0; i < n; i++) {
		unsigned size = 100000 + i % 7919, mix = i * 2654435761u;

		total += size;
		slu_buf_fmt(b,
			    "%u %llu 0x8DD%08X%04X md5:%08x%08x%08x%08x "
			    "train/class_%05u/img_%08u.jpg\n",
			    size, 1700000000000000000ull + i * 1000000ull, mix, i & 0xffff, mix,
			    mix ^ 0x5a5a5a5a, i, ~i, i / 1000, i);
	}
	slu_buf_fmt(b, "end %u %llu\n", n, total);
	if (slu_buf_err(b) < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1ul << 32);
	double load = 1e9, table = 1e9;
	double before = 0, after = 0;

	make_text(&b, n);
	for (int k = 0; k < TRIALS; k++) {
		SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
		SLU_AUTO(slu_mtree_freep) struct slu_mtree *t = NULL;
		struct slu_err e;

		before = resident();
		double began = cpu(), mid;

		if (slu_manifest_parse(b.p, b.len, "bench", &m, &e) < 0) {
			fprintf(stderr, "%s\n", e.msg);
			return 1;
		}
		mid = cpu();
		if (slu_mtree_new(m, &t, &e) < 0)
			return 1;
		load = mid - began < load ? mid - began : load;
		table = cpu() - mid < table ? cpu() - mid : table;
		after = resident();
	}
	printf("load %.6f\ntable %.6f\nbytes_per_entry %.1f\n", load, table, (after - before) / n);
	return 0;
}
