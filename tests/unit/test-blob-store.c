/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Blob driver against a server that plays a script: each request has to be the next one of it.
 * What a real service does seldom is here: lost answers, foreign commits, empty pages, throttling.
 */
#include "tests/unit/blob-play.h"

#include "common/mem.h"

/* --- looking --- */

#define LIST_OF(blobs, marker)                                                                     \
	"<?xml version=\"1.0\"?><EnumerationResults><Blobs>" blobs "</Blobs><NextMarker>" marker   \
	"</NextMarker></EnumerationResults>"
#define REST                                                                                       \
	"<Properties><Last-Modified>Sat, 21 Nov 2026 00:00:00 "                                    \
	"GMT</Last-Modified><Etag>0x1</Etag><Content-Length>3</Content-Length></Properties></Blob>"
#define BLOB(name) "<Blob><Name>" name "</Name>" REST

static void stat_of_a_file_is_one_request(void **state)
{
	struct slu_attr a;

	(void)state;
	PLAY({"HEAD /acct/data/in/a%20b%23.csv HTTP", "x-ms-version: 2021-12-02",
	      HEAD("7", "Content-MD5: " MD5_OF_HELLO "\r\n"), NULL});
	assert_int_equal(slu_store_stat(store, "in/a b#.csv", &a, NULL), 0);
	assert_int_equal(a.kind, SLU_KIND_FILE);
	assert_int_equal(a.size, 7);
	assert_string_equal(a.id, "0x1");
	assert_string_equal(a.sum, "md5:5d41402abc4b2a76b9719d911017c592");
	assert_int_equal(a.mtime_ns, 1795219200 * SLU_SEC);
	played();
}

static void stat_of_a_folder_passes_empty_pages(void **state)
{
	struct slu_attr a;

	(void)state;
	PLAY({"HEAD /acct/data/in ", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET /acct/data?comp=list&maxresults=1&prefix=in%2F&restype=container", NULL, OK,
	      LIST_OF("", "m1")},
	     {"GET /acct/data?comp=list&marker=m1&maxresults=1&prefix=in%2F", NULL, OK,
	      LIST_OF(BLOB("in/x"), "")});
	assert_int_equal(slu_store_stat(store, "in", &a, NULL), 0);
	assert_int_equal(a.kind, SLU_KIND_DIR);
	played();
}

static void what_is_not_there_is_named(void **state)
{
	struct slu_attr a;
	struct slu_err e = {0};

	(void)state;
	PLAY({"HEAD", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF("", "")},
	     {"HEAD", NULL, NONE("404 Not Found", "ContainerNotFound"), NULL});
	assert_failed(slu_store_stat(store, "no/such", &a, &e), e, ENOENT, "'no/such'");
	assert_contains(e.msg, "'data'");
	assert_failed(slu_store_stat(store, "x", &a, &e), e, ENOENT,
		      "the container does not exist");
	assert_contains(e.msg, "REQ-1");
	played();
}

static int list(const char *path, unsigned flags, struct slu_list *ret, struct slu_err *e)
{
	struct slu_op op;

	slu_op_list(&op, path, NULL, ret);
	op.flags = flags;
	return slu_store_wait(store, &op, e);
}

static void empty_folders_files_and_nothing_are_told_apart(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list l = {0};
	struct slu_err e = {0};

	(void)state;
	PLAY({"GET /acct/data?comp=list&delimiter=%2F&include=metadata&maxresults=5000&prefix=d%2F",
	      NULL, OK, LIST_OF("", "")},
	     {"HEAD /acct/data/d ", NULL, HEAD("0", "x-ms-meta-hdi_isfolder: true\r\n"), NULL},
	     {"GET", NULL, OK, LIST_OF("", "")}, {"HEAD", NULL, HEAD("1", ""), NULL},
	     {"GET", NULL, OK, LIST_OF("", "")},
	     {"HEAD", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF(BLOB("d/"), "")});
	assert_int_equal(list("d", 0, &l, NULL), 0);
	assert_failed(list("d", 0, &l, &e), e, ENOTDIR, "'d'");
	assert_failed(list("d", 0, &l, &e), e, ENOENT, "'d'");
	assert_int_equal(list("d", 0, &l, NULL), 0); /* its marker is there */
	assert_int_equal(l.n, 0);
	played();
}

