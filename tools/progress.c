/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of copies and downloads: one line that is drawn over on a terminal, JSON lines on stderr with
 * --output json, nothing otherwise.  Also where SIGINT and SIGTERM end such work in good order.
 */
#include "tools/cli.h"

#include "common/time.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

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
		.bar = !c->json && isatty(STDERR_FILENO),
		.lines = c->json,
		.begun = slu_now(),
	};
}

static void bar(const struct progress *p, const struct sluice_progress *n)
{
	double sec = (double)(slu_now() - p->begun) / 1e9;
	double rate = sec > 0 ? (double)n->bytes / sec : 0;
	char done[16], total[16], speed[16];
	int percent =
		n->bytes_total ? (int)(100.0 * (double)n->bytes / (double)n->bytes_total) : 100;
	long eta = rate > 0 ? (long)((double)(n->bytes_total - n->bytes) / rate) : 0;

	render_size(done, n->bytes);
	render_size(total, n->bytes_total);
	render_size(speed, (uint64_t)rate);
	fprintf(stderr, "\r%s %3d%%  %s/%s  %llu/%llu files  %s/s  %ld:%02ld left\033[K", p->what,
		percent, done, total, (unsigned long long)n->files,
		(unsigned long long)n->files_total, speed, eta / 60, eta % 60);
}

int progress_show(void *user, const struct sluice_progress *n)
{
	const struct progress *p = user;

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
	if (p->bar)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *p)
{
	progress_clear(p);
	p->bar = p->lines = false;
}
