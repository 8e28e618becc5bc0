/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scripted server (httpd.h) does wrong, by path: an object of SIZE bytes is served right at
 * "/ok" and in some broken way everywhere else.  `misbehave` is the function to start httpd with.
 */
#ifndef SLU_TESTS_LIB_MISBEHAVE_H
#define SLU_TESTS_LIB_MISBEHAVE_H

#include "tests/lib/httpd.h"

#define SIZE 1000000u /* of the object that the server pretends to have */

static unsigned char byte_at(uint64_t i)
{
	return (unsigned char)((i * 2654435761u) >> 11);
}

static bool send_range(struct hconn *c, uint64_t from, uint64_t n)
{
	char b[16384];
	while (n > 0) {
		size_t k = n < sizeof(b) ? (size_t)n : sizeof(b);
		for (size_t i = 0; i < k; i++)
			b[i] = (char)byte_at(from + i);
		if (!hsend(c, b, k))
			return false;
		from += k;
		n -= k;
	}
	return true;
}

static bool head206(struct hconn *c, uint64_t a, uint64_t b, const char *more)
{
	return hprintf(c,
		       "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		       "Content-Length: %llu\r\n%s\r\n",
		       (unsigned long long)a, (unsigned long long)b, SIZE,
		       (unsigned long long)(b - a + 1), more);
}

static bool serve_ok(struct hconn *c)
{
	if (c->first > c->last)
		return hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE) &&
		       send_range(c, 0, SIZE);
	return head206(c, c->first, c->last, "ETag: \"one\"\r\nx-a: 1\r\nX-A:  two \r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_cut(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	send_range(c, c->first, 1000);
	return false;
}

static bool serve_rst(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	send_range(c, c->first, 1000);
	hreset(c);
	return false;
}

static bool serve_rst_at_once(struct hconn *c)
{
	hreset(c);
	return false;
}

static bool serve_fin_at_once(struct hconn *c)
{
	(void)c;
	return false;
}

static bool serve_badrange(struct hconn *c)
{
	return head206(c, c->first + 1, c->last + 1, "") &&
	       send_range(c, c->first + 1, c->last - c->first + 1);
}

static bool serve_shortrange(struct hconn *c)
{
	return head206(c, c->first, c->last - 1, "") && send_range(c, c->first, c->last - c->first);
}

static bool serve_norange(struct hconn *c)
{
	uint64_t n = c->last - c->first + 1;
	return hprintf(c, "HTTP/1.1 206 Partial Content\r\nContent-Length: %llu\r\n\r\n",
		       (unsigned long long)n) &&
	       send_range(c, c->first, n);
}

static bool serve_badlen(struct hconn *c)
{
	hprintf(c,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		"Content-Length: 10\r\n\r\n0123456789",
		(unsigned long long)c->first, (unsigned long long)c->last, SIZE);
	return true;
}

static bool serve_full200(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE) &&
	       send_range(c, 0, SIZE);
}

/* 200 without a length, closed at its end; the path says how many bytes. */
static bool serve_open200(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	send_range(c, 0, strtoull(c->path + strlen("/open200/"), NULL, 10));
	return false;
}

