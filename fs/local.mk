libfs_la_SOURCES +=
