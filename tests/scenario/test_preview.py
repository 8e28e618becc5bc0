# SPDX-License-Identifier: Apache-2.0
"""The first rows of tables: encodings, quotes, headers, ragged rows, and that little is read for them."""

import json

import pytest
from conftest import BAD_INPUT, NOT_FOUND, asks_once

UNSUPPORTED = 12
everywhere = pytest.mark.only_on("local", "blob", "hns", "hdfs")
local = pytest.mark.local_only


def table(ws, files, *options):
    """Of files of one folder; the answer of `data preview`."""
    for name, data in files.items():
        ws.put(f"t/{name}", data)
    ws.register("t", "t", *(options or ["--read", "delimited"]))
    return ws.json("data", "preview", "t")


@everywhere
def test_only_the_beginning_is_read(ws):
    line = "a,b\n" + "".join(f"{i},row {i}\n" for i in range(200_000))
    ws.put("t/big.csv", line)
    ws.put("t/next.csv", line)
    ws.register("t", "t", "--delimiter", ",")
    shown = ws.json("data", "preview", "t", "--rows", "20")
    assert shown["columns"] == ["a", "b"] and len(shown["rows"]) == 20 and shown["files"] == 1
    assert shown["rows"][19] == ["19", "row 19"]
    assert shown["bytes_read"] <= 32 * 1024 and len(line) > 2_000_000
    schema = ws.json("data", "schema", "t")
    assert schema == [{"name": "a", "type": "int", "nulls": 0}, {"name": "b", "type": "string", "nulls": 0}]
    text = ws.run("data", "preview", "t", "-n", "2").out
    assert text == "a  b\n0  row 0\n1  row 1\n"


PATH = ["--option", "include_path_column=true"]
FORMAT = "/{dept}/{day:yyyy/MM}/{dept}.csv"


@everywhere
def test_columns_of_paths_stand_before_those_of_files(ws):
    ws.put_all({"t/law/2026/01/law.csv": "a,b\n1,x\n", "t/r&d 7/2026/02/f.csv": "a,b\n2,y\n", "t/z.csv": "a,b\n3,z\n"})
    ws.register("t", "t", "--read", "delimited", "--partition-format", FORMAT)
    shown = ws.json("data", "preview", "t")
    assert shown["columns"] == ["dept", "day", "a", "b"] and shown["notes"] == []
    assert shown["rows"] == [
        ["law", "2026-01-01T00:00:00Z", "1", "x"],
        ["r&d 7", "2026-02-01T00:00:00Z", "2", "y"],
        [None, None, "3", "z"],
    ]
    assert [(x["name"], x["type"], x["nulls"]) for x in ws.json("data", "schema", "t")] == [
        ("dept", "string", 1), ("day", "datetime", 1), ("a", "int", 0), ("b", "string", 0),
    ]  # fmt: skip
    told = [json.loads(x)["columns"] for x in ws.run("data", "partitions", "t", "-o", "json").out.splitlines()]
    assert [list(x.values()) for x in told] == [x[:2] for x in shown["rows"]]


@local
@pytest.mark.parametrize("header", ["all_files_same_headers", "all_files_different_headers", "no_header"])
def test_columns_of_paths_beside_those_of_the_same_name(ws, header):
    ws.put_all({"t/8/x.csv": "year,a\n1,2\n", "t/9/x.csv": "year,a\n3,4\n"})
    ws.register("t", "t", "--read", "delimited", "--header", header, "--partition-format", "/{year}/x.csv")
    shown = ws.json("data", "preview", "t")
    names = ["Column1", "Column2"] if header == "no_header" else ["year", "a"]
    assert shown["columns"] == ["year", *names]
    first = [["8", "year", "a"]] if header == "no_header" else []
    assert shown["rows"][:2] == [*first, ["8", "1", "2"], ["9", "3", "4"]][:2]
    assert any("'year'" in x for x in shown["notes"]) == (header != "no_header")
    assert ws.json("data", "schema", "t")[0] == {"name": "year", "type": "string", "nulls": 0}


