# SPDX-License-Identifier: Apache-2.0
"""HDFS by Hadoop's own protocols, on a real HDFS with two DataNodes and blocks of 16 KiB."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

import hdfs_server
import pytest
from conftest import (
    BAD_INPUT,
    CHANGED,
    EXISTS,
    IO_ERROR,
    NOT_FOUND,
    PAIR_BLOCK,
    Workspace,
    needs_fuse,
    read_tree,
    until,
)
from stores import HdfsStore

BLOCK = PAIR_BLOCK
SIZE = 10 * BLOCK + 777
DATA = random.Random(7).randbytes(SIZE)
pytestmark = pytest.mark.xdist_group("hdfs-pair")


@pytest.fixture
def pair(hdfs_pair):
    return hdfs_pair


def workspace(server, tmp_path, **more):
    ws = Workspace(tmp_path, HdfsStore(server, f"/native{tmp_path}"))
    config = json.loads(ws.config.read_text())
    for entry in config["datastores"].values():
        entry.update(more)
    ws.config.write_text(json.dumps(config))
    return ws


@pytest.fixture
def native(pair, tmp_path):
    """Nothing of what is read may go by WebHDFS: there is none at the address."""
    return workspace(pair, tmp_path)


def without_web(ws):
    """From now on only RPC."""
    config = json.loads(ws.config.read_text())
    entry = config["datastores"]["workspaceblobstore"]
    entry.update(protocol="native", namenode=entry.pop("rpc_address"), http_address="127.0.0.1:1")
    ws.config.write_text(json.dumps(config))


def test_files_of_many_blocks_are_read_without_webhdfs(native):
    native.put("d/f", DATA)
    native.put("d/empty", "")
    without_web(native)
    assert native.run("cat", native.ref("d/f"), text=False).out == DATA
    assert native.run("cat", native.ref("d/empty")).out == ""
    assert native.run("ls", "-R", native.ref()).out.split() == ["d/empty", "d/f"]
    assert native.json("stat", native.ref("d/f"))["size"] == SIZE


@needs_fuse
def test_any_range_through_a_mount(native):
    native.put("f", DATA)
    without_web(native)
    pick = random.Random(11)
    with native.mounted(native.ref()) as m, open(m / "f", "rb", buffering=0) as f:
        for _ in range(200):
            off, n = pick.randrange(SIZE), pick.randrange(1, 3 * BLOCK)
            assert os.pread(f.fileno(), n, off) == DATA[off : off + n], (off, n)


def test_a_folder_of_more_than_a_page(pair, tmp_path):
    ws = workspace(pair, tmp_path)
    names = [f"{i:04d}" for i in range(1500)]
    ws.put_all({f"many/{name}": "" for name in names})
    without_web(ws)
    assert ws.run("ls", ws.ref("many")).out.split() == names


def test_writing_without_webhdfs(native):
    (native.cwd / "f").write_bytes(DATA)
    (native.cwd / "empty").write_bytes(b"")
    without_web(native)
    native.run("cp", "f", native.ref("ä b/c,d/f%20"))
    native.run("cp", "empty", native.ref("e"))
    native.run("cp", "f", native.ref("e"), code=EXISTS)
    native.run("mv", native.ref("e"), native.ref("new/e"))
    assert native.run("ls", "-R", native.ref()).out.splitlines() == ["new/e", "ä b/c,d/f%20"]
    assert native.get("ä b/c,d/f%20") == DATA
    native.run("rm", "-R", native.ref("ä b"))
    native.run("rm", native.ref("ä b/c,d/f%20"), code=NOT_FOUND)
    assert hidden(native, "") == []


def hidden(ws, folder):
    """What lies in a folder beside what is shown."""
    names = json.loads(ws.store.ask("GET", folder, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    return [x["pathSuffix"] for x in names if x["pathSuffix"].startswith(".sluice-")]


def append(ws, path, data):
    url = json.loads(ws.store.ask("POST", path, "APPEND", noredirect="true"))["Location"]
    ws.store.ask("POST", path, None, url=url, data=data)


def truncate(ws, path, size):
    ws.store.ask("POST", path, "TRUNCATE", newlength=size)
    until("it is closed", lambda: ws.store.status(path)["length"] == size)


def rename(ws, old, new):
    ws.store.ask("PUT", old, "RENAME", destination=f"{ws.store.folder}/{new}", renameoptions="NONE")


CHANGES = {
    "overwritten": lambda ws: ws.put("d/f", DATA[::-1]),
    "appended": lambda ws: append(ws, "d/f", b"more"),
    "truncated": lambda ws: truncate(ws, "d/f", 3 * BLOCK),
    "removed": lambda ws: ws.remove("d/f"),
    "made again of the same bytes": lambda ws: (ws.remove("d/f"), ws.put("d/f", DATA)),
    "renamed, and another one put there": lambda ws: (rename(ws, "d/f", "d/old"), ws.put("d/f", DATA[::-1])),
}


@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
@pytest.mark.parametrize("how", CHANGES)
def test_a_version_is_read_as_it_was_or_not_at_all(native, how, protocol):
    native.put("d/f", DATA)
    native.register("d", "d")
    CHANGES[how](native)
    if protocol == "native":
        without_web(native)
    else:
        native.set_entry(protocol="webhdfs")
    if how.startswith("renamed"):  # its bytes are there still, and they are found by inode
        native.run("download", "d@1", "out")
        assert read_tree(native.cwd / "out") == {"f": DATA}
    else:
        assert "changed" in native.run("download", "d@1", "out", code=CHANGED).err


@needs_fuse
@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
@pytest.mark.parametrize("how", CHANGES)
def test_an_open_file_is_never_a_mixture(native, how, protocol):
    native.put("d/f", DATA)
    if protocol == "webhdfs":
        native.set_entry(protocol="webhdfs")
    with native.mounted(native.ref("d")) as m, open(m / "f", "rb", buffering=0) as f:
        assert os.pread(f.fileno(), 10, SIZE - 10) == DATA[-10:]
        CHANGES[how](native)
        if how.startswith("renamed"):  # it is the same file still
            assert b"".join(iter(lambda: f.read(10_000), b"")) == DATA
            return
        with pytest.raises(OSError, match="Stale"):
            while os.pread(f.fileno(), SIZE, 0):  # the last look may have been within the second
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
def test_a_snapshot_is_a_version_that_stays(native, fs_shell, protocol):
    native.put("d/f", DATA)
    fs_shell.admin("-allowSnapshot", f"{native.store.folder}/d")
    native.store.ask("PUT", "d", "CREATESNAPSHOT", snapshotname="s1")
    if protocol == "webhdfs":
        native.set_entry(protocol="webhdfs")
    native.register("d", "d/.snapshot/s1")
    native.put("d/f", "new")
    native.put("d/g", "more")
    native.run("download", "d@1", "out")
    assert read_tree(native.cwd / "out") == {"f": DATA}
    native.store.ask("DELETE", "d", "DELETESNAPSHOT", snapshotname="s1")
    assert "changed" in native.run("download", "d@1", "out2", code=CHANGED).err


@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
def test_a_version_is_frozen_by_a_snapshot(native, fs_shell, protocol):
    """Nothing is copied, and what was overwritten is read as it was."""
    native.put_all({"d/f": DATA, "d/sub/g": "2"})
    fs_shell.admin("-allowSnapshot", f"{native.store.folder}/d")
    if protocol == "webhdfs":
        native.set_entry(protocol="webhdfs")
    native.register("d", "d")
    native.store.ask("PUT", "d", "CREATESNAPSHOT", snapshotname="s1")
    native.put("d/f", "new")
    native.store.ask("PUT", "d", "CREATESNAPSHOT", snapshotname="s2")
    assert "snapshot" in native.run("data", "freeze", "d@1", "--to", native.ref("d/.snapshot/s2"), code=CHANGED).err
    native.run("data", "freeze", "d@1", "--to", native.ref("d/.snapshot/s1"))
    native.remove("d/sub")
    native.run("download", "d@1", "out")
    assert read_tree(native.cwd / "out") == {"f": DATA, "sub/g": b"2"}
    assert not native.exists("sluice-frozen")


@pytest.mark.parametrize("protocol", ["native", "webhdfs"])
def test_a_copy_on_disk_is_proven_equal(native, protocol):
    """By what the cluster computes of its own bytes: none of them comes over the network."""
    big = DATA * 3
    native.put_all({"d/f": DATA, "d/big": big, "d/empty": "", "d/tiny": "tiny"})
    out = native.cwd / "out"
    out.mkdir()
    for name, data in (("f", DATA), ("big", big), ("empty", b""), ("tiny", b"tiny")):
        (out / name).write_bytes(data)
    if protocol == "webhdfs":
        native.set_entry(protocol="webhdfs")
    same = native.json("verify", out, native.ref("d"))
    assert (same["same"], same["files"], same["unchecked"]) == (True, 4, 0)
    damage(out / "big")
    assert native.json("verify", out, native.ref("d"), code=CHANGED)["found"][0]["path"] == "big"


def test_a_damaged_replica_is_passed_over(native, pair):
    native.put("f", DATA)
    damage(pair.last_replica(0, f"{native.store.folder}/f"))
    without_web(native)
    for _ in range(4):  # whichever is asked first
        assert native.run("cat", native.ref("f"), text=False).out == DATA


def damage(path):
    with open(path, "r+b") as f:
        f.seek(100)
        byte = f.read(1)
        f.seek(100)
        f.write(bytes([byte[0] ^ 1]))


def test_an_rpc_port_that_does_not_answer_is_no_loss(pair, tmp_path):
    ws = workspace(pair, tmp_path, rpc_address="127.0.0.1:1")
    ws.put("f", DATA)
    assert ws.run("cat", ws.ref("f"), text=False).out == DATA


def test_nor_one_that_accepts_and_says_nothing(pair, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ws = workspace(pair, tmp_path, rpc_address=f"127.0.0.1:{silent.getsockname()[1]}")
        ws.put("f", DATA)
        assert ws.run("cat", ws.ref("f"), text=False).out == DATA


def test_unless_it_is_the_only_way(native):
    config = json.loads(native.config.read_text())
    native.put("f", DATA)
    config["datastores"]["workspaceblobstore"].update(protocol="native", namenode="127.0.0.1:1", rpc_address=None)
    del config["datastores"]["workspaceblobstore"]["rpc_address"]
    native.config.write_text(json.dumps(config))
    err = native.run("cat", native.ref("f"), code=IO_ERROR).err
    assert "127.0.0.1:1" in err and err.count("\n") == 1


def test_the_words_of_the_namenode_become_ours(native):
    native.put("d/f", "1")
    without_web(native)
    assert "no such file" in native.run("cat", native.ref("nothing"), code=3).err
    assert native.run("cat", native.ref("d"), code=BAD_INPUT).err.count("\n") == 1


def fields(message):
    """The fields of a protocol buffer: number -> integer or bytes."""
    found, i = {}, 0

    def varint():
        nonlocal i
        value = shift = 0
        while True:
            value |= (message[i] & 0x7F) << shift
            shift += 7
            i += 1
            if message[i - 1] < 0x80:
                return value

    while i < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, i = message[i : i + value], i + value
        found[tag >> 3] = value
    return found


def hand_out(server, listener, asked):
    """A DataNode with Hadoop's native library, which no registry has, hands out its files so."""
    while True:
        try:
            s, _ = listener.accept()
        except OSError:
            return
        with s, contextlib.suppress(OSError):  # who has waited for too long is gone
            request = s.recv(65536)
            assert request[:3] == b"\0\x1c\x57"
            length = 2 if request[3] & 0x80 else 1
            block = fields(fields(fields(request[3 + length :])[1])[1])
            data = next(p for p in server.replicas(0) if p.name == f"blk_{block[2]}")
            asked.append(data)
            with open(data, "rb") as d, open(f"{data}_{block[3]}.meta", "rb") as m:
                s.sendall(b"\x02\x08\0")
                socket.send_fds(s, [b"\0"], [d.fileno(), m.fileno()])


