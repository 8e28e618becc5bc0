/* SPDX-License-Identifier: Apache-2.0 */
/* The common part of the three views: dispatch, and the judgement of a checksum. */
#include "fs/view.h"

#include "common/log.h"
#include "common/str.h"

#include <errno.h>

#define MD5_LEN 16

int slu_check_md5(enum slu_check check, const char *path, const char *sum, const uint8_t *got,
		  struct slu_err *e)
{
	const char *want = slu_after(sum, "md5:");
	char hex[2 * MD5_LEN + 1];

	if (check == SLU_CHECK_OFF)
		return 0;
	if (!want && check == SLU_CHECK_MISSING)
		return slu_fail(e, EBADMSG, "'%s' cannot be checked: the store keeps no MD5 of it",
				path);
	if (!want || !got)
		return 0;
	slu_hex(hex, got, MD5_LEN);
	if (slu_streq(hex, want))
		return 0;
	if (check == SLU_CHECK_LOG) {
		slu_warn("check", "'%s' is damaged: its MD5 is %s, the store says %s", path, hex,
			 want);
		return 0;
	}
	return slu_fail(e, EBADMSG, "'%s' arrived damaged: its MD5 is %s, the store says %s", path,
			hex, want);
}

int slu_view_wait(struct slu_view *v, struct slu_err *e)
{
	return v->ops->wait ? v->ops->wait(v, e) : 0;
}

int slu_view_close(struct slu_view *v, struct slu_err *e)
{
	return v->ops->close ? v->ops->close(v, e) : 0;
}

void slu_view_free(struct slu_view *v)
{
	if (!v)
		return;
	(void)slu_view_close(v, NULL);
	v->ops->free(v);
}
