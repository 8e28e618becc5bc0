# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: the built `sluice` run as a user would, a fresh workspace, mounts that are always
taken away again.  One behaviour a test; nothing sleeps: mounts and runs report when they are ready.

The `store` fixture is the store (stores.py) that the workspace's default datastore and its registry are on;
scenarios that use `ws.ref()`, `ws.put()` and the like run unchanged on every kind."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

import hdfs_judges
import hdfs_server
import pytest
from stores import BlobStore, HdfsStore, LocalStore, as_bytes

# Sanitizers watch our code, not the servers: the test server is quick enough to be there as well.
STORES = {"scenario": ["local", "blob", "hns", "hdfs"], "asan": ["local", "hns"]}.get(
    os.environ.get("SLUICE_RUNG", "scenario"), ["local"]
)
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
    # A shell that starts the tests in the background lets them ignore this, and so every program that they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "xdist_group(name): runs in the process of that name")
    config.addinivalue_line("markers", "spark: needs pyspark and Java")
    config.addinivalue_line("markers", "local_only: about local folders, not about stores")
    config.addinivalue_line("markers", "only_on(*kinds): about these kinds of store")
    config.addinivalue_line("markers", "tsan: belongs to the thread sanitizer's rung as well")


def pytest_generate_tests(metafunc):
    if "store" in metafunc.fixturenames:
        local = metafunc.definition.get_closest_marker("local_only")
        only = metafunc.definition.get_closest_marker("only_on")
        kinds = only.args if only else STORES
        metafunc.parametrize("store", ["local"] if local else [k for k in kinds if k in STORES], indirect=True)


# The servers that are started once a session; the tests of one of them run in one process (--dist loadgroup).
SERVERS = {"azurite": "blob", "blobd": "blobd", "hns": "hns", "hdfs": "hdfs"}


def pytest_collection_modifyitems(items):
    for item in items:
        params = getattr(item, "callspec", None)
        kind = params and params.params.get("store")
        if not kind or kind == "local":
            kind = next((group for name, group in SERVERS.items() if name in item.fixturenames), None)
        own = item.get_closest_marker("xdist_group")
        if kind and not (own and own.args[0] in SERVERS.values()):
            item.add_marker(pytest.mark.xdist_group(kind))


def fuse_usable():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        return f"/dev/fuse: {e.strerror}"
    return None


needs_fuse = pytest.mark.skipif(fuse_usable() is not None, reason=f"no FUSE here ({fuse_usable()})")
# For what is a matter of local folders: links, permissions, the embedded store.
local_only = pytest.mark.local_only
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)


PAIR_BLOCK = 16 << 10  # of the HDFS with two DataNodes
RECORD = ".sluice-complete"  # of a download, left in its target


def read_tree(folder):
    """The files below a folder: path in it -> bytes."""
    folder = Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != RECORD}


def until(what, check, patience=PATIENCE):
    """Waits for a condition that has no event to wait for; says which when it never comes.  What goes away while
    it is looked at (a staged file, a process) is looked at again."""
    end, late, gone = time.monotonic() + patience, False, None
    while not late:
        late = time.monotonic() >= end  # looked at once more: the test itself may have been stopped
        try:
            got = check()
        except (FileNotFoundError, ProcessLookupError) as e:
            got, gone = None, e
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}") from gone


def let_others_in(path):
    """Opens a folder of a test to other users, with the way there."""
    for p in [path, *path.parents]:
        if p.stat().st_mode & 0o005 != 0o005:
            p.chmod(p.stat().st_mode | 0o055)


def ended(pid):
    """With all its threads: the first of them may be gone while another one holds files and locks still."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX" for t in tasks)
    except (FileNotFoundError, ProcessLookupError):
        return not Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def held(ws, op, *args, **more):
    """A command of which some operations ("read:#20+") wait as long as the test wants: it is surely under way.  Of reads
    all from one on, since what is late is asked for once more.  Gives the process and what lets it go on."""
    gate = ws.cwd / "hold"
    gate.touch()
    p = ws.start(*args, env={"SLUICE_FAULT": f"{op}:while={gate}"}, **more)
    try:
        yield p, gate.unlink
    finally:
        gate.unlink(missing_ok=True)
        if p.returncode is None:
            p.kill()
            p.communicate()


def asks_once(ws):
    """For who counts requests: on a slow machine, too, none is sent a second time beside the first."""
    ws.env["SLUICE_NO_HEDGE"] = "1"
    return ws


def is_mount(path):
    return any(line.split(" ")[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def mounts_below(folder):
    """As the kernel lists them: nobody looks into a mount that is dead, or into a folder that goes meanwhile."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [p for p in points if p.startswith(f"{folder}/")]


