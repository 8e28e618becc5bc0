/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reed-Solomon and XOR (ec.h).  The field is GF(256) by x^8 + x^4 + x^3 + x^2 + 1; parity is a Cauchy matrix below the
 * identity: the data comes back by the inverse of the rows that are there.
 */
#include "hdfs/ec.h"

#include "common/str.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x11d
#define CELL_MAX (64u << 20)

/* Those that are told by their number alone. */
static const struct slu_ec known[] = {
	[1] = {SLU_EC_RS, 6, 3, 1u << 20},    /* RS-6-3-1024k */
	[2] = {SLU_EC_RS, 3, 2, 1u << 20},    /* RS-3-2-1024k */
	[3] = {SLU_EC_OTHER, 6, 3, 1u << 20}, /* RS-LEGACY-6-3-1024k */
	[4] = {SLU_EC_XOR, 2, 1, 1u << 20},   /* XOR-2-1-1024k */
	[5] = {SLU_EC_RS, 10, 4, 1u << 20},   /* RS-10-4-1024k */
};

bool slu_ec_policy(const Slu__Pb__EcPolicy *p, struct slu_ec *ret)
{
	struct slu_ec ec = {0};

	if (p->schema) {
		const Slu__Pb__EcSchema *s = p->schema;

		ec.codec = slu_streq(s->codec, "rs")    ? SLU_EC_RS
			   : slu_streq(s->codec, "xor") ? SLU_EC_XOR
							: SLU_EC_OTHER;
		ec.data = s->data_units;
		ec.parity = s->parity_units;
		ec.cell = p->cell_size;
	} else if (p->id < sizeof(known) / sizeof(known[0])) {
		ec = known[p->id];
	}
	if (!ec.data || ec.data > SLU_EC_UNITS || ec.parity > SLU_EC_UNITS || !ec.cell ||
	    ec.cell > CELL_MAX)
		return false;
	*ret = ec;
	return true;
}

bool slu_ec_same(const struct slu_ec *a, const struct slu_ec *b)
{
	return a->codec == b->codec && a->data == b->data && a->parity == b->parity &&
	       a->cell == b->cell;
}

uint64_t slu_ec_length(const struct slu_ec *ec, uint64_t group, unsigned unit)
{
	uint64_t stripe = (uint64_t)ec->cell * ec->data, rest = group % stripe;
	uint64_t before = unit < ec->data ? (uint64_t)unit * ec->cell : 0;
	uint64_t last = rest > before ? rest - before : 0;

	return group / stripe * ec->cell + (last < ec->cell ? last : ec->cell);
}

/* --- the field --- */

static uint8_t log_of[256], power[510];
static pthread_once_t tables = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
	unsigned v = 1;

	for (unsigned i = 0; i < 255; i++) {
		power[i] = power[i + 255] = (uint8_t)v;
		log_of[v] = (uint8_t)i;
		v <<= 1;
		if (v & 0x100)
			v ^= POLYNOMIAL;
	}
}

static uint8_t multiply(uint8_t a, uint8_t b)
{
	return a && b ? power[log_of[a] + log_of[b]] : 0;
}

static uint8_t inverse(uint8_t a) /* not of 0 */
{
	return power[255 - log_of[a]];
}

void slu_ec_add(uint8_t *out, const uint8_t *in, size_t n, uint8_t weight)
{
	uint8_t table[256];

	if (weight == 1) {
		for (size_t i = 0; i < n; i++)
			out[i] ^= in[i];
		return;
	}
	pthread_once(&tables, make_tables);
	for (unsigned i = 0; i < 256; i++)
		table[i] = multiply((uint8_t)i, weight);
	for (size_t i = 0; i < n; i++)
		out[i] ^= table[in[i]];
}

/* --- the matrix --- */

typedef uint8_t row
	[2 *
	 SLU_EC_UNITS]; /* what a unit is made of; behind it the identity, that becomes the inverse */

static void add_row(row to, const row from, unsigned n, uint8_t weight)
{
	for (unsigned i = 0; i < n; i++)
		to[i] ^= multiply(from[i], weight);
}

static void swap_rows(row a, row b)
{
	row tmp;

	memcpy(tmp, a, sizeof(row));
	memcpy(a, b, sizeof(row));
	memcpy(b, tmp, sizeof(row));
}

/* Gauss and Jordan.  false: the rows are not independent. */
static bool invert(row *m, unsigned k)
{
	for (unsigned i = 0; i < k; i++) {
		unsigned pivot = i;
		uint8_t by;

		while (pivot < k && !m[pivot][i])
			pivot++;
		if (pivot == k)
			return false;
		if (pivot != i)
			swap_rows(m[i], m[pivot]);
		by = inverse(m[i][i]);
		for (unsigned c = 0; c < 2 * k; c++)
			m[i][c] = multiply(m[i][c], by);
		for (unsigned r = 0; r < k; r++)
			if (r != i)
				add_row(m[r], m[i], 2 * k, m[r][i]);
	}
	return true;
}

bool slu_ec_weights(const struct slu_ec *ec, const uint8_t *units, unsigned want,
		    uint8_t ret[SLU_EC_UNITS])
{
	row m[SLU_EC_UNITS] = {0};
	unsigned k = ec->data;

	if (ec->codec == SLU_EC_XOR && ec->parity == 1) {
		memset(ret, 1, k);
		return true;
	}
	if (ec->codec != SLU_EC_RS)
		return false;
	pthread_once(&tables, make_tables);
	for (unsigned i = 0; i < k; i++) {
		for (unsigned c = 0; c < k; c++)
			m[i][c] = units[i] < k ? units[i] == c : inverse((uint8_t)(units[i] ^ c));
		m[i][k + i] = 1;
	}
	if (!invert(m, k))
		return false;
	memcpy(ret, m[want] + k, k);
	return true;
}
