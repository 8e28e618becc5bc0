/* SPDX-License-Identifier: Apache-2.0 */
/* Copies that the service makes itself: it fetches the source as anybody would, by its URL. */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
	struct slu_buf body;
	char type[256], md5[64];
	long status;
};

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct source *s = arg;

	slu_buf_add(&s->body, p, size * n);
	return slu_buf_err(&s->body) < 0 ? 0 : size * n;
}

static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
	struct source *s = arg;

	if (n > 14 && n < sizeof(s->type) && !strncasecmp(p, "content-type: ", 14))
		snprintf(s->type, sizeof(s->type), "%.*s", (int)strcspn(p + 14, "\r\n"), p + 14);
	if (n > 13 && n < sizeof(s->md5) && !strncasecmp(p, "content-md5: ", 13))
		snprintf(s->md5, sizeof(s->md5), "%.*s", (int)strcspn(p + 13, "\r\n"), p + 13);
	return size * n;
}

static struct curl_slist *forward(const struct request *q, struct curl_slist *l)
{
	static const struct {
		const char *ours, *theirs;
	} names[] = {{"x-ms-source-if-match", "If-Match"},
		     {"x-ms-source-if-none-match", "If-None-Match"},
		     {"x-ms-source-range", "x-ms-range"},
		     {"x-ms-copy-source-authorization", "Authorization"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *v = header(q, names[i].ours);
		char *line;

		if (!v)
			continue;
		if (asprintf(&line, "%s: %s", names[i].theirs, v) < 0)
			must(NULL);
		l = curl_slist_append(l, line);
		free(line);
	}
	return curl_slist_append(l, "x-ms-version: " BLOBD_VERSION);
}

/* False: answered. */
static bool fetch(struct request *q, struct source *s)
{
	CURL *h = must(curl_easy_init());
	struct curl_slist *l = forward(q, NULL);
	CURLcode rc;

	s->body.max = 4ULL << 30;
	curl_easy_setopt(h, CURLOPT_URL, header(q, "x-ms-copy-source"));
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, l);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L); /* who the source is: not what is tested */
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	rc = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &s->status);
	curl_slist_free_all(l);
	curl_easy_cleanup(h);
	if (rc == CURLE_OK && s->status / 100 == 2)
		return true;
	slu_buf_done(&s->body);
	if (s->status == 412 || s->status == 304)
		answer_error(q, 412, "SourceConditionNotMet", "The source has changed.");
	else
		answer_error(q, s->status == 404 ? 404 : 403, "CannotVerifyCopySource",
			     "The source cannot be read.");
	return false;
}

static struct content *fetched(struct source *s)
{
	struct content *c = content_bytes(s->body.p, s->body.len);

	slu_buf_done(&s->body);
	return c;
}

void do_block_from_url(struct request *q, struct container *c)
{
	const char *id = query(q, "blockid"), *md5 = header(q, "x-ms-source-content-md5");
	struct source s = {0};
	unsigned char want[16], got[16];
	struct content *bytes;

	if (opt.old)
		return answer_error(q, 500, "InternalError", "Not known here.");
	if (!id || !fetch(q, &s))
		return;
	bytes = fetched(&s);
	if (md5) {
		md5_of(bytes, 0, bytes->size, got);
		if (unbase64(want, 16, md5) != 16 || memcmp(want, got, 16) != 0) {
			content_unref(bytes);
			return answer_error(q, 400, "Md5Mismatch", "The source has another MD5.");
		}
	}
	put_block(q, c, id, bytes);
}

void do_put_from_url(struct request *q, struct container *c)
{
	struct source s = {0};
	struct blob *b;

	if (opt.old)
		return answer_error(q, 500, "InternalError", "Not known here.");
	if (!fetch(q, &s))
		return;
	b = blob_new(fetched(&s));
	take_properties(q, b);
	if (!pairs_get(&b->headers, "content-type") && *s.type)
		pairs_add(&b->headers, "content-type", s.type);
	if (!pairs_get(&b->headers, "content-md5") && *s.md5)
		pairs_add(&b->headers, "content-md5", s.md5);
	put_blob(q, c, b, 201);
}

/* A blob of this account as it is now; NULL: of another, or an earlier state. */
static struct blob *own_source(const struct request *q)
{
	const char *url = header(q, "x-ms-copy-source"), *host = header(q, "host"), *p;
	struct slu_buf text = {.max = 1 << 16};
	struct blob *b = NULL;
	char *slash;

	if (strstr(url, "snapshot=") || strstr(url, "versionid="))
		return NULL;
	p = strstr(url, "://");
	p = p && host ? slu_after(p + 3, host) : NULL;
	p = p && *p == '/' ? slu_after(p + 1, opt.account) : NULL;
	if (!p || *p != '/' || !slu_url_decode(&text, p + 1, strcspn(p + 1, "?")) || !text.p)
		return NULL;
	slash = strchr(text.p, '/');
	if (slash) {
		struct container *c;
		struct name *n;

		*slash = '\0';
		pthread_mutex_lock(&lock);
		c = container_find(text.p);
		n = c ? name_find(c, slash + 1) : NULL;
		b = n && n->now ? blob_clone(n->now) : NULL;
		pthread_mutex_unlock(&lock);
	}
	slu_buf_done(&text);
	return b;
}

/* The copy of a blob of this account; NULL: answered. */
static struct blob *copied(struct request *q, struct blob *from)
{
	struct blob *b;

	if (!conditions_ok(q, from, "x-ms-source-", false)) {
		blob_free(from);
		return NULL;
	}
	b = blob_new(content_ref(from->c));
	take_properties(q, b);
	if (!b->meta.n)
		pairs_copy(&b->meta, &from->meta);
	if (!b->headers.n)
		pairs_copy(&b->headers, &from->headers);
	b->blocks = from->blocks;
	b->nblocks = from->nblocks;
	from->blocks = NULL;
	from->nblocks = 0;
	blob_free(from);
	return b;
}

void do_copy(struct request *q, struct container *c)
{
	struct blob *b = own_source(q);
	/* read by the right of who asks, or by a SAS, which is tried */
	bool sas = strchr(header(q, "x-ms-copy-source"), '?');
	struct source s = {0};
	char id[64];

	if ((!b || sas) && !fetch(q, &s)) {
		if (b)
			blob_free(b);
		return;
	}
	if (b) {
		slu_buf_done(&s.body);
		b = copied(q, b);
		if (!b)
			return;
	} else {
		b = blob_new(fetched(&s));
		take_properties(q, b);
	}
	if (!pairs_get(&b->headers, "content-type") && *s.type)
		pairs_add(&b->headers, "content-type", s.type);
	if (!pairs_get(&b->headers, "content-md5") && *s.md5)
		pairs_add(&b->headers, "content-md5", s.md5);
	snprintf(id, sizeof(id), "00000000-0000-0000-0000-%012llx", (unsigned long long)b->etag);
	pairs_add(&b->headers, "x-ms-copy-id", id);
	pairs_add(&b->headers, "x-ms-copy-status", "success");
	out_header(q, "x-ms-copy-id", "%s", id);
	out_header(q, "x-ms-copy-status", "success");
	put_blob(q, c, b, 202);
}
