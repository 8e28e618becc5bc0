# SPDX-License-Identifier: Apache-2.0
"""Mounts with --live: what the store has now, believed for a stated time; an open file keeps its state."""

import errno
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import BAD_INPUT, PATIENCE, local_only, needs_fuse, read_tree, server_of, until, worker_of

pytestmark = [needs_fuse, pytest.mark.tsan]


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": b"%d" % i * 1000 for i in range(12)})
    ws.put("in/big", os.urandom(3 << 20))
    return ws


def live(files, *more, **kw):
    return files.mounted(files.ref("in"), None, "--live", *more, **kw)


def test_the_mount_shows_the_same_tree_and_bytes(files):
    with live(files) as m:
        assert read_tree(m) == files.below("in")
        a, b = (m / "big").stat(), (m / "1/001").stat()
        assert a.st_mode == 0o100444 and a.st_size == 3 << 20
        assert b.st_mtime_ns == files.store.mtime_ns("in/1/001")
        assert (m / "1").stat().st_mode == 0o040555
        assert not (m / "nope").exists() and not (m / "big/nope").exists()


def test_new_changed_and_deleted_files_show_after_the_lifetime(files):
    with live(files, "--attr-timeout", "10ms") as m:
        assert len(list((m / "0").iterdir())) == 4
        assert not (m / "new").exists()
        inode = (m / "1/001").stat().st_ino
        files.put("in/new", "new")
        files.put("in/deep/er/x", "deep")
        files.put("in/1/001", "another state")
        files.remove("in/2/002")
        until("a new file", (m / "new").exists)
        until("a new folder", (m / "deep/er/x").exists)
        until("the deleted one is gone", lambda: not (m / "2/002").exists())
        until("the new length", lambda: (m / "1/001").stat().st_size == 13)
        assert (m / "1/001").read_text() == "another state"
        assert (m / "1/001").stat().st_ino == inode
        assert read_tree(m) == files.below("in")


def test_an_open_file_keeps_its_state_and_the_next_opener_gets_the_new_one(files):
    """Promise 1, per open file: never two states in one, and no error for who opens anew."""
    old = files.placed["in/big"]
    with live(files) as m:
        with open(m / "big", "rb", buffering=0) as f:
            assert f.read(4096) == old[:4096]
            files.put("in/big", b"N" * (2 << 20))
            assert os.fstat(f.fileno()).st_size == 3 << 20

            def is_stale():
                """HDFS is asked once a second, and keeps for some seconds the blocks of what was replaced."""
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                try:
                    assert os.pread(f.fileno(), 1 << 20, 2 << 20) == old[2 << 20 :]
                except OSError as e:
                    assert e.errno == errno.ESTALE
                    return True
                return False

            until("the old state is gone", is_stale)
        assert (m / "big").read_bytes() == b"N" * (2 << 20)


def replace(files, path, data):
    """In one step; a plain write into a local file is no such thing."""
    if files.kind == "local":
        aside = files.cwd / "aside"
        aside.write_bytes(data)
        aside.replace(files.folder / path)
    else:
        files.put(path, data)


def state_of(path):
    """The first byte; nothing while what is believed of the file is that it is another."""
    try:
        return path.read_bytes()[:1]
    except OSError as e:
        assert e.errno == errno.ESTALE
        return None


def test_readers_and_writers_at_once_never_see_a_mix(files):
    """Each content is one byte repeated: any read that is not is a mix."""
    stop = threading.Event()
    bad = []

    def reader():
        while not stop.is_set():
            try:
                data = (m / "mix").read_bytes()
            except OSError as e:
                if e.errno not in (errno.ESTALE, errno.ENOENT):
                    bad.append(e)
                continue
            # HDFS shows a file while it is written, each length a state.
            if len(set(data)) > 1 or (files.kind != "hdfs" and len(data) != 200_000 + data[0]):
                bad.append(data[:10])

    files.put("in/mix", b"a" * (200_000 + ord("a")))
    with live(files, "--attr-timeout", "1ms") as m:
        threads = [threading.Thread(target=reader) for _ in range(3)]
        for t in threads:
            t.start()
        for c in b"bcdefgh":
            replace(files, "in/mix", bytes([c]) * (200_000 + c))
        stop.set()
        for t in threads:
            t.join()
        assert bad == []
        until("the last state", lambda: state_of(m / "mix") == b"h")


