/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIGEST-MD5 (digest.h).  Privacy is by 3DES, which Java's servers offer unless they are set to RC4 alone.  MD5 and 3DES are old; what Hadoop puts on
 * top where it matters is AES (datanode_sasl.c), and its tokens are random keys that nobody guesses.
 */
#include "hdfs/digest.h"

#include "common/mem.h"
#include "common/str.h"
#include "hdfs/sasl.h"
#include "io/cipher.h"
#include "io/crypt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#define HEX 33
#define MESSAGE_MAX (64u << 20)
#define MAC 10
#define TAIL 6 /* version and number */

struct side {
	uint8_t ki[16];
	struct slu_cipher *cipher; /* NULL: integrity only */
	size_t block;              /* of the cipher; messages fill whole ones */
	uint32_t seq;
};

struct slu_digest_md5 {
	char *name, *password, *uri, *realm, *nonce, *cnonce;
	unsigned qops, qop;
	bool answered, complete, rc4;
	uint8_t ha1[16];
	struct side to, from;
};

int slu_digest_md5_new(const char *name, const char *password, const char *uri, unsigned qops,
		       struct slu_digest_md5 **ret)
{
	struct slu_digest_md5 *d = slu_new0(struct slu_digest_md5);
	char id[33];

	if (!d)
		return -ENOMEM;
	d->name = slu_strdup(name);
	d->password = slu_strdup(password);
	d->uri = slu_strdup(uri);
	d->cnonce = slu_random_id(id, 16) ? NULL : slu_strdup(id);
	d->qops = qops;
	if (!d->name || !d->password || !d->uri || !d->cnonce) {
		slu_digest_md5_free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

void slu_digest_md5_free(struct slu_digest_md5 *d)
{
	if (!d)
		return;
	slu_cipher_free(d->to.cipher);
	slu_cipher_free(d->from.cipher);
	if (d->password)
		explicit_bzero(d->password, strlen(d->password));
	free(d->name);
	free(d->password);
	free(d->uri);
	free(d->realm);
	free(d->nonce);
	free(d->cnonce);
	explicit_bzero(d, sizeof(*d));
	free(d);
}

void slu_digest_md5_set_cnonce(struct slu_digest_md5 *d, const char *cnonce)
{
	free(d->cnonce);
	d->cnonce = slu_strdup(cnonce);
}

unsigned slu_digest_md5_qop(const struct slu_digest_md5 *d)
{
	return d->qop;
}

/* --- directives --- */

static int malformed(struct slu_err *e)
{
	return slu_fail(e, EPROTO, "the server's DIGEST-MD5 is malformed");
}

/* name=value or name="value"; takes it off *p.  The value is unquoted into v (n bytes). */
static bool directive(const char **p, char name[24], char *v, size_t n)
{
	const char *at = *p;
	size_t len, i = 0;
	bool quoted;

	at += strspn(at, " \t\r\n,");
	len = strcspn(at, "= \t,");
	if (!len || len >= 24 || at[len] != '=')
		return false;
	memcpy(name, at, len);
	name[len] = '\0';
	at += len + 1;
	quoted = *at == '"';
	at += quoted;
	while (*at && (quoted ? *at != '"' : *at != ',')) {
		if (quoted && *at == '\\' && at[1])
			at++;
		if (i + 1 >= n)
			return false;
		v[i++] = *at++;
	}
	v[i] = '\0';
	if (quoted && *at++ != '"')
		return false;
	*p = at;
	return true;
}

static unsigned qops_of(const char *list)
{
	static const struct {
		const char *name;
		unsigned qop;
	} all[] = {{"auth", SLU_QOP_AUTH},
		   {"auth-int", SLU_QOP_INTEGRITY},
		   {"auth-conf", SLU_QOP_PRIVACY}};
	unsigned r = 0;

	while (*list) {
		size_t n = strcspn(list, ", ");

		for (size_t i = 0; i < 3; i++)
			if (strlen(all[i].name) == n && strncmp(all[i].name, list, n) == 0)
				r |= all[i].qop;
		list += n;
		list += strspn(list, ", ");
	}
	return r;
}

struct challenge {
	unsigned qops;
	bool triple_des, rc4;
};

static void read_ciphers(const char *list, struct challenge *ret)
{
	while (*list) {
		size_t n = strcspn(list, ", ");

		ret->triple_des |= n == 4 && strncmp(list, "3des", n) == 0;
		ret->rc4 |= n == 3 && strncmp(list, "rc4", n) == 0;
		list += n;
		list += strspn(list, ", ");
	}
}

static int read_challenge(struct slu_digest_md5 *d, const char *text, struct challenge *ret,
			  struct slu_err *e)
{
	char name[24], v[2048];

	*ret = (struct challenge){.qops = SLU_QOP_AUTH};
	while (text[strspn(text, " \t\r\n,")]) {
		if (!directive(&text, name, v, sizeof(v)))
			return malformed(e);
		if (slu_streq(name, "realm") && !d->realm)
			d->realm = slu_strdup(v);
		else if (slu_streq(name, "nonce") && !d->nonce)
			d->nonce = slu_strdup(v);
		else if (slu_streq(name, "qop"))
			ret->qops = qops_of(v);
		else if (slu_streq(name, "cipher"))
			read_ciphers(v, ret);
		else if (slu_streq(name, "algorithm") && !slu_streq(v, "md5-sess"))
			return malformed(e);
	}
	if (!d->nonce)
		return malformed(e);
	if (!d->realm && !(d->realm = slu_strdup("")))
		return slu_fail_oom(e);
	return 0;
}

/* --- digests --- */

static void to_hex(const uint8_t in[16], char out[HEX])
{
	for (unsigned i = 0; i < 16; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", in[i]);
}

static int md5_text(const char *text, uint8_t out[16])
{
	return slu_digest(SLU_MD5, text, strlen(text), out);
}

static int make_ha1(struct slu_digest_md5 *d)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1u << 20);
	uint8_t first[16];
	int r;

	slu_buf_fmt(&b, "%s:%s:%s", d->name, d->realm, d->password);
	if (slu_buf_err(&b))
		return -ENOMEM;
	r = slu_digest(SLU_MD5, b.p, b.len, first);
	explicit_bzero(b.p, b.len);
	slu_buf_clear(&b);
	slu_buf_add(&b, first, sizeof(first));
	slu_buf_fmt(&b, ":%s:%s", d->nonce, d->cnonce);
	if (r < 0 || slu_buf_err(&b))
		return r < 0 ? r : -ENOMEM;
	return slu_digest(SLU_MD5, b.p, b.len, d->ha1);
}

static const char *qop_name(unsigned qop)
{
	return qop == SLU_QOP_PRIVACY     ? "auth-conf"
	       : qop == SLU_QOP_INTEGRITY ? "auth-int"
					  : "auth";
}

/* The response, or with "" what the server has to answer. */
static int make_response(const struct slu_digest_md5 *d, const char *method, char out[HEX])
{
	SLU_AUTO(slu_freep)
	char *a2 = slu_asprintf("%s:%s%s", method, d->uri,
				d->qop == SLU_QOP_AUTH ? "" : ":00000000000000000000000000000000");
	SLU_AUTO(slu_freep) char *kd = NULL;
	char ha1[HEX], ha2[HEX];
	uint8_t raw[16];

	if (!a2)
		return -ENOMEM;
	if (md5_text(a2, raw))
		return -EIO;
	to_hex(raw, ha2);
	to_hex(d->ha1, ha1);
	kd = slu_asprintf("%s:%s:00000001:%s:%s:%s", ha1, d->nonce, d->cnonce, qop_name(d->qop),
			  ha2);
	explicit_bzero(ha1, sizeof(ha1));
	if (!kd)
		return -ENOMEM;
	if (md5_text(kd, raw))
		return -EIO;
	to_hex(raw, out);
	return 0;
}

/* --- keys of messages --- */

static int derive(const struct slu_digest_md5 *d, const char *text, uint8_t out[16])
{
	uint8_t in[16 + 128];
	size_t n = strlen(text);
	int r;

	memcpy(in, d->ha1, 16);
	memcpy(in + 16, text, n);
	r = slu_digest(SLU_MD5, in, 16 + n, out);
	explicit_bzero(in, sizeof(in));
	return r;
}

/* Seven bytes become the eight of a DES key: its lowest bits are parity, which nobody looks at. */
static void spread(const uint8_t in[7], uint8_t out[8])
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 7; i++)
		v = v << 8 | in[i];
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (49 - 7 * i) << 1);
}

