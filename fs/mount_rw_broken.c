/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a write came to which could not even make a stage: the error is sticky until nobody has them open, as that
 * of any failed write.  Few at any time.  A worker that dies forgets them.
 */
#include "fs/mount_rw.h"

#include "common/mem.h"

struct slu_mbroken {
	struct slu_mbroken *next;
	uint64_t ino;
	int error;
};

/* Lock held. */
static int error_of(const struct slu_mrw *rw, uint64_t ino)
{
	const struct slu_mbroken *b = rw->broken;

	while (b && b->ino != ino)
		b = b->next;
	return b ? b->error : 0;
}

int slu_mrw_broken(struct slu_mrw *rw, uint64_t ino)
{
	int r;

	pthread_mutex_lock(&rw->breaking);
	r = error_of(rw, ino);
	pthread_mutex_unlock(&rw->breaking);
	return r;
}

void slu_mrw_break(struct slu_mrw *rw, uint64_t ino, int error)
{
	struct slu_mbroken *b = slu_new0(struct slu_mbroken);

	pthread_mutex_lock(&rw->breaking);
	if (b && !error_of(rw, ino)) {
		*b = (struct slu_mbroken){.next = rw->broken, .ino = ino, .error = error};
		rw->broken = b;
		b = NULL;
	}
	pthread_mutex_unlock(&rw->breaking);
	free(b);
}

void slu_mrw_mend(struct slu_mrw *rw, uint64_t ino)
{
	struct slu_mbroken *gone = NULL, **at = &rw->broken;
	struct slu_lnode n;

	pthread_mutex_lock(&rw->breaking);
	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	if (*at && (slu_lnodes_get(rw->l->nodes, ino, &n) || !n.opens)) {
		gone = *at;
		*at = gone->next;
	}
	pthread_mutex_unlock(&rw->breaking);
	free(gone);
}

void slu_mrw_broken_free(struct slu_mrw *rw)
{
	while (rw->broken) {
		struct slu_mbroken *b = rw->broken;

		rw->broken = b->next;
		free(b);
	}
}
