/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the Nth allocation, then the Nth I/O call, of every scenario fail, for N from 1 until a run
 * sees no failure any more; once with only that call failing, once with all later ones as well.
 * A run that met a failure must end in that failure's code, with a message where there is one,
 * leave what was there before, leak nothing (the sanitizer's build says), and succeed when it is
 * tried again.  What goes into libyaml and libxml2 is not counted: they allocate by themselves.
 */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/log.h"
#include "common/path_impl.h"
#include "common/str.h"
#include "common/xml.h"
#include "common/yaml.h"

#include <dirent.h>
#include <errno.h>

enum { RUNS_MAX = 20000 };

struct scenario {
	const char *name;
	/* 0 when everything came out right, -errno when a call said so; aborts when wrong. */
	int (*run)(struct unit_dir *d, struct slu_err *e);
	unsigned
		min[_SLU_FAULT_MAX]; /* calls that it must make at least, so that it tests at all */
	bool says_why;               /* its errors come with a message */
};

static void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "# wrong: %s\n", what);
		abort();
	}
}

static const char config[] =
	"{\"workspace_name\":\"ws\",\"datastores\":{\"store\":{\"type\":\"local\",\"path\":\"a/b\"}},"
	"\"numbers\":[1,-2.5,1e20,9223372036854775807],\"text\":\"long enough to be allocated \\u00e4\"}";

static int run_json(struct unit_dir *d, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *back = NULL;
	SLU_AUTO(slu_json_freep) struct json_t *copy = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = slu_json_parse(config, strlen(config), "config.json", &j, e);

	(void)d;
	if (r < 0)
		return r;
	copy = slu_json_copy(j);
	if (!copy || slu_json_set_str(copy, "k\xff", "bytes \xff") < 0)
		return slu_fail_oom(e);
	if (slu_json_set(copy, "list", slu_json_array()) < 0 ||
	    slu_json_append(slu_json_get(copy, "list"), slu_json_new_int(70000)) < 0)
		return slu_fail_oom(e);
	for (int style = SLU_JSON_COMPACT; style <= SLU_JSON_PRETTY; style++) {
		slu_json_free(slu_take(back));
		free(slu_take(text));
		text = slu_json_text(copy, (enum slu_json_style)style);
		if (!text)
			return slu_fail_oom(e);
		r = slu_json_parse(text, strlen(text), "again", &back, e);
		if (r < 0)
			return r;
		require(slu_json_equal(copy, back), "JSON differs");
	}
	return 0;
}

static const char pipeline[] =
	"type: pipeline\njobs:\n  prep: &p\n    type: spark\n    inputs: {raw: {path: 'azureml:t@latest'}}\n"
	"    args: >-\n      --in ${{inputs.raw}}\n  again: *p\nlist: [1, 0x1f, 2.5, ~, yes, \"a\\nb\"]\n";

static int run_yaml(struct unit_dir *d, struct slu_err *e)
{
	static const char *const known[] = {"type", "jobs", "list", NULL};
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *back = NULL;
	SLU_AUTO(slu_freep) char *text = NULL;
	int r = slu_yaml_parse(pipeline, strlen(pipeline), "pipeline.yml", &y, e);

	(void)d;
	if (r == 0)
		r = slu_yaml_known_keys(y, slu_yaml_root(y), known, e);
	if (r < 0)
		return r;
	text = slu_yaml_text(slu_yaml_root(y));
	if (!text)
		return slu_fail_oom(e);
	r = slu_yaml_parse(text, strlen(text), "again.yml", &back, e);
	if (r < 0)
		return r;
	require(slu_json_equal(slu_yaml_root(y), slu_yaml_root(back)), "YAML differs");
	return 0;
}

/* A document that is wrong stays wrong, or there was no memory to find out. */
static int run_yaml_error(struct unit_dir *d, struct slu_err *e)
{
	static const char *const texts[] = {"a: {b: 1\nc: 2}\n d", "a: *x\n", "a: &x [b]\na: *x\n"};
	static const char *const known[] = {"command", NULL};
	static const char unknown[] = "comand: x\nzzzzzzz: y\n";
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *fine = NULL;
	int r;

	(void)d;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct slu_yaml *y = NULL;

		r = slu_yaml_parse(texts[i], strlen(texts[i]), "bad.yml", &y, e);
		require(r < 0 && !y, "bad YAML was read");
		if (r != -EBADMSG)
			return r;
	}
	r = slu_yaml_parse(unknown, strlen(unknown), "unknown.yml", &fine, e);
	if (r < 0)
		return r;
	r = slu_yaml_known_keys(fine, slu_yaml_root(fine), known, e);
	require(r == -EINVAL, "an unknown key was accepted");
	return 0;
}

