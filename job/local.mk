libjob_la_SOURCES += \
	job/alive.c job/alive.h \
	job/api_job.c \
	job/broker.c job/broker.h \
	job/check.c \
	job/compute.c job/compute.h \
	job/compute_local.c \
	job/compute_spark.c \
	job/env.c \
	job/graph.c job/graph.h \
	job/guard.c job/guard.h \
	job/ignore.c job/ignore.h \
	job/launch.c job/launch.h \
	job/publish.c \
	job/run.c job/run.h \
	job/settle.c job/settle.h \
	job/snapshot.c job/snapshot.h \
	job/spec.c job/spec.h \
	job/spec_impl.h \
	job/spec_io.c \
	job/spec_json.c \
	job/spec_spark.c \
	job/spec_step.c \
	job/stage.c \
	job/step.c job/step.h \
	job/subst.c job/subst.h \
	job/supervisor.c job/supervisor.h \
	job/task.h \
	job/tee.c job/tee.h \
	job/watch.c job/watch.h
