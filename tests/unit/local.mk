# Unit tests: tests/unit/NAME.c, each a program of its own (plain cmocka), linked against the
# folders' static libraries, not libsluice.so: tests see internals.  Names are written with their
# folder, as automake needs them; one line per folder owner:
#     UNIT_TESTS += tests/unit/test-buf tests/unit/test-str
UNIT_TESTS =
UNIT_TESTS += tests/unit/test-mem tests/unit/test-buf tests/unit/test-tail tests/unit/test-str tests/unit/test-hash \
	tests/unit/test-time tests/unit/test-err tests/unit/test-log tests/unit/test-path tests/unit/test-rmtree tests/unit/test-write \
	tests/unit/test-json tests/unit/test-yaml tests/unit/test-xml \
	tests/unit/test-corpus
UNIT_TESTS += tests/unit/test-loop tests/unit/test-pool tests/unit/test-xfer \
	tests/unit/test-xfer-life tests/unit/test-http tests/unit/test-backoff tests/unit/test-crypt
UNIT_TESTS += tests/unit/test-once tests/unit/test-registry tests/unit/test-registry-storm tests/unit/test-registry-gc \
	tests/unit/test-outcome tests/unit/test-input tests/unit/test-output
UNIT_TESTS += tests/unit/test-op tests/unit/test-store tests/unit/test-local \
	tests/unit/test-local-write tests/unit/test-walk tests/unit/test-walk-large tests/unit/test-glob tests/unit/test-manifest \
	tests/unit/test-tree tests/unit/test-forward tests/unit/test-writer tests/unit/test-blocks tests/unit/test-retry tests/unit/test-limit \
	tests/unit/test-faulty tests/unit/test-trace tests/unit/test-hedge
UNIT_TESTS += tests/unit/test-uri tests/unit/test-workspace tests/unit/test-datastore \
	tests/unit/test-context tests/unit/test-filter tests/unit/test-definition tests/unit/test-resolve tests/unit/test-partition
UNIT_TESTS += tests/unit/test-budget tests/unit/test-streams tests/unit/test-reader tests/unit/test-readerlife
UNIT_TESTS += tests/unit/test-download tests/unit/test-few tests/unit/test-journal tests/unit/test-resume tests/unit/test-verify tests/unit/test-hadoopsum tests/unit/test-hdfsview tests/unit/test-jprops \
	tests/unit/test-mounttree tests/unit/test-mount tests/unit/test-mountview
UNIT_TESTS += tests/unit/test-hdfsfuzz tests/unit/test-dnkey tests/unit/test-ec
UNIT_TESTS += tests/unit/test-mountshare tests/unit/test-mountsuper
UNIT_TESTS += tests/unit/test-mountkilled tests/unit/test-mountopened tests/unit/test-mountpass
UNIT_TESTS += tests/unit/test-settings tests/unit/test-mountnodes tests/unit/test-stage tests/unit/test-written
UNIT_TESTS += tests/unit/test-stats tests/unit/test-ahead tests/unit/test-control tests/unit/test-verdict
UNIT_TESTS += tests/unit/test-cache tests/unit/test-cachelife
UNIT_TESTS += tests/unit/test-webhdfs tests/unit/test-hdfs tests/unit/test-hdfs-ha
UNIT_TESTS += tests/unit/test-packets tests/unit/test-namenode tests/unit/test-pipeline tests/unit/test-shortcircuit tests/unit/test-hadoopconf tests/unit/test-hdfstoken tests/unit/test-sasl
UNIT_TESTS += tests/unit/test-steps
UNIT_TESTS += tests/unit/test-web tests/unit/test-fuzz

UNIT_TESTS += tests/unit/test-jobspec tests/unit/test-jobset tests/unit/test-graph tests/unit/test-subst \
	tests/unit/test-snapshot tests/unit/test-run tests/unit/test-tee tests/unit/test-keep tests/unit/test-environment tests/unit/test-livy tests/unit/test-guard tests/unit/test-broker
UNIT_TESTS += tests/unit/test-blob tests/unit/test-token tests/unit/test-blob-store tests/unit/test-blob-read tests/unit/test-blob-copy tests/unit/test-blob-dfs

UNIT_LIBS = $(FOLDER_LIBS) $(CMOCKA_LIBS)
LDADD = $(UNIT_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
endif
