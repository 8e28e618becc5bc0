libhdfs_la_SOURCES += hdfs/acks.c
libhdfs_la_SOURCES += hdfs/answer.c hdfs/answer.h
libhdfs_la_SOURCES += hdfs/conf.c hdfs/conf.h
libhdfs_la_SOURCES += hdfs/datanode.c hdfs/datanode.h
libhdfs_la_SOURCES += hdfs/dnask.c hdfs/dnask.h
libhdfs_la_SOURCES += hdfs/ec.c hdfs/ec.h
libhdfs_la_SOURCES += hdfs/errors.c hdfs/errors.h
libhdfs_la_SOURCES += hdfs/failover.c
libhdfs_la_SOURCES += hdfs/hdfs.c hdfs/hdfs.h
libhdfs_la_SOURCES += hdfs/namenode.c hdfs/namenode.h
libhdfs_la_SOURCES += hdfs/lease.c
libhdfs_la_SOURCES += hdfs/legacy.c
libhdfs_la_SOURCES += hdfs/names.c
libhdfs_la_SOURCES += hdfs/nameservice.c hdfs/nameservice.h
libhdfs_la_SOURCES += hdfs/native.c hdfs/native.h hdfs/native_impl.h
libhdfs_la_SOURCES += hdfs/native_change.c
libhdfs_la_SOURCES += hdfs/native_file.c
libhdfs_la_SOURCES += hdfs/native_names.c
libhdfs_la_SOURCES += hdfs/native_place.c hdfs/native_place.h hdfs/native_read.c hdfs/native_shun.c
libhdfs_la_SOURCES += hdfs/native_sum.c
libhdfs_la_SOURCES += hdfs/native_write.c hdfs/native_write.h
libhdfs_la_SOURCES += hdfs/observer.c
libhdfs_la_SOURCES += hdfs/packets.c hdfs/packets.h
libhdfs_la_SOURCES += hdfs/pb.c
libhdfs_la_SOURCES += hdfs/pipeline.c hdfs/pipeline.h hdfs/pipe_probe.c hdfs/pipe_probe.h
libhdfs_la_SOURCES += hdfs/pulse.c
libhdfs_la_SOURCES += hdfs/read.c
libhdfs_la_SOURCES += hdfs/request.c hdfs/request.h
libhdfs_la_SOURCES += hdfs/rpc.c hdfs/rpc.h
libhdfs_la_SOURCES += hdfs/digest.c hdfs/digest.h hdfs/sasl.c hdfs/sasl.h
libhdfs_la_SOURCES += hdfs/dn_dial.c hdfs/dn_dial.h hdfs/dn_key.c hdfs/dn_key.h hdfs/dn_relay.c
libhdfs_la_SOURCES += hdfs/rpc_sign.c hdfs/rpc_sign.h
libhdfs_la_SOURCES += hdfs/signin.c hdfs/signin.h hdfs/signin_ask.c hdfs/signin_gate.c hdfs/signin_impl.h
libhdfs_la_SOURCES += hdfs/token.c hdfs/token.h
libhdfs_la_SOURCES += hdfs/replica.c hdfs/replica.h
libhdfs_la_SOURCES += hdfs/shortcircuit.c hdfs/shortcircuit.h
libhdfs_la_SOURCES += hdfs/striped.c hdfs/striped.h
libhdfs_la_SOURCES += hdfs/sum.c
libhdfs_la_SOURCES += hdfs/write.c hdfs/written.c

nodist_libhdfs_la_SOURCES = hdfs/hdfs.pb-c.c hdfs/hdfs.pb-c.h
BUILT_SOURCES += hdfs/hdfs.pb-c.h
CLEANFILES += hdfs/hdfs.pb-c.c hdfs/hdfs.pb-c.h
EXTRA_DIST += hdfs/hdfs.proto
hdfs/hdfs.pb-c.c: hdfs/hdfs.proto
	@$(MKDIR_P) hdfs
	$(AM_V_GEN)out=`pwd` && cd $(srcdir) && $(PROTOC_C) --c_out="$$out" hdfs/hdfs.proto
hdfs/hdfs.pb-c.h: hdfs/hdfs.pb-c.c
