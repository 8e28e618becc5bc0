/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: building, checking, the text and back. */
#include "tests/unit/corpus.h"

#include "common/str.h"
#include "fs/manifest.h"
#include "io/crypt.h"
#include "tests/fuzz/fuzz-manifest.c"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD "sluice-manifest 1\nsource . file:///d\n"
#define PINNED "sluice-manifest 2\nsource . blob:d\n"

static struct slu_attr attr(uint64_t size, int64_t mtime, const char *id, const char *sum)
{
	struct slu_attr a = {.kind = SLU_KIND_FILE, .size = size, .mtime_ns = mtime};

	snprintf(a.id, sizeof(a.id), "%s", id);
	snprintf(a.sum, sizeof(a.sum), "%s", sum);
	return a;
}

static struct slu_manifest *new_with(const char *prefix, const char *uri)
{
	struct slu_manifest *m;

	assert_int_equal(slu_manifest_new(&m), 0);
	assert_int_equal(slu_manifest_add_source(m, prefix, uri), 0);
	return m;
}

static void add(struct slu_manifest *m, const char *path)
{
	struct slu_attr a = attr(1, 2, "i", "");

	assert_int_equal(slu_manifest_add(m, path, &a), 0);
}

static void text_is_this(void **state)
{
	struct slu_manifest *m = new_with("", "azureml://datastores/x/paths/my data");
	struct slu_attr a = attr(10, 5, "0x8D", "md5:00ff"), b = attr(0, -7, "", ""),
			c = attr(UINT32_MAX, INT64_MIN, "-", "-");
	struct slu_buf out = SLU_BUF(4096);
	char want[SLU_DIGEST_HEX], got[SLU_DIGEST_HEX];
	uint8_t sum[32];
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_manifest_add(m, "z\n%\xc3\xa9\xff 1", &a), 0);
	assert_int_equal(slu_manifest_add(m, "a/b", &b), 0);
	assert_int_equal(slu_manifest_add(m, "-", &c), 0);
	assert_int_equal(slu_manifest_write(m, &out), -EINVAL);
	assert_int_equal(slu_manifest_finish(m, &e), 0);
	assert_int_equal(slu_manifest_bytes(m), 10 + (uint64_t)UINT32_MAX);
	assert_int_equal(slu_manifest_write(m, &out), 0);
	assert_string_equal(out.p, "sluice-manifest 1\n"
				   "source . azureml://datastores/x/paths/my%20data\n"
				   "4294967295 -9223372036854775808 %2D %2D %2D\n"
				   "0 -7 - - a/b\n"
				   "10 5 0x8D md5:00ff z%0A%25\xc3\xa9\xff%201\n"
				   "end 3 4294967305\n");
	assert_int_equal(slu_digest(SLU_SHA256, out.p, out.len, sum), 0);
	slu_hex(want, sum, 32);
	assert_int_equal(slu_manifest_digest(m, got), 0);
	assert_string_equal(got, want);
	slu_manifest_free(m);
	assert_int_equal(slu_manifest_parse(out.p, out.len, "m", &m, &e), 0);
	memset(out.p, '#', out.len); /* the text may go away */
	assert_int_equal(slu_manifest_count(m), 3);
	assert_string_equal(slu_manifest_at(m, 0)->path, "-");
	assert_string_equal(slu_manifest_at(m, 0)->id, "-");
	assert_int_equal(slu_manifest_at(m, 0)->mtime_ns, INT64_MIN);
	assert_string_equal(slu_manifest_at(m, 1)->id, "");
	assert_string_equal(slu_manifest_at(m, 1)->sum, "");
	assert_string_equal(slu_manifest_at(m, 2)->path, "z\n%\xc3\xa9\xff 1");
	assert_string_equal(slu_manifest_source(m, 0)->uri, "azureml://datastores/x/paths/my data");
	assert_int_equal(slu_manifest_digest(m, got), 0);
	assert_string_equal(got, want);
	slu_manifest_free(m);
	slu_buf_done(&out);
}

