/* SPDX-License-Identifier: Apache-2.0 */
/* The HDFS driver against a small WebHDFS that fails on demand. */
#include "tests/unit/unit.h"

#include "common/str.h"
#include "common/time.h"
#include "hdfs/hdfs.h"
#include "tests/unit/hdfs.h"

#include <errno.h>
#include <sched.h>

#define TXN "0123456789abcdef"

static int setup(void **state)
{
	struct slu_loops_conf conf = {.threads = 2};
	char web[32];
	struct slu_hdfs_conf c = {.web = web,
				  .rpc = "nn:8020",
				  .root = "/r",
				  .user = "ann",
				  .protocol = SLU_HDFS_WEB};

	(void)state;
	fake_start();
	snprintf(web, sizeof(web), "127.0.0.1:%u", fake.srv.port);
	assert_int_equal(slu_loops_new(&conf, &loops, NULL), 0);
	assert_int_equal(slu_hdfs_new(&c, loops, NULL, &s, &e), 0);
	e = (struct slu_err){0};
	return 0;
}

static void what_was_put_is_there(void **state)
{
	struct slu_attr a, b;

	(void)state;
	if (slu_store_put(s, "a b/c%", "hello", 5, 0, &a, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(slu_store_stat(s, "a b/c%", &b, &e), 0);
	assert_string_equal(a.id, b.id);
	assert_int_equal(b.size, 5);
	assert_holds("a b/c%", "hello");
	assert_int_equal(put("a b/c%", "", 0), 0);
	assert_holds("a b/c%", "");
	assert_false(fake_any(".sluice-"));
	/* never under its own name, and the DataNode gets no user of ours */
	assert_int_equal(fake_count("CREATE /r/a b/c%"), 0);
	assert_int_equal(fake_count("data-CREATE /r/a b/.sluice-"), 2);
	for (const char *l = fake.log; (l = strstr(l, "data-")); l++) {
		char line[512];

		snprintf(line, sizeof(line), "%.*s", (int)strcspn(l, "\n"), l);
		assert_lacks(line, "user.name");
	}
}

static void only_one_can_be_first(void **state)
{
	(void)state;
	assert_int_equal(put("x", "one", SLU_OPF_ABSENT), 0);
	assert_failed(put("x", "two", SLU_OPF_ABSENT), e, EEXIST, "'x' exists already");
	assert_holds("x", "one");
	assert_false(fake_any(".sluice-"));
	fake_put("/r/d/f", "", 0);
	assert_failed(put("d", "two", SLU_OPF_ABSENT), e, EEXIST, "'d' exists already");
	assert_failed(put("d", "two", 0), e, EISDIR, "a folder");
	assert_false(fake_any(".sluice-"));
}

static int block(const char *path, uint64_t off, const char *text)
{
	struct slu_op op;

	slu_op_put_block(&op, path, TXN, off, text, strlen(text));
	return slu_store_wait(s, &op, &e);
}

static int commit(const char *path, uint64_t size, unsigned flags)
{
	struct slu_op op;

	slu_op_commit(&op, path, TXN, size, flags);
	return slu_store_wait(s, &op, &e);
}

static void a_short_create_is_never_seen(void **state)
{
	(void)state;
	fake_fails("data-CREATE", 0, FAKE_SHORT);
	assert_failed(put("x", "0123456789", 0), e, EBADMSG, "5 of 10 bytes arrived");
	assert_false(fake_has("/r/x"));
	assert_false(fake_any(".sluice-"));
	assert_int_equal(block("x", 5, "6789a"), 0);
	fake_fails("data-CREATE", 0, FAKE_SHORT);
	assert_failed(block("x", 0, "01234"), e, EBADMSG, "2 of 5 bytes arrived");
	assert_failed(commit("x", 10, 0), e, EIO, "0 of 10 bytes"); /* what is right stayed */
}

static int put_long(const char *path, unsigned flags)
{
	static char data[10000]; /* three blocks */
	struct slu_op op;

	slu_op_put(&op, path, memset(data, 'l', sizeof(data)), sizeof(data), flags);
	return slu_store_wait(s, &op, &e);
}

static void a_flipped_bit_is_never_seen(void **state)
{
	int requests = 0;

	(void)state;
	assert_int_equal(put_long("x", 0), 0);
	assert_int_equal(fake_count("GETFILECHECKSUM"), 1);
	assert_int_equal(fake_count("data-GETFILECHECKSUM"), 1);
	for (const char *l = fake.log; (l = strchr(l, '\n')); l++)
		requests++;
	assert_int_equal(requests, 7); /* a probe, the data, the sum, the status, the rename */
	fake_fails("data-CREATE", 0, FAKE_FLIPPED);
	assert_failed(put_long("y", SLU_OPF_ABSENT), e, EBADMSG, "'y'");
	assert_non_null(strstr(e.msg, "arrived damaged: its checksum is hadoop:512:4096:"));
	assert_false(fake_has("/r/y"));
	assert_false(fake_any(".sluice-"));
	fake_fails("data-CREATE", 0, FAKE_FLIPPED);
	assert_failed(block("z", 0, "01234"), e, EBADMSG, "arrived damaged");
	assert_false(fake_any("/0000000000000000"));
	fake_fails("data-CREATE", 0, FAKE_FLIPPED);
	assert_int_equal(put_long("y", SLU_OPF_BARE), 0); /* nobody wants to know */
}

static void a_lost_checksum_is_no_checksum(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		fake_fails(i ? "data-GETFILECHECKSUM" : "GETFILECHECKSUM", 0, FAKE_STANDBY);
		assert_failed(put("x", "hello", 0), e, EAGAIN, "standby");
		assert_false(fake_any("/r/x"));
		assert_false(fake_any(".sluice-"));
	}
}

static void who_has_no_checksums_tells_lengths(void **state)
{
	(void)state;
	fake.coded = true;
	assert_int_equal(put("x", "hello", 0), 0);
	assert_int_equal(block("y", 0, "hello"), 0);
	assert_int_equal(commit("y", 5, 0), 0);
	assert_int_equal(fake_count("GETFILECHECKSUM"), 2); /* the next file may be another */
	fake_forget();
	fake_fails("GETFILECHECKSUM", 0, FAKE_UNKNOWN);
	assert_int_equal(put("x", "hello", 0), 0);
	assert_int_equal(put("x", "again", 0), 0);
	assert_holds("x", "again");
	assert_int_equal(fake_count("GETFILECHECKSUM"), 1);
}

static void a_lost_datanode_is_left_out(void **state)
{
	(void)state;
	fake_fails("data-CREATE", 0, FAKE_LOST_BEFORE);
	assert_int_equal(put("x", "hello", SLU_OPF_ABSENT), 0);
	assert_non_null(strstr(fake.log, "excludedatanodes=127.0.0.1:"));
	assert_holds("x", "hello");
	fake_forget();
	fake_fails("data-OPEN", 0, FAKE_SHORT);
	assert_holds("x", "hello");
	assert_int_equal(fake_count("data-OPEN"), 2);
	assert_int_equal(fake_count("data-OPEN"), 2);
	assert_non_null(strstr(fake.log, "excludedatanodes=127.0.0.1:"));
}

static void the_only_datanode_is_asked_again(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		fake_fails(i ? "data-OPEN" : "data-CREATE", 0, i ? FAKE_SHORT : FAKE_LOST_BEFORE);
		fake.then = FAKE_NO_OTHER;
		snprintf(fake.then_op, sizeof(fake.then_op), "%s", i ? "OPEN" : "CREATE");
		if (i)
			assert_holds("x", "hello");
		else
			assert_int_equal(put("x", "hello", SLU_OPF_ABSENT), 0);
		assert_int_equal(fake.fault, FAKE_OK);
	}
}