static int run_xml(struct unit_dir *d, struct slu_err *e)
{
	static const char text[] =
		"<?xml version='1.0'?><L a='b&lt;'><N>x &amp; y<![CDATA[z]]></N><E/></L>";
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1000);
	int r = slu_xml_new(text, strlen(text), "list", &x, e);

	(void)d;
	while (r >= 0) {
		r = slu_xml_next(x, e);
		if (r <= 0)
			break;
		slu_buf_str(&b, r == SLU_XML_TEXT ? slu_xml_text(x) : slu_xml_name(x));
		if (r == SLU_XML_OPEN && slu_streq(slu_xml_name(x), "L") && !slu_xml_attr(x, "a"))
			return slu_fail_oom(e);
	}
	if (r < 0)
		return r;
	if (slu_buf_err(&b) < 0)
		return slu_fail_oom(e);
	require(slu_streq(b.p, "LNx & yzNEEL"), "XML differs");
	return 0;
}

static int run_buf(struct unit_dir *d, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100000);
	SLU_AUTO(slu_freep) char *text = NULL;

	(void)d;
	for (int i = 0; i < 1000; i++)
		slu_buf_fmt(&b, "%d,", i);
	slu_url_encode(&b, "a b", 3, NULL);
	slu_redact(&b, "sig=x");
	slu_show(&b, "\n");
	text = slu_buf_take(&b);
	if (!text)
		return slu_fail(e, ENOMEM, "no memory for the text");
	require(slu_ends(text, ",999,a%20bsig=***\\x0a"), "the text differs");
	return 0;
}

static int run_hash(struct unit_dir *d, struct slu_err *e)
{
	struct slu_hash *h = slu_hash_new();
	int failed = 0;
	bool any;
	char key[16];

	(void)d;
	if (!h)
		return slu_fail_oom(e);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		failed += !slu_hash_put(h, key, h);
	}
	require(slu_hash_count(h) + (size_t)failed == 100, "the map lost an entry");
	any = failed > 0;
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		failed -= slu_hash_del(h, key) == NULL;
	}
	require(failed == 0 && slu_hash_count(h) == 0, "the map has another entry");
	slu_hash_free(h, NULL);
	return any ? -ENOMEM : 0;
}

static int run_path_text(struct unit_dir *d, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *clean = NULL;
	SLU_AUTO(slu_freep) char *join = NULL;
	SLU_AUTO(slu_freep) char *dir = NULL;
	SLU_AUTO(slu_freep) char *abs = NULL;
	int r = slu_path_clean("/a//b/../c", &clean, e);

	if (r < 0)
		return r;
	join = slu_path_join(clean, "x");
	dir = join ? slu_path_dir(join) : NULL;
	if (!dir)
		return slu_fail_oom(e);
	require(slu_streq(dir, clean), "the path differs");
	r = slu_path_absolute(d->path, &abs, e);
	if (r == 0)
		require(slu_streq(abs, d->path), "the absolute path differs");
	return r;
}

static size_t count_entries(int dirfd, const char *prefix)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *ent;
	size_t n = 0;

	require(dir != NULL, "the test's own folder");
	while ((ent = readdir(dir)))
		n += slu_starts(ent->d_name, prefix);
	closedir(dir);
	return n;
}

/* Another content at every run; the file holds one of them, whole, and no temp file stays. */
static int run_write(struct unit_dir *d, struct slu_err *e)
{
	static const char *const texts[] = {"first content", "the second content"};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(100);
	static int turn;
	int r, read;

	turn = !turn;
	r = slu_path_write_atomic(d->fd, "file", texts[turn], strlen(texts[turn]));
	read = slu_buf_read_at(&b, d->fd, "file");
	require(count_entries(d->fd, SLU_TMP_PREFIX) == 0, "a temp file stayed");
	if (read == 0)
		require(slu_streq(b.p, texts[0]) || slu_streq(b.p, texts[1]), "half a file");
	if (r == 0 && read == 0)
		require(slu_streq(b.p, texts[turn]), "the old file");
	if (r == 0)
		r = read;
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s'", "file") : 0;
}

static int run_read_files(struct unit_dir *d, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	char path[128];
	int r;

	snprintf(path, sizeof(path), "%s/config.json", d->path);
	r = slu_json_read_file(path, sizeof(config) - 1, &j, e);
	if (r < 0)
		return r;
	return slu_yaml_read_file(path, 10000, &y, e);
}

static int run_tree(struct unit_dir *d, struct slu_err *e)
{
	const char *name = NULL;
	int r = slu_path_mkdirs(d->fd, "tree/a/b/c", 0700), fd;

	if (r == 0)
		r = slu_path_mkdirs(d->fd, "tree/d", 0700);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make '%s'", "tree");
	fd = slu_path_parent(d->fd, "tree/a/e/f", true, SLU_LINKS_NONE, &name);
	if (fd >= 0) {
		r = slu_path_write_atomic(fd, name, "x", 1);
		close(fd);
	} else {
		r = fd;
	}
	if (r == 0)
		r = slu_path_rmtree(d->fd, "tree");
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot work on '%s'", "tree");
	require(faccessat(d->fd, "tree", F_OK, 0) < 0, "the tree stayed");
	return 0;
}

