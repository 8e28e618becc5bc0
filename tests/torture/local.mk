# Torture: tests/torture/NAME.c makes the Nth allocation or I/O call fail, for every N.  Names are
# written with their folder, as in tests/unit.  `tools/dev test torture` builds and runs them; they
# are no part of `make check`.
TORTURE_TESTS =
TORTURE_TESTS += tests/torture/torture-common
TORTURE_TESTS += tests/torture/torture-io
TORTURE_TESTS += tests/torture/torture-registry
TORTURE_TESTS += tests/torture/torture-dataset
TORTURE_TESTS += tests/torture/torture-fs
TORTURE_TESTS += tests/torture/torture-hdfs

if HAVE_CMOCKA
EXTRA_PROGRAMS += $(TORTURE_TESTS)
endif

torture-programs: $(TORTURE_TESTS)

torture: torture-programs
	@bad=; for t in $(TORTURE_TESTS); do \
		echo "# $$t"; $(LOG_COMPILER) 1800 ./$$t || bad=1; \
	done; test -z "$$bad"
