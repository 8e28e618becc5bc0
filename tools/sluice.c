/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command: finds the verb, parses its options from the table in verbs.c, runs it.
 */
#include "tools/cli.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* --- help --- */

static void help_options(FILE *f, const struct cli_option *o)
{
	for (; o->name; o++) {
		char left[64];

		if (!o->help)
			continue;
		snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
			 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
			 o->arg ? "=" : "", o->arg ? o->arg : "");
		fprintf(f, "  %-28s %s\n", left, o->help);
	}
}

/* group: of these alone ("data"); NULL: all. */
static void help_verbs(FILE *f, const char *group)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		const char *rest = group ? slu_after(v->name, group) : " ";
		char left[40];

		if (v->hidden || !rest || rest[0] != ' ')
			continue;
		snprintf(left, sizeof left, "%s%s%s", v->name, v->args[0] ? " " : "", v->args);
		fprintf(f, "  %-24s %s\n", left, v->help);
	}
}

void cli_help(FILE *f, const struct cli_verb *verb)
{
	if (verb) {
		fprintf(f, "usage: sluice %s [options]%s%s\n\n%s\n\n", verb->name,
			verb->args[0] ? " " : "", verb->args, verb->help);
		help_options(f, verb->options);
		help_options(f, cli_common);
		return;
	}
	fputs("usage: sluice VERB [options] [arguments]\n\n", f);
	help_verbs(f, NULL);
	fputs("\n`sluice VERB --help` shows its options; REF is explained in sluice-uri(7).\n", f);
}

/* --- options --- */

bool cli_has(const struct cli *c, const char *name)
{
	return cli_get(c, name) != NULL;
}

bool cli_int(struct cli *c, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	const char *text = cli_get(c, name);

	if (!text || slu_i64(text, min, max, ret))
		return true;
	cli_usage(c, "--%s wants a number from %lld to %lld, not '%s'", name, (long long)min,
		  (long long)max, text);
	return false;
}

bool cli_check(struct cli *c, int *ret)
{
	static const char *const modes[] = {
		[SLUICE_CHECK_DIFFERENT] = "fail-if-different",
		[SLUICE_CHECK_MISSING] = "fail-if-different-or-missing",
		[SLUICE_CHECK_LOG] = "log-only",
		[SLUICE_CHECK_OFF] = "no-check",
	};
	const char *text = cli_get(c, "check-md5");

	for (int i = 0; text && i < (int)(sizeof modes / sizeof modes[0]); i++) {
		if (strcasecmp(modes[i], text) == 0) {
			*ret = i;
			return true;
		}
	}
	if (text)
		cli_usage(c, "--check-md5 is %s (the default), %s, %s or %s, not '%s'", modes[0],
			  modes[1], modes[2], modes[3], text);
	return !text;
}

const char *cli_get(const struct cli *c, const char *name)
{
	for (size_t i = c->nvalues; i > 0; i--)
		if (slu_streq(c->values[i - 1].option->name, name))
			return c->values[i - 1].text;
	return NULL;
}

const char *cli_nth(const struct cli *c, const char *name, size_t n)
{
	for (size_t i = 0; i < c->nvalues; i++)
		if (slu_streq(c->values[i].option->name, name) && n-- == 0)
			return c->values[i].text;
	return NULL;
}

const char **cli_all(const struct cli *c, const char *name)
{
	const char **all = slu_calloc(c->nvalues + 1, sizeof(char *));

	for (size_t i = 0; all && (all[i] = cli_nth(c, name, i)); i++)
		;
	return all;
}

int cli_pair(struct json_t *o, const char *pair)
{
	const char *eq = strchr(pair, '=');

	if (!eq || eq == pair)
		return -EINVAL;
	SLU_AUTO(slu_freep) char *key = slu_strndup(pair, (size_t)(eq - pair));

	return key ? slu_json_set_str(o, key, eq + 1) : -ENOMEM;
}

static size_t count_options(const struct cli_option *o)
{
	size_t n = 0;

	while (o[n].name)
		n++;
	return n;
}

#define OPTIONS_MAX 40

/* getopt's two tables from ours; getopt returns 256 + the index into `all`. */
struct tables {
	const struct cli_option *all[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 3];
	size_t n;
};

