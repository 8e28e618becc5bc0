# SPDX-License-Identifier: Apache-2.0
"""Tabular datasets: the rows that a definition describes, as Arrow tables.

docs/tables.md says what becomes of text; the types of columns are those that `Dataset.schema()` gives.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import _steps, _values, errors
from ._delimited import Delimited, first_record
from ._jsonlines import JsonLines
from ._pieces import PIECE, pieces

NOTES = 10
THREADS = min(8, (os.cpu_count() or 1) + 2)


def need_arrow() -> Any:
    try:
        import pyarrow
    except ImportError as why:
        raise ImportError("tables are read by pyarrow: pip install pyarrow (or sluice[tables])") from why
    return pyarrow


class Plan:
    """What the definition of a dataset says about its rows."""

    def __init__(self, data: Any) -> None:
        self.data = data
        document = data.definition
        self.kind: str | None = None
        self.args: dict[str, Any] = {}
        self.steps: list[tuple[str, Any]] = []
        for step in document.get("transformations") or []:
            name, args = next(iter(step.items())) if isinstance(step, dict) else (step, None)
            if name.startswith("read_"):
                self.kind, self.args = name[len("read_") :], dict(args or {})
            elif name.startswith("extract_columns"):
                self.format = args["partition_format"] if isinstance(args, dict) else args
            elif self.kind:  # what stands before chose the files
                self.steps.append((name, args))
        self.files = data._files()
        if self.kind is None:
            self._by_name()

    format = None

    def _by_name(self) -> None:
        """What Spark passes over, such as _SUCCESS, is neither asked nor read."""
        if self.data.type != "uri_file":
            self.files = [x for x in self.files if not _passed_over(x[0])]
        name = self.files[0][0] if self.files else ""
        kinds = {".csv": "delimited", ".txt": "delimited", ".tsv": "delimited", ".jsonl": "json_lines",
                 ".ndjson": "json_lines", ".parquet": "parquet"}  # fmt: skip
        self.kind = kinds.get(os.path.splitext(name)[1])
        if self.kind is None:
            other = f"'{name}' does not either" if name else "it has no file that Spark would read"
            message = (f"'{self.data.ref}' does not say how it is read, and {other}: make it a table, "
                       "such as ws.register(NAME, PATH, delimited=True)")  # fmt: skip
            raise errors.make(errno.EINVAL, message)
        if self.kind == "delimited":
            self.args = {"delimiter": "\t" if name.endswith(".tsv") else ","}

    @property
    def path_column(self) -> Any:
        return (self.args.get("path_column") or "Path") if self.args.get("include_path_column") else None

    def columns(self) -> list[Any]:
        """The columns of text and their types: what the definition says of one goes before what is seen."""
        found = [(x["name"], x["type"]) for x in self.data.schema()]
        keys = {x.partition(":")[0] for x in _steps.keys_of(self.format or "")}
        found = found[bool(self.args.get("include_path_column")) + len(keys) :]  # those come later, by their own rules
        said = {}
        infer = self.args.get("infer_column_types")
        if isinstance(infer, dict):
            more = infer.get("column_type_overrides") or {}
            said.update(more if isinstance(more, dict) else {x["column_name"]: x["column_type"] for x in more})
        for name, args in self.steps:
            for one in args if name == "convert_column_types" else ():
                said.update((x, one["column_type"]) for x in _steps.names(one["columns"]))
        return [(x, said.get(x, t)) for x, t in found]


def _passed_over(path: Any) -> bool:
    return any(x.startswith(".") or (x.startswith("_") and "=" not in x) for x in path.split("/"))


def batches(data: Any, columns: Any = None) -> Iterator[Any]:
    """The rows as Arrow tables, one after the other, in the order of the files.  What is read is no more than what
    is asked for, and a little ahead."""
    need_arrow()
    plan = Plan(data)
    wanted = _steps.wanted(plan.steps, columns)
    found = _parquet(plan, wanted) if plan.kind == "parquet" else _text(plan)
    found = _steps.run(plan.steps, found, converted=plan.kind != "parquet")
    for table in found:
        yield table if columns is None else _steps.keep(table, columns)


def table(data: Any, columns: Any = None) -> Any:
    return _values.unified(list(batches(data, columns)))


# --- columns that are not in the files ---


def _names_beside(plan: Any, parts: Any, path: Any) -> list[str]:
    return ([plan.path_column] if plan.path_column else []) + list(parts.get(path, {}))


def _beside(plan: Any, parts: Any, table: Any, path: Any) -> Any:
    """Path and the columns of the path, before those of the file."""
    import pyarrow as pa

    before = {}
    if plan.path_column:
        before[plan.path_column] = (path, pa.string())
    for name, value in parts.get(path, {}).items():
        kind = pa.timestamp("us") if name in plan.times else pa.string()
        before[name] = (value, kind)
    for i, (name, (value, kind)) in enumerate(before.items()):
        if name in table.column_names:
            table = table.drop_columns([name])
        column = pa.chunked_array([pa.array([value], pa.string()) if value is not None else pa.nulls(1, pa.string())])
        if kind != pa.string():
            column = _values.convert(column, "datetime")
        n = table.num_rows
        values = pa.nulls(n, kind) if value is None else pa.array([column[0].as_py()] * n, kind)
        table = table.add_column(i, pa.field(name, kind), values)
    return table


def _partitions(plan: Any) -> dict[str, Any]:
    plan.times = set()
    if not plan.format:
        return {}
    plan.times = {x.partition(":")[0] for x in _steps.keys_of(plan.format) if ":" in x}
    return {x["path"]: x["columns"] for x in plan.data.partitions()}


# --- text ---


class _Text:
    def __init__(self, plan: Any) -> None:
        self.plan, self.args = plan, {**_DEFAULTS, **plan.args}
        columns = plan.columns()
        self.parts = _partitions(plan)
        self.delimited = plan.kind == "delimited"
        self.names = _values.unique([x for x, _ in columns])
        self.types = {name: kind for name, (_, kind) in zip(self.names, columns)}
        self.reader: Any = (Delimited if self.delimited else JsonLines)(self.args, self.types)
        self.header = self.args["header"]
        self.notes: list[str] = []  # of the threads that read

    def other_header(self, row: Any, path: Any) -> None:
        """As `data preview` notes it.  Columns behind those of the header are of rows that are too long."""
        found = _values.unique([x or "" for x in row])
        rest = [f"Column{i + 1}" for i in range(len(found), len(self.names))]
        if found + rest != self.names and len(self.notes) < NOTES:
            self.notes.append(f"'{path}': its first row, which is passed over, is not the header of the first file; if "
                              "headers differ, say header='all_files_different_headers', if there is none, "
                              "'from_first_file'")  # fmt: skip

    def of_file(self, file: Any, named: Any) -> Iterator[Any]:
        """The tables of one file.  named: its first row is one, or no header of its own."""
        path, ref, _ = file
        names = self.names
        header = self.delimited and not named
        with contextlib.closing(self.plan.data._ws.open(ref)) as f:
            for data in pieces(f.raw, path, self.args["encoding"], self.delimited and self.reader.multi):
                if header:
                    found = first_record(data, self.args)
                    if found is None:
                        continue
                    header, data = False, found[1]
                    if self.header == "all_files_same_headers":
                        self.other_header(found[0], path)
                    if self.header == "all_files_different_headers":
                        names = _values.unique([x or "" for x in found[0]])
                if data.strip(b"\r\n"):
                    table = self.reader.table(data, names, path)
                    yield _beside(self.plan, self.parts, self.whole(table), path)

    def whole(self, table: Any) -> Any:
        """With the columns that are known, in their order; others follow."""
        import pyarrow as pa

        kinds = {f.name: f.type for f in table.schema}
        fields = []
        for x in self.names:
            kind = pa.null() if self.types[x] == "object" else _values.arrow(self.types[x])
            fields.append((x, kinds.get(x, kind)))
        fields += [(x, t) for x, t in kinds.items() if x not in self.types]
        return _values.fitted(table, pa.schema(fields))

    def without_header(self, files: Any) -> Any:
        """Of each file: has it no header to pass over?  Of from_first_file the first with a row has one."""
        if self.header != "from_first_file" or not self.delimited:
            return [self.header == "no_header"] * len(files)
        for i, (path, ref, _) in enumerate(files):
            with contextlib.closing(self.plan.data._ws.open(ref)) as f:
                if any(first_record(x, self.args) for x in pieces(f.raw, path, self.args["encoding"], False)):
                    return [k != i for k in range(len(files))]
        return [True] * len(files)


_DEFAULTS = {"delimiter": ",", "header": "all_files_same_headers", "support_multi_line": False,
             "empty_as_string": False, "encoding": "utf8"}  # fmt: skip


def _warn(notes: list[str], told: int) -> int:
    """Warns of those that are new, at the line outside of this package; how many there are."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __name__.split(".")[0]:
        level, frame = level + 1, frame.f_back
    for note in notes[told:]:
        told += 1
        warnings.warn(note, stacklevel=level)
    return told


