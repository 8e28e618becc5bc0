# SPDX-License-Identifier: Apache-2.0
"""What is HDFS's own: its words for trouble, its servers failing, who reads and writes with us."""

import contextlib
import json
import os
import subprocess

import hdfs_server
import pytest
from conftest import BAD_INPUT, EXISTS, NO_PERMISSION, Sluice, Workspace
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


def test_a_name_that_hdfs_refuses_is_told(ws):
    (ws.cwd / "f").write_text("x")
    assert "':'" in ws.run("cp", "f", ws.ref("d/a:b"), code=BAD_INPUT).err


def test_a_missing_permission_names_user_and_path(ws):
    ws.put("d/f", "x")
    (ws.cwd / "f").write_text("x")
    change(ws, user="bob")
    err = ws.run("cp", "f", ws.ref("d/new"), code=NO_PERMISSION).err
    assert "user=bob" in err and "d/new" in err
    assert ws.run("cat", ws.ref("d/f")).out == "x"


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


def test_a_dead_datanode_is_an_error_in_bounded_time(tmp_path):
    """Promise 6, and 2: nothing half-written shows up."""
    if not hdfs_server.jars():
        pytest.skip("no HDFS here")
    (tmp_path / "hdfs").mkdir()
    server = hdfs_server.Hdfs(tmp_path / "hdfs")
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(server.stop)
        (tmp_path / "ws").mkdir()
        ws = Workspace(tmp_path / "ws", HdfsStore(server, "/t"))
        ws.put("f", "bytes")
        server.processes[1].kill()
        server.processes[1].wait()
        for args in (["cat", ws.ref("f")], ["cp", "config.json", ws.ref("g")]):
            done = Sluice.start(ws, *args, stderr=subprocess.PIPE, text=True)
            err = done.communicate(timeout=90)[1]
            assert done.returncode != 0 and err.count("\n") == 1, err
        assert ws.run("ls", ws.ref()).out == "f\n"
