/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Blob service for tests: fast (sendfile, a thread per connection), strict where the emulator is
 * lax (ranges, CRC64, versions, copies from URLs, the hierarchical namespace), and able to fail by rule.
 * Written from the service's REST reference; no real service was asked.
 *
 *   blobd [--port N] [--dir DIR] [--serve CONTAINER=FOLDER]... [--container NAME]...
 *         [--synthetic CONTAINER=NAMES] [--sparse CONTAINER/NAME=BYTES]
 *         [--open CONTAINER] [--account NAME] [--key BASE64] [--anonymous] [--bearer] [--versions] [--hns] [--old]
 *         [--skew SECONDS] [--page ENTRIES] [--lax] [--tls-cert PEM --tls-key PEM [--tls-max 1.1]]
 *
 * Prints the port once it listens on 127.0.0.1 and ends with its standard input.  URLs are
 * http://127.0.0.1:PORT/ACCOUNT/CONTAINER/NAME; the dfs endpoint is /ACCOUNT.dfs/...  DIR is where the
 * bytes of what is written go, in one file without a name.
 *
 * For the tests: PUT /-/rules (fault.c has the language), GET and DELETE /-/log, PUT /-/release lets
 * go what stalls, PUT /-/change/CONTAINER/NAME gives a blob another ETag and time.
 */
#include "tests/blobd/blobd.h"

#include "common/str.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct options opt = {
	.page = 5000,
	.account = "devstoreaccount1",
	/* The emulator's published key: no secret. */
	.key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
};

void *must(void *p)
{
	if (!p)
		errx(1, "no memory");
	return p;
}

/* --- which request is which --- */

static const char *put_op(const struct request *q, const char *comp)
{
	static const struct {
		const char *comp, *op;
	} known[] = {
		{"block", "putblock"},      {"blocklist", "putlist"}, {"appendblock", "append"},
		{"metadata", "setmeta"},    {"tags", "settags"},      {"tier", "settier"},
		{"properties", "setprops"}, {"snapshot", "snapshot"}, {"lease", "lease"}};

	if (!comp && header(q, "x-ms-copy-source"))
		return header(q, "x-ms-blob-type") ? "putfromurl" : "copy";
	if (!comp)
		return "put";
	if (!strcmp(comp, "block") && header(q, "x-ms-copy-source"))
		return "blockfromurl";
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(comp, known[i].comp))
			return known[i].op;
	return "?";
}

static const char *get_op(const char *comp)
{
	if (comp && !strcmp(comp, "blocklist"))
		return "getblocks";
	return comp && !strcmp(comp, "tags") ? "gettags" : "get";
}

static const char *container_op(const struct request *q, const char *comp)
{
	if (comp && !strcmp(comp, "list"))
		return "list";
	if (!strcmp(q->method, "PUT"))
		return "mkcontainer";
	return !strcmp(q->method, "DELETE") ? "rmcontainer" : "container";
}

static const char *op_of(const struct request *q)
{
	const char *comp = query(q, "comp");

	if (q->dfs)
		return "dfs";
	if (!*q->container)
		return comp ? "containers" : "?";
	if (!*q->name)
		return container_op(q, comp);
	if (!strcmp(q->method, "HEAD"))
		return "head";
	if (!strcmp(q->method, "DELETE"))
		return "delete";
	if (!strcmp(q->method, "PUT"))
		return put_op(q, comp);
	return !strcmp(q->method, "GET") ? get_op(comp) : "?";
}

static void on_container(struct request *q, struct container *c)
{
	if (!strcmp(q->op, "mkcontainer")) {
		if (c)
			return answer_error(q, 409, "ContainerAlreadyExists",
					    "The container exists.");
		pthread_mutex_lock(&lock);
		container_make(q->container);
		pthread_mutex_unlock(&lock);
		return answer_empty(q, 201);
	}
	if (!c)
		return answer_error(q, 404, "ContainerNotFound", "The container does not exist.");
	if (!strcmp(q->op, "list"))
		return do_list(q, c);
	if (!strcmp(q->op, "rmcontainer")) {
		container_drop(c);
		return answer_empty(q, 202);
	}
	out_header(q, "ETag", "\"0x%llX\"", (unsigned long long)c->etag);
	out_header(q, "x-ms-lease-status", "unlocked");
	answer_empty(q, 200);
}

