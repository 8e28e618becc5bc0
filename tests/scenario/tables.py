# SPDX-License-Identifier: Apache-2.0
"""Random tables as text, with all that is hard about it, and what their values mean."""

import datetime
import math
import re

ENCODINGS = {"utf8": "utf-8", "utf8bom": "utf-8-sig", "latin1": "latin-1", "windows1252": "cp1252", "ascii": "ascii",
             "utf16": "utf-16", "utf32": "utf-32", "iso88591": "latin-1"}  # fmt: skip
HEADERS = ["all_files_same_headers", "no_header", "from_first_file", "all_files_different_headers"]
WORDS = ["x", "Zoë", "null", "NA", "a b", " lead", "trail ", "#", "1e5x", "yes", "-", "007a", "1,000", "5%"]


def some_value(rng, kind):
    if rng.random() < 0.1:
        return ""
    if kind == "int":
        return rng.choice([str(rng.randint(-999, 999)), "007", " 8", "+5", "0", str(rng.randint(0, 1 << 62))])
    if kind == "float":
        return rng.choice(["1.5", "-2", "1e5", "NaN", "inf", "-.5", "3.", str(rng.uniform(-9, 9))])
    if kind == "bool":
        return rng.choice(["true", "FALSE", "True", "0", "1", "fAlse"])
    if kind == "date":
        return rng.choice(["2024-01-31", "1999-12-31 23:59:59", "2024-02-29T08:00:00.250", "2024-01-31 08:00"])
    return rng.choice(WORDS)


def field(rng, text, sep, rough):
    """As it stands in a file: in quotes where it has to be, or where it pleases."""
    if sep in text or text.startswith('"') or "\n" in text or rng.random() < 0.15:
        return '"' + text.replace('"', '""') + '"'
    if rough and rng.random() < 0.05:
        return rng.choice(['a"b', '"x"y', '"open', '""', '"q ""r"" s"'])
    return text


def some_table(rng, rough=True):
    """Options of read_delimited, and {name: bytes}.  rough: with what text of people's own has."""
    encoding = rng.choice(list(ENCODINGS)) if rough else "utf8"
    multi = rng.random() < 0.4
    sep = rng.choice([",", ",", ";", "\t", "|", "::"] if rough else [",", ";", "\t"])
    options = {"delimiter": sep, "header": rng.choice(HEADERS), "support_multi_line": multi, "encoding": encoding,
               "empty_as_string": rng.random() < 0.2, "include_path_column": rng.random() < 0.3,
               "infer_column_types": rng.random() < 0.8}  # fmt: skip
    names = ["a", "b c", "d", "e", "f"][: rng.randint(1, 5)]
    kinds = {n: rng.choice(["int", "float", "bool", "date", "text", "text"]) for n in names}
    files = {}
    for i in range(rng.randint(1, 3)):
        own = list(names)
        if options["header"] == "all_files_different_headers":
            rng.shuffle(own)
            own = own[: rng.randint(1, len(own))]
        files[f"{i}.csv"] = some_file(rng, options, own, kinds, rough, headed(options, i)).encode(
            ENCODINGS[encoding], "replace"
        )
    return options, files


def headed(options, i):
    return options["header"] != "no_header" and (i == 0 or options["header"] != "from_first_file")


def some_file(rng, options, names, kinds, rough, header):
    sep, end = options["delimiter"], rng.choice(["\n", "\r\n"]) if rough else "\n"
    lines = [sep.join(names)] if header else []
    for _ in range(rng.randint(0, 12)):
        values = [some_value(rng, kinds[n]) for n in names]
        if options["support_multi_line"] and kinds[names[-1]] == "text" and rng.random() < 0.2:
            values[-1] = "two\nlines"
        if len(names) == 1 and values == [""]:
            values = ["x"]
        cells = [field(rng, v, sep, rough) for v in values]
        if rough and rng.random() < 0.04:
            cells = cells + ["more"] if rng.random() < 0.5 else cells[:-1] or cells
        lines.append(sep.join(cells))
        if rough and rng.random() < 0.05:
            lines.append("")
    return end.join(lines) + (end if rng.random() < 0.7 else "")


def meant(text, kind):
    """What a text is in a column of a type; None where it is nothing."""
    if text is None or kind == "string":
        return text
    text = text.strip(" \t")
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if kind == "int":
        return int(text) if re.fullmatch(r"[+-]?\d+", text) and abs(int(text)) < 1 << 63 else None
    if kind == "float":
        plain = re.fullmatch(r"[+-]?(nan|inf|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", text, re.I)
        return float(text) if plain else None
    if not re.match(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)", text):
        return None
    return datetime.datetime.fromisoformat(text)


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def some_json(rng):
    """{name: [object, ...]}: values of one type, of several, nested, and none."""
    kinds = {
        "i": lambda: rng.randint(-5, 1 << 40),
        "f": lambda: rng.choice([1.5, 2, -3.25]),
        "s": lambda: rng.choice(["x", "é", "2024-01-01x", ""]),
        "b": lambda: rng.random() < 0.5,
        "m": lambda: rng.choice([1, "a", True, 2.5]),
        "l": lambda: [rng.randint(0, 3)] * rng.randint(0, 3),
        "o": lambda: {"p": rng.randint(0, 9)},
    }
    keys = rng.sample(sorted(kinds), rng.randint(1, 5))

    def one():
        return {k: None if rng.random() < 0.15 else kinds[k]() for k in keys if rng.random() < 0.8}

    return {f"{i}.jsonl": [one() for _ in range(rng.randint(1, 8))] for i in range(rng.randint(1, 3))}