/* Only what a listing is for has metadata in it; names that begin so are asked of the service. */
static void a_listing_asks_for_no_more_than_it_needs(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list l = {0};
	struct slu_op op;

	(void)state;
	PLAY({"GET /acct/data?comp=list&include=metadata&marker=m&maxresults=5000&prefix=d%2F%25a%20b&"
	      "restype=container ",
	      NULL, OK, LIST_OF(BLOB("d/%a bc"), "")},
	     {"GET", NULL, OK, LIST_OF("", "")});
	slu_op_list(&op, "d", "m", &l);
	op.flags = SLU_OPF_RECURSIVE;
	op.start = "%a b";
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_string_equal(l.p[0].name, "%a bc");
	slu_list_done(&l);
	slu_op_list(&op, "d", NULL, &l);
	op.start = "x";
	assert_int_equal(slu_store_wait(store, &op, NULL),
			 0); /* nothing so named: not asked further */
	played();
}

/* All versions, also of what is gone: an entry each, with what READ asks for. */
static void versions_are_listed(void **state)
{
	static const char versions[] =
		LIST_OF("<Blob><Name>d/f</Name><VersionId>2026-11-21T06:00:00.1Z"
			"</VersionId>" REST BLOB("d/f"),
			"");
	SLU_AUTO(slu_list_done) struct slu_list l = {0}, odd = {0};
	struct slu_err e = {0};

	(void)state;
	PLAY({"GET /acct/data?comp=list&include=versions&maxresults=5000&prefix=d%2F&restype=container ",
	      NULL, OK, versions},
	     {"GET", NULL, OK,
	      LIST_OF("<Blob><Name>d/f</Name><VersionId>a b</VersionId>" REST, "")});
	assert_int_equal(list("d", SLU_OPF_RECURSIVE | SLU_OPF_VERSIONS, &l, NULL), 0);
	assert_int_equal(l.n, 2);
	assert_string_equal(l.p[0].version, "versionid=2026-11-21T06:00:00.1Z");
	assert_null(l.p[1].version);
	assert_failed(list("d", SLU_OPF_RECURSIVE | SLU_OPF_VERSIONS, &odd, &e), e, EPROTO,
		      "a version that is none");
	played();
}

/* --- refusals --- */

static void throttling_says_when_to_come_back(void **state)
{
	struct slu_op op;
	char buf[4];

	(void)state;
	PLAY({"GET", NULL,
	      "HTTP/1.1 503 Server Busy\r\nRetry-After: 7\r\nx-ms-request-id: REQ-2\r\n",
	      "<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code></Error>"});
	slu_op_read(&op, "f", 0, 4, buf, NULL);
	assert_int_equal(slu_store_wait(store, &op, NULL), -EAGAIN);
	assert_int_equal(op.retry_after, 7 * SLU_SEC);
	assert_int_equal(op.err.http, 503);
	assert_string_equal(op.err.svc, "ServerBusy");
	assert_contains(op.err.msg, "REQ-2");
	assert_contains(op.err.msg, "client request ");
	played();
}

static void a_missing_right_is_named(void **state)
{
#define NO_RIGHT NONE("403 Forbidden", "AuthorizationPermissionMismatch")
	struct slu_list list = {0};
	struct slu_err e = {0};
	struct slu_attr a;
	struct slu_op op;

	(void)state;
	PLAY({"HEAD", NULL, NO_RIGHT, NULL}, {"GET", NULL, NO_RIGHT, NULL},
	     {"PUT", NULL, NO_RIGHT, NULL}, {"PUT", NULL, NO_RIGHT, NULL},
	     {"DELETE", NULL, NO_RIGHT, NULL});
	assert_failed(slu_store_stat(store, "f", &a, &e), e, EACCES, "permission 'r'");
	slu_op_list(&op, "d", NULL, &list);
	assert_failed(slu_store_wait(store, &op, &e), e, EACCES, "permission 'l'");
	assert_failed(slu_store_put(store, "f", "x", 1, 0, NULL, &e), e, EACCES, "permission 'w'");
	assert_failed(slu_store_put(store, "f", "x", 1, SLU_OPF_ABSENT, NULL, &e), e, EACCES,
		      "permission 'c'");
	assert_failed(slu_store_delete(store, "f", 0, &e), e, EACCES, "Contributor'");
	slu_list_done(&list);
	played();
}

