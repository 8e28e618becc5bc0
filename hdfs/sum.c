/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum of a file by WebHDFS: GETFILECHECKSUM, which a DataNode answers.  It depends on where the blocks end,
 * so they have to be of one length but for the last: files that were joined may not be, and then have none for us.
 */
#include "common/json.h"
#include "common/log.h"
#include "common/str.h"
#include "fs/hadoopsum.h"
#include "hdfs/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEX_LEN 56 /* of bytes a CRC, CRCs a block, MD5 */
#define MD5_AT 24

/* What cannot be had is no failure of the STAT. */
void slu_hdfs_no_sum(struct slu_hdfs_req *q, const char *why)
{
	bool canceled = q->x.rc == -ECANCELED;

	q->op->attr.sum[0] = '\0';
	if (canceled) {
		slu_hdfs_end_fail(q, ECANCELED, "canceled");
		return;
	}
	if (!atomic_exchange(&q->h->told, true))
		slu_warn(
			"hdfs",
			"'%s' in '%s' has no checksum that its bytes could be compared with (%s): what "
			"is read of such files by WebHDFS is checked by its length",
			q->op->path, q->h->web, why);
	q->op->err = (struct slu_err){0};
	slu_hdfs_end(q, 0);
}

static bool number(const char *hex, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		int d = hex[i] >= '0' && hex[i] <= '9'   ? hex[i] - '0'
			: hex[i] >= 'a' && hex[i] <= 'f' ? hex[i] - 'a' + 10
							 : -1;

		if (d < 0 || v >> 60)
			return false;
		v = v << 4 | (unsigned)d;
	}
	*ret = v;
	return true;
}

/* The object of an answer; the caller's. */
static int answered(struct slu_hdfs_req *q, struct json_t **ret)
{
	int r = slu_hdfs_result(q);

	if (r < 0)
		return r;
	r = q->x.resp.len ? slu_json_parse(q->x.resp.p, q->x.resp.len, "sum", ret, NULL) : -EPROTO;
	if (r == -ENOMEM)
		return slu_fail_oom(&q->op->err);
	return r < 0 ? slu_fail(&q->op->err, EPROTO, "no server computes it") : 0;
}

int slu_hdfs_sum_text(struct slu_hdfs_req *q, char ret[SLU_ID_MAX])
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const struct json_t *o;
	const char *name, *hex;
	uint64_t chunk, per_block, md5;
	int r = answered(q, &j);

	if (r < 0)
		return r;
	o = slu_json_get(j, "FileChecksum");
	name = slu_json_str(o, "algorithm");
	hex = slu_json_str(o, "bytes");
	if (!name || !hex)
		return slu_fail(&q->op->err, EPROTO, "no server computes it");
	if (!slu_ends(name, "CRC32C") || strlen(hex) < HEX_LEN || !number(hex, 8, &chunk) ||
	    !number(hex + 8, 16, &per_block) || !number(hex + MD5_AT, 16, &md5) ||
	    !number(hex + MD5_AT + 16, 16, &md5) || !chunk || per_block > INT64_MAX / chunk)
		return slu_fail(&q->op->err, ENOTSUP, "the server computes another kind");
	snprintf(ret, SLU_ID_MAX, SLU_HADOOP_SUM "%" PRIu64 ":%" PRIu64 ":%.32s", chunk,
		 per_block * chunk, hex + MD5_AT);
	return per_block ? 1 : 0;
}

/* Is each block but the last as long as the first? */
static void blocks_seen(struct slu_hdfs_req *q)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const struct json_t *list;
	uint64_t chunk, block, end = 0;
	bool fine = slu_hadoopsum_parse(q->op->attr.sum, &chunk, &block);

	if (slu_hdfs_result(q) < 0 || !q->x.resp.len ||
	    slu_json_parse(q->x.resp.p, q->x.resp.len, "blocks", &j, NULL) < 0) {
		slu_hdfs_no_sum(q, "where its blocks end is not told");
		return;
	}
	list = slu_json_get(slu_json_get(j, "BlockLocations"), "BlockLocation");
	for (size_t i = 0; i < slu_json_count(list) && fine; i++) {
		const struct json_t *b = slu_json_at(list, i);

		fine = slu_json_int(b, "offset", -1) == (int64_t)end && end % block == 0;
		end += (uint64_t)slu_json_int(b, "length", 0);
	}
	if (fine && end == q->op->attr.size)
		slu_hdfs_end(q, 0);
	else
		slu_hdfs_no_sum(q, "its blocks are of several lengths");
}

static void sum_done(struct slu_hdfs_req *q)
{
	int r = slu_hdfs_sum_text(q, q->op->attr.sum);
	char query[120];

	snprintf(query, sizeof(query), "op=GETFILEBLOCKLOCATIONS&offset=0&length=%" PRIu64,
		 q->op->attr.size);
	if (r < 0)
		slu_hdfs_no_sum(q, q->op->err.msg);
	else if (r)
		slu_hdfs_ask(q, "GET", q->id.inode ? NULL : q->op->path, query, blocks_seen);
	else
		slu_hdfs_end(q, 0);
}

static void located(struct slu_hdfs_req *q)
{
	char *url = NULL;

	if (q->x.rc == 0 && q->x.resp.len && memmem(q->x.resp.p, q->x.resp.len, "FileChecksum", 12))
		q->summed(q); /* a gateway computes it itself */
	else if (slu_hdfs_redirect(q, &url) < 0)
		q->summed(q);
	else
		slu_hdfs_data(q, "GET", url, NULL, 0, q->summed);
}

void slu_hdfs_ask_sum(struct slu_hdfs_req *q, const char *path, slu_hdfs_step *next)
{
	q->summed = next;
	slu_hdfs_ask(q, "GET", path,
		     q->h->gateway ? "op=GETFILECHECKSUM" : "op=GETFILECHECKSUM&noredirect=true",
		     located);
}

void slu_hdfs_sum(struct slu_hdfs_req *q, const char *path)
{
	if (q->op->attr.size) {
		slu_hdfs_ask_sum(q, path, sum_done);
	} else {
		snprintf(q->op->attr.sum, SLU_ID_MAX, "crc32c:00000000");
		slu_hdfs_end(q, 0);
	}
}
