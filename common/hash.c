/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string map: open addressing with linear probing, at most 3/4 full, deletion by moving the
 * followers up (no tombstones).  The hash is SipHash-1-3 under a random key of this process, so
 * that names chosen by others cannot be made to collide.  Order of slu_hash_each is random.
 */
#include "common/hash.h"
#include "common/mem.h"
#include "common/time.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct entry {
	char *key; /* NULL: free */
	void *value;
	uint64_t hash;
};

struct slu_hash {
	struct entry *e;
	size_t size, count; /* size: 0 or a power of two */
};

static uint64_t hash_key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
	if (getrandom(hash_key, sizeof(hash_key), GRND_NONBLOCK) == (ssize_t)sizeof(hash_key))
		return;
	/* early boot: time, process and address are the best there is */
	hash_key[0] = (uint64_t)slu_now() * 0x9e3779b97f4a7c15u;
	hash_key[1] = (uint64_t)slu_wall() ^ (uint64_t)getpid() << 40 ^ (uintptr_t)&key_once;
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
}

uint64_t slu_hash_bytes(const void *p, size_t n)
{
	const unsigned char *u = p;
	uint64_t v[4], m, last = (uint64_t)n << 56;

	pthread_once(&key_once, make_key);
	v[0] = hash_key[0] ^ 0x736f6d6570736575u;
	v[1] = hash_key[1] ^ 0x646f72616e646f6du;
	v[2] = hash_key[0] ^ 0x6c7967656e657261u;
	v[3] = hash_key[1] ^ 0x7465646279746573u;
	for (; n >= 8; n -= 8, u += 8) {
		memcpy(&m, u, 8);
		sip_word(v, m);
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)u[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct slu_hash *slu_hash_new(void)
{
	return slu_new0(struct slu_hash);
}

void slu_hash_free(struct slu_hash *h, void (*free_value)(void *))
{
	if (!h)
		return;
	for (size_t i = 0; i < h->size; i++) {
		if (!h->e[i].key)
			continue;
		if (free_value)
			free_value(h->e[i].value);
		free(h->e[i].key);
	}
	free(h->e);
	free(h);
}

/* The entry of key, or the free one where it would go.  size > 0. */
static struct entry *find(const struct slu_hash *h, const char *key, uint64_t hash)
{
	size_t i = (size_t)hash & (h->size - 1);

	while (h->e[i].key && (h->e[i].hash != hash || strcmp(h->e[i].key, key) != 0))
		i = (i + 1) & (h->size - 1);
	return &h->e[i];
}

void *slu_hash_get(const struct slu_hash *h, const char *key)
{
	struct entry *e;

	if (h->count == 0)
		return NULL;
	e = find(h, key, slu_hash_bytes(key, strlen(key)));
	return e->key ? e->value : NULL;
}

static bool grow(struct slu_hash *h)
{
	struct slu_hash bigger = {.size = h->size ? h->size * 2 : 16, .count = h->count};

	bigger.e = slu_calloc(bigger.size, sizeof(*bigger.e));
	if (!bigger.e)
		return false;
	for (size_t i = 0; i < h->size; i++) {
		if (h->e[i].key)
			*find(&bigger, h->e[i].key, h->e[i].hash) = h->e[i];
	}
	free(h->e);
	*h = bigger;
	return true;
}

bool slu_hash_put(struct slu_hash *h, const char *key, void *value)
{
	uint64_t hash = slu_hash_bytes(key, strlen(key));
	struct entry *e = h->size ? find(h, key, hash) : NULL;
	char *copy;

	if (e && e->key) {
		e->value = value;
		return true;
	}
	copy = slu_strdup(key);
	if (!copy)
		return false;
	if (!e || h->count + 1 > h->size / 4 * 3) {
		if (!grow(h)) {
			free(copy);
			return false;
		}
		e = find(h, key, hash);
	}
	*e = (struct entry){copy, value, hash};
	h->count++;
	return true;
}

void *slu_hash_del(struct slu_hash *h, const char *key)
{
	size_t mask = h->size - 1, hole, i;
	struct entry *e;
	void *value;

	if (h->count == 0)
		return NULL;
	e = find(h, key, slu_hash_bytes(key, strlen(key)));
	if (!e->key)
		return NULL;
	value = e->value;
	free(e->key);
	hole = (size_t)(e - h->e);
	for (i = (hole + 1) & mask; h->e[i].key; i = (i + 1) & mask) {
		size_t home = (size_t)h->e[i].hash & mask;

		/* an entry may move up to the hole unless its home lies behind the hole */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			h->e[hole] = h->e[i];
			hole = i;
		}
	}
	h->e[hole] = (struct entry){0};
	h->count--;
	return value;
}

size_t slu_hash_count(const struct slu_hash *h)
{
	return h->count;
}

void slu_hash_each(const struct slu_hash *h, void (*fn)(const char *key, void *value, void *u),
		   void *u)
{
	for (size_t i = 0; i < h->size; i++) {
		if (h->e[i].key)
			fn(h->e[i].key, h->e[i].value, u);
	}
}
