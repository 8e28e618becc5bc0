/* SPDX-License-Identifier: Apache-2.0 */
/* Substitution: what is inserted where, and that no value ever becomes shell code. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"
#include "job/subst.h"

#include <errno.h>
#include <sys/wait.h>

static const char *data_value = "/runs/x/in";

static bool get(void *user, bool output, const char *name, struct slu_subst_value *ret)
{
	(void)user;
	*ret = (struct slu_subst_value){NULL, false};
	if (!output && slu_streq(name, "n"))
		ret->text = "5";
	else if (!output && slu_streq(name, "flags"))
		ret->text = "--a --b 'c d'";
	else if (slu_streq(name, output ? "out" : "in"))
		*ret = (struct slu_subst_value){data_value, true};
	else if (output || !slu_streq(name, "unset"))
		return false;
	return true;
}

static char *known(void *user, bool output)
{
	(void)user;
	return slu_strdup(output ? "" : "'in', 'n'");
}

static const struct slu_subst vars = {get, known, NULL, "job.yml:3:7"};

static void check(const char *text, enum slu_subst_how how, const char *want)
{
	SLU_AUTO(slu_freep) char *got = NULL;
	struct slu_err e = {0};

	if (slu_subst(text, how, &vars, &got, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	assert_string_equal(got, want);
}

static void check_fails(const char *text, const char *why)
{
	SLU_AUTO(slu_freep) char *got = NULL;
	struct slu_err e = {0};

	assert_failed(slu_subst(text, SLU_SUBST_SHELL, &vars, &got, &e), e, EINVAL, why);
	assert_contains(e.msg, "job.yml:3:7: ");
}

static void test_plain(void **state)
{
	(void)state;
	data_value = "/runs/x/in";
	check("a ${{inputs.in}} b", SLU_SUBST_SHELL, "a /runs/x/in b");
	check("${{ inputs.in }}/f ${{inputs.in.path}}", SLU_SUBST_SHELL, "/runs/x/in/f /runs/x/in");
	check("${{outputs.out}} $HOME ${X} $${{inputs.in}}", SLU_SUBST_SHELL,
	      "/runs/x/in $HOME ${X} ${{inputs.in}}");
	check("x ${{inputs.flags}}", SLU_SUBST_SHELL, "x --a --b 'c d'");
	check("", SLU_SUBST_SHELL, "");
	data_value = "/a b/'c'";
	check("--x=${{inputs.in}}", SLU_SUBST_PLAIN, "--x=/a b/'c'");
}

static void test_bad(void **state)
{
	(void)state;
	check_fails("${{inputs.nope}}", "names no input of this step; it has 'in', 'n'");
	check_fails("${{outputs.nope}}", "it has none, add it under 'outputs:'");
	check_fails("${{inputs.in", "is not closed");
	check_fails("${{parent.inputs.x}}", "cannot stand here");
	check_fails("${{inputs.a-b}}", "cannot stand here");
	check_fails("${{inputs.unset}}", "has no value");
	check_fails("$[[ ${{inputs.in}}", "'$[[' is not closed");
	check_fails("$[[ ${{inputs.nope}} ]]", "names no input");
}

static void test_optional(void **state)
{
	(void)state;
	data_value = "/in";
	check("run $[[--x ${{inputs.unset}}]] $[[--n ${{inputs.n}}]] end", SLU_SUBST_SHELL,
	      "run  --n 5 end");
	check("$[[--n ${{inputs.n}} ${{inputs.unset}}]]", SLU_SUBST_SHELL, "");
}

/* What /bin/sh makes of a command. */
static void sh(const char *command, char out[512])
{
	int fds[2], status;
	ssize_t n, len = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (pid == 0) {
		dup2(fds[1], 1);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + len, (size_t)(511 - len))) > 0)
		len += n;
	out[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* In every place of a command, every nasty value arrives at the program as it is. */
static void test_shell(void **state)
{
	static const char *const places[] = {
		"printf '%s' ${{inputs.in}}",
		"printf '%s' \"${{inputs.in}}\"",
		"printf '%s' '${{inputs.in}}'",
		"printf '%s' \"$(printf '%s' \"${{inputs.in}}\")\"",
		"printf '%s' \"$(printf '%s' ${{inputs.in}})\"",
		"# it's a comment\nprintf '%s' ${{inputs.in}}",
		"(printf '%s' ${{inputs.in}})",
		"case x in x) printf '%s' ${{inputs.in}};; esac",
		"x=${{inputs.in}}; printf '%s' \"$x\"",
		"printf '%s' \"a\\\"\" >/dev/null; printf '%s' \"${{inputs.in}}\"",
		"printf '%s' ${{inputs.in}} # ${{inputs.in}} and on",
	};
	static const char *const values[] = {"/a b/c",    "/$(touch /tmp/slu-pwned)/x",
					     "/`id`",     "/it's",
					     "/\"q\"",    "/a;b&c|d",
					     "/\\n\\",    "/*?[x]",
					     "/$HOME",    "-n",
					     "/a\nb",     "/'\"$x`\\",
					     "/\xc3\xa9", "/~",
					     "!!"};
	char out[512];

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
			SLU_AUTO(slu_freep) char *command = NULL;
			struct slu_err e = {0};
			char text[256];

			snprintf(text, sizeof text, "%s", places[i]);
			data_value = values[k];
			assert_int_equal(slu_subst(text, SLU_SUBST_SHELL, &vars, &command, &e), 0);
			sh(command, out);
			if (!slu_streq(out, values[k]))
				fail_msg("%s gave %s", command, out);
		}
	}
	assert_int_not_equal(access("/tmp/slu-pwned", F_OK), 0);
}

