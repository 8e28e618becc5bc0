/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the service does not take (its naming rules), told before anything is sent: it answers
 * some of them with an error that says little, and takes others for another name.
 */
#include "blob/call.h"

#include "common/str.h"

#include <errno.h>
#include <string.h>

#define NAME_MAX_CHARACTERS 1024
#define SEGMENTS_MAX 254
#define SHOWN 60

/* Characters as the service counts them, of UTF-16; SIZE_MAX: not UTF-8, or a control character. */
static size_t count(const char *name, bool *control)
{
	size_t n = 0, left = strlen(name), len;

	for (const char *s = name; left; s += len, left -= len) {
		len = slu_utf8_len(s, left);
		*control = (unsigned char)*s < 0x20 && !strchr("\t\n\r", *s);
		if (!len || *control)
			return SIZE_MAX;
		n += len == 4 ? 2 : 1;
	}
	return n;
}

static bool makes(const struct slu_op *op)
{
	return op->type == SLU_OP_PUT || op->type == SLU_OP_PUT_BLOCK ||
	       op->type == SLU_OP_COMMIT || op->type == SLU_OP_MKDIR || op->type == SLU_OP_COPY;
}

/* What is made under such a name is found under another, without the dot. */
static bool ends_in_dot(const char *name, size_t *ret_segments)
{
	bool dot = false;

	*ret_segments = 1;
	for (const char *s = name; *s; s++) {
		dot |= *s == '.' && (!s[1] || s[1] == '/');
		*ret_segments += *s == '/';
	}
	return dot;
}

static int refuse(struct slu_op *op, size_t n, const char *why)
{
	return slu_fail(&op->err, EINVAL, "'%.*s%s' %s", SHOWN, op->path, n > SHOWN ? "..." : "",
			why);
}

int slu_blob_check_name(struct slu_op *op)
{
	size_t segments, n = strlen(op->path);
	bool control = false, dot;
	size_t characters = count(op->path, &control);

	if (characters == SIZE_MAX)
		return refuse(
			op, n,
			control ? "has a control character in it, which no name in Blob "
				  "storage has: use another"
				: "is no UTF-8, as every name in Blob storage is: use another");
	dot = ends_in_dot(op->path, &segments);
	if (characters > NAME_MAX_CHARACTERS)
		return refuse(op, n,
			      "is too long: a name in Blob storage has at most 1,024 "
			      "characters");
	if (segments > SEGMENTS_MAX)
		return refuse(op, n,
			      "lies too deep: a name in Blob storage has at most 254 parts "
			      "between slashes");
	if (dot && makes(op))
		return refuse(op, n,
			      "ends in '.', or a folder of it does, which Blob storage "
			      "leaves out of a name: use another");
	return 0;
}
