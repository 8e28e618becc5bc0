/* SPDX-License-Identifier: Apache-2.0 */
/* What workers of a mount leave to one another: the shared memory, its table of requests, the socket. */
#include "tests/unit/fs.h"

#include "fs/mount_link.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN (1ull << 63)

static void a_worker_finds_what_another_left(void **state)
{
	struct slu_mshare *a, *b;
	struct slu_err e = {0};
	uint64_t *count;
	bool fresh;
	int fd;

	(void)state;
	assert_int_equal(slu_mshare_new(&fd, &a, &e), 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	count = slu_mshare_area(a, SLU_MAREA_STATS, 7, &fresh);
	assert_true(fresh);
	*count = 42;
	slu_mshare_taken(a, 10);
	slu_mshare_free(a);

	assert_int_equal(slu_mshare_attach(fd, &b, &e), 0);
	assert_int_equal(slu_mshare_flying(b), 1);
	count = slu_mshare_area(b, SLU_MAREA_STATS, 7, &fresh);
	assert_false(fresh);
	assert_int_equal(*count, 42);
	/* Another version of the module: its bytes mean something else. */
	count = slu_mshare_area(b, SLU_MAREA_STATS, 8, &fresh);
	assert_true(fresh);
	assert_int_equal(*count, 0);
	slu_mshare_free(b);
	assert_int_equal(ftruncate(fd, 4096), -1);
	close(fd);
}

static void memory_of_another_version_is_refused(void **state)
{
	struct slu_mshare *a, *b = NULL;
	struct slu_err e = {0};
	int fd, small = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(slu_mshare_attach(small, &b, &e), -EPROTO);
	assert_int_equal(slu_mshare_new(&fd, &a, &e), 0);
	a->layout++;
	assert_int_equal(slu_mshare_attach(fd, &b, &e), -EPROTO);
	assert_null(b);
	slu_mshare_free(a);
	close(fd);
	close(small);
}

static void requests_come_and_go(void **state)
{
	struct slu_mshare *s;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_mshare_new(NULL, &s, &e), 0);
	assert_int_equal(slu_mshare_oldest(s), 0);
	/* More than there is room for: the ones left out are answered as well. */
	for (uint64_t u = 2; u <= 2 * 2000; u += 2)
		slu_mshare_taken(s, u);
	assert_true(slu_mshare_flying(s) > SLU_MSHARE_FLIGHTS / 2);
	assert_true(slu_mshare_oldest(s) > 0);
	for (uint64_t u = 2; u <= 2 * 2000; u += 2)
		slu_mshare_answered(s, u);
	assert_int_equal(slu_mshare_flying(s), 0);
	assert_int_equal(slu_mshare_oldest(s), 0);
	assert_int_equal(atomic_load(&s->newest), 4000);
	slu_mshare_taken(s, 4000 | AGAIN);
	slu_mshare_answered(s, 4000); /* that one is not in flight */
	assert_int_equal(slu_mshare_flying(s), 1);
	slu_mshare_answered(s, 4000 | AGAIN);
	assert_int_equal(slu_mshare_flying(s), 0);
	assert_int_equal(atomic_load(&s->again), 1);
	slu_mshare_free(s);
}

struct worker {
	struct slu_mshare *s;
	uint64_t first;
	pthread_t thread;
};

static void *come_and_go(void *arg)
{
	struct worker *w = arg;

	for (uint64_t u = w->first; u < w->first + 80000; u += 8) {
		slu_mshare_taken(w->s, u);
		(void)slu_mshare_oldest(w->s);
		slu_mshare_answered(w->s, u);
	}
	return NULL;
}

