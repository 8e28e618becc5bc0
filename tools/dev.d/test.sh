# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The rungs of the test ladder.  Each runs to its end whatever came before; what it printed is in
# build/logs/RUNG.log, and its counts are read from there.  The last line is the sum over all.

TEST_RUNGS="lint unit scenario asan tsan torture"

passed=0
failed=0
skipped=0

# --- counting: each reader prints "passed failed skipped" ------------------------------------------

count_tap()
{
	awk '/^ok .*# *[Ss][Kk][Ii][Pp]/ { s++; next } /^ok / { p++ } /^not ok / { f++ }
		END { print p + 0, f + 0, s + 0 }' "$1"
}

count_automake()
{
	find "$1" -name '*.trs' -newer "$1/.check" -exec cat {} + | awk '
		/^:test-result: (PASS|XFAIL)/ { p++ } /^:test-result: (FAIL|XPASS|ERROR)/ { f++ }
		/^:test-result: SKIP/ { s++ } END { print p + 0, f + 0, s + 0 }'
}

count_pytest()
{
	awk '/^=.* in [0-9.]+s/ { line = $0 }
		END {
			n = split(line, w, /[ ,=]+/)
			for (i = 2; i <= n; i++) {
				if (w[i] ~ /^passed/) p += w[i - 1]
				else if (w[i] ~ /^(failed|errors?|xpassed)$/) f += w[i - 1]
				else if (w[i] ~ /^(skipped|xfailed)$/) s += w[i - 1]
			}
			print p + 0, f + 0, s + 0
		}' "$1"
}

# --- pieces of rungs --------------------------------------------------------------------------------

# Adds the counts of one piece to those of the rung ($counts); a piece that broke counts as a failure.
counts=
add_counts()
{
	local status=$1 p=$2 f=$3 s=$4
	[ "$status" -eq 0 ] || [ "$f" -gt 0 ] || f=1
	local old_p old_f old_s
	read -r old_p old_f old_s <<<"$counts"
	counts="$((old_p + p)) $((old_f + f)) $((old_s + s))"
}

# The rung's build; without it there is nothing to run.
piece_build()
{
	local dir=$1
	build_tree "$@" && return
	echo "not ok - the build of $dir"
	add_counts 1 0 1 0
	return 1
}

# piece_unit DIR [MAKE-ARG...]
piece_unit()
{
	local dir=$1 status=0
	shift
	touch "$dir/.check"
	make -C "$dir" --no-print-directory -j"$(nproc)" check "$@" || status=$?
	# shellcheck disable=SC2046
	add_counts $status $(count_automake "$dir")
}

# piece_scenario DIR [PYTEST-ARG...]: exit code 5 of pytest says that no test was selected.
piece_scenario()
{
	local dir=$1 status=0 out=$1/pytest.log
	shift
	compgen -G "$top/tests/scenario/test_*.py" >/dev/null || return 0
	(
		build_env "$dir"
		cd "$top" || exit
		python -m pytest -p no:cacheprovider -ra --color=no --timeout=600 \
			-n "$(nproc)" --dist loadgroup "$@" tests/scenario
	) 2>&1 | tee "$out" || status=$?
	[ $status -ne 5 ] || status=0
	# shellcheck disable=SC2046
	add_counts $status $(count_pytest "$out")
}

# What is left of a process that a test killed in the middle of its leak check: remarks that a thread or
# the checking process was gone, and no finding.
report_is_of_a_killed_one()
{
	! grep -qvE "^==[0-9]+==(Unable to get registers from thread [0-9]+\.|\
LeakSanitizer has encountered a fatal error\.|HINT: .*)\$" "$1"
}

