# SPDX-License-Identifier: Apache-2.0
"""Steps that ran before are reused, unless their code, command, settings or data are not what they were."""

import json
import os

import pytest
from conftest import BAD_INPUT, RUN_FAILED, local_only
from jobs import run_job, show, std_log, write_job

PIPELINE = """
type: pipeline
%(more)s
inputs:
  raw: {type: uri_folder, path: %(data)s, mode: download}
jobs:
  prep:
    type: command
    code: ./src
    %(step)s
    command: sh prep.sh ${{inputs.raw}} ${{outputs.out}} ${{inputs.n}}
    inputs: {raw: "${{parent.inputs.raw}}", n: %(n)s}
    outputs: {out: {type: uri_folder, name: counted}}
  use:
    type: command
    command: cat ${{inputs.c}}/n
    inputs: {c: {path: "${{parent.jobs.prep.outputs.out}}", mode: download}}
"""


def pipeline(ws, data="./data", n=1, more="", step=""):
    if not (ws.cwd / "src").exists():
        (ws.cwd / "src").mkdir()
        (ws.cwd / "src/prep.sh").write_text("cat $1/* | wc -l > $2/n\n")
    if data == "./data" and not (ws.cwd / "data").exists():
        (ws.cwd / "data").mkdir()
        (ws.cwd / "data/a.csv").write_text("1\n")
    return write_job(ws, "p.yml", PIPELINE % {"data": data, "n": n, "more": more, "step": step})


def steps(ws, run):
    return {x["step"]: x for x in show(ws, run)["children"]}


def reused(ws, run):
    return sorted(name for name, x in steps(ws, run).items() if x.get("reused_from"))


def test_the_same_pipeline_again_is_reused(ws):
    job = pipeline(ws)
    first, second = run_job(ws, job), run_job(ws, job)
    was, now = steps(ws, first), steps(ws, second)
    assert reused(ws, first) == [] and reused(ws, second) == ["prep", "use"]
    assert now["prep"]["reused_from"] == was["prep"]["run"] and now["prep"]["status"] == "Completed"
    assert now["prep"]["outputs"]["out"]["dataset"] == was["prep"]["outputs"]["out"]["dataset"]
    # A reference to it leads to the data, its log to the run that wrote it, and nothing is registered twice.
    ws.run("download", f"azureml://jobs/{now['prep']['run']}/outputs/out", ws.cwd / "got")
    assert (ws.cwd / "got/n").read_text().strip() == "1"
    assert was["use"]["run"] in std_log(ws, now["use"]["run"])
    assert [x["version"] for x in ws.json("data", "list", "counted")] == ["1"]
    # One that was reused is not what a third one is compared with.
    third = steps(ws, run_job(ws, job))
    assert third["prep"]["reused_from"] == was["prep"]["run"]


@local_only
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda ws: (ws.cwd / "data/a.csv").write_text("2\n"), "input 'raw' differs: file 'a.csv'"),
        (lambda ws: (ws.cwd / "data/a.csv").write_text("1\n2\n"), "'a.csv' has 4 bytes, had 2"),
        (lambda ws: (ws.cwd / "data/b.csv").write_text("1\n"), "file 'b.csv' is new"),
        (lambda ws: (ws.cwd / "src/other.txt").write_text("x"), "the code differs"),
        (lambda ws: (ws.cwd / "src/prep.sh").chmod(0o755), "the code differs"),
        (lambda ws: pipeline(ws, n=2), "input 'n': value differs: '2', was '1'"),
        (lambda ws: pipeline(ws, step="environment_variables: {A: b}"), "environment_variables"),
    ],
    ids=["bytes", "size", "file", "code", "mode", "value", "variable"],
)
def test_what_differs_runs_and_says_so(ws, change, line):
    job = pipeline(ws)
    run_job(ws, job)
    change(ws)
    done = ws.run("job", "create", "-f", job, "--explain")
    assert line in done.out.replace("variable 'A'", "environment_variables")
    run = done.out.split()[1]
    assert "prep" not in reused(ws, run)
    shown = ws.run("job", "show", run, "--explain").out
    assert line in shown.replace("variable 'A'", "environment_variables")


def test_an_input_of_a_version_that_was_changed_in_place_is_not_reused(ws):
    ws.put("d/a.csv", "1\n")
    ws.register("d", "d")
    job = pipeline(ws, data="azureml:d:1")
    run_job(ws, job)
    assert reused(ws, run_job(ws, job)) == ["prep", "use"]
    ws.put("d/a.csv", "1\n2\n3\n")
    run = run_job(ws, job, code=RUN_FAILED)  # the version is what it was: it cannot be had any more
    assert "file 'a.csv' of input 'raw' was changed since" in ws.run("job", "show", run, "--explain").out
    assert reused(ws, run) == []


@pytest.mark.parametrize("how", ["changed", "deleted", "unregistered"])
def test_outputs_that_are_not_what_they_were_are_not_taken(ws, how):
    job = pipeline(ws)
    uri = steps(ws, run_job(ws, job))["prep"]["outputs"]["out"]["uri"]
    if how == "changed":
        (ws.cwd / "new").write_text("77\n")
        ws.run("cp", "--overwrite", ws.cwd / "new", f"{uri.rstrip('/')}/n")
    elif how == "deleted":
        ws.run("rm", f"{uri.rstrip('/')}/n")
    else:
        ws.run("data", "unregister", "counted@1")
    done = ws.run("job", "create", "-f", job, "--explain")
    assert "is not taken" in done.out
    assert "prep" not in reused(ws, done.out.split()[1])


