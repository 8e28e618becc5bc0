/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's errors.  Codes that need an errno of their own stand in the table, the rest go by
 * status.  The answer to HEAD has no body, so the code comes from its header first.
 */
#include "blob/errors.h"

#include "blob/list.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "common/str.h"
#include "common/time.h"
#include "io/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SKEW_MAX (15 * 60 * SLU_SEC)  /* what the service tolerates of a signature */
#define SKEW_TOKEN (5 * 60 * SLU_SEC) /* of a token */
#define SKEW_SEEN (60 * SLU_SEC)      /* worth telling */

static const struct {
	const char *code;
	int error;
	const char *why; /* NULL: the service's own words */
} codes[] = {
	{"ContainerNotFound", ENOENT,
	 "the container does not exist: make it with `sluice mkdir STORE:`, or correct its name"},
	{"ContainerDisabled", EACCES, "the container was disabled by its owner"},
	{"FilesystemNotFound", ENOENT,
	 "the container does not exist: make it with `sluice mkdir STORE:`, or correct its name"},
	{"ContainerBeingDeleted", EBUSY, "the container is being deleted: wait, or use another"},
	{"BlobNotFound", ENOENT, "no such file"},
	{"ResourceNotFound", ENOENT, "no such account, container or file"},
	{"PathNotFound", ENOENT, "no such file or folder"},
	{"SourcePathNotFound", ENOENT, "no such file or folder"},
	{"RenameDestinationParentPathNotFound", ENOENT, "the folder it is to go to does not exist"},
	{"PathConflict", EEXIST, "a file and a folder cannot have one name"},
	{"ResourceTypeMismatch", EISDIR, "a file and a folder cannot have one name"},
	{"SourceConditionNotMet", ESTALE, "what it is made from was changed by somebody else"},
	{"InvalidRenameSourcePath", EINVAL, "a folder cannot go into itself"},
	{"DirectoryNotEmpty", ENOTEMPTY, "the folder is not empty"},
	{"BlobAlreadyExists", EEXIST, "it exists already"},
	{"PathAlreadyExists", EEXIST, "it exists already"},
	{"BlobArchived", EBUSY,
	 "it is in the archive tier: rehydrate it (set its tier to Hot, Cool or Cold), which takes "
	 "hours"},
	{"BlobBeingRehydrated", EBUSY, "it is being brought back from the archive tier: wait"},
	{"LeaseIdMissing", EBUSY, "somebody holds a lease on it: break or await the lease"},
	{"LeaseIdMismatchWithBlobOperation", EBUSY, "somebody else holds a lease on it"},
	{"LeaseLost", EBUSY, "the lease on it was lost: take a new one"},
	{"LeaseNotPresentWithBlobOperation", EBUSY, "nobody holds the lease that was named"},
	{"SnapshotsPresent", EBUSY, "it has snapshots: delete those too"},
	{"PendingCopyOperation", EBUSY, "it is being copied to: wait, or abort that copy"},
	{"SnapshotOperationRateExceeded", EAGAIN, "snapshots are made too fast"},
	{"SystemInUse", EAGAIN, "the service is busy with it"},
	{"CannotVerifyCopySource", EACCES,
	 "the service may not read the source: give its datastore a credential that can"},
	{"CopyAcrossAccountsNotSupported", ENOTSUP, "the accounts cannot copy from one another"},
	{"InvalidResourceName", EINVAL,
	 "the service takes no such name: a container has 3 to 63 small letters, digits and single "
	 "dashes, a file at most 1,024 characters"},
	{"OutOfRangeInput", EINVAL,
	 "the service takes no such name: a container has 3 to 63 small letters, digits and single "
	 "dashes, a file at most 1,024 characters"},
	{"InvalidUri", EINVAL, "the service takes no such name: it has at most 1,024 characters"},
	{"RequestUrlFailedToParse", EINVAL, "the service takes no such name"},
	{"UnsupportedHttpVerb", EINVAL, "this kind of account cannot do it"},
	{"FeatureNotSupported", ENOTSUP,
	 "this emulator cannot do it: Azurite takes checksums of blocks when it is started with "
	 "--loose"},
	{"FeatureVersionMismatch", ENOTSUP, "this kind of account cannot do it"},
	{"BlobTypeNotSupported", EINVAL, "this kind of account cannot do it"},
	{"BlobImmutableDueToPolicy", EPERM, "a policy of the container forbids to change it"},
	{"DirectoryIsNotEmpty", ENOTEMPTY, "the folder is not empty"},
	{"InvalidBlobType", EINVAL, "it is an append or page blob: write under another name"},
	{"InvalidBlockList", ESTALE,
	 "its blocks are gone: somebody else wrote it meanwhile, or they are older than a week"},
	{"InvalidBlobOrBlock", EBUSY,
	 "another writer left blocks there that are not committed: delete them by writing it with "
	 "that writer, or use another name (they expire after a week)"},
	{"BlockCountExceedsLimit", EFBIG,
	 "too many blocks of it were never committed: use another name, or wait a week, after which "
	 "they expire"},
	{"RequestBodyTooLarge", EFBIG, "one request takes less than this"},
	{"Md5Mismatch", EAGAIN, "the data was changed on its way"},
	{"Crc64Mismatch", EAGAIN, "the data was changed on its way"},
	{"AuthorizationPermissionMismatch", EACCES, NULL},
	{"AuthorizationServiceMismatch", EACCES, "the SAS is not for the Blob service"},
	{"AuthorizationResourceTypeMismatch", EACCES, "the SAS is not for this kind of resource"},
	{"AuthorizationProtocolMismatch", EACCES, "the SAS allows https only"},
	{"AuthorizationSourceIPMismatch", EACCES, "the SAS is not for this machine's address"},
	{"InsufficientAccountPermissions", EACCES,
	 "the credential, or this end of the account (a secondary is to be read only), may not do this"},
	{"NoAuthenticationInformation", EACCES,
	 "the container is not public: give the datastore a credential"},
	{"PublicAccessNotPermitted", EACCES,
	 "the account allows no public access: give the datastore a credential"},
	{"AccountIsDisabled", EACCES, "the account is disabled"},
	{"AccountBeingCreated", EAGAIN, "the account is being made"},
	{"KeyBasedAuthenticationNotPermitted", EACCES,
	 "the account takes no key: give the datastore an identity as its credential"},
	{"InvalidAuthenticationInfo", EACCES, NULL},
	{"ServerBusy", EAGAIN, "the service is busy"},
	{"OperationTimedOut", ETIMEDOUT, "the service did not finish in time"},
};

