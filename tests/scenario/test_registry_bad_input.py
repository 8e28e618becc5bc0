# SPDX-License-Identifier: Apache-2.0
"""What goes wrong when something is to be registered: one line that says why, and nothing is half there."""

import os
import signal
import subprocess

import pytest
from conftest import BAD_INPUT, NO_SPACE, PATIENCE, RUN_FAILED, local_only
from jobs import run_job, show, write_job


def registered(ws):
    return [f"{r['name']}@{r['version']}" for r in ws.json("data", "list", "--all-versions")]


def refused(ws, *args, **more):
    """One line; nothing is registered by it."""
    before = registered(ws)
    done = ws.run(*args, **more)
    assert len(done.err.splitlines()) == 1, done.err
    assert registered(ws) == before
    return done.err


@local_only
@pytest.mark.parametrize("version", ["latest", "a b", "1/2", "..", "x" * 256, "ü"])
def test_versions_that_are_none(ws, version):
    ws.put("f", "1")
    assert "version" in refused(
        ws, "data", "create", "-n", "d", "-p", ws.ref("f"), "--version", version, code=BAD_INPUT
    )


@local_only
def test_links_in_a_circle(ws):
    (ws.folder / "a/b").mkdir(parents=True)
    (ws.folder / "a/x").write_text("1")
    (ws.folder / "a/b/up").symlink_to("..")
    assert "'a/b/up" in refused(ws, "data", "create", "-n", "d", "-p", ws.ref("a"), code=BAD_INPUT)
    (ws.folder / "l").symlink_to("m")
    (ws.folder / "m").symlink_to("l")
    assert "'l'" in refused(ws, "data", "create", "-n", "d", "-p", ws.ref("l"), code=BAD_INPUT)


@pytest.mark.parametrize("why", ["EDQUOT", "EROFS"])
def test_a_store_that_refuses_any_one_write(ws, why):
    """Manifest, dataset, note, record: whichever cannot be written, what there is stays whole, and the next try finds it
    done or does it.  What is derived may be missing."""
    ws.put("d/x", "1")
    ws.register("kept", "d")
    for n in range(1, 7):
        name = f"n{n}"
        ws.put(f"{name}/x", str(n))
        create = ["data", "create", "-n", name, "-p", ws.ref(name)]
        p = ws.start(*create, env={"SLUICE_FAULT": f"put:#{n}:{why}"}, stdout=subprocess.DEVNULL,
                     stderr=subprocess.PIPE, text=True)  # fmt: skip
        _, err = p.communicate()
        assert n > 4 or (p.returncode != 0 and len(err.splitlines()) == 1), (n, err)
        assert (f"{name}@1" in registered(ws)) == (p.returncode == 0)
        ws.run(*create)
        assert ws.run("cat", f"azureml:{name}:1").out == str(n) and ws.versions(name) == ["1"]


@local_only
def test_a_disk_that_is_full(ws):
    import resource

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    ws.put("d/x", "1")
    refused(ws, "data", "create", "-n", "d", "-p", ws.ref("d"), code=NO_SPACE, preexec=full)
    assert ws.register("d", "d")["version"] == "1"


def test_a_registration_that_is_told_to_end(ws):
    """SIGTERM while the record is on its way: at once, and it is there or not."""
    ws.put("d/x", "1")
    create = ["data", "create", "-n", "d", "-p", ws.ref("d")]
    p = ws.start(*create, "-vv", env={"SLUICE_FAULT": "put:#4:hang", "SLUICE_DEBUG": "store"},
                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    while " put '" not in (line := p.stderr.readline()) or "index/new" not in line:
        assert line
    p.terminate()
    p.communicate(timeout=PATIENCE)
    assert p.returncode != 0 and registered(ws) == []
    ws.run(*create)
    assert registered(ws) == ["d@1"]


@local_only
def test_a_destination_that_is_only_read(ws):
    job = write_job(
        ws,
        "job.yml",
        """
        type: command
        command: echo 1 > ${{outputs.o}}/x
        outputs:
          o: {type: uri_folder, mode: upload, name: o, path: "http://127.0.0.1:9/x"}
        """,
    )
    run = run_job(ws, job, code=RUN_FAILED)
    assert "read-only store" in show(ws, run)["reason"] and registered(ws) == []


@pytest.mark.parametrize("mode", ["upload", "direct"])
def test_an_output_that_is_an_input(ws, mode):
    ws.put("same/x", "1")
    job = write_job(
        ws,
        "job.yml",
        f"""
        type: command
        command: echo ${{{{inputs.i}}}} ${{{{outputs.o}}}}
        inputs:
          i: {{type: uri_folder, mode: direct, path: "azureml://datastores/workspaceblobstore/paths/same"}}
        outputs:
          o: {{type: uri_folder, mode: {mode}, name: o, path: "azureml://datastores/workspaceblobstore/paths/same"}}
        """,
    )
    run = run_job(ws, job, code=RUN_FAILED)
    assert "same" in show(ws, run)["reason"] and registered(ws) == []
    assert ws.get("same/x") == b"1" and os.path.exists(ws.config)
