/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signing and checking cost, for tests/bench/blob: "NAME UNITS SECONDS" a line, CPU seconds of this
 * thread.  Units are requests signed, bytes hashed, entries of a listing read.  usage: micro [SECONDS]
 */
#include "blob/list.h"
#include "blob/sign.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"
#include "tests/bench/program.h"

#include <stdlib.h>

#define BLOCK (8u << 20)

/* A ranged and conditional GET, as a read sends it. */
static uint64_t sign_one(void)
{
	static const struct slu_blob_pair header[] = {
		{"x-ms-date", "Fri, 01 Mar 2024 12:00:00 GMT"},
		{"x-ms-version", "2024-11-04"},
		{"x-ms-range", "bytes=8388608-16777215"},
		{"if-match", "\"0x8DC39D6F4E2B6A0\""},
		{"x-ms-client-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"},
	};
	static const uint8_t key[64] = {1, 2, 3};
	struct slu_blob_req q = {
		.method = "GET",
		.path = "/container/raw/2024/03/01/part-00000.parquet",
		.header = header,
		.headers = sizeof(header) / sizeof(header[0]),
	};
	char *value = NULL;

	if (slu_blob_sign(&q, "account", key, sizeof(key), &value, NULL) < 0)
		exit(1);
	free(value);
	return 1;
}

static uint8_t *block;
static volatile uint64_t sink;

static uint64_t crc_one(void)
{
	sink += slu_crc64(0, block, BLOCK);
	return BLOCK;
}

static uint64_t md5_one(void)
{
	uint8_t sum[SLU_DIGEST_MAX];

	if (slu_digest(SLU_MD5, block, BLOCK, sum) < 0)
		exit(1);
	return BLOCK;
}

#define PAGE 5000

static struct slu_buf page = SLU_BUF(64u << 20);

/* A page as the service writes it, with every property that it gives to a block blob. */
static void make_page(void)
{
	slu_buf_str(&page,
		    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults "
		    "ServiceEndpoint=\"https://account.blob.core.windows.net/\" "
		    "ContainerName=\"lake\"><Prefix>raw/2024/</Prefix><MaxResults>5000"
		    "</MaxResults><Blobs>");
	for (int i = 0; i < PAGE; i++)
		slu_buf_fmt(&page,
			    "<Blob><Name>raw/2024/03/01/part-%08d.parquet</Name><Properties>"
			    "<Creation-Time>Fri, 01 Mar 2024 12:00:00 GMT</Creation-Time>"
			    "<Last-Modified>Fri, 01 Mar 2024 12:00:%02d GMT</Last-Modified>"
			    "<Etag>0x8DC39D6F4E%05X</Etag><Content-Length>%d</Content-Length>"
			    "<Content-Type>application/octet-stream</Content-Type>"
			    "<Content-Encoding /><Content-Language /><Content-CRC64 />"
			    "<Content-MD5>XUFAKrxLKna5cZ2REBfFkg==</Content-MD5><Cache-Control />"
			    "<Content-Disposition /><BlobType>BlockBlob</BlobType>"
			    "<AccessTier>Hot</AccessTier><AccessTierInferred>true"
			    "</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
			    "<LeaseState>available</LeaseState><ServerEncrypted>true"
			    "</ServerEncrypted></Properties><OrMetadata /></Blob>",
			    i, i % 60, i, 1000 + i);
	slu_buf_str(&page, "</Blobs><NextMarker>2!96!MDAwMDI0</NextMarker></EnumerationResults>");
	if (slu_buf_err(&page) < 0)
		exit(1);
}

static uint64_t list_one(void)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct slu_blob_page p = {.prefix = "raw/2024/", .flat = true};

	if (slu_blob_list_parse(page.p, page.len, &p, &list, NULL) < 0)
		exit(1);
	return list.n;
}

static void run(const char *name, uint64_t (*fn)(void), double seconds)
{
	double began = clock_now(CLOCK_THREAD_CPUTIME_ID), took;
	uint64_t units = 0;

	do {
		units += fn();
		took = clock_now(CLOCK_THREAD_CPUTIME_ID) - began;
	} while (took < seconds);
	printf("%s %llu %.6f\n", name, (unsigned long long)units, took);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;

	block = malloc(BLOCK);
	if (!block)
		return 1;
	memset(block, 0x5a, BLOCK);
	run("sign", sign_one, seconds);
	run("crc64", crc_one, seconds);
	run("md5", md5_one, seconds);
	make_page();
	run("list", list_one, seconds);
	slu_buf_done(&page);
	free(block);
	return 0;
}
