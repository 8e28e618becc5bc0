/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's objects and versions, one process at a time; test-registry-storm.c has the others. */
#include "tests/unit/dataset.h"

#include <errno.h>

static char *reg(struct sluice *s, const char *name, const char *version, const char *id,
		 const char *run, uint64_t seen)
{
	struct slu_registration r = {.name = name,
				     .version = version,
				     .dataset_id = id,
				     .run = run,
				     .output = run ? "out" : NULL,
				     .seen = seen,
				     .created = "2026-01-31T08:00:00.000000Z"};
	struct slu_err e = {0};
	char *v = NULL;

	if (slu_registry_register(s, &r, &v, &e) < 0)
		fail_msg("register: %s", e.msg);
	return v;
}

#define assert_reg(s, name, version, id, run, seen, want)                                          \
	do {                                                                                       \
		SLU_AUTO(slu_freep) char *v_ = reg((s), (name), (version), (id), (run), (seen));   \
		assert_string_equal(v_, (want));                                                   \
	} while (0)

static uint64_t latest(struct sluice *s, const char *name)
{
	struct slu_err e = {0};
	uint64_t n = 999;

	assert_int_equal(slu_registry_latest(s, name, &n, &e), 0);
	return n;
}

static void test_save(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a"), *again = space_saved(w.s, "a");
	SLU_AUTO(free_id) char *b = space_saved(w.s, "b");
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	struct slu_dataset *none = NULL;

	assert_string_equal(a, again);
	assert_string_not_equal(a, b);
	assert_int_equal(slu_registry_by_id(w.s, a, &d, &e), 0);
	assert_string_equal(d->id, a);
	assert_string_equal(d->def->type, "uri_folder");
	assert_int_equal(slu_manifest_count(d->tree->manifest), 1);
	assert_false(d->tree->single_file);

	assert_failed(slu_registry_by_id(w.s, "x", &none, &e), e, EINVAL, "GUID");
	assert_failed(slu_registry_by_id(w.s, "00000000-0000-8000-8000-000000000000", &none, &e), e,
		      ENOENT, "no dataset with the id");
	assert_null(none);
	space_done(&w);
}

static void test_damage(void **state)
{
	struct space w;
	struct slu_err e = {0};
	struct slu_dataset *none = NULL;
	struct slu_manifest *m = NULL;
	char path[256];

	(void)state;
	space_make(&w);
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = space_dataset(w.s, "a");

	assert_int_equal(slu_registry_save(w.s, d, &e), 0);
	snprintf(path, sizeof path, ROOT "/manifests/%s", d->digest);
	SLU_AUTO(slu_freep) char *text = space_read(&w, path);

	/* Same length, another file: only the digest tells. */
	char *part = strstr(text, "part-0");

	part[5] = '1';
	space_write(&w, path, text);
	assert_failed(slu_registry_manifest(w.s, d->digest, &m, &e), e, EBADMSG, d->digest);
	space_write(&w, path, "sluice-manifest 1\n");
	assert_failed(slu_registry_manifest(w.s, d->digest, &m, &e), e, EBADMSG, "damaged");
	/* Saving does not take a damaged object for its own. */
	assert_failed(slu_registry_save(w.s, d, &e), e, EBADMSG, "damaged");
	part[5] = '0';
	space_write(&w, path, text);
	assert_int_equal(slu_registry_manifest(w.s, d->digest, &m, &e), 0);
	slu_manifest_free(m);
	assert_failed(slu_registry_manifest(w.s, "../../x", &m, &e), e, EINVAL, "digest");

	snprintf(path, sizeof path, ROOT "/datasets/%s.json", d->id);
	SLU_AUTO(slu_freep) char *json = space_read(&w, path);

	*strstr(json, "uri_folder") = 'U';
	space_write(&w, path, json);
	assert_int_equal(slu_registry_by_id(w.s, d->id, &none, &e), -EBADMSG);
	space_write(&w, path, "{\"format\": 1");
	assert_failed(slu_registry_by_id(w.s, d->id, &none, &e), e, EBADMSG, d->id);
	space_write(&w, path, "{\"format\": 2}");
	assert_failed(slu_registry_by_id(w.s, d->id, &none, &e), e, ENOTSUP, "newer");
	space_write(&w, path, "[]");
	assert_failed(slu_registry_by_id(w.s, d->id, &none, &e), e, EBADMSG, "no JSON object");
	space_done(&w);
}

