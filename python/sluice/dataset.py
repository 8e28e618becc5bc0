# SPDX-License-Identifier: Apache-2.0
"""Datasets and the views of them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from ctypes import addressof, byref, c_void_p, create_string_buffer, pointer, sizeof
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from . import _lib, errors
from ._html import table
from .progress import shown

if TYPE_CHECKING:
    from .workspace import Entry, Workspace

UNMOUNT_NS = 2_000_000_000  # at the end of the process
_WORD = re.compile(r"[\w.-]+")  # a name, or an id


class DownloadTotals(NamedTuple):
    """What a download did."""

    files: int
    bytes: int
    resumed: int
    there: int
    kept: int
    missing: int
    failed: int
    cloned: int


class Differences(NamedTuple):
    """How many files are the same, and the others: `{path: (bytes before, bytes after)}`."""

    same: int
    added: dict[str, tuple[int, int]]
    removed: dict[str, tuple[int, int]]
    changed: dict[str, tuple[int, int]]

    def __bool__(self) -> bool:
        """Is there any?"""
        return bool(self.added or self.removed or self.changed)


def _differences(name: str, *arguments: Any) -> Differences:
    found: list[Any] = [None, {}, {}, {}]

    def one(d: Any) -> None:
        d = d.contents
        if d.what:
            found[d.what][os.fsdecode(d.path)] = (d.before, d.after)

    callback, totals = _lib.Callback(_lib.DifferenceFn, one), _lib.DifferenceTotals()
    _lib.call_back(callback, name, *arguments, callback.c, None, byref(totals))
    return Differences(totals.same, *found[1:])


def _unmounted(where: str, pid: int) -> None:
    """A mount point of ours is gone, and what may still be mounted there."""
    if pid != os.getpid():
        return
    with contextlib.suppress(errors.Error):  # nothing is mounted there any more, or somebody is in it
        _lib.call("unmount", _lib.text(where), UNMOUNT_NS)
    with contextlib.suppress(OSError):
        os.rmdir(where)


class View:
    """A dataset as files or as a URI.  `where` is the folder, mount point or URI; str() and os.fspath() give it.

    A mount ends with its `with` block, by close(), or, on a mount point that was made for it, with the process; on one
    of the caller's it stays.  So do files that were staged in a folder of the caller's.
    """

    def __init__(self, handle: Any, totals: Any = None, made: Any = None, mounted: Any = None) -> None:
        from multiprocessing import util  # its children end without what atexit has

        self._v, self._pid = handle, os.getpid()
        self.where = os.fsdecode(_lib.lib().sluice_view_where(handle))
        properties = _lib.lib().sluice_view_properties(handle)
        self.properties: dict[str, Any] = json.loads(os.fsdecode(properties)) if properties else {}
        self.totals: DownloadTotals | None = totals
        self._mounted = util.Finalize(None, _unmounted, (mounted, self._pid), exitpriority=0) if mounted else None
        # not with this object: who has its path may still read there
        self._staged = util.Finalize(None, shutil.rmtree, (made, True), exitpriority=0) if made else None

    def close(self) -> None:
        """Unmounts, and removes the temporary folder of a download."""
        if self._v is not None and self._pid == os.getpid():
            try:
                _lib.call("view_close", self._v)
            except errors.Error:
                # an unmount from outside has done it
                if not self._mounted or os.path.ismount(self.where):
                    raise
            self._free()
        if self._mounted and self._pid == os.getpid():
            self._mounted()
        if self._staged:
            self._staged()

    def _free(self) -> None:
        v, self._v = self._v, None
        if v is not None and self._pid == os.getpid():
            _lib.lib().sluice_view_free(v)

    def stats(self) -> dict[str, Any]:
        """What a mount did, and what reading waits for."""
        return _lib.ask_list("mount_stats", _lib.text(self.where), None)[0]

    def prefetch(self, order: Iterable[_lib.Ref]) -> dict[str, Any]:
        """Tells a mount in which order its files will be read: names relative to it, or whole."""
        names = iter(order)
        held: list[Any] = []

        def following(_user: Any) -> Any:
            name = next(names, None)
            held[:] = [] if name is None else [create_string_buffer(os.fsencode(name))]
            return addressof(held[0]) if held else None

        callback = _lib.PathFn(following)
        return _lib.ask_dict("mount_prefetch", _lib.text(self.where), callback, None)

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self._free()

    def __fspath__(self) -> str:
        return self.where

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f"View({self.where!r})"

    def _repr_html_(self) -> str:
        return table({"view": self.where, **(self.totals._asdict() if self.totals else {})})


class Dataset:
    """A dataset: a registered version, or the files of any reference.  Nothing is looked up before it is asked for.

    A registered version is what it was when it was registered: a file that has changed since raises sluice.Changed.
    """

    def __init__(self, ws: Workspace, ref: _lib.Ref, record: dict[str, Any] | None = None) -> None:
        self._ws, self.ref, self._record = ws, os.fspath(ref), record

    @property
    def record(self) -> dict[str, Any]:
        """Everything that is known of it."""
        if self._record is None:
            self._record = _lib.ask_dict("data_show", self._ws._handle, _lib.text(self.ref))
        return self._record

    @property
    def definition(self) -> dict[str, Any]:
        """What it was made from, as an MLTable document."""
        if "definition" not in self.record:  # a listing tells less
            self._record = _lib.ask_dict("data_show", self._ws._handle, _lib.text(self.ref))
        return self.record.get("definition") or {}

    @property
    def name(self) -> str | None:
        return self.record.get("name")

    @property
    def version(self) -> str | None:
        return self.record.get("version")

    @property
    def id(self) -> str:
        return str(self.record["dataset"])

    @property
    def type(self) -> str:
        return str(self.record["type"])

    @property
    def files(self) -> int:
        """How many."""
        return int(self.record["files"])

    @property
    def bytes(self) -> int:
        return int(self.record["bytes"])

    @property
    def tags(self) -> dict[str, Any]:
        return self.record.get("tags") or {}

    @property
    def description(self) -> str | None:
        return self.record.get("description")

    def update(
        self,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Any = (),
        description: str | None = None,
        archived: bool | None = None,
    ) -> Dataset:
        """Changes what is said about the version, which itself never changes."""
        change = {"tags": tags and dict(tags), "remove_tags": list(remove_tags) or None, "description": description,
                  "archived": archived}  # fmt: skip
        change = {k: v for k, v in change.items() if v is not None}
        record = _lib.ask_json("data_update", self._ws._handle, _lib.text(self.ref), _lib.text(json.dumps(change)))
        return Dataset(self._ws, self.ref, record)

    def register(
        self,
        name: str,
        *,
        version: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = True,
    ) -> Dataset:
        """Gives what it is a name, or a further one: an output of a run, an id, a path."""
        spec = {"name": name, "ref": self.ref, "version": version, "description": description,
                "tags": tags and dict(tags), "create_new_version": create_new_version}  # fmt: skip
        spec = {k: v for k, v in spec.items() if v is not None}
        record = _lib.ask_json("data_register", self._ws._handle, _lib.text(json.dumps(spec)))
        return Dataset(self._ws, f"{record['name']}@{record['version']}", record)

    def archive(self) -> Dataset:
        """Not listed any more, and not the latest."""
        return self.update(archived=True)

    def restore(self) -> Dataset:
        return self.update(archived=False)

    def unregister(self) -> None:
        """Not found any more; its number is never used again, and no data is touched."""
        _lib.ask("data_update", self._ws._handle, _lib.text(self.ref), b'{"unregistered": true}')

    def history(self) -> list[dict[str, Any]]:
        """What was said about the version since it was registered, the oldest first."""
        return _lib.ask_list("data_history", self._ws._handle, _lib.text(self.ref))

    def manifest(self) -> str:
        """The text of its manifest: each file with its size and identity."""
        return _lib.ask("data_manifest", self._ws._handle, _lib.text(self.ref))

    def lineage(self) -> dict[str, Any]:
        """Which run made it, from what."""
        return _lib.ask_dict("data_lineage", self._ws._handle, _lib.text(self.ref))

    def used_by(self) -> dict[str, Any]:
        """What was made from it."""
        return _lib.ask_dict("data_used_by", self._ws._handle, _lib.text(self.ref))

    def diff(self, other: Dataset | _lib.Ref) -> Differences:
        """From this one to another: the files that are there, gone, or not the same."""
        return _differences(
            "data_diff",
            self._ws._handle,
            _lib.text(self.ref),
            _lib.text(other.ref if isinstance(other, Dataset) else other),
        )

    def freeze(self, to: _lib.Ref | None = None, *, pin: bool = False, progress: Any = None) -> Dataset:
        """Copies its bytes to a place of their own, from which it is read from now on; with `pin`, by the versions that
        the store keeps of them, without a copy."""
        if pin:
            if to is not None:
                raise ValueError("'to' is for a copy, and 'pin' makes none: give one of them")
            _lib.ask_json("data_pin", self._ws._handle, _lib.text(self.ref))
            return Dataset(self._ws, self.ref)
        ret = c_void_p()
        with shown(progress, "freeze") as callback:
            _lib.call_back(callback, "data_freeze", self._ws._handle, _lib.text(self.ref), _lib.text(to), callback.c,
                           None, byref(ret))  # fmt: skip
        _lib.lib().sluice_free(ret)
        return Dataset(self._ws, self.ref)

    def ls(self, *, recursive: bool = True) -> Iterator[Entry]:
        """Its files, as they are named in views."""
        return self._ws.ls(self.ref, recursive=recursive)

    def part(self, path: str) -> Dataset:
        """A file or folder of it, or what a pattern takes."""
        return Dataset(self._ws, self._below(path))

    def _below(self, path: str) -> str:
        if self.ref.startswith("azureml://"):
            start = self.ref if "/paths/" in self.ref else f"{self.ref}/paths"
            return f"{start.rstrip('/')}/{quote(path, safe='/*?[]{}!,')}"
        if _WORD.fullmatch(self.ref) and self.version:
            return f"{self.name}@{self.version}/{path}"
        return f"{self.ref.rstrip('/')}/{path}"

    def open(self, path: str | None = None, mode: str = "rb", **text: Any) -> IO[Any]:
        """A file of it; without a path the one that it is."""
        return self._ws.open(self.ref if path is None else self._below(path), mode, **text)

    def as_download(
        self,
        target: Any = None,
        *,
        policy: str = "fail",
        jobs: int = 0,
        progress: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> View:
        """Stages the files on disk; goes on where an earlier call ended.

        Without a target they are in a new temporary folder, which goes with the `with` block, by close(), or with the process.
        """
        made = None if target is not None else tempfile.mkdtemp(prefix="sluice-")
        target = made or target
        totals, o = _lib.DownloadTotals(), _options(settings, jobs=jobs, policy=_lib.POLICIES[policy])
        o.totals = pointer(totals)
        v = c_void_p()
        with shown(progress, "download") as callback:
            o.progress = callback.c
            try:
                _lib.call_back(
                    callback, "download", self._ws._handle, _lib.text(self.ref), _lib.text(target), byref(o), byref(v)
                )
            except BaseException:
                if made:
                    shutil.rmtree(made, ignore_errors=True)
                raise
        return View(v, DownloadTotals(*[getattr(totals, x) for x in DownloadTotals._fields]), made)

    def as_mount(
        self,
        mountpoint: Any = None,
        *,
        settings: Mapping[str, Any] | None = None,
        allow_other: bool = False,
        log: Any = None,
    ) -> View:
        """Mounts it, on a new temporary folder without a mount point; returns when it is usable.

        >>> import os, sluice
        >>> ws = sluice.Workspace.init("demo")
        >>> ws.write("workspaceblobstore:raw/a.csv", b"x,y")
        >>> with ws.register("raw", "workspaceblobstore:raw/").as_mount() as mount:
        ...     os.listdir(mount)
        ['a.csv']
        """
        made = None if mountpoint is not None else tempfile.mkdtemp(prefix="sluice-")
        o, v = _options(settings, allow_other=int(allow_other), log=_lib.text(log)), c_void_p()
        try:
            where = _lib.text(made or mountpoint)
            _lib.call("mount", self._ws._handle, _lib.text(self.ref), where, byref(o), byref(v))
        except BaseException:
            if made:
                os.rmdir(made)
            raise
        return View(v, mounted=made)

    def as_hdfs(self) -> View:
        """The URI that Hadoop and Spark read; `properties` are what Spark needs for it."""
        v = c_void_p()
        _lib.call("hdfs", self._ws._handle, _lib.text(self.ref), byref(v))
        return View(v)

    # --- parts, by steps that are kept ---

    @property
    def tabular(self) -> bool:
        """Does its definition say how rows are read?"""
        steps = self.definition.get("transformations") or []
        return any(name.startswith("read_") for x in steps for name in ([x] if isinstance(x, str) else x))

    def _step(self, name: str, argument: Any) -> Dataset:
        key = "rows" if self.tabular else "transformations"
        spec = {"from": self.ref, key: [{name: argument}]}
        record = _lib.ask_json("data_save", self._ws._handle, _lib.text(json.dumps(spec)))
        return Dataset(self._ws, record["dataset"], record)

    def take(self, n: int) -> Dataset:
        """The first rows of a table, else the first files."""
        return self._step("take", n)

    def skip(self, n: int) -> Dataset:
        return self._step("skip", n)

    def take_sample(self, probability: float, seed: int = 0) -> Dataset:
        """Each row, or file, with that probability; the same ones for the same seed."""
        return self._step("take_random_sample", {"probability": probability, "seed": seed})

    def random_split(self, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two parts, such as 0.8 and the rest: each row, or file, is in one of them.

        >>> import sluice
        >>> ws = sluice.Workspace.init("demo")
        >>> for i in range(100):
        ...     ws.write(f"workspaceblobstore:raw/{i}", b"x")
        >>> train, test = ws.register("raw", "workspaceblobstore:raw/").random_split(0.8, seed=1)
        >>> train.files + test.files, train.files > test.files
        (100, True)
        """
        one, other = ({"probability": high, "probability_lower_bound": low, "seed": seed} for low, high in
                      ((0, share), (share, 1)))  # fmt: skip
        step = {"sampler": "random_percent"}
        return (self._step("sample", {**step, "sampler_arguments": one}),
                self._step("sample", {**step, "sampler_arguments": other}))  # fmt: skip

    def filter(self, expression: str) -> Dataset:
        """The rows, or files, of which it is true: `'col("age") > 30'` of a table, `'Size > 1000'` of files."""
        return self._step("filter", expression)

    def keep_columns(self, columns: str | Iterable[str]) -> Dataset:
        """Of a table these columns, in this order."""
        return self._of_rows("keep_columns", [columns] if isinstance(columns, str) else list(columns))

    def drop_columns(self, columns: str | Iterable[str]) -> Dataset:
        """Of a table all but these columns."""
        return self._of_rows("drop_columns", [columns] if isinstance(columns, str) else list(columns))

    def convert_column_types(self, types: Mapping[str, Any]) -> Dataset:
        """Of a table columns of other types: `{"age": "int", "day": {"datetime": {"formats": ["%d.%m.%Y"]}}}`.

        >>> import sluice
        >>> ws = sluice.Workspace.init("demo")
        >>> ws.write("workspaceblobstore:t/a.csv", b"id,n\\n007,1\\n")
        >>> table = ws.register("t", "workspaceblobstore:t/", delimited=True)
        >>> table.convert_column_types({"id": "string"}).keep_columns("id").to_arrow().to_pydict()
        {'id': ['007']}
        """
        found = [{"columns": name, "column_type": kind} for name, kind in types.items()]
        return self._of_rows("convert_column_types", found)

    def _of_rows(self, name: str, argument: Any) -> Dataset:
        if not self.tabular:
            message = (
                f"'{self.ref}' is no table, which alone has columns: ws.register(NAME, PATH, delimited=True) makes one"
            )
            raise errors.make(errno.EINVAL, message)
        return self._step(name, argument)

    # --- tables ---

    def _files(self) -> list[tuple[str, str, int]]:
        """Path in views, reference, and size of each file."""
        sources, found = {}, []
        record = self.record
        for line in self.manifest().split("\n")[1:]:
            words = line.split(" ")
            if words[0] == "source":
                sources["" if words[1] == "." else unquote(words[1])] = unquote(words[2]).rstrip("/")
            elif len(words) == 5:
                path = unquote(words[4])
                if record.get("name") and record.get("version"):
                    start, rest = f"azureml://data/{record['name']}/versions/{record['version']}/paths", path
                else:
                    top, _, rest = path.partition("/")
                    start, rest = (sources[""], path) if "" in sources else (sources[top], rest)
                found.append((path, f"{start}/{quote(rest)}", int(words[0])))
        return found

    def schema(self) -> list[dict[str, Any]]:
        """The columns of a table, by its first rows: `[{"name", "type", "nulls"}]`."""
        return _lib.ask_list("data_schema", self._ws._handle, _lib.text(self.ref))

    def preview(self, rows: int = 10) -> dict[str, Any]:
        """The first rows of a table as they stand in its files: `{"columns", "rows", "notes", ...}`."""
        return _lib.ask_dict("data_preview", self._ws._handle, _lib.text(self.ref), rows)

    def partitions(self, where: Iterable[str] = (), format: str | None = None) -> list[dict[str, Any]]:
        """The files with the columns that their paths make, those that meet all conditions ("year>=2026")."""
        found = []
        callback = _lib.Callback(_lib.EventFn, lambda text: found.append(json.loads(os.fsdecode(text))))
        _lib.call_back(callback, "data_partitions", self._ws._handle, _lib.text(self.ref), _lib.text(format),
                       _lib.strings(list(where)), callback.c, None)  # fmt: skip
        return found

    def to_arrow_batches(self, columns: Iterable[str] | None = None) -> Iterator[Any]:
        """The rows as one pyarrow.Table after the other, in the order of the files; nothing is held back."""
        from . import tables

        return tables.batches(self, None if columns is None else list(columns))

    def to_arrow(self, columns: Iterable[str] | None = None) -> Any:
        """All rows as one pyarrow.Table, as its definition says (docs/tables.md).

        >>> import sluice
        >>> ws = sluice.Workspace.init("demo")
        >>> ws.write("workspaceblobstore:t/a.csv", b"n,word\\n1,one\\n2,two\\n")
        >>> ws.register("t", "workspaceblobstore:t/", delimited=True).to_arrow().to_pydict()
        {'n': [1, 2], 'word': ['one', 'two']}
        """
        from . import tables

        return tables.table(self, None if columns is None else list(columns))

    def to_pandas_dataframe(self, columns: Iterable[str] | None = None) -> Any:
        """All rows as a pandas.DataFrame."""
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Iterable[str] | None = None) -> Any:
        """All rows as a polars.DataFrame."""
        import polars

        return polars.from_arrow(self.to_arrow(columns))

    def to_spark_dataframe(self, spark: Any = None) -> Any:
        """The rows as Spark's DataFrame, read by Spark itself where they lie.

        Without a session the active one is used, or made.  What of the definition is no option of spark.read becomes
        steps of the data frame; the order of rows is Spark's.
        """
        from . import _spark

        return _spark.frame(self, spark)

    def plan(self, target: _lib.Ref | None = None) -> dict[str, Any]:
        """What a download would fetch, and how long it would take."""
        return _lib.ask_dict("plan", self._ws._handle, _lib.text(self.ref), _lib.text(target), None)

    def verify(self, folder: _lib.Ref | None = None) -> Any:
        """Is what is in a folder what the dataset has?  Without one: has the store still what the version pins?"""
        if folder is None:
            return _differences("data_verify", self._ws._handle, _lib.text(self.ref))
        return _lib.ask_json("verify", self._ws._handle, _lib.text(folder), _lib.text(self.ref), None)

    def __repr__(self) -> str:
        return f"Dataset({self.ref!r})"

    def _repr_html_(self) -> str:
        rows = {"name": self.name or self.ref, "version": self.version, "type": self.type, "files": self.files,
                "bytes": self.bytes, "id": self.id, "description": self.description}  # fmt: skip
        rows.update({f"tag {k}": v for k, v in self.tags.items()})
        return table(rows)


def _options(settings: Mapping[str, Any] | None, **values: Any) -> _lib.ViewOptions:
    o = _lib.ViewOptions(**values)
    o.size = sizeof(o)
    o.settings = _lib.strings([f"{k}={_setting(v)}" for k, v in (settings or {}).items()])
    return o


def _setting(v: Any) -> Any:
    return str(v).lower() if isinstance(v, bool) else v
