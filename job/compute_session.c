/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Spark step for a session of Livy's: what the session is like, and what the step sends to it.  Steps whose sessions
 * would be alike have the same key: same compute, sizes, settings, environment and bytes of the files beside the entry.
 */
#include "job/compute_session.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"
#include "job/session.h"
#include "job/task.h"

#include <errno.h>
#include <string.h>

enum { ENTRY_MAX = 4 << 20, FILE_MAX = 256 << 20, KEY_BYTES = 16 };

bool slu_compute_in_session(const struct slu_compute *c)
{
	const char *mode = slu_json_str(c->livy, "mode");

	return mode && slu_streq(mode, "session");
}

int slu_compute_session_check(const char *name, const struct json_t *entry, struct slu_err *e)
{
	static const char *const own[] = {"session_timeout", "on_demand"};
	const char *mode = slu_json_str(entry, "mode");
	const struct json_t *minutes = slu_json_get(entry, "session_timeout");
	bool session = mode && slu_streq(mode, "session");

	if (slu_json_get(entry, "mode") && !session && (!mode || !slu_streq(mode, "batch")))
		return slu_fail(e, EINVAL, "compute '%s': \"mode\" is batch or session", name);
	for (size_t i = 0; i < 2; i++)
		if (slu_json_get(entry, own[i]) && !session)
			return slu_fail(e, EINVAL,
					"compute '%s': \"%s\" is of sessions only: say \"mode\": "
					"\"session\" too",
					name, own[i]);
	if (minutes && (!slu_json_is_int(minutes) || slu_json_integer(minutes) < 1 ||
			slu_json_integer(minutes) > SLU_SESSION_MOST_MINUTES))
		return slu_fail(e, EINVAL, "compute '%s': \"session_timeout\" is minutes, 1 to %d",
				name, SLU_SESSION_MOST_MINUTES);
	if (slu_json_get(entry, "on_demand") && !slu_json_is_bool(slu_json_get(entry, "on_demand")))
		return slu_fail(e, EINVAL, "compute '%s': \"on_demand\" is true or false", name);
	return 0;
}

int slu_compute_session_step(const struct slu_compute *c, const struct slu_spec_step *st,
			     struct slu_err *e)
{
	if (!slu_compute_in_session(c) ||
	    (!st->spark.class_name && st->spark.entry && slu_ends(st->spark.entry, ".py")))
		return 0;
	return slu_fail(e, EINVAL,
			"step '%s' is no Python file, and compute '%s' runs Python in sessions: "
			"use a compute with \"mode\": \"batch\"",
			st->name, c->name);
}

/* --- the key --- */

static int add_file(struct slu_hasher *h, const struct slu_task *t, const char *name,
		    struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(FILE_MAX);
	SLU_AUTO(slu_freep)
	char *path = slu_asprintf("%s/%.*s", t->cwd, (int)strcspn(name, "#"), name);
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_hasher_add(h, name, strlen(name) + 1);

	if (!path)
		return slu_fail_oom(e);
	if (strstr(name, "://"))
		return r;
	if ((r = slu_buf_read_file(&b, path, e)) < 0)
		return r;
	r = slu_digest(SLU_SHA256, b.p ? b.p : "", b.len, sum);
	return r < 0 ? r : slu_hasher_add(h, sum, sizeof(sum));
}

static int add_list(struct slu_hasher *h, const struct slu_task *t, const char *key,
		    const struct json_t *list, struct slu_err *e)
{
	int r = slu_hasher_add(h, key, strlen(key) + 1);

	for (size_t i = 0; i < slu_json_count(list) && r == 0; i++) {
		const char *name = slu_json_string(slu_json_at(list, i));

		r = name ? add_file(h, t, name, e) : -EBADMSG;
	}
	return r;
}

static int add_text(struct slu_hasher *h, const char *text)
{
	return slu_hasher_add(h, text ? text : "", text ? strlen(text) + 1 : 1);
}

/* What of the body is the same for every run. */
static struct json_t *lasting(const struct json_t *body)
{
	static const char *const staged[] = {"pyFiles", "jars", "files", "archives"};
	struct json_t *o = slu_json_copy(body);

