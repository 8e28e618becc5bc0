/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs: parsed by curl's own parser (the one that the transfer uses), judged, and shown without
 * what may be secret.  Path segments "." and ".." are kept: a path is signed as it is written.
 */
#include "io/url.h"
#include "io/url_join.h"

#include "common/mem.h"
#include "common/str.h"
#include "io/xfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

void slu_url_show(struct slu_buf *b, const char *url)
{
	size_t n = strcspn(url, "?#");
	const char *auth = strstr(url, "://");
	size_t from = auth && auth + 3 <= url + n ? (size_t)(auth + 3 - url) : 0;
	size_t slash = from + strcspn(url + from, "/\\?#");
	size_t at = slash;
	while (at > from && url[at - 1] != '@')
		at--;

	char *shown = slu_malloc(n + 1);
	if (!shown) {
		b->err = b->err ? b->err : ENOMEM;
		return;
	}
	memcpy(shown, url, from);
	memcpy(shown + from, url + at, n - at);
	shown[from + n - at] = '\0';
	slu_show(b, shown);
	free(shown);
}

void slu_url_text(char out[SLU_URL_SHOWN], const char *url)
{
	struct slu_buf b = SLU_BUF(64 * 1024);
	slu_url_show(&b, url);
	snprintf(out, SLU_URL_SHOWN, "%s", slu_buf_err(&b) || !b.p ? "(a URL)" : b.p);
	slu_buf_done(&b);
}

/* Numeric names as well: curl has brought 0x7f.1 and the like into the usual form. */
static bool is_loopback(const char *host)
{
	struct in_addr v4;
	if (strcasecmp(host, "localhost") == 0 || strcasecmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static bool is_link_local(const char *host)
{
	struct in_addr v4;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 16 == 0xa9fe;
}

static int judge(struct slu_url *u, const char *url, const char *scheme, const char *host,
		 bool plain_ok, struct slu_err *e)
{
	bool known, loopback = is_loopback(host);
	char shown[SLU_URL_SHOWN];

	u->tls = strcasecmp(scheme, "https") == 0;
	u->direct = loopback || is_link_local(host);
	known = u->tls || strcasecmp(scheme, "http") == 0;
	if (known && (u->tls || plain_ok || loopback))
		return 0;
	slu_url_text(shown, url);
	if (!known)
		return slu_fail(e, EINVAL, "'%s' is not an http or https URL", shown);
	return slu_fail(e, EACCES, "'%s' is not encrypted: use https, or allow plain http for it",
			shown);
}

int slu_url_parse(const char *url, bool plain_ok, struct slu_url *ret, struct slu_err *e)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	int r = -ENOMEM;
	*ret = (struct slu_url){.u = curl_url()};
	if (!ret->u)
		return slu_fail_oom(e);
	CURLUcode c =
		curl_url_set(ret->u, CURLUPART_URL, url,
			     CURLU_DISALLOW_USER | CURLU_PATH_AS_IS | CURLU_NON_SUPPORT_SCHEME);
	if (c == CURLUE_OK)
		c = curl_url_get(ret->u, CURLUPART_SCHEME, &scheme, 0);
	if (c == CURLUE_OK)
		c = curl_url_get(ret->u, CURLUPART_HOST, &host, 0);
	if (c == CURLUE_OK)
		c = curl_url_get(ret->u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (c == CURLUE_OK) {
		r = judge(ret, url, scheme, host, plain_ok, e);
		if (!r) {
			ret->origin = slu_asprintf("%s://%s:%s", scheme, host, port);
			r = ret->origin ? 0 : slu_fail_oom(e);
		}
	} else if (c == CURLUE_OUT_OF_MEMORY) {
		r = slu_fail_oom(e);
	} else {
		char shown[SLU_URL_SHOWN];
		slu_url_text(shown, url);
		r = slu_fail(e, EINVAL, "'%s' is not a usable http or https URL%s", shown,
			     c == CURLUE_USER_NOT_ALLOWED ? ": take user and password out of it"
							  : "");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return r;
}

void slu_url_done(struct slu_url *u)
{
	if (u->u)
		curl_url_cleanup(u->u);
	free(u->origin);
	*u = (struct slu_url){0};
}

/* curl's strings are freed by curl; what leaves here by free. */
static CURLUcode join(CURLU *u, const char *base, const char *to, char **ret, char **ret_scheme)
{
	CURLUcode c = curl_url_set(u, CURLUPART_URL, base, CURLU_PATH_AS_IS);

	if (c == CURLUE_OK)
		c = curl_url_set(u, CURLUPART_URL, to, CURLU_DISALLOW_USER);
	if (c == CURLUE_OK)
		c = curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	if (c == CURLUE_OK)
		c = curl_url_get(u, CURLUPART_SCHEME, ret_scheme, 0);
	return c == CURLUE_OK ? curl_url_get(u, CURLUPART_URL, ret, 0) : c;
}

int slu_url_join(const char *base, const char *to, char **ret, struct slu_err *e)
{
	char *url = NULL, *scheme = NULL;
	CURLU *u = curl_url();
	CURLUcode c = u ? join(u, base, to, &url, &scheme) : CURLUE_OUT_OF_MEMORY;
	int r = 0;

	if (c == CURLUE_OUT_OF_MEMORY)
		r = slu_fail_oom(e);
	else if (c != CURLUE_OK || (strcasecmp(scheme, "https") && strcasecmp(scheme, "http")))
		r = slu_fail(e, EPROTO, "the server redirects to what is no usable http(s) URL");
	else if (slu_iafter(base, "https:") && strcasecmp(scheme, "https") != 0)
		r = slu_fail(e, EACCES,
			     "the server redirects from https to http, which is not followed");
	if (r == 0) {
		*ret = slu_strdup(url);
		r = *ret ? 0 : slu_fail_oom(e);
	}
	curl_free(url);
	curl_free(scheme);
	curl_url_cleanup(u);
	return r;
}
