# SPDX-License-Identifier: Apache-2.0
"""What a mount fetches for what programs read, counted by the server; and the memory that it does it in."""

import contextlib
import mmap
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import RUNG, asks_once, needs_fuse, needs_root, server_of, until

pytestmark = [needs_fuse, pytest.mark.only_on("hns"), pytest.mark.tsan]

KIB, MIB = 1 << 10, 1 << 20
GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def big(ws):
    ws.put("in/big", random.Random(1).randbytes(48 * MIB + 12345))
    return ws


@contextlib.contextmanager
def counted(ws):
    """A mount, the open file, and what the server sent for it: a list that is full at the end."""
    sent = []
    with asks_once(ws).mounted(ws.ref("in")) as m, ws.store.server.failing() as server:
        fd = os.open(m / "big", os.O_RDONLY)
        try:
            yield fd, sent
        finally:
            os.close(fd)
        sent += [int(x["bytes"]) for x in server.log() if x["op"] == "get"]
        # Names, sizes and times are the manifest's: nothing else was asked.
        assert {x["op"] for x in server.log()} <= {"get"}


def check(ws, fd, off, n):
    want = ws.placed["in/big"][off : off + n]
    assert os.pread(fd, n, off) == want
    return len(want)


def test_a_file_is_fetched_once(big):
    size = len(big.placed["in/big"])
    with counted(big) as (fd, sent):
        for off in range(0, size, MIB):
            check(big, fd, off, MIB)
    assert size <= sum(sent) <= 1.05 * size
    # In requests of a mebibyte, but for the first few.
    assert len(sent) < 48 + 16


@pytest.mark.parametrize("size, times", [(4 * KIB, 16), (64 * KIB, 2)])
def test_random_reads_fetch_little(big, size, times):
    rnd, asked = random.Random(size), 0
    places = rnd.sample(range(48 * MIB // size), 150)
    with counted(big) as (fd, sent):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for place in places:
            asked += check(big, fd, place * size, size)
    assert sum(sent) <= times * asked
    assert len(sent) <= 2 * len(places)


def test_strides_are_seen(big):
    asked = 0
    with counted(big) as (fd, sent):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for k in range(40):
            asked += check(big, fd, k * MIB, 64 * KIB)
    assert sum(sent) <= 2 * asked


def test_a_footer_is_one_request(big):
    size = len(big.placed["in/big"])
    with counted(big) as (fd, sent):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        check(big, fd, size - 8, 8)
        check(big, fd, size - 20000, 20000 - 8)
    assert sent == [64 * KIB]


def test_touches_of_a_map_fetch_what_the_kernel_asks(big):
    """It asks for half a mebibyte around each."""
    want = big.placed["in/big"]
    with counted(big) as (fd, sent), mmap.mmap(fd, 0, prot=mmap.PROT_READ) as shared:
        for place in random.Random(7).sample(range(48 * MIB // 4096), 20):
            assert shared[place * 4096] == want[place * 4096]
    assert sum(sent) <= 20 * (512 + 128) * KIB


def stats(ws, point):
    (got,) = ws.run("stats", point, "--json").json
    return got["stats"]


@needs_root
@pytest.mark.skipif(RUNG != "scenario", reason="a sanitizer needs more memory than the limit")
def test_many_readers_in_little_memory(big, tmp_path):
    """A control group is what the memory follows by itself; its limit is kept, and what is idle is given back."""
    if not (GROUPS / "memory.limit_in_bytes").exists():
        pytest.skip("needs control groups of version 1")
    group = GROUPS / f"sluice-test-{os.getpid()}"
    group.mkdir()
    point = tmp_path / "mnt"
    point.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(96 * MIB))
        big.run("mount", big.ref("in"), point, preexec=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        try:
            assert server_of(point)
            size = len(big.placed["in/big"])
            part = size // 64
            fds = [os.open(point / "big", os.O_RDONLY) for _ in range(64)]
            with ThreadPoolExecutor(64) as readers:
                for off in range(0, part, 128 * KIB):
                    list(readers.map(lambda i, n=off: check(big, fds[i], i * part + n, 128 * KIB), range(64)))
            for fd in fds:
                os.close(fd)
            budget = stats(big, point)["budget"]
            assert budget["limit"] == 12 * MIB
            assert 0 < budget["peak"] <= budget["limit"]
            until("idle memory given back", lambda: not stats(big, point)["budget"]["used"])
        finally:
            big.run("unmount", point)
        assert "oom_kill 0" in (group / "memory.oom_control").read_text()
    finally:
        until("an empty group", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
