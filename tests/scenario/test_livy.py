# SPDX-License-Identifier: Apache-2.0
"""Spark steps by Livy: on a real server, and what is asked of one, on a small server that answers as Livy and Synapse do."""

import http.server
import json
import os
import re
import signal
import threading

import clusters
import pytest
from conftest import BAD_INPUT, CANCELED, EXISTS, NO_SPACE, RUN_FAILED, RUNG, until
from jobs import run_job, show, start_job, std_log, supervisor_of, wait_until_all_is_written, write_job

pytestmark = [pytest.mark.local_only, pytest.mark.xdist_group("livy")]
real = [
    pytest.mark.skipif(clusters.livy_jars() is None, reason="no Livy: SLUICE_LIVY_JARS (tools/dev deps scenario)"),
    pytest.mark.skipif(RUNG != "scenario", reason="Spark is not what the sanitizers watch"),
]

JOB = """
    type: spark
    code: ./src
    entry: {file: main.py}
    py_files: [more.py]
    args: ${{inputs.i}} ${{outputs.o}}
    compute: azureml:pool
    inputs: {i: {path: "azureml://datastores/workspaceblobstore/paths/a.csv", mode: direct}}
    outputs: {o: {name: out}}
    conf:
      spark.driver.cores: 1
      spark.driver.memory: 512m
      spark.executor.cores: 4
      spark.executor.memory: 28g
      spark.executor.instances: 6
    """


@pytest.fixture(scope="module")
def livy(tmp_path_factory):
    server = clusters.Livy(tmp_path_factory.mktemp("livy"), tmp_path_factory.getbasetemp())
    yield server
    server.stop()


def set_pool(ws, **entry):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"pool": {"type": "livy", **entry}}
    ws.config.write_text(json.dumps(config))


def job(ws, script="pass", more=""):
    (ws.cwd / "src").mkdir(exist_ok=True)
    (ws.cwd / "src/main.py").write_text(script)
    (ws.cwd / "src/more.py").write_text("X = 5\n")
    ws.put("a.csv", "1\n2\n3\n")
    return write_job(ws, "job.yml", JOB + more)


SPARK = """
import sys, more
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
n = spark.read.csv(sys.argv[1]).count()
print("ROWS", n, more.X, flush=True)
spark.range(n).write.mode("append").csv(sys.argv[2])
"""


@pytest.mark.usefixtures("ws")
class TestReal:
    pytestmark = real

    def test_a_step_runs_as_a_batch(self, ws, livy):
        set_pool(ws, url=livy.url)
        run = run_job(ws, job(ws, SPARK))
        assert "ROWS 3 5" in std_log(ws, run) and "livy: batch" in std_log(ws, run)
        assert ws.json("data", "show", "out@1")["run"] == run
        assert [n for n in show(ws, run)["notes"] if "6 executors x 4 cores x 28 GB = 24 cores, 168 GB" in n]
        assert not (ws.runs() / run / "livy.json").exists()

    def test_what_is_canceled_or_left_by_the_dead_ends_on_the_server(self, ws, livy):
        """Python starts only after the JVM: the batch is there long before it could end."""
        set_pool(ws, url=livy.url)
        path = job(ws, "import signal; signal.pause()")

        def batch(run):
            return [b for b in livy.batches() if b["name"].startswith(run)]

        def wait(what, check):
            until(what, check, clusters.PATIENCE)

        run = start_job(ws, path)
        wait("the batch is there", lambda: batch(run))
        ws.run("job", "cancel", run)
        ws.run("job", "stream", run, code=CANCELED)
        # A server that is slow just then is asked again by who looks at the run.
        wait("the batch is gone", lambda: show(ws, run) and not batch(run))
        run = start_job(ws, path)
        wait("the batch is there", lambda: batch(run))
        os.kill(supervisor_of(run), signal.SIGKILL)
        until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
        wait("the batch is gone", lambda: show(ws, run) and not batch(run))
        wait("nobody looks for it", lambda: show(ws, run) and not (ws.runs() / run / "livy-batch.json").exists())


class Small(http.server.ThreadingHTTPServer):
    """answers: (method, path without query) -> a list of (status, object), the last one again and again; None: the
    connection is cut."""

    daemon_threads = True

    def __init__(self, answers):
        self.answers = {k: list(v) for k, v in answers.items()}
        self.asked = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def bodies(self, method="POST"):
        return [a[2] for a in self.asked if a[0] == method]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(n)) if n else None
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.path, body, dict(self.headers)))
        left = self.server.answers.get((self.command, path), [(404, {"msg": "not here"})])
        now = left.pop(0) if len(left) > 1 else left[0]
        if now is None:
            self.close_connection = True
            return
        status, what = now
        if callable(what):
            what = what(self.server)
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


