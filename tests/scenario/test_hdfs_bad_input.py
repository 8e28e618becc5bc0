# SPDX-License-Identifier: Apache-2.0
"""What may be wrong with an HDFS or with what is asked of it, by Hadoop's own protocols and by WebHDFS alike: one line that
names the object and what helps, the right exit status, in bounded time, and nothing half-written is seen.

What is tested where: docs/promises.md, "What goes wrong on HDFS"."""

import json
import os
import random
import socket

import pytest
from between import between, cut
from conftest import (
    BAD_INPUT,
    CHANGED,
    EXISTS,
    IO_ERROR,
    NO_PERMISSION,
    NO_SPACE,
    NOT_FOUND,
    PAIR_BLOCK,
    Workspace,
    needs_fuse,
    until,
)
from stores import HdfsStore

pytestmark = pytest.mark.xdist_group("hdfs-pair")
DEEP = bool(os.environ.get("SLUICE_DEEP"))
DATA = random.Random(3).randbytes(3 * PAIR_BLOCK + 500)


@pytest.fixture(params=["native", "webhdfs"])
def ws(hdfs_pair, tmp_path, request):
    ws = Workspace(tmp_path, HdfsStore(hdfs_pair, f"/bad{tmp_path}"))
    ws.protocol = request.param
    only(ws, hdfs_pair.rpc if request.param == "native" else hdfs_pair.web)
    (ws.cwd / "f").write_bytes(DATA)
    return ws


def only(ws, namenode):
    """Nothing goes by the other protocol."""
    config = json.loads(ws.config.read_text())
    entry = config["datastores"]["workspaceblobstore"]
    entry.pop("rpc_address", None)
    entry.update(protocol=ws.protocol, namenode=namenode, http_address="127.0.0.1:1")
    if ws.protocol == "webhdfs":
        del entry["http_address"]
    ws.config.write_text(json.dumps(config))


def refused(ws, *args, code, says):
    err = ws.run(*args, code=code).err
    assert err.count("\n") == 1 and all(x in err for x in says), err


