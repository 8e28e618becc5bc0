/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a DataNode to a read: in pieces of any size, and damaged in any byte. */
#include "hdfs/packets.h"

#include "common/buf.h"
#include "common/mem.h"
#include "hdfs/hdfs.pb-c.h"
#include "hdfs/rpc.h"
#include "io/crypt.h"
#include "tests/unit/corpus.h"
#include "tests/unit/fs.h"

#include "tests/fuzz/fuzz-packets.c"
#undef HEAD
#undef GUARD

#define CHUNK 512u
#define BLOCK 20000u

static char block[BLOCK];

static void fill(void)
{
	for (size_t i = 0; i < BLOCK; i++)
		block[i] = (char)(i * 131 >> 3);
}

static void be(struct slu_buf *b, uint64_t v, unsigned n)
{
	while (n-- > 0)
		slu_buf_ch(b, (char)(v >> (8 * n)));
}

static void le(struct slu_buf *b, uint64_t v, unsigned n)
{
	for (; n-- > 0; v >>= 8)
		slu_buf_ch(b, (char)v);
}

static void add_packet(struct slu_buf *b, int type, uint64_t off, size_t n, unsigned seqno)
{
	size_t chunks = type ? (n + CHUNK - 1) / CHUNK : 0;

	be(b, 4 + 4 * chunks + n, 4);
	be(b, 25, 2);
	slu_buf_ch(b, 1 << 3 | 1);
	le(b, off, 8);
	slu_buf_ch(b, 2 << 3 | 1);
	le(b, seqno, 8);
	slu_buf_ch(b, 3 << 3);
	slu_buf_ch(b, n ? 0 : 1);
	slu_buf_ch(b, 4 << 3 | 5);
	le(b, n, 4);
	for (size_t i = 0; i < chunks; i++) {
		size_t len = n - i * CHUNK < CHUNK ? n - i * CHUNK : CHUNK;
		const char *p = block + off + i * CHUNK;

		be(b, type == 1 ? slu_crc32(0, p, len) : slu_crc32c(0, p, len), 4);
	}
	slu_buf_add(b, block + off, n);
}

static void add_answer(struct slu_buf *b, uint32_t status, int type, uint64_t chunk_off)
{
	Slu__Pb__Checksum sum = SLU__PB__CHECKSUM__INIT;
	Slu__Pb__ReadOpChecksumInfo info = SLU__PB__READ_OP_CHECKSUM_INFO__INIT;
	Slu__Pb__BlockOpResponse m = SLU__PB__BLOCK_OP_RESPONSE__INIT;
	uint8_t p[256];

	m.status = status;
	sum.type = (uint32_t)type;
	sum.bytes_per_checksum = CHUNK;
	info.checksum = &sum;
	info.chunk_offset = chunk_off;
	if (status)
		m.message = (char *)"no such replica\n\tat java";
	else
		m.read_op_checksum_info = &info;
	slu_pb_add(b, p, slu__pb__block_op_response__pack(&m, p));
}

/* What a DataNode sends for a range, in packets of `per` chunks. */
static void make(struct slu_buf *b, int type, uint64_t off, size_t len, size_t per)
{
	uint64_t at = type ? off - off % CHUNK : off, end = off + len;
	unsigned seqno = 0;

	if (type && end % CHUNK)
		end = end - end % CHUNK + CHUNK;
	if (end > BLOCK)
		end = BLOCK;
	add_answer(b, 0, type, at);
	while (at < end) {
		size_t n = end - at < per * CHUNK ? (size_t)(end - at) : per * CHUNK;

		add_packet(b, type, at, n, seqno++);
		at += n;
	}
	add_packet(b, type, at, 0, seqno);
	assert_int_equal(slu_buf_err(b), 0);
}

/* Feeds p in steps: the result, 0 when it wants more. */
static int feed(struct slu_packets *c, const char *p, size_t n, size_t step)
{
	int r = 0;

	while (n && !r) {
		struct iovec iov[SLU_PACKETS_IOV];
		int k = slu_packets_room(c, iov);
		size_t done = 0;

		for (int i = 0; i < k && done < step && n; i++) {
			size_t len = iov[i].iov_len < n ? iov[i].iov_len : n;

			if (len > step - done)
				len = step - done;
			memcpy(iov[i].iov_base, p, len);
			p += len;
			n -= len;
			done += len;
		}
		assert_true(done);
		r = slu_packets_got(c, done);
	}
	return n ? (r == SLU_PACKETS_END ? -EMSGSIZE : r) : r;
}

static void begin(struct slu_packets *c, struct slu_err *e, uint64_t off, size_t len, char *buf)
{
	c->who = "10.0.0.1:9866";
	c->block = 7;
	c->err = e;
	slu_packets_begin(c, off, len, buf);
}

