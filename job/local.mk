libjob_la_SOURCES +=
