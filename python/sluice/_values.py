# SPDX-License-Identifier: Apache-2.0
"""Values of tables: the types of definitions in Arrow's words, and texts turned into them.  A text that is none of its
column's type is null, as in Azure ML's engine."""

from __future__ import annotations

import datetime
import math
from typing import Any

TRUE = ["true", "True", "TRUE", "1"]
FALSE = ["false", "False", "FALSE", "0"]
_SHAPES = {
    "int": r"^[+-]?[0-9]+$",
    "float": r"(?i)^[+-]?(nan|inf|infinity|[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|\.[0-9]+(e[+-]?[0-9]+)?)$",
    "boolean": r"(?i)^(true|false|0|1)$",
    "datetime": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$",
}


def plain(kind: str) -> Any:
    """The name of a type, of what a definition says of a column."""
    if isinstance(kind, dict):
        kind = next(iter(kind))
    return {"bool": "boolean", "long": "int", "integer": "int", "double": "float", "str": "string"}.get(kind, kind)


def arrow(kind: str) -> Any:
    import pyarrow as pa

    types = {"boolean": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "datetime": pa.timestamp("us")}
    return types.get(plain(kind), pa.string())


def fresh(name: str, taken: Any) -> Any:
    """The name, or where it is taken the same with a number."""
    n, one = 2, name
    while one in taken:
        one, n = f"{name}_{n}", n + 1
    return one


def unique(names: Any) -> Any:
    """Names for columns: none twice, none empty."""
    out: list[str] = []
    for i, name in enumerate(names):
        out.append(fresh(name or f"Column{i + 1}", out))
    return out


def convert(column: Any, kind: str) -> Any:
    """A column of texts as one of a type; {"datetime": {"formats": [...]}} and the like as MLTable has them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = next(iter(kind.values()), None) if isinstance(kind, dict) else None
    kind = plain(kind)
    if kind not in _SHAPES:
        return column
    text = pc.utf8_trim(column, " \t")
    if options:
        return _special(text, kind, options)
    text = pc.if_else(pc.match_substring_regex(text, _SHAPES[kind]), text, pa.scalar(None, pa.string()))
    if kind == "boolean":
        return pc.is_in(pc.utf8_lower(text), pa.array(["true", "1"])) if not text.null_count else _truths(text)
    if kind != "datetime":
        text = pc.replace_substring_regex(text, r"^\+", "")
    try:
        return _times(text) if kind == "datetime" else text.cast(arrow(kind))
    except pa.ArrowInvalid:  # a value beyond what the type holds
        return _each(text, {"int": _int, "float": float, "datetime": _time}[kind], arrow(kind))


def _truths(text: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.is_in(pc.utf8_lower(text), pa.array(["true", "1"]))
    return pc.if_else(pc.is_null(text), pa.scalar(None, pa.bool_()), found)


def _times(text: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    none = pa.scalar(None, pa.string())
    zoned = pc.match_substring_regex(text, r":.*(Z|[+-][0-9]{2}:?[0-9]{2})$")
    local = pc.if_else(zoned, none, text).cast(pa.timestamp("us"))
    if not pc.any(zoned).as_py():
        return local
    utc = pc.if_else(zoned, text, none).cast(pa.timestamp("us", "UTC"))
    return pc.coalesce(utc.cast(pa.int64()).cast(pa.timestamp("us")), local)


def _int(text: str) -> Any:
    n = int(text)
    return n if -(1 << 63) <= n < 1 << 63 else None


def _time(text: str) -> Any:
    text = text.replace(",", ".")
    head, dot, rest = text.partition(".")
    if dot:  # Python before 3.11 takes three or six digits
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{digits[:6]:0<6}{rest[len(digits) :]}"
    return naive(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")))


def naive(t: Any) -> Any:
    """A time as UTC without saying so."""
    return t.astimezone(datetime.timezone.utc).replace(tzinfo=None) if t.tzinfo else t


def _each(column: Any, fn: Any, kind: str) -> Any:
    import pyarrow as pa

    def one(x: Any) -> Any:
        try:
            return None if x is None else fn(x)
        except (ValueError, OverflowError):
            return None

    return pa.chunked_array([pa.array([one(x) for x in column.to_pylist()], kind)])


def _special(text: str, kind: str, options: Any) -> Any:
    if kind == "datetime":
        formats = options.get("formats") or []
        formats = [formats] if isinstance(formats, str) else formats
        return _each(text, lambda x: _by_formats(x, formats), arrow(kind))
    if kind == "boolean":
        yes, no = (set(map(str, _list(options.get(x)))) for x in ("true_values", "false_values"))
        other = {"true": True, "false": False}.get(str(options.get("mismatch_as", "")).lower())
        return _each(text, lambda x: True if x in yes else False if x in no else other, arrow(kind))
    mark = options.get("decimal_mark") or "."
    return _each(text, lambda x: _number(x, mark, kind), arrow(kind))


def _list(x: Any) -> Any:
    return [] if x is None else x if isinstance(x, list) else [x]


def _number(text: str, mark: Any, kind: str) -> Any:
    if mark != ".":
        text = text.replace(".", "").replace(mark, ".")
    return _int(text) if kind == "int" else float(text.replace("_", "x"))


def _by_formats(text: str, formats: Any) -> Any:
    for one in formats:
        try:
            return naive(datetime.datetime.strptime(text, one))
        except ValueError:
            continue
    return None if formats else _time(text)


# --- tables whose columns are not the same ---


def unified(tables: Any) -> Any:
    """One table of several: the columns of all in the order of first sight, null where one is not there."""
    import pyarrow as pa

    kinds: dict[str, list[Any]] = {}
    for t in tables:
        for f in t.schema:
            kinds.setdefault(f.name, []).append(f.type)
    schema = pa.schema([(name, common(found)) for name, found in kinds.items()])
    return pa.concat_tables([fitted(t, schema) for t in tables]) if tables else schema.empty_table()


def common(types: Any) -> Any:
    import pyarrow as pa

    found = list(dict.fromkeys(x for x in types if x != pa.null()))
    if len(found) <= 1:
        return found[0] if found else pa.null()
    try:
        wide = pa.unify_schemas([pa.schema([("x", t)]) for t in found], promote_options="permissive")
        return wide.field(0).type
    except pa.ArrowException:
        return pa.string()


def fitted(table: Any, schema: Any) -> Any:
    """The table with the columns of the schema."""
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    columns = []
    for f in schema:
        i = table.schema.get_field_index(f.name)
        columns.append(pa.nulls(len(table), f.type) if i < 0 else _cast(table.column(i), f.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: Any, kind: str) -> Any:
    import pyarrow as pa

    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowException:
        return pa.chunked_array([pa.array([told(x) for x in column.to_pylist()], kind)])


def told(x: Any) -> Any:
    """A value of JSON as a text."""
    import json

    if x is None or isinstance(x, str):
        return x
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return json.dumps(x, ensure_ascii=False, default=str)
