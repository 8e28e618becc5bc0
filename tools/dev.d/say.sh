# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Talking to the developer: all of it on stderr, so that output of what is run stays clean.

say()
{
	printf 'dev: %s\n' "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# logged NAME COMMAND...: runs COMMAND with its output in build/logs/NAME.log.
logged()
{
	local name=$1
	shift
	mkdir -p "$logs"
	"$@" >"$logs/$name.log" 2>&1 </dev/null
}
