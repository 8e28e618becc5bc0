# SPDX-License-Identifier: Apache-2.0
"""Azure ML's tables written as files, what older programs say of outputs and runs, and parameters that are paths."""

from datetime import datetime
from pathlib import Path

import pytest
from conftest import local_only
from test_azureml import finished, log_of, script, v1  # noqa: F401

PEOPLE = "name,country,at\nAnn,FR,2021-01-01T00:00:00.25\nBob,DE,2021-01-01T00:00:00.75\nCy,DE,2021-01-02\n"

# found since test_azureml was imported
from azureml.core import (  # noqa: E402
    Dataset,
    Datastore,
    Environment,
    Experiment,
    HDFSOutputDatasetConfig,
    Run,
    RunConfiguration,
    ScriptRunConfig,
    Workspace,
)
from azureml.core.compute import ComputeTarget  # noqa: E402
from azureml.core.conda_dependencies import CondaDependencies  # noqa: E402
from azureml.core.run import _OfflineRun  # noqa: E402
from azureml.data import OutputFileDatasetConfig  # noqa: E402
from azureml.data.datapath import DataPath, DataPathComputeBinding  # noqa: E402
from azureml.exceptions import UserErrorException  # noqa: E402
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter  # noqa: E402
from azureml.pipeline.steps import PythonScriptStep  # noqa: E402


@pytest.fixture
def people(ws, v1):  # noqa: F811
    pytest.importorskip("pandas", reason="no pandas (tools/dev deps scenario)")
    ws.put("in/people.csv", PEOPLE)
    return Dataset.Tabular.from_delimited_files((v1.get_default_datastore(), "in/people.csv"))


def names(table):
    return sorted(table.to_pandas_dataframe()["name"])


def test_a_table_as_files(ws, people):
    text = people.keep_columns(["name", "country"]).to_csv_files(separator=";")
    assert text.to_path() == ["/part-00000.csv"]
    (path,) = text.download(ws.cwd / "got")
    assert Path(path).read_text().replace('"', "") == "name;country\nAnn;FR\nBob;DE\nCy;DE\n"
    again = people.keep_columns(["name", "country"]).to_csv_files(separator=";")
    assert again.id == text.id != people.to_csv_files().id
    (path,) = people.to_parquet_files().download(ws.cwd / "columns")
    store = people.workspace.get_default_datastore()
    store.upload_files([path], target_path="back")
    back = Dataset.Tabular.from_parquet_files((store, "back/*.parquet"))
    assert back.to_pandas_dataframe().equals(people.to_pandas_dataframe())


def test_partition_by(ws, people):
    target = DataPath(people.workspace.get_default_datastore(), "by/country")
    made = people.partition_by(["country"], target, name="parts")
    assert (made.name, made.version, made.partition_keys) == ("parts", 1, ["country"])
    frame = made.to_pandas_dataframe()
    assert sorted(zip(frame["country"], frame["name"])) == [("DE", "Bob"), ("DE", "Cy"), ("FR", "Ann")]
    assert sorted(made.get_partition_key_values()["country"]) == ["DE", "FR"]
    assert names(made.filter(made["country"] == "FR")) == ["Ann"]
    with pytest.raises(UserErrorException, match="a folder of its own"):
        people.partition_by("country", target)
    with pytest.raises(UserErrorException, match="no column 'none'"):
        people.partition_by("none", target)
    with pytest.raises(UserErrorException, match="'2021-01-01 00:00:00.250000' of column 'at'"):
        people.partition_by("at", DataPath(target.datastore, "by/time"))


@local_only
def test_times_to_the_microsecond(people):
    middle = datetime(2021, 1, 1, 0, 0, 0, 250001)
    assert names(people.filter(people["at"] < middle)) == ["Ann"]
    assert names(people.with_timestamp_columns("at").time_after(middle)) == ["Bob", "Cy"]
    files = Dataset.File.from_files((people.workspace.get_default_datastore(), "in"))
    changed = files.file_metadata("LastModifiedTime")
    assert files.filter(changed > datetime(2021, 1, 1, 0, 0, 0, 5)).to_path() == ["/people.csv"]