static void add_options(struct tables *t, const struct cli_option *o)
{
	size_t s = strlen(t->shorts);

	for (size_t i = 0; i < count_options(o) && t->n < OPTIONS_MAX; i++, t->n++) {
		t->all[t->n] = &o[i];
		t->longs[t->n] =
			(struct option){o[i].name, o[i].arg ? required_argument : no_argument, NULL,
					256 + (int)t->n};
		if (!o[i].letter)
			continue;
		t->shorts[s++] = o[i].letter;
		if (o[i].arg)
			t->shorts[s++] = ':';
	}
	t->shorts[s] = '\0';
}

static const struct cli_option *option_of(const struct tables *t, int got)
{
	for (size_t i = 0; i < t->n; i++)
		if (got == 256 + (int)i || (t->all[i]->letter && got == t->all[i]->letter))
			return t->all[i];
	return NULL;
}

/* getopt took word, or a letter out of the next one, for none of ours. */
static int bad_option(const struct cli *c, const struct tables *t, const char *word)
{
	const struct cli_option *o = optopt ? option_of(t, optopt) : NULL;
	const char letter[] = {'-', (char)optopt, '\0'}, *near = NULL;

	if (optopt > 0 && optopt < 256)
		word = letter;
	if (o && o->arg)
		return cli_usage(c, "option '%s' lacks its argument, %s", word, o->arg);
	if (o)
		return cli_usage(c, "option '%s' takes no argument", word);

	SLU_AUTO(slu_freep)
	char *name = slu_starts(word, "--") ? slu_strndup(word + 2, strcspn(word + 2, "=")) : NULL;

	for (size_t i = 0; name && i < t->n; i++)
		if (t->all[i]->help)
			near = slu_nearer(name, near, t->all[i]->name);
	return cli_usage(c, "option '%s' is unknown%s%s%s", word, near ? " (is '--" : "",
			 near ? near : "", near ? "' meant?)" : "");
}

/* Parses argv[1..]; 0, or an exit status to end with (+1 so that success shows). */
static int parse(struct cli *c, int argc, char **argv)
{
	struct tables t = {.shorts = ""};
	int got;

	add_options(&t, c->verb->options);
	add_options(&t, cli_common);
	opterr = 0;
	while ((got = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		const struct cli_option *o = option_of(&t, got);

		if (!o)
			return 1 + bad_option(c, &t, argv[optind - 1]);
		if (c->nvalues == CLI_VALUES)
			return 1 + cli_usage(c, "more than %d options", CLI_VALUES);
		c->values[c->nvalues++] = (struct cli_value){o, o->arg ? optarg : ""};
	}
	c->args = argv + optind;
	c->nargs = argc - optind;
	return 0;
}

static int check(struct cli *c)
{
	const char *format = cli_get(c, "output");

	c->json = format && slu_streq(format, "json");
	if (cli_has(c, "help")) {
		cli_help(stdout, c->verb);
		return 1;
	}
	if (format && !slu_streq(format, "json") && !slu_streq(format, "table"))
		return 1 + cli_usage(c, "--output (-o) is json or table, not '%s'%s", format,
				     slu_streq(c->verb->name, "mount")
					     ? "; settings are given by --set NAME=VALUE, and by "
					       "-o to `mount -t fuse.sluice`"
					     : "");
	if (c->nargs < c->verb->min && !cli_has(c, "show-settings"))
		return 1 +
		       cli_usage(c, "too few arguments: %s wants %s", c->verb->name, c->verb->args);
	if (c->verb->max >= 0 && c->nargs > c->verb->max)
		return 1 + cli_usage(c, "too many arguments: %s takes %s", c->verb->name,
				     c->verb->max ? c->verb->args : "none");
	if (cli_has(c, "verbose"))
		sluice_set_log(NULL, NULL, cli_nth(c, "verbose", 1) ? 3 : 2);
	return 0;
}

/* --- errors --- */

/* {"error": ...} on a line of its own; false: no memory for it. */
static bool say_json(int code, const char *text, const char *service)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_json_freep) struct json_t *top = slu_json_object();

	if (!o || !top || slu_json_set_str(o, "message", text) < 0 ||
	    slu_json_set_int(o, "code", code) < 0 ||
	    (*service && slu_json_set_str(o, "service", service) < 0) ||
	    slu_json_set(top, "error", slu_json_ref(o)) < 0)
		return false;
	SLU_AUTO(slu_freep) char *line = slu_json_text(top, SLU_JSON_COMPACT);

	return line && fprintf(stderr, "%s\n", line) > 0;
}

