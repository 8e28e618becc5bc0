# SPDX-License-Identifier: Apache-2.0
"""Datastores: made from Azure ML's YAML, changed, tried, forgotten; many writers of config.json at once."""

import base64
import json
import os
import subprocess

import pytest
from conftest import BAD_INPUT, EXISTS, NO_PERMISSION, NOT_FOUND, NOT_SUPPORTED, let_others_in, local_only, needs_root
from ports import free_port

BLOB = """\
$schema: https://azuremlschemas.azureedge.net/latest/azureBlob.schema.json
name: photos
type: azure_blob
description: where the photos are
account_name: contosophotos
container_name: raw-photos
"""


def entries(ws):
    return json.loads(ws.config.read_text())["datastores"]


def as_yaml(ws, name, entry):
    """The entry of a test's store, as Azure ML would write it."""
    lines = {"name": name, **entry}
    if "account_key" in lines:
        lines["credentials"] = {"account_key": lines.pop("account_key")}
    path = ws.cwd / f"{name}.yml"
    path.write_text(json.dumps(lines))  # JSON is YAML
    return path


def test_a_datastore_is_made_of_a_file_and_tried(ws):
    ws.put("a/x", "1")
    made = ws.json("datastore", "create", "--file", as_yaml(ws, "again", ws.store.entry()))
    assert made["name"] == "again" and not made["default"]
    assert ws.run("ls", "again:a").out == "x\n"
    before = ws.run("ls", "-R", ws.ref()).out
    rights = {r["right"]: r["allowed"] for r in ws.json("datastore", "test", "again")}
    assert rights == {"list": "yes", "read": "yes", "write": "yes", "delete": "yes"}
    assert ws.run("ls", "-R", ws.ref()).out == before, "the trial left something"


@local_only
@needs_root
def test_what_may_not_be_written_is_told(ws):
    (ws.cwd / "theirs").mkdir(mode=0o755)
    ws.run("datastore", "create", "theirs", "--path", "theirs")
    let_others_in(ws.cwd)
    done = ws.json("datastore", "test", "theirs", preexec=lambda: os.setuid(65534))
    rights = {r["right"]: r for r in done}
    assert {n: r["allowed"] for n, r in rights.items()} == {"list": "yes", "read": "yes", "write": "no", "delete": "no"}
    assert rights["write"]["detail"]


@pytest.mark.only_on("hns")
def test_a_credential_that_is_refused_makes_no_datastore(ws, tmp_path):
    key = tmp_path / "key"
    key.write_text(base64.b64encode(b"w" * 64).decode())
    key.chmod(0o600)
    entry = {**ws.store.entry(), "account_key": f"file:{key}"}
    before = ws.config.read_bytes()
    err = ws.run("datastore", "create", "-f", as_yaml(ws, "no", entry), code=NO_PERMISSION).err
    assert "'no'" in err
    assert ws.config.read_bytes() == before
    ws.run("datastore", "create", "-f", tmp_path / "no.yml", "--skip-validation")
    ws.run("datastore", "test", "no", code=NO_PERMISSION)


@local_only
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("credentials: {account_key: CANARY==}", [":7:15'", "env:NAME", "file:PATH"]),
        ("credentials: {sas_token: '?sv=CANARY'}", [":7:15'", "env:NAME"]),
        ("credentials: {tenant_id: t, client_id: c, client_secret: CANARY}", [":7:43'", "env:NAME"]),
        ("credentials: {acount_key: env:K}", [":7:15'", "account_key"]),
        ("contaner_name: x", [":7:1'", "contaner_name", "container_name"]),
        ("protocol: ftp", [":7:1'", "https"]),
        ("id: azureml:/subscriptions/s/x", [":7:1'", "/datastores/NAME"]),
        ("id: azureml:/subscriptions/s/datastores/other", [":7:1'", "'other'"]),
        ("endpoint: https://h/?sig=CANARY", [":7:1'", "endpoint"]),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(ws, line, says):
    before = ws.config.read_bytes()
    (ws.cwd / "d.yml").write_text(BLOB + line + "\n")
    done = ws.run("datastore", "create", "-f", "d.yml", "--skip-validation", code=BAD_INPUT)
    assert "CANARY" not in done.err + done.out
    assert all(s in done.err for s in ["d.yml", *says]), done.err
    assert ws.config.read_bytes() == before


@local_only
def test_a_mistake_in_the_config_is_told_with_its_place(ws):
    ws.config.write_text(ws.config.read_text().replace('"path":', '"patth":'))
    lines = ws.config.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if '"patth"' in text)
    err = ws.run("ls", ws.ref(), code=BAD_INPUT).err
    assert f"config.json:{line}:" in err and "'patth'" in err and "'path'" in err


