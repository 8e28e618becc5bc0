/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are being written: what is where at every moment, and what is left of it after a death. */
#include "tests/unit/fs.h"

#include "fs/stage.h"
#include "fs/stage_written.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

struct env {
	struct fs_env *fs;
	struct unit_dir dir;
	struct slu_stages *t;
};

static bool reported;

static struct slu_stages *open_stages(struct env *v, int session, uint64_t max)
{
	struct slu_stages_conf c = {.store = v->fs->s,
				    .base = "",
				    .dir = v->dir.path,
				    .session = session,
				    .max = max,
				    .report = reported,
				    .reserve = 1};
	struct slu_stages *t;
	struct slu_err e = {0};

	if (slu_stages_open(&c, &t, &e))
		fail_msg("%s", e.msg);
	return t;
}

static int setup(void **state)
{
	struct env *v = calloc(1, sizeof *v);

	assert_non_null(v);
	fs_setup((void **)&v->fs);
	v->fs->s->block = 4096;
	unit_dir_make(&v->dir);
	v->t = open_stages(v, -1, 0);
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

static struct slu_stage *make(struct env *v, uint64_t ino, const char *path, bool there)
{
	struct slu_stage *s;
	struct slu_attr a;
	struct slu_err e = {0};

	if (there)
		a = fs_stat(v->fs->s, path);
	if (slu_stage_new(v->t, ino, 1, path, there ? &a : NULL, &s, &e))
		fail_msg("%s", e.msg);
	return s;
}

static void put(struct slu_stage *s, uint64_t off, const char *text)
{
	size_t n = strlen(text);
	ssize_t r = slu_stage_write(s, off, text, n, true);

	assert_int_equal(r, n);
}

static void commit(struct slu_stage *s)
{
	struct slu_err e = {0};

	if (slu_stage_commit(s, &e))
		fail_msg("%s", e.msg);
}

/* Nobody has it open any more, and it is gone. */
static void end(struct slu_stage *s)
{
	struct slu_stage_info i;

	assert_true(slu_stage_end(s, false, &i));
	slu_stage_put(s);
}

static void missing(struct env *v, const char *path)
{
	struct slu_attr a;

	assert_int_equal(slu_store_stat(v->fs->s, path, &a, NULL), -ENOENT);
}

static void expect_staged(struct slu_stage *s, const char *text)
{
	char got[4096];
	ssize_t n = slu_stage_read(s, 0, got, sizeof got, true);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static void new_file_shows_at_commit(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "d/f", false), *again = slu_stage_get(v->t, 7);
	struct slu_stage_info i;

	assert_ptr_equal(s, again);
	slu_stage_put(again);
	put(s, 0, "hello");
	put(s, 3, "p me");
	expect_staged(s, "help me");
	missing(v, "d/f");
	assert_false(slu_stage_end(s, false, &i));
	commit(s);
	fs_expect(v->fs->s, "d/f", "help me");
	slu_stage_info(s, &i);
	assert_false(i.dirty || i.fresh);
	assert_int_equal(i.base.size, 7);
	put(s, 7, "!");
	commit(s);
	fs_expect(v->fs->s, "d/f", "help me!");
	end(s);
	assert_null(slu_stage_get(v->t, 7));
	assert_int_equal(slu_stages_used(v->t), 0);
}

static void old_content_stays_until_commit(void **state)
{
	struct env *v = *state;
	struct slu_stage *s;

	fs_put(v->fs->s, "f", "old content");
	s = make(v, 7, "f", true);
	assert_int_equal(slu_stage_write(s, 0, "NEW", 3, false), -EAGAIN);
	put(s, 0, "NEW");
	expect_staged(s, "NEW content");
	fs_expect(v->fs->s, "f", "old content");
	assert_int_equal(slu_stage_truncate(s, 5, false), 0);
	assert_int_equal(slu_stage_truncate(s, 7, false), 0);
	commit(s);
	char *got;
	size_t n;

	assert_int_equal(slu_store_get(v->fs->s, "f", 100, &got, &n, NULL), 0);
	assert_int_equal(n, 7);
	assert_memory_equal(got, "NEW c\0\0", 7);
	free(got);
	end(s);
}

static void cut_to_nothing_reads_nothing(void **state)
{
	struct env *v = *state;
	struct slu_stage *s;

	fs_put(v->fs->s, "f", "old content");
	s = make(v, 7, "f", true);
	fs_put(v->fs->s, "f", "changed by somebody"); /* filling would be -ESTALE */
	assert_int_equal(slu_stage_truncate(s, 0, false), 0);
	put(s, 0, "new");
	assert_int_equal(slu_stage_commit(s, NULL), -ESTALE);
	/* It is sticky: never committed, and everybody is told. */
	assert_int_equal(slu_stage_write(s, 0, "x", 1, true), -ESTALE);
	assert_int_equal(slu_stage_sync(s, NULL), -ESTALE);
	assert_int_equal(slu_stage_commit(s, NULL), -ESTALE);
	fs_expect(v->fs->s, "f", "changed by somebody");
	end(s);
}

static void first_of_two_wins(void **state)
{
	struct env *v = *state;
	struct slu_stage *a = make(v, 1, "f", false), *b = make(v, 2, "f", false),
			 *c = make(v, 3, "f", false);

	put(a, 0, "one");
	put(b, 0, "two");
	put(c, 0, "one");
	commit(a);
	assert_int_equal(slu_stage_commit(b, NULL), -ESTALE);
	commit(c); /* the same bytes: as a commit of ours whose answer was lost */
	fs_expect(v->fs->s, "f", "one");
	end(a);
	end(b);
	end(c);
}

static void streams_while_written(void **state)
{
	struct env *v = *state;
	char *text = unit_pattern(50000);
	struct slu_stage *s = make(v, 7, "f", false);
	unsigned streams = 0;

	for (size_t off = 0; off < 50000; off += 1000) {
		assert_int_equal(slu_stage_write(s, off, text + off, 1000, false), 1000);
		if (slu_stage_wants_stream(s)) {
			slu_stage_stream(s);
			streams++;
		}
	}
	assert_true(streams >= 10);
	missing(v, "f");
	commit(s);
	fs_expect(v->fs->s, "f", text);
	/* Into what was sent already: all is sent anew. */
	for (size_t off = 0; off < 50000; off += 1000) {
		assert_int_equal(slu_stage_write(s, off, text + off, 1000, false), 1000);
		assert_false(slu_stage_wants_stream(s));
	}
	commit(s);
	end(s);
	s = make(v, 8, "g", false);
	for (size_t off = 0; off < 50000; off += 5000) {
		assert_int_equal(slu_stage_write(s, off, text + off, 5000, false), 5000);
		if (slu_stage_wants_stream(s))
			slu_stage_stream(s);
	}
	text[1] = 'X';
	put(s, 1, "X");
	assert_false(slu_stage_wants_stream(s));
	commit(s);
	fs_expect(v->fs->s, "g", text);
	end(s);
	free(text);
}

static void streams_after_a_commit_of_nothing(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);
	char *text = unit_pattern(10000);

	commit(s);
	fs_expect(v->fs->s, "f", "");
	assert_int_equal(slu_stage_write(s, 0, text, 10000, true), 10000);
	assert_true(slu_stage_wants_stream(s));
	slu_stage_stream(s);
	fs_expect(v->fs->s, "f", "");
	commit(s);
	assert_int_equal(fs_stat(v->fs->s, "f").size, 10000);
	/* What is there is written over: nothing of that can be sent early. */
	assert_int_equal(slu_stage_write(s, 5000, text, 9000, true), 9000);
	assert_false(slu_stage_wants_stream(s));
	commit(s);
	end(s);
	free(text);
}

