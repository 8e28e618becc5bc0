libio_la_SOURCES += \
	io/backoff.c io/backoff.h \
	io/bounce.c \
	io/cert.h \
	io/cause.c \
	io/core.h \
	io/crc.c io/crc.h \
	io/crypt.c io/crypt.h io/crypt_cert.c io/crypt_cipher.c io/cipher.h \
	io/dial.c io/dial.h \
	io/easy.c \
	io/engine.c \
	io/exchange.h \
	io/gss.c io/gss.h \
	io/http.c io/http.h \
	io/loop.c io/loop.h \
	io/pool.c io/pool.h \
	io/reply.c io/reply.h \
	io/sock.c io/sock.h \
	io/timer.c \
	io/url.c io/url.h io/url_join.h \
	io/watch.c \
	io/xfer.c io/xfer.h
