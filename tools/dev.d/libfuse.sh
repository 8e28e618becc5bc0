# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A libfuse with io_uring (3.18 and later) for systems that have an older one: the source of a later
# release of Debian, checked by its archive key, built into the cache folder.

libfuse_suite=sid
libfuse_dir=$cache/libfuse

# Its own lists and state: the system's sources stay as they are.
libfuse_apt()
{
	local state=$libfuse_dir/apt
	mkdir -p "$state/lists" "$state/cache"
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"http://deb.debian.org/debian $libfuse_suite main" >"$state/sources.list"
	apt-get -q -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" \
		-o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root "$@"
}

libfuse_fetch()
{
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
		die "this is no Debian; install libfuse 3.18 or later with io_uring by your own means"
	libfuse_apt update && (cd "$libfuse_dir" && libfuse_apt source --download-only fuse3) || return
	mkdir -p "$libfuse_dir/source"
	tar -C "$libfuse_dir/source" --strip-components=1 -xf "$libfuse_dir"/fuse3_*.orig.tar.*z
}

libfuse_build()
{
	rm -rf "$libfuse_dir"
	mkdir -p "$libfuse_dir"
	libfuse_fetch || return
	meson setup "$libfuse_dir/build" "$libfuse_dir/source" --prefix="$libfuse_dir/usr" --libdir=lib \
		--buildtype=release -Dexamples=false -Dutils=false -Dtests=false -Duseroot=false \
		-Denable-io-uring=true &&
		grep -q '#define HAVE_URING' "$libfuse_dir/build/fuse_config.h" &&
		ninja -C "$libfuse_dir/build" install
}

cmd_libfuse()
{
	local dir=$top/build-uring
	deps_install libfuse
	[ -e "$libfuse_dir/usr/lib/pkgconfig/fuse3.pc" ] || {
		say "building libfuse of Debian $libfuse_suite in $libfuse_dir"
		libfuse_build >"$cache/libfuse.log" 2>&1 </dev/null || {
			rm -rf "$libfuse_dir"
			tail -n 20 "$cache/libfuse.log" >&2
			die "libfuse could not be built (all it said: $cache/libfuse.log)"
		}
	}
	PKG_CONFIG_PATH=$libfuse_dir/usr/lib/pkgconfig LDFLAGS=-Wl,-rpath,$libfuse_dir/usr/lib \
		build_quietly "$dir" bench-programs
	say "built: build-uring/.libs/sluice, with libfuse" \
		"$(PKG_CONFIG_PATH=$libfuse_dir/usr/lib/pkgconfig pkg-config --modversion fuse3)"
	[ "$(cat /sys/module/fuse/parameters/enable_uring 2>/dev/null)" = Y ] ||
		say "this host does not allow io_uring: echo 1 >/sys/module/fuse/parameters/enable_uring"
}