static void no_room_is_sticky(void **state)
{
	struct env *v = *state;
	struct slu_stage *s;

	slu_stages_free(v->t);
	v->t = open_stages(v, -1, 10);
	s = make(v, 7, "f", false);
	put(s, 0, "12345678");
	assert_int_equal(slu_stage_write(s, 8, "9012", 4, false), -ENOSPC);
	assert_int_equal(slu_stage_write(s, 0, "1", 1, false), -ENOSPC);
	assert_int_equal(slu_stage_commit(s, NULL), -ENOSPC);
	missing(v, "f");
	end(s);
	assert_int_equal(slu_stages_used(v->t), 0);
	s = make(v, 8, "f", false);
	put(s, 0, "1234567890");
	commit(s);
	end(s);
}

static void names_change_while_written(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "d/f", false), *gone = make(v, 8, "d/g", false);

	put(s, 0, "text");
	put(gone, 0, "text");
	assert_true(slu_stages_any_in(v->t, "d"));
	assert_false(slu_stages_any_in(v->t, "e"));
	slu_stage_seize(s);
	assert_int_equal(slu_stage_write(s, 0, "x", 1, false), -EAGAIN);
	slu_stage_rename(s, 1, "e/f", NULL);
	slu_stage_release(s);
	slu_stage_seize(gone);
	slu_stage_remove(gone);
	slu_stage_release(gone);
	assert_false(slu_stages_any_in(v->t, "d"));
	put(gone, 4, "more");
	expect_staged(gone, "textmore");
	commit(gone);
	missing(v, "d/g");
	commit(s);
	fs_expect(v->fs->s, "e/f", "text");
	end(s);
	end(gone);
}

