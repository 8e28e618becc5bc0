/* SPDX-License-Identifier: Apache-2.0 */
/* The forms in which people give the endpoint of a storage account, brought into one. */
#include "blob/endpoint.h"

#include "common/cleanup.h"
#include "common/mem.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

#define PUBLIC_CLOUD "core.windows.net"

void slu_blob_place_done(struct slu_blob_place *p)
{
	free(p->account);
	free(p->container);
	free(p->base);
	free(p->dfs);
	free(p->suffix);
	*p = (struct slu_blob_place){0};
}

/* host: up to its '/' or end. */
static bool is_address(const char *host)
{
	size_t n = strcspn(host, "/");

	return host[0] == '[' || strspn(host, "0123456789.:") >= n;
}

static bool is_name(const char *host, const char *name)
{
	size_t n = strlen(name);

	return strncmp(host, name, n) == 0 && (!host[n] || host[n] == ':' || host[n] == '/');
}

static bool is_loopback(const char *host)
{
	return (slu_starts(host, "127.") && is_address(host)) || slu_starts(host, "[::1]") ||
	       is_name(host, "localhost");
}

static bool has_port(const char *host)
{
	const char *colon = strrchr(host, ':');

	return colon && !strchr(colon, ']');
}

/* A host, perhaps with a port, perhaps with a path: the whole endpoint. */
static char *full_base(const char *scheme, const char *host, const char *account)
{
	size_t n = strlen(host);
	const char *slash;

	while (n && host[n - 1] == '/')
		n--;
	slash = memchr(host, '/', n);
	if (!slash && (is_address(host) || is_name(host, "localhost")))
		return slu_asprintf("%s://%.*s/%s", scheme, (int)n, host, account);
	return slu_asprintf("%s://%.*s", scheme, (int)n, host);
}

/* The scheme of a URL and what is behind "://"; NULL: it is none, and both stay. */
static const char *url_host(const char *text, const char **ret_scheme)
{
	static const char *const schemes[] = {"https", "http"};

	for (size_t i = 0; i < 2; i++) {
		const char *after = slu_iafter(text, schemes[i]);

		if (after && slu_starts(after, "://")) {
			*ret_scheme = schemes[i];
			return after + 3;
		}
	}
	return NULL;
}

static bool is_full_host(const char *host, const char *account)
{
	const char *rest = slu_after(host, account);

	return is_address(host) || has_port(host) || is_name(host, "localhost") ||
	       (rest && (*rest == '.' || slu_starts(rest, "-secondary.")));
}

static int check_plain(const char *base, bool plain_ok, struct slu_err *e)
{
	const char *host = slu_after(base, "http://");

	if (!host || plain_ok || is_loopback(host))
		return 0;
	return slu_fail(e, EACCES,
			"'%s' is plain http, which shows the data to the network: use https, or "
			"allow it with \"allow_plain_http\": true",
			base);
}

/* Neither secrets nor what ends a URL's path belong into one, and nothing of it is shown. */
static int check_text(const char *scheme, const char *host, struct slu_err *e)
{
	if (!slu_streq(scheme, "https") && !slu_streq(scheme, "http"))
		return slu_fail(
			e, EINVAL,
			"the endpoint's protocol has to be https (or http for this machine)");
	for (const char *s = host; *s; s++)
		if (*s <= ' ' || *s > '~' || strchr("?#@\"\\<>^`{|}", *s))
			return slu_fail(e, EINVAL,
					"the endpoint has to be a host or a URL, without user, "
					"query or blanks");
	if (!*host || *host == '/')
		return slu_fail(e, EINVAL, "the endpoint names no host");
	return 0;
}

static char *path_of(char *base)
{
	char *host = strstr(base, "://") + 3;

	return host + strcspn(host, "/");
}

int slu_blob_place_init(struct slu_blob_place *p, const char *account, const char *container,
			const char *endpoint, const char *protocol, bool plain_ok,
			struct slu_err *e)
{
	const char *scheme = protocol ? protocol : "https";
	const char *host = endpoint ? endpoint : PUBLIC_CLOUD, *url = url_host(host, &scheme);
	int r = check_text(scheme, url ? url : host, e);

	*p = (struct slu_blob_place){0};
	if (r < 0)
		return r;
	*p = (struct slu_blob_place){.account = slu_strdup(account),
				     .container = slu_strdup(container),
				     .plain_ok = plain_ok};
	if (url || is_full_host(host, account)) {
		p->base = full_base(scheme, url ? url : host, account);
	} else {
		const char *suffix = slu_after(host, "blob.");

		p->suffix = slu_strdup(suffix ? suffix : host);
		p->base = p->suffix ? slu_asprintf("%s://%s.blob.%s", scheme, account, p->suffix)
				    : NULL;
	}
	if (!p->account || !p->container || !p->base)
		r = slu_fail_oom(e);
	else
		r = check_plain(p->base, plain_ok, e);
	if (r < 0) {
		slu_blob_place_done(p);
		return r;
	}
	p->path = path_of(p->base);
	return 0;
}

/* ".blob." of the host becomes ".dfs.". */
static char *beside(const char *base)
{
	const char *at = strstr(base, ".blob.");

	return at ? slu_asprintf("%.*s.dfs.%s", (int)(at - base), base, at + 6) : NULL;
}

int slu_blob_place_dfs(struct slu_blob_place *p, const char *endpoint, struct slu_err *e)
{
	const char *scheme = "https", *host = endpoint ? url_host(endpoint, &scheme) : NULL;
	int r;

	if (!endpoint && !strstr(p->base, ".blob."))
		return 0;
	if (endpoint && !host)
		return slu_fail(e, EINVAL, "'dfs_endpoint' is to be a URL (https://...)");
	r = endpoint ? check_text(scheme, host, e) : 0;
	if (r < 0)
		return r;
	p->dfs = endpoint ? full_base(scheme, host, p->account) : beside(p->base);
	if (!p->dfs)
		return slu_fail_oom(e);
	p->dfs_path = path_of(p->dfs);
	return check_plain(p->dfs, p->plain_ok, e);
}
