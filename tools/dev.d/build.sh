# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Building, always outside the source tree, and the environment that makes a build usable in place.

# Warnings are errors with the compiler that the project is developed with; a newer one may have
# new ones, which are no reason to send a newcomer away.
build_werror()
{
	case $(gcc -dumpversion 2>/dev/null) in
	12 | 12.*) echo --enable-werror ;;
	*) echo --disable-werror ;;
	esac
}

# What configure takes when it is there; new since the last time, it has to look again.
build_options()
{
	pkg-config --exists cmocka && echo "with cmocka"
	command -v scdoc >/dev/null && echo "with scdoc"
	return 0
}

build_configure()
{
	local dir=$1 wanted
	shift
	wanted="$* $(build_options)"
	[ -e "$top/Makefile.in" ] || "$top/bootstrap" || return
	mkdir -p "$dir"
	[ -e "$dir/Makefile" ] && [ "$(cat "$dir/.configured" 2>/dev/null)" = "$wanted" ] && return
	(cd "$dir" && "$top/configure" --quiet "$@") || return
	echo "$wanted" >"$dir/.configured"
}

# Man pages of the build where man(1) looks for them.
build_man()
{
	local page
	for page in "$1"/docs/*.[1-8]; do
		[ -e "$page" ] || continue
		mkdir -p "$1/man/man${page##*.}"
		ln -sf "$page" "$1/man/man${page##*.}/"
	done
}

# build_tree DIR TARGET CONFIGURE-ARG...: configures when that is new, makes what is old.
build_tree()
{
	local dir=$1 target=$2
	shift 2
	build_configure "$dir" "$(build_werror)" "$@" &&
		make -C "$dir" --no-print-directory -j"$(nproc)" all &&
		{ [ "$target" = all ] || make -C "$dir" --no-print-directory -j"$(nproc)" "$target"; } &&
		build_man "$dir"
}

build_quietly()
{
	local name
	name=$(basename "$1")
	say "building into $name/; the first time takes a minute or two (log: ${logs#"$top"/}/$name.log)"
	logged "$name" build_tree "$@" && return
	tail -n 40 "$logs/$name.log" >&2
	die "the build failed: ${logs#"$top"/}/$name.log"
}

# Makes the build in DIR behave as installed, for this process and its children.
build_env()
{
	local venv java
	venv=$(venv_dir 2>/dev/null || true)
	java=$(deps_java_home 17)
	export PATH="$1/.libs:${venv:+$venv/bin:}$PATH"
	export LD_LIBRARY_PATH="$1/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
	export PKG_CONFIG_PATH="$1${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
	export MANPATH="$1/man:${MANPATH:-}"
	export SLUICE_SRC=$top SLUICE_BUILD=$1 SLUICE_LIBRARY=$1/.libs/libsluice.so
	export PYTHONPATH="$top/python${PYTHONPATH:+:$PYTHONPATH}"
	[ ! -d "$cache/hadoop-3.4.2" ] || export SLUICE_HADOOP_JARS=$cache/hadoop-3.4.2
	[ ! -d "$cache/hadoop-httpfs-3.4.2" ] || export SLUICE_HTTPFS_JARS=$cache/hadoop-httpfs-3.4.2
	[ ! -d "$cache/knox-2.0.0" ] || export SLUICE_KNOX_JARS=$cache/knox-2.0.0
	[ ! -d "$cache/livy-0.7.1" ] || export SLUICE_LIVY_JARS=$cache/livy-0.7.1
	[ ! -d "$cache/hadoop-azure-3.4.2" ] || export SLUICE_HADOOP_AZURE_JARS=$cache/hadoop-azure-3.4.2
	[ ! -e "$cache/$DEPS_AZURITE_MAIN" ] || export SLUICE_AZURITE=$cache/$DEPS_AZURITE_MAIN
	[ ! -x "$1/tests/blobd/blobd" ] || export SLUICE_BLOBD=$1/tests/blobd/blobd
	[ ! -x "$cache/$DEPS_TOXIPROXY" ] || export SLUICE_TOXIPROXY=$cache/$DEPS_TOXIPROXY
	[ ! -x "$cache/$DEPS_CARGO_BIN/pjdfstest" ] || export SLUICE_PJDFSTEST=$cache/$DEPS_CARGO_BIN/pjdfstest
	[ ! -x "$cache/$DEPS_CARGO_BIN/fsx" ] || export SLUICE_FSX=$cache/$DEPS_CARGO_BIN/fsx
	[ -z "$java" ] || export JAVA_HOME=$java
}
