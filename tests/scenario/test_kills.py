# SPDX-License-Identifier: Apache-2.0
"""kill -9 after each operation on a store, and clocks that jump: nothing is half-registered, and whoever does it again finds
it done or does it."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import RUNG, local_only
from jobs import show, write_job

DEEP = os.environ.get("SLUICE_DEEP")
KILLED = -9


def steps(ws):
    """After which operations: where each takes long, after some."""
    n, step = 1, 1 if DEEP or ws.kind == "local" else 3
    while True:
        yield n
        n += step


def killed(ws, nth, *args):
    """Runs a command that is killed after its nth operation; whether it was."""
    p = ws.start(*args, env={"SLUICE_FAULT": f"any:#{nth}:killed"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, err = p.communicate()
    assert p.returncode in (0, KILLED), err
    return p.returncode == KILLED


def dense(ws, name):
    records = ws.json("data", "list", name)
    assert sorted(int(r["version"]) for r in records) == list(range(1, len(records) + 1))
    return records


def test_a_registration_killed_after_each_operation(ws):
    """What was registered is found whole; what was not is registered by doing it again; each is there once."""
    made, numbers, on = [], steps(ws), True
    while on:
        n = next(numbers)
        made.append(n)
        ws.put(f"d{n}/x", f"content {n}")
        create = ["data", "create", "-n", "n", "-p", ws.ref(f"d{n}"), "--tag", f"k={n}"]
        on = killed(ws, n, *create)
        ws.run(*create)
        mine = [r for r in dense(ws, "n") if r.get("tags") == {"k": str(n)}]
        assert len(mine) == 1 and ws.run("cat", f"azureml:n:{mine[0]['version']}").out == f"content {n}"
    assert n > 8
    # The index, which lists are made of, knows all of them.
    assert len(ws.json("data", "list", "--all-versions")) == len(made)


def test_a_change_killed_after_each_operation(ws):
    ws.put("d/x", "1")
    ws.register("n", "d")
    made, numbers, on = [], steps(ws), True
    while on:
        n = next(numbers)
        made.append(n)
        change = ["data", "update", "n@1", "--tag", f"k{n}={n}"]
        on = killed(ws, n, *change)
        ws.run(*change)
        assert ws.json("data", "show", "n@1")["tags"] == {f"k{i}": str(i) for i in made}
        history = ws.json("data", "history", "n@1")
        assert [f["fact"] for f in history] == list(range(1, len(made) + 1))


def test_a_freezing_killed_after_each_operation(ws):
    ws.put_all({f"d/{i}": f"bytes {i}" for i in range(3)})
    ws.register("n", "d")
    numbers, on = steps(ws), True
    while on:
        on = killed(ws, next(numbers), "data", "freeze", "n@1")
        assert len(dense(ws, "n")) == 1
        assert ws.run("cat", "azureml:n:1/1").out == "bytes 1"  # until it is frozen, from where it was
    ws.put_all({f"d/{i}": "overwritten" for i in range(3)})
    ws.run("download", "n@1", ws.cwd / "out")
    assert sorted(p.read_text() for p in (ws.cwd / "out").iterdir() if p.name[0] != ".") == [
        f"bytes {i}" for i in range(3)
    ]


JOB = """
    type: command
    command: echo %d > ${{outputs.result}}/p
    outputs:
      result:
        type: uri_folder
        mode: upload
        name: result
"""


def test_a_run_killed_after_each_operation_registers_all_or_nothing(ws):
    """Each process of the run (who starts it, its supervisor) dies after the nth operation of its own."""
    ended, n, step = {}, 1, 1 if DEEP else 3 if ws.kind == "local" else 8
    while n < 120:
        job = write_job(ws, f"j{n}.yml", JOB % n)
        p = ws.start("job", "create", "-f", job, "--stream", "-o", "json", env={"SLUICE_FAULT": f"any:#{n}:killed"},
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        out, _ = p.communicate()
        first = out.splitlines()[:1]
        if first:
            run = json.loads(first[0])["run"]
            # Who followed it may have died first.
            ws.start("job", "stream", run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()
            ended[run] = (n, show(ws, run)["status"])
        if p.returncode == 0 and n > 40:
            break
        n += step
    by_run = {}
    if any(status == "Completed" for _, status in ended.values()):
        for r in dense(ws, "result"):
            by_run.setdefault(r["run"], []).append(r)
    assert {run: len(r) for run, r in by_run.items()} == {
        run: 1 for run, (_, status) in ended.items() if status == "Completed"
    }
    assert {status for _, status in ended.values()} == {"Completed", "Failed"}
    for run, (r,) in by_run.items():
        assert ws.run("cat", f"azureml:result:{r['version']}").out == f"{ended[run][0]}\n"


# --- clocks ---------------------------------------------------------------------------------------

# The wall clock jumps at each look at it, by up to so many days either way.
JUMPS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <stdlib.h>
int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t, struct timespec *);
    static unsigned n = %d;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, ts);
    if (id == CLOCK_REALTIME)
        ts->tv_sec += (long)(__atomic_add_fetch(&n, 0x9e3779b9u, __ATOMIC_RELAXED) >> 8) %% (86400 * 800) - 86400 * 400;
    return r;
}
"""


@pytest.mark.skipif(RUNG != "scenario", reason="sanitizers want to be the first library")
@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler")
@local_only
def test_clocks_that_jump_cost_no_version_and_clear_nothing_away(ws):
    jumps = ws.cwd / "jumps.so"
    ws.put("d/x", "1")
    ws.register("kept", "d")
    for k in range(8):
        (ws.cwd / "jumps.c").write_text(JUMPS % (k * 7919))
        subprocess.run(["cc", "-shared", "-fPIC", "-o", jumps, ws.cwd / "jumps.c", "-ldl"], check=True)
        env = {"LD_PRELOAD": str(jumps)}
        ws.put(f"d{k}/x", str(k))
        for _ in range(2):
            ws.run("data", "create", "-n", "n", "-p", ws.ref(f"d{k}"), "--tag", f"k={k}", env=env)
        # Who was about to register: saved, and pointed to by nothing yet.
        saved = ws.json("data", "create", "-n", "late", "-p", ws.ref(f"d{k}"))
        ws.run("data", "update", "n@1", "--tag", f"t{k}=1", env=env)
        assert [r for r in ws.json("gc", env=env) if r["removed"]] == []
        assert ws.run("cat", saved["dataset"]).out == str(k)
    assert len(dense(ws, "n")) == 8
    assert ws.run("cat", "kept").out == "1"
