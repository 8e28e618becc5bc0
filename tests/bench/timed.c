/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command and writes "SECONDS CPU PEAK-RSS-KIB STATUS" to descriptor 3.  A process of its own and this
 * small, because the peak of a child begins with the memory of who forked it.  usage: timed COMMAND ARG...
 */
#include "tests/bench/program.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	double began = now();
	struct rusage used;
	pid_t pid = argc > 1 ? fork() : -1;
	int status;

	if (pid == 0) {
		close(3);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
		return 1;
	dprintf(3, "%.6f %.6f %ld %d\n", now() - began, seconds_used(&used), used.ru_maxrss,
		status);
	return 0;
}
