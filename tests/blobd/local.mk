# The blob test server: a program of the tests, never installed.
EXTRA_PROGRAMS += tests/blobd/blobd
tests_blobd_blobd_SOURCES = tests/blobd/main.c tests/blobd/blobd.h tests/blobd/http.c \
	tests/blobd/names.c tests/blobd/read.c tests/blobd/write.c tests/blobd/copy.c \
	tests/blobd/list.c tests/blobd/auth.c tests/blobd/fault.c tests/blobd/dfs.c
tests_blobd_blobd_LDADD = libcommon.la $(CURL_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS)

blobd: tests/blobd/blobd
.PHONY: blobd
