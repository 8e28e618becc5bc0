# SPDX-License-Identifier: Apache-2.0
"""Outputs that a step writes through a mount of the destination: what is registered is all that it wrote, or nothing is."""

import contextlib
import json
import os
import random
import signal
import sys

import pytest
from conftest import (
    CANCELED,
    CHANGED,
    NOT_FOUND,
    RUN_FAILED,
    is_mount,
    local_only,
    mounts_below,
    needs_fuse,
    read_tree,
    server_of,
    until,
    worker_of,
)
from jobs import (
    children,
    find_supervisor,
    outcome,
    run_job,
    show,
    start_job,
    std_log,
    stop,
    supervisor_of,
    wait_for_file,
    write_job,
)
from stores import BlobStore
from test_mount_write import MAPPED

pytestmark = needs_fuse

# The mount is the same on every store.
local_unless_deep = (lambda test: test) if os.environ.get("SLUICE_DEEP") else local_only


def job(ws, shell, more="", inputs="", name="job.yml"):
    """A command whose output `result` is a mount; shell: lines, with $OUT for it."""
    lines = "\n".join(f"  {line}" for line in shell.strip().splitlines())
    return write_job(
        ws,
        name,
        f"type: command\ncommand: |\n  OUT=${{{{outputs.result}}}}\n{lines}\n{inputs}"
        f"outputs:\n  result:\n    mode: rw_mount\n    name: result\n{more}",
    )


def settings(ws, **what):
    config = json.loads(ws.config.read_text())
    config["settings"] = {**config.get("settings", {}), **what}
    ws.config.write_text(json.dumps(config))


def fails(ws, path, *words, env=None):
    """The run fails with that reason, and nothing is registered."""
    run = run_job(ws, path, code=RUN_FAILED, env=env)
    reason = outcome(ws, run)["reason"]
    for word in words:
        assert word in reason, reason
    ws.run("data", "show", "result", code=NOT_FOUND)
    until("nothing is left", lambda: nothing_left(ws, run))
    return run


def nothing_left(ws, run):
    """No mount, and no stage."""
    folder = ws.runs() / run
    assert not mounts_below(folder)
    return not list(folder.rglob("*.data")) and not list(folder.rglob("report"))


def files_of(ws, ref):
    ws.run("download", ref, ws.cwd / "got")
    return read_tree(ws.cwd / "got")


def test_what_is_written_through_the_mount_is_registered(ws):
    shell = """
    mkdir $OUT/d
    printf one > $OUT/a
    printf two > $OUT/d/b && printf three >> $OUT/d/b
    head -c 5000000 /dev/zero > $OUT/big.tmp && mv $OUT/big.tmp $OUT/big
    printf gone > $OUT/gone; rm $OUT/gone
    cat $OUT/d/b; test "$OUT" = "$AZURE_ML_OUTPUT_result" && grep -c "$OUT fuse.sluice" /proc/mounts
    """
    run = run_job(ws, job(ws, shell))
    assert std_log(ws, run) == "twothree1\n"
    assert files_of(ws, "result@1") == {"a": b"one", "d/b": b"twothree", "big": bytes(5_000_000)}
    got = show(ws, run)["outputs"]["result"]
    assert got["mode"] == "rw_mount" and got["files"] == 3
    until("nothing is left", lambda: nothing_left(ws, run))


FIXED = "    path: workspaceblobstore:fixed\n"


def test_a_fixed_destination_that_a_second_run_writes_to(ws):
    """Each version is exactly what its run wrote; what lay there is seen by the program, and told to the user."""
    more = "    path: azureml://datastores/workspaceblobstore/paths/fixed\n"
    run_job(ws, job(ws, "echo 1 > $OUT/one; echo same > $OUT/same", more))
    run = run_job(ws, job(ws, "cat $OUT/one; echo 2 > $OUT/two", more))
    told, *said = std_log(ws, run).splitlines()
    assert "output 'result': 2 files are in" in told and "{run-id}" in told and said == ["1"]
    assert files_of(ws, "result@2") == {"two": b"2\n"}
    assert ws.json("data", "show", "result@1")["files"] == 2


