/* SPDX-License-Identifier: Apache-2.0 */
/* One program below a guard, waited for: until its end, a wish to cancel, or its time is over. */
#include "job/environment_run.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "job/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PYTHON_SECONDS = 60 };

static int wait_ms(int64_t deadline)
{
	int64_t left = deadline ? deadline - slu_now() : 0;

	if (!deadline)
		return -1;
	return left <= 0 ? 0 : left / SLU_MS >= INT_MAX ? INT_MAX : (int)(left / SLU_MS) + 1;
}

/* 0 when it has ended. */
static int wait_end(struct slu_guard *g, const struct slu_environment_run *how)
{
	while (g->report >= 0) {
		struct pollfd f[2] = {{.fd = g->report, .events = POLLIN},
				      {.fd = how->cancel, .events = POLLIN}};
		int n = poll(f, 2, wait_ms(how->deadline));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && f[0].revents)
			slu_guard_news(g);
		if (n > 0 && f[1].revents)
			return -ECANCELED;
		if (g->report >= 0 && slu_expired(how->deadline))
			return -ETIMEDOUT;
	}
	return 0;
}

int slu_environment_run(const char *const *argv, const struct slu_environment_run *how,
			struct slu_err *e)
{
	struct slu_guard g = {.report = -1};
	const struct slu_guard_opts o = {.argv = argv,
					 .envp = how->envp,
					 .cwd = how->cwd,
					 .out = how->out,
					 .err = how->err ? how->err : how->out};
	const char *name = slu_path_base(argv[0]);
	int r = slu_guard_start(&o, &g, e);

	if (r < 0)
		return r;
	r = wait_end(&g, how);
	slu_guard_end(&g);
	if (r == -ETIMEDOUT)
		return slu_fail(e, ETIMEDOUT, "'%s' took too long", name);
	if (r == -ECANCELED)
		return slu_fail(e, ECANCELED, "canceled");
	if (r == 0 && g.error)
		return slu_fail_sys(e, g.error, "cannot run '%s'", argv[0]);
	if (r == 0 && (!g.ended || !WIFEXITED(g.status)))
		return slu_fail(e, ECHILD, "'%s' was killed", name);
	if (r == 0 && WEXITSTATUS(g.status))
		return slu_fail(e, ECHILD, "'%s' ended with exit status %d", name,
				WEXITSTATUS(g.status));
	return r < 0 ? slu_fail_sys(e, -r, "cannot wait for '%s'", name) : 0;
}

bool slu_environment_answers(const char *const *argv, char *const *envp, unsigned seconds)
{
	SLU_AUTO(slu_closep) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct slu_environment_run how = {.envp = envp,
						.cwd = "/",
						.out = null,
						.cancel = -1,
						.deadline = slu_deadline_in(seconds * SLU_SEC)};

	return null >= 0 && slu_environment_run(argv, &how, NULL) == 0;
}

/* Version managers put programs on PATH that only say that there is no such version. */
static bool runs(const char *python, char *const *envp)
{
	const char *argv[] = {python, "-I", "-S", "-c", "", NULL};

	return slu_environment_answers(argv, envp, PYTHON_SECONDS);
}

/* envp: it has to run as well. */
static char *find(const char *path, const char *name, char *const *envp)
{
	while (path && *path) {
		size_t n = strcspn(path, ":");
		SLU_AUTO(slu_freep) char *full = slu_asprintf("%.*s/%s", (int)n, path, name);

		if (full && full[0] == '/' && access(full, X_OK) == 0 &&
		    (!envp || runs(full, envp)))
			return slu_take(full);
		path += n + (path[n] == ':');
	}
	return NULL;
}

char *slu_environment_program(const char *path, const char *name)
{
	return find(path, name, NULL);
}

char *slu_environment_python(const char *path, const char *name, char *const *envp)
{
	if (!strchr(name, '/'))
		return find(path, name, envp);
	return access(name, X_OK) == 0 && runs(name, envp) ? slu_strdup(name) : NULL;
}
