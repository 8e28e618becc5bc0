/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's side that serves.  One thread accepts, one thread a connection works; connections and
 * their requests are bounded.  The token is compared in constant time.
 */
#include "job/broker.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "common/vec.h"
#include "dataset/api.h"
#include "dataset/broker_client.h"
#include "dataset/input.h"
#include "io/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { CONNS_MAX = 16, VIEWS_MAX = 256, IDLE_SECONDS = 30 };

struct conn {
	struct slu_broker *b;
	pthread_t thread;
	int fd;
	bool used, done;
};

struct slu_broker {
	struct slu_run *run;
	char token[SLU_BROKER_TOKEN];
	int listen, stop, freed; /* eventfds: it is to end; a connection has ended */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	struct conn conns[CONNS_MAX];
	SLU_VEC(struct slu_input *) views; /* all that were tried */
	SLU_VEC(struct slu_input *) open;  /* those of them that are usable */
	unsigned serial;
};

/* --- operations --- */

static int op_show(struct slu_broker *b, const char *ref, struct json_t *answer, struct slu_err *e)
{
	struct sluice_error why;
	struct json_t *data = NULL;
	char *text = NULL;
	int r = sluice_data_show(b->run->s, ref, &text, &why);

	if (r < 0)
		return slu_fail(e, -r, "%s", why.message);
	r = slu_json_parse(text, strlen(text), "data show", &data, e);
	sluice_free(text);
	if (r < 0)
		return r;
	return slu_json_set(answer, "data", data) < 0 ? slu_fail_oom(e) : 0;
}

static int call_workspace(struct sluice *s, const char *arg, char **ret, struct sluice_error *e)
{
	(void)arg;
	return sluice_workspace(s, ret, e);
}

/* A text and no JSON: {"text"}. */
static int call_manifest(struct sluice *s, const char *arg, char **ret, struct sluice_error *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();
	struct slu_err er = {0};
	char *text = NULL;
	int r = sluice_data_manifest(s, arg, &text, e);

	if (r < 0)
		return r;
	if (strlen(text) >= SLU_BROKER_LINE / 2)
		r = slu_fail(&er, EFBIG,
			     "the manifest of '%s' is too long for a step: mount or download it",
			     arg);
	else if (slu_json_set_str(o, "text", text) < 0 ||
		 !(*ret = slu_json_text(o, SLU_JSON_COMPACT)))
		r = slu_fail_oom(&er);
	sluice_free(text);
	return slu_api_error(e, &er, r);
}

/* Calls of the API that a step may make, each with one text and a JSON answer. */
static const struct {
	const char *name;
	int (*call)(struct sluice *s, const char *arg, char **ret, struct sluice_error *e);
} calls[] = {
	{"workspace", call_workspace},           {"data_search", sluice_data_search},
	{"data_schema", sluice_data_schema},     {"data_manifest", call_manifest},
	{"job_show", sluice_job_show},           {"data_save", sluice_data_save},
	{"data_register", sluice_data_register},
};

static int op_call(struct slu_broker *b, const struct json_t *req, struct json_t *answer,
		   struct slu_err *e)
{
	const char *name = slu_json_str(req, "name"), *arg = slu_json_str(req, "arg");
	struct sluice_error why = {0};
	struct json_t *data = NULL;
	char *text = NULL;
	size_t i = 0;
	int r;

	while (i < sizeof calls / sizeof *calls && !(name && slu_streq(calls[i].name, name)))
		i++;
	if (i == sizeof calls / sizeof *calls)
		return slu_fail(e, EINVAL, "the broker has no call '%s'", name ? name : "");
	r = calls[i].call(b->run->s, arg ? arg : "", &text, &why);
	if (r < 0)
		return slu_fail(e, -r, "%s", why.message);
	r = slu_json_parse(text, strlen(text), name, &data, e);
	sluice_free(text);
	if (r < 0)
		return r;
	return slu_json_set(answer, "data", data) < 0 ? slu_fail_oom(e) : 0;
}

