# SPDX-License-Identifier: Apache-2.0
"""Versions after they were made: tags, archive, unregister, and who asks for them."""

import json
import os
import subprocess

import pytest
from conftest import BAD_INPUT, CHANGED, EXISTS, NOT_FOUND, USAGE, read_tree
from jobs import run_job, write_job

# What the store decides is asked of all of them; the rest of two, and of all with SLUICE_DEEP=1.
few = pytest.mark.only_on(*(["local", "blob", "hns", "hdfs"] if os.environ.get("SLUICE_DEEP") else ["local", "hns"]))


def three(ws):
    for i in range(3):
        ws.put("f", str(i) * (i + 1))
        ws.register("d", "f")


def test_tags_and_description_change_and_are_remembered(ws):
    ws.put("f", "1")
    ws.register("d", "f", "--tag", "a=1", "--tag", "b=2", "--description", "old")
    before = ws.registry.get("data/d/1/record.json")
    ws.json("data", "update", "d@1", "--tag", "b=3", "--tag", "c=4", "--remove-tag", "a")
    now = ws.json("data", "update", "d", "--description", "new")
    assert now["tags"] == {"b": "3", "c": "4"} and now["description"] == "new" and now["facts"] == 2
    assert ws.json("data", "show", "d@1")["tags"] == {"b": "3", "c": "4"}
    facts = ws.json("data", "history", "d@1")
    assert [f["change"] for f in facts] == [
        {"tags": {"b": "3", "c": "4"}, "remove_tags": ["a"]},
        {"description": "new"},
    ]
    # What changes nothing is no change; and the record itself is never touched.
    assert ws.json("data", "update", "d@1", "--tag", "b=3", "--remove-tag", "nosuch")["facts"] == 2
    assert ws.registry.get("data/d/1/record.json") == before
    assert json.loads(ws.registry.get("facts/d/1/2.json"))["state"]["tags"] == {"b": "3", "c": "4"}


def test_eight_writers_change_one_version_at_once(ws):
    """Each change is there, once: who loses a race sees the winner's and goes on from it."""
    ws.put("f", "1")
    ws.register("d", "f")
    procs = [ws.start("data", "update", "d@1", "--tag", f"k{i}={i}", "-o", "json") for i in range(8)]
    assert [p.wait() for p in procs] == [0] * 8
    shown = ws.json("data", "show", "d@1")
    assert shown["tags"] == {f"k{i}": str(i) for i in range(8)} and shown["facts"] == 8
    assert [f["fact"] for f in ws.json("data", "history", "d@1")] == list(range(1, 9))


@few
def test_an_archived_version_is_hidden_and_comes_back(ws):
    three(ws)
    ws.run("data", "archive", "d", code=BAD_INPUT)  # which one?
    ws.run("data", "archive", "d@latest")
    assert ws.versions("d") == ["1", "2"]
    assert ws.json("data", "show", "d")["version"] == "2"
    assert ws.json("data", "list")[0]["version"] == "2"
    assert ws.json("data", "show", "d@3")["archived"] is True  # by its number it is there
    assert [r["version"] for r in ws.json("data", "list", "d", "--archived-only")] == ["3"]
    assert len(ws.json("data", "list", "d", "--include-archived")) == 3
    ws.run("data", "restore", "d@3")
    assert ws.json("data", "show", "d")["version"] == "3" and ws.versions("d") == ["1", "2", "3"]
    ws.run("data", "archive", "d", "--all")
    assert ws.json("data", "list") == []
    assert "include-archived" in ws.run("data", "show", "d", code=NOT_FOUND).err


def test_an_unregistered_version_is_gone_and_its_number_with_it(ws):
    three(ws)
    ws.run("data", "unregister", "d@3")
    assert "unregistered" in ws.run("data", "show", "d@3", code=NOT_FOUND).err
    ws.run("cat", "d@3", code=NOT_FOUND)
    ws.run("data", "unregister", "d@3", code=NOT_FOUND)
    assert ws.versions("d") == ["1", "2"] and ws.json("data", "show", "d")["version"] == "2"
    assert ws.get("f") == b"222"  # data stays
    again = ws.register("d", "f")  # the very same bytes
    assert again["version"] == "4"
    ws.run("data", "create", "-n", "d", "--version", "3", "--path", ws.ref("f"), code=EXISTS)
    assert ws.json("data", "history", "d@3")[0]["change"] == {"unregistered": True}
    ws.run("data", "unregister", "d", "--all")
    assert ws.json("data", "list") == []
    assert ws.register("d", "f")["version"] == "5"
    assert ws.json("data", "show", again["dataset"])["files"] == 1  # by its id it is readable


