# SPDX-License-Identifier: Apache-2.0
"""Mounts with --writable: what is written is in the store when close(2) says so, and nothing half of it before."""

import contextlib
import errno
import mmap
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, ended, local_only, needs_fuse, read_tree, server_of, traced, until, worker_of

pytestmark = [needs_fuse, pytest.mark.tsan]

DEEP = bool(os.environ.get("SLUICE_DEEP"))
BIG = os.urandom(1 << 20) * 9 + b"end"


@contextlib.contextmanager
def writable(ws, *more, **kw):
    ws.store.mkdir("out") if not ws.store.exists("out") else None
    # What is staged belongs to a mount until its processes have ended, which unmount waits for.
    ws.env["SLUICE_UNMOUNT_TIMEOUT"] = f"{PATIENCE}s"
    with ws.mounted(ws.ref("out"), None, "--writable", "--set", f"stage_dir={ws.cwd}/stage", *more, **kw) as m:
        yield m


@contextlib.contextmanager
def fails(code):
    with pytest.raises(OSError) as e:
        yield
    assert e.value.errno == code


def staged(ws):
    """The files that are on local disk."""
    return [Path(d, f) for d, _, files in os.walk(ws.cwd / "stage") for f in files if f.endswith(".data")]


def test_a_folder_that_is_not_there_is_made(ws):
    with ws.mounted(ws.ref("new/out"), None, "--writable", "--set", f"stage_dir={ws.cwd}/stage") as m:
        assert list(m.iterdir()) == []
        (m / "d").mkdir()
        (m / "d/f").write_text("1")
    assert ws.get("new/out/d/f") == b"1"


def test_a_file_is_in_the_store_when_it_is_closed(ws):
    with writable(ws) as m:
        assert m.stat().st_mode & 0o200
        f = open(m / "big", "wb", buffering=0)
        for at in range(0, len(BIG), 100_000):
            f.write(BIG[at : at + 100_000])
        assert (m / "big").stat().st_size == len(BIG)
        assert (m / "big").read_bytes() == BIG
        assert [p.name for p in m.iterdir()] == ["big"]
        assert not ws.exists("out/big")
        f.close()
        assert ws.store.get("out/big") == BIG
        assert (m / "big").read_bytes() == BIG
        (m / "small").write_text("s")
        (m / "empty").touch()
        assert ws.store.get("out/small") == b"s" and ws.store.get("out/empty") == b""
        (m / "small").write_text("another")
        assert (m / "small").read_text() == "another" and ws.store.get("out/small") == b"another"
        until("nothing is staged any more", lambda: not staged(ws))
        assert sorted(p.name for p in m.iterdir()) == ["big", "empty", "small"]
    until("no record is left", lambda: not list((ws.cwd / "stage").rglob("*.rec")))


def test_old_content_stays_until_the_new_is_whole(ws):
    ws.put("out/f", "0123456789" * 1000)
    old = b"0123456789" * 1000
    with writable(ws) as m:
        f = os.open(m / "f", os.O_RDWR)
        os.pwrite(f, b"NEW", 5000)
        new = old[:5000] + b"NEW" + old[5003:]
        assert (m / "f").read_bytes() == new and os.pread(f, 100, 4990) == new[4990:5090]
        os.ftruncate(f, 6000)
        assert ws.store.get("out/f") == old
        os.close(f)
        assert ws.store.get("out/f") == new[:6000]
        with open(m / "f", "ab") as g:
            g.write(b"appended")
        assert ws.store.get("out/f") == new[:6000] + b"appended"
        os.truncate(m / "f", 3)  # nobody closes it
        assert ws.store.get("out/f") == b"012"
        with open(m / "f", "r+b") as g:
            g.truncate(1 << 16)
            with mmap.mmap(g.fileno(), 0) as at:
                at[40_000:40_006] = b"mapped"
        got = (m / "f").read_bytes()
        assert got == ws.store.get("out/f") == b"012" + bytes(39_997) + b"mapped" + bytes((1 << 16) - 40_006)
        f = os.open(m / "f", os.O_WRONLY | os.O_TRUNC)
        assert (m / "f").stat().st_size == 0 and len(ws.store.get("out/f")) == 1 << 16
        os.write(f, b"x")
        os.close(f)
        assert ws.store.get("out/f") == b"x"


