# SPDX-License-Identifier: Apache-2.0
"""How steps run: side by side, in order, within limits, with names and values that are hard on a shell."""

import fcntl
import json
import os
import shutil
import subprocess

import pytest
from conftest import (
    BAD_INPUT,
    NOT_FOUND,
    NOT_SUPPORTED,
    RUN_FAILED,
    Workspace,
    local_only,
    needs_fuse,
    needs_root,
    until,
)
from jobs import outcome, run_job, show, start_job, std_log, wait_for_file, wait_until_all_is_written, write_job


def kids(ws, run):
    return {c["step"]: c for c in show(ws, run)["children"]}


def test_independent_steps_run_side_by_side(ws):
    """Each waits for the other: one after the other they would wait for ever."""
    for name in ("a", "b"):
        os.mkfifo(ws.cwd / name)
    step = "{type: command, command: 'echo x > CWD/ME & read y < CWD/OTHER; wait', compute: two}"
    text = "type: pipeline\njobs:\n"
    for me, other in (("a", "b"), ("b", "a")):
        text += f"  {me}: {step}\n".replace("ME", me).replace("OTHER", other).replace("CWD", str(ws.cwd))
    config = json.loads(ws.config.read_text())
    config["computes"] = {"two": {"type": "local", "slots": 2}}
    ws.config.write_text(json.dumps(config))
    assert show(ws, run_job(ws, write_job(ws, "p.yml", text)))["status"] == "Completed"


PARTS = """
    type: pipeline
    settings: {continue_on_step_failure: %s}
    jobs:
      bad: {type: command, command: "cat CWD/pipe; exit 3", outputs: {o: {}}}
      after_bad: {type: command, command: "true", inputs: {i: {path: "${{parent.jobs.bad.outputs.o}}"}}}
      other: {type: command, command: "echo 1 > ${{outputs.o}}/f; echo > CWD/pipe; %s", outputs: {o: {name: other}}}
"""


def test_a_failed_step_ends_the_others(ws):
    os.mkfifo(ws.cwd / "pipe")
    text = PARTS % ("false", "exec tail -f /dev/null")
    run = run_job(ws, write_job(ws, "p.yml", text.replace("CWD", str(ws.cwd))), code=RUN_FAILED)
    got = kids(ws, run)
    assert [got[s]["status"] for s in ("bad", "after_bad", "other")] == ["Failed", "Canceled", "Canceled"]
    assert got["bad"]["exit_code"] == 3 and "bad" in got["other"]["reason"]
    assert "bad" in show(ws, run)["reason"]
    ws.run("data", "show", "other", code=NOT_FOUND)


def test_independent_steps_go_on_when_told_so(ws):
    os.mkfifo(ws.cwd / "pipe")
    text = PARTS % ("true", "true")
    run = run_job(ws, write_job(ws, "p.yml", text.replace("CWD", str(ws.cwd))), code=RUN_FAILED)
    got = kids(ws, run)
    assert [got[s]["status"] for s in ("bad", "after_bad", "other")] == ["Failed", "Canceled", "Completed"]
    assert ws.versions("other") == ["1"]


def test_a_step_has_a_time_limit(ws):
    path = write_job(ws, "j.yml", "type: command\ncommand: exec tail -f /dev/null\nlimits: {timeout: 1}\n")
    got = show(ws, run_job(ws, path, code=RUN_FAILED))
    assert "limit of 1 s" in got["reason"]


def test_what_a_step_leaves_running_ends_with_it(ws):
    command = "setsid sh -c 'echo $$ > CWD/pid; exec tail -f /dev/null' & until [ -s CWD/pid ]; do :; done"
    path = write_job(ws, "j.yml", "type: command\ncommand: |\n  " + command.replace("CWD", str(ws.cwd)) + "\n")
    run_job(ws, path)
    assert not os.path.exists(f"/proc/{(ws.cwd / 'pid').read_text().strip()}/exe")


def test_names_that_are_hard_on_a_shell(tmp_path, store):
    """A workspace, a file and a value with spaces, quotes and dollars: one word each, nothing executed."""
    cwd = tmp_path / "it's a $(touch pwned) `place`"
    cwd.mkdir()
    ws = Workspace(cwd, store)
    ws.put('in/a "b" $HOME;c.csv', "right\n")
    path = write_job(
        ws,
        "j.yml",
        """
        type: command
        command: |
          cat ${{inputs.f}} "${{inputs.f}}" '${{inputs.f}}'
          echo x > ${{outputs.o}}/"y z"
          ls $(dirname "${{inputs.f}}")/* >/dev/null 2>&1; true
        inputs: {f: {type: uri_file, mode: download, path: 'workspaceblobstore:in/*.csv'}}
        outputs: {o: {type: uri_folder, name: o}}
        """,
    )
    run = run_job(ws, path)
    assert std_log(ws, run) == "right\n" * 3
    assert "y z" in ws.run("data", "manifest", "o@1").out.replace("%20", " ")
    assert not list(tmp_path.rglob("pwned"))


