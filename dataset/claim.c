/* SPDX-License-Identifier: Apache-2.0 */
/* See claim.h.  The folder holds the claims of runs that go on now, so it stays short; what crashed
 * runs left there is removed by the next one that takes a claim. */
#include "dataset/claim.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "common/vec.h"
#include "dataset/once.h"
#include "dataset/outcome.h"
#include "dataset/record.h"
#include "fs/walk.h"
#include "io/crypt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define TRIES 4

struct taking {
	struct sluice *s;
	struct slu_registry g;
	const char *run, *output, *place, *uri;
	char *mine; /* path of the claim put last */
};

struct paths {
	char **p;
	size_t n, cap;
};

static void paths_done(struct paths *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->p[i]);
	free(l->p);
}

static int add_path(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct paths *l = user;

	if (attr->kind != SLU_KIND_FILE || !slu_ends(path, ".json"))
		return 0;
	char *copy = slu_strdup(path);

	if (!copy || !slu_vec_push(l, copy)) {
		free(copy);
		return slu_fail_oom(e);
	}
	return 0;
}

/* Is one inside the other, or are they the same? */
static bool overlap(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), k = n < m ? n : m;
	const char *longer = n < m ? b : a;

	return memcmp(a, b, k) == 0 && (longer[k] == '\0' || longer[k] == '/');
}

static int put_mine(struct taking *t, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	char id[33], now[SLU_TIME_LEN];
	int r = slu_random_id(id, 16);

	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make an id");
	slu_time_fmt(now, slu_wall());
	if (!o || slu_json_set_int(o, "format", SLU_REGISTRY_FORMAT) < 0 ||
	    slu_json_set_str(o, "run", t->run) < 0 ||
	    slu_json_set_str(o, "output", t->output) < 0 ||
	    slu_json_set_str(o, "uri", t->uri) < 0 || slu_json_set_str(o, "place", t->place) < 0 ||
	    slu_json_set_str(o, "time", now) < 0)
		return slu_fail_oom(e);
	text = slu_json_text(o, SLU_JSON_PRETTY);
	free(t->mine);
	t->mine = slu_registry_path(&t->g, "claims/%s.json", id);
	if (!text || !t->mine)
		return slu_fail_oom(e);
	r = slu_once_put(t->g.store, t->mine, text, strlen(text), NULL, NULL, e);
	return r > 0 ? slu_fail(e, EIO, "'%s' is another's claim", t->mine) : r;
}

/* Looks at another claim: -EBUSY when it is alive and overlaps ours. */
static int weigh(struct taking *t, const char *path, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *c = NULL, *end = NULL;
	int r = slu_registry_json(&t->g, path, path, &c, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	const char *run = slu_json_str(c, "run"), *output = slu_json_str(c, "output");
	const char *place = slu_json_str(c, "place"), *uri = slu_json_str(c, "uri");

	if (!run || !output || !place || !uri)
		return slu_fail(e, EBADMSG, "claim '%s' is damaged: remove it", path);
	if (slu_streq(run, t->run) && slu_streq(output, t->output))
		return 0;
	bool theirs = overlap(place, t->place);

	if (slu_streq(run, t->run)) {
		if (!theirs)
			return 0;
		return slu_fail(e, EINVAL,
				"outputs '%s' and '%s' write to one place, '%s': give each its own",
				output, t->output, uri);
	}
	r = slu_outcome_get(t->s, run, &end, e);
	if (r == 0) {
		slu_store_delete(t->g.store, path, 0, NULL);
		return 0;
	}
	if (r != -ENOENT)
		return r;
	if (!theirs)
		return 0;
	return slu_fail(e, EBUSY,
			"run '%s' is writing to '%s' (its output '%s'): wait for it, or see "
			"`sluice job show %s`",
			run, uri, output, run);
}

static int look_round(struct taking *t, struct slu_err *e)
{
	SLU_AUTO(paths_done) struct paths l = {0};
	SLU_AUTO(slu_freep) char *dir = slu_registry_path(&t->g, "claims");

	if (!dir)
		return slu_fail_oom(e);
	SLU_AUTO(slu_json_freep) struct json_t *end = NULL;
	int r = slu_outcome_get(t->s, t->run, &end, e);

	/* A supervisor that was declared dead and goes on: nobody would respect its claim. */
	if (r == 0)
		return slu_fail(e, ESTALE, "run '%s' is over: it can write nothing more", t->run);
	if (r != -ENOENT)
		return r;
	r = slu_walk_dir(t->g.store, dir, add_path, &l, e);
	for (size_t i = 0; r == 0 && i < l.n; i++)
		if (!slu_streq(l.p[i], t->mine))
			r = weigh(t, l.p[i], e);
	return r;
}

/* A random while, so that two that met step aside differently. */
static void wait_a_little(void)
{
	uint8_t x = 0;

	slu_random_bytes(&x, sizeof x);
	poll(NULL, 0, 5 + x % 60);
}

int slu_claim_take(struct sluice *s, const char *run, const char *output, const char *place,
		   const char *uri, char **ret, struct slu_err *e)
{
	struct taking t = {.s = s, .run = run, .output = output, .place = place, .uri = uri};
	int r = slu_registry_open(s, &t.g, e);

	for (int i = 0; r == 0 && i < TRIES; i++) {
		r = put_mine(&t, e);
		if (r == 0)
			r = look_round(&t, e);
		if (r == 0) {
			*ret = slu_take(t.mine);
			return 0;
		}
		if (t.mine)
			slu_store_delete(t.g.store, t.mine, 0, NULL);
		if (r == -EBUSY && i + 1 < TRIES) {
			wait_a_little();
			r = 0;
		}
	}
	free(t.mine);
	return r;
}

int slu_claim_drop(struct sluice *s, const char *claim, struct slu_err *e)
{
	struct slu_registry g;
	int r = slu_registry_open(s, &g, e);

	if (r == 0)
		r = slu_store_delete(g.store, claim, 0, e);
	return r == -ENOENT ? 0 : r;
}
