/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Spark step asks for, reckoned before it is sent: executors x cores, executors x memory, the driver beside
 * them.  A request that the compute can never grant would wait in its queue for ever: it is refused here.
 */
#include "job/compute.h"

#include "common/mem.h"
#include "common/str.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define MEMORY_MAX                                                                                 \
	(1ULL << 43) /* of one process; with as many as number() lets pass it is no overflow */

struct sizes {
	uint64_t executors, cores, memory; /* of each executor */
	uint64_t driver_cores, driver_memory;
	bool most; /* executors is the most of a dynamic allocation */
};

bool slu_compute_memory(const char *text, uint64_t unit, uint64_t *ret)
{
	static const char units[] = "bkmgtp";
	size_t n = text ? strspn(text, "0123456789") : 0;
	SLU_AUTO(slu_freep) char *digits = n ? slu_strndup(text, n) : NULL;
	const char *tail = text ? text + n : "", *at;
	uint64_t v;

	if (!digits || !slu_u64(digits, &v))
		return false;
	if (*tail) {
		at = strchr(units, tolower((unsigned char)*tail));
		if (!at ||
		    (tail[1] && strcasecmp(tail + 1, "b") != 0 && strcasecmp(tail + 1, "ib") != 0))
			return false;
		unit = 1ULL << (10 * (at - units));
	}
	if (__builtin_mul_overflow(v, unit, &v))
		return false;
	*ret = v;
	return true;
}

static int number(const struct json_t *conf, const char *key, uint64_t dflt, uint64_t *ret,
		  struct slu_err *e)
{
	const char *text = slu_json_str(conf, key);

	*ret = dflt;
	if (!text)
		return 0;
	return slu_u64(text, ret) && *ret > 0 && *ret < 1000000
		       ? 0
		       : slu_fail(e, EINVAL, "'%s' is a whole number above 0, not '%s'", key, text);
}

static int memory(const struct json_t *conf, const char *key, uint64_t *ret, struct slu_err *e)
{
	const char *text = slu_json_str(conf, key);

	*ret = 1ULL << 30; /* Spark's default */
	if (!text)
		return 0;
	return slu_compute_memory(text, 1 << 20, ret) && *ret && *ret <= MEMORY_MAX
		       ? 0
		       : slu_fail(
				 e, EINVAL,
				 "'%s' is memory as Spark writes it, such as 28g or 512m, not '%s'",
				 key, text);
}

static int read_sizes(const struct json_t *conf, struct sizes *z, struct slu_err *e)
{
	const char *dynamic = slu_json_str(conf, "spark.dynamicAllocation.enabled");
	int r;

	z->most = dynamic && strcasecmp(dynamic, "true") == 0 &&
		  slu_json_str(conf, "spark.dynamicAllocation.maxExecutors");
	if ((r = number(conf,
			z->most ? "spark.dynamicAllocation.maxExecutors"
				: "spark.executor.instances",
			1, &z->executors, e)) < 0 ||
	    (r = number(conf, "spark.executor.cores", 1, &z->cores, e)) < 0 ||
	    (r = number(conf, "spark.driver.cores", 1, &z->driver_cores, e)) < 0 ||
	    (r = memory(conf, "spark.executor.memory", &z->memory, e)) < 0)
		return r;
	return memory(conf, "spark.driver.memory", &z->driver_memory, e);
}

/* "28 GB", "512 MB". */
static void say_memory(char *out, size_t max, uint64_t bytes)
{
	if (bytes >= 1ULL << 30 && bytes % (1ULL << 30) == 0)
		snprintf(out, max, "%" PRIu64 " GB", bytes >> 30);
	else if (bytes >= 1ULL << 30)
		snprintf(out, max, "%.1f GB", (double)bytes / (1ULL << 30));
	else
		snprintf(out, max, "%" PRIu64 " MB", bytes >> 20);
}