def test_components_overrides_and_environment(ws):
    write_job(
        ws,
        "c/c.yml",
        """
        type: command
        code: ./src
        command: sh main.sh ${{inputs.n}} $[[--m ${{inputs.m}}]]
        environment_variables: {GREETING: "hello ${{inputs.n}} $${{kept}}"}
        inputs:
          n: {type: integer, default: 3}
          m: {type: number, optional: true}
        """,
    )
    write_job(ws, "c/src/main.sh", 'echo "$GREETING: $*"\n')
    write_job(ws, "c/src/big.bin", "x")
    write_job(ws, "c/src/.amlignore", "*.bin\n")
    path = write_job(
        ws,
        "p.yml",
        """
        type: pipeline
        inputs: {count: 5}
        jobs:
          s: {component: ./c/c.yml, inputs: {n: "${{parent.inputs.count}}"}}
        """,
    )
    run = run_job(ws, path, "--set", "inputs.count=7", "--set", "display_name=shown")
    assert show(ws, run)["display_name"] == "shown"
    child = kids(ws, run)["s"]["run"]
    assert std_log(ws, child) == "hello 7 ${{kept}}: 7\n"
    assert not (ws.runs() / child / "code/big.bin").exists()
    assert show(ws, child)["snapshot"]["files"] == 2
    err = ws.run("job", "create", "-f", path, "--set", "inputs.nosuch=7", code=BAD_INPUT).err
    assert "'count'" in err
    err = ws.run("job", "validate", path, "--set", "settings.force_rerunn=true", code=BAD_INPUT).err
    assert "'force_rerun'" in err


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ("o: {path: 'workspaceblobstore:in/sub'}", "is read from"),
        ("o: {path: 'workspaceblobstore:in'}", "is read from"),
        ("o: {name: d, version: 1}", "version '1' of 'd' exists"),
    ],
)
def test_outputs_that_cannot_be(ws, outputs, why):
    ws.put("in/f", "1")
    ws.register("d", "in")
    path = write_job(
        ws,
        "j.yml",
        f"""
        type: command
        command: echo 1 > ${{{{outputs.o}}}}/g
        inputs: {{i: {{type: uri_folder, mode: download, path: 'workspaceblobstore:in'}}}}
        outputs: {{{outputs}}}
        """,
    )
    run = run_job(ws, path, code=RUN_FAILED)
    assert why in show(ws, run)["reason"]
    assert ws.versions("d") == ["1"]


def test_an_unknown_compute_is_noted_and_the_step_runs(ws):
    path = write_job(ws, "j.yml", "type: command\ncommand: 'true'\ncompute: azureml:gpu-cluster\nservices: {a: {}}\n")
    notes = show(ws, run_job(ws, path))["notes"]
    assert any("gpu-cluster" in n for n in notes) and any("services" in n for n in notes)


def test_the_python_of_the_compute_runs_the_step(ws):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"local": {"type": "local", "python": shutil.which("python3")}}
    ws.config.write_text(json.dumps(config))
    path = write_job(ws, "j.yml", "type: command\ncommand: python -c 'print(6*7)'\n")
    assert std_log(ws, run_job(ws, path)) == "42\n"
    config["computes"]["local"]["python"] = "/no/such/python"
    ws.config.write_text(json.dumps(config))
    assert "/no/such/python" in show(ws, run_job(ws, path, code=RUN_FAILED))["reason"]


def test_a_spark_step_without_spark_says_what_to_do(ws):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"spark": {"type": "spark", "spark_home": "/no/such/spark"}}
    ws.config.write_text(json.dumps(config))
    write_job(ws, "src/x.py", "")
    path = write_job(ws, "j.yml", "type: spark\ncode: ./src\nentry: {file: x.py}\n")
    assert "/no/such/spark" in show(ws, run_job(ws, path, code=RUN_FAILED))["reason"]


