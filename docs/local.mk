# Man pages: docs/NAME.SECTION.scd, made by scdoc; a release tarball has them made.  Add a page's
# name to MAN1 (commands), MAN5 (files) or MAN7 (notions).
MAN1 = docs/sluice.1
MAN5 =
MAN7 = docs/sluice-uri.7
MAN_PAGES = $(MAN1) $(MAN5) $(MAN7)

if HAVE_MAN
dist_man_MANS = $(MAN_PAGES)
endif
EXTRA_DIST += $(MAN_PAGES:=.scd)
MAINTAINERCLEANFILES = $(MAN_PAGES)

SUFFIXES = .scd
.scd:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SCDOC) <$< >$@.tmp && mv $@.tmp $@
