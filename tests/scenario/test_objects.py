# SPDX-License-Identifier: Apache-2.0
"""ls, stat, cat, cp on a store."""

import json
import os
import subprocess

import pytest
from conftest import BAD_INPUT, CHANGED, EXISTS, NOT_FOUND, USAGE, local_only

HOSTILE = [
    "new\nline",
    "hash#q?p%25",
    "späce and ünïcode",
    "x" * 255,
    "-dash",
    "quote'\"",
    "\x1b[31mred",
    "back\\slash",
    "br[a]ce{b}*",
]


@pytest.fixture
def tree(ws):
    for path in ["b.txt", "a/x.jpg", "a/deep/y.jpg", "a.b", "a/.hidden", "a/_under"]:
        ws.put(path, path)
    return ws


def test_ls_shows_one_level_and_folders_with_a_slash(tree):
    assert tree.run("ls", tree.ref()).out.splitlines() == ["a/", "a.b", "b.txt"]


def test_ls_sorts_and_sums_up(ws):
    ws.put_all({"s/b": "22", "s/a": "333", "s/c": "1", "s/d/e": "4444"})
    assert ws.run("ls", "-R", "--sort", "size", ws.ref("s")).out.split() == ["d/e", "a", "b", "c"]
    assert ws.run("ls", "-R", "--reverse", ws.ref("s")).out.split() == ["d/e", "c", "b", "a"]
    newest = ws.run("ls", "-R", "--sort", "time", "-o", "json", ws.ref("s")).out.splitlines()
    times = [json.loads(x)["mtime_ns"] for x in newest]
    assert times == sorted(times, reverse=True) and len(times) == 4
    out = ws.run("ls", "-R", "--summary", ws.ref("s")).out.splitlines()
    assert out[-1] == "4 files, 0 folders, 10 bytes (10B)"
    out = ws.run("ls", "--summary", "-o", "json", ws.ref("s")).out.splitlines()
    assert json.loads(out[-1]) == {"summary": {"files": 3, "folders": 1, "bytes": 6}}
    ws.run("ls", "--sort", "colour", ws.ref("s"), code=USAGE)


def test_ls_human_sizes(ws):
    ws.put("f", bytes(1536 << 10))
    assert ws.run("ls", "-l", "--human", ws.ref("f")).out.split()[0] == "1.5M"
    assert ws.run("ls", "-l", ws.ref("f")).out.split()[0] == str(1536 << 10)


def test_ls_recursive_is_sorted_by_the_bytes_of_the_path(tree):
    got = [json.loads(x)["path"] for x in tree.run("ls", "-R", tree.ref(), "-o", "json").out.splitlines()]
    assert got == sorted(got, key=os.fsencode) and len(got) == 6


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("a/*", ["a/.hidden", "a/_under", "a/x.jpg"]),
        ("a/**", ["a/.hidden", "a/_under", "a/deep/y.jpg", "a/x.jpg"]),
        ("**/*.jpg", ["a/deep/y.jpg", "a/x.jpg"]),
        ("?.txt", ["b.txt"]),
        ("{b.txt,a.b}", ["a.b", "b.txt"]),
        ("[a-b].*", ["a.b", "b.txt"]),
    ],
)
def test_globs(tree, pattern, paths):
    manifest = tree.run("data", "manifest", tree.ref(pattern)).out
    prefix = "a/" if pattern.startswith("a/") else ""
    assert [x.split()[-1] for x in manifest.splitlines() if x[0].isdigit()] == [p.removeprefix(prefix) for p in paths]


def test_a_glob_without_match_names_the_pattern(tree):
    assert "nothing*.csv" in tree.run("ls", tree.ref("nothing*.csv"), code=NOT_FOUND).err


def test_a_glob_that_is_not_closed_is_bad_input(tree):
    tree.run("ls", tree.ref("a/[x"), code=BAD_INPUT)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_round_trip(ws, name):
    """What is put under a name is listed under it in one line, and comes back under it."""
    ws.needs_name(name)
    ws.put(f"in/{name}", name * 3)
    out = ws.run("ls", ws.ref("in/")).out
    assert len(out.splitlines()) == 1 and "\x1b" not in out
    assert json.loads(ws.run("ls", ws.ref("in/"), "-o", "json").out)["path"] == name
    ws.run("download", ws.ref("in"), ws.cwd / "out")
    assert (ws.cwd / "out" / name).read_text() == name * 3


def test_stat_tells_size_and_identity(tree):
    got = tree.json("stat", tree.ref("b.txt"))
    assert got["size"] == 5 and got["identity"]


def test_cat_prints_the_bytes(ws):
    data = os.urandom(3 << 20)
    ws.put("blob", data)
    assert ws.run("cat", ws.ref("blob"), text=False).out == data


def test_a_missing_path_is_named(ws):
    assert "no/such" in ws.run("cat", ws.ref("no/such"), code=NOT_FOUND).err


def test_a_colon_that_was_forgotten_is_told(ws):
    ws.put("d/f", "1")
    for ref, meant in (
        ("workspaceblobstore", "workspaceblobstore:"),
        ("workspaceblobstore/", "workspaceblobstore:"),
        ("workspaceblobstore/d/f", "workspaceblobstore:d/f"),
    ):
        assert f"did you mean '{meant}'?" in ws.run("ls", ref, code=NOT_FOUND).err
    assert "did you mean" in ws.run("cat", "workspaceblobstore/d/f", code=NOT_FOUND).err
    assert "did you mean" not in ws.run("ls", "workspaceblob", code=NOT_FOUND).err
    assert "did you mean" not in ws.run("ls", ws.ref("e"), code=NOT_FOUND).err


