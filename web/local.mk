libweb_la_SOURCES += web/answer.c web/answer.h
libweb_la_SOURCES += web/request.c web/request.h
libweb_la_SOURCES += web/web.c web/web.h
libweb_la_SOURCES += web/whole.c