def test_blocks_of_this_machine_are_read_from_their_files(native, pair):
    native.put("f", DATA)
    without_web(native)
    asked = []
    place = Path(tempfile.mkdtemp(prefix="sluice-dn-"))  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket"))
        listener.listen()
        thread = threading.Thread(target=hand_out, args=(pair, listener, asked))
        thread.start()
        native.set_entry(domain_socket=str(place / "socket"))

        def all_from_files():
            """It gives up for a while when there is no answer in time."""
            asked.clear()
            assert native.run("cat", native.ref("f"), text=False).out == DATA
            return len(set(asked)) == 11

        until("all blocks are read from files", all_from_files)
        damage(asked[0])  # what is damaged is read from the other DataNode
        assert native.run("cat", native.ref("f"), text=False).out == DATA
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    shutil.rmtree(place)


def being_written(server):
    url = f"http://{server.web}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystem"
    return json.loads(urllib.request.urlopen(url, timeout=60).read())["beans"][0]["NumFilesUnderConstruction"]


def writing(ws, name):
    """A copy from standard input that has blocks of its second part on their way."""
    job = ws.start("cp", "-", ws.ref(name), stdin=subprocess.PIPE)
    job.stdin.write(DATA * 120)  # 19 MiB
    job.stdin.flush()
    until("the first part is being written", lambda: hidden(ws, os.path.dirname(name)))
    return job


