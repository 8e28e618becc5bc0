# SPDX-License-Identifier: Apache-2.0
"""Programs of Azure ML's Python SDK, version 1: what they import, and that it does what they expect of it."""

import contextlib
import io
import json
import os
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import RUNG, local_only, needs_fuse

LIBRARY = os.environ.get("SLUICE_LIBRARY", "")
if not Path(LIBRARY).is_file() or RUNG != "scenario":  # a sanitizer's library wants to be the first that is loaded
    pytest.skip("no library that Python can load", allow_module_level=True)
PACKAGE = Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PACKAGE))
import sluice.azureml  # noqa: E402

if not sluice.azureml.install():
    pytest.skip("Azure ML's own SDK is installed", allow_module_level=True)
from azureml.core import (  # noqa: E402
    Dataset,
    Datastore,
    Environment,
    Experiment,
    Run,
    RunConfiguration,
    ScriptRunConfig,
    Workspace,
)
from azureml.core.compute import AmlCompute, ComputeTarget  # noqa: E402
from azureml.data import HDFSOutputDatasetConfig, LinkFileOutputDatasetConfig, OutputFileDatasetConfig  # noqa: E402
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig  # noqa: E402
from azureml.exceptions import (  # noqa: E402
    ActivityFailedException,
    ComputeTargetException,
    ExperimentExecutionException,
    UserErrorException,
)
from azureml.pipeline.core import (  # noqa: E402
    Pipeline,
    PipelineData,
    PipelineParameter,
    StepSequence,
)
from azureml.pipeline.steps import CommandStep, PythonScriptStep, SynapseSparkStep  # noqa: E402


@pytest.fixture
def v1(ws, monkeypatch):
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    monkeypatch.chdir(ws.cwd)
    return Workspace.from_config()


def script(ws, name, text):
    path = ws.cwd / "code" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return name


def finished(run):
    """A run that completed; else what it said."""
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            run.wait_for_completion(show_output=True)
    except ActivityFailedException as why:
        logs = [p.read_text() for x in [run, *run.get_children()] for p in log_files(x)]
        raise AssertionError("\n".join([str(why), *logs])) from why
    return out.getvalue()


def log_files(run):
    return [Path(x) for x in run.get_details()["logFiles"].values() if x.endswith("std_log.txt")]


def log_of(run):
    return "".join(p.read_text() for p in log_files(run))


# --- names ---


def test_a_name_that_is_not_here_is_named():
    with pytest.raises(ImportError, match=r"azureml.core.Model.*docs/azureml.md"):
        from azureml.core import Model  # noqa: F401
    with pytest.raises(ImportError, match="azureml.train"):
        import azureml.train.automl  # noqa: F401
    with pytest.raises(ImportError, match="is 'PythonScriptStep' meant"):
        from azureml.pipeline.steps import PythonScriptSteps  # noqa: F401
    with pytest.raises(AttributeError, match="Environment.build_local"):
        Environment("e").build_local()


@local_only
def test_signing_in_and_widgets_are_accepted(ws, v1, capsys):
    from azureml.core.authentication import ServicePrincipalAuthentication
    from azureml.widgets import RunDetails

    auth = ServicePrincipalAuthentication(tenant_id="t", service_principal_id="i", service_principal_password="p")
    assert Workspace.from_config(auth=auth).name == "test" and "p" not in vars(auth).values()
    script(ws, "x.txt", "")
    run = Experiment(v1, "w").submit(ScriptRunConfig("code", command="true"))
    RunDetails(run).show()
    assert run.id in capsys.readouterr().out
    run.wait_for_completion()


def test_every_name_is_there():
    import importlib

    from sluice.azureml._names import MODULES

    for module, names in MODULES.items():
        for name in names.split():
            assert getattr(importlib.import_module(module), name) is not None


def test_the_table_of_names_is_whole():
    from sluice.azureml._names import MODULES

    table = (PACKAGE.parent / "docs/azureml.md").read_text()
    for module, names in MODULES.items():
        for name in names.split():
            assert f"`{name}`" in table or f"`{name}(" in table or f"`{name}." in table, f"{module}.{name}"


