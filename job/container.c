/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in a container: the client of docker or podman is the step's program.  The run's folder is there under the
 * same path, with its mounts, so values of inputs and outputs hold; so does the network, and who we are.  Values of
 * variables are in nobody's arguments: only names are.
 */
#include "job/task.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"
#include "job/environment_run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { REMOVE_SECONDS = 40 };

extern char **environ;

struct words {
	SLU_VEC(char *) v;
};

/* text: taken. */
static int push(struct words *w, char *text)
{
	if (text && slu_vec_push(&w->v, text))
		return 0;
	free(text);
	return -ENOMEM;
}

/* Is the variable the run's, by chance with the value that it has here, too? */
static bool is_set(const struct slu_task *t, const char *name)
{
	return slu_json_get(t->spec.env, name) || slu_starts(name, "AZUREML_") ||
	       slu_streq(name, "PYTHONUNBUFFERED");
}

/* Those that the run has set, whatever this process has, and those that this process has not, or otherwise; an image has
 * its own PATH. */
static int push_variables(struct words *w, const struct slu_task *t)
{
	/* They are set when the program starts. */
	static const char *const broker[] = {"AZUREML_SERVICE_ENDPOINT", "AZUREML_RUN_TOKEN",
					     "AZUREML_RUN_TOKEN_EXPIRY"};
	int r = 0;

	for (size_t i = 0; i < sizeof broker / sizeof *broker; i++)
		r |= push(w, slu_strdup("--env")) | push(w, slu_strdup(broker[i]));
	for (char *const *p = slu_env_list(t->env); *p && r == 0; p++) {
		size_t n = strcspn(*p, "=");
		SLU_AUTO(slu_freep) char *name = slu_strndup(*p, n);
		const char *here = name ? getenv(name) : NULL;

		if (!name)
			return -ENOMEM;
		if (slu_streq(name, "PATH") ||
		    (here && slu_streq(here, *p + n + 1) && !is_set(t, name)))
			continue;
		r = push(w, slu_strdup("--env")) | push(w, slu_take(name));
	}
	return r;
}

static char *container_name(const struct slu_task *t)
{
	return slu_asprintf("sluice-%s", t->run->id);
}

static int make(struct words *w, struct slu_task *t)
{
	static const char *const fixed[] = {"run", "--rm", "--init", "--network", "host"};
	int r = push(w, slu_strdup(t->image_tool));

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		r |= push(w, slu_strdup(fixed[i]));
	r |= push(w, slu_strdup("--name")) | push(w, container_name(t));
	r |= push(w, slu_strdup("--user")) |
	     push(w, slu_asprintf("%u:%u", (unsigned)geteuid(), (unsigned)getegid()));
	r |= push(w, slu_strdup("--volume")) |
	     push(w, slu_asprintf("%s:%s", t->run->dir, t->run->dir));
	r |= push(w, slu_strdup("--workdir")) | push(w, slu_strdup(t->cwd));
	r |= push_variables(w, t);
	r |= push(w, slu_strdup(t->image));
	/* Whatever shell the image has. */
	r |= push(w, slu_strdup("/bin/sh")) | push(w, slu_strdup("-c")) |
	     push(w, slu_strdup(t->argv[2]));
	return r | (slu_vec_push(&w->v, NULL) ? 0 : -ENOMEM);
}

int slu_container_wrap(struct slu_task *t, struct slu_err *e)
{
	struct words w = {0};

	if (make(&w, t) < 0) {
		for (size_t i = 0; i < w.v.n; i++)
			free(w.v.p[i]);
		free(w.v.p);
		return slu_fail_oom(e);
	}
	slu_words_free(t->argv);
	t->argv = w.v.p;
	return 0;
}

void slu_container_forget(const struct slu_run *r)
{
	const char *tool = slu_json_str(slu_json_get(r->doc, "environment"), "tool");
	SLU_AUTO(slu_freep) char *name = slu_asprintf("sluice-%s", r->id);
	const char *argv[] = {tool, "rm", "--force", name, NULL};

	if (tool && name && access(tool, X_OK) == 0)
		slu_environment_answers(argv, environ, REMOVE_SECONDS);
}

void slu_container_remove(struct slu_task *t)
{
	SLU_AUTO(slu_freep) char *name = t->image ? container_name(t) : NULL;
	const char *argv[] = {t->image_tool, "rm", "--force", name, NULL};

	if (name && t->env)
		slu_environment_answers(argv, slu_env_list(t->env), REMOVE_SECONDS);
}
