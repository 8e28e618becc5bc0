# SPDX-License-Identifier: Apache-2.0
"""Writable mounts before the judges of file systems: pjdfstest (what each call does) and fsx (random operations on one
file, compared with memory).  posix_expected.txt has what pjdfstest may find, and why."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from conftest import local_only, needs_fuse, needs_root, until
from test_mount_write import kill_worker

DEEP = bool(os.environ.get("SLUICE_DEEP"))
LINE = re.compile(r"^(\S+::\S+) +(ok|FAILED|skipped)$", re.M)
# The rest of its features are not Linux, or not FUSE.
FEATURES = "utimensat = {}\nutime_now = {}\nrename_ctime = {}\n" if DEEP else ""
PJD = f"""[features]
{FEATURES}[settings]
naptime = 0.02
allow_remount = false
expected_failures = []
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""
FSX = """flen = %d
[opsize]
max = 131072
[weights]
close_open = 1
read = 10
write = 10
mapread = 5
mapwrite = 5
truncate = 2
fsync = 1
"""


def program(name):
    path = os.environ.get(f"SLUICE_{name.upper()}") or shutil.which(name)
    if not path:
        pytest.skip(f"no {name}: tools/dev builds it where cargo is")
    return path


def expected():
    lines = (Path(__file__).parent / "posix_expected.txt").read_text().splitlines()
    return [n for n in lines if n and not n.startswith("#")]


def mounted(ws, point=None):
    ws.store.mkdir("out")
    stage = ("--set", f"stage_dir={ws.cwd}/stage", "--set", "allow_other=true")
    return ws.mounted(ws.ref("out"), point, "--writable", *stage)


@needs_fuse
@needs_root
@local_only
def test_every_call_does_what_posix_says(ws):
    pjdfstest = program("pjdfstest")
    (ws.cwd / "pjd.toml").write_text(PJD)
    # Names of sockets are short, and other users come to them.
    with tempfile.TemporaryDirectory(prefix="px-") as point, mounted(ws, Path(point) / "m") as m:
        os.chmod(point, 0o755)
        argv = [pjdfstest, "-c", ws.cwd / "pjd.toml", "-p", m]
        done = subprocess.run(argv, cwd=m, capture_output=True, text=True, errors="replace", timeout=250)
    got = {}
    for name, how in LINE.findall(done.stdout):
        got.setdefault(how, []).append(name)
    assert len(got.get("ok", [])) > 300, done.stdout[-3000:] + done.stderr[-3000:]
    wrong = [n for n in got["FAILED"] if not any(fnmatchcase(n, p) for p in expected())]
    assert not wrong, done.stdout
    mended = [p for p in expected() if not any(fnmatchcase(n, p) for n in got["FAILED"])]
    assert not mended, "expected to fail, and does not: take it out of the list"


@needs_fuse
@pytest.mark.parametrize("seed", range(1, 21 if DEEP else 3))
def test_random_operations_on_a_file(ws, seed):
    fsx = program("fsx")
    many = 3000 if DEEP or ws.kind == "local" else 300
    (ws.cwd / "fsx.toml").write_text(FSX % (4 << 20 if many > 300 else 1 << 18))
    with mounted(ws) as m:
        argv = [fsx, "-f", ws.cwd / "fsx.toml", "-N", str(many), "-S", str(seed), "-P", ws.cwd, "-q", "f"]
        running = subprocess.Popen(argv, cwd=m, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if seed % 2 == 0:  # the worker dies under it, though not while it takes a request, which Linux fails then
            until("something is staged", lambda: list((ws.cwd / "stage").rglob("*.data")) or running.poll() is not None)
            running.send_signal(signal.SIGSTOP)
            stat = Path(f"/proc/{running.pid}/stat")
            # a short one may be over by now
            until(
                "it rests", lambda: running.poll() is not None or stat.read_text().rpartition(")")[2].split()[0] == "T"
            )
            kill_worker(m)
            running.send_signal(signal.SIGCONT)
        out = running.communicate(timeout=250)[0]
        assert running.returncode == 0, out
        whole = (m / "f").read_bytes()
        assert ws.store.get("out/f") == whole