def test_a_version_whose_files_a_run_overwrites_says_so(ws):
    """As in Azure ML it may; but nobody finds out by a read that fails."""
    first = run_job(ws, job(ws, "echo 1 > $OUT/one; echo same > $OUT/same", FIXED))
    assert "overwritten" not in outcome(ws, first)
    run_job(ws, job(ws, "echo 2 > $OUT/two", FIXED))
    run = run_job(ws, job(ws, "echo later > $OUT/one; rm $OUT/same; exit 3", FIXED), code=RUN_FAILED)
    told = std_log(ws, run).splitlines()[-1]
    assert "2 files that were in" in told and "'one', 'same'" in told and "not there any more: result:1 (" in told
    (what,) = outcome(ws, run)["overwritten"]
    assert what["names"] == ["one", "same"] and what["versions"] == ["result:1"] and what["output"] == "result"
    assert ws.json("data", "show", "result@1")["overwritten"] == run
    marks = {d["version"]: d.get("overwritten") for d in ws.json("data", "list", "result")}
    assert marks == {"1": run, "2": None}
    ws.run("data", "verify", "result@1", code=CHANGED)
    ws.run("data", "verify", "result@2")


@local_only
def test_a_version_that_is_gone_hides_no_other(ws):
    for i in "12":
        run_job(ws, job(ws, f"echo {i} > $OUT/{i}", FIXED))
    ws.registry.remove("manifests/" + ws.json("data", "show", "result@2")["manifest"])
    run = run_job(ws, job(ws, "echo later > $OUT/1", FIXED))
    assert outcome(ws, run)["overwritten"][0]["versions"] == ["result:1"]
    assert ws.json("data", "show", "result@1")["overwritten"] == run


@local_unless_deep
@pytest.mark.parametrize("how", ["frozen", "from above", "upload", "tried again"])
def test_which_versions_are_overwritten(ws, how):
    """One that reads a copy is not; one that was registered by hand of a folder around is."""
    run_job(ws, job(ws, "echo 1 > $OUT/one", "    path: workspaceblobstore:a/b c/fixed\n"))
    more = "    path: workspaceblobstore:a/b c/fixed\n"
    shell = "echo later > $OUT/one"
    if how == "frozen":
        ws.run("data", "freeze", "result@1")
    elif how == "from above":
        ws.run("data", "create", "--name", "result", "--path", "workspaceblobstore:a", "--version", "above")
    elif how == "tried again":
        shell = f"if [ ! -e {ws.cwd}/again ]; then touch {ws.cwd}/again; {shell}; exit 1; fi; echo 2 > $OUT/two"
    path = job(ws, shell, more)
    text = path.read_text()
    if how == "upload":
        path.write_text(text.replace("mode: rw_mount", "mode: upload\n    overwrite: true"))
    elif how == "tried again":
        path.write_text(text + "retry_settings: {max_retries: 1}\n")
    run = run_job(ws, path)
    expected = {"frozen": [], "from above": ["result:1", "result:above"]}.get(how, ["result:1"])
    assert sorted(outcome(ws, run)["overwritten"][0]["versions"]) == expected
    assert ws.json("data", "show", "result@1").get("overwritten") == (None if how == "frozen" else run)


@local_unless_deep
def test_one_file(ws):
    more = "    type: uri_file\n    path: azureml://datastores/workspaceblobstore/paths/models/m.bin\n"
    ws.put("models/other", "o")
    run = run_job(ws, job(ws, "printf model > $OUT; ls $(dirname $OUT)", more))
    assert std_log(ws, run).split() == ["m.bin", "other"]
    assert ws.json("data", "show", "result@1")["files"] == 1
    assert files_of(ws, "result@1") == {"m.bin": b"model"}


def test_a_step_that_fails_registers_nothing(ws):
    """Promise 3."""
    run = fails(ws, job(ws, "echo x > $OUT/f; exit 3", "    path: workspaceblobstore:kept\n"), "status 3")
    assert ws.exists("kept/f") and show(ws, run)["exit_code"] == 3
    fails(
        ws,
        job(ws, "echo x > $OUT/g; exit 3", "    path: workspaceblobstore:kept\n    on_failure: discard\n"),
        "status 3",
    )
    assert ws.exists("kept/f") and not ws.exists("kept/g")


@local_unless_deep
def test_an_output_without_files_is_a_failure(ws):
    fails(ws, job(ws, "mkdir $OUT/d; echo x > $OUT/f; rm $OUT/f"), "wrote no file")


def test_a_write_that_had_no_room_fails_the_output(ws):
    """Also when the program did not look at what write(2) and close(2) said."""
    settings(ws, stage_size="1MiB")
    shell = """
    echo good > $OUT/good
    head -c 3000000 /dev/zero > $OUT/bad
    true
    """
    fails(ws, job(ws, shell), "'bad' (No space left on device)")


