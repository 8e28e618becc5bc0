/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a writable mount, for who has to know whether all that was written is in the store, and what it was:
 * the file `report` in the stage folder, a line for each event, added to by one worker after the other:
 *
 *   lost PATH WHY     what was written to it is not, or may not be, in the store; PATH may be empty
 *   have PATH         a commit of it was a success after all, or its program has removed it
 *   wrote PATH ID     the store has it in this state, by a commit or a rename; ID `-`: in one that is not known
 *   gone PATH         it has this name no more
 *   moved PATH OLD    a folder was renamed, with all that is in it
 *   end               the mount has ended with everything in the store
 *
 * PATH, OLD and ID are percent-encoded.  Where there is no room for a line the file gets the sticky bit, and never an
 * end.  It is read by stage_written.c.
 */
#include "fs/stage_impl.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT SLU_STAGE_REPORT

int slu_stages_report_open(struct slu_stages *t, struct slu_err *e)
{
	struct stat st;
	int fd = openat(t->fd, "../../" REPORT,
			O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || fstat(fd, &st)) {
		int r = errno;

		slu_closep(&fd);
		return slu_fail_sys(e, r, "cannot make the report of '%s'", t->where);
	}
	t->report = fd;
	atomic_store(&t->lost, st.st_size > 0);
	return 0;
}

static void add(struct slu_stages *t, const char *what, const char *path, const char *why)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_STAGE_LINE_MAX);

	slu_buf_str(&b, what);
	if (path) {
		slu_buf_ch(&b, ' ');
		slu_url_encode(&b, path, strlen(path), SLU_STAGE_PLAIN);
	}
	if (why)
		slu_buf_fmt(&b, " %s", why);
	slu_buf_ch(&b, '\n');
	if (slu_buf_err(&b) || write(t->report, b.p, b.len) != (ssize_t)b.len)
		(void)fchmod(t->report, 0600 | S_ISVTX);
}

void slu_stages_lost(struct slu_stages *t, const char *path, const char *why)
{
	if (t->report < 0)
		return;
	atomic_store(&t->lost, true);
	add(t, "lost", path, why);
}

void slu_stages_have(struct slu_stages *t, const char *path)
{
	if (t->report >= 0 && atomic_load(&t->lost))
		add(t, "have", path, NULL);
}

/* Two names, or a name and a state. */
static void add_pair(struct slu_stages *t, const char *what, const char *path, const char *more)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(SLU_STAGE_LINE_MAX);

	slu_url_encode(&b, more, strlen(more), SLU_STAGE_PLAIN);
	add(t, what, path, slu_buf_err(&b) || !b.p ? "-" : b.p);
}

void slu_stages_wrote(struct slu_stages *t, const char *path, const char *id)
{
	if (t->report >= 0)
		add_pair(t, "wrote", path, *id ? id : "-");
}

void slu_stages_gone(struct slu_stages *t, const char *path)
{
	if (t->report >= 0)
		add(t, "gone", path, NULL);
}

void slu_stages_moved(struct slu_stages *t, const char *path, const char *old)
{
	if (t->report >= 0)
		add_pair(t, "moved", path, old);
}

void slu_stage_suspect(struct slu_stage *s, const char *why)
{
	SLU_AUTO(slu_freep) char *path = NULL;

	if (s->t->report < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->suspect = true;
	path = slu_strdup(s->path);
	pthread_mutex_unlock(&s->lock);
	slu_stages_lost(s->t, path ? path : "", why);
}

void slu_stage_trust(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->suspect && !s->i.dirty)
		slu_stages_have(s->t, s->path);
	s->suspect = false;
	pthread_mutex_unlock(&s->lock);
}

void slu_stages_report_end(struct slu_stages *t)
{
	uint64_t pos = 0;
	bool all = true;

	while (t->report >= 0) {
		SLU_AUTO(slu_stage_putp) struct slu_stage *s = slu_stages_next(t, &pos);
		SLU_AUTO(slu_freep) char *path = s ? slu_stage_path(s) : NULL;
		struct slu_stage_info i;

		if (!s)
			break;
		slu_stage_info(s, &i);
		if (i.removed || (!i.dirty && i.type != S_IFLNK))
			continue;
		all = false;
		slu_stages_lost(t, path ? path : "",
				i.type ? "it is a symbolic link, which no store keeps"
				       : "it was not in the store when the mount ended");
	}
	if (all && t->report >= 0)
		add(t, "end", NULL, NULL);
}
