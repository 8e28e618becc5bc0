/* SPDX-License-Identifier: Apache-2.0 */
/* The XML pull reader. */
#include "tests/unit/unit.h"

#include "common/buf.h"
#include "common/fault.h"
#include "common/xml.h"

#include <errno.h>

/* The whole document as "<a>text</a>" with depths, or the error. */
static int replay(const char *text, size_t n, struct slu_buf *b, struct slu_err *e)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	int r = slu_xml_new(text, n, "t.xml", &x, e);

	while (r >= 0) {
		r = slu_xml_next(x, e);
		if (r == SLU_XML_OPEN)
			slu_buf_fmt(b, "<%s:%d>", slu_xml_name(x), slu_xml_depth(x));
		else if (r == SLU_XML_CLOSE)
			slu_buf_fmt(b, "</%s:%d>", slu_xml_name(x), slu_xml_depth(x));
		else if (r == SLU_XML_TEXT)
			slu_buf_fmt(b, "[%s]%d", slu_xml_text(x), slu_xml_depth(x));
		else
			break;
	}
	return r;
}

static void reads_as(const char *text, const char *want)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	struct slu_err e = {0};

	if (replay(text, strlen(text), &b, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(b.p, want);
}

static void refused_n(const char *text, size_t n, const char *says)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4 << 20);
	struct slu_err e = {0};

	assert_failed(replay(text, n, &b, &e), e, EBADMSG, says);
	assert_contains(e.msg, "'t.xml");
}

static void refused(const char *text, const char *says)
{
	refused_n(text, strlen(text), says);
}

static void events_come_in_order(void **state)
{
	(void)state;
	reads_as("<?xml version=\"1.0\" encoding=\"utf-8\"?><a><b>x</b><c/>y</a>",
		 "<a:1><b:2>[x]2</b:2><c:2></c:2>[y]1</a:1>");
	reads_as("\xef\xbb\xbf<a/>", "<a:1></a:1>");
	reads_as("<a></a>\n<!-- end -->\n", "<a:1></a:1>");
	reads_as("<a> </a>", "<a:1>[ ]1</a:1>");
	reads_as("<n:a xmlns:n='u'><n:b/></n:a>", "<a:1><b:2></b:2></a:1>");
}

static void text_comes_in_one_piece(void **state)
{
	(void)state;
	reads_as("<a>x&amp;&#65;&lt;<!-- c -->y<![CDATA[<z>&]]>]<?pi x?>w</a>",
		 "<a:1>[x&A<y<z>&]w]1</a:1>");
	reads_as("<a><![CDATA[]]></a>", "<a:1></a:1>");
	reads_as("<a>\xc3\xa4 \xf0\x9f\x98\x80</a>", "<a:1>[\xc3\xa4 \xf0\x9f\x98\x80]1</a:1>");
}

static void long_text_is_not_split(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4 << 20);
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	enum { LEN = 1 << 20 };

	(void)state;
	slu_buf_str(&b, "<a>");
	for (int i = 0; i < LEN; i++)
		slu_buf_ch(&b, (char)('a' + i % 26));
	slu_buf_str(&b, "</a>");
	assert_int_equal(slu_xml_new(b.p, b.len, "t.xml", &x, NULL), 0);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_OPEN);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_TEXT);
	assert_int_equal(strlen(slu_xml_text(x)), LEN);
	assert_int_equal(slu_xml_text(x)[LEN - 1], 'a' + (LEN - 1) % 26);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_CLOSE);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_END);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_END);
	b.len -= 4;
	slu_buf_str(&b, "!</a>");
	refused_n(b.p, b.len, "longer than 1 MiB");
}

static void attributes_are_found(void **state)
{
	static const char text[] = "<a x='1' y='&lt;&#10;2'><b/></a>";
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	const char *one, *two;

	(void)state;
	assert_int_equal(slu_xml_new(text, strlen(text), "t", &x, NULL), 0);
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_OPEN);
	one = slu_xml_attr(x, "x");
	two = slu_xml_attr(x, "y");
	assert_string_equal(one, "1");
	assert_string_equal(two, "<\n2");
	assert_null(slu_xml_attr(x, "z"));
	assert_int_equal(slu_xml_next(x, NULL), SLU_XML_OPEN);
	assert_null(slu_xml_attr(x, "x"));
}