def batch(state, **more):
    return 200, {"id": 7, "state": state, **more}


def log(out, err=()):
    return 200, {"id": 7, "log": ["stdout: ", *out, "\nstderr: ", *err]}


def test_what_is_asked_of_a_server(ws):
    """The request, states as they come, a log whose window moves on, a failure with its words."""
    answers = {
        ("POST", "/batches"): [(201, {"id": 7, "state": "starting"})],
        ("GET", "/batches/7"): [batch("starting"), (503, "busy"), batch("running"), batch("running"), batch("dead")],
        ("GET", "/batches/7/log"): [
            log(["a", "b"]), log(["a", "b", "b"], ["e"]), log(["b", "c"], ["e"]), log(["c", "d"], ["e", "Boom"]),
        ],
    }  # fmt: skip
    with Small(answers) as server:
        set_pool(ws, url=server.url, queue="q", proxy_user="me", conf={"spark.a": "1"})
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert (ws.runs() / run / "logs/azureml/driver/stdout").read_text() == "a\nb\nb\nc\nd\n"
    err = (ws.runs() / run / "logs/azureml/driver/stderr").read_text()
    assert [x for x in err.splitlines() if x in ("e", "Boom")] == ["e", "Boom"]
    assert "batch 7: running after" in err and "ended as 'dead'" in err
    (body,) = server.bodies()
    base = f"file://{ws.cwd}/.sluice/workspaceblobstore/azureml/{run}"
    assert body["file"] == f"{base}/code/main.py" and body["pyFiles"] == [f"{base}/code/more.py"]
    assert body["args"][0].endswith("/a.csv") and body["name"].startswith(run)
    sizes = {k: body[k] for k in ("driverCores", "driverMemory", "executorCores", "executorMemory", "numExecutors")}
    assert sizes == {
        "driverCores": 1, "driverMemory": "512m", "executorCores": 4, "executorMemory": "28g", "numExecutors": 6,
    }  # fmt: skip
    assert body["queue"] == "q" and body["proxyUser"] == "me" and body["conf"]["spark.a"] == "1"
    assert body["conf"]["spark.yarn.appMasterEnv.AZUREML_RUN_ID"] == run
    assert "spark.master" not in body["conf"] and not [k for k in body["conf"] if "TOKEN" in k]


