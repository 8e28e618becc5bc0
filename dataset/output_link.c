/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output that is a link: its program writes nothing but the reference of its result, one line, into a local
 * file: a dataset id, a version, an output of a job, a place.  What that is when the program has ended is pinned as any
 * input is, and registered as the output.
 */
#include "dataset/output_parts.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TEXT_MAX 16384

int slu_output_link(struct slu_output *o, const char *place, struct slu_err *e)
{
	return slu_input_place(place, o->name, &o->value, e);
}

/* The one line of the file, without what is around it; NULL: nothing was written. */
static int read_line(const struct slu_output *o, struct slu_buf *b, char **ret, struct slu_err *e)
{
	int r = slu_buf_read_at(b, AT_FDCWD, o->value);
	char *text = b->p;

	if (r == -ENOENT || (r >= 0 && !text))
		return 0;
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot read '%s'", o->value);
	bool plain = strlen(text) == b->len;

	text += strspn(text, " \t\r\n");
	for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
		text[n - 1] = '\0';
	if (strchr(text, '\n') || !plain)
		return slu_fail(e, EINVAL,
				"'%s' holds more than one line: write one reference, such as "
				"azureml:NAME:VERSION",
				o->value);
	*ret = *text ? text : NULL;
	return 0;
}

/* What is relative to some folder means another one here. */
static int check_whole(const char *text, struct slu_err *e)
{
	if (text[0] == '.' || text[0] == '~' ||
	    (!strchr(text, ':') && !strchr(text, '@') && text[0] != '/' && strchr(text, '/')))
		return slu_fail(
			e, EINVAL,
			"'%s' is relative: write a dataset id, azureml:NAME:VERSION, a URI or an "
			"absolute path",
			text);
	return 0;
}

int slu_output_follow(struct sluice *s, struct slu_output *o, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(TEXT_MAX);
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	char *text = NULL;
	int r = read_line(o, &b, &text, e);

	if (r == 0 && !text && o->allow_empty)
		return 0;
	if (r == 0 && !text)
		r = slu_fail(e, ENODATA,
			     "nothing was linked: write the reference of a dataset to '%s' "
			     "(allow_empty lets it pass)",
			     o->value);
	if (r == 0)
		r = check_whole(text, e);
	if (r == 0)
		r = slu_resolve_ref(s, text, &d, e);
	if (r == 0)
		r = slu_registry_save(s, d, e);
	if (r == 0)
		o->dataset = slu_take(d);
	return r;
}