def lies_in(ws, folder):
    """Also what no listing of ours shows."""
    found = json.loads(ws.store.ask("GET", folder, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
    return sorted(x["pathSuffix"] for x in found)


# --- names ---


def test_a_name_that_hdfs_refuses(ws):
    refused(ws, "cp", "f", ws.ref("d/a:b"), code=BAD_INPUT, says=["'d/a:b'", "allows no ':'"])
    ws.put("d/g", "1")
    refused(ws, "mv", ws.ref("d/g"), ws.ref("d/a:b"), code=BAD_INPUT, says=["'d/g'", "allows no ':'"])
    refused(ws, "cat", ws.ref("d/a:b"), code=NOT_FOUND, says=["'d/a:b'"])
    refused(ws, "cp", "f", ws.ref("d/" + "x" * 256), code=BAD_INPUT, says=["'d/xxx", "maximum path component name"])
    assert lies_in(ws, "d") == ["g"]


def test_a_path_that_is_too_long(ws):
    path = "/".join(["y" * 250] * 36)
    says = ["too long"] if ws.protocol == "native" else ["4,000 bytes", "rpc_address"]
    refused(ws, "cp", "f", ws.ref(path), code=BAD_INPUT, says=["'yyy", *says])


def test_a_folder_where_a_file_was(ws):
    ws.put("d/f", DATA)
    ws.register("d", "d")
    ws.remove("d/f")
    ws.put("d/f/below", "1")
    refused(ws, "download", "d@1", "out", code=CHANGED, says=["'d/f'", "changed", "resolve the data again"])
    refused(ws, "cat", ws.ref("d/f"), code=BAD_INPUT, says=["d/f' is a folder"])
    refused(ws, "cp", "--overwrite", "-", ws.ref("d/f"), code=BAD_INPUT, says=["d/f' is a folder"])


def test_a_file_where_a_folder_is_needed(ws):
    ws.put("d/f", "1")
    for path in ("d/f/below", "d/f/below/that"):
        refused(ws, "cp", "--overwrite", "f", ws.ref(path), code=BAD_INPUT, says=[path, "d/f (is not a directory)"])
    refused(ws, "ls", ws.ref("d/f/below"), code=NOT_FOUND, says=["'d/f/below'"])
    refused(ws, "cp", "f", ws.ref("d/f"), code=EXISTS, says=["d/f", "--overwrite"])
    assert ws.get("d/f") == b"1" and lies_in(ws, "d") == ["f"]


# --- what may not be done ---


def test_no_permission(ws):
    ws.put("secret/f", "1")
    ws.store.ask("PUT", "secret", "SETPERMISSION", permission="700")
    ws.set_entry(user="bob")
    says = ["user=bob", "secret", 'another "user" in the datastore']
    for args in (["cat", "secret/f"], ["ls", "secret"], ["rm", "secret/f"]):
        refused(ws, args[0], ws.ref(args[1]), code=NO_PERMISSION, says=says)
    refused(ws, "cp", "f", ws.ref("new"), code=NO_PERMISSION, says=["'new'", "access=WRITE"])
    assert ws.get("secret/f") == b"1"


@pytest.mark.parametrize("quota", [{"namespacequota": 1}, {"storagespacequota": 2 * PAIR_BLOCK}])
def test_a_full_quota(ws, quota):
    ws.store.mkdir("full")
    ws.store.ask("PUT", "full", "SETQUOTA", **{"namespacequota": -1, "storagespacequota": -1, **quota})
    says = ["quota", "full", "remove files, or have the quota raised"]
    refused(ws, "cp", "f", ws.ref("full/f"), code=NO_SPACE, says=says)
    (ws.cwd / "big").write_bytes(bytes(20 << 20))  # in several parts
    refused(ws, "cp", "big", ws.ref("full/big"), code=NO_SPACE, says=says)
    assert lies_in(ws, "full") == []


# --- NameNodes ---


def test_safe_mode(ws, fs_shell):
    ws.put("d/f", DATA)
    says = ["is in safe mode: wait until it has left it"]
    fs_shell.admin("-safemode", "enter")
    try:
        assert ws.run("cat", ws.ref("d/f"), text=False).out == DATA
        refused(ws, "cp", "f", ws.ref("d/new"), code=IO_ERROR, says=["'d/new'", *says])
        if DEEP:
            refused(ws, "rm", ws.ref("d/f"), code=IO_ERROR, says=["'d/f'", *says])
    finally:
        fs_shell.admin("-safemode", "leave")
    assert lies_in(ws, "d") == ["f"]


def test_all_namenodes_are_down(ws):
    only(ws, "127.0.0.1:1,127.0.0.1:2")
    ws.set_entry(nameservice="lost")
    ws.set_entry(http_address="127.0.0.1:1,127.0.0.1:2")
    says = ["hdfs://lost", "refused", "check"]
    refused(ws, "cat", ws.ref("f"), code=IO_ERROR, says=["'f'", *says])
    if DEEP:
        refused(ws, "mount", ws.ref("d"), "mnt", code=IO_ERROR, says=["'d'", *says])


@pytest.mark.skipif(not DEEP, reason="it waits a minute: SLUICE_DEEP=1")
def test_a_namenode_that_says_nothing(ws):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        only(ws, f"127.0.0.1:{silent.getsockname()[1]}")
        refused(ws, "cat", ws.ref("f"), code=IO_ERROR, says=["'f'", "in time"])


# --- bytes that are wrong ---


def damage(server, datanodes, path):
    """A flipped byte in the replica of the last block, of each of these."""
    for i in datanodes:
        with open(server.last_replica(i, path), "r+b") as f:
            f.seek(100)
            byte = f.read(1)[0]
            f.seek(100)
            f.write(bytes([byte ^ 1]))


def is_noticed(server, folder):
    """What fsck says of a folder."""
    return "CORRUPT" in server.fsck(folder)


def test_a_damaged_copy_is_passed_over_and_the_namenode_told(ws, hdfs_pair):
    ws.put("f", DATA)
    damage(hdfs_pair, [0], f"{ws.store.folder}/f")

    def told():
        """Whichever copy is read first."""
        assert ws.run("cat", ws.ref("f"), text=False).out == DATA
        return is_noticed(hdfs_pair, f"{ws.store.folder}/f")

    until("the NameNode knows", told)


@needs_fuse
def test_all_copies_are_damaged(ws, hdfs_pair):
    """A DataNode that is asked by WebHDFS takes long to find out, and then breaks off."""
    size = {"native": 4001, "webhdfs": 4003}[ws.protocol]
    ws.put("d/f", b"z" * size)
    damage(hdfs_pair, [0, 1], f"{ws.store.folder}/d/f")
    with ws.mounted(ws.ref("d"), None, "--io-timeout=3s") as m, pytest.raises(OSError, match="Input/output|timed out"):
        (m / "f").read_bytes()
    if ws.protocol == "native" or DEEP:
        code = BAD_INPUT if ws.protocol == "native" else IO_ERROR
        says = ["'d/f'", "damaged", "write the file anew"]
        refused(ws, "cat", ws.ref("d/f"), code=code, says=says)
        refused(ws, "download", ws.ref("d"), "out", code=code, says=says)
        assert not (ws.cwd / "out/f").exists()


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
def test_a_body_is_cut(hdfs_pair, ws, always):
    """By WebHDFS; natively that is a DataNode that dies, in test_hdfs_faults."""
    if ws.protocol == "native":
        pytest.skip("by WebHDFS only")
    ws.put("d/f", DATA)
    ops = []

    def bend(op, body):
        ops.append(op)
        return cut(body, 1000) if op == "OPEN" and (always or ops.count("OPEN") == 1) else body

    with between(hdfs_pair.web, bend) as server:
        only(ws, server.address)
        if always:
            refused(ws, "cp", ws.ref("d/f"), "copy", code=IO_ERROR, says=["'d/f'", "broke off", "fsck"])
            assert not (ws.cwd / "copy").exists()
        else:
            assert ws.run("cat", ws.ref("d/f"), text=False).out == DATA
    assert ops.count("OPEN") > 1
