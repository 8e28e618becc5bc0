/* SPDX-License-Identifier: Apache-2.0 */
/* The key of data transfer (dn_key.h): asked for by the first who needs it, then kept for all loops. */
#include "hdfs/dn_key.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/time.h"
#include "hdfs/namenode.h"
#include "io/crypt.h"

#include <errno.h>
#include <string.h>

#define ASK_NS (10 * SLU_SEC)
#define PLAIN_NS (3600 * SLU_SEC) /* dfs.client.server-defaults.validity.period.ms */
#define KEY_MIN_NS (10 * SLU_SEC) /* clocks differ; a DataNode says when it knows a key no more */
#define KEY_MAX_NS (3600 * SLU_SEC)

struct slu_dn_asker {
	struct slu_dn_keys *keys;
	struct slu_loop *loop;
	struct slu_nn *nn;
	struct slu_nn_call call;
	bool busy;
	struct slu_dn_key_wait *waiting;
	struct slu_dn_asker *next;
};

/* --- keys --- */

struct slu_dn_key *slu_dn_key_ref(struct slu_dn_key *k)
{
	if (k)
		atomic_fetch_add(&k->refs, 1);
	return k;
}

void slu_dn_key_unref(struct slu_dn_key *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	if (k->password)
		explicit_bzero(k->password, strlen(k->password));
	free(k->name);
	free(k->password);
	free(k);
}

/* NULL: no memory, or it is none. */
static struct slu_dn_key *key_of(const Slu__Pb__DataEncryptionKey *m)
{
	SLU_AUTO(slu_freep) char *nonce = slu_base64(m->nonce.data, m->nonce.len);
	struct slu_dn_key *k = slu_new0(struct slu_dn_key);
	int64_t left = m->expiry / 1000 > INT64_MAX / SLU_SEC
			       ? KEY_MAX_NS
			       : (int64_t)m->expiry * SLU_MS - slu_wall();

	if (!k)
		return NULL;
	k->refs = 1;
	k->until = slu_deadline_in(left < KEY_MIN_NS   ? KEY_MIN_NS
				   : left > KEY_MAX_NS ? KEY_MAX_NS
						       : left);
	if (nonce)
		k->name = slu_asprintf("%u %s %s", m->key_id, m->pool_id, nonce);
	k->password = slu_base64(m->key.data, m->key.len);
	if (k->name && k->password)
		return k;
	slu_dn_key_unref(k);
	return NULL;
}

void slu_dn_keys_init(struct slu_dn_keys *k)
{
	*k = (struct slu_dn_keys){0};
	pthread_mutex_init(&k->lock, NULL);
}

void slu_dn_keys_done(struct slu_dn_keys *k)
{
	slu_dn_key_unref(k->key);
	pthread_mutex_destroy(&k->lock);
}

void slu_dn_key_refused(struct slu_dn_keys *k, const struct slu_dn_key *key)
{
	pthread_mutex_lock(&k->lock);
	if (k->key == key)
		slu_dn_key_unref(slu_take(k->key));
	pthread_mutex_unlock(&k->lock);
}

/* Takes key over; NULL: nothing is encrypted. */
static void learn(struct slu_dn_keys *k, struct slu_dn_key *key)
{
	pthread_mutex_lock(&k->lock);
	slu_dn_key_unref(k->key);
	k->key = key;
	k->plain_until = key ? 0 : slu_deadline_in(PLAIN_NS);
	pthread_mutex_unlock(&k->lock);
}

/* True: w has what there is to know. */
static bool known(struct slu_dn_keys *k, struct slu_dn_key_wait *w)
{
	bool plain, fresh;

	pthread_mutex_lock(&k->lock);
	plain = k->plain_until && !slu_expired(k->plain_until);
	fresh = k->key && !slu_expired(k->key->until);
	w->key = fresh ? slu_dn_key_ref(k->key) : NULL;
	pthread_mutex_unlock(&k->lock);
	return plain || fresh;
}

/* --- asking --- */

static void answer(struct slu_dn_asker *a, int rc, const struct slu_err *e)
{
	struct slu_dn_key_wait *all = slu_take(a->waiting);

	a->busy = false;
	while (all) {
		struct slu_dn_key_wait *w = all;

		all = w->next;
		w->asker = NULL;
		w->rc = rc;
		if (rc)
			w->err = *e;
		else
			known(a->keys, w);
		w->done(w);
	}
}

