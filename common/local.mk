libcommon_la_SOURCES += \
	common/buf.c common/buf.h \
	common/cleanup.h \
	common/err.c common/err.h \
	common/fault.c common/fault.h \
	common/hash.c common/hash.h \
	common/jprops.c common/jprops.h \
	common/json.c common/json.h \
	common/json_parse.c \
	common/json_text.c common/json_text.h \
	common/log.c common/log.h \
	common/mem.c common/mem.h \
	common/number.c \
	common/path.c common/path.h common/path_impl.h \
	common/path_open.c \
	common/path_tree.c \
	common/redact.c common/redact.h \
	common/str.c common/str.h \
	common/tail.c common/tail.h \
	common/time.c common/time.h \
	common/vec.c common/vec.h \
	common/write.c common/write.h \
	common/xml.c common/xml.h \
	common/yaml.c common/yaml.h common/yaml_impl.h \
	common/yaml_scalar.c \
	common/yaml_text.c \
	common/yaml_where.c
