/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways to each CRC of crypt.h, apart, so that tests can hold one against the other. */
#ifndef SLU_IO_CRC_H
#define SLU_IO_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t slu_crc32c_soft(uint32_t crc, const void *p, size_t n); /* tables, any CPU */
uint64_t slu_crc64_soft(uint64_t crc, const void *p, size_t n);

/* True when this CPU has them; call the functions below only then. */
bool slu_crc_hard(void);
uint32_t slu_crc32c_hard(uint32_t crc, const void *p, size_t n);
uint64_t slu_crc64_hard(uint64_t crc, const void *p, size_t n);

#endif