static void bad_documents_are_refused(void **state)
{
	(void)state;
	refused("", "empty");
	refused("   ", "t.xml:");
	refused("<a>", "t.xml:1:");
	refused("<a><b></a>", "mismatch");
	refused("<a/><b/>", "Extra content");
	refused("<a x='1' x='2'/>", "redefined");
	refused("text", "t.xml:1:");
	refused("<a>&nbsp;</a>", "nbsp");
	refused("<a>\xff</a>", "t.xml:");
	refused("<a>\x01</a>", "t.xml:");
	refused("<a>\n\n<b></a>", "t.xml:3:");
	refused_n("<a>\0</a>", 8, "t.xml:");
	refused("<n:a/>", "not defined");
}

static void a_doctype_is_refused(void **state)
{
	(void)state;
	refused("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE");
	refused("\xef\xbb\xbf<?xml version='1.0'?><!-- c --> <!DOCTYPE a><a/>", "DOCTYPE");
	refused("<!doctype a><a/>", "DOCTYPE");
	refused("<?x ?><!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "DOCTYPE");
	/* one that libxml2 would see in another encoding */
	refused("<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE a><a/>", "DOCTYPE");
	refused_n("\xff\xfe<\0!\0D\0O\0C\0", 12, "t.xml:");
	/* as text it is only text */
	reads_as("<a><![CDATA[<!DOCTYPE]]></a>", "<a:1>[<!DOCTYPE]1</a:1>");
}

static void depth_is_limited(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	SLU_AUTO(slu_buf_done) struct slu_buf out = SLU_BUF(1 << 20);

	(void)state;
	for (int i = 0; i < 32; i++)
		slu_buf_str(&b, "<a>");
	for (int i = 0; i < 32; i++)
		slu_buf_str(&b, "</a>");
	assert_int_equal(replay(b.p, b.len, &out, NULL), SLU_XML_END);
	slu_buf_clear(&b);
	for (int i = 0; i < 10000; i++)
		slu_buf_str(&b, "<a>");
	refused_n(b.p, b.len, "too deep");
}

static void an_error_stays_an_error(void **state)
{
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	int r = 0;

	(void)state;
	assert_int_equal(slu_xml_new("<a><b></a>", 10, "t", &x, NULL), 0);
	for (int i = 0; r >= 0 && i < 10; i++)
		r = slu_xml_next(x, NULL);
	assert_int_equal(r, -EBADMSG);
	assert_int_equal(slu_xml_next(x, NULL), -EBADMSG);
	assert_int_equal(slu_xml_next(x, NULL), -EBADMSG);
}

static void a_truncated_document_is_never_whole(void **state)
{
	static const char text[] =
		"<?xml version='1.0'?><L a='b'><N>x &amp; y</N><![CDATA[z]]><E/></L>";

	(void)state;
	for (size_t n = 1; n < strlen(text); n++) {
		SLU_AUTO(slu_freep) char *copy = malloc(n);
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1000);
		struct slu_err e = {0};

		memcpy(copy, text, n);
		assert_failed(replay(copy, n, &b, &e), e, EBADMSG, "'t.xml");
	}
}

static void names_of_what_was_opened_balance(void **state)
{
	static const char text[] =
		"<EnumerationResults><Blobs><Blob><Name>a/b.csv</Name><Properties>"
		"<Content-Length>5</Content-Length><Etag>0x8D</Etag></Properties>"
		"</Blob></Blobs><NextMarker/></EnumerationResults>";
	SLU_AUTO(slu_xml_freep) struct slu_xml *x = NULL;
	int depth = 0, r;

	(void)state;
	assert_int_equal(slu_xml_new(text, strlen(text), "list", &x, NULL), 0);
	while ((r = slu_xml_next(x, NULL)) > 0) {
		if (r == SLU_XML_OPEN)
			assert_int_equal(slu_xml_depth(x), ++depth);
		else if (r == SLU_XML_CLOSE)
			assert_int_equal(slu_xml_depth(x), depth--);
		else
			assert_int_equal(slu_xml_depth(x), depth);
	}
	assert_int_equal(r, SLU_XML_END);
	assert_int_equal(depth, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_order),
		cmocka_unit_test(text_comes_in_one_piece),
		cmocka_unit_test(long_text_is_not_split),
		cmocka_unit_test(attributes_are_found),
		cmocka_unit_test(bad_documents_are_refused),
		cmocka_unit_test(a_doctype_is_refused),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(an_error_stays_an_error),
		cmocka_unit_test(a_truncated_document_is_never_whole),
		cmocka_unit_test(names_of_what_was_opened_balance),
	};

	return cmocka_run_group_tests_name("xml", tests, NULL, NULL);
}
