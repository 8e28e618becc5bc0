# SPDX-License-Identifier: Apache-2.0
"""The main job with a real Spark: register, Spark step, version, training step by download and by mount."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from conftest import RUNG, needs_fuse
from jobs import let_spark_read, run_job, show, std_log, write_job

EXAMPLE = Path(os.environ.get("SLUICE_SRC", Path(__file__).parents[2])) / "examples/titanic"

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="no Java"),
    pytest.mark.skipif(RUNG != "scenario", reason="Spark is not what the sanitizers watch"),
]


@pytest.fixture
def titanic(ws):
    let_spark_read(ws)
    ws.put("Titanic.csv", (EXAMPLE / "Titanic.csv").read_bytes())
    ws.register("titanic", "Titanic.csv")
    return ws


@needs_fuse
@pytest.mark.parametrize("pipeline", ["pipeline.yml", "pipeline-mount.yml"])
def test_the_pipeline(titanic, pipeline):
    ws = titanic
    run = run_job(ws, EXAMPLE / pipeline)
    got = show(ws, run)
    assert got["status"] == "Completed"
    kids = {c["step"]: c["run"] for c in got["children"]}
    assert set(kids) == {"prep", "train"}
    record = ws.json("data", "show", "registered_dataset@1")
    assert record["run"] == kids["prep"]
    names = [
        x.split()[-1] for x in ws.run("data", "manifest", "registered_dataset@1").out.splitlines() if x[0].isdigit()
    ]
    assert "_SUCCESS" in names and not [n for n in names if n.endswith(".crc")]
    assert "accuracy" in std_log(ws, kids["train"]).lower()
    lineage = ws.json("data", "lineage", "registered_dataset@1")
    assert any(i.get("name") == "titanic" or "titanic" in str(i) for i in lineage["inputs"])


def test_a_second_run_appends_and_each_version_pins_its_own(titanic):
    ws = titanic
    for _ in range(2):
        run_job(ws, EXAMPLE / "pipeline.yml", "--force-rerun")
    parts = []
    for version in ("1", "2"):
        out = ws.run("data", "manifest", f"registered_dataset@{version}").out
        parts.append({x.split()[-1] for x in out.splitlines() if "part-" in x})
    assert parts[0] and parts[1] and not parts[0] & parts[1]


def test_a_spark_step_that_fails_registers_nothing(titanic):
    ws = titanic
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/bad.py").write_text(
        "import sys\nfrom pyspark.sql import SparkSession\ns = SparkSession.builder.getOrCreate()\n"
        "s.range(10).write.csv(sys.argv[1] + '/x')\nsys.exit(3)\n"
    )
    path = write_job(
        ws,
        "bad.yml",
        """
        type: spark
        code: ./src
        entry: {file: bad.py}
        args: ${{outputs.out}}
        outputs: {out: {type: uri_folder, mode: direct, name: never}}
        conf: {spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, spark.executor.memory: 1g, spark.executor.instances: 1}
        """,
    )
    run = run_job(ws, path, code=10)
    assert show(ws, run)["status"] == "Failed"
    ws.run("data", "show", "never", code=3)
