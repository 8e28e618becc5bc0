/* SPDX-License-Identifier: Apache-2.0 */
/* Globs on text: the table of what matches, mistakes, and a comparison with a matcher that is slow
 * and obvious. */
#include "tests/unit/corpus.h"

#include "fs/glob.h"
#include "fs/walk.h"
#include "tests/fuzz/fuzz-glob.c"

#include <errno.h>

static const struct {
	const char *pattern, *yes[6], *no[8];
} cases[] = {
	{"dir/*", {"dir/a", "dir/.hidden", "dir/_x", "dir/a b"}, {"dir", "dir/a/b", "xdir/a"}},
	{"dir/**", {"dir/a", "dir/a/b", "dir/.x/_y"}, {"dir", "dirx/a", "x/dir/a"}},
	{"**", {"a", "a/b", ".x"}, {""}},
	{"dir/**/*.jpg",
	 {"dir/a.jpg", "dir/x/a.jpg", "dir/x/y/.jpg"},
	 {"a.jpg", "dir/a.jpeg", "dir/x.jpg/y"}},
	{"**/1.jpg", {"1.jpg", "a/1.jpg", "a/b/1.jpg"}, {"11.jpg", "a/1.jpg/b"}},
	{"a/*/b/**/*.x", {"a/1/b/c.x", "a/1/b/2/3/c.x"}, {"a/b/c.x", "a/1/2/b/c.x"}},
	{"year-*/*.csv", {"year-2020/a.csv", "year-/.csv"}, {"year-2020/m/a.csv", "year/a.csv"}},
	{"**/b/**", {"b/x", "a/b/x", "a/b/c/d", "b/b"}, {"b", "a/b", "a/x"}},
	{"**/**", {"a", "a/b", "a/b/c"}, {""}},
	{"a/**/b/**/c", {"a/b/c", "a/x/b/y/c", "a/b/b/c/c"}, {"a/c", "a/b", "b/c"}},
	{"a**b", {"ab", "axb", "a**b"}, {"a/b", "a"}},
	{"***", {"a", "abc"}, {"a/b"}},
	{"**.jpg", {"a.jpg", ".jpg"}, {"x/a.jpg"}},
	{"a?c",
	 {"abc", "a.c",
	  "a\xc3\xa9"
	  "c",
	  "a\xf0\x9f\x98\x80"
	  "c",
	  "a\xff"
	  "c",
	  "a\nc"},
	 {"ac", "abbc", "a/c",
	  "a\xff\xfe"
	  "c"}},
	{"[ab]x", {"ax", "bx"}, {"cx", "x", "abx"}},
	{"[a-c1-3]", {"a", "b", "3"}, {"d", "4", "-"}},
	{"[!a-c]", {"d", "-", "\xc3\xa9"}, {"a", "", "dd"}},
	{"[^a]", {"b", "^"}, {"a"}},
	{"[]x]", {"]", "x"}, {"[", "a"}},
	{"[!]x]", {"a", "["}, {"]", "x"}},
	{"[a-]", {"a", "-"}, {"b"}},
	{"[\\]]", {"]"}, {"\\", "["}},
	{"[\\a-c]", {"b"}, {"\\", "d"}},
	{"[*?{]", {"*", "?", "{"}, {"a"}},
	{"[\xc3\xa0-\xc3\xaf]", {"\xc3\xa9"}, {"\xc3\xb1", "e"}},
	{"*[!\xc3\xa9]",
	 {"e", "\xc3\xa9"
	       "e"},
	 {"\xc3\xa9"}},
	{"{a,b}.txt", {"a.txt", "b.txt"}, {"c.txt", "{a,b}.txt"}},
	{"{a,b/c}/d", {"a/d", "b/c/d"}, {"b/d", "c/d"}},
	{"{,x}a", {"a", "xa"}, {"xxa"}},
	{"{a{1,2},b}", {"a1", "a2", "b"}, {"a", "a1b"}},
	{"{**,x}/f", {"f", "a/f", "a/b/f", "x/f"}, {"a/g"}},
	{"x{a,b}{c,d}", {"xac", "xbd"}, {"xab", "xa"}},
	{"{a}", {"a"}, {"{a}"}},
	{"{[,],b}", {",", "b"}, {"[", "]"}},
	{"a}b,c", {"a}b,c"}, {"ab,c"}},
	{"\\*", {"*"}, {"a", "\\*"}},
	{"\\{a,b\\}", {"{a,b}"}, {"a", "b"}},
	{"a\\?", {"a?"}, {"ab"}},
	{"\\a", {"a"}, {"\\a"}},
	{"A*", {"Ab"}, {"ab"}},
	{"a.b*", {"a.bc"}, {"axbc"}},
	{"*a*b*c*", {"abc", "xaxbxc", "aabbcc"}, {"acb", "ab"}},
	{"a//b", {NULL}, {"a/b", "a//b"}},
	{"*", {"x", "\xff"}, {"", "x/y"}},
};

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int k = 0; k < 6 && cases[i].yes[k]; k++)
			if (!slu_glob_match(cases[i].pattern, cases[i].yes[k]))
				fail_msg("'%s' must match '%s'", cases[i].pattern, cases[i].yes[k]);
		for (int k = 0; k < 8 && cases[i].no[k]; k++)
			if (slu_glob_match(cases[i].pattern, cases[i].no[k]))
				fail_msg("'%s' must not match '%s'", cases[i].pattern,
					 cases[i].no[k]);
		assert_int_equal(slu_glob_check(cases[i].pattern, NULL), 0);
	}
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *pattern, *text;
	} t[] = {
		{"a[b", "without ']'"},
		{"[a/b]", "without ']'"},
		{"[]", "without ']'"},
		{"{a,b", "without '}'"},
		{"x/{a{b}", "without '}'"},
		{"a\\", "ends in"},
		{"a\\/b", "ends in"},
		{"{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}", "too many"},
		{"{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}", "too many"},
	};
	struct slu_err e = {0};
	char longer[5000];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_failed(slu_glob_check(t[i].pattern, &e), e, EINVAL, t[i].text);
	memset(longer, 'a', sizeof(longer));
	longer[4999] = '\0';
	assert_failed(slu_glob_check(longer, &e), e, EINVAL, "too long");
	assert_false(slu_glob_match(longer, "a"));
}

