# SPDX-License-Identifier: Apache-2.0
"""JSON lines as Arrow tables: by pyarrow, and by hand what it refuses."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

from . import _values, errors


class JsonLines:
    def __init__(self, args: Any, types: Any) -> None:
        self.args, self.types = args, types
        self.drop = args.get("invalid_lines") == "drop"

    def table(self, data: Any, _names: Any, file: Any) -> Any:
        found = self._by_arrow(data)
        return self._by_hand(data, file) if found is None else found

    def _by_arrow(self, data: Any) -> Any:
        import pyarrow as pa
        from pyarrow import json as reader

        lines = sum(1 for x in data.split(b"\n") if x.strip())
        if not lines:
            return pa.table({})
        known = [(x, _values.arrow(t)) for x, t in self.types.items() if t in ("boolean", "int", "float", "string")]
        parse = reader.ParseOptions(explicit_schema=pa.schema(known) if known else None)
        try:
            # one block: a column has one type
            table = reader.read_json(pa.BufferReader(data), reader.ReadOptions(block_size=len(data) + 1), parse)
        except pa.ArrowException:
            return None
        return _timed(table, self.types) if len(table) == lines else None

    def _by_hand(self, data: Any, file: Any) -> Any:
        import pyarrow as pa

        rows, columns = list(self._rows(data, file)), {}
        for row in rows:
            columns.update(dict.fromkeys(row))
        for name in columns:
            columns[name] = self._column(name, [row.get(name) for row in rows])
        return _timed(pa.table(columns), self.types)

    def _rows(self, data: Any, file: Any) -> Iterator[Any]:
        for n, line in enumerate(data.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                why = "it is another value"
            except ValueError as found:
                row, why = None, str(found)
            if isinstance(row, dict):
                yield row
            elif not self.drop:
                message = f"line {n} of '{file}' is no JSON object ({why}): mend it, or make the dataset with invalid_lines=drop"
                raise errors.make(errno.EBADMSG, message)

    def _column(self, name: str, values: Any) -> Any:
        import pyarrow as pa

        kinds = {type(x) for x in values if x is not None}
        if kinds == {int, float}:
            values = [None if x is None else float(x) for x in values]
        elif len(kinds) > 1 or (self.types.get(name) == "string" and kinds != {str}):
            values = [_values.told(x) for x in values]
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):
            return pa.array([_values.told(x) for x in values], pa.string())


def _timed(table: Any, types: Any) -> Any:
    """Columns of times as such."""
    import pyarrow as pa

    for i, name in enumerate(table.column_names):
        column = table.column(i)
        if types.get(name) == "datetime" and column.type == pa.string():
            table = table.set_column(i, name, _values.convert(column, "datetime"))
        elif pa.types.is_timestamp(column.type):
            table = table.set_column(i, name, column.cast(pa.timestamp("us")))
    return table