/* A process that goes on with the session has what was there, under the same numbers. */
static void next_process_goes_on(void **state)
{
	struct env *v = *state;
	struct slu_stage *s;
	struct slu_stage_info i;
	int fd;

	fs_put(v->fs->s, "old", "0123456789");
	s = make(v, 7, "new", false);
	put(s, 0, "bytes");
	slu_stage_put(s);
	s = make(v, 8, "old", true);
	put(s, 2, "--");
	slu_stage_put(s);
	fd = fcntl(slu_stages_fd(v->t), F_DUPFD_CLOEXEC, 3);
	slu_stages_free(v->t);
	v->t = open_stages(v, fd, 0);
	s = slu_stage_get(v->t, 7);
	assert_non_null(s);
	slu_stage_info(s, &i);
	assert_true(i.dirty && i.fresh && i.filled && !i.adopted);
	put(s, 5, "+");
	commit(s);
	end(s);
	s = slu_stage_get(v->t, 8);
	assert_non_null(s);
	commit(s);
	end(s);
	fs_expect(v->fs->s, "new", "bytes+");
	fs_expect(v->fs->s, "old", "01--456789");
}

/* No room for a record: what is removed is not there again for the next process. */
static void removed_stays_removed(void **state)
{
	struct env *v = *state;
	struct rlimit all, none;
	struct slu_stage *s = make(v, 7, "new", false);
	int fd;

	put(s, 0, "bytes");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_true(slu_stage_seize(s));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	slu_stage_remove(s);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	slu_stage_release(s);
	slu_stage_put(s);
	fd = fcntl(slu_stages_fd(v->t), F_DUPFD_CLOEXEC, 3);
	slu_stages_free(v->t);
	v->t = open_stages(v, fd, 0);
	assert_null(slu_stage_get(v->t, 7));
}

static int count(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Of a session that died what was synced is there, and nothing else. */
static void dead_session_is_taken_over(void **state)
{
	struct env *v = *state;
	struct slu_stage *s;
	struct slu_stage_info i;
	struct slu_stages *other;
	uint64_t pos = 0;

	s = make(v, 7, "synced", false);
	put(s, 0, "bytes");
	assert_int_equal(slu_stage_sync(s, NULL), 0);
	put(s, 5, "!");
	slu_stage_put(s);
	s = make(v, 8, "open", false);
	put(s, 0, "bytes");
	slu_stage_put(s);
	/* One that lives is left alone. */
	other = open_stages(v, -1, 0);
	assert_null(slu_stages_next(other, &pos));
	slu_stages_finish(other);
	slu_stages_free(other);
	slu_stages_free(v->t);
	v->t = open_stages(v, -1, 0);
	pos = 0;
	s = slu_stages_next(v->t, &pos);
	assert_non_null(s);
	slu_stage_info(s, &i);
	assert_true(i.adopted && i.dirty && !i.ino);
	slu_stage_number(s, 99, 1);
	assert_null(slu_stages_next(v->t, &pos));
	commit(s);
	end(s);
	fs_expect(v->fs->s, "synced", "bytes!");
	missing(v, "open");
	slu_stages_finish(v->t);
	assert_int_equal(count(v->dir.path), 2); /* kept, and the place */
}

/* What was synced and cannot be committed any more is kept for a person. */
static void conflict_at_takeover_keeps_both(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);
	SLU_AUTO(slu_freep) char *kept = slu_asprintf("%s/kept", v->dir.path);
	uint64_t pos = 0;

	put(s, 0, "ours");
	assert_int_equal(slu_stage_sync(s, NULL), 0);
	slu_stage_put(s);
	slu_stages_free(v->t);
	fs_put(v->fs->s, "f", "theirs");
	v->t = open_stages(v, -1, 0);
	s = slu_stages_next(v->t, &pos);
	assert_non_null(s);
	assert_int_equal(slu_stage_commit(s, NULL), -ESTALE);
	end(s);
	fs_expect(v->fs->s, "f", "theirs");
	assert_int_equal(count(kept), 1);
}

