/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as they come from the kernel, and the INIT exchange.  libfuse before 3.17 agrees to parallel
 * directory operations but never tells the kernel, which then serialises all look-ups of one directory; it
 * knows nothing of passthrough and of shared maps of files without page cache; and it derives the largest
 * read from the largest write, so that a mount that takes no writes would keep a mebibyte a thread for
 * them.  All that is put right in the one reply, which libfuse therefore writes into a pipe of ours, each
 * bit only where the kernel offers it.  All other replies libfuse writes itself.  (fuse_session_custom_io
 * would show them all, but libfuse 3.18 refuses it unless it was built for that.)  Also the place where
 * SLUICE_FUSE_MASK plays an older kernel.
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/mount_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>

/* linux/fuse.h of older systems does not have these. */
#define INIT_EXT (1ull << 30)
#define DIRECT_IO_ALLOW_MMAP (1ull << 36)
#define HAS_RESEND (1ull << 39) /* 7.40 */
#define AGAIN (1ull << 63)      /* of `unique`: asked a second time */

struct init_out {
	struct {
		uint32_t major, minor, max_readahead, flags;
		uint16_t max_background, congestion_threshold;
		uint32_t max_write, time_gran;
		uint16_t max_pages, map_alignment;
	} old;
	uint32_t flags2, max_stack_depth;
	uint32_t unused[6];
};
static_assert(sizeof(struct init_out) == sizeof(struct fuse_init_out), "same length");

#define HEADROOM 4096u /* of a request buffer, for headers */

static _Thread_local bool again;
static _Thread_local uint64_t
	current; /* the request that this thread handles; 0: none that is answered */
static _Thread_local bool deferred; /* and it is answered later */

int slu_minit_setup(struct slu_minit *in, struct slu_err *e)
{
	const char *s = getenv("SLUICE_FUSE_MASK");
	uint64_t v = 0;

	if (!s || !*s)
		return 0;
	if (strlen(s) > 16)
		return slu_fail(e, EINVAL, "SLUICE_FUSE_MASK '%s' is no 64-bit hex number", s);
	for (const char *p = s; *p; p++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, *p | 0x20);

		if (!d)
			return slu_fail(e, EINVAL, "SLUICE_FUSE_MASK '%s' is no 64-bit hex number",
					s);
		v = v << 4 | (uint64_t)(d - digits);
	}
	in->hide = v;
	return 0;
}

/* The kernel's offer: taken down, and cut to what may be seen of it. */
static void take_offer(struct slu_minit *in, char *buf, size_t n)
{
	struct fuse_in_header h;
	struct fuse_init_in a = {0};
	size_t have = n - sizeof h;

	memcpy(&h, buf, sizeof h);
	if (h.opcode != FUSE_INIT || have < 16)
		return;
	if (have > sizeof a)
		have = sizeof a;
	memcpy(&a, buf + sizeof h, have);
	in->offer = a.flags;
	if (a.flags & FUSE_INIT_EXT)
		in->offer |= (uint64_t)a.flags2 << 32;
	in->offer &= ~in->hide;
	a.flags = (uint32_t)in->offer;
	a.flags2 = (uint32_t)(in->offer >> 32);
	memcpy(buf + sizeof h, &a, have);
	in->unique = h.unique;
	in->seen = true;
}

/* INIT: of the kernel, which a later worker has from the first.  Others are noted until they are
 * answered. */
static void took(struct slu_mount *m, void *buf, size_t n)
{
	const struct fuse_in_header *h = buf;

	again = h->unique & AGAIN;
	current = 0;
	if (!m->init.seen) {
		if (!slu_mlink_heir(&m->link))
			slu_mheir_note_init(m, buf, n);
		take_offer(&m->init, buf, n);
	} else if (h->opcode == FUSE_INTERRUPT) {
		atomic_fetch_add(&m->init.interrupts, 1);
	} else if (h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET) {
		current = h->unique;
		deferred = false;
		slu_mshare_taken(m->link.share, current);
	}
}

