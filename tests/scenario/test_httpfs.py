# SPDX-License-Identifier: Apache-2.0
"""Through a real HttpFS, and on behalf of others.  Its rename knows no options: what that cannot do is refused."""

import os

import httpfs
import pytest
from between import between
from conftest import CHANGED, EXISTS, NO_PERMISSION, Workspace, needs_fuse
from stores import HdfsStore

NOT_SUPPORTED = 12


@pytest.fixture(scope="module")
def gateway(hdfs, tmp_path_factory):
    if not httpfs.jar():
        pytest.skip("no HttpFS: SLUICE_HTTPFS_JARS is missing (tools/dev deps scenario)")
    server = httpfs.HttpFs(tmp_path_factory.mktemp("httpfs"), hdfs)
    yield server
    server.stop()


def workspace(hdfs, tmp_path, **settings):
    """All of it is there, the registry too."""
    store = HdfsStore(hdfs, f"/httpfs{tmp_path}")
    store.at = lambda path: at(hdfs, f"{store.folder}/{path}", settings)
    return Workspace(tmp_path, store)


def at(hdfs, folder, settings):
    store = HdfsStore(hdfs, folder)
    entry = {k: v for k, v in store.entry().items() if k != "rpc_address"}
    store.entry = lambda: {**entry, **settings}
    return store


@pytest.fixture
def ws(hdfs, gateway, tmp_path):
    return workspace(hdfs, tmp_path, namenode=gateway.web)


@needs_fuse
def test_files_go_in_and_come_out(ws):
    data = os.urandom(20 << 20)
    (ws.cwd / "big").write_bytes(data)
    ws.run("cp", "big", ws.ref("d/ä b%20"))
    assert ws.get("d/ä b%20") == data
    assert ws.store.status("d/ä b%20")["permission"] == "644"
    ws.register("d", "d")
    ws.run("download", "d@1", "out")
    assert (ws.cwd / "out/ä b%20").read_bytes() == data
    with ws.mounted("d@1") as m, open(m / "ä b%20", "rb") as f:
        f.seek(11 << 20)
        assert f.read(1 << 20) == data[11 << 20 : 12 << 20]
    ws.put("d/ä b%20", data)
    ws.run("download", "d@1", "again", code=CHANGED)


def test_what_is_there_is_not_replaced_nor_lost(ws):
    (ws.cwd / "f").write_bytes(b"new")
    ws.put("d/f", "old")
    ws.put("d/g", "g")
    ws.run("cp", "f", ws.ref("d/f"), code=EXISTS)
    assert "HttpFS" in ws.run("cp", "--overwrite", "f", ws.ref("d/f"), code=NOT_SUPPORTED).err
    ws.run("mv", ws.ref("d/g"), ws.ref("d/f"), code=EXISTS)
    assert ws.get("d/f") == b"old"
    ws.run("mv", ws.ref("d/g"), ws.ref("far/away/h"))
    assert ws.run("ls", "-R", ws.ref()).out.split() == ["d/f", "far/away/h"]


@pytest.mark.parametrize("size", [1000, 20 << 20])
def test_what_cannot_be_replaced_is_refused_before_data_is_sent(ws, gateway, size):
    (ws.cwd / "f").write_bytes(os.urandom(size))
    ws.put("d/f", "old")
    with between(gateway.web) as server:
        ws.set_entry(namenode=server.address)
        ws.run("cp", "--overwrite", "f", ws.ref("d/f"), code=NOT_SUPPORTED)
        sent = sum(op == "data-CREATE" for op in server.ops)
    assert sent == 0 if size < 1 << 20 else sent < 3
    assert ws.get("d/f") == b"old"


def test_a_folder_is_not_renamed_in_more_than_one_step(ws):
    ws.put("d/f", "1")
    assert "one step" in ws.run("mv", ws.ref("d/"), ws.ref("e"), code=NOT_SUPPORTED).err
    assert ws.run("ls", "-R", ws.ref()).out.split() == ["d/f"]


def test_on_behalf_of_another(hdfs, tmp_path):
    ws = workspace(hdfs, tmp_path, protocol="webhdfs")
    ws.put("f", "mine")
    ws.store.ask("PUT", "f", "SETPERMISSION", permission="600")
    assert ws.run("cat", ws.ref("f")).out == "mine"
    ws.set_entry(doas="bob")
    assert "bob" in ws.run("cat", ws.ref("f"), code=NO_PERMISSION).err
