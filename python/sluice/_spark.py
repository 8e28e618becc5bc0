# SPDX-License-Identifier: Apache-2.0
"""Tabular datasets as data frames of Spark, which reads the files itself; docs/tables.md has what differs."""

from __future__ import annotations

import ast
import errno
import functools
import operator
import os
import tempfile
import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import unquote, urlsplit

from . import _lib, _steps, _values, errors
from ._delimited import first_record
from ._pieces import pieces
from .tables import _DEFAULTS, Plan, _partitions


def session(spark: Any = None) -> Any:
    if spark is not None:
        return spark
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()


def frame(data: Any, spark: Any = None) -> Any:
    spark = session(spark)
    plan = Plan(data)
    read = {"delimited": _delimited, "json_lines": _json, "parquet": _parquet}.get(plan.kind or "", _other)
    found = read(plan, spark, _Source(data, spark))
    for name, args in plan.steps:
        if name not in _STEPS:
            raise errors.make(errno.ENOTSUP, f"the step '{name}' over rows is not known here")
        found = _STEPS[name](found, args)
    return found


class _Source:
    """What spark.read has to be told, of a dataset or a file of it."""

    def __init__(self, data: Any, spark: Any) -> None:
        self.data, self.spark = data, spark
        self.view = data.as_hdfs()
        said = self.view.properties
        self.options = dict(said["options"])
        settings = dict(said["conf"])
        if said.get("secret_refs"):
            settings.update(_settings(self.view))
        if not settings:
            return
        context = getattr(spark, "_jsc", None)
        if context is None:  # a session over Spark Connect: only the reader can be told
            self.options.update(settings)
            return
        hadoop = context.hadoopConfiguration()
        for key, value in settings.items():
            hadoop.set(key, value)

    def load(self, kind: str, options: Any, schema: Any = None, where: Any = None) -> Any:
        reader = self.spark.read.format(kind).options(**{**self.options, **options})
        reader = reader if schema is None else reader.schema(schema)
        return reader.load(where or self.view.where)

    def places(self, files: Any) -> list[Any]:
        """The URIs of some of its files."""
        return [type(self.data)(self.data._ws, ref).as_hdfs().where for _, ref, _ in files]


