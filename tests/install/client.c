/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest client of the library: says its version, and opens a workspace that is not there.
 */
#include <sluice.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct sluice_error e;
	struct sluice *s = NULL;
	int r;

	if (argc != 2)
		return 2;
	memset(&e, 0, sizeof(e));
	r = sluice_open(argv[1], 0, &s, &e);
	if (r == 0 || e.message[0] == '\0')
		return 1;
	printf("%s\n", sluice_version());
	return 0;
}
