/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as text: checking, cleaning, joining, taking apart.  What touches the disk under a folder
 * is in path_open.c and path_tree.c; only slu_path_absolute and
 * slu_path_home ask the system here.
 */
#include "common/path.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

bool slu_path_ok(const char *s)
{
	if (*s == '\0')
		return true;
	for (;;) {
		size_t n = (size_t)(strchrnul(s, '/') - s);

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

/* The next part of *s (slashes before it skipped) and its length; NULL at the end. */
static const char *next_part(const char **s, size_t *ret_n)
{
	const char *p = *s + strspn(*s, "/");
	size_t n = strcspn(p, "/");

	*s = p + n;
	*ret_n = n;
	return n ? p : NULL;
}

static bool is_dot(const char *p, size_t n)
{
	return n == 1 && p[0] == '.';
}

static bool is_dotdot(const char *p, size_t n)
{
	return n == 2 && p[0] == '.' && p[1] == '.';
}

/* Length of s[0, n) without its last part. */
static size_t parent_len(const char *s, size_t n)
{
	while (n && s[n - 1] != '/')
		n--;
	return n ? n - 1 : 0;
}

int slu_path_clean(const char *s, char **ret, struct slu_err *e)
{
	const char *rest = s, *p;
	size_t n, len = 0;
	char *out = slu_malloc(strlen(s) + 1);

	if (!out)
		return slu_fail_oom(e);
	while ((p = next_part(&rest, &n))) {
		if (is_dot(p, n))
			continue;
		if (is_dotdot(p, n)) {
			if (len == 0) {
				free(out);
				return slu_fail(e, EINVAL, "path '%s' leaves its root: remove '..'",
						s);
			}
			len = parent_len(out, len);
			continue;
		}
		if (len)
			out[len++] = '/';
		memcpy(out + len, p, n);
		len += n;
	}
	out[len] = '\0';
	*ret = out;
	return 0;
}

char *slu_path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	if (n == 0)
		return slu_strdup(b);
	if (*b == '\0')
		return slu_strdup(a);
	return slu_asprintf("%s%s%s", a, a[n - 1] == '/' ? "" : "/", b);
}

void slu_path_common(char *base, const char *other)
{
	size_t n = 0, same = 0;

	for (;; n++) {
		bool end_a = !base[n] || base[n] == '/', end_b = !other[n] || other[n] == '/';

		if (end_a && end_b)
			same = n;
		if (base[n] != other[n] || !base[n])
			break;
	}
	base[same] = '\0';
}

const char *slu_path_base(const char *s)
{
	const char *p = strrchr(s, '/');

	return p ? p + 1 : s;
}

char *slu_path_dir(const char *s)
{
	return slu_strndup(s, parent_len(s, strlen(s)));
}

/* Takes the last part off b.  Where b exists, the kernel's idea of its parent counts: b may be a
 * symlink. */
static void pop_part(struct slu_buf *b)
{
	char real[PATH_MAX];

	if (b->p && realpath(b->p, real)) {
		slu_buf_clear(b);
		slu_buf_str(b, slu_streq(real, "/") ? "" : real);
	}
	if (!b->err && b->p)
		b->p[b->len = parent_len(b->p, b->len)] = '\0';
}

int slu_path_absolute(const char *s, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1u << 16);
	char cwd[PATH_MAX];
	const char *p;
	size_t n;

	if (*s == '\0')
		return slu_fail(e, EINVAL, "a path is empty: give '.' for the current folder");
	if (*s != '/') {
		if (!getcwd(cwd, sizeof(cwd)))
			return slu_fail_sys(e, errno, "cannot find the current folder for '%s'", s);
		if (!slu_streq(cwd, "/"))
			slu_buf_str(&b, cwd);
	}
	while ((p = next_part(&s, &n))) {
		if (is_dot(p, n))
			continue;
		if (is_dotdot(p, n)) {
			pop_part(&b);
			continue;
		}
		slu_buf_ch(&b, '/');
		slu_buf_add(&b, p, n);
	}
	if (b.len == 0)
		slu_buf_ch(&b, '/');
	if (b.err == EMSGSIZE)
		return slu_fail(e, ENAMETOOLONG, "a path is longer than %zu bytes", b.max);
	*ret = slu_buf_take(&b);
	return *ret ? 0 : slu_fail_oom(e);
}

char *slu_path_home(void)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char text[4096];

	if (home && *home == '/')
		return slu_strdup(home);
	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found && found->pw_dir &&
	    *found->pw_dir == '/')
		return slu_strdup(found->pw_dir);
	return NULL;
}