@needs_fuse
def test_cancel_ends_a_step_that_does_not_want_to(ws):
    """SIGTERM is ignored, the mount is in use: it ends all the same, and nothing stays mounted."""
    ws.put("in/f", "1")
    path = write_job(
        ws,
        "j.yml",
        f"""
        type: command
        command: trap '' TERM; cd ${{{{inputs.i}}}}; touch {ws.cwd}/started; tail -f /dev/null
        inputs: {{i: {{type: uri_folder, path: 'workspaceblobstore:in'}}}}
        """,
    )
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    ws.run("job", "cancel", run)
    assert outcome(ws, run)["status"] == "Canceled"
    until("its mount is gone", lambda: str(ws.runs() / run) not in open("/proc/mounts").read())
    until("its record says so", lambda: json.loads((ws.runs() / run / "run.json").read_text())["status"] == "Canceled")


# --- what a step or its killer may do -------------------------------------------------------------


def test_an_output_folder_replaced_by_a_link_is_refused(ws):
    """Promise 9: what lies behind the link was not written by the step."""
    other = ws.cwd / "other"
    other.mkdir()
    (other / "private").write_text("not the step's")
    job = write_job(
        ws,
        "job.yml",
        f"""
        type: command
        command: rmdir ${{{{outputs.o}}}} && ln -s {other} ${{{{outputs.o}}}}
        outputs: {{o: {{type: uri_folder, name: o}}}}
        """,
    )
    run = run_job(ws, job, code=RUN_FAILED)
    assert "symbolic link" in show(ws, run)["reason"]
    ws.run("data", "show", "o", code=NOT_FOUND)


@pytest.mark.parametrize("mode", ["upload", "direct"])
@pytest.mark.parametrize("folder", ["data", "data/o/1", "runs/x/y", "manifests", "claims"])
def test_an_output_does_not_go_into_the_registry(ws, folder, mode):
    """Promise 3: what a step writes is never taken for a record."""
    place = ws.registry_ref(folder)
    job = write_job(
        ws,
        "job.yml",
        f"""
        type: command
        command: "true"
        outputs: {{o: {{type: uri_folder, mode: {mode}, name: o, allow_empty: true, path: "{place}"}}}}
        """,
    )
    run = run_job(ws, job, code=RUN_FAILED)
    assert "registry" in show(ws, run)["reason"]


def test_a_time_limit_ends_a_step_whose_guard_is_stopped(ws):
    """Promise 6."""
    job = write_job(
        ws,
        "job.yml",
        """
        type: command
        command: trap '' TERM; kill -STOP $PPID; exec sleep 600
        limits: {timeout: 1}
        """,
    )
    run = run_job(ws, job, code=RUN_FAILED)
    assert "limit" in show(ws, run)["reason"]


def test_what_killed_makers_of_runs_left_is_removed(ws):
    """Promise 4: by the next start; what is young or still locked belongs to somebody."""
    runs = ws.runs()
    job = write_job(ws, "job.yml", 'type: command\ncommand: "true"\n')
    run_job(ws, job)
    for name in (".new-old", ".new-young", ".new-busy"):
        (runs / name / "logs").mkdir(parents=True)
    for name in (".new-old", ".new-busy"):
        os.utime(runs / name, (1, 1))
    busy = os.open(runs / ".new-busy", os.O_RDONLY)
    fcntl.flock(busy, fcntl.LOCK_EX)
    run_job(ws, job)
    assert sorted(p.name for p in runs.glob(".new-*")) == [".new-busy", ".new-young"]
    os.close(busy)


def test_a_damaged_record_hides_no_other_run(ws):
    job = write_job(ws, "job.yml", 'type: command\ncommand: "true"\n')
    good, bad, newer = (run_job(ws, job, "--name", name) for name in ("good", "bad", "newer"))
    (ws.runs() / bad / "run.json").write_text("[]")
    future = '{"format": 2, "run": "newer"}'
    (ws.runs() / newer / "run.json").write_text(future)
    assert [r["run"] for r in ws.json("job", "list")] == [good]
    assert "damaged" in ws.run("job", "show", bad, code=BAD_INPUT).err
    assert "newer" in ws.run("job", "show", newer, code=NOT_SUPPORTED).err
    assert (ws.runs() / newer / "run.json").read_text() == future


@local_only
@needs_root
def test_a_reader_that_cannot_write_still_tells_how_a_run_ended(ws):
    """Its supervisor was killed between the outcome and the record, and the disk is read-only now."""
    run = run_job(ws, write_job(ws, "job.yml", 'type: command\ncommand: "true"\n'))
    wait_until_all_is_written(run)
    record = ws.runs() / run / "run.json"
    record.write_text(record.read_text().replace('"Completed"', '"Running"'))
    root = ws.cwd / ".sluice/root"
    look = f"mount --bind {root} {root} && mount -o remount,bind,ro {root} && exec sluice job show {run} -o json"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", look], cwd=ws.cwd, env=ws.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "Completed"
    assert '"Running"' in record.read_text()


