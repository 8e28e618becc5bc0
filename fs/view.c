/* SPDX-License-Identifier: Apache-2.0 */
/* The common part of the three views: dispatch, and the judgement of a checksum. */
#include "fs/view.h"

#include "common/log.h"
#include "common/str.h"
#include "fs/summer.h"

#include <errno.h>
#include <string.h>

int slu_check_sum(enum slu_check check, const char *path, const char *want, const char *got,
		  struct slu_err *e)
{
	bool md5 = slu_starts(want, "md5:");
	const char *what = md5 ? "MD5" : "checksum";
	size_t skip = md5 ? 4 : 0;

	if (check == SLU_CHECK_OFF)
		return 0;
	if (!*want && check == SLU_CHECK_MISSING)
		return slu_fail(
			e, EBADMSG,
			"'%s' cannot be checked: the store keeps no MD5 of it, nor another sum",
			path);
	if (!*want || !*got || slu_streq(want, got))
		return 0;
	if (check == SLU_CHECK_LOG) {
		slu_warn("check", "'%s' is damaged: its %s is %s, the store says %s", path, what,
			 got + skip, want + skip);
		return 0;
	}
	return slu_fail(e, EBADMSG, "'%s' arrived damaged: its %s is %s, the store says %s", path,
			what, got + skip, want + skip);
}

bool slu_sums_compare(const char *a, const char *b)
{
	const char *colon = strchr(a, ':');

	return colon && strncmp(a, b, (size_t)(colon - a) + 1) == 0;
}

bool slu_sum_stands(struct slu_store *s, const char *path, const char *version, const char *id,
		    const char *sum)
{
	struct slu_err e;
	struct slu_op op;

	if (!slu_starts(sum, SLU_CRC64_SUM))
		return true;
	slu_op_stat(&op, path);
	op.flags = SLU_OPF_SUM;
	op.version = version && *version ? version : NULL;
	if (slu_store_wait(s, &op, &e) < 0) {
		slu_debug("check", "whose sum it is cannot be told: %s", e.msg);
		return true;
	}
	return !id || !*id || !slu_streq(op.attr.id, id) || slu_streq(op.attr.sum, sum);
}

int slu_check_kept(enum slu_check check, struct slu_store *s, const char *path, const char *version,
		   const char *id, const char *name, const char *want, const char *got,
		   struct slu_err *e)
{
	if (check != SLU_CHECK_OFF && *got && !slu_streq(want, got) &&
	    !slu_sum_stands(s, path, version, id, want)) {
		slu_log(SLU_LOG_INFO, "check",
			"'%s' was written by another tool since, which kept its %s", name, want);
		want = "";
	}
	return slu_check_sum(check, name, want, got, e);
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
