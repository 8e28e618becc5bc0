/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kerberos: tickets of one principal, and security contexts made with them (RFC 2743, 4121, 4178), by the GSS-API of
 * MIT's libraries.  Everything here but the two free functions and the name may ask a KDC and wait: never on a loop's thread.
 */
#ifndef SLU_IO_GSS_H
#define SLU_IO_GSS_H

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copied.  With a keytab or a password tickets are got when they are needed, again before they end, and kept in the
 * memory of this process only; else those of a ticket cache are used as they are. */
struct slu_gss_conf {
	const char *principal; /* NULL: the keytab's first, or the one of the ticket cache */
	const char *keytab;    /* path */
	const char *password;
	const char *
		ccache; /* "FILE:/...", "DIR:/...", a path; NULL: that of KRB5CCNAME or krb5.conf */
};

struct slu_gss;
/* Asks nobody.  -ENOTSUP: built without Kerberos. */
int slu_gss_new(const struct slu_gss_conf *conf, struct slu_gss **ret, struct slu_err *e);
struct slu_gss *slu_gss_ref(struct slu_gss *g); /* one more who has to free it */
void slu_gss_free(struct slu_gss *g);           /* the last one's context is gone; NULL fine */
/* What the tickets are got with, for people: "the keytab '/x'".  Lives as long as g. */
const char *slu_gss_source(const struct slu_gss *g);
/* Whose ticket it is (caller frees) and for how many seconds from now.  Any thread.  -EACCES with what is missing and
 * what to do; -EHOSTUNREACH: no KDC answers. */
int slu_gss_whoami(struct slu_gss *g, char **ret_principal, int64_t *ret_seconds,
		   struct slu_err *e);

enum slu_gss_mech { SLU_GSS_SPNEGO, SLU_GSS_KRB5 };
enum { SLU_GSS_MUTUAL = 1, SLU_GSS_INTEGRITY = 2, SLU_GSS_PRIVACY = 4 };

struct slu_gss_ctx; /* of one conversation; one thread at a time */
/* With the service of a host: "HTTP", "nn.example.org".  flags: SLU_GSS_* of what is wanted. */
int slu_gss_begin(struct slu_gss *g, const char *service, const char *host, enum slu_gss_mech mech,
		  unsigned flags, struct slu_gss_ctx **ret, struct slu_err *e);
void slu_gss_end(struct slu_gss_ctx *c); /* NULL fine */
SLU_DEFINE_CLEANUP(struct slu_gss_ctx *, slu_gss_end, slu_gss_endp)
/* What the peer said (n 0: nothing yet) gives what to say (may be nothing) into out.  *ret_done: the context stands. */
int slu_gss_step(struct slu_gss_ctx *c, const void *in, size_t n, struct slu_buf *out,
		 bool *ret_done, struct slu_err *e);
/* Messages of a context that stands.  Wait for nobody.  -EBADMSG: not what the peer wrote, or not in this order. */
int slu_gss_wrap(struct slu_gss_ctx *c, bool privacy, const void *p, size_t n, struct slu_buf *out,
		 struct slu_err *e);
int slu_gss_unwrap(struct slu_gss_ctx *c, const void *p, size_t n, struct slu_buf *out,
		   struct slu_err *e);

#endif
