/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: requests in, answers out, and the faults that are a matter of bytes and headers. */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (256u << 10)

struct conn {
	int fd;
	SSL *ssl;
	char *in; /* ROOM bytes; [off, off + have) is not read yet */
	size_t off, have;
};

static SSL_CTX *tls;

int tls_start(const char *cert, const char *key, const char *max)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls)
		return -1;
	if (max && !strcmp(max, "1.1")) {
		/* OpenSSL 3 does SHA-1 signatures at level 0 only. */
		SSL_CTX_set_security_level(tls, 0);
		SSL_CTX_set_min_proto_version(tls, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(tls, TLS1_1_VERSION);
	}
	return SSL_CTX_use_certificate_chain_file(tls, cert) == 1 &&
			       SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1
		       ? 0
		       : -1;
}

/* --- bytes --- */

static ssize_t pull(struct conn *c, void *p, size_t n)
{
	return c->ssl ? SSL_read(c->ssl, p, n > 1u << 30 ? 1 << 30 : (int)n) : recv(c->fd, p, n, 0);
}

static int push(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t got = c->ssl ? SSL_write(c->ssl, p, n > 1u << 30 ? 1 << 30 : (int)n)
				     : send(c->fd, p, n, MSG_NOSIGNAL);

		if (got <= 0)
			return -EPIPE;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static void reset(struct conn *c)
{
	struct linger l = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* --- the request --- */

const char *header(const struct request *q, const char *name)
{
	return pairs_get(&q->header, name);
}

const char *query(const struct request *q, const char *name)
{
	return pairs_get(&q->query, name);
}

/* The end of the header block in what is there, or NULL. */
static char *block_end(struct conn *c)
{
	return c->have < 4 ? NULL : memmem(c->in + c->off, c->have, "\r\n\r\n", 4);
}

/* The header block, NUL behind, the caller's; NULL: the end. */
static char *read_block(struct conn *c)
{
	char *end, *text;
	size_t n;

	while (!(end = block_end(c))) {
		ssize_t got;

		if (c->off) {
			memmove(c->in, c->in + c->off, c->have);
			c->off = 0;
		}
		if (c->have == ROOM || (got = pull(c, c->in + c->have, ROOM - c->have)) <= 0)
			return NULL;
		c->have += (size_t)got;
	}
	n = (size_t)(end - (c->in + c->off));
	text = must(malloc(n + 1)); /* what follows in the buffer is no string */
	memcpy(text, c->in + c->off, n);
	text[n] = '\0';
	c->off += n + 4;
	c->have -= n + 4;
	return text;
}

static char *decoded(const char *p, size_t n)
{
	struct slu_buf b = {.max = 1 << 20};

	if (!slu_url_decode(&b, p, n)) {
		slu_buf_clear(&b);
		slu_buf_add(&b, p, n);
	}
	return must(slu_buf_take(&b));
}

void query_read(struct pairs *l, const char *from, bool lower)
{
	char *text = must(strdup(from));

	for (char *next, *p = text; p && *p; p = next) {
		char *eq, *name, *value;

		next = strchr(p, '&');
		if (next)
			*next++ = '\0';
		eq = strchr(p, '=');
		name = decoded(p, eq ? (size_t)(eq - p) : strlen(p));
		value = eq ? decoded(eq + 1, strlen(eq + 1)) : must(strdup(""));
		for (char *s = name; lower && *s; s++)
			*s = (char)tolower((unsigned char)*s);
		pairs_add(l, name, value);
		free(name);
		free(value);
	}
	free(text);
}

static void read_headers(struct request *q, char *line)
{
	for (char *next; line && *line; line = next) {
		char *colon, *value;

		next = strstr(line, "\r\n");
		if (next) {
			*next = '\0';
			next += 2;
		}
		colon = strchr(line, ':');
		if (!colon)
			continue;
		*colon = '\0';
		value = colon + 1 + strspn(colon + 1, " \t");
		if (strncasecmp(line, "x-ms-meta-", 10) != 0)
			for (char *s = line; *s; s++)
				*s = (char)tolower((unsigned char)*s);
		else
			memcpy(line, "x-ms-meta-", 10);
		pairs_add(&q->header, line, value);
	}
}

/* /ACCOUNT/CONTAINER/NAME, or /CONTAINER/NAME at a host of the account's name. */
static void read_path(struct request *q)
{
	const char *p = q->raw_path + 1, *host = header(q, "host"), *slash, *got;
	size_t n = strlen(opt.account);

	q->dfs = host && strstr(host, ".dfs.");
	if (!(host && slu_starts(host, opt.account) && host[n] == '.') &&
	    !strncmp(p, opt.account, n)) {
		got = slu_after(p + n, ".dfs");
		q->dfs = q->dfs || got;
		p = got ? got : p + n;
		p += *p == '/';
	}
	slash = strchr(p, '/');
	q->container = decoded(p, slash ? (size_t)(slash - p) : strlen(p));
	q->name = slash ? decoded(slash + 1, strlen(slash + 1)) : must(strdup(""));
}

static bool read_request(struct conn *c, struct request *q)
{
	char *text = read_block(c), *line, *at, *end;
	const char *n;

	*q = (struct request){.conn = c, .op = "?", .out.max = 4 << 20};
	if (!text)
		return false;
	line = strstr(text, "\r\n");
	if (line) {
		*line = '\0';
		line += 2;
	}
	at = strchr(text, ' ');
	end = at ? strchr(at + 1, ' ') : NULL;
	if (!end || (size_t)(at - text) >= sizeof(q->method)) {
		free(text);
		return false;
	}
	memcpy(q->method, text, (size_t)(at - text));
	q->target = must(strndup(at + 1, (size_t)(end - at - 1)));
	q->raw_path = must(strndup(q->target, strcspn(q->target, "?")));
	if (line)
		read_headers(q, line);
	at = strchr(q->target, '?');
	if (at)
		query_read(&q->query, at + 1, true);
	read_path(q);
	n = header(q, "content-length");
	q->body_len = n ? strtoull(n, NULL, 10) : 0;
	free(text);
	n = header(q, "expect");
	if (n && !strcasecmp(n, "100-continue"))
		push(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return true;
}

static void request_done(struct request *q)
{
	free(q->target);
	free(q->raw_path);
	free(q->container);
	free(q->name);
	pairs_done(&q->query);
	pairs_done(&q->header);
	slu_buf_done(&q->out);
}

/* --- the body --- */

/* The next bytes of the body, at most ROOM, valid until the next call; 0: the end or a cut. */
static size_t body_part(struct request *q, char **ret)
{
	struct conn *c = q->conn;
	uint64_t left = q->body_len - q->body_read;
	size_t n;

	if (!left)
		return 0;
	if (!c->have) {
		ssize_t got = pull(c, c->in, ROOM);

		c->off = 0;
		if (got <= 0)
			return 0;
		c->have = (size_t)got;
	}
	n = c->have < left ? c->have : (size_t)left;
	*ret = c->in + c->off;
	c->off += n;
	c->have -= n;
	q->body_read += n;
	return n;
}

char *body_text(struct request *q, size_t *ret_len)
{
	struct slu_buf b = {.max = BLOBD_BODY_MAX};
	char *part;
	size_t n;

	while ((n = body_part(q, &part)))
		slu_buf_add(&b, part, n);
	if (q->body_read != q->body_len || slu_buf_err(&b) < 0) {
		slu_buf_done(&b);
		return NULL;
	}
	if (ret_len)
		*ret_len = b.len;
	return must(slu_buf_take(&b));
}

struct content *body_content(struct request *q)
{
	uint64_t at = arena_take(q->body_len), off = at;
	char *part;
	size_t n;

	while ((n = body_part(q, &part))) {
		if (pwrite(arena_fd(), part, n, (off_t)off) != (ssize_t)n)
			return NULL;
		off += n;
	}
	return q->body_read == q->body_len ? content_arena(at, q->body_len) : NULL;
}

static void body_skip(struct request *q)
{
	char *part;

	while (!q->close && body_part(q, &part))
		;
	if (q->body_read != q->body_len)
		q->close = true;
}

/* --- the answer --- */

void out_header(struct request *q, const char *name, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		must(NULL);
	va_end(ap);
	for (char *s = text; *s; s++)
		if (*s == '\r' || *s == '\n')
			*s = ' ';
	slu_buf_fmt(&q->out, "%s: %s\r\n", name, text);
	free(text);
}

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 206:
		return "Partial Content";
	case 304:
		return "Not Modified";
	case 307:
		return "Temporary Redirect";
	case 404:
		return "The specified blob does not exist.";
	case 412:
		return "Precondition Failed";
	case 416:
		return "The range specified is invalid for the current size of the resource.";
	case 503:
		return "The server is busy.";
	default:
		return "Answer";
	}
}

/* Status and headers; n: the body's length as it is told. */
static int push_head(struct request *q, int status, uint64_t n)
{
	struct slu_buf b = {.max = 8 << 20};
	int r;

	q->status = status;
	slu_buf_fmt(&b, "HTTP/1.1 %d %s\r\n", status, reason(status));
	slu_buf_add(&b, q->out.p, q->out.len);
	if (q->fault.kind == FAULT_BIG_HEADER)
		for (int64_t i = 0; i < q->fault.n; i += 1000)
			slu_buf_fmt(&b, "x-ms-padding-%d: %0980d\r\n", (int)(i / 1000), 0);
	if (q->fault.kind == FAULT_GZIP)
		slu_buf_str(&b, "Content-Encoding: gzip\r\n");
	if (q->fault.kind == FAULT_NO_LENGTH)
		q->close = true;
	else
		slu_buf_fmt(&b, "Content-Length: %llu\r\n", (unsigned long long)n);
	if (q->fault.kind == FAULT_TWO_LENGTHS)
		slu_buf_fmt(&b, "Content-Length: %llu\r\n", (unsigned long long)n + 7);
	if (q->close)
		slu_buf_str(&b, "Connection: close\r\n");
	slu_buf_str(&b, "\r\n");
	r = slu_buf_err(&b) < 0 ? -1 : push(q->conn, b.p, b.len);
	slu_buf_done(&b);
	return r;
}

/* How much of n bytes goes out before a fault ends it; *ret_end says that one does. */
static uint64_t until_fault(const struct request *q, uint64_t n, bool *ret_end)
{
	enum fault_kind k = q->fault.kind;

	*ret_end = k == FAULT_CUT || k == FAULT_RESET || k == FAULT_STALL;
	if (!*ret_end)
		return n;
	return (uint64_t)q->fault.n < n ? (uint64_t)q->fault.n : n;
}

static void end_by_fault(struct request *q)
{
	if (q->fault.kind == FAULT_STALL)
		stall(q);
	if (q->fault.kind == FAULT_RESET)
		reset(q->conn);
	q->close = true;
}

static void push_body(struct request *q, const char *p, uint64_t n)
{
	bool end;
	uint64_t part = until_fault(q, n, &end);

	q->sent = part;
	if (q->fault.kind == FAULT_DRIP) {
		log_request(q);
		for (uint64_t i = 0; i < n && push(q->conn, p + i, 1) == 0; i++)
			poll(NULL, 0, (int)q->fault.n);
	} else if (push(q->conn, p, part) < 0) {
		q->close = true;
	}
	if (q->fault.kind == FAULT_EXTRA)
		push(q->conn, "more than was said", 18);
	if (end)
		end_by_fault(q);
}

void answer(struct request *q, int status, const void *body, size_t n, const char *type)
{
	bool head = !strcmp(q->method, "HEAD");
	char *copy = NULL;

	body_skip(q);
	if (q->fault.kind == FAULT_LOST) {
		q->status = status;
		q->close = true;
		return;
	}
	if (q->fault.kind == FAULT_STALL && q->fault.n < 0) {
		stall(q);
		q->close = true;
		return;
	}
	if (q->fault.kind == FAULT_SHORTEN && (uint64_t)q->fault.n < n)
		n = (size_t)q->fault.n;
	if (q->fault.kind == FAULT_FLIP && n) {
		copy = must(malloc(n));
		memcpy(copy, body, n);
		copy[(size_t)q->fault.n % n] ^= 1;
	}
	if (n && type)
		out_header(q, "Content-Type", "%s", type);
	if (push_head(q, status, n) < 0)
		q->close = true;
	else if (!head)
		push_body(q, copy ? copy : body, n);
	free(copy);
}

void answer_empty(struct request *q, int status)
{
	answer(q, status, "", 0, NULL);
}

void answer_error(struct request *q, int status, const char *code, const char *message)
{
	char body[1024];
	int n = snprintf(
		body, sizeof(body),
		"\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code>"
		"<Message>%s</Message></Error>",
		code, message);

	out_header(q, "x-ms-error-code", "%s", code);
	if (!strcmp(q->method, "HEAD") || status == 304)
		n = 0;
	answer(q, status, body, (size_t)n, "application/xml");
}

static int send_piece(struct conn *c, const struct piece *p, uint64_t off, uint64_t n)
{
	int fd = p->path ? open(p->path, O_RDONLY | O_CLOEXEC) : p->fd, r = 0;
	off_t at = (off_t)(p->off + off);
	char *room = c->ssl ? must(malloc(ROOM)) : NULL;

	while (n && r == 0) {
		size_t part = n < 1u << 30 ? (size_t)n : 1u << 30;
		ssize_t got;

		if (room) {
			part = part < ROOM ? part : ROOM;
			got = pread(fd, room, part, at);
			r = got > 0 ? push(c, room, (size_t)got) : -1;
			at += got > 0 ? got : 0;
		} else {
			got = sendfile(c->fd, fd, &at, part);
		}
		if (got <= 0)
			r = -1;
		else
			n -= (uint64_t)got;
	}
	if (p->path && fd >= 0)
		close(fd);
	free(room);
	return r;
}

static void push_content(struct request *q, const struct content *c, uint64_t off, uint64_t len)
{
	bool end;
	uint64_t n = until_fault(q, len, &end);

	q->sent = n;
	for (size_t i = 0; i < c->pieces && n; i++) {
		uint64_t part;

		if (off >= c->piece[i].len) {
			off -= c->piece[i].len;
			continue;
		}
		part = c->piece[i].len - off < n ? c->piece[i].len - off : n;
		if (send_piece(q->conn, &c->piece[i], off, part) < 0) {
			q->close = true;
			return;
		}
		n -= part;
		off = 0;
	}
	if (end)
		end_by_fault(q);
}

void answer_content(struct request *q, int status, const struct content *c, uint64_t off,
		    uint64_t len)
{
	switch (q->fault.kind) {
	case FAULT_DRIP:
	case FAULT_FLIP:
	case FAULT_SHORTEN:
	case FAULT_EXTRA: {
		char *room = must(malloc(len + 1));

		if (content_read(c, off, room, len) < 0)
			q->close = true;
		answer(q, status, room, len, NULL);
		free(room);
		return;
	}
	case FAULT_LOST:
		return answer_empty(q, status);
	default:
		break;
	}
	body_skip(q);
	if (q->fault.kind == FAULT_STALL && q->fault.n < 0)
		return answer_empty(q, status);
	if (push_head(q, status, len) < 0)
		q->close = true;
	else if (strcmp(q->method, "HEAD"))
		push_content(q, c, off, len);
}

/* --- the connection --- */

void serve(int fd)
{
	struct conn c = {.fd = fd, .in = must(malloc(ROOM))};
	struct request q;

	if (tls) {
		c.ssl = must(SSL_new(tls));
		SSL_set_fd(c.ssl, fd);
		if (SSL_accept(c.ssl) != 1)
			goto out;
	}
	while (read_request(&c, &q)) {
		handle(&q);
		log_request(&q);
		bool end = q.close;

		request_done(&q);
		if (end)
			break;
	}
	if (c.ssl)
		SSL_shutdown(c.ssl);
out:
	SSL_free(c.ssl);
	ERR_clear_error();
	close(fd);
	free(c.in);
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}
