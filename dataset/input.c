/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs: modes and names as azureml.md 2.1-2.3 has them, and the view behind each mode.  A mount
 * serves a manifest that was saved in the registry first, so that what a job sees is what was
 * resolved for it, whatever happens to the reference in between.
 */
#include "dataset/input.h"

#include "common/mem.h"
#include "common/path.h"
#include "common/str.h"
#include "dataset/layout.h"
#include "dataset/registry.h"
#include "dataset/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *text;
	enum slu_mode mode;
} modes[] = {
	{"direct", SLU_MODE_DIRECT},
	{"download", SLU_MODE_DOWNLOAD},
	{"ro_mount", SLU_MODE_MOUNT},
	{"mount", SLU_MODE_MOUNT},
	{"hdfs", SLU_MODE_HDFS},
	{"upload", SLU_MODE_UPLOAD},
	{"eval_mount", SLU_MODE_EVAL_MOUNT},
	{"eval_download", SLU_MODE_EVAL_DOWNLOAD},
	{"rw_mount", SLU_MODE_RW_MOUNT},
	{"link", SLU_MODE_LINK},
};

int slu_mode_parse(const char *text, enum slu_mode *ret, struct slu_err *e)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (slu_streq(text, modes[i].text)) {
			*ret = modes[i].mode;
			return 0;
		}
	}
	return slu_fail(
		e, EINVAL,
		"'%s' is no mode: of inputs there are 'ro_mount', 'download', 'direct', 'hdfs', "
		"'eval_mount' and 'eval_download', of outputs 'upload', 'rw_mount', 'direct', "
		"'hdfs' and 'link'",
		text);
}

/* The first text of each is its name. */
const char *slu_mode_name(enum slu_mode m)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (modes[i].mode == m)
			return modes[i].text;
	return "?";
}

bool slu_mode_is_input(enum slu_mode m)
{
	return m != SLU_MODE_UPLOAD && m != SLU_MODE_RW_MOUNT && m != SLU_MODE_LINK;
}

/* Names become environment variables as they are and in capitals: these would change how a program
 * starts or where it finds its run. */
int slu_input_name_check(const char *name, struct slu_err *e)
{
	static const char *const taken[] = {"path",        "ld_library_path",
					    "user",        "logname",
					    "home",        "pwd",
					    "shell",       "ifs",
					    "bash_env",    "pythonpath",
					    "pythonhome",  "tmpdir",
					    "java_home",   "spark_home",
					    "hadoop_home", "hadoop_conf_dir"};
	static const char *const begin[] = {"ld_", "azureml_", "azure_ml_", "sluice_"};
	bool bad = false;

	if (!name || !slu_is_ident(name))
		return slu_fail(e, EINVAL,
				"'%s' is no name for an input or output: use letters, digits and "
				"'_', and no digit first",
				name ? name : "");
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		bad = bad || strcasecmp(name, taken[i]) == 0;
	for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
		bad = bad || slu_iafter(name, begin[i]);
	if (bad)
		return slu_fail(e, EINVAL,
				"'%s' cannot name an input or output: the environment variable of "
				"that name means something else; choose another name",
				name);
	return 0;
}

