# The programs of the bench: built by `tools/dev bench` only (make bench-programs).
BENCHES = tests/bench/floorfs tests/bench/reader
EXTRA_PROGRAMS += $(BENCHES)
tests_bench_floorfs_SOURCES = tests/bench/floorfs.c
tests_bench_floorfs_LDADD = $(FUSE_LIBS)
tests_bench_reader_SOURCES = tests/bench/reader.c
tests_bench_reader_LDADD =

bench-programs: $(BENCHES)
.PHONY: bench-programs