def test_what_is_told_right_after_a_close(ws):
    """The kernel tells of the last close at some later time: names, lengths and stages have to agree at any moment."""
    with writable(ws) as m:
        for i in range(60 if ws.kind == "local" else 8):
            f = os.open(m / "f", os.O_RDWR | os.O_CREAT)
            os.close(os.open(m / "f", os.O_WRONLY | os.O_TRUNC))
            os.ftruncate(f, 1000 + i)
            os.close(f)
            assert (m / "f").stat().st_size == 1000 + i
            os.truncate(m / "f", 2000)
            os.truncate(m / "f", 10)
            os.truncate(m / "f", 30 + i)
            assert (m / "f").stat().st_size == 30 + i == len((m / "f").read_bytes())
            os.rename(m / "f", m / "g")
            assert not (m / "f").exists() and (m / "g").stat().st_size == 30 + i
            if i % 2:
                os.remove(m / "g")
                assert not (m / "g").exists()


def test_a_write_into_what_was_sent_already(ws):
    """Blocks are sent while it is written; the last word counts."""
    with writable(ws) as m:
        with open(m / "f", "wb", buffering=0) as f:
            f.write(BIG)
            os.pwrite(f.fileno(), b"HEAD", 0)
            f.write(b"tail")
        assert ws.store.get("out/f") == b"HEAD" + BIG[4:] + b"tail"


def test_names(ws):
    with writable(ws) as m:
        (m / "d").mkdir()
        with fails(errno.EEXIST):
            (m / "d").mkdir()
        (m / "d/a").write_text("a")
        (m / "d/b").write_text("b")
        with fails(errno.ENOTEMPTY):
            (m / "d").rmdir()
        os.rename(m / "d/a", m / "c")
        os.rename(m / "d/b", m / "c")
        assert (m / "c").read_text() == "b" and not (m / "d/a").exists()
        assert read_tree(m) == {"c": b"b"} and ws.store.get("out/c") == b"b"
        (m / "d").rmdir()
        assert not (m / "d").exists()
        (m / "x/y").mkdir(parents=True)
        (m / "x/y/f").write_text("f")
        if ws.kind == "blob" and not ws.store.server.more:  # it would be a copy of each file
            with fails(errno.EXDEV):
                os.rename(m / "x", m / "z")
        else:
            open_one = open(m / "x/y/open", "w")
            os.rename(m / "x", m / "z")
            open_one.write("still")
            open_one.close()
            assert read_tree(m) == {"c": b"b", "z/y/f": b"f", "z/y/open": b"still"}
            assert ws.store.get("out/z/y/open") == b"still" and not ws.exists("out/x")
        os.remove(m / "c")
        assert not ws.exists("out/c")
        (m / "c").write_text("c")
        with fails(errno.EPERM):
            os.link(m / "c", m / "link")


def test_an_open_file_outlives_its_name(ws):
    ws.put("out/read", "bytes that are read")
    ws.put("out/over", "written over")
    with writable(ws) as m:
        r, o = open(m / "read", "rb", buffering=0), open(m / "over", "rb", buffering=0)
        w = open(m / "never", "wb", buffering=0)
        w.write(b"one")
        for name in ("read", "never"):
            os.remove(m / name)
            assert not (m / name).exists() and not ws.exists(f"out/{name}")
        (m / "new").write_text("new")
        os.rename(m / "new", m / "over")
        w.write(b"two")
        assert r.read() == b"bytes that are read" and o.read() == b"written over"
        assert os.fstat(w.fileno()).st_size == 6
        (m / "read").write_text("another file")
        for f in (r, o, w):
            f.close()
        assert read_tree(m) == ws.below("out") | {"read": b"another file", "over": b"new"}
        assert ws.store.get("out/over") == b"new" and not ws.exists("out/never")


