/* SPDX-License-Identifier: Apache-2.0 */
/* Walks and globs over folders and over flat listings: order, pruning, what they refuse. */
#include "tests/unit/fs.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "fs/layers.h"
#include "fs/walk.h"

struct seen {
	struct slu_buf text; /* paths, each with '\n' */
	size_t n;
	char last[512];
	bool sorted;
	int stop_after;
};

static int see(void *user, const char *path, const struct slu_attr *attr, struct slu_err *e)
{
	struct seen *s = user;

	(void)e;
	assert_true(attr->kind == SLU_KIND_FILE || attr->kind == SLU_KIND_DIR);
	slu_buf_str(&s->text, path);
	slu_buf_str(&s->text, "\n");
	s->sorted = s->sorted && (!s->n || strcmp(s->last, path) < 0);
	snprintf(s->last, sizeof(s->last), "%s", path);
	s->n++;
	return s->stop_after && s->n == (size_t)s->stop_after ? 77 : 0;
}

#define SEEN ((struct seen){.text = SLU_BUF(1 << 20), .sorted = true})

static void expect_seen(struct seen *s, int rc, const char *want)
{
	assert_int_equal(rc, 0);
	assert_true(s->sorted);
	assert_string_equal(s->text.p ? s->text.p : "", want);
	slu_buf_done(&s->text);
	*s = SEEN;
}

static void order_is_that_of_full_paths(void **state)
{
	struct fs_env *v = *state;
	struct seen s = SEEN;
	struct slu_err e = {0};

	fs_put(v->s, "d/a/x", "");
	fs_put(v->s, "d/a.b", "");
	fs_put(v->s, "d/a-b", "");
	fs_put(v->s, "d/a0", "");
	fs_put(v->s, "d/\xff", "");
	fs_put(v->s, "d/.hid/_y", "");
	fs_put(v->s, "d/.sluice-tmp", "");
	fs_put(v->s, "d/.sluice-dir/z", "");
	expect_seen(&s, slu_walk(v->s, "d", see, &s, &e),
		    "d/.hid/_y\nd/a-b\nd/a.b\nd/a/x\nd/a0\nd/\xff\n");
	expect_seen(&s, slu_walk(v->s, "d/a.b", see, &s, &e), "d/a.b\n");
	expect_seen(&s, slu_walk(v->s, "d/a", see, &s, &e), "d/a/x\n");
	expect_seen(&s, slu_walk(v->s, "", see, &s, &e),
		    "d/.hid/_y\nd/a-b\nd/a.b\nd/a/x\nd/a0\nd/\xff\n");
	expect_seen(&s, slu_walk_dir(v->s, "d", see, &s, &e),
		    "d/.hid\nd/a\nd/a-b\nd/a.b\nd/a0\nd/\xff\n");
	expect_seen(&s, slu_walk_dir(v->s, "", see, &s, &e), "d\n");
	assert_failed(slu_walk(v->s, "e", see, &s, &e), e, ENOENT, "'e'");
	assert_failed(slu_walk_dir(v->s, "d/a0", see, &s, &e), e, ENOTDIR, "'d/a0'");
	s.stop_after = 2;
	assert_int_equal(slu_walk(v->s, "d", see, &s, &e), 77);
	assert_int_equal(s.n, 2);
	slu_buf_done(&s.text);
}

static void links_and_cycles(void **state)
{
	struct fs_env *v = *state;
	struct seen s = SEEN;
	struct slu_err e = {0};

	fs_put(v->s, "d/a/f", "");
	assert_int_equal(symlinkat("a", v->dir.fd, "d/twin"), 0);
	expect_seen(&s, slu_walk(v->s, "d", see, &s, &e), "d/a/f\nd/twin/f\n");
	assert_int_equal(symlinkat("..", v->dir.fd, "d/a/up"), 0);
	assert_failed(slu_walk(v->s, "d", see, &s, &e), e, ELOOP, "'d/a/up'");
	slu_buf_clear(&s.text);
	assert_failed(slu_walk_glob(v->s, "d/**/g", see, &s, &e), e, ELOOP, "'d/a/up'");
	/* nothing below it can match: not looked into */
	slu_buf_clear(&s.text);
	assert_int_equal(slu_walk_glob(v->s, "d/*/f", see, &s, &e), 0);
	assert_string_equal(s.text.p, "d/a/f\nd/twin/f\n");
	slu_buf_done(&s.text);
	assert_int_equal(unlinkat(v->dir.fd, "d/a/up", 0), 0);
	assert_int_equal(symlinkat("nowhere", v->dir.fd, "d/a/dangling"), 0);
	s = SEEN;
	assert_failed(slu_walk(v->s, "d", see, &s, &e), e, ENOENT, "'d/a/dangling'");
	slu_buf_done(&s.text);
	/* who asks for that goes on */
	assert_int_equal(symlinkat("..", v->dir.fd, "d/a/up"), 0);
	assert_int_equal(symlinkat("/etc", v->dir.fd, "d/a/out"), 0);
	s = SEEN;
	expect_seen(&s, slu_walk_with(v->s, "d", SLU_WALK_LENIENT, see, &s, &e),
		    "d/a/f\nd/twin/f\n");
}

