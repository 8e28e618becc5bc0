/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making environments.  One lies in a folder of its own, named by what it was made of:
 *
 *   environments/KEY/environment.json   the record, put last by a rename: with it the environment is whole
 *                    env/               a venv or a conda prefix; cannot be moved, so it is built in place
 *                    env.tar.gz         for clusters, when it was asked for
 *   environments/KEY.lock               exclusive while it is made, shared while it is used
 *   environments/KEY.log                what the programs said
 *
 * Who finds no record under the exclusive lock removes what a killed builder left and starts anew.  The programs end
 * with their builder, so nobody writes there without the lock.
 */
#include "job/environment.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/tail.h"
#include "common/time.h"
#include "dataset/folders.h"
#include "io/crypt.h"
#include "job/environment_requirements.h"
#include "job/environment_run.h"
#include "job/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LIMIT_SECONDS = 900,
	FORMAT = 1,
	KEY_BYTES = 16,
	LOG_TAIL = 64 << 10,
	ANSWER_MAX = 64 << 10,
	WORDS_MAX = 500
};

#define RECORD "environment.json"
#define ARCHIVE "env.tar.gz"

struct build {
	const struct slu_environment_job *j;
	struct slu_environment *v;
	struct slu_env *env;
	char *version; /* of the interpreter: "3.11.2 ..." */
	char *folder;  /* .../KEY */
	char *log_path;
	int dir; /* of folder */
	int log, lock;
	int64_t deadline;
};

static void build_done(struct build *b)
{
	slu_env_free(b->env);
	free(b->version);
	free(b->folder);
	free(b->log_path);
	slu_closep(&b->dir);
	slu_closep(&b->log);
	slu_closep(&b->lock);
}

void slu_environment_done(struct slu_environment *v)
{
	free(v->key);
	free(v->prefix);
	free(v->python);
	free(v->archive);
	if (v->lock > 0)
		close(v->lock);
	*v = (struct slu_environment){.lock = -1};
}

/* --- programs --- */

static int run(struct build *b, const char *const *argv, struct slu_err *e)
{
	const struct slu_environment_run how = {.envp = slu_env_list(b->env),
						.cwd = b->folder,
						.out = b->log,
						.cancel = b->j->cancel,
						.deadline = b->deadline};

	return slu_environment_run(argv, &how, e);
}

/* The first line that a program prints.  It may warn beside, and may print more than any pipe holds. */
static int ask(const struct build *b, const char *const *argv, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf text = SLU_BUF(ANSWER_MAX);
	SLU_AUTO(slu_closep) int out = memfd_create("answer", MFD_CLOEXEC);
	SLU_AUTO(slu_closep) int err = memfd_create("warnings", MFD_CLOEXEC);
	char words[WORDS_MAX + 1], *last;
	int r;

	if (out < 0 || err < 0)
		return slu_fail_sys(e, errno, "cannot make a file in memory");
	const struct slu_environment_run how = {.envp = slu_env_list(b->env),
						.cwd = "/",
						.out = out,
						.err = err,
						.cancel = b->j->cancel,
						.deadline = slu_deadline_in(60 * SLU_SEC)};

	r = slu_environment_run(argv, &how, e);
	if (r == -ECHILD) {
		last = slu_tail(err, words, sizeof(words));
		r = slu_fail(e, ECHILD, "%s%s%s", e ? e->msg : "", *last ? ": " : "", last);
	}
	if (r == 0 && lseek(out, 0, SEEK_SET) == 0)
		r = slu_buf_read_fd(&text, out);
	if (r < 0)
		return slu_fail_more(e, "'%s'", argv[0]);
	if (text.p)
		text.p[strcspn(text.p, "\r\n")] = '\0';
	*ret = text.p ? slu_buf_take(&text) : slu_strdup("");
	return *ret ? 0 : slu_fail_oom(e);
}

/* --- the key --- */

