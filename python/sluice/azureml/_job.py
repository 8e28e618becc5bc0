# SPDX-License-Identifier: Apache-2.0
"""Steps as job files of the command line have them.  All that is decided is decided by who runs them."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

from ._dataset import AbstractDataset, DatasetConsumptionConfig
from ._datastore import DataPath, DataPathComputeBinding, DataReference, place
from ._errors import UserErrorException
from ._outputs import OutputDatasetConfig, PipelineOutputFileDataset
from ._steps import CommandStep, PipelineParameter, PipelineStep, PythonScriptStep, SynapseSparkStep

_MODES = {"direct": "id", "mount": "ro_mount", "download": "download", "hdfs": "hdfs"}


def _variables() -> Any:
    """By which a step finds `azureml`, and the library that it loads."""
    names = str(Path(__file__).resolve().parent / "names")
    mine = [x for x in os.environ.get("PYTHONPATH", "").split(os.pathsep) if x and x != names]
    found = {"PYTHONPATH": os.pathsep.join([names, *mine])}
    for name in ("SLUICE_LIBRARY", "LD_LIBRARY_PATH"):
        if os.environ.get(name):
            found[name] = os.environ[name]
    return found


def _literal(value: Any) -> Any:
    """Text that is not to be looked for values in."""
    return str(value).replace("${{", "$${{").replace("$[[", "$$[[")


_TOLD = re.compile(r"Dataset(?:Consumption|Output)Config:([A-Za-z_][A-Za-z0-9_]*)")


def _quoted(text: str) -> str:
    return shlex.quote(_literal(text)) if text else ""


class _Translation:
    """One step."""

    def __init__(self, makers: Any, parameters: Any, step: Any) -> None:
        self.makers, self.parameters = makers, parameters
        self.named = {x.name: x for x in [*step._inputs, *step._outputs] if hasattr(x, "name")}
        self.mine = [x._origin for x in step._writes()]
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}

    # --- inputs and outputs ---

    def _input(self, x: Any) -> Any:
        """The name under which it is an input."""
        if isinstance(x, PipelineOutputFileDataset):
            x = x._as_input()
        if isinstance(x, OutputDatasetConfig):
            x = x.as_input(x.name)
        if _bound(x):
            x = DatasetConsumptionConfig(x[0].name, x[0], x[1].mode, x[1].path_on_compute)
        if isinstance(x, DataReference):
            mode = "download" if x.mode == "download" else "mount"
            self._put(x.name, {"path": place(x.datastore, x.path_on_datastore), "mode": _MODES[mode]})
            return x.name
        if isinstance(x, AbstractDataset):
            raise UserErrorException(f"{x!r} as an input needs a name and a mode: as_named_input('name').as_mount()")
        if not isinstance(x, DatasetConsumptionConfig):
            raise UserErrorException(f"{x!r} cannot be an input")
        entry = {"path": self._source(x), "mode": _MODES[x.mode]}
        if x.path_on_compute:
            entry["path_on_compute"] = x.path_on_compute
        self._put(x.name, entry)
        return x.name

    def _put(self, name: str, entry: Any) -> None:
        if self.inputs.setdefault(name, entry) != entry:
            raise UserErrorException(f"two inputs of a step are named '{name}'")

    def _source(self, x: Any) -> Any:
        data = x.dataset
        if isinstance(data, PipelineParameter):
            data = self._value(data)
        if isinstance(data, OutputDatasetConfig):
            maker = self.makers.get(data._origin)
            if maker is None:
                raise UserErrorException(
                    f"input '{x.name}' is output '{data.name}' of a step that is not in this pipeline"
                )
            return f"${{{{parent.jobs.{maker}.outputs.{data.name}}}}}"
        if isinstance(data, tuple):  # (workspace, name[, version])
            version = data[2] if len(data) > 2 else None
            return f"azureml:{data[1]}:{version}" if version not in (None, "latest") else f"azureml:{data[1]}@latest"
        if isinstance(data, DataPath):
            return place(data.datastore, data.path_on_datastore)
        return data._input

    def _output(self, x: Any) -> Any:
        x = x._data if isinstance(x, PipelineOutputFileDataset) else x
        if self.outputs.setdefault(x.name, x._job()) != x._job():
            raise UserErrorException(f"two outputs of a step are named '{x.name}'")
        return x.name

    def _value(self, parameter: Any) -> Any:
        return self.parameters.get(parameter.name, parameter.default_value)

    def _mine(self, x: Any) -> Any:
        x = getattr(x, "_data", x) if isinstance(x, PipelineOutputFileDataset) else x
        return isinstance(x, OutputDatasetConfig) and x._origin in self.mine

    def word(self, x: Any) -> Any:
        """An argument, as it stands in a command."""
        if isinstance(x, PipelineParameter):
            x = self._value(x)
        if self._mine(x):
            return f"${{{{outputs.{self._output(x)}}}}}"
        if _bound(x) or isinstance(x, _INPUTS):
            return f"${{{{inputs.{self._input(x)}}}}}"
        if isinstance(x, AbstractDataset):
            self._input(x)
        return self.text(x)

    def text(self, x: Any) -> str:
        """Text, in which inputs and outputs of the step may stand as str() and arg_val say them."""
        text, at, found = str(x), 0, []
        for m in _TOLD.finditer(text):
            if m[1] in self.named:
                found += [_quoted(text[at : m.start()]), self.word(self.named[m[1]])]
                at = m.end()
        return "".join([*found, _quoted(text[at:])]) or "''"

    def words(self, arguments: Any) -> str:
        return " ".join(self.word(x) for x in arguments)

    def declare(self, inputs: Any, outputs: Any) -> None:
        for x in inputs:
            if self._mine(x):
                self._output(x)
            else:
                self._input(x)
        for x in outputs:
            self._output(x)

    def job(self, kind: str, **more: Any) -> dict[str, Any]:
        entry = {"type": kind, **more}
        if self.inputs:
            entry["inputs"] = self.inputs
        if self.outputs:
            entry["outputs"] = self.outputs
        return {k: v for k, v in entry.items() if v is not None}


_INPUTS = (OutputDatasetConfig, DatasetConsumptionConfig, DataReference, PipelineOutputFileDataset)


def _bound(x: Any) -> Any:
    """Is it (parameter, how a step gets its path)?"""
    return isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], DataPathComputeBinding)


def _target(x: Any) -> Any:
    return getattr(x, "name", x)


def _folder(path: Any) -> Any:
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        raise UserErrorException(f"source_directory '{path}' is no folder")
    return path


def _check_script(folder: Any, script: Any) -> None:
    if not os.path.isfile(os.path.join(folder, script)):
        raise UserErrorException(f"script '{script}' is not in source_directory '{folder}'")


def _environment(runconfig: Any, environment: Any = None) -> Any:
    environment = environment or (runconfig and runconfig.environment)
    own = dict(getattr(environment, "environment_variables", None) or {})
    own.update(getattr(runconfig, "environment_variables", None) or {})
    return (environment._job() if environment else None), {k: _literal(v) for k, v in own.items()}


def _command_text(t: Any, command: Any) -> Any:
    return command if isinstance(command, str) else " ".join(
        x if isinstance(x, str) else t.word(x) for x in command
    )  # fmt: skip


def _command_job(t: Any, step: Any) -> Any:
    folder, runconfig = _folder(step.source_directory), step._runconfig
    environment, own = _environment(runconfig)
    own.update({f"AML_PARAMETER_{k}": _literal(t._value(v) if isinstance(v, PipelineParameter) else v)
                for k, v in step._params.items()})  # fmt: skip
    if isinstance(step, PythonScriptStep):
        _check_script(folder, step.script_name)
        text = f"python {shlex.quote(step.script_name)} {t.words(step._arguments)}".strip()
    else:
        text = _command_text(t, step.command)
    t.declare(step._inputs, step._outputs)
    target = _target(step._compute) or (runconfig and _target(runconfig.target))
    return t.job("command", code=folder, command=text, compute=target, environment=environment,
                 environment_variables={**own, **_variables()})  # fmt: skip


def _spark_job(t: Any, step: Any) -> Any:
    folder = _folder(step.source_directory)
    _check_script(folder, step.file)
    environment, own = _environment(step._runconfig, step._environment)
    args = t.words(step._arguments) or None
    t.declare(step._inputs, step._outputs)
    conf = {k: v for k, v in step._conf.items() if k not in ("spark.app.name",)}
    return t.job("spark", code=folder, entry={"file": step.file}, args=args, conf=conf or None, **step._sizes,
                 **{k: v for k, v in step._files.items() if v}, compute=_target(step._compute),
                 environment=environment, environment_variables={**own, **_variables()})  # fmt: skip


def step_job(step: Any, step_names: Any, makers: Any, parameters: Any) -> Any:
    t = _Translation(makers, parameters, step)
    entry = _spark_job(t, step) if step._spark else _command_job(t, step)
    entry["display_name"] = step.app_name if step._spark else step.name
    if not step._allow_reuse:
        entry["is_deterministic"] = False
    after = [step_names[x] for x in step._after if x in step_names]
    if after:
        entry["depends_on"] = list(dict.fromkeys(after))
    return entry


def _names(steps: Any) -> Any:
    """A name for each, as job files want them; equal ones get numbers."""
    found: dict[Any, Any] = {}
    for step in steps:
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", step.name)
        base = base if base[:1].isalpha() else f"step_{base}"
        name, n = base, 1
        while name in found.values():
            n += 1
            name = f"{base}_{n}"
        found[step] = name
    return found


def _makers(names: Any) -> Any:
    """Which step writes which output."""
    found: dict[Any, Any] = {}
    for step, name in names.items():
        for x in step._writes():
            if found.setdefault(x._origin, name) != name:
                raise UserErrorException(
                    f"output '{x.name}' is written by the steps '{found[x._origin]}' and '{name}': each needs its own"
                )
    return found


def pipeline_job(
    pipeline: Any, parameters: Any, *, continue_on_step_failure: bool = False, regenerate_outputs: bool = False
) -> dict[str, Any]:
    """The job file of a pipeline."""
    unknown = [x for x in parameters if x not in _parameters(pipeline._steps)]
    if unknown:
        raise UserErrorException(f"the pipeline has no parameter '{unknown[0]}'")
    names = _names(pipeline._steps)
    makers = _makers(names)
    settings = {"continue_on_step_failure": bool(continue_on_step_failure)}
    if regenerate_outputs:
        settings["force_rerun"] = True
    if pipeline._default_datastore is not None:
        settings["default_datastore"] = _target(pipeline._default_datastore)
    job = {"type": "pipeline", "description": pipeline.description, "settings": settings,
           "jobs": {name: step_job(step, names, makers, parameters) for step, name in names.items()}}  # fmt: skip
    return {k: v for k, v in job.items() if v is not None}


def _parameters(steps: Any) -> Any:
    found: dict[Any, Any] = {}
    for step in steps:
        candidates = [*step._arguments, *getattr(step, "_params", {}).values()]
        candidates += [x[0] if _bound(x) else getattr(x, "dataset", None) for x in [*step._inputs, *step._arguments]]
        found.update({x.name: x for x in candidates if isinstance(x, PipelineParameter)})
    return found


_SPARK = {"driver_memory": "spark.driver.memory", "driver_cores": "spark.driver.cores",
          "executor_memory": "spark.executor.memory", "executor_cores": "spark.executor.cores",
          "num_executors": "spark.executor.instances"}  # fmt: skip


def _pyspark(config: Any) -> SynapseSparkStep:
    """A ScriptRunConfig whose framework is Spark, as the step that says the same."""
    run = config.run_config
    conf = dict(run.spark.configuration)
    sizes: dict[str, Any] = {}
    for key, name in _SPARK.items():
        if name not in conf:
            raise UserErrorException(f"script '{config.script}': run_config.spark.configuration has no '{name}'")
        value = conf.pop(name)
        sizes[key] = str(value) if key.endswith("memory") else int(value)
    step = SynapseSparkStep(config.script, config.source_directory, run.target, arguments=config.arguments, conf=conf,
                            environment=run.environment, **sizes)  # fmt: skip
    step._runconfig = run
    return step


def _script_step(config: Any) -> PipelineStep:
    if config.command:
        return CommandStep(config.command, runconfig=config.run_config, source_directory=config.source_directory)
    if config.run_config.framework.lower() == "pyspark":
        return _pyspark(config)
    return PythonScriptStep(config.script, arguments=config.arguments, runconfig=config.run_config,
                            source_directory=config.source_directory)  # fmt: skip


def script_job(config: Any) -> Any:
    """The job file of a ScriptRunConfig."""
    step = _script_step(config)
    entry = step_job(step, {}, {}, {})
    if config.max_run_duration_seconds:
        entry["limits"] = {"timeout": int(config.max_run_duration_seconds)}
    return entry


__all__ = ["PipelineStep", "pipeline_job", "script_job", "step_job"]
