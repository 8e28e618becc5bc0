# SPDX-License-Identifier: Apache-2.0
"""DataNodes that die or stop in the middle, by Hadoop's own protocols and by WebHDFS, on an HDFS with two of them that has no other
users; and a file that changes all the time while it is read."""

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.error

import hdfs_server
import pytest
from conftest import CHANGED, EXISTS, IO_ERROR, NOT_FOUND, PATIENCE, Workspace, needs_fuse, read_tree, until
from stores import HdfsStore

pytestmark = pytest.mark.xdist_group("hdfs-faults")
BLOCK = 256 << 10
DEEP = bool(os.environ.get("SLUICE_DEEP"))
DATA = random.Random(9).randbytes(24 << 20)
PART = 20 << 20  # of it is written before


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    yield from hdfs_server.while_it_runs(
        hdfs_server.Hdfs, tmp_path_factory.mktemp("two"), 2, dfs_blocksize=BLOCK, dfs_replication=2,
        **{"dfs.namenode.heartbeat.recheck-interval": 2000},  # a killed DataNode is known to be dead after 14 s
    )  # fmt: skip


@pytest.fixture(params=["native", "webhdfs"])
def ws(two, tmp_path, request):
    ws = Workspace(tmp_path, HdfsStore(two, f"/faults{tmp_path}"))
    config = json.loads(ws.config.read_text())
    entry = config["datastores"]["workspaceblobstore"]
    rpc = entry.pop("rpc_address")
    if request.param == "native":
        entry.update(namenode=rpc, http_address="127.0.0.1:1")
    entry["protocol"] = ws.protocol = request.param
    ws.config.write_text(json.dumps(config))
    yield ws
    for i in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.kill(two.datanode(i).pid, signal.SIGCONT)
    two.restart_datanodes()