static void on_blob(struct request *q, struct container *c)
{
	static const struct {
		const char *op;
		void (*fn)(struct request *q, struct container *c);
	} fns[] = {
		{"get", do_get},
		{"head", do_head},
		{"put", do_put},
		{"putblock", do_put_block},
		{"putlist", do_put_list},
		{"append", do_append},
		{"delete", do_delete},
		{"getblocks", do_get_blocks},
		{"gettags", do_get_tags},
		{"copy", do_copy},
		{"blockfromurl", do_block_from_url},
		{"putfromurl", do_put_from_url},
		{"snapshot", do_snapshot},
		{"lease", do_lease},
	};

	if (!c)
		return answer_error(q, 404, "ContainerNotFound", "The container does not exist.");
	for (size_t i = 0; i < sizeof(fns) / sizeof(fns[0]); i++)
		if (!strcmp(q->op, fns[i].op))
			return fns[i].fn(q, c);
	if (!strncmp(q->op, "set", 3))
		return do_set(q, c, q->op + 3);
	answer_error(q, 400, "InvalidQueryParameterValue", "This operation is not known.");
}

/* What tests ask of the server itself. */
static void on_admin(struct request *q, const char *what)
{
	struct slu_buf b = {.max = 1 << 30};
	const char *why = "", *name;

	if (!strcmp(what, "log") && !strcmp(q->method, "GET")) {
		log_text(&b);
		answer(q, 200, b.p, b.len, "text/plain");
	} else if (!strcmp(what, "log")) {
		log_clear();
		answer_empty(q, 200);
	} else if (!strcmp(what, "release")) {
		rules_release();
		answer_empty(q, 200);
	} else if (!strcmp(what, "rules")) {
		char *text = body_text(q, NULL);
		int r = text ? rules_set(text, &why) : -1;

		free(text);
		answer(q, r < 0 ? 400 : 200, why, strlen(why), "text/plain");
	} else if ((name = slu_after(what, "change/")) && strchr(name, '/')) {
		char *c = strndup(name, (size_t)(strchr(name, '/') - name));
		struct name *n;

		pthread_mutex_lock(&lock);
		n = container_find(c) ? name_find(container_find(c), strchr(name, '/') + 1) : NULL;
		if (n && n->now)
			blob_touch(n->now);
		pthread_mutex_unlock(&lock);
		free(c);
		answer_empty(q, n ? 200 : 404);
	} else {
		answer_empty(q, 404);
	}
	slu_buf_done(&b);
}

static void common_headers(struct request *q)
{
	char date[40];
	static unsigned long long nr;

	http_date(date, now_ns() / 1000000000 + opt.skew +
				(q->fault.kind == FAULT_DATE ? q->fault.n : 0));
	out_header(q, "Date", "%s", date);
	out_header(q, "Server", "blobd");
	out_header(q, "x-ms-version", "%s", header(q, "x-ms-version") ?: BLOBD_VERSION);
	out_header(q, "x-ms-request-id", "b10bd000-0000-0000-0000-%012llx",
		   __atomic_add_fetch(&nr, 1, __ATOMIC_RELAXED));
	if (header(q, "x-ms-client-request-id"))
		out_header(q, "x-ms-client-request-id", "%s", header(q, "x-ms-client-request-id"));
}

