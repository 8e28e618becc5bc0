/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the bench share: clocks, in seconds, and how they fail. */
#ifndef SLU_BENCH_PROGRAM_H
#define SLU_BENCH_PROGRAM_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static inline double clock_now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

/* Of the processor, in user and kernel. */
static inline double seconds_used(const struct rusage *r)
{
	return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
	       (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

static inline double cpu(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return seconds_used(&r);
}

/* Of the memory of this program, in KiB: that of getrusage() begins with who forked it. */
static inline long peak(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

_Noreturn static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	_exit(1);
}

#endif