@local
def test_columns_of_paths_of_json_lines(ws):
    ws.put_all({"t/8/x.jsonl": '{"a": 1}\n', "t/9/x.jsonl": '{"b": [2]}\n'})
    ws.register("t", "t", "--read", "json_lines", "--partition-format", "/{n}/x.jsonl", *PATH)
    shown = ws.json("data", "preview", "t")
    assert shown["columns"] == ["Path", "n", "a", "b"]
    assert shown["rows"] == [["8/x.jsonl", "8", 1, None], ["9/x.jsonl", "9", None, [2]]]
    assert [x["type"] for x in ws.json("data", "schema", "t")] == ["string", "string", "int", "object"]


@pytest.mark.only_on("hns")
def test_what_the_server_sent_is_what_was_counted(ws):
    ws.put("t/big.csv", "a,b\n" + "1,2\n" * 500_000)
    ws.register("t", "t", "--delimiter", ",")
    with ws.store.server.failing() as server:
        shown = asks_once(ws).json("data", "preview", "t")
        sent = [int(x["bytes"]) for x in server.log() if x["op"] == "get" and int(x["bytes"]) > 10_000]
    assert sum(sent) == shown["bytes_read"] == 32 * 1024


@local
@pytest.mark.parametrize(
    "encoding, python",
    [
        ("utf8", "utf-8"),
        ("utf8", "utf-8-sig"),
        ("utf8bom", "utf-8-sig"),
        ("latin1", "latin-1"),
        ("iso88591", "latin-1"),
        ("windows1252", "cp1252"),
        ("utf16", "utf-16"),
        ("utf32", "utf-32"),
        ("ascii", "ascii"),
    ],
)
def test_encodings(ws, encoding, python):
    name = "Zoe" if python == "ascii" else "Zoë €"[: 3 if python == "latin-1" else 5]
    rows = "".join(f"{i},{name}{i}\r\n" for i in range(20_000))  # characters on the edges of pieces
    shown = table(ws, {"a.csv": f"id,näme\n{rows}".replace("ä", name[2]).encode(python)}, "--encoding", encoding)
    assert shown["columns"] == ["id", f"n{name[2]}me"]
    assert shown["rows"][9] == ["9", f"{name}9"]
    many = ws.json("data", "preview", "t", "--rows", "15000")
    assert many["rows"][14_999] == ["14999", f"{name}14999"]


@local
def test_the_wrong_encoding_is_one_line_with_a_remedy(ws):
    ws.put("t/a.csv", "id,name\n1,Ann\n2,Zoë\n".encode("latin-1"))
    ws.register("t", "t", "--delimiter", ",")
    err = ws.run("data", "preview", "t", code=BAD_INPUT).err
    assert "line 3 of 'a.csv'" in err and "0xeb" in err and "--encoding" in err and len(err.splitlines()) == 1
    ws.register("t", "t", "--encoding", "latin1")
    assert ws.json("data", "preview", "t")["rows"][1] == ["2", "Zoë"]


@local
def test_quotes(ws):
    text = 'a,b\n"x, ""y""",2\n"two\nlines",3\n"",\n"open,4\n5,6\n'
    one = table(ws, {"a.csv": text})
    assert one["rows"][:2] == [['x, "y"', "2"], ["two", None]]
    many = table(ws, {"a.csv": text}, "--option", "support_multi_line=true")
    assert many["rows"][:3] == [['x, "y"', "2"], ["two\nlines", "3"], ["", None]]
    assert many["rows"][3][0].startswith("open,4")  # never closed: to the end
    assert table(ws, {"a.csv": text}, "--option", "empty_as_string=true")["rows"][3] == ["", ""]