static void sorted_and_found(void **state)
{
	static const char *const in[] = {"b", "a.b", "a/x", "a-b", "a/b/c", "\xff", "B"};
	static const char *const out[] = {"B", "a-b", "a.b", "a/b/c", "a/x", "b", "\xff"};
	struct slu_manifest *m = new_with("", "file:///d");

	(void)state;
	for (int i = 0; i < 7; i++)
		add(m, in[i]);
	assert_int_equal(slu_manifest_finish(m, NULL), 0);
	for (size_t i = 0; i < 7; i++) {
		assert_string_equal(slu_manifest_at(m, i)->path, out[i]);
		assert_int_equal(slu_manifest_find(m, out[i]), i);
	}
	assert_int_equal(slu_manifest_find(m, "a"), SIZE_MAX);
	assert_int_equal(slu_manifest_find(m, ""), SIZE_MAX);
	assert_int_equal(slu_manifest_lower(m, ""), 0);
	assert_int_equal(slu_manifest_lower(m, "a/"), 3);
	assert_int_equal(slu_manifest_lower(m, "a0"), 5);
	assert_int_equal(slu_manifest_lower(m, "\xff\xff"), 7);
	slu_manifest_free(m);
}

static void conflicts_name_both(void **state)
{
	static const struct {
		const char *path[4], *text, *text2;
	} t[] = {
		{{"x", "y", "x"}, "'x' is there twice", ""},
		{{"a/b", "a"}, "'a' is a file and", "'a/b'"},
		{{"a", "a.b", "a/b"}, "'a' is a file and", "'a/b'"},
		{{"a", "a!", "a!b", "a/b"}, "'a' is a file and", "'a/b'"},
		{{"d/a", "d/a-", "d/a/b/c"}, "'d/a' is a file and", "'d/a/b/c'"},
	};
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct slu_manifest *m = new_with("", "file:///d");

		for (int k = 0; k < 4 && t[i].path[k]; k++)
			add(m, t[i].path[k]);
		assert_failed(slu_manifest_finish(m, &e), e, EINVAL, t[i].text);
		assert_contains(e.msg, t[i].text2);
		slu_manifest_free(m);
	}
}

static void bad_entries_are_refused(void **state)
{
	static const char *const bad[] = {"", "/a", "a/", "a//b", "..", "a/../b", "./a"};
	struct slu_manifest *m = new_with("", "file:///d");
	struct slu_attr a = attr(1, 1, "i", ""), big = attr(UINT64_MAX, 1, "i", "");
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(slu_manifest_add(m, bad[i], &a), -EINVAL);
	a.kind = SLU_KIND_DIR;
	assert_int_equal(slu_manifest_add(m, "a", &a), -EINVAL);
	add(m, "a");
	assert_int_equal(slu_manifest_add(m, "b", &big), -EOVERFLOW);
	assert_int_equal(slu_manifest_add_source(m, "a//b", "u"), -EINVAL);
	assert_int_equal(slu_manifest_add_source(m, "..", "u"), -EINVAL);
	assert_int_equal(slu_manifest_add_source(m, "a", ""), -EINVAL);
	assert_int_equal(slu_manifest_finish(m, &e), 0);
	slu_manifest_free(m);
	assert_int_equal(slu_manifest_new(&m), 0);
	assert_failed(slu_manifest_finish(m, &e), e, EINVAL, "source");
	slu_manifest_free(m);
}

