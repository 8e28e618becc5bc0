/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What walks hold, drawn on the memory budget, so that prefetch and caches make room for it.  A walk
 * never waits for memory, since what it holds may be what others wait for: what it cannot do without it
 * holds anyhow, and it does nothing else in the meantime.
 */
#include "fs/walk_parts.h"

#include "fs/budget.h"

#define STEP (1ull << 20)

bool slu_walk_room(struct slu_walk_room *room, uint64_t bytes)
{
	struct slu_budget *b = slu_budget_process();
	uint64_t want = bytes / STEP * STEP; /* small folders in folders count for nothing */

	if (!b)
		return false;
	if (room->held > want) {
		slu_budget_give(b, SLU_BUDGET_LIST, room->held - want);
		room->held = want;
	} else if (room->held < want && slu_budget_try(b, SLU_BUDGET_LIST, want - room->held)) {
		room->held = want;
	}
	return room->held == want;
}

bool slu_walk_room_of(struct slu_walk_room *room, const struct slu_list *list)
{
	return slu_walk_room(room, list->cap * sizeof(*list->p) + list->n * SLU_WALK_NAME);
}

void slu_walk_room_done(struct slu_walk_room *room)
{
	if (room->held)
		slu_budget_give(slu_budget_process(), SLU_BUDGET_LIST, room->held);
	room->held = 0;
}