@local_unless_deep
def test_a_program_that_tries_again_is_forgiven(ws):
    settings(ws, stage_size="1MiB")
    shell = """
    head -c 3000000 /dev/zero > $OUT/f
    # the failure stays until the kernel has told of the last close, which may be after that returned
    until printf less > $OUT/f; do sleep 0.05; done
    """
    run_job(ws, job(ws, shell))
    assert files_of(ws, "result@1") == {"f": b"less"}


@local_unless_deep
@pytest.mark.parametrize("how", ["left behind", "killed"])
def test_a_program_that_did_not_come_to_its_end(ws, how):
    """What it had written is in the store as with any other close; as a result it must not count."""
    ready = ws.cwd / "ready"
    os.mkfifo(ready)
    end = "" if how == "left behind" else "kill -9 $!; wait"
    shell = f"""
    echo whole > $OUT/whole
    (echo begun; echo > {ready}; read x < {ws.cwd}/never) > $OUT/half &
    read x < {ready}
    {end}
    true
    """
    os.mkfifo(ws.cwd / "never")
    fails(ws, job(ws, shell), "'half' (the program that wrote it was killed by signal 9)")


@local_unless_deep
def test_a_program_that_is_killed_while_it_writes_to_a_mapping(ws):
    """It had closed the file before: what comes then comes from the kernel."""
    (ws.cwd / "mapped.py").write_text(MAPPED)
    shell = f"{sys.executable} {ws.cwd}/mapped.py $OUT/f || true"
    run = run_job(ws, job(ws, shell), code=RUN_FAILED)
    assert "'f' (the program that wrote it was killed by signal 9)" in outcome(ws, run)["reason"]
    kept = ws.runs() / run / "outputs/.stages/result/kept"
    assert [p.read_bytes() for p in kept.iterdir()] == [b"halfe"] and ws.get(f"azureml/{run}/result/f") == b"whole"


def waiting(ws, before, after="", more=""):
    """A step that says when it is there, and goes on when it is told to."""
    os.mkfifo(ws.cwd / "go")
    keep = os.open(ws.cwd / "go", os.O_RDWR)
    path = job(ws, f"{before}\ntouch {ws.cwd}/started\nread x < {ws.cwd}/go\n{after}", more)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    return run, keep


def mount_of(ws, run):
    return ws.runs() / run / "outputs/result"


@local_unless_deep
@pytest.mark.parametrize("state", ["written", "committed", "only looked at"])
def test_a_program_outside_that_is_still_in_the_mount(ws, state):
    """Nobody waits for it to come to its end; who only looks does no harm."""
    run, go = waiting(ws, "echo whole > $OUT/whole")
    if state == "only looked at":
        f = os.open(mount_of(ws, run), os.O_RDONLY)
    else:
        f = os.open(mount_of(ws, run) / "half", os.O_WRONLY | os.O_CREAT)
        os.write(f, b"begun")
        if state == "committed":
            os.close(os.dup(f))
    os.write(go, b"\n")
    ws.run("job", "stream", run, code=0 if state == "only looked at" else RUN_FAILED)
    if state != "only looked at":
        assert "'half' (a program had it open when the mount ended)" in outcome(ws, run)["reason"]
        ws.run("data", "show", "result", code=NOT_FOUND)
    with contextlib.suppress(OSError):
        os.close(f)


def test_what_others_put_there_meanwhile_is_not_of_the_version(ws):
    """A version has exactly what its run wrote, under the names that it gave it."""
    before = """
    mkdir $OUT/d; echo a > $OUT/a; echo b > $OUT/t; mv $OUT/t $OUT/d/b; mv $OUT/d $OUT/e
    echo x > $OUT/gone; rm $OUT/gone
    """
    ws.put("fixed/old/f", "old\n")
    run, go = waiting(ws, before, "cat $OUT/theirs; echo c > $OUT/e/c; mv $OUT/a $OUT/aa; mv $OUT/old $OUT/new", FIXED)
    for name in ("theirs", "e/theirs", "gone"):
        ws.put(f"fixed/{name}", "theirs\n")
    os.write(go, b"\n")
    ws.run("job", "stream", run)
    assert files_of(ws, "result@1") == {"aa": b"a\n", "e/b": b"b\n", "e/c": b"c\n", "new/f": b"old\n"}
    _, said, told, _ = std_log(ws, run).splitlines()
    assert said == "theirs" and "3 files in" in told and "'e/theirs'" in told and "'gone'" in told


