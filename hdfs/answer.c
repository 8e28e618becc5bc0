/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of WebHDFS.  They come from a server, so each field is checked before it is believed:
 * a name that could climb, a negative length or a missing id is a broken answer, not data.
 */
#include "hdfs/answer.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define URL_MAX (64u << 10)

void slu_hdfs_id_text(const struct slu_hdfs_id *id, char out[SLU_ID_MAX])
{
	snprintf(out, SLU_ID_MAX, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, id->inode,
		 (uint64_t)id->mtime, id->size);
}

static bool hex(const char **s, char end, uint64_t *ret)
{
	uint64_t v = 0;
	int n = 0;

	for (;; n++, (*s)++) {
		int d = **s >= '0' && **s <= '9'   ? **s - '0'
			: **s >= 'a' && **s <= 'f' ? **s - 'a' + 10
						   : -1;

		if (d < 0 || n == 16)
			break;
		v = v << 4 | (unsigned)d;
	}
	if (n == 0 || **s != end)
		return false;
	*s += end != '\0';
	*ret = v;
	return true;
}

bool slu_hdfs_id_parse(const char *s, struct slu_hdfs_id *ret)
{
	struct slu_hdfs_id id;
	uint64_t mtime;

	if (!hex(&s, '-', &id.inode) || !hex(&s, '-', &mtime) || !hex(&s, '\0', &id.size) ||
	    mtime > INT64_MAX || id.size > INT64_MAX || id.inode > INT64_MAX)
		return false;
	id.mtime = (int64_t)mtime;
	*ret = id;
	return true;
}

bool slu_hdfs_frozen(const char *root, const char *path)
{
	return strstr(root, "/.snapshot/") || slu_ends(root, "/.snapshot") ||
	       slu_starts(path, ".snapshot/") || strstr(path, "/.snapshot/");
}

static int broken(struct slu_err *e, const char *what)
{
	return slu_fail(e, EPROTO, "the server's answer is not one of WebHDFS: %s", what);
}

static int parse(const char *p, size_t n, struct json_t **ret, struct slu_err *e)
{
	int r = n ? slu_json_parse(p, n, "answer", ret, e) : broken(e, "it is empty");

	if (r == -EBADMSG) {
		struct slu_err why = e ? *e : (struct slu_err){0};

		return broken(e, e ? why.msg : "");
	}
	return r;
}

/* One FileStatus.  *ret_kind 0: a symbolic link. */
static int read_status(const struct json_t *o, struct slu_attr *ret, struct slu_hdfs_id *ret_id,
		       struct slu_err *e)
{
	const char *type = slu_json_str(o, "type");
	int64_t size = slu_json_int(o, "length", -1);
	int64_t mtime = slu_json_int(o, "modificationTime", -1);
	int64_t inode = slu_json_int(o, "fileId", 0);
	int64_t block = slu_json_int(o, "blockSize", 0);
	struct slu_attr a = {.kind = SLU_KIND_FILE};

	if (!type)
		return broken(e, "a FileStatus has no type");
	if (slu_streq(type, "DIRECTORY"))
		a.kind = SLU_KIND_DIR;
	else if (slu_streq(type, "SYMLINK"))
		a.kind = 0;
	else if (!slu_streq(type, "FILE"))
		return broken(e, "a FileStatus has an unknown type");
	if (size < 0 || mtime < 0 || mtime > INT64_MAX / 1000000 || inode < 0)
		return broken(e, "a FileStatus has no length, time or id");
	*ret_id = (struct slu_hdfs_id){(uint64_t)inode, mtime, (uint64_t)size};
	a.mtime_ns = mtime * 1000000;
	if (a.kind == SLU_KIND_DIR) {
		if (inode)
			snprintf(a.id, sizeof(a.id), "%" PRIx64, (uint64_t)inode);
	} else {
		a.size = (uint64_t)size;
		a.unsure = a.kind && block > 0 && slu_hdfs_unsure(a.size, (uint64_t)block);
		slu_hdfs_id_text(ret_id, a.id);
	}
	*ret = a;
	return 0;
}

