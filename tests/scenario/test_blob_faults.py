# SPDX-License-Identifier: Apache-2.0
"""Every fault that a service, or what is between it and us, can make, against every verb.  The oracle: right bytes, or
one clean line in bounded time; and the test server's log has to say that the fault happened."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import Workspace, needs_fuse, server_of, until
from stores import BlobStore

SMALL = b"some bytes that are not many\n" * 40
BIG = hashlib.shake_256(b"blob").digest(1 << 20) * 20  # in blocks up, in several ranges down
LINE = re.compile(r"^sluice: .+$")


@pytest.fixture
def ws(blobd, tmp_path, request):
    name = "f-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    w = Workspace(tmp_path, BlobStore(blobd, name))
    w.put("d/small", SMALL)
    w.put("d/big", BIG)
    (tmp_path / "small").write_bytes(SMALL)
    (tmp_path / "big").write_bytes(BIG)
    return w


def clean(done):
    """Exit status 0, or one line that names what it is about and does not leak."""
    if done.returncode == 0:
        return True
    lines = done.stderr.splitlines()
    assert lines and all(LINE.match(line) for line in lines), done.stderr
    assert "'" in lines[-1] and "sig=" not in done.stderr
    return False


# Each verb: what is there before, the command, and what has to hold after it.


def stat(ws):
    good, done = yield "stat", ws.ref("d/small")
    if good:
        assert f"size:     {len(SMALL)} " in done.stdout
    return good


def ls(ws):
    good, done = yield "ls", "-R", ws.ref("d")
    if good:
        assert sorted(done.stdout.split()) == ["big", "small"]
    return good


def cat(ws):
    good, done = yield "cat", ws.ref("d/small")
    assert done.stdout.encode() == SMALL if good else SMALL.startswith(done.stdout.encode())  # never other bytes
    return good


def down(ws):
    target = ws.cwd / "down"
    good, _ = yield "cp", ws.ref("d/big"), target
    assert not target.exists() or target.read_bytes() == BIG
    assert good == target.exists()
    assert not [p.name for p in ws.cwd.iterdir() if p.name.startswith((".sluice-", ".down"))]
    return good


def replaced(ws, name, data):
    """What is there afterwards is the old or the new, whole; with status 0 the new."""
    ws.put("d/target", "old")
    good, _ = yield "cp", "--overwrite", ws.cwd / name, ws.ref("d/target")
    assert ws.get("d/target") in ([data] if good else [b"old", data])
    return good


def up(ws):
    return (yield from replaced(ws, "small", SMALL))


def up_blocks(ws):
    return (yield from replaced(ws, "big", BIG))


def commit(ws):
    return (yield from replaced(ws, "big", BIG))


def up_absent(ws):
    good, _ = yield "cp", ws.cwd / "small", ws.ref("d/absent")
    there = ws.get("d/absent") if ws.exists("d/absent") else None
    assert there in ([SMALL] if good else [None, SMALL])
    return good


def rm(ws):
    ws.put("d/gone", "x")
    good, _ = yield "rm", ws.ref("d/gone")
    assert not (good and ws.exists("d/gone"))
    return good


def register(ws):
    good, _ = yield "data", "create", "--name", "t", "--path", ws.ref("d")
    versions = ws.json("data", "list", "t") if good else []
    assert len(versions) == good
    return good


# Which requests of a verb a rule is for.
VERBS = {
    stat: "head", ls: "list", cat: "get", down: "get", up: "put", up_absent: "put", up_blocks: "putblock",
    commit: "putlist", rm: "delete", register: "put",
}  # fmt: skip
READS = [stat, ls, cat, down]
WRITES = [up, up_absent, up_blocks, commit, rm, register]
BODIES = [ls, cat, down]

RIGHT = [  # passes: tried again, or read in another way
    *[(v, "1 status 503 ServerBusy retry-after=0") for v in VERBS],
    *[(v, "1-2 status 503 ServerBusy") for v in VERBS],
    *[(v, "1 status 429 TooManyRequests retry-after=1") for v in VERBS],
    *[(v, "1 status 500 InternalError") for v in [*READS, up, up_blocks]],
    *[(v, "1 status 408 OperationTimedOut") for v in READS],
    *[(v, "1 status 502 BadGateway") for v in READS],
    *[(v, "1 cut 0") for v in BODIES],
    *[(v, "1 cut 7") for v in BODIES],
    *[(v, "1 reset 3") for v in BODIES],
    *[(v, "1 lost") for v in VERBS],
    *[(v, "1 refuse-body") for v in [up, up_absent, up_blocks]],
    *[(v, "1 delay 200") for v in VERBS],
    *[(v, "1 stall -1") for v in READS],
    *[(v, "1 stall 5") for v in BODIES],
    (cat, "1 drip 1"),
]
CLEAN = [  # an error is as good as the right bytes; never anything else
    *[(v, "* status 500 InternalError") for v in [stat, cat, up, rm]],
    *[(v, "* status 403 AuthenticationFailed") for v in VERBS],
    *[(v, "* status 404 BlobNotFound") for v in [stat, cat, down, up, rm]],
    *[(v, "* status 409 LeaseIdMissing") for v in VERBS],
    *[(v, "* status 412 ConditionNotMet") for v in VERBS],
    *[(v, "* status 416 InvalidRange") for v in [cat, down]],
    *[(v, "* status 304 ConditionNotMet") for v in [stat, cat, down]],
    *[(v, "* redirect 0 http://127.0.0.1:1/elsewhere") for v in VERBS],
    *[(v, "* redirect 0 file:///etc/passwd") for v in [stat, ls, cat, down]],
    *[(v, "* html") for v in VERBS],
    *[(v, "* html 403") for v in VERBS],
    *[(v, "* gzip") for v in BODIES],
    *[(v, "* two-lengths") for v in BODIES],
    *[(v, "* no-length") for v in BODIES],
    *[(v, "* big-header 900000") for v in READS],
    *[(v, "* extra") for v in BODIES],
    *[(v, "* etag") for v in [cat, down]],
    *[(v, "* change") for v in [cat, down]],
    *[(v, "* date 100000000") for v in [stat, ls]],
    *[(v, f"* {f}") for v in [cat, down] for f in ("empty-range", "no-range", "other-range", "total", "shorten 5")],
    *[(ls, f"* {f}") for f in ("shorten 300", "marker-same", "marker-cycle", "twice", "wrong-size")],
    (down, "* flip 12345"),
]


def title(case):
    return f"{case[0].__name__}-{case[1].replace(' ', '_').replace('/', '')[:40]}"


def faulty(ws, case):
    verb, rule = case
    steps = verb(ws)
    args = next(steps)
    with ws.store.server.failing(f"{VERBS[verb]} {ws.store.name[:18]}* {rule}") as server:
        done = subprocess.run(
            ["sluice", *map(str, args)], cwd=ws.cwd, env=ws.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=150,
        )  # fmt: skip
        assert server.fired(), "the fault did not happen"
    with pytest.raises(StopIteration) as end:
        steps.send((clean(done), done))
    return end.value.value


@pytest.mark.parametrize("case", RIGHT, ids=title)
def test_it_passes(ws, case):
    assert faulty(ws, case)


@pytest.mark.parametrize("case", CLEAN, ids=title)
def test_it_is_right_or_clean(ws, case):
    faulty(ws, case)


def gauges(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
    return len(os.listdir(f"/proc/{pid}/fd")), threads, int(re.search(r"VmRSS:\s+(\d+)", status)[1])


@needs_fuse
def test_a_mount_lives_through_all_of_it_and_does_not_grow(ws):
    """The faults one after the other against one process: descriptors and memory stay what they were."""
    rules = [
        "1 status 503 ServerBusy retry-after=0", "1 status 500 InternalError", "1 cut 100", "1 reset 100", "1 lost",
        "1 etag", "1 no-range", "1 total", "1 other-range", "1 two-lengths", "1 gzip", "1 html", "1 extra", "1 shorten 9",
    ]  # fmt: skip

    def once(i, rule):
        ws.put(f"m/{i}", SMALL + str(i).encode())
        (ws.cwd / "m").mkdir(exist_ok=True)

    for i, rule in enumerate(rules * 3):
        once(i, rule)
    with ws.mounted(ws.ref("m"), ws.cwd / "mnt") as point:
        pid = server_of(point)
        before = None
        for i, rule in enumerate(rules * 3):
            with ws.store.server.failing(f"get {ws.store.name}*/m/{i} {rule}") as server:
                try:
                    got = (point / str(i)).read_bytes()
                    assert got == SMALL + str(i).encode()
                except OSError:
                    pass
                assert server.fired()
            if i == len(rules):
                before = until("a quiet mount", lambda: gauges(pid))
        fds, threads, rss = gauges(pid)
        assert fds <= before[0] + 2 and threads <= before[1] + 2 and rss <= before[2] + 4096
