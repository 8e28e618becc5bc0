/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why curl could not carry out an exchange: an errno, the cause, and what to do about it.  What a
 * certificate lacks is known by OpenSSL's number; other words are looked for in curl's own text.
 */
#include "io/exchange.h"

#include "common/buf.h"
#include "common/str.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>

struct cause {
	int code;
	const char *why;
};

static bool says(const struct slu_xfer_state *st, const char *words)
{
	return strcasestr(st->easy->text, words) != NULL;
}

/* curl names whom it could not reach: the proxy, when that is not the server. */
static bool was_proxy(const struct slu_xfer_state *st)
{
	const char *host = strstr(st->url.origin, "://") + 3;
	const char *port = strrchr(host, ':');
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1024);

	if (*host == '[') /* curl's text has no brackets */
		host++;
	slu_buf_fmt(&b, "connect to %.*s", (int)(port - host - (port[-1] == ']')), host);
	return !st->url.direct && says(st, "connect to ") && b.p && !says(st, b.p);
}

static struct cause connecting(const struct slu_xfer_state *st)
{
	static const struct cause proxy = {
		ECONNREFUSED, "the proxy cannot be reached: correct https_proxy (or \"proxy\" of "
			      "the datastore), or name the host in no_proxy"};
	long os = 0;

	if (was_proxy(st))
		return proxy;
	curl_easy_getinfo(st->easy->h, CURLINFO_OS_ERRNO, &os);
	switch (os) {
	case ETIMEDOUT:
		return (struct cause){ETIMEDOUT,
				      "nobody answers there: check host and port, and whether a "
				      "firewall drops what is sent there"};
	case EHOSTUNREACH:
	case ENETUNREACH:
		return (struct cause){(int)os, "there is no way to it from this machine: check the "
					       "network"};
	case ECONNRESET:
	case EADDRNOTAVAIL:
	case EACCES:
	case EPERM:
	case EMFILE:
		return (struct cause){(int)os, NULL};
	default:
		return (struct cause){ECONNREFUSED, "nobody listens there (connection refused): "
						    "check host and port of the endpoint"};
	}
}

static struct cause certificate(const struct slu_xfer_state *st)
{
	static const struct cause names = {
		EKEYREJECTED, "its certificate is for another host name: use the name that it is "
			      "for as the endpoint"};
	long result = X509_V_OK;

	if (says(st, "subject name"))
		return names;
	curl_easy_getinfo(st->easy->h, CURLINFO_SSL_VERIFYRESULT, &result);
	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return names;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return (struct cause){EKEYREJECTED,
				      "its certificate has expired: have it renewed, or set the "
				      "clock of this machine if that is wrong"};
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return (struct cause){EKEYREJECTED,
				      "its certificate is not valid yet: set the clock of this "
				      "machine if that is wrong"};
	case X509_V_ERR_CERT_REVOKED:
		return (struct cause){EKEYREJECTED, "its certificate was revoked: do not trust it"};
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return (struct cause){
			EKEYREJECTED,
			"its certificate is signed by nobody that this machine "
			"trusts: if you trust it, name its CA's file as \"ca_file\" (of a "
			"URL: SSL_CERT_FILE)"};
	default:
		return (struct cause){EKEYREJECTED, NULL};
	}
}

static struct cause handshake(const struct slu_xfer_state *st)
{
	if (says(st, "wrong version number") || says(st, "packet length too long") ||
	    says(st, "http request"))
		return (struct cause){EPROTO, "it does not speak TLS: correct the port, or the "
					      "protocol of the endpoint"};
	if (says(st, "protocol version") || says(st, "unsupported protocol"))
		return (struct cause){EPROTO, "it does not speak TLS 1.2 or newer, which is the "
					      "least: have the server updated"};
	if (says(st, "certificate required") || says(st, "bad certificate"))
		return (struct cause){EPROTO, "it wants a certificate of the client, which sluice "
					      "does not have"};
	if (says(st, "handshake failure") || says(st, "no ciphers") || says(st, "no shared cipher"))
		return (struct cause){EPROTO, "it has no cipher in common with this machine: have "
					      "the server updated"};
	if (says(st, "reset by peer") || says(st, "SYSCALL") || says(st, "unexpected eof"))
		return (struct cause){ECONNRESET, "it broke off while TLS was set up: check that "
						  "the port is one for TLS"};
	return (struct cause){EPROTO, NULL};
}

/* The answer of a proxy to CONNECT. */
static struct cause tunnel(long status)
{
	if (status == 407)
		return (struct cause){EACCES, "the proxy wants a user and password: put them into "
					      "https_proxy (http://USER:PASSWORD@HOST:PORT)"};
	if (status == 403 || status == 405)
		return (struct cause){EACCES, "the proxy does not let requests through to this "
					      "host: have it allowed there, or name it in "
					      "no_proxy"};
	return (struct cause){ECONNREFUSED, "the proxy cannot reach this host: check the endpoint, "
					    "or name the host in no_proxy"};
}

static struct cause cause_of(const struct slu_xfer_state *st, CURLcode c)
{
	long connect = 0;

	curl_easy_getinfo(st->easy->h, CURLINFO_HTTP_CONNECTCODE, &connect);
	if (connect >= 300 && !st->reply.status)
		return tunnel(connect);
	switch (c) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return (struct cause){
			EHOSTUNREACH,
			"the name service knows no such host, or does not answer: "
			"correct the host of the datastore (of Azure: account or endpoint), or "
			"check the network"};
	case CURLE_COULDNT_RESOLVE_PROXY:
		return (struct cause){EHOSTUNREACH,
				      "the name of the proxy is not known: correct https_proxy (or "
				      "\"proxy\" of the datastore)"};
	case CURLE_COULDNT_CONNECT:
		return connecting(st);
	case CURLE_OPERATION_TIMEDOUT:
		return (struct cause){ETIMEDOUT, "no connection in time: check host and port, and "
						 "whether a firewall drops what is sent there"};
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
		return certificate(st);
	case CURLE_SSL_CONNECT_ERROR:
		return handshake(st);
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return (struct cause){ECONNRESET, NULL};
	case CURLE_UNSUPPORTED_PROTOCOL:
		return (struct cause){EPROTO, "it does not speak HTTP: correct the port of the "
					      "endpoint, or use https"};
	case CURLE_URL_MALFORMAT:
		return (struct cause){EINVAL, NULL};
	case CURLE_OUT_OF_MEMORY:
		return (struct cause){ENOMEM, NULL};
	default:
		return (struct cause){EPROTO, NULL};
	}
}

int slu_easy_explain(const struct slu_xfer_state *st, CURLcode c, struct slu_err *e)
{
	const char *own = st->easy->text[0] ? st->easy->text : curl_easy_strerror(c);
	struct cause why = cause_of(st, c);

	if (c == CURLE_SSL_CACERT_BADFILE)
		return slu_fail(e, EINVAL,
				"'%s' failed: the CA file '%s' cannot be read or holds no "
				"certificate in PEM form",
				st->what,
				slu_easy_ca(st->x) ? slu_easy_ca(st->x) : "of the system");
	if (!why.why)
		return slu_fail(e, why.code, "'%s' failed: %s", st->what, own);
	return slu_fail(e, why.code, "'%s' failed: %s (%s)", st->what, why.why, own);
}
