/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are to the service when there is no key and no SAS: an identity of Microsoft Entra, which gets a
 * token from one of
 *
 *   {"type": "service_principal", tenant_id, client_id, ...}   the token endpoint, by one of
 *       client_secret, certificate (and certificate_password), client_assertion
 *   workload_identity     AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
 *   managed_identity      App Service, Azure Arc, Azure ML, Cloud Shell, else the metadata service of the machine; {"type": "managed_identity", client_id | object_id | resource_id} for one of several
 *   {"type": "token", "token"}   a token that somebody else keeps fresh
 *   az_cli, azd_cli       `az account get-access-token`, `azd auth token`
 *   default               the first of these that answers, with a service principal of AZURE_TENANT_ID,
 *                         AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH before
 *                         them, and `azd auth token` after them
 *
 * The order is that of DefaultAzureCredential.  AZURE_AUTHORITY_HOST names another authority than that of
 * the cloud.  The audience is that of Azure Storage, the same in all clouds, unless "audience" names another.
 */
#ifndef SLU_BLOB_IDENTITY_H
#define SLU_BLOB_IDENTITY_H

#include "blob/token.h"

#include <stdbool.h>

struct json_t;
struct slu_loops;
struct slu_pool;
struct slu_identity;

/* The identity of the job that this process works for, as JSON: a supervisor sets it for itself and what it starts. */
#define SLU_IDENTITY_OF_JOB "SLUICE_JOB_IDENTITY"
/* identity_job.c: its text, when it takes the place of this credential; NULL: it does not. */
const char *slu_identity_of_job(const struct json_t *credential);
/* The same as a credential; *ret stays NULL when it does not.  -EINVAL: it is none. */
int slu_identity_replace(const struct json_t *credential, struct json_t **ret, struct slu_err *e);
/* Is this value of "credential" an identity? */
bool slu_identity_is(const struct json_t *credential);
/* credential: checked (dataset/datastore.h); dir: what relative file: references are relative to; suffix:
 * of the account's host, decides the cloud, NULL: the public one.  Asks nobody.  loops and pool stay the
 * caller's. */
int slu_identity_new(const struct json_t *credential, const char *dir, const char *suffix,
		     struct slu_loops *loops, struct slu_pool *pool, struct slu_identity **ret,
		     struct slu_err *e);
void slu_identity_free(struct slu_identity *id);
struct slu_tokens *slu_identity_tokens(struct slu_identity *id);
/* Its "type", and who of the default chain gave the newest token (NULL: nobody, or there is no chain). */
const char *slu_identity_type(const struct slu_identity *id);
const char *slu_identity_link(const struct slu_identity *id);
/* Where the tokens of a cloud are given. */
const char *slu_identity_authority_of(const char *suffix);
/* Who gives it tokens, "https://login...", without a '/' behind it; caller frees; NULL: no memory. */
char *slu_identity_authority(const struct slu_identity *id);
/* Of a service principal, borrowed: where its secret is. */
const char *slu_identity_secret_ref(const struct slu_identity *id);

/* Reads the answer of a token endpoint: "access_token" or "accessToken" and when it ends.  -EPROTO. */
int slu_identity_read(const char *json, size_t n, const char *who, struct slu_token *ret,
		      struct slu_err *e);

#endif
