/* SPDX-License-Identifier: Apache-2.0 */
/* A map from strings to pointers (open addressing, SipHash-1-3 under a random key of the process:
 * names come from the network).  Keys are copied; values belong to the caller.  One thread at a
 * time. */
#ifndef SLU_COMMON_HASH_H
#define SLU_COMMON_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slu_hash;

struct slu_hash *slu_hash_new(void);                                /* NULL: no memory */
void slu_hash_free(struct slu_hash *h, void (*free_value)(void *)); /* free_value may be NULL */
void *slu_hash_get(const struct slu_hash *h, const char *key);      /* NULL: absent */
bool slu_hash_put(struct slu_hash *h, const char *key,
		  void *value);                          /* replaces; false: no memory */
void *slu_hash_del(struct slu_hash *h, const char *key); /* the value removed, or NULL */
size_t slu_hash_count(const struct slu_hash *h);
/* In no particular order; fn must not change the map. */
void slu_hash_each(const struct slu_hash *h, void (*fn)(const char *key, void *value, void *u),
		   void *u);
uint64_t slu_hash_bytes(const void *p, size_t n); /* the keyed hash itself; any thread */

#endif