@local_unless_deep
@pytest.mark.parametrize("what", ["changed", "removed"])
def test_what_others_made_of_its_files_fails_the_output(ws, what):
    run, go = waiting(ws, "echo ours > $OUT/f", more=FIXED)
    if what == "changed":
        ws.put("fixed/f", "longer than ours\n")
    else:
        ws.remove("fixed/f")
    os.write(go, b"\n")
    ws.run("job", "stream", run, code=RUN_FAILED)
    reason = outcome(ws, run)["reason"]
    assert (
        "'f'" in reason
        and ("somebody else after this run" if what == "changed" else "somebody else removed it") in reason
    )
    ws.run("data", "show", "result", code=NOT_FOUND)


def test_a_worker_that_is_killed_goes_on(ws):
    run, go = waiting(ws, "exec 5> $OUT/f; echo one >&5; echo a > $OUT/a", "echo two >&5; exec 5>&-; echo b > $OUT/b")
    for _ in range(3):
        old = until("it is served", lambda: worker_of(mount_of(ws, run)))
        os.kill(old, signal.SIGKILL)
        until("another one goes on", lambda old=old: worker_of(mount_of(ws, run)) not in (None, old))
    os.write(go, b"\n")
    ws.run("job", "stream", run)
    assert files_of(ws, "result@1") == {"f": b"one\ntwo\n", "a": b"a\n", "b": b"b\n"}


