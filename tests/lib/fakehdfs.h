/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small WebHDFS in memory: NameNode and DataNode on one port of the scripted server, with the
 * semantics that the driver relies on, and faults by rule: the first request whose operation and
 * number fit is answered in the way that `fault` says.  Requests are logged, one a line.
 */
#ifndef SLU_TESTS_LIB_FAKEHDFS_H
#define SLU_TESTS_LIB_FAKEHDFS_H

#include "tests/lib/httpd.h"

#include "fs/hadoopsum.h"

#include <ctype.h>

#define FAKE_FILES 64
#define FAKE_DATA (1 << 16)

struct fake_file {
	char path[256]; /* "" = free */
	bool dir;
	unsigned long inode, mtime;
	size_t len;
	char data[FAKE_DATA];
};

enum fake_fault {
	FAKE_OK,
	FAKE_LOST_BEFORE, /* nothing done, no answer */
	FAKE_LOST_AFTER,  /* done, no answer */
	FAKE_SHORT,       /* half the data arrives, "201" or a cut body */
	FAKE_HANG,
	FAKE_REDIRECT,  /* 307 instead of JSON */
	FAKE_ELSEWHERE, /* a DataNode with another scheme */
	FAKE_STANDBY,
	FAKE_NO_OTHER, /* every DataNode is to be left out */
	FAKE_FLIPPED,  /* one bit of the data */
	FAKE_UNKNOWN,  /* an operation that it does not know */
};

static struct {
	struct httpd srv;
	pthread_mutex_t lock;
	struct fake_file file[FAKE_FILES];
	unsigned long next_inode, now;
	enum fake_fault fault;
	char fault_op[24];
	int fault_nth;        /* counts down; hits at 0, once */
	enum fake_fault then; /* the next one after it */
	char then_op[24];
	char log[65536];
	size_t page; /* entries of a page of a listing */
	bool coded;  /* files are erasure-coded, and sum up to something else */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct fake_file *fake_find(const char *path)
{
	for (int i = 0; i < FAKE_FILES; i++)
		if (fake.file[i].path[0] && strcmp(fake.file[i].path, path) == 0)
			return &fake.file[i];
	return NULL;
}

/* By name or by inode. */
static struct fake_file *fake_at(const char *path)
{
	unsigned long inode;

