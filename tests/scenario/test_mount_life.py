# SPDX-License-Identifier: Apache-2.0
"""The life of a mount among others: what is at its place, who is stopped, what is full, and who asks at which moment."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import (
    PATIENCE,
    is_mount,
    local_only,
    needs_fuse,
    needs_root,
    read_tree,
    server_of,
    traced,
    until,
    worker_of,
)

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
    except (FileNotFoundError, ProcessLookupError):
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
        said = [p.communicate(timeout=PATIENCE)[1] for p in tries]
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


@local_only
@needs_root
def test_it_can_be_unmounted_while_all_its_processes_are_stopped(files):
    """Bounded, by an abort; and whoever waited for it can be killed again."""
    with files.mounted(files.ref("in")) as m:
        pids = processes(m)
        (m / "big").open().close()  # so that only the READ is asked for
        with stopped(*reversed(pids)):
            reader = subprocess.Popen([sys.executable, "-c", ASK.format(KINDS["READ"]), m])
            until("a reader in the mount", lambda: opened(reader.pid, m / "big"))
            files.run("unmount", "--timeout", "200ms", m)
            assert not is_mount(m)
            assert reader.wait(timeout=PATIENCE) in (errno.ENOTCONN, errno.ECONNABORTED)
        until("their end", lambda: all(gone(p) for p in pids))


@local_only
@needs_root
def test_a_stopped_mount_is_aborted_by_its_connection(files):
    """Where /sys/fs/fuse/connections is: here in a mount namespace of the command's own, which uses the mount too."""
    trace = files.cwd / "trace"
    ours = """mount -t fusectl none /sys/fs/fuse/connections && exec 9<"$2/big" && echo ready && read go &&
              exec strace -f -o "$1" -e trace=openat,umount2 sluice unmount --timeout 200ms "$2" """
    with files.mounted(files.ref("in")) as m:
        pids = processes(m)
        minor = os.minor(os.stat(m).st_dev)
        command = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", ours, "sh", trace, m],
            env=traced(files.env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert command.stdout.readline() == "ready\n"
        with stopped(*reversed(pids)):
            reader = subprocess.Popen([sys.executable, "-c", ASK.format(KINDS["READ"]), m])
            until("a reader in the mount", lambda: opened(reader.pid, m / "big"))
            command.communicate("go\n", timeout=PATIENCE)
            assert command.returncode == 0
            assert reader.wait(timeout=PATIENCE) in (errno.ENOTCONN, errno.ECONNABORTED)
            assert is_mount(m)  # it was another namespace's that was detached
        calls = trace.read_text()
        assert re.search(rf"/connections/{minor}/abort\", O_WRONLY[^)\n]*(\) = \d|<unfinished)", calls)
        assert "MNT_FORCE" not in calls
        until("their end", lambda: all(gone(p) for p in pids))


def opened(pid, path):
    with contextlib.suppress(OSError):
        return any(os.readlink(f) == str(path) for f in Path(f"/proc/{pid}/fd").iterdir())
    return False


# --- requests in flight ---

NO_OPENS, NO_RESEND = 1 << 17 | 1 << 24, 1 << 39  # bits of INIT that an older kernel does not offer

# One request of each kind that a program can make; what the kernel has cached is not asked for.
KINDS = {
    "LOOKUP": "os.stat(m + '/0/000')",
    "GETATTR": "subprocess.run(['stat', '--cached=never', m + '/1'], check=True)",
    "STATFS": "os.statvfs(m)",
    "OPENDIR": "os.close(os.open(m + '/2', os.O_RDONLY))",
    "READDIR": "os.listdir(m + '/1')",
    "OPEN": "os.close(os.open(m + '/big', os.O_RDONLY))",
    "READ": "os.preadv(os.open(m + '/big', os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 4096)], 0)",
    "GETXATTR": "x(m)",
}
ASK = """
import errno, mmap, os, subprocess, sys
m = sys.argv[1]
def x(path):
    try:
        os.getxattr(path, "user.none")
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.ENODATA):
            raise
try:
    {}
except OSError as e:
    sys.exit(e.errno)
except subprocess.CalledProcessError:
    sys.exit(errno.EIO)
"""


@contextlib.contextmanager
def dies_when_it_answers(pid):
    """The process is killed where it would answer a request: it has taken it, and nobody hears of it."""
    kill = ["-e", "trace=writev", "-e", "inject=writev:signal=KILL:when=1"]
    p = subprocess.Popen(["strace", "-f", *kill, "-p", str(pid)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert b"attached" in p.stderr.readline()
    try:
        yield
    finally:
        p.terminate()
        p.stderr.close()
        p.wait(timeout=PATIENCE)


@local_only
@needs_root
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("how", [[], ["--live"]], ids=["pinned", "live"])
@pytest.mark.parametrize("hide", [NO_OPENS, NO_OPENS | NO_RESEND], ids=["resend", "no-resend"])
def test_a_request_of_any_kind_ends_when_its_worker_dies(files, how, hide):
    """Asked again where the kernel does that, EIO where it cannot; and nobody waits for ever."""
    for kind, ask in KINDS.items():
        # Another program that looks at all mounts may be the one whose request was lost.
        codes = [lose_one(files, how, hide, ask)]
        while hide & NO_RESEND and codes[-1] == 0 and len(codes) < 4:
            codes.append(lose_one(files, how, hide, ask))
        assert codes[-1] == (errno.EIO if hide & NO_RESEND else 0), (kind, codes)


def lose_one(files, how, hide, ask):
    """The exit status of the program whose request was taken by a worker that died; the next one is answered."""
    with files.mounted(files.ref("in"), None, *how, env={"SLUICE_FUSE_MASK": f"{hide:x}"}) as m:
        old = until("a worker", lambda: worker_of(m))
        with dies_when_it_answers(old):
            p = subprocess.Popen([sys.executable, "-c", ASK.format(ask), m], stderr=subprocess.DEVNULL)
            code = p.wait(timeout=PATIENCE)
            until("its death", lambda: gone(old))
        assert subprocess.run([sys.executable, "-c", ASK.format(ask), m], timeout=PATIENCE).returncode == 0, ask
        return code


# --- before it is usable ---


@local_only
@pytest.mark.parametrize("whom", ["all", "supervisor", "worker"])
def test_nothing_is_left_of_a_mount_that_is_killed_while_it_lists(files, whom):
    point = files.cwd / "mnt"
    point.mkdir()
    env = {"SLUICE_FAULT": "list:1:hang"}
    p = files.start("mount", files.ref("in"), point, env=env, stderr=subprocess.PIPE, text=True)
    worker = until("a worker", lambda: worker_of(point))
    supervisor = server_of(point)
    for pid in {"all": [p.pid, supervisor, worker], "supervisor": [supervisor], "worker": [worker]}[whom]:
        with contextlib.suppress(ProcessLookupError):  # it has noticed the end of the one before
            os.kill(pid, signal.SIGKILL)
    said = p.communicate(timeout=PATIENCE)[1]
    assert p.returncode == -signal.SIGKILL if whom == "all" else "was killed by signal 9" in said
    until("their end", lambda: gone(supervisor) and gone(worker))
    assert not is_mount(point)
    files.run("mount", files.ref("in"), point)
    assert read_tree(point) == files.below("in")
    files.run("unmount", point)
