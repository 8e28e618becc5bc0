# SPDX-License-Identifier: Apache-2.0
"""The steps of a definition that work on rows, table by table."""

from __future__ import annotations

import ast
import errno
import operator
import random
import re
from collections.abc import Iterator
from typing import Any

from . import _values, errors


def names(x: Any) -> Any:
    return [x] if isinstance(x, str) else list(x) if isinstance(x, (list, tuple)) else []


def keys_of(text: str) -> Any:
    """What is in braces in a partition_format."""
    return re.findall(r"\{([^{}]+)\}", text.replace("{{", "").replace("}}", ""))


def _chosen(args: Any, have: Any) -> Any:
    """The columns that a name, a list, or a pattern object means."""
    if isinstance(args, dict):
        pattern = args.get("pattern") or args.get("regex") or ""
        flags = re.IGNORECASE if args.get("ignore_case") else 0
        found = [x for x in have if re.search(pattern, x, flags)]
        return [x for x in have if x not in found] if args.get("invert") else found
    return names(args)


def need(wanted: Any, have: Any) -> None:
    for x in wanted:
        if x not in have:
            raise wrong(f"there is no column '{x}': there are {', '.join(have)}")


def keep(table: Any, args: Any) -> Any:
    wanted = _chosen(args, table.column_names)
    need(wanted, table.column_names)
    return table.select(wanted)


def _drop(tables: Any, args: Any) -> Iterator[Any]:
    """A column that some files have is dropped of those; one that none has is a mistake."""
    seen: dict[str, None] = {}
    for table in tables:
        seen.update(dict.fromkeys(table.column_names))
        gone = set(_chosen(args, table.column_names))
        yield table.select([x for x in table.column_names if x not in gone])
    if seen and not isinstance(args, dict):
        need(names(args), list(seen))


def _convert(table: Any, args: Any) -> Any:
    import pyarrow as pa

    for one in args:
        for name in _chosen(one["columns"], table.column_names):
            i = table.schema.get_field_index(name)
            if i < 0:
                continue
            column, kind = table.column(i), one["column_type"]
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                column = _values.convert(column.cast(pa.string()), kind)
            elif _values.plain(kind) == "string":
                column = column.cast(pa.string())
            else:
                column = column.cast(_values.arrow(kind), safe=False)
            table = table.set_column(i, name, column)
    return table


def wrong(message: str) -> Any:
    return errors.make(errno.EINVAL, message)


# --- rows ---


def _skip(tables: Any, n: Any) -> Iterator[Any]:
    for t in tables:
        yield t.slice(min(n, len(t)))
        n = max(n - len(t), 0)


def _take(tables: Any, n: Any) -> Iterator[Any]:
    for t in tables:
        yield t.slice(0, n)
        n -= len(t)
        if n <= 0:
            return


def _sample(tables: Any, low: Any, high: Any, seed: Any) -> Iterator[Any]:
    import pyarrow as pa

    stream = random.Random(0 if seed is None else seed)
    for t in tables:
        draws = [stream.random() for _ in range(len(t))]
        yield t.filter(pa.array([low <= x < high for x in draws], pa.bool_()))


def _sampler(args: Any) -> Any:
    if "probability" in args:
        return 0.0, float(args["probability"]), args.get("seed")
    inner = args.get("sampler_arguments") or {}
    low = float(inner.get("probability_lower_bound") or 0)
    return low, float(inner.get("probability", 1)), inner.get("seed")


def _each(fn: Any) -> Any:
    return lambda tables, args: (fn(t, args) for t in tables)


_STEPS = {
    "take": lambda tables, n: _take(tables, int(n)),
    "skip": lambda tables, n: _skip(tables, int(n)),
    "take_random_sample": lambda tables, args: _sample(tables, *_sampler(args)),
    "sample": lambda tables, args: _sample(tables, *_sampler(args)),
    "keep_columns": _each(keep),
    "drop_columns": _drop,
    "filter": _each(lambda t, text: t.filter(condition(text, t))),
    "convert_column_types": _each(_convert),
}


def run(steps: Any, tables: Any, converted: Any) -> Any:
    """converted: the types of texts are what the definition says already."""
    for name, args in steps:
        if name == "convert_column_types" and converted:
            args = [x for x in args if isinstance(x["columns"], dict)]
        fn = _STEPS.get(name)
        if fn is None:
            message = f"the step '{name}' over rows is not known here; known are {', '.join(sorted(_STEPS))}"
            raise errors.make(errno.ENOTSUP, message)
        tables = fn(tables, args)
    return tables


def wanted(steps: Any, columns: Any) -> Any:
    """The columns that have to be read; None: all."""
    for name, args in steps:
        if name == "keep_columns" and not isinstance(args, dict):
            return names(args)
        if name not in ("take", "skip", "take_random_sample", "sample"):
            return None
    return columns