uint64_t slu_minit_defer(void)
{
	deferred = true;
	return current;
}

void slu_minit_answered(struct slu_mount *m, uint64_t unique)
{
	if (unique)
		slu_mshare_answered(m->link.share, unique);
}

/* Rather this one fails than all for ever. */
static bool refused(struct slu_mount *m, int fd, const void *buf)
{
	const struct fuse_in_header *h = buf;
	struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = h->unique};

	if (!slu_mshare_blamed(m->link.share, h->unique))
		return false;
	slu_warn("mount",
		 "'%s': request %u of node %llu was in flight when %u processes that served it "
		 "crashed: it fails",
		 m->where, h->opcode, (unsigned long long)h->nodeid, SLU_MSHARE_CRASHES);
	return write(fd, &out, sizeof out) == sizeof out;
}

#define REQUEST (8u << 10) /* longer than any but a list of what to forget */

/* Has memory behind the buffer before the kernel copies a request there: a process that is killed while that
 * copy has to wait for memory fails the request for good (fuse_dev_do_read: EIO), which nobody can ask for again. */
static void touch(void *buf, size_t n, bool writable)
{
	static _Thread_local void *whole; /* all of it was touched: requests to write are long */
	volatile char *p = buf;

	if (writable && buf != whole)
		whole = buf;
	else if (n > REQUEST)
		n = REQUEST;
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 0;
	p[n - 1] = 0;
}

/* As read(2). */
static ssize_t next_request(struct slu_mount *m, int fd, void *buf, size_t n)
{
	touch(buf, n, m->rw);
	ssize_t r = !m->init.seen && slu_mlink_heir(&m->link) ? (ssize_t)slu_mheir_init(m, buf, n)
							      : read(fd, buf, n);

	if (r >= (ssize_t)sizeof(struct fuse_in_header)) {
		if (m->init.seen && refused(m, fd, buf)) {
			errno = EINTR;
			return -1;
		}
		took(m, buf, (size_t)r);
	}
	return r;
}

size_t slu_minit_write_max(const struct slu_mount *m)
{
	return m->set->writable ? SLU_MREAD_MAX : SLU_MREQUEST_MAX;
}

int slu_minit_room(const struct slu_mount *m, struct fuse_buf *b)
{
	b->mem = slu_malloc(slu_minit_write_max(m) + HEADROOM);
	return b->mem ? 0 : -ENOMEM;
}