def traced(env):
    """The environment of a program under strace, where no sanitizer can look for leaks."""
    return {**env, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def server_of(mountpoint, worker=False):
    """The process that a mount was started as, or the worker that serves it under that, by its command line."""
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            with contextlib.suppress(OSError):
                argv = (p / "cmdline").read_bytes().split(b"\0")
                works = any(a.startswith(b"--worker-fd=") for a in argv)
                if b"--foreground" in argv and str(mountpoint).encode() in argv and works == worker:
                    return int(p.name)
    return None


def worker_of(mountpoint):
    return server_of(mountpoint, worker=True)


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
        more = {"stdin": subprocess.DEVNULL, **more}
        return subprocess.Popen(["sluice", *map(str, args)], cwd=self.cwd, env={**self.env, **(env or {})}, **more)

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
        self.kind = store.kind
        self.run("init", ".", "--name", "test")
        self.config = self.cwd / "config.json"
        self.placed = {}
        if store.kind == "local":
            self.store = LocalStore(self.cwd / ".sluice/workspaceblobstore")
            self.registry = LocalStore(self.cwd / ".sluice/root")
            self.folder = self.store.folder
        else:
            self.store = store.at("data")
            self.registry = store.at("registry")
            self.env["XDG_STATE_HOME"] = str(self.cwd / "state")  # where run files are then
            config = json.loads(self.config.read_text())
            config["datastores"] = {"workspaceblobstore": self.store.entry(), "state": self.registry.entry()}
            config["root"] = "azureml://datastores/state/paths/"
            self.config.write_text(json.dumps(config))
            self.store.mkdir("")

    def ref(self, path=""):
        return f"workspaceblobstore:{path}"

    def set_entry(self, **settings):
        """Settings of the default datastore, beside those it has."""
        config = json.loads(self.config.read_text())
        config["datastores"]["workspaceblobstore"].update(settings)
        self.config.write_text(json.dumps(config))

    def registry_ref(self, path):
        """A place in the registry, as a job file may name it."""
        return f"azureml://datastores/state/paths/{path}" if self.kind != "local" else str(self.registry.folder / path)

    # Objects of the store, not through sluice.

    def put(self, path, data):
        self.store.put(path, data)
        self.placed[path] = as_bytes(data)

    def put_all(self, objects):
        self.store.put_all(objects)
        self.placed.update((path, as_bytes(data)) for path, data in objects.items())

    def needs_name(self, name):
        if not self.store.holds(name):
            pytest.skip(f"this {self.kind} cannot hold {name!r}")

    def get(self, path):
        return self.store.get(path)

    def remove(self, path):
        self.store.remove(path)
        self.placed = {p: d for p, d in self.placed.items() if p != path and not p.startswith(f"{path}/")}

    def exists(self, path):
        return self.store.exists(path)

    def below(self, path):
        """What was put below a folder: path in it -> bytes."""
        return {p[len(path) + 1 :]: data for p, data in self.placed.items() if p.startswith(f"{path}/")}

    def uri(self, path):
        return self.store.uri(path)

    def register(self, name, path, *more):
        return self.json("data", "create", "--name", name, "--path", self.ref(path), *more)

    def versions(self, name):
        return [r["version"] for r in self.json("data", "list", name)]

    def runs(self):
        """The folder of the runs' files on this machine."""
        if self.kind == "local":
            return self.registry.folder / "runs"
        name = hashlib.sha256(os.fsencode(self.config)).hexdigest()[:16]
        return self.cwd / "state" / "sluice" / name / "runs"


@contextlib.contextmanager
def workspace_of_many(tmp_path, files):
    """A workspace in container `here`; datastore `many` has so many files, a thousand in each folder."""
    servers = pytest.importorskip("blobd", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not servers.program():
        pytest.skip("no blob test server here (tools/dev test builds it)")
    folder = tmp_path / "server"
    folder.mkdir()
    running = servers.Blobd(folder, "--synthetic", f"many={files}")
    try:
        ws = Workspace(tmp_path, BlobStore(running, "here"))
        pairs = BlobStore(running, "many").entry()
        pairs = sum([["--set", f"{k}={v}"] for k, v in pairs.items()], [])
        ws.run("datastore", "create", "many", "--skip-validation", *pairs)
        yield ws
    finally:
        running.stop()


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory):
    yield from hdfs_server.while_it_runs(hdfs_server.Hdfs, tmp_path_factory.mktemp("hdfs"))


@pytest.fixture(scope="session")
def hdfs_pair(tmp_path_factory):
    """With two DataNodes, and blocks so small that small files have many; its tests belong to the group "hdfs-pair"."""
    yield from hdfs_server.while_it_runs(
        hdfs_server.Hdfs, tmp_path_factory.mktemp("pair"), 2, dfs_blocksize=PAIR_BLOCK, dfs_replication=2
    )


@pytest.fixture(scope="session")
def fs_shell(hdfs_pair, tmp_path_factory):
    """Hadoop's own commands, for that one."""
    pytest.importorskip("py4j", reason="no py4j to call Hadoop (tools/dev deps scenario)")
    judge = hdfs_judges.FsShell(hdfs_pair, tmp_path_factory.mktemp("fsshell"))
    yield judge
    judge.stop()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    server = pytest.importorskip("azurite", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not server.program():
        pytest.skip("no Azurite: SLUICE_AZURITE or node is missing (tools/dev deps scenario)")
    running = server.Azurite(tmp_path_factory.mktemp("azurite"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def blobd(tmp_path_factory):
    """The blob test server; tests that need options of their own start theirs."""
    server = pytest.importorskip("blobd", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not server.program():
        pytest.skip("no blob test server: SLUICE_BLOBD (tools/dev build)")
    running = server.Blobd(tmp_path_factory.mktemp("blobd"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def hns(tmp_path_factory):
    """An account with a hierarchical namespace, which no emulator has."""
    server = pytest.importorskip("blobd", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not server.program():
        pytest.skip("no blob test server: SLUICE_BLOBD (tools/dev build)")
    running = server.Blobd(tmp_path_factory.mktemp("hns"), "--hns", "--page", 50)
    yield running
    running.stop()


@pytest.fixture
def store(request, tmp_path):
    if request.param == "local":
        return LocalStore(tmp_path)
    if request.param == "hns":
        return BlobStore(request.getfixturevalue("hns"), f"sc-{uuid.uuid4().hex[:12]}")
    if request.param == "blob":
        return BlobStore(request.getfixturevalue("azurite"), f"sc-{uuid.uuid4().hex[:12]}")
    return HdfsStore(request.getfixturevalue("hdfs"), f"/scenario{tmp_path}")


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
