# SPDX-License-Identifier: Apache-2.0
"""Finding and making a workspace; datastores."""

import json
import os
import shutil

import pytest
from conftest import BAD_INPUT, EXISTS, NOT_FOUND, USAGE, local_only, needs_fuse

pytestmark = local_only


def test_init_makes_a_workspace_with_a_local_store(ws):
    config = json.loads(ws.config.read_text())
    assert {"subscription_id", "resource_group", "workspace_name"} <= config.keys()
    assert ws.json("datastore", "list")[0]["name"] == "workspaceblobstore"
    assert ws.json("workspace", "show")["workspace_name"] == "test"


def test_init_does_not_replace_a_workspace(ws):
    before = ws.config.read_bytes()
    assert "config.json" in ws.run("init", ".", code=EXISTS).err
    assert ws.config.read_bytes() == before


def test_a_hidden_config_far_up_wins_over_a_near_one(ws):
    """Workspace.from_config walks all the way up for .azureml/config.json before it looks at config.json."""
    config = json.loads(ws.config.read_text())
    (ws.cwd / ".azureml").mkdir()
    (ws.cwd / ".azureml" / "config.json").write_text(json.dumps({**config, "workspace_name": "far"}))
    deep = ws.cwd / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "config.json").write_text(json.dumps({**config, "workspace_name": "near"}))
    assert ws.json("workspace", "show", cwd=deep)["workspace_name"] == "far"


def test_no_workspace_says_how_to_make_one(bare):
    assert "sluice init" in bare.run("data", "list", code=NOT_FOUND).err


def test_a_malformed_config_is_named_with_line_and_column(ws):
    ws.config.write_text('{"subscription_id": "x",\n  "resource_group" "y"}')
    err = ws.run("data", "list", code=BAD_INPUT).err
    assert "config.json" in err and "2" in err


@pytest.mark.parametrize("key", ["subscription_id", "resource_group", "workspace_name"])
def test_a_missing_key_is_named(ws, key):
    config = json.loads(ws.config.read_text())
    del config[key]
    ws.config.write_text(json.dumps(config))
    assert key in ws.run("data", "list", code=BAD_INPUT).err


def test_an_unknown_datastore_lists_the_known(ws):
    err = ws.run("ls", "azureml://datastores/nosuch/paths/x", code=NOT_FOUND).err
    assert "nosuch" in err and "workspaceblobstore" in err


def test_a_datastore_is_added_after_it_answered(ws):
    (ws.cwd / "lake").mkdir()
    ws.run("datastore", "create", "lake", "--type", "local", "--path", ws.cwd / "lake")
    (ws.cwd / "lake" / "x").write_text("1")
    assert ws.run("ls", "lake:").out == "x\n"
    ws.run("datastore", "create", "LAKE", "--path", ws.cwd / "lake", code=EXISTS)


def test_a_datastore_that_does_not_answer_is_not_added(ws):
    before = ws.config.read_bytes()
    err = ws.run("datastore", "create", "lake", "--path", ws.cwd / "nothing-here", code=NOT_FOUND).err
    assert "nothing-here" in err
    assert ws.config.read_bytes() == before


def test_secrets_do_not_go_into_the_config(ws):
    before = ws.config.read_bytes()
    done = ws.run(
        "datastore", "create", "b", "--type", "azure_blob", "--set", "account_name=acct",
        "--set", "container_name=data", "--set", "account_key=CANARY+SECRET+KEY==", code=BAD_INPUT,
    )  # fmt: skip
    assert "CANARY" not in done.err and "env:" in done.err
    assert ws.config.read_bytes() == before


def findings(ws):
    """What the doctor says, with its exit status: 1 exactly when something is wrong."""
    done = ws.start("doctor", "-o", "json", stdout=-1, stderr=-1)
    out = done.communicate()[0]
    checks = {c["check"]: c for c in json.loads(out)}
    assert done.returncode == (1 if "wrong" in {c["level"] for c in checks.values()} else 0)
    assert all(c["ok"] == (c["level"] == "ok") and c["ok"] == (not c["remedy"]) for c in checks.values())
    return checks


def test_doctor_reports_and_never_stops(ws):
    checks = findings(ws)
    assert checks["workspace"]["ok"] and checks["datastore workspaceblobstore"]["ok"]
    ws.config.write_text("{")
    done = ws.run("doctor", code=BAD_INPUT)
    assert "config.json" in done.err and "sluice init" not in done.out


@local_only
@needs_fuse
def test_what_the_doctor_finds_wrong_is_in_its_exit_status(ws, tmp_path_factory):
    ws.env["PATH"] = os.path.dirname(shutil.which("sluice"))  # no Java, no Spark
    ws.env["SLUICE_STAGE_DIR"] = str(ws.cwd / "stage")  # what others write is theirs
    ws.env.pop("SPARK_HOME", None)
    checks = findings(ws)
    assert checks["java"]["level"] == checks["spark"]["level"] == "note"
    config = json.loads(ws.config.read_text())
    config["datastores"]["gone"] = {"type": "local", "path": str(ws.cwd / "gone")}
    ws.config.write_text(json.dumps(config))
    checks = findings(ws)
    assert checks["datastore gone"]["level"] == "wrong" and checks["datastore workspaceblobstore"]["ok"]
    # Where there is no workspace nothing is wrong.
    outside = tmp_path_factory.mktemp("outside")
    said = ws.run("doctor", cwd=outside).out.splitlines()
    assert said[0].split()[:2] == ["check", "level"] and not [x for x in said if x != x.rstrip()]
    assert [x for x in said if x.split()[:2] == ["workspace", "note"]]


@pytest.mark.parametrize("args", [["frobnicate"], ["ls", "--nosuch"], ["data"], ["download", "x"], ["cp", "a"]])
def test_wrong_usage_is_two(bare, args):
    done = bare.start(*args, stderr=-1, stdout=-1)
    err = done.communicate()[1]
    assert done.returncode == USAGE and err


def test_a_word_that_looks_like_a_store_lists_the_known(ws):
    err = ws.run("ls", "nosuch:path", code=NOT_FOUND).err
    assert "nosuch" in err and "workspaceblobstore" in err


def test_common_options_may_come_first(ws):
    for args in (["-o", "json", "datastore", "list"], ["--output=json", "-w", ".", "datastore", "list"]):
        assert json.loads(ws.run(*args).out)[0]["name"] == "workspaceblobstore"
