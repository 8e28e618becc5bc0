# SPDX-License-Identifier: Apache-2.0
"""Delimited text as Arrow tables.

pyarrow reads what it reads as Azure ML's engine does.  A piece that it refuses, or may have taken otherwise (rows of
other lengths, the end of a line within quotes), is cut here, by the rules of docs/tables.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _values
from ._pieces import bad_text


def record(text: str, i: Any, sep: Any, multi: Any) -> Any:
    """The record that begins at i: its fields, None for one that is empty and not in quotes; and where it ends."""
    cells, n = [], len(text)
    while True:
        found, i = _field(text, i, sep, multi)
        cells.append(found)
        if i >= n or text[i] == "\n":
            return cells, min(i + 1, n)
        i += len(sep)


def _field(text: str, i: Any, sep: Any, multi: Any) -> Any:
    quoted = text.startswith('"', i)
    head = ""
    if quoted:
        head, i = _in_quotes(text, i + 1, multi)
    line = text.find("\n", i)
    line = len(text) if line < 0 else line
    end = text.find(sep, i, line)
    end = line if end < 0 else end
    found = head + text[i:end]
    if end == line and found.endswith("\r"):
        found = found[:-1]
    return found or ("" if quoted else None), end


def _in_quotes(text: str, i: Any, multi: Any) -> Any:
    parts: list[str] = []
    while True:
        quote = text.find('"', i)
        if not multi:
            line = text.find("\n", i, quote if quote >= 0 else len(text))
            if line >= 0:
                return "".join([*parts, text[i:line]]), line
        if quote < 0:
            return "".join([*parts, text[i:]]), len(text)
        if not text.startswith('"', quote + 1):
            return "".join([*parts, text[i:quote]]), quote + 1
        parts.append(text[i : quote + 1])
        i = quote + 2


def records(text: str, sep: Any, multi: Any) -> Iterator[Any]:
    """All records that are no blank lines."""
    if '"' not in text:
        for line in text.split("\n"):
            line = line[:-1] if line.endswith("\r") else line
            if line:
                yield [x or None for x in line.split(sep)]
        return
    i = 0
    while i < len(text):
        cells, i = record(text, i, sep, multi)
        if cells != [None]:
            yield cells


def first_record(data: Any, args: Any) -> Any:
    """The first record that is no blank line, and the bytes behind it; None when there is none."""
    i, sep, multi = 0, args["delimiter"], args["support_multi_line"]
    window = data
    while i < len(data):
        if not multi:
            end = data.find(b"\n", i)
            window = data[i : len(data) if end < 0 else end + 1]
        text = bytes(window).decode("utf-8", "surrogateescape")
        if multi:
            return _first_of_all(text, data, sep)
        i += len(window)
        cells, _ = record(text, 0, sep, False)
        if cells != [None]:
            return cells, data[i:]
    return None


def _first_of_all(text: str, data: Any, sep: Any) -> Any:
    i = 0
    while i < len(text):
        cells, i = record(text, i, sep, True)
        if cells != [None]:
            return cells, data[len(text[:i].encode("utf-8", "surrogateescape")) :]
    return None


class Delimited:
    """How the pieces of a table become Arrow tables.  types: the columns that are known, with their types."""

    def __init__(self, args: Any, types: Any) -> None:
        self.args, self.types = args, types
        self.sep, self.multi = args["delimiter"], args["support_multi_line"]
        # values are converted by the reader itself
        self.direct = not any(isinstance(x, dict) and next(iter(x.values())) for x in types.values())

    def table(self, data: Any, names: Any, file: Any) -> Any:
        """names: of the columns, by position."""
        found = self._by_arrow(data, names) if len(self.sep.encode()) == 1 and names else None
        return self._by_hand(data, names, file) if found is None else found

    # --- pyarrow ---

    def _by_arrow(self, data: Any, names: Any) -> Any:
        import pyarrow as pa

        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None
        cut = not data.endswith(b"\n")
        if cut:
            data = data + b"\n"  # pyarrow takes an empty last field for one in quotes when the one before it is
        try:
            if self.direct:
                try:
                    return self._checked(self._read(data, names, True), cut)
                except pa.ArrowInvalid:
                    pass
            text = self._checked(self._read(data, names, False), cut)
            self.direct = self.direct and text is None
            return text and self._converted(text)
        except pa.ArrowInvalid:
            return None

    def _read(self, data: Any, names: Any, direct: Any) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        types = {x: _values.arrow(self.types.get(x)) if direct else pa.string() for x in names}
        parse = csv.ParseOptions(delimiter=self.sep, newlines_in_values=self.multi)
        convert = csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=not self.args["empty_as_string"],
            quoted_strings_can_be_null=False, true_values=_values.TRUE, false_values=_values.FALSE,
            timestamp_parsers=[csv.ISO8601],
        )  # fmt: skip
        read = csv.ReadOptions(column_names=names, block_size=max(1 << 20, len(data) + 1 if self.multi else 0))
        return csv.read_csv(pa.BufferReader(data), read, parse, convert)

    def _checked(self, table: Any, cut: Any) -> Any:
        """None: a quote went over the end of a line, and may not; or over the end that was put there."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if cut and self.multi and len(table) and str(table.column(table.num_columns - 1)[-1]).endswith("\n"):
            return None
        for column in () if self.multi else table.columns:
            if column.type == pa.string() and pc.any(pc.match_substring(column, "\n")).as_py():
                return None
        return table

    def _converted(self, table: Any) -> Any:
        import pyarrow as pa

        columns = [_values.convert(table.column(i), self.types.get(x)) for i, x in enumerate(table.column_names)]
        return pa.table(dict(zip(table.column_names, columns)))

    # --- by hand ---

    def _by_hand(self, data: Any, names: Any, file: Any) -> Any:
        import pyarrow as pa

        names = list(names)
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError as why:
            raise bad_text(file, self.args["encoding"], why) from None
        rows = list(records(text, self.sep, self.multi))
        for n in range(len(names) + 1, max(map(len, rows), default=0) + 1):
            names.append(_values.fresh(f"Column{n}", names))
        none = "" if self.args["empty_as_string"] else None
        columns = {}
        for i, name in enumerate(names):
            values = [(none if row[i] is None else row[i]) if i < len(row) else None for row in rows]
            columns[name] = _values.convert(pa.chunked_array([pa.array(values, pa.string())]), self.types.get(name))
        return pa.table(columns)
