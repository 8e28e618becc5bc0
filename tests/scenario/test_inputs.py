# SPDX-License-Identifier: Apache-2.0
"""What a step sees: modes of inputs and outputs, where they are, and the variables that say so."""

import pytest
from conftest import BAD_INPUT, NOT_FOUND, RUN_FAILED, is_mount, local_only, needs_fuse, read_tree
from jobs import outcome, run_job, show, std_log, write_job

pytestmark = local_only

STORE = "azureml://datastores/workspaceblobstore/paths"
MLTABLE = """\
type: mltable
paths:
  - pattern: ./parts/*.csv
transformations:
  - read_delimited: {delimiter: ","}
"""


def command(ws, shell, inputs="", outputs="", more="", name="job.yml"):
    lines = "\n".join(f"  {line}" for line in shell.strip().splitlines())
    inputs = f"inputs:\n{inputs}" if inputs else ""
    outputs = f"outputs:\n{outputs}" if outputs else ""
    return write_job(ws, name, f"type: command\ncommand: |\n{lines}\n{inputs}{outputs}{more}")


def table(ws):
    ws.put("t/MLTable", MLTABLE)
    ws.put("t/parts/1.csv", "a\n1\n")
    ws.put("t/parts/2.csv", "a\n2\n")
    ws.put("t/other/3.csv", "a\n3\n")


@needs_fuse
@pytest.mark.parametrize("mode", ["ro_mount", "download", "eval_mount", "eval_download"])
def test_a_table_is_its_folder_or_what_it_yields(ws, mode):
    table(ws)
    inputs = f"  t: {{type: mltable, mode: {mode}, path: '{STORE}/t'}}\n"
    run = run_job(ws, command(ws, "cd ${{inputs.t}} && find . -type f | sort", inputs))
    folder = ["./MLTable", "./other/3.csv", "./parts/1.csv", "./parts/2.csv"]
    assert std_log(ws, run).split() == (["./1.csv", "./2.csv"] if mode.startswith("eval") else folder)
    assert show(ws, run)["inputs"][0]["mode"] == mode


def test_a_registered_table_yields_what_it_was(ws):
    table(ws)
    ws.run("data", "create", "--name", "t", "--type", "mltable", "--path", ws.uri("t"))
    ws.put("t/parts/9.csv", "a\n9\n")
    inputs = "  t: {type: mltable, mode: eval_download, path: 'azureml:t:1'}\n"
    run = run_job(ws, command(ws, "cat ${{inputs.t}}/*.csv", inputs))
    assert std_log(ws, run).split() == ["a", "1", "a", "2"]


@needs_fuse
def test_a_table_that_another_step_wrote(ws):
    text = MLTABLE.replace("\n", "\\n")
    path = write_job(
        ws,
        "pipe.yml",
        f"""
        type: pipeline
        jobs:
          first:
            type: command
            command: mkdir $t/parts; echo a > $t/parts/1.csv; echo b > $t/2.csv; printf '{text}' > $t/MLTable
            outputs: {{t: {{type: mltable, mode: rw_mount}}}}
          second:
            type: command
            command: cd $t && find . -type f
            inputs: {{t: {{type: mltable, mode: eval_mount, path: "${{{{parent.jobs.first.outputs.t}}}}"}}}}
        """.replace(": mkdir", ": >-\n              mkdir"),
    )
    run = run_job(ws, path)
    steps = {c["step"]: c["run"] for c in show(ws, run)["children"]}
    assert std_log(ws, steps["second"]) == "./1.csv\n"


def test_a_folder_that_is_no_table_yields_nothing(ws):
    ws.put("d/f", "1")
    inputs = f"  t: {{type: mltable, mode: eval_download, path: '{STORE}/d'}}\n"
    run = run_job(ws, command(ws, "true", inputs), code=RUN_FAILED)
    assert "MLTable" in outcome(ws, run)["reason"]
    bad = inputs.replace("mltable", "uri_folder")
    assert "type: mltable" in ws.run("job", "create", "-f", command(ws, "true", bad), code=BAD_INPUT).err
    bad = inputs.replace("eval_download", "rw_mount")
    assert "mounted to be read" in ws.run("job", "create", "-f", command(ws, "true", bad)).err


