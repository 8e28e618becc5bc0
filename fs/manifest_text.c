/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest as text.  One manifest has one text: what is not written the way this file writes
 * it (another escape, a leading zero, another order) is not read either, because versions are
 * known by the digest of the text.
 */
#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/write.h"
#include "fs/manifest_parts.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "sluice-manifest 1\n"
#define MAGIC_PINNED "sluice-manifest 2\n"
#define HASH_CHUNK (64u << 10)

/* --- writing --- */

/* Where the text goes: a buffer, or by way of one a function. */
struct sink {
	struct slu_buf *b;
	int (*put)(void *user, const void *p, size_t n); /* NULL: it stays in the buffer */
	void *user;
};

static bool plain(unsigned char c)
{
	return c > ' ' && c != '%' && c != 0x7f;
}

/* How many characters from p on are plain: eight at a time, since most text is. */
static size_t plain_run(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101, tops = ones << 7;
	const char *q = p;

	for (uint64_t v; end - q >= 8; q += 8) {
		memcpy(&v, q, 8);
		uint64_t percent = v ^ ones * '%', del = v ^ ones * 0x7f;
		/* A top bit for each byte below 0x21 or zero; false ones only beside true ones. */
		uint64_t odd = (v - ones * 0x21) & ~v;

		odd |= ((percent - ones) & ~percent) | ((del - ones) & ~del);
		if (odd & tops)
			break;
	}
	while (q < end && plain((unsigned char)*q))
		q++;
	return (size_t)(q - p);
}

static void put_text(struct slu_buf *b, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	if (!*s || slu_streq(s, "-")) { /* "-" stands for nothing */
		slu_buf_str(b, *s ? "%2D" : "-");
		return;
	}
	while (*s) {
		size_t n = 0;

		while (plain((unsigned char)s[n]))
			n++;
		slu_buf_add(b, s, n);
		s += n;
		if (*s) {
			unsigned char c = (unsigned char)*s++;

			slu_buf_add(b, (char[3]){'%', hex[c >> 4], hex[c & 15]}, 3);
		}
	}
}

static void put_number(struct slu_buf *b, bool negative, uint64_t v)
{
	char text[21], *p = text + sizeof(text);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	if (negative)
		*--p = '-';
	slu_buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

static int flush(struct sink *s, size_t at_least)
{
	int r;

	if (!s->put || s->b->len < at_least)
		return 0;
	r = slu_buf_err(s->b);
	if (r == 0)
		r = s->put(s->user, s->b->p, s->b->len);
	slu_buf_clear(s->b);
	return r;
}

static void put_file(struct slu_buf *b, const struct slu_file *f, bool pinned)
{
	put_number(b, false, f->size);
	slu_buf_ch(b, ' ');
	put_number(b, f->mtime_ns < 0,
		   f->mtime_ns < 0 ? -(uint64_t)f->mtime_ns : (uint64_t)f->mtime_ns);
	slu_buf_ch(b, ' ');
	put_text(b, f->id);
	slu_buf_ch(b, ' ');
	put_text(b, f->sum);
	slu_buf_ch(b, ' ');
	if (pinned) {
		put_text(b, f->version);
		slu_buf_ch(b, ' ');
	}
	put_text(b, f->path);
	slu_buf_ch(b, '\n');
}

static int put_all(const struct slu_manifest *m, struct sink *s)
{
	struct slu_buf *b = s->b;
	int r = 0;

	slu_buf_str(b, m->pinned ? MAGIC_PINNED : MAGIC);
	for (size_t i = 0; i < m->sources_n; i++) {
		slu_buf_str(b, "source ");
		slu_buf_str(b, m->sources[i].prefix[0] ? "" : ".");
		if (m->sources[i].prefix[0])
			put_text(b, m->sources[i].prefix);
		slu_buf_ch(b, ' ');
		put_text(b, m->sources[i].uri);
		slu_buf_ch(b, '\n');
	}
	for (size_t i = 0; i < m->files_n && r == 0; i++) {
		put_file(b, &m->files[i], m->pinned);
		r = flush(s, HASH_CHUNK);
	}
	slu_buf_str(b, "end ");
	put_number(b, false, m->files_n);
	slu_buf_ch(b, ' ');
	put_number(b, false, m->bytes);
	slu_buf_ch(b, '\n');
	if (r == 0)
		r = flush(s, 0);
	return r == 0 ? slu_buf_err(b) : r;
}

int slu_manifest_write(const struct slu_manifest *m, struct slu_buf *out)
{
	struct sink s = {.b = out};

	return m->finished ? put_all(m, &s) : -EINVAL;
}

int slu_manifest_stream(const struct slu_manifest *m,
			int (*put)(void *user, const void *p, size_t n), void *user)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(16u << 20);
	struct sink s = {.b = &b, .put = put, .user = user};

	return m->finished ? put_all(m, &s) : -EINVAL;
}