int cli_fail(const struct cli *c, int rc, const struct sluice_error *e)
{
	const char *text = e->message[0] ? e->message : strerror(-rc);

	fflush(stdout);
	if (!c->json || !say_json(sluice_exit_code(rc), text, e->service))
		fprintf(stderr, "sluice: %s\n", text);
	return sluice_exit_code(rc);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096), shown = SLU_BUF(16384);
	va_list ap;

	va_start(ap, fmt);
	SLU_AUTO(slu_freep) char *text = slu_vasprintf(fmt, ap);
	va_end(ap);
	slu_buf_str(&b, text ? text : "wrong usage");
	slu_show(&shown, b.p ? b.p : "");
	slu_buf_fmt(&shown, "; see `sluice%s%s --help`", c->verb ? " " : "",
		    c->verb ? c->verb->name : "");

	const char *said = shown.p ? shown.p : "wrong usage", *format = cli_get(c, "output");

	/* Perhaps the options were not checked yet. */
	if (!format || !slu_streq(format, "json") || !say_json(CLI_USAGE, said, ""))
		fprintf(stderr, "sluice: %s\n", said);
	return CLI_USAGE;
}

int cli_local(const struct cli *c, const char *path)
{
	size_t n = path ? strcspn(path, ":/") : 0;

	if (!n || path[n] != ':' || access(path, F_OK) == 0)
		return 0;
	return cli_usage(c,
			 "'%s' is a place in a datastore, and a folder of this machine is wanted: "
			 "`sluice cp` copies between places (./%s is a folder here)",
			 path, path);
}

int cli_open(struct cli *c, unsigned flags)
{
	struct sluice_error e;
	int r = sluice_open(cli_get(c, "workspace"), flags, &c->s, &e);

	return r < 0 ? cli_fail(c, r, &e) : 0;
}

/* A reader that went away has seen enough. */
static bool reader_gone(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

int cli_end(const struct cli *c, int status)
{
	/* What an earlier flush lost, the last one does not tell. */
	int lost = ferror(stdout) ? EIO : 0;

	if (fflush(stdout) != 0)
		lost = errno;
	if (!lost || lost == EPIPE || reader_gone())
		return status;

	struct sluice_error e = {0};

	snprintf(e.message, sizeof e.message, "cannot write the output: %s", strerror(lost));
	cli_fail(c, -lost, &e);
	return status ? status : sluice_exit_code(-lost);
}

/* --- verbs that are one call --- */

static int opened(struct cli *c)
{
	return c->s ? 0 : cli_open(c, 0);
}

int cli_show(struct cli *c, cli_show_fn *call, const char *name, const char *columns)
{
	struct sluice_error e = {0};
	char *text;
	int status = opened(c);
	int r = status ? 0 : call(c->s, name, &text, &e);

	if (status)
		return status;
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, columns);
}

int cli_list(struct cli *c, cli_list_fn *call, const char *columns)
{
	struct sluice_error e = {0};
	char *text;
	int status = opened(c);
	int r = status ? 0 : call(c->s, &text, &e);

	if (status)
		return status;
	return r < 0 ? cli_fail(c, r, &e) : render(c, text, columns);
}

int cli_change(struct cli *c, cli_change_fn *call)
{
	struct sluice_error e = {0};
	int status = opened(c);
	int r = status ? 0 : call(c->s, c->args[0], &e);

	return r < 0 ? cli_fail(c, r, &e) : status;
}

/* --- the verb --- */

/* "data create": two words, or one.  *ret_words: how many arguments it took. */
static const struct cli_verb *find_verb(int argc, char **argv, int *ret_words)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		const char *rest = argc > 1 ? slu_after(v->name, argv[1]) : NULL;

		if (!rest)
			continue;
		if (rest[0] == '\0') {
			*ret_words = 1;
			return v;
		}
		if (rest[0] == ' ' && argc > 2 && slu_streq(rest + 1, argv[2])) {
			*ret_words = 2;
			return v;
		}
	}
	return NULL;
}

/* Is it a first word of verbs ("data")? */
static bool is_group(const char *word)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		const char *rest = slu_after(v->name, word);

		if (rest && rest[0] == ' ' && !v->hidden)
			return true;
	}
	return false;
}

static void help_group(FILE *f, const char *word)
{
	fprintf(f, "usage: sluice %s VERB [options] [arguments]\n\n", word);
	help_verbs(f, word);
	fprintf(f, "\n`sluice %s VERB --help` shows its options.\n", word);
}

static bool is_help(const char *word)
{
	return slu_streq(word, "--help") || slu_streq(word, "-h") || slu_streq(word, "help");
}

