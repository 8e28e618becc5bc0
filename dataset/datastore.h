/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of "datastores" in config.json: what it must hold, and its name (case does not matter).
 * Credentials stand there by reference only: env:NAME, file:PATH, cmd:COMMAND, managed_identity,
 * workload_identity, az_cli, or a service principal object.
 *
 *   {"type": "local", "path": "/data"}                         relative: to the workspace's folder
 *   {"type": "azure_blob", "account_name", "container_name", "endpoint"?, "protocol"?, credential}
 *   {"type": "azure_data_lake_gen2", "account_name", "filesystem", "endpoint"?, "protocol"?, credential}
 *   {"type": "hdfs", "namenode": "host[:port]"?, "nameservice"?, "hadoop_conf"?, "protocol"?, "rpc_address"?,
 *    "http_address"?, "http_path"?, "path"?, "user"?, "doas"?, "kerberos"?, "ca_file"?, "credential"?}
 *
 * hdfs: "protocol" is http (the default) or https: "namenode" is the web server of the NameNode; or hdfs: it is its RPC
 * server.  The other one is "rpc_address" or "http_address".  Where the RPC address is known
 * and answers, files are listed and read by Hadoop's own protocols; webhdfs (which is http) has all go by WebHDFS; native
 * (which is hdfs) has nothing read by it.
 * Several NameNodes of one file system are joined by commas, and "nameservice" is its logical name.  Without "namenode"
 * Hadoop's configuration says where they are: in the folder "hadoop_conf", else in HADOOP_CONF_DIR;
 * of "nameservice", else of fs.defaultFS.  "http_path" is where a gateway has WebHDFS, if not at /webhdfs/v1.
 *
 * azure_*: "content_md5" is "check" (the default: a download whose bytes do not have the MD5 stored with
 * them fails) or "ignore", for containers in which other writers store wrong ones, as Hadoop 3.4.2 does
 * over the Blob endpoint.  "checksum" is what is kept with a file that is written: "auto" (the default: an MD5, of
 * more than 64 MiB a CRC64 among its metadata, which costs next to nothing) or "md5".  "check_ranges": "no-check" (the default), "log-only", "fail-if-different" or
 * "fail-if-different-or-missing": the service gives a CRC64 (else an MD5) with every range that is read,
 * and its bytes are checked by it.
 *
 * azure_*: "namespace" is "hierarchical" or "flat"; without it an azure_blob is taken for flat, and the
 * service of an azure_data_lake_gen2 is asked when the datastore is opened. "dfs_endpoint" is the URL of the
 * Data Lake service where that is not the Blob endpoint with ".dfs." for ".blob.".
 *
 * azure_*: "ca_file" names the certificates to trust instead of the system's.  "proxy" is the URL of a proxy,
 * or "direct"; without it https_proxy and no_proxy of the environment hold, as for curl (and a user and
 * password for a proxy stand there only).  "allow_plain_http": true lets http go beyond this machine.
 *
 * credential: one of "credential": REFERENCE, managed_identity, workload_identity, az_cli, azd_cli, default (the
 * first of these that answers), {"type": "managed_identity", one of "client_id", "object_id" and
 * "resource_id"?}, {"type": "token", "token": REFERENCE} or {"type": "service_principal", "tenant_id",
 * "client_id", "authority_url"?, one of "client_secret", "certificate" (PEM or PKCS#12, with its key; and
 * "certificate_password"?) and "client_assertion": each a REFERENCE; both may have an
 * "audience" other than https://storage.azure.com};
 * "account_key": REFERENCE; "sas_token": REFERENCE.  All may have a
 * "description" and "tags".
 */
#ifndef SLU_DATASET_DATASTORE_H
#define SLU_DATASET_DATASTORE_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>

struct json_t;
struct slu_yaml;

enum slu_datastore_type {
	SLU_DATASTORE_LOCAL,
	SLU_DATASTORE_AZURE_BLOB,
	SLU_DATASTORE_AZURE_DATA_LAKE_GEN2,
	SLU_DATASTORE_HDFS
};

enum slu_cred_kind {
	SLU_CRED_NONE,
	SLU_CRED_ENV,  /* arg: a variable's name */
	SLU_CRED_FILE, /* arg: a path */
	SLU_CRED_CMD,  /* arg: a command line */
	SLU_CRED_MANAGED_IDENTITY,
	SLU_CRED_WORKLOAD_IDENTITY,
	SLU_CRED_AZ_CLI,
	SLU_CRED_AZD_CLI,
	SLU_CRED_DEFAULT
};

/* Where a secret is to be had; never the secret. */
struct slu_cred {
	enum slu_cred_kind kind;
	const char *arg; /* in the text it was parsed from; NULL for the identities */
};

/* -EINVAL for anything else; its message never shows the text, which may be a secret.  where: what
 * messages call it, "'account_key' of datastore 'x'". */
int slu_cred_parse(const char *text, const char *where, struct slu_cred *ret, struct slu_err *e);

/* -EINVAL with what is wrong: unknown type, missing or unknown key, an inline secret, a bad name. */
int slu_datastore_check(const char *name, const struct json_t *entry, struct slu_err *e);
/* The same; the message begins with where in the document y it is, whose object `at` the entry was made of. */
int slu_datastore_check_at(const char *name, const struct json_t *entry, const struct slu_yaml *y,
			   const struct json_t *at, struct slu_err *e);
/* Why a type that Azure ML has cannot be opened here, and what to do; NULL: it has no such type. */
const char *slu_datastore_other_type(const char *type);
/* The keys of a type, NULL at the end; n: room in ret. */
void slu_datastore_keys(enum slu_datastore_type t, const char **ret, size_t n);
/* The type of an entry that was checked. */
enum slu_datastore_type slu_datastore_type(const struct json_t *entry);
const char *slu_datastore_type_name(enum slu_datastore_type t); /* "azure_blob" */
/* Is an entry of `all` (the "datastores" object, may be NULL) of another type than local? */
bool slu_datastore_any_remote(const struct json_t *all);
/* The key of `all` (the "datastores" object, may be NULL) that equals name, case ignored; NULL: none. */
const char *slu_datastore_find(const struct json_t *all, const char *name);

#endif