static int to_fd(void *user, const void *p, size_t n)
{
	return slu_write_all(*(const int *)user, p, n);
}

int slu_manifest_save(const struct slu_manifest *m, int fd)
{
	return m->text ? slu_write_all(fd, m->text, m->text_n) : slu_manifest_stream(m, to_fd, &fd);
}

void slu_manifest_keep_text(struct slu_manifest *m, char *text, size_t n)
{
	free(m->text);
	m->text = text;
	m->text_n = n;
}

static int to_hash(void *user, const void *p, size_t n)
{
	return slu_hasher_add(user, p, n);
}

int slu_manifest_digest(const struct slu_manifest *m, char out[SLU_DIGEST_HEX])
{
	SLU_AUTO(slu_hasher_freep) struct slu_hasher *hash = NULL;
	uint8_t sum[SLU_DIGEST_MAX];
	int r = slu_hasher_new(SLU_SHA256, &hash);

	if (r == 0)
		r = slu_manifest_stream(m, to_hash, hash);
	if (r == 0)
		r = slu_hasher_end(hash, sum);
	if (r == 0)
		slu_hex(out, sum, slu_digest_len(SLU_SHA256));
	return r;
}

/* --- reading --- */

struct parser {
	const char *p, *end; /* of the rest of the text */
	const char *what;
	size_t line;       /* 1-based, of the line last taken */
	size_t sources_at; /* line of the first source */
	int fields;        /* of a file's line */
	struct slu_manifest *m;
	struct slu_err *e;
};

/* A field or a line, not NUL-terminated. */
struct span {
	const char *p, *end;
};

static int bad(const struct parser *ps, const char *why)
{
	return slu_fail(ps->e, EBADMSG, "'%s:%zu': %s", ps->what, ps->line, why);
}

static bool next_line(struct parser *ps, struct span *ret)
{
	const char *nl = ps->p < ps->end ? memchr(ps->p, '\n', (size_t)(ps->end - ps->p)) : NULL;

	ps->line++;
	if (!nl)
		return false;
	*ret = (struct span){ps->p, nl};
	ps->p = nl + 1;
	return true;
}

static bool is(const struct span *s, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(s->end - s->p) >= n && memcmp(s->p, text, n) == 0;
}

/* Cuts the next field off the line; false when it is empty. */
static bool next_field(struct span *line, struct span *ret)
{
	const char *sp = memchr(line->p, ' ', (size_t)(line->end - line->p));

	*ret = (struct span){line->p, sp ? sp : line->end};
	line->p = sp ? sp + 1 : line->end;
	return ret->p < ret->end;
}