# --- expressions ---

_OPERATORS = {
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater",
    ast.GtE: "greater_equal", ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.And: "and_kleene", ast.Or: "or_kleene", ast.BitAnd: "and_kleene", ast.BitOr: "or_kleene",
}  # fmt: skip
_METHODS = {"startswith": "starts_with", "endswith": "ends_with", "contains": "match_substring"}


def condition(text: str, table: Any) -> Any:
    """Which rows of a table an expression is true for: col("a") > 1 and not (col("b") == "x" or ...)."""
    import pyarrow as pa

    try:
        found = _value(ast.parse(text.strip(), mode="eval").body, table)
    except (SyntaxError, TypeError, pa.ArrowException) as why:
        raise wrong(f"the filter '{text}' is not to be understood ({why})") from why
    if isinstance(found, bool):
        found = pa.array([found] * len(table), pa.bool_())
    if found.type != pa.bool_():
        raise wrong(f"the filter '{text}' has to be true or false of a row")
    return found


def _value(e: Any, table: Any) -> Any:
    fn: Any = _KINDS.get(type(e))
    if fn is None:
        raise TypeError(f"{type(e).__name__} is not known: there are col(NAME), comparisons, and, or, not, + - * /, "
                        "startswith, endswith, contains")  # fmt: skip
    return fn(e, table)


def _column(name: str, table: Any) -> Any:
    need([name], table.column_names)
    return table.column(name)


def _call(e: Any, table: Any) -> Any:
    import pyarrow.compute as pc

    arguments = [_value(x, table) for x in e.args]
    if isinstance(e.func, ast.Name) and e.func.id == "col" and len(arguments) == 1:
        return _column(arguments[0], table)
    if isinstance(e.func, ast.Name) and e.func.id in ("r", "datetime") and arguments:
        import datetime

        return datetime.datetime(*arguments)
    if isinstance(e.func, ast.Attribute) and e.func.attr in _METHODS and len(arguments) == 1:
        return getattr(pc, _METHODS[e.func.attr])(_value(e.func.value, table), arguments[0])
    if isinstance(e.func, ast.Attribute) and e.func.attr == "is_null":
        return pc.is_null(_value(e.func.value, table))
    raise TypeError(f"'{ast.unparse(e.func)}' is not known")


def _compare(e: Any, table: Any) -> Any:
    import pyarrow.compute as pc

    found, left = None, _value(e.left, table)
    for op, x in zip(e.ops, e.comparators):
        right = _value(x, table)
        if right is None or left is None:
            one = _missing(op, right if left is None else left)
        else:
            one = getattr(pc, _named(op))(*_alike(left, right))
        found = one if found is None else pc.and_kleene(found, one)
        left = right
    return found


def _missing(op: Any, column: Any) -> Any:
    import pyarrow.compute as pc

    if isinstance(op, (ast.Eq, ast.Is)):
        return pc.is_null(column)
    if isinstance(op, (ast.NotEq, ast.IsNot)):
        return pc.is_valid(column)
    raise TypeError("None is only equal or not equal")


def _named(op: Any) -> Any:
    if type(op) not in _OPERATORS:
        raise TypeError(f"{type(op).__name__} is not known")
    return _OPERATORS[type(op)]


def _alike(left: Any, right: Any) -> Any:
    """A text beside a time is one, too."""
    import datetime

    import pyarrow as pa

    def time(x: Any, other: Any) -> Any:
        kind = getattr(other, "type", None)
        if isinstance(x, str) and kind is not None and pa.types.is_timestamp(kind):
            return pa.scalar(_values.naive(datetime.datetime.fromisoformat(x.replace("Z", "+00:00"))), kind)
        return x

    return time(left, right), time(right, left)


def _joined(e: Any, table: Any) -> Any:
    import pyarrow.compute as pc

    found = _value(e.values[0], table)
    for x in e.values[1:]:
        found = getattr(pc, _named(e.op))(found, _value(x, table))
    return found


def _binary(e: Any, table: Any) -> Any:
    import pyarrow.compute as pc

    return getattr(pc, _named(e.op))(_value(e.left, table), _value(e.right, table))


def _unary(e: Any, table: Any) -> Any:
    import pyarrow.compute as pc

    x = _value(e.operand, table)
    if isinstance(e.op, (ast.Not, ast.Invert)):
        return pc.invert(x)
    return operator.neg(x) if isinstance(x, (int, float)) else pc.negate(x)


_KINDS = {
    ast.Constant: lambda e, table: e.value,
    ast.Call: _call,
    ast.Compare: _compare,
    ast.BoolOp: _joined,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Subscript: lambda e, table: _column(e.slice.value, table),
}
