/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a download: its own preflight, on a target that is not touched, and a measurement instead
 * of an assumption: as many requests as it would make at once, spread over all of them, once to open the
 * connections and once against the clock.
 */
#include "fs/download_plan.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/time.h"
#include "fs/budget.h"
#include "fs/download.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PROBE_MAX (1u << 20) /* bytes of a request */

/* --- what is there --- */

/* The target, or the folder above it that exists. *ret_there: it is the target. */
static int open_near(const char *target, bool *ret_there, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *p = slu_strdup(target);
	int fd;

	if (!p)
		return slu_fail_oom(e);
	*ret_there = true;
	while ((fd = open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 && errno == ENOENT) {
		char *slash = strrchr(p, '/');

		*ret_there = false;
		if (!slash || !p[1])
			break;
		slash[slash == p] = '\0';
	}
	if (fd < 0 && errno == ENOTDIR)
		return slu_fail(e, ENOTDIR, "the target '%s' is not a folder", target);
	return fd < 0 ? slu_fail_sys(e, errno, "cannot open the target '%s'", target) : fd;
}

/* The target as a whole. */
static void look_target(const struct slu_download *d, struct slu_err *refused)
{
	if (!slu_download_writable(d, refused))
		(void)slu_download_names(d, refused);
	if (!refused->code && d->partfd >= 0 && slu_download_folds(d))
		(void)slu_download_fold(d->t->manifest, d->target, refused);
}

/* What is in it, counted also where the download is refused already. */
static int look_inside(struct slu_download *d, struct slu_plan *p, uint64_t *ret_back,
		       struct slu_err *e)
{
	struct slu_err why = {0}, *to;
	int r = slu_download_recall(d, e);

	if (r == -EISDIR || r == -ELOOP)
		p->refused = *e;
	else if (r)
		return r;
	to = p->refused.code ? &why : &p->refused;
	r = slu_download_places(d, ret_back, to);
	if (!r)
		r = slu_download_may_empty(d, to);
	if (!r && (d->o->policy == SLU_POLICY_FAIL || d->o->policy == SLU_POLICY_REPLACE))
		(void)slu_download_others(d, to);
	p->removals = d->removals;
	return 0;
}

/* What the download's preflight would find; a refusal is a result. */
static int look(struct slu_download *d, struct slu_plan *p, struct slu_err *e)
{
	uint64_t back = 0;
	bool there = false;
	int r;

	d->dirfd = open_near(d->target, &there, &p->refused);
	if (d->dirfd < 0)
		return 0;
	if (there)
		d->partfd = openat(d->dirfd, SLU_DL_PARTS,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d->part_made = d->partfd < 0;
	look_target(d, &p->refused);
	if (there) {
		r = look_inside(d, p, &back, e);
		if (r)
			return r;
	}
	slu_download_count(d);
	if (!p->refused.code)
		(void)slu_download_room(d, back, &p->refused);
	return 0;
}

/* --- requests --- */

static size_t chunk_of(const struct slu_download *d, size_t at)
{
	const char *path;

	return slu_dfile_chunk(d,
			       d->t->sources[slu_manifest_locate(d->t->manifest, at, &path)].store);
}

static bool is_fetched(const struct slu_download *d, size_t at)
{
	return d->known[at].state == SLU_DS_FETCH || d->known[at].state == SLU_DS_PART;
}

/* What the journal says a download that did not end has of a file. */
static uint64_t resumed_of(const struct slu_download *d, size_t at)
{
	uint64_t size = slu_download_file(d, at)->size, have = 0, off;
	uint8_t key[SLU_DJ_KEY];
	size_t i, n;

	if (d->known[at].state != SLU_DS_PART || slu_download_key(d->t->manifest, at, key) < 0)
		return 0;
	i = slu_dj_find(d->old, d->old_n, key, &n);
	for (const struct slu_dj_entry *p = d->old + i; n; p++, n--) {
		if (p->kind == SLU_DJ_WHOLE && !p->unit && p->n == size)
			return size;
		if (p->kind == SLU_DJ_CHUNK && !__builtin_mul_overflow(p->n, p->unit, &off) &&
		    off < size)
			have += size - off < p->unit ? size - off : p->unit;
	}
	return have < size ? have : size;
}

static uint64_t requests_of(const struct slu_download *d, size_t at)
{
	uint64_t chunk = chunk_of(d, at);

	return is_fetched(d, at)
		       ? (slu_download_file(d, at)->size - resumed_of(d, at) + chunk - 1) / chunk
		       : 0;
}

static void add_up(const struct slu_download *d, struct slu_plan *p)
{
	p->files = slu_manifest_count(d->t->manifest);
	p->bytes = slu_manifest_bytes(d->t->manifest);
	p->there_files = d->totals.there;
	p->kept_files = d->totals.kept;
	for (size_t i = 0; i < p->files; i++) {
		uint64_t size = slu_download_file(d, i)->size, have = resumed_of(d, i);

		p->requests += requests_of(d, i);
		p->resumed_bytes += have;
		p->fetch_bytes += is_fetched(d, i) ? size - have : 0;
		p->fetch_files += is_fetched(d, i) && (have < size || !size);
		if (d->known[i].state == SLU_DS_THERE)
			p->there_bytes += slu_download_file(d, i)->size;
	}
}

/* --- the probe --- */

struct probe;

struct probe_read {
	struct slu_op op;
	struct probe *p;
	struct slu_store *store;
	char *path;
	size_t at;
	uint64_t off;
	size_t len;
	char *buf;
};

struct probe {
	struct slu_download *d;
	struct probe_read *reads;
	size_t n;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	size_t running;
};

/* Request number k of all. */
static int choose(const struct slu_download *d, uint64_t k, struct probe_read *ret)
{
	size_t at = 0;

	for (uint64_t n; k >= (n = requests_of(d, at)); at++)
		k -= n;
	ret->at = at;
	ret->off = k * chunk_of(d, at);
	ret->len = chunk_of(d, at);
	if (ret->len > slu_download_file(d, at)->size - ret->off)
		ret->len = (size_t)(slu_download_file(d, at)->size - ret->off);
	if (ret->len > PROBE_MAX)
		ret->len = PROBE_MAX;
	ret->buf = slu_malloc(ret->len);
	return ret->buf ? slu_tree_locate(d->t, at, &ret->store, &ret->path) : -ENOMEM;
}

static void read_done(struct slu_op *op)
{
	struct probe *p = ((struct probe_read *)op->user)->p;

	pthread_mutex_lock(&p->lock);
	p->running--;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

/* All at once; until all are done. */
static int round_trip(struct probe *p, struct slu_err *e)
{
	p->running = p->n;
	for (size_t i = 0; i < p->n; i++) {
		struct probe_read *r = &p->reads[i];
		const struct slu_file *f = slu_download_file(p->d, r->at);

		slu_op_read(&r->op, r->path, r->off, r->len, r->buf, f->id[0] ? f->id : NULL);
		r->op.prio = 1;
		r->op.done = read_done;
		r->op.user = r;
		slu_store_submit(r->store, &r->op);
	}
	pthread_mutex_lock(&p->lock);
	while (p->running)
		pthread_cond_wait(&p->cond, &p->lock);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->n; i++)
		if (p->reads[i].op.rc) {
			*e = p->reads[i].op.err;
			return p->reads[i].op.rc;
		}
	return 0;
}

static int measure(struct probe *p, struct slu_plan *plan, struct slu_err *e)
{
	int r = round_trip(p, e);
	int64_t begun = slu_now();

	if (!r)
		r = round_trip(p, e);
	if (r)
		return r;
	plan->probe_ns = slu_now() - begun;
	plan->probe_requests = p->n;
	for (size_t i = 0; i < p->n; i++)
		plan->probe_bytes += p->reads[i].len;

	double one = (double)plan->probe_ns;
	double by_requests = one * (double)plan->requests / (double)plan->probe_requests;
	double by_bytes = one * (double)plan->fetch_bytes / (double)plan->probe_bytes;

	plan->estimate_ns = (int64_t)(by_requests > by_bytes ? by_requests : by_bytes);
	return 0;
}

static int probe_stores(struct slu_download *d, struct slu_plan *plan, unsigned jobs,
			struct slu_err *e)
{
	struct slu_budget *budget = slu_budget_process();
	struct probe p = {.d = d, .n = jobs};
	uint64_t held = (uint64_t)jobs * (d->lane_size < PROBE_MAX ? d->lane_size : PROBE_MAX);
	int r = 0;

	if (p.n > plan->requests)
		p.n = (size_t)plan->requests;
	if (!p.n)
		return 0;
	p.reads = budget ? slu_calloc(p.n, sizeof *p.reads) : NULL;
	if (!p.reads)
		return slu_fail_oom(e);
	slu_budget_take(budget, SLU_BUDGET_COPY, held);
	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.cond, NULL);
	for (size_t i = 0; i < p.n && !r; i++) {
		p.reads[i].p = &p;
		r = choose(d, plan->requests * i / p.n, &p.reads[i]);
	}
	r = r ? slu_fail_oom(e) : measure(&p, plan, e);
	for (size_t i = 0; i < p.n; i++) {
		free(p.reads[i].buf);
		free(p.reads[i].path);
	}
	slu_budget_give(budget, SLU_BUDGET_COPY, held);
	free(p.reads);
	pthread_cond_destroy(&p.cond);
	pthread_mutex_destroy(&p.lock);
	return r;
}

int slu_download_plan(struct slu_tree *t, const char *target, const struct slu_download_opts *o,
		      bool probe, struct slu_pool *pool, struct slu_plan *ret, struct slu_err *e)
{
	static const struct slu_download_opts defaults;
	struct slu_download d = {.t = t,
				 .target = target,
				 .o = o ? o : &defaults,
				 .pool = pool,
				 .planning = true,
				 .dirfd = -1,
				 .partfd = -1};
	struct slu_plan plan = {0};
	struct slu_err why = {0};
	unsigned jobs;
	int r = 0;

	d.known = slu_calloc(slu_manifest_count(t->manifest) + 1, sizeof *d.known);
	if (!d.known)
		return slu_fail_oom(e);
	if (target)
		r = look(&d, &plan, &why);
	else
		slu_download_count(&d);
	if (!r) {
		jobs = slu_download_shape(&d);
		add_up(&d, &plan);
		if (probe)
			r = probe_stores(&d, &plan, jobs, &why);
	}
	slu_download_forget(&d);
	if (r && e)
		*e = why;
	if (!r)
		*ret = plan;
	return r;
}
