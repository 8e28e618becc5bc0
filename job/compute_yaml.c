/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compute files of Azure ML (CLI v2; what `az ml compute show` prints, too) turned into entries of config.json.  What a
 * machine of one's own has no use for (subnets, keys, schedules) is left out, and told.
 */
#include "job/compute_yaml.h"

#include "common/mem.h"
#include "common/str.h"
#include "common/yaml.h"
#include "job/compute.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { FILE_MAX_BYTES = 1 << 20 };

/* As they are, in any entry of that kind. */
static const char *const kept[] = {"type",
				   "description",
				   "tags",
				   "location",
				   "size",
				   "min_instances",
				   "max_instances",
				   "tier",
				   "identity",
				   "resource_id",
				   "python",
				   "slots",
				   "master",
				   "spark_home",
				   "conf",
				   "url",
				   "auth",
				   "user",
				   "password",
				   "token",
				   "credential",
				   "audience",
				   "log",
				   "proxy_user",
				   "queue",
				   "staging",
				   "ca_file",
				   "send_secrets",
				   "principal",
				   "keytab",
				   "linked_service",
				   "pool",
				   "cores",
				   "memory",
				   "node_cores",
				   "node_memory",
				   "node_size",
				   "node_count",
				   "idle_time_before_scale_down",
				   NULL};
static const char *const left[] = {"ssh_settings",
				   "network_settings",
				   "ssh_public_access_enabled",
				   "enable_node_public_ip",
				   "enable_sso",
				   "enable_root_access",
				   "enable_os_patching",
				   "release_quota_on_stop",
				   "create_on_behalf_of",
				   "setup_scripts",
				   "schedules",
				   "custom_applications",
				   "idle_time_before_shutdown",
				   "idle_time_before_shutdown_minutes",
				   "subnet",
				   "namespace",
				   "provisioning_state",
				   "provisioning_errors",
				   "created_on",
				   "state",
				   "last_operation",
				   "services",
				   "os_image_metadata",
				   "id",
				   "resourceGroup",
				   NULL};

static bool in(const char *const *list, const char *key)
{
	for (; *list; list++)
		if (slu_streq(*list, key))
			return true;
	return false;
}

static int check_keys(const struct slu_yaml *y, const struct json_t *root, struct slu_err *e)
{
	const char *all[sizeof kept / sizeof *kept + sizeof left / sizeof *left + 3];
	size_t n = 0;

	all[n++] = "$schema";
	all[n++] = "name";
	for (size_t i = 0; kept[i]; i++)
		all[n++] = kept[i];
	for (size_t i = 0; left[i]; i++)
		all[n++] = left[i];
	all[n] = NULL;
	return slu_yaml_known_keys(y, root, all, e);
}

static int note(struct json_t *notes, const char *key)
{
	SLU_AUTO(slu_freep) char *text = slu_asprintf("'%s' has no effect here", key);

	return text ? slu_json_append(notes, slu_json_new_str(text)) : -ENOMEM;
}

/* {type: user_assigned, user_assigned_identities: [{client_id}]}: the first one is who asks. */
static struct json_t *identity(const struct json_t *v)
{
	const struct json_t *one = slu_json_at(slu_json_get(v, "user_assigned_identities"), 0);
	const char *type = slu_json_str(v, "type"), *client = slu_json_str(one, "client_id");
	struct json_t *o;

	if (slu_json_is_string(v))
		return slu_json_copy(v);
	o = slu_json_object();
	if (slu_json_set_str(o, "type", type) < 0 || slu_json_set_str(o, "client_id", client) < 0) {
		slu_json_free(o);
		return NULL;
	}
	return o;
}

static int take(const struct json_t *root, struct json_t *entry, struct json_t *notes,
		struct slu_err *e)
{
	for (void *it = slu_json_iter(root); it; it = slu_json_next(root, it)) {
		const char *key = slu_json_iter_key(it);
		const struct json_t *v = slu_json_iter_value(it);
		int r = 0;

		if (slu_json_is_null(v))
			continue;
		if (in(left, key))
			r = note(notes, key);
		else if (slu_streq(key, "identity"))
			r = slu_json_set(entry, key, identity(v));
		else if (in(kept, key))
			r = slu_json_set(entry, key, slu_json_copy(v));
		if (r < 0)
			return slu_fail_oom(e);
	}
	return 0;
}

static int check_root(const struct slu_yaml *y, const struct json_t *root,
		      enum slu_compute_kind *ret, struct slu_err *e)
{
	const char *type = slu_json_str(root, "type");
	int r;

	if (!slu_json_is_object(root) || !type)
		return slu_yaml_fail(y, root, NULL, e, "a compute is a map with a 'type'");
	if ((r = check_keys(y, root, e)) < 0)
		return r;
	if (!slu_compute_type(type, ret))
		return slu_yaml_fail(
			y, root, "type", e,
			"compute type '%s' is not known: amlcompute, computeinstance, "
			"virtualmachine, kubernetes, synapsespark, local, spark or livy",
			type);
	return 0;
}

int slu_compute_yaml(const char *path, struct json_t **ret, struct slu_err *e)
{
	SLU_AUTO(slu_yaml_freep) struct slu_yaml *y = NULL;
	SLU_AUTO(slu_json_freep)
	struct json_t *o = slu_json_object(), *entry = slu_json_object(), *notes = slu_json_array();
	enum slu_compute_kind kind = SLU_COMPUTE_LOCAL;
	const struct json_t *root;
	int r = slu_yaml_read_file(path, FILE_MAX_BYTES, &y, e);

	if (r < 0)
		return r;
	root = slu_yaml_root(y);
	if (!o || !entry || !notes)
		return slu_fail_oom(e);
	r = check_root(y, root, &kind, e);
	if (r == 0)
		r = take(root, entry, notes, e);
	if (r < 0)
		return r;
	if (kind == SLU_COMPUTE_LOCAL && strcasecmp(slu_json_str(root, "type"), "local") != 0 &&
	    slu_json_append(notes, slu_json_new_str("its steps run on this machine")) < 0)
		return slu_fail_oom(e);
	if (slu_json_set_str(o, "name", slu_json_str(root, "name")) < 0 ||
	    slu_json_set(o, "entry", slu_json_ref(entry)) < 0 ||
	    slu_json_set(o, "notes", slu_json_ref(notes)) < 0)
		return slu_fail_oom(e);
	*ret = slu_take(o);
	return 0;
}
