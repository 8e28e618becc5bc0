# SPDX-License-Identifier: Apache-2.0
"""as_mount: real FUSE, looked at as a program would."""

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import (
    BAD_INPUT,
    EXISTS,
    PATIENCE,
    RUNG,
    is_mount,
    let_others_in,
    local_only,
    needs_fuse,
    needs_root,
    read_tree,
    server_of,
    until,
    worker_of,
)

pytestmark = [needs_fuse, pytest.mark.tsan]


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": os.urandom(i * 5000) for i in range(30)})
    ws.put("in/big", os.urandom(9 << 20))
    return ws


def test_the_mount_shows_the_same_tree_and_bytes(files):
    with files.mounted(files.ref("in")) as m:
        assert read_tree(m) == files.below("in")


def test_a_checksum_through_the_mount_is_that_of_the_source(files):
    with files.mounted(files.ref("in")) as m:
        want = hashlib.sha256(files.placed["in/big"]).digest()
        assert hashlib.sha256((m / "big").read_bytes()).digest() == want


def test_random_reads_are_right(files):
    data = files.placed["in/big"]
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb", buffering=0) as f:
        for off in [len(data) - 1, 0, 4097, 5 << 20, 123457, len(data), len(data) + 10, 1 << 40]:
            f.seek(off)
            assert f.read(70_000) == data[off : off + 70_000]


def test_stat_is_that_of_the_manifest(files):
    with files.mounted(files.ref("in")) as m:
        for name in ["big", "1/001"]:
            b = (m / name).stat()
            assert b.st_size == len(files.placed[f"in/{name}"])
            assert b.st_mtime_ns == files.store.mtime_ns(f"in/{name}")
            assert b.st_mode == 0o100444
        assert (m / "1").stat().st_mode == 0o040555
        v = os.statvfs(m)
        assert v.f_blocks > 0 and v.f_bavail == 0


def test_inode_numbers_are_the_same_after_a_remount(files):
    files.register("d", "in")
    seen = []
    for _ in range(2):
        with files.mounted("d@1") as m:
            seen.append({str(p.relative_to(m)): p.stat().st_ino for p in m.rglob("*")})
    assert seen[0] == seen[1] and len(set(seen[0].values())) == len(seen[0])


def test_it_is_read_only(files):
    with files.mounted(files.ref("in")) as m:
        for change in [
            lambda: (m / "new").write_text("x"),
            lambda: (m / "big").unlink(),
            lambda: (m / "1").rename(m / "2x"),
            lambda: os.truncate(m / "big", 0),
            lambda: (m / "dir").mkdir(),
        ]:
            with pytest.raises(OSError) as e:
                change()
            assert e.value.errno == errno.EROFS


def test_a_missing_name_is_missing(files):
    with files.mounted(files.ref("in")) as m:
        for name in ["nope", "1/nope", "big/nope", "x" * 256]:
            assert not os.path.exists(m / name)


def test_a_changed_file_gives_estale_and_one_line(files):
    """Promise 1: never the new bytes under the old name."""
    log = files.cwd / "mount.log"
    with files.mounted(files.ref("in"), None, "--log", log) as m:
        assert (m / "1/001").read_bytes() == files.placed["in/1/001"]
        files.put("in/2/002", "something else")
        with pytest.raises(OSError) as e:
            (m / "2/002").read_bytes()
        assert e.value.errno == errno.ESTALE
        with pytest.raises(OSError):
            (m / "2/002").read_bytes()
    lines = [x for x in log.read_text().splitlines() if "2/002" in x]
    assert len(lines) == 1


@local_only
def test_a_write_with_the_time_set_back_is_seen_while_the_file_is_open(files):
    big = files.folder / "in/big"
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb", buffering=0) as f:
        f.read(4096)
        before = big.stat()
        with open(big, "r+b") as change:
            change.seek(6 << 20)
            change.write(b"X" * 4096)
        os.utime(big, ns=(before.st_atime_ns, before.st_mtime_ns))
        f.seek(6 << 20)
        with pytest.raises(OSError) as e:
            f.read(4096)
        assert e.value.errno == errno.ESTALE


def test_thousands_of_entries(ws):
    names = [f"f{i:05}" for i in range(10_000 if ws.kind == "local" else 1_500)]
    ws.put_all({f"many/{n}": b"" for n in names})
    with ws.mounted(ws.ref("many")) as m:
        assert sorted(os.listdir(m)) == names
        assert sum(1 for e in os.scandir(m) if e.stat().st_size == 0) == len(names)


