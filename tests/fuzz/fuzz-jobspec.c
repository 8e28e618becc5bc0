/* SPDX-License-Identifier: Apache-2.0 */
/* A job file, whatever is in it, is read or refused in one line that says where; what is read is kept in a
 * record and read from there as it was. */
#include "common/mem.h"
#include "common/str.h"
#include "job/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "'FILE:LINE:COLUMN': text" */
static void check_message(const struct slu_err *e)
{
	const char *p = strstr(e->msg, "': ");
	int colons = 0;

	if (!e->code || !e->msg[0] || strpbrk(e->msg, "\r\n"))
		abort();
	if (e->code == ENOMEM)
		return;
	if (e->msg[0] != '\'' || !p)
		abort();
	for (; p > e->msg && colons < 2; p--) {
		if (p[-1] == ':')
			colons++;
		else if (p[-1] < '0' || p[-1] > '9')
			abort();
	}
	if (colons < 2)
		abort();
}

static void check_step(const struct slu_spec_step *s)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_spec_step_json(s), *again = NULL;
	struct slu_spec_step copy;
	struct slu_err e = {0};

	if (!o || slu_spec_step_from_json(o, &copy, &e) < 0)
		abort();
	again = slu_spec_step_json(&copy);
	if (!slu_json_equal(o, again))
		abort();
	slu_spec_step_done(&copy);
}

static char folder[128], job_path[160];

static void clear_away(void)
{
	unlink(job_path);
	rmdir(folder);
}

/* A folder of its own, in which ./job.yml is the file itself. */
static void make_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof folder, "%s/fuzz-job-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		abort();
	snprintf(job_path, sizeof job_path, "%s/job.yml", folder);
	atexit(clear_away);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_job_freep) struct slu_job *j = NULL;
	struct slu_err e = {0};

	if (!folder[0])
		make_folder();
	int fd = open(job_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (slu_job_read(job_path, NULL, &j, &e) < 0)
		check_message(&e);
	for (size_t i = 0; j && i < j->nsteps; i++)
		check_step(&j->steps[i]);
	return 0;
}