static void a_wrong_clock_and_an_old_sas_are_named(void **state)
{
	struct slu_store *old;
	struct slu_attr a;
	struct slu_err e = {0};

	(void)state;
	PLAY({"HEAD", NULL,
	      "HTTP/1.1 403 Forbidden\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nx-ms-error-code: "
	      "AuthenticationFailed\r\nContent-Length: 0\r\n\r\n",
	      NULL},
	     {"HEAD /acct/data/f?se=2020-01-01T00:00:00Z&sig=CANARY", NULL,
	      NONE("403 Forbidden", "AuthenticationFailed"), NULL});
	assert_failed(slu_store_stat(store, "f", &a, &e), e, EACCES, "clock");
	setenv("SLU_TEST_SAS", "?se=2020-01-01T00:00:00Z&sig=CANARY", 1);
	old = open_store(", \"sas_token\": \"env:SLU_TEST_SAS\"");
	assert_failed(slu_store_stat(old, "f", &a, &e), e, EACCES, "expired at 2020-01-01");
	assert_lacks(e.msg, "CANARY");
	slu_store_free(old);
	played();
}

/* --- writing --- */

static int put(unsigned flags, const char *if_match, unsigned tries, struct slu_err *e)
{
	struct slu_op op;
	int r;

	slu_op_put(&op, "f", "hello", 5, flags);
	op.if_match = if_match;
	op.tries = (uint8_t)tries;
	r = slu_store_wait(store, &op, e);
	if (r == 0) {
		assert_int_equal(op.attr.size, 5);
		assert_string_equal(op.attr.id, "0x1");
		assert_string_equal(op.attr.sum, "md5:5d41402abc4b2a76b9719d911017c592");
	}
	return r;
}

static void plain_puts(void **state)
{
	(void)state;
	PLAY({"PUT /acct/data/f ", "content-md5: " MD5_OF_HELLO, CREATED, NULL},
	     {"PUT", "if-none-match: *", CREATED, NULL},
	     {"PUT", "if-match: \"0x0\"", CREATED, NULL},
	     {"PUT", NULL, NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"PUT", NULL, NONE("412 Precondition Failed", "ConditionNotMet"), NULL},
	     {"PUT", NULL, NONE("500 Internal Server Error", "InternalError"), NULL});
	assert_int_equal(put(0, NULL, 1, NULL), 0);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 1, NULL), 0);
	assert_int_equal(put(0, "0x0", 1, NULL), 0);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 1, NULL), -EEXIST);
	assert_int_equal(put(0, "0x0", 1, NULL), -ESTALE);
	assert_int_equal(put(0, NULL, 1, NULL), -ECONNABORTED); /* the retry layer sends it again */
	played();
}

static void a_lost_answer_to_a_put_is_settled_by_looking(void **state)
{
	(void)state;
	PLAY(/* it was carried out */
	     {"PUT", NULL, NONE("500 Internal Server Error", "InternalError"), NULL},
	     {"HEAD", NULL, HEAD("5", "Content-MD5: " MD5_OF_HELLO "\r\n"), NULL},
	     /* it was not */
	     {"PUT", NULL, NONE("500 Internal Server Error", "InternalError"), NULL},
	     {"HEAD", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     /* somebody else's is there */
	     {"PUT", NULL, NONE("500 Internal Server Error", "InternalError"), NULL},
	     {"HEAD", NULL, HEAD("6", ""), NULL},
	     /* sent before, by the retry layer */
	     {"PUT", NULL, NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"HEAD", NULL, HEAD("5", "Content-MD5: " MD5_OF_HELLO "\r\n"), NULL},
	     {"PUT", NULL, NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"HEAD", NULL, HEAD("6", ""), NULL});
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 1, NULL), 0);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 1, NULL), -EAGAIN);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 1, NULL), -ECONNABORTED);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 2, NULL), 0);
	assert_int_equal(put(SLU_OPF_ABSENT, NULL, 2, NULL), -EEXIST);
	played();
}

/* base64 of "TXN1", filled up, and the offset */
#define ID0 "VFhOMS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0wMDAwMDAwMDAwMDAwMDAw"
#define ID1 "VFhOMS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0wMDAwMDAwMDAwODAwMDAw"
/* the same in 16 bytes: 12 of the hash of "TXN1", 4 of offset */
#define ODD0 "d11fmzZ740173yfsAAAAAA=="
#define ODD1 "d11fmzZ740173yfsCAAAAA=="
#define ODD1_URL "d11fmzZ740173yfsCAAAAA%3D%3D"
#define BLOCK(id) "<Block><Name>" id "</Name><Size>1</Size></Block>"
#define BLOCKS(ids) "<BlockList><CommittedBlocks>" ids "</CommittedBlocks></BlockList>"
#define LEFT(ids)                                                                                  \
	"<BlockList><CommittedBlocks/><UncommittedBlocks>" ids "</UncommittedBlocks></BlockList>"