static void several_sources(void **state)
{
	struct slu_manifest *m = new_with("one", "file:///1");
	struct slu_err e = {0};
	const char *path;

	(void)state;
	assert_int_equal(slu_manifest_add_source(m, "on", "file:///2"), 0);
	add(m, "one/a/b");
	add(m, "on/a");
	assert_int_equal(slu_manifest_finish(m, &e), 0);
	assert_int_equal(slu_manifest_locate(m, 0, &path), 1);
	assert_string_equal(path, "a");
	assert_int_equal(slu_manifest_locate(m, 1, &path), 0);
	assert_string_equal(path, "a/b");
	slu_manifest_free(m);

	m = new_with("d/one", "file:///1");
	assert_int_equal(slu_manifest_add_source(m, "d/two", "file:///2"), 0);
	add(m, "d/two/x/y");
	assert_int_equal(slu_manifest_finish(m, &e), 0);
	assert_int_equal(slu_manifest_locate(m, 0, &path), 1);
	assert_string_equal(path, "x/y");
	slu_manifest_free(m);
	m = new_with("d/one", "file:///1");
	assert_int_equal(slu_manifest_add_source(m, "d", "file:///2"), 0);
	assert_failed(slu_manifest_finish(m, &e), e, EINVAL, "'file:///2'");
	slu_manifest_free(m);
	m = new_with("one", "file:///1");
	assert_int_equal(slu_manifest_add_source(m, "", "file:///2"), 0);
	assert_failed(slu_manifest_finish(m, &e), e, EINVAL, "'file:///2'");
	slu_manifest_free(m);
	m = new_with("one", "file:///1");
	assert_int_equal(slu_manifest_add_source(m, "one", "file:///2"), 0);
	assert_failed(slu_manifest_finish(m, &e), e, EINVAL, "'file:///2'");
	slu_manifest_free(m);
	m = new_with("one", "file:///1");
	add(m, "two/x");
	assert_failed(slu_manifest_finish(m, &e), e, EINVAL, "'two/x'");
	slu_manifest_free(m);
}

static const struct {
	const char *text, *want;
} mistakes[] = {
	{"", ":1': this is no manifest"},
	{"hello\n", ":1': this is no manifest"},
	{"sluice-manifest 3\n", ":1': this manifest is of another version"},
	{"sluice-manifest 1", ":1': this is no manifest"},
	{"sluice-manifest 1\nend 0 0\n", ":2': a manifest needs a source"},
	{"sluice-manifest 1\nsource .\nend 0 0\n", ":2': not 'source"},
	{"sluice-manifest 1\nsource  u\nend 0 0\n", ":2': not 'source"},
	{"sluice-manifest 1\nsource . -\nend 0 0\n", ":2': malformed source"},
	{"sluice-manifest 1\nsource - u\nend 0 0\n", ":2': malformed source"},
	{"sluice-manifest 1\nsource a//b u\nend 0 0\n", ":2': malformed source"},
	{"sluice-manifest 1\nsource . a%2fb\nend 0 0\n", ":2': malformed source"},
	{HEAD, ":3': the text is cut"},
	{HEAD "1 2 i - a\n", ":4': the text is cut"},
	{HEAD "1 2 i - a\nend 1 1", ":4': the text is cut"},
	{HEAD "1 2 i - a\nend 1 1\n\n", ":4': text after the end"},
	{HEAD "1 2 i - a\nend 2 1\n", ":4': the numbers"},
	{HEAD "1 2 i - a\nend 1 2\n", ":4': the numbers"},
	{HEAD "1 2 i - a\nend 01 1\n", ":4': not 'end"},
	{HEAD "1 2 i a\nend 1 1\n", ":3': not '<size>"},
	{HEAD "1 2 i - a b\nend 1 1\n", ":3': not '<size>"},
	{HEAD "1  i - a\nend 1 1\n", ":3': not '<size>"},
	{HEAD "01 2 i - a\nend 1 1\n", ":3': malformed size"},
	{HEAD "-1 2 i - a\nend 1 1\n", ":3': malformed size"},
	{HEAD "18446744073709551616 2 i - a\nend 1 1\n", ":3': malformed size"},
	{HEAD "1 -0 i - a\nend 1 1\n", ":3': malformed time"},
	{HEAD "1 9223372036854775808 i - a\nend 1 1\n", ":3': malformed time"},
	{HEAD "1 +2 i - a\nend 1 1\n", ":3': malformed time"},
	{HEAD "1 2 i - %41\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - a%0a\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - a%00\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - a%0\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - a\tb\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - -\nend 1 1\n", ":3': malformed path"},
	{HEAD "1 2 i - a/../b\nend 1 1\n", ":3': malformed path"},
	{HEAD "1 2 i - /a\nend 1 1\n", ":3': malformed path"},
	{HEAD
	 "1 2 0123456789012345678901234567890123456789012345678901234567890123456789ab - a\nend 1 1\n",
	 ":3': identity or checksum too long"},
	{HEAD "1 2 i - b\n1 2 i - a\nend 2 2\n", ":4': 'a' is out of order"},
	{HEAD "1 2 i - a\n1 2 i - a\nend 2 2\n", ":4': 'a' is there twice"},
	{HEAD "1 2 i - a\n1 2 i - a.b\n1 2 i - a/b\nend 3 3\n", ":5': 'a' is a file and"},
	{HEAD "9223372036854775808 2 i - a\nend 1 1\n", ":3': malformed size"},
	{HEAD "9223372036854775807 2 i - a\n9223372036854775807 2 i - b\n2 2 i - c\nend 3 0\n",
	 ":5': the sizes"},
	{PINNED "1 2 i - a\nend 1 1\n", ":3': not '<size>"},
	{PINNED "1 2 i - - a\nend 1 1\n", ":4': no file above has a version"},
	{PINNED "end 0 0\n", ":3': no file above has a version"},
	{PINNED "1 2 i - 2026 a\nend 1 1\n", ":3': malformed version"},
	{PINNED "1 2 i - versionid= a\nend 1 1\n", ":3': malformed version"},
	{PINNED "1 2 i - versionid=a%25 a\nend 1 1\n", ":3': malformed version"},
	{PINNED "1 2 i - versionid=a%41 a\nend 1 1\n", ":3': malformed escape"},
	{HEAD "1 2 i - versionid=1 a\nend 1 1\n", ":3': not '<size>"},
	{"sluice-manifest 1\nsource p u\n1 2 i - q/a\nend 1 1\n",
	 ":3': 'q/a' belongs to no source"},
};

