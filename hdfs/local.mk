libhdfs_la_SOURCES += hdfs/answer.c hdfs/answer.h
libhdfs_la_SOURCES += hdfs/errors.c hdfs/errors.h
libhdfs_la_SOURCES += hdfs/hdfs.c hdfs/hdfs.h
libhdfs_la_SOURCES += hdfs/names.c
libhdfs_la_SOURCES += hdfs/read.c
libhdfs_la_SOURCES += hdfs/request.c hdfs/request.h
libhdfs_la_SOURCES += hdfs/write.c