static void test_once(void **state)
{
	struct space w;
	struct slu_err e = {0};

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a"), *b = space_saved(w.s, "b");

	assert_reg(w.s, "t", NULL, a, "run1", 0, "1");
	SLU_AUTO(slu_freep) char *first = space_read(&w, ROOT "/data/t/1/record.json");

	assert_reg(w.s, "t", NULL, b, "run2", 1, "2");
	assert_reg(w.s, "t", NULL, a, "run3", 0, "3"); /* knew nothing: walks over both */
	assert_int_equal(latest(w.s, "t"), 3);

	/* Replays: also when the hint is far beyond. */
	assert_reg(w.s, "t", NULL, a, "run1", 0, "1");
	assert_reg(w.s, "t", NULL, b, "run2", 0, "2");
	assert_reg(w.s, "t", NULL, b, "run2", 1, "2");
	assert_reg(w.s, "t", NULL, a, "run3", 2, "3");
	assert_int_equal(latest(w.s, "t"), 3);
	SLU_AUTO(slu_freep) char *same = space_read(&w, ROOT "/data/t/1/record.json");

	assert_string_equal(first, same);

	/* The same key with other content is no replay. */
	struct slu_registration r = {.name = "t",
				     .dataset_id = b,
				     .run = "run1",
				     .output = "out",
				     .created = "2026-01-31T08:00:00.000000Z"};
	char *v = NULL;

	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EEXIST, "t@1");
	r.output = "other";
	assert_int_equal(slu_registry_register(w.s, &r, &v, &e), 0);
	assert_string_equal(v, "4");
	free(v);
	space_done(&w);
}

static void test_record_content(void **state)
{
	struct space w;
	struct slu_err e = {0};
	SLU_AUTO(slu_json_freep) struct json_t *tags = slu_json_object(), *in = slu_json_array();
	SLU_AUTO(slu_json_freep) struct json_t *rec = NULL;
	char *v = NULL;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");

	slu_json_set_str(tags, "k", "v");
	struct slu_registration r = {.name = "t",
				     .dataset_id = a,
				     .run = "run1",
				     .output = "out",
				     .description = "what it is",
				     .tags = tags,
				     .inputs = in,
				     .created = "2026-01-31T08:00:00.000000Z"};

	assert_int_equal(slu_registry_register(w.s, &r, &v, &e), 0);
	free(v);
	assert_int_equal(slu_registry_record(w.s, "t", "1", &rec, &e), 0);
	assert_int_equal(slu_json_int(rec, "format", 0), 1);
	assert_string_equal(slu_json_str(rec, "name"), "t");
	assert_string_equal(slu_json_str(rec, "version"), "1");
	assert_string_equal(slu_json_str(rec, "dataset"), a);
	assert_string_equal(slu_json_str(rec, "type"), "uri_folder");
	assert_string_equal(slu_json_str(rec, "created"), r.created);
	assert_string_equal(slu_json_str(rec, "run"), "run1");
	assert_string_equal(slu_json_str(rec, "output"), "out");
	assert_string_equal(slu_json_str(rec, "description"), "what it is");
	assert_string_equal(slu_json_str(slu_json_get(rec, "tags"), "k"), "v");
	assert_int_equal(slu_json_int(rec, "files", 0), 1);
	assert_int_equal(slu_json_int(rec, "bytes", 0), 7);
	assert_int_equal(strlen(slu_json_str(rec, "manifest")), 64);
	assert_true(slu_json_is_array(slu_json_get(rec, "inputs")));

	/* Derived, and repaired by who misses it. */
	SLU_AUTO(slu_freep) char *table = space_read(&w, ROOT "/data/t/1/MLTable");

	assert_contains(table, "azureml://datastores/workspaceblobstore/paths/a");
	unlinkat(w.dir.fd, ROOT "/data/t/1/MLTable", 0);
	slu_json_free(rec);
	assert_int_equal(slu_registry_record(w.s, "t", NULL, &rec, &e), 0);
	assert_true(space_has(&w, ROOT "/data/t/1/MLTable"));
	space_done(&w);
}