def writing(ws, name):
    """A copy from standard input that has written something."""
    job = ws.start("cp", "-", ws.ref(name), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    job.stdin.write(DATA[:PART])
    job.stdin.flush()
    folder = os.path.dirname(name)
    until("it writes", lambda: any(x.startswith(".sluice-") for x in lies_in(ws, folder)))
    return job


def lies_in(ws, folder):
    found = json.loads(ws.store.ask("GET", folder, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    return sorted(x["pathSuffix"] for x in found)


def finish(job, data):
    err = job.communicate(data, timeout=200)[1].decode()
    assert job.returncode == 0, err


@needs_fuse
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_one_of_two_datanodes(ws, two, sig):
    """In the middle of a read and of a write: both go on with the other one."""
    stopped = sig == signal.SIGSTOP
    if ws.protocol == "webhdfs" and stopped and not DEEP:
        pytest.skip("a DataNode that is asked by WebHDFS is waited for: SLUICE_DEEP=1")
    ws.put("d/f", DATA)
    with ws.mounted(ws.ref("d")) as m, open(m / "f", "rb", buffering=0) as f:
        assert os.pread(f.fileno(), 100, 0) == DATA[:100]
        job = writing(ws, "d/new") if DEEP or not stopped else None
        two.datanode(0).send_signal(sig)
        got = b"".join(iter(lambda: f.read(1 << 20), b""))
        assert got == DATA
    if job:
        finish(job, DATA[PART:])
        assert ws.run("cat", ws.ref("d/new"), text=False).out == DATA
        assert lies_in(ws, "d") == ["f", "new"]


def test_all_datanodes_are_down(ws, two):
    """Promise 6, and 2: nothing half-written shows up."""
    if ws.protocol == "native" and not DEEP:
        pytest.skip("a NameNode knows it after half a minute only: SLUICE_DEEP=1")
    ws.put("d/f", DATA)
    for i in range(2):
        two.kill_datanode(i)
    for args in (["cat", ws.ref("d/f")], ["cp", "config.json", ws.ref("d/g")]):
        err = ws.run(*args, code=IO_ERROR, text=False).err.decode()
        assert err.count("\n") == 1 and f"'{args[-1].split(':')[1]}'" in err and "DataNode" in err, err
    assert ws.run("ls", ws.ref("d")).out == "f\n" and lies_in(ws, "d") == ["f"]


def test_the_namenode_stands_still(ws, two):
    """Its port accepts whatever comes.  It is said within seconds, by its address; what was begun before goes on with it."""
    if ws.protocol == "webhdfs" and not DEEP:
        pytest.skip("an answer by HTTP is waited for longer: SLUICE_DEEP=1")
    ws.put("d/f", DATA[:1000])
    job = writing(ws, "d/new")
    namenode = two.processes[0]
    namenode.send_signal(signal.SIGSTOP)
    try:
        err = ws.run("cat", ws.ref("d/f"), code=IO_ERROR).err
    finally:
        namenode.send_signal(signal.SIGCONT)
    address = two.rpc if ws.protocol == "native" else two.web
    assert err.count("\n") == 1 and f"'{address}'" in err and "stands still" in err, err
    finish(job, DATA[PART:])
    assert ws.run("cat", ws.ref("d/new"), text=False).out == DATA


# --- the lease ---

LEASE = 45  # seconds, after which the NameNode takes a file away that nobody renewed
SLOW = 24_000  # bytes a second that a DataNode takes


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """An HDFS that takes files away soon, and is so slow that a block takes longer than that."""
    yield from hdfs_server.while_it_runs(
        hdfs_server.Hdfs, tmp_path_factory.mktemp("strict"), 1,
        **{"dfs_namenode_lease-hard-limit-sec": LEASE, "dfs_datanode_data_write_bandwidthPerSec": SLOW},
    )  # fmt: skip


@pytest.mark.skipif(not DEEP, reason="a lease lasts long: SLUICE_DEEP=1")
def test_the_lease_is_renewed_while_a_slow_write_lasts(strict, tmp_path):
    """Neither does the NameNode close the file, nor does another writer get it after the soft limit of a minute."""
    ws = Workspace(tmp_path, HdfsStore(strict, f"/lease{tmp_path}"))
    config = json.loads(ws.config.read_text())
    entry = config["datastores"]["workspaceblobstore"]
    entry.update(namenode=entry.pop("rpc_address"), http_address="127.0.0.1:1", protocol="native")
    ws.config.write_text(json.dumps(config))
    data = DATA[: 2 * LEASE * SLOW]
    (ws.cwd / "data").write_bytes(data)
    job = ws.start("cp", "data", ws.ref("d/new"), stderr=subprocess.PIPE)
    until("it writes", lambda: ws.store.exists("d") and lies_in(ws, "d"))
    begun = time.monotonic()
    (name,) = lies_in(ws, "d")
    until("the soft limit is over", lambda: time.monotonic() > begun + 65, patience=90)
    where = json.loads(ws.store.ask("POST", f"d/{name}", "APPEND", noredirect="true"))["Location"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ws.store.ask("POST", None, None, url=where, data=b"not ours")
    assert "AlreadyBeingCreatedException" in refused.value.read().decode()
    err = job.communicate(timeout=200)[1].decode()
    assert job.returncode == 0, err
    assert ws.run("cat", ws.ref("d/new"), text=False).out == data


# --- a file that never rests ---


def changes(client, path, pick, states):
    """One change after the other, as their writers make them; each state is known before anybody can see it."""
    mark = 0

    def whole():
        nonlocal mark
        mark += 1
        return mark.to_bytes(4, "big") * (SIZE // 4 + pick.randrange(9000))

    now = whole()
    states.add(digest(now))
    put(client, path, now)
    yield
    while True:
        way = pick.choice(["overwritten", "appended", "recreated", "replaced"])
        if way == "appended":
            more = whole()[:5000]
            now += more
            states.add(digest(now))
            try:
                with client.append(path) as f:
                    f.write(more)
            except RuntimeError:
                put(client, path, now)
        else:
            now = whole()
            states.add(digest(now))
            if way == "recreated":
                client.delete(path)
            if way == "replaced":
                put(client, f"{path}.new", now)
                client.rename(f"{path}.new", path, overwrite=True)
            else:
                put(client, path, now)
        yield


SIZE = 3 * BLOCK + 12
BEING_WRITTEN = EXISTS  # the status of what is busy


def digest(data):
    return hashlib.sha256(data).digest()


def put(client, path, data):
    """This client gives up when a busy DataNode or NameNode lets it wait."""
    import hdfs_native

    end = time.monotonic() + PATIENCE
    while True:
        try:
            with client.create(path, hdfs_native.WriteOptions(block_size=4 * BLOCK, overwrite=True)) as f:
                f.write(data)
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def busy(server, path, states):
    """The changes, in a thread, until the end."""
    native = pytest.importorskip("hdfs_native", reason="no hdfs-native (tools/dev deps scenario)")
    client = native.Client(f"hdfs://{server.rpc}")
    ended, failed = threading.Event(), []
    steps = changes(client, path, random.Random(1), states)
    next(steps)

    def go():
        try:
            while not ended.is_set():
                next(steps)
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not failed, failed


@needs_fuse
def test_a_file_that_changes_all_the_time_is_never_a_mixture(ws, two):
    """Overwritten, appended to, deleted and made again, replaced by a rename: who reads gets one of its states, or is told."""
    states, told, whole = set(), 0, 0
    rounds = 60 if DEEP else 6

    def look(data):
        nonlocal whole
        assert digest(data) in states or is_being_written(data), f"{len(data)} bytes that never were"
        whole += 1

    def is_being_written(data):
        """What a writer has closed so far of a file that it makes: HDFS shows that, and it is of one state."""
        return len(set(data[i : i + 4] for i in range(0, len(data) // 4 * 4, 4))) <= 1

    with busy(two, f"{ws.store.folder}/d/f", states):
        end = time.monotonic() + PATIENCE
        for i in itertools.count():
            if i >= rounds and (whole or time.monotonic() > end):
                break  # who is slower than the changes is only told, time and again
            for args in (["cat", ws.ref("d/f")], ["download", ws.ref("d"), f"out{i}"]):
                done = subprocess.run(
                    ["sluice", *args], cwd=ws.cwd, env=ws.env, stdin=subprocess.DEVNULL, capture_output=True
                )
                assert done.returncode in (0, CHANGED, NOT_FOUND, BEING_WRITTEN), done.stderr
                if done.returncode:
                    told += 1
                elif args[0] == "cat":
                    look(done.stdout)
                else:
                    for data in read_tree(ws.cwd / f"out{i}").values():
                        look(data)
            point = ws.cwd / "mnt"
            point.mkdir(exist_ok=True)
            if subprocess.run(["sluice", "mount", ws.ref("d"), point], cwd=ws.cwd, env=ws.env, check=False).returncode:
                told += 1
                continue
            try:
                with contextlib.suppress(OSError), open(point / "f", "rb", buffering=0) as f:
                    look(b"".join(iter(lambda: f.read(100_000), b"")))
            finally:
                ws.run("unmount", point)
    print(whole, told)
    assert whole