@needs_fuse
@pytest.mark.parametrize("mode", ["ro_mount", "download"])
def test_a_place_that_was_asked_for(ws, mode):
    ws.put("d/f", "1")
    far = ws.cwd / "far/data"
    inputs = (
        f"  near: {{type: uri_folder, mode: {mode}, path: '{STORE}/d', path_on_compute: ./in/near}}\n"
        f"  far: {{type: uri_file, mode: {mode}, path: '{STORE}/d/f', path_on_compute: {far}}}\n"
    )
    run = run_job(ws, command(ws, "pwd; cat in/near/f; echo ${{inputs.near}} $far", inputs))
    code = ws.runs() / run / "code"
    assert std_log(ws, run).split() == [str(code), f"1{code}/in/near", f"{far}/f"]
    assert not far.exists() and not (code / "in/near").exists()
    far.mkdir()
    run_job(ws, command(ws, "cat $far", inputs))
    assert far.is_dir() and not is_mount(far) and not list(far.iterdir())
    (far / "mine").write_text("mine")
    run = run_job(ws, command(ws, "true", inputs), code=RUN_FAILED)
    assert f"'{far}' is not empty" in outcome(ws, run)["reason"]
    assert read_tree(far) == {"mine": b"mine"}


@needs_fuse
@pytest.mark.parametrize("mode", ["upload", "rw_mount"])
def test_a_place_that_was_asked_for_of_an_output(ws, mode):
    far = ws.cwd / "far/out"
    outputs = f"  o: {{mode: {mode}, name: o, path_on_compute: {far}}}\n"
    run_job(ws, command(ws, f"echo $o; echo x > {far}/f", outputs=outputs))
    assert ws.json("data", "show", "o@1")["files"] == 1 and not far.exists()
    far.mkdir()
    (far / "mine").write_text("mine")
    run = run_job(ws, command(ws, "echo y > $o/f", outputs=outputs), code=RUN_FAILED)
    assert "is not empty" in outcome(ws, run)["reason"] and read_tree(far) == {"mine": b"mine"}


def test_a_place_is_of_what_is_local(ws):
    inputs = f"  a: {{mode: direct, path: '{STORE}/d', path_on_compute: x}}\n"
    assert "path_on_compute" in ws.run("job", "create", "-f", command(ws, "true", inputs), code=BAD_INPUT).err
    inputs = f"  a: {{path: '{STORE}/d', path_on_compute: ../x}}\n"
    assert "no folder" in ws.run("job", "create", "-f", command(ws, "true", inputs), code=BAD_INPUT).err


def test_an_output_of_a_run_is_an_input_of_the_next(ws):
    """By name of the run, of what it was then: whatever came to the folder since."""
    outputs = f"  o: {{path: '{STORE}/fixed'}}\n"
    run = run_job(ws, command(ws, "mkdir $o/d; echo 1 > $o/d/f; echo 2 > $o/g", outputs=outputs))
    ws.put("fixed/later", "x")
    inputs = (
        f"  all: {{mode: download, path: 'azureml://jobs/{run}/outputs/o'}}\n"
        f"  part: {{type: uri_file, mode: download, path: 'azureml://jobs/{run}/outputs/o/paths/d/f'}}\n"
    )
    got = std_log(ws, run_job(ws, command(ws, "cd $all; find . -type f | sort; cat $part", inputs)))
    assert got.split() == ["./d/f", "./g", "1"]


