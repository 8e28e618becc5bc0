/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a run ended, decided once.  The file is put once and never changed; registration follows from it
 * alone, so it can be replayed by whoever finds the run Completed.
 */
#include "dataset/outcome.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/once.h"
#include "dataset/record.h"
#include "dataset/uses.h"

#include <errno.h>
#include <string.h>

static int check_run(const char *run, struct slu_err *e)
{
	if (run && slu_is_name(run))
		return 0;
	return slu_fail(e, EINVAL, "'%s' is no run id", run ? run : "");
}

static int check_outcome(const char *run, const struct json_t *o, struct slu_err *e)
{
	static const char *const ends[] = {"Completed", "Failed", "Canceled", NULL};
	const char *is = slu_json_str(o, "run"), *status = slu_json_str(o, "status");
	int i = 0;

	if (slu_json_int(o, "format", 0) != SLU_REGISTRY_FORMAT || !is || !slu_streq(is, run))
		return slu_fail(e, EINVAL, "this is no outcome of run '%s'", run);
	while (status && ends[i] && !slu_streq(status, ends[i]))
		i++;
	if (!status || !ends[i])
		return slu_fail(e, EINVAL, "'%s' is no end of run '%s'", status ? status : "", run);
	return 0;
}

/* The text of another outcome than the one put: equal in meaning counts as ours. */
static int compare(const char *run, const char *text, size_t n, const struct json_t *mine,
		   bool *ret_won, struct json_t **ret_current, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
	int r = slu_json_parse(text, n, "outcome.json", &is, e);

	if (r < 0) {
		slu_fail_more(e, "the outcome of run '%s' is damaged", run);
		return r;
	}
	*ret_won = slu_json_equal(is, mine);
	if (ret_current)
		*ret_current = slu_take(is);
	return 0;
}

int slu_outcome_put(struct sluice *s, const char *run, const struct json_t *outcome, bool *ret_won,
		    struct json_t **ret_current, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = NULL, *text = NULL, *other = NULL;
	struct slu_registry g;
	size_t n;
	int r = check_run(run, e);

	if (r == 0)
		r = check_outcome(run, outcome, e);
	if (r == 0)
		r = slu_registry_open(s, &g, e);
	if (r < 0)
		return r;
	path = slu_registry_path(&g, "runs/%s/outcome.json", run);
	text = slu_json_text(outcome, SLU_JSON_PRETTY);
	if (!path || !text)
		return slu_fail_oom(e);
	r = slu_uses_run(&g, slu_json_get(outcome, "inputs"), run, e);
	if (r < 0)
		return r;
	r = slu_once_put(g.store, path, text, strlen(text), &other, &n, e);
	if (r < 0)
		return r;
	if (r == 1)
		return compare(run, other, n, outcome, ret_won, ret_current, e);
	if (ret_current) {
		struct json_t *copy = slu_json_copy(outcome);

		if (!copy)
			return slu_fail_oom(e);
		*ret_current = copy;
	}
	*ret_won = true;
	return 0;
}

int slu_outcome_get(struct sluice *s, const char *run, struct json_t **ret, struct slu_err *e)
{
	struct slu_registry g;
	int r = check_run(run, e);

	if (r == 0)
		r = slu_registry_open(s, &g, e);
	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *path = slu_registry_path(&g, "runs/%s/outcome.json", run);
	SLU_AUTO(slu_freep) char *what = slu_asprintf("the outcome of run '%s'", run);

	if (!path || !what)
		return slu_fail_oom(e);
	r = slu_registry_json(&g, path, what, ret, e);
	if (r == -ENOENT)
		return slu_fail(e, ENOENT, "run '%s' has no outcome yet", run);
	return r;
}

/* One output of a Completed run. */
static int replay_output(struct sluice *s, const struct json_t *o, const char *output,
			 const struct json_t *out, struct json_t *done, struct slu_err *e)
{
	const struct json_t *reg = slu_json_get(out, "register");
	SLU_AUTO(slu_json_freep) struct json_t *v = slu_json_object();
	SLU_AUTO(slu_freep) char *version = NULL;
	int64_t seen = slu_json_int(out, "seen", 0);

	if (!slu_json_is_object(reg))
		return 0;
	struct slu_registration r = {
		.name = slu_json_str(reg, "name"),
		.version = slu_json_str(reg, "version"),
		.dataset_id = slu_json_str(out, "dataset"),
		.run = slu_json_str(o, "run"),
		.output = output,
		.seen = seen > 0 ? (uint64_t)seen : 0,
		.description = slu_json_str(reg, "description"),
		.tags = slu_json_get(reg, "tags"),
		.inputs = slu_json_get(o, "inputs"),
		.created = slu_json_str(o, "time"),
	};

	if (!r.name || !r.dataset_id || !r.created)
		return slu_fail(e, EBADMSG, "the outcome lacks name, dataset or time of it");
	int rc = slu_registry_register(s, &r, &version, e);

	if (rc < 0)
		return rc;
	if (!v || slu_json_set_str(v, "name", r.name) < 0 ||
	    slu_json_set_str(v, "version", version) < 0 ||
	    slu_json_set(done, output, slu_take(v)) < 0)
		return slu_fail_oom(e);
	return 0;
}

int slu_outcome_replay(struct sluice *s, const char *run, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL, *done = slu_json_object();
	int r = slu_outcome_get(s, run, &o, e);

	if (r < 0)
		return r;
	const char *status = slu_json_str(o, "status");
	const struct json_t *outputs = slu_json_get(o, "outputs");

	if (!done)
		return slu_fail_oom(e);
	if (!status || check_outcome(run, o, NULL) < 0)
		return slu_fail(e, EBADMSG, "the outcome of run '%s' is damaged", run);
	if (!slu_streq(status, "Completed"))
		outputs = NULL;
	for (void *it = slu_json_iter(outputs); it; it = slu_json_next(outputs, it)) {
		const char *output = slu_json_iter_key(it);

		r = replay_output(s, o, output, slu_json_iter_value(it), done, e);
		if (r < 0) {
			slu_fail_more(e, "output '%s' of run '%s' is not registered", output, run);
			return r;
		}
	}
	if (ret)
		*ret = slu_take(done);
	return 0;
}
