# SPDX-License-Identifier: Apache-2.0
"""Writable mounts: what no store keeps, what is not committed, and how that is told."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import BAD_INPUT, ended, local_only, needs_fuse, read_tree, server_of, until, worker_of
from test_mount_write import BIG, fails, kill_worker, staged, writable

pytestmark = [needs_fuse, pytest.mark.tsan]


def test_what_a_program_sets_stays_while_it_is_mounted(ws):
    ws.put("out/old", "old")
    with writable(ws) as m:
        (m / "d").mkdir(mode=0o711)
        f = os.open(m / "d/f", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(f, b"#!/bin/sh\necho ran\n")
        os.utime(f, (5, 7))
        os.close(f)
        os.chmod(m / "d/f", 0o755)
        os.chmod(m / "old", 0o400)
        os.utime(m / "old", ns=(1, 2_000_000_003))
        os.rename(m / "old", m / "d/moved")

        def check(name="d"):
            assert (m / name).stat().st_mode & 0o7777 == 0o711
            assert (m / name / "f").stat().st_mode & 0o7777 == 0o755 and (
                m / name / "f"
            ).stat().st_mtime_ns == 7 * 10**9
            st = (m / name / "moved").stat()
            assert (st.st_mode & 0o7777, st.st_atime_ns, st.st_mtime_ns) == (0o400, 1, 2_000_000_003)

        check()
        assert subprocess.run([m / "d/f"], capture_output=True, check=True).stdout == b"ran\n"
        until("nothing is staged any more", lambda: not staged(ws))
        check()
        kill_worker(m)
        check()
        if ws.kind != "blob" or ws.store.server.more:
            os.rename(m / "d", m / "e")
            check("e")
            os.rename(m / "e", m / "d")
        before = (m / "d").stat().st_mtime_ns
        with open(m / "d/f", "a") as g:
            g.write("# more\n")
        until("the time is that of the new bytes", lambda: (m / "d/f").stat().st_mtime_ns > 8 * 10**9)
        assert (m / "d/f").stat().st_mode & 0o7777 == 0o755 and (m / "d").stat().st_mtime_ns == before
        os.remove(m / "d/f")
        assert (m / "d").stat().st_mtime_ns > before
        (m / "d/f").touch(0o644)
        assert (m / "d/f").stat().st_mode & 0o7777 == 0o644


def test_links_and_pipes_are_of_this_machine(ws):
    ws.put("out/d/f", "file")
    with writable(ws) as m:
        os.symlink("d/f", m / "link")
        os.symlink("nowhere", m / "d/dangling")
        os.mkfifo(m / "pipe", 0o600)
        os.mknod(m / "plain", 0o100644)
        assert ws.store.get("out/plain") == b""
        with fails(errno.EEXIST):
            os.symlink("x", m / "link")

        def check(link="link"):
            assert os.readlink(m / link) == "d/f" and (m / link).read_text() == "file"
            assert os.readlink(m / "d/dangling") == "nowhere" and not (m / "d/dangling").exists()
            kinds = {e.name: (e.is_symlink(), e.is_dir()) for e in os.scandir(m)}
            assert kinds[link] == (True, False) and kinds["d"] == (False, True)
            assert link == "plain" or kinds["plain"] == (False, False)
            assert subprocess.run(["find", m, "-type", "p"], capture_output=True, text=True).stdout == f"{m}/pipe\n"

        check()
        kill_worker(m)
        check()
        os.rename(m / "link", m / "plain")
        check("plain")
        assert not ws.exists("out/plain")
        with fails(errno.ENOTEMPTY):
            (m / "d").rmdir()
        assert ws.below("out") == {"d/f": b"file"}
        (m / "plain").write_text("through the link")
        assert ws.store.get("out/d/f") == b"through the link"
        ws.put("out/d/f", "file")
    assert ws.below("out") == {"d/f": b"file"}
    with writable(ws) as m:
        check("plain")
        for name in ("plain", "d/dangling", "pipe"):
            os.remove(m / name)
        assert [e.name for e in os.scandir(m)] == ["d"]
    until("nothing is left", lambda: not [p for p in (ws.cwd / "stage").rglob("*") if p.is_file()])


@local_only
def test_a_write_that_could_not_even_be_staged_is_a_failed_one(ws):
    ws.put("out/f", "old")
    with writable(ws) as m:
        f = open(m / "f", "r+b", buffering=0)
        session = next(p for p in (ws.cwd / "stage").glob("*/*") if p.parent.name != "kept")
        session.rmdir()
        with fails(errno.EIO):
            f.write(b"new")
        with fails(errno.EIO):
            os.fsync(f.fileno())
        with fails(errno.EIO):
            f.close()
    assert ws.store.get("out/f") == b"old"


WRITER = """
import os, signal, sys
f = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(f, b"half of it")
if sys.argv[2] == "synced":
    os.fsync(f)
if sys.argv[2] == "child":
    if os.fork():
        os.wait()
        os.write(f, b", and the rest")
        os.close(f)
        sys.exit()
