/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web driver: what one http(s) server has, read-only.  A path is the path of the URL; each names one
 * file, there are no folders and nothing is listed (-ENOTSUP).  No credential is ever sent.
 *
 * Identity is the length in hex and the strong ETag with its quotes, the ETag alone where both are too
 * long, else "<length>-<Last-Modified, s>" in hex; a weak ETag is none.  A pinned READ sends If-Match or
 * If-Unmodified-Since and also compares what the answer says: -ESTALE.  What a time cannot show is a
 * change to the same length within its second.  A file with neither is -ENOTSUP.
 *
 * A server without ranges has each file fetched whole, up to SLU_WEB_WHOLE_MAX, and the last one kept;
 * larger is -ENOTSUP.  Redirects are followed here, at most SLU_WEB_HOPS, never from https to http.
 * Nothing blocks; completions run on the loops.
 */
#ifndef SLU_WEB_WEB_H
#define SLU_WEB_WEB_H

#include "fs/store.h"

#define SLU_WEB_WHOLE_MAX (64u << 20)
#define SLU_WEB_HOPS 5

struct slu_loops;

/* origin: "https://host[:port]" or "http://...", copied; http beyond loopback is allowed, since a reference
 * names it and no secret goes out, and logged.  ca_file: NULL: the system's.  Makes no request.  The
 * loops stay the caller's. */
int slu_web_new(const char *origin, const char *ca_file, struct slu_loops *loops,
		struct slu_store **ret, struct slu_err *e);

#endif
