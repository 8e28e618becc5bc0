/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API, part one: basics and the workspace.  Thin: each call turns C strings
 * into the structs of the layers below and their answers into text.
 */
#include "dataset/api.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "dataset/broker_client.h"

#include <errno.h>
#include <string.h>

const char *sluice_version(void)
{
	return PACKAGE_VERSION;
}

void sluice_free(void *p)
{
	free(p);
}

int sluice_exit_code(int rc)
{
	return slu_exit_code(rc);
}

static struct {
	sluice_log_fn *fn;
	void *user;
} log_sink;

static void log_line(void *user, enum slu_log_level level, const char *module, const char *line)
{
	(void)user;
	log_sink.fn(log_sink.user, (int)level, module, line);
}

void sluice_set_log(sluice_log_fn *fn, void *user, int max_level)
{
	log_sink.fn = fn;
	log_sink.user = user;
	slu_log_set(fn ? log_line : NULL, NULL);
	if (max_level >= SLU_LOG_ERROR && max_level <= SLU_LOG_DEBUG)
		slu_log_level((enum slu_log_level)max_level);
}

int slu_api_error(struct sluice_error *out, const struct slu_err *in, int rc)
{
	if (rc >= 0 || !out)
		return rc;
	*out = (struct sluice_error){.code = -rc};
	snprintf(out->service, sizeof out->service, "%s", in->svc);
	snprintf(out->message, sizeof out->message, "%s", in->msg[0] ? in->msg : strerror(-rc));
	return rc;
}

int slu_api_json(struct json_t *j, char **ret, struct slu_err *e)
{
	char *text = j ? slu_json_text(j, SLU_JSON_PRETTY) : NULL;

	slu_json_free(j);
	if (!text)
		return slu_fail_oom(e);
	*ret = text;
	return 0;
}

int sluice_init(const char *dir, const char *name, char **ret_config_path, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er,
			     slu_workspace_init(dir ? dir : ".", name, ret_config_path, &er));
}

static int open_context(const char *path, unsigned flags, struct sluice **ret, struct slu_err *e)
{
	SLU_AUTO(slu_workspace_freep) struct slu_workspace *ws = NULL;

	if (!path && (flags & SLUICE_OF_STEP) && slu_broker_here())
		return slu_context_new(NULL, ret, e);
	int r = slu_workspace_find(path, &ws, e);

	/* A path that was named must be there; without one, "none found" may be fine: also in a step,
	 * whose broker answers for its workspace. */
	if (r < 0 && !(r == -ENOENT && !path && ((flags & SLUICE_OPTIONAL) || slu_broker_here())))
		return r;
	return slu_context_new(slu_take(ws), ret, e);
}

int sluice_open(const char *path, unsigned flags, struct sluice **ret, struct sluice_error *e)
{
	struct slu_err er = {0};

	return slu_api_error(e, &er, open_context(path, flags, ret, &er));
}

void sluice_close(struct sluice *s)
{
	slu_context_free(s);
}

static int workspace_json(struct sluice *s, struct json_t **ret, struct slu_err *e)
{
	int r = slu_context_need_workspace(s, e);

	if (r < 0)
		return r;
	const struct slu_workspace *w = slu_context_workspace(s);
	SLU_AUTO(slu_json_freep) struct json_t *j = slu_json_copy(w->config);

	if (!j || slu_json_set_str(j, "config", w->config_path) < 0 ||
	    slu_json_set_str(j, "directory", w->dir) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(j);
	return 0;
}

int sluice_workspace(struct sluice *s, char **ret_json, struct sluice_error *e)
{
	struct slu_err er = {0};
	struct json_t *j = NULL;

	if (slu_api_brokered(s))
		return slu_api_ask("workspace", NULL, ret_json, e);
	int r = workspace_json(s, &j, &er);

	return slu_api_error(e, &er, r < 0 ? r : slu_api_json(j, ret_json, &er));
}