static void a_lost_answer_to_the_rename(void **state)
{
	(void)state;
	fake_fails("RENAME", 0, FAKE_LOST_AFTER);
	assert_int_equal(put("after", "hello", SLU_OPF_ABSENT), 0);
	assert_holds("after", "hello");

	/* a connection that dies may make the client send it twice: both are lost */
	fake_fails("RENAME", 0, FAKE_HANG);
	struct slu_op op;

	slu_op_put(&op, "before", "hello", 5, SLU_OPF_ABSENT);
	op.deadline = slu_deadline_in(5 * SLU_SEC); /* the rename is begun by then */
	assert_failed(slu_store_wait(s, &op, &e), e, ETIMEDOUT, "before");
	assert_true(fake_count("RENAME") > 1);
	assert_false(fake_has("/r/before"));
	assert_false(fake_any(".sluice-"));
}

static void a_standby_is_told(void **state)
{
	(void)state;
	fake_fails("GETFILESTATUS", 0, FAKE_STANDBY);
	assert_failed(put("x", "hello", 0), e, EAGAIN, "standby");
	assert_false(fake_any(".sluice-"));
}

static void blocks_become_a_file(void **state)
{
	struct slu_list l = {0};
	struct slu_op op;

	(void)state;
	fake.page = 2; /* the blocks come in pages */
	assert_int_equal(block("d/x", 10, "cc"), 0);
	assert_int_equal(block("d/x", 0, "aaaaa"), 0);
	assert_int_equal(block("d/x", 5, "bbbbb"), 0);
	assert_false(fake_has("/r/d/x"));
	slu_op_list(&op, "d", NULL, &l);
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_int_equal(l.n, 0); /* unfinished work is not listed */
	slu_list_done(&l);
	assert_failed(commit("d/x", 13, 0), e, EIO, "12 of 13 bytes");
	assert_int_equal(commit("d/x", 12, SLU_OPF_ABSENT), 0);
	assert_holds("d/x", "aaaaabbbbbcc");
	assert_false(fake_any(".sluice-"));
	assert_failed(commit("d/x", 12, 0), e, ENOENT, "blocks are gone");
}

