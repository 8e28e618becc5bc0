/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML pull reader.  Documents are read as UTF-8 whatever they declare, so that the check for a
 * DOCTYPE before libxml2 sees anything cannot be fooled.  Text that libxml2 gives in pieces (CDATA,
 * comments in between) comes out as one.  libxml2's allocator is left alone: replacing it is
 * global, and its own handling of failed allocations is not good enough to be tested by ours.
 */
#include "common/xml.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/vec.h"

#include <errno.h>
#include <libxml/xmlreader.h>
#include <limits.h>
#include <pthread.h>

enum { DEPTH_MAX = 32, TEXT_MAX = 1 << 20, DOCUMENT_MAX = 256 << 20 };

struct slu_xml {
	xmlTextReaderPtr reader;
	char *what;
	struct slu_buf text;
	bool ahead;      /* the reader already stands on a node that was not reported */
	bool close_next; /* an empty element was opened: its end has no node of its own */
	bool ended, failed, oom;
	int depth; /* of what was reported */
	const char *name;
	SLU_VEC(char *) attrs; /* handed out since the last next() */
	int err_line, err_col;
	char err_text[200];
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

/* Skips blanks, comments and processing instructions; true when a <!DOCTYPE (or any other
 * declaration) is what comes next. */
static bool has_doctype(const char *p, size_t n)
{
	const char *end = p + n, *q;

	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	for (;;) {
		while (p < end && strchr(" \t\r\n", *p) && *p)
			p++;
		if (end - p >= 4 && memcmp(p, "<!--", 4) == 0) {
			q = memmem(p + 4, (size_t)(end - p) - 4, "-->", 3);
			p = q ? q + 3 : end;
		} else if (end - p >= 2 && memcmp(p, "<?", 2) == 0) {
			q = memmem(p + 2, (size_t)(end - p) - 2, "?>", 2);
			p = q ? q + 2 : end;
		} else {
			return end - p >= 2 && memcmp(p, "<!", 2) == 0;
		}
	}
}

#if LIBXML_VERSION >= 21200
static void on_error(void *user, const xmlError *err)
#else
static void on_error(void *user, xmlErrorPtr err)
#endif
{
	struct slu_xml *x = user;

	if (x->err_text[0] || err->level < XML_ERR_ERROR)
		return;
	snprintf(x->err_text, sizeof(x->err_text), "%s", err->message ? err->message : "bad XML");
	x->err_text[strcspn(x->err_text, "\n")] = '\0';
	x->oom = err->code == XML_ERR_NO_MEMORY;
	x->err_line = err->line;
	x->err_col = err->int2;
}

int slu_xml_new(const char *text, size_t n, const char *what, struct slu_xml **ret,
		struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;

	if (n == 0)
		return slu_fail(e, EBADMSG, "'%s' is empty: XML was expected", what);
	if (n > DOCUMENT_MAX)
		return slu_fail(e, EBADMSG, "'%s' is larger than %d bytes", what, DOCUMENT_MAX);
	if (has_doctype(text, n))
		return slu_fail(e, EBADMSG, "'%s' has a DOCTYPE: that is not accepted", what);
	pthread_once(&init_once, xmlInitParser);
	x = slu_new0(struct slu_xml);
	if (!x || !(x->what = slu_strdup(what)))
		return slu_fail_oom(e);
	x->text = SLU_BUF(TEXT_MAX);
	x->reader = xmlReaderForMemory(text, (int)n, NULL, "UTF-8",
				       XML_PARSE_NONET | XML_PARSE_NOCDATA);
	if (!x->reader)
		return slu_fail_oom(e);
	xmlTextReaderSetStructuredErrorHandler(x->reader, on_error, x);
	*ret = slu_take(x);
	return 0;
}

static void drop_attrs(struct slu_xml *x)
{
	for (size_t i = 0; i < x->attrs.n; i++)
		xmlFree(x->attrs.p[i]);
	x->attrs.n = 0;
}

void slu_xml_free(struct slu_xml *x)
{
	if (!x)
		return;
	drop_attrs(x);
	free(x->attrs.p);
	xmlFreeTextReader(x->reader);
	slu_buf_done(&x->text);
	free(x->what);
	free(x);
}

static int fail_here(struct slu_xml *x, struct slu_err *e, const char *text)
{
	x->failed = true;
	return slu_fail(e, EBADMSG, "'%s:%d:%d': %s", x->what,
			xmlTextReaderGetParserLineNumber(x->reader),
			xmlTextReaderGetParserColumnNumber(x->reader), text);
}

/* Moves to the next node: 1, 0 at the end, -errno. */
static int advance(struct slu_xml *x, struct slu_err *e)
{
	int r = xmlTextReaderRead(x->reader);

	if (r >= 0 && !x->err_text[0])
		return r;
	x->failed = true;
	if (x->oom)
		return slu_fail_oom(e);
	if (x->err_text[0])
		return slu_fail(e, EBADMSG, "'%s:%d:%d': %s", x->what, x->err_line, x->err_col,
				x->err_text);
	return fail_here(x, e, "bad XML");
}

/* All character data up to the next element or end: 1 when there was any. */
static int gather_text(struct slu_xml *x, struct slu_err *e)
{
	bool any = false;
	int r;

	for (;;) {
		switch (xmlTextReaderNodeType(x->reader)) {
		case XML_READER_TYPE_TEXT:
		case XML_READER_TYPE_CDATA:
		case XML_READER_TYPE_WHITESPACE:
		case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
			any = true;
			slu_buf_str(&x->text, (const char *)xmlTextReaderConstValue(x->reader));
			break;
		case XML_READER_TYPE_COMMENT:
		case XML_READER_TYPE_PROCESSING_INSTRUCTION:
		case XML_READER_TYPE_XML_DECLARATION:
			break;
		default:
			x->ahead = true;
			return any;
		}
		if (x->text.err == ENOMEM)
			return x->failed = true, slu_fail_oom(e);
		if (x->text.err)
			return fail_here(x, e, "a text is longer than 1 MiB");
		r = advance(x, e);
		if (r < 0)
			return r;
		if (r == 0) {
			x->ended = true;
			return any;
		}
	}
}

static int open_element(struct slu_xml *x, struct slu_err *e)
{
	x->depth = xmlTextReaderDepth(x->reader) + 1;
	if (x->depth > DEPTH_MAX)
		return fail_here(x, e, "nested too deep");
	x->name = (const char *)xmlTextReaderConstLocalName(x->reader);
	x->close_next = xmlTextReaderIsEmptyElement(x->reader) == 1;
	return SLU_XML_OPEN;
}

/* What the reader stands on after all text was gathered. */
static int report_node(struct slu_xml *x, struct slu_err *e)
{
	x->ahead = false;
	switch (xmlTextReaderNodeType(x->reader)) {
	case XML_READER_TYPE_ELEMENT:
		return open_element(x, e);
	case XML_READER_TYPE_END_ELEMENT:
		x->depth = xmlTextReaderDepth(x->reader) + 1;
		x->name = (const char *)xmlTextReaderConstLocalName(x->reader);
		return SLU_XML_CLOSE;
	default:
		return fail_here(x, e, "entities and declarations are not accepted");
	}
}

int slu_xml_next(struct slu_xml *x, struct slu_err *e)
{
	int r;

	drop_attrs(x);
	if (x->close_next) {
		x->close_next = false;
		return SLU_XML_CLOSE;
	}
	if (x->failed)
		return slu_fail(e, EBADMSG, "'%s' could not be read further", x->what);
	if (x->ended)
		return SLU_XML_END;
	if (x->ahead)
		return report_node(x, e);
	r = advance(x, e);
	if (r < 0)
		return r;
	slu_buf_clear(&x->text);
	if (r > 0) {
		int depth = xmlTextReaderDepth(x->reader);

		r = gather_text(x, e);
		if (r < 0)
			return r;
		if (r > 0) {
			x->depth = depth;
			return SLU_XML_TEXT;
		}
	} else {
		x->ended = true;
	}
	return x->ended ? SLU_XML_END : report_node(x, e);
}

const char *slu_xml_name(const struct slu_xml *x)
{
	return x->name ? x->name : "";
}

const char *slu_xml_text(const struct slu_xml *x)
{
	return x->text.p ? x->text.p : "";
}

int slu_xml_depth(const struct slu_xml *x)
{
	return x->depth;
}

const char *slu_xml_attr(struct slu_xml *x, const char *name)
{
	char *v = (char *)xmlTextReaderGetAttribute(x->reader, (const xmlChar *)name);

	if (v && !slu_vec_push(&x->attrs, v)) {
		xmlFree(v);
		return NULL;
	}
	return v;
}