/* The dfs endpoint's: {"error": {"code", "message"}}; the message's first line. */
static void read_json(const struct slu_xfer *x, struct slu_blob_fault *ret)
{
	SLU_AUTO(slu_json_freep) struct json_t *o = NULL;
	const char *code, *text;

	if (slu_json_parse(x->errbody.p, x->errbody.len, "an error", &o, NULL) < 0)
		return;
	code = slu_json_str(slu_json_get(o, "error"), "code");
	text = slu_json_str(slu_json_get(o, "error"), "message");
	if (code)
		snprintf(ret->code, sizeof(ret->code), "%s", code);
	if (text)
		snprintf(ret->text, sizeof(ret->text), "%.*s", (int)strcspn(text, "\r\n"), text);
}

void slu_blob_fault_read(const struct slu_xfer *x, struct slu_blob_fault *ret)
{
	const char *v;
	int64_t theirs;

	*ret = (struct slu_blob_fault){.status = x->status};
	slu_blob_error_parse(x->errbody.p, x->errbody.len, ret->code, sizeof(ret->code), ret->text,
			     sizeof(ret->text));
	if (x->errbody.len && x->errbody.p[0] == '{')
		read_json(x, ret);
	v = slu_xfer_header(x, "x-ms-error-code");
	if (v)
		snprintf(ret->code, sizeof(ret->code), "%s", v);
	v = slu_xfer_header(x, "x-ms-request-id");
	if (v)
		snprintf(ret->request, sizeof(ret->request), "%s", v);
	v = slu_xfer_header(x, "date");
	if (v && slu_http_date(v, &theirs))
		ret->skew_ns = slu_wall() - theirs;
}

static int find_code(const char *code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (slu_streq(codes[i].code, code))
			return (int)i;
	return -1;
}

static bool reads(const struct slu_op *op)
{
	return op->type == SLU_OP_READ || op->type == SLU_OP_STAT || op->type == SLU_OP_LIST;
}

static int by_status(const struct slu_op *op, int status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return EACCES;
	case 404:
		return ENOENT;
	case 408:
		return ETIMEDOUT;
	case 409:
		return EBUSY;
	case 413:
		return EFBIG;
	case 429:
	case 503:
		return EAGAIN;
	case 416:
		return EIO;
	default:
		break;
	}
	if (status >= 500)
		return reads(op) ? EIO : ECONNABORTED;
	return status >= 400 ? EINVAL : EPROTO;
}