@few
def test_versions_are_found_by_tag(ws):
    ws.put("f", "1")
    ws.put("g", "22")
    ws.register("a", "f", "--tag", "team=x")
    ws.register("b", "f", "--tag", "team=y")
    ws.register("b", "g")
    ws.run("data", "update", "b@1", "--tag", "stage=prod")
    found = ws.json("data", "list", "--tag", "team")
    assert [(r["name"], r["version"]) for r in found] == [("a", "1")]  # the newest of b has none
    found = ws.json("data", "list", "--tag", "team", "--all-versions")
    assert [(r["name"], r["version"]) for r in found] == [("a", "1"), ("b", "1")]
    found = ws.json("data", "list", "b", "--tag", "team=y", "--tag", "stage=prod")
    assert [r["version"] for r in found] == ["1"]
    assert ws.json("data", "list", "b", "--tag", "team=z") == []


@few
def test_what_makes_no_sense_is_refused(ws):
    ws.put("f", "1")
    ws.register("d", "f")
    ws.run("data", "update", "d@1", code=USAGE)
    ws.run("data", "update", "d@1", "--tag", "x", code=USAGE)
    assert "both" in ws.run("data", "update", "d@1", "--tag", "a=1", "--remove-tag", "a", code=BAD_INPUT).err
    assert "NAME@VERSION" in ws.run("data", "update", ws.ref("f"), "--tag", "a=1", code=BAD_INPUT).err
    ws.run("data", "update", "d@7", "--tag", "a=1", code=NOT_FOUND)
    ws.run("data", "archive", "d@1", "--all", code=BAD_INPUT)


