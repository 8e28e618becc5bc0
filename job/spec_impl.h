/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read job specs share.  Private to job/spec*.c. */
#ifndef SLU_JOB_SPEC_IMPL_H
#define SLU_JOB_SPEC_IMPL_H

#include "common/yaml.h"
#include "job/spec.h"

struct spec_file {
	struct slu_yaml *yaml;
	char *dir; /* absolute: what relative paths in it start from */
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
	const char *compute;   /* default of the pipeline, or NULL */
	const char *datastore; /* settings.default_datastore, or NULL */
};

int spec_file_open(const char *path, struct spec_file *ret, struct slu_err *e);
void spec_file_done(struct spec_file *f);

/* "file.yml:3:7" of member key of object o (or of o itself); caller frees, NULL: no memory. */
char *spec_where(const struct spec_file *f, const struct json_t *o, const char *key);
/* Copies a string member to *ret (left NULL when absent).  Another type: an error with position. */
int spec_text(const struct spec_file *f, const struct json_t *o, const char *key, char **ret,
	      struct slu_err *e);
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

/* obj: a job, or a member `name` of a pipeline's jobs. */
int spec_step(struct spec_ctx *c, const struct spec_file *f, const struct json_t *obj,
	      const char *name, struct slu_spec_step *ret, struct slu_err *e);
int spec_spark(struct spec_ctx *c, const struct spec_file *f, const struct json_t *o,
	       struct slu_spec_step *s, struct slu_err *e);
/* Every ${{...}} of a step names something that it has. */
int spec_check_subst(const struct spec_file *f, const struct json_t *o,
		     const struct slu_spec_step *s, struct slu_err *e);

#endif
