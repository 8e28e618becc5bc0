# SPDX-License-Identifier: Apache-2.0
"""Job files as people have them: what they say runs, or is refused at its place with what to write."""

import json
import shutil

import pytest
from conftest import BAD_INPUT, NOT_FOUND, local_only
from jobs import run_job, show, std_log, write_job

pytestmark = local_only

TRAIN = """\
    $schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
    name: train_model
    version: 3
    type: command
    display_name: Train a model
    is_deterministic: false
    inputs:
      training_data: {type: uri_folder}
      epochs: {type: integer, default: 2, min: 1, max: 100}
      rate: {type: number, default: 0.1}
      schedule: {type: string, default: fixed, enum: [fixed, decay]}
      verbose: {type: boolean, optional: true}
    outputs:
      model_output: {type: custom_model}
    code: ./src
    environment: azureml:AzureML-sklearn-1.0@latest
    command: >-
      sh train.sh ${{inputs.training_data}} ${{outputs.model_output}} ${{inputs.epochs}} ${{inputs.schedule}}
      $[[--verbose ${{inputs.verbose}}]]
"""

INNER = """\
    $schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
    type: pipeline
    name: train_and_pack
    version: 1
    inputs:
      data: {type: uri_folder}
      epochs: {type: integer, default: 5}
    outputs:
      packed: {type: uri_folder}
    jobs:
      train:
        type: command
        component: azureml:train_model@latest
        inputs:
          training_data: ${{parent.inputs.data}}
          epochs: ${{parent.inputs.epochs}}
          schedule: decay
        outputs:
          model_output: {type: custom_model}
      pack:
        type: command
        command: cp ${{inputs.model}}/model.txt ${{outputs.box}}/packed.txt
        inputs:
          model: ${{parent.jobs.train.outputs.model_output}}
        outputs:
          box: ${{parent.outputs.packed}}
"""

OUTER = """\
    $schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
    type: pipeline
    display_name: Nested
    experiment_name: nested
    inputs:
      raw: {type: uri_folder, path: ./data}
    outputs:
      result: {type: uri_folder, name: packed_model}
    settings:
      default_compute: azureml:cpu-cluster
    jobs:
      clean:
        type: command
        component:
          type: command
          inputs: {raw: {type: uri_folder}}
          outputs: {tidy: {type: uri_folder}}
          command: sort ${{inputs.raw}}/x.txt > ${{outputs.tidy}}/x.txt
        inputs: {raw: "${{parent.inputs.raw}}"}
      models:
        type: pipeline
        component: ./inner.yml
        inputs: {data: "${{parent.jobs.clean.outputs.tidy}}", epochs: 7}
        outputs: {packed: "${{parent.outputs.result}}"}
      judge:
        type: command
        command: cat ${{inputs.it}}/packed.txt
        inputs: {it: "${{parent.jobs.models.outputs.packed}}"}
        resources: {instance_type: Standard_D2, instance_count: 1}
"""


def configure(ws, **more):
    ws.config.write_text(json.dumps({**json.loads(ws.config.read_text()), **more}))


@pytest.fixture
def nested(ws):
    write_job(ws, "c/train.yml", TRAIN)
    write_job(ws, "c/src/train.sh", 'echo "$3 $4 $(cat $1/x.txt | tr "\\n" " ")" > $2/model.txt\n')
    write_job(ws, "inner.yml", INNER)
    write_job(ws, "data/x.txt", "b\na\n")
    configure(ws, components={"train_model": "c/train.yml"})
    return write_job(ws, "outer.yml", OUTER)


def test_a_pipeline_in_a_pipeline_runs_as_one(ws, nested):
    run = run_job(ws, nested)
    steps = {c["step"]: c["run"] for c in show(ws, run)["children"]}
    assert list(steps) == ["clean", "models.train", "models.pack", "judge"]
    assert std_log(ws, steps["judge"]) == "7 decay a b \n"
    assert ws.versions("packed_model") == ["1"]
    assert sum("cpu-cluster" in n for n in show(ws, run)["notes"]) == 1


