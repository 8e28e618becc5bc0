# SPDX-License-Identifier: Apache-2.0
"""Tabular datasets in Python: what a definition says, as pandas, Arrow, polars and Spark have it."""

import datetime
import importlib.util
import json
import os
import random
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import tables
from conftest import RUNG, local_only

LIBRARY = os.environ.get("SLUICE_LIBRARY", "")
if not Path(LIBRARY).is_file() or RUNG != "scenario":
    pytest.skip("no library that Python can load", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
pa = pytest.importorskip("pyarrow", reason="no pyarrow (tools/dev deps scenario)")
pd = pytest.importorskip("pandas", reason="no pandas (tools/dev deps scenario)")
pl = pytest.importorskip("polars", reason="no polars (tools/dev deps scenario)")
import sluice  # noqa: E402

DEEP = os.environ.get("SLUICE_DEEP") == "1"
needs_spark = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or (shutil.which("java") is None and "JAVA_HOME" not in os.environ),
    reason="no Spark (tools/dev deps scenario)",
)


@pytest.fixture
def py(ws, monkeypatch):
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    with sluice.Workspace(ws.cwd) as opened:
        yield opened


def made(ws, py, files, folder="t", **how):
    for name, data in files.items():
        ws.put(f"{folder}/{name}", data)
    return py.register(folder, ws.ref(folder), **how)


def by_preview(data):
    """The rows by the library's own reader, each text as its column's type means it."""
    shown = data.preview(100_000)
    kinds = [x["type"] for x in data.schema()]
    return shown["columns"], [[tables.meant(x, k) for x, k in zip(row, kinds)] for row in shown["rows"]]


def differences(table, rows):
    got = [list(x) for x in zip(*[c.to_pylist() for c in table.columns])] if table.num_columns else []
    if len(got) != len(rows):
        return f"{len(got)} rows and not {len(rows)}"
    for i, (one, other) in enumerate(zip(got, rows)):
        for k, (a, b) in enumerate(zip(one, other)):
            if not tables.same(a, b):
                return f"row {i}, column {table.column_names[k]}: {a!r} and not {b!r}"
    return ""


@local_only
def test_text_is_read_as_the_librarys_own_reader_reads_it(ws, py):
    """Random tables with every option: two readers, written apart."""
    for seed in range(1500 if DEEP else 100):
        options, files = tables.some_table(random.Random(f"table {seed}"))
        data = made(ws, py, files, f"t{seed}", delimited=options)
        names, rows = by_preview(data)
        table = data.to_arrow()
        assert table.column_names == names, (seed, options)
        assert differences(table, rows) == "", (seed, options, files)


@local_only
def test_what_spark_leaves_beside_its_files_is_not_read(ws, py):
    left = {"_SUCCESS": "", "_temporary/0/part-9.csv": "x\n9\n", ".part-0.csv.crc": "crc"}
    out = made(ws, py, {**left, "part-0.csv": "a\n1\n", "part-1.csv": "a\n2\n"}, "out")
    assert out.to_pandas_dataframe().to_dict("list") == {"a": [1, 2]}
    assert py.dataset(ws.ref("out/_temporary/0/part-9.csv")).to_arrow().to_pydict() == {"x": [9]}
    with pytest.raises(sluice.Error, match="no file that Spark would read"):
        made(ws, py, {"_SUCCESS": "x"}, "none").to_arrow()


@local_only
def test_pandas_reads_a_plain_file_alike(ws, py):
    for seed in range(20):
        rng = random.Random(f"pandas {seed}")
        text = "i,f,s\n" + "".join(
            f"{rng.randint(-9, 99)},{rng.uniform(-9, 9)!r},{rng.choice('xyz')}\n" for _ in range(500)
        )
        data = made(ws, py, {"a.csv": text}, f"p{seed}", delimited=True)
        ours, theirs = data.to_pandas_dataframe(), pd.read_csv(ws.folder / f"p{seed}/a.csv")
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
        assert data.to_polars().to_dicts() == pl.from_pandas(theirs).to_dicts()


