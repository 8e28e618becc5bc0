# SPDX-License-Identifier: Apache-2.0
"""The life of a mount among others: what is at its place, who is stopped, what is full, and who asks at which moment."""

import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import is_mount, local_only, needs_fuse, needs_root, read_tree, server_of, until, worker_of

pytestmark = needs_fuse

MNT_DETACH = 2


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": os.urandom(i * 1000) for i in range(9)})
    ws.put("in/big", os.urandom(3 << 20))
    return ws


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def processes(point):
    return [p for p in (server_of(point), worker_of(point)) if p]


@contextlib.contextmanager
def stopped(*pids):
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    try:
        yield
    finally:
        for p in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGCONT)


def mounts_at(point):
    return [x for x in Path("/proc/self/mountinfo").read_text().splitlines() if x.split(" ")[4] == str(point)]


def take_away(point):
    assert ctypes.CDLL(None).umount2(str(point).encode(), MNT_DETACH) == 0


# --- the place ---


@local_only
@needs_root
@pytest.mark.parametrize("how", [[], ["--no-supervisor"]], ids=["supervised", "alone"])
def test_one_that_was_stopped_leaves_the_next_mount_alone(files, how):
    """The numbers of devices are used again, so the next mount at its place looks like its own."""
    with files.mounted(files.ref("in"), None, *how) as m:
        old = processes(m)
        with stopped(*old):
            take_away(m)
            files.run("mount", files.ref("in/0"), m)
        until("the end of the first", lambda: all(gone(p) for p in old))
        assert is_mount(m)
        assert read_tree(m) == files.below("in/0")


@local_only
def test_of_two_at_the_same_place_and_time_one_is_refused(files):
    point = files.cwd / "mnt"
    point.mkdir()
    for _ in range(4):
        tries = [files.start("mount", files.ref("in"), point, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        said = [p.communicate(timeout=60)[1] for p in tries]
        assert sorted(p.returncode == 0 for p in tries) == [False, False, False, True], said
        assert all("already shows" in s for s, p in zip(said, tries) if p.returncode), said
        assert len(mounts_at(point)) == 1
        assert read_tree(point) == files.below("in")
        files.run("unmount", point)


@local_only
def test_a_mount_whose_folder_was_renamed_goes_away(files):
    upper = files.cwd / "upper"
    upper.mkdir()
    with files.mounted(files.ref("in"), upper / "mnt") as m:
        pids = processes(m)
        upper.rename(files.cwd / "renamed")
        moved = files.cwd / "renamed" / "mnt"
        assert read_tree(moved) == files.below("in")
        os.kill(pids[0], signal.SIGTERM)
        until("its end", lambda: all(gone(p) for p in pids))
        assert not is_mount(moved) and not is_mount(m)
        moved.rmdir()
