# SPDX-License-Identifier: Apache-2.0
"""MLTable files of others: what they say is kept to the letter, but for paths, which are made whole."""

import pytest
from conftest import BAD_INPUT

BASE = "azureml://datastores/workspaceblobstore/paths/t/"

# In the ways in which people write them; @...@ is a path as the file has it, below its folder.
TABLES = {
    "titanic": """\
$schema: https://azuremlschemas.azureedge.net/latest/MLTable.schema.json

type: mltable

# one file beside this one
paths:
  - file: @./titanic.csv@   # relative to the MLTable
transformations:
  - read_delimited:
      delimiter: ','
      encoding: 'ascii'
      header: all_files_same_headers
      empty_as_string: false
      include_path_column: false
  - drop_columns: ['PassengerId', "Name"]
  - take_random_sample: {probability: 0.5, seed: 1735}
""",
    "folder": """\
type: mltable
paths:
- folder: '@parts@'
transformations:
- read_delimited: {delimiter: "\\t", header: no_header, infer_column_types: false}
- convert_column_types:
  - columns: Column1
    column_type:
      datetime:
        formats: ['%d/%m/%Y']
  - columns: [Column2, Column3]
    column_type: float
- keep_columns: Column1
""",
    "pattern": """\
paths: [ { pattern: "@parts/*.csv@" }, {file: @titanic.csv@} ]
transformations: [ read_delimited ]
metadata: {owner: nobody, note: "kept: as it is"}
traits:
    timestamp_column: when
    index_columns: [a]
type: mltable
""",
    "json": """\
# people's own words \u00e4\u00f6\u00fc before a path
type: mltable
paths:
  # two of them
  - file: "@lines.jsonl@"
  - {pattern: @parts/**@}
transformations:
  - read_json_lines:
        invalid_lines: drop
        encoding: utf8
        path_column: Source
  - filter: 'col("a") > 0'
  - skip: 5
  - take: 10
""",
    "files": """\
type: mltable
x-team: data   # no key of an MLTable
paths:
  - folder: @./@
transformations:
  - take: 2
""",
}
FILES = {
    "titanic.csv": "PassengerId,Name\n1,x\n",
    "parts/a.csv": "1\t2\n",
    "parts/b.csv": "3\t4\n",
    "lines.jsonl": '{"a": 1}\n',
}


def canonical(path):
    return f'"{BASE}{path.removeprefix("./")}"' if path != "./" else f'"{BASE.rstrip("/")}"'


def pieces(text):
    """The file as it is, and as it has to come out: a path with its quotes is one in double quotes."""
    said, want = "", ""
    for i, piece in enumerate(text.split("@")):
        if i % 2 == 0:
            said += piece
            want += piece
            continue
        said += piece
        want += f"\1{canonical(piece)}\2"
    for quote in "'\"":
        want = want.replace(f"{quote}\1", "").replace(f"\2{quote}", "")
    return said, want.replace("\1", "").replace("\2", "")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.local_only
def test_a_file_of_others_comes_out_as_it_went_in(ws, name, ends):
    said, want = pieces(TABLES[name])
    ws.put_all({f"t/{p}": data for p, data in FILES.items()})
    ws.put("t/MLTable", said.replace("\n", ends))
    made = ws.register("table", "t", "--type", "mltable")
    kept = ws.registry.get("data/table/1/MLTable").decode()
    assert kept == want.replace("\n", ends)
    # And what came out can go in: the same table, to the letter.
    ws.put("again/MLTable", kept)
    again = ws.register("again", "again", "--type", "mltable")
    assert again["dataset"] == made["dataset"]
    assert ws.registry.get("data/again/1/MLTable").decode() == kept
    # Whoever loses it gets it again.
    ws.registry.remove("data/table/1/MLTable")
    ws.run("data", "show", "table@1")
    assert ws.registry.get("data/table/1/MLTable").decode() == kept


@pytest.mark.only_on("blob", "hdfs")
def test_the_same_from_other_stores(ws):
    said, want = pieces(TABLES["titanic"])
    ws.put_all({f"t/{p}": data for p, data in FILES.items()})
    ws.put("t/MLTable", said)
    ws.register("table", "t", "--type", "mltable")
    assert ws.registry.get("data/table/1/MLTable").decode() == want
    assert ws.json("data", "preview", "table")["columns"] == ["PassengerId", "Name"]


@pytest.mark.local_only
def test_a_path_in_two_lines_loses_its_comments_only(ws):
    ws.put_all({f"t/{p}": data for p, data in FILES.items()})
    ws.put("t/MLTable", "type: mltable # gone\npaths:\n  - file: >-\n      titanic.csv\n")
    ws.register("table", "t", "--type", "mltable")
    text = ws.registry.get("data/table/1/MLTable").decode()
    assert f"{BASE}titanic.csv" in text and "gone" not in text


@pytest.mark.local_only
def test_keys_that_are_not_known(ws):
    ws.put_all({f"t/{p}": data for p, data in FILES.items()})
    ws.put("t/MLTable", "type: mltable\ncolour: red\npaths:\n  - file: titanic.csv\n")
    done = ws.run("data", "create", "-n", "t", "-p", ws.ref("t"), "--type", "mltable")
    assert "'colour' means nothing" in done.err
    assert ws.json("data", "show", "t")["definition"]["colour"] == "red"
    ws.put("t/MLTable", "type: mltable\nmetdata: {}\npaths:\n  - file: titanic.csv\n")
    err = ws.run("data", "create", "-n", "t", "-p", ws.ref("t"), "--type", "mltable", code=BAD_INPUT).err
    assert "MLTable:2:1" in err and "metadata" in err
