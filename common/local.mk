libcommon_la_SOURCES += common/buf.h \
	common/cleanup.h \
	common/err.h \
	common/fault.h \
	common/hash.h \
	common/json.h \
	common/log.h \
	common/mem.h \
	common/path.h \
	common/str.h \
	common/time.h \
	common/vec.h \
	common/xml.h \
	common/yaml.h
