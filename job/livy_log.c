/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Livy's log of a batch: "stdout: ", its last lines, "\nstderr: ", its last lines, "\nYARN Diagnostics: ", more.  Each
 * answer is a window that may have moved on, so what is new is what stands behind the longest end of the last answer
 * with which this one begins.
 */
#include "job/livy.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

void slu_livy_log_done(struct slu_livy_log *l)
{
	slu_json_free(l->seen[0]);
	slu_json_free(l->seen[1]);
	*l = (struct slu_livy_log){0};
}

static const char *line_at(const struct json_t *a, size_t i)
{
	const char *text = slu_json_string(slu_json_at(a, i));

	return text ? text : "";
}

/* Do the last n lines of old stand at the beginning of now? */
static bool continues(const struct json_t *old, const struct json_t *now, size_t n)
{
	size_t from = slu_json_count(old) - n;

	for (size_t i = 0; i < n; i++)
		if (!slu_streq(line_at(old, from + i), line_at(now, i)))
			return false;
	return true;
}

static size_t common_lines(const struct json_t *old, const struct json_t *now)
{
	size_t n = slu_json_count(old), m = slu_json_count(now);

	for (n = n < m ? n : m; n > 0 && !continues(old, now, n); n--)
		;
	return n;
}

static int split(const struct json_t *lines, struct json_t *parts[2])
{
	int at = 0;

	for (size_t i = 0; i < slu_json_count(lines); i++) {
		const char *text = line_at(lines, i);

		if (slu_streq(text, "stdout: ")) {
			at = 0;
		} else if (slu_streq(text, "\nstderr: ") || slu_streq(text, "stderr: ")) {
			at = 1;
		} else if (slu_starts(text, "\nYARN Diagnostics")) {
			at = 1;
		} else if (slu_json_append(parts[at], slu_json_new_str(text)) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

int slu_livy_log_add(struct slu_livy_log *l, const struct json_t *lines, slu_livy_line_fn *fn,
		     void *user)
{
	struct json_t *parts[2] = {slu_json_array(), slu_json_array()};
	int r = parts[0] && parts[1] ? split(lines, parts) : -ENOMEM;

	for (int k = 0; k < 2 && r == 0; k++) {
		for (size_t i = common_lines(l->seen[k], parts[k]); i < slu_json_count(parts[k]);
		     i++)
			fn(user, k, line_at(parts[k], i));
		/* An answer without lines does not mean that there were none. */
		if (slu_json_count(parts[k])) {
			slu_json_free(l->seen[k]);
			l->seen[k] = slu_take(parts[k]);
		}
	}
	slu_json_free(parts[0]);
	slu_json_free(parts[1]);
	return r;
}
