# SPDX-License-Identifier: Apache-2.0
"""Runs that are over: lists, archive, delete, download."""

import json
import os

from conftest import BAD_INPUT, EXISTS, NOT_FOUND, let_others_in, local_only, needs_root, read_tree
from jobs import run_job, start_job, wait_for_file, waiting_job, write_job

PIPELINE = """
type: pipeline
jobs:
  prep:
    type: command
    command: echo from-prep; mkdir outputs; echo kept > outputs/model; echo 1 > ${{outputs.out}}/n
    outputs: {out: {type: uri_folder, name: counted}}
  use:
    type: command
    command: cat ${{inputs.c}}/n
    inputs: {c: {path: "${{parent.jobs.prep.outputs.out}}", mode: download}}
"""


def listed(ws, *more):
    return [x["run"] for x in ws.json("job", "list", *more)]


def test_a_deleted_run_leaves_its_data(ws):
    job = write_job(ws, "p.yml", PIPELINE)
    run = run_job(ws, job)
    steps = ws.json("job", "show", run)["children"]
    made = ws.json("data", "show", "counted@1")
    ws.run("job", "delete", steps[0]["run"], code=BAD_INPUT)  # a step
    ws.run("job", "delete", run)
    assert listed(ws) == [] and listed(ws, "--include-archived") == []
    ws.run("job", "show", run, code=NOT_FOUND)
    ws.run("job", "show", steps[0]["run"], code=NOT_FOUND)
    for one in [run, *(x["run"] for x in steps)]:
        folder = ws.runs() / one
        assert not folder.exists() or {p.name for p in folder.iterdir()} <= {"outcome.json"}
    # What it registered is there, with its bytes and its lineage.
    assert ws.json("data", "show", "counted@1") == made
    ws.run("download", "counted@1", ws.cwd / "a")
    ws.run("download", f"azureml://jobs/{steps[0]['run']}/outputs/out", ws.cwd / "b")
    assert (ws.cwd / "a/n").read_text() == (ws.cwd / "b/n").read_text() == "1\n"
    assert ws.json("data", "lineage", "counted@1")["run"] == steps[0]["run"]
    # Its id is not used again, and its outputs are not reused.
    ws.run("job", "create", "-f", job, "--name", run, code=EXISTS)
    again = run_job(ws, job)
    assert not any(x.get("reused_from") for x in ws.json("job", "show", again)["children"])


@local_only
def test_archived_runs_are_not_listed(ws):
    job = write_job(ws, "j.yml", "type: command\ncommand: echo x\n")
    first, second = run_job(ws, job), run_job(ws, job)
    ws.run("job", "archive", first)
    assert listed(ws) == [second] and listed(ws, "--archived-only") == [first]
    assert listed(ws, "--include-archived") == [second, first]
    ws.run("job", "archive", first)  # twice is once
    ws.run("job", "restore", first)
    assert listed(ws) == [second, first] and listed(ws, "--limit", "1") == [second]


@local_only
def test_filters_of_lists(ws):
    good = run_job(ws, write_job(ws, "p.yml", PIPELINE))
    bad = run_job(ws, write_job(ws, "bad.yml", "type: command\ncommand: exit 1\n"), code=10)
    assert listed(ws, "--status", "Failed") == [bad] and listed(ws, "--status", "Completed") == [good]
    assert [x["step"] for x in ws.json("job", "list", "--parent", good)] == ["prep", "use"]
    assert listed(ws, "--older-than", "1h") == [] and len(listed(ws, "--older-than", "0s")) == 2
    ws.run("job", "list", "--status", "Fine", code=BAD_INPUT)
    ws.run("job", "list", "--older-than", "soon", code=BAD_INPUT)