@local_only
def test_the_mode_of_what_was_removed_is_not_that_of_its_name(ws):
    with writable(ws) as m:
        with open(m / "a", "wb", buffering=0) as removed:
            removed.write(b"x")
            os.remove(m / "a")
            (m / "a").write_text("another file")
            before = stat.S_IMODE((m / "a").stat().st_mode)
            os.fchmod(removed.fileno(), 0o600)
            os.utime(m / "a", (1, 1))  # its answer says the mode, too
            assert stat.S_IMODE((m / "a").stat().st_mode) == before != 0o600


def test_a_file_that_is_renamed_while_it_is_written(ws):
    with writable(ws) as m:
        f = open(m / "log", "wb", buffering=0)
        f.write(b"one ")
        os.rename(m / "log", m / "log.1")
        f.write(b"two")
        assert (m / "log.1").read_bytes() == b"one two" and not (m / "log").exists()
        (m / "log").write_text("new")
        f.close()
        assert ws.store.get("out/log.1") == b"one two" and ws.store.get("out/log") == b"new"


def test_the_first_of_two_writers_wins(ws):
    ws.put("out/f", "as it was")
    with writable(ws) as m:
        f = open(m / "f", "r+b", buffering=0)
        f.write(b"AS")
        new = open(m / "new", "wb", buffering=0)
        new.write(b"ours")
        ws.put("out/f", "somebody else was faster")
        ws.put("out/new", "theirs")
        for file in (f, new):
            with fails(errno.ESTALE):
                os.close(os.dup(file.fileno()))
            # Sticky: nothing that is done to it now makes it a success.
            with fails(errno.ESTALE):
                file.write(b"more")
            with fails(errno.ESTALE):
                os.fsync(file.fileno())
            with fails(errno.ESTALE):
                file.close()
        assert ws.store.get("out/f") == b"somebody else was faster" and ws.store.get("out/new") == b"theirs"
        until("it is seen", lambda: (m / "f").read_bytes() == b"somebody else was faster")
        (m / "f").write_text("again")
        assert ws.store.get("out/f") == b"again"


def test_no_room_is_told_and_stays_told(ws):
    with writable(ws, "--set", "stage_size=1MiB") as m:
        f = open(m / "f", "wb", buffering=0)
        f.write(bytes(1 << 20))
        with fails(errno.ENOSPC):
            f.write(b"x")
        with fails(errno.ENOSPC):
            os.fsync(f.fileno())
        with fails(errno.ENOSPC):
            f.close()
        assert not ws.exists("out/f")
        until("it is gone", lambda: not (m / "f").exists())
        (m / "f").write_bytes(b"y" * 1000)
        assert ws.store.get("out/f") == b"y" * 1000


def test_a_failed_first_write_leaves_nothing(ws):
    """As with `dd of=f`, which closes the descriptor that it opened before it writes to a copy."""
    with writable(ws, "--set", "stage_size=1MiB") as m:
        f = os.open(m / "f", os.O_WRONLY | os.O_CREAT)
        copy = os.dup(f)
        os.close(f)
        assert ws.store.get("out/f") == b""
        os.write(copy, bytes(1 << 20))
        with fails(errno.ENOSPC):
            os.write(copy, b"x")
        with fails(errno.ENOSPC):
            os.close(copy)
        assert not ws.exists("out/f")
        until("there is room", lambda: not staged(ws))  # the mount hears of a last close when that is over
        (m / "f").write_bytes(b"there")
        f = os.open(m / "f", os.O_WRONLY | os.O_TRUNC)
        with fails(errno.ENOSPC):
            os.pwrite(f, b"x", 2 << 20)
        with fails(errno.ENOSPC):
            os.close(f)
        assert ws.store.get("out/f") == b"there" == (m / "f").read_bytes()


