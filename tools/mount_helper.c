/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command as mount(8) calls it, from fstab or by hand:
 *
 *   mount.fuse.sluice REF DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]
 *
 * is rewritten into `sluice mount --set=... -- REF DIR`.  What mount(8) says to every file system means
 * nothing here or is so anyway; what is left is an option or a setting of ours, and is refused by its
 * name when it is neither.
 */
#include "tools/cli.h"

#include "common/mem.h"
#include "common/str.h"

#include <string.h>

#define HELPER_USAGE 1 /* exit statuses of mount(8) */
#define HELPER_FAILED 32

/* Of mount(8) itself, or true of every mount of ours (ro, nodev, nosuid). */
static const char *const general[] = {
	"ro",          "rw",         "auto",          "noauto",   "defaults",   "user",
	"nouser",      "users",      "owner",         "group",    "exec",       "noexec",
	"suid",        "nosuid",     "dev",           "nodev",    "sync",       "async",
	"dirsync",     "atime",      "noatime",       "diratime", "relatime",   "norelatime",
	"strictatime", "nodiratime", "nostrictatime", "lazytime", "nolazytime", "silent",
	"loud",        "_netdev",    "nofail",        "iversion", "noiversion", "mand",
	"nomand",
};

static bool is_general(const char *word)
{
	for (size_t i = 0; i < sizeof general / sizeof general[0]; i++)
		if (slu_streq(general[i], word))
			return true;
	return slu_starts(word, "x-") || slu_starts(word, "X-") || slu_starts(word, "comment=");
}

bool cli_is_mount_helper(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "";

	return slu_streq(name, "mount.fuse.sluice") || slu_streq(name, "mount.sluice");
}

/* The way of mount.fuse3(8), for who has it and not our link: `sluice REF DIR -o OPTIONS`. */
bool cli_is_mount_call(int argc, char **argv)
{
	return argc == 5 && slu_streq(argv[3], "-o") && argv[1][0] != '-' && argv[2][0] == '/';
}

struct call {
	char **argv; /* made */
	size_t n;
	const char *ref, *dir;
	bool fake, oom, again;
	const char *wrong; /* "-x", or an option without its argument */
};

static void push(struct call *h, char *text)
{
	if (text)
		h->argv[h->n++] = text;
	else
		h->oom = true;
}

static void take_option(struct call *h, const char *word)
{
	static const char *const own[] = {"workspace=", "log=", "manifest="};

	if (!*word || is_general(word))
		return;
	if (slu_streq(word, "remount")) {
		h->again = true;
		return;
	}
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		if (slu_starts(word, own[i])) {
			push(h, slu_asprintf("--%s", word));
			return;
		}
	}
	push(h, slu_asprintf("--set=%s%s", word, strchr(word, '=') ? "" : "=true"));
}

/* "a,b=c\,d": a backslash takes what follows as it is. */
static void take_options(struct call *h, const char *list)
{
	SLU_AUTO(slu_freep) char *word = slu_strdup(list);
	size_t n = 0;

	if (!word) {
		h->oom = true;
		return;
	}
	for (const char *p = list;; p++) {
		if (*p == '\\' && p[1]) {
			word[n++] = *++p;
		} else if (*p && *p != ',') {
			word[n++] = *p;
		} else {
			word[n] = '\0';
			take_option(h, word);
			n = 0;
		}
		if (!*p)
			return;
	}
}

/* "-nv", "-o LIST", "-oLIST"; *i moves over arguments that it takes. */
static void take_flag(struct call *h, int argc, char **argv, int *i)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		if (strchr("oNt", *p)) {
			const char *value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;

			if (!value)
				h->wrong = argv[*i];
			else if (*p == 'o')
				take_options(h, value);
			return;
		}
		if (*p == 'f')
			h->fake = true;
		else if (!strchr("snv", *p))
			h->wrong = argv[*i];
	}
}

static size_t count_words(int argc, char **argv)
{
	size_t n = 0;

	for (int i = 0; i < argc; i++) {
		n++;
		for (const char *p = argv[i]; *p; p++)
			n += *p == ',';
	}
	return n;
}

static int usage(const struct call *h)
{
	if (h->oom)
		fputs("sluice: out of memory\n", stderr);
	else if (h->wrong)
		fprintf(stderr, "sluice: '%s' is unknown or lacks its argument; ", h->wrong);
	if (!h->oom)
		fputs("usage: mount -t fuse.sluice REF DIR [-o OPTIONS]; see sluice(1), MOUNTS FROM "
		      "FSTAB\n",
		      stderr);
	return HELPER_USAGE;
}

static void take_all(struct call *h, int argc, char **argv)
{
	for (int i = 1; i < argc && !h->oom && !h->wrong; i++) {
		if (argv[i][0] == '-' && argv[i][1])
			take_flag(h, argc, argv, &i);
		else if (!h->ref)
			h->ref = argv[i];
		else if (!h->dir)
			h->dir = argv[i];
		else
			h->wrong = argv[i];
	}
}

int cli_mount_helper(int argc, char **argv, int (*run)(int argc, char **argv))
{
	struct call h = {.argv = slu_calloc(count_words(argc, argv) + 8, sizeof(char *))};
	int status;

	if (!h.argv) {
		h.oom = true;
		return usage(&h);
	}
	push(&h, slu_strdup("sluice"));
	push(&h, slu_strdup("mount"));
	take_all(&h, argc, argv);
	if (h.oom || h.wrong || !h.dir) {
		status = usage(&h);
	} else if (h.again) {
		fprintf(stderr,
			"sluice: '%s' cannot be mounted with other options while it is there "
			"(remount): unmount it first\n",
			h.dir);
		status = HELPER_FAILED;
	} else {
		push(&h, slu_strdup("--"));
		push(&h, slu_strdup(h.ref));
		push(&h, slu_strdup(h.dir));
		status = h.oom ? usage(&h) : h.fake || !run((int)h.n, h.argv) ? 0 : HELPER_FAILED;
	}
	for (size_t i = 0; i < h.n; i++)
		free(h.argv[i]);
	free(h.argv);
	return status;
}
