/* SPDX-License-Identifier: Apache-2.0 */
/* Erasure codes: the layout of a group, and every way to lose as many units as there is parity. */
#include "hdfs/ec.h"

#include "tests/unit/unit.h"

#define N 97u /* bytes of a unit */

/* The product in the field, digit by digit. */
static uint8_t product(uint8_t a, uint8_t b)
{
	unsigned r = 0;

	for (unsigned i = 0; i < 8; i++)
		if (b >> i & 1)
			r ^= (unsigned)a << i;
	for (unsigned i = 15; i >= 8; i--)
		if (r >> i & 1)
			r ^= 0x11du << (i - 8);
	return (uint8_t)r;
}

static uint8_t reciprocal(uint8_t a)
{
	for (unsigned b = 1; b < 256; b++)
		if (product(a, (uint8_t)b) == 1)
			return (uint8_t)b;
	fail();
	return 0;
}

/* As RSUtil.genCauchyMatrix says, or all together. */
static void encode(const struct slu_ec *ec, uint8_t unit[][N])
{
	for (unsigned p = ec->data; p < ec->data + ec->parity; p++) {
		memset(unit[p], 0, N);
		for (unsigned d = 0; d < ec->data; d++) {
			uint8_t by = ec->codec == SLU_EC_XOR ? 1 : reciprocal((uint8_t)(p ^ d));

			for (unsigned i = 0; i < N; i++)
				unit[p][i] ^= product(unit[d][i], by);
		}
	}
}

static void decode(const struct slu_ec *ec, uint8_t unit[][N], const uint8_t *from, unsigned want)
{
	uint8_t weight[SLU_EC_UNITS], got[N] = {0};

	if (memchr(from, (int)want, ec->data)) /* it is not lost */
		return;
	assert_true(slu_ec_weights(ec, from, want, weight));
	for (unsigned i = 0; i < ec->data; i++)
		slu_ec_add(got, unit[from[i]], N, weight[i]);
	assert_memory_equal(got, unit[want], N);
}

static void every_loss(unsigned data, unsigned parity, enum slu_ec_codec codec)
{
	struct slu_ec ec = {.codec = codec, .data = data, .parity = parity, .cell = 1};
	uint8_t unit[16][N], from[16];
	unsigned all = 1u << (data + parity), seed = 1, ways = 0;

	for (unsigned u = 0; u < data; u++)
		for (unsigned i = 0; i < N; i++)
			unit[u][i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	encode(&ec, unit);
	for (unsigned there = 0; there < all; there++) {
		unsigned n = 0;

		for (unsigned u = 0; u < data + parity; u++)
			if (there >> u & 1)
				from[n++ % 16] = (uint8_t)u;
		if (n != data)
			continue;
		ways++;
		for (unsigned want = 0; want < data; want++)
			decode(&ec, unit, from, want);
	}
	assert_true(ways > parity);
}

static void whatever_is_lost_comes_back(void **state)
{
	(void)state;
	every_loss(3, 2, SLU_EC_RS);
	every_loss(6, 3, SLU_EC_RS);
	every_loss(10, 4, SLU_EC_RS);
	every_loss(2, 1, SLU_EC_XOR);
}

/* What real DataNodes wrote as parity of 'a', 'b', 'c' (RS-3-2): a change of the field or of the matrix shows. */
static void a_known_parity(void **state)
{
	struct slu_ec ec = {.codec = SLU_EC_RS, .data = 3, .parity = 2, .cell = 1};
	uint8_t unit[5][N] = {"a", "b", "c"};

	(void)state;
	encode(&ec, unit);
	assert_int_equal(unit[3][0], 0x86);
	assert_int_equal(unit[4][0], 0x79);
}

static void other_codes_are_not_decoded(void **state)
{
	struct slu_ec ec = {.codec = SLU_EC_OTHER, .data = 2, .parity = 1, .cell = 1};
	uint8_t from[] = {1, 2}, weight[SLU_EC_UNITS];

	(void)state;
	assert_false(slu_ec_weights(&ec, from, 0, weight));
	ec.codec = SLU_EC_RS;
	from[0] = 2; /* the same one twice */
	assert_false(slu_ec_weights(&ec, from, 0, weight));
	ec.codec = SLU_EC_XOR;
	ec.parity = 2;
	assert_false(slu_ec_weights(&ec, from, 0, weight));
}

static void lengths(void **state)
{
	struct slu_ec ec = {.codec = SLU_EC_RS, .data = 3, .parity = 2, .cell = 10};
	static const struct {
		uint64_t group, unit[5];
	} all[] = {
		{0, {0, 0, 0, 0, 0}},       {1, {1, 0, 0, 1, 1}},       {10, {10, 0, 0, 10, 10}},
		{25, {10, 10, 5, 10, 10}},  {30, {10, 10, 10, 10, 10}}, {41, {20, 11, 10, 20, 20}},
		{60, {20, 20, 20, 20, 20}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (unsigned u = 0; u < 5; u++)
			assert_int_equal(slu_ec_length(&ec, all[i].group, u), all[i].unit[u]);
}

static void policies(void **state)
{
	Slu__Pb__EcPolicy p = SLU__PB__EC_POLICY__INIT;
	Slu__Pb__EcSchema s = SLU__PB__EC_SCHEMA__INIT;
	struct slu_ec ec;

	(void)state;
	for (p.id = 1; p.id <= 5; p.id++)
		assert_true(slu_ec_policy(&p, &ec));
	assert_int_equal(ec.data, 10);
	p.id = 0;
	assert_false(slu_ec_policy(&p, &ec));
	p.id = 65; /* of the cluster's own: then it says what it is */
	assert_false(slu_ec_policy(&p, &ec));
	s.codec = (char *)"rs";
	s.data_units = 4;
	s.parity_units = 2;
	p.schema = &s;
	assert_false(slu_ec_policy(&p, &ec)); /* no cell */
	p.cell_size = 65536;
	assert_true(slu_ec_policy(&p, &ec));
	assert_true(ec.codec == SLU_EC_RS && ec.data == 4 && ec.parity == 2 && ec.cell == 65536);
	s.codec = (char *)"rs-legacy";
	assert_true(slu_ec_policy(&p, &ec) && ec.codec == SLU_EC_OTHER);
	s.data_units = 1000;
	assert_false(slu_ec_policy(&p, &ec));
	s.data_units = 4;
	s.parity_units = 1000;
	assert_false(slu_ec_policy(&p, &ec));
	s.parity_units = 2;
	p.cell_size = UINT32_MAX;
	assert_false(slu_ec_policy(&p, &ec));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_lost_comes_back),
		cmocka_unit_test(a_known_parity),
		cmocka_unit_test(other_codes_are_not_decoded),
		cmocka_unit_test(lengths),
		cmocka_unit_test(policies),
	};

	return cmocka_run_group_tests_name("ec", tests, NULL, NULL);
}
