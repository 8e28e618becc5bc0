/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that the workers of a mount leave to one another: who is in flight, the INIT request, and
 * areas for what their modules keep.  The table of requests is open addressing without tombstones: a
 * request is where a free place was when it came, at most PROBES after its own; one that finds none is
 * left out, which slu_mshare_refuse() allows for.  No process is started or watched here.
 */
#include "fs/mount_share.h"

#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3165726168536d73ull
#define PROBES 64u
#define AGAIN (1ull << 63) /* in `unique`: the kernel asks a second time */
#define STEP 2u            /* between uniques of the kernel */
#define SWEEP 4096u        /* uniques on either side of the newest that are refused too */

int slu_mshare_new(int *ret_fd, struct slu_mshare **ret, struct slu_err *e)
{
	int fd = -1, flags = MAP_SHARED;
	struct slu_mshare *s;

	if (ret_fd) {
		fd = memfd_create("sluice-mount", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			return slu_fail_sys(e, errno, "cannot make the memory of a mount");
		if (ftruncate(fd, sizeof *s) ||
		    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
			int r = slu_fail_sys(e, errno, "cannot make the memory of a mount");

			close(fd);
			return r;
		}
	} else {
		flags = MAP_PRIVATE | MAP_ANONYMOUS;
	}
	s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (s == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return slu_fail_oom(e);
	}
	s->magic = MAGIC;
	s->layout = SLU_MSHARE_LAYOUT;
	s->size = sizeof *s;
	if (ret_fd)
		*ret_fd = fd;
	*ret = s;
	return 0;
}

int slu_mshare_attach(int fd, struct slu_mshare **ret, struct slu_err *e)
{
	struct slu_mshare *s;
	struct stat st;

	if (fstat(fd, &st))
		return slu_fail_sys(e, errno, "cannot use the memory of the mount");
	if (st.st_size != sizeof *s)
		return slu_fail(e, EPROTO, "this mount was made by another version of sluice");
	s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return slu_fail_sys(e, errno, "cannot use the memory of the mount");
	if (s->magic != MAGIC || s->layout != SLU_MSHARE_LAYOUT || s->size != sizeof *s) {
		munmap(s, sizeof *s);
		return slu_fail(e, EPROTO, "this mount was made by another version of sluice");
	}
	*ret = s;
	return 0;
}

void slu_mshare_free(struct slu_mshare *s)
{
	if (s)
		munmap(s, sizeof *s);
}

void *slu_mshare_area(struct slu_mshare *s, enum slu_marea which, uint32_t layout, bool *ret_new)
{
	uint32_t was = atomic_load(&s->area_layout[which]);

	if (was && was != layout) {
		/* A worker that dies here leaves an area that is new to the next. */
		atomic_store(&s->area_layout[which], 0);
		memset(s->area[which], 0, SLU_MAREA_SIZE);
	}
	atomic_store(&s->area_layout[which], layout);
	if (ret_new)
		*ret_new = was != layout;
	return s->area[which];
}

/* --- requests in flight --- */

static unsigned home(uint64_t unique)
{
	return (unsigned)((unique & ~AGAIN) * 0x9e3779b97f4a7c15ull >> 54) % SLU_MSHARE_FLIGHTS;
}

void slu_mshare_taken(struct slu_mshare *s, uint64_t unique)
{
	unsigned at = home(unique);

	atomic_fetch_add_explicit(&s->taken, 1, memory_order_relaxed);
	if (unique & AGAIN)
		atomic_fetch_add_explicit(&s->again, 1, memory_order_relaxed);
	else
		atomic_store_explicit(&s->newest, unique, memory_order_relaxed);
	for (unsigned i = 0; i < PROBES; i++) {
		struct slu_mflight *f = &s->flights[(at + i) % SLU_MSHARE_FLIGHTS];
		uint64_t none = 0;

		if (atomic_load_explicit(&f->unique, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&f->unique, &none, unique)) {
			atomic_store(&f->since, slu_now());
			return;
		}
	}
}

void slu_mshare_answered(struct slu_mshare *s, uint64_t unique)
{
	unsigned at = home(unique);

	for (unsigned i = 0; i < PROBES; i++) {
		struct slu_mflight *f = &s->flights[(at + i) % SLU_MSHARE_FLIGHTS];

		if (atomic_load_explicit(&f->unique, memory_order_relaxed) == unique) {
			atomic_store(&f->since, 0);
			atomic_store(&f->unique, 0);
			return;
		}
	}
}

/* Whoever is in flight now stays in the list, whoever is not leaves it: it was answered. */
void slu_mshare_blame(struct slu_mshare *s)
{
	struct slu_mblame now[SLU_MSHARE_BLAMES];
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_MSHARE_FLIGHTS && n < SLU_MSHARE_BLAMES; i++) {
		uint64_t unique = atomic_load(&s->flights[i].unique) & ~AGAIN;

		if (!unique)
			continue;
		now[n] = (struct slu_mblame){.unique = unique, .crashes = 1};
		for (unsigned k = 0; k < SLU_MSHARE_BLAMES; k++)
			if (s->blames[k].unique == unique)
				now[n].crashes += s->blames[k].crashes;
		n++;
	}
	memset(s->blames, 0, sizeof s->blames);
	memcpy(s->blames, now, n * sizeof now[0]);
}