def test_a_mount_that_is_killed_fails_the_output(ws):
    run, go = waiting(ws, "echo a > $OUT/a", "echo b > $OUT/b; true")
    point = mount_of(ws, run)
    server, worker = server_of(point), worker_of(point)
    stop(server)  # so that it does not see its worker die
    os.kill(worker, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    os.write(go, b"\n")
    ws.run("job", "stream", run, code=RUN_FAILED)
    assert "the mount ended without notice" in outcome(ws, run)["reason"]
    ws.run("data", "show", "result", code=NOT_FOUND)


@local_unless_deep
def test_what_is_written_where_the_mount_was(ws):
    shell = """
    echo a > $OUT/a
    umount $OUT
    echo b > $OUT/b
    """
    if os.geteuid():
        shell = shell.replace("umount", "fusermount3 -u")
    fails(ws, job(ws, shell), "'b' was written")


@pytest.fixture
def far(ws, tmp_path):
    """A datastore on a server that may be killed; the registry is elsewhere."""
    blobd = pytest.importorskip("blobd", reason="no azure-storage-blob (tools/dev deps scenario)")
    if not blobd.program():
        pytest.skip("no blob test server: SLUICE_BLOBD (tools/dev build)")
    (tmp_path / "far").mkdir()
    server = blobd.Blobd(tmp_path / "far")
    store = BlobStore(server, "far")
    store.container.create_container()
    config = json.loads(ws.config.read_text())
    config["datastores"]["far"] = store.entry()
    ws.config.write_text(json.dumps(config))
    settings(ws, retries=1)
    yield store
    server.stop()


@local_only
def test_a_store_that_is_gone_fails_the_output(ws, far):
    shell = f"""
    echo a > $OUT/a
    exec 5> $OUT/b; echo b >&5
    kill -9 {far.server.process.pid}
    echo more >&5; exec 5>&-
    true
    """
    path = job(ws, shell, "    path: azureml://datastores/far/paths/out\n")
    fails(ws, path, "'b' (")


@local_only
def test_a_commit_that_the_store_refuses_fails_the_output(ws, far):
    """The others are there, and so the folder looks like a result."""
    path = job(ws, "for i in 1 2 3; do echo $i > $OUT/$i; done; true", "    path: azureml://datastores/far/paths/out\n")
    with far.server.failing("put far/out/2 * status 403"):
        fails(ws, path, "'2' (")
    assert far.exists("out/1") and far.exists("out/3")


def processes(ws, run):
    """Everything that a run consists of, by what it is."""
    found = {
        "supervisor": find_supervisor(run),
        "worker": worker_of(mount_of(ws, run)),
        "mount": server_of(mount_of(ws, run)),
    }
    below = children(found["supervisor"]) if found["supervisor"] else []
    found["step"] = next((p for p in below if p not in (found["worker"], found["mount"])), None)
    return found


@pytest.mark.parametrize("what", ["supervisor", "cancel"])
def test_a_run_that_does_not_come_to_its_end(ws, what):
    run, go = waiting(ws, "echo a > $OUT/a; exec 5> $OUT/b; echo b >&5")
    point = mount_of(ws, run)
    if what == "cancel":
        ws.run("job", "cancel", run)
        ws.run("job", "stream", run, code=CANCELED)
    else:
        os.kill(supervisor_of(run), signal.SIGKILL)
        until("it is found dead", lambda: show(ws, run)["status"] == "Failed")
    until("the mount is gone", lambda: not is_mount(point))
    ws.run("data", "show", "result", code=NOT_FOUND)
    assert outcome(ws, run)["status"] == ("Canceled" if what == "cancel" else "Failed")
    os.close(go)


@local_unless_deep
def test_whatever_is_killed_a_version_is_whole(ws):
    """Promise: at any moment of the writing any process of the run is killed, and what is registered is all of it."""
    rnd = random.Random(7)
    files = {f"{i}": f"{i}\n".encode() * 5000 for i in range(10, 40)}
    shell = "for i in $(seq 10 39); do yes $i | head -c 15000 > $OUT/$i; done; true"
    done = 0
    for n in range(40 if os.environ.get("SLUICE_DEEP") else 4):
        run = start_job(ws, job(ws, shell, f"    path: azureml://datastores/workspaceblobstore/paths/r{n}\n"))
        at, victims = (
            rnd.randrange(10, 40),
            rnd.sample(["worker", "mount", "supervisor", "step"], rnd.choice([1, 1, 2])),
        )
        until("it is so far", lambda at=at, n=n, run=run: ws.exists(f"r{n}/{at}") or show(ws, run).get("ended"))
        with contextlib.suppress(ProcessLookupError, TypeError):
            there = processes(ws, run)
            for victim in victims:
                os.kill(there[victim], signal.SIGKILL)
        until("it is over", lambda run=run: show(ws, run)["status"] in ("Completed", "Failed"))
        if show(ws, run)["status"] == "Completed":
            done += 1
            ws.run("download", f"result@{done}", ws.cwd / f"got{n}")
            assert read_tree(ws.cwd / f"got{n}") == files, (n, at, victims)
        until("the mount is gone", lambda run=run: not is_mount(mount_of(ws, run)))
    ws.run("data", "show", f"result@{done + 1}", code=NOT_FOUND)


@local_only
@pytest.mark.parametrize("place", [".", ".sluice/root", ".sluice/root/facts/other/1", ".sluice/root/reuse"])
def test_an_output_in_or_around_the_registry_is_refused(ws, place):
    """A retry, or on_failure, would take away what others registered meanwhile."""
    (ws.cwd / "d").mkdir()
    (ws.cwd / "d/a").write_text("a")
    path = f"{ws.cwd}/{place}/".replace("/./", "/")
    text = f"""
        type: command
        command: sluice data create --name other --type uri_folder --path {ws.cwd}/d; exit 1
        outputs:
          o: {{type: uri_folder, mode: direct, on_failure: discard, path: "{path}"}}
    """
    run = run_job(ws, write_job(ws, "j.yml", text), code=RUN_FAILED)
    assert "registry" in show(ws, run)["reason"]
    assert (ws.cwd / ".sluice/root/runs" / run / "run.json").exists()


@local_only
@pytest.mark.parametrize("mode", ["rw_mount", "direct"])
def test_what_a_failed_try_left_of_a_file_is_not_registered(ws, mode):
    place = ws.cwd / "place"
    place.mkdir()
    (place / "keep").write_text("old\n")
    out = "${{outputs.o}}" if mode == "rw_mount" else place
    text = f"""
        type: command
        command: >-
          if [ ! -e {ws.cwd}/again ]; then
          touch {ws.cwd}/again; echo half > {out}/keep; echo 1 > {out}/new; exit 1; fi;
          echo 2 > {out}/two
        outputs:
          o: {{type: uri_folder, mode: {mode}, name: tried, path: "{place}/"}}
        retry_settings: {{max_retries: 1}}
    """
    run_job(ws, write_job(ws, "j.yml", text))
    ws.run("download", "tried@1", ws.cwd / "got")
    assert read_tree(ws.cwd / "got") == {"two": b"2\n"}
