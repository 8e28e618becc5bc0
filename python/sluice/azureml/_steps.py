# SPDX-License-Identifier: Apache-2.0
"""Steps and pipelines."""

from __future__ import annotations

from typing import Any

from ._errors import Named, UserErrorException
from ._outputs import OutputDatasetConfig, PipelineOutputFileDataset


class PipelineParameter(Named):
    """A value of steps that Pipeline.submit(pipeline_parameters={...}) may set."""

    def __init__(self, name: str, default_value: Any) -> None:
        self.name, self.default_value = name, default_value

    def __str__(self) -> str:
        return f"PipelineParameter_Name:{self.name}_Default:{self.default_value}"


def _origins(inputs: Any) -> list[Any]:
    found = [getattr(x, "_data", getattr(x, "dataset", x)) for x in inputs]
    return [x._origin for x in found if isinstance(x, OutputDatasetConfig)]


class PipelineStep(Named):
    """What steps have in common."""

    _spark = False

    def __init__(
        self,
        name: str,
        inputs: Any = None,
        outputs: Any = None,
        arguments: Any = None,
        compute_target: Any = None,
        allow_reuse: bool = True,
    ) -> None:
        self.name, self._arguments = name, list(arguments or [])
        self._inputs = list(inputs or [])
        self._outputs = [x._data if isinstance(x, PipelineOutputFileDataset) else x for x in outputs or []]
        self._compute, self._allow_reuse = compute_target, allow_reuse
        self._after: list[PipelineStep] = []
        for x in self._outputs:
            if not isinstance(x, OutputDatasetConfig):
                raise UserErrorException(f"step '{name}': {x!r} cannot be an output")
        for x in self._writes():
            x._origin.step = self

    def _reads(self) -> list[Any]:
        """The origins of outputs of others that are its inputs."""
        return _origins(self._inputs)

    def _writes(self) -> list[Any]:
        """Its outputs: those it was given, and those that stand in its arguments and are no inputs."""
        reads = self._reads()
        seen = [x._data if isinstance(x, PipelineOutputFileDataset) else x for x in self._arguments]
        more = [x for x in seen if isinstance(x, OutputDatasetConfig) and x._origin not in reads]
        return [*self._outputs, *more]

    def run_after(self, step: Any) -> Any:
        """Not before that one has ended, although nothing of its data is needed."""
        self._after.append(step)
        return self


class StepSequence(Named):
    """Steps one after the other."""

    def __init__(self, steps: Any = None) -> None:
        self.steps = list(steps or [])
        for before, after in zip(self.steps, self.steps[1:]):
            for x in _flat(after):
                for y in _flat(before):
                    x.run_after(y)

    def __iter__(self) -> Any:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def _flat(steps: Any) -> list[Any]:
    if isinstance(steps, PipelineStep):
        return [steps]
    return [y for x in steps for y in _flat(x)]


class PythonScriptStep(PipelineStep):
    """A script of a folder."""

    def __init__(
        self,
        script_name: Any,
        name: Any = None,
        arguments: Any = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        params: Any = None,
        source_directory: Any = None,
        allow_reuse: bool = True,
        version: Any = None,
        hash_paths: Any = None,
    ) -> None:
        if not script_name:
            raise UserErrorException("a PythonScriptStep needs a script_name")
        self.script_name, self.source_directory = script_name, source_directory or "."
        self._runconfig, self._version, self._params = runconfig, version, dict(params or {})
        super().__init__(name or script_name, inputs, outputs, arguments, compute_target, allow_reuse)


class CommandStep(PipelineStep):
    """A command in a folder."""

    def __init__(
        self,
        command: Any = None,
        name: Any = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        params: Any = None,
        source_directory: Any = None,
        allow_reuse: bool = True,
        version: Any = None,
    ) -> None:
        if not command:
            raise UserErrorException("a CommandStep needs a command")
        self.command, self.source_directory = command, source_directory or "."
        self._runconfig, self._version, self._params = runconfig, version, dict(params or {})
        words = command if isinstance(command, list) else []
        first = next((x for x in words if isinstance(x, str)), "command")
        text = command if isinstance(command, str) else first
        super().__init__(name or text.split()[0], inputs, outputs, words, compute_target, allow_reuse)


