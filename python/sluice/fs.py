# SPDX-License-Identifier: Apache-2.0
"""fsspec: `sluice://` and `azureml://`, so that pandas, Dask and pyarrow open data by URI (docs/python.md has how).

    sluice://STORE/path                            a path in a datastore of the workspace
    sluice://NAME@VERSION/path                     a file of a registered version, as the version pins it
    azureml://datastores/STORE/paths/path          the same, as Azure ML spells them (also the long forms)
    azureml://data/NAME/versions/VERSION/paths/path

The workspace is the one found from the current folder, or `workspace=` of the storage options.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from fsspec import register_implementation
from fsspec.spec import AbstractFileSystem

from . import errors
from .files import BUFFER, Reader, Writer
from .workspace import Workspace

_SCOPE = re.compile(r"(?:(?:subscriptions|resourcegroups|workspaces|locations|registries)/[^/]+/)+", re.I)
_STORE = re.compile(r"datastores/([^/]+)(?:/paths(?:/(.*))?)?/?", re.I | re.S)
_DATA = re.compile(r"data/([^/]+)/(?:versions|labels)/([^/]+)(?:/paths(?:/(.*))?)?/?", re.I | re.S)


def _strip(path: Any) -> Any:
    scheme, sep, rest = path.partition("://")
    if not sep:
        return path.strip("/")
    if scheme == "azureml":
        short = _SCOPE.sub("", rest, count=1) if _SCOPE.match(rest) else rest
        store, data = _STORE.fullmatch(short), _DATA.fullmatch(short)
        if store:
            rest = f"{store[1]}/{unquote(store[2] or '')}"
        elif data:
            rest = f"{data[1]}@{data[2]}/{unquote(data[3] or '')}"
        else:
            raise ValueError(
                f"'{path}' is none of azureml://datastores/STORE/paths/..., azureml://data/NAME/versions/V/..."
            )
    return rest.strip("/")


def _ref(path: Any) -> Any:
    """A path of this file system as a reference: no character of a name is a wildcard."""
    top, _, below = path.partition("/")
    if ":" in top:
        store, _, rest = path.partition(":")
        message = f"'{path}' is how the command names a path; here it is sluice://{store}/{rest.lstrip('/')}"
        raise errors.make(errno.ENOENT, message)
    name, at, version = top.partition("@")
    kind = f"data/{name}/versions/{version}" if at and version != "latest" else f"data/{name}/labels/latest"
    start = f"azureml://{kind}" if at else f"azureml://datastores/{top}"
    return f"{start}/paths/{quote(below)}" if below or not at else start


PARTS = 8  # of files that cat_ranges() reads at a time


class SluiceFileSystem(AbstractFileSystem):  # type: ignore[misc, unused-ignore]
    """The datastores of a workspace as folders, and each `NAME@VERSION` as one more, which is read-only."""

    protocol = ("sluice", "azureml")
    root_marker = ""

    def __init__(self, workspace: Any = None, **options: Any) -> None:
        super().__init__(workspace=workspace, **options)
        self._where = workspace
        self._ws: Workspace | None = None
        self._stores: set[str] = set()

    @property
    def workspace(self) -> Workspace:
        if self._ws is None:
            given = self._where
            self._ws = given if isinstance(given, Workspace) else Workspace(given)
        return self._ws

    def _ref(self, path: Any) -> Any:
        """_ref(), of a datastore that there is: what a dataset is called is not one."""
        top, _, below = path.partition("/")
        if top.lower() not in self._stores and "@" not in top and ":" not in top:
            self._stores = {x.lower() for x in self.workspace.datastores}
            if top.lower() not in self._stores and self._is_dataset(top):
                message = (
                    f"there is no datastore '{top}'; of the dataset of that name it is sluice://{top}@latest/{below}"
                )
                raise errors.make(errno.ENOENT, message)
        return _ref(path)

    def _is_dataset(self, name: str) -> bool:
        try:
            return bool(self.workspace.datasets(name))
        except errors.Error:
            return False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(x) for x in path]
        return _strip(os.fspath(path))

    def unstrip_protocol(self, name: str) -> str:
        return f"sluice://{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        return f"sluice-{self.workspace.config_path}"

    # --- looking ---

    def _about(self, path: Any, e: Any) -> dict[str, Any]:
        kind = "directory" if e.is_dir else "file"
        return {"name": path, "size": 0 if e.is_dir else e.size, "type": kind, "mtime": e.mtime_ns / 1e9,
                "identity": e.identity}  # fmt: skip

    def ls(self, path: Any, detail: bool = True, **_: Any) -> Any:
        path = self._strip_protocol(path)
        if not path:
            found = [{"name": x, "size": 0, "type": "directory"} for x in self.workspace.datastores]
        else:
            here = self.info(path)
            if here["type"] == "file":
                found = [here]
            else:
                found = [self._about(f"{path}/{e.path.rstrip('/')}", e) for e in self.workspace.ls(self._ref(path))]
        return found if detail else sorted(x["name"] for x in found)

    def info(self, path: Any, **_: Any) -> Any:
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        e = self.workspace.stat(self._ref(path))
        return self._about(path, e)

    def exists(self, path: Any, **_: Any) -> bool:
        try:
            self.info(path)
        except (errors.NotFound, errors.NotFolder):
            return False
        return True

    def modified(self, path: Any) -> Any:
        import datetime

        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], datetime.timezone.utc)

    def ukey(self, path: Any) -> str:
        about = self.info(path)
        return f"{about['identity']}-{about['size']}"

    # --- reading and writing ---

    def _open(self, path: Any, mode: str = "rb", block_size: Any = None, autocommit: bool = True, **_: Any) -> Any:
        import io

        if mode == "rb":
            return io.BufferedReader(Reader(self.workspace, self._ref(path)), block_size or BUFFER)
        if mode in ("wb", "xb"):
            return io.BufferedWriter(
                Writer(self.workspace, self._ref(path), overwrite=mode == "wb"), block_size or BUFFER
            )
        raise NotImplementedError(f"mode {mode!r}: a file is written whole, nothing is appended to it")

    def cat_file(self, path: Any, start: Any = None, end: Any = None, **_: Any) -> Any:
        with Reader(self.workspace, self._ref(self._strip_protocol(path))) as f:
            if start is None and end is None:
                return f.readall()
            first, last = slice(start, end).indices(f.size)[:2]
            return f.pread(last - first, first)

    def cat_ranges(self, paths: list[str], starts: Any, ends: Any, max_gap: Any = None, on_error: str = "return",
                   **_: Any) -> list[Any]:  # fmt: skip
        """Parts of files: each file is opened once, and the parts are read side by side."""
        from concurrent.futures import ThreadPoolExecutor

        n = len(paths)
        starts = starts if isinstance(starts, (list, tuple)) else [starts] * n
        ends = ends if isinstance(ends, (list, tuple)) else [ends] * n
        opened: dict[str, Any] = {}

        def part(path: str, start: int | None, end: int | None) -> Any:
            try:
                with opened[path][0]:
                    f = opened[path][1] = opened[path][1] or Reader(self.workspace, self._ref(path))
                first, last = slice(start, end).indices(f.size)[:2]
                return f.pread(last - first, first)
            except OSError as why:
                if on_error == "return":
                    return why
                raise

        found = [self._strip_protocol(x) for x in paths]
        opened.update((x, [threading.Lock(), None]) for x in found)
        try:
            with ThreadPoolExecutor(min(n, PARTS) or 1) as pool:
                return list(pool.map(part, found, starts, ends))
        finally:
            for _lock, f in opened.values():
                if f is not None:
                    f.close()

    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **_: Any) -> None:
        self.workspace.write(self._ref(self._strip_protocol(path)), value, overwrite=mode != "create")

    def cp_file(self, path1: Any, path2: Any, **_: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(path1):
            self.mkdir(path2)
        else:
            self.workspace.copy(self._ref(path1), self._ref(path2), overwrite=True)

    # --- changing ---

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: Any = None, **more: Any) -> None:
        one, two = self._strip_protocol(path1), self._strip_protocol(path2)
        try:
            self.workspace.move(self._ref(one), self._ref(two), overwrite=True)
        except errors.Error as why:
            if why.errno != errno.ENOTSUP:
                raise
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **more)

    def _rm(self, path: Any) -> None:
        self.workspace.remove(self._ref(self._strip_protocol(path)))

    rm_file = _rm

    def rm(self, path: Any, recursive: bool = False, maxdepth: Any = None) -> None:
        if not recursive or maxdepth is not None:
            super().rm(path, recursive=recursive, maxdepth=maxdepth)
            return
        for one in path if isinstance(path, list) else [path]:
            for found in self.expand_path(one, maxdepth=0) if "*" in one else [self._strip_protocol(one)]:
                self.workspace.remove(self._ref(found), recursive=True)

    def mkdir(self, path: Any, create_parents: bool = True, **_: Any) -> None:
        """Only where folders exist by themselves; elsewhere one is there with the first file in it."""
        path = self._strip_protocol(path)
        if "/" in path and not self._flat(path):
            if not create_parents and not self.exists(self._parent(path)):
                raise errors.make(errno.ENOENT, f"'{self._parent(path)}' is not there")
            self.workspace.mkdir(self._ref(path))

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        if not exist_ok and self.exists(path):
            raise errors.make(errno.EEXIST, f"'{path}' exists already")
        self.mkdir(path)

    def rmdir(self, path: Any) -> None:
        path = self._strip_protocol(path)
        if not self._flat(path):
            if self.ls(path):
                raise errors.make(errno.ENOTEMPTY, f"'{path}' is not empty")
            self.workspace.remove(self._ref(path), recursive=True)

    def _flat(self, path: str) -> bool:
        entry: Mapping[str, Any] = self.workspace.datastores.get(path.partition("/")[0]) or {}
        return entry.get("type") == "azure_blob" and entry.get("namespace") != "hierarchical"


# for who imports it from a tree; an installed package is found by its entry points
for _name in SluiceFileSystem.protocol:
    register_implementation(_name, SluiceFileSystem, clobber=True)