static void test_named_versions(void **state)
{
	struct space w;
	struct slu_err e = {0};
	struct json_t *j = NULL;
	char *v = NULL;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");
	struct slu_registration r = {.name = "t", .version = "2", .dataset_id = a};

	assert_reg(w.s, "t", "2", a, NULL, 0, "2");
	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EEXIST, "version '2'");
	assert_reg(w.s, "t", "2024", a, NULL, 0, "2024");
	assert_reg(w.s, "t", "v1.0", a, NULL, 0, "v1.0");
	assert_int_equal(latest(w.s, "t"), 0);
	/* Only names of their own: the newest is the one made last (of equals: the last by name). */
	assert_int_equal(slu_registry_record(w.s, "t", NULL, &j, &e), 0);
	assert_string_equal(slu_json_str(j, "version"), "v1.0");
	slu_json_free(j);

	/* Automatic ones: the first absent record. */
	assert_reg(w.s, "t", NULL, a, NULL, 0, "1");
	assert_reg(w.s, "t", NULL, a, NULL, 0, "3");
	assert_int_equal(latest(w.s, "t"), 3);

	static const char *const bad[] = {"latest", "..", "a/b", "", "a b"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		r.version = bad[i];
		assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EINVAL, "no version");
	}
	r.version = NULL;
	r.name = "../t";
	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EINVAL, "no dataset name");
	r.name = "t";
	r.run = "x";
	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EINVAL, "neither");
	r.run = NULL;
	r.dataset_id = "00000000-0000-8000-8000-000000000000";
	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, ENOENT, "no dataset");

	/* A named version has its once key, too. */
	assert_reg(w.s, "t", "x", a, "run7", 0, "x");
	assert_reg(w.s, "t", "x", a, "run7", 0, "x");
	space_done(&w);
}

static void test_hint(void **state)
{
	static const char *const wrong[] = {
		"1\n", "3\n",  "99\n",
		"0\n", "-1\n", "",
		"x",   "5",    "99999999999999999999999999999999999999999\n"};
	struct space w;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");

	for (int i = 1; i <= 5; i++) {
		char want[16];

		snprintf(want, sizeof want, "%d", i);
		assert_reg(w.s, "t", NULL, a, NULL, 0, want);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		space_write(&w, ROOT "/data/t/latest", wrong[i]);
		assert_int_equal(latest(w.s, "t"), 5);
	}
	unlinkat(w.dir.fd, ROOT "/data/t/latest", 0);
	assert_int_equal(latest(w.s, "t"), 5);
	assert_true(space_has(&w, ROOT "/data/t/latest")); /* written again */
	assert_reg(w.s, "t", NULL, a, NULL, 0, "6");

	/* A folder whose record never came: its number is taken by the next. */
	assert_int_equal(mkdirat(w.dir.fd, ROOT "/data/t/7", 0755), 0);
	assert_int_equal(mkdirat(w.dir.fd, ROOT "/data/t/8", 0755), 0);
	assert_int_equal(latest(w.s, "t"), 6);
	unlinkat(w.dir.fd, ROOT "/data/t/latest", 0);
	assert_int_equal(latest(w.s, "t"), 6);
	assert_reg(w.s, "t", NULL, a, "run9", 3, "7");
	assert_int_equal(latest(w.s, "none"), 0);
	space_done(&w);
}

static void assert_versions(struct sluice *s, const char *name, const char *const *want)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = NULL;
	struct slu_err e = {0};
	size_t n = 0;

	assert_int_equal(slu_registry_versions(s, name, &all, &e), 0);
	for (; want[n]; n++)
		assert_string_equal(slu_json_str(slu_json_at(all, n), "version"), want[n]);
	assert_int_equal(slu_json_count(all), n);
}