@local
def test_headers(ws):
    files = {"1.csv": "a,b\n1,2\n", "2.csv": "b,c\n3,4\n"}
    shown = table(ws, files, "--header", "all_files_same_headers")
    assert shown["rows"] == [["1", "2"], ["3", "4"]] and "2.csv" in shown["notes"][0]
    shown = table(ws, files, "--header", "from_first_file")
    assert shown["columns"] == ["a", "b"] and shown["rows"] == [["1", "2"], ["b", "c"], ["3", "4"]]
    shown = table(ws, files, "--header", "all_files_different_headers")
    assert shown["columns"] == ["a", "b", "c"]
    assert shown["rows"] == [["1", "2", None], [None, "3", "4"]]
    shown = table(ws, files, "--header", "no_header")
    assert shown["columns"] == ["Column1", "Column2"] and len(shown["rows"]) == 4
    shown = table(ws, files, "--option", "include_path_column=true")
    assert shown["columns"] == ["Path", "a", "b"] and shown["rows"][1] == ["2.csv", "3", "4"]


@local
def test_ragged_rows_and_names_that_are_twice_there(ws):
    shown = table(ws, {"a.csv": "a,b,a,\n1\n\n1,2,3,4,5\n1,2,3,4\n"})
    assert shown["columns"] == ["a", "b", "a", "", "Column5"]
    assert shown["rows"] == [["1", None, None, None, None], ["1", "2", "3", "4", "5"], ["1", "2", "3", "4", None]]
    notes = "\n".join(shown["notes"])
    assert "'a' twice (columns 1 and 3)" in notes and "column 4 has no name" in notes
    assert "fewer fields" in notes and "more fields" in notes
    done = ws.run("data", "preview", "t")
    assert done.err.count("sluice: note: ") == len(shown["notes"]) == 4
    shown = table(ws, {"a.csv": "", "b.csv": "x;y\n"}, "--delimiter", ";")
    assert shown["columns"] == ["x", "y"] and shown["rows"] == []


@local
def test_a_line_that_does_not_end(ws):
    with open(ws.folder / "long.csv", "wb") as f:
        f.write(b"a,b\n1,2\n")
        f.truncate(1 << 30)  # zeros: a line of 1 GB
    ws.register("t", "long.csv", "--delimiter", ",")
    assert ws.json("data", "preview", "t", "--rows", "1")["bytes_read"] == 32 * 1024
    err = ws.run("data", "preview", "t", code=BAD_INPUT).err
    assert "line 3 of 'long.csv' is longer than 16 MiB" in err and "delimiter" in err


@local
def test_json_lines(ws):
    text = '{"a": 1, "b": "x"}\n\n{"b": "y", "c": {"d": [1, 2]}}\n[1]\n{"a": 2.5}\n'
    ws.put("j/a.jsonl", text)
    ws.register("j", "j", "--read", "json_lines")
    err = ws.run("data", "preview", "j", code=BAD_INPUT).err
    assert "line 4 of 'a.jsonl'" in err and "invalid_lines=drop" in err
    ws.register("j", "j", "--read", "json_lines", "--option", "invalid_lines=drop")
    shown = ws.json("data", "preview", "j")
    assert shown["columns"] == ["a", "b", "c"]
    assert shown["rows"] == [[1, "x", None], [None, "y", {"d": [1, 2]}], [2.5, None, None]]
    assert "1 lines" in shown["notes"][0]
    types = {c["name"]: c["type"] for c in ws.json("data", "schema", "j")}
    assert types == {"a": "float", "b": "string", "c": "object"}


@local
def test_types_as_azure_ml_infers_them(ws):
    text = (
        "bool,bit,int,zero,big,float,date,time,us,yes,mixed,empty\n"
        "true,0,-7,007,99999999999999999999,1e5,2024-01-31,2024-01-31 08:00:00,1/2/2020,yes,1,\n"
        "FALSE,1, 8,010,1,NaN,2024-02-01,2024-02-01T09:00:00Z,3/4/2020,no,x,\n"
    )
    ws.put("t/a.csv", text)
    ws.register("t", "t", "--delimiter", ",")
    types = [c["type"] for c in ws.json("data", "schema", "t")]
    assert types == ["boolean", "boolean", "int", "int", "float", "float", "datetime", "datetime"] + ["string"] * 4
    ws.register("t", "t", "--option", "infer_column_types=false", "--read", "delimited")
    assert {c["type"] for c in ws.json("data", "schema", "t")} == {"string"}