int slu_blob_errno(const struct slu_op *op, const struct slu_blob_fault *f)
{
	int i = find_code(f->code);
	int error = i >= 0 ? codes[i].error : by_status(op, f->status);

	if (f->status == 412 && error != EBUSY && error != ESTALE)
		error = op->flags & SLU_OPF_ABSENT ? EEXIST : ESTALE;
	if (error == ENOENT && op->if_match && !slu_streq(f->code, "ContainerNotFound"))
		return ESTALE;
	return error;
}

/* A field of a SAS ("se="), decoded into b. */
static bool sas_field(const char *sas, const char *name, struct slu_buf *b)
{
	const char *at = sas ? strstr(sas, name) : NULL;

	while (at && at != sas && at[-1] != '&')
		at = strstr(at + 1, name);
	if (!at)
		return false;
	at += strlen(name);
	return slu_url_decode(b, at, strcspn(at, "&")) && b->p;
}

/* A time of a SAS, into b as it stands there. */
static bool sas_time(const char *sas, const char *name, struct slu_buf *b, int64_t *ret)
{
	return sas_field(sas, name, b) && slu_time_parse(b->p, ret);
}

/* The right that the request needed: the letter of a SAS and the role of an identity. */
static void explain_right(struct slu_buf *b, const struct slu_op *op, const struct slu_xfer *x,
			  const char *sas)
{
	SLU_AUTO(slu_buf_done) struct slu_buf has = SLU_BUF(64);
	const char *letter = "r", *what = "read";
	bool change = !reads(op);

	if (x->url && (strstr(x->url, "comp=list") || strstr(x->url, "resource=filesystem"))) {
		letter = "l";
		what = "list";
	} else if (op->type == SLU_OP_DELETE && slu_streq(x->method, "DELETE")) {
		letter = "d";
		what = "delete";
	} else if (op->type == SLU_OP_RENAME && slu_streq(x->method, "PUT")) {
		letter = "m";
		what = "move";
	} else if (change && op->flags & SLU_OPF_ABSENT) {
		letter = "c";
		what = "create";
	} else if (change) {
		letter = "w";
		what = "write";
	}
	if (!sas)
		slu_buf_fmt(b,
			    "the credential may not %s here: a SAS needs the permission '%s', an "
			    "identity the role 'Storage Blob Data %s'",
			    what, letter, change ? "Contributor" : "Reader");
	else if (sas_field(sas, "sp=", &has))
		slu_buf_fmt(
			b,
			"the SAS may not %s here: it needs the permission '%s', and has '%s' only",
			what, letter, has.p);
	else
		slu_buf_fmt(b,
			    "the SAS may not %s here: its stored policy needs the permission '%s'",
			    what, letter);
}

static const char *sent(const struct slu_xfer *x, const char *begin)
{
	for (size_t i = 0; x->headers && x->headers[i]; i++) {
		const char *rest = slu_iafter(x->headers[i], begin);

		if (rest)
			return rest;
	}
	return NULL;
}

/* Says so when our clock and the service's are more than `most` apart. */
static bool explain_clock(struct slu_buf *b, const char *before, const struct slu_blob_fault *f,
			  int64_t most)
{
	long minutes =
		(long)((f->skew_ns + (f->skew_ns < 0 ? -1 : 1) * 30 * SLU_SEC) / (60 * SLU_SEC));

	if (f->skew_ns <= most && f->skew_ns >= -most)
		return false;
	slu_buf_fmt(b, "%sthe clock of this machine is %ld minutes %s: set it", before,
		    minutes < 0 ? -minutes : minutes, minutes < 0 ? "behind" : "ahead");
	return true;
}

/* By the service's clock, which judges; ours is told of when it may have made the SAS. */
static bool explain_sas_time(struct slu_buf *b, const struct slu_blob_fault *f, const char *sas)
{
	SLU_AUTO(slu_buf_done) struct slu_buf from = SLU_BUF(64), to = SLU_BUF(64);
	int64_t now = slu_wall() - f->skew_ns, when;

	if (sas_time(sas, "se=", &to, &when) && when <= now)
		slu_buf_fmt(b, "the SAS expired at %s: put a new one in its place", to.p);
	else if (sas_time(sas, "st=", &from, &when) && when > now)
		slu_buf_fmt(b, "the SAS is valid from %s on: wait, or make one that begins earlier",
			    from.p);
	else
		return false;
	explain_clock(b, "; ", f, SKEW_SEEN);
	return true;
}

