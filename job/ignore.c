/* SPDX-License-Identifier: Apache-2.0 */
/* Ignore files.  Each line becomes a glob over the whole relative path. */
#include "job/ignore.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "fs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { FILE_MAX_BYTES = 256 << 10 };

struct rule {
	char *glob;
	bool keep; /* the line began with '!' */
	bool dir;  /* it ended in '/': folders only */
};

struct slu_ignore {
	SLU_VEC(struct rule) rules;
};

void slu_ignore_free(struct slu_ignore *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->rules.n; i++)
		free(g->rules.p[i].glob);
	free(g->rules.p);
	free(g);
}

/* A line as a glob: anchored when it has a '/' before its end, else at any depth.  Braces are plain
 * characters in ignore files. */
static char *rule_glob(const char *p, size_t n)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(8192);
	bool anchored = memchr(p, '/', n) != NULL;

	if (n && p[0] == '/') {
		p++;
		n--;
	}
	if (!anchored)
		slu_buf_str(&b, "**/");
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\\' && i + 1 < n)
			slu_buf_ch(&b, p[i++]);
		else if (p[i] == '{' || p[i] == '}')
			slu_buf_ch(&b, '\\');
		slu_buf_ch(&b, p[i]);
	}
	return slu_buf_take(&b);
}

static int add_line(struct slu_ignore *g, const char *p, size_t n, struct slu_err *e)
{
	struct rule r = {0};

	while (n && (p[n - 1] == '\r' || p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n == 0 || p[0] == '#')
		return 0;
	if (p[0] == '!') {
		r.keep = true;
		p++;
		n--;
	}
	if (n && p[n - 1] == '/') {
		r.dir = true;
		n--;
	}
	if (n == 0)
		return 0;
	r.glob = rule_glob(p, n);
	if (!r.glob || !slu_vec_push(&g->rules, r)) {
		free(r.glob);
		return slu_fail_oom(e);
	}
	return 0;
}

int slu_ignore_parse(const char *text, struct slu_ignore **ret, struct slu_err *e)
{
	SLU_AUTO(slu_ignore_freep) struct slu_ignore *g = slu_new0(struct slu_ignore);
	int r = g ? 0 : slu_fail_oom(e);

	while (r == 0 && *text) {
		size_t n = strcspn(text, "\n");

		r = add_line(g, text, n, e);
		text += n + (text[n] == '\n');
	}
	if (r == 0)
		*ret = slu_take(g);
	return r;
}

int slu_ignore_read(int dirfd, struct slu_ignore **ret, struct slu_err *e)
{
	static const char *const names[] = {".amlignore", ".gitignore"};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(FILE_MAX_BYTES);
	int r = -ENOENT;

	for (size_t i = 0; i < 2 && r == -ENOENT; i++) {
		SLU_AUTO(slu_closep)
		int fd = slu_path_open(dirfd, names[i], O_RDONLY, 0, SLU_LINKS_BENEATH);

		r = fd < 0 ? fd : slu_buf_read_fd(&b, fd);
		if (r < 0 && r != -ENOENT)
			return slu_fail_sys(e, -r, "cannot read '%s' of the code folder", names[i]);
	}
	return slu_ignore_parse(b.p ? b.p : "", ret, e);
}

static bool always(const char *rel)
{
	const char *base = slu_path_base(rel);

	return slu_streq(base, ".git") || slu_streq(base, ".sluice");
}

bool slu_ignore_match(const struct slu_ignore *g, const char *rel, bool is_dir)
{
	if (always(rel))
		return true;
	for (size_t i = g->rules.n; i-- > 0;) {
		const struct rule *r = &g->rules.p[i];

		if ((!r->dir || is_dir) && slu_glob_match(r->glob, rel))
			return !r->keep;
	}
	return false;
}
