# SPDX-License-Identifier: Apache-2.0
"""Spark steps in sessions of a Livy server, on a small one that runs statements in real Python (livy_sessions.py)."""

import contextlib
import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest
from conftest import BAD_INPUT, CANCELED, EXISTS, NOT_FOUND, RUN_FAILED, until
from jobs import run_job, show, start_job, std_log, supervisor_of, write_job
from livy_sessions import Session, Sessions

pytestmark = [pytest.mark.local_only, pytest.mark.xdist_group("livy")]

JOB = """
    type: spark
    code: ./src
    entry: {file: main.py}
    py_files: [more.py]
    args: one ${{outputs.o}}
    compute: azureml:pool
    outputs: {o: {name: out, allow_empty: true}}
    environment_variables: {COLOUR: red}
    conf: {spark.executor.cores: 1, spark.executor.memory: 512m, spark.executor.instances: 1}
    """
HELLO = "import os, sys\nprint('PID', os.getpid(), sys.argv[1], os.environ['COLOUR'], 'x' in globals())\nx = 1\n"
WAITS = "import signal\nsignal.pause()\n"


@pytest.fixture
def server():
    with Sessions() as s:
        yield s


def set_pool(ws, **entry):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"pool": {"type": "livy", "mode": "session", **entry}}
    ws.config.write_text(json.dumps(config))


def job(ws, script=HELLO, more="X = 5\n"):
    (ws.cwd / "src").mkdir(exist_ok=True)
    (ws.cwd / "src/main.py").write_text(script)
    (ws.cwd / "src/more.py").write_text(more)
    return write_job(ws, "job.yml", JOB)


def sessions(ws):
    return ws.json("compute", "sessions", "pool")


def age(ws, seconds):
    """As if the last step had ended so much earlier."""
    (record,) = (ws.runs().parent / "sessions").glob("*.json")
    o = json.loads(record.read_text())
    record.write_text(json.dumps({**o, "used": o["used"] - seconds}))


def pid(ws, run):
    return re.search(r"PID (\d+) one red False", std_log(ws, run))[1]


def test_cold_then_warm(ws, server):
    """One process ran both, each with arguments, variables and names of its own; the times are told."""
    set_pool(ws, url=server.url, on_demand=True)
    first = run_job(ws, job(ws))
    second = run_job(ws, job(ws, HELLO + "print('second')\n"))
    assert re.search(r"livy: cold start [0-9.]+ s \(session 0\)", std_log(ws, first))
    assert re.search(r"livy: warm start [0-9.]+ s \(session 0, idle for \d+ s\)", std_log(ws, second))
    assert pid(ws, first) == pid(ws, second)
    (body,) = server.bodies()
    assert body["kind"] == "pyspark" and body["heartbeatTimeoutInSecond"] == 2400 and "ttl" not in body
    assert body["numExecutors"] == 1 and body["pyFiles"][0].endswith("/code/more.py")
    assert not {"file", "args"} & set(body) and not [k for k in body["conf"] if "RUN_ID" in k]
    (row,) = sessions(ws)
    assert row["state"] == "idle" and row["steps"] == 2 and row["ends"] and row["cold_start"].endswith(" s")
    # Other bytes beside the entry, or other sizes: another session.
    assert pid(ws, run_job(ws, job(ws, more="X = 6\n"))) != pid(ws, first)
    assert [s["session"] for s in sessions(ws)] in ([0, 1], [1, 0])
    ws.run("compute", "stop", "pool", "--session", "0")
    assert list(server.sessions) == [1]
    assert "session 0" in ws.run("compute", "stop", "pool", "--session", "0", code=NOT_FOUND).err
    ws.run("compute", "stop", "pool")
    assert not server.sessions and sessions(ws) == []


def test_a_session_that_settles_is_waited_for(ws, server):
    """A server tells of a statement's end before the session is idle."""
    set_pool(ws, url=server.url)
    run_job(ws, job(ws))
    server.sessions[0].settling = 3
    assert "livy: warm start" in std_log(ws, run_job(ws, job(ws)))
    assert server.made == 1 and server.sessions[0].settling == 0


