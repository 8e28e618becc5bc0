/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest in memory: one array of entries and the strings in a few large chunks, so that a
 * million entries cost little more than their text.  Building, checking and finding are here; the
 * text form is in manifest_text.c.
 */
#include "fs/manifest.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/manifest_parts.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define CHUNK (1u << 20)

int slu_manifest_new(struct slu_manifest **ret)
{
	struct slu_manifest *m = slu_new0(struct slu_manifest);

	if (!m)
		return -ENOMEM;
	*ret = m;
	return 0;
}

void slu_manifest_free(struct slu_manifest *m)
{
	if (!m)
		return;
	while (m->chunks) {
		struct slu_manifest_chunk *c = m->chunks;

		m->chunks = c->next;
		free(c);
	}
	free(m->text);
	free(m->sources);
	free(m->files);
	free(m);
}

char *slu_manifest_room(struct slu_manifest *m, size_t n)
{
	struct slu_manifest_chunk *c = m->chunks;

	if (!c || c->size - c->used < n) {
		size_t size = n > CHUNK ? n : CHUNK;

		c = slu_malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		c->size = size;
		c->used = 0;
		c->next = m->chunks;
		m->chunks = c;
	}
	c->used += n;
	return c->text + c->used - n;
}

static const char *keep(struct slu_manifest *m, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p;

	if (n == 1)
		return "";
	p = slu_manifest_room(m, n);
	return p ? memcpy(p, s, n) : NULL;
}

int slu_manifest_link_source(struct slu_manifest *m, const char *prefix, const char *uri)
{
	struct slu_msource s = {prefix, uri};

	if (*prefix && !slu_path_ok(prefix))
		return -EINVAL;
	if (!*uri)
		return -EINVAL;
	if (!slu_vec_room((void **)&m->sources, &m->sources_cap, m->sources_n, sizeof(s)))
		return -ENOMEM;
	m->sources[m->sources_n++] = s;
	return 0;
}

int slu_manifest_add_source(struct slu_manifest *m, const char *prefix, const char *uri)
{
	const char *p, *u;

	assert(!m->finished);
	p = keep(m, prefix);
	u = keep(m, uri);
	return p && u ? slu_manifest_link_source(m, p, u) : -ENOMEM;
}

bool slu_manifest_version_ok(const char *version)
{
	const char *v = slu_after(version, "versionid=");
	size_t n;

	if (!v)
		v = slu_after(version, "snapshot=");
	n = v ? strspn(v, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:.-_+")
	      : 0;
	return n && !v[n] && strlen(version) < SLU_STATE_MAX;
}

int slu_manifest_add_file(struct slu_manifest *m, const char *path, const struct slu_file *from,
			  const char *version)
{
	struct slu_file f = *from;
	uint64_t sum;

	if (!version)
		version = from->version;
	assert(!m->finished);
	if (!*path || !slu_path_ok(path) || (*version && !slu_manifest_version_ok(version)))
		return -EINVAL;
	if (__builtin_add_overflow(m->bytes, f.size, &sum))
		return -EOVERFLOW;
	f.path = keep(m, path);
	f.id = keep(m, from->id);
	f.sum = keep(m, from->sum);
	f.version = keep(m, version);
	if (!f.path || !f.id || !f.sum || !f.version)
		return -ENOMEM;
	if (!slu_vec_room((void **)&m->files, &m->files_cap, m->files_n, sizeof(f)))
		return -ENOMEM;
	m->files[m->files_n++] = f;
	m->bytes = sum;
	m->pinned |= *version != '\0';
	return 0;
}

int slu_manifest_add(struct slu_manifest *m, const char *path, const struct slu_attr *a)
{
	struct slu_file f = {.id = a->id,
			     .sum = a->sum,
			     .version = "",
			     .size = a->size,
			     .mtime_ns = a->mtime_ns};

	return a->kind == SLU_KIND_FILE ? slu_manifest_add_file(m, path, &f, NULL) : -EINVAL;
}

int slu_manifest_choose(const struct slu_manifest *m,
			bool (*takes)(void *user, const struct slu_file *f), void *user,
			struct slu_manifest **ret, struct slu_err *e)
{
	SLU_AUTO(slu_manifest_freep) struct slu_manifest *to = NULL;

	if (slu_manifest_new(&to) < 0)
		return slu_fail_oom(e);
	for (size_t i = 0; i < m->sources_n; i++)
		if (slu_manifest_add_source(to, m->sources[i].prefix, m->sources[i].uri) < 0)
			return slu_fail_oom(e);
	for (size_t i = 0; i < m->files_n; i++) {
		const struct slu_file *f = &m->files[i];

		if (takes(user, f) && slu_manifest_add_file(to, f->path, f, NULL) < 0)
			return slu_fail_oom(e);
	}
	int r = slu_manifest_finish(to, e);

	if (r == 0)
		*ret = slu_take(to);
	return r;
}

bool slu_manifest_pinned(const struct slu_manifest *m)
{
	return m->pinned;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct slu_file *)a)->path, ((const struct slu_file *)b)->path);
}