static void deep_folders_end(void **state)
{
	struct fs_env *v = *state;
	struct seen s = SEEN;
	char path[1000] = "d";

	for (int i = 0; i < 200; i++)
		strcat(path, "/d");
	strcat(path, "/f");
	fs_put(v->s, path, "");
	assert_int_equal(slu_walk(v->s, "", see, &s, NULL), 0);
	assert_int_equal(s.n, 1);
	slu_buf_done(&s.text);
}

static int64_t lists_made(struct slu_store *s)
{
	struct json_t *j = slu_trace_stats(s);
	int64_t n = slu_json_int(slu_json_get(j, "list"), "ops", 0);

	slu_json_free(j);
	return n;
}

static void globs_list_only_what_can_match(void **state)
{
	struct fs_env *v = *state;
	struct seen s = SEEN;
	struct slu_err e = {0};
	int64_t before;

	assert_int_equal(slu_trace_push(&v->s, "t"), 0);
	for (int i = 0; i < 5; i++) {
		char path[64];

		snprintf(path, sizeof(path), "data/year-%d/deep/er/x.csv", 2020 + i);
		fs_put(v->s, path, "");
		snprintf(path, sizeof(path), "data/year-%d/a.csv", 2020 + i);
		fs_put(v->s, path, "");
	}
	fs_put(v->s, "other/a.csv", "");
	before = lists_made(v->s);
	expect_seen(&s, slu_walk_glob(v->s, "data/year-202[12]/*.csv", see, &s, &e),
		    "data/year-2021/a.csv\ndata/year-2022/a.csv\n");
	assert_int_equal(lists_made(v->s) - before, 3);
	expect_seen(&s, slu_walk_glob(v->s, "{other,data/year-2020}/{a,b}.csv", see, &s, &e),
		    "data/year-2020/a.csv\nother/a.csv\n");
	/* two alternatives match the same file: once */
	expect_seen(&s, slu_walk_glob(v->s, "{other/*,**/a.csv,other/**}", see, &s, &e),
		    "data/year-2020/a.csv\ndata/year-2021/a.csv\ndata/year-2022/a.csv\n"
		    "data/year-2023/a.csv\ndata/year-2024/a.csv\nother/a.csv\n");
	expect_seen(&s, slu_walk_glob(v->s, "other/a.csv", see, &s, &e), "other/a.csv\n");
	assert_failed(slu_walk_glob(v->s, "data/year-*", see, &s, &e), e, ENOENT, "'data/year-*'");
	assert_failed(slu_walk_glob(v->s, "nope/*", see, &s, &e), e, ENOENT, "'nope/*'");
	assert_failed(slu_walk_glob(v->s, "other/a.csv/*", see, &s, &e), e, ENOENT, "a.csv/*");
	assert_failed(slu_walk_glob(v->s, "a[", see, &s, &e), e, EINVAL, "'a['");
	assert_failed(slu_walk_glob(v->s, "../*", see, &s, &e), e, EINVAL, "'..'");
	slu_buf_done(&s.text);
}

/* --- a flat store: sorted names, pages of three --- */

struct flat {
	const char *const *name;
	size_t n;
	bool stuck, endless, circle; /* circle: of two markers, behind the first page */
	int pages;
};