static int make_cipher(const uint8_t kc[16], bool encrypt, struct slu_cipher **ret)
{
	uint8_t key[16];
	int r;

	spread(kc, key);
	spread(kc + 7, key + 8);
	r = slu_cipher_new(SLU_3DES_CBC, encrypt, key, sizeof(key), kc + 8, ret);
	explicit_bzero(key, sizeof(key));
	return r;
}

static int make_side(struct slu_digest_md5 *d, struct side *s, const char *way, bool encrypt)
{
	char text[128];
	uint8_t kc[16];
	int r;

	snprintf(text, sizeof(text), "Digest session key to %s signing key magic constant", way);
	r = derive(d, text, s->ki);
	if (r == 0 && d->qop == SLU_QOP_PRIVACY) {
		snprintf(text, sizeof(text), "Digest H(A1) to %s sealing key magic constant", way);
		r = derive(d, text, kc);
		if (r == 0)
			r = d->rc4 ? slu_cipher_new(SLU_RC4, encrypt, kc, sizeof(kc), NULL,
						    &s->cipher)
				   : make_cipher(kc, encrypt, &s->cipher);
		s->block = d->rc4 ? 1 : 8;
		explicit_bzero(kc, sizeof(kc));
	}
	return r;
}

/* --- the conversation --- */