@local_only
def test_pieces_of_a_large_file_are_one_table(ws, py, monkeypatch):
    """Pieces end within lines, characters and quotes; what only a later one holds is there, too."""
    import sluice._pieces as pieces

    monkeypatch.setattr(pieces, "PIECE", 1000)
    monkeypatch.setattr("sluice.tables.PIECE", 1000)
    lines = [f'{i},"Zoë, {i}",2024-01-{1 + i % 28:02}\n' for i in range(2000)]
    lines[700] = 'x,"open,2024\n'
    lines[1200] = "9,nine,2024-01-01,more\n"
    for encoding in ("utf8", "utf16", "latin1"):
        text = "n,name,day\n" + "".join(lines)
        options = {"encoding": encoding}
        data = made(ws, py, {"a.csv": text.encode(tables.ENCODINGS[encoding])}, encoding, delimited=options)
        found = data.to_arrow().to_pylist()
        assert len(found) == 2000 and found[1999]["name"] == "Zoë, 1999" and found[5]["day"].day == 6
        assert found[700] == {"n": None, "name": "open,2024", "day": None, "Column4": None}
        assert found[1200]["Column4"] == "more" and found[1201]["Column4"] is None
    assert sum(len(x) for x in data.to_arrow_batches()) == 2000
    first = next(iter(py.register("some", ws.ref("utf8"), delimited=True).to_arrow_batches()))
    assert 0 < len(first) < 100


@local_only
def test_columns_of_paths(ws, py):
    files = {"2026/01/x.csv": "v\n1\n", "2026/02/y.csv": "v\n2\n3\n"}
    how = {"delimited": {"include_path_column": True}, "partition_format": "/{day:yyyy/MM}/{what}.csv"}
    got = made(ws, py, files, **how).to_arrow()
    assert got.column_names == ["Path", "what", "day", "v"]
    assert got.to_pylist()[2] == {"Path": "2026/02/y.csv", "what": "y", "day": datetime.datetime(2026, 2, 1), "v": 3}
    assert got.schema.field("day").type == pa.timestamp("us")


@local_only
def test_types_that_are_said(ws, py):
    steps = [{"read_delimited": {}}, {"convert_column_types": [
        {"columns": "a", "column_type": "string"}, {"columns": ["b", "c"], "column_type": "float"},
        {"columns": "d", "column_type": {"datetime": {"formats": ["%d.%m.%Y", "%Y/%m/%d"]}}},
        {"columns": "e", "column_type": {"boolean": {"true_values": ["yes"], "false_values": ["no"]}}},
        {"columns": "f", "column_type": {"float": {"decimal_mark": ","}}}]}]  # fmt: skip
    ws.put("t/a.csv", 'a,b,c,d,e,f\n007,1,2,31.12.2020,yes,"1.000,5"\n8,x,,2021/01/02,no,\n9,3,4,5,maybe,"2,5"\n')
    rows = py.register("t", ws.ref("t"), transformations=steps).to_arrow().to_pylist()
    assert rows[0] == {"a": "007", "b": 1.0, "c": 2.0, "d": datetime.datetime(2020, 12, 31), "e": True, "f": 1000.5}
    assert rows[1] == {"a": "8", "b": None, "c": None, "d": datetime.datetime(2021, 1, 2), "e": False, "f": None}
    assert rows[2]["d"] is None and rows[2]["e"] is None and rows[2]["f"] == 2.5


@local_only
def test_columns_are_chosen_by_steps(ws, py):
    table = made(ws, py, {"a.csv": "id,n,word\n007,1,x\n008,2,y\n"}, delimited=True)
    kept = table.convert_column_types({"id": "string", "n": "float"}).keep_columns(["word", "id"])
    assert kept.to_arrow().to_pylist() == [{"word": "x", "id": "007"}, {"word": "y", "id": "008"}]
    assert kept.keep_columns("id").to_pandas_dataframe().to_dict("list") == {"id": ["007", "008"]}
    dropped = table.drop_columns("id").filter('col("n") > 1').to_arrow().to_pylist()
    assert dropped == [{"n": 2, "word": "y"}]
    assert py.dataset(kept.id).to_arrow() == kept.to_arrow()
    with pytest.raises(sluice.Error, match="no column 'none': there are id, n, word"):
        table.keep_columns("none").to_arrow()
    with pytest.raises(sluice.Error, match="is no table"):
        py.dataset(ws.ref("t")).keep_columns("id")


