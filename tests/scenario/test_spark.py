# SPDX-License-Identifier: Apache-2.0
"""as_hdfs on a real Spark: what it reads of a view is what the dataset has; secrets stay where they belong."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from conftest import BAD_INPUT, NO_PERMISSION, PATIENCE, RUNG, Workspace, until
from stores import BlobStore, LocalStore

pytestmark = [
    pytest.mark.spark,
    pytest.mark.xdist_group("hdfs"),  # one Spark, where the most expensive server is
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="no Java"),
    pytest.mark.skipif(RUNG != "scenario", reason="Spark is not what the sanitizers watch"),
]
DEEP = os.environ.get("SLUICE_DEEP") == "1"
JARS = os.environ.get("SLUICE_HADOOP_AZURE_JARS")
ACCOUNT = "devstoreaccount1.dfs.core.windows.net"

SITE = """
# of the installation \\
spark.ui.enabled            false
spark.master:local[1]
spark.ui.showConsoleProgress=false
spark.driver.host = 127.0.0.1
spark.driver.bindAddress=127.0.0.\\
                         1
spark.app.name=\\u00fcber\\ sluice
spark.redaction.regex=(?i)mine|password
spark.eventLog.enabled=true
spark.eventLog.compress=false
spark.eventLog.rolling.enabled=false
spark.hadoop.mine.secret.x=of-the-site
spark.python.authenticate.socketTimeout=300s
"""


@pytest.fixture(scope="module")
def lake(azurite, tmp_path_factory):
    """A workspace on Azurite whose view starts the Spark of this module."""
    folder = tmp_path_factory.mktemp("lake")
    ws = Workspace(folder, BlobStore(azurite, f"spark-{uuid.uuid4().hex[:12]}"))
    ws.put_all({"d/a.csv": "line a\n", "d/b.csv": "line b\n", "d/c.json": "{}\n"})
    conf = folder / "conf"
    (folder / "events").mkdir()
    conf.mkdir()
    more = f"spark.driver.extraClassPath={JARS}/*\n" if JARS else ""
    (conf / "spark-defaults.conf").write_text(f"{SITE}{more}spark.eventLog.dir=file://{folder}/events\\")
    ws.properties = folder / "lake.properties"
    ws.run("hdfs", ws.ref("d"), "--properties", ws.properties, env={"SPARK_CONF_DIR": str(conf)})
    return ws


@pytest.fixture(scope="module")
def spark(lake):
    import spark_session

    running = spark_session.Spark(lake.properties)
    yield running
    running.stop()


needs_azure = pytest.mark.skipif(not JARS, reason="no jars of hadoop-azure: SLUICE_HADOOP_AZURE_JARS")


@pytest.fixture
def here(ws, spark):
    """The workspace, on each kind of store that Hadoop has a driver for."""
    if ws.kind == "blob" and not JARS:
        pytest.skip("no jars of hadoop-azure: SLUICE_HADOOP_AZURE_JARS")
    return ws


def view_of(ws, ref):
    return ws.json("hdfs", ref)


def names(ws, found, folder):
    """The paths that Spark read, below a folder of the store."""
    base = {"local": f"{ws.store.folder}/" if ws.kind == "local" else "", "blob": "/"}.get(ws.kind)
    base = f"{ws.store.folder}/" if base is None else base
    assert all(f.startswith(f"{base}{folder}/") for f in found), found
    return [f.removeprefix(f"{base}{folder}/") for f in found]


def listed(ws, ref):
    lines = ws.run("ls", "-R", ref, "--output", "json").out.splitlines()
    return sorted(x["path"] for x in map(json.loads, lines) if x["kind"] == "file")


def azure_secrets(ws, view):
    import spark_session

    return spark_session.secrets(view).items() if ws.kind == "blob" else ()


# --- settings and secrets ---


@needs_azure
def test_the_properties_file_is_all_that_spark_submit_needs(lake, spark):
    view = view_of(lake, lake.ref("d/*.csv"))
    rows = spark.session.read.options(**view["options"]).text(view["uri"]).collect()
    assert sorted(r.value for r in rows) == ["line a", "line b"]
    conf = spark.session.sparkContext.getConf()
    assert conf.get("spark.app.name") == "über sluice" and conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert lake.properties.stat().st_mode & 0o777 == 0o600


@needs_azure
def test_no_secret_is_in_arguments_environment_or_the_event_log(lake, spark, azurite):
    key = Path(azurite.key_file).read_text().strip()
    spark.session.range(3).count()
    proc = Path(f"/proc/{spark.pid}")
    assert key.encode() not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()

    def logged():
        """Spark writes it beside, and in pieces."""
        log = "".join(p.read_text(errors="replace") for p in (lake.cwd / "events").rglob("*") if p.is_file())
        return log if "JobStart" in log else None

    log = until("the job is in the log", logged)
    assert f"fs.azure.account.key.{ACCOUNT}" in log and "redacted" in log
    assert key not in log and "of-the-site" not in log
    assert spark.session.sparkContext.getConf().get(f"spark.hadoop.fs.azure.account.key.{ACCOUNT}") == key


def sas_of(azurite, container):
    import datetime

    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        azurite.client.account_name, container, account_key=Path(azurite.key_file).read_text().strip(),
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1),
    )  # fmt: skip


@needs_azure
def test_a_sas_and_hadoops_own_shell(lake, spark, azurite, tmp_path):
    sas = tmp_path / "sas"
    sas.touch(mode=0o600)
    sas.write_text(f"?{sas_of(azurite, lake.store.name)}\n")
    config = json.loads(lake.config.read_text())
    entry = {k: v for k, v in config["datastores"]["workspaceblobstore"].items() if k != "account_key"}
    config["datastores"]["by_sas"] = {**entry, "sas_token": f"file:{sas}"}
    lake.config.write_text(json.dumps(config))
    site = tmp_path / "core-site.xml"
    uri = lake.run("hdfs", "by_sas:d/*.csv", "--core-site", site).out.strip()
    assert site.stat().st_mode & 0o777 == 0o600 and "sig=" in site.read_text()
    assert spark.shell("-conf", site, "-ls", uri) == 0
    assert spark.shell("-conf", site, "-copyToLocal", uri, tmp_path) == 0
    assert (tmp_path / "b.csv").read_text() == "line b\n"
    assert spark.shell("-conf", site, "-ls", uri.replace("*.csv", "no-such")) == 1


@needs_azure
@pytest.mark.parametrize("master", ["k8s://https://cluster:443", "spark://cluster:7077"])
def test_a_driver_elsewhere_gets_its_secrets_from_a_credential_provider(lake, spark, azurite, tmp_path, master):
    """Where Spark would put them into a ConfigMap, or into the arguments of the driver."""
    site, out = tmp_path / "spark-defaults.conf", tmp_path / "out"
    env = {"SPARK_CONF_DIR": str(tmp_path)}
    site.write_text(f"spark.master {master}\nspark.submit.deployMode cluster\n")
    told = lake.run("hdfs", lake.ref("d"), "--properties", out, env=env, code=NO_PERMISSION).err
    assert f"hadoop credential create fs.azure.account.key.{ACCOUNT}" in told and not out.exists()
    jceks = f"localjceks://file{tmp_path}/secrets.jceks"
    with open(site, "a") as f:
        f.write(f"spark.hadoop.hadoop.security.credential.provider.path={jceks}\n")
    lake.run("hdfs", lake.ref("d"), "--properties", out, env=env)
    key = Path(azurite.key_file).read_text().strip()
    assert key not in out.read_text()
    settings = {
        k.removeprefix("spark.hadoop."): v for k, v in spark.properties(out.read_text()).items() if "hadoop" in k
    }
    conf = spark.conf(settings)
    chars = spark.conf({"x": key}).getPassword("x")
    provider = spark.jvm.org.apache.hadoop.security.alias.CredentialProviderFactory.getProviders(conf)[0]
    provider.createCredentialEntry(f"fs.azure.account.key.{ACCOUNT}", chars)
    provider.flush()
    with spark.file_system(view_of(lake, lake.ref("d"))["uri"], conf) as (fs, path):
        assert sorted(s.getPath().getName() for s in fs.listStatus(path)) == ["a.csv", "b.csv", "c.json"]


def odd_settings(rng):
    pieces = ["a", "b.c", "=", ":", " ", "\t", "\\", "\\\\", "\\n", "\\u00e9", "\n", "\r\n", "\\\n", "#", "!", "é", "x"]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 40)))


def test_settings_of_the_installation_are_read_as_java_reads_them(spark, tmp_path):
    ws = Workspace(tmp_path, LocalStore(tmp_path))
    ws.put("d/a.csv", "1")
    site, out = tmp_path / "spark-defaults.conf", tmp_path / "out"
    for seed in range(200 if DEEP else 10):
        text = odd_settings(random.Random(seed))
        site.write_text(text)
        ws.run("hdfs", ws.ref("d"), "--properties", out, env={"SPARK_CONF_DIR": str(tmp_path)})
        assert spark.properties(out.read_text()) == spark.properties(text), repr(text)


def test_secrets_are_written_to_plain_files_only(tmp_path):
    ws = Workspace(tmp_path, LocalStore(tmp_path))
    ws.put("d/a.csv", "1")
    os.mkfifo(tmp_path / "pipe")
    assert "no plain file" in ws.run("hdfs", ws.ref("d"), "--properties", tmp_path / "pipe", code=BAD_INPUT).err
    (tmp_path / "spark-defaults.conf").write_text("a=\\u12")
    err = ws.run("hdfs", ws.ref("d"), "--properties", "out", env={"SPARK_CONF_DIR": str(tmp_path)}, code=BAD_INPUT).err
    assert "spark-defaults.conf:1" in err


# --- what is read ---

ODD = ["a b", "ü#%20", "x,y", "q[1]", "s*r", "w?", "{z}", "e^$", "(p)|+", "tilde~", "new\nline", "&;'\"", "back\\slash"]


@pytest.mark.only_on("local", "blob", "hdfs")
def test_names_special_to_hadoop(here, spark):
    ws = here
    odd = [n for n in ODD if ws.store.holds(n)]
    ws.put_all({f"o/{n}/{n}.csv": n for n in odd} | {f"o/{n}/other": "x" for n in odd})
    for n in odd:
        escaped = "".join(f"\\{c}" if c in "*?[{\\}]" else c for c in n)
        view = view_of(ws, ws.ref(f"o/{escaped}/*.csv"))
        more = azure_secrets(ws, view)
        assert names(ws, spark.files(view, more), "o") == [f"{n}/{n}.csv"], view["uri"]
    ws.register("o", "o/**/*.csv")
    ws.put("o/later.csv", "1")
    view = view_of(ws, "o@1")
    assert "{" in view["uri"]
    assert names(ws, spark.files(view, azure_secrets(ws, view)), "o") == sorted(f"{n}/{n}.csv" for n in odd)


def some_tree(rng):
    """Files of a few folders, some with names that Spark has a meaning for."""
    folders = ["", "", "x/", "x/y/", "a.csv/", "k=1/", "k=2/", "k=2/m=1/", "b,c/", "[d]/", "_h/"]
    stems = ["a", "b", "ab", "a1", ".a", "_b", "a,b", "a{b", "a-"]
    return {
        f"{rng.choice(folders)}{rng.choice(stems)}{rng.choice(['.csv', '.json', '', '.csv.gz'])}"
        for _ in range(rng.randint(3, 30))
    }


def some_pattern(rng, tree):
    """A name of the tree, or of its folders, with wildcards put in."""
    parts = rng.choice(sorted(tree)).split("/")
    out = []
    for part in parts:
        kind = rng.randint(0, 9)
        safe = "".join(f"\\{c}" if c in "*?[{\\}],!" else c for c in part)
        if kind == 0:
            out.append("**")
        elif kind <= 2:
            out.append("*")
        elif kind == 3 and len(part) > 1:
            out.append(f"*{part[-1]}" if part[-1] not in "]}" else "*")
        elif kind == 4:
            out.append("".join("?" if rng.random() < 0.5 else ("\\" + c if c in "*?[{\\}]" else c) for c in part))
        elif kind == 5:
            out.append(f"[a-{rng.choice('bz')}]*")
        elif kind == 6:
            out.append(f"[!{rng.choice('ax_')}]*")
        elif kind == 7:
            out.append(f"{{{safe},{rng.choice('abk')}*}}")
        else:
            out.append(safe)
    if rng.random() < 0.3:
        out = ["**", out[-1]]
    return "/".join(out)


@pytest.mark.only_on("local", "blob", "hdfs")
def test_what_spark_reads_of_a_pattern_is_what_the_dataset_has(here, spark):
    """Random trees and patterns; of what the manifest has Spark leaves out `_x` and `.x`, and tells."""
    ws = here
    rng = random.Random(f"view {ws.kind}" if DEEP else 7)
    seen = set()
    for t in range(20 if DEEP else 2):
        tree = {p for p in some_tree(rng) if not any(f"{p}/" == q[: len(p) + 1] for q in ("a.csv/",))}
        ws.put_all({f"t{t}/{p}": p for p in sorted(tree)})
        for _ in range(40 if DEEP else 12):
            pattern = some_pattern(rng, tree)
            ref = ws.ref(f"t{t}/{pattern}")
            done = ws.start("hdfs", ref, "--output", "json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            out, err = done.communicate(timeout=PATIENCE * 4)
            if done.returncode:
                assert "no file" in err or "nothing" in err or "match" in err, (ref, err)
                continue
            view = json.loads(out)
            want = [literal_folder(pattern) + p for p in listed(ws, ref)]
            hidden = [p for p in want if p.rsplit("/", 1)[-1][0] in "._" or "_h/" in p]
            try:
                got = names(ws, spark.files(view, azure_secrets(ws, view)), f"t{t}")
            except Exception as e:
                assert len(hidden) == len(want) and "ignored" in str(e).lower(), (ref, view["uri"], str(e)[:500])
                continue
            assert [p for p in got if p not in want] == [] and len(got) == len(set(got)), (ref, view["uri"])
            assert [p for p in want if p not in got and p not in hidden] == [], (ref, view["uri"])
            seen.add("list" if "{" in view["uri"] else "pattern" if "*" in view["uri"] else "other")
    assert {"list", "pattern"} <= seen


def literal_folder(pattern):
    """The part of a pattern that `ls` leaves out, unescaped."""
    out, i, cut = "", 0, 0
    while i < len(pattern) and pattern[i] not in "*?[{":
        i += pattern[i] == "\\"
        out += pattern[i]
        cut = len(out) if pattern[i] == "/" else cut
        i += 1
    return out[:cut] if i < len(pattern) else out.rsplit("/", 1)[0] + "/" if "/" in out else ""


@pytest.mark.only_on("local", "blob", "hdfs")
def test_columns_of_folders_stay_when_files_are_listed(here, spark):
    ws = here
    ws.put_all({"p/y=1/a.csv": "1\n", "p/y=2/a.csv": "2\n", "p/y=2/b.csv": "3\n"})
    ws.register("p", "p")
    for _ in range(2):
        view = view_of(ws, "p@1")
        options = {**view["options"], **view["conf"], **dict(azure_secrets(ws, view))}
        rows = spark.session.read.options(**options).csv(view["uri"]).collect()
        assert sorted((r._c0, r.y) for r in rows) == [("1", 1), ("2", 2), ("3", 2)]
        ws.put("p/y=2/later.csv", "4\n")
    assert "{" in view["uri"] and view["options"]["basePath"]


# --- tables ---


TABLES = {
    "plain": (["--delimiter", ","], b'a,b\n1,"x, ""y"""\n\n2,\n3\n'),
    "semicolons": (["--delimiter", ";", "--header", "no_header"], b"1;2\n3;4\n"),
    "lines": (["--read", "delimited", "--option", "support_multi_line=true"], b'a,b\n"1\n2",3\n'),
    "latin1": (["--encoding", "latin1"], "n\u00e4me\nZo\u00eb\n".encode("latin-1")),
    "utf16": (["--encoding", "utf16"], "a,b\nZo\u00eb,2\n".encode("utf-16")),
    "mark": (["--encoding", "utf8bom"], "a,b\n1,2\n".encode("utf-8-sig")),
    "json": (["--read", "json_lines"], b'{"a": 1, "b": "x"}\n\n{"b": "y"}\n'),
    "dropped": (["--read", "json_lines", "--option", "invalid_lines=drop"], b'{"a": 1}\n{"a": \n{"a": 3}\n'),
}