/* more: the word behind it, or NULL; it may be the second of a verb. */
static int unknown_verb(const struct cli *none, const char *text, const char *more)
{
	SLU_AUTO(slu_freep) char *both = more ? slu_asprintf("%s %s", text, more) : NULL;
	const char *near = NULL;

	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (v->hidden)
			continue;
		if (!strchr(v->name, ' '))
			near = slu_nearer(text, near, v->name);
		else if (both)
			near = slu_nearer(both, near, v->name);
	}
	if (none->verb && both) /* the first word is right */
		text = both;
	return cli_usage(none, "'%s' is no verb%s%s%s", text, near ? " (is '" : "",
			 near ? near : "", near ? "' meant?)" : "");
}

/* `sluice help`, `sluice help data`, `sluice help data create`. */
static int tell_help(const struct cli *none, int argc, char **argv)
{
	int words;
	const struct cli_verb *verb = find_verb(argc - 1, argv + 1, &words);

	if (argc < 3 || verb)
		cli_help(stdout, verb);
	else if (is_group(argv[2]))
		help_group(stdout, argv[2]);
	else
		return unknown_verb(none, argv[2], argc > 3 ? argv[3] : NULL);
	return cli_end(none, 0);
}

/* "data" without a second word that makes it a verb. */
static int no_second(const struct cli *none, int argc, char **argv)
{
	bool wanted = argc > 2 && is_help(argv[2]);

	if (argc > 2 && !wanted) {
		const struct cli_verb group = {.name = argv[1]};

		return unknown_verb(&(struct cli){.verb = &group}, argv[1], argv[2]);
	}
	help_group(wanted ? stdout : stderr, argv[1]);
	return wanted ? cli_end(none, 0) : CLI_USAGE;
}

static int no_verb(int argc, char **argv)
{
	static const struct cli none = {0};

	if (argc < 2) {
		cli_help(stderr, NULL);
		return CLI_USAGE;
	}
	if (slu_streq(argv[1], "--version") || slu_streq(argv[1], "version")) {
		printf("sluice %s\n", sluice_version());
		return cli_end(&none, 0);
	}
	if (is_help(argv[1]))
		return tell_help(&none, argc, argv);
	if (is_group(argv[1]))
		return no_second(&none, argc, argv);
	return unknown_verb(&none, argv[1], argc > 2 ? argv[2] : NULL);
}

/* A standard descriptor that the caller closed must not become the number of a file of ours, which
 * a message would then be written into.  Using it fails as before. */
static void hold_standard(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_CLOEXEC) < 0)
			return;
}

/* `sluice -o json data list` is `sluice data list -o json`: options before the verb go behind it.  Only the
 * common ones can stand there, and of those only -o and -w take an argument. */
static void verb_first(int argc, char **argv)
{
	int n = 1, words = 0;

	while (n < argc && argv[n][0] == '-' && argv[n][1] && !slu_streq(argv[n], "--version") &&
	       !slu_streq(argv[n], "--help") && !slu_streq(argv[n], "-h"))
		n += slu_streq(argv[n], "-o") || slu_streq(argv[n], "-w") ||
				     slu_streq(argv[n], "--output") ||
				     slu_streq(argv[n], "--workspace")
			     ? 2
			     : 1;
	if (n == 1 || n >= argc || !find_verb(argc - n + 1, argv + n - 1, &words))
		return;
	for (int i = 0; i < words; i++) {
		char *word = argv[n + i];

		memmove(argv + 2 + i, argv + 1 + i, (size_t)(n - 1) * sizeof *argv);
		argv[1 + i] = word;
	}
}

static int command(int argc, char **argv)
{
	struct cli c = {0};
	int words;

	verb_first(argc, argv);
	c.verb = find_verb(argc, argv, &words);
	if (!c.verb && cli_is_mount_call(argc, argv))
		return cli_mount_helper(argc, argv, command);
	if (!c.verb)
		return no_verb(argc, argv);
	int r = parse(&c, argc - words, argv + words);
	if (r == 0)
		r = check(&c);
	if (r != 0)
		return cli_end(&c, r - 1);
	r = c.verb->run(&c);
	sluice_close(c.s);
	return cli_end(&c, r);
}

int main(int argc, char **argv)
{
	hold_standard();
	signal(SIGPIPE, SIG_IGN);
	if (cli_is_mount_helper(argc, argv))
		return cli_mount_helper(argc, argv, command);
	return command(argc, argv);
}