int slu_input_place(const char *place, const char *name, char **ret, struct slu_err *e)
{
	SLU_AUTO(slu_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (place[0] != '/')
		return slu_fail(e, EINVAL, "'%s' is not an absolute path", place);
	if (root < 0)
		return slu_fail_sys(e, errno, "cannot open '/'");
	SLU_AUTO(slu_freep) char *rel = NULL;
	int r = slu_path_clean(place, &rel, e);

	if (r < 0)
		return r;
	SLU_AUTO(slu_freep) char *path = slu_asprintf("%s/%s", place, name);

	r = slu_path_mkdirs(root, rel, 0700);
	if (r < 0)
		return slu_fail_sys(e, -r, "cannot make the folder '%s'", place);
	if (!path)
		return slu_fail_oom(e);
	*ret = slu_take(path);
	return 0;
}

/* The path a program gets: of the file itself when the dataset is one file. */
static int value_in(struct slu_input *in, const char *where, struct slu_err *e)
{
	const struct slu_tree *t = in->dataset->tree;

	if (t->single_file && slu_manifest_count(t->manifest) == 1)
		in->value = slu_asprintf("%s/%s", where, slu_manifest_at(t->manifest, 0)->path);
	else
		in->value = slu_strdup(where);
	return in->value ? 0 : slu_fail_oom(e);
}

static int yielded(struct sluice *s, const char *ref, struct slu_dataset **ret, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = slu_new0(struct slu_dataset);
	SLU_AUTO(slu_json_freep) struct json_t *spec = slu_json_object();

	if (!d || !spec || slu_json_set_str(spec, "path", ref) < 0 ||
	    slu_json_set_str(spec, "type", "mltable") < 0)
		return slu_fail_oom(e);
	int r = slu_definition_from_spec(s, spec, &d->def, e);

	if (r == 0)
		r = slu_resolve_definition(s, d->def, &d->tree, e);
	if (r == 0)
		r = slu_manifest_digest(d->tree->manifest, d->digest);
	if (r == 0)
		r = slu_dataset_id(d->def, d->digest, d->id, e);
	if (r == 0)
		*ret = slu_take(d);
	return r;
}

int slu_input_resolve(struct sluice *s, struct slu_input *in, struct slu_err *e)
{
	SLU_AUTO(slu_dataset_freep) struct slu_dataset *d = NULL;
	bool eval = in->mode == SLU_MODE_EVAL_MOUNT || in->mode == SLU_MODE_EVAL_DOWNLOAD;
	int r = slu_resolve_ref(s, in->ref, &d, e);

	/* Of a version, an id or an output the definition is known, and its files are pinned. */
	if (r == 0 && eval && !d->def->tabular && !d->record) {
		slu_dataset_free(slu_take(d));
		r = yielded(s, in->ref, &d, e);
	}
	if (r == 0)
		in->dataset = slu_take(d);
	return r;
}

static int settings_of(struct sluice *s, char view, struct slu_settings *ret, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);

	return slu_settings_resolve(view, w ? w->config : NULL, NULL, ret, e);
}

static int open_download(struct sluice *s, struct slu_input *in, const char *place,
			 struct slu_err *e)
{
	/* Staged for one run: it does not outlive a power cut, so nothing needs to be synced. */
	const struct slu_download_opts o = {.nosync = true, .once = true};
	SLU_AUTO(slu_freep) char *target = NULL;
	struct slu_settings set;
	int r = settings_of(s, 'd', &set, e);

	if (r == 0)
		r = slu_layout_apply(s, &set, 'd', in->dataset, e);
	if (r == 0)
		r = slu_target_make(place, in->name, in->at, &in->made, &target, e);
	if (r == 0)
		r = slu_download_open(in->dataset->tree, target, &o, slu_context_pool(s), &in->view,
				      e);
	return r < 0 ? r : value_in(in, target, e);
}

static int open_mount(struct sluice *s, struct slu_input *in, const char *place,
		      const char *log_path, struct slu_err *e)
{
	const struct slu_workspace *w = slu_context_workspace(s);
	SLU_AUTO(slu_freep) char *program = NULL, *target = NULL, *digest = NULL, *config = NULL;
	struct slu_settings set;
	int r = slu_registry_save(s, in->dataset, e);

	if (r == 0)
		r = settings_of(s, 'm', &set, e);
	if (r == 0)
		r = slu_context_program(&program, e);
	if (r == 0)
		r = slu_target_make(place, in->name, in->at, &in->made, &target, e);
	if (r < 0)
		return r;
	/* That layout is made from the definition, which stands behind the id. */
	bool compat = slu_layout_is_compat(&set);

	digest = compat ? slu_strdup("--set=layout=compat")
			: slu_asprintf("--manifest=%s", in->dataset->digest);
	config = slu_asprintf("--workspace=%s", w->config_path);
	if (!digest || !config)
		return slu_fail_oom(e);
	const char *const argv[] = {program,
				    "mount",
				    "--foreground",
				    "--ready-fd=3",
				    "--lifeline-fd=4",
				    config,
				    digest,
				    "--",
				    compat ? in->dataset->id : in->ref,
				    target,
				    NULL};

	r = slu_mount_open(argv, target, false, log_path, &in->view, e);
	return r < 0 ? r : value_in(in, target, e);
}

