/* SPDX-License-Identifier: Apache-2.0 */
/* Removing what programs of this user left, whatever rights they took away (trees in general: test-path). */
#include "tests/unit/unit.h"

#include "common/path.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* As a program leaves them that takes away its own rights; root has to be somebody else to be kept out. */
static void folders_of_ours_that_keep_us_out_are_removed(void **state)
{
	static const char *const names[] = {"ro", "ro/a", "ro/a/shut", "ro/a/shut/b", "ro/blind"};
	const size_t n = sizeof(names) / sizeof(names[0]);
	struct unit_dir d;
	bool root = geteuid() == 0;
	char path[64];
	int fd;

	(void)state;
	unit_dir_make(&d);
	assert_int_equal(mkdirat(d.fd, "mine", 0700), 0);
	fd = openat(d.fd, "mine", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (root)
		assert_int_equal(fchown(fd, 65534, 65534), 0);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/f", names[i]);
		assert_int_equal(mkdirat(fd, names[i], 0700), 0);
		assert_int_equal(mknodat(fd, path, S_IFREG | 0600, 0), 0);
	}
	for (size_t i = n; i-- > 0;) {
		int mode = i == 2 ? 0 : i == 4 ? 0300 : 0500;

		assert_int_equal(fchmodat(fd, names[i], (mode_t)mode, 0), 0);
		if (root)
			assert_int_equal(fchownat(fd, names[i], 65534, 65534, 0), 0);
	}
	if (root)
		assert_int_equal(seteuid(65534), 0);
	int kept = slu_path_rmtree(fd, "ro"), gone = slu_path_rmtree_mine(fd, "ro");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(kept, -EACCES);
	assert_int_equal(gone, 0);
	assert_int_equal(faccessat(fd, "ro", F_OK, 0), -1);
	close(fd);
	unit_dir_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders_of_ours_that_keep_us_out_are_removed)};

	return cmocka_run_group_tests_name("rmtree", tests, NULL, NULL);
}