def _text(plan: Any) -> Iterator[Any]:
    files = [x for x in plan.files if x[2] > 0]
    text = _Text(plan)
    tasks = list(zip(files, text.without_header(files)))
    empty = True
    told = 0
    for table in _ordered(tasks, lambda task: text.of_file(*task)):
        empty = False
        told = _warn(text.notes, told)
        yield table
    _warn(text.notes, told)
    if empty:
        import pyarrow as pa

        yield _beside(plan, text.parts, text.whole(pa.table({})), "")


def _ordered(tasks: Any, tables: Any) -> Iterator[Any]:
    """The tables of all tasks, in order.  Small files are read some at once; of a large one the next piece is read
    while the one before is worked on."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sluice-table")
    waiting: collections.deque[Any] = collections.deque()
    tasks = iter(tasks)
    try:
        while True:
            while len(waiting) < THREADS and (task := next(tasks, None)) is not None:
                waiting.append(_begin(pool, tables(task), task[0][2]))
            if not waiting:
                return
            yield from waiting.popleft()()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(pool: Any, found: Any, size: Any) -> Any:
    if size <= PIECE:
        future = pool.submit(list, found)
        return future.result

    def ahead() -> Iterator[Any]:
        future = pool.submit(next, found, None)
        while (table := future.result()) is not None:
            future = pool.submit(next, found, None)
            yield table

    return ahead


# --- Parquet ---


def _parquet(plan: Any, wanted: Any) -> Iterator[Any]:
    parts = _partitions(plan)
    tasks = [(x, wanted) for x in plan.files if x[2] > 0]

    def tables(task: Any) -> Iterator[Any]:
        from pyarrow import parquet

        (path, ref, size), columns = task
        with contextlib.closing(plan.data._ws.open(ref)) as f:
            file = parquet.ParquetFile(f.raw, pre_buffer=True)
            names = file.schema_arrow.names
            have = columns and [x for x in names if x in columns]
            _steps.need(columns or [], list(dict.fromkeys([*_names_beside(plan, parts, path), *names])))
            if size <= PIECE:
                yield _beside(plan, parts, file.read(columns=have), path)
                return
            for i in range(file.num_row_groups):
                yield _beside(plan, parts, file.read_row_group(i, columns=have), path)

    yield from _ordered(tasks, tables)
