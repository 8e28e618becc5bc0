/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a long copy goes on where an earlier one was cut: its transaction has a name that follows from what is
 * copied, so the blocks that are stored already are found under it.  They are taken for right because the
 * name holds the state of the source: its identity, and of a local file also device, inode and ctime (which
 * nobody can set back) and the host.  Two copies of one file at the same time do not share a transaction.
 */
#include "fs/copy_impl.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/blocks.h"
#include "io/crypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What a local file is beside its identity; "" of others. */
static int local_state(const struct slu_copy_file *f, struct slu_buf *b)
{
	SLU_AUTO(slu_closep) int fd = -1;
	struct stat st;
	int r = slu_store_descriptor(f->from, f->path, f->id, &fd);

	if (r == -ENOTSUP)
		return 0;
	if (r < 0 || fstat(fd, &st))
		return -EIO;
	slu_buf_fmt(b, "%llx %llx %lld.%09ld", (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino, (long long)st.st_ctim.tv_sec,
		    st.st_ctim.tv_nsec);
	return 0;
}

/* Everything that has to be the same, each with its NUL. */
static bool name_txn(const struct slu_copy *c, const struct slu_copy_file *f, size_t block,
		     char *ret)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64 << 10);
	struct slu_hadoop from = {0}, to = {0};
	char host[256] = "";
	uint8_t hash[SLU_DIGEST_MAX];
	bool known = f->id[0] && !f->version &&
		     slu_store_hadoop(f->from, f->path, &from, NULL) == 0 &&
		     slu_store_hadoop(c->to, f->to, &to, NULL) == 0;

	if (known) {
		gethostname(host, sizeof(host) - 1);
		slu_buf_fmt(&b, "upload 1 %zu %" PRIu64, block, f->size);
		const char *part[] = {host, from.uri, f->id, to.uri};

		for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
			slu_buf_ch(&b, '\0');
			slu_buf_str(&b, part[i]);
		}
		slu_buf_ch(&b, '\0');
		known = local_state(f, &b) == 0 && !slu_buf_err(&b) &&
			slu_digest(SLU_SHA256, b.p, b.len, hash) == 0;
	}
	slu_hadoop_done(&from);
	slu_hadoop_done(&to);
	if (known)
		slu_hex(ret, hash, (SLU_TXN_MAX - 1) / 2);
	return known;
}

/* A name in the abstract space of this host: held by one process, and free when that is gone. */
static int hold(const char *txn)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "sluice-copy-%s", txn);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n))) {
		n = -errno;
		close(fd);
		return n;
	}
	return fd;
}

/* "%016x" */
static bool hex_off(const char *s, uint64_t *ret)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t v = 0;
	size_t n = 0;

	for (; n < 17 && s[n]; n++) {
		const char *d = strchr(digits, s[n]);

		if (!d)
			return false;
		v = v << 4 | (uint64_t)(d - digits);
	}
	*ret = v;
	return n == 16;
}

/* Those that are as long as they have to be. */
static int look(struct slu_resume *r, const struct slu_copy *c, const struct slu_copy_file *f,
		size_t block)
{
	uint64_t blocks = f->size / block + !!(f->size % block);
	struct slu_list l = {0};
	struct slu_op op;
	int rc;

	slu_op_blocks(&op, f->to, r->txn, &l);
	rc = slu_store_wait(c->to, &op, NULL);
	if (rc == 0 && l.n)
		r->there = slu_calloc((size_t)blocks, 1);
	for (size_t i = 0; r->there && i < l.n; i++) {
		uint64_t off = 0, left;

		if (!hex_off(l.p[i].name, &off) || off % block || off >= f->size)
			continue;
		left = f->size - off;
		if (l.p[i].attr.size != (left < block ? left : block))
			continue;
		r->found += !r->there[off / block];
		r->there[off / block] = 1;
	}
	slu_list_done(&l);
	return rc;
}

int slu_resume_begin(struct slu_resume *r, const struct slu_copy *c, const struct slu_copy_file *f,
		     size_t block)
{
	int rc;

	*r = (struct slu_resume){.fd = -1, .block = block};
	if (slu_store_can(c->to, SLU_CAP_BLOCKS) && name_txn(c, f, block, r->txn))
		r->fd = hold(r->txn);
	if (r->fd < 0)
		return slu_random_id(r->txn, (SLU_TXN_MAX - 1) / 2);
	rc = look(r, c, f, block);
	if (rc == -EEXIST) { /* another copy of this came to its end meanwhile: ours is one more */
		slu_resume_end(r);
		return slu_random_id(r->txn, (SLU_TXN_MAX - 1) / 2);
	}
	/* what cannot be seen is sent again */
	if (rc == 0 && r->found)
		slu_log(SLU_LOG_INFO, "copy",
			"'%s': %zu blocks of an earlier try are there already", f->to, r->found);
	return 0;
}

bool slu_resume_has(const struct slu_resume *r, uint64_t off)
{
	return r->there && r->there[off / r->block];
}

/* Where there is no room, what stays would take more of it. */
bool slu_resume_keeps(const struct slu_resume *r, int rc)
{
	return r->fd >= 0 && rc != -ESTALE && rc != -EEXIST && rc != -EBADMSG && rc != -ENOSPC &&
	       rc != -EDQUOT;
}

void slu_resume_end(struct slu_resume *r)
{
	free(slu_take(r->there));
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