@pytest.mark.parametrize("mask", ["ffffffffffffffff"])
def test_an_older_kernel_is_enough(files, mask):
    """With every optional bit of INIT hidden the mount shows the same."""
    with files.mounted(files.ref("in"), env={"SLUICE_FUSE_MASK": mask}) as m:
        assert read_tree(m) == files.below("in")


def test_a_mountpoint_that_is_not_empty_is_refused(files):
    point = files.cwd / "mnt"
    point.mkdir()
    (point / "mine").write_text("x")
    assert "mnt" in files.run("mount", files.ref("in"), point, code=EXISTS).err
    assert not is_mount(point)


def test_a_mountpoint_that_is_mounted_is_refused(files):
    with files.mounted(files.ref("in")) as m:
        assert "mount" in files.run("mount", files.ref("in"), m, code=EXISTS).err


def test_a_file_is_no_mountpoint(files):
    (files.cwd / "file").write_text("x")
    files.run("mount", files.ref("in"), files.cwd / "file", code=BAD_INPUT)


def test_an_unresolvable_reference_fails_before_it_mounts(files):
    point = files.cwd / "mnt"
    err = files.run("mount", files.ref("no/such"), point, code=3).err
    assert "no/such" in err and not is_mount(point) and not point.exists()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts(files, sig):
    with files.mounted(files.ref("in")) as m:
        pid = server_of(m)
        os.kill(pid, sig)
        until("the mount is gone", lambda: not is_mount(m))
        until("the process is gone", lambda: not Path(f"/proc/{pid}").exists() or zombie(pid))


def zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_busy_mount_is_detached_in_bounded_time(files):
    with files.mounted(files.ref("in")) as m, open(m / "big", "rb"):
        assert "is still used" in files.run("unmount", "--timeout", "300ms", m).err
        assert not is_mount(m)


def test_a_mount_that_was_interrupted_does_not_come_later(files):
    point = files.cwd / "mnt"
    asked = files.start("mount", files.ref("in"), point, env={"SLUICE_FAULT": "list:#1:delay=600s"})
    server = until("a server", lambda: server_of(point))
    asked.send_signal(signal.SIGINT)
    asked.wait()
    until("the end of the server", lambda: zombie(server))
    assert not is_mount(point)


def test_few_descriptors_are_enough(files):
    n = 24 if files.kind == "local" else 48  # connections, and loops for them
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))  # noqa: E731
    point = files.cwd / "mnt"
    files.run("mount", files.ref("in"), point, preexec=few)
    got = read_tree(point)
    files.run("unmount", point)
    assert got == files.below("in")
    files.run("download", files.ref("in"), files.cwd / "out", preexec=few)
    assert len(read_tree(files.cwd / "out")) == 31


@needs_root
def test_unmount_frees_the_readers_of_a_stopped_server(files):
    """A program whose request was taken cannot be killed until it is answered or aborted."""
    alone = {"SLUICE_FAULT": "read:1:delay=600s"}
    with files.mounted(files.ref("in"), None, "--no-supervisor", env=alone) as m:
        reader = subprocess.Popen(["dd", "if=" + str(m / "big"), "of=/dev/null", "iflag=direct", "bs=4096"])
        until("a reader in the mount", lambda: has_open(reader.pid, m / "big") and state(reader.pid) in "DS")
        server = server_of(m)
        os.kill(server, signal.SIGSTOP)
        try:
            files.run("unmount", "--timeout", "200ms", m)
            assert not is_mount(m)
            reader.kill()
            reader.wait(timeout=PATIENCE)
        finally:
            os.kill(server, signal.SIGKILL)
            reader.wait(timeout=PATIENCE)


def test_a_direct_reader_of_a_store_that_hangs_can_be_killed(files):
    """The kernel does not say that it was: it lets go of the mount long before the read's time is over."""
    slow = {"SLUICE_FAULT": "read:1:delay=600s"}
    with files.mounted(files.ref("in"), None, "--io-timeout=300s", env=slow) as m:
        reader = subprocess.Popen(["dd", "if=" + str(m / "big"), "of=/dev/null", "iflag=direct", "bs=4096"])
        until("a reader in the mount", lambda: has_open(reader.pid, m / "big") and state(reader.pid) in "DS")
        reader.kill()
        assert reader.wait(timeout=PATIENCE) == -signal.SIGKILL