@pytest.mark.only_on("local", "hns")
def test_a_folder_of_more_than_a_page(ws):
    n = 5_100
    names = [f"f{i:05}" for i in range(n)]
    ws.put_all({f"in/many/{x}": b"" for x in names})
    with live(ws) as m:
        assert sorted(os.listdir(m / "many")) == names
        fd = os.open(m / "many", os.O_RDONLY)
        assert len(os.listdir(fd)) == n
        assert len(os.listdir(fd)) == n
        os.close(fd)
        assert sum(e.stat().st_size == 0 for e in os.scandir(m / "many")) == n


def test_a_worker_that_dies_is_not_seen(files):
    """Node numbers are of path and state, and what is open is written down for the next worker."""
    big = files.placed["in/big"]
    with live(files) as m, open(m / "big", "rb", buffering=0) as f, open(m / "1/001", "rb") as closed:
        assert f.read(4096) == big[:4096]
        closed.close()
        folder = os.open(m / "2", os.O_RDONLY)
        for _ in range(2):
            os.kill(until("a worker", lambda: worker_of(m)), signal.SIGKILL)
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(f.fileno(), len(big), 0) == big
            assert sorted(os.listdir(folder)) == ["002", "005", "008", "011"]
            assert read_tree(m) == files.below("in")
        os.close(folder)