static int run_links(struct unit_dir *d, struct slu_err *e)
{
	static const char *const inside[] = {"rel", "abs/config.json", "back/config.json"};
	int r;

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		int fd = slu_path_open(d->fd, inside[i], O_RDONLY, 0, SLU_LINKS_BENEATH);

		if (fd < 0)
			return slu_fail_sys(e, -fd, "cannot open '%s'", inside[i]);
		close(fd);
	}
	r = slu_path_open(d->fd, "out", O_RDONLY, 0, SLU_LINKS_BENEATH);
	require(r < 0, "the folder was left");
	return r == -EXDEV ? 0 : slu_fail_sys(e, -r, "cannot open '%s'", "out");
}

static int run_links_walk(struct unit_dir *d, struct slu_err *e)
{
	int r;

	slu_path_no_openat2(true);
	r = run_links(d, e);
	slu_path_no_openat2(false);
	return r;
}

static const struct scenario scenarios[] = {
	{"json", run_json, {40, 0}, true},
	{"yaml", run_yaml, {80, 0}, true},
	{"yaml-error", run_yaml_error, {20, 0}, true},
	{"xml", run_xml, {3, 0}, true},
	{"buf", run_buf, {5, 0}, true},
	{"hash", run_hash, {100, 0}, false},
	{"path-text", run_path_text, {4, 0}, true},
	{"write", run_write, {1, 9}, true},
	{"read-files", run_read_files, {40, 5}, true},
	{"tree", run_tree, {0, 25}, true},
	{"links", run_links, {0, 8}, true},
	{"links-walk", run_links_walk, {0, 10}, true},
};

static void make_dir(struct unit_dir *d)
{
	char back[80];

	unit_dir_make(d);
	require(slu_path_write_atomic(d->fd, "config.json", config, strlen(config)) == 0, "set-up");
	require(symlinkat("config.json", d->fd, "rel") == 0, "set-up");
	require(symlinkat(d->path, d->fd, "abs") == 0, "set-up");
	require(symlinkat("/etc/hostname", d->fd, "out") == 0, "set-up");
	/* leaves by name and comes back */
	snprintf(back, sizeof(back), "..%s", strrchr(d->path, '/'));
	require(symlinkat(back, d->fd, "back") == 0, "set-up");
}

/* Runs s with the Nth call of a kind failing; false when it made less than N calls. */
static bool run_once(const struct scenario *s, enum slu_fault_kind kind, long nth, bool persistent,
		     struct unit_dir *d)
{
	struct slu_err e = {0};
	bool met;
	int r;

	slu_fault_arm(kind, nth, persistent);
	r = s->run(d, &e);
	slu_fault_arm(kind, 0, false);
	met = slu_fault_count(kind) >= nth;
	if (!met && r < 0)
		fail_msg("%s: failed without a fault: %d %s", s->name, r, e.msg);
	if (met && r != (kind == SLU_FAULT_MALLOC ? -ENOMEM : -EIO))
		fail_msg("%s: fault %ld gave %d %s", s->name, nth, r, e.msg);
	if (met && s->says_why && (e.code != -r || e.msg[0] == '\0'))
		fail_msg("%s: fault %ld: code %d, message '%s'", s->name, nth, e.code, e.msg);
	e = (struct slu_err){0};
	if (s->run(d, &e) < 0)
		fail_msg("%s: not again after fault %ld: %s", s->name, nth, e.msg);
	return met;
}

static void torture(enum slu_fault_kind kind, bool persistent)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		const struct scenario *s = &scenarios[i];
		struct unit_dir d = {0};
		long nth = 1;

		make_dir(&d);
		while (nth < RUNS_MAX && run_once(s, kind, nth, persistent, &d))
			nth++;
		unit_dir_done(&d);
		if (nth - 1 < s->min[kind] || nth == RUNS_MAX)
			fail_msg("%s: %ld calls, %u expected at least", s->name, nth - 1,
				 s->min[kind]);
	}
}

static void malloc_fails_once(void **state)
{
	(void)state;
	torture(SLU_FAULT_MALLOC, false);
}

static void malloc_fails_from_then_on(void **state)
{
	(void)state;
	torture(SLU_FAULT_MALLOC, true);
}

static void io_fails_once(void **state)
{
	(void)state;
	torture(SLU_FAULT_IO, false);
}

static void io_fails_from_then_on(void **state)
{
	(void)state;
	torture(SLU_FAULT_IO, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malloc_fails_once),
		cmocka_unit_test(malloc_fails_from_then_on),
		cmocka_unit_test(io_fails_once),
		cmocka_unit_test(io_fails_from_then_on),
	};

	return cmocka_run_group_tests_name("torture-common", tests, NULL, NULL);
}
