# SPDX-License-Identifier: Apache-2.0
"""Who opens the files of a mount, and files that the kernel reads from the disk cache by itself."""

import mmap
import os
import signal

import pytest
from conftest import BAD_INPUT, needs_fuse, needs_root, read_tree, until, worker_of

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
