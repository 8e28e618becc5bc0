# SPDX-License-Identifier: Apache-2.0
"""A Spark step on a real standalone cluster, its executors with an environment that was made here."""

import json
import os

import clusters
import pytest
from conftest import RUNG
from jobs import let_spark_wait, run_job, show, std_log, write_job
from test_environment import wheel

pytestmark = [
    pytest.mark.local_only,
    pytest.mark.spark,
    pytest.mark.xdist_group("environment"),
    pytest.mark.skipif(clusters.spark_home() is None, reason="no pyspark or no Java"),
    pytest.mark.skipif(RUNG != "scenario", reason="Spark is not what the sanitizers watch"),
]

SCRIPT = """
import sys
import tinypack
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()

def there(_):
    import tinypack, sys
    return tinypack.VERSION + " " + sys.prefix

print("DRIVER", tinypack.VERSION, sys.prefix)
print("EXECUTOR", spark.sparkContext.parallelize([1], 1).map(there).collect()[0])
spark.range(3).write.csv(sys.argv[1])
"""
JOB = """
    type: spark
    code: ./src
    entry: {file: main.py}
    args: ${{outputs.o}}
    compute: cluster
    environment: {conda_file: ./conda.yml}
    outputs: {o: {name: out}}
    conf: {spark.driver.cores: 1, spark.driver.memory: 512m, spark.executor.cores: 1, spark.executor.memory: 512m,
      spark.executor.instances: 1, spark.cores.max: 1}
    """


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = clusters.Standalone(tmp_path_factory.mktemp("standalone"))
    yield running
    running.stop()


def test_a_step_with_an_environment(ws, cluster):
    ws.env["XDG_CACHE_HOME"] = str(ws.cwd / "cache")
    ws.env["PIP_CONFIG_FILE"] = os.devnull
    ws.env.update(let_spark_wait(ws.cwd))
    wheel(ws.cwd / "wheels", "tinypack", "1.0")
    (ws.cwd / "conda.yml").write_text(
        f"name: tiny\ndependencies:\n- pip:\n  - --no-index\n  - --find-links {ws.cwd}/wheels\n  - tinypack\n"
    )
    config = json.loads(ws.config.read_text())
    config["computes"] = {"cluster": {"type": "spark", "master": cluster.master, "cores": 4, "memory": "4g"}}
    ws.config.write_text(json.dumps(config))
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/main.py").write_text(SCRIPT)
    run = run_job(ws, write_job(ws, "job.yml", JOB))
    out, prefix = std_log(ws, run), show(ws, run)["environment"]["path"]
    assert f"DRIVER 1.0 {prefix}" in out
    (line,) = [x for x in out.splitlines() if x.startswith("EXECUTOR 1.0 ")]
    # Unpacked beside the executor, below the worker's folder.
    assert str(cluster.folder) in line and "/environment" in line
    assert cluster.apps() == {"job": 1}
    assert ws.versions("out") == ["1"]
