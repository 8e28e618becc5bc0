/* SPDX-License-Identifier: Apache-2.0 */
/* What the storms share: many processes of one registry that are stopped and killed at random.  SLUICE_STORM_SEED repeats a
 * choice of victims. */
#ifndef SLU_TESTS_STORM_H
#define SLU_TESTS_STORM_H

#include "tests/unit/dataset.h"

#include "common/time.h"

#include <signal.h>
#include <sys/wait.h>

#define NAMES 2
#define TOLD 3 /* exit status of a worker that was told of an error */

static uint64_t rng;
static inline unsigned rnd(unsigned n) /* splitmix64 */
{
	uint64_t z = rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (unsigned)((z ^ (z >> 31)) % n);
}

static inline void run_name(int run, char out[16])
{
	snprintf(out, 16, "run%d", run);
}

static inline const char *data_name(int run)
{
	return run % NAMES ? "odd" : "even";
}

static inline void die(const char *what, const struct slu_err *e)
{
	if (!getenv("SLUICE_FAULT"))
		fprintf(stderr, "# worker %d: %s: %s\n", (int)getpid(), what, e->msg);
	_exit(TOLD);
}

/* The index has each version that the records have, once. */
static inline void check_index(struct sluice *s, size_t found)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	struct slu_err e = {0};

	if (slu_registry_search(s, &(struct slu_search){.all_versions = true}, &all, &e) < 0)
		fail_msg("index: %s", e.msg);
	if (slu_json_count(all) != found)
		fail_msg("the index has %zu versions and not %zu", slu_json_count(all), found);
	for (size_t i = 0; i < found; i++) {
		SLU_AUTO(slu_json_freep) struct json_t *is = NULL;
		const struct json_t *told = slu_json_at(all, i);

		assert_int_equal(slu_registry_record(s, slu_json_str(told, "name"),
						     slu_json_str(told, "version"), &is, &e),
				 0);
		assert_true(slu_json_equal(is, told));
	}
}

static inline void seed(void)
{
	const char *given = getenv("SLUICE_STORM_SEED");

	rng = given ? strtoull(given, NULL, 10) : (uint64_t)slu_wall() % 1000000;
	print_message("# SLUICE_STORM_SEED=%llu\n", (unsigned long long)rng);
}

static inline void workspace(struct unit_dir *dir)
{
	struct slu_err e = {0};
	char *config = NULL;

	unit_dir_make(dir);
	assert_int_equal(slu_workspace_init(dir->path, "storm", &config, &e), 0);
	free(config);
}

/* Another registry for the workspace: that of SLUICE_STORM_CONFIG, a config.json. */
static inline void use_config(const struct unit_dir *dir, const char *from)
{
	static char text[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = openat(dir->fd, "config.json", O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n = read(in, text, sizeof text);

	assert_true(in >= 0 && out >= 0 && n > 0 && n < (ssize_t)sizeof text);
	assert_int_equal(write(out, text, (size_t)n), n);
	close(in);
	close(out);
}

static inline void in_child(const char *path, void fn(const char *))
{
	int status;
	pid_t p;

	fflush(NULL);
	p = fork();
	assert_true(p >= 0);
	if (p == 0) {
		fn(path);
		_exit(0);
	}
	assert_int_equal(waitpid(p, &status, 0), p);
	assert_int_equal(status, 0);
}

#endif
