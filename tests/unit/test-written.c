/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a mount wrote, as its report tells when it is over. */
#include "tests/unit/fs.h"

#include "fs/stage.h"
#include "fs/stage_written.h"

struct env {
	struct fs_env *fs;
	struct unit_dir dir;
	struct slu_stages *t;
};

static int setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);

	assert_non_null(v);
	fs_setup((void **)&v->fs);
	unit_dir_make(&v->dir);
	const struct slu_stages_conf c = {.store = v->fs->s,
					  .base = "",
					  .dir = v->dir.path,
					  .session = -1,
					  .report = true,
					  .reserve = 1};

	assert_int_equal(slu_stages_open(&c, &v->t, NULL), 0);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	slu_stages_free(v->t);
	unit_dir_done(&v->dir);
	fs_teardown((void **)&v->fs);
	free(v);
	return 0;
}

static struct slu_written *written(struct env *v)
{
	struct slu_written *w;
	struct slu_err e = {0};

	slu_stages_report_end(v->t);
	if (slu_written_read(v->dir.path, &w, &e))
		fail_msg("%s", e.msg);
	return w;
}

static char was[100];

static enum slu_whose whose(const struct slu_written *w, const char *path, const char *id)
{
	SLU_AUTO(slu_freep) char *name = NULL;
	enum slu_whose r = slu_written_whose(w, path, id, &name);

	snprintf(was, sizeof was, "%s", name ? name : "");
	return r;
}

static void the_report_knows_what_was_written(void **state)
{
	struct env *v = *state;
	struct slu_stage_info i;
	struct slu_stage *s;

	assert_int_equal(slu_stage_new(v->t, 7, 1, "d/f 1", NULL, &s, NULL), 0);
	assert_int_equal(slu_stage_write(s, 0, "x", 1, true), 1);
	assert_int_equal(slu_stage_commit(s, NULL), 0);
	assert_true(slu_stage_end(s, false, &i));
	slu_stage_put(s);
	SLU_AUTO(slu_written_freep) struct slu_written *w = written(v);

	assert_int_equal(whose(w, "d/f 1", i.base.id), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "d/f 1", "other"), SLU_WHOSE_CHANGED);
	assert_int_equal(whose(w, "d/f", i.base.id), SLU_WHOSE_OTHERS);
	assert_int_equal(whose(w, "d", i.base.id), SLU_WHOSE_OTHERS);
}

static int join(void *user, const char *path)
{
	char *all = user;

	strcat(all, path);
	strcat(all, ",");
	return strcmp(path, "stop") == 0 ? 9 : 0;
}

static void names_are_followed(void **state)
{
	struct env *v = *state;
	char all[200] = "";

	slu_stages_moved(v->t, "early", "nothing");
	slu_stages_wrote(v->t, "a/b/f", "1");
	slu_stages_wrote(v->t, "a/b/g", "1");
	slu_stages_gone(v->t, "a/b/g");
	slu_stages_moved(v->t, "a/c", "a/b");
	slu_stages_moved(v->t, "z", "a");
	slu_stages_wrote(v->t, "z/c/late", "2");
	slu_stages_wrote(v->t, "any", "");
	slu_stages_wrote(v->t, "a/b/f", "3");
	SLU_AUTO(slu_written_freep) struct slu_written *w = written(v);

	assert_int_equal(whose(w, "z/c/f", "1"), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "z/c/g", "1"), SLU_WHOSE_OTHERS);
	assert_int_equal(whose(w, "z/c/was there", "1"), SLU_WHOSE_MOVED);
	assert_string_equal(was, "a/b/was there");
	assert_int_equal(whose(w, "z/c/late", "2"), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "z/c/late", "1"), SLU_WHOSE_CHANGED);
	assert_int_equal(whose(w, "a/c/f", "1"), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "any", "5"), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "a/b/f", "3"), SLU_WHOSE_OURS);
	assert_int_equal(whose(w, "a/b/f", "1"), SLU_WHOSE_CHANGED);
	assert_int_equal(whose(w, "zz/c/f", "1"), SLU_WHOSE_OTHERS);
	/* Below a folder that went away it is not known what there is. */
	assert_int_equal(slu_written_each(w, join, all), 0);
	assert_string_equal(all, "any,z/c/late,");
}

static void each_ends_when_it_is_told_to(void **state)
{
	struct env *v = *state;
	char all[200] = "";

	slu_stages_wrote(v->t, "x", "1");
	slu_stages_wrote(v->t, "stop", "1");
	slu_stages_wrote(v->t, "stop", "2");
	SLU_AUTO(slu_written_freep) struct slu_written *w = written(v);

	assert_int_equal(slu_written_each(w, join, all), 9);
	assert_string_equal(all, "stop,");
}

/* The commit of an empty file finds one that somebody else has made meanwhile: that is not ours to take back. */
static void the_same_of_others_stays(void **state)
{
	struct env *v = *state;
	struct slu_stage_info i;
	struct slu_stage *s;

	assert_int_equal(slu_stage_new(v->t, 7, 1, "f", NULL, &s, NULL), 0);
	fs_put(v->fs->s, "f", "");
	assert_int_equal(slu_stage_commit(s, NULL), 0);
	slu_stage_spoil(s, -ENOSPC);
	slu_stage_take_back(s);
	fs_expect(v->fs->s, "f", "");
	assert_true(slu_stage_end(s, false, &i));
	slu_stage_put(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(the_report_knows_what_was_written),
		T(names_are_followed),
		T(each_ends_when_it_is_told_to),
		T(the_same_of_others_stays),
	};

	return cmocka_run_group_tests_name("written", tests, NULL, NULL);
}
