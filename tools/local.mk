sluice_SOURCES +=
