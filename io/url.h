/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer has to know about its URL before a byte is sent. */
#ifndef SLU_IO_URL_H
#define SLU_IO_URL_H

#include "common/err.h"

#include <curl/curl.h>
#include <stdbool.h>

struct slu_url {
	CURLU *u;     /* as curl will use it: parsed once, so nobody can read it differently */
	char *origin; /* "scheme://host:port": the key of handles that may be shared */
	bool tls;
	bool direct; /* loopback or link-local: never through a proxy */
};

/* 0; -EINVAL: not an http(s) URL, or user info in it; -EACCES: http beyond loopback and !plain_ok;
 * -ENOMEM.  slu_url_done(u) is fine after failure too. */
int slu_url_parse(const char *url, bool plain_ok, struct slu_url *ret, struct slu_err *e);
void slu_url_done(struct slu_url *u);

#define SLU_URL_SHOWN 300
/* slu_url_show into a fixed place, cut to fit; "(a URL)" when there is no memory. */
void slu_url_text(char out[SLU_URL_SHOWN], const char *url);

#endif