@local_only
def test_a_table_in_dask(people):
    pytest.importorskip("dask.dataframe", reason="no Dask")
    assert sorted(people.to_dask_dataframe()["name"].compute()) == ["Ann", "Bob", "Cy"]


@local_only
def test_outputs_of_older_programs(ws, v1):  # noqa: F811
    script(ws, "make.py", "import os, sys\nos.makedirs(sys.argv[1], exist_ok=True)\n"
                          "open(os.path.join(sys.argv[1], 'a.csv'), 'w').write('a,b\\n1,2\\n')\n")  # fmt: skip
    script(ws, "use.py", "import sys\nfrom azureml.core import Run\nrun = Run.get_context()\n"
                         "print(type(run.input_datasets['t']).__name__, run.input_datasets['t'].id == sys.argv[1])\n"
                         "run.tag('seen', 1)\nrun.add_properties({'by': 'me'})\n"
                         "run.parent.tag('from', 'step')\nrun.parent.log('rows', 1)\n")  # fmt: skip
    made = PipelineData("made", datastore=v1.get_default_datastore(), output_mode="upload").as_dataset()
    made = made.parse_delimited_files().keep_columns(["b"]).register("older")
    one = PythonScriptStep("make.py", arguments=[made], outputs=[made], source_directory="code")
    given = made.as_named_input("t")
    two = PythonScriptStep("use.py", arguments=[given], inputs=[given], source_directory="code")
    run = Pipeline(v1, [one, two]).submit("older")
    finished(run)
    table = Dataset.get_by_name(v1, "older")
    assert type(table).__name__ == "TabularDataset" and table.version == 1
    (last,) = run.find_step_run("use.py")
    assert "TabularDataset True" in log_of(last)
    assert (last.tags, last.properties, last.number) == ({"seen": "1"}, {"by": "me"}, run.number)
    run.set_tags({"kept": "yes"})
    again = Run.get(v1, run.id)
    assert again.get_tags() == {"from": "step", "kept": "yes"} and again.get_metrics() == {"rows": 1}
    assert again.get_detailed_status()["status"] == "Finished"
    last.add_properties({"by": "me"})
    with pytest.raises(UserErrorException, match="has property 'by' already, as 'me'"):
        last.add_properties({"by": "you"})


@local_only
def test_a_parameter_that_is_a_path(ws, v1):  # noqa: F811
    ws.put_all({"one/a.txt": "a", "two/b.txt": "b"})
    script(ws, "ls.py", "import os, sys\nprint('saw', os.listdir(sys.argv[1]))\n")
    store = v1.get_default_datastore()
    given = (PipelineParameter("where", DataPath(store, "one")), DataPathComputeBinding(mode="download"))
    step = PythonScriptStep("ls.py", arguments=[given], inputs=[given], source_directory="code")
    run = Pipeline(v1, [step]).submit("paths", pipeline_parameters={"where": DataPath(store, "two")})
    finished(run)
    assert "saw ['b.txt']" in log_of(next(run.get_children()))


@local_only
def test_small_things_that_programs_say(ws, v1, capsys):  # noqa: F811
    run = Run.get_context()
    assert isinstance(run, _OfflineRun)
    run.tag("k", "v")
    run.add_properties({"p": "1"})
    run.log_confusion_matrix("matrix", '{"schema_type": "confusion_matrix"}')
    assert (run.get_tags(), run.properties, list(run.get_metrics())) == ({"k": "v"}, {"p": "1"}, ["matrix"])
    assert ComputeTarget(v1, "local").get_status().serialize()["provisioningState"] == "Succeeded"
    assert v1.get_default_compute_target().name == "local" and v1.tags == {}
    conda = CondaDependencies.create(pip_packages=["x==1"])
    assert conda.save_to_file(str(ws.cwd), "c.yml") == "c.yml"
    assert (ws.cwd / "c.yml").read_text().strip() == conda.serialize_to_string()
    for asked in (
        lambda: Workspace.create("x"),
        lambda: Datastore.register_azure_file_share,
        lambda: Dataset.Tabular.from_sql_query,
    ):
        with pytest.raises(AttributeError, match="of Azure ML's SDK is not in sluice"):
            asked()