def test_a_link_registers_what_it_points_to(ws):
    ws.put("d/a", "1")
    ws.register("src", "d")
    ws.put("d/b", "2")
    ident = ws.json("data", "show", "src@1")["dataset"]
    for version, text in enumerate([ident, "azureml:src:1", ws.uri("d")], 1):
        outputs = "  o: {mode: link, name: linked}\n"
        run = run_job(ws, command(ws, f"echo '{text}' > ${{{{outputs.o}}}}; env", outputs=outputs))
        env = dict(line.split("=", 1) for line in std_log(ws, run).splitlines() if "=" in line)
        assert env["AZUREML_LINK_DATASET_OUTPUTS"] == "o" and "AZUREML_DATASET_FILE_OUTPUTS" not in env
        record = ws.json("data", "show", f"linked@{version}")
        assert record["run"] == run and record["output"] == "o" and record["files"] == (2 if version == 3 else 1)
    assert ws.json("data", "show", "linked@1")["dataset"] == ident


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ("true", "nothing was linked"),
        ("echo > $o", "nothing was linked"),
        ("printf 'azureml:a:1\\nazureml:b:1\\n' > $o", "more than one line"),
        ("echo ./d > $o", "is relative"),
        ("echo d/e > $o", "is relative"),
        ("echo azureml:nothing:1 > $o", "nothing"),
        ("mkdir $o", "cannot read"),
    ],
)
def test_a_link_that_leads_nowhere(ws, shell, why):
    run = run_job(ws, command(ws, shell, outputs="  o: {mode: link, name: linked}\n"), code=RUN_FAILED)
    assert why in outcome(ws, run)["reason"]
    ws.run("data", "show", "linked", code=NOT_FOUND)


def test_a_link_that_may_be_empty_and_one_with_a_path(ws):
    run_job(ws, command(ws, "true", outputs="  o: {mode: link, name: linked, allow_empty: true}\n"))
    ws.run("data", "show", "linked", code=NOT_FOUND)
    bad = command(ws, "true", outputs=f"  o: {{mode: link, path: '{STORE}/x'}}\n")
    assert "a link" in ws.run("job", "create", "-f", bad, code=BAD_INPUT).err


def test_an_empty_input_is_told(ws):
    run = run_job(ws, command(ws, "true", outputs="  o: {name: none, allow_empty: true}\n"))
    assert "empty" not in std_log(ws, run)
    inputs = "  data: {mode: download, path: 'azureml:none:1'}\n"
    run = run_job(ws, command(ws, "ls $data", inputs))
    assert std_log(ws, run) == "sluice: input 'data' is empty: 'azureml:none:1' has no files\n"


@needs_fuse
def test_a_file_that_changed_below_a_mount_is_the_reason(ws):
    for name in ("a", "b", "c"):
        ws.put(f"d/{name}", "one")
    ws.register("d", "d")
    inputs = "  data: {type: uri_folder, path: 'azureml:d:1'}\n"
    job = command(ws, "cat $data/a; cat $data/b || cat $data/c", inputs)
    run_job(ws, job)
    for name in ("b", "c"):
        ws.put(f"d/{name}", "other bytes")
    run = run_job(ws, job, code=RUN_FAILED, env={"SLUICE_LOG": "error"})
    reason = show(ws, run)["reason"]
    assert reason.startswith("the step ended with exit status 1; 'd/b' in ")
    assert "has changed since it was resolved" in reason and reason.endswith("register a new version")
    lines = (ws.runs() / run / "system_logs/data_capability/data-capability.log").read_text().splitlines()
    assert [line.split("'")[1] for line in lines] == ["b", "c"]


@needs_fuse
@pytest.mark.parametrize("mode", ["upload", "rw_mount"])
def test_a_program_that_does_not_see_that_a_file_changed(ws, mode):
    ws.put("d/a", "one")
    ws.register("d", "d")
    inputs = "  data: {type: uri_folder, path: 'azureml:d:1'}\n"
    outputs = f"  o: {{mode: {mode}, name: counted}}\n"
    job = command(ws, "cat $data/a | wc -l > $o/n; echo done", inputs, outputs)
    run_job(ws, job)
    ws.put("d/a", "other bytes")
    run = run_job(ws, job, code=RUN_FAILED)
    reason = show(ws, run)["reason"]
    assert reason.startswith("the program did not look whether it could read its inputs: 'd/a' in ")
    assert "done\n" in std_log(ws, run) and ws.versions("counted") == ["1"]


@needs_fuse
def test_another_try_begins_with_an_empty_mount(ws):
    shell = """
    ls $o
    if [ ! -e ../tried ]; then touch ../tried; echo 1 > $o/first; (echo half; kill -9 $BASHPID) > $o/f; exit 3; fi
    echo 2 > $o/f
    """
    outputs = "  o: {mode: rw_mount, name: o}\n"
    more = "retry_settings: {max_retries: 2}\n"
    run = run_job(ws, command(ws, shell, outputs=outputs, more=more))
    assert "first" not in std_log(ws, run)
    ws.run("download", "o@1", ws.cwd / "got")
    assert read_tree(ws.cwd / "got") == {"f": b"2\n"}


