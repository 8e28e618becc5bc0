/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rights are found out by trying, with requests that change nothing: a name that does not exist is read and
 * deleted, and written on the condition that it is what it cannot be.  A service that lets us answers that it
 * is not there; one that does not says so first.
 */
#include "dataset/doctor_store.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/str.h"
#include "fs/op.h"
#include "io/crypt.h"

#include <errno.h>

#define CLOCK_MS (60 * 1000)

static int try_list(struct slu_store *s, const char *name, struct slu_err *e)
{
	struct slu_list list = {0};
	struct slu_op op = {0};
	int r;

	(void)name;
	slu_op_list(&op, "", NULL, &list);
	r = slu_store_wait(s, &op, e);
	slu_list_done(&list);
	return r;
}

static int try_read(struct slu_store *s, const char *name, struct slu_err *e)
{
	struct slu_op op = {0};
	char byte;

	slu_op_read(&op, name, 0, 1, &byte, NULL);
	return slu_store_wait(s, &op, e);
}

static int try_write(struct slu_store *s, const char *name, struct slu_err *e)
{
	struct slu_op op = {0};

	if (!slu_store_can(s, SLU_CAP_PUT_MATCH) || slu_store_can(s, SLU_CAP_READ_ONLY))
		return -ENOTSUP;
	slu_op_put(&op, name, "", 0, 0);
	op.if_match = "0x0";
	return slu_store_wait(s, &op, e);
}

static int try_delete(struct slu_store *s, const char *name, struct slu_err *e)
{
	if (slu_store_can(s, SLU_CAP_READ_ONLY))
		return -ENOTSUP;
	return slu_store_delete(s, name, 0, e);
}

static bool is_allowed(int rc)
{
	return rc == 0 || rc == -ENOENT || rc == -ESTALE || rc == -EEXIST;
}

static bool is_refused(int rc)
{
	return rc == -EACCES || rc == -EPERM || rc == -EROFS;
}

/* It was waited for an answer, and would be again. */
static bool is_mute(int rc)
{
	return rc == -EHOSTDOWN || rc == -ETIMEDOUT;
}

static void not_tried(struct slu_right *t, const struct slu_right *before)
{
	t->rc = before->rc;
	t->e = before->e;
}

/* Where nothing can be asked without doing it: a file of our own is made and removed. */
static void try_file(struct slu_store *s, const char *name, struct slu_right *write,
		     struct slu_right *remove)
{
	if (slu_store_can(s, SLU_CAP_READ_ONLY)) {
		write->rc = remove->rc = -ENOTSUP;
		return;
	}
	write->rc = slu_store_put(s, name, "", 0,
				  slu_store_can(s, SLU_CAP_PUT_ABSENT) ? SLU_OPF_ABSENT : 0, NULL,
				  &write->e);
	/* also after an error: the put may have been carried out */
	remove->rc = slu_store_delete(s, name, 0, &remove->e);
	if (write->rc == 0 && remove->rc < 0)
		slu_fail_more(&remove->e, "'%s' stays, an empty file that was made to try", name);
	if (write->rc < 0 && remove->rc == -ENOENT) {
		remove->rc = write->rc; /* nothing was there that could tell */
		remove->e = write->e;
	}
}

void slu_doctor_rights(struct slu_store *s, bool make, struct slu_right t[SLU_RIGHTS])
{
	static int (*const tries[])(struct slu_store *, const char *,
				    struct slu_err *) = {try_list, try_read, try_write, try_delete};
	static const struct slu_right names[SLU_RIGHTS] = {
		{.fact = "may_list", .verb = "list", .role = "Storage Blob Data Reader"},
		{.fact = "may_read", .verb = "read", .role = "Storage Blob Data Reader"},
		{.fact = "may_write", .verb = "write", .role = "Storage Blob Data Contributor"},
		{.fact = "may_delete", .verb = "delete", .role = "Storage Blob Data Contributor"}};
	char id[17] = "", name[40];
	int r = slu_random_id(id, 8);

	snprintf(name, sizeof(name), "sluice-%s-%s", make ? "probe" : "doctor", id);
	make = make && !slu_store_can(s, SLU_CAP_PUT_MATCH);
	for (size_t i = 0; i < SLU_RIGHTS; i++) {
		t[i] = names[i];
		if (r < 0)
			t[i].rc = r;
		else if (i && is_mute(t[i - 1].rc))
			not_tried(&t[i], &t[i - 1]);
		else if (i < 2 || !make)
			t[i].rc = tries[i](s, name, &t[i].e);
	}
	if (r == 0 && make && !is_mute(t[1].rc))
		try_file(s, name, &t[2], &t[3]);
	for (size_t i = 0; i < SLU_RIGHTS; i++)
		t[i].is = is_allowed(t[i].rc)   ? SLU_RIGHT_YES
			  : is_refused(t[i].rc) ? SLU_RIGHT_NO
						: SLU_RIGHT_UNKNOWN;
}

