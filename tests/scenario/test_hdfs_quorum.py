# SPDX-License-Identifier: Apache-2.0
"""Three NameNodes over a JournalNode: reading from the observer, failover with Kerberos and with the token of a job."""

import json
import os
import random

import hdfs_quorum
import hdfs_server
import kerberos_server
import pytest
from conftest import Sluice, needs_fuse

pytestmark = [
    pytest.mark.xdist_group("hdfs-quorum"),
    pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="five servers each: SLUICE_DEEP=1"),
]
DATA = random.Random(9).randbytes(300_000)
ACTIVE, OBSERVER = 0, 2


class Site(Sluice):
    """A workspace with a datastore `d` that Hadoop's configuration describes; nothing of it may go by WebHDFS."""

    def __init__(self, cwd, server):
        super().__init__(cwd)
        self.server = server
        self.run("init", ".", "--name", "test")
        if server.kdc:
            self.env["KRB5_CONFIG"] = str(server.kdc.conf)
            self.env["KRB5CCNAME"] = f"FILE:{cwd}/cc"
        self.entry()

    def entry(self, **more):
        config = json.loads((self.cwd / "config.json").read_text())
        config["datastores"]["d"] = {
            "type": "hdfs", "hadoop_conf": str(self.server.conf), "path": f"/quorum{self.cwd}",
            "protocol": "native", "http_address": "localhost:1", **more,
        }  # fmt: skip
        (self.cwd / "config.json").write_text(json.dumps(config))

    def put(self, *names, data=DATA):
        (self.cwd / "local").mkdir(exist_ok=True)
        for name in names:
            (self.cwd / "local" / name).write_bytes(data)
        self.run("cp", *[f"local/{name}" for name in names], "d:many/")

    def reads(self, name):
        return self.run("cat", f"d:many/{name}", text=False).out == DATA


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    hdfs_server.need()
    server = hdfs_quorum.Quorum(tmp_path_factory.mktemp("quorum"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    hdfs_server.need()
    if kerberos_server.missing():
        pytest.skip(f"no KDC: {', '.join(kerberos_server.missing())}")
    folder = tmp_path_factory.mktemp("quorum-kerberos")
    kdc = kerberos_server.Kdc(folder / "kdc")
    kdc.alice = kdc.keytab("alice", "alice")
    server = hdfs_quorum.Quorum(folder / "hdfs", kdc)
    yield server
    server.stop()
    kdc.stop()


def test_what_only_reads_goes_to_the_observer(trio, tmp_path):
    """But for the first question, which the active one answers; and each file is there as soon as it was written."""
    ws = Site(tmp_path, trio)
    names = [f"{i}" for i in range(20)]
    ws.put(*names)
    before = [len(trio.calls(i, "open")) for i in range(3)]
    ws.run("download", "d:many", "out")
    assert {p.name for p in (ws.cwd / "out").iterdir() if p.name.isdigit()} == set(names)
    opened = [len(trio.calls(i, "open")) - n for i, n in enumerate(before)]
    assert opened[OBSERVER] >= 15 and opened[1] == 0, opened
    assert len(trio.calls(OBSERVER, "create")) == 0


@needs_fuse
def test_a_mount_sees_what_another_program_writes(trio, tmp_path):
    """Not later than it would by the active one alone: what it asks is a second old at most."""
    ws = Site(tmp_path, trio)
    ws.put("a")
    with ws.mounted("d:many") as m:
        assert (m / "a").read_bytes() == DATA
    ws.put("b")
    with ws.mounted("d:many") as m:
        assert (m / "b").read_bytes() == DATA


def test_who_is_not_told_of_observers_reads_from_the_active_one(trio, tmp_path):
    """One that is met on the way answers nothing, since it is not told how far it has to be."""
    ws = Site(tmp_path, trio)
    ws.put("a")
    config = json.loads((ws.cwd / "config.json").read_text())
    entry = config["datastores"]["d"]
    del entry["hadoop_conf"]
    entry |= {"namenode": ",".join(reversed(trio.rpc)), "nameservice": "trio"}
    (ws.cwd / "config.json").write_text(json.dumps(config))
    before = len(trio.calls(OBSERVER, "open"))
    assert ws.reads("a")
    ws.put("b")
    assert ws.reads("b")
    assert len(trio.calls(OBSERVER, "open")) == before


def test_a_failover_and_then_no_observer(trio, tmp_path):
    ws = Site(tmp_path, trio)
    ws.put("a")
    trio.fail_over()
    assert ws.reads("a")
    ws.put("b")
    assert ws.reads("b")
    trio.nodes[OBSERVER].kill()
    trio.nodes[OBSERVER].wait()
    ws.put("c")
    assert ws.reads("c")


def test_a_failover_with_kerberos(secure, tmp_path):
    ws = Site(tmp_path, secure)
    ws.entry(kerberos={"principal": "alice", "keytab": str(secure.kdc.alice)})
    ws.put("a")
    assert ws.reads("a")
    secure.fail_over()
    assert ws.reads("a")
    ws.put("b")
    assert ws.reads("b")
    assert "alice@SLUICE.TEST (auth:KERBEROS)" in secure.calls(secure.active, "create")


def test_a_failover_with_the_token_of_a_job(secure, tmp_path):
    """The token is for the logical name (ha-hdfs:trio), so any of its NameNodes takes it."""
    ws = Site(tmp_path, secure)
    cache = secure.kdc.tickets(secure.kdc.alice, "alice", tmp_path / "judge")
    ticket = {"KRB5CCNAME": f"FILE:{cache}"}
    tokens = tmp_path / "tokens"
    secure.tool("hdfs.tools.DelegationTokenFetcher", "--renewer", "alice", tokens, env=ticket)
    ws.env["HADOOP_TOKEN_FILE_LOCATION"] = str(tokens)
    ws.put("t")
    assert ws.reads("t")
    secure.fail_over()
    assert ws.reads("t")
    ws.put("u")
    assert ws.reads("u")
    assert secure.calls(secure.active, "create")[-1] == "alice@SLUICE.TEST (auth:TOKEN)"
