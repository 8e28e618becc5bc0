# The programs of the bench: built by `tools/dev bench` only (make bench-programs).
BENCHES = tests/bench/access tests/bench/manifest tests/bench/floorfs tests/bench/micro tests/bench/reader \
	tests/bench/timed tests/bench/flights tests/bench/client
EXTRA_PROGRAMS += $(BENCHES)
tests_bench_access_SOURCES = tests/bench/access.c tests/bench/program.h
tests_bench_access_LDADD =
tests_bench_client_SOURCES = tests/bench/client.c tests/bench/program.h
tests_bench_client_LDADD = libsluice.la
tests_bench_floorfs_SOURCES = tests/bench/floorfs.c
tests_bench_floorfs_LDADD = $(FUSE_LIBS)
tests_bench_micro_SOURCES = tests/bench/micro.c
tests_bench_micro_LDADD = $(FOLDER_LIBS)
tests_bench_manifest_SOURCES = tests/bench/manifest.c
tests_bench_manifest_LDADD = $(FOLDER_LIBS)
tests_bench_reader_SOURCES = tests/bench/reader.c
tests_bench_reader_LDADD =
tests_bench_flights_SOURCES = tests/bench/flights.c
tests_bench_flights_LDADD = $(FOLDER_LIBS) $(CURL_LIBS)
tests_bench_timed_SOURCES = tests/bench/timed.c
tests_bench_timed_LDADD =

# blobd is the server of some.
bench-programs: $(BENCHES) tests/blobd/blobd
.PHONY: bench-programs
