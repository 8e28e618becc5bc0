/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of local replicas (shortcircuit.h), by pool threads, and the descriptors kept between them. */
#include "hdfs/shortcircuit.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/dnask.h"
#include "hdfs/replica.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OP_REQUEST_FDS 87
#define KEEP_NS (300 * SLU_SEC)
#define KEEP_MAX 128
#define CLOSED_NS (600 * SLU_SEC) /* the DataNode does not do that */
#define PAUSE_NS (10 * SLU_SEC)   /* it failed */

struct kept {
	struct slu_replica r;
	unsigned refs;
	int64_t until;
};

struct slu_sc {
	char *path;
	struct slu_pool *pool;
	struct slu_hash *local; /* the addresses of this machine */
	pthread_mutex_t lock;   /* what follows */
	struct slu_hash *kept;  /* "block_stamp_length" -> struct kept */
	int64_t closed_until;
	bool told;
};

struct job {
	struct slu_work work;
	struct slu_sc *sc;
	struct slu_loop *loop;
	struct slu_dn *dn;
	struct slu_dn_read *rd;
	int rc;
};

/* --- descriptors --- */

/* Lock held. */
static void kept_unref(struct kept *k)
{
	if (!k || --k->refs)
		return;
	close(k->r.data);
	close(k->r.meta);
	free(k);
}

static void kept_drop(void *kept)
{
	kept_unref(kept);
}

#define KEY_MAX 80

static void key_of(const struct slu_dn_read *rd, char out[KEY_MAX])
{
	snprintf(out, KEY_MAX, "%" PRIu64 "_%" PRIu64 "_%" PRIu64, rd->block->block_id,
		 rd->block->generation_stamp, rd->block->num_bytes);
}

static struct kept *find(struct slu_sc *sc, const char *key)
{
	struct kept *k;

	pthread_mutex_lock(&sc->lock);
	k = slu_hash_get(sc->kept, key);
	if (k && slu_expired(k->until)) {
		kept_unref(slu_hash_del(sc->kept, key));
		k = NULL;
	}
	if (k)
		k->refs++;
	pthread_mutex_unlock(&sc->lock);
	return k;
}

static void any_key(const char *key, void *value, void *user)
{
	const char **any = user;

	(void)value;
	*any = key;
}

/* The table's reference; k stays the caller's too. */
static void keep(struct slu_sc *sc, const char *key, struct kept *k)
{
	pthread_mutex_lock(&sc->lock);
	kept_unref(slu_hash_del(sc->kept, key));
	if (slu_hash_count(sc->kept) >= KEEP_MAX) {
		SLU_AUTO(slu_freep) char *old = NULL;
		const char *any = NULL;

		slu_hash_each(sc->kept, any_key, &any);
		old = slu_strdup(any);
		if (old)
			kept_unref(slu_hash_del(sc->kept, old));
	}
	if (slu_hash_put(sc->kept, key, k))
		k->refs++;
	pthread_mutex_unlock(&sc->lock);
}

static void put(struct slu_sc *sc, const char *key, struct kept *k, bool drop)
{
	pthread_mutex_lock(&sc->lock);
	if (drop && slu_hash_get(sc->kept, key) == k)
		kept_unref(slu_hash_del(sc->kept, key));
	kept_unref(k);
	pthread_mutex_unlock(&sc->lock);
}

/* --- asking --- */

static char *socket_of(const struct slu_sc *sc, const struct slu_dn_read *rd)
{
	const char *port = strstr(sc->path, "_PORT");

	if (!port)
		return slu_strdup(sc->path);
	return slu_asprintf("%.*s%u%s", (int)(port - sc->path), sc->path, rd->node->id->xfer_port,
			    port + 5);
}

static int ask(struct slu_sc *sc, const struct slu_dn_read *rd, int fds[2])
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(64 << 10);
	SLU_AUTO(slu_freep) char *path = socket_of(sc, rd);
	Slu__Pb__BaseHeader base = SLU__PB__BASE_HEADER__INIT;
	Slu__Pb__OpRequestFds op = SLU__PB__OP_REQUEST_FDS__INIT;

	base.block = (Slu__Pb__ExtendedBlock *)rd->block;
	base.token = (Slu__Pb__Token *)rd->token;
	op.header = &base;
	op.max_version = 1;
	slu_dn_request(&b, OP_REQUEST_FDS, &op.base);
	if (!path || slu_buf_err(&b))
		return -ENOMEM;
	return slu_replica_ask(path, b.p, b.len, fds);
}

