/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of the broker, and the few lines of socket work that both sides share.  It knows
 * nothing of workspaces: it asks.
 */
#include "dataset/broker_client.h"

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "fs/view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define ENDPOINT "AZUREML_SERVICE_ENDPOINT"
#define TOKEN "AZUREML_RUN_TOKEN"

enum { ANSWER_SECONDS = 24 * 3600 }; /* a download may be what is waited for */

/* --- sockets and lines --- */

static int call_at(int fd, const char *path, bool bind_it)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const struct sockaddr *sa = (const struct sockaddr *)&a;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	return (bind_it ? bind(fd, sa, sizeof(a)) : connect(fd, sa, sizeof(a))) < 0 ? -errno : 0;
}

/* A path that is too long for a socket address is reached through a descriptor of its folder. */
static int call_long(int fd, const char *path, bool bind_it)
{
	const char *slash = strrchr(path, '/');
	SLU_AUTO(slu_freep) char *dir = slash ? slu_strndup(path, (size_t)(slash - path)) : NULL;
	SLU_AUTO(slu_freep) char *via = NULL;
	SLU_AUTO(slu_closep) int dirfd = -1;

	if (!dir)
		return -ENAMETOOLONG;
	dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	via = slu_asprintf("/proc/self/fd/%d%s", dirfd, slash);
	return via ? call_at(fd, via, bind_it) : -ENOMEM;
}

int slu_unix_socket(const char *path, bool bind_it)
{
	SLU_AUTO(slu_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	/* The mode of the socket's name comes from the socket's own. */
	if (bind_it && fchmod(fd, 0600) < 0)
		return -errno;
	r = call_at(fd, path, bind_it);
	if (r == -ENAMETOOLONG)
		r = call_long(fd, path, bind_it);
	return r < 0 ? r : slu_take_fd(fd);
}

int slu_line_read(int fd, struct slu_buf *line)
{
	char chunk[4096];

	slu_buf_clear(line);
	for (;;) {
		/* Looked at first, so that not a byte of the next line is taken. */
		ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_PEEK);
		const char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return line->len ? -EBADMSG : 0;
		end = memchr(chunk, '\n', (size_t)n);
		slu_buf_add(line, chunk, end ? (size_t)(end - chunk) : (size_t)n);
		if (recv(fd, chunk, end ? (size_t)(end - chunk) + 1 : (size_t)n, 0) < 0)
			return -errno;
		if (slu_buf_err(line))
			return slu_buf_err(line);
		if (end)
			return 1;
	}
}

int slu_line_write(int fd, const char *text)
{
	SLU_AUTO(slu_freep) char *line = slu_asprintf("%s\n", text);
	const char *p = line;
	size_t left = line ? strlen(line) : 0;

	if (!line)
		return -ENOMEM;
	while (left) {
		ssize_t n = send(fd, p, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

/* --- calls --- */

bool slu_broker_here(void)
{
	const char *endpoint = getenv(ENDPOINT), *token = getenv(TOKEN);

	return endpoint && slu_starts(endpoint, "unix:") && token && *token;
}

bool slu_broker_for(const char *ref)
{
	return ref[0] != '/' && ref[0] != '.' && !slu_starts(ref, "file:") && slu_broker_here();
}

struct json_t *slu_broker_request(const char *op, const char *ref, const char *mode)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = slu_json_object();

	if (!o || slu_json_set_str(o, "op", op) < 0 ||
	    (ref && slu_json_set_str(o, "ref", ref) < 0) ||
	    (mode && slu_json_set_str(o, "mode", mode) < 0))
		return NULL;
	return slu_take(o);
}

static int check_answer(const struct json_t *answer, struct slu_err *e)
{
	const char *text = slu_json_str(answer, "message");
	int64_t code = slu_json_int(answer, "code", EIO);

	if (slu_json_bool(answer, "ok", false))
		return 0;
	return slu_fail(e, code > 0 && code < 4096 ? (int)code : EIO, "%s",
			text ? text : "the broker of this run gave no answer");
}

static int ask(int fd, const char *text, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf line = SLU_BUF(SLU_BROKER_LINE);
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	int r;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	r = slu_line_write(fd, text);
	if (r == 0)
		r = slu_line_read(fd, &line);
	if (r <= 0)
		return slu_fail_sys(e, r < 0 ? -r : ECONNRESET, "the broker of this run");
	r = slu_json_parse(line.p, line.len, "the broker's answer", &answer, e);
	if (r == 0)
		r = check_answer(answer, e);
	if (r == 0)
		*ret = slu_take(answer);
	return r;
}

int slu_broker_call(struct json_t *request, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *own = request;
	const char *path = getenv(ENDPOINT);
	SLU_AUTO(slu_freep) char *text = NULL;
	SLU_AUTO(slu_closep) int fd = -1;

	if (!slu_broker_here())
		return slu_fail(e, ENOENT, "this is not inside a step: " ENDPOINT " is not set");
	if (!own || slu_json_set_str(own, "token", getenv(TOKEN)) < 0 ||
	    !(text = slu_json_text(own, SLU_JSON_COMPACT)))
		return slu_fail_oom(e);
	fd = slu_unix_socket(path + strlen("unix:"), false);
	if (fd < 0)
		return slu_fail_sys(e, -fd, "cannot reach the broker of this run at '%s'", path);
	return ask(fd, text, ret, e);
}

/* --- views --- */

static void view_free(struct slu_view *v)
{
	free(v->where);
	slu_json_free(v->props);
	free(v);
}

static const struct slu_view_ops view_ops = {.kind = SLU_VIEW_HDFS, .free = view_free};

int slu_broker_view(const char *ref, const char *mode, struct slu_view **ret, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *answer = NULL;
	struct slu_view *v;
	int r = slu_broker_call(slu_broker_request("open", ref, mode), &answer, e);

	if (r < 0)
		return r;
	v = slu_new0(struct slu_view);
	if (!v)
		return slu_fail_oom(e);
	v->ops = &view_ops;
	v->where = slu_strdup(slu_json_str(answer, "value"));
	if (slu_json_get(answer, "props"))
		v->props = slu_json_ref(slu_json_get(answer, "props"));
	if (!v->where) {
		view_free(v);
		return slu_fail(e, EBADMSG, "the broker of this run gave no value for '%s'", ref);
	}
	*ret = v;
	return 0;
}