def test_looking_ends_nothing_and_keeps_nobody_out(ws, server):
    """A session that is made after the server told of all is not gone; a step waits for who looks at a record."""
    set_pool(ws, url=server.url)
    run_job(ws, job(ws))
    server.hidden = True
    assert [s["state"] for s in sessions(ws)] == ["idle"] and server.sessions
    (lock,) = (ws.runs().parent / "sessions").glob("*.lock")
    with open(lock) as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        run = start_job(ws, job(ws))
        until("it looks for a session", lambda: waits_for(lock))
    ws.run("job", "stream", run)
    assert "livy: warm start" in std_log(ws, run) and server.made == 1
    server.hidden = False


def waits_for(lock):
    """Has another process opened it?"""
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(fd) == str(lock) and fd.parts[2] != str(os.getpid()):
                return True
    return False


def test_cancel_ends_the_statement_alone(ws, server):
    """A session in use is nobody else's, and is the next one's when its step was canceled, or died."""
    set_pool(ws, url=server.url, session_timeout=5)
    run = start_job(ws, job(ws, WAITS))
    until("the statement runs", server.statements)
    assert sessions(ws)[0]["run"] == run
    assert run in ws.run("compute", "stop", "pool", code=EXISTS).err and server.sessions
    other = run_job(ws, job(ws))
    assert "(session 1)" in std_log(ws, other)
    ws.run("compute", "stop", "pool", "--session", "1")
    ws.run("job", "cancel", run)
    ws.run("job", "stream", run, code=CANCELED)
    until("the statement is canceled", lambda: show(ws, run) and server.statements()[0]["state"] == "cancelled")

    run = start_job(ws, job(ws, WAITS))
    until("the next one runs", lambda: len(server.statements()) == 2)
    until("it is known", (ws.runs() / run / "livy-batch.json").exists)
    os.kill(supervisor_of(run), signal.SIGKILL)
    until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
    until("the statement is canceled", lambda: show(ws, run) and server.statements()[1]["state"] == "cancelled")
    assert "(session 0, idle" in std_log(ws, run_job(ws, job(ws)))
    assert len(server.bodies()) == 2 and server.bodies()[0]["heartbeatTimeoutInSecond"] == 300


def test_idle_time_out_and_tear_down(ws, server):
    set_pool(ws, url=server.url, session_timeout=30, on_demand=True)
    run_job(ws, job(ws))
    age(ws, 1801)
    assert [s["state"] for s in sessions(ws)] == ["tear-down"]
    assert "warm start" in std_log(ws, run_job(ws, job(ws)))
    assert [s["state"] for s in sessions(ws)] == ["idle"]
    age(ws, 2401)
    assert "cold start" in std_log(ws, run_job(ws, job(ws)))
    assert list(server.sessions) == [1]
    age(ws, 2401)
    ws.run("gc")
    assert not server.sessions and sessions(ws) == []
    set_pool(ws, url=server.url, session_timeout=30)
    run_job(ws, job(ws))
    age(ws, 1801)
    assert [s["state"] for s in sessions(ws)] == ["ended"] and not server.sessions


def test_what_fails(ws, server):
    """A Python error is in the log and the status; the session stays.  One that is gone, or dies, is not used."""
    set_pool(ws, url=server.url)
    run = run_job(ws, job(ws, "print('before')\n1 / 0\n"), code=RUN_FAILED)
    assert "ZeroDivisionError: division by zero" in show(ws, run)["reason"]
    assert "before" in std_log(ws, run) and "    1 / 0" in std_log(ws, run)
    assert "status 3" in std_log(ws, run_job(ws, job(ws, "import sys\nsys.exit(3)\n"), code=RUN_FAILED))
    assert len(server.bodies()) == 1
    server.drop(0)
    assert "cold start" in std_log(ws, run_job(ws, job(ws)))
    server.drop(1)
    server.dead = True
    run = run_job(ws, job(ws), code=RUN_FAILED)
    assert "no room for the driver" in std_log(ws, run) and "ended as 'dead'" in std_log(ws, run)
    assert not server.sessions and sessions(ws) == []


def give_to_a_stranger(server, n, name="alice", code=None):
    """The server was started anew, and somebody else got that number."""
    hers = Session(n, {"name": name, "kind": "pyspark"})
    if code:
        hers.send(code)
        until("hers has run", lambda: hers.statements[0]["state"] == "available")
    server.sessions.pop(n).end()
    server.sessions[n] = hers


def asked(server, *forms):
    return [(m, p) for m, p, _ in server.asked if (m, re.sub("[0-9]+", "N", p)) in forms]


