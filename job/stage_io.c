/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step's program read and wrote through its mounts, asked of these before they end, and what was
 * downloaded: "io" of the run's record.  A mount that does not answer is no reason for a step to fail.
 * What they logged is why a program failed that could not read a file which changed.
 */
#include "job/task.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/api.h"
#include "fs/manifest.h"
#include "fs/mount_told.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { SAID_MOST = 280 }; /* of how the program ended: the file that changed matters more */

static int copy_int(struct json_t *to, const char *name, const struct json_t *from, const char *key)
{
	return slu_json_get(from, key) ? slu_json_set_int(to, name, slu_json_int(from, key, 0)) : 0;
}

/* NULL: it does not answer. */
static struct json_t *mount_figures(const char *mountpoint)
{
	static const struct {
		const char *name, *key;
	} counters[] = {{"asked_bytes", "asked"},
			{"fetched_bytes", "fetched"},
			{"sent_bytes", "sent"},
			{"from_memory_bytes", "hit_memory"},
			{"from_cache_bytes", "hit_cache"},
			{"retries", "retries"},
			{"throttled", "throttled"}};
	SLU_AUTO(slu_json_freep) struct json_t *list = NULL, *o = slu_json_object();
	const struct json_t *one, *c;
	char *text = NULL;
	int r = sluice_mount_stats(mountpoint, NULL, &text, NULL);
	SLU_AUTO(slu_freep) char *own = text;

	if (r < 0 || !o || slu_json_parse(own, strlen(own), "figures", &list, NULL) < 0)
		return NULL;
	one = slu_json_at(list, 0);
	c = slu_json_get(slu_json_get(one, "stats"), "counters");
	if (!c)
		return NULL;
	for (size_t i = 0; i < sizeof counters / sizeof *counters && r == 0; i++)
		r = copy_int(o, counters[i].name, c, counters[i].key);
	if (r == 0)
		r = copy_int(o, "reads", slu_json_get(one, "reader"), "reads");
	if (r == 0)
		r = copy_int(o, "requests", slu_json_get(one, "reader"), "requests");
	return r == 0 ? slu_take(o) : NULL;
}

static struct json_t *download_figures(const struct slu_input *in)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct slu_manifest *m =
		in->dataset && in->dataset->tree ? in->dataset->tree->manifest : NULL;

	if (!o || !m ||
	    slu_json_set_int(o, "downloaded_files", (int64_t)slu_manifest_count(m)) < 0 ||
	    slu_json_set_int(o, "downloaded_bytes", (int64_t)slu_manifest_bytes(m)) < 0)
		return NULL;
	return slu_take(o);
}

static void add(struct json_t *to, const char *name, struct json_t *figures)
{
	if (figures)
		slu_json_set(to, name, figures);
}

static struct json_t *view_figures(const struct slu_view *v, const struct slu_input *in)
{
	if (v->ops->kind == SLU_VIEW_MOUNT)
		return mount_figures(v->where);
	return in && v->ops->kind == SLU_VIEW_DOWNLOAD ? download_figures(in) : NULL;
}

void slu_stage_note_io(struct slu_task *t)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *o = slu_json_object(), *ins = slu_json_object(), *outs = slu_json_object();

	if (!o || !ins || !outs)
		return;
	for (size_t i = 0; t->in && i < t->spec.nin; i++)
		if (t->in[i] && t->in[i]->view)
			add(ins, t->in[i]->name, view_figures(t->in[i]->view, t->in[i]));
	for (size_t i = 0; t->out && i < t->spec.nout; i++)
		if (t->out[i] && t->out[i]->view)
			add(outs, t->out[i]->name, view_figures(t->out[i]->view, NULL));
	if (slu_json_count(ins))
		slu_json_set(o, "inputs", slu_json_ref(ins));
	if (slu_json_count(outs))
		slu_json_set(o, "outputs", slu_json_ref(outs));
	if (slu_json_count(o))
		slu_run_set(t->run, "io", slu_take(o), false, NULL);
}

/* What the mounts told of the first file that changed; NULL: of none.  Caller frees. */
static char *first_changed(const struct slu_task *t)
{
	SLU_AUTO(slu_closep) int fd = open(t->data_log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? NULL : slu_mtold_find(fd);
}

void slu_stage_note_changed(const struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *why = first_changed(t);
	const int code = e->code;

	if (why)
		slu_fail(e, code, "%.*s; %s", SAID_MOST, e->msg, why);
}

int slu_stage_check_changed(const struct slu_task *t, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *why = first_changed(t);

	return why ? slu_fail(e, ESTALE,
			      "the program did not look whether it could read its inputs: %s", why)
		   : 0;
}