def test_an_answer_that_is_lost_makes_no_second_batch(ws):
    def ours(server):
        return {"sessions": [{"id": 3, "name": "other"}, {"id": 7, "name": server.bodies()[0]["name"]}]}

    answers = {
        ("POST", "/batches"): [None],
        ("GET", "/batches"): [(200, ours)],
        ("GET", "/batches/7"): [batch("dead")],
        ("GET", "/batches/7/log"): [log(["here"])],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert len(server.bodies()) == 1 and "here" in std_log(ws, run)


def test_an_answer_that_is_lost_of_a_batch_that_comes_late(ws):
    """It is not in the list at first, and then on its second page."""

    def ours(server):
        start, size = map(int, re.search(r"from=(\d+)&size=(\d+)", server.asked[-1][1]).groups())
        known = [{"id": n, "name": "other"} for n in range(1500)] + [{"id": 7, "name": server.bodies()[0]["name"]}]
        return {"from": start, "total": len(known), "sessions": known[start : start + size]}

    answers = {
        ("POST", "/batches"): [None],
        ("GET", "/batches"): [(200, {"from": 0, "total": 0, "sessions": []}), (200, ours)],
        ("GET", "/batches/7"): [batch("dead")],
        ("GET", "/batches/7/log"): [log(["here"])],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert len(server.bodies()) == 1 and "here" in std_log(ws, run)


@pytest.mark.parametrize("known", [(403, {"msg": "not you"}), (200, {"sessions": []})], ids=["refused", "empty"])
def test_an_answer_that_is_lost_ends_the_tries(ws, known):
    """A batch that may run is none to begin another beside: it is looked for until it is there, and deleted."""

    def ours(server):
        return {"sessions": [{"id": 7, "name": server.bodies()[0]["name"]}]}

    answers = {
        ("POST", "/batches"): [None],
        ("GET", "/batches"): [known],
        ("GET", "/batches/7"): [batch("running")],
        ("DELETE", "/batches/7"): [(200, {"msg": "deleted"})],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = run_job(ws, job(ws, more="retry_settings: {max_retries: 2, timeout: 8}\n"), code=RUN_FAILED)
        note = ws.runs() / run / "livy-batch.json"
        assert len(server.bodies()) == 1 and note.exists()
        assert "no other try, since its batch may still run" in show(ws, run)["reason"]
        server.answers["GET", "/batches"] = [(200, ours)]
        until("it is deleted", lambda: show(ws, run) and not note.exists())
        assert asked(server, "DELETE") == ["/batches/7"]


class Slow:
    """Answers that wait until the test lets them go."""

    def __init__(self):
        self.go = threading.Event()

    def after(self, answer):
        def wait(server):
            self.go.wait()
            return answer(server) if callable(answer) else answer

        return 200, wait


def asked(server, method):
    return [a[1] for a in server.asked if a[0] == method]


def test_a_batch_that_is_canceled_before_its_number_is_told(ws):
    slow = Slow()

    def ours(server):
        return {"sessions": [{"id": 7, "name": server.bodies()[0]["name"]}]}

    answers = {
        ("POST", "/batches"): [slow.after({"id": 7, "state": "starting"})],
        ("GET", "/batches"): [(200, {"sessions": []}), (200, ours)],
        ("GET", "/batches/7"): [batch("starting")],
        ("DELETE", "/batches/7"): [(200, {"msg": "deleted"})],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = start_job(ws, job(ws))
        until("it is sent", lambda: asked(server, "POST"))
        ws.run("job", "cancel", run)
        ws.run("job", "stream", run, code=CANCELED)
        until("it is deleted", lambda: show(ws, run) and not (ws.runs() / run / "livy-batch.json").exists())
        slow.go.set()
        assert set(asked(server, "DELETE")) == {"/batches/7"}


def test_a_batch_whose_server_is_away_when_the_dead_are_found_is_deleted_later(ws):
    """And whoever looks does not wait for that server."""
    slow, name = Slow(), []
    answers = {
        ("POST", "/batches"): [slow.after({})],
        ("GET", "/batches"): [slow.after(lambda _: {"sessions": [{"id": 7, "name": name[0]}]})],
        ("GET", "/batches/7"): [batch("running")],
        ("DELETE", "/batches/7"): [(200, {"msg": "deleted"})],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = start_job(ws, job(ws))
        until("it is sent", lambda: asked(server, "POST"))
        name.append(server.bodies()[0]["name"])
        os.kill(supervisor_of(run), signal.SIGKILL)
        until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
        note = ws.runs() / run / "livy-batch.json"
        assert json.loads(note.read_text()) == {"compute": "pool", "name": name[0]} and not asked(server, "DELETE")
        slow.go.set()
        until("it is deleted", lambda: show(ws, run) and not note.exists())
        assert set(asked(server, "DELETE")) == {"/batches/7"}


PIPELINE = """
    type: pipeline
    settings: {default_compute: azureml:pool}
    jobs:
    """
STEP = """
      %s:
        type: spark
        code: ./src
        entry: {file: main.py}
        conf: {spark.executor.cores: 1, spark.executor.memory: 512m, spark.executor.instances: 1}
    """


def pipeline_of(ws, *steps):
    job(ws)
    return write_job(ws, "pipeline.yml", PIPELINE + "".join(STEP % s for s in steps))


def test_a_run_whose_batch_may_still_run_is_not_deleted(ws):
    """Its note is all that is known of the batch: nothing of the run, or of its pipeline, goes before it."""
    slow = Slow()

    def ours(server):
        return {"sessions": [{"id": 7, "name": server.bodies()[0]["name"]}]}

    answers = {
        ("POST", "/batches"): [slow.after({})],
        ("GET", "/batches"): [slow.after(ours)],
        ("GET", "/batches/7"): [batch("running")],
        ("DELETE", "/batches/7"): [(200, {"msg": "deleted"})],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = start_job(ws, pipeline_of(ws, "a"))
        until("it is sent", lambda: asked(server, "POST"))
        os.kill(supervisor_of(run), signal.SIGKILL)
        until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
        (note,) = ws.runs().glob("*/livy-batch.json")
        there = sorted(ws.runs().glob("*/run.json"))
        err = ws.run("job", "delete", run, code=EXISTS).err
        assert note.parent.name in err and "compute 'pool'" in err and str(note) in err
        assert sorted(ws.runs().glob("*/run.json")) == there and note.exists()
        slow.go.set()
        ws.run("job", "delete", run)
        assert set(asked(server, "DELETE")) == {"/batches/7"} and not list(ws.runs().glob("*/run.json"))


def test_a_server_that_is_away_is_waited_for_once_for_all_steps(ws):
    slow = Slow()

    def ours(server):
        return {"sessions": [{"id": n, "name": body["name"]} for n, body in enumerate(server.bodies())]}

    answers = {("POST", "/batches"): [slow.after({})], ("GET", "/batches"): [slow.after(ours)]}
    for n in range(3):
        answers["GET", f"/batches/{n}"] = [batch("running")]
        answers["DELETE", f"/batches/{n}"] = [(200, {"msg": "deleted"})]

    def look():
        """The warnings: of the step that was waited for, and of the others."""
        err = ws.run("job", "show", run).err
        return [len(re.findall(words, err)) for words in ("did not answer in time", "is away, or slow")]

    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = start_job(ws, pipeline_of(ws, "a", "b", "c"))
        until("all are sent", lambda: len(asked(server, "POST")) == 3)
        os.kill(supervisor_of(run), signal.SIGKILL)
        assert until("it is found dead", lambda: [n for n in [look()] if any(n)]) == [[1, 2]]
        assert show(ws, run)["status"] == "Failed" and look() == [1, 2]
        slow.go.set()
        until("all are deleted", lambda: show(ws, run) and not list(ws.runs().glob("*/livy-batch.json")))
        assert set(asked(server, "DELETE")) == {"/batches/0", "/batches/1", "/batches/2"}


def test_a_number_that_is_another_batch_now(ws):
    """A server that was started anew counts from 0 again."""
    answers = {
        ("POST", "/batches"): [(201, {"id": 7, "state": "starting"})],
        ("GET", "/batches/7"): [batch("running"), batch("success", name="another")],
        ("GET", "/batches/7/log"): [log([])],
    }
    with Small(answers) as server:
        set_pool(ws, url=server.url)
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert "no longer there" in std_log(ws, run)
    assert "DELETE" not in [a[0] for a in server.asked]


def test_a_pool_of_synapse(ws):
    """Its path, a token, no log, and errors where it tells them."""
    pool = "/livyApi/versions/2019-11-01-preview/sparkPools/spark1"
    failed = {"result": "Failed", "errorInfo": [{"message": "the driver ran out of memory"}], "log": None}
    answers = {
        ("POST", f"{pool}/batches"): [(200, {"id": 7, "state": "not_started"})],
        ("GET", f"{pool}/batches/7"): [batch("not_started"), batch("error", **failed)],
    }
    (ws.cwd / "token").write_text("the-token\n")
    with Small(answers) as server:
        config = json.loads(ws.config.read_text())
        config["linked_services"] = {
            "link": {"type": "Synapse", "workspace": "w", "endpoint": server.url, "token": f"file:{ws.cwd}/token"}
        }
        config["computes"] = {
            "pool": {"type": "SynapseSpark", "linked_service": "link", "pool": "spark1", "node_size": "Small"}
        }
        ws.config.write_text(json.dumps(config))
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert "the driver ran out of memory" in std_log(ws, run) and "'Failed'" in std_log(ws, run)
    assert {a[3]["Authorization"] for a in server.asked} == {"Bearer the-token"}
    assert not [a for a in server.asked if "/log" in a[1]]
    wait_until_all_is_written(run)
    assert not [p for p in ws.runs().rglob("*") if p.is_file() and b"the-token" in p.read_bytes()]


def test_who_is_not_let_in(ws):
    answers = {("POST", "/batches"): [(401, {"msg": "who are you"})]}
    with Small(answers) as server:
        set_pool(ws, url=server.url, user="me", password="env:LIVY_PASSWORD")
        ws.env["LIVY_PASSWORD"] = "geheim"
        run = run_job(ws, job(ws), code=RUN_FAILED)
    assert "who are you" in std_log(ws, run)
    assert server.asked[0][3]["Authorization"] == "Basic bWU6Z2VoZWlt"
    wait_until_all_is_written(run)
    assert not [p for p in ws.runs().rglob("*") if p.is_file() and b"geheim" in p.read_bytes()]


@pytest.mark.parametrize(
    "entry, code, words",
    [
        ({"url": "http://far.example:8998", "user": "me", "password": "env:X"}, RUN_FAILED, "https"),
        ({"url": "https://far.example", "user": "me", "password": "geheim"}, BAD_INPUT, "cmd:COMMAND"),
        ({"node_size": "Small"}, BAD_INPUT, "linked_service"),
        ({"url": "http://127.0.0.1:1", "node_size": "Small", "node_count": 3}, NO_SPACE, "12 cores and 96 GB"),
        ({"url": "http://127.0.0.1:1", "node_cores": 2}, NO_SPACE, "2 cores"),
        ({"url": "http://127.0.0.1:1", "qeue": "x"}, BAD_INPUT, "'queue'"),
    ],
)
def test_what_cannot_be(ws, entry, code, words):
    set_pool(ws, **entry)
    done = ws.run("job", "create", "-f", job(ws), "--stream", code=code)
    if code == RUN_FAILED:
        (run,) = [p for p in ws.runs().iterdir() if not p.name.startswith(".")]
        assert words in std_log(ws, run.name)
    else:
        assert words in done.err and "geheim" not in done.err