@local_only
def test_headers_that_differ_are_warned_of_at_the_line_of_the_caller(ws, py):
    same = made(ws, py, {"a.csv": "id,n\n1,2,3\n", "b.csv": "id,n\n4,5\n", "empty.csv": ""}, "same", delimited=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same.to_pandas_dataframe()
        made(ws, py, {"a.csv": "a,b\n1,2\n", "b.csv": "b,a\n3,4\n"}, "differ",
             delimited={"header": "all_files_different_headers"}).to_pandas_dataframe()  # fmt: skip
    other = made(ws, py, {"a.csv": "id,n\n1,2\n", "b.csv": "n,id\n4,5\n"}, "other", delimited=True)
    told = other.preview()["notes"][0].partition("; if")[0]
    assert told.startswith("'b.csv': its first row")
    ws.put("notes/a.csv", "id,n\n1,2\n")
    ws.put("notes/readme.txt", "what this is\n")
    for data in (other, py.dataset(ws.ref("notes"))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data.to_pandas_dataframe()
            for _ in data.to_arrow_batches():
                pass
        assert len(caught) == 2 and {x.filename for x in caught} == {__file__}, [str(x.message) for x in caught]
        assert caught[1].lineno - caught[0].lineno in (1, 2)
        assert "is not the header of the first file" in str(caught[0].message)
        assert data is not other or str(caught[0].message).startswith(told)


@local_only
def test_a_column_that_is_not_there_is_told_with_those_that_are(ws, py):
    from pyarrow import parquet

    old, new = pa.table({"id": [1], "n": [2]}), pa.table({"id": [3], "n": [4], "new": [5]})
    for name, table in (("a", old), ("b", new)):
        (ws.cwd / name).mkdir()
        parquet.write_table(table, ws.cwd / name / "x.parquet")
        ws.run("cp", ws.cwd / name / "x.parquet", ws.ref(f"p/{name}.parquet"))
    both = py.register("p", ws.ref("p"), parquet={"include_path_column": True})
    text = made(ws, py, {"a.csv": "id,n\n1,2\n"}, delimited=True)
    for table, there in ((both, "Path, id, n"), (text, "id, n")):
        words = f"no column 'none': there are {there}"
        for wrong in (
            table.keep_columns("none"),
            table.keep_columns(["id", "none"]),
            table.drop_columns(["n", "none"]),
        ):
            with pytest.raises(sluice.Error, match=words):
                wrong.to_pandas_dataframe()
        with pytest.raises(sluice.Error, match=words):
            table.to_pandas_dataframe(columns=["none"])
    # what only some files have
    assert both.drop_columns("new").to_arrow().column_names == ["Path", "id", "n"]
    assert both.keep_columns(["Path", "id"]).to_arrow()["id"].to_pylist() == [1, 3]


@local_only
def test_values_behind_the_sample_that_are_of_another_type_are_null(ws, py):
    lines = ["1,true,2024-01-01\n"] * 300 + ["x,2,2024-13-01\n", "99999999999999999999,no,2024-01-01T01:00:00+02:00\n"]
    got = made(ws, py, {"a.csv": "n,b,t\n" + "".join(lines)}, delimited=True).to_arrow().to_pylist()
    assert got[300] == {"n": None, "b": None, "t": None}
    assert got[301] == {"n": None, "b": None, "t": datetime.datetime(2023, 12, 31, 23)}


@local_only
def test_steps_over_rows(ws, py):
    text = "k,v\n" + "".join(f"{'ab'[i % 2]},{i}\n" for i in range(2, 102))

    def rows(*steps):
        ws.put("t/a.csv", text)
        return py.register("t", ws.ref("t"), transformations=[{"read_delimited": {}}, *steps]).to_arrow()

    assert rows({"skip": 3}, {"take": 2})["v"].to_pylist() == [5, 6]
    assert rows({"take": 2}, {"skip": 5})["v"].to_pylist() == []
    assert rows({"keep_columns": "v"}).column_names == ["v"] == rows({"drop_columns": ["k"]}).column_names
    got = rows({"filter": 'col("k") == "a" and (col("v") > 90 or not col("v") >= 4) and col("v") != None'})
    assert got["v"].to_pylist() == [2, 92, 94, 96, 98, 100]
    half = [{"sample": {"sampler": "random_percent", "sampler_arguments": {"probability": p, "probability_lower_bound": low,
             "seed": 3}}} for low, p in ((0, 0.3), (0.3, 1))]  # fmt: skip
    one, other = (set(rows(x)["v"].to_pylist()) for x in half)
    assert one | other == set(range(2, 102)) and not one & other and 10 < len(one) < 50
    assert set(rows({"take_random_sample": {"probability": 0.3, "seed": 3}})["v"].to_pylist()) == one
    for wrong in ({"filter": 'col("z") > 1'}, {"filter": "__import__('os')"}, {"keep_columns": "z"}):
        with pytest.raises(sluice.Error) as caught:
            rows(wrong)
        assert caught.value.errno == 22


@local_only
def test_columns_that_only_later_files_have_get_their_types(ws, py):
    files = {"a.csv": "a\n" + "7\n" * 500, "b.csv": "b,a\n" + "1.5,8\n" * 300}
    data = made(ws, py, files, delimited={"header": "all_files_different_headers"})
    assert {x["name"]: x["type"] for x in data.schema()} == {"a": "int", "b": "float"}
    table = data.to_arrow()
    assert table["b"].to_pylist()[499:501] == [None, 1.5] and table["a"].to_pylist()[499:501] == [7, 8]
    assert data.preview(600)["rows"][550] == ["8", "1.5"] and len(data.preview(5)["rows"]) == 5


@local_only
def test_parts_of_tables_and_of_files(ws, py):
    table = made(ws, py, {"a.csv": "n\n" + "".join(f"{i}\n" for i in range(2, 102))}, delimited=True)
    assert table.tabular and table.take(3).to_arrow()["n"].to_pylist() == [2, 3, 4]
    assert table.skip(2).take(1).to_arrow()["n"].to_pylist() == [4]
    assert table.filter('col("n") > 99').to_arrow()["n"].to_pylist() == [100, 101]
    one, other = (set(x.to_arrow()["n"].to_pylist()) for x in table.random_split(0.7, seed=5))
    assert len(one | other) == 100 and not one & other and len(one) > len(other)
    assert set(table.take_sample(0.7, seed=5).to_arrow()["n"].to_pylist()) == one
    ws.put_all({f"f/{i:02}": "x" * i for i in range(1, 11)})
    files = py.register("f", ws.ref("f"))
    assert not files.tabular and [x.path for x in files.take(2).ls()] == ["01", "02"]
    assert files.filter("Size > 8").files == 2 and files.skip(9).register("last").name == "last"


@local_only
def test_taking_a_few_rows_reads_no_more(ws, py):
    """Of a hundred files those that stand first, and what was begun beside them."""
    ws.put_all({f"t/{i:03}.csv": "a\n" + "1\n" * 300 for i in range(100)})
    data = py.register("t", ws.ref("t"), transformations=[{"read_delimited": {}}, {"take": 3}])
    for i in range(50, 100):
        (ws.folder / f"t/{i:03}.csv").unlink()
    assert data.to_arrow().num_rows == 3


@local_only
def test_json_lines(ws, py):
    files = {"a.jsonl": '{"n": 1, "s": "x", "o": {"p": [1]}}\n\n{"s": "y", "t": "2024-01-31"}\n{"n": 2.5}\n',
             "b.jsonl": '{"z": true, "s": 4}\n{"n": null}\n'}  # fmt: skip
    got = made(ws, py, files, json_lines={"include_path_column": True}).to_arrow()
    assert got.column_names == ["Path", "n", "s", "o", "t", "z"]
    assert got["n"].to_pylist() == [1.0, None, 2.5, None, None] and got["s"].to_pylist() == ["x", "y", None, "4", None]
    assert got["o"].to_pylist()[0] == {"p": [1]} and got["t"].to_pylist()[1] == datetime.datetime(2024, 1, 31)
    assert got["z"].to_pylist()[3] is True and got["Path"].to_pylist()[4] == "b.jsonl"
    bad = {"a.jsonl": '{"n": 1}\n[2]\n{"n": \n{"n": 3}\n'}
    ws.put("bad/a.jsonl", bad["a.jsonl"])
    with pytest.raises(sluice.Error, match="line 2 of 'a.jsonl'"):
        py.register("bad", ws.ref("bad"), json_lines=True).to_arrow()
    dropped = py.register("bad", ws.ref("bad"), json_lines={"invalid_lines": "drop"})
    assert dropped.to_arrow().to_pylist() == [{"n": 1}, {"n": 3}]


@local_only
def test_json_lines_are_what_python_reads(ws, py):
    """Random objects; columns of values that have no type in common are their text."""

    def expected(value, kind):
        if value is None or (kind == "string" and isinstance(value, str)):
            return value
        return json.dumps(value, ensure_ascii=False) if kind == "string" else value

    for seed in range(500 if DEEP else 40):
        rng = random.Random(f"json {seed}")
        files = tables.some_json(rng)
        lines = {n: "".join(json.dumps(x, ensure_ascii=rng.random() < 0.5) + "\n" for x in f) for n, f in files.items()}
        rows = [x for f in files.values() for x in f]
        table = made(ws, py, lines, f"j{seed}", json_lines=True).to_arrow()
        assert table.column_names == list(dict.fromkeys(k for x in rows for k in x)), (seed, files)
        for k in table.column_names:
            kind = str(table.schema.field(k).type)
            assert table[k].to_pylist() == [expected(x.get(k), kind) for x in rows], (seed, k, files)


def test_parquet_and_its_columns(ws, py, tmp_path):
    from pyarrow import parquet

    for i, more in enumerate(({"b": ["x", None]}, {"c": [1.5, 2.5]})):
        parquet.write_table(pa.table({"a": [i, i + 1], **more}), tmp_path / "f")
        ws.put(f"t/y=202{i}/f.parquet", (tmp_path / "f").read_bytes())
    data = py.register("t", ws.ref("t"), parquet=True, partition_format="/y={y}/f.parquet")
    assert data.to_arrow().to_pydict() == {"y": ["2020", "2020", "2021", "2021"], "a": [0, 1, 1, 2],
                                           "b": ["x", None, None, None], "c": [None, None, 1.5, 2.5]}  # fmt: skip
    assert data.to_arrow(columns=["a"]).column_names == ["a"]


def test_it_reads_what_the_version_pins(ws, py):
    data = made(ws, py, {"a b%20.csv": "n\n1\n"}, delimited=True)
    ws.put("t/later.csv", "n\n2\n")
    assert data.to_pandas_dataframe()["n"].tolist() == [True]
    assert py.dataset(ws.ref("t/*.csv")).to_arrow().num_rows == 2
    assert py.dataset(data.id).to_arrow().num_rows == 1
    ws.put("t/a b%20.csv", "n\n333\n")
    # HDFS may still have the bytes that were there
    try:
        found = data.to_arrow()["n"].to_pylist()
    except sluice.Changed:
        found = [True]
    assert found == [True]


@local_only
def test_names_and_what_is_empty(ws, py):
    table = made(ws, py, {"a.csv": "a,a,,b\n1,2,3,4\n"}, delimited=True).to_arrow()
    assert table.column_names == ["a", "a_2", "Column3", "b"]
    for name, data in {"none": "", "header": "a,b\n", "blank": "\n\n"}.items():
        ws.put(f"{name}/x.csv", data)
        assert py.register(name, ws.ref(name), delimited=True).to_arrow().num_rows == 0
    assert py.dataset("header").to_arrow().column_names == ["a", "b"]
    ws.put("bin/x.bin", "x")
    with pytest.raises(sluice.Error, match="make it a table"):
        py.dataset(ws.ref("bin")).to_arrow()
    ws.put("l/x.csv", "a\nZo\xeb\n".encode("latin-1"))
    with pytest.raises(sluice.Error, match="is no text in"):
        py.register("l", ws.ref("l"), delimited=True).to_arrow()


# --- Spark ---


SETTINGS = """
spark.master=local[1]
spark.ui.enabled=false
spark.ui.showConsoleProgress=false
spark.driver.host=127.0.0.1
spark.driver.bindAddress=127.0.0.1
spark.sql.shuffle.partitions=1
spark.sql.session.timeZone=UTC
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    import spark_session

    properties = tmp_path_factory.mktemp("spark") / "spark.properties"
    properties.write_text(SETTINGS)
    running = spark_session.Spark(properties)
    running.session.sparkContext.setLogLevel("ERROR")
    yield running.session
    running.stop()


def in_order(rows):
    return sorted(rows, key=lambda row: [(x is not None, str(x)) for x in row])


def spark_rows(frame):
    """Times of Spark are instants, and come as local time."""

    def value(x):
        return x.astimezone(datetime.UTC).replace(tzinfo=None) if isinstance(x, datetime.datetime) else x

    return in_order([[value(x) for x in row] for row in frame.collect()])


@local_only
@needs_spark
@pytest.mark.spark
@pytest.mark.xdist_group("hdfs")
def test_spark_has_the_same_rows(ws, py, spark):
    """Random tables with each option; rows of other lengths, and quotes that stand alone, are in docs/tables.md."""
    for seed in range(120 if DEEP else 3):
        options, files = tables.some_table(random.Random(f"spark {seed}"), rough=False)
        data = made(ws, py, files, f"t{seed}", delimited=options)
        table, frame = data.to_arrow(), data.to_spark_dataframe(spark)
        assert frame.columns == table.column_names, (seed, options)
        ours = in_order([list(x) for x in zip(*[c.to_pylist() for c in table.columns])])
        theirs = spark_rows(frame)
        assert len(ours) == len(theirs), (seed, options, files)
        for one, other in zip(ours, theirs):
            assert all(map(tables.same, one, other)), (seed, options, files, one, other)


@local_only
@needs_spark
@pytest.mark.spark
@pytest.mark.xdist_group("hdfs")
def test_spark_has_the_columns_of_paths_and_the_steps(ws, py, spark):
    files = {"2026/01/x y.csv": "v,w\n1,a\n2,b\n", "2026/02/y.csv": "v,w\n3,a\n"}
    ws.put_all({f"t/{k}": v for k, v in files.items()})
    steps = [{"read_delimited": {"include_path_column": True}},
             {"extract_columns_from_partition_format": {"partition_format": "/{day:yyyy/MM}/{what}.csv"}},
             {"filter": 'col("v") > 1 and col("w").startswith("a") or col("v") == 2'}, {"drop_columns": "w"}]  # fmt: skip
    data = py.register("t", ws.ref("t"), transformations=steps)
    frame = data.to_spark_dataframe(spark)
    assert frame.columns == data.to_arrow().column_names == ["Path", "what", "day", "v"]
    assert spark_rows(frame) == in_order([list(x.values()) for x in data.to_arrow().to_pylist()])
    assert frame.count() == 2
    ws.put("j/a.jsonl", '{"n": 1, "s": "x", "o": {"p": [1]}}\n{"t": "2024-01-31", "n": 2.5}\n')
    frame = py.register("j", ws.ref("j"), json_lines=True).to_spark_dataframe(spark)
    assert frame.columns == ["n", "s", "o", "t"] and [r.n for r in frame.collect()] == [1.0, 2.5]