static void sort_files(struct slu_manifest *m)
{
	for (size_t i = 1; i < m->files_n; i++) {
		if (by_path(&m->files[i - 1], &m->files[i]) > 0) {
			qsort(m->files, m->files_n, sizeof(*m->files), by_path);
			return;
		}
	}
}

/* The source of a view path, SIZE_MAX when there is none. */
static size_t source_of(const struct slu_manifest *m, const char *path, const char **ret_path)
{
	for (size_t i = 0; i < m->sources_n; i++) {
		const char *rest = slu_after(path, m->sources[i].prefix);

		if (rest && m->sources[i].prefix[0])
			rest = *rest == '/' ? rest + 1 : NULL;
		if (rest && *rest) {
			*ret_path = rest;
			return i;
		}
	}
	return SIZE_MAX;
}

static bool is_within(const char *folder, const char *other)
{
	const char *rest = slu_after(folder, other);

	return rest && (!*rest || *rest == '/');
}

static int check_sources(const struct slu_manifest *m, struct slu_err *e)
{
	if (!m->sources_n)
		return slu_fail(e, EINVAL, "a manifest needs a source");
	for (size_t i = 0; i < m->sources_n; i++) {
		const char *prefix = m->sources[i].prefix;

		if (!*prefix && m->sources_n > 1)
			return slu_fail(e, EINVAL,
					"of several sources each needs a folder: '%s' has none",
					m->sources[i].uri);
		for (size_t k = 0; k < i; k++)
			if (is_within(prefix, m->sources[k].prefix) ||
			    is_within(m->sources[k].prefix, prefix))
				return slu_fail(
					e, EINVAL,
					"the sources '%s' and '%s' have the same folder '%s'",
					m->sources[k].uri, m->sources[i].uri, prefix);
	}
	return 0;
}

/*
 * Sorted and unique, no file that is also a folder, each within a source.  What begins with a path
 * stands together right after it, so a stack of the paths that the current one begins with finds a
 * file that is a folder too; only its top can be one, the others were asked before.
 */
static int check_files(const struct slu_manifest *m, size_t *ret_at, struct slu_err *e)
{
	SLU_AUTO(slu_freep) size_t *stack = NULL;
	size_t depth = 0, cap = 0;

	for (size_t i = 0; i < m->files_n; i++) {
		const char *path = m->files[i].path, *rest;
		int c = i ? strcmp(m->files[i - 1].path, path) : -1;

		*ret_at = i;
		if (c >= 0)
			return slu_fail(e, EINVAL,
					c ? "'%s' is out of order" : "'%s' is there twice", path);
		while (depth) {
			const char *above = m->files[stack[depth - 1]].path,
				   *after = slu_after(path, above);

			if (after && *after == '/')
				return slu_fail(
					e, EINVAL,
					"'%s' is a file and, because of '%s', a folder too: rename one of them",
					above, path);
			if (after)
				break;
			depth--;
		}
		if (source_of(m, path, &rest) == SIZE_MAX)
			return slu_fail(e, EINVAL, "'%s' belongs to no source", path);
		if (!slu_vec_room((void **)&stack, &cap, depth, sizeof(*stack)))
			return slu_fail_oom(e);
		stack[depth++] = i;
	}
	return 0;
}

int slu_manifest_check(struct slu_manifest *m, size_t *ret_at, struct slu_err *e)
{
	int r = check_sources(m, e);

	*ret_at = SIZE_MAX;
	if (r == 0)
		r = check_files(m, ret_at, e);
	if (r < 0)
		return r;
	if (m->files_n && m->files_n < m->files_cap) {
		struct slu_file *less = slu_realloc(m->files, m->files_n * sizeof(*less));

		if (less) { /* else it stays larger */
			m->files = less;
			m->files_cap = m->files_n;
		}
	}
	m->finished = true;
	return 0;
}

int slu_manifest_finish(struct slu_manifest *m, struct slu_err *e)
{
	size_t at;

	assert(!m->finished);
	sort_files(m);
	return slu_manifest_check(m, &at, e);
}

size_t slu_manifest_count(const struct slu_manifest *m)
{
	return m->files_n;
}

uint64_t slu_manifest_bytes(const struct slu_manifest *m)
{
	return m->bytes;
}

const struct slu_file *slu_manifest_at(const struct slu_manifest *m, size_t i)
{
	assert(i < m->files_n);
	return &m->files[i];
}

size_t slu_manifest_lower(const struct slu_manifest *m, const char *path)
{
	size_t lo = 0, hi = m->files_n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(m->files[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t slu_manifest_find(const struct slu_manifest *m, const char *path)
{
	size_t i = slu_manifest_lower(m, path);

	return i < m->files_n && slu_streq(m->files[i].path, path) ? i : SIZE_MAX;
}

size_t slu_manifest_sources(const struct slu_manifest *m)
{
	return m->sources_n;
}

const struct slu_msource *slu_manifest_source(const struct slu_manifest *m, size_t i)
{
	assert(i < m->sources_n);
	return &m->sources[i];
}

size_t slu_manifest_locate(const struct slu_manifest *m, size_t i, const char **ret_path)
{
	return source_of(m, slu_manifest_at(m, i)->path, ret_path);
}
