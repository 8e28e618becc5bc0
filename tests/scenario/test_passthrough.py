# SPDX-License-Identifier: Apache-2.0
"""Who opens the files of a mount, and files that the kernel reads from the disk cache by itself."""

import json
import mmap
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import BAD_INPUT, NOT_SUPPORTED, needs_fuse, needs_root, read_tree, until, worker_of

pytestmark = [needs_fuse, pytest.mark.tsan]

# Bits of INIT that an older kernel does not offer: passthrough, the second word of flags, asking again, shared
# maps of direct files, no OPEN, no OPENDIR, READDIRPLUS, parallel look-ups, asynchronous reads, all.
MASKS = ["2000000000", "40000000", "8000000000", "1000000000", "20000", "1000000", "2000", "40000", "1", "f" * 16]


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": os.urandom(i * 5000) for i in range(12)})
    ws.put("in/big", os.urandom((3 << 20) + 77))
    ws.env |= {"XDG_CACHE_HOME": str(ws.cwd / "caches"), "SLUICE_DEBUG": "mount"}
    ws.log = ws.cwd / "log"
    return ws


def mounted(ws, *options, **kw):
    return ws.mounted(ws.ref("in"), None, "--cache", "--log", ws.log, *options, **kw)


def passed(ws):
    return ws.log.read_text().count("'big' is passed through")


def can_pass(log):
    return "files are not passed through" not in log.read_text()


def warm(ws):
    """Whole in the cache, and checked: what was just written is checked when it is first wanted."""
    ws.run("cache", "warm", ws.ref("in"))
    with mounted(ws, "--open-mode=passthrough") as m:
        if not can_pass(ws.log):
            pytest.skip("this kernel passes no files through")

        def once():
            with open(m / "big", "rb") as f:
                f.read(1)
            return passed(ws)

        until("'big' passed through", once)


@needs_root
@pytest.mark.only_on("blob", "hns", "hdfs")
def test_a_whole_file_outlives_the_process_that_serves_the_mount(files):
    """It is read without us, so nothing of it waits for the next worker; that one opens it in the same way."""
    want = files.placed["in/big"]
    warm(files)
    with mounted(files, "--open-mode=passthrough") as m, open(m / "big", "rb") as f:
        assert f.read() == want
        before, worker = passed(files), worker_of(m)
        os.kill(worker, signal.SIGKILL)
        f.seek(0)
        assert f.read() == want
        shared = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
        assert shared[:] == want
        shared.close()
        until("the next worker", lambda: worker_of(m) not in (None, worker))
        with open(m / "big", "rb") as again:  # the same backing file: another would be EIO
            assert again.read() == want
        assert passed(files) == before
        assert read_tree(m) == files.below("in")


@pytest.mark.only_on("blob")
def test_the_mode_fits_the_dataset(files):
    files.put_all({f"small/{i:03}": b"x" * 100 for i in range(40)})
    for name, mode in (("in", "passed through"), ("small", "opened by the kernel")):
        log = files.cwd / f"log-{name}"
        with files.mounted(files.ref(name), None, "--cache", "--log", log) as m:
            assert len(read_tree(m)) == len(files.below(name))
        if can_pass(log):
            assert f"files are {mode}" in log.read_text()


@pytest.mark.parametrize("mode", ["auto", "none", "passthrough", "direct"])
def test_every_mode_shows_the_same(files, mode):
    with mounted(files, f"--open-mode={mode}") as m:
        assert read_tree(m) == files.below("in")
        assert read_tree(m) == files.below("in")


@pytest.mark.only_on("local")
@pytest.mark.parametrize("mask", MASKS)
def test_no_bit_of_a_newer_kernel_is_needed(files, mask):
    for mode in ("passthrough", "direct"):
        with mounted(files, f"--open-mode={mode}", env={"SLUICE_FUSE_MASK": mask}) as m:
            assert read_tree(m) == files.below("in")


@pytest.mark.only_on("local")
def test_another_mode_is_refused(files):
    err = files.run("mount", "--open-mode=often", files.ref("in"), files.cwd / "mnt", code=BAD_INPUT).err
    assert "open_mode" in err and "often" in err and "passthrough" in err


RINGS = Path("/sys/module/fuse/parameters/enable_uring")
ON = ["--no-supervisor", "--set=io_uring=on"]


def refused_ring(files):
    """What a mount with a supervisor says, which can never have io_uring."""
    (files.cwd / "mnt").mkdir(exist_ok=True)
    return files.run("mount", "--set=io_uring=on", files.ref("in"), files.cwd / "mnt", code=NOT_SUPPORTED).err


@pytest.mark.only_on("local")
def test_io_uring_that_cannot_be_is_an_error(files):
    """It is not left out silently, and the message has the remedy."""
    err = refused_ring(files)
    assert "cannot use io_uring" in err
    assert "add --no-supervisor" in err or "built with a libfuse before 3.18" in err
    with mounted(files, "--set=io_uring=auto") as m:  # where it can be, and here it cannot
        assert read_tree(m) == files.below("in")


@needs_root
@pytest.mark.only_on("blob")
def test_a_mount_over_io_uring(files):
    """Many readers at once in every mode; the end of the mount ends the rings."""
    if not RINGS.exists() or RINGS.read_text().strip() != "Y":
        pytest.skip(f"the host does not allow FUSE over io_uring (echo 1 > {RINGS})")
    if "built with a libfuse before" in refused_ring(files):
        pytest.skip("built with a libfuse before 3.18 (tools/dev libfuse)")
    want = files.below("in")
    warm(files)
    for mode in ("none", "passthrough", "direct"):
        before = passed(files)
        with mounted(files, *ON, f"--open-mode={mode}") as m:
            with ThreadPoolExecutor(16) as pool:
                assert all(pool.map(lambda _, m=m: read_tree(m) == want, range(32)))
            assert json.loads(files.run("stats", m, "--json").out)[0]["mount"]["io_uring"] is True
            assert (passed(files) > before) == (mode == "passthrough")