int slu_minit_receive(struct slu_mount *m, struct fuse_buf *b)
{
	ssize_t r;

	r = next_request(m, m->device >= 0 ? m->device : fuse_session_fd(m->se), b->mem,
			 slu_minit_write_max(m) + HEADROOM);
	if (r >= (ssize_t)sizeof(struct fuse_in_header)) {
		b->size = (size_t)r;
		return (int)r;
	}
	/* ENOENT: it was interrupted before anybody had it. */
	if (r < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return -EINTR;
	if (r < 0 && errno != ENODEV)
		slu_warn("mount", "'%s': reading requests failed: %s", m->where, strerror(errno));
	fuse_session_exit(m->se); /* replies that fail from now on are no news */
	return 0;
}

void slu_minit_process(struct slu_mount *m, struct fuse_buf *b)
{
	fuse_session_process_buf(m->se, b);
	if (!deferred)
		slu_minit_answered(m, current);
}

/* libfuse tells of an INTERRUPT that was there before the request with a lock held that is part of the request,
 * and a reply frees that. */
static _Thread_local fuse_req_t entering;

void slu_minit_on_interrupt(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	entering = req;
	fuse_req_interrupt_func(req, func, data);
	if (!entering)
		func(req, data);
	entering = NULL;
}

bool slu_minit_early(fuse_req_t req)
{
	bool early = entering == req;

	if (early)
		entering = NULL;
	return early;
}

bool slu_minit_again(void)
{
	return again;
}

bool slu_minit_can_pass(const struct slu_minit *in)
{
	return in->agreed & SLU_MINIT_PASSTHROUGH;
}

void slu_minit_flush(struct slu_mount *m)
{
	struct {
		struct fuse_in_header h;
		struct fuse_forget_in in;
	} forget = {.h = {.len = sizeof forget, .opcode = FUSE_FORGET, .nodeid = FUSE_ROOT_ID}};
	struct fuse_buf buf = {.mem = &forget, .size = sizeof forget};

	for (unsigned n = atomic_load(&m->init.interrupts); n > 0; n--)
		fuse_session_process_buf(m->se, &buf);
}

/* Adds to the reply what the kernel offers, we want and libfuse leaves out. */
static void complete(struct slu_mount *m, struct init_out *a, size_t len)
{
	struct slu_minit *in = &m->init;
	unsigned depth = slu_mopens_depth(m->opens);
	uint64_t add = in->offer & FUSE_PARALLEL_DIROPS;

	/* The second word of flags is there in a whole reply only. */
	if (len == sizeof *a && (in->offer & INIT_EXT)) {
		add |= in->offer & (DIRECT_IO_ALLOW_MMAP | HAS_RESEND);
		if (depth && (in->offer & SLU_MINIT_PASSTHROUGH)) {
			add |= SLU_MINIT_PASSTHROUGH;
			a->max_stack_depth = depth;
		}
		if (add >> 32)
			add |= INIT_EXT;
	}
	a->old.flags |= (uint32_t)add;
	a->flags2 |= (uint32_t)(add >> 32);
	if (a->old.flags & FUSE_MAX_PAGES)
		a->old.max_pages = (uint16_t)(SLU_MREAD_MAX / (unsigned long)sysconf(_SC_PAGESIZE));
	in->agreed = a->old.flags;
	if (a->old.flags & INIT_EXT)
		in->agreed |= (uint64_t)a->flags2 << 32;
	if (in->agreed & HAS_RESEND)
		atomic_store(&m->link.share->resend, true);
	slu_debug("mount", "'%s': protocol 7.%u, offered %llx, agreed %llx, max_pages %u", m->where,
		  a->old.minor, (unsigned long long)in->offer, (unsigned long long)in->agreed,
		  a->old.max_pages);
}

/* What libfuse wrote into the pipe goes to the kernel.  0, -errno. */
static int pass_on(struct slu_mount *m, int from)
{
	struct {
		struct fuse_out_header h;
		struct init_out a;
	} reply = {0};
	ssize_t n = read(from, &reply, sizeof reply);

	if (n < (ssize_t)sizeof reply.h)
		return -EPROTO;
	if (!reply.h.error && n >= (ssize_t)sizeof reply.h + 24 &&
	    reply.h.unique == m->init.unique) {
		complete(m, &reply.a, (size_t)n - sizeof reply.h);
		m->init.answered = true;
	}
	/* The kernel has had its answer from the first worker. */
	if (slu_mlink_heir(&m->link))
		return 0;
	return write(m->device, &reply, (size_t)n) == n ? 0 : -errno;
}

int slu_minit_answer(struct slu_mount *m, struct fuse_buf *b)
{
	SLU_AUTO(slu_closep) int from = -1, to = -1;
	int fd = fuse_session_fd(m->se), ends[2], r;

	if (m->uring) { /* the rings are of the descriptor that libfuse has now */
		slu_minit_process(m, b);
		slu_closep(&m->device);
		m->device = -1;
		return 0;
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	from = ends[0];
	to = ends[1];
	if (dup3(to, fd, O_CLOEXEC) < 0)
		return -errno;
	fuse_session_process_buf(m->se, b);
	r = pass_on(m, from);
	if (dup3(m->device, fd, O_CLOEXEC) < 0)
		return -errno;
	if (!r && m->init.answered) {
		slu_closep(&m->device);
		m->device = -1;
	}
	return r;
}
