# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A wheel of the Python package with the library and the program inside, for this platform.  Its other
# libraries (libfuse3, libcurl, ...) are the system's.

wheel_stage()
{
	local stage=$build/wheel
	rm -rf "$stage" "$build/dist"
	mkdir -p "$stage/sluice/bin" "$build/dist"
	cp "$top"/python/*.* "$stage/"
	tar -C "$top/python" --exclude=__pycache__ -cf - sluice | tar -C "$stage" -xf -
	# only this one has the command: without the program it would hide the installed one
	printf '\n[project.scripts]\nsluice = "sluice._program:main"\n' >>"$stage/pyproject.toml"
	install -s "$build/.libs/libsluice.so.0" "$stage/sluice/libsluice.so.0" &&
		install -s "$build/.libs/sluice" "$stage/sluice/bin/sluice" &&
		patchelf --set-rpath "\$ORIGIN/.." "$stage/sluice/bin/sluice" &&
		"$(venv_dir)/bin/pip" -q --no-input wheel --disable-pip-version-check --no-deps \
			-w "$build/dist" "$stage"
}

cmd_wheel()
{
	deps_install wheel
	build_quietly "$build" all
	logged wheel wheel_stage || die "no wheel: ${logs#"$top"/}/wheel.log"
	say "built: $(cd "$top" && echo build/dist/*.whl)"
}