@local_only
def test_old_runs_go_together(ws):
    job = write_job(ws, "j.yml", "type: command\ncommand: exit $(cat %s/code)\n" % ws.cwd)  # noqa: UP031
    (ws.cwd / "code").write_text("0")
    good = run_job(ws, job)
    (ws.cwd / "code").write_text("1")
    bad = run_job(ws, job, code=10)
    waiting, pipe = waiting_job(ws)
    going = start_job(ws, waiting)
    wait_for_file(ws.cwd / "started")
    dry = ws.json("job", "delete", "--older-than", "0s", "-n")
    assert {x["run"] for x in dry} == {good, bad} and len(listed(ws)) == 3
    ws.run("job", "delete", "--older-than", "0s", "--status", "Failed")
    assert listed(ws) == [going, good]
    ws.run("job", "archive", "--older-than", "0s")
    assert listed(ws) == [going]
    assert "cancel" in ws.run("job", "delete", going, code=EXISTS).err
    ws.run("job", "delete", "--older-than", "1d")
    assert listed(ws, "--archived-only") == [good]
    ws.run("job", "delete", "--older-than", "0s")  # archived ones too
    assert listed(ws, "--include-archived") == [going]
    ws.run("job", "cancel", going)
    ws.run("job", "stream", going, code=11)


def test_download_fetches_logs_and_outputs(ws):
    run = run_job(ws, write_job(ws, "p.yml", PIPELINE))
    ws.run("job", "download", run, ws.cwd / "logs")
    got = read_tree(ws.cwd / "logs")
    assert got["prep/artifacts/user_logs/std_log.txt"] == b"from-prep\n"
    assert (
        got["prep/artifacts/outputs/model"] == b"kept\n" and got["use/artifacts/logs/azureml/driver/stdout"] == b"1\n"
    )
    assert not any("named-outputs" in p for p in got)
    ws.run("job", "download", run, ws.cwd / "named", "--output-name", "out")
    assert read_tree(ws.cwd / "named") == {"prep/named-outputs/out/n": b"1\n"}
    prep = ws.json("job", "list", "--parent", run)[0]["run"]
    done = json.loads(ws.run("job", "download", prep, "--all", "--output", "json").out)
    assert done["files"] == len(read_tree(ws.cwd / prep))
    assert read_tree(ws.cwd / prep)["named-outputs/out/n"] == b"1\n"
    ws.run("job", "download", run, ws.cwd / "none", "--output-name", "nix", code=NOT_FOUND)


@local_only
def test_links_that_lead_out_keep_nothing_else_from_being_downloaded(ws):
    links = "ln -s /etc outputs/etc; ln -s nowhere outputs/gone; ln -s .. outputs/up; ln -s kept outputs/inside"
    job = f"type: command\ncommand: mkdir outputs; echo x > outputs/kept; {links}; echo 1 > ${{{{outputs.o}}}}/n\n"
    run = run_job(ws, write_job(ws, "j.yml", job + "outputs: {o: {type: uri_folder}}\n"))
    done = ws.run("job", "download", run, ws.cwd / "d", "--all")
    assert len(done.err.splitlines()) == 1 and "3 of the symbolic links in 'code/outputs'" in done.err
    got = read_tree(ws.cwd / "d")
    assert got["artifacts/outputs/kept"] == got["artifacts/outputs/inside"] == b"x\n"
    assert got["named-outputs/o/n"] == b"1\n" and not [p for p in got if "outputs/etc" in p or "outputs/up" in p]
    # The folder itself.
    run = run_job(ws, write_job(ws, "j.yml", "type: command\ncommand: ln -s /etc outputs\n"))
    assert "'code/outputs'" in ws.run("job", "download", run, ws.cwd / "e").err
    assert not (ws.cwd / "e/artifacts/outputs").exists()


@local_only
@needs_root
def test_folders_that_a_step_made_read_only_are_deleted_by_their_owner(ws, tmp_path):
    """root may do that anyway: somebody else is needed."""

    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    let_others_in(tmp_path)
    home = tmp_path / "theirs"
    home.mkdir()
    os.chown(home, 65534, 65534)
    ws.env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_STATE_HOME": str(home / "state")}
    ws.run("init", home, "--name", "theirs", preexec=drop)
    job = write_job(ws, "j.yml", "type: command\ncommand: mkdir -p a/b; touch a/b/f; chmod 500 a/b a; chmod 0 a\n")
    done = ws.run("job", "create", "-f", job, "--stream", "-o", "json", cwd=home, preexec=drop)
    run = json.loads(done.out.splitlines()[0])["run"]
    folder = home / ".sluice/root/runs" / run
    assert (folder / "code/a").stat().st_mode & 0o777 == 0
    ws.run("job", "delete", run, cwd=home, preexec=drop)
    assert not folder.exists() or {p.name for p in folder.iterdir()} <= {"outcome.json"}
