# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: the built `sluice` run as a user would, a fresh workspace, mounts that are always
taken away again.  One behaviour a test; nothing sleeps: mounts and runs report when they are ready.

The `store` fixture names the kind of store that the workspace's default datastore is on; scenarios that use
`ws.ref()` run unchanged on every kind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

STORES = ["local"]
RUNG = os.environ.get("SLUICE_RUNG", "scenario")
NOISE = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:|uninitialised|Assertion"
)
# Sanitized processes are slower; no scenario waits longer than this for anything.
PATIENCE = 60 if RUNG == "scenario" else 180

# The exit statuses of sluice(1).
USAGE, NOT_FOUND, NO_PERMISSION, EXISTS, BAD_INPUT, CHANGED, IO_ERROR, NO_SPACE = range(2, 10)
RUN_FAILED, CANCELED, NOT_SUPPORTED = 10, 11, 12


def pytest_configure(config):
    config.addinivalue_line("markers", "spark: needs pyspark and Java")
    config.addinivalue_line("markers", "tsan: belongs to the thread sanitizer's rung as well")


def fuse_usable():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        return f"/dev/fuse: {e.strerror}"
    return None


needs_fuse = pytest.mark.skipif(fuse_usable() is not None, reason=f"no FUSE here ({fuse_usable()})")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)


def until(what, check, patience=PATIENCE):
    """Waits for a condition that has no event to wait for; says which when it never comes."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        got = check()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}")


def is_mount(path):
    return any(line.split(" ")[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def server_of(mountpoint):
    """The process that serves a mount, found by its command line."""
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            with contextlib.suppress(OSError):
                argv = (p / "cmdline").read_bytes().split(b"\0")
                if b"--foreground" in argv and str(mountpoint).encode() in argv:
                    return int(p.name)
    return None


class Sluice:
    """The command, run in a folder; every mount made in it is undone at the end."""

    def __init__(self, cwd):
        self.cwd = Path(cwd)
        self.env = {**os.environ, "LC_ALL": "C.UTF-8"}

    def run(self, *args, code=0, env=None, cwd=None, preexec=None, text=True):
        done = subprocess.run(
            ["sluice", *map(str, args)],
            cwd=cwd or self.cwd,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=text,
            timeout=PATIENCE * 4,
            preexec_fn=preexec,
        )
        noise = done.stderr if text else done.stderr.decode(errors="replace")
        assert not NOISE.search(noise), noise
        assert done.returncode == code, (
            f"sluice {args}: exit {done.returncode}, not {code}\n{noise}{done.stdout if text else ''}"
        )
        if code != 0 and text:
            lines = [x for x in done.stderr.splitlines() if x.startswith(("sluice: ", '{"error":'))]
            assert len(lines) >= 1, f"no line that says why: {done.stderr!r}"
        return Result(done)

    def start(self, *args, env=None, **more):
        return subprocess.Popen(
            ["sluice", *map(str, args)], cwd=self.cwd, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, **more
        )

    def json(self, *args, **more):
        return self.run(*args, "--output", "json", **more).json

    @contextlib.contextmanager
    def mounted(self, ref, point=None, *options, env=None):
        point = Path(point or self.cwd / "mnt")
        point.mkdir(exist_ok=True)
        self.run("mount", *options, ref, point, env=env)
        try:
            yield point
        finally:
            if is_mount(point):
                self.run("unmount", point)


class Workspace(Sluice):
    def __init__(self, cwd, store):
        super().__init__(cwd)
        self.kind = store
        self.run("init", ".", "--name", "test")
        self.config = self.cwd / "config.json"
        self.folder = self.cwd / ".sluice" / "workspaceblobstore"

    def ref(self, path=""):
        return f"workspaceblobstore:{path}"

    def put(self, path, data):
        """Puts an object into the store, not through sluice."""
        full = self.folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data if isinstance(data, bytes) else data.encode())
        return full

    def register(self, name, path, *more):
        return self.json("data", "create", "--name", name, "--path", self.ref(path), *more)

    def versions(self, name):
        return [r["version"] for r in self.json("data", "list", name)]

    def runs(self):
        return self.cwd / ".sluice" / "root" / "runs"


@pytest.fixture(params=STORES)
def store(request):
    return request.param


@pytest.fixture
def ws(tmp_path, store):
    w = Workspace(tmp_path, store)
    yield w
    # A failed test may leave mounts; nothing else may.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        if point.startswith(str(tmp_path)):
            subprocess.run(["umount", "-l", point], check=False)
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            with contextlib.suppress(OSError):
                argv = (p / "cmdline").read_bytes()
                if argv.startswith(b"sluice\0") or b"/sluice\0" in argv:
                    if os.readlink(p / "cwd").startswith(str(tmp_path)) or str(tmp_path).encode() in argv:
                        os.kill(int(p.name), signal.SIGKILL)


@pytest.fixture
def bare(tmp_path):
    return Sluice(tmp_path)
