/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands as local processes: `/bin/sh -c COMMAND` in the code folder.  `python` means the compute's
 * Python, also on machines that only have a python3.
 */
#include "job/task.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* folder:PATH */
static int prepend_path(struct slu_task *t, const char *folder, struct slu_err *e)
{
	const char *old = slu_env_get(t->env, "PATH");
	SLU_AUTO(slu_freep)
	char *path = old && *old ? slu_asprintf("%s:%s", folder, old)
				 : slu_asprintf("%s:/usr/bin:/bin", folder);

	return path && slu_env_set(t->env, "PATH", path) == 0 ? 0 : slu_fail_oom(e);
}

/* text as one word of a shell script. */
static char *quoted(const char *text)
{
	size_t n = strlen(text);
	SLU_AUTO(slu_freep) char *out = slu_malloc(4 * n + 3);
	char *p = out;

	if (!out)
		return NULL;
	*p++ = '\'';
	for (; *text; text++) {
		if (*text == '\'') {
			memcpy(p, "'\\''", 4);
			p += 4;
		} else {
			*p++ = *text;
		}
	}
	*p++ = '\'';
	*p = '\0';
	return slu_take(out);
}

/* A `python` that runs the given program: a script, since a link would hide a virtual environment. */
static int make_python(struct slu_task *t, const char *program, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *word = quoted(program), *text = NULL, *folder = NULL;
	SLU_AUTO(slu_closep) int dir = -1;
	int r = slu_path_mkdirs(t->run->fd, "bin", 0700);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make '%s/bin'", t->run->dir);
	dir = openat(t->run->fd, "bin", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	text = word ? slu_asprintf("#!/bin/sh\nexec %s \"$@\"\n", word) : NULL;
	folder = slu_asprintf("%s/bin", t->run->dir);
	if (dir < 0 || !text || !folder)
		return slu_fail_oom(e);
	r = slu_path_write_atomic(dir, "python", text, strlen(text));
	if (r == 0 && fchmodat(dir, "python", 0700, 0) < 0)
		r = -errno;
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/python'", folder)
		     : prepend_path(t, folder, e);
}

static int find_python(struct slu_task *t, struct slu_err *e)
{
	const char *python = t->compute.python;
	SLU_AUTO(slu_freep) char *found = NULL, *folder = NULL, *sibling = NULL;

	if (!python) {
		SLU_AUTO(slu_freep) char *have = slu_compute_program(t, "python");

		found = have ? NULL : slu_compute_program(t, "python3");
		return found ? make_python(t, found, e) : 0;
	}
	found = slu_compute_program(t, python);
	if (!found)
		return slu_fail(
			e, ENOENT,
			"compute '%s' has no Python at '%s'; correct \"python\" in config.json",
			t->compute.name, python);
	folder = slu_strndup(found, (size_t)(strrchr(found, '/') - found));
	sibling = folder ? slu_asprintf("%s/python", folder) : NULL;
	if (!sibling)
		return slu_fail_oom(e);
	SLU_AUTO(slu_freep) char *there = slu_compute_program(t, sibling);
	int r = prepend_path(t, folder, e);
	return r < 0 || there ? r : make_python(t, found, e);
}

int slu_compute_local(struct slu_task *t, struct slu_err *e)
{
	const struct slu_subst vars = slu_task_subst(t);
	SLU_AUTO(slu_freep) char *command = NULL;
	int r = find_python(t, e);

	if (r == 0)
		r = slu_subst(t->spec.command, SLU_SUBST_SHELL, &vars, &command, e);
	if (r < 0)
		return r;
	t->argv = slu_calloc(4, sizeof(*t->argv));
	/* Azure ML runs commands by bash: people's files use what it has. */
	const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";

	if (!t->argv || !(t->argv[0] = slu_strdup(shell)) || !(t->argv[1] = slu_strdup("-c")))
		return slu_fail_oom(e);
	t->argv[2] = slu_take(command);
	return t->image ? slu_container_wrap(t, e) : 0;
}