/* A slot in the list of views, taken before the work so that the bound holds. */
static int keep_view(struct slu_broker *b, struct slu_input *in, struct slu_err *e)
{
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (b->views.n >= VIEWS_MAX)
		r = slu_fail(e, EMFILE, "a step opens at most %d views through its broker",
			     VIEWS_MAX);
	else if (!slu_vec_push(&b->views, in))
		r = slu_fail_oom(e);
	pthread_mutex_unlock(&b->lock);
	return r;
}

static struct slu_input *new_view(struct slu_broker *b, const char *ref, const char *name)
{
	struct slu_input *in = slu_new0(struct slu_input);
	unsigned serial;

	pthread_mutex_lock(&b->lock);
	serial = b->serial++;
	pthread_mutex_unlock(&b->lock);
	if (!in)
		return NULL;
	in->ref = slu_strdup(ref);
	/* The number keeps two views of one name apart. */
	in->name = slu_asprintf("%s_%u", name ? name : "broker", serial);
	if (!in->ref || !in->name) {
		slu_input_free(in);
		return NULL;
	}
	return in;
}

static int open_view(struct slu_broker *b, struct slu_input *in, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *place = slu_asprintf("%s/inputs", b->run->dir);
	SLU_AUTO(slu_freep) char *log = slu_asprintf("%s/" SLU_RUN_DATA_LOG, b->run->dir);
	int r = place && log ? slu_resolve_ref(b->run->s, in->ref, &in->dataset, e)
			     : slu_fail_oom(e);

	return r < 0 ? r : slu_input_open(b->run->s, in, place, false, log, e);
}

static int tell_view(const struct slu_input *in, struct json_t *answer, struct slu_err *e)
{
	if (slu_json_set_str(answer, "value", in->value) < 0 ||
	    (in->view && in->view->props &&
	     slu_json_set(answer, "props", slu_json_copy(in->view->props)) < 0))
		return slu_fail_oom(e);
	return 0;
}

/* A view that is open already serves again, so that who opens many files of a dataset has one: 1; 0: there
 * is none. */
static int again(struct slu_broker *b, const char *ref, enum slu_mode m, struct json_t *answer,
		 struct slu_err *e)
{
	int r = 0;

	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->open.n && r == 0; i++)
		if (b->open.p[i]->mode == m && slu_streq(b->open.p[i]->ref, ref)) {
			r = tell_view(b->open.p[i], answer, e);
			r = r < 0 ? r : 1;
		}
	pthread_mutex_unlock(&b->lock);
	return r;
}

static int op_open(struct slu_broker *b, const struct json_t *req, const char *ref,
		   struct json_t *answer, struct slu_err *e)
{
	const char *mode = slu_json_str(req, "mode"), *name = slu_json_str(req, "name");
	enum slu_mode m = SLU_MODE_DOWNLOAD;
	struct slu_input *in;
	int r = mode ? slu_mode_parse(mode, &m, e) : 0;

	if (r == 0 && name)
		r = slu_input_name_check(name, e);
	if (r < 0)
		return r;
	r = name ? 0 : again(b, ref, m, answer, e);
	if (r != 0)
		return r < 0 ? r : 0;
	in = new_view(b, ref, name);
	if (!in)
		return slu_fail_oom(e);
	in->mode = m;
	r = keep_view(b, in, e);
	if (r < 0) {
		slu_input_free(in);
		return r;
	}
	r = open_view(b, in, e); /* kept also when it failed: closing it is harmless */
	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	r = slu_vec_push(&b->open, in) ? 0 : slu_fail_oom(e);
	pthread_mutex_unlock(&b->lock);
	return r < 0 ? r : tell_view(in, answer, e);
}