static int open_hdfs(struct sluice *s, struct slu_input *in, struct slu_err *e)
{
	int r = slu_resolve_pattern(s, in->dataset, e);

	if (r == 0)
		r = slu_hdfs_open(in->dataset->tree, &in->view, e);

	if (r < 0)
		return r;
	in->value = slu_strdup(in->view->where);
	return in->value ? 0 : slu_fail_oom(e);
}

/* The id instead of the URI: the view is there for what Spark needs to read it. */
static int give_id(struct slu_input *in, struct slu_err *e)
{
	free(in->value);
	in->value = slu_strdup(in->dataset->id);
	return in->value ? 0 : slu_fail_oom(e);
}

/* One path: its URI.  Several, or a table: the name that has a definition behind it. */
static int open_direct(struct slu_input *in, bool direct_id, struct slu_err *e)
{
	const struct slu_dataset *d = in->dataset;

	if (direct_id)
		in->value = slu_strdup(d->id);
	else if (d->def->npaths == 1 && !d->def->tabular)
		in->value = slu_strdup(d->def->paths[0]);
	else if (d->name && d->version)
		in->value = slu_asprintf("azureml:%s:%s", d->name, d->version);
	else
		in->value = slu_strdup(in->ref);
	return in->value ? 0 : slu_fail_oom(e);
}

int slu_input_open(struct sluice *s, struct slu_input *in, const char *place, bool direct_id,
		   const char *log_path, struct slu_err *e)
{
	int r = slu_input_name_check(in->name, e);

	if (r < 0)
		return r;
	free(in->value);
	in->value = NULL;
	switch (in->mode) {
	case SLU_MODE_DIRECT:
		/* The id must lead somewhere when the program asks for it. */
		r = direct_id ? slu_registry_save(s, in->dataset, e) : 0;
		if (r == 0)
			r = open_direct(in, direct_id, e);
		break;
	case SLU_MODE_DOWNLOAD:
	case SLU_MODE_EVAL_DOWNLOAD:
		r = open_download(s, in, place, e);
		break;
	case SLU_MODE_MOUNT:
	case SLU_MODE_EVAL_MOUNT:
		r = open_mount(s, in, place, log_path, e);
		break;
	case SLU_MODE_HDFS:
		r = open_hdfs(s, in, e);
		if (r == 0 && direct_id)
			r = give_id(in, e);
		break;
	case SLU_MODE_UPLOAD:
	case SLU_MODE_RW_MOUNT:
	case SLU_MODE_LINK:
		r = slu_fail(e, EINVAL, "'%s' is a mode of outputs: use 'download' or 'ro_mount'",
			     slu_mode_name(in->mode));
		break;
	}
	if (r < 0) {
		if (in->view)
			slu_view_free(slu_take(in->view));
		slu_fail_more(e, "input '%s'", in->name);
	}
	return r;
}

int slu_input_close(struct slu_input *in, struct slu_err *e)
{
	int r = in->view ? slu_view_close(in->view, e) : 0;

	if (r < 0)
		return slu_fail_more(e, "input '%s'", in->name);
	if (in->at && in->value)
		slu_target_clear(in->at, in->made);
	return 0;
}

void slu_input_free(struct slu_input *in)
{
	if (!in)
		return;
	if (in->view)
		slu_view_free(in->view);
	if (in->dataset)
		slu_dataset_free(in->dataset);
	free(in->name);
	free(in->ref);
	free(in->at);
	free(in->value);
	free(in);
}
