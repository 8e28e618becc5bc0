/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Erasure codes of HDFS: how a group of blocks is laid out, and how the bytes of a data block come from those of others
 * (SystemErasureCodingPolicies.java, StripedBlockUtil.java, RSUtil.java).  Any thread; no I/O.
 */
#ifndef SLU_HDFS_EC_H
#define SLU_HDFS_EC_H

#include "hdfs/hdfs.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLU_EC_UNITS 32

enum slu_ec_codec { SLU_EC_RS, SLU_EC_XOR, SLU_EC_OTHER /* can be read, not decoded */ };

/* A stripe is a cell of each of the data units, then one of each of the parity units. */
struct slu_ec {
	enum slu_ec_codec codec;
	unsigned data, parity;
	uint32_t cell;
};

/* false: it is not known, or makes no sense. */
bool slu_ec_policy(const Slu__Pb__EcPolicy *p, struct slu_ec *ret);
bool slu_ec_same(const struct slu_ec *a, const struct slu_ec *b);
/* How long the block of a unit is, of a group with so many bytes of data. */
uint64_t slu_ec_length(const struct slu_ec *ec, uint64_t group, unsigned unit);
/* By what the bytes of ec->data other units are multiplied before they are added to those of data unit `want`.
 * false: the codec is another, or these units are not enough. */
bool slu_ec_weights(const struct slu_ec *ec, const uint8_t *units, unsigned want,
		    uint8_t ret[SLU_EC_UNITS]);
/* out += weight * in, in GF(256) */
void slu_ec_add(uint8_t *out, const uint8_t *in, size_t n, uint8_t weight);

#endif
