# SPDX-License-Identifier: Apache-2.0
"""Steps, pipelines, runs: what completes is registered once, what does not registers nothing."""

import contextlib
import json
import os
import signal
import subprocess

import pytest
from conftest import (
    BAD_INPUT,
    CANCELED,
    EXISTS,
    NOT_FOUND,
    RUN_FAILED,
    local_only,
    mounts_below,
    needs_fuse,
    needs_root,
    read_tree,
    until,
)
from jobs import (
    children,
    outcome,
    run_job,
    show,
    start_job,
    std_log,
    stop,
    supervisor_of,
    wait_for_file,
    wait_until_all_is_written,
    waiting_job,
    write_job,
)


def command(ws, text, inputs="", outputs="", name="job.yml"):
    body = f"type: command\ncommand: |\n  {text}\n"
    if inputs:
        body += f"inputs:\n{inputs}"
    if outputs:
        body += f"outputs:\n{outputs}"
    return write_job(ws, name, body)


RESULT = "  result:\n    type: uri_folder\n    name: result\n"


def test_a_completed_step_registers_its_output(ws):
    run = run_job(ws, command(ws, "echo a,b > ${{outputs.result}}/part.csv", outputs=RESULT))
    assert show(ws, run)["status"] == "Completed"
    record = ws.json("data", "show", "result@1")
    assert record["run"] == run and record["output"] == "result" and record["files"] == 1
    ws.run("download", "result@1", ws.cwd / "out")
    assert (ws.cwd / "out/part.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("status", [1, 3, 127])
def test_a_failing_step_registers_nothing(ws, status):
    """Promise 3."""
    run = run_job(
        ws, command(ws, f"echo x > ${{{{outputs.result}}}}/p; exit {status}", outputs=RESULT), code=RUN_FAILED
    )
    got = show(ws, run)
    assert got["status"] == "Failed" and got["exit_code"] == status
    assert outcome(ws, run)["status"] == "Failed"
    ws.run("data", "show", "result", code=NOT_FOUND)


@pytest.mark.parametrize("mode", ["download", "ro_mount"])
@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
def test_input_modes(ws, mode, kind):
    if mode == "ro_mount" and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no FUSE here")
    ws.put("in/data.csv", "1,2,3\n")
    path = "in/data.csv" if kind == "uri_file" else "in"
    shell = "cat ${{inputs.data}}" if kind == "uri_file" else "cat ${{inputs.data}}/data.csv"
    inputs = (
        f"  data:\n    type: {kind}\n    mode: {mode}\n    path: azureml://datastores/workspaceblobstore/paths/{path}\n"
    )
    run = run_job(ws, command(ws, shell, inputs))
    assert "1,2,3" in std_log(ws, run)
    assert not mounts_below(ws.runs())


def test_direct_gives_the_uri(ws):
    ws.put("in/data.csv", "1")
    uri = "azureml://datastores/workspaceblobstore/paths/in/data.csv"
    inputs = f"  data:\n    type: uri_file\n    mode: direct\n    path: {uri}\n"
    assert uri in std_log(ws, run_job(ws, command(ws, "echo ${{inputs.data}}", inputs)))


def test_a_registered_version_as_input_is_that_version(ws):
    ws.put("d/a", "one")
    ws.register("d", "d")
    ws.put("d/b", "two")
    inputs = "  data:\n    type: uri_folder\n    mode: download\n    path: azureml:d:1\n"
    run = run_job(ws, command(ws, "ls ${{inputs.data}}", inputs))
    assert std_log(ws, run).split() == ["a"]
    got = show(ws, run)["inputs"]["data"] if isinstance(show(ws, run)["inputs"], dict) else show(ws, run)["inputs"][0]
    assert got["manifest"] == ws.json("data", "show", "d@1")["manifest"]


def test_the_environment_of_a_step(ws):
    ws.put("in/f", "1")
    inputs = "  data:\n    type: uri_file\n    mode: download\n    path: workspaceblobstore:in/f\n  n: 5\n"
    env = std_log(ws, run_job(ws, command(ws, "echo ${{inputs.n}}; env", inputs, "")))
    got = dict(line.split("=", 1) for line in env.splitlines() if "=" in line)
    assert env.splitlines()[0] == "5"
    assert got["AZUREML_RUN_ID"] and got["AZUREML_ARM_WORKSPACE_NAME"] == "test"
    assert got["AZURE_ML_INPUT_data"] == got["data"]
    assert "data:" in got["AZUREML_DATASET_ENVIRONMENT_VARS"]


def test_secrets_do_not_reach_a_step(ws):
    """Promise 8: what a credential reference names is not in a child's environment, nor anywhere on disk."""
    config = json.loads(ws.config.read_text())
    config["datastores"]["b"] = {
        "type": "azure_blob", "account_name": "acct", "container_name": "data", "credential": "env:MY_ACCOUNT_KEY",
    }  # fmt: skip
    ws.config.write_text(json.dumps(config))
    run = run_job(ws, command(ws, "env"), env={"MY_ACCOUNT_KEY": "CANARY"})
    wait_until_all_is_written(run)  # so that no file comes or goes while all are read
    assert "CANARY" not in std_log(ws, run)
    assert subprocess.run(["grep", "-r", "CANARY", ws.cwd], capture_output=True, check=False).returncode == 1


def test_logs_are_where_people_look(ws):
    run = run_job(ws, command(ws, "echo to-out; echo to-err >&2"))
    logs = ws.runs() / run / "logs/azureml/driver"
    assert (logs / "stdout").read_text() == "to-out\n" and (logs / "stderr").read_text() == "to-err\n"
    assert sorted(std_log(ws, run).split()) == ["to-err", "to-out"]


def test_code_is_snapshotted(ws):
    (ws.cwd / "src").mkdir()
    (ws.cwd / "src/main.sh").write_text("echo from-the-code")
    path = write_job(ws, "job.yml", "type: command\ncode: ./src\ncommand: sh main.sh\n")
    assert "from-the-code" in std_log(ws, run_job(ws, path))


def test_a_pipeline_runs_in_the_order_of_its_data(ws):
    path = write_job(
        ws,
        "pipe.yml",
        """
        type: pipeline
        jobs:
          second:
            type: command
            command: cat ${{inputs.got}}/f
            inputs:
              got:
                type: uri_folder
                mode: download
                path: ${{parent.jobs.first.outputs.made}}
          first:
            type: command
            command: echo hello > ${{outputs.made}}/f
            outputs:
              made:
                type: uri_folder
                name: made
        """,
    )
    run = run_job(ws, path)
    got = show(ws, run)
    assert got["status"] == "Completed"
    kids = {c["step"]: c["run"] for c in got["children"]}
    assert "hello" in std_log(ws, kids["second"])
    lineage = ws.json("data", "lineage", "made@1")
    assert lineage["run"] == kids["first"]


def test_a_failed_step_keeps_what_depends_on_it_from_running(ws):
    path = write_job(
        ws,
        "pipe.yml",
        """
        type: pipeline
        jobs:
          first:
            type: command
            command: echo x > ${{outputs.made}}/f; exit 3
            outputs: {made: {type: uri_folder, name: made}}
          second:
            type: command
            command: touch CWD/second-ran
            inputs: {got: {type: uri_folder, path: "${{parent.jobs.first.outputs.made}}"}}
        """.replace("CWD", str(ws.cwd)),
    )
    run = run_job(ws, path, code=RUN_FAILED)
    assert show(ws, run)["status"] == "Failed"
    assert not (ws.cwd / "second-ran").exists()
    ws.run("data", "show", "made", code=NOT_FOUND)


def test_a_cycle_is_told_before_anything_runs(ws):
    path = write_job(
        ws,
        "pipe.yml",
        """
        type: pipeline
        jobs:
          a:
            type: command
            command: "true"
            inputs: {i: {type: uri_folder, path: "${{parent.jobs.b.outputs.o}}"}}
            outputs: {o: {type: uri_folder}}
          b:
            type: command
            command: "true"
            inputs: {i: {type: uri_folder, path: "${{parent.jobs.a.outputs.o}}"}}
            outputs: {o: {type: uri_folder}}
        """,
    )
    err = ws.run("job", "create", "-f", path, code=BAD_INPUT).err
    assert "a" in err and "b" in err
    assert not ws.runs().exists() or not list(ws.runs().iterdir())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("type: command\ncommnd: x\n", ":2:"),
        ("type: command\ncommand: x\ninputs:\n  d: {type: uri_folder, path: x, mode: sideways}\n", ":4:"),
        ("type: command\ncommand: echo ${{inputs.nosuch}}\n", ":2:"),
        ("type: command\ncommand: x\ninputs:\n  'a b': 1\n", ":4:"),
        ("type: command\ncommand: x\ninputs:\n  PATH: 1\n", ":4:"),
        ("type: command\ncommand: [\n", ":"),
        ("type: command\ncommand: x\noutputs:\n  o: {type: uri_folde}\n", ":4:"),
        ("type: nosuch\n", ":1:"),
        ("- a\n- b\n", ":1:"),
        ("type: command\n", "command"),
    ],
)
def test_a_bad_job_file_is_told_with_its_line(ws, text, where):
    path = write_job(ws, "bad.yml", text)
    err = ws.run("job", "create", "-f", path, code=BAD_INPUT).err
    assert "bad.yml" in err and where in err
    assert not ws.runs().exists() or not list(ws.runs().iterdir())