static void test_lists(void **state)
{
	static const char *const want[] = {"1", "2", "3",  "4",  "5",   "6",    "7",
					   "8", "9", "10", "11", "007", "beta", NULL};
	struct space w;
	struct slu_err e = {0};
	struct json_t *j = NULL;

	(void)state;
	space_make(&w);
	assert_int_equal(slu_registry_names(w.s, &j, &e), 0);
	assert_int_equal(slu_json_count(j), 0);
	slu_json_free(slu_take(j));
	assert_failed(slu_registry_versions(w.s, "t", &j, &e), e, ENOENT, "none is registered yet");

	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");

	free(reg(w.s, "t", "beta", a, NULL, 0));
	free(reg(w.s, "t", "007", a, NULL, 0));
	for (int i = 0; i < 11; i++)
		free(reg(w.s, "t", NULL, a, NULL, 0));
	free(reg(w.s, "B", NULL, a, NULL, 0));
	free(reg(w.s, "a", "x", a, NULL, 0));
	assert_int_equal(mkdirat(w.dir.fd, ROOT "/data/empty", 0755), 0);
	space_write(&w, ROOT "/data/t/stray", "not a version");
	assert_versions(w.s, "t", want);

	assert_int_equal(slu_registry_names(w.s, &j, &e), 0);
	assert_int_equal(slu_json_count(j), 3);
	assert_string_equal(slu_json_str(slu_json_at(j, 0), "name"), "B");
	assert_string_equal(slu_json_str(slu_json_at(j, 1), "version"), "x");
	assert_string_equal(slu_json_str(slu_json_at(j, 2), "version"), "11");
	slu_json_free(slu_take(j));

	assert_failed(slu_registry_record(w.s, "nope", NULL, &j, &e), e, ENOENT, "'t'");
	assert_failed(slu_registry_record(w.s, "nope", "1", &j, &e), e, ENOENT, "'B'");
	assert_failed(slu_registry_record(w.s, "t", "12", &j, &e), e, ENOENT, "it has '1', '2'");
	assert_failed(slu_registry_record(w.s, "B", "2", &j, &e), e, ENOENT, "it has '1'");
	assert_failed(slu_registry_record(w.s, "..", "2", &j, &e), e, EINVAL, "no dataset name");
	assert_failed(slu_registry_record(w.s, "t", "../1", &j, &e), e, EINVAL, "no version");
	space_done(&w);
}

static void test_misplaced(void **state)
{
	struct space w;
	struct slu_err e = {0};
	struct json_t *j = NULL;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a");

	free(reg(w.s, "t", NULL, a, NULL, 0));
	SLU_AUTO(slu_freep) char *text = space_read(&w, ROOT "/data/t/1/record.json");

	space_write(&w, ROOT "/data/t/2/record.json", text);
	assert_failed(slu_registry_record(w.s, "t", "2", &j, &e), e, EBADMSG, "another version");
	space_write(&w, ROOT "/data/t/2/record.json", "{}");
	assert_failed(slu_registry_record(w.s, "t", "2", &j, &e), e, EBADMSG, "version '2'");
	/* A walk must not step over what it cannot read: it may be its own. */
	struct slu_registration r = {
		.name = "t", .dataset_id = a, .run = "r", .output = "o", .created = "x"};
	char *v = NULL;

	assert_failed(slu_registry_register(w.s, &r, &v, &e), e, EBADMSG, "damaged");
	space_done(&w);
}

static struct json_t *lineage_input(const char *name, const char *ref, const char *id)
{
	struct json_t *o = slu_json_object(), *a = slu_json_array();

	slu_json_set_str(o, "name", name);
	slu_json_set_str(o, "ref", ref);
	slu_json_set_str(o, "id", id);
	slu_json_append(a, o);
	return a;
}

static void reg_from(struct sluice *s, const char *name, const char *id, const char *run,
		     const char *ref, const char *ref_id)
{
	SLU_AUTO(slu_json_freep) struct json_t *in = lineage_input("in", ref, ref_id);
	struct slu_registration r = {.name = name,
				     .dataset_id = id,
				     .run = run,
				     .output = "out",
				     .inputs = in,
				     .created = "2026-01-31T08:00:00.000000Z"};
	struct slu_err e = {0};
	char *v = NULL;

	assert_int_equal(slu_registry_register(s, &r, &v, &e), 0);
	free(v);
}

