/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The refusals of NameNodes and DataNodes.  The status says little (every IOException is a 403), so
 * the Java class decides; some classes hide in the message of another.  Messages of DataNodes carry
 * a stack trace: only the first line is shown.
 */
#include "hdfs/errors.h"

#include "common/json.h"
#include "common/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct meaning {
	const char *name; /* class without package, or text in a message */
	int code;
	const char *remedy; /* NULL: the server's text says it all */
};

static const struct meaning classes[] = {
	{"FileNotFoundException", ENOENT, NULL},
	{"AccessControlException", EACCES, NULL},
	{"AuthorizationException", EACCES, NULL},
	{"AuthenticationException", EACCES, NULL},
	{"SecurityException", EACCES, NULL},
	{"FileAlreadyExistsException", EEXIST, NULL},
	{"AlreadyBeingCreatedException", EBUSY, "another client is writing it"},
	{"LeaseExpiredException", EBUSY, "another client took it over or removed it"},
	{"ParentNotDirectoryException", ENOTDIR, NULL},
	{"PathIsNotDirectoryException", ENOTDIR, NULL},
	{"PathIsNotEmptyDirectoryException", ENOTEMPTY, NULL},
	{"InvalidPathException", EINVAL, "HDFS allows no ':' and no '//' in names"},
	{"IllegalArgumentException", EINVAL, NULL},
	{"HadoopIllegalArgumentException", EINVAL, NULL},
	{"PathComponentTooLongException", ENAMETOOLONG, NULL},
	{"MaxDirectoryItemsExceededException", ENOSPC, NULL},
	{"NSQuotaExceededException", EDQUOT, "remove files, or have the quota raised"},
	{"DSQuotaExceededException", EDQUOT, "remove files, or have the quota raised"},
	{"QuotaByStorageTypeExceededException", EDQUOT, "remove files, or have the quota raised"},
	{"SafeModeException", EAGAIN, "the NameNode is in safe mode: wait until it has left it"},
	{"RetriableException", EAGAIN, NULL},
	{"ServerTooBusyException", EAGAIN, NULL},
	{"StandbyException", EAGAIN,
	 "this NameNode is a standby: name the active one, or all of them"},
	{"ObserverRetryOnActiveException", EAGAIN, "this NameNode is an observer"},
	{"InvalidToken", EKEYEXPIRED, "the delegation token is not valid any more: get a new one"},
	{"UnsupportedOperationException", ENOTSUP, NULL},
	{"SnapshotAccessControlException", EROFS, NULL},
	{"SnapshotException", EBUSY, NULL},
};

/* What stands in messages of plain IOExceptions and of wrapped ones; the first that fits. */
static const struct meaning texts[] = {
	{"SecretManager$InvalidToken", EKEYEXPIRED,
	 "the delegation token is not valid any more: get a new one"},
	{"StandbyException", EAGAIN,
	 "this NameNode is a standby: name the active one, or all of them"},
	{"ame node is in safe mode", EAGAIN,
	 "the NameNode is in safe mode: wait until it has left it"},
	{"could only be written to 0 of the", EAGAIN,
	 "no DataNode takes data now: they are full, or too few are left"},
	{"Permission denied: user=", EACCES,
	 "its owner can permit it, or another \"user\" in the datastore"},
	{"Specified block size is less", EINVAL, "have dfs.blocksize raised"},
	{"Requested replication factor", EINVAL,
	 "have dfs.replication set to what the cluster allows"},
	{"Pathname too long", ENAMETOOLONG, NULL},
	{"Path is not a file", EISDIR, NULL},
	{"No such file or directory", ENOENT, NULL},
	{"(is not a directory)", ENOTDIR, NULL},
	{"rename destination directory is not empty", ENOTEMPTY, NULL},
};

static const char *after_last_dot(const char *s)
{
	const char *dot = strrchr(s, '.');
	const char *inner = strrchr(s, '$');

	s = dot ? dot + 1 : s;
	return inner && inner >= s ? inner + 1 : s;
}

static const struct meaning *find_meaning(const char *class, const char *text)
{
	/* a class that says nothing more than that something failed */
	bool vague = slu_streq(class, "IOException") || slu_streq(class, "RetriableException") ||
		     slu_streq(class, "RemoteException") || slu_streq(class, "SecurityException") ||
		     slu_streq(class, "AccessControlException") ||
		     slu_streq(class, "FileNotFoundException");

	for (size_t i = 0; vague && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strstr(text, texts[i].name))
			return &texts[i];
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (slu_streq(classes[i].name, class))
			return &classes[i];
	return NULL;
}

static int by_status(int http, struct slu_err *e)
{
	int code = EIO;
	const char *why = "";

	if (http == 401) {
		code = EACCES;
		why = ": it wants Kerberos: give the datastore \"kerberos\" (a keytab, or {} "
		      "for the ticket of kinit), or a delegation token as its \"credential\"";
	} else if (http == 403) {
		code = EACCES;
	} else if (http == 400 || http == 414) {
		code = EINVAL;
		why = ": it does not understand the request; DataNodes take no names of more than "
		      "about 4,000 bytes by WebHDFS: name the NameNode's \"rpc_address\"";
	} else if (http == 404) {
		code = EPROTO;
		why = ": there is no WebHDFS at this address: is it that of the RPC server (as in "
		      "fs.defaultFS)?  Then say \"protocol\": \"hdfs\"";
	} else if (http == 429 || http == 503) {
		code = EAGAIN;
		why = ": it is busy";
	} else if (http >= 300 && http < 400) {
		code = EPROTO;
		why = ": a redirect where none is expected";
	}
	slu_fail(e, code, "the server answered with status %d%s", http, why);
	e->http = http;
	return -code;
}

/* The first line: a stack trace follows. */
static void first_line(const char *text, char *out, size_t n)
{
	size_t len = strcspn(text, "\r\n");

	snprintf(out, n, "%.*s", len < n ? (int)len : (int)n - 1, text);
}

/* The message of a RemoteException; http: the status it came with. */
static int explain(const char *class, const char *text, int http, struct slu_err *e)
{
	const struct meaning *m = find_meaning(class, text);
	int code = http == 503 || http == 429 ? EAGAIN : EIO;
	char line[400];

	first_line(text, line, sizeof(line));
	if (!line[0])
		first_line(class, line, sizeof(line));
	if (!line[0])
		return by_status(http, e);
	if (m)
		code = m->code;
	if (m && m->remedy)
		slu_fail(e, code, "%s (%s)", line, m->remedy);
	else
		slu_fail(e, code, "%s", line);
	e->http = http;
	snprintf(e->svc, sizeof(e->svc), "%s", class);
	return -code;
}

int slu_hdfs_error(const char *body, size_t n, int http, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep) struct json_t *j = NULL;
	const char *class, *text;
	const struct json_t *x;

	if (n && slu_json_parse(body, n, "the answer", &j, NULL) == -ENOMEM)
		return slu_fail_oom(e);
	if (!j)
		return by_status(http, e);
	x = slu_json_get(j, "RemoteException");
	class = slu_json_str(x, "javaClassName");
	text = slu_json_str(x, "message");
	if (!class)
		class = slu_json_str(x, "exception");
	if (!class)
		return by_status(http, e);
	return explain(after_last_dot(class), text ? text : "", http, e);
}

int slu_hdfs_error_of(const char *class, const char *text, struct slu_err *e)
{
	return explain(after_last_dot(class), text, 0, e);
}
