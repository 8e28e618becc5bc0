# SPDX-License-Identifier: Apache-2.0
"""stat and mv on every store; what is special to a hierarchical namespace."""

import json
import re
import threading

import pytest
from conftest import (
    BAD_INPUT,
    EXISTS,
    IO_ERROR,
    NO_PERMISSION,
    NOT_FOUND,
    NOT_SUPPORTED,
    asks_once,
    needs_fuse,
    read_tree,
)

HOSTILE = ["a b", "p%41q", "plus+and&amp", "quo'te\"s", "grün", "ha#sh?mark", "=;,@!$()*", "{x}[y]~^"]
folders = pytest.mark.only_on("local", "hns", "hdfs")


def test_stat_tells_what_the_store_keeps(ws):
    ws.put("d/f.txt", "hello")
    detail = ws.json("stat", ws.ref("d/f.txt"))["detail"]
    hierarchical = ws.kind == "blob" and ws.store.server.more
    if ws.kind == "blob":
        assert detail["blob_type"] == "BlockBlob" and detail["tier"]
    if ws.kind != "blob" or hierarchical:
        assert detail["owner"] and detail["group"] and detail["permissions"]
    if hierarchical:
        assert detail["acl"].startswith("user::")
    if ws.kind == "hdfs":
        assert detail["replication"] == 1 and detail["block_size"] > 0
    text = ws.run("stat", ws.ref("d/f.txt")).out
    assert all(f"{key}: " in text for key in detail if key != "metadata")


def test_stat_of_several_goes_on_after_one_that_is_not_there(ws):
    ws.put("a", "1")
    ws.put("b", "22")
    done = ws.run("stat", "-o", "json", ws.ref("a"), ws.ref("none"), ws.ref("b"), code=NOT_FOUND)
    assert [json.loads(line)["size"] for line in done.out.splitlines()] == [1, 2]
    assert "'none'" in done.err


def test_permissions_are_told_in_one_form(ws):
    ws.put("d/f", "x")
    if ws.kind == "blob" and not ws.store.server.more:
        pytest.skip("a flat container has none")
    for path in ("d", "d/f"):
        assert re.fullmatch(r"([r-][w-][xt-]){3}\+?", ws.json("stat", ws.ref(path))["detail"]["permissions"])


@pytest.mark.only_on("hdfs")
def test_stat_shows_the_access_control_list_of_hdfs(ws):
    ws.put("f", "x")
    assert "acl" not in ws.json("stat", ws.ref("f"))["detail"]
    ws.store.ask("PUT", "f", "MODIFYACLENTRIES", aclspec="user:bob:rw-")
    assert "user:bob:rw-" in ws.json("stat", ws.ref("f"))["detail"]["acl"].split(",")


@pytest.mark.only_on("blob")
def test_stat_shows_tags(ws):
    ws.run("cp", "--tag", "Team=blue sky", "--tag", "n=1", ws.config, ws.ref("c"))
    assert ws.json("stat", ws.ref("c"))["detail"]["tags"] == {"Team": "blue sky", "n": "1"}
    assert "tags Team: blue sky" in ws.run("stat", ws.ref("c")).out


@pytest.mark.only_on("blob", "hns")
def test_stat_shows_metadata_and_type(ws):
    ws.run("cp", "--metadata", "Team=blue sky", "--content-type", "text/csv", ws.config, ws.ref("c"))
    detail = ws.json("stat", ws.ref("c"))["detail"]
    assert {k.lower(): v for k, v in detail["metadata"].items()} == {"team": "blue sky"}
    assert detail["content_type"] == "text/csv"


@folders
def test_mv_renames_a_file_and_keeps_its_bytes(ws):
    ws.put("d/f", "bytes")
    ws.run("mv", ws.ref("d/f"), ws.ref("e/deep/g"))
    assert ws.run("cat", ws.ref("e/deep/g")).out == "bytes"
    ws.run("stat", ws.ref("d/f"), code=NOT_FOUND)


