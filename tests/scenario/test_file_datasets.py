# SPDX-License-Identifier: Apache-2.0
"""File datasets: take, skip, sample, split and filter, the same on every store."""

import hashlib
import os
import subprocess
import sys

import pytest
from conftest import BAD_INPUT, NOT_FOUND, RUNG, USAGE, read_tree, workspace_of_many

servers = pytest.importorskip("blobd")

UNSUPPORTED = 12
FILES = {f"{'ab'[i % 2]}/f{i:02}.{'jpg' if i % 3 else 'csv'}": "x" * i for i in range(24)}

# What the store decides is asked of all of them; the rest of two, and of all with SLUICE_DEEP=1.
few = pytest.mark.only_on(*(["local", "blob", "hns", "hdfs"] if os.environ.get("SLUICE_DEEP") else ["local", "hns"]))


def paths(ws, ref):
    lines = ws.run("data", "manifest", ref).out.splitlines()
    return [x.split()[-1] for x in lines if x[0].isdigit()]


def make(ws, name, *steps, path="d"):
    source = ["--path", ws.ref(path)] if path else []
    return ws.json("data", "create", "-n", name, *source, *steps)


def place(seed, path):
    """Where a file stands in [0, 1) by a seed; docs/registry.md says so."""
    digest = hashlib.sha256(f"{seed}\0{path}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53


@few
def test_take_and_skip_go_by_the_order_of_the_paths(ws):
    ws.put_all({f"d/{p}": data for p, data in FILES.items()})
    order = sorted(FILES)
    make(ws, "t", "--take", "3")
    assert paths(ws, "t") == order[:3]
    make(ws, "st", "--skip", "2", "--take", "3")  # in the order in which they are given
    assert paths(ws, "st") == order[2:5]
    make(ws, "ts", "--take", "3", "--skip", "2")
    assert paths(ws, "ts") == order[2:3]
    # Of several paths the list is one.
    ws.json("data", "create", "-n", "two", "-p", ws.ref("d/b"), "-p", ws.ref("d/a"), "--take", "13")
    assert paths(ws, "two") == order[:13]
    ws.json("data", "create", "-n", "glob", "-p", ws.ref("d/**/*.csv"), "--skip", "1")
    assert paths(ws, "glob") == [p for p in order if p.endswith(".csv")][1:]
    ws.run("download", "ts", ws.cwd / "out")
    assert list(read_tree(ws.cwd / "out")) == order[2:3]


@few
def test_the_steps_stay_in_the_definition_and_work_again(ws):
    """Lazy: what they choose is worked out whenever the definition is resolved."""
    ws.put_all({"d/b": "1", "d/c": "2"})
    one = make(ws, "t", "--take", "1")
    steps = ws.json("data", "show", "t")["definition"]["transformations"]
    assert steps == [{"take": 1}] and paths(ws, "t") == ["b"]
    ws.put("d/a", "3")
    two = make(ws, "t", "--take", "1")
    assert paths(ws, "t@2") == ["a"] and paths(ws, "t@1") == ["b"] and one["dataset"] != two["dataset"]
    assert "- take: 1" in ws.registry.get("data/t/1/MLTable").decode().replace("-\n    take", "- take")


def test_a_split_is_two_halves_that_never_change(ws):
    ws.put_all({f"d/{p}": data for p, data in FILES.items()})
    ws.register("all", "d")
    for half in ["first", "second"]:
        make(ws, half, "--from", "all@1", "--split", "0.7", "--half", half, "--seed", "7", path=None)
    first, second = paths(ws, "first"), paths(ws, "second")
    assert sorted(first + second) == sorted(FILES)
    assert first == [p for p in sorted(FILES) if place(7, p) < 0.7]
    # Of the version, not of what the folder has now; and the source is in the lineage.
    ws.put("d/a/later.csv", "1")
    make(ws, "again", "--from", "all@1", "--split", "0.7", "--seed", "7", path=None)
    assert paths(ws, "again") == first
    assert ws.json("data", "lineage", "first")["inputs"][0]["ref"] == "azureml:all:1"
    sample = make(ws, "s", "--from", "all", "--take-sample", "0.25", "--seed", "-3", path=None)
    assert paths(ws, "s") == [p for p in sorted(FILES) if place(-3, p) < 0.25] and sample["files"] < 24
    # Steps on steps.
    make(ws, "deep", "--from", "first", "--filter", "Extension == '.csv'", "--take", "2", path=None)
    assert paths(ws, "deep") == [p for p in first if p.endswith(".csv")][:2]
    assert len(ws.json("data", "show", "deep")["definition"]["transformations"]) == 3


@few
def test_filters_by_size_time_and_extension(ws):
    ws.put_all({f"d/{p}": data for p, data in FILES.items()})
    make(ws, "big", "--filter", "Size > 20 and Extension == '.jpg'")
    assert paths(ws, "big") == sorted(p for p, d in FILES.items() if len(d) > 20 and p.endswith(".jpg"))
    make(ws, "now", "--filter", "file_metadata('LastModifiedTime') > '2024-01-31'")
    assert len(paths(ws, "now")) == 24
    err = make_fails(ws, NOT_FOUND, "--filter", "LastModifiedTime < '2024-01-31'")
    assert "leave none of the 24 files" in err


@few
def test_filters_by_columns_of_the_path(ws):
    names = [f"d/{team}/2024/{month:02}/x.csv" for team in ["hr", "it"] for month in [1, 2, 3]] + ["d/readme"]
    ws.put_all(dict.fromkeys(names, "1"))
    columns = ["--partition-format", "/{team}/{when:yyyy/MM}/x.csv"]
    make(ws, "t", *columns, "--filter", "team == 'hr' and when >= '2024-02-01'")
    assert paths(ws, "t") == ["hr/2024/02/x.csv", "hr/2024/03/x.csv"]
    make(ws, "all", *columns)
    make(ws, "u", "--from", "all", "--filter", "col('team') != 'hr' and not when > '2024-01-31'", path=None)
    assert paths(ws, "u") == ["it/2024/01/x.csv", "readme"]


def make_fails(ws, code, *steps):
    return ws.run("data", "create", "-n", "bad", "--path", ws.ref("d"), *steps, code=code).err


@few
def test_steps_that_make_no_sense(ws):
    ws.put("d/a", "1")
    ws.register("x", "d")
    assert "no column 'colour'" in make_fails(ws, BAD_INPUT, "--filter", "colour == 'red'")
    make_fails(ws, UNSUPPORTED, "--filter", "CreationTime > '2024-01-31'")
    make_fails(ws, USAGE, "--take", "none")
    make_fails(ws, USAGE, "--take", "0")
    make_fails(ws, USAGE, "--split", "1.5")
    make_fails(ws, USAGE, "--take-sample", "half")
    make_fails(ws, USAGE, "--half", "first")
    make_fails(ws, USAGE, "--seed", "1")
    assert "'from' and 'path'" in make_fails(ws, BAD_INPUT, "--from", "x")
    make_fails(ws, NOT_FOUND, "--skip", "1")
    (ws.cwd / "d.yml").write_text(f"name: d\npath: {ws.ref('d')}\ntransformations: [shuffle]\n")
    err = ws.run("data", "create", "-f", "d.yml", code=UNSUPPORTED).err
    assert "shuffle" in err and "known are" in err
    assert ws.json("data", "list")[0]["name"] == "x" and len(ws.json("data", "list")) == 1


MANY = 1_000_000 if os.environ.get("SLUICE_DEEP") else 300_000


@pytest.fixture
def many(tmp_path):
    """A workspace whose datastore `many` has a folder for each thousand of files."""
    with workspace_of_many(tmp_path, MANY) as ws:
        yield ws


def test_taking_the_first_lists_no_more_than_it_needs(many):
    """Streaming: the listing ends with the last file that is wanted."""
    with many.store.server.failing() as server:
        made = many.json("data", "create", "-n", "few", "-p", "many:", "--filter", "Size >= 0", "--take", "10")
        lists = sum(x["op"] == "list" for x in server.log())
    assert made["files"] == 10 and lists <= MANY / 5000 / 2


@pytest.mark.skipif(RUNG != "scenario", reason="sanitizers need memory of their own")
def test_steps_over_many_files_need_no_memory_for_them(many):
    def peak(*argv):
        # a child begins with the peak of who forked it: that must be a small process
        code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        argv = [sys.executable, "-S", "-c", code, "sluice", "-w", str(many.cwd), *argv]
        return int(subprocess.run(argv, env=many.env, check=True, stdout=subprocess.PIPE, text=True).stdout)

    used = peak("data", "create", "-n", "s", "-p", "many:", "--take-sample", "0.001", "--filter", "Size >= 0")
    assert 0 < many.json("data", "show", "s")["files"] < MANY / 500
    assert used < 96 * 1024  # KiB; a manifest of a million files alone is more
