/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STAT and READ of what a manifest pins to a version go to that version; all else passes.  It lies above the disk
 * cache, which keeps bytes by their identity, whatever version they were read from.  It does not look for
 * versions: the manifest has them.
 */
#include "fs/pinned.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"

#include <errno.h>
#include <string.h>

struct pinned {
	struct slu_store s;
	const struct slu_manifest *m;
	const char *base, *prefix;
};

/* "" for what is not pinned. */
static const char *version_of(const struct pinned *p, const char *path)
{
	const char *rest = slu_after(path, p->base);
	SLU_AUTO(slu_freep) char *full = NULL;

	if (rest && *p->base)
		rest = *rest == '/' ? rest + 1 : NULL;
	if (!rest || !*rest)
		return "";
	full = *p->prefix ? slu_path_join(p->prefix, rest) : NULL;
	if (*p->prefix && !full)
		return NULL;

	size_t i = slu_manifest_find(p->m, full ? full : rest);

	return i == SIZE_MAX ? "" : slu_manifest_at(p->m, i)->version;
}

static void answered(struct slu_op *op)
{
	bool read = op->type == SLU_OP_READ;

	(void)slu_op_pop(op);
	if (op->rc == -ENOENT || op->rc == -ESTALE)
		op->rc = slu_fail(&op->err, read ? ESTALE : ENOENT,
				  "'%s' has lost its %s, which the dataset was frozen by: the "
				  "version was removed from the store, and its bytes with it",
				  op->path, op->version);
	op->version = NULL;
	op->done(op);
}

static void pinned_submit(struct slu_store *s, struct slu_op *op)
{
	struct pinned *p = (struct pinned *)s;
	const char *version = "";

	if ((op->type == SLU_OP_STAT || op->type == SLU_OP_READ) && !op->version)
		version = version_of(p, op->path);
	if (!version) {
		slu_op_finish(op, slu_fail_oom(&op->err));
		return;
	}
	if (*version) {
		op->version = version;
		slu_op_push(op, answered, p);
	}
	slu_store_submit(s->below, op);
}

/* A service would fetch what is current. */
static int pinned_source(struct slu_store *s, const char *path, const struct slu_attr *attr,
			 struct slu_source *ret, struct slu_err *e)
{
	const char *version = version_of((struct pinned *)s, path);

	if (!version)
		return slu_fail_oom(e);
	if (!*version)
		return slu_store_source(s->below, path, attr, ret, e);
	return slu_fail(e, ENOTSUP, "no service can fetch %s of '%s' by itself", version, path);
}

void slu_pinned_free(struct slu_store *s)
{
	free(s);
}

static const struct slu_store_ops pinned_ops = {.name = "pinned",
						.submit = pinned_submit,
						.source = pinned_source,
						.free = slu_pinned_free};

int slu_pinned_new(struct slu_store *store, const struct slu_manifest *m, size_t source,
		   const char *base, struct slu_store **ret, struct slu_err *e)
{
	struct pinned *p;

	if (!slu_store_can(store, SLU_CAP_VERSIONS))
		return slu_fail(e, ENOTSUP,
				"the dataset is frozen by versions, and the datastore of '%s' "
				"keeps none any more: has it become another one?",
				slu_manifest_source(m, source)->uri);
	p = slu_new0(struct pinned);
	if (!p)
		return slu_fail_oom(e);
	p->s = *store;
	p->s.ops = &pinned_ops;
	p->s.below = store;
	p->m = m;
	p->base = base;
	p->prefix = slu_manifest_source(m, source)->prefix;
	*ret = &p->s;
	return 0;
}