@local
def test_what_says_nothing_of_how_it_is_read(ws):
    ws.put("f.tsv", "a\tb\n1\t2\n")
    assert ws.json("data", "preview", ws.ref("f.tsv"))["columns"] == ["a", "b"]
    ws.put("f.bin", "x")
    assert "--read=delimited" in ws.run("data", "preview", ws.ref("f.bin"), code=BAD_INPUT).err
    ws.put("p/a.parquet", "PAR1")
    ws.register("p", "p", "--read", "parquet")
    assert "pyarrow" in ws.run("data", "preview", "p", code=UNSUPPORTED).err
    ws.run("data", "preview", "nosuch", code=NOT_FOUND)


@local
def test_what_spark_leaves_beside_its_files_is_not_read(ws):
    """Only where the definition says nothing; a definition's files are all read."""
    left = {"_SUCCESS": "", "_temporary/0/part-9.csv": "x\n9\n", ".part-0.csv.crc": "crc", "_meta": "m"}
    for name, data in {**left, "part-0.csv": "a\n1\n", "_day=1/part-1.csv": "a\n2\n"}.items():
        ws.put(f"out/{name}", data)
    ws.register("out", "out")
    shown = ws.json("data", "preview", "out")
    assert shown["columns"] == ["a"] and sorted(shown["rows"]) == [["1"], ["2"]] and shown["files"] == 2
    assert ws.json("data", "schema", "out") == [{"name": "a", "type": "int", "nulls": 0}]
    assert ws.json("data", "preview", ws.ref("out/_temporary/0/part-9.csv"))["rows"] == [["9"]]
    ws.register("all", "out", "--delimiter", ",")
    assert ws.json("data", "preview", "all")["files"] == 5
    ws.put("none/_SUCCESS", "x")
    ws.register("none", "none")
    assert "'_SUCCESS'" in ws.run("data", "preview", "none", code=BAD_INPUT).err
    ws.put("parquet/part-0.parquet", "PAR1")
    ws.put("parquet/_SUCCESS", "")
    ws.register("parquet", "parquet")
    assert "'parquet' data is not text" in ws.run("data", "preview", "parquet", code=UNSUPPORTED).err


@local
def test_what_is_wrong_with_a_reading_is_told_when_it_is_made(ws):
    ws.put("t/a.csv", "a\n")
    bad = [
        (["--read", "json_lines", "--option", "invalid_lines=skip"], "error or drop"),
        (["--read", "json_lines", "--option", "invalid_line=drop"], "did you mean 'invalid_lines'"),
        (["--read", "parquet", "--option", "include_path_column=maybe"], "true or false"),
        (["--read", "delimited", "--option", "encoding=klingon"], "encoding"),
        (["--delimiter", "abc"], "delimiter"),
        (
            ["--read", "delta_lake", "--option", "version_as_of=1", "--option", "timestamp_as_of=2024-01-31T08:00:00Z"],
            "keep one",
        ),
    ]
    for options, word in bad:
        assert word in ws.run("data", "create", "-n", "t", "-p", ws.ref("t"), *options, code=BAD_INPUT).err
    steps = [
        ("[{convert_column_types: [{columns: a, column_type: money}]}]", "money"),
        ("[{keep_columns: 3}]", "keep_columns"),
        ("[{read_delimited: {}}, {read_parquet: {}}]", "more than one"),
    ]
    for text, word in steps:
        lead = "" if "read_" in text else "{read_delimited: {}}, "
        (ws.cwd / "d.yml").write_text(
            f"name: t\npath: {ws.ref('t')}\ntransformations: {text.replace('[', '[' + lead, 1)}\n"
        )
        assert word in ws.run("data", "create", "-f", "d.yml", code=BAD_INPUT).err
    assert ws.json("data", "list") == []
