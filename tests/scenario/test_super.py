# SPDX-License-Identifier: Apache-2.0
"""The supervisor of a mount: what programs in the mount notice of the deaths of the process that serves it."""

import contextlib
import errno
import mmap
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import (
    BAD_INPUT,
    NOT_SUPPORTED,
    PATIENCE,
    RUNG,
    is_mount,
    local_only,
    needs_fuse,
    needs_root,
    read_tree,
    server_of,
    until,
    worker_of,
)

pytestmark = needs_fuse

DEEP = bool(os.environ.get("SLUICE_DEEP"))
NO_OPENS, NO_RESEND = 1 << 17 | 1 << 24, 1 << 39  # bits of INIT that an older kernel does not offer

# Reads blocks of a file in the mount, past the page cache, and compares; tells of every eighth.
READER = """
import mmap, os, random, sys
mounted, want, seed = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3])
dice, buf, n = random.Random(seed), mmap.mmap(-1, 1 << 18), 0
f = os.open(mounted, os.O_RDONLY | os.O_DIRECT)
while True:
    off = dice.randrange(0, len(want)) & ~4095
    got = os.preadv(f, [buf], off)
    if buf[:got] != want[off:off + got] or not got:
        sys.exit("other bytes at %d" % off)
    n += 1
    if n % 8 == 0:
        try:
            print(n, flush=True)
        except BrokenPipeError:
            os._exit(0)
"""


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": os.urandom(i * 1000) for i in range(9)})
    ws.put("in/big", os.urandom(5 << 20))
    return ws


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # also between opening and reading it
        return "X"


def gone(pid):
    return state(pid) in "ZX"


def kill_worker(point, sig=signal.SIGKILL):
    """The one that serves now; returns the next."""
    old = until("a worker", lambda: worker_of(point))
    os.kill(old, sig)
    return until("the next worker", lambda: next((w for w in [worker_of(point)] if w and w != old), None))


def refuses(path, code):
    try:
        os.statvfs(path)  # never from a cache
    except OSError as e:
        return e.errno == code
    return False


def direct(path, size=4096):
    """One READ that the page cache does not answer."""
    code = "import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)\n"
    code += f"m = mmap.mmap(-1, {size})\nprint('asks', flush=True)\n"
    code += "try: sys.stdout.buffer.write(m[:os.preadv(f, [m], 0)])\nexcept OSError as e: sys.exit(e.errno)"
    p = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, bufsize=0)
    assert p.stdout.readline() == b"asks\n"
    return p


def waits_for(pid):
    """The function of the kernel in which it sleeps, "0" where that is not told: a page of it may have to be read."""
    return Path(f"/proc/{pid}/wchan").read_text().strip()


def held(point, path):
    """A reader whose request a worker has taken and will not answer."""
    p = direct(path)
    until(
        "a request", lambda: state(p.pid) in "SD" and waits_for(p.pid) in ("fuse_direct_IO", "request_wait_answer", "0")
    )
    os.statvfs(point)  # asked later, so taken later
    return p


@pytest.mark.parametrize("hide", [0, NO_OPENS], ids=["no-open", "opens"])
def test_readers_outlive_twenty_workers(files, hide, tmp_path):
    """Every byte right, no error, by a descriptor that was opened under the first of them."""
    kills = 20 if DEEP or (files.kind == "local" and RUNG == "scenario") else 5
    want = tmp_path / "want"
    want.write_bytes(files.placed["in/big"])
    env = {"SLUICE_FUSE_MASK": f"{hide:x}", "SLUICE_FAULT": "seed=1,read:0.3:delay=5ms"}
    dice = random.Random(7)
    with files.mounted(files.ref("in"), env=env) as m, contextlib.ExitStack() as stack:
        readers = [
            subprocess.Popen([sys.executable, "-c", READER, m / "big", want, str(i)], stdout=subprocess.PIPE)
            for i in range(3)
        ]
        stack.callback(lambda: [p.kill() for p in readers])
        for i in range(kills):
            reader = readers[i % 3]
            for _ in range(dice.randrange(1, 4)):
                assert reader.stdout.readline(), "a reader ended"
            kill_worker(m)
        for p in readers:
            assert p.stdout.readline(), "a reader ended"
            assert p.poll() is None
            p.stdout.close()
        for p in readers:
            p.wait(timeout=PATIENCE)
        assert read_tree(m) == files.below("in")


