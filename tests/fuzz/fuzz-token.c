/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a token file of Hadoop, and as a token in text: what is taken gives itself again. */
#include "common/mem.h"
#include "hdfs/token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct slu_hdfs_token *t)
{
	struct slu_hdfs_token u = {0};
	char *text = slu_hdfs_token_text(t);

	if (text && strlen(text) < 65000) {
		if (slu_hdfs_token_parse(text, &u, NULL) < 0)
			abort();
		if (u.id_len != t->id_len || memcmp(u.id, t->id, t->id_len) != 0 ||
		    u.password_len != t->password_len ||
		    memcmp(u.password, t->password, t->password_len) != 0 ||
		    strcmp(u.kind, t->kind) != 0 || strcmp(u.service, t->service) != 0)
			abort();
	}
	free(text);
	slu_hdfs_token_done(&u);
	slu_hdfs_token_done(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const services[] = {"127.0.0.1:35381", "a:1", NULL};
	struct slu_hdfs_token t = {0};
	struct slu_err e = {0};
	char *text = slu_strndup((const char *)data, size);
	int r = slu_hdfs_token_pick(data, size, services, size & 1, &t, &e);

	if (r == 0)
		again(&t);
	else if ((r != -EINVAL && r != -ENOENT && r != -ENOMEM) || !e.msg[0])
		abort();
	if (text && slu_hdfs_token_parse(text, &t, &e) == 0)
		again(&t);
	free(text);
	return 0;
}
