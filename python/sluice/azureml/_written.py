# SPDX-License-Identifier: Apache-2.0
"""Tables written as files: to_csv_files(), to_parquet_files(), partition_by()."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import sluice

from ._datastore import DataPath, place
from ._errors import UserErrorException

EXTRACT = "extract_columns_from_partition_format"
NULL, PART = "__HIVE_DEFAULT_PARTITION__", "part-00000.parquet"


class Spec:
    """Where the rows of a table are as files.  The folder is named by what they are made of, so that they are made once."""

    def __init__(self, table: Any, kind: str, separator: str = ",") -> None:
        self.table, self.kind, self.separator = table, kind, separator

    def made(self) -> dict[str, Any]:
        """The definition of a dataset of them, which are there now."""
        store = self.table.workspace.get_default_datastore()
        ws = store.workspace._stores
        how = "" if self.separator == "," else "-" + self.separator.encode().hex()
        folder = f"dataset/{self.table.id}/{self.kind}{how}"
        target = place(store, f"{folder}/part-00000.{self.kind}")
        if not ws.exists(target):
            rows = _rows(self.table)
            with tempfile.TemporaryDirectory(prefix="sluice-") as at:
                path = os.path.join(at, "part")
                self._write(rows, path)
                ws.copy(path, target, overwrite=True)
        return {"path": place(store, folder)}

    def _write(self, rows: Any, path: Any) -> None:
        if self.kind == "parquet":
            from pyarrow import parquet

            parquet.write_table(rows, path)
            return
        from pyarrow import csv

        csv.write_csv(rows, path, csv.WriteOptions(delimiter=self.separator, quoting_style="needed"))

    def __repr__(self) -> str:
        return f"{self.kind} of {self.table!r}"


def _rows(table: Any) -> Any:
    from ._tables import to_arrow

    return to_arrow(table._data)


def _groups(rows: Any, keys: Any) -> Iterator[Any]:
    """For each set of values of the keys these, and the rows that have them, without the keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows.append_column("", pa.array(range(rows.num_rows), pa.int64()))
    found = rows.group_by(keys, use_threads=False).aggregate([("", "list")])
    rest = rows.drop_columns(["", *keys])
    for one in found.to_pylist():
        yield [one[k] for k in keys], rest.take(pc.cast(pa.array(one["_list"]), pa.int64()))


def _named(key: str, value: Any) -> Any:
    """A value as the folder of its rows: what a partition_format reads as one column."""
    text = NULL if value is None else str(value)
    if not text or any(x in text for x in "./\\"):
        raise UserErrorException(
            f"the value '{text}' of column '{key}' cannot name a folder: it is empty or has one of . / \\"
        )
    return text


def partitions(table: Any, keys: Any, target: Any) -> Any:
    """Writes them, in a folder that had nothing; the datastore, the folder's words, and the keys."""
    from pyarrow import parquet

    keys = [keys] if isinstance(keys, str) else list(keys)
    if isinstance(target, DataPath):
        target = (target.datastore, target.path_on_datastore)
    store, below = target if isinstance(target, tuple) else (target, "")
    below = [x for x in (below or "").split("/") if x]
    rows = _rows(table)
    for key in keys:
        if key not in rows.column_names:
            raise UserErrorException(f"there is no column '{key}': there are {', '.join(rows.column_names)}")
    ws = store.workspace._stores
    with tempfile.TemporaryDirectory(prefix="sluice-") as at:
        for values, part in _groups(rows, keys):
            folder = os.path.join(at, *(_named(k, v) for k, v in zip(keys, values)))
            os.makedirs(folder)
            parquet.write_table(part, os.path.join(folder, PART))
        try:
            ws.copy(at, place(store, "/".join(below)), recursive=True)
        except sluice.Exists as why:
            raise UserErrorException(f"{why}; partition_by() wants a folder of its own") from why
    return store, below, keys
