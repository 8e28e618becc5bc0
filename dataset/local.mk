libdataset_la_SOURCES +=
