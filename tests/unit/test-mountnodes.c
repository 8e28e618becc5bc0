/* SPDX-License-Identifier: Apache-2.0 */
/* The node table of a live mount: numbers that mean the same everywhere, bounds, races. */
#include "tests/unit/unit.h"

#include "common/str.h"
#include "fs/mount_nodes.h"

#include <errno.h>
#include <pthread.h>

static struct slu_attr file(const char *id, uint64_t size)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = size, .mtime_ns = 5};

	snprintf(a.id, sizeof a.id, "%s", id);
	return a;
}

static const struct slu_attr folder = {.kind = SLU_KIND_DIR, .mtime_ns = 7};

static struct slu_lnode enter(struct slu_lnodes *t, uint64_t parent, const char *name,
			      const struct slu_attr *a)
{
	struct slu_lnode n;

	assert_int_equal(slu_lnodes_enter(t, parent, name, a, 100, &n), 0);
	return n;
}

static void a_number_is_path_and_state(void **state)
{
	struct slu_lnodes *t, *u;
	struct slu_attr v1 = file("one", 3), v2 = file("two", 3);

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	assert_int_equal(slu_lnodes_new(0, &u), 0);
	struct slu_lnode d = enter(t, SLU_LNODE_ROOT, "d", &folder);
	struct slu_lnode a = enter(t, d.id, "x", &v1), b = enter(t, d.id, "x", &v2);

	assert_true(a.id != b.id);
	assert_true(a.ino == b.ino);
	assert_true(b.up == d.ino);
	/* Another process comes to the same, in another order. */
	(void)enter(u, SLU_LNODE_ROOT, "before", &v1);
	assert_true(enter(u, enter(u, SLU_LNODE_ROOT, "d", &folder).id, "x", &v2).id == b.id);
	assert_true(enter(u, d.id, "x", &v1).id == a.id);
	/* And back to a state that was there before: its node again. */
	assert_true(enter(t, d.id, "x", &v1).id == a.id);
	slu_lnodes_free(t);
	slu_lnodes_free(u);
}

static void an_old_state_lives_until_it_is_forgotten(void **state)
{
	struct slu_attr v1 = file("one", 3), v2 = file("two", 4);
	struct slu_lnodes *t;
	struct slu_lnode n;
	char *path, id[SLU_ID_MAX];

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	struct slu_lnode a = enter(t, SLU_LNODE_ROOT, "x", &v1),
			 b = enter(t, SLU_LNODE_ROOT, "x", &v2);

	assert_int_equal(slu_lnodes_child(t, SLU_LNODE_ROOT, "x", false, &n), 0);
	assert_true(n.id == b.id);
	assert_int_equal(slu_lnodes_get(t, a.id, &n), 0);
	assert_int_equal(n.size, 3);
	slu_lnodes_id(t, a.id, id);
	assert_string_equal(id, "one");
	assert_int_equal(slu_lnodes_open(t, a.id), 0);
	slu_lnodes_forget(t, a.id,
			  5); /* more than were told: a process before this one told them */
	assert_int_equal(slu_lnodes_get(t, a.id, &n), 0);
	slu_lnodes_close(t, a.id);
	assert_int_equal(slu_lnodes_get(t, a.id, &n), -ESTALE);
	slu_lnodes_forget(t, a.id, 1);
	slu_lnodes_expire(t, b.id);
	assert_int_equal(slu_lnodes_child(t, SLU_LNODE_ROOT, "x", false, &n), -ENOENT);
	assert_int_equal(slu_lnodes_path(t, b.id, "base/dir", NULL, &path), 0);
	assert_string_equal(path, "base/dir/x");
	free(path);
	assert_int_equal(slu_lnodes_path(t, SLU_LNODE_ROOT, "", "y", &path), 0);
	assert_string_equal(path, "y");
	free(path);
	assert_int_equal(slu_lnodes_path(t, SLU_LNODE_ROOT, "", "..", &path), -ENOENT);
	assert_int_equal(slu_lnodes_path(t, 12345, "", NULL, &path), -ESTALE);
	assert_int_equal(slu_lnodes_enter(t, b.id, "y", &v1, 1, &n), -ESTALE);
	slu_lnodes_free(t);
}

static void folders_stay_while_something_in_them_is_known(void **state)
{
	struct slu_attr v = file("one", 3);
	struct slu_lnodes *t;
	struct slu_lnode n;

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	struct slu_lnode d = enter(t, SLU_LNODE_ROOT, "d", &folder),
			 e = enter(t, d.id, "e", &folder), f = enter(t, e.id, "f", &v);

	slu_lnodes_forget(t, d.id, 1);
	slu_lnodes_forget(t, e.id, 1);
	assert_int_equal(slu_lnodes_get(t, d.id, &n), 0);
	assert_int_equal(slu_lnodes_count(t), 4);
	slu_lnodes_forget(t, f.id, 1);
	assert_int_equal(slu_lnodes_count(t), 1);
	slu_lnodes_free(t);
}