# piece_reports DIR: what a sanitizer wrote about any process, also one that nobody waited for.  Were there
# many without a leak check, then leaks cannot be looked for on this machine.
piece_reports()
{
	local report n=0 killed=0 what
	for report in "$1"/reports/*; do
		[ -s "$report" ] || continue
		if [ $killed -lt 20 ] && report_is_of_a_killed_one "$report"; then
			killed=$((killed + 1))
			continue
		fi
		n=$((n + 1))
		echo "--- ${report#"$top"/}"
		cat "$report"
		what=$(grep -m1 -E '^SUMMARY: |runtime error: ' "$report" || head -n 1 "$report")
	done
	[ $n -eq 0 ] || {
		echo "not ok - $n sanitizer reports, the last: $what"
		add_counts 1 0 1 0
	}
}

# Sanitizers write into files, because a mount or a supervisor has no stderr that anyone reads.
sanitizer_env()
{
	local dir=$1 common
	rm -rf "$dir/reports"
	mkdir -p "$dir/reports"
	common="log_path=$dir/reports/report:exitcode=99:handle_abort=1"
	export SLUICE_RUNG=$2
	export ASAN_OPTIONS="$common:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
	export UBSAN_OPTIONS="$common:print_stacktrace=1"
	export LSAN_OPTIONS="print_suppressions=0:suppressions=$top/tests/lsan.supp"
	export TSAN_OPTIONS="$common:die_after_fork=0:second_deadlock_stack=1:suppressions=$top/tests/tsan.supp"
}

ASAN_CONFIGURE=(--enable-debug "--with-sanitizer=address,undefined")

# --- the rungs --------------------------------------------------------------------------------------

rung_lint()
{
	local status=0
	piece_build "$build" all || return 0
	(
		build_env "$build"
		exec "$top/tests/lint/run"
	) | tee "$build/lint.tap" || status=$?
	# shellcheck disable=SC2046
	add_counts $status $(count_tap "$build/lint.tap")
}

rung_unit()
{
	piece_build "$build" all || return 0
	piece_unit "$build"
}

rung_scenario()
{
	piece_build "$build" blobd || return 0
	piece_scenario "$build"
}

rung_asan()
{
	local dir=$top/build-asan
	piece_build "$dir" blobd "${ASAN_CONFIGURE[@]}" || return 0
	sanitizer_env "$dir" asan
	piece_unit "$dir"
	piece_scenario "$dir"
	piece_reports "$dir"
}

# The unit programs of the layers with threads: those that include io/ or fs/ and nothing above.
tsan_programs()
{
	local source
	cd "$top" || return
	grep -l '^#include "\(io\|fs\)/' tests/unit/test-*.c | while read -r source; do
		grep -q '^#include "\(dataset\|job\)/' "$source" && continue
		grep -qw -- "${source%.c}" tests/unit/local.mk && printf '%s ' "${source%.c}"
	done
}

# The sanitizer of gcc 12 knows only some address space layouts: none is randomised here, where the
# machine allows that.
rung_tsan()
{
	local dir=$top/build-tsan
	piece_build "$dir" blobd --enable-debug --with-sanitizer=thread || return 0
	sanitizer_env "$dir" tsan
	piece_unit "$dir" TESTS="$(tsan_programs)"
	piece_scenario "$dir" -m tsan
	piece_reports "$dir"
}

# Under the address sanitizer: what torture finds is mostly leaks on the way out.
rung_torture()
{
	local dir=$top/build-asan status=0
	piece_build "$dir" torture-programs "${ASAN_CONFIGURE[@]}" || return 0
	sanitizer_env "$dir" torture
	make -C "$dir" --no-print-directory torture 2>&1 | tee "$dir/torture.tap" || status=$?
	# shellcheck disable=SC2046
	add_counts $status $(count_tap "$dir/torture.tap")
	piece_reports "$dir"
}

# --- running them -----------------------------------------------------------------------------------

# Minutes after which a rung is stuck rather than slow.
rung_minutes()
{
	case $1 in
	lint | unit) echo 30 ;;
	scenario | asan) echo 120 ;;
	*) echo 60 ;;
	esac
}

# In a process of its own (test_rung): so that environment and time limit end with it.
rung_main()
{
	counts="0 0 0"
	"rung_$1"
	[ "$counts" != "0 0 0" ] || {
		echo "not ok - nothing ran"
		counts="0 1 0"
	}
	echo "$counts" >"$logs/$1.counts"
}

# run_limited RUNG COMMAND...: in a process group of its own, which SIGINT ends, so that tests take
# their mounts away, when the time is over, and when this script is interrupted.
run_limited()
{
	local rung=$1 pid
	shift
	set -m
	timeout --signal=INT --kill-after=60 "$(rung_minutes "$rung")m" "$@" \
		>"$logs/$rung.log" 2>&1 </dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064
	trap "kill -INT $pid 2>/dev/null; wait $pid; say interrupted; exit 130" INT TERM HUP
	wait "$pid" || true
	trap - INT TERM HUP
}

test_rung()
{
	local rung=$1 start=$SECONDS p=0 f=1 s=0 prefix=()
	rm -f "$logs/$rung.counts"
	# in a process of its own, which ends where something cannot be had: what wants that is skipped
	(deps_install "$rung") || say "not all of what '$rung' wants is here"
	[ "$rung" != tsan ] || ! setarch "$(uname -m)" -R true 2>/dev/null ||
		prefix=(setarch "$(uname -m)" -R)
	run_limited "$rung" "${prefix[@]}" "$top/tools/dev" run-rung "$rung"
	[ ! -s "$logs/$rung.counts" ] || read -r p f s <"$logs/$rung.counts"
	printf '%-9s %5d passed, %d failed, %d skipped  %4d s  build/logs/%s.log\n' \
		"$rung" "$p" "$f" "$s" $((SECONDS - start)) "$rung"
	[ "$f" -eq 0 ] || test_show_failures "$logs/$rung.log"
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
}

test_show_failures()
{
	grep -aE '^(not ok|FAIL|ERROR|FAILED)|: (error|warning):|^SUMMARY: ' "$1" | sort -u | head -n 40 |
		sed 's/^/    /'
	echo "    ... the end of the log:"
	tail -n 15 "$1" | sed 's/^/    /'
}

cmd_test()
{
	local rung rungs=("$@")
	[ $# -gt 0 ] || read -r -a rungs <<<"$TEST_RUNGS"
	for rung in "${rungs[@]}"; do
		case " $TEST_RUNGS " in
		*" $rung "*) ;;
		*) die "there is no rung '$rung'; there are: $TEST_RUNGS" ;;
		esac
	done
	mkdir -p "$logs"
	for rung in "${rungs[@]}"; do
		test_rung "$rung"
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
}
