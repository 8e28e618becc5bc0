# The fuzzers as programs: built by `tools/dev fuzz` only (clang, configure --enable-fuzzing; then: make
# fuzz-programs).  Their corpora replay in the unit tests, with any compiler.
FUZZERS = tests/fuzz/fuzz-acks tests/fuzz/fuzz-blobfault tests/fuzz/fuzz-bloblist tests/fuzz/fuzz-dfslist \
	tests/fuzz/fuzz-endpoint tests/fuzz/fuzz-glob tests/fuzz/fuzz-hadoopconf tests/fuzz/fuzz-http tests/fuzz/fuzz-json tests/fuzz/fuzz-manifest \
	tests/fuzz/fuzz-packets tests/fuzz/fuzz-path tests/fuzz/fuzz-secret tests/fuzz/fuzz-token tests/fuzz/fuzz-uri tests/fuzz/fuzz-web \
	tests/fuzz/fuzz-webhdfs tests/fuzz/fuzz-xml tests/fuzz/fuzz-yaml
FUZZ_LIBS = $(FOLDER_LIBS)

if FUZZING
EXTRA_PROGRAMS += $(FUZZERS)
endif
fuzz-programs: $(FUZZERS)
.PHONY: fuzz-programs
tests_fuzz_fuzz_acks_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_acks_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_blobfault_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_blobfault_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_bloblist_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_bloblist_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_dfslist_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_dfslist_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_endpoint_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_endpoint_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_glob_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_glob_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_hadoopconf_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_hadoopconf_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_http_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_http_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_json_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_json_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_manifest_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_manifest_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_packets_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_packets_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_path_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_path_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_secret_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_secret_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_uri_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_uri_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_web_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_web_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_token_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_token_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_webhdfs_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_webhdfs_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_xml_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_xml_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_yaml_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_yaml_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