@local_only
def test_a_failed_run_is_not_reused(ws):
    job = pipeline(ws)
    (ws.cwd / "src/prep.sh").write_text(f"[ -e {ws.cwd}/go ] || exit 3; echo 1 > $2/n\n")
    run_job(ws, job, code=RUN_FAILED)
    (ws.cwd / "go").touch()
    run = run_job(ws, job)
    assert reused(ws, run) == []
    assert "no earlier run" in steps(ws, run)["prep"]["explain"][0]


@local_only
@pytest.mark.parametrize("way", ["settings", "option", "component"])
def test_running_again_can_be_asked_for(ws, way):
    more = {"settings": "settings: {force_rerun: true}"}.get(way, "")
    step = {"component": "is_deterministic: false"}.get(way, "")
    job = pipeline(ws, more=more, step=step)
    run_job(ws, job)
    run = run_job(ws, job, *(["--force-rerun"] if way == "option" else []))
    assert "prep" not in reused(ws, run)
    if way == "option":  # and what it wrote is what later ones take
        assert steps(ws, run_job(ws, job))["prep"]["reused_from"] == steps(ws, run)["prep"]["run"]


@local_only
def test_a_job_by_itself_runs_each_time(ws):
    job = write_job(ws, "j.yml", "type: command\ncommand: echo a line\n")
    for _ in range(2):
        assert os.linesep.join(["a line", ""]) == std_log(ws, run_job(ws, job))


# --- parts of a pipeline again ---

CHAIN = """
type: pipeline
jobs:
  one:
    type: command
    command: date +%%N > ${{outputs.out}}/n
    outputs: {out: {type: uri_folder}}
  two:
    type: command
    code: ./src
    command: sh two.sh ${{inputs.c}} ${{outputs.out}}
    inputs: {c: {path: "${{parent.jobs.one.outputs.out}}", mode: download}}
    outputs: {out: {type: uri_folder}}
  three:
    type: command
    command: cat ${{inputs.c}}/n
    inputs: {c: {path: "${{parent.jobs.two.outputs.out}}", mode: download}}
  beside: {type: command, command: echo beside}
settings: {continue_on_step_failure: true}
"""


def test_a_failed_run_goes_on_where_it_failed(ws):
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/two.sh").write_text("exit 3\n")
    job = write_job(ws, "p.yml", CHAIN.replace("%%", "%"))
    failed = run_job(ws, job, code=RUN_FAILED)
    assert {k: x["status"] for k, x in steps(ws, failed).items()} == {
        "one": "Completed", "two": "Failed", "three": "Canceled", "beside": "Completed",
    }  # fmt: skip
    (ws.cwd / "src/two.sh").write_text("cp $1/n $2/n\n")
    again = json.loads(ws.run("job", "rerun", failed, "--stream", "--output", "json").out.splitlines()[0])["run"]
    now = steps(ws, again)
    assert {k: x["status"] for k, x in now.items()} == dict.fromkeys(now, "Completed")
    assert reused(ws, again) == ["beside", "one"] and show(ws, again)["rerun_of"] == failed
    assert now["one"]["reused_from"] == steps(ws, failed)["one"]["run"]
    # Nothing is left to do, unless it is named.
    assert "--step" in ws.run("job", "rerun", again, code=BAD_INPUT).err
    assert "'three'" in ws.run("job", "rerun", again, "--step", "four", code=BAD_INPUT).err
    third = json.loads(
        ws.run("job", "rerun", again, "--step", "two", "--stream", "--output", "json").out.splitlines()[0]
    )
    assert reused(ws, third["run"]) == ["beside", "one"]


@local_only
def test_a_run_is_made_again_from_its_own_copy_when_its_code_is_gone(ws):
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/main.sh").write_text("echo from-the-copy\n")
    run = run_job(ws, write_job(ws, "j.yml", "type: command\ncode: ./src\ncommand: sh main.sh\n"))
    (ws.cwd / "src/main.sh").unlink()
    (ws.cwd / "src").rmdir()
    again = ws.run("job", "rerun", run, "--stream").out.split()[1]
    assert again != run and std_log(ws, again) == "from-the-copy\n"


@local_only
def test_a_step_whose_output_is_gone_runs_again(ws):
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/two.sh").write_text("exit 3\n")
    failed = run_job(ws, write_job(ws, "p.yml", CHAIN.replace("%%", "%")), code=RUN_FAILED)
    ws.run("rm", steps(ws, failed)["one"]["outputs"]["out"]["uri"].rstrip("/") + "/n")
    (ws.cwd / "src/two.sh").write_text("cp $1/n $2/n\n")
    again = ws.run("job", "rerun", failed, "--explain").out
    assert "file 'n' of its output 'out' was deleted since" in again
    assert reused(ws, again.split()[1]) == ["beside"]
