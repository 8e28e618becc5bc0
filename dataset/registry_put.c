/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a version.  The record is the commit.  Exactly once for (run, output): every replay walks up
 * from the same place, the newest version known when the run's outcome was decided, and puts at the
 * first absent record.  Records are never removed, so whoever else has put this registration did so
 * at or below the place where a later walk ends, and the walk reads it first.  The `latest` hint must
 * not shorten that walk: it may lie beyond our own record.
 */
#include "dataset/record.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "dataset/gang.h"
#include "dataset/index.h"
#include "dataset/uses.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define TIDY_EVERY 64

/* What one registration writes, the same at every version but for the number. */
struct making {
	const struct slu_registration *r;
	struct json_t *dataset; /* datasets/<id>.json */
	char created[SLU_TIME_LEN];
	int64_t put_ns; /* when its record was put, by the store's clock; 0: it was there */
	char token[33]; /* tells our own record when there is no run; "" with a run */
};

static int set_copy(struct json_t *o, const char *key, const struct json_t *v)
{
	return v ? slu_json_set(o, key, slu_json_copy(v)) : 0;
}

/* Who made it, and the words it was given. */
static int set_origin(struct json_t *o, const struct making *k)
{
	const struct slu_registration *r = k->r;

	if (slu_json_set_str(o, "created", k->created) < 0 ||
	    slu_json_set_str(o, "run", r->run) < 0 ||
	    slu_json_set_str(o, "output", r->output) < 0 ||
	    slu_json_set_str(o, "token", k->token[0] ? k->token : NULL) < 0 ||
	    slu_json_set_str(o, "description", r->description) < 0)
		return -ENOMEM;
	return set_copy(o, "tags", r->tags);
}

static struct json_t *record_json(const struct making *k, const char *version)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	const struct slu_registration *r = k->r;

	if (!o || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "name", r->name) < 0 ||
	    slu_json_set_str(o, "version", version) < 0 ||
	    slu_json_set_str(o, "dataset", r->dataset_id) < 0 ||
	    slu_json_set_str(o, "type", slu_json_str(k->dataset, "type")) < 0 ||
	    set_origin(o, k) < 0 ||
	    slu_json_set_str(o, "manifest", slu_json_str(k->dataset, "manifest")) < 0 ||
	    slu_json_set_int(o, "files", slu_json_int(k->dataset, "files", 0)) < 0 ||
	    slu_json_set_int(o, "bytes", slu_json_int(k->dataset, "bytes", 0)) < 0 ||
	    set_copy(o, "inputs", r->inputs) < 0 || slu_json_set_str(o, "mltable", r->mltable) < 0)
		return NULL;
	return slu_take(o);
}

static bool same(const char *a, const char *b)
{
	return a && b && slu_streq(a, b);
}

static bool is_ours(const struct making *k, const struct json_t *record)
{
	if (k->token[0])
		return same(slu_json_str(record, "token"), k->token);
	return same(slu_json_str(record, "run"), k->r->run) &&
	       same(slu_json_str(record, "output"), k->r->output);
}

/* Our registration found at `version`: it must be this very one. */
static int found(const struct making *k, const struct json_t *record, const char *version,
		 struct slu_err *e)
{
	if (same(slu_json_str(record, "dataset"), k->r->dataset_id))
		return 1;
	return slu_fail(
		e, EEXIST,
		"output '%s' of run '%s' is registered already as '%s@%s', with other content",
		k->r->output, k->r->run, k->r->name, version);
}

/* What is derived of a record that was put. */
struct deriving {
	const struct slu_registry *g;
	const struct making *k;
	const struct json_t *record;
	uint64_t number; /* 0: it has a name of its own choosing */
};

static int derive_one(void *user, size_t i, struct slu_err *e)
{
	const struct deriving *d = user;

	(void)e; /* whoever misses it makes it */
	if (i == 0) {
		if (slu_record_mltable(d->g, d->record, d->k->dataset) < 0)
			slu_record_repair(d->g, d->record);
		return 0;
	}
	SLU_AUTO(slu_freep) char *text = slu_json_text(d->record, SLU_JSON_PRETTY);

	/* With its length, so that it can be read in one request. */
	slu_record_hint(d->g, d->k->r->name, d->number, text ? strlen(text) : 0);
	return 0;
}

/* One in so many registrations looks after the index, so that it is no list that has to. */
static void tidy_sometimes(const struct slu_registry *g)
{
	uint8_t dice = 1;

	if (slu_random_bytes(&dice, sizeof dice) == 0 && dice % TIDY_EVERY == 0)
		slu_index_tidy(g);
}