@folders
@pytest.mark.parametrize("name", HOSTILE)
def test_mv_takes_any_name(ws, name):
    ws.put(f"{name}/f", "x")
    ws.run("mv", ws.ref(f"{name}/f").replace("*", "\\*").replace("[", "\\[").replace("{", "\\{").replace("?", "\\?"),
           ws.ref("plain"))  # fmt: skip
    assert ws.run("cat", ws.ref("plain")).out == "x"
    assert ws.get("plain") == b"x"


@folders
def test_mv_moves_a_folder_into_one_that_is_there(ws):
    ws.put_all({f"from/{i:03}": str(i) for i in range(120)})
    ws.put("to/old", "")
    ws.run("mv", ws.ref("from"), ws.ref("to"))
    listed = ws.run("ls", "-R", ws.ref("")).out.split()
    assert sorted(x for x in listed if x.startswith("to/from/")) == [f"to/from/{i:03}" for i in range(120)]
    assert not [x for x in listed if x.startswith("from")]


@folders
def test_mv_replaces_only_when_told(ws):
    ws.put("a", "new")
    ws.put("b", "old")
    ws.run("mv", ws.ref("a"), ws.ref("b"), code=EXISTS)
    assert ws.get("b") == b"old" and ws.get("a") == b"new"
    ws.run("mv", "--overwrite", ws.ref("a"), ws.ref("b"))
    assert ws.get("b") == b"new" and not ws.exists("a")


