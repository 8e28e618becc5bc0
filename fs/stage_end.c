/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a stage beside writing to it: it is held still, gets another name or none, and ends (stage.h). */
#include "fs/stage_impl.h"

#include "common/mem.h"
#include "common/str.h"

#include <errno.h>

void slu_stage_killed(struct slu_stage *s, bool killed)
{
	pthread_mutex_lock(&s->lock);
	if (s->i.killed != killed) {
		s->i.killed = killed;
		(void)slu_stage_record(s, false);
	}
	pthread_mutex_unlock(&s->lock);
}

void slu_stage_heard(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	s->i.told = true;
	pthread_mutex_unlock(&s->lock);
}

bool slu_stage_seize(struct slu_stage *s)
{
	bool there;

	slu_stage_enter(s);
	there = s->listed; /* only changed with this lock held, too */
	if (there)
		pthread_mutex_unlock(&s->lock);
	else
		slu_stage_leave(s);
	return there;
}

void slu_stage_release(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	slu_stage_leave(s);
}

void slu_stage_rename(struct slu_stage *s, uint64_t up, const char *path,
		      const struct slu_attr *now)
{
	char *copy = slu_strdup(path);
	int r = copy ? 0 : -ENOMEM;

	pthread_mutex_lock(&s->lock);
	if (copy) {
		free(s->path);
		s->path = copy;
	}
	s->i.up = up;
	s->i.born = false;
	if (now && !s->i.fresh)
		s->i.base = *now;
	s->in_order = false; /* what was sent was for the old name */
	if (!r)
		r = slu_stage_record(s, s->i.synced);
	if (r)
		slu_stage_fail(s, r);
	pthread_mutex_unlock(&s->lock);
}

/* Lock held. */
static void lose_name(struct slu_stage *s)
{
	s->i.removed = true;
	s->in_order = false;
	/* A record that says otherwise would bring it back. */
	if (slu_stage_record(s, s->i.synced))
		slu_stage_forget(s);
}

void slu_stage_remove(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	lose_name(s);
	slu_stages_have(s->t, s->path);
	pthread_mutex_unlock(&s->lock);
}

void slu_stage_let_go(struct slu_stage *s)
{
	pthread_mutex_lock(&s->lock);
	lose_name(s);
	pthread_mutex_unlock(&s->lock);
}

/* Lock held: nobody has it open, and it goes. */
static void leave_disk(struct slu_stage *s)
{
	bool whole = s->i.dirty && !s->i.removed;

	if (whole && (s->i.synced ? s->i.failed : s->i.killed && s->i.size))
		slu_stage_set_aside(s);
	else if (!whole || !s->i.synced)
		slu_stage_erase(s);
}

bool slu_stage_end(struct slu_stage *s, bool give_up, struct slu_stage_info *ret)
{
	bool gone;

	pthread_mutex_lock(&s->lock);
	*ret = s->i;
	gone = !s->busy && !s->streaming && s->listed && (give_up || !slu_stage_is_left(s)) &&
	       (s->i.removed || (!s->i.type && (s->i.failed || !s->i.dirty || give_up)));
	if (gone) {
		slu_stage_unlist(s);
		if (s->i.filled)
			(void)slu_stages_charge(s->t, -(int64_t)s->i.size);
		leave_disk(s);
	}
	pthread_mutex_unlock(&s->lock);
	return gone;
}
