# SPDX-License-Identifier: Apache-2.0
"""Compute targets: entries of "computes" in config.json."""

from __future__ import annotations

import json
import os
from typing import Any

import sluice

from .. import _lib
from ._errors import ComputeTargetException, Named
from ._workspace import Lazy, LinkedService

_SPARK = ("spark", "livy", "synapsespark")
_BUILT_IN = {"local": {"type": "local"}, "spark": {"type": "spark"}}


def _entries(workspace: Any) -> dict[str, Any]:
    return {**_BUILT_IN, **workspace._info.get("computes", {})}


def targets(workspace: Any) -> Any:
    return Lazy(_entries(workspace), lambda name: ComputeTarget(workspace, name), "compute target")


class ComputeTargetAttachConfiguration(Named):
    """What is attached."""

    def __init__(self, **entry: Any) -> None:
        self.entry = entry


class _Status(str):
    """A word, which programs also ask for the rest."""

    def serialize(self) -> dict[str, Any]:
        return {"provisioningState": str(self), "allocationState": "Steady", "errors": None}


class ComputeTarget(Named):
    """`ComputeTarget(ws, name)` is the one of that name; create() and attach() make one."""

    type = "Local"

    def __new__(cls, workspace: Any, name: str, _entry: Any = None) -> Any:
        entry = _entries(workspace).get(name) if _entry is None else _entry
        if entry is None:
            known = ", ".join(_entries(workspace))
            raise ComputeTargetException(
                f"ComputeTargetNotFound: there is no compute '{name}' in '{workspace._info['config']}'; there are: {known}"
            )
        kind = SynapseCompute if entry.get("type") in _SPARK else AmlCompute
        if cls is not ComputeTarget and cls is not kind:
            raise ComputeTargetException(
                f"compute '{name}' is of type '{entry.get('type')}', which is no {cls.__name__}"
            )
        return object.__new__(kind)

    def __init__(self, workspace: Any, name: str, _entry: Any = None) -> None:
        self.workspace, self.name = workspace, name
        self._entry: dict[str, Any] = _entries(workspace).get(name) or {} if _entry is None else _entry

    @property
    def provisioning_state(self) -> str:
        return "Succeeded"

    @property
    def id(self) -> str:
        return f"{self.workspace.name}/computes/{self.name}"

    @staticmethod
    def list(workspace: Any) -> list[Any]:
        return [ComputeTarget(workspace, x) for x in _entries(workspace)]

    @staticmethod
    def create(workspace: Any, name: str, provisioning_configuration: Any) -> Any:
        """Makes it; one that is there already is that one."""
        return _add(workspace, name, provisioning_configuration)

    @staticmethod
    def attach(workspace: Any, name: str, attach_configuration: Any) -> Any:
        return _add(workspace, name, attach_configuration)

    def _remove(self, call: Any) -> None:
        _call(call, self.workspace, self.name)
        self.workspace._changed()

    def detach(self) -> None:
        """Lets it go; what it leads to stays."""
        self._remove("compute_detach")

    def delete(self) -> None:
        """Forgets it; one that is attached can only be detached."""
        self._remove("compute_delete")

    def wait_for_completion(self, show_output: bool = False, timeout_in_minutes: int = 10, **_: Any) -> Any:
        """Until it lets us in."""

        def event(text: bytes) -> None:
            told = json.loads(os.fsdecode(text))
            if show_output:
                print(told["status"], told.get("reason", ""), sep=": " if told.get("reason") else "")

        if self.name not in self.workspace._info.get("computes", {}):
            return event(b'{"status": "Succeeded"}')  # needs no entry
        callback = _lib.Callback(_lib.EventFn, event)
        handle, seconds = self.workspace.sluice._handle, int((timeout_in_minutes or 10) * 60)
        try:
            _lib.call_back(callback, "compute_wait", handle, _lib.text(self.name), seconds, callback.c, None)
        except sluice.Error as why:
            raise ComputeTargetException(str(why)) from why
        return None

    def get_status(self) -> _Status:
        return _Status(self.provisioning_state)

    def refresh_state(self) -> None:
        """What it says is what config.json says now."""
        self.workspace._changed()
        self._entry = _entries(self.workspace).get(self.name, self._entry)

    def serialize(self) -> dict[str, Any]:
        return {"name": self.name, **self._entry}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(workspace={self.workspace!r}, name={self.name!r}, type={self._entry.get('type')})"
        )


def _call(name: str, workspace: Any, *arguments: Any) -> Any:
    try:
        return _lib.call(
            name, workspace.sluice._handle, *(a if isinstance(a, int) else _lib.text(a) for a in arguments)
        )
    except sluice.Error as why:
        raise ComputeTargetException(str(why)) from why


def _add(workspace: Any, name: str, configuration: Any) -> ComputeTarget:
    if name not in _entries(workspace):
        _call("compute_create", workspace, name, json.dumps(configuration.entry), 0)
        workspace._changed()
    return ComputeTarget(workspace, name)


class AmlCompute(ComputeTarget):
    """A runner of commands: this machine, and how many steps it runs at a time."""

    type = "AmlCompute"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "", vm_priority: str = "dedicated", min_nodes: int = 0, max_nodes: Any = None, **_: Any
    ) -> ComputeTargetAttachConfiguration:
        slots = {"slots": max_nodes} if max_nodes else {}
        return ComputeTargetAttachConfiguration(type="amlcompute", **slots)


class SynapseCompute(ComputeTarget):
    """A Spark pool, or whatever Spark config.json says is behind the name."""

    type = "SynapseSpark"

    @staticmethod
    def attach_configuration(
        linked_service: Any, type: str = "SynapseSpark", pool_name: Any = None, **_: Any
    ) -> ComputeTargetAttachConfiguration:
        if type != "SynapseSpark":
            raise ComputeTargetException(f"a pool of type '{type}' cannot be attached: type is 'SynapseSpark'")
        if not pool_name:
            raise ComputeTargetException("a pool that is attached needs its pool_name")
        name = linked_service.name if isinstance(linked_service, LinkedService) else linked_service
        return ComputeTargetAttachConfiguration(type="synapsespark", linked_service=name, pool=pool_name)
