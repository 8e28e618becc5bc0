libjob_la_SOURCES += \
	job/alive.c job/alive.h \
	job/api_compute.c \
	job/api_environment.c \
	job/api_job.c \
	job/api_job_keep.c \
	job/broker.c job/broker.h \
	job/check.c \
	job/compute.c job/compute.h \
	job/compute_livy.c \
	job/compute_local.c \
	job/compute_session.c job/compute_session.h \
	job/compute_size.c \
	job/compute_spark.c \
	job/env.c \
	job/compute_yaml.c job/compute_yaml.h \
	job/container.c \
	job/environment.c job/environment.h \
	job/environment_build.c \
	job/environment_cache.c \
	job/environment_conda.c \
	job/environment_job.c \
	job/environment_plan.c \
	job/environment_requirements.c job/environment_requirements.h \
	job/environment_run.c job/environment_run.h \
	job/fetch.c \
	job/graph.c job/graph.h \
	job/guard.c job/guard.h \
	job/ignore.c job/ignore.h \
	job/keep.c job/keep.h \
	job/launch.c job/launch.h \
	job/overwritten.c \
	job/orphans.c job/orphans.h \
	job/program.c job/program.h \
	job/livy.c job/livy.h \
	job/livy_batch.c \
	job/livy_log.c \
	job/livy_session.c \
	job/publish.c \
	job/report.c job/report.h \
	job/report_data.c job/report_impl.h \
	job/report_graph.c \
	job/report_html.c \
	job/report_step.c \
	job/report_time.c \
	job/rerun.c job/rerun.h \
	job/reuse.c job/reuse.h \
	job/reuse_explain.c \
	job/run.c job/run.h \
	job/session.c job/session.h \
	job/settle.c job/settle.h \
	job/snapshot.c job/snapshot.h \
	job/spec.c job/spec.h \
	job/spec_impl.h \
	job/spec_identity.c \
	job/spec_io.c \
	job/spec_output.c \
	job/spec_json.c \
	job/spec_keys.c \
	job/spec_pipeline.c \
	job/spec_set.c \
	job/spec_spark.c \
	job/spec_step.c \
	job/spec_value.c \
	job/stage.c \
	job/stage_io.c \
	job/step.c job/step.h \
	job/subst.c job/subst.h \
	job/supervisor.c job/supervisor.h \
	job/task.h \
	job/tee.c job/tee.h \
	job/upload.c job/upload.h \
	job/usage.c job/usage.h \
	job/watch.c job/watch.h \
	job/watch_log.c job/watch_log.h
