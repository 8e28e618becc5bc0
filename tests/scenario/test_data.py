# SPDX-License-Identifier: Apache-2.0
"""Datasets: registering, asking, and that a version is what it was."""

import json
import subprocess

import pytest
from conftest import BAD_INPUT, CHANGED, EXISTS, NOT_FOUND, local_only, read_tree


def test_a_version_records_what_it_pins(ws):
    ws.put("raw/a.csv", "x,y\n1,2\n")
    ws.put("raw/b.csv", "x,y\n3,4\n")
    r = ws.register("raw", "raw", "--description", "two files", "--tag", "k=v")
    assert (r["name"], r["version"], r["files"], r["bytes"]) == ("raw", "1", 2, 16)
    assert r["tags"] == {"k": "v"}
    shown = ws.json("data", "show", "raw@1")
    assert shown["dataset"] == r["dataset"] and shown["description"] == "two files"
    lines = ws.run("data", "manifest", "raw@1").out.splitlines()
    assert [x.split()[-1] for x in lines if x[0].isdigit()] == ["a.csv", "b.csv"]


def test_the_registry_is_readable_files(ws):
    ws.put("f", "1")
    ws.register("d", "f")
    record = json.loads(ws.registry.get("data/d/1/record.json"))
    assert ws.registry.exists(f"manifests/{record['manifest']}")
    assert ws.registry.exists(f"datasets/{record['dataset']}.json")
    assert b"paths:" in ws.registry.get("data/d/1/MLTable")


def test_the_same_again_is_the_same_version(ws):
    ws.put("f", "1")
    assert ws.register("d", "f")["version"] == ws.register("d", "f")["version"] == "1"
    ws.put("g", "2")
    assert ws.register("d", "g")["version"] == "2"
    assert ws.versions("d") == ["1", "2"]


def test_latest_is_the_newest(ws):
    for i in range(3):
        ws.put("f", str(i) * (i + 1))
        ws.register("d", "f")
    for ref in ["d", "d@latest", "azureml:d@latest", "azureml:d:3", "d@3"]:
        assert ws.json("data", "show", ref)["version"] == "3"


def test_an_explicit_version_is_taken_once(ws):
    ws.put("f", "1")
    assert ws.register("d", "f", "--version", "2026-11")["version"] == "2026-11"
    ws.put("g", "2")
    ws.run("data", "create", "--name", "d", "--path", ws.ref("g"), "--version", "2026-11", code=EXISTS)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", ".", "ü", "new\nline", "x" * 256])
def test_names_that_are_no_names(ws, name):
    ws.put("f", "1")
    ws.run("data", "create", f"--name={name}", "--path", ws.ref("f"), code=BAD_INPUT)


def test_a_missing_path_names_path_and_store(ws):
    err = ws.run("data", "create", "--name", "d", "--path", ws.ref("no/such"), code=NOT_FOUND).err
    assert "no/such" in err and "workspaceblobstore" in err


def test_an_unknown_version_names_what_exists(ws):
    ws.put("f", "1")
    ws.register("d", "f")
    assert "1" in ws.run("data", "show", "d@7", code=NOT_FOUND).err
    ws.run("data", "show", "nosuch@1", code=NOT_FOUND)


def test_a_changed_source_is_an_error_not_other_bytes(ws):
    """Promise 1: one state."""
    ws.put("d/a", "one")
    ws.put("d/b", "two")
    ws.register("d", "d")
    ws.put("d/b", "TWO, changed")
    err = ws.run("download", "d@1", ws.cwd / "out", code=CHANGED).err
    assert "b" in err
    assert not (ws.cwd / "out" / "b").exists()
    ws.run("cat", ws.ref("d/b"))  # the present state is there to read


def test_a_file_that_came_later_is_not_in_the_version(ws):
    ws.put("d/a", "one")
    ws.register("d", "d")
    ws.put("d/later", "two")
    ws.run("download", "d@1", ws.cwd / "out")
    assert list(read_tree(ws.cwd / "out")) == ["a"]


