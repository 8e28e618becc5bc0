# SPDX-License-Identifier: Apache-2.0
"""as_hdfs: the URI that Hadoop reads, and that it does not say more than the version pins."""

import pytest
from conftest import CHANGED


def test_a_file_a_folder_and_a_subset(ws):
    ws.put("d/a.csv", "1")
    ws.put("d/b.csv", "2")
    assert ws.run("hdfs", ws.ref("d/a.csv")).out.strip() == ws.uri("d/a.csv")
    assert ws.run("hdfs", ws.ref("d")).out.strip() == ws.uri("d")
    ws.register("d", "d")
    ws.put("d/later.csv", "3")
    uri = ws.run("hdfs", "d@1").out.strip()
    assert "later" not in uri and "a.csv" in uri and "b.csv" in uri and "{" in uri


def test_what_spark_skips_does_not_turn_a_folder_into_a_list(ws):
    ws.put("d/part-0.csv", "1")
    ws.register("d", "d")
    ws.put("d/_SUCCESS", "")
    ws.put("d/.part-0.csv.crc", "x")
    assert ws.run("hdfs", "d@1").out.strip() == ws.uri("d")
    ws.put("e/a.csv", "1")
    ws.put("e/_b.csv", "1")
    told = ws.run("hdfs", ws.ref("e")).err
    assert "will not read 1 of 2 files, such as '_b.csv'" in told


@pytest.mark.parametrize("change", ["other bytes", None])
def test_a_changed_source_gives_no_uri(ws, change):
    ws.put("d/a.csv", "1")
    ws.register("d", "d")
    if change:
        ws.put("d/a.csv", change)
    else:
        ws.remove("d/a.csv")
        ws.put("d/b.csv", "1")
    ws.run("hdfs", "d@1", code=CHANGED)


def test_a_tabular_dataset_comes_with_its_options(ws):
    ws.put("t.csv", "a;b\n1;2\n")
    ws.register("t", "t.csv", "--delimiter", ";")
    got = ws.json("hdfs", "t")
    assert got["uri"] == ws.uri("t.csv") and got["options"]["sep"] == ";" and got["options"]["header"] == "true"


def test_names_are_encoded_as_hadoop_wants_them(ws):
    ws.put("sp ace/ü#.csv", "1")
    assert ws.run("hdfs", ws.ref("sp ace/ü#.csv")).out.strip() == ws.uri("sp ace/ü#.csv")


def test_plain_folders_below_come_with_the_option_that_spark_needs(ws):
    ws.put("d/x/a.csv", "1")
    ws.put("p/k=1/a.csv", "1")
    assert ws.json("hdfs", ws.ref("d"))["options"] == {"recursiveFileLookup": "true"}
    assert ws.json("hdfs", ws.ref("p"))["options"] == {}