def test_what_left_the_step_ends_also_when_its_guard_was_killed(ws):
    command = "setsid sh -c 'echo $$ > CWD/pid; exec tail -f /dev/null' & until [ -s CWD/pid ]; do :; done"
    command += "; kill -9 $PPID"
    path = write_job(ws, "j.yml", "type: command\ncommand: |\n  " + command.replace("CWD", str(ws.cwd)) + "\n")
    run_job(ws, path, code=RUN_FAILED)
    assert not os.path.exists(f"/proc/{(ws.cwd / 'pid').read_text().strip()}/exe")


@pytest.mark.parametrize("policy", ["keep", "discard"])
def test_what_a_failed_step_wrote_stays_or_goes(ws, policy):
    """Only what it wrote: files that were there before stay."""
    ws.put("dest/old.txt", "old")
    (ws.cwd / "new.txt").write_text("new")
    path = write_job(
        ws,
        "j.yml",
        f"""
        type: command
        command: |
          sluice -w {ws.config} cp {ws.cwd}/new.txt ${{{{outputs.o}}}}/sub/new.txt || exit 99
          exit 3
        outputs: {{o: {{mode: direct, name: o, path: "azureml://datastores/workspaceblobstore/paths/dest", on_failure: {policy}}}}}
        """,
    )
    run = run_job(ws, path, code=RUN_FAILED)
    assert "status 3" in show(ws, run)["reason"] or "3" in show(ws, run)["reason"]
    assert ws.exists("dest/old.txt") and ws.exists("dest/sub/new.txt") == (policy == "keep")
    ws.run("data", "show", "o", code=NOT_FOUND)


def test_only_the_files_that_are_named_are_uploaded(ws):
    ws.put("up/a.csv", "old")
    text = """
        type: command
        command: mkdir ${{{{outputs.o}}}}/sub && for f in a.csv a.log sub/b.csv; do echo new > ${{{{outputs.o}}}}/$f; done
        outputs: {{o: {{name: o, path: "azureml://datastores/workspaceblobstore/paths/up", source_globs: ["**/*.csv"]{}}}}}
        """
    assert "a.csv" in show(ws, run_job(ws, write_job(ws, "j.yml", text.format("")), code=RUN_FAILED))["reason"]
    run_job(ws, write_job(ws, "j.yml", text.format(", overwrite: true")))
    assert ws.get("up/a.csv") == b"new\n" and ws.get("up/sub/b.csv") == b"new\n" and not ws.exists("up/a.log")
    for bad in (", source_globs: x", ", on_failure: maybe"):
        wrong = text.format(bad).replace(', source_globs: ["**/*.csv"], source', ", source")
        ws.run("job", "create", "-f", write_job(ws, "bad.yml", wrong), code=BAD_INPUT)


def test_an_output_is_registered_as_a_table(ws):
    """Its files are those that are rows: with the next step they come as such, and marks do not."""
    script = "mkdir -p y=1 && printf 'a;b\\n1;2\\n' > y=1/part-0.csv && echo x > notes.txt && echo > _SUCCESS"
    job = """
        type: command
        command: cd ${{{{outputs.o}}}} && {}
        outputs: {{o: {{type: {}, name: o, delimited: {{delimiter: ";"}}, path_glob: "{}", partition_format: "/y={{year}}/"}}}}
        """.replace("        ", "").replace("/y={{year}}/", "/y={{year}}/*.csv")
    run_job(ws, write_job(ws, "j.yml", job.format(script, "mltable", "**/*.csv")))
    record = ws.json("data", "show", "o@1")
    assert record["type"] == "mltable" and "part-0.csv" in ws.run("data", "manifest", "o@1").out
    assert "notes" not in ws.run("data", "manifest", "o@1").out
    view = ws.json("hdfs", "o@1")
    assert view["format"] == "csv" and view["options"]["sep"] == ";"
    why = show(ws, run_job(ws, write_job(ws, "j.yml", job.format(script, "mltable", "*.json")), code=RUN_FAILED))[
        "reason"
    ]
    assert "none of the 3 files" in why and ws.versions("o") == ["1"]
    bad = job.format(script, "mltable", "**/*.csv").replace("delimiter", "delimeter")
    assert "delimeter" in ws.run("job", "create", "-f", write_job(ws, "bad.yml", bad), code=BAD_INPUT).err
