/* SPDX-License-Identifier: Apache-2.0 */
/* How far ahead a stream should fetch (pace.h). */
#include "fs/pace.h"

#include "common/time.h"

#define WINDOW_MIN (4ull << 20)
#define WINDOW_START (32ull << 20) /* in the first rounds, where one takes long */
#define ROUND_LONG (10 * SLU_MS)
#define ROUND_MIN (2 * SLU_MS)
#define ROUND_MAX (500 * SLU_MS)
#define EPOCH_MIN (2 * SLU_SEC)
#define EPOCH_ROUNDS 40
/* How many times what arrives in the time of a block: in the first rounds, while the rate grows; later; and
 * in the last PROBE of CYCLE rounds. */
#define GAIN_START 3.0
#define GAIN 2.0
#define GAIN_PROBE 0.75
#define GAIN_LARGE 1.5 /* at most, of what is larger than LARGE: memory */
#define LARGE (32.0 * (1 << 20))
#define GROWS 1.1
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
		t->rate_before = t->rate;
		t->rate = 0;
		t->until = now + (ns > EPOCH_MIN / EPOCH_ROUNDS ? ns * EPOCH_ROUNDS : EPOCH_MIN);
	}
	if (!t->least || ns < t->least)
		t->least = ns;
}

void slu_pace_read(struct slu_pace *p, struct slu_pace_time *t, uint64_t n, int64_t now)
{
	int64_t round = alone(t) < ROUND_MIN ? ROUND_MIN : alone(t);

	if (round > ROUND_MAX)
		round = ROUND_MAX;
	if (!p->since) {
		p->since = now;
		return;
	}
	p->bytes += n;
	/* A pause of the program says nothing of what it can take. */
	if (now - p->since > 16 * round) {
		p->since = now;
		p->bytes = 0;
		return;
	}
	if (now - p->since < round)
		return;
	uint64_t rate = (uint64_t)((double)p->bytes * (double)SLU_SEC / (double)(now - p->since));

	p->rate[p->round++ % SLU_PACE_ROUNDS] = rate;
	if (rate > t->rate)
		t->rate = rate;
	p->since = now;
	p->bytes = 0;
}

static double gain(const struct slu_pace *p, uint64_t last, uint64_t before)
{
	if (p->round % CYCLE >= CYCLE - PROBE)
		return GAIN_PROBE;
	if (p->round < CYCLE && (double)last > GROWS * (double)before)
		return GAIN_START;
	return GAIN;
}

uint64_t slu_pace_window(const struct slu_pace *p, const struct slu_pace_time *t)
{
	unsigned at = (p->round + SLU_PACE_ROUNDS - 1) % SLU_PACE_ROUNDS;
	uint64_t before = 0, best, known = 0, last = p->rate[at], min = WINDOW_MIN;
	double n, most;

	for (unsigned i = 0; i < SLU_PACE_ROUNDS; i++)
		if (i != at && p->rate[i] > before)
			before = p->rate[i];
	if (p->round < SLU_PACE_ROUNDS)
		known = t->rate > t->rate_before ? t->rate : t->rate_before;
	best = last > before ? last : before;
	n = (double)(best > known ? best : known) * (double)alone(t) / (double)SLU_SEC;
	most = GAIN_LARGE * n > LARGE ? GAIN_LARGE * n : LARGE;
	n *= gain(p, last, before);
	if (n > most)
		n = most;
	if (p->round < SLU_PACE_ROUNDS && alone(t) >= ROUND_LONG)
		min = WINDOW_START;
	return n < (double)min ? min : (uint64_t)n;
}