static void tell(struct slu_buf *b, const char *before, const char *what, const char *behind)
{
	if (what)
		slu_buf_fmt(b, "%s%s%s%s", b->len ? ", " : "", before, what, behind);
}

static void tell_facts(const struct json_t *facts, struct slu_buf *b)
{
	int64_t ms = slu_json_int(facts, "clock_ahead_ms", 0);

	tell(b, "", slu_json_str(facts, "credential"), "");
	tell(b, "from ", slu_json_str(facts, "reference"), "");
	tell(b, "", slu_json_str(facts, "link"), " answered");
	tell(b, "letters ", slu_json_str(facts, "sas_permissions"), "");
	tell(b, "until ", slu_json_str(facts, "sas_ends"), "");
	tell(b, "principal ", slu_json_str(facts, "principal"), "");
	tell(b, "ticket until ", slu_json_str(facts, "ticket_ends"), "");
	tell(b, "token for ", slu_json_str(facts, "token_audience"), "");
	tell(b, "until ", slu_json_str(facts, "token_ends"), "");
	tell(b, "application ", slu_json_str(facts, "token_client_id"), "");
	tell(b, "object ", slu_json_str(facts, "token_object_id"), "");
	tell(b, "", slu_json_str(facts, "namespace"), " namespace");
	if (ms >= CLOCK_MS || ms <= -CLOCK_MS)
		slu_buf_fmt(b, ", the clock of this machine is %lld s %s: set it",
			    (long long)(ms < 0 ? -ms : ms) / 1000, ms < 0 ? "behind" : "ahead");
}

static void tell_trials(struct slu_right *t, size_t n, bool identity, struct json_t *facts,
			struct slu_buf *b)
{
	const char *role = NULL;

	for (size_t i = 0; i < n; i++) {
		if (t[i].is != SLU_RIGHT_UNKNOWN)
			slu_json_set_bool(facts, t[i].fact, is_allowed(t[i].rc));
		if (is_allowed(t[i].rc))
			tell(b, "may ", t[i].verb, "");
		else if (is_refused(t[i].rc))
			tell(b, "may not ", t[i].verb, "");
		else if (t[i].rc != -ENOTSUP)
			tell(b, "no answer to whether it may ", t[i].verb, "");
		if (is_refused(t[i].rc) && !role)
			role = t[i].role;
	}
	if (!role || !identity)
		return;
	slu_json_set_str(facts, "missing_role", role);
	tell(b, "the role '", role, "' is missing");
}

static const char *remedy_for(int rc)
{
	switch (-rc) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EAGAIN:
	case EPROTO:
		return "see that the service runs, and that the address in config.json is its own";
	case ENOENT:
		return "correct the name of the container, or the path, in config.json";
	default:
		return "mend the credential of the entry in config.json, or have the rights given";
	}
}

bool slu_doctor_store(struct slu_store *s, struct json_t *facts, struct slu_buf *said,
		      const char **ret_remedy)
{
	struct slu_right t[SLU_RIGHTS];
	struct slu_err e = {0};
	int r = slu_store_inspect(s, facts, &e);

	if (r < 0) {
		tell_facts(facts, said);
		tell(said, "", e.msg, "");
		*ret_remedy = remedy_for(r);
		return false;
	}
	tell_facts(facts, said);
	slu_doctor_rights(s, false, t);
	tell_trials(t, SLU_RIGHTS, slu_json_str(facts, "token_audience"), facts, said);
	for (size_t i = 0; i < 2; i++)
		if (!is_allowed(t[i].rc)) {
			tell(said, "", t[i].e.msg, "");
			*ret_remedy = remedy_for(t[i].rc);
			return false;
		}
	return true;
}