	if (sscanf(path, "/.reserved/.inodes/%lu", &inode) != 1)
		return fake_find(path);
	for (int i = 0; i < FAKE_FILES; i++)
		if (fake.file[i].path[0] && fake.file[i].inode == inode)
			return &fake.file[i];
	return NULL;
}

static struct fake_file *fake_add(const char *path, bool dir)
{
	for (int i = 0; i < FAKE_FILES; i++) {
		struct fake_file *f = &fake.file[i];

		if (f->path[0])
			continue;
		memset(f, 0, sizeof(*f));
		snprintf(f->path, sizeof(f->path), "%s", path);
		f->dir = dir;
		f->inode = ++fake.next_inode;
		f->mtime = ++fake.now;
		return f;
	}
	abort();
}

static void fake_parents(const char *path)
{
	char at[256];

	snprintf(at, sizeof(at), "%s", path);
	for (char *s = at + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		if (!fake_find(at))
			fake_add(at, true);
		*s = '/';
	}
}

static void fake_put(const char *path, const void *data, size_t n)
{
	struct fake_file *f;

	fake_parents(path);
	f = fake_find(path);
	if (f)
		f->path[0] = '\0';
	f = fake_add(path, false);
	memcpy(f->data, data, n);
	f->len = n;
}

/* The value of a query parameter, decoded. */
static bool fake_param(const char *query, const char *name, char *out, size_t n)
{
	size_t len = strlen(name), at = 0;

	for (const char *s = query; s && *s; s = strchr(s, '&'), s = s ? s + 1 : NULL) {
		if (strncmp(s, name, len) || s[len] != '=')
			continue;
		for (s += len + 1; *s && *s != '&' && at + 1 < n; s++) {
			unsigned c = (unsigned char)*s;

			if (c == '%' && isxdigit((unsigned char)s[1])) {
				sscanf(s + 1, "%2x", &c);
				s += 2;
			}
			out[at++] = (char)c;
		}
		out[at] = '\0';
		return true;
	}
	out[0] = '\0';
	return false;
}

static bool fake_answer(struct hconn *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static bool fake_answer(struct hconn *c, int status, const char *fmt, ...)
{
	static _Thread_local char body[16384];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(body, sizeof(body), fmt, ap);
	va_end(ap);
	return hprintf(c, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n", status, n) &&
	       hsend(c, body, (size_t)n);
}

static bool fake_refuse(struct hconn *c, int status, const char *class, const char *text)
{
	return fake_answer(c, status,
			   "{\"RemoteException\":{\"exception\":\"%s\",\"javaClassName\":"
			   "\"org.apache.hadoop.%s\",\"message\":\"%s\"}}",
			   class, class, text);
}

static bool fake_absent(struct hconn *c)
{
	return fake_refuse(c, 404, "FileNotFoundException", "it does not exist");
}

static int fake_status_text(const struct fake_file *f, const char *name, char *out, size_t n)
{
	return snprintf(out, n,
			"{\"pathSuffix\":\"%s\",\"type\":\"%s\",\"length\":%zu,\"fileId\":%lu,"
			"\"modificationTime\":%lu%s}",
			name, f->dir ? "DIRECTORY" : "FILE", f->len, f->inode, f->mtime,
			fake.coded ? ",\"ecBit\":true" : "");
}

static int fake_by_path(const void *a, const void *b)
{
	return strcmp((*(struct fake_file *const *)a)->path, (*(struct fake_file *const *)b)->path);
}

static bool fake_list(struct hconn *c, const char *path, const char *query)
{
	struct fake_file *all[FAKE_FILES];
	char after[256], body[12288] = "";
	size_t n = 0, at = 0, sent = 0, len = strlen(path);

	fake_param(query, "startAfter", after, sizeof(after));
	for (int i = 0; i < FAKE_FILES; i++) {
		const char *p = fake.file[i].path;

		if (*p && !strncmp(p, path, len) && p[len] == '/' && !strchr(p + len + 1, '/') &&
		    strcmp(p + len + 1, after) > 0)
			all[n++] = &fake.file[i];
	}
	qsort(all, n, sizeof(all[0]), fake_by_path);
	for (; sent < n && sent < fake.page; sent++) {
		at += (size_t)snprintf(body + at, sizeof(body) - at, "%s", sent ? "," : "");
		at += (size_t)fake_status_text(all[sent], all[sent]->path + len + 1, body + at,
					       sizeof(body) - at);
	}
	return fake_answer(c, 200,
			   "{\"DirectoryListing\":{\"partialListing\":{\"FileStatuses\":"
			   "{\"FileStatus\":[%s]}},\"remainingEntries\":%zu}}",
			   body, n - sent);
}

static bool fake_rename(struct hconn *c, const char *path, const char *query)
{
	struct fake_file *from = fake_find(path), *to;
	char target[256], options[32], parent[256];

	fake_param(query, "destination", target, sizeof(target));
	fake_param(query, "renameoptions", options, sizeof(options));
	to = fake_find(target);
	snprintf(parent, sizeof(parent), "%s", target);
	*strrchr(parent, '/') = '\0';
	if (!from || (*parent && !fake_find(parent)))
		return fake_absent(c);
	if (to && to->dir != from->dir)
		return fake_refuse(c, 403, "IOException", "must both be directories");
	if (to && strcmp(options, "OVERWRITE") != 0)
		return fake_refuse(c, 403, "FileAlreadyExistsException", "it is there");
	if (to)
		to->path[0] = '\0';
	snprintf(from->path, sizeof(from->path), "%s", target);
	return fake_answer(c, 200, "%s", "");
}

static bool fake_delete(struct hconn *c, const char *path)
{
	bool there = fake_find(path) != NULL;
	size_t len = strlen(path);

	for (int i = 0; i < FAKE_FILES; i++) {
		char *p = fake.file[i].path;

		if (!strncmp(p, path, len) && (p[len] == '/' || !p[len]))
			*p = '\0';
	}
	return fake_answer(c, 200, "{\"boolean\":%s}", there ? "true" : "false");
}

static bool fake_concat(struct hconn *c, const char *path, const char *query)
{
	struct fake_file *to = fake_find(path);
	char sources[4096], *save = NULL;

	fake_param(query, "sources", sources, sizeof(sources));
	for (char *s = strtok_r(sources, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		struct fake_file *f = fake_find(s);

		if (!to || !f)
			return fake_absent(c);
		memcpy(to->data + to->len, f->data, f->len);
		to->len += f->len;
		f->path[0] = '\0';
	}
	return fake_answer(c, 200, "%s", "");
}

static int fake_sum_of(const struct fake_file *f, unsigned block, char got[SLU_ID_MAX])
{
	char like[64];
	struct slu_hadoopsum *h;

	snprintf(like, sizeof(like), SLU_HADOOP_SUM "512:%u:", block);
	int r = slu_hadoopsum_new(like, &h);

	if (r)
		return r;
	r = slu_hadoopsum_add(h, f->data, f->len);
	if (!r && fake.coded)
		r = slu_hadoopsum_add(h, "", 1);
	if (!r)
		r = slu_hadoopsum_end(h, got);
	slu_hadoopsum_free(h);
	return r;
}

/* Blocks have 4 KiB, chunks 512 bytes.  Memory that is made to fail may be what this takes: then once more, or none. */
static bool fake_sum(struct hconn *c, const struct fake_file *f)
{
	const unsigned block = f->len > 4096 ? 4096 : 0;
	char got[SLU_ID_MAX];

	if (fake_sum_of(f, block, got) && fake_sum_of(f, block, got))
		return fake_refuse(c, 400, "UnsupportedOperationException", "no memory");
	return fake_answer(c, 200,
			   "{\"FileChecksum\":{\"algorithm\":\"MD5-of-%uMD5-of-512CRC32C\","
			   "\"bytes\":\"00000200%016x%s00000000\",\"length\":28}}",
			   block / 512, block / 512, strrchr(got, ':') + 1);
}

static bool fake_create(struct hconn *c, const char *path, enum fake_fault fault)
{
	static _Thread_local char body[FAKE_DATA];

	if (c->body_len > sizeof(body) || !hbody(c, body))
		return false;
	if (fault == FAKE_FLIPPED)
		body[c->body_len / 2] ^= 1;
	fake_put(path, body, fault == FAKE_SHORT ? c->body_len / 2 : c->body_len);
	return hprintf(c,
		       "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") &&
	       false;
}

static bool fake_open(struct hconn *c, const struct fake_file *f, const char *query, bool half)
{
	char text[32];
	size_t off, len;

	fake_param(query, "offset", text, sizeof(text));
	off = strtoull(text, NULL, 10);
	fake_param(query, "length", text, sizeof(text));
	len = strtoull(text, NULL, 10);
	if (f->dir)
		return fake_refuse(c, 404, "FileNotFoundException", "Path is not a file: x");
	if (off > f->len || (off == f->len && f->len))
		return fake_refuse(c, 403, "IOException", "out of the range");
	if (len > f->len - off)
		len = f->len - off;
	return hprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		       len) &&
	       hsend(c, f->data + off, half ? len / 2 : len) && false;
}

/* The NameNode's answer to an operation on data. */
static bool fake_locate(struct hconn *c, const char *path, const char *query, enum fake_fault fault)
{
	char url[2048];
	size_t n = (size_t)snprintf(url, sizeof(url), "%s://127.0.0.1:%u/data",
				    fault == FAKE_ELSEWHERE ? "https" : "http", fake.srv.port);

	for (; *path; path++)
		n += (size_t)snprintf(url + n, sizeof(url) - n,
				      strchr(" %", *path) ? "%%%02X" : "%c", *path);
	snprintf(url + n, sizeof(url) - n, "?%.*s", (int)strcspn(query, "&"), query);
	if (fault == FAKE_REDIRECT)
		return hprintf(c, "HTTP/1.1 307 X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
			       url);
	/* closed, so that the data goes over a connection of its own, as to a real DataNode */
	return hprintf(c,
		       "HTTP/1.1 200 X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n"
		       "{\"Location\":\"%s\"}",
		       strlen(url) + 15, url) &&
	       false;
}

static enum fake_fault fake_fault_for(const char *op)
{
	if (fake.fault == FAKE_OK || strcmp(op, fake.fault_op) != 0 || fake.fault_nth-- != 0)
		return FAKE_OK;
	enum fake_fault f = fake.fault;

	fake.fault = fake.then;
	fake.then = FAKE_OK;
	fake.fault_nth = 0;
	snprintf(fake.fault_op, sizeof(fake.fault_op), "%s", fake.then_op);
	return f;
}

static bool fake_do(struct hconn *c, const char *op, const char *path, const char *query,
		    enum fake_fault fault)
{
	struct fake_file *f = fake_at(path);
	char text[1024];

	if (strcmp(op, "CREATE") == 0)
		return fake_locate(c, path, query, fault);
	if (strcmp(op, "DELETE") == 0)
		return fake_delete(c, path);
	if (strcmp(op, "RENAME") == 0)
		return fake_rename(c, path, query);
	if (strcmp(op, "CONCAT") == 0)
		return fake_concat(c, path, query);
	if (strcmp(op, "MKDIRS") == 0) {
		if (f && !f->dir)
			return fake_refuse(c, 403, "FileAlreadyExistsException", "a file is there");
		snprintf(text, sizeof(text), "%s/", path);
		fake_parents(text);
		return fake_answer(c, 200, "{\"boolean\":true}");
	}
	if (!f)
		return fake_absent(c);
	if (strcmp(op, "OPEN") == 0 || strcmp(op, "GETFILECHECKSUM") == 0)
		return fake_locate(c, path, query, fault);
	if (strcmp(op, "LISTSTATUS_BATCH") == 0)
		return fake_list(c, f->path, query);
	fake_status_text(f, "", text, sizeof(text));
	return fake_answer(c, 200, "{\"FileStatus\":%s}", text);
}

static bool fake_data(struct hconn *c, const char *op, const char *path, const char *query,
		      enum fake_fault fault)
{
	struct fake_file *f = fake_at(path);

	if (strcmp(op, "data-CREATE") == 0)
		return fake_create(c, path, fault);
	if (f && strcmp(op, "data-GETFILECHECKSUM") == 0)
		return fake_sum(c, f);
	return f ? fake_open(c, f, query, fault == FAKE_SHORT) : fake_absent(c);
}

static bool fake_serve(struct hconn *c)
{
	char path[1024], *query = strchr(c->path, '?'), op[32], name[24];
	bool data = strncmp(c->path, "/data", 5) == 0, keep;
	enum fake_fault fault;

	snprintf(path, sizeof(path), "p=%.*s", (int)(query - c->path), c->path);
	fake_param(path, "p", path, sizeof(path));
	memmove(path, path + (data ? 5 : 11), strlen(path + (data ? 5 : 11)) + 1);
	fake_param(++query, "op", name, sizeof(name));
	snprintf(op, sizeof(op), "%s%s", data ? "data-" : "", name);
	pthread_mutex_lock(&fake.lock);
	size_t at = strlen(fake.log);

	snprintf(fake.log + at, sizeof(fake.log) - at, "%s %s ?%s\n", op, path, query);
	fault = fake_fault_for(op);
	if (fault == FAKE_HANG) {
		pthread_mutex_unlock(&fake.lock);
		while (hpause(c, 10000))
			;
		return false;
	}
	if (fault == FAKE_LOST_BEFORE)
		keep = false;
	else if (fault == FAKE_STANDBY)
		keep = fake_refuse(c, 403, "StandbyException", "READ is not supported");
	else if (fault == FAKE_UNKNOWN)
		keep = fake_refuse(c, 400, "UnsupportedOperationException", "it is unknown");
	else if (fault == FAKE_NO_OTHER)
		keep = fake_refuse(c, 403, "IOException", "No active nodes contain this block");
	else if (fault == FAKE_LOST_AFTER) {
		int fd = c->fd;

		c->fd = open("/dev/null", O_WRONLY | O_CLOEXEC); /* send() fails there */
		(void)(data ? fake_data(c, op, path, query, fault)
			    : fake_do(c, op, path, query, fault));
		close(c->fd);
		c->fd = fd;
		keep = false;
	} else {
		keep = data ? fake_data(c, op, path, query, fault)
			    : fake_do(c, op, path, query, fault);
	}
	pthread_mutex_unlock(&fake.lock);
	return keep;
}

static void fake_start(void)
{
	memset(fake.file, 0, sizeof(fake.file));
	fake.log[0] = '\0';
	fake.fault = FAKE_OK;
	fake.page = 1000;
	fake.coded = false;
	fake_put("/r/.keep", "", 0);
	httpd_start(&fake.srv, fake_serve);
}

static inline void fake_fails(const char *op, int nth, enum fake_fault fault)
{
	pthread_mutex_lock(&fake.lock);
	snprintf(fake.fault_op, sizeof(fake.fault_op), "%s", op);
	fake.fault_nth = nth;
	fake.fault = fault;
	pthread_mutex_unlock(&fake.lock);
}

static inline bool fake_has(const char *path)
{
	pthread_mutex_lock(&fake.lock);
	bool there = fake_find(path) != NULL;

	pthread_mutex_unlock(&fake.lock);
	return there;
}

/* Is there anything whose path holds this text? */
static inline bool fake_any(const char *text)
{
	bool any = false;

	pthread_mutex_lock(&fake.lock);
	for (int i = 0; i < FAKE_FILES; i++)
		any |= fake.file[i].path[0] && strstr(fake.file[i].path, text);
	pthread_mutex_unlock(&fake.lock);
	return any;
}

/* Requests logged that begin so, since the log was emptied. */
static inline int fake_count(const char *text)
{
	int n = 0;

	pthread_mutex_lock(&fake.lock);
	for (const char *s = fake.log; (s = strstr(s, text)); s++)
		n += s == fake.log || s[-1] == '\n';
	pthread_mutex_unlock(&fake.lock);
	return n;
}

static inline void fake_forget(void)
{
	pthread_mutex_lock(&fake.lock);
	fake.log[0] = '\0';
	pthread_mutex_unlock(&fake.lock);
}

#endif