def test_several_paths_keep_their_common_folder_out(ws):
    ws.put("x/one/a", "1")
    ws.put("x/two/a", "2")
    ws.json("data", "create", "--name", "d", "--path", ws.ref("x/one"), "--path", ws.ref("x/two"))
    lines = ws.run("data", "manifest", "d").out.splitlines()
    assert [x.split()[-1] for x in lines if x[0].isdigit()] == ["one/a", "two/a"]


def test_several_stores_stand_below_their_names(ws):
    (ws.cwd / "lake").mkdir()
    (ws.cwd / "lake" / "f").write_text("2")
    ws.run("datastore", "create", "lake", "--path", ws.cwd / "lake")
    ws.put("f", "1")
    ws.json("data", "create", "--name", "d", "--path", ws.ref("f"), "--path", "lake:f")
    ws.run("download", "d", ws.cwd / "out")
    assert (ws.cwd / "out/lake/f").read_text() == "2"
    assert (ws.cwd / "out/workspaceblobstore/f").read_text() == "1"


def test_a_definition_does_not_say_another_type(ws):
    ws.put("d/a.csv", "a\n1\n")
    assert ws.register("d", "d")["version"] == "1"
    shown = ws.json("data", "show", "d")
    assert shown["type"] == "uri_folder" and "type" not in shown["definition"]
    ws.register("t", "d", "--delimiter", ",")
    shown = ws.json("data", "show", "t")
    assert shown["type"] == shown["definition"]["type"] == "mltable"


def test_a_tabular_definition_keeps_every_option(ws):
    ws.put("t.csv", "a;b\n")
    ws.register("t", "t.csv", "--delimiter", ";", "--header", "no_header")
    options = ws.json("data", "show", "t")["definition"]["transformations"][0]["read_delimited"]
    assert options["delimiter"] == ";" and options["header"] == "no_header" and options["encoding"] == "utf8"
    ws.run("data", "create", "--name", "t2", "--path", ws.ref("t.csv"), "--header", "maybe", code=BAD_INPUT)


def test_a_data_asset_file_of_the_v2_cli(ws):
    ws.put("raw/a.csv", "1")
    (ws.cwd / "d.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\n"
        "name: d\ntype: uri_folder\npath: azureml://datastores/workspaceblobstore/paths/raw/\n"
    )
    assert ws.json("data", "create", "-f", "d.yml")["type"] == "uri_folder"
    (ws.cwd / "bad.yml").write_text("name: d\ntyp: uri_folder\n")
    err = ws.run("data", "create", "-f", "bad.yml", code=BAD_INPUT).err
    assert "bad.yml:2:" in err and "type" in err


def test_eight_processes_register_at_once(ws):
    """Versions come out dense and each is there once, however many register under one name."""
    n = 8
    for i in range(n):
        ws.put(f"f{i}", str(i))
    procs = [
        ws.start("data", "create", "--name", "d", "--path", ws.ref(f"f{i}"), stdout=subprocess.DEVNULL)
        for i in range(n)
    ]
    assert [p.wait() for p in procs] == [0] * n
    records = ws.json("data", "list", "d")
    assert [r["version"] for r in records] == [str(i + 1) for i in range(n)]
    assert len({r["dataset"] for r in records}) == n


def test_a_manifest_as_json_has_the_names_as_they_are(ws):
    ws.put("d/sp ace%.csv", "1")
    ws.register("d", "d")
    lines = [json.loads(x) for x in ws.run("data", "manifest", "d", "-o", "json").out.splitlines()]
    assert lines[0]["source"].endswith("/d")
    assert (lines[1]["path"], lines[1]["size"]) == ("sp ace%.csv", 1)


def test_other_words_about_the_same_data_are_a_version(ws):
    ws.put("f", "1")
    ws.register("d", "f", "--tag", "a=1")
    assert ws.register("d", "f")["version"] == "1"
    assert ws.register("d", "f", "--tag", "a=2")["version"] == "2"


def test_one_damaged_record_does_not_hide_the_others(ws):
    for i in (1, 2):
        ws.put("f", str(i))
        ws.register("d", "f")
    ws.registry.put("data/d/1/record.json", "{")
    done = ws.run("data", "list", "d", "-o", "json")
    assert [r["version"] for r in json.loads(done.out)] == ["2"]
    assert "data/d/1" in done.err


