/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signing and checking cost, for tests/bench/blob: "NAME UNITS SECONDS" a line, CPU seconds of this
 * thread.  Units are requests signed, bytes hashed.  usage: micro [SECONDS]
 */
#include "blob/sign.h"
#include "common/mem.h"
#include "common/str.h"
#include "io/crypt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK (8u << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

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

static void run(const char *name, uint64_t (*fn)(void), double seconds)
{
	double began = now(), took;
	uint64_t units = 0;

	do {
		units += fn();
		took = now() - began;
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
	free(block);
	return 0;
}
