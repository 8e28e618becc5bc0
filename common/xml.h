/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML pull reader over libxml2 (the only place that includes it): no network, no entities beyond
 * the five, any DOCTYPE is an error, depth 32, 256 MiB a document, 1 MiB a text.  Read as UTF-8
 * whatever it declares.  One thread at a time.
 */
#ifndef SLU_COMMON_XML_H
#define SLU_COMMON_XML_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stddef.h>

struct slu_xml;

enum slu_xml_event { SLU_XML_END, SLU_XML_OPEN, SLU_XML_TEXT, SLU_XML_CLOSE };

/* text must live as long as the reader.  what: how messages name the document. */
int slu_xml_new(const char *text, size_t n, const char *what, struct slu_xml **ret,
		struct slu_err *e);
void slu_xml_free(struct slu_xml *x);
SLU_DEFINE_CLEANUP(struct slu_xml *, slu_xml_free, slu_xml_freep)
/* The next event (>= 0) or -EBADMSG ("what:line:col": ...), -ENOMEM; an error stays an error.  After
 * OPEN/CLOSE name() is the element's local name, after TEXT text() is all character data up to the
 * next tag, in one piece, blanks between elements too; both valid until the next call.  An empty
 * element gives OPEN and CLOSE. */
int slu_xml_next(struct slu_xml *x, struct slu_err *e);
const char *slu_xml_name(const struct slu_xml *x);
const char *slu_xml_text(const struct slu_xml *x);
int slu_xml_depth(const struct slu_xml *x); /* of the current element, root 1 */
const char *slu_xml_attr(
	struct slu_xml *x,
	const char *name); /* after OPEN; NULL: absent; valid until the next event */

#endif