@local_only
def test_a_workspace_is_imported(ws):
    """What `az ml datastore list` prints: no secrets, kinds that hold no files, ids of v1."""
    (ws.cwd / "all.yml").write_text(
        """
- {name: shares, type: azure_file, account_name: contoso, file_share_name: s}
- {name: rows, type: AzureSqlDatabase}
- id: azureml:/subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W/datastores/v1
  type: AzureBlob
  account_name: contoso
  container_name: data
  protocol: wasbs
  resourceGroup: R
  tags: {}
  credentials: {type: account_key}
- name: lake
  type: azure_data_lake_gen2
  account_name: contoso
  filesystem: files
  protocol: abfss
  credentials:
    tenant_id: t
    client_id: c
    client_secret: env:SECRET
    resource_url: https://storage.azure.com/
    authority_url: https://login.microsoftonline.com
- name: hadoop
  type: hdfs
  name_node_address: nn:9870
  credentials: {kerberos_principal: me@R, kerberos_password: "env:PW", kerberos_kdc_address: kdc}
"""
    )
    done = ws.run("datastore", "import", "all.yml", "--skip-validation", "-o", "json")
    assert {r["name"]: r["result"] for r in done.json} == {
        "shares": "skipped", "rows": "skipped", "v1": "added", "lake": "added", "hadoop": "added",
    }  # fmt: skip
    assert "credential: default" in done.err and "krb5.conf" in done.err
    all_ = entries(ws)
    assert all_["v1"]["type"] == "azure_blob" and all_["v1"]["protocol"] == "https"
    assert all_["v1"]["credential"] == "default"
    assert all_["lake"]["credential"]["client_secret"] == "env:SECRET"
    assert all_["hadoop"] == {
        "type": "hdfs", "namenode": "nn:9870", "kerberos": {"principal": "me@R", "password": "env:PW"},
    }  # fmt: skip
    again = ws.run("datastore", "import", "all.yml", "--skip-validation", "-o", "json", code=EXISTS).json
    assert [r["result"] for r in again] == ["skipped", "skipped", "failed", "failed", "failed"]


@local_only
@pytest.mark.parametrize("kind", ["azure_file", "azure_sql_database", "dbfs", "one_lake", "git"])
def test_kinds_that_are_no_files_are_named_with_a_remedy(ws, kind):
    err = ws.run("datastore", "create", "x", "--type", kind, code=NOT_SUPPORTED).err
    assert kind in err and err.count(":") >= 2
    ws.run("datastore", "create", "x", "--type", "azure_blub", code=BAD_INPUT)


@local_only
def test_a_datastore_changes_and_goes(ws):
    (ws.cwd / "lake").mkdir()
    (ws.cwd / "lake" / "x").write_text("1")
    ws.run("datastore", "create", "lake", "--path", "lake")
    ws.run("datastore", "update", "LAKE", "--set", "description=deep")
    assert ws.json("datastore", "show", "lake")["description"] == "deep"
    ws.run("datastore", "update", "lake", "--unset", "description")
    assert "description" not in ws.json("datastore", "show", "lake")
    ws.run("datastore", "update", "lake", "--set", "path=nowhere", code=NOT_FOUND)
    ws.run("datastore", "update", "lake", "--set", "type=hdfs", code=BAD_INPUT)
    assert "'lake'" in ws.run("datastore", "update", "lak", "--set", "path=x", code=NOT_FOUND).err
    ws.run("datastore", "set-default", "Lake")
    assert ws.json("datastore", "show")["name"] == "lake"
    assert "set-default" in ws.run("datastore", "unregister", "lake", code=EXISTS).err
    ws.run("datastore", "set-default", "workspaceblobstore")
    ws.run("datastore", "unregister", "lake")
    assert "lake" not in entries(ws) and (ws.cwd / "lake" / "x").read_text() == "1"
    ws.run("datastore", "unregister", "lake", code=NOT_FOUND)


@local_only
def test_the_store_of_the_registry_stays(ws):
    (ws.cwd / "r").mkdir()
    ws.run("datastore", "create", "reg", "--path", "r")
    config = json.loads(ws.config.read_text())
    ws.config.write_text(json.dumps({**config, "root": "reg:root"}))
    assert "registry" in ws.run("datastore", "unregister", "reg", code=EXISTS).err


@local_only
def test_many_writers_of_the_config_lose_nothing(ws):
    for i in range(8):
        (ws.cwd / f"d{i}").mkdir()
    made = [ws.start("datastore", "create", f"d{i}", "--path", f"d{i}", stdout=-3) for i in range(8)]
    assert [p.wait() for p in made] == [0] * 8
    set_ = [ws.start("datastore", "update", f"d{i}", "--set", f"description={i}", stdout=-3) for i in range(8)]
    assert [p.wait() for p in set_] == [0] * 8
    assert {n: e.get("description") for n, e in entries(ws).items() if n.startswith("d")} == {
        f"d{i}": str(i) for i in range(8)
    }
    assert not [p for p in ws.cwd.iterdir() if p.name.startswith(".config.json.")]


@local_only
def test_the_port_that_was_given_is_the_one_to_look_at(ws):
    """RPC fails, and so does WebHDFS, which nobody spoke of: both are told."""
    port = free_port()
    (ws.cwd / "hadoop").mkdir()
    text = "<configuration><property><name>{}</name><value>{}</value></property></configuration>"
    (ws.cwd / "hadoop/core-site.xml").write_text(text.format("fs.defaultFS", f"hdfs://127.0.0.1:{port}"))
    (ws.cwd / "hadoop/hdfs-site.xml").write_text(text.format("dfs.namenode.http-address", f"127.0.0.1:{free_port()}"))
    setting = f"hadoop_conf={ws.cwd}/hadoop"
    ws.run("datastore", "create", "h", "--type", "hdfs", "--set", setting, "--skip-validation")
    assert {x["name"]: x["place"] for x in ws.json("datastore", "list")}["h"] == str(ws.cwd / "hadoop")
    done = ws.start("ls", "h:", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    err = done.communicate(timeout=120)[1]
    assert done.returncode and f"RPC port of its NameNode does not answer: check '127.0.0.1:{port}'" in err
    assert "by WebHDFS" in err