def test_checking_makes_nothing_and_strict_refuses_what_would_differ(ws, nested):
    done = ws.run("job", "validate", nested)
    assert ws.run("job", "validate", "-f", nested).out == ws.run("job", "validate", "--file", nested).out == done.out
    ws.run("job", "validate", code=2)
    ws.run("job", "validate", nested, "-f", nested, code=2)
    assert "4 steps" in done.out and "cpu-cluster" in done.err and "resources" in done.err
    assert ws.json("job", "list") == []
    for verb in (["job", "validate", nested], ["job", "create", "-f", nested]):
        err = ws.run(*verb, "--strict", code=BAD_INPUT).err
        assert "outer.yml:" in err and '"computes": {"cpu-cluster"' in err
    configure(ws, computes={"cpu-cluster": {"type": "local"}})
    err = ws.run("job", "validate", nested, "--strict", code=BAD_INPUT).err
    assert "c/train.yml:16:1'" in err and "AzureML-sklearn-1.0" in err and '"environments"' in err
    configure(ws, environments={"AzureML-sklearn-1.0": {"conda_file": {"dependencies": []}}})
    assert "cpu-cluster" not in ws.run("job", "validate", nested, "--strict").err


def test_a_job_is_created_of_a_file_with_or_without_its_option(ws):
    path = write_job(ws, "j.yml", "command: echo here\n")
    for i, given in enumerate(([path], ["--file", path], ["-f", path])):
        assert ws.run("job", "create", *given, "--name", f"r{i}", "--stream").out.startswith(f"run r{i}\n")
        assert show(ws, f"r{i}")["status"] == "Completed"
    for given in ([], [path, path], [path, "--file", path]):
        ws.run("job", "create", *given, code=2)
    assert len(ws.json("job", "list")) == 3


def test_an_image_that_cannot_run_is_refused_only_when_asked(ws):
    path = write_job(ws, "j.yml", "type: command\ncommand: echo ran\nenvironment: {image: 'example/none:1'}\n")
    (ws.cwd / "bin").mkdir()
    for name in ("sluice", "bash", "sh"):
        (ws.cwd / "bin" / name).symlink_to(shutil.which(name))
    nothing = {"PATH": str(ws.cwd / "bin")}  # and so neither docker nor podman
    assert "j.yml:3:1'" in ws.run("job", "validate", path, "--strict", code=BAD_INPUT, env=nothing).err
    assert "image" in ws.run("job", "validate", path, env=nothing).err


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("type: command\ncommand: x\ncomputte: x\n", "3:1", "did you mean 'compute'"),
        ("type: sweep\ntrial: {}\n", "1:1", "'sweep' is not supported"),
        ("type: command\ncommand: x\nentry: {file: x.py}\n", "3:1", "'type: spark'"),
        ("type: command\ncommand: x\nadditional_includes: [../lib]\n", "3:1", "code folder"),
        ("type: command\ncommand: x\ndistribution: {type: pytorch, process_count_per_instance: 8}\n", "3:31", "one process"),
        ("type: pipeline\njobs: {a: {type: parallel, component: ./x.yml}}\n", "2:12", "'parallel'"),
        ("type: pipeline\njobs: {a: {component: 'azureml:nn@latest'}}\n", "2:12", '"components": {"nn": "FILE.yml"}'),
        ("type: pipeline\njobs: {a: {component: ./c/train.yml, inputs: {training_data: ./data, epochs: 0}}}\n",
         "2:70", "below 1, its minimum"),
        ("type: pipeline\njobs: {a: {component: ./c/train.yml, inputs: {training_data: ./data, schedule: no}}}\n",
         "2:70", "'fixed', 'decay'"),
        ("type: pipeline\njobs: {a: {component: ./c/train.yml, inputs: {training_data: ./data, verbose: 2}}}\n",
         "2:70", "true or false"),
        ("type: pipeline\njobs: {a: {component: ./c/train.yml, inputs: {}}}\n", "2:46", "gets no value"),
        ("type: command\ncommand: x\noutputs:\n  o:\n    type: uri_folder\n    path: cleaned/x\n",
         "6:5", "is no place to write to"),
        ("type: command\ncommand: x\noutputs:\n  o: {path: 'azureml://datastores/workspaceblobstore/paths/${{namex}}'}\n",
         "4:7", "may stand in braces"),
        ("type: pipeline\noutputs: {o: {path: x/y}}\njobs:\n"
         "  a: {command: x, outputs: {p: '${{parent.outputs.o}}'}}\n", "2:15", "is no place to write to"),
        ("type: pipeline\nsettings: {continue_on_step_failure: perhaps}\njobs: {a: {command: x}}\n",
         "2:12", "'continue_on_step_failure' is true or false"),
        ("type: pipeline\nsettings: {force_rerun: 1}\njobs: {a: {command: x}}\n", "2:12", "'force_rerun' is true or"),
        ("type: command\ncommand: x\ninputs:\n  i: {type: uri_folder, optional: perhaps}\n",
         "4:25", "'optional' is true or false"),
        ("type: command\ncommand: x\noutputs: {o: {overwrite: 'yes'}}\n", "3:15", "'overwrite' is true or false"),
        ("type: command\ncommand: x\noutputs: {o: {allow_empty: maybe}}\n", "3:15", "'allow_empty' is true or"),
        ("type: uri_folder\npath: ./data\n", "1:1", "sluice data create"),
        ("type: azure_blob\nname: x\n", "1:1", "sluice datastore create"),
        ("type: amlcompute\nname: x\n", "1:1", "sluice compute create"),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_their_place(ws, nested, text, place, says):
    path = write_job(ws, "bad.yml", text)
    err = ws.run("job", "validate", path, code=BAD_INPUT).err
    assert f"bad.yml:{place}'" in err and says in err and err.count("\n") == 1, err