static void failed(struct slu_dn_asker *a, int code, const char *what)
{
	struct slu_err e;
	int rc = slu_fail(&e, code, "%s", what);

	answer(a, rc, &e);
}

static void got_key(struct slu_nn_call *c)
{
	struct slu_dn_asker *a = c->user;
	Slu__Pb__GetDataEncryptionKeyResponse *m;
	struct slu_dn_key *key = NULL;

	if (c->rpc.rc) {
		answer(a, c->rpc.rc, &c->rpc.err);
		return;
	}
	m = slu__pb__get_data_encryption_key_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	if (m && m->key)
		key = key_of(m->key);
	if (m)
		slu__pb__get_data_encryption_key_response__free_unpacked(m, NULL);
	if (!key) {
		failed(a, EPROTO, "the NameNode gives no key for encrypted data");
		return;
	}
	learn(a->keys, key);
	answer(a, 0, NULL);
}

static void ask(struct slu_dn_asker *a, const char *method, const ProtobufCMessage *m,
		void (*done)(struct slu_nn_call *c))
{
	a->call.done = done;
	a->call.user = a;
	slu_nn_send(a->nn, &a->call, method, m, slu_deadline_in(ASK_NS));
}

static void got_defaults(struct slu_nn_call *c)
{
	struct slu_dn_asker *a = c->user;
	Slu__Pb__GetDataEncryptionKeyRequest request =
		SLU__PB__GET_DATA_ENCRYPTION_KEY_REQUEST__INIT;
	Slu__Pb__GetServerDefaultsResponse *m;
	bool encrypted;

	if (c->rpc.rc) {
		answer(a, c->rpc.rc, &c->rpc.err);
		return;
	}
	m = slu__pb__get_server_defaults_response__unpack(NULL, c->rpc.resp_len, c->rpc.resp);
	if (!m) {
		failed(a, EPROTO, "the NameNode's answer makes no sense");
		return;
	}
	encrypted = m->defaults->encrypt_data_transfer;
	slu__pb__get_server_defaults_response__free_unpacked(m, NULL);
	if (encrypted) {
		ask(a, "getDataEncryptionKey", &request.base, got_key);
	} else {
		learn(a->keys, NULL);
		answer(a, 0, NULL);
	}
}

static struct slu_dn_asker *find(struct slu_dn_keys *k, const struct slu_loop *loop)
{
	struct slu_dn_asker *a;

	pthread_mutex_lock(&k->lock);
	for (a = k->asker; a && a->loop != loop;)
		a = a->next;
	pthread_mutex_unlock(&k->lock);
	return a;
}

void slu_dn_key_get(struct slu_dn_keys *k, struct slu_loop *loop, struct slu_dn_key_wait *w)
{
	Slu__Pb__GetServerDefaultsRequest m = SLU__PB__GET_SERVER_DEFAULTS_REQUEST__INIT;
	struct slu_dn_asker *a = known(k, w) ? NULL : find(k, loop);

	w->rc = 0;
	w->asker = a;
	if (!a) { /* it is known, or nobody is there to say so */
		w->done(w);
		return;
	}
	w->next = a->waiting;
	a->waiting = w;
	if (a->busy)
		return;
	a->busy = true;
	ask(a, "getServerDefaults", &m.base, got_defaults);
}

bool slu_dn_key_cancel(struct slu_dn_key_wait *w)
{
	struct slu_dn_key_wait **at = w->asker ? &w->asker->waiting : NULL;

	if (!at)
		return false;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->asker = NULL;
	return true;
}

/* --- life --- */

int slu_dn_asker_new(struct slu_dn_keys *k, struct slu_loop *loop, struct slu_nn *nn,
		     struct slu_dn_asker **ret)
{
	struct slu_dn_asker *a = slu_new0(struct slu_dn_asker);

	if (!a)
		return -ENOMEM;
	a->keys = k;
	a->loop = loop;
	a->nn = nn;
	pthread_mutex_lock(&k->lock);
	a->next = k->asker;
	k->asker = a;
	pthread_mutex_unlock(&k->lock);
	*ret = a;
	return 0;
}

void slu_dn_asker_free(struct slu_dn_asker *a)
{
	struct slu_dn_asker **at;

	if (!a)
		return;
	if (a->busy)
		slu_nn_cancel(&a->call);
	pthread_mutex_lock(&a->keys->lock);
	for (at = &a->keys->asker; *at != a;)
		at = &(*at)->next;
	*at = a->next;
	pthread_mutex_unlock(&a->keys->lock);
	free(a);
}