static void a_gap_is_no_file(void **state)
{
	struct slu_op op;

	(void)state;
	assert_int_equal(block("x", 0, "aaaaa"), 0);
	assert_int_equal(block("x", 6, "bbbb"), 0);
	assert_failed(commit("x", 10, 0), e, EIO, "5 of 10 bytes");
	slu_op_abort(&op, "x", TXN);
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_false(fake_any(".sluice-"));
	assert_int_equal(commit("empty", 0, 0), 0);
	assert_holds("empty", "");
}

static void folders_with_commas(void **state)
{
	(void)state;
	assert_int_equal(block("a,b/c/x", 0, "aaaaa"), 0);
	assert_int_equal(block("a,b/c/x", 5, "bb"), 0);
	assert_int_equal(commit("a,b/c/x", 7, 0), 0);
	assert_holds("a,b/c/x", "aaaaabb");
}

/* The NameNode would make another name of it. */
static void names_are_utf8(void **state)
{
	struct slu_op op;

	(void)state;
	slu_op_put(&op, "d/lat\xe9in", "x", 1, 0);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "is no UTF-8");
	fake_put("/r/x", "hello", 5);
	slu_op_rename(&op, "x", "\xff", 0);
	assert_failed(slu_store_wait(s, &op, &e), e, EINVAL, "is no UTF-8");
	slu_op_rename(&op, "x", "\xc3\xa9", 0);
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_holds("\xc3\xa9", "hello");
}

static int read_at(const char *path, uint64_t off, size_t n, const char *id, char *buf)
{
	struct slu_op op;

	slu_op_read(&op, path, off, n, buf, id);
	return slu_store_wait(s, &op, &e);
}