static bool token_ok(const struct slu_broker *b, const struct json_t *req)
{
	const char *t = slu_json_str(req, "token");
	unsigned char diff = 0;

	if (!t || strlen(t) != SLU_BROKER_TOKEN - 1)
		return false;
	for (size_t i = 0; i < SLU_BROKER_TOKEN - 1; i++)
		diff |= (unsigned char)(t[i] ^ b->token[i]);
	return diff == 0;
}

static int serve(struct slu_broker *b, const struct json_t *req, struct json_t *answer,
		 struct slu_err *e)
{
	const char *op = slu_json_str(req, "op"), *ref = slu_json_str(req, "ref");

	if (!token_ok(b, req))
		return slu_fail(e, EACCES, "the token of this request is not that of run '%s'",
				b->run->id);
	if (op && slu_streq(op, "ping"))
		return slu_json_set_str(answer, "run", b->run->id) < 0 ? slu_fail_oom(e) : 0;
	if (op && slu_streq(op, "call"))
		return op_call(b, req, answer, e);
	if (!op || (!slu_streq(op, "show") && !slu_streq(op, "open")))
		return slu_fail(e, EINVAL, "the broker has no operation '%s'", op ? op : "");
	if (!ref || !*ref)
		return slu_fail(e, EINVAL, "the request has no 'ref'");
	return slu_streq(op, "show") ? op_show(b, ref, answer, e) : op_open(b, req, ref, answer, e);
}

/* --- connections --- */

static int answer_line(struct slu_broker *b, const struct slu_buf *line, int fd)
{
	SLU_AUTO(slu_json_freep) struct json_t *req = NULL, *answer = slu_json_object();
	SLU_AUTO(slu_freep) char *text = NULL;
	struct slu_err why = {0};
	int r = slu_json_parse(line->p ? line->p : "", line->len, "the request", &req, &why);

	if (!answer)
		return -ENOMEM;
	if (r == 0)
		r = serve(b, req, answer, &why);
	if (slu_json_set_bool(answer, "ok", r == 0) < 0 ||
	    (r < 0 && (slu_json_set_int(answer, "code", -r) < 0 ||
		       slu_json_set_str(answer, "message", why.msg) < 0)))
		return -ENOMEM;
	text = slu_json_text(answer, SLU_JSON_COMPACT);
	return text ? slu_line_write(fd, text) : -ENOMEM;
}