/* What the same text and interpreter gave is the same environment. */
static int make_key(struct build *b, struct slu_err *e)
{
	static const char script[] =
		"import sys, os; print('.'.join(map(str, sys.version_info[:3])), "
		"os.uname().machine, sys.implementation.name, sys.base_prefix)";
	const char *argv[] = {b->j->base, "-I", "-S", "-c", script, NULL};
	const struct slu_environment_plan *p = b->j->plan;
	SLU_AUTO(slu_freep) char *text = NULL;
	uint8_t digest[SLU_DIGEST_MAX];
	int r = 0;

	if (p->kind == SLU_ENVIRONMENT_VENV)
		r = ask(b, argv, &b->version, e);
	if (r < 0)
		return slu_fail_more(e, "environment '%s'", p->title);
	text = slu_asprintf("%d\n%d\n%s\n%s%s%s", FORMAT, p->kind,
			    b->version ? b->version : p->tool, p->text,
			    p->constraints ? "\n" SLU_CONSTRAINTS "\n" : "",
			    p->constraints ? p->constraints : "");
	b->v->key = slu_malloc(2 * KEY_BYTES + 1);
	if (!text || !b->v->key)
		return slu_fail_oom(e);
	if (slu_digest(SLU_SHA256, text, strlen(text), digest) < 0)
		return slu_fail(e, EIO, "cannot hash");
	for (size_t i = 0; i < KEY_BYTES; i++)
		snprintf(b->v->key + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* --- the folder and its lock --- */

static int wait_lock(struct build *b, int how, struct slu_err *e)
{
	while (flock(b->lock, how | LOCK_NB) < 0) {
		struct pollfd f = {.fd = b->j->cancel, .events = POLLIN};

		if (errno != EWOULDBLOCK && errno != EINTR)
			return slu_fail_sys(e, errno, "cannot lock '%s.lock'", b->folder);
		if (slu_expired(b->deadline))
			return slu_fail(e, ETIMEDOUT,
					"environment '%s' is being made by another process, which "
					"did not end in time ('%s.lock')",
					b->j->plan->title, b->folder);
		if (poll(&f, 1, 100) > 0)
			return slu_fail(e, ECANCELED, "canceled");
	}
	return 0;
}

static int open_place(struct build *b, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *all = NULL, *lock = NULL;
	int r = 0;

	if (b->j->place)
		all = slu_strdup(b->j->place);
	else
		r = slu_environment_folder(&all, e);
	if (r == 0 && all)
		r = slu_folders_make(all, 0700, e);
	if (r < 0)
		return r;
	b->folder = slu_asprintf("%s/%s", all ? all : "", b->v->key);
	lock = slu_asprintf("%s.lock", b->folder);
	b->log_path =
		b->j->log_path ? slu_strdup(b->j->log_path) : slu_asprintf("%s.log", b->folder);
	b->v->prefix = slu_asprintf("%s/env", b->folder);
	b->v->python = slu_asprintf("%s/env/bin/python", b->folder);
	if (!all || !b->folder || !lock || !b->log_path || !b->v->prefix || !b->v->python)
		return slu_fail_oom(e);
	b->lock = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->lock < 0)
		return slu_fail_sys(e, errno, "cannot open '%s'", lock);
	return 0;
}

static int open_folder(struct build *b, struct slu_err *e)
{
	slu_closep(&b->dir); /* somebody may have deleted that one since */
	if (mkdir(b->folder, 0700) < 0 && errno != EEXIST)
		return slu_fail_sys(e, errno, "cannot make '%s'", b->folder);
	b->dir = open(b->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return b->dir < 0 ? slu_fail_sys(e, errno, "cannot open '%s'", b->folder) : 0;
}

static int open_log(struct build *b, struct slu_err *e)
{
	slu_closep(&b->log);
	b->log = open(b->log_path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_APPEND | O_CLOEXEC,
		      0600);
	return b->log < 0 ? slu_fail_sys(e, errno, "cannot open '%s'", b->log_path) : 0;
}

static bool whole(const struct build *b)
{
	SLU_AUTO(slu_freep) char *record = slu_asprintf("%s/" RECORD, b->folder);

	return record && access(record, R_OK) == 0 && access(b->v->python, X_OK) == 0;
}

static bool archived(const struct build *b)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" ARCHIVE, b->folder);

	return !b->j->archive || (path && access(path, R_OK) == 0);
}

/* --- what went wrong --- */

/* pip names what it could not have; else the last line that says error is the one to tell. */
static void find_cause(const struct build *b, char *out, size_t max)
{
	SLU_AUTO(slu_buf_done) struct slu_buf text = SLU_BUF(LOG_TAIL);
	SLU_AUTO(slu_freep) char *tail = slu_malloc(LOG_TAIL + 1);
	int64_t size = lseek(b->log, 0, SEEK_END);
	ssize_t n =
		tail ? pread(b->log, tail, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0) : -1;
	char *p = tail, *line, *found = NULL, *last = NULL;

	*out = '\0';
	if (n <= 0)
		return;
	tail[n] = '\0';
	while ((line = strsep(&p, "\n"))) {
		if (strstr(line, "No matching distribution found for") ||
		    strstr(line, "ResolutionImpossible") || strstr(line, "PackagesNotFound"))
			found = line;
		else if (!found && strcasestr(line, "error"))
			last = line;
	}
	found = found ? found : last;
	if (found) {
		slu_redact(&text, found);
		snprintf(out, max, ": %s", text.p ? text.p : "");
	}
}

static int tell_failure(struct build *b, int r, struct slu_err *e)
{
	char cause[300];

	if (r == -ECANCELED)
		return r;
	if (r == -ETIMEDOUT)
		return slu_fail(e, ETIMEDOUT,
				"environment '%s' was not made within %llu s: give more with "
				"SLUICE_ENVIRONMENT_TIMEOUT; log: %s",
				b->j->plan->title,
				(unsigned long long)(b->j->limit ? b->j->limit : LIMIT_SECONDS),
				b->log_path);
	find_cause(b, cause, sizeof(cause));
	return slu_fail(e, -r, "environment '%s' could not be made%s; log: %s", b->j->plan->title,
			cause, b->log_path);
}

/* --- making it --- */

/* The wheel of pip that comes with the interpreter: pip runs from it as it is, which spares installing it first by
 * ensurepip (twice the work).  "": there is none. */
static int find_wheel(struct build *b, char **ret, struct slu_err *e)
{
	static const char script[] =
		"import glob, os\n"
		"try:\n"
		"    import ensurepip as p\n"
		"    folders = [os.path.join(os.path.dirname(p.__file__), '_bundled'), "
		"getattr(p, '_WHEEL_PKG_DIR', None)]\n"
		"except ImportError:\n"
		"    folders = []\n"
		"print(*[w for f in folders if f for w in sorted(glob.glob(f + '/pip-*.whl'))][:1])";
	const char *argv[] = {b->j->base, "-I", "-c", script, NULL};

	return ask(b, argv, ret, e);
}

/* Do the requirements say themselves which pip, or allow only what has a hash?  NULL fine. */
static bool own_pip(const char *text)
{
	if (!text)
		return false;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (slu_starts(p, "pip") && strchr("\n =<>!~@", p[3]))
			return true;
	return strstr(text, "--hash") != NULL;
}

/* Base interpreters without ensurepip may still have venv's other way. */
static int plain_venv(struct build *b, struct slu_err *e)
{
	const char *venv[] = {b->j->base, "-m", "venv", b->v->prefix, NULL};
	const char *pip[] = {b->v->python, "-m",
			     "pip",        "install",
			     "--no-input", "--disable-pip-version-check",
			     "-r",         "requirements.txt",
			     NULL};
	int r = run(b, venv, e);

	return r < 0 || !*b->j->plan->text ? r : run(b, pip, e);
}

static int put_text(struct build *b, const char *name, const char *text, struct slu_err *e)
{
	int r = slu_path_write_atomic(b->dir, name, text, strlen(text));

	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/%s'", b->folder, name) : 0;
}

static int make_venv(struct build *b, struct slu_err *e)
{
	const char *text = b->j->plan->text;
	bool own = own_pip(text) || own_pip(b->j->plan->constraints);
	SLU_AUTO(slu_freep) char *wheel = NULL, *pip = NULL;
	int r = put_text(b, "requirements.txt", text, e);

	if (r < 0)
		return r;
	r = find_wheel(b, &wheel, e);
	if (r < 0 || !*wheel)
		return r < 0 ? r : plain_venv(b, e);
	pip = slu_asprintf("%s/pip", wheel);
	if (!pip)
		return slu_fail_oom(e);
	const char *venv[] = {b->j->base, "-m", "venv", "--without-pip", b->v->prefix, NULL};
	const char *first[] = {b->v->python,   pip,   "install", "--no-input", "--no-index",
			       "--no-compile", wheel, NULL};
	const char *packages[] = {b->v->python,
				  pip,
				  "install",
				  "--no-input",
				  "--disable-pip-version-check",
				  "-r",
				  "requirements.txt",
				  own ? NULL : wheel,
				  NULL};

	r = run(b, venv, e);
	if (r == 0 && (own || !*text))
		r = run(b, first, e);
	return r == 0 && *text ? run(b, packages, e) : r;
}

static int make_conda(struct build *b, struct slu_err *e)
{
	const char *tool = b->j->plan->tool;
	bool micro = slu_streq(slu_path_base(tool), "micromamba");
	const char *argv[] = {tool,       "env",        "create", micro ? "-y" : "--quiet",
			      "--prefix", b->v->prefix, "--file", "environment.yml",
			      NULL};
	int r = put_text(b, "environment.yml", b->j->plan->text, e);

	return r < 0 ? r : run(b, argv, e);
}

static int put_record(struct build *b, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	char now[SLU_TIME_LEN];
	int r;

	slu_time_fmt(now, slu_wall());
	if (!o || slu_json_set_int(o, "format", FORMAT) < 0 ||
	    slu_json_set_str(o, "key", b->v->key) < 0 ||
	    slu_json_set_str(o, "name", b->j->plan->title) < 0 ||
	    slu_json_set_str(o, "kind",
			     b->j->plan->kind == SLU_ENVIRONMENT_CONDA ? "conda" : "venv") < 0 ||
	    slu_json_set_str(o, "python", b->version) < 0 ||
	    slu_json_set_str(o, "packages", b->j->plan->text) < 0 ||
	    slu_json_set_str(o, "constraints", b->j->plan->constraints) < 0 ||
	    slu_json_set_str(o, "created", now) < 0 ||
	    slu_json_set(o, "seconds", slu_json_new_real(b->v->seconds)) < 0 ||
	    !(text = slu_json_text(o, SLU_JSON_PRETTY)))
		return slu_fail_oom(e);
	r = slu_path_write_atomic(b->dir, RECORD, text, strlen(text));
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s/" RECORD "'", b->folder) : 0;
}

static int make(struct build *b, struct slu_err *e)
{
	int64_t began = slu_now();
	int r;

	if ((r = open_folder(b, e)) < 0 || (r = open_log(b, e)) < 0)
		return r;
	unlinkat(b->dir, RECORD, 0);
	slu_path_rmtree_mine(b->dir, "env");
	unlinkat(b->dir, ARCHIVE, 0);
	slu_log(SLU_LOG_INFO, "job", "making environment '%s' as '%s'", b->j->plan->title,
		b->folder);
	if (b->j->plan->constraints)
		r = put_text(b, SLU_CONSTRAINTS, b->j->plan->constraints, e);
	else
		r = 0;
	if (r == 0)
		r = b->j->plan->kind == SLU_ENVIRONMENT_CONDA ? make_conda(b, e) : make_venv(b, e);
	if (r < 0) {
		slu_path_rmtree_mine(b->dir, "env");
		return tell_failure(b, r, e);
	}
	b->v->seconds = (double)(slu_now() - began) / SLU_SEC;
	return put_record(b, e);
}

/* bin/python is a link to the interpreter of this machine: a cluster has the same one, as Spark itself asks for. */
static int make_archive(struct build *b, struct slu_err *e)
{
	SLU_AUTO(slu_freep)
	char *tar = slu_environment_program(slu_env_get(b->env, "PATH"), "tar");
	const char *argv[] = {tar, "-czf", ARCHIVE ".part", "-C", "env", ".", NULL};
	int r;

	if (!tar)
		return slu_fail(e, ENOENT, "there is no tar, which packs environments for Spark");
	if ((r = open_folder(b, e)) < 0 || (b->log < 0 && (r = open_log(b, e)) < 0))
		return r;
	r = run(b, argv, e);
	if (r < 0)
		return tell_failure(b, r, e);
	if (renameat(b->dir, ARCHIVE ".part", b->dir, ARCHIVE) < 0)
		return slu_fail_sys(e, errno, "cannot name '%s/" ARCHIVE "'", b->folder);
	return 0;
}

/* Shared first: most of the time it is there.  Between the two locks somebody else may have made it. */
static int get(struct build *b, struct slu_err *e)
{
	int r = wait_lock(b, LOCK_SH, e);

	while (r == 0 && (!whole(b) || !archived(b))) {
		flock(b->lock, LOCK_UN);
		r = wait_lock(b, LOCK_EX, e);
		if (r == 0 && !whole(b))
			r = make(b, e);
		if (r == 0 && !archived(b))
			r = make_archive(b, e);
		flock(b->lock, LOCK_UN);
		if (r == 0)
			r = wait_lock(b, LOCK_SH, e);
	}
	if (r < 0)
		return r;
	if (b->j->archive && !(b->v->archive = slu_asprintf("%s/" ARCHIVE, b->folder)))
		return slu_fail_oom(e);
	b->v->lock = slu_take_fd(b->lock);
	return 0;
}

static int make_env(struct build *b, struct slu_err *e)
{
	int r = slu_env_new(b->j->s, &b->env, e);
	SLU_AUTO(slu_freep) char *mark = NULL;
	char id[17];

	if (r < 0)
		return r;
	if (slu_random_id(id, 8) < 0)
		return slu_fail(e, EIO, "there is no randomness");
	mark = slu_asprintf("environment-%s", id);
	if (!mark || slu_env_set(b->env, "AZUREML_RUN_ID", mark) < 0 ||
	    slu_env_set(b->env, "PYTHONNOUSERSITE", "1") < 0)
		return slu_fail_oom(e);
	return 0;
}

int slu_environment_get(const struct slu_environment_job *j, struct slu_environment *ret,
			struct slu_err *e)
{
	struct slu_environment v = {.lock = -1};
	struct build b = {.j = j, .v = &v, .dir = -1, .log = -1, .lock = -1};
	uint64_t limit = j->limit ? j->limit : LIMIT_SECONDS;
	int r;

	b.deadline = slu_deadline_in((int64_t)limit * SLU_SEC);
	if ((r = make_env(&b, e)) == 0 && (r = make_key(&b, e)) == 0 &&
	    (r = open_place(&b, e)) == 0)
		r = get(&b, e);
	build_done(&b);
	if (r < 0)
		slu_environment_done(&v);
	else
		*ret = v;
	return r;
}
