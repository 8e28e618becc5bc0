# SPDX-License-Identifier: Apache-2.0
"""How a mount is begun: by mount(8) and fstab, by a service manager, at a device that somebody else has mounted."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import BAD_INPUT, PATIENCE, USAGE, is_mount, local_only, needs_fuse, needs_root, read_tree, until

SRC = Path(os.environ.get("SLUICE_SRC", Path(__file__).parents[2]))
pytestmark = [needs_fuse, local_only]


@pytest.fixture
def files(ws):
    ws.put_all({f"in/{i % 3}/{i:03}": b"%d" % i * 100 for i in range(9)})
    return ws


@contextlib.contextmanager
def unmounted(files, point):
    point.mkdir(exist_ok=True)
    try:
        yield point
    finally:
        if is_mount(point):
            files.run("unmount", point)


# --- mount(8) ---


@needs_root
@pytest.mark.skipif(not shutil.which("mount.fuse3"), reason="mount.fuse3 is not installed")
def test_mount_8_and_umount_8(files):
    """As fstab has it; what mount(8) says to every file system is understood."""
    options = f"ro,_netdev,nofail,x-systemd.automount,uid=12,gid=13,umask=027,workspace={files.config}"
    with unmounted(files, files.cwd / "mnt") as m:
        # What mount(8) starts; itself it looks for programs in fixed folders only.
        mount = ["mount.fuse3", files.ref("in"), m, "-t", "fuse.sluice", "-o", options]
        subprocess.run(mount, check=True, cwd="/", env=files.env, timeout=PATIENCE)
        assert read_tree(m) == files.below("in")
        info = (m / "1/001").stat()
        assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (12, 13, 0o440)
        # Busy it is while another program looks at all mounts that there are.
        until("an unmount", lambda: subprocess.run(["umount", m], timeout=PATIENCE).returncode == 0)
        assert not is_mount(m)


def test_the_helper_returns_what_mount_8_expects(files):
    with unmounted(files, files.cwd / "mnt") as m:
        files.run(files.ref("in"), m, "-o", "live,attr_timeout=5s,dev,suid")
        assert read_tree(m) == files.below("in")
        # What `mount -a` compares with its line, which it leaves alone then.
        assert f" - fuse.sluice {files.ref('in')} " in Path("/proc/self/mountinfo").read_text()
        files.run("unmount", m)
        assert "no setting 'frob'" in files.run(files.ref("in"), m, "-o", "frob", code=32).err
        assert "'umask'" in files.run(files.ref("in"), m, "-o", "umask=9", code=32).err
        assert "'cache_size' meant" in files.run(files.ref("in"), m, "-o", "cache_sise=9", code=32).err
        assert "unmount it first" in files.run(files.ref("in"), m, "-o", "ro,remount", code=32).err
        assert "no/such" in files.run(files.ref("no/such"), m, "-o", "ro", code=32).err
        assert not is_mount(m)


# --- the service manager ---


class Manager:
    """The end of NOTIFY_SOCKET that a service manager has."""

    def __init__(self, folder):
        self.path = str(folder / "n")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(PATIENCE)

    def next(self):
        return self.sock.recv(4096).decode()


@pytest.mark.parametrize("how", [[], ["--no-supervisor"]])
def test_systemd_hears_when_it_is_ready_and_when_it_stops(files, how, tmp_path_factory):
    manager = Manager(tmp_path_factory.mktemp("s"))
    with unmounted(files, files.cwd / "mnt") as m:
        env = {"NOTIFY_SOCKET": manager.path}
        p = files.start("mount", "--foreground", *how, files.ref("in"), m, env=env)
        assert manager.next() == "READY=1"
        assert read_tree(m) == files.below("in")
        p.send_signal(signal.SIGTERM)
        assert manager.next() == "STOPPING=1"
        assert p.wait(timeout=PATIENCE) == 0
        assert not is_mount(m)


def test_systemd_hears_nothing_of_a_mount_that_fails(files, tmp_path_factory):
    manager = Manager(tmp_path_factory.mktemp("s"))
    p = files.start("mount", "-f", files.ref("no/such"), files.cwd, env={"NOTIFY_SOCKET": manager.path})
    assert p.wait(timeout=PATIENCE) != 0
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.next()


# --- a device that is given ---


@needs_root
@pytest.mark.parametrize("how", [[], ["--no-supervisor"]], ids=["supervised", "alone"])
def test_a_device_that_a_runtime_has_mounted(files, how):
    """The process needs no right to mount: it gets the descriptor, as /dev/fd/N."""
    libc = ctypes.CDLL(None, use_errno=True)
    m = files.cwd / "mnt"
    m.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions"
    assert libc.mount(b"given", bytes(m), b"fuse.given", 1, data.encode()) == 0, os.strerror(ctypes.get_errno())
    try:
        p = subprocess.Popen(
            ["sluice", "mount", "-f", *how, files.ref("in"), f"/dev/fd/{device}"],
            cwd=files.cwd,
            env=files.env,
            pass_fds=[device],
        )
        os.close(device)
        assert read_tree(m) == files.below("in")
        for _ in range(0 if how else 3):
            children = Path(f"/proc/{p.pid}/task/{p.pid}/children")
            os.kill(int(until("a worker", children.read_text)), signal.SIGKILL)
            assert read_tree(m) == files.below("in")
            os.statvfs(m)  # of the one that serves now
    finally:
        assert libc.umount2(bytes(m), 2) == 0
    assert p.wait(timeout=PATIENCE) == 0


def test_a_descriptor_that_is_no_device(files):
    fd = os.open("/dev/null", os.O_RDWR)
    done = subprocess.run(
        ["sluice", "mount", "-f", "--no-supervisor", files.ref("in"), f"/dev/fd/{fd}"],
        cwd=files.cwd,
        env=files.env,
        pass_fds=[fd],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(fd)
    assert done.returncode == BAD_INPUT and "no descriptor of /dev/fuse" in done.stderr
    files.run("mount", files.ref("in"), "/dev/fd/9", code=USAGE)


# --- settings and indexers ---


def test_settings_are_shown_with_their_origin(files):
    env = {"DATASET_MOUNT_READ_THREADS": "7", "SLUICE_LIVE": "yes", "RSLEX_LOG_STDOUT": "1"}
    done = files.run("mount", "--show-settings", "--memory", "1GiB", "-o", "json", env=env)
    rows = {r["name"]: (r["value"], r["origin"]) for r in done.json}
    assert rows["memory"] == ("1GiB", "option")
    assert rows["read_threads"] == ("7", "DATASET_MOUNT_READ_THREADS")
    assert rows["live"] == ("true", "SLUICE_LIVE")
    assert rows["io_timeout"] == ("60s", "default")
    assert "RSLEX_LOG_STDOUT is ignored" in done.err
    config = files.config.read_text()
    files.config.write_text(config.replace("{", '{"settings": {"io_timeout": "5s"},', 1))
    assert "settings.io_timeout" in files.run("mount", "--show-settings").out


def test_every_setting_is_in_the_manual(files):
    page = (SRC / "docs/sluice.1.scd").read_text().replace("\\", "")
    for verb in ["mount", "download"]:
        for row in files.run(verb, "--show-settings", "-o", "json").json:
            assert f"*{row['name']}* (" in page
            assert all(a in page for a in row["aliases"])


@pytest.mark.parametrize("verb", ["mount", "download"])
def test_nonsense_is_refused_before_anything_happens(files, verb):
    env = {"DATASET_MOUNT_CACHE_SIZE": "much"}
    done = files.run(verb, files.ref("in"), files.cwd / "x", env=env, code=BAD_INPUT)
    assert "DATASET_MOUNT_CACHE_SIZE is 'much'" in done.err and "bytes" in done.err
    assert not (files.cwd / "x").exists()


@pytest.mark.parametrize("options", [[], ["--live"]])
@pytest.mark.parametrize("how", ["warn", "refuse"])
def test_an_indexer_is_warned_of_or_refused(files, options, how):
    indexer = files.cwd / "updatedb"
    shutil.copy(shutil.which("ls"), indexer)
    log = files.cwd / "log"
    with files.mounted(files.ref("in"), None, *options, "--set", f"scanners={how}", "--log", log) as m:
        done = subprocess.run([indexer, m / "1", m / "2"], capture_output=True, text=True, check=False)
        assert ("001" in done.stdout) == (how == "warn")
        assert sorted(os.listdir(m / "1")) == ["001", "004", "007"]
        until("a line about it", lambda: "updatedb" in log.read_text())
    assert len([x for x in Path(log).read_text().splitlines() if "'updatedb'" in x]) == 1
