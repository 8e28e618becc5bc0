/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of copies and downloads: one line that is drawn over on a terminal, JSON lines on stderr with
 * --output json, with --progress a line each second, nothing otherwise.  Also where SIGINT and SIGTERM end such work in good order.
 */
#include "tools/cli.h"

#include "common/time.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 10 /* failures that are told one by one */

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

void progress_begin(struct progress *p, const struct cli *c, const char *what)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	*p = (struct progress){
		.what = what,
		.bar = !c->json && (isatty(STDERR_FILENO) || cli_has(c, "progress")),
		.drawn = isatty(STDERR_FILENO),
		.lines = c->json,
		.verbose = cli_has(c, "verbose"),
		.begun = slu_now(),
	};
}

/* "  40%  2.0M/5.0M  1/3 files", or without an end in sight "  2.0M" */
static void tell_done(const struct sluice_progress *n)
{
	char done[16], total[16];

	render_size(done, n->bytes);
	if (!n->files_total) {
		fprintf(stderr, "  %s", done);
		return;
	}
	render_size(total, n->bytes_total);
	fprintf(stderr, " %3d%%  %s/%s  %llu/%llu files",
		n->bytes_total ? (int)(100.0 * (double)n->bytes / (double)n->bytes_total) : 100,
		done, total, (unsigned long long)n->files, (unsigned long long)n->files_total);
}

static void bar(struct progress *p, const struct sluice_progress *n)
{
	int64_t now = slu_now();
	double sec = (double)(now - p->begun) / 1e9;
	double rate = sec > 0 ? (double)n->bytes / sec : 0;
	char speed[16];

	if (!p->drawn && now - p->told < SLU_SEC)
		return;
	p->told = now;
	render_size(speed, (uint64_t)rate);
	fprintf(stderr, "%s%s", p->drawn ? "\r" : "", p->what);
	tell_done(n);
	fprintf(stderr, "  %s/s", speed);
	if (rate > 0 && n->bytes_total > n->bytes) {
		long eta = (long)((double)(n->bytes_total - n->bytes) / rate);

		fprintf(stderr, "  %ld:%02ld left", eta / 60, eta % 60);
	}
	fputs(p->drawn ? "\033[K" : "\n", stderr);
}

int progress_show(void *user, const struct sluice_progress *n)
{
	struct progress *p = user;

	if (p->bar)
		bar(p, n);
	else if (p->lines)
		fprintf(stderr,
			"{\"progress\": {\"files\": %llu, \"files_total\": %llu, \"bytes\": %llu, "
			"\"bytes_total\": %llu}}\n",
			(unsigned long long)n->files, (unsigned long long)n->files_total,
			(unsigned long long)n->bytes, (unsigned long long)n->bytes_total);
	return stopped;
}

void progress_clear(const struct progress *p)
{
	if (p->bar && p->drawn)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *p)
{
	progress_clear(p);
	p->bar = p->lines = false;
}

/* A bit for what is wrong with a server, and not with a file; 0: it is none. */
static int cause_of(const struct sluice_error *e)
{
	/* EAGAIN: it did not take the request, or is busy */
	static const int codes[] = {EAGAIN,       ECONNREFUSED, ETIMEDOUT, ENETUNREACH,
				    EHOSTUNREACH, ECONNRESET,   ENETDOWN};

	for (int i = 0; i < (int)(sizeof(codes) / sizeof(codes[0])); i++)
		if (e->code == codes[i])
			return 1 << i;
	return 0;
}

void progress_failed(struct progress *p, const struct sluice_error *error)
{
	int cause = p->verbose ? 0 : cause_of(error);
	bool again = p->told_causes & cause;

	p->told_causes |= cause;
	if (!p->failures++ || p->failures > SHOWN || again)
		return;
	progress_clear(p);
	fprintf(stderr, "sluice: %s\n", error->message);
}