static void memory_is_bounded(void **state)
{
	struct slu_attr v = file("one", 10);
	struct slu_lnodes *t;
	struct slu_lnode n, first, open;

	(void)state;
	assert_int_equal(slu_lnodes_new(1000, &t), 0);
	first = enter(t, SLU_LNODE_ROOT, "first", &v);
	open = enter(t, SLU_LNODE_ROOT, "open", &v);
	assert_int_equal(slu_lnodes_open(t, open.id), 0);
	for (int i = 0; i < 5000; i++) {
		char name[32];

		snprintf(name, sizeof name, "n%d", i);
		(void)enter(t, SLU_LNODE_ROOT, name, &v);
	}
	assert_true(slu_lnodes_count(t) <= 1002);
	assert_true(slu_lnodes_bytes(t) <= 10020);
	assert_int_equal(slu_lnodes_get(t, first.id, &n), -ESTALE);
	assert_int_equal(slu_lnodes_get(t, open.id, &n), 0);
	/* Looked up again it is what it was. */
	assert_true(enter(t, SLU_LNODE_ROOT, "first", &v).id == first.id);
	slu_lnodes_free(t);
}

struct seen {
	int n, folders;
	char path[64];
	struct slu_attr attr;
};

static void see(void *user, const char *path, const struct slu_attr *a, uint64_t id, char how)
{
	(void)id;
	struct seen *s = user;

	if (how == 'd') {
		s->folders += a->kind == SLU_KIND_DIR && slu_streq(path, "d");
		return;
	}
	s->n++;
	snprintf(s->path, sizeof s->path, "%s", path);
	s->attr = *a;
}

static void what_is_open_can_be_told_to_another_process(void **state)
{
	struct slu_attr v = file("one", 3);
	struct slu_lnodes *t, *u;
	struct slu_lnode n;
	struct seen s = {0};

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	assert_int_equal(slu_lnodes_new(0, &u), 0);
	struct slu_lnode d = enter(t, SLU_LNODE_ROOT, "d", &folder), f = enter(t, d.id, "x", &v);

	(void)enter(t, d.id, "closed", &v);
	assert_int_equal(slu_lnodes_open(t, f.id), 0);
	slu_lnodes_each_held(t, see, &s);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.folders, 1);
	assert_string_equal(s.path, "d/x");
	assert_int_equal(slu_lnodes_restore(u, s.path, &s.attr, true, 0, &n), 0);
	assert_true(n.id == f.id && n.ino == f.ino && n.size == 3 && n.mtime_ns == 5);
	assert_int_equal(slu_lnodes_get(u, d.id, &n), 0);
	/* Open: nothing that the kernel forgets takes it away. */
	slu_lnodes_forget(u, f.id, 9);
	assert_int_equal(slu_lnodes_get(u, f.id, &n), 0);
	slu_lnodes_close(u, f.id);
	assert_int_equal(slu_lnodes_get(u, f.id, &n), -ESTALE);
	/* As often as it was opened and closed: nothing stays. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(slu_lnodes_restore(u, "d/x", &s.attr, true, 0, &n), 0);
		slu_lnodes_close(u, n.id);
	}
	assert_int_equal(slu_lnodes_restore(u, "d/..", &v, true, 0, &n), -EINVAL);
	assert_int_equal(slu_lnodes_restore(u, "d/x/y", &v, true, 0, &n), 0);
	slu_lnodes_close(u, n.id);
	assert_int_equal(slu_lnodes_count(u), 1);
	/* A folder that is known only stays until the kernel forgets it. */
	assert_int_equal(slu_lnodes_restore(u, "d", &folder, false, 0, &n), 0);
	assert_int_equal(slu_lnodes_get(u, d.id, &n), 0);
	assert_false(enter(u, SLU_LNODE_ROOT, "d", &folder).first);
	slu_lnodes_forget(u, d.id, 9);
	assert_int_equal(slu_lnodes_count(u), 1);
	assert_true(enter(u, SLU_LNODE_ROOT, "d", &folder).first);
	slu_lnodes_forget(u, d.id, 1);
	assert_int_equal(slu_lnodes_restore(u, "../x", &v, true, 0, &n), -EINVAL);
	assert_int_equal(slu_lnodes_restore(u, "", &v, true, 0, &n), -EINVAL);
	slu_lnodes_free(t);
	slu_lnodes_free(u);
}

static void *storm(void *arg)
{
	struct slu_lnodes *t = arg;
	unsigned seed = (unsigned)(uintptr_t)pthread_self();

	for (int i = 0; i < 4000; i++) {
		char dir[8], name[16], id[8], *path;
		struct slu_lnode d, n;

		seed = seed * 1103515245 + 12345;
		snprintf(dir, sizeof dir, "d%u", seed >> 16 & 3);
		snprintf(name, sizeof name, "f%u", seed >> 18 & 63);
		snprintf(id, sizeof id, "%u", seed >> 24 & 3);
		struct slu_attr a = file(id, 1);

		if (slu_lnodes_enter(t, SLU_LNODE_ROOT, dir, &folder, i, &d))
			continue;
		if (!slu_lnodes_enter(t, d.id, name, &a, 1, &n)) {
			if (!slu_lnodes_open(t, n.id)) {
				char got[SLU_ID_MAX];

				slu_lnodes_id(t, n.id, got);
				assert_string_equal(got, id);
				slu_lnodes_close(t, n.id);
			}
			if (!slu_lnodes_path(t, n.id, "", NULL, &path))
				free(path);
			if (seed & 1 << 17)
				slu_lnodes_expire(t, n.id);
			slu_lnodes_forget(t, n.id, 1);
		}
		slu_lnodes_forget(t, d.id, 1);
	}
	return NULL;
}

