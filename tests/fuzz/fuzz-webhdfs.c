/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as each of the answers of WebHDFS: a failure has a reason, a success is well-formed. */
#include "common/json.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "hdfs/answer.h"
#include "hdfs/errors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, const struct slu_err *e)
{
	if (r < 0 && (e->code != -r || !e->msg[0] || strchr(e->msg, '\n')))
		abort();
}

static void check_attr(const struct slu_attr *a)
{
	struct slu_hdfs_id id;
	char text[SLU_ID_MAX];

	if (a->kind == SLU_KIND_DIR)
		return;
	if (!slu_hdfs_id_parse(a->id, &id) || id.size != a->size)
		abort();
	slu_hdfs_id_text(&id, text);
	if (!slu_streq(text, a->id))
		abort();
}

static void listing(const char *p, size_t n, bool temps)
{
	struct slu_list l = {0};
	struct slu_err e = {0};

	check(slu_hdfs_listing(p, n, temps, &l, &e), &e);
	for (size_t i = 0; i < l.n; i++) {
		if (strchr(l.p[i].name, '/') || !slu_path_ok(l.p[i].name))
			abort();
		check_attr(&l.p[i].attr);
	}
	slu_list_done(&l);
}

static void location(const char *p, size_t n)
{
	SLU_AUTO(slu_freep) char *url = NULL;
	SLU_AUTO(slu_freep) char *host = NULL;
	SLU_AUTO(slu_freep) char *ranged = NULL;
	struct slu_err e = {0};
	int r = slu_hdfs_location(p, n, &url, &e);

	check(r, &e);
	if (r < 0)
		return;
	check(slu_hdfs_check_location(url, false, &host, &e), &e);
	ranged = slu_hdfs_ranged(url, 5, 7);
	if (ranged && (slu_hdfs_is_open(url) ? !slu_ends(ranged, "offset=5&length=7")
					     : !slu_streq(ranged, url)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SLU_AUTO(slu_freep) char *text = slu_strndup((const char *)data, size);
	struct slu_hdfs_id id;
	struct slu_err e = {0};
	struct slu_attr a;
	bool yes;
	int r;

	check(slu_hdfs_error((const char *)data, size, 403, &e), &e);
	r = slu_hdfs_status((const char *)data, size, &a, &id, &e);
	check(r, &e);
	if (r == 0)
		check_attr(&a);
	(void)slu_hdfs_coded((const char *)data, size);
	(void)slu_hdfs_is_being_written((const char *)data, size);
	check(slu_hdfs_boolean((const char *)data, size, &yes, &e), &e);
	listing((const char *)data, size, false);
	listing((const char *)data, size, true);
	location((const char *)data, size);
	if (text && slu_hdfs_id_parse(text, &id) && id.size > INT64_MAX)
		abort();
	return 0;
}
