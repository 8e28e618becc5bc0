# SPDX-License-Identifier: Apache-2.0
"""Experiments and runs, from outside and from inside."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from typing import Any

import sluice

from . import _said
from ._dataset import Dataset
from ._errors import (
    ActivityFailedException,
    ExperimentExecutionException,
    Named,
    RunEnvironmentException,
    UserErrorException,
)


class Experiment(Named):
    """A name that runs share."""

    def __init__(self, workspace: Any, name: str, **_: Any) -> None:
        self.workspace, self.name = workspace, name

    @staticmethod
    def list(workspace: Any, **_: Any) -> list[Any]:
        return list(workspace.experiments.values())

    def submit(self, config: Any, tags: Any = None, **parameters: Any) -> Any:
        """Starts a ScriptRunConfig or a Pipeline; returns its run at once."""
        from ._environment import ScriptRunConfig
        from ._job import pipeline_job, script_job
        from ._steps import Pipeline

        if isinstance(config, Pipeline):
            settings = ("continue_on_step_failure", "regenerate_outputs")
            job = pipeline_job(
                config,
                parameters.get("pipeline_parameters") or {},
                **{k: parameters[k] for k in settings if k in parameters},
            )
        elif isinstance(config, ScriptRunConfig):
            job = script_job(config)
        else:
            raise UserErrorException(f"what is submitted is a ScriptRunConfig or a Pipeline, not {config!r}")
        job.update({"experiment_name": self.name}, **({"tags": {k: str(v) for k, v in tags.items()}} if tags else {}))
        return _made(self, _submit(self.workspace.sluice, job, self.name))

    def get_runs(self, *_: Any, **__: Any) -> Any:
        """The newest first."""
        found = [x for x in self.workspace._runs() if (x.get("experiment") or "Default") == self.name]
        return (_made(self, x["run"]) for x in found)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name}, Workspace: {self.workspace.name})"


def _submit(ws: Any, job: Any, name: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = os.path.join(folder, "job.yml")
        with open(path, "w") as f:
            json.dump(job, f)
        try:
            return ws.submit(path).id
        except sluice.Error as why:
            raise ExperimentExecutionException(str(why).replace(path, f"experiment '{name}'")) from why


def _made(experiment: Any, run_id: Any) -> Any:
    record = experiment.workspace.sluice.run(run_id).record
    kind = PipelineRun if record.get("type") == "pipeline" else StepRun if record.get("parent") else Run
    return kind(experiment, run_id)


class Run(Named):
    """A run.  In a step, `Run.get_context()` is its own."""

    def __init__(self, experiment: Any, run_id: Any, **_: Any) -> None:
        self.experiment, self.id = experiment, run_id

    @staticmethod
    def get_context(allow_offline: bool = True, used_for_context_manager: bool = False, **_: Any) -> Any:
        from . import _inside

        run_id = os.environ.get("AZUREML_RUN_ID")
        if run_id:
            return _inside.Inside(run_id)
        if not allow_offline:
            raise RunEnvironmentException("this is not inside a run: AZUREML_RUN_ID is not set")
        return _inside._OfflineRun()

    @staticmethod
    def get(workspace: Any, run_id: Any) -> Any:
        try:
            record = workspace.sluice.run(run_id).record
        except sluice.NotFound as why:
            raise UserErrorException(str(why)) from why
        return _made(Experiment(workspace, record.get("experiment") or "Default"), run_id)

    @property
    def workspace(self) -> Any:
        return self.experiment.workspace

    @property
    def _run(self) -> Any:
        return self.workspace.sluice.run(self.id)

    @property
    def _record(self) -> Any:
        return self._run.record

    # --- what it is ---

    @property
    def _run_id(self) -> str:
        return str(self.id)

    @property
    def status(self) -> Any:
        return self._run.status

    def get_status(self) -> Any:
        return self.status

    @property
    def display_name(self) -> Any:
        return self._record.get("display_name") or self.id

    @property
    def name(self) -> Any:
        return self._record.get("step") or self.id

    @property
    def number(self) -> Any:
        ids = [x["run"] for x in reversed(self.workspace._runs())]
        above = self._record.get("parent")
        return 1 + ids.index(self.id if self.id in ids or not above else above)

    @property
    def type(self) -> Any:
        return "azureml.PipelineRun" if self._record.get("type") == "pipeline" else "azureml.scriptrun"

    @property
    def tags(self) -> Any:
        return self.get_tags()

    def get_tags(self) -> dict[str, Any]:
        return {**(self._record.get("tags") or {}), **self._told("tags")}

    def tag(self, key: str, value: Any = None) -> None:
        self.set_tags({key: value})

    def set_tags(self, tags: Any) -> None:
        """Kept beside the record, which never changes."""
        _said.say(self._said_in, {"tags": {k: None if v is None else str(v) for k, v in tags.items()}})

    @property
    def properties(self) -> Any:
        return self.get_properties()

    def get_properties(self) -> Any:
        return self._told("properties")

    def add_properties(self, properties: Any) -> None:
        """A property is said once: one that has another value is an error."""
        have = self.get_properties()
        for k, v in properties.items():
            if have.get(k, str(v)) != str(v):
                raise UserErrorException(f"run '{self.id}' has property '{k}' already, as '{have[k]}'")
        _said.say(self._said_in, {"properties": {k: str(v) for k, v in properties.items()}})

    @property
    def _said_in(self) -> Any:
        return os.path.join(self._record["directory"], _said.TOLD)

    def _told(self, what: str) -> Any:
        return _said.told(self._said_in, what)

    @property
    def parent(self) -> Any:
        above = self._record.get("parent")
        return above and _made(self.experiment, above)

    def get_portal_url(self) -> str:
        return f"file://{self._record['directory']}"

    def get_detailed_status(self) -> dict[str, Any]:
        return {"status": self.get_status(), "details": self._record.get("reason")}

    def get_details(self) -> dict[str, Any]:
        r = self._record
        error = {"error": {"message": r.get("reason")}} if r.get("reason") else {}
        states = {x["status"]: x["time"] for x in r.get("states", [])}
        return {"runId": self.id, "target": r.get("compute"), "status": r["status"],
                "startTimeUtc": r.get("started") or states.get("Running"), "endTimeUtc": r.get("ended"),
                "properties": self.get_properties(), "inputDatasets": r.get("inputs") or [], "outputDatasets": self._written(r),
                "runDefinition": r.get("spec"), "logFiles": self._logs(r), **error}  # fmt: skip

    def _written(self, record: Any) -> Any:
        found = []
        for x in _outputs(record):
            if x.get("dataset"):
                found.append({"identifier": {"savedId": x["dataset"], "registeredName": x.get("registered")},
                              "outputType": "RunOutput", "outputDetails": {"outputName": x["name"]}})  # fmt: skip
        return found

    @staticmethod
    def _logs(record: Any) -> dict[str, Any]:
        """By the paths that Azure ML has."""
        folder = record.get("directory", "")
        return {os.path.relpath(path, folder): path for path in (record.get("logs") or {}).values()}

    @property
    def _files(self) -> Any:
        """The logs, and what the program left in its folder `outputs`."""
        record = self._record
        found, top = self._logs(record), os.path.join(record.get("directory", ""), "code")
        for folder, _, names in os.walk(os.path.join(top, "outputs")):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, top)] = path
        return found

    def get_file_names(self) -> list[Any]:
        return sorted(self._files)

    def download_file(self, name: str, output_file_path: Any = None, **_: Any) -> None:
        path = self._files.get(name)
        if path is None:
            raise UserErrorException(
                f"run '{self.id}' has no file '{name}'; it has: {', '.join(self.get_file_names())}"
            )
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(name))
        shutil.copyfile(path, target)

    def download_files(self, prefix: Any = None, output_directory: Any = None, **_: Any) -> None:
        """Those whose names begin so, by their names below a folder."""
        for name in self.get_file_names():
            if name.startswith(prefix or ""):
                target = os.path.join(output_directory or ".", name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                self.download_file(name, target)

    def get_all_logs(self, destination: Any = None) -> Any:
        folder = destination or os.getcwd()
        made = []
        for name in sorted(self._logs(self._record)):
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            self.download_file(name, target)
            made.append(target)
        return made

    def get_details_with_logs(self) -> dict[str, Any]:
        texts = {}
        for name, path in self._logs(self._record).items():
            with open(path, errors="replace") as f:
                texts[name] = f.read()
        return {**self.get_details(), "logFiles": texts}

    @staticmethod
    def list(experiment: Any, *_: Any, **__: Any) -> Any:
        return experiment.get_runs()

    def get_metrics(self, name: Any = None, **_: Any) -> Any:
        return _said.metrics(os.path.join(self._record["directory"], _said.METRICS), name)

    def get_children(self, recursive: bool = False, **_: Any) -> Any:
        return (_made(self.experiment, x.id) for x in self._run.children)

    # --- its life ---

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True, **_: Any
    ) -> Any:
        """Until it has ended; a run that did not complete is an error, unless told otherwise."""
        if show_output:
            print(f"RunId: {self.id}\nLink: {self.get_portal_url()}\n", flush=True)
        try:
            self._follow(show_output)
        except (sluice.Failed, sluice.Canceled) as why:
            if raise_on_error:
                raise ActivityFailedException(str(why)) from why
        if show_output:
            print(f"\nExecution Summary\n=================\nRunId: {self.id}\nStatus: {self.status}", flush=True)
        return self.get_details()

    def _follow(self, show_output: Any) -> None:
        if not show_output:
            self._run.wait()
        else:
            self._run.wait(_show, output=True)

    def cancel(self) -> None:
        self._run.cancel()

    def __eq__(self, other: Any) -> Any:
        return isinstance(other, Run) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name}, Id: {self.id}, Type: {self.type}, Status: {self.status})"


def get_run(experiment: Any, run_id: Any, **_: Any) -> Any:
    """The run of that id."""
    return Run.get(experiment.workspace, run_id)


def _show(event: Any) -> None:
    if "output" in event:
        sys.stdout.write(event["output"])
        sys.stdout.flush()


def _outputs(record: Any) -> Any:
    """As a list, each with its name."""
    found = record.get("outputs") or []
    if isinstance(found, dict):
        found = [{"name": k, **v} for k, v in found.items()]
    return found


class OutputData(Named):
    """What a step wrote."""

    def __init__(self, run: Any, name: str) -> None:
        self._run_of, self.name = run, name
        self._data = run._run.output(name)

    @property
    def path_on_datastore(self) -> Any:
        uri = (self._data.record.get("uris") or [{}])[0]
        short = uri.get("short") or uri.get("datastore") or next(iter(uri.values()), "")
        return short.partition("/paths/")[2] or short

    def as_dataset(self) -> Any:
        return Dataset.get_by_id(self._run_of.workspace, self._data.id)

    def download(self, local_path: Any, overwrite: Any = None, show_progress: Any = None, **_: Any) -> Any:
        """To a folder; how many files there are."""
        view = self._data.as_download(os.path.abspath(local_path), policy="merge" if overwrite else "conflict")
        return view.totals.files


class StepRun(Run):
    """The run of a step of a pipeline."""

    def get_status(self) -> Any:
        return _finished(self.status)

    @property
    def is_reused(self) -> bool:
        """Was an earlier run of the same step taken instead?"""
        return bool(self._record.get("reused_from"))

    def get_outputs(self) -> dict[str, Any]:
        return {x["name"]: self.get_output_data(x["name"]) for x in _outputs(self._record)}

    def get_output_data(self, name: str) -> OutputData:
        return OutputData(self, name)

    get_output = get_output_data

    def get_stdout_log(self) -> Any:
        return self._text("stdout")

    def get_stderr_log(self) -> Any:
        return self._text("stderr")

    def get_job_log(self) -> Any:
        return self._text("std_log")

    def _text(self, which: Any) -> Any:
        path = (self._record.get("logs") or {}).get(which)
        if not path:
            return ""
        with open(path, errors="replace") as f:
            return f.read()


def _finished(status: Any) -> Any:
    return "Finished" if status == "Completed" else status


class PipelineRun(Run):
    """The run of a pipeline."""

    def get_status(self) -> Any:
        return _finished(self.status)

    def get_steps(self) -> Any:
        return self.get_children()

    def find_step_run(self, name: str) -> list[Any]:
        """Those of the steps of that name."""
        return [x for x in self.get_children() if name in (x.name, x.display_name)]

    def get_pipeline_output(self, pipeline_output_name: Any) -> Any:
        for step in self.get_children():
            if any(x["name"] == pipeline_output_name for x in _outputs(step._record)):
                return step.get_output_data(pipeline_output_name)
        raise UserErrorException(f"no step of run '{self.id}' has an output '{pipeline_output_name}'")

    def wait_for_completion(  # type: ignore[override]
        self, show_output: bool = True, timeout_seconds: Any = sys.maxsize, raise_on_error: bool = True, **_: Any
    ) -> Any:
        """Until it has ended: "Finished", or the status of its failure."""
        shown: dict[Any, Any] = {}

        def event(e: Any) -> None:
            step, status = e.get("step"), e.get("status")
            if "output" in e:
                _show(e)
            elif show_output and shown.get(step) != status:
                shown[step] = status
                print(f"StepRun( {step} ) Status: {status}" if step else f"PipelineRun Status: {status}", flush=True)
            if time.monotonic() > end:
                raise TimeoutError(f"run '{self.id}' has not ended within {timeout_seconds} seconds")

        end = time.monotonic() + min(timeout_seconds, 10**9)
        if show_output:
            print(f"PipelineRunId: {self.id}\nLink: {self.get_portal_url()}", flush=True)
        try:
            self._run.wait(event, output=show_output)
        except (sluice.Failed, sluice.Canceled) as why:
            if raise_on_error:
                raise ActivityFailedException(str(why)) from why
        if show_output:
            print(f"PipelineRun Execution Summary\n===\nPipelineRun Status: {self.get_status()}", flush=True)
        return self.get_status()