static void a_pinned_read_is_of_its_version(void **state)
{
	struct slu_attr a;
	char buf[16];

	(void)state;
	fake_put("/r/x", "0123456789", 10);
	assert_int_equal(slu_store_stat(s, "x", &a, &e), 0);
	fake_forget();
	assert_int_equal(read_at("x", 2, 3, a.id, buf), 0);
	assert_memory_equal(buf, "234", 3);
	assert_int_equal(read_at("x", 7, 3, a.id, buf), 0);
	assert_memory_equal(buf, "789", 3);
	assert_int_equal(fake_count("OPEN "), 1); /* the place is remembered */
	assert_failed(read_at("x", 7, 4, a.id, buf), e, EIO, "ends before");

	pthread_mutex_lock(&fake.lock); /* appended to */
	fake_find("/r/x")->len = 12;
	fake_find("/r/x")->mtime = ++fake.now;
	pthread_mutex_unlock(&fake.lock);
	assert_failed(read_at("x", 2, 3, a.id, buf), e, ESTALE, "'x'");

	fake_put("/r/x", "abcdefghij", 10); /* replaced */
	assert_failed(read_at("x", 2, 3, a.id, buf), e, ESTALE, "gone");
	assert_int_equal(read_at("x", 2, 3, NULL, buf), 0);
	assert_memory_equal(buf, "cde", 3);
	assert_failed(read_at("x", 2, 3, "5f3-1", buf), e, ESTALE, "another store");
	assert_failed(read_at("x", 8, 3, NULL, buf), e, EIO, "ended before");
	assert_failed(read_at("none", 0, 3, NULL, buf), e, ENOENT, "'none'");
	assert_failed(read_at("", 0, 3, NULL, buf), e, EISDIR, "'.'");
}

static void redirects(void **state)
{
	(void)state;
	fake_put("/r/x", "hello", 5);
	fake_fails("OPEN", 0, FAKE_REDIRECT);
	assert_holds("x", "hello");
	fake_put("/r/x", "other", 5);
	fake_fails("OPEN", 0, FAKE_ELSEWHERE);

	char buf[8];

	assert_failed(read_at("x", 0, 5, NULL, buf), e, EPROTO, "not an http one");
}

static void listing_goes_on(void **state)
{
	struct slu_list l = {0};
	char *marker = NULL;
	struct slu_op op;
	int n = 0;

	(void)state;
	fake.page = 2;
	for (int i = 0; i < 7; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/r/d/f%d", i);
		fake_put(path, "x", 1);
	}
	do {
		slu_op_list(&op, "d", marker, &l);
		assert_int_equal(slu_store_wait(s, &op, &e), 0);
		for (size_t i = 0; i < l.n; i++, n++)
			assert_int_equal(l.p[i].name[1], '0' + n);
		free(marker);
		marker = l.next ? strdup(l.next) : NULL;
		slu_list_done(&l);
	} while (marker);
	assert_int_equal(n, 7);
	slu_op_list(&op, "none", NULL, &l);
	assert_failed(slu_store_wait(s, &op, &e), e, ENOENT, "'none'");
}

static int rename_op(const char *from, const char *to, unsigned flags)
{
	struct slu_op op;

	slu_op_rename(&op, from, to, flags);
	return slu_store_wait(s, &op, &e);
}

static void renames(void **state)
{
	(void)state;
	fake_put("/r/x", "hello", 5);
	assert_int_equal(rename_op("x", "new/deep/y", SLU_OPF_ABSENT), 0);
	assert_holds("new/deep/y", "hello");
	assert_failed(rename_op("x", "z", 0), e, ENOENT, "'x'");
	fake_put("/r/x", "other", 5);
	assert_failed(rename_op("x", "new/deep/y", SLU_OPF_ABSENT), e, EEXIST, "");
	assert_failed(rename_op("x", "new", SLU_OPF_ABSENT), e, EEXIST, "");
	fake_fails("RENAME", 0, FAKE_LOST_AFTER);
	assert_int_equal(rename_op("x", "new/deep/y", 0), 0);
	assert_holds("new/deep/y", "other");
}