static int pick_qop(struct slu_digest_md5 *d, const struct challenge *c, struct slu_err *e)
{
	unsigned both = c->qops & d->qops;

	d->rc4 = !c->triple_des && c->rc4;
	d->qop = both & SLU_QOP_PRIVACY && (c->triple_des || d->rc4) ? SLU_QOP_PRIVACY
		 : both & SLU_QOP_INTEGRITY                          ? SLU_QOP_INTEGRITY
								     : both & SLU_QOP_AUTH;
	if (d->qop)
		return 0;
	return slu_fail(e, ENOTSUP,
			"the server wants a protection of messages that is not offered");
}

static int respond(struct slu_digest_md5 *d, const char *text, struct slu_buf *out,
		   struct slu_err *e)
{
	char response[HEX];
	struct challenge c;
	int r = read_challenge(d, text, &c, e);

	if (r == 0)
		r = pick_qop(d, &c, e);
	if (r < 0)
		return r;
	r = make_ha1(d);
	if (r == 0)
		r = make_response(d, "AUTHENTICATE", response);
	if (r == 0 && d->qop != SLU_QOP_AUTH) {
		r = make_side(d, &d->to, "client-to-server", true);
		if (r == 0)
			r = make_side(d, &d->from, "server-to-client", false);
	}
	if (r < 0)
		return slu_fail(e, -r, "DIGEST-MD5 cannot be computed on this machine");
	slu_buf_fmt(out,
		    "charset=utf-8,username=\"%s\",realm=\"%s\",nonce=\"%s\",nc=00000001,"
		    "cnonce=\"%s\",digest-uri=\"%s\",maxbuf=65536,response=%s,qop=%s%s",
		    d->name, d->realm, d->nonce, d->cnonce, d->uri, response, qop_name(d->qop),
		    d->qop != SLU_QOP_PRIVACY ? ""
		    : d->rc4                  ? ",cipher=\"rc4\""
					      : ",cipher=\"3des\"");
	d->answered = true;
	return slu_buf_err(out) ? slu_fail_oom(e) : 0;
}

static int check_server(struct slu_digest_md5 *d, const char *text, struct slu_err *e)
{
	char name[24], v[2048], want[HEX];

	while (text[strspn(text, " \t\r\n,")]) {
		if (!directive(&text, name, v, sizeof(v)))
			return malformed(e);
		if (!slu_streq(name, "rspauth"))
			continue;
		if (make_response(d, "", want) || !slu_streq(v, want))
			break;
		d->complete = true;
		return 0;
	}
	return slu_fail(e, EACCES, "the server does not know the token's password itself");
}

