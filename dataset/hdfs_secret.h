/* SPDX-License-Identifier: Apache-2.0 */
/* As whom an "hdfs" entry of config.json is opened: a delegation token, Kerberos, who we are at a gateway, or nobody in
 * particular. */
#ifndef SLU_DATASET_HDFS_SECRET_H
#define SLU_DATASET_HDFS_SECRET_H

#include "common/err.h"
#include "hdfs/signin.h"
#include "io/gss.h"

#include <stdbool.h>

struct json_t;

#define SLU_HDFS_SERVICES 32

struct slu_hdfs_secret {
	char *token;                                 /* as text, NULL: none */
	char *token_file;                            /* where it was read, NULL: not in a file */
	const char *services[SLU_HDFS_SERVICES + 1]; /* owned; what tokens in that may be for */
	bool kerberos;
	struct slu_gss_conf gss; /* of kerberos; its texts are below */
	char *principal, *keytab, *password, *ccache;
	struct slu_signin_gate gate; /* secret NULL: no gateway; its texts are below */
	char *gate_user, *gate_secret, *gate_file;
};

/* For an entry that was checked.  dir: what relative paths start from.  web, rpc: "host:port" of the NameNodes, more of one
 * kind joined by commas; name: of the file system that has them all; NULL: not known.  Without anything in the entry HADOOP_TOKEN_FILE_LOCATION holds, if there is a token
 * for these servers in it.  May look up names. */
int slu_hdfs_secret_read(const struct json_t *entry, const char *dir, const char *web,
			 const char *rpc, const char *name, struct slu_hdfs_secret *ret,
			 struct slu_err *e);
void slu_hdfs_secret_done(struct slu_hdfs_secret *s); /* wipes it; a zeroed one is fine */

#endif
