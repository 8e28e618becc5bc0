# SPDX-License-Identifier: Apache-2.0
"""The workspace: where everything begins."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from ctypes import byref, c_void_p, pointer, sizeof
from typing import IO, Any, NamedTuple

from . import _lib, errors
from ._html import grid, table
from .dataset import Dataset
from .datastore import Datastore
from .files import Reader, Writer, opened
from .jobs import Run
from .progress import shown

Path = _lib.Ref


class Entry(NamedTuple):
    """An object or a folder of a listing."""

    path: str
    is_dir: bool
    size: int
    mtime_ns: int
    identity: str
    detail: dict[str, Any] | None


class CopyTotals(NamedTuple):
    """What a copy did."""

    files: int
    bytes: int
    skipped: int
    failed: int


def _close(handle: c_void_p, pid: int) -> None:
    # the threads of a handle do not survive a fork: what a child inherits is left alone
    if pid == os.getpid():
        _lib.lib().sluice_close(handle)


class Workspace:
    """An open workspace: datastores, datasets, runs, and every object that a reference names.

    `path` is a config.json, or a folder from which one is looked for upward (the current one without it).  With
    `optional` none has to be found: URIs and local paths work all the same.  With `of_step`, in a step of a job, none is
    looked for: the job's supervisor answers for its workspace, whose credentials the step does not have.

    A workspace may be used by many threads, and after a fork: a child opens its own when it first uses it.

    >>> import sluice
    >>> ws = sluice.Workspace.init("demo")
    >>> with ws.open("workspaceblobstore:raw/a.csv", "wb") as f:
    ...     _ = f.write(b"x,y\\n1,2\\n")
    >>> raw = ws.register("raw", "workspaceblobstore:raw/")
    >>> raw.version, raw.files
    ('1', 1)
    """

    def __init__(self, path: Path | None = None, *, optional: bool = False, of_step: bool = False) -> None:
        self._path = None if path is None else os.path.abspath(path)
        self._flags = (_lib.OPTIONAL if optional else 0) | (_lib.OF_STEP if of_step else 0)
        self._pid: int | None = None
        self._s: c_void_p | None = None
        self._open()
        if self._path is None and not optional and not of_step:
            self._path = self.config_path  # a child, or a copy, may be somewhere else

    @classmethod
    def from_config(cls, path: Path | None = None) -> Workspace:
        """As Azure ML spells it."""
        return cls(path)

    @classmethod
    def init(cls, path: Path = ".", name: str | None = None) -> Workspace:
        """Makes a workspace with an embedded local datastore, and opens it."""
        return cls(_lib.ask("init", _lib.text(path), _lib.text(name)))

    def _open(self) -> None:
        s = c_void_p()
        _lib.call("open", _lib.text(self._path), self._flags, byref(s))
        self._pid, self._s = os.getpid(), s
        self._finalizers = [*getattr(self, "_finalizers", ()), weakref.finalize(self, _close, s, self._pid)]

    def _renew(self) -> None:
        """Sees its datastores as they are now.  What is open stays with the state before, until close()."""
        self._open()

    @property
    def _handle(self) -> c_void_p:
        if self._pid != os.getpid():
            self._open()
        if self._s is None:
            raise ValueError("the workspace is closed")
        return self._s

    def close(self) -> None:
        """Gives everything back.  A workspace that is not used any more does so by itself."""
        for finalizer in self._finalizers:
            finalizer()
        self._s = None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path, "flags": self._flags}

    def __setstate__(self, state: Any) -> None:
        self._path, self._flags = state["path"], state["flags"]
        self._open()

    def __repr__(self) -> str:
        return f"Workspace({self._path!r})"

    @property
    def info(self) -> dict[str, Any]:
        """What config.json says."""
        return _lib.ask_dict("workspace", self._handle)

    def _repr_html_(self) -> str:
        info = self.info
        stores = grid(["datastore", "type", "default"], [(x.name, x.type, "yes" if x.default else "") for x in
                                                         self.datastores.values()])  # fmt: skip
        return table({"workspace": info.get("workspace_name"), "config": info["config"]}) + stores

    @property
    def name(self) -> str:
        return str(self.info["workspace_name"])

    @property
    def config_path(self) -> str:
        return str(self.info["config"])

    # --- datastores ---

    @property
    def datastores(self) -> dict[str, Datastore]:
        """All of them by name."""
        return {x["name"]: Datastore(self, x) for x in _lib.ask_json("datastore_list", self._handle)}

    def datastore(self, name: str | None = None) -> Datastore:
        """One by its name, without one the default."""
        entry = _lib.ask_json("datastore_show", self._handle, _lib.text(name or self.info["default_datastore"]))
        return Datastore(self, entry)

    def add_datastore(self, name: str, *, overwrite: bool = False, **entry: Any) -> Datastore:
        """Adds one: `ws.add_datastore("lake", type="azure_blob", account_name=..., container_name=..., credential=...)`.

        Credentials are references ("env:NAME", "file:PATH", "az_cli", ...), never secrets.
        """
        flags = _lib.OVERWRITE if overwrite else 0
        _lib.call("datastore_create", self._handle, _lib.text(name), _lib.text(json.dumps(entry)), flags)
        self._renew()
        return self.datastore(name)

    # --- objects ---

    def ls(self, ref: Path, *, recursive: bool = False) -> Iterator[Entry]:
        """The objects of a folder, pattern or dataset; paths are relative to it."""
        found = []

        def entry(p: Any) -> None:
            found.append(_entry(p.contents))

        callback = _lib.Callback(_lib.EntryFn, entry)
        flags = _lib.RECURSIVE if recursive else 0
        _lib.call_back(callback, "list", self._handle, _lib.text(ref), flags, callback.c, None)
        return iter(found)

    def stat(self, ref: Path) -> Entry:
        """One object; of a pattern the first."""
        found = []

        def entry(p: Any) -> None:
            found.append(_entry(p.contents))

        callback = _lib.Callback(_lib.EntryFn, entry)
        _lib.call_back(callback, "stat", self._handle, _lib.text(ref), callback.c, None)
        return found[0]

    def exists(self, ref: Path) -> bool:
        try:
            self.stat(ref)
        except (errors.NotFound, errors.NotFolder):
            return False
        return True

    def open(self, ref: Path, mode: str = "rb", **text: Any) -> IO[Any]:
        """Opens an object as open() does: "rb", "wb" (replaces), "xb" (must be new), or with text "r", "w", "x".

        What is read is pinned: when it changes meanwhile, reading raises sluice.Changed.  What is written appears
        whole when it is closed, and not at all when the block is left by an exception.
        """
        return opened(self, ref, mode, **text)

    def read(self, ref: Path) -> bytes:
        """All bytes of an object."""
        with Reader(self, ref) as f:
            return f.readall()

    def write(self, ref: Path, data: bytes, *, overwrite: bool = True) -> None:
        with Writer(self, ref, overwrite=overwrite) as f:
            f.write(data)

    def copy(
        self,
        src: Path | Iterable[Path],
        dst: Path,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        update: bool = False,
        jobs: int = 0,
        progress: Any = None,
    ) -> CopyTotals:
        """Copies files, patterns and folders between any two places."""
        sources = [src] if isinstance(src, (str, os.PathLike)) else list(src)
        flags = (recursive and _lib.RECURSIVE) | (overwrite and _lib.OVERWRITE) | (update and _lib.UPDATE)
        totals = _lib.CopyTotals()
        o = _lib.CopyOptions(flags=flags, jobs=jobs)
        o.size = sizeof(o)
        o.totals = pointer(totals)
        with shown(progress, "copy") as callback:
            if callback:
                o.progress = callback.c
            _lib.call_back(
                callback, "copy", self._handle, _lib.strings(sources), len(sources), _lib.text(dst), byref(o)
            )
        return CopyTotals(totals.files, totals.bytes, totals.skipped, totals.failed)

    def move(self, src: Path, dst: Path, *, overwrite: bool = False) -> None:
        """Renames within one datastore, in one atomic step."""
        _lib.call("move", self._handle, _lib.text(src), _lib.text(dst), _lib.OVERWRITE if overwrite else 0)

    def mkdir(self, ref: Path) -> None:
        """Makes a folder and those above it; nothing needs that before it writes."""
        _lib.call("mkdir", self._handle, _lib.text(ref))

    def remove(self, ref: Path, *, recursive: bool = False) -> None:
        o = _lib.RemoveOptions(flags=_lib.RECURSIVE if recursive else 0)
        o.size = sizeof(o)
        _lib.call("remove", self._handle, _lib.text(ref), byref(o))

    # --- datasets ---

    def dataset(self, ref: Path) -> Dataset:
        """A dataset by NAME, NAME@VERSION, azureml:NAME:VERSION, id; or of any path."""
        return Dataset(self, ref)

    def datasets(
        self, name: str | None = None, *, tags: Mapping[str, str | None] | None = None, archived: bool = False
    ) -> list[Dataset]:
        """The newest version of each name, or all versions of one."""
        search = {"name": name, "tags": dict(tags or {}), "archived": archived}
        search = {k: v for k, v in search.items() if v}
        found = _lib.ask_json("data_search", self._handle, _lib.text(json.dumps(search)))
        return [Dataset(self, f"{x['name']}@{x['version']}", x) for x in found]

    def register(
        self,
        name: str,
        path: Path | Iterable[Path],
        *,
        type: str | None = None,
        version: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Dataset:
        """Resolves a path, pattern or list of them now, and registers it as the next version of `name`."""
        from_: dict[str, Any] = (
            {"path": os.fspath(path)}
            if isinstance(path, (str, os.PathLike))
            else {"paths": [os.fspath(x) for x in path]}
        )
        spec = {"name": name, "type": type, "version": version, "description": description, "tags": tags and dict(tags),
                **more, **from_}  # fmt: skip
        spec = {k: v for k, v in spec.items() if v is not None}
        record = _lib.ask_json("data_create", self._handle, _lib.text(json.dumps(spec)))
        return Dataset(self, f"{record['name']}@{record['version']}", record)

    # --- runs ---

    def submit(
        self,
        path: Path,
        *,
        name: str | None = None,
        inputs: Mapping[str, str] | None = None,
        force_rerun: bool = False,
    ) -> Run:
        """Starts a job or pipeline file; returns when its supervisor, a process of its own, has it.  force_rerun: no
        step takes what an earlier run of it wrote."""
        asked = {"name": name, "inputs": inputs and dict(inputs), "force_rerun": force_rerun}
        settings = {k: v for k, v in asked.items() if v}
        return Run(self, _lib.ask("job_create", self._handle, _lib.text(path), _lib.text(json.dumps(settings))))

    def run(self, run_id: str) -> Run:
        return Run(self, run_id)

    def runs(self, **query: Any) -> list[Run]:
        """Newest first.  query: archived ("no", "yes", "only"), status, experiment, parent, older_than, limit."""
        found = _lib.ask_json("job_search", self._handle, _lib.text(json.dumps(query)))
        return [Run(self, x["run"]) for x in found]


def _entry(e: Any) -> Entry:
    detail = json.loads(os.fsdecode(e.detail)) if e.detail else None
    return Entry(os.fsdecode(e.path), bool(e.is_dir), e.size, e.mtime_ns, os.fsdecode(e.identity), detail)
