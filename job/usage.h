/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step's processes used.  The kernel adds up processor time and disk traffic of a whole tree while
 * its processes are reaped (the guard does that); memory of all of them at one time, and what they
 * read and wrote by system calls, are measured now and then while they run.
 */
#ifndef SLU_JOB_USAGE_H
#define SLU_JOB_USAGE_H

#include "common/json.h"

#include <stdint.h>
#include <sys/types.h>

struct slu_usage {
	int64_t user_us, system_us;       /* processor time */
	uint64_t largest;                 /* bytes of memory of the largest process */
	uint64_t disk_read, disk_written; /* bytes that passed between memory and disks */
	/* By measurements; 0: none was made. */
	uint64_t memory; /* most bytes of all processes at one time */
	uint64_t read,
		written; /* bytes by read(2), write(2) and their like, of files, pipes, sockets */
	int64_t wall;    /* ns */
};

/* Measures the tree below pid, without pid itself, and keeps the most that was seen. */
void slu_usage_sample(struct slu_usage *u, pid_t pid);
/* Of another attempt: sums, and the larger memory. */
void slu_usage_add(struct slu_usage *to, const struct slu_usage *u);
/* {"wall_seconds", "user_seconds", "system_seconds", "peak_memory_bytes", "read_bytes",
 * "written_bytes", "disk_read_bytes", "disk_written_bytes"}; NULL: no memory. */
struct json_t *slu_usage_json(const struct slu_usage *u);

#endif
