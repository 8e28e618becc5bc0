/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading as little of a text file as its first records need: the first piece is small, later ones grow.
 */
#include "dataset/textfile.h"

#include "common/mem.h"
#include "common/str.h"
#include "dataset/definition_impl.h"

#include <errno.h>
#include <string.h>

#define PIECE_FIRST (32u << 10)
#define PIECE_MAX (1u << 20)
#define CARRY_MAX 16 /* bytes of a character that the piece before has begun */

int slu_textfile_open(struct slu_textfile *t, const struct slu_tree *tree, size_t i,
		      const char *encoding, struct slu_err *e)
{
	const char *charset = slu_delimited_charset(encoding);

	*t = (struct slu_textfile){.file = slu_manifest_at(tree->manifest, i),
				   .encoding = encoding,
				   .line = 1,
				   .text = SLU_BUF(4ull * SLU_TEXT_RECORD_MAX),
				   .cd = (iconv_t)-1};
	t->name = t->file->path;
	t->cd = iconv_open("UTF-8", charset ? charset : "UTF-8");
	if (t->cd == (iconv_t)-1)
		return slu_fail(e, ENOTSUP,
				"'%s' is text in '%s', which this machine cannot decode: install "
				"its C library's charset modules (gconv)",
				t->name, encoding);
	t->raw = slu_malloc(PIECE_MAX + CARRY_MAX);
	if (!t->raw || slu_tree_locate(tree, i, &t->store, &t->path) < 0)
		return slu_fail_oom(e);
	t->end = t->file->size == 0;
	return 0;
}

void slu_textfile_close(struct slu_textfile *t)
{
	if (t->cd != (iconv_t)-1 && t->file)
		iconv_close(t->cd);
	slu_buf_done(&t->text);
	free(t->raw);
	free(t->path);
	*t = (struct slu_textfile){.cd = (iconv_t)-1};
}

void slu_textfile_consume(struct slu_textfile *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t->line += t->text.p[t->at + i] == '\n';
	t->at += n;
}

static int fetch(struct slu_textfile *t, struct slu_err *e)
{
	uint64_t left = t->file->size - t->fetched;
	size_t want = t->fetched < PIECE_FIRST ? PIECE_FIRST : (size_t)t->fetched;
	struct slu_op op;

	if (want > PIECE_MAX)
		want = PIECE_MAX;
	if (want > left)
		want = (size_t)left;
	slu_op_read(&op, t->path, t->fetched, want, t->raw + t->nraw, t->file->id);
	op.size = t->file->size;
	int r = slu_store_wait(t->store, &op, e);

	if (r < 0)
		return slu_fail_more(e, "'%s'", t->name);
	t->nraw += want;
	t->fetched += want;
	return 0;
}

/* The line of what could not be decoded. */
static int no_text(struct slu_textfile *t, const char *at, struct slu_err *e)
{
	bool utf8 = slu_starts(t->encoding, "utf8");
	uint64_t line = t->line;

	for (size_t i = t->at; i < t->text.len; i++)
		line += t->text.p[i] == '\n';
	return slu_fail(e, EILSEQ,
			"line %llu of '%s' is no text in the encoding '%s' (byte 0x%02x): make the "
			"dataset with the one that it has, such as --encoding=%s",
			(unsigned long long)line, t->name, t->encoding, (unsigned char)*at,
			utf8 ? "windows1252, latin1 or utf16" : "utf8");
}

static int decode(struct slu_textfile *t, struct slu_err *e)
{
	char out[16384];
	char *in = t->raw;
	size_t left = t->nraw;

	while (left > 0) {
		char *to = out;
		size_t room = sizeof out;
		size_t r = iconv(t->cd, &in, &left, &to, &room);
		int why = r == (size_t)-1 ? errno : 0;

		slu_buf_add(&t->text, out, (size_t)(to - out));
		if (why == EILSEQ || (why == EINVAL && t->fetched == t->file->size))
			return no_text(t, in, e);
		if (why == EINVAL)
			break; /* the rest of a character is in the next piece */
	}
	memmove(t->raw, in, left);
	t->nraw = left;
	return slu_buf_err(&t->text) < 0 ? slu_fail_oom(e) : 0;
}

static void drop_mark(struct slu_textfile *t)
{
	if (!t->begun && t->text.len >= 3 && memcmp(t->text.p, "\xef\xbb\xbf", 3) == 0)
		t->at = 3;
	t->begun = true;
}

int slu_textfile_more(struct slu_textfile *t, struct slu_err *e)
{
	size_t kept = t->text.len - t->at;

	if (kept > SLU_TEXT_RECORD_MAX)
		return slu_fail(e, EBADMSG,
				"line %llu of '%s' is longer than %u MiB: is it text in lines? If "
				"it is, a quote may be open since there (support_multi_line), or "
				"the delimiter another one",
				(unsigned long long)t->line, t->name, SLU_TEXT_RECORD_MAX >> 20);
	if (t->at > 0) {
		memmove(t->text.p, t->text.p + t->at, kept);
		t->text.len = kept;
		t->at = 0;
	}
	int r = fetch(t, e);

	if (r == 0)
		r = decode(t, e);
	if (r < 0)
		return r;
	drop_mark(t);
	t->end = t->fetched == t->file->size;
	return 0;
}
