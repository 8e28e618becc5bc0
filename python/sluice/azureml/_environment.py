# SPDX-License-Identifier: Apache-2.0
"""Environments, and what a script alone is run with."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from . import _registered
from ._errors import Named, UserErrorException

DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.1-cudnn8-ubuntu20.04"

_SDK = re.compile(r"azureml([-_]|$|\W)", re.IGNORECASE)


class CondaDependencies(Named):
    """The packages of an environment.  Those of the SDK itself are here already and left out."""

    def __init__(self, conda_dependencies_file_path: Any = None, _underlying_structure: Any = None) -> None:
        self._conda: list[str] = []
        self._pip: list[str] = []
        self._channels: list[str] = []
        self._python: str | None = None
        document = _underlying_structure
        if conda_dependencies_file_path:
            document = {"file": os.path.abspath(conda_dependencies_file_path)}
        self._file = (document or {}).get("file")

    @staticmethod
    def create(
        pip_packages: Any = None,
        conda_packages: Any = None,
        python_version: Any = None,
        pin_sdk_version: bool = True,
        **_: Any,
    ) -> Any:
        made = CondaDependencies()
        for x in pip_packages or []:
            made.add_pip_package(x)
        for x in conda_packages or []:
            made.add_conda_package(x)
        made._python = python_version
        return made

    def add_pip_package(self, pip_package: Any) -> None:
        self._pip.append(pip_package)

    def remove_pip_package(self, pip_package: Any) -> None:
        self._pip = [x for x in self._pip if re.split(r"[=<>!~\[ ]", x)[0] != pip_package]

    def add_conda_package(self, conda_package: Any) -> None:
        self._conda.append(conda_package)

    def remove_conda_package(self, conda_package: Any) -> None:
        self._conda = [x for x in self._conda if re.split(r"[=<>!~\[ ]", x)[0] != conda_package]

    def set_pip_requirements(self, pip_requirements: Any) -> None:
        self._pip = list(pip_requirements)

    @property
    def conda_channels(self) -> list[Any]:
        return list(self._channels)

    def get_python_version(self) -> Any:
        return self._python

    def as_dict(self) -> dict[str, Any]:
        """As a conda file has it, with everything that was added."""
        pip = [{"pip": self.pip_packages}] if self._pip else []
        python: list[Any] = [f"python={self._python}"] if self._python else []
        return {
            "channels": self._channels or ["conda-forge"],
            "dependencies": [*python, *self._conda, *pip],
        }

    def serialize_to_string(self) -> Any:
        """As a conda file has it; JSON is YAML, too."""
        return json.dumps(self.as_dict(), indent=2)

    def save_to_file(self, base_directory: Any, conda_file_path: Any = None) -> Any:
        path = os.path.join(base_directory, conda_file_path or "conda_dependencies.yml")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w") as f:
            f.write(self.serialize_to_string() + "\n")
        return conda_file_path or "conda_dependencies.yml"

    save = save_to_file

    def add_channel(self, channel: Any) -> None:
        self._channels.append(channel)

    def set_python_version(self, version: Any) -> None:
        self._python = version

    @property
    def pip_packages(self) -> list[Any]:
        return list(self._pip)

    @property
    def conda_packages(self) -> list[Any]:
        return list(self._conda)

    def _needed(self) -> Any:
        """As a conda file has it; None: nothing but what is here."""
        pip = [x for x in self._pip if not _SDK.match(x)]
        if not (pip or self._conda):
            return None
        python: list[Any] = [f"python={self._python}"] if self._python else []
        dependencies = [*python, *self._conda, *([{"pip": pip}] if pip else [])]
        return {"channels": self._channels or ["conda-forge"], "dependencies": dependencies}


class _Python(Named):
    def __init__(self) -> None:
        self.conda_dependencies, self.user_managed_dependencies = CondaDependencies(), False
        self.interpreter_path = "python"


class DockerConfiguration(Named):
    """Accepted; whether an image is used says the compute."""

    def __init__(self, use_docker: bool = False, **more: Any) -> None:
        self.use_docker, self.enabled, self.base_image = use_docker, use_docker, more.get("base_image")
        self.arguments, self.shm_size = more.get("arguments", []), more.get("shm_size")


class Environment(Named):
    """Packages and variables of steps."""

    def __init__(self, name: Any = None, **_: Any) -> None:
        self.name, self.python, self.docker = name, _Python(), DockerConfiguration()
        self.version: str | None = None
        self.environment_variables: dict[str, str] = {}

    @staticmethod
    def from_conda_specification(name: str, file_path: Any) -> Any:
        made = Environment(name)
        made.python.conda_dependencies = CondaDependencies(file_path)
        return made

    @staticmethod
    def from_pip_requirements(name: str, file_path: Any, pip_version: Any = None) -> Any:
        made = Environment(name)
        with open(file_path) as f:
            lines = (x.split("#")[0].strip() for x in f)
            for line in filter(None, lines):
                made.python.conda_dependencies.add_pip_package(line)
        return made

    @staticmethod
    def from_docker_image(
        name: str,
        image: Any,
        container_registry: Any = None,
        conda_specification: Any = None,
        pip_requirements: Any = None,
    ) -> Any:
        made = Environment(name)
        made.docker.base_image = image
        return made

    @staticmethod
    def get(workspace: Any, name: str, version: Any = None, label: Any = None) -> Environment:
        """One that was registered; else an empty one of that name: what is in curated ones is not known."""
        found = _registered.load(workspace, name, version)
        return Environment(name) if found is None else _of_record(name, found)

    @staticmethod
    def list(workspace: Any) -> dict[str, Environment]:
        return {name: Environment.get(workspace, name) for name in _registered.names(workspace)}

    def register(self, workspace: Any) -> Environment:
        """Keeps it in the workspace's folder, as the next version where it is not what the last one is."""
        conda = self.python.conda_dependencies
        record = {"pip": conda._pip, "conda": conda._conda, "channels": conda._channels, "python": conda._python,
                  "image": self.docker.base_image, "user_managed": self.python.user_managed_dependencies,
                  "variables": self.environment_variables}  # fmt: skip
        text = Path(conda._file).read_text() if conda._file else None
        self.version = _registered.keep(workspace, self.name, record, text)
        return Environment.get(workspace, self.name, self.version)

    def clone(self, new_name: Any) -> Any:
        made = Environment(new_name)
        made.python, made.docker = self.python, self.docker
        made.environment_variables = dict(self.environment_variables)
        return made

    def _job(self) -> Any:
        """As job files have it; None: what is there is enough."""
        conda = self.python.conda_dependencies
        if self.python.user_managed_dependencies:
            return None
        needed = conda._file or conda._needed()
        image = self.docker.base_image if self.docker.base_image not in (None, DEFAULT_CPU_IMAGE) else None
        o = {"conda_file": needed, "image": image}
        o = {k: v for k, v in o.items() if v is not None}
        return o or None

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r})"


