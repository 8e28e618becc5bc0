/* SPDX-License-Identifier: Apache-2.0 */
/* How scalars are written, shared by the JSON and the YAML writer. */
#ifndef SLU_COMMON_JSON_TEXT_H
#define SLU_COMMON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct json_t;
struct slu_buf;

/* null, a boolean or a number; any other value puts nothing and gives false. */
bool slu_json_put_simple(struct slu_buf *b, const struct json_t *j);
/* A finite number in the fewest digits that read back as the same double; always with a point, so
 * that every reader takes it for a float ("1.0", "1.0e+20").  The locale does not matter. */
void slu_json_put_real(struct slu_buf *b, double v);
/* UTF-8 text in double quotes, escaped so that both JSON and YAML read it. */
void slu_json_put_string(struct slu_buf *b, const char *s, size_t n);

#endif
