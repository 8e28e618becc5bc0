# SPDX-License-Identifier: Apache-2.0
"""Ways to name data: each form that is printed leads back to the same bytes, on every store."""

import json

import pytest
from conftest import BAD_INPUT, NOT_FOUND, NOT_SUPPORTED, local_only

NAME = "a b/ü,x=1/50%/c#d.csv"


def forms(ws, ref):
    shown = ws.json("data", "show", ref)
    return shown, [form for one in shown["uris"] for form in one.values()]


def test_every_form_that_is_printed_leads_back(ws):
    ws.needs_name(NAME)
    ws.put(NAME, "seven\n")
    shown, ways = forms(ws, ws.ref(NAME))
    assert len(ways) >= 3
    for way in ways:
        assert ws.run("cat", way).out == "seven\n", way
        again = ws.json("data", "show", way)
        if not way.startswith("file:"):
            assert (again["dataset"], again["uris"]) == (shown["dataset"], shown["uris"]), way
    ws.put("plain/name.csv", "1")
    assert ws.run("hdfs", ws.ref("plain/name.csv")).out.split()[0] in forms(ws, ws.ref("plain/name.csv"))[1]
    _, folders = forms(ws, ws.ref("a b"))
    for way in folders:
        assert ws.run("ls", way).out == "ü,x=1/\n", way


@pytest.mark.only_on("blob")
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_url_of_an_emulator_has_the_account(ws, scheme):
    """Also where the endpoint of the entry is without it."""
    base = ws.store.server.url
    server = base.rsplit("/", 1)[0]
    ws.set_entry(endpoint=scheme + server.removeprefix("http://"), protocol="http")
    ws.put("d/x y", "1")
    shown, ways = forms(ws, ws.ref("d/x y"))
    assert shown["uris"][0]["https"] == f"{base}/{ws.store.name}/d/x%20y"
    for way in ways:
        assert ws.run("cat", way).out == "1", way


def test_a_version_is_printed_in_both_forms(ws):
    ws.put("t/x", "1")
    ws.register("titanic", "t")
    shown, _ = forms(ws, "titanic@1")
    assert shown["asset"] == "azureml:titanic:1"
    assert shown["asset_long"].endswith("/workspaces/test/data/titanic/versions/1")
    for way in (shown["asset"], shown["asset_long"], "azureml:titanic@latest", "azureml://titanic:1"):
        assert ws.json("data", "show", way)["dataset"] == shown["dataset"], way


def test_a_dataset_may_be_made_of_a_storage_url(ws):
    ws.put("d/x.csv", "1")
    storage = ws.json("data", "show", ws.ref("d"))["uris"][0]["storage"]
    ws.run("data", "create", "--name", "d", "--path", storage + "/*.csv")
    path = ws.json("data", "show", "d")["definition"]["paths"][0]["pattern"]
    if ws.kind != "local":
        assert path == "azureml://datastores/workspaceblobstore/paths/d/*.csv"
    assert ws.run("ls", "d").out == "x.csv\n"


@local_only
@pytest.mark.parametrize(
    ("url", "name", "path"),
    [
        ("abfss://raw@contoso.dfs.core.windows.net/p/x", "flat", "p/x"),
        ("wasbs://raw@contoso.blob.core.windows.net/p", "flat", "p"),
        ("wasb://raw@CONTOSO.blob.core.windows.net", "flat", ""),
        ("https://contoso.blob.core.windows.net/raw/p%20q", "flat", "p%20q"),
        ("https://contoso.dfs.core.windows.net/lake/p", "lake", "p"),
        ("abfss://lake@contoso.dfs.core.windows.net/p/*.csv", "lake", "p/*.csv"),
        ("abfss://cn@contoso.dfs.core.chinacloudapi.cn/p", "china", "p"),
        ("http://10.0.0.7:10000/dev/box/p", "emulator", "p"),
        ("http://10.0.0.8:10000/contoso/box/p", "named", "p"),
        ("abfs://hidden@contoso.dfs.core.windows.net/p", "link", "p"),
        ("https://contoso.privatelink.blob.core.windows.net/hidden/p", "link", "p"),
        ("hdfs://nn:8020/user/me/p", "mine", "p"),
        ("hdfs://nn/user/me/p", "mine", "p"),
        ("hdfs://nn/user/meandyou/p", "all", "user/meandyou/p"),
        ("hdfs://nn:8020/tmp", "all", "tmp"),
        ("webhdfs://nn:9870/tmp", "all", "tmp"),
    ],
)
def test_a_storage_url_is_a_place_in_the_datastore_over_it(ws, url, name, path):
    config = json.loads(ws.config.read_text())
    azure = {"type": "azure_blob", "account_name": "contoso", "container_name": "raw", "credential": "env:NONE"}
    config["datastores"] |= {
        "flat": azure,
        "lake": {"type": "azure_data_lake_gen2", "account_name": "contoso", "filesystem": "lake"},
        "china": {**azure, "container_name": "cnn", "endpoint": "core.chinacloudapi.cn"},
        "emulator": {**azure, "container_name": "box", "endpoint": "http://10.0.0.7:10000/dev"},
        "named": {**azure, "container_name": "box", "endpoint": "10.0.0.8:10000", "protocol": "http"},
        "link": {**azure, "container_name": "hidden", "endpoint": "contoso.privatelink.blob.core.windows.net"},
        "all": {"type": "hdfs", "namenode": "nn:9870", "rpc_address": "nn:8020"},
        "mine": {"type": "hdfs", "namenode": "nn:9870", "rpc_address": "nn:8020", "path": "/user/me"},
    }
    config["datastores"]["china"]["container_name"] = "cn1"
    ws.config.write_text(json.dumps(config))
    url = url.replace("//cn@", "//cn1@")
    (ws.cwd / "MLTable").write_text("type: mltable\npaths:\n  - pattern: '!" + url + "'\n  - folder: ./\n")
    (ws.cwd / "x").write_text("1")
    ws.run("data", "create", "--name", "n", "--type", "mltable", "--path", "./")
    shown = ws.json("data", "show", "n")["definition"]["paths"][0]["pattern"]
    slash = "/" if path else ""
    assert shown == f"!azureml://datastores/{name}/paths{slash}{path}"