@pytest.mark.parametrize("name", ["alice", None])
def test_a_number_that_is_another_session_now(ws, server, name):
    """A server that was started anew counts from 0 again: no step runs in a stranger's session, and nobody deletes it."""
    set_pool(ws, url=server.url, on_demand=True)

    def sessions_over():
        age(ws, 2401)
        assert [s["state"] for s in sessions(ws)] == ["ended"]

    def gc_over():
        age(ws, 2401)
        ws.run("gc")

    for n, end in enumerate([lambda: ws.run("compute", "stop", "pool"), sessions_over, gc_over, lambda: sessions(ws)]):
        assert f"(session {n})" in std_log(ws, run_job(ws, job(ws)))
        give_to_a_stranger(server, n, name)
        end()
        assert sessions(ws) == []
    run_job(ws, job(ws))
    give_to_a_stranger(server, 4, name)
    assert "(session 5)" in std_log(ws, run_job(ws, job(ws)))
    assert [len(s.statements) for s in server.sessions.values()] == [0, 0, 0, 0, 0, 1]
    assert not asked(server, ("DELETE", "/sessions/N"))


def test_a_number_that_is_another_statement_now(ws, server):
    """Neither is a stranger's result the step's, nor is her statement canceled."""
    set_pool(ws, url=server.url)
    run = start_job(ws, job(ws, WAITS))
    note = ws.runs() / run / "livy-batch.json"
    until("the statement is known", note.exists)
    known = note.read_text()
    result = json.dumps({"out": "", "err": "", "status": 0})
    give_to_a_stranger(server, 0, code=f"print('sluice-step: {result}')")
    ws.run("job", "stream", run, code=RUN_FAILED)
    assert "session 0 of compute 'pool' ended as 'gone'" in std_log(ws, run)
    assert not note.exists() and sessions(ws) == []
    note.write_text(known)  # as one who was killed leaves it
    show(ws, run)
    assert not note.exists()
    assert not asked(server, ("POST", "/sessions/N/statements/N/cancel"), ("DELETE", "/sessions/N"))


def test_answers_that_are_lost(ws):
    """Neither a second session nor a second statement; a newer Livy gets its own idle time too."""
    with Sessions(version="0.8.0-incubating") as server:
        set_pool(ws, url=server.url)
        server.cut = 2
        run = run_job(ws, job(ws))
        assert pid(ws, run) and server.made == 1 and len(server.statements()) == 1
        assert server.bodies()[0]["ttl"] == "1800s"


def test_a_pool_of_synapse(ws):
    with Sessions(base="/livyApi/versions/2019-11-01-preview/sparkPools/spark1") as server:
        set_pool(ws)
        config = json.loads(ws.config.read_text())
        config["linked_services"] = {"link": {"type": "Synapse", "workspace": "w", "endpoint": server.url}}
        config["computes"]["pool"] = {
            "type": "synapsespark",
            "mode": "session",
            "linked_service": "link",
            "pool": "spark1",
        }
        ws.config.write_text(json.dumps(config))
        first, second = run_job(ws, job(ws)), run_job(ws, job(ws))
        assert pid(ws, first) == pid(ws, second)
        assert [p for m, p, _ in server.asked if m == "PUT" and p.endswith("/sessions/0/reset-timeout")]
        assert "heartbeatTimeoutInSecond" not in server.bodies()[0]


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"mode": "interactive"}, "batch or session"),
        ({"mode": "batch", "session_timeout": 5}, "sessions only"),
        ({"session_timeout": 0}, "minutes"),
        ({"on_demand": "yes"}, "true or false"),
    ],
)
def test_what_cannot_be(ws, entry, words):
    set_pool(ws, url="http://127.0.0.1:1", **entry)
    assert words in ws.run("job", "create", "-f", job(ws), code=BAD_INPUT).err


def test_a_jar_is_no_statement(ws):
    set_pool(ws, url="http://127.0.0.1:1")
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/a.jar").write_text("x")
    text = "type: spark\ncode: ./src\nentry: {class_name: A}\njars: [a.jar]\ncompute: azureml:pool\n"
    sizes = "conf: {spark.executor.cores: 1, spark.executor.memory: 512m, spark.executor.instances: 1}\n"
    assert '"mode": "batch"' in ws.run("job", "create", "-f", write_job(ws, "j.yml", text + sizes), code=BAD_INPUT).err