int slu_hdfs_set_mode(struct json_t *o, unsigned v)
{
	static const char bits[] = "rwxrwxrwx";
	char mode[sizeof(bits)];

	for (size_t i = 0; i < 9; i++)
		mode[i] = v & (0400u >> i) ? bits[i] : '-';
	mode[9] = '\0';
	if (v & 01000)
		mode[8] = v & 1 ? 't' : 'T';
	return slu_json_set_str(o, "permissions", mode);
}

bool slu_hdfs_is_being_written(const char *p, size_t n)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;

	if (!n || slu_json_parse(p, n, "answer", &j, NULL) < 0)
		return false;
	return slu_json_bool(slu_json_get(j, "LocatedBlocks"), "isUnderConstruction", false);
}

const char *slu_hdfs_coded(const char *p, size_t n)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const struct json_t *s;

	if (!n || slu_json_parse(p, n, "answer", &j, NULL) < 0)
		return NULL;
	s = slu_json_get(j, "FileStatus");
	if (slu_json_bool(s, "encBit", false))
		return "encrypted";
	if (slu_json_bool(s, "ecBit", false) || *(slu_json_str(s, "ecPolicy") ?: ""))
		return "erasure-coded";
	return NULL;
}

/* Of "1750". */
static int set_mode(struct json_t *o, const char *octal)
{
	unsigned v = 0;

	if (!octal)
		return 0;
	for (; *octal >= '0' && *octal <= '7' && v < 01000; octal++)
		v = v * 8 + (unsigned)(*octal - '0');
	return *octal ? 0 : slu_hdfs_set_mode(o, v);
}

int slu_hdfs_detail(const char *p, size_t n, struct json_t **ret, bool *ret_acl, struct slu_err *e)
{
	static const char *const texts[] = {"owner", "group", "ecPolicy"};
	static const char *const counts[][2] = {
		{"replication", "replication"}, {"blockSize", "block_size"}, {"fileId", "inode"}};
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL, *o = slu_json_object();
	const struct json_t *s;
	int r = o ? parse(p, n, &j, e) : slu_fail_oom(e);

	if (r < 0)
		return r;
	s = slu_json_get(j, "FileStatus");
	for (size_t i = 0; i < 3 && r == 0; i++) {
		const char *v = slu_json_str(s, texts[i]);
		int64_t count = slu_json_int(s, counts[i][0], 0);

		if (v)
			r = slu_json_set_str(o, texts[i], v);
		if (r == 0 && count > 0)
			r = slu_json_set_int(o, counts[i][1], count);
	}
	if (r == 0)
		r = set_mode(o, slu_json_str(s, "permission"));
	if (r < 0)
		return slu_fail_oom(e);
	*ret_acl = slu_json_bool(s, "aclBit", false);
	*ret = slu_take(o);
	return 0;
}

int slu_hdfs_acl(const char *p, size_t n, struct json_t *detail, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(URL_MAX);
	const struct json_t *all;
	int r = parse(p, n, &j, e);

	if (r < 0)
		return r;
	all = slu_json_get(slu_json_get(j, "AclStatus"), "entries");
	for (size_t i = 0; i < slu_json_count(all); i++) {
		const char *entry = slu_json_string(slu_json_at(all, i));

		if (!entry)
			return broken(e, "an entry of an AclStatus is no text");
		slu_buf_fmt(&b, "%s%s", i ? "," : "", entry);
	}
	if (slu_buf_err(&b) < 0 || slu_json_set_str(detail, "acl", b.p ? b.p : "") < 0)
		return slu_fail_oom(e);
	return 0;
}

int slu_hdfs_status(const char *p, size_t n, struct slu_attr *ret, struct slu_hdfs_id *ret_id,
		    struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = parse(p, n, &j, e);

	if (r == 0)
		r = read_status(slu_json_get(j, "FileStatus"), &a, &id, e);
	if (r < 0)
		return r;
	if (!a.kind)
		return slu_fail(e, EINVAL, "it is a symbolic link, which is not followed");
	*ret = a;
	*ret_id = id;
	return 0;
}

static bool good_name(const char *s)
{
	return *s && !strchr(s, '/') && slu_path_ok(s);
}