static int flat_page(struct flat *t, struct slu_op *op)
{
	size_t base = strlen(op->path), i = op->marker ? strtoul(op->marker, NULL, 10) : 0, k = 0;
	struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "i"};
	char next[24];

	t->pages++;
	if (t->circle) {
		op->list->next = slu_strdup(t->pages % 2 ? "a" : "b");
		return !t->endless ? slu_list_add(op->list, t->name[t->pages % (int)t->n], 1, &a)
				   : 0;
	}
	if (t->endless) {
		snprintf(next, sizeof(next), "%d", t->pages);
		op->list->next = slu_strdup(next);
		return 0;
	}
	for (; i < t->n && k < 3; i++) {
		const char *name = t->name[i];

		if (strncmp(name, op->path, base) != 0 || (base && name[base] != '/'))
			continue;
		name += base + (base > 0);
		assert_int_equal(slu_list_add(op->list, name, strlen(name), &a), 0);
		k++;
	}
	if (i < t->n) {
		snprintf(next, sizeof(next), "%zu", t->stuck ? (size_t)3 : i);
		op->list->next = slu_strdup(next);
	}
	return 0;
}

/* The direct children: what a delimiter listing gives. */
static int flat_folder(struct flat *t, struct slu_op *op)
{
	size_t base = strlen(op->path), last_n = 0;
	const char *last = NULL;

	if (t->endless || t->circle)
		return flat_page(t, op);

	for (size_t i = 0; i < t->n; i++) {
		struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "i"};
		const char *name = t->name[i];
		size_t n;

		if (strncmp(name, op->path, base) != 0 || (base && name[base] != '/'))
			continue;
		name += base + (base > 0);
		n = strcspn(name, "/");
		if (name[n]) {
			a.kind = SLU_KIND_DIR;
			a.id[0] = '\0';
		}
		if (last && n == last_n && memcmp(last, name, n) == 0)
			continue;
		last = name;
		last_n = n;
		assert_int_equal(slu_list_add(op->list, name, n, &a), 0);
	}
	return 0;
}

static int flat_op(struct fake *f, struct slu_op *op)
{
	struct flat *t = f->user;
	size_t n = strlen(op->path);

	if (op->type == SLU_OP_LIST)
		return op->flags & SLU_OPF_RECURSIVE ? flat_page(t, op) : flat_folder(t, op);
	for (size_t i = 0; i < t->n; i++) {
		bool same = strncmp(t->name[i], op->path, n) == 0;

		if (!n || (same && (t->name[i][n] == '/' || !t->name[i][n]))) {
			op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
			if (n && !t->name[i][n])
				op->attr.kind = SLU_KIND_FILE;
			return 0;
		}
	}
	return -ENOENT;
}

static const char *const tree[] = {".h/x",      "a",           "a.b",       "a/.sluice-t/x",
				   "a/b/c.csv", "a/b/d.csv",   "a/x.csv",   "a0",
				   "b/c.csv",   "b/c/d/e.csv", "b/c/x.csv", "z.csv"};
#define TREE_N (sizeof(tree) / sizeof(tree[0]))

static void flat_listings_are_streamed(void **state)
{
	struct flat t = {.name = tree, .n = TREE_N};
	struct fake f;
	struct slu_store *st = fake_init(&f, flat_op);
	struct seen s = SEEN;
	struct slu_err e = {0};

	(void)state;
	f.user = &t;
	expect_seen(
		&s, slu_walk(st, "", see, &s, &e),
		".h/x\na\na.b\na/b/c.csv\na/b/d.csv\na/x.csv\na0\nb/c.csv\nb/c/d/e.csv\nb/c/x.csv\nz.csv\n");
	assert_int_equal(t.pages, 4);
	expect_seen(&s, slu_walk(st, "b/c", see, &s, &e), "b/c/d/e.csv\nb/c/x.csv\n");
	assert_failed(slu_walk(st, "nope", see, &s, &e), e, ENOENT, "'nope'");
}

/* Where '/' comes before all other characters. */
static void listings_in_the_order_of_a_tree_are_sorted(void **state)
{
	static const char *const names[] = {"a/b/c", "a/.sluice-t/x", "a/x",
					    "a b/z", "a-b",           "a.c/y"};
	static const char *const twice[] = {"a/x", "a-b", "a/x"};
	struct flat t = {.name = names, .n = 6};
	struct fake f;
	struct slu_store *st = fake_init(&f, flat_op);
	struct seen s = SEEN;
	struct slu_err e = {0};

	(void)state;
	f.user = &t;
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "hierarchical");
	slu_buf_done(&s.text);
	s = SEEN;
	st->caps |= SLU_CAP_TREE_ORDER;
	expect_seen(&s, slu_walk(st, "", see, &s, &e), "a b/z\na-b\na.c/y\na/b/c\na/x\n");
	expect_seen(&s, slu_walk_glob(st, "**/[xyz]", see, &s, &e), "a b/z\na.c/y\na/x\n");
	assert_int_equal(slu_walk_with(st, "", SLU_WALK_ANY_ORDER, see, &s, &e), 0);
	assert_string_equal(s.text.p, "a/b/c\na/x\na b/z\na-b\na.c/y\n");
	slu_buf_done(&s.text);
	s = SEEN;
	t = (struct flat){.name = twice, .n = 3};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "twice");
	t = (struct flat){.name = names, .n = 6, .endless = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "does not end");
	slu_buf_done(&s.text);
}