@pytest.mark.parametrize("verb", [("job", "validate"), ("job", "create", "-f")])
def test_data_that_is_not_there_is_told_where_it_is_written(ws, verb):
    text = """\
        type: pipeline
        inputs:
          raw:
            type: uri_folder
            path: azureml:salse@latest
        jobs:
          a:
            command: ls ${{inputs.raw}}
            inputs:
              raw: ${{parent.inputs.raw}}
    """
    err = ws.run(*verb, write_job(ws, "bad.yml", text), code=NOT_FOUND).err
    assert "bad.yml:5:5'" in err and "salse" in err and ws.json("job", "list") == []


def test_one_process_of_a_distributed_command_finds_its_variables(ws):
    text = "type: command\ncommand: echo $RANK/$WORLD_SIZE at $MASTER_ADDR\ndistribution: {type: pytorch}\n"
    assert std_log(ws, run_job(ws, write_job(ws, "j.yml", text))) == "0/1 at 127.0.0.1\n"


@pytest.mark.parametrize(
    ("verb", "text", "place", "says"),
    [
        ("data", "name: d\ntype: uri_foldr\npath: ./data\n", "2:1", "use uri_file, uri_folder or mltable"),
        ("data", "name: d\npaht: ./data\n", "2:1", "did you mean 'path'"),
        ("data", "name: [d]\npath: ./data\n", "1:1", "'name' is not text"),
        ("data", "name: d\npath: ./data\ntags: [a]\n", "3:1", "not a map"),
        ("datastore", "name: b\ntype: azure_blob\naccount_name: a\ncontainr_name: c\n", "4:1", "'container_name'"),
    ],
)
def test_mistakes_in_other_files(ws, verb, text, place, says):
    path = write_job(ws, "asset.yml", text)
    err = ws.run(verb, "create", "--file", path, code=BAD_INPUT).err
    assert f"asset.yml:{place}'" in err and says in err and err.count("\n") == 1, err


def test_a_data_file_as_azure_ml_shows_it(ws):
    write_job(ws, "data/x.txt", "a\n")
    path = write_job(
        ws,
        "asset.yml",
        """\
        $schema: https://azuremlschemas.azureedge.net/latest/data.schema.json
        creation_context: {created_by: somebody}
        id: azureml:d:2
        name: d
        version: 2
        type: uri_folder
        path: ./data
        properties: {}
        tags: {a: b}
        """,
    )
    assert ws.run("data", "create", "--file", path).err.count("has no effect") == 3
    assert ws.json("data", "show", "d@2")["tags"] == {"a": "b"}
