/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that plays a script to a Blob store: each request has to be the next one of it.  For one
 * test program each; `store` is an anonymous datastore over it.
 */
#ifndef SLU_TESTS_BLOB_PLAY_H
#define SLU_TESTS_BLOB_PLAY_H

#include "tests/unit/unit.h"

#include "blob/blob.h"
#include "blob/call.h"
#include "common/json.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"
#include "tests/lib/httpd.h"

#include <errno.h>

#define ETAG "ETag: \"0x1\"\r\nLast-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
#define OK "HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\n"
#define CREATED "HTTP/1.1 201 Created\r\nx-ms-request-id: 1\r\n" ETAG "Content-Length: 0\r\n\r\n"
#define NONE(status, code)                                                                         \
	"HTTP/1.1 " status "\r\nx-ms-error-code: " code                                            \
	"\r\nx-ms-request-id: REQ-1\r\nContent-Length: 0\r\n\r\n"
#define HEAD(size, more) OK ETAG more "Content-Length: " size "\r\n\r\n"
#define MD5_OF_HELLO "XUFAKrxLKna5cZ2REBfFkg=="

struct play {
	const char *request; /* the beginning of its first line */
	const char *has;     /* a header line of it, in any case; NULL: any */
	const char *answer;  /* NULL: the connection breaks */
	const char *body;    /* of the answer, its length told; NULL: in answer; or: */
};

static const char cut_here[] = ""; /* the connection ends behind the answer */

static struct httpd srv;
static struct slu_loops *loops;
static struct slu_pool *pool;
static struct slu_store *store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct play *script;
static size_t n_script, at;
static char wrong[512];

/* The next play, or NULL when the request is not of it. */
static const struct play *next_play(struct hconn *c)
{
	const struct play *p = NULL;

	pthread_mutex_lock(&lock);
	if (at < n_script)
		p = &script[at++];
	if (!p || strncmp(c->head, p->request, strlen(p->request)) != 0 ||
	    (p->has && !strcasestr(c->head, p->has))) {
		if (!wrong[0])
			snprintf(wrong, sizeof(wrong), "wanted %s with %s, got %.300s",
				 p ? p->request : "nothing", p && p->has ? p->has : "anything",
				 c->head);
		p = NULL;
	}
	pthread_mutex_unlock(&lock);
	return p;
}

static bool serve(struct hconn *c)
{
	const struct play *p = next_play(c);

	if (!hbody(c, NULL) || !p)
		return false;
	if (!p->answer) {
		hreset(c);
		return false;
	}
	if (!p->body || p->body == cut_here)
		return hsend(c, p->answer, strlen(p->answer)) && !p->body;
	return hprintf(c, "%sContent-Length: %zu\r\n\r\n", p->answer, strlen(p->body)) &&
	       hsend(c, p->body, strlen(p->body));
}

static void play(const struct play *p, size_t n)
{
	script = p;
	n_script = n;
	at = 0;
	wrong[0] = '\0';
}
#define PLAY(...)                                                                                  \
	static const struct play plays[] = {__VA_ARGS__};                                          \
	play(plays, sizeof(plays) / sizeof(plays[0]))

static void played(void)
{
	if (wrong[0])
		fail_msg("%s", wrong);
	assert_int_equal(at, n_script);
}

static struct slu_store *open_store(const char *more)
{
	SLU_AUTO(slu_json_freep) struct json_t *entry = NULL;
	struct slu_store *s;
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"type\": \"azure_blob\", \"account_name\": \"acct\", \"container_name\": "
		 "\"data\", \"endpoint\": \"http://127.0.0.1:%u\"%s}",
		 srv.port, more);
	assert_int_equal(slu_json_parse(text, strlen(text), "entry", &entry, NULL), 0);
	assert_int_equal(slu_blob_new(entry, "/", loops, pool, &s, NULL), 0);
	return s;
}

static int setup(void **state)
{
	struct slu_loops_conf conf = {.threads = 2};

	(void)state;
	httpd_start(&srv, serve);
	if (slu_loops_new(&conf, &loops, NULL) < 0 || slu_pool_new(2, &pool, NULL) < 0)
		return -1;
	store = open_store("");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slu_store_free(store);
	slu_loops_free(loops);
	slu_pool_free(pool);
	httpd_stop(&srv);
	return 0;
}

#endif