static void lying_listings_are_refused(void **state)
{
	static const char *const unsorted[] = {"a", "c", "b"};
	static const char *const twice[] = {"a", "a"};
	static const char *const many[] = {"a", "b", "c", "d", "e", "f", "g"};
	struct flat t = {.name = unsorted, .n = 3};
	struct fake f;
	struct slu_store *st = fake_init(&f, flat_op);
	struct seen s = SEEN;
	struct slu_err e = {0};

	(void)state;
	f.user = &t;
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "'b' comes after 'c'");
	t = (struct flat){.name = twice, .n = 2};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "not sorted");
	t = (struct flat){.name = many, .n = 7, .stuck = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "");
	t = (struct flat){.name = many, .n = 7, .endless = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "does not end");
	t = (struct flat){.name = many, .n = 7, .circle = true, .endless = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "circle");
	assert_in_range(t.pages, 2, 8);
	st->caps &= ~(unsigned)SLU_CAP_FLAT_LIST;
	t = (struct flat){.name = many, .n = 7, .endless = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "does not end");
	t = (struct flat){.name = many, .n = 7, .circle = true};
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "circle");
	t = (struct flat){.name = many, .n = 7, .circle = true, .endless = true};
	assert_failed(slu_walk_dir(st, "", see, &s, &e), e, EPROTO, "circle");
	slu_buf_done(&s.text);
}

/* As flat_op, but every page names another marker and tells the same files. */
static int same_again(struct fake *f, struct slu_op *op)
{
	static const struct slu_attr a = {.kind = SLU_KIND_FILE, .id = "i"};
	int *page = f->user;
	char name[24];

	if (op->type != SLU_OP_LIST) {
		op->attr = (struct slu_attr){.kind = SLU_KIND_DIR};
		return 0;
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(slu_list_add(op->list, name, strlen(name), &a), 0);
	}
	snprintf(name, sizeof(name), "%d", ++*page);
	op->list->next = slu_strdup(name);
	return 0;
}

static void pages_that_repeat_for_ever_are_refused(void **state)
{
	struct fake f;
	struct slu_store *st = fake_init(&f, same_again);
	struct seen s = SEEN;
	struct slu_err e = {0};
	int pages = 0;

	(void)state;
	f.user = &pages;
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "not sorted");
	slu_buf_done(&s.text);
	st->caps &= ~(unsigned)SLU_CAP_FLAT_LIST;
	pages = 0;
	assert_failed(slu_walk(st, "", see, &s, &e), e, EPROTO, "twice");
	assert_in_range(pages, 2, 20);
	slu_buf_done(&s.text);
}

static void keep_line(void *user, enum slu_log_level level, const char *module, const char *line)
{
	(void)level;
	assert_string_equal(module, "walk");
	slu_buf_str(user, line);
	slu_buf_ch(user, '\n');
}