def test_a_pinned_file_that_changed_has_one_remedy(ws):
    ws.put("d/f.csv", "a,b\n1,2\n")
    ws.register("d", "d")
    ws.put("d/f.csv", "a,b\n1,2\n3,4\n")
    for verb in (("cat", "d@1/f.csv"), ("data", "preview", "d@1"), ("download", "d@1", "out")):
        err = ws.run(*verb, code=CHANGED).err
        assert len(err.splitlines()) == 1 and err.count("since it was resolved") == 1
        assert err.count("resolve the data again, or register a new version") == 1


def test_cp_does_not_replace(ws):
    (ws.cwd / "f").write_text("new")
    ws.put("f", "old")
    ws.run("cp", "f", ws.ref("f"), code=EXISTS)
    assert ws.run("cat", ws.ref("f")).out == "old"
    ws.run("cp", "--overwrite", "f", ws.ref("f"))
    assert ws.run("cat", ws.ref("f")).out == "new"


def test_cp_recursive_round_trip(tree):
    tree.run("cp", "-R", tree.ref("a"), tree.ref("copy"))
    tree.run("cp", "-R", tree.ref("copy"), tree.cwd / "out")
    assert (tree.cwd / "out" / "deep" / "y.jpg").read_text() == "a/deep/y.jpg"


def test_cp_of_a_folder_needs_recursive(tree):
    assert "--recursive" in tree.run("cp", tree.ref("a"), tree.ref("c"), code=BAD_INPUT).err


@pytest.mark.parametrize("path", ["../outside", "a/../../outside"])
def test_paths_do_not_leave_the_store(ws, path):
    (ws.cwd / ".sluice" / "outside").write_text("secret")
    ws.run("cat", ws.ref(path), code=BAD_INPUT)


@local_only
def test_a_link_that_leaves_the_store_is_an_error(ws):
    (ws.cwd / "secret").write_text("secret")
    ws.put("d/ok", "1")
    (ws.folder / "d" / "leak").symlink_to(ws.cwd / "secret")
    err = ws.run("cat", ws.ref("d/leak"), code=BAD_INPUT).err
    assert "leak" in err
    assert "leak" in ws.run("download", ws.ref("d"), ws.cwd / "out", code=BAD_INPUT).err
    assert not (ws.cwd / "out").exists() or not any((ws.cwd / "out").iterdir())


@local_only
def test_a_link_inside_the_store_resolves(ws):
    ws.put("d/real", "bytes")
    (ws.folder / "d" / "relative").symlink_to("real")
    (ws.folder / "d" / "absolute").symlink_to(ws.folder / "d" / "real")
    assert ws.run("cat", ws.ref("d/relative")).out == "bytes"
    assert ws.run("cat", ws.ref("d/absolute")).out == "bytes"


@local_only
def test_a_link_cycle_ends(ws):
    ws.put("d/f", "1")
    (ws.folder / "d" / "loop").symlink_to(".")
    ws.run("ls", "-R", ws.ref("d"), code=BAD_INPUT)


@pytest.mark.parametrize("options", [[], ["-o", "json"]])
def test_lost_output_is_a_failure(ws, options):
    """Also when it was an early piece that was lost and the last one had nothing left to write."""
    ws.put_all({f"many/f{i:05}": b"" for i in range(700)})
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            ["sluice", "ls", *options, ws.ref("many")], cwd=ws.cwd, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode != 0 and b"cannot write the output" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_failure(ws):
    ws.put_all({f"many/f{i:05}": b"" for i in range(700)})
    r, w = os.pipe()
    os.close(r)
    done = subprocess.run(["sluice", "ls", ws.ref("many")], cwd=ws.cwd, stdout=w, stderr=subprocess.PIPE, check=False)
    os.close(w)
    assert (done.returncode, done.stderr) == (0, b"")


def test_messages_do_not_end_up_in_a_file_when_stderr_is_closed(ws):
    """The descriptor of a closed stderr must not become that of something of ours."""
    ws.put("big", bytes(3 << 20))
    script = 'exec sluice cp -v -v -o json "$1" "$2" <&- >&- 2>&-'
    env = {"SLUICE_FAULT": "read:1:delay=150ms", "SLUICE_LOG": "debug"}
    done = subprocess.run(
        ["sh", "-c", script, "sh", ws.ref("big"), ws.ref("copy")], cwd=ws.cwd, env={**ws.env, **env}, check=False
    )
    assert done.returncode == 0
    assert ws.get("copy") == bytes(3 << 20)


@pytest.mark.parametrize("args", [["ls", "--nope"], ["ls", "a", "b", "c"], ["stat"]])
def test_wrong_usage_is_json_too(ws, args):
    done = subprocess.run(
        ["sluice", args[0], "--output", "json", *args[1:]], cwd=ws.cwd, capture_output=True, check=False
    )
    assert done.returncode == USAGE
    assert json.loads(done.stderr)["error"]["code"] == USAGE


@pytest.mark.parametrize("to", [".sluice-x", "d/.sluice-x", ".sluice-d/x"])
def test_cp_to_a_name_that_no_listing_shows_is_refused(ws, to):
    ws.put("f", "x")
    ws.run("cp", ws.ref("f"), ws.ref(to), code=BAD_INPUT)
    assert not ws.exists(to)


@local_only
def test_a_device_or_fifo_is_not_replaced(ws):
    ws.put("f", "x")
    pipe = ws.cwd / "pipe"
    os.mkfifo(pipe)
    for options in ([], ["--overwrite"]):
        ws.run("cp", *options, ws.ref("f"), pipe, code=BAD_INPUT)
        assert pipe.is_fifo()
