#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The main job from end to end in a fresh workspace: `tools/dev demo`.  Needs `sluice` on PATH, a Python
# with pyspark ($SLUICE_DEMO_PYTHON, else python3) and a Java runtime.  Leaves nothing behind.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
python=${SLUICE_DEMO_PYTHON:-$(command -v python3)}
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-demo-XXXXXX")
mnt=$work/mnt
began=$SECONDS

clean()
{
	if [ -d "$mnt" ]; then
		sluice unmount "$mnt" >/dev/null 2>&1 || true
	fi
	rm -rf "$work"
}
trap clean EXIT

bold='' blue='' plain=''
if [ -t 1 ]; then
	bold=$'\033[1m' blue=$'\033[36m' plain=$'\033[0m'
fi

# What comes, in words.
about()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# A command as a person would type it, then what it does, line by line as it comes.
show()
{
	printf '  %s$ %s%s\n' "$blue" "$*" "$plain"
	"$@" | sed -u 's/^/    /'
}

fuse_usable()
{
	[ -r /dev/fuse ] && [ -w /dev/fuse ]
}

cd "$work"
about "A workspace: one config.json with an embedded local datastore. No account, no server."
show sluice init . --name demo
if [ -n "$python" ]; then
	# The computes say which Python runs the steps.
	"$python" - "$python" <<'PY'
import json, sys
with open("config.json") as f:
    config = json.load(f)
config["computes"] = {
    "local": {"type": "local", "python": sys.argv[1]},
    "spark": {"type": "spark", "master": "local[*]", "python": sys.argv[1]},
}
with open("config.json", "w") as f:
    json.dump(config, f, indent=2)
PY
fi

about "The passengers go into the datastore, and get a name: version 1 of 'titanic'."
show sluice cp "$here/Titanic.csv" workspaceblobstore:raw/Titanic.csv
show sluice data create --name titanic --path workspaceblobstore:raw/Titanic.csv

about "The pipeline: a Spark step reads titanic by its URI and appends CSV to its output by URI; a Python step" \
	"trains on a download of that. The output becomes a version because the step completed."
show sluice job create --file "$here/pipeline.yml" --stream

about "What was registered: the version, the exact files that the step wrote, and where they came from."
show sluice data show registered_dataset@1
show sluice data manifest registered_dataset@1
show sluice data lineage registered_dataset@1

if fuse_usable; then
	about "The same training, reading that version through a FUSE mount; its log."
	show sluice job create --file "$here/train-mount.yml" --name demo_mount --stream
	show cat "$work/.sluice/root/runs/demo_mount/user_logs/std_log.txt"
fi

about "A step that fails (exit 3) after it wrote its output: nothing is registered, record and exit status say so."
cat >fail.yml <<'YML'
type: command
command: echo half > ${{outputs.result}}/data.csv; exit 3
outputs:
  result: {type: uri_folder, name: never_registered}
YML
status=0
show sluice job create --file fail.yml --name demo_fails --stream || status=$?
echo "    exit status $status"
if sluice data show never_registered >/dev/null 2>&1; then
	echo "demo: a failed step was registered" >&2
	exit 1
fi

if fuse_usable; then
	about "A short tour: titanic as a folder. The bytes are those of the source."
	mkdir "$mnt"
	show sluice mount titanic@1 "$mnt"
	show ls -l "$mnt"
	show sha256sum "$here/Titanic.csv" "$mnt/Titanic.csv"
	cmp "$here/Titanic.csv" "$mnt/Titanic.csv"
	show sluice unmount "$mnt"
else
	about "/dev/fuse cannot be used here, so the tour through a mount is left out; a download instead."
	show sluice download titanic@1 "$work/staged"
	cmp "$here/Titanic.csv" "$work/staged/Titanic.csv"
fi

about "All runs."
show sluice job list
printf '\nDone in %d s.\n' $((SECONDS - began))