static void names_that_no_path_can_say_are_left_out_and_counted(void **state)
{
	static const char *const odd[] = {"../up",  "./dot", "/top",      "a",  "a//b",
					  "b/../c", "b/c",   "tab\tname", "x/", "z"};
	struct flat t = {.name = odd, .n = sizeof(odd) / sizeof(odd[0])};
	struct slu_buf log = SLU_BUF(10000);
	struct seen s = SEEN;
	struct slu_err e = {0};
	struct fake f;
	struct slu_store *st = fake_init(&f, flat_op);

	(void)state;
	f.user = &t;
	slu_log_set(keep_line, &log);
	expect_seen(&s, slu_walk(st, "", see, &s, &e), "a\nb/c\ntab\tname\nz\n");
	assert_contains(log.p, "6 of its names are left out");
	assert_contains(log.p, "'../up'");
	slu_buf_clear(&log);
	assert_failed(slu_walk_with(st, "", SLU_WALK_WHOLE, see, &s, &e), e, EPROTO, "'../up'");
	slu_buf_clear(&s.text);
	expect_seen(&s, slu_walk_glob(st, "**/?", see, &s, &e), "a\nb/c\nz\n");
	assert_contains(log.p, "6 of its names are left out");
	st->caps &= ~(unsigned)SLU_CAP_FLAT_LIST;
	slu_buf_clear(&log);
	t = (struct flat){.name = (const char *const[]){"..", "", "x"}, .n = 3};
	expect_seen(&s, slu_walk(st, "", see, &s, &e), "x\n");
	assert_contains(log.p, "2 of its names are left out");
	assert_int_equal(strchr(log.p, '\n') - log.p + 1, log.len); /* one line */
	assert_failed(slu_walk_with(st, "", SLU_WALK_WHOLE, see, &s, &e), e, EPROTO, "'..'");
	slu_log_set(NULL, NULL);
	slu_buf_done(&log);
	slu_buf_done(&s.text);
}

static void file_ids_do_not_make_cycles(void **state)
{
	struct flat t = {.name = tree, .n = TREE_N};
	struct fake f;
	struct slu_store *st = fake_init(&f, flat_op);
	struct seen s = SEEN;

	(void)state;
	f.user = &t;
	st->caps &= ~(unsigned)SLU_CAP_FLAT_LIST;
	assert_int_equal(slu_walk(st, "b", see, &s, NULL), 0);
	assert_string_equal(s.text.p, "b/c.csv\nb/c/d/e.csv\nb/c/x.csv\n");
	slu_buf_done(&s.text);
}

struct filter {
	const char *pattern;
	struct seen *seen;
};

static int match_all(void *user, const char *path, const struct slu_attr *a, struct slu_err *e)
{
	struct filter *f = user;

	return slu_glob_match(f->pattern, path) ? see(f->seen, path, a, e) : 0;
}

static uint32_t seed = 4711;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

/* A pruned walk finds what matching every file finds, on folders and on a flat listing. */
static void globs_find_what_matching_everything_finds(void **state)
{
	static const char *const part[] = {"a",      "b",         "*",  "**", "?",
					   "[ab]",   "*.csv",     "c*", "z",  "{a,b}",
					   "{b,**}", "{a/b,b/c}", "a.b"};
	struct fs_env *v = *state;
	struct flat t = {.name = tree, .n = TREE_N};
	struct fake f;
	struct slu_store *flat = fake_init(&f, flat_op);
	size_t found = 0;

	f.user = &t;
	for (size_t i = 0; i < TREE_N; i++)
		if (!slu_streq(tree[i], "a")) /* on a real file system it is the folder */
			fs_put(v->s, tree[i], "");
	for (int i = 0; i < 3000; i++) {
		struct seen want = SEEN, got = SEEN;
		struct slu_store *s = i & 1 ? flat : v->s;
		char pattern[200] = "";
		struct filter all = {pattern, &want};
		int r;

		for (uint32_t k = rnd(4) + 1; k; k--) {
			strcat(pattern, part[rnd(sizeof(part) / sizeof(part[0]))]);
			strcat(pattern, k > 1 ? "/" : "");
		}
		assert_int_equal(slu_walk(s, "", match_all, &all, NULL), 0);
		r = slu_walk_glob(s, pattern, see, &got, NULL);
		if (r != (want.n ? 0 : -ENOENT) || got.n != want.n || !got.sorted ||
		    (want.n && !slu_streq(want.text.p, got.text.p)))
			fail_msg("'%s': rc %d, got %s, want %s", pattern, r, got.text.p,
				 want.text.p);
		found += want.n;
		slu_buf_done(&want.text);
		slu_buf_done(&got.text);
	}
	assert_true(found > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(order_is_that_of_full_paths),
		FS_TEST(links_and_cycles),
		FS_TEST(deep_folders_end),
		FS_TEST(globs_list_only_what_can_match),
		cmocka_unit_test(flat_listings_are_streamed),
		cmocka_unit_test(listings_in_the_order_of_a_tree_are_sorted),
		cmocka_unit_test(lying_listings_are_refused),
		cmocka_unit_test(pages_that_repeat_for_ever_are_refused),
		cmocka_unit_test(names_that_no_path_can_say_are_left_out_and_counted),
		cmocka_unit_test(file_ids_do_not_make_cycles),
		FS_TEST(globs_find_what_matching_everything_finds),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
