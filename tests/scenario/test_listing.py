# SPDX-License-Identifier: Apache-2.0
"""Listings and deletions of Blob: names that no path can say, markers that do not end, large containers, trees of
which some blobs stay.  The blob test server plays what the emulator does not; the names are asked of both."""

import os
import re

import pytest
from conftest import IO_ERROR, NO_PERMISSION, NOT_FOUND, Workspace, asks_once, read_tree, workspace_of_many
from stores import BlobStore

pytest.importorskip("blobd")

FOLDERS, FILES = 12, 1000


@pytest.fixture
def ws(tmp_path):
    """A workspace in container `here`; datastore `many` has 12 folders of 1,000 files."""
    with workspace_of_many(tmp_path, FOLDERS * FILES) as ws:
        yield asks_once(ws)


@pytest.fixture
def emulated(azurite, tmp_path):
    return Workspace(tmp_path, BlobStore(azurite, f"ls-{os.urandom(6).hex()}"))


def asked(server, op="list"):
    return [entry["object"] for entry in server.log() if entry["op"] == op]


def left_out(done):
    return int(re.search(r"(\d+) of its names are left out", done.err)[1])


def test_names_that_no_path_can_say_are_left_out_and_counted(emulated):
    emulated.put_all({"in/a": "1", "in/b//c": "2", "in//d": "3", "in/e/f": "4"})
    done = emulated.run("ls", "-R", emulated.ref("in"))
    assert done.out.splitlines() == ["a", "e/f"]
    assert left_out(done) == 2
    assert "'in/" in done.err
    done = emulated.run("ls", emulated.ref("in/b"))
    assert done.out == "" and left_out(done) == 1
    emulated.run("rm", "-R", emulated.ref("in"))
    assert list(emulated.store.container.list_blob_names()) == []


def test_a_view_of_what_has_such_names_is_not_told_to_be_whole(emulated):
    emulated.put_all({"in/a": "1", "in/b//c": "2"})
    done = emulated.run("download", emulated.ref("in"), "out")
    assert left_out(done) == 1 and "'in'" in done.err
    assert read_tree(emulated.cwd / "out") == {"a": b"1"}


def test_a_copy_that_is_not_whole_says_so(emulated):
    emulated.put_all({"in/a": "1", "in/b//c": "2"})
    done = emulated.run("cp", "-R", emulated.ref("in"), "out", code=IO_ERROR)
    assert left_out(done) == 1 and "not copied whole" in done.err
    assert read_tree(emulated.cwd / "out") == {"a": b"1"}


def test_rm_of_a_file_that_is_a_folder_too(emulated):
    emulated.put_all({"x": "1", "x/y": "2", "xy": "3"})
    emulated.run("rm", "-R", emulated.ref("x"))
    assert list(emulated.store.container.list_blob_names()) == ["xy"]


def test_what_a_server_makes_up_is_no_path(ws):
    ws.put("in/zz", "1")
    with ws.store.server.failing("list here-data/in/ * hostile"):
        done = ws.run("ls", "-R", ws.ref("in"))
        assert ws.store.server.fired()
    assert left_out(done) == 5
    assert len(done.out.splitlines()) == 2


@pytest.mark.parametrize("fault", ["marker-same", "marker-cycle", "unordered", "twice"])
@pytest.mark.parametrize("flags", [[], ["-R"]])
def test_a_listing_that_does_not_end_is_an_error(ws, fault, flags):
    ws.put_all({"in/ a": "1", "in/b": "2"})
    if fault == "unordered" and not flags:
        pytest.skip("the order of a folder is ours")
    server = ws.store.server
    with server.failing(f"list here-data/in/ * {fault}"):
        done = ws.run("ls", *flags, ws.ref("in"), code=IO_ERROR)
        assert len(server.fired()) < 20
    assert "'in'" in done.err


def test_large_containers_are_listed_in_pieces(ws):
    server = ws.store.server
    want = [f"d{i // FILES:06}/f{i:09}" for i in range(FOLDERS * FILES)]
    with server.failing():
        assert ws.run("ls", "-R", "many:").out.splitlines() == want
        pieces = asked(server)
    assert {p for p in pieces if p != "many/"} == {f"many/d{i:06}/" for i in range(5, FOLDERS)}


def test_patterns_list_what_can_match(ws):
    server = ws.store.server
    with server.failing():
        assert len(ws.run("ls", "many:d00001*/**/f00001000[0-4]").out.splitlines()) == 5
        assert set(asked(server)) == {"many/d00001"}


def test_a_blob_that_stays_does_not_keep_the_others(ws):
    ws.put_all({f"in/{i:03}/x": "1" for i in range(100)} | {"in/050/stays": "2", "beside": "3"})
    server = ws.store.server
    with server.failing("delete here-data/in/050/stays * status 403 AuthorizationPermissionMismatch"):
        done = ws.run("rm", "-R", ws.ref("in"), code=NO_PERMISSION)
        assert len(server.fired()) == 1
    assert "'in/050/stays'" in done.err
    assert sorted(ws.store.container.list_blob_names()) == ["beside", "in/050/stays"]
    ws.run("rm", "-R", ws.ref("in"))
    assert list(ws.store.container.list_blob_names()) == ["beside"]


def test_a_tree_that_may_not_be_deleted_is_given_up_soon(ws):
    ws.put_all({f"in/{i:03}": "1" for i in range(50)})
    server = ws.store.server
    with server.failing("delete here-data/* * status 403 AuthorizationPermissionMismatch"):
        ws.run("rm", "-R", ws.ref("in"), code=NO_PERMISSION)
        assert len(server.fired()) == 50
    ws.run("rm", "-R", ws.ref("none"), code=NOT_FOUND)


def test_deletion_goes_on_over_a_busy_server(ws):
    """Each blob is tried six times: no more than five refusals can fall to one."""
    ws.put_all({f"in/{i:03}": "1" for i in range(100)})
    server = ws.store.server
    with server.failing(*(f"delete here-data/in/0{i}* 5-9 status 503 ServerBusy" for i in range(10))):
        ws.run("rm", "-R", ws.ref("in"))
        assert len(server.fired()) == 50
    assert list(ws.store.container.list_blob_names()) == []