/* An answer nobody asked for, right behind the right one, in one piece. */
static bool serve_extra(struct hconn *c)
{
	static const char extra[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX";
	size_t n = (size_t)(c->last - c->first + 1), more = sizeof(extra) - 1;
	char *b = malloc(n + more);
	for (size_t i = 0; b && i < n; i++)
		b[i] = (char)byte_at(c->first + i);
	bool ok = b && head206(c, c->first, c->last, "");
	if (ok) {
		memcpy(b + n, extra, more);
		ok = hsend(c, b, n + more);
	}
	free(b);
	return ok;
}

/* The same when the client may have sent its next request already. */
static bool serve_lateextra(struct hconn *c)
{
	return serve_ok(c) && hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX");
}

static bool serve_duplen(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Length: 77\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_duprange(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Range: bytes 0-9/10\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_gzip(struct hconn *c)
{
	return head206(c, c->first, c->last, "Content-Encoding: gzip\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool chunks(struct hconn *c, uint64_t n, bool whole)
{
	hprintf(c,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %llu-%llu/%u\r\n"
		"Transfer-Encoding: chunked\r\n\r\n",
		(unsigned long long)c->first, (unsigned long long)c->last, SIZE);
	for (uint64_t at = 0; at < n; at += 1000) {
		uint64_t k = n - at < 1000 ? n - at : 1000;
		if (!hprintf(c, "%llx\r\n", (unsigned long long)k) ||
		    !send_range(c, c->first + at, k) || !hprintf(c, "\r\n"))
			return false;
	}
	/* Trailers that contradict the head must not be heard. */
	return whole && hprintf(c, "0\r\nContent-Range: bytes 0-0/1\r\nx-late: 1\r\n\r\n");
}

static bool serve_chunked(struct hconn *c)
{
	return chunks(c, c->last - c->first + 1, true);
}

static bool serve_chunkedcut(struct hconn *c)
{
	return chunks(c, (c->last - c->first + 1) / 2, false);
}

static bool serve_chunkedshort(struct hconn *c)
{
	return chunks(c, (c->last - c->first + 1) / 2, true);
}

static bool serve_chunkedlong(struct hconn *c)
{
	return chunks(c, 2 * (c->last - c->first + 1), true);
}

static bool serve_err20k(struct hconn *c)
{
	char b[20480];
	memset(b, 'e', sizeof(b));
	return hprintf(c, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: %zu\r\n\r\n",
		       sizeof(b)) &&
	       hsend(c, b, sizeof(b));
}

static bool serve_errhuge(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 500 Oops\r\n\r\n");
	while (send_range(c, 0, 65536))
		;
	return false;
}

static bool serve_errcut(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 404 Gone\r\nContent-Length: 100\r\n\r\nNot");
	return false;
}

static bool serve_bighdr(struct hconn *c)
{
	char line[1002];
	memset(line, 'h', sizeof(line));
	line[0] = 'x';
	line[1] = ':';
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	hprintf(c, "HTTP/1.1 206 Partial Content\r\n");
	for (int i = 0; i < 1000; i++)
		if (!hsend(c, line, sizeof(line)))
			return false;
	return hprintf(c, "\r\n");
}

static bool serve_manyhdr(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 206 Partial Content\r\n");
	for (int i = 0; i < 5000; i++)
		if (!hprintf(c, "x: y\r\n"))
			return false;
	return hprintf(c, "\r\n");
}

static bool serve_many100(struct hconn *c)
{
	while (hprintf(c, "HTTP/1.1 100 Continue\r\n\r\n"))
		;
	return false;
}

static bool serve_one100(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 100 Continue\r\nETag: \"no\"\r\n\r\n") && serve_ok(c);
}

static bool serve_folded(struct hconn *c)
{
	return head206(c, c->first, c->last, "x: a\r\n b\r\n") &&
	       send_range(c, c->first, c->last - c->first + 1);
}

static bool serve_garbage(struct hconn *c)
{
	hprintf(c, "\1\2\3 nothing like http at all\r\n\r\n");
	return false;
}

static bool serve_drip(struct hconn *c)
{
	head206(c, c->first, c->last, "");
	while (hpause(c, 10) && hsend(c, "d", 1))
		;
	return false;
}

static bool serve_never(struct hconn *c)
{
	hpause(c, 60000);
	return false;
}

static bool serve_redirect(struct hconn *c)
{
	return hprintf(c,
		       "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:%u/ok\r\n"
		       "Content-Length: 0\r\n\r\n",
		       c->srv->port);
}

/* Says back what was asked: the request's head (up to its body) and the body. */
static bool serve_echo(struct hconn *c)
{
	char *b = malloc(c->body_len + 1);
	bool ok = b && hbody(c, b) &&
		  hprintf(c, "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n",
			  c->head_len + c->body_len) &&
		  hsend(c, c->head, c->head_len) && hsend(c, b, c->body_len);
	free(b);
	return ok;
}

/* Takes no more of a request's body than what came with its head. */
static bool serve_deaf(struct hconn *c)
{
	return serve_never(c);
}

static bool serve_big(struct hconn *c)
{
	hprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	while (send_range(c, 0, 65536))
		;
	return false;
}

static bool serve_mirror(struct hconn *c)
{
	return hprintf(c, "HTTP/1.1 418 Look\r\nContent-Length: %zu\r\n\r\n", c->head_len) &&
	       hsend(c, c->head, c->head_len);
}

static bool serve_created(struct hconn *c)
{
	return hbody(c, NULL) && hprintf(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

/* Promises to keep the connection and closes it: the next request meets a dead one. */
static bool serve_closing(struct hconn *c)
{
	serve_ok(c);
	return false;
}

static const struct {
	const char *path;
	bool (*serve)(struct hconn *c);
} scripts[] = {
	{"/ok", serve_ok},
	{"/cut", serve_cut},
	{"/rst", serve_rst},
	{"/rst0", serve_rst_at_once},
	{"/fin0", serve_fin_at_once},
	{"/badrange", serve_badrange},
	{"/shortrange", serve_shortrange},
	{"/norange", serve_norange},
	{"/badlen", serve_badlen},
	{"/full200", serve_full200},
	{"/extra", serve_extra},
	{"/lateextra", serve_lateextra},
	{"/duplen", serve_duplen},
	{"/duprange", serve_duprange},
	{"/gzip", serve_gzip},
	{"/chunked", serve_chunked},
	{"/chunkedcut", serve_chunkedcut},
	{"/chunkedshort", serve_chunkedshort},
	{"/chunkedlong", serve_chunkedlong},
	{"/err20k", serve_err20k},
	{"/errhuge", serve_errhuge},
	{"/errcut", serve_errcut},
	{"/bighdr", serve_bighdr},
	{"/manyhdr", serve_manyhdr},
	{"/many100", serve_many100},
	{"/one100", serve_one100},
	{"/folded", serve_folded},
	{"/garbage", serve_garbage},
	{"/drip", serve_drip},
	{"/never", serve_never},
	{"/redirect", serve_redirect},
	{"/deaf", serve_deaf},
	{"/big", serve_big},
	{"/mirror", serve_mirror},
	{"/created", serve_created},
	{"/closing", serve_closing},
};

static bool misbehave(struct hconn *c)
{
	size_t n = strcspn(c->path, "?");
	if (strncmp(c->path, "/echo", 5) == 0)
		return serve_echo(c);
	if (strncmp(c->path, "/open200/", 9) == 0)
		return serve_open200(c);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		if (strlen(scripts[i].path) == n && memcmp(scripts[i].path, c->path, n) == 0)
			return scripts[i].serve(c);
	return hprintf(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

#endif