/* Why a request that should have been signed well was refused. */
static void explain_denied(struct slu_buf *b, const struct slu_xfer *x,
			   const struct slu_blob_fault *f, const char *sas)
{
	bool bearer = sent(x, "authorization: Bearer ");

	if (sas ? explain_sas_time(b, f, sas)
		: explain_clock(b, "", f, bearer ? SKEW_TOKEN : SKEW_MAX))
		return;
	if (slu_streq(f->code, "AuthorizationFailure"))
		slu_buf_str(b, "the account keeps this request out: check that the credential "
			       "is right and belongs to this account, and that its firewall "
			       "allows this machine's network");
	else if (slu_streq(f->code, "AuthenticationFailed") ||
		 slu_streq(f->code, "InvalidAuthenticationInfo"))
		slu_buf_fmt(b,
			    "the service refused the %s: check that it is right and belongs to %s",
			    bearer ? "identity's token"
			    : sas  ? "SAS"
				   : "account key",
			    bearer ? "the account's tenant and cloud" : "this account");
	else
		slu_buf_str(b, "the credential has no right to do this");
}

static void explain_stale(struct slu_buf *b, const struct slu_op *op,
			  const struct slu_blob_fault *f)
{
	if (reads(op)) {
		slu_buf_fmt(b, "it %s since it was resolved (it was %s): " SLU_STALE_REMEDY,
			    f->status == 404 ? "was deleted" : "has changed", op->if_match);
		return;
	}
	slu_buf_str(b, "it was ");
	if (f->status == 404)
		slu_buf_str(b, "deleted by somebody else meanwhile");
	else
		slu_buf_fmt(b, "changed by somebody else (it is no longer %s)", op->if_match);
	slu_buf_str(b, ": begin again with what is there now");
}

static void explain(struct slu_buf *b, const struct slu_op *op, const struct slu_xfer *x,
		    const struct slu_blob_fault *f, int error, const char *sas)
{
	int i = find_code(f->code);

	if (error == ESTALE && op->if_match)
		explain_stale(b, op, f);
	else if (error == EEXIST)
		slu_buf_str(b, "it exists already");
	else if (i >= 0 && codes[i].why)
		slu_buf_str(b, codes[i].why);
	else if (slu_streq(f->code, "AuthorizationPermissionMismatch"))
		explain_right(b, op, x, sas);
	else if (error == EACCES)
		explain_denied(b, x, f, sas);
	else if (error == ENOENT)
		slu_buf_str(b, "no such file");
	else if (f->status / 100 == 3 && f->status != 304)
		slu_buf_str(b, "it was redirected elsewhere, which is not followed: correct the "
			       "endpoint");
	else if (f->text[0])
		slu_buf_str(b, f->text);
	else
		slu_buf_str(b, error == EAGAIN ? "the service is busy" : "the service failed");
}

/* The number that we gave the request, for who reads the service's logs; "" when it has none. */
static const char *own_id(const struct slu_xfer *x)
{
	const char *id = sent(x, "x-ms-client-request-id: ");

	return id ? id : "";
}

static int fail_status(struct slu_op *op, const struct slu_blob_place *at, const struct slu_xfer *x,
		       const char *sas)
{
	SLU_AUTO(slu_buf_done) struct slu_buf why = SLU_BUF(1024);
	const char *wait = slu_xfer_header(x, "retry-after");
	struct slu_blob_fault f;
	int error;

	slu_blob_fault_read(x, &f);
	error = slu_blob_errno(op, &f);
	if (!wait || !slu_http_retry_after(wait, slu_wall(), &op->retry_after))
		op->retry_after = 0;
	explain(&why, op, x, &f, error, sas);
	slu_fail(&op->err, error,
		 "cannot %s %s%s%scontainer '%s' of account '%s': %s (%d%s%s%s%s%s%s)",
		 slu_op_name(op->type), *op->path ? "'" : "", op->path, *op->path ? "' in " : "",
		 at->container, at->account, why.p ? why.p : "", f.status, f.code[0] ? " " : "",
		 f.code, f.request[0] ? ", request " : "", f.request,
		 *own_id(x) ? ", client request " : "", own_id(x));
	op->err.http = f.status;
	snprintf(op->err.svc, sizeof(op->err.svc), "%.39s", f.code);
	return -error;
}

int slu_blob_fail(struct slu_op *op, const struct slu_blob_place *at, const struct slu_xfer *x,
		  const char *sas)
{
	if (x->rc == -EREMOTEIO)
		return fail_status(op, at, x, sas);
	op->err = x->err;
	if (op->err.code != -x->rc)
		slu_fail_sys(&op->err, -x->rc, "no answer");
	slu_fail_more(&op->err, "cannot %s %s%s%scontainer '%s' of account '%s'%s%s",
		      slu_op_name(op->type), *op->path ? "'" : "", op->path,
		      *op->path ? "' in " : "", at->container, at->account,
		      *own_id(x) ? ", client request " : "", own_id(x));
	return x->rc;
}