@needs_fuse
def test_every_variable(ws):
    ws.put("d/f", "1")
    inputs = (
        f"  one: {{type: uri_file, mode: ro_mount, path: '{STORE}/d/f'}}\n"
        f"  two: {{type: uri_folder, mode: download, path: '{STORE}/d'}}\n"
        f"  three: {{type: uri_folder, mode: direct, path: '{STORE}/d'}}\n  n: 5\n"
    )
    outputs = "  a: {mode: rw_mount, allow_empty: true}\n  b: {allow_empty: true}\n"
    more = "environment_variables:\n  GOT: ${{inputs.n}}-${{inputs.one}}\n  OUT: ${{outputs.a}}\n"
    run = run_job(ws, command(ws, "env", inputs, outputs, more))
    env = dict(line.split("=", 1) for line in std_log(ws, run).splitlines() if "=" in line)
    at = ws.runs() / run
    assert env["one"] == f"{at}/inputs/one/f" and env["two"] == f"{at}/inputs/two" and env["three"].endswith("/paths/d")
    assert env["AZUREML_DATASET_ENVIRONMENT_VARS"] == "one:mount,two:download,three:direct"
    assert env["AZUREML_DATASET_FILE_OUTPUTS"] == "a;b"
    for name in ("one", "two", "three"):
        for key in (name.upper(), f"AZURE_ML_INPUT_{name}", f"AZUREML_DATAREFERENCE_{name}"):
            assert env[key] == env[name]
    for name in ("a", "b"):
        for key in (name.upper(), f"AZURE_ML_OUTPUT_{name}", f"AZURE_ML_OUTPUT_{name.upper()}"):
            assert env[key] == env[name] == f"{at}/outputs/{name}"
    assert env["GOT"] == f"5-{env['one']}" and env["OUT"] == env["a"]
    assert env["AZUREML_RUN_ID"] == run and env["AZUREML_ARM_WORKSPACE_NAME"] == "test"
    for name in ("SUBSCRIPTION", "RESOURCEGROUP", "PROJECT_NAME"):
        assert env[f"AZUREML_ARM_{name}"]
    for name in ("AZUREML_WORKSPACE_ID", "AZUREML_SERVICE_ENDPOINT", "AZUREML_RUN_TOKEN", "AZUREML_RUN_TOKEN_EXPIRY"):
        assert env[name]


@needs_fuse
@pytest.mark.parametrize("mode", ["upload", "rw_mount"])
def test_a_table_that_is_written(ws, mode):
    """Its columns, its partitions and what becomes of them are part of the version."""
    outputs = f"""\
  o:
    mode: {mode}
    name: o
    path: '{STORE}/t/{{run-id}}/{{output-name}}'
    delimited: {{delimiter: ";"}}
    partition_format: '{{year}}/part.csv'
    path_glob: '*/*.csv'
    transformations:
      - keep_columns: [year, a]
      - convert_column_types: [{{columns: a, column_type: float}}]
"""
    shell = (
        "mkdir $o/2019 && printf 'a;b\\n1;2\\n' > $o/2019/part.csv && echo x > $o/notes.txt && echo y > $o/2019/_x.csv"
    )
    run = run_job(ws, command(ws, shell, outputs=outputs))
    record = ws.json("data", "show", "o@1")
    assert record["type"] == "mltable" and record["files"] == 1 and record["run"] == run
    assert record["definition"]["paths"][0]["pattern"].endswith(f"/t/{run}/o/*/*.csv")
    steps = [next(iter(s)) for s in record["definition"]["transformations"]]
    assert [s for s in steps if s != "extract_columns_from_partition_format"] == [
        "read_delimited", "keep_columns", "convert_column_types",
    ]  # fmt: skip
    for wrong, why in (
        ("read_parquet: {}", "how it is read is said beside them"),
        ("keep_column: a", "keep_column"),
        ("keep_columns: 5", "keep_columns"),
    ):
        bad = command(ws, "true", outputs=outputs.replace("keep_columns: [year, a]", wrong))
        assert why in ws.run("job", "create", "-f", bad, code=BAD_INPUT).err
