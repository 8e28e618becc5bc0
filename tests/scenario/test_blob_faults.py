# SPDX-License-Identifier: Apache-2.0
"""Each fault that a service, or what is between it and us, can make, against each verb.  The oracle: right bytes, or
one clean line in bounded time; and the test server's log has to say that the fault happened."""

import errno
import hashlib
import itertools
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import RUNG, Workspace, asks_once, needs_fuse, until, worker_of
from stores import BlobStore

SMALL = b"some bytes that are not many\n" * 40
BIG = hashlib.shake_256(b"blob").digest(1 << 20) * 20  # in blocks up, in several ranges down
OLD = b"what was there before"
BOUND = 120  # seconds: a try of an op has sixty, and cp may look after what it left


@pytest.fixture
def ws(blobd, tmp_path, request):
    name = "f-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    w = Workspace(tmp_path, BlobStore(blobd, name))
    w.server = blobd
    w.put("d/small", SMALL)
    (tmp_path / "small").write_bytes(SMALL)
    return w


def clean(done):
    """Exit status 0, or one line that names what it is about."""
    if done.returncode == 0:
        return True
    said = done.stderr.decode().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith(("sluice: ", '{"error":'))
    text = said[0]
    assert "'" in text and "sig=" not in text
    return False


def content(ws, path):
    return ws.get(path) if ws.exists(path) else None


class Verb:
    """A command, which of its requests the fault is for, what has to hold before and after."""

    def __init__(self, name, op, *args, where="data", before=None, after=None):
        self.name, self.op, self.args, self.where = name, op, args, where
        self.before, self.after = before or (lambda ws: None), after

    def __repr__(self):
        return self.name

    def run(self, ws, rule):
        """True: it was done; False: a clean error."""
        self.before(ws)
        container = (ws.store if self.where == "data" else ws.registry).name
        args = [a.format(d=ws.ref("d")) for a in self.args]
        with ws.server.failing(f"{self.op} {container}/* {rule}") as server:
            done = subprocess.run(["sluice", *args], cwd=ws.cwd, env=ws.env, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=BOUND)  # fmt: skip
            assert server.fired(), f"the fault did not happen: {server.log()}"
        good = clean(done)
        self.after(ws, good, done.stdout)
        return good


def stat_after(ws, good, out):
    assert not good or json.loads(out)["size"] == len(SMALL)


def ls_after(ws, good, out):
    assert not good or out.decode().split() == ["small"]


def cat_after(ws, good, out):
    assert out == SMALL if good else SMALL.startswith(out)


def down_before(ws):
    ws.put("d/big", BIG)


def down_after(ws, good, out):
    target = ws.cwd / "down"
    assert good == target.exists()
    assert not good or target.read_bytes() == BIG
    assert not [p for p in os.listdir(ws.cwd) if p.startswith((".sluice-", ".down"))]


def target_before(ws):
    ws.put("d/target", OLD)
    (ws.cwd / "big").write_bytes(BIG)


def target_after(data):
    def after(ws, good, out):
        there = ws.get("d/target")
        assert there == data if good else there in (OLD, data)

    return after


def absent_after(ws, good, out):
    assert content(ws, "d/absent") == SMALL if good else content(ws, "d/absent") in (None, SMALL)


def rm_after(ws, good, out):
    there = content(ws, "d/target")
    assert there is None if good else there in (None, OLD)


def register_after(ws, good, out):
    versions = [r["version"] for r in ws.json("data", "list", "t")] if good else None
    assert versions in (None, ["1"])
    again = ws.json("data", "create", "--name", "t", "--path", ws.ref("d"))
    assert again["version"] == "1"  # done or not: what it left is no obstacle


STAT = Verb("stat", "head", "stat", "-o", "json", "{d}/small", after=stat_after)
LS = Verb("ls", "list", "ls", "-R", "{d}", after=ls_after)
CAT = Verb("cat", "get", "cat", "{d}/small", after=cat_after)
DOWN = Verb("down", "get", "cp", "{d}/big", "down", before=down_before, after=down_after)
UP = Verb("up", "put", "cp", "--overwrite", "small", "{d}/target", before=target_before, after=target_after(SMALL))
ABSENT = Verb("absent", "put", "cp", "small", "{d}/absent", after=absent_after)
BLOCK = Verb("block", "putblock", "cp", "--overwrite", "big", "{d}/target", before=target_before,
             after=target_after(BIG))  # fmt: skip
COMMIT = Verb("commit", "putlist", "cp", "--overwrite", "big", "{d}/target", before=target_before,
              after=target_after(BIG))  # fmt: skip
COPY = Verb("copy", "copy", "cp", "--overwrite", "{d}/small", "{d}/target", before=target_before,
            after=target_after(SMALL))  # fmt: skip