static void post(int fd)
{
	const uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *conn_main(void *arg)
{
	struct conn *c = arg;
	SLU_AUTO(slu_buf_done) struct slu_buf line = SLU_BUF(SLU_BROKER_LINE);
	const struct timeval limit = {.tv_sec = IDLE_SECONDS};

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (slu_line_read(c->fd, &line) == 1)
		if (answer_line(c->b, &line, c->fd) < 0)
			break;
	shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_lock(&c->b->lock);
	c->done = true;
	post(c->b->freed);
	pthread_mutex_unlock(&c->b->lock);
	return NULL;
}

static bool peer_ok(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

/* Joins what has ended.  Locked. */
static void reap(struct slu_broker *b, bool all)
{
	for (int i = 0; i < CONNS_MAX; i++) {
		struct conn *c = &b->conns[i];

		if (!c->used || (!c->done && !all))
			continue;
		if (!c->done)
			shutdown(c->fd, SHUT_RDWR);
		pthread_mutex_unlock(&b->lock);
		pthread_join(c->thread, NULL);
		pthread_mutex_lock(&b->lock);
		close(c->fd);
		*c = (struct conn){.fd = -1};
	}
}

/* A free slot, or NULL: then callers wait in the socket's queue.  Locked. */
static struct conn *free_slot(struct slu_broker *b)
{
	reap(b, false);
	for (int i = 0; i < CONNS_MAX; i++)
		if (!b->conns[i].used)
			return &b->conns[i];
	return NULL;
}

static void take_conn(struct slu_broker *b, int fd)
{
	struct conn *c;

	pthread_mutex_lock(&b->lock);
	c = free_slot(b);
	if (c && peer_ok(fd)) {
		*c = (struct conn){.b = b, .fd = fd, .used = true};
		if (pthread_create(&c->thread, NULL, conn_main, c) == 0)
			fd = -1;
		else
			*c = (struct conn){.fd = -1};
	}
	pthread_mutex_unlock(&b->lock);
	if (fd >= 0)
		close(fd);
}

static bool has_room(struct slu_broker *b)
{
	bool room;

	pthread_mutex_lock(&b->lock);
	room = free_slot(b) != NULL;
	pthread_mutex_unlock(&b->lock);
	return room;
}

static void *accept_main(void *arg)
{
	struct slu_broker *b = arg;
	uint64_t n;

	for (;;) {
		struct pollfd p[3] = {{.fd = has_room(b) ? b->listen : -1, .events = POLLIN},
				      {.fd = b->stop, .events = POLLIN},
				      {.fd = b->freed, .events = POLLIN}};

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		if (p[2].revents && read(b->freed, &n, sizeof(n)) < 0 && errno != EAGAIN)
			return NULL;
		if (p[0].revents) {
			int fd = accept4(b->listen, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				take_conn(b, fd);
		}
	}
}

/* --- life --- */

static void broker_free(struct slu_broker *b)
{
	slu_closep(&b->listen);
	slu_closep(&b->stop);
	slu_closep(&b->freed);
	for (size_t i = 0; i < b->views.n; i++) {
		struct slu_err why = {0};

		if (slu_input_close(b->views.p[i], &why) < 0)
			slu_warn("job", "run '%s': %s", b->run->id, why.msg);
		slu_input_free(b->views.p[i]);
	}
	free(b->views.p);
	free(b->open.p);
	pthread_mutex_destroy(&b->lock);
	explicit_bzero(b->token, sizeof(b->token));
	free(b);
}

static int broker_listen(struct slu_broker *b, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/" SLU_BROKER_SOCKET, b->run->dir);

	if (!path)
		return slu_fail_oom(e);
	unlinkat(b->run->fd, SLU_BROKER_SOCKET, 0);
	b->listen = slu_unix_socket(path, true);
	if (b->listen < 0)
		return slu_fail_sys(e, -b->listen, "cannot make the socket '%s'", path);
	if (listen(b->listen, CONNS_MAX) < 0)
		return slu_fail_sys(e, errno, "cannot listen on '%s'", path);
	b->stop = eventfd(0, EFD_CLOEXEC);
	b->freed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->stop < 0 || b->freed < 0
		       ? slu_fail_sys(e, errno, "cannot make an event descriptor")
		       : 0;
}

int slu_broker_start(struct slu_run *r, char token[SLU_BROKER_TOKEN], struct slu_broker **ret,
		     struct slu_err *e)
{
	struct slu_broker *b = slu_new0(struct slu_broker);
	int rc;

	if (!b)
		return slu_fail_oom(e);
	*b = (struct slu_broker){.run = r, .listen = -1, .stop = -1, .freed = -1};
	pthread_mutex_init(&b->lock, NULL);
	rc = slu_random_id(b->token, (SLU_BROKER_TOKEN - 1) / 2);
	rc = rc < 0 ? slu_fail_sys(e, -rc, "cannot make a token") : broker_listen(b, e);
	if (rc == 0 && pthread_create(&b->thread, NULL, accept_main, b) != 0)
		rc = slu_fail(e, EAGAIN, "cannot start a thread");
	if (rc < 0) {
		broker_free(b);
		return rc;
	}
	memcpy(token, b->token, SLU_BROKER_TOKEN);
	*ret = b;
	return 0;
}

void slu_broker_stop(struct slu_broker *b)
{
	if (!b)
		return;
	post(b->stop);
	pthread_join(b->thread, NULL);
	pthread_mutex_lock(&b->lock);
	reap(b, true);
	pthread_mutex_unlock(&b->lock);
	unlinkat(b->run->fd, SLU_BROKER_SOCKET, 0);
	broker_free(b);
}