static bool get_u64(const struct span *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s->p == s->end || (*s->p == '0' && s->end - s->p > 1))
		return false;
	for (const char *p = s->p; p < s->end; p++) {
		unsigned d = (unsigned char)*p - '0';

		if (d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*ret = v;
	return true;
}

static bool get_i64(const struct span *s, int64_t *ret)
{
	bool negative = s->p < s->end && *s->p == '-';
	struct span digits = {s->p + negative, s->end};
	uint64_t v;

	if (!get_u64(&digits, &v) || v > (uint64_t)INT64_MAX + negative || (negative && !v))
		return false;
	*ret = negative ? (int64_t)-v : (int64_t)v;
	return true;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One escape at p; the character, or 0: not what put_text writes.  alone: it is the whole field. */
static unsigned char get_escape(const char *p, const char *end, bool alone)
{
	int hi = end - p > 2 ? nibble(p[1]) : -1;
	int lo = hi >= 0 ? nibble(p[2]) : -1;
	unsigned char c = lo < 0 ? 0 : (unsigned char)(hi << 4 | lo);

	return plain(c) && !(c == '-' && alone) ? 0 : c;
}

/* Decodes into out (room for the field and a NUL).  False: not what put_text writes. */
static bool get_text(const struct span *s, char *out, size_t *ret_n)
{
	char *q = out;

	if (s->end - s->p == 1 && *s->p == '-')
		goto done;
	for (const char *p = s->p; p < s->end;) {
		size_t n = plain_run(p, s->end);

		memcpy(q, p, n);
		p += n;
		q += n;
		if (p == s->end)
			break;
		*q = *p == '%' ? (char)get_escape(p, s->end, s->end - s->p == 3) : '\0';
		if (!*q++)
			return false;
		p += 3;
	}
done:
	*q = '\0';
	*ret_n = (size_t)(q - out);
	return q > out || s->end - s->p == 1;
}

/* The decoded field, kept in the manifest; NULL: malformed (the parser's chunk has room for all). */
static const char *take_text(struct parser *ps, const struct span *s)
{
	struct slu_manifest_chunk *c = ps->m->chunks;
	char *out = c->text + c->used;
	size_t n;

	if (!get_text(s, out, &n))
		return NULL;
	if (!n)
		return "";
	c->used += n + 1;
	return out;
}

static int read_source(struct parser *ps, struct span line)
{
	const char *prefix, *uri;
	struct span a, b;
	int r;

	line.p += strlen("source ");
	if (!next_field(&line, &a) || !next_field(&line, &b) || line.p != line.end)
		return bad(ps, "not 'source <prefix> <uri>'");
	prefix = is(&a, ".") && a.end - a.p == 1 ? "" : take_text(ps, &a);
	uri = take_text(ps, &b);
	if (!prefix || !uri || (a.p[0] == '-' && !*prefix) || !*uri)
		return bad(ps, "malformed source");
	r = slu_manifest_link_source(ps->m, prefix, uri);
	if (r == -ENOMEM)
		return slu_fail_oom(ps->e);
	return r < 0 ? bad(ps, "malformed source") : 0;
}

#define FIELDS 5
#define FIELDS_PINNED 6

/* n fields and nothing else. */
static bool cut_file(struct span line, struct span f[FIELDS_PINNED], int n)
{
	for (int i = 0; i < n; i++)
		if (!next_field(&line, &f[i]))
			return false;
	return line.p == line.end && f[n - 1].end == line.end;
}

/* The version and the path, where those stand in the line. */
static int read_tail(struct parser *ps, const struct span *field, struct slu_file *f)
{
	bool pinned = ps->fields == FIELDS_PINNED;

	f->version = pinned ? take_text(ps, &field[4]) : "";
	f->path = f->version ? take_text(ps, &field[ps->fields - 1]) : NULL;
	if (!f->path)
		return bad(ps, "malformed escape");
	if (*f->version && !slu_manifest_version_ok(f->version))
		return bad(ps, "malformed version");
	ps->m->pinned |= *f->version != '\0';
	return 0;
}

static int read_file(struct parser *ps, struct span line)
{
	struct slu_manifest *m = ps->m;
	struct span field[FIELDS_PINNED];
	struct slu_file f;
	int r;

	if (!cut_file(line, field, ps->fields))
		return bad(ps, ps->fields == FIELDS
				       ? "not '<size> <mtime> <identity> <checksum> <path>'"
				       : "not '<size> <mtime> <identity> <checksum> <version> "
					 "<path>'");
	if (!get_u64(&field[0], &f.size) || f.size > INT64_MAX) /* no file system has more */
		return bad(ps, "malformed size");
	if (!get_i64(&field[1], &f.mtime_ns))
		return bad(ps, "malformed time");
	f.id = take_text(ps, &field[2]);
	f.sum = f.id ? take_text(ps, &field[3]) : NULL;
	if (!f.sum)
		return bad(ps, "malformed escape");
	r = read_tail(ps, field, &f);
	if (r < 0)
		return r;
	if (strlen(f.id) >= SLU_ID_MAX || strlen(f.sum) >= SLU_ID_MAX)
		return bad(ps, "identity or checksum too long");
	if (!*f.path || !slu_path_ok(f.path))
		return bad(ps, "malformed path");
	if (__builtin_add_overflow(m->bytes, f.size, &m->bytes))
		return bad(ps, "the sizes are too large");
	m->files[m->files_n++] = f; /* room for all was made */
	return 0;
}

static int read_end(struct parser *ps, struct span line)
{
	uint64_t files, bytes;
	struct span a, b;

	line.p += strlen("end ");
	if (!next_field(&line, &a) || !next_field(&line, &b) || line.p != line.end ||
	    !get_u64(&a, &files) || !get_u64(&b, &bytes))
		return bad(ps, "not 'end <files> <bytes>'");
	if (ps->fields == FIELDS_PINNED && !ps->m->pinned)
		return bad(ps, "no file above has a version");
	if (files != ps->m->files_n || bytes != ps->m->bytes)
		return bad(ps, "the numbers of files and bytes are not those of the lines above");
	if (ps->p != ps->end)
		return bad(ps, "text after the end");
	return 0;
}

/* Room for everything at once: the decoded text is no longer than the text. */
static int make_room(struct parser *ps)
{
	size_t lines = 0;

	for (const char *p = ps->p; p < ps->end; p++, lines++) {
		p = memchr(p, '\n', (size_t)(ps->end - p));
		if (!p)
			break;
	}
	ps->m->files = slu_reallocarray(NULL, lines + 1, sizeof(*ps->m->files));
	ps->m->files_cap = ps->m->files ? lines + 1 : 0;
	if (!ps->m->files || !slu_manifest_room(ps->m, (size_t)(ps->end - ps->p) + 1))
		return slu_fail_oom(ps->e);
	ps->m->chunks->used = 0;
	slu_mem_large(ps->m->files, ps->m->files_cap * sizeof(*ps->m->files));
	slu_mem_large(ps->m->chunks, ps->m->chunks->size);
	return 0;
}

static int read_lines(struct parser *ps)
{
	struct span line;
	int r;

	if (!next_line(ps, &line) || !is(&line, "sluice-manifest "))
		return bad(ps, "this is no manifest");
	if ((size_t)(line.end - line.p) != strlen(MAGIC) - 1 ||
	    (!is(&line, "sluice-manifest 1") && !is(&line, "sluice-manifest 2")))
		return bad(ps, "this manifest is of another version of sluice: update sluice");
	ps->fields = is(&line, "sluice-manifest 2") ? FIELDS_PINNED : FIELDS;
	for (bool sources = true;;) {
		if (!next_line(ps, &line))
			return bad(ps, "the text is cut");
		if (is(&line, "end "))
			return read_end(ps, line);
		sources = sources && is(&line, "source ");
		r = sources ? read_source(ps, line) : read_file(ps, line);
		if (r < 0)
			return r;
	}
}

int slu_manifest_parse(const char *text, size_t n, const char *what, struct slu_manifest **ret,
		       struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *m = NULL;
	struct parser ps = {.p = text, .end = text + n, .what = what, .e = e};
	struct slu_err why = {0};
	size_t at;
	int r;

	if (slu_manifest_new(&m) < 0)
		return slu_fail_oom(e);
	ps.m = m;
	r = make_room(&ps);
	if (r == 0)
		r = read_lines(&ps);
	if (r < 0)
		return r;
	r = slu_manifest_check(m, &at, &why);
	if (r == -ENOMEM)
		return slu_fail_oom(e);
	if (r < 0 && at == SIZE_MAX)
		return slu_fail(e, EBADMSG, "'%s:2': %s", what, why.msg);
	if (r < 0)
		return slu_fail(e, EBADMSG, "'%s:%zu': %s", what, 2 + m->sources_n + at, why.msg);
	*ret = slu_take(m);
	return 0;
}