@pytest.mark.local_only
@pytest.mark.parametrize("name", TABLES)
def test_spark_reads_a_table_as_its_preview_shows_it(ws, spark, name):
    options, data = TABLES[name]
    ws.put(f"t/{name}", data)
    if "json_lines" not in options:
        options = [*options, "--option", "infer_column_types=false"]
    ws.register("t", "t", *options)
    said = ws.json("data", "show", "t")["spark"]
    view = view_of(ws, "t")
    assert view["format"] == said["format"] and view["options"].items() >= said["options"].items()
    found = spark.session.read.format(said["format"]).options(**said["options"]).load(view["uri"])
    shown = ws.json("data", "preview", "t")
    if "no_header" not in options:
        assert found.columns == shown["columns"]
    assert [list(row) for row in found.collect()] == shown["rows"]


@needs_azure
def test_a_data_frame_in_python_brings_its_secrets_along(lake, spark, monkeypatch, azurite):
    """A session of the user's own, which knows of no account: the package tells it, and neither a plan nor options do."""
    if not Path(os.environ.get("SLUICE_LIBRARY", "")).is_file():
        pytest.skip("no library that Python can load")
    pytest.importorskip("pyarrow")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "python"))
    import sluice

    for name, value in lake.env.items():
        monkeypatch.setenv(name, value)
    lake.put_all({"py/y=1/a b.csv": "n,s\n1,x\n7,\n", "py/y=2/b.csv": "n,s\n3,z\n"})
    session = spark.session.newSession()
    account = f"fs.azure.account.key.{ACCOUNT}"
    hadoop = session.sparkContext._jsc.hadoopConfiguration()
    hadoop.unset(account)
    with sluice.Workspace(lake.cwd) as ws:
        how = {"delimited": {"include_path_column": True}, "partition_format": "/y={y}/{f}.csv"}
        data = ws.register("py", lake.ref("py"), **how)
        frame = data.to_spark_dataframe(session)
        rows = sorted(tuple(r) for r in frame.collect())
        assert rows == sorted(tuple(r.values()) for r in data.to_arrow().to_pylist())
        assert rows[0] == ("y=1/a b.csv", "1", "a b", 1, "x") and frame.dtypes[3] == ("n", "bigint")
    assert hadoop.get(account)
    assert Path(azurite.key_file).read_text().strip() not in frame._jdf.queryExecution().toString()