static void many_threads(void **state)
{
	struct slu_lnodes *t;
	pthread_t th[4];

	(void)state;
	assert_int_equal(slu_lnodes_new(50, &t), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&th[i], NULL, storm, t), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(slu_lnodes_count(t), 1);
	slu_lnodes_free(t);
}

/* A listing that began before something was written does not bring the old state back. */
static void newer_knowledge_stays(void **state)
{
	struct slu_attr v = file("one", 3), w = file("two", 4);
	struct slu_lnodes *t;
	struct slu_lnode n, m;

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	assert_int_equal(slu_lnodes_learn(t, SLU_LNODE_ROOT, "x", &w, 20), 0);
	assert_int_equal(slu_lnodes_enter(t, SLU_LNODE_ROOT, "x", &v, 10, &n), 0);
	assert_int_equal(n.size, 4);
	assert_int_equal(slu_lnodes_enter(t, SLU_LNODE_ROOT, "x", &v, 30, &m), 0);
	assert_int_equal(m.size, 3);
	slu_lnodes_free(t);
}

/* What is written keeps its number and name; afterwards both are free, and the number is never that state again. */
static void what_is_written_stays(void **state)
{
	struct slu_attr v = file("one", 3), w = file("two", 4);
	struct slu_lnodes *t;
	struct slu_lnode n, m;

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	assert_int_equal(slu_lnodes_enter(t, SLU_LNODE_ROOT, "x", &v, 10, &n), 0);
	slu_lnodes_pin(t, n.id);
	slu_lnodes_forget(t, n.id, 1);
	assert_int_equal(slu_lnodes_enter(t, SLU_LNODE_ROOT, "x", &w, 20, &m), 0);
	assert_int_equal(m.id, n.id);
	assert_int_equal(slu_lnodes_open(t, n.id), 0);
	slu_lnodes_unpin(t, n.id, 9, 7);
	assert_int_equal(slu_lnodes_get(t, n.id, &m), 0);
	assert_true(m.size == 9 && m.mtime_ns == 7 && m.spoiled);
	assert_int_equal(slu_lnodes_child(t, SLU_LNODE_ROOT, "x", false, &m), -ENOENT);
	assert_int_equal(slu_lnodes_enter(t, SLU_LNODE_ROOT, "x", &v, 30, &m), 0);
	assert_int_not_equal(m.id, n.id);
	slu_lnodes_free(t);
}

static void a_folder_moves_with_all_in_it(void **state)
{
	struct slu_attr v = file("one", 3);
	struct slu_lnodes *t;
	SLU_AUTO(slu_freep) char *path = NULL;
	struct slu_lnode n;

	(void)state;
	assert_int_equal(slu_lnodes_new(0, &t), 0);
	struct slu_lnode a = enter(t, SLU_LNODE_ROOT, "a", &folder),
			 b = enter(t, SLU_LNODE_ROOT, "b", &folder),
			 d = enter(t, a.id, "d", &folder), f = enter(t, d.id, "x", &v);

	assert_int_equal(slu_lnodes_move(t, a.id, d.id, "a"), -ESTALE);
	assert_int_equal(slu_lnodes_move(t, d.id, b.id, "a longer name"), 0);
	assert_int_equal(slu_lnodes_child(t, a.id, "d", false, &n), -ENOENT);
	assert_int_equal(slu_lnodes_path(t, f.id, "", NULL, &path), 0);
	assert_string_equal(path, "b/a longer name/x");
	/* The numbers shown follow the paths, so a new file at the old path has another one. */
	struct slu_lnode d2 = enter(t, a.id, "d", &folder), f2 = enter(t, d2.id, "x", &v);

	assert_int_equal(slu_lnodes_get(t, f.id, &n), 0);
	assert_true(f2.ino == f.ino && n.ino != f.ino && f2.id != f.id && d2.id != d.id);
	slu_lnodes_forget(t, a.id, 1);
	slu_lnodes_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_path_and_state),
		cmocka_unit_test(an_old_state_lives_until_it_is_forgotten),
		cmocka_unit_test(folders_stay_while_something_in_them_is_known),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(what_is_open_can_be_told_to_another_process),
		cmocka_unit_test(newer_knowledge_stays),
		cmocka_unit_test(what_is_written_stays),
		cmocka_unit_test(a_folder_moves_with_all_in_it),
		cmocka_unit_test(many_threads),
	};

	return cmocka_run_group_tests_name("mountnodes", tests, NULL, NULL);
}
