# SPDX-License-Identifier: Apache-2.0
"""Supervisors that are killed: their runs end with a reason, nothing of them lives on, nothing stays mounted."""

import contextlib
import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import NOT_FOUND, local_only, mounts_below, needs_fuse, until
from jobs import children, show, start_job, stop, supervisor_of, wait_for_file, write_job

PIPELINE = """
type: pipeline
inputs:
  raw: {type: uri_folder, path: %(data)s, mode: ro_mount}
jobs:
  one:
    type: command
    command: >-
      setsid sh -c 'touch %(cwd)s/orphan; exec sleep 1000' >/dev/null 2>&1 & cat ${{inputs.raw}}/*
      > ${{outputs.out}}/n; touch %(cwd)s/started; %(wait)s
    inputs: {raw: "${{parent.inputs.raw}}"}
    outputs: {out: {type: uri_folder, name: counted}}
  two:
    type: command
    command: cat ${{inputs.c}}/n
    inputs: {c: {path: "${{parent.jobs.one.outputs.out}}", mode: ro_mount}}
"""


def pipeline(ws, wait="true"):
    ws.put("in/a.csv", "1\n")
    text = PIPELINE % {"cwd": ws.cwd, "wait": wait, "data": "azureml://datastores/workspaceblobstore/paths/in"}
    return write_job(ws, "p.yml", text)


def processes_of(ws):
    """Processes that have a step of this workspace in their environment."""
    found = []
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            with contextlib.suppress(OSError):
                text = (p / "environ").read_bytes()
                if b"AZUREML_RUN_ID=" in text and str(ws.cwd).encode() in text:
                    found.append(int(p.name))
    return found


def over(ws, run):
    """Its record once it is over: a process that was killed is there for a moment."""

    def look():
        got = show(ws, run)
        return got if got["status"] in ("Completed", "Failed", "Canceled") else None

    return until("the run is over", look)


def check_over(ws, run):
    """Who looks at the run tells how it ended, and then nothing is left of it."""
    got = over(ws, run)
    for one in [got, *got["children"]]:
        assert one["status"] in ("Completed", "Failed", "Canceled")
        assert one["status"] != "Failed" or "supervisor died" in one["reason"] or "step" in one["reason"]
    until("no process of a step is left", lambda: not processes_of(ws))
    until("nothing is mounted", lambda: not mounts_below(ws.cwd))
    first = next(x for x in got["children"] if x["step"] == "one")
    if first["status"] == "Completed":
        assert ws.json("data", "show", "counted@1")["run"] == first["run"]
    else:
        ws.run("data", "show", "counted", code=NOT_FOUND)
    for child in got["children"]:
        assert not (ws.runs() / child["run"] / "inputs").exists()
    # What was in its way is free: the same pipeline runs.
    assert ws.run("job", "create", "-f", ws.cwd / "p.yml", "--stream").code == 0
    return got


def kill_supervisor(ws, run):
    """By its own note: a run may be over before it is looked for among the processes."""
    pid = until(
        "the supervisor says who it is", lambda: json.loads((ws.runs() / run / "alive.json").read_text())["pid"]
    )
    with contextlib.suppress(OSError):
        if b"supervise" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def act_at(ws, run, moment, act):
    """Follows the run to its end, and acts when its first step is said to be there."""
    follow = subprocess.Popen(
        ["sluice", "job", "stream", run, "--output", "json"], cwd=ws.cwd, env=ws.env, stdout=subprocess.PIPE, text=True
    )
    done = False
    for line in follow.stdout:
        event = json.loads(line)
        if not done and event.get("step") and event.get("status") == moment:
            done = True
            act()
    follow.wait()


@needs_fuse
@local_only
@pytest.mark.parametrize("moment", ["Preparing", "Running", "Finalizing", "Completed"])
def test_kill_nine_of_the_supervisor_at_any_moment(ws, moment):
    run = start_job(ws, pipeline(ws))
    act_at(ws, run, moment, lambda: kill_supervisor(ws, run))
    check_over(ws, run)


@needs_fuse
@local_only
@pytest.mark.parametrize("moment", ["NotStarted", "Preparing", "Running", "Finalizing"])
def test_cancel_at_any_moment(ws, moment):
    """It may have ended before it is heard; then that stands."""
    run = start_job(ws, pipeline(ws))

    def cancel():
        subprocess.run(["sluice", "job", "cancel", run], cwd=ws.cwd, env=ws.env, capture_output=True, check=False)

    act_at(ws, run, moment, cancel)
    got = check_over(ws, run)
    assert got["status"] in ("Canceled", "Completed")


@needs_fuse
@local_only
def test_kill_nine_of_everything_but_the_program(ws):
    """Also of the guard, which would have ended the program, and of those that serve its mounts."""
    run = start_job(ws, pipeline(ws, wait=f"[ -e {ws.cwd}/go ] || sleep 1000"))
    wait_for_file(ws.cwd / "started")
    wait_for_file(ws.cwd / "orphan")
    sup, orphans = supervisor_of(run), processes_of(ws)
    guards = [p for p in children(sup) if p not in orphans]
    assert orphans and guards and mounts_below(ws.cwd)
    stop(sup)  # so that it does not see them die
    for pid in [*guards, sup]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (ws.cwd / "go").touch()
    got = check_over(ws, run)
    assert got["status"] == "Failed" and got["reason"] == "supervisor died"


@needs_fuse
@local_only
@pytest.mark.skipif(not os.environ.get("SLUICE_DEEP"), reason="long: SLUICE_DEEP=1")
def test_kill_nine_at_random_moments(ws):
    job = pipeline(ws)
    for _ in range(40):
        run = start_job(ws, job, "--force-rerun")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["sluice", "job", "stream", run], cwd=ws.cwd, env=ws.env, timeout=random.random() / 2,
                capture_output=True, check=False,
            )  # fmt: skip
        kill_supervisor(ws, run)
        over(ws, run)
        until("no process of a step is left", lambda: not processes_of(ws))
        until("nothing is mounted", lambda: not mounts_below(ws.cwd))