@local_only
def test_the_next_worker_shows_the_same_state(files):
    """Promise 1: it does not resolve again, and needs no listing."""
    with files.mounted(files.ref("in")) as m:
        want = files.below("in")
        inodes = {p: p.stat().st_ino for p in m.rglob("*")}
        files.put("in/later", "x")
        files.put("in/0/later", "x")
        kill_worker(m)
        assert read_tree(m) == want
        assert {p: p.stat().st_ino for p in m.rglob("*")} == inodes


@local_only
def test_a_map_outlives_the_worker(files):
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb") as f:
        view = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        kill_worker(m)
        assert view[:] == files.placed["in/big"]
        view.close()


@local_only
@needs_root
def test_without_resend_what_was_taken_fails_and_the_next_read_is_fine(files):
    """Promise 6, on kernels before 6.9."""
    env = {"SLUICE_FUSE_MASK": f"{NO_RESEND:x}", "SLUICE_FAULT": "read:#1:hang"}
    with files.mounted(files.ref("in"), None, "--io-timeout", "10m", env=env) as m:
        lost = held(m, m / "big")
        kill_worker(m)
        assert lost.wait(timeout=PATIENCE) == errno.EIO
        first = held(m, m / "big")  # of the new worker: hangs again
        assert (m / "2/008").read_bytes() == files.placed["in/2/008"]
        kill_worker(m)
        assert first.wait(timeout=PATIENCE) == errno.EIO


@local_only
@needs_root
def test_what_was_taken_is_asked_again(files):
    with files.mounted(files.ref("in"), env={"SLUICE_FAULT": "read:#1:delay=1s"}) as m:
        reader = held(m, m / "big")
        kill_worker(m)
        assert reader.communicate(timeout=PATIENCE)[0] == files.placed["in/big"][:4096]
        assert reader.returncode == 0


@local_only
@needs_root
def test_a_stopped_worker_is_replaced(files):
    log = files.cwd / "log"
    with files.mounted(files.ref("in"), None, "--log", log) as m:
        old = worker_of(m)
        os.kill(old, signal.SIGSTOP)
        reader = direct(m / "big")
        assert reader.communicate(timeout=PATIENCE)[0] == files.placed["in/big"][:4096]
        until("its end", lambda: gone(old))
    assert "stopped or stuck" in log.read_text()


@local_only
def test_it_goes_on_without_its_supervisor_once(files):
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb") as f:
        supervisor, worker = server_of(m), worker_of(m)
        os.kill(supervisor, signal.SIGKILL)
        until("its end", lambda: gone(supervisor))
        assert f.read() == files.placed["in/big"]
        assert read_tree(m) == files.below("in")
        os.kill(worker, signal.SIGKILL)
        until("ENOTCONN", lambda: refuses(m / "big", errno.ENOTCONN))
        files.run("mount", files.ref("in"), m)
        assert (m / "big").stat().st_size == 5 << 20


@local_only
def test_without_its_supervisor_it_can_be_unmounted(files):
    with files.mounted(files.ref("in")) as m:
        worker = worker_of(m)
        os.kill(server_of(m), signal.SIGKILL)
        files.run("unmount", m)
        assert not is_mount(m)
        until("its end", lambda: gone(worker))


@local_only
def test_a_crash_loop_ends_in_a_dead_mount(files):
    """Promise 6: nobody waits for a server that cannot live; and no empty folder in the place of data."""
    log = files.cwd / "log"
    with files.mounted(files.ref("in"), None, "--log", log) as m:
        supervisor = server_of(m)
        while not gone(supervisor):
            worker = until("a worker", lambda: worker_of(m) or gone(supervisor))
            if worker is not True:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGQUIT)
        assert refuses(m, errno.ENOTCONN) and is_mount(m)
        ends = [x for x in log.read_text().splitlines() if "the mount is dead" in x]
        assert len(ends) == 1 and "signal 3" in ends[0]
        files.run("mount", files.ref("in"), m)
        assert read_tree(m) == files.below("in")


@local_only
def test_an_unmount_while_nobody_serves(files):
    with files.mounted(files.ref("in")) as m:
        supervisor, worker = server_of(m), worker_of(m)
        os.kill(worker, signal.SIGKILL)
        files.run("unmount", m)
        assert not is_mount(m)
        until("its end", lambda: gone(supervisor) and worker_of(m) is None)