static void test_ranges_in_pieces(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
	} ranges[] = {{0, BLOCK}, {0, 1},       {511, 2},      {512, 512},
		      {5000, 1},  {5000, 7777}, {BLOCK - 1, 1}};
	static const size_t steps[] = {1, 3, 100, 4096, 1 << 20};
	struct slu_packets c = {0};
	struct slu_err e = {0};

	(void)state;
	for (int type = 0; type < 3; type++)
		for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
			for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
				SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
				SLU_AUTO(slu_freep) char *buf = slu_malloc(ranges[i].len);

				make(&b, type, ranges[i].off, ranges[i].len, 1 + i % 3 * 6);
				begin(&c, &e, ranges[i].off, ranges[i].len, buf);
				assert_int_equal(feed(&c, b.p, b.len, steps[k]), SLU_PACKETS_END);
				assert_int_equal(c.good, ranges[i].len);
				assert_false(slu_packets_left(&c));
				assert_memory_equal(buf, block + ranges[i].off, ranges[i].len);
			}
	slu_packets_done(&c);
}

/* Whatever byte is another one: what is called good is right. */
static void test_any_byte_flipped(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	const uint64_t off = 700;
	const size_t len = 2000;
	char buf[2000];
	struct slu_packets c = {0};
	struct slu_err e = {0};
	size_t refused = 0;

	(void)state;
	make(&b, 2, off, len, 2);
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memset(buf, 0, sizeof(buf));
			b.p[i] ^= (char)(1u << bit);
			begin(&c, &e, off, len, buf);
			int r = feed(&c, b.p, b.len, 333);

			b.p[i] ^= (char)(1u << bit);
			assert_memory_equal(buf, block + off, c.good);
			assert_true(r != SLU_PACKETS_END || c.good == len);
			refused += r < 0;
		}
	assert_true(refused > 8 * len); /* all of the data at least */
	slu_packets_done(&c);
}

static void test_a_damaged_replica_is_told(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	struct slu_packets c = {0};
	struct slu_err e = {0};
	char buf[4096];

	(void)state;
	make(&b, 2, 0, sizeof(buf), 4);
	b.p[b.len - 40] ^= 1; /* in the last data */
	begin(&c, &e, 0, sizeof(buf), buf);
	assert_failed(feed(&c, b.p, b.len, 1 << 20), e, EBADMSG, "'10.0.0.1:9866' is damaged");
	assert_int_equal(c.good, 2048);
	slu_packets_done(&c);
}

static void test_refusals(void **state)
{
	static const struct {
		uint32_t status;
		int code;
	} cases[] = {{1, ENOENT}, {3, ENOENT}, {5, EKEYEXPIRED}};
	struct slu_packets c = {0};
	struct slu_err e = {0};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);

		add_answer(&b, cases[i].status, 0, 0);
		begin(&c, &e, 0, sizeof(buf), buf);
		assert_failed(feed(&c, b.p, b.len, 5), e, cases[i].code, "no such replica");
		assert_null(strstr(e.msg, "java"));
	}
	slu_packets_done(&c);
}

static void test_an_end_that_comes_early(void **state)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	struct slu_packets c = {0};
	struct slu_err e = {0};
	char buf[2048];

	(void)state;
	add_answer(&b, 0, 2, 0);
	add_packet(&b, 2, 0, 1024, 0);
	add_packet(&b, 2, 1024, 0, 1);
	begin(&c, &e, 0, sizeof(buf), buf);
	assert_failed(feed(&c, b.p, b.len, 1 << 20), e, ENOENT, "1024 of the 2048 bytes");
	slu_packets_done(&c);
}

static void test_corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "packets", LLVMFuzzerTestOneInput) > 3);
}

static void test_what_no_datanode_sends(void **state)
{
	struct slu_packets c = {0};
	struct slu_err e = {0};
	char buf[2048];

	(void)state;
	for (int i = 0; i < 5; i++) {
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);

		if (i == 0)
			slu_buf_add(&b, "\xff\xff\xff\xff\xff\xff", 6); /* a message without end */
		else
			add_answer(&b, 0, 2, i == 1 ? 1024 : 0); /* 1: behind the range */
		if (i == 2)
			add_packet(&b, 2, 512, 512, 0); /* a gap */
		if (i == 3)
			add_packet(&b, 2, 0, 2560 + 512, 0); /* beyond the range */
		if (i == 4)
			slu_buf_add(&b, "\x7f\xff\xff\xff\0\x19", 6); /* a packet of 2 GiB */
		begin(&c, &e, 100, sizeof(buf), buf);
		assert_int_equal(feed(&c, b.p, b.len, 1 << 20), -EPROTO);
	}
	slu_packets_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_in_pieces),
		cmocka_unit_test(test_any_byte_flipped),
		cmocka_unit_test(test_a_damaged_replica_is_told),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_an_end_that_comes_early),
		cmocka_unit_test(test_what_no_datanode_sends),
		cmocka_unit_test(test_corpus),
	};

	fill();
	return cmocka_run_group_tests_name("packets", tests, NULL, NULL);
}
