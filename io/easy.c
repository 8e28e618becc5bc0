/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transfer as libcurl sees it: its options and its callbacks.  Everything that libcurl would do
 * on its own and we must not let it (redirects, other protocols, signals, waiting for 100-continue,
 * name look-ups that cannot be left) is switched off here.  Header and body callbacks decide before
 * the first byte of a body goes into the caller's buffer.
 */
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "io/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BIG (128 * 1024)         /* bodies from here on get the large curl buffers */
#define BIG_BUFFER (256L * 1024) /* measured: 30-50 % less CPU than 16 KiB, more does not help */
#define MID_BUFFER (64L * 1024)
#define SMALL_BUFFER (16L * 1024)
#define SKIP_MAX (64 * 1024)        /* of a body that nobody wants */
#define SKIP_ERROR_MAX (256 * 1024) /* of an error body beyond what is kept */

#ifdef PACKAGE_VERSION
#define AGENT "sluice/" PACKAGE_VERSION
#else
#define AGENT "sluice"
#endif

#define SET(h, opt, val) (curl_easy_setopt((h), (opt), (val)) == CURLE_OK)

static bool is_2xx(const struct slu_xfer_state *st)
{
	return st->reply.status >= 200 && st->reply.status < 300;
}

/* Is the body that this head announces the one that was asked for? */
static int judge_head(struct slu_xfer_state *st)
{
	struct slu_xfer *x = st->x;
	const struct slu_reply *r = &st->reply;
	x->status = r->status;
	if (!is_2xx(st))
		return 0;
	if (x->sink == SLU_SINK_RANGE) {
		struct slu_want w = {
			.off = x->off, .len = x->len, .total = x->total, .coded_ok = x->coded_ok};
		return slu_reply_check_range(r, &w, st->what, &x->err);
	}
	if (x->sink != SLU_SINK_BUF || slu_streq(x->method, "HEAD"))
		return 0;
	if (r->has_length && r->length > x->resp.max)
		return slu_fail(&x->err, EMSGSIZE,
				"'%s' answered with %" PRIu64 " bytes, more than the limit of %zu",
				st->what, r->length, x->resp.max);
	return slu_reply_check_coding(r, x->coded_ok, st->what, &x->err);
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
	struct slu_xfer_state *st = arg;
	(void)one;
	st->received += n;
	bool was = st->reply.complete;
	st->rc = slu_reply_line(&st->reply, p, n, st->what, &st->x->err);
	if (!st->rc && !was && st->reply.complete)
		st->rc = judge_head(st);
	return st->rc < 0 ? 0 : n;
}

/* Counts bytes that nobody keeps; the connection is not worth more than max of them. */
static size_t skip_body(struct slu_xfer_state *st, size_t n, uint64_t max)
{
	st->skipped += n;
	if (st->skipped <= max)
		return n;
	if (is_2xx(st))
		st->rc = slu_fail(&st->x->err, EPROTO,
				  "'%s' answered with a body where none was expected", st->what);
	return 0;
}

static size_t keep_error(struct slu_xfer_state *st, const char *p, size_t n)
{
	struct slu_buf *b = &st->x->errbody;
	size_t room = SLU_XFER_ERRBODY - b->len, keep = n < room ? n : room;
	if (keep)
		slu_buf_add(b, p, keep);
	return n == keep || skip_body(st, n - keep, SKIP_ERROR_MAX) ? n : 0;
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct slu_xfer_state *st = arg;
	struct slu_xfer *x = st->x;
	(void)one;
	st->received += n;
	if (!is_2xx(st))
		return keep_error(st, p, n);
	if (x->sink == SLU_SINK_NONE)
		return skip_body(st, n, SKIP_MAX);
	if (x->sink == SLU_SINK_RANGE) {
		if (n > x->len - x->got) {
			st->rc = slu_fail(&x->err, EPROTO,
					  "'%s' sent more than the %zu bytes asked for", st->what,
					  x->len);
			return 0;
		}
		memcpy((char *)x->buf + x->got, p, n);
		x->got += n;
		return n;
	}
	slu_buf_add(&x->resp, p, n);
	int r = slu_buf_err(&x->resp);
	if (r == -ENOMEM)
		st->rc = slu_fail_oom(&x->err);
	else if (r < 0)
		st->rc = slu_fail(&x->err, EMSGSIZE, "'%s' sent more than the limit of %zu bytes",
				  st->what, x->resp.max);
	else
		x->got += n;
	return r < 0 ? 0 : n;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
	struct slu_xfer_state *st = arg;
	size_t left = st->x->body_len - st->sent;
	n *= size;
	if (n > left)
		n = left;
	if (n) /* there may be no body at all to copy from */
		memcpy(p, (const char *)st->x->body + st->sent, n);
	st->sent += n;
	return n;
}

