/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of SASL as Hadoop uses it: GSSAPI (RFC 4752) by tickets of Kerberos, DIGEST-MD5 (RFC 2831) by
 * delegation and block tokens, and what protects messages afterwards.  Ours and not Cyrus SASL's: that loads plugins which
 * a distribution may lack, and its DIGEST-MD5 wants RC4, which OpenSSL 3 has put aside.
 */
#ifndef SLU_HDFS_SASL_H
#define SLU_HDFS_SASL_H

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slu_gss;
struct slu_sasl;

/* How messages are protected; the strongest that the server offers is taken. */
enum { SLU_QOP_AUTH = 1, SLU_QOP_INTEGRITY = 2, SLU_QOP_PRIVACY = 4 };

/* The service of a host, "nn", "nn.example.org".  0 or -ENOMEM. */
int slu_sasl_gssapi(struct slu_gss *g, const char *service, const char *host,
		    struct slu_sasl **ret);
/* name and password are texts; uri: "hdfs/0".  qops: those that are good enough.  0 or -ENOMEM. */
int slu_sasl_digest(const char *name, const char *password, const char *uri, unsigned qops,
		    struct slu_sasl **ret);
void slu_sasl_free(struct slu_sasl *s); /* wipes it; NULL fine */
SLU_DEFINE_CLEANUP(struct slu_sasl *, slu_sasl_free, slu_sasl_freep)

/* May a step wait (for a KDC)?  Then it belongs on a thread that may. */
bool slu_sasl_waits(const struct slu_sasl *s);
/* What the server said gives the answer, into out.  *ret_done: nothing more is expected of the server but that it
 * agrees.  A DIGEST-MD5 has the server's last word stepped as well, so that it proves itself too.  -EACCES, -EPROTO,
 * -ENOTSUP: the server wants what we cannot. */
int slu_sasl_step(struct slu_sasl *s, const void *in, size_t n, struct slu_buf *out, bool *ret_done,
		  struct slu_err *e);
/* Has the server proved itself as well? */
bool slu_sasl_complete(const struct slu_sasl *s);

unsigned slu_sasl_qop(const struct slu_sasl *s); /* after that; one of SLU_QOP_* */
size_t slu_sasl_limit(const struct slu_sasl *s); /* so many bytes may be wrapped at once */
/* With another QOP than AUTH.  -EBADMSG: it was changed on the way. */
int slu_sasl_wrap(struct slu_sasl *s, const void *p, size_t n, struct slu_buf *out,
		  struct slu_err *e);
int slu_sasl_unwrap(struct slu_sasl *s, const void *p, size_t n, struct slu_buf *out,
		    struct slu_err *e);

#endif