static int commit(unsigned flags, struct slu_err *e)
{
	struct slu_op op;

	slu_op_commit(&op, "f", "TXN1", SLU_BLOB_BLOCK + 1, flags);
	return slu_store_wait(store, &op, e);
}

static void blocks_are_named_by_transaction_and_offset(void **state)
{
	struct slu_op op;
	struct slu_err e = {0};

	(void)state;
	PLAY({"PUT /acct/data/f?blockid=VFhOMS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0wMDAwMDAwMDAwODAwMDAw&comp=block ",
	      "x-ms-content-crc64: V0JSBnCFdzM=", CREATED, NULL},
	     {"PUT /acct/data/f?comp=blocklist ", "content-length: 243", CREATED, NULL},
	     {"PUT", NULL, CREATED, NULL},
	     {"PUT", NULL, NONE("400 Bad Request", "InvalidBlobOrBlock"), NULL},
	     {"GET /acct/data/f?blocklisttype=uncommitted&comp=blocklist ", NULL, OK,
	      LEFT(BLOCK("c2hvcnQ="))});
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_BLOCK, "hello", 5);
	assert_int_equal(slu_store_wait(store, &op, &e), 0);
	assert_int_equal(commit(0, NULL), 0);
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_SIZE_MAX - (1u << 20), "x", 1);
	assert_int_equal(slu_store_wait(store, &op, &e), 0);
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_BLOCK, "hello", 5);
	assert_int_equal(slu_store_wait(store, &op, &e), -EBUSY);
	assert_contains(e.msg, "not committed");
	slu_op_put_block(&op, "f", "TXN1", 1, "hello", 5);
	assert_int_equal(slu_store_wait(store, &op, &e), -EINVAL);
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_SIZE_MAX, "x", 1);
	assert_int_equal(slu_store_wait(store, &op, &e), -EFBIG);
	played();
}

static void blocks_that_others_left_set_the_length_of_ids(void **state)
{
	struct slu_op op;

	(void)state;
	PLAY({"PUT", NULL, NONE("400 Bad Request", "InvalidBlobOrBlock"), NULL},
	     {"GET", NULL, OK, LEFT(BLOCK("MDEyMzQ1Njc4OWFiY2RlZg=="))},
	     {"PUT /acct/data/f?blockid=" ODD1_URL "&comp=block ", NULL, CREATED, NULL},
	     /* the next ones know */
	     {"PUT /acct/data/f?blockid=" ODD1_URL "&comp=block ", NULL, CREATED, NULL},
	     {"PUT /acct/data/f?comp=blocklist ", NULL,
	      NONE("500 Internal Server Error", "InternalError"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS(BLOCK(ODD0) BLOCK(ODD1))},
	     /* what is over is forgotten */
	     {"PUT /acct/data/f?blockid=VFh", NULL, CREATED, NULL});
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_BLOCK, "hello", 5);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_int_equal(commit(0, NULL), 0);
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_BLOCK, "hello", 5);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	played();
}