/* curl sends the body again when a kept connection was dead. */
static int on_seek(void *arg, curl_off_t off, int whence)
{
	struct slu_xfer_state *st = arg;
	if (whence != SEEK_SET || off < 0 || (uint64_t)off > st->x->body_len)
		return CURL_SEEKFUNC_FAIL;
	st->sent = (size_t)off;
	return CURL_SEEKFUNC_OK;
}

/* Runs when the connection is there and nothing was sent yet. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct slu_xfer_state *st = arg;
	long fresh = 1;
	(void)local_ip;
	st->fd = slu_sock_find(st->socks, ip, port, local_port);
	curl_easy_getinfo(st->easy->h, CURLINFO_NUM_CONNECTS, &fresh);
	st->unclean = !fresh && st->fd >= 0 && !slu_sock_clean(st->fd);
	if (st->begun && st->x->once) {
		/* curl sends it again, when a kept connection broke before any answer */
		st->unclean = false;
		return CURL_PREREQFUNC_ABORT;
	}
	st->begun = !st->unclean;
	return st->unclean ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* The same for every exchange. */
static const struct {
	CURLoption option;
	long value;
} fixed[] = {
	{CURLOPT_PATH_AS_IS, 1}, /* a path is signed as it is written */
	{CURLOPT_FOLLOWLOCATION, 0},
	{CURLOPT_NOSIGNAL, 1},
	{CURLOPT_QUICK_EXIT, 1}, /* never join a look-up that hangs */
	{CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
	{CURLOPT_TCP_KEEPALIVE, 1},
	{CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
	{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	{CURLOPT_SSL_VERIFYPEER, 1},
	{CURLOPT_SSL_VERIFYHOST, 2},
};

static bool set_proxy(const struct slu_xfer_state *st, CURL *h)
{
	const char *proxy = st->url.direct ? "" : st->x->proxy;

	return !proxy || SET(h, CURLOPT_PROXY, proxy);
}

/* The certificates to trust: the exchange's own, else those that programs of OpenSSL are told of. */
const char *slu_easy_ca(const struct slu_xfer *x)
{
	const char *given = x->ca_file ? x->ca_file : secure_getenv("SSL_CERT_FILE");

	return given && *given ? given : NULL;
}

static bool set_connection(struct slu_xfer_state *st, CURL *h)
{
	const char *ca = slu_easy_ca(st->x);
	const struct slu_xfer *x = st->x;
	int64_t connect = x->connect_ns > 0 ? x->connect_ns : 10 * SLU_SEC;
	long ms = connect / SLU_MS < 3600 * 1000 ? (long)((connect + SLU_MS - 1) / SLU_MS)
						 : 3600L * 1000;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!SET(h, fixed[i].option, fixed[i].value))
			return false;
	return SET(h, CURLOPT_CURLU, st->url.u) && SET(h, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       SET(h, CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
	       SET(h, CURLOPT_CONNECTTIMEOUT_MS, ms) && SET(h, CURLOPT_USERAGENT, AGENT) &&
	       set_proxy(st, h) && (!ca || SET(h, CURLOPT_CAINFO, ca));
}

static bool set_sockets(struct slu_xfer_state *st, CURL *h)
{
	return SET(h, CURLOPT_PREREQFUNCTION, on_connected) && SET(h, CURLOPT_PREREQDATA, st) &&
	       SET(h, CURLOPT_OPENSOCKETFUNCTION, slu_sock_open) &&
	       SET(h, CURLOPT_OPENSOCKETDATA, st->socks) &&
	       SET(h, CURLOPT_CLOSESOCKETFUNCTION, slu_sock_close) &&
	       SET(h, CURLOPT_CLOSESOCKETDATA, st->socks);
}

/* A handle whose last exchange never got a connection still has its buffer, and keeps it. */
static bool set_buffer(CURL *h, long size)
{
	CURLcode c = curl_easy_setopt(h, CURLOPT_BUFFERSIZE, size);

	return c == CURLE_OK || c == CURLE_BAD_FUNCTION_ARGUMENT;
}

static bool set_callbacks(struct slu_xfer_state *st, CURL *h)
{
	const struct slu_xfer *x = st->x;
	long size = x->sink == SLU_SINK_NONE ? SMALL_BUFFER : MID_BUFFER;
	if (x->sink == SLU_SINK_RANGE)
		size = x->len >= BIG ? BIG_BUFFER : SMALL_BUFFER;
	st->easy->text[0] = '\0';
	return SET(h, CURLOPT_ERRORBUFFER, st->easy->text) && SET(h, CURLOPT_PRIVATE, st) &&
	       SET(h, CURLOPT_HEADERFUNCTION, on_header) && SET(h, CURLOPT_HEADERDATA, st) &&
	       SET(h, CURLOPT_WRITEFUNCTION, on_body) && SET(h, CURLOPT_WRITEDATA, st) &&
	       set_buffer(h, size);
}

static bool has_body(const struct slu_xfer *x)
{
	return x->body || slu_streq(x->method, "PUT") || slu_streq(x->method, "POST") ||
	       slu_streq(x->method, "PATCH");
}

static bool set_method(struct slu_xfer_state *st, CURL *h)
{
	const struct slu_xfer *x = st->x;
	if (slu_streq(x->method, "HEAD"))
		return SET(h, CURLOPT_NOBODY, 1L);
	if (!has_body(x))
		return SET(h, CURLOPT_HTTPGET, 1L) && SET(h, CURLOPT_CUSTOMREQUEST, x->method);
	/* Repeating a POST is not curl's to decide: on a fresh connection it never does. */
	return SET(h, CURLOPT_UPLOAD, 1L) && SET(h, CURLOPT_CUSTOMREQUEST, x->method) &&
	       SET(h, CURLOPT_FRESH_CONNECT, slu_streq(x->method, "POST") ? 1L : 0L) &&
	       SET(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_len) &&
	       SET(h, CURLOPT_READFUNCTION, on_send) && SET(h, CURLOPT_READDATA, st) &&
	       SET(h, CURLOPT_SEEKFUNCTION, on_seek) && SET(h, CURLOPT_SEEKDATA, st) &&
	       SET(h, CURLOPT_UPLOAD_BUFFERSIZE, x->body_len >= BIG ? BIG_BUFFER : SMALL_BUFFER);
}

static bool add(struct curl_slist **list, const char *line)
{
	struct curl_slist *more = curl_slist_append(*list, line);
	if (more)
		*list = more;
	return more != NULL;
}

/* A caller's header: "Name: value".  curl takes "Name:" as "leave it out" and wants "Name;". */
static int add_header(struct slu_xfer_state *st, const char *line)
{
	struct slu_err *e = &st->x->err;
	size_t name = strcspn(line, ":");
	if (name == 0 || line[name] != ':' || strcspn(line, " \t;") < name)
		return slu_fail(e, EINVAL, "a header of the request to '%s' is malformed",
				st->what);
	for (const char *c = line; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return slu_fail(e, EINVAL,
					"a header of the request to '%s' has a control byte in it",
					st->what);
	if (line[name + 1 + strspn(line + name + 1, " \t")])
		return add(&st->headers, line) ? 0 : slu_fail_oom(e);
	char *empty = slu_asprintf("%.*s;", (int)name, line);
	bool ok = empty && add(&st->headers, empty);
	free(empty);
	return ok ? 0 : slu_fail_oom(e);
}

static bool asks_range(const char *const *headers)
{
	for (; headers && *headers; headers++)
		if (slu_iafter(*headers, "Range:") || slu_iafter(*headers, "x-ms-range:"))
			return true;
	return false;
}

static int set_headers(struct slu_xfer_state *st)
{
	struct slu_xfer *x = st->x;
	for (const char *const *h = x->headers; h && *h; h++) {
		int r = add_header(st, *h);
		if (r < 0)
			return r;
	}
	bool ok = !has_body(x) || add(&st->headers, "Expect:");
	bool whole = x->off == 0 && x->len == x->total;
	if (ok && x->sink == SLU_SINK_RANGE && !whole && !asks_range(x->headers)) {
		char line[80];
		snprintf(line, sizeof(line), "Range: bytes=%" PRIu64 "-%" PRIu64, x->off,
			 x->off + x->len - 1);
		ok = add(&st->headers, line);
	}
	ok = ok && (!st->headers || SET(st->easy->h, CURLOPT_HTTPHEADER, st->headers));
	return ok ? 0 : slu_fail_oom(&x->err);
}

static int check_request(struct slu_xfer_state *st)
{
	struct slu_xfer *x = st->x;
	uint64_t end;
	for (const char *m = x->method; *m || m == x->method; m++)
		if (*m < 'A' || *m > 'Z')
			return slu_fail(&x->err, EINVAL, "'%s' is not an HTTP method", x->method);
	if (x->body_len && !x->body)
		return slu_fail(&x->err, EINVAL, "the request to '%s' has no body", st->what);
	if (x->sink != SLU_SINK_RANGE)
		return 0;
	if (__builtin_add_overflow(x->off, x->len, &end) || end > x->total || (x->len && !x->buf) ||
	    (!x->len && x->total))
		return slu_fail(&x->err, EINVAL,
				"'%s' has no range of %zu bytes from %" PRIu64 " on", st->what,
				x->len, x->off);
	return 0;
}

int slu_easy_setup(struct slu_xfer_state *st)
{
	CURL *h = st->easy->h;
	int r = check_request(st);
	if (r < 0)
		return r;
	if (!set_connection(st, h) || !set_sockets(st, h) || !set_callbacks(st, h) ||
	    !set_method(st, h))
		return slu_fail_oom(&st->x->err);
	return set_headers(st);
}

/* Credentials pass through the copies that curl made of the headers. */
void slu_easy_free_headers(struct slu_xfer_state *st)
{
	for (struct curl_slist *s = st->headers; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(st->headers);
	st->headers = NULL;
}

uint64_t slu_easy_moved(const struct slu_xfer_state *st)
{
	curl_off_t up = 0;
	curl_easy_getinfo(st->easy->h, CURLINFO_SIZE_UPLOAD_T, &up);
	uint64_t queued = slu_sock_queued(st->socks, st->fd), sent = up > 0 ? (uint64_t)up : 0;
	return st->received + (sent > queued ? sent - queued : 0);
}

/* False: in a queue, or connecting, which has a limit of its own. */
static bool connected(const struct slu_xfer_state *st)
{
	curl_off_t since = 0;
	return curl_easy_getinfo(st->easy->h, CURLINFO_PRETRANSFER_TIME_T, &since) == CURLE_OK &&
	       since > 0;
}

bool slu_easy_unanswered(const struct slu_xfer_state *st)
{
	return connected(st) && st->received == 0 && st->sent >= st->x->body_len;
}

bool slu_easy_flowing(const struct slu_xfer_state *st)
{
	const struct slu_xfer *x = st->x;
	if (!connected(st))
		return false;
	if (x->sink == SLU_SINK_RANGE || st->received > 0)
		return true;
	return x->body_len && (st->sent < x->body_len || slu_sock_queued(st->socks, st->fd) > 0);
}
