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
from conftest import BAD_INPUT, IO_ERROR, Workspace, needs_fuse, read_tree, until
from jobs import show, start_job, wait_for_file, write_job
from stores import LocalStore

SIZE = 5 * (64 << 10) + 777
DATA = random.Random(5).randbytes(SIZE)
DEEP = bool(os.environ.get("SLUICE_DEEP"))
pytestmark = pytest.mark.xdist_group("hdfs-ha")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    yield from hdfs_server.while_it_runs(hdfs_ha.HdfsHa, tmp_path_factory.mktemp("ha"))


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
        cwd=tmp_path, env={**ws.env, "SPARK_LOCAL_IP": "127.0.0.1"}, capture_output=True, text=True, timeout=500,
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


JOB = """
    type: command
    command: >-
      head -c 1000 ${{inputs.d}}/f > ${{outputs.result}}/first && touch %(cwd)s/started && read x < %(cwd)s/pipe &&
      tail -c +1001 ${{inputs.d}}/f > ${{outputs.result}}/rest
    inputs:
      d: {type: uri_folder, mode: ro_mount, path: azureml:d:1}
    outputs:
      result: {type: uri_folder, name: result, mode: upload}
"""


@needs_fuse
def test_a_failover_in_the_middle_of_a_job(ws, pair):
    """Its input is a mount, its output and the registry are on the file system as well."""
    config = json.loads(ws.config.read_text())
    entry = config["datastores"]["workspaceblobstore"]
    config["datastores"]["state"] = {**entry, "path": f"{entry['path']}/state"}
    config["root"] = "azureml://datastores/state/paths/"
    ws.env["XDG_STATE_HOME"] = str(ws.cwd / "state")
    ws.config.write_text(json.dumps(config))
    put(ws, "d/f")
    ws.register("d", "d")
    os.mkfifo(ws.cwd / "pipe")
    keep = os.open(ws.cwd / "pipe", os.O_RDWR)
    run = start_job(ws, write_job(ws, "job.yml", JOB % {"cwd": ws.cwd}))
    wait_for_file(ws.cwd / "started")
    pair.fail_over()
    os.write(keep, b"go\n")
    until("the job is over", lambda: show(ws, run)["status"] in ("Completed", "Failed", "Canceled"))
    os.close(keep)
    assert show(ws, run)["status"] == "Completed"
    ws.run("download", "result@1", "out")
    assert read_tree(ws.cwd / "out") == {"first": DATA[:1000], "rest": DATA[1000:]}


def test_only_a_standby_is_named(ws, pair):
    """Bounded, and with the remedy; nothing is waited for that could not come."""
    rpc, web = pair.rpc[1 - pair.active], pair.web[1 - pair.active]
    protocol = json.loads(ws.config.read_text())["datastores"]["workspaceblobstore"]["protocol"]
    namenode = rpc if protocol == "native" else web
    config = json.loads(ws.config.read_text())
    config["datastores"]["workspaceblobstore"] = {
        "type": "hdfs", "path": "/", "namenode": namenode, "protocol": protocol,
    }  # fmt: skip
    ws.config.write_text(json.dumps(config))
    err = ws.run("ls", ws.ref("d"), code=IO_ERROR).err
    assert err.count("\n") == 1 and "'d'" in err and "standby: name the active one, or all of them" in err, err


@pytest.mark.parametrize("picked", ["pair", "federated"])
def test_one_of_several_nameservices(pair, tmp_path, picked):
    """A client's configuration has all of a company; ours is picked by its name, or is the default."""
    conf = tmp_path / "conf"
    conf.mkdir()
    names = {"pair": (pair.rpc, pair.web), "federated": (["127.0.0.1:1"], ["127.0.0.1:1"])}
    rows = {"dfs.nameservices": "other, pair,federated"}
    for name, (rpc, web) in {**names, "other": names["federated"]}.items():
        rows[f"dfs.ha.namenodes.{name}"] = ",".join(f"n{i}" for i in range(len(rpc)))
        for i in range(len(rpc)):
            rows[f"dfs.namenode.rpc-address.{name}.n{i}"] = rpc[i]
            rows[f"dfs.namenode.http-address.{name}.n{i}"] = web[i]
    hdfs_server.write_conf(conf / "core-site.xml", {"fs.defaultFS": "hdfs://other"})
    hdfs_server.write_conf(conf / "hdfs-site.xml", rows)
    ws = workspace(tmp_path, hadoop_conf=str(conf), nameservice=picked)
    if picked == "pair":
        put(ws, "f", b"1")
        assert ws.run("cat", ws.ref("f")).out == "1"
        assert ws.run("hdfs", ws.ref("f")).out.startswith("hdfs://pair/")
    else:
        assert "hdfs://federated" in ws.run("cat", ws.ref("f"), code=IO_ERROR).err
    change(ws, nameservice="nowhere")
    err = ws.run("cat", ws.ref("f"), code=BAD_INPUT).err
    assert "'nowhere'" in err and err.count("\n") == 1, err


def change(ws, **keys):
    config = json.loads(ws.config.read_text())
    config["datastores"]["workspaceblobstore"].update(keys)
    ws.config.write_text(json.dumps(config))


@needs_fuse
@pytest.mark.skipif(
    not DEEP, reason="an active NameNode that is not fenced may spoil the edits of the others: SLUICE_DEEP=1"
)
def test_the_active_one_stands_still(pair, tmp_path):
    """Its connections stay: what is asked there goes to the one that has taken its office, and is done once. By WebHDFS names
    only: the DataNode that is asked for data is itself a client that waits."""
    ws = workspace(tmp_path, hadoop_conf=str(pair.conf), protocol="native")
    put(ws, "f")
    with contextlib.ExitStack() as stack:
        m = stack.enter_context(ws.mounted(ws.ref()))
        f = stack.enter_context(open(m / "f", "rb", buffering=0))
        assert os.pread(f.fileno(), 1000, 0) == DATA[:1000]
        writer = stack.enter_context(program(ws, "cp", "-", ws.ref("new")))
        writer.stdin.write(DATA)
        writer.stdin.flush()
        (tmp_path / "web").mkdir()
        web = workspace(tmp_path / "web", hadoop_conf=str(pair.conf), protocol="webhdfs", path=f"/ha{tmp_path}")
        try:
            pair.stop_active()
            reader = stack.enter_context(program(ws, "cat", ws.ref("f")))
            listing = stack.enter_context(program(web, "ls", web.ref("f")))
            pair.activate_other()
            assert finish(reader) == DATA
            assert os.pread(f.fileno(), SIZE, 1000) == DATA[1000:]
            finish(writer, DATA)
            assert finish(listing) == b"f\n"
        finally:
            pair.restart_other()
    assert ws.run("cat", ws.ref("new"), text=False).out == DATA + DATA
    assert ws.run("ls", ws.ref()).out.split() == ["f", "new"]


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
