/* SPDX-License-Identifier: Apache-2.0 */
/* How far ahead a stream should fetch (pace.h). */
#include "fs/pace.h"

#include "common/time.h"

#define WINDOW_MIN (4ull << 20)
#define ROUND_MIN (2 * SLU_MS)
#define ROUND_MAX (500 * SLU_MS)
#define EPOCH_MIN (2 * SLU_SEC)
#define EPOCH_ROUNDS 40
#define GAIN 2.0
/* In PROBE of CYCLE rounds it is this. */
#define GAIN_PROBE 0.75
#define CYCLE 16
#define PROBE 2

static int64_t alone(const struct slu_pace_time *t)
{
	return t->before && (!t->least || t->before < t->least) ? t->before : t->least;
}

void slu_pace_fetched(struct slu_pace_time *t, int64_t ns, int64_t now)
{
	if (ns <= 0)
		ns = 1;
	if (now >= t->until) {
		t->before = t->least;
		t->least = 0;
		t->until = now + (ns > EPOCH_MIN / EPOCH_ROUNDS ? ns * EPOCH_ROUNDS : EPOCH_MIN);
	}
	if (!t->least || ns < t->least)
		t->least = ns;
}

void slu_pace_read(struct slu_pace *p, const struct slu_pace_time *t, uint64_t n, int64_t now)
{
	int64_t round = alone(t) < ROUND_MIN ? ROUND_MIN : alone(t);

	if (round > ROUND_MAX)
		round = ROUND_MAX;
	if (!p->since)
		p->since = now;
	p->bytes += n;
	/* A pause of the program says nothing of what it can take. */
	if (now - p->since > 16 * round) {
		p->since = now;
		p->bytes = 0;
		return;
	}
	if (now - p->since < round)
		return;
	p->rate[p->round++ % SLU_PACE_ROUNDS] =
		(uint64_t)((double)p->bytes * (double)SLU_SEC / (double)(now - p->since));
	p->since = now;
	p->bytes = 0;
}

uint64_t slu_pace_window(const struct slu_pace *p, const struct slu_pace_time *t)
{
	uint64_t best = 0;
	double n;

	for (unsigned i = 0; i < SLU_PACE_ROUNDS; i++)
		if (p->rate[i] > best)
			best = p->rate[i];
	n = (double)best * (double)alone(t) / (double)SLU_SEC;
	n *= p->round % CYCLE >= CYCLE - PROBE ? GAIN_PROBE : GAIN;
	return n < (double)WINDOW_MIN ? WINDOW_MIN : (uint64_t)n;
}