/* Puts the record at `version` if none is there.  1: ours is there now; 0: another's. */
static int try_version(const struct slu_registry *g, struct making *k, const char *version,
		       struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *is = NULL, *mine = NULL;
	SLU_AUTO(slu_freep) char *path = NULL, *text = NULL;
	int r = -ENOENT;

	/* Without a run nobody else can have put it. */
	if (!k->token[0])
		r = slu_record_there(g, k->r->name, version, e);
	if (r == 0)
		r = slu_record_read(g, k->r->name, version, &is, e);
	if (r == 0)
		return is_ours(k, is) ? found(k, is, version, e) : 0;
	if (r != -ENOENT)
		return r;
	mine = record_json(k, version);
	if (mine)
		text = slu_json_text(mine, SLU_JSON_PRETTY);
	path = slu_record_path(g, k->r->name, version, "record.json");
	if (!text || !path)
		return slu_fail_oom(e);
	r = slu_uses_version(g, k->r->inputs, k->r->name, version, e);
	if (r < 0)
		return r;
	/* The index is told before, so that no record is there that it knows nothing of. */
	r = slu_index_put(g, k->r->name, version, 0, path, text, &k->put_ns, e);
	if (r <= 0)
		return r < 0 ? r : 1;
	if (k->token[0])
		return 0;
	/* Lost a race; to a replay of this same run, perhaps. */
	r = slu_record_read(g, k->r->name, version, &is, e);
	if (r < 0)
		return r;
	return is_ours(k, is) ? found(k, is, version, e) : 0;
}

static int put_next(const struct slu_registry *g, struct making *k, uint64_t from,
		    char **ret_version, uint64_t *ret_number, struct slu_err *e)
{
	for (uint64_t v = from;; v++) {
		SLU_AUTO(slu_freep)
		char *version = slu_asprintf("%llu", (unsigned long long)v);

		if (!version)
			return slu_fail_oom(e);
		int r = try_version(g, k, version, e);

		if (r < 0)
			return r;
		if (r > 0) {
			*ret_version = slu_take(version);
			*ret_number = v;
			return 0;
		}
	}
}

static int put_named(const struct slu_registry *g, struct making *k, char **ret_version,
		     struct slu_err *e)
{
	int r = slu_record_version_check(k->r->version, e);

	if (r == 0)
		r = try_version(g, k, k->r->version, e);
	if (r < 0)
		return r;
	if (r == 0)
		return slu_fail(e, EEXIST,
				"version '%s' of dataset '%s' exists and cannot be changed: leave "
				"the version out to get the next number",
				k->r->version, k->r->name);
	*ret_version = slu_strdup(k->r->version);
	return *ret_version ? 0 : slu_fail_oom(e);
}

static int check(const struct slu_registration *r, struct slu_err *e)
{
	if (!r->run != !r->output)
		return slu_fail(e, EINVAL, "a registration has a run and an output, or neither");
	return slu_record_name_check(r->name, e);
}

static int making_init(struct sluice *s, const struct slu_registry *g, struct making *k,
		       uint64_t *ret_from, struct slu_err *e)
{
	uint64_t latest = 0;
	size_t n = 0;
	int r = 0;

	if (k->r->saved)
		k->dataset = slu_registry_dataset(k->r->saved);
	else
		r = slu_registry_dataset_json(g, k->r->dataset_id, &k->dataset, e);
	if (r == 0 && !k->dataset)
		r = slu_fail_oom(e);
	if (r < 0)
		return r;
	if (k->r->created)
		n = strlen(k->r->created);
	if (n >= sizeof k->created)
		return slu_fail(e, EINVAL, "'%s' is no time", k->r->created);
	if (n > 0)
		memcpy(k->created, k->r->created, n + 1);
	else
		slu_time_fmt(k->created, slu_wall());
	*ret_from = k->r->seen + 1;
	if (k->r->run)
		return 0;
	/* Nobody replays it: any free number will do, so the walk may begin at the newest. */
	r = slu_random_id(k->token, 16);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make an id");
	if (!k->r->version && !k->r->looked)
		r = slu_registry_latest(s, k->r->name, &latest, e);
	if (latest >= *ret_from)
		*ret_from = latest + 1;
	return r;
}

int slu_registry_register(struct sluice *s, const struct slu_registration *r, char **ret_version,
			  struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *record = NULL;
	SLU_AUTO(slu_freep) char *version = NULL;
	struct making k = {.r = r};
	struct slu_registry g;
	uint64_t from = 1, number = 0;
	int rc = check(r, e);

	if (rc == 0)
		rc = slu_registry_open(s, &g, e);
	if (rc == 0)
		rc = making_init(s, &g, &k, &from, e);
	if (rc == 0)
		rc = r->version ? put_named(&g, &k, &version, e)
				: put_next(&g, &k, from, &version, &number, e);
	if (rc == 0 && r->saved && k.put_ns)
		rc = slu_registry_save_again(s, r->saved, k.put_ns, e);
	if (rc == 0) {
		record = record_json(&k, version);
		if (record)
			slu_gang(number ? 2 : 1, 2, derive_one,
				 &(struct deriving){&g, &k, record, number}, NULL);
		tidy_sometimes(&g);
		*ret_version = slu_take(version);
		if (r->ret_record && record)
			*r->ret_record = slu_take(record);
		else if (r->ret_record)
			rc = slu_fail_oom(e);
	}
	slu_json_free(k.dataset);
	return rc;
}