/* A copy of its descriptor was closed when it was empty, then a write failed. */
static void what_was_born_and_failed_is_taken_back(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);
	struct slu_stage_info i;

	commit(s);
	slu_stage_take_back(s);
	slu_stage_spoil(s, -ENOSPC);
	fs_expect(v->fs->s, "f", "");
	assert_false(slu_stage_end(s, false, &i));
	slu_stage_take_back(s);
	missing(v, "f");
	end(s);
	s = make(v, 8, "f", false);
	commit(s);
	fs_put(v->fs->s, "f", "theirs");
	slu_stage_spoil(s, -ENOSPC);
	slu_stage_take_back(s);
	fs_expect(v->fs->s, "f", "theirs");
	end(s);
	s = make(v, 9, "g", false);
	put(s, 0, "whole");
	commit(s);
	slu_stage_spoil(s, -ENOSPC);
	slu_stage_take_back(s);
	fs_expect(v->fs->s, "g", "whole");
	end(s);
}

/* --- the report --- */

static int setup_reported(void **state)
{
	struct env *v;

	setup(state);
	v = *state;
	slu_stages_finish(v->t);
	slu_stages_free(v->t);
	reported = true;
	v->t = open_stages(v, -1, 8192);
	reported = false;
	return 0;
}

static void expect_lost(struct env *v, const char *text)
{
	struct slu_err e = {0};
	int r = slu_written_read(v->dir.path, NULL, &e);

	if (!text && r)
		fail_msg("%s", e.msg);
	if (text && (!r || !strstr(e.msg, text)))
		fail_msg("%d %s", r, e.msg);
}

static void a_report_is_good_only_with_its_end(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "d/f", false);

	put(s, 0, "x");
	commit(s);
	end(s);
	expect_lost(v, "without notice");
	slu_stages_report_end(v->t);
	expect_lost(v, NULL);
}

static void what_is_dirty_at_the_end_is_lost(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "a b/f%", false);
	struct slu_stage *gone = make(v, 8, "gone", false);

	put(s, 0, "x");
	put(gone, 0, "x");
	assert_true(slu_stage_seize(gone));
	slu_stage_remove(gone);
	slu_stage_release(gone);
	slu_stages_report_end(v->t);
	expect_lost(v, "'a b/f%' (it was not in the store when");
	slu_stage_put(s);
	slu_stage_put(gone);
}

static void a_failed_write_is_lost_until_it_is_written_again(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);
	struct slu_stage_info i;
	char big[9000] = "";

	assert_int_equal(slu_stage_write(s, 0, big, sizeof big, true), -ENOSPC);
	assert_true(slu_stage_end(s, true, &i));
	slu_stage_put(s);
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (No space left on device)");
	s = make(v, 8, "ff", false);
	put(s, 0, "x");
	commit(s);
	end(s);
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (");
	s = make(v, 9, "f", false);
	put(s, 0, "x");
	commit(s);
	end(s);
	slu_stages_report_end(v->t);
	expect_lost(v, NULL);
}

static void another_writer_was_first(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);

	put(s, 0, "ours");
	fs_put(v->fs->s, "f", "theirs");
	assert_int_equal(slu_stage_commit(s, NULL), -ESTALE);
	slu_stage_put(s);
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (");
}