static void a_lost_answer_to_a_commit_is_settled_by_looking(void **state)
{
	struct slu_err e = {0};

	(void)state;
	PLAY(/* ours are there */
	     {"PUT", NULL, NONE("500 Internal Server Error", "InternalError"), NULL},
	     {"GET /acct/data/f?blocklisttype=committed&comp=blocklist", NULL, OK ETAG,
	      BLOCKS(BLOCK(ID0) BLOCK(ID1))},
	     /* a second try finds its blocks used up: by the first */
	     {"PUT", NULL, NONE("400 Bad Request", "InvalidBlockList"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS(BLOCK(ID0) BLOCK(ID1))},
	     /* by another writer */
	     {"PUT", NULL, NONE("400 Bad Request", "InvalidBlockList"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS(BLOCK(ID0))},
	     /* put if absent, and it is there: ours, another's */
	     {"PUT", "if-none-match: *", NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS(BLOCK(ID0) BLOCK(ID1))},
	     {"PUT", NULL, NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS("")},
	     /* nothing happened */
	     {"PUT", NULL, NONE("503 Server Busy", "ServerBusy"), NULL},
	     {"GET", NULL, NONE("404 Not Found", "BlobNotFound"), NULL});
	assert_int_equal(commit(0, NULL), 0);
	assert_int_equal(commit(0, NULL), 0);
	assert_failed(commit(0, &e), e, ESTALE, "somebody else");
	assert_int_equal(commit(SLU_OPF_ABSENT, NULL), 0);
	assert_int_equal(commit(SLU_OPF_ABSENT, NULL), -EEXIST);
	assert_int_equal(commit(0, NULL), -EAGAIN);
	played();
}

#define KEPT "0123456789abcdef-2-TXN1"
#define KEPT_HEAD(size) HEAD(size, "x-ms-meta-sluice_crc64: " KEPT "\r\n")

static void commit_keeps_the_crc64(void **state)
{
	uint64_t crc = 0x0123456789abcdef;
	struct slu_props props = {.crc64 = &crc};
	struct slu_op op;

	(void)state;
	PLAY({"PUT /acct/data/f?blockid=", "x-ms-content-crc64: 782riWdFIwE=", CREATED, NULL},
	     {"PUT /acct/data/f?comp=blocklist ",
	      "x-ms-meta-sluice_crc64: 0123456789abcdef-8388609-TXN1", CREATED, NULL});
	slu_op_put_block(&op, "f", "TXN1", SLU_BLOB_BLOCK, "hello", 5);
	op.crc64 = &crc;
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	slu_op_commit(&op, "f", "TXN1", SLU_BLOB_BLOCK + 1, 0);
	op.props = &props;
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_string_equal(op.attr.sum, "crc64:0123456789abcdef");
	played();
}

static const char *told_sum(struct slu_op *op, unsigned flags)
{
	slu_op_stat(op, "f");
	op->flags = flags;
	assert_int_equal(slu_store_wait(store, op, NULL), 0);
	return op->attr.sum;
}

static void a_crc64_is_of_the_blocks_of_its_transaction(void **state)
{
	const char *sum = "crc64:0123456789abcdef";
	struct slu_op op;

	(void)state;
	PLAY({"HEAD", NULL, KEPT_HEAD("2"), NULL},
	     /* of another length; none; an MD5 that somebody set since; nonsense */
	     {"HEAD", NULL, KEPT_HEAD("3"), NULL}, {"HEAD", NULL, HEAD("2", ""), NULL},
	     {"HEAD", NULL,
	      HEAD("2", "x-ms-meta-sluice_crc64: " KEPT "\r\nContent-MD5: " MD5_OF_HELLO "\r\n"),
	      NULL},
	     {"HEAD", NULL, HEAD("2", "x-ms-meta-sluice_crc64: 12-2-TXN1\r\n"), NULL},
	     {"HEAD", NULL, HEAD("2", "x-ms-meta-sluice_crc64: 0123456789abcdef-2\r\n"), NULL},
	     /* confirmed; another tool's blocks; none at all; some of ours and no more */
	     {"HEAD", NULL, KEPT_HEAD("2"), NULL},
	     {"GET /acct/data/f?blocklisttype=committed&comp=blocklist ", NULL, OK ETAG,
	      BLOCKS("<Block><Name>" ID0 "</Name><Size>2</Size></Block>")},
	     {"HEAD", NULL, KEPT_HEAD("2"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS("<Block><Name>AAAA</Name><Size>2</Size></Block>")},
	     {"HEAD", NULL, KEPT_HEAD("2"), NULL}, {"GET", NULL, OK ETAG, BLOCKS("")},
	     {"HEAD", NULL, KEPT_HEAD("2"), NULL},
	     {"GET", NULL, OK ETAG, BLOCKS(BLOCK(ID0) BLOCK(ID1))},
	     /* blocks with other ids have to begin where they did */
	     {"HEAD", NULL,
	      HEAD("8388610", "x-ms-meta-sluice_crc64: 0123456789abcdef-8388610-TXN1\r\n"), NULL},
	     {"GET", NULL, OK ETAG,
	      BLOCKS("<Block><Name>" ODD0 "</Name><Size>8388608</Size></Block><Block><Name>" ODD1
		     "</Name><Size>2</Size></Block>")},
	     {"HEAD", NULL,
	      HEAD("8388610", "x-ms-meta-sluice_crc64: 0123456789abcdef-8388610-TXN1\r\n"), NULL},
	     {"GET", NULL, OK ETAG,
	      BLOCKS("<Block><Name>" ODD0 "</Name><Size>8388609</Size></Block><Block><Name>" ODD1
		     "</Name><Size>1</Size></Block>")});
	assert_string_equal(told_sum(&op, 0), sum);
	assert_string_equal(told_sum(&op, 0), "");
	assert_string_equal(told_sum(&op, 0), "");
	assert_string_equal(told_sum(&op, 0), "md5:5d41402abc4b2a76b9719d911017c592");
	assert_string_equal(told_sum(&op, 0), "");
	assert_string_equal(told_sum(&op, 0), "");
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), sum);
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), "");
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), "");
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), "");
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), sum);
	assert_string_equal(told_sum(&op, SLU_OPF_SUM), "");
	played();
}

