/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read job specs share.  Private to job/spec*.c. */
#ifndef SLU_JOB_SPEC_IMPL_H
#define SLU_JOB_SPEC_IMPL_H

#include "common/vec.h"
#include "common/yaml.h"
#include "job/spec.h"

#include <locale.h>

struct spec_file {
	struct slu_yaml *yaml;
	char *dir; /* absolute: what relative paths in it start from */
};

/* An output of a nested pipeline and the output of a step that it is. */
struct spec_alias {
	char *step, *output;
	char *to_step, *to_output;
};

/* One reading of a job file. */
struct spec_ctx {
	struct slu_job *job;
	const struct spec_file *file;     /* the job file itself */
	struct slu_spec_input *parent_in; /* of the pipeline; NULL: not in one */
	size_t nparent_in;
	struct slu_spec_output *parent_out;
	size_t nparent_out;
	bool *parent_out_bound;
	bool in_pipeline;
	const char *compute;                   /* default of the pipeline, or NULL */
	const char *datastore;                 /* settings.default_datastore, or NULL */
	const struct slu_workspace *workspace; /* may be NULL */
	/* Of a nested pipeline: its name and the beginning of its steps' names, "NAME."; else NULL, "". */
	const char *self, *prefix;
	const char *step;           /* whole name of the member that is being read */
	const struct json_t *after; /* what the pipelines around it wait for; NULL: nothing */
	unsigned depth;             /* of nesting */
	struct spec_nest *nest;
};

/* What all parts of a pipeline share. */
struct spec_nest {
	SLU_VEC(struct spec_alias) aliases;
	size_t members; /* that were read, pipelines included: what contains itself ends soon */
};

int spec_file_open(const char *path, struct spec_file *ret, struct slu_err *e);
void spec_file_done(struct spec_file *f);

/* "file.yml:3:7" of member key of object o (or of o itself); caller frees, NULL: no memory. */
char *spec_where(const struct spec_file *f, const struct json_t *o, const char *key);
/* Copies a string member to *ret (left NULL when absent).  Another type: an error with position. */
int spec_text(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	      struct slu_err *e);
/* The same in lower case, as the schemas' words are taken. */
int spec_word(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	      struct slu_err *e);
/* true or false: *ret is left as it is when absent. */
int spec_flag(const struct spec_file *f, const struct json_t *o, const char *key, bool *ret,
	      struct slu_err *e);
/* As spec_where, in place of *ret; NULL when o does not stand in the file (it was set from outside). */
int spec_place(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	       struct slu_err *e);
/* path_on_compute of an input or output, cleaned; no_folder: its mode has none. */
int spec_at(const struct spec_file *f, const struct json_t *v, bool no_folder, char **ret,
	    struct slu_err *e);
/* Of an output's object v: overwrite, source_globs, on_failure, and how a table is read. */
int spec_output_policy(const struct spec_file *f, const struct json_t *v, enum slu_job_kind kind,
		       struct slu_spec_output *o, struct slu_err *e);
/* Numbers of this thread have a point from the one to the other, whatever locale the process has.  Gives what end wants. */
locale_t spec_numbers_begin(locale_t *ret_own);
void spec_numbers_end(locale_t before, locale_t own);
/* The text that a scalar has as an argument: true is "True", 1.0 is "1.0"; NULL: no scalar. */
char *spec_scalar(const struct json_t *v);
/* Notes once that a key is accepted without effect. */
int spec_note(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	      const char *key, const char *why, struct slu_err *e);
/* A data reference: local paths made absolute from f's folder. */
int spec_ref(const struct spec_file *f, const char *text, char **ret, struct slu_err *e);
/* "azureml:NAME" or "NAME" of a compute or datastore. */
const char *spec_plain_name(const char *text);

/* inputs: the values; declared: what a component says of its inputs, with its file, or NULL. */
int spec_inputs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *step,
		const struct spec_file *cf, const struct json_t *component, enum slu_job_kind kind,
		struct slu_spec_step *ret, struct slu_err *e);
int spec_outputs(struct spec_ctx *c, const struct spec_file *f, const struct json_t *step,
		 const struct spec_file *cf, const struct json_t *component, enum slu_job_kind kind,
		 struct slu_spec_step *ret, struct slu_err *e);
void spec_input_done(struct slu_spec_input *in);
void spec_output_done(struct slu_spec_output *o);

/* What `component` of a job or step o leads to: nothing (*ret_cf NULL), an object in f itself, or a file,
 * which `own` holds from then on (spec_file_done, in any case). */
int spec_component(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		   struct spec_file *own, const struct spec_file **ret_cf, struct slu_err *e);
const struct json_t *spec_component_body(const struct spec_file *f, const struct json_t *o,
					 const struct spec_file *cf);
/* obj: a job, or a member `name` of a pipeline's jobs; cf: of its component, or NULL. */
int spec_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *obj,
	      const char *name, const struct spec_file *cf, struct slu_spec_step *ret,
	      struct slu_err *e);
/* command, spark, or with `pipeline` also that one; anything else is refused. */
int spec_kind(const struct spec_file *f, const struct json_t *o, bool pipeline,
	      enum slu_job_kind *ret, struct slu_err *e);
/* Adds the whole names of what o's `depends_on` lists. */
int spec_after(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	       struct json_t *list, struct slu_err *e);
int spec_pipeline(struct spec_ctx *c, struct slu_err *e);
/* The name of a compute; `${{parent.inputs.X}}` is the value of that. */
int spec_compute(const struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		 const char *key, char **ret, struct slu_err *e);
/* An output of the nested pipeline that is read stands for this one of the step that is read. */
int spec_alias_add(const struct spec_ctx *c, const char *output, const char *to_output,
		   struct slu_err *e);

/* --- spec_set.c --- */

/* Puts {"set": {"a.b": text}, "inputs": {NAME: text or object}} into the tree; NULL fine. */
int spec_override(const struct spec_file *f, const struct json_t *overrides, struct slu_err *e);

/* --- spec_keys.c --- */

bool spec_in_list(const char *const *list, const char *s);
/* Refuses keys that a step of this kind does not have, one that names a component, a nested pipeline. */
int spec_step_keys(const struct spec_file *f, const struct json_t *o, enum slu_job_kind kind,
		   struct slu_err *e);
int spec_override_keys(const struct spec_file *f, const struct json_t *o, enum slu_job_kind kind,
		       struct slu_err *e);
int spec_nested_keys(const struct spec_file *f, const struct json_t *o, struct slu_err *e);
/* Notes the keys that have no effect. */
int spec_note_idle(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		   struct slu_err *e);
int spec_distribution(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		      struct slu_spec_step *s, struct slu_err *e);

/* --- spec_identity.c --- */

/* o's `identity`, which becomes the job's; *ret_said: there is one. */
int spec_identity(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
		  bool *ret_said, struct slu_err *e);
/* All steps have it, or none. */
int spec_identity_check(const struct slu_job *j, struct slu_err *e);

/* --- spec_value.c --- */

extern const char *const spec_data_types[], *const spec_value_types[];
/* Is the value of an input of its type, and within what cf's decl (NULL: nothing) allows? */
int spec_check_value(const struct spec_file *f, const struct json_t *values, const char *key,
		     const struct spec_file *cf, const struct json_t *decl,
		     const struct slu_spec_input *in, struct slu_err *e);

int spec_spark(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	       struct slu_spec_step *s, struct slu_err *e);
/* Every ${{...}} of a step names something that it has. */
int spec_check_subst(const struct spec_file *f, const struct json_t *o,
		     const struct slu_spec_step *s, struct slu_err *e);

#endif