static char *in_words(const struct slu_compute *c, const struct sizes *z)
{
	char each[24], all[24], driver[24];

	say_memory(each, sizeof(each), z->memory);
	say_memory(all, sizeof(all), z->memory * z->executors);
	say_memory(driver, sizeof(driver), z->driver_memory);
	return slu_asprintf("%s%" PRIu64 " executor%s x %" PRIu64 " core%s x %s = %" PRIu64
			    " cores, %s; driver %" PRIu64 " core%s, %s%s",
			    z->most ? "at most " : "", z->executors, z->executors == 1 ? "" : "s",
			    z->cores, z->cores == 1 ? "" : "s", each, z->cores * z->executors, all,
			    z->driver_cores, z->driver_cores == 1 ? "" : "s", driver,
			    slu_compute_is_remote(c) ? "" : "; one process on this machine");
}

static int too_much(const struct slu_compute *c, const char *what, const char *words,
		    const char *have, struct slu_err *e)
{
	return slu_fail(e, ENOSPC, "%s (%s) can never fit on compute '%s', which has %s", what,
			words, c->name, have);
}

static int check_node(const struct slu_compute *c, const struct sizes *z, const char *words,
		      struct slu_err *e)
{
	uint64_t cores = c->room.node_cores, mem = c->room.node_memory;
	char have[64], size[24];

	say_memory(size, sizeof(size), mem);
	snprintf(have, sizeof(have), "%" PRIu64 " cores and %s on each node", cores,
		 mem ? size : "any memory");
	if ((cores && z->cores > cores) || (mem && z->memory > mem))
		return too_much(c, "an executor", words, have, e);
	if ((cores && z->driver_cores > cores) || (mem && z->driver_memory > mem))
		return too_much(c, "the driver", words, have, e);
	return 0;
}

static int check_all(const struct slu_compute *c, const struct sizes *z, const char *words,
		     struct slu_err *e)
{
	uint64_t cores = c->room.cores, mem = c->room.memory, want_cores, want_mem;
	char have[64], size[24];

	/* Of a dynamic allocation one executor is enough to begin. */
	want_cores = z->cores * (z->most ? 1 : z->executors) + z->driver_cores;
	want_mem = z->memory * (z->most ? 1 : z->executors) + z->driver_memory;
	say_memory(size, sizeof(size), mem);
	snprintf(have, sizeof(have), "%" PRIu64 " cores and %s in all", cores,
		 mem ? size : "any memory");
	if ((cores && want_cores > cores) || (mem && want_mem > mem))
		return too_much(c, "the step", words, have, e);
	return 0;
}

/* The step's properties over those of its compute. */
static struct json_t *merged(const struct slu_compute *c, const struct slu_spec_step *st)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *conf = c->conf ? slu_json_copy(c->conf) : slu_json_object();
	const struct json_t *own = st->spark.conf;

	if (!conf)
		return NULL;
	for (void *it = slu_json_iter(own); it; it = slu_json_next(own, it))
		if (slu_json_set(conf, slu_json_iter_key(it),
				 slu_json_ref(slu_json_iter_value(it))) < 0)
			return NULL;
	return slu_take(conf);
}

static bool says_sizes(const struct json_t *conf)
{
	static const char *const keys[] = {"spark.executor.instances", "spark.executor.cores",
					   "spark.executor.memory", "spark.driver.cores",
					   "spark.driver.memory"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (slu_json_get(conf, keys[i]))
			return true;
	return false;
}

int slu_compute_sizes(const struct slu_compute *c, const struct slu_spec_step *st, char **ret,
		      struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *words = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *conf = NULL;
	struct sizes z = {0};
	int r;

	*ret = NULL;
	if (c->kind == SLU_COMPUTE_LOCAL)
		return 0;
	conf = merged(c, st);
	if (!conf)
		return slu_fail_oom(e);
	if (!says_sizes(conf))
		return 0;
	r = read_sizes(conf, &z, e);
	if (r < 0)
		return r;
	words = in_words(c, &z);
	if (!words)
		return slu_fail_oom(e);
	if (slu_compute_is_remote(c) &&
	    ((r = check_node(c, &z, words, e)) < 0 || (r = check_all(c, &z, words, e)) < 0))
		return r;
	*ret = slu_take(words);
	return 0;
}