/* Faults that stand before anything is done: true when they answered. */
static bool fault_first(struct request *q)
{
	struct fault *f = &q->fault;

	switch (f->kind) {
	case FAULT_STATUS:
		if (f->retry_after >= 0)
			out_header(q, "Retry-After", "%lld", (long long)f->retry_after);
		answer_error(q, (int)f->n, *f->text ? f->text : "InternalError", "By rule.");
		return true;
	case FAULT_REDIRECT:
		out_header(q, "Location", "%s", f->text);
		answer_empty(q, 307);
		return true;
	case FAULT_HTML:
		slu_buf_clear(&q->out); /* somebody else's answer */
		answer(q, f->n ? (int)f->n : 200, "<html><body>Sign in</body></html>", 33,
		       "text/html");
		return true;
	case FAULT_REFUSE_BODY:
		q->close = true; /* a status before the body was read, and the end */
		answer_error(q, 503, "ServerBusy", "By rule.");
		return true;
	case FAULT_DELAY:
		poll(NULL, 0, (int)f->n);
		log_expect(q);
		return false;
	case FAULT_CHANGE: {
		struct container *c;
		struct name *n;

		pthread_mutex_lock(&lock);
		c = container_find(q->container);
		n = c ? name_find(c, q->name) : NULL;
		if (n && n->now)
			blob_touch(n->now);
		pthread_mutex_unlock(&lock);
		return false;
	}
	default:
		return false;
	}
}

void handle(struct request *q)
{
	struct container *c;

	common_headers(q);
	if (slu_starts(q->raw_path, "/-/"))
		return on_admin(q, q->raw_path + 3);
	q->op = op_of(q);
	rules_match(q);
	if (fault_first(q))
		return;
	if (!auth_ok(q))
		return;
	pthread_mutex_lock(&lock);
	c = *q->container ? container_find(q->container) : NULL;
	pthread_mutex_unlock(&lock);
	if (q->dfs)
		do_dfs(q, c);
	else if (!strcmp(q->op, "containers"))
		do_list_containers(q);
	else if (!*q->name)
		on_container(q, c);
	else
		on_blob(q, c);
}

/* --- the start --- */

static char *cut(const char *arg, char at, const char **ret_rest)
{
	const char *p = strchr(arg, at);

	if (!p)
		errx(2, "'%s' has no '%c'", arg, at);
	*ret_rest = p + 1;
	return must(strndup(arg, (size_t)(p - arg)));
}

static struct container *container_for(const char *name)
{
	struct container *c = container_find(name);

	return c ? c : container_make(name);
}

static void serve_folder(struct container *c, const char *top, const char *below)
{
	char *path;
	DIR *d;

	if (asprintf(&path, "%s%s%s", top, *below ? "/" : "", below) < 0 || !(d = opendir(path)))
		err(1, "%s", path);
	for (struct dirent *e; (e = readdir(d));) {
		char *full, *name;
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&full, "%s/%s", path, e->d_name) < 0 ||
		    asprintf(&name, "%s%s%s", below, *below ? "/" : "", e->d_name) < 0)
			must(NULL);
		if (stat(full, &st) == 0 && S_ISDIR(st.st_mode))
			serve_folder(c, top, name);
		else if (S_ISREG(st.st_mode))
			blob_publish(name_make(c, name),
				     blob_new(content_file(full, (uint64_t)st.st_size)));
		if (opt.hns)
			dfs_parents(c, name);
		free(full);
		free(name);
	}
	closedir(d);
	free(path);
}

enum {
	O_PORT = 1,
	O_DIR,
	O_SERVE,
	O_CONTAINER,
	O_SYNTHETIC,
	O_SPARSE,
	O_ACCOUNT,
	O_KEY,
	O_ANONYMOUS,
	O_BEARER,
	O_VERSIONS,
	O_HNS,
	O_OLD,
	O_SKEW,
	O_CERT,
	O_TLS_KEY,
	O_TLS_MAX,
	O_PAGE,
	O_LAX,
	O_OPEN
};

static const struct option longs[] = {
	{"port", 1, NULL, O_PORT},
	{"dir", 1, NULL, O_DIR},
	{"serve", 1, NULL, O_SERVE},
	{"container", 1, NULL, O_CONTAINER},
	{"synthetic", 1, NULL, O_SYNTHETIC},
	{"sparse", 1, NULL, O_SPARSE},
	{"account", 1, NULL, O_ACCOUNT},
	{"key", 1, NULL, O_KEY},
	{"anonymous", 0, NULL, O_ANONYMOUS},
	{"bearer", 0, NULL, O_BEARER},
	{"versions", 0, NULL, O_VERSIONS},
	{"hns", 0, NULL, O_HNS},
	{"old", 0, NULL, O_OLD},
	{"skew", 1, NULL, O_SKEW},
	{"tls-cert", 1, NULL, O_CERT},
	{"tls-key", 1, NULL, O_TLS_KEY},
	{"tls-max", 1, NULL, O_TLS_MAX},
	{"page", 1, NULL, O_PAGE},
	{"lax", 0, NULL, O_LAX},
	{"open", 1, NULL, O_OPEN},
	{0},
};