static void folders_are_stubs(void **state)
{
	struct slu_op op;

	(void)state;
	PLAY({"PUT /acct/data/d/e ", "x-ms-meta-hdi_isfolder: true", CREATED, NULL},
	     {"PUT", "if-none-match: *", NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"HEAD", NULL, HEAD("0", "x-ms-meta-hdi_isfolder: true\r\n"), NULL},
	     {"PUT", NULL, NONE("409 Conflict", "BlobAlreadyExists"), NULL},
	     {"HEAD", NULL, HEAD("0", ""), NULL});
	slu_op_mkdir(&op, "d/e");
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_int_equal(slu_store_wait(store, &op, NULL), 0);
	assert_int_equal(slu_store_wait(store, &op, NULL), -ENOTDIR);
	played();
}

#define DELETED "HTTP/1.1 202 Accepted\r\nx-ms-request-id: 1\r\nContent-Length: 0\r\n\r\n"

static void deletes(void **state)
{
	struct slu_err e = {0};

	(void)state;
	PLAY({"DELETE /acct/data/f ", "x-ms-delete-snapshots: include", DELETED, NULL},
	     {"DELETE", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF("", "")},
	     {"DELETE", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF(BLOB("f/x"), "")},
	     {"DELETE", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF(BLOB("f/"), "")},
	     {"DELETE /acct/data/f/ ", NULL, DELETED, NULL});
	assert_int_equal(slu_store_delete(store, "f", 0, NULL), 0);
	assert_failed(slu_store_delete(store, "f", 0, &e), e, ENOENT, "'f'");
	assert_failed(slu_store_delete(store, "f", 0, &e), e, ENOTEMPTY, "recursively");
	assert_int_equal(slu_store_delete(store, "f", 0, NULL), 0);
	played();
}

static void a_tree_goes_until_nothing_is_left(void **state)
{
	struct slu_err e = {0};

	(void)state;
	PLAY({"GET", "prefix=d%2F", OK, LIST_OF(BLOB("d/x"), "m")},
	     {"DELETE /acct/data/d/x ", NULL, DELETED, NULL},
	     {"GET /acct/data?comp=list&marker=m&maxresults=5000&prefix=d%2F", NULL, OK,
	      LIST_OF(BLOB("d/"), "")},
	     {"DELETE /acct/data/d/ ", NULL, DELETED, NULL},
	     {"GET /acct/data?comp=list&maxresults=5000&prefix=d%2F", NULL, OK, LIST_OF("", "")},
	     {"DELETE /acct/data/d ", NULL, NONE("404 Not Found", "BlobNotFound"), NULL},
	     {"GET", NULL, OK, LIST_OF(BLOB("d/x"), "")},
	     {"DELETE", NULL, NONE("403 Forbidden", "AuthorizationPermissionMismatch"), NULL});
	assert_int_equal(slu_store_delete(store, "d", SLU_OPF_TREE, NULL), 0);
	assert_failed(slu_store_delete(store, "d", SLU_OPF_TREE, &e), e, EACCES, "role");
	played();
}

/* Those of the same page, and the pages behind it; a page of which nothing goes is the end. */
static void one_that_stays_does_not_keep_the_others(void **state)
{
#define REFUSED NONE("403 Forbidden", "AuthorizationPermissionMismatch")
	struct slu_err e = {0};

	(void)state;
	PLAY({"GET", NULL, OK, LIST_OF(BLOB("d/x") BLOB("d/y"), "m")},
	     {"DELETE", NULL, REFUSED, NULL}, {"DELETE", NULL, DELETED, NULL},
	     {"GET", "marker=m", OK, LIST_OF(BLOB("d/z"), "n")},
	     {"DELETE /acct/data/d/z ", NULL, DELETED, NULL},
	     {"GET", "marker=n", OK, LIST_OF(BLOB("d/zz"), "o")},
	     {"DELETE /acct/data/d/zz ", NULL, REFUSED, NULL});
	assert_failed(slu_store_delete(store, "d", SLU_OPF_TREE, &e), e, EACCES, "role");
	assert_contains(e.msg, "2 in 'd' could not be deleted");
	played();
}

