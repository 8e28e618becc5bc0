/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hadoop's configuration as its own clients read it: core-site.xml, then hdfs-site.xml; what comes later wins, but
 * not over what is final; xi:include; ${name} of other properties, of the environment (${env.NAME},
 * ${env.NAME:-default}) and of a few properties of Java (Configuration.java).  What is read is not trusted:
 * no DOCTYPE, no network, and bounds for size, number, depth and expansion.  One thread at a time while it is
 * loaded; then any.
 */
#ifndef SLU_HDFS_CONF_H
#define SLU_HDFS_CONF_H

#include "common/cleanup.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct slu_hconf;

int slu_hconf_new(struct slu_hconf **ret);
void slu_hconf_free(struct slu_hconf *c); /* NULL fine */
SLU_DEFINE_CLEANUP(struct slu_hconf *, slu_hconf_free, slu_hconf_freep)

/* What a folder such as /etc/hadoop/conf says.  -ENOENT: it has neither of the two files.  -EBADMSG: one of them
 * is not what it should be.  After a failure c is to be freed. */
int slu_hconf_load_dir(struct slu_hconf *c, const char *dir, struct slu_err *e);
/* One document.  what: how messages name it.  dir: what a relative href of an include starts from; NULL: whatever
 * is included is missing. */
int slu_hconf_load_text(struct slu_hconf *c, const char *text, size_t n, const char *what,
			const char *dir, struct slu_err *e);
/* As if it stood in a document that comes last, and final.  0 or -ENOMEM. */
int slu_hconf_set(struct slu_hconf *c, const char *name, const char *value);

/* The value without blanks around it, its variables replaced (one that has no value stays as it is); NULL when
 * there is none or it is empty.  Caller frees *ret.  Old names of a property count for the new one.
 * -EINVAL: variables that go round in a circle, or a value that is too long. */
int slu_hconf_get(const struct slu_hconf *c, const char *name, char **ret, struct slu_err *e);
/* The same of "<name>.<suffix>" (suffix NULL or "": of name). */
int slu_hconf_get_of(const struct slu_hconf *c, const char *name, const char *suffix, char **ret,
		     struct slu_err *e);
/* "true" or "false"; anything else: dflt. */
bool slu_hconf_bool(const struct slu_hconf *c, const char *name, bool dflt);

#endif
