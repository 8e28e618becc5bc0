/* SPDX-License-Identifier: Apache-2.0 */
/* Files that lay at a destination before, and that the step has replaced or removed: told in its log and its record. */
#include "job/task.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>

static void list(struct slu_buf *b, const struct json_t *texts, const char *quote)
{
	for (size_t i = 0; i < slu_json_count(texts); i++)
		slu_buf_fmt(b, "%s%s%s%s", i ? ", " : "", quote,
			    slu_json_string(slu_json_at(texts, i)), quote);
}

static void tell(const struct slu_task *t, const struct json_t *what)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64u << 10);
	const struct json_t *names = slu_json_get(what, "names");
	const struct json_t *versions = slu_json_get(what, "versions");
	size_t files = (size_t)slu_json_int(what, "files", 0);

	slu_buf_fmt(&b,
		    "output '%s': %zu %s in '%s' before this run %s replaced or removed by it: ",
		    slu_json_str(what, "output"), files,
		    files > 1 ? "files that were" : "file that was", slu_json_str(what, "uri"),
		    files > 1 ? "were" : "was");
	list(&b, names, "'");
	slu_buf_str(&b, slu_json_count(names) < files ? " and others" : "");
	if (slu_json_count(versions)) {
		slu_buf_str(&b, "; what these versions pin is not there any more: ");
		list(&b, versions, "");
	} else {
		slu_buf_str(&b, "; what was made of them cannot be read any more");
	}
	slu_buf_str(
		&b,
		" (write {run-id} into the path, or freeze versions with `sluice data freeze`)");
	if (!slu_buf_err(&b))
		slu_stage_tell(t, b.p);
}

void slu_stage_note_overwritten(struct slu_task *t)
{
	SLU_AUTO(slu_json_freep) struct json_t *all = slu_json_array();

	for (size_t i = 0; t->out && i < t->spec.nout; i++) {
		struct slu_err why = {0};
		struct json_t *one = NULL;

		if (!t->out[i])
			continue;
		if (slu_output_replaced(t->s, t->out[i], t->run->id, &one, &why) < 0)
			slu_warn("job", "run '%s': it is not known which versions it overwrote: %s",
				 t->run->id, why.msg);
		if (one) {
			tell(t, one);
			(void)slu_json_append(all, one);
		}
	}
	if (slu_json_count(all))
		(void)slu_run_set(t->run, "overwritten", slu_take(all), false, NULL);
}
