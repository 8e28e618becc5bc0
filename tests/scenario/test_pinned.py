# SPDX-License-Identifier: Apache-2.0
"""Versions of datasets that are frozen by versions of blobs (`data freeze --pin`): nothing is copied, and what was
overwritten or removed is read by every view as it was.  On the blob test server: the emulator keeps no versions."""

import os

import pytest
from conftest import CHANGED, NOT_SUPPORTED, Workspace, read_tree
from stores import BlobStore
from test_blob_service import operations, server
from test_versions import differences

FILES = {"d/a": b"one", "d/sub/b c": os.urandom(3 << 20), "d/sub/d": b"3", "d/empty": b"", "dd/other": b"x"}
HELD = {"a": FILES["d/a"], "sub/b c": FILES["d/sub/b c"], "sub/d": b"3", "empty": b""}


@pytest.fixture
def kept(tmp_path):
    """A workspace in a container with versioning, and version 1 of `d`."""
    with server(tmp_path / "a", "--versions") as a:
        ws = Workspace(tmp_path, BlobStore(a, "v"))
        ws.put_all(FILES)
        ws.register("d", "d")
        yield ws


def spoil(ws):
    ws.put("d/a", "ONE, changed")
    ws.remove("d/sub/b c")
    ws.put("d/empty", "not any more")
    ws.put("d/new", "x")


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_pinned_version_outlives_its_source(kept, late):
    """Frozen before or after the source was spoiled: its versions are found by their ETags."""
    ws, before = kept, kept.json("data", "show", "d@1")
    if late:
        spoil(ws)
    with ws.store.server.failing():
        record = ws.json("data", "freeze", "d@1", "--pin")
        assert not {"putfromurl", "blockfromurl", "copy"} & {*operations(ws.store.server)}
    assert record["frozen"] and not ws.exists("sluice-frozen")
    assert ws.json("data", "freeze", "d@1", "--pin")["facts"] == 1
    if not late:
        spoil(ws)
    ws.run("download", "d@1", ws.cwd / "out")
    assert read_tree(ws.cwd / "out") == HELD
    with ws.mounted("d@1") as m:
        assert read_tree(m) == HELD
        with open(m / "sub/b c", "rb") as f:
            f.seek(2 << 20)
            assert f.read(9) == HELD["sub/b c"][2 << 20 : (2 << 20) + 9]
    for name, data in HELD.items():
        assert ws.run("cat", f"d@1/{name}", text=False).out == data
    ws.run("cp", "-R", "d@1/sub", ws.ref("again"))
    assert ws.get("again/d") == b"3" and ws.get("again/b c") == HELD["sub/b c"]
    assert differences(ws, "verify", "d@1", "--exact")[1]["held"] == len(HELD)
    shown = ws.json("data", "show", "d@1")
    assert shown["dataset"] == before["dataset"] and shown["manifest"] == before["manifest"]
    text = ws.run("data", "manifest", "d@1").out
    assert text.startswith("sluice-manifest 2\n") and text.count(" versionid=") == len(HELD)
    # The next version is what is there now.
    assert ws.register("d", "d")["version"] == "2"
    found, _ = differences(ws, "diff", "d@1", "d@2", code=1)
    assert found == {"a": "changed", "empty": "changed", "new": "added", "sub/b c": "removed"}


def test_hadoop_is_refused_until_there_is_a_copy(kept):
    ws = kept
    ws.json("data", "freeze", "d@1", "--pin")
    err = ws.run("hdfs", "d@1", code=NOT_SUPPORTED).err
    assert "versions" in err and "by a copy" in err and len(err.splitlines()) == 1
    spoil(ws)
    assert ws.run("hdfs", "d@1", code=NOT_SUPPORTED).err == err
    assert ws.json("data", "freeze", "d@1")["facts"] == 2
    digest = ws.json("data", "show", "d@1")["manifest"]
    assert ws.get(f"sluice-frozen/{digest}/a") == b"one" and ws.run("hdfs", "d@1").out.strip()
    ws.run("download", "d@1", ws.cwd / "out")
    assert read_tree(ws.cwd / "out") == HELD


def test_a_version_that_was_removed_is_named(kept):
    ws = kept
    ws.json("data", "freeze", "d@1", "--pin")
    line = next(x for x in ws.run("data", "manifest", "d@1").out.splitlines() if x.endswith(" a"))
    version = line.split()[4].partition("=")[2]
    spoil(ws)
    ws.store.container.get_blob_client("d/a").delete_blob(version_id=version)
    for args in [("download", "d@1", ws.cwd / "out"), ("cat", "d@1/a")]:
        err = ws.run(*args, code=CHANGED).err
        assert "'d/a'" in err and version in err and "removed" in err, err
    assert differences(ws, "verify", "d@1", code=CHANGED)[0] == {"a": "missing"}
    with ws.mounted("d@1") as m:
        assert (m / "sub/d").read_bytes() == b"3"
        with pytest.raises(OSError):
            (m / "a").read_bytes()


def test_what_a_pinned_version_is_cut_into_stays_pinned(kept):
    ws = kept
    ws.json("data", "freeze", "d@1", "--pin")
    derived = ws.json("data", "register", "half", "azureml://data/d/versions/1/paths/sub")
    spoil(ws)
    ws.run("download", "half@1", ws.cwd / "out")
    assert read_tree(ws.cwd / "out") == {"b c": HELD["sub/b c"], "d": b"3"}
    assert derived["files"] == 2


def test_one_file_is_pinned(kept):
    ws = kept
    ws.register("f", "d/a")
    ws.json("data", "freeze", "f@1", "--pin")
    spoil(ws)
    assert ws.run("cat", "f@1").out == "one"
    with ws.mounted("f@1") as m:
        assert (m / "a" if m.is_dir() else m).read_bytes() == b"one"


def test_what_cannot_be_pinned(kept, tmp_path):
    ws = kept
    assert "--pin" in ws.run("data", "freeze", "d@1", "--pin", "--to", ws.ref("x"), code=2).err
    (tmp_path / "plain").mkdir()
    with server(tmp_path / "b") as b:
        plain = Workspace(tmp_path / "plain", BlobStore(b, "p"))
        plain.put("d/a", "1")
        plain.register("d", "d")
        err = plain.run("data", "freeze", "d@1", "--pin", code=NOT_SUPPORTED).err
        assert "keeps no versions" in err and "by a copy" in err and len(err.splitlines()) == 1
        plain.put("d/a", "2")
        assert "overwritten" in plain.run("data", "freeze", "d@1", "--pin", code=CHANGED).err
    for version in ws.store.container.list_blobs(name_starts_with="d/a", include=["versions"]):
        if version.is_current_version:
            old = version.version_id
    spoil(ws)
    ws.store.container.get_blob_client("d/a").delete_blob(version_id=old)
    err = ws.run("data", "freeze", "d@1", "--pin", code=CHANGED).err
    assert "'a'" in err and "not frozen" in err and len(err.splitlines()) == 1
    assert "frozen" not in ws.json("data", "show", "d@1")