def _settings(view: Any) -> dict[str, Any]:
    """With what the references to secrets lead to."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = os.path.join(folder, "core-site.xml")
        _lib.call("view_save", view._v, b"hadoop", _lib.text(path))
        return {x.findtext("name") or "": x.findtext("value") or "" for x in ElementTree.parse(path).iter("property")}


# --- reading ---


def _text_schema(names: Any) -> Any:
    from pyspark.sql import types

    return types.StructType([types.StructField(x, types.StringType()) for x in names])


def _delimited(plan: Any, spark: Any, source: Any) -> Any:
    columns = plan.columns()
    names = _values.unique([x for x, _ in columns])
    kinds = {name: kind for name, (_, kind) in zip(names, columns)}
    args = {**_DEFAULTS, **plan.args}
    wide = args["encoding"] in ("utf16", "utf32")
    options = {
        "sep": args["delimiter"], "encoding": _CHARSETS[args["encoding"]], "quote": '"', "escape": '"',
        "multiLine": str(args["support_multi_line"] or wide).lower(), "header": "true", "inferSchema": "false",
        "nullValue": "\1",  # else a field of two quotes, which is a text, would be null
    }  # fmt: skip
    if args["header"] == "no_header":
        options["header"] = "false"
    if args["header"] == "all_files_different_headers":
        found = _by_name(plan, source, options, args)
    elif args["header"] == "from_first_file":
        found = _first_header(plan, source, options, args, _text_schema(names))
    else:
        found = _beside(plan, _csv(source, options, args, _text_schema(names)))
    return _typed(found, kinds)


def _csv(source: Any, options: Any, args: Any, schema: Any, where: Any = None) -> Any:
    found = source.load("csv", options, schema, where)
    return found.fillna("") if args["empty_as_string"] else found


_CHARSETS = {"utf8": "UTF-8", "utf8bom": "UTF-8", "ascii": "US-ASCII", "latin1": "ISO-8859-1", "iso88591": "ISO-8859-1",
             "utf16": "UTF-16", "utf32": "UTF-32", "windows1252": "windows-1252"}  # fmt: skip


def _header(plan: Any, file: Any, args: Any) -> Any:
    path, ref, _ = file
    with plan.data._ws.open(ref) as f:
        for data in pieces(f.raw, path, args["encoding"], args["support_multi_line"]):
            found = first_record(data, args)
            if found is not None:
                return _values.unique([x or "" for x in found[0]])
    return None


def _by_name(plan: Any, source: Any, options: Any, args: Any) -> Any:
    found = []
    for file in plan.files:
        names = _header(plan, file, args) if file[2] else None
        if names:
            where = source.places([file])
            found.append(_beside(plan, _csv(source, options, args, _text_schema(names), where), [file]))
    if not found:
        return _beside(plan, _csv(source, options, args, _text_schema([])))
    return functools.reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), found)


def _first_header(plan: Any, source: Any, options: Any, args: Any, schema: Any) -> Any:
    files = [x for x in plan.files if x[2]]
    first = next((i for i, x in enumerate(files) if _header(plan, x, args)), 0)
    parts = []
    for chosen, header in ((files[first : first + 1], "true"), (files[first + 1 :], "false")):
        if chosen:
            more = {**options, "header": header}
            parts.append(_beside(plan, _csv(source, more, args, schema, source.places(chosen)), chosen))
    return functools.reduce(lambda a, b: a.union(b), parts)


def _json(plan: Any, spark: Any, source: Any) -> Any:
    kinds = dict(plan.columns())
    found = source.load("json", source.options)
    have = found.columns
    found = found.select(*[_name(x) for x in [*[k for k in kinds if k in have], *[x for x in have if x not in kinds]]])
    times = {k: t for k, t in kinds.items() if t == "datetime" and k in have}
    return _typed(_beside(plan, found), times)


def _parquet(plan: Any, spark: Any, source: Any) -> Any:
    return _beside(plan, source.load("parquet", {"mergeSchema": "true"}))


def _other(plan: Any, spark: Any, source: Any) -> Any:
    return _beside(plan, source.load(source.view.properties.get("format") or plan.kind, source.options))


# --- columns ---


def _name(x: Any) -> Any:
    return "`" + x.replace("`", "``") + "`"


def _typed(found: Any, kinds: Any) -> Any:
    from pyspark.sql import functions

    out = []
    for name in found.columns:
        kind = kinds.get(name)
        column = functions.col(_name(name))
        out.append((column if kind is None else _cast(column, kind)).alias(name))
    return found.select(*out)


def _cast(column: Any, kind: str) -> Any:
    from pyspark.sql import functions

    options = next(iter(kind.values()), None) if isinstance(kind, dict) else None
    kind = _values.plain(kind)
    if kind not in _values._SHAPES:
        return column
    text = functions.regexp_replace(column.cast("string"), r"^[ \t]+|[ \t]+$", "")
    if options:
        return _special(text, kind, options)
    right = functions.when(text.rlike(_values._SHAPES[kind]), text)
    if kind == "boolean":
        return functions.when(right.isNotNull(), functions.lower(right).isin("true", "1"))
    return right.try_cast({"int": "bigint", "float": "double", "datetime": "timestamp"}[kind])


def _special(text: Any, kind: str, options: Any) -> Any:
    """Formats and marks: each executor does what this package does elsewhere."""
    from pyspark.sql import functions, types

    if kind == "boolean":
        yes, no = (list(map(str, _values._list(options.get(x)))) for x in ("true_values", "false_values"))
        other = {"true": True, "false": False}.get(str(options.get("mismatch_as", "")).lower())
        found = functions.when(text.isin(*yes), True).when(text.isin(*no), False)
        return found.otherwise(other).cast("boolean") if other is not None else found
    if kind == "datetime":
        formats = [_java_format(x) for x in _values._list(options.get("formats"))]
        return functions.coalesce(*[functions.try_to_timestamp(text, functions.lit(x)) for x in formats])
    mark = options.get("decimal_mark") or "."
    if mark != ".":
        text = functions.translate(functions.translate(text, ".", ""), mark, ".")
    return text.try_cast(types.LongType() if kind == "int" else types.DoubleType())


_JAVA = {"Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "S": "ss", "y": "yy", "b": "MMM", "B": "MMMM",
         "I": "hh", "p": "a", "f": "SSSSSS", "j": "DDD", "a": "EEE", "%": "%"}  # fmt: skip


def _java_format(text: str) -> Any:
    """A format of strftime as Java has it."""
    out, i = "", 0
    while i < len(text):
        if text[i] == "%" and text[i + 1 : i + 2] in _JAVA:
            out, i = out + _JAVA[text[i + 1]], i + 2
            continue
        out += f"'{text[i]}'" if text[i].isalpha() else text[i]
        i += 1
    return out.replace("''", "")


def _beside(plan: Any, found: Any, files: Any = None) -> Any:
    """Path, and the columns of the path, joined by the file that a row is of."""
    from pyspark.sql import functions

    parts = _partitions(plan)
    names = [plan.path_column] if plan.path_column else []
    names += next(iter(parts.values()), {}).keys()
    if not names:
        return found
    rows = []
    for uri, path in _named(found.inputFiles(), [x[0] for x in files or plan.files]).items():
        more = parts.get(path, {})
        rows.append((uri, *[path if x == plan.path_column else more.get(x) for x in names]))
    mark = _values.fresh("_file", [*found.columns, *names])
    rest = [x for x in found.columns if x not in names]
    beside = found.sparkSession.createDataFrame(rows, _text_schema([mark, *names]))
    for x in plan.times:
        beside = beside.withColumn(x, _cast(functions.col(_name(x)), "datetime"))
    joined = found.select(*map(_name, rest)).withColumn(mark, functions.input_file_name())
    return joined.join(functions.broadcast(beside), mark, "left").select(*map(_name, [*names, *rest]))


def _named(uris: Any, paths: Any) -> dict[str, Any]:
    """The path in views of each file, of the URIs that Spark has for them: one folder is above all of them."""
    plain = {uri: unquote(urlsplit(uri).path) for uri in uris}
    known, above = set(paths), None
    for text in plain.values():
        parts = text.split("/")
        here = {"/".join(parts[:i]) for i in range(len(parts)) if "/".join(parts[i:]) in known}
        above = here if above is None else above & here
    top = max(above or {""}, key=len)
    return {uri: text[len(top) + 1 :] for uri, text in plain.items()}


# --- steps ---


def _sample(found: Any, args: Any) -> Any:
    from pyspark.sql import functions

    low, high, seed = _steps._sampler(args)
    draw = functions.rand(0 if seed is None else int(seed))
    return found.where((draw >= low) & (draw < high))


def _convert(found: Any, args: Any) -> Any:
    kinds = {}
    for one in args:
        for x in _steps._chosen(one["columns"], found.columns):
            if x in found.columns and dict(found.dtypes)[x] == "string":
                kinds[x] = one["column_type"]
            elif x in found.columns:
                found = found.withColumn(x, found[_name(x)].cast(_TYPES[_values.plain(one["column_type"])]))
    return _typed(found, kinds)


_TYPES = {"boolean": "boolean", "int": "bigint", "float": "double", "datetime": "timestamp", "string": "string"}

_STEPS = {
    "take": lambda found, n: found.limit(int(n)),
    "skip": lambda found, n: found.offset(int(n)),
    "take_random_sample": _sample,
    "sample": _sample,
    "keep_columns": lambda found, args: found.select(*map(_name, _steps._chosen(args, found.columns))),
    "drop_columns": lambda found, args: found.drop(*_steps._chosen(args, found.columns)),
    "filter": lambda found, text: found.where(_expression(text, found)),
    "convert_column_types": _convert,
}

_OPERATORS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
              ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Add: operator.add, ast.Sub: operator.sub,
              ast.Mult: operator.mul, ast.Div: operator.truediv, ast.And: operator.and_, ast.Or: operator.or_,
              ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.Is: operator.eq,
              ast.IsNot: operator.ne}  # fmt: skip


def _expression(text: str, found: Any) -> Any:
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, found)
    except (SyntaxError, TypeError) as why:
        raise _steps.wrong(f"the filter '{text}' is not to be understood ({why})") from why


def _value(e: Any, found: Any) -> Any:
    fn: Any = _KINDS.get(type(e))
    if fn is None:
        raise TypeError(f"{type(e).__name__} is not known")
    return fn(e, found)


def _compare(e: Any, found: Any) -> Any:
    left, out = _value(e.left, found), None
    for op, x in zip(e.ops, e.comparators):
        right = _value(x, found)
        if right is None:
            one = left.isNull() if isinstance(op, (ast.Eq, ast.Is)) else left.isNotNull()
        else:
            one = _OPERATORS[type(op)](left, right)
        out, left = one if out is None else out & one, right
    return out


def _call(e: Any, found: Any) -> Any:
    from pyspark.sql import functions

    arguments = [_value(x, found) for x in e.args]
    if isinstance(e.func, ast.Name) and e.func.id == "col":
        return functions.col(_name(arguments[0]))
    if isinstance(e.func, ast.Name) and e.func.id == "datetime":
        import datetime

        return functions.lit(datetime.datetime(*arguments))
    if isinstance(e.func, ast.Attribute) and e.func.attr in _steps._METHODS:
        return getattr(_value(e.func.value, found), e.func.attr)(*arguments)
    if isinstance(e.func, ast.Attribute) and e.func.attr == "is_null":
        return _value(e.func.value, found).isNull()
    raise TypeError(f"'{ast.unparse(e.func)}' is not known")


def _unary(e: Any, found: Any) -> Any:
    x = _value(e.operand, found)
    return ~x if isinstance(e.op, (ast.Not, ast.Invert)) else -x


_KINDS = {
    ast.Constant: lambda e, found: e.value,
    ast.Call: _call,
    ast.Compare: _compare,
    ast.BoolOp: lambda e, found: functools.reduce(_OPERATORS[type(e.op)], [_value(x, found) for x in e.values]),
    ast.BinOp: lambda e, found: _OPERATORS[type(e.op)](_value(e.left, found), _value(e.right, found)),
    ast.UnaryOp: _unary,
    ast.Subscript: lambda e, found: found[e.slice.value],
}