@local_only
def test_a_script_is_run(ws):
    (ws.cwd / "go.py").write_text(
        "import sys\nfrom azureml.core import Workspace, VERSION\nprint(Workspace.from_config().name, VERSION, sys.argv)"
    )
    env = {**ws.env, "PYTHONPATH": str(PACKAGE)}
    for words in (["go.py"], ["-m", "go"]):
        command = [sys.executable, "-m", "sluice.azureml", *words, "a"]
        done = subprocess.run(command, cwd=ws.cwd, env=env, capture_output=True, text=True)
        assert done.stdout.startswith("test 1.") and "'a']" in done.stdout, done.stderr
    done = subprocess.run([*command[:3], "none.py"], cwd=ws.cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "none.py" in done.stderr and "Traceback" not in done.stderr


# --- data ---


def test_files(ws, v1):
    ws.put_all({"in/a.csv": "a", "in/deep/b.csv": "bb", "in/c.txt": "ccc"})
    store = v1.get_default_datastore()
    assert store.name == "workspaceblobstore" and store.is_default and store.name in v1.datastores
    files = Dataset.File.from_files(path=[(store, "in/**/*.csv")])
    assert sorted(files.to_path()) == ["/a.csv", "/deep/b.csv"]
    again = Dataset.File.from_files((store, "in/**/*.csv"))
    assert files.id == again.id and Dataset.get_by_id(v1, files.id).to_path() == files.to_path()
    made = files.register(v1, "files", description="two", tags={"k": "v"})
    assert (made.name, made.version, made.tags, made.description) == ("files", 1, {"k": "v"}, "two")
    with pytest.raises(UserErrorException, match="'k' is 'v' already"):
        made.add_tags({"new": "1", "k": "other"})
    assert made.add_tags({"k": "v", "new": "1"}).tags == {"k": "v", "new": "1"}
    other = Dataset.File.from_files((store, "in"))
    with pytest.raises(UserErrorException, match=r"\(create_new_version=True\)"):
        other.register(v1, "files")
    assert other.register(v1, "files", create_new_version=True).version == 2
    assert len(Dataset.get_by_name(v1, "files").to_path()) == 3
    assert len(Dataset.get_by_name(v1, "files", version=1).to_path()) == 2
    assert v1.datasets["files"].version == 2 and list(Dataset.get_all(v1)) == ["files"]
    got = files.download(ws.cwd / "got")
    assert sorted(Path(x).read_text() for x in got) == ["a", "bb"]
    Path(got[0]).write_text("mine")
    with pytest.raises(OSError, match="got"):
        other.download(ws.cwd / "got")
    assert len(other.download(ws.cwd / "got", overwrite=True)) == 3
    assert {Path(x).read_text() for x in other.download()} == {"a", "bb", "ccc"}
    with pytest.raises(UserErrorException, match="none"):
        Dataset.get_by_name(v1, "none")
    with pytest.raises(UserErrorException, match="no id"):
        Dataset.get_by_id(v1, "none")


@local_only
def test_parts_of_files(ws, v1):
    ws.put_all({f"many/f{i:02}.txt": "x" * i for i in range(1, 21)})
    files = Dataset.File.from_files((v1.get_default_datastore(), "many"))
    one, two = files.random_split(0.4, seed=7)
    assert not set(one.to_path()) & set(two.to_path())
    assert sorted(one.to_path() + two.to_path()) == sorted(files.to_path())
    assert one.to_path() == files.random_split(0.4, seed=7)[0].to_path()
    assert files.skip(2).take(3).to_path() == [f"/f{i:02}.txt" for i in (3, 4, 5)]
    assert 0 < len(files.take_sample(0.5, seed=1).to_path()) < 20
    size = files.file_metadata("Size")
    assert files.filter((size > 18) | (size == 1)).to_path() == ["/f01.txt", "/f19.txt", "/f20.txt"]


def test_partitions(ws, v1):
    ws.put_all({"p/2024/a.txt": "1", "p/2025/b.txt": "2"})
    files = Dataset.File.from_files((v1.get_default_datastore(), "p/*/*.txt"), partition_format="p/{year}/{name}.txt")
    assert files.filter(files["year"] == "2025").to_path() == ["/2025/b.txt"]


@needs_fuse
@local_only
def test_a_mount(ws, v1):
    ws.put_all({"in/a.csv": "a", "in/b.csv": "b"})
    files = Dataset.File.from_files((v1.get_default_datastore(), "in"))
    with files.mount() as mount:
        assert sorted(os.listdir(mount.mount_point)) == ["a.csv", "b.csv"]
    assert not os.path.exists(mount.mount_point)
    mount = files.mount(str(ws.cwd / "here"))
    mount.start()
    try:
        assert Path(mount.mount_point, "a.csv").read_text() == "a"
    finally:
        mount.stop()


def test_tables(ws, v1):
    ws.put("t/a.csv", "n;word\n1;one\n2;two\n")
    store = v1.get_default_datastore()
    table = Dataset.Tabular.from_delimited_files([(store, "t/a.csv")], separator=";")
    steps = [next(iter(x)) for x in table._saved()["definition"]["transformations"]]
    assert steps == ["read_delimited"]
    few = table.keep_columns(["n"]).take(1)
    steps = [next(iter(x)) for x in few._saved()["definition"]["transformations"]]
    assert steps == ["read_delimited", "keep_columns", "take"]
    assert type(Dataset.get_by_id(v1, few.id)) is type(table) and few.id != table.id
    with pytest.raises(UserErrorException, match="nothing"):
        Dataset.Tabular.from_delimited_files((store, "t/nothing.csv"))
    with pytest.raises(UserErrorException, match="table"):
        table.as_named_input("x").as_mount()


def test_a_datastore_moves_files(ws, v1):
    for name in ("up/a.txt", "up/deep/b.txt"):
        (ws.cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (ws.cwd / name).write_text(name)
    store = v1.get_default_datastore()
    store.upload("up", "to")
    assert ws.get("to/deep/b.txt") == b"up/deep/b.txt"
    (ws.cwd / "up/a.txt").write_text("new")
    store.upload_files(["up/a.txt"], relative_root="up", target_path="to")
    assert ws.get("to/a.txt") == b"up/a.txt"  # was there, and stays
    store.upload_files(["up/a.txt"], target_path="to", overwrite=True)
    assert ws.get("to/a.txt") == b"new"
    assert store.download("down", prefix="to/d") == 1 and (ws.cwd / "down/to/deep/b.txt").is_file()
    made = Dataset.File.upload_directory("up", (store, "again"), pattern="*.txt")
    assert sorted(made.to_path()) == ["/a.txt", "/deep/b.txt"]
    with pytest.raises(UserErrorException, match="workspaceblobstore"):
        Datastore.get(v1, "none")


@local_only
def test_a_key_becomes_a_file(ws, v1):
    key = "c2VjcmV0LWtleS1vZi1hLXRlc3Q="
    store = Datastore.register_azure_blob_container(v1, "far", "box", "account", account_key=key, skip_validation=True)
    assert (store.datastore_type, store.account_name, store.container_name) == ("AzureBlob", "account", "box")
    assert key not in ws.config.read_text() and key not in repr(v1.datastores)
    (path,) = (ws.cwd / ".sluice/secrets").iterdir()
    assert path.read_text() == key and path.stat().st_mode & 0o777 == 0o600
    # One that is refused leaves the key of the entry that is there, and writes nowhere else.
    for name in ("far", "../far"):
        with pytest.raises(Exception, match=name):
            Datastore.register_azure_blob_container(v1, name, "box", "account", account_key="b3RoZXI=")
    assert list((ws.cwd / ".sluice/secrets").iterdir()) == [path] and path.read_text() == key
    assert [x.name for x in (ws.cwd / ".sluice").glob("far*")] == []
    Datastore.register_azure_blob_container(
        v1, "far", "box", "account", account_key="b3RoZXI=", overwrite=True, skip_validation=True
    )
    (path,) = (ws.cwd / ".sluice/secrets").iterdir()
    assert path.read_text() == "b3RoZXI=" and str(path) in ws.config.read_text()
    store.unregister()
    assert list(v1.datastores) == ["workspaceblobstore"]


# --- runs ---

INSIDE = """
    import os
    import sys
    from azureml.core import Dataset, Run

    run = Run.get_context()
    ws = run.experiment.workspace
    print("experiment", run.experiment.name, "in", ws.name)
    given = run.input_datasets["given"]
    assert given.id == sys.argv[1] == os.environ["given"], (given, sys.argv)
    assert sorted(given.to_path()) == ["/a.csv", "/b.csv"]
    got = given.download("here")
    print("bytes", sum(os.path.getsize(x) for x in got))
    assert sorted(os.listdir(run.input_datasets["staged"])) == ["a.csv", "b.csv"]
    assert sys.argv[2] == os.environ["staged"] == run.input_datasets["staged"]
    assert Dataset.get_by_name(ws, "known").version == 1
    given.take(1).register(ws, "from_inside")
    for i in range(3):
        run.log("loss", 1 / (i + 1))
    run.log("accuracy", 0.9)
    os.makedirs("outputs/deep")
    open("outputs/deep/kept.txt", "w").write("kept")
    run.upload_file("outputs/model.txt", "here/a.csv")
    run.upload_folder("more", "here")
    store = ws.get_default_datastore()
    store.upload_files(["inside.py"], target_path="by_step")
    try:
        os.chdir("/")
        store.upload_files(["/etc/hosts"], target_path="by_step")
    except Exception as why:
        print("no upload:", why)
    print("words", sys.argv[3:])
    run.complete()
"""


def test_a_script_run(ws, v1):
    ws.put_all({"in/a.csv": "a", "in/b.csv": "bb"})
    files = Dataset.File.from_files((v1.get_default_datastore(), "in"))
    files.register(v1, "known")
    script(ws, "inside.py", INSIDE)
    config = ScriptRunConfig(
        source_directory="code",
        script="inside.py",
        arguments=[files.as_named_input("given"), files.as_named_input("staged").as_download(), "--x", "a 'b' ${{c}}"],
        compute_target="local",
        environment=Environment("mine"),
    )
    run = Experiment(v1, "trial").submit(config, tags={"who": "me"})
    said = finished(run)
    assert "experiment trial in test" in said and "bytes 3" in said
    assert """words ['--x', "a 'b' ${{c}}"]""" in said
    assert "no upload: a step has no credentials" in said and ws.exists("by_step/inside.py")
    assert run.get_status() == "Completed" and run.get_tags() == {"who": "me"}
    assert run.get_metrics()["accuracy"] == 0.9 and len(run.get_metrics("loss")["loss"]) == 3
    details = run.get_details()
    assert details["runId"] == run.id and details["status"] == "Completed" and details["startTimeUtc"]
    assert "user_logs/std_log.txt" in run.get_file_names()
    kept = ["outputs/deep/kept.txt", "outputs/model.txt", "outputs/more/a.csv", "outputs/more/b.csv"]
    assert [x for x in run.get_file_names() if "logs/" not in x and "/." not in x] == kept
    run.download_files("outputs/d", "fetched")
    assert (ws.cwd / "fetched/outputs/deep/kept.txt").read_text() == "kept"
    run.download_file("user_logs/std_log.txt", "log.txt")
    assert "experiment trial" in (ws.cwd / "log.txt").read_text()
    assert [x.id for x in v1.experiments["trial"].get_runs()] == [run.id]
    assert Run.get(v1, run.id).id == run.id
    assert len(Dataset.get_by_name(v1, "from_inside").to_path()) == 1


@local_only
def test_a_run_that_fails(ws, v1):
    script(ws, "bad.py", "raise ValueError('it is wrong')\n")
    run = Experiment(v1, "bad").submit(ScriptRunConfig("code", "bad.py"))
    with pytest.raises(ActivityFailedException, match="exit status 1"), contextlib.redirect_stdout(io.StringIO()):
        run.wait_for_completion(show_output=True)
    assert run.get_details()["error"] and "it is wrong" in log_of(run)
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"
    with pytest.raises(UserErrorException, match="none.py"):
        Experiment(v1, "bad").submit(ScriptRunConfig("code", "none.py"))
    with pytest.raises(UserErrorException, match="either"):
        ScriptRunConfig("code")


@local_only
def test_a_step_finds_the_names_alone(ws, v1, monkeypatch):
    """Where the package is installed other packages are, too; those are no business of the step."""
    script(ws, "where.py", "import sys\nfrom azureml.core import Run\nprint('path', sys.path)\n")
    monkeypatch.delenv("PYTHONPATH")
    run = Experiment(v1, "w").submit(ScriptRunConfig("code", "where.py"))
    said = finished(run)
    assert "/azureml/names'" in said and f"'{PACKAGE}'" not in said


@local_only
def test_commands_and_variables(ws, v1):
    script(ws, "x.txt", "text")
    config = RunConfiguration()
    config.environment_variables["GREETING"] = "hello ${{x}}"
    config.target = "local"
    run = Experiment(v1, "c").submit(ScriptRunConfig("code", command="echo $GREETING; cat x.txt", run_config=config))
    assert "hello ${{x}}\ntext" in finished(run)


@local_only
def test_outside_of_a_run(capsys):
    run = Run.get_context()
    assert run.id.startswith("OfflineRun_")
    run.log("a", 1)
    assert run.get_metrics() == {"a": 1} and "a" in capsys.readouterr().out
    with pytest.raises(Exception, match="AZUREML_RUN_ID"):
        Run.get_context(allow_offline=False)


def steps_of(ws, v1, **more):
    """Two steps; the second reads what the first wrote."""
    script(
        ws,
        "write.py",
        "import os, sys\nos.makedirs(sys.argv[1], exist_ok=True)\n"
        "open(os.path.join(sys.argv[1], 'n.txt'), 'w').write(sys.argv[2])\n",
    )
    script(ws, "read.py", "import os\nprint('read', open(os.path.join(os.environ['made'], 'n.txt')).read())\n")
    store = v1.get_default_datastore()
    out = OutputFileDatasetConfig("out", (store, "made/{run-id}")).as_upload().register_on_complete("made")
    number = PipelineParameter("number", 5)
    first = PythonScriptStep("write.py", name="first one", arguments=[out, number], source_directory="code", **more)
    back = out.as_input("made").as_download()
    second = PythonScriptStep("read.py", inputs=[back], source_directory="code", compute_target="local", **more)
    return first, second


def test_a_pipeline(ws, v1):
    first, second = steps_of(ws, v1)
    pipeline = Pipeline(v1, steps=[second])
    assert pipeline.validate() == []
    run = pipeline.submit("two", pipeline_parameters={"number": 7}, regenerate_outputs=True)
    said = finished(run)
    assert "StepRun( first_one ) Status: Completed" in said and "read 7" in said and run.get_status() == "Finished"
    assert {x.name for x in run.get_children()} == {"first_one", "read_py"}
    (reader,) = run.find_step_run("read.py")
    assert "read 7" in reader.get_stdout_log() and reader.get_status() == "Finished"
    made = Dataset.get_by_name(v1, "made")
    assert made.version == 1 and made.to_path() == ["/n.txt"]
    (writer,) = run.find_step_run("first one")
    assert writer.get_output_data("out").download("result") == 1 and (ws.cwd / "result/n.txt").read_text() == "7"
    assert run.get_pipeline_output("out").as_dataset().id == made.id
    with pytest.raises(UserErrorException, match="parameter 'none'"):
        pipeline.submit("two", pipeline_parameters={"none": 1})


@local_only
def test_a_step_that_ran_before_is_taken(ws, v1):
    first, second = steps_of(ws, v1)
    finished(Pipeline(v1, [first, second]).submit("again"))
    for more, reused in (({}, [True, True]), ({"regenerate_outputs": True}, [False, False])):
        run = Pipeline(v1, steps_of(ws, v1)).submit("again", **more)
        finished(run)
        steps = {x.name: x for x in run.get_children()}
        assert [steps["first_one"].is_reused, steps["read_py"].is_reused] == reused
    run = Pipeline(v1, steps_of(ws, v1, allow_reuse=False)).submit("again")
    finished(run)
    assert not any(x.is_reused for x in run.get_children())


@local_only
def test_a_table_by_its_times(ws, v1):
    pytest.importorskip("pandas", reason="no pandas (tools/dev deps scenario)")
    ws.put("t.csv", "at,n\n2024-01-01,1\n2024-02-01,2\n2024-03-01,3\n")
    table = Dataset.Tabular.from_delimited_files((v1.get_default_datastore(), "t.csv"))
    with pytest.raises(UserErrorException, match="with_timestamp_columns"):
        table.time_before(datetime(2024, 2, 1))
    timed = table.with_timestamp_columns("at")
    assert timed.timestamp_columns == ("at", None)
    for found, want in (
        (timed.time_before(datetime(2024, 2, 1)), [1, 2]),
        (timed.time_after(datetime(2024, 2, 1), include_boundary=False), [3]),
        (timed.time_between(datetime(2024, 1, 15), datetime(2024, 2, 15)), [2]),
        (
            timed.time_before(datetime(2024, 2, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
            [1],
        ),  # 23:00 of the day before
    ):
        assert list(found.to_pandas_dataframe()["n"]) == want


@needs_fuse
@local_only
def test_an_output_is_a_mount(ws, v1):
    script(
        ws,
        "out.py",
        """
        import os, sys
        for folder in sys.argv[1:]:
            assert os.path.ismount(folder) == (folder == os.environ["mounted"]), folder
            with open(os.path.join(folder, "x.csv"), "w") as f:
                f.write("a,b\\n1,2\\n")
        assert os.environ["placed"].endswith("/mine"), os.environ["placed"]
        """,
    )
    store = v1.get_default_datastore()
    mounted = OutputFileDatasetConfig("mounted", (store, "m")).register_on_complete("mounted")
    placed = OutputFileDatasetConfig("placed", (store, "p"), source="mine").as_upload(overwrite=True)
    placed = placed.read_delimited_files().keep_columns("a").register_on_complete("table", tags={"k": "v"})
    step = PythonScriptStep("out.py", arguments=[mounted, placed], source_directory="code")
    script(
        ws,
        "table.py",
        "import sys\nfrom azureml.core import Run\ntable = Run.get_context().input_datasets['table']\n"
        "assert table.id == sys.argv[1] and type(table).__name__ == 'TabularDataset', sys.argv\n",
    )
    after = PythonScriptStep("table.py", arguments=[placed.as_input("table")], source_directory="code")
    finished(Pipeline(v1, [step, after]).submit("out"))
    assert Dataset.get_by_name(v1, "mounted").to_path() == ["/x.csv"]
    table = Dataset.get_by_name(v1, "table")
    assert type(table).__name__ == "TabularDataset" and table.tags == {"k": "v"}
    assert "keep_columns" in json.dumps(table._saved()["definition"])


def test_a_table_in_pandas(ws, v1):
    pytest.importorskip("pandas", reason="no pandas (tools/dev deps scenario)")
    ws.put_all({"t/a.csv": "n,word\n1,one\n2,two\n", "t/b.csv": "n,word\n3,three\n"})
    table = Dataset.Tabular.from_delimited_files((v1.get_default_datastore(), "t/*.csv"))
    table.register(v1, "numbers")
    assert table.to_pandas_dataframe()["n"].sum() == 6
    assert list(table.keep_columns("word").skip(1).to_pandas_dataframe()["word"]) == ["two", "three"]
    assert list(table.filter((table["n"] > 1) & (table["word"] != "two")).to_pandas_dataframe()["n"]) == [3]
    for wrong in (table.keep_columns("none"), table.filter(table["none"] > 1)):
        with pytest.raises(UserErrorException, match="no column 'none': there are n, word"):
            wrong.to_pandas_dataframe()
    made = Dataset.Tabular.register_pandas_dataframe(
        table.to_pandas_dataframe(), (v1.get_default_datastore(), "pd"), "pd"
    )
    assert made.version == 1 and list(made.to_pandas_dataframe()["n"]) == [1, 2, 3]
    script(
        ws,
        "pandas_in.py",
        """
        from azureml.core import Dataset, Run
        run = Run.get_context()
        print("sum", run.input_datasets["t"].to_pandas_dataframe()["n"].sum())
        named = Dataset.get_by_name(run.experiment.workspace, "numbers")
        print("words", list(named.take(2).to_pandas_dataframe()["word"]))
        """,
    )
    config = ScriptRunConfig("code", "pandas_in.py", [table.as_named_input("t")])
    said = finished(Experiment(v1, "pandas").submit(config))
    assert "sum 6" in said and "words ['one', 'two']" in said


@local_only
def test_steps_that_are_wrong(ws, v1):
    first, second = steps_of(ws, v1)
    assert Pipeline(v1, [second])._steps == [second, first]  # who makes what it reads belongs to it
    nobody = OutputFileDatasetConfig("o").as_input("x").as_download()
    reader = PythonScriptStep("read.py", arguments=[nobody], source_directory="code")
    assert "not in this pipeline" in Pipeline(v1, [reader]).validate()[0]
    twice = OutputFileDatasetConfig("twice").as_upload()
    writers = [PythonScriptStep("write.py", name=x, arguments=[twice], source_directory="code") for x in "ab"]
    assert "'a' and 'b'" in Pipeline(v1, writers).validate()[0]
    assert Pipeline(v1, writers[1:]).validate() == []  # a cell of a notebook that was run again
    with pytest.raises(UserErrorException, match="step 's'.*driver_cores"):
        SynapseSparkStep("a.py", "code", "pool", "1g", "2", "1g", 1, 1, name="s")
    files = Dataset.File.from_files((v1.get_default_datastore(), "x"))
    sizes = ("1g", 1, "1g", 1, 1)
    with pytest.raises(UserErrorException, match="as_hdfs"):
        SynapseSparkStep("a.py", "code", "pool", *sizes, inputs=[files.as_named_input("f").as_mount()])
    with pytest.raises(UserErrorException, match="HDFSOutputDatasetConfig"):
        SynapseSparkStep("a.py", "code", "pool", *sizes, outputs=[OutputFileDatasetConfig("o")])
    with pytest.raises(UserErrorException, match="no Spark"):
        SynapseSparkStep("a.py", "code", "local", *sizes)
    with pytest.raises(UserErrorException, match="is no name"):
        files.as_named_input("1x")
    with pytest.raises(UserErrorException, match="is no mode"):
        DatasetConsumptionConfig("x", files, "copy")
    with pytest.raises(UserErrorException, match="needs a name"):
        HDFSOutputDatasetConfig().register_on_complete("")
    with pytest.raises(ExperimentExecutionException, match="experiment 'e'"):
        Pipeline(v1, [CommandStep("true", inputs=[files.as_named_input("path").as_mount()])]).submit("e")


@local_only
def test_computes(ws, v1):
    config = json.loads(ws.config.read_text())
    config["computes"] = {"cpu": {"type": "local", "slots": 2}, "pool": {"type": "spark"}}
    ws.config.write_text(json.dumps(config))
    v1 = Workspace.from_config()
    assert {"cpu", "pool", "local"} <= set(v1.compute_targets) and "none" not in v1.compute_targets
    assert isinstance(ComputeTarget(v1, "cpu"), AmlCompute) and ComputeTarget(v1, "pool").type == "SynapseSpark"
    assert isinstance(v1.compute_targets["cpu"], AmlCompute) and AmlCompute(v1, "cpu").name == "cpu"
    with pytest.raises(ComputeTargetException, match="none"):
        ComputeTarget(v1, "none")
    with pytest.raises(ComputeTargetException, match="AmlCompute"):
        AmlCompute(v1, "pool")


@local_only
def test_a_linked_service_and_its_pool(ws, v1):
    from azureml.core import LinkedService, SynapseWorkspaceLinkedServiceConfiguration
    from azureml.core.compute import SynapseCompute

    config = SynapseWorkspaceLinkedServiceConfiguration(subscription_id="s", resource_group="g", name="syn")
    made = LinkedService.register(v1, "synapselink1", config)
    assert made.type == "Synapse" and "syn" in made.linked_service_resource_id
    link = LinkedService.get(v1, "synapselink1")
    assert [x.name for x in LinkedService.list(v1)] == ["synapselink1"] and "synapselink1" in repr(link)
    with pytest.raises(ComputeTargetException, match="SynapseSpark"):
        SynapseCompute.attach_configuration(link, type="Other", pool_name="spark01")
    attaching = SynapseCompute.attach_configuration(link, type="SynapseSpark", pool_name="spark01")
    with pytest.raises(ComputeTargetException, match="1bad"):
        ComputeTarget.attach(v1, "1bad", attaching)
    pool = ComputeTarget.attach(workspace=v1, name="link1-spark01", attach_configuration=attaching)
    assert isinstance(pool, SynapseCompute) and "link1-spark01" in v1.compute_targets
    with pytest.raises(ComputeTargetException, match="detach"):
        pool.delete()
    with pytest.raises(UserErrorException, match="link1-spark01"):
        link.unregister()
    pool.detach()
    link.unregister()
    assert "link1-spark01" not in v1.compute_targets and LinkedService.list(v1) == []
    sizes = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=3)
    cluster = ComputeTarget.create(v1, "cpucluster", sizes)
    cluster.wait_for_completion(show_output=True)
    assert isinstance(cluster, AmlCompute) and ComputeTarget.create(v1, "cpucluster", sizes).name == "cpucluster"
    cluster.delete()
    with pytest.raises(UserErrorException, match="none"):
        LinkedService.get(v1, "none")


@local_only
def test_data_between_steps_of_older_programs(ws, v1):
    ws.put("in/x.txt", "old")
    script(ws, "copy.py", "import shutil, sys, os\nos.makedirs(sys.argv[2], exist_ok=True)\n"
                          "shutil.copy(os.path.join(sys.argv[1], 'x.txt'), sys.argv[2])\n")  # fmt: skip
    script(ws, "show.py", "import os\nprint('saw', os.listdir(os.environ['AZUREML_DATAREFERENCE_between']))\n")
    store = v1.get_default_datastore()
    source = store.path("in").as_download()
    between = PipelineData("between", datastore=store, output_mode="upload")
    one = PythonScriptStep(
        "copy.py", arguments=[source, between], inputs=[source], outputs=[between], source_directory="code"
    )
    two = PythonScriptStep("show.py", inputs=[between.as_download()], source_directory="code")
    run = Pipeline(v1, [StepSequence([one, two])]).submit("old")
    finished(run)
    assert "saw ['x.txt']" in log_of(run.find_step_run("show.py")[0])


def test_a_link(ws, v1):
    """The step makes nothing but says which dataset its result is."""
    ws.put("src/f.txt", "1")
    Dataset.File.from_files((v1.get_default_datastore(), "src")).register(v1, "src")
    script(
        ws,
        "link.py",
        "from azureml.core import Dataset, Run\nrun = Run.get_context()\n"
        "run.output_datasets['chosen'].link(Dataset.get_by_name(run.experiment.workspace, 'src'))\n",
    )
    chosen = LinkFileOutputDatasetConfig("chosen").register_on_complete("chosen")
    step = PythonScriptStep("link.py", outputs=[chosen], source_directory="code")
    script(ws, "cat.py", "import os\nprint('read', open(os.environ['got'] + '/f.txt').read())\n")
    after = PythonScriptStep("cat.py", inputs=[chosen.as_input("got").as_download()], source_directory="code")
    run = Pipeline(v1, [step, after]).submit("link")
    assert "read 1" in finished(run)
    assert Dataset.get_by_name(v1, "chosen").id == Dataset.get_by_name(v1, "src").id
