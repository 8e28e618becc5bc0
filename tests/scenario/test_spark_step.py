# SPDX-License-Identifier: Apache-2.0
"""What a Spark step hands to spark-submit and how it takes the output, with a stand-in for spark-submit that runs the
entry by itself. Real ones are in test_titanic and test_spark."""

import json
import shutil

import pytest
from conftest import RUN_FAILED
from jobs import run_job, show, std_log, wait_until_all_is_written, write_job

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="no Java, which is asked for before spark-submit")

SIZES = (
    "spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, spark.executor.memory: 1g, "
    "spark.executor.instances: 1"
)
SUBMIT = """#!/bin/sh
printf '%s\\n' "$@" > CWD/seen.args
env > CWD/seen.env
while [ "$1" != --properties-file ]; do shift; done
stat -c %a "$2" > CWD/seen.mode
cp "$2" CWD/seen.properties
shift 2
exec sh "$@"
"""


@pytest.fixture
def spark(ws):
    """A workspace with the stand-in as its compute; more(**) adds to the compute."""
    home = ws.cwd / "spark"
    (home / "bin").mkdir(parents=True)
    (home / "conf").mkdir()
    (home / "bin/spark-submit").write_text(SUBMIT.replace("CWD", str(ws.cwd)))
    (home / "bin/spark-submit").chmod(0o755)
    (ws.cwd / "src").mkdir()
    set_compute(ws)
    return ws


def set_compute(ws, **more):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"s": {"type": "spark", "spark_home": str(ws.cwd / "spark"), **more}}
    ws.config.write_text(json.dumps(config))


def step(ws, script, conf="", code=0):
    """Runs an entry, a shell script whose $1 is the output's folder on a local store."""
    (ws.cwd / "src/x.sh").write_text(script)
    job = f"""
        type: spark
        code: ./src
        entry: {{file: x.sh}}
        args: ${{{{outputs.out}}}}
        compute: s
        inputs: {{i: {{path: "azureml://datastores/workspaceblobstore/paths/in/*.csv", mode: hdfs}}}}
        outputs: {{out: {{name: out}}}}
        conf: {{{SIZES}{conf}}}
        """
    ws.put("in/a.csv", "1")
    ws.put("in/b.json", "1")
    return show(ws, run_job(ws, write_job(ws, "j.yml", job), code=code))


WRITE = 'to=${1#file://}; mkdir -p "$to" && echo 1 > "$to/part-0" '


@pytest.mark.only_on("local", "blob")
def test_secrets_go_into_a_private_file_that_does_not_stay(spark):
    ws = spark
    (ws.cwd / "spark/conf/spark-defaults.conf").write_text("spark.x a\\\n  b\nspark.ui.enabled true\n")
    wait_until_all_is_written(step(ws, "exit 3", code=RUN_FAILED)["run"])
    seen = (ws.cwd / "seen.properties").read_text()
    assert "spark.x=ab\n" in seen and "spark.ui.enabled=true\n" in seen and "spark.driver.memory=1g\n" in seen
    assert (ws.cwd / "seen.mode").read_text() == "600\n"
    assert not list(ws.runs().rglob("spark.properties"))
    if ws.kind != "blob":
        return
    key = ws.store.server.key_file.read_text().strip()
    assert f"fs.azure.account.key.devstoreaccount1.dfs.core.windows.net={key}" in seen.replace("\\=", "=")
    assert "spark.redaction.regex=" in seen
    assert key not in (ws.cwd / "seen.args").read_text() + (ws.cwd / "seen.env").read_text()


@pytest.mark.only_on("hdfs")
def test_hadoop_asks_as_the_user_of_the_datastore(spark):
    ws = spark
    step(ws, "exit 3", code=RUN_FAILED)
    assert f"HADOOP_USER_NAME={ws.store.server.user}\n" in (ws.cwd / "seen.env").read_text()


@pytest.mark.only_on("blob")
@pytest.mark.parametrize("master", ["k8s://https://cluster:443", "spark://cluster:7077"])
def test_secrets_are_not_shown_to_a_cluster(spark, master):
    ws = spark
    set_compute(ws, master=master, conf={"spark.submit.deployMode": "cluster"})
    assert "hadoop credential create" in step(ws, "exit 3", code=RUN_FAILED)["reason"]
    assert not (ws.cwd / "seen.properties").exists()


@pytest.mark.local_only
def test_an_output_without_its_mark(spark):
    ws = spark
    why = step(ws, WRITE, code=RUN_FAILED)["reason"]
    assert "'part-0'" in why and "_SUCCESS" in why and "marksuccessfuljobs" in why
    off = ", spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs: false"
    step(ws, WRITE, off)
    assert ws.versions("out") == ["1"]
    why = step(ws, WRITE + '&& mkdir "$to/_temporary" && echo > "$to/_temporary/x"', off, code=RUN_FAILED)["reason"]
    assert "'_temporary/x' is left" in why and ws.versions("out") == ["1"]


@pytest.mark.local_only
def test_what_spark_says_of_itself_is_in_the_log_and_not_in_the_stream(spark):
    ws = spark
    own = "26/11/21 23:18:41 INFO Main: done 5"
    script = f"""
        i=0; while [ $i -lt 2000 ]; do echo "26/11/21 23:18:41 INFO TaskSetManager: task $i"; i=$((i+1)); done >&2
        echo from the program
        echo "26/11/21 INFO of the program"
        printf '{own}'
        echo "26/11/21 23:18:41 WARN Utils: of spark" >&2
        exit 3
        """
    run = step(ws, script, code=RUN_FAILED)["run"]
    said = ws.run("job", "stream", run, code=RUN_FAILED).out
    assert "from the program\n" in said and "INFO of the program\n" in said and "WARN Utils: of spark\n" in said
    assert "TaskSetManager" not in said and own not in said
    log = std_log(ws, run)
    assert log.count("TaskSetManager") == 2000 and own in log
    run = run_job(ws, write_job(ws, "j.yml", f'type: command\ncommand: "echo {own}"\n'))
    assert own in ws.run("job", "stream", run).out
