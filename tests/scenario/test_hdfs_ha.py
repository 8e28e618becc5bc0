# SPDX-License-Identifier: Apache-2.0
"""A real HDFS with two NameNodes: by Hadoop's configuration alone, while one takes over from the other."""

import contextlib
import importlib.util
import json
import os
import random
import subprocess
import sys

import hdfs_ha
import hdfs_server
import pytest
from conftest import IO_ERROR, Workspace, needs_fuse
from stores import LocalStore

SIZE = 5 * (64 << 10) + 777
DATA = random.Random(5).randbytes(SIZE)
pytestmark = pytest.mark.xdist_group("hdfs-ha")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    if not hdfs_server.jars():
        pytest.skip("no HDFS: SLUICE_HADOOP_JARS or Java is missing (tools/dev deps scenario)")
    server = hdfs_ha.HdfsHa(tmp_path_factory.mktemp("ha"))
    yield server
    server.stop()


def workspace(tmp_path, **entry):
    ws = Workspace(tmp_path, LocalStore(tmp_path))
    config = json.loads(ws.config.read_text())
    config["datastores"]["workspaceblobstore"] = {"type": "hdfs", "path": f"/ha{tmp_path}", **entry}
    ws.config.write_text(json.dumps(config))
    return ws


@pytest.fixture(params=["native", "webhdfs"])
def ws(pair, tmp_path, request):
    return workspace(tmp_path, hadoop_conf=str(pair.conf), protocol=request.param)


def put(ws, path, data=DATA):
    with program(ws, "cp", "-", ws.ref(path)) as p:
        finish(p, data)


@contextlib.contextmanager
def program(ws, *args):
    p = subprocess.Popen(
        ["sluice", *args], cwd=ws.cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ws.env
    )
    try:
        yield p
    finally:
        p.kill()
        p.wait()


def finish(p, data=None):
    out, err = p.communicate(data, timeout=120)
    assert p.returncode == 0, err.decode()
    return out


def test_the_configuration_says_it_all(ws):
    put(ws, "d/f")
    assert ws.run("cat", ws.ref("d/f"), text=False).out == DATA
    assert ws.run("ls", "-R", ws.ref()).out.split() == ["d/f"]
    uri = ws.run("hdfs", ws.ref("d/f")).out.strip()
    assert uri.startswith("hdfs://pair/ha/")


SPARK = """
import json, sys
from pyspark.sql import SparkSession
uri, conf = sys.argv[1], json.loads(sys.argv[2])
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
for key, value in conf.items():
    builder = builder.config(f"spark.hadoop.{key}", value)
print(sorted(row.value for row in builder.getOrCreate().read.text(uri).collect()))
"""


@pytest.mark.spark
@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed")
def test_spark_reads_a_view_without_further_settings(pair, tmp_path):
    """The first address is that of nobody."""
    rpc, web = (f"127.0.0.1:1,{','.join(list)}" for list in (pair.rpc, pair.web))
    ws = workspace(tmp_path, namenode=rpc, http_address=web, protocol="hdfs", nameservice="elsewhere")
    for name in "ab":
        put(ws, f"d/{name}.txt", f"line {name}\n".encode())
    view = ws.json("hdfs", ws.ref("d"))
    done = subprocess.run(
        [sys.executable, "-c", SPARK, view["uri"], json.dumps(view["conf"])],
        cwd=tmp_path, env={**ws.env, "SPARK_LOCAL_IP": "127.0.0.1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert view["uri"].startswith("hdfs://elsewhere/") and "['line a', 'line b']" in done.stdout, done.stderr


def test_the_environment_names_it_too(pair, tmp_path):
    ws = workspace(tmp_path)
    ws.env["HADOOP_CONF_DIR"] = str(pair.conf)
    put(ws, "f", b"1")
    assert ws.run("cat", ws.ref("f")).out == "1"


@needs_fuse
def test_a_failover_between_two_reads_and_in_the_middle_of_a_write(ws, pair):
    put(ws, "f")
    with ws.mounted(ws.ref()) as m, open(m / "f", "rb", buffering=0) as f, program(ws, "cp", "-", ws.ref("new")) as p:
        assert os.pread(f.fileno(), 1000, 0) == DATA[:1000]
        p.stdin.write(DATA)
        p.stdin.flush()
        pair.fail_over()
        assert os.pread(f.fileno(), SIZE, 1000) == DATA[1000:]
        finish(p, DATA)
    assert ws.run("cat", ws.ref("new"), text=False).out == DATA + DATA


@needs_fuse
def test_the_active_one_is_killed(pair, tmp_path):
    """The last one of the module: nobody comes back."""
    both = []
    for protocol in ("native", "webhdfs"):
        (tmp_path / protocol).mkdir()
        both.append(workspace(tmp_path / protocol, hadoop_conf=str(pair.conf), protocol=protocol))
    with contextlib.ExitStack() as stack:
        busy = []
        for ws in both:
            put(ws, "f")
            m = stack.enter_context(ws.mounted(ws.ref()))
            f = stack.enter_context(open(m / "f", "rb", buffering=0))
            assert os.pread(f.fileno(), 1000, 0) == DATA[:1000]
            writer = stack.enter_context(program(ws, "cp", "-", ws.ref("new")))
            writer.stdin.write(DATA)
            writer.stdin.flush()
            busy.append((f, writer))
        pair.kill_active()
        waiting = [stack.enter_context(program(ws, "cat", ws.ref("f"))) for ws in both]
        pair.activate_other()
        for (f, writer), reader in zip(busy, waiting):
            assert finish(reader) == DATA
            assert os.pread(f.fileno(), SIZE, 1000) == DATA[1000:]
            finish(writer, DATA)
    for ws in both:
        assert ws.run("cat", ws.ref("new"), text=False).out == DATA + DATA
        assert ws.run("ls", ws.ref()).out.split() == ["f", "new"]
    pair.kill_active()
    with program(both[0], "cat", both[0].ref("f")) as one, program(both[1], "cat", both[1].ref("f")) as other:
        for p in (one, other):
            err = p.communicate(timeout=120)[1].decode()
            assert p.returncode == IO_ERROR and "pair" in err and err.count("\n") == 1, err
