# SPDX-License-Identifier: Apache-2.0
"""The program of examples/azureml-v1 with a real Spark.  Nothing of it is changed: config.json says where things are."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import clusters
import pytest
from conftest import RUNG
from jobs import let_spark_read, run_job

TOP = Path(os.environ.get("SLUICE_SRC", Path(__file__).parents[2]))

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"),
    pytest.mark.skipif(shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="no Java"),
    pytest.mark.skipif(
        RUNG != "scenario" or not Path(os.environ.get("SLUICE_LIBRARY", "")).is_file(),
        reason="no library that Python can load",
    ),
]


@pytest.fixture
def demo(ws):
    let_spark_read(ws)
    shutil.copytree(TOP / "examples/azureml-v1", ws.cwd, dirs_exist_ok=True)
    shutil.copy(TOP / "examples/titanic/Titanic.csv", ws.cwd)
    config = json.loads(ws.config.read_text())
    config["computes"] = {"link1-spark01": {"type": "spark"}}
    ws.config.write_text(json.dumps(config))
    ws.env["PYTHONPATH"] = str(TOP / "python")
    return ws


def run(ws, program="demo.py"):
    command = [sys.executable, "-m", "sluice.azureml", program]
    done = subprocess.run(command, cwd=ws.cwd, env=ws.env, capture_output=True, text=True, timeout=300)
    logs = [p.read_text()[-3000:] for p in ws.runs().glob("*/user_logs/std_log.txt")] if done.returncode else []
    assert done.returncode == 0, "\n".join([done.stderr, done.stdout, *logs])
    return done.stdout


def test_the_program(demo):
    said = run(demo)
    assert "found local" in said and "PipelineRun Status: Finished" in said
    assert "table 891 passengers True" in said and "file 891 passengers" in said  # the driver's stdout
    assert "synapse-spark Finished {'passengers': 891}" in said
    assert "found ['_SUCCESS', 'part-" in said
    assert "of 314 female passengers 74% survived" in said and "of 577 male passengers 19% survived" in said
    assert "version 1 of registered_dataset has 2 files" in said
    record = demo.json("data", "show", "registered_dataset@1")
    lineage = demo.json("data", "lineage", "registered_dataset@1")
    names = {x["name"] for x in lineage["inputs"]}
    assert names == {"tabular_input", "file_input"} and record["run"].startswith("synapse-spark")
    assert demo.exists("test/_SUCCESS")


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="long: SLUICE_DEEP=1")
@pytest.mark.local_only
def test_the_twin_of_the_command_line_gives_the_same(demo):
    demo.put("Titanic.csv", (demo.cwd / "Titanic.csv").read_bytes())
    run_job(demo, "twin.yml")
    run(demo)
    texts = []
    for version, where in ((1, "twin"), (2, "test")):
        names = demo.run("data", "manifest", f"registered_dataset@{version}").out.split()
        (part,) = [x for x in names if x.startswith("part-")]
        texts.append(demo.get(f"{where}/{part}"))
    assert texts[0] == texts[1] and texts[0].count(b"\n") == 892


@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="long: SLUICE_DEEP=1")
@pytest.mark.local_only
def test_the_program_on_a_cluster(demo, tmp_path):
    (tmp_path / "cluster").mkdir()
    cluster = clusters.Standalone(tmp_path / "cluster")
    try:
        config = json.loads(demo.config.read_text())
        config["computes"]["link1-spark01"]["master"] = cluster.master
        demo.config.write_text(json.dumps(config))
        said = run(demo)
        assert "version 1 of registered_dataset has 2 files" in said and "table 891 passengers True" in said
        assert list(cluster.apps()) == ["synapse-spark"]
    finally:
        cluster.stop()