/* Adds one entry.  *ret_last: its name, for the next page. */
static int add_entry(const struct json_t *o, bool temps, size_t count, struct slu_list *l,
		     const char **ret_last, struct slu_err *e)
{
	const char *name = slu_json_str(o, "pathSuffix");
	struct slu_hdfs_id id;
	struct slu_attr a;
	int r = read_status(o, &a, &id, e);

	if (r < 0)
		return r;
	if (!name)
		return broken(e, "an entry has no name");
	if (!*name && count == 1)
		return slu_fail(e, ENOTDIR, "it is a file, not a folder");
	if (!good_name(name))
		return broken(e, "an entry has a name that no file can have");
	*ret_last = name;
	if (!a.kind) {
		slu_debug("hdfs", "'%s' left out: a symbolic link", name);
		return 0;
	}
	if (!temps && slu_starts(name, SLU_HDFS_TEMP))
		return 0;
	return slu_list_add(l, name, strlen(name), &a) < 0 ? slu_fail_oom(e) : 0;
}

int slu_hdfs_listing(const char *p, size_t n, bool temps, struct slu_list *l, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const struct json_t *d, *all;
	const char *last = NULL;
	int r = parse(p, n, &j, e);

	if (r < 0)
		return r;
	d = slu_json_get(j, "DirectoryListing");
	all = slu_json_get(slu_json_get(slu_json_get(d, "partialListing"), "FileStatuses"),
			   "FileStatus");
	int64_t left = slu_json_int(d, "remainingEntries", -1);

	if (!slu_json_is_array(all) || left < 0)
		return broken(e, "a listing has no entries or no count of the rest");

	size_t count = slu_json_count(all);

	for (size_t i = 0; i < count; i++) {
		r = add_entry(slu_json_at(all, i), temps, count, l, &last, e);
		if (r < 0)
			return r;
	}
	if (!left)
		return 0;
	if (!last)
		return broken(e, "a page of a listing is empty and not the last one");
	free(l->next);
	l->next = slu_strdup(last);
	return l->next ? 0 : slu_fail_oom(e);
}

int slu_hdfs_boolean(const char *p, size_t n, bool *ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	int r = parse(p, n, &j, e);

	if (r < 0)
		return r;
	const struct json_t *b = slu_json_get(j, "boolean");

	if (!slu_json_is_bool(b))
		return broken(e, "it does not say yes or no");
	*ret = slu_json_true(b);
	return 0;
}

int slu_hdfs_location(const char *p, size_t n, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	int r = parse(p, n, &j, e);

	if (r < 0)
		return r;
	const char *url = slu_json_str(j, "Location");

	if (!url)
		return broken(e, "no DataNode is named");
	*ret = slu_strdup(url);
	return *ret ? 0 : slu_fail_oom(e);
}

/* --- addresses of DataNodes --- */

bool slu_hdfs_is_open(const char *location)
{
	const char *s = strchr(location, '?');

	while (s && !slu_iafter(s + 1, "op="))
		s = strchr(s + 1, '&');
	return s;
}

char *slu_hdfs_ranged(const char *location, uint64_t off, size_t len)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(URL_MAX);
	size_t n = strcspn(location, "?#");
	const char *s = location[n] == '?' ? location + n + 1 : "";
	char mark = '?';

	if (!slu_hdfs_is_open(location))
		return slu_strdup(location);
	slu_buf_add(&b, location, n);
	while (*s && *s != '#') {
		size_t one = strcspn(s, "&#");

		if (one && !slu_iafter(s, "offset=") && !slu_iafter(s, "length=")) {
			slu_buf_ch(&b, mark);
			slu_buf_add(&b, s, one);
			mark = '&';
		}
		s += one;
		s += *s == '&';
	}
	slu_buf_fmt(&b, "%coffset=%" PRIu64 "&length=%zu", mark, off, len);
	return slu_buf_err(&b) ? NULL : slu_buf_take(&b);
}

int slu_hdfs_check_location(const char *url, bool tls, char **ret_host, struct slu_err *e)
{
	const char *host = slu_iafter(url, tls ? "https://" : "http://");
	size_t n = host ? strcspn(host, "/?#\\") : 0;

	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return broken(e, "the address of a DataNode has a blank in it");
	if (!n || memchr(host, '@', n))
		return broken(e, tls ? "a DataNode's address is not an https one"
				     : "a DataNode's address is not an http one");
	*ret_host = slu_strndup(host, n);
	return *ret_host ? 0 : slu_fail_oom(e);
}
