# SPDX-License-Identifier: Apache-2.0
"""Datastores, and paths on them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from fnmatch import fnmatch
from typing import Any
from urllib.parse import quote

import sluice

from .. import _lib
from ._errors import Named, UserErrorException


class DataPath(Named):
    """A path on a datastore."""

    def __init__(self, datastore: Any = None, path_on_datastore: Any = None, name: Any = None) -> None:
        self.datastore, self.path_on_datastore, self.name = datastore, path_on_datastore or "", name


class DataReference(DataPath):
    """The same, as older programs name it in the inputs of a step; `mode` is "mount", "download" or "upload"."""

    def __init__(
        self,
        datastore: Any,
        data_reference_name: Any = None,
        path_on_datastore: Any = None,
        mode: str = "mount",
        path_on_compute: Any = None,
        overwrite: bool = False,
    ) -> None:
        name = data_reference_name or datastore.name
        super().__init__(datastore, path_on_datastore, name)
        self.data_reference_name, self.mode, self.path_on_compute = name, mode, path_on_compute

    def path(self, path: Any = None, data_reference_name: Any = None) -> DataReference:
        below = "/".join(x.strip("/") for x in (self.path_on_datastore, path) if x)
        return DataReference(self.datastore, data_reference_name or self.name, below, self.mode, self.path_on_compute)

    def _as(self, mode: Any, path_on_compute: Any) -> DataReference:
        return DataReference(self.datastore, self.name, self.path_on_datastore, mode, path_on_compute)

    def as_mount(self) -> Any:
        return self._as("mount", None)

    def as_download(self, path_on_compute: Any = None, overwrite: bool = False) -> Any:
        return self._as("download", path_on_compute)

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.name}"


class DataPathComputeBinding(Named):
    """How a step gets a path that is a parameter of its pipeline: an input is (parameter, this)."""

    def __init__(self, mode: str = "mount", path_on_compute: Any = None, overwrite: bool = False) -> None:
        self.mode, self.path_on_compute, self.overwrite = mode, path_on_compute, overwrite


def place(datastore: Any, path: Any) -> str:
    """The URI of a path, in which only `*` is a pattern."""
    path = (path or "").lstrip("/")
    return f"azureml://datastores/{getattr(datastore, 'name', datastore)}/paths/{quote(path, safe='/*')}"


class _Datastore(Named):
    """A datastore of a workspace."""

    datastore_type = "Custom"

    def __init__(self, workspace: Any, name: str, entry: Any) -> None:
        self.workspace, self.name, self._entry = workspace, name, entry

    @property
    def is_default(self) -> Any:
        return self.workspace.get_default_datastore().name == self.name

    def set_as_default(self) -> None:
        self.workspace.set_default_datastore(self.name)

    def unregister(self) -> None:
        """Forgets it; no data is touched."""
        _lib.call("datastore_unregister", self.workspace.sluice._handle, _lib.text(self.name))
        self.workspace._changed()

    def path(self, path: Any = None, data_reference_name: Any = None) -> DataReference:
        return DataReference(self, data_reference_name, path)

    def as_mount(self) -> DataReference:
        return DataReference(self)

    def as_download(self, path_on_compute: Any = None) -> DataReference:
        return DataReference(self, mode="download", path_on_compute=path_on_compute)

    def upload(self, src_dir: Any, target_path: Any = None, overwrite: bool = False, show_progress: bool = True) -> Any:
        """The files of a folder and those below; one that is there stays unless it is to be overwritten."""
        src = os.path.join(os.path.abspath(src_dir), "")
        names = [os.path.join(folder, x) for folder, _, files in os.walk(src) for x in files]
        return self.upload_files(sorted(names), src, target_path, overwrite, show_progress)

    def upload_files(
        self,
        files: Any,
        relative_root: Any = None,
        target_path: Any = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> Any:
        files = [os.path.abspath(x) for x in files]
        if not files:
            raise UserErrorException(f"there is nothing to upload to datastore '{self.name}'")
        root = (
            os.path.abspath(relative_root) if relative_root else os.path.commonpath([os.path.dirname(x) for x in files])
        )
        base = (target_path or "").strip("/")
        for name in files:
            below = os.path.relpath(name, root).replace(os.sep, "/")
            if below.startswith("../"):
                raise UserErrorException(f"'{name}' is not below '{root}', which its path is relative to")
            target = f"{base}/{below}" if base else below
            try:
                self.workspace._stores.copy(name, place(self, target.replace("*", "\\*")), overwrite=overwrite)
            except sluice.Exists:
                print(f"'{target}' is on datastore '{self.name}' already; skipped")
        return self.path(base or None)

    def download(
        self, target_path: Any, prefix: Any = None, overwrite: bool = False, show_progress: bool = True
    ) -> Any:
        """The files whose path begins so, by their whole path below the target; returns how many."""
        ws, count = self.workspace._stores, 0
        folder = prefix.rpartition("/")[0] if prefix else ""
        start = f"{folder}/" if folder else ""
        for entry in list(ws.ls(place(self, folder), recursive=True)):
            path = start + entry.path
            if entry.is_dir or not path.startswith(prefix or ""):
                continue
            target = os.path.join(target_path, path)
            if os.path.exists(target) and not overwrite:
                print(f"'{target}' is there already; skipped")
                continue
            os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
            ws.copy(place(self, path), os.path.abspath(target), overwrite=overwrite)
            count += 1
        return count

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class LocalDatastore(_Datastore):
    """A folder."""

    datastore_type = "Local"


class AzureBlobDatastore(_Datastore):
    """A container."""

    datastore_type = "AzureBlob"

    @property
    def account_name(self) -> Any:
        return self._entry.get("account_name")

    @property
    def container_name(self) -> Any:
        return self._entry.get("container_name")


class AzureDataLakeGen2Datastore(_Datastore):
    """A file system of an account with a hierarchical namespace."""

    datastore_type = "AzureDataLakeGen2"

    @property
    def account_name(self) -> Any:
        return self._entry.get("account_name")

    @property
    def container_name(self) -> Any:
        return self._entry.get("filesystem")


class HDFSDatastore(_Datastore):
    """An HDFS."""

    datastore_type = "Hdfs"


_KINDS = {"local": LocalDatastore, "azure_blob": AzureBlobDatastore,
          "azure_data_lake_gen2": AzureDataLakeGen2Datastore, "hdfs": HDFSDatastore}  # fmt: skip


def open_datastore(workspace: Any, name: str) -> Any:
    entries = workspace._info["datastores"]
    found = next((x for x in entries if name and x.lower() == name.lower()), None)
    if found is None:
        raise UserErrorException(
            f"there is no datastore '{name}' in '{workspace._info['config']}'; there are: {', '.join(entries)}"
        )
    return _KINDS.get(entries[found].get("type"), _Datastore)(workspace, found, entries[found])


def _keep_secret(workspace: Any, name: str, key: str, value: Any) -> Any:
    """A file for it, which only this user reads, and of which nobody knows yet; its path."""
    folder = os.path.join(workspace._info["directory"], ".sluice", "secrets")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix=f"{name}.{key}.", dir=folder)
    with open(handle, "w") as f:
        f.write(value)
    return path


def _kept(workspace: Any, name: str) -> list[Any]:
    """The files that an entry's secrets are in, of those that _keep_secret made."""
    folder = os.path.join(workspace._info["directory"], ".sluice", "secrets", "")
    entry = workspace._info["datastores"].get(name) or {}
    texts = [x for part in (entry, entry.get("credential")) if isinstance(part, dict) for x in part.values()]
    return [x[5:] for x in texts if isinstance(x, str) and x.startswith(f"file:{folder}")]


