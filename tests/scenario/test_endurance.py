# SPDX-License-Identifier: Apache-2.0
"""Foreign checkers and crowds: fio's own verification through a mount, 64 readers within the memory promise, mount
points that are named oddly."""

import os
import shutil
import subprocess
import threading

import pytest
from conftest import PATIENCE, RUNG, STORES, needs_fuse, server_of, until, worker_of

pytestmark = [needs_fuse]
MIB = 1 << 20
DEEP = bool(os.environ.get("SLUICE_DEEP"))
SIZE = (64 if DEEP else 4) * MIB
fio = shutil.which("fio")

WAYS = {
    "random": ["--rw=randread", "--bs=4k"],
    "direct": ["--rw=randread", "--bsrange=4k-256k", "--numjobs=4", "--direct=1"],
    "deep": ["--rw=read", "--bs=1m", "--ioengine=libaio", "--iodepth=16", "--direct=1"],
    "mapped": ["--rw=randread", "--bs=16k", "--ioengine=mmap"],
}


def run_fio(cwd, path, *more):
    argv = [fio, "--name=v", f"--filename={path}", f"--size={SIZE}", "--verify=crc32c", "--verify_interval=4096"]
    return subprocess.run([*argv, *more], cwd=cwd, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)


@pytest.mark.skipif(not fio, reason="fio is not installed")
@pytest.mark.only_on(*STORES if DEEP else ("local", "hns"))
def test_fio_verifies_what_it_reads(ws):
    """The pattern is written where fio can, put into the store, and read through the mount."""
    made = ws.cwd / "made"
    done = run_fio(ws.cwd, made, "--rw=write", "--bs=64k", "--do_verify=0", "--ioengine=psync")
    assert done.returncode == 0, done.stdout
    good = made.read_bytes()
    ws.put_all({"v/good": good, "v/bad": good[: 3 * MIB] + b"x" + good[3 * MIB + 1 :]})
    with ws.mounted(ws.ref("v")) as m:
        for way, more in WAYS.items():
            done = run_fio(ws.cwd, m / "good", "--readonly", "--verify_fatal=1", *more)
            assert done.returncode == 0, f"{way}: {done.stdout}"
        done = run_fio(ws.cwd, m / "bad", "--readonly", "--verify_fatal=1", "--rw=read", "--bs=64k")
        assert done.returncode != 0


@pytest.mark.skipif(RUNG != "scenario", reason="sanitizers need memory of their own")
@pytest.mark.only_on("hns")
def test_sixty_four_readers_at_once_within_the_memory_promise(ws):
    """Each its own file, from front to back; the answers are slow, so that all windows are open at once."""
    data = os.urandom(MIB) * 6
    ws.put_all({f"in/{i:02}": data for i in range(64)})
    wrong = []

    def read(path):
        with open(path, "rb", buffering=0) as f:
            got = bytearray()
            while chunk := f.read(MIB):
                got += chunk
        if got != data:
            wrong.append(path)

    with ws.store.server.failing(f"get {ws.store.name}/* * delay 20"):
        with ws.mounted(ws.ref("in")) as m:
            threads = [threading.Thread(target=read, args=(m / f"{i:02}",)) for i in range(64)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            peak = 0
            for pid in (server_of(m), worker_of(m)):
                status = open(f"/proc/{pid}/status").read()
                peak += next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) >> 10
    assert not wrong
    assert peak <= 256, f"{peak} MiB"


NAMES = [
    "with space",
    "-dash",
    "new\nline",
    "üñí",
    "a\\040b",
    "x" * 255,
    "comma,opt=1",
    "'quoted\"",
    "tab\there",
    "%41",
]


@pytest.mark.local_only
@pytest.mark.parametrize("name", NAMES)
def test_a_mount_point_may_have_any_name(ws, name):
    ws.put("in/f", b"here")
    point = ws.cwd / name
    point.mkdir()
    ws.run("mount", ws.ref("in"), "--", point)
    try:
        assert (point / "f").read_bytes() == b"here"
        assert os.path.ismount(point)
    finally:
        ws.run("unmount", "--", point)
    assert not os.path.ismount(point)
    until("its server is gone", lambda: not server_of(point))


@pytest.mark.local_only
def test_a_mount_point_may_be_behind_a_link_or_relative(ws):
    ws.put("in/f", b"here")
    real = ws.cwd / "real"
    real.mkdir()
    (ws.cwd / "link").symlink_to(real)
    for way in ("link", "./real/", "real/../link"):
        ws.run("mount", ws.ref("in"), way)
        assert (real / "f").read_bytes() == b"here"
        ws.run("unmount", way)
        assert not os.path.ismount(real)
