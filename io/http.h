/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP header values parsed, strictly.  Sources: RFC 9110 sections 14.4 (Content-Range), 10.2.3
 * (Retry-After), 5.6.7 (dates).  Any thread. */
#ifndef SLU_IO_HTTP_H
#define SLU_IO_HTTP_H

#include <stdbool.h>
#include <stdint.h>

/* "bytes a-b/N" (N may be "*": UINT64_MAX).  False: malformed, a > b, b >= N. */
bool slu_http_content_range(const char *v, uint64_t *ret_first, uint64_t *ret_last,
			    uint64_t *ret_total);
bool slu_http_length(const char *v, uint64_t *ret);
/* Seconds or an HTTP date, as nanoseconds from wall_now; capped at one hour, never negative. */
bool slu_http_retry_after(const char *v, int64_t wall_now, int64_t *ret_ns);
bool slu_http_date(const char *v, int64_t *ret_wall_ns); /* IMF-fixdate */

#endif