bool slu_mshare_blamed(const struct slu_mshare *s, uint64_t unique)
{
	if (!(unique & AGAIN))
		return false;
	for (unsigned i = 0; i < SLU_MSHARE_BLAMES && s->blames[i].unique; i++)
		if (s->blames[i].unique == (unique & ~AGAIN))
			return s->blames[i].crashes >= SLU_MSHARE_CRASHES;
	return false;
}

void slu_mshare_forget(struct slu_mshare *s)
{
	for (unsigned i = 0; i < SLU_MSHARE_FLIGHTS; i++) {
		atomic_store(&s->flights[i].since, 0);
		atomic_store(&s->flights[i].unique, 0);
	}
}

unsigned slu_mshare_flying(const struct slu_mshare *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_MSHARE_FLIGHTS; i++)
		n += atomic_load(&s->flights[i].unique) != 0;
	return n;
}

int64_t slu_mshare_oldest(const struct slu_mshare *s)
{
	int64_t oldest = 0;

	for (unsigned i = 0; i < SLU_MSHARE_FLIGHTS; i++) {
		/* Between the two stores of a request that comes or goes `since` is 0. */
		int64_t since =
			atomic_load(&s->flights[i].unique) ? atomic_load(&s->flights[i].since) : 0;

		if (since && (!oldest || since < oldest))
			oldest = since;
	}
	return oldest;
}

/* The kernel knows which of these it has handed out and not heard of; it refuses the others. */
static bool refuse(int fuse_fd, uint64_t unique)
{
	struct fuse_out_header h = {.len = sizeof h, .error = -EIO, .unique = unique};

	return write(fuse_fd, &h, sizeof h) == sizeof h;
}

unsigned slu_mshare_refuse(struct slu_mshare *s, int fuse_fd)
{
	uint64_t newest = atomic_load(&s->newest);
	uint64_t from = newest > SWEEP * STEP ? newest - SWEEP * STEP : STEP;
	unsigned n = 0;

	for (unsigned i = 0; i < SLU_MSHARE_FLIGHTS; i++) {
		uint64_t unique = atomic_load(&s->flights[i].unique);

		if (unique)
			n += refuse(fuse_fd, unique);
	}
	/* One that was taken, and its worker killed before it could write that down, or found no place:
	 * near the newest. */
	for (uint64_t u = from - from % STEP; u <= newest + SWEEP * STEP; u += STEP)
		n += refuse(fuse_fd, u);
	atomic_fetch_add(&s->refused, n);
	slu_mshare_forget(s);
	return n;
}