def _of_record(name: str, record: dict[str, Any]) -> Environment:
    made = Environment(name)
    conda = made.python.conda_dependencies
    conda._pip, conda._conda, conda._channels = record["pip"], record["conda"], record["channels"]
    conda._python, conda._file = record["python"], record["path"]
    made.docker.base_image, made.environment_variables = record["image"], record["variables"]
    made.python.user_managed_dependencies, made.version = record["user_managed"], record["version"]
    return made


class SparkConfiguration(Named):
    """Properties of Spark, for a script whose framework is "pyspark"."""

    def __init__(self) -> None:
        self.configuration: dict[str, Any] = {}


class RunConfiguration(Named):
    """What steps are run with."""

    def __init__(
        self,
        script: Any = None,
        arguments: Any = None,
        framework: Any = None,
        communicator: Any = None,
        conda_dependencies: Any = None,
        **_: Any,
    ) -> None:
        self.script, self.arguments = script, arguments or []
        self.framework, self.communicator = framework or "Python", communicator or "None"
        self.environment, self.target = Environment(), "local"
        self.environment_variables: dict[str, str] = {}
        self.docker, self.node_count, self.spark = DockerConfiguration(), 1, SparkConfiguration()
        if conda_dependencies:
            self.environment.python.conda_dependencies = conda_dependencies


class ScriptRunConfig(Named):
    """A script, or a command, as a run of its own: Experiment.submit() takes it."""

    def __init__(
        self,
        source_directory: Any = None,
        script: Any = None,
        arguments: Any = None,
        run_config: Any = None,
        _telemetry_values: Any = None,
        compute_target: Any = None,
        environment: Any = None,
        distributed_job_config: Any = None,
        resume_from: Any = None,
        max_run_duration_seconds: Any = None,
        command: Any = None,
        docker_runtime_config: Any = None,
    ) -> None:
        if (script is None) == (command is None):
            raise UserErrorException("a ScriptRunConfig has either a script or a command")
        if distributed_job_config is not None:
            raise UserErrorException("distributed_job_config: a command runs as one process here")
        self.source_directory, self.script, self.arguments = source_directory or ".", script, arguments or []
        self.command, self.max_run_duration_seconds = command, max_run_duration_seconds
        self.run_config = run_config or RunConfiguration()
        if compute_target is not None:
            self.run_config.target = compute_target
        if environment is not None:
            self.run_config.environment = environment