static void deletes_and_folders(void **state)
{
	struct slu_op op;

	(void)state;
	slu_op_mkdir(&op, "a/b");
	assert_int_equal(slu_store_wait(s, &op, &e), 0);
	assert_int_equal(put("a/b/f", "1", 0), 0);
	slu_op_mkdir(&op, "a/b/f");
	assert_failed(slu_store_wait(s, &op, &e), e, ENOTDIR, "'a/b/f'");
	assert_int_equal(slu_store_delete(s, "a/b/f", 0, &e), 0);
	assert_failed(slu_store_delete(s, "a/b/f", 0, &e), e, ENOENT, "'a/b/f'");
	assert_int_equal(slu_store_delete(s, "a", SLU_OPF_TREE, &e), 0);
	assert_int_equal(slu_store_delete(s, "a", SLU_OPF_TREE, &e), 0);
}

struct canceled {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void on_canceled(struct slu_op *op)
{
	struct canceled *c = op->user;

	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

static void a_cancel_ends_what_hangs(void **state)
{
	struct canceled c = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	struct slu_op op;

	(void)state;
	fake_fails("data-CREATE", 0, FAKE_HANG);
	slu_op_put(&op, "x", "hello", 5, 0);
	op.done = on_canceled;
	op.user = &c;
	slu_store_submit(s, &op);
	while (!fake_count("data-CREATE"))
		sched_yield();
	slu_store_cancel(s, &op);
	pthread_mutex_lock(&c.lock);
	while (!c.done)
		pthread_cond_wait(&c.cond, &c.lock);
	pthread_mutex_unlock(&c.lock);
	assert_int_equal(op.rc, -ECANCELED);
	assert_false(fake_has("/r/x"));
	assert_int_equal(fake_count("DELETE /r/.sluice-"), 1); /* cleaned up all the same */
}

static void what_hadoop_reads(void **state)
{
	struct slu_hadoop h;

	(void)state;
	assert_int_equal(slu_store_hadoop(s, "a b/c", &h, &e), 0);
	assert_string_equal(h.uri, "hdfs://nn:8020/r/a b/c");
	slu_hadoop_done(&h);
	assert_int_equal(slu_store_hadoop(s, "", &h, &e), 0);
	assert_string_equal(h.uri, "hdfs://nn:8020/r");
	slu_hadoop_done(&h);

	struct slu_hdfs_conf c = {.web = "nn:9871", .tls = true};
	struct slu_store *other;

	assert_int_equal(slu_hdfs_new(&c, loops, NULL, &other, &e), 0);
	assert_int_equal(slu_store_hadoop(other, "", &h, &e), 0);
	assert_string_equal(h.uri, "swebhdfs://nn:9871/");
	slu_hadoop_done(&h);
	slu_store_free(other);
}

static void wrong_settings(void **state)
{
	struct slu_hdfs_conf c = {.web = "nn:9870", .user = "a b"};
	struct slu_store *other;

	(void)state;
	assert_failed(slu_hdfs_new(&c, loops, NULL, &other, &e), e, EINVAL, "'a b'");
	c = (struct slu_hdfs_conf){.web = "nn:9870", .root = "rel"};
	assert_failed(slu_hdfs_new(&c, loops, NULL, &other, &e), e, EINVAL, "'rel'");
	c.root = "/a:b";
	assert_failed(slu_hdfs_new(&c, loops, NULL, &other, &e), e, EINVAL, "'/a:b'");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_put_is_there),
		T(only_one_can_be_first),
		T(a_short_create_is_never_seen),
		T(a_flipped_bit_is_never_seen),
		T(a_lost_checksum_is_no_checksum),
		T(who_has_no_checksums_tells_lengths),
		T(a_lost_datanode_is_left_out),
		T(the_only_datanode_is_asked_again),
		T(a_lost_answer_to_the_rename),
		T(a_standby_is_told),
		T(blocks_become_a_file),
		T(a_gap_is_no_file),
		T(folders_with_commas),
		T(names_are_utf8),
		T(a_pinned_read_is_of_its_version),
		T(redirects),
		T(listing_goes_on),
		T(renames),
		T(deletes_and_folders),
		T(a_cancel_ends_what_hangs),
		T(what_hadoop_reads),
		T(wrong_settings),
	};

	return cmocka_run_group_tests_name("hdfs", tests, NULL, NULL);
}
