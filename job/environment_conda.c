/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dependencies of conda as requirements of pip, for machines without conda: most of what people list is a Python
 * package of the same name.  What is known to be none (compilers, CUDA, R) is refused by name; whether the index has
 * the rest is pip's to say.
 */
#include "job/environment.h"

#include "common/mem.h"
#include "common/str.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* conda's name, pip's name. */
static const char *const renamed[][2] = {
	{"pytorch", "torch"},
	{"pytorch-cpu", "torch"},
	{"matplotlib-base", "matplotlib"},
	{"py-xgboost", "xgboost"},
	{"py-xgboost-cpu", "xgboost"},
	{"py-opencv", "opencv-python-headless"},
	{"opencv", "opencv-python-headless"},
	{"dask-core", "dask"},
	{"pytables", "tables"},
	{"psycopg2", "psycopg2-binary"},
	{"msgpack-python", "msgpack"},
	{"numpy-base", "numpy"},
	{"pyqt", "PyQt5"},
	{"python-graphviz", "graphviz"},
	{"seaborn-base", "seaborn"},
	{"python-flatbuffers", "flatbuffers"},
};

/* A '*' at the end stands for anything. */
static const char *const foreign[] = {
	"cuda*",
	"cudatoolkit",
	"cudnn",
	"nccl",
	"pytorch-cuda",
	"openmpi",
	"mpich",
	"gcc*",
	"gxx*",
	"gfortran*",
	"clang*",
	"libgcc*",
	"libstdcxx*",
	"r-*",
	"r",
	"nodejs",
	"openjdk",
	"maven",
	"git",
	"ffmpeg",
	"hdf5",
	"gdal",
	"libgdal*",
	"proj",
	"geos",
	"openblas",
	"blas",
	"libblas",
	"_*",
	"perl",
	"ruby",
	"go",
	"rust",
	"make",
	"compilers",
	"c-compiler",
	"cxx-compiler",
	"fortran-compiler",
	"glib",
	"libxml2",
	"openssl",
	"libstdcxx-ng",
};
/* Of conda's own world; a venv has or needs none. */
static const char *const idle[] = {"nomkl", "conda", "mamba", "ca-certificates", "pip"};

static bool in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(list[i]);

		if (list[i][len - 1] == '*' ? strncmp(list[i], name, len - 1) == 0
					    : slu_streq(list[i], name))
			return true;
	}
	return false;
}

/* "1.2.*" is any 1.2; conda's "=1.2" too, its "==1.2" and "1.2" are that one alone. */
static char *exact(const char *name, const char *version, size_t n, bool fuzzy)
{
	bool star = n && version[n - 1] == '*';

	return slu_asprintf("%s==%.*s%s", name, (int)n, version, fuzzy && !star ? ".*" : "");
}

/* rest: what stands behind the name, without blanks at its ends; "" : any. */
static char *requirement(const char *name, const char *rest)
{
	size_t n;

	if (!*rest)
		return slu_strdup(name);
	if (rest[0] == '=' && rest[1] != '=') {
		n = strcspn(rest + 1, "= ");
		return exact(name, rest + 1, n, !rest[1 + n]);
	}
	if (slu_starts(rest, "==")) {
		n = strcspn(rest + 2, "= ");
		return exact(name, rest + 2, n, false);
	}
	if (isdigit((unsigned char)*rest)) {
		n = strcspn(rest, "= ");
		return exact(name, rest, n, false);
	}
	return slu_asprintf("%s%s", name, rest);
}

static char *python_version(const char *rest)
{
	const char *p = rest + strspn(rest, "=<>~! ");
	size_t n = strspn(p, "0123456789.");

	/* A lower bound or an exclusion asks for no version. */
	if (strpbrk(rest, "<>!") || !n)
		return NULL;
	while (n && p[n - 1] == '.')
		n--;
	return slu_strndup(p, n);
}

/* name: small letters.  What pip calls it; NULL: nothing there. */
static const char *pip_name(const char *name)
{
	for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
		if (slu_streq(renamed[i][0], name))
			return renamed[i][1];
	return in(foreign, sizeof foreign / sizeof *foreign, name) ? NULL : name;
}

int slu_conda_to_pip(const char *dependency, char **ret, char **ret_python, struct slu_err *e)
{
	const char *p = strstr(dependency, "::"), *rest, *known;
	SLU_AUTO(slu_freep) char *name = NULL, *tail = NULL;
	size_t n;

	*ret = NULL;
	p = p ? p + 2 : dependency;
	p += strspn(p, " \t");
	n = strcspn(p, " \t=<>!~[");
	name = slu_strndup(p, n);
	rest = p + n;
	rest += strspn(rest, " \t");
	tail = slu_strdup(rest);
	if (!name || !tail)
		return slu_fail_oom(e);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (n = strlen(tail); n && strchr(" \t", tail[n - 1]); n--)
		tail[n - 1] = '\0';
	if (!*name || strchr(tail, '[') || strchr(tail, '|'))
		return slu_fail(e, ENOTSUP, "'%s' is in a form that only conda reads", dependency);
	if (slu_streq(name, "python")) {
		if (!*ret_python)
			*ret_python = python_version(tail);
		return 0;
	}
	if (in(idle, sizeof idle / sizeof *idle, name))
		return 0;
	known = pip_name(name);
	if (!known)
		return slu_fail(e, ENOTSUP, "'%s' is no Python package", name);
	*ret = requirement(known, tail);
	return *ret ? 0 : slu_fail_oom(e);
}
