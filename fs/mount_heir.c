/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker among others: what it takes over from the one before, what it leaves to the next, and what
 * its supervisor asks of it.  Node ids follow from the manifest, so that is all that there is to know
 * of a dataset; it is handed on, never resolved again.  Without a supervisor nothing here does much.
 */
#include "fs/mount_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/time.h"
#include "fs/mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Files: a larger manifest goes to disk, where memory can be had back from. */
#define MEMORY_MAX 5000u
#define DRAIN_NS (5 * SLU_SEC)
#define STEP_MS 2
#ifndef FUSE_NOTIFY_RESEND /* protocol 7.40 */
#define FUSE_NOTIFY_RESEND 7
#endif

/* --- the manifest --- */

/* A file without a name that holds the manifest: on disk when it is large and there is room. */
static int file_of(const struct slu_manifest *m)
{
	static const char *const fixed[] = {"/var/tmp", "/tmp"};
	const char *set = getenv("TMPDIR");
	const char *dirs[] = {set && *set ? set : fixed[0], fixed[0], fixed[1]};
	size_t n = slu_manifest_count(m) > MEMORY_MAX ? sizeof dirs / sizeof dirs[0] : 0;
	int fd, r;

	for (size_t i = 0; i < n; i++) {
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
		if (fd >= 0 && !slu_manifest_save(m, fd))
			return fd;
		slu_closep(&fd);
	}
	fd = memfd_create("sluice-manifest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = slu_manifest_save(m, fd);
	if (r) {
		close(fd);
		return r;
	}
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return fd;
}

int slu_mlink_leave(const struct slu_mlink *l, const struct slu_manifest *m, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int fd = -1;
	int r;

	if (slu_mlink_alone(l))
		return 0;
	r = fd = file_of(m);
	if (r >= 0)
		r = slu_mlink_keep(l, SLU_KEEP_MANIFEST, fd);
	return r ? slu_fail_sys(e, -r, "cannot keep the manifest of the mount") : 0;
}

int slu_mlink_manifest(const struct slu_mlink *l, struct slu_manifest **ret, struct slu_err *e)
{
	int fd = slu_mlink_kept(l, SLU_KEEP_MANIFEST), r;
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return slu_fail(e, ENODATA, "the supervisor of the mount has no manifest");
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return slu_fail_sys(e, errno, "cannot read the manifest of the mount");
	r = slu_manifest_parse(p, (size_t)st.st_size, "manifest", ret, e);
	munmap(p, (size_t)st.st_size);
	return r;
}

/* --- taking over --- */

int slu_mheir_take(struct slu_mount *m, struct slu_err *e)
{
	const struct slu_mshare *h = m->link.share;

	m->where = slu_strndup(h->where, sizeof h->where - 1);
	if (!m->where)
		return slu_fail_oom(e);
	m->id = (struct slu_mid){h->major, h->minor, h->mount_id};
	return 0;
}

int slu_mheir_device(const struct slu_mount *m, struct slu_err *e)
{
	int fd = fcntl(slu_mlink_kept(&m->link, SLU_KEEP_FUSE), F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? slu_fail_sys(e, errno, "cannot use /dev/fuse for '%s'", m->where) : fd;
}

size_t slu_mheir_init(const struct slu_mount *m, void *buf, size_t size)
{
	const struct slu_mshare *h = m->link.share;
	size_t n = h->init_len < sizeof h->init ? h->init_len : sizeof h->init;

	if (n > size)
		n = size;
	memcpy(buf, h->init, n);
	return n;
}

/* Where the kernel cannot, the supervisor has answered them. */
void slu_mheir_ask_again(struct slu_mount *m)
{
	struct fuse_out_header h = {.len = sizeof h, .error = FUSE_NOTIFY_RESEND};

	if (!slu_mlink_heir(&m->link) || !atomic_load(&m->link.share->resend))
		return;
	if (write(fuse_session_fd(m->se), &h, sizeof h) < 0 && errno != ENODEV)
		slu_warn("mount",
			 "'%s': the kernel does not ask again for what was not answered: %s",
			 m->where, strerror(errno));
}

/* --- leaving --- */

void slu_mheir_note_init(struct slu_mount *m, const void *request, size_t n)
{
	struct slu_mshare *h = m->link.share;

	if (n > sizeof h->init)
		return;
	memcpy(h->init, request, n);
	h->init_len = (uint32_t)n;
}

void slu_mheir_note_place(struct slu_mount *m)
{
	struct slu_mshare *h = m->link.share;

	h->major = m->id.major;
	h->minor = m->id.minor;
	h->mount_id = m->id.id;
	snprintf(h->where, sizeof h->where, "%s", m->where);
}

int slu_mheir_leave(struct slu_mount *m, struct slu_err *e)
{
	int r;

	slu_mheir_note_place(m);
	r = slu_mlink_keep(&m->link, SLU_KEEP_FUSE, fuse_session_fd(m->se));
	return r ? slu_fail_sys(e, -r, "cannot speak to the supervisor of '%s'", m->where) : 0;
}

/* --- what the supervisor asks --- */

enum slu_mwish slu_mheir_listen(struct slu_mount *m)
{
	enum slu_mwish what = SLU_MWISH_NOTHING;
	char text[64];
	int fd;

	while (!slu_mlink_alone(&m->link)) {
		ssize_t n = slu_mlink_receive(m->link.fd, false, text, sizeof text, &fd);

		if (n == -EAGAIN)
			return what;
		if (n <= 0) {
			slu_warn("mount", "'%s': its supervisor is gone; it is served on, but once",
				 m->where);
			atomic_store(&m->link.gone, true);
			return what;
		}
		slu_closep(&fd);
		if (text[0] == 'E' && what < SLU_MWISH_END)
			what = SLU_MWISH_END;
		else if (text[0] == 'N')
			what = SLU_MWISH_NOW;
		else if (text[0] == 'H' && what < SLU_MWISH_HAND)
			what = SLU_MWISH_HAND;
	}
	return what;
}

/* No thread takes requests any more. */
void slu_mheir_drain(struct slu_mount *m)
{
	int64_t end = slu_deadline_in(DRAIN_NS);

	while (slu_mshare_flying(m->link.share) && !slu_expired(end)) {
		(void)slu_mreads_tick(m->reads);
		poll(NULL, 0, STEP_MS);
	}
	atomic_store(&m->link.share->handed, true);
}
