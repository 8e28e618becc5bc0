/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of an account.  The first byte chooses the protocol beside it.  What is accepted is an address
 * with nothing behind the path, and unencrypted on this machine only. */
#include "blob/endpoint.h"
#include "common/mem.h"
#include "common/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_place_ok(const struct slu_blob_place *p, bool plain)
{
	const char *host = slu_after(p->base, "http://");

	if (!host && !slu_starts(p->base, "https://"))
		abort();
	if (strpbrk(p->base, "?#@ \t\r\n\"") || !slu_ends(p->base, p->path))
		abort();
	if (host && !plain && !slu_starts(host, "127.") && !slu_iafter(host, "localhost") &&
	    !slu_starts(host, "[::1]"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const protocols[] = {NULL, "http", "https", "ftp"};
	struct slu_blob_place p = {0};
	struct slu_err e = {0};
	char *text;

	if (!size)
		return 0;
	text = slu_strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	if (slu_blob_place_init(&p, "acct", "box", text, protocols[data[0] % 4], data[0] & 8, &e) ==
	    0)
		fuzz_place_ok(&p, data[0] & 8);
	else if (!e.msg[0])
		abort();
	slu_blob_place_done(&p);
	free(text);
	return 0;
}