def test_a_missing_input_fails_the_run_with_its_place(ws):
    inputs = "  data:\n    type: uri_folder\n    path: workspaceblobstore:no/such\n"
    path = command(ws, "true", inputs)
    done = ws.start("job", "create", "-f", path, "--stream", stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    out, err = done.communicate()
    assert done.returncode in (NOT_FOUND, RUN_FAILED)
    assert "no/such" in out + err


@pytest.mark.parametrize("shell", ["true", "rm -rf ${{outputs.result}}"])
def test_an_empty_or_missing_output_fails_the_run(ws, shell):
    run = run_job(ws, command(ws, shell, outputs=RESULT), code=RUN_FAILED)
    assert "result" in show(ws, run)["reason"]
    ws.run("data", "show", "result", code=NOT_FOUND)


def test_a_destination_keeps_what_was_there(ws):
    """Promise 2: an upload that would replace a file fails the run; the file stays."""
    ws.put("fixed/part.csv", "old")
    outputs = RESULT + "    path: azureml://datastores/workspaceblobstore/paths/fixed\n"
    run_job(ws, command(ws, "echo new > ${{outputs.result}}/part.csv", outputs=outputs), code=RUN_FAILED)
    assert ws.get("fixed/part.csv") == b"old"


def test_a_version_pins_what_its_own_run_wrote(ws):
    outputs = RESULT + "    path: azureml://datastores/workspaceblobstore/paths/fixed\n"
    for i in (1, 2):
        run_job(ws, command(ws, f"echo {i} > ${{{{outputs.result}}}}/part-{i}", outputs=outputs))
    assert ws.versions("result") == ["1", "2"]
    for i in (1, 2):
        ws.run("download", f"result@{i}", ws.cwd / f"out{i}")
        assert list(read_tree(ws.cwd / f"out{i}")) == [f"part-{i}"]


# --- things that are killed -----------------------------------------------------------------------


def nothing_registered(ws):
    ws.run("data", "show", "result", code=NOT_FOUND)


def test_kill_nine_of_the_step(ws):
    path, _ = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    for pid in children(supervisor_of(run)):
        with contextlib.suppress(ProcessLookupError):  # it went with the one before
            os.kill(pid, signal.SIGKILL)
    ws.run("job", "stream", run, code=RUN_FAILED)
    got = show(ws, run)
    assert got["status"] == "Failed" and got["reason"]
    nothing_registered(ws)


def test_kill_nine_of_the_supervisor(ws):
    """The next reader finds it dead, says so in the record, and the step does not live on."""
    path, _ = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    sup = supervisor_of(run)
    below = children(sup)
    os.kill(sup, signal.SIGKILL)
    ws.run("job", "stream", run, code=RUN_FAILED)
    got = show(ws, run)
    assert got["status"] == "Failed" and "supervisor" in got["reason"]
    assert outcome(ws, run)["status"] == "Failed"
    until("the step is gone", lambda: not any(os.path.exists(f"/proc/{p}/exe") for p in below))
    nothing_registered(ws)


def test_kill_nine_of_the_supervisor_while_someone_follows(ws):
    path, _ = waiting_job(ws)
    follower = ws.start("job", "create", "-f", path, "--stream", "-o", "json", stdout=subprocess.PIPE, text=True)
    run = json.loads(follower.stdout.readline())["run"]
    wait_for_file(ws.cwd / "started")
    os.kill(supervisor_of(run), signal.SIGKILL)
    follower.communicate()
    assert follower.returncode == RUN_FAILED
    nothing_registered(ws)


def test_a_supervisor_that_was_declared_dead_and_goes_on_registers_nothing(ws):
    path, _ = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    sup = supervisor_of(run)
    stop(sup)
    ws.run("job", "cancel", run)
    decided = outcome(ws, run)
    assert decided["status"] == "Canceled"
    with open(ws.cwd / "pipe", "w") as f:
        f.write("go\n")
    os.kill(sup, signal.SIGCONT)
    until("the supervisor has ended", lambda: not os.path.exists(f"/proc/{sup}/exe"))
    assert outcome(ws, run) == decided
    assert show(ws, run)["status"] == "Canceled"
    nothing_registered(ws)


@needs_root
def test_a_silent_supervisor_of_another_host_is_declared_dead(ws):
    """On a shared store the heartbeat decides; here another host name plays the other host."""
    path, _ = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    sup = supervisor_of(run)
    stop(sup)
    elsewhere = "hostname elsewhere && exec sluice job show --output json " + run

    def declared():
        done = subprocess.run(
            ["unshare", "-u", "sh", "-c", elsewhere],
            cwd=ws.cwd, env={**ws.env, "SLUICE_DEAD_AFTER": "1s"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)["status"] == "Failed"

    until("it is declared dead", declared)
    with open(ws.cwd / "pipe", "w") as f:
        f.write("go\n")
    os.kill(sup, signal.SIGCONT)
    until("the supervisor has ended", lambda: not os.path.exists(f"/proc/{sup}/exe"))
    assert outcome(ws, run)["status"] == "Failed"
    nothing_registered(ws)


def test_cancel_ends_a_run(ws):
    path, _ = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    sup = supervisor_of(run)
    ws.run("job", "cancel", run)
    ws.run("job", "stream", run, code=CANCELED)
    until("the supervisor has ended", lambda: not os.path.exists(f"/proc/{sup}/exe"))
    nothing_registered(ws)


def test_a_crash_between_outcome_and_registration_is_finished_by_the_next_reader(ws):
    """outcome.json decides; the record is put by whoever comes next, once."""
    run = run_job(ws, command(ws, "echo 1 > ${{outputs.result}}/f", outputs=RESULT))
    text = ws.registry.get("data/result/1/record.json")
    ws.registry.remove("data/result")
    show(ws, run)
    assert ws.registry.get("data/result/1/record.json") == text
    show(ws, run)
    assert ws.versions("result") == ["1"]


def test_a_destination_in_use_is_refused(ws):
    path, keep = waiting_job(ws)
    text = path.read_text().replace("name: result", "name: result\n    path: workspaceblobstore:fixed")
    path.write_text(text)
    first = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    other = command(
        ws, "echo 1 > ${{outputs.result}}/f", outputs=RESULT + "    path: workspaceblobstore:fixed\n", name="b.yml"
    )
    second = run_job(ws, other, code=RUN_FAILED)
    assert first in show(ws, second)["reason"]
    os.write(keep, b"go\n")
    ws.run("job", "stream", first)
    run_job(ws, other)
    assert ws.versions("result") == ["1", "2"]


@needs_fuse
def test_a_step_reaches_the_workspace_by_its_broker(ws):
    """In a job without a workspace: the socket of the supervisor answers, to those who have the run's token."""
    ws.put("in/f", "bytes")
    ws.register("d", "in")
    run = run_job(ws, command(ws, "cd / && sluice data show d@1 --output json && sluice hdfs d@1"))
    assert '"name": "d"' in std_log(ws, run) and ws.uri("in") in std_log(ws, run)


def test_job_list_shows_runs(ws):
    run = run_job(ws, command(ws, "true"))
    assert run in [r["run"] for r in ws.json("job", "list")]
    ws.run("job", "show", "nosuch", code=NOT_FOUND)


def test_an_explicit_name_is_used_once(ws):
    path = command(ws, "true")
    assert run_job(ws, path, "--name", "mine") == "mine"
    ws.run("job", "create", "-f", path, "--name", "mine", code=EXISTS)


def test_a_failure_shows_what_was_printed(ws):
    path = command(ws, "for i in $(seq 30); do echo line-$i; done; echo the-reason >&2; exit 1")
    done = ws.run("job", "create", "-f", path, "--stream", code=RUN_FAILED)
    assert "the-reason" in done.out and "line-30" in done.out and "std_log.txt" in done.out
    assert (done.out + done.err).count("exit status 1") == 1 and "exit status 1" in done.err


def test_what_has_no_effect_is_told_when_the_job_is_made(ws):
    path = write_job(ws, "job.yml", "type: command\ncommand: 'true'\nenvironment: azureml:some-image@latest\n")
    assert "note: " in ws.run("job", "create", "-f", path, "--stream").err


# --- tries and figures ---


def test_a_program_that_failed_is_started_again(ws):
    """What the try that failed wrote is not there for the next one."""
    shell = f"echo line >> ${{{{outputs.result}}}}/p; [ -e {ws.cwd}/once ] || {{ touch {ws.cwd}/once; printf half; exit 4; }}"
    job = command(ws, shell, outputs=RESULT)
    job.write_text(job.read_text() + "retry_settings: {max_retries: 2}\n")
    run = run_job(ws, job)
    assert [x.get("exit_code") for x in show(ws, run)["attempts"]] == [4, 0]
    assert std_log(ws, run) == "half\nsluice: the step ended with exit status 4; try 2 of 3 begins\n"
    ws.run("download", "result@1", ws.cwd / "out")
    assert (ws.cwd / "out/p").read_text() == "line\n"


@local_only
def test_tries_end_at_their_number_and_with_a_cancel(ws):
    job = command(ws, "exit 4")
    job.write_text(job.read_text() + "retry_settings: {max_retries: 2}\n")
    got = show(ws, run_job(ws, job, code=RUN_FAILED))
    assert len(got["attempts"]) == 3 and got["exit_code"] == 4
    job = command(ws, f"touch {ws.cwd}/runs; sleep 1000", name="long.yml")
    job.write_text(job.read_text() + "retry_settings: {max_retries: 9}\n")
    run = start_job(ws, job)
    wait_for_file(ws.cwd / "runs")
    ws.run("job", "cancel", run)
    ws.run("job", "stream", run, code=CANCELED)
    assert len(show(ws, run)["attempts"]) == 1


@local_only
def test_a_run_tells_what_its_processes_used(ws):
    """Of a whole tree: what a child of a child wrote and how much memory it had."""
    (ws.cwd / "burn.py").write_text(
        "x = bytearray(90 << 20)\nopen('big', 'wb').write(x)\n[i for i in range(3000000)]\n"
    )
    used = show(ws, run_job(ws, command(ws, f"sh -c 'python3 {ws.cwd}/burn.py; true'; true")))["usage"]
    assert used["written_bytes"] >= 90 << 20 and used["peak_memory_bytes"] >= 90 << 20
    assert 0 < used["user_seconds"] and used["wall_seconds"] > 0


@local_only
def test_the_exception_of_a_python_program_is_the_reason(ws):
    (ws.cwd / "fail.py").write_text(
        "import sys\ntry:\n    {}['x']\nexcept KeyError as e:\n    raise ValueError('no column y') from e\n"
    )
    run = run_job(ws, command(ws, f"python3 {ws.cwd}/fail.py || {{ echo noise >&2; exit 1; }}"), code=RUN_FAILED)
    assert show(ws, run)["reason"] == "the step ended with exit status 1: ValueError: no column y"
    assert "Traceback" in (ws.runs() / run / "logs/azureml/driver/stderr").read_text()


@local_only
@pytest.mark.parametrize(
    ("command", "word"),
    [("python3 nosuch.py", "nosuch.py'"), ("frobnicate", "frobnicate: command not found"), ("./src", "./src: ")],
)
def test_what_was_to_run_and_is_not_there_is_named(ws, command, word):
    (ws.cwd / "code/src").mkdir(parents=True)
    job = write_job(ws, "job.yml", f"type: command\ncode: ./code\ncommand: {command}\n")
    why = show(ws, run_job(ws, job, code=RUN_FAILED))["reason"]
    assert word in why and "code folder, or installed" in why


# --- streaming ---


@local_only
def test_stream_shows_what_programs_print(ws):
    """While they run, each step's with its name, and nothing after it is said that the step ended."""
    text = """
        type: pipeline
        jobs:
          one: {type: command, command: "printf 'a\\\\tb\\\\nbytes \\\\377\\\\n'; read x < %(cwd)s/pipe; printf 'no end'"}
          two: {type: command, command: "echo error >&2; touch %(cwd)s/two"}
    """
    os.mkfifo(ws.cwd / "pipe")
    run = start_job(ws, write_job(ws, "p.yml", text % {"cwd": ws.cwd}))
    stream = subprocess.Popen(
        ["sluice", "job", "stream", run], cwd=ws.cwd, env=ws.env, stdout=subprocess.PIPE, text=True
    )
    seen = []
    for line in stream.stdout:
        seen.append(line.rstrip("\n"))
        if "bytes" in line:  # it is told while the program waits
            (ws.cwd / "pipe").write_text("x\n")
    assert stream.wait() == 0
    assert "one | a\tb" in seen and "one | bytes %FF" in seen and "two | error" in seen
    end = next(i for i, line in enumerate(seen) if "one" in line and "Finalizing" in line)
    assert seen[end - 1] == "one | no end" or "one | no end" in seen[:end]
    again = ws.run("job", "stream", run, "--output", "json").out.splitlines()
    printed = [x for x in map(json.loads, again) if "output" in x]
    assert "".join(x["output"] for x in printed if x["step"] == "one").endswith("no end")
