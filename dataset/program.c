/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sluice program, for the processes that mounts and runs are: $SLUICE_PROGRAM, this very program
 * when it is sluice, the installed one, the one on PATH.  A library inside another program (Python, a
 * test) is in a process that is no sluice.
 */
#include "dataset/context.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static bool runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *this_program(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return NULL;
	exe[n] = '\0';
	/* libtool runs uninstalled programs under the second name */
	if (!slu_streq(slu_path_base(exe), "sluice") && !slu_streq(slu_path_base(exe), "lt-sluice"))
		return NULL;
	return slu_strdup(exe);
}

static char *on_path(void)
{
	const char *s = getenv("PATH");

	while (s && *s) {
		size_t n = strcspn(s, ":");
		SLU_AUTO(slu_freep) char *path = slu_asprintf("%.*s/sluice", (int)n, s);

		/* Relative folders are left out: what they hold depends on where we are. */
		if (path && *path == '/' && runnable(path))
			return slu_take(path);
		s += n + (s[n] == ':');
	}
	return NULL;
}

int slu_context_program(char **ret, struct slu_err *e)
{
	const char *set = getenv("SLUICE_PROGRAM");
	char *found = NULL;

	if (set && *set) {
		if (!runnable(set))
			return slu_fail(e, ENOENT, "SLUICE_PROGRAM names '%s', which cannot be run",
					set);
		return slu_path_absolute(set, ret, e);
	}
	found = this_program();
#ifdef SLU_BINDIR
	if (!found && runnable(SLU_BINDIR "/sluice"))
		found = slu_strdup(SLU_BINDIR "/sluice");
#endif
	if (!found)
		found = on_path();
	if (!found)
		return slu_fail(
			e, ENOENT,
			"the program 'sluice' is not on PATH; install it, or set SLUICE_PROGRAM "
			"to its path");
	*ret = found;
	return 0;
}