def test_killed_while_it_writes_nothing_is_visible_and_nothing_held(native, pair):
    native.put("d/other", "1")
    without_web(native)
    before = being_written(pair)
    job = writing(native, "d/f")
    job.kill()
    job.wait()
    job.stdin.close()
    assert native.run("ls", "-R", native.ref()).out == "d/other\n"
    (native.cwd / "f").write_bytes(DATA)
    native.run("cp", "f", native.ref("d/f"))
    assert native.get("d/f") == DATA
    native.run("rm", "-R", native.ref("d"))
    until("no lease of it is held", lambda: being_written(pair) <= before)


def test_a_datanode_that_dies_in_the_middle(tmp_path):
    """The last of the module's tests in time: it has servers of its own."""
    if not hdfs_server.jars():
        pytest.skip("no HDFS here")
    (tmp_path / "hdfs").mkdir()
    soon = {"dfs.namenode.heartbeat.recheck-interval": 2000}  # a killed DataNode is known to be dead after 14 s
    server = hdfs_server.Hdfs(tmp_path / "hdfs", 3, dfs_blocksize=16 * BLOCK, dfs_replication=3, **soon)
    try:
        (tmp_path / "ws").mkdir()
        ws = workspace(server, tmp_path / "ws")
        ws.put("f", DATA * 60)
        ws.put("d/other", "1")  # by WebHDFS, which may be sent to a dead one
        without_web(ws)
        with ws.mounted(ws.ref()) as m, open(m / "f", "rb", buffering=0) as f:
            assert os.pread(f.fileno(), 100, 0) == DATA[:100]
            server.processes[1].kill()
            server.processes[1].wait()
            assert f.read() == DATA * 60
        # each block has a replica on both of the others
        until("the dead one is known to be", lambda: server.is_ready(2))
        job = writing(ws, "d/f")
        server.processes[2].kill()
        server.processes[2].wait()
        job.stdin.write(DATA * 60)
        job.stdin.close()
        assert job.wait() == 0
        assert ws.run("cat", ws.ref("d/f"), text=False).out == DATA * 180
        server.restart_datanodes()
        until("all are back", lambda: server.is_ready(3))
        # One that stands still holds up those before it: it is found, and left out.
        log = (tmp_path / "log").open("w+")
        job = ws.start("-vv", "cp", "-", ws.ref("d/still"), stdin=subprocess.PIPE, stderr=log)
        job.stdin.write(DATA * 120)
        job.stdin.flush()
        until("the first part is being written", lambda: hidden(ws, "d"))
        server.processes[3].send_signal(signal.SIGSTOP)
        job.stdin.write(DATA * 60)
        job.stdin.close()
        assert job.wait() == 0, (tmp_path / "log").read_text()[-20_000:]
        server.processes[3].send_signal(signal.SIGCONT)
        log.seek(0)
        assert any("written again" in line and "stands still" in line for line in log)
        assert ws.run("cat", ws.ref("d/still"), text=False).out == DATA * 180
    finally:
        server.stop()
