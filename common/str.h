/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: tests, splitting, percent-encoding, numbers.  Any thread; nothing here keeps state. */
#ifndef SLU_COMMON_STR_H
#define SLU_COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slu_buf;

#define slu_streq(a, b) (strcmp((a), (b)) == 0)
bool slu_starts(const char *s, const char *prefix);
bool slu_ends(const char *s, const char *suffix);
const char *slu_after(const char *s, const char *prefix);  /* past the prefix, or NULL */
const char *slu_iafter(const char *s, const char *prefix); /* same, ASCII case ignored */

/* Whole string to a number; leading/trailing junk, overflow or value outside [min,max]: false. */
bool slu_u64(const char *s, uint64_t *ret);
bool slu_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
/* "64", "64K", "64KiB", "1.5G", "10MB": bytes (K = 1024, KB = 1000). */
bool slu_size(const char *s, uint64_t *ret);
/* "30", "30s", "500ms", "5m", "2h": nanoseconds (a bare number is seconds). */
bool slu_duration(const char *s, int64_t *ret_ns);

/* Percent-encoding.  keep: bytes left as they are beside [A-Za-z0-9-._~].  Decoding refuses bad
 * escapes and %00 (false). */
void slu_url_encode(struct slu_buf *b, const char *s, size_t n, const char *keep);
bool slu_url_decode(struct slu_buf *b, const char *s, size_t n);

/* ^[A-Za-z_][A-Za-z0-9_]*$, at most 255 bytes: names of inputs and outputs (azureml.md 2.2). */
bool slu_is_ident(const char *s);
/* Names of datasets, datastores, versions: [A-Za-z0-9_][A-Za-z0-9_.-]{0,254}, no "." or "..". */
bool slu_is_name(const char *s);

/* How many bytes have to be put in, taken out or replaced to make b of a; SIZE_MAX when one of the two is
 * longer than 64. */
size_t slu_distance(const char *a, const char *b);
/* What was meant by a name that was mistyped: `name` when it is near, and no farther than `best` (NULL:
 * nothing yet), else `best`. */
const char *slu_nearer(const char *typed, const char *best, const char *name);

/* Bytes of the well-formed UTF-8 character at s (n bytes are there); 0: none starts here. */
size_t slu_utf8_len(const char *s, size_t n);

/* s as it may be shown on a terminal: control bytes and invalid UTF-8 as \xNN.  Into b. */
void slu_show(struct slu_buf *b, const char *s);
#define SLU_SHOW_UNIT 16
/* The same for the one character at s (n > 0 bytes are there): fills out, gives the bytes used of s. */
size_t slu_show_unit(const char *s, size_t n, char out[SLU_SHOW_UNIT], size_t *ret_len);

void slu_hex(char *out /* 2n+1 */, const void *p, size_t n);

#endif