@folders
def test_of_two_that_rename_to_one_name_one_wins(ws):
    for i in range(8):
        ws.put(f"src{i}", str(i))
    done = []
    threads = [
        threading.Thread(target=lambda i=i: done.append((i, ws.start("mv", ws.ref(f"src{i}"), ws.ref("dst")).wait())))
        for i in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    winners = [i for i, code in done if code == 0]
    assert len(winners) == 1 and {code for _, code in done} == {0, EXISTS}
    assert ws.get("dst") == str(winners[0]).encode()


@folders
def test_mv_of_what_is_not_there(ws):
    assert "'none'" in ws.run("mv", ws.ref("none"), ws.ref("x"), code=NOT_FOUND).err


def test_a_folder_does_not_go_into_itself(ws):
    ws.put("d/f", "x")
    assert "into itself" in ws.run("mv", ws.ref("d"), ws.ref("d/e"), code=BAD_INPUT).err
    assert ws.get("d/f") == b"x"


@pytest.mark.only_on("blob")
def test_a_flat_container_has_no_rename_and_says_what_to_do(ws):
    ws.put("a", "x")
    err = ws.run("mv", ws.ref("a"), ws.ref("b"), code=NOT_SUPPORTED).err
    assert "sluice cp" in err and ws.get("a") == b"x"


def test_rm_of_a_pattern_takes_folders_with_it(ws):
    ws.put_all({name: "x" for name in ["old1/a", "old1/b/c", "old-2", "older", "new/a", "d/old/x"]})
    told = ws.run("rm", "-R", "-n", ws.ref("old*")).out
    assert all(name in told for name in ["old1/a", "old1/b/c", "old-2", "older"])
    ws.run("rm", ws.ref("old*"))  # files only
    assert sorted(ws.run("ls", "-R", ws.ref("")).out.split()) == ["d/old/x", "new/a", "old1/a", "old1/b/c"]
    ws.run("rm", "-R", ws.ref("old*"))
    assert sorted(ws.run("ls", "-R", ws.ref("")).out.split()) == ["d/old/x", "new/a"]
    assert not ws.exists("old1")
    assert "'**'" in ws.run("rm", "-R", ws.ref("none*"), code=NOT_FOUND).err


@pytest.mark.only_on("hns")
class TestHierarchical:
    @pytest.fixture(autouse=True)
    def counted(self, ws):
        asks_once(ws)

    def test_stat_of_the_root_shows_its_access_control_list(self, ws):
        assert ws.json("stat", ws.ref(""))["detail"]["acl"]

    def test_stat_of_what_is_not_there_is_one_request(self, ws):
        with ws.store.server.failing() as server:
            ws.run("stat", ws.ref("none"), code=NOT_FOUND)
            assert [e["op"] for e in server.log()] == ["head"]

    def test_stat_without_the_right_to_see_rights(self, ws):
        ws.put("f", "x")
        with ws.store.server.failing("dfs */f 1 status 403 AuthorizationPermissionMismatch") as server:
            detail = ws.json("stat", ws.ref("f"))["detail"]
            assert len(server.fired()) == 1
        assert detail["blob_type"] == "BlockBlob" and "acl" not in detail

    def test_a_listing_without_the_right_to_list(self, ws):
        ws.put("d/f", "x")
        with ws.store.server.failing("dfs */ * status 403 AuthorizationPermissionMismatch"):
            assert "permission 'l'" in ws.run("ls", ws.ref("d"), code=NO_PERMISSION).err

    @pytest.mark.parametrize("answer", ["lost", "cut 0", "status 500 InternalError"])
    def test_a_rename_of_a_file_that_is_cut(self, ws, answer):
        ws.put("a", "x")
        with ws.store.server.failing(f"dfs */b 1 {answer}") as server:
            ws.run("mv", ws.ref("a"), ws.ref("b"))
            assert server.fired()
        assert ws.get("b") == b"x" and not ws.exists("a")

    def test_names_go_by_the_other_endpoint(self, ws):
        ws.put("d/f", "x")
        with ws.store.server.failing() as server:
            ws.run("ls", "-R", ws.ref("d"))
            ws.run("rm", "-R", ws.ref("d"))
            assert {e["op"] for e in server.log()} <= {"dfs", "head"}
            assert [e["method"] for e in server.log() if e["op"] == "dfs"].count("DELETE") == 1

    def test_a_big_folder_goes_in_steps(self, ws):
        ws.put_all({f"big/{i // 20}/{i:04}": "" for i in range(350)})
        assert len(ws.run("ls", "-R", ws.ref("big")).out.splitlines()) >= 350
        with ws.store.server.failing() as server:
            ws.run("rm", "-R", ws.ref("big"))
            assert [e["method"] for e in server.log() if e["op"] == "dfs"].count("DELETE") >= 3
        ws.run("ls", ws.ref("big"), code=NOT_FOUND)

    def test_a_deletion_that_is_cut_goes_on(self, ws):
        ws.put_all({f"big/{i:04}": "" for i in range(250)})
        with ws.store.server.failing("dfs */big 2-3 status 503 ServerBusy", "dfs */big 5 cut 0") as server:
            ws.run("rm", "-R", ws.ref("big"))
            assert len(server.fired()) >= 2
        assert not ws.exists("big")

    def test_a_rename_whose_answer_is_lost_has_happened(self, ws):
        ws.put("a/f", "x")
        with ws.store.server.failing("dfs */b 1 lost") as server:
            ws.run("mv", ws.ref("a"), ws.ref("b"))
            assert [e["action"] for e in server.fired()] == ["lost"]
        assert ws.get("b/f") == b"x" and not ws.exists("a")

    def test_a_listing_of_several_pages(self, ws):
        ws.put_all({f"d/{i:03}": "" for i in range(60)})
        assert len(ws.run("ls", ws.ref("d")).out.splitlines()) == 60

    def test_a_listing_has_our_order_though_the_service_has_another(self, ws):
        """A hierarchical namespace tells a/x before a-b."""
        names = ["a/x", "a-b", "a.d/y", "a b/z", "a/y/z", "a/y-", "ab", "é/f", "z"]
        ws.put_all({f"d/{name}": "x" for name in names})
        told = [json.loads(line)["path"] for line in ws.run("ls", "-R", "-o", "json", ws.ref("d")).out.splitlines()]
        assert told == sorted(names, key=str.encode)
        pattern = ws.run("ls", "-o", "json", ws.ref("d/**/[xyz]*")).out.splitlines()
        assert [json.loads(line)["path"] for line in pattern] == ["a b/z", "a.d/y", "a/x", "a/y-", "a/y/z", "z"]
        ws.register("ordered", "d")
        ws.run("hdfs", "ordered@1")
        ws.run("download", "ordered@1", "out")
        assert sorted(read_tree(ws.cwd / "out")) == sorted(names)

    def test_a_flat_datastore_on_such_an_account_says_what_to_do(self, ws):
        ws.put_all({"d/a/x": "", "d/a-b": ""})
        config = json.loads(ws.config.read_text())
        config["datastores"]["flat"] = {**ws.store.entry(), "namespace": "flat"}
        ws.config.write_text(json.dumps(config))
        assert '"namespace": "hierarchical"' in ws.run("ls", "-R", "flat:d", code=IO_ERROR).err

    @pytest.mark.parametrize("what", ["up", "up/*", "up/**/*1"])
    def test_copies_of_folders_are_checked_by_the_stored_md5(self, ws, what):
        """Which Path List does not tell."""
        (ws.cwd / "up/d").mkdir(parents=True)
        for i in range(60):
            (ws.cwd / f"up/d/{i}").write_text(str(i))
        (ws.cwd / "up/1").write_text("x")
        ws.run("cp", "-R", "up", ws.ref("up"))
        check = ["--check-md5", "fail-if-different-or-missing"]
        (ws.cwd / "out").mkdir()
        ws.run("cp", "-R", *check, ws.ref(what), "out/")
        assert list((ws.cwd / "out").rglob("1"))
        with ws.store.server.failing("get */1 1 flip 0"):
            ws.run("cp", "-R", *check, ws.ref(what), "out2/", code=BAD_INPUT)

    def test_an_empty_folder_is_listed_and_stays(self, ws):
        ws.store.mkdir("empty")
        assert ws.run("ls", ws.ref("")).out.split() == ["empty/"]
        assert ws.run("ls", ws.ref("empty")).out == ""

    def test_a_file_has_nothing_below_it(self, ws):
        ws.put("f", "x")
        ws.run("cp", ws.config, ws.ref("f/below"), code=BAD_INPUT)
        assert ws.get("f") == b"x"

    @needs_fuse
    def test_mount(self, ws):
        ws.put("d/e/f", "deep")
        with ws.mounted(ws.ref("d")) as point:
            assert (point / "e/f").read_text() == "deep"

    @pytest.mark.parametrize("answer", ["200", "403", "400", "404"])
    def test_a_gen2_datastore_is_asked_once(self, ws, answer):
        entry = {**ws.store.entry(), "type": "azure_data_lake_gen2"}
        entry["filesystem"] = entry.pop("container_name")
        del entry["namespace"]
        config = json.loads(ws.config.read_text())
        config["datastores"]["lake"] = entry
        ws.config.write_text(json.dumps(config))
        ws.put("d/f", "x")
        code = "AuthorizationPermissionMismatch" if answer == "403" else "Other"
        rules = [] if answer == "200" else [f"dfs {ws.store.name}/ 1 status {answer} {code}"]
        with ws.store.server.failing(*rules) as server:
            assert ws.run("ls", "lake:d").out.split() == ["f"]
            methods = [(e["op"], e["method"]) for e in server.log()]
            assert methods[0] == ("dfs", "HEAD")
            assert (("dfs", "GET") in methods) == (answer in ("200", "403"))

    def test_a_namespace_that_is_said_without_an_endpoint(self, ws):
        entry = {k: v for k, v in ws.store.entry().items() if k != "dfs_endpoint"}
        config = json.loads(ws.config.read_text())
        config["datastores"]["lake"] = entry
        ws.config.write_text(json.dumps(config))
        assert "dfs_endpoint" in ws.run("ls", "lake:", code=BAD_INPUT).err
