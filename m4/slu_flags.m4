dnl SPDX-License-Identifier: Apache-2.0
dnl
dnl SLU_TRY_CFLAGS(VARIABLE, FLAGS...): adds to VARIABLE each of the blank-separated FLAGS that the
dnl compiler takes, with the user's CFLAGS, without a warning.  CFLAGS itself is left as it was.
AC_DEFUN([SLU_TRY_CFLAGS], [
	AC_LANG_ASSERT([C])
	slu_try_saved=$CFLAGS
	for slu_try in $2; do
		AC_MSG_CHECKING([whether $CC takes $slu_try])
		CFLAGS="$slu_try_saved $slu_try -Werror"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
			#include <string.h>
			int main(int argc, char **argv) { return argc + (int)strlen(argv[0]); }]])],
			[AC_MSG_RESULT([yes]); AS_VAR_APPEND([$1], [" $slu_try"])],
			[AC_MSG_RESULT([no])])
	done
	CFLAGS=$slu_try_saved
])

dnl SLU_TRY_LDFLAGS(VARIABLE, FLAGS...): the same for the linker.
AC_DEFUN([SLU_TRY_LDFLAGS], [
	AC_LANG_ASSERT([C])
	slu_try_saved=$LDFLAGS
	for slu_try in $2; do
		AC_MSG_CHECKING([whether the linker takes $slu_try])
		LDFLAGS="$slu_try_saved $slu_try"
		AC_LINK_IFELSE([AC_LANG_PROGRAM],
			[AC_MSG_RESULT([yes]); AS_VAR_APPEND([$1], [" $slu_try"])],
			[AC_MSG_RESULT([no])])
	done
	LDFLAGS=$slu_try_saved
])