/* A commit of what a killed program had written takes nothing back; a write after it does. */
static void a_killed_writer_is_suspect(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);

	put(s, 0, "part");
	slu_stage_suspect(s, "killed");
	commit(s);
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (killed)");
	put(s, 4, "rest");
	commit(s);
	slu_stages_report_end(v->t);
	expect_lost(v, NULL);
	slu_stage_suspect(s, "killed");
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (killed)");
	slu_stage_trust(s);
	slu_stages_report_end(v->t);
	expect_lost(v, NULL);
	slu_stage_put(s);
}

static void what_a_worker_lost_stays_lost_after_it(void **state)
{
	struct env *v = *state;
	struct slu_stage *s = make(v, 7, "f", false);
	char big[9000] = "";

	assert_int_equal(slu_stage_write(s, 0, big, sizeof big, true), -ENOSPC);
	slu_stage_put(s);
	int session = fcntl(slu_stages_fd(v->t), F_DUPFD_CLOEXEC, 3);

	slu_stages_free(v->t);
	reported = true;
	v->t = open_stages(v, session, 0);
	reported = false;
	slu_stages_report_end(v->t);
	expect_lost(v, "'f' (No space");
}

static void many_are_counted(void **state)
{
	struct env *v = *state;
	char name[16];

	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof name, "f%d", i);
		slu_stages_lost(v->t, name, "why");
		slu_stages_lost(v->t, name, "again");
	}
	slu_stages_lost(v->t, "", "all of it");
	expect_lost(v, "'f4' (why) and 5 more");
}

/* However the names lie on the disk: each once, in the order of their making. */
static void what_is_no_file_stays(void **state)
{
	struct env *v = *state;
	struct slu_stage_info i;
	struct slu_stage *s;
	struct slu_err e = {0};
	char path[16], text[16];
	uint64_t pos = 0;

	for (unsigned k = 0; k < 12; k++) {
		snprintf(path, sizeof path, "link%u", k);
		assert_int_equal(slu_stage_node(v->t, 10 + k, 1, path, k ? S_IFLNK : S_IFCHR, 259,
						k ? path : "", &s, &e),
				 0);
		assert_false(slu_stage_end(s, true, &i));
		slu_stage_put(s);
	}
	missing(v, "link1");
	slu_stages_finish(v->t);
	slu_stages_free(v->t);
	v->t = open_stages(v, -1, 0);
	for (unsigned k = 0; k < 12; k++) {
		s = slu_stages_next(v->t, &pos);
		assert_non_null(s);
		slu_stage_info(s, &i);
		SLU_AUTO(slu_freep) char *name = slu_stage_path(s);
		ssize_t n = slu_stage_read(s, 0, text, sizeof text, false);

		assert_int_equal(i.type, slu_streq(name, "link0") ? S_IFCHR : S_IFLNK);
		if (i.type == S_IFCHR) {
			assert_int_equal(slu_stage_device(s), 259);
		} else {
			assert_int_equal(n, strlen(name));
			assert_memory_equal(text, name, strlen(name));
		}
		assert_true(slu_stage_seize(s));
		slu_stage_remove(s);
		slu_stage_release(s);
		end(s);
	}
	assert_null(slu_stages_next(v->t, &pos));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(new_file_shows_at_commit),
		T(old_content_stays_until_commit),
		T(cut_to_nothing_reads_nothing),
		T(first_of_two_wins),
		T(streams_while_written),
		T(streams_after_a_commit_of_nothing),
		T(no_room_is_sticky),
		T(names_change_while_written),
		T(next_process_goes_on),
		T(removed_stays_removed),
		T(dead_session_is_taken_over),
		T(conflict_at_takeover_keeps_both),
		T(what_is_no_file_stays),
#define R(f) cmocka_unit_test_setup_teardown(f, setup_reported, teardown)
		T(what_was_born_and_failed_is_taken_back),
		R(a_report_is_good_only_with_its_end),
		R(what_is_dirty_at_the_end_is_lost),
		R(a_failed_write_is_lost_until_it_is_written_again),
		R(another_writer_was_first),
		R(a_killed_writer_is_suspect),
		R(what_a_worker_lost_stays_lost_after_it),
		R(many_are_counted),
	};

	return cmocka_run_group_tests_name("stage", tests, NULL, NULL);
}
