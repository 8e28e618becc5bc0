/* SPDX-License-Identifier: Apache-2.0 */
/* Account keys, SAS and connection strings.  What is accepted is whole; what is refused is not shown, and
 * what a connection string says of the endpoint is judged like any other. */
#include "blob/cred.h"
#include "blob/endpoint.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_secret_ok(const struct slu_blob_secret *s)
{
	struct slu_blob_place p = {0};
	struct slu_err e = {0};

	if (s->kind == SLU_BLOB_KEY && (!s->key_len || s->key_len > sizeof(s->key)))
		abort();
	if (s->kind == SLU_BLOB_SAS && (!s->sas || s->sas[0] == '?' || strpbrk(s->sas, " \r\n#")))
		abort();
	if (slu_blob_place_init(&p, s->account ? s->account : "acct", "box",
				s->endpoint ? s->endpoint : s->suffix, s->protocol, false,
				&e) < 0 &&
	    !e.msg[0])
		abort();
	slu_blob_place_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slu_blob_secret s = {0};
	struct slu_err e = {0};
	char *text = slu_strndup((const char *)data, size);
	int r;

	if (!text)
		return 0;
	r = slu_blob_secret_parse(text, "the secret", &s, &e);
	if (r == 0)
		fuzz_secret_ok(&s);
	else if (r != -EINVAL || !e.msg[0] || (strlen(text) > 40 && strstr(e.msg, text)))
		abort();
	slu_blob_secret_done(&s);
	free(text);
	return 0;
}