_SIZES = {
    "driver_memory": str,
    "driver_cores": int,
    "executor_memory": str,
    "executor_cores": int,
    "num_executors": int,
}


class SynapseSparkStep(PipelineStep):
    """A script for Spark."""

    _spark = True

    def __init__(
        self,
        file: Any,
        source_directory: Any,
        compute_target: Any,
        driver_memory: Any,
        driver_cores: Any,
        executor_memory: Any,
        executor_cores: Any,
        num_executors: Any,
        name: Any = None,
        app_name: Any = None,
        environment: Any = None,
        arguments: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        conf: Any = None,
        py_files: Any = None,
        jars: Any = None,
        files: Any = None,
        allow_reuse: bool = True,
        version: Any = None,
    ) -> None:
        sizes = {"driver_memory": driver_memory, "driver_cores": driver_cores, "executor_memory": executor_memory,
                 "executor_cores": executor_cores, "num_executors": num_executors}  # fmt: skip
        for key, kind in _SIZES.items():
            if not isinstance(sizes[key], kind) or isinstance(sizes[key], bool):
                raise UserErrorException(f"step '{name or file}': {key} is {sizes[key]!r}, not {kind.__name__}")
        if not file or not source_directory:
            raise UserErrorException("a SynapseSparkStep needs a file and its source_directory")
        if getattr(compute_target, "name", compute_target) == "local":
            raise UserErrorException(f"step '{name or file}': compute 'local' has no Spark")
        for x in inputs or []:
            if getattr(x, "mode", None) not in ("direct", "hdfs"):
                raise UserErrorException(
                    f"step '{name or file}': input '{getattr(x, 'name', x)}' is to be as_hdfs() or as_direct()"
                )
        for x in outputs or []:
            if getattr(x, "mode", None) != "hdfs":
                raise UserErrorException(f"step '{name or file}': an output is an HDFSOutputDatasetConfig")
        self.file, self.source_directory, self._sizes = file, source_directory, sizes
        self.app_name, self._environment, self._version = app_name or name or file, environment, version
        self._runconfig: Any = None
        self._conf, self._files = dict(conf or {}), {"py_files": py_files, "jars": jars, "files": files}
        super().__init__(name or file, inputs, outputs, arguments, compute_target, allow_reuse)


class Pipeline(Named):
    """Steps, in the order of what they need from one another."""

    def __init__(
        self,
        workspace: Any,
        steps: Any,
        description: Any = None,
        default_datastore: Any = None,
        default_source_directory: Any = None,
        **_: Any,
    ) -> None:
        self.workspace, self.description, self._default_datastore = workspace, description, default_datastore
        self._steps: list[PipelineStep] = []
        for x in _flat(steps):
            if x not in self._steps:
                self._steps.append(x)
        made = [x._origin for step in self._steps for x in step._writes()]
        for step in self._steps:  # which grows by the steps that make what others read
            for x in _origins([*step._inputs, *step._arguments]):
                if x not in made and x.step:
                    self._steps.append(x.step)
                    made += [y._origin for y in x.step._writes()]
        if not self._steps:
            raise UserErrorException("a pipeline needs steps")

    def validate(self) -> list[Any]:
        """What is wrong with it, found by submit() as well: a list of texts."""
        from ._job import pipeline_job

        try:
            pipeline_job(self, {})
        except UserErrorException as why:
            return [str(why)]
        return []

    def submit(
        self,
        experiment_name: Any,
        pipeline_parameters: Any = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
        tags: Any = None,
        **_: Any,
    ) -> Any:
        """Starts it, and returns its run at once."""
        from ._run import Experiment

        return Experiment(self.workspace, experiment_name).submit(
            self,
            tags,
            pipeline_parameters=pipeline_parameters,
            continue_on_step_failure=continue_on_step_failure,
            regenerate_outputs=regenerate_outputs,
        )