def test_a_version_in_a_file_may_be_a_number(ws):
    ws.put("f", "1")
    (ws.cwd / "d.yml").write_text("name: d\nversion: 3\ntype: uri_file\npath: workspaceblobstore:f\n")
    assert ws.json("data", "create", "-f", "d.yml")["version"] == "3"
    (ws.cwd / "e.yml").write_text("name: e\nversion: 3.10\ntype: uri_file\npath: workspaceblobstore:f\n")
    assert "quotes" in ws.run("data", "create", "-f", "e.yml", code=BAD_INPUT).err


def test_a_part_of_a_version_is_named_behind_it(ws):
    ws.put_all({"in/a b/x.csv": "x", "in/a b/deep/y.csv": "yy", "in/z": "zzz"})
    ws.register("parts", "in")
    assert ws.run("ls", "parts@1/a b").out.splitlines() == ["deep/", "x.csv"]
    assert ws.run("cat", "parts@1/a b/x.csv").out == "x"
    assert ws.run("cat", "azureml:parts:1/z").out == "zzz"
    assert ws.run("cat", "azureml://data/parts/versions/1/paths/a%20b/x.csv").out == "x"
    ws.run("cp", "-R", "parts@latest/a b", "copy")
    assert read_tree(ws.cwd / "copy") == {"x.csv": b"x", "deep/y.csv": b"yy"}
    ws.run("download", "parts@1/**/*.csv", "staged")
    assert read_tree(ws.cwd / "staged") == {"a b/x.csv": b"x", "a b/deep/y.csv": b"yy"}
    assert "'parts@1/a b/NAME'" in ws.run("cat", "parts@1/a b", code=BAD_INPUT).err
    assert "holds no file 'none'" in ws.run("ls", "parts@1/none", code=NOT_FOUND).err
    ws.run("data", "update", "parts@1/z", "--tag", "k=v", code=BAD_INPUT)
    ws.put("in/z", "other")
    ws.run("cat", "parts@1/z", code=CHANGED)


@local_only
def test_a_file_that_is_applied_again_changes_nothing(ws):
    ws.put_all({"in/a": "1", "other/b": "2"})
    text = f"name: set\nversion: seven\npath: {ws.ref('in')}\ntags: {{k: v}}\n"
    (ws.cwd / "d.yml").write_text(text)
    first = ws.json("data", "create", "-f", "d.yml")
    assert ws.json("data", "create", "-f", "d.yml") == first
    assert ws.json("data", "create", "-f", "d.yml", "--no-new-version") == first
    for old, new in (("in", "other"), ("k: v", "k: w")):
        (ws.cwd / "d.yml").write_text(text.replace(old, new))
        assert "exists and cannot be changed" in ws.run("data", "create", "-f", "d.yml", code=EXISTS).err
    ws.run("data", "create", "-n", "two", "-p", ws.ref("in"))
    said = ws.run("data", "create", "-n", "two", "-p", ws.ref("other"), "--no-new-version", code=EXISTS).err
    assert "without --no-new-version" in said


@local_only
def test_a_name_that_is_taken_for_a_pattern(ws):
    """The shell is told how to say it, where nothing matches."""
    ws.put("in/a[1].csv", "x")
    for argv in (["ls"], ["data", "create", "-n", "x", "-p"], ["download"]):
        more = [ws.cwd / "t"] if argv == ["download"] else []
        assert "backslash before each of [ ] { }" in ws.run(*argv, ws.ref("in/a[1].csv"), *more, code=NOT_FOUND).err
    assert ws.run("cat", ws.ref("in/a\\[1\\].csv")).out == "x"
    assert "backslash" not in ws.run("ls", ws.ref("in/*.txt"), code=NOT_FOUND).err


@local_only
def test_settings_for_spark_where_none_are_needed(ws):
    ws.put("in/a.csv", "x")
    ws.run("hdfs", ws.ref("in"), "--properties", ws.cwd / "p", env={"SPARK_CONF_DIR": str(ws.cwd)})
    assert (ws.cwd / "p").read_text() == "# the view needs no settings\n"