@local_only
def test_a_url_over_no_datastore_says_how_to_make_it(ws):
    err = ws.run("ls", "abfss://raw@contoso.dfs.core.windows.net/x", code=NOT_FOUND).err
    assert "--set account_name=contoso" in err and "--set container_name=raw" in err
    assert "datastore create" in ws.run("ls", "hdfs://nn:8020/x", code=NOT_FOUND).err
    assert "retired" in ws.run("ls", "adl://x.azuredatalakestore.net/y", code=NOT_SUPPORTED).err
    assert "container" in ws.run("ls", "https://contoso.blob.core.windows.net/", code=BAD_INPUT).err
    assert "CANARY" not in ws.run("ls", "https://a.blob.core.windows.net/c/x?sig=CANARY", code=BAD_INPUT).err


def rows(ws, *args):
    return [json.loads(line) for line in ws.run("data", "partitions", *args, "-o", "json").out.splitlines()]


def test_paths_make_columns_and_conditions_choose_by_them(ws):
    for dept in ("sales", "law"):
        for day in ("2025/12/31", "2026/01/02", "2026/01/10"):
            ws.put(f"in/{dept}/{day}/9.csv", "x")
    ws.put("in/readme.txt", "x")
    ws.register("days", "in", "--partition-format", "/{dept}/{day:yyyy/MM/dd}/{n}.csv")
    all_ = rows(ws, "days")
    assert len(all_) == 7
    columns = {r["path"]: r["columns"] for r in all_}
    assert columns["law/2026/01/02/9.csv"] == {"dept": "law", "n": "9", "day": "2026-01-02T00:00:00Z"}
    assert list(columns["law/2026/01/02/9.csv"])[-1] == "day", "the time is the last column"
    assert columns["readme.txt"] == {"dept": None, "n": None, "day": None}
    jan = rows(ws, "days", "--where", "day=2026-01", "--where", "dept!=law")
    assert [r["path"] for r in jan] == ["sales/2026/01/02/9.csv", "sales/2026/01/10/9.csv"]
    assert len(rows(ws, "days", "--where", "day<2026")) == 2 and len(rows(ws, "days", "--where", "n<10")) == 6
    assert len(rows(ws, ws.ref("in/*/2026/**"), "--format", "/{dept}/2026/{month}/*.csv", "--where", "month=01")) == 4
    assert "'dept'" in ws.run("data", "partitions", "days", "--where", "detp=x", code=BAD_INPUT).err
    assert "condition" in ws.run("data", "partitions", "days", "--where", "dept", code=BAD_INPUT).err


@local_only
def test_a_format_that_is_none_is_refused_when_it_is_given(ws):
    ws.put("in/x", "1")
    err = ws.run(
        "data", "create", "--name", "n", "--path", ws.ref("in"), "--partition-format", "/{a", code=BAD_INPUT
    ).err
    assert "partition_format" in err and "'{'" in err
    assert "--format" in ws.run("data", "partitions", ws.ref("in"), code=BAD_INPUT).err


@local_only
def test_two_sources_of_one_name_are_both_named(ws):
    """Local paths are shown below `local`, or `local-files` where a datastore has that name."""
    for name in ("local", "local-files", "plain"):
        (ws.cwd / name).mkdir()
        (ws.cwd / name / "p").write_text(name)
    for name in ("local", "local-files"):
        ws.run("datastore", "create", name, "--path", name)
    paths = ["--path", "local:p", "--path", "local-files:p", "--path", "plain/p"]
    err = ws.run("data", "create", "--name", "n", *paths, code=BAD_INPUT).err
    assert "datastores/local-files/paths/p'" in err and "plain/p'" in err
    ws.run("data", "create", "--name", "n", *paths[:4], "--path", "local:p")  # the same twice is one
    assert len(ws.run("data", "manifest", "n").out.splitlines()) == 6