@local_only
@pytest.mark.parametrize("whom", [server_of, worker_of])
def test_a_signal_to_either_ends_both(files, whom):
    with files.mounted(files.ref("in")) as m:
        supervisor, worker = server_of(m), worker_of(m)
        os.kill(whom(m), signal.SIGTERM)
        until("both ends", lambda: gone(supervisor) and gone(worker))
        assert not is_mount(m)


@local_only
def test_a_worker_killed_while_it_ends_leaves_no_dead_mount(files):
    """kill, and then kill -9, as those do who have no patience."""
    with files.mounted(files.ref("in")) as m:
        supervisor, fd = server_of(m), os.open(m / "big", os.O_RDONLY)
        for n in range(20):
            worker = until("a worker", lambda: worker_of(m))
            os.statvfs(m)  # it serves
            os.kill(worker, signal.SIGTERM)
            for _ in range(1 << n):
                os.statvfs(m)
            with contextlib.suppress(ProcessLookupError):  # slow as we were, it has ended
                os.kill(worker, signal.SIGKILL)
            until("its end or the next", lambda w=worker: gone(supervisor) or worker_of(m) not in (None, w))
            if not is_mount(m):
                break
            assert not gone(supervisor)
        assert not is_mount(m)
        with contextlib.suppress(OSError):
            os.close(fd)


@local_only
def test_a_new_program_takes_over(files):
    """SIGUSR2, as of ExecReload: open files stay, nothing fails, nothing is counted as a death."""
    log = files.cwd / "log"
    with files.mounted(files.ref("in"), None, "--log", log) as m, open(m / "big", "rb", buffering=0) as f:
        assert f.read(70_000) == files.placed["in/big"][:70_000]
        for _ in range(3):
            old = worker_of(m)
            os.kill(server_of(m), signal.SIGUSR2)
            until("another worker", lambda old=old: gone(old) and worker_of(m))
        assert f.read(5 << 20) == files.placed["in/big"][70_000:]
        assert read_tree(m) == files.below("in")
    assert log.read_text() == ""


@local_only
def test_an_upgrade_by_hand(files):
    with files.mounted(files.ref("in")) as m:
        old = worker_of(m)
        files.run("mount", "--upgrade", m)
        until("the end of the one before", lambda: gone(old))
        assert worker_of(m)
        assert read_tree(m) == files.below("in")
    assert "nothing is mounted" in files.run("mount", "--upgrade", m, code=BAD_INPUT).err
    with files.mounted(files.ref("in"), None, "--no-supervisor") as m:
        assert "no supervisor" in files.run("mount", "--upgrade", m, code=NOT_SUPPORTED).err


@local_only
def test_the_control_socket_and_its_numbers_outlive_the_worker(files):
    with files.mounted(files.ref("in")) as m:
        read_tree(m)

        def ask():
            return next((x for x in files.json("stats", m) if "stats" in x), None)

        asked = [until("an answer", ask)]
        kill_worker(m)
        asked.append(until("an answer", ask))
        assert [x["mount"]["workers"] for x in asked] == [1, 2]
        size = sum(len(x) for x in files.below("in").values())
        assert asked[1]["stats"]["counters"]["asked"] >= asked[0]["stats"]["counters"]["asked"] >= size


@local_only
@needs_root
def test_a_copy_in_another_namespace_does_not_hold_it(files):
    """A container that was started meanwhile has a copy of the mount that nobody else can take away."""
    with files.mounted(files.ref("in")) as m:
        p = subprocess.Popen(["unshare", "-m", "sh", "-c", "echo in; read x"], stdin=-1, stdout=-1)
        try:
            assert p.stdout.readline() == b"in\n"
            supervisor, worker = server_of(m), worker_of(m)
            kill_worker(m)
            os.kill(supervisor, signal.SIGTERM)
            until("both ends", lambda: gone(supervisor) and gone(worker) and not worker_of(m))
            assert not is_mount(m)
        finally:
            p.communicate(b"\n")


@local_only
def test_the_supervisor_is_small_and_outside(files):
    with files.mounted(files.ref("in")) as m:
        pid = server_of(m)
        for f in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # that of who waited for the mount is closed now
                assert not os.readlink(f).startswith(str(m))
        assert not os.readlink(f"/proc/{pid}/cwd").startswith(str(m))
        if RUNG == "scenario":
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib = next(int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Anonymous:"))
            assert kib < 4 << 10


@local_only
def test_in_the_foreground_an_error_is_said_once(files):
    done = files.run("mount", "-f", files.ref("no/such"), files.cwd / "mnt", code=3)
    assert len(done.err.splitlines()) == 1 and "no/such" in done.err