RM = Verb("rm", "delete", "rm", "{d}/target", before=target_before, after=rm_after)
REGISTER = Verb("register", "put", "data", "create", "--name", "t", "--path", "{d}", where="registry",
                after=register_after)  # fmt: skip

ALL = [STAT, LS, CAT, DOWN, UP, ABSENT, BLOCK, COMMIT, COPY, RM, REGISTER]
READS = [STAT, LS, CAT, DOWN]
BODIES = [LS, CAT, DOWN]  # the answer has one
UPLOADS = [UP, ABSENT, BLOCK, COMMIT, REGISTER]

PASSES = {  # tried again, or asked in another way
    "1 status 503 ServerBusy retry-after=0": ALL,
    "1-2 status 503 ServerBusy": ALL,
    "1 status 429 TooManyRequests retry-after=1": ALL,
    "1 status 500 InternalError": ALL,
    "1 status 500 OperationTimedOut": ALL,
    "1 status 502": ALL,
    "1 status 408": ALL,
    "1 lost": ALL,
    "1 delay 200": ALL,
    "1 refuse-body": UPLOADS,
    "1 cut 0": BODIES,
    "1 cut 7": BODIES,
    "1 reset 3": BODIES,
    "1 stall 5": BODIES,
    "1 stall -1": READS,
    "1 drip 1": [CAT],
}
RIGHT_OR_CLEAN = {  # never anything else
    "* status 500 InternalError": ALL,
    "* status 503 ServerBusy retry-after=0": [CAT, UP, COMMIT],
    "* status 403 AuthenticationFailed": ALL,
    "* status 404 BlobNotFound": [STAT, CAT, DOWN, UP, BLOCK, COMMIT, RM],
    "* status 409 LeaseIdMissing": ALL,
    "* status 412 ConditionNotMet": ALL,
    "* status 416 InvalidRange": [CAT, DOWN],
    "* status 304 ConditionNotMet": [STAT, CAT, DOWN],
    "* status 400 InvalidBlockList": [COMMIT],
    "* redirect 0 http://127.0.0.1:1/elsewhere": ALL,
    "* redirect 0 file:///etc/passwd": READS,
    "* html": ALL,
    "* html 403": ALL,
    "* lost": [STAT, CAT, UP, ABSENT, RM],
    "* cut 9": BODIES,
    "* gzip": BODIES,
    "* two-lengths": BODIES,
    "* no-length": BODIES,
    "* extra": BODIES,
    "* shorten 5": BODIES,
    "* big-header 900000": READS,
    "* date 100000000": [STAT, LS, UP],
    "* etag": [CAT, DOWN],
    "* change": [CAT, DOWN],
    "2- change": [DOWN],
    "* empty-range": [CAT, DOWN],
    "* no-range": [CAT, DOWN],
    "* other-range": [CAT, DOWN],
    "* total": [CAT, DOWN],
    "* flip 12345": [DOWN],  # the blob's MD5 tells
    "* marker-same": [LS],
    "* marker-cycle": [LS],
    "* twice": [LS],
    "* wrong-size": [LS],
    "* shorten 300": [LS],
}


def cases(table):
    return [
        pytest.param(verb, rule, id=f"{verb}-{re.sub('[^a-zA-Z0-9*-]+', '_', rule)[:40]}")
        for rule, verbs in table.items()
        for verb in verbs
    ]


@pytest.mark.parametrize(("verb", "rule"), cases(PASSES))
def test_it_passes(ws, verb, rule):
    assert verb.run(ws, rule)


@pytest.mark.parametrize(("verb", "rule"), cases(RIGHT_OR_CLEAN))
def test_it_is_right_or_clean(ws, verb, rule):
    verb.run(ws, rule)


@pytest.fixture
def tree(hns, tmp_path, request):
    """The same on an account with a hierarchical namespace."""
    name = "h-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    w = Workspace(tmp_path, BlobStore(hns, name))
    w.server = hns
    w.put("d/small", SMALL)
    w.put("d/from", OLD)
    return w


def moved_after(ws, good, out):
    there = (content(ws, "d/from"), content(ws, "d/to"))
    assert there == (None, OLD) if good else there in ((None, OLD), (OLD, None))


def folder_after(ws, good, out):
    assert not good or not ws.exists("d/small")


def tree_after(ws, good, out):
    assert not good or sorted(out.decode().split()) == ["from", "small"]


MOVE = Verb("mv", "dfs", "mv", "{d}/from", "{d}/to", after=moved_after)
FOLDER = Verb("rm-R", "dfs", "rm", "-R", "{d}", after=folder_after)
TREE = Verb("ls-R", "dfs", "ls", "-R", "{d}", after=tree_after)
DFS_PASSES = ["1 status 503 ServerBusy retry-after=0", "1-2 status 503 ServerBusy", "1 lost", "1 delay 50"]
DFS_RULES = [
    "1 status 500 InternalError", "* status 500 InternalError", "* status 403 AuthorizationPermissionMismatch",
    "* status 412 ConditionNotMet", "* html", "* html 403", "* lost",
    "* redirect 0 http://127.0.0.1:1/elsewhere",
]  # fmt: skip