static bool not_b(void *user, const struct slu_file *f)
{
	(void)user;
	return !slu_streq(f->path, "b");
}

/* Versions are of format 2, which older readers refuse; without any it is format 1 again. */
static void versions_are_pinned(void **state)
{
	static const char text[] =
		PINNED "1 2 i - - a\n3 2 j md5:00 versionid=2026-11-21T06:00:00.1Z b\n"
		       "end 2 4\n";
	struct slu_manifest *m = NULL, *rest = NULL, *again;
	struct slu_buf out = SLU_BUF(4096);
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(slu_manifest_parse(text, strlen(text), "x", &m, &e), 0);
	assert_true(slu_manifest_pinned(m));
	assert_string_equal(slu_manifest_at(m, 0)->version, "");
	assert_string_equal(slu_manifest_at(m, 1)->version, "versionid=2026-11-21T06:00:00.1Z");
	assert_int_equal(slu_manifest_write(m, &out), 0);
	assert_string_equal(out.p, text);

	assert_int_equal(slu_manifest_choose(m, not_b, NULL, &rest, &e), 0);
	assert_false(slu_manifest_pinned(rest));
	slu_buf_clear(&out);
	assert_int_equal(slu_manifest_write(rest, &out), 0);
	assert_string_equal(out.p, "sluice-manifest 1\nsource . blob:d\n1 2 i - a\nend 1 1\n");

	again = new_with("", "blob:d");
	assert_int_equal(slu_manifest_add_file(again, "x/b", slu_manifest_at(m, 1), NULL), 0);
	assert_int_equal(slu_manifest_add_file(again, "x/a", slu_manifest_at(m, 0), "snapshot=1"),
			 0);
	assert_int_equal(slu_manifest_add_file(again, "x/c", slu_manifest_at(m, 0), "s=1"),
			 -EINVAL);
	assert_int_equal(slu_manifest_finish(again, &e), 0);
	assert_string_equal(slu_manifest_at(again, 0)->version, "snapshot=1");
	assert_string_equal(slu_manifest_at(again, 1)->version, "versionid=2026-11-21T06:00:00.1Z");
	slu_buf_done(&out);
	slu_manifest_free(again);
	slu_manifest_free(rest);
	slu_manifest_free(m);
}

static void every_mistake_has_its_line(void **state)
{
	struct slu_manifest *m = NULL;
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		assert_failed(slu_manifest_parse(mistakes[i].text, strlen(mistakes[i].text),
						 "x.manifest", &m, &e),
			      e, EBADMSG, mistakes[i].want);
		assert_contains(e.msg, "'x.manifest:");
		assert_null(m);
	}
}

