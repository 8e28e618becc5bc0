# SPDX-License-Identifier: Apache-2.0
"""Several file systems of one cluster, each with a NameNode and the same DataNode, by Hadoop's configuration alone."""

import json
import os
import random
import subprocess

import hdfs_federation
import hdfs_server
import pytest
from conftest import BAD_INPUT, NOT_FOUND, Workspace, read_tree
from stores import LocalStore

DATA = random.Random(8).randbytes(2500 << 10)
pytestmark = [
    pytest.mark.xdist_group("hdfs-federation"),
    pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="three more servers: SLUICE_DEEP=1"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    yield from hdfs_server.while_it_runs(hdfs_federation.HdfsFederation, tmp_path_factory.mktemp("federation"))


@pytest.fixture(params=["native", "webhdfs"])
def ws(both, tmp_path, request):
    """west is what the configuration means, east is named."""
    ws = Workspace(tmp_path, LocalStore(tmp_path))
    config = json.loads(ws.config.read_text())
    entry = {"type": "hdfs", "path": f"/fed{tmp_path}", "hadoop_conf": str(both.conf), "protocol": request.param}
    config["datastores"] |= {"west": entry, "east": {**entry, "nameservice": "east"}}
    ws.config.write_text(json.dumps(config))
    return ws


def test_each_file_system_has_its_own_files(ws):
    (ws.cwd / "data").write_bytes(DATA)
    ws.run("cp", "data", "west:d/f")
    ws.run("ls", "east:", code=NOT_FOUND)
    ws.run("cp", "west:d/f", "east:e/g")
    assert ws.run("cat", "east:e/g", text=False).out == DATA
    assert ws.run("ls", "-R", "west:").out.split() == ["d/f"]
    ws.run("rm", "west:d/f")
    ws.run("download", "east:e", "out")
    assert read_tree(ws.cwd / "out") == {"g": DATA}


def test_hadoop_reads_the_views_without_further_settings(ws):
    for name in hdfs_federation.NAMES:
        (ws.cwd / "data").write_text(name)
        ws.run("cp", "data", f"{name}:f")
        view = ws.json("hdfs", f"{name}:f")
        assert view["uri"].startswith(f"hdfs://{name}/"), view
        (ws.cwd / name).mkdir()
        hdfs_server.write_conf(ws.cwd / name / "core-site.xml", view["conf"])
        shell = [hdfs_server.JAVA, "-cp", f"{ws.cwd / name}:{hdfs_server.jars()}/*", "org.apache.hadoop.fs.FsShell"]
        done = subprocess.run([*shell, "-cat", view["uri"]], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0 and done.stdout == name, done.stderr


def test_a_table_of_mounts_is_no_file_system(ws, both):
    """viewfs: which of them is meant has to be said."""
    both.default("viewfs://all")
    try:
        err = ws.run("ls", "west:", code=BAD_INPUT).err
        assert err.count("\n") == 1 and "viewfs" in err and "nameservice" in err, err
        ws.run("ls", "east:", code=NOT_FOUND)
    finally:
        both.default("hdfs://west")