def test_a_killed_server_gives_enotconn_and_the_next_mount_takes_over(files):
    """Promise 4."""
    with files.mounted(files.ref("in"), None, "--no-supervisor") as m:
        os.kill(server_of(m), signal.SIGKILL)

        def refused():
            try:
                os.listdir(m)
            except OSError as e:
                return e.errno == errno.ENOTCONN
            return False

        until("ENOTCONN", refused)
        files.run("mount", files.ref("in"), m)
        assert (m / "big").stat().st_size == 9 << 20


def test_a_hanging_store_is_answered_by_the_deadline(files):
    """Promise 6: the read fails, the process that read lives."""
    env = {"SLUICE_FAULT": "read:1:hang"}
    with files.mounted(files.ref("in"), None, "--io-timeout", "500ms", env=env) as m:
        with pytest.raises(OSError) as e:
            (m / "big").read_bytes()
        assert e.value.errno in (errno.EIO, errno.ETIMEDOUT)
        assert (m / "1").is_dir()


def test_a_reader_of_a_hanging_store_can_be_killed(files):
    env = {"SLUICE_FAULT": "read:1:hang"}
    with files.mounted(files.ref("in"), None, "--io-timeout", "10m", env=env) as m:
        p = subprocess.Popen(["cat", m / "big"], stdout=subprocess.DEVNULL)
        until("cat waits", lambda: "S" in state(p.pid) or "D" in state(p.pid))
        p.kill()
        p.wait(timeout=PATIENCE)


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_slow_and_flaky_is_still_right(files):
    # A read is tried six times: more often than one in ten, and it may well fail as often as that.
    env = {"SLUICE_FAULT": "seed=3,read:0.1:EIO,read:0.3:delay=5ms"}
    with files.mounted(files.ref("in"), env=env) as m:
        assert read_tree(m) == files.below("in")


def test_many_readers_of_one_file(files):
    want = hashlib.sha256(files.placed["in/big"]).hexdigest()
    with files.mounted(files.ref("in"), env={"SLUICE_FAULT": "read:1:delay=1ms"}) as m:
        procs = [subprocess.Popen(["sha256sum", m / "big"], stdout=subprocess.PIPE, text=True) for _ in range(8)]
        assert {p.communicate()[0].split()[0] for p in procs} == {want}


def test_only_the_serving_process_holds_the_device(files):
    """A child of whoever asked for the mount must not inherit /dev/fuse."""
    with files.mounted(files.ref("in")) as m:
        pid = server_of(m)
        holders = [
            int(p.name)
            for p in Path("/proc").iterdir()
            if p.name.isdigit() and any(link(f) == "/dev/fuse" for f in fds(p))
        ]
        assert pid in holders
        assert os.getpid() not in holders


def fds(p):
    try:
        return list((p / "fd").iterdir())
    except OSError:
        return []


def has_open(pid, path):
    return any(link(f) == str(path) for f in fds(Path(f"/proc/{pid}")))


def link(f):
    try:
        return os.readlink(f)
    except OSError:
        return ""


@pytest.mark.skipif(RUNG != "scenario", reason="sanitizers need memory of their own")
def test_an_idle_mount_is_small(files):
    """Anonymous memory below 10 MiB."""
    with files.mounted(files.ref("in")) as m:
        rollup = Path(f"/proc/{worker_of(m)}/smaps_rollup").read_text()
        kib = next(int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Anonymous:"))
        assert kib < 10 << 10


def test_the_server_dumps_no_core_and_shows_no_environment(files):
    with files.mounted(files.ref("in")) as m:
        for pid in (server_of(m), worker_of(m)):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert next(x for x in limits.splitlines() if x.startswith("Max core file size")).split()[4] == "0"


def test_hostile_names_are_served(ws):
    names = ["new\nline", "hash#q?p%25", "späce ü", "x" * 255, "\x1b[31m"]
    names = [n for n in names if ws.store.holds(n)]
    for n in names:
        ws.put(f"in/{n}", n)
    with ws.mounted(ws.ref("in")) as m:
        assert sorted(os.listdir(m)) == sorted(names)
        for n in names:
            assert (m / n).read_text() == n


@needs_root
def test_another_user_sees_it_only_when_allowed(files):
    def as_nobody(path):
        code = f"import os; os.setgid(65534); os.setuid(65534); print(len(os.listdir({str(path)!r})))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode

    let_others_in(files.cwd)
    with files.mounted(files.ref("in")) as m:
        assert as_nobody(m) != 0
    with files.mounted(files.ref("in"), None, "--allow-other") as m:
        assert as_nobody(m) == 0
