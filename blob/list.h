/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of List Blobs and Get Block List, read.  Any thread; nothing here keeps state. */
#ifndef SLU_BLOB_LIST_H
#define SLU_BLOB_LIST_H

#include "common/err.h"
#include "fs/op.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How one page is read. */
struct slu_blob_page {
	const char *prefix; /* what was asked for, "" or ending in '/' */
	bool flat;          /* no delimiter: folders are left out */
	bool all;           /* with flat: not left out, and with markers, the prefix's own as "" */
	bool versions;      /* with flat: the entries have versions */
	bool no_md5;        /* stored MD5s are not believed: left empty */
	bool marks;         /* result: the prefix itself is there as a folder marker */
};

/*
 * Adds the page's entries to *ret, names relative to the prefix, and sets ret->next.  -EPROTO: a name
 * outside the prefix, a size or time that is none, no EnumerationResults; -EBADMSG: no XML.  On
 * failure *ret holds what was read before.
 */
int slu_blob_list_parse(const char *xml, size_t n, struct slu_blob_page *p, struct slu_list *ret,
			struct slu_err *e);

/* Are the committed blocks exactly `blocks`, of which the i-th is named id(user, i)?  Into *ret. */
int slu_blob_blocks_parse(const char *xml, size_t n, void (*id)(void *user, uint64_t i, char *out),
			  void *user, uint64_t blocks, bool *ret, struct slu_err *e);
/* Each block: its id as it stands there, and its length.  Stops at the first -errno of each(). */
int slu_blob_each_block(const char *xml, size_t n,
			int (*each)(void *user, const char *id, uint64_t size, bool committed),
			void *user, struct slu_err *e);
#define SLU_BLOB_BLOCK_ID 96 /* bytes that id() may write, with the NUL */

/* The text of <Code> and <Message> of an error body, empty when there is none.  The message's first
 * line only: the rest are ids and times. */
void slu_blob_error_parse(const char *xml, size_t n, char *code, size_t code_size, char *text,
			  size_t text_size);

/* The parts of a blob's attributes as the service writes them, in headers and in XML. */
void slu_blob_set_etag(struct slu_attr *a, const char *etag);
void slu_blob_set_md5(struct slu_attr *a, const char *base64); /* not 16 bytes: left empty */

#endif
