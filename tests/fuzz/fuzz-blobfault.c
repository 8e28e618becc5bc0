/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a refusal by the Blob service.  The first byte chooses status and op: whatever stands in the
 * body, there is an errno and one printable line that names the object. */
#include "blob/errors.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_line(const struct slu_err *e)
{
	if (!e->msg[0])
		abort();
	for (const char *s = e->msg; *s; s++)
		if ((unsigned char)*s < ' ')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int status[] = {400, 401, 403, 404, 409, 412, 416, 429,
				     500, 503, 302, 418, 507, 411, 413, 999};
	static char account[] = "acct", container[] = "box", none[] = "", base[] = "https://h";
	struct slu_blob_place at = {
		.account = account, .container = container, .base = base, .path = none};
	struct slu_xfer x = {.rc = -EREMOTEIO, .method = "GET", .url = "https://h/box/a/b"};
	struct slu_op op = {.path = "a/b"};

	if (!size)
		return 0;
	x.status = status[data[0] % 16];
	op.type = (enum slu_op_type)((data[0] >> 4) % _SLU_OP_MAX);
	op.to = "c";
	x.errbody = SLU_BUF(SLU_XFER_ERRBODY);
	slu_buf_add(&x.errbody, data + 1, size - 1);
	if (slu_blob_fail(&op, &at, &x, "se=2020-01-01&sig=hush") >= 0 ||
	    (strstr(op.err.msg, "hush") && !memmem(data, size, "hush", 4)))
		abort();
	fuzz_line(&op.err);
	slu_buf_done(&x.errbody);
	return 0;
}