	for (size_t i = 0; o && i < sizeof staged / sizeof *staged; i++)
		slu_json_del(o, staged[i]);
	return o;
}

static int make_key(const struct slu_task *t, const struct json_t *body, char *ret,
		    struct slu_err *e)
{
	const struct slu_spec_spark *sp = &t->spec.spark;
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *h = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = lasting(body);
	SLU_AUTO(slu_freep) char *text = o ? slu_json_text(o, SLU_JSON_CANONICAL) : NULL;
	uint8_t sum[SLU_DIGEST_MAX];
	int r;

	if (!text || slu_hasher_new(SLU_SHA256, &h) < 0)
		return slu_fail_oom(e);
	r = add_text(h, slu_json_str(t->compute.livy, "url"));
	r |= add_text(h, text);
	r |= add_text(h, t->environment.key);
	if (r == 0 && (r = add_list(h, t, "py", sp->py_files, e)) == 0 &&
	    (r = add_list(h, t, "jars", sp->jars, e)) == 0 &&
	    (r = add_list(h, t, "files", sp->files, e)) == 0)
		r = add_list(h, t, "archives", sp->archives, e);
	explicit_bzero(text, strlen(text));
	if (r == 0)
		r = slu_hasher_end(h, sum);
	if (r == 0)
		slu_hex(ret, sum, KEY_BYTES);
	return r;
}

/* --- the step --- */

static struct json_t *own_variables(const struct slu_task *t)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	for (char *const *p = slu_env_list(t->env); *p; p++) {
		size_t n = strcspn(*p, "=");
		SLU_AUTO(slu_freep) char *name = slu_strndup(*p, n);

		if (!name)
			return NULL;
		if (getenv(name) || slu_streq(name, "PATH") || slu_streq(name, "VIRTUAL_ENV"))
			continue;
		if (slu_json_set_str(o, name, *p + n + 1) < 0)
			return NULL;
	}
	return slu_take(o);
}

static int make_step(const struct slu_task *t, const struct json_t *args, struct json_t **ret,
		     struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(ENTRY_MAX);
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", t->cwd, t->spec.spark.entry);
	SLU_AUTO(slu_freep) char *code = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	int r = path ? slu_buf_read_file(&b, path, e) : slu_fail_oom(e);

	if (r < 0)
		return r;
	code = slu_base64(b.p ? b.p : "", b.len);
	if (!code || slu_json_set_str(o, "file", t->spec.spark.entry) < 0 ||
	    slu_json_set_str(o, "code", code) < 0 ||
	    slu_json_set(o, "args", slu_json_copy(args)) < 0 ||
	    slu_json_set(o, "env", own_variables(t)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}

int slu_compute_session(const struct slu_task *t, const struct json_t *batch, struct json_t **ret,
			struct slu_err *e)
{
	static const char *const of_step[] = {"file", "args", "className", "name"};
	const struct json_t *livy = t->compute.livy;
	SLU_AUTO(slu_json_freep) struct json_t *body = slu_json_copy(batch), *step = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const int64_t minutes = slu_json_int(livy, "session_timeout", SLU_SESSION_MINUTES);
	const bool on_demand = slu_json_bool(livy, "on_demand", false);
	char key[2 * KEY_BYTES + 1];
	int r = slu_compute_session_step(&t->compute, &t->spec, e);

	if (r < 0)
		return r;
	if (!body)
		return slu_fail_oom(e);
	for (size_t i = 0; i < sizeof of_step / sizeof *of_step; i++)
		slu_json_del(body, of_step[i]);
	if ((r = make_step(t, slu_json_get(batch, "args"), &step, e)) < 0 ||
	    (r = make_key(t, body, key, e)) < 0)
		return r;
	if (slu_json_set_str(o, "key", key) < 0 ||
	    slu_json_set_int(o, "timeout", minutes * 60) < 0 ||
	    slu_json_set_int(o, "grace", on_demand ? SLU_SESSION_TEAR_DOWN : 0) < 0 ||
	    slu_json_set(o, "body", slu_json_ref(body)) < 0 ||
	    slu_json_set(o, "step", slu_json_ref(step)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}