/* Cut anywhere, it is not a manifest; nor with a NUL in it. */
static void no_cut_goes_unseen(void **state)
{
	const char *text = HEAD "12 2 i - a\n3 4 j - b/c\nend 2 15\n";
	size_t n = strlen(text);
	struct slu_manifest *m = NULL;
	char with_nul[200];

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(slu_manifest_parse(text, i, "m", &m, NULL), -EBADMSG);
	for (size_t i = 0; i < n; i++) {
		memcpy(with_nul, text, n);
		with_nul[i] = '\0';
		assert_int_equal(slu_manifest_parse(with_nul, n, "m", &m, NULL), -EBADMSG);
	}
	assert_int_equal(slu_manifest_parse(text, n, "m", &m, NULL), 0);
	slu_manifest_free(m);
}

static void save_is(const struct slu_manifest *m, const char *text)
{
	int fd = memfd_create("m", MFD_CLOEXEC);
	char got[64] = "";

	assert_int_equal(slu_manifest_save(m, fd), 0);
	assert_int_equal(pread(fd, got, sizeof got - 1, 0), strlen(text));
	assert_string_equal(got, text);
	close(fd);
}

/* Enough to fill several chunks and to digest in pieces. */
static void many_entries(void **state)
{
	struct slu_manifest *m = new_with("", "file:///d"), *again = NULL;
	struct slu_buf b = SLU_BUF(64 << 20);
	struct slu_attr a;
	char path[64], d1[SLU_DIGEST_HEX], d2[SLU_DIGEST_HEX];
	void *saved;
	int fd;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		snprintf(path, sizeof(path), "part=%d/some-file-%d.parquet", (i * 7919) % 1000, i);
		a = attr((uint64_t)i, i, "0x8DC0FFEE", "");
		assert_int_equal(slu_manifest_add(m, path, &a), 0);
	}
	assert_int_equal(slu_manifest_finish(m, NULL), 0);
	assert_int_equal(slu_manifest_write(m, &b), 0);
	fd = memfd_create("m", MFD_CLOEXEC);
	assert_int_equal(slu_manifest_save(m, fd), 0);
	saved = mmap(NULL, b.len, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), b.len);
	assert_memory_equal(saved, b.p, b.len);
	munmap(saved, b.len);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(slu_manifest_save(m, fd), -EBADF);
	close(fd);
	/* With its text, which is written as it is. */
	slu_manifest_keep_text(m, strdup("the text\n"), strlen("the text\n"));
	save_is(m, "the text\n");
	slu_manifest_keep_text(m, strdup("another\n"), strlen("another\n"));
	save_is(m, "another\n");
	slu_manifest_keep_text(m, NULL, 0);
	fd = memfd_create("m", MFD_CLOEXEC);
	assert_int_equal(slu_manifest_save(m, fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), b.len);
	close(fd);
	assert_int_equal(slu_manifest_parse(b.p, b.len, "m", &again, NULL), 0);
	assert_int_equal(slu_manifest_count(again), 50000);
	assert_int_equal(slu_manifest_digest(m, d1), 0);
	assert_int_equal(slu_manifest_digest(again, d2), 0);
	assert_string_equal(d1, d2);
	for (size_t i = 0; i < 50000; i += 777)
		assert_int_equal(slu_manifest_find(again, slu_manifest_at(m, i)->path), i);
	slu_buf_done(&b);
	/* no room for the text is an error, not a cut */
	b = SLU_BUF(1000);
	assert_int_equal(slu_manifest_write(m, &b), -EMSGSIZE);
	slu_buf_done(&b);
	slu_manifest_free(m);
	slu_manifest_free(again);
	slu_manifest_free(NULL);
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "manifest", LLVMFuzzerTestOneInput) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_this),
		cmocka_unit_test(sorted_and_found),
		cmocka_unit_test(conflicts_name_both),
		cmocka_unit_test(bad_entries_are_refused),
		cmocka_unit_test(several_sources),
		cmocka_unit_test(versions_are_pinned),
		cmocka_unit_test(every_mistake_has_its_line),
		cmocka_unit_test(no_cut_goes_unseen),
		cmocka_unit_test(many_entries),
		cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
