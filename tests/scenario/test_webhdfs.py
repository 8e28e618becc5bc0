# SPDX-License-Identifier: Apache-2.0
"""What is HDFS's own: its words for trouble, its servers failing, who reads and writes with us."""

import http.client
import json
import os
import subprocess
import threading
import urllib.parse

import hdfs_server
import pytest
from between import between
from conftest import BAD_INPUT, EXISTS, Workspace, asks_once, needs_fuse, until
from stores import HdfsStore


@pytest.fixture
def ws(tmp_path, hdfs):
    """Natively, it is tested in test_hdfs_native.py, and by all tests of stores."""
    ws = Workspace(tmp_path, HdfsStore(hdfs, f"/scenario{tmp_path}"))
    change(ws, protocol="webhdfs")
    return ws


def change(ws, **keys):
    config = json.loads(ws.config.read_text())
    config["datastores"]["workspaceblobstore"].update(keys)
    ws.config.write_text(json.dumps(config))


def left_over(ws, folder):
    names = json.loads(ws.store.ask("GET", folder, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    return [x["pathSuffix"] for x in names if x["pathSuffix"].startswith(".sluice-")]


@pytest.mark.parametrize("protocol", ["webhdfs", "http"])
def test_a_big_file_round_trips_and_leaves_nothing_behind(ws, protocol):
    """By WebHDFS, and by what is chosen where the RPC server is known."""
    data = os.urandom(33 << 20)
    change(ws, protocol=protocol)
    (ws.cwd / "big").write_bytes(data)
    ws.run("cp", "big", ws.ref("d/big"))
    assert ws.get("d/big") == data
    assert left_over(ws, "d") == []
    assert ws.run("cat", ws.ref("d/big"), text=False).out == data
    ws.run("cp", "big", ws.ref("d/big"), code=EXISTS)
    assert left_over(ws, "d") == []


def test_hadoops_own_client_reads_what_we_wrote(ws, hdfs):
    (ws.cwd / "f").write_bytes(bytes(range(256)) * 9)
    ws.run("cp", "f", ws.ref("ä b/c,d/f%20"))
    shell = ["-cp", f"{hdfs.conf}:{hdfs_server.jars()}/*", "org.apache.hadoop.fs.FsShell"]
    uri = ws.run("hdfs", ws.ref("ä b/c,d/f%20")).out.strip()
    done = subprocess.run(
        [hdfs_server.JAVA, "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", *shell, "-cat", uri],
        env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == bytes(range(256)) * 9


@pytest.mark.parametrize("wrong", ["datanode_web", "rpc"])
def test_another_port_than_webhdfs_is_one_line(ws, hdfs, wrong):
    change(ws, namenode=getattr(hdfs, wrong), protocol="webhdfs")
    done = ws.start("ls", ws.ref(), stderr=subprocess.PIPE, text=True)
    err = done.communicate()[1]
    assert done.returncode != 0 and len(err.splitlines()) == 1 and "hdfs://" in err


def test_without_an_rpc_address_hadoop_gets_webhdfs(ws, hdfs):
    ws.put("f", "1")
    config = json.loads(ws.config.read_text())
    del config["datastores"]["workspaceblobstore"]["rpc_address"]
    ws.config.write_text(json.dumps(config))
    assert ws.run("hdfs", ws.ref("f")).out.strip() == f"webhdfs://{hdfs.web}{ws.store.folder}/f"


def test_a_datastore_is_added_after_it_answered(ws, hdfs):
    ws.put("lake/x", "1")
    create = ["datastore", "create", "lake", "--type", "hdfs", "--set", f"namenode={hdfs.web}"]
    ws.run(*create, "--set", f"path={ws.store.folder}/nothing", code=3)
    ws.run(*create, "--set", f"path={ws.store.folder}/lake")
    assert ws.run("ls", "lake:").out == "x\n"


class Flipper:
    """One bit of what a DataNode is sent by CREATE, the nth time."""

    def __init__(self, nth):
        self.nth = nth
        self.lock = threading.Lock()

    def __call__(self, op, body):
        with self.lock:
            self.nth -= op == "CREATE" and len(body) > 0
            wrong = op == "CREATE" and self.nth == -1
        return bytes([body[0] ^ 1]) + body[1:] if wrong else body


class Blemish:
    """One bit of what a DataNode answers to OPEN, wherever this piece is in it: a slow answer is asked for twice, and either
    of the two may be the one that is taken."""

    piece = None

    def __call__(self, op, body):
        at = body.find(self.piece) if op == "OPEN" and self.piece else -1
        return body if at < 0 else body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def go_by(ws, server):
    change(ws, namenode=server.address)
    config = json.loads(ws.config.read_text())
    del config["datastores"]["workspaceblobstore"]["rpc_address"]
    ws.config.write_text(json.dumps(config))


@pytest.fixture
def flipped(ws, hdfs):
    """A bit is wrong that TCP did not notice: only the checksum of the file knows."""
    ws.put("d/small", os.urandom(3000))
    ws.put("d/big", os.urandom(20 << 20))
    with between(hdfs.web, Blemish()) as server:
        go_by(ws, server)
        yield server


@pytest.mark.parametrize("name, at", [("d/small", 0), ("d/big", 17_000_000)])
def test_a_wrong_bit_on_the_way_is_found_by_a_download(ws, flipped, name, at):
    """Promise 1, where TCP's own checksum is all there is."""
    flipped.bend.piece = ws.get(name)[at : at + 16]
    err = ws.run("download", ws.ref(name), "out", code=BAD_INPUT).err
    assert "arrived damaged" in err and name.split("/")[1] in err
    assert not [p for p in (ws.cwd / "out").rglob("*") if p.is_file() and not p.name.startswith(".sluice")]
    flipped.bend.piece = None
    ws.run("download", ws.ref(name), "out")
    assert next((ws.cwd / "out").rglob(name.split("/")[1])).read_bytes() == ws.get(name)
    assert "data-GETFILECHECKSUM" in flipped.ops


@pytest.mark.parametrize("name", ["d/small", "d/big"])
def test_a_wrong_bit_on_the_way_is_found_by_a_copy(ws, flipped, name):
    flipped.bend.piece = ws.get(name)[:16]
    assert "arrived damaged" in ws.run("cp", ws.ref(name), "copy", code=BAD_INPUT).err
    assert not (ws.cwd / "copy").exists()
    flipped.bend.piece = None
    ws.run("cp", ws.ref(name), "copy")
    assert (ws.cwd / "copy").read_bytes() == ws.get(name)


def test_a_wrong_bit_is_nobodys_business_when_nothing_is_checked(ws, flipped):
    small = ws.get("d/small")
    flipped.bend.piece = small[:16]
    ws.run("cp", "--check-md5", "no-check", ws.ref("d/small"), "copy")
    assert (ws.cwd / "copy").read_bytes() == bytes([small[0] ^ 1]) + small[1:]
    assert "GETFILECHECKSUM" not in flipped.ops


@pytest.mark.parametrize("size, nth, blocks", [(3000, 0, 1), (20 << 20, 1, 3), (64 << 20, 2, 5)])
def test_a_wrong_bit_on_the_way_there_is_sent_again(ws, hdfs, size, nth, blocks):
    """What was sent is compared with what HDFS has, before it gets a name: a wrong one costs another try."""
    data = os.urandom(size)
    (ws.cwd / "f").write_bytes(data)
    with between(hdfs.web, sent=Flipper(nth)) as server:
        go_by(asks_once(ws), server)
        ws.run("cp", "f", ws.ref("d/f"))
        assert server.ops.count("data-CREATE") == server.ops.count("data-GETFILECHECKSUM") == blocks + 1
        assert ws.get("d/f") == data
        assert left_over(ws, "d") == []


def test_a_line_that_changes_all_that_is_sent_writes_nothing(ws, hdfs):
    def every(op, body):
        return bytes([body[0] ^ 1]) + body[1:] if op == "CREATE" else body

    (ws.cwd / "f").write_bytes(b"s" * 3000)
    with between(hdfs.web, sent=every) as server:
        go_by(ws, server)
        ws.put("d/other", "1")
        err = ws.run("cp", "f", ws.ref("d/f"), code=BAD_INPUT).err
        assert len(err.splitlines()) == 1 and "'d/f'" in err and err.count("hadoop:512:0:") == 2, err
        assert server.ops.count("data-CREATE") == 6
        assert not ws.store.exists("d/f") and left_over(ws, "d") == []
        ws.run("cp", "--check-md5", "no-check", "f", ws.ref("d/f"))
        assert ws.get("d/f") == b"r" + b"s" * 2999


# --- a file that is still being written ---


class Writer:
    """A client of HDFS that has opened a file and sent so much of it."""

    def __init__(self, store, path, data):
        reply = json.loads(store.ask("PUT", path, "CREATE", overwrite="true", noredirect="true", blocksize=65536))
        url = urllib.parse.urlsplit(urllib.parse.quote(reply["Location"], safe="%/:?&=,"))
        self.http = http.client.HTTPConnection(url.netloc, timeout=60)
        self.http.putrequest("PUT", f"{url.path}?{url.query}")
        self.http.putheader("Transfer-Encoding", "chunked")
        self.http.putheader("Content-Type", "application/octet-stream")
        self.http.endheaders()
        self.write(data)

    def write(self, data):
        self.http.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def close(self):
        self.http.send(b"0\r\n\r\n")
        assert self.http.getresponse().status == 201
        self.http.close()


@needs_fuse
@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
def test_a_file_that_is_still_being_written_is_told_apart(ws, hdfs, protocol):
    """Promise 1: what is there of it now is no state that anybody meant."""
    change(ws, protocol=protocol, namenode=hdfs.rpc if protocol == "native" else hdfs.web)
    ws.put("d/done", "1")
    ws.put("d/empty", "")
    writer = Writer(ws.store, "d/part", b"x" * 200_000)
    until("the file", lambda: ws.store.exists("d/part"))
    assert ws.json("stat", ws.ref("d/part"))["detail"]["being_written"] is True
    assert "being_written" not in ws.json("stat", ws.ref("d/empty"))["detail"]
    for args in (["download", ws.ref("d"), "out"], ["data", "create", "--name", "x", "--path", ws.ref("d")]):
        err = ws.run(*args, code=EXISTS).err
        assert "'part' is still being written" in err and "wait" in err, err
    ws.run("download", ws.ref("d/{done,empty}"), "out")
    writer.write(b"y")
    writer.close()
    with ws.mounted(ws.ref("d")) as m:
        assert (m / "part").read_bytes() == b"x" * 200_000 + b"y"
    assert "being_written" not in ws.json("stat", ws.ref("d/part"))["detail"]


def test_an_empty_file_that_nobody_may_read_is_looked_at(ws):
    ws.put("f", "")
    ws.store.ask("PUT", "f", "SETPERMISSION", permission="000")
    change(ws, user="bob")
    assert ws.json("stat", ws.ref("f"))["size"] == 0