static void requests_are_signed(void **state)
{
	struct slu_store *keyed;
	struct slu_attr a;

	(void)state;
	PLAY({"HEAD", "authorization: SharedKey acct:", HEAD("1", ""), NULL});
	setenv("SLU_TEST_KEY", "MDEyMzQ1Njc4OWFiY2RlZg==", 1);
	keyed = open_store(", \"account_key\": \"env:SLU_TEST_KEY\"");
	assert_int_equal(slu_store_stat(keyed, "f", &a, NULL), 0);
	slu_store_free(keyed);
	played();
}

/* --- Hadoop --- */

#define DFS ".acct.dfs.core.windows.net"

/* What Hadoop is told of an account whose entry has this in it. */
static void told(const char *more, struct slu_hadoop *ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	SLU_AUTO(slu_freep)
	char *text = slu_asprintf("{\"type\": \"azure_blob\", \"account_name\": \"acct\", "
				  "\"container_name\": \"data\"%s}",
				  more);
	struct slu_store *s;
	struct slu_err e = {0};

	setenv("SLU_TEST_KEY", "MDEyMzQ1Njc4OWFiY2RlZg==", 1);
	setenv("SLU_TEST_SAS", "?sv=2024-05-04&sig=abc%3D", 1);
	assert_int_equal(slu_json_parse(text, strlen(text), "entry", &entry, NULL), 0);
	if (slu_blob_new(entry, "/", loops, pool, &s, &e) || slu_store_hadoop(s, "in/a b", ret, &e))
		fail_msg("%s", e.msg);
	slu_store_free(s);
}

static void conf_is(const struct slu_hadoop *h, const char *property, const char *value)
{
	const char *has = slu_json_str(h->conf, property);

	if (!has || strcmp(has, value) != 0)
		fail_msg("%s is %s", property, has ? has : "not set");
}

static void secret_is(const struct slu_hadoop *h, const char *property, const char *ref)
{
	const char *has = slu_json_str(h->secret_refs, property);

	if (!has || strcmp(has, ref) != 0)
		fail_msg("%s is %s", property, has ? has : "not set");
}

static void hadoop_gets_references_not_secrets(void **state)
{
	struct slu_hadoop h;

	(void)state;
	told(", \"account_key\": \"env:SLU_TEST_KEY\"", &h);
	assert_string_equal(h.uri, "abfss://data@acct.dfs.core.windows.net/in/a b");
	conf_is(&h, "fs.azure.account.auth.type" DFS, "SharedKey");
	conf_is(&h, "fs.azure.account.hns.enabled" DFS, "false");
	conf_is(&h, "fs.azure.fns.account.service.type" DFS, "BLOB");
	secret_is(&h, "fs.azure.account.key" DFS, "env:SLU_TEST_KEY");
	assert_int_equal(slu_json_count(h.secret_refs), 1);
	slu_hadoop_done(&h);
	told(", \"sas_token\": \"env:SLU_TEST_SAS\"", &h);
	conf_is(&h, "fs.azure.account.auth.type" DFS, "SAS");
	secret_is(&h, "fs.azure.sas.fixed.token" DFS, "env:SLU_TEST_SAS");
	secret_is(&h, "fs.azure.sas.fixed.token.data" DFS, "env:SLU_TEST_SAS");
	slu_hadoop_done(&h);
	assert_int_equal(slu_store_hadoop(store, "", &h, NULL), 0);
	assert_string_equal(h.uri, "abfs://data@acct.dfs.core.windows.net/");
	conf_is(&h, "fs.azure.fns.account.service.type" DFS, "BLOB");
	conf_is(&h, "fs.azure.always.use.https", "false");
	assert_int_equal(slu_json_count(h.secret_refs), 0);
	slu_hadoop_done(&h);
}

static void hadoops_older_driver(void **state)
{
	struct slu_hadoop h;

	(void)state;
	told(", \"account_key\": \"env:SLU_TEST_KEY\", \"hadoop_driver\": \"wasb\"", &h);
	assert_string_equal(h.uri, "wasbs://data@acct.blob.core.windows.net/in/a b");
	secret_is(&h, "fs.azure.account.key.acct.blob.core.windows.net", "env:SLU_TEST_KEY");
	assert_int_equal(slu_json_count(h.conf), 0);
	slu_hadoop_done(&h);
	told(", \"sas_token\": \"env:SLU_TEST_SAS\", \"hadoop_driver\": \"wasb\"", &h);
	secret_is(&h, "fs.azure.sas.data.acct.blob.core.windows.net", "env:SLU_TEST_SAS");
	slu_hadoop_done(&h);
	told("", &h); /* a public container */
	assert_string_equal(h.uri, "wasbs://data@acct.blob.core.windows.net/in/a b");
	slu_hadoop_done(&h);
}

