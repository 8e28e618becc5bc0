/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Was the program that waits for a read killed?  The kernel sends no INTERRUPT for what it asks on behalf of a read
 * past the page cache (it asks in the background, so that pieces of one read arrive at the same time), and who
 * waits for that cannot be killed until it is answered.  So the one that asked is looked up.
 */
#include "fs/mount_impl.h"

#include "common/cleanup.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEX "0123456789abcdef"
#define PENDING "\nSigPnd:\t"

bool slu_mkilled_text(const char *status)
{
	const char *at = strstr(status, PENDING);
	size_t n = at ? strspn(at + strlen(PENDING), HEX) : 0;

	/* A signal that ends a program becomes this one, of each of its threads: the first bit of the third
	 * digit from the end. */
	static_assert(SIGKILL == 9, "a bit is looked for by its number");
	return n >= 3 && strchr("13579bdf", at[strlen(PENDING) + n - 3]);
}

bool slu_mkilled(pid_t tid)
{
	char name[32], text[4096];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
	SLU_AUTO(slu_closep) int fd = open(name, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return slu_mkilled_text(text);
}
