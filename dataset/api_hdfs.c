/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: the view that Hadoop and Spark read, and the files of settings that go with it.
 */
#include "dataset/api_view.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/broker_client.h"
#include "dataset/context_impl.h"
#include "dataset/spark_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sluice_view_options no_options = SLUICE_VIEW_OPTIONS_INIT;

/* Adds to what the view itself asks for ("options" of hdfsview.c). */
static int add_options(struct json_t *o, const struct json_t *more)
{
	if (!slu_json_get(o, "options") && slu_json_set(o, "options", slu_json_object()) < 0)
		return -ENOMEM;
	struct json_t *all = slu_json_get(o, "options");

	for (void *it = slu_json_iter(more); it; it = slu_json_next(more, it))
		if (slu_json_set(all, slu_json_iter_key(it),
				 slu_json_ref(slu_json_iter_value(it))) < 0)
			return -ENOMEM;
	return 0;
}

/* {"uri", "conf", "secret_refs", "format"?, "options"?}: all that a Spark program needs to read it. */
static int hdfs_props(struct sluice_view *v, struct slu_err *e)
{
	SLU_AUTO(slu_json_freep)
	struct json_t *o = v->view->props ? slu_json_copy(v->view->props) : slu_json_object();

	if (!o || slu_json_set_str(o, "uri", v->view->where) < 0)
		return slu_fail_oom(e);
	if (v->dataset && v->dataset->def && v->dataset->def->tabular) {
		SLU_AUTO(slu_json_freep) struct json_t *spark = NULL;
		int r = slu_definition_spark(v->dataset->def, &spark);
		struct json_t *options = slu_json_get(spark, "options");

		/* Without options Spark cannot read it as the definition says. */
		if (r < 0 ||
		    (options && (slu_json_set_str(o, "format", slu_json_str(spark, "format")) < 0 ||
				 add_options(o, options) < 0)))
			return slu_fail_oom(e);
	}
	return slu_api_json(slu_take(o), &v->props, e);
}

/* In a step without a workspace around it, its broker opens the view. */
static int hdfs_open(struct sluice *s, const char *ref, struct sluice_view **v, struct slu_err *e)
{
	if (!slu_context_workspace(s) && slu_broker_for(ref)) {
		*v = slu_new0(struct sluice_view);
		return *v ? slu_broker_view(ref, "hdfs", &(*v)->view, e) : slu_fail_oom(e);
	}
	int r = slu_api_view_new(s, ref, &no_options, v, e);

	if (r == 0)
		r = slu_resolve_pattern(s, (*v)->dataset, e);
	return r < 0 ? r : slu_hdfs_open((*v)->dataset->tree, &(*v)->view, e);
}

int sluice_hdfs(struct sluice *s, const char *ref, struct sluice_view **ret, struct sluice_error *e)
{
	struct sluice_view *v = NULL;
	struct slu_err er = {0};
	int r = hdfs_open(s, ref, &v, &er);

	if (r == 0)
		r = hdfs_props(v, &er);
	if (r < 0)
		sluice_view_free(v);
	else
		*ret = v;
	return slu_api_error(e, &er, r);
}

/* --- files of settings --- */

/* Where this machine's Spark has its own; NULL: not known.  Caller frees. */
static char *spark_folder(void)
{
	const char *dir = getenv("SPARK_CONF_DIR"), *home = getenv("SPARK_HOME");

	if (dir && *dir)
		return slu_strdup(dir);
	return home && *home ? slu_asprintf("%s/conf", home) : NULL;
}

static int make_spark(const struct sluice_view *v, struct slu_buf *b, struct slu_err *e)
{
	SLU_AUTO(slu_jprops_done) struct slu_jprops p = {0};
	SLU_AUTO(slu_freep) char *folder = spark_folder();
	int r = folder ? slu_spark_site(&p, folder, e) : 0;

	if (r == 0)
		r = slu_spark_view(&p, v->view->props, v->view->where, e);
	if (r == 0)
		r = slu_spark_secrets(&p, v->view->props, e);
	if (r < 0)
		return r;
	slu_jprops_write(&p, b);
	if (b->len == 0) /* an empty file looks like one that was not written */
		slu_buf_str(b, "# the view needs no settings\n");
	return 0;
}

/* It is replaced by a rename, which a device or a pipe would not survive. */
static int check_target(const char *path, struct slu_err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	return slu_fail(e, EINVAL,
			"'%s' is no plain file: secrets are written to a file of mode 0600 only",
			path);
}

static int write_private(const char *path, const struct slu_buf *b, struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *abs = NULL;
	const char *name;
	int r = slu_path_absolute(path, &abs, e);

	if (r == 0)
		r = check_target(abs, e);
	if (r < 0)
		return r;
	char *slash = strrchr(abs, '/');

	name = slash + 1;
	*slash = '\0';

	SLU_AUTO(slu_closep)
	int dir = open(*abs ? abs : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return slu_fail_sys(e, errno, "cannot open the folder '%s'", *abs ? abs : "/");
	r = slu_path_write_atomic(dir, name, b->p, b->len);
	return r < 0 ? slu_fail_sys(e, -r, "cannot write '%s'", path) : 0;
}

int sluice_view_save(const struct sluice_view *v, const char *form, const char *path,
		     struct sluice_error *e)
{
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(2 * SLU_SPARK_CONF_MAX);
	struct slu_err er = {0};
	int r;

	if (!v->props)
		r = slu_fail(&er, EINVAL, "only the view of sluice_hdfs() has settings to save");
	else if (slu_streq(form, "spark"))
		r = make_spark(v, &b, &er);
	else if (slu_streq(form, "hadoop"))
		r = slu_hadoop_site(v->view->props, &b, &er);
	else
		r = slu_fail(&er, EINVAL, "'%s': settings are saved as 'spark' or 'hadoop'", form);
	if (r == 0 && slu_buf_err(&b))
		r = slu_fail_oom(&er);
	if (r == 0)
		r = write_private(path, &b, &er);
	if (b.p)
		explicit_bzero(b.p, b.len);
	return slu_api_error(e, &er, r);
}