@local_only
def test_inputs_and_outputs_inside_of_texts(ws, v1):  # noqa: F811
    ws.put("in/a.txt", "a")
    script(ws, "copy.py", "import os, sys\nto, given = sys.argv[1].split('=')[1], sys.argv[2]\n"
                          "os.makedirs(to, exist_ok=True)\nopen(to + '/b.txt', 'w').write(given)\n")  # fmt: skip
    given = Dataset.File.from_files((v1.get_default_datastore(), "in")).as_named_input("given").as_download()
    made = OutputFileDatasetConfig("made").as_upload().register_on_complete("texts")
    step = PythonScriptStep("copy.py", arguments=[f"it's.to={made.arg_val}", f"{given}/a b DatasetOutputConfig:none"],
                            inputs=[given], outputs=[made], source_directory="code")  # fmt: skip
    finished(Pipeline(v1, [step]).submit("texts"))
    (path,) = Dataset.get_by_name(v1, "texts").download(ws.cwd / "got")
    told = Path(path).read_text()
    assert told.startswith("/") and told.endswith("/a b DatasetOutputConfig:none"), told


@local_only
def test_a_registered_environment_is_there_later(ws, v1):  # noqa: F811
    (ws.cwd / "conda.yml").write_text("dependencies: [pip: [one==1]]\n")
    made = Environment.from_conda_specification("of.file", str(ws.cwd / "conda.yml"))
    made.environment_variables["A"] = "b"
    assert made.register(v1).version == "1" == made.register(workspace=v1).version
    (ws.cwd / "conda.yml").write_text("dependencies: [pip: [two==2]]\n")
    assert made.register(v1).version == "2" and list(v1.environments) == ["of.file"]
    for version, text in ((None, "two"), (1, "one")):
        found = Environment.get(Workspace.from_config(), "of.file", version)
        assert text in Path(found._job()["conda_file"]).read_text() and found.environment_variables == {"A": "b"}
    assert Environment.get(v1, "AzureML-Curated").version is None
    for name, version, told in (("of.file", 7, "no version 7; it has: 1, 2"), ("../x", None, "no name")):
        with pytest.raises(UserErrorException, match=told):
            Environment.get(v1, name, version) if version else Environment(name).register(v1)


@local_only
def test_a_script_for_spark_and_its_output(ws, v1):  # noqa: F811
    from sluice.azureml._job import script_job

    script(ws, "prep.py", "pass")
    run = RunConfiguration(framework="pyspark")
    run.target = "pool"
    run.environment.python.conda_dependencies.add_pip_package("azureml-core==1.20.0")
    output = HDFSOutputDatasetConfig(destination=(v1.get_default_datastore(), "test")).read_delimited_files()
    output = output.register_on_complete("made")
    config = ScriptRunConfig("code", "prep.py", ["--to", output], run)
    with pytest.raises(UserErrorException, match="no 'spark.driver.memory'"):
        script_job(config)
    run.spark.configuration.update({"spark.driver.memory": "1g", "spark.driver.cores": 2, "spark.executor.memory": "1g",
                                    "spark.executor.cores": 1, "spark.executor.instances": 1, "spark.x": "y"})  # fmt: skip
    job = script_job(config)
    assert (job["type"], job["compute"], job["entry"], job["conf"]) == (
        "spark",
        "pool",
        {"file": "prep.py"},
        {"spark.x": "y"},
    )
    assert (job["driver_memory"], job["driver_cores"], job["num_executors"]) == ("1g", 2, 1)
    (entry,) = job["outputs"].values()
    assert (entry["mode"], entry["type"], entry["name"]) == ("hdfs", "mltable", "made")
    with pytest.raises(UserErrorException, match="partition_format is of tables"):
        OutputFileDatasetConfig("o", partition_format="{x}/*.csv")._job()


@local_only
def test_a_picture_in_a_run(ws, v1):  # noqa: F811
    script(ws, "draw.py", """
        from azureml.core import Run
        class Plot:
            def savefig(self, path):
                open(path, "w").write("picture")
        run = Run.get_context()
        run.log_image("drawn", plot=Plot())
    """)  # fmt: skip
    run = Experiment(v1, "draw").submit(ScriptRunConfig("code", "draw.py"))
    finished(run)
    assert run.get_metrics() == {"drawn": "outputs/drawn.png"} and "outputs/drawn.png" in run.get_file_names()
