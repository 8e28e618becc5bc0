/* SPDX-License-Identifier: Apache-2.0 */
/* Where an account's Blob service is. */
#ifndef SLU_BLOB_ENDPOINT_H
#define SLU_BLOB_ENDPOINT_H

#include "common/err.h"

#include <stdbool.h>

struct slu_blob_place {
	char *account, *container;
	char *base;     /* "https://acct.blob.core.windows.net", "http://127.0.0.1:10000/acct" */
	char *path;     /* in base: from the first '/' after the host on, "" = none */
	char *dfs;      /* the same of the Data Lake service, NULL: none is known */
	char *dfs_path; /* in dfs */
	char *suffix; /* "core.windows.net"; NULL: the endpoint is not built from account and cloud */
	bool gen2;    /* the account is said to have a hierarchical namespace */
	bool plain_ok; /* http beyond loopback is allowed */
};

/*
 * endpoint: NULL (the public cloud), a cloud's suffix ("core.usgovcloudapi.net"), a host or a URL.  A
 * host that is an IP address or has a port, and an URL without a path whose host is an address or
 * localhost, serve accounts by path, as the emulator does.  A name is taken for a cloud's suffix unless it
 * begins with the account ("acct.privatelink...", "acct-secondary.blob..."): a domain of one's own is given
 * as a URL.  protocol: "http", "https" or NULL; a URL has its own.  http beyond loopback without
 * plain_ok: -EACCES.  -EINVAL: no host, another protocol, or user, query, blanks in it.
 */
int slu_blob_place_init(struct slu_blob_place *p, const char *account, const char *container,
			const char *endpoint, const char *protocol, bool plain_ok,
			struct slu_err *e);
/* Fills p->dfs: endpoint as above, NULL: the one beside the Blob service, where its host tells. */
int slu_blob_place_dfs(struct slu_blob_place *p, const char *endpoint, struct slu_err *e);
void slu_blob_place_done(struct slu_blob_place *p);

#endif