@pytest.mark.only_on("local", "blob")
def test_a_program_stays_in_its_folder_when_a_worker_dies(files):
    """It has nothing open there: the next worker was told which folders the kernel knows."""
    with live(files) as m:
        inside = [
            subprocess.Popen(
                ["sh", "-c", "read go; exec cat 001"], cwd=m / "1", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(2)
        ]
        for p in inside:  # the second one outlives two workers
            worker = worker_of(m)
            os.kill(worker, signal.SIGKILL)
            until("the next worker", lambda w=worker: worker_of(m) not in (None, w))
            assert p.communicate(b"go\n", timeout=PATIENCE)[0] == files.placed["in/1/001"]


def test_a_hanging_store_is_answered_by_the_deadline(files):
    env = {"SLUICE_FAULT": "stat:#3:hang,list:1:hang"}
    with live(files, "--io-timeout", "500ms", env=env) as m:
        with pytest.raises(OSError) as e:
            os.listdir(m)
        assert e.value.errno in (errno.EIO, errno.ETIMEDOUT)


def test_a_program_that_waits_can_be_killed_and_the_mount_ends(files):
    env = {"SLUICE_FAULT": "list:1:hang"}
    log = files.cwd / "log"
    with live(files, "--io-timeout", "10m", "--log", log, env=env) as m:
        waiting = [subprocess.Popen(["ls", m], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)]
        for p in waiting[:2]:
            until("it waits", lambda p=p: waits(p.pid))
            p.kill()
            p.wait(timeout=PATIENCE)
        assert (m / "1/001").read_bytes() == files.placed["in/1/001"]
        files.run("unmount", "--timeout", "200ms", m)
        server = server_of(m)
        waiting[2].kill()
        waiting[2].wait(timeout=PATIENCE)
    until("the end of the server", lambda: not server or not Path(f"/proc/{server}").exists())
    assert "give back" not in log.read_text() and "status" not in log.read_text()


def waits(pid):
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state in "SD" and Path(f"/proc/{pid}/comm").read_text().strip() == "ls"


def test_a_slow_and_flaky_store_is_still_right(files):
    env = {"SLUICE_FAULT": "seed=3,any:0.1:EIO,any:0.2:delay=5ms"}
    with live(files, env=env) as m:
        assert read_tree(m) == files.below("in")


@pytest.mark.only_on("blob")
def test_of_a_file_and_a_folder_the_folder_wins(ws):
    ws.put("in/a", "file")
    ws.put("in/a/b", "in the folder")
    log = ws.cwd / "log"
    with live(ws, "--log", log) as m:
        assert os.listdir(m) == ["a"]
        assert (m / "a/b").read_text() == "in the folder"
        until("a line about it", lambda: "folder is shown" in log.read_text())


@pytest.mark.only_on("blob", "hns")
@pytest.mark.parametrize("options", [["--live"], []])
def test_names_that_no_kernel_takes_are_left_out_and_logged(ws, options):
    deep = "in/" + "/".join(["d" * 180] * 4) + "/f"
    ws.put_all({"in/ok": b"1", "in/" + "n" * 300: b"2", "in/" + "m" * 256 + "/in": b"3", deep: b"4"})
    log = ws.cwd / "log"
    with ws.mounted(ws.ref("in"), None, *options, "--log", log) as m:
        assert sorted(os.listdir(m)) == ["d" * 180, "ok"]
        assert (m / deep[3:]).read_bytes() == b"4"
        until(
            "a line about them", lambda: "leaves out 2" in log.read_text() or "2 names are left out" in log.read_text()
        )


def test_only_a_folder_can_be_live(files):
    point = files.cwd / "mnt"
    files.register("d", "in")
    for ref in [files.ref("in/*"), files.ref("in/big"), "d@1"]:
        err = files.run("mount", "--live", ref, point, code=BAD_INPUT).err
        assert "live" in err and "Traceback" not in err
    files.run("mount", "--live", files.ref("no/such"), point, code=3)


@local_only
def test_names_that_cannot_be_shown_are_left_out(ws):
    (ws.folder / "in").mkdir()
    (ws.folder / "in/link").symlink_to("/etc")
    (ws.folder / "in/inside").symlink_to("real")
    (ws.folder / "in/real").write_text("x")
    (ws.folder / "in/.sluice-part-1").write_text("x")
    os.mkfifo(ws.folder / "in/fifo")
    with live(ws) as m:
        assert sorted(os.listdir(m)) == ["inside", "real"]
        assert (m / "inside").read_text() == "x"
        assert not Path(m / ".sluice-part-1").exists()
        with pytest.raises(OSError):
            os.listdir(m / "link")


def test_a_folder_is_listed_once(files):
    """A flat container tells one with a marker twice: as that, and as what its files share."""
    files.run("mkdir", files.ref("in/d"), files.ref("in/d-1"), files.ref("in/d/e"), files.ref("in/empty"))
    files.put("in/d/e/f", b"x")
    files.put("in/d-1/f", b"x")
    with live(files) as m:
        for _ in range(2):
            assert sorted(os.listdir(m)) == ["0", "1", "2", "big", "d", "d-1", "empty"]
            assert os.listdir(m / "d") == ["e"]
            assert sorted(e.name for e in os.scandir(m) if e.is_dir()) == ["0", "1", "2", "d", "d-1", "empty"]


@pytest.mark.only_on("local", "blob")
def test_a_listing_that_was_interrupted_goes_on(files):
    """The page that the interrupted one asked for serves the next: neither EBUSY nor another request, for ever."""
    names, interrupted, end = None, 0, time.monotonic() + PATIENCE
    with live(files, env={"SLUICE_FAULT": "list:1:delay=500ms"}) as m:
        fd = os.open(m, os.O_RDONLY)
        before = signal.signal(signal.SIGALRM, lambda *_: None)
        try:
            while names is None:
                assert time.monotonic() < end, f"interrupted {interrupted} times"
                # Ever later: a slow machine may need as long for a look at what is there already.
                signal.setitimer(signal.ITIMER_REAL, 0.02 + interrupted / 1000, 0.02 + interrupted / 1000)
                try:
                    names = sorted(os.listdir(fd))
                except InterruptedError:
                    interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            os.close(fd)
    assert names == ["0", "1", "2", "big"]
    assert interrupted