def _forget(paths: Any) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _without_none(entry: Any) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in entry.items() if v is not None}


def register(workspace: Any, name: str, entry: Any, secrets: Any, overwrite: Any, skip_validation: bool = False) -> Any:
    """secrets: by their key in the entry, "credential.client_secret" below it."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name or ""):
        raise UserErrorException(f"'{name}' is no name of a datastore: use letters, digits, '_', '.', '-'")
    made, old = [], _kept(workspace, name)
    for key, value in secrets.items():
        if value is None:
            continue
        *above, last = key.split(".")
        at = entry
        for x in above:
            at = at.setdefault(x, {})
        made.append(_keep_secret(workspace, name, last, value))
        at[last] = f"file:{made[-1]}"
    flags = (_lib.OVERWRITE if overwrite else 0) | (_lib.NO_PROBE if skip_validation else 0)
    text = _lib.text(json.dumps(_without_none(entry)))
    try:
        _lib.call("datastore_create", workspace.sluice._handle, _lib.text(name), text, flags)
    except BaseException:
        _forget(made)  # an entry that stays has its own
        raise
    _forget(old)
    workspace._changed()
    return open_datastore(workspace, name)


def matching(folder: Any, pattern: Any) -> list[Any]:
    """The files below a folder whose path there, or name, a pattern takes."""
    found = []
    for where, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(where, name)
            below = os.path.relpath(path, folder)
            if pattern is None or fnmatch(below, pattern) or fnmatch(name, pattern):
                found.append(path)
    return sorted(found)