static void prefixes_and_literals(void **state)
{
	static const struct {
		const char *pattern;
		bool is;
		size_t prefix;
		const char *folder;
	} t[] = {
		{"a/b/c", false, 3, "a/b"}, {"a/b/*", true, 3, "a/b"},
		{"a/b*/c", true, 1, "a"},   {"*/a", true, 0, ""},
		{"", false, 0, ""},         {"a\\*b/c*", true, 4, "a*b"},
		{"{a,b}/c", true, 0, ""},   {"a/\\{x\\}", false, 1, "a"},
		{"x/y[1]/z", true, 1, "x"}, {"a/b\\?c/d?", true, 6, "a/b?c"},
		{"plain", false, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *folder = slu_glob_unescape(t[i].pattern, slu_glob_prefix(t[i].pattern));

		assert_int_equal(slu_glob_is(t[i].pattern), t[i].is);
		assert_int_equal(slu_glob_prefix(t[i].pattern), t[i].prefix);
		assert_string_equal(folder, t[i].folder);
		free(folder);
	}
}

/* --- the obvious matcher: expands braces by recursion, tries every length of every star --- */

static bool slow_part(const char *p, const char *pe, const char *s, const char *se)
{
	if (p == pe)
		return s == se;
	if (*p == '*')
		return slow_part(p + 1, pe, s, se) || (s < se && slow_part(p, pe, s + 1, se));
	if (s == se)
		return false;
	if (*p == '[') {
		bool negated = p[1] == '!', hit = false;

		for (p += 1 + negated; *p != ']'; p++)
			hit |= *p == *s;
		return hit != negated && slow_part(p + 1, pe, s + 1, se);
	}
	return (*p == '?' || *p == *s) && slow_part(p + 1, pe, s + 1, se);
}

static bool slow_path(const char *p, const char *s)
{
	const char *pe = strchrnul(p, '/'), *se = strchrnul(s, '/');
	bool deep = pe - p == 2 && p[0] == '*' && p[1] == '*';

	if (deep && !*pe)
		return *s;
	if (deep)
		return slow_path(pe + 1, s) || (*se && slow_path(p, se + 1));
	if (se == s || !slow_part(p, pe, s, se))
		return false;
	if (!*pe || !*se)
		return !*pe && !*se;
	return slow_path(pe + 1, se + 1);
}

static bool slow_glob(const char *p, const char *s)
{
	const char *open = strchr(p, '{'), *close = open ? strchr(open, '}') : NULL;
	char text[256];

	if (!open)
		return slow_path(p, s);
	for (const char *a = open + 1; a <= close; a++) {
		const char *e = a + strcspn(a, ",}");

		snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(open - p), p, (int)(e - a), a,
			 close + 1);
		if (slow_glob(text, s))
			return true;
		a = e;
	}
	return false;
}

static uint32_t seed = 12345;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static void random_text(char *out, const char *const *words, uint32_t n, uint32_t max)
{
	*out = '\0';
	for (uint32_t i = rnd(max) + 1; i; i--)
		strcat(out, words[rnd(n)]);
}

static void random_patterns_agree_with_the_obvious_matcher(void **state)
{
	static const char *const pat[] = {"a",       "b",      "*",    "?",    "/",     "/",
					  "**",      "/**/",   "[ab]", "[!a]", "{a,b}", "{,b}",
					  "{a/b,*}", "{**,b}", "a/",   "/b"};
	static const char *const path[] = {"a", "b", "c", "/", "ab", "a/", "/b", "."};
	char p[256], s[128];
	size_t hits = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		bool want;

		random_text(p, pat, sizeof(pat) / sizeof(pat[0]), 7);
		random_text(s, path, sizeof(path) / sizeof(path[0]), 7);
		if (!slu_path_ok(s))
			continue;
		want = slow_glob(p, s);
		hits += want;
		if (slu_glob_match(p, s) != want)
			fail_msg("'%s' on '%s': %d wanted", p, s, want);
	}
	assert_true(hits > 5000);
}

static void no_pattern_takes_for_ever(void **state)
{
	char p[4000] = "", s[4000];

	(void)state;
	for (int i = 0; i < 900; i++)
		strcat(p, "a*");
	memset(s, 'a', sizeof(s) - 2);
	s[sizeof(s) - 2] = 'b';
	s[sizeof(s) - 1] = '\0';
	assert_true(slu_glob_match(p, s));
	strcat(p, "c");
	assert_false(slu_glob_match(p, s));
	p[0] = '\0';
	for (int i = 0; i < 300; i++)
		strcat(p, "**/a/");
	strcat(p, "c");
	for (size_t i = 1; i < sizeof(s) - 1; i += 2)
		s[i] = '/';
	assert_false(slu_glob_match(p, s));
}

static void corpus(void **state)
{
	(void)state;
	assert_true(corpus_replay(__FILE__, "glob", LLVMFuzzerTestOneInput) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(prefixes_and_literals),
		cmocka_unit_test(random_patterns_agree_with_the_obvious_matcher),
		cmocka_unit_test(no_pattern_takes_for_ever),
		cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
