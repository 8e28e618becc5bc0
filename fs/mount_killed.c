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
/* Of /proc/TID/stat: fields, and the flag of a thread that ends. */
#define FLAGS 9u
#define EXIT_CODE 52u
#define EXITING 4u

bool slu_mkilled_text(const char *status)
{
	const char *at = strstr(status, PENDING);
	size_t n = at ? strspn(at + strlen(PENDING), HEX) : 0;

	/* A signal that ends a program becomes this one, of each of its threads: the first bit of the third
	 * digit from the end. */
	static_assert(SIGKILL == 9, "a bit is looked for by its number");
	return n >= 3 && strchr("13579bdf", at[strlen(PENDING) + n - 3]);
}

/* The text of /proc/TID/what; "": there is none. */
static void look(pid_t tid, const char *what, char *text, size_t size)
{
	char name[48];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%d/%s", (int)tid, what);
	SLU_AUTO(slu_closep) int fd = open(name, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
}

bool slu_mkilled(pid_t tid)
{
	char text[16 << 10];

	look(tid, "status", text, sizeof(text));
	return slu_mkilled_text(text);
}

static uint64_t number(const char *p)
{
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

int slu_mkilled_by_text(const char *stat)
{
	const char *p = strrchr(stat, ')'); /* the end of the name, which may hold anything */
	uint64_t flags = 0, code = 0;

	for (unsigned field = 3; p && field <= EXIT_CODE; field++) {
		p = strchr(p + 1, ' ');
		if (p && field == FLAGS)
			flags = number(p + 1);
		if (p && field == EXIT_CODE)
			code = number(p + 1);
	}
	return flags & EXITING ? (int)(code & 0x7f) : 0;
}

int slu_mkilled_by(pid_t tid)
{
	char text[4096];

	look(tid, "stat", text, sizeof(text));
	return slu_mkilled_by_text(text);
}
