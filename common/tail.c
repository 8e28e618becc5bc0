/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last line of what a program has printed (tail.h): what people are told when it failed.  What is in it is the
 * program's; who shows it sees to control bytes and secrets.
 */
#include "common/tail.h"

#include <string.h>
#include <unistd.h>

char *slu_last_line(char *text, size_t n)
{
	char *line;

	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	text[n] = '\0';
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

char *slu_tail(int fd, char *text, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END), most = (off_t)size - 1;
	ssize_t n = pread(fd, text, (size_t)most, end > most ? end - most : 0);

	return slu_last_line(text, n > 0 ? (size_t)n : 0);
}