@pytest.mark.parametrize("rule", DFS_PASSES)
@pytest.mark.parametrize("verb", [MOVE, FOLDER, TREE], ids=repr)
def test_it_passes_at_the_dfs_endpoint(tree, verb, rule):
    assert verb.run(tree, rule)


@pytest.mark.parametrize(
    ("verb", "rule"), [*itertools.product([MOVE, FOLDER, TREE], DFS_RULES), (MOVE, "* status 404 PathNotFound")]
)
def test_it_is_right_or_clean_at_the_dfs_endpoint(tree, verb, rule):
    verb.run(tree, rule)


@pytest.mark.parametrize("verb", [UP, ABSENT, BLOCK, COMMIT, RM, REGISTER], ids=repr)
def test_who_is_not_the_service_cannot_say_that_it_was_done(ws, verb):
    """A proxy's page with status 200."""
    assert not verb.run(ws, "* html")


def gauges(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    number = {k: int(re.search(rf"^{k}:\s+(\d+)", status, re.M)[1]) for k in ("Threads", "RssAnon")}
    return {"fds": len(os.listdir(f"/proc/{pid}/fd")), **number}


MOUNT = [
    "1 status 503 ServerBusy retry-after=0", "1 status 500 InternalError", "1 status 429 TooManyRequests", "1 lost",
    "1 cut 0", "1 cut 100", "1 reset 100", "* status 403 AuthenticationFailed", "* status 404 BlobNotFound", "* etag",
    "* status 412 ConditionNotMet", "* no-range", "* total", "* other-range", "* empty-range", "* two-lengths", "* gzip",
    "* html", "* extra", "* shorten 9", "* big-header 900000", "* redirect 0 http://127.0.0.1:1/elsewhere", "1 no-length",
]  # fmt: skip


@needs_fuse
def test_a_mount_lives_through_all_of_it_and_does_not_grow(ws):
    """One fault after the other against one process; what failed is read well when the fault is over."""
    rounds = 4

    def name(r, i):
        return f"{99 - r}-{99 - i}"

    want = {f"m/{name(r, i)}": SMALL * 50 + b"%d %d" % (r, i) for r in range(rounds) for i in range(len(MOUNT))}
    ws.put_all(want)
    seen = []
    # none is fetched before it is asked for, when there is no fault yet
    with asks_once(ws).mounted(ws.ref("m"), ws.cwd / "mnt", "--set", "order_ahead=false") as point:
        pid = worker_of(point)
        for r in range(rounds):
            for i, rule in enumerate(MOUNT):
                path, data = point / name(r, i), want[f"m/{name(r, i)}"]
                with ws.server.failing(f"get {ws.store.name}/m/{name(r, i)} {rule}") as server:
                    failed = None
                    try:
                        assert path.read_bytes() == data, rule
                    except OSError as e:
                        failed = e
                    assert server.fired(), (rule, failed, gauges(pid))
                assert path.read_bytes() == data, rule
            seen.append(gauges(pid))
        first = seen[1]  # the first round fills pools
        most = {"fds": first["fds"] + 1, "Threads": first["Threads"] + 2, "RssAnon": first["RssAnon"] + 4096}
        if RUNG != "scenario":  # a sanitizer keeps what was freed
            del most["RssAnon"]

        def no_more():
            """A connection that broke, memory that was just read into, may take a moment to go."""
            seen[-1] = gauges(pid)
            return all(seen[-1][k] <= n for k, n in most.items())

        until(f"no more than after the second round: {seen}", no_more)


@needs_fuse
def test_a_file_that_changes_under_a_mount_is_stale(ws):
    ws.put("m/f", BIG)
    with ws.mounted(ws.ref("m"), ws.cwd / "mnt") as point:
        with ws.server.failing(f"get {ws.store.name}/m/f 1 change") as server:
            with pytest.raises(OSError) as e:
                (point / "f").read_bytes()
            assert e.value.errno == errno.ESTALE and server.fired()


def test_a_read_that_is_cut_goes_on_where_it_was(ws):
    ws.put("whole", BIG)
    with ws.server.failing(f"get {ws.store.name}/* 1 cut 100000") as server:
        asks_once(ws).run("cp", ws.ref("whole"), ws.cwd / "whole")
        (cut,) = server.fired()
        first, last = map(int, cut["range"].removeprefix("bytes=").split("-"))
        asked = [x["range"].removeprefix("bytes=") for x in server.log() if x["op"] == "get"]
    (rest,) = [x for x in asked if x.endswith(f"-{last}") and x != f"{first}-{last}"]
    assert 0 < int(rest.split("-")[0]) - first <= 100000
    assert (ws.cwd / "whole").read_bytes() == BIG