/* Where the tracker cannot follow, a plain value is fine and a nasty one is refused. */
static void test_lost(void **state)
{
	(void)state;
	data_value = "/plain";
	check("cat <<E\n${{inputs.in}}\nE", SLU_SUBST_SHELL, "cat <<E\n/plain\nE");
	check("`echo ${{inputs.in}}`", SLU_SUBST_SHELL, "`echo /plain`");
	data_value = "/a b";
	check_fails("cat <<E\n${{inputs.in}}\nE", "cannot be quoted");
	check_fails("`echo ${{inputs.in}}`", "cannot be quoted");
	check_fails("echo \\${{inputs.in}}", "cannot be quoted");
}

static void test_words(void **state)
{
	struct slu_err e = {0};
	char **w = NULL;

	(void)state;
	data_value = "/a b/c";
	assert_int_equal(
		slu_subst_words("--in ${{inputs.in}} 'x y'\\ z \"q\\\"\" \n --n=${{ inputs.n }} ''",
				&vars, &w, &e),
		0);
	assert_string_equal(w[0], "--in");
	assert_string_equal(w[1], "/a b/c");
	assert_string_equal(w[2], "x y z");
	assert_string_equal(w[3], "q\"");
	assert_string_equal(w[4], "--n=5");
	assert_string_equal(w[5], "");
	assert_null(w[6]);
	slu_words_free(w);
	w = NULL;
	assert_failed(slu_subst_words("a 'b", &vars, &w, &e), e, EINVAL, "not closed");
	assert_null(w);
	assert_int_equal(slu_subst_words("  ", &vars, &w, &e), 0);
	assert_null(w[0]);
	slu_words_free(w);
}

static void test_bindings(void **state)
{
	struct slu_binding b;

	(void)state;
	assert_true(slu_binding_parse("${{parent.jobs.prep.outputs.out}}", &b));
	assert_string_equal(b.step, "prep");
	assert_string_equal(b.name, "out");
	assert_true(b.output);
	assert_true(slu_binding_parse(" ${{ parent.inputs.x }} ", &b));
	assert_string_equal(b.step, "");
	assert_false(b.output);
	assert_true(slu_binding_parse("${{parent.outputs.x}}", &b) && b.output);
	assert_false(slu_binding_parse("${{parent.inputs.x}}/more", &b));
	assert_false(slu_binding_parse("${{inputs.x}}", &b));
	assert_false(slu_binding_parse("${{parent.jobs.a.b.c}}", &b));
	assert_false(slu_binding_parse("${{parent.jobs..outputs.x}}", &b));
	assert_false(slu_binding_parse("${{parent.inputs.x", &b));
	assert_false(slu_binding_parse("x", &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_optional), cmocka_unit_test(test_shell),
		cmocka_unit_test(test_lost),     cmocka_unit_test(test_words),
		cmocka_unit_test(test_bindings)};

	return cmocka_run_group_tests_name("subst", tests, NULL, NULL);
}
