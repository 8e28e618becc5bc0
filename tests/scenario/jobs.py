# SPDX-License-Identifier: Apache-2.0
"""Job files for the scenarios, and what a run left behind."""

import json
import os
import signal
import textwrap
from pathlib import Path

import pytest
from conftest import until


def write_job(ws, name, text):
    path = ws.cwd / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def run_job(ws, path, *more, code=0, env=None):
    """Runs a job to its end; returns its run id."""
    done = ws.run("job", "create", "-f", path, "--stream", *more, "--output", "json", code=code, env=env)
    return json.loads(done.out.splitlines()[0])["run"]


def start_job(ws, path, *more, env=None):
    done = ws.run("job", "create", "-f", path, *more, "--output", "json", env=env)
    return json.loads(done.out)["run"]


def show(ws, run):
    return ws.json("job", "show", run)


def std_log(ws, run):
    return (ws.runs() / run / "user_logs" / "std_log.txt").read_text()


def outcome(ws, run):
    path = f"runs/{run}/outcome.json"
    return json.loads(ws.registry.get(path)) if ws.registry.exists(path) else None


def find_supervisor(run):
    """Of a run that goes on; else None."""
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                argv = (p / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"supervise" in argv and run.encode() in argv:
                return int(p.name)
    return None


def supervisor_of(run):
    return until("the supervisor runs", lambda: find_supervisor(run))


def wait_until_all_is_written(run):
    """Of a run that is over: its supervisor tidies up and publishes logs when that has been said."""
    until("the supervisor has ended", lambda: not find_supervisor(run))


def stop(pid):
    """Returns when it stands still: a signal reaches one thread, and that one the others a moment later."""
    os.kill(pid, signal.SIGSTOP)

    def still():
        stats = [(p / "stat").read_text() for p in Path(f"/proc/{pid}/task").iterdir()]
        return stats and all(s.rsplit(")", 1)[1].split()[0] in "Tt" for s in stats)

    until(f"process {pid} is stopped", still)


def wait_for_file(path):
    return until(f"{path} is there", lambda: os.path.exists(path))


def children(pid):
    """All processes below one."""
    found = []
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                ppid = int((p / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if ppid == pid:
                found += [int(p.name), *children(int(p.name))]
    return found


# A step that writes an output, says so, and goes on when it is told to.
WAITING = """
    type: command
    name: waiter
    command: >-
      echo bytes > ${{outputs.result}}/part.csv &&
      touch %(cwd)s/started &&
      while [ ! -e %(cwd)s/go ]; do read -t 0.05 x < %(cwd)s/pipe || :; done
    outputs:
      result:
        type: uri_folder
        name: result
"""


def waiting_job(ws):
    os.mkfifo(ws.cwd / "pipe")
    keep = os.open(ws.cwd / "pipe", os.O_RDWR)
    text = WAITING.replace(
        "while [ ! -e %(cwd)s/go ]; do read -t 0.05 x < %(cwd)s/pipe || :; done", "read x < %(cwd)s/pipe"
    )
    return write_job(ws, "wait.yml", text % {"cwd": ws.cwd}), keep


def let_spark_wait(folder):
    """Settings of Spark, below a folder: 15 s are what it gives its Python and its JVM to find each other."""
    conf = Path(folder) / "spark-conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.python.authenticate.socketTimeout 300s\n")
    return {"SPARK_CONF_DIR": str(conf)}


def let_spark_read(ws):
    """Spark reads and writes the store of the workspace; skips where it cannot."""
    ws.env.update(let_spark_wait(ws.cwd))
    if ws.kind != "blob":
        return
    if ws.store.server.more:
        pytest.skip("Hadoop writes to a hierarchical namespace by the dfs endpoint, which the test server reads only")
    jars = os.environ.get("SLUICE_HADOOP_AZURE_JARS")
    if not jars:
        pytest.skip("no jars of hadoop-azure: SLUICE_HADOOP_AZURE_JARS (tools/dev deps scenario)")
    # Hadoop 3.4.2 stores the MD5 of the block list as that of the blob.
    ws.set_entry(content_md5="ignore")
    ws.env["SPARK_DIST_CLASSPATH"] = f"{jars}/*"