static const struct json_t *up(const struct json_t *node)
{
	return slu_json_at(slu_json_get(node, "inputs"), 0);
}

static void test_lineage(void **state)
{
	struct space w;
	struct slu_err e = {0};
	struct json_t *j = NULL;

	(void)state;
	space_make(&w);
	SLU_AUTO(free_id) char *a = space_saved(w.s, "a"), *b = space_saved(w.s, "b");

	reg_from(w.s, "raw", a, "r1", "azureml://datastores/workspaceblobstore/paths/a", a);
	reg_from(w.s, "mid", b, "r2", "raw", a); /* by name alone: found by its id */
	free(reg(w.s, "raw", NULL, b, NULL, 0));
	reg_from(w.s, "top", a, "r3", "azureml:mid:1", b);
	assert_int_equal(slu_registry_lineage(w.s, "top@1", &j, &e), 0);
	assert_string_equal(slu_json_str(j, "run"), "r3");
	assert_string_equal(slu_json_str(up(j), "registered"), "mid");
	assert_string_equal(slu_json_str(up(up(j)), "registered"), "raw");
	assert_string_equal(slu_json_str(up(up(j)), "version"), "1");
	assert_string_equal(slu_json_str(up(up(j)), "run"), "r1");
	assert_non_null(up(up(up(j))));
	assert_null(slu_json_get(up(up(up(j))), "inputs")); /* a path: it ends here */
	slu_json_free(slu_take(j));

	/* A circle, as no run can make it but a hand can. */
	reg_from(w.s, "c", a, "r4", "d@1", b);
	reg_from(w.s, "d", b, "r5", "c@1", a);
	assert_int_equal(slu_registry_lineage(w.s, "azureml:c:1", &j, &e), 0);
	assert_true(slu_json_bool(up(up(j)), "cut", false));
	slu_json_free(slu_take(j));

	/* What is gone does not hide the rest. */
	reg_from(w.s, "e", a, "r6", "lost@3", b);
	assert_int_equal(slu_registry_lineage(w.s, "e", &j, &e), 0);
	assert_int_equal(slu_json_count(slu_json_get(j, "inputs")), 1);
	slu_json_free(slu_take(j));

	/* A chain longer than anybody's. */
	free(reg(w.s, "chain", NULL, a, "c0", 0));
	for (int i = 1; i <= 40; i++) {
		char run[32], ref[32];

		snprintf(run, sizeof run, "c%d", i);
		snprintf(ref, sizeof ref, "chain@%d", i);
		reg_from(w.s, "chain", a, run, ref, a);
	}
	assert_int_equal(slu_registry_lineage(w.s, "chain", &j, &e), 0);
	slu_json_free(slu_take(j));

	assert_failed(slu_registry_lineage(w.s, "/tmp", &j, &e), e, EINVAL, "lineage is kept for");
	assert_int_equal(slu_registry_lineage(w.s, "nope@1", &j, &e), -ENOENT);
	space_done(&w);
}

/* Registered so long after it was saved that it was cleared away: it is there all the same. */
static void test_saved_again(void **state)
{
	struct space w;
	struct slu_err e = {0};
	SLU_AUTO(slu_freep) char *version = NULL;
	char path[128];

	(void)state;
	space_make(&w);
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = space_dataset(w.s, "late");

	assert_int_equal(slu_registry_save(w.s, d, &e), 0);
	snprintf(path, sizeof path, ROOT "/manifests/%s", d->digest);
	assert_int_equal(unlinkat(w.dir.fd, path, 0), 0);
	d->saved_ns -= 2 * slu_registry_young;
	assert_int_equal(
		slu_registry_register(
			w.s,
			&(struct slu_registration){.name = "n", .dataset_id = d->id, .saved = d},
			&version, &e),
		0);
	assert_true(space_has(&w, path));
	space_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_save),           cmocka_unit_test(test_damage),
		cmocka_unit_test(test_once),           cmocka_unit_test(test_record_content),
		cmocka_unit_test(test_named_versions), cmocka_unit_test(test_hint),
		cmocka_unit_test(test_lists),          cmocka_unit_test(test_misplaced),
		cmocka_unit_test(test_lineage),        cmocka_unit_test(test_saved_again),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