static void any_thread_may_take_and_answer(void **state)
{
	struct worker w[4];
	struct slu_mshare *s;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_mshare_new(NULL, &s, &e), 0);
	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct worker){.s = s, .first = 2 + 2 * i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, come_and_go, &w[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(w[i].thread, NULL);
	assert_int_equal(slu_mshare_flying(s), 0);
	assert_int_equal(atomic_load(&s->taken), 40000);
	slu_mshare_free(s);
}

/* A pipe plays the kernel: it takes every answer. */
static void what_nobody_answers_is_refused(void **state)
{
	struct slu_mshare *s;
	struct slu_err e = {0};
	struct fuse_out_header h;
	bool first = false, lost = false;
	int p[2], fd;
	unsigned n;

	(void)state;
	assert_int_equal(slu_mshare_new(NULL, &s, &e), 0);
	fd = memfd_create("answers", MFD_CLOEXEC);
	assert_true(fd >= 0);
	slu_mshare_taken(s, 5000 | AGAIN);
	slu_mshare_taken(s, 100000);
	n = slu_mshare_refuse(s, fd);
	assert_int_equal(slu_mshare_flying(s), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(read(fd, &h, sizeof h), sizeof h);
		assert_int_equal(h.error, -EIO);
		first |= h.unique == (5000 | AGAIN);
		lost |= h.unique == 100006; /* taken, and killed before it was written down */
		assert_int_equal(h.unique & 1, 0);
		assert_int_not_equal(h.unique, 0);
	}
	assert_true(first && lost);
	/* One that does not exist is refused by the kernel: nothing counts. */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(slu_mshare_refuse(s, p[0]), 0);
	close(p[0]);
	close(p[1]);
	close(fd);
	slu_mshare_free(s);
}

static void crash(struct slu_mshare *s, const uint64_t *uniques, unsigned n)
{
	slu_mshare_forget(s);
	for (unsigned i = 0; i < n; i++)
		slu_mshare_taken(s, uniques[i]);
	slu_mshare_blame(s);
	slu_mshare_forget(s);
}

static void a_request_costs_three_workers_at_most(void **state)
{
	struct slu_mshare *s;
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_mshare_new(NULL, &s, &e), 0);
	crash(s, (uint64_t[]){20, 22, 24}, 3);
	crash(s, (uint64_t[]){20 | AGAIN, 24 | AGAIN, 30}, 3);
	assert_false(slu_mshare_blamed(s, 20 | AGAIN));
	crash(s, (uint64_t[]){20 | AGAIN, 22 | AGAIN, 30 | AGAIN}, 3);
	assert_true(slu_mshare_blamed(s, 20 | AGAIN));
	assert_false(slu_mshare_blamed(s, 22 | AGAIN)); /* answered in between */
	assert_false(slu_mshare_blamed(s, 24 | AGAIN));
	assert_false(slu_mshare_blamed(s, 30 | AGAIN));
	assert_false(slu_mshare_blamed(s, 20)); /* not asked again: a new one */
	slu_mshare_free(s);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The supervisor's end is played here. */
static void descriptors_are_handed_on(void **state)
{
	struct slu_mshare *s;
	struct slu_mlink l;
	struct slu_err e = {0};
	char text[64];
	int sv[2], fd, share, file = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(slu_mshare_new(&share, &s, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(slu_mlink_receive(sv[0], false, text, sizeof text, &fd), -EAGAIN);
	assert_int_equal(slu_mlink_send(sv[0], "S", share), 0);
	assert_int_equal(slu_mlink_send(sv[0], "K3", file), 0);
	assert_int_equal(slu_mlink_send(sv[0], "K99", file), 0);
	assert_int_equal(slu_mlink_send(sv[0], "G", -1), 0);
	assert_int_equal(slu_mlink_open(&l, sv[1], &e), 0);
	assert_false(slu_mlink_heir(&l));
	assert_true(same_file(slu_mlink_kept(&l, SLU_KEEP_CONTROL), file));
	assert_int_equal(slu_mlink_kept(&l, SLU_KEEP_MANIFEST), -1);
	atomic_store(&s->beat, 5);
	assert_int_equal(atomic_load(&l.share->beat), 5);

	assert_int_equal(slu_mlink_keep(&l, SLU_KEEP_LIVE, file), 0);
	assert_int_equal(slu_mlink_upgrade(&l), 0);
	assert_int_equal(slu_mlink_receive(sv[0], true, text, sizeof text, &fd), 2);
	assert_string_equal(text, "K4");
	assert_true(same_file(fd, file));
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	assert_int_equal(slu_mlink_receive(sv[0], true, text, sizeof text, &fd), 1);
	assert_string_equal(text, "U");
	slu_mlink_close(&l);
	assert_int_equal(slu_mlink_receive(sv[0], true, text, sizeof text, &fd), 0);
	slu_mlink_close(&l);
	close(sv[0]);
	slu_mshare_free(s);
	close(share);
	close(file);
}

static void a_supervisor_that_is_gone_is_an_error_or_nothing(void **state)
{
	struct slu_mlink l;
	struct slu_err e = {0};
	int sv[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	close(sv[0]);
	assert_int_equal(slu_mlink_open(&l, sv[1], &e), -EPIPE);
	assert_int_equal(slu_mlink_open(&l, -1, &e), 0);
	assert_true(slu_mlink_alone(&l));
	assert_int_equal(slu_mlink_keep(&l, SLU_KEEP_LIVE, 0), 0);
	assert_int_equal(slu_mlink_upgrade(&l), -ENOTCONN);
	slu_mlink_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_finds_what_another_left),
		cmocka_unit_test(memory_of_another_version_is_refused),
		cmocka_unit_test(requests_come_and_go),
		cmocka_unit_test(any_thread_may_take_and_answer),
		cmocka_unit_test(what_nobody_answers_is_refused),
		cmocka_unit_test(a_request_costs_three_workers_at_most),
		cmocka_unit_test(descriptors_are_handed_on),
		cmocka_unit_test(a_supervisor_that_is_gone_is_an_error_or_nothing),
	};

	return cmocka_run_group_tests_name("mountshare", tests, NULL, NULL);
}
