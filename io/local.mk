libio_la_SOURCES += io/backoff.h \
	io/crypt.h \
	io/http.h \
	io/loop.h \
	io/pool.h \
	io/xfer.h