static struct {
	const char *dir, *cert, *tls_key, *tls_max;
	int port;
} start = {.dir = "/tmp"};

/* Options that name containers: after those that name the place of the bytes. */
static void take_content(int o, const char *arg)
{
	const char *rest;
	char *name, *top;
	uint64_t n;

	if (o == O_CONTAINER) {
		container_for(arg);
		return;
	}
	if (o == O_OPEN) {
		container_for(arg)->open = true;
		return;
	}
	name = cut(arg, o == O_SPARSE ? '/' : '=', &rest);
	if (o == O_SERVE) {
		serve_folder(container_for(name), rest, "");
	} else if (o == O_SYNTHETIC) {
		if (!slu_u64(rest, &n))
			errx(2, "'%s' is no number", rest);
		container_for(name)->synthetic = n;
	} else {
		top = cut(rest, '=', &rest);
		if (!slu_size(rest, &n))
			errx(2, "'%s' is no size", rest);
		blob_publish(name_make(container_for(name), top), blob_new(content_sparse(n)));
		free(top);
	}
	free(name);
}

static void take_option(int o, const char *arg)
{
	switch (o) {
	case O_PORT:
		start.port = (int)strtol(arg, NULL, 10);
		break;
	case O_DIR:
		start.dir = arg;
		break;
	case O_ACCOUNT:
		opt.account = arg;
		break;
	case O_KEY:
		opt.key = arg;
		break;
	case O_ANONYMOUS:
		opt.anonymous = true;
		break;
	case O_BEARER:
		opt.bearer = true;
		break;
	case O_VERSIONS:
		opt.versions = true;
		break;
	case O_HNS:
		opt.hns = true;
		break;
	case O_OLD:
		opt.old = true;
		break;
	case O_LAX:
		opt.lax = true;
		break;
	case O_PAGE:
		opt.page = strtoul(arg, NULL, 10);
		break;
	case O_SKEW:
		opt.skew = strtoll(arg, NULL, 10);
		break;
	case O_CERT:
		start.cert = arg;
		break;
	case O_TLS_KEY:
		start.tls_key = arg;
		break;
	case O_TLS_MAX:
		start.tls_max = arg;
		break;
	case O_SERVE:
	case O_CONTAINER:
	case O_SYNTHETIC:
	case O_SPARSE:
	case O_OPEN:
		break;
	default:
		exit(2);
	}
}

const char *arena_dir(void)
{
	return start.dir;
}

static void *connection(void *arg)
{
	serve((int)(intptr_t)arg);
	return NULL;
}

static void *until_orphan(void *arg)
{
	char c;

	while (read(0, &c, 1) > 0)
		;
	(void)arg;
	_exit(0);
}

static void accept_all(int fd)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int one = 1, got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (got < 0)
			continue;
		setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&t, &attr, connection, (void *)(intptr_t)got) != 0)
			close(got);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int o, one = 1, fd;
	pthread_t t;

	signal(SIGPIPE, SIG_IGN);
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1)
		take_option(o, optarg);
	opt.secret = must(malloc(strlen(opt.key) + 1));
	opt.secret_len = (size_t)unbase64(opt.secret, strlen(opt.key), opt.key);
	optind = 1;
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (o == O_SERVE || o == O_CONTAINER || o == O_SYNTHETIC || o == O_SPARSE ||
		    o == O_OPEN)
			take_content(o, optarg);
	if (start.cert && tls_start(start.cert, start.tls_key, start.tls_max) < 0)
		errx(1, "'%s': no certificate and key that can be used", start.cert);
	opt.tls = start.cert;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	sa.sin_port = htons((uint16_t)start.port);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		err(1, "port %d", start.port);
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	if (pthread_create(&t, NULL, until_orphan, NULL) != 0)
		err(1, "thread");
	accept_all(fd);
}