int slu_digest_md5_step(struct slu_digest_md5 *d, const void *in, size_t n, struct slu_buf *out,
			bool *ret_complete, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *text = NULL;
	int r;

	if (d->complete || n > 8192 || (n && memchr(in, '\0', n)))
		return malformed(e);
	text = slu_strndup(in, n);
	if (!text)
		return slu_fail_oom(e);
	r = d->answered ? check_server(d, text, e) : respond(d, text, out, e);
	if (r == 0)
		*ret_complete = d->complete;
	return r;
}

/* --- messages --- */

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* p has four bytes of room in front, for the number. */
static int make_mac(const struct side *s, uint8_t *p, size_t n, uint8_t out[16])
{
	put32(p, s->seq);
	return slu_hmac_md5(s->ki, sizeof(s->ki), p, n + 4, out);
}

int slu_digest_md5_wrap(struct slu_digest_md5 *d, const void *p, size_t n, struct slu_buf *out,
			struct slu_err *e)
{
	struct side *s = &d->to;
	size_t pad = s->block > 1 ? s->block - (n + MAC) % s->block : 0, sealed = n + pad + MAC;
	uint8_t mac[16], *m = slu_malloc(4 + sealed + TAIL);
	int r;

	if (!m)
		return slu_fail_oom(e);
	if (n)
		memcpy(m + 4, p, n);
	r = make_mac(s, m, n, mac);
	memset(m + 4 + n, (int)pad, pad);
	memcpy(m + 4 + n + pad, mac, MAC);
	if (r == 0 && s->cipher)
		r = slu_cipher_run(s->cipher, m + 4, m + 4, sealed);
	m[4 + sealed] = 0;
	m[5 + sealed] = 1;
	put32(m + 6 + sealed, s->seq++);
	slu_buf_add(out, m + 4, sealed + TAIL);
	free(m);
	if (r == 0 && slu_buf_err(out))
		return slu_fail_oom(e);
	return r < 0 ? slu_fail(e, EIO, "a message cannot be protected") : 0;
}

/* Is it of the form that the next message has? */
static bool is_next(const struct side *s, const uint8_t *p, size_t n)
{
	uint8_t tail[TAIL] = {0, 1};

	put32(tail + 2, s->seq);
	if (n < TAIL + MAC || n > MESSAGE_MAX || memcmp(p + n - TAIL, tail, TAIL) != 0)
		return false;
	return s->block <= 1 || (n >= TAIL + 16 && (n - TAIL) % s->block == 0);
}

/* m: four bytes of room, then what was sealed, which is opened; the length of the text, or -EBADMSG. */
static ssize_t open_message(const struct side *s, uint8_t *m, size_t sealed)
{
	uint8_t theirs[MAC], mac[16], diff = 0;
	size_t pad = 0, len;

	if (s->cipher && slu_cipher_run(s->cipher, m + 4, m + 4, sealed))
		return -EBADMSG;
	if (s->block > 1) {
		pad = m[4 + sealed - MAC - 1];
		if (!pad || pad > 8 || pad > sealed - MAC)
			return -EBADMSG;
	}
	len = sealed - MAC - pad;
	memcpy(theirs, m + 4 + len + pad, MAC);
	if (make_mac(s, m, len, mac))
		return -EBADMSG;
	for (unsigned i = 0; i < MAC; i++)
		diff |= mac[i] ^ theirs[i];
	return diff ? -EBADMSG : (ssize_t)len;
}

int slu_digest_md5_unwrap(struct slu_digest_md5 *d, const void *p, size_t n, struct slu_buf *out,
			  struct slu_err *e)
{
	struct side *s = &d->from;
	ssize_t len = -EBADMSG;
	uint8_t *m = NULL;

	if (is_next(s, p, n)) {
		m = slu_malloc(4 + n - TAIL);
		if (!m)
			return slu_fail_oom(e);
		memcpy(m + 4, p, n - TAIL);
		len = open_message(s, m, n - TAIL);
	}
	if (len >= 0) {
		s->seq++;
		slu_buf_add(out, m + 4, (size_t)len);
	}
	free(m);
	if (len < 0)
		return slu_fail(e, EBADMSG, "a message is not as the server sent it");
	return slu_buf_err(out) ? slu_fail_oom(e) : 0;
}