#define OAUTH "org.apache.hadoop.fs.azurebfs.oauth2."

static void hadoop_signs_in_as_we_do(void **state)
{
	struct slu_hadoop h;

	(void)state;
	told(", \"credential\": {\"type\": \"service_principal\", \"tenant_id\": \"t\", "
	     "\"client_id\": \"c\", \"client_secret\": \"env:SLU_TEST_KEY\"}",
	     &h);
	conf_is(&h, "fs.azure.account.auth.type" DFS, "OAuth");
	conf_is(&h, "fs.azure.account.oauth.provider.type" DFS, OAUTH "ClientCredsTokenProvider");
	conf_is(&h, "fs.azure.account.oauth2.client.endpoint" DFS,
		"https://login.microsoftonline.com/t/oauth2/token");
	conf_is(&h, "fs.azure.account.oauth2.client.id" DFS, "c");
	conf_is(&h, "fs.azure.account.hns.enabled" DFS, "false");
	secret_is(&h, "fs.azure.account.oauth2.client.secret" DFS, "env:SLU_TEST_KEY");
	slu_hadoop_done(&h);
	told(", \"credential\": \"managed_identity\"", &h);
	conf_is(&h, "fs.azure.account.oauth.provider.type" DFS, OAUTH "MsiTokenProvider");
	assert_int_equal(slu_json_count(h.secret_refs), 0);
	slu_hadoop_done(&h);
	setenv("AZURE_TENANT_ID", "t", 1);
	setenv("AZURE_CLIENT_ID", "c", 1);
	setenv("AZURE_FEDERATED_TOKEN_FILE", "/run/token", 1);
	told(", \"credential\": \"workload_identity\"", &h);
	conf_is(&h, "fs.azure.account.oauth.provider.type" DFS,
		OAUTH "WorkloadIdentityTokenProvider");
	conf_is(&h, "fs.azure.account.oauth2.msi.tenant" DFS, "t");
	conf_is(&h, "fs.azure.account.oauth2.client.id" DFS, "c");
	conf_is(&h, "fs.azure.account.oauth2.token.file" DFS, "/run/token");
	conf_is(&h, "fs.azure.account.oauth2.msi.authority" DFS,
		"https://login.microsoftonline.com");
	slu_hadoop_done(&h);
	unsetenv("AZURE_TENANT_ID");
	unsetenv("AZURE_CLIENT_ID");
	unsetenv("AZURE_FEDERATED_TOKEN_FILE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_of_a_file_is_one_request),
		cmocka_unit_test(stat_of_a_folder_passes_empty_pages),
		cmocka_unit_test(what_is_not_there_is_named),
		cmocka_unit_test(empty_folders_files_and_nothing_are_told_apart),
		cmocka_unit_test(a_missing_right_is_named),
		cmocka_unit_test(a_listing_asks_for_no_more_than_it_needs),
		cmocka_unit_test(versions_are_listed),
		cmocka_unit_test(throttling_says_when_to_come_back),
		cmocka_unit_test(a_wrong_clock_and_an_old_sas_are_named),
		cmocka_unit_test(plain_puts),
		cmocka_unit_test(a_lost_answer_to_a_put_is_settled_by_looking),
		cmocka_unit_test(blocks_are_named_by_transaction_and_offset),
		cmocka_unit_test(blocks_that_others_left_set_the_length_of_ids),
		cmocka_unit_test(a_lost_answer_to_a_commit_is_settled_by_looking),
		cmocka_unit_test(commit_keeps_the_crc64),
		cmocka_unit_test(a_crc64_is_of_the_blocks_of_its_transaction),
		cmocka_unit_test(folders_are_stubs),
		cmocka_unit_test(deletes),
		cmocka_unit_test(a_tree_goes_until_nothing_is_left),
		cmocka_unit_test(one_that_stays_does_not_keep_the_others),
		cmocka_unit_test(requests_are_signed),
		cmocka_unit_test(hadoop_gets_references_not_secrets),
		cmocka_unit_test(hadoops_older_driver),
		cmocka_unit_test(hadoop_signs_in_as_we_do),
	};
	return cmocka_run_group_tests_name("blob-store", tests, setup, teardown);
}