def answer(ws, *argv, code=0):
    """What a command says whose exit status is an answer, too."""
    argv = ["sluice", "data", *map(str, argv)]
    done = subprocess.run(argv, cwd=ws.cwd, env=ws.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == (code > 1)
    return done.stdout


def differences(ws, *argv, code=0):
    lines = [json.loads(x) for x in answer(ws, *argv, "-o", "json", code=code).splitlines()]
    return {d["path"]: d["what"] for d in lines[:-1]}, lines[-1]["summary"]


def test_diff_tells_what_was_added_changed_and_removed(ws):
    ws.put_all({"d/a": "1", "d/b": "22", "d/c": "3"})
    ws.register("d", "d")
    assert differences(ws, "diff", "d@1", "d@1") == (
        {},
        {"same": 3, "added": 0, "removed": 0, "changed": 0},
    )
    ws.put("d/b", "222")
    ws.put("d/new", "4")
    ws.remove("d/c")
    ws.register("d", "d")
    found, total = differences(ws, "diff", "d@1", "d@2", code=1)
    assert found == {"b": "changed", "c": "removed", "new": "added"}
    assert total == {"same": 1, "added": 1, "removed": 1, "changed": 1}
    found, _ = differences(ws, "diff", "d@2", "d@1", "--all", code=1)
    assert found == {"a": "same", "b": "changed", "c": "added", "new": "removed"}
    assert differences(ws, "diff", "d", ws.ref("d"))[0] == {}  # and with what is there now
    text = answer(ws, "diff", "d@1", "d@2", code=1)
    assert "changed  b\n" in text and text.endswith("1 same, 1 added, 1 removed, 1 changed\n")
    ws.run("data", "diff", "d@1", "nosuch", code=NOT_FOUND)


@few
def test_diff_of_two_places_reads_what_nothing_else_tells(ws):
    for folder in ["x", "y"]:
        ws.put_all({f"{folder}/same": "s" * 3000, f"{folder}/differs": folder * 3000, f"{folder}/empty": ""})
    found, total = differences(ws, "diff", ws.ref("x"), ws.ref("y"), code=1)
    assert found == {"differs": "changed"} and total["same"] == 2


def test_verify_says_what_the_store_does_not_hold_any_more(ws):
    ws.put_all({"d/a": "1", "d/b": "22", "d/c": "3"})
    ws.register("d", "d")
    assert differences(ws, "verify", "d@1")[1] == {"held": 3, "added": 0, "missing": 0, "changed": 0}
    ws.put("d/new", "4")
    assert differences(ws, "verify", "d@1")[0] == {"new": "added"}
    ws.run("data", "verify", "d@1", "--exact", code=CHANGED)
    ws.put("d/b", "other")
    ws.remove("d/a")
    found, _ = differences(ws, "verify", "d@1", code=CHANGED)
    assert found == {"a": "missing", "b": "changed", "new": "added"}
    ws.remove("d")
    found, _ = differences(ws, "verify", "d@1", code=CHANGED)
    assert found == {"a": "missing", "b": "missing", "c": "missing"}


def test_a_frozen_version_outlives_its_source(ws):
    """Overwritten or removed: the version reads as it was; without freezing it would not."""
    ws.put_all({"d/a": "one", "d/sub/b c": "two", "d/empty": ""})
    ws.register("d", "d")
    before = ws.json("data", "show", "d@1")
    frozen = ws.json("data", "freeze", "d@1")
    assert frozen["place"].endswith(f"sluice-frozen/{frozen['manifest']}")
    assert (frozen["files"], frozen["bytes"]) == (3, 6)
    assert ws.json("data", "show", "d@1")["definition"]["paths"] == [{"folder": frozen["place"]}]
    assert frozen["frozen"] and ws.json("data", "freeze", "d@1")["facts"] == 1
    ws.put("d/a", "ONE, changed")
    ws.remove("d/sub")
    ws.run("download", "d@1", ws.cwd / "out")
    assert read_tree(ws.cwd / "out") == {"a": b"one", "sub/b c": b"two", "empty": b""}
    shown = ws.json("data", "show", "d@1")
    assert shown["dataset"] == before["dataset"] and shown["manifest"] == before["manifest"]
    assert differences(ws, "verify", "d@1")[1]["held"] == 3
    assert ws.register("d", "d")["version"] == "2"  # the source as it is now
    # What is overwritten already cannot be frozen, and one line says so.
    ws.put_all({"d/a": "three", "d/last": "1"})
    assert ws.register("d", "d")["version"] == "3"
    ws.put("d/last", "changed")
    err = ws.run("data", "freeze", "d@3", code=CHANGED).err
    assert "not frozen, and nothing was copied: 0 of its files" in err and len(err.splitlines()) == 1
    assert not ws.exists(f"sluice-frozen/{ws.json('data', 'show', 'd@3')['manifest']}/a")


@few
def test_what_lies_in_the_place_of_the_copy_is_not_believed(ws):
    ws.put("d/a", "good")
    manifest = ws.register("d", "d")["manifest"]
    ws.put(f"sluice-frozen/{manifest}/a", "evil")
    # Where checksums tell it is copied anew, else refused.
    assert ws.start("data", "freeze", "d@1").wait() in (0, 8)
    assert ws.run("cat", "azureml:d:1/a").out == "good"


@few
def test_freezing_one_file_and_a_place_of_ones_choice(ws):
    ws.put("f.csv", "a,b\n1,2\n")
    ws.register("t", "f.csv", "--delimiter", ",")
    ws.json("data", "freeze", "t@1", "--to", ws.ref("kept/here"))
    ws.put("f.csv", "x")
    shown = ws.json("data", "show", "t@1")
    assert f"kept/here/{shown['manifest']}/f.csv" in shown["definition"]["paths"][0]["file"]
    assert shown["definition"]["transformations"][0]["read_delimited"]["delimiter"] == ","
    assert ws.run("cat", "t@1").out == "a,b\n1,2\n"


@few
def test_registering_what_is_there_already(ws):
    ws.put("f", "1")
    ws.put("g", "2")
    one = ws.register("d", "f")
    two = ws.json("data", "register", "named", "d@1", "--tag", "k=v")
    assert (two["dataset"], two["version"]) == (one["dataset"], "1")
    assert ws.json("data", "register", "named", one["dataset"])["version"] == "1"  # by its id, the same
    ws.register("d", "g")
    err = ws.run("data", "register", "named", "d@2", code=EXISTS).err
    assert "--create-new-version" in err
    assert ws.json("data", "register", "named", "d@2", "--create-new-version")["version"] == "2"
    assert ws.json("data", "lineage", "named@2")["inputs"][0]["ref"] == "azureml:d:2"
    used = ws.json("data", "lineage", "d@2", "--down")["used_by"]
    assert [(u["registered"], u["version"]) for u in used] == [("named", "2")]


@few
def test_lineage_goes_down_through_runs(ws):
    ws.put("raw/a", "1")
    ws.register("raw", "raw")
    job = """
        command: mkdir -p ${{{{outputs.out}}}} && cp -r ${{{{inputs.data}}}}/. ${{{{outputs.out}}}}/ && date +%N > ${{{{outputs.out}}}}/n
        inputs: {{data: {{type: uri_folder, path: azureml:{}@latest, mode: download}}}}
        outputs: {{out: {{type: uri_folder, mode: upload{}}}}}
    """
    run_job(ws, write_job(ws, "j1.yml", job.format("raw", ", name: clean")))
    run_job(ws, write_job(ws, "j2.yml", job.format("clean", ", name: model")))
    last = run_job(ws, write_job(ws, "j3.yml", job.format("raw", "")))
    down = ws.json("data", "lineage", "raw@1", "--down")["used_by"]
    clean = next(u for u in down if u.get("registered") == "clean")
    assert [(u["registered"], u["version"]) for u in clean["used_by"]] == [("model", "1")]
    assert [(u["run"], u["output"], u["status"]) for u in down if "registered" not in u] == [(last, "out", "Completed")]
    assert ws.json("data", "lineage", "model@1", "--down")["used_by"] == []


def test_numbers_by_hand_are_counted_on_from_where_none_is_left_out(ws):
    ws.put("f", "f")

    def create(*more, content):
        ws.put("f", content)
        return ws.json("data", "create", "-n", "d", "--path", ws.ref("f"), *more)["version"]

    assert create("--version", "1", content="a") == "1"
    assert create(content="bb") == "2"
    assert create("--version", "3", content="ccc") == "3"
    assert create(content="dddd") == "4"
    assert create("--version", "2024", content="eeeee") == "2024"
    assert create(content="ffffff") == "5"
    assert ws.json("data", "show", "d@latest")["version"] == "5"
    assert ws.versions("d") == ["1", "2", "3", "4", "5", "2024"]