static int get(struct slu_sc *sc, const struct slu_dn_read *rd, const char *key, struct kept **ret)
{
	struct kept *k = find(sc, key);
	int fds[2], r;

	if (!k) {
		r = ask(sc, rd, fds);
		if (r < 0)
			return r;
		k = slu_new0(struct kept);
		r = k ? slu_replica_open(&k->r, fds[0], fds[1], rd->block->num_bytes) : -ENOMEM;
		if (r < 0) {
			close(fds[0]);
			close(fds[1]);
			free(k);
			return r;
		}
		k->refs = 1;
		k->until = slu_deadline_in(KEEP_NS);
		keep(sc, key, k);
	}
	*ret = k;
	return 0;
}

/* Not asked again for a while; what is damaged is the other way's to report. */
static void failed(struct slu_sc *sc, int rc)
{
	bool told;

	if (rc == -ENOMEM || rc == -EBADMSG || rc == -ENODATA || rc == -EREMOTEIO)
		return;
	pthread_mutex_lock(&sc->lock);
	told = sc->told;
	sc->told = true;
	sc->closed_until = slu_deadline_in(rc == -ENOTSUP || rc == -EACCES ? CLOSED_NS : PAUSE_NS);
	pthread_mutex_unlock(&sc->lock);
	if (!told)
		slu_log(SLU_LOG_INFO, "hdfs", "blocks are read by TCP, not by way of '%s': %s",
			sc->path, rc == -EACCES ? "others may write to its folder" : strerror(-rc));
}

/* --- reads --- */

static void answer(void *arg)
{
	struct job j = *(struct job *)arg;

	free(arg);
	if (j.rc == 0) {
		j.rd->good = j.rd->len;
		j.rd->done(j.rd);
	} else {
		slu_dn_read(j.dn, j.rd);
	}
}

static void work(struct slu_work *w)
{
	struct job *j = (struct job *)w;
	struct kept *k = NULL;
	char key[KEY_MAX];

	key_of(j->rd, key);
	j->rc = get(j->sc, j->rd, key, &k);
	if (j->rc == 0) {
		j->rc = slu_replica_read(&k->r, j->rd->off, j->rd->len, j->rd->buf);
		put(j->sc, key, k, j->rc < 0);
	}
	if (j->rc < 0)
		failed(j->sc, j->rc);
	while (slu_loop_post(j->loop, answer, j))
		poll(NULL, 0, 1);
}

static bool usable(struct slu_sc *sc, const struct slu_dn_read *rd)
{
	bool closed;

	if (!slu_hash_get(sc->local, rd->node->id->ip_addr))
		return false;
	pthread_mutex_lock(&sc->lock);
	closed = sc->closed_until && !slu_expired(sc->closed_until);
	pthread_mutex_unlock(&sc->lock);
	return !closed;
}

bool slu_sc_read(struct slu_sc *sc, struct slu_loop *loop, struct slu_dn *dn,
		 struct slu_dn_read *rd)
{
	struct job *j = usable(sc, rd) ? slu_new0(struct job) : NULL;

	if (!j)
		return false;
	rd->rc = 0;
	rd->good = 0;
	rd->err = (struct slu_err){0};
	*j = (struct job){.work.fn = work, .sc = sc, .loop = loop, .dn = dn, .rd = rd};
	slu_pool_add(sc->pool, &j->work);
	return true;
}

/* --- life --- */

static bool add_address(struct slu_hash *h, const struct sockaddr *a)
{
	char text[INET6_ADDRSTRLEN];
	const void *p = a->sa_family == AF_INET
				? (const void *)&((const struct sockaddr_in *)a)->sin_addr
				: (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;

	if (!inet_ntop(a->sa_family, p, text, sizeof(text)))
		return true;
	return slu_hash_put(h, text, h);
}

static struct slu_hash *addresses(void)
{
	struct slu_hash *h = slu_hash_new();
	struct ifaddrs *all = NULL;
	bool fine = h;

	if (!h || getifaddrs(&all))
		return h;
	for (const struct ifaddrs *i = all; i && fine; i = i->ifa_next)
		if (i->ifa_addr &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			fine = add_address(h, i->ifa_addr);
	freeifaddrs(all);
	if (fine)
		return h;
	slu_hash_free(h, NULL);
	return NULL;
}

int slu_sc_new(const char *path, struct slu_pool *pool, struct slu_sc **ret)
{
	struct slu_sc *sc = slu_new0(struct slu_sc);

	if (!sc)
		return -ENOMEM;
	pthread_mutex_init(&sc->lock, NULL);
	sc->pool = pool;
	sc->path = slu_strdup(path);
	sc->local = addresses();
	sc->kept = slu_hash_new();
	if (!sc->path || !sc->local || !sc->kept) {
		slu_sc_free(sc);
		return -ENOMEM;
	}
	*ret = sc;
	return 0;
}

void slu_sc_free(struct slu_sc *sc)
{
	if (!sc)
		return;
	if (sc->kept)
		slu_hash_free(sc->kept, kept_drop);
	if (sc->local)
		slu_hash_free(sc->local, NULL);
	free(sc->path);
	pthread_mutex_destroy(&sc->lock);
	free(sc);
}