os.kill(os.getpid(), int(sys.argv[3]))
"""


def test_what_a_killed_program_wrote_is_not_committed(ws):
    ws.put("out/old", "old")

    def write(name, how="", sig=signal.SIGKILL):
        subprocess.run([sys.executable, "-c", WRITER, m / name, how, str(int(sig))], check=False)

    with writable(ws) as m:
        write("old")
        write("new", sig=signal.SIGTERM)
        until("nothing is staged any more", lambda: not staged(ws))
        assert ws.below("out") == {"old": b"old"}
        assert read_tree(m) == {"old": b"old"} and os.listdir(m) == ["old"]
        kept = {p.name.split("-")[0]: p.read_bytes() for p in (ws.cwd / "stage/kept").iterdir()}
        assert kept == {"old": b"half of it", "new": b"half of it"}
        # What fsync(2) acknowledged is kept as promised, and who opened a file and closes it has the last word.
        write("old", "synced")
        assert ws.store.get("out/old") == b"half of it"
        write("new", "child")
        assert ws.store.get("out/new") == b"half of it, and the rest"
        with open(m / "new", "wb") as f:  # the last close decides
            f.write(b"abc")
            f.flush()
            write("new")
            assert ws.store.get("out/new") == b"half of it, and the rest"
        until("nothing is staged any more", lambda: not staged(ws))
        assert ws.store.get("out/new") == b"half of it"


@local_only
def test_fsync_after_a_copy_was_closed(ws):
    """The close of a copy commits; what fsync says after that has to hold without power, too."""
    with writable(ws) as m:
        f = os.open(m / "f", os.O_WRONLY | os.O_CREAT)
        os.write(f, b"one")
        os.close(os.dup(f))
        assert ws.store.get("out/f") == b"one"

        def flags():
            return next((ws.cwd / "stage").rglob("*.rec")).read_text().split()[7]

        assert "s" not in flags()
        os.fsync(f)
        assert "s" in flags() and "d" in flags()  # synced, to be committed
        os.close(f)
        until("nothing is staged any more", lambda: not staged(ws))
        assert ws.store.get("out/f") == b"one"


@local_only
@pytest.mark.parametrize("told, delay", [("worker", 4), ("supervisor", 14)])
def test_a_worker_that_ends_has_the_time_to_commit(ws, told, delay):
    """It says nothing meanwhile, and its supervisor does not take it for one that is stuck."""
    log = ws.cwd / "log"
    with writable(ws, "--log", log, env={"SLUICE_FAULT": f"put:1:delay={delay}s"}) as m:
        supervisor, worker = server_of(m), worker_of(m)
        f = open(m / "f", "wb", buffering=0)
        f.write(b"bytes")
        # programs have a moment to leave, which this one does not
        os.kill({"worker": worker, "supervisor": supervisor}[told], signal.SIGTERM)
        until("their end", lambda: ended(supervisor) and ended(worker))
        assert ws.store.get("out/f") == b"bytes"
        with contextlib.suppress(OSError):
            f.close()
    assert "stuck" not in log.read_text()


@pytest.mark.only_on("hdfs")
def test_a_name_that_the_store_refuses_is_refused_at_once(ws):
    with writable(ws) as m:
        with fails(errno.EINVAL):
            os.open(m / "a:b", os.O_CREAT | os.O_WRONLY)
        assert os.listdir(m) == []


@local_only
def test_a_mount_for_writing_wants_a_folder(ws):
    ws.put("one/f", "1")
    ws.run("data", "create", "--name", "some", "--path", ws.ref("one"))
    (ws.cwd / "mnt").mkdir()
    err = ws.run("mount", "--writable", "some@1", ws.cwd / "mnt", code=BAD_INPUT).err
    assert "--writable" in err and "--live" not in err


def doctor(ws):
    """Its findings on files that were written: check -> what it says."""
    env = {**ws.env, "SLUICE_STAGE_DIR": f"{ws.cwd}/stage"}
    done = subprocess.run(["sluice", "doctor", "-o", "json"], cwd=ws.cwd, env=env, capture_output=True, check=False)
    return {c["check"]: c["detail"] for c in json.loads(done.stdout) if "files" in c["check"] and not c["ok"]}


def numbers(ws, point):
    """Of a mount, which is asked again when it was too slow to answer."""

    def ask():
        (one,) = ws.run("stats", "-o", "json", point).json
        return one if "stats" in one else None

    return until("an answer", ask)


@local_only
def test_what_is_not_in_the_store_is_told(ws):
    (ws.cwd / "big").write_bytes(BIG)
    with writable(ws) as m:
        with subprocess.Popen(f"cat {ws.cwd}/big - > good", shell=True, cwd=m, stdin=subprocess.PIPE) as cat:
            until("some of it is sent", lambda: numbers(ws, m)["stats"]["counters"]["streamed"] > 0)
            cat.stdin.close()
            assert cat.wait() == 0
        until("it is committed", lambda: ws.exists("out/good"))
        f = os.open(m / "f", os.O_CREAT | os.O_WRONLY)
        os.write(f, b"synced")
        os.fsync(f)
        subprocess.run([sys.executable, "-c", WRITER, m / "g", "", "9"], check=False)
        until("the killed one is set aside", lambda: numbers(ws, m)["stats"]["counters"]["set_aside"])
        until("the whole one is let go", lambda: numbers(ws, m)["stage"]["bytes"] == len(b"synced"))
        assert list((ws.cwd / "stage/kept").iterdir())
        got = ws.run("stats", m).out
        assert " 0 failed, 1 set aside" in got and "of them 1 not in the store" in got
        assert numbers(ws, m)["stats"]["counters"]["written"] == len(BIG) + len(b"synced") + len(b"half of it")
        out, aside = ws.folder / "out", ws.folder / "aside"
        out.rename(aside)
        out.touch()
        with pytest.raises(OSError):
            os.close(f)
        err = ws.run("unmount", m).err
        out.unlink()
        aside.rename(out)
    assert "1 written files are not in the store, with 6 bytes: 'f'; they are staged in" in err
    assert f"1 files is not in the store, and lies in '{ws.cwd}/stage/kept'" in err
    assert "'f'" in doctor(ws)["written files"] and f"{ws.cwd}/stage/kept" in doctor(ws)["kept files"]
    with writable(ws) as m:
        until("it is committed", lambda: ws.exists("out/f"))
        assert "written files" not in doctor(ws)