def test_a_killed_program_leaves_no_empty_file(ws):
    with writable(ws) as m:
        script = (
            f"import os, signal; f = os.open({str(m / 'f')!r}, os.O_WRONLY | os.O_CREAT); copy = os.dup(f); os.close(f);"
            "os.write(copy, b'part'); os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
        until("it is gone", lambda: not ws.exists("out/f"))


# It closes the file and is killed in the middle of writing to a mapping of it.
MAPPED = """
import ctypes, os, signal, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(f, b"whole")
mmap = ctypes.CDLL(None).mmap  # that of Python keeps a copy of the descriptor
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
m = mmap(None, 5, 3, 1, f, 0)
os.close(f)
ctypes.memmove(m, b"half", 4)
os.kill(os.getpid(), signal.SIGKILL)
"""


@local_only
def test_what_a_killed_program_had_mapped_is_not_committed(ws):
    with writable(ws) as m:
        done = subprocess.run([sys.executable, "-c", MAPPED, m / "f"])
        assert done.returncode == -signal.SIGKILL
        until("nothing is staged any more", lambda: not staged(ws))
        assert ws.store.get("out/f") == b"whole"


def test_who_opens_a_failed_file_begins_anew(ws):
    """However late the last close of the others is told: they have their error, and nobody else has."""
    ws.put("out/old", b"old")
    with writable(ws, "--set", "stage_size=1MiB") as m:
        for name, was in (("new", None), ("old", b"old")):
            f = os.open(m / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            copy = os.dup(f)
            with fails(errno.ENOSPC):
                os.pwrite(f, b"x", 2 << 20)
            with fails(errno.ENOSPC):
                os.close(f)
            if was:
                assert (m / name).read_bytes() == was
            (m / name).write_bytes(b"second try")
            with fails(errno.ENOSPC):
                os.write(copy, b"x")
            with fails(errno.ENOSPC):
                os.close(copy)
            assert ws.store.get(f"out/{name}") == b"second try" == (m / name).read_bytes()


def test_only_the_openers_close_commits(ws):
    """A shell that redirects a loop hands copies of its descriptor to every command in it."""
    with writable(ws) as m:
        f = open(m / "f", "wb", buffering=0)
        for i in range(5):
            subprocess.run(["sh", "-c", f"printf {i}"], stdout=f, check=True)
            assert not ws.exists("out/f")
        f.close()
        assert ws.store.get("out/f") == b"01234"
        # Who got it from an opener that has gone closes it last.
        subprocess.run(["sh", "-c", f"exec >{m}/g; (sleep 0.1; printf late) & exit 0"], check=True)
        until("the last one closed it", lambda: ws.exists("out/g") and ws.store.get("out/g") == b"late")


def kill_worker(point):
    old = worker_of(point)
    os.kill(old, signal.SIGKILL)
    until("the next worker", lambda: worker_of(point) not in (None, old))


def test_nothing_is_lost_when_the_worker_is_killed(ws):
    with writable(ws) as m:
        (m / "d").mkdir()
        f, g = open(m / "d/f", "wb", buffering=0), open(m / "g", "w+b", buffering=0)
        for i in range(5):
            f.write(BIG[i << 20 : (i + 1) << 20])
            os.pwrite(g.fileno(), b"%d" % i, i)
            if i == 2:
                os.rename(m / "g", m / "d/h")
            if i == 3:
                os.remove(m / "d/h")
            kill_worker(m)
            assert os.pread(g.fileno(), 10, 0) == b"01234"[: i + 1]
        assert (m / "d/f").read_bytes() == BIG[: 5 << 20]
        f.close()
        g.close()
        assert ws.store.get("out/d/f") == BIG[: 5 << 20]
        kill_worker(m)
        assert read_tree(m) == ws.below("out") | {"d/f": BIG[: 5 << 20]}
        until("nothing is staged any more", lambda: not staged(ws))


@pytest.mark.only_on("local", "hns", "hdfs")
def test_a_folder_is_renamed_once_also_when_the_worker_dies_of_it(ws):
    ws.put("out/a/f", "1")
    with writable(ws, env={"SLUICE_FAULT": "rename:#1:killed"}) as m:
        old = worker_of(m)
        (m / "b").mkdir()
        os.rename(m / "a", m / "b")  # in place of an empty one
        assert worker_of(m) != old and os.listdir(m) == ["b"]
        (m / "b/g").write_text("2")
        assert sorted(os.listdir(m / "b")) == ["f", "g"] and (m / "b/f").read_text() == "1"
    assert ws.get("out/b/f") == b"1" and ws.get("out/b/g") == b"2" and not ws.exists("out/a")


@pytest.mark.only_on("hns")
def test_a_worker_that_dies_while_the_store_is_silent(ws):
    with writable(ws) as m:
        f = open(m / "f", "wb", buffering=0)
        f.write(b"one")
        server = ws.store.server.process
        server.send_signal(signal.SIGSTOP)
        try:
            kill_worker(m)
            f.write(b"two")
            os.fsync(f.fileno())
        finally:
            server.send_signal(signal.SIGCONT)
        f.close()
        assert ws.store.get("out/f") == b"onetwo"


def kill_mount(point, *files):
    killed = server_of(point), worker_of(point)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until("the mount is dead", lambda: not os.path.exists(point / "x") and all(ended(p) for p in killed))
    for file in files:
        with contextlib.suppress(OSError):
            file.close()
    subprocess.run(["umount", "-l", point], check=True)


def test_what_was_synced_outlives_every_process(ws):
    ws.put("out/conflict", "as it was")
    with writable(ws) as m:
        f, g, c = open(m / "synced", "wb", 0), open(m / "not", "wb", 0), open(m / "conflict", "r+b", 0)
        for file in (f, g, c):
            file.write(b"bytes")
        os.fsync(f.fileno())
        os.fsync(c.fileno())
        os.rename(m / "not", m / "not-2")  # it is committed at that moment
        g.write(b"more")
        kill_mount(m, f, g, c)
    assert not ws.exists("out/synced")
    ws.put("out/conflict", "somebody else")
    with writable(ws, "--log", ws.cwd / "log") as m:
        assert (m / "synced").read_bytes() == b"bytes"
        until("it is committed", lambda: ws.exists("out/synced") and ws.store.get("out/synced") == b"bytes")
        assert (m / "not-2").read_bytes() == b"bytes"
        kept = ws.cwd / "stage/kept"
        until("the other is kept", lambda: [p.read_bytes() for p in kept.iterdir()] == [b"bytes was"])
    for line in ("'conflict' was not written", "neither closed nor synced"):
        until(line, lambda line=line: line in (ws.cwd / "log").read_text())


def test_a_failed_write_stays_one_over_the_death_of_a_worker(ws):
    with writable(ws, "--set", "stage_size=1MiB") as m:
        f = open(m / "f", "wb", buffering=0)
        f.write(bytes(1 << 20))
        with fails(errno.ENOSPC):
            f.write(b"x" * 100)
        kill_worker(m)
        with fails(errno.ENOSPC):
            f.write(b"y")
        with fails(errno.ENOSPC):
            f.close()
        assert not ws.exists("out/f")


@local_only
def test_a_failed_write_is_not_committed_by_the_next_mount(ws):
    with writable(ws, "--set", "stage_size=1MiB") as m:
        f = open(m / "f", "wb", buffering=0)
        f.write(b"synced")
        os.fsync(f.fileno())
        with fails(errno.ENOSPC):
            os.pwrite(f.fileno(), b"x", 2 << 20)
        kill_mount(m, f)
    with writable(ws):
        kept = ws.cwd / "stage/kept"
        until("it is kept", lambda: [p.read_bytes()[:6] for p in kept.iterdir()] == [b"synced"])
    assert not ws.exists("out/f")


@local_only
def test_a_write_that_had_no_room_for_what_is_there_is_a_failed_one(ws):
    old = b"o" * 900_000
    ws.put("out/f", old)
    with writable(ws, "--set", "stage_size=1MiB") as m:
        f, g = open(m / "f", "ab", buffering=0), open(m / "g", "wb", buffering=0)
        g.write(bytes(500_000))
        with fails(errno.ENOSPC):
            f.write(b"first")
        g.close()
        until("there is room", lambda: not any(p.stat().st_size == 500_000 for p in staged(ws)))
        with fails(errno.ENOSPC):
            f.write(b"second")
        with fails(errno.ENOSPC):
            f.close()
        assert ws.store.get("out/f") == old


@local_only
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_what_was_synced_outlives_a_death_while_it_is_taken_over(ws):
    with writable(ws) as m:
        f = open(m / "f", "wb", buffering=0)
        f.write(b"synced")
        os.fsync(f.fileno())
        kill_mount(m, f)
    done = lambda: ws.exists("out/f") and ws.store.get("out/f") == b"synced"  # noqa: E731
    for call in ("renameat:signal=KILL:when=2", "renameat:signal=KILL:when=1", "linkat:signal=KILL:when=1"):
        with subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat,renameat", "-e", f"inject={call}",
             "sluice", "mount", "--writable", "--set", f"stage_dir={ws.cwd}/stage", ws.ref("out"), m],
            cwd=ws.cwd, env=traced(ws.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as p:  # fmt: skip
            until("it died, or did all", lambda p=p: p.poll() is not None or done())
            subprocess.run(["umount", "-l", m], capture_output=True)
    with writable(ws):
        until("it is committed", done)


@local_only
def test_a_store_that_is_away_at_close(ws):
    """close tells it; what fsync had acknowledged is committed by the next mount, the rest is as before."""
    with writable(ws, "--log", ws.cwd / "log") as m:
        f, g = open(m / "f", "wb", 0), open(m / "g", "wb", 0)
        f.write(b"synced")
        os.fsync(f.fileno())
        g.write(b"not")
        out, aside = ws.folder / "out", ws.folder / "aside"
        out.rename(aside)
        out.touch()
        for file in (f, g):
            with pytest.raises(OSError):
                file.close()
        until("both have ended", lambda: len(staged(ws)) == 1)
        out.unlink()
        aside.rename(out)
        (m / "h").write_text("it works again")
        assert not (m / "g").exists() and not ws.exists("out/g") and ws.store.get("out/h") == b"it works again"
    with writable(ws) as m:
        until("it is committed", lambda: ws.exists("out/f") and ws.store.get("out/f") == b"synced")
        assert (m / "f").read_bytes() == b"synced" and not (m / "g").exists()


class Model:
    """Files as they should be: names, and handles that are open, each with its bytes."""

    def __init__(self, folder, seed):
        self.folder, self.random = folder, random.Random(seed)
        self.names, self.handles = {}, []

    def pick(self):
        return self.random.choice("abc")

    def open(self):
        name, flags = self.pick(), os.O_RDWR | os.O_CREAT | self.random.choice((0, 0, os.O_TRUNC))
        fd = os.open(self.folder / name, flags)
        data = self.names.setdefault(name, bytearray())
        if flags & os.O_TRUNC:
            del data[:]
        self.handles.append((fd, data))

    def handle(self):
        if not self.handles:
            self.open()
        return self.random.choice(self.handles)

    def write(self):
        fd, data = self.handle()
        at = self.random.choice((len(data), self.random.randrange(len(data) + 1), len(data) + 100))
        new = self.random.randbytes(self.random.choice((1, 5000, 300_000)))
        os.pwrite(fd, new, at)
        data.extend(bytes(max(0, at + len(new) - len(data))))
        data[at : at + len(new)] = new

    def truncate(self):
        fd, data = self.handle()
        n = self.random.randrange(2 * len(data) + 2)
        os.ftruncate(fd, n)
        del data[n:]
        data.extend(bytes(n - len(data)))

    def read(self):
        fd, data = self.handle()
        assert os.fstat(fd).st_size == len(data)
        assert os.pread(fd, 1 << 22, 0) == data

    def close(self):
        pair = self.handle()
        self.handles.remove(pair)
        os.close(pair[0])

    def sync(self):
        os.fsync(self.handle()[0])

    def rename(self):
        a, b = self.pick(), self.pick()
        if a in self.names and a != b:
            os.rename(self.folder / a, self.folder / b)
            self.names[b] = self.names.pop(a)

    def remove(self):
        name = self.pick()
        if self.names.pop(name, None) is not None:
            os.remove(self.folder / name)

    def look(self):
        assert read_tree(self.folder) == self.names

    def step(self):
        what = [
            "open",
            "write",
            "write",
            "write",
            "truncate",
            "read",
            "close",
            "close",
            "sync",
            "rename",
            "remove",
            "look",
        ]
        getattr(self, self.random.choice(what))()


@pytest.mark.parametrize("seed", range(20 if DEEP else 2))
def test_files_are_as_a_model_has_them(ws, seed):
    with writable(ws) as m:
        model = Model(m, seed)
        for _ in range(150):
            model.step()
        while model.handles:
            model.close()
        model.look()
        assert {k: ws.store.get(f"out/{k}") for k in model.names} == model.names
        until("nothing is staged any more", lambda: not staged(ws))


def test_fsync_may_go_to_the_store(ws):
    with writable(ws, "--set", "fsync=store") as m:
        with open(m / "f", "wb", buffering=0) as f:
            f.write(b"one")
            os.fsync(f.fileno())
            assert ws.store.get("out/f") == b"one"
            f.write(b"two")
        assert ws.store.get("out/f") == b"onetwo"


def run(*argv, cwd):
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, env={**os.environ, "HOME": str(cwd)})


@local_only
def test_tools_that_people_use(ws):
    source = ws.cwd / "source"
    for i in range(30):
        (source / f"d{i % 3}").mkdir(parents=True, exist_ok=True)
        (source / f"d{i % 3}/f{i}").write_bytes(os.urandom(i * 1000))
    want = read_tree(source)
    with writable(ws) as m:
        run("cp", "-a", source, m / "cp", cwd=m)
        run("tar", "cf", "x.tar", "-C", source, ".", cwd=m)
        (m / "tar").mkdir()
        run("tar", "xf", "x.tar", "-C", "tar", cwd=m)
        if shutil.which("rsync"):
            run("rsync", "-a", f"{source}/", "rsync/", cwd=m)
            run("rsync", "-a", "--delete", f"{source}/", "cp/", cwd=m)
        for name in ("cp", "tar", "rsync"):
            if (m / name).exists():
                assert read_tree(m / name) == want
        git = ("git", "-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=m")
        run(*git, "init", "r", cwd=m)
        shutil.copytree(source, m / "r/in")
        run(*git, "add", ".", cwd=m / "r")
        run(*git, "commit", "-m", "one", cwd=m / "r")
        run(*git, "clone", "r", "r2", cwd=m)
        run(*git, "gc", cwd=m / "r2")
        run(*git, "fsck", "--strict", cwd=m / "r2")
        assert read_tree(m / "r2/in") == want
        for mode in ("delete", "truncate", "wal"):
            db = sqlite3.connect(m / f"db-{mode}", isolation_level=None)
            assert db.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
            db.execute("create table t (a, b)")
            for i in range(5):
                db.execute("begin")
                db.executemany("insert into t values (?, ?)", [(i, k) for k in range(100)])
                db.execute("commit" if i else "rollback")
            db.execute("vacuum")
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
            assert db.execute("select count(*) from t").fetchone() == (400,)
            db.close()
        run("rm", "-r", "r", "r2", "cp", "tar", cwd=m)
    assert not ws.exists("out/r") and ws.exists("out/db-wal")
