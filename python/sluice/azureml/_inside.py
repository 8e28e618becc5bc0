# SPDX-License-Identifier: Apache-2.0
"""The run that a program is in, and the one of a program that is in none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from typing import Any

from . import _said
from ._dataset import Dataset, is_id
from ._errors import RunEnvironmentException, UserErrorException
from ._run import Experiment, Run
from ._workspace import Workspace


class _Logging(Run):
    """What a program says about its own run."""

    def log(self, name: str, value: Any, description: str = "", step: Any = None) -> None:
        self._say(name, value)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        for x in value:
            self._say(name, x)

    def log_row(self, name: str, description: Any = None, **columns: Any) -> None:
        self._say(name, columns)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        self._say(name, value)

    def log_image(self, name: str, path: Any = None, plot: Any = None, description: str = "") -> None:
        """A picture among the outputs: a file, or what a plot saves."""
        if (path is None) == (plot is None):
            raise UserErrorException(f"image '{name}' is either a path or a plot")
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            if plot is not None:
                path = os.path.join(folder, "plot.png")
                plot.savefig(path)
            target = f"outputs/{name}{os.path.splitext(path)[1]}"
            self.upload_file(target, path)
        self._say(name, target)

    def _log_json(self, name: str, value: Any, description: str = "") -> None:
        self._say(name, json.loads(value) if isinstance(value, str) else value)

    log_confusion_matrix = log_accuracy_table = log_residuals = log_predictions = _log_json

    def flush(self, timeout_seconds: int = 300) -> None:
        """What was logged is written already."""

    def complete(self, **_: Any) -> None:
        """The end of the program is the end of the run."""


class Inside(_Logging):
    """The run whose step this process is."""

    def __init__(self, run_id: Any) -> None:
        self.id = run_id
        self._experiment: Experiment | None = None

    @property
    def experiment(self) -> Any:
        if self._experiment is None:
            name = os.environ.get("AZUREML_EXPERIMENT_NAME", "Default")
            self._experiment = Experiment(Workspace.from_config(), name)
        return self._experiment

    @property
    def _folder(self) -> str:
        return os.path.dirname(os.environ.get("AZUREML_SERVICE_ENDPOINT", "").removeprefix("unix:")) or ".."

    @property
    def _record(self) -> dict[str, Any]:
        return {"run": self.id, "status": "Running", "directory": self._folder, "type": "command"}

    @property
    def status(self) -> str:
        return "Running"

    @property
    def parent(self) -> Any:
        root = os.environ.get("AZUREML_ROOT_RUN_ID")
        return Around(root) if root and root != self.id else None

    @property
    def input_datasets(self) -> Any:
        """By name: a path, or of an input in direct mode the dataset."""
        found = {}
        for pair in filter(None, os.environ.get("AZUREML_DATASET_ENVIRONMENT_VARS", "").split(",")):
            name, _, mode = pair.rpartition(":")
            value = os.environ.get(name, "")
            direct = mode == "direct" and is_id(value)
            found[name] = Dataset.get_by_id(self.workspace, value) if direct else value
        return found

    @property
    def output_datasets(self) -> Any:
        """By name: a path, or of a link what its dataset is told to."""
        files = os.environ.get("AZUREML_DATASET_FILE_OUTPUTS", "").split(";")
        links = os.environ.get("AZUREML_LINK_DATASET_OUTPUTS", "").split(";")
        found = {name: os.environ.get(name, "") for name in files if name}
        return found | {name: _Link(os.environ.get(name, "")) for name in links if name}

    def upload_file(self, name: str, path_or_stream: Any, **_: Any) -> None:
        """To the folder `outputs` of the run, which `sluice job download` fetches."""
        target = os.path.join(self._folder, "code", "outputs", name.removeprefix("outputs/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if hasattr(path_or_stream, "read"):
            data = path_or_stream.read()
            with open(target, "wb") as f:
                f.write(data.encode() if isinstance(data, str) else data)
        elif not (os.path.exists(target) and os.path.samefile(path_or_stream, target)):
            shutil.copyfile(path_or_stream, target)

    def upload_files(self, names: Any, paths: Any, **_: Any) -> None:
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: Any, **_: Any) -> None:
        for folder, _dirs, files in os.walk(path):
            for x in files:
                below = os.path.relpath(os.path.join(folder, x), path)
                self.upload_file(f"{name}/{below}", os.path.join(folder, x))

    def _say(self, name: str, value: Any) -> None:
        _said.say(os.path.join(self._folder, _said.METRICS), {"name": name, "value": _said.plain(value)})


class Around(Inside):
    """The run that it is a step of: what is said about that one stands in its folder, too."""

    @property
    def _folder(self) -> str:
        return os.path.join(os.path.dirname(super()._folder), self.id)

    @property
    def parent(self) -> Any:
        return None


class _Link:
    """An output that is a dataset which is there already."""

    def __init__(self, path: Any) -> None:
        self._path = path

    def link(self, dataset: Any) -> None:
        with open(self._path, "w") as f:
            f.write(f"{dataset.id}\n")


class _OfflineRun(_Logging):
    """No run: what is logged is printed."""

    def __init__(self) -> None:
        self.id = f"OfflineRun_{uuid.uuid4()}"
        self.input_datasets: dict[str, Any] = {}
        self.output_datasets: dict[str, Any] = {}
        self._values: dict[str, list[Any]] = {}
        self._notes: dict[str, dict[str, Any]] = {"tags": {}, "properties": {}}

    @property
    def experiment(self) -> None:
        raise RunEnvironmentException(
            "this is not inside a run, which alone has an experiment: AZUREML_RUN_ID is not set"
        )

    @property
    def status(self) -> str:
        return "Running"

    def get_metrics(self, name: Any = None, **_: Any) -> dict[str, Any]:
        return {k: v[0] if len(v) == 1 else v for k, v in self._values.items() if name in (None, k)}

    def _say(self, name: str, value: Any) -> None:
        self._values.setdefault(name, []).append(value)
        print(f"Attempted to log scalar metric {name}:\n{value}")

    def get_tags(self) -> dict[str, Any]:
        return dict(self._notes["tags"])

    def get_properties(self) -> dict[str, Any]:
        return dict(self._notes["properties"])

    def set_tags(self, tags: Any) -> None:
        self._notes["tags"].update(tags)

    def add_properties(self, properties: Any) -> None:
        self._notes["properties"].update(properties)

    def upload_file(self, name: str, path_or_stream: Any, **_: Any) -> None:
        """There is nowhere to: it is said, and the file stays where it is."""
        print(f"Attempted to upload a file as {name}")

    def upload_files(self, names: Any, paths: Any, **_: Any) -> None:
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: Any, **_: Any) -> None:
        self.upload_file(name, path)

    def __repr__(self) -> str:
        return f"Run({self.id})"
